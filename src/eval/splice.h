/*
 * splice.h - the model's loss when the rows of a site are replaced by something else.
 *
 * The rows of the site are computed once; each edit starts the pass there, so the layers below are never run again. All
 * edits see the same tokens. Rows that are not counted stay as they were, unless an edit is of more rows; what is scored is the same.
 */
#ifndef SAE_EVAL_SPLICE_H
#define SAE_EVAL_SPLICE_H

#include "eval/bootstrap.h"
#include "eval/sample.h"
#include "eval/subspace.h"

/* Fills out [n, d] with what shall stand in place of the rows [n, d] that are changed. */
typedef sae_status (*edit_fn)(const void *user, const float *rows, int64_t n, int64_t d, float *out, sae_error *err);

/* Which rows an edit changes. */
typedef enum edit_rows {
    EDIT_COUNTED,         /* those that count */
    EDIT_WITH_POSITION_0, /* and those of the token that begins each sequence */
    EDIT_EVERY_ROW,
} edit_rows;
bool edit_changes(edit_rows which, const sample *s, int64_t at); /* at: place in [n_seq, ctx] */

typedef struct edit {
    edit_fn fn; /* NULL: the clean model */
    const void *user;
    edit_rows rows;
} edit;

typedef struct loss_table {
    int n_edits;
    int64_t n_seq, n_scored;
    double *nll;   /* [n_edits, n_seq] sums over the scored positions, nats */
    double *count; /* [n_seq] scored positions */
} loss_table;

/* Losses of the first n_seq sequences of the sample under each edit. Caller frees with loss_table_free. */
sae_status splice_measure(loss_table *out, sample *s, int64_t n_seq, const edit *edits, int n_edits,
                          const sae_progress *progress, sae_error *err);
void loss_table_free(loss_table *t);
/* How many sequences hold at least `tokens` scored positions (all of them when there are fewer). */
int64_t splice_sequences(const sample *s, int64_t tokens);

/* Appends the mean of n edits, `first` and those after it, as an edit of its own. */
sae_status loss_add_mean(loss_table *t, int first, int n, sae_error *err);
double loss_mean(const loss_table *t, int which); /* nats per scored token */
/* CE of edit `which` over CE of edit `clean`, and their difference in nats. */
sae_status loss_ratio(interval *out, const loss_table *t, int which, int clean, uint64_t seed, sae_error *err);
sae_status loss_difference(interval *out, const loss_table *t, int which, int clean, uint64_t seed, sae_error *err);
/* In nats: (a - b) - (c - d) of four edits, how far one difference is from another on the same text. */
sae_status loss_contrast(interval *out, const loss_table *t, const int which[4], uint64_t seed, sae_error *err);
/* In nats: the sum of n edits, each times its weight. */
sae_status loss_weighted(interval *out, const loss_table *t, const int *which, const double *weights, int n,
                         uint64_t seed, sae_error *err);

/* Edits that differ in what chance chose: first, first + step, .. */
typedef struct loss_draws {
    int first, step, n;
} loss_draws;
/* CE of edit `which` over the mean CE of the draws, as interval_beside_draws has it: on other text, and beside other draws. */
sae_status loss_ratio_beside(interval *out, const loss_table *t, int which, loss_draws draws, uint64_t seed,
                             sae_error *err);
sae_status loss_difference_beside(interval *out, const loss_table *t, int which, loss_draws draws, uint64_t seed,
                                  sae_error *err); /* nats */
/* Mean CE of the draws over that of edit `clean`; the draws are taken as they are. */
sae_status loss_ratio_of_draws(interval *out, const loss_table *t, loss_draws draws, int clean, uint64_t seed,
                               sae_error *err);

/* ---- Edits (edits.c) --------------------------------------------------------------------------------------------------- */

/* user: NULL. Every counted row becomes 0. */
sae_status edit_zero(const void *user, const float *rows, int64_t n, int64_t d, float *out, sae_error *err);
/* user: const double mean[d]. */
sae_status edit_mean(const void *user, const float *rows, int64_t n, int64_t d, float *out, sae_error *err);

/* user: edit_space. x - (x - mean) P: docs/method.md 7 R2 (mean NULL) and R3. */
typedef struct edit_space {
    const subspace *space;
    const double *mean;
} edit_space;
sae_status edit_remove(const void *user, const float *rows, int64_t n, int64_t d, float *out, sae_error *err);

/* user: edit_space, whose mean is not read. x - x P, rescaled to |x|: R6. A row inside the subspace, of which less than 1e-6 is
 * left, becomes 0. */
sae_status edit_remove_keep_norm(const void *user, const float *rows, int64_t n, int64_t d, float *out, sae_error *err);

/* user: edit_resampling. x - x P + x' P with another of the n rows as x', each once: R5. A single row stays as it is. */
typedef struct edit_resampling {
    const subspace *space;
    uint64_t seed;
} edit_resampling;
sae_status edit_resample(const void *user, const float *rows, int64_t n, int64_t d, float *out, sae_error *err);

/* user: const sae_dict. x - s, s = (x - b_dec) W_down W_up or as its centre says: R1. */
sae_status edit_map(const void *user, const float *rows, int64_t n, int64_t d, float *out, sae_error *err);

/* user: edit_recon. The dictionary's reconstruction; without the scaffold it is R4. */
typedef struct edit_recon {
    const sae_dict *dict;
    bool scaffold;
} edit_recon;
sae_status edit_reconstruct(const void *user, const float *rows, int64_t n, int64_t d, float *out, sae_error *err);

#endif
