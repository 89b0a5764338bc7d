/*
 * jumprelu.c - JumpReLU SAEs (Rajamanoharan et al. 2024): f = a [a > theta], a threshold theta per latent that learns through a
 * straight-through estimator of bandwidth w. Its window is |a - theta| < w / 2 for the reconstruction; for the penalty on
 * L0 = mean_b sum_j [f_bj > theta_j] dictionary_learning takes it of f, SAELens of a. With q = dpenalty/dL0 / B:
 *   dtheta_j = -(theta_j / w) sum_b df_bj [|a_bj - theta_j| < w/2] - (1 / w) q sum_b [|f_bj - theta_j| < w/2]
 *
 * Three penalties: c (L0 / k - 1)^2; c L0; and, by default, lambda L0 with a controller that holds L0 at k (docs/method.md): the penalty's
 * weight in a step is lambda (L0 / k)^DAMPING; after it lambda moves by (L0 / k)^(rate lr / peak lr), and all thresholds by the common
 * factor (L0 / k)^THRESHOLD_RATE. Without the damping L0 swings about k, since thresholds follow lambda late. Without the common factor it
 * swings more widely; with a slow lambda that factor does the work and drives weak latents to death. Lambda stays within a range about its
 * first value: beyond it changes nothing while L0 is still on its way, and would have to come back. That value is in the loss's units: of a
 * loss over the rows' variance it is that many times smaller. Thresholds start where the first batch's codes number k a row.
 */
#include "sae/penalised.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Of the controller: its first lambda is this share of the rows' variance per kept latent; the largest |log(L0 / k)| that it takes in. */
static const double FIRST_LAMBDA = 0.25, THRESHOLD_RATE = 0.1, DAMPING = 5.0, MOST_ERROR = 0.5, RANGE = 20.0;

static bool window_of_code(const sae_trainer *t) { return t->options.l0_rule != SAE_L0_LINEAR; }

static sae_status begin(sae_trainer *t, learner *l, encoder *e, sae_error *err)
{
    sae_status status = SAE_OK;
    param *theta = &l->p[P_THRESHOLD];
    step_sums sums = {0};

    if (t->options.l0_rule != SAE_L0_QUADRATIC) /* as SAELens: never negative */
        for (int64_t j = 0; j < theta->columns; j++) theta->w[j] = theta->w[j] > 0.0f ? theta->w[j] : 0.0f;
    int64_t first = l->config.rank > 0 ? l->config.scaffold_steps : 0; /* the dictionary waits that long */
    if (t->step > first || t->options.first_threshold > 0.0 || was_read(l, P_THRESHOLD)) goto done;
    SAE_TRY(encode_rows(t, l, e, false, err));
    select_kept(t, l, &sums);
    for (int64_t j = 0; j < theta->columns; j++) theta->w[j] = (float)sums.smallest;
done:
    return status;
}

/* A little below the window: what lies between has neither code nor gradient. */
static void limits(const sae_trainer *t, learner *l, float *limit)
{
    const float *theta = l->p[P_THRESHOLD].w;

    for (int64_t j = 0; j < l->config.d_sae; j++)
        limit[j] = (float)((double)theta[j] - 0.51 * t->options.bandwidth - 1e-6 * fabs((double)theta[j]));
}

static latent_codes codes(const sae_trainer *t, const learner *l, int64_t j, int64_t n, const float *a, float *f)
{
    float theta = l->p[P_THRESHOLD].w[j];
    int64_t active = 0, above = 0;

#pragma omp simd reduction(+ : active, above)
    for (int64_t i = 0; i < n; i++) {
        bool on = a[i] > theta;
        f[i] = on ? a[i] : 0.0f;
        above += on;
        active += f[i] != 0.0f;
    }
    /* f > theta holds for codes that were set to 0, too, when theta is negative. */
    double l0 = theta < 0.0f && window_of_code(t) ? (double)t->options.batch : (double)above;
    return (latent_codes){active, l0, 0.0};
}

/* log(L0 / k), bounded. */
static double control_error(const sae_trainer *t, const learner *l)
{
    double error = t->s.l0 > 0.0 ? log(t->s.l0 / (double)l->config.k) : -MOST_ERROR;

    return fmin(fmax(error, -MOST_ERROR), MOST_ERROR);
}

static double penalty(sae_trainer *t, learner *l, const step_sums *sums)
{
    const sae_train_options *o = &t->options;
    double B = (double)o->batch, factor = sparsity_factor(o, age_of(t, l)), target = (double)l->config.k, l0 = 0,
           mean = 0;

    for (int64_t j = 0; j < l->config.d_sae; j++) {
        l0 += t->s.codes_of[j].l0 / B;
        mean += (double)l->p[P_THRESHOLD].w[j] / (double)l->config.d_sae;
    }
    t->s.l0 = l0;
    l->threshold = fmax(mean, -1.0); /* for the log only */
    if (o->l0_rule == SAE_L0_QUADRATIC) {
        double off = l0 / target - 1.0, c = l->config.l1_coefficient * factor;
        t->s.penalty_slope = 2.0 * c * off / (target * B);
        return c * off * off;
    }
    double lambda = l->config.l1_coefficient;
    if (o->l0_rule == SAE_L0_CONTROLLED) {
        double first = FIRST_LAMBDA * sums->variance / (B * target) * loss_weight(t);
        l->coefficient = l->coefficient > 0.0 ? fmin(fmax(l->coefficient, first / RANGE), RANGE * first) : first;
        lambda = l->coefficient * exp(DAMPING * control_error(t, l));
    }
    t->s.penalty_slope = lambda * factor / B;
    return lambda * factor * l0;
}

static latent_pull slopes(sae_trainer *t, learner *l, int64_t j, int64_t n, const float *a, const float *f,
                          const float *gate_slope, float *slope)
{
    float theta = l->p[P_THRESHOLD].w[j], half = (float)(0.5 * t->options.bandwidth);
    bool of_code = window_of_code(t);
    int64_t above = 0, in_window = 0;
    double sum = 0, window_slopes = 0;

    (void)gate_slope;
#pragma omp simd reduction(+ : above, in_window, sum, window_slopes)
    for (int64_t i = 0; i < n; i++) {
        bool on = a[i] > theta, near_a = fabsf(a[i] - theta) < half;
        window_slopes += near_a ? (double)slope[i] : 0.0;
        in_window += of_code ? on && fabsf(f[i] - theta) < half : near_a;
        above += on;
        slope[i] = on ? slope[i] : 0.0f;
        sum += (double)slope[i];
    }
    if (of_code && fabsf(theta) < half) in_window += t->options.batch - above; /* every code that is 0 */
    l->p[P_B_ENC].g[j] = (float)sum;
    l->p[P_THRESHOLD].g[j] =
        (float)(-((double)theta * window_slopes + t->s.penalty_slope * (double)in_window) / t->options.bandwidth);
    return (latent_pull){sum, 0.0};
}

static void control(sae_trainer *t, learner *l)
{
    const sae_train_options *o = &t->options;
    param *theta = &l->p[P_THRESHOLD];
    double error = control_error(t, l), lr = dictionary_rate(t, l);

    if (o->l0_rule != SAE_L0_CONTROLLED || lr <= 0.0) return; /* with lr 0 nothing moves */
    /* The next step takes it into its range; until then a checkpoint has it, which holds no infinite numbers. */
    l->coefficient = fmin(fmax(l->coefficient * exp(o->l0_rate * lr / o->lr * error), DBL_MIN), DBL_MAX);
    float factor = (float)exp(THRESHOLD_RATE * error);
    for (int64_t j = 0; j < theta->columns; j++) theta->w[j] *= factor;
    /* what sign-SGD moves, and of which its average is made, lies in the place of the moment */
    for (int64_t j = 0; j < theta->columns && o->optimiser_rule == SAE_OPTIMISER_SIGNUM; j++) theta->m[j] *= factor;
}

const penalty_rule jumprelu_rule = {
    .begin = begin, .limits = limits, .codes = codes, .penalty = penalty, .slopes = slopes, .end = control};
