/* dict_set.c - loads the dictionaries that a command is given and finds short names for them. */
#include "cli/dict_set.h"

#include <string.h>

void dict_set_close(dict_set *s)
{
    for (int i = 0; s->at && i < s->n; i++) sae_dict_free(s->at[i]);
    for (int i = 0; s->names && i < s->n; i++) mem_free(s->names[i]);
    mem_free(s->names);
    mem_free(s->at);
    *s = (dict_set){0};
}

/* The last folder of a path but for a trailing "sae", as `sae sweep` and `sae train` name theirs. */
static sae_status short_name(const char *path, char **out, sae_error *err)
{
    char *copy = mem_strdup(path, err), *slash;

    if (!copy) return SAE_NOMEM;
    for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--) copy[n - 1] = '\0';
    slash = strrchr(copy, '/');
    if (slash && slash > copy && strcmp(slash, "/sae") == 0) {
        *slash = '\0';
        slash = strrchr(copy, '/');
    }
    *out = mem_strdup(slash && slash[1] ? slash + 1 : copy, err);
    mem_free(copy);
    return *out ? SAE_OK : SAE_NOMEM;
}

/* Short names, or the paths themselves when two short ones are the same. */
static sae_status name_dicts(dict_set *s, sae_error *err)
{
    sae_status status = SAE_OK;
    bool clash = false;

    for (int i = 0; i < s->n; i++) SAE_TRY(short_name(s->paths[i], &s->names[i], err));
    for (int i = 0; i < s->n; i++)
        for (int j = 0; j < i; j++) clash = clash || strcmp(s->names[i], s->names[j]) == 0;
    for (int i = 0; clash && i < s->n; i++) {
        mem_free(s->names[i]);
        s->names[i] = mem_strdup(s->paths[i], err);
        if (!s->names[i]) SAE_TRY(SAE_NOMEM);
    }
done:
    return status;
}

sae_status dict_set_open(dict_set *out, const char *const *paths, int n, sae_error *err)
{
    sae_status status = SAE_OK;
    dict_set s = {.paths = paths};

    s.at = mem_alloc_array((size_t)n + 1, sizeof(sae_dict *), "dictionaries", err);
    s.names = mem_alloc_array((size_t)n + 1, sizeof(char *), "names of dictionaries", err);
    if (!s.at || !s.names) SAE_TRY(SAE_NOMEM);
    for (; s.n < n; s.n++) SAE_TRY(sae_dict_load(&s.at[s.n], paths[s.n], err));
    SAE_TRY(name_dicts(&s, err));
    *out = s;
    s = (dict_set){0};
done:
    dict_set_close(&s);
    return status;
}

static bool are_one(sae_dict *a, sae_dict *b)
{
    const sae_dict_config *x = sae_dict_get_config(a), *y = sae_dict_get_config(b);
    const sae_weights v = sae_dict_weights(a), w = sae_dict_weights(b);

    if (x->d_in != y->d_in || x->d_out != y->d_out || x->d_sae != y->d_sae || x->rank != y->rank) return false;
    const size_t d_out = (size_t)(x->d_out ? x->d_out : x->d_in) * sizeof(float);
    return memcmp(v.W_enc, w.W_enc, (size_t)(x->d_sae * x->d_in) * sizeof(float)) == 0 &&
           memcmp(v.W_dec, w.W_dec, (size_t)x->d_sae * d_out) == 0 &&
           (x->rank == 0 || memcmp(v.W_up, w.W_up, (size_t)x->rank * d_out) == 0);
}

sae_status dict_set_check_differ(const dict_set *s, sae_error *err)
{
    for (int i = 0; i < s->n; i++)
        for (int j = 0; j < i; j++)
            if (are_one(s->at[i], s->at[j]))
                return SAE_FAIL(err, SAE_STATE,
                                "%s and %s are the same dictionary, which is like itself whatever it learned: give "
                                "each once",
                                s->paths[j], s->paths[i]);
    return SAE_OK;
}

sae_status scaffold_check(const sae_dict *dict, const char *path, sae_error *err)
{
    const sae_dict_config *c = sae_dict_get_config(dict);

    if (c->rank == 0) return SAE_FAIL(err, SAE_STATE, "%s has no scaffold (rank 0): give one that has", path);
    if (c->d_out > 0)
        return SAE_FAIL(err, SAE_UNSUPPORTED, "%s is a transcoder: its scaffold reads one site and writes another",
                        path);
    return SAE_OK;
}
