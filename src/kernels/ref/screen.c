/* screen.c - the reference of the screen's operations: what each means, in plain C. */
#include "kernels/screen.h"

#include <math.h>
#include <string.h>

enum { ZERO = 128, LANES = 16 };

static float fixed_dot(const float *a, const float *b, int64_t n)
{
    float sum[LANES] = {0};

    for (int64_t i = 0; i < n; i += LANES)
        for (int l = 0; l < LANES; l++)
            sum[l] = i + l < n ? fmaf(a[i + l], b[i + l], sum[l]) : fmaf(0.0f, 0.0f, sum[l]);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++) sum[l] += sum[l + half];
    return sum[0];
}

static void fixed_dot4(const float *w, const float *const x[4], int64_t n, float out[4])
{
    for (int j = 0; j < 4; j++) out[j] = fixed_dot(w, x[j], n);
}

/* To integers within [-limit, limit] by `step`; nothing but the norm is known where a step is not finite or too small. */
static screen_rounding round_by(const float *x, const float *scale, int64_t n, float step, int limit, int zero,
                                uint8_t *out)
{
    double squares = 0, errors = 0;
    int32_t total = 0;
    bool usable = step > 1e-32f && step < 1e28f;

    for (int64_t i = 0; i < n; i++) {
        float a = x[i] * scale[i], q = usable ? rintf(a / step) : 0.0f;
        q = fminf(fmaxf(q, (float)-limit), (float)limit);
        double e = (double)a - (double)q * step;
        squares += (double)a * a;
        errors += e * e;
        total += (int32_t)q;
        out[i] = (uint8_t)((int32_t)q + zero);
    }
    float norm = isfinite(squares) ? (float)sqrt(squares) : INFINITY;
    return (screen_rounding){usable ? step : 1.0f, norm, isfinite(errors) ? (float)sqrt(errors) : INFINITY, total};
}

static float largest_of(const float *x, const float *scale, int64_t n)
{
    float most = 0;

    for (int64_t i = 0; i < n; i++) most = fmaxf(most, fabsf(x[i] * scale[i]));
    return most;
}

static screen_rounding round_row(const float *x, const float *scale, int64_t n, int64_t depth, int zero, uint8_t *out)
{
    memset(out, zero, (size_t)depth);
    return round_by(x, scale, n, largest_of(x, scale, n) / (float)(zero - 1), zero - 1, zero, out);
}

/* A step so wide that any eight integers stay within the limit. */
static screen_rounding round_latent(const float *x, const float *scale, int64_t n, int64_t depth, int octet_limit,
                                    int8_t *out)
{
    int limit = octet_limit > 0 ? octet_limit / 8 : 127;

    memset(out, 0, (size_t)depth);
    return round_by(x, scale, n, largest_of(x, scale, n) / (float)limit, limit, 0, (uint8_t *)out);
}

static void largest(const float *x, int64_t n, float *most)
{
    for (int64_t i = 0; i < n; i++) most[i] = fmaxf(most[i], fabsf(x[i]));
}

static void survivors(const screen_product *p, screen_survivors *out)
{
    for (int j = 0; j < SCREEN_BLOCK; j++) {
        const int8_t *panel = p->latents + j / LANES * LANES * p->depth;
        out->n[j] = 0;
        for (int64_t row = 0; row < p->n_rows; row++) {
            int32_t sum = p->block->start[j];
            float least = 0;
            for (int64_t k = 0; k < p->depth; k++)
                sum += p->rows[row * p->depth + k] * panel[(k / 4 * LANES + j % LANES) * 4 + k % 4];
            for (int i = 0; i < SCREEN_TERMS; i++) least += p->row_terms[row][i] * p->block->terms[i][j];
            if (!((float)sum <= least)) out->rows[j][out->n[j]++] = (uint16_t)row;
        }
    }
}

const screen_ops screen_ops_ref = {"scalar",  ZERO,         0,       fixed_dot, fixed_dot4,
                                   round_row, round_latent, largest, survivors};
