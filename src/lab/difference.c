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

/* Or has no ends: of one sequence nothing is told. */
static bool holds_zero(const interval *i) { return !(i->low > 0) && !(i->high < 0); }

/* By how much another operator than R2 changes the difference, in words; whole NaN: not as a share of it. */
static void part_text(char *text, size_t size, const char *what, const interval *part, double whole)
{
    char numbers[INTERVAL_TEXT];

    interval_text(numbers, part);
    if (holds_zero(part))
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
    const double of = holds_zero(&whole) ? (double)NAN : whole.value;
    part_text(mean_text, sizeof mean_text, "The mean, which R3 keeps", &mean, of);
    part_text(norm_text, sizeof norm_text, "The norm, which R6 restores", &norm, of);
    if (holds_zero(&whole))
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

static sae_status first_row(experiment *e, double *row, double *norm, sae_error *err)
{
    sae_status status = SAE_OK;
    const float *rows = NULL;
    double square = 0;

    SAE_TRY(sample_rows(&e->held_out, 0, 1, &rows, err)); /* all sequences begin alike, so their first rows are equal */
    for (int64_t j = 0; j < e->d; j++) {
        row[j] = (double)rows[j];
        square += row[j] * row[j];
    }
    *norm = sqrt(square);
done:
    return status;
}

/* The mean over the random subspaces of the share of a row, and of what remains of norm 1. */
static sae_status random_share(const experiment *e, const double *row, double *share, double *left, sae_error *err)
{
    sae_status status = SAE_OK;
    subspace draws[LOSS_DRAWS_MAX] = {0};

    *share = *left = 0;
    SAE_TRY(random_subspaces(e, draws, err));
    for (int i = 0; i < e->options.draws; i++) {
        const double one = subspace_share(&draws[i], row);
        *share += one / e->options.draws;
        *left += sqrt(fmax(0, 1 - one)) / e->options.draws;
    }
done:
    for (int i = 0; i < LOSS_DRAWS_MAX; i++) subspace_free(&draws[i]);
    return status;
}

/* left: what remains of the row, in median norms. */
static sae_status first_position_row(const experiment *e, sae_result *r, const char *name, const char *key,
                                     double share, double left, sae_error *err)
{
    sae_status status = SAE_OK;
    const sae_cell cells[] = {
        {name, NAN}, {NULL, share}, {NULL, (double)compared_rank(e) / (double)e->d}, {NULL, left}};
    char full[64];

    SAE_TRY(sae_result_row(r, "first_position", cells, 4, err));
    snprintf(full, sizeof full, "first_position.%s", key);
    SAE_TRY(sae_result_silent(r, full, share, share, share, err));
    snprintf(full, sizeof full, "first_position_left.%s", key);
    SAE_TRY(sae_result_silent(r, full, left, left, left, err));
done:
    return status;
}

/* |P x|^2 / |x|^2 of the row at position 0, where attention sinks are, and how long what remains is. */
static sae_status first_position(experiment *e, sae_result *r, sae_error *err)
{
    static const char *const columns[] = {"share of the first position's row inside", "|P x|^2 / |x|^2", "by chance",
                                          "|x - x P| in median norms"};
    sae_status status = SAE_OK;
    double norm = 0, share, left, *row = mem_alloc_array((size_t)e->d, sizeof *row, "the first row", err);
    const struct {
        const char *name, *key;
        const subspace *space;
    } spaces[] = {{"scaffold", "scaffold", &e->map.write_space},
                  {"PCA", "pca", &e->pca},
                  {"PCA of all rows", "pca_all", &e->all}};
    char text[400];

    if (!row) return SAE_NOMEM;
    SAE_TRY(first_row(e, row, &norm, err));
    const double long_as = norm / e->held_out.median_norm;
    SAE_TRY(sae_result_table(r, "first_position", "The row of the token that begins sequences", columns, 4, err));
    for (int i = 0; i < 3; i++) {
        if (i == 2 && e->all.rank == 0) continue;
        share = subspace_share(spaces[i].space, row);
        left = long_as * sqrt(fmax(0, 1 - share));
        SAE_TRY(first_position_row(e, r, spaces[i].name, spaces[i].key, share, left, err));
    }
    SAE_TRY(random_share(e, row, &share, &left, err));
    SAE_TRY(first_position_row(e, r, "random subspaces, mean", "random", share, long_as * left, err));
    snprintf(text, sizeof text, "That row has norm %.4g, %.3g times the median row's. %s", norm, long_as,
             e->held_out.counted[0]
                 ? "It is counted: dictionaries and components were fitted to it and every removal above changes it, "
                   "which may be most of what they cost: compare with a run without --with-bos."
                 : "It is masked: no dictionary or component was fitted to it (but for PCA of all rows) and no removal "
                   "above changes it, so it has no part in these differences.");
    SAE_TRY(sae_result_note(r, text, err));
done:
    mem_free(row);
    return status;
}

sae_status difference_report(experiment *e, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;

    SAE_TRY(table(e, r, err));
    SAE_TRY(words(e, r, err));
    SAE_TRY(first_position(e, r, err));
    SAE_TRY(masked_rows_report(e, r, err));
done:
    return status;
}
