/*
 * probing.h - sparse probing: how well k latents of a dictionary tell classes of documents apart (docs/method.md, E2).
 *
 * After SAEBench, cleanly: columns are chosen and probes are fitted on the training part alone, by |difference of
 * means| (with a scaffold's codes also by that over the standard deviation) and by logistic regression (C = 1) to its optimum; nothing is chosen on the test part. Beside the latents stand what
 * tells the dictionary's merit from the model's: the best k neurons and principal components, random latents, all of the residual
 * stream, and shuffled labels, which must give chance.
 */
#ifndef SAE_EVAL_PROBING_H
#define SAE_EVAL_PROBING_H

#include "eval/columns.h"
#include "eval/tasks.h"

enum { PROBING_MOST_K = 8, PROBING_DRAWS = 5 };

typedef struct probing_options {
    int k[PROBING_MOST_K]; /* ascending */
    int n_k;
    double C; /* 0: 1 */
    uint64_t seed;
} probing_options;

typedef enum probing_what {
    PROBING_LATENTS,
    PROBING_SCAFFOLD, /* the scaffold's codes may be chosen too; only where there is one */
    PROBING_RANDOM,   /* PROBING_DRAWS times k random active latents */
    PROBING_SHUFFLED, /* latents, with shuffled labels */
    PROBING_NEURONS,
    PROBING_COMPONENTS,
    PROBING_RESIDUAL, /* all coordinates of the site: one accuracy, whatever k */
    /* The first two with columns chosen by the difference over the standard deviation, which the size of a scaffold's codes does not win;
     * only where there is one. */
    PROBING_LATENTS_SCALED,
    PROBING_SCAFFOLD_SCALED,
} probing_what;

typedef struct probing_arm {
    probing_what what;
    int dict; /* -1: of no dictionary */
    int n_k;  /* 1 for PROBING_RESIDUAL */
    /* At n_k the mean over all k, which chooses none of them afterwards. */
    interval accuracy[PROBING_MOST_K + 1];
    interval gain
        [PROBING_MOST_K +
         1]; /* over the same arm of the first dictionary, paired; of arms with scaffold codes over the latents alone, chosen alike */
    bool has_gain;
} probing_arm;

/* Of one labelled set. */
typedef struct probing {
    int n_arms;
    probing_arm *arms; /* of dictionary 0, of dictionary 1, ..., of none */
    int n_classes, n_tasks;
    int64_t train, test; /* documents of a class */
} probing;

/* Every arm on one set. RANGE: k is over the number of columns. Caller frees with probing_free. */
sae_status probing_measure(probing *out, const pooled *p, const split *s, const probing_options *options,
                           const sae_progress *progress, sae_error *err);
void probing_free(probing *m);
const char *probing_name(probing_what what);

/* The tables and numbers of all sets: their mean, and each. dict_names in the order of the pooled codes. (probing_report.c) */
sae_status probing_report(sae_result *result, const probing *sets, const char *const *set_names, int n_sets,
                          const char *const *dict_names, const probing_options *options, sae_error *err);

#endif
