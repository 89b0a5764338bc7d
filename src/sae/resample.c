/*
 * resample.c - dead latents begin anew at rows that are badly reconstructed (dictionary_learning's rule for its Standard trainer).
 *
 * Every resample_every steps, after the update: a latent that has not fired for over half of them takes a row of the batch, drawn
 * without replacement with a probability in proportion to |e|. Its row of W_dec is that row at norm 1, its row of W_enc the row x
 * 0.2 x the mean norm of the living ones', its biases and r_mag 0, its threshold the family's first one (the mean of the living ones', where
 * that was found on rows and is not known any more), its moments cleared. The draws are a function of seed and step, so a
 * resumed run draws the same.
 */
#include "sae/train.h"

#include <math.h>
#include <string.h>

bool resampling_is_due(const sae_train_options *o, int64_t step)
{
    return o->resample_every > 0 && step > 0 && step % o->resample_every == 0;
}

/* The n rows drawn come first in keys, as ~row in the lower half. Exponential waiting times with rate |e|: the n shortest are a
 * draw without replacement. The last group's gradient row is the error times a constant. */
static void draw_rows(sae_trainer *t, const learner *l, int64_t n)
{
    scratch *s = &t->s;
    int64_t B = t->options.batch, d = l->d_out;
    const float *last = s->grad + (int64_t)(l->n_groups - 1) * B * d;
    rng r = rng_seed(l->config.seed, ((uint64_t)1 << 32) + (uint64_t)t->step);
    uint32_t bits;

    for (int64_t b = 0; b < B; b++) {
        float rank = (float)(sqrt(t->ops->sum_squares(last + b * d, d)) / -log(1.0 - rng_uniform(&r)));
        if (!isfinite(rank)) rank = 0.0f;
        memcpy(&bits, &rank, sizeof bits);
        s->row_keys[b] = (uint64_t)bits << 32 | (uint32_t)~b;
    }
    largest_keys_first(s->row_keys, B, n);
}

static void clear_row(param *p, int64_t row)
{
    size_t bytes = (size_t)p->columns * sizeof(float);

    memset(p->m + row * p->columns, 0, bytes);
    memset(p->v + row * p->columns, 0, bytes);
}

static void begin_entry(param *p, int64_t latent, float value)
{
    if (p->rows == 0) return;
    p->w[latent] = value;
    p->m[latent] = p->v[latent] = 0.0f;
}

static void begin_anew(sae_trainer *t, learner *l, int64_t latent, int64_t row, double encoder_norm, double threshold)
{
    int64_t d = l->config.d_in, d_out = l->d_out;
    const float *x = t->s.x + row * d, *y = targets_of(t, l) + row * d_out;
    float *w = l->p[P_W_ENC].w + latent * d;

    for (int64_t i = 0; i < d; i++) w[i] = (float)(0.2 * encoder_norm) * x[i];
    memcpy(l->p[P_W_DEC].w + latent * d_out, y, (size_t)d_out * sizeof *y);
    unit_rows(t->ops, l->p[P_W_DEC].w, latent, d_out, 0.0);
    clear_row(&l->p[P_W_ENC], latent);
    clear_row(&l->p[P_W_DEC], latent);
    begin_entry(&l->p[P_B_ENC], latent, 0.0f);
    begin_entry(&l->p[P_B_MAG], latent, 0.0f);
    begin_entry(&l->p[P_R_MAG], latent, 0.0f);
    begin_entry(&l->p[P_THRESHOLD], latent, (float)threshold);
}

void resample(sae_trainer *t, learner *l)
{
    int64_t d = l->config.d_in, F = l->config.d_sae, limit = t->options.resample_every * t->options.batch / 2;
    int64_t n_dead = 0, n, next = 0;
    const param *theta = &l->p[P_THRESHOLD];
    double norms = 0, thresholds = 0, threshold = t->options.first_threshold;

    for (int64_t j = 0; j < F; j++) {
        bool dead = l->since_fired[j] > limit;
        n_dead += dead;
        if (!dead) norms += sqrt(t->ops->sum_squares(l->p[P_W_ENC].w + j * d, d));
        if (!dead && theta->rows > 0) thresholds += (double)theta->w[j];
    }
    if (n_dead == 0 || n_dead == F) return; /* no living latent to take a measure from */
    if (threshold <= 0.0) threshold = thresholds / (double)(F - n_dead);
    n = n_dead < t->options.batch ? n_dead : t->options.batch;
    draw_rows(t, l, n);
    for (int64_t j = 0; j < F && next < n; j++)
        if (l->since_fired[j] > limit)
            begin_anew(t, l, j, (int64_t) ~(uint32_t)t->s.row_keys[next++], norms / (double)(F - n_dead), threshold);
}
