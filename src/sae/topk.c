/* topk.c - the family that keeps the k largest positive activations of each row. */
#include "sae/train.h"

/* The lists, and the mean over rows of the smallest kept activation, which becomes the threshold (kept for information: an exported
 * dictionary keeps the k largest). */
static void select_rows(sae_trainer *t, learner *l, step_sums *sums)
{
    scratch *s = &t->s;
    pair_lists *k = &s->kept;
    int64_t B = t->options.batch, n_used = 0;
    double sum = 0;

    best_list(&s->top, B, l->k, NULL, k);
    for (int64_t b = 0; b < B; b++) {
        int64_t begin = k->row_start[b], end = k->row_start[b + 1];
        float least = begin < end ? k->value[begin] : 0.0f;
        for (int64_t i = begin + 1; i < end; i++) least = k->value[i] < least ? k->value[i] : least;
        sum += (double)least;
        n_used += begin < end;
    }
    sums->n_kept = k->row_start[B];
    sums->smallest = n_used > 0 ? sum / (double)n_used : 0.0;
    unscale_values(t, l, k);
    lists_by_latent(k, B, l->config.d_sae, s->counter);
}

sae_status topk_forward(sae_trainer *t, learner *l, encoder *e, step_sums *sums, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t n_dead = auxk_mark(t, l);

    SAE_TRY(encode_top_rows(t, l, e, n_dead > 0, err));
    select_rows(t, l, sums);
    forward_rows(t, l, sums);
    update_threshold(t, l, sums);
    count_fired(t, l, t->s.kept.latent_start, sums);
    SAE_TRY(auxk_rows(t, l, e, n_dead > 0, sums, err));
done:
    return status;
}
