/*
 * subspace_removal.c - see subspace_removal.h.
 */
#include "lab/subspace_removal.h"
#include "eval/core.h"
#include "lab/loss_report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Statistics of rows ------------------------------------------------------------------------------------------------- */

void row_statistics_free(row_statistics *stats)
{
    mem_free(stats->mean);
    mem_free(stats->covariance);
    *stats = (row_statistics){0};
}

static sae_status add_rows(moments *m, sample *s, const uint8_t *which, float *kept, sae_error *err)
{
    sae_status status = SAE_OK;
    const float *rows = NULL;

    for (int64_t first = 0; first < s->n_seq; first += s->batch_seqs) {
        int64_t n = sample_batch(s, first, s->n_seq), n_kept = 0;
        SAE_TRY(sample_rows(s, first, n, &rows, err));
        for (int64_t i = 0; i < n * s->ctx; i++) {
            if (!which[first * s->ctx + i]) continue;
            memcpy(kept + n_kept++ * s->d, rows + i * s->d, (size_t)s->d * sizeof *kept);
        }
        if (n_kept) moments_add(m, kept, n_kept);
    }
done:
    return status;
}

sae_status row_statistics_measure(row_statistics *out, sample *s, bool counted_only, sae_error *err)
{
    sae_status status = SAE_OK;
    size_t d = (size_t)s->d;
    moments m = {0};
    row_statistics stats = {.d = s->d, .n_seq = s->n_seq, .median_norm = s->median_norm};
    float *kept = mem_alloc_array((size_t)(s->batch_seqs * s->ctx), d * sizeof *kept, "unmasked rows", err);

    stats.mean = mem_alloc_array(d, sizeof(double), "the mean row", err);
    stats.covariance = mem_alloc_array(d, d * sizeof(double), "the covariance", err);
    if (!kept || !stats.mean || !stats.covariance) {
        status = SAE_NOMEM;
        goto done;
    }
    SAE_TRY(moments_create(&m, s->d, err));
    SAE_TRY(add_rows(&m, s, counted_only ? s->counted : s->mask, kept, err));
    SAE_TRY(moments_finish(&m, stats.mean, stats.covariance, err));
    stats.n = m.n;
    stats.n_over_norm = counted_only ? 0 : s->n_over_norm;
    *out = stats;
    stats = (row_statistics){0};
done:
    row_statistics_free(&stats);
    moments_free(&m);
    mem_free(kept);
    return status;
}

/* ---- Losses --------------------------------------------------------------------------------------------------------------- */

void subspace_removal_free(subspace_removal *r)
{
    loss_table_free(&r->losses);
    *r = (subspace_removal){0};
}

int subspace_removal_passes(const subspace_removal *r) { return REMOVAL_RANDOM + 2 * r->draws; }

int subspace_removal_random(const subspace_removal *r, bool centred) { return subspace_removal_passes(r) + centred; }

/* Row of the loss table of the first random subspace. */
static int first_draw(const subspace_removal *r, bool centred) { return REMOVAL_RANDOM + (centred ? r->draws : 0); }

/* Subspaces and operands of all edits; they live as long as the measurement. */
typedef struct operands {
    subspace pca, draws[REMOVAL_DRAWS_MAX];
    edit_space r2, r3, pca_r2, pca_r3, random_r2[REMOVAL_DRAWS_MAX], random_r3[REMOVAL_DRAWS_MAX];
    edit_resampling r5;
    edit edits[REMOVAL_RANDOM + 2 * REMOVAL_DRAWS_MAX];
} operands;

static void operands_free(operands *o)
{
    if (!o) return;
    subspace_free(&o->pca);
    for (int i = 0; i < REMOVAL_DRAWS_MAX; i++) subspace_free(&o->draws[i]);
    mem_free(o);
}

static sae_status draw_subspaces(operands *o, const subspace *space, const double *mean, int draws, uint64_t seed,
                                 sae_error *err)
{
    sae_status status = SAE_OK;
    rng random = rng_seed(seed, 77); /* as in the comparison, so that equal seeds and ranks give equal subspaces */

    for (int i = 0; i < draws; i++) {
        SAE_TRY(subspace_random(&o->draws[i], space->d, space->rank, &random, err));
        o->random_r2[i] = (edit_space){&o->draws[i], NULL};
        o->random_r3[i] = (edit_space){&o->draws[i], mean};
        o->edits[REMOVAL_RANDOM + i] = (edit){.fn = edit_remove, .user = &o->random_r2[i]};
        o->edits[REMOVAL_RANDOM + draws + i] = (edit){.fn = edit_remove, .user = &o->random_r3[i]};
    }
done:
    return status;
}

static void fill_edits(operands *o, const row_statistics *stats, const subspace *space, uint64_t seed)
{
    o->r2 = (edit_space){space, NULL};
    o->r3 = (edit_space){space, stats->mean};
    o->r5 = (edit_resampling){space, seed};
    o->pca_r2 = (edit_space){&o->pca, NULL};
    o->pca_r3 = (edit_space){&o->pca, stats->mean};
    o->edits[REMOVAL_CLEAN] = (edit){.fn = NULL};
    o->edits[REMOVAL_ZERO] = (edit){.fn = edit_zero};
    o->edits[REMOVAL_MEAN] = (edit){.fn = edit_mean, .user = stats->mean};
    o->edits[REMOVAL_R2] = (edit){.fn = edit_remove, .user = &o->r2};
    o->edits[REMOVAL_R3] = (edit){.fn = edit_remove, .user = &o->r3};
    o->edits[REMOVAL_R5] = (edit){.fn = edit_resample, .user = &o->r5};
    o->edits[REMOVAL_R6] = (edit){.fn = edit_remove_keep_norm, .user = &o->r2};
    o->edits[REMOVAL_PCA_R2] = (edit){.fn = edit_remove, .user = &o->pca_r2};
    o->edits[REMOVAL_PCA_R3] = (edit){.fn = edit_remove, .user = &o->pca_r3};
    o->edits[REMOVAL_PCA_R6] = (edit){.fn = edit_remove_keep_norm, .user = &o->pca_r2};
}

sae_status subspace_removal_measure(subspace_removal *out, sample *s, const row_statistics *stats,
                                    const subspace *space, const subspace_removal_options *options,
                                    const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    const int draws = options->draws;
    subspace_removal r = {.draws = draws, .rows = options->rows};
    operands *o = NULL;

    if (draws < 1 || draws > REMOVAL_DRAWS_MAX)
        return SAE_FAIL(err, SAE_RANGE, "%d random subspaces: 1 to %d can be drawn", draws, (int)REMOVAL_DRAWS_MAX);
    if (space->d != s->d || stats->d != s->d)
        return SAE_FAIL(err, SAE_SHAPE, "a subspace of rows of width %lld, statistics of %lld, rows of %lld",
                        (long long)space->d, (long long)stats->d, (long long)s->d);
    o = mem_alloc(sizeof *o, "edits", err);
    if (!o) return SAE_NOMEM;
    SAE_TRY(subspace_pca(&o->pca, stats->covariance, s->d, 0, space->rank, NULL, err));
    fill_edits(o, stats, space, options->seed);
    SAE_TRY(draw_subspaces(o, space, stats->mean, draws, options->seed, err));
    for (int i = 0; i < subspace_removal_passes(&r); i++) o->edits[i].rows = options->rows;
    SAE_TRY(splice_measure(&r.losses, s, s->n_seq, o->edits, subspace_removal_passes(&r), progress, err));
    for (int centred = 0; centred < 2; centred++)
        SAE_TRY(loss_add_mean(&r.losses, first_draw(&r, centred), draws, err));
    *out = r;
    r = (subspace_removal){0};
done:
    subspace_removal_free(&r);
    operands_free(o);
    return status;
}

/* ---- Report ----------------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *key, *what, *how;
} names[REMOVAL_RANDOM] = {
    [REMOVAL_CLEAN] = {"clean", "nothing", "clean"},
    [REMOVAL_ZERO] = {"zero", "the site", "zero ablation"},
    [REMOVAL_MEAN] = {"mean", "the site", "mean ablation"},
    [REMOVAL_R2] = {"R2", "the subspace", "R2 uncentred"},
    [REMOVAL_R3] = {"R3", "the subspace", "R3 centred"},
    [REMOVAL_R5] = {"R5", "the subspace", "R5 from another row"},
    [REMOVAL_R6] = {"R6", "the subspace", "R6 norm kept"},
    [REMOVAL_PCA_R2] = {"pca.R2", "PCA", "R2 uncentred"},
    [REMOVAL_PCA_R3] = {"pca.R3", "PCA", "R3 centred"},
    [REMOVAL_PCA_R6] = {"pca.R6", "PCA", "R6 norm kept"},
};

static const char *const random_key[2] = {"random.R2", "random.R3"};
static const char *const random_how[2] = {"R2 uncentred", "R3 centred"};

static sae_status put_table(sae_result *result, const subspace_removal *r, const loss_view *view, sae_error *err)
{
    sae_status status = SAE_OK;
    char what[40];

    SAE_TRY(loss_view_table(result, "removal", view, "Every intervention", err));
    for (int i = 0; i < REMOVAL_RANDOM; i++)
        SAE_TRY(loss_view_row(result, "removal", view, i, names[i].what, names[i].how, err));
    snprintf(what, sizeof what, "random, mean of %d", r->draws);
    for (int c = 0; c < 2; c++)
        SAE_TRY(loss_view_row(result, "removal", view, subspace_removal_random(r, c), what, random_how[c], err));
    for (int i = 0; i < 2 * r->draws; i++) {
        const int draw = i / 2, c = i % 2;
        snprintf(what, sizeof what, "random %d", draw + 1);
        SAE_TRY(loss_view_row(result, "removal", view, first_draw(r, c) + draw, what, random_how[c], err));
    }
done:
    return status;
}

/* Machine-readable twins of the rows: CE in nats under the operator's name, its ratio to the clean one under "ratio.NAME". */
static sae_status put_numbers(sae_result *result, const subspace_removal *r, const loss_view *view, sae_error *err)
{
    sae_status status = SAE_OK;
    interval ratio;
    char key[32];

    SAE_TRY(sae_result_section(result, "Cross-entropies in nats per token, and their ratios to the clean one", err));
    for (int i = 0; i < REMOVAL_RANDOM; i++)
        SAE_TRY(sae_result_number(result, names[i].key, loss_mean(view->losses, i), err));
    for (int c = 0; c < 2; c++)
        SAE_TRY(sae_result_number(result, random_key[c], loss_mean(view->losses, subspace_removal_random(r, c)), err));
    SAE_TRY(sae_result_number(result, "uniform", log((double)view->n_vocab), err));
    for (int i = REMOVAL_ZERO; i < REMOVAL_RANDOM + 2; i++) {
        const int c = i - REMOVAL_RANDOM;
        snprintf(key, sizeof key, "ratio.%s", c < 0 ? names[i].key : random_key[c]);
        SAE_TRY(loss_view_ratio(&ratio, view, c < 0 ? i : subspace_removal_random(r, c), err));
        SAE_TRY(sae_result_interval(result, key, ratio.value, ratio.low, ratio.high, err));
    }
done:
    return status;
}

/* "R2.over_random" and "R3.over_random", each by the same operator of the random subspaces. */
static sae_status put_over_random(sae_result *result, const subspace_removal *r, const loss_view *view, sae_error *err)
{
    static const char *const keys[2] = {"R2.over_random", "R3.over_random"};
    static const char *const labels[2] = {"CE after R2 over the random subspaces'",
                                          "CE after R3 over the random subspaces'"};
    static const int of[2] = {REMOVAL_R2, REMOVAL_R3};
    sae_status status = SAE_OK;
    interval ratio;

    for (int c = 0; c < 2; c++) {
        const loss_draws draws = {first_draw(r, c), 1, r->draws};
        SAE_TRY(loss_ratio_beside(&ratio, view->losses, of[c], draws, view->seed, err));
        SAE_TRY(sae_result_interval(result, keys[c], ratio.value, ratio.low, ratio.high, err));
        SAE_TRY(sae_result_label(result, keys[c], labels[c],
                                 r->draws > 1 ? "beside 1 another random subspace is not told from them"
                                              : "one random subspace has no spread: raise --draws",
                                 err));
    }
done:
    return status;
}

static int64_t rows_changed(const subspace_removal *r, const sample *s)
{
    int64_t n = 0;

    for (int64_t i = 0; i < s->n_seq * s->ctx; i++) n += edit_changes(r->rows, s, i);
    return n;
}

static sae_status describe(sae_result *result, const subspace_removal *r, const sample *s, const row_statistics *stats,
                           const subspace *space, sae_error *err)
{
    const struct {
        const char *key;
        double value;
    } facts[] = {{"rank", (double)space->rank},
                 {"tokens_scored", (double)r->losses.n_scored},
                 {"rows_changed", (double)rows_changed(r, s)},
                 {"rows_over_norm", (double)s->n_over_norm},
                 {"passes", (double)subspace_removal_passes(r)},
                 {"median_norm", stats->median_norm},
                 {"statistics_rows", (double)stats->n},
                 {"statistics_rows_over_norm", (double)stats->n_over_norm}};
    sae_status status = SAE_OK;

    SAE_TRY(core_describe(result, s, err));
    SAE_TRY(sae_result_note(result,
                            "R2 x - x P; R3 x - (x - mean) P; R5 x - x P + x' P with another row x'; R6 as R2, "
                            "rescaled to |x|. P projects on "
                            "the subspace. PCA and the random subspaces have its rank. Every row of the table sees the "
                            "same tokens; intervals "
                            "resample sequences.",
                            err));
    if (r->rows != EDIT_COUNTED)
        SAE_TRY(sae_result_note(
            result,
            r->rows == EDIT_EVERY_ROW
                ? "Every row is changed, the masked ones too; predictions of counted rows alone are scored."
                : "Position 0's rows are changed too; predictions of counted rows alone are scored.",
            err));
    SAE_TRY(core_few_sequences(result, r->losses.n_seq, err));
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        SAE_TRY(sae_result_number(result, facts[i].key, facts[i].value, err));
    SAE_TRY(sae_result_label(result, "passes", "model passes from the site on", "of each sequence", err));
done:
    return status;
}

sae_status subspace_removal_report(sae_result **out, const subspace_removal *r, const sample *s,
                                   const row_statistics *stats, const subspace *space, uint64_t seed, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_result *result = NULL;
    const loss_view view = {&r->losses, REMOVAL_CLEAN, -1, sae_model_get_info(s->model)->n_vocab, seed};

    SAE_TRY(sae_result_create(&result, "removal", err));
    SAE_TRY(describe(result, r, s, stats, space, err));
    SAE_TRY(put_table(result, r, &view, err));
    SAE_TRY(put_numbers(result, r, &view, err));
    SAE_TRY(put_over_random(result, r, &view, err));
    *out = result;
    result = NULL;
done:
    sae_result_free(result);
    return status;
}
