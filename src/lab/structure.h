/*
 * structure.h - what subspace a scaffold is: where it lies among the principal components, how much variance it holds, whether its map
 * is a projector, what it has of the site's outlier dimensions (docs/method.md 7). Chance stands beside every overlap.
 */
#ifndef SAE_LAB_STRUCTURE_H
#define SAE_LAB_STRUCTURE_H

#include "lab/row_moments.h"
#include "lab/scaffold_map.h"

/* What is looked at; all of it borrowed. */
typedef struct structure {
    const scaffold_map *map;
    const row_moments *rows; /* of the site, of the map's width */
    subspace pca;            /* as many of their principal components as the scaffold has directions */
    uint64_t seed;           /* of the random subspace beside it */
} structure;

/* Everything into a result: numbers, tables "overlap", "eigenvalues", "directions", "outlier_shares", "outlier_dimensions", plots "angles" and
 * "energy". */
sae_status structure_report(const structure *s, sae_result *r, sae_error *err);
/* outliers.c: of it the tables of outlier dimensions, with their numbers. */
sae_status outliers_report(const structure *s, sae_result *r, sae_error *err);

#endif
