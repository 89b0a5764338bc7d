/*
 * acts.h - inside a stream of rows.
 *
 *   acts.c          the public calls: options checked, then handed to one of the kinds below
 *   permutation.c   an order of n things without a list of them
 *   table.c         rows that lie in mapped files, in any order: what a store and an array have in common
 *   array.c         someone's own array as a table
 *   store_read.c    a store as a table; store_write.c makes one; store.h: the layout
 *   ahead.c         any of these, read by a thread of its own
 *   live.c          rows as a model computes them, through a shuffle buffer
 */
#ifndef SAE_ACTS_ACTS_H
#define SAE_ACTS_ACTS_H

#include "base/base.h"

/* What a kind of stream can do. `self` is its own state. */
typedef struct acts_kind {
    sae_status (*next)(void *self, int64_t n, float *rows, int32_t *tokens, int32_t *positions, int64_t *n_got,
                       sae_error *err);
    sae_status (*seek)(void *self, int64_t row, sae_error *err);
    sae_acts_info (*info)(const void *self);
    void (*free)(void *self);
    /* Both may be NULL. mark adds to an object what takes a stream like this one to where it is now more cheaply than seek
     * does, if there is such a thing; recall goes there by it. */
    void (*mark)(const void *self, json_t **mark);
    sae_status (*recall)(void *self, int64_t row, const json_t *mark, const char *name, sae_error *err);
    /* acts_given_again; NULL where nobody knows it. What it reads never changes. */
    sae_status (*again)(const void *self, int64_t before, int64_t n, int64_t *again, sae_error *err);
} acts_kind;

/* Wraps `self`, which is freed with the stream, and on failure too. */
sae_status acts_wrap(sae_acts **out, const acts_kind *kind, void *self, sae_error *err);
/* The same with a thread that reads options->read_ahead rows at a time ahead (ahead.c). `next` must then neither allocate nor start a
 * parallel region, `info` read only what never changes, and `again` be there. */
sae_status ahead_wrap(sae_acts **out, const acts_kind *kind, void *self, const sae_acts_options *options,
                      sae_error *err);
/* STATE: rows were asked of a stream that was opened for its plan only. */
sae_status acts_is_plan(sae_error *err);
/* The place of a stream as an object to be stored (NULL: no memory), and the way back to it in a stream that was opened alike: what
 * follows are the same bytes. `name` is the file that the object comes from. STATE: the text is another one. What fails leaves a stream
 * that gave no row yet at its beginning. */
json_t *acts_mark(const sae_acts *acts);
sae_status acts_recall(sae_acts *acts, const json_t *mark, const char *name, sae_error *err);
/* Of the n rows of the stream that follow its first `before`, those that are among these, too: where it repeats. -1: not known, of a
 * live stream. */
sae_status acts_given_again(const sae_acts *acts, int64_t before, int64_t n, int64_t *again, sae_error *err);
/* The options with defaults filled in; NULL gives all defaults. */
sae_status acts_options_fill(sae_acts_options *out, const sae_acts_options *given, sae_error *err);

/* ---- permutation.c ------------------------------------------------------------------------------------------------------ */

enum { PERMUTATION_ROUNDS = 6 };
typedef struct permutation {
    uint64_t n, mask;
    int bits; /* of each half; mask has as many */
    uint64_t keys[PERMUTATION_ROUNDS];
} permutation;
permutation permutation_make(int64_t n, uint64_t seed, uint64_t epoch);
/* A bijection of [0, n) to itself. */
int64_t permutation_at(const permutation *p, int64_t i);

#endif
