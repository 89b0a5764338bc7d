/*
 * test_gradients.c - every gradient of the training step against central differences of the loss, computed here anew, from
 * its definition, in double.
 */
#include "expect.h"
#include "sae/train.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { D = 7, D_OUT = 5, F = 24, B = 13, K = 3, R = 2, G = 3 };
static const int64_t group_sizes[G] = {4, 8, 12};

typedef struct case_row {
    sae_variant variant;
    int rank;
    bool matryoshka, aux;
    bool last;       /* M2: the scaffold joins the last prefix only */
    bool transcoder; /* to D_OUT */
    bool skip;
    bool topk; /* the k largest of each row */
    sae_loss_rule loss_rule;
    sae_auxk_rule auxk_rule;
    bool alone; /* a step in which the scaffold learns alone */
    sae_scaffold_centre centre;
    sae_scaffold_tie tie;
} case_row;

static const case_row cases[] = {
    {SAE_P1, 0, false, false},
    {SAE_P1, 0, false, true},
    {SAE_P1, 0, true, false},
    {SAE_P1, 0, true, true},
    {SAE_P1, R, false, false},
    {SAE_P1, R, false, true},
    {SAE_P1, R, true, true},
    {SAE_P2, R, false, false},
    {SAE_P2, R, false, true},
    {SAE_P2, R, true, true},
    {SAE_P3, R, false, false},
    {SAE_P3, R, false, true},
    {SAE_P3, R, true, true},
    {SAE_P1, R, true, true, .last = true},
    {SAE_P2, R, true, true, .last = true},
    {SAE_P3, R, true, false, .last = true},
    {SAE_P1, R, false, false, .alone = true},
    {SAE_P2, R, true, false, .alone = true, .last = true},
    {SAE_P1, 0, false, false, .topk = true},
    {SAE_P1, 0, false, true, .topk = true},
    {SAE_P2, R, false, true, .topk = true},
    {SAE_P1, 0, true, true, .loss_rule = SAE_LOSS_FVU, .auxk_rule = SAE_AUXK_VARIANCE},
    {SAE_P1, 0, false, true, .loss_rule = SAE_LOSS_FIRST, .topk = true},
    {SAE_P1, 0, false, true, .auxk_rule = SAE_AUXK_PLAIN},
    {SAE_P1, 0, false, true, .auxk_rule = SAE_AUXK_BIAS},
    {SAE_P2, R, true, true, .auxk_rule = SAE_AUXK_BIAS},
    {SAE_P1, 0, false, true, .topk = true, .transcoder = true, .auxk_rule = SAE_AUXK_BIAS},
    {SAE_P2, R, true, true, .auxk_rule = SAE_AUXK_PLAIN},
    {SAE_P1, 0, false, false, .transcoder = true},
    {SAE_P1, 0, false, true, .transcoder = true},
    {SAE_P1, 0, true, true, .transcoder = true, .skip = true},
    {SAE_P1, R, false, true, .transcoder = true, .skip = true},
    {SAE_P1, R, true, true, .transcoder = true, .last = true},
    {SAE_P1, R, false, false, .transcoder = true, .alone = true},
    {SAE_P1, R, false, true, .centre = SAE_CENTRE_NONE},
    {SAE_P2, R, true, true, .centre = SAE_CENTRE_NONE},
    {SAE_P3, R, false, true, .centre = SAE_CENTRE_NONE},
    {SAE_P1, R, true, true, .centre = SAE_CENTRE_OWN, .last = true},
    {SAE_P2, R, false, true, .centre = SAE_CENTRE_OWN},
    {SAE_P3, R, false, false, .centre = SAE_CENTRE_OWN},
    {SAE_P1, R, false, true, .transcoder = true, .centre = SAE_CENTRE_OWN},
    {SAE_P1, R, false, false, .centre = SAE_CENTRE_OWN, .alone = true},
    {SAE_P1, R, false, true, .tie = SAE_TIE_TRANSPOSE},
    {SAE_P2, R, true, true, .tie = SAE_TIE_TRANSPOSE},
    {SAE_P3, R, false, true, .tie = SAE_TIE_TRANSPOSE},
    {SAE_P2, R, false, false, .tie = SAE_TIE_TRANSPOSE, .centre = SAE_CENTRE_OWN},
    {SAE_P1, R, false, false, .tie = SAE_TIE_TRANSPOSE, .centre = SAE_CENTRE_NONE, .alone = true},
    {SAE_P1, R, false, true, .tie = SAE_TIE_ORTHONORMAL},
    {SAE_P2, R, true, true, .tie = SAE_TIE_ORTHONORMAL, .centre = SAE_CENTRE_NONE},
    {SAE_P3, R, false, false, .tie = SAE_TIE_ORTHONORMAL},
};

/* The weights in double (matrices as they lie, o columns in what writes the output), and what the loss holds fixed: the residual
 * that AuxK rebuilds, its variance, and for P3 what its dictionary sees of the scaffold. */
typedef struct model {
    const case_row *c;
    int o;
    double W_enc[F * D], b_enc[F], W_dec[F * D], b_dec[D], W_down[R * D], W_up[R * D], W_skip[D_OUT * D], b_down[R];
    double x[B * D], y[B * D];
    bool dead[F];
    bool have_residual, have_s;
    double residual[B][D], fixed_bias[D], variance, s[B][D];
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
        for (int i = 0; m->c->auxk_rule == SAE_AUXK_BIAS && i < m->o; i++) e[i] = m->b_dec[i] - m->fixed_bias[i];
        for (int j = 0; j < F; j++)
            if (m->dead[j] && a[b][j] >= edge)
                for (int i = 0; i < m->o; i++) e[i] += a[b][j] * m->W_dec[j * m->o + i];
        for (int i = 0; i < m->o; i++) sum += (e[i] - m->residual[b][i]) * (e[i] - m->residual[b][i]);
    }
    return sum / m->variance;
}

static void fix_residual(model *m, double recon[B][D])
{
    double mean[D] = {0};

    for (int b = 0; b < B; b++)
        for (int i = 0; i < m->o; i++) {
            m->residual[b][i] = m->y[b * m->o + i] - recon[b][i];
            mean[i] += m->residual[b][i] / B;
        }
    m->variance = 0;
    for (int b = 0; b < B; b++)
        for (int i = 0; i < m->o; i++) m->variance += pow(m->residual[b][i] - mean[i], 2);
    memcpy(m->fixed_bias, m->b_dec, sizeof m->b_dec);
    m->have_residual = true;
}

/* c = x - b_dec (x of a transcoder) and s = (c, or x + b_down) W_down W_up. Tied, W_up is W_down too. */
static void scaffold_output(model *m, double c[B][D], double s[B][D])
{
    bool by_b_dec = m->c->centre == SAE_CENTRE_B_DEC;

    if (m->c->tie == SAE_TIE_TRANSPOSE) memcpy(m->W_down, m->W_up, sizeof m->W_up);
    for (int b = 0; b < B; b++) {
        for (int i = 0; i < D; i++) c[b][i] = m->x[b * D + i] - (m->c->transcoder ? 0.0 : m->b_dec[i]);
        for (int i = 0; i < m->o; i++) s[b][i] = 0;
        for (int r = 0; r < m->c->rank; r++) {
            double h = m->b_down[r];
            for (int i = 0; i < D; i++) h += (by_b_dec ? c[b][i] : m->x[b * D + i]) * m->W_down[r * D + i];
            for (int i = 0; i < m->o; i++) s[b][i] += h * m->W_up[r * m->o + i];
        }
    }
}

/* What the scaffold alone leaves: mean |s + b_dec - y|^2, which is mean |s - c|^2 of an autoencoder. */
static double scaffold_loss(model *m)
{
    static double c[B][D], s[B][D];
    double sum = 0;

    scaffold_output(m, c, s);
    for (int b = 0; b < B; b++)
        for (int i = 0; i < m->o; i++) sum += pow(s[b][i] + m->b_dec[i] - m->y[b * m->o + i], 2);
    return sum / B;
}

/* sum |y - mean y|^2 of rows of n. */
static double variance(const double *y, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++) {
        double mean = 0;
        for (int b = 0; b < B; b++) mean += y[b * n + i] / B;
        for (int b = 0; b < B; b++) sum += pow(y[b * n + i] - mean, 2);
    }
    return sum;
}

static double loss(model *m)
{
    static double a[B][F], z[B][F], recon[B][D], c[B][D], s[B][D];
    double total = 0;
    int groups = m->c->matryoshka ? G : 1;

    scaffold_output(m, c, s);
    if (m->c->variant == SAE_P3) { /* a constant to the dictionary */
        if (!m->have_s) memcpy(m->s, s, sizeof s);
        m->have_s = true;
        memcpy(s, m->s, sizeof s);
    }
    for (int b = 0; b < B; b++) {
        for (int j = 0; j < F; j++) {
            a[b][j] = m->b_enc[j];
            for (int i = 0; i < D; i++)
                a[b][j] += (c[b][i] - (m->c->variant != SAE_P1 ? s[b][i] : 0.0)) * m->W_enc[j * D + i];
            z[b][j] = a[b][j];
            if (a[b][j] < 0) a[b][j] = 0;
        }
        for (int i = 0; i < m->o; i++) {
            recon[b][i] = m->b_dec[i] + (m->c->last ? 0.0 : s[b][i]);
            for (int n = 0; m->c->skip && n < D; n++) recon[b][i] += m->x[b * D + n] * m->W_skip[i * D + n];
        }
    }
    double edges[B], all = nth_largest(&a[0][0], B * F, K * B);
    for (int b = 0; b < B; b++) edges[b] = m->c->topk ? nth_largest(a[b], F, K) : all;
    for (int g = 0, start = 0; g < groups; g++) {
        int end = groups == 1 ? F : start + (int)group_sizes[g];
        double sum = 0;
        for (int b = 0; b < B; b++)
            for (int j = start; j < end; j++)
                if (a[b][j] >= edges[b])
                    for (int i = 0; i < m->o; i++) recon[b][i] += a[b][j] * m->W_dec[j * m->o + i];
        for (int b = 0; m->c->last && g == groups - 1 && b < B; b++)
            for (int i = 0; i < m->o; i++) recon[b][i] += s[b][i];
        for (int b = 0; b < B; b++)
            for (int i = 0; i < m->o; i++) sum += pow(recon[b][i] - m->y[b * m->o + i], 2);
        total += sum / B / (groups * groups);
        start = end;
    }
    if (m->c->loss_rule != SAE_LOSS_SUM) total *= B / variance(m->y, m->o);
    if (!m->c->aux) return total;
    if (!m->have_residual) fix_residual(m, recon);
    if (m->c->auxk_rule == SAE_AUXK_PLAIN) m->variance = B;
    if (m->c->auxk_rule == SAE_AUXK_VARIANCE) m->variance = variance(m->y, m->o);
    return total + m->alpha * aux_loss(m, m->c->auxk_rule == SAE_AUXK_PLAIN ? z : a);
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
    for (int64_t i = 0; i < l->config.rank * l->d_out; i++) l->p[P_W_UP].w[i] = (float)(0.3 * rng_normal(&r));
    for (int64_t i = 0; l->config.skip && i < D_OUT * D; i++) l->p[P_W_SKIP].w[i] = (float)(0.2 * rng_normal(&r));
    for (int64_t k = 0; k < l->p[P_B_DOWN].rows * l->config.rank; k++) /* of a transcoder; else the start sets it */
        l->p[P_B_DOWN].w[k] = (float)(0.3 * rng_normal(&r));
    for (int j = 0; aux && j < F; j += 3) {
        for (int i = 0; i < D; i++) l->p[P_W_ENC].w[j * D + i] *= 0.15f;
        l->p[P_B_ENC].w[j] = 0.02f;
        l->since_fired[j] = 1000000;
    }
}

/* The largest |analytic - numeric| over the largest |numeric| of a parameter. */
static double compare(model *m, double (*of)(model *), double *w, const float *g, int64_t rows, int64_t columns,
                      bool unit_rows_)
{
    double worst = 0, largest = 1e-8, *numeric = calloc((size_t)(rows * columns), sizeof *numeric);
    const double step = 1e-6;

    for (int64_t i = 0; i < rows * columns; i++) {
        double keep = w[i];
        w[i] = keep + step;
        double up = of(m);
        w[i] = keep - step;
        numeric[i] = (up - of(m)) / (2 * step);
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

static sae_dict_config config_of(const case_row *c)
{
    sae_dict_config config = {.arch = c->matryoshka ? SAE_MATRYOSHKA
                                      : c->topk     ? SAE_TOPK
                                                    : SAE_BATCHTOPK,
                              .variant = c->variant,
                              .d_in = D,
                              .d_sae = F,
                              .k = K,
                              .rank = c->rank,
                              .scaffold_last = c->last,
                              .scaffold_steps = c->alone,
                              .scaffold_centre = c->centre,
                              .scaffold_tie = c->tie,
                              .scaffold_start = c->tie ? SAE_START_RANDOM : SAE_START_ZERO,
                              .d_out = c->transcoder ? D_OUT : 0,
                              .skip = c->skip};

    if (c->matryoshka) {
        config.n_groups = G;
        memcpy(config.groups, group_sizes, sizeof group_sizes);
    }
    return config;
}

/* The rows without gradient are not written: they stand for 0. */
static void clear_silent_rows(const sae_trainer *t, learner *l)
{
    for (int64_t j = 0; j < F; j++) {
        if (latent_is_active(&t->s, j)) continue;
        memset(l->p[P_W_ENC].g + j * D, 0, D * sizeof(float));
        memset(l->p[P_W_DEC].g + j * l->d_out, 0, (size_t)l->d_out * sizeof(float));
    }
}

/* Observed at most, on any instruction set: 7e-7; W_dec 4.1e-6, because the norm of its rows is taken as 1e-6 more when the part along them is removed. */
static void compare_all(model *m, const learner *l)
{
    double *w[N_PARAMS] = {
        [P_W_ENC] = m->W_enc,   [P_B_ENC] = m->b_enc, [P_W_DEC] = m->W_dec,   [P_B_DEC] = m->b_dec,
        [P_W_DOWN] = m->W_down, [P_W_UP] = m->W_up,   [P_W_SKIP] = m->W_skip, [P_B_DOWN] = m->b_down};

    for (int p = 0; p < N_PARAMS; p++) {
        bool of_scaffold = p == P_W_DOWN || p == P_W_UP || p == P_B_DOWN,
             by_itself = m->c->alone || m->c->variant == SAE_P3;
        if (l->p[p].rows == 0 || (m->c->alone && !of_scaffold)) continue;
        if (p == P_W_DOWN && m->c->tie == SAE_TIE_TRANSPOSE) continue; /* it is W_up */
        double off = compare(m, of_scaffold && by_itself ? scaffold_loss : loss, w[p], l->p[p].g, l->p[p].rows,
                             l->p[p].columns, p == P_W_DEC);
        printf("# case %d: %s off by %.2g\n", (int)(m->c - cases), l->p[p].name, off);
        ck_assert_msg(off < 5e-6, "%s: gradient off by %.2g of its largest entry", l->p[p].name, off);
    }
}

/* T5. */
START_TEST(test_gradients_equal_central_differences)
{
    const case_row *c = &cases[_i];
    sae_dict_config config = config_of(c);
    sae_train_options o = sae_recipe_dictionary_learning(B, 100, F);
    sae_error err = {0};
    sae_trainer *t = NULL;
    sae_step_stats stats;
    int d_out = c->transcoder ? D_OUT : D;
    float rows[B * D], targets[B * D_OUT];
    rng r = rng_seed(7, 7);
    model *m = calloc(1, sizeof *m);

    o.dead_tokens = 100000;
    o.auxk_alpha = c->aux ? 0.5 : 0.0;
    o.auxk_k = 3;
    o.loss_rule = c->loss_rule;
    o.auxk_rule = c->auxk_rule;
    for (int i = 0; i < B * D; i++) rows[i] = (float)rng_normal(&r);
    for (int i = 0; i < B * D_OUT; i++) targets[i] = (float)rng_normal(&r);
    ck_assert_msg(sae_trainer_create(&t, &config, 1, &o, &err) == SAE_OK, "%s", err.message);
    learner *l = &t->learners[0];
    disturb(l, c->aux);
    ck_assert_msg(sae_trainer_step(t, rows, c->transcoder ? targets : NULL, &stats, &err) == SAE_OK, "%s",
                  err.message); /* lr is 0 in step 0 */

    *m = (model){.c = c, .o = d_out, .alpha = o.auxk_alpha, .aux_k = 3};
    to_double(m->x, rows, B * D);
    to_double(m->y, c->transcoder ? targets : rows, B * d_out);
    double *w[N_PARAMS] = {
        [P_W_ENC] = m->W_enc,   [P_B_ENC] = m->b_enc, [P_W_DEC] = m->W_dec,   [P_B_DEC] = m->b_dec,
        [P_W_DOWN] = m->W_down, [P_W_UP] = m->W_up,   [P_W_SKIP] = m->W_skip, [P_B_DOWN] = m->b_down};
    for (int p = 0; p < N_PARAMS; p++)
        if (w[p]) to_double(w[p], l->p[p].w, l->p[p].rows * l->p[p].columns);
    for (int j = 0; j < F; j++) m->dead[j] = l->since_fired[j] >= o.dead_tokens;
    double expected = c->alone ? scaffold_loss(m) : loss(m);
    /* [2.2e-7] */
    EXPECT_WITHIN(fabs(stats.loss / expected - 1), 1e-6, "loss %.9g, expected %.9g", stats.loss, expected);
    if (c->aux) ck_assert_int_gt(stats.dead, 3);
    if (!c->alone) clear_silent_rows(t, l);
    compare_all(m, l);
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
