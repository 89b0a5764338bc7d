/* scaffold_fields.c - the names of a scaffold's choices, and those that are not the default in a record. */
#include "sae/scaffold_fields.h"

const char *const variant_names[] = {[SAE_P1] = "p1", [SAE_P2] = "p2", [SAE_P3] = "p3", NULL};
const char *const variant_labels[] = {[SAE_P1] = "P1", [SAE_P2] = "P2", [SAE_P3] = "P3", NULL};
const char *const scaffold_start_names[] = {"zero", "pca", "random-both", NULL};
const char *const scaffold_centre_names[] = {"b_dec", "none", "own", NULL};
const char *const scaffold_tie_names[] = {"none", "transpose", "orthonormal", NULL};

void scaffold_fields_put(json_t **object, const sae_dict_config *c)
{
    if (c->scaffold_centre != SAE_CENTRE_B_DEC)
        json_put(object, "scaffold_centre", json_string(scaffold_centre_names[c->scaffold_centre]));
    if (c->scaffold_tie != SAE_TIE_NONE)
        json_put(object, "scaffold_tie", json_string(scaffold_tie_names[c->scaffold_tie]));
    if (c->scaffold_lr > 0 && c->scaffold_lr != 1) json_put(object, "scaffold_lr", json_real(c->scaffold_lr));
}
