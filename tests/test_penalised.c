/*
 * test_penalised.c - standard, jumprelu and gated: gradients against central differences of a loss written anew in double, and
 * jumprelu's estimator against its closed form; the sparse way against the dense one; the controller; resuming.
 */
#include "expect.h"
#include "io/io.h"
#include "sae/train.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { D = 7, D_OUT = 5, F = 24, B = 13, R = 2 };

typedef struct case_row {
    sae_arch arch;
    sae_variant variant;
    int rank;
    sae_l1_rule l1;
    sae_l0_rule l0;
    sae_gate_rule gate;
    bool transcoder, skip; /* to D_OUT */
    sae_scaffold_centre centre;
    sae_scaffold_tie tie;
    sae_loss_rule loss;
} case_row;

static const case_row cases[] = {
    {SAE_STANDARD, SAE_P1, 0, SAE_L1_CODES, 0, 0},
    {SAE_STANDARD, SAE_P1, 0, SAE_L1_NORMS, 0, 0},
    {SAE_STANDARD, SAE_P1, R, SAE_L1_NORMS, 0, 0},
    {SAE_STANDARD, SAE_P2, R, SAE_L1_CODES, 0, 0},
    {SAE_JUMPRELU, SAE_P1, 0, 0, SAE_L0_QUADRATIC, 0},
    {SAE_JUMPRELU, SAE_P1, 0, 0, SAE_L0_LINEAR, 0},
    {SAE_JUMPRELU, SAE_P1, R, 0, SAE_L0_CONTROLLED, 0},
    {SAE_JUMPRELU, SAE_P2, R, 0, SAE_L0_QUADRATIC, 0},
    {SAE_JUMPRELU, SAE_P2, R, 0, SAE_L0_CONTROLLED, 0},
    {SAE_GATED, SAE_P1, 0, SAE_L1_CODES, 0, SAE_GATE_DETACHED},
    {SAE_GATED, SAE_P1, 0, SAE_L1_NORMS, 0, SAE_GATE_TRAINS_DECODER},
    {SAE_GATED, SAE_P1, R, SAE_L1_CODES, 0, SAE_GATE_DETACHED},
    {SAE_GATED, SAE_P2, R, SAE_L1_CODES, 0, SAE_GATE_DETACHED},
    {SAE_STANDARD, SAE_P3, R, SAE_L1_NORMS, 0, 0},
    {SAE_JUMPRELU, SAE_P3, R, 0, SAE_L0_LINEAR, 0},
    {SAE_JUMPRELU, SAE_P3, R, 0, SAE_L0_CONTROLLED, 0},
    {SAE_JUMPRELU, SAE_P3, R, 0, SAE_L0_QUADRATIC, 0},
    {SAE_GATED, SAE_P3, R, SAE_L1_CODES, 0, SAE_GATE_DETACHED},
    {SAE_GATED, SAE_P3, R, SAE_L1_NORMS, 0, SAE_GATE_TRAINS_DECODER},
    {SAE_STANDARD, SAE_P1, 0, SAE_L1_NORMS, 0, 0, .transcoder = true},
    {SAE_STANDARD, SAE_P1, R, SAE_L1_CODES, 0, 0, .transcoder = true, .skip = true},
    {SAE_JUMPRELU, SAE_P1, 0, 0, SAE_L0_QUADRATIC, 0, .transcoder = true},
    {SAE_JUMPRELU, SAE_P1, R, 0, SAE_L0_LINEAR, 0, .transcoder = true, .skip = true},
    {SAE_JUMPRELU, SAE_P1, R, 0, SAE_L0_CONTROLLED, 0, .transcoder = true},
    {SAE_GATED, SAE_P1, 0, SAE_L1_NORMS, 0, SAE_GATE_DETACHED, .transcoder = true},
    {SAE_GATED, SAE_P1, R, SAE_L1_CODES, 0, SAE_GATE_DETACHED, .transcoder = true, .skip = true},
    {SAE_STANDARD, SAE_P2, R, SAE_L1_CODES, 0, 0, .centre = SAE_CENTRE_OWN},
    {SAE_STANDARD, SAE_P1, R, SAE_L1_NORMS, 0, 0, .centre = SAE_CENTRE_NONE, .tie = SAE_TIE_TRANSPOSE},
    {SAE_JUMPRELU, SAE_P1, R, 0, SAE_L0_QUADRATIC, 0, .centre = SAE_CENTRE_NONE},
    {SAE_JUMPRELU, SAE_P2, R, 0, SAE_L0_QUADRATIC, 0, .centre = SAE_CENTRE_OWN},
    {SAE_JUMPRELU, SAE_P2, R, 0, SAE_L0_CONTROLLED, 0, .tie = SAE_TIE_ORTHONORMAL},
    {SAE_GATED, SAE_P2, R, SAE_L1_CODES, 0, SAE_GATE_DETACHED, .centre = SAE_CENTRE_OWN},
    {SAE_GATED, SAE_P3, R, SAE_L1_CODES, 0, SAE_GATE_DETACHED, .tie = SAE_TIE_TRANSPOSE},
    {SAE_GATED, SAE_P1, R, SAE_L1_CODES, 0, SAE_GATE_DETACHED, .transcoder = true, .centre = SAE_CENTRE_OWN},
    {SAE_JUMPRELU, SAE_P1, 0, 0, SAE_L0_CONTROLLED, 0, .loss = SAE_LOSS_FVU},
    {SAE_STANDARD, SAE_P2, R, SAE_L1_NORMS, 0, 0, .loss = SAE_LOSS_FIRST},
    {SAE_GATED, SAE_P1, R, SAE_L1_CODES, 0, SAE_GATE_DETACHED, .loss = SAE_LOSS_FVU},
    {SAE_GATED, SAE_P1, 0, SAE_L1_NORMS, 0, SAE_GATE_TRAINS_DECODER, .loss = SAE_LOSS_FIRST},
};
enum { N_CASES = sizeof cases / sizeof *cases };

/* ---- The loss, from its definition ------------------------------------------------------------------------------------- */

/* Parameters in double, as they lie in the trainer (o columns in what writes the output); what the gate's reconstruction takes as
 * constant stands apart. */
typedef struct weights {
    double W_enc[F][D], b_enc[F], W_dec[F * D], b_dec[D], W_down[R][D], W_up[R * D], theta[F], b_mag[F], r_mag[F],
        W_skip[D_OUT * D], b_down[R];
} weights;

typedef struct model {
    const case_row *c;
    weights w, constant;
    int o;
    bool have_scaffold; /* s of the gate's reconstruction, and of P3's dictionary, is kept from the first call */
    double s[B][D], through[B][D];                                    /* of the skip path likewise */
    double x[B][D], y[B * D], coefficient, target, bandwidth, weight; /* weight: of the squared errors */
    bool subtracts_b_dec;
    double l0, a[B][F], f[B][F], g[B][D]; /* of the last call: for the estimator */
} model;

static double row_norm(const double *w, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++) sum += w[i] * w[i];
    return sqrt(sum);
}

/* c = x - b_dec (x of a transcoder), and s, what the scaffold makes of it or of x. Tied, W_up is W_down too. */
static void scaffold_of(model *m, int b, double c[D], double s[D])
{
    if (m->c->tie == SAE_TIE_TRANSPOSE) memcpy(m->w.W_down, m->w.W_up, sizeof m->w.W_up);
    memset(s, 0, D * sizeof *s);
    for (int i = 0; i < D; i++) c[i] = m->x[b][i] - (m->c->transcoder ? 0 : m->w.b_dec[i]);
    for (int r = 0; r < m->c->rank; r++) {
        double h = m->w.b_down[r];
        for (int i = 0; i < D; i++) h += (m->c->centre == SAE_CENTRE_B_DEC ? c[i] : m->x[b][i]) * m->w.W_down[r][i];
        for (int i = 0; i < m->o; i++) s[i] += h * m->w.W_up[r * m->o + i];
    }
}

/* What P3's scaffold learns from: mean |s - c|^2. */
static double scaffold_loss(model *m)
{
    double sum = 0, c[D], s[D];

    for (int b = 0; b < B; b++) {
        scaffold_of(m, b, c, s);
        for (int i = 0; i < D; i++) sum += pow(s[i] - c[i], 2) / B;
    }
    return sum;
}

static double loss(model *m)
{
    const weights *w = &m->w;
    double total = 0, penalty = 0;

    m->l0 = 0;
    for (int b = 0; b < B; b++) {
        double c[D], u[D], s[D], through[D] = {0}, recon[D], gate[D];
        scaffold_of(m, b, c, s);
        for (int i = 0; m->c->skip && i < m->o; i++)
            for (int n = 0; n < D; n++) through[i] += m->x[b][n] * w->W_skip[i * D + n];
        if (!m->have_scaffold) memcpy(m->s[b], s, sizeof s), memcpy(m->through[b], through, sizeof through);
        if (m->c->variant == SAE_P3) memcpy(s, m->s[b], sizeof s);
        bool trains = m->c->gate == SAE_GATE_TRAINS_DECODER;
        for (int i = 0; i < D; i++)
            u[i] = (m->subtracts_b_dec ? c[i] : m->x[b][i]) - (m->c->variant != SAE_P1 ? s[i] : 0);
        for (int i = 0; i < m->o; i++) {
            recon[i] = s[i] + through[i] + w->b_dec[i];
            gate[i] = m->s[b][i] + m->through[b][i] + (trains ? w->b_dec[i] : m->constant.b_dec[i]);
        }
        for (int j = 0; j < F; j++) {
            double v = 0, f, norm = m->c->l1 == SAE_L1_NORMS ? row_norm(w->W_dec + j * m->o, m->o) : 1;
            for (int i = 0; i < D; i++) v += u[i] * w->W_enc[j][i];
            double a = v + w->b_enc[j];
            if (m->c->arch == SAE_JUMPRELU) {
                f = a > w->theta[j] ? a : 0;
                m->l0 += (m->c->l0 == SAE_L0_LINEAR ? a > w->theta[j] : f > w->theta[j]) / (double)B;
            } else if (m->c->arch == SAE_GATED) {
                double mu = exp(w->r_mag[j]) * v + w->b_mag[j], q = a > 0 ? a : 0;
                f = a > 0 && mu > 0 ? mu : 0;
                penalty += (trains                     ? norm
                            : m->c->l1 == SAE_L1_NORMS ? row_norm(m->constant.W_dec + j * m->o, m->o)
                                                       : 1) *
                           q / B;
                for (int i = 0; i < m->o; i++) gate[i] += q * (trains ? w : &m->constant)->W_dec[j * m->o + i];
            } else {
                f = a > 0 ? a : 0;
                penalty += norm * f / B;
            }
            for (int i = 0; i < m->o; i++) recon[i] += f * w->W_dec[j * m->o + i];
            m->a[b][j] = a;
            m->f[b][j] = f;
        }
        for (int i = 0; i < m->o; i++) {
            double y = m->y[b * m->o + i];
            m->g[b][i] = 2 * m->weight * (recon[i] - y) / B;
            total += m->weight * pow(recon[i] - y, 2) / B;
            if (m->c->arch == SAE_GATED) total += m->weight * pow(gate[i] - y, 2) / B;
        }
    }
    m->have_scaffold = true;
    if (m->c->arch != SAE_JUMPRELU) return total + m->coefficient * penalty;
    return total + m->coefficient * (m->c->l0 == SAE_L0_QUADRATIC ? pow(m->l0 / m->target - 1, 2) : m->l0);
}

/* The closed form of dL/dtheta_j (docs/method.md, section 8), from what the last call of loss left. */
static double estimator(const model *m, int j)
{
    double theta = m->w.theta[j], w = m->bandwidth, sum = 0;
    double q = m->c->l0 == SAE_L0_QUADRATIC ? 2 * m->coefficient * (m->l0 / m->target - 1) / m->target : m->coefficient;

    for (int b = 0; b < B; b++) {
        double slope = 0, seen = m->c->l0 == SAE_L0_LINEAR ? m->a[b][j] : m->f[b][j];
        for (int i = 0; i < m->o; i++) slope += m->g[b][i] * m->w.W_dec[j * m->o + i];
        if (fabs(m->a[b][j] - theta) < w / 2) sum -= theta / w * slope;
        if (fabs(seen - theta) < w / 2) sum -= q / B / w;
    }
    return sum;
}

/* ---- A trainer beside it ------------------------------------------------------------------------------------------------ */

static sae_train_options options_of(const case_row *c, int64_t batch, int64_t d_sae)
{
    sae_train_options o = sae_recipe_dictionary_learning(batch, 100, d_sae);

    o.auxk_alpha = 0;
    o.l1_rule = c->l1;
    o.l0_rule = c->l0;
    o.gate_rule = c->gate;
    o.loss_rule = c->loss;
    o.decoder_rule = SAE_DECODER_FREE;
    o.bandwidth = 0.6;
    o.first_threshold = 0.3;
    o.warmup_rule = SAE_WARMUP_FROM_ONE; /* every step moves all */
    return o;
}

/* A trainer with weights that make every rule act: free rows, a working scaffold, thresholds of both signs, gates and magnitudes
 * that disagree. Caller frees. */
static sae_trainer *make_trainer(const case_row *c, const sae_train_options *o, int64_t d, int64_t d_sae)
{
    sae_dict_config config = {.arch = c->arch,
                              .variant = c->variant,
                              .d_in = d,
                              .d_sae = d_sae,
                              .k = 3,
                              .rank = c->rank,
                              .d_out = c->transcoder ? D_OUT : 0,
                              .skip = c->skip,
                              .scaffold_centre = c->centre,
                              .scaffold_tie = c->tie,
                              .scaffold_start = c->tie ? SAE_START_RANDOM : SAE_START_ZERO,
                              .l1_coefficient = 0.37};
    sae_trainer *t = NULL;
    sae_error err = {0};
    rng r = rng_seed(5, 5);

    ck_assert_msg(sae_trainer_create(&t, &config, 1, o, &err) == SAE_OK, "%s", err.message);
    learner *l = &t->learners[0];
    l->coefficient = 0.11; /* the controller's */
    for (int64_t i = 0; i < d_sae * d; i++) l->p[P_W_ENC].w[i] += (float)(0.3 * rng_normal(&r));
    for (int64_t i = 0; i < d_sae * l->d_out; i++) l->p[P_W_DEC].w[i] += (float)(0.2 * rng_normal(&r));
    for (int64_t j = 0; j < d_sae; j++) l->p[P_B_ENC].w[j] = (float)(0.2 * rng_normal(&r));
    for (int64_t i = 0; i < c->rank * l->d_out; i++) l->p[P_W_UP].w[i] = (float)(0.3 * rng_normal(&r));
    for (int64_t i = 0; c->skip && i < D_OUT * d; i++) l->p[P_W_SKIP].w[i] = (float)(0.2 * rng_normal(&r));
    for (int64_t j = 0; c->arch == SAE_JUMPRELU && j < d_sae; j++)
        l->p[P_THRESHOLD].w[j] = (float)(0.4 * rng_normal(&r) + 0.2);
    for (int64_t j = 0; c->arch == SAE_GATED && j < d_sae; j++) {
        l->p[P_B_MAG].w[j] = (float)(0.5 * rng_normal(&r));
        l->p[P_R_MAG].w[j] = (float)(0.3 * rng_normal(&r));
    }
    for (int64_t k = 0; k < l->p[P_B_DOWN].rows * c->rank; k++) l->p[P_B_DOWN].w[k] = (float)(0.3 * rng_normal(&r));
    scaffold_tie(l);
    return t;
}

static float *make_rows(int64_t n, int64_t d, uint64_t seed)
{
    float *rows = malloc((size_t)(n * d) * sizeof *rows);
    rng r = rng_seed(seed, 7);

    for (int64_t i = 0; i < n * d; i++) rows[i] = (float)rng_normal(&r);
    return rows;
}

/* The targets of every step of a transcoder; NULL of an autoencoder. Caller frees. */
static float *make_targets(const sae_trainer *t)
{
    return t->learners[0].config.d_out > 0 ? make_rows(t->options.batch, D_OUT, 11) : NULL;
}

static sae_step_stats step(sae_trainer *t, const float *rows)
{
    sae_step_stats stats = {0};
    sae_error err = {0};
    float *to = make_targets(t);

    ck_assert_msg(sae_trainer_step(t, rows, to, &stats, &err) == SAE_OK, "%s", err.message);
    free(to);
    return stats;
}

static void to_double(double *out, const float *in, int64_t n)
{
    for (int64_t i = 0; i < n; i++) out[i] = (double)in[i];
}

/* Rows of W_enc and W_dec without pairs are not written. */
static void zero_idle_rows(sae_trainer *t)
{
    learner *l = &t->learners[0];
    int64_t d = l->config.d_in;

    for (int64_t j = 0; j < l->config.d_sae; j++) {
        if (latent_is_active(&t->s, j)) continue;
        memset(l->p[P_W_ENC].g + j * d, 0, (size_t)d * sizeof(float));
        memset(l->p[P_W_DEC].g + j * l->d_out, 0, (size_t)l->d_out * sizeof(float));
    }
}

/* Of B rows of d: the mean of |y - mean y|^2. */
static double variance_of(const double *y, int d)
{
    double sum = 0;

    for (int i = 0; i < d; i++) {
        double mean = 0;
        for (int b = 0; b < B; b++) mean += y[b * d + i] / B;
        for (int b = 0; b < B; b++) sum += pow(y[b * d + i] - mean, 2) / B;
    }
    return sum;
}

/* ---- Gradients ----------------------------------------------------------------------------------------------------------- */

static void expect_gradient(model *m, double (*of)(model *), double *w, const param *p, bool closed_form)
{
    double worst = 0, largest = 1e-8;
    const double h = 1e-6;

    for (int64_t i = 0; i < p->rows * p->columns; i++) {
        double keep = w[i], numeric;
        if (closed_form) {
            loss(m);
            numeric = estimator(m, (int)i);
        } else {
            w[i] = keep + h;
            double up = of(m);
            w[i] = keep - h;
            numeric = (up - of(m)) / (2 * h);
            w[i] = keep;
        }
        largest = fmax(largest, fabs(numeric));
        worst = fmax(worst, fabs(numeric - (double)p->g[i]));
    }
    if (getenv("SAE_TRACE")) printf("case %d: %s off by %.2g\n", (int)(m->c - cases), p->name, worst / largest);
    /* [3e-7] */
    EXPECT_WITHIN(worst / largest, 2e-6, "%s: gradient off by %.2g of its largest entry", p->name, worst / largest);
}

START_TEST(test_gradients)
{
    const case_row *c = &cases[_i / 2];
    bool dense = _i % 2;
    sae_train_options o = options_of(c, B, F);
    o.b_dec_start = SAE_B_DEC_ZERO; /* left as it is */
    sae_trainer *t = make_trainer(c, &o, D, F);
    learner *l = &t->learners[0];
    float *rows = make_rows(B, D, 7);
    for (int i = 0; i < l->d_out; i++) l->p[P_B_DEC].w[i] = 0.1f * (float)(i - 2);
    model *m = calloc(1, sizeof *m);

    l->last_pairs = dense ? INT64_MAX : -1;
    double before[N_PARAMS][F * D]; /* the weights that the gradients are of: this step moves them */
    for (int p = 0; p < N_PARAMS; p++) to_double(before[p], l->p[p].w, l->p[p].rows * l->p[p].columns);
    *m = (model){.c = c,
                 .o = (int)l->d_out,
                 .target = 3,
                 .bandwidth = o.bandwidth,
                 .subtracts_b_dec = l->config.apply_b_dec_to_input};
    m->coefficient = c->arch == SAE_JUMPRELU && c->l0 == SAE_L0_CONTROLLED ? l->coefficient : l->config.l1_coefficient;
    for (int j = 0; c->arch == SAE_JUMPRELU && c->l0 != SAE_L0_QUADRATIC && j < F; j++)
        before[P_THRESHOLD][j] = fmax(before[P_THRESHOLD][j], 0);
    sae_step_stats stats = step(t, rows);
    zero_idle_rows(t);
    to_double(&m->x[0][0], rows, B * D);
    float *to = make_targets(t);
    to_double(m->y, to ? to : rows, B * l->d_out);
    free(to);
    double *w[N_PARAMS] = {
        [P_W_ENC] = &m->w.W_enc[0][0],   [P_B_ENC] = m->w.b_enc,   [P_W_DEC] = m->w.W_dec,     [P_B_DEC] = m->w.b_dec,
        [P_W_DOWN] = &m->w.W_down[0][0], [P_W_UP] = m->w.W_up,     [P_THRESHOLD] = m->w.theta, [P_B_MAG] = m->w.b_mag,
        [P_R_MAG] = m->w.r_mag,          [P_W_SKIP] = m->w.W_skip, [P_B_DOWN] = m->w.b_down};
    for (int p = 0; p < N_PARAMS; p++) {
        int64_t n = l->p[p].rows * l->p[p].columns;
        bool moved = false;
        if (w[p]) memcpy(w[p], before[p], (size_t)n * sizeof(double));
        for (int64_t i = 0; i < n; i++) moved |= (double)l->p[p].w[i] != before[p][i];
        ck_assert_msg(n == 0 || moved, "%s stands still", l->p[p].name);
    }
    m->weight = c->loss == SAE_LOSS_SUM ? 1 : 1 / variance_of(m->y, (int)l->d_out);
    m->constant = m->w;
    double expected = loss(m);
    if (c->arch == SAE_JUMPRELU && c->l0 == SAE_L0_CONTROLLED) { /* the damping */
        m->coefficient *= exp(5 * fmin(fmax(log(m->l0 / m->target), -0.5), 0.5));
        expected = loss(m);
    }
    /* [6e-8] */
    EXPECT_WITHIN(fabs(stats.loss / expected - 1), 1e-6, "loss %.9g, expected %.9g", stats.loss, expected);
    ck_assert_int_gt(l->last_pairs, 20);
    for (int p = 0; p < N_PARAMS; p++) {
        bool alone = c->variant == SAE_P3 && (p == P_W_DOWN || p == P_W_UP || p == P_B_DOWN);
        if (p == P_W_DOWN && c->tie == SAE_TIE_TRANSPOSE) continue; /* it is W_up */
        if (l->p[p].rows > 0) expect_gradient(m, alone ? scaffold_loss : loss, w[p], &l->p[p], p == P_THRESHOLD);
    }
    sae_trainer_free(t);
    free(rows);
    free(m);
}
END_TEST

/* ---- Two ways, one step --------------------------------------------------------------------------------------------------- */

enum { WIDE_D = 40, WIDE_F = 700, WIDE_B = 96 };

/* The largest difference of a parameter's gradients over its largest entry. */
static double difference(const param *a, const param *b)
{
    double worst = 0, largest = 1e-30;

    for (int64_t i = 0; i < a->rows * a->columns; i++) {
        worst = fmax(worst, fabs((double)a->g[i] - (double)b->g[i]));
        largest = fmax(largest, fabs((double)a->g[i]));
    }
    return worst / largest;
}

/* Thresholds that leave few codes, so that the lists hold them; latents and rows that are no multiple of a tile. */
START_TEST(test_sparse_equals_dense)
{
    const case_row *c = &cases[_i];
    sae_train_options o = options_of(c, WIDE_B, WIDE_F);
    sae_trainer *t[2];
    float *rows = make_rows(WIDE_B, WIDE_D, 3);
    sae_step_stats stats[2];

    if (c->transcoder) o.b_dec_start = SAE_B_DEC_ZERO; /* the other starts set b_enc anew */
    for (int way = 0; way < 2; way++) {
        t[way] = make_trainer(c, &o, WIDE_D, WIDE_F);
        learner *l = &t[way]->learners[0];
        for (int64_t j = 0; j < WIDE_F; j++) {
            l->p[P_B_ENC].w[j] -= c->arch == SAE_JUMPRELU ? 0.0f : 3.6f;
            if (c->arch == SAE_JUMPRELU) l->p[P_THRESHOLD].w[j] += j % 97 ? 3.8f : 0.0f;
            if (c->arch == SAE_GATED) l->p[P_B_MAG].w[j] -= 2.0f;
        }
        l->last_pairs = way ? INT64_MAX : -1;
        stats[way] = step(t[way], rows);
        zero_idle_rows(t[way]);
    }
    ck_assert_int_eq(t[0]->learners[0].last_pairs, t[1]->learners[0].last_pairs);
    ck_assert_int_gt(t[0]->learners[0].last_pairs, 100);
    ck_assert_int_lt(t[0]->learners[0].last_pairs, penalised_most_pairs(&t[0]->learners[0].config, &o));
    /* [2e-8] */
    EXPECT_WITHIN(fabs(stats[0].loss / stats[1].loss - 1), 1e-6, "loss %.9g and %.9g", stats[0].loss, stats[1].loss);
    ck_assert(stats[0].l0 == stats[1].l0 && stats[0].dense == stats[1].dense);
    for (int p = 0; p < N_PARAMS; p++) {
        double off = difference(&t[0]->learners[0].p[p], &t[1]->learners[0].p[p]);
        /* [4e-7] */
        EXPECT_WITHIN(off, 4e-6, "%s: gradients differ by %.2g of the largest", t[0]->learners[0].p[p].name, off);
    }
    sae_trainer_free(t[0]);
    sae_trainer_free(t[1]);
    free(rows);
}
END_TEST

/* A first step with half of all latents active does not fit the lists: it must go the dense way by itself, the next one at once. */
START_TEST(test_overflow_goes_dense)
{
    const case_row *c = &cases[_i];
    sae_train_options o = options_of(c, WIDE_B, WIDE_F);
    sae_trainer *t[2];
    float *rows = make_rows(WIDE_B, WIDE_D, 3);

    for (int way = 0; way < 2; way++) {
        t[way] = make_trainer(c, &o, WIDE_D, WIDE_F);
        t[way]->learners[0].last_pairs = way ? INT64_MAX : -1;
        step(t[way], rows);
        step(t[way], rows);
    }
    ck_assert_int_gt(t[0]->learners[0].last_pairs, penalised_most_pairs(&t[0]->learners[0].config, &o));
    for (int p = 0; p < N_PARAMS; p++) {
        const param *a = &t[0]->learners[0].p[p], *b = &t[1]->learners[0].p[p];
        ck_assert(memcmp(a->w, b->w, (size_t)(a->rows * a->columns) * sizeof(float)) == 0);
    }
    sae_trainer_free(t[0]);
    sae_trainer_free(t[1]);
    free(rows);
}
END_TEST

/* ---- Resuming --------------------------------------------------------------------------------------------------------------- */

/* Steps on both sides of the break-even: the state says which way the next one goes. */
START_TEST(test_resumed_is_undisturbed)
{
    const case_row *c = &cases[_i];
    sae_train_options o = options_of(c, WIDE_B, WIDE_F);
    sae_error err = {0};
    char folder[] = "/tmp/test_penalised_XXXXXX";
    float *rows[6];
    int64_t given = 0;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    for (int n = 0; n < 6; n++) rows[n] = make_rows(WIDE_B, WIDE_D, (uint64_t)n);
    sae_trainer *whole = make_trainer(c, &o, WIDE_D, WIDE_F), *resumed = make_trainer(c, &o, WIDE_D, WIDE_F);
    for (int n = 0; n < 6; n++) {
        step(whole, rows[n]);
        if (n == 2) ck_assert_int_eq(sae_trainer_save(whole, folder, 3 * WIDE_B, &err), SAE_OK);
    }
    ck_assert_msg(sae_trainer_resume(resumed, folder, &given, &err) == SAE_OK, "%s", err.message);
    ck_assert_int_eq(given, 3 * WIDE_B);
    for (int n = 3; n < 6; n++) step(resumed, rows[n]);
    const learner *a = &whole->learners[0], *b = &resumed->learners[0];
    for (int p = 0; p < N_PARAMS; p++)
        ck_assert(memcmp(a->p[p].w, b->p[p].w, (size_t)(a->p[p].rows * a->p[p].columns) * sizeof(float)) == 0);
    ck_assert(a->coefficient == b->coefficient && a->last_pairs == b->last_pairs);
    ck_assert(memcmp(a->since_fired, b->since_fired, WIDE_F * sizeof *a->since_fired) == 0);
    for (int n = 0; n < 6; n++) free(rows[n]);
    sae_trainer_free(whole);
    sae_trainer_free(resumed);
    folder_remove(folder, NULL);
}
END_TEST

/* ---- What is for other families, or for all ------------------------------------------------------------------------------- */

/* A latent that begins anew has biases and r_mag of 0, the first threshold (or, where the rows chose that, the mean of the living ones')
 * and no moments; the others keep theirs. */
START_TEST(test_resampled_latents_begin_anew)
{
    const case_row c = {_i == 2 ? SAE_GATED : SAE_JUMPRELU, SAE_P1, 0, SAE_L1_CODES, SAE_L0_CONTROLLED, 0};
    sae_train_options o = options_of(&c, B, F);
    float *rows = make_rows(B, D, 3);
    const int of_latents[] = {P_B_ENC, P_B_MAG, P_R_MAG, P_THRESHOLD};
    double mean = 0;

    o.resample_every = 5;
    sae_trainer *t = make_trainer(&c, &o, D, F);
    learner *l = &t->learners[0];
    step(t, rows);
    if (_i == 1) t->options.first_threshold = 0;
    for (int j = 0; j < F; j++) l->since_fired[j] = j % 3 ? 0 : 1000;
    for (int n = 0; n < 4; n++)
        for (int j = 0; j < F && l->p[of_latents[n]].rows > 0; j++)
            l->p[of_latents[n]].w[j] = l->p[of_latents[n]].m[j] = l->p[of_latents[n]].v[j] = 1.0f + (float)j;
    for (int j = 0; j < F; j++) mean += j % 3 ? (1.0 + j) / 16 : 0;
    resample(t, l);
    for (int n = 0; n < 4; n++) {
        const param *p = &l->p[of_latents[n]];
        double begin = of_latents[n] != P_THRESHOLD ? 0 : _i == 1 ? mean : o.first_threshold;
        for (int j = 0; j < F && p->rows > 0; j++) {
            double w = j % 3 ? 1.0 + j : begin, moment = j % 3 ? 1.0 + j : 0;
            EXPECT(fabs((double)p->w[j] - w) < 1e-6 && (double)p->m[j] == moment && (double)p->v[j] == moment,
                   "%s of latent %d: %g, moments %g and %g", p->name, j, (double)p->w[j], (double)p->m[j],
                   (double)p->v[j]);
        }
    }
    sae_trainer_free(t);
    free(rows);
}
END_TEST

/* Ranking by norms is for families that keep k: beside such a one, these train and are exported as without it. */
START_TEST(test_norms_are_not_theirs)
{
    static const sae_arch archs[] = {SAE_JUMPRELU, SAE_GATED, SAE_STANDARD};
    sae_dict_config c[2] = {{.arch = archs[_i], .d_in = D, .d_sae = F, .k = 3, .l1_coefficient = 0.1},
                            {.arch = SAE_BATCHTOPK, .d_in = D, .d_sae = F, .k = 3}};
    const case_row row = {archs[_i], SAE_P1, 0, SAE_L1_CODES, SAE_L0_CONTROLLED, 0};
    sae_train_options o = options_of(&row, B, F);
    float *rows = make_rows(B, D, 3);
    sae_dict *dict[2] = {NULL};
    sae_error err = {0};

    o.decoder_norm = 0.4;
    o.first_threshold = 0; /* jumprelu's are found on the first rows */
    for (int v = 0; v < 2; v++) {
        sae_trainer *t = NULL;
        o.selection_rule = v ? SAE_SELECT_TIMES_NORM : SAE_SELECT_ACTIVATION;
        ck_assert_msg(sae_trainer_create(&t, c, 2, &o, &err) == SAE_OK, "%s", err.message);
        for (int n = 0; n < 3; n++) ck_assert_int_eq(sae_trainer_step(t, rows, NULL, NULL, &err), SAE_OK);
        ck_assert_msg(sae_trainer_export(t, 0, &dict[v], &err) == SAE_OK, "%s", err.message);
        sae_trainer_free(t);
    }
    sae_weights a = sae_dict_weights(dict[0]), b = sae_dict_weights(dict[1]);
    ck_assert(memcmp(a.W_enc, b.W_enc, sizeof(float) * F * D) == 0);
    ck_assert(memcmp(a.W_dec, b.W_dec, sizeof(float) * F * D) == 0);
    ck_assert(memcmp(a.b_enc, b.b_enc, sizeof(float) * F) == 0);
    if (archs[_i] == SAE_JUMPRELU) ck_assert(memcmp(a.threshold, b.threshold, sizeof(float) * F) == 0);
    sae_dict_free(dict[0]);
    sae_dict_free(dict[1]);
    free(rows);
}
END_TEST

/* No penalty can get to more latents than there are, nor can first thresholds leave so many. */
START_TEST(test_k_beyond_the_width_is_refused)
{
    static const struct {
        sae_l0_rule l0;
        double first_threshold;
    } aims[] = {{SAE_L0_CONTROLLED, 0.1}, {SAE_L0_QUADRATIC, 0.1}, {SAE_L0_LINEAR, 0.0}};

    for (size_t i = 0; i < sizeof aims / sizeof *aims; i++) {
        const case_row c = {SAE_JUMPRELU, SAE_P1, 0, 0, aims[i].l0, 0};
        sae_train_options o = options_of(&c, B, F);
        sae_dict_config config = {.arch = SAE_JUMPRELU, .d_in = D, .d_sae = F, .k = F + 1};
        sae_trainer *t = NULL;
        sae_error err = {0};
        o.first_threshold = aims[i].first_threshold;
        ck_assert_int_eq(sae_trainer_create(&t, &config, 1, &o, &err), SAE_RANGE);
        ck_assert_msg(strstr(err.message, "smaller --k") != NULL, "%s", err.message);
        config.k = F;
        ck_assert_msg(sae_trainer_create(&t, &config, 1, &o, &err) == SAE_OK, "%s", err.message);
        sae_trainer_free(t);
    }
}
END_TEST

/* A k that nothing aims at may be any: an encoder that begins by what latents rebuild (--encoder-norm -1) counts all of them. */
START_TEST(test_k_beyond_the_width)
{
    const case_row c = {SAE_JUMPRELU, SAE_P1, 0, 0, SAE_L0_LINEAR, 0};
    sae_train_options o = options_of(&c, B, F);
    sae_trainer *t[2] = {NULL};
    sae_error err = {0};

    o.encoder_norm = SAE_ENCODER_REBUILDS;
    o.first_threshold = 0.1;
    for (int v = 0; v < 2; v++) {
        sae_dict_config config = {.arch = SAE_JUMPRELU, .d_in = D, .d_sae = F, .k = v ? 4 * F : F};
        ck_assert_msg(sae_trainer_create(&t[v], &config, 1, &o, &err) == SAE_OK, "%s", err.message);
    }
    ck_assert(memcmp(t[0]->learners[0].p[P_W_ENC].w, t[1]->learners[0].p[P_W_ENC].w, sizeof(float) * F * D) == 0);
    sae_trainer_free(t[0]);
    sae_trainer_free(t[1]);
}
END_TEST

/* A dictionary that waits for its scaffold warms its penalty up, or anneals its k, from its own first step on; and the rate that is told is
 * its own. */
START_TEST(test_staged_warm_ups_begin_late)
{
    enum { WAIT = 4, LONG = 8 };
    static const sae_arch archs[] = {SAE_JUMPRELU, SAE_STANDARD, SAE_BATCHTOPK}; /* gated asks standard */
    const case_row row = {archs[_i], SAE_P1, 0, SAE_L1_CODES, SAE_L0_QUADRATIC, 0};
    sae_dict_config c = {
        .arch = archs[_i], .d_in = D, .d_sae = F, .k = 3, .l1_coefficient = 0.5, .rank = R, .scaffold_steps = WAIT};
    sae_train_options o = options_of(&row, B, F);
    float *rows = make_rows(B, D, 3);
    sae_trainer *t = NULL;
    sae_error err = {0};

    o.sparsity_warmup_steps = LONG;
    o.warmup_steps = LONG;
    o.warmup_rule = SAE_WARMUP_FROM_ZERO;
    o.k_anneal_steps = archs[_i] == SAE_BATCHTOPK ? LONG : 0;
    o.k_anneal_start = 3 + LONG;
    o.threshold_rule = SAE_THRESHOLD_FROM_FIRST;
    o.threshold_start_step = 1;
    ck_assert_msg(sae_trainer_create(&t, &c, 1, &o, &err) == SAE_OK, "%s", err.message);
    for (int n = 0; n < WAIT + 3; n++) {
        sae_step_stats s;
        ck_assert_msg(sae_trainer_step(t, rows, NULL, &s, &err) == SAE_OK, "%s", err.message);
        if (n < WAIT) continue;
        ck_assert_double_eq_tol(s.lr, o.lr * (n - WAIT) / LONG, 1e-12);
        if (archs[_i] == SAE_BATCHTOPK) {
            ck_assert_int_eq(t->learners[0].k, n == WAIT ? 3 : 3 + LONG - (n - WAIT - 1));
            ck_assert((t->learners[0].threshold >= 0) == (n - WAIT > o.threshold_start_step));
        } else
            ck_assert_msg((s.sparsity_loss > 0) == (n > WAIT), "step %d: %g", n, s.sparsity_loss);
    }
    sae_trainer_free(t);
    free(rows);
}
END_TEST

/* ---- The controller --------------------------------------------------------------------------------------------------------- */

/* One step: lambda and all thresholds move by the factors of docs/method.md, by as much as MOST_ERROR lets them; with lr 0 neither does. */
START_TEST(test_controller_moves_by_its_law)
{
    const case_row c = {SAE_JUMPRELU, SAE_P1, 0, 0, SAE_L0_CONTROLLED, 0};
    sae_train_options o = options_of(&c, WIDE_B, WIDE_F);
    float *rows = make_rows(WIDE_B, WIDE_D, 3);
    bool still = _i == 0;
    float shift[] = {0, 0.1f, 5.2f, 30}; /* of all thresholds: codes far too many, far too many, about k, none */

    o.warmup_rule = still ? SAE_WARMUP_FROM_ZERO : SAE_WARMUP_FROM_ONE;
    o.lr = 1e-12; /* what is left is the controller's */
    o.l0_rate = 0.7;
    sae_trainer *t = make_trainer(&c, &o, WIDE_D, WIDE_F);
    learner *l = &t->learners[0];
    float *theta = l->p[P_THRESHOLD].w, before[WIDE_F];
    double lambda = l->coefficient = 1, rate = 0.7 * learning_rate(&o, 0) / o.lr, error; /* 1: well within its range */
    for (int j = 0; j < WIDE_F; j++) before[j] = theta[j] = fmaxf(theta[j], 0) + shift[_i];
    sae_step_stats stats = step(t, rows);
    error = still ? 0 : stats.l0 > 0 ? fmin(fmax(log(stats.l0 / 3), -0.5), 0.5) : -0.5;
    ck_assert_msg(fabs(l->coefficient / (lambda * exp(rate * error)) - 1) < 1e-12, "lambda %g", l->coefficient);
    for (int j = 0; j < WIDE_F; j++)
        EXPECT(fabs(theta[j] - before[j] * exp(0.1 * error)) <= 1e-6 * before[j], "threshold %g of %g, error %g",
               (double)theta[j], (double)before[j], error);
    ck_assert(_i == 2 ? error != 0 && fabs(error) < 0.5 : error == (_i == 0 ? 0 : _i == 1 ? 0.5 : -0.5));
    sae_trainer_free(t);
    free(rows);
}
END_TEST

/* Lambda begins at a quarter of what the loss makes of the rows' variance, over k: of a loss over that variance, of 1. */
START_TEST(test_first_lambda_is_in_the_loss_s_units)
{
    case_row c = {SAE_JUMPRELU, SAE_P1, 0, 0, SAE_L0_CONTROLLED, 0, .loss = (sae_loss_rule)_i};
    sae_train_options o = options_of(&c, B, F);
    float *rows = make_rows(B, D, 3);
    double y[B * D];

    o.warmup_steps = 10;
    o.warmup_rule = SAE_WARMUP_FROM_ZERO; /* nothing moves in step 0 */
    sae_trainer *t = make_trainer(&c, &o, D, F);
    t->learners[0].coefficient = 0;
    for (int i = 0; i < B * D; i++) y[i] = (double)(rows[i] *= 5);
    step(t, rows);
    double expected = 0.25 / 3 * (_i == SAE_LOSS_SUM ? variance_of(y, D) : 1);
    ck_assert_msg(fabs(t->learners[0].coefficient / expected - 1) < 1e-5, "lambda %g, expected %g",
                  t->learners[0].coefficient, expected);
    sae_trainer_free(t);
    free(rows);
}
END_TEST

/* However fast it is moved, lambda stays a number that a checkpoint can hold. */
START_TEST(test_controller_stays_finite)
{
    const case_row c = {SAE_JUMPRELU, SAE_P1, 0, 0, SAE_L0_CONTROLLED, 0};
    sae_train_options o = options_of(&c, WIDE_B, WIDE_F);
    float *rows = make_rows(WIDE_B, WIDE_D, 3);
    char folder[] = "/tmp/test_penalised_XXXXXX";

    o.warmup_rule = SAE_WARMUP_FROM_ONE;
    o.l0_rate = 1e8;
    sae_trainer *t = make_trainer(&c, &o, WIDE_D, WIDE_F);
    float *theta = t->learners[0].p[P_THRESHOLD].w;
    for (int j = 0; j < WIDE_F; j++) theta[j] = _i ? 30 : 0.1f; /* no codes, or far too many */
    t->learners[0].coefficient = 1;
    step(t, rows);
    ck_assert_msg(isfinite(t->learners[0].coefficient) && t->learners[0].coefficient > 0, "lambda %g",
                  t->learners[0].coefficient);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    sae_error err = {0};
    ck_assert_msg(sae_trainer_save(t, folder, 0, &err) == SAE_OK, "%s", err.message);
    folder_remove(folder, NULL);
    sae_trainer_free(t);
    free(rows);
}
END_TEST

enum { PLANTED_D = 32, PLANTED_F = 96, PLANTED = 64, PLANTED_B = 256 };

/* Sums of about `mean` of 64 unit directions, and a little noise. */
static void planted_rows(rng *r, const float *directions, double mean, float *rows)
{
    for (int b = 0; b < PLANTED_B; b++) {
        float *x = rows + b * PLANTED_D;
        for (int i = 0; i < PLANTED_D; i++) x[i] = (float)(0.05 * rng_normal(r));
        for (int n = 0; n < PLANTED; n++) {
            if (rng_uniform(r) >= mean / PLANTED) continue;
            float amount = (float)(0.5 + rng_uniform(r));
            for (int i = 0; i < PLANTED_D; i++) x[i] += amount * directions[n * PLANTED_D + i];
        }
    }
}

/* drift: the directions in a row grow from 5 to 5 (1 + drift) over the run. */
typedef struct target_row {
    int k, steps, rank, scaffold_steps;
    double drift;
} target_row;

static const target_row targets[] = {
    {3, 1500, 0, 0, 0},   {6, 1500, 0, 0, 0}, {12, 1500, 0, 0, 0},   {6, 400, 4, 130, 0},
    {24, 300, 4, 100, 0}, {24, 200, 0, 0, 0}, {12, 1000, 0, 0, 1.0},
};

/* L0 of the exported dictionary on rows that it was not trained on. */
static double exported_l0(sae_trainer *t, const float *rows)
{
    int64_t row_start[PLANTED_B + 1];
    int32_t *latent = NULL;
    float *value = NULL;
    sae_dict *dict = NULL;
    sae_error err = {0};

    ck_assert_msg(sae_trainer_export(t, 0, &dict, &err) == SAE_OK, "%s", err.message);
    ck_assert_int_eq(sae_dict_encode(dict, rows, PLANTED_B, row_start, &latent, &value, NULL, &err), SAE_OK);
    sae_dict_free(dict);
    free(latent);
    free(value);
    return (double)row_start[PLANTED_B] / PLANTED_B;
}

/* In training (the last tenth of the steps) and exported, on 16 batches more. Observed: off by 2.2 % at most in training, by 2.0 %
 * exported. With a first lambda of 0.1 and no range: by 9.6 % (200 steps, k 24). */
START_TEST(test_controller_reaches_its_target)
{
    const target_row *row = &targets[_i];
    sae_train_options o = sae_recipe_saebench(PLANTED_B, row->steps);
    sae_dict_config config = {.arch = SAE_JUMPRELU,
                              .d_in = PLANTED_D,
                              .d_sae = PLANTED_F,
                              .k = row->k,
                              .rank = row->rank,
                              .scaffold_steps = row->scaffold_steps,
                              .seed = 1};
    sae_trainer *t = NULL;
    sae_error err = {0};
    float directions[PLANTED * PLANTED_D], *rows = malloc(PLANTED_B * PLANTED_D * sizeof *rows);
    double mean = 0, fvu = 0, exported = 0;
    int last = row->steps / 10;
    rng r = rng_seed(11, 0);

    for (int i = 0; i < PLANTED * PLANTED_D; i++) directions[i] = (float)(rng_normal(&r) / sqrt((double)PLANTED_D));
    ck_assert_msg(sae_trainer_create(&t, &config, 1, &o, &err) == SAE_OK, "%s", err.message);
    for (int n = 0; n < row->steps; n++) {
        planted_rows(&r, directions, 5.0 * (1 + row->drift * n / row->steps), rows);
        sae_step_stats stats = step(t, rows);
        if (getenv("SAE_TRACE") && n % 20 == 0)
            printf("%d: L0 %.2f FVU %.3f lambda %.3g threshold %.3g dead %lld\n", n, stats.l0, stats.fvu,
                   t->learners[0].coefficient, stats.threshold, (long long)stats.dead);
        if (n < row->steps - last) continue;
        mean += stats.l0 / last;
        fvu += stats.fvu / last;
    }
    for (int n = 0; n < 16; n++) {
        planted_rows(&r, directions, 5.0 * (1 + row->drift), rows);
        exported += exported_l0(t, rows) / 16;
    }
    if (getenv("SAE_TRACE")) printf("target %d: L0 %.4f, exported %.4f, FVU %.4f\n", row->k, mean, exported, fvu);
    ck_assert_msg(fabs(mean / row->k - 1) < 0.05, "L0 %.3f for a target of %d", mean, row->k);
    ck_assert_msg(fabs(exported / row->k - 1) < 0.05, "exported L0 %.3f for a target of %d", exported, row->k);
    sae_trainer_free(t);
    free(rows);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("penalised families");
    TCase *tc = tcase_create("steps");
    SRunner *runner = srunner_create(s);

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, test_gradients, 0, 2 * N_CASES);
    tcase_add_loop_test(tc, test_sparse_equals_dense, 0, N_CASES);
    tcase_add_loop_test(tc, test_overflow_goes_dense, 0, N_CASES);
    tcase_add_loop_test(tc, test_resumed_is_undisturbed, 0, N_CASES);
    tcase_add_loop_test(tc, test_controller_moves_by_its_law, 0, 4);
    tcase_add_loop_test(tc, test_controller_stays_finite, 0, 2);
    tcase_add_loop_test(tc, test_first_lambda_is_in_the_loss_s_units, 0, SAE_LOSS_FIRST + 1);
    tcase_add_loop_test(tc, test_resampled_latents_begin_anew, 0, 3);
    tcase_add_loop_test(tc, test_norms_are_not_theirs, 0, 3);
    tcase_add_test(tc, test_k_beyond_the_width);
    tcase_add_test(tc, test_k_beyond_the_width_is_refused);
    tcase_add_loop_test(tc, test_staged_warm_ups_begin_late, 0, 3);
    tcase_add_loop_test(tc, test_controller_reaches_its_target, 0, sizeof targets / sizeof *targets);
    suite_add_tcase(s, tc);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
