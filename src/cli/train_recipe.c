/* train_recipe.c - the constants of a run: a recipe by its name, and what the user set in its place. */
#include "cli/train.h"

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
    if (end == how || *end) return args_fail(a, err, "--scale-input %s: use unit, none or a number", how);
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

/* All but the learning rate. */
static bool same_rules(const sae_train_options *a, const sae_train_options *b)
{
    sae_train_options other = *b;
    json_t *x = recipe_json(a), *y;

    other.lr = a->lr;
    y = recipe_json(&other);
    bool same = json_equal(x, y);
    json_decref(x);
    json_decref(y);
    return same;
}

sae_status train_recipe_make(sae_train_options *r, args *a, const train_input *in, const train_dicts *dicts,
                             sae_error *err)
{
    static const char *const recipes[] = {"saebench", "saelens", "dictionary_learning", "openai", "sparsify", NULL};
    static const char *const dtypes[] = {"f32", "bf16", NULL};
    sae_status status = SAE_OK;
    int which = 0, type = 0, choice = 0;
    int64_t batch = args_int(a, "batch", 2048), steps = args_int(a, "steps", 0);
    const row_order *order = in->order.pool ? &in->order : NULL;

    if (order && !args_given(a, "batch")) batch = order->batch;
    if (batch < 1) SAE_TRY(args_fail(a, err, "--batch must be at least 1"));
    if (order && !args_given(a, "steps"))
        steps = order->n_steps;
    else if (!args_given(a, "steps"))
        steps = (args_int(a, "rows", 0) + batch - 1) / batch;
    if (order && (batch != order->batch || steps > order->n_steps))
        SAE_TRY(args_fail(a, err, "the order holds %lld steps of %lld rows; asked for are %lld of %lld",
                          (long long)order->n_steps, (long long)order->batch, (long long)steps, (long long)batch));
    SAE_TRY(args_choice(a, "recipe", recipes, &which, err));
    SAE_TRY(args_choice(a, "encoder-dtype", dtypes, &type, err));
    *r = sae_recipe((sae_recipe_name)which, dicts->configs[0].arch, batch, steps, dicts->configs[0].d_sae);
    for (int i = 1; i < dicts->n; i++) {
        sae_train_options other =
            sae_recipe((sae_recipe_name)which, dicts->configs[i].arch, batch, steps, dicts->configs[i].d_sae);
        if (other.lr != r->lr && !args_given(a, "lr"))
            SAE_TRY(
                args_fail(a, err, "the recipe's learning rate depends on width and arch: give --lr, or one of each"));
        if (!same_rules(r, &other))
            SAE_TRY(args_fail(a, err, "the recipe trains these --arch by different rules: give one --arch"));
    }
#define TAKE_COUNT(field, option, names) r->field = args_int(a, option, r->field);
#define TAKE_REAL(field, option, names)  r->field = args_real(a, option, r->field);
#define TAKE_CHOICE(field, option, names)                                                                              \
    SAE_TRY(choice_option(a, option, names, (int)r->field, &choice, err));                                             \
    r->field = choice;
#define TAKE(field, type, option, argument, help) TAKE_##type(field, option, argument)
    RECIPE_FIELDS(TAKE)
    r->encoder_dtype = type ? SAE_ENCODER_BF16 : SAE_ENCODER_F32;
    r->exact_codes = args_flag(a, "exact-codes");
    r->screen = args_flag(a, "screen");
    if (r->screen && type) SAE_TRY(args_fail(a, err, "--screen stands in for the f32 product: use it without bf16"));
    SAE_TRY(scale_option(r, a, err));
done:
    return status;
}
