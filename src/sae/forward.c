/*
 * forward.c - the reconstruction of kept pairs, row by row, its squared errors, and dL/dx^.
 *
 * e_g = s + f[:, :m_g] W_dec[:m_g] + b_dec - y is the error after group g (its negative is the residual; y is x, or the target of a
 * transcoder, which may add x W_skip^T; with scaffold_last s joins e of the last group only). The loss is
 * sum_g w mean_b |e_g|^2 with w = 1 / G^2 (dictionary_learning's Matryoshka: weights 1 / G, then their mean) or 1 (SAELens's sum).
 * Latents of group g reach every later prefix, so their gradient row is sum_{i >= g} 2 w / B e_i.
 */
#include "sae/train.h"

#include "kernels/matmul.h"

#include <math.h>
#include <string.h>

void add_pairs(const sae_ops *ops, float *row, const pair_lists *k, const float *value, int64_t begin, int64_t end,
               const float *W, int64_t d)
{
    int64_t i = begin;

    for (; i + 4 <= end; i += 4) {
        const float *x[4];
        for (int j = 0; j < 4; j++) {
            x[j] = W + k->latent[i + j] * d;
            /* The next four rows come from anywhere in W: ask for their first lines now. */
            if (i + 4 + j < end) {
                const char *next = (const char *)(W + k->latent[i + 4 + j] * d);
                for (int line = 0; line < 4; line++) __builtin_prefetch(next + 64 * line);
            }
        }
        ops->axpy4(row, value + i, x, d);
    }
    for (; i < end; i++) ops->axpy(row, value[i], W + k->latent[i] * d, d);
}

/* Errors of all prefixes of one row, then their weighted sums from the back. */
static void forward_row(sae_trainer *t, const learner *l, int64_t b)
{
    scratch *s = &t->s;
    const pair_lists *k = &s->kept;
    int64_t B = t->options.batch, d = l->d_out, i = k->row_start[b], end = k->row_start[b + 1];
    int G = l->n_groups, late = l->config.rank > 0 && l->config.scaffold_last ? G - 1 : 0;
    float weight = (float)s->grad_per_error;
    float *e = s->grad + b * d; /* of group 0; group g lies g B d further */

    for (int g = 0; g < G; g++, e += B * d) {
        if (g > 0 && g == late)
            t->ops->axpy(e, 1.0f, e - B * d, d);
        else if (g > 0)
            memcpy(e, e - B * d, (size_t)d * sizeof *e);
        int64_t stop = i;
        while (stop < end && k->latent[stop] < l->group_end[g]) stop++;
        add_pairs(t->ops, e, k, k->value, i, stop, l->p[P_W_DEC].w, d);
        i = stop;
        s->row_loss[b * G + g] = t->ops->sum_squares(e, d);
    }
    for (int g = G - 1; g >= 0; g--) {
        e = s->grad + ((int64_t)g * B + b) * d;
        for (int64_t j = 0; j < d; j++) e[j] *= weight;
        if (g < G - 1) t->ops->axpy(e, 1.0f, e + B * d, d);
    }
}

void column_sums(const float *rows, int64_t n, int64_t d, double scale, double *partial, double *out)
{
#pragma omp parallel for schedule(static)
    for (int block = 0; block < N_BLOCKS; block++) {
        double *sum = partial + block * d;
        memset(sum, 0, (size_t)d * sizeof *sum);
        for (int64_t b = n * block / N_BLOCKS; b < n * (block + 1) / N_BLOCKS; b++)
            for (int64_t i = 0; i < d; i++) sum[i] += rows[b * d + i];
    }
    memset(out, 0, (size_t)d * sizeof *out);
    for (int block = 0; block < N_BLOCKS; block++)
        for (int64_t i = 0; i < d; i++) out[i] += partial[block * d + i];
    for (int64_t i = 0; i < d; i++) out[i] *= scale;
}

const float *targets_of(const sae_trainer *t, const learner *l) { return l->config.d_out > 0 ? t->s.y : t->s.x; }

/* Squares are summed in float32: rows that are all alike leave a few roundings, each 1.2e-7 of the sum. That much counts as none. */
static const double ROUNDING = 1e-6;

double target_variance(sae_trainer *t, const learner *l)
{
    scratch *s = &t->s;
    const float *y = targets_of(t, l);
    int64_t B = t->options.batch, d = l->d_out;
    double sum = 0, of_mean = 0;

    column_sums(y, B, d, 1.0 / (double)B, s->partial, s->column);
    for (int64_t i = 0; i < d; i++) of_mean += s->column[i] * s->column[i];
#pragma omp parallel for schedule(static)
    for (int block = 0; block < N_BLOCKS; block++) {
        double part = 0;
        for (int64_t b = B * block / N_BLOCKS; b < B * (block + 1) / N_BLOCKS; b++)
            part += t->ops->sum_squares(y + b * d, d);
        s->partial[block] = part;
    }
    for (int block = 0; block < N_BLOCKS; block++) sum += s->partial[block];
    double V = sum - (double)B * of_mean;
    return V > ROUNDING * sum ? V : 0.0;
}

void begin_errors(sae_trainer *t, const learner *l, bool late)
{
    scratch *s = &t->s;
    int64_t B = t->options.batch, d_in = l->config.d_in, d = l->d_out, r = l->config.rank;
    const float *b_dec = l->p[P_B_DEC].w;

    if (l->config.d_out == 0) { /* c = x - b_dec */
#pragma omp parallel for schedule(static)
        for (int64_t i = 0; i < B * d; i++) s->grad[i] = -s->c[i];
    } else {
#pragma omp parallel for schedule(static)
        for (int64_t b = 0; b < B; b++)
            for (int64_t i = 0; i < d; i++) s->grad[b * d + i] = b_dec[i] - s->y[b * d + i];
    }
    if (l->config.skip) matmul_nt(B, d, d_in, s->x, d_in, l->p[P_W_SKIP].w, d_in, 1.0f, s->grad, d);
    if (r > 0 && late)
        matmul_nn(B, d, r, s->h, r, l->p[P_W_UP].w, d, 0.0f, s->grad + (int64_t)(l->n_groups - 1) * B * d, d);
    else if (r > 0)
        matmul_nn(B, d, r, s->h, r, l->p[P_W_UP].w, d, 1.0f, s->grad, d);
}

static double scale_by_rule(const sae_trainer *t, learner *l, double variance)
{
    double V = variance / (double)t->options.batch;

    if (t->options.loss_rule == SAE_LOSS_SUM) return 1.0;
    if (l->first_variance <= 0.0) l->first_variance = V > 0.0 && isfinite(V) ? V : 1.0;
    if (t->options.loss_rule == SAE_LOSS_FIRST) V = l->first_variance;
    return V > 0.0 ? 1.0 / V : 1.0;
}

double loss_scale(sae_trainer *t, learner *l, step_sums *sums)
{
    sums->variance = target_variance(t, l);
    return t->s.loss_scale = scale_by_rule(t, l, sums->variance);
}

void finish_errors(sae_trainer *t, learner *l, step_sums *sums)
{
    scratch *s = &t->s;
    int64_t B = t->options.batch;
    int G = l->n_groups;
    double weight = t->options.level_rule == SAE_LEVELS_SUM ? 1.0 : 1.0 / ((double)G * G);

    weight *= loss_scale(t, l, sums);
    s->grad_per_error = 2.0 * weight / (double)B;
#pragma omp parallel for schedule(dynamic, 32)
    for (int64_t b = 0; b < B; b++) forward_row(t, l, b);

    sums->l2_loss = sums->residual = 0;
    for (int64_t b = 0; b < B; b++) {
        for (int g = 0; g < G; g++) sums->l2_loss += s->row_loss[b * G + g];
        sums->residual += s->row_loss[b * G + G - 1];
    }
    sums->l2_loss *= weight / (double)B;
}

void forward_rows(sae_trainer *t, learner *l, step_sums *sums)
{
    begin_errors(t, l, l->config.scaffold_last && l->n_groups > 1);
    finish_errors(t, l, sums);
}
