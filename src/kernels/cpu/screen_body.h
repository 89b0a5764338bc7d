/*
 * screen_body.h - rounding rows and latents to 8 bits, as plain loops that the compiler vectorises: included once per
 * instruction set.
 *
 * Errors are summed in float in sixteen partial sums; screen.c widens the bounds by what that may lose.
 */
#include <math.h>
#include <string.h>

enum { SUMS = 16 };

static float largest_of(const float *restrict x, const float *restrict scale, int64_t n)
{
    float most = 0;

#pragma omp simd reduction(max : most)
    for (int64_t i = 0; i < n; i++) {
        float a = fabsf(x[i] * scale[i]);
        most = a > most ? a : most;
    }
    return most;
}

/* Of all octets of the scaled latent, the largest sum of one sign. */
static float largest_octet(const float *restrict x, const float *restrict scale, int64_t n)
{
    float most = 0;

    for (int64_t i = 0; i < n; i += SUMS) {
        float up[8] = {0}, down[8] = {0};
        if (i + SUMS <= n) {
#pragma omp simd
            for (int j = 0; j < 8; j++) {
                float a = x[i + j] * scale[i + j], b = x[i + j + 8] * scale[i + j + 8];
                up[j] = (a > 0 ? a : 0) + (b > 0 ? b : 0);
                down[j] = (a < 0 ? -a : 0) + (b < 0 ? -b : 0);
            }
        } else {
            for (int64_t j = i; j < n; j++) {
                float a = x[j] * scale[j];
                if (a > 0) up[(j - i) & 7] += a;
                if (a < 0) down[(j - i) & 7] -= a;
            }
        }
        for (int h = 0; h < 4; h += 2) {
            float sum = up[h] + up[h + 1] + up[h + 4] + up[h + 5];
            most = sum > most ? sum : most;
            sum = down[h] + down[h + 1] + down[h + 4] + down[h + 5];
            most = sum > most ? sum : most;
        }
    }
    return most;
}

/* Rounds x scale to steps; out[i] = integer + zero. Norms and errors are plain sums here. */
static screen_rounding round_to_steps(const float *restrict x, const float *restrict scale, int64_t n, float step,
                                      int limit, int zero, uint8_t *restrict out)
{
    float inverse = 1.0f / step, most = (float)limit, squares = 0, errors = 0;
    int32_t total = 0;

#pragma omp simd reduction(+ : squares, errors, total)
    for (int64_t i = 0; i < n; i++) {
        float a = x[i] * scale[i], q = rintf(a * inverse);
        q = q < most ? q : most;
        q = q > -most ? q : -most;
        float e = a - q * step;
        squares += a * a;
        errors += e * e;
        int32_t integer = (int32_t)q;
        total += integer;
        out[i] = (uint8_t)(integer + zero);
    }
    return (screen_rounding){step, sqrtf(squares), sqrtf(errors), total};
}

/* Too small to divide by, or not finite: nothing is known of x scale but its norm. */
static screen_rounding unrounded(const float *x, const float *scale, int64_t n)
{
    double squares = 0;

    for (int64_t i = 0; i < n; i++) squares += (double)(x[i] * scale[i]) * (x[i] * scale[i]);
    float norm = isfinite(squares) ? (float)sqrt(squares) : INFINITY;
    return (screen_rounding){1.0f, norm, norm, 0};
}

static bool can_round(float most) { return most > 1e-30f && most < 1e30f; }

static screen_rounding round_row(const float *x, const float *scale, int64_t n, int64_t depth, int zero, uint8_t *out)
{
    float most = largest_of(x, scale, n);

    memset(out, zero, (size_t)depth);
    if (!can_round(most)) return unrounded(x, scale, n);
    screen_rounding r = round_to_steps(x, scale, n, most / (float)(zero - 1), zero - 1, zero, out);
    if (isfinite(r.error)) return r;
    memset(out, zero, (size_t)depth);
    return unrounded(x, scale, n);
}

static screen_rounding round_latent(const float *x, const float *scale, int64_t n, int64_t depth, int octet_limit,
                                    int8_t *out)
{
    float most = largest_of(x, scale, n), step = most / 127.0f;

    memset(out, 0, (size_t)depth);
    if (!can_round(most)) return unrounded(x, scale, n);
    if (octet_limit > 0) { /* rounding adds at most half a step to each of eight, float sums next to nothing */
        float needed = largest_octet(x, scale, n) / ((float)octet_limit - 4.1f);
        step = needed > step ? needed : step;
    }
    screen_rounding r = round_to_steps(x, scale, n, step, 127, 0, (uint8_t *)out);
    if (isfinite(r.error)) return r;
    memset(out, 0, (size_t)depth);
    return unrounded(x, scale, n);
}

static void largest(const float *restrict x, int64_t n, float *restrict most)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float a = fabsf(x[i]);
        most[i] = a > most[i] ? a : most[i];
    }
}
