/*
 * bootstrap.c - the percentile bootstrap of a ratio of sums, and intervals by Student's t. Tokens of one sequence lean on each
 * other, so the unit that is drawn is the sequence.
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
    double *draws;

    if (n == 1) { /* every draw is that one: not a narrow interval but none */
        *out = (interval){numerator[0] / denominator[0], NAN, NAN};
        return SAE_OK;
    }
    draws = mem_alloc_array(BOOTSTRAP_RESAMPLES, sizeof *draws, "resamples", err);

    if (!draws) return SAE_NOMEM;
    for (int i = 0; i < BOOTSTRAP_RESAMPLES; i++) draws[i] = ratio_of_draw(numerator, denominator, n, &random);
    qsort(draws, BOOTSTRAP_RESAMPLES, sizeof *draws, compare_doubles);
    *out = (interval){.value = ratio_of_draw(numerator, denominator, n, NULL),
                      .low = draws[(int)(0.025 * BOOTSTRAP_RESAMPLES)],
                      .high = draws[(int)(0.975 * BOOTSTRAP_RESAMPLES) - 1]};
    mem_free(draws);
    return SAE_OK;
}

/* The 97.5 % quantile of Student's t; beyond the table by Fisher's expansion about the normal one, 4e-4 too low at 15, less above. */
static double student(int64_t degrees)
{
    static const double table[] = {NAN,    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646,
                                   2.3060, 2.2622,  2.2281, 2.2010, 2.1788, 2.1604, 2.1448, 2.1314};
    const double z = 1.959964, n = (double)degrees;

    if (degrees < (int64_t)(sizeof table / sizeof *table)) return table[degrees];
    return z + (pow(z, 3) + z) / (4 * n) + (5 * pow(z, 5) + 16 * pow(z, 3) + 3 * z) / (96 * n * n);
}

/* Mean, and standard deviation of one value: NaN of a single one. */
static void mean_and_spread(const double *values, int64_t n, double *mean, double *spread)
{
    double square = 0;

    *mean = 0;
    for (int64_t i = 0; i < n; i++) *mean += values[i] / (double)n;
    for (int64_t i = 0; i < n; i++) square += (values[i] - *mean) * (values[i] - *mean);
    *spread = n > 1 ? sqrt(square / (double)(n - 1)) : NAN;
}

interval interval_of_mean(const double *values, int64_t n)
{
    double mean, spread;

    mean_and_spread(values, n, &mean, &spread);
    const double half = n > 1 ? student(n - 1) * spread / sqrt((double)n) : NAN;
    return (interval){mean, mean - half, mean + half};
}

bool interval_has_width(const interval *v)
{
    return v->high - v->low > 1e-9 * fmax(fabs(v->low), fabs(v->high)); /* false of NaN */
}

bool interval_holds_zero(const interval *v) { return !(v->low > 0) && !(v->high < 0); }

/* Of the means of n pairs. */
static double covariance_of_means(const double *x, const double *y, int64_t n)
{
    double mean_x, mean_y, spread, sum = 0;

    mean_and_spread(x, n, &mean_x, &spread);
    mean_and_spread(y, n, &mean_y, &spread);
    for (int64_t i = 0; i < n; i++) sum += (x[i] - mean_x) * (y[i] - mean_y);
    return sum / (double)(n - 1) / (double)n;
}

interval interval_of_ratio(const double *part, const double *whole, int64_t n)
{
    const interval p = interval_of_mean(part, n), w = interval_of_mean(whole, n);
    interval ratio = {p.value / w.value, NAN, NAN};

    if (!interval_has_width(&p)) return ratio;
    /* (p - q w)^2 = t^2 var(p - q w), a square of q: a q^2 - 2 b q + c = 0 */
    const double t2 = pow(student(n - 1), 2), a = w.value * w.value - t2 * covariance_of_means(whole, whole, n),
                 b = p.value * w.value - t2 * covariance_of_means(part, whole, n),
                 c = p.value * p.value - t2 * covariance_of_means(part, part, n);
    if (!(a > 0)) return ratio;
    const double root = sqrt(fmax(0, b * b - a * c));
    const interval found = {ratio.value, (b - root) / a, (b + root) / a};
    return interval_has_width(&found) && root > 1e-6 * fabs(b) ? found : ratio;
}

static interval widened(interval v, double half)
{
    return (interval){v.value, v.value - hypot(v.value - v.low, half), v.value + hypot(v.high - v.value, half)};
}

interval interval_beside_draws(interval sampled, const double *controls, int64_t n)
{
    double mean, spread;

    mean_and_spread(controls, n, &mean, &spread);
    return widened(sampled, n > 1 ? student(n - 1) * spread * sqrt(1 + 1 / (double)n) : NAN);
}

interval interval_of_draws(interval sampled, const double *draws, int64_t n)
{
    const interval mean = interval_of_mean(draws, n);

    return widened(sampled, mean.high - mean.value);
}
