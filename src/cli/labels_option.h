/*
 * labels_option.h - `--labels categories,ten-subjects,subjects`: the ways to label MMLU's questions that are measured.
 */
#ifndef SAE_CLI_LABELS_OPTION_H
#define SAE_CLI_LABELS_OPTION_H

#include "cli/cli.h"
#include "lab/topics_sets.h"

/* In the order given, each once; labels has room for all. */
sae_status labels_option_read(args *a, topics_labels labels[TOPICS_LABELS], int *n, sae_error *err);

#endif
