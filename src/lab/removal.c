/*
 * removal.c - how much worse the model predicts when a subspace is taken out of the site: scaffold against PCA, against the
 * densest latents, against chance, with and without the mean, with the norm kept.
 */
#include "lab/scaffold.h"

#include <math.h>
#include <stdio.h>

static sae_status ratio_of(const experiment *e, int which, interval *ratio, sae_error *err)
{
    return loss_ratio(ratio, &e->losses, which, LOSS_CLEAN, e->options.seed, err);
}

/* {scaffold, PCA} x {uncentred, centred, norm kept}: whether a difference between the two is the mean or the norm
 * (docs/method.md 7). */
sae_status removal_side_by_side(const experiment *e, sae_result *r, sae_error *err)
{
    static const char *const columns[] = {"CE after / CE clean", "R2 uncentred", "R3 centred", "R5 from another row",
                                          "R6 norm kept"};
    static const int first[2] = {LOSS_R2, LOSS_PCA};
    sae_status status = SAE_OK;
    char label[2][32], text[OPERATORS][INTERVAL_TEXT];

    snprintf(label[0], sizeof label[0], "scaffold, rank %lld", (long long)e->map.write_space.rank);
    snprintf(label[1], sizeof label[1], "PCA-%lld", (long long)e->pca.rank);
    SAE_TRY(sae_result_table(r, "side_by_side", "Removing the scaffold or the top principal components", columns,
                             OPERATORS + 1, err));
    for (int row = 0; row < 2; row++) {
        sae_cell cells[OPERATORS + 1] = {{label[row], NAN}};
        for (int c = 0; c < OPERATORS; c++) {
            interval ratio;
            SAE_TRY(ratio_of(e, first[row] + c, &ratio, err));
            interval_text(text[c], &ratio);
            cells[c + 1] = (sae_cell){text[c], ratio.value};
        }
        SAE_TRY(sae_result_row(r, "side_by_side", cells, OPERATORS + 1, err));
    }
done:
    return status;
}

static sae_status table_row(const experiment *e, sae_result *r, int which, sae_error *err)
{
    const loss_view view = experiment_losses(e);
    loss_name name = loss_name_of(which);
    char what[48];

    snprintf(what, sizeof what, which < LOSS_RANDOM ? "%s" : "%s %d", name.what, (which - LOSS_RANDOM) / OPERATORS + 1);
    return loss_view_row(r, "removal", &view, which, what, name.operator, err);
}

static sae_status single(sae_result *r, const char *key, double value, sae_error *err)
{
    return sae_result_silent(r, key, value, value, value, err);
}

/* Under `key` the ratio to the clean model, under `key`_over_reconstruction that to the scaffold arm's dictionary in place. */
static sae_status ratios(const experiment *e, sae_result *r, const char *key, int which, sae_error *err)
{
    sae_status status = SAE_OK;
    interval ratio;
    char over[64];

    SAE_TRY(ratio_of(e, which, &ratio, err));
    SAE_TRY(sae_result_silent(r, key, ratio.value, ratio.low, ratio.high, err));
    snprintf(over, sizeof over, "%s_over_reconstruction", key);
    SAE_TRY(loss_ratio(&ratio, &e->losses, which, LOSS_SCAFFOLD, e->options.seed, err));
    SAE_TRY(sae_result_silent(r, over, ratio.value, ratio.low, ratio.high, err));
done:
    return status;
}

/* Machine-readable twins of the table's rows: the ratio under "WHAT.OPERATOR". */
static sae_status numbers(const experiment *e, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;
    interval ratio;

    SAE_TRY(single(r, "ce_tokens", (double)e->losses.n_scored, err));
    SAE_TRY(single(r, "ce_sequences", (double)e->losses.n_seq, err));
    SAE_TRY(single(r, "ce_clean", loss_mean(&e->losses, LOSS_CLEAN), err));
    SAE_TRY(single(r, "ce_uniform", log((double)sae_model_get_info(e->model)->n_vocab), err));
    for (int i = LOSS_CLEAN + 1; i < LOSS_RANDOM; i++)
        if (loss_measured(e, i)) SAE_TRY(ratios(e, r, loss_name_of(i).key, i, err));
    for (int i = 0; i < OPERATORS * e->options.draws; i++) {
        static const char *const names[OPERATORS] = {"R2", "R3", "R5", "R6"};
        char key[32];
        snprintf(key, sizeof key, "random%d.%s", i / OPERATORS + 1, names[i % OPERATORS]);
        SAE_TRY(ratios(e, r, key, LOSS_RANDOM + i, err));
    }
    for (int i = 0; i < 5; i++) { /* paired */
        static const int pairs[5][2] = {{LOSS_R2, LOSS_PCA + OP_R2},
                                        {LOSS_R3, LOSS_PCA + OP_R3},
                                        {LOSS_R6, LOSS_PCA + OP_R6},
                                        {LOSS_EVERY_R2, LOSS_EVERY_PCA_R2},
                                        {LOSS_EVERY_R3, LOSS_EVERY_PCA_R3}};
        static const char *const keys[5] = {"scaffold_over_pca.R2", "scaffold_over_pca.R3", "scaffold_over_pca.R6",
                                            "scaffold_over_pca_every.R2", "scaffold_over_pca_every.R3"};
        if (!loss_measured(e, pairs[i][0])) continue;
        SAE_TRY(loss_ratio(&ratio, &e->losses, pairs[i][0], pairs[i][1], e->options.seed, err));
        SAE_TRY(sae_result_silent(r, keys[i], ratio.value, ratio.low, ratio.high, err));
    }
    for (int op = 0; op < OPERATORS; op++) {
        static const char *const keys[OPERATORS] = {"scaffold_over_random.R2", "scaffold_over_random.R3",
                                                    "scaffold_over_random.R5", "scaffold_over_random.R6"};
        const loss_draws random = {LOSS_RANDOM + op, OPERATORS, e->options.draws};
        SAE_TRY(loss_ratio_beside(&ratio, &e->losses, LOSS_R2 + op, random, e->options.seed, err));
        SAE_TRY(sae_result_silent(r, keys[op], ratio.value, ratio.low, ratio.high, err));
    }
done:
    return status;
}

/* Of the random subspaces the mean ratio, and as its interval the range of the draws. */
static sae_status random_ratio(const experiment *e, int op, interval *out, sae_error *err)
{
    sae_status status = SAE_OK;

    *out = (interval){0, INFINITY, -INFINITY};
    for (int i = 0; i < e->options.draws; i++) {
        interval one;
        SAE_TRY(ratio_of(e, LOSS_RANDOM + OPERATORS * i + op, &one, err));
        out->value += one.value / e->options.draws;
        out->low = fmin(out->low, one.value);
        out->high = fmax(out->high, one.value);
    }
done:
    return status;
}

/* A group of bars for each subspace, a bar for each operator. */
static sae_status bars(const experiment *e, sae_result *r, const char *label, int op, sae_error *err)
{
    static const struct {
        const char *label;
        int first;
    } groups[] = {{"scaffold", LOSS_R2},      {"another seed's", LOSS_OTHER}, {"PCA", LOSS_PCA},
                  {"PCA, next r", LOSS_NEXT}, {"densest r", LOSS_DENSE},      {"random", LOSS_RANDOM}};
    enum { GROUPS = sizeof groups / sizeof *groups };
    sae_status status = SAE_OK;
    const char *labels[GROUPS];
    double y[GROUPS], low[GROUPS], high[GROUPS];
    int n = 0;

    for (int i = 0; i < GROUPS; i++) {
        interval ratio;
        if (!loss_measured(e, groups[i].first)) continue;
        SAE_TRY(groups[i].first == LOSS_RANDOM ? random_ratio(e, op, &ratio, err)
                                               : ratio_of(e, groups[i].first + op, &ratio, err));
        labels[n] = groups[i].label;
        y[n] = ratio.value;
        low[n] = ratio.low;
        high[n++] = ratio.high;
    }
    SAE_TRY(sae_result_bars(r, "ratios", label, labels, y, low, high, n, err));
done:
    return status;
}

/* The scaffold, PCA and the first random subspace, removed from the counted rows, and from the masked ones too. */
static sae_status masked_rows_plot(const experiment *e, sae_result *r, sae_error *err)
{
    enum { SHOWN = 3 };
    static const char *const labels[SHOWN] = {"scaffold", "PCA", "random"};
    static const struct {
        const char *label;
        int losses[SHOWN];
    } series[] = {{"R2, counted rows", {LOSS_R2, LOSS_PCA + OP_R2, LOSS_RANDOM + OP_R2}},
                  {"R2, masked rows too", {LOSS_EVERY_R2, LOSS_EVERY_PCA_R2, LOSS_EVERY_RANDOM_R2}}};
    sae_status status = SAE_OK;
    double y[SHOWN], low[SHOWN], high[SHOWN];

    if (!loss_measured(e, LOSS_EVERY_R2)) return SAE_OK;
    SAE_TRY(sae_result_plot(r, "masked_rows", "Loss after removal, position 0 and other masked rows", NULL,
                            "CE after / CE clean", SAE_PLOT_BAR, 0, err));
    for (int s = 0; s < 2; s++) {
        for (int i = 0; i < SHOWN; i++) {
            interval ratio;
            SAE_TRY(ratio_of(e, series[s].losses[i], &ratio, err));
            y[i] = ratio.value, low[i] = ratio.low, high[i] = ratio.high;
        }
        SAE_TRY(sae_result_bars(r, "masked_rows", series[s].label, labels, y, low, high, SHOWN, err));
    }
    SAE_TRY(sae_result_line(r, "masked_rows", "clean", false, 1, err));
done:
    return status;
}

static sae_status plot(const experiment *e, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;

    SAE_TRY(sae_result_plot(r, "ratios", "Loss after removal", NULL, "CE after / CE clean", SAE_PLOT_BAR, 0, err));
    SAE_TRY(bars(e, r, "R2 uncentred", OP_R2, err));
    SAE_TRY(bars(e, r, "R3 centred", OP_R3, err));
    SAE_TRY(bars(e, r, "R6 norm kept", OP_R6, err));
    SAE_TRY(sae_result_line(r, "ratios", "clean", false, 1, err));
    SAE_TRY(sae_result_line(r, "ratios", "mean ablation", false,
                            loss_mean(&e->losses, LOSS_MEAN) / loss_mean(&e->losses, LOSS_CLEAN), err));
done:
    return status;
}

sae_status removal_report(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_result *r = NULL;
    const loss_view view = experiment_losses(e);
    char title[128];

    snprintf(title, sizeof title, "Taking the scaffold of %s out of the model", e->pair[ARM_SCAFFOLD]->name);
    SAE_TRY(experiment_result(e, "removal", title, &r, err));
    SAE_TRY(sae_result_note(
        r,
        "R1 x - s, what the scaffold writes; R2 x - x P; R3 x - (x - mean) P; R4 the reconstruction "
        "without the scaffold's part; R5 x - x P + x' P with another row x'; R6 as R2, rescaled to "
        "|x|. P projects on the row space of W_up, the mean is that of the training rows. Beside it "
        "as many principal components, as many after those, random directions, and, for the first seed, the decoder "
        "rows of as many densest latents of the baseline and what the scaffold of another seed writes. The last column "
        "divides by the CE with the scaffold arm's dictionary in place instead. Every row of "
        "the table sees the same tokens; "
        "intervals resample sequences, in the plot those of the random subspaces are the range of the draws. "
        "scaffold_over_random (in the JSON) leaves room for another random subspace too.",
        err));
    SAE_TRY(plot(e, r, err));
    SAE_TRY(masked_rows_plot(e, r, err));
    SAE_TRY(loss_view_table(r, "removal", &view, "Every intervention", err));
    for (int i = 0; i < loss_count(e); i++)
        if (loss_measured(e, i)) SAE_TRY(table_row(e, r, i, err));
    SAE_TRY(numbers(e, r, err));
done:
    return status;
}
