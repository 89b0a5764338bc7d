/*
 * step.c - one training step: rows scaled, b_dec started in the first step, then each dictionary's family forward and backward,
 * and the update.
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

static void start_b_dec(sae_trainer *t, learner *l)
{
    scratch *s = &t->s;
    int64_t B = t->options.batch, d = l->config.d_in;
    float *b_dec = l->p[P_B_DEC].w;

    switch (t->options.b_dec_start) {
    case SAE_B_DEC_MEDIAN: geometric_median(s->x, B, d, s->partial, s->column, b_dec); break;
    case SAE_B_DEC_MEAN:
        column_sums(s->x, B, d, 1.0 / (double)B, s->partial, s->column);
        for (int64_t i = 0; i < d; i++) b_dec[i] = (float)s->column[i];
        break;
    case SAE_B_DEC_ZERO: break; /* it is, or was read from a file */
    }
}

static void scale_rows(sae_trainer *t, learner *l, const float *rows)
{
    scratch *s = &t->s;
    int64_t B = t->options.batch, d = l->config.d_in;

    if (l->input_scale <= 0.0) {
        double sum = 0;
        for (int64_t b = 0; b < B; b++) sum += t->ops->sum_squares(rows + b * d, d);
        l->input_scale = sum > 0.0 && isfinite(sum) ? sqrt(sum / (double)B) : 1.0;
    }
    float factor = (float)(1.0 / l->input_scale);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < B * d; i++) s->x[i] = rows[i] * factor;
}

/* Rows since each latent last fired, from how often each fired in this batch (its stretch of latent_start [F + 1]); a latent
 * that fires after dead_tokens rows is revived. Dead are those of the rule that AuxK goes by. */
void count_fired(const sae_trainer *t, learner *l, const int64_t *fired, step_sums *sums)
{
    int64_t B = t->options.batch, limit = t->options.dead_tokens;
    bool before_batch = t->options.dead_rule == SAE_DEAD_BEFORE_BATCH;

    if (before_batch) limit++; /* more than dead_tokens */
    sums->dead = sums->dense = 0;
    for (int64_t j = 0; j < l->config.d_sae; j++) {
        int64_t n = fired[j + 1] - fired[j], before = l->since_fired[j];
        l->since_fired[j] = n > 0 ? 0 : before + B;
        sums->dead += (before_batch ? before : l->since_fired[j]) >= limit;
        l->died += before < limit && l->since_fired[j] >= limit;
        l->revived += before >= limit && n > 0;
        sums->dense += 10 * n > B;
    }
}

static sae_status step_one(sae_trainer *t, int i, const float *rows, const float *targets, sae_step_stats *stats,
                           sae_error *err)
{
    sae_status status = SAE_OK;
    learner *l = &t->learners[i];
    encoder *e = t->encoders[i];
    step_sums sums = {0};
    int64_t B = t->options.batch;

    (void)targets; /* no family reads them yet */
    /* Rows are scaled once for all: every dictionary measures the same scale on the same first rows. */
    if (i == 0) scale_rows(t, l, rows);
    l->input_scale = t->learners[0].input_scale;
    if (t->step == 0) start_b_dec(t, l);
    SAE_TRY(l->family->forward(t, l, e, &sums, err));
    double loss = sums.l2_loss + t->options.auxk_alpha * sums.aux_loss + sums.sparsity_loss;
    if (!isfinite(loss))
        SAE_RAISE(err, SAE_NUMERIC,
                  "step %lld, dictionary %d: the loss is %g (l2 %g, AuxK %g, sparsity %g): look for rows that are not "
                  "finite, or lower the learning rate",
                  (long long)t->step, i, loss, sums.l2_loss, sums.aux_loss, sums.sparsity_loss);
    double grad_norm = l->family->backward(t, l, e), lr = learning_rate(&t->options, t->step);
    update(t, l, grad_norm, lr);
    if (stats)
        *stats = (sae_step_stats){.step = t->step,
                                  .loss = loss,
                                  .l2_loss = sums.l2_loss,
                                  .auxk_loss = sums.aux_loss,
                                  .sparsity_loss = sums.sparsity_loss,
                                  .l0 = (double)sums.n_kept / (double)B,
                                  .fvu = sums.variance > 0.0 ? sums.residual / sums.variance : 0.0,
                                  .threshold = l->threshold,
                                  .grad_norm = grad_norm,
                                  .lr = lr,
                                  .min_active = sums.smallest,
                                  .dead = sums.dead,
                                  .dense = sums.dense,
                                  .died = l->died,
                                  .revived = l->revived};
done:
    return status;
}

sae_status sae_trainer_step(sae_trainer *t, const float *rows, const float *targets, sae_step_stats *stats,
                            sae_error *err)
{
    sae_status status = SAE_OK;

    mem_guard_begin("a training step");
    for (int i = 0; i < t->n_dicts; i++) SAE_TRY(step_one(t, i, rows, targets, stats ? &stats[i] : NULL, err));
    t->step++;
done:
    mem_guard_end();
    return status;
}
