/*
 * test_kernels_model.c - every fast op of model_ops.h against its reference, at awkward sizes, at odd addresses, between
 * guard values; the reference against numbers worked out otherwise.
 * EVERY_ISA
 */
#include "kernels/model_ops.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int64_t sizes[] = {1, 7, 8, 15, 16, 17, 31, 33, 63, 65, 127, 768, 2500};
enum { N_SIZE = sizeof sizes / sizeof *sizes, MOST = 2500, GUARD = 16, ROOM = 2 * MOST + 2 * GUARD };
static const float guard_value = -12345.5F;

/* Room for values with guards on both sides; `shift` makes the address odd (in floats). */
typedef struct guarded {
    float room[ROOM];
    float *x;
    int64_t n;
} guarded;

static void guarded_begin(guarded *g, int64_t n, int64_t shift)
{
    for (int i = 0; i < ROOM; i++) g->room[i] = guard_value;
    g->x = g->room + GUARD / 2 + shift;
    g->n = n;
}

static void guarded_check(const guarded *g, const char *op)
{
    for (int i = 0; i < ROOM; i++) {
        const float *at = g->room + i;
        if (at < g->x || at >= g->x + g->n)
            ck_assert_msg(*at == guard_value, "%s, n %ld: wrote at %ld", op, (long)g->n, (long)(at - g->x));
    }
}

/* Of both tables a run; `out` is compared. Inputs: x, y, z hold 2 n values each. */
typedef struct op_case {
    const char *name;
    void (*run)(const model_ops *ops, int64_t n, const float *x, const float *y, const float *z, float *out);
    size_t member; /* offset of the op in the table */
    double bound;  /* of |fast - reference| over the largest entry */
    double spread; /* inputs are normal with this deviation */
} op_case;

static void rms_norm(const model_ops *ops, int64_t n, const float *x, const float *y, const float *z, float *out)
{
    (void)z;
    ops->rms_norm(n, x, y, 1e-5F, out);
}
static void layer_norm(const model_ops *ops, int64_t n, const float *x, const float *y, const float *z, float *out)
{
    ops->layer_norm(n, x, y, z, 1e-5F, out);
}
static void layer_norm_plain(const model_ops *ops, int64_t n, const float *x, const float *y, const float *z,
                             float *out)
{
    (void)z;
    ops->layer_norm(n, x, y, NULL, 1e-5F, out);
}
static void rotary(const model_ops *ops, int64_t n, const float *x, const float *y, const float *z, float *out)
{
    memcpy(out, x, (size_t)n * sizeof *x);
    ops->rotary(n / 2, out, y, z);
}
static void softmax(const model_ops *ops, int64_t n, const float *x, const float *y, const float *z, float *out)
{
    (void)y, (void)z;
    memcpy(out, x, (size_t)n * sizeof *x);
    ops->softmax(n, n, 0.7F, out);
}
static void softmax_part(const model_ops *ops, int64_t n, const float *x, const float *y, const float *z, float *out)
{
    (void)y, (void)z;
    memcpy(out, x, (size_t)n * sizeof *x);
    ops->softmax(1 + n / 3, n, 1.3F, out);
}
static void silu(const model_ops *ops, int64_t n, const float *x, const float *y, const float *z, float *out)
{
    (void)z;
    ops->silu(n, x, y, out);
}
static void silu_plain(const model_ops *ops, int64_t n, const float *x, const float *y, const float *z, float *out)
{
    (void)y, (void)z;
    ops->silu(n, x, NULL, out);
}
static void silu_in_place(const model_ops *ops, int64_t n, const float *x, const float *y, const float *z, float *out)
{
    (void)z;
    memcpy(out, x, (size_t)n * sizeof *x);
    ops->silu(n, out, y, out);
}
static void gelu(const model_ops *ops, int64_t n, const float *x, const float *y, const float *z, float *out)
{
    (void)z;
    ops->gelu(n, x, y, out);
}
static void gelu_tanh(const model_ops *ops, int64_t n, const float *x, const float *y, const float *z, float *out)
{
    (void)z;
    ops->gelu_tanh(n, x, y, out);
}
static void gelu_tanh_plain(const model_ops *ops, int64_t n, const float *x, const float *y, const float *z, float *out)
{
    (void)y, (void)z;
    ops->gelu_tanh(n, x, NULL, out);
}
static void add(const model_ops *ops, int64_t n, const float *x, const float *y, const float *z, float *out)
{
    (void)z;
    memcpy(out, x, (size_t)n * sizeof *x);
    ops->add(n, y, out);
}
/* In two parts, so that the running maximum moves. */
static void log_sum_exp(const model_ops *ops, int64_t n, const float *x, const float *y, const float *z, float *out)
{
    double max = -INFINITY, sum = 0;

    (void)y, (void)z;
    for (int64_t i = 0; i < n; i++) out[i] = 0;
    if (n > 1) ops->log_sum_exp(n / 2, x, &max, &sum);
    ops->log_sum_exp(n - n / 2, x + n / 2, &max, &sum);
    out[0] = (float)(max + log(sum));
}

#define OP(member_name) offsetof(model_ops, member_name)
static const op_case cases[] = {
    /* Name, run, member, bound, spread. Observed errors are 1e-7 to 3e-7; softmax 6e-7, of large scores 1e-6; gelu_tanh, large
     * 7.4e-7, at a lone value far out, where e^-2u magnifies the rounding of u. */
    {"rms_norm", rms_norm, OP(rms_norm), 1e-6, 3},
    {"layer_norm", layer_norm, OP(layer_norm), 1e-6, 3},
    {"layer_norm, no bias", layer_norm_plain, OP(layer_norm), 1e-6, 3},
    {"rotary", rotary, OP(rotary), 5e-7, 1},
    {"softmax", softmax, OP(softmax), 2e-6, 5},
    {"softmax of a part", softmax_part, OP(softmax), 2e-6, 5},
    {"softmax of large scores", softmax, OP(softmax), 4e-6, 60},
    {"silu", silu, OP(silu), 5e-7, 4},
    {"silu, large", silu, OP(silu), 5e-7, 100},
    {"silu alone", silu_plain, OP(silu), 5e-7, 4},
    {"silu in place", silu_in_place, OP(silu), 5e-7, 4},
    {"gelu", gelu, OP(gelu), 5e-7, 2},
    {"gelu_tanh", gelu_tanh, OP(gelu_tanh), 5e-7, 2},
    {"gelu_tanh, large", gelu_tanh, OP(gelu_tanh), 2e-6, 100},
    {"gelu_tanh alone", gelu_tanh_plain, OP(gelu_tanh), 5e-7, 2},
    {"add", add, OP(add), 0, 3},
    {"log_sum_exp", log_sum_exp, OP(log_sum_exp), 5e-7, 5},
    {"log_sum_exp, large", log_sum_exp, OP(log_sum_exp), 5e-7, 200},
};
enum { N_CASE = sizeof cases / sizeof *cases };

static bool has_op(const model_ops *ops, const op_case *c)
{
    void (*fn)(void) = NULL;

    memcpy(&fn, (const char *)ops + c->member, sizeof fn);
    return fn != NULL;
}

/* Worst error of a table over sizes and shifts. */
static double worst_error(const model_ops *ops, const op_case *c)
{
    static float x[2 * MOST], y[2 * MOST], z[2 * MOST], expected[2 * MOST];
    static guarded out;
    rng r = rng_seed(11, (uint64_t)(c - cases));
    double worst = 0;

    for (int s = 0; s < N_SIZE; s++)
        for (int64_t shift = 0; shift < 3; shift++) {
            int64_t n = sizes[s];
            double largest = 0;
            for (int64_t i = 0; i < n + shift; i++) {
                x[i] = (float)(c->spread * rng_normal(&r));
                y[i] = (float)rng_normal(&r), z[i] = (float)rng_normal(&r);
            }
            guarded_begin(&out, n, shift);
            memset(expected, 0, sizeof expected);
            c->run(ops, n, x + shift, y + shift, z + shift, out.x);
            c->run(&model_ops_ref, n, x + shift, y + shift, z + shift, expected);
            guarded_check(&out, c->name);
            for (int64_t i = 0; i < n; i++) largest = fmax(largest, fabs((double)expected[i]));
            for (int64_t i = 0; i < n; i++) {
                ck_assert_msg(isfinite(out.x[i]), "%s, n %ld: %g at %ld", c->name, (long)n, (double)out.x[i], (long)i);
                double e = fabs((double)out.x[i] - (double)expected[i]);
                if (largest > 0) worst = fmax(worst, e / largest);
            }
        }
    return worst;
}

START_TEST(test_fast_equals_reference)
{
    const op_case *c = &cases[_i];

    const struct {
        cpu_isa isa;
        const model_ops *ops;
    } tables[] = {{ISA_AVX2, &model_ops_avx2}, {ISA_AVX512, &model_ops_avx512}};

    ck_assert(has_op(&model_ops_ref, c));
    for (int i = 0; i < 2; i++) {
        if (cpu_isa_get() < tables[i].isa || !has_op(tables[i].ops, c)) continue;
        double e = worst_error(tables[i].ops, c);
        ck_assert_msg(e <= c->bound, "%s, %s: error %g, bound %g", c->name, cpu_isa_name(tables[i].isa), e, c->bound);
    }
}
END_TEST

START_TEST(test_chosen_table_is_complete)
{
    for (int i = 0; i < N_CASE; i++) ck_assert_msg(has_op(model_ops_get(), &cases[i]), "%s", cases[i].name);
}
END_TEST

static void close_to(double found, double expected)
{
    ck_assert_msg(fabs(found - expected) < 1e-6, "%.9g instead of %.9g", found, expected);
}

/* Values from Python's math module, to seven digits. */
START_TEST(test_reference_values)
{
    const model_ops *ops = _i ? model_ops_get() : &model_ops_ref;
    const float x[] = {-2, -0.5F, 0, 1, 3}, ones[] = {1, 1, 1, 1, 1}, half[] = {0.5F, 0.5F, 0.5F, 0.5F, 0.5F};
    float out[5];
    double max = -INFINITY, sum = 0;

    ops->silu(5, x, NULL, out);
    close_to(out[0], -0.2384058), close_to(out[1], -0.1887703), close_to(out[3], 0.7310586),
        close_to(out[4], 2.8577224);
    ops->gelu(5, x, NULL, out);
    close_to(out[0], -0.0455003), close_to(out[1], -0.1542688), close_to(out[3], 0.8413447),
        close_to(out[4], 2.9959503);
    ops->gelu_tanh(5, x, NULL, out);
    close_to(out[0], -0.0454023), close_to(out[1], -0.1542860), close_to(out[3], 0.8411920),
        close_to(out[4], 2.9963627);
    ops->rms_norm(5, x, ones, 0, out); /* mean square 14.25 / 5 */
    close_to(out[4], 3 / sqrt(2.85));
    ops->layer_norm(5, x, ones, half, 0, out); /* mean 0.3, variance 2.76 */
    close_to(out[4], 2.7 / sqrt(2.76) + 0.5);
    ops->log_sum_exp(5, x, &max, &sum);
    close_to(max + log(sum), 3.2005361);
}
END_TEST

/* ---- Attention ------------------------------------------------------------------------------------------------------------------- */

typedef struct attention_case {
    int64_t n_seq, n_ctx, n_head, n_kv_head, d_head, pad;
} attention_case;

static const attention_case attention_cases[] = {
    {1, 1, 1, 1, 1, 0},  {2, 7, 2, 1, 8, 0},    {1, 63, 3, 3, 17, 5},  {1, 64, 4, 2, 16, 0},
    {3, 65, 6, 2, 7, 3}, {1, 129, 2, 2, 64, 0}, {2, 200, 9, 3, 32, 1},
};
enum { N_ATTENTION = sizeof attention_cases / sizeof *attention_cases };

START_TEST(test_attention)
{
    const attention_case *c = &attention_cases[_i];
    int64_t rows = c->n_seq * c->n_ctx, width = (c->n_head + 2 * c->n_kv_head) * c->d_head + c->pad;
    int64_t out_width = c->n_head * c->d_head;
    float *qkv = mem_alloc((size_t)(rows * width) * sizeof *qkv, "q, k and v", NULL);
    float *out = mem_alloc((size_t)(rows * out_width + 1) * sizeof *out, "out", NULL);
    float *expected = mem_alloc((size_t)(rows * out_width) * sizeof *expected, "out", NULL);
    size_t n_scratch = attention_scratch(c->n_ctx);
    float *scratch = mem_alloc((n_scratch + 1) * sizeof *scratch, "scratch", NULL);
    rng r = rng_seed(5, (uint64_t)_i);
    double worst = 0;

    for (int64_t i = 0; i < rows * width; i++) qkv[i] = (float)(2 * rng_normal(&r));
    out[rows * out_width] = scratch[n_scratch] = guard_value;
    attention a = {c->n_seq, c->n_ctx, c->n_head, c->n_kv_head, c->d_head, 1 / sqrtf((float)c->d_head)};
    a.q = qkv, a.k = qkv + c->n_head * c->d_head, a.v = a.k + c->n_kv_head * c->d_head, a.stride = width, a.out = out;
    attention_run(&a, scratch);
    a.out = expected;
    attention_ref(&a);
    for (int64_t i = 0; i < rows * out_width; i++) worst = fmax(worst, fabs((double)out[i] - (double)expected[i]));
    ck_assert_msg(worst < 2e-5, "error %g", worst); /* observed 8.2e-6; values are of size 2, scores of size 30 */
    ck_assert(out[rows * out_width] == guard_value && scratch[n_scratch] == guard_value);
    mem_free(qkv), mem_free(out), mem_free(expected), mem_free(scratch);
}
END_TEST

/* With equal scores everywhere, token t gets the mean of values 0 to t: the oracle itself. */
START_TEST(test_attention_by_hand)
{
    float qkv[3 * 3] = {0, 1, 3, 0, 2, 6, 0, 3, 0}, out[3];
    attention a = {1, 3, 1, 1, 1, 1, qkv, qkv + 1, qkv + 2, 3, out};

    attention_ref(&a);
    close_to(out[0], 3), close_to(out[1], 4.5), close_to(out[2], 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kernels of the model");
    TCase *tests = tcase_create("ops");
    SRunner *runner = srunner_create(suite);

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, test_fast_equals_reference, 0, N_CASE);
    tcase_add_test(tests, test_chosen_table_is_complete);
    tcase_add_loop_test(tests, test_reference_values, 0, 2);
    tcase_add_loop_test(tests, test_attention, 0, N_ATTENTION);
    tcase_add_test(tests, test_attention_by_hand);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
