/*
 * test_training_laws.c - what must hold of any run, without an oracle: exact selection, paired arms, resuming, scaling,
 * hostile rows, failing memory. (T1, T2, T3, T4, T10 of the method's acceptance tests stand here under their names.)
 */
#include "expect.h"
#include "io/io.h"
#include "kernels/linalg.h"
#include "sae/recipe_fields.h"
#include "sae/train.h"

#include <check.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Small runs ------------------------------------------------------------------------------------------------------- */

static sae_dict_config batchtopk(int64_t d, int64_t width, int64_t k, int64_t rank)
{
    return (sae_dict_config){.arch = SAE_BATCHTOPK, .d_in = d, .d_sae = width, .k = k, .rank = rank};
}

static sae_dict_config matryoshka(int64_t d, int64_t k, int64_t rank)
{
    sae_dict_config c = batchtopk(d, 64, k, rank);

    c.arch = SAE_MATRYOSHKA;
    c.n_groups = 3;
    memcpy(c.groups, (int64_t[]){8, 16, 40}, sizeof(int64_t) * 3);
    return c;
}

/* Latents die after few rows, so that AuxK works. */
static sae_train_options short_recipe(int64_t batch, int64_t steps)
{
    sae_train_options o = sae_recipe_saebench(batch, steps);

    o.lr = 3e-3;
    o.dead_tokens = batch;
    o.threshold_start_step = steps / 4;
    return o;
}

static sae_trainer *create(const sae_dict_config *configs, int n, const sae_train_options *o)
{
    sae_trainer *t = NULL;
    sae_error err = {0};

    ck_assert_msg(sae_trainer_create(&t, configs, n, o, &err) == SAE_OK, "%s", err.message);
    return t;
}

/* Rows of step `step`: a few strong directions, a mean, noise. The same for the same step. */
static void make_rows(float *rows, int64_t batch, int64_t d, int64_t step, double scale)
{
    rng r = rng_seed(11, (uint64_t)step);

    for (int64_t b = 0; b < batch; b++) {
        double strong = 2 * rng_normal(&r);
        for (int64_t i = 0; i < d; i++)
            rows[b * d + i] =
                (float)(scale * (1.0 + strong * (double)((i % 3) - 1) + rng_normal(&r) * (rng_uniform(&r) < 0.3)));
    }
}

static void steps(sae_trainer *t, int64_t until, double scale, sae_step_stats *last)
{
    int64_t batch = t->options.batch, d = t->learners[0].config.d_in, d_out = 0;
    for (int i = 0; i < t->n_dicts; i++) d_out = t->learners[i].config.d_out > 0 ? t->learners[i].config.d_out : d_out;
    float *rows = malloc((size_t)(batch * d) * sizeof *rows),
          *targets = d_out ? malloc((size_t)(batch * d_out) * sizeof *targets) : NULL;
    sae_step_stats *stats = calloc((size_t)t->n_dicts, sizeof *stats);
    sae_error err = {0};

    while (sae_trainer_steps_done(t) < until) {
        make_rows(rows, batch, d, sae_trainer_steps_done(t), scale);
        if (targets) make_rows(targets, batch, d_out, sae_trainer_steps_done(t) + 10000, scale);
        ck_assert_msg(sae_trainer_step(t, rows, targets, stats, &err) == SAE_OK, "%s", err.message);
    }
    free(targets);
    if (last) memcpy(last, stats, (size_t)t->n_dicts * sizeof *stats);
    free(stats);
    free(rows);
}

static void expect_equal_learners(const learner *a, const learner *b)
{
    for (int p = 0; p < N_PARAMS; p++) {
        size_t bytes = (size_t)(a->p[p].rows * a->p[p].columns) * sizeof(float);
        ck_assert_msg(memcmp(a->p[p].w, b->p[p].w, bytes) == 0, "%s differs", a->p[p].name);
        ck_assert_msg(memcmp(a->p[p].m, b->p[p].m, bytes) == 0, "first moment of %s differs", a->p[p].name);
        ck_assert_msg(memcmp(a->p[p].v, b->p[p].v, bytes) == 0, "second moment of %s differs", a->p[p].name);
    }
    ck_assert(memcmp(a->since_fired, b->since_fired, (size_t)a->config.d_sae * sizeof *a->since_fired) == 0);
    ck_assert(a->threshold == b->threshold && a->cutoff == b->cutoff && a->input_scale == b->input_scale &&
              a->target_scale == b->target_scale);
}

/* ---- Selection -------------------------------------------------------------------------------------------------------- */

static int descending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return x < y ? 1 : x > y ? -1 : 0;
}

/* More rows and latents than a tile; in later steps the activations jump up and down, so that the cutoff of the step
 * before lets too many or too few through. */
START_TEST(test_selection_is_the_exact_batch_topk)
{
    enum { ROWS = 2100, D = 16, WIDTH = 4500, KEEP = 5 };
    static const double scales[] = {1, 1, 1.02, 30, 30, 0.02, 1e-6, 1};
    sae_dict_config c = batchtopk(D, WIDTH, KEEP, 0);
    sae_train_options o = sae_recipe_dictionary_learning(ROWS, 1000, WIDTH);
    sae_trainer *t = create(&c, 1, &o);
    float *rows = malloc(sizeof(float) * ROWS * D), *all = malloc(sizeof(float) * ROWS * WIDTH);
    sae_error err = {0};

    for (size_t step = 0; step < sizeof scales / sizeof *scales; step++) {
        learner *l = &t->learners[0];
        sae_step_stats stats;
        step_sums sums = {0};
        make_rows(rows, ROWS, D, (int64_t)step, scales[step]);
        if (step == 0) ck_assert_int_eq(sae_trainer_step(t, rows, NULL, &stats, &err), SAE_OK); /* b_dec is set */
        memcpy(t->s.x, rows, sizeof(float) * ROWS * D);
        ck_assert_int_eq(encode_rows(t, l, t->encoders[0], false, &err), SAE_OK);
        select_kept(t, l, &sums);
        ck_assert_int_eq(sums.n_kept, KEEP * ROWS);
        double largest = 0;
        for (int64_t b = 0; b < ROWS; b++)
            for (int64_t j = 0; j < WIDTH; j++) {
                float a = sae_ops_ref.dot(t->s.u + b * D, l->p[P_W_ENC].w + j * D, D) + l->p[P_B_ENC].w[j];
                all[b * WIDTH + j] = a;
                largest = fmax(largest, (double)a);
            }
        for (int64_t b = 0; b < ROWS; b++)
            for (int64_t i = t->s.kept.row_start[b]; i < t->s.kept.row_start[b + 1]; i++) {
                float a = all[b * WIDTH + t->s.kept.latent[i]];
                EXPECT_WITHIN(fabs((double)a - t->s.kept.value[i]) / largest, 2e-6,
                              "a kept value is wrong"); /* [2.1e-7] */
                EXPECT(i == t->s.kept.row_start[b] || t->s.kept.latent[i - 1] < t->s.kept.latent[i],
                       "latents in disorder");
            }
        qsort(all, (size_t)ROWS * WIDTH, sizeof *all, descending);
        /* [7e-8] */
        EXPECT_WITHIN(fabs(sums.smallest - (double)all[KEEP * ROWS - 1]) / largest, 2e-6,
                      "step %zu: smallest kept %.9g, the K-th largest is %.9g", step, sums.smallest,
                      (double)all[KEEP * ROWS - 1]);
    }
    free(rows);
    free(all);
    sae_trainer_free(t);
}
END_TEST

START_TEST(test_ties_keep_exactly_k)
{
    enum { ROWS = 64, D = 8, WIDTH = 40, KEEP = 4 };
    sae_dict_config c = batchtopk(D, WIDTH, KEEP, 0);
    sae_train_options o = sae_recipe_dictionary_learning(ROWS, 100, WIDTH);
    sae_trainer *t = create(&c, 1, &o);
    float rows[ROWS * D];
    sae_step_stats s;
    sae_error err = {0};

    make_rows(rows, ROWS, D, 0, 1);
    ck_assert_int_eq(sae_trainer_step(t, rows, NULL, &s, &err), SAE_OK);
    for (int b = 1; b < ROWS; b++) memcpy(rows + b * D, rows, D * sizeof(float)); /* every row the same */
    ck_assert_int_eq(sae_trainer_step(t, rows, NULL, &s, &err), SAE_OK);
    ck_assert_double_eq(s.l0, KEEP);
    sae_trainer_free(t);
}
END_TEST

/* All latents alike and all rows nearly so: more candidates in one bin of the histogram than the list can hold. */
START_TEST(test_crowded_edge_is_exact)
{
    enum { ROWS = 512, D = 8, WIDTH = 512 };
    sae_dict_config c = batchtopk(D, WIDTH, 1, 0);
    sae_train_options o = sae_recipe_dictionary_learning(ROWS, 100, WIDTH);
    float *rows = malloc(sizeof(float) * ROWS * D);
    sae_error err = {0};

    for (int v = 0; v < 2; v++) { /* with distinct rows, then with all the same: more ties at the edge than fit */
        sae_trainer *t = create(&c, 1, &o);
        learner *l = &t->learners[0];
        step_sums sums = {0};
        for (int i = 0; i < WIDTH * D; i++) l->p[P_W_ENC].w[i] = 1.0f;
        for (int b = 0; b < ROWS; b++)
            for (int i = 0; i < D; i++) rows[b * D + i] = 1.0f + (v ? 0.0f : 1e-5f * (float)((b * 7) % ROWS));
        memcpy(t->s.x, rows, sizeof(float) * ROWS * D);
        ck_assert_int_eq(encode_rows(t, l, t->encoders[0], false, &err), SAE_OK);
        select_kept(t, l, &sums);
        ck_assert_int_eq(sums.n_kept, ROWS);
        for (int b = 0; b < ROWS; b++) /* the largest row has them all; of equal ones the first */
            ck_assert_int_eq(t->s.kept.row_start[b + 1] - t->s.kept.row_start[b],
                             (v ? b == 0 : (b * 7) % ROWS == ROWS - 1) ? ROWS : 0);
        sae_trainer_free(t);
    }
    free(rows);
}
END_TEST

/* The last latent is the largest in every row, all others are copies of one: more ties at the edge than the list can hold, behind and
 * before what is larger. Latents ascend in a row all the same, as the prefixes of Matryoshka need; and the same by exact codes. */
START_TEST(test_ties_stand_in_their_place)
{
    enum { ROWS = 512, D = 8, WIDTH = 512 };
    sae_dict_config c = matryoshka(D, 2, 0);
    sae_train_options o = sae_recipe_dictionary_learning(ROWS, 100, WIDTH);
    float *rows = malloc(sizeof(float) * ROWS * D);
    sae_error err = {0};
    step_sums sums = {0};

    c.d_sae = WIDTH;
    memcpy(c.groups, (int64_t[]){100, 300, 112}, sizeof(int64_t) * 3);
    o.exact_codes = _i;
    sae_trainer *t = create(&c, 1, &o);
    learner *l = &t->learners[0];
    const pair_lists *k = &t->s.kept;
    for (int i = 0; i < WIDTH * D; i++) l->p[P_W_ENC].w[i] = 1.0f;
    l->p[P_B_ENC].w[WIDTH - 1] = 1.0f;
    for (int i = 0; i < ROWS * D; i++) rows[i] = 1.0f;
    memcpy(t->s.x, rows, sizeof(float) * ROWS * D);
    ck_assert_int_eq(encode_rows(t, l, t->encoders[0], false, &err), SAE_OK);
    select_kept(t, l, &sums);
    ck_assert_int_eq(sums.n_kept, 2 * ROWS);
    ck_assert_int_eq(k->row_start[1], WIDTH); /* the first row has all but one of the ties, the second that one */
    ck_assert_int_eq(k->row_start[2], WIDTH + 2);
    for (int b = 0; b < ROWS; b++) {
        ck_assert_int_eq(k->latent[k->row_start[b + 1] - 1], WIDTH - 1);
        for (int64_t i = k->row_start[b] + 1; i < k->row_start[b + 1]; i++)
            EXPECT(k->latent[i] > k->latent[i - 1], "row %d: latent %d behind %d", b, (int)k->latent[i],
                   (int)k->latent[i - 1]);
    }
    sae_trainer_free(t);
    free(rows);
}
END_TEST

/* Activations so small that all are in the lowest bin of the histogram, and more than the list can hold. */
START_TEST(test_smallest_activations_are_ranked)
{
    enum { ROWS = 512, D = 8, WIDTH = 512 };
    sae_dict_config c = batchtopk(D, WIDTH, 1, 0);
    sae_train_options o = sae_recipe_dictionary_learning(ROWS, 100, WIDTH);
    sae_error err = {0};
    step_sums sums = {0};

    o.exact_codes = _i;
    sae_trainer *t = create(&c, 1, &o);
    learner *l = &t->learners[0];
    memset(t->s.x, 0, sizeof(float) * ROWS * D);
    for (int j = 0; j < WIDTH; j++) l->p[P_B_ENC].w[j] = float_of((uint32_t)(j == 77 ? 1000 : 1 + j));
    ck_assert_int_eq(encode_rows(t, l, t->encoders[0], false, &err), SAE_OK);
    select_kept(t, l, &sums);
    ck_assert_int_eq(sums.n_kept, ROWS);
    for (int b = 0; b < ROWS; b++) {
        ck_assert_int_eq(t->s.kept.row_start[b], b);
        ck_assert_int_eq(t->s.kept.latent[b], 77);
    }
    sae_trainer_free(t);
}
END_TEST

/* The best of rows whose values come from a few integers, so that they tie, against sorting: of equal ones the lower latents. Some
 * latents are left out because they fired. */
START_TEST(test_best_of_rows_with_ties)
{
    enum { ROWS = 40, WIDTH = 900, KEEP = 11, PIECE = 128 };
    static float value[WIDTH];
    static int32_t latent[WIDTH];
    int64_t fired[WIDTH + 1] = {0}, row_start[ROWS + 1], room = best_room(KEEP + 20);
    best_rows r = {
        .room = room, .rows = calloc(ROWS, sizeof *r.rows), .keys = calloc((size_t)(ROWS * room), sizeof *r.keys)};
    pair_lists lists = {.row_start = row_start,
                        .latent = calloc((size_t)ROWS * KEEP, sizeof *lists.latent),
                        .value = calloc((size_t)ROWS * KEEP, sizeof *lists.value)};

    for (int j = 0; j < WIDTH; j++) fired[j + 1] = fired[j] + (_i == 1 && j % 100 == 7);
    best_empty(&r, ROWS, KEEP + 20, _i == 2 ? -INFINITY : 0.0f, false);
    for (int b = 0; b < ROWS; b++) {
        rng random = rng_seed(9, (uint64_t)b);
        for (int j = 0; j < WIDTH; j++) {
            value[j] = (float)((double)rng_below(&random, 6) - (_i == 2 ? 5.0 : 1.0));
            latent[j] = j;
        }
        for (int j = 0; j < WIDTH; j += PIECE)
            best_put(&r, b, latent + j, value + j, j + PIECE < WIDTH ? PIECE : WIDTH - j);
    }
    ck_assert(best_list(&r, ROWS, KEEP, fired, &lists));
    for (int b = 0; b < ROWS; b++) {
        rng random = rng_seed(9, (uint64_t)b);
        bool listed[WIDTH] = {false}, expected[WIDTH] = {false};
        for (int j = 0; j < WIDTH; j++) value[j] = (float)((double)rng_below(&random, 6) - (_i == 2 ? 5.0 : 1.0));
        int left = KEEP;
        for (float v = 5.0f; left > 0; v -= 1.0f)
            for (int j = 0; j < WIDTH && left > 0; j++)
                if (value[j] == v && fired[j + 1] == fired[j]) {
                    expected[j] = true;
                    left--;
                }
        ck_assert_int_eq(row_start[b + 1] - row_start[b], KEEP);
        for (int64_t i = row_start[b]; i < row_start[b + 1]; i++) {
            listed[lists.latent[i]] = true;
            ck_assert(lists.value[i] == value[lists.latent[i]]);
        }
        ck_assert(memcmp(listed, expected, sizeof listed) == 0);
    }
    free(r.rows);
    free(r.keys);
    free(lists.latent);
    free(lists.value);
}
END_TEST

/* Each row keeps its k largest positive activations, or all when there are fewer. More rows and latents than a tile; a third of the
 * latents are copies of others, so that activations tie but for the product's rounding. */
START_TEST(test_topk_is_the_best_of_each_row)
{
    enum { ROWS = 2100, D = 16, WIDTH = 4500, KEEP = 7 };
    sae_dict_config c = {.arch = SAE_TOPK, .d_in = D, .d_sae = WIDTH, .k = KEEP};
    sae_train_options o = sae_recipe_dictionary_learning(ROWS, 1000, WIDTH);
    float *rows = malloc(sizeof(float) * ROWS * D), *a = malloc(sizeof(float) * WIDTH);
    sae_error err = {0};

    for (int v = 0; v < 3; v++) { /* ranked by activation; by activation x norm; with few positive ones */
        if (v == 1) o.selection_rule = SAE_SELECT_TIMES_NORM;
        sae_trainer *t = create(&c, 1, &o);
        learner *l = &t->learners[0];
        const pair_lists *k = &t->s.kept;
        step_sums sums = {0};
        float *W = l->p[P_W_ENC].w, *W_dec = l->p[P_W_DEC].w;
        for (int j = 2; j < WIDTH; j += 3) memcpy(W + j * D, W + (j - 2) * D, D * sizeof *W);
        for (int j = 0; v == 1 && j < WIDTH; j++)
            for (int i = 0; i < D; i++) W_dec[j * D + i] *= 0.5f + (float)(j % 3 == 1);
        for (int j = 0; v == 2 && j < WIDTH; j++) l->p[P_B_ENC].w[j] = j < 4488 ? -1000.0f : 0.0f;
        make_rows(rows, ROWS, D, v, 1);
        memcpy(t->s.x, rows, sizeof(float) * ROWS * D);
        ck_assert_int_eq(topk_forward(t, l, t->encoders[0], &sums, &err), SAE_OK);
        for (int64_t b = 0; b < ROWS; b++) {
            int64_t begin = k->row_start[b], n = k->row_start[b + 1] - begin, positive = 0;
            for (int j = 0; j < WIDTH; j++) {
                a[j] = sae_ops_ref.dot(t->s.u + b * D, W + j * D, D) + l->p[P_B_ENC].w[j];
                positive += a[j] > 0;
            }
            ck_assert_int_eq(n, positive < KEEP ? positive : KEEP);
            for (int64_t i = begin; i < begin + n; i++) /* [2.9e-6] */
                EXPECT_WITHIN(fabs((double)k->value[i] - a[k->latent[i]]), 2e-5, "row %d: a kept value is wrong",
                              (int)b);
            for (int64_t i = begin; i < begin + n; i++) { /* no unlisted one is better */
                int32_t mine = k->latent[i];
                float scale = v == 1 ? (mine % 3 == 1 ? 1.5f : 0.5f) : 1.0f, rank = a[mine] * scale;
                int64_t better = 0;
                for (int j = 0; j < WIDTH; j++)
                    better += a[j] * (v == 1 ? (j % 3 == 1 ? 1.5f : 0.5f) : 1.0f) > rank + 5e-5f;
                ck_assert_int_lt(better, KEEP);
            }
        }
        if (v == 2) ck_assert_int_lt(sums.n_kept, ROWS * KEEP);
        sae_trainer_free(t);
    }
    free(rows);
    free(a);
}
END_TEST

/* Exactly the k that dictionary_learning's trainer has: the final one in step 0, the largest in step 1, then falling. */
START_TEST(test_k_anneals)
{
    static const int64_t expected[] = {3, 16, 12, 9, 6, 3, 3, 3};
    static const sae_arch archs[] = {SAE_TOPK, SAE_BATCHTOPK, SAE_MATRYOSHKA};

    for (int n = 0; n < 3; n++) {
        sae_dict_config c = matryoshka(16, 3, 0);
        c.arch = archs[n];
        if (n < 2) c.n_groups = 0;
        sae_train_options o = short_recipe(64, 12);
        o.k_anneal_steps = 4;
        sae_trainer *t = create(&c, 1, &o);
        for (int step = 0; step < 8; step++) {
            sae_step_stats s;
            steps(t, step + 1, 1, &s);
            ck_assert_double_le(s.l0, (double)expected[step]);
            ck_assert_double_gt(s.l0, (double)expected[step] * 0.4); /* half the activations are positive */
            if (step != 1) ck_assert_double_gt(s.l0, (double)expected[step] - 1);
        }
        sae_trainer_free(t);
    }
}
END_TEST

/* Dead latents get rows of the batch: W_dec at norm 1, W_enc along it at 0.2 of the living ones' norm times the row's, b_enc 0 and no
 * moments; others are left alone. Rows with a large error come more often. */
START_TEST(test_dead_latents_are_resampled)
{
    enum { ROWS = 64, D = 12, WIDTH = 48, EVERY = 10 };
    sae_dict_config c = batchtopk(D, WIDTH, 3, 0);
    sae_train_options o = short_recipe(ROWS, 100);
    o.auxk_alpha = 0;
    o.unit_scale = false;
    sae_trainer *without = create(&c, 1, &o);
    o.resample_every = EVERY;
    sae_trainer *t = create(&c, 1, &o);
    sae_trainer *both[2] = {without, t};
    float rows[ROWS * D];
    int64_t n = 0;

    for (int i = 0; i < 2; i++) {
        for (int j = 0; j < 10; j++) both[i]->learners[0].p[P_B_ENC].w[j] = -100.0f; /* never fire */
        both[i]->options.warmup_steps = 0;
        steps(both[i], EVERY, 1, NULL);
    }
    for (int i = 0; i < 2; i++) steps(both[i], EVERY + 1, 1, NULL); /* step EVERY resamples */
    make_rows(rows, ROWS, D, EVERY, 1);
    const learner *l = &t->learners[0], *before = &without->learners[0];
    double norms = 0;
    int64_t living = 0;
    for (int j = 0; j < WIDTH; j++) {
        if (before->since_fired[j] > EVERY * ROWS / 2) continue;
        norms += sqrt(t->ops->sum_squares(before->p[P_W_ENC].w + j * D, D));
        living++;
    }
    for (int j = 0; j < WIDTH; j++) {
        const float *w_enc = l->p[P_W_ENC].w + j * D, *w_dec = l->p[P_W_DEC].w + j * D;
        if (before->since_fired[j] <= EVERY * ROWS / 2) {
            ck_assert(memcmp(w_enc, before->p[P_W_ENC].w + j * D, D * sizeof(float)) == 0);
            ck_assert(memcmp(w_dec, before->p[P_W_DEC].w + j * D, D * sizeof(float)) == 0);
            continue;
        }
        n++;
        bool found = false;
        for (int b = 0; b < ROWS && !found; b++) {
            double worst = 0, norm = sqrt(t->ops->sum_squares(rows + b * D, D));
            for (int i = 0; i < D; i++) {
                worst = fmax(worst, fabs((double)w_dec[i] - rows[b * D + i] / norm));
                worst = fmax(worst, fabs((double)w_enc[i] - 0.2 * norms / (double)living * rows[b * D + i]));
            }
            found = worst < 1e-5;
        }
        ck_assert_msg(found, "latent %d has no row of the batch", j);
        ck_assert_float_eq(l->p[P_B_ENC].w[j], 0.0f);
        for (int i = 0; i < D; i++) ck_assert(l->p[P_W_DEC].m[j * D + i] == 0 && l->p[P_W_ENC].v[j * D + i] == 0);
    }
    ck_assert_int_ge(n, 10);
    sae_trainer_free(t);
    sae_trainer_free(without);
}
END_TEST

/* Each recipe trains what it is for, exports it, and says its constants. */
START_TEST(test_recipes)
{
    static const sae_arch archs[] = {SAE_TOPK, SAE_BATCHTOPK, SAE_MATRYOSHKA};
    enum { BATCH = 128, STEPS = 60 };

    for (int n = 0; n < 3; n++) {
        sae_dict_config c = matryoshka(20, 6, 0);
        c.arch = archs[n];
        if (n < 2) c.n_groups = 0;
        sae_train_options o = sae_recipe((sae_recipe_name)_i, c.arch, BATCH, STEPS, 64);
        sae_step_stats first, last;
        sae_dict *dict = NULL;
        sae_error err = {0};
        o.threshold_start_step = 10;
        o.warmup_steps = 10;
        sae_trainer *t = create(&c, 1, &o);
        steps(t, 1, 1, &first);
        steps(t, STEPS, 1, &last);
        ck_assert_double_lt(last.fvu, first.fvu);
        ck_assert_msg(sae_trainer_export(t, 0, &dict, &err) == SAE_OK, "%s", err.message);
        sae_weights w = sae_dict_weights(dict);
        /* [4.8e-7; OpenAI's as the last update left them: 2.2e-4] */
        bool openai = _i == SAE_RECIPE_OPENAI;
        double worst = 0;
        int64_t least = INT64_MAX;
        for (int j = 0; j < 64; j++) {
            double off = fabs(sae_ops_ref.sum_squares(w.W_dec + j * 20, 20) - 1);
            EXPECT_WITHIN(off, openai ? 2e-3 : 1e-4, "row %d of W_dec is no unit", j);
            worst = fmax(worst, off);
            if (t->learners[0].since_fired[j] < least) least = t->learners[0].since_fired[j];
        }
        ck_assert(!openai || worst > 1e-5);
        ck_assert_int_eq(least, openai ? BATCH : 0); /* the batch of the firing counts, or not */
        ck_assert_int_eq(first.dead, 0);
        ck_assert(openai == (first.auxk_loss > 0.0)); /* b_dec learns from AuxK with no latent dead */
        sae_dict *after = NULL;                       /* the same without the moments */
        sae_trainer_finish(t);
        ck_assert_msg(sae_trainer_export(t, 0, &after, &err) == SAE_OK, "%s", err.message);
        ck_assert(memcmp(w.W_enc, sae_dict_weights(after).W_enc, sizeof(float) * 64 * 20) == 0);
        ck_assert(memcmp(w.W_dec, sae_dict_weights(after).W_dec, sizeof(float) * 64 * 20) == 0);
        sae_dict_free(after);
        sae_dict_free(dict);
        sae_trainer_free(t);
    }
}
END_TEST

/* sign-SGD averages nothing of a dictionary that waits for its scaffold: its weights are exported as they began, the scaffold's as
 * averaged; and the same once the moments are gone. */
START_TEST(test_waiting_dictionary_has_no_average)
{
    enum { D = 12, WIDTH = 40 };
    sae_dict_config c = {.arch = SAE_TOPK, .d_in = D, .d_sae = WIDTH, .k = 3, .rank = 2, .scaffold_steps = 10};
    sae_train_options o = sae_recipe(SAE_RECIPE_SPARSIFY, SAE_TOPK, 32, 40, WIDTH);
    sae_trainer *t = create(&c, 1, &o);
    const learner *l = &t->learners[0];
    float W_enc[WIDTH * D];
    sae_error err = {0};

    memcpy(W_enc, l->p[P_W_ENC].w, sizeof W_enc);
    steps(t, 5, 1, NULL);
    for (int finished = 0; finished < 2; finished++) {
        sae_dict *dict = NULL;
        float W_up[2 * D];
        averaged_weights(&o, &l->p[P_W_UP], W_up);
        if (finished) sae_trainer_finish(t);
        ck_assert_msg(sae_trainer_export(t, 0, &dict, &err) == SAE_OK, "%s", err.message);
        ck_assert(memcmp(sae_dict_weights(dict).W_enc, W_enc, sizeof W_enc) == 0);
        ck_assert(finished || memcmp(sae_dict_weights(dict).W_up, W_up, sizeof W_up) == 0);
        sae_dict_free(dict);
    }
    sae_trainer_free(t);
}
END_TEST

/* openai's encoder begins as W_dec times the number by which directions, other ones than it was found with, are rebuilt at their own
 * length: every one by its k largest latents. Unscaled they are not (observed: 0.71 and 3.57; scaled 1.005 and 0.992). */
START_TEST(test_openai_rebuilds_directions)
{
    enum { D = 32, F = 256, N = 2000 };
    static const int64_t ks[] = {2, 40};
    sae_dict_config c = {.arch = _i ? SAE_BATCHTOPK : SAE_TOPK, .d_in = D, .d_sae = F, .k = ks[_i], .seed = 3};
    rng r = rng_seed(77, 1);
    double length[2] = {0}, ratio = 0;

    for (int plain = 0; plain < 2; plain++) {
        sae_train_options o = sae_recipe(SAE_RECIPE_OPENAI, c.arch, 16, 10, F);
        sae_trainer *t = NULL;
        sae_error err = {0};
        ck_assert_double_eq(o.encoder_norm, SAE_ENCODER_REBUILDS);
        if (plain) o.encoder_norm = 0;
        ck_assert_msg(sae_trainer_create(&t, &c, 1, &o, &err) == SAE_OK, "%s", err.message);
        const float *enc = t->learners[0].p[P_W_ENC].w, *dec = t->learners[0].p[P_W_DEC].w;
        ratio = (double)enc[0] / (double)dec[0];
        for (int i = 0; i < F * D; i++) EXPECT(fabs((double)enc[i] - ratio * (double)dec[i]) < 1e-6, "entry %d", i);
        for (int n = 0; n < N; n++) {
            double u[D], norm = 0, a[F], recon[D] = {0}, squares = 0;
            for (int i = 0; i < D; i++) u[i] = rng_normal(&r), norm += u[i] * u[i];
            for (int j = 0; j < F; j++) {
                a[j] = 0;
                for (int i = 0; i < D; i++) a[j] += u[i] / sqrt(norm) * (double)enc[j * D + i];
            }
            for (int64_t k = 0; k < c.k; k++) {
                int best = 0;
                for (int j = 1; j < F; j++) best = a[j] > a[best] ? j : best;
                for (int i = 0; i < D && a[best] > 0; i++) recon[i] += a[best] * (double)dec[best * D + i];
                a[best] = -1;
            }
            for (int i = 0; i < D; i++) squares += recon[i] * recon[i];
            length[plain] += sqrt(squares) / N;
        }
        sae_trainer_free(t);
    }
    if (getenv("SAE_OBSERVED")) printf("k %d: %.4f, unscaled %.4f\n", (int)c.k, length[0], length[1]);
    ck_assert_double_eq_tol(length[0], 1, 0.02);
    ck_assert(fabs(length[1] - 1) > 0.2);
}
END_TEST

START_TEST(test_recipes_say_their_constants)
{
    sae_train_options o = sae_recipe(SAE_RECIPE_OPENAI, SAE_TOPK, 131072, 1000, 32768);

    ck_assert_double_eq(o.lr, 1e-4);
    ck_assert_double_eq(o.adam_eps, 6.25e-10);
    ck_assert_int_eq(o.auxk_k, 256);
    ck_assert_int_eq(o.dead_tokens, (10000000 / 131072 + 1) * 131072);
    ck_assert_double_eq(o.grad_clip, 0);
    o = sae_recipe(SAE_RECIPE_SAELENS, SAE_BATCHTOPK, 4096, 1000, 16384);
    ck_assert_double_eq(o.lr, 3e-4);
    ck_assert_int_eq(o.dead_tokens, 1000 * 4096);
    ck_assert_double_eq(o.decoder_norm, 0.1);
    ck_assert_double_eq(o.auxk_alpha, 1);
    o = sae_recipe(SAE_RECIPE_SPARSIFY, SAE_TOPK, 4096, 1000, 16384 * 4);
    ck_assert_double_eq(o.lr, 2.5e-3);
    ck_assert_double_eq(o.adam_beta1, 0.95);
    ck_assert_int_eq(o.optimiser_rule, SAE_OPTIMISER_SIGNUM);
    o = sae_recipe(SAE_RECIPE_DICTIONARY_LEARNING, SAE_JUMPRELU, 2048, 1000, 16384);
    ck_assert_double_eq(o.lr, 7e-5);
    ck_assert_double_eq(o.adam_beta1, 0);
    ck_assert_int_eq(o.sparsity_warmup_steps, 2000);
    o = sae_recipe(SAE_RECIPE_DICTIONARY_LEARNING, SAE_STANDARD, 2048, 1000, 16384);
    ck_assert_double_eq(o.lr, 1e-3);
    ck_assert_double_eq(o.decoder_norm, 0.1);
    ck_assert_double_eq(o.grad_clip, 0);
    o = sae_recipe(SAE_RECIPE_DICTIONARY_LEARNING, SAE_GATED, 2048, 1000, 16384);
    ck_assert_double_eq(o.lr, 5e-5);
    ck_assert_int_eq(o.decoder_rule, SAE_DECODER_CONSTRAINED);
    const sae_recipe_name dl = SAE_RECIPE_DICTIONARY_LEARNING, sl = SAE_RECIPE_SAELENS;
    ck_assert_int_eq(recipe_batch(SAE_RECIPE_SAEBENCH), 2048);
    ck_assert_int_eq(recipe_batch(dl), 2048);
    ck_assert_int_eq(recipe_batch(sl), 4096);
    ck_assert_int_eq(recipe_batch(SAE_RECIPE_OPENAI), 131072);
    ck_assert_int_eq(recipe_batch(SAE_RECIPE_SPARSIFY), 65536);
    ck_assert_double_eq(recipe_l1_coefficient(dl, SAE_STANDARD), 0.1);
    ck_assert_double_eq(recipe_l1_coefficient(dl, SAE_GATED), 0.1);
    ck_assert_double_eq(recipe_l1_coefficient(dl, SAE_JUMPRELU), 1);
    ck_assert_double_eq(recipe_l1_coefficient(sl, SAE_STANDARD), 1);
    ck_assert_double_eq(recipe_l1_coefficient(sl, SAE_GATED), 1);
    ck_assert_double_eq(recipe_l1_coefficient(sl, SAE_JUMPRELU), 1);
    ck_assert_double_eq(recipe_l1_coefficient(sl, SAE_TOPK), 0);
}
END_TEST

/* SAELens and sparsify divide by the aux_k that is asked for, also where the dictionary has fewer latents. */
START_TEST(test_auxk_share_of_a_narrow_dictionary)
{
    sae_dict_config c = batchtopk(20, 6, 1, 0);
    sae_train_options o = sae_recipe(SAE_RECIPE_SAELENS, SAE_BATCHTOPK, 32, 20, 6);
    sae_trainer *t[2];
    sae_step_stats stats[2];

    o.dead_tokens = 32;
    for (int i = 0; i < 2; i++) {
        o.auxk_k = i ? 24 : 6;
        t[i] = create(&c, 1, &o);
    }
    do /* until the first that are dead: so far both are the same */
        for (int i = 0; i < 2; i++) steps(t[i], sae_trainer_steps_done(t[i]) + 1, 1, &stats[i]);
    while (stats[0].dead == 0 && stats[0].step < 19);
    ck_assert(stats[0].dead > 0 && stats[0].auxk_loss > 0);
    EXPECT_WITHIN(fabs(stats[1].auxk_loss / stats[0].auxk_loss - 0.25), 1e-12, "the share is another"); /* [0] */
    for (int i = 0; i < 2; i++) sae_trainer_free(t[i]);
}
END_TEST

/* ---- Arms --------------------------------------------------------------------------------------------------------------- */

START_TEST(test_dictionaries_train_as_if_alone)
{
    enum { N = 5 };
    sae_dict_config c[N] = {batchtopk(20, 64, 4, 0), matryoshka(20, 6, 3), batchtopk(20, 96, 8, 5),
                            batchtopk(20, 64, 3, 0), batchtopk(20, 64, 9, 0)};
    sae_train_options o = short_recipe(128, 40);

    c[2].variant = SAE_P2;
    c[3].arch = c[4].arch = SAE_TOPK;
    sae_trainer *together = create(c, N, &o);
    steps(together, 40, 1, NULL);
    for (int i = 0; i < N; i++) {
        sae_trainer *alone = create(&c[i], 1, &o);
        steps(alone, 40, 1, NULL);
        expect_equal_learners(&together->learners[i], &alone->learners[0]);
        sae_trainer_free(alone);
    }
    sae_trainer_free(together);
}
END_TEST

typedef struct arm_row {
    sae_variant variant;
    bool last;
    int64_t d_out;
} arm_row;

static const arm_row arms[] = {
    {SAE_P1, false, 0}, {SAE_P2, false, 0}, {SAE_P3, false, 0},  {SAE_P1, true, 0},
    {SAE_P2, true, 0},  {SAE_P3, true, 0},  {SAE_P1, false, 12}, {SAE_P1, true, 12},
};

/* T1, T2: a scaffold changes nothing in step 0, and nothing at all while W_up is held at 0. */
START_TEST(test_zero_scaffold_is_the_baseline)
{
    const arm_row *arm = &arms[_i];
    sae_dict_config c[2] = {matryoshka(20, 6, 0), matryoshka(20, 6, 4)};
    sae_train_options o = short_recipe(128, 60);
    sae_step_stats s[2];

    c[0].d_out = c[1].d_out = arm->d_out;
    c[1].variant = arm->variant;
    c[1].scaffold_last = arm->last;
    o.grad_clip = 0.0; /* W_up's own gradient would count in the norm */
    sae_trainer *t = create(c, 2, &o);
    for (int64_t n = 1; n <= 60; n++) {
        steps(t, n, 1, s);
        ck_assert_msg(s[0].loss == s[1].loss, "step %lld: %.17g and %.17g", (long long)n - 1, s[0].loss, s[1].loss);
        param *up = &t->learners[1].p[P_W_UP];
        memset(up->w, 0, (size_t)(up->rows * up->columns) * sizeof(float));
    }
    sae_trainer_free(t);
}
END_TEST

/* T3: with a silent dictionary the scaffold becomes the best linear map of its rank: PCA. */
START_TEST(test_scaffold_alone_becomes_pca)
{
    enum { D = 16, R = 3, ROWS = 256, STEPS = 1500 };
    sae_dict_config c = batchtopk(D, 4, 1, R);
    sae_train_options o = sae_recipe_saebench(ROWS, STEPS);
    sae_step_stats s;
    sae_error err = {0};
    double mean[D] = {0}, covariance[D * D] = {0}, values[D], vectors[D * D], total = 0, best = 0, fvu = 0;
    float *rows = malloc(sizeof(float) * ROWS * D);

    o.lr = 5e-3;
    o.auxk_alpha = 0.0;
    sae_trainer *t = create(&c, 1, &o);
    for (int j = 0; j < 4; j++) t->learners[0].p[P_B_ENC].w[j] = -1e9f;
    rng r = rng_seed(8, 8);
    for (int b = 0; b < ROWS; b++) /* a spectrum that falls by half from one component to the next */
        for (int i = 0; i < D; i++) rows[b * D + i] = (float)(2.0 + 4.0 * pow(0.7, i) * rng_normal(&r));
    for (int n = 0; n < STEPS; n++) {
        for (int j = 0; j < 4; j++) t->learners[0].p[P_B_ENC].w[j] = -1e9f;
        ck_assert_int_eq(sae_trainer_step(t, rows, NULL, &s, &err), SAE_OK);
        fvu = s.fvu;
    }
    ck_assert_double_eq(s.l0, 0);
    for (int b = 0; b < ROWS; b++)
        for (int i = 0; i < D; i++) mean[i] += (double)rows[b * D + i] / ROWS;
    for (int b = 0; b < ROWS; b++)
        for (int i = 0; i < D; i++)
            for (int j = 0; j < D; j++)
                covariance[i * D + j] += ((double)rows[b * D + i] - mean[i]) * ((double)rows[b * D + j] - mean[j]);
    ck_assert_int_eq(linalg_eigh(D, covariance, values, vectors, &err), SAE_OK);
    for (int i = 0; i < D; i++) {
        total += values[i];
        best += i >= R ? values[i] : 0;
    }
    ck_assert_msg(fvu >= best / total - 1e-6 && fvu < 1.01 * best / total, "FVU %.6f, PCA's %.6f", fvu, best / total);
    free(rows);
    sae_trainer_free(t);
}
END_TEST

/* T4: P2 with W_enc is P1 with W_enc' = (I - W_down W_up) W_enc, up to rounding. */
START_TEST(test_p1_and_p2_have_the_same_functions)
{
    enum { N = 50, D = 24, WIDTH = 64, R = 3 };
    sae_dict *dict[2] = {NULL, NULL};
    sae_error err = {0};
    float rows[N * D], recon[2][N * D], h[N * R], *value;
    int64_t start[N + 1];
    int32_t *latent;
    rng r = rng_seed(3, 3);

    for (int v = 0; v < 2; v++) {
        sae_dict_config c = batchtopk(D, WIDTH, 4, R);
        c.variant = v ? SAE_P2 : SAE_P1;
        c.apply_b_dec_to_input = true;
        ck_assert_int_eq(sae_dict_create(&dict[v], &c, &err), SAE_OK);
    }
    sae_weights p1 = sae_dict_weights(dict[0]), p2 = sae_dict_weights(dict[1]);
    for (int i = 0; i < WIDTH * D; i++) p1.W_dec[i] = p2.W_dec[i] = p2.W_enc[i] = (float)(0.3 * rng_normal(&r));
    for (int i = 0; i < R * D; i++) {
        p1.W_down[i] = p2.W_down[i] = (float)(0.3 * rng_normal(&r));
        p1.W_up[i] = p2.W_up[i] = (float)(0.3 * rng_normal(&r));
    }
    for (int i = 0; i < D; i++) p1.b_dec[i] = p2.b_dec[i] = (float)rng_normal(&r);
    for (int i = 0; i < N * D; i++) rows[i] = (float)rng_normal(&r);
    for (int j = 0; j < WIDTH; j++) {
        p1.threshold[j] = p2.threshold[j] = 0.0f; /* relu: no jump that rounding could cross */
        for (int i = 0; i < D; i++) p1.W_enc[j * D + i] = p2.W_enc[j * D + i];
        for (int k = 0; k < R; k++) {
            double up = 0;
            for (int i = 0; i < D; i++) up += (double)p2.W_up[k * D + i] * p2.W_enc[j * D + i];
            for (int i = 0; i < D; i++) p1.W_enc[j * D + i] -= (float)(up * (double)p2.W_down[k * D + i]);
        }
    }
    for (int v = 0; v < 2; v++) {
        ck_assert_int_eq(sae_dict_encode(dict[v], rows, N, start, &latent, &value, h, &err), SAE_OK);
        ck_assert_int_eq(sae_dict_decode(dict[v], N, start, latent, value, h, NULL, recon[v], &err), SAE_OK);
        free(latent);
        free(value);
        sae_dict_free(dict[v]);
    }
    for (int i = 0; i < N * D; i++) ck_assert_double_le(fabs((double)recon[0][i] - recon[1][i]), 1e-5);
}
END_TEST

/* T10: rows in other units give the same dictionary in those units. 4 is a power of two: even the bits agree. */
START_TEST(test_scale_of_rows_does_not_matter)
{
    sae_dict_config c = matryoshka(20, 6, 3);
    c.scaffold_centre = (sae_scaffold_centre)_i;
    sae_train_options o = short_recipe(128, 60);
    sae_error err = {0};
    sae_dict *dict[2];
    float rows[32 * 20], h[2][32 * 3], *value[2];
    int64_t start[2][33];
    int32_t *latent[2];

    for (int v = 0; v < 2; v++) {
        sae_trainer *t = create(&c, 1, &o);
        steps(t, 60, v ? 4 : 1, NULL);
        ck_assert_msg(sae_trainer_export(t, 0, &dict[v], &err) == SAE_OK, "%s", err.message);
        sae_trainer_free(t);
        make_rows(rows, 32, 20, 1000, v ? 4 : 1);
        ck_assert_int_eq(sae_dict_encode(dict[v], rows, 32, start[v], &latent[v], &value[v], h[v], &err), SAE_OK);
        sae_dict_free(dict[v]);
    }
    ck_assert_int_gt(start[0][32], 32);
    ck_assert(memcmp(start[0], start[1], sizeof start[0]) == 0);
    for (int i = 0; i < 32 * 3; i++)
        ck_assert_double_le(fabs(4.0 * h[0][i] - h[1][i]), 1e-5 * (1 + fabs((double)h[1][i])));
    for (int64_t i = 0; i < start[0][32]; i++) {
        ck_assert_int_eq(latent[0][i], latent[1][i]);
        ck_assert_double_le(fabs(4.0 * value[0][i] - value[1][i]), 1e-5 * fabs((double)value[1][i]));
    }
    for (int v = 0; v < 2; v++) {
        free(latent[v]);
        free(value[v]);
    }
}
END_TEST

/* ---- Stopping and going on ---------------------------------------------------------------------------------------------- */

static char folder[64];

static void make_folder(void)
{
    snprintf(folder, sizeof folder, "/tmp/sae-test-laws-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void) { folder_remove(folder, NULL); }

/* One of each kind; the third and the fifth are resumed while their dictionaries wait for the scaffold. */
START_TEST(test_resumed_run_has_the_same_bytes)
{
    enum { N = 10 };
    sae_dict_config c[N] = {matryoshka(20, 6, 0),    batchtopk(20, 96, 4, 3), batchtopk(20, 96, 4, 3),
                            batchtopk(20, 64, 4, 2), matryoshka(20, 6, 2),    batchtopk(20, 64, 4, 0),
                            batchtopk(20, 64, 4, 2), matryoshka(20, 6, 2),    batchtopk(20, 64, 4, 2),
                            batchtopk(20, 64, 4, 2)};
    sae_train_options o = short_recipe(128, 80);
    sae_error err = {0};
    int64_t rows_given = 0, dead = 0;

    c[1].variant = SAE_P2;
    c[2].variant = SAE_P3;
    c[2].scaffold_steps = 40;
    c[3].scaffold_start = SAE_START_PCA;
    c[3].scaffold_frozen = true;
    c[4].scaffold_last = c[4].scaffold_frozen = true;
    c[4].scaffold_steps = 40;
    c[4].d_out = c[5].d_out = c[9].d_out = 12;
    c[5].skip = true;
    c[6].variant = SAE_P2;
    c[6].scaffold_centre = c[9].scaffold_centre = SAE_CENTRE_OWN;
    c[7].scaffold_centre = SAE_CENTRE_NONE;
    c[7].scaffold_tie = SAE_TIE_TRANSPOSE;
    c[7].scaffold_start = SAE_START_PCA;
    c[8].variant = SAE_P3;
    c[8].scaffold_start = c[9].scaffold_start = SAE_START_RANDOM;
    c[8].scaffold_tie = c[9].scaffold_tie = SAE_TIE_ORTHONORMAL;
    c[8].scaffold_lr = 0.3;
    sae_trainer *undisturbed = create(c, N, &o), *stopped = create(c, N, &o), *resumed = create(c, N, &o);
    sae_step_stats s[N];
    steps(undisturbed, 80, 1, s);
    for (int i = 0; i < N; i++) dead += s[i].dead;
    ck_assert_int_gt(dead, 0); /* AuxK was at work */
    steps(stopped, 33, 1, NULL);
    ck_assert_msg(sae_trainer_save(stopped, folder, 33 * 128, &err) == SAE_OK, "%s", err.message);
    ck_assert_msg(sae_trainer_resume(resumed, folder, &rows_given, &err) == SAE_OK, "%s", err.message);
    ck_assert_int_eq(rows_given, 33 * 128);
    ck_assert_int_eq(sae_trainer_steps_done(resumed), 33);
    steps(resumed, 80, 1, NULL);
    for (int i = 0; i < N; i++) expect_equal_learners(&undisturbed->learners[i], &resumed->learners[i]);
    sae_trainer_free(undisturbed);
    sae_trainer_free(stopped);
    sae_trainer_free(resumed);
}
END_TEST

/* The same by the rules of others: all that they keep is in the checkpoint. */
START_TEST(test_resumed_run_of_other_rules_has_the_same_bytes)
{
    enum { N = 3 };
    sae_dict_config c[N] = {
        {.arch = SAE_TOPK, .d_in = 20, .d_sae = 96, .k = 4}, batchtopk(20, 96, 4, 0), matryoshka(20, 6, 0)};
    sae_train_options o = _i == 0 ? short_recipe(128, 60) : sae_recipe(SAE_RECIPE_SPARSIFY, SAE_TOPK, 128, 60, 96);
    sae_error err = {0};
    int64_t rows_given = 0;

    o.dead_tokens = 256;
    o.auxk_alpha = 0.1;
    o.threshold_start_step = 10;
    o.k_anneal_steps = 30;
    if (_i == 0) {
        o.resample_every = 16;
        o.selection_rule = SAE_SELECT_TIMES_NORM;
        o.decoder_rule = SAE_DECODER_FREE;
        o.loss_rule = SAE_LOSS_FIRST;
        o.dead_rule = SAE_DEAD_BEFORE_BATCH;
        o.auxk_rule = SAE_AUXK_PLAIN;
    }
    sae_trainer *undisturbed = create(c, N, &o), *stopped = create(c, N, &o), *resumed = create(c, N, &o);
    steps(undisturbed, 60, 1, NULL);
    steps(stopped, 23, 1, NULL);
    ck_assert_msg(sae_trainer_save(stopped, folder, 23 * 128, &err) == SAE_OK, "%s", err.message);
    ck_assert_msg(sae_trainer_resume(resumed, folder, &rows_given, &err) == SAE_OK, "%s", err.message);
    steps(resumed, 60, 1, NULL);
    for (int i = 0; i < N; i++) expect_equal_learners(&undisturbed->learners[i], &resumed->learners[i]);
    sae_trainer_free(undisturbed);
    sae_trainer_free(stopped);
    sae_trainer_free(resumed);
}
END_TEST

/* The newest checkpoint is damaged: the one before is taken. All damaged, or of another run: a message. */
START_TEST(test_damaged_checkpoint_is_passed_over)
{
    static const char *const files[] = {"state.json", "dict_0.safetensors"};
    sae_dict_config c = batchtopk(20, 64, 4, 2), other = batchtopk(20, 64, 5, 2);
    sae_train_options o = short_recipe(64, 40);
    sae_trainer *t = create(&c, 1, &o), *again = create(&c, 1, &o), *foreign = create(&other, 1, &o);
    int64_t rows_given = 0;

    for (int64_t n = 10; n <= 30; n += 10) {
        sae_error err = {0};
        steps(t, n, 1, NULL);
        ck_assert_int_eq(sae_trainer_save(t, folder, n * 64, &err), SAE_OK);
    }
    for (int i = 0; i < 2; i++) {
        char path[160];
        sae_error err = {0};
        snprintf(path, sizeof path, "%s/checkpoints/%012d/%s", folder, 30 - 10 * i, files[i]);
        FILE *f = fopen(path, "r+b");
        ck_assert_ptr_nonnull(f);
        fseek(f, -30, SEEK_END);
        int byte = fgetc(f);
        fseek(f, -30, SEEK_END);
        fputc(byte ^ 1, f);
        fclose(f);
        ck_assert_msg(sae_trainer_resume(again, folder, &rows_given, &err) == SAE_OK, "%s", err.message);
        ck_assert_int_eq(sae_trainer_steps_done(again), 20 - 10 * i);
    }
    sae_error err = {0};
    ck_assert_int_eq(sae_trainer_resume(foreign, folder, &rows_given, &err), SAE_STATE);
    ck_assert_ptr_nonnull(strstr(err.message, "\"k\""));
    sae_trainer_free(t);
    sae_trainer_free(again);
    sae_trainer_free(foreign);
}
END_TEST

static sae_dict_config chosen(sae_scaffold_start start, sae_scaffold_centre centre, sae_scaffold_tie tie, double lr,
                              int64_t d_out)
{
    sae_dict_config c = batchtopk(8, 32, 4, 2);

    c.scaffold_start = start;
    c.scaffold_centre = centre;
    c.scaffold_tie = tie;
    c.scaffold_lr = lr;
    c.d_out = d_out;
    return c;
}

/* A checkpoint that was written after one of a group had diverged cannot give it back. */
START_TEST(test_checkpoint_of_fewer)
{
    sae_dict_config c[2] = {batchtopk(20, 64, 4, 0), batchtopk(20, 64, 5, 0)};
    sae_train_options o = short_recipe(32, 10);
    sae_trainer *one = create(c, 1, &o), *two = create(c, 2, &o);
    sae_error err = {0};
    int64_t rows;

    steps(one, 3, 1, NULL);
    ck_assert_int_eq(sae_trainer_save(one, folder, 96, &err), SAE_OK);
    ck_assert_int_eq(trainer_resume(two, folder, true, &rows, &err), SAE_STATE);
    ck_assert_msg(strstr(err.message, "result.json") != NULL, "%s", err.message);
    sae_trainer_free(one);
    sae_trainer_free(two);
}
END_TEST

/* A run of one choice cannot be gone on with by another, whichever of the two is the default. */
START_TEST(test_choices_of_a_scaffold_stand_in_the_checkpoint)
{
    const struct {
        const char *key;
        sae_dict_config config;
    } rows[] = {
        {"\"scaffold_start\"", chosen(SAE_START_RANDOM, SAE_CENTRE_B_DEC, SAE_TIE_NONE, 0, 0)},
        {"\"scaffold_centre\"", chosen(SAE_START_ZERO, SAE_CENTRE_NONE, SAE_TIE_NONE, 0, 0)},
        {"\"scaffold_centre\"", chosen(SAE_START_ZERO, SAE_CENTRE_OWN, SAE_TIE_NONE, 0, 0)},
        {"\"scaffold_lr\"", chosen(SAE_START_ZERO, SAE_CENTRE_B_DEC, SAE_TIE_NONE, 0.5, 0)},
        {NULL, chosen(SAE_START_ZERO, SAE_CENTRE_B_DEC, SAE_TIE_NONE, 1, 0)},
    };
    sae_dict_config usual = chosen(SAE_START_ZERO, SAE_CENTRE_B_DEC, SAE_TIE_NONE, 0, 0);
    sae_train_options o = short_recipe(16, 40);

    for (int way = 0; way < 2; way++) {
        sae_trainer *begun = create(way ? &usual : &rows[_i].config, 1, &o);
        sae_trainer *other = create(way ? &rows[_i].config : &usual, 1, &o);
        sae_error err = {0};
        int64_t rows_given = 0;
        steps(begun, 5 + way, 1, NULL); /* the second is the newest */
        ck_assert_int_eq(sae_trainer_save(begun, folder, 80, &err), SAE_OK);
        sae_status status = sae_trainer_resume(other, folder, &rows_given, &err);
        ck_assert_msg(status == (rows[_i].key ? SAE_STATE : SAE_OK), "%s", err.message);
        if (rows[_i].key) ck_assert_msg(strstr(err.message, rows[_i].key), "%s", err.message);
        sae_trainer_free(begun);
        sae_trainer_free(other);
    }
}
END_TEST

/* A step that fails at the second of two dictionaries has moved the first: no step and no checkpoint follows, until one is resumed from. */
START_TEST(test_broken_trainer_goes_no_further)
{
    sae_dict_config c[2] = {batchtopk(8, 32, 4, 0), batchtopk(8, 32, 3, 0)};
    sae_train_options o = short_recipe(16, 40);
    sae_trainer *whole = create(c, 2, &o), *t = create(c, 2, &o);
    float rows[16 * 8];
    int64_t rows_given = 0;
    sae_error err = {0};

    steps(whole, 12, 1, NULL);
    steps(t, 10, 1, NULL);
    ck_assert_int_eq(sae_trainer_save(t, folder, 160, &err), SAE_OK);
    t->learners[1].p[P_B_DEC].w[0] = NAN;
    make_rows(rows, 16, 8, 10, 1);
    ck_assert_int_eq(sae_trainer_step(t, rows, NULL, NULL, &err), SAE_NUMERIC);
    err = (sae_error){0};
    ck_assert_int_eq(sae_trainer_step(t, rows, NULL, NULL, &err), SAE_STATE);
    ck_assert_ptr_nonnull(strstr(err.message, "half-way"));
    err = (sae_error){0};
    ck_assert_int_eq(sae_trainer_save(t, folder, 160, &err), SAE_STATE);
    ck_assert_ptr_nonnull(strstr(err.message, "half-way"));
    ck_assert_msg(sae_trainer_resume(t, folder, &rows_given, &err) == SAE_OK, "%s", err.message);
    steps(t, 12, 1, NULL);
    for (int i = 0; i < 2; i++) expect_equal_learners(&whole->learners[i], &t->learners[i]);
    sae_trainer_free(t);
    sae_trainer_free(whole);
}
END_TEST

enum { READ_D = 8, READ_OUT = 5, READ_F = 32 };

/* A file in which a tensor has one value everywhere: what of it is read begins there. */
static const struct {
    const char *name;
    int param;
    int64_t rows, columns;
} in_file[] = {{"W_enc", P_W_ENC, READ_D, READ_F},    {"W_dec", P_W_DEC, READ_F, READ_D}, {"b_enc", P_B_ENC, 1, READ_F},
               {"threshold", P_THRESHOLD, 1, READ_F}, {"b_mag", P_B_MAG, 1, READ_F},      {"b_down", P_B_DOWN, 1, 2},
               {"W_down", P_W_DOWN, READ_D, 2},       {"W_up", P_W_UP, 2, READ_D}};
enum { IN_FILE = sizeof in_file / sizeof *in_file };

/* spoiled: a tensor whose entry `at` is no number; NULL: none. */
static void write_initial(const char *path, int64_t d_out, const char *spoiled, int64_t at)
{
    tensor tensors[IN_FILE];
    float *values[IN_FILE];
    sae_error err = {0};

    for (int n = 0; n < IN_FILE; n++) {
        int64_t rows = in_file[n].rows, columns = in_file[n].columns;
        if (columns == READ_D) columns = d_out;
        values[n] = malloc((size_t)(rows * columns) * sizeof(float));
        for (int64_t i = 0; i < rows * columns; i++) values[n][i] = 0.25f;
        if (spoiled && strcmp(spoiled, in_file[n].name) == 0) values[n][at] = NAN;
        tensors[n] = (tensor){.name = in_file[n].name,
                              .type = DTYPE_F32,
                              .rank = 2,
                              .shape = {rows, columns},
                              .data = values[n],
                              .bytes = (size_t)(rows * columns) * sizeof(float)};
    }
    ck_assert_msg(safetensors_write(path, tensors, IN_FILE, NULL, true, NULL, &err) == SAE_OK, "%s", err.message);
    for (int n = 0; n < IN_FILE; n++) free(values[n]);
}

/* What was read is what the first step begins with, whatever that would have chosen: also of a run that is stopped before it. */
START_TEST(test_what_was_read_stays)
{
    const sae_dict_config rows[] = {
        {.arch = SAE_JUMPRELU, .k = 3},
        {.arch = SAE_JUMPRELU, .k = 3, .rank = 2, .scaffold_steps = 2, .scaffold_start = SAE_START_RANDOM},
        {.arch = SAE_BATCHTOPK, .k = 3, .d_out = READ_OUT},
        {.arch = SAE_GATED, .d_out = READ_OUT},
        {.arch = SAE_BATCHTOPK, .k = 3, .rank = 2, .scaffold_start = SAE_START_PCA, .scaffold_centre = SAE_CENTRE_OWN},
    };
    sae_dict_config c = rows[_i];
    sae_train_options o = short_recipe(16, 40);
    char path[128];
    int64_t rows_given;
    sae_error err = {0};

    c.d_in = READ_D;
    c.d_sae = READ_F;
    o.lr = 1e-9;
    o.l0_rate = 0;
    snprintf(path, sizeof path, "%s/initial.safetensors", folder);
    write_initial(path, c.d_out > 0 ? c.d_out : READ_D, NULL, 0);
    sae_trainer *t = create(&c, 1, &o), *stopped = create(&c, 1, &o);
    ck_assert_msg(sae_trainer_read_weights(t, 0, path, "", &err) == SAE_OK, "%s", err.message);
    steps(t, 4, 1, NULL);
    for (int n = 0; n < IN_FILE; n++) {
        const param *p = &t->learners[0].p[in_file[n].param];
        if (in_file[n].param == P_W_DEC) continue; /* goes to norm 1 */
        for (int64_t i = 0; i < p->rows * p->columns; i++)
            EXPECT(fabs((double)p->w[i] - 0.25) < 0.0626, "%s begins at %g", p->name, (double)p->w[i]);
    }
    ck_assert_msg(sae_trainer_read_weights(stopped, 0, path, "", &err) == SAE_OK, "%s", err.message);
    for (int stop = 0; stop < 3; stop++) {
        ck_assert_int_eq(sae_trainer_save(stopped, folder, 0, &err), SAE_OK);
        sae_trainer_free(stopped);
        stopped = create(&c, 1, &o);
        ck_assert_msg(sae_trainer_resume(stopped, folder, &rows_given, &err) == SAE_OK, "%s", err.message);
        steps(stopped, stop + 2, 1, NULL);
    }
    expect_equal_learners(&t->learners[0], &stopped->learners[0]);
    sae_trainer_free(t);
    sae_trainer_free(stopped);
}
END_TEST

/* ---- Bad rows, missing memory, wrong options ------------------------------------------------------------------------------ */

START_TEST(test_bad_rows_are_a_message)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY, 1e38f};
    sae_dict_config c = batchtopk(8, 32, 4, 2);
    sae_train_options o = short_recipe(16, 40);
    float rows[16 * 8];

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (int64_t first = 0; first < 3; first += 2) {
            sae_trainer *t = create(&c, 1, &o);
            sae_error err = {0};
            steps(t, first, 1, NULL);
            make_rows(rows, 16, 8, 0, 1);
            rows[37] = bad[i];
            /* 1e38 squared is beyond a float, but the reference sums in double: there the next step is the one that fails */
            sae_status status = sae_trainer_step(t, rows, NULL, NULL, &err);
            if (status == SAE_OK && isfinite(bad[i])) status = sae_trainer_step(t, rows, NULL, NULL, &err);
            ck_assert_int_eq(status, SAE_NUMERIC);
            sae_trainer_free(t);
        }
    sae_trainer *t = create(&c, 1, &o);
    sae_error err = {0};
    memset(rows, 0, sizeof rows);
    for (int n = 0; n < 3; n++)
        ck_assert_int_eq(sae_trainer_step(t, rows, NULL, NULL, &err), SAE_OK); /* nothing to learn */
    sae_trainer_free(t);
}
END_TEST

START_TEST(test_threshold_and_export)
{
    sae_dict_config c = batchtopk(8, 32, 4, 0);
    sae_train_options o = short_recipe(16, 40);
    sae_trainer *t = create(&c, 1, &o);
    sae_dict *dict = NULL;
    sae_error err = {0};

    ck_assert_int_eq(sae_trainer_export(t, 0, &dict, &err), SAE_STATE);
    ck_assert_ptr_null(dict);
    ck_assert_ptr_nonnull(strstr(err.message, "threshold"));
    steps(t, 5, 1, NULL); /* the average begins in step 11: what the last step kept stands in */
    ck_assert_int_eq(sae_trainer_export(t, 0, &dict, &err), SAE_OK);
    ck_assert(sae_dict_get_config(dict)->last_step_threshold);
    sae_dict_free(dict);
    steps(t, 15, 2, NULL);
    ck_assert_int_eq(sae_trainer_export(t, 0, &dict, &err), SAE_OK);
    ck_assert(!sae_dict_get_config(dict)->last_step_threshold);
    sae_dict_free(dict);
    sae_trainer_free(t);
}
END_TEST

START_TEST(test_failing_memory)
{
    sae_dict_config c[2] = {matryoshka(8, 4, 2), batchtopk(8, 32, 4, 0)};
    sae_train_options o = short_recipe(16, 40);
    size_t before = mem_in_use();

    for (int64_t nth = 1;; nth++) {
        sae_trainer *t = NULL;
        sae_error err = {0};
        int64_t rows_given;
        mem_fail_nth(nth);
        sae_status status = sae_trainer_create(&t, c, 2, &o, &err);
        if (status == SAE_OK) status = sae_trainer_save(t, folder, 0, &err);
        if (status == SAE_OK) status = sae_trainer_resume(t, folder, &rows_given, &err);
        mem_fail_nth(0);
        sae_trainer_free(t);
        ck_assert_uint_eq(mem_in_use(), before);
        if (status == SAE_OK) break;
        ck_assert_msg(status == SAE_NOMEM || status == SAE_FORMAT, "allocation %lld: %s", (long long)nth, err.message);
        ck_assert_int_lt(nth, 1000);
    }
}
END_TEST

static sae_dict_config scaffolded(int64_t steps, bool frozen, bool pca, sae_variant variant, int64_t d_out)
{
    sae_dict_config c = batchtopk(8, 32, 4, 2);

    c.scaffold_steps = steps;
    c.scaffold_frozen = frozen;
    c.scaffold_start = pca ? SAE_START_PCA : SAE_START_ZERO;
    c.variant = variant;
    c.d_out = d_out;
    return c;
}

typedef struct wrong_row {
    const char *word;
    sae_dict_config config;
    int64_t batch, steps;
    double lr;
} wrong_row;

START_TEST(test_wrong_options)
{
    const wrong_row rows[] = {
        {"d_in", batchtopk(0, 32, 4, 0), 16, 10, 1e-3},
        {"d_sae", batchtopk(8, 0, 4, 0), 16, 10, 1e-3},
        {"k 0", batchtopk(8, 32, 0, 0), 16, 10, 1e-3},
        {"k 33", batchtopk(8, 32, 33, 0), 16, 10, 1e-3},
        {"rank", batchtopk(8, 32, 4, 9), 16, 10, 1e-3},
        {"rank", batchtopk(8, 32, 4, -1), 16, 10, 1e-3},
        {"batch", batchtopk(8, 32, 4, 0), 0, 10, 1e-3},
        {"steps", batchtopk(8, 32, 4, 0), 16, 0, 1e-3},
        {"lr", batchtopk(8, 32, 4, 0), 16, 10, 0},
        {"lr", batchtopk(8, 32, 4, 0), 16, 10, NAN},
        {"variant", scaffolded(0, false, false, (sae_variant)7, 0), 16, 10, 1e-3},
        {"scaffold alone", scaffolded(10, false, false, SAE_P1, 0), 16, 10, 1e-3},
        {"scaffold alone", scaffolded(-1, false, false, SAE_P1, 0), 16, 10, 1e-3},
        {"frozen", scaffolded(0, true, false, SAE_P1, 0), 16, 10, 1e-3},
        {"d_out = 1", scaffolded(0, false, false, SAE_P1, 1), 16, 10, 1e-3},
        {"d_out -1", scaffolded(0, false, false, SAE_P1, -1), 16, 10, 1e-3},
        {"2^28", batchtopk(8, 1 << 26, 1 << 20, 0), 4096, 10, 1e-3},
        {"AuxK's 512 dead", batchtopk(1024, 1024, 1, 0), (1 << 21) + 1, 10, 1e-3},
        {"random-both", chosen(SAE_START_ZERO, SAE_CENTRE_B_DEC, SAE_TIE_TRANSPOSE, 0, 0), 16, 10, 1e-3},
        {"random-both", chosen(SAE_START_ZERO, SAE_CENTRE_B_DEC, SAE_TIE_ORTHONORMAL, 0, 0), 16, 10, 1e-3},
        {"learning rate", chosen(SAE_START_ZERO, SAE_CENTRE_B_DEC, SAE_TIE_NONE, -1, 0), 16, 10, 1e-3},
        {"learning rate", chosen(SAE_START_ZERO, SAE_CENTRE_B_DEC, SAE_TIE_NONE, INFINITY, 0), 16, 10, 1e-3},
        {"learning rate", chosen(SAE_START_ZERO, SAE_CENTRE_B_DEC, SAE_TIE_NONE, NAN, 0), 16, 10, 1e-3},
        {"learning rate", chosen(SAE_START_ZERO, SAE_CENTRE_B_DEC, SAE_TIE_NONE, 1e-44, 0), 16, 10, 1e-3},
        {"start 3", chosen((sae_scaffold_start)3, SAE_CENTRE_B_DEC, SAE_TIE_NONE, 0, 0), 16, 10, 1e-3},
        {"centre 3", chosen(SAE_START_ZERO, (sae_scaffold_centre)3, SAE_TIE_NONE, 0, 0), 16, 10, 1e-3},
        {"tie 3", chosen(SAE_START_PCA, SAE_CENTRE_B_DEC, (sae_scaffold_tie)3, 0, 0), 16, 10, 1e-3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sae_train_options o = sae_recipe_saebench(16, 10);
        sae_trainer *t = NULL;
        sae_error err = {0};
        o.batch = rows[i].batch;
        o.steps = rows[i].steps;
        o.lr = rows[i].lr;
        ck_assert_int_eq(sae_trainer_create(&t, &rows[i].config, 1, &o, &err), SAE_RANGE);
        ck_assert_msg(strstr(err.message, rows[i].word), "row %zu: \"%s\" does not name %s", i, err.message,
                      rows[i].word);
    }
    sae_dict_config c = matryoshka(8, 4, 0);
    sae_train_options o = sae_recipe_saebench(16, 10);
    sae_trainer *t = NULL;
    sae_error err = {0};
    c.groups[1]++;
    ck_assert_int_eq(sae_trainer_create(&t, &c, 1, &o, &err), SAE_RANGE);
    ck_assert_ptr_nonnull(strstr(err.message, "sum to 65"));
}
END_TEST

/* One entry that is none would be seen when the run is over. It is named as the file has it. */
START_TEST(test_what_is_read_is_finite)
{
    const struct {
        const char *tensor, *says;
        int64_t at;
    } rows[] = {{"W_enc", "W_enc is nan at [3, 5]", 3 * READ_F + 5},
                {"W_dec", "W_dec is nan at [5, 3]", 5 * READ_D + 3},
                {"b_enc", "b_enc is nan at [0, 7]", 7}};
    sae_train_options o = short_recipe(16, 40);
    sae_dict_config c = batchtopk(READ_D, READ_F, 3, 0);
    char path[128];

    snprintf(path, sizeof path, "%s/spoiled.safetensors", folder);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sae_trainer *t = create(&c, 1, &o);
        sae_error err = {0};
        write_initial(path, READ_D, rows[i].tensor, rows[i].at);
        ck_assert_int_eq(sae_trainer_read_weights(t, 0, path, "", &err), SAE_NUMERIC);
        ck_assert_msg(strstr(err.message, path) && strstr(err.message, rows[i].says), "\"%s\"", err.message);
        sae_trainer_free(t);
    }
}
END_TEST

/* Constants that a double holds, and the float32 of which the products are made does not: 0, or infinite. */
START_TEST(test_options_are_checked_as_float32)
{
    const struct {
        const char *word;
        size_t field;
        double value;
    } rows[] = {
#define ROW(word, field, value) {word, offsetof(sae_train_options, field), value}
        ROW("lr", lr, 1e-50),
        ROW("lr", lr, 1e39),
        ROW("betas", adam_beta1, 1 - 1e-12),
        ROW("betas", adam_beta2, 1 - 1e-12),
        ROW("eps", adam_eps, 1e-50),
        ROW("eps", adam_eps, INFINITY),
        ROW("weight", auxk_alpha, 1e-50),
        ROW("weight", auxk_alpha, INFINITY),
        ROW("clipping", grad_clip, 1e-50),
        ROW("clipping", grad_clip, NAN),
        ROW("decoder's norm", decoder_norm, 1e-50),
        ROW("decoder's norm", decoder_norm, 1e39),
        ROW("encoder's norm", encoder_norm, 1e-50),
        ROW("encoder's norm", encoder_norm, 1e39),
        ROW("input scale", input_scale, 1e-50),
        ROW("input scale", input_scale, 1e-40), /* 1 over it is infinite */
        ROW("input scale", input_scale, 1e300),
        ROW("bandwidth", bandwidth, 1e-50),
        ROW("bandwidth", bandwidth, INFINITY),
        ROW("threshold", first_threshold, 1e-50),
        ROW("threshold", first_threshold, 1e39),
#undef ROW
    };
    const sae_dict_config jumprelu = {.arch = SAE_JUMPRELU, .d_in = 8, .d_sae = 32, .k = 4};
    sae_trainer *t = NULL;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sae_train_options o = sae_recipe_saebench(16, 10);
        sae_error err = {0};
        o.unit_scale = false;
        o.input_scale = 1;
        o.bandwidth = 0.1;
        memcpy((char *)&o + rows[i].field, &rows[i].value, sizeof rows[i].value);
        ck_assert_msg(sae_trainer_create(&t, &jumprelu, 1, &o, &err) == SAE_RANGE, "row %zu is taken", i);
        ck_assert_msg(strstr(err.message, rows[i].word), "row %zu: \"%s\" does not name %s", i, err.message,
                      rows[i].word);
    }
    for (double coefficient = 1e-50; coefficient < 1e40; coefficient *= 1e89) {
        const sae_dict_config c = {.arch = SAE_STANDARD, .d_in = 8, .d_sae = 32, .l1_coefficient = coefficient};
        sae_train_options o = sae_recipe_saebench(16, 10);
        sae_error err = {0};
        ck_assert_msg(sae_trainer_create(&t, &c, 1, &o, &err) == SAE_RANGE, "a coefficient of %g is taken",
                      coefficient);
    }
    for (double rate = 1e-50; rate < 1e40; rate *= 1e89) { /* the second's product with lr is a float32 */
        const sae_dict_config c = {
            .arch = SAE_BATCHTOPK, .d_in = 8, .d_sae = 32, .k = 4, .rank = 2, .scaffold_lr = rate};
        sae_train_options o = sae_recipe_saebench(16, 10);
        sae_error err = {0};
        ck_assert_msg(sae_trainer_create(&t, &c, 1, &o, &err) == SAE_RANGE, "a scaffold's rate of %g is taken", rate);
    }
}
END_TEST

/* What has no meaning together, and targets of two widths or none. */
START_TEST(test_wrong_combinations)
{
    const struct {
        const char *word;
        sae_dict_config config;
        sae_status code;
    } rows[] = {
        {"only P1", scaffolded(0, false, false, SAE_P2, 5), SAE_UNSUPPORTED},
        {"only P1", scaffolded(0, false, false, SAE_P3, 5), SAE_UNSUPPORTED},
        {"PCA", scaffolded(0, false, true, SAE_P1, 5), SAE_UNSUPPORTED},
        {"W_up^T", chosen(SAE_START_RANDOM, SAE_CENTRE_B_DEC, SAE_TIE_TRANSPOSE, 0, 5), SAE_UNSUPPORTED},
        {"centre", chosen(SAE_START_ZERO, SAE_CENTRE_NONE, SAE_TIE_NONE, 0, 5), SAE_UNSUPPORTED},
        {"skip", {.arch = SAE_BATCHTOPK, .d_in = 8, .d_sae = 32, .k = 4, .skip = true}, SAE_UNSUPPORTED},
    };
    sae_train_options o = sae_recipe_saebench(16, 10);
    sae_trainer *t = NULL;
    float x[16 * 8] = {0};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sae_error err = {0};
        ck_assert_int_eq(sae_trainer_create(&t, &rows[i].config, 1, &o, &err), rows[i].code);
        ck_assert_msg(strstr(err.message, rows[i].word), "row %zu: \"%s\"", i, err.message);
    }
    sae_dict_config two[2] = {scaffolded(0, false, false, SAE_P1, 5), scaffolded(0, false, false, SAE_P1, 6)};
    sae_error err = {0};
    ck_assert_int_eq(sae_trainer_create(&t, two, 2, &o, &err), SAE_SHAPE);
    ck_assert_ptr_nonnull(strstr(err.message, "one stream of targets"));
    t = create(two, 1, &o);
    err = (sae_error){0};
    ck_assert_int_eq(sae_trainer_step(t, x, NULL, NULL, &err), SAE_STATE);
    ck_assert_ptr_nonnull(strstr(err.message, "targets"));
    sae_trainer_free(t);
}
END_TEST

START_TEST(test_plan_is_what_is_taken)
{
    sae_dict_config c[2] = {matryoshka(20, 6, 3), batchtopk(20, 96, 4, 0)};
    sae_train_options o = short_recipe(128, 80);
    sae_memory_plan plan = sae_trainer_plan(c, 2, &o);
    size_t before = mem_in_use();
    sae_trainer *t = create(c, 2, &o);

    /* Beside the plan only small records are taken (12 KB for each product). */
    ck_assert_uint_ge(mem_in_use() - before, plan.total - plan.library);
    ck_assert_uint_le(mem_in_use() - before, plan.total - plan.library + 65536);
    sae_trainer_free(t);
}
END_TEST

/* The bf16 product rounds both factors to 8 bits: the curve follows the f32 one. */
/* Penalised families have no AuxK, whatever its weight: it takes no memory. */
START_TEST(test_plan_without_auxk)
{
    sae_dict_config c = {.arch = SAE_STANDARD, .d_in = 20, .d_sae = 96, .l1_coefficient = 0.1};
    sae_train_options o = short_recipe(128, 80), without = o;

    without.auxk_alpha = 0.0;
    ck_assert_double_gt(o.auxk_alpha, 0);
    ck_assert_uint_eq(sae_trainer_plan(&c, 1, &o).total, sae_trainer_plan(&c, 1, &without).total);
}
END_TEST

START_TEST(test_bf16_product_follows_f32)
{
    sae_dict_config c = batchtopk(64, 256, 8, 2);
    sae_train_options o = short_recipe(256, 120);
    sae_step_stats s[2];

    if (cpu_isa_get() != ISA_AVX512_BF16) {
        printf("SKIP: a processor with AVX-512-BF16\n");
        return;
    }
    for (int v = 0; v < 2; v++) {
        o.encoder_dtype = v ? SAE_ENCODER_BF16 : SAE_ENCODER_F32;
        sae_trainer *t = create(&c, 1, &o);
        steps(t, 120, 1, &s[v]);
        sae_trainer_free(t);
    }
    ck_assert_double_le(fabs(s[1].fvu - s[0].fvu), 0.03 * s[0].fvu);
    ck_assert_double_ne(s[1].fvu, s[0].fvu);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("laws of training");
    TCase *laws = tcase_create("laws"), *files = tcase_create("checkpoints");
    SRunner *runner = srunner_create(s);

    tcase_set_timeout(laws, 300);
    tcase_set_timeout(files, 300);
    tcase_add_checked_fixture(files, make_folder, remove_folder);
    tcase_add_test(laws, test_selection_is_the_exact_batch_topk);
    tcase_add_test(laws, test_ties_keep_exactly_k);
    tcase_add_test(laws, test_crowded_edge_is_exact);
    tcase_add_loop_test(laws, test_ties_stand_in_their_place, 0, 2);
    tcase_add_loop_test(laws, test_smallest_activations_are_ranked, 0, 2);
    tcase_add_loop_test(laws, test_best_of_rows_with_ties, 0, 3);
    tcase_add_test(laws, test_topk_is_the_best_of_each_row);
    tcase_add_test(laws, test_k_anneals);
    tcase_add_test(laws, test_dead_latents_are_resampled);
    tcase_add_loop_test(laws, test_recipes, 0, SAE_RECIPE_SPARSIFY + 1);
    tcase_add_test(laws, test_waiting_dictionary_has_no_average);
    tcase_add_loop_test(laws, test_openai_rebuilds_directions, 0, 2);
    tcase_add_test(laws, test_recipes_say_their_constants);
    tcase_add_test(laws, test_auxk_share_of_a_narrow_dictionary);
    tcase_add_test(laws, test_dictionaries_train_as_if_alone);
    tcase_add_loop_test(laws, test_zero_scaffold_is_the_baseline, 0, sizeof arms / sizeof *arms);
    tcase_add_test(laws, test_scaffold_alone_becomes_pca);
    tcase_add_test(laws, test_p1_and_p2_have_the_same_functions);
    tcase_add_loop_test(laws, test_scale_of_rows_does_not_matter, 0, SAE_CENTRE_OWN + 1);
    tcase_add_test(laws, test_bad_rows_are_a_message);
    tcase_add_test(laws, test_threshold_and_export);
    tcase_add_test(laws, test_wrong_options);
    tcase_add_test(laws, test_options_are_checked_as_float32);
    tcase_add_test(laws, test_wrong_combinations);
    tcase_add_test(laws, test_plan_is_what_is_taken);
    tcase_add_test(laws, test_plan_without_auxk);
    tcase_add_test(laws, test_bf16_product_follows_f32);
    tcase_add_test(files, test_resumed_run_has_the_same_bytes);
    tcase_add_loop_test(files, test_resumed_run_of_other_rules_has_the_same_bytes, 0, 2);
    tcase_add_test(files, test_checkpoint_of_fewer);
    tcase_add_loop_test(files, test_choices_of_a_scaffold_stand_in_the_checkpoint, 0, 5);
    tcase_add_test(files, test_damaged_checkpoint_is_passed_over);
    tcase_add_test(files, test_broken_trainer_goes_no_further);
    tcase_add_loop_test(files, test_what_was_read_stays, 0, 5);
    tcase_add_test(files, test_what_is_read_is_finite);
    tcase_add_test(files, test_failing_memory);
    suite_add_tcase(s, laws);
    suite_add_tcase(s, files);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
