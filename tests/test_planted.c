/*
 * test_planted.c - T6: rows of which the truth is known. x = mean + z B + sum_j a_j t_j with 256 sparse unit features in 64
 * dimensions and a dense part of rank 4 that is strong and always on. Features are on with probability 1/64: at 1/32 (8 of
 * 64 dimensions in use) they need over 10 M rows to be found, more than a test may take.
 */
#include "sae/train.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { D = 64, FEATURES = 256, DENSE = 4, WIDTH = 320, BATCH = 512, STEPS = 3000, EVAL = 8192 };

typedef struct planted {
    double feature[FEATURES][D], dense[DENSE][D], mean[D];
    rng r;
} planted;

static void unit(double *v)
{
    double norm = 0;

    for (int i = 0; i < D; i++) norm += v[i] * v[i];
    for (int i = 0; i < D; i++) v[i] /= sqrt(norm);
}

static planted *plant(void)
{
    planted *p = calloc(1, sizeof *p);

    p->r = rng_seed(21, 1);
    for (int j = 0; j < FEATURES; j++) {
        for (int i = 0; i < D; i++) p->feature[j][i] = rng_normal(&p->r);
        unit(p->feature[j]);
    }
    for (int j = 0; j < DENSE; j++) { /* orthonormal, by Gram and Schmidt */
        for (int i = 0; i < D; i++) p->dense[j][i] = rng_normal(&p->r);
        for (int k = 0; k < j; k++) {
            double along = 0;
            for (int i = 0; i < D; i++) along += p->dense[j][i] * p->dense[k][i];
            for (int i = 0; i < D; i++) p->dense[j][i] -= along * p->dense[k][i];
        }
        unit(p->dense[j]);
    }
    for (int i = 0; i < D; i++) p->mean[i] = 0.5 * rng_normal(&p->r);
    return p;
}

static void draw(planted *p, float *rows, int64_t n)
{
    for (int64_t b = 0; b < n; b++) {
        double x[D];
        memcpy(x, p->mean, sizeof x);
        for (int j = 0; j < DENSE; j++) {
            double z = 4.0 * rng_normal(&p->r);
            for (int i = 0; i < D; i++) x[i] += z * p->dense[j][i];
        }
        for (int j = 0; j < FEATURES; j++) {
            if (rng_below(&p->r, 64) != 0) continue;
            double a = 1.0 + rng_uniform(&p->r);
            for (int i = 0; i < D; i++) x[i] += a * p->feature[j][i];
        }
        for (int i = 0; i < D; i++) rows[b * D + i] = (float)x[i];
    }
}

/* The mean over planted features of the largest |cosine| with a decoder row. */
static double recovery(const planted *p, const float *W_dec)
{
    double sum = 0;

    for (int f = 0; f < FEATURES; f++) {
        double best = 0;
        for (int j = 0; j < WIDTH; j++) {
            double cosine = 0;
            for (int i = 0; i < D; i++) cosine += p->feature[f][i] * (double)W_dec[j * D + i];
            best = fmax(best, fabs(cosine));
        }
        sum += best / FEATURES;
    }
    return sum;
}

/* Latents on in over a tenth of fresh rows. */
static int count_dense(planted *p, const sae_dict *dict, int64_t rank)
{
    float *rows = malloc(sizeof(float) * EVAL * D), *h = malloc(sizeof(float) * EVAL * (size_t)(rank + 1)), *value;
    int64_t start[EVAL + 1];
    int32_t *latent, fired[WIDTH] = {0};
    sae_error err = {0};
    int n = 0;

    draw(p, rows, EVAL);
    ck_assert_int_eq(sae_dict_encode(dict, rows, EVAL, start, &latent, &value, rank ? h : NULL, &err), SAE_OK);
    for (int64_t i = 0; i < start[EVAL]; i++) fired[latent[i]]++;
    for (int j = 0; j < WIDTH; j++) n += fired[j] > EVAL / 10;
    free(latent);
    free(value);
    free(rows);
    free(h);
    return n;
}

/* The share of W_up's row space that lies in the planted dense space: tr(P_U P_B) / 4, by projecting an orthonormal basis. */
static double overlap(const planted *p, const float *W_up)
{
    double basis[DENSE][D], sum = 0;

    for (int j = 0; j < DENSE; j++) {
        for (int i = 0; i < D; i++) basis[j][i] = (double)W_up[j * D + i];
        for (int twice = 0; twice < 2; twice++)
            for (int k = 0; k < j; k++) {
                double along = 0;
                for (int i = 0; i < D; i++) along += basis[j][i] * basis[k][i];
                for (int i = 0; i < D; i++) basis[j][i] -= along * basis[k][i];
            }
        unit(basis[j]);
        for (int k = 0; k < DENSE; k++) {
            double along = 0;
            for (int i = 0; i < D; i++) along += basis[j][i] * p->dense[k][i];
            sum += along * along / DENSE;
        }
    }
    return sum;
}

enum { ARMS = 5 }; /* batchtopk without, with P1, with P2; topk without, with P1 */

static sae_trainer *create_arms(sae_dict_config c[ARMS], int64_t n_steps)
{
    sae_train_options o = sae_recipe_saebench(BATCH, n_steps);
    sae_trainer *t = NULL;
    sae_error err = {0};

    for (int v = 0; v < ARMS; v++) c[v] = (sae_dict_config){.arch = SAE_BATCHTOPK, .d_in = D, .d_sae = WIDTH, .k = 4};
    c[1].rank = c[2].rank = c[4].rank = DENSE;
    c[3].arch = c[4].arch = SAE_TOPK;
    c[2].variant = SAE_P2;
    o.lr = 2e-2;
    ck_assert_msg(sae_trainer_create(&t, c, ARMS, &o, &err) == SAE_OK, "%s", err.message);
    return t;
}

/* What sanitizers can see, the same operations on the same sizes show within 60 steps. What is learned takes all of them, and is tested
 * without (under sanitizers it took 73 s). */
START_TEST(test_arms_learn)
{
    enum { FEW = 60 };
    planted *p = plant();
    sae_dict_config c[ARMS];
    sae_trainer *t = create_arms(c, FEW);
    sae_error err = {0};
    sae_step_stats first[ARMS], last[ARMS];
    float *rows = malloc(sizeof(float) * BATCH * D);

    for (int n = 0; n < FEW; n++) {
        draw(p, rows, BATCH);
        ck_assert_msg(sae_trainer_step(t, rows, NULL, n == 0 ? first : last, &err) == SAE_OK, "%s", err.message);
    }
    for (int v = 0; v < ARMS; v++) {
        sae_dict *dict = NULL;
        ck_assert_msg(sae_trainer_export(t, v, &dict, &err) == SAE_OK, "%s", err.message);
        count_dense(p, dict, c[v].rank);
        double shared = c[v].rank ? overlap(p, sae_dict_weights(dict).W_up) : 0;
        printf("# arm %d: FVU %.3f, then %.3f; overlap %.3f\n", v, first[v].fvu, last[v].fvu, shared);
        ck_assert_double_lt(last[v].fvu, 0.4 * first[v].fvu); /* [0.17] */
        sae_dict_free(dict);
    }
    sae_trainer_free(t);
    free(rows);
    free(p);
}
END_TEST

START_TEST(test_scaffold_absorbs_the_planted_dense_part)
{
    planted *p = plant();
    sae_dict_config c[ARMS];
    sae_trainer *t = create_arms(c, STEPS);
    sae_error err = {0};
    float *rows = malloc(sizeof(float) * BATCH * D);
    int dense[ARMS];
    double found[ARMS];

    for (int n = 0; n < STEPS; n++) {
        draw(p, rows, BATCH);
        ck_assert_msg(sae_trainer_step(t, rows, NULL, NULL, &err) == SAE_OK, "%s", err.message);
    }
    for (int v = 0; v < ARMS; v++) {
        sae_dict *dict = NULL;
        ck_assert_msg(sae_trainer_export(t, v, &dict, &err) == SAE_OK, "%s", err.message);
        dense[v] = count_dense(p, dict, c[v].rank);
        found[v] = recovery(p, sae_dict_weights(dict).W_dec);
        double shared = c[v].rank ? overlap(p, sae_dict_weights(dict).W_up) : 0;
        printf("# arm %d: dense latents %d, mean max cosine %.3f, overlap %.4f\n", v, dense[v], found[v], shared);
        if (c[v].rank) ck_assert_double_gt(shared, 0.95);
        sae_dict_free(dict);
    }
    /* One-sided latents need two for each signed direction. Observed by the scalar, AVX2 and AVX-512 kernels: 8, 0, 0, 8, then 1, 1 and 2:
     * rounding alone moves what topk with P1 keeps (five seeds: 1.2 on average). Cosines 0.636 to 0.640,
     * 0.696 to 0.703, 0.744 to 0.750, 0.493 to 0.503, 0.656 to 0.675. */
    for (int v = 0; v < ARMS; v++) {
        if (c[v].rank == 0) {
            ck_assert_int_ge(dense[v], 2 * DENSE);
            continue;
        }
        ck_assert_int_le(dense[v], c[v].arch == SAE_TOPK ? 2 : 1);
        ck_assert_double_ge(found[v], found[v < 3 ? 0 : 3]);
    }
    sae_trainer_free(t);
    free(rows);
    free(p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("planted truth");
    TCase *tc = tcase_create("T6");
    SRunner *runner = srunner_create(s);

    tcase_set_timeout(tc, 600);
    tcase_add_test(tc, test_arms_learn);
#ifndef __SANITIZE_ADDRESS__
    tcase_add_test(tc, test_scaffold_absorbs_the_planted_dense_part);
#else
    (void)test_scaffold_absorbs_the_planted_dense_part;
#endif
    suite_add_tcase(s, tc);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
