/*
 * test_model.c - the forward pass against transformers, and by laws that need no oracle. EVERY_ISA: the goldens hold under
 * each instruction set, so the sets agree with each other.
 */
#include "sae.h"

#include "base/base.h"
#include "io/io.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const folders[] = {"data/golden/models/gpt2", "data/golden/models/llama_gqa_tied",
                                      "data/golden/models/llama_bf16_sharded"};
enum { N_FOLDER = 3, MAX_LAYERS = 32 };

static sae_error err;

static void succeed(sae_status status)
{
    ck_assert_msg(status == SAE_OK, "%s: %s", sae_status_name(status), err.message);
}

static void *take(size_t n, size_t size)
{
    void *block = calloc(n + 1, size);

    ck_assert_ptr_nonnull(block);
    return block;
}

static sae_model *open_model(const char *path, int expand)
{
    sae_model *m = NULL;
    sae_model_options options = {.expand = expand};

    succeed(sae_model_open(&m, path, &options, &err));
    return m;
}

/* ---- A run with all that it can give -------------------------------------------------------------------------------------------- */

typedef struct golden {
    safetensors *st;
    int32_t *ids;
    int64_t n_seq, n_ctx;
} golden;

static float *read_floats(const safetensors *st, const char *name, int64_t *n)
{
    const tensor *t = safetensors_find(st, name);

    ck_assert_msg(t && t->type == DTYPE_F32, "no f32 tensor %s", name);
    *n = tensor_count(t);
    float *x = take((size_t)*n, sizeof *x);
    memcpy(x, t->data, t->bytes);
    return x;
}

static golden open_golden(const char *path, const char *ids_name)
{
    golden g = {0};

    succeed(safetensors_open(&g.st, path, &err));
    const tensor *t = safetensors_find(g.st, ids_name);
    ck_assert(t && t->type == DTYPE_I32);
    g.n_ctx = t->shape[t->rank - 1];
    g.n_seq = tensor_count(t) / g.n_ctx;
    g.ids = take((size_t)(g.n_seq * g.n_ctx), sizeof *g.ids);
    memcpy(g.ids, t->data, t->bytes);
    return g;
}

static void close_golden(golden *g)
{
    safetensors_close(g->st);
    free(g->ids);
}

static golden folder_golden(int folder)
{
    char path[256];

    snprintf(path, sizeof path, "%s/golden.safetensors", folders[folder]);
    return open_golden(path, "input_ids");
}

static sae_status copy_rows(void *user, float *rows, int64_t n_rows, int64_t d_model, sae_error *e)
{
    (void)e;
    memcpy(user, rows, (size_t)(n_rows * d_model) * sizeof *rows);
    return SAE_OK;
}

/* hidden[l]: the residual stream before block l, hidden[n_layer]: after the last. */
typedef struct outcome {
    int64_t n, d, vocab, n_layer, n_nll;
    float *hidden[MAX_LAYERS + 1], *logits, *nll;
} outcome;

static outcome run_all(sae_model *m, const golden *g)
{
    const sae_model_info *info = sae_model_get_info(m);
    outcome o = {g->n_seq * g->n_ctx, info->d_model, info->n_vocab, info->n_layer, g->n_seq * (g->n_ctx - 1)};
    sae_tap taps[MAX_LAYERS + 1];

    for (int l = 0; l <= o.n_layer; l++) {
        o.hidden[l] = take((size_t)(o.n * o.d), sizeof(float));
        taps[l] = (sae_tap){{l ? l - 1 : 0, l ? SAE_RESID_POST : SAE_RESID_PRE}, copy_rows, o.hidden[l]};
    }
    o.logits = take((size_t)(o.n * o.vocab), sizeof(float));
    o.nll = take((size_t)o.n_nll, sizeof(float));
    succeed(sae_model_run(m,
                          &(sae_run){.ids = g->ids,
                                     .n_seq = g->n_seq,
                                     .n_ctx = g->n_ctx,
                                     .taps = taps,
                                     .n_taps = (int)o.n_layer + 1,
                                     .logits = o.logits,
                                     .nll = o.nll},
                          &err));
    return o;
}

static void free_outcome(outcome *o)
{
    for (int l = 0; l <= o->n_layer; l++) free(o->hidden[l]);
    free(o->logits), free(o->nll);
}

/* Worst |a - b| over the largest |b| of its row. */
static double row_error(const float *a, const float *b, int64_t n, int64_t d)
{
    double worst = 0;

    for (int64_t i = 0; i < n; i++) {
        double error = 0, largest = 0;
        for (int64_t j = 0; j < d; j++) {
            ck_assert(!isnan(a[i * d + j]));
            error = fmax(error, fabs((double)a[i * d + j] - (double)b[i * d + j]));
            largest = fmax(largest, fabs((double)b[i * d + j]));
        }
        worst = fmax(worst, error / largest);
    }
    return worst;
}

static double largest_difference(const float *a, const float *b, int64_t n)
{
    double worst = 0;

    for (int64_t i = 0; i < n; i++) worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
    return worst;
}

static bool same_bits(const float *a, const float *b, int64_t n) { return memcmp(a, b, (size_t)n * sizeof *a) == 0; }

/* ---- Against transformers ---------------------------------------------------------------------------------------------------------- */

/* A folder whose config.json is the other's config_legacy.json. */
static void make_legacy(const char *folder, char *path)
{
    char **names = NULL, from[1024], to[1024], *here = realpath(folder, NULL);
    int n = 0;

    strcpy(path, "/tmp/sae_test_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(path));
    succeed(folder_list(folder, &names, &n, &err));
    for (int i = 0; i < n; i++) {
        bool legacy = strcmp(names[i], "config_legacy.json") == 0;
        if (strcmp(names[i], "config.json") == 0) continue;
        snprintf(from, sizeof from, "%s/%s", here, names[i]);
        snprintf(to, sizeof to, "%s/%s", path, legacy ? "config.json" : names[i]);
        ck_assert_int_eq(symlink(from, to), 0);
    }
    folder_list_free(names, n);
    free(here);
}

static void check_golden(sae_model *m, const golden *g)
{
    outcome o = run_all(m, g);
    int64_t n = 0;
    char name[32];

    for (int l = 0; l <= o.n_layer; l++) {
        snprintf(name, sizeof name, "hidden_%d", l);
        float *expected = read_floats(g->st, name, &n);
        ck_assert_int_eq(n, o.n * o.d);
        double e = row_error(o.hidden[l], expected, o.n, o.d);
        ck_assert_msg(e < 1e-5, "%s: error %g", name, e); /* observed 1.5e-6 */
        free(expected);
    }
    float *logits = read_floats(g->st, "logits", &n), *nll = read_floats(g->st, "nll", &n);
    double e = row_error(o.logits, logits, o.n, o.vocab), f = largest_difference(o.nll, nll, n);
    ck_assert_msg(e < 1e-5, "logits: error %g", e); /* observed 1.6e-6 */
    ck_assert_msg(f < 5e-5, "nll: error %g", f);    /* observed 7.6e-6; losses are up to 20 */
    free(logits), free(nll);
    free_outcome(&o);
}

START_TEST(test_tiny_models)
{
    int folder = _i / 4, expand = 1 + _i % 2;
    bool legacy = _i / 2 % 2;
    char path[64] = "";
    golden g = folder_golden(folder);

    if (legacy) make_legacy(folders[folder], path);
    sae_model *m = open_model(legacy ? path : folders[folder], expand);
    check_golden(m, &g);
    sae_model_free(m);
    close_golden(&g);
    if (legacy) succeed(folder_remove(path, &err));
    ck_assert_uint_eq(mem_in_use(), 0);
}
END_TEST

static const char *smollm2_path(void)
{
    const char *path = getenv("SAE_SMOLLM2");

    if (!path || !*path) path = "models/SmolLM2-135M-Instruct.Q4_1.gguf";
    return access(path, R_OK) == 0 ? path : NULL;
}

START_TEST(test_smollm2)
{
    static const char *const texts[] = {"english", "code", "multilingual"};
    static const int blocks[] = {0, 7, 14, 29};
    const char *path = smollm2_path();
    char name[64];
    int64_t n = 0;

    if (!path) {
        printf("SKIP: SmolLM2 against transformers, %s: no models/SmolLM2-135M-Instruct.Q4_1.gguf (make fetch-model)\n",
               texts[_i]);
        return;
    }
    snprintf(name, sizeof name, "%s.input_ids", texts[_i]);
    golden g = open_golden("data/golden/smollm2/golden.safetensors", name);
    if (cpu_isa_get() == ISA_SCALAR) g.n_ctx = 10; /* the plain loops are slow; what comes later changes nothing */
    sae_model *m = open_model(path, 0);
    outcome o = run_all(m, &g);
    for (int b = 0; b < 4; b++) {
        snprintf(name, sizeof name, "%s.hidden_%d", texts[_i], blocks[b]);
        float *expected = read_floats(g.st, name, &n);
        double e = row_error(o.hidden[blocks[b] + 1], expected, o.n, o.d);
        ck_assert_msg(e < 5e-5, "%s: error %g", name, e); /* observed 8.2e-6; required 1e-4 */
        free(expected);
    }
    snprintf(name, sizeof name, "%s.nll", texts[_i]);
    float *nll = read_floats(g.st, name, &n);
    double e = largest_difference(o.nll, nll, o.n_nll);
    ck_assert_msg(e < 2e-4, "%s: error %g", name, e); /* observed 4.8e-5; required 1e-3 */
    free(nll);
    free_outcome(&o);
    sae_model_free(m);
    close_golden(&g);
    ck_assert_uint_eq(mem_in_use(), 0);
}
END_TEST

/* ---- Laws ---------------------------------------------------------------------------------------------------------------------------- */

START_TEST(test_a_token_changes_nothing_before_it)
{
    golden g = folder_golden(_i);
    sae_model *m = open_model(folders[_i], 0);
    outcome before = run_all(m, &g);
    int64_t t = 17;

    g.ids[t] = (g.ids[t] + 1) % (int32_t)before.vocab;
    outcome after = run_all(m, &g);
    for (int l = 0; l <= before.n_layer; l++) {
        ck_assert(same_bits(before.hidden[l], after.hidden[l], t * before.d));
        ck_assert(!same_bits(before.hidden[l] + t * before.d, after.hidden[l] + t * before.d, before.d));
        ck_assert(same_bits(before.hidden[l] + g.n_ctx * before.d, after.hidden[l] + g.n_ctx * before.d,
                            (g.n_seq - 1) * g.n_ctx * before.d)); /* the other sequence */
    }
    ck_assert(same_bits(before.logits, after.logits, t * before.vocab));
    free_outcome(&before), free_outcome(&after);
    sae_model_free(m);
    close_golden(&g);
}
END_TEST

START_TEST(test_a_batch_is_its_sequences)
{
    golden g = folder_golden(_i), one = g;
    sae_model *m = open_model(folders[_i], 0);
    outcome both = run_all(m, &g);

    one.ids = g.ids + g.n_ctx, one.n_seq = 1;
    outcome alone = run_all(m, &one);
    double e = row_error(alone.logits, both.logits + alone.n * alone.vocab, alone.n, alone.vocab);
    ck_assert_msg(e < 1e-5, "error %g", e); /* observed 0; products of another height may be split otherwise */
    free_outcome(&both), free_outcome(&alone);
    sae_model_free(m);
    close_golden(&g);
}
END_TEST

START_TEST(test_a_run_from_rows_goes_on_as_the_whole_run)
{
    golden g = folder_golden(_i);
    sae_model *m = open_model(folders[_i], 0);
    outcome o = run_all(m, &g);
    float *nll = take((size_t)o.n_nll, sizeof *nll), *logits = take((size_t)(o.n * o.vocab), sizeof *logits);

    for (int l = 0; l <= o.n_layer; l++)
        for (int post = 0; post < 2; post++) {
            if (post ? l == 0 : l == o.n_layer) continue;
            sae_run run = {.ids = g.ids, .n_seq = g.n_seq, .n_ctx = g.n_ctx, .from_rows = o.hidden[l], .nll = nll};
            run.from = (sae_site){post ? l - 1 : l, post ? SAE_RESID_POST : SAE_RESID_PRE};
            memset(nll, 0, (size_t)o.n_nll * sizeof *nll);
            succeed(sae_model_run(m, &run, &err));
            ck_assert_msg(same_bits(nll, o.nll, o.n_nll), "from layer %d, post %d", l, post);
            run.ids = NULL, run.nll = NULL, run.logits = logits; /* logits need no ids */
            succeed(sae_model_run(m, &run, &err));
            ck_assert(same_bits(logits, o.logits, o.n * o.vocab));
        }
    free(nll), free(logits);
    free_outcome(&o);
    sae_model_free(m);
    close_golden(&g);
}
END_TEST

static sae_status look_only(void *user, float *rows, int64_t n_rows, int64_t d_model, sae_error *e)
{
    (void)rows, (void)n_rows, (void)d_model, (void)e;
    ++*(int *)user;
    return SAE_OK;
}

/* Every other column only: a norm would undo a factor of the whole row. */
static void halve_columns(float *rows, int64_t n)
{
    for (int64_t i = 0; i < n; i += 2) rows[i] *= 0.5F;
}

static sae_status halve(void *user, float *rows, int64_t n_rows, int64_t d_model, sae_error *e)
{
    (void)user, (void)e;
    halve_columns(rows, n_rows * d_model);
    return SAE_OK;
}

START_TEST(test_a_tap_that_looks_changes_nothing)
{
    golden g = folder_golden(_i);
    sae_model *m = open_model(folders[_i], 0);
    outcome o = run_all(m, &g);
    float *logits = take((size_t)(o.n * o.vocab), sizeof *logits),
          *plain = take((size_t)(o.n * o.vocab), sizeof *plain);
    sae_tap taps[4 * MAX_LAYERS];
    int n_taps = 0, seen = 0;

    for (int l = 0; l < o.n_layer; l++)
        for (int h = 0; h < 4; h++) taps[n_taps++] = (sae_tap){{l, (sae_hook)h}, look_only, &seen};
    sae_run run = {.ids = g.ids, .n_seq = g.n_seq, .n_ctx = g.n_ctx, .logits = plain};
    succeed(sae_model_run(m, &run, &err));
    run.taps = taps, run.n_taps = n_taps, run.logits = logits;
    succeed(sae_model_run(m, &run, &err));
    ck_assert_int_eq(seen, n_taps);
    ck_assert(same_bits(logits, plain, o.n * o.vocab));
    ck_assert(same_bits(logits, o.logits, o.n * o.vocab));
    free(logits), free(plain);
    free_outcome(&o);
    sae_model_free(m);
    close_golden(&g);
}
END_TEST

/* An edit at each kind of site changes the logits; one of the residual stream is the same as a run from edited rows. */
START_TEST(test_an_edit_takes_effect)
{
    golden g = folder_golden(_i);
    sae_model *m = open_model(folders[_i], 0);
    outcome o = run_all(m, &g);
    float *logits = take((size_t)(o.n * o.vocab), sizeof *logits), *from = take((size_t)(o.n * o.vocab), sizeof *from);
    sae_run run = {.ids = g.ids, .n_seq = g.n_seq, .n_ctx = g.n_ctx, .n_taps = 1, .logits = logits};

    for (int h = 0; h < 4; h++) {
        sae_tap tap = {{1, (sae_hook)h}, halve, NULL};
        run.taps = &tap;
        succeed(sae_model_run(m, &run, &err));
        ck_assert_msg(row_error(logits, o.logits, o.n, o.vocab) > 1e-2, "hook %d", h);
        if (h != SAE_RESID_PRE && h != SAE_RESID_POST) continue;
        float *rows = o.hidden[h == SAE_RESID_PRE ? 1 : 2];
        halve_columns(rows, o.n * o.d);
        succeed(sae_model_run(
            m,
            &(sae_run){.n_seq = g.n_seq, .n_ctx = g.n_ctx, .from_rows = rows, .from = {1, (sae_hook)h}, .logits = from},
            &err));
        ck_assert(same_bits(logits, from, o.n * o.vocab));
    }
    free(logits), free(from);
    free_outcome(&o);
    sae_model_free(m);
    close_golden(&g);
}
END_TEST

/* resid_post = resid_pre + attn_out + mlp_out, and the next layer's resid_pre. */
START_TEST(test_sites_add_up)
{
    golden g = folder_golden(_i);
    sae_model *m = open_model(folders[_i], 0);
    outcome o = run_all(m, &g);
    float *attn = take((size_t)(o.n * o.d), sizeof *attn), *mlp = take((size_t)(o.n * o.d), sizeof *mlp);
    float *pre = take((size_t)(o.n * o.d), sizeof *pre);
    sae_tap taps[] = {
        {{1, SAE_MLP_OUT}, copy_rows, mlp}, {{1, SAE_ATTN_OUT}, copy_rows, attn}, {{1, SAE_RESID_PRE}, copy_rows, pre}};
    sae_run run = {.ids = g.ids, .n_seq = g.n_seq, .n_ctx = g.n_ctx, .taps = taps, .n_taps = 3};

    succeed(sae_model_run(m, &run, &err));
    ck_assert(same_bits(pre, o.hidden[1], o.n * o.d));
    for (int64_t i = 0; i < o.n * o.d; i++) pre[i] = (pre[i] + attn[i]) + mlp[i];
    ck_assert(same_bits(pre, o.hidden[2], o.n * o.d));
    free(attn), free(mlp), free(pre);
    free_outcome(&o);
    sae_model_free(m);
    close_golden(&g);
}
END_TEST

START_TEST(test_both_ways_to_expand_give_the_same_bits)
{
    golden g = folder_golden(_i);
    sae_model *all = open_model(folders[_i], 1), *one = open_model(folders[_i], 2);

    for (int round = 0; round < 2; round++) {
        outcome a = run_all(all, &g), b = run_all(one, &g);
        for (int l = 0; l <= a.n_layer; l++) ck_assert(same_bits(a.hidden[l], b.hidden[l], a.n * a.d));
        ck_assert(same_bits(a.logits, b.logits, a.n * a.vocab));
        ck_assert(same_bits(a.nll, b.nll, a.n_nll));
        free_outcome(&a), free_outcome(&b);
    }
    sae_model_free(all), sae_model_free(one);
    close_golden(&g);
}
END_TEST

START_TEST(test_losses_are_those_of_the_logits)
{
    golden g = folder_golden(_i);
    sae_model *m = open_model(folders[_i], 0);
    outcome o = run_all(m, &g);
    float *nll = take((size_t)o.n_nll, sizeof *nll);
    double worst = 0;

    for (int64_t s = 0; s < g.n_seq; s++)
        for (int64_t t = 0; t + 1 < g.n_ctx; t++) {
            const float *x = o.logits + (s * g.n_ctx + t) * o.vocab;
            double sum = 0;
            for (int64_t v = 0; v < o.vocab; v++) sum += exp((double)x[v]);
            double expected = log(sum) - (double)x[g.ids[s * g.n_ctx + t + 1]];
            worst = fmax(worst, fabs(expected - (double)o.nll[s * (g.n_ctx - 1) + t]));
        }
    ck_assert_msg(worst < 1e-5, "error %g", worst); /* observed 8e-7 */
    succeed(sae_model_run(m, &(sae_run){.ids = g.ids, .n_seq = g.n_seq, .n_ctx = g.n_ctx, .nll = nll}, &err));
    ck_assert(same_bits(nll, o.nll, o.n_nll)); /* without logits asked for */
    free(nll);
    free_outcome(&o);
    sae_model_free(m);
    close_golden(&g);
}
END_TEST

START_TEST(test_unembed)
{
    golden g = folder_golden(_i);
    sae_model *m = open_model(folders[_i], 0);
    outcome o = run_all(m, &g);
    float *logits = take((size_t)(o.n * o.vocab), sizeof *logits), *sum = take((size_t)(o.vocab * 3), sizeof *sum);
    float *rows = take((size_t)(3 * o.d), sizeof *rows);
    double worst = 0;

    succeed(sae_model_unembed(m, o.hidden[o.n_layer], o.n, true, logits, &err));
    ck_assert(same_bits(logits, o.logits, o.n * o.vocab));
    /* A direction: linear, and zero gives zero (no bias of the norm). */
    memcpy(rows, o.hidden[1], (size_t)(2 * o.d) * sizeof *rows);
    for (int64_t i = 0; i < o.d; i++) rows[2 * o.d + i] = rows[i] + rows[o.d + i];
    succeed(sae_model_unembed(m, rows, 3, false, sum, &err));
    for (int64_t v = 0; v < o.vocab; v++)
        worst = fmax(worst, fabs((double)sum[v] + (double)sum[o.vocab + v] - (double)sum[2 * o.vocab + v]));
    ck_assert_msg(worst < 1e-4, "error %g", worst); /* observed 6e-6 */
    memset(rows, 0, (size_t)o.d * sizeof *rows);
    succeed(sae_model_unembed(m, rows, 1, false, sum, &err));
    for (int64_t v = 0; v < o.vocab; v++) ck_assert(sum[v] == 0);
    succeed(sae_model_unembed(m, rows, 0, true, sum, &err));
    free(logits), free(sum), free(rows);
    free_outcome(&o);
    sae_model_free(m);
    close_golden(&g);
}
END_TEST

/* ---- How it runs ----------------------------------------------------------------------------------------------------------------------- */

START_TEST(test_a_second_run_allocates_nothing)
{
    golden g = folder_golden(_i % N_FOLDER);
    sae_model *m = open_model(folders[_i % N_FOLDER], 1 + _i / N_FOLDER);
    float *nll = take((size_t)(g.n_seq * g.n_ctx), sizeof *nll);
    sae_run run = {.ids = g.ids, .n_seq = g.n_seq, .n_ctx = g.n_ctx, .nll = nll};

    succeed(sae_model_run(m, &run, &err));
    mem_guard_begin("a second run");
    sae_status status = sae_model_run(m, &run, &err);
    run.n_ctx--; /* a smaller one fits as well */
    sae_status smaller = sae_model_run(m, &run, &err);
    mem_guard_end();
    succeed(status);
    succeed(smaller);
    free(nll);
    sae_model_free(m);
    close_golden(&g);
}
END_TEST

static sae_status refuse(void *user, float *rows, int64_t n_rows, int64_t d_model, sae_error *e)
{
    (void)user, (void)rows, (void)n_rows, (void)d_model;
    return SAE_FAIL(e, SAE_CANCELLED, "enough");
}

START_TEST(test_bad_runs)
{
    golden g = folder_golden(0);
    sae_model *m = open_model(folders[0], 0); /* gpt2: 3 layers, 128 tokens, context 48 */
    int32_t *ids = take(200, sizeof *ids);
    float *rows = take(72 * 64, sizeof *rows), *nll = take(200, sizeof *nll);
    int seen = 0;
    sae_tap at_0 = {{0, SAE_MLP_OUT}, look_only, &seen}, at_9 = {{9, SAE_MLP_OUT}, look_only, &seen};
    sae_tap refusing = {{1, SAE_RESID_POST}, refuse, NULL}, bad_hook = {{0, (sae_hook)7}, look_only, &seen};
    const struct {
        sae_run run;
        sae_status expected;
        const char *says;
    } cases[] = {
        {{.ids = ids, .n_seq = 0, .n_ctx = 4, .nll = nll}, SAE_RANGE, "at least 1"},
        {{.ids = ids, .n_seq = 1, .n_ctx = -1, .nll = nll}, SAE_RANGE, "at least 1"},
        {{.ids = ids, .n_seq = 1, .n_ctx = 49, .nll = nll}, SAE_RANGE, "context is 48"},
        {{.ids = ids, .n_seq = INT64_MAX / 2, .n_ctx = 48, .nll = nll}, SAE_RANGE, "too many"},
        {{.ids = NULL, .n_seq = 1, .n_ctx = 4, .nll = nll}, SAE_STATE, "token ids"},
        {{.ids = NULL, .n_seq = 1, .n_ctx = 4, .nll = nll, .from_rows = rows}, SAE_STATE, "token ids"},
        {{.ids = ids, .n_seq = 1, .n_ctx = 4, .taps = &at_9, .n_taps = 1}, SAE_RANGE, "layers 0 to 2"},
        {{.ids = ids, .n_seq = 1, .n_ctx = 4, .taps = &bad_hook, .n_taps = 1}, SAE_RANGE, "layers 0 to 2"},
        {{.ids = ids, .n_seq = 1, .n_ctx = 4, .nll = nll, .from_rows = rows, .from = {0, SAE_ATTN_OUT}},
         SAE_RANGE,
         "hook_resid_pre"},
        {{.ids = ids,
          .n_seq = 1,
          .n_ctx = 4,
          .taps = &at_0,
          .n_taps = 1,
          .from_rows = rows,
          .from = {1, SAE_RESID_PRE}},
         SAE_RANGE,
         "before layer 1"},
        {{.ids = ids, .n_seq = 1, .n_ctx = 4, .taps = &refusing, .n_taps = 1, .nll = nll}, SAE_CANCELLED, "enough"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        err = (sae_error){0};
        ck_assert_msg(sae_model_run(m, &cases[i].run, &err) == cases[i].expected, "case %zu: %s", i, err.message);
        ck_assert_msg(strstr(err.message, cases[i].says), "case %zu: %s", i, err.message);
    }
    ck_assert_int_eq(seen, 0);
    const int32_t bad_ids[] = {128, -1, INT32_MAX};
    for (int i = 0; i < 3; i++) {
        ids[7] = bad_ids[i];
        err = (sae_error){0};
        ck_assert_int_eq(sae_model_run(m, &(sae_run){.ids = ids, .n_seq = 2, .n_ctx = 5, .nll = nll}, &err), SAE_RANGE);
        ck_assert_ptr_nonnull(strstr(err.message, "sequence 1, position 2"));
    }
    ids[7] = 0, err = (sae_error){0};
    succeed(sae_model_run(m, &(sae_run){.ids = ids, .n_seq = 3, .n_ctx = 1, .nll = nll}, &err)); /* no losses at all */
    succeed(sae_model_run(m, &(sae_run){.ids = ids, .n_seq = 2, .n_ctx = 5}, &err)); /* nothing is asked for */
    free(ids), free(rows), free(nll);
    sae_model_free(m);
    close_golden(&g);
}
END_TEST

START_TEST(test_site_names)
{
    static const struct {
        const char *name, *canonical;
    } good[] = {
        {"blocks.0.hook_resid_pre", "blocks.0.hook_resid_pre"},
        {"blocks.2.hook_resid_post", "blocks.2.hook_resid_post"},
        {"blocks.1.hook_attn_out", "blocks.1.hook_attn_out"},
        {"blocks.1.hook_mlp_out", "blocks.1.hook_mlp_out"},
        {"model.layers.2", "blocks.2.hook_resid_post"},
        {"resid_post.1", "blocks.1.hook_resid_post"},
        {"resid_pre.0", "blocks.0.hook_resid_pre"},
        {"attn_out.2", "blocks.2.hook_attn_out"},
        {"mlp_out.0", "blocks.0.hook_mlp_out"},
    };
    static const char *const bad[] = {"",
                                      "blocks",
                                      "blocks.",
                                      "blocks.1",
                                      "blocks.1.",
                                      "blocks.x.hook_mlp_out",
                                      "blocks.-1.hook_mlp_out",
                                      "blocks.1.hook_z",
                                      "blocks.3.hook_resid_pre",
                                      "model.layers.3",
                                      "model.layers.",
                                      "resid_post.",
                                      "resid_post.1x",
                                      "resid_post.99999999999",
                                      "mlp_out",
                                      "blocks.1.hook_mlp_out.2"};
    sae_model *m = open_model(folders[0], 0);
    sae_site site = {0};
    char name[64];

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        succeed(sae_site_parse(&site, good[i].name, m, &err));
        sae_site_name(site, name, sizeof name);
        ck_assert_str_eq(name, good[i].canonical);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(sae_site_parse(&site, bad[i], m, NULL) == SAE_RANGE, "%s", bad[i]);
    sae_model_free(m);
}
END_TEST

START_TEST(test_info_and_hash)
{
    sae_model *m = open_model(folders[_i], 0), *again = open_model(folders[_i], 0);
    const sae_model_info *info = sae_model_get_info(m);
    static const int64_t params[] = {161344, 29664, 57072}; /* golden.json */

    ck_assert_int_eq(info->n_params, params[_i]);
    ck_assert_str_eq(info->family, _i ? "llama" : "gpt2");
    ck_assert_str_eq(info->weight_type, _i == 2 ? "BF16" : "F32");
    ck_assert(info->tied == (_i != 2));
    ck_assert(sae_model_hash(m) != 0 && sae_model_hash(m) == sae_model_hash(again));
    sae_model_free(m), sae_model_free(again);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model");
    TCase *goldens = tcase_create("against transformers"), *laws = tcase_create("laws"), *use = tcase_create("use");
    SRunner *runner = srunner_create(suite);

    tcase_set_timeout(goldens, 300), tcase_set_timeout(laws, 60), tcase_set_timeout(use, 60);
    tcase_add_loop_test(goldens, test_tiny_models, 0, 4 * N_FOLDER);
    tcase_add_loop_test(goldens, test_smollm2, 0, 3);
    tcase_add_loop_test(laws, test_a_token_changes_nothing_before_it, 0, N_FOLDER);
    tcase_add_loop_test(laws, test_a_batch_is_its_sequences, 0, N_FOLDER);
    tcase_add_loop_test(laws, test_a_run_from_rows_goes_on_as_the_whole_run, 0, N_FOLDER);
    tcase_add_loop_test(laws, test_a_tap_that_looks_changes_nothing, 0, N_FOLDER);
    tcase_add_loop_test(laws, test_an_edit_takes_effect, 0, N_FOLDER);
    tcase_add_loop_test(laws, test_sites_add_up, 0, N_FOLDER);
    tcase_add_loop_test(laws, test_both_ways_to_expand_give_the_same_bits, 0, N_FOLDER);
    tcase_add_loop_test(laws, test_losses_are_those_of_the_logits, 0, N_FOLDER);
    tcase_add_loop_test(laws, test_unembed, 0, N_FOLDER);
    tcase_add_loop_test(use, test_a_second_run_allocates_nothing, 0, 2 * N_FOLDER);
    tcase_add_test(use, test_bad_runs);
    tcase_add_test(use, test_site_names);
    tcase_add_loop_test(use, test_info_and_hash, 0, N_FOLDER);
    suite_add_tcase(suite, goldens), suite_add_tcase(suite, laws), suite_add_tcase(suite, use);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
