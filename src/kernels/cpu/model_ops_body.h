/*
 * model_ops_body.h - the ops of model_ops.h as loops that the compiler turns into vector code; included by model_ops_avx2.c and
 * model_ops_avx512.c, each of which is compiled for its instruction set and names its table MODEL_OPS.
 *
 * Sums are kept in float lanes over at most SUM_BLOCK elements and gathered in double, so their error does not grow with
 * the row. Nothing in it may run before cpu_isa_get() allowed that.
 */
#include "kernels/model_ops.h"

#include <math.h>
#include <string.h>

enum { SUM_BLOCK = 1024 };

static inline int64_t block_end(int64_t i, int64_t n) { return n - i < SUM_BLOCK ? n : i + SUM_BLOCK; }

/* e^x within 2e-7 relative for |x| <= limit <= 87; beyond that, e^limit or e^-limit. Cephes' polynomial; the addition of 1.5 * 2^23
 * rounds x / log 2 to an integer that then stands in the low bits. NaN stays NaN. */
static inline float exp_within(float x, float limit)
{
    const float shift = 12582912.0F;
    x = x > limit ? limit : x;
    x = x < -limit ? -limit : x;
    float shifted = x * 1.44269504088896341F + shift, n = shifted - shift;
    float r = x - n * 0.693359375F;
    r = r + n * 2.12194440e-4F;
    float p = 1.9875691500e-4F;
    p = p * r + 1.3981999507e-3F;
    p = p * r + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
    p = p * r * r + r + 1.0F;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 23) + 0x3F800000U;
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

static inline float exp_fast(float x) { return exp_within(x, 87.0F); }

/* x / (1 + e^-y). The compiler works out both sides of the limit for every element: with e^87 the quotients would be denormal
 * numbers, on which Intel's processors take a hundred times as long (silu was 12 % of a live run, now 2 %). What differs is less than e^-60. */
static inline float times_logistic(float x, float y) { return x / (1.0F + exp_within(-y, 60.0F)); }

static double sum_of_squares(int64_t n, const float *x, float mean)
{
    double total = 0;

    for (int64_t i = 0; i < n; i += SUM_BLOCK) {
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t j = i; j < block_end(i, n); j++) sum += (x[j] - mean) * (x[j] - mean);
        total += (double)sum;
    }
    return total;
}

static void rms_norm(int64_t d, const float *x, const float *gain, float eps, float *out)
{
    float factor = (float)(1 / sqrt(sum_of_squares(d, x, 0) / (double)d + (double)eps));

#pragma omp simd
    for (int64_t i = 0; i < d; i++) out[i] = x[i] * factor * gain[i];
}

static void layer_norm(int64_t d, const float *x, const float *gain, const float *bias, float eps, float *out)
{
    double total = 0;

    for (int64_t i = 0; i < d; i += SUM_BLOCK) {
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t j = i; j < block_end(i, d); j++) sum += x[j];
        total += (double)sum;
    }
    float mean = (float)(total / (double)d);
    float factor = (float)(1 / sqrt(sum_of_squares(d, x, mean) / (double)d + (double)eps));
    if (bias) {
#pragma omp simd
        for (int64_t i = 0; i < d; i++) out[i] = (x[i] - mean) * factor * gain[i] + bias[i];
    } else {
#pragma omp simd
        for (int64_t i = 0; i < d; i++) out[i] = (x[i] - mean) * factor * gain[i];
    }
}

static void rotary(int64_t half, float *x, const float *cosine, const float *sine)
{
    float *y = x + half;

#pragma omp simd
    for (int64_t i = 0; i < half; i++) {
        float a = x[i], b = y[i];
        x[i] = a * cosine[i] - b * sine[i];
        y[i] = b * cosine[i] + a * sine[i];
    }
}

static float largest(int64_t n, const float *x)
{
    float max = -INFINITY;

#pragma omp simd reduction(max : max)
    for (int64_t i = 0; i < n; i++) max = x[i] > max ? x[i] : max;
    return max;
}

static void softmax(int64_t valid, int64_t n, float scale, float *x)
{
    double total = 0;

#pragma omp simd
    for (int64_t i = 0; i < valid; i++) x[i] *= scale;
    float max = largest(valid, x);
    for (int64_t i = 0; i < valid; i += SUM_BLOCK) {
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t j = i; j < block_end(i, valid); j++) {
            float e = exp_fast(x[j] - max);
            x[j] = e;
            sum += e;
        }
        total += (double)sum;
    }
    float factor = (float)(1 / total);
#pragma omp simd
    for (int64_t i = 0; i < valid; i++) x[i] *= factor;
    memset(x + valid, 0, (size_t)(n - valid) * sizeof *x);
}

static void silu(int64_t n, const float *x, const float *up, float *out)
{
    if (up) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) out[i] = times_logistic(x[i], x[i]) * up[i];
    } else {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) out[i] = times_logistic(x[i], x[i]);
    }
}

/* (1 + tanh u) / 2 = 1 / (1 + e^-2u) */
static inline float gelu_tanh_one(float x)
{
    float u = 0.79788456080286535588F * (x + 0.044715F * x * x * x);
    return times_logistic(x, 2.0F * u);
}

static void gelu_tanh(int64_t n, const float *x, const float *up, float *out)
{
    if (up) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) out[i] = gelu_tanh_one(x[i]) * up[i];
    } else {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) out[i] = gelu_tanh_one(x[i]);
    }
}

static void add(int64_t n, const float *y, float *x)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) x[i] += y[i];
}

static void log_sum_exp(int64_t n, const float *x, double *max, double *sum)
{
    double before = *max;
    float here = largest(n, x);

    if ((double)here > *max) *max = (double)here;
    if (*sum > 0) *sum *= exp(before - *max);
    float top = (float)*max;
    for (int64_t i = 0; i < n; i += SUM_BLOCK) {
        float part = 0;
#pragma omp simd reduction(+ : part)
        for (int64_t j = i; j < block_end(i, n); j++) part += exp_fast(x[j] - top);
        *sum += (double)part;
    }
}

/* gelu by erf has no fast form: no family needs it yet. */
const model_ops MODEL_OPS = {rms_norm, layer_norm, rotary, softmax, silu, NULL, gelu_tanh, add, log_sum_exp};
