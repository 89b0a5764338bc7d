/*
 * fit.h - how well rows are reconstructed: FVU, explained variance, cosine. Sums in double.
 */
#ifndef SAE_EVAL_FIT_H
#define SAE_EVAL_FIT_H

#include "base/base.h"

typedef struct fit {
    int64_t d, n;
    double *sum;                  /* [d] of the rows */
    double square, error, cosine; /* sums of |x|^2, |x - recon|^2, cos(x, recon) */
} fit;

sae_status fit_create(fit *out, int64_t d, sae_error *err);
void fit_free(fit *f);
void fit_add(fit *f, const float *rows, const float *recon, int64_t n);

/* sum |x - recon|^2 / sum |x - mean|^2, the mean over the same rows: 1 for the mean as a prediction. Explained variance
 * is 1 - FVU. NaN when the rows do not vary. */
double fit_fvu(const fit *f);
double fit_cosine(const fit *f); /* mean over rows; a zero reconstruction counts as 0 */

#endif
