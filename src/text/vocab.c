/* vocab.c - ids, bytes and kinds of tokens, and their names while a file is read. Invariant: a name stands for one id. */
#include "text/tokenizer.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <string.h>

/* ---- Lists of ids ------------------------------------------------------------------------------------------------------- */

sae_status id_list_reserve(id_list *list, size_t more, sae_error *err)
{
    size_t capacity = list->capacity ? list->capacity : 256;
    int32_t *ids;

    if (more <= list->capacity - list->n) return SAE_OK;
    while (capacity - list->n < more) {
        if (capacity > SIZE_MAX / 16) return SAE_FAIL(err, SAE_NOMEM, "no memory for %zu token ids", more);
        capacity *= 2;
    }
    ids = mem_grow(list->ids, list->n * sizeof *ids, capacity * sizeof *ids, "token ids", err);
    if (!ids) return SAE_NOMEM;
    list->ids = ids;
    list->capacity = capacity;
    return SAE_OK;
}

sae_status id_list_add(id_list *list, const int32_t *ids, size_t n, sae_error *err)
{
    sae_status status = id_list_reserve(list, n, err);

    if (status != SAE_OK || n == 0) return status;
    memcpy(list->ids + list->n, ids, n * sizeof *ids);
    list->n += n;
    return SAE_OK;
}

void id_list_free(id_list *list)
{
    mem_free(list->ids);
    *list = (id_list){0};
}

/* ---- GPT-2's table of bytes ------------------------------------------------------------------------------------------- */

/* Bytes that are printable in Latin-1 stand for themselves, the 68 others for U+0100 and on, in order. */
static bool is_printable(unsigned byte)
{
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

static unsigned code_of_byte(unsigned char byte)
{
    unsigned code = 0x100;

    if (is_printable(byte)) return byte;
    for (unsigned b = 0; b < byte; b++)
        if (!is_printable(b)) code++;
    return code;
}

size_t vocab_byte_name(unsigned char byte, char name[2])
{
    unsigned code = code_of_byte(byte);

    if (code < 0x80) {
        name[0] = (char)code;
        return 1;
    }
    name[0] = (char)(0xc0 | code >> 6);
    name[1] = (char)(0x80 | (code & 0x3f));
    return 2;
}

/* Writes the bytes that a name stands for; false when it has a character outside the table. */
static bool name_to_bytes(const uint16_t byte_of_code[VOCAB_CODES], const char *name, size_t size, char *bytes,
                          uint32_t *n)
{
    uint32_t count = 0;

    for (size_t i = 0; i < size; i++) {
        unsigned c = (unsigned char)name[i];
        if (c >= 0x80) { /* all codes of the table lie below U+0144: two bytes of UTF-8 */
            if (c < 0xc2 || c > 0xc5 || i + 1 >= size || ((unsigned char)name[i + 1] & 0xc0) != 0x80) return false;
            c = (c & 0x1f) << 6 | ((unsigned char)name[++i] & 0x3f);
        }
        if (c >= VOCAB_CODES || byte_of_code[c] == 0) return false;
        bytes[count++] = (char)(byte_of_code[c] - 1);
    }
    *n = count;
    return true;
}

/* ---- The vocabulary ------------------------------------------------------------------------------------------------------ */

sae_status vocab_create(vocab *v, int64_t n, const char *file, sae_error *err)
{
    size_t places = 16;
    sae_status status = SAE_OK;

    *v = (vocab){.bos = -1, .eos = -1, .unknown = -1};
    if (n < 1 || n > 1 << 26)
        return SAE_FAIL(err, SAE_FORMAT, "%s: a vocabulary of %lld tokens; expected 1 to %d", file, (long long)n,
                        1 << 26);
    v->n = (int32_t)n;
    for (unsigned b = 0; b < 256; b++) v->byte_of_code[code_of_byte((unsigned char)b)] = (uint16_t)(b + 1);
    while (places < 2 * (size_t)n) places *= 2;
    v->mask = places - 1;
    v->tokens = mem_alloc_array((size_t)n, sizeof *v->tokens, "the vocabulary", err);
    v->names = mem_alloc_array((size_t)n, sizeof *v->names, "the vocabulary's names", err);
    v->name_sizes = mem_alloc_array((size_t)n, sizeof *v->name_sizes, "the vocabulary's names", err);
    v->by_name = mem_alloc_array(places, sizeof *v->by_name, "the vocabulary's index", err);
    if (!v->tokens || !v->names || !v->name_sizes || !v->by_name) status = SAE_NOMEM;
    if (v->by_name) memset(v->by_name, 0xff, places * sizeof *v->by_name);
    return status;
}

void vocab_forget_names(vocab *v)
{
    mem_free(v->names);
    mem_free(v->name_sizes);
    mem_free(v->by_name);
    v->names = NULL;
    v->name_sizes = NULL;
    v->by_name = NULL;
}

void vocab_free(vocab *v)
{
    vocab_forget_names(v);
    mem_free(v->tokens);
    mem_free(v->bytes);
    *v = (vocab){0};
}

/* The place of a name in the index: where it stands, or the empty one where it would. */
static size_t name_place(const vocab *v, const char *name, size_t size)
{
    size_t place = XXH3_64bits(name, size) & v->mask;

    for (; v->by_name[place] >= 0; place = (place + 1) & v->mask) {
        int32_t id = v->by_name[place];
        if (v->name_sizes[id] == size && memcmp(v->names[id], name, size) == 0) break;
    }
    return place;
}

int32_t vocab_find(const vocab *v, const char *name, size_t size) { return v->by_name[name_place(v, name, size)]; }

static sae_status bytes_reserve(vocab *v, size_t more, sae_error *err)
{
    size_t capacity = v->capacity ? v->capacity : 1 << 16;
    char *bytes;

    if (more <= v->capacity - v->n_bytes) return SAE_OK;
    while (capacity - v->n_bytes < more) capacity *= 2;
    bytes = mem_grow(v->bytes, v->n_bytes, capacity, "the vocabulary's bytes", err);
    if (!bytes) return SAE_NOMEM;
    v->bytes = bytes;
    v->capacity = capacity;
    return SAE_OK;
}

sae_status vocab_add(vocab *v, int64_t id, const char *name, size_t size, token_kind kind, const char *file,
                     sae_error *err)
{
    sae_status status = SAE_OK;
    int show = size < 60 ? (int)size : 60;
    token *t;
    size_t place;

    if (id < 0 || id >= v->n)
        SAE_RAISE(err, SAE_FORMAT, "%s: token \"%.*s\" has id %lld; expected 0 to %d", file, show, name, (long long)id,
                  v->n - 1);
    t = &v->tokens[id];
    if (t->kind != TOKEN_ABSENT)
        SAE_RAISE(err, SAE_FORMAT, "%s: two tokens have id %lld: \"%.*s\" and \"%.*s\"", file, (long long)id,
                  (int)(v->name_sizes[id] < 60 ? v->name_sizes[id] : 60), v->names[id], show, name);
    if (size == 0 || size > 1 << 20)
        SAE_RAISE(err, SAE_FORMAT, "%s: the name of token %lld has %zu bytes; expected 1 to %d", file, (long long)id,
                  size, 1 << 20);
    place = name_place(v, name, size);
    if (v->by_name[place] >= 0)
        SAE_RAISE(err, SAE_FORMAT, "%s: tokens %d and %lld have the same name \"%.*s\"", file, v->by_name[place],
                  (long long)id, show, name);

    SAE_TRY(bytes_reserve(v, size, err));
    t->start = v->n_bytes;
    t->size = (uint32_t)size;
    t->kind = (uint8_t)kind;
    /* A name that no bytes could have been written as (it holds a space, or Chinese) is taken as it stands. */
    if (kind != TOKEN_NORMAL || !name_to_bytes(v->byte_of_code, name, size, v->bytes + v->n_bytes, &t->size))
        memcpy(v->bytes + v->n_bytes, name, size);
    v->n_bytes += t->size;
    v->by_name[place] = (int32_t)id;
    v->names[id] = name;
    v->name_sizes[id] = (uint32_t)size;
    if (size > v->longest_name) v->longest_name = size;
done:
    return status;
}
