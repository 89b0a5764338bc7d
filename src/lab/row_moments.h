/*
 * row_moments.h - what the rows of a site are as a whole: mean, covariance, principal components, and how large each dimension is.
 */
#ifndef SAE_LAB_ROW_MOMENTS_H
#define SAE_LAB_ROW_MOMENTS_H

#include "eval/sample.h"
#include "eval/subspace.h"

typedef struct row_moments {
    int64_t d, n;              /* width and number of the rows */
    double *mean, *covariance; /* [d], [d, d] (divided by n) */
    double *magnitude;         /* [d] mean |x_j| */
    double *large, *extreme;   /* [d] shares of the rows on which x_j is so (outliers.c, O3 and O4) */
    double *spectrum;          /* [d] eigenvalues of the covariance, largest first */
    subspace components;       /* all principal components, in that order */
} row_moments;

/* Of all rows that `acts`, which does not repeat, gives to its end; or of the counted rows of a sample. STATE: there are fewer than
 * two. Caller frees with row_moments_free. */
sae_status row_moments_of_acts(row_moments *out, sae_acts *acts, const sae_progress *progress, sae_error *err);
sae_status row_moments_of_sample(row_moments *out, sample *s, sae_error *err);
void row_moments_free(row_moments *m);
/* The first `rank` principal components of every row of a sample, whether it counts or not, about the mean of them all. Caller frees with
 * subspace_free. */
sae_status components_of_every_row(subspace *out, sample *s, int64_t rank, sae_error *err);
/* outliers.c: adds over n rows [n, d], for each dimension [d], |x|; on how many rows |x| >= 6; on how many it is over the mean of the
 * row's |x| by more than 3 of their standard deviations. */
void outliers_count(const float *rows, int64_t n, int64_t d, double *magnitude, double *large, double *extreme);
/* The first n principal components; borrows. */
subspace row_components(const row_moments *m, int64_t n);

#endif
