/*
 * exact.c - the values of candidates, each a dot product summed in one fixed order, however the pair was found.
 *
 * A large product sums in an order of its own, which changes with its shape. So it only finds who is close: what lies above the
 * cutoff less a margin, which covers the rounding of both, is computed again and compared with the cutoff itself. The 8-bit
 * screen finds a superset as well. Either way the candidates are the pairs whose exact value is above the cutoff.
 *
 * The margin: a sum of d products, in any order, is off by at most d 2^-24 |u| |w| (1 + a little); two of them, and the
 * bias added to each; taken twice over.
 */
#include "sae/train.h"

#include "base/threads.h"

#include <math.h>

/* Each row's margin for the latent with the largest weights and bias; a step that only screens needs none. */
void set_margins(sae_trainer *t, const learner *l)
{
    scratch *s = &t->s;
    int64_t B = t->options.batch, d = l->config.d_in, F = l->config.d_sae;
    double w_most = 0, bias_most = 0;

    if (!s->exact || s->margins_are_set) return;
    s->margins_are_set = true;
#pragma omp parallel for schedule(static) reduction(max : w_most, bias_most)
    for (int64_t j = 0; j < F; j++) {
        double squares = t->ops->sum_squares(l->p[P_W_ENC].w + j * d, d), bias = fabs((double)l->p[P_B_ENC].w[j]);
        w_most = squares > w_most ? squares : w_most;
        bias_most = bias > bias_most ? bias : bias_most;
    }
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < B; b++) {
        double product = sqrt(w_most * t->ops->sum_squares(s->u + b * d, d));
        s->row_margin[b] = (float)(0x1p-22 * ((double)d * product + product + bias_most));
    }
}

float largest_margin(const sae_trainer *t)
{
    float most = 0;

    for (int64_t b = 0; t->s.exact && b < t->options.batch; b++) most = fmaxf(most, t->s.row_margin[b]);
    return most;
}

int64_t exact_values(const sae_trainer *t, const learner *l, int64_t row, float cutoff, int32_t *latent, float *value,
                     int64_t n)
{
    int64_t d = l->config.d_in, kept = 0;
    const float *W = l->p[P_W_ENC].w, *bias = l->p[P_B_ENC].w, *u = t->s.u + row * d, *w[4];
    float dots[4];

    for (int64_t i = 0; i < n; i += 4) {
        int64_t m = n - i < 4 ? n - i : 4;
        for (int64_t j = 0; j < 4; j++) w[j] = W + latent[i + (j < m ? j : 0)] * d;
        t->dots->fixed_dot4(u, w, d, dots);
        for (int64_t j = 0; j < m; j++) {
            float a = dots[j] + bias[latent[i + j]];
            if (!(a > cutoff)) continue;
            latent[kept] = latent[i + j];
            value[kept++] = a;
        }
    }
    return kept;
}

/* The survivors of one tile of rows in one block of latents. */
static void collect_survivors(sae_trainer *t, const learner *l, const screen *sieve, const screen_survivors *found,
                              int64_t row0, int64_t latent0, float cutoff, stretch *mine)
{
    int64_t d = l->config.d_in;
    float value[SCREEN_TILE];

    for (int64_t j = 0; j < SCREEN_BLOCK; j++) {
        int64_t latent = latent0 + j;
        if (found->n[j] == 0) continue; /* the last block is not full */
        screen_values(sieve, found, j, l->p[P_W_ENC].w + latent * d, t->s.u + row0 * d, value);
        for (int i = 0; i < found->n[j]; i++) {
            float a = value[i] + l->p[P_B_ENC].w[latent];
            if (!(a > cutoff)) continue;
            put_candidate(&t->s, mine, (candidate){a, (int32_t)(row0 + found->rows[j][i]), (int32_t)latent});
        }
    }
}

/* A tile of rows belongs to one thread, which takes the latents in order: so do the candidates of a row come. */
void screened_candidates(sae_trainer *t, const learner *l, const screen *sieve, float cutoff)
{
    scratch *s = &t->s;
    int64_t survivors = 0;

#pragma omp parallel num_threads(s->n_threads) reduction(+ : survivors)
    {
        int me = omp_get_thread_num();
        screen_survivors *found = &s->survivors[me];
#pragma omp for schedule(static)
        for (int64_t tile = 0; tile < screen_n_tiles(sieve); tile++) {
            for (int64_t block = 0; block < screen_n_blocks(sieve); block++) {
                screen_block(sieve, tile, block, found);
                for (int j = 0; j < SCREEN_BLOCK; j++) survivors += found->n[j];
                collect_survivors(t, l, sieve, found, screen_tile_row(sieve, tile), block * SCREEN_BLOCK, cutoff,
                                  &s->stretches[me]);
            }
        }
    }
    s->n_survivors = survivors;
}
