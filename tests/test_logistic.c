/* test_logistic.c - logistic regression beside scikit-learn's, and the laws of its optimum. */
#include "eval/logistic.h"
#include "io/io.h"
#include "kernels/linalg.h"

#include "expect.h"
#include <math.h>
#include <string.h>

#define OK(expression)                                                                                                 \
    do {                                                                                                               \
        sae_error err = {0};                                                                                           \
        sae_status status_ = (expression);                                                                             \
        ck_assert_msg(status_ == SAE_OK, "%s: %s", sae_status_name(status_), err.message);                             \
    } while (0)

/* ---- scikit-learn ---------------------------------------------------------------------------------------------------------- */

static const char *const problems[] = {"few", "separable", "sparse", "far", "weak", "four", "many", "sparse3"};
enum { PROBLEMS = sizeof problems / sizeof *problems };

static const tensor *part(const safetensors *st, const char *name, const char *what)
{
    char key[64];

    snprintf(key, sizeof key, "%s.%s", name, what);
    const tensor *t = safetensors_find(st, key);
    ck_assert_msg(t != NULL, "%s", key);
    return t;
}

/* Each optimum, by the size of its column: what a weight contributes to a margin. */
START_TEST(test_scikit_learn)
{
    safetensors *st;
    const char *name = problems[_i];
    logistic m;

    OK(safetensors_open(&st, "data/golden/logistic/golden.safetensors", &err));
    const tensor *x = part(st, name, "x"), *w = part(st, name, "w");
    int64_t n = x->shape[0], p = x->shape[1], outputs = w->shape[0];
    const double *want_w = (const double *)w->data, *want_b = (const double *)part(st, name, "b")->data;
    logistic_options o = {.C = *(const double *)part(st, name, "C")->data, .tolerance = 1e-12};
    OK(logistic_fit(&m, (const float *)x->data, (const int32_t *)part(st, name, "y")->data, n, p,
                    outputs == 1 ? 2 : (int)outputs, &o, &err));
    ck_assert_int_eq(m.n_outputs, outputs);
    for (int64_t k = 0; k < outputs; k++) {
        for (int64_t j = 0; j < p; j++) {
            double size = 0;
            for (int64_t i = 0; i < n; i++) size += fabs((double)((const float *)x->data)[i * p + j]) / (double)n;
            EXPECT_WITHIN(size * fabs(m.W[k * (p + 1) + j] - want_w[k * p + j]), 1e-9, /* observed 6e-12 */
                          "%s: weight %lld of output %lld is %.12g, scikit-learn's %.12g", name, (long long)j,
                          (long long)k, m.W[k * (p + 1) + j], want_w[k * p + j]);
        }
        EXPECT_WITHIN(fabs(m.W[k * (p + 1) + p] - want_b[k]), 1e-9, /* observed 2e-11 */
                      "%s: intercept %lld is %.12g, not %.12g", name, (long long)k, m.W[k * (p + 1) + p], want_b[k]);
    }
    /* Where it begins changes nothing. */
    const int32_t *y = (const int32_t *)part(st, name, "y")->data;
    logistic other, again;
    logistic_options weak = o, from = o;
    weak.C /= 10;
    OK(logistic_fit(&other, (const float *)x->data, y, n, p, m.n_classes, &weak, &err));
    from.start = other.W;
    OK(logistic_fit(&again, (const float *)x->data, y, n, p, m.n_classes, &from, &err));
    for (int64_t j = 0; j < outputs * (p + 1); j++)
        EXPECT_WITHIN(fabs(again.W[j] - m.W[j]), 1e-9 * (1 + fabs(m.W[j])), /* observed 1e-11 */
                      "%s: number %lld is %.12g from another start, not %.12g", name, (long long)j, again.W[j], m.W[j]);
    logistic_free(&again);
    logistic_free(&other);
    logistic_free(&m);
    safetensors_close(st);
}
END_TEST

/* ---- Laws -------------------------------------------------------------------------------------------------------------------- */

typedef struct toy {
    int64_t n, p;
    int classes;
    float *x;
    int32_t *y;
} toy;

static toy toy_create(int64_t n, int64_t p, int classes, uint64_t seed)
{
    toy t = {n, p, classes, calloc((size_t)(n * p), sizeof(float)), calloc((size_t)n, sizeof(int32_t))};
    rng r = rng_seed(seed, 0);

    for (int64_t i = 0; i < n; i++) {
        t.y[i] = (int32_t)(i % classes);
        for (int64_t j = 0; j < p; j++)
            t.x[i * p + j] = (float)((1 + (double)(j % 7)) * (rng_normal(&r) + (j % classes == t.y[i])));
    }
    return t;
}

static void toy_free(toy *t)
{
    free(t->x);
    free(t->y);
}

/* The objective as its definition has it. */
static double objective(const toy *t, const double *W, double C)
{
    int64_t p1 = t->p + 1;
    int outputs = t->classes == 2 ? 1 : t->classes;
    double sum = 0;

    for (int64_t i = 0; i < t->n; i++) {
        double z[16] = {0}, total = 0;
        for (int k = 0; k < outputs; k++) {
            z[k] = W[k * p1 + t->p];
            for (int64_t j = 0; j < t->p; j++) z[k] += W[k * p1 + j] * (double)t->x[i * t->p + j];
        }
        if (outputs == 1) {
            sum += C * log(1 + exp(t->y[i] ? -z[0] : z[0]));
            continue;
        }
        for (int k = 0; k < outputs; k++) total += exp(z[k] - z[t->y[i]]);
        sum += C * log(total);
    }
    for (int k = 0; k < outputs; k++)
        for (int64_t j = 0; j < t->p; j++) sum += W[k * p1 + j] * W[k * p1 + j] / 2;
    return sum;
}

/* At the optimum the objective's slope is 0 in every direction, by central differences of the definition. */
START_TEST(test_stationary)
{
    static const int classes[] = {2, 3, 5};
    toy t = toy_create(90, 6, classes[_i], 3);
    logistic m;

    OK(logistic_fit(&m, t.x, t.y, t.n, t.p, t.classes, NULL, &err));
    ck_assert_double_le(m.gradient, 1e-8);
    double best = objective(&t, m.W, 1);
    for (int64_t j = 0; j < m.n_outputs * (t.p + 1); j++) {
        double at = m.W[j], up, down;
        m.W[j] = at + 1e-4;
        up = objective(&t, m.W, 1);
        m.W[j] = at - 1e-4;
        down = objective(&t, m.W, 1);
        m.W[j] = at;
        EXPECT_WITHIN(fabs(up - down) / 2e-4, 1e-4, "slope %g along weight %lld", (up - down) / 2e-4,
                      (long long)j); /* observed 5.5e-6 */
        EXPECT(up > best && down > best, "weight %lld is not at its minimum", (long long)j);
    }
    logistic_free(&m);
    toy_free(&t);
}
END_TEST

/* Newton's method and L-BFGS on the same problem of two classes; two classes and their softmax at half the penalty. */
START_TEST(test_methods_agree)
{
    toy t = toy_create(200, 12, 2, 9);
    double W[2][13] = {{0}}, margin[200], residual[200], curvature[200], size[13], slope, *x;
    int iterations;
    logistic_problem q = {.n = 200, .p1 = 13, .n_outputs = 1, .C = 1, .tolerance = 1e-12, .max_iterations = 500};

    x = malloc(200 * 13 * sizeof *x);
    for (int i = 0; i < 200; i++)
        for (int j = 0; j < 13; j++) x[i * 13 + j] = j < 12 ? (double)t.x[i * 12 + j] : 1;
    for (int j = 0; j < 13; j++) size[j] = 200;
    q.x = x, q.y = t.y, q.size = size, q.margin = margin, q.residual = residual, q.curvature = curvature;
    OK(logistic_newton(&q, W[0], &iterations, &slope, &err));
    ck_assert_int_le(iterations, 12);
    OK(logistic_lbfgs(&q, W[1], &iterations, &slope, &err));
    for (int j = 0; j < 13; j++) EXPECT_WITHIN(fabs(W[0][j] - W[1][j]), 1e-9, "weight %d", j); /* observed 1.3e-11 */
    free(x);
    toy_free(&t);
}
END_TEST

/* Rows in another order, columns in another order, classes under other numbers: the same optimum. */
START_TEST(test_permutations)
{
    toy t = toy_create(120, 5, 3, 21), u = toy_create(120, 5, 3, 21);
    int64_t order[120], column[5] = {3, 0, 4, 1, 2};
    int32_t class[3] = {2, 0, 1};
    logistic m, o;
    rng r = rng_seed(1, 0);

    for (int i = 0; i < 120; i++) order[i] = i;
    rng_shuffle(&r, order, 120);
    for (int i = 0; i < 120; i++) {
        u.y[i] = class[t.y[order[i]]];
        for (int j = 0; j < 5; j++) u.x[i * 5 + j] = t.x[order[i] * 5 + column[j]];
    }
    OK(logistic_fit(&m, t.x, t.y, t.n, t.p, 3, NULL, &err));
    OK(logistic_fit(&o, u.x, u.y, u.n, u.p, 3, NULL, &err));
    for (int k = 0; k < 3; k++)
        for (int j = 0; j < 6; j++)
            EXPECT_WITHIN(fabs(o.W[class[k] * 6 + j] - m.W[k * 6 + (j < 5 ? column[j] : 5)]), 1e-8, /* observed 2e-16 */
                          "class %d, column %d", k, j);
    logistic_free(&o);
    logistic_free(&m);
    toy_free(&t);
    toy_free(&u);
}
END_TEST

/* A column that says nothing gets no weight, one that is 0 throughout exactly none; all else stays. */
START_TEST(test_dead_column)
{
    toy t = toy_create(80, 4, 2, 5);
    logistic with, without;
    float *narrow = malloc(80 * 3 * sizeof *narrow);

    for (int i = 0; i < 80; i++) {
        t.x[i * 4 + 1] = 0;
        narrow[i * 3] = t.x[i * 4];
        narrow[i * 3 + 1] = t.x[i * 4 + 2];
        narrow[i * 3 + 2] = t.x[i * 4 + 3];
    }
    OK(logistic_fit(&with, t.x, t.y, 80, 4, 2, NULL, &err));
    OK(logistic_fit(&without, narrow, t.y, 80, 3, 2, NULL, &err));
    ck_assert_double_eq(with.W[1], 0);
    ck_assert_double_eq_tol(with.W[0], without.W[0], 1e-8);
    ck_assert_double_eq_tol(with.W[4], without.W[3], 1e-8);
    free(narrow);
    logistic_free(&with);
    logistic_free(&without);
    toy_free(&t);
}
END_TEST

/* Far from the origin, nearly separable, more columns than rows, a huge C: the gradient is 0 there too, and predictions are the
 * margins'. */
START_TEST(test_hard_problems)
{
    static const struct {
        int64_t n, p;
        int classes;
        double scale, shift, C;
    } hard[] = {{300, 40, 2, 1000, 5000, 1}, {300, 40, 6, 100, 1000, 1}, {50, 200, 2, 100, 0, 1},
                {60, 100, 4, 1, 0, 1000},    {100, 3, 2, 1e-6, 0, 1},    {60, 1100, 2, 1, 0, 1}};
    toy t = toy_create(hard[_i].n, hard[_i].p, hard[_i].classes, 77);
    logistic_options o = {.C = hard[_i].C};
    logistic m;
    int32_t *got = malloc((size_t)t.n * sizeof *got);
    double *margin = malloc((size_t)t.n * 6 * sizeof *margin);

    for (int64_t i = 0; i < t.n * t.p; i++) t.x[i] = (float)(hard[_i].scale * (double)t.x[i] + hard[_i].shift);
    OK(logistic_fit(&m, t.x, t.y, t.n, t.p, t.classes, &o, &err));
    EXPECT(m.gradient <= 1e-8, "gradient %g after %d iterations", m.gradient, m.iterations);
    logistic_predict(&m, t.x, t.n, got);
    logistic_margins(&m, t.x, t.n, margin);
    for (int64_t i = 0; i < t.n; i++)
        for (int k = 0; k < m.n_outputs; k++)
            EXPECT(m.n_outputs == 1 ? got[i] == (margin[i] > 0)
                                    : margin[i * m.n_outputs + got[i]] >= margin[i * m.n_outputs + k],
                   "row %lld", (long long)i);
    free(got);
    free(margin);
    logistic_free(&m);
    toy_free(&t);
}
END_TEST

START_TEST(test_refused)
{
    toy t = toy_create(20, 2, 2, 1);
    logistic m;

    t.x[7] = INFINITY;
    ck_assert_int_eq(logistic_fit(&m, t.x, t.y, 20, 2, 2, NULL, NULL), SAE_RANGE);
    t.x[7] = 0;
    ck_assert_int_eq(logistic_fit(&m, t.x, t.y, 20, 2, 3, NULL, NULL), SAE_RANGE); /* class 2 has no row */
    t.y[3] = 2;
    ck_assert_int_eq(logistic_fit(&m, t.x, t.y, 20, 2, 2, NULL, NULL), SAE_RANGE);
    toy_free(&t);
}
END_TEST

/* ---- The products it is made of ------------------------------------------------------------------------------------------------ */

START_TEST(test_products)
{
    enum { M = 7, N = 4, K = 5 };
    double a[M * K], b[N * K], c[M * N], gram[K * K], turned[K * K];
    rng r = rng_seed(4, 0);

    for (int i = 0; i < M * K; i++) a[i] = rng_normal(&r);
    for (int i = 0; i < N * K; i++) b[i] = rng_normal(&r);
    linalg_product_nt(M, N, K, a, b, c);
    linalg_gram(M, K, a, gram);
    linalg_product_tn(K, K, M, a, a, turned);
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) {
            double sum = 0;
            for (int k = 0; k < K; k++) sum += a[i * K + k] * b[j * K + k];
            EXPECT_WITHIN(fabs(sum - c[i * N + j]), 1e-13, "product"); /* observed 0 */
        }
    for (int i = 0; i < K * K; i++) EXPECT_WITHIN(fabs(gram[i] - turned[i]), 1e-13, "gram"); /* observed 2e-16 */
    memcpy(turned, gram, sizeof gram);
    OK(linalg_cholesky(K, turned, &err));
    memcpy(c, a, 2 * K * sizeof *a);
    linalg_cholesky_solve(K, turned, 2, c);
    for (int row = 0; row < 2; row++)
        for (int i = 0; i < K; i++) {
            double sum = 0;
            for (int k = 0; k < K; k++) sum += gram[i * K + k] * c[row * K + k];
            EXPECT_WITHIN(fabs(sum - a[row * K + i]), 1e-10, "solve"); /* observed 9e-16 */
        }
    gram[0] = -1;
    ck_assert_int_eq(linalg_cholesky(K, gram, NULL), SAE_NUMERIC);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("logistic");
    TCase *tcase = tcase_create("logistic");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, test_scikit_learn, 0, PROBLEMS);
    tcase_add_loop_test(tcase, test_stationary, 0, 3);
    tcase_add_test(tcase, test_methods_agree);
    tcase_add_test(tcase, test_permutations);
    tcase_add_test(tcase, test_dead_column);
    tcase_add_loop_test(tcase, test_hard_problems, 0, 6);
    tcase_add_test(tcase, test_refused);
    tcase_add_test(tcase, test_products);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
