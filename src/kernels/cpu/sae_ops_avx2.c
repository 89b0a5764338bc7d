/* sae_ops_avx2.c - the operations of a training step for AVX2 with FMA. */
#include "kernels/sae_ops.h"

#include <immintrin.h>

/* scale NULL: none. Always inlined, so that each of the two callers has a loop of its own. */
static inline __attribute__((always_inline)) int64_t scan(const float *p, const float *bias, const float *scale,
                                                          int64_t n, float cutoff, int32_t first, int32_t *index,
                                                          float *value)
{
    __m256 cut = _mm256_set1_ps(cutoff);
    int64_t found = 0, i = 0;

    for (; i + 8 <= n; i += 8) {
        __m256 a_f32x8 = _mm256_add_ps(_mm256_loadu_ps(p + i), _mm256_loadu_ps(bias + i));
        if (scale) a_f32x8 = _mm256_mul_ps(a_f32x8, _mm256_loadu_ps(scale + i));
        unsigned mask = (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a_f32x8, cut, _CMP_GT_OQ));
        if (__builtin_expect(mask == 0, 1)) continue; /* hits are rare: a few in a thousand */
        float a[8];
        _mm256_storeu_ps(a, a_f32x8);
        for (; mask; mask &= mask - 1) {
            int lane = __builtin_ctz(mask);
            index[found] = first + (int32_t)i + lane;
            value[found++] = a[lane];
        }
    }
    for (; i < n; i++) {
        float a = scale ? (p[i] + bias[i]) * scale[i] : p[i] + bias[i];
        if (!(a > cutoff)) continue;
        index[found] = first + (int32_t)i;
        value[found++] = a;
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

static inline void add_row(const float *x, float f, __m256 sums[4])
{
    __m256 f_f32x8 = _mm256_set1_ps(f);

#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) sums[k] = _mm256_fmadd_ps(f_f32x8, _mm256_loadu_ps(x + 8 * k), sums[k]);
}

/* Two rows at a time into two sets of sums: chains enough to hide the latency of the multiply-adds. */
static void gather(float *out, const float *panel, const int32_t *index, const float *coefficient, int64_t n)
{
    __m256 even[4], odd[4];
    int64_t i = 0;

    for (int k = 0; k < 4; k++) {
        even[k] = _mm256_loadu_ps(out + 8 * k);
        odd[k] = _mm256_setzero_ps();
    }
    for (; i + 2 <= n; i += 2) {
        add_row(panel + (int64_t)index[i] * PANEL, coefficient[i], even);
        add_row(panel + (int64_t)index[i + 1] * PANEL, coefficient[i + 1], odd);
    }
    if (i < n) add_row(panel + (int64_t)index[i] * PANEL, coefficient[i], even);
    for (int k = 0; k < 4; k++) _mm256_storeu_ps(out + 8 * k, _mm256_add_ps(even[k], odd[k]));
}

/* A panel row: added to sums[4] with the factor f, and multiplied with w[4]. */
static inline __m256 use_row(const float *x, __m256 f_f32x8, const __m256 w[4], __m256 sums[4])
{
    __m256 dot_f32x8 = _mm256_setzero_ps();

#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
        __m256 x_f32x8 = _mm256_loadu_ps(x + 8 * k);
        sums[k] = _mm256_fmadd_ps(f_f32x8, x_f32x8, sums[k]);
        dot_f32x8 = k == 0 ? _mm256_mul_ps(w[0], x_f32x8) : _mm256_fmadd_ps(w[k], x_f32x8, dot_f32x8);
    }
    return dot_f32x8;
}

static void gather_dot(float *out, const float *panel, const int32_t *index, const float *coefficient, int64_t n,
                       const float *w, float *dots)
{
    __m256 sums[4], weights[4];
    int64_t i = 0;

    for (int k = 0; k < 4; k++) {
        sums[k] = _mm256_loadu_ps(out + 8 * k);
        weights[k] = _mm256_loadu_ps(w + 8 * k);
    }
    for (; i + 4 <= n; i += 4) {
        __m256 d[4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            d[j] =
                use_row(panel + (int64_t)index[i + j] * PANEL, _mm256_broadcast_ss(coefficient + i + j), weights, sums);
        /* Four vectors to four sums. */
        __m256 quad = _mm256_hadd_ps(_mm256_hadd_ps(d[0], d[1]), _mm256_hadd_ps(d[2], d[3]));
        __m128 four = _mm_add_ps(_mm256_castps256_ps128(quad), _mm256_extractf128_ps(quad, 1));
        _mm_storeu_ps(dots + i, _mm_add_ps(_mm_loadu_ps(dots + i), four));
    }
    for (; i < n; i++) {
        float lanes[8], sum = 0;
        _mm256_storeu_ps(
            lanes, use_row(panel + (int64_t)index[i] * PANEL, _mm256_broadcast_ss(coefficient + i), weights, sums));
        for (int k = 0; k < 8; k++) sum += lanes[k];
        dots[i] += sum;
    }
    for (int k = 0; k < 4; k++) _mm256_storeu_ps(out + 8 * k, sums[k]);
}

static int64_t scan_limits(const float *p, const float *bias, const float *limit, int64_t n, int32_t first,
                           int32_t *index, float *value)
{
    int64_t found = 0, i = 0;

    for (; i + 8 <= n; i += 8) {
        __m256 a_f32x8 = _mm256_add_ps(_mm256_loadu_ps(p + i), _mm256_loadu_ps(bias + i));
        unsigned mask = (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a_f32x8, _mm256_loadu_ps(limit + i), _CMP_GT_OQ));
        if (__builtin_expect(mask == 0, 1)) continue;
        float a[8];
        _mm256_storeu_ps(a, a_f32x8);
        for (; mask; mask &= mask - 1) {
            int lane = __builtin_ctz(mask);
            index[found] = first + (int32_t)i + lane;
            value[found++] = a[lane];
        }
    }
    for (; i < n; i++) {
        float a = p[i] + bias[i];
        if (!(a > limit[i])) continue;
        index[found] = first + (int32_t)i;
        value[found++] = a;
    }
    return found;
}

#define OPS_ISA   "avx2"
#define OPS_TABLE sae_ops_avx2
extern const sae_ops sae_ops_avx2;
#include "kernels/cpu/sae_ops_body.h"
