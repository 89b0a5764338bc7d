/*
 * row_moments.c - one pass over rows: their mean, covariance and magnitudes, and at the end the principal components.
 */
#include "lab/row_moments.h"

enum { CHUNK = 4096 };

void row_moments_free(row_moments *m)
{
    mem_free(m->mean);
    mem_free(m->covariance);
    mem_free(m->magnitude);
    mem_free(m->large);
    mem_free(m->extreme);
    mem_free(m->spectrum);
    subspace_free(&m->components);
    *m = (row_moments){0};
}

subspace row_components(const row_moments *m, int64_t n)
{
    return (subspace){.d = m->d, .rank = n, .basis = m->components.basis};
}

static sae_status begin(row_moments *m, moments *sums, int64_t d, sae_error *err)
{
    size_t n = (size_t)d;

    m->d = d;
    m->mean = mem_alloc_array(n, sizeof(double), "the mean row", err);
    m->covariance = mem_alloc_array(n, n * sizeof(double), "the covariance", err);
    m->spectrum = mem_alloc_array(n, sizeof(double), "its eigenvalues", err);
    m->magnitude = mem_alloc_array(n, sizeof(double), "magnitudes of dimensions", err);
    m->large = mem_alloc_array(n, sizeof(double), "shares of rows", err);
    m->extreme = mem_alloc_array(n, sizeof(double), "shares of rows", err);
    if (!m->mean || !m->covariance || !m->spectrum || !m->magnitude || !m->large || !m->extreme) return SAE_NOMEM;
    return moments_create(sums, d, err);
}

static void add(row_moments *m, moments *sums, const float *rows, int64_t n)
{
    moments_add(sums, rows, n);
    outliers_count(rows, n, m->d, m->magnitude, m->large, m->extreme);
}

static sae_status finish(row_moments *m, const moments *sums, sae_error *err)
{
    sae_status status = SAE_OK;

    m->n = sums->n;
    for (int64_t j = 0; j < m->d && m->n; j++) {
        m->magnitude[j] /= (double)m->n;
        m->large[j] /= (double)m->n;
        m->extreme[j] /= (double)m->n;
    }
    SAE_TRY(moments_finish(sums, m->mean, m->covariance, err));
    SAE_TRY(subspace_pca(&m->components, m->covariance, m->d, 0, m->d, m->spectrum, err));
done:
    return status;
}

sae_status row_moments_of_acts(row_moments *out, sae_acts *acts, const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    const sae_acts_info info = sae_acts_get_info(acts);
    row_moments m = {0};
    moments sums = {0};
    int64_t got = CHUNK;
    float *rows = mem_alloc_array(CHUNK, (size_t)info.d * sizeof *rows, "rows", err);

    if (!rows) SAE_TRY(SAE_NOMEM);
    SAE_TRY(begin(&m, &sums, info.d, err));
    while (got == CHUNK) {
        SAE_TRY(sae_acts_next(acts, CHUNK, rows, NULL, NULL, &got, err));
        add(&m, &sums, rows, got);
        if (progress && progress->report(progress->user, "rows", (double)sums.n, (double)info.n_rows))
            SAE_RAISE(err, SAE_CANCELLED, "stopped on request");
    }
    SAE_TRY(finish(&m, &sums, err));
    *out = m;
    m = (row_moments){0};
done:
    moments_free(&sums);
    row_moments_free(&m);
    mem_free(rows);
    return status;
}

sae_status row_moments_of_sample(row_moments *out, sample *s, sae_error *err)
{
    sae_status status = SAE_OK;
    row_moments m = {0};
    moments sums = {0};
    const float *rows;
    float *kept = mem_alloc_array((size_t)(s->batch_seqs * s->ctx), (size_t)s->d * sizeof *kept, "rows", err);

    if (!kept) SAE_TRY(SAE_NOMEM);
    SAE_TRY(begin(&m, &sums, s->d, err));
    for (int64_t first = 0, n; first < s->n_seq; first += n) {
        n = sample_batch(s, first, s->n_seq);
        SAE_TRY(sample_rows(s, first, n, &rows, err));
        add(&m, &sums, kept, sample_gather(s, first, n, rows, kept, NULL));
    }
    SAE_TRY(finish(&m, &sums, err));
    *out = m;
    m = (row_moments){0};
done:
    moments_free(&sums);
    row_moments_free(&m);
    mem_free(kept);
    return status;
}

sae_status components_of_every_row(subspace *out, sample *s, int64_t rank, sae_error *err)
{
    sae_status status = SAE_OK;
    const size_t d = (size_t)s->d;
    moments sums = {0};
    const float *rows;
    double *covariance = mem_alloc_array(d, d * sizeof *covariance, "the covariance of all rows", err);

    if (!covariance) SAE_TRY(SAE_NOMEM);
    SAE_TRY(moments_create(&sums, s->d, err));
    for (int64_t first = 0, n; first < s->n_seq; first += n) {
        n = sample_batch(s, first, s->n_seq);
        SAE_TRY(sample_rows(s, first, n, &rows, err));
        moments_add(&sums, rows, n * s->ctx);
    }
    SAE_TRY(moments_finish(&sums, NULL, covariance, err));
    SAE_TRY(subspace_pca(out, covariance, s->d, 0, rank, NULL, err));
done:
    moments_free(&sums);
    mem_free(covariance);
    return status;
}
