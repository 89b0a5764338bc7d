/*
 * moments.c - mean and covariance of any number of rows in memory that depends only on d.
 */
#include "eval/subspace.h"
#include "kernels/matmul.h"

#include <string.h>

/* A float32 product over so few rows keeps six digits; the sums over chunks are double. */
enum { CHUNK_ROWS = 512 };

void moments_free(moments *m)
{
    mem_free(m->shift);
    mem_free(m->sum);
    mem_free(m->cross);
    mem_free(m->chunk);
    mem_free(m->product);
    *m = (moments){0};
}

sae_status moments_create(moments *out, int64_t d, sae_error *err)
{
    size_t n = (size_t)d;
    moments m = {.d = d};

    if (d < 1) return SAE_FAIL(err, SAE_SHAPE, "rows of width %lld have no moments", (long long)d);
    m.shift = mem_alloc_array(n, sizeof(double), "a mean", err);
    m.sum = mem_alloc_array(n, sizeof(double), "a mean", err);
    m.cross = mem_alloc_array(n, n * sizeof(double), "a covariance", err);
    m.chunk = mem_alloc_array(n, CHUNK_ROWS * sizeof(float), "rows about their mean", err);
    m.product = mem_alloc_array(n, n * sizeof(float), "a covariance of a chunk", err);
    if (!m.shift || !m.sum || !m.cross || !m.chunk || !m.product) {
        moments_free(&m);
        return SAE_NOMEM;
    }
    *out = m;
    return SAE_OK;
}

static void shift_from(moments *m, const float *rows, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < m->d; j++) m->shift[j] += (double)rows[i * m->d + j];
    for (int64_t j = 0; j < m->d; j++) m->shift[j] /= (double)n;
}

static void add_chunk(moments *m, const float *rows, int64_t n)
{
    int64_t d = m->d;

    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < d; j++) {
            double about = (double)rows[i * d + j] - m->shift[j];
            m->sum[j] += about;
            m->chunk[i * d + j] = (float)about;
        }
    }
    matmul_tn(d, d, n, m->chunk, d, m->chunk, d, 0.0F, m->product, d);
#pragma omp parallel for
    for (int64_t j = 0; j < d * d; j++) m->cross[j] += (double)m->product[j];
    m->n += n;
}

void moments_add(moments *m, const float *rows, int64_t n)
{
    for (int64_t i = 0; i < n; i += CHUNK_ROWS) {
        int64_t take = n - i < CHUNK_ROWS ? n - i : CHUNK_ROWS;
        if (m->n == 0) shift_from(m, rows, take);
        add_chunk(m, rows + i * m->d, take);
    }
}

sae_status moments_finish(const moments *m, double *mean, double *covariance, sae_error *err)
{
    int64_t d = m->d;
    double n = (double)m->n;

    if (m->n < 2) return SAE_FAIL(err, SAE_STATE, "a covariance takes two rows or more, found %lld", (long long)m->n);
    for (int64_t i = 0; i < d; i++) {
        if (mean) mean[i] = m->shift[i] + m->sum[i] / n;
        for (int64_t j = 0; covariance && j < d; j++)
            covariance[i * d + j] = m->cross[i * d + j] / n - m->sum[i] / n * (m->sum[j] / n);
    }
    return SAE_OK;
}
