/*
 * store_write.c - rows of a stream into a store, or into several, one for each part of a row.
 *
 * Invariant: the folder appears as a whole when the last row is on disk, or not at all. Which shards there are, and every byte
 * of them, follows from the rows and the options, however often the work was broken off and taken up again.
 */
#include "acts/store.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CHUNK_ROWS = 1024 };          /* asked of the stream at a time */
enum { SHARD_BYTES = 256 << 20 };    /* a shard is made in memory: the default size keeps below this */
enum { SHARD_ROWS = 262144 };        /* and this */
static const double save_every = 60; /* seconds: no more work is lost when a write is killed */

/* ---- Names ---------------------------------------------------------------------------------------------------------------- */

char *store_shard_path(const char *folder, int64_t number, sae_error *err)
{
    char name[64];

    snprintf(name, sizeof name, STORE_SHARD_NAME, (long long)number);
    return path_join(folder, name, err);
}

char *store_part_folder(const char *base, const store_part *p, sae_error *err)
{
    return p->name ? path_join(base, p->name, err) : mem_strdup(base, err);
}

bool store_is_file(const char *name)
{
    long long number;
    char expected[64];

    if (strcmp(name, STORE_META_NAME) == 0 || strcmp(name, STORE_PROGRESS_NAME) == 0) return true;
    if (sscanf(name, STORE_SHARD_NAME, &number) != 1) return false;
    snprintf(expected, sizeof expected, STORE_SHARD_NAME, number);
    return strcmp(name, expected) == 0;
}

static bool any_name(const char *name)
{
    (void)name;
    return true;
}

sae_status store_report(const store_writer *w, const char *what, int64_t done, int64_t total, sae_error *err)
{
    const sae_progress *p = w->progress;

    if (!p || !p->report || !p->report(p->user, what, (double)done, total < 0 ? 0 : (double)total)) return SAE_OK;
    return SAE_FAIL(err, SAE_CANCELLED, "stopped on request; no store was written");
}

/* ---- Options and memory --------------------------------------------------------------------------------------------------- */

static sae_status check_numbers(store_writer *w, sae_error *err)
{
    const sae_store_options *o = &w->options;

    if ((int)o->dtype < 0 || (int)o->dtype >= STORE_DTYPES)
        return SAE_FAIL(err, SAE_RANGE, "type %d is none of sae_store_dtype", (int)o->dtype);
    if (o->shard_rows < 0 || o->shard_rows > INT32_MAX)
        return SAE_FAIL(err, SAE_RANGE, "shards of %lld rows; expected 1 to %d", (long long)o->shard_rows, INT32_MAX);
    if (o->append && o->shuffle)
        return SAE_FAIL(err, SAE_RANGE, "rows cannot be appended to a store and shuffled with what it holds");
    return SAE_OK;
}

static bool is_good_name(const char *name)
{
    return name && *name && *name != '.' && !strchr(name, '/') && strlen(name) < 200;
}

static sae_status take_parts(store_writer *w, sae_error *err)
{
    sae_acts_info info = sae_acts_get_info(w->acts);
    const char *const *names = w->options.parts;
    int64_t first = 0;

    w->n_parts = names ? info.n_parts : 1;
    if (w->n_parts < 1 || w->n_parts > STORE_MAX_PARTS)
        return SAE_FAIL(err, SAE_RANGE, "rows of %d parts cannot be stored apart", w->n_parts);
    w->parts = mem_alloc_array((size_t)w->n_parts, sizeof *w->parts, "the parts of a store", err);
    if (!w->parts) return SAE_NOMEM;
    for (int i = 0; i < w->n_parts; i++) {
        store_part *p = &w->parts[i];
        *p = (store_part){.name = names ? names[i] : NULL, .first = first, .d = names ? info.parts[i].d : info.d};
        first += p->d;
        if (names && !is_good_name(p->name)) return SAE_FAIL(err, SAE_RANGE, "part %d has no name for a folder", i);
        for (int k = 0; names && k < i; k++)
            if (strcmp(names[k], p->name) == 0) return SAE_FAIL(err, SAE_RANGE, "two parts are named %s", p->name);
    }
    return SAE_OK;
}

/* Shuffling holds two shards, one that is read and one that is made: its buffers get half of the memory or more. */
static int64_t default_shard_rows(const store_writer *w)
{
    int64_t fit = SHARD_BYTES / (w->d * dtype_table[w->type].block_bytes),
            quarter = (int64_t)(w->options.memory / 4 / store_row_bytes(w));

    if (w->options.shuffle && quarter < fit) fit = quarter;
    return fit < 1 ? 1 : fit < SHARD_ROWS ? fit : SHARD_ROWS;
}

size_t store_row_bytes(const store_writer *w)
{
    size_t scales = w->type == DTYPE_I8 ? (size_t)w->n_parts * sizeof(float) : 0;

    return (size_t)w->d * (size_t)dtype_table[w->type].block_bytes + scales + 2 * sizeof(int32_t);
}

static sae_status check_options(store_writer *w, const sae_store_options *options, int64_t n_rows, sae_error *err)
{
    sae_status status = SAE_OK;
    size_t buffers = 0;

    if (options) w->options = *options;
    if (w->options.memory == 0) w->options.memory = (size_t)1 << 30;
    SAE_TRY(check_numbers(w, err));
    if (w->options.about) SAE_TRY(json_parse(&w->about, w->options.about, strlen(w->options.about), "\"about\"", err));
    w->d = sae_acts_get_info(w->acts).d;
    w->type = store_dtypes[w->options.dtype];
    w->n_wanted = n_rows < 0 ? -1 : n_rows;
    SAE_TRY(take_parts(w, err));
    w->shard_rows = w->options.shard_rows ? w->options.shard_rows : default_shard_rows(w);
    w->staged = w->options.shuffle;
    if (w->staged) SAE_TRY(store_shuffle_buffers(w, w->n_wanted < 0 ? w->shard_rows : w->n_wanted, &buffers, err));
done:
    return status;
}

/* A shard that the rows asked for do not fill takes no more memory than they do. */
static int64_t shard_room(const store_writer *w)
{
    bool known = w->n_wanted >= 0 && !w->options.append;

    return known && w->n_wanted < w->shard_rows ? (w->n_wanted > 0 ? w->n_wanted : 1) : w->shard_rows;
}

static sae_status allocate(store_writer *w, sae_error *err)
{
    sae_status status = SAE_OK;
    size_t n = (size_t)shard_room(w);

    w->chunk = mem_alloc_array(CHUNK_ROWS * (size_t)w->d, sizeof *w->chunk, "rows on their way to a store", err);
    w->tokens = mem_alloc_array(n, sizeof *w->tokens, "a shard of a store", err);
    w->positions = mem_alloc_array(n, sizeof *w->positions, "a shard of a store", err);
    w->finished = json_array();
    if (!w->chunk || !w->tokens || !w->positions || !w->finished)
        SAE_RAISE(err, SAE_NOMEM, "no memory for the list of a store's shards");
    for (int i = 0; i < w->n_parts; i++) {
        store_part *p = &w->parts[i];
        SAE_TRY(packed_create(&p->packed, w->type, p->d, shard_room(w), err));
        p->shards = json_array();
        if (!p->shards) SAE_RAISE(err, SAE_NOMEM, "no memory for the list of a store's shards");
    }
done:
    return status;
}

/* Where shards go now: into `staged` first when they are shuffled afterwards. */
static sae_status name_folders(store_writer *w, sae_error *err)
{
    sae_status status = SAE_OK;
    char *base =
        w->staged ? path_join(w->folder.temporary, STORE_STAGED_NAME, err) : mem_strdup(w->folder.temporary, err);

    if (!base) return SAE_NOMEM;
    for (int i = 0; i < w->n_parts; i++) {
        store_part *p = &w->parts[i];
        mem_free(p->folder);
        p->folder = store_part_folder(base, p, err);
        if (!p->folder) SAE_TRY(SAE_NOMEM);
    }
done:
    mem_free(base);
    return status;
}

sae_status store_make_folders(const store_writer *w, sae_error *err)
{
    sae_status status = SAE_OK;

    for (int i = 0; i < w->n_parts; i++) SAE_TRY(folder_make(w->parts[i].folder, err));
done:
    return status;
}

/* ---- Rows ----------------------------------------------------------------------------------------------------------------- */

sae_status store_list_shard(store_writer *w, json_t *entry, sae_error *err)
{
    char file[64];

    snprintf(file, sizeof file, STORE_SHARD_NAME, (long long)w->n_shards);
    for (int i = 0; i < w->n_parts; i++) {
        json_t *hash = json_object_get(json_array_get(json_object_get(entry, "parts"), (size_t)i), "xxh3");
        json_t **shards = &w->parts[i].shards;
        json_add(shards,
                 json_pack("{s:s, s:O, s:O}", "file", file, "rows", json_object_get(entry, "rows"), "xxh3", hash));
        if (!*shards) return SAE_FAIL(err, SAE_NOMEM, "no memory to list the shards of a store");
    }
    json_add(&w->finished, json_incref(entry));
    if (!w->finished) return SAE_FAIL(err, SAE_NOMEM, "no memory to list the shards of a store");
    w->n_shards++;
    return SAE_OK;
}

sae_status store_write_rows(const store_writer *w, const char *file, json_t **out, sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *entry = json_pack("{sI sO}", "rows", (json_int_t)w->in_tail, "next", w->next), *parts = json_array();

    for (int i = 0; i < w->n_parts; i++) {
        const store_part *p = &w->parts[i];
        uint64_t hash = 0;
        char *path = path_join(p->folder, file, err);
        status = path ? packed_write(&p->packed, w->in_tail, w->tokens, w->positions, path, &hash, err) : SAE_NOMEM;
        mem_free(path);
        SAE_TRY(status);
        json_add(&parts, json_pack("{so s[fff]}", "xxh3", store_hash_json(hash), "sums", p->sums.squared_error,
                                   p->sums.squared_norm, p->sums.worst));
    }
    json_put(&entry, "parts", parts);
    parts = NULL;
    if (!entry) SAE_RAISE(err, SAE_NOMEM, "no memory for the progress of a store");
    *out = entry;
    entry = NULL;
done:
    json_decref(entry);
    json_decref(parts);
    return status;
}

/* What is in the shard that is being filled, to its place. */
static sae_status write_shard(store_writer *w, sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *entry = NULL;
    char name[64];

    if (w->n_shards == STORE_MAX_SHARDS)
        SAE_RAISE(err, SAE_RANGE, "more than %d shards; choose larger ones", STORE_MAX_SHARDS);
    snprintf(name, sizeof name, STORE_SHARD_NAME, (long long)w->n_shards);
    SAE_TRY(store_write_rows(w, name, &entry, err));
    SAE_TRY(store_list_shard(w, entry, err));
    w->in_tail = 0;
    if (w->folder.kept) SAE_TRY(store_progress_save(w, false, err));
done:
    json_decref(entry);
    return status;
}

/* Up to CHUNK_ROWS rows into the shard that is being filled; *ended when the stream has no more. */
static sae_status take_chunk(store_writer *w, bool *ended, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t want = shard_room(w) - w->in_tail, got = 0;

    if (w->n_wanted >= 0 && want > w->n_wanted - w->n_rows) want = w->n_wanted - w->n_rows;
    if (want > CHUNK_ROWS) want = CHUNK_ROWS;
    SAE_TRY(sae_acts_next(w->acts, want, w->chunk, w->tokens + w->in_tail, w->positions + w->in_tail, &got, err));
    for (int i = 0; i < w->n_parts; i++) {
        store_part *p = &w->parts[i];
        store_error_sums sums = p->sums;
        for (int64_t k = 0; k < got; k++)
            SAE_TRY(packed_put(&p->packed, w->in_tail + k, w->chunk + k * w->d + p->first, w->n_rows + k, &sums, err));
        p->sums = sums;
    }
    json_t *next = acts_mark(w->acts);
    if (!next) SAE_RAISE(err, SAE_NOMEM, "no memory for the place in the rows");
    json_decref(w->next);
    w->next = next;
    w->in_tail += got;
    w->n_rows += got;
    *ended = got < want;
done:
    return status;
}

static sae_status write_rows(store_writer *w, sae_error *err)
{
    sae_status status = SAE_OK;
    bool ended = false;

    w->saved = clock_seconds();
    while (!ended && (w->n_wanted < 0 || w->n_rows < w->n_wanted)) {
        SAE_TRY(take_chunk(w, &ended, err));
        if (w->in_tail == w->shard_rows)
            SAE_TRY(write_shard(w, err));
        else if (w->folder.kept && w->in_tail && clock_seconds() - w->saved > save_every)
            SAE_TRY(store_progress_save(w, true, err));
        SAE_TRY(store_report(w, "rows", w->n_rows, w->n_wanted, err));
    }
    if (w->in_tail) SAE_TRY(write_shard(w, err));
    if (w->n_rows == 0) SAE_RAISE(err, SAE_RANGE, "no rows to store: the stream gave none");
done:
    return status;
}

/* ---- meta.json ------------------------------------------------------------------------------------------------------------ */

static json_t *error_json(const store_error_sums *s)
{
    double relative = s->squared_norm > 0 ? sqrt(s->squared_error / s->squared_norm) : 0;

    return json_pack("{sf sf sf sf}", "relative", relative, "worst_row", s->worst, "squared_error", s->squared_error,
                     "squared_norm", s->squared_norm);
}

json_t *store_part_about(const store_writer *w, const store_part *p)
{
    json_t *about = w->about ? json_whole_copy(w->about) : json_null();

    if (p->name && about && !json_is_object(about)) {
        json_decref(about);
        about = json_object();
    }
    if (p->name) json_put(&about, "site", json_string(p->name));
    return about;
}

static sae_status write_meta(const store_writer *w, int i, sae_error *err)
{
    const store_part *p = &w->parts[i];
    sae_acts_info info = sae_acts_get_info(w->acts);
    double median = info.parts && w->options.parts ? info.parts[i].median_norm : info.median_norm;
    sae_status status = SAE_OK;
    char *path = path_join(p->folder, STORE_META_NAME, err);
    json_t *meta = json_object();

    if (!path) SAE_TRY(SAE_NOMEM);
    json_put(&meta, "format", json_string(STORE_FORMAT));
    json_put(&meta, "version", json_integer(STORE_VERSION));
    json_put(&meta, "d", json_integer(p->d));
    json_put(&meta, "dtype", json_string(dtype_table[w->type].name));
    json_put(&meta, "n_rows", json_integer(w->n_rows));
    json_put(&meta, "shard_rows", json_integer(w->shard_rows));
    json_put(&meta, "source", json_text(info.describe));
    json_put(&meta, "median_norm", json_number_or_null(median));
    json_put(&meta, "dropped", json_integer(info.dropped));
    json_put(&meta, "error", error_json(&p->sums));
    json_put(&meta, "shuffle",
             w->options.shuffle ? json_pack("{sI}", "seed", (json_int_t)w->options.seed) : json_null());
    json_put(&meta, "next", json_incref(w->next));
    json_put(&meta, "about", store_part_about(w, p));
    json_put(&meta, "shards", json_incref(p->shards));
    SAE_TRY(json_write_file(meta, path, true, err));
    SAE_TRY(folder_sync(p->folder, err));
done:
    json_decref(meta);
    mem_free(path);
    return status;
}

/* ---- The whole ------------------------------------------------------------------------------------------------------------ */

/* A folder of stores is replaced only when there is nothing else in it. */
static sae_status check_part_folders(const store_writer *w, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    char **names = NULL, **files = NULL, *folder = NULL;
    int n = 0, n_files = 0;

    if (!w->options.parts || !file_is_folder(path)) return SAE_OK;
    SAE_TRY(folder_list(path, &names, &n, err));
    for (int i = 0; i < n; i++) {
        folder = path_join(path, names[i], err);
        if (!folder) SAE_TRY(SAE_NOMEM);
        if (store_is_file(names[i])) goto next;
        if (!file_is_folder(folder))
            SAE_RAISE(err, SAE_EXISTS, "%s: holds \"%s\", which is no store; not replaced", path, names[i]);
        SAE_TRY(folder_list(folder, &files, &n_files, err));
        for (int k = 0; k < n_files; k++)
            if (!store_is_file(files[k]))
                SAE_RAISE(err, SAE_EXISTS, "%s: holds \"%s\", which is not of a store; not replaced", folder, files[k]);
    next:
        folder_list_free(files, n_files);
        files = NULL;
        mem_free(folder);
        folder = NULL;
    }
done:
    folder_list_free(files, n_files);
    folder_list_free(names, n);
    mem_free(folder);
    return status;
}

static sae_status open_folder(store_writer *w, const char *path, sae_error *err)
{
    bool kept = w->options.resumable || w->options.append, force = w->options.force || w->options.append;
    sae_status status = check_part_folders(w, path, err);

    if (status != SAE_OK) return status;
    return (kept ? folder_writer_open_kept : folder_writer_open)(&w->folder, path, force,
                                                                 w->options.parts ? any_name : store_is_file, err);
}

/* Takes what only the work needed out of a folder. */
static sae_status tidy(const char *folder, sae_error *err)
{
    sae_status status = SAE_OK;
    char **names = NULL, *path = NULL;
    int n = 0;

    SAE_TRY(folder_list(folder, &names, &n, err));
    for (int i = 0; i < n; i++) {
        if (!is_leftover(names[i], NULL) && strcmp(names[i], STORE_STAGED_NAME) != 0 &&
            strcmp(names[i], STORE_TAIL_NAME) != 0)
            continue;
        path = path_join(folder, names[i], err);
        if (!path) SAE_TRY(SAE_NOMEM);
        SAE_TRY(folder_remove(path, err));
        mem_free(path);
        path = NULL;
    }
done:
    folder_list_free(names, n);
    mem_free(path);
    return status;
}

static sae_status tidy_all(const store_writer *w, sae_error *err)
{
    sae_status status = tidy(w->folder.temporary, err);

    for (int i = 0; i < w->n_parts && w->options.parts && status == SAE_OK; i++) {
        char *folder = store_part_folder(w->folder.temporary, &w->parts[i], err);
        status = folder ? tidy(folder, err) : SAE_NOMEM;
        mem_free(folder);
    }
    return status;
}

/* All rows are on disk: progress.json says so until the folder bears its name, and until the caller has told of it. */
static sae_status put_in_place(store_writer *w, sae_error *err)
{
    sae_status status = SAE_OK;
    char *path = mem_strdup(w->folder.path, err);
    bool settled = w->folder.kept && !w->options.settle_later;

    if (!path) return SAE_NOMEM;
    SAE_TRY(tidy_all(w, err));
    SAE_TRY(check_part_folders(w, path, err));
    SAE_TRY(folder_writer_commit(&w->folder, err));
    if (settled) SAE_TRY(sae_store_settle(path, err));
done:
    mem_free(path);
    return status;
}

static void remove_if_empty(const char *folder)
{
    char **names = NULL;
    int n = 1;

    if (folder_list(folder, &names, &n, NULL) == SAE_OK && n == 0) folder_remove(folder, NULL);
    folder_list_free(names, n);
}

/* What a broken-off write leaves: all that can be gone on from, or nothing. What it never took over stays as it was. */
static void break_off(store_writer *w, sae_status why, sae_error *err)
{
    if (!w->folder.temporary || !w->folder.kept) return;
    if (!w->owned) {
        remove_if_empty(w->folder.temporary);
        return;
    }
    if (why != SAE_IO && w->in_tail && w->taking) store_progress_save(w, true, NULL);
    if (w->saved_rows <= w->rows_before && !w->done) {
        folder_remove(w->folder.temporary, NULL);
        return;
    }
    if (!err) return;
    size_t used = strlen(err->message);
    snprintf(err->message + used, sizeof err->message - used,
             "; %lld rows are kept in %s: the same call%s goes on from there", (long long)w->saved_rows,
             w->folder.temporary, w->go_on_with);
}

static void release(store_writer *w)
{
    folder_writer_abort(&w->folder);
    for (int i = 0; w->parts && i < w->n_parts; i++) {
        packed_free(&w->parts[i].packed);
        json_decref(w->parts[i].shards);
        mem_free(w->parts[i].folder);
    }
    mem_free(w->parts);
    mem_free(w->chunk);
    mem_free(w->tokens);
    mem_free(w->positions);
    json_decref(w->finished);
    json_decref(w->plan);
    json_decref(w->about);
    json_decref(w->next);
}

sae_status sae_store_write(const char *path, sae_acts *acts, int64_t n_rows, const sae_store_options *options,
                           const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    store_writer w = {.acts = acts, .progress = progress};
    bool done_before = false;

    SAE_TRY(check_options(&w, options, n_rows, err));
    bool anew = w.options.force || !(w.options.resumable || w.options.append); /* whatever stands there */
    if (!anew) SAE_TRY(store_progress_was_done(&w, path, &done_before, err));
    if (done_before && !w.options.append) goto done; /* it replaced nothing */
    SAE_TRY(open_folder(&w, path, err));
    if (done_before) SAE_TRY(store_progress_drop_replaced(&w, err));
    if (done_before) goto done;
    SAE_TRY(store_append_sizes(&w, err));
    SAE_TRY(allocate(&w, err));
    SAE_TRY(name_folders(&w, err));
    if (w.folder.kept) SAE_TRY(store_progress_begin(&w, err));
    SAE_TRY(store_make_folders(&w, err));
    if (!w.done) {
        w.taking = true;
        SAE_TRY(write_rows(&w, err));
        w.staged = w.taking = false;
        SAE_TRY(name_folders(&w, err));
        SAE_TRY(store_make_folders(&w, err));
        if (w.options.shuffle) SAE_TRY(store_shuffle(&w, err));
        for (int i = 0; i < w.n_parts; i++) SAE_TRY(write_meta(&w, i, err));
        w.done = true;
        if (w.folder.kept) SAE_TRY(store_progress_save(&w, false, err));
    }
    status = put_in_place(&w, err);
done:
    if (status != SAE_OK) break_off(&w, status, err);
    release(&w);
    return status;
}
