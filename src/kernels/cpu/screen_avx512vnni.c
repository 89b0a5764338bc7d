/*
 * screen_avx512vnni.c - the screen for AVX-512 with VNNI: vpdpbusd sums four products of 8 bits into 32, whole bytes on both
 * sides.
 */
#include "kernels/screen.h"

#include <immintrin.h>

#include "kernels/cpu/screen_body.h"

enum { ZERO = 128, ROWS = 12, LANES = 16, PANELS = 2 };

static float sum_fixed(__m512 sixteen)
{
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(sixteen), _mm512_extractf32x8_ps(sixteen, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));

    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static void fixed_dot4(const float *w, const float *const x[4], int64_t n, float out[4])
{
    const float *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3];
    __m512 sum[4];
    int64_t i = 0;

    for (int j = 0; j < 4; j++) sum[j] = _mm512_setzero_ps();
    for (; i + LANES <= n; i += LANES) {
        __m512 a = _mm512_loadu_ps(w + i);
        sum[0] = _mm512_fmadd_ps(a, _mm512_loadu_ps(x0 + i), sum[0]);
        sum[1] = _mm512_fmadd_ps(a, _mm512_loadu_ps(x1 + i), sum[1]);
        sum[2] = _mm512_fmadd_ps(a, _mm512_loadu_ps(x2 + i), sum[2]);
        sum[3] = _mm512_fmadd_ps(a, _mm512_loadu_ps(x3 + i), sum[3]);
    }
    if (i < n) {
        __mmask16 rest = (__mmask16)((1u << (n - i)) - 1u);
        __m512 a = _mm512_maskz_loadu_ps(rest, w + i);
        for (int j = 0; j < 4; j++) sum[j] = _mm512_fmadd_ps(a, _mm512_maskz_loadu_ps(rest, x[j] + i), sum[j]);
    }
    for (int j = 0; j < 4; j++) out[j] = sum_fixed(sum[j]);
}

static float fixed_dot(const float *a, const float *b, int64_t n)
{
    __m512 sum = _mm512_setzero_ps();
    int64_t i = 0;

    for (; i + LANES <= n; i += LANES) sum = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), sum);
    if (i < n) {
        __mmask16 rest = (__mmask16)((1u << (n - i)) - 1u);
        sum = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(rest, a + i), _mm512_maskz_loadu_ps(rest, b + i), sum);
    }
    return sum_fixed(sum);
}

/* Products of twelve rows with the latents of two panels. */
static inline void multiply(const uint8_t *rows, int64_t depth, const int8_t *panels, const __m512i start[PANELS],
                            __m512i out[ROWS][PANELS])
{
    const int8_t *other = panels + depth * LANES;
    __m512i acc[ROWS][PANELS];

#pragma GCC unroll 12
    for (int r = 0; r < ROWS; r++) {
        acc[r][0] = start[0];
        acc[r][1] = start[1];
    }
    for (int64_t k = 0; k < depth; k += 4) {
        __m512i w0 = _mm512_loadu_si512(panels + k * LANES), w1 = _mm512_loadu_si512(other + k * LANES);
#pragma GCC unroll 12
        for (int r = 0; r < ROWS; r++) {
            int32_t four;
            memcpy(&four, rows + r * depth + k, sizeof four);
            __m512i x = _mm512_set1_epi32(four);
            acc[r][0] = _mm512_dpbusd_epi32(acc[r][0], x, w0);
            acc[r][1] = _mm512_dpbusd_epi32(acc[r][1], x, w1);
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < ROWS; r++) {
        out[r][0] = acc[r][0];
        out[r][1] = acc[r][1];
    }
}

static void survivors(const screen_product *p, screen_survivors *out)
{
    const int width = LANES * PANELS;
    int64_t steps = SCREEN_BLOCK / width * (p->n_rows / ROWS), slice = p->ahead_bytes / steps / 64 * 64 + 64, at = 0;

    memset(out->n, 0, sizeof out->n);
    for (int first = 0; first < SCREEN_BLOCK; first += width) {
        const int8_t *panels = p->latents + first * p->depth;
        const screen_latents *b = p->block;
        __m512i start[PANELS];
        for (int c = 0; c < PANELS; c++) start[c] = _mm512_loadu_si512(b->start + first + LANES * c);
        for (int64_t row = 0; row < p->n_rows; row += ROWS) {
            __m512i acc[ROWS][PANELS];
            for (int64_t end = at + slice; at < end && at < p->ahead_bytes; at += 64)
                _mm_prefetch(p->ahead + at, _MM_HINT_T1);
            multiply(p->rows + row * p->depth, p->depth, panels, start, acc);
            for (int r = 0; r < ROWS; r++) {
                const float *t = p->row_terms[row + r];
                unsigned mask = 0;
                for (int c = 0; c < PANELS; c++) {
                    int lane = first + LANES * c;
                    __m512 least = _mm512_mul_ps(_mm512_set1_ps(t[0]), _mm512_loadu_ps(b->terms[0] + lane));
                    for (int i = 1; i < SCREEN_TERMS; i++)
                        least = _mm512_fmadd_ps(_mm512_set1_ps(t[i]), _mm512_loadu_ps(b->terms[i] + lane), least);
                    mask |= (unsigned)_mm512_cmp_ps_mask(_mm512_cvtepi32_ps(acc[r][c]), least, _CMP_NLE_UQ)
                            << (LANES * c);
                }
                for (; mask; mask &= mask - 1) {
                    int j = first + __builtin_ctz(mask);
                    out->rows[j][out->n[j]++] = (uint16_t)(row + r);
                }
            }
        }
    }
}

extern const screen_ops screen_ops_avx512vnni;
const screen_ops screen_ops_avx512vnni = {"avx512_vnni", ZERO,         0,       fixed_dot, fixed_dot4,
                                          round_row,     round_latent, largest, survivors};
