/*
 * sae_ops_body.h - loops that the compiler vectorises, included once per instruction set by sae_ops_ISA.c, which
 * defines scan_above, scan_scaled, scan_limits, gather and gather_dot (which need intrinsics) and OPS_TABLE, the table's name.
 */
#include <math.h>

static float dot(const float *a, const float *b, int64_t n)
{
    float sum = 0;

#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static void dot4(const float *w, const float *const x[4], int64_t n, float out[4])
{
    const float *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3];
    float s0 = 0, s1 = 0, s2 = 0, s3 = 0; /* four chains hide the latency of the multiply-adds */

#pragma omp simd reduction(+ : s0, s1, s2, s3)
    for (int64_t i = 0; i < n; i++) {
        s0 += w[i] * x0[i];
        s1 += w[i] * x1[i];
        s2 += w[i] * x2[i];
        s3 += w[i] * x3[i];
    }
    out[0] = s0;
    out[1] = s1;
    out[2] = s2;
    out[3] = s3;
}

static void axpy(float *restrict y, float a, const float *restrict x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] += a * x[i];
}

static void axpy4(float *restrict y, const float a[4], const float *const x[4], int64_t n)
{
    const float *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3];
    float a0 = a[0], a1 = a[1], a2 = a[2], a3 = a[3];

#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] += (a0 * x0[i] + a1 * x1[i]) + (a2 * x2[i] + a3 * x3[i]);
}

static double sum_squares(const float *x, int64_t n)
{
    double total = 0;

    for (int64_t start = 0; start < n; start += 256) {
        int64_t end = start + 256 < n ? start + 256 : n;
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = start; i < end; i++) sum += x[i] * x[i];
        total += sum;
    }
    return total;
}

static void adam(float *restrict w, float *restrict m, float *restrict v, const float *restrict g, int64_t n,
                 const adam_constants *c)
{
    float beta1 = c->beta1, beta2 = c->beta2, eps = c->eps, step_size = c->step_size, inverse_bias = c->inverse_bias;
    float first = c->rest1 * c->gradient_scale;
    float second = c->rest2 * c->gradient_scale * c->gradient_scale;

    if (g) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) {
            m[i] = beta1 * m[i] + first * g[i];
            v[i] = beta2 * v[i] + second * g[i] * g[i];
            w[i] -= step_size * m[i] / (sqrtf(v[i]) * inverse_bias + eps);
        }
    } else {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) {
            m[i] *= beta1;
            v[i] *= beta2;
            w[i] -= step_size * m[i] / (sqrtf(v[i]) * inverse_bias + eps);
        }
    }
}

static void signum(float *restrict w, float *restrict z, const float *restrict g, int64_t n, const signum_constants *c)
{
    float to_average = c->to_average, lr = c->lr, share = c->share, to_z = c->to_z;

#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float step = g && g[i] != 0.0f ? (g[i] > 0.0f ? lr : -lr) : 0.0f;
        float x = w[i] + to_average * (z[i] - w[i]);
        z[i] -= step;
        x += share * (z[i] - x);
        w[i] = x + to_z * (z[i] - x);
    }
}

const sae_ops OPS_TABLE = {OPS_ISA,     dot,        dot4,        axpy,        axpy4, gather, gather_dot,
                           sum_squares, scan_above, scan_scaled, scan_limits, adam,  signum};
