/*
 * topics_sets.c - see topics_sets.h.
 */
#include "lab/topics_sets.h"

#include <string.h>

const char *const topics_labels_names[] = {"categories", "ten-subjects", "subjects", NULL};

const char *const topics_ten_subjects[10] = {
    "astronomy",
    "computer_security",
    "elementary_mathematics",
    "high_school_chemistry",
    "high_school_geography",
    "high_school_us_history",
    "international_law",
    "marketing",
    "nutrition",
    "world_religions",
};

enum { GROUP_BYTES = 200 }; /* questions whose first so many bytes agree are one question */

bool topics_are_mmlu(const labelled *l)
{
    int found = 0;

    for (int i = 0; i < l->n_classes; i++)
        for (int s = 0; s < 10; s++) found += strcmp(l->names[i], topics_ten_subjects[s]) == 0;
    return found == 10;
}

bool topics_five_subjects(const labelled *l, split_options *options)
{
    if (!topics_are_mmlu(l)) return false;
    options->classes = topics_ten_subjects;
    options->n_classes = 5;
    options->group_bytes = GROUP_BYTES;
    return true;
}

sae_status topics_set_read(topics_set *set, const char *path, topics_labels labels, const char *name,
                           const labelled_options *options, sae_error *err)
{
    labelled_options how = *options;

    set->name = labels == TOPICS_LABELS ? name : topics_labels_names[labels];
    if (labels == TOPICS_CATEGORIES) how.label = "category";
    if (labels == TOPICS_TEN_SUBJECTS) {
        set->classes = topics_ten_subjects;
        set->n_classes = 10;
    }
    return labelled_read(&set->docs, path, &how, err);
}

sae_status topics_set_divide(topics_set *set, const split_options *options, sae_error *err)
{
    split_options how = *options;

    how.group_bytes = GROUP_BYTES;
    how.classes = set->classes;
    how.n_classes = set->n_classes;
    return split_create(&set->split, &set->docs, &how, err);
}

void topics_set_free(topics_set *set)
{
    split_free(&set->split);
    labelled_free(&set->docs);
}

sae_status topics_sets_documents(const topics_set *sets, int n, int64_t **docs, int64_t *n_docs, sae_error *err)
{
    const split *splits[TOPICS_LABELS];

    for (int i = 0; i < n; i++) splits[i] = &sets[i].split;
    return split_documents(splits, n, docs, n_docs, err);
}
