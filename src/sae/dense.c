/*
 * dense.c - a step of a penalised family while its codes are not sparse: products of tiles [latents, rows], all rows of the batch at once.
 *
 * Two sweeps over the latents, each with the encoder's product anew: codes and reconstruction; then, with the reconstruction's
 * gradient, the slopes and every gradient of W_enc and W_dec. No matrix of rows x d_sae is ever whole.
 */
#include "sae/penalised.h"

#include "kernels/matmul.h"

#include <string.h>

enum { PRE, CODE, SLOPE, GATE_SLOPE };

/* Pre-activations of latents [first, first + n). */
static void pre_activations(sae_trainer *t, const learner *l, int64_t first, int64_t n)
{
    scratch *s = &t->s;
    int64_t B = t->options.batch, d = l->config.d_in;
    const float *b_enc = l->p[P_B_ENC].w + first;

    matmul_nt(n, B, d, l->p[P_W_ENC].w + first * d, d, s->u, d, 0.0f, s->dense[PRE], B);
#pragma omp parallel for schedule(static)
    for (int64_t j = 0; j < n; j++)
        for (int64_t b = 0; b < B; b++) s->dense[PRE][j * B + b] += b_enc[j];
}

static int64_t count_above(const float *a, int64_t n, float limit)
{
    int64_t count = 0;

    for (int64_t i = 0; i < n; i++) count += a[i] > limit;
    return count;
}

void dense_forward(sae_trainer *t, learner *l)
{
    scratch *s = &t->s;
    int64_t B = t->options.batch, d = l->d_out, F = l->config.d_sae, *start = s->kept.latent_start;
    const penalty_rule *rule = l->family->rule;

    memset(s->kept.row_start, 0, (size_t)(B + 1) * sizeof *s->kept.row_start);
    start[0] = 0;
    for (int64_t first = 0; first < F; first += s->dense_latents) {
        int64_t n = F - first < s->dense_latents ? F - first : s->dense_latents;
        const float *W_dec = l->p[P_W_DEC].w + first * d;
        pre_activations(t, l, first, n);
#pragma omp parallel for schedule(dynamic, 8)
        for (int64_t j = 0; j < n; j++) {
            float *a = s->dense[PRE] + j * B;
            s->codes_of[first + j] = rule->codes(t, l, first + j, B, a, s->dense[CODE] + j * B);
            start[first + j + 1] = count_above(a, B, s->limit[first + j]);
            for (int64_t b = 0; rule->gated && b < B; b++) a[b] = a[b] > 0.0f ? a[b] : 0.0f;
        }
        matmul_tn(B, d, n, s->dense[CODE], B, W_dec, d, 1.0f, s->grad, d);
        if (rule->gated) matmul_tn(B, d, n, s->dense[PRE], B, W_dec, d, 1.0f, s->gate_grad, d);
    }
    for (int64_t j = 0; j < F; j++) start[j + 1] += start[j];
}

/* Gradients of latents [first, first + n). */
static void latents_backward(sae_trainer *t, learner *l, int64_t first, int64_t n)
{
    scratch *s = &t->s;
    int64_t B = t->options.batch, d = l->config.d_in, d_out = l->d_out;
    const penalty_rule *rule = l->family->rule;
    const float *W_dec = l->p[P_W_DEC].w + first * d_out;
    float *g_dec = l->p[P_W_DEC].g + first * d_out;

    pre_activations(t, l, first, n);
    matmul_nt(n, B, d_out, W_dec, d_out, s->grad, d_out, 0.0f, s->dense[SLOPE], B);
    if (rule->gated) matmul_nt(n, B, d_out, W_dec, d_out, s->gate_grad, d_out, 0.0f, s->dense[GATE_SLOPE], B);
#pragma omp parallel for schedule(dynamic, 8)
    for (int64_t j = 0; j < n; j++) {
        float *a = s->dense[PRE] + j * B, *f = s->dense[CODE] + j * B;
        const float *gate = rule->gated ? s->dense[GATE_SLOPE] + j * B : NULL;
        rule->codes(t, l, first + j, B, a, f);
        s->pull_of[first + j] = rule->slopes(t, l, first + j, B, a, f, gate, s->dense[SLOPE] + j * B);
        for (int64_t b = 0; rule->gated && b < B; b++) a[b] = a[b] > 0.0f ? a[b] : 0.0f;
    }
    matmul_nn(n, d_out, B, s->dense[CODE], B, s->grad, d_out, 0.0f, g_dec, d_out);
    if (rule->gated && t->options.gate_rule == SAE_GATE_TRAINS_DECODER)
        matmul_nn(n, d_out, B, s->dense[PRE], B, s->gate_grad, d_out, 1.0f, g_dec, d_out);
    matmul_nn(n, d, B, s->dense[SLOPE], B, s->u, d, 0.0f, l->p[P_W_ENC].g + first * d, d);
    if (l->config.rank > 0 && l->config.variant == SAE_P2) /* what reaches u; gradient_of_s takes it from there */
        matmul_tn(B, d, n, s->dense[SLOPE], B, l->p[P_W_ENC].w + first * d, d, first > 0 ? 1.0f : 0.0f, s->aux_grad, d);
}

void dense_backward(sae_trainer *t, learner *l)
{
    int64_t F = l->config.d_sae, step = t->s.dense_latents;

    for (int64_t first = 0; first < F; first += step)
        latents_backward(t, l, first, F - first < step ? F - first : step);
}
