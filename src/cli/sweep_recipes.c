/*
 * sweep_recipes.c - by which constants each dictionary of a sweep is trained: the recipe's for its architecture and width. What
 * shares all of them can be trained together.
 *
 * Invariant: no dictionary is gone on with, or taken as finished, that was trained by others.
 */
#include "cli/sweep.h"
#include "sae/recipe_fields.h"
#include "sae/train.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The number of a recipe that is there already; -1: none is like it. What recipe_json says of each stands in texts [s->n_recipes]. */
static int find_recipe(const sweep *s, char *const *texts, const char *text)
{
    for (int k = 0; k < s->n_recipes; k++)
        if (strcmp(texts[k], text) == 0) return k;
    return -1;
}

static char *recipe_text(const sae_train_options *r, sae_error *err)
{
    json_t *json = recipe_json(r);
    char *text = json ? json_to_text(json, JSON_COMPACT, err) : NULL;

    if (!json) SAE_FAIL(err, SAE_NOMEM, "no memory to compare recipes");
    json_decref(json);
    return text;
}

static sae_status check(const sweep *s, sae_error *err)
{
    for (int i = 0; i < s->dicts.n; i++) {
        sae_status status =
            args_checked(s->a, trainer_check(&s->dicts.configs[i], 1, &s->recipes[s->recipe_of[i]], err));
        if (status == SAE_OK) continue;
        sae_error_prefix(err, "%s", s->dicts.names[i]);
        return status;
    }
    return SAE_OK;
}

sae_status sweep_make_recipes(sweep *s, sae_error *err)
{
    sae_status status = SAE_OK;
    char **texts = mem_alloc_array((size_t)s->dicts.n, sizeof *texts, "the recipes", err), *text = NULL;

    s->recipes = mem_alloc_array((size_t)s->dicts.n, sizeof *s->recipes, "the recipes", err);
    s->recipe_of = mem_alloc_array((size_t)s->dicts.n, sizeof *s->recipe_of, "the recipes", err);
    if (!texts || !s->recipes || !s->recipe_of) SAE_TRY(SAE_NOMEM);
    for (int i = 0; i < s->dicts.n; i++) {
        sae_train_options r;
        SAE_TRY(train_recipe_of(&r, s->a, &s->in, &s->dicts.configs[i], err));
        mem_free(text);
        text = recipe_text(&r, err);
        if (!text) SAE_TRY(SAE_NOMEM);
        s->recipe_of[i] = find_recipe(s, texts, text);
        if (s->recipe_of[i] >= 0) continue;
        texts[s->n_recipes] = text;
        text = NULL;
        s->recipes[s->recipe_of[i] = s->n_recipes++] = r;
    }
    SAE_TRY(train_check_effects(s->a, &s->dicts, s->recipes, s->recipe_of, err));
    SAE_TRY(check(s, err));
    SAE_TRY(train_recipe_warn_family(s->a, &s->dicts, err));
    for (int k = 0; k < s->n_recipes; k++) train_recipe_warn(s->a, &s->recipes[k]);
    train_recipe_warn_target(&s->dicts, s->recipes, s->recipe_of);
done:
    for (int k = 0; texts && k < s->n_recipes; k++) mem_free(texts[k]);
    mem_free(texts);
    mem_free(text);
    return status;
}

json_t *sweep_recipes_json(const sweep *s)
{
    json_t *all = json_array();

    if (s->n_recipes == 1) {
        json_decref(all);
        return recipe_json(s->recipes);
    }
    for (int k = 0; all && k < s->n_recipes; k++) {
        json_t *names = json_array();
        for (int i = 0; i < s->dicts.n; i++)
            if (s->recipe_of[i] == k) json_array_append_new(names, json_string(s->dicts.names[i]));
        json_t *one = json_pack("{soso}", "dictionaries", names, "constants", recipe_json(&s->recipes[k]));
        if (one && json_array_append_new(all, one) == 0) continue;
        json_decref(all);
        return NULL;
    }
    return all;
}

json_t *sweep_dict_json(const sweep *s, int i)
{
    const sae_dict_config *c = &s->dicts.configs[i];
    json_t *dict = train_dict_json(c, s->dicts.names[i]);

    if (dict && c->rank > 0) json_put(&dict, "export", json_string(train_export_name(s->how)));
    return dict;
}

sae_status sweep_same_dict(const sweep *s, int i, const json_t *dict, const json_t *recipe, const char *path,
                           sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *ours = sweep_dict_json(s, i);
    char key[RECIPE_KEY_ROOM] = "";

    if (!ours) SAE_RAISE(err, SAE_NOMEM, "no memory to compare %s", s->dicts.names[i]);
    if (!json_is_object(dict))
        SAE_RAISE(err, SAE_STATE,
                  "%s: does not say all of %s: an older version of this program wrote it; go on with that version, or "
                  "use another --out",
                  path, s->dicts.names[i]);
    const char *other = json_any_difference(ours, dict);
    if (other)
        snprintf(key, sizeof key, "%s", other);
    else
        SAE_TRY(train_recipe_differs(&s->recipes[s->recipe_of[i]], recipe, key, err));
    if (!*key) goto done;
    SAE_RAISE(err, SAE_STATE,
              "%s: %s was begun with another \"%s\"%s: use the options that it was begun with, or another --out", path,
              s->dicts.names[i], key, recipe_difference_hint(key));
done:
    json_decref(ours);
    return status;
}

/* Of each recipe [s->n_recipes], by a calibration with what is still to be trained by it: groups are told by its pace and their own
 * arithmetic, however many they are. */
static sae_status measure_recipes(const sweep *s, train_pace *paces, sae_error *err)
{
    sae_status status = SAE_OK;
    sweep_part p = {0};
    int *of = mem_alloc_array((size_t)s->dicts.n, sizeof *of, "the plan", err);

    if (!of) return SAE_NOMEM;
    for (int i = 0; i < s->dicts.n; i++) of[i] = s->finished[i] ? -1 : s->recipe_of[i];
    for (int k = 0; k < s->n_recipes; k++) {
        sweep_part_free(&p);
        SAE_TRY(sweep_part_make(&p, s, of, k, err));
        if (p.dicts.n == 0) continue;
        for (int j = 0; j < k; j++) {
            paces[k].model_row = fmax(paces[k].model_row, paces[j].model_row);
            paces[k].pca = fmax(paces[k].pca, paces[j].pca);
        }
        SAE_TRY(train_plan_measure(&paces[k], &s->in, &p.dicts, p.recipe, err));
    }
done:
    sweep_part_free(&p);
    mem_free(of);
    return status;
}

sae_status sweep_tell_plan(const sweep *s, sae_error *err)
{
    sae_status status = SAE_OK;
    bool as_json = args_flag(s->a, "json");
    sweep_part p = {0};
    train_pace *paces = mem_alloc_array((size_t)s->n_recipes, sizeof *paces, "the plan", err);
    json_t *all = json_array(), *one = NULL;
    int open = 0, place = 0;

    if (!paces) SAE_TRY(SAE_NOMEM);
    if (!all) SAE_RAISE(err, SAE_NOMEM, "no memory for the plan");
    SAE_TRY(measure_recipes(s, paces, err));
    for (int g = 1; g <= s->n_groups; g++) open += sweep_group_is_open(s, g);
    for (int g = 1; g <= s->n_groups; g++) {
        if (!sweep_group_is_open(s, g)) continue;
        sweep_part_free(&p);
        SAE_TRY(sweep_part_make(&p, s, s->group, g, err));
        place++;
        if (open > 1 && !as_json)
            printf("%sgroup %d of %d: %s%s\n", place > 1 ? "\n" : "", place, open, p.dicts.names[0],
                   p.dicts.n > 1 ? ", ..." : "");
        SAE_TRY(train_plan_tell(&s->in, &p.dicts, p.recipe, &paces[p.recipe - s->recipes],
                                sweep_part_measure_bytes(s, &p), as_json ? &one : NULL, err));
        if (one && json_array_append_new(all, one)) SAE_RAISE(err, SAE_NOMEM, "no memory for the plan");
        one = NULL;
    }
    if (as_json) SAE_TRY(print_json(open == 1 ? json_array_get(all, 0) : all, err));
done:
    json_decref(all);
    sweep_part_free(&p);
    mem_free(paces);
    return status;
}
