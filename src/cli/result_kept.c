/*
 * result_kept.c - an experiment that was measured before is not measured again: a result in --out names, by one checksum, all that
 * it depends on, and is given out when a later call depends on the same.
 *
 * That is: the command, its version, its options and operands as they were given, and the contents of every file and folder that they name,
 * of the models of dictionaries among them (where --model is not given) and of what stands beside a dictionary and says how it was trained.
 */
#include "cli/result_output.h"

#include "io/io.h"
#include "lab/scaffold.h"
#include "report/report.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

static const char call_key[] = "call"; /* among the inputs of a result */

/* Adds the checksum of a file, or of every file in a folder, to `contents`; what is not there is none of them. */
static sae_status add_contents(json_t **contents, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    char **names = NULL, *inner = NULL, text[HASH_TEXT];
    int n = 0;

    if (!file_exists(path)) return SAE_OK;
    if (file_is_folder(path)) {
        SAE_TRY(folder_list(path, &names, &n, err));
        for (int i = 0; i < n; i++) {
            mem_free(inner);
            inner = path_join(path, names[i], err);
            if (!inner) SAE_TRY(SAE_NOMEM);
            SAE_TRY(add_contents(contents, inner, err));
        }
    } else {
        SAE_TRY(file_hash_text(path, NULL, text, err));
        json_put(contents, path, json_string(text));
    }
done:
    folder_list_free(names, n);
    mem_free(inner);
    return status;
}

/* The model that a dictionary says it is of; a folder that is no dictionary has none. */
static sae_status add_model_of(json_t **contents, const char *folder, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_error why = {0};
    sae_dict *dict = NULL;
    char *path = NULL;

    if (sae_dict_load(&dict, folder, &why) != SAE_OK) return SAE_OK;
    if (*sae_dict_get_config(dict)->model && model_path(sae_dict_get_config(dict)->model, &path, &why) == SAE_OK)
        SAE_TRY(add_contents(contents, path, err));
done:
    mem_free(path);
    sae_dict_free(dict);
    return status;
}

/* What says how a dictionary was trained: DICT.json or DICT/../run.json. */
static sae_status add_records(json_t **contents, const char *folder, sae_error *err)
{
    sae_status status = SAE_OK;
    char name[4096];

    snprintf(name, sizeof name, "%s.json", folder);
    SAE_TRY(add_contents(contents, name, err));
    snprintf(name, sizeof name, "%s/../run.json", folder);
    SAE_TRY(add_contents(contents, name, err));
done:
    return status;
}

/* One value: a path, FILE:array, or nothing of the kind. *fixed = false: standard input, which cannot be compared. */
static sae_status add_value(json_t **contents, const char *value, bool with_models, bool *fixed, sae_error *err)
{
    sae_status status = SAE_OK;
    char file[4096];
    const char *colon = strrchr(value, ':');

    if (strcmp(value, "-") == 0) *fixed = false;
    SAE_TRY(add_contents(contents, value, err));
    if (file_is_folder(value)) SAE_TRY(add_records(contents, value, err));
    if (file_is_folder(value) && with_models) SAE_TRY(add_model_of(contents, value, err));
    if (!file_exists(value) && colon && (size_t)(colon - value) < sizeof file) {
        snprintf(file, sizeof file, "%.*s", (int)(colon - value), value);
        SAE_TRY(add_contents(contents, file, err));
    }
done:
    return status;
}

static sae_status add_model(json_t **contents, const char *name, sae_error *err)
{
    sae_status status = SAE_OK;
    char *path = NULL;

    SAE_TRY(model_path(name, &path, err));
    SAE_TRY(add_contents(contents, path, err));
done:
    mem_free(path);
    return status;
}

/* Of all that the call's result depends on; *fixed = false: that cannot be told. */
static sae_status call_hash(const args *a, uint64_t *hash, bool *fixed, sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *contents = json_object(), *call = NULL, *values = args_decisive(a);
    const char *model = args_has(a, "model") ? args_text(a, "model") : NULL;
    const json_t *value;
    char *text = NULL;
    size_t i;

    *fixed = true;
    json_array_foreach(values, i, value) if (json_is_string(value))
        SAE_TRY(add_value(&contents, json_string_value(value), !model, fixed, err));
    if (model) SAE_TRY(add_model(&contents, model, err));
    call = json_pack("{ss si sO sO}", "version", sae_version(), "revision", PARTS_REVISION, "values", values,
                     "contents", contents);
    if (!call) SAE_RAISE(err, SAE_NOMEM, "no memory to describe the call");
    text = json_to_text(call, JSON_COMPACT | JSON_SORT_KEYS, err);
    if (!text) SAE_TRY(SAE_NOMEM);
    *hash = XXH3_64bits(text, strlen(text));
done:
    mem_free(text);
    json_decref(call);
    json_decref(values);
    json_decref(contents);
    return status;
}

sae_status result_sign(const args *a, sae_result *result, sae_error *err)
{
    uint64_t hash;
    bool fixed;
    sae_status status = call_hash(a, &hash, &fixed, err);

    return status == SAE_OK && fixed ? sae_result_input(result, call_key, hash, err) : status;
}

/* The result that stands in --out, NULL: none, or of a folder that is not finished (run.json is written last). */
static sae_status find_result(const args *a, const char *name, char **path, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *out = args_text(a, "out");
    char file[128], *run = path_join(out, "run.json", err);

    if (!run) return SAE_NOMEM;
    snprintf(file, sizeof file, "results/%s.json", name);
    *path = *name ? path_join(out, file, err) : mem_strdup(out, err);
    if (!*path) SAE_TRY(SAE_NOMEM);
    if (!file_exists(*path) || (*name && !file_exists(run))) {
        mem_free(*path);
        *path = NULL;
    }
done:
    mem_free(run);
    return status;
}

sae_status result_kept(const args *a, const char *name, bool *kept, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_error why = {0};
    sae_result *result = NULL;
    char *path = NULL, text[24];
    const char *signature;
    uint64_t hash;
    bool fixed;

    *kept = false;
    if (!args_text(a, "out") || args_flag(a, "force")) return SAE_OK;
    SAE_TRY(find_result(a, name, &path, err));
    if (!path || sae_result_read(&result, path, &why) != SAE_OK) goto done;
    signature = json_string_value(json_object_get(json_object_get(result_json(result), "inputs"), call_key));
    /* What is wrong with the inputs is told by the command itself. */
    if (!signature || call_hash(a, &hash, &fixed, &why) != SAE_OK || !fixed) goto done;
    snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
    if (strcmp(text, signature) != 0) goto done;
    *kept = true;
    say(a, "%s is of this call and these inputs: it is kept; --force measures anew", path);
    SAE_TRY(result_print(a, result, err));
done:
    sae_result_free(result);
    mem_free(path);
    return status;
}
