/*
 * store_read.c - a store as a table of rows. Shapes and sizes of all shards are checked when it is opened, a shard's
 * checksum when its first row is wanted.
 */
#include "acts/store.h"
#include "acts/table.h"

#include <stdio.h>
#include <string.h>

static sae_status find_column(const shard *s, const char *name, dtype type, const unsigned char **out, sae_error *err)
{
    const tensor *t = safetensors_find(s->file, name);

    if (!t || t->type != type || t->rank != 1 || t->shape[0] != s->n)
        return SAE_FAIL(err, SAE_FORMAT, "%s: expected a tensor \"%s\" [%lld] of type %s", safetensors_path(s->file),
                        name, (long long)s->n, dtype_table[type].name);
    *out = t->data;
    return SAE_OK;
}

/* Shard number i as meta.json's entry describes it. The name is not taken from the file: it could point anywhere. */
static sae_status open_shard(table_part *p, int64_t i, const json_t *entry, const char *meta_path, sae_error *err)
{
    sae_status status = SAE_OK;
    shard *s = &p->shards[i];
    char name[64], found[160];
    char *path = NULL;

    if (!json_is_object(entry)) SAE_RAISE(err, SAE_FORMAT, "%s: \"shards\" must hold objects", meta_path);
    snprintf(name, sizeof name, STORE_SHARD_NAME, (long long)i);
    SAE_TRY(json_get_int(entry, "rows", -1, &s->n, meta_path, err));
    SAE_TRY(store_read_hash(entry, "xxh3", &s->hash, meta_path, err));
    path = path_join(p->path, name, err);
    if (!path) SAE_TRY(SAE_NOMEM);
    SAE_TRY(safetensors_open(&s->file, path, err));
    const tensor *rows = safetensors_find(s->file, "rows");
    if (!rows) SAE_RAISE(err, SAE_FORMAT, "%s: tensor \"rows\" is missing", path);
    if (rows->rank != 2 || rows->type != p->type || rows->shape[0] != s->n || rows->shape[1] != p->d)
        SAE_RAISE(err, SAE_SHAPE, "%s: \"rows\" is %s %s; meta.json says %s [%lld, %lld]", path,
                  dtype_table[rows->type].name, tensor_shape_text(rows, found, sizeof found), dtype_table[p->type].name,
                  (long long)s->n, (long long)p->d);
    s->rows = rows->data;
    if (p->type == DTYPE_I8) SAE_TRY(find_column(s, "scales", DTYPE_F32, &s->scales, err));
    SAE_TRY(find_column(s, "tokens", DTYPE_I32, &s->tokens, err));
    SAE_TRY(find_column(s, "positions", DTYPE_I32, &s->positions, err));
done:
    mem_free(path);
    return status;
}

static sae_status read_type(const json_t *meta, dtype *out, const char *path, sae_error *err)
{
    const char *name = NULL;

    sae_status status = json_get_string(meta, "dtype", "", &name, path, err);
    if (status != SAE_OK) return status;
    for (int i = 0; i < STORE_DTYPES; i++) {
        *out = store_dtypes[i];
        if (strcmp(name, dtype_table[*out].name) == 0) return SAE_OK;
    }
    return SAE_FAIL(err, SAE_UNSUPPORTED, "%s: \"dtype\" is \"%.20s\"; BF16, F16, F32 and I8 can be read", path, name);
}

/* All that meta.json says of a store into an empty part. */
static sae_status read_store(table_part *p, const char *folder, const json_t *meta, const char *path, sae_error *err)
{
    const json_t *shards = json_object_get(meta, "shards");
    size_t n_shards = json_array_size(shards);
    sae_status status = SAE_OK;
    int64_t n_rows = 0, total = 0;

    SAE_TRY(store_check_format(meta, STORE_FORMAT, path, err));
    if (n_shards < 1 || n_shards > STORE_MAX_SHARDS)
        SAE_RAISE(err, SAE_FORMAT, "%s: lists %zu shards; expected 1 to %d", path, n_shards, STORE_MAX_SHARDS);
    SAE_TRY(table_part_create(p, folder, (int64_t)n_shards, err));
    SAE_TRY(json_get_int(meta, "d", 0, &p->d, path, err));
    SAE_TRY(json_get_int(meta, "n_rows", 0, &n_rows, path, err));
    SAE_TRY(json_get_double(meta, "median_norm", 0, &p->median_norm, path, err));
    SAE_TRY(read_type(meta, &p->type, path, err));
    p->is_shuffled = json_is_object(json_object_get(meta, "shuffle"));
    for (int64_t i = 0; i < p->n_shards; i++) {
        SAE_TRY(open_shard(p, i, json_array_get(shards, (size_t)i), path, err));
        total += p->shards[i].n; /* each is the size of a tensor in a file: the sum cannot overflow */
    }
    if (total != n_rows)
        SAE_RAISE(err, SAE_FORMAT, "%s: \"n_rows\" is %lld; its shards hold %lld", path, (long long)n_rows,
                  (long long)total);
done:
    return status;
}

/* A folder of several stores is a likely slip. */
static sae_status no_store(const char *folder, sae_error *err)
{
    sae_status status = SAE_OK;
    char **names = NULL, *inner = NULL, *meta = NULL;
    int n = 0;

    SAE_TRY(folder_list(folder, &names, &n, err));
    for (int i = 0; i < n && !(meta && file_exists(meta)); i++) {
        mem_free(inner);
        mem_free(meta);
        inner = path_join(folder, names[i], err);
        meta = inner ? path_join(inner, STORE_META_NAME, err) : NULL;
        if (!meta) SAE_TRY(SAE_NOMEM);
    }
    if (meta && file_exists(meta))
        SAE_RAISE(err, SAE_IO, "%s: holds several stores: give the one that is meant, as %s", folder, inner);
    SAE_RAISE(err, SAE_IO, "%s: is no store: it has no " STORE_META_NAME, folder);
done:
    folder_list_free(names, n);
    mem_free(inner);
    mem_free(meta);
    return status;
}

static sae_status open_part(table_part *p, const char *folder, sae_error *err)
{
    sae_status status = SAE_OK;
    char *meta_path = path_join(folder, STORE_META_NAME, err);

    if (!meta_path) return SAE_NOMEM;
    if (!file_is_folder(folder))
        SAE_RAISE(err, SAE_IO, "%s: expected the folder of a store, which `sae acts` writes", folder);
    if (!file_exists(meta_path)) SAE_TRY(no_store(folder, err));
    SAE_TRY(json_read_file(&p->meta, meta_path, err));
    SAE_TRY(read_store(p, folder, p->meta, meta_path, err));
done:
    mem_free(meta_path);
    return status;
}

/* ---- Side by side ------------------------------------------------------------------------------------------------------------ */

/* Of the text up to a sequence that both stores got to, their checksums tell whether it was one, whatever its files were called. Stores that
 * ended at different places, and those that have no checksum, are told apart by their tokens when rows meet (table.c). */
static bool is_other_text(const table_part *a, const table_part *b)
{
    const json_t *x = json_object_get(a->meta, "next"), *y = json_object_get(b->meta, "next");
    const json_t *at = json_object_get(x, "sequence"), *hash = json_object_get(x, "text_xxh3"),
                 *other = json_object_get(y, "text_xxh3");

    return at && json_equal(at, json_object_get(y, "sequence")) && hash && other && !json_equal(hash, other);
}

/* What two stores of the same tokens in the same order say alike, if they say it. */
static sae_status check_kin(const table_part *a, const table_part *b, sae_error *err)
{
    static const char *const keys[] = {"model_xxh3", "split", "ctx", "separator"};
    const json_t *x = json_object_get(a->meta, "about"), *y = json_object_get(b->meta, "about");
    const json_t *order = json_object_get(a->meta, "shuffle"), *other = json_object_get(b->meta, "shuffle");

    if (a->is_shuffled != b->is_shuffled || (a->is_shuffled && !json_equal(order, other)))
        return SAE_FAIL(err, SAE_STATE, "%s and %s are shuffled differently: they cannot be read side by side", a->path,
                        b->path);

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_t *p = json_object_get(x, keys[i]), *q = json_object_get(y, keys[i]);
        if (p && q && !json_equal(p, q))
            return SAE_FAIL(err, SAE_STATE,
                            "%s and %s differ in \"%s\" of \"about\" in meta.json: they cannot be read side by side",
                            a->path, b->path, keys[i]);
    }
    if (is_other_text(a, b))
        return SAE_FAIL(err, SAE_STATE,
                        "%s and %s are of different texts (\"text_xxh3\" of \"next\" in meta.json differs): their rows "
                        "are not of the same tokens, so they cannot be read side by side",
                        a->path, b->path);
    return SAE_OK;
}

static void describe_parts(table *t)
{
    size_t used = 0;

    for (int i = 0; i < t->n_parts && used < sizeof t->describe; i++) {
        const table_part *p = &t->parts[i];
        const char *source = json_string_value(json_object_get(p->meta, "source"));
        used += (size_t)snprintf(t->describe + used, sizeof t->describe - used,
                                 "%s%.200s: %lld rows of %lld %s, from %.300s", i ? "; beside it " : "", p->path,
                                 (long long)json_integer_value(json_object_get(p->meta, "n_rows")), (long long)p->d,
                                 dtype_table[p->type].name, source ? source : "");
    }
}

sae_status sae_acts_open_store(sae_acts **out, const char *const *paths, int n_paths, const sae_acts_options *options,
                               sae_error *err)
{
    enum { MAX_PARTS = 64 };
    sae_status status = SAE_OK;
    table *t = NULL;

    if (n_paths < 1 || n_paths > MAX_PARTS)
        SAE_RAISE(err, SAE_RANGE, "%d stores to read side by side; expected 1 to %d", n_paths, MAX_PARTS);
    SAE_TRY(table_create(&t, n_paths, options, err));
    for (int i = 0; i < n_paths; i++) {
        SAE_TRY(open_part(&t->parts[i], paths[i], err));
        SAE_TRY(check_kin(&t->parts[0], &t->parts[i], err));
    }
    describe_parts(t);
    status = table_finish(out, t, err);
    t = NULL;
done:
    table_free(t);
    return status;
}
