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
#include "sae/train.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

static const char call_key[] = "call"; /* among the inputs of a result */

/* What a call reads: {path: checksum}. Where its result goes (out), which may lie in a folder that it reads, is no part of it. */
typedef struct gathered {
    json_t *contents;
    const char *out;
    bool fixed; /* false: standard input, which cannot be compared */
} gathered;

static bool are_one_file(const char *a, const char *b)
{
    struct stat x, y;

    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* A file, or every file in a folder; what is not there is none of them. */
static sae_status gather(gathered *g, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    char **names = NULL, *inner = NULL, text[HASH_TEXT];
    int n = 0;

    if (!file_exists(path) || are_one_file(path, g->out)) return SAE_OK;
    if (file_is_folder(path)) {
        SAE_TRY(folder_list(path, &names, &n, err));
        for (int i = 0; i < n; i++) {
            mem_free(inner);
            inner = path_join(path, names[i], err);
            if (!inner) SAE_TRY(SAE_NOMEM);
            SAE_TRY(gather(g, inner, err));
        }
    } else {
        SAE_TRY(file_hash_text(path, NULL, text, err));
        json_put(&g->contents, path, json_string(text));
    }
done:
    folder_list_free(names, n);
    mem_free(inner);
    return status;
}

static sae_status gather_model(gathered *g, const char *name, sae_error *err)
{
    char *path = NULL;
    sae_status status = model_path(name, &path, err);

    if (status == SAE_OK) status = gather(g, path, err);
    mem_free(path);
    return status;
}

/* Of a dictionary what says how it was trained, DICT.json or DICT/../run.json, and, where the call names no model, the one that it is of,
 * which need not be here. */
static sae_status gather_around(gathered *g, const char *folder, bool with_model, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_error why = {0};
    sae_dict *dict = NULL;
    char name[4096];

    if (sae_dict_load(&dict, folder, &why) != SAE_OK) return SAE_OK;
    snprintf(name, sizeof name, "%s.json", folder);
    SAE_TRY(gather(g, name, err));
    snprintf(name, sizeof name, "%s/../run.json", folder);
    SAE_TRY(gather(g, name, err));
    if (with_model && *sae_dict_get_config(dict)->model) gather_model(g, sae_dict_get_config(dict)->model, &why);
done:
    sae_dict_free(dict);
    return status;
}

/* One value: a path, FILE:array, or nothing of the kind. */
static sae_status gather_value(gathered *g, const char *value, bool with_model, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *colon = strrchr(value, ':');
    char file[4096];

    if (strcmp(value, "-") == 0) g->fixed = false;
    SAE_TRY(gather(g, value, err));
    if (file_is_folder(value)) SAE_TRY(gather_around(g, value, with_model, err));
    if (!file_exists(value) && colon && (size_t)(colon - value) < sizeof file) {
        snprintf(file, sizeof file, "%.*s", (int)(colon - value), value);
        SAE_TRY(gather(g, file, err));
    }
done:
    return status;
}

/* Of all that the call's result depends on; *fixed = false: that cannot be told. */
static sae_status call_hash(const args *a, uint64_t *hash, bool *fixed, sae_error *err)
{
    sae_status status = SAE_OK;
    gathered g = {json_object(), args_text(a, "out"), true};
    json_t *call = NULL, *values = args_decisive(a);
    const char *model = args_has(a, "model") ? args_text(a, "model") : NULL;
    const json_t *value;
    char *text = NULL;
    size_t i;

    json_array_foreach(values, i, value) if (json_is_string(value))
        SAE_TRY(gather_value(&g, json_string_value(value), !model, err));
    if (model) SAE_TRY(gather_model(&g, model, err));
    call = json_pack("{ss si si sO sO}", "version", sae_version(), "revision", PARTS_REVISION, "training_revision",
                     TRAINING_REVISION, "values", values, "contents", g.contents);
    if (!call) SAE_RAISE(err, SAE_NOMEM, "no memory to describe the call");
    text = json_to_text(call, JSON_COMPACT | JSON_SORT_KEYS, err);
    if (!text) SAE_TRY(SAE_NOMEM);
    *hash = XXH3_64bits(text, strlen(text));
    *fixed = g.fixed;
done:
    mem_free(text);
    json_decref(call);
    json_decref(values);
    json_decref(g.contents);
    return status;
}

sae_status result_sign(const args *a, sae_result *result, sae_error *err)
{
    sae_error why = {0};
    uint64_t hash;
    bool fixed;

    /* What was measured is not lost for the sake of its signature: without one it is only never kept. */
    if (call_hash(a, &hash, &fixed, &why) != SAE_OK || !fixed) return SAE_OK;
    return sae_result_input(result, call_key, hash, err);
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
    char *path = NULL, text[HASH_TEXT];
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
