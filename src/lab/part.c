/*
 * part.c - parts of a run: measured once, kept with all that they depend on, read again when nothing of that has changed.
 *
 * OUT/parts/NAME.json is written last, so a part that was stopped is not there. Its results are files of their own.
 */
#include "lab/scaffold.h"

#include <stdio.h>
#include <string.h>

json_t *part_identity(const experiment *e, json_t *more)
{
    const scaffold_options *o = &e->options;

    return json_pack("{si sO sI sI sI so}", "revision", PARTS_REVISION, "inputs", e->inputs, "held_out_tokens",
                     (json_int_t)o->held_out_tokens, "ce_tokens", (json_int_t)o->ce_tokens, "seed",
                     (json_int_t)(o->seed & INT64_MAX), "of", more ? more : json_null());
}

sae_status experiment_result(experiment *e, const char *file, const char *title, sae_result **result, sae_error *err)
{
    part_result *p = &e->results[e->n_results];
    sae_status status;

    if (e->n_results == RESULTS_MAX) return SAE_FAIL(err, SAE_RANGE, "over %d results in a run", (int)RESULTS_MAX);
    status = sae_result_create(&p->result, title, err);
    if (status != SAE_OK) return status;
    snprintf(p->part, sizeof p->part, "%s", e->part);
    snprintf(p->file, sizeof p->file, "%s", file);
    *result = p->result;
    e->n_results++;
    return SAE_OK;
}

sae_status experiment_adopt(experiment *e, const char *file, const char *title, sae_result *result, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_result *made = NULL;

    if (title) SAE_TRY(sae_result_rename(result, title, err));
    SAE_TRY(experiment_result(e, file, sae_result_name(result), &made, err));
    e->results[e->n_results - 1].result = result;
    result = made;
done:
    sae_result_free(result);
    return status;
}

const sae_result *experiment_find(const experiment *e, const char *part, const char *file)
{
    for (int i = 0; i < e->n_results; i++)
        if (strcmp(e->results[i].part, part) == 0 && strcmp(e->results[i].file, file) == 0) return e->results[i].result;
    return NULL;
}

bool experiment_found(const experiment *e, const char *part, const char *file, const char *key, interval *out)
{
    const sae_result *r = experiment_find(e, part, file);
    double v[3];

    if (!r || !sae_result_get_interval(r, key, v)) return false;
    *out = (interval){v[0], v[1], v[2]};
    return true;
}

static char *result_path(const experiment *e, const char *part, const char *file, sae_error *err)
{
    char name[160];

    snprintf(name, sizeof name, "results/%s/%s.json", part, file);
    return experiment_path(e, name, err);
}

/* Results that were added before something was found wrong are taken out again. */
static void drop_results(experiment *e, int first)
{
    while (e->n_results > first) sae_result_free(e->results[--e->n_results].result);
}

/* The file is as it was written. Records of before had no checksums. */
static bool as_written(const char *path, const json_t *hash)
{
    char text[HASH_TEXT];

    if (!hash) return true;
    if (file_hash_text(path, NULL, text, NULL) != SAE_OK) return false;
    return json_is_string(hash) && strcmp(json_string_value(hash), text) == 0;
}

/* Said, since it takes the time of the part. */
static void tell_measured_anew(const experiment *e, const char *path)
{
    const lab_notice *notice = &e->options.notice;
    char text[512];

    if (!notice->tell) return;
    snprintf(text, sizeof text, "%.400s is missing or not as it was written: its part is measured anew", path);
    notice->tell(notice->user, text);
}

/* *found: the part stands on disk, is of this identity, and all of its results could be read. */
static sae_status take_up(experiment *e, const char *name, const json_t *identity, const char *record, bool *found,
                          sae_error *err)
{
    sae_status status = SAE_OK;
    sae_error why = {0};
    json_t *about = NULL;
    const json_t *files, *hashes;
    int first = e->n_results;

    *found = false;
    if (!file_exists(record) || json_read_file(&about, record, &why) != SAE_OK) goto done;
    files = json_object_get(about, "results");
    hashes = json_object_get(about, "xxh3");
    if (!json_equal(json_object_get(about, "identity"), identity) || !json_is_array(files)) goto done;
    for (size_t i = 0; i < json_array_size(files); i++) {
        const char *file = json_string_value(json_array_get(files, i));
        char *path = file && strlen(file) < sizeof e->results->file ? result_path(e, name, file, err) : NULL;
        part_result *p = &e->results[e->n_results];
        bool read = path && e->n_results < RESULTS_MAX && as_written(path, json_array_get(hashes, i)) &&
                    sae_result_read(&p->result, path, &why) == SAE_OK;
        if (!read && path) tell_measured_anew(e, path);
        mem_free(path);
        if (!read) {
            drop_results(e, first);
            goto done;
        }
        snprintf(p->part, sizeof p->part, "%s", name);
        snprintf(p->file, sizeof p->file, "%s", file);
        e->n_results++;
    }
    *found = true;
    SAE_TRY(experiment_spent(e, name, json_number_value(json_object_get(about, "seconds")), true, err));
done:
    json_decref(about);
    return status;
}

/* hashes: an array that gets the checksum of each file; may be NULL. */
static sae_status write_results(const experiment *e, const char *name, int first, json_t **hashes, sae_error *err)
{
    sae_status status = SAE_OK;
    char folder[96], text[HASH_TEXT], *path = NULL;

    snprintf(folder, sizeof folder, "results/%s", name);
    path = experiment_path(e, folder, err);
    if (!path) return SAE_NOMEM;
    SAE_TRY(folder_make(path, err));
    for (int i = first; i < e->n_results; i++) {
        mem_free(path);
        path = result_path(e, name, e->results[i].file, err);
        if (!path) SAE_TRY(SAE_NOMEM);
        SAE_TRY(sae_result_write(e->results[i].result, path, err));
        if (!hashes) continue;
        SAE_TRY(file_hash_text(path, NULL, text, err));
        json_add(hashes, json_string(text));
    }
done:
    mem_free(path);
    return status;
}

static sae_status keep(experiment *e, const char *name, json_t *identity, const char *record, int first, double seconds,
                       sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *files = json_array(), *hashes = json_array(), *about = NULL;

    SAE_TRY(write_results(e, name, first, &hashes, err));
    for (int i = first; i < e->n_results; i++) json_add(&files, json_string(e->results[i].file));
    about = json_pack("{sO sO sO sf}", "identity", identity, "results", files, "xxh3", hashes, "seconds", seconds);
    if (!about) SAE_RAISE(err, SAE_NOMEM, "no memory for the record of a part");
    SAE_TRY(json_write_file(about, record, true, err));
done:
    json_decref(about);
    json_decref(hashes);
    json_decref(files);
    return status;
}

sae_status part_derive(experiment *e, const char *name, part_fn run, sae_error *err)
{
    sae_status status = SAE_OK;
    int first = e->n_results;

    snprintf(e->part, sizeof e->part, "%s", name);
    SAE_TRY(run(e, err));
    SAE_TRY(write_results(e, name, first, NULL, err));
done:
    return status;
}

sae_status part_run(experiment *e, const char *name, json_t *identity, part_fn run, sae_error *err)
{
    sae_status status = SAE_OK, counted;
    double began = clock_seconds();
    int first = e->n_results;
    bool found = false;
    char file[96], *record = NULL, *folder = experiment_path(e, "parts", err);

    snprintf(file, sizeof file, "parts/%s.json", name);
    record = experiment_path(e, file, err);
    if (!record || !folder || !identity) {
        status = SAE_FAIL(err, SAE_NOMEM, "no memory for a part");
        goto done;
    }
    SAE_TRY(take_up(e, name, identity, record, &found, err));
    if (found) goto done;
    SAE_TRY(folder_make(folder, err));
    SAE_TRY(file_remove(record, err));
    snprintf(e->part, sizeof e->part, "%s", name);
    status = run(e, err);
    const double seconds = clock_seconds() - began;
    counted = experiment_spent(e, name, seconds, false, status == SAE_OK ? err : NULL);
    if (status == SAE_OK) status = counted;
    SAE_TRY(status);
    SAE_TRY(keep(e, name, identity, record, first, seconds, err));
done:
    json_decref(identity);
    mem_free(record);
    mem_free(folder);
    return status;
}

/* ---- Parts that left the run --------------------------------------------------------------------------------------------------- */

static bool has_part(const experiment *e, const char *name)
{
    for (int i = 0; i < e->n_results; i++)
        if (strcmp(e->results[i].part, name) == 0) return true;
    return false;
}

/* OUT/results/NAME/FILE.json, and the folder when nothing else is in it. */
static sae_status forget_result(const experiment *e, const char *name, const char *file, sae_error *err)
{
    sae_status status = SAE_OK;
    char **left = NULL, folder_name[96], *path = NULL, *folder = NULL;
    int n = 0;

    snprintf(folder_name, sizeof folder_name, "results/%.64s", name);
    folder = experiment_path(e, folder_name, err);
    path = result_path(e, name, file, err);
    if (!folder || !path) SAE_TRY(SAE_NOMEM);
    if (!file_is_folder(folder)) goto done;
    SAE_TRY(file_remove(path, err));
    SAE_TRY(folder_list(folder, &left, &n, err));
    if (n == 0) SAE_TRY(folder_remove(folder, err));
done:
    folder_list_free(left, n);
    mem_free(path);
    mem_free(folder);
    return status;
}

/* What the record OUT/parts/NAME.json lists, and the record. One that cannot be read is left alone. */
static sae_status forget_part(const experiment *e, const char *name, const char *record, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_error ignored = {0};
    json_t *about = NULL;

    if (json_read_file(&about, record, &ignored) != SAE_OK) goto done;
    const json_t *files = json_object_get(about, "results");
    for (size_t i = 0; i < json_array_size(files); i++) {
        const char *file = json_string_value(json_array_get(files, i));
        if (file && strlen(file) < sizeof e->results->file && !strchr(file, '/'))
            SAE_TRY(forget_result(e, name, file, err));
    }
    SAE_TRY(file_remove(record, err));
done:
    json_decref(about);
    return status;
}

static sae_status forget_measured(const experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    char **names = NULL, *folder = experiment_path(e, "parts", err), *record = NULL;
    int n = 0;

    if (!folder) return SAE_NOMEM;
    if (file_is_folder(folder)) SAE_TRY(folder_list(folder, &names, &n, err));
    for (int i = 0; i < n; i++) {
        size_t length = strlen(names[i]);
        char name[64];
        if (length < 6 || length - 5 >= sizeof name || strcmp(names[i] + length - 5, ".json") != 0) continue;
        snprintf(name, length - 4, "%s", names[i]);
        if (has_part(e, name)) continue;
        mem_free(record);
        record = path_join(folder, names[i], err);
        if (!record) SAE_TRY(SAE_NOMEM);
        SAE_TRY(forget_part(e, name, record, err));
    }
done:
    folder_list_free(names, n);
    mem_free(record);
    mem_free(folder);
    return status;
}

sae_status parts_forget(const experiment *e, sae_error *err)
{
    static const char *const derived[] = {"matching", "ranks", "stability", "survey"}; /* of one result each */
    sae_status status = SAE_OK;

    SAE_TRY(forget_measured(e, err));
    for (size_t i = 0; i < sizeof derived / sizeof *derived; i++)
        if (!has_part(e, derived[i])) SAE_TRY(forget_result(e, derived[i], derived[i], err));
done:
    return status;
}
