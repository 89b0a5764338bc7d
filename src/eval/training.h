/*
 * training.h - a run of a trainer: rows in, log and checkpoints out. Shared by `sae train` and the experiments.
 */
#ifndef SAE_EVAL_TRAINING_H
#define SAE_EVAL_TRAINING_H

#include "base/base.h"

/* Rows in a given order: those of step t are pool[index[t]]. */
typedef struct row_order {
    float *pool;    /* [n_rows, d], owned */
    int64_t *index; /* [n_steps, batch], owned, each in [0, n_rows) */
    int64_t n_rows, d, n_steps, batch;
    int64_t d_target; /* of d, the last columns are targets; 0: none are */
} row_order;
/* `array` and `order` are X.npy or X.safetensors[:name]: [n_rows, d] floats and [n_steps, batch] integers. The rows of `targets` (NULL:
 * none) stand beside those of the array, in one wider row. */
sae_status row_order_open(row_order *out, const char *array, const char *targets, const char *order, sae_error *err);
void row_order_close(row_order *o);

typedef struct training_options {
    const char *folder;       /* of the run: log.jsonl and checkpoints/ are written there */
    const char *const *names; /* [n_dicts] of the dictionaries, for the log; NULL: one without a name */
    int64_t log_every;        /* steps; 0: 200 lines a run */
    int64_t checkpoint_every; /* steps; 0: only at the end */
    int64_t keep_checkpoints; /* newest ones kept; 0: 1 */
    bool resume;              /* continue from the newest checkpoint that verifies; none yet: from the beginning */
    bool fewer;               /* which may hold dictionaries that are no longer trained */
    int *diverged;          /* NULL, or set to the dictionary whose training gave numbers that are not finite; -1: none,
                                 or an absurd row is to blame */
    const row_order *order; /* instead of a stream; NULL */
    int64_t d_target;       /* the last columns of a row are a transcoder's targets; 0: there are none */
    bool
        rows_follow; /* the caller reads on in the stream where training ends, also when a resumed run is complete already */
    /* NULL, or a place (acts_mark) of rows whose text these must be of: STATE, without a checkpoint, when training comes there and it is
     * another. Borrowed. */
    const json_t *known_place;
    /* Called after each step; may be NULL. stats [n_dicts]; `logged`: the step stands in log.jsonl. */
    void (*stepped)(void *user, int64_t rows, const sae_step_stats *stats, bool logged);
    void (*notice)(void *user, const char *text); /* what a resume has to tell; may be NULL */
    void *user;
    /* Not NULL: training sees rows without their part in this subspace, x - x P; of autoencoders only. */
    const struct subspace *less;
} training_options;

/* Steps until options.steps are done (t's own) on rows of width d_in + d_target. `acts` is borrowed, NULL with an order. On SAE_CANCELLED (the progress said
 * so), or when no more rows can be had, the checkpoint of the last whole step is written first. NUMERIC names the step, its rows
 * and the last good checkpoint. Needs a batch of rows beside the trainer. */
sae_status training_run(sae_trainer *t, const sae_train_options *recipe, int64_t d_in, sae_acts *acts,
                        const training_options *options, const sae_progress *progress, sae_error *err);

/* SAEBench's nested prefixes: 1/32, 1/16, 1/8, 1/4, the rest. Sets n_groups and groups for c->d_sae. */
void matryoshka_default_groups(sae_dict_config *c);
json_t *recipe_json(const sae_train_options *recipe);
/* The recipe that such an object tells, of rows of width d_in; `file` stands in messages. Where codes are exact they are found as this
 * processor does it best. */
sae_status recipe_read(sae_train_options *out, const json_t *json, int64_t d_in, const char *file, sae_error *err);

#endif
