/*
 * bootstrap.h - how far a number would move: with other text, by resampling sequences; with other seeds or other random controls, by
 * Student's t.
 */
#ifndef SAE_EVAL_BOOTSTRAP_H
#define SAE_EVAL_BOOTSTRAP_H

#include "base/base.h"

typedef struct interval {
    double value, low, high;
} interval;

enum { BOOTSTRAP_RESAMPLES = 2000, FEW_SEQUENCES = 20 }; /* of fewer the percentiles say too little */

/* sum(numerator) / sum(denominator) over n sequences with its 95 % percentile interval: sequences are drawn with
 * replacement, both sums over the same draw (paired). NaN when the denominators sum to 0; of one sequence
 * low and high are NaN. Same seed, same interval. */
sae_status bootstrap_ratio(interval *out, const double *numerator, const double *denominator, int64_t n, uint64_t seed,
                           sae_error *err);

/* The mean of n values, as of seeds, with its 95 % interval by Student's t; of one value low and high are NaN. */
interval interval_of_mean(const double *values, int64_t n);

/* Whether it has a width, more than rounding: of one value it is not known, and where all values agree they do not tell it. */
bool interval_has_width(const interval *v);
/* 0 lies in it, or it has no ends: of one sequence nothing is told. */
bool interval_holds_zero(const interval *v);
/* The mean of `part` over the mean of `whole`, n pairs, with its 95 % interval by Fieller's theorem: the ratios q at which the mean of
 * part - q whole cannot be told from 0 by Student's t. So it leaves 0 out just when interval_of_mean(part) does. Low and high are NaN where
 * there is no such interval: one pair, a `whole` that is not told from 0, pairs that agree in their ratio or in their part. */
interval interval_of_ratio(const double *part, const double *whole, int64_t n);

/* An effect against the mean of n controls that were drawn at random: `sampled` is its interval over text, with the controls taken as
 * they are; controls [n] are the same effect of each of them, in the same unit. One more draw in the target's place lies with
 * probability 0.95 within t_{n-1} s sqrt(1 + 1/n) of their mean (s: their standard deviation); both halves are added as squares. What
 * leaves "no effect" out is more than being another draw. Of one control low and high are NaN: nothing is known of the spread. */
interval interval_beside_draws(interval sampled, const double *controls, int64_t n);
/* The mean of n draws itself, `sampled` its interval over text: with how far the mean of as many others might lie (Student's t). Of one draw low
 * and high are NaN. */
interval interval_of_draws(interval sampled, const double *draws, int64_t n);

#endif
