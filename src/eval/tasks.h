/*
 * tasks.h - balanced one-against-the-rest tasks of a divided labelled set, and how often a probe is right.
 *
 * Each class makes a task: all its documents against equally many of the other classes, taken evenly from each. Two classes make one
 * task, since the second would be its mirror image. By chance a probe is right in half of the rows.
 */
#ifndef SAE_EVAL_TASKS_H
#define SAE_EVAL_TASKS_H

#include "eval/bootstrap.h"
#include "text/labelled.h"

/* The rows of one task in one part. */
typedef struct task {
    int64_t n;
    int64_t *doc;   /* [n] numbers of documents */
    int64_t *place; /* [n] where each stands in the part */
    int32_t *y;     /* [n] 1: of the task's class */
} task;

typedef struct tasks {
    int n;          /* tasks; task i is about class i of the split (with two classes about class 1) */
    int64_t n_test; /* documents of the test part */
    task *train, *test;
} tasks;

/* Negatives are drawn by the seed. With `shuffled` the documents of each part change places first: no label says anything, and a probe must
 * be right by chance. Caller frees with tasks_free. */
sae_status tasks_create(tasks *out, const split *s, bool shuffled, uint64_t seed, sae_error *err);
void tasks_free(tasks *t);

/* How often right, by document of the test part: a document may stand in several tasks. */
typedef struct score {
    int64_t n;
    double *right, *asked; /* [n] */
} score;

sae_status score_create(score *out, int64_t n, sae_error *err);
void score_free(score *s);
/* Accuracy with its 95 % interval, documents resampled. All tasks weigh the same. */
sae_status score_accuracy(const score *s, uint64_t seed, interval *out, sae_error *err);
/* The accuracy of a less that of b, on the same documents (paired); both must have been asked alike. */
sae_status score_difference(const score *a, const score *b, uint64_t seed, interval *out, sae_error *err);
/* The mean of the values of n sets; half-widths are added as independent errors are. */
interval interval_mean(const interval *sets, int n);

#endif
