/*
 * subspace_removal.h - how much worse the model predicts when any one subspace is taken out of a site, by every operator of
 * docs/method.md 7 that needs no scaffold, beside the top principal components and random subspaces of the same rank.
 */
#ifndef SAE_LAB_SUBSPACE_REMOVAL_H
#define SAE_LAB_SUBSPACE_REMOVAL_H

#include "eval/splice.h"

/* What the operators take from rows: of all unmasked rows of a sample, or of the counted ones alone. */
typedef struct row_statistics {
    int64_t d, n, n_seq;
    int64_t n_over_norm;       /* of the n rows, how many are over the sample's norm limit */
    double *mean, *covariance; /* [d], [d, d] */
    double median_norm;
} row_statistics;
/* The sample must have been made without a median norm of another one. Caller frees with row_statistics_free. */
sae_status row_statistics_measure(row_statistics *out, sample *s, bool counted_only, sae_error *err);
void row_statistics_free(row_statistics *stats);

/* The edits in the order of the loss table; behind them R2 of each draw, R3 of each draw, and at the end the means of both. */
enum {
    REMOVAL_CLEAN,
    REMOVAL_ZERO,
    REMOVAL_MEAN,
    REMOVAL_R2,
    REMOVAL_R3,
    REMOVAL_R5,
    REMOVAL_R6,
    REMOVAL_PCA_R2,
    REMOVAL_PCA_R3,
    REMOVAL_PCA_R6,
    REMOVAL_RANDOM, /* R2 of the first random subspace */
    REMOVAL_DRAWS_MAX = 100
};

typedef struct subspace_removal_options {
    int draws;      /* 1 to REMOVAL_DRAWS_MAX */
    uint64_t seed;  /* equal ones give equal random subspaces, whatever the number of draws */
    edit_rows rows; /* that every edit changes; the scored predictions are the same */
} subspace_removal_options;

typedef struct subspace_removal {
    loss_table losses;
    int draws;
    edit_rows rows;
} subspace_removal;

/* Measures on the whole sample, whose norm limit is that of `stats`. Caller frees with subspace_removal_free. */
sae_status subspace_removal_measure(subspace_removal *out, sample *s, const row_statistics *stats,
                                    const subspace *space, const subspace_removal_options *options,
                                    const sae_progress *progress, sae_error *err);
void subspace_removal_free(subspace_removal *r);
/* Row of the loss table that holds the mean of the random draws: of R2, or of R3 (centred). */
int subspace_removal_random(const subspace_removal *r, bool centred);
/* How often the model was run on from the site for each sequence: once for each edit. */
int subspace_removal_passes(const subspace_removal *r);

/* The result "removal": a number "R2", "pca.R2", .. in nats per token for each operator, the table of them with intervals,
 * and what it was measured on. Caller frees *out with sae_result_free. */
sae_status subspace_removal_report(sae_result **out, const subspace_removal *r, const sample *s,
                                   const row_statistics *stats, const subspace *space, uint64_t seed, sae_error *err);

#endif
