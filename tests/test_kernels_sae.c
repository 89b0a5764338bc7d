/*
 * test_kernels_sae.c - every fast operation of the training step against the plain-C reference, on sizes around the vector
 * lengths, at odd addresses, with sentinels behind each output. All tables that this processor can run are tried
 * here: one run does for every instruction set.
 */
#include "expect.h"
#include "kernels/sae_ops.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int64_t sizes[] = {0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 65, 127, 255, 256, 257, 576, 768, 2304};
enum { N_SIZES = sizeof sizes / sizeof *sizes, ROOM = 2304 + 64, SENTINEL = 0x7fc0dead };

/* Tables this processor can run, the reference left out. */
static const sae_ops *tables[4];
static int n_tables;

static void find_tables(void)
{
    n_tables = 0;
    for (int isa = ISA_AVX2; isa <= (int)cpu_isa_get(); isa++)
        if (sae_ops_for((cpu_isa)isa) != &sae_ops_ref) tables[n_tables++] = sae_ops_for((cpu_isa)isa);
}

/* n random numbers at an address that is no multiple of 16; a sentinel behind. */
static float *numbers(rng *r, int64_t n, double scale)
{
    static float pool[16][ROOM];
    static int next;
    float *x = pool[next = (next + 1) % 16] + 1;
    uint32_t sentinel = SENTINEL;

    for (int64_t i = 0; i < n; i++) x[i] = (float)(scale * rng_normal(r));
    memcpy(x + n, &sentinel, sizeof sentinel);
    return x;
}

static void expect_sentinel(const char *what, const float *x, int64_t n)
{
    uint32_t bits;

    memcpy(&bits, x + n, sizeof bits);
    ck_assert_msg(bits == SENTINEL, "%s of %lld wrote behind its end", what, (long long)n);
}

/* Sums of n products may differ by what rounding allows: n eps sum |a b| is a proven bound; of this one, 7 % is used. */
static void expect_sum(const char *isa, const char *what, int64_t n, double got, double expected, double magnitude)
{
    double bound = 4.0 * FLT_EPSILON * sqrt((double)n + 1) * magnitude + 1e-30;

    EXPECT_WITHIN(fabs(got - expected) / bound, 1, "%s %s, n %lld: %.9g, reference %.9g, bound %.2g", isa, what,
                  (long long)n, got, expected, bound);
}

static void expect_vectors(const char *isa, const char *what, int64_t n, const float *got, const float *expected,
                           double bound)
{
    for (int64_t i = 0; i < n; i++)
        EXPECT_WITHIN(fabs((double)got[i] - expected[i]), bound, "%s %s, n %lld: [%lld] is %.9g, reference %.9g", isa,
                      what, (long long)n, (long long)i, (double)got[i], (double)expected[i]);
    expect_sentinel(what, got, n);
}

START_TEST(test_sums)
{
    int64_t n = sizes[_i];
    rng r = rng_seed(1, (uint64_t)n);
    float *w = numbers(&r, n, 1), *x[4];
    double magnitude[4] = {0}, squares = 0;

    find_tables();
    for (int j = 0; j < 4; j++) {
        x[j] = numbers(&r, n, 1);
        for (int64_t i = 0; i < n; i++) magnitude[j] += fabs((double)w[i] * x[j][i]);
    }
    for (int64_t i = 0; i < n; i++) squares += (double)w[i] * w[i];
    for (int t = 0; t < n_tables; t++) {
        const sae_ops *o = tables[t];
        float four[4];
        o->dot4(w, (const float *const *)x, n, four);
        for (int j = 0; j < 4; j++) {
            float reference = sae_ops_ref.dot(w, x[j], n);
            expect_sum(o->isa, "dot", n, o->dot(w, x[j], n), reference, magnitude[j]);
            expect_sum(o->isa, "dot4", n, four[j], reference, magnitude[j]);
        }
        expect_sum(o->isa, "sum_squares", n, o->sum_squares(w, n), sae_ops_ref.sum_squares(w, n), squares);
    }
}
END_TEST

START_TEST(test_axpy)
{
    int64_t n = sizes[_i];
    rng r = rng_seed(2, (uint64_t)n);
    float *y = numbers(&r, n, 1), *x[4], a[4] = {0.5f, -1.25f, 3.0f, 1e-3f};

    find_tables();
    for (int j = 0; j < 4; j++) x[j] = numbers(&r, n, 1);
    for (int t = 0; t < n_tables; t++) {
        const sae_ops *o = tables[t];
        float *got = numbers(&r, n, 1), *expected = numbers(&r, n, 1);
        memcpy(got, y, (size_t)n * sizeof *y);
        memcpy(expected, y, (size_t)n * sizeof *y);
        o->axpy(got, a[1], x[1], n);
        sae_ops_ref.axpy(expected, a[1], x[1], n);
        expect_vectors(o->isa, "axpy", n, got, expected, 2e-6); /* [4.8e-7] */
        o->axpy4(got, a, (const float *const *)x, n);
        sae_ops_ref.axpy4(expected, a, (const float *const *)x, n);
        expect_vectors(o->isa, "axpy4", n, got, expected, 6e-6); /* [1.9e-6] */
    }
}
END_TEST

static void expect_scan(const sae_ops *o, const float *p, const float *bias, int64_t n, float cutoff)
{
    static int32_t index[2][ROOM];
    static float value[2][ROOM];
    int64_t expected = sae_ops_ref.scan_above(p, bias, n, cutoff, 100, index[0], value[0]);
    int64_t found = o->scan_above(p, bias, n, cutoff, 100, index[1], value[1]);

    ck_assert_msg(found == expected, "%s scan_above, n %lld, cutoff %g: %lld found, reference %lld", o->isa,
                  (long long)n, (double)cutoff, (long long)found, (long long)expected);
    ck_assert(memcmp(index[0], index[1], (size_t)found * sizeof **index) == 0);
    ck_assert(memcmp(value[0], value[1], (size_t)found * sizeof **value) == 0); /* the same additions: the same bits */
}

static void expect_scaled_scan(const sae_ops *o, const float *p, const float *bias, const float *scale, int64_t n,
                               float cutoff)
{
    static int32_t index[2][ROOM];
    static float value[2][ROOM];
    int64_t expected = sae_ops_ref.scan_scaled(p, bias, scale, n, cutoff, 100, index[0], value[0]);
    int64_t found = o->scan_scaled(p, bias, scale, n, cutoff, 100, index[1], value[1]);

    ck_assert_msg(found == expected, "%s scan_scaled, n %lld, cutoff %g: %lld found, reference %lld", o->isa,
                  (long long)n, (double)cutoff, (long long)found, (long long)expected);
    ck_assert(memcmp(index[0], index[1], (size_t)found * sizeof **index) == 0);
    ck_assert(memcmp(value[0], value[1], (size_t)found * sizeof **value) == 0);
}

/* Lists of n entries into 97 panel rows. */
START_TEST(test_gather)
{
    enum { ROWS = 97 };
    int64_t n = sizes[_i];
    rng r = rng_seed(6, (uint64_t)n);
    float *coefficient = numbers(&r, n, 1), panel[ROWS * PANEL];
    int32_t index[2304];

    find_tables();
    for (int i = 0; i < ROWS * PANEL; i++) panel[i] = (float)rng_normal(&r);
    for (int64_t i = 0; i < n; i++) index[i] = (int32_t)rng_below(&r, ROWS);
    for (int t = 0; t < n_tables; t++) {
        float *got = numbers(&r, PANEL, 1), *expected = numbers(&r, PANEL, 1);
        memcpy(expected, got, PANEL * sizeof *got);
        tables[t]->gather(got, panel, index, coefficient, n);
        sae_ops_ref.gather(expected, panel, index, coefficient, n);
        /* The reference sums in double. n additions in float each round a partial sum of about sqrt(n) by eps / 2, which adds up to
         * sqrt(n) sqrt(n) eps / 2; the bound is twice that. Observed: 9e-5 of 2.8e-4 for the longest. */
        expect_vectors(tables[t]->isa, "gather", PANEL, got, expected, FLT_EPSILON * ((double)n + 8));
    }
}
END_TEST

START_TEST(test_gather_dot)
{
    enum { ROWS = 97 };
    int64_t n = sizes[_i];
    rng r = rng_seed(7, (uint64_t)n);
    float *coefficient = numbers(&r, n, 1), *w = numbers(&r, PANEL, 1), panel[ROWS * PANEL];
    int32_t index[2304];

    find_tables();
    for (int i = 0; i < ROWS * PANEL; i++) panel[i] = (float)rng_normal(&r);
    for (int64_t i = 0; i < n; i++) index[i] = (int32_t)rng_below(&r, ROWS);
    for (int t = 0; t < n_tables; t++) {
        float *got = numbers(&r, PANEL, 1), *expected = numbers(&r, PANEL, 1);
        float *dots = numbers(&r, n, 1), *expected_dots = numbers(&r, n, 1);
        memcpy(expected, got, PANEL * sizeof *got);
        memcpy(expected_dots, dots, (size_t)n * sizeof *dots);
        tables[t]->gather_dot(got, panel, index, coefficient, n, w, dots);
        sae_ops_ref.gather_dot(expected, panel, index, coefficient, n, w, expected_dots);
        expect_vectors(tables[t]->isa, "gather_dot", PANEL, got, expected,
                       FLT_EPSILON * ((double)n + 8)); /* as gather */
        /* PANEL products of order 1: 33 roundings of partial sums below 30. */
        expect_vectors(tables[t]->isa, "gather_dot's dots", n, dots, expected_dots, 1e-5); /* [1.9e-6] */
    }
}
END_TEST

START_TEST(test_scan_above)
{
    int64_t n = sizes[_i];
    rng r = rng_seed(3, (uint64_t)n);
    float *p = numbers(&r, n, 1), *bias = numbers(&r, n, 0.3), *scale = numbers(&r, n, 1);
    const float cutoffs[] = {-INFINITY, -10.0f, 0.0f, 0.5f, 2.0f, 100.0f};

    find_tables();
    for (int64_t i = 0; i < n; i += 5) bias[i] = -INFINITY; /* as AuxK hides living latents */
    if (n > 6) p[6] = NAN;
    for (int t = 0; t < n_tables; t++) {
        for (size_t c = 0; c < sizeof cutoffs / sizeof *cutoffs; c++) expect_scan(tables[t], p, bias, n, cutoffs[c]);
        for (size_t c = 0; c < sizeof cutoffs / sizeof *cutoffs; c++)
            expect_scaled_scan(tables[t], p, bias, scale, n, cutoffs[c]);
        if (n > 3) expect_scan(tables[t], p, bias, n, p[3] + bias[3]); /* strictly above */
    }
}
END_TEST

START_TEST(test_scan_limits)
{
    static int32_t index[2][ROOM];
    static float value[2][ROOM];
    int64_t n = sizes[_i];
    rng r = rng_seed(8, (uint64_t)n);
    float *p = numbers(&r, n, 1), *bias = numbers(&r, n, 0.3), *limit = numbers(&r, n, 1);

    find_tables();
    if (n > 6) p[6] = NAN;
    if (n > 7) limit[7] = -INFINITY;
    for (int64_t i = 0; i < n; i += 9) limit[i] = p[i] + bias[i]; /* strictly above */
    for (int t = 0; t < n_tables; t++) {
        int64_t expected = sae_ops_ref.scan_limits(p, bias, limit, n, 100, index[0], value[0]);
        int64_t found = tables[t]->scan_limits(p, bias, limit, n, 100, index[1], value[1]);
        ck_assert_int_eq(found, expected);
        if (n > 100) ck_assert_int_gt(found, n / 4);
        ck_assert(memcmp(index[0], index[1], (size_t)found * sizeof **index) == 0);
        ck_assert(memcmp(value[0], value[1], (size_t)found * sizeof **value) == 0); /* the same bits */
    }
}
END_TEST

START_TEST(test_adam)
{
    int64_t n = sizes[_i];
    rng r = rng_seed(4, (uint64_t)n);
    const adam_constants c = {.beta1 = 0.9f,
                              .beta2 = 0.999f,
                              .rest1 = 0.1f,
                              .rest2 = 0.001f,
                              .eps = 1e-8f,
                              .step_size = 3e-4f,
                              .inverse_bias = 1.7f,
                              .gradient_scale = 0.3f};

    find_tables();
    for (int t = 0; t < n_tables; t++)
        for (int with_gradient = 0; with_gradient < 2; with_gradient++) {
            float *g = numbers(&r, n, 1), *start[3], *got[3], *expected[3];
            for (int k = 0; k < 3; k++) {
                start[k] = numbers(&r, n, k == 2 ? 0.1 : 1);
                got[k] = numbers(&r, n, 1);
                expected[k] = numbers(&r, n, 1);
                for (int64_t i = 0; i < n; i++) {
                    if (k == 2) start[k][i] = fabsf(start[k][i]);
                    got[k][i] = expected[k][i] = start[k][i];
                }
            }
            tables[t]->adam(got[0], got[1], got[2], with_gradient ? g : NULL, n, &c);
            sae_ops_ref.adam(expected[0], expected[1], expected[2], with_gradient ? g : NULL, n, &c);
            expect_vectors(tables[t]->isa, "adam w", n, got[0], expected[0], 2e-6); /* [1.2e-7] */
            expect_vectors(tables[t]->isa, "adam m", n, got[1], expected[1], 1e-6); /* [2.4e-7] */
            expect_vectors(tables[t]->isa, "adam v", n, got[2], expected[2], 1e-7); /* [3e-8] */
        }
}
END_TEST

/* Against the definition, which keeps the average x beside z: w = (1 - b) z + b x. Twenty steps, each with its own gradient. */
START_TEST(test_signum)
{
    enum { STEPS = 20 };
    int64_t n = sizes[_i];
    rng r = rng_seed(7, (uint64_t)n);
    const double momentum = 0.95, lr = 0.01;
    const sae_ops *all[5] = {&sae_ops_ref};

    find_tables();
    for (int t = 0; t < n_tables; t++) all[t + 1] = tables[t];
    for (int t = 0; t <= n_tables; t++) {
        float *w = numbers(&r, n, 1), *z = numbers(&r, n, 1), *g = numbers(&r, n, 1);
        double *x = malloc(sizeof(double) * (size_t)(n + 1)), *exact = malloc(sizeof(double) * (size_t)(n + 1));
        memcpy(z, w, (size_t)n * sizeof *w);
        for (int64_t i = 0; i < n; i++) x[i] = exact[i] = w[i];
        for (int step = 0; step < STEPS; step++) {
            bool none = step == 3;
            for (int64_t i = 0; i < n; i++) g[i] = i % 3 == 0 ? 0.0f : (float)rng_normal(&r);
            signum_constants c = {(float)(1 - 1 / momentum), (float)lr, (float)(1.0 / (step + 1)),
                                  (float)(1 - momentum)};
            all[t]->signum(w, z, none ? NULL : g, n, &c);
            for (int64_t i = 0; i < n; i++) {
                exact[i] -= none || g[i] == 0.0f ? 0.0 : g[i] > 0 ? lr : -lr;
                x[i] += (exact[i] - x[i]) / (step + 1);
            }
        }
        for (int64_t i = 0; i < n; i++) {
            double expected = (1 - momentum) * exact[i] + momentum * x[i];
            /* [6.9e-7, 1.5e-6] */
            EXPECT_WITHIN(fabs((double)z[i] - exact[i]), 1e-5, "%s signum z", all[t]->isa);
            EXPECT_WITHIN(fabs((double)w[i] - expected), 1e-5, "%s signum w: %.9g, expected %.9g", all[t]->isa,
                          (double)w[i], expected);
        }
        expect_sentinel("signum", w, n);
        expect_sentinel("signum", z, n);
        free(x);
        free(exact);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("kernels of the training step");
    TCase *tc = tcase_create("against the reference");
    SRunner *runner = srunner_create(s);

    tcase_add_loop_test(tc, test_sums, 0, N_SIZES);
    tcase_add_loop_test(tc, test_axpy, 0, N_SIZES);
    tcase_add_loop_test(tc, test_gather, 0, N_SIZES);
    tcase_add_loop_test(tc, test_gather_dot, 0, N_SIZES);
    tcase_add_loop_test(tc, test_scan_above, 0, N_SIZES);
    tcase_add_loop_test(tc, test_scan_limits, 0, N_SIZES);
    tcase_add_loop_test(tc, test_adam, 0, N_SIZES);
    tcase_add_loop_test(tc, test_signum, 0, N_SIZES);
    suite_add_tcase(s, tc);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
