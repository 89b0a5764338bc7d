/*
 * knee.c - the rank at which a scaffold's directions stop to hold more than sparse features would.
 */
#include "lab/knee.h"

#include <math.h>
#include <stdlib.h>

static const double marchenko_pastur = 4; /* (1 + sqrt(d / n))^2 at n = d */

static sae_status check(const int64_t *ranks, const double *fvu, int n, sae_error *err)
{
    if (n < 2 || n > KNEE_RANKS_MAX)
        return SAE_FAIL(err, SAE_RANGE, "%d ranks: a knee needs 2 to %d", n, KNEE_RANKS_MAX);
    for (int i = 0; i < n; i++) {
        if (i == 0 ? ranks[0] != 0 : ranks[i] <= ranks[i - 1])
            return SAE_FAIL(err, SAE_RANGE, "ranks must begin at 0 and grow: number %d is %lld", i,
                            (long long)ranks[i]);
        if (!(fvu[i] >= 0) || !isfinite(fvu[i]))
            return SAE_FAIL(err, SAE_RANGE, "FVU at rank %lld is %g", (long long)ranks[i], fvu[i]);
    }
    return SAE_OK;
}

/* FVU per direction that goes from rank `from` of the grid to rank `to`. */
static double gain_between(const int64_t *ranks, const double *fvu, int from, int to)
{
    return (fvu[from] - fvu[to]) / (double)(ranks[to] - ranks[from]);
}

sae_status knee_find(knee *out, const int64_t *ranks, const double *fvu, int n, int64_t d, sae_error *err)
{
    sae_status status = check(ranks, fvu, n, err);
    knee k = {.n = n - 1};

    if (status != SAE_OK) return status;
    for (int i = 1; i < n; i++) {
        k.gain[i - 1] = gain_between(ranks, fvu, i - 1, i);
        k.limit[i - 1] = marchenko_pastur * fvu[i - 1] / (double)d;
        if (!(k.gain[i - 1] > k.limit[i - 1] && gain_between(ranks, fvu, 0, i) > k.limit[0])) continue;
        k.rank = ranks[i];
        k.margin = (k.gain[i - 1] - k.limit[i - 1]) * (double)(ranks[i] - ranks[i - 1]);
    }
    *out = k;
    return SAE_OK;
}

/* ---- On other text ------------------------------------------------------------------------------------------------------- */

void knee_fvu(const knee_errors *e, const int64_t *counted, double *fvu)
{
    double square = 0;

    for (int64_t i = 0; i < e->n_seq; i++) square += (double)(counted ? counted[i] : 1) * e->square[i];
    for (int k = 0; k < e->n; k++) {
        double error = 0;
        for (int64_t i = 0; i < e->n_seq; i++) error += (double)(counted ? counted[i] : 1) * e->error[k * e->n_seq + i];
        fvu[k] = error / square;
    }
}

sae_status knee_interval(interval *out, const int64_t *ranks, const knee_errors *e, int64_t d, uint64_t seed,
                         sae_error *err)
{
    sae_status status = SAE_OK;
    rng random = rng_seed(seed, 0);
    double fvu[KNEE_RANKS_MAX], *found = mem_alloc_array(BOOTSTRAP_RESAMPLES, sizeof *found, "resamples", err);
    int64_t *counted = mem_alloc_array((size_t)e->n_seq, sizeof *counted, "a resample", err);
    knee k;

    if (!found || !counted) SAE_TRY(SAE_NOMEM);
    knee_fvu(e, NULL, fvu);
    SAE_TRY(knee_find(&k, ranks, fvu, e->n, d, err));
    out->value = (double)k.rank;
    for (int r = 0; r < BOOTSTRAP_RESAMPLES; r++) {
        for (int64_t i = 0; i < e->n_seq; i++) counted[i] = 0;
        for (int64_t i = 0; i < e->n_seq; i++) counted[rng_below(&random, (uint64_t)e->n_seq)]++;
        knee_fvu(e, counted, fvu);
        /* Of sequences without a row that varies nothing is found: any rank may be. */
        found[r] = knee_find(&k, ranks, fvu, e->n, d, NULL) == SAE_OK ? (double)k.rank : 0;
    }
    qsort(found, BOOTSTRAP_RESAMPLES, sizeof *found, compare_doubles);
    out->low = fmin(out->value, found[(int)(0.025 * BOOTSTRAP_RESAMPLES)]);
    out->high = fmax(out->value, found[(int)(0.975 * BOOTSTRAP_RESAMPLES) - 1]);
done:
    mem_free(found);
    mem_free(counted);
    return status;
}
