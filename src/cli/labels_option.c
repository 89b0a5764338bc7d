/*
 * labels_option.c - see labels_option.h.
 */
#include "cli/labels_option.h"

sae_status labels_option_read(args *a, topics_labels labels[TOPICS_LABELS], int *n, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *const *items;
    const int given = args_list(a, "labels", &items);
    int which = 0;

    *n = 0;
    if (given < 1 || given > TOPICS_LABELS) return args_fail(a, err, "--labels: 1 to %d names", (int)TOPICS_LABELS);
    for (int i = 0; i < given; i++) {
        SAE_TRY(args_choice_of(a, "labels", items[i], topics_labels_names, &which, err));
        for (int k = 0; k < *n; k++)
            if (labels[k] == (topics_labels)which) return args_fail(a, err, "--labels: %s is there twice", items[i]);
        labels[(*n)++] = (topics_labels)which;
    }
done:
    return status;
}
