/*
 * redundancy_run.h - the state of a redundancy experiment between its measurement (redundancy.c) and its report
 * (redundancy_report.c).
 */
#ifndef SAE_LAB_REDUNDANCY_RUN_H
#define SAE_LAB_REDUNDANCY_RUN_H

#include "lab/redundancy.h"

enum { POINTS_MAX = 40, DRAWS_MAX = 8, SETS_MAX = 1 + 2 * DRAWS_MAX };

/* Edits that every run has, in this order; those of the points follow. */
enum { LOSS_OF_CLEAN, LOSS_OF_ZERO, LOSS_OF_R2, LOSS_OF_R3, LOSS_OF_RECON, LOSS_OF_ERROR, LOSSES_FIXED };

/* A set of aligned latents with its controls. */
typedef struct point {
    int64_t n;
    const char *what;        /* NULL: a size of the grid; else what it is: "marked", .. */
    bool dense;              /* A is not of the order: all latents over options.dense_threshold */
    int draws;               /* of either kind of control; 0: none, A is every latent */
    uint8_t *sets[SETS_MAX]; /* A, matched.., random.. */
    int first;               /* loss of A; then A with the error projected, matched.., random.. */
} point;

/* "37, 787 of 16,384" */
enum { POINT_NAME = 64 };
const char *point_name(const point *p, char name[POINT_NAME]);
/* The edits of a point's controls. */
static inline loss_draws point_matched(const point *p) { return (loss_draws){p->first + 2, 1, p->draws}; }
static inline loss_draws point_random(const point *p) { return (loss_draws){p->first + 2 + p->draws, 1, p->draws}; }

typedef struct redundancy {
    redundancy_options options; /* with every default filled in */
    const sae_dict *dict;
    sample *s;
    int64_t d_sae;
    aligned_space aligned;
    latent_moments moments;
    double *squares, *energy; /* [d_sae] a_i^2, energy in the subspace */
    int64_t *order;           /* [d_sae] */
    double wanted;            /* mean |s|^2 */
    int64_t n_match;          /* by the order of ALIGN_MATCH; -1: never reached */
    char dense_name[32];      /* of the set of dense latents */
    point points[POINTS_MAX];
    int n_points;
    loss_table losses;
} redundancy;

/* What ablating costs beside removing the subspace, paired: table, plot and numbers "aligned_less_r2.N", "aligned_less_r3.N",
 * "error_less_r2.N", nats per token; N is "dense" for all dense latents. (redundancy_beside.c) */
sae_status redundancy_beside(sae_result *out, const redundancy *r, sae_error *err);
/* Everything that was found, as a result. */
sae_status redundancy_report(sae_result **out, const redundancy *r, sae_error *err);

#endif
