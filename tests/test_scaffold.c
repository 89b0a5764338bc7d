/*
 * test_scaffold.c - the ways in which a scaffold may begin and learn: alone (P3), before the dictionary (staged), as PCA, not at all
 * (frozen). Gradients stand in test_gradients.c, the paired baseline and resuming in test_training_laws.c. EVERY_THREAD.
 */
#include "expect.h"
#include "kernels/linalg.h"
#include "sae/train.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { D = 16, R = 3, ROWS = 256, WIDTH = 48 };

static sae_dict_config config(sae_variant variant)
{
    return (sae_dict_config){.arch = SAE_BATCHTOPK, .variant = variant, .d_in = D, .d_sae = WIDTH, .k = 4, .rank = R};
}

static sae_train_options recipe(int64_t steps)
{
    sae_train_options o = sae_recipe_saebench(ROWS, steps);

    o.lr = 5e-3;
    o.warmup_steps = 0;
    o.dead_tokens = 4 * ROWS;
    return o;
}

static sae_trainer *create(const sae_dict_config *c, int n, const sae_train_options *o)
{
    sae_trainer *t = NULL;
    sae_error err = {0};

    ck_assert_msg(sae_trainer_create(&t, c, n, o, &err) == SAE_OK, "%s", err.message);
    return t;
}

/* Rows whose spectrum falls by half from one component to the next, in directions that are not the axes. */
static void make_rows(float *rows)
{
    rng r = rng_seed(8, 8);

    for (int b = 0; b < ROWS; b++) {
        double z[D];
        for (int i = 0; i < D; i++) z[i] = 4.0 * pow(0.7, i) * rng_normal(&r);
        for (int i = 0; i < D; i++) { /* a reflection: orthogonal */
            double along = 0;
            for (int j = 0; j < D; j++) along += z[j] * (1.0 + j) / 38.6781592;
            rows[b * D + i] = (float)(2.0 + z[i] - 2.0 * along * (1.0 + i) / 38.6781592);
        }
    }
}

static void step(sae_trainer *t, const float *rows, sae_step_stats *stats)
{
    sae_error err = {0};

    ck_assert_msg(sae_trainer_step(t, rows, NULL, stats, &err) == SAE_OK, "%s", err.message);
}

/* The first R principal directions of the rows about `centre`, by LAPACK. */
static void directions(const float *rows, const double *centre, double *V)
{
    double A[D * D] = {0}, values[D], all[D * D];
    sae_error err = {0};

    for (int b = 0; b < ROWS; b++)
        for (int i = 0; i < D; i++)
            for (int j = 0; j < D; j++)
                A[i * D + j] += ((double)rows[b * D + i] - centre[i]) * ((double)rows[b * D + j] - centre[j]);
    ck_assert_int_eq(linalg_eigh(D, A, values, all, &err), SAE_OK);
    memcpy(V, all, sizeof(double) * R * D);
}

static void mean_of(const float *rows, double *mean)
{
    memset(mean, 0, D * sizeof *mean);
    for (int b = 0; b < ROWS; b++)
        for (int i = 0; i < D; i++) mean[i] += (double)rows[b * D + i] / ROWS;
}

/* The share of the row space of W [R, D] in that of V (orthonormal rows): the mean squared cosine of their principal angles. */
static double overlap(const float *W, const double *V)
{
    double A[R * D], basis[R * D], sum = 0;
    int64_t rank = 0;
    sae_error err = {0};

    for (int i = 0; i < R * D; i++) A[i] = (double)W[i];
    ck_assert_int_eq(linalg_row_basis(R, D, A, 1e-9, basis, &rank, &err), SAE_OK);
    ck_assert_int_eq(rank, R);
    for (int j = 0; j < R; j++)
        for (int k = 0; k < R; k++) {
            double along = 0;
            for (int i = 0; i < D; i++) along += basis[j * D + i] * V[k * D + i];
            sum += along * along / R;
        }
    return sum;
}

static bool same(const param *a, const param *b)
{
    return memcmp(a->w, b->w, (size_t)(a->rows * a->columns) * sizeof(float)) == 0;
}

/* Two P3 dictionaries that differ in all but b_dec: scaffolds with the same bytes after a step, clipping and all. And not so of P2. */
START_TEST(test_p3_gets_nothing_from_the_dictionary)
{
    float rows[ROWS * D];

    make_rows(rows);
    for (int v = 0; v < 2; v++) {
        sae_dict_config c[2] = {config(v ? SAE_P2 : SAE_P3), config(v ? SAE_P2 : SAE_P3)};
        sae_train_options o = recipe(100);
        c[1].k = 9;
        c[1].arch = SAE_MATRYOSHKA;
        c[1].n_groups = 2;
        c[1].groups[0] = 8;
        c[1].groups[1] = WIDTH - 8;
        sae_trainer *t = create(c, 2, &o);
        rng r = rng_seed(1, 1);
        for (int i = 0; i < R * D; i++)
            t->learners[0].p[P_W_UP].w[i] = t->learners[1].p[P_W_UP].w[i] = (float)(0.2 * rng_normal(&r));
        for (int i = 0; i < WIDTH * D; i++) t->learners[1].p[P_W_ENC].w[i] *= 3.0f;
        sae_step_stats s[2];
        step(t, rows, s);
        ck_assert_double_ne(s[0].grad_norm, s[1].grad_norm);
        for (int p = P_W_DOWN; p <= P_W_UP; p++) {
            ck_assert_int_eq(same(&t->learners[0].p[p], &t->learners[1].p[p]), v == 0);
            ck_assert(v || memcmp(t->learners[0].p[p].g, t->learners[1].p[p].g, R * D * sizeof(float)) == 0);
        }
        sae_trainer_free(t);
    }
}
END_TEST

/* The same rows in every step: the scaffold ends in the principal directions about b_dec, whatever the dictionary does. */
START_TEST(test_p3_becomes_pca)
{
    float rows[ROWS * D];
    double centre[D], V[R * D];
    sae_dict_config c = config(SAE_P3);
    sae_train_options o = recipe(1500);
    sae_trainer *t = create(&c, 1, &o);
    const learner *l = &t->learners[0];
    sae_step_stats s;

    make_rows(rows);
    for (int n = 0; n < 1500; n++) step(t, rows, &s);
    for (int i = 0; i < D; i++) centre[i] = (double)l->p[P_B_DEC].w[i] * l->input_scale;
    directions(rows, centre, V);
    double found = overlap(l->p[P_W_UP].w, V);
    printf("# overlap of W_up with PCA: 1 - %.2g\n", 1 - found);
    ck_assert_double_gt(found,
                        0.999);     /* what W_down reads in directions of hardly any variance is not settled so soon */
    ck_assert_double_gt(s.l0, 3.5); /* the dictionary was at work */
    sae_trainer_free(t);
}
END_TEST

/* A scaffold that begins as PCA: V V^T of the first batch. Its dictionary begins with the baseline's weights. */
START_TEST(test_pca_start_is_lapacks)
{
    float rows[ROWS * D];
    double mean[D], V[R * D];
    sae_dict_config c[3] = {config(SAE_P1), config(SAE_P2), config(SAE_P1)};
    sae_train_options o = recipe(100);

    make_rows(rows);
    mean_of(rows, mean);
    directions(rows, mean, V);
    c[0].scaffold_start = c[1].scaffold_start = SAE_START_PCA;
    c[2].rank = 0;
    o.warmup_steps = 10; /* the first step has lr 0 */
    o.unit_scale = false;
    o.input_scale = 1.0;
    sae_trainer *t = create(c, 3, &o);
    sae_step_stats s[3];
    step(t, rows, s);
    for (int v = 0; v < 2; v++) {
        const learner *l = &t->learners[v];
        ck_assert(same(&l->p[P_W_ENC], &t->learners[2].p[P_W_ENC]) && same(&l->p[P_B_DEC], &t->learners[2].p[P_B_DEC]));
        ck_assert(memcmp(l->p[P_W_DOWN].w, l->p[P_W_UP].w, R * D * sizeof(float)) == 0);
        for (int j = 0; j < R; j++) {
            double along = 0;
            for (int i = 0; i < D; i++) along += V[j * D + i] * (double)l->p[P_W_UP].w[j * D + i];

            ck_assert_double_gt(fabs(along), 1 - 1e-6); /* observed: off by 5e-9 */
        }
    }
    ck_assert_double_lt(s[1].fvu, 0.5 * s[2].fvu);
    for (int n = 0; n < 5; n++) step(t, rows, s);
    ck_assert(!same(&t->learners[0].p[P_W_UP], &t->learners[0].p[P_W_DOWN])); /* and it goes on learning */
    sae_trainer_free(t);
}
END_TEST

/* In the first steps the scaffold learns alone: as the scaffold of a dictionary that is silent. Then, frozen, it keeps its bytes, and
 * the dictionary begins as if its first step were Adam's first. */
START_TEST(test_staged_training)
{
    enum { ALONE = 200 };
    float rows[ROWS * D];
    double V[R * D], mean[D];
    sae_dict_config c = config(SAE_P1);
    sae_train_options o = recipe(400);
    sae_step_stats s;

    make_rows(rows);
    mean_of(rows, mean);
    directions(rows, mean, V);
    o.lr = 1e-2;
    c.scaffold_steps = ALONE;
    c.scaffold_frozen = true;
    sae_trainer *t = create(&c, 1, &o);
    learner *l = &t->learners[0];
    float W_enc[WIDTH * D], b_dec[D], up[R * D], down[R * D], before[D];
    memcpy(W_enc, l->p[P_W_ENC].w, sizeof W_enc);
    for (int n = 0; n < ALONE; n++) {
        step(t, rows, &s);
        if (n == 0) memcpy(b_dec, l->p[P_B_DEC].w, sizeof b_dec);
        ck_assert_double_eq(s.l0, 0);
    }
    ck_assert(memcmp(W_enc, l->p[P_W_ENC].w, sizeof W_enc) == 0);
    ck_assert(memcmp(b_dec, l->p[P_B_DEC].w, sizeof b_dec) == 0);
    for (int j = 0; j < WIDTH; j++) ck_assert_int_eq(l->since_fired[j], 0);
    double found = overlap(l->p[P_W_UP].w, V);

    ck_assert_double_gt(found, 0.99); /* observed: 1 - 1.6e-6 */
    memcpy(up, l->p[P_W_UP].w, sizeof up);
    memcpy(down, l->p[P_W_DOWN].w, sizeof down);
    memcpy(before, l->p[P_B_DEC].w, sizeof before);
    step(t, rows, &s);
    for (int i = 0; i < D; i++) /* Adam's first step is lr x the gradient's sign */
        if (fabsf(l->p[P_B_DEC].g[i]) > 1e-5f)
            ck_assert_double_eq_tol(fabs((double)(l->p[P_B_DEC].w[i] - before[i])), o.lr, 1e-3 * o.lr);
    while (sae_trainer_steps_done(t) < 300) step(t, rows, &s);
    ck_assert(memcmp(up, l->p[P_W_UP].w, sizeof up) == 0 && memcmp(down, l->p[P_W_DOWN].w, sizeof down) == 0);
    ck_assert_double_gt(s.l0, 3);
    sae_trainer_free(t);
}
END_TEST

/* The loss of a scaffold that learns alone, its own of P3 too, is in the units of --loss, which the first batch sets also where the
 * dictionary begins later: rows c times as long have c^4 times the squares of gradients, and would overflow. */
START_TEST(test_loss_over_a_variance_of_the_scaffold)
{
    enum { ALONE = 3, STEPS = 6 };
    static const sae_variant variants[] = {SAE_P1, SAE_P2, SAE_P3};
    const sae_loss_rule rule = _i % 2 ? SAE_LOSS_FVU : SAE_LOSS_FIRST;
    float rows[ROWS * D], other[ROWS * D];
    sae_step_stats s;

    make_rows(rows);
    for (int i = 0; i < ROWS * D; i++) rows[i] *= 1e15f, other[i] = 3 * rows[i];
    for (int alone = 0; alone <= ALONE; alone += ALONE) {
        sae_dict_config c = config(variants[_i / 2]);
        sae_train_options o = recipe(STEPS);
        c.scaffold_steps = alone;
        o.unit_scale = false;
        o.lr = 1e-4;
        o.loss_rule = rule;
        sae_trainer *t = create(&c, 1, &o);
        for (int n = 0; n < STEPS; n++) {
            step(t, n == 0 ? rows : other, &s); /* 9 times the variance of the first batch */
            double unit = rule == SAE_LOSS_FIRST && n > 0 ? 9 : 1;
            ck_assert_double_eq_tol(s.l2_loss / (s.fvu * unit), 1, 1e-4);
            ck_assert(isfinite(s.grad_norm));
        }
        sae_trainer_free(t);
    }
}
END_TEST

/* Not frozen, it learns on with the dictionary. */
START_TEST(test_scaffold_goes_on_after_its_steps)
{
    float rows[ROWS * D], up[R * D];
    sae_dict_config c = config(SAE_P1);
    sae_train_options o = recipe(100);
    sae_step_stats s;

    make_rows(rows);
    c.scaffold_steps = 20;
    sae_trainer *t = create(&c, 1, &o);
    for (int n = 0; n < 20; n++) step(t, rows, &s);
    memcpy(up, t->learners[0].p[P_W_UP].w, sizeof up);
    step(t, rows, &s);
    ck_assert(memcmp(up, t->learners[0].p[P_W_UP].w, sizeof up) != 0);
    sae_trainer_free(t);
}
END_TEST

/* ---- What it sees, how it is tied, how fast it learns ------------------------------------------------------------------ */

static void clear_b_dec(sae_trainer *t)
{
    for (int i = 0; i < t->n_dicts; i++) {
        param *p = &t->learners[i].p[P_B_DEC];
        memset(p->w, 0, D * sizeof *p->w);
    }
}

/* Where b_dec is 0, and is held there, it makes no difference whether a scaffold subtracts it: the same bytes. And one of b_dec's
 * that is not 0 makes one. */
START_TEST(test_centred_by_nothing_is_centred_by_zero)
{
    float rows[ROWS * D];
    sae_dict_config c[2] = {config((sae_variant)_i), config((sae_variant)_i)};
    sae_train_options o = recipe(60);
    sae_step_stats s[2];

    make_rows(rows);
    c[1].scaffold_centre = SAE_CENTRE_NONE;
    o.b_dec_start = SAE_B_DEC_ZERO;
    o.grad_clip = 0.0; /* b_dec's gradient, which is not the same, would count in the norm */
    sae_trainer *t = create(c, 2, &o);
    for (int n = 0; n < 60; n++) {
        step(t, rows, s);
        ck_assert_msg(s[0].loss == s[1].loss, "step %d: %.17g and %.17g", n, s[0].loss, s[1].loss);
        clear_b_dec(t);
    }
    for (int p = P_W_ENC; p <= P_W_UP; p++) ck_assert(same(&t->learners[0].p[p], &t->learners[1].p[p]));
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < D; j++) t->learners[i].p[P_B_DEC].w[j] = 0.1f;
    step(t, rows, s);
    ck_assert(s[0].loss != s[1].loss);
    sae_trainer_free(t);
}
END_TEST

/* A bias of its own begins where b_dec centres: the same first loss, and by the chain rule through b_down = -b_dec W_down
 *   dW_down (by b_dec) = dW_down (own) - b_dec (x) db_down     db_dec (by b_dec) = db_dec (own) - W_down db_down   (not of P3). */
START_TEST(test_own_bias_begins_as_b_dec)
{
    float rows[ROWS * D];
    sae_dict_config c[2] = {config((sae_variant)_i), config((sae_variant)_i)};
    sae_train_options o = recipe(100);
    sae_step_stats s[2];
    double worst = 0, largest = 0, worst_dec = 0, largest_dec = 0;
    float down[R * D], dec[D];

    make_rows(rows);
    c[0].scaffold_start = c[1].scaffold_start = SAE_START_RANDOM;
    c[1].scaffold_centre = SAE_CENTRE_OWN;
    o.warmup_steps = 10; /* the first step has lr 0 */
    sae_trainer *t = create(c, 2, &o), *first = create(c, 1, &o);
    step(first, rows, s); /* alone: two have one place for their gradients */
    memcpy(down, first->learners[0].p[P_W_DOWN].g, sizeof down);
    memcpy(dec, first->learners[0].p[P_B_DEC].g, sizeof dec);
    step(t, rows, s);
    const learner *own = &t->learners[1];
    const float *b = own->p[P_B_DOWN].g, *b_dec = own->p[P_B_DEC].w;
    for (int k = 0; k < R; k++)
        for (int i = 0; i < D; i++) {
            double expected = (double)own->p[P_W_DOWN].g[k * D + i] - (double)b_dec[i] * (double)b[k];
            worst = fmax(worst, fabs(expected - (double)down[k * D + i]));
            largest = fmax(largest, fabs((double)down[k * D + i]));
        }
    for (int i = 0; i < D; i++) {
        double expected = (double)own->p[P_B_DEC].g[i];
        for (int k = 0; k < R && c[0].variant != SAE_P3; k++)
            expected -= (double)own->p[P_W_DOWN].w[k * D + i] * (double)b[k];
        worst_dec = fmax(worst_dec, fabs(expected - (double)dec[i]));
        largest_dec = fmax(largest_dec, fabs((double)dec[i]));
    }
    /* [2.6e-8, 3.1e-7, 1.7e-7] */
    EXPECT_WITHIN(fabs(s[1].loss / s[0].loss - 1), 5e-7, "loss %.9g, expected %.9g", s[1].loss, s[0].loss);
    EXPECT_WITHIN(worst / largest, 3e-6, "dW_down off by %.2g of %.2g", worst, largest);
    EXPECT_WITHIN(worst_dec / largest_dec, 3e-6, "db_dec off by %.2g of %.2g", worst_dec, largest_dec);
    ck_assert_double_gt(fabs((double)b[0]), 0);
    sae_trainer_free(t);
    sae_trainer_free(first);
}
END_TEST

/* One matrix: W_down is W_up to the last bit after every step, and it learns; P1, P2, P3, from PCA and at random, by both optimisers. */
START_TEST(test_tied_stays_tied)
{
    float rows[ROWS * D], before[R * D];
    sae_dict_config c[2] = {config((sae_variant)(_i % 3)), config((sae_variant)(_i % 3))};
    sae_train_options o = recipe(60);
    sae_step_stats s[2];
    sae_error err = {0};

    make_rows(rows);
    if (_i >= 3) o.optimiser_rule = SAE_OPTIMISER_SIGNUM;
    c[0].scaffold_tie = c[1].scaffold_tie = SAE_TIE_TRANSPOSE;
    c[0].scaffold_start = SAE_START_PCA;
    c[1].scaffold_start = SAE_START_RANDOM;
    sae_trainer *t = create(c, 2, &o);
    for (int n = 0; n < 60; n++) {
        step(t, rows, s);
        for (int i = 0; i < 2; i++) {
            const param *p = t->learners[i].p;
            ck_assert(memcmp(p[P_W_DOWN].w, p[P_W_UP].w, R * D * sizeof(float)) == 0);
        }
        if (n == 0) memcpy(before, t->learners[1].p[P_W_UP].w, sizeof before);
    }
    ck_assert(memcmp(before, t->learners[1].p[P_W_UP].w, sizeof before) != 0);
    for (int i = 0; i < 2; i++) { /* and what is exported, which sign-SGD averages */
        sae_dict *dict = NULL;
        ck_assert_msg(sae_trainer_export(t, i, &dict, &err) == SAE_OK, "%s", err.message);
        sae_weights w = sae_dict_weights(dict);
        ck_assert(memcmp(w.W_down, w.W_up, R * D * sizeof(float)) == 0);
        sae_dict_free(dict);
    }
    sae_trainer_free(t);
}
END_TEST

static double off_orthonormal(const float *W, int64_t columns)
{
    double worst = 0;

    for (int j = 0; j < R; j++)
        for (int k = 0; k < R; k++) {
            double sum = 0;
            for (int64_t i = 0; i < columns; i++) sum += (double)W[j * columns + i] * (double)W[k * columns + i];
            worst = fmax(worst, fabs(sum - (j == k)));
        }
    return worst;
}

/* The rows of W_up are orthonormal after every step, of long steps too, and in what is exported. */
START_TEST(test_orthonormal_rows_of_W_up)
{
    static const double rates[] = {1e-3, 5e-2};
    float rows[ROWS * D], before[R * D];
    sae_dict_config c[2] = {config((sae_variant)(_i % 3)), config((sae_variant)(_i % 3))};
    sae_train_options o = recipe(60);
    sae_step_stats s[2];
    sae_error err = {0};
    double worst = 0;

    make_rows(rows);
    o.lr = rates[_i / 3 % 2];
    if (_i >= 6) o.optimiser_rule = SAE_OPTIMISER_SIGNUM;
    c[0].scaffold_tie = c[1].scaffold_tie = SAE_TIE_ORTHONORMAL;
    c[0].scaffold_start = SAE_START_PCA;
    c[1].scaffold_start = SAE_START_RANDOM;
    sae_trainer *t = create(c, 2, &o);
    for (int n = 0; n < 60; n++) {
        step(t, rows, s);
        for (int i = 0; i < 2; i++) worst = fmax(worst, off_orthonormal(t->learners[i].p[P_W_UP].w, D));
        if (n == 0) memcpy(before, t->learners[1].p[P_W_UP].w, sizeof before);
    }
    ck_assert(memcmp(before, t->learners[1].p[P_W_UP].w, sizeof before) != 0);
    for (int i = 0; i < 2; i++) {
        sae_dict *dict = NULL;
        ck_assert_msg(sae_trainer_export(t, i, &dict, &err) == SAE_OK, "%s", err.message);
        worst = fmax(worst, off_orthonormal(sae_dict_weights(dict).W_up, D));
        sae_dict_free(dict);
    }
    /* [6.6e-8] */
    EXPECT_WITHIN(worst, 5e-7, "|W_up W_up^T - I| is %.2g", worst);
    sae_trainer_free(t);
}
END_TEST

/* Rows that hardly differ, and rows that already are orthonormal. */
START_TEST(test_orthonormal_rows)
{
    enum { N = 300 };
    static float W[R * N], again[R * N];
    rng r = rng_seed(4, 4);
    double moved = 0;

    for (int i = 0; i < N; i++) {
        float common = (float)rng_normal(&r);
        for (int k = 0; k < R; k++) W[k * N + i] = 1e3f * (common + (float)(1e-4 * rng_normal(&r)));
    }
    orthonormal_rows(W, R, N);
    double off = off_orthonormal(W, N);
    /* [2.2e-9, 2.3e-10] */
    EXPECT_WITHIN(off, 5e-8, "|W W^T - I| is %.2g", off);
    memcpy(again, W, sizeof W);
    orthonormal_rows(again, R, N);
    for (int i = 0; i < R * N; i++) moved = fmax(moved, fabs((double)W[i] - (double)again[i]));
    EXPECT_WITHIN(moved, 1e-8, "orthonormal rows moved by %.2g", moved);
}
END_TEST

/* A random start: W_up is not 0, all else is what it is with W_up = 0; another seed, another start. Frozen, it keeps its bytes, also
 * in what is exported. */
START_TEST(test_random_start_and_frozen)
{
    float rows[ROWS * D], up[R * D], down[R * D];
    sae_dict_config c[3] = {config(SAE_P1), config(SAE_P1), config(SAE_P1)};
    sae_train_options o = recipe(60);
    sae_step_stats s[3];
    sae_error err = {0};
    sae_dict *dict = NULL;
    double squares = 0;

    make_rows(rows);
    if (_i) o.optimiser_rule = SAE_OPTIMISER_SIGNUM;
    c[1].scaffold_start = c[2].scaffold_start = SAE_START_RANDOM;
    c[1].scaffold_frozen = true;
    c[1].scaffold_centre = SAE_CENTRE_OWN;
    c[2].seed = 1;
    sae_trainer *t = create(c, 3, &o);
    const param *zero = t->learners[0].p, *random = t->learners[1].p;
    for (int p = P_W_ENC; p <= P_W_DOWN; p++) ck_assert(same(&zero[p], &random[p]));
    ck_assert(!same(&random[P_W_UP], &t->learners[2].p[P_W_UP]));
    for (int i = 0; i < R * D; i++) squares += pow((double)random[P_W_UP].w[i], 2) / R; /* each row's is 1 on average */
    ck_assert(squares > 0.3 && squares < 3);
    memcpy(up, random[P_W_UP].w, sizeof up);
    memcpy(down, random[P_W_DOWN].w, sizeof down);
    for (int n = 0; n < 60; n++) step(t, rows, s);
    ck_assert(memcmp(up, random[P_W_UP].w, sizeof up) == 0 && memcmp(down, random[P_W_DOWN].w, sizeof down) == 0);
    ck_assert_double_gt(s[1].l0, 3);
    ck_assert_msg(sae_trainer_export(t, 1, &dict, &err) == SAE_OK, "%s", err.message);
    sae_weights w = sae_dict_weights(dict);
    double off = 0;
    for (int i = 0; i < R * D; i++)
        off = fmax(off, fmax(fabs((double)w.W_up[i] - (double)up[i]), fabs((double)w.W_down[i] - (double)down[i])));
    /* [0] */
    EXPECT_WITHIN(off, 1e-7, "the export of a frozen scaffold is off by %.2g", off);
    sae_dict_free(dict);
    sae_trainer_free(t);
}
END_TEST

/* 1 is the default to the last bit. Adam's first step goes as far as its rate: a quarter of it, a quarter as far, and the dictionary as
 * ever. */
START_TEST(test_learning_rate_of_its_own)
{
    float rows[ROWS * D], before[R * D];
    sae_dict_config c[3] = {config(SAE_P2), config(SAE_P2), config(SAE_P2)};
    sae_train_options o = recipe(60);
    sae_step_stats s[3];
    double off = 0;

    make_rows(rows);
    for (int i = 0; i < 3; i++) c[i].scaffold_start = SAE_START_RANDOM;
    c[1].scaffold_lr = 1;
    c[2].scaffold_lr = 0.25;
    sae_trainer *t = create(c, 3, &o);
    memcpy(before, t->learners[0].p[P_W_UP].w, sizeof before);
    step(t, rows, s);
    for (int i = 0; i < R * D; i++) {
        double whole = (double)t->learners[0].p[P_W_UP].w[i] - (double)before[i];
        double part = (double)t->learners[2].p[P_W_UP].w[i] - (double)before[i];
        off = fmax(off, fabs(part - 0.25 * whole) / o.lr);
        ck_assert_double_gt(fabs(whole), 0.9 * o.lr);
    }
    /* [6e-6] */
    EXPECT_WITHIN(off, 5e-5, "a quarter of a step is off by %.2g of a step", off);
    for (int p = 0; p < N_PARAMS; p++)
        ck_assert_int_eq(same(&t->learners[0].p[p], &t->learners[2].p[p]),
                         t->learners[0].p[p].rows == 0 || (p != P_W_DOWN && p != P_W_UP));
    for (int n = 1; n < 60; n++) step(t, rows, s);
    for (int p = 0; p < N_PARAMS; p++) ck_assert(same(&t->learners[0].p[p], &t->learners[1].p[p]));
    sae_trainer_free(t);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scaffold");
    TCase *tc = tcase_create("laws");
    SRunner *runner = srunner_create(s);

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, test_p3_gets_nothing_from_the_dictionary);
    tcase_add_test(tc, test_p3_becomes_pca);
    tcase_add_test(tc, test_pca_start_is_lapacks);
    tcase_add_test(tc, test_staged_training);
    tcase_add_loop_test(tc, test_loss_over_a_variance_of_the_scaffold, 0, 6);
    tcase_add_test(tc, test_scaffold_goes_on_after_its_steps);
    tcase_add_loop_test(tc, test_centred_by_nothing_is_centred_by_zero, SAE_P1, SAE_P3 + 1);
    tcase_add_loop_test(tc, test_own_bias_begins_as_b_dec, SAE_P1, SAE_P3 + 1);
    tcase_add_loop_test(tc, test_tied_stays_tied, 0, 6);
    tcase_add_loop_test(tc, test_orthonormal_rows_of_W_up, 0, 9);
    tcase_add_test(tc, test_orthonormal_rows);
    tcase_add_loop_test(tc, test_random_start_and_frozen, 0, 2);
    tcase_add_test(tc, test_learning_rate_of_its_own);
    suite_add_tcase(s, tc);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
