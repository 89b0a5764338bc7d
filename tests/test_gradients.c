/*
 * test_gradients.c - every gradient of the training step against central differences of the loss, computed here anew, from
 * its definition, in double.
 */
#include "sae/train.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { D = 7, F = 24, B = 13, K = 3, R = 2, G = 3 };
static const int64_t group_sizes[G] = {4, 8, 12};

typedef struct case_row {
    sae_variant variant;
    int rank;
    bool matryoshka, aux;
} case_row;

static const case_row cases[] = {
    {SAE_P1, 0, false, false}, {SAE_P1, 0, false, true}, {SAE_P1, 0, true, false}, {SAE_P1, 0, true, true},
    {SAE_P1, R, false, false}, {SAE_P1, R, false, true}, {SAE_P1, R, true, true},  {SAE_P2, R, false, false},
    {SAE_P2, R, false, true},  {SAE_P2, R, true, true},
};

/* The weights in double, and what the loss holds fixed: the residual that AuxK rebuilds, and its variance. */
typedef struct model {
    const case_row *c;
    double W_enc[F][D], b_enc[F], W_dec[F][D], b_dec[D], W_down[R][D], W_up[R][D];
    double x[B][D];
    bool dead[F];
    bool have_residual;
    double residual[B][D], variance;
    double alpha;
    int aux_k;
} model;

static int descending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? 1 : x > y ? -1 : 0;
}

/* The n-th largest of values (1-based). */
static double nth_largest(const double *values, int n_values, int n)
{
    static double sorted[B * F];

    memcpy(sorted, values, (size_t)n_values * sizeof *sorted);
    qsort(sorted, (size_t)n_values, sizeof *sorted, descending);
    return sorted[n - 1];
}

static double aux_loss(model *m, double a[B][F])
{
    double sum = 0;
    int n_dead = 0;

    for (int j = 0; j < F; j++) n_dead += m->dead[j];
    int k = m->aux_k < n_dead ? m->aux_k : n_dead;
    for (int b = 0; b < B; b++) {
        double of_dead[F], e[D] = {0};
        int n = 0;
        for (int j = 0; j < F; j++)
            if (m->dead[j]) of_dead[n++] = a[b][j];
        double edge = nth_largest(of_dead, n, k);
        for (int j = 0; j < F; j++)
            if (m->dead[j] && a[b][j] >= edge)
                for (int i = 0; i < D; i++) e[i] += a[b][j] * m->W_dec[j][i];
        for (int i = 0; i < D; i++) sum += (e[i] - m->residual[b][i]) * (e[i] - m->residual[b][i]);
    }
    return sum / m->variance;
}

static void fix_residual(model *m, double recon[B][D])
{
    double mean[D] = {0};

    for (int b = 0; b < B; b++)
        for (int i = 0; i < D; i++) {
            m->residual[b][i] = m->x[b][i] - recon[b][i];
            mean[i] += m->residual[b][i] / B;
        }
    m->variance = 0;
    for (int b = 0; b < B; b++)
        for (int i = 0; i < D; i++) m->variance += pow(m->residual[b][i] - mean[i], 2);
    m->have_residual = true;
}

static double loss(model *m)
{
    static double a[B][F], recon[B][D], c[B][D];
    double total = 0;
    int groups = m->c->matryoshka ? G : 1;

    for (int b = 0; b < B; b++) {
        double s[D] = {0};
        for (int i = 0; i < D; i++) c[b][i] = m->x[b][i] - m->b_dec[i];
        for (int r = 0; r < m->c->rank; r++) {
            double h = 0;
            for (int i = 0; i < D; i++) h += c[b][i] * m->W_down[r][i];
            for (int i = 0; i < D; i++) s[i] += h * m->W_up[r][i];
        }
        for (int j = 0; j < F; j++) {
            a[b][j] = m->b_enc[j];
            for (int i = 0; i < D; i++) a[b][j] += (c[b][i] - (m->c->variant == SAE_P2 ? s[i] : 0.0)) * m->W_enc[j][i];
            if (a[b][j] < 0) a[b][j] = 0;
        }
        for (int i = 0; i < D; i++) recon[b][i] = s[i] + m->b_dec[i];
    }
    double edge = nth_largest(&a[0][0], B * F, K * B);
    for (int g = 0, start = 0; g < groups; g++) {
        int end = groups == 1 ? F : start + (int)group_sizes[g];
        double sum = 0;
        for (int b = 0; b < B; b++)
            for (int j = start; j < end; j++)
                if (a[b][j] >= edge)
                    for (int i = 0; i < D; i++) recon[b][i] += a[b][j] * m->W_dec[j][i];
        for (int b = 0; b < B; b++)
            for (int i = 0; i < D; i++) sum += pow(recon[b][i] - m->x[b][i], 2);
        total += sum / B / (groups * groups);
        start = end;
    }
    if (!m->c->aux) return total;
    if (!m->have_residual) fix_residual(m, recon);
    return total + m->alpha * aux_loss(m, a);
}

static void to_double(double *out, const float *in, int64_t n)
{
    for (int64_t i = 0; i < n; i++) out[i] = (double)in[i];
}

/* Random weights with a working scaffold; with aux, a third of the latents too weak to be kept and long silent. */
static void disturb(learner *l, bool aux)
{
    rng r = rng_seed(5, 5);

    for (int64_t i = 0; i < F * D; i++) l->p[P_W_ENC].w[i] += (float)(0.3 * rng_normal(&r));
    for (int j = 0; j < F; j++) l->p[P_B_ENC].w[j] = (float)(0.1 * rng_normal(&r));
    for (int64_t i = 0; i < l->config.rank * D; i++) l->p[P_W_UP].w[i] = (float)(0.3 * rng_normal(&r));
    for (int j = 0; aux && j < F; j += 3) {
        for (int i = 0; i < D; i++) l->p[P_W_ENC].w[j * D + i] *= 0.15f;
        l->p[P_B_ENC].w[j] = 0.02f;
        l->since_fired[j] = 1000000;
    }
}

/* The largest |analytic - numeric| over the largest |numeric| of a parameter. */
static double compare(model *m, double *w, const float *g, int64_t rows, int64_t columns, bool unit_rows_)
{
    double worst = 0, largest = 1e-8, *numeric = calloc((size_t)(rows * columns), sizeof *numeric);
    const double step = 1e-6;

    for (int64_t i = 0; i < rows * columns; i++) {
        double keep = w[i];
        w[i] = keep + step;
        double up = loss(m);
        w[i] = keep - step;
        numeric[i] = (up - loss(m)) / (2 * step);
        w[i] = keep;
    }
    for (int64_t j = 0; unit_rows_ && j < rows; j++) { /* the part along the row is taken out before clipping */
        double norm = 0, along = 0;
        for (int64_t i = 0; i < columns; i++) norm += w[j * columns + i] * w[j * columns + i];
        for (int64_t i = 0; i < columns; i++) along += w[j * columns + i] * numeric[j * columns + i] / norm;
        for (int64_t i = 0; i < columns; i++) numeric[j * columns + i] -= along * w[j * columns + i];
    }
    for (int64_t i = 0; i < rows * columns; i++) {
        largest = fmax(largest, fabs(numeric[i]));
        worst = fmax(worst, fabs(numeric[i] - (double)g[i]));
    }
    free(numeric);
    return worst / largest;
}

START_TEST(test_gradients_equal_central_differences)
{
    const case_row *c = &cases[_i];
    sae_dict_config config = {.arch = c->matryoshka ? SAE_MATRYOSHKA : SAE_BATCHTOPK,
                              .variant = c->variant,
                              .d_in = D,
                              .d_sae = F,
                              .k = K,
                              .rank = c->rank};
    sae_train_options o = sae_recipe_dictionary_learning(B, 100, F);
    sae_error err = {0};
    sae_trainer *t = NULL;
    sae_step_stats stats;
    float rows[B * D];
    rng r = rng_seed(7, 7);
    model *m = calloc(1, sizeof *m);

    if (c->matryoshka) {
        config.n_groups = G;
        memcpy(config.groups, group_sizes, sizeof group_sizes);
    }
    o.dead_tokens = 100000;
    o.auxk_alpha = c->aux ? 0.5 : 0.0;
    o.auxk_k = 3;
    for (int i = 0; i < B * D; i++) rows[i] = (float)rng_normal(&r);
    ck_assert_msg(sae_trainer_create(&t, &config, 1, &o, &err) == SAE_OK, "%s", err.message);
    learner *l = &t->learners[0];
    disturb(l, c->aux);
    ck_assert_msg(sae_trainer_step(t, rows, NULL, &stats, &err) == SAE_OK, "%s", err.message); /* lr is 0 in step 0 */

    *m = (model){.c = c, .alpha = o.auxk_alpha, .aux_k = 3};
    to_double(&m->x[0][0], rows, B * D);
    double *w[N_PARAMS] = {&m->W_enc[0][0], m->b_enc, &m->W_dec[0][0], m->b_dec, &m->W_down[0][0], &m->W_up[0][0]};
    for (int p = 0; p < N_PARAMS; p++) to_double(w[p], l->p[p].w, l->p[p].rows * l->p[p].columns);
    for (int j = 0; j < F; j++) m->dead[j] = l->since_fired[j] >= o.dead_tokens;
    double expected = loss(m);
    ck_assert_msg(fabs(stats.loss - expected) < 1e-6 * expected, "loss %.9g, expected %.9g", stats.loss, expected);
    if (c->aux) ck_assert_int_gt(stats.dead, 3);
    for (int p = 0; p < N_PARAMS; p++) {
        if (l->p[p].rows == 0) continue;
        bool by_latent = p == P_W_ENC || p == P_W_DEC;
        for (int64_t j = 0; by_latent && j < F; j++) /* rows without pairs are not written */
            if (!latent_is_active(&t->s, j)) memset(l->p[p].g + j * D, 0, D * sizeof(float));
        double off = compare(m, w[p], l->p[p].g, l->p[p].rows, l->p[p].columns, p == P_W_DEC);
        ck_assert_msg(off < 5e-6, "%s: gradient off by %.2g of its largest entry", l->p[p].name, off);
    }
    sae_trainer_free(t);
    free(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("gradients");
    TCase *tc = tcase_create("central differences");
    SRunner *runner = srunner_create(s);

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, test_gradients_equal_central_differences, 0, sizeof cases / sizeof *cases);
    suite_add_tcase(s, tc);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
