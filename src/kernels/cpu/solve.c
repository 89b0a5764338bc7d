/*
 * solve.c - double products and Cholesky by BLAS and LAPACK, by their Fortran symbols (see linalg.c). A row-major [m, n] is a
 * column-major [n, m].
 */
#include "kernels/linalg.h"

void dsyrk_(const char *uplo, const char *trans, const int *n, const int *k, const double *alpha, const double *a,
            const int *lda, const double *beta, double *c, const int *ldc, size_t uplo_length, size_t trans_length);
void dgemm_(const char *transa, const char *transb, const int *m, const int *n, const int *k, const double *alpha,
            const double *a, const int *lda, const double *b, const int *ldb, const double *beta, double *c,
            const int *ldc, size_t transa_length, size_t transb_length);
void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info, size_t uplo_length);
void dpotrs_(const char *uplo, const int *n, const int *nrhs, const double *a, const int *lda, double *b,
             const int *ldb, int *info, size_t uplo_length);

static const double one = 1, zero = 0;

void linalg_gram(int64_t m, int64_t n, const double *A, double *G)
{
    int side = (int)n, rows = (int)m;

    dsyrk_("L", "N", &side, &rows, &one, A, &side, &zero, G, &side, 1, 1);
    for (int64_t i = 0; i < n; i++) /* the lower triangle by columns is the upper one by rows */
        for (int64_t j = i + 1; j < n; j++) G[j * n + i] = G[i * n + j];
}

void linalg_product_nt(int64_t m, int64_t n, int64_t k, const double *A, const double *B, double *C)
{
    int rows = (int)n, columns = (int)m, inner = (int)k;

    dgemm_("T", "N", &rows, &columns, &inner, &one, B, &inner, A, &inner, &zero, C, &rows, 1, 1);
}

void linalg_product_tn(int64_t m, int64_t n, int64_t k, const double *A, const double *B, double *C)
{
    int rows = (int)n, columns = (int)m, inner = (int)k;

    dgemm_("N", "T", &rows, &columns, &inner, &one, B, &rows, A, &columns, &zero, C, &rows, 1, 1);
}

sae_status linalg_cholesky(int64_t n, double *A, sae_error *err)
{
    int side = (int)n, info = 0;

    dpotrf_("L", &side, A, &side, &info, 1);
    if (info == 0) return SAE_OK;
    return SAE_FAIL(err, SAE_NUMERIC, "a matrix of %d x %d is not positive definite (column %d)", side, side, info);
}

void linalg_cholesky_solve(int64_t n, const double *factor, int64_t m, double *B)
{
    int side = (int)n, count = (int)m, info = 0;

    dpotrs_("L", &side, &count, factor, &side, B, &side, &info, 1);
}
