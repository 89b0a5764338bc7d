/*
 * store_training.h - dictionaries trained on the rows of a store.
 */
#ifndef SAE_LAB_STORE_TRAINING_H
#define SAE_LAB_STORE_TRAINING_H

#include "eval/subspace.h"

typedef struct store_training {
    const char *store; /* folder of the rows */
    uint64_t order;    /* seed of their order */
    const sae_dict_config *configs;
    const char *const *names; /* [n] for the log */
    int n;
    const sae_train_options *recipe;
    const char *folder;   /* gets the log, and checkpoints while it trains; must exist */
    const subspace *less; /* not NULL: on rows without their part in it, x - x P */
} store_training;

/* To the end, from the newest checkpoint in the folder when there is one. The checkpoints stay until store_training_done, so that what is
 * stopped before the dictionaries are saved goes on. Caller frees with sae_trainer_free. */
sae_status store_train(sae_trainer **out, const store_training *t, const sae_progress *progress, sae_error *err);
sae_status store_training_done(const store_training *t, sae_error *err);

#endif
