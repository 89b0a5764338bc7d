/*
 * loss_log.h - losses that were measured before, found again by what the model was run on.
 *
 * Many edits of a run come to the same rows: the clean model, principal components removed, a dictionary's reconstruction. The key
 * of a loss is a hash of the rows that the model goes on with, of its tokens and of which positions count, so an edit needs no
 * name: what has the same bytes has the same loss. A run that was stopped finds all that it had measured.
 */
#ifndef SAE_EVAL_LOSS_LOG_H
#define SAE_EVAL_LOSS_LOG_H

#include "base/base.h"

typedef struct loss_log loss_log;
typedef struct loss_key {
    uint64_t low, high;
} loss_key;

/* The log at `path`, made when it is not there; of a damaged one all whole lines that can be read. `of` says what else losses depend
 * on: the model, the program. STATE: another process has it open. Caller closes with loss_log_close. */
sae_status loss_log_open(loss_log **out, const char *path, const char *of, sae_error *err);
void loss_log_close(loss_log *log);

/* The key of n rows [n, d] with their token ids [n] and marks [n] (two arrays). */
loss_key loss_log_key(const loss_log *log, const float *rows, int64_t n, int64_t d, const int32_t *ids,
                      const uint8_t *mask, const uint8_t *counted);
/* Sums of losses of n_seq sequences, nats: NULL when they were not measured. Borrowed until the next loss_log_add. */
const double *loss_log_find(const loss_log *log, loss_key key, int64_t n_seq);
sae_status loss_log_add(loss_log *log, loss_key key, const double *nll, int64_t n_seq, sae_error *err);

#endif
