/*
 * store_append.c - a store that is appended to: it begins as an unfinished one whose old shards are done, under second names, so that
 * the old store stands until the new one takes its place.
 */
#include "acts/store.h"

#include <stdio.h>
#include <string.h>

static sae_status read_meta(const store_writer *w, const store_part *p, json_t **meta, sae_error *err)
{
    sae_status status = SAE_OK;
    char *folder = store_part_folder(w->folder.path, p, err), *path = NULL;

    if (!folder) return SAE_NOMEM;
    path = path_join(folder, STORE_META_NAME, err);
    if (!path) SAE_TRY(SAE_NOMEM);
    if (!file_exists(path)) SAE_RAISE(err, SAE_IO, "%s: there is no store to append to", folder);
    SAE_TRY(json_read_file(meta, path, err));
    SAE_TRY(store_check_format(*meta, STORE_FORMAT, path, err));
done:
    mem_free(folder);
    mem_free(path);
    return status;
}

sae_status store_append_sizes(store_writer *w, sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *meta = NULL;
    int64_t shard_rows = 0;

    if (!w->options.append) return SAE_OK;
    SAE_TRY(read_meta(w, &w->parts[0], &meta, err));
    SAE_TRY(json_get_int(meta, "shard_rows", 0, &shard_rows, w->folder.path, err));
    SAE_TRY(json_get_int(meta, "n_rows", 0, &w->rows_before, w->folder.path, err));
    if (shard_rows < 1 || shard_rows > INT32_MAX || w->rows_before < 1 ||
        !json_is_object(json_object_get(meta, "next")))
        SAE_RAISE(err, SAE_UNSUPPORTED, "%s: does not say how its rows go on: it cannot be appended to",
                  w->folder.path);
    if (w->options.shard_rows && w->options.shard_rows != shard_rows)
        SAE_RAISE(err, SAE_RANGE, "%s: has shards of %lld rows, not %lld", w->folder.path, (long long)shard_rows,
                  (long long)w->options.shard_rows);
    w->shard_rows = shard_rows;
    if (w->n_wanted >= 0) w->n_wanted += w->rows_before;
done:
    json_decref(meta);
    return status;
}

/* Does the store hold rows like those that would be appended? */
static sae_status check_alike(const store_writer *w, const store_part *p, json_t *meta, sae_error *err)
{
    const char *type = NULL, *name = p->name ? p->name : w->folder.path;
    int64_t d = 0, rows = 0;
    sae_status status = SAE_OK;
    bool compared = store_text_is_compared(w, json_object_get(meta, "next"));
    json_t *mine = store_part_about(w, p), *ours = store_bare_about(mine, compared),
           *theirs = store_bare_about(json_object_get(meta, "about"), compared);

    SAE_TRY(json_get_string(meta, "dtype", "", &type, name, err));
    SAE_TRY(json_get_int(meta, "d", 0, &d, name, err));
    SAE_TRY(json_get_int(meta, "n_rows", 0, &rows, name, err));
    if (json_is_object(json_object_get(meta, "shuffle")))
        SAE_RAISE(err, SAE_STATE, "%s: is shuffled: rows cannot be appended to it", name);
    if (d != p->d || strcmp(type, dtype_table[w->type].name) != 0)
        SAE_RAISE(err, SAE_SHAPE, "%s: holds rows of %lld %.20s; %lld %s cannot be appended to it", name, (long long)d,
                  type, (long long)p->d, dtype_table[w->type].name);
    if (rows != w->rows_before)
        SAE_RAISE(err, SAE_SHAPE, "%s: holds %lld rows, and the store beside it %lld", name, (long long)rows,
                  (long long)w->rows_before);
    if (!ours || !theirs) SAE_RAISE(err, SAE_NOMEM, "no memory to compare what two stores were made from");
    if (!json_equal(ours, theirs))
        SAE_RAISE(err, SAE_STATE, "%s: was made from something else (\"%s\" of \"about\" differs): not appended to",
                  name, store_difference(ours, theirs));
done:
    json_decref(mine);
    json_decref(ours);
    json_decref(theirs);
    return status;
}

/* The shards of one part under a second name, and its column of the list. */
static sae_status adopt(store_writer *w, int i, json_t *meta, json_t *shards, sae_error *err)
{
    sae_status status = SAE_OK;
    store_part *p = &w->parts[i];
    const json_t *list = json_object_get(meta, "shards"), *error = json_object_get(meta, "error");
    size_t n = json_array_size(list);
    int64_t rows = 0;
    char *from = store_part_folder(w->folder.path, p, err), *old = NULL, *new = NULL;

    if (!from) return SAE_NOMEM;
    if (n < 1 || n > STORE_MAX_SHARDS || (i > 0 && n != json_array_size(shards)))
        SAE_RAISE(err, SAE_FORMAT, "%s: \"shards\" of meta.json lists %zu", from, n);
    for (size_t s = 0; s < n; s++) {
        const json_t *entry = json_array_get(list, s);
        json_t *mine = json_array_get(shards, s);
        old = store_shard_path(from, (int64_t)s, err);
        new = store_shard_path(p->folder, (int64_t)s, err);
        if (!old || !new) SAE_TRY(SAE_NOMEM);
        SAE_TRY(file_link(old, new, err));
        json_t *column = json_pack("{sO* s[fff]}", "xxh3", json_object_get(entry, "xxh3"), "sums",
                                   json_number_value(json_object_get(error, "squared_error")),
                                   json_number_value(json_object_get(error, "squared_norm")),
                                   json_number_value(json_object_get(error, "worst_row")));
        bool good = mine || json_array_append_new(
                                shards, json_pack("{s[] sO*}", "parts", "rows", json_object_get(entry, "rows"))) == 0;
        mine = json_array_get(shards, s);
        if (json_array_append_new(json_object_get(mine, "parts"), column) != 0) good = false;
        if (s + 1 == n && json_object_set(mine, "next", json_object_get(meta, "next")) != 0) good = false;
        if (!good) SAE_RAISE(err, SAE_NOMEM, "no memory for the progress of a store");
        rows += json_integer_value(json_object_get(entry, "rows"));
        mem_free(old);
        mem_free(new);
        old = new = NULL;
    }
    if (rows != w->rows_before)
        SAE_RAISE(err, SAE_FORMAT, "%s: \"n_rows\" of meta.json is %lld; its shards hold %lld", from,
                  (long long)w->rows_before, (long long)rows);
done:
    mem_free(from);
    mem_free(old);
    mem_free(new);
    return status;
}

sae_status store_append_begin(store_writer *w, json_t *all, sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *meta = NULL;

    for (int i = 0; i < w->n_parts; i++) {
        SAE_TRY(read_meta(w, &w->parts[i], &meta, err));
        SAE_TRY(check_alike(w, &w->parts[i], meta, err));
        SAE_TRY(adopt(w, i, meta, json_object_get(all, "shards"), err));
        if (i + 1 == w->n_parts) {
            json_decref(w->about);
            w->about = json_incref(json_object_get(meta, "about"));
            if (json_is_null(w->about)) w->about = NULL;
        }
        json_decref(meta);
        meta = NULL;
    }
done:
    json_decref(meta);
    return status;
}
