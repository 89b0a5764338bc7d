/*
 * dequant_avx2.c - the conversions that gain from 256-bit registers, F16C and byte shuffles.
 *
 * Compiled with -ffp-contract=off and written without fused multiply-add: the bits are the reference's. Tails go
 * through the reference.
 */
#include "kernels/dequant.h"

#if defined(__AVX2__)

#include <immintrin.h>
#include <math.h>
#include <string.h>

static void from_f16(const void *source, int64_t n, float *out)
{
    const unsigned char *p = source;
    int64_t i = 0;

    for (; i + 8 <= n; i += 8) {
        __m128i h = _mm_loadu_si128((const __m128i *)(const void *)(p + 2 * i));
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(h));
    }
    dequant_ref.to_f32[DTYPE_F16](p + 2 * i, n - i, out + i);
}

static void from_bf16(const void *source, int64_t n, float *out)
{
    const unsigned char *p = source;
    int64_t i = 0;

    for (; i + 8 <= n; i += 8) {
        __m128i h = _mm_loadu_si128((const __m128i *)(const void *)(p + 2 * i));
        __m256i w = _mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16);
        _mm256_storeu_ps(out + i, _mm256_castsi256_ps(w));
    }
    dequant_ref.to_f32[DTYPE_BF16](p + 2 * i, n - i, out + i);
}

static __m256 f16_broadcast(const unsigned char *p)
{
    short h = (short)(p[0] | p[1] << 8);

    return _mm256_cvtph_ps(_mm_set1_epi16(h));
}

/* The signed bytes 0..7 of q as floats. */
static __m256 eight_floats(__m128i q) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q)); }

static void from_q8_0(const void *source, int64_t n, float *out)
{
    const unsigned char *p = source;

    for (int64_t b = 0; b < n / 32; b++, p += 34, out += 32) {
        __m256 d = f16_broadcast(p);
        for (int j = 0; j < 32; j += 8) {
            __m128i q = _mm_loadl_epi64((const __m128i *)(const void *)(p + 2 + j));
            _mm256_storeu_ps(out + j, _mm256_mul_ps(eight_floats(q), d));
        }
    }
}

/* The 32 four-bit numbers of 16 bytes: low halves, then high halves. */
static void nibbles(const unsigned char *p, __m128i *low, __m128i *high)
{
    const __m128i mask = _mm_set1_epi8(15);
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);

    *low = _mm_and_si128(bytes, mask);
    *high = _mm_and_si128(_mm_srli_epi16(bytes, 4), mask);
}

static void from_q4_0(const void *source, int64_t n, float *out)
{
    const unsigned char *p = source;
    const __m128i eight = _mm_set1_epi8(8);

    for (int64_t b = 0; b < n / 32; b++, p += 18, out += 32) {
        __m256 d = f16_broadcast(p);
        __m128i low, high;
        nibbles(p + 2, &low, &high);
        low = _mm_sub_epi8(low, eight);
        high = _mm_sub_epi8(high, eight);
        _mm256_storeu_ps(out, _mm256_mul_ps(eight_floats(low), d));
        _mm256_storeu_ps(out + 8, _mm256_mul_ps(eight_floats(_mm_srli_si128(low, 8)), d));
        _mm256_storeu_ps(out + 16, _mm256_mul_ps(eight_floats(high), d));
        _mm256_storeu_ps(out + 24, _mm256_mul_ps(eight_floats(_mm_srli_si128(high, 8)), d));
    }
}

static void from_q4_1(const void *source, int64_t n, float *out)
{
    const unsigned char *p = source;

    for (int64_t b = 0; b < n / 32; b++, p += 20, out += 32) {
        __m256 d = f16_broadcast(p), m = f16_broadcast(p + 2);
        __m128i low, high;
        nibbles(p + 4, &low, &high);
        _mm256_storeu_ps(out, _mm256_add_ps(_mm256_mul_ps(eight_floats(low), d), m));
        _mm256_storeu_ps(out + 8, _mm256_add_ps(_mm256_mul_ps(eight_floats(_mm_srli_si128(low, 8)), d), m));
        _mm256_storeu_ps(out + 16, _mm256_add_ps(_mm256_mul_ps(eight_floats(high), d), m));
        _mm256_storeu_ps(out + 24, _mm256_add_ps(_mm256_mul_ps(eight_floats(_mm_srli_si128(high, 8)), d), m));
    }
}

/* Eight floats to bf16 in the low halves of eight 32-bit lanes. */
static __m256i bf16_lanes(__m256 value)
{
    __m256i x = _mm256_castps_si256(value);
    __m256i high = _mm256_srli_epi32(x, 16);
    __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
    __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(x, _mm256_set1_epi32(0x7fff)), odd), 16);
    __m256i quiet = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
    __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));

    return _mm256_blendv_epi8(rounded, quiet, is_nan);
}

static void to_bf16(const float *source, int64_t n, void *out)
{
    unsigned char *p = out;
    int64_t i = 0;

    for (; i + 16 <= n; i += 16) {
        __m256i a = bf16_lanes(_mm256_loadu_ps(source + i)), b = bf16_lanes(_mm256_loadu_ps(source + i + 8));
        /* packus works within 128-bit halves: put the quarters back in order */
        __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xd8);
        _mm256_storeu_si256((__m256i *)(void *)(p + 2 * i), packed);
    }
    dequant_ref.to_bf16(source + i, n - i, p + 2 * i);
}

static void to_f16(const float *source, int64_t n, void *out)
{
    unsigned char *p = out;
    int64_t i = 0;

    for (; i + 8 <= n; i += 8) {
        __m128i h = _mm256_cvtps_ph(_mm256_loadu_ps(source + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        _mm_storeu_si128((__m128i *)(void *)(p + 2 * i), h);
    }
    dequant_ref.to_f16(source + i, n - i, p + 2 * i);
}

static void scaled_i8(const void *source, float scale, int64_t n, float *out)
{
    const unsigned char *p = source;
    const __m256 s = _mm256_set1_ps(scale);
    int64_t i = 0;

    for (; i + 16 <= n; i += 16) {
        __m128i q = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
        _mm256_storeu_ps(out + i, _mm256_mul_ps(eight_floats(q), s));
        _mm256_storeu_ps(out + i + 8, _mm256_mul_ps(eight_floats(_mm_srli_si128(q, 8)), s));
    }
    dequant_ref.scaled_i8(p + i, scale, n - i, out + i);
}

static float largest_magnitude(const float *x, int64_t n)
{
    const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    __m256 m = _mm256_setzero_ps();
    float lanes[8], largest = 0;
    int64_t i = 0;

    for (; i + 8 <= n; i += 8) m = _mm256_max_ps(m, _mm256_and_ps(_mm256_loadu_ps(x + i), magnitude));
    _mm256_storeu_ps(lanes, m);
    for (int j = 0; j < 8; j++) largest = fmaxf(largest, lanes[j]);
    for (; i < n; i++) largest = fmaxf(largest, fabsf(x[i]));
    return largest;
}

static float to_i8(const float *source, int64_t n, void *out)
{
    unsigned char *p = out;
    float largest = largest_magnitude(source, n);
    int64_t i = 0;

    if (largest < I8_SMALLEST) {
        memset(p, 0, (size_t)n);
        return 0;
    }
    const float inverse = 127.0f / largest;
    const __m256 factor = _mm256_set1_ps(inverse);
    for (; i + 8 <= n; i += 8) {
        __m256i q = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(source + i), factor));
        __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
        _mm_storel_epi64((__m128i *)(void *)(p + i), _mm_packs_epi16(words, words));
    }
    for (; i < n; i++) p[i] = (unsigned char)(int8_t)lrintf(source[i] * inverse);
    return largest / 127.0f;
}

const dequant_ops dequant_avx2 = {
    .to_f32 = {[DTYPE_F16] = from_f16,
               [DTYPE_BF16] = from_bf16,
               [DTYPE_Q8_0] = from_q8_0,
               [DTYPE_Q4_0] = from_q4_0,
               [DTYPE_Q4_1] = from_q4_1},
    .to_bf16 = to_bf16,
    .to_f16 = to_f16,
    .scaled_i8 = scaled_i8,
    .to_i8 = to_i8,
};

#else

const dequant_ops dequant_avx2 = {0};

#endif
