/*
 * topics.h - are topics still there after something is taken out of the residual stream? (docs/method.md, E7)
 *
 * A multinomial logistic regression (C = 1, columns standardised on the training part) tells the topic of a document from its pooled
 * row. Then a subspace is removed, or features of a dictionary are ablated, on every counted token: pooling is linear, so this is done
 * on pooled rows, exactly. The probe is kept as it was (FIXED), and fitted anew on changed training rows (RE-TRAINED): a fixed
 * probe falls when its directions are moved, the re-trained one only when the topic is gone.
 */
#ifndef SAE_LAB_TOPICS_H
#define SAE_LAB_TOPICS_H

#include "eval/pooled.h"
#include "eval/tasks.h"

enum { TOPICS_DRAWS = 5, TOPICS_COUNTS = 2, TOPICS_MOST_ARMS = 24 }; /* draws of subspaces and of features */
/* Of them, those after which a probe is trained anew; of more classes than TOPICS_FEW, where one takes half a minute, only the first. */
enum { TOPICS_ANEW = 3, TOPICS_FEW = 10 };
enum { TOPICS_NAME = 80 };

/* What arms are called, here alone: tables show it, and results keep numbers by it. */
#define TOPICS_CLEAN    "clean"
#define TOPICS_SCAFFOLD "scaffold"
#define TOPICS_PCA      "PCA"
#define TOPICS_RANDOM   "random subspace"
enum { TOPICS_R2, TOPICS_R3, TOPICS_OPERATORS };
typedef enum topics_features { TOPICS_ALIGNED, TOPICS_ALIKE, TOPICS_ALL } topics_features; /* ALIKE: of equal density */
/* "scaffold removed, R2 uncentred" */
const char *topics_removed_name(char name[TOPICS_NAME], const char *what, int operator);
/* "576 topic-aligned features ablated" */
const char *topics_ablated_name(char name[TOPICS_NAME], int64_t n, topics_features which);

/* What is taken out; everything is borrowed. */
typedef struct topics_what {
    const subspace *space;        /* NULL: none */
    const char *space_name;       /* "scaffold" */
    const subspace *pca, *random; /* of equal rank; random [TOPICS_DRAWS]; NULL: none */
    const double *mean;           /* [d] for R3: x - (x - mean) P */
    const sae_dict *dict;         /* whose features are ablated: number `which_dict` of the pooled codes; NULL: none */
    int which_dict;
    int64_t counts[TOPICS_COUNTS]; /* features ablated; 0: none; at most the width */
    uint64_t seed;
} topics_what;

typedef struct topics_arm {
    char name[TOPICS_NAME];
    interval fixed, retrained; /* accuracy, 95 % over test documents */
    interval fall;             /* of the fixed probe, paired */
    interval retrained_fall;   /* of the re-trained one */
    /* How much more the fixed probe falls than after as many random directions, or features of equal density, with other questions and
     * other draws of those (interval_beside_draws); NaN: of draws themselves, of "clean", and where `held` says so. */
    interval over_random;
    /* How much less often the re-trained probe is right than those trained after the first `anew` of those draws, likewise; of one draw low
     * and high are NaN. */
    interval retrained_over_random;
    /* Of aligned features the share that the draws of equal density hold, their mean; over CONTROL_MOST_SHARED they have no like among the
     * others and would be compared with themselves. NaN: no such draws. */
    double held;
} topics_arm;

typedef struct topics {
    int n_classes, n_arms;
    int anew;                          /* draws after which a probe was trained anew */
    int64_t train, test;               /* documents of a class */
    topics_arm arms[TOPICS_MOST_ARMS]; /* [0]: clean */
    interval shuffled;                 /* a probe of shuffled labels: chance */
    int64_t ablated[TOPICS_COUNTS];    /* features really ablated */
} topics;

/* All arms on one division of the pooled documents. */
sae_status topics_measure(topics *out, const pooled *p, const split *s, const topics_what *what,
                          const sae_progress *progress, sae_error *err);

#endif
