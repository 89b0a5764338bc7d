/*
 * test_dequant.c - conversions: all 65,536 patterns of both 16-bit types, quantised blocks worked out by hand, and the
 * same bits from every instruction set.
 *
 * EVERY_ISA: the dispatch is run under each.
 */
#include "kernels/dequant.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint32_t bits(float x)
{
    uint32_t u;

    memcpy(&u, &x, sizeof u);
    return u;
}

/* Equal bits; of two NaN it does not matter which. */
static void assert_same(const float *a, const float *b, int64_t n, const char *what)
{
    for (int64_t i = 0; i < n; i++)
        ck_assert_msg(bits(a[i]) == bits(b[i]) || (isnan(a[i]) && isnan(b[i])), "%s: element %lld: %a and %a", what,
                      (long long)i, (double)a[i], (double)b[i]);
}

/* The definition, in double: (-1)^s 2^(e-15) 1.m, subnormal below. */
static double f16_by_definition(unsigned int h)
{
    int exponent = h >> 10 & 31;
    double mantissa = (double)(h & 0x3ff) / 1024.0, sign = h & 0x8000 ? -1.0 : 1.0;

    if (exponent == 31) return h & 0x3ff ? (double)NAN : sign * (double)INFINITY;
    return exponent ? sign * ldexp(1.0 + mantissa, exponent - 15) : sign * ldexp(mantissa, -14);
}

START_TEST(test_f16_all_patterns)
{
    enum { N = 65536 };
    uint16_t *in = malloc(N * sizeof *in), *back = malloc(N * sizeof *back);
    float *out = malloc(N * sizeof *out);

    for (int i = 0; i < N; i++) in[i] = (uint16_t)i;
    dequant_f32(DTYPE_F16, in, N, out);
    for (unsigned int i = 0; i < N; i++) {
        double expected = f16_by_definition(i);
        ck_assert_msg(isnan(expected) ? isnan(out[i]) : bits(out[i]) == bits((float)expected), "f16 %04x", i);
    }
    f32_to_f16(out, N, back);
    for (unsigned int i = 0; i < N; i++) /* a signalling NaN comes back quiet */
        ck_assert_msg(back[i] == i || (isnan(out[i]) && back[i] == (i | 0x200)), "f16 %04x came back as %04x", i,
                      back[i]);
    free(in), free(back), free(out);
}
END_TEST

START_TEST(test_bf16_all_patterns)
{
    enum { N = 65536 };
    uint16_t *in = malloc(N * sizeof *in), *back = malloc(N * sizeof *back);
    float *out = malloc(N * sizeof *out);

    for (int i = 0; i < N; i++) in[i] = (uint16_t)i;
    dequant_f32(DTYPE_BF16, in, N, out);
    for (unsigned int i = 0; i < N; i++) ck_assert_uint_eq(bits(out[i]), i << 16);
    f32_to_bf16(out, N, back);
    for (unsigned int i = 0; i < N; i++)
        ck_assert_msg(back[i] == i || (isnan(out[i]) && back[i] == (i | 0x40)), "bf16 %04x came back as %04x", i,
                      back[i]);
    free(in), free(back), free(out);
}
END_TEST

/* Between each 16-bit value and the next: exactly half goes to the even one, a hair less down, a hair more up. */
static void check_rounding(dtype type, void (*to)(const float *, int64_t, void *), unsigned int last)
{
    for (unsigned int i = 0; i < last; i++) {
        uint16_t pair[2] = {(uint16_t)i, (uint16_t)(i + 1)}, got[3];
        float value[2];
        dequant_f32(type, pair, 2, value);
        float half = (float)(((double)value[0] + (double)value[1]) / 2);
        float three[3] = {nextafterf(half, -INFINITY), half, nextafterf(half, INFINITY)};
        to(three, 3, got);
        ck_assert_msg(got[0] == i && got[1] == i + (i & 1) && got[2] == i + 1, "%s: around %04x: %04x %04x %04x",
                      dtype_table[type].name, i, got[0], got[1], got[2]);
    }
}

START_TEST(test_rounding_is_to_nearest_even)
{
    uint16_t got[4];

    check_rounding(DTYPE_F16, f32_to_f16, 0x7bff);
    check_rounding(DTYPE_BF16, f32_to_bf16, 0x7f7f);
    f32_to_f16((float[]){65519.996f, 65520.0f, -1e30f, -0.0f}, 4, got);
    ck_assert(got[0] == 0x7bff && got[1] == 0x7c00 && got[2] == 0xfc00 && got[3] == 0x8000);
    f32_to_bf16((float[]){3.4e38f, INFINITY, -3.4028235e38f, -0.0f}, 4, got);
    ck_assert(got[0] == 0x7f80 && got[1] == 0x7f80 && got[2] == 0xff80 && got[3] == 0x8000);
}
END_TEST

START_TEST(test_quantised_blocks_by_hand)
{
    unsigned char q8[34] = {0x00, 0x38}, q40[18] = {0x00, 0xc0}, q41[20] = {0x00, 0x38, 0x00, 0x3c};
    float out[32];

    for (int j = 0; j < 32; j++) q8[2 + j] = (unsigned char)(j - 16); /* d = 0.5 */
    dequant_f32(DTYPE_Q8_0, q8, 32, out);
    for (int j = 0; j < 32; j++) ck_assert_float_eq(out[j], 0.5f * (float)(j - 16));
    for (int j = 0; j < 16; j++) q40[2 + j] = (unsigned char)(j | (15 - j) << 4); /* d = -2 */
    dequant_f32(DTYPE_Q4_0, q40, 32, out);
    for (int j = 0; j < 16; j++) {
        ck_assert_float_eq(out[j], -2.0f * (float)(j - 8));
        ck_assert_float_eq(out[j + 16], -2.0f * (float)(7 - j));
    }
    for (int j = 0; j < 16; j++) q41[4 + j] = (unsigned char)(j | (15 - j) << 4); /* d = 0.5, m = 1 */
    dequant_f32(DTYPE_Q4_1, q41, 32, out);
    for (int j = 0; j < 16; j++) {
        ck_assert_float_eq(out[j], 0.5f * (float)j + 1.0f);
        ck_assert_float_eq(out[j + 16], 0.5f * (float)(15 - j) + 1.0f);
    }
}
END_TEST

START_TEST(test_plain_types)
{
    float out[2];

    dequant_f32(DTYPE_F64, (double[]){1.0 + 0x1p-24, -1e300}, 2, out); /* half way: to even; too large: infinite */
    ck_assert(out[0] == 1.0f && isinf(out[1]) && out[1] < 0);
    dequant_f32(DTYPE_I64, (int64_t[]){(1 << 24) + 1, INT64_MIN}, 2, out);
    ck_assert(out[0] == 0x1p24f && out[1] == -0x1p63f);
    dequant_f32(DTYPE_U64, (uint64_t[]){UINT64_MAX, 3}, 2, out);
    ck_assert(out[0] == 0x1p64f && out[1] == 3.0f);
    dequant_f32(DTYPE_I32, (int32_t[]){-7, INT32_MAX}, 2, out);
    ck_assert(out[0] == -7.0f && out[1] == 0x1p31f);
    dequant_f32(DTYPE_U32, (uint32_t[]){UINT32_MAX, 9}, 2, out);
    ck_assert(out[0] == 0x1p32f && out[1] == 9.0f);
    dequant_f32(DTYPE_I16, (int16_t[]){-32768, 5}, 2, out);
    ck_assert(out[0] == -32768.0f && out[1] == 5.0f);
    dequant_f32(DTYPE_U16, (uint16_t[]){65535, 5}, 2, out);
    ck_assert(out[0] == 65535.0f && out[1] == 5.0f);
    dequant_f32(DTYPE_I8, (int8_t[]){-128, 5}, 2, out);
    ck_assert(out[0] == -128.0f && out[1] == 5.0f);
    dequant_f32(DTYPE_U8, (uint8_t[]){255, 5}, 2, out);
    ck_assert(out[0] == 255.0f && out[1] == 5.0f);
    dequant_f32(DTYPE_BOOL, (uint8_t[]){0, 7}, 2, out); /* any byte but 0 is true */
    ck_assert(out[0] == 0.0f && out[1] == 1.0f);
}
END_TEST

/* Random bytes (so infinities, NaN and subnormal scales too) at every alignment and many lengths, with a sentinel behind. */
static void check_type(dtype type, rng *r)
{
    static const int64_t lengths[] = {0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 255, 1000};
    int block = dtype_table[type].block_elems;

    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        int64_t n = lengths[k] * block;
        size_t bytes = (size_t)(n / block * dtype_table[type].block_bytes);
        for (size_t shift = 0; shift < 4; shift++) {
            unsigned char *in = malloc(bytes + shift + 1); /* exact end: a read beyond it shows under ASan */
            float *got = malloc(((size_t)n + 1) * sizeof *got), *expected = malloc(((size_t)n + 1) * sizeof *expected);
            for (size_t i = 0; i < bytes + shift; i++) in[i] = (unsigned char)rng_next(r);
            got[n] = 12345.0f;
            dequant_f32(type, in + shift, n, got);
            dequant_ref.to_f32[type](in + shift, n, expected);
            assert_same(got, expected, n, dtype_table[type].name);
            ck_assert_float_eq(got[n], 12345.0f);
            free(in), free(got), free(expected);
        }
    }
}

START_TEST(test_same_bits_as_the_reference)
{
    rng r = rng_seed(1, 0);

    for (int type = 0; type < DTYPE_COUNT; type++) check_type((dtype)type, &r);
}
END_TEST

START_TEST(test_16_bit_output_same_as_the_reference)
{
    rng r = rng_seed(2, 0);

    for (int64_t n = 0; n < 200; n++)
        for (size_t shift = 0; shift < 3; shift++) {
            float in[200];
            unsigned char got[404], expected[404];
            for (int64_t i = 0; i < n; i++) {
                uint32_t u = (uint32_t)rng_next(&r);
                memcpy(&in[i], &u, sizeof u);
            }
            memset(got, 0xaa, sizeof got);
            memset(expected, 0xaa, sizeof expected);
            f32_to_bf16(in, n, got + shift);
            dequant_ref.to_bf16(in, n, expected + shift);
            ck_assert_mem_eq(got, expected, sizeof got);
            f32_to_f16(in, n, got + shift);
            dequant_ref.to_f16(in, n, expected + shift);
            ck_assert_mem_eq(got, expected, sizeof got);
        }
}
END_TEST

/* Rows of int8: both directions give the reference's bits; an entry is off by half a step of the scale at most. */
START_TEST(test_int8_rows)
{
    rng r = rng_seed(3, 0);

    for (int64_t n = 0; n < 200; n++) {
        float in[200], back[201], expected[200];
        int8_t got[202], want[200]; /* the one before and behind n stay */
        float size = (float)exp(60 * rng_uniform(&r) - 30), largest = 0;
        for (int64_t i = 0; i < n; i++) in[i] = size * (float)rng_normal(&r), largest = fmaxf(largest, fabsf(in[i]));
        got[0] = got[n + 1] = 55;
        float scale = f32_to_i8(in, n, got + 1), scale_ref = dequant_ref.to_i8(in, n, want);
        ck_assert(bits(scale) == bits(scale_ref) && got[0] == 55 && got[n + 1] == 55);
        ck_assert_mem_eq(got + 1, want, (size_t)n);
        back[n] = 12345.0f;
        i8_to_f32(got + 1, scale, n, back);
        dequant_ref.scaled_i8(want, scale, n, expected);
        assert_same(back, expected, n, "int8");
        ck_assert_float_eq(back[n], 12345.0f);
        /* 0.5 and the rounding of 127 / largest, of the product and of the scale; observed 0.49993 */
        for (int64_t i = 0; i < n; i++) ck_assert_float_le(fabsf(back[i] - in[i]), 0.50003f * largest / 127);
    }
}
END_TEST

START_TEST(test_int8_edges)
{
    int8_t q[4] = {1, 1, 1, 1};
    float out[4];

    ck_assert_float_eq(f32_to_i8((float[]){0, -0.0f, 0x1p-101f, 0}, 4, q), 0);
    ck_assert(!q[0] && !q[1] && !q[2] && !q[3]);
    ck_assert_float_eq(f32_to_i8((float[]){127, -127, 2.5f, 3.5f}, 4, q), 1); /* ties go to the even */
    ck_assert(q[0] == 127 && q[1] == -127 && q[2] == 2 && q[3] == 4);
    float scale = f32_to_i8((float[]){3.4e38f, -3.4e38f, 1e38f, 0}, 4, q);
    ck_assert(q[0] == 127 && q[1] == -127 && q[2] == 37 && q[3] == 0);
    i8_to_f32(q, scale, 4, out);
    ck_assert(isfinite(out[0]) && isfinite(out[1]));
    scale = f32_to_i8((float[]){0x1p-100f, 0, 0, -0x1p-100f}, 4, q);
    ck_assert(q[0] == 127 && q[3] == -127 && scale > 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dequant");
    TCase *all = tcase_create("conversions");
    tcase_set_timeout(all, 60);
    tcase_add_test(all, test_f16_all_patterns);
    tcase_add_test(all, test_bf16_all_patterns);
    tcase_add_test(all, test_rounding_is_to_nearest_even);
    tcase_add_test(all, test_quantised_blocks_by_hand);
    tcase_add_test(all, test_plain_types);
    tcase_add_test(all, test_same_bits_as_the_reference);
    tcase_add_test(all, test_16_bit_output_same_as_the_reference);
    tcase_add_test(all, test_int8_rows);
    tcase_add_test(all, test_int8_edges);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
