/*
 * store_write.c - rows of a stream into a store.
 *
 * Invariant: the folder appears as a whole when the last row is on disk, or not at all.
 */
#include "acts/acts.h"
#include "acts/store.h"

#include "io/io.h"
#include "kernels/dequant.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CHUNK_ROWS = 4096 };       /* asked of the stream at a time */
enum { SHARD_BYTES = 256 << 20 }; /* a shard is made in memory: the default size keeps below this */

typedef struct writer {
    folder_writer folder;
    sae_acts *acts;
    sae_store_options options;
    int64_t d, shard_rows, n_rows, n_shards;
    dtype type;
    size_t element;              /* bytes */
    float *scales;               /* [shard_rows]; int8 only */
    float *chunk;                /* [CHUNK_ROWS, d]: as the stream gives them */
    unsigned char *rows;         /* [shard_rows, d] as they are stored */
    int32_t *tokens, *positions; /* [shard_rows] */
    json_t *shards, *about;
} writer;

static sae_status check_options(writer *w, const sae_store_options *options, int64_t n_rows, sae_error *err)
{
    sae_acts_info info = sae_acts_get_info(w->acts);
    int64_t fit;

    if (options) w->options = *options;
    if (w->options.about) {
        sae_status status = json_parse(&w->about, w->options.about, strlen(w->options.about), "\"about\"", err);
        if (status != SAE_OK) return status;
    }
    if ((int)w->options.dtype < 0 || (int)w->options.dtype >= STORE_DTYPES)
        return SAE_FAIL(err, SAE_RANGE, "type %d is none of sae_store_dtype", (int)w->options.dtype);
    w->d = info.d;
    w->type = store_dtypes[w->options.dtype];
    w->element = (size_t)dtype_table[w->type].block_bytes;
    fit = SHARD_BYTES / (info.d * (int64_t)w->element);
    w->shard_rows = w->options.shard_rows;
    if (w->shard_rows == 0) w->shard_rows = fit < 1 ? 1 : fit < 262144 ? fit : 262144;
    if (w->shard_rows < 1 || w->shard_rows > INT32_MAX)
        return SAE_FAIL(err, SAE_RANGE, "shards of %lld rows; expected 1 to %d", (long long)w->shard_rows, INT32_MAX);
    if (n_rows >= 0 && w->shard_rows > n_rows) w->shard_rows = n_rows > 0 ? n_rows : 1;
    return SAE_OK;
}

static sae_status allocate(writer *w, sae_error *err)
{
    size_t n = (size_t)w->shard_rows, d = (size_t)w->d;

    w->chunk = mem_alloc_array(CHUNK_ROWS * d, sizeof *w->chunk, "rows on their way to a store", err);
    w->rows = mem_alloc_array(n * d, w->element, "a shard of a store", err);
    w->tokens = mem_alloc_array(n, sizeof *w->tokens, "a shard of a store", err);
    w->positions = mem_alloc_array(n, sizeof *w->positions, "a shard of a store", err);
    if (w->type == DTYPE_I8) {
        w->scales = mem_alloc_array(n, sizeof *w->scales, "a shard of a store", err);
        if (!w->scales) return SAE_NOMEM;
    }
    w->shards = json_array();
    return w->chunk && w->rows && w->tokens && w->positions && w->shards ? SAE_OK : SAE_NOMEM;
}

static sae_status too_large(const writer *w, int64_t place, sae_error *err)
{
    return SAE_FAIL(err, SAE_RANGE,
                    "row %lld holds a number that is too large for %s: choose another type of rows (bf16 has the range "
                    "of f32)",
                    (long long)(w->n_rows + place), dtype_table[w->type].name);
}

/* n rows of the chunk as they are stored, at places `at` of the shard on. */
static sae_status pack_rows(writer *w, int64_t at, int64_t n, sae_error *err)
{
    unsigned char *to = w->rows + (size_t)(at * w->d) * w->element;

    switch (w->type) {
    case DTYPE_BF16: f32_to_bf16(w->chunk, n * w->d, to); return SAE_OK;
    case DTYPE_I8:
        for (int64_t i = 0; i < n; i++)
            w->scales[at + i] = f32_to_i8(w->chunk + i * w->d, w->d, to + (size_t)(i * w->d));
        return SAE_OK;
    case DTYPE_F16:
        for (int64_t i = 0; i < n * w->d; i++)
            if (fabsf(w->chunk[i]) >= 65520) return too_large(w, at + i / w->d, err);
        f32_to_f16(w->chunk, n * w->d, to);
        return SAE_OK;
    default: memcpy(to, w->chunk, (size_t)(n * w->d) * sizeof *w->chunk); return SAE_OK;
    }
}

/* Up to `want` rows into the shard from place `at` on. */
static sae_status take_rows(writer *w, int64_t at, int64_t want, int64_t *got, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t n = want < CHUNK_ROWS ? want : CHUNK_ROWS;

    SAE_TRY(sae_acts_next(w->acts, n, w->chunk, w->tokens + at, w->positions + at, got, err));
    SAE_TRY(pack_rows(w, at, *got, err));
done:
    return status;
}

static sae_status write_shard(writer *w, int64_t n, sae_error *err)
{
    sae_status status = SAE_OK;
    const tensor t[] = {
        {.name = "rows", .type = w->type, .rank = 2, .shape = {n, w->d}, .data = w->rows},
        {.name = "tokens", .type = DTYPE_I32, .rank = 1, .shape = {n}, .data = w->tokens},
        {.name = "positions", .type = DTYPE_I32, .rank = 1, .shape = {n}, .data = w->positions},
        {.name = "scales", .type = DTYPE_F32, .rank = 1, .shape = {n}, .data = w->scales},
    };
    char name[64], text[32];
    uint64_t hash = 0;
    char *path = NULL;

    if (w->n_shards == STORE_MAX_SHARDS)
        SAE_RAISE(err, SAE_RANGE, "more than %d shards; choose larger ones", STORE_MAX_SHARDS);
    snprintf(name, sizeof name, STORE_SHARD_NAME, (long long)w->n_shards);
    path = path_join(w->folder.temporary, name, err);
    if (!path) {
        status = SAE_NOMEM;
        goto done;
    }
    SAE_TRY(safetensors_write(path, t, w->type == DTYPE_I8 ? 4 : 3, NULL, false, &hash, err));
    snprintf(text, sizeof text, "%016" PRIx64, hash);
    json_array_append_new(w->shards, json_pack("{s:s, s:I, s:s}", "file", name, "rows", (json_int_t)n, "xxh3", text));
    w->n_shards++;
    w->n_rows += n;
done:
    mem_free(path);
    return status;
}

static sae_status write_rows(writer *w, int64_t n_rows, const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    bool ended = false;

    while (!ended && (n_rows < 0 || w->n_rows < n_rows)) {
        int64_t filled = 0, want = w->shard_rows, got = 0;
        if (n_rows >= 0 && want > n_rows - w->n_rows) want = n_rows - w->n_rows;
        while (filled < want && !ended) {
            SAE_TRY(take_rows(w, filled, want - filled, &got, err));
            ended = got < (want - filled < CHUNK_ROWS ? want - filled : CHUNK_ROWS);
            filled += got;
            if (progress && progress->report &&
                progress->report(progress->user, "rows", (double)(w->n_rows + filled), n_rows < 0 ? 0 : (double)n_rows))
                SAE_RAISE(err, SAE_CANCELLED, "stopped on request; no store was written");
        }
        if (filled) SAE_TRY(write_shard(w, filled, err));
    }
    if (w->n_rows == 0) SAE_RAISE(err, SAE_RANGE, "no rows to store: the stream gave none");
done:
    return status;
}

static sae_status write_meta(writer *w, sae_error *err)
{
    sae_acts_info info = sae_acts_get_info(w->acts);
    sae_status status = SAE_OK;
    json_t *meta = json_object();
    char *path = path_join(w->folder.temporary, STORE_META_NAME, err);

    if (!path) {
        status = SAE_NOMEM;
        goto done;
    }
    json_object_set_new(meta, "format", json_string(STORE_FORMAT));
    json_object_set_new(meta, "version", json_integer(STORE_VERSION));
    json_object_set_new(meta, "d", json_integer(w->d));
    json_object_set_new(meta, "dtype", json_string(dtype_table[w->type].name));
    json_object_set_new(meta, "n_rows", json_integer(w->n_rows));
    json_object_set_new(meta, "source", json_string(info.describe));
    json_object_set_new(meta, "median_norm", json_number_or_null(info.median_norm));
    json_object_set_new(meta, "dropped", json_integer(info.dropped));
    json_object_set(meta, "about", w->about ? w->about : json_null());
    json_object_set(meta, "shards", w->shards);
    SAE_TRY(json_write_file(meta, path, false, err));
done:
    json_decref(meta);
    mem_free(path);
    return status;
}

static bool is_store_file(const char *name)
{
    long long number;
    char expected[64];

    if (strcmp(name, STORE_META_NAME) == 0) return true;
    if (sscanf(name, STORE_SHARD_NAME, &number) != 1) return false;
    snprintf(expected, sizeof expected, STORE_SHARD_NAME, number);
    return strcmp(name, expected) == 0;
}

static void release(writer *w)
{
    folder_writer_abort(&w->folder);
    mem_free(w->chunk);
    mem_free(w->rows);
    mem_free(w->scales);
    mem_free(w->tokens);
    mem_free(w->positions);
    json_decref(w->shards);
    json_decref(w->about);
}

sae_status sae_store_write(const char *path, sae_acts *acts, int64_t n_rows, const sae_store_options *options,
                           const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    writer w = {.acts = acts};

    SAE_TRY(check_options(&w, options, n_rows, err));
    SAE_TRY(folder_writer_open(&w.folder, path, w.options.force, is_store_file, err));
    SAE_TRY(allocate(&w, err));
    SAE_TRY(write_rows(&w, n_rows, progress, err));
    SAE_TRY(write_meta(&w, err));
    SAE_TRY(folder_writer_commit(&w.folder, err));
done:
    release(&w);
    return status;
}
