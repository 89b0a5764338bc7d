/*
 * association.c - ranks, correlation, AUC.
 */
#include "eval/association.h"

#include <math.h>
#include <stdlib.h>

typedef struct placed {
    float value;
    int64_t at;
} placed;

static int by_value(const void *a, const void *b)
{
    const placed *x = a, *y = b;

    return (x->value > y->value) - (x->value < y->value);
}

sae_status ranks_of(const float *values, int64_t n, double *ranks, sae_error *err)
{
    placed *sorted = mem_alloc_array((size_t)n + 1, sizeof *sorted, "sorted values", err);

    if (!sorted) return SAE_NOMEM;
    for (int64_t i = 0; i < n; i++) sorted[i] = (placed){values[i], i};
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    for (int64_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && !(sorted[end].value > sorted[i].value);) end++;
        for (int64_t k = i; k < end; k++) ranks[sorted[k].at] = (double)(i + 1 + end) / 2;
    }
    mem_free(sorted);
    return SAE_OK;
}

double correlation(const double *a, const double *b, int64_t n)
{
    double mean_a = 0, mean_b = 0, aa = 0, bb = 0, ab = 0;

    for (int64_t i = 0; i < n; i++) {
        mean_a += a[i];
        mean_b += b[i];
    }
    mean_a /= (double)n; /* of ranks that are all equal this is exact: no variance by rounding */
    mean_b /= (double)n;
    for (int64_t i = 0; i < n; i++) {
        aa += (a[i] - mean_a) * (a[i] - mean_a);
        bb += (b[i] - mean_b) * (b[i] - mean_b);
        ab += (a[i] - mean_a) * (b[i] - mean_b);
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : NAN;
}

double auc_of_flag(const uint8_t *flag, const uint8_t *fires, int64_t n)
{
    int64_t total[2] = {0}, flagged[2] = {0};

    for (int64_t i = 0; i < n; i++) {
        total[fires[i] != 0]++;
        flagged[fires[i] != 0] += flag[i] != 0;
    }
    if (total[0] == 0 || total[1] == 0) return NAN;
    return 0.5 + ((double)flagged[1] / (double)total[1] - (double)flagged[0] / (double)total[0]) / 2;
}
