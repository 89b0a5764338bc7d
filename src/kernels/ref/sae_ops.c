/* sae_ops.c - the reference: what each operation means, in plain C. Sums of products are taken in double. */
#include "kernels/sae_ops.h"

#include <math.h>

static float dot(const float *a, const float *b, int64_t n)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++) sum += (double)a[i] * b[i];
    return (float)sum;
}

static void dot4(const float *w, const float *const x[4], int64_t n, float out[4])
{
    for (int j = 0; j < 4; j++) out[j] = dot(w, x[j], n);
}

static void axpy(float *y, float a, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) y[i] += a * x[i];
}

static void axpy4(float *y, const float a[4], const float *const x[4], int64_t n)
{
    for (int j = 0; j < 4; j++) axpy(y, a[j], x[j], n);
}

static void gather(float *out, const float *panel, const int32_t *index, const float *coefficient, int64_t n)
{
    for (int k = 0; k < PANEL; k++) {
        double sum = out[k];
        for (int64_t i = 0; i < n; i++) sum += (double)coefficient[i] * panel[(int64_t)index[i] * PANEL + k];
        out[k] = (float)sum;
    }
}

static void gather_dot(float *out, const float *panel, const int32_t *index, const float *coefficient, int64_t n,
                       const float *w, float *dots)
{
    gather(out, panel, index, coefficient, n);
    for (int64_t i = 0; i < n; i++) dots[i] += dot(w, panel + (int64_t)index[i] * PANEL, PANEL);
}

static double sum_squares(const float *x, int64_t n)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
    return sum;
}

static int64_t scan_above(const float *p, const float *bias, int64_t n, float cutoff, int32_t first, int32_t *index,
                          float *value)
{
    int64_t found = 0;

    for (int64_t i = 0; i < n; i++) {
        float a = p[i] + bias[i];
        if (!(a > cutoff)) continue;
        index[found] = first + (int32_t)i;
        value[found++] = a;
    }
    return found;
}

static int64_t scan_scaled(const float *p, const float *bias, const float *scale, int64_t n, float cutoff,
                           int32_t first, int32_t *index, float *value)
{
    int64_t found = 0;

    for (int64_t i = 0; i < n; i++) {
        float a = (p[i] + bias[i]) * scale[i];
        if (!(a > cutoff)) continue;
        index[found] = first + (int32_t)i;
        value[found++] = a;
    }
    return found;
}

static int64_t scan_limits(const float *p, const float *bias, const float *limit, int64_t n, int32_t first,
                           int32_t *index, float *value)
{
    int64_t found = 0;

    for (int64_t i = 0; i < n; i++) {
        float a = p[i] + bias[i];
        if (!(a > limit[i])) continue;
        index[found] = first + (int32_t)i;
        value[found++] = a;
    }
    return found;
}

static void adam(float *w, float *m, float *v, const float *g, int64_t n, const adam_constants *c)
{
    for (int64_t i = 0; i < n; i++) {
        float gradient = g ? g[i] * c->gradient_scale : 0.0f;
        m[i] = c->beta1 * m[i] + c->rest1 * gradient;
        v[i] = c->beta2 * v[i] + c->rest2 * gradient * gradient;
        w[i] -= c->step_size * m[i] / (sqrtf(v[i]) * c->inverse_bias + c->eps);
    }
}

static void signum(float *w, float *z, const float *g, int64_t n, const signum_constants *c)
{
    float to_average = c->to_average, lr = c->lr, share = c->share, to_z = c->to_z;

    for (int64_t i = 0; i < n; i++) {
        float step = g && g[i] != 0.0f ? (g[i] > 0.0f ? lr : -lr) : 0.0f;
        float x = w[i] + to_average * (z[i] - w[i]);
        z[i] -= step;
        x += share * (z[i] - x);
        w[i] = x + to_z * (z[i] - x);
    }
}

const sae_ops sae_ops_ref = {"scalar",    dot,        dot4,        axpy,        axpy4, gather, gather_dot,
                             sum_squares, scan_above, scan_scaled, scan_limits, adam,  signum};
