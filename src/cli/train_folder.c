/* train_folder.c - the folder of a run: whether it may be written to, and run.json, the record of what it was. */
#include "cli/train.h"
#include "base/threads.h"
#include "io/io.h"
#include "kernels/matmul.h"
#include "sae/saelens.h"
#include "sae/train.h"

#include <stdio.h>
#include <string.h>

/* What a run leaves behind, or file_writer and folder_writer while they write it. */
static bool is_of_a_run(const train_dicts *dicts, const char *name)
{
    static const char *const names[] = {
        "run.json", "log.jsonl",   "time.jsonl", "checkpoints", "sae",
        "results",  "report.html", "sweep.json", "groups"}; /* the last two: of a sweep */

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0 || is_leftover(name, names[i])) return true;
    for (int i = 0; i < dicts->n; i++)
        if (strcmp(name, dicts->names[i]) == 0) return true;
    return false;
}

/* ---- What is replaced ------------------------------------------------------------------------------------------------------ */

bool train_record_lists(const json_t *record, const char *name)
{
    const json_t *list = json_object_get(record, "dictionaries");

    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *one = json_string_value(json_object_get(json_array_get(list, i), "name"));
        if (one && strcmp(one, name) == 0) return true;
    }
    return false;
}

sae_status train_folder_forget_export(const char *folder, sae_error *err)
{
    char *path = path_join(folder, "sae", err);
    sae_status status = path ? leftovers_remove(path, err) : SAE_NOMEM;

    if (status == SAE_OK) status = folder_remove_ours(path, saelens_is_file, err);
    mem_free(path);
    return status;
}

static bool none(const char *name)
{
    (void)name;
    return false;
}

sae_status train_folder_forget_checkpoints(const char *folder, sae_error *err)
{
    sae_status status = SAE_OK;
    char **names = NULL, *path = path_join(folder, "checkpoints", err), *one = NULL;
    int n = 0;

    if (!path) SAE_TRY(SAE_NOMEM);
    if (file_is_folder(path)) SAE_TRY(folder_list(path, &names, &n, err));
    for (int i = 0; i < n; i++) {
        if (!checkpoint_is_name(names[i])) continue;
        mem_free(one);
        one = path_join(path, names[i], err);
        if (!one) SAE_TRY(SAE_NOMEM);
        SAE_TRY(is_leftover(names[i], NULL) ? folder_remove(one, err)
                                            : folder_remove_ours(one, checkpoint_is_file, err));
    }
    SAE_TRY(folder_remove_ours(path, none, err)); /* when nothing else is left in it */
done:
    folder_list_free(names, n);
    mem_free(one);
    mem_free(path);
    return status;
}

static bool is_made(const train_dicts *dicts, const char *name)
{
    for (int i = 0; i < dicts->n; i++)
        if (dicts->n > 1 && strcmp(name, dicts->names[i]) == 0) return true; /* a single one goes to OUT/sae */
    return false;
}

/* The dictionaries of the run that `record` tells of, where this one will not put its own. Where it will, the old one stays until the new one
 * takes its place: a disk that is full by then leaves one that loads (tests/test_disk.sh). Only what lies in the folder is looked at: a
 * name in a record could point anywhere. */
static sae_status forget_dictionaries(const char *folder, const json_t *record, const train_dicts *dicts, char **names,
                                      int n, sae_error *err)
{
    sae_status status = SAE_OK;
    bool single = json_array_size(json_object_get(record, "dictionaries")) == 1;
    char *path = NULL;

    if (single && dicts->n > 1) SAE_TRY(train_folder_forget_export(folder, err));
    for (int i = 0; i < n && !single; i++) {
        if (!train_record_lists(record, names[i]) || is_made(dicts, names[i])) continue;
        mem_free(path);
        path = path_join(folder, names[i], err);
        if (!path) SAE_TRY(SAE_NOMEM);
        SAE_TRY(train_folder_forget_export(path, err));
        SAE_TRY(folder_remove_ours(path, none, err));
    }
done:
    mem_free(path);
    return status;
}

/* ---- The folder ------------------------------------------------------------------------------------------------------------ */

/* What a run left, without its record: nothing says what it was, so it is neither gone on with nor replaced. */
static sae_status no_record(const char *folder, const char *name, sae_error *err)
{
    return SAE_FAIL(err, SAE_EXISTS,
                    "%s holds %s but no run.json, which says of what run: it can neither be gone on with nor replaced. "
                    "Put its run.json back, move %s elsewhere, or use another --out",
                    folder, name, name);
}

/* Whether it is, or can become, the folder of a run at all. */
static sae_status check_kind(args *a, const char *folder, sae_error *err)
{
    sae_status status = SAE_OK;
    char *run = path_join(folder, "run.json", err), *sweep = path_join(folder, "sweep.json", err);
    bool begun = false; /* there is a checkpoint */

    if (!run || !sweep) SAE_TRY(SAE_NOMEM);
    if (file_exists(folder) && !file_is_folder(folder))
        SAE_RAISE(err, SAE_EXISTS, "%s is a file: --out names the folder of a run", folder);
    if (file_exists(sweep))
        SAE_RAISE(err, SAE_EXISTS, "%s holds a sweep, which `sae sweep` goes on with or replaces: use another --out",
                  folder);
    if (!args_flag(a, "resume") || file_exists(run)) goto done;
    SAE_TRY(train_folder_has_checkpoint(folder, &begun, err));
    if (begun)
        status = no_record(folder, "checkpoints", err);
    else
        SAE_RAISE(err, SAE_IO, "%s: holds no run to go on with (no run.json): leave out --resume to begin it", folder);
done:
    mem_free(run);
    mem_free(sweep);
    return status;
}

/* Whether what lies in it, names [n], may be written over. */
static sae_status check_names(args *a, const char *folder, const train_dicts *dicts, char **names, int n,
                              sae_error *err)
{
    sae_status status = SAE_OK;
    char *run = path_join(folder, "run.json", err);

    if (!run) return SAE_NOMEM;
    for (int i = 0; i < n; i++) {
        if (!is_of_a_run(dicts, names[i])) continue; /* other things are left alone */
        if (is_leftover(names[i], NULL)) continue;   /* of a run killed before it began */
        if (!file_exists(run)) SAE_TRY(no_record(folder, names[i], err));
        if (!args_flag(a, "force"))
            SAE_RAISE(err, SAE_EXISTS,
                      "%s holds %s: use --resume to continue a run, --force to replace it, or another --out", folder,
                      names[i]);
    }
done:
    mem_free(run);
    return status;
}

sae_status train_folder_check_contents(const char *path, bool (*ours)(const char *name), sae_error *err)
{
    sae_status status = SAE_OK;
    char **names = NULL;
    int n = 0;

    if (!file_exists(path)) return SAE_OK;
    if (!file_is_folder(path))
        SAE_RAISE(err, SAE_EXISTS, "%s is a file, where a run has a folder: move it elsewhere, or use another --out",
                  path);
    SAE_TRY(folder_list(path, &names, &n, err));
    for (int i = 0; i < n; i++)
        if (!ours(names[i]))
            SAE_RAISE(err, SAE_EXISTS,
                      "%s/%s is none of a run's files, and the folder shall be replaced: move it elsewhere, or use "
                      "another --out",
                      path, names[i]);
done:
    folder_list_free(names, n);
    return status;
}

sae_status train_folder_check_checkpoints(const char *folder, sae_error *err)
{
    sae_status status = SAE_OK;
    char **names = NULL, *path = path_join(folder, "checkpoints", err), *one = NULL;
    int n = 0;

    if (!path) SAE_TRY(SAE_NOMEM);
    SAE_TRY(train_folder_check_contents(path, checkpoint_is_name, err));
    if (file_exists(path)) SAE_TRY(folder_list(path, &names, &n, err));
    for (int i = 0; i < n; i++) {
        mem_free(one);
        one = path_join(path, names[i], err);
        if (!one) SAE_TRY(SAE_NOMEM);
        SAE_TRY(train_folder_check_contents(one, checkpoint_is_file, err));
    }
done:
    folder_list_free(names, n);
    mem_free(one);
    mem_free(path);
    return status;
}

sae_status train_folder_check_export(const char *folder, sae_error *err)
{
    sae_status status = SAE_OK;
    char *path = path_join(folder, "sae", err);

    if (!path) SAE_TRY(SAE_NOMEM);
    if (file_exists(folder) && !file_is_folder(folder))
        SAE_RAISE(err, SAE_EXISTS,
                  "%s is a file, where the folder of a dictionary shall be: move it elsewhere, or use another --out",
                  folder);
    SAE_TRY(train_folder_check_contents(path, saelens_is_file, err));
done:
    mem_free(path);
    return status;
}

/* Where the dictionaries will be put when all is trained: OUT/sae, or OUT/NAME/sae of several. */
static sae_status check_exports(const char *folder, const train_dicts *dicts, sae_error *err)
{
    sae_status status = SAE_OK;
    char *one = NULL;

    for (int i = 0; i < dicts->n; i++) {
        mem_free(one);
        one = dicts->n == 1 ? mem_strdup(folder, err) : path_join(folder, dicts->names[i], err);
        if (!one) SAE_TRY(SAE_NOMEM);
        SAE_TRY(train_folder_check_export(one, err));
    }
done:
    mem_free(one);
    return status;
}

/* All of that, of a folder that holds names [n]. A run that goes on writes its dictionaries only. */
static sae_status check_all(args *a, const char *folder, const train_dicts *dicts, char **names, int n, sae_error *err)
{
    sae_status status = SAE_OK;

    if (!args_flag(a, "resume")) {
        SAE_TRY(check_names(a, folder, dicts, names, n, err));
        SAE_TRY(train_folder_check_checkpoints(folder, err)); /* which go before the first step */
    }
    SAE_TRY(check_exports(folder, dicts, err));
done:
    return status;
}

sae_status train_folder_check(args *a, const char *folder, const train_dicts *dicts, sae_error *err)
{
    sae_status status = SAE_OK;
    char **names = NULL;
    int n = 0;

    SAE_TRY(check_kind(a, folder, err));
    if (!file_exists(folder)) goto done;
    SAE_TRY(folder_list(folder, &names, &n, err));
    SAE_TRY(check_all(a, folder, dicts, names, n, err));
done:
    folder_list_free(names, n);
    return status;
}

sae_status train_folder_begin(args *a, const char *folder, const train_dicts *dicts, int *lock, sae_error *err)
{
    sae_status status = SAE_OK;
    char **names = NULL, *checkpoints = path_join(folder, "checkpoints", err),
         *run = path_join(folder, "run.json", err);
    json_t *record = NULL;
    int n = 0;

    if (!checkpoints || !run) SAE_TRY(SAE_NOMEM);
    SAE_TRY(check_kind(a, folder, err));
    if (!args_flag(a, "resume")) SAE_TRY(folder_make(folder, err));
    SAE_TRY(folder_lock(folder, lock, err)); /* before anything in it is touched: a run may be going on there */
    SAE_TRY(folder_list(folder, &names, &n, err));
    SAE_TRY(check_all(a, folder, dicts, names, n, err));
    if (args_flag(a, "resume")) goto done;
    SAE_TRY(folder_remove(checkpoints, err));
    if (file_exists(run) && json_read_file(&record, run, NULL) == SAE_OK) /* a damaged one is written over like any */
        SAE_TRY(forget_dictionaries(folder, record, dicts, names, n, err));
done:
    json_decref(record);
    folder_list_free(names, n);
    mem_free(checkpoints);
    mem_free(run);
    return status;
}

sae_status train_folder_write_run(args *a, const char *folder, const char *name, const train_input *in,
                                  const train_dicts *list, json_t *recipe, sae_error *err)
{
    sae_status status = SAE_OK;
    char *path = path_join(folder, name, err);
    json_t *dicts = json_array(), *data = NULL, *run = NULL;

    if (!path || !dicts || !recipe) SAE_RAISE(err, SAE_NOMEM, "no memory for %s", name);
    SAE_TRY(train_input_json(in, a, &data, err));
    for (int i = 0; i < list->n; i++) json_add(&dicts, train_dict_json(&list->configs[i], list->names[i]));
    run = json_pack("{ss so so so so s{ss ss ss si}}", "version", sae_version(), "arguments", args_json(a), "recipe",
                    recipe, "dictionaries", dicts, "data", data, "machine", "processor", cpu_name(), "isa",
                    cpu_isa_name(cpu_isa_get()), "products", matmul_library(), "threads", omp_get_max_threads());
    dicts = data = recipe = NULL; /* taken by run, or freed with it */
    if (!run) SAE_RAISE(err, SAE_NOMEM, "no memory for %s", name);
    json_put(&run, "command", json_incref(json_array_get(json_object_get(run, "arguments"), 1)));
    SAE_TRY(json_write_file(run, path, true, err));
done:
    json_decref(dicts);
    json_decref(data);
    json_decref(recipe);
    json_decref(run);
    mem_free(path);
    return status;
}

/* 1 + the number of the text that `data` says came through a pipe, since its checksum is all zeros; 0: none did. */
static int piped_text(const json_t *data)
{
    const char *key, *hash;
    json_t *value;
    int text = 0;

    json_object_foreach((json_t *)(uintptr_t)data, key, value)
    {
        hash = json_string_value(value);
        if (hash && *hash && hash[strspn(hash, "0")] == '\0' && sscanf(key, "text %d", &text) == 1) return text + 1;
    }
    return 0;
}

sae_status train_folder_same_data(args *a, const char *folder, const char *name, train_input *in, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_error unread = {0};
    json_t *ours = NULL, *run = NULL;
    char *path = path_join(folder, name, err);

    if (!path) SAE_TRY(SAE_NOMEM);
    status = json_read_file(&run, path, &unread);
    const json_t *theirs = json_object_get(run, "data");
    if (status == SAE_FORMAT || (status == SAE_OK && !json_is_object(theirs)))
        SAE_RAISE(err, SAE_FORMAT,
                  "%s%s: it is damaged, and it alone says what this was begun on: use --force to begin anew (what was "
                  "trained there goes), or another --out",
                  status == SAE_OK ? path : unread.message, status == SAE_OK ? ": says nothing of its data" : "");
    if (status != SAE_OK) SAE_RAISE(err, status, "%s", unread.message);
    if (piped_text(theirs) > 0) in->of_pipe = piped_text(theirs);
    SAE_TRY(train_input_json(in, a, &ours, err));
    if (!json_object_get(theirs, "model_files"))
        json_object_del(ours, "model_files"); /* an older run did not note them */
    const char *key = json_any_difference(ours, theirs);
    if (key)
        SAE_RAISE(err, SAE_STATE,
                  "%s: the run was begun on other rows (%s differs): resume with the data it was started with", path,
                  key);
done:
    json_decref(run);
    json_decref(ours);
    mem_free(path);
    return status;
}

/* What the words of a command give to an option of one value, the last one if several do; "": nothing. */
static const char *word_after(const json_t *words, const char *option)
{
    size_t i, length = strlen(option);
    const char *value = "";
    json_t *word;

    json_array_foreach(words, i, word)
    {
        const char *text = json_string_value(word), *next = json_string_value(json_array_get(words, i + 1));
        if (!text || strncmp(text, option, length) != 0) continue;
        if (text[length] == '=') value = text + length + 1;
        if (!text[length] && next) value = next;
    }
    return value;
}

sae_status train_folder_same_run(args *a, const char *folder, const train_dicts *list, const sae_train_options *recipe,
                                 sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *dicts = json_array(), *run = NULL;
    char *path = path_join(folder, "run.json", err), key[RECIPE_KEY_ROOM] = "";

    if (!path || !dicts) SAE_RAISE(err, SAE_NOMEM, "no memory for run.json");
    SAE_TRY(json_read_file(&run, path, err));
    for (int i = 0; i < list->n; i++) json_add(&dicts, train_dict_json(&list->configs[i], list->names[i]));
    if (!dicts) SAE_RAISE(err, SAE_NOMEM, "no memory for run.json");
    if (!json_equal(dicts, json_object_get(run, "dictionaries")))
        snprintf(key, sizeof key, "dictionaries");
    else if (strcmp(word_after(json_object_get(run, "arguments"), "--init"),
                    args_text(a, "init") ? args_text(a, "init") : ""))
        snprintf(key, sizeof key, "init");
    else
        SAE_TRY(train_recipe_differs(recipe, json_object_get(run, "recipe"), key, err));
    if (*key)
        SAE_RAISE(
            err, SAE_STATE,
            "%s: the run was begun with other \"%s\"%s: resume with the options it was begun with, or use another "
            "--out",
            path, key, recipe_difference_hint(key));
done:
    json_decref(run);
    json_decref(dicts);
    mem_free(path);
    return status;
}

sae_status train_folder_has_checkpoint(const char *folder, bool *any, sae_error *err)
{
    sae_status status = SAE_OK;
    char **names = NULL, *path = path_join(folder, "checkpoints", err);
    int n = 0;

    *any = false;
    if (!path) SAE_TRY(SAE_NOMEM);
    if (file_exists(path)) SAE_TRY(folder_list(path, &names, &n, err));
    for (int i = 0; i < n; i++) *any = *any || strspn(names[i], "0123456789") == strlen(names[i]);
done:
    folder_list_free(names, n);
    mem_free(path);
    return status;
}
