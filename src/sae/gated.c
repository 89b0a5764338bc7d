/*
 * gated.c - Gated SAEs (Rajamanoharan et al. 2024). With v = W_enc[j] . u: gate a = v + b_gate, magnitude mu = exp(r) v + b_mag,
 * f = [a > 0] relu(mu). The step at the gate passes no gradient; the gate learns from an L1 penalty on relu(a) and from a
 * second reconstruction x~ = sum_j relu(a_j) w_j + b_dec (+ the scaffold's part, a constant there).
 */
#include "sae/penalised.h"

#include <math.h>
#include <string.h>

static void limits(const sae_trainer *t, learner *l, float *limit)
{
    (void)t;
    memset(limit, 0, (size_t)l->config.d_sae * sizeof *limit);
}

static latent_codes codes(const sae_trainer *t, const learner *l, int64_t j, int64_t n, const float *a, float *f)
{
    float scale = expf(l->p[P_R_MAG].w[j]), b_gate = l->p[P_B_ENC].w[j], b_mag = l->p[P_B_MAG].w[j];
    int64_t active = 0;
    double sum = 0;

    (void)t;
#pragma omp simd reduction(+ : active, sum)
    for (int64_t i = 0; i < n; i++) {
        float magnitude = scale * (a[i] - b_gate) + b_mag;
        bool open = a[i] > 0.0f, on = open && magnitude > 0.0f;
        sum += open ? (double)a[i] : 0.0;
        active += on;
        f[i] = on ? magnitude : 0.0f;
    }
    return (latent_codes){active, (double)active, sum};
}

static double penalty(sae_trainer *t, learner *l, const step_sums *sums)
{
    return standard_rule.penalty(t, l, sums); /* of relu(a) instead of f */
}

static latent_pull slopes(sae_trainer *t, learner *l, int64_t j, int64_t n, const float *a, const float *f,
                          const float *gate_slope, float *slope)
{
    float scale = expf(l->p[P_R_MAG].w[j]), b_gate = l->p[P_B_ENC].w[j];
    double norm = penalty_norm(t, l, j), sum = 0, d_gate = 0, d_mag = 0, d_scale = 0, sum_gate = 0;
    float weight = (float)(t->s.penalty_slope * norm);

#pragma omp simd reduction(+ : sum, d_gate, d_mag, d_scale, sum_gate)
    for (int64_t i = 0; i < n; i++) {
        float of_mag = f[i] > 0.0f ? slope[i] : 0.0f;
        float of_gate = a[i] > 0.0f ? gate_slope[i] + weight : 0.0f;
        slope[i] = scale * of_mag + of_gate;
        sum += (double)slope[i];
        d_gate += (double)of_gate;
        d_mag += (double)of_mag;
        d_scale += (double)(of_mag * scale * (a[i] - b_gate));
        sum_gate += a[i] > 0.0f ? (double)a[i] : 0.0;
    }
    l->p[P_B_ENC].g[j] = (float)d_gate;
    l->p[P_B_MAG].g[j] = (float)d_mag;
    l->p[P_R_MAG].g[j] = (float)d_scale;
    bool along = t->options.l1_rule == SAE_L1_NORMS && t->options.gate_rule == SAE_GATE_TRAINS_DECODER && norm > 0.0;
    return (latent_pull){sum, along ? t->s.penalty_slope * sum_gate / norm : 0.0};
}

const penalty_rule gated_rule = {.gated = true, .limits = limits, .codes = codes, .penalty = penalty, .slopes = slopes};
