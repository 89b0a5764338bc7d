/*
 * knee.c - the rank at which a scaffold's directions stop to hold more than sparse features would.
 */
#include "lab/knee.h"

#include <math.h>

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
        if (k.gain[i - 1] > k.limit[i - 1] && gain_between(ranks, fvu, 0, i) > k.limit[0]) k.rank = ranks[i];
    }
    *out = k;
    return SAE_OK;
}
