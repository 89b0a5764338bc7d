/*
 * training_log.h - what a run says of itself while it goes on, in files that can be watched:
 *   log.jsonl   a line per logged step and dictionary. A resumed run cuts it back to its checkpoint and ends on the same bytes
 *               as one that was never stopped.
 *   time.jsonl  a line per logged step: seconds of training so far (of all sessions together) and rows per second since the
 *               line before. The clock's, so never the same twice: in a file of its own.
 */
#ifndef SAE_EVAL_TRAINING_LOG_H
#define SAE_EVAL_TRAINING_LOG_H

#include "base/base.h"

typedef struct training_log training_log;

/* In the run's folder; with `resume` lines of steps from `step` on are cut off, else both begin anew. */
sae_status training_log_open(training_log **out, const char *folder, bool resume, int64_t step, sae_error *err);
/* A run that goes on from a later step has no line of step 0: somebody removed log.jsonl, or its beginning. */
bool training_log_lacks_the_start(const training_log *log);
/* The number, from 1, of a line before `step` that was none, by which log.jsonl was cut, with what followed; 0: there was none. */
int64_t training_log_cut_at(const training_log *log);
/* stats [n] of one step, after which `rows` rows were trained on; names [n] of the dictionaries, or NULL for one without. */
sae_status training_log_put(training_log *log, int64_t rows, const sae_step_stats *stats, int n,
                            const char *const *names, sae_error *err);
sae_status training_log_sync(training_log *log, sae_error *err); /* both survive a power failure */
void training_log_close(training_log *log);

#endif
