/* export.c - a dictionary in the rows' own units from a trainer's state. */
#include "sae/train.h"

#include <math.h>
#include <string.h>

/* Where a row's norm counted in the selection it goes into the encoder: codes are then what was ranked. */
static void fold_norms(const sae_trainer *t, sae_dict *dict)
{
    const sae_dict_config *c = sae_dict_get_config(dict);
    sae_weights w = sae_dict_weights(dict);
    int64_t d_out = c->d_out > 0 ? c->d_out : c->d_in;

    for (int64_t j = 0; j < c->d_sae; j++) {
        double norm = sqrt(t->ops->sum_squares(w.W_dec + j * d_out, d_out));
        if (norm == 0.0) continue;
        for (int64_t i = 0; i < c->d_in; i++)
            w.W_enc[j * c->d_in + i] = (float)((double)w.W_enc[j * c->d_in + i] * norm);
        for (int64_t i = 0; i < d_out; i++) w.W_dec[j * d_out + i] = (float)((double)w.W_dec[j * d_out + i] / norm);
        w.b_enc[j] = (float)((double)w.b_enc[j] * norm);
    }
}

/* Where the threshold's average never began, the last step's smallest kept activation stands in: what that step encoded by. The
 * checkpoint has it, so a resumed run exports the same.
 *
 * With x = scale x', a dictionary of x' becomes one of x when b_enc, b_dec and the threshold are multiplied by the scale: its
 * codes then carry the rows' units. W_down and W_up are linear and stay; b_down takes the scale of the rows. A transcoder's codes
 * carry the targets' units, so that its decoder rows keep their norm: what reads its rows (W_enc, W_skip, and W_up behind W_down) takes
 * the ratio of the scales. */
sae_status sae_trainer_export(const sae_trainer *t, int i, sae_dict **out, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_dict *dict = NULL;

    if (i < 0 || i >= t->n_dicts) SAE_RAISE(err, SAE_RANGE, "there is no dictionary %d in this trainer", i);
    const learner *l = &t->learners[i];
    bool one_threshold = l->family->one_threshold;
    double threshold = l->threshold >= 0.0 ? l->threshold : (double)l->cutoff;
    if (one_threshold && threshold < 0.0)
        SAE_RAISE(err, SAE_STATE, "the dictionary has no threshold yet: none of its %lld steps chose latents",
                  (long long)t->step);
    if (l->input_scale <= 0.0 || l->target_scale <= 0.0)
        SAE_RAISE(err, SAE_STATE, "the dictionary has seen no rows yet: its scale is not known");
    sae_dict_config config = l->config;
    if (config.k > config.d_sae) config.k = 0; /* a penalty may aim at any L0; this one says nothing */
    config.last_step_threshold = one_threshold && l->threshold < 0.0;
    SAE_TRY(sae_dict_create(&dict, &config, err));
    sae_weights w = sae_dict_weights(dict);
    float *to[N_PARAMS] = {w.W_enc,     w.b_enc, w.W_dec, w.b_dec,  w.W_down, w.W_up,
                           w.threshold, w.b_mag, w.r_mag, w.W_skip, w.b_down};
    float scale = (float)l->target_scale, ratio = (float)(l->target_scale / l->input_scale);
    for (int p = 0; p < N_PARAMS; p++) {
        int64_t n = l->p[p].rows * l->p[p].columns;
        if (n > 0 && is_averaged(t, l, p) && !t->finished)
            averaged_weights(&t->options, &l->p[p], to[p]);
        else if (n > 0)
            memcpy(to[p], l->p[p].w, (size_t)n * sizeof(float));
        if (p == P_W_UP && l->config.scaffold_tie == SAE_TIE_ORTHONORMAL &&
            t->options.optimiser_rule == SAE_OPTIMISER_SIGNUM)
            orthonormal_rows(to[p], l->p[p].rows, l->p[p].columns); /* an average of such is none */
        if (p == P_B_ENC || p == P_B_DEC || p == P_THRESHOLD || p == P_B_MAG)
            for (int64_t k = 0; k < n; k++) to[p][k] *= scale;
        for (int64_t k = 0; p == P_B_DOWN && k < n; k++) to[p][k] *= (float)l->input_scale;
        if (l->config.d_out > 0 && (p == P_W_ENC || p == P_W_UP || p == P_W_SKIP))
            for (int64_t k = 0; k < n; k++) to[p][k] *= ratio;
    }
    if (t->options.optimiser_rule == SAE_OPTIMISER_SIGNUM && t->options.decoder_rule != SAE_DECODER_FREE)
        for (int64_t j = 0; j < l->config.d_sae; j++) unit_rows(t->ops, w.W_dec, j, l->d_out, 0.0);
    if (t->options.selection_rule == SAE_SELECT_TIMES_NORM && !l->family->rule) fold_norms(t, dict);
    if (one_threshold)
        for (int64_t j = 0; j < l->config.d_sae; j++) w.threshold[j] = (float)(threshold * l->target_scale);
    *out = dict;
    dict = NULL;
done:
    if (status != SAE_OK && i >= 0 && i < t->n_dicts) dict_name_error(&t->learners[i].config, i, t->n_dicts, err);
    sae_dict_free(dict);
    return status;
}
