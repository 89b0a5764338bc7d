/*
 * table.c - rows from mapped files, shuffled as a whole in each epoch, expanded to float32.
 *
 * Which row comes at which place is computed from the seed, so a seek costs nothing. Rows of a large table are then read
 * from all over it: 1 to 9 KB each, which the page cache serves well and a spinning disk badly.
 */
#include "acts/table.h"

#include "kernels/dequant.h"

#include <inttypes.h>
#include <string.h>

enum { CHUNK_ROWS = 1024 };

sae_status table_create(table **out, const char *path, int64_t n_shards, const sae_acts_options *options,
                        sae_error *err)
{
    sae_status status = SAE_OK;
    table *t = mem_alloc(sizeof *t, "a table of rows", err);

    if (!t) return SAE_NOMEM;
    t->order_epoch = -1;
    SAE_TRY(acts_options_fill(&t->options, options, err));
    t->path = mem_strdup(path, err);
    t->shards = mem_alloc_array((size_t)n_shards, sizeof *t->shards, "the shards of a store", err);
    if (!t->path || !t->shards) {
        status = SAE_NOMEM;
        goto done;
    }
    t->n_shards = n_shards;
    *out = t;
    t = NULL;
done:
    table_free(t);
    return status;
}

void table_free(table *t)
{
    if (!t) return;
    for (int64_t s = 0; s < t->n_shards; s++) safetensors_close(t->shards[s].file);
    array_close(&t->array);
    mem_free(t->shards);
    mem_free(t->path);
    mem_free(t);
}

/* ---- One row -------------------------------------------------------------------------------------------------------------- */

static shard *shard_of(const table *t, int64_t row)
{
    int64_t low = 0, high = t->n_shards - 1;

    while (low < high) {
        int64_t middle = (low + high + 1) / 2;
        if (t->shards[middle].first <= row)
            low = middle;
        else
            high = middle - 1;
    }
    return &t->shards[low];
}

/* Once per shard, when its first row is wanted. */
static sae_status check_shard(shard *s, sae_error *err)
{
    uint64_t found = 0;

    if (s->checked) return SAE_OK;
    sae_status status = file_hash(safetensors_path(s->file), &found, err);
    if (status != SAE_OK) return status;
    if (found != s->hash)
        return SAE_FAIL(err, SAE_FORMAT,
                        "%s: its checksum is %016" PRIx64 ", and %016" PRIx64
                        " when it was written: the file is damaged; write the store again",
                        safetensors_path(s->file), found, s->hash);
    s->checked = true;
    return SAE_OK;
}

static int32_t load_i32(const unsigned char *base, int64_t i)
{
    int32_t value = -1;

    if (base) memcpy(&value, base + i * 4, 4);
    return value;
}

static bool copy_row(const table *t, int64_t row, float *out)
{
    const shard *s = shard_of(t, row);
    float poison = 0; /* becomes NaN when one entry is not finite */

    dequant_f32(t->type, s->rows + (size_t)(row - s->first) * t->row_bytes, t->d, out);
#pragma omp simd reduction(+ : poison)
    for (int64_t j = 0; j < t->d; j++) poison += out[j] * 0;
    return poison == 0;
}

/* ---- The stream -------------------------------------------------------------------------------------------------------------- */

static int64_t row_at(table *t, int64_t place)
{
    int64_t epoch = place / t->n_rows;

    if (t->options.in_order) return place % t->n_rows;
    if (epoch != t->order_epoch) {
        t->order = permutation_make(t->n_rows, t->options.seed, (uint64_t)epoch);
        t->order_epoch = epoch;
    }
    return permutation_at(&t->order, place % t->n_rows);
}

/* n <= CHUNK_ROWS rows from place t->given on. */
static sae_status next_chunk(table *t, int64_t n, float *rows, int32_t *tokens, int32_t *positions, sae_error *err)
{
    int64_t numbers[CHUNK_ROWS], bad = -1;

    for (int64_t i = 0; i < n; i++) {
        numbers[i] = row_at(t, t->given + i);
        shard *s = shard_of(t, numbers[i]);
        sae_status status = check_shard(s, err);
        if (status != SAE_OK) return status;
        if (tokens) tokens[i] = load_i32(s->tokens, numbers[i] - s->first);
        if (positions) positions[i] = load_i32(s->positions, numbers[i] - s->first);
    }
#pragma omp parallel for reduction(max : bad)
    for (int64_t i = 0; i < n; i++)
        if (!copy_row(t, numbers[i], rows + i * t->d)) bad = numbers[i];
    if (bad >= 0)
        return SAE_FAIL(err, SAE_NUMERIC, "%s: row %lld holds infinite or undefined numbers", t->path, (long long)bad);
    t->given += n;
    return SAE_OK;
}

static sae_status table_next(void *self, int64_t n, float *rows, int32_t *tokens, int32_t *positions, int64_t *n_got,
                             sae_error *err)
{
    table *t = self;
    int64_t done = 0;

    if (!t->options.repeat && n > t->n_rows - t->given) n = t->n_rows - t->given;
    while (done < n) {
        int64_t chunk = n - done < CHUNK_ROWS ? n - done : CHUNK_ROWS;
        sae_status status = next_chunk(t, chunk, rows + done * t->d, tokens ? tokens + done : NULL,
                                       positions ? positions + done : NULL, err);
        if (status != SAE_OK) return status;
        done += chunk;
    }
    *n_got = n;
    return SAE_OK;
}

static sae_status table_seek(void *self, int64_t row, sae_error *err)
{
    table *t = self;

    if (!t->options.repeat && row > t->n_rows)
        return SAE_FAIL(err, SAE_RANGE, "%s: row %lld lies behind the end of its %lld rows", t->path, (long long)row,
                        (long long)t->n_rows);
    t->given = row;
    return SAE_OK;
}

static sae_acts_info table_info(const void *self)
{
    const table *t = self;

    return (sae_acts_info){.d = t->d, .n_rows = t->n_rows, .median_norm = t->median_norm, .describe = t->describe};
}

static void table_free_self(void *self) { table_free(self); }

static const acts_kind table_kind = {table_next, table_seek, table_info, table_free_self};

sae_status table_finish(sae_acts **out, table *t, sae_error *err)
{
    sae_status status = SAE_OK;

    if (t->type != DTYPE_F32 && t->type != DTYPE_F16 && t->type != DTYPE_BF16 && t->type != DTYPE_F64)
        SAE_RAISE(err, SAE_UNSUPPORTED, "%s: rows of type %s; F32, F16, BF16 and F64 can be read", t->path,
                  dtype_table[t->type].name);
    t->row_bytes = (size_t)t->d * (size_t)dtype_table[t->type].block_bytes;
    t->n_rows = 0;
    for (int64_t s = 0; s < t->n_shards; s++) {
        t->shards[s].first = t->n_rows;
        t->n_rows += t->shards[s].n;
    }
    if (t->d < 1 || t->n_rows < 1)
        SAE_RAISE(err, SAE_SHAPE, "%s: holds %lld rows of width %lld; expected at least one of each", t->path,
                  (long long)t->n_rows, (long long)t->d);
    status = acts_wrap(out, &table_kind, t, err);
    t = NULL;
done:
    table_free(t);
    return status;
}
