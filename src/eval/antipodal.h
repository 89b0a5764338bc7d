/*
 * antipodal.h - is a latent one half of a signed direction? Two latents that read and write opposite directions stand for one
 * direction with a sign, which a scaffold would hold in one code.
 */
#ifndef SAE_EVAL_ANTIPODAL_H
#define SAE_EVAL_ANTIPODAL_H

#include "base/base.h"

typedef struct antipode {
    double score;    /* max over j of cos(enc_i, enc_j) cos(dec_i, dec_j), of those j where both are negative; else 0 */
    int64_t partner; /* that j; -1: none */
} antipode;

/* Of n latents against all others of the dictionary ("Dense SAE Latents Are Features, Not Bugs", arXiv 2506.15679, but for
 * the signs: without them a duplicate, both cosines +1, would score as well). out [n]. */
sae_status antipodal_scores(const sae_dict *dict, const int64_t *latents, int64_t n, antipode *out, sae_error *err);

#endif
