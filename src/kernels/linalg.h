/*
 * linalg.h - eigenvectors and the like, by LAPACK in double precision.
 */
#ifndef SAE_LINALG_H
#define SAE_LINALG_H

#include "base/base.h"

/* Eigenvalues, descending, and eigenvectors (rows of V [n, n]) of the symmetric A [n, n], which is overwritten.
 * values [n]. */
sae_status linalg_eigh(int64_t n, double *A, double *values, double *V, sae_error *err);
size_t linalg_eigh_bytes(int64_t n); /* of the workspace that it takes and gives back */
/* Eigenvalues of any square A [n, n], which is overwritten: real [n], imag [n], by the real part descending; of a complex pair the one with
 * the positive imaginary part first. */
sae_status linalg_eigenvalues(int64_t n, double *A, double *real, double *imag, sae_error *err);
/* Thin SVD of A [m, n] (overwritten): U [m, r], S [r] descending, Vt [r, n], r = min(m, n). U or Vt may be NULL. */
sae_status linalg_svd(int64_t m, int64_t n, double *A, double *U, double *S, double *Vt, sae_error *err);
/* An orthonormal basis of the row space of A [m, n]: rows of basis [*rank, n], singular values below tolerance x the
 * largest are left out. basis has room for m rows. */
sae_status linalg_row_basis(int64_t m, int64_t n, const double *A, double tolerance, double *basis, int64_t *rank,
                            sae_error *err);

/* ---- Products and positive definite systems (solve.c): fits in double. Row-major; sides up to 2^31 - 1. ---- */

/* G [n, n] = A^T A of A [m, n], both triangles. */
void linalg_gram(int64_t m, int64_t n, const double *A, double *G);
/* C [m, n] = A [m, k] B [n, k]^T. */
void linalg_product_nt(int64_t m, int64_t n, int64_t k, const double *A, const double *B, double *C);
/* C [m, n] = A [k, m]^T B [k, n]. */
void linalg_product_tn(int64_t m, int64_t n, int64_t k, const double *A, const double *B, double *C);
/* The symmetric positive definite A [n, n] is replaced by its Cholesky factor; NUMERIC when it is none. */
sae_status linalg_cholesky(int64_t n, double *A, sae_error *err);
/* Each row b of B [m, n] is replaced by A^-1 b. */
void linalg_cholesky_solve(int64_t n, const double *factor, int64_t m, double *B);

#endif
