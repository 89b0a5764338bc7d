/*
 * gguf.c - reader of GGUF versions 2 and 3: metadata, and tensors as views of the map.
 *
 * [magic, version, n_tensors, n_keys][keys][tensor infos][padding][data]. Counts are believed only as far as the bytes left
 * could hold them, so a file cannot ask for more memory than a small multiple of its size. Values stay in the map;
 * what is kept is where they lie.
 */
#include "io/gguf.h"
#include "io/system.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Tensor types by number; those we cannot read are named so that the message can name them. */
typedef struct ggml_type {
    const char *name;
    int type; /* dtype, or -1 */
} ggml_type;

static const ggml_type ggml_types[] = {
    [0] = {"F32", DTYPE_F32},    [1] = {"F16", DTYPE_F16},  [2] = {"Q4_0", DTYPE_Q4_0}, [3] = {"Q4_1", DTYPE_Q4_1},
    [6] = {"Q5_0", -1},          [7] = {"Q5_1", -1},        [8] = {"Q8_0", DTYPE_Q8_0}, [9] = {"Q8_1", -1},
    [10] = {"Q2_K", -1},         [11] = {"Q3_K", -1},       [12] = {"Q4_K", -1},        [13] = {"Q5_K", -1},
    [14] = {"Q6_K", -1},         [15] = {"Q8_K", -1},       [16] = {"IQ2_XXS", -1},     [17] = {"IQ2_XS", -1},
    [18] = {"IQ3_XXS", -1},      [19] = {"IQ1_S", -1},      [20] = {"IQ4_NL", -1},      [21] = {"IQ3_S", -1},
    [22] = {"IQ2_S", -1},        [23] = {"IQ4_XS", -1},     [24] = {"I8", DTYPE_I8},    [25] = {"I16", DTYPE_I16},
    [26] = {"I32", DTYPE_I32},   [27] = {"I64", DTYPE_I64}, [28] = {"F64", DTYPE_F64},  [29] = {"IQ1_M", -1},
    [30] = {"BF16", DTYPE_BF16}, [34] = {"TQ1_0", -1},      [35] = {"TQ2_0", -1},       [39] = {"MXFP4", -1},
};
enum { N_GGML_TYPES = sizeof ggml_types / sizeof *ggml_types };

const int gguf_value_bytes[GGUF_N_VALUES] = {
    [GGUF_U8] = 1,  [GGUF_I8] = 1,   [GGUF_U16] = 2, [GGUF_I16] = 2, [GGUF_U32] = 4, [GGUF_I32] = 4,
    [GGUF_F32] = 4, [GGUF_BOOL] = 1, [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8};

enum { MAX_KEY = 65535, MAX_DIMENSIONS = 4 };

/* What is left to read. */
typedef struct cursor {
    const unsigned char *at, *end;
    const char *path;
    sae_error *err;
} cursor;

static size_t left(const cursor *c) { return (size_t)(c->end - c->at); }

static sae_status truncated(const cursor *c, const char *what)
{
    return SAE_FAIL(c->err, SAE_FORMAT, "%s: the file ends inside %s: it is truncated or damaged; fetch it again",
                    c->path, what);
}

static sae_status take_u32(cursor *c, uint32_t *out, const char *what)
{
    if (left(c) < sizeof *out) return truncated(c, what);
    *out = load_u32(c->at);
    c->at += sizeof *out;
    return SAE_OK;
}

static sae_status take_u64(cursor *c, uint64_t *out, const char *what)
{
    if (left(c) < sizeof *out) return truncated(c, what);
    *out = load_u64(c->at);
    c->at += sizeof *out;
    return SAE_OK;
}

static sae_status take_bytes(cursor *c, uint64_t bytes, const char *what)
{
    if (bytes > left(c)) return truncated(c, what);
    c->at += bytes;
    return SAE_OK;
}

/* [u64 length][bytes] */
static sae_status take_string(cursor *c, const char **text, uint64_t *bytes, const char *what)
{
    sae_status status = take_u64(c, bytes, what);

    if (status != SAE_OK) return status;
    *text = (const char *)c->at;
    return take_bytes(c, *bytes, what);
}

/* A key or a tensor's name as a C string of our own: mem_free. Control characters have no business in a name, and would
 * reach terminals through messages. */
static sae_status take_name(cursor *c, char **name, const char *what)
{
    const char *text = NULL;
    uint64_t bytes = 0;
    sae_status status = take_string(c, &text, &bytes, what);

    if (status != SAE_OK) return status;
    if (bytes == 0 || bytes > MAX_KEY)
        return SAE_FAIL(c->err, SAE_FORMAT, "%s: %s has a name of %llu bytes, expected 1 to %d", c->path, what,
                        (unsigned long long)bytes, MAX_KEY);
    for (uint64_t i = 0; i < bytes; i++)
        if ((unsigned char)text[i] < 32 || text[i] == 127)
            return SAE_FAIL(c->err, SAE_FORMAT, "%s: the name of %s holds control character %d", c->path, what,
                            text[i]);
    *name = mem_alloc((size_t)bytes + 1, "a name", c->err);
    if (!*name) return SAE_NOMEM;
    memcpy(*name, text, (size_t)bytes);
    return SAE_OK;
}

/* ---- Metadata ----------------------------------------------------------------------------------------------------------- */

static sae_status take_string_array(cursor *c, gguf_value *v)
{
    const char *text = NULL;
    uint64_t bytes = 0;

    v->strings = mem_alloc_array((size_t)v->count, sizeof *v->strings, "an array of strings", c->err);
    if (!v->strings) return SAE_NOMEM;
    for (uint64_t i = 0; i < v->count; i++) {
        v->strings[i] = c->at;
        sae_status status = take_string(c, &text, &bytes, v->key);
        if (status != SAE_OK) return status;
    }
    return SAE_OK;
}

static sae_status take_array(cursor *c, gguf_value *v)
{
    sae_status status = take_u32(c, &v->element, v->key);

    if (status == SAE_OK) status = take_u64(c, &v->count, v->key);
    if (status != SAE_OK) return status;
    if (v->element == GGUF_ARRAY)
        return SAE_FAIL(c->err, SAE_UNSUPPORTED, "%s: key '%s' is an array of arrays, which is not supported", c->path,
                        v->key);
    if (v->element >= GGUF_N_VALUES)
        return SAE_FAIL(c->err, SAE_FORMAT, "%s: key '%s' is an array of unknown type %u", c->path, v->key, v->element);
    /* a string takes at least the 8 bytes of its length */
    uint64_t smallest = v->element == GGUF_STRING ? 8 : (uint64_t)gguf_value_bytes[v->element];
    if (v->count > left(c) / smallest) return truncated(c, v->key);
    v->data = c->at;
    if (v->element == GGUF_STRING) return take_string_array(c, v);
    return take_bytes(c, v->count * smallest, v->key);
}

static sae_status take_value(cursor *c, gguf_value *v)
{
    const char *text = NULL;
    uint64_t bytes = 0;
    sae_status status = take_u32(c, &v->type, v->key);

    if (status != SAE_OK) return status;
    v->data = c->at;
    if (v->type == GGUF_STRING) return take_string(c, &text, &bytes, v->key);
    if (v->type == GGUF_ARRAY) return take_array(c, v);
    if (v->type >= GGUF_N_VALUES)
        return SAE_FAIL(c->err, SAE_FORMAT, "%s: key '%s' has unknown type %u", c->path, v->key, v->type);
    return take_bytes(c, (uint64_t)gguf_value_bytes[v->type], v->key);
}

static int by_key(const void *a, const void *b)
{
    return strcmp((*(const gguf_value *const *)a)->key, (*(const gguf_value *const *)b)->key);
}

static sae_status take_metadata(cursor *c, gguf *g, uint64_t n)
{
    sae_status status = SAE_OK;

    if (n > left(c) / 13) /* a key of no bytes and a value of one */
        return SAE_FAIL(c->err, SAE_FORMAT,
                        "%s: %llu metadata keys cannot fit in the %zu bytes that follow: it is truncated or damaged",
                        c->path, (unsigned long long)n, left(c));
    g->values = mem_alloc_array((size_t)n, sizeof *g->values, "metadata", c->err);
    g->by_key = mem_alloc_array((size_t)n, sizeof *g->by_key, "metadata", c->err);
    if (!g->values || !g->by_key) return SAE_NOMEM;
    for (uint64_t i = 0; i < n; i++) {
        gguf_value *v = &g->values[g->n_values++];
        SAE_TRY(take_name(c, &v->key, "a metadata key"));
        SAE_TRY(take_value(c, v));
        g->by_key[i] = v;
    }
    if (n) qsort(g->by_key, (size_t)n, sizeof *g->by_key, by_key);
    for (uint64_t i = 1; i < n; i++)
        if (by_key(&g->by_key[i - 1], &g->by_key[i]) == 0)
            SAE_RAISE(c->err, SAE_FORMAT, "%s: metadata key '%s' stands there twice", c->path, g->by_key[i]->key);
done:
    return status;
}

/* ---- Tensors ------------------------------------------------------------------------------------------------------------ */

static sae_status set_type(const cursor *c, gguf_tensor *e, uint32_t number)
{
    const char *name = number < N_GGML_TYPES ? ggml_types[number].name : NULL;

    if (!name)
        return SAE_FAIL(c->err, SAE_UNSUPPORTED,
                        "%s: tensor '%s' has type number %u, which is unknown; "
                        "convert it to Q8_0 or F16",
                        c->path, e->t.name, number);
    if (ggml_types[number].type < 0)
        return SAE_FAIL(c->err, SAE_UNSUPPORTED,
                        "%s: tensor '%s' has type %s, which is not supported (F32, F16, BF16, "
                        "Q8_0, Q4_0, Q4_1 are); convert it to Q8_0 or F16",
                        c->path, e->t.name, name);
    e->t.type = (dtype)ggml_types[number].type;
    return SAE_OK;
}

/* The file counts dimensions from the fastest; a tensor's shape begins with the slowest. */
static sae_status take_shape(cursor *c, gguf_tensor *e)
{
    uint32_t n = 0;
    size_t elements = 1;
    sae_status status = take_u32(c, &n, e->t.name);

    if (status != SAE_OK) return status;
    if (n > MAX_DIMENSIONS)
        return SAE_FAIL(c->err, SAE_FORMAT, "%s: tensor '%s' has %u dimensions, at most %d are allowed", c->path,
                        e->t.name, n, MAX_DIMENSIONS);
    e->t.rank = (int)n;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t size = 0;
        status = take_u64(c, &size, e->t.name);
        if (status != SAE_OK) return status;
        if (size > INT64_MAX || mul_overflows(elements, (size_t)size, &elements) || elements > INT64_MAX)
            return SAE_FAIL(c->err, SAE_FORMAT,
                            "%s: tensor '%s': its shape overflows: more elements than 63 bits count", c->path,
                            e->t.name);
        e->t.shape[n - 1 - i] = (int64_t)size;
    }
    return SAE_OK;
}

static sae_status take_tensor(cursor *c, gguf_tensor *e)
{
    sae_status status = SAE_OK;
    uint32_t number = 0;
    char *name = NULL;

    SAE_TRY(take_name(c, &name, "a tensor"));
    e->t.name = name;
    SAE_TRY(take_shape(c, e));
    SAE_TRY(take_u32(c, &number, name));
    SAE_TRY(take_u64(c, &e->offset, name));
    SAE_TRY(set_type(c, e, number));
    int block = dtype_table[e->t.type].block_elems;
    int64_t row = e->t.rank ? e->t.shape[e->t.rank - 1] : 1;
    if (row % block)
        SAE_RAISE(c->err, SAE_FORMAT, "%s: tensor '%s': rows of %lld elements are no whole number of %s blocks of %d",
                  c->path, name, (long long)row, dtype_table[e->t.type].name, block);
    status = dtype_bytes(e->t.type, tensor_count(&e->t), &e->t.bytes, c->err);
    if (status != SAE_OK) sae_error_prefix(c->err, "%s: tensor '%s'", c->path, name);
done:
    return status;
}

static int by_offset(const void *a, const void *b)
{
    const gguf_tensor *x = *(const gguf_tensor *const *)a, *y = *(const gguf_tensor *const *)b;

    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return x->t.bytes < y->t.bytes ? -1 : x->t.bytes > y->t.bytes;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const gguf_tensor *const *)a)->t.name, (*(const gguf_tensor *const *)b)->t.name);
}

/* Every tensor inside the data, aligned, and apart from the others. Leaves g->by_name sorted by place. */
static sae_status place_tensors(const cursor *c, gguf *g, uint64_t alignment)
{
    uint64_t header = (uint64_t)(c->at - g->map.data), end = 0;
    uint64_t start = (header + alignment - 1) / alignment * alignment;

    if (g->n_tensors == 0) return SAE_OK;
    if (start > g->map.bytes) return truncated(c, "the header");
    uint64_t room = g->map.bytes - start;
    qsort(g->by_name, (size_t)g->n_tensors, sizeof *g->by_name, by_offset);
    for (int64_t i = 0; i < g->n_tensors; i++) {
        gguf_tensor *e = g->by_name[i];
        if (e->offset % alignment)
            return SAE_FAIL(c->err, SAE_FORMAT,
                            "%s: tensor '%s' begins at byte %llu of the data, which is not aligned to %llu", c->path,
                            e->t.name, (unsigned long long)e->offset, (unsigned long long)alignment);
        if (e->offset > room || e->t.bytes > room - e->offset)
            return SAE_FAIL(
                c->err, SAE_FORMAT,
                "%s: tensor '%s' takes %zu bytes from byte %llu, but the file holds only %llu bytes of data: "
                "it is truncated; fetch it again",
                c->path, e->t.name, e->t.bytes, (unsigned long long)e->offset, (unsigned long long)room);
        if (e->offset < end)
            return SAE_FAIL(c->err, SAE_FORMAT, "%s: tensors '%s' and '%s' overlap", c->path, g->by_name[i - 1]->t.name,
                            e->t.name);
        end = e->offset + e->t.bytes;
        e->t.data = g->map.data + start + e->offset;
    }
    return SAE_OK;
}

static sae_status take_tensors(cursor *c, gguf *g, uint64_t n)
{
    sae_status status = SAE_OK;
    int64_t alignment = 0;

    if (n > left(c) / 24) /* a name of no bytes and no dimensions */
        return SAE_FAIL(c->err, SAE_FORMAT,
                        "%s: %llu tensors cannot fit in the %zu bytes that follow: it is truncated or damaged", c->path,
                        (unsigned long long)n, left(c));
    g->tensors = mem_alloc_array((size_t)n, sizeof *g->tensors, "the tensors of a GGUF file", c->err);
    g->by_name = mem_alloc_array((size_t)n, sizeof *g->by_name, "the tensors of a GGUF file", c->err);
    if (!g->tensors || !g->by_name) return SAE_NOMEM;
    for (uint64_t i = 0; i < n; i++) {
        g->by_name[i] = &g->tensors[g->n_tensors++];
        SAE_TRY(take_tensor(c, g->by_name[i]));
    }
    SAE_TRY(gguf_int_or(g, "general.alignment", 32, &alignment, c->err));
    if (alignment < 1 || alignment > 1 << 30 || (alignment & (alignment - 1)))
        SAE_RAISE(c->err, SAE_FORMAT, "%s: general.alignment is %lld, expected a power of two", c->path,
                  (long long)alignment);
    SAE_TRY(place_tensors(c, g, (uint64_t)alignment));
    if (n) qsort(g->by_name, (size_t)n, sizeof *g->by_name, by_name);
    for (uint64_t i = 1; i < n; i++)
        if (by_name(&g->by_name[i - 1], &g->by_name[i]) == 0)
            SAE_RAISE(c->err, SAE_FORMAT, "%s: tensor '%s' stands there twice", c->path, g->by_name[i]->t.name);
done:
    return status;
}

/* ---- Open and close ------------------------------------------------------------------------------------------------------ */

static sae_status take_version(cursor *c, gguf *g)
{
    uint32_t version = 0;

    if (left(c) < 4 || memcmp(c->at, "GGUF", 4) != 0)
        return SAE_FAIL(c->err, SAE_FORMAT, "%s: does not begin with the magic 'GGUF': not a GGUF file", c->path);
    c->at += 4;
    sae_status status = take_u32(c, &version, "the header");
    if (status != SAE_OK) return status;
    if ((version & 0xffff) == 0 && version != 0)
        return SAE_FAIL(c->err, SAE_UNSUPPORTED,
                        "%s: a big-endian GGUF file, which is not supported; convert it to "
                        "little-endian",
                        c->path);
    if (version != 2 && version != 3)
        return SAE_FAIL(c->err, SAE_UNSUPPORTED,
                        "%s: GGUF version %u, which is not supported (2 and 3 are); convert it "
                        "again with a current converter",
                        c->path, version);
    g->version = (int)version;
    return SAE_OK;
}

sae_status gguf_open(gguf **out, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    gguf *g = mem_alloc(sizeof *g, "a GGUF file", err);
    cursor c = {.path = path, .err = err};
    uint64_t n_tensors = 0, n_values = 0;

    if (!g) return SAE_NOMEM;
    SAE_TRY(file_map_open(&g->map, path, err));
    c.at = g->map.data;
    c.end = g->map.data + g->map.bytes;
    SAE_TRY(take_version(&c, g));
    SAE_TRY(take_u64(&c, &n_tensors, "the header"));
    SAE_TRY(take_u64(&c, &n_values, "the header"));
    SAE_TRY(take_metadata(&c, g, n_values));
    SAE_TRY(take_tensors(&c, g, n_tensors));
    *out = g;
    g = NULL;
done:
    gguf_close(g);
    return status;
}

void gguf_close(gguf *g)
{
    if (!g) return;
    for (int64_t i = 0; i < g->n_values; i++) {
        mem_free(g->values[i].key);
        mem_free(g->values[i].strings);
    }
    for (int64_t i = 0; i < g->n_tensors; i++) mem_free((void *)(uintptr_t)g->tensors[i].t.name);
    mem_free(g->values);
    mem_free(g->by_key);
    mem_free(g->tensors);
    mem_free(g->by_name);
    file_map_close(&g->map);
    mem_free(g);
}

bool gguf_is(const char *path)
{
    char magic[4] = {0};

    int fd = sys_open(path, O_RDONLY | O_NONBLOCK); /* O_NONBLOCK: a FIFO must not make us wait */
    if (fd < 0) return false;
    ssize_t got = sys_pread_all(fd, magic, sizeof magic, 0); /* fails for what is not a file */
    sys_close(fd);
    return got == sizeof magic && memcmp(magic, "GGUF", 4) == 0;
}

const char *gguf_path(const gguf *g) { return g->map.path; }
int gguf_version(const gguf *g) { return g->version; }
int64_t gguf_tensor_count(const gguf *g) { return g->n_tensors; }
const tensor *gguf_at(const gguf *g, int64_t i) { return i >= 0 && i < g->n_tensors ? &g->tensors[i].t : NULL; }

const tensor *gguf_find(const gguf *g, const char *name)
{
    const gguf_tensor wanted = {.t.name = name}, *key = &wanted;
    gguf_tensor **found =
        g->n_tensors ? bsearch(&key, g->by_name, (size_t)g->n_tensors, sizeof *g->by_name, by_name) : NULL;

    return found ? &(*found)->t : NULL;
}

const gguf_value *gguf_value_find(const gguf *g, const char *key)
{
    const gguf_value wanted = {.key = (char *)(uintptr_t)key}, *k = &wanted;
    gguf_value **found = g->n_values ? bsearch(&k, g->by_key, (size_t)g->n_values, sizeof *g->by_key, by_key) : NULL;

    return found ? *found : NULL;
}
