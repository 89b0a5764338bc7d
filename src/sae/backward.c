/*
 * backward.c - gradients, latent by latent (docs/method.md has the formulas).
 *
 * With g the gradient row dL/dx^ that belongs to a pair (row b, latent j, value f):  df = g . W_dec[j];
 * dW_dec[j] += f g;  dW_enc[j] += df u_b;  db_enc[j] += df.  A latent's rows of W are read once, its gradients written once.
 * b_dec needs no pass over rows x latents: db_dec = sum_b g_b - W_enc^T db_enc - W_down^T sum_b dh_b.
 */
#include "sae/train.h"

#include "kernels/matmul.h"

#include <math.h>
#include <omp.h>
#include <string.h>

/* Of a core's own cache (L2: 512 KB to 2 MB on today's processors) for a stretch of rows. */
enum { CACHED_BYTES = 384 << 10 };

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

bool latent_is_active(const scratch *s, int64_t latent)
{
    const int64_t *kept = s->kept.latent_start, *aux = s->aux.latent_start;

    return kept[latent + 1] > kept[latent] || (s->aux_used && aux[latent + 1] > aux[latent]);
}

/* The kept pairs of latent j, whose gradient rows lie in grad [B, d]: adds to the latent's gradients, fills the slopes. */
static void kept_pairs(const sae_trainer *t, const learner *l, const float *grad, int64_t j, float *g_enc, float *g_dec)
{
    const pair_lists *k = &t->s.kept;
    int64_t d = l->config.d_in, i = k->latent_start[j], end = k->latent_start[j + 1];
    const float *W_dec = l->p[P_W_DEC].w + j * d, *u = t->s.u;
    const sae_ops *ops = t->ops;
    const float *g_rows[4], *u_rows[4];

    for (; i + 4 <= end; i += 4) {
        for (int n = 0; n < 4; n++) {
            g_rows[n] = grad + k->row[i + n] * d;
            u_rows[n] = u + k->row[i + n] * d;
        }
        ops->dot4(W_dec, g_rows, d, k->slope + i);
        ops->axpy4(g_dec, k->weight + i, g_rows, d);
        ops->axpy4(g_enc, k->slope + i, u_rows, d);
    }
    for (; i < end; i++) {
        const float *g_row = grad + k->row[i] * d;
        k->slope[i] = ops->dot(W_dec, g_row, d);
        ops->axpy(g_dec, k->weight[i], g_row, d);
        ops->axpy(g_enc, k->slope[i], u + k->row[i] * d, d);
    }
}

/* The slopes of all AuxK pairs. A dead latent has hundreds of pairs a batch, so the rows are taken in stretches that stay in the
 * core's own cache while the latents pass by. */
static void aux_slopes(sae_trainer *t, const learner *l)
{
    scratch *s = &t->s;
    const pair_lists *k = &s->aux;
    int64_t B = t->options.batch, d = l->config.d_in, F = l->config.d_sae;
    int64_t rows = larger(16, CACHED_BYTES / (d * (int64_t)sizeof(float)));

    memcpy(s->counter, k->latent_start, (size_t)F * sizeof *s->counter);
#pragma omp parallel
    {
        int64_t me = omp_get_thread_num(), threads = omp_get_num_threads();
        for (int64_t until = rows; until < B + rows; until += rows) {
            for (int64_t j = F * me / threads; j < F * (me + 1) / threads; j++) {
                int64_t i = s->counter[j], end = k->latent_start[j + 1];
                const float *W_dec = l->p[P_W_DEC].w + j * d, *x[4];
                for (; i + 4 <= end && k->row[i + 3] < until; i += 4) {
                    for (int n = 0; n < 4; n++) x[n] = s->aux_grad + k->row[i + n] * d;
                    t->ops->dot4(W_dec, x, d, k->slope + i);
                }
                for (; i < end && k->row[i] < until; i++)
                    k->slope[i] = t->ops->dot(W_dec, s->aux_grad + k->row[i] * d, d);
                s->counter[j] = i;
            }
        }
    }
}

/* AuxK's part of the gradients. A dead latent has kept pairs too only where the batch at hand does not count. */
static void aux_gradients(sae_trainer *t, learner *l)
{
    scratch *s = &t->s;
    const pair_lists *k = &s->aux;
    sparse_rows by_latent = {l->config.d_sae, t->options.batch, k->latent_start, NULL, k->row, k->weight};

    aux_slopes(t, l);
    sparse_times_dense(t, &by_latent, s->aux_grad, l->config.d_in, false, l->p[P_W_DEC].g);
    by_latent.coefficient = k->slope;
    sparse_times_dense(t, &by_latent, s->u, l->config.d_in, false, l->p[P_W_ENC].g);
}

static double sum_slopes(const pair_lists *k, int64_t j)
{
    double sum = 0;

    for (int64_t i = k->latent_start[j]; i < k->latent_start[j + 1]; i++) {
        sum += (double)k->slope[i];
        if (k->d_value) k->d_value[k->position[i]] = k->slope[i];
    }
    return sum;
}

/* Rows of W_dec are held at unit norm, so a gradient along the row would only be undone: it is taken out before clipping. */
void remove_parallel(const sae_trainer *t, float *g, const float *w, int64_t d)
{
    const sae_ops *ops = t->ops;

    if (t->options.decoder_rule == SAE_DECODER_FREE) return;
    double norm = sqrt(ops->sum_squares(w, d)) + (t->options.decoder_rule == SAE_DECODER_UNIT ? 1e-6 : 0.0);
    double scale = norm > 0.0 ? 1.0 / norm : 0.0;
    ops->axpy(g, (float)(-(double)ops->dot(g, w, d) * scale * scale), w, d);
}

static void latent_block(sae_trainer *t, learner *l, int block)
{
    scratch *s = &t->s;
    int64_t d = l->config.d_in, F = l->config.d_sae, B = t->options.batch;
    float *d_c = s->d_c + block * d;
    double squares = 0;
    int g = 0;

    memset(d_c, 0, (size_t)d * sizeof *d_c);
    for (int64_t j = F * block / N_BLOCKS; j < F * (block + 1) / N_BLOCKS; j++) {
        while (j >= l->group_end[g]) g++;
        l->p[P_B_ENC].g[j] = 0.0f;
        if (!latent_is_active(s, j)) continue;
        float *g_enc = l->p[P_W_ENC].g + j * d, *g_dec = l->p[P_W_DEC].g + j * d;
        if (s->kept.latent_start[j + 1] > s->kept.latent_start[j]) {
            if (!s->aux_used || s->aux.latent_start[j + 1] == s->aux.latent_start[j]) {
                memset(g_enc, 0, (size_t)d * sizeof *g_enc);
                memset(g_dec, 0, (size_t)d * sizeof *g_dec);
            }
            kept_pairs(t, l, s->grad + g * B * d, j, g_enc, g_dec);
        }
        double sum = sum_slopes(&s->kept, j) + (s->aux_used ? sum_slopes(&s->aux, j) : 0.0);
        remove_parallel(t, g_dec, l->p[P_W_DEC].w + j * d, d);
        l->p[P_B_ENC].g[j] = (float)sum;
        t->ops->axpy(d_c, (float)sum, l->p[P_W_ENC].w + j * d, d);
        squares += t->ops->sum_squares(g_enc, d) + t->ops->sum_squares(g_dec, d) + sum * sum;
    }
    s->squares[block] = squares;
}

/* P2 only: what reaches s is g - df W_enc, since the encoder sees c - s. Into aux_grad, which AuxK needs no more. */
static const float *gradient_of_s(sae_trainer *t, learner *l)
{
    scratch *s = &t->s;
    int64_t B = t->options.batch, d = l->config.d_in;

    if (l->config.variant != SAE_P2) return s->grad;
#pragma omp parallel for schedule(dynamic, 32)
    for (int64_t b = 0; b < B; b++) {
        const pair_lists *lists[2] = {&s->kept, &s->aux};
        float *row = s->aux_grad + b * d;
        memset(row, 0, (size_t)d * sizeof *row);
        for (int n = 0; n < (s->aux_used ? 2 : 1); n++)
            add_pairs(t->ops, row, lists[n], lists[n]->d_value, lists[n]->row_start[b], lists[n]->row_start[b + 1],
                      l->p[P_W_ENC].w, d);
        for (int64_t i = 0; i < d; i++) row[i] = s->grad[b * d + i] - row[i];
    }
    return s->aux_grad;
}

/* Gradients of W_up and W_down; d_h in s->d_h. */
static void scaffold(sae_trainer *t, learner *l)
{
    scratch *s = &t->s;
    int64_t B = t->options.batch, d = l->config.d_in, r = l->config.rank;
    const float *g_s = gradient_of_s(t, l);

    matmul_tn(r, d, B, s->h, r, g_s, d, 0.0f, l->p[P_W_UP].g, d);
    matmul_nt(B, r, d, g_s, d, l->p[P_W_UP].w, d, 0.0f, s->d_h, r);
    matmul_tn(r, d, B, s->d_h, r, s->c, d, 0.0f, l->p[P_W_DOWN].g, d);
}

static void gradient_of_b_dec(sae_trainer *t, learner *l)
{
    scratch *s = &t->s;
    int64_t B = t->options.batch, d = l->config.d_in, r = l->config.rank;
    double *column = s->column;

    column_sums(s->grad, B, d, 1.0, s->partial, column);
    for (int block = 0; block < N_BLOCKS; block++)
        for (int64_t i = 0; i < d; i++) column[i] -= (double)s->d_c[block * d + i];
    for (int64_t n = 0; n < r; n++) {
        double sum = 0;
        for (int64_t b = 0; b < B; b++) sum += (double)s->d_h[b * r + n];
        for (int64_t i = 0; i < d; i++) column[i] -= sum * (double)l->p[P_W_DOWN].w[n * d + i];
    }
    for (int64_t i = 0; i < d; i++) l->p[P_B_DEC].g[i] = (float)column[i];
}

double backward(sae_trainer *t, learner *l)
{
    scratch *s = &t->s;
    const int small[] = {P_B_DEC, P_W_DOWN, P_W_UP};
    double squares = 0;

    if (s->aux_used) aux_gradients(t, l);
#pragma omp parallel for schedule(dynamic, 1)
    for (int block = 0; block < N_BLOCKS; block++) latent_block(t, l, block);
    if (l->config.rank > 0) scaffold(t, l);
    gradient_of_b_dec(t, l);
    for (int block = 0; block < N_BLOCKS; block++) squares += s->squares[block];
    for (int i = 0; i < 3; i++)
        squares += t->ops->sum_squares(l->p[small[i]].g, l->p[small[i]].rows * l->p[small[i]].columns);
    return sqrt(squares);
}
