/*
 * store_progress.c - progress.json: which shards of an unfinished store are on disk, and the place of the stream behind each,
 * so that another process goes on from there (store_append.c: what a store that is appended to begins as).
 *
 * What is listed counts only when its checksum agrees: a shard that does not verify, and all behind it, is made again.
 */
#include "acts/store.h"

#include <stdio.h>
#include <string.h>

/* ---- What must agree ------------------------------------------------------------------------------------------------------- */

bool store_text_is_compared(const store_writer *w, const json_t *next)
{
    json_t *mark = acts_mark(w->acts);
    bool known = json_object_get(mark, "text_xxh3") && (!next || json_object_get(next, "text_xxh3"));

    json_decref(mark);
    return known;
}

json_t *store_bare_about(json_t *about, bool text_is_compared)
{
    static const char *const files[] = {"text", "ids", "mask"};
    json_t *copy = about ? json_whole_copy(about) : json_null();

    json_object_del(copy, "command");
    json_object_del(copy, "sae_version");
    if (json_object_get(copy, "model_xxh3")) json_object_del(copy, "model");
    for (size_t i = 0; i < sizeof files / sizeof *files && text_is_compared; i++) {
        const json_t *list = json_object_get(copy, files[i]);
        if (list) json_put(&copy, files[i], json_integer(json_is_array(list) ? (json_int_t)json_array_size(list) : 1));
    }
    return copy;
}

static json_t *make_plan(const store_writer *w)
{
    json_t *d = json_array(), *names = json_array();

    for (int i = 0; i < w->n_parts; i++) {
        json_add(&d, json_integer(w->parts[i].d));
        if (w->parts[i].name) json_add(&names, json_string(w->parts[i].name));
    }
    return json_pack("{so so ss sI so sb so so}", "d", d, "parts", names, "dtype", dtype_table[w->type].name,
                     "shard_rows", (json_int_t)w->shard_rows, "shuffle",
                     w->options.shuffle ? json_integer((json_int_t)w->options.seed) : json_null(), "append",
                     w->options.append, "source", json_text(sae_acts_get_info(w->acts).describe), "about",
                     store_bare_about(w->about, false));
}

/* Behind what progress.json lists; NULL: it lists nothing. */
static const json_t *place_listed(const json_t *all)
{
    const json_t *shards = json_object_get(all, "shards"), *tail = json_object_get(all, "tail");
    const json_t *last = json_is_object(tail) ? tail : json_array_get(shards, json_array_size(shards) - 1);

    return json_object_get(last, "next");
}

/* A plan with its description bare. That has what "source" says too, the model by its checksum. */
static json_t *bare_plan(const json_t *plan, bool text_is_compared)
{
    json_t *copy = plan ? json_whole_copy(plan) : json_null();
    json_t *about = json_object_get(copy, "about");

    if (json_object_get(about, "model_xxh3")) json_object_del(copy, "source");
    if (about) json_put(&copy, "about", store_bare_about(about, text_is_compared));
    return copy;
}

enum { KEY_ROOM = 64 };

/* The first member in which a plan differs from that of progress.json; "": both make the same rows. */
static sae_status compare_plans(const store_writer *w, const json_t *plan, const json_t *all, char key[KEY_ROOM],
                                sae_error *err)
{
    bool compared = store_text_is_compared(w, place_listed(all));
    json_t *ours = bare_plan(plan, compared), *theirs = bare_plan(json_object_get(all, "plan"), compared);
    sae_status status = SAE_OK;

    if (!ours || !theirs) SAE_RAISE(err, SAE_NOMEM, "no memory for the progress of a store");
    snprintf(key, KEY_ROOM, "%s", json_equal(ours, theirs) ? "" : store_difference(ours, theirs));
done:
    json_decref(ours);
    json_decref(theirs);
    return status;
}

/* That this call asks for; -1: all there are. */
static json_int_t rows_asked(const store_writer *w)
{
    return w->n_wanted < 0 ? -1 : (json_int_t)(w->n_wanted - w->rows_before);
}

static bool asks_for_as_many(const store_writer *w, const json_t *all)
{
    const json_t *asked = json_object_get(all, "asked");

    return json_is_integer(asked) && json_integer_value(asked) == rows_asked(w);
}

const char *store_difference(const json_t *a, const json_t *b)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)a, key, value)
    {
        const json_t *other = json_object_get(b, key);
        if (json_equal(value, (json_t *)(uintptr_t)other)) continue;
        return json_is_object(value) && json_is_object(other) ? store_difference(value, other) : key;
    }
    json_object_foreach((json_t *)(uintptr_t)b, key, value) if (!json_object_get(a, key)) return key;
    return "something";
}

/* ---- Saving ---------------------------------------------------------------------------------------------------------------- */

sae_status store_progress_save(store_writer *w, bool with_tail, sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *all = NULL, *tail = NULL;
    char *path = path_join(w->folder.temporary, STORE_PROGRESS_NAME, err);

    if (!path) return SAE_NOMEM;
    if (with_tail && w->in_tail) SAE_TRY(store_write_rows(w, STORE_TAIL_NAME, &tail, err));
    int64_t rows = tail ? w->n_rows : w->n_rows - w->in_tail;
    all =
        json_pack("{ss si so sI so sb sO so*}", "format", STORE_PROGRESS_FORMAT, "version", STORE_VERSION, "plan",
                  json_incref(w->plan), "asked", rows_asked(w), "about", json_incref(w->about ? w->about : json_null()),
                  "done", w->done, "shards", w->finished, "tail", tail);
    tail = NULL; /* stolen */
    if (!all) SAE_RAISE(err, SAE_NOMEM, "no memory for the progress of a store");
    SAE_TRY(json_write_file(all, path, true, err));
    w->saved = clock_seconds();
    w->saved_rows = rows;
done:
    json_decref(tail);
    json_decref(all);
    mem_free(path);
    return status;
}

/* ---- Going on -------------------------------------------------------------------------------------------------------------- */

static sae_status read_sums(const json_t *entry, store_error_sums *sums, const char *name, sae_error *err)
{
    const json_t *list = json_object_get(entry, "sums");
    double values[3];

    if (json_array_size(list) != 3) return SAE_FAIL(err, SAE_FORMAT, "%s: \"sums\" must hold three numbers", name);
    for (size_t k = 0; k < 3; k++) {
        const json_t *value = json_array_get(list, k);
        values[k] = json_number_value(value);
        if (!json_is_number(value) || !(values[k] >= 0))
            return SAE_FAIL(err, SAE_FORMAT, "%s: \"sums\" must hold numbers from 0", name);
    }
    *sums = (store_error_sums){values[0], values[1], values[2]};
    return SAE_OK;
}

static sae_status check_entry(const store_writer *w, const json_t *entry, int64_t *rows, const char *name,
                              sae_error *err)
{
    sae_status status = json_get_int(entry, "rows", -1, rows, name, err);

    if (status != SAE_OK) return status;
    if (*rows < 1 || *rows > w->shard_rows || json_array_size(json_object_get(entry, "parts")) != (size_t)w->n_parts)
        return SAE_FAIL(err, SAE_FORMAT, "%s: a shard has \"rows\" from 1 to %lld and %d \"parts\"", name,
                        (long long)w->shard_rows, w->n_parts);
    return SAE_OK;
}

/* Does the shard stand as it is listed, in every part? Only NOMEM is a failure. */
static sae_status shard_verifies(const store_writer *w, const json_t *entry, int64_t number, int64_t rows,
                                 const char *name, bool *good, sae_error *err)
{
    sae_status status = SAE_OK;

    for (int i = 0; i < w->n_parts && status == SAE_OK; i++) {
        const store_part *p = &w->parts[i];
        safetensors *st = NULL;
        uint64_t hash = 0;
        char *path = store_shard_path(p->folder, number, err);
        const json_t *part = json_array_get(json_object_get(entry, "parts"), (size_t)i);
        sae_error found = {0};
        status = path ? store_read_hash(part, "xxh3", &hash, name, &found) : SAE_NOMEM;
        if (status == SAE_OK) status = packed_open(&p->packed, &st, path, rows, hash, &found);
        safetensors_close(st);
        mem_free(path);
    }
    *good = status == SAE_OK;
    return status == SAE_NOMEM ? SAE_FAIL(err, SAE_NOMEM, "no memory to check shard %lld", (long long)number) : SAE_OK;
}

/* The state behind an entry: sums and place. */
static sae_status take_state(store_writer *w, const json_t *entry, const char *name, sae_error *err)
{
    sae_status status = SAE_OK;

    for (int i = 0; i < w->n_parts; i++)
        SAE_TRY(read_sums(json_array_get(json_object_get(entry, "parts"), (size_t)i), &w->parts[i].sums, name, err));
    json_decref(w->next);
    w->next = json_incref(json_object_get(entry, "next"));
done:
    return status;
}

/* Rows of a file into the shard that is being filled. */
static sae_status load_tail(store_writer *w, const json_t *entry, const char *file, const char *name, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t rows = 0;

    SAE_TRY(check_entry(w, entry, &rows, name, err));
    for (int i = 0; i < w->n_parts; i++) {
        store_part *p = &w->parts[i];
        uint64_t hash = 0;
        char *path = path_join(p->folder, file, err);
        status =
            path ? store_read_hash(json_array_get(json_object_get(entry, "parts"), (size_t)i), "xxh3", &hash, name, err)
                 : SAE_NOMEM;
        if (status == SAE_OK) status = packed_load(&p->packed, path, rows, hash, w->tokens, w->positions, err);
        mem_free(path);
        SAE_TRY(status);
    }
    SAE_TRY(take_state(w, entry, name, err));
    w->in_tail = rows;
    w->n_rows += rows;
done:
    return status;
}

/* How many of the listed shards can be gone on from: those that verify, up to one whose place behind it is known. */
static sae_status count_good(const store_writer *w, const json_t *shards, size_t *good, const char *name,
                             sae_error *err)
{
    size_t n = json_array_size(shards), verified = 0;
    int64_t rows = 0;
    bool stands = false;

    if (!json_is_array(shards) || n > STORE_MAX_SHARDS)
        return SAE_FAIL(err, SAE_FORMAT, "%s: \"shards\" must list at most %d", name, STORE_MAX_SHARDS);
    for (; verified < n; verified++) {
        const json_t *entry = json_array_get(shards, verified);
        sae_status status = check_entry(w, entry, &rows, name, err);
        if (status == SAE_OK && rows < w->shard_rows && verified + 1 < n)
            status = SAE_FAIL(err, SAE_FORMAT, "%s: a shard before the last is not full", name);
        if (status == SAE_OK) status = shard_verifies(w, entry, (int64_t)verified, rows, name, &stands, err);
        if (status != SAE_OK) return status;
        if (!stands) break;
    }
    *good = verified;
    while (*good > 0 && !json_is_object(json_object_get(json_array_get(shards, *good - 1), "next"))) --*good;
    return SAE_OK;
}

/* Is what all listed rows were computed from still what it was? Takes the stream behind them. STATE or RANGE: it is not. */
static sae_status check_source(const store_writer *w, const json_t *all, const char *name, sae_error *err)
{
    return acts_recall(w->acts, place_listed(all), name, err);
}

static sae_status take_up(store_writer *w, const json_t *all, const char *name, sae_error *err)
{
    const json_t *shards = json_object_get(all, "shards"), *tail = json_object_get(all, "tail");
    sae_status status = SAE_OK;
    size_t good = 0;
    int64_t rows = 0;
    char file[64];

    SAE_TRY(json_get_bool(all, "done", false, &w->done, name, err));
    w->done = w->done && asks_for_as_many(w, all);
    if (w->done) {
        status = check_source(w, all, name, err);
        goto done;
    }
    SAE_TRY(count_good(w, shards, &good, name, err));
    if (w->options.append && good == 0)
        SAE_RAISE(err, SAE_FORMAT, "%s: is damaged (`sae acts --verify` tells where): nothing can be appended to it",
                  w->folder.path);
    for (size_t i = 0; i < good; i++) {
        json_t *entry = json_array_get(shards, i);
        SAE_TRY(check_entry(w, entry, &rows, name, err));
        if (rows < w->shard_rows) { /* the last one: filled further */
            snprintf(file, sizeof file, STORE_SHARD_NAME, (long long)i);
            SAE_TRY(load_tail(w, entry, file, name, err));
        } else {
            SAE_TRY(take_state(w, entry, name, err));
            SAE_TRY(store_list_shard(w, entry, err));
            w->n_rows += rows;
        }
    }
    if (json_is_object(json_object_get(tail, "next")) && good == json_array_size(shards) && w->in_tail == 0) {
        sae_error lost = {0}; /* a tail that does not verify is made again */
        if (load_tail(w, tail, STORE_TAIL_NAME, name, &lost) == SAE_NOMEM)
            SAE_RAISE(err, SAE_NOMEM, "%s", lost.message);
    }
    w->saved_rows = w->n_rows;
    if (w->next) SAE_TRY(acts_recall(w->acts, w->next, name, err));
done:
    return status;
}

/* ---- Beginning ------------------------------------------------------------------------------------------------------------- */

sae_status store_progress_was_done(const store_writer *w, const char *path, bool *done, sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *all = NULL, *mine = make_plan(w);
    char *progress = path_join(path, STORE_PROGRESS_NAME, err);
    bool whole = false;
    char key[KEY_ROOM] = "";

    *done = false;
    if (!progress) SAE_TRY(SAE_NOMEM);
    if (!mine) SAE_RAISE(err, SAE_NOMEM, "no memory for the progress of a store");
    if (!file_exists(progress)) goto done;
    SAE_TRY(json_read_file(&all, progress, err));
    SAE_TRY(json_get_bool(all, "done", false, &whole, progress, err));
    json_t *plan = json_object_get(all, "plan"), *size = json_object_get(plan, "shard_rows");
    if (w->options.append && !w->options.shard_rows && size) json_put(&mine, "shard_rows", json_incref(size));
    if (!mine) SAE_RAISE(err, SAE_NOMEM, "no memory for the progress of a store");
    SAE_TRY(compare_plans(w, mine, all, key, err));
    if (!whole || *key || !asks_for_as_many(w, all)) goto done; /* it stays for the call that made it */
    SAE_TRY(check_source(w, all, progress, err));
    if (!w->options.settle_later) SAE_TRY(sae_store_settle(path, err));
    *done = true;
done:
    json_decref(mine);
    json_decref(all);
    mem_free(progress);
    return status;
}

sae_status sae_store_settle(const char *path, sae_error *err)
{
    char *progress = path_join(path, STORE_PROGRESS_NAME, err);
    sae_status status = !progress ? SAE_NOMEM : file_exists(progress) ? file_remove(progress, err) : SAE_OK;

    mem_free(progress);
    return status;
}

/* That progress.json lists; what is no number of rows is refused later (check_entry). */
static int64_t rows_listed(const store_writer *w, const json_t *all)
{
    const json_t *shards = json_object_get(all, "shards");
    size_t n = json_array_size(shards);
    int64_t sum = 0;

    for (size_t i = 0; i <= n && n <= STORE_MAX_SHARDS; i++) {
        const json_t *entry = i < n ? json_array_get(shards, i) : json_object_get(all, "tail");
        int64_t rows = json_integer_value(json_object_get(entry, "rows"));
        if (rows > 0 && rows <= w->shard_rows) sum += rows;
    }
    return sum;
}

/* With force: work on a text that has changed since is begun anew. */
static sae_status is_same_source(const store_writer *w, const json_t *all, bool *same, sae_error *err)
{
    sae_error found = {0};
    sae_status status = check_source(w, all, w->folder.temporary, &found);

    *same = status == SAE_OK;
    if (*same) return SAE_OK;
    if (status != SAE_STATE && status != SAE_RANGE && status != SAE_FORMAT)
        return SAE_FAIL(err, status, "%s", found.message);
    return sae_acts_seek(w->acts, 0, err);
}

/* Work that is alike is gone on with to any end behind what it holds; only what was shuffled when it was done is as it is. */
static sae_status is_same_work(const store_writer *w, const json_t *all, bool *same, sae_error *err)
{
    const char *path = w->folder.temporary;
    long long held = rows_listed(w, all) - w->rows_before, asked = rows_asked(w);
    bool fewer = asked >= 0 && held > asked;
    bool fixed = json_is_true(json_object_get(all, "done")) && w->options.shuffle && !asks_for_as_many(w, all);
    char key[KEY_ROOM] = "";

    sae_status status = compare_plans(w, w->plan, all, key, err);
    if (status != SAE_OK) return status;
    *same = !*key && !fewer && !fixed;
    if (*same && w->options.force && held > 0) return is_same_source(w, all, same, err);
    if (*same || w->options.force) return SAE_OK;
    if (*key)
        return SAE_FAIL(err, SAE_EXISTS,
                        "%s holds an unfinished store of something else (\"%s\" differs): finish it by the call that "
                        "began it, or use --force to begin anew",
                        path, key);
    if (fixed)
        return SAE_FAIL(err, SAE_EXISTS,
                        "%s holds %lld rows, all of another call and shuffled, which only wait for their place: repeat "
                        "that call to have them, or use --force to begin anew",
                        path, held);
    return SAE_FAIL(err, SAE_RANGE,
                    "%s holds %lld rows already and %lld were asked for: ask for %lld or more to go on with them, or "
                    "use --force to begin anew",
                    path, held, asked, held);
}

/* What is there cannot be gone on from: a folder that was never begun, or one that was replaced. */
static sae_status empty_folder(store_writer *w, sae_error *err)
{
    sae_status status = SAE_OK;
    char **names = NULL, *path = NULL;
    int n = 0;

    SAE_TRY(folder_list(w->folder.temporary, &names, &n, err));
    for (int i = 0; i < n; i++) {
        path = path_join(w->folder.temporary, names[i], err);
        if (!path) SAE_TRY(SAE_NOMEM);
        SAE_TRY(folder_remove(path, err));
        mem_free(path);
        path = NULL;
    }
done:
    mem_free(path);
    folder_list_free(names, n);
    return status;
}

/* Without progress.json nothing but files of a store may be there: they are about to be removed. */
static sae_status check_ours(const store_writer *w, sae_error *err)
{
    sae_status status = SAE_OK;
    char **names = NULL;
    int n = 0;

    SAE_TRY(folder_list(w->folder.temporary, &names, &n, err));
    for (int i = 0; i < n; i++) {
        bool ours = store_is_file(names[i]) || is_leftover(names[i], NULL) ||
                    strcmp(names[i], STORE_STAGED_NAME) == 0 || strcmp(names[i], STORE_TAIL_NAME) == 0;
        for (int k = 0; k < w->n_parts; k++) ours |= w->parts[k].name && strcmp(names[i], w->parts[k].name) == 0;
        if (!ours)
            SAE_RAISE(err, SAE_EXISTS, "%s: holds \"%s\", which is not of an unfinished store; not replaced",
                      w->folder.temporary, names[i]);
    }
done:
    folder_list_free(names, n);
    return status;
}

sae_status store_progress_drop_replaced(const store_writer *w, sae_error *err)
{
    sae_status status = SAE_OK;
    char *path = path_join(w->folder.temporary, STORE_PROGRESS_NAME, err);

    if (!path) return SAE_NOMEM;
    if (!file_exists(path) && check_ours(w, NULL) == SAE_OK) status = folder_remove(w->folder.temporary, err);
    mem_free(path);
    return status;
}

sae_status store_progress_begin(store_writer *w, sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *all = NULL;
    bool same = false;
    char *path = path_join(w->folder.temporary, STORE_PROGRESS_NAME, err);

    if (!path) return SAE_NOMEM;
    w->plan = make_plan(w);
    if (!w->plan) SAE_RAISE(err, SAE_NOMEM, "no memory for the progress of a store");
    if (file_exists(path)) {
        SAE_TRY(json_read_file(&all, path, err));
        SAE_TRY(store_check_format(all, STORE_PROGRESS_FORMAT, path, err));
        SAE_TRY(is_same_work(w, all, &same, err));
    } else {
        SAE_TRY(check_ours(w, err));
    }
    w->owned = true;
    if (!same) {
        SAE_TRY(empty_folder(w, err));
        SAE_TRY(store_make_folders(w, err));
        json_decref(all);
        all = json_pack("{s[]}", "shards");
        if (!all) SAE_RAISE(err, SAE_NOMEM, "no memory for the progress of a store");
        if (w->options.append) SAE_TRY(store_append_begin(w, all, err));
    }
    if (same && json_is_object(json_object_get(all, "about"))) {
        json_decref(w->about);
        w->about = json_incref(json_object_get(all, "about"));
    }
    SAE_TRY(take_up(w, all, path, err));
done:
    json_decref(all);
    mem_free(path);
    return status;
}
