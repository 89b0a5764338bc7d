/* Every recipe with every architecture: a run of any length leaves a dictionary that is saved, loads again, and does not depend on
 * whether the run was stopped in between. */
#include "expect.h"
#include "eval/training.h"
#include "sae/recipe_fields.h"
#include "sae/train.h"

#include "io/io.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { D = 16, D_OUT = 12, F = 48, K = 4, B = 32, STEPS = 20, N_RECIPES = 5, N_ARCHS = 6 };

static const sae_recipe_name recipes[N_RECIPES] = {
    SAE_RECIPE_SAEBENCH, SAE_RECIPE_SAELENS, SAE_RECIPE_DICTIONARY_LEARNING, SAE_RECIPE_OPENAI, SAE_RECIPE_SPARSIFY};
static const sae_arch archs[N_ARCHS] = {SAE_BATCHTOPK, SAE_MATRYOSHKA, SAE_TOPK, SAE_JUMPRELU, SAE_STANDARD, SAE_GATED};

static sae_dict_config config_of(sae_arch arch, bool transcoder)
{
    sae_dict_config c = {.arch = arch, .d_in = D, .d_sae = F, .k = K, .seed = 3, .l1_coefficient = 0.1};

    if (arch == SAE_STANDARD || arch == SAE_GATED) c.k = 0;
    if (transcoder) c.d_out = D_OUT;
    if (arch == SAE_MATRYOSHKA) {
        c.n_groups = 2;
        c.groups[0] = c.groups[1] = F / 2;
    }
    return c;
}

static sae_trainer *trainer_of(const sae_dict_config *c, const sae_train_options *o)
{
    sae_trainer *t = NULL;
    sae_error err = {0};

    ck_assert_msg(sae_trainer_create(&t, c, 1, o, &err) == SAE_OK, "%s", err.message);
    return t;
}

/* Steps [from, to) on rows that a step's number decides. */
static void train(sae_trainer *t, int64_t from, int64_t to, bool alike, sae_step_stats *stats)
{
    float *rows = malloc(sizeof(float) * B * (D + D_OUT));
    sae_error err = {0};

    for (int64_t step = from; step < to; step++) {
        rng r = rng_seed((uint64_t)step, 5);
        for (int i = 0; i < B * (D + D_OUT); i++) rows[i] = alike ? 1.0f : (float)rng_normal(&r);
        ck_assert_msg(sae_trainer_step(t, rows, rows + B * D, stats, &err) == SAE_OK, "%s", err.message);
    }
    free(rows);
}

static bool has_threshold(sae_arch arch) { return arch == SAE_BATCHTOPK || arch == SAE_MATRYOSHKA; }

static uint64_t hash_in(const char *folder)
{
    char path[300];
    uint64_t weights = 0, config = 0;

    snprintf(path, sizeof path, "%s/sae_weights.safetensors", folder);
    ck_assert_int_eq(file_hash(path, &weights, NULL), SAE_OK);
    snprintf(path, sizeof path, "%s/cfg.json", folder);
    ck_assert_int_eq(file_hash(path, &config, NULL), SAE_OK);
    return weights ^ config << 1;
}

static uint64_t save(const sae_trainer *t, const char *folder, sae_dict **loaded)
{
    sae_error err = {0};
    sae_dict *dict = NULL;

    ck_assert_msg(sae_trainer_export(t, 0, &dict, &err) == SAE_OK, "%s", err.message);
    ck_assert_msg(sae_dict_save(dict, folder, SAE_SCAFFOLD_NATIVE, true, &err) == SAE_OK, "%s", err.message);
    sae_dict_free(dict);
    if (loaded) ck_assert_msg(sae_dict_load(loaded, folder, &err) == SAE_OK, "%s", err.message);
    return hash_in(folder);
}

START_TEST(test_short_runs_leave_a_dictionary)
{
    sae_recipe_name recipe = recipes[_i / N_ARCHS % N_RECIPES];
    sae_arch arch = archs[_i % N_ARCHS];
    bool transcoder = _i >= N_RECIPES * N_ARCHS;
    sae_dict_config c = config_of(arch, transcoder);
    sae_train_options o = sae_recipe(recipe, arch, B, STEPS, F);
    char run[] = "/tmp/test_recipes_XXXXXX", folder[64];
    sae_step_stats last;
    sae_error err = {0};
    sae_dict *dict = NULL;
    int64_t rows_given = 0;

    if (transcoder && arch == SAE_GATED) o.gate_rule = SAE_GATE_DETACHED; /* the other is not for transcoders */
    ck_assert_ptr_nonnull(mkdtemp(run));
    snprintf(folder, sizeof folder, "%s/sae", run);
    sae_trainer *t = trainer_of(&c, &o);
    train(t, 0, STEPS, false, &last);
    double scale = t->learners[0].target_scale;
    uint64_t whole = save(t, folder, &dict);
    bool from_last = has_threshold(arch) && last.threshold < 0.0;
    /* recipes that begin their average in step 1,000 */
    bool late =
        recipe == SAE_RECIPE_DICTIONARY_LEARNING || recipe == SAE_RECIPE_OPENAI || recipe == SAE_RECIPE_SPARSIFY;
    ck_assert_int_eq(from_last, has_threshold(arch) && late);
    ck_assert_int_eq(sae_dict_get_config(dict)->last_step_threshold, from_last);
    if (from_last)
        for (int j = 0; j < F; j++)
            ck_assert_float_eq(sae_dict_weights(dict).threshold[j], (float)(last.min_active * scale));
    sae_dict_free(dict);
    sae_trainer_free(t);

    t = trainer_of(&c, &o); /* stopped half-way, and once more at the end */
    train(t, 0, STEPS / 2, false, NULL);
    for (int64_t step = STEPS / 2; step <= STEPS; step += STEPS / 2) {
        ck_assert_msg(sae_trainer_save(t, run, step * B, &err) == SAE_OK, "%s", err.message);
        sae_trainer_free(t);
        t = trainer_of(&c, &o);
        ck_assert_msg(sae_trainer_resume(t, run, &rows_given, &err) == SAE_OK, "%s", err.message);
        ck_assert_int_eq(rows_given, step * B);
        if (step < STEPS) train(t, step, STEPS, false, NULL);
    }
    ck_assert_uint_eq(save(t, folder, NULL), whole);
    sae_trainer_free(t);
    ck_assert_int_eq(folder_remove(run, &err), SAE_OK);
    ck_assert_uint_eq(mem_in_use(), 0);
}
END_TEST

/* Rows that are all alike are b_dec itself: no latent is ever active, and the threshold is 0. Before any step there is none. */
START_TEST(test_rows_all_alike_leave_a_dictionary)
{
    sae_dict_config c = config_of(SAE_BATCHTOPK, false);
    sae_train_options o = sae_recipe(SAE_RECIPE_SAEBENCH, SAE_BATCHTOPK, B, STEPS, F);
    sae_trainer *t = trainer_of(&c, &o);
    sae_error err = {0};
    sae_step_stats last;
    sae_dict *dict = NULL;

    ck_assert_int_eq(sae_trainer_export(t, 0, &dict, &err), SAE_STATE);
    train(t, 0, STEPS, true, &last);
    ck_assert_double_eq(last.l0, 0.0);
    ck_assert(isnan(last.fvu)); /* nothing to explain */
    ck_assert_msg(sae_trainer_export(t, 0, &dict, &err) == SAE_OK, "%s", err.message);
    ck_assert(sae_dict_get_config(dict)->last_step_threshold);
    ck_assert_float_eq(sae_dict_weights(dict).threshold[0], 0.0f);
    sae_dict_free(dict);
    sae_trainer_free(t);
    ck_assert_uint_eq(mem_in_use(), 0);
}
END_TEST

/* A recipe comes back from its record as it was, to the last digit and through a file's text; and not from one that lacks a constant, or
 * has one of another kind. */
START_TEST(test_recipes_come_back)
{
    sae_train_options back;

    for (int i = 0; i < N_RECIPES * N_ARCHS; i++) {
        sae_train_options o = sae_recipe(recipes[i / N_ARCHS], archs[i % N_ARCHS], B, STEPS, F);
        sae_error err = {0};
        json_t *read = NULL;
        o.lr = 1.0 / 3;
        if (i % 2) sae_choose_exact_codes(&o, D);
        json_t *json = recipe_json(&o);
        char *text = json_to_text(json, JSON_REAL_PRECISION(17), &err);
        ck_assert_int_eq(json_parse(&read, text, strlen(text), "a record", &err), SAE_OK);
        ck_assert_msg(recipe_read(&back, read, D, "a record", &err) == SAE_OK, "%s", err.message);
        json_t *again = recipe_json(&back);
        ck_assert_msg(!json_first_difference(json, again), "recipe %d: %s", i, json_first_difference(json, again));
        ck_assert_double_eq(back.lr, o.lr);
        json_object_set_new(read, "auxk_rule", json_string("no such rule"));
        ck_assert_int_eq(recipe_read(&back, read, D, "a record", &err), SAE_FORMAT);
        json_object_del(read, "auxk_rule");
        err = (sae_error){0};
        ck_assert_int_eq(recipe_read(&back, read, D, "a record", &err), SAE_FORMAT);
        ck_assert_msg(strstr(err.message, "auxk_rule"), "%s", err.message);
        mem_free(text);
        json_decref(json);
        json_decref(again);
        json_decref(read);
    }
    ck_assert_int_eq(recipe_read(&back, NULL, D, "a record", NULL), SAE_FORMAT);
    ck_assert_uint_eq(mem_in_use(), 0);
}
END_TEST

/* A record that is older than a constant was trained by what there was until then: it comes back so, and only another rule differs. */
START_TEST(test_older_recipes_come_back)
{
    sae_train_options o = sae_recipe(recipes[0], SAE_BATCHTOPK, B, STEPS, F), back;
    sae_error err = {0};
    json_t *record = recipe_json(&o);

    json_object_del(record, "k_anneal_rule");
    ck_assert_msg(recipe_read(&back, record, D, "a record", &err) == SAE_OK, "%s", err.message);
    json_t *ours = recipe_json(&back), *now = json_object();
    ck_assert_ptr_null(recipe_difference(ours, record));
    json_object_update(now, ours);
    json_object_set_new(now, "k_anneal_rule", json_string("now"));
    ck_assert_str_eq(recipe_difference(now, record), "k_anneal_rule");
    json_object_del(record, "auxk_rule");
    ck_assert_str_eq(recipe_difference(ours, record), "auxk_rule");
    json_object_set_new(record, "of_tomorrow", json_true());
    ck_assert_str_eq(recipe_difference(ours, record), "of_tomorrow");
    json_decref(record);
    json_decref(ours);
    json_decref(now);
}
END_TEST

/* ---- sparsify ---------------------------------------------------------------------------------------------------------- */

/* torch's Linear: W_enc uniform in +-1/sqrt(d), W_dec its directions. */
START_TEST(test_sparsify_begins_uniform)
{
    enum { WIDE = 2048 };
    sae_dict_config c = config_of(SAE_TOPK, false);
    c.d_sae = WIDE;
    sae_train_options o = sae_recipe(SAE_RECIPE_SPARSIFY, SAE_TOPK, B, STEPS, WIDE);
    sae_trainer *t = trainer_of(&c, &o);
    const float *enc = t->learners[0].p[P_W_ENC].w, *dec = t->learners[0].p[P_W_DEC].w;
    const double bound = 1 / sqrt(D);
    double largest = 0, mean = 0, squares = 0;
    int tenth[10] = {0};

    for (int j = 0; j < WIDE; j++) {
        double norm = sqrt(sae_ops_ref.sum_squares(enc + j * D, D));
        for (int i = 0; i < D; i++) {
            double w = (double)enc[j * D + i];
            largest = fmax(largest, fabs(w));
            mean += w / (WIDE * D);
            squares += w * w / (WIDE * D);
            tenth[(int)fmin(9, (w / bound + 1) * 5)]++;
            EXPECT(fabs((double)dec[j * D + i] - w / norm) < 1e-6, "row %d of W_dec", j);
        }
    }
    ck_assert(largest <= bound && largest > 0.999 * bound);
    ck_assert_double_eq_tol(mean, 0, 0.01 * bound);
    ck_assert_double_eq_tol(squares, bound * bound / 3, 0.01 * bound * bound);
    for (int i = 0; i < 10; i++) ck_assert_int_le(abs(tenth[i] - WIDE * D / 10), WIDE * D / 100);
    sae_trainer_free(t);
}
END_TEST

/* A transcoder's W_dec begins at 0 and b_dec in the middle of the targets: FVU is 1 at step 0. Then it learns, and its rows are units. */
START_TEST(test_sparsify_transcoder_begins_at_the_mean)
{
    enum { LONG = 200 };
    sae_dict_config c = config_of(SAE_TOPK, true);
    sae_train_options o = sae_recipe(SAE_RECIPE_SPARSIFY, SAE_TOPK, B, LONG, F);
    sae_step_stats stats;
    o.lr = 1e-3;
    sae_trainer *t = trainer_of(&c, &o);
    const param *dec = &t->learners[0].p[P_W_DEC], *enc = &t->learners[0].p[P_W_ENC];
    double largest = 0;

    for (int i = 0; i < F * D; i++) largest = fmax(largest, fabs((double)enc->w[i]));
    ck_assert(largest <= 1 / sqrt(D) && largest > 0.9 / sqrt(D));
    for (int64_t i = 0; i < dec->rows * dec->columns; i++) EXPECT(dec->w[i] == 0, "entry %lld", (long long)i);
    train(t, 0, 1, false, &stats);
    ck_assert_double_eq_tol(stats.fvu, 1, 1e-6);
    ck_assert_double_eq_tol(stats.loss, 1, 1e-6);
    ck_assert_double_gt(stats.l0, K - 1);
    for (int step = 1; step < LONG; step++) train(t, 0, 1, false, &stats); /* the same rows again */
    ck_assert_double_lt(stats.fvu, 0.9);
    for (int j = 0; j < F; j++) {
        double norm = sqrt(sae_ops_ref.sum_squares(dec->w + j * D_OUT, D_OUT));
        EXPECT(norm == 0 || fabs(norm - 1) < 1e-5, "row %d of W_dec is %g long", j, norm); /* 0: it never fired */
    }
    sae_trainer_free(t);
}
END_TEST

/* k(t) = round(10 d (1 - r) + k r), r = t / S, from step 0 on and at most the width, a tie to the even one; then k. */
START_TEST(test_sparsify_anneals_k)
{
    static const int64_t expected[] = {80, 61, 42, 23, 4, 4};
    sae_dict_config c = config_of(SAE_TOPK, false);
    sae_train_options o = sae_recipe(SAE_RECIPE_SPARSIFY, SAE_TOPK, B, STEPS, F);
    sae_step_stats stats;

    ck_assert_int_eq(o.k_anneal_rule, SAE_K_ANNEAL_NOW);
    c.d_in = 8;
    c.d_sae = 1000;
    o.k_anneal_steps = 4;
    for (int step = 0; step < 6; step++) ck_assert_int_eq(annealed_k(&o, &c, step), expected[step]);
    ck_assert_int_eq(largest_k(&o, &c), 80);
    c.k = 1;
    o.k_anneal_start = 20;
    o.k_anneal_steps = 2; /* 10.5 */
    ck_assert_int_eq(annealed_k(&o, &c, 1), 10);
    ck_assert_int_eq(annealed_k(&o, &c, 2), 1);
    c = config_of(SAE_TOPK, false); /* 10 d is over the width of 48 */
    o.k_anneal_start = 0;
    o.k_anneal_steps = 4;
    sae_trainer *t = trainer_of(&c, &o);
    for (int step = 0; step < 6; step++) {
        int64_t k = step < 4 ? F - (F - K) * step / 4 : K;
        train(t, step, step + 1, false, &stats);
        ck_assert_int_eq(t->learners[0].k, k);
        ck_assert_double_le(stats.l0, (double)k);
        ck_assert_double_gt(stats.l0, 0.4 * (double)k); /* half the activations are positive */
    }
    sae_trainer_free(t);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("recipes");
    TCase *c = tcase_create("short runs");

    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, test_short_runs_leave_a_dictionary, 0, 2 * N_RECIPES * N_ARCHS);
    tcase_add_test(c, test_rows_all_alike_leave_a_dictionary);
    tcase_add_test(c, test_recipes_come_back);
    tcase_add_test(c, test_older_recipes_come_back);
    tcase_add_test(c, test_sparsify_begins_uniform);
    tcase_add_test(c, test_sparsify_transcoder_begins_at_the_mean);
    tcase_add_test(c, test_sparsify_anneals_k);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    SRunner *runner = srunner_create(suite());

    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
