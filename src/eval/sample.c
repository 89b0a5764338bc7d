/*
 * sample.c - reads held-out sequences, runs the model on them to the site, finds which rows count.
 */
#include "eval/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void sample_free(sample *s)
{
    mem_free(s->ids);
    mem_free(s->mask);
    mem_free(s->counted);
    mem_free(s->cache);
    mem_free(s->batch);
    *s = (sample){0};
}

int64_t sample_batch(const sample *s, int64_t first, int64_t end)
{
    return end - first < s->batch_seqs ? end - first : s->batch_seqs;
}

static int64_t count_ones(const uint8_t *flags, int64_t n)
{
    int64_t ones = 0;

    for (int64_t i = 0; i < n; i++) ones += flags[i] != 0;
    return ones;
}

/* Room for `more` further sequences. */
static sae_status sample_grow(sample *s, int64_t *capacity, int64_t more, sae_error *err)
{
    int64_t wanted = *capacity ? *capacity * 2 : 64;
    size_t old_ids = (size_t)(*capacity * s->ctx) * sizeof(int32_t), new_ids;
    int32_t *ids;
    uint8_t *mask;

    if (s->n_seq + more <= *capacity) return SAE_OK;
    if (wanted < s->n_seq + more) wanted = s->n_seq + more;
    new_ids = (size_t)(wanted * s->ctx) * sizeof(int32_t);
    ids = mem_grow(s->ids, old_ids, new_ids, "held-out tokens", err);
    if (!ids) return SAE_NOMEM;
    s->ids = ids;
    mask = mem_grow(s->mask, old_ids / sizeof(int32_t), new_ids / sizeof(int32_t), "their mask", err);
    if (!mask) return SAE_NOMEM;
    s->mask = mask;
    *capacity = wanted;
    return SAE_OK;
}

/* A sequence begins with the separator, which stands behind each document. */
static int64_t documents_end(const int32_t *ids, int64_t ctx)
{
    int64_t n = 0;

    for (int64_t t = 1; t < ctx; t++) n += ids[t] == ids[0];
    return n;
}

static sae_status read_text(sample *s, sae_text *text, const sample_options *options, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t capacity = 0, unmasked = 0, got = 1;

    while (unmasked < options->tokens && got > 0) {
        int64_t at = s->n_seq * s->ctx;
        SAE_TRY(sample_grow(s, &capacity, 1, err));
        SAE_TRY(sae_text_next(text, 1, s->ids + at, s->mask + at, &got, err));
        if (options->with_bos) memset(s->mask + at, 1, (size_t)(got * s->ctx));
        unmasked += count_ones(s->mask + at, got * s->ctx);
        s->n_documents += got ? documents_end(s->ids + at, s->ctx) : 0;
        s->n_seq += got;
    }
    s->n_documents++; /* the one that the text stopped in */
    if (s->n_seq < 2)
        SAE_RAISE(
            err, SAE_RANGE,
            "the held-out text has %lld sequences of %lld tokens, two are needed: give more text or a shorter --ctx",
            (long long)s->n_seq, (long long)s->ctx);
    s->n_masked = s->n_seq * s->ctx - unmasked;
done:
    return status;
}

static sae_status copy_rows(void *user, float *rows, int64_t n_rows, int64_t d_model, sae_error *err)
{
    (void)err;
    memcpy(user, rows, (size_t)(n_rows * d_model) * sizeof *rows);
    return SAE_OK;
}

static sae_status compute_rows(const sample *s, int64_t first, int64_t n, float *rows, sae_error *err)
{
    sae_tap tap = {.site = s->site, .fn = copy_rows, .user = rows};
    sae_run run = {.ids = s->ids + first * s->ctx, .n_seq = n, .n_ctx = s->ctx, .taps = &tap, .n_taps = 1};

    return sae_model_run(s->model, &run, err);
}

sae_status sample_rows(sample *s, int64_t first, int64_t n, const float **rows, sae_error *err)
{
    if (s->cache) {
        *rows = s->cache + first * s->ctx * s->d;
        return SAE_OK;
    }
    *rows = s->batch;
    return compute_rows(s, first, n, s->batch, err);
}

static double row_norm(const float *row, int64_t d)
{
    double sum = 0;

    for (int64_t j = 0; j < d; j++) sum += (double)row[j] * (double)row[j];
    return sqrt(sum);
}

/* All rows once: into the cache when there is one; their norms. */
static sae_status measure_norms(sample *s, double *norms, const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;

    for (int64_t first = 0; first < s->n_seq; first += s->batch_seqs) {
        int64_t n = sample_batch(s, first, s->n_seq), at = first * s->ctx;
        float *rows = s->cache ? s->cache + at * s->d : s->batch;
        SAE_TRY(compute_rows(s, first, n, rows, err));
        for (int64_t i = 0; i < n * s->ctx; i++) norms[at + i] = row_norm(rows + i * s->d, s->d);
        if (progress &&
            progress->report(progress->user, "held-out tokens", (double)(at + n * s->ctx), (double)(s->n_seq * s->ctx)))
            SAE_RAISE(err, SAE_CANCELLED, "stopped on request");
    }
done:
    return status;
}

static sae_status median_of_unmasked(sample *s, const double *norms, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t n = 0, total = s->n_seq * s->ctx;
    double *sorted = mem_alloc_array((size_t)total, sizeof(double), "sorted norms", err);

    if (!sorted) return SAE_NOMEM;
    for (int64_t i = 0; i < total; i++) {
        if (!s->mask[i]) continue;
        if (!isfinite(norms[i]))
            SAE_RAISE(err, SAE_NUMERIC, "a row of the model at held-out token %lld is not finite", (long long)i);
        sorted[n++] = norms[i];
    }
    if (n == 0)
        SAE_RAISE(err, SAE_RANGE, "every token is masked, as position 0 and special ones are: nothing to measure on");
    qsort(sorted, (size_t)n, sizeof *sorted, compare_doubles);
    s->median_norm = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
done:
    mem_free(sorted);
    return status;
}

static void count_rows(sample *s, const double *norms, double max_norm)
{
    for (int64_t i = 0; i < s->n_seq * s->ctx; i++) {
        bool over = max_norm > 0 && norms[i] > max_norm * s->median_norm;
        s->counted[i] = s->mask[i] && !over;
        s->n_counted += s->counted[i];
        s->n_over_norm += s->mask[i] && over;
    }
}

static sae_status take_memory(sample *s, size_t cache_bytes, sae_error *err)
{
    size_t all = (size_t)(s->n_seq * s->ctx), row = (size_t)s->d * sizeof(float), bytes;

    s->counted = mem_alloc_array(all, 1, "which rows count", err);
    if (!s->counted) return SAE_NOMEM;
    if (!mul_overflows(all, row, &bytes) && bytes <= cache_bytes) {
        s->cache = mem_alloc(bytes, "held-out rows", err);
        return s->cache ? SAE_OK : SAE_NOMEM;
    }
    s->batch = mem_alloc_array((size_t)(s->batch_seqs * s->ctx), row, "a batch of held-out rows", err);
    return s->batch ? SAE_OK : SAE_NOMEM;
}

/* From tokens and mask to counted rows. */
static sae_status find_rows(sample *s, const sample_options *options, const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    double *norms = NULL;

    SAE_TRY(take_memory(s, options->cache_bytes ? options->cache_bytes : (size_t)SAMPLE_CACHE_MIB << 20, err));
    norms = mem_alloc_array((size_t)(s->n_seq * s->ctx), sizeof(double), "norms of rows", err);
    if (!norms) {
        status = SAE_NOMEM;
        goto done;
    }
    SAE_TRY(measure_norms(s, norms, progress, err));
    SAE_TRY(median_of_unmasked(s, norms, err));
    if (options->median_norm > 0) s->median_norm = options->median_norm;
    count_rows(s, norms, options->max_norm == 0 ? 10 : options->max_norm);
done:
    mem_free(norms);
    return status;
}

static sample sample_begin(sae_model *model, int64_t ctx, sae_site site, const sample_options *options)
{
    return (sample){.model = model,
                    .site = site,
                    .ctx = ctx,
                    .d = sae_model_get_info(model)->d_model,
                    .batch_seqs = options->batch_seqs ? options->batch_seqs : 8};
}

sae_status sample_create(sample *out, sae_model *model, sae_text *text, sae_site site, const sample_options *options,
                         const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    sample s = sample_begin(model, sae_text_ctx(text), site, options);

    SAE_TRY(read_text(&s, text, options, err));
    SAE_TRY(find_rows(&s, options, progress, err));
    *out = s;
    s = (sample){0};
done:
    sample_free(&s);
    return status;
}

sae_status sample_of_ids(sample *out, sae_model *model, const int32_t *ids, const uint8_t *mask, int64_t n_seq,
                         int64_t ctx, sae_site site, const sample_options *options, sae_error *err)
{
    sae_status status = SAE_OK;
    sample s = sample_begin(model, ctx, site, options);
    int64_t capacity = 0;

    SAE_TRY(sample_grow(&s, &capacity, n_seq, err));
    memcpy(s.ids, ids, (size_t)(n_seq * ctx) * sizeof *ids);
    memcpy(s.mask, mask, (size_t)(n_seq * ctx));
    if (options->with_bos) memset(s.mask, 1, (size_t)(n_seq * ctx));
    s.n_seq = n_seq;
    s.n_masked = n_seq * ctx - count_ones(s.mask, n_seq * ctx);
    SAE_TRY(find_rows(&s, options, NULL, err));
    *out = s;
    s = (sample){0};
done:
    sample_free(&s);
    return status;
}

bool sample_scored(const sample *s, int64_t seq, int64_t t)
{
    const int64_t at = seq * s->ctx + t;

    return t + 1 < s->ctx && s->counted[at] && s->mask[at + 1];
}

int64_t sample_gather(const sample *s, int64_t first, int64_t n, const float *rows, float *kept, int64_t *index)
{
    int64_t n_kept = 0;

    for (int64_t i = 0; i < n * s->ctx; i++) {
        if (!s->counted[first * s->ctx + i]) continue;
        memcpy(kept + n_kept * s->d, rows + i * s->d, (size_t)s->d * sizeof *kept);
        if (index) index[n_kept] = i;
        n_kept++;
    }
    return n_kept;
}
