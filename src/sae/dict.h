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
/* The encoder sees what the scaffold leaves. */
static inline bool dict_sees_residual(const sae_dict_config *c)
{
    return c->rank > 0 && (c->variant == SAE_P2 || c->variant == SAE_P3);
}

#endif
