/*
 * sweep_standing.c - the dictionaries that finished in a sweep's folder before and that this command does not name: they belong to the
 * table as much as its own.
 *
 * Invariant: all dictionaries of one table were trained by the same rules for the same number of steps, and so measured on the same
 * rows. A command that would add others is refused.
 */
#include "cli/sweep.h"
#include "io/io.h"
#include "sae/effects.h"
#include "sae/recipe_fields.h"

#include <stdio.h>
#include <string.h>

/* Whether the constant that recipe_json calls `key` has a part in the dictionary's training. */
static bool constant_acts(const char *key, const sae_dict_config *c, const sae_train_options *r)
{
#define ACTS(field, type, option, argument, help)                                                                      \
    if (strcmp(key, #field) == 0) return option_acts(option, c, r);
    RECIPE_FIELDS(ACTS)
    return strcmp(key, "exact_codes") != 0 || option_acts("exact-codes", c, r);
}

/* It has one in what stands there and in what this command names: jumprelu's own do not keep a topk away. */
static bool constant_is_shared(const sweep *s, const char *key, const sae_dict_config *c, const sae_train_options *r)
{
    if (!constant_acts(key, c, r)) return false;
    for (int i = 0; i < s->n_asked; i++)
        if (constant_acts(key, &s->dicts.configs[i], &s->recipes[s->recipe_of[i]])) return true;
    return false;
}

/* STATE when this command would train the dictionary, as `name` stands there, by other constants. */
static sae_status same_rules(const sweep *s, const sae_dict_config *c, const sae_train_options *then,
                             const json_t *recipe, const char *path, const char *name, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_train_options now;
    json_t *ours = NULL, *value;
    char *was = NULL, *is = NULL;
    const char *key;

    SAE_TRY(train_recipe_of(&now, s->a, &s->in, c, err));
    ours = recipe_json(&now);
    if (!ours) SAE_RAISE(err, SAE_NOMEM, "no memory to compare recipes");
    json_object_foreach((json_t *)(uintptr_t)recipe, key, value)
    {
        if (!constant_is_shared(s, key, c, then)) json_put(&ours, key, json_incref(value));
    }
    if (!ours) SAE_RAISE(err, SAE_NOMEM, "no memory to compare recipes");
    key = json_any_difference(ours, recipe);
    if (!key) goto done;
    const json_t *theirs = json_object_get(recipe, key), *mine = json_object_get(ours, key);
    was = json_to_text(theirs ? theirs : json_null(), JSON_ENCODE_ANY, err);
    is = json_to_text(mine ? mine : json_null(), JSON_ENCODE_ANY, err);
    if (!was || !is) SAE_TRY(SAE_NOMEM);
    SAE_RAISE(err, SAE_STATE,
              "%s: %s stands in this sweep and was trained with \"%s\" %s, where this command has %s%s; one table has "
              "dictionaries of one recipe and length: give the options that the sweep was begun with (sweep.json has "
              "them), or another --out; --force makes all anew",
              path, name, key, was, is, recipe_difference_hint(key));
done:
    mem_free(was);
    mem_free(is);
    json_decref(ours);
    return status;
}

/* Room for so many more dictionaries, each with a recipe of its own. */
static sae_status make_room(sweep *s, int more, sae_error *err)
{
    size_t n = (size_t)s->dicts.n, room = n + (size_t)more;

    /* Each grows by itself, so that a failure leaves all owned. */
#define GROW(array)                                                                                                    \
    do {                                                                                                               \
        void *larger = mem_grow(array, n * sizeof *(array), room * sizeof *(array), "a sweep", err);                   \
        if (!larger) return SAE_NOMEM;                                                                                 \
        (array) = larger;                                                                                              \
    } while (0)
    GROW(s->dicts.configs);
    GROW(s->dicts.names);
    GROW(s->dicts.name_space);
    for (size_t i = 0; i < n; i++) s->dicts.names[i] = s->dicts.name_space[i];
    GROW(s->finished);
    GROW(s->diverged);
    GROW(s->group);
    GROW(s->recipe_of);
    GROW(s->recipes); /* there are at most n */
#undef GROW
    return SAE_OK;
}

static sae_status append(sweep *s, const sae_dict_config *c, const sae_train_options *r, const json_t *recipe,
                         const char *name, bool diverged, sae_error *err)
{
    sae_status status = SAE_OK;
    int n = s->dicts.n, k = 0;
    char key[RECIPE_KEY_ROOM] = "";

    for (; k < s->n_recipes; k++) {
        SAE_TRY(train_recipe_differs(&s->recipes[k], recipe, key, err));
        if (!*key) break;
    }
    if (k == s->n_recipes) s->recipes[s->n_recipes++] = *r;
    s->dicts.configs[n] = *c;
    snprintf(s->dicts.name_space[n], sizeof *s->dicts.name_space, "%s", name);
    snprintf(s->dicts.configs[n].name, sizeof s->dicts.configs[n].name, "%s", name);
    s->dicts.names[n] = s->dicts.name_space[n];
    s->recipe_of[n] = k;
    s->finished[n] = true;
    s->diverged[n] = diverged;
    s->group[n] = 0;
    s->dicts.n++;
done:
    return status;
}

/* OUT/NAME, where it is a finished dictionary of a sweep on rows of this width. */
static sae_status take_one(sweep *s, const char *name, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_error unread = {0};
    bool finished = false, diverged = false;
    json_t *result = NULL;
    char *path = NULL;
    sae_dict_config c;
    sae_train_options r;

    status = sweep_read_result(s, name, &finished, &diverged, &result, &path, &unread);
    if (status == SAE_FORMAT) status = SAE_OK; /* somebody's own */
    if (status != SAE_OK) SAE_RAISE(err, status, "%s", unread.message);
    const char *own = json_string_value(json_object_get(result, "name"));
    const json_t *dict = json_object_get(result, "dictionary"), *recipe = json_object_get(result, "recipe");
    if (!finished || !own || strcmp(own, name) != 0 || strlen(name) >= sizeof *s->dicts.name_space) goto done;
    if (!json_is_object(dict)) {
        warn("%s does not say all of %s: an older version of this program wrote it, and it is left out of the table",
             path, name);
        goto done;
    }
    SAE_TRY(train_dict_read(&c, dict, path, err));
    SAE_TRY(recipe_read(&r, recipe, c.d_in, path, err));
    SAE_TRY(same_rules(s, &c, &r, recipe, path, name, err));
    SAE_TRY(append(s, &c, &r, recipe, name, diverged, err));
done:
    json_decref(result);
    mem_free(path);
    return status;
}

sae_status sweep_take_standing(sweep *s, char **names, int n, sae_error *err)
{
    sae_status status = make_room(s, n, err);

    for (int i = 0; i < n && status == SAE_OK; i++) {
        bool asked = false;
        for (int k = 0; k < s->n_asked && !asked; k++) asked = strcmp(names[i], s->dicts.names[k]) == 0;
        if (!asked) status = take_one(s, names[i], err);
    }
    return status;
}
