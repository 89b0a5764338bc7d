/* test_linalg.c - the laws of eigenvectors and of the SVD: reconstruction, orthonormality, order. */
#include "kernels/linalg.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static double *normal_matrix(int64_t m, int64_t n, uint64_t seed)
{
    rng r = rng_seed(seed, 0);
    double *A = mem_alloc_array((size_t)(m * n), sizeof *A, "a matrix", NULL);

    ck_assert_ptr_nonnull(A);
    for (int64_t i = 0; i < m * n; i++) A[i] = rng_normal(&r);
    return A;
}

/* max |V V^T - 1| over the rows of V [r, n] */
static double row_orthonormality_error(int64_t r, int64_t n, const double *V)
{
    double worst = 0;

    for (int64_t i = 0; i < r; i++)
        for (int64_t j = 0; j < r; j++) {
            double dot = i == j ? -1 : 0;
            for (int64_t p = 0; p < n; p++) dot += V[i * n + p] * V[j * n + p];
            worst = fmax(worst, fabs(dot));
        }
    return worst;
}

static double column_orthonormality_error(int64_t m, int64_t r, const double *U)
{
    double worst = 0;

    for (int64_t i = 0; i < r; i++)
        for (int64_t j = 0; j < r; j++) {
            double dot = i == j ? -1 : 0;
            for (int64_t p = 0; p < m; p++) dot += U[p * r + i] * U[p * r + j];
            worst = fmax(worst, fabs(dot));
        }
    return worst;
}

static const int64_t sides[] = {1, 2, 7, 33, 100};

START_TEST(test_eigenvectors)
{
    int64_t n = sides[_i];
    double *B = normal_matrix(n, n, 5), *A = normal_matrix(n, n, 6), *V = normal_matrix(n, n, 7);
    double *values = normal_matrix(1, n, 8), worst = 0;

    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) A[i * n + j] = B[i * n + j] + B[j * n + i];
    memcpy(B, A, (size_t)(n * n) * sizeof *A);
    ck_assert_int_eq(linalg_eigh(n, A, values, V, NULL), SAE_OK);
    for (int64_t i = 0; i < n; i++) {
        if (i > 0) ck_assert(values[i - 1] >= values[i]);
        for (int64_t j = 0; j < n; j++) { /* A v = lambda v */
            double sum = -values[i] * V[i * n + j];
            for (int64_t p = 0; p < n; p++) sum += B[j * n + p] * V[i * n + p];
            worst = fmax(worst, fabs(sum));
        }
    }
    ck_assert_msg(worst < 1e-11, "n %ld: A v - lambda v = %g", (long)n, worst); /* observed 1e-13 */
    ck_assert(row_orthonormality_error(n, n, V) < 1e-12);
    mem_free(A), mem_free(B), mem_free(V), mem_free(values);
}
END_TEST

/* Their sum is the trace, the sum of their squares that of A A; an orthogonal projector has 1 and 0, a turn the pair e^(+-i angle). */
START_TEST(test_eigenvalues)
{
    enum { N = 9 };
    double *A = normal_matrix(N, N, 41), real[N], imag[N], trace = 0, square = 0;
    double turn[9] = {cos(0.3), -sin(0.3), 0, sin(0.3), cos(0.3), 0, 5, -7, 2};
    double projector[4] = {0.64, 0.48, 0.48, 0.36};

    for (int i = 0; i < N; i++) {
        trace += A[i * N + i];
        for (int j = 0; j < N; j++) square += A[i * N + j] * A[j * N + i];
    }
    ck_assert_int_eq(linalg_eigenvalues(N, A, real, imag, NULL), SAE_OK);
    for (int i = 0; i < N; i++) {
        trace -= real[i];
        square -= real[i] * real[i] - imag[i] * imag[i];
        if (i) ck_assert(real[i - 1] > real[i] || (real[i - 1] == real[i] && imag[i - 1] > imag[i]));
    }
    ck_assert_double_eq_tol(trace, 0, 1e-12);
    ck_assert_double_eq_tol(square, 0, 1e-12);
    ck_assert_int_eq(linalg_eigenvalues(3, turn, real, imag, NULL), SAE_OK);
    ck_assert_double_eq_tol(real[0], 2, 1e-14);
    for (int i = 1; i < 3; i++) {
        ck_assert_double_eq_tol(real[i], cos(0.3), 1e-14);
        ck_assert_double_eq_tol(imag[i], i == 1 ? sin(0.3) : -sin(0.3), 1e-14);
    }
    ck_assert_int_eq(linalg_eigenvalues(2, projector, real, imag, NULL), SAE_OK);
    ck_assert_double_eq_tol(real[0], 1, 1e-14);
    ck_assert_double_eq_tol(real[1], 0, 1e-14);
    mem_free(A);
}
END_TEST

START_TEST(test_svd)
{
    int64_t m = sides[_i / 5], n = sides[_i % 5], r = m < n ? m : n;
    double *A = normal_matrix(m, n, 9), *copy = normal_matrix(m, n, 9), worst = 0;
    double *U = normal_matrix(m, r, 1), *S = normal_matrix(1, r, 2), *Vt = normal_matrix(r, n, 3);
    double *S_alone = normal_matrix(1, r, 2);

    ck_assert_int_eq(linalg_svd(m, n, copy, U, S, Vt, NULL), SAE_OK);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = -A[i * n + j];
            for (int64_t p = 0; p < r; p++) sum += U[i * r + p] * S[p] * Vt[p * n + j];
            worst = fmax(worst, fabs(sum));
        }
    ck_assert_msg(worst < 1e-11, "%ld x %ld: U S Vt - A = %g", (long)m, (long)n, worst); /* observed 1e-14 */
    ck_assert(row_orthonormality_error(r, n, Vt) < 1e-12);
    ck_assert(column_orthonormality_error(m, r, U) < 1e-12);
    for (int64_t i = 0; i < r; i++) ck_assert(S[i] >= 0 && (i == 0 || S[i - 1] >= S[i]));
    memcpy(copy, A, (size_t)(m * n) * sizeof *A);
    ck_assert_int_eq(linalg_svd(m, n, copy, NULL, S_alone, NULL, NULL), SAE_OK);
    for (int64_t i = 0; i < r; i++) ck_assert(fabs(S[i] - S_alone[i]) < 1e-12 * S[0]);
    mem_free(A), mem_free(copy), mem_free(U), mem_free(S), mem_free(Vt), mem_free(S_alone);
}
END_TEST

/* Rows that are sums of two: rank 2, and the basis gives them back. */
START_TEST(test_row_basis)
{
    enum { M = 6, N = 40 };
    double *pair = normal_matrix(2, N, 11), *A = normal_matrix(M, N, 12), *basis = normal_matrix(M, N, 13);
    rng r = rng_seed(1, 1);
    int64_t rank = 0;

    for (int i = 0; i < M; i++) {
        double a = rng_normal(&r), b = rng_normal(&r);
        for (int j = 0; j < N; j++) A[i * N + j] = a * pair[j] + b * pair[N + j];
    }
    ck_assert_int_eq(linalg_row_basis(M, N, A, 1e-10, basis, &rank, NULL), SAE_OK);
    ck_assert_int_eq(rank, 2);
    ck_assert(row_orthonormality_error(rank, N, basis) < 1e-12);
    for (int i = 0; i < M; i++) {
        double inside = 0, all = 0;
        for (int b = 0; b < rank; b++) {
            double dot = 0;
            for (int j = 0; j < N; j++) dot += basis[b * N + j] * A[i * N + j];
            inside += dot * dot;
        }
        for (int j = 0; j < N; j++) all += A[i * N + j] * A[i * N + j];
        ck_assert(fabs(inside - all) < 1e-10 * all);
    }
    memset(A, 0, M * N * sizeof *A);
    ck_assert_int_eq(linalg_row_basis(M, N, A, 1e-10, basis, &rank, NULL), SAE_OK);
    ck_assert_int_eq(rank, 0);
    mem_free(pair), mem_free(A), mem_free(basis);
}
END_TEST

START_TEST(test_bad_input)
{
    double A[4] = {1, 2, 3, NAN}, values[2], V[4];
    sae_error err = {0};

    ck_assert_int_eq(linalg_eigh(2, A, values, V, &err), SAE_NUMERIC);
    ck_assert_ptr_nonnull(strstr(err.message, "row 1, column 1"));
    ck_assert_int_eq(linalg_eigh(0, A, values, V, NULL), SAE_RANGE);
    ck_assert_int_eq(linalg_svd(INT64_C(1) << 40, 2, A, NULL, values, NULL, NULL), SAE_RANGE);
}
END_TEST

START_TEST(test_no_memory)
{
    double A[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13}, basis[12];
    int64_t rank = -1, nth = 0;
    sae_status status;

    do {
        mem_fail_nth(++nth);
        status = linalg_row_basis(3, 4, A, 1e-9, basis, &rank, NULL);
        mem_fail_nth(0);
        ck_assert(status == SAE_OK || status == SAE_NOMEM);
        ck_assert_uint_eq(mem_in_use(), 0);
    } while (status != SAE_OK);
    ck_assert_int_gt(nth, 4);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("linalg");
    TCase *tests = tcase_create("linalg");
    SRunner *runner = srunner_create(suite);

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, test_eigenvectors, 0, 5);
    tcase_add_test(tests, test_eigenvalues);
    tcase_add_loop_test(tests, test_svd, 0, 25);
    tcase_add_test(tests, test_row_basis);
    tcase_add_test(tests, test_bad_input);
    tcase_add_test(tests, test_no_memory);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
