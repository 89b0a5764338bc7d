/*
 * training_record.h - how a dictionary was trained, by the record that stands beside its folder.
 */
#ifndef SAE_CLI_TRAINING_RECORD_H
#define SAE_CLI_TRAINING_RECORD_H

#include "cli/cli.h"

typedef struct training_record {
    sae_train_options recipe;
    uint64_t seed, order; /* of the initial weights; of the order of the rows */
} training_record;

/* From `path`, NULL: DICT.json, which `sae scaffold` writes, or run.json in the folder above DICT, which `sae train` writes for one
 * dictionary. STATE: there is none, or it is of several; FORMAT: it lacks something. */
sae_status training_record_read(training_record *out, const sae_dict *dict, const char *dict_path, const char *path,
                                sae_error *err);

#endif
