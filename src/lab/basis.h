/*
 * basis.h - a subspace that the user gives as a file.
 */
#ifndef SAE_LAB_BASIS_H
#define SAE_LAB_BASIS_H

#include "eval/subspace.h"

typedef struct basis_file {
    subspace space; /* orthonormal, whatever the columns were */
    double *units;  /* [n_units, d] the file's columns themselves, of norm 1, without those that are 0 */
    int64_t n_units;
    int64_t columns; /* in the file: more than space.rank where some lie in the span of others, or are 0 */
} basis_file;

/* The column space of an array [d, columns] (or [d]: one column) in X.npy or X.safetensors[:name]; d is the width of the model's
 * rows. Only directions count: columns are brought to norm 1, and of their singular values those under 1e-6 of the largest are left
 * out. Fails with SHAPE when the height is not d, NUMERIC when a number is not finite, RANGE when every column is 0. Caller
 * frees with basis_file_free. */
sae_status basis_file_read(basis_file *out, const char *path, int64_t d, sae_error *err);
void basis_file_free(basis_file *b);

#endif
