/*
 * ranks.c - everything against the scaffold's rank (docs/method.md, E9), with the first architecture and seed: dense latents, fit,
 * probing, TPP, what removing the scaffold costs beside as many principal components, and the knee.
 */
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

static sae_status remove_rank(experiment *e, const roster_entry *r, sae_result *numbers, sae_error *err)
{
    static const char *const keys[] = {"R2", "R3", "pca.R2", "pca.R3"};
    sae_status status = SAE_OK;
    sae_dict *dict = NULL;
    subspace U = {0}, pca;
    loss_table losses = {0};

    SAE_TRY(roster_load(e, r, &dict, err));
    SAE_TRY(subspace_of_rows(&U, sae_dict_weights(dict).W_up, r->config.rank, e->d, err));
    pca = row_components(&e->rows, U.rank);
    const edit_space spaces[] = {{&U, NULL}, {&U, e->rows.mean}, {&pca, NULL}, {&pca, e->rows.mean}};
    edit edits[5] = {{"clean", NULL, NULL}};
    for (int i = 0; i < 4; i++) edits[i + 1] = (edit){keys[i], edit_remove, &spaces[i]};
    SAE_TRY(splice_measure(&losses, &e->held_out, splice_sequences(&e->held_out, e->options.ce_tokens), edits, 5,
                           e->progress, err));
    for (int i = 0; i < 4; i++) {
        interval v;
        char key[96];
        snprintf(key, sizeof key, "%s.%s", r->name, keys[i]);
        SAE_TRY(loss_ratio(&v, &losses, i + 1, 0, e->options.seed, err));
        SAE_TRY(sae_result_silent(numbers, key, v.value, v.low, v.high, err));
    }
done:
    loss_table_free(&losses);
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

static double removal_number(const experiment *e, const roster_entry *r, const char *what)
{
    const sae_result *numbers = experiment_find(e, "ranks-removal", "removal");
    char key[96];

    if (r->config.rank == 0) return 1;
    snprintf(key, sizeof key, "%s.%s", r->name, what);
    return numbers ? sae_result_get(numbers, key, NAN) : NAN;
}

static sae_status table(const experiment *e, const roster_entry *const *of, int n, sae_result *r, sae_error *err)
{
    static const char *const columns[] = {"rank",        "L0",       "FVU",        "dense 5 %",  "10 %",   "20 %",
                                          "probing k 5", "TPP n 20", "removed R2", "removed R3", "PCA R2", "PCA R3"};
    static const char *const census[] = {"l0", "fvu", "dense_0.05", "dense_0.1", "dense_0.2", "probing.k5", "tpp.n20"};
    static const char *const removed[] = {"R2", "R3", "pca.R2", "pca.R3"};
    sae_status status = SAE_OK;

    SAE_TRY(sae_result_table(r, "ranks", "By rank; removed: CE after taking it out / CE clean", columns, 12, err));
    for (int i = 0; i < n; i++) {
        sae_cell cells[12] = {{NULL, (double)of[i]->config.rank}};
        for (int c = 0; c < 7; c++) cells[c + 1] = (sae_cell){NULL, experiment_number(e, of[i], census[c])};
        for (int c = 0; c < 4; c++) cells[c + 8] = (sae_cell){NULL, removal_number(e, of[i], removed[c])};
        SAE_TRY(sae_result_row(r, "ranks", cells, 12, err));
    }
done:
    return status;
}

static sae_status plot(const experiment *e, const roster_entry *const *of, int n, sae_result *r, const char *name,
                       const char *title, const char *y_label, const char *const *keys, const char *const *labels,
                       int n_keys, bool removed, sae_error *err)
{
    sae_status status = SAE_OK;
    double x[POINTS_MAX], y[POINTS_MAX];
    bool any = false;

    for (int k = 0; k < n_keys; k++) {
        for (int i = 0; i < n; i++) {
            x[i] = (double)of[i]->config.rank;
            y[i] = removed ? removal_number(e, of[i], keys[k]) : experiment_number(e, of[i], keys[k]);
            any = any || isfinite(y[i]);
        }
        if (!any) return SAE_OK; /* not measured in this run */
        if (k == 0) SAE_TRY(sae_result_plot(r, name, title, "rank", y_label, SAE_PLOT_LINE, 0, err));
        SAE_TRY(sae_result_series(r, name, labels[k], x, y, n, err));
    }
done:
    return status;
}

static sae_status plots(const experiment *e, const roster_entry *const *of, int n, sae_result *r, sae_error *err)
{
    static const char *const dense[] = {"dense_0.05", "dense_0.1", "dense_0.2"}, *const fvu[] = {"fvu"};
    static const char *const dense_labels[] = {"over 5 % of tokens", "10 %", "20 %"}, *const fvu_labels[] = {"FVU"};
    static const char *const removed[] = {"R2", "R3", "pca.R2", "pca.R3"};
    static const char *const removed_labels[] = {"scaffold, R2", "scaffold, R3", "PCA, R2", "PCA, R3"};
    static const char *const documents[] = {"probing.k5", "tpp.n20"};
    static const char *const documents_labels[] = {"probing accuracy, k 5", "TPP, n 20"};
    sae_status status = SAE_OK;

    SAE_TRY(plot(e, of, n, r, "dense", "Dense latents", "latents", dense, dense_labels, 3, false, err));
    SAE_TRY(plot(e, of, n, r, "fvu", "Unexplained variance", "FVU", fvu, fvu_labels, 1, false, err));
    SAE_TRY(plot(e, of, n, r, "removed", "Loss after removal", "CE after / CE clean", removed, removed_labels, 4, true,
                 err));
    SAE_TRY(plot(e, of, n, r, "documents", "Sparse probing and TPP", "accuracy, TPP", documents, documents_labels, 2,
                 false, err));
    if (e->options.n_labelled > 0) SAE_TRY(sae_result_line(r, "documents", "probing by chance", false, 0.5, err));
done:
    return status;
}

static sae_status put_knee(const experiment *e, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;
    const sae_result *found = experiment_find(e, "ranks-removal", "knee");
    double knee[3];
    char text[500];

    if (!found || !sae_result_get_interval(found, "knee", knee)) return SAE_OK;
    snprintf(
        text, sizeof text,
        "The knee: rank %.0f; on other text, 95 %%, %.0f to %.0f. It is the last rank of the grid into which FVU falls "
        "by more per direction than sparse features in random positions could make it (4 FVU / d), and at which all "
        "directions together do; 0: no scaffold is worth it.",
        knee[0], knee[1], knee[2]);
    SAE_TRY(sae_result_note(r, text, err));
    SAE_TRY(sae_result_silent(r, "knee", knee[0], knee[1], knee[2], err));
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
