/*
 * redundancy.h - is what the scaffold holds also written by a plain dictionary's latents? Those of its latents that are
 * aligned with a subspace are ablated, more and more of them, and the model's loss is compared with its loss after ablating
 * as many latents chosen otherwise. docs/method.md 10.
 */
#ifndef SAE_LAB_REDUNDANCY_H
#define SAE_LAB_REDUNDANCY_H

#include "eval/ablate.h"
#include "eval/controls.h"
#include "eval/density.h"
#include "eval/sample.h"
#include "eval/splice.h"

/* Which latents are "maximally aligned": with unit decoder rows d_i and the projector P of the subspace, a_i = |d_i P|.
 * Each definition is an order of all latents; a set of n is its first n. */
typedef enum alignment_rule {
    ALIGN_ENERGY, /* largest a_i^2 first */
    ALIGN_UNION, /* each latent belongs to the direction with the largest |cos|; the first of each direction, then the second.. */
    ALIGN_BEST,  /* largest |cos| with any one direction first */
    ALIGN_MATCH, /* largest energy in the subspace, mean f_i^2 a_i^2, first; ends where the sum is that of s */
    ALIGN_RULES
} alignment_rule;
extern const char *const alignment_names[ALIGN_RULES + 1]; /* "energy", "union", "best", "match", NULL */

/* What latents do on the sample. */
typedef struct latent_moments {
    density density;
    double *square; /* [d_sae] mean over rows of f_i^2 */
    double *mean;   /* [d] of the rows */
} latent_moments;
sae_status latent_moments_measure(latent_moments *out, sample *s, const sae_dict *dict, const sae_progress *progress,
                                  sae_error *err);
void latent_moments_free(latent_moments *m);

/* The subspace, as the rows that span it: W_up of a scaffold, or a given basis. The rules UNION and BEST look at these very
 * rows (of unit length), which for a scaffold depend on how its map was factored; the other two do not. */
typedef struct aligned_space {
    const float *directions; /* [n, d], borrowed */
    int64_t n;
    subspace space; /* their span: caller frees with subspace_free */
} aligned_space;

/* a_i^2 of all latents, squares [d_sae], in [0, 1]; 0 for a decoder row that is 0. */
void alignment_squares(const aligned_space *u, const sae_dict *dict, double *squares);
/* mean |f_i d_i P|^2 of all latents, energy [d_sae]: how much each writes into the subspace. */
void alignment_energy(const aligned_space *u, const sae_dict *dict, const latent_moments *m, double *energy);
/* The latents in the order of a rule, order [d_sae]; ties: smaller index first. */
sae_status alignment_order(alignment_rule rule, const aligned_space *u, const sae_dict *dict, const latent_moments *m,
                           int64_t *order, sae_error *err);
/* Of an order [n]: how many of its first latents have a sum of energy that reaches `wanted`; -1 when all together do not. */
int64_t alignment_match(const int64_t *order, const double *energy, int64_t n, double wanted);

/* ---- The experiment ------------------------------------------------------------------------------------------------------ */

typedef struct redundancy_options {
    alignment_rule rule;
    int64_t points; /* sizes of A on a log grid from 1 to d_sae, beside the marked one; 1: the marked one alone; 0: 8 */
    int draws; /* matched and random sets beside the marked size, the energy of s and dense latents, one of each elsewhere; 0: 5 */
    const double *mean;     /* [d_in] that R3 keeps; NULL: of the sample's rows */
    int64_t ce_tokens;      /* 0: 4,096 */
    double dense_threshold; /* latents over this share of tokens are a set of their own; 0: 0.1 */
    uint64_t seed;
    /* The scaffold that the directions are W_up of; NULL: a basis. s is what it writes; of a basis, (x - b_dec) P. */
    const sae_dict *scaffold;
    const char *space_name; /* for people */
} redundancy_options;

/* The paper's 787 latents, as the same share of this width: round(787 / 16384 d_sae), at least 1. */
int64_t redundancy_marked(int64_t d_sae);

/* Fails with SHAPE when widths differ. Caller frees *out with sae_result_free. */
sae_status redundancy_run(sae_result **out, sample *s, const sae_dict *dict, const float *directions,
                          int64_t n_directions, const redundancy_options *options, const sae_progress *progress,
                          sae_error *err);

#endif
