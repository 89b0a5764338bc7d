/*
 * difference.c - where a difference between removing the scaffold and removing the top principal components comes from: the
 * mean (R2 takes its part in the subspace away, R3 keeps it), the norm (R6 restores it), the first position's row (docs/method.md 7).
 */
#include "lab/scaffold.h"

#include <math.h>
#include <stdio.h>

static const struct {
    const char *name;
    int scaffold, pca;
} operators[OPERATORS] = {{"R2 uncentred", LOSS_R2, LOSS_PCA + OP_R2},
                          {"R3 centred", LOSS_R3, LOSS_PCA + OP_R3},
                          {"R5 from another row", LOSS_R5, LOSS_PCA + OP_R5},
                          {"R6 norm kept", LOSS_R6, LOSS_PCA + OP_R6}};

static sae_status table(const experiment *e, sae_result *r, sae_error *err)
{
    static const char *const columns[] = {"removed by", "scaffold: CE - clean", "PCA: CE - clean",
                                          "scaffold - PCA, nats [95 %]"};
    sae_status status = SAE_OK;
    const double clean = loss_mean(&e->losses, LOSS_CLEAN);

    SAE_TRY(sae_result_table(r, "difference", "Scaffold against PCA on the same tokens", columns, 4, err));
    for (int i = 0; i < OPERATORS; i++) {
        interval gap;
        char text[INTERVAL_TEXT];
        SAE_TRY(loss_difference(&gap, &e->losses, operators[i].scaffold, operators[i].pca, e->options.seed, err));
        interval_text(text, &gap);
        const sae_cell cells[] = {{operators[i].name, NAN},
                                  {NULL, loss_mean(&e->losses, operators[i].scaffold) - clean},
                                  {NULL, loss_mean(&e->losses, operators[i].pca) - clean},
                                  {text, gap.value}};
        SAE_TRY(sae_result_row(r, "difference", cells, 4, err));
    }
done:
    return status;
}

/* By how much another operator than R2 changes the difference, in words; whole NaN: not as a share of it. */
static void part_text(char *text, size_t size, const char *what, const interval *part, double whole)
{
    char numbers[INTERVAL_TEXT];

    interval_text(numbers, part);
    if (interval_holds_zero(part))
        snprintf(text, size, "%s: %s nats of it, not told from none.", what, numbers);
    else if (isnan(whole))
        snprintf(text, size, "%s: %s nats.", what, numbers);
    else
        snprintf(text, size, "%s: %s nats of it (%+.0f %%).", what, numbers, 100 * part->value / whole);
}

static sae_status words(const experiment *e, sae_result *r, sae_error *err)
{
    static const int mean_of[4] = {LOSS_R2, LOSS_PCA + OP_R2, LOSS_R3, LOSS_PCA + OP_R3};
    static const int norm_of[4] = {LOSS_R2, LOSS_PCA + OP_R2, LOSS_R6, LOSS_PCA + OP_R6};
    sae_status status = SAE_OK;
    interval whole, mean, norm;
    char text[600], numbers[INTERVAL_TEXT], mean_text[160], norm_text[160];

    SAE_TRY(loss_difference(&whole, &e->losses, LOSS_R2, LOSS_PCA + OP_R2, e->options.seed, err));
    SAE_TRY(loss_contrast(&mean, &e->losses, mean_of, e->options.seed, err));
    SAE_TRY(loss_contrast(&norm, &e->losses, norm_of, e->options.seed, err));
    interval_text(numbers, &whole);
    const double of = interval_holds_zero(&whole) ? (double)NAN : whole.value;
    part_text(mean_text, sizeof mean_text, "The mean, which R3 keeps", &mean, of);
    part_text(norm_text, sizeof norm_text, "The norm, which R6 restores", &norm, of);
    if (interval_holds_zero(&whole))
        snprintf(
            text, sizeof text,
            "Uncentred, scaffold and PCA differ by %s nats: not told from none, so there is little to explain. %s %s",
            numbers, mean_text, norm_text);
    else
        snprintf(
            text, sizeof text,
            "Uncentred, the scaffold's removal costs %s nats than PCA's: CE differs by %s. %s %s The two parts need "
            "not add up.",
            whole.value > 0 ? "more" : "fewer", numbers, mean_text, norm_text);
    SAE_TRY(sae_result_note(r, text, err));
done:
    return status;
}

sae_status difference_report(experiment *e, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;

    SAE_TRY(table(e, r, err));
    SAE_TRY(words(e, r, err));
    SAE_TRY(first_position_report(e, r, err));
    SAE_TRY(masked_rows_report(e, r, err));
done:
    return status;
}
