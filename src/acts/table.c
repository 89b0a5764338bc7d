/*
 * table.c - rows from mapped files, shuffled as a whole in each epoch, expanded to float32.
 *
 * Which row comes at which place is computed from the seed, so a seek costs nothing. Rows of a large table are then read
 * from all over it: 1 to 9 KB each, which the page cache serves well and a spinning disk badly. A store that was shuffled when
 * it was written is read in long stretches instead, in an order of their own in each epoch.
 */
#include "acts/table.h"

#include "kernels/dequant.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_ROWS = 1024, SHARE_ROWS = 64 }; /* given at a time; decoded by a thread at a time */

sae_status table_create(table **out, int n_parts, const sae_acts_options *options, sae_error *err)
{
    sae_status status = SAE_OK;
    table *t = mem_alloc(sizeof *t, "a table of rows", err);

    if (!t) return SAE_NOMEM;
    t->order.epoch = -1;
    SAE_TRY(acts_options_fill(&t->options, options, err));
    t->parts = mem_alloc_array((size_t)n_parts, sizeof *t->parts, "a table of rows", err);
    t->public_parts = mem_alloc_array((size_t)n_parts, sizeof *t->public_parts, "a table of rows", err);
    if (!t->parts || !t->public_parts) SAE_TRY(SAE_NOMEM);
    t->n_parts = n_parts;
    *out = t;
    t = NULL;
done:
    table_free(t);
    return status;
}

sae_status table_part_create(table_part *part, const char *path, int64_t n_shards, sae_error *err)
{
    part->path = mem_strdup(path, err);
    part->shards = mem_alloc_array((size_t)n_shards, sizeof *part->shards, "the shards of a store", err);
    if (!part->path || !part->shards) return SAE_NOMEM;
    part->n_shards = n_shards;
    return SAE_OK;
}

void table_free(table *t)
{
    if (!t) return;
    for (int i = 0; i < t->n_parts; i++) {
        table_part *p = &t->parts[i];
        for (int64_t s = 0; s < p->n_shards; s++) safetensors_close(p->shards[s].file);
        array_close(&p->array);
        json_decref(p->meta);
        mem_free(p->shards);
        mem_free(p->path);
    }
    mem_free(t->parts);
    mem_free(t->public_parts);
    mem_free(t);
}

/* ---- One row -------------------------------------------------------------------------------------------------------------- */

shard *table_shard(const table_part *part, int64_t row)
{
    int64_t low = 0, high = part->n_shards - 1;

    while (low < high) {
        int64_t middle = (low + high + 1) / 2;
        if (part->shards[middle].first <= row)
            low = middle;
        else
            high = middle - 1;
    }
    return &part->shards[low];
}

/* Once per shard, when its first row is wanted. */
static sae_status check_shard(shard *s, sae_error *err)
{
    if (s->checked) return SAE_OK;
    uint64_t found = safetensors_hash(s->file);
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

static bool copy_part(const table_part *p, int64_t row, float *out)
{
    const shard *s = table_shard(p, row);
    const unsigned char *from = s->rows + (size_t)(row - s->first) * p->row_bytes;
    float poison = 0, scale; /* poison becomes NaN when one entry is not finite */

    if (s->scales) {
        memcpy(&scale, s->scales + (row - s->first) * 4, sizeof scale);
        i8_to_f32(from, scale, p->d, out);
        return isfinite(scale);
    }
    dequant_f32(p->type, from, p->d, out);
#pragma omp simd reduction(+ : poison)
    for (int64_t j = 0; j < p->d; j++) poison += out[j] * 0;
    return poison == 0;
}

/* Rows from all over a large file miss every cache, and the address cache too: they are asked for before their turn. */
static void prefetch_row(const table *t, int64_t row)
{
    for (int i = 0; i < t->n_parts; i++) {
        const table_part *p = &t->parts[i];
        const shard *s = table_shard(p, row);
        const unsigned char *from = s->rows + (size_t)(row - s->first) * p->row_bytes;
        for (size_t byte = 0; byte < p->row_bytes; byte += 64) __builtin_prefetch(from + byte);
    }
}

/* The first part with a number in the row that is not finite, or -1. */
static int copy_row(const table *t, int64_t row, float *out)
{
    for (int i = 0; i < t->n_parts; i++)
        if (!copy_part(&t->parts[i], row, out + t->parts[i].first)) return i;
    return -1;
}

/* Rows number[begin .. end) to their places. Gives the largest number of a row that is not finite, or -1. */
static int64_t copy_rows(const table *t, const int64_t *numbers, int64_t begin, int64_t end, float *rows)
{
    enum { AHEAD = 2 };
    int64_t bad = -1;

    for (int64_t i = begin; i < end; i++) {
        if (!t->options.in_order && i + AHEAD < end) prefetch_row(t, numbers[i + AHEAD]);
        if (copy_row(t, numbers[i], rows + i * t->d) >= 0 && numbers[i] > bad) bad = numbers[i];
    }
    return bad;
}

/* Rows that a file holds in random order are read in stretches of about a mebibyte; all others one by one. */
static int64_t rows_of_block(const table *t)
{
    enum { BLOCK_BYTES = 1 << 20 };
    size_t bytes = 0;

    for (int i = 0; i < t->n_parts; i++) {
        if (!t->parts[i].is_shuffled) return 1;
        bytes += t->parts[i].row_bytes;
    }
    return bytes < BLOCK_BYTES ? (int64_t)(BLOCK_BYTES / bytes) : 1;
}

/* ---- The stream -------------------------------------------------------------------------------------------------------------- */

/* `o` keeps the order of the epoch that was looked at last. */
static int64_t row_at(const table *t, epoch_order *o, int64_t place)
{
    int64_t epoch = place / t->n_rows;

    int64_t row = place % t->n_rows, n_blocks = t->n_rows / t->block_rows, block = row / t->block_rows;
    if (t->options.in_order || block == n_blocks) return row; /* the rest that fills no block comes last */
    if (epoch != o->epoch) *o = (epoch_order){permutation_make(n_blocks, t->options.seed, (uint64_t)epoch), epoch};
    return permutation_at(&o->of_blocks, block) * t->block_rows + row % t->block_rows;
}

/* Row `row` of part i against part 0: the same token at the same position. */
static sae_status check_beside(const table *t, int i, int64_t row, int32_t token, int32_t position, sae_error *err)
{
    const table_part *p = &t->parts[i];
    const shard *s = table_shard(p, row);
    int32_t other = load_i32(s->tokens, row - s->first), place = load_i32(s->positions, row - s->first);

    if (other == token && place == position) return SAE_OK;
    return SAE_FAIL(err, SAE_STATE,
                    "%s: row %lld is token %d at position %d, and token %d at position %d in %s: these stores do not "
                    "hold the same tokens in the same order",
                    p->path, (long long)row, other, place, token, position, t->parts[0].path);
}

/* The shards of a row are checked when it is the first that is wanted of them. token may be NULL: then neither is looked up. */
static sae_status look_up(const table *t, int64_t row, int32_t *token, int32_t *position, sae_error *err)
{
    sae_status status = SAE_OK;

    for (int i = 0; i < t->n_parts; i++) {
        shard *s = table_shard(&t->parts[i], row);
        SAE_TRY(check_shard(s, err));
        if (!token) continue;
        if (i == 0) {
            *token = load_i32(s->tokens, row - s->first);
            *position = load_i32(s->positions, row - s->first);
        } else {
            SAE_TRY(check_beside(t, i, row, *token, *position, err));
        }
    }
done:
    return status;
}

/* n <= CHUNK_ROWS rows from place t->given on. */
static sae_status next_chunk(table *t, int64_t n, float *rows, int32_t *tokens, int32_t *positions, sae_error *err)
{
    int64_t numbers[CHUNK_ROWS], bad = -1;
    int32_t token = -1, position = -1;
    bool wanted = tokens || positions || t->n_parts > 1;

    for (int64_t i = 0; i < n; i++) {
        numbers[i] = row_at(t, &t->order, t->given + i);
        sae_status status = look_up(t, numbers[i], wanted ? &token : NULL, &position, err);
        if (status != SAE_OK) return status;
        if (tokens) tokens[i] = token;
        if (positions) positions[i] = position;
    }
    if (t->options.read_ahead) { /* by a thread beside those that compute */
        bad = copy_rows(t, numbers, 0, n, rows);
    } else {
#pragma omp parallel for reduction(max : bad)
        for (int64_t begin = 0; begin < n; begin += SHARE_ROWS) {
            int64_t end = n - begin < SHARE_ROWS ? n : begin + SHARE_ROWS;
            int64_t found = copy_rows(t, numbers, begin, end, rows);
            if (found > bad) bad = found;
        }
    }
    if (bad >= 0)
        return SAE_FAIL(err, SAE_NUMERIC, "%s: row %lld holds infinite or undefined numbers",
                        t->parts[copy_row(t, bad, rows)].path, (long long)bad);
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
        return SAE_FAIL(err, SAE_RANGE, "%s: row %lld lies behind the end of its %lld rows", t->parts[0].path,
                        (long long)row, (long long)t->n_rows);
    t->given = row;
    return SAE_OK;
}

static sae_acts_info table_info(const void *self)
{
    const table *t = self;
    size_t mapped = 0;

    for (int i = 0; i < t->n_parts; i++) mapped += (size_t)t->parts[i].n_rows * t->parts[i].row_bytes;
    return (sae_acts_info){.d = t->d,
                           .n_rows = t->n_rows,
                           .mapped_bytes = mapped,
                           .median_norm = t->parts[0].median_norm,
                           .parts = t->public_parts,
                           .n_parts = t->n_parts,
                           .describe = t->describe};
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* Those of the first epoch that come behind the first `before` are the only ones that are not among them. Reads nothing that a thread
 * which reads ahead changes. */
static sae_status table_again(const void *self, int64_t before, int64_t n, int64_t *again, sae_error *err)
{
    const table *t = self;
    int64_t n_left = t->n_rows - before; /* rows that were not given yet */
    epoch_order order = {.epoch = -1};

    *again = n_left <= 0 ? n : 0;
    if (n_left <= 0 || n <= n_left) return SAE_OK;
    int64_t *left = mem_alloc_array((size_t)n_left, sizeof *left, "the rows that were not given yet", err);
    if (!left) return SAE_NOMEM;
    for (int64_t i = 0; i < n_left; i++) left[i] = row_at(t, &order, before + i);
    qsort(left, (size_t)n_left, sizeof *left, by_number);
    for (int64_t i = n_left; i < n; i++) {
        int64_t row = row_at(t, &order, before + i);
        *again += !bsearch(&row, left, (size_t)n_left, sizeof *left, by_number);
    }
    mem_free(left);
    return SAE_OK;
}

static void table_free_self(void *self) { table_free(self); }

static const acts_kind table_kind = {
    .next = table_next, .seek = table_seek, .info = table_info, .free = table_free_self, .again = table_again};

/* Types and sizes of a part; numbers its shards. */
static sae_status finish_part(table_part *p, sae_error *err)
{
    bool scaled = p->type == DTYPE_I8 && p->shards[0].scales;

    if (p->type != DTYPE_F32 && p->type != DTYPE_F16 && p->type != DTYPE_BF16 && p->type != DTYPE_F64 && !scaled)
        return SAE_FAIL(err, SAE_UNSUPPORTED, "%s: rows of type %s; F32, F16, BF16 and F64 can be read", p->path,
                        dtype_table[p->type].name);
    p->row_bytes = (size_t)p->d * (size_t)dtype_table[p->type].block_bytes;
    p->n_rows = 0;
    for (int64_t s = 0; s < p->n_shards; s++) {
        p->shards[s].first = p->n_rows;
        p->n_rows += p->shards[s].n;
    }
    if (p->d < 1 || p->n_rows < 1)
        return SAE_FAIL(err, SAE_SHAPE, "%s: holds %lld rows of width %lld; expected at least one of each", p->path,
                        (long long)p->n_rows, (long long)p->d);
    return SAE_OK;
}

sae_status table_finish(sae_acts **out, table *t, sae_error *err)
{
    sae_status status = SAE_OK;

    for (int i = 0; i < t->n_parts; i++) {
        table_part *p = &t->parts[i];
        SAE_TRY(finish_part(p, err));
        if (p->n_rows != t->parts[0].n_rows)
            SAE_RAISE(err, SAE_SHAPE, "%s: holds %lld rows, %s %lld: they cannot be read side by side", p->path,
                      (long long)p->n_rows, t->parts[0].path, (long long)t->parts[0].n_rows);
        p->first = t->d;
        t->d += p->d; /* each is a size in a file: the sum of a few cannot overflow */
        t->public_parts[i] = (sae_acts_part){p->d, p->median_norm};
    }
    t->n_rows = t->parts[0].n_rows;
    t->block_rows = rows_of_block(t);
    if (t->options.read_ahead)
        status = ahead_wrap(out, &table_kind, t, &t->options, err);
    else
        status = acts_wrap(out, &table_kind, t, err);
    t = NULL;
done:
    table_free(t);
    return status;
}
