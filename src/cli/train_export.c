/* train_export.c - a trained dictionary becomes a folder that SAELens reads. */
#include "cli/train.h"
#include "io/io.h"

static const char *const names[] = {"native", "latents", "drop", NULL}; /* in the order of sae_scaffold_export */

const char *train_export_name(sae_scaffold_export how) { return names[how]; }

sae_status train_export_option(args *a, const train_dicts *dicts, sae_scaffold_export *how, sae_error *err)
{
    int which = 0;
    sae_status status = args_choice(a, "scaffold", names, &which, err);

    *how = (sae_scaffold_export)which;
    for (int i = 0; status == SAE_OK && *how == SAE_SCAFFOLD_LATENTS && i < dicts->n; i++)
        if (dicts->configs[i].arch == SAE_TOPK && dicts->configs[i].rank > 0)
            return args_fail(
                a, err,
                "--scaffold latents: %s keeps k latents of each row, and its scaffold's would compete with "
                "them: use native or drop, or --arch batchtopk",
                dicts->names[i]);
    return status;
}

sae_status train_export(const args *a, const sae_trainer *t, int i, const char *folder, sae_scaffold_export how,
                        sae_error *err)
{
    sae_status status = SAE_OK;
    sae_dict *dict = NULL;
    char *path = path_join(folder, "sae", err);

    if (!path) SAE_TRY(SAE_NOMEM);
    SAE_TRY(sae_trainer_export(t, i, &dict, err));
    if (sae_dict_get_config(dict)->last_step_threshold)
        warn("%s: the average that becomes the threshold had not begun (--threshold-start-step): the threshold is the "
             "smallest activation that the last step kept",
             path);
    SAE_TRY(folder_make(folder, err));
    SAE_TRY(sae_dict_save(dict, path, how, true, err));
    say(a, "written   %s", path);
done:
    sae_dict_free(dict);
    mem_free(path);
    return status;
}
