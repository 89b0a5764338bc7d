/*
 * npy.c - NumPy's .npy files (format versions 1 to 3), and "one array" from a .npy or a .safetensors file.
 *
 * The header is a Python dict literal with exactly the keys descr, fortran_order and shape; a strict parser reads just
 * that. Data follows it to the last byte of the file. Nothing is ever unpickled.
 */
#include "io/bytes.h"
#include "io/io.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *descr;
    dtype type;
} descrs[] = {{"<f4", DTYPE_F32}, {"<f2", DTYPE_F16}, {"<f8", DTYPE_F64}, {"<i8", DTYPE_I64},
              {"<i4", DTYPE_I32}, {"<i2", DTYPE_I16}, {"|i1", DTYPE_I8},  {"<u8", DTYPE_U64},
              {"<u4", DTYPE_U32}, {"<u2", DTYPE_U16}, {"|u1", DTYPE_U8},  {"|b1", DTYPE_BOOL}};
enum { N_DESCRS = sizeof descrs / sizeof *descrs };

/* ---- The header --------------------------------------------------------------------------------------------------------- */

typedef struct parser {
    const char *at, *end;
    const char *path;
    sae_error *err;
} parser;

typedef struct npy_header {
    dtype type;
    bool fortran;
    bool has_descr, has_order, has_shape;
} npy_header;

static sae_status malformed(const parser *p, const char *expected)
{
    return SAE_FAIL(p->err, SAE_FORMAT, "%s: the .npy header is malformed: expected %s", p->path, expected);
}

static void skip_space(parser *p)
{
    while (p->at < p->end && isspace((unsigned char)*p->at)) p->at++;
}

static bool take(parser *p, char c)
{
    skip_space(p);
    if (p->at >= p->end || *p->at != c) return false;
    p->at++;
    return true;
}

static bool take_word(parser *p, const char *word)
{
    size_t length = strlen(word);

    skip_space(p);
    if ((size_t)(p->end - p->at) < length || memcmp(p->at, word, length) != 0) return false;
    p->at += length;
    return true;
}

/* 'text' or "text" into a caller's buffer. Nothing that we accept holds an escape or is longer. */
static bool take_string(parser *p, char *out, size_t room)
{
    char quote = take(p, '\'') ? '\'' : take(p, '"') ? '"' : '\0';
    size_t n = 0;

    if (!quote) return false;
    while (p->at < p->end && *p->at != quote && n + 1 < room && *p->at >= ' ' && *p->at < 127) out[n++] = *p->at++;
    out[n] = '\0';
    return p->at < p->end && *p->at++ == quote;
}

static sae_status take_descr(parser *p, npy_header *h)
{
    char text[32];

    if (!take_string(p, text, sizeof text))
        return take(p, '[') ? SAE_FAIL(p->err, SAE_UNSUPPORTED,
                                       "%s: an array of records, which is not supported; save one "
                                       "plain array",
                                       p->path)
                            : malformed(p, "a type such as '<f4'");
    for (int i = 0; i < N_DESCRS; i++) {
        if (strcmp(text, descrs[i].descr) != 0) continue;
        h->type = descrs[i].type;
        return SAE_OK;
    }
    const char *advice = text[0] == '>'      ? "big-endian; save it with .astype('<f4')"
                         : strchr(text, 'O') ? "Python objects, which are never loaded; save a plain array"
                                             : "save it as float32, float16, float64 or an integer type";
    return SAE_FAIL(p->err, SAE_UNSUPPORTED, "%s: arrays of type '%s' are not supported: %s", p->path, text, advice);
}

static sae_status take_size(parser *p, int64_t *out)
{
    uint64_t value = 0;

    skip_space(p);
    if (p->at >= p->end || !isdigit((unsigned char)*p->at)) return malformed(p, "a size in the shape");
    while (p->at < p->end && isdigit((unsigned char)*p->at)) {
        if (value > (INT64_MAX - 9) / 10) return malformed(p, "a size below 2^63 in the shape (it overflows)");
        value = value * 10 + (uint64_t)(*p->at++ - '0');
    }
    if (p->at < p->end && *p->at == 'L') p->at++; /* Python 2 wrote long integers so */
    *out = (int64_t)value;
    return SAE_OK;
}

/* (), (n,) or (n, m, ...) */
static sae_status take_shape(parser *p, tensor *t)
{
    if (!take(p, '(')) return malformed(p, "a shape such as (2, 3)");
    while (!take(p, ')')) {
        if (t->rank == TENSOR_MAX_RANK)
            return SAE_FAIL(p->err, SAE_UNSUPPORTED, "%s: an array of more than %d dimensions is not supported",
                            p->path, TENSOR_MAX_RANK);
        sae_status status = take_size(p, &t->shape[t->rank]);
        if (status != SAE_OK) return status;
        t->rank++;
        if (take(p, ',')) continue;
        if (t->rank == 1 || !take(p, ')')) return malformed(p, "',' or ')' in the shape");
        break;
    }
    return SAE_OK;
}

static sae_status take_member(parser *p, npy_header *h, tensor *t)
{
    char key[32];
    bool *seen;

    if (!take_string(p, key, sizeof key) || !take(p, ':')) return malformed(p, "a key and ':'");
    seen = strcmp(key, "descr") == 0           ? &h->has_descr
           : strcmp(key, "fortran_order") == 0 ? &h->has_order
           : strcmp(key, "shape") == 0         ? &h->has_shape
                                               : NULL;
    if (!seen || *seen) return malformed(p, "the keys descr, fortran_order and shape, each once");
    *seen = true;
    if (seen == &h->has_descr) return take_descr(p, h);
    if (seen == &h->has_shape) return take_shape(p, t);
    h->fortran = take_word(p, "True");
    return h->fortran || take_word(p, "False") ? SAE_OK : malformed(p, "True or False for fortran_order");
}

static sae_status parse_dict(parser *p, npy_header *h, tensor *t)
{
    sae_status status = SAE_OK;

    if (!take(p, '{')) return malformed(p, "'{'");
    while (!take(p, '}')) {
        SAE_TRY(take_member(p, h, t));
        if (take(p, ',')) continue;
        if (!take(p, '}')) return malformed(p, "',' or '}'");
        break;
    }
    skip_space(p);
    if (p->at != p->end) return malformed(p, "nothing behind '}'");
    if (!h->has_descr || !h->has_order || !h->has_shape) return malformed(p, "descr, fortran_order and shape");
done:
    return status;
}

/* ---- Open, close, write --------------------------------------------------------------------------------------------------- */

/* Column by column is the same as row by row when at most one dimension is larger than 1. */
static bool order_matters(const tensor *t)
{
    int large = 0;

    for (int i = 0; i < t->rank; i++) large += t->shape[i] > 1;
    return large > 1;
}

/* The matrix row by row, in memory of its own. */
static sae_status turn(npy *a, sae_error *err)
{
    size_t rows = (size_t)a->t.shape[0], columns = (size_t)a->t.shape[1];
    size_t size = (size_t)dtype_table[a->t.type].block_bytes;
    const unsigned char *from = a->t.data;
    unsigned char *to = mem_alloc(a->t.bytes, "a matrix that lies column by column", err);

    if (!to) return SAE_NOMEM;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++) memcpy(to + (i * columns + j) * size, from + (j * rows + i) * size, size);
    a->turned = to;
    a->t.data = to;
    return SAE_OK;
}

static sae_status set_bytes(tensor *t, const char *path, sae_error *err)
{
    size_t n = 1;

    for (int i = 0; i < t->rank; i++)
        if (mul_overflows(n, (size_t)t->shape[i], &n) || n > INT64_MAX)
            return SAE_FAIL(err, SAE_FORMAT, "%s: the array's shape overflows: more elements than 63 bits count", path);
    if (mul_overflows(n, (size_t)dtype_table[t->type].block_bytes, &t->bytes))
        return SAE_FAIL(err, SAE_FORMAT, "%s: the array's shape overflows: more bytes than 64 bits count", path);
    return SAE_OK;
}

static sae_status find_header(const file_map *map, parser *p, sae_error *err)
{
    const unsigned char *d = map->data;

    if (map->bytes < 10 || memcmp(d, "\x93NUMPY", 6) != 0)
        return SAE_FAIL(err, SAE_FORMAT, "%s: does not begin with the magic of a .npy file", map->path);
    if (d[6] < 1 || d[6] > 3)
        return SAE_FAIL(err, SAE_UNSUPPORTED, "%s: .npy format version %d, which is not supported (1 to 3 are)",
                        map->path, d[6]);
    size_t prefix = d[6] == 1 ? 10 : 12;
    if (map->bytes < prefix) return SAE_FAIL(err, SAE_FORMAT, "%s: the file is truncated in its header", map->path);
    size_t length = d[6] == 1 ? load_u16(d + 8) : load_u32(d + 8);
    if (length > map->bytes - prefix)
        return SAE_FAIL(err, SAE_FORMAT, "%s: its header claims %zu bytes, but only %zu follow: it is truncated",
                        map->path, length, map->bytes - prefix);
    p->at = (const char *)d + prefix;
    p->end = p->at + length;
    return SAE_OK;
}

static sae_status read_header(npy *a, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *path = a->map.path;
    parser p = {.path = path, .err = err};
    npy_header h = {0};

    SAE_TRY(find_header(&a->map, &p, err));
    SAE_TRY(parse_dict(&p, &h, &a->t));
    a->t.type = h.type;
    a->t.name = path;
    a->t.data = p.end;
    SAE_TRY(set_bytes(&a->t, path, err));
    if (h.fortran && order_matters(&a->t) && a->t.rank != 2)
        SAE_RAISE(err, SAE_UNSUPPORTED, "%s: the array lies column by column; save numpy.ascontiguousarray of it",
                  path);
    size_t follows = a->map.bytes - (size_t)((const unsigned char *)p.end - a->map.data);
    if (follows != a->t.bytes) {
        char shape[160];
        SAE_RAISE(err, SAE_FORMAT, "%s: %s %s takes %zu bytes, but %zu follow the header: %s", path,
                  dtype_table[a->t.type].name, tensor_shape_text(&a->t, shape, sizeof shape), a->t.bytes, follows,
                  follows < a->t.bytes ? "it is truncated" : "there is trailing data");
    }
    if (h.fortran && order_matters(&a->t)) SAE_TRY(turn(a, err));
done:
    return status;
}

sae_status npy_open(npy *out, const char *path, sae_error *err)
{
    npy a = {0};
    sae_status status = file_map_open(&a.map, path, err);

    if (status == SAE_OK) status = read_header(&a, err);
    if (status == SAE_OK)
        *out = a;
    else
        npy_close(&a);
    return status;
}

void npy_close(npy *a)
{
    if (!a) return;
    file_map_close(&a->map);
    mem_free(a->turned);
    a->turned = NULL;
    a->t = (tensor){0};
}

sae_status npy_write(const char *path, const tensor *t, bool force, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *descr = NULL;
    char dict[512];
    tensor copy = *t;
    file_writer w = {0};

    for (int i = 0; i < N_DESCRS; i++)
        if (descrs[i].type == t->type) descr = descrs[i].descr;
    if (!descr) SAE_RAISE(err, SAE_UNSUPPORTED, "%s: .npy has no type %s", path, dtype_table[t->type].name);
    SAE_TRY(set_bytes(&copy, path, err));
    size_t n = (size_t)snprintf(dict, sizeof dict, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (int i = 0; i < t->rank; i++)
        n += (size_t)snprintf(dict + n, sizeof dict - n, "%s%lld%s", i ? ", " : "", (long long)t->shape[i],
                              t->rank == 1 ? "," : "");
    n += (size_t)snprintf(dict + n, sizeof dict - n, "), }");
    while ((10 + n + 1) % 64) dict[n++] = ' '; /* data begins on a multiple of 64 */
    dict[n++] = '\n';
    unsigned char head[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (unsigned char)n, (unsigned char)(n >> 8)};
    SAE_TRY(file_writer_open(&w, path, force, err));
    SAE_TRY(file_writer_put(&w, head, sizeof head, err));
    SAE_TRY(file_writer_put(&w, dict, n, err));
    SAE_TRY(file_writer_put(&w, t->data, copy.bytes, err));
    SAE_TRY(file_writer_commit(&w, NULL, err));
done:
    file_writer_abort(&w);
    return status;
}

/* ---- One array, wherever it is -------------------------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end)
{
    size_t a = strlen(text), b = strlen(end);

    return a >= b && strcmp(text + a - b, end) == 0;
}

static sae_status pick_tensor(array_file *a, const char *name, sae_error *err)
{
    const char *path = safetensors_path(a->st);
    int n = safetensors_count(a->st);
    const tensor *t = name ? safetensors_find(a->st, name) : n == 1 ? safetensors_at(a->st, 0) : NULL;

    if (!t && name)
        return SAE_FAIL(err, SAE_RANGE, "%s: no tensor is named '%s'; it holds %d, the first is '%s'", path, name, n,
                        n ? safetensors_at(a->st, 0)->name : "");
    if (!t)
        return SAE_FAIL(err, SAE_RANGE, "%s: holds %d tensors; say which: %s:%s", path, n, path,
                        n ? safetensors_at(a->st, 0)->name : "NAME");
    a->t = *t;
    return SAE_OK;
}

sae_status array_open(array_file *out, const char *path, sae_error *err)
{
    static const char extension[] = ".safetensors";
    sae_status status = SAE_OK;
    array_file a = {0};
    char *file = mem_strdup(path, err);
    char *mark, *name = NULL;

    if (!file) return SAE_NOMEM;
    mark = file_exists(file) ? NULL : strstr(file, ".safetensors:");
    if (mark) {
        name = mark + sizeof extension;
        name[-1] = '\0';
    }
    if (ends_with(file, ".npy")) {
        SAE_TRY(npy_open(&a.a, file, err));
        a.t = a.a.t;
    } else {
        if (!ends_with(file, extension))
            SAE_RAISE(err, SAE_UNSUPPORTED, "%s: expected a file X.npy or X.safetensors, or X.safetensors:NAME", path);
        SAE_TRY(safetensors_open(&a.st, file, err));
        SAE_TRY(pick_tensor(&a, name, err));
    }
    *out = a;
    a = (array_file){0};
done:
    array_close(&a);
    mem_free(file);
    return status;
}

void array_close(array_file *a)
{
    if (!a) return;
    npy_close(&a->a);
    safetensors_close(a->st);
    *a = (array_file){0};
}
