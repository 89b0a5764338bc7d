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

typedef struct document_bar {
    const char *name, *key; /* of the baseline and of the scaffold: "probing.mean" */
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
            if (experiment_found(e, "documents", part, key, &v) || a == ARM_BASELINE) add_bar(&b, wanted[i].name, &v);
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
    static const document_bar probing[] = {{"latents", "probing.mean"},
                                           {"and scaffold codes", "probing.scaffold.mean"},
                                           {"these, scaled choice", "probing.scaffold.scaled.mean"},
                                           {"random latents", "probing.random.mean"},
                                           {"labels shuffled", "probing.shuffled.mean"}};
    static const document_bar tpp[] = {{"latents", "tpp.mean"},
                                       {"and scaffold codes", "tpp.scaffold.mean"},
                                       {"random latents", "tpp.random.mean"},
                                       {"labels shuffled", "tpp.shuffled.mean"}};
    sae_status status = SAE_OK;

    SAE_TRY(document_plot(e, arch, "probing", "Sparse probing, accuracy, mean over k", probing, 5, 0.5, r, err));
    SAE_TRY(document_plot(e, arch, "tpp", "TPP, mean over n", tpp, 4, 0, r, err));
done:
    return status;
}

/* ---- Topics ---------------------------------------------------------------------------------------------------------------- */

/* An arm by its name in the results, and its bar. */
typedef struct topic_bar {
    char label[32], arm[TOPICS_NAME];
} topic_bar;

enum { TOPIC_BARS = 1 + 3 * TOPICS_OPERATORS + 2 * TOPICS_COUNTS };

/* Each change with its controls beside it; those that were not measured too. */
static int list_topic_bars(int64_t width, topic_bar list[TOPIC_BARS])
{
    static const char *const removed[] = {TOPICS_SCAFFOLD, TOPICS_PCA, TOPICS_RANDOM};
    static const char *const called[] = {"scaffold", "PCA", "random"};
    const int64_t counts[TOPICS_COUNTS] = {(width + 4) / 8, (width + 4) / 8 == 2048 ? 0 : 2048};
    int n = 0;

    snprintf(list[n].label, sizeof list[n].label, "clean");
    snprintf(list[n++].arm, TOPICS_NAME, "%s", TOPICS_CLEAN);
    for (int op = 0; op < TOPICS_OPERATORS; op++)
        for (int i = 0; i < 3; i++, n++) {
            snprintf(list[n].label, sizeof list[n].label, "%s %s", called[i], op ? "about the mean" : "removed");
            topics_removed_name(list[n].arm, removed[i], op);
        }
    for (int i = 0; i < TOPICS_COUNTS; i++)
        for (int which = TOPICS_ALIGNED; counts[i] > 0 && which <= TOPICS_ALIKE; which++, n++) {
            snprintf(list[n].label, sizeof list[n].label, "%lld %s", (long long)counts[i],
                     which == TOPICS_ALIGNED ? "aligned" : "of equal density");
            topics_ablated_name(list[n].arm, counts[i], (topics_features)which);
        }
    return n;
}

static sae_status topics_plot(const experiment *e, sae_arch arch, sae_result *r, sae_error *err)
{
    static const char *const probes[] = {"fixed", "retrained"};
    sae_status status = SAE_OK;
    char part[64], plot[48], title[96], axis[64];
    topic_bar list[TOPIC_BARS];
    const int n = list_topic_bars(e->options.width, list);
    interval v;

    snprintf(part, sizeof part, "%s-topics", arch_name(arch));
    const char *set = scaffold_topics_set(e, part);
    if (!set) return SAE_OK; /* not measured in this run */
    snprintf(plot, sizeof plot, "topics_%s", arch_name(arch));
    snprintf(title, sizeof title, "Topics of documents, %s", arch_name(arch));
    snprintf(axis, sizeof axis, "accuracy, %s", set);
    SAE_TRY(sae_result_plot(r, plot, title, NULL, axis, SAE_PLOT_BAR, 0, err));
    for (int p = 0; p < 2; p++) {
        bars b = {0};
        for (int i = 0; i < n; i++)
            if (scaffold_topics_number(e, part, set, list[i].arm, probes[p], &v)) add_bar(&b, list[i].label, &v);
        SAE_TRY(put_bars(r, plot, p == 0 ? "fixed probe" : "probe trained anew", &b, err));
    }
    if (scaffold_topics_number(e, part, set, NULL, "chance", &v))
        SAE_TRY(sae_result_line(r, plot, "chance", false, v.value, err));
done:
    return status;
}

/* ---- Something held equal ------------------------------------------------------------------------------------------------- */

typedef struct matched_plot {
    const char *name, *title, *x_label, *y_label;
    double chance;
    const char *keys[3], *names[3]; /* up to the first without a key */
} matched_plot;

static const matched_plot matched_plots[] = {
    {"dense",
     "Dense latents",
     "firing on more than this share of tokens",
     "latents",
     NAN,
     {"dense_0.05", "dense_0.1", "dense_0.2"},
     {"5 %", "10 %", "20 %"}},
    {"probing",
     "Sparse probing",
     "latents of a probe",
     "accuracy",
     0.5,
     {"probing.k1", "probing.k5", "probing.mean"},
     {"k 1", "k 5", "mean over k"}},
    {"tpp", "TPP", "latents ablated", "TPP", 0, {"tpp.n20", "tpp.mean", NULL}, {"n 20", "mean over n", NULL}}};
enum {
    PLAIN_BARS = 2,
    MATCHED_BARS = PLAIN_BARS + 2 * MATCHING_RULES
}; /* baseline, equal k, and the rules, each
                                                                            with the baseline of its L0 behind it */
/* The baseline of the L0 that a rule gives; at equal L0 that is the baseline. */
static bool is_of_that_l0(int which) { return which >= PLAIN_BARS && (which - PLAIN_BARS) % 2; }

/* One seed, so without whiskers. A rule that lies beyond the k that were trained has no bars. name: of the series. */
static bars matched_bars(const experiment *e, sae_arch arch, const matched_plot *p, int which, char name[64])
{
    const int rule = (which - PLAIN_BARS) / 2; /* of those behind the plain ones */
    bars b = {0};
    double off = NAN;

    for (int i = 0; i < 3 && p->keys[i]; i++) {
        char key[96];
        interval v;
        snprintf(key, sizeof key, "%s.%s.%s", arch_name(arch), which == 0 ? "baseline" : "k", p->keys[i]);
        if (which < PLAIN_BARS     ? experiment_found(e, "matching", "matching", key, &v)
            : is_of_that_l0(which) ? rule != MATCHING_L0 && matched_baseline(e, arch, rule, p->keys[i], &v)
                                   : matched_number(e, arch, rule, p->keys[i], &v, &off))
            add_bar(&b, p->names[i], &v);
    }
    if (which == 0)
        snprintf(name, 64, "baseline");
    else if (which < PLAIN_BARS)
        snprintf(name, 64, "scaffold, equal k");
    else if (is_of_that_l0(which))
        snprintf(name, 64, "baseline of the L0 at equal %s", matching_rules[rule].name);
    else
        snprintf(name, 64, "scaffold, equal %s%s", matching_rules[rule].name, isfinite(off) ? ", trained" : "");
    return b;
}

static sae_status matched_put(const experiment *e, sae_arch arch, const matched_plot *p, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;
    bars of[MATCHED_BARS];
    char plot[48], title[96], names[MATCHED_BARS][64];
    bool any = false;

    for (int i = 0; i < MATCHED_BARS; i++) {
        of[i] = matched_bars(e, arch, p, i, names[i]);
        any = any || (i >= PLAIN_BARS && of[i].n > 0);
    }
    if (!any) return SAE_OK; /* equal k alone: the plots above have it, of all seeds */
    snprintf(plot, sizeof plot, "matched_%s_%s", p->name, arch_name(arch));
    snprintf(title, sizeof title, "%s with something held equal, %s (one seed)", p->title, arch_name(arch));
    SAE_TRY(sae_result_plot(r, plot, title, p->x_label, p->y_label, SAE_PLOT_BAR, 0, err));
    for (int i = 0; i < MATCHED_BARS; i++) {
        if (of[i].n == 0) continue;
        SAE_TRY(sae_result_bars(r, plot, names[i], of[i].categories, of[i].y, NULL, NULL, of[i].n, err));
        if (is_of_that_l0(i)) SAE_TRY(sae_result_control(r, plot, names[i], err));
    }
    if (isfinite(p->chance)) SAE_TRY(sae_result_line(r, plot, "chance", false, p->chance, err));
done:
    return status;
}

/* ---- Against L0 ------------------------------------------------------------------------------------------------------------- */

enum { CURVE_MAX = MATCHING_CURVE_MAX };

/* One arm of the first seed at every k that was trained, in the order of L0. */
static int curve_of(const experiment *e, sae_arch arch, int arm, const char *key, double x[CURVE_MAX],
                    double y[CURVE_MAX])
{
    int n = 0;

    for (int i = 0; i < e->roster.n; i++) {
        const roster_entry *of = &e->roster.entries[i];
        if (!(arm == ARM_BASELINE ? roster_is_baseline_at_k(e, of, arch) : roster_is_at_k(e, of, arch))) continue;
        const double l0 = experiment_number(e, of, "l0");
        int at = n++;
        for (; at > 0 && x[at - 1] > l0; at--) {
            x[at] = x[at - 1];
            y[at] = y[at - 1];
        }
        x[at] = l0;
        y[at] = experiment_number(e, of, key);
    }
    return n;
}

/* A scaffold at a lower k beside what the lower k does without one. */
static sae_status curve_plot(const experiment *e, sae_arch arch, const char *key, const char *name, const char *title,
                             sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;
    double x[CURVE_MAX], y[CURVE_MAX];
    char plot[48], full[128];

    if (e->options.n_ks == 0) return SAE_OK;
    snprintf(plot, sizeof plot, "by_l0_%s_%s", name, arch_name(arch));
    snprintf(full, sizeof full, "%s by L0, %s (one seed)", title, arch_name(arch));
    SAE_TRY(sae_result_plot(r, plot, full, "L0 of the sparse part", title, SAE_PLOT_LINE, 0, err));
    for (int arm = ARMS; arm-- > 0;) {
        const int n = curve_of(e, arch, arm, key, x, y);
        SAE_TRY(sae_result_series(r, plot, arm_names[arm], x, y, n, err));
    }
    SAE_TRY(sae_result_control(r, plot, arm_names[ARM_BASELINE], err));
done:
    return status;
}

static sae_status curve_plots(const experiment *e, sae_arch arch, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;
    char title[64];

    snprintf(title, sizeof title, "Dense latents (over %g %%)", 100 * e->options.dense_threshold);
    SAE_TRY(curve_plot(e, arch, e->dense_key, "dense", title, r, err));
    SAE_TRY(curve_plot(e, arch, "fvu", "fvu", "FVU", r, err));
    if (e->options.n_labelled > 0) {
        SAE_TRY(curve_plot(e, arch, "probing.k5", "probing", "Sparse probing, accuracy at k 5", r, err));
        SAE_TRY(curve_plot(e, arch, "tpp.n20", "tpp", "TPP at n 20", r, err));
    }
done:
    return status;
}

/* ---- Outlier dimensions ---------------------------------------------------------------------------------------------------- */

static bool structure_number(const experiment *e, sae_arch arch, int64_t seed, const char *key, interval *v)
{
    const roster_entry *of = roster_pair(e, arch, USE_SCAFFOLD, e->options.seed + (uint64_t)seed);

    return of && experiment_found(e, of->name, "structure", key, v);
}

/* Mean over the seeds, from the least to the most of them; false: not measured, or there is no such dimension. */
static bool outliers_inside(const experiment *e, sae_arch arch, const char *of, int definition, interval *out)
{
    char key[48], count[48];
    interval v;

    snprintf(key, sizeof key, "outlier_inside_%sO%d", of, definition);
    snprintf(count, sizeof count, "outlier_count_O%d", definition);
    *out = (interval){0, INFINITY, -INFINITY};
    for (int64_t s = 0; s < e->options.seeds; s++) {
        if (!structure_number(e, arch, s, count, &v) || !(v.value > 0)) return false;
        if (!structure_number(e, arch, s, key, &v)) return false;
        out->value += v.value / (double)e->options.seeds;
        out->low = fmin(out->low, v.value);
        out->high = fmax(out->high, v.value);
    }
    return e->options.seeds > 0;
}

static sae_status outliers_plot(const experiment *e, sae_arch arch, sae_result *r, sae_error *err)
{
    static const char *const names[] = {"O1: 99.9th percentile", "O2: 3 deviations", "O3: |x| >= 6",
                                        "O4: in its own row"};
    static const struct {
        const char *key, *label;
    } spaces[] = {{"", "scaffold"}, {"pca_", "PCA"}};
    sae_status status = SAE_OK;
    char plot[48], title[96];
    interval chance;
    bool begun = false;

    snprintf(plot, sizeof plot, "outliers_%s", arch_name(arch));
    snprintf(title, sizeof title, "Outlier dimensions inside the scaffold, %s (whiskers: all seeds)", arch_name(arch));
    for (int s = 0; s < 2; s++) {
        bars b = {0};
        for (int i = 0; i < 4; i++) {
            interval v;
            if (outliers_inside(e, arch, spaces[s].key, i + 1, &v)) add_bar(&b, names[i], &v);
        }
        if (b.n > 0 && !begun)
            SAE_TRY(sae_result_plot(r, plot, title, NULL, "mean share of their axes", SAE_PLOT_BAR, 0, err));
        begun = begun || b.n > 0;
        SAE_TRY(put_bars(r, plot, spaces[s].label, &b, err));
    }
    if (begun && structure_number(e, arch, 0, "overlap_chance_r", &chance))
        SAE_TRY(sae_result_line(r, plot, "chance", false, chance.value, err));
done:
    return status;
}

/* ---- Overlap with PCA ------------------------------------------------------------------------------------------------------ */

/* Over n seeds from the least to the most of them, of one variant; false: not measured. */
static bool overlap_of(const experiment *e, sae_arch arch, sae_variant variant, int64_t n, interval *out)
{
    interval v;

    *out = (interval){0, INFINITY, -INFINITY};
    for (int64_t s = 0; s < n; s++) {
        const roster_entry *of = roster_find(e, arch, USE_SCAFFOLD, variant, e->options.seed + (uint64_t)s);
        if (!of || !experiment_found(e, of->name, "structure", "overlap_pca_r", &v)) return false;
        out->value += v.value / (double)n;
        out->low = fmin(out->low, v.value);
        out->high = fmax(out->high, v.value);
    }
    return n > 0;
}

/* P3's beside it: what learns PCA by construction reaches in these steps. */
static sae_status overlap_plot(const experiment *e, sae_result *r, sae_error *err)
{
    static const char control[] = "P3, which learns PCA";
    const sae_variant first = e->options.variants[0];
    sae_status status = SAE_OK;
    bars own = {0}, p3 = {0};
    interval v, chance;

    for (int a = 0; a < e->options.n_archs; a++) {
        const sae_arch arch = e->options.archs[a];
        if (overlap_of(e, arch, first, e->options.seeds, &v)) add_bar(&own, arch_name(arch), &v);
        if (first != SAE_P3 && overlap_of(e, arch, SAE_P3, 1, &v)) add_bar(&p3, arch_name(arch), &v);
    }
    if (own.n == 0) return SAE_OK;
    SAE_TRY(sae_result_plot(r, "overlap",
                            "Share of the scaffold in the top r principal components (whiskers: all seeds)", NULL,
                            "1 identical", SAE_PLOT_BAR, 0, err));
    SAE_TRY(put_bars(r, "overlap", first == SAE_P3 ? control : "scaffold", &own, err));
    SAE_TRY(put_bars(r, "overlap", control, &p3, err));
    if (p3.n > 0) SAE_TRY(sae_result_control(r, "overlap", control, err));
    if (structure_number(e, e->options.archs[0], 0, "overlap_chance_r", &chance))
        SAE_TRY(sae_result_line(r, "overlap", "chance", false, chance.value, err));
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
    for (int a = 0; a < e->options.n_archs; a++)
        for (size_t i = 0; i < sizeof matched_plots / sizeof *matched_plots; i++)
            SAE_TRY(matched_put(e, e->options.archs[a], &matched_plots[i], r, err));
    for (int a = 0; a < e->options.n_archs; a++) SAE_TRY(curve_plots(e, e->options.archs[a], r, err));
    for (int a = 0; a < e->options.n_archs; a++) SAE_TRY(outliers_plot(e, e->options.archs[a], r, err));
    SAE_TRY(overlap_plot(e, r, err));
done:
    return status;
}
