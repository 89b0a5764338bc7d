/*
 * reduction.c - what the scaffold does to dense latents, over the seeds: counts at every threshold, density mass, antipodality, each with
 * the interval of the difference between a baseline and its partner.
 */
#include "eval/bootstrap.h"
#include "lab/scaffold.h"
#include "lab/verdict.h"

#include <math.h>
#include <stdio.h>

typedef struct seed_values {
    double with[SEEDS_MAX], without[SEEDS_MAX], fewer[SEEDS_MAX];
} seed_values;

static void take_values(seed_values *v, const experiment *e, sae_arch arch, const char *key)
{
    for (int64_t s = 0; s < e->options.seeds; s++) {
        const uint64_t seed = e->options.seed + (uint64_t)s;
        v->without[s] = experiment_number(e, roster_pair(e, arch, USE_BASELINE, seed), key);
        v->with[s] = experiment_number(e, roster_pair(e, arch, USE_SCAFFOLD, seed), key);
        v->fewer[s] = v->without[s] - v->with[s];
    }
}

static void difference_text(char *out, size_t size, const interval *v)
{
    if (interval_has_width(v))
        snprintf(out, size, "%.3g [%.3g, %.3g]", v->value, v->low, v->high);
    else if (isfinite(v->value))
        snprintf(out, size, "%.3g", v->value);
    else
        snprintf(out, size, "-");
}

static sae_status row(const experiment *e, sae_arch arch, const char *what, const char *key, bool counted,
                      sae_result *r, sae_error *err)
{
    const int64_t n = e->options.seeds;
    seed_values v;
    char name[96], before[32], after[32], fewer[64], percent[64];

    take_values(&v, e, arch, key);
    const interval less = interval_of_mean(v.fewer, n), part = percent_fewer(v.fewer, v.without, n, counted);
    snprintf(name, sizeof name, "%s, %s", arch_name(arch), what);
    difference_text(fewer, sizeof fewer, &less);
    difference_text(percent, sizeof percent, &part);
    const double without = interval_of_mean(v.without, n).value, with = interval_of_mean(v.with, n).value;
    snprintf(before, sizeof before, "%.4g", without); /* counts and shares in one column */
    snprintf(after, sizeof after, "%.4g", with);
    const sae_cell cells[] = {
        {name, NAN}, {before, without}, {after, with}, {fewer, less.value}, {percent, part.value}};
    return sae_result_row(r, "reduction", cells, 5, err);
}

sae_status reduction_report(const experiment *e, sae_result *r, sae_error *err)
{
    static const struct {
        const char *what, *key;
        bool counted;
    } rows[] = {{"over 5 % of tokens", "dense_0.05", true},
                {"over 10 %", "dense_0.1", true},
                {"over 20 %", "dense_0.2", true},
                {"over 30 %", "dense_0.3", true},
                {"density mass of dense ones", "dense_mass", false},
                {"antipodality of dense ones", "antipodality", false}};
    static const char *const columns[] = {"latents", "baseline", "with the scaffold", "less [95 %, over seeds]",
                                          "less, % [95 %]"};
    sae_status status = SAE_OK;
    char text[96];

    snprintf(text, sizeof text, "Dense latents, %s", e->options.seeds > 1 ? "means over the seeds" : "one seed");
    SAE_TRY(sae_result_table(r, "reduction", text, columns, 5, err));
    for (int a = 0; a < e->options.n_archs; a++)
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            SAE_TRY(row(e, e->options.archs[a], rows[i].what, rows[i].key, rows[i].counted, r, err));
    if (e->options.seeds > 1)
        SAE_TRY(sae_result_note(
            r,
            "A percentage is of the baseline's mean. It has no interval where the baseline has fewer than 5 such "
            "latents, and nothing has one where all seeds give the same.",
            err));
done:
    return status;
}
