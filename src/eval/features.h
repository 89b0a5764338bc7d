/*
 * features.h - what a latent, or a direction of the scaffold, does: where it is strongest in held-out text, how its
 * strengths are spread, which tokens it promotes.
 */
#ifndef SAE_EVAL_FEATURES_H
#define SAE_EVAL_FEATURES_H

#include "eval/codes.h"
#include "eval/sample.h"

enum { CONTEXT_RADIUS = 12, CONTEXT_TOKENS = 2 * CONTEXT_RADIUS + 1, CONTEXTS_MAX = 16, FEATURE_BINS = 32 };
/* Strengths are counted in bins of half a power of two, the first from 2^-8. */
extern const double feature_bin_low;

/* What is watched: a latent (read NULL), or the side of a direction: strength = max(0, scale <x, read> - offset). */
typedef struct feature_target {
    int64_t latent;
    const double *read; /* [d], borrowed */
    double scale, offset;
} feature_target;

typedef struct feature_context {
    float peak;
    int64_t seq, t; /* where the peak stands in the sample */
    int64_t n, at;  /* tokens shown, which of them is the peak */
    int32_t ids[CONTEXT_TOKENS];
    float strength[CONTEXT_TOKENS];
} feature_context;

typedef struct feature {
    int64_t n_rows, n_active;
    double sum, max;
    int64_t histogram[FEATURE_BINS];
    int n_contexts;
    feature_context contexts[CONTEXTS_MAX]; /* strongest first, each from another sequence */
} feature;

/* Watches n targets over the counted rows of the sample. `dict` may be NULL when no target is a latent. features [n] is
 * the caller's; n_contexts <= CONTEXTS_MAX. Memory does not depend on the length of the text. */
sae_status features_scan(feature *features, sample *s, const sae_dict *dict, const feature_target *targets, int n,
                         int n_contexts, const sae_progress *progress, sae_error *err);

/* RANGE when a latent does not exist or is asked for twice: before the work, not after it. */
sae_status features_check(const sae_dict *dict, const feature_target *targets, int n, sae_error *err);

/* ---- Cards (cards.c) ---------------------------------------------------------------------------------------------------- */

typedef struct card {
    const char *group, *id, *title, *facts;
    const float *direction; /* [d_model]: what is written to the residual stream; NULL: no tokens are listed */
} card;

/* A card of the result with the feature's contexts and the ten tokens whose logits the direction raises and lowers most
 * (the direction times the unembedding, with the final norm's gain: the logit lens). */
sae_status card_add(sae_result *result, const card *c, const feature *f, sae_model *model, const sae_tokenizer *tok,
                    sae_error *err);
/* "fires on 12.3 % of tokens, mean 4.1 and at most 22.0 where it does" */
void feature_facts(const feature *f, char *text, size_t size);
/* Histogram of strengths into a plot of the result. */
sae_status feature_histogram(sae_result *result, const char *label, const feature *f, sae_error *err);

#endif
