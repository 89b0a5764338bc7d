/*
 * stability.h - are the scaffolds of several dictionaries the same subspace? (docs/method.md, E8) Beside it chance, and how far each lies
 * in the top principal components, which no seed changes.
 */
#ifndef SAE_LAB_STABILITY_H
#define SAE_LAB_STABILITY_H

#include "lab/row_moments.h"

/* What the scaffold of a dictionary writes. */
typedef struct write_space {
    const char *name;              /* borrowed, as everything but the subspace */
    const sae_dict_config *config; /* by which two are related */
    subspace space;                /* the row space of W_up; rank 0 is left out of everything */
} write_space;
/* Of a dictionary with a scaffold that is no transcoder. Caller frees .space. */
sae_status write_space_of(write_space *out, const char *name, sae_dict *dict, sae_error *err);

typedef enum relation { OTHER_SEED, OTHER_VARIANT, OTHER_ARCH, ANY_TWO } relation;
/* Pairs that make one row of the table; arch -1: of any architecture. */
typedef struct overlap_group {
    relation how;
    int arch;
} overlap_group;
enum { OVERLAP_GROUPS_MAX = 8 };

/* Into a result: the mean, least and largest overlap of each group that has pairs (table, plot and numbers "overlaps", "seeds.batchtopk",
 * "variants", "architectures", "pairs"), chance beside it; and with rows, NULL else, the table "pca". All spaces of one width. */
sae_status stability_report(sae_result *r, const write_space *spaces, int n, const overlap_group *groups, int n_groups,
                            const row_moments *rows, sae_error *err);
/* A table "each" of every two. */
sae_status stability_pairs(sae_result *r, const write_space *spaces, int n, sae_error *err);

#endif
