/* cmd_lab_stability.c - `sae lab stability`: are several scaffolds the same subspace? */
#include "cli/dict_set.h"
#include "cli/result_output.h"
#include "cli/rows_option.h"
#include "lab/stability.h"

#include <math.h>

enum { MOST_DICTS = 64 };

static const option_row options[] = {
    {"store", OPTION_TEXT, "FOLDER", "rows of their site, in whose principal components each is looked for", NULL},
    {"array", OPTION_TEXT, "FILE", "or from X.npy or X.safetensors[:name]", NULL},
    OPTION_OUT_ROW("FILE"),
    OPTION_FORCE_ROW,
    OPTION_JSON_ROW,
    OPTION_END_ROW,
};

static sae_status open_spaces(write_space *spaces, const dict_set *dicts, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t d = sae_dict_get_config(dicts->at[0])->d_in;

    for (int i = 0; i < dicts->n; i++) {
        SAE_TRY(scaffold_check(dicts->at[i], dicts->paths[i], err));
        if (sae_dict_get_config(dicts->at[i])->d_in != d)
            SAE_RAISE(err, SAE_SHAPE, "%s reads rows of width %lld, %s of %lld: give dictionaries of one site",
                      dicts->paths[i], (long long)sae_dict_get_config(dicts->at[i])->d_in, dicts->paths[0],
                      (long long)d);
        SAE_TRY(write_space_of(&spaces[i], dicts->names[i], dicts->at[i], err));
        if (spaces[i].space.rank == 0)
            SAE_RAISE(err, SAE_STATE, "%s: its scaffold writes nothing, W_up is 0: it has learned nothing yet",
                      dicts->paths[i]);
    }
done:
    return status;
}

static sae_status run(args *a, sae_error *err)
{
    static const overlap_group all = {ANY_TWO, -1};
    sae_status status = SAE_OK;
    const char *const *operands;
    int n = args_operands(a, &operands);
    dict_set dicts = {0};
    write_space spaces[MOST_DICTS] = {0};
    sae_acts *acts = NULL;
    row_moments rows = {0};
    sae_result *result = NULL;
    progress_line line = {0};
    sae_progress progress = progress_begin(&line, a);

    if (n > MOST_DICTS) SAE_TRY(args_fail(a, err, "%d dictionaries: at most %d", n, (int)MOST_DICTS));
    SAE_TRY(out_check(a, err));
    SAE_TRY(dict_set_open(&dicts, operands, n, err));
    SAE_TRY(open_spaces(spaces, &dicts, err));
    SAE_TRY(rows_option_open(&acts, a, spaces[0].space.d, operands[0], err));
    for (int i = 0; args_given(a, "store") && i < dicts.n; i++)
        SAE_TRY(rows_option_check_site(args_text(a, "store"), dicts.at[i], operands[i], err));
    SAE_TRY(dict_set_check_differ(&dicts, err));
    if (acts) SAE_TRY(row_moments_of_acts(&rows, acts, &progress, err));
    progress_end(&line);
    SAE_TRY(sae_result_create(&result, "Is it the same subspace each time?", err));
    if (acts) SAE_TRY(sae_result_setting(result, "rows", (sae_cell){sae_acts_get_info(acts).describe, NAN}, err));
    SAE_TRY(stability_report(result, spaces, dicts.n, &all, 1, acts ? &rows : NULL, err));
    SAE_TRY(stability_pairs(result, spaces, dicts.n, err));
    SAE_TRY(result_show(a, result, err));
done:
    progress_end(&line);
    sae_result_free(result);
    row_moments_free(&rows);
    sae_acts_free(acts);
    for (int i = 0; i < MOST_DICTS; i++) subspace_free(&spaces[i].space);
    dict_set_close(&dicts);
    return status;
}

const command command_lab_stability = {
    .name = "lab stability",
    .arguments = "DICT DICT [DICT...]",
    .summary = "are the scaffolds of several dictionaries the same subspace?",
    .details =
        "The overlap of what every two scaffolds write (the mean squared cosine of their principal angles), beside\n"
        "chance, r / d; give those of several seeds, variants or architectures. With rows of their site also\n"
        "how much of each lies in as many of the top principal components, and in four times as many.",
    .examples =
        "sae lab stability runs/paper/dictionaries/batchtopk-p1-s0 runs/paper/dictionaries/batchtopk-p1-s1 --store "
        "runs/paper/acts\n"
        "sae lab stability a/sae b/sae c/sae --json\n",
    .min_operands = 2,
    .max_operands = -1,
    .options = options,
    .kept_as = "",
    .run = run,
};
