/*
 * store_shuffle.c - all rows of a store in a random order, within a fixed memory.
 *
 * Row i goes to place p(i), p a permutation of all rows that follows from the seed alone. One pass over the staged shards
 * appends each row to the stretch of its new shard in a scratch file, through one buffer per shard; then each stretch is read,
 * its rows put to their places in memory, and the shard written. So the disk sees sequential reads and writes of a buffer's
 * size, whatever the order, and the result does not depend on the memory given.
 *
 * The memory given holds the buffers, the shard that is made, and the pages of the staged shard that is mapped meanwhile.
 */
#include "acts/store.h"

#include <stdio.h>
#include <string.h>

/* Before each row in the scratch file. */
typedef struct record_head {
    int32_t slot, token, position; /* slot: in its shard */
    float scale;
} record_head;

/* Where rows of one new shard collect. */
typedef struct bucket {
    int64_t written; /* records on disk */
    int64_t held;    /* in its buffer */
} bucket;

typedef struct shuffle {
    store_writer *w;
    store_part *part;
    char *from; /* folder of the staged shards */
    permutation order;
    scratch_file scratch;
    size_t row_bytes, record_bytes;
    int64_t n_buckets, per_buffer; /* records */
    bucket *buckets;
    unsigned char *buffers; /* [n_buckets, per_buffer, record_bytes]; then records that are read */
} shuffle;

static int64_t bucket_rows(const shuffle *s, int64_t b)
{
    int64_t rest = s->w->n_rows - b * s->w->shard_rows;

    return rest < s->w->shard_rows ? rest : s->w->shard_rows;
}

static int64_t record_offset(const shuffle *s, int64_t b, int64_t i)
{
    return (b * s->w->shard_rows + i) * (int64_t)s->record_bytes;
}

static int64_t count_buckets(const store_writer *w, int64_t n_rows)
{
    return (n_rows + w->shard_rows - 1) / w->shard_rows;
}

static size_t row_bytes(const store_writer *w, const store_part *p)
{
    return (size_t)p->d * (size_t)dtype_table[w->type].block_bytes;
}

static size_t record_bytes(const store_writer *w, const store_part *p)
{
    return (sizeof(record_head) + row_bytes(w, p) + 3) & ~(size_t)3;
}

/* Of them two shards; below a page a buffer is too small: a disk would do nothing but seek. */
static size_t least_memory(const store_writer *w, int64_t n_rows, size_t *shards)
{
    size_t smallest = 4096;
    int64_t rows = n_rows < w->shard_rows ? n_rows : w->shard_rows;

    for (int i = 0; i < w->n_parts; i++)
        if (record_bytes(w, &w->parts[i]) > smallest) smallest = record_bytes(w, &w->parts[i]);
    *shards = 2 * (size_t)rows * store_row_bytes(w);
    return *shards + (size_t)count_buckets(w, n_rows) * (smallest + sizeof(bucket));
}

sae_status store_shuffle_buffers(const store_writer *w, int64_t n_rows, size_t *bytes, sae_error *err)
{
    size_t shards = 0, least = least_memory(w, n_rows, &shards);
    int64_t n_buckets = count_buckets(w, n_rows), rows = n_rows < w->shard_rows ? n_rows : w->shard_rows;

    if (w->options.memory < least)
        return SAE_FAIL(err, SAE_RANGE,
                        "%zu bytes of memory are too few to shuffle %lld shards of %lld rows: give %zu, or have other "
                        "shards",
                        w->options.memory, (long long)n_buckets, (long long)rows, least);
    *bytes = w->options.memory - shards - (size_t)n_buckets * sizeof(bucket);
    return SAE_OK;
}

static sae_status take_buffers(shuffle *s, sae_error *err)
{
    size_t bytes = 0;
    sae_status status = store_shuffle_buffers(s->w, s->w->n_rows, &bytes, err);

    if (status != SAE_OK) return status;
    s->per_buffer = (int64_t)(bytes / (size_t)s->n_buckets / s->record_bytes);
    if (s->per_buffer > s->w->shard_rows) s->per_buffer = s->w->shard_rows;
    s->buckets = mem_alloc_array((size_t)s->n_buckets, sizeof *s->buckets, "the shuffle's buffers", err);
    s->buffers = mem_alloc_array((size_t)(s->n_buckets * s->per_buffer), s->record_bytes, "the shuffle's buffers", err);
    return s->buckets && s->buffers ? SAE_OK : SAE_NOMEM;
}

/* ---- From staged shards to buckets ----------------------------------------------------------------------------------------- */

static sae_status flush_bucket(shuffle *s, int64_t b, sae_error *err)
{
    bucket *k = &s->buckets[b];
    const unsigned char *from = s->buffers + (size_t)(b * s->per_buffer) * s->record_bytes;
    sae_status status =
        scratch_write(&s->scratch, record_offset(s, b, k->written), from, (size_t)k->held * s->record_bytes, err);

    k->written += k->held;
    k->held = 0;
    return status;
}

static sae_status put_row(shuffle *s, const record_head *head, int64_t b, const unsigned char *row, sae_error *err)
{
    bucket *k = &s->buckets[b];
    unsigned char *to = s->buffers + (size_t)(b * s->per_buffer + k->held) * s->record_bytes;

    memcpy(to, head, sizeof *head);
    memcpy(to + sizeof *head, row, s->row_bytes);
    return ++k->held == s->per_buffer ? flush_bucket(s, b, err) : SAE_OK;
}

static sae_status scatter_shard(shuffle *s, const safetensors *st, int64_t first, int64_t n, sae_error *err)
{
    const unsigned char *rows = safetensors_find(st, "rows")->data, *tokens = safetensors_find(st, "tokens")->data,
                        *positions = safetensors_find(st, "positions")->data;
    const tensor *scales = s->part->packed.scales ? safetensors_find(st, "scales") : NULL;
    sae_status status = SAE_OK;

    for (int64_t i = 0; i < n; i++) {
        int64_t to = permutation_at(&s->order, first + i);
        record_head head = {.slot = (int32_t)(to % s->w->shard_rows)};
        memcpy(&head.token, tokens + 4 * i, 4);
        memcpy(&head.position, positions + 4 * i, 4);
        if (scales) memcpy(&head.scale, (const unsigned char *)scales->data + 4 * i, 4);
        SAE_TRY(put_row(s, &head, to / s->w->shard_rows, rows + (size_t)i * s->row_bytes, err));
    }
done:
    return status;
}

static sae_status scatter(shuffle *s, int part, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t first = 0;
    char *path = NULL;
    safetensors *st = NULL;

    for (size_t i = 0; i < json_array_size(s->w->finished); i++) {
        const json_t *entry = json_array_get(s->w->finished, i);
        int64_t n = (int64_t)json_integer_value(json_object_get(entry, "rows"));
        uint64_t hash = 0;
        SAE_TRY(store_read_hash(json_array_get(json_object_get(entry, "parts"), (size_t)part), "xxh3", &hash, s->from,
                                err));
        path = store_shard_path(s->from, (int64_t)i, err);
        if (!path) SAE_TRY(SAE_NOMEM);
        SAE_TRY(packed_open(&s->part->packed, &st, path, n, hash, err));
        SAE_TRY(scatter_shard(s, st, first, n, err));
        safetensors_close(st);
        mem_free(path);
        st = NULL;
        path = NULL;
        first += n;
        SAE_TRY(store_report(s->w, "rows scattered", first, s->w->n_rows, err));
    }
    for (int64_t b = 0; b < s->n_buckets; b++) SAE_TRY(flush_bucket(s, b, err));
done:
    safetensors_close(st);
    mem_free(path);
    return status;
}

/* ---- From buckets to shards ------------------------------------------------------------------------------------------------- */

static void place_record(shuffle *s, const unsigned char *record)
{
    packed_rows *p = &s->part->packed;
    record_head head;

    memcpy(&head, record, sizeof head);
    memcpy(p->rows + (size_t)head.slot * s->row_bytes, record + sizeof head, s->row_bytes);
    s->w->tokens[head.slot] = head.token;
    s->w->positions[head.slot] = head.position;
    if (p->scales) p->scales[head.slot] = head.scale;
}

static sae_status gather(shuffle *s, int64_t b, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t n = bucket_rows(s, b), room = s->n_buckets * s->per_buffer;
    char *path = store_shard_path(s->part->folder, b, err), name[64];
    uint64_t hash = 0;

    if (!path) return SAE_NOMEM;
    for (int64_t i = 0; i < n; i += room) {
        int64_t m = n - i < room ? n - i : room;
        SAE_TRY(scratch_read(&s->scratch, record_offset(s, b, i), s->buffers, (size_t)m * s->record_bytes, err));
        for (int64_t k = 0; k < m; k++) place_record(s, s->buffers + (size_t)k * s->record_bytes);
    }
    SAE_TRY(packed_write(&s->part->packed, n, s->w->tokens, s->w->positions, path, &hash, err));
    scratch_discard(&s->scratch, record_offset(s, b, 0), (size_t)n * s->record_bytes);
    snprintf(name, sizeof name, STORE_SHARD_NAME, (long long)b);
    json_add(&s->part->shards,
             json_pack("{s:s, s:I, s:o}", "file", name, "rows", (json_int_t)n, "xxh3", store_hash_json(hash)));
    if (!s->part->shards) SAE_RAISE(err, SAE_NOMEM, "no memory to list the shards of a store");
    SAE_TRY(store_report(s->w, "rows shuffled", b * s->w->shard_rows + n, s->w->n_rows, err));
done:
    mem_free(path);
    return status;
}

static sae_status shuffle_part(store_writer *w, int i, const char *staged, sae_error *err)
{
    sae_status status = SAE_OK;
    store_part *p = &w->parts[i];
    shuffle s = {.w = w, .part = p, .order = permutation_make(w->n_rows, w->options.seed, 0)};

    s.row_bytes = row_bytes(w, p);
    s.record_bytes = record_bytes(w, p);
    s.n_buckets = count_buckets(w, w->n_rows);
    s.from = store_part_folder(staged, p, err);
    if (!s.from) SAE_TRY(SAE_NOMEM);
    SAE_TRY(take_buffers(&s, err));
    SAE_TRY(scratch_open(&s.scratch, w->folder.temporary, err));
    SAE_TRY(scatter(&s, i, err));
    json_array_clear(p->shards);
    for (int64_t b = 0; b < s.n_buckets; b++) SAE_TRY(gather(&s, b, err));
done:
    scratch_close(&s.scratch);
    mem_free(s.from);
    mem_free(s.buckets);
    mem_free(s.buffers);
    return status;
}

sae_status store_shuffle(store_writer *w, sae_error *err)
{
    sae_status status = SAE_OK;
    char *staged = path_join(w->folder.temporary, STORE_STAGED_NAME, err);

    if (!staged) return SAE_NOMEM;
    size_t shards = 0, least = least_memory(w, w->n_rows, &shards);
    if (w->options.memory < least) /* known only now; the default number of rows in a shard follows from the memory */
        snprintf(w->go_on_with, sizeof w->go_on_with, " with --memory %zu --shard-rows %lld", least,
                 (long long)w->shard_rows);
    for (int i = 0; i < w->n_parts; i++) SAE_TRY(shuffle_part(w, i, staged, err));
done:
    mem_free(staged);
    return status;
}
