/*
 * recipe_fields.h - the constants of a recipe, one row each: what sae_train_options calls it, the option that sets it, and
 * what --help says. Options, run.json and whatever else must not forget a constant are made from these rows.
 *
 * Not here, because they are no plain number: batch, steps, seed, encoder_dtype, and input_scale with unit_scale.
 */
#ifndef SAE_RECIPE_FIELDS_H
#define SAE_RECIPE_FIELDS_H

#include "base/base.h"

/* X(field, type, option, argument, help); type: COUNT is int64_t, REAL is double, CHOICE an enum whose values' names, in order, are
 * the argument: "first|second". */
/* clang-format off */
#define RECIPE_FIELDS(X)                                                                                                                       \
    X(lr, REAL, "lr", "X", "learning rate")                                                                                                    \
    X(warmup_steps, COUNT, "warmup-steps", "N", "steps of linear warm-up")                                                                     \
    X(warmup_rule, CHOICE, "warmup-from", "zero|one", "learning rate in the first step of the warm-up: 0, or one part of it")                  \
    X(sparsity_warmup_steps, COUNT, "sparsity-warmup-steps", "N", "steps in which a sparsity penalty grows from 0 to its weight")              \
    X(decay_start, COUNT, "decay-start", "N", "step from which the learning rate falls linearly to 0")                                         \
    X(selection_rule, CHOICE, "select-by", "activation|norm", "what is kept: the largest activations, or those times the norm of W_dec's row") \
    X(k_anneal_steps, COUNT, "k-anneal-steps", "N", "steps over which k falls to --k; 0: none")                                                \
    X(k_anneal_start, COUNT, "k-anneal-start", "N", "k from which it falls; 0: d_in, or 10 d_in")                                                          \
    X(k_anneal_rule, CHOICE, "k-anneal-rule", "next|now", "a step sets the next one's k, rounded down, from d_in; or its own, rounded, from 10 d_in") \
    X(threshold_beta, REAL, "threshold-beta", "X", "decay of the average that becomes the threshold")                                          \
    X(threshold_start_step, COUNT, "threshold-start-step", "N", "the threshold is averaged in steps after this one")                           \
    X(threshold_rule, CHOICE, "threshold-from", "first|zero", "the average starts with its first value, or from 0 in step 0")                  \
    X(dead_tokens, COUNT, "dead-tokens", "N", "rows without firing after which a latent is dead")                                              \
    X(dead_rule, CHOICE, "dead-counted", "after|before|firing", "whether the batch at hand counts in --dead-tokens; firing: that of the firing too") \
    X(auxk_alpha, REAL, "auxk-alpha", "X", "weight of AuxK; 0 switches it off")                                                                \
    X(auxk_k, COUNT, "auxk-k", "N", "dead latents that AuxK uses per row; 0: d_in / 2")                                                        \
    X(auxk_rule, CHOICE, "auxk-rule", "residual|plain|variance|bias", "AuxK over the variance of the residual, plain, over that of the rows; or the first, for b_dec too") \
    X(b_dec_start, CHOICE, "b-dec", "median|mean|zero", "b_dec at the start, of the first batch (openai's own is of 32,768 rows: give such a --batch)")                                              \
    X(decoder_norm, REAL, "decoder-norm", "X", "norm of the initial rows of W_dec and W_enc")                                                  \
    X(encoder_norm, REAL, "encoder-norm", "X", "norm of the initial rows of W_enc; 0: as W_dec's; -1: what rebuilds random directions at their length; -2: uniform entries in +-1/sqrt(d_in), W_dec along them or, of a transcoder, 0") \
    X(decoder_rule, CHOICE, "decoder-rows", "unit|constrained|free|before", "rows of W_dec held at norm 1 (with or without an eps), free, or at 1 before each update") \
    X(level_rule, CHOICE, "levels", "mean|sum", "Matryoshka: the loss is the mean of the levels (over their number again), or their sum")      \
    X(l1_rule, CHOICE, "l1", "codes|norms", "standard, gated: the penalty sums codes, or codes times the norms of their rows of W_dec")        \
    X(l0_rule, CHOICE, "l0", "controlled|quadratic|linear", "jumprelu: penalty that is moved until L0 is k, c (L0 / k - 1)^2, or c L0")        \
    X(l0_rate, REAL, "l0-rate", "X", "jumprelu: how fast the penalty is moved")                                                                \
    X(bandwidth, REAL, "bandwidth", "X", "jumprelu: width of the straight-through estimator's window")                                         \
    X(first_threshold, REAL, "first-threshold", "X", "jumprelu: thresholds at the start; 0: where the first batch's L0 is k")                  \
    X(gate_rule, CHOICE, "gate-trains", "gate|decoder", "gated: what the gate's own reconstruction trains")                                    \
    X(loss_rule, CHOICE, "loss", "sum|fvu|first", "mean over rows of |e|^2; over their variance; over that of the first batch (as --b-dec)")                \
    X(resample_every, COUNT, "resample-every", "N", "steps after which dead latents begin anew at badly reconstructed rows; 0: never")         \
    X(optimiser_rule, CHOICE, "optimiser", "adam|signum", "Adam, or schedule-free sign-SGD with --adam-beta1 as its momentum")                 \
    X(adam_beta1, REAL, "adam-beta1", "X", "decay of Adam's first moment")                                                                     \
    X(adam_beta2, REAL, "adam-beta2", "X", "decay of Adam's second moment")                                                                    \
    X(adam_eps, REAL, "adam-eps", "X", "what Adam adds to the root of its second moment")                                                      \
    X(grad_clip, REAL, "grad-clip", "X", "largest norm of a step's gradient; 0: no clipping")
/* clang-format on */

/* The weight of a penalty where the user gives none (dictionary_learning's and SAELens's defaults); of families without one 0. */
double recipe_l1_coefficient(sae_recipe_name name, sae_arch arch);
/* Whether whose recipe it is trains such dictionaries: openai and sparsify have topk alone. */
bool recipe_knows_family(sae_recipe_name name, sae_arch arch);
/* Rows of a step where the user gives none: those of the published dictionaries or of the library's own default. */
int64_t recipe_batch(sae_recipe_name name);
/* The value of a CHOICE by its name: its place in "first|second"; -1: there is none such. */
int recipe_choice_find(const char *names, const char *name);
/* The first constant in which the record of a recipe differs from ours, or that one of the two lacks; NULL: none. A record that is older than
 * a constant lacks it and was trained by what there was until then (recipe.c), which is no difference. */
const char *recipe_difference(const json_t *ours, const json_t *theirs);
/* For a message that names what two recipes or dictionaries differ in: the option behind the key, and that a recipe may have had another
 * constant in another version, or how a record calls the option's values; "": there is nothing to say. */
const char *recipe_difference_hint(const char *key);
/* Puts every field into an object: numbers, and choices by name (recipe.c). */
void recipe_fields_put(json_t **object, const sae_train_options *options);
/* Takes every field from such an object; FORMAT, naming `file`, where one is missing or is none. */
sae_status recipe_fields_take(sae_train_options *options, const json_t *object, const char *file, sae_error *err);

#endif
