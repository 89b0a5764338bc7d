/*
 * topics_sets.h - the ways to label MMLU's questions, and documents divided by one of them.
 */
#ifndef SAE_LAB_TOPICS_SETS_H
#define SAE_LAB_TOPICS_SETS_H

#include "lab/topics.h"

/* Four categories, ten subjects that lie far apart, all 57: method.md 2.16, A13, in its order. */
typedef enum topics_labels { TOPICS_CATEGORIES, TOPICS_TEN_SUBJECTS, TOPICS_SUBJECTS, TOPICS_LABELS } topics_labels;
extern const char *const topics_labels_names[]; /* "categories", "ten-subjects", "subjects", NULL */

/* Ten subjects of MMLU that lie far apart and have a hundred questions or more. */
extern const char *const topics_ten_subjects[10];
bool topics_are_mmlu(const labelled *l); /* it has these ten classes */
/* Sparse probing and TPP of a run: of MMLU the first five of them, and questions that begin alike stay in one part; other documents as they
 * are. Whether it is MMLU. */
bool topics_five_subjects(const labelled *l, split_options *options);

/* Documents with one set of labels, and what was found with it. */
typedef struct topics_set {
    const char *name; /* borrowed */
    const char *const *classes;
    int n_classes; /* of `classes`; 0: all */
    labelled docs;
    split split;
    topics found;
} topics_set;

/* Reads a file with one of MMLU's sets of labels; TOPICS_LABELS: with its own, which are called `name`. The caller frees, also when it
 * fails, with topics_set_free. */
sae_status topics_set_read(topics_set *set, const char *path, topics_labels labels, const char *name,
                           const labelled_options *options, sae_error *err);
/* Divides it; questions that begin alike stay in one part, and of options' classes the set's own are taken. */
sae_status topics_set_divide(topics_set *set, const split_options *options, sae_error *err);
void topics_set_free(topics_set *set);
/* What has to be read for n sets: split_documents of their divisions. */
sae_status topics_sets_documents(const topics_set *sets, int n, int64_t **docs, int64_t *n_docs, sae_error *err);
/* A table for each set of labels. (topics_report.c) */
sae_status topics_report(sae_result *result, const topics_set *sets, int n_sets, sae_error *err);

#endif
