/*
 * train_effects.c - refuses an option that the user gave and that can do nothing, with the reason: better than a run that is not what
 * was asked for.
 *
 * Which options act on which dictionaries says src/sae/effects.c; which on which rows, the table here.
 */
#include "cli/train.h"
#include "sae/effects.h"

enum { LIVE = 1, STORE = 2, ARRAY = 4 };

static const struct row_effect {
    const char *option;
    int sources; /* that it acts on */
    const char *needs;
} row_effects[] = {
    {"text", LIVE, "rows of a store or an array are there already: text goes with --model"},
    {"site", LIVE | STORE, "an array does not say where its rows were read: a site goes with --model"},
    {"ctx", LIVE, "sequences are made of text, which goes with --model"},
    {"separator", LIVE, "sequences are made of text, which goes with --model"},
    {"max-norm", LIVE, "rows of a store or an array are taken as they are (sae acts has --max-norm)"},
    {"buffer", LIVE, "rows of a store or an array are shuffled without a buffer: it goes with --model"},
};

static sae_status refuse(args *a, const char *option, const char *needs, sae_error *err)
{
    return args_fail(a, err, "--%s would do nothing: %s; or leave --%s away", option, needs, option);
}

sae_status train_check_row_effects(args *a, sae_error *err)
{
    int source = args_given(a, "model") ? LIVE : args_given(a, "store") ? STORE : ARRAY;

    for (size_t i = 0; i < sizeof row_effects / sizeof *row_effects; i++)
        if (args_given(a, row_effects[i].option) && !(row_effects[i].sources & source))
            return refuse(a, row_effects[i].option, row_effects[i].needs, err);
    if (args_given(a, "rows") && (args_given(a, "steps") || args_given(a, "order")))
        return refuse(a, "rows", "--steps (or --order) says how long the run is", err);
    return SAE_OK;
}

sae_status train_check_effects(args *a, const train_dicts *dicts, const sae_train_options *recipes,
                               const int *recipe_of, sae_error *err)
{
    for (int e = 0; e < n_effects; e++) {
        bool acts = false;
        if (!args_given(a, effects[e].option)) continue;
        for (int i = 0; i < dicts->n && !acts; i++)
            acts = effects[e].acts(&dicts->configs[i], &recipes[recipe_of ? recipe_of[i] : 0]);
        if (!acts) return refuse(a, effects[e].option, effects[e].needs, err);
    }
    return SAE_OK;
}
