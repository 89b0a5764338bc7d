/* standard.c - relu codes with an L1 penalty: lambda mean_b sum_j f_bj, or f_bj |w_j| (Anthropic's April update). */
#include "sae/penalised.h"

#include <string.h>

static void limits(const sae_trainer *t, learner *l, float *limit)
{
    (void)t;
    memset(limit, 0, (size_t)l->config.d_sae * sizeof *limit);
}

static latent_codes codes(const sae_trainer *t, const learner *l, int64_t j, int64_t n, const float *a, float *f)
{
    int64_t active = 0;
    double sum = 0;

    (void)t, (void)l, (void)j;
#pragma omp simd reduction(+ : active, sum)
    for (int64_t i = 0; i < n; i++) {
        bool on = a[i] > 0.0f;
        active += on;
        f[i] = on ? a[i] : 0.0f;
        sum += (double)f[i];
    }
    return (latent_codes){active, (double)active, sum};
}

static double penalty(sae_trainer *t, learner *l, const step_sums *sums)
{
    scratch *s = &t->s;
    double total = 0;

    (void)sums;
    s->penalty_slope = l->config.l1_coefficient * sparsity_factor(&t->options, age_of(t, l)) / (double)t->options.batch;
    for (int64_t j = 0; j < l->config.d_sae; j++) total += s->codes_of[j].sum * penalty_norm(t, l, j);
    return s->penalty_slope * total;
}

static latent_pull slopes(sae_trainer *t, learner *l, int64_t j, int64_t n, const float *a, const float *f,
                          const float *gate_slope, float *slope)
{
    double norm = penalty_norm(t, l, j), sum = 0, sum_codes = 0;
    float weight = (float)(t->s.penalty_slope * norm);

    (void)gate_slope;
#pragma omp simd reduction(+ : sum, sum_codes)
    for (int64_t i = 0; i < n; i++) {
        slope[i] = a[i] > 0.0f ? slope[i] + weight : 0.0f;
        sum += (double)slope[i];
        sum_codes += (double)f[i];
    }
    l->p[P_B_ENC].g[j] = (float)sum;
    bool along = t->options.l1_rule == SAE_L1_NORMS && norm > 0.0;
    return (latent_pull){sum, along ? t->s.penalty_slope * sum_codes / norm : 0.0};
}

const penalty_rule standard_rule = {.limits = limits, .codes = codes, .penalty = penalty, .slopes = slopes};
