/* train_recipe.c - the constants of a run: a recipe by its name, and what the user set in its place. */
#include "cli/train.h"
#include "sae/train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sae_status scale_option(sae_train_options *r, args *a, sae_error *err)
{
    const char *how = args_text(a, "scale-input");
    char *end = NULL;

    if (!how) return SAE_OK;
    r->unit_scale = strcmp(how, "unit") == 0;
    r->input_scale = 1.0;
    if (r->unit_scale || strcmp(how, "none") == 0) return SAE_OK;
    r->input_scale = strtod(how, &end);
    if (end == how || *end || !is_input_scale(r->input_scale)) /* here too: a plan trains rows of unit scale */
        return args_fail(a, err,
                         "--scale-input %s: use unit, none or a number above 0 (that float32 holds, as 1 over it: from "
                         "1e-38 to 1e38)",
                         how);
    return SAE_OK;
}

/* The value of an option whose names stand in "first|second"; `otherwise` when it is not given. */
static sae_status choice_option(args *a, const char *option, const char *names, int otherwise, int *value,
                                sae_error *err)
{
    const char *name = args_text(a, option);

    *value = name ? recipe_choice_find(names, name) : otherwise;
    if (*value < 0) return args_fail(a, err, "--%s %s: expected one of %s", option, name, names);
    return SAE_OK;
}

/* How kept latents are found, and what their codes are. */
static sae_status screen_options(sae_train_options *r, args *a, int64_t d_in, sae_error *err)
{
    bool asked = args_flag(a, "screen"), refused = args_flag(a, "no-screen"), exact = args_flag(a, "exact-codes");

    if (asked && refused) return args_fail(a, err, "--screen and --no-screen: give one of them");
    if (exact && !refused)
        return args_fail(a, err,
                         "--exact-codes would do nothing: without --no-screen codes are exact wherever they can be; "
                         "give both, or leave --exact-codes away");
    bool possible = sae_choose_exact_codes(r, d_in);
    if ((asked || exact) && !possible)
        return args_fail(a, err,
                         "--%s is for the f32 product and latents ranked by their activations: leave it away, or "
                         "--encoder-dtype and --select-by (which --recipe saelens sets to norm)",
                         asked ? "screen" : "exact-codes");
    if (refused) {
        r->exact_codes = exact;
        r->screen = false;
    }
    r->screen = r->screen || asked;
    return SAE_OK;
}

sae_status train_recipe_name(args *a, sae_recipe_name *out, sae_error *err)
{
    static const char *const names[] = {"saebench", "saelens", "dictionary_learning", "openai", "sparsify", NULL};
    int which = 0;
    sae_status status = args_choice(a, "recipe", names, &which, err);

    *out = (sae_recipe_name)which;
    return status;
}

sae_status train_batch(args *a, int64_t *batch, sae_error *err)
{
    sae_recipe_name which;
    sae_status status = train_recipe_name(a, &which, err);

    if (status == SAE_OK) *batch = args_int(a, "batch", recipe_batch(which));
    return status;
}

static const int64_t MOST_ROWS = (int64_t)1 << 50;

/* Batch and steps: as given, or those of an order. */
static sae_status run_size(args *a, const train_input *in, int64_t *batch, int64_t *steps, sae_error *err)
{
    const row_order *order = in->order.pool ? &in->order : NULL;
    sae_status status = train_batch(a, batch, err);

    if (status != SAE_OK) return status;
    if (order && !args_given(a, "batch")) *batch = order->batch;
    if (*batch < 1) return args_fail(a, err, "--batch must be at least 1");
    if (args_int(a, "rows", 0) > MOST_ROWS || args_int(a, "steps", 0) > MOST_ROWS / *batch)
        return args_fail(a, err, "a run takes at most 2^50 rows");
    if (args_given(a, "steps"))
        *steps = args_int(a, "steps", 0);
    else
        *steps = order ? order->n_steps : (args_int(a, "rows", 0) + *batch - 1) / *batch;
    if (order && (*batch != order->batch || *steps > order->n_steps))
        return args_fail(a, err, "the order holds %lld steps of %lld rows; asked for are %lld of %lld",
                         (long long)order->n_steps, (long long)order->batch, (long long)*steps, (long long)*batch);
    return SAE_OK;
}

sae_status train_recipe_of(sae_train_options *r, args *a, const train_input *in, const sae_dict_config *dict,
                           sae_error *err)
{
    static const char *const dtypes[] = {"f32", "bf16", NULL};
    sae_status status = SAE_OK;
    sae_recipe_name which;
    int type = 0, choice = 0;
    int64_t batch = 0, steps = 0;

    SAE_TRY(run_size(a, in, &batch, &steps, err));
    SAE_TRY(train_recipe_name(a, &which, err));
    SAE_TRY(args_choice(a, "encoder-dtype", dtypes, &type, err));
    *r = sae_recipe(which, dict->arch, batch, steps, dict->d_sae);
#define TAKE_COUNT(field, option, names) r->field = args_int(a, option, r->field);
#define TAKE_REAL(field, option, names)  r->field = args_real(a, option, r->field);
#define TAKE_CHOICE(field, option, names)                                                                              \
    SAE_TRY(choice_option(a, option, names, (int)r->field, &choice, err));                                             \
    r->field = choice;
#define TAKE(field, type, option, argument, help) TAKE_##type(field, option, argument)
    RECIPE_FIELDS(TAKE)
    r->encoder_dtype = type ? SAE_ENCODER_BF16 : SAE_ENCODER_F32;
    SAE_TRY(screen_options(r, a, dict->d_in, err));
    SAE_TRY(scale_option(r, a, err));
done:
    return status;
}

sae_status train_recipe_differs(const sae_train_options *ours, const json_t *theirs, char name[RECIPE_KEY_ROOM],
                                sae_error *err)
{
    json_t *json = recipe_json(ours);

    if (!json) return SAE_FAIL(err, SAE_NOMEM, "no memory to compare recipes");
    const char *key = recipe_difference(json, theirs);
    snprintf(name, RECIPE_KEY_ROOM, "%s", key ? key : "");
    json_decref(json);
    return SAE_OK;
}

sae_status train_recipe_make(sae_train_options *out, args *a, const train_input *in, const train_dicts *dicts,
                             sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *first = NULL;
    char key[RECIPE_KEY_ROOM];

    SAE_TRY(train_recipe_of(out, a, in, &dicts->configs[0], err));
    first = recipe_json(out);
    if (!first) SAE_RAISE(err, SAE_NOMEM, "no memory for the recipe");
    for (int i = 1; i < dicts->n; i++) {
        sae_train_options other;
        SAE_TRY(train_recipe_of(&other, a, in, &dicts->configs[i], err));
        SAE_TRY(train_recipe_differs(&other, first, key, err));
        if (*key)
            SAE_TRY(args_fail(a, err,
                              "--recipe %s has another %s for %s than for %s, and one run trains all by the same: use "
                              "`sae sweep`, which trains each by its own, or one --arch and --width",
                              args_text(a, "recipe"), key, dicts->names[i], dicts->names[0]));
    }
    SAE_TRY(train_check_effects(a, dicts, out, NULL, err));
done:
    json_decref(first);
    return status;
}

void train_recipe_warn(args *a, const sae_train_options *r)
{
    enum { FEW_STEPS = 100 };

    if (r->warmup_steps >= r->steps)
        warn("the learning rate grows for %lld steps and the run has %lld: it never gets to %g; give more --rows, or "
             "--warmup-steps",
             (long long)r->warmup_steps, (long long)r->steps, r->lr);
    if (r->sparsity_warmup_steps > 0 && r->sparsity_warmup_steps >= r->steps)
        warn("the sparsity penalty grows for %lld steps and the run has %lld: give more --rows, or "
             "--sparsity-warmup-steps",
             (long long)r->sparsity_warmup_steps, (long long)r->steps);
    if (!args_given(a, "batch") && !args_given(a, "steps") && r->steps < FEW_STEPS)
        warn("%lld steps of the recipe's %lld rows are few: give more --rows, or a smaller --batch",
             (long long)r->steps, (long long)r->batch);
}

void train_recipe_warn_target(const train_dicts *dicts, const sae_train_options *recipes, const int *recipe_of)
{
    for (int i = 0; i < dicts->n; i++) {
        const sae_dict_config *c = &dicts->configs[i];
        bool aims = c->arch == SAE_JUMPRELU && recipes[recipe_of ? recipe_of[i] : 0].l0_rule != SAE_L0_LINEAR;
        if (!aims || c->k <= c->d_in) continue;
        warn("%s aims at an L0 of %lld, and a row has %lld columns: so many latents may never be active together, and "
             "it "
             "would be no sparse code; give a --k below %lld",
             dicts->names[i], (long long)c->k, (long long)c->d_in, (long long)c->d_in);
        break;
    }
}

sae_status train_recipe_warn_family(args *a, const train_dicts *dicts, sae_error *err)
{
    sae_recipe_name which;
    sae_status status = train_recipe_name(a, &which, err);

    if (status != SAE_OK) return status;
    for (int i = 0; i < dicts->n; i++) {
        if (recipe_knows_family(which, dicts->configs[i].arch)) continue;
        warn("--recipe %s trains topk and nothing else: what it sets is taken for %s, but stands for no published "
             "training; give --arch topk, or another --recipe",
             args_text(a, "recipe"), train_arch_name(dicts->configs[i].arch));
        break;
    }
    return SAE_OK;
}
