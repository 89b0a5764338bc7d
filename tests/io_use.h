/*
 * io_use.h - for the tests and fuzzers of io: files built byte by byte, and readers driven over every part of a file.
 */
#ifndef SAE_IO_USE_H
#define SAE_IO_USE_H

#include "io/io.h"
#include "kernels/dequant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define UNUSED __attribute__((unused)) /* each test uses some of these */

/* ---- Bytes that grow ------------------------------------------------------------------------------------------------- */

typedef struct bytes {
    unsigned char *data;
    size_t n;
} bytes;

UNUSED static void put(bytes *b, const void *data, size_t n)
{
    if (n == 0) return;
    b->data = realloc(b->data, b->n + n);
    if (!b->data) abort();
    if (data)
        memcpy(b->data + b->n, data, n);
    else
        memset(b->data + b->n, 0, n);
    b->n += n;
}

UNUSED static void put_text(bytes *b, const char *text) { put(b, text, strlen(text)); }
UNUSED static void put_u32(bytes *b, uint32_t x) { put(b, &x, sizeof x); }
UNUSED static void put_u64(bytes *b, uint64_t x) { put(b, &x, sizeof x); }
UNUSED static void pad_to(bytes *b, size_t alignment) { put(b, NULL, (alignment - b->n % alignment) % alignment); }

UNUSED static void bytes_free(bytes *b)
{
    free(b->data);
    *b = (bytes){0};
}

/* A file in memory with these contents: its path lasts until the next call. */
UNUSED static const char *memory_file(const bytes *b)
{
    static int fd = -1;
    static char path[64];

    if (fd < 0) fd = memfd_create("test", 0);
    if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, b->data ? b->data : (void *)"", b->n, 0) != (ssize_t)b->n)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return path;
}

/* ---- Valid files ------------------------------------------------------------------------------------------------------- */

/* A safetensors file with this header and n bytes of data. */
UNUSED static bytes safetensors_bytes(const char *header, size_t n)
{
    bytes b = {0};

    put_u64(&b, strlen(header));
    put_text(&b, header);
    put(&b, NULL, n);
    return b;
}

#define NPY(descr, order, shape) "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }"

/* A .npy file, version 1, with this dict and n bytes of data. */
UNUSED static bytes npy_bytes(const char *dict, size_t n)
{
    bytes b = {0};
    uint16_t length = (uint16_t)(strlen(dict) + 1);

    put(&b, "\x93NUMPY\x01\x00", 8);
    put(&b, &length, 2);
    put_text(&b, dict);
    put_text(&b, "\n");
    put(&b, NULL, n);
    return b;
}

UNUSED static void gguf_begin(bytes *b, uint32_t version, uint64_t n_tensors, uint64_t n_keys)
{
    put_text(b, "GGUF");
    put_u32(b, version);
    put_u64(b, n_tensors);
    put_u64(b, n_keys);
}

UNUSED static void gguf_text(bytes *b, const char *text)
{
    put_u64(b, strlen(text));
    put_text(b, text);
}

UNUSED static void gguf_key_u32(bytes *b, const char *key, uint32_t value)
{
    gguf_text(b, key);
    put_u32(b, 4);
    put_u32(b, value);
}

/* Two dimensions, the fastest first, as in the file. */
UNUSED static void gguf_info(bytes *b, const char *name, uint64_t fast, uint64_t slow, uint32_t type, uint64_t offset)
{
    gguf_text(b, name);
    put_u32(b, 2);
    put_u64(b, fast);
    put_u64(b, slow);
    put_u32(b, type);
    put_u64(b, offset);
}

/* One value of each type, arrays, and a tensor of each readable kind. */
UNUSED static bytes gguf_example(void)
{
    static const struct {
        uint32_t type, bytes;
    } plain[] = {{0, 1}, {1, 1}, {2, 2}, {3, 2}, {4, 4}, {5, 4}, {6, 4}, {7, 1}, {10, 8}, {11, 8}, {12, 8}};
    static const unsigned char value[8] = {1, 0, 0, 0, 0, 0, 0xf0, 0x3f};
    bytes b = {0};
    char key[32];

    gguf_begin(&b, 3, 4, 14);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        snprintf(key, sizeof key, "test.value_%u", plain[i].type);
        gguf_text(&b, key);
        put_u32(&b, plain[i].type);
        put(&b, value, plain[i].bytes);
    }
    gguf_text(&b, "general.architecture");
    put_u32(&b, 8);
    gguf_text(&b, "llama");
    gguf_text(&b, "test.strings");
    put_u32(&b, 9);
    put_u32(&b, 8);
    put_u64(&b, 3);
    gguf_text(&b, "a");
    gguf_text(&b, "");
    gguf_text(&b, "ccc");
    gguf_text(&b, "test.ints");
    put_u32(&b, 9);
    put_u32(&b, 5);
    put_u64(&b, 2);
    put_u32(&b, 7);
    put_u32(&b, (uint32_t)-8);
    gguf_info(&b, "a.f32", 3, 2, 0, 0);     /* 24 bytes */
    gguf_info(&b, "b.f16", 2, 2, 1, 32);    /* 8 */
    gguf_info(&b, "c.q8_0", 32, 2, 8, 64);  /* 68 */
    gguf_info(&b, "d.q4_1", 32, 1, 3, 160); /* 20 */
    pad_to(&b, 32);
    for (int i = 0; i < 180; i++) put(&b, &(unsigned char){(unsigned char)(i * 7)}, 1);
    return b;
}

UNUSED static bytes zstd_frame(const void *data, size_t n)
{
    bytes b = {0};

    put(&b, NULL, ZSTD_compressBound(n));
    b.n = ZSTD_compress(b.data, b.n, data, n, 3);
    if (ZSTD_isError(b.n)) abort();
    return b;
}

UNUSED static bytes gzip_member(const void *data, size_t n)
{
    bytes b = {0};
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)data, .avail_in = (unsigned int)n};

    if (deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) abort();
    put(&b, NULL, deflateBound(&z, n));
    z.next_out = b.data;
    z.avail_out = (unsigned int)b.n;
    if (deflate(&z, Z_FINISH) != Z_STREAM_END) abort();
    b.n = z.total_out;
    deflateEnd(&z);
    return b;
}

/* Text with lines of many lengths, some longer than every buffer, with NUL and without newline at the end. */
UNUSED static bytes long_text(void)
{
    bytes b = {0};
    rng r = rng_seed(3, 0);

    for (int i = 0; i < 600; i++) {
        size_t n = rng_below(&r, 100) ? rng_below(&r, 700) : rng_below(&r, 400000);
        put(&b, NULL, n);
        for (size_t j = 0; j < n; j++) b.data[b.n - n + j] = (unsigned char)(j % 251 == 10 ? 0 : j % 251);
        put(&b, "\n", 1);
    }
    put_text(&b, "end");
    return b;
}

/* ---- Readers driven over all of a file: every byte of it is touched, every call made ------------------------------------- */

/* Reads what a reader says is there. */
static void touch(const tensor *t)
{
    float *values = malloc((size_t)tensor_count(t) * sizeof *values + 1);

    if (!values) abort();
    dequant_f32(t->type, t->data, tensor_count(t), values);
    free(values);
}

UNUSED static sae_status use_safetensors(const char *path, sae_error *err)
{
    safetensors *st;
    sae_status status = safetensors_open(&st, path, err);

    if (status != SAE_OK) return status;
    for (int i = 0; i < safetensors_count(st); i++) {
        const tensor *t = safetensors_at(st, i);
        if (safetensors_find(st, t->name) != t) abort();
        touch(t);
    }
    safetensors_metadata(st);
    safetensors_close(st);
    return SAE_OK;
}

static void count_key(void *user, const char *key, const char *type, const char *value)
{
    *(size_t *)user += strlen(key) + strlen(type) + strlen(value);
}

UNUSED static void use_key(const gguf *g, const char *key)
{
    const char *text;
    size_t n;
    int64_t whole, count = 0;
    double real;

    gguf_int(g, key, &whole, NULL);
    gguf_float_or(g, key, 0, &real, NULL);
    if (gguf_string_or_null(g, key, &text, &n, NULL) == SAE_OK && text) free(strndup(text, n));
    if (gguf_array_count(g, key, &count, NULL) != SAE_OK) return;
    for (int64_t i = -1; i <= count; i++) {
        if (gguf_array_string(g, key, i, &text, &n, NULL) == SAE_OK) free(strndup(text, n));
        gguf_array_int(g, key, i, &whole, NULL);
    }
}

UNUSED static sae_status use_gguf(const char *path, sae_error *err)
{
    static const char *const keys[] = {"test.value_4", "test.value_6",         "test.value_10", "test.value_12",
                                       "test.strings", "general.architecture", "test.ints",     "absent"};
    gguf *g;
    size_t n = 0;
    sae_status status = gguf_open(&g, path, err);

    if (status != SAE_OK) return status;
    gguf_each_key(g, count_key, &n);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) use_key(g, keys[i]);
    for (int64_t i = 0; i < gguf_tensor_count(g); i++) {
        const tensor *t = gguf_at(g, i);
        if (gguf_find(g, t->name) != t) abort();
        touch(t);
    }
    gguf_close(g);
    return SAE_OK;
}

UNUSED static sae_status use_npy(const char *path, sae_error *err)
{
    npy a;
    sae_status status = npy_open(&a, path, err);

    if (status != SAE_OK) return status;
    touch(&a.t);
    npy_close(&a);
    return SAE_OK;
}

/* Every line of a stream, each of them as JSON if it is that. */
UNUSED static sae_status use_stream(const char *path, sae_error *err)
{
    stream *s;
    const char *line;
    size_t n, total = 0;
    sae_status status = stream_open(&s, path, err);

    if (status != SAE_OK) return status;
    while ((status = stream_line(s, &line, &n, err)) == SAE_OK && line && (total += n) < (size_t)8 << 20) {
        json_t *value = NULL;
        if (line[n] != '\0') abort();
        if (json_parse(&value, line, n, "line", NULL) == SAE_OK) json_decref(value);
    }
    stream_close(s);
    return status;
}

UNUSED static sae_status use_json(const char *path, sae_error *err)
{
    json_t *value = NULL;
    sae_status status = json_read_file(&value, path, err);

    if (status == SAE_OK) json_decref(value);
    return status;
}

/* ---- One valid file of each format ------------------------------------------------------------------------------------------ */

typedef struct format {
    const char *name;
    bytes valid;
    sae_status (*use)(const char *, sae_error *);
    bool exact; /* no proper prefix is valid */
} format;
enum { N_FORMATS = 6 };

UNUSED static void make_formats(format *f)
{
    const char lines[] = "{\"text\": \"one\", \"meta\": {\"n\": [1, 2.5e3, null, true]}}\n{\"text\": \"\\u00e9\"}\n";
    const char st[] = "{\"__metadata__\":{\"format\":\"pt\"},\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],"
                      "\"data_offsets\":[0,24]},\"b\":{\"dtype\":\"BF16\",\"shape\":[5],\"data_offsets\":[24,34]}}  ";

    f[0] = (format){"safetensors", safetensors_bytes(st, 34), use_safetensors, true};
    f[1] = (format){"gguf", gguf_example(), use_gguf, true};
    f[2] = (format){"npy", npy_bytes(NPY("'<f4'", "False", "(2, 3)"), 24), use_npy, true};
    f[3] = (format){"jsonl", {0}, use_stream, false};
    put_text(&f[3].valid, lines);
    f[4] = (format){"zstd", zstd_frame(lines, sizeof lines - 1), use_stream, false};
    f[5] = (format){"gzip", gzip_member(lines, sizeof lines - 1), use_stream, false};
}

UNUSED static void free_formats(format *f)
{
    for (int i = 0; i < N_FORMATS; i++) bytes_free(&f[i].valid);
}

#endif
