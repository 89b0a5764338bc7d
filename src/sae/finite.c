/* finite.c - whether every weight of a trainer is finite: what is not is never saved. */
#include "sae/train.h"

static bool all_finite(const float *w, int64_t n)
{
    bool bad = false;

#pragma omp parallel for reduction(|| : bad)
    for (int64_t block = 0; block < N_BLOCKS; block++) {
        float poison = 0; /* becomes NaN when one entry is not finite */
#pragma omp simd reduction(+ : poison)
        for (int64_t i = n * block / N_BLOCKS; i < n * (block + 1) / N_BLOCKS; i++) poison += w[i] * 0;
        bad = bad || poison != 0;
    }
    return !bad;
}

bool trainer_is_finite(const sae_trainer *t, int *dict, const char **parameter)
{
    for (int i = 0; i < t->n_dicts; i++)
        for (int k = 0; k < N_PARAMS; k++) {
            const param *p = &t->learners[i].p[k];
            if (all_finite(p->w, p->rows * p->columns)) continue;
            *dict = i;
            *parameter = p->name;
            return false;
        }
    return true;
}
