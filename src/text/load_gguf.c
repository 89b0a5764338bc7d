/* load_gguf.c - a byte-level BPE tokenizer from the metadata of a GGUF file (keys tokenizer.ggml.*). */
#include "text/tokenizer.h"
#include "io/io.h"

#include <string.h>

/* llama.cpp's enum llama_token_type. */
static const token_kind kind_of_type[] = {TOKEN_NORMAL,  /* 0 undefined */
                                          TOKEN_NORMAL,  /* 1 normal */
                                          TOKEN_SPECIAL, /* 2 unknown */
                                          TOKEN_SPECIAL, /* 3 control */
                                          TOKEN_ADDED,   /* 4 user defined */
                                          TOKEN_UNUSED,  /* 5 unused */
                                          TOKEN_NORMAL}; /* 6 byte */

static bool equals(const char *text, size_t size, const char *word)
{
    return size == strlen(word) && memcmp(text, word, size) == 0;
}

static sae_status check_model(const gguf *g, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *model = NULL;
    size_t size = 0;

    SAE_TRY(gguf_string_or_null(g, "tokenizer.ggml.model", &model, &size, err));
    if (!model) SAE_RAISE(err, SAE_FORMAT, "%s: holds no tokenizer (no tokenizer.ggml.model)", gguf_path(g));
    if (equals(model, size, "gpt2")) goto done;
    SAE_RAISE(
        err, SAE_UNSUPPORTED,
        "%s: its tokenizer is of type \"%.*s\"%s; only byte-level BPE (\"gpt2\") can be read. Give token ids made "
        "elsewhere, or another model",
        gguf_path(g), size < 40 ? (int)size : 40, model, equals(model, size, "llama") ? " (SentencePiece)" : "");
done:
    return status;
}

static sae_status load_tokens(sae_tokenizer *tok, const gguf *g, sae_error *err)
{
    const char *path = gguf_path(g);
    sae_status status = SAE_OK;
    int64_t n = 0, n_types = 0;

    SAE_TRY(gguf_array_count(g, "tokenizer.ggml.tokens", &n, err));
    SAE_TRY(gguf_array_count(g, "tokenizer.ggml.token_type", &n_types, err));
    if (n_types != 0 && n_types != n)
        SAE_RAISE(err, SAE_FORMAT, "%s: %lld tokens, but %lld token types", path, (long long)n, (long long)n_types);
    SAE_TRY(vocab_create(&tok->vocab, n, path, err));
    for (int64_t id = 0; id < n; id++) {
        const char *name = NULL;
        size_t size = 0;
        int64_t type = 1;
        token_kind kind;
        SAE_TRY(gguf_array_string(g, "tokenizer.ggml.tokens", id, &name, &size, err));
        if (n_types) SAE_TRY(gguf_array_int(g, "tokenizer.ggml.token_type", id, &type, err));
        if (type < 0 || type >= (int64_t)(sizeof kind_of_type / sizeof kind_of_type[0]))
            SAE_RAISE(err, SAE_FORMAT, "%s: token %lld has type %lld; expected 0 to 6", path, (long long)id,
                      (long long)type);
        kind = kind_of_type[type];
        SAE_TRY(vocab_add(&tok->vocab, id, name, size, kind, path, err));
        if (kind == TOKEN_SPECIAL || kind == TOKEN_ADDED)
            SAE_TRY(added_set_add(&tok->raw, (added_token){.id = (int32_t)id, .special = kind == TOKEN_SPECIAL}, err));
    }
done:
    return status;
}

static sae_status load_merges(sae_tokenizer *tok, const gguf *g, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t n = 0;

    SAE_TRY(gguf_array_count(g, "tokenizer.ggml.merges", &n, err));
    if (n == 0) SAE_RAISE(err, SAE_FORMAT, "%s: no merges (tokenizer.ggml.merges)", gguf_path(g));
    SAE_TRY(bpe_create(tok->bpe, &tok->vocab, (size_t)n, err));
    for (int64_t i = 0; i < n; i++) {
        const char *merge = NULL;
        size_t size = 0;
        SAE_TRY(gguf_array_string(g, "tokenizer.ggml.merges", i, &merge, &size, err));
        SAE_TRY(bpe_add_merge_text(tok->bpe, &tok->vocab, (size_t)i, merge, size, gguf_path(g), err));
    }
done:
    return status;
}

static sae_status load_id(const gguf *g, const char *key, int32_t n_vocab, int32_t *id, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t value = -1;

    SAE_TRY(gguf_int_or(g, key, -1, &value, err));
    if (value >= n_vocab || value < -1)
        SAE_RAISE(err, SAE_FORMAT, "%s: %s is %lld; the vocabulary has ids 0 to %d", gguf_path(g), key,
                  (long long)value, n_vocab - 1);
    *id = (int32_t)value;
done:
    return status;
}

sae_status tokenizer_load_gguf(sae_tokenizer *tok, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *pre = NULL;
    size_t size = 0;
    gguf *g = NULL;

    SAE_TRY(gguf_open(&g, path, err));
    SAE_TRY(check_model(g, err));
    SAE_TRY(load_tokens(tok, g, err));
    SAE_TRY(load_merges(tok, g, err));
    SAE_TRY(gguf_string_or_null(g, "tokenizer.ggml.pre", &pre, &size, err));
    SAE_TRY(pre ? pretokenizer_named(&tok->pre, pre, size, path, err)
                : pretokenizer_named(&tok->pre, "default", strlen("default"), path, err));
    SAE_TRY(load_id(g, "tokenizer.ggml.bos_token_id", tok->vocab.n, &tok->vocab.bos, err));
    SAE_TRY(load_id(g, "tokenizer.ggml.eos_token_id", tok->vocab.n, &tok->vocab.eos, err));
    tokenizer_finish(tok);
done:
    gguf_close(g);
    return status;
}
