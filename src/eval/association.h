/*
 * association.h - how two things that are seen together go with each other.
 */
#ifndef SAE_EVAL_ASSOCIATION_H
#define SAE_EVAL_ASSOCIATION_H

#include "base/base.h"

/* Ranks from 1 of n values, equal ones their mean rank, ranks [n]. */
sae_status ranks_of(const float *values, int64_t n, double *ranks, sae_error *err);
/* Pearson's correlation; NaN when either does not vary. Of ranks it is Spearman's. */
double correlation(const double *a, const double *b, int64_t n);
/* Area under the ROC curve of a yes-or-no predictor of a yes-or-no outcome: 1/2 + (P(flag | fires) - P(flag | silent)) / 2.
 * NaN when it fires everywhere or nowhere. */
double auc_of_flag(const uint8_t *flag, const uint8_t *fires, int64_t n);

#endif
