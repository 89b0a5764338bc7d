/*
 * retrain.h - ablate and retrain, after "Dense SAE Latents Are Features, Not Bugs" (arXiv 2506.15679): a baseline trained anew on rows
 * without the span of its dense latents. If dense latents were what training makes of any rows, they would come back; if they were what
 * these directions hold, they would not. The control loses the span of as many latents that are not dense.
 */
#ifndef SAE_LAB_RETRAIN_H
#define SAE_LAB_RETRAIN_H

#include "eval/sample.h"
#include "eval/subspace.h"

typedef enum retrain_arm { RETRAIN_DENSE, RETRAIN_OTHERS } retrain_arm; /* whose span the rows have lost */

/* Trains like the baseline in everything but that rows lose their part in `less`; *out is the caller's. */
typedef sae_status (*retrain_train)(void *user, retrain_arm arm, const subspace *less, sae_dict **out, sae_error *err);

/* Counts the baseline's dense latents (over the threshold, 0.1) on the sample, has both arms trained, counts theirs: table, plot and numbers
 * "baseline.dense_0.1", "less_dense.dense_0.1", "less_others.dense_0.1"; no latent over the threshold: a note, and nothing is trained. `seed`: of
 * the draw of other latents. */
sae_status retrain_report(sae_result *r, sae_dict *baseline, sample *s, double threshold, uint64_t seed,
                          retrain_train train, void *user, const sae_progress *progress, sae_error *err);

#endif
