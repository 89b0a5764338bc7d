/*
 * bootstrap.c - the percentile bootstrap of a ratio of sums. Tokens of one sequence lean on each other, so the unit that
 * is drawn is the sequence.
 */
#include "eval/bootstrap.h"

#include <math.h>
#include <stdlib.h>

static double ratio_of_draw(const double *numerator, const double *denominator, int64_t n, rng *random)
{
    double above = 0, below = 0;

    for (int64_t i = 0; i < n; i++) {
        int64_t j = random ? (int64_t)rng_below(random, (uint64_t)n) : i;
        above += numerator[j];
        below += denominator[j];
    }
    return above / below;
}

sae_status bootstrap_ratio(interval *out, const double *numerator, const double *denominator, int64_t n, uint64_t seed,
                           sae_error *err)
{
    rng random = rng_seed(seed, 0);
    double *draws = mem_alloc_array(BOOTSTRAP_RESAMPLES, sizeof *draws, "resamples", err);

    if (!draws) return SAE_NOMEM;
    for (int i = 0; i < BOOTSTRAP_RESAMPLES; i++) draws[i] = ratio_of_draw(numerator, denominator, n, &random);
    qsort(draws, BOOTSTRAP_RESAMPLES, sizeof *draws, compare_doubles);
    *out = (interval){.value = ratio_of_draw(numerator, denominator, n, NULL),
                      .low = draws[(int)(0.025 * BOOTSTRAP_RESAMPLES)],
                      .high = draws[(int)(0.975 * BOOTSTRAP_RESAMPLES) - 1]};
    mem_free(draws);
    return SAE_OK;
}
