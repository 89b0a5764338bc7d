/*
 * subspace.c - orthonormal bases and what can be said about them without regard to the basis chosen.
 */
#include "eval/subspace.h"
#include "kernels/linalg.h"

#include <math.h>
#include <string.h>

static const double basis_tolerance =
    1e-6; /* docs/method.md 7: singular values below this share of the largest are no direction */

void subspace_free(subspace *s)
{
    mem_free(s->basis);
    *s = (subspace){0};
}

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* Takes the rows over as a basis; they are overwritten. */
static sae_status basis_of(subspace *out, double *rows, int64_t n, int64_t d, sae_error *err)
{
    sae_status status = SAE_OK;
    subspace s = {.d = d};

    s.basis = mem_alloc_array((size_t)n, (size_t)d * sizeof(double), "a basis", err);
    if (!s.basis) return SAE_NOMEM;
    SAE_TRY(linalg_row_basis(n, d, rows, basis_tolerance, s.basis, &s.rank, err));
    *out = s;
    s.basis = NULL;
done:
    mem_free(s.basis);
    return status;
}

static bool all_zero(const float *rows, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (rows[i] != 0.0F) return false;
    return true;
}

sae_status subspace_of_rows(subspace *out, const float *rows, int64_t n, int64_t d, sae_error *err)
{
    sae_status status = SAE_OK;
    double *copy = NULL;

    if (all_zero(rows, n * d)) { /* no direction at all: 0 is never below a share of the largest, itself 0 */
        *out = (subspace){.d = d};
        return SAE_OK;
    }
    copy = mem_alloc_array((size_t)n, (size_t)d * sizeof(double), "the rows of a basis", err);
    if (!copy) return SAE_NOMEM;
    for (int64_t i = 0; i < n * d; i++) copy[i] = (double)rows[i];
    SAE_TRY(basis_of(out, copy, n, d, err));
done:
    mem_free(copy);
    return status;
}

/* Divided by its largest entry first: no square overflows or vanishes. */
bool subspace_unit(const double *v, int64_t d, double *out)
{
    double largest = 0, norm;

    for (int64_t j = 0; j < d; j++) largest = fmax(largest, fabs(v[j]));
    if (!(largest > 0)) return false;
    for (int64_t j = 0; j < d; j++) out[j] = v[j] / largest;
    norm = sqrt(dot(out, out, d));
    for (int64_t j = 0; j < d; j++) out[j] /= norm;
    return true;
}

sae_status subspace_of_directions(subspace *out, const double *directions, int64_t n, int64_t d, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t kept = 0;
    double *units = mem_alloc_array((size_t)n + 1, (size_t)d * sizeof(double), "the directions of a basis", err);

    if (!units) return SAE_NOMEM;
    for (int64_t i = 0; i < n; i++) kept += subspace_unit(directions + i * d, d, units + kept * d);
    if (kept == 0)
        *out = (subspace){.d = d};
    else
        SAE_TRY(basis_of(out, units, kept, d, err));
done:
    mem_free(units);
    return status;
}

sae_status subspace_pca(subspace *out, const double *covariance, int64_t d, int64_t first, int64_t rank, double *values,
                        sae_error *err)
{
    sae_status status = SAE_OK;
    subspace s = {.d = d, .rank = rank};
    size_t n = (size_t)d;
    double *A = mem_alloc_array(n, n * sizeof(double), "a covariance", err);
    double *V = mem_alloc_array(n, n * sizeof(double), "eigenvectors", err);
    double *spectrum = mem_alloc_array(n, sizeof(double), "eigenvalues", err);

    if (!A || !V || !spectrum) {
        status = SAE_NOMEM;
        goto done;
    }
    if (first < 0 || rank < 0 || first + rank > d)
        SAE_RAISE(err, SAE_RANGE, "principal components %lld to %lld of %lld do not exist", (long long)first,
                  (long long)(first + rank - 1), (long long)d);
    s.basis = mem_alloc_array((size_t)rank, n * sizeof(double), "principal components", err);
    if (!s.basis) {
        status = SAE_NOMEM;
        goto done;
    }
    memcpy(A, covariance, n * n * sizeof(double));
    SAE_TRY(linalg_eigh(d, A, spectrum, V, err));
    memcpy(s.basis, V + first * d, (size_t)rank * n * sizeof(double));
    if (values) memcpy(values, spectrum, n * sizeof(double));
    *out = s;
    s.basis = NULL;
done:
    mem_free(s.basis);
    mem_free(spectrum);
    mem_free(V);
    mem_free(A);
    return status;
}

sae_status subspace_random(subspace *out, int64_t d, int64_t rank, rng *random, sae_error *err)
{
    sae_status status = SAE_OK;
    double *rows;

    if (rank == 0) {
        *out = (subspace){.d = d};
        return SAE_OK;
    }
    rows = mem_alloc_array((size_t)rank, (size_t)d * sizeof(double), "random directions", err);
    if (!rows) return SAE_NOMEM;
    for (int64_t i = 0; i < rank * d; i++) rows[i] = rng_normal(random);
    SAE_TRY(basis_of(out, rows, rank, d, err));
done:
    mem_free(rows);
    return status;
}

/* An orthonormal basis of random directions orthogonal to the row, of which the first is turned towards it: sqrt(share) of the row and
 * sqrt(1 - share) of itself. The others hold nothing of the row, so that the whole holds `share` of it. */
sae_status subspace_random_of_share(subspace *out, const double *row, double share, int64_t d, int64_t rank,
                                    rng *random, sae_error *err)
{
    sae_status status = SAE_OK;
    double *rows = mem_alloc_array((size_t)rank, (size_t)d * sizeof(double), "random directions", err);
    double square = 0;

    if (!rows) return SAE_NOMEM;
    for (int64_t j = 0; j < d; j++) square += row[j] * row[j];
    for (int64_t i = 0; i < rank; i++) {
        double *v = rows + i * d, along = 0;
        for (int64_t j = 0; j < d; j++) {
            v[j] = rng_normal(random);
            along += v[j] * row[j] / square;
        }
        for (int64_t j = 0; j < d; j++) v[j] -= along * row[j];
    }
    SAE_TRY(basis_of(out, rows, rank, d, err));
    const double towards = sqrt(share / square), aside = sqrt(1 - share);
    for (int64_t j = 0; j < d; j++) out->basis[j] = towards * row[j] + aside * out->basis[j];
done:
    mem_free(rows);
    return status;
}

sae_status subspace_cosines(const subspace *a, const subspace *b, double *cosines, sae_error *err)
{
    sae_status status = SAE_OK;
    double *product;

    if (a->rank == 0 || b->rank == 0) return SAE_OK;
    product = mem_alloc_array((size_t)a->rank, (size_t)b->rank * sizeof(double), "products of two bases", err);
    if (!product) return SAE_NOMEM;
    for (int64_t i = 0; i < a->rank; i++)
        for (int64_t j = 0; j < b->rank; j++)
            product[i * b->rank + j] = dot(a->basis + i * a->d, b->basis + j * b->d, a->d);
    SAE_TRY(linalg_svd(a->rank, b->rank, product, NULL, cosines, NULL, err));
done:
    mem_free(product);
    return status;
}

double subspace_overlap(const subspace *a, const subspace *b)
{
    double sum = 0;

    for (int64_t i = 0; i < a->rank; i++) {
        for (int64_t j = 0; j < b->rank; j++) {
            double cosine = dot(a->basis + i * a->d, b->basis + j * b->d, a->d);
            sum += cosine * cosine;
        }
    }
    return a->rank ? sum / (double)a->rank : 0;
}

double subspace_variance(const subspace *s, const double *covariance)
{
    double sum = 0;

    for (int64_t i = 0; i < s->rank; i++) {
        const double *u = s->basis + i * s->d;
        for (int64_t j = 0; j < s->d; j++) sum += u[j] * dot(covariance + j * s->d, u, s->d);
    }
    return sum;
}

double subspace_share(const subspace *s, const double *v)
{
    double norm = dot(v, v, s->d), inside = 0;

    for (int64_t i = 0; i < s->rank; i++) {
        double code = dot(s->basis + i * s->d, v, s->d);
        inside += code * code;
    }
    return norm > 0 ? inside / norm : 0;
}

sae_status subspace_remove(const subspace *s, const double *mean, const float *rows, int64_t n, float *out,
                           sae_error *err)
{
    int64_t d = s->d, rank = s->rank;
    double *codes;

    if (rank == 0) {
        if (out != rows) memcpy(out, rows, (size_t)(n * d) * sizeof *out);
        return SAE_OK;
    }
    codes = mem_alloc_array((size_t)n, (size_t)rank * sizeof(double), "codes in a subspace", err);
    if (!codes) return SAE_NOMEM;
#pragma omp parallel for
    for (int64_t i = 0; i < n; i++) {
        const float *x = rows + i * d;
        double *code = codes + i * rank;
        for (int64_t k = 0; k < rank; k++)
            for (int64_t j = 0; j < d; j++) code[k] += s->basis[k * d + j] * ((double)x[j] - (mean ? mean[j] : 0));
        for (int64_t j = 0; j < d; j++) {
            double part = 0;
            for (int64_t k = 0; k < rank; k++) part += code[k] * s->basis[k * d + j];
            out[i * d + j] = (float)((double)x[j] - part);
        }
    }
    mem_free(codes);
    return SAE_OK;
}
