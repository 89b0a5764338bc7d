/*
 * load_json.c - a byte-level BPE tokenizer from Hugging Face's tokenizer.json, or from GPT-2's vocab.json and merges.txt.
 * Whatever would change the ids and is not implemented is refused by name; post-processors and decoders are not read,
 * because encoding adds nothing and decoding gives exact bytes.
 */
#include "text/tokenizer.h"
#include "io/io.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* ---- Vocabulary and added tokens --------------------------------------------------------------------------------------------- */

/* One more than the largest id of the vocabulary and the added tokens. */
static sae_status count_ids(const json_t *vocabulary, const json_t *added, const char *file, int64_t *n, sae_error *err)
{
    int64_t limit = (int64_t)(json_object_size(vocabulary) + json_array_size(added)) + 65536, largest = -1, id;
    const char *name;
    json_t *value;
    size_t i;

    json_object_foreach((json_t *)vocabulary, name, value)
    {
        if (!json_is_integer(value))
            return SAE_FAIL(err, SAE_FORMAT, "%s: the id of token \"%.60s\" is not a whole number", file, name);
        id = (int64_t)json_integer_value(value);
        if (id < 0 || id >= limit) goto outside;
        if (id > largest) largest = id;
    }
    json_array_foreach(added, i, value)
    {
        name = json_string_value(json_object_get(value, "content"));
        if (!name || !json_is_integer(json_object_get(value, "id")))
            return SAE_FAIL(err, SAE_FORMAT, "%s: added token %zu needs a text \"content\" and a number \"id\"", file,
                            i);
        id = (int64_t)json_integer_value(json_object_get(value, "id"));
        if (id < 0 || id >= limit) goto outside;
        if (id > largest) largest = id;
    }
    *n = largest + 1;
    return SAE_OK;
outside:
    return SAE_FAIL(err, SAE_FORMAT,
                    "%s: token \"%.60s\" has id %lld; expected 0 to %lld for a vocabulary of this size", file, name,
                    (long long)id, (long long)limit - 1);
}

/* A token that is looked for after normalisation must be in normal form itself. */
static sae_status check_composed(const char *text, size_t size, const char *file, sae_error *err)
{
    utf8proc_uint8_t *composed = NULL;
    utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)size, &composed,
                                      UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    bool same = n == (utf8proc_ssize_t)size && memcmp(composed, text, size) == 0;

    free(composed);
    if (same) return SAE_OK;
    return SAE_FAIL(err, SAE_UNSUPPORTED, "%s: the added token \"%.60s\" is not in Unicode normal form C", file, text);
}

static sae_status load_added(sae_tokenizer *tok, const json_t *added, const char *file, sae_error *err)
{
    sae_status status = SAE_OK;
    const json_t *entry;
    size_t i;

    json_array_foreach(added, i, entry)
    {
        const json_t *content = json_object_get(entry, "content");
        const char *name = json_string_value(content);
        size_t size = json_string_length(content);
        added_token new = {.id = (int32_t)json_integer_value(json_object_get(entry, "id"))};
        bool normalized = false;
        SAE_TRY(json_get_bool(entry, "special", false, &new.special, file, err));
        SAE_TRY(json_get_bool(entry, "lstrip", false, &new.lstrip, file, err));
        SAE_TRY(json_get_bool(entry, "rstrip", false, &new.rstrip, file, err));
        SAE_TRY(json_get_bool(entry, "single_word", false, &new.single_word, file, err));
        SAE_TRY(json_get_bool(entry, "normalized", !new.special, &normalized, file, err));
        SAE_TRY(vocab_add(&tok->vocab, new.id, name, size, new.special ? TOKEN_SPECIAL : TOKEN_ADDED, file, err));
        if (normalized && tok->nfc) SAE_TRY(check_composed(name, size, file, err));
        SAE_TRY(added_set_add(normalized ? &tok->normalized : &tok->raw, new, err));
    }
done:
    return status;
}

/* Added tokens may stand in the vocabulary too, with the same id. */
static sae_status load_vocabulary(sae_tokenizer *tok, const json_t *vocabulary, const json_t *added, const char *file,
                                  sae_error *err)
{
    sae_status status = SAE_OK;
    const char *name;
    json_t *value;
    int64_t n = 0;

    if (!json_is_object(vocabulary)) SAE_RAISE(err, SAE_FORMAT, "%s: the vocabulary is not an object", file);
    if (added && !json_is_null(added) && !json_is_array(added))
        SAE_RAISE(err, SAE_FORMAT, "%s: \"added_tokens\" is not a list", file);
    SAE_TRY(count_ids(vocabulary, added, file, &n, err));
    SAE_TRY(vocab_create(&tok->vocab, n, file, err));
    SAE_TRY(load_added(tok, added, file, err));
    json_object_foreach((json_t *)vocabulary, name, value)
    {
        size_t size = strlen(name);
        if (vocab_find(&tok->vocab, name, size) != json_integer_value(value))
            SAE_TRY(vocab_add(&tok->vocab, json_integer_value(value), name, size, TOKEN_NORMAL, file, err));
    }
done:
    return status;
}

/* ---- tokenizer.json ----------------------------------------------------------------------------------------------------------- */

/* {"type": "NFC"}, nothing, or a Sequence of these. */
static sae_status load_normalizer(sae_tokenizer *tok, const json_t *config, const char *file, sae_error *err)
{
    const char *type = json_string_value(json_object_get(config, "type"));
    sae_status status = SAE_OK;

    if (!config || json_is_null(config)) return SAE_OK;
    if (type && strcmp(type, "NFC") == 0) {
        tok->nfc = true;
    } else if (type && strcmp(type, "Sequence") == 0) {
        const json_t *list = json_object_get(config, "normalizers");
        for (size_t i = 0; i < json_array_size(list); i++)
            SAE_TRY(load_normalizer(tok, json_array_get(list, i), file, err));
    } else {
        SAE_RAISE(err, SAE_UNSUPPORTED, "%s: normalizer \"%.40s\" is not known; known are NFC and Sequence", file,
                  type ? type : "");
    }
done:
    return status;
}

/* Members of "model" that change the ids: they must be absent or say no. */
static sae_status check_model(const json_t *model, const char *file, sae_error *err)
{
    static const char *const refused[] = {
        "dropout", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback", "ignore_merges"};
    const char *type = json_string_value(json_object_get(model, "type"));

    if (!json_is_object(model)) return SAE_FAIL(err, SAE_FORMAT, "%s: no \"model\": not a tokenizer.json", file);
    /* Files written before types were named hold merges. */
    if (type ? strcmp(type, "BPE") != 0 : !json_object_get(model, "merges"))
        return SAE_FAIL(err, SAE_UNSUPPORTED, "%s: a tokenizer of type \"%.40s\"; only byte-level BPE can be read",
                        file, type ? type : "");
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        const json_t *value = json_object_get(model, refused[i]);
        bool no = !value || json_is_null(value) || json_is_false(value) ||
                  (json_is_string(value) && json_string_length(value) == 0) ||
                  (json_is_number(value) && json_number_value(value) == 0);
        if (!no)
            return SAE_FAIL(err, SAE_UNSUPPORTED, "%s: \"model\" has \"%s\", which is not known", file, refused[i]);
    }
    return SAE_OK;
}

static sae_status load_merges(sae_tokenizer *tok, const json_t *merges, const char *file, sae_error *err)
{
    sae_status status = SAE_OK;
    const json_t *merge;
    size_t i;

    if (!json_is_array(merges)) SAE_RAISE(err, SAE_FORMAT, "%s: \"model\" has no list \"merges\"", file);
    SAE_TRY(bpe_create(tok->bpe, &tok->vocab, json_array_size(merges), err));
    json_array_foreach(merges, i, merge)
    {
        const json_t *left = json_array_get(merge, 0), *right = json_array_get(merge, 1);
        if (json_is_string(merge))
            SAE_TRY(bpe_add_merge_text(tok->bpe, &tok->vocab, i, json_string_value(merge), json_string_length(merge),
                                       file, err));
        else if (json_array_size(merge) == 2 && json_is_string(left) && json_is_string(right))
            SAE_TRY(bpe_add_merge(tok->bpe, &tok->vocab, i, json_string_value(left), json_string_length(left),
                                  json_string_value(right), json_string_length(right), file, err));
        else
            SAE_RAISE(err, SAE_FORMAT, "%s: merge %zu is neither \"a b\" nor [\"a\", \"b\"]", file, i);
    }
done:
    return status;
}

/* A special token in tokenizer_config.json: "x" or {"content": "x"}. -1 when it is not there. */
static int32_t named_token(const vocab *v, const json_t *config, const char *key)
{
    const json_t *value = json_object_get(config, key);

    if (json_is_object(value)) value = json_object_get(value, "content");
    return json_is_string(value) ? vocab_find(v, json_string_value(value), json_string_length(value)) : -1;
}

/* BOS and EOS stand in tokenizer_config.json beside the file, when there is one. */
static sae_status load_config(sae_tokenizer *tok, const char *path, sae_error *err)
{
    const char *slash = strrchr(path, '/');
    sae_status status = SAE_OK;
    json_t *config = NULL;
    char *folder = mem_strdup(slash ? path : ".", err), *config_path = NULL;

    if (!folder) return SAE_NOMEM;
    if (slash) folder[slash - path + (slash == path)] = 0;
    config_path = path_join(folder, "tokenizer_config.json", err);
    if (!config_path) status = SAE_NOMEM;
    if (!config_path || !file_exists(config_path)) goto done;
    SAE_TRY(json_read_file(&config, config_path, err));
    tok->vocab.bos = named_token(&tok->vocab, config, "bos_token");
    tok->vocab.eos = named_token(&tok->vocab, config, "eos_token");
done:
    json_decref(config);
    mem_free(config_path);
    mem_free(folder);
    return status;
}

sae_status tokenizer_load_json(sae_tokenizer *tok, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    const json_t *model, *unknown;
    json_t *root = NULL;

    SAE_TRY(json_read_file(&root, path, err));
    model = json_object_get(root, "model");
    SAE_TRY(check_model(model, path, err));
    SAE_TRY(load_normalizer(tok, json_object_get(root, "normalizer"), path, err));
    SAE_TRY(load_vocabulary(tok, json_object_get(model, "vocab"), json_object_get(root, "added_tokens"), path, err));
    unknown = json_object_get(model, "unk_token");
    if (json_is_string(unknown))
        tok->vocab.unknown = vocab_find(&tok->vocab, json_string_value(unknown), json_string_length(unknown));
    SAE_TRY(load_merges(tok, json_object_get(model, "merges"), path, err));
    SAE_TRY(pretokenizer_from_json(&tok->pre, json_object_get(root, "pre_tokenizer"), path, err));
    SAE_TRY(load_config(tok, path, err));
    tokenizer_finish(tok);
done:
    json_decref(root);
    return status;
}

/* ---- vocab.json and merges.txt -------------------------------------------------------------------------------------------------- */

/* Lines of merges.txt; the first may name a version. */
static sae_status load_merges_text(sae_tokenizer *tok, const char *text, size_t bytes, const char *file, sae_error *err)
{
    sae_status status = SAE_OK;
    size_t n_lines = 1, rank = 0;

    for (size_t i = 0; i < bytes; i++) n_lines += text[i] == '\n';
    SAE_TRY(bpe_create(tok->bpe, &tok->vocab, n_lines, err));
    for (const char *line = text, *end = text + bytes; line < end;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *stop = newline ? newline : end, *last = stop;
        if (last > line && last[-1] == '\r') last--;
        if (last > line && !(line == text && strncmp(line, "#version", 8) == 0))
            SAE_TRY(bpe_add_merge_text(tok->bpe, &tok->vocab, rank++, line, (size_t)(last - line), file, err));
        line = stop + 1;
    }
done:
    return status;
}

/* GPT-2's own files name no special token: `<|endoftext|>` is known to be its only one. */
sae_status tokenizer_load_gpt2(sae_tokenizer *tok, const char *vocab_path, const char *merges_path, sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *vocabulary = NULL, *added = NULL;
    const json_t *end;
    char *merges = NULL;
    size_t bytes = 0;

    SAE_TRY(json_read_file(&vocabulary, vocab_path, err));
    end = json_object_get(vocabulary, "<|endoftext|>");
    if (json_is_integer(end)) {
        added = json_pack("[{s:s, s:I, s:b}]", "content", "<|endoftext|>", "id", json_integer_value(end), "special", 1);
        if (!added) SAE_RAISE(err, SAE_NOMEM, "no memory for the added tokens");
    }
    SAE_TRY(load_vocabulary(tok, vocabulary, added, vocab_path, err));
    SAE_TRY(file_read_all(merges_path, (size_t)1 << 28, &merges, &bytes, err));
    SAE_TRY(load_merges_text(tok, merges, bytes, merges_path, err));
    SAE_TRY(pretokenizer_named(&tok->pre, "gpt-2", strlen("gpt-2"), vocab_path, err));
    tok->vocab.bos = tok->vocab.eos = vocab_find(&tok->vocab, "<|endoftext|>", strlen("<|endoftext|>"));
    tokenizer_finish(tok);
done:
    mem_free(merges);
    json_decref(added);
    json_decref(vocabulary);
    return status;
}
