/*
 * dict.h - what a dictionary is inside: its configuration and one block of memory that holds all weights.
 */
#ifndef SAE_DICT_H
#define SAE_DICT_H

#include "base/base.h"

struct sae_dict {
    sae_dict_config config;
    sae_weights weights; /* point into block; W_down and W_up are NULL when the rank is 0 */
    void *block;
};

/* Width of what it writes: d_out of a transcoder, else d_in. */
static inline int64_t dict_d_out(const sae_dict_config *c) { return c->d_out > 0 ? c->d_out : c->d_in; }
/* Encoding by the 8-bit screen where one threshold serves all latents (sift.c). *out is NULL when the dictionary, the number of rows or
 * the processor is none for it. Caller frees with sift_free. */
typedef struct sift sift;
sae_status sift_create(sift **out, const sae_dict *dict, int64_t rows, sae_error *err);
void sift_free(sift *s);
/* u [rows, d_in], of which the first n count: how many latents of each are active, counts [n]. */
sae_status sift_rows(sift *s, const float *u, int64_t n, int64_t *counts, sae_error *err);
/* What sift_rows found: row i's latents from place[i] [n] on, ascending; place moves to their end. */
void sift_write(const sift *s, int64_t n, int64_t *place, int32_t *latent, float *value);

double float_dot(const float *a, const float *b, int64_t n); /* summed in double (scaffold_export.c) */

/* The encoder sees what the scaffold leaves. */
static inline bool dict_sees_residual(const sae_dict_config *c)
{
    return c->rank > 0 && (c->variant == SAE_P2 || c->variant == SAE_P3);
}
/* The scaffold sees x - b_dec, else x. */
static inline bool dict_scaffold_is_centred(const sae_dict_config *c)
{
    return c->d_out == 0 && c->scaffold_centre == SAE_CENTRE_B_DEC;
}
static inline bool dict_has_b_down(const sae_dict_config *c)
{
    return c->rank > 0 && c->scaffold_centre == SAE_CENTRE_OWN;
}

#endif
