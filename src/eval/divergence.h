/*
 * divergence.h - why numbers of a training run are not finite, or cannot become anything: a row, the scale of all rows, what the run
 * begins with, or the training; and what of it may help.
 */
#ifndef EVAL_DIVERGENCE_H
#define EVAL_DIVERGENCE_H

#include "sae/train.h"

/* Of rows [n, d]: the one with the largest entry, when that is over a million times the mean absolute entry of the median row (of those
 * that are not 0; of two the smaller); -1: none is. No learning rate makes up for such a row; without it the same rate may do. */
int64_t absurd_row(const float *rows, int64_t n, int64_t d, double *largest, double *usual);

/* NUMERIC when the squares of all n entries, divided by a scale that the user chose, are too small for float32: losses, norms and FVU of
 * such rows mean nothing. Entries that are all 0 stay what they are by any scale. */
sae_status check_scaled(const float *entries, int64_t n, double scale, sae_error *err);

/* What may help when numbers of a dictionary are not finite in this step, after so many updates; largest: entry of the rows, 0 when not
 * known. Returns out. */
enum { ADVICE_ROOM = 500 };
const char *divergence_advice(const sae_trainer *t, int dict, int64_t step, int64_t updates, double largest,
                              char out[ADVICE_ROOM]);

#endif
