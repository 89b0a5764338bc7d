/*
 * ablate.h - taking latents out of the rows of a site: x' = x - sum over i in A of f_i d_i. What the dictionary does not
 * explain stays as it is (error-preserving), so that an effect is that of the latents. docs/method.md 10.
 */
#ifndef SAE_EVAL_ABLATE_H
#define SAE_EVAL_ABLATE_H

#include "eval/codes.h"
#include "eval/splice.h"

/* Codes and reconstruction of the last batch. Many edits see the same rows one after the other: they are encoded once. */
typedef struct ablation_cache {
    const sae_dict *dict; /* borrowed */
    codes codes;
    int64_t n, room;     /* rows encoded; rows that there is room for */
    float *rows, *recon; /* [room, d]; a copy, by which a batch is known again; the whole reconstruction */
} ablation_cache;
void ablation_cache_free(ablation_cache *c);

/* user: ablation. */
typedef struct ablation {
    ablation_cache *cache;       /* shared by many edits */
    const uint8_t *taken;        /* [d_sae] 1: in A */
    const subspace *error_space; /* not NULL: also e' = e (I - P) of the dictionary's error e = x - x^ */
} ablation;
sae_status edit_ablate(const void *user, const float *rows, int64_t n, int64_t d, float *out, sae_error *err);

#endif
