/* batchtopk.c - the families that keep the K largest activations of a batch: BatchTopK and Matryoshka. */
#include "sae/train.h"

void update_threshold(sae_trainer *t, learner *l, const step_sums *sums)
{
    const sae_train_options *o = &t->options;
    bool from_zero = o->threshold_rule == SAE_THRESHOLD_FROM_ZERO;

    if (sums->smallest <= 0.0 || (!from_zero && age_of(t, l) <= o->threshold_start_step)) return;
    if (from_zero && l->threshold < 0.0) l->threshold = 0.0;
    if (l->threshold < 0.0)
        l->threshold = sums->smallest;
    else
        l->threshold = o->threshold_beta * l->threshold + (1.0 - o->threshold_beta) * sums->smallest;
}

sae_status batchtopk_forward(sae_trainer *t, learner *l, encoder *e, step_sums *sums, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t n_dead = auxk_mark(t, l);

    SAE_TRY(encode_rows(t, l, e, n_dead > 0, err));
    select_kept(t, l, sums);
    forward_rows(t, l, sums);
    update_threshold(t, l, sums);
    count_fired(t, l, t->s.kept.latent_start, sums);
    SAE_TRY(auxk_rows(t, l, e, n_dead > 0, sums, err));
done:
    return status;
}

double batchtopk_backward(sae_trainer *t, learner *l, encoder *e)
{
    (void)e;
    return backward(t, l);
}
