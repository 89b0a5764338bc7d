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
    const loss_name name = loss_name_of(which);

    return loss_view_row(r, "removal", &view, which, name.what, name.operator, err);
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

/* How the scaffold's removal compares with others' in the same rows: "scaffold_over_pca.R2", "scaffold_over_random_every.R2". */
static sae_status comparisons(const experiment *e, sae_result *r, sae_error *err)
{
    static const struct {
        int way;
        const char *name;
        bool pca;
    } all[] = {{OP_R2, ".R2", true},
               {OP_R3, ".R3", true},
               {OP_R5, ".R5", false},
               {OP_R6, ".R6", true},
               {WITH_POSITION_0 + OP_R2, "_position_0.R2", true},
               {WITH_POSITION_0 + OP_R3, "_position_0.R3", true},
               {EVERY_ROW + OP_R2, "_every.R2", true},
               {EVERY_ROW + OP_R3, "_every.R3", true},
               {POSITION_0_R6, "_position_0.R6", true}};
    sae_status status = SAE_OK;
    interval ratio;
    char key[64];

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const int scaffold = LOSS_R2 + all[i].way;
        const loss_draws random = losses_of_random(e, all[i].way);
        if (!loss_measured(e, scaffold)) continue;
        if (loss_measured(e, LOSS_ALL + all[i].way)) {
            snprintf(key, sizeof key, "scaffold_over_pca_all%s", all[i].name);
            SAE_TRY(loss_ratio(&ratio, &e->losses, scaffold, LOSS_ALL + all[i].way, e->options.seed, err));
            SAE_TRY(sae_result_silent(r, key, ratio.value, ratio.low, ratio.high, err));
        }
        if (all[i].pca) {
            snprintf(key, sizeof key, "scaffold_over_pca%s", all[i].name);
            SAE_TRY(loss_ratio(&ratio, &e->losses, scaffold, LOSS_PCA + all[i].way, e->options.seed, err));
            SAE_TRY(sae_result_silent(r, key, ratio.value, ratio.low, ratio.high, err));
        }
        snprintf(key, sizeof key, "scaffold_over_random%s", all[i].name);
        SAE_TRY(loss_ratio_beside(&ratio, &e->losses, scaffold, random, e->options.seed, err));
        SAE_TRY(sae_result_silent(r, key, ratio.value, ratio.low, ratio.high, err));
        const loss_draws share = losses_of_share(e, all[i].way);
        if (share.n == 0) continue;
        snprintf(key, sizeof key, "scaffold_over_equal_share%s", all[i].name);
        SAE_TRY(loss_ratio_beside(&ratio, &e->losses, scaffold, share, e->options.seed, err));
        SAE_TRY(sae_result_silent(r, key, ratio.value, ratio.low, ratio.high, err));
    }
done:
    return status;
}

/* Machine-readable twins of the table's rows: the ratio under "WHAT.OPERATOR". */
static sae_status numbers(const experiment *e, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;

    SAE_TRY(single(r, "ce_tokens", (double)e->losses.n_scored, err));
    SAE_TRY(single(r, "ce_sequences", (double)e->losses.n_seq, err));
    SAE_TRY(single(r, "ce_clean", loss_mean(&e->losses, LOSS_CLEAN), err));
    SAE_TRY(single(r, "ce_uniform", log((double)sae_model_get_info(e->model)->n_vocab), err));
    for (int i = LOSS_CLEAN + 1; i < loss_count(e); i++)
        if (loss_measured(e, i)) SAE_TRY(ratios(e, r, loss_name_of(i).key, i, err));
    SAE_TRY(comparisons(e, r, err));
done:
    return status;
}

sae_status removal_ratio(const experiment *e, int space, int way, interval *out, sae_error *err)
{
    const loss_draws random = space == LOSS_SHARE ? losses_of_share(e, way) : losses_of_random(e, way);
    sae_status status = SAE_OK;

    if ((space != LOSS_RANDOM && space != LOSS_SHARE) || random.n == 1) return ratio_of(e, space + way, out, err);
    *out = (interval){0, INFINITY, -INFINITY};
    for (int i = 0; i < random.n; i++) {
        interval one;
        SAE_TRY(ratio_of(e, random.first + random.step * i, &one, err));
        out->value += one.value / random.n;
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
        SAE_TRY(removal_ratio(e, groups[i].first, op, &ratio, err));
        labels[n] = groups[i].label;
        y[n] = ratio.value;
        low[n] = ratio.low;
        high[n++] = ratio.high;
    }
    SAE_TRY(sae_result_bars(r, "ratios", label, labels, y, low, high, n, err));
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
        "as many principal components, as many after those, random directions, and, for the first seed, as many "
        "principal components of all held-out rows, masked ones too (about the mean of them all), the decoder "
        "rows of as many densest latents of the baseline and what the scaffold of another seed writes; where position "
        "0's row is changed too, random subspaces that hold an equal share of it. The last column "
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
