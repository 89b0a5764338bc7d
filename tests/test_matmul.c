/* test_matmul.c - products against the plain loops at awkward sizes and strides, in and out of a parallel region. EVERY_THREAD. */
#include "kernels/matmul.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef void product_fn(int64_t, int64_t, int64_t, const float *, int64_t, const float *, int64_t, float, float *,
                        int64_t);

static const struct {
    const char *name;
    product_fn *fast, *ref;
    bool a_transposed, b_transposed;
} products[] = {
    {"nt", matmul_nt, matmul_ref_nt, false, true},
    {"nn", matmul_nn, matmul_ref_nn, false, false},
    {"tn", matmul_tn, matmul_ref_tn, true, false},
};

static float *random_matrix(int64_t rows, int64_t ld, rng *r)
{
    float *x = mem_alloc_array((size_t)(rows * ld), sizeof *x, "a matrix", NULL);

    ck_assert_ptr_nonnull(x);
    for (int64_t i = 0; i < rows * ld; i++) x[i] = (float)rng_normal(r);
    return x;
}

/* Worst error of the fast product against the loops, over the size of its largest entry; guards between the rows must
 * stay. */
static double worst_error(int which, int64_t m, int64_t n, int64_t k, int64_t pad, float beta)
{
    rng r = rng_seed(7, (uint64_t)(m * 1000000 + n * 1000 + k));
    int64_t a_rows = products[which].a_transposed ? k : m, a_ld = (products[which].a_transposed ? m : k) + pad;
    int64_t b_rows = products[which].b_transposed ? n : k, b_ld = (products[which].b_transposed ? k : n) + pad;
    int64_t ldc = n + pad;
    float *a = random_matrix(a_rows, a_ld, &r), *b = random_matrix(b_rows, b_ld, &r);
    float *c = random_matrix(m, ldc, &r), *expected = random_matrix(m, ldc, &r);
    double worst = 0, largest = 0;

    if (beta == 0) /* C is not read: poison must not show */
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) c[i * ldc + j] = NAN;
    memcpy(expected, c, (size_t)(m * ldc) * sizeof *c);
    products[which].fast(m, n, k, a, a_ld, b, b_ld, beta, c, ldc);
    products[which].ref(m, n, k, a, a_ld, b, b_ld, beta, expected, ldc);
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            ck_assert_msg(!isnan(c[i * ldc + j]), "%s: m %ld n %ld k %ld: NaN at %ld, %ld", products[which].name,
                          (long)m, (long)n, (long)k, (long)i, (long)j);
            worst = fmax(worst, fabs((double)c[i * ldc + j] - (double)expected[i * ldc + j]));
            largest = fmax(largest, fabs((double)expected[i * ldc + j]));
        }
        ck_assert_mem_eq(c + i * ldc + n, expected + i * ldc + n, (size_t)pad * sizeof *c);
    }
    mem_free(a), mem_free(b), mem_free(c), mem_free(expected);
    return worst / largest;
}

START_TEST(test_fast_equals_reference)
{
    static const int64_t sizes[] = {1, 7, 16, 17, 33, 65, 127};
    enum { N = sizeof sizes / sizeof *sizes };

    for (int m = 0; m < N; m++)
        for (int n = 0; n < N; n++)
            for (int k = 0; k < N; k++) {
                double e = worst_error(_i, sizes[m], sizes[n], sizes[k], (m + n + k) % 3, (float)((m + n) % 2));
                ck_assert_msg(e < 1e-5, "%s: m %ld n %ld k %ld: error %g", products[_i].name, (long)sizes[m],
                              (long)sizes[n], (long)sizes[k], e); /* observed 6.4e-7 */
            }
}
END_TEST

/* The loops themselves against numbers worked by hand. */
START_TEST(test_reference_by_hand)
{
    const float a[] = {1, 2, 3, 4, 5, 6}, b[] = {7, 8, 9, 10, 11, 12};
    float c[4] = {1, 1, 1, 1};

    matmul_ref_nt(2, 2, 3, a, 3, b, 3, 0, c, 2); /* [1 2 3; 4 5 6] [7 8 9; 10 11 12]^T */
    ck_assert(c[0] == 50 && c[1] == 68 && c[2] == 122 && c[3] == 167);
    matmul_ref_nn(2, 2, 3, a, 3, b, 2, 1, c, 2); /* + [1 2 3; 4 5 6] [7 8; 9 10; 11 12] */
    ck_assert(c[0] == 50 + 58 && c[1] == 68 + 64 && c[2] == 122 + 139 && c[3] == 167 + 154);
    matmul_ref_tn(2, 2, 3, a, 2, b, 2, 0, c, 2); /* [1 2; 3 4; 5 6]^T [7 8; 9 10; 11 12] */
    ck_assert(c[0] == 89 && c[1] == 98 && c[2] == 116 && c[3] == 128);
}
END_TEST

START_TEST(test_inside_parallel_region)
{
    double worst[8] = {0};

#pragma omp parallel for
    for (int i = 0; i < 8; i++) {
        rng r = rng_seed(3, (uint64_t)i);
        float a[40 * 30], b[50 * 30], c[40 * 50], expected[40 * 50];
        for (int j = 0; j < 40 * 30; j++) a[j] = (float)rng_normal(&r);
        for (int j = 0; j < 50 * 30; j++) b[j] = (float)rng_normal(&r);
        matmul_nt(40, 50, 30, a, 30, b, 30, 0, c, 50);
        matmul_ref_nt(40, 50, 30, a, 30, b, 30, 0, expected, 50);
        for (int j = 0; j < 40 * 50; j++) worst[i] = fmax(worst[i], fabs((double)c[j] - (double)expected[j]));
    }
    for (int i = 0; i < 8; i++) ck_assert(worst[i] < 1e-4); /* observed 4.5e-6: sums of 30 products */
}
END_TEST

START_TEST(test_large_product)
{
    double e = worst_error(_i, 300, 770, 513, 5, 1);

    ck_assert_msg(e < 1e-5, "error %g", e); /* observed under 8e-7 */
    ck_assert(strlen(matmul_library()) > 5);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("matmul");
    TCase *tests = tcase_create("matmul");
    SRunner *runner = srunner_create(suite);

    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, test_fast_equals_reference, 0, 3);
    tcase_add_test(tests, test_reference_by_hand);
    tcase_add_test(tests, test_inside_parallel_region);
    tcase_add_loop_test(tests, test_large_product, 0, 3);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
