/*
 * backward.c - gradients, latent by latent (docs/method.md has the formulas).
 *
 * With g the gradient row dL/dx^ that belongs to a pair (row b, latent j, value f):  df = g . W_dec[j];
 * dW_dec[j] += f g;  dW_enc[j] += df u_b;  db_enc[j] += df.  A latent's rows of W are read once, its gradients written once.
 * b_dec needs no pass over rows x latents: db_dec = sum_b g_b - W_enc^T db_enc - W_down^T sum_b dh_b.
 */
#include "sae/train.h"
#include "base/threads.h"

#include "kernels/matmul.h"

#include <math.h>
#include <string.h>

bool latent_is_active(const scratch *s, int64_t latent)
{
    const int64_t *kept = s->kept.latent_start, *aux = s->aux.latent_start;

    return kept[latent + 1] > kept[latent] || (s->aux_used && aux[latent + 1] > aux[latent]);
}

/* The kept pairs of latent j, whose gradient rows lie in grad [B, d]: adds to the latent's gradients, fills the slopes. */
static void kept_pairs(const sae_trainer *t, const learner *l, const float *grad, int64_t j, float *g_enc, float *g_dec)
{
    const pair_lists *k = &t->s.kept;
    int64_t d_in = l->config.d_in, d = l->d_out, i = k->latent_start[j], end = k->latent_start[j + 1];
    const float *W_dec = l->p[P_W_DEC].w + j * d, *u = t->s.u;
    const sae_ops *ops = t->ops;
    const float *g_rows[4], *u_rows[4];

    for (; i + 4 <= end; i += 4) {
        for (int n = 0; n < 4; n++) {
            g_rows[n] = grad + k->row[i + n] * d;
            u_rows[n] = u + k->row[i + n] * d_in;
        }
        ops->dot4(W_dec, g_rows, d, k->slope + i);
        ops->axpy4(g_dec, k->weight + i, g_rows, d);
        ops->axpy4(g_enc, k->slope + i, u_rows, d_in);
    }
    for (; i < end; i++) {
        const float *g_row = grad + k->row[i] * d;
        k->slope[i] = ops->dot(W_dec, g_row, d);
        ops->axpy(g_dec, k->weight[i], g_row, d);
        ops->axpy(g_enc, k->slope[i], u + k->row[i] * d_in, d_in);
    }
}

/* Slopes and gradients of the pairs of latents [first, end), panel by panel; added where a latent has entries in `earlier` as well
 * (NULL: none has). grad, u [B, d]. */
static void pairs_by_panels(sae_trainer *t, learner *l, const pair_lists *k, const int64_t *earlier, const float *grad,
                            int64_t first, int64_t end)
{
    sparse_rows by_latent = {.first = first,
                             .end = end,
                             .n_from = t->options.batch,
                             .start = k->latent_start,
                             .earlier = earlier,
                             .index = k->row,
                             .coefficient = k->weight,
                             .w = l->p[P_W_DEC].w,
                             .dots = k->slope};

    sparse_times_dense(t, &by_latent, grad, l->d_out, false, l->p[P_W_DEC].g);
    by_latent.coefficient = k->slope;
    by_latent.dots = NULL;
    sparse_times_dense(t, &by_latent, t->s.u, l->config.d_in, false, l->p[P_W_ENC].g);
}

static void pairs_by_rows(sae_trainer *t, learner *l)
{
    int64_t d_in = l->config.d_in, d = l->d_out;
    const int64_t *start = t->s.kept.latent_start;

#pragma omp parallel for schedule(dynamic, 64)
    for (int64_t j = 0; j < l->config.d_sae; j++) {
        int g = 0;
        if (start[j + 1] == start[j]) continue;
        while (j >= l->group_end[g]) g++;
        float *g_enc = l->p[P_W_ENC].g + j * d_in, *g_dec = l->p[P_W_DEC].g + j * d;
        memset(g_enc, 0, (size_t)d_in * sizeof *g_enc);
        memset(g_dec, 0, (size_t)d * sizeof *g_dec);
        kept_pairs(t, l, t->s.grad + g * t->options.batch * d, j, g_enc, g_dec);
    }
}

static void kept_gradients(sae_trainer *t, learner *l)
{
    scratch *s = &t->s;
    int64_t F = l->config.d_sae, begin = 0;

    if (s->kept.latent_start[F] < PANEL_PAIRS * F) {
        pairs_by_rows(t, l);
        return;
    }
    for (int g = 0; g < l->n_groups; begin = l->group_end[g++])
        pairs_by_panels(t, l, &s->kept, NULL, s->grad + g * t->options.batch * l->d_out, begin, l->group_end[g]);
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

void unit_rows_before(const sae_trainer *t, learner *l, int64_t j)
{
    if (t->options.decoder_rule == SAE_DECODER_BEFORE) unit_rows(t->ops, l->p[P_W_DEC].w, j, l->d_out, 0.0);
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
    int64_t d_in = l->config.d_in, d = l->d_out, F = l->config.d_sae;
    float *d_c = s->d_c + block * d_in;
    double squares = 0;

    memset(d_c, 0, (size_t)d_in * sizeof *d_c);
    for (int64_t j = F * block / N_BLOCKS; j < F * (block + 1) / N_BLOCKS; j++) {
        l->p[P_B_ENC].g[j] = 0.0f;
        unit_rows_before(t, l, j);
        if (!latent_is_active(s, j)) continue;
        float *g_enc = l->p[P_W_ENC].g + j * d_in, *g_dec = l->p[P_W_DEC].g + j * d;
        double sum = sum_slopes(&s->kept, j) + (s->aux_used ? sum_slopes(&s->aux, j) : 0.0);
        remove_parallel(t, g_dec, l->p[P_W_DEC].w + j * d, d);
        l->p[P_B_ENC].g[j] = (float)sum;
        t->ops->axpy(d_c, (float)sum, l->p[P_W_ENC].w + j * d_in, d_in);
        squares += t->ops->sum_squares(g_enc, d_in) + t->ops->sum_squares(g_dec, d) + sum * sum;
    }
    s->squares[block] = squares;
}

/* Before the scaffold takes aux_grad. */
static void auxk_gradient_of_b_dec(sae_trainer *t, learner *l)
{
    scratch *s = &t->s;

    if (!s->aux_used || t->options.auxk_rule != SAE_AUXK_BIAS) return;
    column_sums(s->aux_grad, t->options.batch, l->d_out, 1.0, s->partial, s->column);
    for (int64_t i = 0; i < l->d_out; i++) l->p[P_B_DEC].g[i] = (float)s->column[i];
}

static void gradient_of_b_dec(sae_trainer *t, learner *l)
{
    scratch *s = &t->s;
    int64_t B = t->options.batch, d = l->d_out;
    /* the codes of a scaffold with another centre, or of a transcoder, have no b_dec; to P3's scaffold it is a constant, as s is to
     * P3's dictionary */
    int64_t r = l->config.variant == SAE_P3 || !scaffold_sees_centred(l) ? 0 : l->config.rank;
    double *column = s->column;

    column_sums(s->grad, B, d, 1.0, s->partial, column);
    for (int block = 0; block < N_BLOCKS && l->config.d_out == 0 && l->config.apply_b_dec_to_input; block++)
        for (int64_t i = 0; i < d; i++) column[i] -= (double)s->d_c[block * d + i];
    for (int64_t n = 0; n < r; n++) {
        double sum = 0;
        for (int64_t b = 0; b < B; b++) sum += (double)s->d_h[b * r + n];
        for (int64_t i = 0; i < d; i++) column[i] -= sum * (double)l->p[P_W_DOWN].w[n * d + i];
    }
    bool from_auxk = s->aux_used && t->options.auxk_rule == SAE_AUXK_BIAS;
    for (int64_t i = 0; i < d; i++)
        l->p[P_B_DEC].g[i] = (float)(column[i] + (from_auxk ? (double)l->p[P_B_DEC].g[i] : 0.0));
}

double finish_backward(sae_trainer *t, learner *l)
{
    scratch *s = &t->s;
    int64_t B = t->options.batch, d_in = l->config.d_in, d_out = l->d_out;
    const param *skip = &l->p[P_W_SKIP];
    const int small[] = {P_B_DEC, P_W_SKIP, P_THRESHOLD, P_B_MAG, P_R_MAG};
    double squares = 0;

    auxk_gradient_of_b_dec(t, l);
    if (l->config.rank > 0) scaffold_backward(t, l);
    if (skip->rows > 0) matmul_tn(d_out, d_in, B, s->grad, d_out, s->x, d_in, 0.0f, skip->g, d_in);
    gradient_of_b_dec(t, l);
    for (int block = 0; block < N_BLOCKS; block++) squares += s->squares[block];
    for (size_t i = 0; i < sizeof small / sizeof *small; i++)
        squares += t->ops->sum_squares(l->p[small[i]].g, l->p[small[i]].rows * l->p[small[i]].columns);
    if (l->config.rank > 0 && l->config.variant != SAE_P3) squares += s->scaffold_norm * s->scaffold_norm;
    return sqrt(squares);
}

double backward(sae_trainer *t, learner *l)
{
    scratch *s = &t->s;

    kept_gradients(t, l);
    /* A dead latent has kept pairs too only where the batch at hand does not count. */
    if (s->aux_used) pairs_by_panels(t, l, &s->aux, s->kept.latent_start, s->aux_grad, 0, l->config.d_sae);
#pragma omp parallel for schedule(dynamic, 1)
    for (int block = 0; block < N_BLOCKS; block++) latent_block(t, l, block);
    return finish_backward(t, l);
}
