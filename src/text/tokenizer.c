/*
 * tokenizer.c - the public face of the tokenizer: opening by kind of file, encoding, decoding. Encoding cuts added tokens
 * out, normalises what is left, cuts it into words and merges each; bytes that are not UTF-8 are merged as they are.
 */
#include "text/tokenizer.h"
#include "io/io.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* ---- Opening ---------------------------------------------------------------------------------------------------------------- */

void tokenizer_finish(sae_tokenizer *tok)
{
    static const char end_of_text[] = "<|endoftext|>";
    int32_t id = vocab_find(&tok->vocab, end_of_text, sizeof end_of_text - 1);

    if (id < 0 || tok->vocab.tokens[id].kind != TOKEN_SPECIAL)
        id = tok->vocab.bos >= 0 ? tok->vocab.bos : tok->vocab.eos;
    tok->separator = id;
    added_set_sort(&tok->raw, &tok->vocab);
    added_set_sort(&tok->normalized, &tok->vocab);
    vocab_forget_names(&tok->vocab);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* vocab.json and merges.txt of a folder. */
static sae_status load_gpt2_folder(sae_tokenizer *tok, const char *folder, sae_error *err)
{
    char *vocab_path = path_join(folder, "vocab.json", err), *merges_path = NULL;
    sae_status status = SAE_NOMEM;

    if (vocab_path) merges_path = path_join(folder, "merges.txt", err);
    if (merges_path) status = tokenizer_load_gpt2(tok, vocab_path, merges_path, err);
    mem_free(merges_path);
    mem_free(vocab_path);
    return status;
}

static sae_status load_folder(sae_tokenizer *tok, const char *folder, sae_error *err)
{
    char *json = path_join(folder, "tokenizer.json", err), *merges = NULL;
    sae_status status = SAE_NOMEM;

    if (json) merges = path_join(folder, "merges.txt", err);
    if (!merges) goto done;
    if (file_exists(json))
        status = tokenizer_load_json(tok, json, err);
    else if (file_exists(merges))
        status = load_gpt2_folder(tok, folder, err);
    else
        status = SAE_FAIL(err, SAE_IO, "%s: neither tokenizer.json nor vocab.json with merges.txt is in this folder",
                          folder);
done:
    mem_free(merges);
    mem_free(json);
    return status;
}

static sae_status load_file(sae_tokenizer *tok, const char *path, sae_error *err)
{
    const char *name = base_name(path);
    sae_status status;
    char *folder;

    if (gguf_is(path)) return tokenizer_load_gguf(tok, path, err);
    if (strcmp(name, "vocab.json") != 0 && strcmp(name, "merges.txt") != 0) {
        const char *dot = strrchr(name, '.');
        if (dot && strcmp(dot, ".json") == 0) return tokenizer_load_json(tok, path, err);
        return SAE_FAIL(err, SAE_UNSUPPORTED,
                        "%s: not a tokenizer; expected a GGUF file, tokenizer.json, vocab.json beside merges.txt, or a "
                        "folder with these",
                        path);
    }
    folder = mem_strdup(name == path ? "." : path, err);
    if (!folder) return SAE_NOMEM;
    if (name != path) folder[name - path - 1 ? name - path - 1 : 1] = 0;
    status = load_gpt2_folder(tok, folder, err);
    mem_free(folder);
    return status;
}

sae_status sae_tokenizer_open(sae_tokenizer **out, const char *path, sae_error *err)
{
    sae_tokenizer *tok = mem_alloc(sizeof *tok, "a tokenizer", err);
    sae_status status = SAE_OK;

    if (!tok) return SAE_NOMEM;
    tok->bpe = mem_alloc(sizeof *tok->bpe, "a tokenizer", err);
    if (!tok->bpe)
        status = SAE_NOMEM;
    else if (file_is_folder(path))
        status = load_folder(tok, path, err);
    else if (file_exists(path))
        status = load_file(tok, path, err);
    else
        status = SAE_FAIL(err, SAE_IO, "%s: no such file or folder", path);
    if (status == SAE_OK)
        *out = tok;
    else
        sae_tokenizer_free(tok);
    return status;
}

void sae_tokenizer_free(sae_tokenizer *tok)
{
    if (!tok) return;
    added_set_free(&tok->raw);
    added_set_free(&tok->normalized);
    pretokenizer_free(&tok->pre);
    if (tok->bpe) bpe_free(tok->bpe);
    mem_free(tok->bpe);
    vocab_free(&tok->vocab);
    mem_free(tok);
}

/* ---- Encoding --------------------------------------------------------------------------------------------------------------- */

typedef struct encoding {
    const sae_tokenizer *tok;
    id_list *out;
    bool special;
} encoding;

static sae_status encode_word(void *user, const char *word, size_t size, sae_error *err)
{
    const encoding *e = user;

    return bpe_encode(e->tok->bpe, word, size, e->out, err);
}

/* What encodes text between added tokens. */
typedef sae_status (*between_fn)(encoding *e, const char *text, size_t size, sae_error *err);

/* Cuts the added tokens of `set` out of the text; the rest goes to `between`. */
static sae_status encode_added(encoding *e, const added_set *set, between_fn between, const char *text, size_t size,
                               sae_error *err)
{
    sae_status status = SAE_OK;
    added_match match = {0};
    size_t at = 0;

    while (at < size) {
        if (!added_set_find(set, text, size, at, e->special, &match))
            match = (added_match){.start = size, .end = size, .id = -1};
        if (match.start > at) SAE_TRY(between(e, text + at, match.start - at, err));
        if (match.id >= 0) SAE_TRY(id_list_add(e->out, &match.id, 1, err));
        at = match.end;
    }
done:
    return status;
}

static sae_status encode_words(encoding *e, const char *text, size_t size, sae_error *err)
{
    return pretokenizer_split(&e->tok->pre, text, size, encode_word, e, err);
}

static bool is_ascii(const char *text, size_t size)
{
    unsigned char all = 0;

    for (size_t i = 0; i < size; i++) all |= (unsigned char)text[i];
    return all < 0x80;
}

/* `text` is valid UTF-8. */
static sae_status encode_valid(encoding *e, const char *text, size_t size, sae_error *err)
{
    utf8proc_uint8_t *composed = NULL;
    utf8proc_ssize_t n;
    sae_status status;

    if (!e->tok->nfc || is_ascii(text, size))
        return encode_added(e, &e->tok->normalized, encode_words, text, size, err);
    n = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)size, &composed,
                     UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    if (n < 0) return SAE_FAIL(err, SAE_NOMEM, "Unicode normalisation of %zu bytes: %s", size, utf8proc_errmsg(n));
    status = encode_added(e, &e->tok->normalized, encode_words, (const char *)composed, (size_t)n, err);
    free(composed);
    return status;
}

static sae_status encode_between(encoding *e, const char *text, size_t size, sae_error *err)
{
    sae_status status = SAE_OK;

    for (size_t at = 0, n; at < size; at += n) {
        bool valid = true;
        n = utf8_run(text + at, size - at, &valid);
        if (valid)
            SAE_TRY(encode_valid(e, text + at, n, err));
        else
            SAE_TRY(encode_word(e, text + at, n, err));
    }
done:
    return status;
}

sae_status tokenizer_encode(const sae_tokenizer *tok, const char *text, size_t bytes, bool special, id_list *out,
                            sae_error *err)
{
    encoding e = {.tok = tok, .out = out, .special = special};

    return encode_added(&e, &tok->raw, encode_between, text, bytes, err);
}

sae_status sae_tokenizer_encode(const sae_tokenizer *tok, const char *text, size_t bytes, bool special, int32_t **ids,
                                size_t *n_ids, sae_error *err)
{
    id_list list = {0};
    sae_status status;
    int32_t *copy;

    SAE_TRY(tokenizer_encode(tok, text, bytes, special, &list, err));
    copy = malloc((list.n ? list.n : 1) * sizeof *copy);
    if (!copy) SAE_RAISE(err, SAE_NOMEM, "no memory for %zu token ids", list.n);
    if (list.n) memcpy(copy, list.ids, list.n * sizeof *copy);
    *ids = copy;
    *n_ids = list.n;
done:
    id_list_free(&list);
    return status;
}

/* ---- Decoding --------------------------------------------------------------------------------------------------------------- */

static bool is_token(const sae_tokenizer *tok, int32_t id)
{
    return id >= 0 && id < tok->vocab.n && tok->vocab.tokens[id].kind != TOKEN_ABSENT;
}

sae_status sae_tokenizer_decode(const sae_tokenizer *tok, const int32_t *ids, size_t n, char **text, size_t *bytes,
                                sae_error *err)
{
    size_t total = 0;
    char *joined;

    for (size_t i = 0; i < n; i++) {
        if (!is_token(tok, ids[i]))
            return SAE_FAIL(err, SAE_RANGE, "token id %d (number %zu of %zu) is not in the vocabulary; ids are 0 to %d",
                            ids[i], i, n, tok->vocab.n - 1);
        total += tok->vocab.tokens[ids[i]].size;
    }
    joined = malloc(total + 1);
    if (!joined) return SAE_FAIL(err, SAE_NOMEM, "no memory for %zu bytes of text", total);
    total = 0;
    for (size_t i = 0; i < n; i++) {
        const token *t = &tok->vocab.tokens[ids[i]];
        memcpy(joined + total, tok->vocab.bytes + t->start, t->size);
        total += t->size;
    }
    joined[total] = 0;
    *text = joined;
    *bytes = total;
    return SAE_OK;
}

sae_tokenizer_info sae_tokenizer_get_info(const sae_tokenizer *tok)
{
    return (sae_tokenizer_info){.n_vocab = tok->vocab.n,
                                .separator = tok->separator,
                                .bos = tok->vocab.bos,
                                .eos = tok->vocab.eos,
                                .pre = tok->pre.name};
}

bool sae_tokenizer_is_special(const sae_tokenizer *tok, int32_t id)
{
    return is_token(tok, id) && tok->vocab.tokens[id].kind == TOKEN_SPECIAL;
}
