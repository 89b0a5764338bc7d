/* sae_ops_avx2.c - the operations of a training step for AVX2 with FMA. */
#include "kernels/sae_ops.h"

#include <immintrin.h>

/* The lanes that are set in a mask, in order. */
static const int32_t lanes_of[16][4] = {{0}, {0},    {1},    {0, 1},    {2},    {0, 2},    {1, 2},    {0, 1, 2},
                                        {3}, {0, 3}, {1, 3}, {0, 1, 3}, {2, 3}, {0, 2, 3}, {1, 2, 3}, {0, 1, 2, 3}};

/* Stores the lanes of the mask and their indices, four at a time and without a branch: the outputs have 16 spare entries. Returns
 * found and how many they are. */
static inline int64_t put_hits(__m256 a, unsigned mask, int32_t first, int32_t *index, float *value, int64_t found)
{
    __m128i low = _mm_loadu_si128((const __m128i *)(const void *)lanes_of[mask & 15]);
    __m128i high = _mm_loadu_si128((const __m128i *)(const void *)lanes_of[mask >> 4]);

    _mm_storeu_ps(value + found, _mm_permutevar_ps(_mm256_castps256_ps128(a), low));
    _mm_storeu_si128((__m128i *)(void *)(index + found), _mm_add_epi32(low, _mm_set1_epi32(first)));
    found += __builtin_popcount(mask & 15);
    _mm_storeu_ps(value + found, _mm_permutevar_ps(_mm256_extractf128_ps(a, 1), high));
    _mm_storeu_si128((__m128i *)(void *)(index + found), _mm_add_epi32(high, _mm_set1_epi32(first + 4)));
    return found + __builtin_popcount(mask >> 4);
}

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
        found = put_hits(a_f32x8, mask, first + (int32_t)i, index, value, found);
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

/* Two rows at a time into two sets of sums: chains enough to hide the latency of the multiply-adds. Sums have names, since gcc 12
 * brings an array of them in and out through memory, which lists of a few rows feel. */
static void gather(float *out, const float *panel, const int32_t *index, const float *coefficient, int64_t n)
{
    __m256 sum0 = _mm256_loadu_ps(out), sum1 = _mm256_loadu_ps(out + 8);
    __m256 sum2 = _mm256_loadu_ps(out + 16), sum3 = _mm256_loadu_ps(out + 24);
    __m256 odd0 = _mm256_setzero_ps(), odd1 = odd0, odd2 = odd0, odd3 = odd0, f;
    const float *x;
    int64_t i = 0;

#define ADD_ROW(i, s0, s1, s2, s3)                                                                                     \
    x = panel + (int64_t)index[i] * PANEL;                                                                             \
    f = _mm256_broadcast_ss(coefficient + (i));                                                                        \
    s0 = _mm256_fmadd_ps(f, _mm256_loadu_ps(x), s0);                                                                   \
    s1 = _mm256_fmadd_ps(f, _mm256_loadu_ps(x + 8), s1);                                                               \
    s2 = _mm256_fmadd_ps(f, _mm256_loadu_ps(x + 16), s2);                                                              \
    s3 = _mm256_fmadd_ps(f, _mm256_loadu_ps(x + 24), s3)
    for (; i + 2 <= n; i += 2) {
        ADD_ROW(i, sum0, sum1, sum2, sum3);
        ADD_ROW(i + 1, odd0, odd1, odd2, odd3);
    }
    if (i < n) {
        ADD_ROW(i, sum0, sum1, sum2, sum3);
    }
#undef ADD_ROW
    _mm256_storeu_ps(out, _mm256_add_ps(sum0, odd0));
    _mm256_storeu_ps(out + 8, _mm256_add_ps(sum1, odd1));
    _mm256_storeu_ps(out + 16, _mm256_add_ps(sum2, odd2));
    _mm256_storeu_ps(out + 24, _mm256_add_ps(sum3, odd3));
}

/* [a0 + a2, a1 + a3, b2 + b0, b3 + b1] of each half. */
static inline __m256 add_pair(__m256 a, __m256 b)
{
    return _mm256_add_ps(_mm256_blend_ps(a, b, 0xCC), _mm256_shuffle_ps(a, b, _MM_SHUFFLE(1, 0, 3, 2)));
}

/* The sums of four vectors. */
static inline __m128 add_four(__m256 a, __m256 b, __m256 c, __m256 d)
{
    __m256 ab = add_pair(a, b), cd = add_pair(c, d);
    __m256 quad = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, _MM_SHUFFLE(2, 0, 2, 0)),
                                _mm256_shuffle_ps(ab, cd, _MM_SHUFFLE(3, 1, 3, 1)));

    return _mm_add_ps(_mm256_castps256_ps128(quad), _mm256_extractf128_ps(quad, 1));
}

static void gather_dot(float *out, const float *panel, const int32_t *index, const float *coefficient, int64_t n,
                       const float *w, float *dots)
{
    __m256 sum0 = _mm256_loadu_ps(out), sum1 = _mm256_loadu_ps(out + 8);
    __m256 sum2 = _mm256_loadu_ps(out + 16), sum3 = _mm256_loadu_ps(out + 24);
    __m256 w0 = _mm256_loadu_ps(w), w1 = _mm256_loadu_ps(w + 8), w2 = _mm256_loadu_ps(w + 16);
    __m256 w3 = _mm256_loadu_ps(w + 24), f, low, high, d0, d1, d2, d3;
    const float *x;
    int64_t i = 0;

/* Adds row i to the sums and multiplies it with w. What is loaded stays in a register for both uses: gcc would load it twice. */
#define LOAD_TWO(from)                                                                                                 \
    low = _mm256_loadu_ps(from);                                                                                       \
    high = _mm256_loadu_ps((from) + 8);                                                                                \
    __asm__("" : "+x"(low), "+x"(high))
#define USE_ROW(i, d)                                                                                                  \
    x = panel + (int64_t)index[i] * PANEL;                                                                             \
    f = _mm256_broadcast_ss(coefficient + (i));                                                                        \
    LOAD_TWO(x);                                                                                                       \
    sum0 = _mm256_fmadd_ps(f, low, sum0);                                                                              \
    sum1 = _mm256_fmadd_ps(f, high, sum1);                                                                             \
    d = _mm256_fmadd_ps(w1, high, _mm256_mul_ps(w0, low));                                                             \
    LOAD_TWO(x + 16);                                                                                                  \
    sum2 = _mm256_fmadd_ps(f, low, sum2);                                                                              \
    sum3 = _mm256_fmadd_ps(f, high, sum3);                                                                             \
    d = _mm256_fmadd_ps(w3, high, _mm256_fmadd_ps(w2, low, d))
    for (; i + 4 <= n; i += 4) {
        USE_ROW(i, d0);
        USE_ROW(i + 1, d1);
        USE_ROW(i + 2, d2);
        USE_ROW(i + 3, d3);
        _mm_storeu_ps(dots + i, _mm_add_ps(_mm_loadu_ps(dots + i), add_four(d0, d1, d2, d3)));
    }
    for (; i < n; i++) {
        USE_ROW(i, d0);
        dots[i] += _mm_cvtss_f32(add_four(d0, d0, d0, d0));
    }
#undef USE_ROW
#undef LOAD_TWO
    _mm256_storeu_ps(out, sum0);
    _mm256_storeu_ps(out + 8, sum1);
    _mm256_storeu_ps(out + 16, sum2);
    _mm256_storeu_ps(out + 24, sum3);
}

static int64_t scan_limits(const float *p, const float *bias, const float *limit, int64_t n, int32_t first,
                           int32_t *index, float *value)
{
    int64_t found = 0, i = 0;

    for (; i + 8 <= n; i += 8) {
        __m256 a_f32x8 = _mm256_add_ps(_mm256_loadu_ps(p + i), _mm256_loadu_ps(bias + i));
        unsigned mask = (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a_f32x8, _mm256_loadu_ps(limit + i), _CMP_GT_OQ));
        if (__builtin_expect(mask == 0, 1)) continue;
        found = put_hits(a_f32x8, mask, first + (int32_t)i, index, value, found);
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
