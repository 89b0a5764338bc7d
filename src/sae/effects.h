/*
 * effects.h - which option acts on which dictionary: what has no part in a dictionary's training must not be set in vain.
 */
#ifndef SAE_EFFECTS_H
#define SAE_EFFECTS_H

#include "base/base.h"

typedef struct effect {
    const char *option; /* as the commands that train call it */
    bool (*acts)(const sae_dict_config *dict, const sae_train_options *recipe);
    const char *needs; /* why it may not act, and what would let it */
} effect;

extern const effect effects[];
extern const int n_effects;

/* Whether the option can change the dictionary, its training or what is logged of it. What the table does not list always does. */
bool option_acts(const char *option, const sae_dict_config *dict, const sae_train_options *recipe);

#endif
