/*
 * ranks.c - everything against the scaffold's rank (docs/method.md, E9), with the first architecture and seed: dense latents, fit,
 * probing, TPP, what removing the scaffold costs beside as many principal components and random subspaces, and the knee.
 */
#include "lab/knee.h"
#include "lab/loss_report.h"
#include "lab/scaffold.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { POINTS_MAX = RANKS_MAX + 2 };

/* Dictionaries alike but for the rank, ascending. */
static int of_ranks(const experiment *e, const roster_entry *out[POINTS_MAX])
{
    const scaffold_options *o = &e->options;
    int n = 0;

    for (int i = 0; i < e->roster.n; i++) {
        const roster_entry *r = &e->roster.entries[i];
        bool pair = r->use == USE_BASELINE || (r->use == USE_SCAFFOLD && r->config.variant == o->variants[0]);
        if (r->config.arch != o->archs[0] || r->config.seed != o->seed || (r->use != USE_RANK && !pair)) continue;
        int at = n++;
        for (; at > 0 && out[at - 1]->config.rank > r->config.rank; at--) out[at] = out[at - 1];
        out[at] = r;
    }
    return n;
}

/* ---- Removal ---------------------------------------------------------------------------------------------------------------- */

/* The scaffold and as many principal components by R2 and R3, then each random subspace by both. */
enum { OWN_REMOVALS = 4, REMOVALS = OWN_REMOVALS + 2 };
static const char *const removals[REMOVALS] = {"R2", "R3", "pca.R2", "pca.R3", "random.R2", "random.R3"};
static const char *const over_random[2] = {"over_random.R2", "over_random.R3"};

typedef struct rank_edits {
    subspace random[RANK_DRAWS];
    edit_space spaces[OWN_REMOVALS + 2 * RANK_DRAWS];
    edit edits[1 + OWN_REMOVALS + 2 * RANK_DRAWS]; /* first the clean model */
} rank_edits;

static sae_status make_edits(rank_edits *m, const experiment *e, const subspace *U, const subspace *pca, sae_error *err)
{
    sae_status status = SAE_OK;
    rng chance = rng_seed(e->options.seed, 77); /* as in the comparison, so that equal ranks give equal subspaces */

    for (int k = 0; k < RANK_DRAWS; k++) SAE_TRY(subspace_random(&m->random[k], e->d, U->rank, &chance, err));
    for (int i = 0; i < OWN_REMOVALS + 2 * RANK_DRAWS; i++) {
        const subspace *of = i < 2 ? U : i < OWN_REMOVALS ? pca : &m->random[(i - OWN_REMOVALS) / 2];
        m->spaces[i] = (edit_space){of, i % 2 ? e->rows.mean : NULL};
        m->edits[1 + i] = (edit){.fn = edit_remove, .user = &m->spaces[i]};
    }
done:
    return status;
}

static sae_status put_ratio(sae_result *numbers, const roster_entry *r, const char *what, const interval *v,
                            sae_error *err)
{
    char key[96];

    snprintf(key, sizeof key, "%s.%s", r->name, what);
    return sae_result_silent(numbers, key, v->value, v->low, v->high, err);
}

/* By one operator: ratios to clean of each draw ("random1.R2") and of their mean, where another draw would lie too; the scaffold over their
 * mean. */
static sae_status put_random(sae_result *numbers, const roster_entry *r, const loss_table *losses, int op,
                             uint64_t seed, sae_error *err)
{
    sae_status status = SAE_OK;
    const loss_draws draws = {1 + OWN_REMOVALS + op, 2, RANK_DRAWS};
    double each[RANK_DRAWS];
    interval v;

    for (int k = 0; k < RANK_DRAWS; k++) {
        char what[24];
        snprintf(what, sizeof what, "random%d.R%d", k + 1, 2 + op);
        SAE_TRY(loss_ratio(&v, losses, draws.first + k * draws.step, 0, seed, err));
        SAE_TRY(put_ratio(numbers, r, what, &v, err));
        each[k] = v.value;
    }
    SAE_TRY(loss_ratio_of_draws(&v, losses, draws, 0, seed, err));
    v = interval_beside_draws(v, each, RANK_DRAWS);
    SAE_TRY(put_ratio(numbers, r, removals[OWN_REMOVALS + op], &v, err));
    SAE_TRY(loss_ratio_beside(&v, losses, 1 + op, draws, seed, err));
    SAE_TRY(put_ratio(numbers, r, over_random[op], &v, err));
done:
    return status;
}

/* Beside the scaffold as many principal components, and random subspaces of the rank. */
static sae_status remove_rank(experiment *e, const roster_entry *r, sae_result *numbers, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_dict *dict = NULL;
    subspace U = {0}, pca;
    rank_edits m = {.edits = {{.fn = NULL}}};
    loss_table losses = {0};

    SAE_TRY(roster_load(e, r, &dict, err));
    SAE_TRY(subspace_of_rows(&U, sae_dict_weights(dict).W_up, r->config.rank, e->d, err));
    pca = row_components(&e->rows, U.rank);
    SAE_TRY(make_edits(&m, e, &U, &pca, err));
    SAE_TRY(splice_measure(&losses, &e->held_out, splice_sequences(&e->held_out, e->options.ce_tokens), m.edits,
                           sizeof m.edits / sizeof *m.edits, e->progress, err));
    for (int i = 0; i < OWN_REMOVALS; i++) {
        interval v;
        SAE_TRY(loss_ratio(&v, &losses, i + 1, 0, e->options.seed, err));
        SAE_TRY(put_ratio(numbers, r, removals[i], &v, err));
    }
    for (int op = 0; op < 2; op++) SAE_TRY(put_random(numbers, r, &losses, op, e->options.seed, err));
done:
    loss_table_free(&losses);
    for (int k = 0; k < RANK_DRAWS; k++) subspace_free(&m.random[k]);
    subspace_free(&U);
    sae_dict_free(dict);
    return status;
}

static sae_status removal(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    const roster_entry *of[POINTS_MAX];
    sae_result *numbers = NULL;
    int n = of_ranks(e, of);

    SAE_TRY(experiment_sample(e, err));
    SAE_TRY(experiment_result(e, "removal", "CE after removing scaffolds of several ranks", &numbers, err));
    for (int i = 0; i < n; i++)
        if (of[i]->config.rank > 0) SAE_TRY(remove_rank(e, of[i], numbers, err));
    SAE_TRY(experiment_result(e, "knee", "How many directions a scaffold is worth", &numbers, err));
    SAE_TRY(ranks_knee(e, of, n, numbers, err));
done:
    return status;
}

/* ---- The report --------------------------------------------------------------------------------------------------------------- */

static interval removal_interval(const experiment *e, const roster_entry *r, const char *what)
{
    const sae_result *numbers = experiment_find(e, "ranks-removal", "removal");
    char key[96];
    double v[3];

    if (r->config.rank == 0) return (interval){1, 1, 1};
    snprintf(key, sizeof key, "%s.%s", r->name, what);
    if (!numbers || !sae_result_get_interval(numbers, key, v)) return (interval){NAN, NAN, NAN};
    return (interval){v[0], v[1], v[2]};
}

static sae_status table(const experiment *e, const roster_entry *const *of, int n, sae_result *r, sae_error *err)
{
    enum { CENSUS = 7, COLUMNS = 1 + CENSUS + REMOVALS + 2 };
    static const char *const columns[COLUMNS] = {"rank",
                                                 "L0",
                                                 "FVU",
                                                 "dense 5 %",
                                                 "10 %",
                                                 "20 %",
                                                 "probing k 5",
                                                 "TPP n 20",
                                                 "removed R2",
                                                 "removed R3",
                                                 "PCA R2",
                                                 "PCA R3",
                                                 "random R2",
                                                 "random R3",
                                                 "R2 over random [95 %]",
                                                 "R3 over random [95 %]"};
    static const char *const census[CENSUS] = {"l0",        "fvu",        "dense_0.05", "dense_0.1",
                                               "dense_0.2", "probing.k5", "tpp.n20"};
    sae_status status = SAE_OK;

    SAE_TRY(sae_result_table(r, "ranks", "By rank; removed: CE after taking it out / CE clean", columns, COLUMNS, err));
    for (int i = 0; i < n; i++) {
        sae_cell cells[COLUMNS] = {{NULL, (double)of[i]->config.rank}};
        char text[2][INTERVAL_TEXT];
        for (int c = 0; c < CENSUS; c++) cells[1 + c] = (sae_cell){NULL, experiment_number(e, of[i], census[c])};
        for (int c = 0; c < REMOVALS; c++)
            cells[1 + CENSUS + c] = (sae_cell){NULL, removal_interval(e, of[i], removals[c]).value};
        for (int op = 0; op < 2; op++) {
            const interval v = removal_interval(e, of[i], over_random[op]);
            snprintf(text[op], INTERVAL_TEXT, "-");
            if (of[i]->config.rank > 0 && isfinite(v.value)) interval_text(text[op], &v);
            cells[1 + CENSUS + REMOVALS + op] = (sae_cell){text[op], v.value};
        }
        SAE_TRY(sae_result_row(r, "ranks", cells, COLUMNS, err));
    }
done:
    return status;
}

/* ---- Plots -------------------------------------------------------------------------------------------------------------------- */

typedef struct rank_plot {
    const char *name, *title, *y_label;
    bool removed;     /* numbers of removal, else of the census and the documents */
    bool baselines;   /* those of all seeds, and the one of L0 + r, as controls */
    const char *line; /* the name of a level; NULL: there is none */
    double level;
    struct {
        const char *key, *label;
        bool control;
    } series[REMOVALS]; /* up to the first without a key */
} rank_plot;

/* What is counted on another scale than its neighbour has a plot of its own; the control is in the same one. */
static const rank_plot rank_plots[] = {
    {.name = "dense_0.05",
     .title = "Dense latents, over 5 % of tokens",
     .y_label = "latents",
     .baselines = true,
     .series = {{"dense_0.05", "latents"}}},
    {.name = "dense_0.1",
     .title = "Dense latents, over 10 % of tokens",
     .y_label = "latents",
     .baselines = true,
     .series = {{"dense_0.1", "latents"}}},
    {.name = "dense_0.2",
     .title = "Dense latents, over 20 % of tokens",
     .y_label = "latents",
     .baselines = true,
     .series = {{"dense_0.2", "latents"}}},
    {.name = "fvu", .title = "Unexplained variance", .y_label = "FVU", .series = {{"fvu", "FVU"}}},
    {.name = "removed",
     .title = "Loss after removal",
     .y_label = "CE after / CE clean",
     .removed = true,
     .series = {{"R2", "scaffold, R2"},
                {"R3", "scaffold, R3"},
                {"pca.R2", "PCA, R2"},
                {"pca.R3", "PCA, R3"},
                {"random.R2", "a random subspace, R2", true},
                {"random.R3", "a random subspace, R3", true}}},
    {.name = "probing",
     .title = "Sparse probing, k 5",
     .y_label = "accuracy",
     .line = "chance",
     .level = 0.5,
     .series = {{"probing.k5", "latents"},
                {"probing.random.k5", "random latents", true},
                {"probing.shuffled.k5", "labels shuffled", true}}},
    {.name = "tpp",
     .title = "TPP, n 20",
     .y_label = "TPP",
     .line = "chance",
     .level = 0,
     .series = {{"tpp.n20", "latents"},
                {"tpp.random.n20", "random latents", true},
                {"tpp.shuffled.n20", "labels shuffled", true}}}};

/* One curve; with its intervals where it has some. What was not measured in this run is left out: *drawn stays as it is. */
static sae_status put_series(const experiment *e, const roster_entry *const *of, int n, sae_result *r,
                             const rank_plot *p, int which, bool *drawn, sae_error *err)
{
    sae_status status = SAE_OK;
    double x[POINTS_MAX], y[POINTS_MAX], low[POINTS_MAX], high[POINTS_MAX];
    bool any = false, spread = false;

    for (int i = 0; i < n; i++) {
        const char *key = p->series[which].key;
        const interval v = p->removed ? removal_interval(e, of[i], key) : experiment_interval(e, of[i], key);
        x[i] = (double)of[i]->config.rank;
        y[i] = v.value;
        low[i] = v.low;
        high[i] = v.high;
        any = any || isfinite(v.value);
        spread = spread || v.low < v.high;
    }
    if (!any) return SAE_OK;
    if (!*drawn) SAE_TRY(sae_result_plot(r, p->name, p->title, "rank", p->y_label, SAE_PLOT_LINE, 0, err));
    *drawn = true;
    if (spread)
        SAE_TRY(sae_result_series_interval(r, p->name, p->series[which].label, x, y, low, high, n, err));
    else
        SAE_TRY(sae_result_series(r, p->name, p->series[which].label, x, y, n, err));
    if (p->series[which].control) SAE_TRY(sae_result_control(r, p->name, p->series[which].label, err));
done:
    return status;
}

/* What sparse features alone would make of FVU (knee.h): a step from the rank before, all directions from rank 0. The knee is the last
 * rank beneath both, which is easier seen by the gain of each direction, in a plot of its own. */
static sae_status put_limits(const experiment *e, const roster_entry *const *of, int n, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t ranks[POINTS_MAX];
    double x[POINTS_MAX], fvu[POINTS_MAX], step[POINTS_MAX], all[POINTS_MAX], mean_gain[POINTS_MAX];
    knee k;

    for (int i = 0; i < n; i++) {
        ranks[i] = of[i]->config.rank;
        x[i] = (double)ranks[i];
        fvu[i] = experiment_number(e, of[i], "fvu");
    }
    if (knee_find(&k, ranks, fvu, n, e->d, NULL) != SAE_OK) return SAE_OK; /* not measured at every rank */
    step[0] = all[0] = fvu[0];
    for (int i = 1; i < n; i++) {
        step[i] = fvu[i - 1] - (x[i] - x[i - 1]) * k.limit[i - 1];
        all[i] = fvu[0] - x[i] * k.limit[0];
        mean_gain[i - 1] = (fvu[0] - fvu[i]) / x[i];
    }
    SAE_TRY(sae_result_series(r, "fvu", "limit of sparse features, this step", x, step, n, err));
    SAE_TRY(sae_result_series(r, "fvu", "limit, all from rank 0", x, all, n, err));
    SAE_TRY(sae_result_control(r, "fvu", "limit of sparse features, this step", err));
    SAE_TRY(sae_result_control(r, "fvu", "limit, all from rank 0", err));
    SAE_TRY(
        sae_result_plot(r, "gain", "What a direction takes away", "rank", "FVU per direction", SAE_PLOT_LINE, 0, err));
    SAE_TRY(sae_result_series(r, "gain", "this step", x + 1, k.gain, k.n, err));
    SAE_TRY(sae_result_series(r, "gain", "limit of sparse features, this step", x + 1, k.limit, k.n, err));
    SAE_TRY(sae_result_control(r, "gain", "limit of sparse features, this step", err));
    SAE_TRY(sae_result_series(r, "gain", "all from rank 0", x + 1, mean_gain, k.n, err));
    SAE_TRY(sae_result_line(r, "gain", "limit, all", false, k.limit[0], err));
done:
    return status;
}

static sae_status put_control(sae_result *r, const rank_plot *p, const char *label, const double *x, const double *y,
                              const double *low, const double *high, int n, sae_error *err)
{
    sae_status status = SAE_OK;

    if (low)
        SAE_TRY(sae_result_series_interval(r, p->name, label, x, y, low, high, n, err));
    else
        SAE_TRY(sae_result_series(r, p->name, label, x, y, n, err));
    SAE_TRY(sae_result_control(r, p->name, label, err));
done:
    return status;
}

/* How far baselines of several seeds lie apart, from the least to the most; and the baseline whose L0 is that of each scaffold with its r codes
 * counted, where the curve of the baselines at other k has one. */
static sae_status put_baselines(const experiment *e, const roster_entry *const *of, int n, sae_result *r,
                                const rank_plot *p, sae_error *err)
{
    sae_status status = SAE_OK;
    const scaffold_options *o = &e->options;
    const char *key = p->series[0].key;
    double x[POINTS_MAX], mean[POINTS_MAX], low[POINTS_MAX], high[POINTS_MAX], same[POINTS_MAX];
    interval seeds = {0, INFINITY, -INFINITY};
    bool any = false;

    for (int64_t s = 0; s < o->seeds; s++) {
        const double v = experiment_number(e, roster_pair(e, o->archs[0], USE_BASELINE, o->seed + (uint64_t)s), key);
        seeds = (interval){seeds.value + v / (double)o->seeds, fmin(seeds.low, v), fmax(seeds.high, v)};
    }
    for (int i = 0; i < n; i++) {
        const double rank = (double)of[i]->config.rank;
        x[i] = rank;
        mean[i] = seeds.value;
        low[i] = seeds.low;
        high[i] = seeds.high;
        same[i] = matching_baseline_number(e, o->archs[0], experiment_number(e, of[i], "l0") + rank, key);
        any = any || isfinite(same[i]);
    }
    SAE_TRY(put_control(r, p, o->seeds > 1 ? "baselines of all seeds" : "baseline", x, mean, o->seeds > 1 ? low : NULL,
                        high, n, err));
    if (any) SAE_TRY(put_control(r, p, "baseline of equal L0 + r", x, same, NULL, NULL, n, err));
done:
    return status;
}

static sae_status plots(const experiment *e, const roster_entry *const *of, int n, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;

    for (size_t i = 0; i < sizeof rank_plots / sizeof *rank_plots; i++) {
        const rank_plot *p = &rank_plots[i];
        bool drawn = false;
        for (int k = 0; k < REMOVALS && p->series[k].key; k++) SAE_TRY(put_series(e, of, n, r, p, k, &drawn, err));
        if (drawn && p->baselines) SAE_TRY(put_baselines(e, of, n, r, p, err));
        if (drawn && p->line) SAE_TRY(sae_result_line(r, p->name, p->line, false, p->level, err));
        if (drawn && strcmp(p->name, "fvu") == 0) SAE_TRY(put_limits(e, of, n, r, err));
    }
done:
    return status;
}

static sae_status put_knee(const experiment *e, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;
    const sae_result *found = experiment_find(e, "ranks-removal", "knee");
    double at[3];
    char text[500];

    if (!found || !sae_result_get_interval(found, "knee", at)) return SAE_OK;
    snprintf(
        text, sizeof text,
        "The knee: rank %.0f; on other text, 95 %%, %.0f to %.0f. It is the last rank of the grid into which FVU falls "
        "by more per direction than sparse features in random positions could make it (4 FVU / d), and at which all "
        "directions together do; 0: no scaffold is worth it.",
        at[0], at[1], at[2]);
    SAE_TRY(sae_result_note(r, text, err));
    SAE_TRY(sae_result_silent(r, "knee", at[0], at[1], at[2], err));
    const double margin = sae_result_get(found, "knee_margin", 0);
    SAE_TRY(sae_result_silent(r, "knee_margin", margin, margin, margin, err));
done:
    return status;
}

static sae_status report(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    const roster_entry *of[POINTS_MAX];
    sae_result *r = NULL;
    int n = of_ranks(e, of);

    SAE_TRY(experiment_result(e, "ranks", "By the scaffold's rank", &r, err));
    SAE_TRY(put_knee(e, r, err));
    SAE_TRY(table(e, of, n, r, err));
    SAE_TRY(plots(e, of, n, r, err));
done:
    return status;
}

sae_status ranks_parts(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    const roster_entry *of[POINTS_MAX];
    json_t *all;
    int n = of_ranks(e, of);

    if (e->options.n_ranks == 0) return SAE_OK;
    all = json_object();
    for (int i = 0; i < n; i++) json_put(&all, of[i]->name, roster_identity(e, of[i]));
    SAE_TRY(part_run(e, "ranks-removal", part_identity(e, all), removal, err));
    SAE_TRY(part_derive(e, "ranks", report, err));
done:
    return status;
}

/* ---- The rank of the comparison (--rank knee) -------------------------------------------------------------------------------------- */

static sae_status measure_knee(experiment *e, sae_error *err)
{
    const roster_entry *of[POINTS_MAX];
    sae_result *r = NULL;
    int n = of_ranks(e, of);
    sae_status status = experiment_result(e, "knee", "The rank, before the comparison", &r, err);

    return status == SAE_OK ? ranks_knee(e, of, n, r, err) : status;
}

static sae_status train_ranks(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    double began = clock_seconds();
    bool kept = true;

    SAE_TRY(roster_make_ranks(e, err));
    for (int i = 0; i < e->roster.n; i++) kept = kept && e->roster.entries[i].trained;
    SAE_TRY(arms_train(e, USE_BASELINE, USE_RANK, NULL, err));
    SAE_TRY(experiment_spent(e, "training for the rank", clock_seconds() - began, kept, err));
done:
    return status;
}

sae_status ranks_choose(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *all = NULL;

    if (!e->options.rank_knee) return SAE_OK;
    SAE_TRY(train_ranks(e, err));
    all = json_object();
    for (int i = 0; i < e->roster.n; i++)
        json_put(&all, e->roster.entries[i].name, roster_identity(e, &e->roster.entries[i]));
    SAE_TRY(part_run(e, "knee", part_identity(e, all), measure_knee, err));
    const int64_t rank = (int64_t)sae_result_get(experiment_find(e, "knee", "knee"), "knee", 0);
    if (rank == 0)
        SAE_RAISE(
            err, SAE_STATE,
            "no rank of --ranks is worth its directions (the knee is at 0): there is no scaffold to compare; give "
            "--rank R --force to compare one all the same, what was trained is kept");
    budget_set_rank(&e->options, rank);
done:
    return status;
}
