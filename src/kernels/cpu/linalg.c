/*
 * linalg.c - symmetric eigenvectors and SVD by LAPACK (OpenBLAS's OpenMP build), in double.
 *
 * LAPACK is column-major with 32-bit sizes and is called by its Fortran symbols, since that build exports no LAPACKE. A
 * row-major matrix read by columns is its transpose: a symmetric one is itself, and the SVD of A^T swaps U and V.
 */
#include "kernels/linalg.h"

#include <limits.h>
#include <math.h>
#include <string.h>

void dsyevd_(const char *jobz, const char *uplo, const int *n, double *a, const int *lda, double *w, double *work,
             const int *lwork, int *iwork, const int *liwork, int *info, size_t jobz_length, size_t uplo_length);
void dgesdd_(const char *jobz, const int *m, const int *n, double *a, const int *lda, double *s, double *u,
             const int *ldu, double *vt, const int *ldvt, double *work, const int *lwork, int *iwork, int *info,
             size_t jobz_length);
void dgeev_(const char *jobvl, const char *jobvr, const int *n, double *a, const int *lda, double *wr, double *wi,
            double *vl, const int *ldvl, double *vr, const int *ldvr, double *work, const int *lwork, int *info,
            size_t jobvl_length, size_t jobvr_length);

/* The largest side: 4 n^2, the workspace of dgesdd, must fit in 32 bits. */
enum { MAX_SIDE = 20000 };

static sae_status check_sides(int64_t m, int64_t n, const double *A, sae_error *err)
{
    if (m < 1 || n < 1 || m > MAX_SIDE || n > MAX_SIDE)
        return SAE_FAIL(err, SAE_RANGE, "a matrix of %lld x %lld: sides must be 1 to %d", (long long)m, (long long)n,
                        MAX_SIDE);
    for (int64_t i = 0; i < m * n; i++)
        if (!isfinite(A[i]))
            return SAE_FAIL(err, SAE_NUMERIC, "a matrix of %lld x %lld holds %g at row %lld, column %lld", (long long)m,
                            (long long)n, A[i], (long long)(i / n), (long long)(i % n));
    return SAE_OK;
}

/* LAPACK gives eigenvalues ascending with eigenvectors as columns, that is as rows in our order: turn both round. */
static void reverse_rows(int64_t n, const double *ascending, const double *vectors, double *values, double *V)
{
    for (int64_t i = 0; i < n; i++) {
        values[i] = ascending[n - 1 - i];
        memcpy(V + i * n, vectors + (n - 1 - i) * n, (size_t)n * sizeof *V);
    }
}

/* dsyevd's own formula and the eigenvalues; what OpenBLAS touches of its buffers (observed at n 1,536, one and two threads: 14 and 16 MiB
 * with the rounding to huge pages). */
size_t linalg_eigh_bytes(int64_t n)
{
    return ((size_t)14 << 20) + (size_t)(2 + 7 * n + 2 * n * n) * sizeof(double) + (size_t)(3 + 5 * n) * sizeof(int);
}

sae_status linalg_eigh(int64_t n, double *A, double *values, double *V, sae_error *err)
{
    sae_status status = SAE_OK;
    int side = (int)n, lwork = -1, liwork = -1, info = 0, iwork_size = 0;
    double work_size = 0;
    double *ascending = NULL, *work = NULL;
    int *iwork = NULL;

    SAE_TRY(check_sides(n, n, A, err));
    dsyevd_("V", "U", &side, A, &side, values, &work_size, &lwork, &iwork_size, &liwork, &info, 1, 1);
    lwork = (int)work_size;
    liwork = iwork_size;
    ascending = mem_alloc_array((size_t)n, sizeof *ascending, "eigenvalues", err);
    work = mem_alloc_array((size_t)lwork, sizeof *work, "LAPACK's workspace", err);
    iwork = mem_alloc_array((size_t)liwork, sizeof *iwork, "LAPACK's workspace", err);
    if (!ascending || !work || !iwork) {
        status = SAE_NOMEM;
        goto done;
    }
    dsyevd_("V", "U", &side, A, &side, ascending, work, &lwork, iwork, &liwork, &info, 1, 1);
    if (info != 0)
        SAE_RAISE(err, SAE_NUMERIC, "eigenvectors of a %d x %d matrix: dsyevd did not converge (info %d)", side, side,
                  info);
    reverse_rows(n, ascending, A, values, V);
done:
    mem_free(ascending);
    mem_free(work);
    mem_free(iwork);
    return status;
}

static void sort_eigenvalues(int64_t n, double *real, double *imag)
{
    for (int64_t i = 1; i < n; i++) {
        const double re = real[i], im = imag[i];
        int64_t at = i;
        for (; at > 0 && (real[at - 1] < re || (real[at - 1] == re && imag[at - 1] < im)); at--) {
            real[at] = real[at - 1];
            imag[at] = imag[at - 1];
        }
        real[at] = re;
        imag[at] = im;
    }
}

/* Of A^T, which is what LAPACK sees: the same. */
sae_status linalg_eigenvalues(int64_t n, double *A, double *real, double *imag, sae_error *err)
{
    sae_status status = SAE_OK;
    int side = (int)n, one = 1, lwork = -1, info = 0;
    double work_size = 0, *work = NULL;

    SAE_TRY(check_sides(n, n, A, err));
    dgeev_("N", "N", &side, A, &side, real, imag, NULL, &one, NULL, &one, &work_size, &lwork, &info, 1, 1);
    lwork = (int)work_size;
    work = mem_alloc_array((size_t)lwork, sizeof *work, "LAPACK's workspace", err);
    if (!work) SAE_TRY(SAE_NOMEM);
    dgeev_("N", "N", &side, A, &side, real, imag, NULL, &one, NULL, &one, work, &lwork, &info, 1, 1);
    if (info != 0)
        SAE_RAISE(err, SAE_NUMERIC, "eigenvalues of a %d x %d matrix: dgeev did not converge (info %d)", side, side,
                  info);
    sort_eigenvalues(n, real, imag);
done:
    mem_free(work);
    return status;
}

sae_status linalg_svd(int64_t m, int64_t n, double *A, double *U, double *S, double *Vt, sae_error *err)
{
    sae_status status = SAE_OK;
    int rows = (int)n, columns = (int)m, rank = (int)(m < n ? m : n); /* of A^T, which is what LAPACK sees */
    int lwork = -1, info = 0;
    double work_size = 0;
    double *work = NULL, *own_u = NULL, *own_vt = NULL;
    int *iwork = NULL;
    const char *job = U || Vt ? "S" : "N";

    SAE_TRY(check_sides(m, n, A, err));
    if (!Vt) own_vt = mem_alloc_array((size_t)rank * (size_t)n, sizeof *own_vt, "singular vectors", err);
    if (!U) own_u = mem_alloc_array((size_t)rank * (size_t)m, sizeof *own_u, "singular vectors", err);
    iwork = mem_alloc_array(8 * (size_t)rank, sizeof *iwork, "LAPACK's workspace", err);
    if ((!Vt && !own_vt) || (!U && !own_u) || !iwork) {
        status = SAE_NOMEM;
        goto done;
    }
    /* A^T = V S U^T: LAPACK's U [n, r] by columns is Vt by rows, its V^T [r, m] by columns is U by rows. */
    double *left = Vt ? Vt : own_vt, *right = U ? U : own_u;
    dgesdd_(job, &rows, &columns, A, &rows, S, left, &rows, right, &rank, &work_size, &lwork, iwork, &info, 1);
    lwork = (int)work_size;
    work = mem_alloc_array((size_t)lwork, sizeof *work, "LAPACK's workspace", err);
    if (!work) {
        status = SAE_NOMEM;
        goto done;
    }
    dgesdd_(job, &rows, &columns, A, &rows, S, left, &rows, right, &rank, work, &lwork, iwork, &info, 1);
    if (info != 0)
        SAE_RAISE(err, SAE_NUMERIC, "singular values of a %d x %d matrix: dgesdd did not converge (info %d)", columns,
                  rows, info);
done:
    mem_free(own_u);
    mem_free(own_vt);
    mem_free(work);
    mem_free(iwork);
    return status;
}

sae_status linalg_row_basis(int64_t m, int64_t n, const double *A, double tolerance, double *basis, int64_t *rank,
                            sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t side = m < n ? m : n;
    double *copy = NULL, *S = NULL, *Vt = NULL;

    SAE_TRY(check_sides(m, n, A, err));
    copy = mem_alloc_array((size_t)m * (size_t)n, sizeof *copy, "a matrix", err);
    S = mem_alloc_array((size_t)side, sizeof *S, "singular values", err);
    Vt = mem_alloc_array((size_t)side * (size_t)n, sizeof *Vt, "singular vectors", err);
    if (!copy || !S || !Vt) {
        status = SAE_NOMEM;
        goto done;
    }
    memcpy(copy, A, (size_t)m * (size_t)n * sizeof *copy);
    SAE_TRY(linalg_svd(m, n, copy, NULL, S, Vt, err));
    int64_t kept = 0;
    while (kept < side && S[kept] > 0 && S[kept] >= tolerance * S[0]) kept++;
    memcpy(basis, Vt, (size_t)kept * (size_t)n * sizeof *basis);
    *rank = kept;
done:
    mem_free(copy);
    mem_free(S);
    mem_free(Vt);
    return status;
}
