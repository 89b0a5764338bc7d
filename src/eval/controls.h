/*
 * controls.h - sets of as many latents as a set A has, drawn from all of them, those of A too (controls.c says why).
 */
#ifndef SAE_EVAL_CONTROLS_H
#define SAE_EVAL_CONTROLS_H

#include "base/base.h"

/* Of A, the share that its controls may hold: were more of them A's own, A would be compared with itself, and a difference be made four times
 * smaller or more. */
#define CONTROL_MOST_SHARED 0.75

/* taken [d_sae]: A; control [d_sae] becomes the set that is drawn. */
sae_status control_random(const uint8_t *taken, int64_t d_sae, rng *random, uint8_t *control, sae_error *err);
/* counts [d_sae]: how often each fires, on tokens or documents. All latents, densest first, are cut into stretches of up to 8 that fire at least four fifths as often as the first of them; of each as
 * many are drawn as A has there. Dense latents that have no like stand for themselves. */
sae_status control_matched(const uint8_t *taken, const int64_t *counts, int64_t d_sae, rng *random, uint8_t *control,
                           sae_error *err);

#endif
