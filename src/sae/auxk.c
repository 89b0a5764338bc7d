/*
 * auxk.c - AuxK (Gao et al. 2024, as dictionary_learning computes it): dead latents rebuild the residual.
 *
 * r = x - x^ (detached). Each row uses the aux_k largest positive pre-activations z of dead latents, e^ = z W_dec without bias;
 * L_aux = sum |e^ - r|^2 / sum |r - mean r|^2, added to the loss with weight alpha. Its gradient reaches W_dec, W_enc and b_enc.
 * sae_auxk_rule has what others do: the largest of all activations, negative ones too, and other divisors.
 *
 * Which latents are dead is known only after this batch's selection, their activations are collected before it. So all
 * that might be dead are collected, with a margin for those that turn out to fire; if the margin was too small, again.
 */
#include "sae/train.h"

#include <math.h>
#include <string.h>

/* Dead latents that a row uses, where there are so many. */
static int64_t wanted(const sae_trainer *t, const learner *l)
{
    return t->options.auxk_k > 0 ? t->options.auxk_k : l->config.d_in / 2;
}

int64_t auxk_mark(sae_trainer *t, const learner *l)
{
    scratch *s = &t->s;
    int64_t n = 0, room = aux_few_room(s, l->config.d_sae), k = wanted(t, l);
    bool before_batch = t->options.dead_rule == SAE_DEAD_BEFORE_BATCH;

    s->aux_k = 0;
    if (t->options.auxk_alpha <= 0.0 || k < 1) return 0;
    s->aux_k = k < l->config.d_sae ? k : l->config.d_sae;
    for (int64_t j = 0; j < l->config.d_sae; j++) {
        bool perhaps_dead = before_batch ? l->since_fired[j] > t->options.dead_tokens
                                         : l->since_fired[j] + t->options.batch >= t->options.dead_tokens;
        s->aux_bias[j] = perhaps_dead ? l->p[P_B_ENC].w[j] : -INFINITY;
        if (perhaps_dead && n < room) s->few_latent[n] = (int32_t)j;
        n += perhaps_dead;
    }
    s->n_aux_few = l->family->one_threshold && n <= room ? n : 0;
    return n;
}

/* The k largest of what is dead, as a list by row. False: too much of what was kept has fired in this batch, or the guess was too
 * high. */
static bool list_dead(sae_trainer *t, int64_t k)
{
    scratch *s = &t->s;
    bool fired_are_out = t->options.dead_rule != SAE_DEAD_BEFORE_BATCH;

    return best_list(&s->best_dead, t->options.batch, k, fired_are_out ? s->kept.latent_start : NULL, &s->aux);
}

/* The next step's guess of what all rows will reach: a little below the least activation listed, rising slowly, so that a batch
 * with one weak row is remembered. None when a row has fewer activations than it may have. */
static void guess_cutoff(const sae_trainer *t, learner *l, int64_t k, bool guess_failed)
{
    const pair_lists *a = &t->s.aux;
    int64_t B = t->options.batch, n = a->row_start[B];
    float least = n > 0 ? a->value[0] : 0.0f;

    if (n < B * k || t->options.auxk_rule == SAE_AUXK_PLAIN) {
        l->aux_cutoff = 0.0f;
        return;
    }
#pragma omp parallel for simd reduction(min : least)
    for (int64_t i = 0; i < n; i++) least = a->value[i] < least ? a->value[i] : least;
    least *= 0.9f;
    if (!guess_failed && l->aux_cutoff > 0.0f && least > 1.01f * l->aux_cutoff) least = 1.01f * l->aux_cutoff;
    l->aux_cutoff = least;
}

/* What the squared error of e^ is multiplied by in the loss, before its coefficient; 0: nothing to rebuild. */
static double aux_weight(sae_trainer *t, const learner *l, const step_sums *sums)
{
    scratch *s = &t->s;
    int64_t B = t->options.batch, d = l->d_out;
    double share = fmin((double)sums->dead / (double)wanted(t, l), 1.0), mean_square = 0, V = sums->variance;

    if (t->options.auxk_rule == SAE_AUXK_PLAIN) return share / (double)B;
    if (t->options.auxk_rule == SAE_AUXK_RESIDUAL || t->options.auxk_rule == SAE_AUXK_BIAS) {
        share = 1.0;
        column_sums(s->grad + (int64_t)(l->n_groups - 1) * B * d, B, d, -1.0 / (s->grad_per_error * (double)B),
                    s->partial, s->column);
        for (int64_t i = 0; i < d; i++) mean_square += s->column[i] * s->column[i];
        V = sums->residual - (double)B * mean_square;
    }
    return V > 0.0 && isfinite(V) ? share / V : 0.0; /* a perfect reconstruction leaves nothing to rebuild */
}

/* aux_grad = dL/de^ = alpha 2 weight (e^ - r), and the loss. The last group's gradient row holds the error: r = -grad /
 * grad_per_error. */
static void rebuild_residual(sae_trainer *t, const learner *l, step_sums *sums)
{
    scratch *s = &t->s;
    const pair_lists *a = &s->aux;
    int64_t B = t->options.batch, d = l->d_out;
    const float *last = s->grad + (int64_t)(l->n_groups - 1) * B * d;
    double weight = aux_weight(t, l, sums), sum = 0;
    float factor = (float)(2.0 * t->options.auxk_alpha * weight), to_error = (float)(1.0 / s->grad_per_error);

    sparse_rows by_row = {.end = B,
                          .n_from = l->config.d_sae,
                          .start = a->row_start,
                          .used = a->latent_start,
                          .index = a->latent,
                          .coefficient = a->value};
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < B * d; i++) s->aux_grad[i] = to_error * last[i];
    sparse_times_dense(t, &by_row, l->p[P_W_DEC].w, d, true, s->aux_grad);
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < B; b++) {
        float *row = s->aux_grad + b * d;
        s->row_loss[b] = t->ops->sum_squares(row, d);
        for (int64_t i = 0; i < d; i++) row[i] *= factor;
    }
    for (int64_t b = 0; b < B; b++) sum += s->row_loss[b];
    sums->aux_loss = weight > 0.0 ? sum * weight : 0.0;
}

sae_status auxk_rows(sae_trainer *t, learner *l, encoder *e, bool with_aux, step_sums *sums, sae_error *err)
{
    sae_status status = SAE_OK;
    scratch *s = &t->s;
    int64_t B = t->options.batch, F = l->config.d_sae, k = sums->dead < s->aux_k ? sums->dead : s->aux_k;
    bool again, some = with_aux && sums->dead > 0;

    s->aux_used = some || (t->options.auxk_rule == SAE_AUXK_BIAS && s->aux_k > 0);
    if (!s->aux_used) goto done;
    if (!some) { /* b_dec alone has something to learn */
        memset(s->aux.row_start, 0, (size_t)(B + 1) * sizeof *s->aux.row_start);
        memset(s->aux.latent_start, 0, (size_t)(F + 1) * sizeof *s->aux.latent_start);
        rebuild_residual(t, l, sums);
        goto done;
    }
    again = !list_dead(t, k);
    if (again) {
        bool marked = t->options.dead_rule == SAE_DEAD_BEFORE_BATCH; /* exactly those that are dead, from the start */
        for (int64_t j = 0; !marked && j < F; j++)
            s->aux_bias[j] = l->since_fired[j] >= t->options.dead_tokens ? l->p[P_B_ENC].w[j] : -INFINITY;
        SAE_TRY(encode_aux_again(t, l, e, err));
        list_dead(t, k);
    }
    guess_cutoff(t, l, k, again);
    unscale_values(t, l, &s->aux);
    lists_by_latent(&s->aux, B, F, s->counter);
    rebuild_residual(t, l, sums);
done:
    return status;
}
