/*
 * test_trainer.c - the trainer against dictionary_learning's own runs, step by step, and its laws. EVERY_THREAD.
 */
#include "expect.h"
#include "io/io.h"
#include "sae/train.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const float *floats(const safetensors *st, const char *name)
{
    const tensor *t = safetensors_find(st, name);

    ck_assert_msg(t && t->type == DTYPE_F32, "golden tensor %s", name);
    return t->data;
}

static const int32_t *ints(const safetensors *st, const char *name)
{
    const tensor *t = safetensors_find(st, name);

    ck_assert_msg(t && t->type == DTYPE_I32, "golden tensor %s", name);
    return t->data;
}

/* ---- dictionary_learning's runs ---------------------------------------------------------------------------------------- */

enum { D = 32, F = 128, B = 256, STEPS = 60, K = 6 };

typedef struct golden_run {
    const char *path;
    sae_arch arch;
    bool linear_layout; /* encoder.weight [F, d], decoder.weight [d, F] */
} golden_run;

static const golden_run runs[] = {
    {"data/golden/sae/train_batchtopk.safetensors", SAE_BATCHTOPK, true},
    {"data/golden/sae/train_matryoshka.safetensors", SAE_MATRYOSHKA, false},
};

static sae_dict_config golden_config(sae_arch arch)
{
    sae_dict_config c = {.arch = arch, .d_in = D, .d_sae = F, .k = K};

    if (arch == SAE_MATRYOSHKA) {
        c.n_groups = 4;
        memcpy(c.groups, (int64_t[]){16, 16, 32, 64}, 4 * sizeof(int64_t));
    }
    return c;
}

static sae_train_options golden_options(void)
{
    sae_train_options o = sae_recipe_dictionary_learning(B, STEPS, F);

    o.lr = 0.003;
    o.warmup_steps = 10;
    o.decay_start = 48;
    o.threshold_beta = 0.95;
    o.threshold_start_step = 20;
    o.dead_tokens = 2000;
    return o;
}

static double relative(double got, double expected) { return fabs(got - expected) / fmax(fabs(expected), 1e-12); }

#define expect_close(what, step, got, expected, bound)                                                                 \
    EXPECT_WITHIN(relative(got, expected), bound, "step %d: %s is %.9g, expected %.9g", step, what, (double)(got),     \
                  (double)(expected))

/* Largest difference between ours [rows, columns] and the golden tensor, stored transposed or not. */
static double worst(const float *ours, const float *golden, int64_t rows, int64_t columns, bool transposed)
{
    double max = 0;

    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            max = fmax(max, fabs((double)ours[i * columns + j] - golden[transposed ? j * rows + i : i * columns + j]));
    return max;
}

START_TEST(test_steps_equal_dictionary_learning)
{
    const golden_run *run = &runs[_i];
    safetensors *batches = NULL, *golden = NULL;
    sae_trainer *t = NULL;
    sae_error err = {0};
    sae_dict_config config = golden_config(run->arch);
    sae_train_options options = golden_options();
    float *rows = malloc(sizeof(float) * B * D);

    ck_assert_int_eq(safetensors_open(&batches, "data/golden/sae/train_batches.safetensors", &err), SAE_OK);
    ck_assert_int_eq(safetensors_open(&golden, run->path, &err), SAE_OK);
    ck_assert_msg(sae_trainer_create(&t, &config, 1, &options, &err) == SAE_OK, "%s", err.message);
    ck_assert_msg(sae_trainer_read_weights(t, 0, run->path, "init.", &err) == SAE_OK, "%s", err.message);
    const float *pool = floats(batches, "pool");
    const int32_t *index = ints(batches, "index");
    for (int step = 0; step < STEPS; step++) {
        sae_step_stats s;
        for (int b = 0; b < B; b++) memcpy(rows + b * D, pool + index[step * B + b] * D, D * sizeof(float));
        ck_assert_msg(sae_trainer_step(t, rows, NULL, &s, &err) == SAE_OK, "%s", err.message);
        /* Bounds: ten times what float32 against float64 moves dictionary_learning itself; observed in brackets. */
        expect_close("loss", step, s.loss, floats(golden, "steps.loss")[step], 4e-6);                 /* [2e-7] */
        expect_close("l2 loss", step, s.l2_loss, floats(golden, "steps.l2_loss")[step], 4e-6);        /* [2e-7] */
        expect_close("grad norm", step, s.grad_norm, floats(golden, "steps.grad_norm")[step], 1e-5);  /* [9e-7] */
        expect_close("lr", step, s.lr + 1e-9, floats(golden, "steps.lr")[step] + 1e-9, 1e-6);         /* [5e-8] */
        expect_close("l0", step, s.l0, floats(golden, "steps.l0")[step], 1e-6);                       /* [0] */
        expect_close("smallest", step, s.min_active, floats(golden, "steps.min_active")[step], 1e-5); /* [1.8e-6] */
        expect_close("threshold", step, s.threshold, floats(golden, "steps.threshold")[step], 1e-5);  /* [6e-7] */
        ck_assert_int_eq(s.dead, ints(golden, "steps.dead")[step]);
        if (s.dead > 0)
            expect_close("AuxK", step, s.auxk_loss, floats(golden, "steps.auxk_loss")[step], 2e-5); /* [3e-7] */
    }
    const learner *l = &t->learners[0];
    bool linear = run->linear_layout;
    const char *enc = linear ? "final.encoder.weight" : "final.W_enc",
               *dec = linear ? "final.decoder.weight" : "final.W_dec";
    EXPECT_WITHIN(worst(l->p[P_W_ENC].w, floats(golden, enc), F, D, !linear), 2e-5,
                  "a weight at the end"); /* [1.8e-7] */
    EXPECT_WITHIN(worst(l->p[P_W_DEC].w, floats(golden, dec), F, D, linear), 2e-5,
                  "a weight at the end"); /* [3.9e-7] */
    EXPECT_WITHIN(worst(l->p[P_B_DEC].w, floats(golden, "final.b_dec"), 1, D, false), 2e-5,
                  "a weight at the end"); /* [2.4e-7] */
    for (int j = 0; j < F; j++) ck_assert_int_eq(l->since_fired[j], ints(golden, "final.num_tokens_since_fired")[j]);
    sae_trainer_free(t);
    safetensors_close(golden);
    safetensors_close(batches);
    free(rows);
    ck_assert_uint_eq(mem_in_use(), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("trainer");
    TCase *parity = tcase_create("dictionary_learning");

    tcase_set_timeout(parity, 120);
    tcase_add_loop_test(parity, test_steps_equal_dictionary_learning, 0, sizeof runs / sizeof *runs);
    suite_add_tcase(s, parity);
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
