/*
 * columns.c - means and values of columns of whatever kind, and choosing among them.
 */
#include "eval/columns.h"
#include "kernels/matmul.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int64_t columns_width(const columns *c)
{
    const pooled_codes *of = c->kind <= COLUMNS_WITH_SCAFFOLD ? &c->p->codes[c->dict] : NULL;

    if (!of) return c->p->d;
    return of->d_sae + (c->kind == COLUMNS_WITH_SCAFFOLD ? 2 * of->rank : 0);
}

static bool is_dense(const columns *c) { return c->kind == COLUMNS_NEURONS || c->kind == COLUMNS_COMPONENTS; }

/* The dense columns of one document: all of neurons and components, the scaffold's of a dictionary. */
static const float *dense_row(const columns *c, int64_t row, int64_t *width)
{
    if (!is_dense(c)) {
        *width = 2 * c->p->codes[c->dict].rank;
        return c->p->codes[c->dict].scaffold + row * *width;
    }
    *width = c->p->d;
    return (c->kind == COLUMNS_NEURONS ? c->p->rows : c->rotated) + row * *width;
}

void columns_means(const columns *c, const int64_t *docs, int64_t n, double *mean, int64_t *active)
{
    int64_t first = is_dense(c) ? 0 : c->p->codes[c->dict].d_sae, all = columns_width(c), width = 0;

    if (first > 0) pooled_means(c->p, c->dict, docs, n, mean, active);
    for (int64_t j = first; j < all; j++) mean[j] = 0, active[j] = 0;
    for (int64_t i = 0; all > first && i < n; i++) {
        const float *row = dense_row(c, pooled_find(c->p, docs[i]), &width);
        for (int64_t j = 0; j < width; j++) {
            mean[first + j] += (double)row[j] / (double)n;
            active[first + j] += row[j] != 0;
        }
    }
}

void columns_take(const columns *c, const int64_t *docs, int64_t n, const int64_t *which, int64_t k, float *out)
{
    int64_t first = is_dense(c) ? 0 : c->p->codes[c->dict].d_sae, width = 0;

    if (first > 0) pooled_columns(c->p, c->dict, docs, n, which, k, out); /* 0 for what is no latent */
    for (int64_t j = 0; j < k; j++) {
        if (which[j] < first) continue;
        for (int64_t i = 0; i < n; i++)
            out[i * k + j] = dense_row(c, pooled_find(c->p, docs[i]), &width)[which[j] - first];
    }
}

/* The principal components of n documents' rows, as float32 [d, d], and their mean. */
static sae_status find_components(const pooled *p, const int64_t *docs, int64_t n, double *mean, float *basis,
                                  sae_error *err)
{
    sae_status status = SAE_OK;
    size_t d = (size_t)p->d;
    moments m = {0};
    subspace components = {0};
    float *rows = mem_alloc_array((size_t)n, d * sizeof *rows, "mean rows", err);
    double *covariance = mem_alloc_array(d, d * sizeof *covariance, "a covariance", err);

    if (!rows || !covariance) SAE_TRY(SAE_NOMEM);
    pooled_rows(p, docs, n, rows);
    SAE_TRY(moments_create(&m, p->d, err));
    moments_add(&m, rows, n);
    SAE_TRY(moments_finish(&m, mean, covariance, err));
    SAE_TRY(subspace_pca(&components, covariance, p->d, 0, p->d, NULL, err));
    for (size_t i = 0; i < d * d; i++) basis[i] = (float)components.basis[i];
done:
    moments_free(&m);
    subspace_free(&components);
    mem_free(rows);
    mem_free(covariance);
    return status;
}

sae_status columns_rotate(const pooled *p, const int64_t *docs, int64_t n, float **out, sae_error *err)
{
    sae_status status = SAE_OK;
    size_t d = (size_t)p->d, all = (size_t)p->n;
    double *mean = mem_alloc_array(d, sizeof *mean, "a mean", err);
    float *basis = mem_alloc_array(d, d * sizeof *basis, "principal components", err);
    float *centred = mem_alloc_array(all, d * sizeof *centred, "centred rows", err);
    float *rotated = mem_alloc_array(all, d * sizeof *rotated, "rows along components", err);

    if (!mean || !basis || !centred || !rotated) SAE_TRY(SAE_NOMEM);
    SAE_TRY(find_components(p, docs, n, mean, basis, err));
    for (size_t i = 0; i < all; i++)
        for (size_t j = 0; j < d; j++) centred[i * d + j] = (float)((double)p->rows[i * d + j] - mean[j]);
    matmul_nt(p->n, p->d, p->d, centred, p->d, basis, p->d, 0, rotated, p->d);
    *out = rotated;
    rotated = NULL;
done:
    mem_free(mean);
    mem_free(basis);
    mem_free(centred);
    mem_free(rotated);
    return status;
}

/* ---- Choosing ---------------------------------------------------------------------------------------------------------- */

typedef struct candidate {
    double difference;
    int64_t column;
} candidate;

static int compare_candidates(const void *a, const void *b)
{
    const candidate *x = a, *y = b;

    if (x->difference != y->difference) return x->difference > y->difference ? -1 : 1;
    return (x->column > y->column) - (x->column < y->column);
}

static int compare_columns(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* The documents with y = 1 first, then the others; returns how many of the first. */
static int64_t part_by_label(const int64_t *docs, const int32_t *y, int64_t n, int64_t *parted)
{
    int64_t ones = 0, zeros = n;

    for (int64_t i = 0; i < n; i++) {
        if (y[i])
            parted[ones++] = docs[i];
        else
            parted[--zeros] = docs[i];
    }
    return ones;
}

/* Means over n documents of each column's square: square [width]. */
static void mean_squares(const columns *c, const int64_t *docs, int64_t n, double *square)
{
    const int64_t first = is_dense(c) ? 0 : c->p->codes[c->dict].d_sae, all = columns_width(c);
    int64_t width = 0;

    for (int64_t j = 0; j < all; j++) square[j] = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t row = pooled_find(c->p, docs[i]);
        const pooled_codes *of = first > 0 ? &c->p->codes[c->dict] : NULL;
        for (int64_t e = of ? of->row_start[row] : 0; of && e < of->row_start[row + 1]; e++)
            square[of->latent[e]] += (double)of->value[e] * (double)of->value[e] / (double)n;
        const float *dense = all > first ? dense_row(c, row, &width) : NULL;
        for (int64_t j = 0; dense && j < width; j++)
            square[first + j] += (double)dense[j] * (double)dense[j] / (double)n;
    }
}

/* Differences of means over the root of the mean of the two parts' variances; 0 where there is no difference. */
static sae_status scale_differences(const columns *c, const int64_t *parted, int64_t ones, int64_t n,
                                    const double *means, candidate *all, sae_error *err)
{
    const size_t width = (size_t)columns_width(c);
    double *squares = mem_alloc_array(2 * width, sizeof *squares, "squares of columns", err);

    if (!squares) return SAE_NOMEM;
    mean_squares(c, parted, ones, squares);
    mean_squares(c, parted + ones, n - ones, squares + width);
    for (size_t j = 0; j < width; j++) {
        const double own = squares[j] - means[j] * means[j];
        const double others = squares[width + j] - means[width + j] * means[width + j];
        if (all[j].difference > 0) all[j].difference /= sqrt(fmax((own + others) / 2, 1e-30));
    }
    mem_free(squares);
    return SAE_OK;
}

sae_status columns_best(const columns *c, const int64_t *docs, const int32_t *y, int64_t n, int64_t k, int64_t *which,
                        sae_error *err)
{
    sae_status status = SAE_OK;
    size_t width = (size_t)columns_width(c);
    double *means = mem_alloc_array(2 * width, sizeof *means, "means of columns", err);
    int64_t *active = mem_alloc_array(width, sizeof *active, "active columns", err);
    int64_t *parted = mem_alloc_array((size_t)n, sizeof *parted, "documents of a task", err);
    candidate *all = mem_alloc_array(width, sizeof *all, "columns to choose from", err);

    if (!means || !active || !parted || !all) SAE_TRY(SAE_NOMEM);
    if (k > (int64_t)width)
        SAE_RAISE(err, SAE_RANGE, "a probe of %lld columns: there are %lld to choose from", (long long)k,
                  (long long)width);
    int64_t ones = part_by_label(docs, y, n, parted);
    columns_means(c, parted, ones, means, active);
    columns_means(c, parted + ones, n - ones, means + width, active);
    for (size_t j = 0; j < width; j++) all[j] = (candidate){fabs(means[j] - means[width + j]), (int64_t)j};
    if (c->scaled) SAE_TRY(scale_differences(c, parted, ones, n, means, all, err));
    qsort(all, width, sizeof *all, compare_candidates);
    for (int64_t j = 0; j < k; j++) which[j] = all[j].column;
done:
    mem_free(means);
    mem_free(active);
    mem_free(parted);
    mem_free(all);
    return status;
}

sae_status columns_random(const columns *c, const int64_t *docs, int64_t n, int64_t k, rng *random, int64_t *which,
                          int64_t *got, sae_error *err)
{
    sae_status status = SAE_OK;
    size_t width = (size_t)columns_width(c);
    double *mean = mem_alloc_array(width, sizeof *mean, "means of columns", err);
    int64_t *active = mem_alloc_array(width, sizeof *active, "active columns", err);
    int64_t n_alive = 0;

    if (!mean || !active) SAE_TRY(SAE_NOMEM);
    columns_means(c, docs, n, mean, active);
    for (size_t j = 0; j < width; j++)
        if (active[j] > 0) active[n_alive++] = (int64_t)j;
    rng_shuffle(random, active, n_alive);
    *got = k < n_alive ? k : n_alive;
    memcpy(which, active, (size_t)*got * sizeof *which);
    qsort(which, (size_t)*got, sizeof *which, compare_columns);
done:
    mem_free(mean);
    mem_free(active);
    return status;
}
