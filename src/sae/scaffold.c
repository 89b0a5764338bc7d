/*
 * scaffold.c - how the scaffold learns: with the dictionary (P1, P2), by itself (P3), before it (staged), or not at all (frozen); what
 * it sees, how W_down and W_up are tied, and its start from principal directions.
 *
 * Invariants: of a P3 scaffold neither gradient nor clipping depends on the dictionary's latents. After a step W_down and W_up are
 * tied as the configuration says.
 */
#include "sae/dict.h"
#include "sae/train.h"

#include "kernels/linalg.h"
#include "kernels/matmul.h"

#include <math.h>
#include <string.h>

bool sees_residual(const learner *l)
{
    return l->config.rank > 0 && (l->config.variant == SAE_P2 || l->config.variant == SAE_P3);
}

bool learns_scaffold_alone(const sae_trainer *t, const learner *l)
{
    return l->config.rank > 0 && t->step < l->config.scaffold_steps;
}

bool scaffold_moves(const sae_trainer *t, const learner *l)
{
    return l->config.rank > 0 && (!l->config.scaffold_frozen || t->step < l->config.scaffold_steps);
}

/* P3's scaffold has a loss of its own, mean |s - c|^2 in the units of the dictionary's: -2 (c - s) / B times loss_scale, into aux_grad.
 * What the encoder sees is c - s, or x - s where it does not subtract b_dec. */
static const float *gradient_of_own_loss(sae_trainer *t, const learner *l)
{
    scratch *s = &t->s;
    int64_t B = t->options.batch, d = l->config.d_in;
    const float *b_dec = l->config.apply_b_dec_to_input ? NULL : l->p[P_B_DEC].w;
    float factor = (float)(-2.0 * s->loss_scale / (double)B);

#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < B; b++)
        for (int64_t i = 0; i < d; i++)
            s->aux_grad[b * d + i] = factor * (b_dec ? s->u[b * d + i] - b_dec[i] : s->u[b * d + i]);
    return s->aux_grad;
}

/* What reaches s, [B, d_out]. P1: dL/dx^ of the prefixes that s is in. P2: less df W_enc, since the encoder sees c - s. P3: of its
 * own loss. The last two go to aux_grad, which AuxK needs no more. */
static const float *gradient_of_s(sae_trainer *t, const learner *l)
{
    scratch *s = &t->s;
    int64_t B = t->options.batch, d = l->config.d_in;
    const float *g = s->grad + (l->config.scaffold_last ? (int64_t)(l->n_groups - 1) * B * l->d_out : 0);

    if (l->config.variant == SAE_P1) return g;
    if (l->config.variant == SAE_P3) return gradient_of_own_loss(t, l);
#pragma omp parallel for schedule(dynamic, 32)
    for (int64_t b = 0; b < B; b++) {
        const pair_lists *lists[2] = {&s->kept, &s->aux};
        float *row = s->aux_grad + b * d;
        if (!s->dense_step) memset(row, 0, (size_t)d * sizeof *row); /* else what reaches u is there already */
        for (int n = 0; n < (s->aux_used ? 2 : 1); n++)
            add_pairs(t->ops, row, lists[n], lists[n]->d_value, lists[n]->row_start[b], lists[n]->row_start[b + 1],
                      l->p[P_W_ENC].w, d);
        for (int64_t i = 0; i < d; i++) row[i] = g[b * d + i] - row[i];
    }
    return s->aux_grad;
}

bool scaffold_sees_centred(const learner *l)
{
    return l->config.d_out == 0 && l->config.scaffold_centre == SAE_CENTRE_B_DEC;
}

/* c of a transcoder is x. */
static const float *scaffold_input(const sae_trainer *t, const learner *l)
{
    return l->config.scaffold_centre == SAE_CENTRE_B_DEC ? t->s.c : t->s.x;
}

void scaffold_codes(sae_trainer *t, const learner *l)
{
    scratch *s = &t->s;
    int64_t B = t->options.batch, d = l->config.d_in, r = l->config.rank;
    const param *bias = &l->p[P_B_DOWN];

    matmul_nt(B, r, d, scaffold_input(t, l), d, l->p[P_W_DOWN].w, d, 0.0f, s->h, r);
    for (int64_t b = 0; bias->rows > 0 && b < B; b++)
        for (int64_t k = 0; k < r; k++) s->h[b * r + k] += bias->w[k];
}

static void clear_gradient(const param *p)
{
    if (p->rows > 0) memset(p->g, 0, (size_t)(p->rows * p->columns) * sizeof *p->g);
}

static double squares_of(const sae_trainer *t, const param *p)
{
    return t->ops->sum_squares(p->g, p->rows * p->columns);
}

/* Of the one matrix that is both, W_up has the gradient. */
static void gradients(sae_trainer *t, learner *l, const float *g_s)
{
    scratch *s = &t->s;
    int64_t B = t->options.batch, d = l->config.d_in, d_out = l->d_out, r = l->config.rank;
    const param *up = &l->p[P_W_UP], *down = &l->p[P_W_DOWN], *bias = &l->p[P_B_DOWN];
    const float *input = scaffold_input(t, l);

    matmul_nt(B, r, d_out, g_s, d_out, up->w, d_out, 0.0f, s->d_h, r);
    clear_gradient(down);
    if (scaffold_moves(t, l)) {
        matmul_tn(r, d_out, B, s->h, r, g_s, d_out, 0.0f, up->g, d_out);
        if (l->config.scaffold_tie == SAE_TIE_TRANSPOSE)
            matmul_tn(r, d, B, s->d_h, r, input, d, 1.0f, up->g, d);
        else
            matmul_tn(r, d, B, s->d_h, r, input, d, 0.0f, down->g, d);
        if (bias->rows > 0) column_sums(s->d_h, B, r, 1.0, s->partial, s->column);
        for (int64_t k = 0; bias->rows > 0 && k < r; k++) bias->g[k] = (float)s->column[k];
    } else {
        clear_gradient(up);
        clear_gradient(bias);
    }
    s->scaffold_norm = sqrt(squares_of(t, up) + squares_of(t, down) + squares_of(t, bias));
}

void scaffold_backward(sae_trainer *t, learner *l) { gradients(t, l, gradient_of_s(t, l)); }

double scaffold_step(sae_trainer *t, learner *l, step_sums *sums)
{
    scratch *s = &t->s;
    int64_t B = t->options.batch, d = l->d_out;
    double scale = loss_scale(t, l, sums);
    float factor = (float)(2.0 * scale / (double)B);

    centre_rows(t, l);
    begin_errors(t, l, false);
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < B; b++) {
        float *e = s->grad + b * d;
        s->row_loss[b] = t->ops->sum_squares(e, d);
        for (int64_t i = 0; i < d; i++) e[i] *= factor;
    }
    for (int64_t b = 0; b < B; b++) sums->residual += s->row_loss[b];
    sums->l2_loss = sums->residual * scale / (double)B;
    gradients(t, l, s->grad);
    return s->scaffold_norm;
}

/* ---- Ties and starts ------------------------------------------------------------------------------------------------------ */

/* Gram and Schmidt, row after row, twice: once leaves what a nearly dependent row amplifies. It is the Q of a QR decomposition whose R
 * has a positive diagonal, so rows that are orthonormal stay where they are, up to rounding. */
void orthonormal_rows(float *W, int64_t rows, int64_t columns)
{
    for (int64_t k = 0; k < rows; k++) {
        float *w = W + k * columns;
        for (int round = 0; round < 2; round++) {
            for (int64_t j = 0; j < k; j++) {
                double along = float_dot(w, W + j * columns, columns);
                for (int64_t i = 0; i < columns; i++) w[i] = (float)((double)w[i] - along * (double)W[j * columns + i]);
            }
            double norm = sqrt(float_dot(w, w, columns));
            for (int64_t i = 0; norm > 0.0 && i < columns; i++) w[i] = (float)((double)w[i] / norm);
        }
    }
}

void scaffold_tie(learner *l)
{
    const param *up = &l->p[P_W_UP], *down = &l->p[P_W_DOWN];
    size_t bytes = (size_t)(up->rows * up->columns) * sizeof(float);

    if (l->config.rank == 0) return;
    if (l->config.scaffold_tie == SAE_TIE_ORTHONORMAL) orthonormal_rows(up->w, up->rows, up->columns);
    if (l->config.scaffold_tie != SAE_TIE_TRANSPOSE) return;
    memcpy(down->w, up->w, bytes);
    memcpy(down->m, up->m, bytes); /* sign-SGD's averages are made of it */
}

void scaffold_start_bias(learner *l)
{
    int64_t d = l->config.d_in;

    for (int64_t k = 0; k < l->p[P_B_DOWN].rows * l->config.rank; k++)
        l->p[P_B_DOWN].w[k] = (float)-float_dot(l->p[P_W_DOWN].w + k * d, l->p[P_B_DEC].w, d);
}

size_t scaffold_pca_bytes(int64_t d)
{
    return (size_t)(d * d) * (sizeof(float) + 2 * sizeof(double)) + linalg_eigh_bytes(d);
}

sae_status scaffold_start_pca(sae_trainer *t, learner *l, sae_error *err)
{
    sae_status status = SAE_OK;
    scratch *s = &t->s;
    int64_t B = t->options.batch, d = l->config.d_in, r = l->config.rank;
    size_t n = (size_t)(d * d);
    float *products = mem_alloc_array(n, sizeof *products, "the covariance of the first batch", err);
    double *A = mem_alloc_array(n, sizeof *A, "the covariance of the first batch", err);
    double *V = mem_alloc_array(n + (size_t)d, sizeof *V, "its principal directions", err);

    if (!products || !A || !V) SAE_TRY(SAE_NOMEM);
    column_sums(s->x, B, d, 1.0 / (double)B, s->partial, s->column);
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < B; b++)
        for (int64_t i = 0; i < d; i++) s->u[b * d + i] = (float)(s->x[b * d + i] - s->column[i]);
    matmul_tn(d, d, B, s->u, d, s->u, d, 0.0f, products, d);
    for (size_t i = 0; i < n; i++) A[i] = (double)products[i] / (double)B;
    SAE_TRY(linalg_eigh(d, A, V + n, V, err));
    for (int64_t i = 0; i < r * d; i++) {
        if (!was_read(l, P_W_DOWN)) l->p[P_W_DOWN].w[i] = (float)V[i];
        if (!was_read(l, P_W_UP)) l->p[P_W_UP].w[i] = (float)V[i];
    }
done:
    mem_free(products);
    mem_free(A);
    mem_free(V);
    return status;
}
