/*
 * train_effects.c - refuses an option that the user gave and that can do nothing, with the reason: better than a run that is not what
 * was asked for.
 *
 * Which options act on which dictionaries says src/sae/effects.c; which on which rows, the table here.
 */
#include "cli/train.h"
#include "sae/effects.h"

#include <string.h>

enum { LIVE = 1, STORE = 2, ARRAY = 4 };

static const struct row_effect {
    const char *option;
    int sources; /* that it acts on */
    const char *needs;
} row_effects[] = {
    {"text", LIVE, "rows of a store or an array are there already: give --model in their place"},
    {"site", LIVE | STORE, "an array does not say where its rows were read: give --model or --store in its place"},
    {"ctx", LIVE, "sequences are made of text: give --model in place of the rows"},
    {"separator", LIVE, "sequences are made of text: give --model in place of the rows"},
    {"max-norm", LIVE, "rows of a store or an array are taken as they are: give it to `sae acts`, which makes a store"},
    {"buffer", LIVE, "rows of a store or an array are shuffled without a buffer: give --model in their place"},
};

sae_status train_refuse_option(args *a, const char *option, const char *needs, sae_error *err)
{
    return args_fail(a, err, "--%s would do nothing: %s; or leave --%s away", option, needs, option);
}

sae_status train_check_row_effects(args *a, sae_error *err)
{
    int source = args_given(a, "model") ? LIVE : args_given(a, "store") ? STORE : ARRAY;

    for (size_t i = 0; i < sizeof row_effects / sizeof *row_effects; i++)
        if (args_given(a, row_effects[i].option) && !(row_effects[i].sources & source))
            return train_refuse_option(a, row_effects[i].option, row_effects[i].needs, err);
    if (args_given(a, "rows") && (args_given(a, "steps") || args_given(a, "order")))
        return train_refuse_option(a, "rows", "--steps (or --order) says how long the run is: leave that away", err);
    return SAE_OK;
}

static sae_status check(args *a, const effect *e, const sae_dict_config *dicts, int n, const sae_train_options *recipes,
                        const int *recipe_of, sae_error *err)
{
    bool acts = false;

    if (!args_given(a, e->option)) return SAE_OK;
    for (int i = 0; i < n && !acts; i++) acts = e->acts(&dicts[i], &recipes[recipe_of ? recipe_of[i] : 0]);
    return acts ? SAE_OK : train_refuse_option(a, e->option, e->needs, err);
}

/* Codes are computed once more, and screened, where the product and the ranking allow it; --no-screen leaves that away. */
static bool would_be_exact(const sae_dict_config *c, const sae_train_options *r)
{
    sae_train_options o = *r;

    return option_acts("no-screen", c, r) && sae_choose_exact_codes(&o, c->d_in);
}

static sae_status check_no_screen(args *a, const train_dicts *dicts, const sae_train_options *recipes,
                                  const int *recipe_of, sae_error *err)
{
    if (!args_flag(a, "no-screen")) return SAE_OK;
    for (int i = 0; i < dicts->n; i++)
        if (would_be_exact(&dicts->configs[i], &recipes[recipe_of ? recipe_of[i] : 0])) return SAE_OK;
    return train_refuse_option(
        a, "no-screen",
        "only the f32 product with latents ranked by their activations is screened: give another "
        "--encoder-dtype or --select-by (which --recipe saelens sets to norm)",
        err);
}

sae_status train_check_option(args *a, const char *option, const sae_dict_config *dict, const sae_train_options *recipe,
                              sae_error *err)
{
    sae_status status = SAE_OK;

    for (int e = 0; e < n_effects && status == SAE_OK; e++)
        if (strcmp(effects[e].option, option) == 0) status = check(a, &effects[e], dict, 1, recipe, NULL, err);
    return status;
}

sae_status train_check_effects(args *a, const train_dicts *dicts, const sae_train_options *recipes,
                               const int *recipe_of, sae_error *err)
{
    sae_status status = SAE_OK;

    for (int e = 0; e < n_effects && status == SAE_OK; e++)
        status = check(a, &effects[e], dicts->configs, dicts->n, recipes, recipe_of, err);
    return status == SAE_OK ? check_no_screen(a, dicts, recipes, recipe_of, err) : status;
}

sae_status train_check_scaffold_effects(args *a, const sae_dict_config *dicts, int n, sae_error *err)
{
    const sae_train_options recipe = {0}; /* no option of a scaffold depends on it */
    sae_status status = SAE_OK;

    for (int e = 0; e < n_effects && status == SAE_OK; e++)
        if (strncmp(effects[e].option, "scaffold-", 9) == 0)
            status = check(a, &effects[e], dicts, n, &recipe, NULL, err);
    return status;
}
