/* store_training.c - opens a store, trains on it, and leaves the trainer finished. */
#include "lab/store_training.h"
#include "eval/training.h"
#include "io/io.h"

enum { CHECKPOINTS = 8 };

sae_status store_train(sae_trainer **out, const store_training *t, const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    const sae_acts_options order = {.seed = t->order, .repeat = true, .max_norm = -1};
    const int64_t d = t->configs[0].d_in;
    sae_trainer *trainer = NULL;
    sae_acts *acts = NULL;
    char *checkpoints = path_join(t->folder, "checkpoints", err);
    training_options run = {.folder = t->folder,
                            .names = t->names,
                            .less = t->less,
                            .checkpoint_every = (t->recipe->steps + CHECKPOINTS - 1) / CHECKPOINTS};

    if (!checkpoints) SAE_TRY(SAE_NOMEM);
    run.resume = file_is_folder(checkpoints);
    SAE_TRY(sae_acts_open_store(&acts, &t->store, 1, &order, err));
    if (sae_acts_get_info(acts).d != d)
        SAE_RAISE(err, SAE_SHAPE, "%s holds rows of width %lld, the dictionaries read %lld", t->store,
                  (long long)sae_acts_get_info(acts).d, (long long)d);
    SAE_TRY(sae_trainer_create(&trainer, t->configs, t->n, t->recipe, err));
    status = training_run(trainer, t->recipe, d, acts, &run, progress, err);
    if (status == SAE_FORMAT && run.resume)
        sae_error_prefix(err, "remove %s to train its dictionaries anew", t->folder);
    SAE_TRY(status);
    sae_trainer_finish(trainer);
    *out = trainer;
    trainer = NULL;
done:
    sae_trainer_free(trainer);
    sae_acts_free(acts);
    mem_free(checkpoints);
    return status;
}

sae_status store_training_done(const store_training *t, sae_error *err)
{
    char *checkpoints = path_join(t->folder, "checkpoints", err);
    sae_status status = checkpoints ? folder_discard(checkpoints, err) : SAE_NOMEM; /* the log stays */

    mem_free(checkpoints);
    return status;
}
