/*
 * safetensors.c - reader and writer of the safetensors container.
 *
 * [u64 N][N bytes of JSON][one buffer]. The reader accepts a file only when its tensors cover the buffer exactly: no hole, no
 * overlap, nothing behind the last (the rules of huggingface/safetensors, safetensors/src/tensor.rs, and, beyond them, no
 * name twice). Tensors are borrowed from the map and may begin at any byte.
 */
#include "io/bytes.h"
#include "io/io.h"

#include <string.h>
#include <xxhash.h>

static const uint64_t header_limit = 100000000; /* the format's own */

/* The format's order of types: the writer puts the last of them first, so that every tensor is aligned. */
static const dtype canonical[] = {DTYPE_BOOL, DTYPE_U8,  DTYPE_I8,  DTYPE_I16, DTYPE_U16, DTYPE_F16, DTYPE_BF16,
                                  DTYPE_I32,  DTYPE_U32, DTYPE_F32, DTYPE_F64, DTYPE_I64, DTYPE_U64};
enum { N_TYPES = sizeof canonical / sizeof *canonical };

typedef struct entry {
    tensor t;
    uint64_t begin, end; /* in the buffer */
} entry;

struct safetensors {
    file_map map;
    json_t *header;        /* owns the names */
    entry *entries;        /* by place in the file */
    const tensor **sorted; /* by name */
    int n;
};

/* Place in canonical[], -1 for a type the format lacks. */
static int type_rank(dtype type)
{
    for (int i = 0; i < N_TYPES; i++)
        if (canonical[i] == type) return i;
    return -1;
}

static bool type_named(const char *name, dtype *type)
{
    for (int i = 0; i < N_TYPES; i++) {
        if (strcmp(dtype_table[canonical[i]].name, name) != 0) continue;
        *type = canonical[i];
        return true;
    }
    return false;
}

/* ---- Reading ---------------------------------------------------------------------------------------------------------- */

static sae_status read_shape(tensor *t, const json_t *shape, const char *path, sae_error *err)
{
    size_t rank = json_array_size(shape), elements = 1, bytes;

    if (!json_is_array(shape))
        return SAE_FAIL(err, SAE_FORMAT, "%s: tensor '%s': \"shape\" must be a list of sizes", path, t->name);
    if (rank > TENSOR_MAX_RANK)
        return SAE_FAIL(err, SAE_UNSUPPORTED, "%s: tensor '%s' has %zu dimensions, at most %d are supported", path,
                        t->name, rank, TENSOR_MAX_RANK);
    for (size_t i = 0; i < rank; i++) {
        const json_t *size = json_array_get(shape, i);
        if (!json_is_integer(size) || json_integer_value(size) < 0)
            return SAE_FAIL(err, SAE_FORMAT, "%s: tensor '%s': \"shape\" must hold whole numbers from 0", path,
                            t->name);
        t->shape[i] = (int64_t)json_integer_value(size);
        if (mul_overflows(elements, (size_t)t->shape[i], &elements) || elements > INT64_MAX)
            return SAE_FAIL(err, SAE_FORMAT, "%s: tensor '%s': its shape overflows: more elements than 63 bits count",
                            path, t->name);
    }
    t->rank = (int)rank;
    if (mul_overflows(elements, (size_t)dtype_table[t->type].block_bytes, &bytes))
        return SAE_FAIL(err, SAE_FORMAT, "%s: tensor '%s': its shape overflows: more bytes than 64 bits count", path,
                        t->name);
    t->bytes = bytes;
    return SAE_OK;
}

static sae_status read_entry(entry *e, const char *name, const json_t *value, const char *path, sae_error *err)
{
    const char *type = json_string_value(json_object_get(value, "dtype"));
    const json_t *offsets = json_object_get(value, "data_offsets");
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    char shape[160];

    e->t.name = name;
    if (!json_is_object(value) || !type)
        return SAE_FAIL(err, SAE_FORMAT,
                        "%s: tensor '%s' must be an object with \"dtype\", \"shape\", \"data_offsets\"", path, name);
    if (!type_named(type, &e->t.type))
        return SAE_FAIL(err, SAE_UNSUPPORTED,
                        "%s: tensor '%s' has type %s, which is not supported; convert it to F32, F16 or BF16", path,
                        name, type);
    sae_status status = read_shape(&e->t, json_object_get(value, "shape"), path, err);
    if (status != SAE_OK) return status;
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
        json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin))
        return SAE_FAIL(err, SAE_FORMAT,
                        "%s: tensor '%s': \"data_offsets\" must be [begin, end] with 0 <= begin <= end", path, name);
    e->begin = (uint64_t)json_integer_value(begin);
    e->end = (uint64_t)json_integer_value(end);
    if (e->end - e->begin != e->t.bytes)
        return SAE_FAIL(err, SAE_FORMAT, "%s: tensor '%s': %s %s takes %zu bytes, but its data_offsets span %llu", path,
                        name, type, tensor_shape_text(&e->t, shape, sizeof shape), e->t.bytes,
                        (unsigned long long)(e->end - e->begin));
    return SAE_OK;
}

static int by_place(const void *a, const void *b)
{
    const entry *x = a, *y = b;

    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end) return x->end < y->end ? -1 : 1;
    return strcmp(x->t.name, y->t.name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const tensor *const *)a)->name, (*(const tensor *const *)b)->name);
}

/* The tensors, sorted by place, must tile the buffer; then each knows its data. */
static sae_status place_tensors(safetensors *st, const unsigned char *buffer, size_t bytes, sae_error *err)
{
    const char *path = st->map.path;
    uint64_t at = 0;

    for (int i = 0; i < st->n; i++) {
        entry *e = &st->entries[i];
        if (e->begin != at)
            return SAE_FAIL(err, SAE_FORMAT, "%s: tensor '%s' begins at byte %llu, expected %llu: %s", path, e->t.name,
                            (unsigned long long)e->begin, (unsigned long long)at,
                            e->begin < at ? "tensors overlap" : "there is a hole before it");
        if (e->end > bytes)
            return SAE_FAIL(err, SAE_FORMAT,
                            "%s: tensor '%s' ends at byte %llu, but the file holds only %zu bytes of data: it is "
                            "truncated; fetch it again",
                            path, e->t.name, (unsigned long long)e->end, bytes);
        e->t.data = buffer + e->begin;
        at = e->end;
    }
    if (at != bytes)
        return SAE_FAIL(err, SAE_FORMAT, "%s: %llu bytes of trailing data behind the last tensor", path,
                        (unsigned long long)(bytes - at));
    return SAE_OK;
}

static sae_status check_metadata(const json_t *metadata, const char *path, sae_error *err)
{
    const char *key;
    const json_t *value;

    if (!metadata || json_is_null(metadata)) return SAE_OK;
    if (!json_is_object(metadata)) return SAE_FAIL(err, SAE_FORMAT, "%s: __metadata__ must be an object", path);
    json_object_foreach((json_t *)(uintptr_t)metadata, key, value)
    {
        if (!json_is_string(value))
            return SAE_FAIL(err, SAE_FORMAT, "%s: __metadata__: \"%s\" must be a string", path, key);
    }
    return SAE_OK;
}

static sae_status parse_header(safetensors *st, sae_error *err)
{
    const file_map *map = &st->map;

    if (map->bytes < 8)
        return SAE_FAIL(err, SAE_FORMAT, "%s: %zu bytes are no safetensors file: the header's length takes 8",
                        map->path, map->bytes);
    uint64_t length = load_u64(map->data);
    if (length > header_limit)
        return SAE_FAIL(err, SAE_FORMAT,
                        "%s: its header claims %llu bytes, at most %llu are allowed: not a safetensors file", map->path,
                        (unsigned long long)length, (unsigned long long)header_limit);
    if (length > map->bytes - 8)
        return SAE_FAIL(
            err, SAE_FORMAT,
            "%s: its header claims %llu bytes, but only %zu follow: it is truncated or not a safetensors file",
            map->path, (unsigned long long)length, map->bytes - 8);
    if (length == 0 || map->data[8] != '{')
        return SAE_FAIL(err, SAE_FORMAT, "%s: its header must begin with '{': not a safetensors file", map->path);
    return json_parse(&st->header, (const char *)map->data + 8, (size_t)length, map->path, err);
}

sae_status safetensors_open(safetensors **out, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    safetensors *st = mem_alloc(sizeof *st, "a safetensors file", err);
    const char *name;
    json_t *value;

    if (!st) return SAE_NOMEM;
    SAE_TRY(file_map_open(&st->map, path, err));
    SAE_TRY(parse_header(st, err));
    SAE_TRY(check_metadata(json_object_get(st->header, "__metadata__"), path, err));
    size_t members = json_object_size(st->header);
    st->entries = mem_alloc_array(members, sizeof *st->entries, "the tensors of a safetensors file", err);
    st->sorted = mem_alloc_array(members, sizeof *st->sorted, "the tensors of a safetensors file", err);
    if (!st->entries || !st->sorted) SAE_RAISE(err, SAE_NOMEM, "no memory");
    json_object_foreach(st->header, name, value)
    {
        if (strcmp(name, "__metadata__") == 0) continue;
        SAE_TRY(read_entry(&st->entries[st->n], name, value, path, err));
        st->n++;
    }
    if (st->n) qsort(st->entries, (size_t)st->n, sizeof *st->entries, by_place);
    size_t header = 8 + (size_t)load_u64(st->map.data);
    SAE_TRY(place_tensors(st, st->map.data + header, st->map.bytes - header, err));
    for (int i = 0; i < st->n; i++) st->sorted[i] = &st->entries[i].t;
    if (st->n) qsort(st->sorted, (size_t)st->n, sizeof *st->sorted, by_name);
    *out = st;
    st = NULL;
done:
    safetensors_close(st);
    return status;
}

void safetensors_close(safetensors *st)
{
    if (!st) return;
    file_map_close(&st->map);
    json_decref(st->header);
    mem_free(st->entries);
    mem_free(st->sorted);
    mem_free(st);
}

int safetensors_count(const safetensors *st) { return st->n; }
const tensor *safetensors_at(const safetensors *st, int i) { return i >= 0 && i < st->n ? &st->entries[i].t : NULL; }
const char *safetensors_path(const safetensors *st) { return st->map.path; }

uint64_t safetensors_hash(const safetensors *st) { return XXH3_64bits(st->map.data, st->map.bytes); }

const tensor *safetensors_find(const safetensors *st, const char *name)
{
    const tensor wanted = {.name = name}, *key = &wanted;
    const tensor **found = st->n ? bsearch(&key, st->sorted, (size_t)st->n, sizeof *st->sorted, by_name) : NULL;

    return found ? *found : NULL;
}

const json_t *safetensors_metadata(const safetensors *st)
{
    const json_t *metadata = json_object_get(st->header, "__metadata__");

    return json_is_object(metadata) ? metadata : NULL;
}

/* ---- Writing ---------------------------------------------------------------------------------------------------------- */

static int canonical_order(const void *a, const void *b)
{
    const tensor *x = *(const tensor *const *)a, *y = *(const tensor *const *)b;
    int p = type_rank(x->type), q = type_rank(y->type);

    return p != q ? (p > q ? -1 : 1) : strcmp(x->name, y->name);
}

static sae_status tensor_size(const tensor *t, const char *path, size_t *bytes, sae_error *err)
{
    size_t n = 1;

    if (!t->name || !*t->name || strcmp(t->name, "__metadata__") == 0)
        return SAE_FAIL(err, SAE_RANGE, "%s: a tensor to write needs a name (and not __metadata__)", path);
    if (type_rank(t->type) < 0)
        return SAE_FAIL(err, SAE_UNSUPPORTED, "%s: tensor '%s': safetensors has no type %s", path, t->name,
                        dtype_table[t->type].name);
    if (t->rank < 0 || t->rank > TENSOR_MAX_RANK)
        return SAE_FAIL(err, SAE_SHAPE, "%s: tensor '%s' has %d dimensions, at most %d are supported", path, t->name,
                        t->rank, TENSOR_MAX_RANK);
    for (int i = 0; i < t->rank; i++)
        if (t->shape[i] < 0 || mul_overflows(n, (size_t)t->shape[i], &n))
            return SAE_FAIL(err, SAE_SHAPE, "%s: tensor '%s': its shape overflows or is negative", path, t->name);
    if (mul_overflows(n, (size_t)dtype_table[t->type].block_bytes, bytes))
        return SAE_FAIL(err, SAE_SHAPE, "%s: tensor '%s': its shape overflows", path, t->name);
    return SAE_OK;
}

static json_t *entry_json(const tensor *t, uint64_t begin, uint64_t end)
{
    json_t *shape = json_array();

    for (int i = 0; i < t->rank; i++) json_add(&shape, json_integer(t->shape[i]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype_table[t->type].name, "shape", shape, "data_offsets",
                     (json_int_t)begin, (json_int_t)end);
}

/* The header's text of tensors already in order. mem_free. */
static sae_status make_header(char **text, const tensor **order, int n, const json_t *metadata, const char *path,
                              sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *header = json_object();
    uint64_t at = 0;

    SAE_TRY(check_metadata(metadata, path, err));
    if (!header || (metadata && !json_is_null(metadata) &&
                    json_object_set(header, "__metadata__", (json_t *)(uintptr_t)metadata) != 0))
        SAE_RAISE(err, SAE_NOMEM, "%s: no memory for its header", path);
    for (int i = 0; i < n; i++) {
        size_t bytes = 0;
        SAE_TRY(tensor_size(order[i], path, &bytes, err));
        if (!text_is_utf8(order[i]->name, strlen(order[i]->name)))
            SAE_RAISE(err, SAE_RANGE, "%s: the name of a tensor to write is not valid UTF-8 ('%s')", path,
                      order[i]->name);
        if (json_object_get(header, order[i]->name))
            SAE_RAISE(err, SAE_RANGE, "%s: two tensors to write are named '%s'", path, order[i]->name);
        if (__builtin_add_overflow(at, bytes, &at) || at > INT64_MAX)
            SAE_RAISE(err, SAE_RANGE, "%s: the tensors are more than a file can hold", path);
        json_t *described = entry_json(order[i], at - bytes, at);
        json_put(&header, order[i]->name, described);
        if (!header) SAE_RAISE(err, SAE_NOMEM, "%s: no memory for its header", path);
    }
    *text = json_to_text(header, JSON_COMPACT, NULL);
    if (!*text) SAE_RAISE(err, SAE_NOMEM, "%s: no memory for its header", path);
done:
    json_decref(header);
    return status;
}

static sae_status put_all(file_writer *w, const char *header, const tensor **order, int n, sae_error *err)
{
    sae_status status = SAE_OK;
    size_t length = strlen(header), bytes;
    uint64_t padded = (length + 7) & ~(uint64_t)7; /* 8 + padded is a multiple of 8: tensors lie aligned */

    if (padded > header_limit)
        return SAE_FAIL(err, SAE_RANGE, "%s: its header would take %llu bytes, at most %llu are allowed", w->path,
                        (unsigned long long)padded, (unsigned long long)header_limit);
    SAE_TRY(file_writer_put(w, &padded, sizeof padded, err));
    SAE_TRY(file_writer_put(w, header, length, err));
    SAE_TRY(file_writer_put(w, "        ", (size_t)padded - length, err));
    for (int i = 0; i < n; i++) {
        SAE_TRY(tensor_size(order[i], w->path, &bytes, err));
        SAE_TRY(file_writer_put(w, order[i]->data, bytes, err));
    }
done:
    return status;
}

sae_status safetensors_write(const char *path, const tensor *tensors, int n, const json_t *metadata, bool force,
                             uint64_t *hash, sae_error *err)
{
    sae_status status = SAE_OK;
    file_writer w = {0};
    char *header = NULL;
    const tensor **order = mem_alloc_array((size_t)n, sizeof *order, "the order of tensors", err);

    if (!order) return SAE_NOMEM;
    for (int i = 0; i < n; i++) {
        size_t bytes;
        SAE_TRY(tensor_size(&tensors[i], path, &bytes, err));
        order[i] = &tensors[i];
    }
    if (n) qsort(order, (size_t)n, sizeof *order, canonical_order);
    SAE_TRY(make_header(&header, order, n, metadata, path, err));
    SAE_TRY(file_writer_open(&w, path, force, err));
    SAE_TRY(put_all(&w, header, order, n, err));
    SAE_TRY(file_writer_commit(&w, hash, err));
done:
    file_writer_abort(&w);
    mem_free(header);
    mem_free(order);
    return status;
}
