/*
 * saelens.h - what reading and writing SAELens folders share.
 */
#ifndef SAE_SAELENS_H
#define SAE_SAELENS_H

#include "sae/dict.h"

#define SAELENS_CONFIG_NAME  "cfg.json"
#define SAELENS_WEIGHTS_NAME "sae_weights.safetensors"
#define SAELENS_LAST_STEP    "last step" /* metadata.sae_threshold_from; absent: an average, or another's */

bool saelens_is_file(const char *name); /* one of the two above */

/* Whether the folder would load, as far as that is seen without its weights: cfg.json, and the names, shapes and bytes of the tensors. */
sae_status saelens_check(const char *path, sae_error *err);

/* An architecture by its name in cfg.json. BatchTopK and Matryoshka are written as JumpReLU. */
typedef struct saelens_kind {
    const char *name;
    sae_arch arch;
    bool transcoder, skip;
} saelens_kind;
const saelens_kind *saelens_kind_named(const char *name);           /* NULL: none */
const saelens_kind *saelens_kind_of(const sae_dict_config *config); /* NULL: it has no form there */

/* Fails with NUMERIC when a weight is infinite or undefined (a threshold may be +infinity: a latent switched off).
 * `name` stands in the message. */
sae_status dict_check_finite(const sae_dict *dict, const char *name, sae_error *err);

/* scaffold_export.c: the dictionary that stands for `dict` in a system without scaffolds: with 2r more latents, or with
 * the scaffold left out. Its config has rank 0. Caller frees *out with sae_dict_free. */
sae_status scaffold_export(const sae_dict *dict, sae_scaffold_export mode, sae_dict **out, sae_error *err);

/* saelens_verify.c: encodes and decodes rows with what was saved and what was read back. `read` came from an export of
 * `dict` in `mode`. Fails with FORMAT when they differ by more than rounding (NATIVE: by one bit). */
sae_status saelens_verify(const sae_dict *dict, const sae_dict *read, sae_scaffold_export mode, sae_error *err);

#endif
