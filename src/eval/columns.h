/*
 * columns.h - what a sparse probe may choose from: latents, latents and the scaffold's codes, neurons, principal components.
 */
#ifndef SAE_EVAL_COLUMNS_H
#define SAE_EVAL_COLUMNS_H

#include "eval/pooled.h"
#include "eval/subspace.h"

typedef enum columns_kind {
    COLUMNS_LATENTS,
    COLUMNS_WITH_SCAFFOLD, /* the latents, then relu(h) and relu(-h) of each of the scaffold's codes */
    COLUMNS_NEURONS,       /* the site's own coordinates */
    COLUMNS_COMPONENTS,    /* coordinates along principal components */
} columns_kind;

typedef struct columns {
    columns_kind kind;
    const pooled *p;      /* borrowed */
    int dict;             /* of latents */
    bool scaled;          /* the best are chosen by the difference over the pooled standard deviation */
    const float *rotated; /* [p->n, d] of components, borrowed: see columns_rotate */
} columns;

int64_t columns_width(const columns *c);
/* Means over n documents: mean [width]; active [width] in how many each is not 0. */
void columns_means(const columns *c, const int64_t *docs, int64_t n, double *mean, int64_t *active);
/* Columns `which` [k]: out [n, k]. */
void columns_take(const columns *c, const int64_t *docs, int64_t n, const int64_t *which, int64_t k, float *out);

/* All pooled rows in the basis of the principal components of n documents: *out [p->n, d], first component first, the
 * mean over those documents taken off. Caller frees with mem_free. */
sae_status columns_rotate(const pooled *p, const int64_t *docs, int64_t n, float **out, sae_error *err);

/* The k columns that differ most between the rows with y = 1 and those with 0, by |difference of means|, of `scaled` columns over the root of
 * the mean of their two variances; ties: the smaller number. The one that differs most first. RANGE: there are fewer than k. */
sae_status columns_best(const columns *c, const int64_t *docs, const int32_t *y, int64_t n, int64_t k, int64_t *which,
                        sae_error *err);
/* k columns at random among those that are not 0 in all of the documents, in ascending order; all of them when there are fewer:
 * *got tells. */
sae_status columns_random(const columns *c, const int64_t *docs, int64_t n, int64_t k, rng *random, int64_t *which,
                          int64_t *got, sae_error *err);

#endif
