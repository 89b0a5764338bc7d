/*
 * sweep_standing.c - the dictionaries that finished in a sweep's folder before and that this command does not name: they belong to the
 * table as much as its own.
 *
 * Invariant: all dictionaries of one table were trained by the same rules for the same number of steps, and so measured on the same
 * rows, and what is not in their names is the same in all on which it acts. A command that would add others is refused.
 */
#include "cli/sweep.h"
#include "io/io.h"
#include "sae/effects.h"
#include "sae/recipe_fields.h"
#include "sae/scaffold_fields.h"

#include <math.h>
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

/* One table has dictionaries of one way: `theirs` is what this one has of it, `ours` what this command's have; NULL is null. */
static sae_status refuse(const char *path, const char *name, const char *key, const json_t *theirs, const json_t *ours,
                         sae_error *err)
{
    char *was = json_to_text(theirs ? theirs : json_null(), JSON_ENCODE_ANY | JSON_COMPACT, err);
    char *is = was ? json_to_text(ours ? ours : json_null(), JSON_ENCODE_ANY | JSON_COMPACT, err) : NULL;
    sae_status status = SAE_NOMEM;

    if (is)
        status =
            SAE_FAIL(err, SAE_STATE,
                     "%s: %s stands in this sweep and was trained with \"%s\" %s, where this command has %s%s; one "
                     "table has dictionaries of one recipe and length, made alike: give the options that the sweep "
                     "was begun with (sweep.json has them), or another --out",
                     path, name, key, was, is, recipe_difference_hint(key));
    mem_free(was);
    mem_free(is);
    return status;
}

/* STATE when this command would train the dictionary, as `name` stands there, by other constants. */
static sae_status same_rules(const sweep *s, const sae_dict_config *c, const sae_train_options *then,
                             const json_t *recipe, const char *path, const char *name, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_train_options now;
    json_t *ours = NULL, *value;
    const char *key;

    SAE_TRY(train_recipe_of(&now, s->a, &s->in, c, err));
    ours = recipe_json(&now);
    if (!ours) SAE_RAISE(err, SAE_NOMEM, "no memory to compare recipes");
    json_object_foreach((json_t *)(uintptr_t)recipe, key, value)
    {
        if (!constant_is_shared(s, key, c, then)) json_put(&ours, key, json_incref(value));
    }
    if (!ours) SAE_RAISE(err, SAE_NOMEM, "no memory to compare recipes");
    key = recipe_difference(ours, recipe);
    if (!key) goto done;
    status = refuse(path, name, key, json_object_get(recipe, key), json_object_get(ours, key), err);
done:
    json_decref(ours);
    return status;
}

/* ---- What is chosen for all at once ------------------------------------------------------------------------------------------ */

/* What train_dict_json says of it, of a scaffold also what is as usual, and the form of export (NULL: this command's). NULL: no memory. */
static json_t *choices_json(const sweep *s, const sae_dict_config *c, const json_t *export)
{
    json_t *json = train_dict_json(c, c->name);

    if (!json || c->rank == 0) return json;
    json_put(&json, "scaffold_centre", json_string(scaffold_centre_names[c->scaffold_centre]));
    json_put(&json, "scaffold_tie", json_string(scaffold_tie_names[c->scaffold_tie]));
    json_put(&json, "scaffold_lr", json_real(c->scaffold_lr));
    json_put(&json, "export", export ? json_deep_copy(export) : json_string(train_export_name(s->how)));
    return json;
}

/* Whether both have prefixes of the same shares, up to rounding where one is wider, or that end at the same latents but for the last. */
static bool same_groups(const sae_dict_config *a, const sae_dict_config *b)
{
    const double finest = 1.0 / (double)(a->d_sae < b->d_sae ? a->d_sae : b->d_sae);
    bool ends = true, shares = a->d_sae != b->d_sae;

    if (a->n_groups != b->n_groups) return false;
    for (int g = 0; g < a->n_groups - 1; g++) {
        double x = (double)a->groups[g] / (double)a->d_sae, y = (double)b->groups[g] / (double)b->d_sae;
        ends = ends && a->groups[g] == b->groups[g];
        shares = shares && fabs(x - y) < finest;
    }
    return ends || shares;
}

/* The first that this command names and on which the option acts; NULL: there is none. */
static const sae_dict_config *first_with(const sweep *s, const char *option)
{
    for (int i = 0; i < s->n_asked; i++)
        if (option_acts(option, &s->dicts.configs[i], &s->recipes[s->recipe_of[i]])) return &s->dicts.configs[i];
    return NULL;
}

/* STATE when an option that is no axis of the grid, and so in no name, made the dictionary other than those that this command names.
 * They have one value of it, but for the prefixes, which go with the width. */
static sae_status same_choices(const sweep *s, const sae_dict_config *c, const sae_train_options *then,
                               const json_t *dict, const char *path, sae_error *err)
{
    static const struct choice {
        const char *key, *option;
    } choices[] = {{"scaffold_start", "scaffold-start"},
                   {"scaffold_steps", "scaffold-steps"},
                   {"scaffold_frozen", "scaffold-freeze"},
                   {"scaffold_last", "scaffold-last"},
                   {"scaffold_centre", "scaffold-centre"},
                   {"scaffold_tie", "scaffold-tie"},
                   {"scaffold_lr", "scaffold-lr"},
                   {"export", "scaffold"},
                   {"skip", "skip"},
                   {"groups", "groups"}};
    sae_status status = SAE_OK;
    json_t *theirs = choices_json(s, c, json_object_get(dict, "export")), *ours = NULL;

    for (size_t k = 0; k < sizeof choices / sizeof *choices; k++) {
        const char *key = choices[k].key;
        const sae_dict_config *now = first_with(s, choices[k].option);
        bool groups = strcmp(key, "groups") == 0;
        if (!now || !option_acts(choices[k].option, c, then)) continue;
        for (int i = 0; groups && i < s->n_asked && same_groups(c, now); i++)
            if (s->dicts.configs[i].n_groups > 0) now = &s->dicts.configs[i];
        json_decref(ours);
        ours = choices_json(s, now, NULL);
        if (!theirs || !ours) SAE_RAISE(err, SAE_NOMEM, "no memory to compare dictionaries");
        const json_t *was = json_object_get(theirs, key), *is = json_object_get(ours, key);
        if (groups ? !same_groups(c, now) : !json_equal(was, is)) SAE_TRY(refuse(path, c->name, key, was, is, err));
    }
done:
    json_decref(theirs);
    json_decref(ours);
    return status;
}

/* ---- Taking them ------------------------------------------------------------------------------------------------------------- */

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
    s->dicts.names[n] = s->dicts.name_space[n];
    s->recipe_of[n] = k;
    s->finished[n] = true;
    s->diverged[n] = diverged;
    s->group[n] = 0;
    s->dicts.n++;
done:
    return status;
}

/* As dictionaries are called (train_dicts.c): NAME-s1. */
static bool is_called_like_ours(const char *name)
{
    const char *seed = strrchr(name, '-');

    return seed && seed[1] == 's' && seed[2] && seed[2 + strspn(seed + 2, "0123456789")] == '\0';
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
    if (status == SAE_FORMAT) { /* of another name it is somebody's own */
        status = SAE_OK;
        if (is_called_like_ours(name))
            warn("%s: it is damaged, and %s is left out: a command that names it trains it again", unread.message,
                 name);
    }
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
    snprintf(c.name, sizeof c.name, "%s", name);
    SAE_TRY(same_rules(s, &c, &r, recipe, path, name, err));
    SAE_TRY(same_choices(s, &c, &r, dict, path, err));
    SAE_TRY(append(s, &c, &r, recipe, name, diverged, err));
    sweep_note_text(s, result);
done:
    json_decref(result);
    mem_free(path);
    return status;
}

bool sweep_asks_for(const sweep *s, const char *name)
{
    for (int k = 0; k < s->n_asked; k++)
        if (strcmp(name, s->dicts.names[k]) == 0) return true;
    return false;
}

sae_status sweep_take_standing(sweep *s, char **names, int n, sae_error *err)
{
    sae_status status = make_room(s, n, err);

    for (int i = 0; i < n && status == SAE_OK; i++)
        if (!sweep_asks_for(s, names[i])) status = take_one(s, names[i], err);
    return status;
}
