/* sae_ops_avx512.c - the operations of a training step for AVX-512 (F, BW, VL, DQ). */
#include "kernels/sae_ops.h"

#include <immintrin.h>

/* scale NULL: none. Always inlined, so that each of the two callers has a loop of its own. */
static inline __attribute__((always_inline)) int64_t scan(const float *p, const float *bias, const float *scale,
                                                          int64_t n, float cutoff, int32_t first, int32_t *index,
                                                          float *value)
{
    __m512 cut = _mm512_set1_ps(cutoff);
    __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    int64_t found = 0;

    for (int64_t i = 0; i < n; i += 16) {
        __mmask16 valid = (__mmask16)(n - i >= 16 ? 0xffffu : (1u << (n - i)) - 1u);
        __m512 a_f32x16 = _mm512_add_ps(_mm512_maskz_loadu_ps(valid, p + i), _mm512_maskz_loadu_ps(valid, bias + i));
        if (scale) a_f32x16 = _mm512_mul_ps(a_f32x16, _mm512_maskz_loadu_ps(valid, scale + i));
        __mmask16 mask = _mm512_mask_cmp_ps_mask(valid, a_f32x16, cut, _CMP_GT_OQ);
        if (__builtin_expect(mask == 0, 1)) continue; /* hits are rare: a few in a thousand */
        /* Compress in the register and store whole (the outputs have 16 spare entries): a masked compress to memory is
         * microcoded and very slow on AMD's Zen 4. */
        _mm512_storeu_ps(value + found, _mm512_maskz_compress_ps(mask, a_f32x16));
        __m512i at = _mm512_add_epi32(lane, _mm512_set1_epi32(first + (int32_t)i));
        _mm512_storeu_si512(index + found, _mm512_maskz_compress_epi32(mask, at));
        found += __builtin_popcount(mask);
    }
    return found;
}

static int64_t scan_above(const float *p, const float *bias, int64_t n, float cutoff, int32_t first, int32_t *index,
                          float *value)
{
    return scan(p, bias, NULL, n, cutoff, first, index, value);
}

static int64_t scan_scaled(const float *p, const float *bias, const float *scale, int64_t n, float cutoff,
                           int32_t first, int32_t *index, float *value)
{
    return scan(p, bias, scale, n, cutoff, first, index, value);
}

/* Two rows at a time into two sets of sums: chains enough to hide the latency of the multiply-adds. */
static void gather(float *out, const float *panel, const int32_t *index, const float *coefficient, int64_t n)
{
    __m512 low = _mm512_loadu_ps(out), high = _mm512_loadu_ps(out + 16);
    __m512 odd_low = _mm512_setzero_ps(), odd_high = _mm512_setzero_ps();
    int64_t i = 0;

    for (; i + 2 <= n; i += 2) {
        const float *x = panel + (int64_t)index[i] * PANEL, *y = panel + (int64_t)index[i + 1] * PANEL;
        __m512 f_f32x16 = _mm512_set1_ps(coefficient[i]), g_f32x16 = _mm512_set1_ps(coefficient[i + 1]);
        low = _mm512_fmadd_ps(f_f32x16, _mm512_loadu_ps(x), low);
        high = _mm512_fmadd_ps(f_f32x16, _mm512_loadu_ps(x + 16), high);
        odd_low = _mm512_fmadd_ps(g_f32x16, _mm512_loadu_ps(y), odd_low);
        odd_high = _mm512_fmadd_ps(g_f32x16, _mm512_loadu_ps(y + 16), odd_high);
    }
    if (i < n) {
        const float *x = panel + (int64_t)index[i] * PANEL;
        __m512 f_f32x16 = _mm512_set1_ps(coefficient[i]);
        low = _mm512_fmadd_ps(f_f32x16, _mm512_loadu_ps(x), low);
        high = _mm512_fmadd_ps(f_f32x16, _mm512_loadu_ps(x + 16), high);
    }
    _mm512_storeu_ps(out, _mm512_add_ps(low, odd_low));
    _mm512_storeu_ps(out + 16, _mm512_add_ps(high, odd_high));
}

/* [a0 + a2, a1 + a3, b2 + b0, b3 + b1] of each quarter. */
static inline __m512 add_pair(__m512 a, __m512 b)
{
    return _mm512_add_ps(_mm512_mask_blend_ps(0xCCCC, a, b), _mm512_shuffle_ps(a, b, _MM_SHUFFLE(1, 0, 3, 2)));
}

/* The sums of four vectors. */
static inline __m128 add_four(__m512 a, __m512 b, __m512 c, __m512 d)
{
    __m512 ab = add_pair(a, b), cd = add_pair(c, d);
    __m512 quad = _mm512_add_ps(_mm512_shuffle_ps(ab, cd, _MM_SHUFFLE(2, 0, 2, 0)),
                                _mm512_shuffle_ps(ab, cd, _MM_SHUFFLE(3, 1, 3, 1)));
    __m256 half = _mm256_add_ps(_mm512_castps512_ps256(quad), _mm512_extractf32x8_ps(quad, 1));

    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

static void gather_dot(float *out, const float *panel, const int32_t *index, const float *coefficient, int64_t n,
                       const float *w, float *dots)
{
    __m512 low = _mm512_loadu_ps(out), high = _mm512_loadu_ps(out + 16);
    __m512 w_low = _mm512_loadu_ps(w), w_high = _mm512_loadu_ps(w + 16), d0, d1, d2, d3;
    int64_t i = 0;

/* Adds row i to the sums and multiplies it with w. */
#define USE_ROW(i, d)                                                                                                  \
    do {                                                                                                               \
        const float *x = panel + (int64_t)index[i] * PANEL;                                                            \
        __m512 f = _mm512_set1_ps(coefficient[i]), x_low = _mm512_loadu_ps(x), x_high = _mm512_loadu_ps(x + 16);       \
        low = _mm512_fmadd_ps(f, x_low, low);                                                                          \
        high = _mm512_fmadd_ps(f, x_high, high);                                                                       \
        d = _mm512_fmadd_ps(w_high, x_high, _mm512_mul_ps(w_low, x_low));                                              \
    } while (0)
    for (; i + 4 <= n; i += 4) {
        USE_ROW(i, d0);
        USE_ROW(i + 1, d1);
        USE_ROW(i + 2, d2);
        USE_ROW(i + 3, d3);
        _mm_storeu_ps(dots + i, _mm_add_ps(_mm_loadu_ps(dots + i), add_four(d0, d1, d2, d3)));
    }
    for (; i < n; i++) {
        USE_ROW(i, d0);
        dots[i] += _mm512_reduce_add_ps(d0);
    }
#undef USE_ROW
    _mm512_storeu_ps(out, low);
    _mm512_storeu_ps(out + 16, high);
}

static int64_t scan_limits(const float *p, const float *bias, const float *limit, int64_t n, int32_t first,
                           int32_t *index, float *value)
{
    __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    int64_t found = 0;

    for (int64_t i = 0; i < n; i += 16) {
        __mmask16 valid = (__mmask16)(n - i >= 16 ? 0xffffu : (1u << (n - i)) - 1u);
        __m512 a_f32x16 = _mm512_add_ps(_mm512_maskz_loadu_ps(valid, p + i), _mm512_maskz_loadu_ps(valid, bias + i));
        __mmask16 mask = _mm512_mask_cmp_ps_mask(valid, a_f32x16, _mm512_maskz_loadu_ps(valid, limit + i), _CMP_GT_OQ);
        if (__builtin_expect(mask == 0, 1)) continue;
        _mm512_storeu_ps(value + found, _mm512_maskz_compress_ps(mask, a_f32x16)); /* whole, as in scan_above */
        __m512i at = _mm512_add_epi32(lane, _mm512_set1_epi32(first + (int32_t)i));
        _mm512_storeu_si512(index + found, _mm512_maskz_compress_epi32(mask, at));
        found += __builtin_popcount(mask);
    }
    return found;
}

#define OPS_ISA   "avx512"
#define OPS_TABLE sae_ops_avx512
extern const sae_ops sae_ops_avx512;
#include "kernels/cpu/sae_ops_body.h"
