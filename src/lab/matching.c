/*
 * matching.c - the comparison at equal k, L0, L0 + r and FVU.
 *
 * Scaffolds were trained at a few k. Between two of them every number is taken to be linear in what is held equal, but for dense latents and
 * their mass, whose logarithm is: they rise with k ever faster (5, 46 and 186 at L0 31, 63 and 96), so that a straight line is too high.
 * Beyond the k that were trained nothing is said.
 *
 * At equal L0 + r and equal FVU the scaffold's dictionary has a lower k, and a lower k alone has fewer dense latents. Baselines at the same
 * k say how many fewer.
 */
#include "lab/matching.h"
#include "lab/scaffold.h"
#include "sae/scaffold_fields.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const matching_keys[MATCHING_MEASURES] = {"l0",         "fvu",       "ce_ratio",     "dense_0.05",
                                                      "dense_0.1",  "dense_0.2", "dense_mass",   "probing.k1",
                                                      "probing.k5", "tpp.n20",   "probing.mean", "tpp.mean"};
static const char *const columns[MATCHING_MEASURES + 2] = {
    "dictionary", "k",           "L0",          "FVU",      "CE / clean",           "dense 5 %",       "10 %", "20 %",
    "mass",       "probing k 1", "probing k 5", "TPP n 20", "probing, mean over k", "TPP, mean over n"};
enum { L0, FVU };
const matching_rule matching_rules[MATCHING_RULES] = {{"l0", "L0", L0}, {"l0r", "L0 + r", L0}, {"fvu", "FVU", FVU}};

static int by_l0(const void *a, const void *b)
{
    const matching_place *x = a, *y = b;

    return (x->at[L0] > y->at[L0]) - (x->at[L0] < y->at[L0]);
}

static double between(int measure, double a, double b, double t)
{
    if (strncmp(matching_keys[measure], "dense", 5) != 0) return a + t * (b - a);
    return expm1(log1p(a) + t * (log1p(b) - log1p(a))); /* of one more, as there may be none */
}

/* The curve's point at which measure `which` is `value`; false: it lies beyond the curve. */
static bool interpolate(const matching_place *curve, int n, int which, double value, matching_place *out)
{
    for (int i = 0; i + 1 < n; i++) {
        double low = curve[i].at[which], high = curve[i + 1].at[which], t = (value - low) / (high - low);
        if (!(t >= 0 && t <= 1)) continue;
        out->k = curve[i].k + t * (curve[i + 1].k - curve[i].k);
        for (int m = 0; m < MATCHING_MEASURES; m++) out->at[m] = between(m, curve[i].at[m], curve[i + 1].at[m], t);
        return true;
    }
    return false;
}

double matching_target(const matching_set *s, int rule)
{
    return s->base.at[matching_rules[rule].measure] - (rule == MATCHING_L0R ? s->rank : 0);
}

double matching_off(const matching_set *s, int rule, const matching_place *p)
{
    const int measure = matching_rules[rule].measure;

    return (p->at[measure] - matching_target(s, rule)) / s->base.at[measure];
}

double matching_k(const matching_set *s, int rule)
{
    const int measure = matching_rules[rule].measure;
    const double value = matching_target(s, rule);
    matching_place p;

    qsort(s->curve, (size_t)s->n, sizeof *s->curve, by_l0);
    if (interpolate(s->curve, s->n, measure, value, &p)) return p.k;
    if (measure != L0 || s->n == 0 || !(value > 0)) return NAN;
    const matching_place *end = value < s->curve[0].at[L0] ? &s->curve[0] : &s->curve[s->n - 1];
    return end->at[L0] > 0 ? end->k * value / end->at[L0] : NAN;
}

bool matching_baseline(const matching_set *s, double l0, matching_place *out)
{
    if (s->n_base < 2) return false;
    qsort(s->base_curve, (size_t)s->n_base, sizeof *s->base_curve, by_l0);
    for (int i = 0; i < s->n_base; i++) { /* one that was trained is told as it is, not to a rounding */
        if (fabs(s->base_curve[i].at[L0] - l0) > 1e-9 * l0) continue;
        *out = s->base_curve[i];
        return true;
    }
    return interpolate(s->base_curve, s->n_base, L0, l0, out);
}

static sae_status add_row(sae_result *r, const matching_set *s, const char *what, const matching_place *p,
                          sae_error *err)
{
    sae_cell cells[MATCHING_MEASURES + 2] = {{what, NAN}, {NULL, p ? p->k : NAN}};

    for (int m = 0; m < s->n_measures; m++) cells[m + 2] = (sae_cell){NULL, p ? p->at[m] : NAN};
    return sae_result_row(r, s->name, cells, s->n_measures + 2, err);
}

/* "batchtopk.l0.dense_0.1": with the scaffold, where L0 is the baseline's. */
static sae_status add_numbers(sae_result *r, const matching_set *s, const char *rule, const matching_place *p,
                              sae_error *err)
{
    sae_status status = SAE_OK;
    char key[160];

    for (int m = 0; m < s->n_measures; m++) {
        snprintf(key, sizeof key, "%s.%s.%s", s->name, rule, matching_keys[m]);
        SAE_TRY(sae_result_silent(r, key, p->at[m], p->at[m], p->at[m], err));
    }
done:
    return status;
}

static sae_status add_equal_k(sae_result *r, const matching_set *s, sae_error *err)
{
    sae_status status = SAE_OK;
    char what[64];

    snprintf(what, sizeof what, "%s, equal k%s", s->kind, s->equal_k ? "" : " (there is none)");
    SAE_TRY(add_row(r, s, what, s->equal_k, err));
    if (s->equal_k) SAE_TRY(add_numbers(r, s, "k", s->equal_k, err));
done:
    return status;
}

/* Of one k there is nothing to take the other rules between. */
static sae_status few_note(sae_result *r, const matching_set *s, sae_error *err)
{
    char text[400];

    snprintf(
        text, sizeof text,
        "%s: there is %s of one k alone. Equal L0, equal L0 + r and equal FVU lie between dictionaries of two k or "
        "more, so nothing is said of them: it takes further k (--ks of sae scaffold; more DICT of sae lab "
        "matching, alike but for k).",
        s->title, s->kind);
    return sae_result_note(r, text, err);
}

/* ---- Beside baselines of the same L0 ------------------------------------------------------------------------------------------- */

static sae_status add_base_curve(sae_result *r, const matching_set *s, sae_error *err)
{
    sae_status status = SAE_OK;
    char what[64], key[48];

    for (int i = 0; i < s->n_base; i++) {
        const matching_place *p = &s->base_curve[i];
        if (p->k == s->base.k) continue; /* it has its row */
        snprintf(what, sizeof what, "baseline, k %.0f", p->k);
        SAE_TRY(add_row(r, s, what, p, err));
        snprintf(key, sizeof key, "baseline_k%.0f", p->k);
        SAE_TRY(add_numbers(r, s, key, p, err));
    }
done:
    return status;
}

static sae_status add_percent(sae_result *r, const matching_set *s, const char *rule, int measure, const char *what,
                              double value, sae_error *err)
{
    char key[160];

    snprintf(key, sizeof key, "%s.%s.%s.%s", s->name, rule, matching_keys[measure], what);
    return sae_result_silent(r, key, value, value, value, err);
}

/* One measure of dense latents by one rule: p with a scaffold, q the baseline of its L0. */
static sae_status add_less(sae_result *r, const matching_set *s, const char *rule, const char *called, int measure,
                           const matching_place *p, const matching_place *q, sae_error *err)
{
    sae_status status = SAE_OK;
    const double base = s->base.at[measure], same = q->at[measure], with = p->at[measure];
    const double less = 100 * (base - with) / base, by_k = 100 * (base - same) / base;
    const double at_l0 = 100 * (same - with) / same;
    char table[64], what[96];

    if (!(base > 0)) return SAE_OK;
    snprintf(table, sizeof table, "%s_less", s->name);
    snprintf(what, sizeof what, "equal %s, %s", called, columns[measure + 2]);
    const sae_cell cells[] = {{what, NAN},
                              {NULL, base},
                              {NULL, same},
                              {NULL, with},
                              {NULL, less},
                              {NULL, by_k},
                              {NULL, same > 0 ? at_l0 : NAN}};
    SAE_TRY(sae_result_row(r, table, cells, sizeof cells / sizeof *cells, err));
    SAE_TRY(add_percent(r, s, rule, measure, "less", less, err));
    SAE_TRY(add_percent(r, s, rule, measure, "less_by_k", by_k, err));
    if (same > 0) SAE_TRY(add_percent(r, s, rule, measure, "less_at_l0", at_l0, err));
done:
    return status;
}

/* The row and the numbers of the baseline of p's L0. */
static sae_status add_same_l0(sae_result *r, const matching_set *s, const char *rule, const matching_place *p,
                              sae_error *err)
{
    sae_status status = SAE_OK;
    matching_place q;
    char key[48];

    if (s->n_base < 2) return SAE_OK;
    const bool there = matching_baseline(s, p->at[L0], &q);
    SAE_TRY(add_row(r, s, there ? "baseline of that L0" : "baseline of that L0 (beyond the k trained)",
                    there ? &q : NULL, err));
    snprintf(key, sizeof key, "%s_baseline", rule);
    if (there) SAE_TRY(add_numbers(r, s, key, &q, err));
done:
    return status;
}

/* What is fewer by a rule, of which part is the lower k. */
static sae_status add_less_by(sae_result *r, const matching_set *s, int rule, sae_error *err)
{
    sae_status status = SAE_OK;
    const matching_rule *is = &matching_rules[rule];
    const matching_place *trained = s->trained[rule];
    matching_place between_k, q;
    char key[32], called[48];

    for (int of = 0; of < 2; of++) {
        const matching_place *p = of ? trained : &between_k;
        if (of ? !trained : !interpolate(s->curve, s->n, is->measure, matching_target(s, rule), &between_k)) continue;
        if (!matching_baseline(s, p->at[L0], &q)) continue;
        snprintf(key, sizeof key, "%s%s", is->key, of ? "_trained" : "");
        snprintf(called, sizeof called, "%s%s", is->name, of ? " (trained)" : "");
        for (int m = 0; m < s->n_measures; m++)
            if (strncmp(matching_keys[m], "dense", 5) == 0) SAE_TRY(add_less(r, s, key, called, m, p, &q, err));
    }
done:
    return status;
}

static sae_status add_less_table(sae_result *r, const matching_set *s, sae_error *err)
{
    static const char *const heads[] = {"dense latents",
                                        "baseline",
                                        "baseline of that L0",
                                        "with a scaffold",
                                        "less, %",
                                        "of which the lower k",
                                        "less than in the baseline of that L0, %"};
    sae_status status = SAE_OK;
    char table[64], title[192];

    if (s->n_base < 2) return SAE_OK;
    snprintf(table, sizeof table, "%s_less", s->name);
    snprintf(title, sizeof title, "What the lower k does by itself, %s", s->title);
    SAE_TRY(sae_result_table(r, table, title, heads, sizeof heads / sizeof *heads, err));
    for (int i = 0; i < MATCHING_RULES; i++) SAE_TRY(add_less_by(r, s, i, err));
done:
    return status;
}

/* ---- The table ---------------------------------------------------------------------------------------------------------------- */

static sae_status add_interpolated(sae_result *r, const matching_set *s, int rule, sae_error *err)
{
    sae_status status = SAE_OK;
    const matching_rule *is = &matching_rules[rule];
    matching_place p;
    const bool inside = interpolate(s->curve, s->n, is->measure, matching_target(s, rule), &p);
    char what[64];

    snprintf(what, sizeof what, "%s, equal %s%s", s->kind, is->name, inside ? "" : " (beyond the k trained)");
    SAE_TRY(add_row(r, s, what, inside ? &p : NULL, err));
    if (inside) SAE_TRY(add_numbers(r, s, is->key, &p, err));
    if (inside) SAE_TRY(add_same_l0(r, s, is->key, &p, err));
done:
    return status;
}

static sae_status add_trained(sae_result *r, const matching_set *s, int rule, sae_error *err)
{
    sae_status status = SAE_OK;
    const matching_place *p = s->trained[rule];
    const double off = matching_off(s, rule, p);
    char what[64], name[24], key[160];

    snprintf(what, sizeof what, "%s, equal %s, trained (%+.2g %% off)", s->kind, matching_rules[rule].name, 100 * off);
    SAE_TRY(add_row(r, s, what, p, err));
    snprintf(name, sizeof name, "%s_trained", matching_rules[rule].key);
    SAE_TRY(add_numbers(r, s, name, p, err));
    SAE_TRY(add_same_l0(r, s, name, p, err));
    snprintf(key, sizeof key, "%s.%s.k", s->name, name);
    SAE_TRY(sae_result_silent(r, key, p->k, p->k, p->k, err));
    snprintf(key, sizeof key, "%s.%s.off", s->name, name);
    SAE_TRY(sae_result_silent(r, key, off, off, off, err));
done:
    return status;
}

sae_status matching_report(sae_result *r, const matching_set *s, sae_error *err)
{
    sae_status status = SAE_OK;

    qsort(s->curve, (size_t)s->n, sizeof *s->curve, by_l0);
    if (s->n_base > 1) qsort(s->base_curve, (size_t)s->n_base, sizeof *s->base_curve, by_l0);
    SAE_TRY(sae_result_table(r, s->name, s->title, columns, s->n_measures + 2, err));
    SAE_TRY(add_row(r, s, "baseline", &s->base, err));
    SAE_TRY(add_numbers(r, s, "baseline", &s->base, err));
    SAE_TRY(add_base_curve(r, s, err));
    SAE_TRY(add_equal_k(r, s, err));
    if (s->n < 2) SAE_TRY(few_note(r, s, err));
    for (int i = 0; i < MATCHING_RULES; i++) {
        if (s->n > 1) SAE_TRY(add_interpolated(r, s, i, err));
        if (s->trained[i]) SAE_TRY(add_trained(r, s, i, err));
    }
    SAE_TRY(add_less_table(r, s, err));
done:
    return status;
}

sae_status matching_note(sae_result *r, sae_error *err)
{
    return sae_result_note(
        r,
        "The scaffold's codes are not counted in k or L0; \"equal L0 + r\" counts them. At other k than the pairs' "
        "numbers are taken between the k that were trained, linear in L0 or FVU (dense latents and their mass in the "
        "logarithm of one more), from one "
        "seed: they say which way it goes, not whether it would in another. Equal L0 + r and equal FVU lower k, and a "
        "lower k alone has fewer dense latents: \"baseline of that L0\" is what the baseline has at the L0 of the row "
        "above, between baselines of several k.",
        err);
}

/* ---- The part of a run -------------------------------------------------------------------------------------------------------- */

interval experiment_interval(const experiment *e, const roster_entry *r, const char *key)
{
    char name[128], probing[32], tpp[32];
    double v[3];

    snprintf(name, sizeof name, "%s.%s", r->name, key);
    snprintf(probing, sizeof probing, "%s-probing", arch_name(r->config.arch));
    snprintf(tpp, sizeof tpp, "%s-tpp", arch_name(r->config.arch));
    const sae_result *in[] = {experiment_find(e, "census", "census"), experiment_find(e, "matched", "matched"),
                              experiment_find(e, "documents", probing), experiment_find(e, "documents", tpp)};
    for (size_t i = 0; i < sizeof in / sizeof *in; i++)
        if (in[i] && sae_result_get_interval(in[i], name, v) && isfinite(v[0])) return (interval){v[0], v[1], v[2]};
    return (interval){NAN, NAN, NAN};
}

double experiment_number(const experiment *e, const roster_entry *r, const char *key)
{
    return experiment_interval(e, r, key).value;
}

matching_place matching_place_of(const experiment *e, const roster_entry *r)
{
    matching_place p = {.k = (double)r->config.k};

    for (int m = 0; m < MATCHING_MEASURES; m++) p.at[m] = experiment_number(e, r, matching_keys[m]);
    return p;
}

/* Scaffolds of the first seed at every k of the grid. */
static int curve_of(const experiment *e, sae_arch arch, matching_place *curve)
{
    int n = 0;

    for (int i = 0; i < e->roster.n; i++) {
        const roster_entry *r = &e->roster.entries[i];
        if (roster_is_at_k(e, r, arch) && r->use != USE_MATCHED) curve[n++] = matching_place_of(e, r);
    }
    return n;
}

int matching_base_curve(const experiment *e, sae_arch arch, matching_place *curve)
{
    int n = 0;

    for (int i = 0; i < e->roster.n; i++)
        if (roster_is_baseline_at_k(e, &e->roster.entries[i], arch))
            curve[n++] = matching_place_of(e, &e->roster.entries[i]);
    return n;
}

double matching_baseline_number(const experiment *e, sae_arch arch, double l0, const char *key)
{
    matching_place curve[MATCHING_CURVE_MAX], at;
    const matching_set s = {.base_curve = curve, .n_base = matching_base_curve(e, arch, curve)};

    if (!matching_baseline(&s, l0, &at)) return NAN;
    for (int m = 0; m < MATCHING_MEASURES; m++)
        if (strcmp(matching_keys[m], key) == 0) return at.at[m];
    return NAN;
}

void matching_set_of(const experiment *e, sae_arch arch, matching_place *curve, matching_set *out)
{
    const scaffold_options *o = &e->options;

    *out = (matching_set){.name = arch_name(arch),
                          .kind = variant_labels[o->variants[0]],
                          .rank = (double)o->rank,
                          .n_measures = MATCHING_MEASURES,
                          .base = matching_place_of(e, roster_pair(e, arch, USE_BASELINE, o->seed)),
                          .curve = curve,
                          .n = curve_of(e, arch, curve)};
}

static sae_status of_arch(experiment *e, sae_arch arch, sae_result *r, sae_error *err)
{
    const scaffold_options *o = &e->options;
    matching_place curve[MATCHING_CURVE_MAX], base_curve[MATCHING_CURVE_MAX], trained[MATCHING_RULES];
    matching_place equal_k = matching_place_of(e, roster_pair(e, arch, USE_SCAFFOLD, o->seed));
    char title[96];
    matching_set set;

    matching_set_of(e, arch, curve, &set);
    set.title = title;
    set.equal_k = &equal_k;
    set.base_curve = base_curve;
    set.n_base = matching_base_curve(e, arch, base_curve);
    for (int i = 0; i < MATCHING_RULES; i++) {
        const roster_entry *of = matched_entry(e, arch, i);
        if (!of) continue;
        trained[i] = matching_place_of(e, of);
        set.trained[i] = &trained[i];
    }
    snprintf(title, sizeof title, "%s, seed %llu", set.name, (unsigned long long)o->seed);
    return matching_report(r, &set, err);
}

static sae_status matching(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_result *r = NULL;

    SAE_TRY(experiment_result(e, "matching", "With something held equal", &r, err));
    SAE_TRY(matching_note(r, err));
    if (experiment_find(e, "matched", "matched"))
        SAE_TRY(
            sae_result_note(r,
                            "\"Trained\": the dictionary at the whole k at which what is held equal is nearest to the "
                            "baseline's, and by how much of the baseline's it is off. The rows without that word are "
                            "taken between the others.",
                            err));
    for (int a = 0; a < e->options.n_archs; a++) SAE_TRY(of_arch(e, e->options.archs[a], r, err));
done:
    return status;
}

sae_status matching_parts(experiment *e, sae_error *err) { return part_derive(e, "matching", matching, err); }
