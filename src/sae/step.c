/*
 * step.c - one training step: rows scaled, then each dictionary's family forward and backward, and the update.
 */
#include "sae/train.h"

#include <math.h>
#include <string.h>

/* out = rows / *scale, [B, d]; the scale is measured first when it never was. */
static void scale_rows(const sae_trainer *t, const float *rows, int64_t d, double *scale, float *out)
{
    int64_t B = t->options.batch;

    if (*scale <= 0.0) {
        double sum = 0;
        for (int64_t b = 0; b < B; b++) sum += t->ops->sum_squares(rows + b * d, d);
        *scale = sum > 0.0 && isfinite(sum) ? sqrt(sum / (double)B) : 1.0;
    }
    float factor = (float)(1.0 / *scale);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < B * d; i++) out[i] = rows[i] * factor;
}

/* Rows and targets are scaled once for all: every dictionary measures the same scales on the same first rows. */
static void scale_batch(sae_trainer *t, const float *rows, const float *targets)
{
    learner *first = &t->learners[0], *reads_targets = NULL;

    scale_rows(t, rows, first->config.d_in, &first->input_scale, t->s.x);
    for (int i = t->n_dicts - 1; i >= 0; i--)
        if (t->learners[i].config.d_out > 0) reads_targets = &t->learners[i];
    if (reads_targets) scale_rows(t, targets, reads_targets->d_out, &reads_targets->target_scale, t->s.y);
    for (int i = 0; i < t->n_dicts; i++) {
        learner *l = &t->learners[i];
        l->input_scale = first->input_scale;
        l->target_scale = l->config.d_out > 0 ? reads_targets->target_scale : first->input_scale;
    }
}

/* Rows since each latent last fired, from how often each fired in this batch (its stretch of latent_start [F + 1]); a latent
 * that fires after dead_tokens rows is revived. Dead are those of the rule that AuxK goes by. */
void count_fired(const sae_trainer *t, learner *l, const int64_t *fired, step_sums *sums)
{
    int64_t B = t->options.batch, limit = t->options.dead_tokens;
    bool before_batch = t->options.dead_rule == SAE_DEAD_BEFORE_BATCH;
    int64_t fresh = t->options.dead_rule == SAE_DEAD_WITH_FIRING && B < limit ? B : 0; /* of those that fire now */

    if (before_batch) limit++; /* more than dead_tokens */
    sums->dead = sums->dense = 0;
    for (int64_t j = 0; j < l->config.d_sae; j++) {
        int64_t n = fired[j + 1] - fired[j], before = l->since_fired[j];
        l->since_fired[j] = n > 0 ? fresh : before + B;
        sums->dead += (before_batch ? before : l->since_fired[j]) >= limit;
        l->died += before < limit && l->since_fired[j] >= limit;
        l->revived += before >= limit && n > 0;
        sums->dense += 10 * n > B;
    }
}

/* For messages: the sign of a NaN says nothing. */
static double without_sign(double x) { return isnan(x) ? (double)NAN : x; }

static sae_status step_one(sae_trainer *t, int i, sae_step_stats *stats, sae_error *err)
{
    sae_status status = SAE_OK;
    learner *l = &t->learners[i];
    encoder *e = t->encoders[i];
    step_sums sums = {0};
    int64_t B = t->options.batch;
    bool alone = learns_scaffold_alone(t, l);
    double grad_norm = 0;

    l->k = annealed_k(&t->options, &l->config, age_of(t, l) > 0 ? age_of(t, l) : 0);
    if (t->step == 0) SAE_TRY(learner_start(t, l, err));
    if (alone)
        grad_norm = scaffold_step(t, l, &sums);
    else
        SAE_TRY(l->family->forward(t, l, e, &sums, err));
    double loss = sums.l2_loss + t->options.auxk_alpha * sums.aux_loss + sums.sparsity_loss;
    if (!isfinite(loss))
        SAE_RAISE(err, SAE_NUMERIC, "the loss is %g (l2 %g, AuxK %g, sparsity %g)", without_sign(loss),
                  without_sign(sums.l2_loss), without_sign(sums.aux_loss), without_sign(sums.sparsity_loss));
    if (!alone) grad_norm = l->family->backward(t, l, e);
    double lr = learning_rate(&t->options, t->step);
    update(t, l, grad_norm, lr);
    if (!alone && resampling_is_due(&t->options, t->step)) resample(t, l);
    if (stats)
        *stats = (sae_step_stats){.step = t->step,
                                  .loss = loss,
                                  .l2_loss = sums.l2_loss,
                                  .auxk_loss = sums.aux_loss,
                                  .sparsity_loss = sums.sparsity_loss,
                                  .l0 = (double)sums.n_kept / (double)B,
                                  .fvu = sums.variance > 0.0 ? sums.residual / sums.variance : (double)NAN,
                                  .threshold = l->threshold,
                                  .grad_norm = grad_norm,
                                  .lr = alone ? lr : dictionary_rate(t, l),
                                  .min_active = sums.smallest,
                                  .dead = sums.dead,
                                  .dense = sums.dense,
                                  .died = l->died,
                                  .revived = l->revived};
done:
    return status;
}

sae_status trainer_goes_on(const sae_trainer *t, sae_error *err)
{
    if (t->finished) return SAE_FAIL(err, SAE_STATE, "this trainer is finished: it can only be exported");
    if (t->broken)
        return SAE_FAIL(
            err, SAE_STATE,
            "a step or a resume of this trainer failed half-way, so its dictionaries are no longer of one step: "
            "resume from a checkpoint, or create a trainer anew");
    return SAE_OK;
}

sae_status sae_trainer_step(sae_trainer *t, const float *rows, const float *targets, sae_step_stats *stats,
                            sae_error *err)
{
    sae_status status = SAE_OK;

    SAE_TRY(trainer_goes_on(t, err));
    t->failed = -1;
    mem_guard_begin("a training step");
    if (t->s.y && !targets)
        SAE_RAISE(err, SAE_STATE, "a transcoder learns from targets: give the rows of the site that it writes");
    scale_batch(t, rows, targets);
    for (int i = 0; i < t->n_dicts; i++) {
        status = step_one(t, i, stats ? &stats[i] : NULL, err);
        if (status == SAE_OK) continue;
        t->failed = i;
        t->broken = true; /* those before it have taken this step, it has half of it, those behind it none */
        dict_name_error(&t->learners[i].config, i, t->n_dicts, err);
        goto done;
    }
    t->step++;
done:
    mem_guard_end();
    return status;
}
