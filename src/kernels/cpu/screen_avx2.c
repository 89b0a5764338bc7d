/*
 * screen_avx2.c - the screen for AVX2: products of 8 bits in sums of 16, which hold eight of them.
 *
 * vpmaddubsw adds two neighbouring products; four of its results are added before vpmaddwd widens them. That fits because rows are
 * at most 127 and an octet of a latent's integers sums to at most 258 of either sign: 127 x 258 = 32,766.
 */
#include "kernels/screen.h"

#include <immintrin.h>

#include "kernels/cpu/screen_body.h"

enum { ZERO = 64, OCTET_LIMIT = 258, ROWS = 3, LANES = 16 };

static float sum_fixed(__m256 low, __m256 high)
{
    __m256 eight = _mm256_add_ps(low, high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));

    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* The last n < 16 elements, zeros behind. */
static void load_rest(const float *x, int64_t n, __m256 *low, __m256 *high)
{
    float rest[LANES] = {0};

    memcpy(rest, x, (size_t)n * sizeof *x);
    *low = _mm256_loadu_ps(rest);
    *high = _mm256_loadu_ps(rest + 8);
}

static void fixed_dot4(const float *w, const float *const x[4], int64_t n, float out[4])
{
    const float *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3];
    __m256 low[4], high[4], w_low, w_high;
    int64_t i = 0;

    for (int j = 0; j < 4; j++) low[j] = high[j] = _mm256_setzero_ps();
    for (; i + LANES <= n; i += LANES) {
        w_low = _mm256_loadu_ps(w + i);
        w_high = _mm256_loadu_ps(w + i + 8);
        low[0] = _mm256_fmadd_ps(w_low, _mm256_loadu_ps(x0 + i), low[0]);
        high[0] = _mm256_fmadd_ps(w_high, _mm256_loadu_ps(x0 + i + 8), high[0]);
        low[1] = _mm256_fmadd_ps(w_low, _mm256_loadu_ps(x1 + i), low[1]);
        high[1] = _mm256_fmadd_ps(w_high, _mm256_loadu_ps(x1 + i + 8), high[1]);
        low[2] = _mm256_fmadd_ps(w_low, _mm256_loadu_ps(x2 + i), low[2]);
        high[2] = _mm256_fmadd_ps(w_high, _mm256_loadu_ps(x2 + i + 8), high[2]);
        low[3] = _mm256_fmadd_ps(w_low, _mm256_loadu_ps(x3 + i), low[3]);
        high[3] = _mm256_fmadd_ps(w_high, _mm256_loadu_ps(x3 + i + 8), high[3]);
    }
    if (i < n) {
        load_rest(w + i, n - i, &w_low, &w_high);
        for (int j = 0; j < 4; j++) {
            __m256 x_low, x_high;
            load_rest(x[j] + i, n - i, &x_low, &x_high);
            low[j] = _mm256_fmadd_ps(w_low, x_low, low[j]);
            high[j] = _mm256_fmadd_ps(w_high, x_high, high[j]);
        }
    }
    for (int j = 0; j < 4; j++) out[j] = sum_fixed(low[j], high[j]);
}

static float fixed_dot(const float *a, const float *b, int64_t n)
{
    __m256 low = _mm256_setzero_ps(), high = low, a_low, a_high, b_low, b_high;
    int64_t i = 0;

    for (; i + LANES <= n; i += LANES) {
        low = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), low);
        high = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8), high);
    }
    if (i < n) {
        load_rest(a + i, n - i, &a_low, &a_high);
        load_rest(b + i, n - i, &b_low, &b_high);
        low = _mm256_fmadd_ps(a_low, b_low, low);
        high = _mm256_fmadd_ps(a_high, b_high, high);
    }
    return sum_fixed(low, high);
}

static __m256i four_of_row(const uint8_t *row)
{
    int32_t four;

    memcpy(&four, row, sizeof four);
    return _mm256_set1_epi32(four);
}

/* Products of three rows with the 16 latents of a panel. The compiler must not reorder the sums of 16 bits: it would need
 * more registers than there are. */
#define KEEP_ORDER(x) __asm__("" : "+x"(x))
static inline void multiply(const uint8_t *rows, int64_t depth, const int8_t *panel, const __m256i start[2],
                            __m256i out[ROWS][2])
{
    const __m256i ones = _mm256_set1_epi16(1);
    const uint8_t *row1 = rows + depth, *row2 = row1 + depth;
    __m256i acc00 = start[0], acc01 = start[1], acc10 = start[0], acc11 = start[1], acc20 = start[0], acc21 = start[1];

    for (int64_t k = 0; k < depth; k += SCREEN_DEPTH_STEP, panel += SCREEN_DEPTH_STEP * LANES) {
        const __m256i *w = (const __m256i *)(const void *)panel;
        __m256i w0 = _mm256_loadu_si256(w), w1 = _mm256_loadu_si256(w + 1), x;
        __m256i sum00, sum01, sum10, sum11, sum20, sum21;
        x = four_of_row(rows + k);
        sum00 = _mm256_maddubs_epi16(x, w0);
        sum01 = _mm256_maddubs_epi16(x, w1);
        x = four_of_row(row1 + k);
        sum10 = _mm256_maddubs_epi16(x, w0);
        sum11 = _mm256_maddubs_epi16(x, w1);
        x = four_of_row(row2 + k);
        sum20 = _mm256_maddubs_epi16(x, w0);
        sum21 = _mm256_maddubs_epi16(x, w1);
#pragma GCC unroll 3
        for (int step = 1; step < 4; step++) {
            w0 = _mm256_loadu_si256(w + 2 * step);
            w1 = _mm256_loadu_si256(w + 2 * step + 1);
            KEEP_ORDER(w0);
            KEEP_ORDER(w1);
#define ADD_ROW(row, low, high)                                                                                        \
    x = four_of_row((row) + k + 4 * step);                                                                             \
    low = _mm256_add_epi16(low, _mm256_maddubs_epi16(x, w0));                                                          \
    high = _mm256_add_epi16(high, _mm256_maddubs_epi16(x, w1));                                                        \
    KEEP_ORDER(low);                                                                                                   \
    KEEP_ORDER(high)
            ADD_ROW(rows, sum00, sum01);
            ADD_ROW(row1, sum10, sum11);
            ADD_ROW(row2, sum20, sum21);
#undef ADD_ROW
        }
        acc00 = _mm256_add_epi32(acc00, _mm256_madd_epi16(sum00, ones));
        acc01 = _mm256_add_epi32(acc01, _mm256_madd_epi16(sum01, ones));
        acc10 = _mm256_add_epi32(acc10, _mm256_madd_epi16(sum10, ones));
        acc11 = _mm256_add_epi32(acc11, _mm256_madd_epi16(sum11, ones));
        acc20 = _mm256_add_epi32(acc20, _mm256_madd_epi16(sum20, ones));
        acc21 = _mm256_add_epi32(acc21, _mm256_madd_epi16(sum21, ones));
    }
    out[0][0] = acc00;
    out[0][1] = acc01;
    out[1][0] = acc10;
    out[1][1] = acc11;
    out[2][0] = acc20;
    out[2][1] = acc21;
}

static void survivors(const screen_product *p, screen_survivors *out)
{
    int64_t steps = SCREEN_BLOCK / LANES * (p->n_rows / ROWS), slice = p->ahead_bytes / steps / 64 * 64 + 64, at = 0;

    memset(out->n, 0, sizeof out->n);
    for (int first = 0; first < SCREEN_BLOCK; first += LANES) {
        const int8_t *panel = p->latents + first * p->depth;
        const screen_latents *b = p->block;
        __m256 terms[SCREEN_TERMS][2];
        __m256i start[2];
        for (int c = 0; c < 2; c++) {
            for (int i = 0; i < SCREEN_TERMS; i++) terms[i][c] = _mm256_loadu_ps(b->terms[i] + first + 8 * c);
            start[c] = _mm256_loadu_si256((const __m256i *)(const void *)(b->start + first + 8 * c));
        }
        for (int64_t row = 0; row < p->n_rows; row += ROWS) {
            __m256i acc[ROWS][2];
            for (int64_t end = at + slice; at < end && at < p->ahead_bytes; at += 64)
                _mm_prefetch(p->ahead + at, _MM_HINT_T1);
            multiply(p->rows + row * p->depth, p->depth, panel, start, acc);
            for (int r = 0; r < ROWS; r++) {
                const float *t = p->row_terms[row + r];
                unsigned mask = 0;
                for (int c = 0; c < 2; c++) {
                    __m256 least = _mm256_mul_ps(_mm256_set1_ps(t[0]), terms[0][c]);
                    for (int i = 1; i < SCREEN_TERMS; i++)
                        least = _mm256_fmadd_ps(_mm256_set1_ps(t[i]), terms[i][c], least);
                    __m256 over = _mm256_cmp_ps(_mm256_cvtepi32_ps(acc[r][c]), least, _CMP_NLE_UQ);
                    mask |= (unsigned)_mm256_movemask_ps(over) << (8 * c);
                }
                for (; mask; mask &= mask - 1) {
                    int j = first + __builtin_ctz(mask);
                    out->rows[j][out->n[j]++] = (uint16_t)(row + r);
                }
            }
        }
    }
}

extern const screen_ops screen_ops_avx2;
const screen_ops screen_ops_avx2 = {"avx2",    ZERO,         OCTET_LIMIT, fixed_dot, fixed_dot4,
                                    round_row, round_latent, largest,     survivors};
