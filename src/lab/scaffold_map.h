/*
 * scaffold_map.h - the linear map of a scaffold.
 */
#ifndef SAE_LAB_SCAFFOLD_MAP_H
#define SAE_LAB_SCAFFOLD_MAP_H

#include "eval/subspace.h"

/* The scaffold's map without its arbitrary choice of factors (docs/method.md 7): W_down W_up = sum_i singular_i read_i^T
 * write_i with orthonormal read and write directions, in the order of how strongly they speak: singular x spread. */
typedef struct scaffold_map {
    int64_t d, rank;       /* rank: directions with a singular value over 1e-6 of the largest */
    double *read, *write;  /* [rank, d] */
    double *singular;      /* [rank] */
    double *mean, *spread; /* [rank] of the code <s, write> over the rows: singular <x - b_dec, read> */
    int64_t width;         /* of W_down and W_up: what `rank` is at most */
    double *real,
        *imag; /* [width] eigenvalues of the map, all that are not 0 among them, by the real part descending */
    double trace, square; /* of the map: tr A, |A|_F^2 */
    subspace write_space; /* row space of W_up: where the scaffold writes */
    subspace read_space;  /* row space of W_down^T: what it reads */
} scaffold_map;

/* mean [d], covariance [d, d] of the rows that its codes' moments are of. STATE: the dictionary has no scaffold. Caller frees with
 * scaffold_map_free. */
sae_status scaffold_map_create(scaffold_map *out, sae_dict *dict, const double *mean, const double *covariance,
                               sae_error *err);
void scaffold_map_free(scaffold_map *m);
/* How many directions PCA and random subspaces have beside it: as many as it really writes to; as its width while it writes to none. */
int64_t scaffold_map_compared(const scaffold_map *m);

#endif
