/*
 * store_read.c - a store as a table of rows. Shapes and sizes of all shards are checked when it is opened, a shard's
 * checksum when its first row is wanted.
 */
#include "acts/store.h"
#include "acts/table.h"

#include <stdio.h>
#include <string.h>

static sae_status read_hash(const json_t *entry, uint64_t *hash, const char *path, sae_error *err)
{
    const char *text = NULL;
    int used = 0;
    unsigned long long value = 0;

    sae_status status = json_get_string(entry, "xxh3", "", &text, path, err);
    if (status != SAE_OK) return status;
    if (sscanf(text, "%16llx%n", &value, &used) != 1 || used != 16 || text[16])
        return SAE_FAIL(err, SAE_FORMAT, "%s: \"xxh3\" must be 16 hexadecimal digits", path);
    *hash = value;
    return SAE_OK;
}

static sae_status find_column(const shard *s, const char *name, const unsigned char **out, sae_error *err)
{
    const tensor *t = safetensors_find(s->file, name);

    if (!t || t->type != DTYPE_I32 || t->rank != 1 || t->shape[0] != s->n)
        return SAE_FAIL(err, SAE_FORMAT, "%s: expected a tensor \"%s\" [%lld] of type I32", safetensors_path(s->file),
                        name, (long long)s->n);
    *out = t->data;
    return SAE_OK;
}

/* Shard number i as meta.json's entry describes it. The name is not taken from the file: it could point anywhere. */
static sae_status open_shard(table *t, int64_t i, const json_t *entry, const char *meta_path, sae_error *err)
{
    sae_status status = SAE_OK;
    shard *s = &t->shards[i];
    char name[64], found[160];
    char *path = NULL;

    if (!json_is_object(entry)) SAE_RAISE(err, SAE_FORMAT, "%s: \"shards\" must hold objects", meta_path);
    snprintf(name, sizeof name, STORE_SHARD_NAME, (long long)i);
    SAE_TRY(json_get_int(entry, "rows", -1, &s->n, meta_path, err));
    SAE_TRY(read_hash(entry, &s->hash, meta_path, err));
    path = path_join(t->path, name, err);
    if (!path) {
        status = SAE_NOMEM;
        goto done;
    }
    SAE_TRY(safetensors_open(&s->file, path, err));
    const tensor *rows = safetensors_find(s->file, "rows");
    if (!rows) SAE_RAISE(err, SAE_FORMAT, "%s: tensor \"rows\" is missing", path);
    if (rows->rank != 2 || rows->type != t->type || rows->shape[0] != s->n || rows->shape[1] != t->d)
        SAE_RAISE(err, SAE_SHAPE, "%s: \"rows\" is %s %s; meta.json says %s [%lld, %lld]", path,
                  dtype_table[rows->type].name, tensor_shape_text(rows, found, sizeof found), dtype_table[t->type].name,
                  (long long)s->n, (long long)t->d);
    s->rows = rows->data;
    SAE_TRY(find_column(s, "tokens", &s->tokens, err));
    SAE_TRY(find_column(s, "positions", &s->positions, err));
done:
    mem_free(path);
    return status;
}

static sae_status check_format(const json_t *meta, const char *path, sae_error *err)
{
    const char *format = NULL;
    int64_t version = 0;
    sae_status status = SAE_OK;

    if (!json_is_object(meta)) SAE_RAISE(err, SAE_FORMAT, "%s: expected a JSON object", path);
    SAE_TRY(json_get_string(meta, "format", "", &format, path, err));
    SAE_TRY(json_get_int(meta, "version", 0, &version, path, err));
    if (strcmp(format, STORE_FORMAT) != 0)
        SAE_RAISE(err, SAE_FORMAT, "%s: \"format\" is \"%.60s\"; expected \"%s\"", path, format, STORE_FORMAT);
    if (version != STORE_VERSION)
        SAE_RAISE(err, SAE_UNSUPPORTED, "%s: version %lld of the format; this program reads %d", path,
                  (long long)version, STORE_VERSION);
done:
    return status;
}

static sae_status read_type(const json_t *meta, dtype *out, const char *path, sae_error *err)
{
    const char *name = NULL;

    sae_status status = json_get_string(meta, "dtype", "", &name, path, err);
    if (status != SAE_OK) return status;
    if (strcmp(name, "F32") != 0 && strcmp(name, "BF16") != 0)
        return SAE_FAIL(err, SAE_UNSUPPORTED, "%s: \"dtype\" is \"%.20s\"; F32 and BF16 can be read", path, name);
    *out = strcmp(name, "F32") == 0 ? DTYPE_F32 : DTYPE_BF16;
    return SAE_OK;
}

/* Fills a table whose shards are as many as meta.json lists. */
static sae_status read_store(table *t, const json_t *meta, const char *path, sae_error *err)
{
    const json_t *shards = json_object_get(meta, "shards");
    sae_status status = SAE_OK;
    const char *source = NULL;
    int64_t n_rows = 0, total = 0;

    SAE_TRY(json_get_int(meta, "d", 0, &t->d, path, err));
    SAE_TRY(json_get_int(meta, "n_rows", 0, &n_rows, path, err));
    SAE_TRY(json_get_double(meta, "median_norm", 0, &t->median_norm, path, err));
    SAE_TRY(json_get_string(meta, "source", "", &source, path, err));
    SAE_TRY(read_type(meta, &t->type, path, err));
    for (int64_t i = 0; i < t->n_shards; i++) {
        SAE_TRY(open_shard(t, i, json_array_get(shards, (size_t)i), path, err));
        total += t->shards[i].n; /* each is the size of a tensor in a file: the sum cannot overflow */
    }
    if (total != n_rows)
        SAE_RAISE(err, SAE_FORMAT, "%s: \"n_rows\" is %lld; its shards hold %lld", path, (long long)n_rows,
                  (long long)total);
    snprintf(t->describe, sizeof t->describe, "%.200s: %lld rows of %lld %s, from %.300s", t->path, (long long)n_rows,
             (long long)t->d, dtype_table[t->type].name, source);
done:
    return status;
}

sae_status sae_acts_open_store(sae_acts **out, const char *path, const sae_acts_options *options, sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *meta = NULL;
    table *t = NULL;
    char *meta_path = path_join(path, STORE_META_NAME, err);

    if (!meta_path) return SAE_NOMEM;
    if (!file_is_folder(path))
        SAE_RAISE(err, SAE_IO, "%s: expected the folder of a store, which `sae acts` writes", path);
    SAE_TRY(json_read_file(&meta, meta_path, err));
    SAE_TRY(check_format(meta, meta_path, err));
    size_t n_shards = json_array_size(json_object_get(meta, "shards"));
    if (n_shards < 1 || n_shards > STORE_MAX_SHARDS)
        SAE_RAISE(err, SAE_FORMAT, "%s: lists %zu shards; expected 1 to %d", meta_path, n_shards, STORE_MAX_SHARDS);
    SAE_TRY(table_create(&t, path, (int64_t)n_shards, options, err));
    SAE_TRY(read_store(t, meta, meta_path, err));
    status = table_finish(out, t, err);
    t = NULL;
done:
    table_free(t);
    json_decref(meta);
    mem_free(meta_path);
    return status;
}
