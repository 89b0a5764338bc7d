/*
 * penalised.h - the families whose number of active latents is not fixed but follows from a penalty: standard, jumprelu, gated.
 *
 * A family is a rule for the activations of one latent, which stand together in both ways that a step can go: as the list of a
 * latent's pairs (penalised.c) or, above a break-even density, as a row of a tile [latents, rows] (dense.c). So the two ways
 * cannot drift apart. a is the pre-activation W_enc[j] . u + b_enc[j] (gated: of the gate), f the code.
 */
#ifndef SAE_PENALISED_H
#define SAE_PENALISED_H

#include "sae/train.h"

struct penalty_rule {
    bool gated; /* the gate's codes relu(a) rebuild the rows too: gate_grad, gate_slope */
    /* Before anything else in a step. NULL: nothing to do. */
    sae_status (*begin)(sae_trainer *t, learner *l, encoder *e, sae_error *err);
    /* A pre-activation that is not above limit[j] has neither code nor gradient; limit [F]. */
    void (*limits)(const sae_trainer *t, learner *l, float *limit);
    /* f[n] from a[n], which may be the same memory. */
    latent_codes (*codes)(const sae_trainer *t, const learner *l, int64_t j, int64_t n, const float *a, float *f);
    /* The loss's penalty from the sums over all latents (s->codes_of); keeps in *s what the slopes need. */
    double (*penalty)(sae_trainer *t, learner *l, const step_sums *sums);
    /* slope[n] comes as dL/df and leaves as dL/d(W_enc[j] . u); gate_slope[n] is W_dec[j] . gate_grad. Sets the gradients of
     * b_enc and of the latent's own parameters. */
    latent_pull (*slopes)(sae_trainer *t, learner *l, int64_t j, int64_t n, const float *a, const float *f,
                          const float *gate_slope, float *slope);
    /* When all gradients are there, before the update. NULL: nothing to do. */
    void (*end)(sae_trainer *t, learner *l);
};

extern const penalty_rule standard_rule, jumprelu_rule, gated_rule;

/* What the mean over rows of |x^ - x|^2 counts in the loss, once finish_errors is done: 1, or over the rows' variance. */
double loss_weight(const sae_trainer *t);
/* W_dec[j]'s norm where the penalty counts codes in its units, else 1. */
double penalty_norm(const sae_trainer *t, const learner *l, int64_t j);

/* dense.c: grad (and gate_grad) rows begin as s - c and get every code's part; counts codes ... */
void dense_forward(sae_trainer *t, learner *l);
/* ... and every latent's gradients. */
void dense_backward(sae_trainer *t, learner *l);

#endif
