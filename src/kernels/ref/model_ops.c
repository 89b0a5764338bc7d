/*
 * model_ops.c - the ops of model_ops.h in plain C and double: the oracle, and what runs where nothing faster is.
 */
#include "kernels/model_ops.h"

#include <math.h>

static const double sqrt_2_over_pi = 0.79788456080286535588, sqrt_half = 0.70710678118654752440;

static void rms_norm(int64_t d, const float *x, const float *gain, float eps, float *out)
{
    double squares = 0;

    for (int64_t i = 0; i < d; i++) squares += (double)x[i] * (double)x[i];
    double factor = 1 / sqrt(squares / (double)d + (double)eps);
    for (int64_t i = 0; i < d; i++) out[i] = (float)((double)x[i] * factor * (double)gain[i]);
}

static void layer_norm(int64_t d, const float *x, const float *gain, const float *bias, float eps, float *out)
{
    double mean = 0, squares = 0;

    for (int64_t i = 0; i < d; i++) mean += (double)x[i];
    mean /= (double)d;
    for (int64_t i = 0; i < d; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    double factor = 1 / sqrt(squares / (double)d + (double)eps);
    for (int64_t i = 0; i < d; i++)
        out[i] = (float)(((double)x[i] - mean) * factor * (double)gain[i] + (bias ? (double)bias[i] : 0));
}

static void rotary(int64_t half, float *x, const float *cosine, const float *sine)
{
    for (int64_t i = 0; i < half; i++) {
        double a = x[i], b = x[i + half], c = cosine[i], s = sine[i];
        x[i] = (float)(a * c - b * s);
        x[i + half] = (float)(b * c + a * s);
    }
}

static void softmax(int64_t valid, int64_t n, float scale, float *x)
{
    double max = -INFINITY, sum = 0;

    for (int64_t i = 0; i < valid; i++) max = fmax(max, (double)scale * (double)x[i]);
    for (int64_t i = 0; i < valid; i++) sum += exp((double)scale * (double)x[i] - max);
    for (int64_t i = 0; i < valid; i++) x[i] = (float)(exp((double)scale * (double)x[i] - max) / sum);
    for (int64_t i = valid; i < n; i++) x[i] = 0;
}

static void silu(int64_t n, const float *x, const float *up, float *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = (float)((double)x[i] / (1 + exp(-(double)x[i])) * (up ? (double)up[i] : 1));
}

static void gelu(int64_t n, const float *x, const float *up, float *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = (float)(0.5 * (double)x[i] * erfc(-(double)x[i] * sqrt_half) * (up ? (double)up[i] : 1));
}

static void gelu_tanh(int64_t n, const float *x, const float *up, float *out)
{
    for (int64_t i = 0; i < n; i++) {
        double v = x[i], u = sqrt_2_over_pi * (v + 0.044715 * v * v * v);
        out[i] = (float)(0.5 * v * (1 + tanh(u)) * (up ? (double)up[i] : 1));
    }
}

static void add(int64_t n, const float *y, float *x)
{
    for (int64_t i = 0; i < n; i++) x[i] += y[i];
}

static void log_sum_exp(int64_t n, const float *x, double *max, double *sum)
{
    double before = *max;

    for (int64_t i = 0; i < n; i++) *max = fmax(*max, (double)x[i]);
    if (*sum > 0) *sum *= exp(before - *max);
    for (int64_t i = 0; i < n; i++) *sum += exp((double)x[i] - *max);
}

const model_ops model_ops_ref = {rms_norm, layer_norm, rotary, softmax, silu, gelu, gelu_tanh, add, log_sum_exp};

/* Output row of one head of one token; the keys are those of tokens 0 to t of its sequence. */
static void attend(const attention *a, int64_t s, int64_t t, int64_t h)
{
    int64_t first = s * a->n_ctx, group = h * a->n_kv_head / a->n_head * a->d_head;
    const float *q = a->q + (first + t) * a->stride + h * a->d_head;
    float *out = a->out + (first + t) * a->n_head * a->d_head + h * a->d_head;
    double max = -INFINITY, total = 0;

    for (int pass = 0; pass < 2; pass++)
        for (int64_t u = 0; u <= t; u++) {
            const float *k = a->k + (first + u) * a->stride + group;
            double score = 0;
            for (int64_t i = 0; i < a->d_head; i++) score += (double)q[i] * (double)k[i];
            score *= (double)a->scale;
            if (pass == 0)
                max = fmax(max, score);
            else
                total += exp(score - max);
        }
    for (int64_t i = 0; i < a->d_head; i++) {
        double sum = 0;
        for (int64_t u = 0; u <= t; u++) {
            const float *k = a->k + (first + u) * a->stride + group;
            double score = 0;
            for (int64_t j = 0; j < a->d_head; j++) score += (double)q[j] * (double)k[j];
            sum += exp(score * (double)a->scale - max) / total * (double)a->v[(first + u) * a->stride + group + i];
        }
        out[i] = (float)sum;
    }
}

void attention_ref(const attention *a)
{
    for (int64_t s = 0; s < a->n_seq; s++)
        for (int64_t t = 0; t < a->n_ctx; t++)
            for (int64_t h = 0; h < a->n_head; h++) attend(a, s, t, h);
}
