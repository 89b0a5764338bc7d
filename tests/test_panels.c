/*
 * test_panels.c - the product of a sparse matrix with a dense one against plain loops in double: widths around a panel, empty
 * lists, parts of the lists, rows that are set or added to, and the dot products taken on the way. EVERY_THREAD.
 */
#include "sae/train.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_OUT = 23, N_FROM = 37, MOST = 40, LARGEST_D = 3 * PANEL + 1 };
static const int64_t widths[] = {1, 7, PANEL - 1, PANEL, PANEL + 1, 2 * PANEL, 3 * PANEL + 1};

typedef struct lists {
    int64_t start[N_OUT + 1], earlier[N_OUT + 1], used[N_FROM + 1];
    int32_t index[N_OUT * MOST];
    float coefficient[N_OUT * MOST], dots[N_OUT * MOST];
    float from[N_FROM * LARGEST_D], w[N_OUT * LARGEST_D], out[N_OUT * LARGEST_D], before[N_OUT * LARGEST_D];
} lists;

static void fill(lists *l, uint64_t seed)
{
    rng r = rng_seed(seed, 1);
    bool use[N_FROM] = {false};

    for (int i = 0; i < N_OUT; i++) {
        int64_t n = i % 4 == 3 ? 0 : (int64_t)rng_below(&r, MOST);
        l->start[i + 1] = l->start[i] + n;
        l->earlier[i + 1] = l->earlier[i] + i % 3 % 2;
        for (int64_t p = l->start[i]; p < l->start[i + 1]; p++) {
            l->index[p] = (int32_t)rng_below(&r, N_FROM);
            l->coefficient[p] = (float)rng_normal(&r);
            use[l->index[p]] = true;
        }
    }
    for (int i = 0; i < N_FROM; i++) l->used[i + 1] = l->used[i] + use[i];
    for (int i = 0; i < N_FROM * LARGEST_D; i++) l->from[i] = (float)rng_normal(&r);
    for (int i = 0; i < N_OUT * LARGEST_D; i++) l->w[i] = (float)rng_normal(&r);
    for (int i = 0; i < N_OUT * LARGEST_D; i++) l->out[i] = l->before[i] = (float)rng_normal(&r);
}

/* Sums of up to MOST products of order 1 in float: MOST roundings of sums below 20, each at most eps / 2 of it: 4.8e-5.
 * Observed: 5.7e-6 in out; in dots, which sum three panels, 3.7e-6. */
static const double BOUND = MOST * 20 * FLT_EPSILON / 2;

static void check_row(const lists *l, int64_t i, int64_t d, bool selected, bool added, bool dots)
{
    for (int64_t c = 0; c < d; c++) {
        double expected = l->before[i * d + c];
        if (selected && l->start[i + 1] > l->start[i]) {
            if (!added) expected = 0;
            for (int64_t p = l->start[i]; p < l->start[i + 1]; p++)
                expected += (double)l->coefficient[p] * (double)l->from[l->index[p] * d + c];
        }
        ck_assert_msg(fabs(expected - (double)l->out[i * d + c]) < BOUND, "d %lld, row %lld, column %lld: %g, not %g",
                      (long long)d, (long long)i, (long long)c, (double)l->out[i * d + c], expected);
    }
    for (int64_t p = l->start[i]; selected && dots && p < l->start[i + 1]; p++) {
        double expected = 0;
        for (int64_t c = 0; c < d; c++) expected += (double)l->w[i * d + c] * (double)l->from[l->index[p] * d + c];
        ck_assert_msg(fabs(expected - (double)l->dots[p]) < BOUND, "d %lld, pair %lld: dot %g, not %g", (long long)d,
                      (long long)p, (double)l->dots[p], expected);
    }
}

START_TEST(test_equals_plain_loops)
{
    int64_t d = widths[_i];
    float panel[N_FROM * PANEL];
    sae_trainer t = {.ops = sae_ops_get(), .s = {.panel = panel}};

    for (int variant = 0; variant < 16; variant++) {
        lists *l = calloc(1, sizeof *l);
        bool dots = variant & 1, add = variant & 2, earlier = variant & 4, part = variant & 8;
        int64_t first = part ? 5 : 0, end = part ? 17 : N_OUT;
        fill(l, (uint64_t)variant);
        sparse_rows s = {.first = first,
                         .end = end,
                         .n_from = N_FROM,
                         .start = l->start,
                         .used = part ? l->used : NULL,
                         .earlier = earlier ? l->earlier : NULL,
                         .index = l->index,
                         .coefficient = l->coefficient,
                         .w = l->w,
                         .dots = dots ? l->dots : NULL};
        for (int i = 0; i < N_FROM * PANEL; i++) panel[i] = NAN; /* what is not packed must not be read */
        sparse_times_dense(&t, &s, l->from, d, add, l->out);
        for (int64_t i = 0; i < N_OUT; i++)
            check_row(l, i, d, i >= first && i < end, add || (earlier && l->earlier[i + 1] > l->earlier[i]), dots);
        free(l);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("panels");
    TCase *tc = tcase_create("sparse times dense"); /* EVERY_ISA */
    SRunner *runner = srunner_create(s);

    tcase_add_loop_test(tc, test_equals_plain_loops, 0, sizeof widths / sizeof *widths);
    suite_add_tcase(s, tc);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
