/*
 * subspace.h - mean and covariance of streamed rows, linear subspaces of the residual stream, and how two of them relate.
 *
 * A subspace is an orthonormal basis; its projector is P = basis^T basis. Everything here is double precision.
 */
#ifndef SAE_EVAL_SUBSPACE_H
#define SAE_EVAL_SUBSPACE_H

#include "base/base.h"

/* ---- Moments of a stream of rows (moments.c) ---------------------------------------------------------------------- */

/* Sums are kept about `shift`, a mean of the first rows: so the covariance of rows far from the origin loses no digits.
 * Short chunks are multiplied in float32 and added in double. */
typedef struct moments {
    int64_t d, n;
    double *shift, *sum, *cross; /* [d], [d], [d, d], about the shift */
    float *chunk, *product;
} moments;

sae_status moments_create(moments *out, int64_t d, sae_error *err);
void moments_free(moments *m);
void moments_add(moments *m, const float *rows, int64_t n); /* rows [n, d] */
/* mean [d] and covariance [d, d] (divided by n); either may be NULL. Fails with STATE before two rows were added. */
sae_status moments_finish(const moments *m, double *mean, double *covariance, sae_error *err);

/* ---- Subspaces (subspace.c) ------------------------------------------------------------------------------------------ */

typedef struct subspace {
    int64_t d, rank;
    double *basis; /* [rank, d], orthonormal rows */
} subspace;

void subspace_free(subspace *s);
/* The row space of rows [n, d]; singular values under 1e-6 of the largest are left out. Rank 0 when all rows are 0. */
sae_status subspace_of_rows(subspace *out, const float *rows, int64_t n, int64_t d, sae_error *err);
/* The span of directions [n, d] whose lengths say nothing: each is brought to norm 1 first, those of length 0 are left out. n = 0
 * or all 0: rank 0. */
sae_status subspace_of_directions(subspace *out, const double *directions, int64_t n, int64_t d, sae_error *err);
/* v [d] brought to norm 1; out may be v. False: v is 0, out as it was. */
bool subspace_unit(const double *v, int64_t d, double *out);
/* The eigenvectors number first to first + rank - 1 (from 0, largest eigenvalue first) of a covariance [d, d]; values
 * [d] takes all eigenvalues unless NULL. */
sae_status subspace_pca(subspace *out, const double *covariance, int64_t d, int64_t first, int64_t rank, double *values,
                        sae_error *err);
/* Uniformly distributed: the row space of normal random numbers. */
sae_status subspace_random(subspace *out, int64_t d, int64_t rank, rng *random, sae_error *err);
/* Random among those that hold `share` (0 to 1) of the square of row [d], which is not zero; 0 < rank < d. */
sae_status subspace_random_of_share(subspace *out, const double *row, double share, int64_t d, int64_t rank,
                                    rng *random, sae_error *err);

/* Cosines of the principal angles, descending: min(a.rank, b.rank) of them into the caller's array. */
sae_status subspace_cosines(const subspace *a, const subspace *b, double *cosines, sae_error *err);
/* tr(P_a P_b) / rank of a, in [0, 1]: the share of a that lies in b. By chance b.rank / d. */
double subspace_overlap(const subspace *a, const subspace *b);
/* tr(P covariance): the variance inside the subspace. */
double subspace_variance(const subspace *s, const double *covariance);
/* |P v|^2 / |v|^2: the share of a vector's energy; 0 for the zero vector. */
double subspace_share(const subspace *s, const double *v);

/* out = x - (x - mean) P for rows x [n, d]; mean NULL is 0: R2 without, R3 with the mean of the rows. A subspace of rank
 * 0 copies. `out` may be `rows`. */
sae_status subspace_remove(const subspace *s, const double *mean, const float *rows, int64_t n, float *out,
                           sae_error *err);

#endif
