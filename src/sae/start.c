/*
 * start.c - what a dictionary takes from the first batch, before its first step: biases, and a scaffold that begins as PCA.
 */
#include "sae/train.h"

#include <math.h>
#include <string.h>

/* The point with the smallest sum of distances to the rows (Weiszfeld's iteration, at most 100 rounds, to 1e-5), as
 * dictionary_learning starts b_dec. A row that coincides with the point gets no weight, where theirs would divide by 0. */
static void geometric_median(const float *x, int64_t n, int64_t d, double *partial, double *point, float *out)
{
    column_sums(x, n, d, 1.0 / (double)n, partial, point);
    for (int round = 0; round < 100; round++) {
        double total = 0, moved = 0;
#pragma omp parallel for schedule(static)
        for (int block = 0; block < N_BLOCKS; block++) {
            double *sum = partial + block * d, weights = 0;
            memset(sum, 0, (size_t)d * sizeof *sum);
            for (int64_t b = n * block / N_BLOCKS; b < n * (block + 1) / N_BLOCKS; b++) {
                double distance = 0;
                for (int64_t i = 0; i < d; i++) distance += (x[b * d + i] - point[i]) * (x[b * d + i] - point[i]);
                if (distance == 0.0) continue;
                double w = 1.0 / sqrt(distance);
                weights += w;
                for (int64_t i = 0; i < d; i++) sum[i] += w * (double)x[b * d + i];
            }
            partial[N_BLOCKS * d + block] = weights;
        }
        for (int block = 0; block < N_BLOCKS; block++) total += partial[N_BLOCKS * d + block];
        if (total == 0.0) break;
        for (int64_t i = 0; i < d; i++) {
            double next = 0;
            for (int block = 0; block < N_BLOCKS; block++) next += partial[block * d + i];
            next /= total;
            moved += (next - point[i]) * (next - point[i]);
            point[i] = next;
        }
        if (sqrt(moved) < 1e-5) break;
    }
    for (int64_t i = 0; i < d; i++) out[i] = (float)point[i];
}

static void start_b_dec(sae_trainer *t, learner *l, const float *y)
{
    scratch *s = &t->s;
    int64_t B = t->options.batch, d = l->d_out;
    float *b_dec = l->p[P_B_DEC].w;

    switch (t->options.b_dec_start) {
    case SAE_B_DEC_MEDIAN: geometric_median(y, B, d, s->partial, s->column, b_dec); break;
    case SAE_B_DEC_MEAN:
        column_sums(y, B, d, 1.0 / (double)B, s->partial, s->column);
        for (int64_t i = 0; i < d; i++) b_dec[i] = (float)s->column[i];
        break;
    case SAE_B_DEC_ZERO: break; /* it is, or was read from a file */
    }
}

/* b_enc = -mean(x) W_enc^T: a transcoder's encoder subtracts no b_dec, its latents are centred on the rows in this way (sparsify). A
 * gated one's b_mag begins like its gate's, with r_mag 0. */
static void start_b_enc(sae_trainer *t, learner *l)
{
    scratch *s = &t->s;
    int64_t B = t->options.batch, d = l->config.d_in;

    column_sums(s->x, B, d, 1.0 / (double)B, s->partial, s->column);
#pragma omp parallel for schedule(static)
    for (int64_t j = 0; j < l->config.d_sae; j++) {
        const float *row = l->p[P_W_ENC].w + j * d;
        double sum = 0;
        for (int64_t i = 0; i < d; i++) sum += s->column[i] * (double)row[i];
        if (!was_read(l, P_B_ENC)) l->p[P_B_ENC].w[j] = (float)-sum;
        if (l->p[P_B_MAG].rows > 0 && !was_read(l, P_B_MAG)) l->p[P_B_MAG].w[j] = (float)-sum;
    }
}

/* Sign-SGD's z, which stands in the first moment and begins at the weights; a frozen scaffold never moves it. */
static void start_z(const sae_trainer *t, learner *l)
{
    const int of_scaffold[] = {P_W_DOWN, P_W_UP, P_B_DOWN};

    for (int i = 0; t->options.optimiser_rule == SAE_OPTIMISER_SIGNUM && i < 3; i++) {
        const param *p = &l->p[of_scaffold[i]];
        if (p->rows > 0) memcpy(p->m, p->w, (size_t)(p->rows * p->columns) * sizeof *p->m);
    }
}

sae_status learner_start(sae_trainer *t, learner *l, sae_error *err)
{
    sae_status status = SAE_OK;
    bool transcoder = l->config.d_out > 0;

    start_b_dec(t, l, transcoder ? t->s.y : t->s.x);
    if (transcoder && t->options.b_dec_start != SAE_B_DEC_ZERO) start_b_enc(t, l);
    if (l->config.rank > 0 && l->config.scaffold_start == SAE_START_PCA) {
        mem_guard_end(); /* its d x d matrices are needed once; the plan has them beside the library's */
        status = scaffold_start_pca(t, l, err);
        mem_guard_begin("a training step");
    }
    scaffold_tie(l);
    bool moved = !transcoder && t->options.b_dec_start != SAE_B_DEC_ZERO; /* else b_dec is 0, or was read */
    if (moved && !was_read(l, P_B_DOWN)) scaffold_start_bias(l);
    start_z(t, l);
    return status;
}
