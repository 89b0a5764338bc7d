/*
 * knee.h - how many directions a scaffold is worth, from dictionaries that differ in its rank alone.
 *
 * Any data gain from one more dense direction, so a gain is no reason; it must be more than sparse features give. Features in
 * number n >= d, in random positions and of like power, have a covariance whose largest eigenvalue is below (1 + sqrt(d / n))^2
 * <= 4 times the mean one (Marchenko and Pastur). So a direction that takes away more than four times its equal share of what
 * the dictionary left, 4 FVU / d, holds what such features do not make. The rank is the last of the grid into which a step
 * gains more than that per direction, and at which all directions together do; 0 when there is none: then no scaffold is
 * reported. The rule has no other constant, and is the same for planted rows and a model's.
 */
#ifndef SAE_LAB_KNEE_H
#define SAE_LAB_KNEE_H

#include "eval/bootstrap.h"

enum { KNEE_RANKS_MAX = 64 };

typedef struct knee {
    int64_t rank;                 /* 0: no scaffold */
    double margin;                /* FVU that the step into it gains beyond its limit; 0: there is none */
    int n;                        /* steps: from one rank of the grid to the next */
    double gain[KNEE_RANKS_MAX];  /* FVU per direction that a step takes away */
    double limit[KNEE_RANKS_MAX]; /* what sparse features may explain: 4 FVU before the step / d */
} knee;

/* ranks [n] ascending from 0, fvu [n] of dictionaries alike but for the rank, on the same rows of width d. RANGE for other
 * ranks, fewer than two, or an FVU that is negative or not finite. */
sae_status knee_find(knee *out, const int64_t *ranks, const double *fvu, int n, int64_t d, sae_error *err);

/* Sums over each of n_seq sequences: how FVU would be on other text. */
typedef struct knee_errors {
    int n; /* dictionaries */
    int64_t n_seq;
    double *error;  /* [n, n_seq] of |x - recon|^2 */
    double *square; /* [n_seq] of |x - mean|^2, the mean over all rows */
} knee_errors;
/* FVU of every dictionary, fvu [n], with sequence i counted[i] times (NULL: each once). */
void knee_fvu(const knee_errors *e, const int64_t *counted, double *fvu);
/* The rank found on all sequences, and its 95 % interval when they are drawn with replacement, the same for every dictionary: how it moves
 * with the text, not with another training of each rank. */
sae_status knee_interval(interval *out, const int64_t *ranks, const knee_errors *e, int64_t d, uint64_t seed,
                         sae_error *err);

#endif
