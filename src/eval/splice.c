/*
 * splice.c - runs the model on from a site with edited rows and sums its loss per sequence.
 */
#include "eval/splice.h"

#include <string.h>

void loss_table_free(loss_table *t)
{
    mem_free(t->nll);
    mem_free(t->count);
    *t = (loss_table){0};
}

int64_t splice_sequences(const sample *s, int64_t tokens)
{
    int64_t scored = 0, seq = 0;

    for (; seq < s->n_seq && scored < tokens; seq++)
        for (int64_t t = 0; t + 1 < s->ctx; t++) scored += sample_scored(s, seq, t);
    return seq;
}

/* One batch on its way through the edits. */
typedef struct splice {
    float *rows, *kept, *edited, *nll; /* [batch * ctx, d] three times, [batch, ctx - 1] */
    int64_t *index;                    /* [batch * ctx] places of the kept rows, those that an edit changes */
} splice;

static void splice_free(splice *w)
{
    mem_free(w->rows);
    mem_free(w->kept);
    mem_free(w->edited);
    mem_free(w->nll);
    mem_free(w->index);
}

static sae_status splice_create(splice *w, const sample *s, sae_error *err)
{
    size_t n = (size_t)(s->batch_seqs * s->ctx), row = (size_t)s->d * sizeof(float);

    w->rows = mem_alloc_array(n, row, "rows to run on with", err);
    w->kept = mem_alloc_array(n, row, "rows to change", err);
    w->edited = mem_alloc_array(n, row, "edited rows", err);
    w->nll = mem_alloc_array(n, sizeof(float), "losses", err);
    w->index = mem_alloc_array(n, sizeof *w->index, "places of rows to change", err);
    return w->rows && w->kept && w->edited && w->nll && w->index ? SAE_OK : SAE_NOMEM;
}

static sae_status replace_rows(void *user, float *rows, int64_t n_rows, int64_t d_model, sae_error *err)
{
    (void)err;
    memcpy(rows, user, (size_t)(n_rows * d_model) * sizeof *rows);
    return SAE_OK;
}

/* Residual sites start the pass; others lie inside a block and are replaced in a pass from the embedding. */
static sae_status run_on(const sample *s, int64_t first, int64_t n, const splice *w, sae_error *err)
{
    sae_tap tap = {.site = s->site, .fn = replace_rows, .user = w->rows};
    sae_run run = {.ids = s->ids + first * s->ctx, .n_seq = n, .n_ctx = s->ctx, .nll = w->nll};

    if (s->site.hook == SAE_RESID_PRE || s->site.hook == SAE_RESID_POST) {
        run.from_rows = w->rows;
        run.from = s->site;
    } else {
        run.taps = &tap;
        run.n_taps = 1;
    }
    return sae_model_run(s->model, &run, err);
}

bool edit_changes(edit_rows which, const sample *s, int64_t at)
{
    return s->counted[at] || which == EDIT_EVERY_ROW || (which == EDIT_WITH_POSITION_0 && at % s->ctx == 0);
}

/* Copies the rows of a batch that an edit changes together; returns their number. */
static int64_t gather(const sample *s, int64_t first, int64_t n, const float *rows, edit_rows which, splice *w)
{
    int64_t n_kept = 0;

    for (int64_t i = 0; i < n * s->ctx; i++) {
        if (!edit_changes(which, s, first * s->ctx + i)) continue;
        memcpy(w->kept + n_kept * s->d, rows + i * s->d, (size_t)s->d * sizeof *rows);
        w->index[n_kept++] = i;
    }
    return n_kept;
}

static sae_status apply_edit(const sample *s, const edit *e, int64_t first, int64_t n, const float *rows, splice *w,
                             sae_error *err)
{
    sae_status status = SAE_OK;

    memcpy(w->rows, rows, (size_t)(n * s->ctx * s->d) * sizeof *rows);
    if (!e->fn) goto done;
    const int64_t n_kept = gather(s, first, n, rows, e->rows, w);
    if (n_kept == 0) goto done;
    SAE_TRY(e->fn(e->user, w->kept, n_kept, s->d, w->edited, err));
    for (int64_t i = 0; i < n_kept; i++)
        memcpy(w->rows + w->index[i] * s->d, w->edited + i * s->d, (size_t)s->d * sizeof *rows);
done:
    return status;
}

/* Sums [n] over the scored positions of the sequences from `first` on. */
static void sum_losses(const sample *s, int64_t first, int64_t n, const float *nll, double *sums)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t t = 0; t + 1 < s->ctx; t++)
            if (sample_scored(s, first + i, t)) sums[i] += (double)nll[i * (s->ctx - 1) + t];
}

/* The same from w->rows, measured or known. */
static sae_status losses_of(const sample *s, int64_t first, int64_t n, const splice *w, double *sums, sae_error *err)
{
    sae_status status = SAE_OK;
    const int64_t at = first * s->ctx;
    const double *known = NULL;
    loss_key key;

    if (s->known) {
        key = loss_log_key(s->known, w->rows, n * s->ctx, s->d, s->ids + at, s->mask + at, s->counted + at);
        known = loss_log_find(s->known, key, n);
    }
    if (known) {
        memcpy(sums, known, (size_t)n * sizeof *sums);
        return SAE_OK;
    }
    SAE_TRY(run_on(s, first, n, w, err));
    sum_losses(s, first, n, w->nll, sums);
    if (s->known) SAE_TRY(loss_log_add(s->known, key, sums, n, err));
done:
    return status;
}

static sae_status splice_batch(loss_table *table, sample *s, int64_t first, int64_t n, const edit *edits, splice *w,
                               const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    const float *rows = NULL;

    SAE_TRY(sample_rows(s, first, n, &rows, err));
    for (int e = 0; e < table->n_edits; e++) {
        SAE_TRY(apply_edit(s, &edits[e], first, n, rows, w, err));
        SAE_TRY(losses_of(s, first, n, w, table->nll + e * table->n_seq + first, err));
        if (progress &&
            progress->report(progress->user, "tokens scored", (double)(s->ctx * (first * table->n_edits + (e + 1) * n)),
                             (double)(s->ctx * table->n_seq * table->n_edits)))
            SAE_RAISE(err, SAE_CANCELLED, "stopped on request");
    }
done:
    return status;
}

static void count_scored(loss_table *t, const sample *s)
{
    for (int64_t seq = 0; seq < t->n_seq; seq++)
        for (int64_t p = 0; p + 1 < s->ctx; p++) t->count[seq] += sample_scored(s, seq, p);
    for (int64_t seq = 0; seq < t->n_seq; seq++) t->n_scored += (int64_t)t->count[seq];
}

sae_status splice_measure(loss_table *out, sample *s, int64_t n_seq, const edit *edits, int n_edits,
                          const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    splice w = {0};
    loss_table t = {.n_edits = n_edits, .n_seq = n_seq};

    t.nll = mem_alloc_array((size_t)n_edits, (size_t)n_seq * sizeof(double), "sums of losses", err);
    t.count = mem_alloc_array((size_t)n_seq, sizeof(double), "scored positions", err);
    if (!t.nll || !t.count) {
        status = SAE_NOMEM;
        goto done;
    }
    SAE_TRY(splice_create(&w, s, err));
    count_scored(&t, s);
    if (t.n_scored == 0)
        SAE_RAISE(
            err, SAE_RANGE,
            "no position can be scored: at each the row is masked (position 0, a special id) or over the norm limit "
            "(--max-norm), or the next token is masked");
    for (int64_t first = 0; first < n_seq; first += s->batch_seqs)
        SAE_TRY(splice_batch(&t, s, first, sample_batch(s, first, n_seq), edits, &w, progress, err));
    *out = t;
    t = (loss_table){0};
done:
    splice_free(&w);
    loss_table_free(&t);
    return status;
}

double loss_mean(const loss_table *t, int which)
{
    double sum = 0;

    for (int64_t i = 0; i < t->n_seq; i++) sum += t->nll[which * t->n_seq + i];
    return sum / (double)t->n_scored;
}

sae_status loss_ratio(interval *out, const loss_table *t, int which, int clean, uint64_t seed, sae_error *err)
{
    return bootstrap_ratio(out, t->nll + which * t->n_seq, t->nll + clean * t->n_seq, t->n_seq, seed, err);
}

/* Mean over the draws of each sequence's sum: [n_seq], mem_free. NULL: no memory. */
static double *mean_of_draws(const loss_table *t, loss_draws draws, sae_error *err)
{
    double *mean = mem_alloc_array((size_t)t->n_seq, sizeof *mean, "mean losses of random controls", err);

    for (int k = 0; mean && k < draws.n; k++)
        for (int64_t i = 0; i < t->n_seq; i++)
            mean[i] += t->nll[(draws.first + k * draws.step) * t->n_seq + i] / draws.n;
    return mean;
}

sae_status loss_add_mean(loss_table *t, int first, int n, sae_error *err)
{
    size_t row = (size_t)t->n_seq * sizeof *t->nll, old = (size_t)t->n_edits * row;
    double *mean = mean_of_draws(t, (loss_draws){first, 1, n}, err);
    double *nll = mean ? mem_grow(t->nll, old, old + row, "sums of losses", err) : NULL;

    if (nll) {
        t->nll = nll;
        memcpy(nll + t->n_edits++ * t->n_seq, mean, row);
    }
    mem_free(mean);
    return nll ? SAE_OK : SAE_NOMEM;
}

sae_status loss_contrast(interval *out, const loss_table *t, const int which[4], uint64_t seed, sae_error *err)
{
    static const double signs[4] = {1, -1, -1, 1};

    return loss_weighted(out, t, which, signs, 4, seed, err);
}

sae_status loss_weighted(interval *out, const loss_table *t, const int *which, const double *weights, int n,
                         uint64_t seed, sae_error *err)
{
    sae_status status = SAE_OK;
    double *sum = mem_alloc_array((size_t)t->n_seq, sizeof *sum, "differences of losses", err);

    if (!sum) return SAE_NOMEM;
    for (int64_t i = 0; i < t->n_seq; i++)
        for (int e = 0; e < n; e++) sum[i] += weights[e] * t->nll[which[e] * t->n_seq + i];
    SAE_TRY(bootstrap_ratio(out, sum, t->count, t->n_seq, seed, err));
done:
    mem_free(sum);
    return status;
}

sae_status loss_difference(interval *out, const loss_table *t, int which, int clean, uint64_t seed, sae_error *err)
{
    static const double signs[2] = {1, -1};

    return loss_weighted(out, t, (const int[2]){which, clean}, signs, 2, seed, err);
}

/* ---- Beside draws -------------------------------------------------------------------------------------------------------- */

/* The effect of edit `which` against the mean of the draws, as a ratio or in nats; the draws' own effects are in the same unit. */
static sae_status beside(interval *out, const loss_table *t, int which, loss_draws draws, bool ratio, uint64_t seed,
                         sae_error *err)
{
    sae_status status = SAE_OK;
    double *mean = mean_of_draws(t, draws, err), *effect = NULL, sum = 0;
    double *controls = mem_alloc_array((size_t)draws.n, sizeof *controls, "effects of random controls", err);
    interval sampled;

    effect = mem_alloc_array((size_t)t->n_seq, sizeof *effect, "effects of a change", err);
    if (!mean || !controls || !effect) SAE_TRY(SAE_NOMEM);
    for (int64_t i = 0; i < t->n_seq; i++) effect[i] = t->nll[which * t->n_seq + i] - (ratio ? 0 : mean[i]);
    for (int k = 0; k < draws.n; k++) sum += loss_mean(t, draws.first + k * draws.step) / draws.n;
    for (int k = 0; k < draws.n; k++) {
        const double ce = loss_mean(t, draws.first + k * draws.step);
        controls[k] = ratio ? ce / sum : ce - sum;
    }
    SAE_TRY(bootstrap_ratio(&sampled, effect, ratio ? mean : t->count, t->n_seq, seed, err));
    *out = interval_beside_draws(sampled, controls, draws.n);
done:
    mem_free(mean);
    mem_free(effect);
    mem_free(controls);
    return status;
}

sae_status loss_ratio_beside(interval *out, const loss_table *t, int which, loss_draws draws, uint64_t seed,
                             sae_error *err)
{
    return beside(out, t, which, draws, true, seed, err);
}

sae_status loss_difference_beside(interval *out, const loss_table *t, int which, loss_draws draws, uint64_t seed,
                                  sae_error *err)
{
    return beside(out, t, which, draws, false, seed, err);
}

sae_status loss_ratio_of_draws(interval *out, const loss_table *t, loss_draws draws, int clean, uint64_t seed,
                               sae_error *err)
{
    sae_status status = SAE_OK;
    double *mean = mean_of_draws(t, draws, err);

    if (!mean) return SAE_NOMEM;
    SAE_TRY(bootstrap_ratio(out, mean, t->nll + clean * t->n_seq, t->n_seq, seed, err));
done:
    mem_free(mean);
    return status;
}
