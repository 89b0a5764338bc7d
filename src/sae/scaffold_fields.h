/*
 * scaffold_fields.h - the choices of a scaffold by name, as options, cfg.json and records call them.
 */
#ifndef SAE_SCAFFOLD_FIELDS_H
#define SAE_SCAFFOLD_FIELDS_H

#include "base/base.h"

/* In the order of their enums; each ends with a NULL. */
extern const char *const variant_names[];         /* "p1", "p2", "p3" */
extern const char *const variant_labels[];        /* "P1", "P2", "P3": as they are written about */
extern const char *const scaffold_start_names[];  /* "zero", "pca", "random-both" */
extern const char *const scaffold_centre_names[]; /* "b_dec", "none", "own" */
extern const char *const scaffold_tie_names[];    /* "none", "transpose", "orthonormal" */

/* Puts what is not the default of centre, tie and learning rate into an object, as scaffold_centre, scaffold_tie and scaffold_lr; a
 * dictionary of defaults is described as before there were these choices. */
void scaffold_fields_put(json_t **object, const sae_dict_config *config);

#endif
