/*
 * removal.c - how much worse the model predicts when a subspace is taken out of the site: scaffold against PCA against
 * chance, with and without the mean.
 */
#include "lab/scaffold.h"

#include <math.h>
#include <stdio.h>

static double to_uniform(const experiment *e, double ce)
{
    double clean = loss_mean(&e->losses, LOSS_CLEAN);

    return (ce - clean) / (log((double)sae_model_get_info(e->model)->n_vocab) - clean);
}

static void interval_text(char *text, size_t size, const interval *i)
{
    snprintf(text, size, "%.3f [%.3f, %.3f]", i->value, i->low, i->high);
}

static sae_status ratio_of(const experiment *e, int which, interval *ratio, sae_error *err)
{
    return loss_ratio(ratio, &e->losses, which, LOSS_CLEAN, e->options.seed, err);
}

/* {scaffold, PCA} x {uncentred, centred}: whether a difference between the two is the mean (docs/method.md 7). */
sae_status removal_two_by_two(const experiment *e, sae_result *r, sae_error *err)
{
    static const char *const columns[] = {"CE after / CE clean", "R2 uncentred", "R3 centred"};
    static const int cells_of[2][2] = {{LOSS_R2, LOSS_R3}, {LOSS_PCA_R2, LOSS_PCA_R3}};
    sae_status status = SAE_OK;
    char label[2][32], text[2][64];

    snprintf(label[0], sizeof label[0], "scaffold, rank %lld", (long long)e->map.write_space.rank);
    snprintf(label[1], sizeof label[1], "PCA-%lld", (long long)e->pca.rank);
    SAE_TRY(
        sae_result_table(r, "two_by_two", "Removing the scaffold or the top principal components", columns, 3, err));
    for (int row = 0; row < 2; row++) {
        interval ratio[2];
        for (int c = 0; c < 2; c++) {
            SAE_TRY(ratio_of(e, cells_of[row][c], &ratio[c], err));
            interval_text(text[c], sizeof text[c], &ratio[c]);
        }
        const sae_cell cells[] = {{label[row], NAN}, {text[0], ratio[0].value}, {text[1], ratio[1].value}};
        SAE_TRY(sae_result_row(r, "two_by_two", cells, 3, err));
    }
done:
    return status;
}

static sae_status table_row(const experiment *e, sae_result *r, int which, sae_error *err)
{
    sae_status status = SAE_OK;
    loss_name name = loss_name_of(which);
    double ce = loss_mean(&e->losses, which);
    interval ratio, nats;
    char what[48], ratio_text[64], nats_text[64];

    SAE_TRY(ratio_of(e, which, &ratio, err));
    SAE_TRY(loss_difference(&nats, &e->losses, which, LOSS_CLEAN, e->options.seed, err));
    interval_text(ratio_text, sizeof ratio_text, &ratio);
    interval_text(nats_text, sizeof nats_text, &nats);
    snprintf(what, sizeof what, which < LOSS_RANDOM ? "%s" : "%s %d", name.what, (which - LOSS_RANDOM) / 2 + 1);
    const sae_cell cells[] = {{what, NAN}, {name.operator, NAN },
                                            {NULL, ce},
                                            {ratio_text, ratio.value},
                                            {nats_text, nats.value},
                                            {NULL, to_uniform(e, ce)}};
    SAE_TRY(sae_result_row(r, "removal", cells, 6, err));
done:
    return status;
}

/* Machine-readable twins of the table's rows: the ratio under "WHAT.OPERATOR". */
static sae_status numbers(const experiment *e, sae_result *r, sae_error *err)
{
    static const struct {
        const char *key;
        int which;
    } keys[] = {{"zero", LOSS_ZERO},
                {"mean", LOSS_MEAN},
                {"baseline.reconstruction", LOSS_BASELINE},
                {"scaffold.reconstruction", LOSS_SCAFFOLD},
                {"scaffold.R1", LOSS_R1},
                {"scaffold.R2", LOSS_R2},
                {"scaffold.R3", LOSS_R3},
                {"scaffold.R4", LOSS_R4},
                {"pca.R2", LOSS_PCA_R2},
                {"pca.R3", LOSS_PCA_R3}};
    sae_status status = SAE_OK;
    interval ratio;

    SAE_TRY(sae_result_section(r, "Ratios by name", err));
    SAE_TRY(sae_result_number(r, "ce_tokens", (double)e->losses.n_scored, err));
    SAE_TRY(sae_result_number(r, "ce_clean", loss_mean(&e->losses, LOSS_CLEAN), err));
    SAE_TRY(sae_result_number(r, "ce_uniform", log((double)sae_model_get_info(e->model)->n_vocab), err));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        SAE_TRY(ratio_of(e, keys[i].which, &ratio, err));
        SAE_TRY(sae_result_interval(r, keys[i].key, ratio.value, ratio.low, ratio.high, err));
    }
    for (int i = 0; i < 2 * e->options.draws; i++) {
        char key[32];
        snprintf(key, sizeof key, "random%d.%s", i / 2 + 1, i % 2 ? "R3" : "R2");
        SAE_TRY(ratio_of(e, LOSS_RANDOM + i, &ratio, err));
        SAE_TRY(sae_result_interval(r, key, ratio.value, ratio.low, ratio.high, err));
    }
    SAE_TRY(loss_ratio(&ratio, &e->losses, LOSS_R4, LOSS_SCAFFOLD, e->options.seed, err));
    SAE_TRY(sae_result_interval(r, "scaffold.R4_over_reconstruction", ratio.value, ratio.low, ratio.high, err));
done:
    return status;
}

/* A bar for each removal of a subspace; one random subspace stands for the others, which the table has. */
static sae_status plot(const experiment *e, sae_result *r, sae_error *err)
{
    enum { BARS = 5 };
    static const char *const names[BARS] = {"scaffold R2", "scaffold R3", "PCA R2", "PCA R3", "random R3"};
    static const int which[BARS] = {LOSS_R2, LOSS_R3, LOSS_PCA_R2, LOSS_PCA_R3, LOSS_RANDOM + 1};
    sae_status status = SAE_OK;
    double y[BARS], low[BARS], high[BARS];
    interval ratio;

    for (int i = 0; i < BARS; i++) {
        SAE_TRY(ratio_of(e, which[i], &ratio, err));
        y[i] = ratio.value;
        low[i] = ratio.low;
        high[i] = ratio.high;
    }
    SAE_TRY(sae_result_plot(r, "ratios", "Loss after removal", NULL, "CE after / CE clean", SAE_PLOT_BAR, 0, err));
    SAE_TRY(sae_result_bars(r, "ratios", "ratio, 95 % interval", names, y, low, high, BARS, err));
    SAE_TRY(sae_result_line(r, "ratios", "clean", false, 1, err));
    SAE_TRY(sae_result_line(r, "ratios", "mean ablation", false,
                            loss_mean(&e->losses, LOSS_MEAN) / loss_mean(&e->losses, LOSS_CLEAN), err));
done:
    return status;
}

sae_status removal_report(experiment *e, sae_error *err)
{
    static const char *const columns[] = {
        "what is replaced or removed", "how", "CE, nats", "ratio to clean [95 %]", "CE - clean [95 %]",
        "share of the way to uniform"};
    sae_status status = SAE_OK;
    sae_result *r = NULL;

    SAE_TRY(experiment_result(e, "removal", "Taking the scaffold out of the model", &r, err));
    SAE_TRY(sae_result_note(r,
                            "R1 x - (x - b_dec) W_down W_up; R2 x - x P; R3 x - (x - mean) P; R4 the reconstruction "
                            "without the scaffold's part. "
                            "P projects on the row space of W_up, the mean is that of the training rows. Every row of "
                            "the table sees the same "
                            "tokens; intervals resample sequences.",
                            err));
    SAE_TRY(plot(e, r, err));
    SAE_TRY(sae_result_table(r, "removal", "Every intervention", columns, 6, err));
    for (int i = 0; i < loss_count(e); i++) SAE_TRY(table_row(e, r, i, err));
    SAE_TRY(numbers(e, r, err));
done:
    return status;
}
