/*
 * update.c - clipping and Adam (or sign-SGD) in one sweep, then the rows of W_dec back to unit norm.
 *
 * A latent without gradient still moves: its moments decay and its weights follow them, as in torch's dense Adam.
 */
#include "sae/train.h"

#include <float.h>
#include <math.h>
#include <string.h>

static adam_constants constants(const sae_train_options *o, int64_t step, double grad_norm, double lr)
{
    double t = (double)(step + 1), clip = 1.0;

    if (o->grad_clip > 0.0 && grad_norm + 1e-6 > o->grad_clip) clip = o->grad_clip / (grad_norm + 1e-6);
    return (adam_constants){.beta1 = (float)o->adam_beta1,
                            .beta2 = (float)o->adam_beta2,
                            .rest1 = (float)(1.0 - o->adam_beta1),
                            .rest2 = (float)(1.0 - o->adam_beta2),
                            .eps = (float)o->adam_eps,
                            .step_size = (float)(lr / (1.0 - pow(o->adam_beta1, t))),
                            .inverse_bias = (float)(1.0 / sqrt(1.0 - pow(o->adam_beta2, t))),
                            .gradient_scale = (float)clip};
}

/* Of a parameter's n rows. Sign-SGD keeps its z in the place of the first moment; it begins at the weights. */
static void move_rows(const sae_trainer *t, const param *p, int64_t row, int64_t n, bool has_gradient,
                      const adam_constants *c, const signum_constants *s)
{
    int64_t at = row * p->columns;
    const float *g = has_gradient ? p->g + at : NULL;

    if (t->options.optimiser_rule == SAE_OPTIMISER_ADAM) {
        t->ops->adam(p->w + at, p->m + at, p->v + at, g, n * p->columns, c);
        return;
    }
    if (s->share == 1.0f && n > 0) memcpy(p->m + at, p->w + at, (size_t)(n * p->columns) * sizeof *p->m);
    t->ops->signum(p->w + at, p->m + at, g, n * p->columns, s);
}

static signum_constants signum_of(const sae_train_options *o, int64_t age, double lr)
{
    return (signum_constants){.to_average = (float)(1.0 - 1.0 / o->adam_beta1),
                              .lr = (float)lr,
                              .share = (float)(1.0 / (double)(age + 1)),
                              .to_z = (float)(1.0 - o->adam_beta1)};
}

void unit_rows(const sae_ops *ops, float *w, int64_t row, int64_t columns, double eps)
{
    float *x = w + row * columns;
    double norm = sqrt(ops->sum_squares(x, columns)) + eps;
    float scale = norm > 0.0 ? (float)(1.0 / norm) : 0.0f;

    for (int64_t i = 0; i < columns; i++) x[i] *= scale;
}

static void update_scaffold(sae_trainer *t, learner *l, double grad_norm, double lr)
{
    double norm = l->config.variant == SAE_P3 ? t->s.scaffold_norm : grad_norm;

    if (l->config.scaffold_lr > 0.0) lr *= l->config.scaffold_lr;
    adam_constants c = constants(&t->options, t->step, norm, lr);
    signum_constants s = signum_of(&t->options, t->step, lr);

    if (!scaffold_moves(t, l)) return;
    if (l->config.scaffold_tie != SAE_TIE_TRANSPOSE) move_rows(t, &l->p[P_W_DOWN], 0, l->config.rank, true, &c, &s);
    move_rows(t, &l->p[P_W_UP], 0, l->config.rank, true, &c, &s);
    move_rows(t, &l->p[P_B_DOWN], 0, l->p[P_B_DOWN].rows, true, &c, &s);
    scaffold_tie(l);
}

int64_t age_of(const sae_trainer *t, const learner *l)
{
    return t->step - (l->config.rank > 0 ? l->config.scaffold_steps : 0);
}

static bool is_of_scaffold(int p) { return p == P_W_DOWN || p == P_W_UP || p == P_B_DOWN; }

bool is_averaged(const sae_trainer *t, const learner *l, int p)
{
    return t->options.optimiser_rule == SAE_OPTIMISER_SIGNUM && (is_of_scaffold(p) ? t->step : age_of(t, l)) > 0;
}

void averaged_weights(const sae_train_options *o, const param *p, float *out)
{
    float to_average = (float)(1.0 - 1.0 / o->adam_beta1);

    for (int64_t i = 0; i < p->rows * p->columns; i++) out[i] = p->w[i] + to_average * (p->m[i] - p->w[i]);
}

/* A dictionary that waited for its scaffold has a warm-up of its own. */
double dictionary_rate(const sae_trainer *t, const learner *l)
{
    const sae_train_options *o = &t->options;
    int64_t age = age_of(t, l);
    double lr = learning_rate(o, t->step);

    return age < t->step && age < o->warmup_steps ? fmin(lr, learning_rate(o, age)) : lr;
}

/* The dictionary begins with Adam's first step, whenever that is. */
void update(sae_trainer *t, learner *l, double grad_norm, double lr)
{
    const sae_train_options *o = &t->options;
    int64_t age = age_of(t, l);
    sae_decoder_rule rule = o->decoder_rule;

    if (l->config.rank > 0) update_scaffold(t, l, grad_norm, lr);
    if (age < 0) return;
    lr = dictionary_rate(t, l);
    adam_constants c = constants(o, age, grad_norm, lr);
    signum_constants s = signum_of(o, age, lr);

#pragma omp parallel for schedule(dynamic, 64)
    for (int64_t j = 0; j < l->config.d_sae; j++) {
        bool active = latent_is_active(&t->s, j);
        move_rows(t, &l->p[P_W_ENC], j, 1, active, &c, &s);
        move_rows(t, &l->p[P_W_DEC], j, 1, active, &c, &s);
        if (rule == SAE_DECODER_UNIT || rule == SAE_DECODER_CONSTRAINED)
            unit_rows(t->ops, l->p[P_W_DEC].w, j, l->d_out, rule == SAE_DECODER_UNIT ? FLT_EPSILON : 0.0);
    }
    for (int i = 0; i < N_PARAMS; i++)
        if (i != P_W_ENC && i != P_W_DEC && !is_of_scaffold(i)) move_rows(t, &l->p[i], 0, l->p[i].rows, true, &c, &s);
}
