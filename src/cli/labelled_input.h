/*
 * labelled_input.h - what the commands on labelled documents share: a model, dictionaries that read it, labelled sets, and mean rows and
 * codes of their documents.
 */
#ifndef SAE_CLI_LABELLED_INPUT_H
#define SAE_CLI_LABELLED_INPUT_H

#include "cli/dict_set.h"
#include "eval/pooled.h"

typedef struct labelled_input {
    sae_model *model;
    sae_tokenizer *tok;
    sae_site site;
    dict_set dicts;
    char **paths; /* [n_sets] of labelled documents */
    int n_sets;
    labelled_options labels;
    split_options split;
    pooled_options pooled;
    uint64_t seed;
    bool five_subjects; /* of MMLU those that a run takes */
} labelled_input;

/* The options that labelled_input_open reads; `train` and `test`: documents of a class. */
/* clang-format off */
#define LABELLED_INPUT_ROWS(train, test)                                                                                \
    OPTION_MODEL_ROW, {"site", OPTION_LIST, "SITE", "where rows are read (default: the dictionary's site)", NULL},      \
    {"data", OPTION_MANY, "PATH", "labelled documents: .jsonl or .csv, also .zst or .gz, or a folder of them; repeatable", NULL}, \
    {"text-name", OPTION_TEXT, "NAME", "column or member with the text (default: text, else prompt)", NULL},            \
    {"label-name", OPTION_TEXT, "NAME", "column or member with the label (default: label, else target)", NULL},         \
    {"more-name", OPTION_TEXT, "NAME", "JSON member whose text is added behind it: choices", NULL},                     \
    {"n-train", OPTION_COUNT, "N", "most training documents of a class", train},                                        \
    {"n-test", OPTION_COUNT, "N", "most test documents of a class", test},                                              \
    {"ctx", OPTION_COUNT, "N", "tokens of a document that are read", "128"}, OPTION_MAX_NORM_ROW,                       \
    OPTION_WITH_BOS_ROW,                                                                                                \
    {"last-token", OPTION_FLAG, NULL, "the last token's row instead of the mean over the document", NULL},              \
    {"seed", OPTION_COUNT, "N", "of the division into training and test, of draws and intervals", "0"}
#define FIVE_SUBJECTS_ROW                                                                                               \
    {"five-subjects", OPTION_FLAG, NULL, "of MMLU the five subjects that sae scaffold takes, other sets as they are", NULL}
/* clang-format on */

/* Opens everything but the sets, whose files must be there. The model and the site are the first dictionary's own unless given; with
 * no dictionary both must be. `data` is the default of --data, NULL for none. */
sae_status labelled_input_open(labelled_input *out, args *a, const char *const *dicts, int n_dicts, const char *data,
                               sae_error *err);
void labelled_input_close(labelled_input *in);
/* Keeps the sets that have exactly two classes; *passed_over tells how many were not kept. What cannot be read at all is an error. RANGE:
 * none is left. */
sae_status labelled_input_binary(labelled_input *in, int *passed_over, sae_error *err);

/* Reads --five-subjects, of a command that has its row. RANGE: none of the sets is MMLU. */
sae_status labelled_input_five(labelled_input *in, args *a, sae_error *err);

/* A set with its division and the means of its documents. */
typedef struct labelled_set {
    labelled docs;
    split split;
    pooled pooled;
} labelled_set;
sae_status labelled_set_open(labelled_set *out, const labelled_input *in, int which, const sae_progress *progress,
                             sae_error *err);
void labelled_set_close(labelled_set *s);

/* Settings and inputs of all sets in the result: site, ctx, seed, hash of the model. */
sae_status labelled_input_describe(sae_result *result, const labelled_input *in, sae_error *err);
/* What one set is made of: its hash, documents and tokens, and what was left out. */
sae_status labelled_set_describe(sae_result *result, const labelled_set *s, sae_error *err);

#endif
