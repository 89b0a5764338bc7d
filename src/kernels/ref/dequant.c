/*
 * dequant.c - the reference conversions in plain C, and the choice among instruction sets.
 *
 * Compiled with -ffp-contract=off: d * q + m is a product, rounded, and a sum, rounded, as ggml's own reference does.
 * (The product of an f16 and four bits is exact, so fusing would not show today; the rule keeps it so for other types.)
 */
#include "kernels/dequant.h"

#include <math.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are read as they lie: little-endian");

enum { BLOCK = 32 }; /* elements of a quantised block */

static float float_of(uint32_t bits)
{
    float f;

    memcpy(&f, &bits, sizeof f);
    return f;
}

static uint32_t bits_of(float f)
{
    uint32_t bits;

    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static float f16_value(const unsigned char *p)
{
    uint32_t h = (uint32_t)p[0] | (uint32_t)p[1] << 8;
    uint32_t sign = (h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 0x3ff;

    if (exponent == 31) return float_of(sign | 0x7f800000 | mantissa << 13 | (mantissa ? 0x400000 : 0));
    if (exponent == 0) return float_of(sign | bits_of((float)mantissa * 0x1p-24f));
    return float_of(sign | (exponent + 112) << 23 | mantissa << 13);
}

static uint16_t f16_bits(float value)
{
    uint32_t x = bits_of(value), sign = x >> 16 & 0x8000, a = x & 0x7fffffff;

    if (a > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (a >> 13 & 0x3ff));
    if (a >= 0x477ff000) return (uint16_t)(sign | 0x7c00); /* 65520 and more round to infinity */
    if (a < 0x38800000) /* below 2^-14: the last place of 0.5 is 2^-24, a subnormal's unit, so the sum rounds for us */
        return (uint16_t)(sign | (bits_of(float_of(a) + 0.5f) - 0x3f000000));
    return (uint16_t)(sign | (a + 0xfff + (a >> 13 & 1) - 0x38000000) >> 13);
}

static uint16_t bf16_bits(float value)
{
    uint32_t x = bits_of(value);

    if ((x & 0x7fffffff) > 0x7f800000) return (uint16_t)(x >> 16 | 0x40);
    return (uint16_t)((x + 0x7fff + (x >> 16 & 1)) >> 16);
}

static void from_f32(const void *source, int64_t n, float *out) { memcpy(out, source, (size_t)n * sizeof *out); }

static void from_f16(const void *source, int64_t n, float *out)
{
    const unsigned char *p = source;

    for (int64_t i = 0; i < n; i++) out[i] = f16_value(p + 2 * i);
}

static void from_bf16(const void *source, int64_t n, float *out)
{
    const unsigned char *p = source;

    for (int64_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, p + 2 * i, sizeof h);
        out[i] = float_of((uint32_t)h << 16);
    }
}

static void from_bool(const void *source, int64_t n, float *out)
{
    const unsigned char *p = source;

    for (int64_t i = 0; i < n; i++) out[i] = p[i] != 0;
}

#define FROM_PLAIN(name, type)                                                                                         \
    static void from_##name(const void *source, int64_t n, float *out)                                                 \
    {                                                                                                                  \
        const unsigned char *p = source;                                                                               \
                                                                                                                       \
        for (int64_t i = 0; i < n; i++) {                                                                              \
            type value;                                                                                                \
            memcpy(&value, p + (size_t)i * sizeof value, sizeof value);                                                \
            out[i] = (float)value;                                                                                     \
        }                                                                                                              \
    }
FROM_PLAIN(f64, double)
FROM_PLAIN(i64, int64_t)
FROM_PLAIN(i32, int32_t)
FROM_PLAIN(i16, int16_t)
FROM_PLAIN(i8, int8_t)
FROM_PLAIN(u64, uint64_t)
FROM_PLAIN(u32, uint32_t)
FROM_PLAIN(u16, uint16_t)
FROM_PLAIN(u8, uint8_t)

static void from_q8_0(const void *source, int64_t n, float *out)
{
    const unsigned char *p = source;

    for (int64_t b = 0; b < n / BLOCK; b++, p += 34, out += BLOCK) {
        float d = f16_value(p);
        for (int j = 0; j < BLOCK; j++) out[j] = (float)(int8_t)p[2 + j] * d;
    }
}

/* Byte j of a 4-bit block holds element j in its low half and element j + 16 in its high half. */
static void from_q4_0(const void *source, int64_t n, float *out)
{
    const unsigned char *p = source;

    for (int64_t b = 0; b < n / BLOCK; b++, p += 18, out += BLOCK) {
        float d = f16_value(p);
        for (int j = 0; j < 16; j++) {
            out[j] = (float)((p[2 + j] & 15) - 8) * d;
            out[j + 16] = (float)((p[2 + j] >> 4) - 8) * d;
        }
    }
}

static void from_q4_1(const void *source, int64_t n, float *out)
{
    const unsigned char *p = source;

    for (int64_t b = 0; b < n / BLOCK; b++, p += 20, out += BLOCK) {
        float d = f16_value(p), m = f16_value(p + 2);
        for (int j = 0; j < 16; j++) {
            out[j] = (float)(p[4 + j] & 15) * d + m;
            out[j + 16] = (float)(p[4 + j] >> 4) * d + m;
        }
    }
}

static void to_bf16(const float *source, int64_t n, void *out)
{
    unsigned char *p = out;

    for (int64_t i = 0; i < n; i++) {
        uint16_t h = bf16_bits(source[i]);
        memcpy(p + 2 * i, &h, sizeof h);
    }
}

static void to_f16(const float *source, int64_t n, void *out)
{
    unsigned char *p = out;

    for (int64_t i = 0; i < n; i++) {
        uint16_t h = f16_bits(source[i]);
        memcpy(p + 2 * i, &h, sizeof h);
    }
}

static void scaled_i8(const void *source, float scale, int64_t n, float *out)
{
    const int8_t *p = source;

    for (int64_t i = 0; i < n; i++) out[i] = (float)p[i] * scale;
}

static float to_i8(const float *source, int64_t n, void *out)
{
    int8_t *p = out;
    float largest = 0;

    for (int64_t i = 0; i < n; i++) largest = fmaxf(largest, fabsf(source[i]));
    if (largest < I8_SMALLEST) {
        memset(p, 0, (size_t)n);
        return 0;
    }
    const float inverse = 127.0f / largest;
    for (int64_t i = 0; i < n; i++) p[i] = (int8_t)lrintf(source[i] * inverse);
    return largest / 127.0f;
}

const dequant_ops dequant_ref = {
    .to_f32 = {[DTYPE_F32] = from_f32,
               [DTYPE_F16] = from_f16,
               [DTYPE_BF16] = from_bf16,
               [DTYPE_F64] = from_f64,
               [DTYPE_I64] = from_i64,
               [DTYPE_I32] = from_i32,
               [DTYPE_I16] = from_i16,
               [DTYPE_I8] = from_i8,
               [DTYPE_U64] = from_u64,
               [DTYPE_U32] = from_u32,
               [DTYPE_U16] = from_u16,
               [DTYPE_U8] = from_u8,
               [DTYPE_BOOL] = from_bool,
               [DTYPE_Q8_0] = from_q8_0,
               [DTYPE_Q4_0] = from_q4_0,
               [DTYPE_Q4_1] = from_q4_1},
    .to_bf16 = to_bf16,
    .to_f16 = to_f16,
    .scaled_i8 = scaled_i8,
    .to_i8 = to_i8,
};

void dequant_f32(dtype type, const void *source, int64_t n, float *out)
{
    bool fast = cpu_isa_get() >= ISA_AVX2 && dequant_avx2.to_f32[type];

    (fast ? dequant_avx2 : dequant_ref).to_f32[type](source, n, out);
}

void f32_to_bf16(const float *source, int64_t n, void *out)
{
    bool fast = cpu_isa_get() >= ISA_AVX2 && dequant_avx2.to_bf16;

    (fast ? dequant_avx2 : dequant_ref).to_bf16(source, n, out);
}

void f32_to_f16(const float *source, int64_t n, void *out)
{
    bool fast = cpu_isa_get() >= ISA_AVX2 && dequant_avx2.to_f16;

    (fast ? dequant_avx2 : dequant_ref).to_f16(source, n, out);
}

void i8_to_f32(const void *source, float scale, int64_t n, float *out)
{
    bool fast = cpu_isa_get() >= ISA_AVX2 && dequant_avx2.scaled_i8;

    (fast ? dequant_avx2 : dequant_ref).scaled_i8(source, scale, n, out);
}

float f32_to_i8(const float *source, int64_t n, void *out)
{
    bool fast = cpu_isa_get() >= ISA_AVX2 && dequant_avx2.to_i8;

    return (fast ? dequant_avx2 : dequant_ref).to_i8(source, n, out);
}
