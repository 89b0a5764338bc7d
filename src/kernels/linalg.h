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
/* Thin SVD of A [m, n] (overwritten): U [m, r], S [r] descending, Vt [r, n], r = min(m, n). U or Vt may be NULL. */
sae_status linalg_svd(int64_t m, int64_t n, double *A, double *U, double *S, double *Vt, sae_error *err);
/* An orthonormal basis of the row space of A [m, n]: rows of basis [*rank, n], singular values below tolerance x the
 * largest are left out. basis has room for m rows. */
sae_status linalg_row_basis(int64_t m, int64_t n, const double *A, double tolerance, double *basis, int64_t *rank,
                            sae_error *err);

#endif
