/* training_record.c - finds and reads the record of a dictionary's training. */
#include "cli/training_record.h"
#include "eval/training.h"
#include "io/io.h"

#include <stdio.h>
#include <string.h>

/* DICT.json, else DICT/../run.json; *out is mem_free'd. */
static sae_status find(char **out, const char *dict, sae_error *err)
{
    size_t length = strlen(dict);
    char path[4200];

    while (length > 1 && dict[length - 1] == '/') length--;
    snprintf(path, sizeof path, "%.*s.json", (int)length, dict);
    if (!file_exists(path)) snprintf(path, sizeof path, "%.*s/../run.json", (int)length, dict);
    if (!file_exists(path))
        return SAE_FAIL(
            err, SAE_STATE,
            "%s: how it was trained is not known: there is no %.*s.json (sae scaffold) nor ../run.json (sae "
            "train); give one with --record",
            dict, (int)length, dict);
    *out = mem_strdup(path, err);
    return *out ? SAE_OK : SAE_NOMEM;
}

/* A seed that stands in `object`, which may be absent. */
static sae_status read_seed(uint64_t *out, const json_t *object, const char *key, const char *what, const char *path,
                            sae_error *err)
{
    int64_t value = -1;
    sae_status status = json_get_int(object, key, -1, &value, path, err);

    if (status != SAE_OK) return status;
    if (value < 0) return SAE_FAIL(err, SAE_FORMAT, "%s: does not say the seed of %s", path, what);
    *out = (uint64_t)value;
    return SAE_OK;
}

sae_status training_record_read(training_record *out, const sae_dict *dict, const char *dict_path, const char *path,
                                sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *record = NULL;
    char *found = NULL;

    if (!path) {
        SAE_TRY(find(&found, dict_path, err));
        path = found;
    }
    SAE_TRY(json_read_file(&record, path, err));
    const json_t *dicts = json_object_get(record, "dictionaries");
    if (json_array_size(dicts) > 1)
        SAE_RAISE(err, SAE_STATE, "%s is of %zu dictionaries: it must be of one", path, json_array_size(dicts));
    SAE_TRY(recipe_read(&out->recipe, json_object_get(record, "recipe"), sae_dict_get_config(dict)->d_in, path, err));
    SAE_TRY(read_seed(&out->seed, dicts ? json_array_get(dicts, 0) : record, "seed", "its weights", path, err));
    if (dicts)
        SAE_TRY(read_seed(&out->order, json_object_get(record, "data"), "seed", "the rows' order", path, err));
    else
        SAE_TRY(read_seed(&out->order, record, "order", "the rows' order", path, err));
done:
    json_decref(record);
    mem_free(found);
    return status;
}
