/*
 * recipe_fields.h - the constants of a recipe, one row each: what sae_train_options calls it, the option that sets it, and
 * what --help says. Options, run.json and whatever else must not forget a constant are made from these rows.
 *
 * Not here, because they are no plain number: batch, steps, seed, encoder_dtype, and input_scale with unit_scale.
 */
#ifndef SAE_RECIPE_FIELDS_H
#define SAE_RECIPE_FIELDS_H

/* X(field, type, option, argument, help); type: COUNT is int64_t, REAL is double. */
/* clang-format off */
#define RECIPE_FIELDS(X)                                                                                                                 \
    X(lr, REAL, "lr", "X", "learning rate")                                                                                              \
    X(warmup_steps, COUNT, "warmup-steps", "N", "steps of linear warm-up from 0")                                                        \
    X(decay_start, COUNT, "decay-start", "N", "step from which the learning rate falls linearly to 0")                                   \
    X(threshold_beta, REAL, "threshold-beta", "X", "decay of the average that becomes the threshold")                                    \
    X(threshold_start_step, COUNT, "threshold-start-step", "N", "the threshold is averaged in steps after this one")                     \
    X(dead_tokens, COUNT, "dead-tokens", "N", "rows without firing after which a latent is dead")                                        \
    X(auxk_alpha, REAL, "auxk-alpha", "X", "weight of AuxK; 0 switches it off")                                                          \
    X(auxk_k, COUNT, "auxk-k", "N", "dead latents that AuxK uses per row; 0: d_in / 2")                                                  \
    X(adam_beta1, REAL, "adam-beta1", "X", "decay of Adam's first moment")                                                               \
    X(adam_beta2, REAL, "adam-beta2", "X", "decay of Adam's second moment")                                                              \
    X(adam_eps, REAL, "adam-eps", "X", "what Adam adds to the root of its second moment")                                                \
    X(grad_clip, REAL, "grad-clip", "X", "largest norm of a step's gradient; 0: no clipping")
/* clang-format on */

#endif
