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

#endif
