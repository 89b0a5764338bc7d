/*
 * bootstrap.h - how far a number would move with other text: intervals by resampling sequences.
 */
#ifndef SAE_EVAL_BOOTSTRAP_H
#define SAE_EVAL_BOOTSTRAP_H

#include "base/base.h"

typedef struct interval {
    double value, low, high;
} interval;

enum { BOOTSTRAP_RESAMPLES = 2000 };

/* sum(numerator) / sum(denominator) over n sequences with its 95 % percentile interval: sequences are drawn with
 * replacement, both sums over the same draw (paired). NaN when the denominators sum to 0. Same seed, same interval. */
sae_status bootstrap_ratio(interval *out, const double *numerator, const double *denominator, int64_t n, uint64_t seed,
                           sae_error *err);

#endif
