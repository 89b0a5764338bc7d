/*
 * figures.c - the claims as pictures, each with its controls in the same plot. Removal, redundancy and ranks have theirs where they
 * are measured.
 */
#include "lab/scaffold.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { BARS_MAX = 16 };

/* A group of bars under construction: what was not measured is left out of all of its series together. */
typedef struct bars {
    const char *categories[BARS_MAX];
    double y[BARS_MAX], low[BARS_MAX], high[BARS_MAX];
    int n;
} bars;

static void add_bar(bars *b, const char *category, const interval *v)
{
    b->categories[b->n] = category;
    b->y[b->n] = v->value;
    b->low[b->n] = isfinite(v->low) ? v->low : v->value;
    b->high[b->n++] = isfinite(v->high) ? v->high : v->value;
}

static sae_status put_bars(sae_result *r, const char *plot, const char *label, const bars *b, sae_error *err)
{
    return b->n ? sae_result_bars(r, plot, label, b->categories, b->y, b->low, b->high, b->n, err) : SAE_OK;
}

/* ---- Dense latents ------------------------------------------------------------------------------------------------------- */

/* Mean over the seeds; the whiskers are the least and the most of them. */
static interval over_seeds(const experiment *e, sae_arch arch, roster_use use, const char *key)
{
    interval v = {0, INFINITY, -INFINITY};

    for (int64_t s = 0; s < e->options.seeds; s++) {
        double x = experiment_number(e, roster_pair(e, arch, use, e->options.seed + (uint64_t)s), key);
        v.value += x / (double)e->options.seeds;
        v.low = fmin(v.low, x);
        v.high = fmax(v.high, x);
    }
    return v;
}

static sae_status dense_plot(const experiment *e, sae_arch arch, sae_result *r, sae_error *err)
{
    static const char *const keys[] = {"dense_0.05", "dense_0.1", "dense_0.2", "dense_0.3"};
    static const char *const names[] = {"5 %", "10 %", "20 %", "30 %"};
    static const roster_use uses[] = {USE_BASELINE, USE_SCAFFOLD};
    sae_status status = SAE_OK;
    char plot[48], title[96];

    snprintf(plot, sizeof plot, "dense_%s", arch_name(arch));
    snprintf(title, sizeof title, "Dense latents, %s (whiskers: all seeds)", arch_name(arch));
    SAE_TRY(
        sae_result_plot(r, plot, title, "firing on more than this share of tokens", "latents", SAE_PLOT_BAR, 0, err));
    for (int a = 0; a < ARMS; a++) {
        bars b = {0};
        for (int i = 0; i < DENSITY_THRESHOLDS; i++) {
            interval v = over_seeds(e, arch, uses[a], keys[i]);
            add_bar(&b, names[i], &v);
        }
        SAE_TRY(put_bars(r, plot, arm_names[a], &b, err));
    }
done:
    return status;
}

/* ---- Documents ------------------------------------------------------------------------------------------------------------ */

static bool number_of(const experiment *e, const char *part, const char *file, const char *key, interval *out)
{
    const sae_result *r = experiment_find(e, part, file);
    double v[3];

    if (!r || !sae_result_get_interval(r, key, v)) return false;
    *out = (interval){v[0], v[1], v[2]};
    return true;
}

typedef struct document_bar {
    const char *name, *key; /* of the baseline and of the scaffold: "probing.k5" */
} document_bar;

/* The first seed's baseline and scaffold, each with its controls. */
static sae_status document_plot(const experiment *e, sae_arch arch, const char *file, const char *title,
                                const document_bar *wanted, int n, double chance, sae_result *r, sae_error *err)
{
    static const roster_use uses[] = {USE_BASELINE, USE_SCAFFOLD};
    sae_status status = SAE_OK;
    char plot[48], part[64], full[96], key[128];
    bool begun = false;

    snprintf(plot, sizeof plot, "%s_%s", file, arch_name(arch));
    snprintf(part, sizeof part, "%s-%s", arch_name(arch), file);
    snprintf(full, sizeof full, "%s, %s", title, arch_name(arch));
    for (int a = 0; a < ARMS; a++) {
        const roster_entry *of = roster_pair(e, arch, uses[a], e->options.seed);
        bars b = {0};
        for (int i = 0; i < n; i++) {
            interval v = {NAN, NAN, NAN};
            snprintf(key, sizeof key, "%s.%s", of->name, wanted[i].key);
            if (number_of(e, "documents", part, key, &v) || a == ARM_BASELINE) add_bar(&b, wanted[i].name, &v);
        }
        if (!begun && !(b.n && isfinite(b.y[0]))) return SAE_OK; /* not measured in this run */
        if (!begun) SAE_TRY(sae_result_plot(r, plot, full, NULL, title, SAE_PLOT_BAR, 0, err));
        begun = true;
        SAE_TRY(put_bars(r, plot, arm_names[a], &b, err));
    }
    if (isfinite(chance)) SAE_TRY(sae_result_line(r, plot, "chance", false, chance, err));
done:
    return status;
}

static sae_status documents_plots(const experiment *e, sae_arch arch, sae_result *r, sae_error *err)
{
    static const document_bar probing[] = {{"latents", "probing.k5"},
                                           {"and scaffold codes", "probing.scaffold.k5"},
                                           {"random latents", "probing.random.k5"},
                                           {"labels shuffled", "probing.shuffled.k5"}};
    static const document_bar tpp[] = {
        {"latents", "tpp.n20"}, {"random latents", "tpp.random.n20"}, {"labels shuffled", "tpp.shuffled.n20"}};
    sae_status status = SAE_OK;

    SAE_TRY(document_plot(e, arch, "probing", "Sparse probing, accuracy at k 5", probing, 4, 0.5, r, err));
    SAE_TRY(document_plot(e, arch, "tpp", "TPP at n 20", tpp, 3, 0, r, err));
done:
    return status;
}

/* ---- Topics ---------------------------------------------------------------------------------------------------------------- */

static sae_status topics_plot(const experiment *e, sae_arch arch, sae_result *r, sae_error *err)
{
    static const char *const sets[] = {"ten-subjects", "classes"}, *const probes[] = {"fixed", "retrained"};
    sae_status status = SAE_OK;
    char part[64], plot[48], title[96], key[160], labels[4][32], names[4][64];
    const long long counts[2] = {(long long)((e->options.width + 4) / 8), 2048};
    const char *set = NULL;
    interval v, chance;

    snprintf(part, sizeof part, "%s-topics", arch_name(arch));
    for (int i = 0; i < 4; i++) {
        snprintf(labels[i], sizeof labels[i], "%lld %s", counts[i / 2], i % 2 ? "random" : "aligned");
        snprintf(names[i], sizeof names[i], "%lld %s features ablated", counts[i / 2],
                 i % 2 ? "random" : "topic-aligned");
    }
    const char *const arms[][2] = {{"clean", "clean"},
                                   {"scaffold removed", "scaffold removed, R2 uncentred"},
                                   {"about the mean", "scaffold removed, R3 centred"},
                                   {"PCA removed", "PCA removed, R2 uncentred"},
                                   {"random removed", "random subspace removed, R2 uncentred"},
                                   {labels[0], names[0]},
                                   {labels[1], names[1]},
                                   {labels[2], names[2]},
                                   {labels[3], names[3]}};
    const size_t n_arms = sizeof arms / sizeof *arms - (counts[0] == 2048 ? 2 : 0);
    for (int i = 0; i < 2 && !set; i++) {
        snprintf(key, sizeof key, "%s.clean.fixed", sets[i]);
        if (number_of(e, part, "topics", key, &v)) set = sets[i];
    }
    if (!set) return SAE_OK; /* not measured in this run */
    snprintf(plot, sizeof plot, "topics_%s", arch_name(arch));
    snprintf(title, sizeof title, "Topics of documents, %s", arch_name(arch));
    SAE_TRY(sae_result_plot(r, plot, title, NULL, "accuracy", SAE_PLOT_BAR, 0, err));
    for (int p = 0; p < 2; p++) {
        bars b = {0};
        for (size_t i = 0; i < n_arms; i++) {
            snprintf(key, sizeof key, "%s.%s.%s", set, arms[i][1], probes[p]);
            if (number_of(e, part, "topics", key, &v)) add_bar(&b, arms[i][0], &v);
        }
        SAE_TRY(put_bars(r, plot, p == 0 ? "fixed probe" : "probe trained anew", &b, err));
    }
    snprintf(key, sizeof key, "%s.chance", set);
    if (number_of(e, part, "topics", key, &chance))
        SAE_TRY(sae_result_line(r, plot, "chance", false, chance.value, err));
done:
    return status;
}

sae_status figures_report(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_result *r = NULL;

    SAE_TRY(experiment_result(e, "figures", "The claims as pictures", &r, err));
    for (int a = 0; a < e->options.n_archs; a++) SAE_TRY(dense_plot(e, e->options.archs[a], r, err));
    for (int a = 0; a < e->options.n_archs; a++) SAE_TRY(topics_plot(e, e->options.archs[a], r, err));
    for (int a = 0; a < e->options.n_archs; a++) SAE_TRY(documents_plots(e, e->options.archs[a], r, err));
done:
    return status;
}
