/* test_tokenizer_files.c - files that are no tokenizer, or a wrong one: what is said of them; and memory that runs out. */
#include "text_fixture.h"

/* ---- Wrong files ------------------------------------------------------------------------------------------------------------------ */

/* Each row changes the small tokenizer.json by one member: path, JSON, what must be said. */
static const struct {
    const char *part, *member, *json;
    sae_status code;
    const char *message;
} wrong_json[] = {
    {"", "model", "null", SAE_FORMAT, "no \"model\""},
    {"", "added_tokens", "{}", SAE_FORMAT, "\"added_tokens\" is not a list"},
    {"", "added_tokens", "[{\"id\": 3}]", SAE_FORMAT, "added token 0 needs"},
    {"", "added_tokens", "[{\"id\": 3, \"content\": \"<x>\"}]", SAE_FORMAT, "two tokens have id 3"},
    {"", "added_tokens", "[{\"id\": 99999999, \"content\": \"<x>\"}]", SAE_FORMAT, "\"<x>\" has id 99999999"},
    {"", "added_tokens", "[{\"id\": -1, \"content\": \"<x>\"}]", SAE_FORMAT, "has id -1"},
    {"", "added_tokens", "[{\"id\": 300, \"content\": \"\"}]", SAE_FORMAT, "name of token 300 has 0 bytes"},
    {"", "added_tokens", "[{\"id\": 300, \"content\": \"x\"}]", SAE_FORMAT, "two tokens have id 120|same name \"x\""},
    {"", "added_tokens", "[{\"id\": 300, \"content\": \"<x>\", \"lstrip\": 1}]", SAE_FORMAT,
     "\"lstrip\" must be true or"},
    {"", "normalizer", "{\"type\": \"Lowercase\"}", SAE_UNSUPPORTED, "normalizer \"Lowercase\""},
    {"", "normalizer", "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFC\"}, {\"type\": \"NFKC\"}]}",
     SAE_UNSUPPORTED, "normalizer \"NFKC\""},
    {"", "pre_tokenizer", "null", SAE_UNSUPPORTED, "no pre-tokenizer"},
    {"", "pre_tokenizer", "{\"type\": \"Metaspace\"}", SAE_UNSUPPORTED, "pre-tokenizer \"Metaspace\""},
    {"", "pre_tokenizer", "{\"type\": \"Digits\"}", SAE_UNSUPPORTED, "no ByteLevel"},
    {"", "pre_tokenizer", "{\"type\": \"ByteLevel\"}", SAE_UNSUPPORTED, "add_prefix_space"},
    {"", "pre_tokenizer", "{\"type\": \"Sequence\"}", SAE_FORMAT, "needs a list \"pretokenizers\""},
    {"", "pre_tokenizer", "{\"type\": \"Split\", \"behavior\": \"Removed\"}", SAE_UNSUPPORTED, "behavior \"Removed\""},
    {"", "pre_tokenizer", "{\"type\": \"Split\", \"behavior\": \"Isolated\"}", SAE_FORMAT, "needs a \"pattern\""},
    {"", "pre_tokenizer", "{\"type\": \"Split\", \"behavior\": \"Isolated\", \"pattern\": {\"Regex\": \"a(b\"}}",
     SAE_UNSUPPORTED, "the pattern \"a(b\" cannot be used: missing closing parenthesis"},
    {"model", "type", "\"Unigram\"", SAE_UNSUPPORTED, "of type \"Unigram\""},
    {"model", "dropout", "0.1", SAE_UNSUPPORTED, "\"dropout\""},
    {"model", "byte_fallback", "true", SAE_UNSUPPORTED, "\"byte_fallback\""},
    {"model", "ignore_merges", "true", SAE_UNSUPPORTED, "\"ignore_merges\""},
    {"model", "continuing_subword_prefix", "\"##\"", SAE_UNSUPPORTED, "\"continuing_subword_prefix\""},
    {"model", "vocab", "[]", SAE_FORMAT, "the vocabulary is not an object"},
    {"model", "vocab", "{}", SAE_FORMAT, "a vocabulary of 0 tokens"},
    {"model", "vocab", "{\"a\": \"b\"}", SAE_FORMAT, "id of token \"a\" is not a whole number"},
    {"model", "vocab", "{\"a\": 0, \"b\": 0}", SAE_FORMAT, "two tokens have id 0: \"a\" and \"b\""},
    {"model", "vocab", "{\"a\": 1099511627776}", SAE_FORMAT, "\"a\" has id 1099511627776"},
    {"model", "merges", "null", SAE_FORMAT, "no list \"merges\""},
    {"model", "merges", "[\"ab\"]", SAE_FORMAT, "merge 0 is \"ab\"; expected two tokens"},
    {"model", "merges", "[\"a b c\"]", SAE_FORMAT, "merge 0 is \"a b c\""},
    {"model", "merges", "[\"a \"]", SAE_FORMAT, "merge 0 is \"a \""},
    {"model", "merges", "[[\"a\"]]", SAE_FORMAT, "merge 0 is neither"},
    {"model", "merges", "[\"a b\", \"a zz\"]", SAE_FORMAT, "merge 1 uses \"zz\", which is not a token"},
    {"model", "merges", "[\"z z\"]", SAE_FORMAT, "merge 0 makes \"zz\", which is not a token"},
    {"model", "merges", "[\"a b\", \"ab c\", \"a b\"]", SAE_FORMAT, "merge 2 (\"a\" and \"b\") repeats merge 0"},
};

START_TEST(test_wrong_tokenizer_json)
{
    json_t *root = small_tokenizer(NULL, NULL, NULL), *value;
    json_t *part = wrong_json[_i].part[0] ? json_object_get(root, wrong_json[_i].part) : root;
    const char *json = wrong_json[_i].json, *message = wrong_json[_i].message, *bar = strchr(message, '|');
    sae_tokenizer *tok = NULL;

    value = json_loads(json, JSON_DECODE_ANY, NULL);
    ck_assert_ptr_nonnull(value);
    json_object_set_new(part, wrong_json[_i].member, value);
    FAILS(sae_tokenizer_open(&tok, scratch_json("wrong.json", root), &err), wrong_json[_i].code,
          bar ? bar + 1 : message);
    FAILS(sae_tokenizer_open(&tok, scratch_path("wrong.json"), &err), wrong_json[_i].code, "wrong.json: ");
    ck_assert_ptr_null(tok);
    ck_assert_uint_eq(mem_in_use(), 0);
    scratch_remove();
}
END_TEST

START_TEST(test_paths_that_are_no_tokenizer)
{
    sae_tokenizer *tok = NULL;

    FAILS(sae_tokenizer_open(&tok, "no/such/file.gguf", &err), SAE_IO, "no/such/file.gguf: no such file");
    FAILS(sae_tokenizer_open(&tok, scratch_folder(), &err), SAE_IO, "neither tokenizer.json nor vocab.json");
    FAILS(sae_tokenizer_open(&tok, scratch_text("a.bin", "x"), &err), SAE_UNSUPPORTED, "a.bin: not a tokenizer");
    FAILS(sae_tokenizer_open(&tok, scratch_text("a.json", "{"), &err), SAE_FORMAT, "a.json: not valid JSON");
    FAILS(sae_tokenizer_open(&tok, scratch_text("vocab.json", "{\"a\": 0}"), &err), SAE_IO, "merges.txt");
    scratch_text("merges.txt", "#version: 0.2\na b\n");
    FAILS(sae_tokenizer_open(&tok, scratch_path("vocab.json"), &err), SAE_FORMAT, "merges.txt: merge 0 uses \"b\"");
    scratch_text("vocab.json", "{\"a\": 0, \"b\": 1, \"ab\": 2}");
    scratch_text("merges.txt", "#version: 0.2\r\na b\r\n");
    tok = open_tokenizer(scratch_path("vocab.json"));
    expect_ids(tok, "abba", 4, true, (int32_t[]){2, 1, 0}, 3);
    ck_assert_int_eq(sae_tokenizer_get_info(tok).separator, -1);
    sae_tokenizer_free(tok);
    scratch_remove();
}
END_TEST

/* ---- Small GGUF files ----------------------------------------------------------------------------------------------------------------- */

typedef struct bytes {
    unsigned char data[4096];
    size_t n;
    uint64_t n_keys;
} bytes;

static void put(bytes *b, const void *data, size_t n)
{
    ck_assert_uint_lt(b->n + n, sizeof b->data);
    memcpy(b->data + b->n, data, n);
    b->n += n;
}

static void put_u32(bytes *b, uint32_t value) { put(b, &value, 4); }
static void put_u64(bytes *b, uint64_t value) { put(b, &value, 8); }

static void put_string(bytes *b, const char *text)
{
    put_u64(b, strlen(text));
    put(b, text, strlen(text));
}

static void put_key(bytes *b, const char *key, uint32_t type)
{
    put_string(b, key);
    put_u32(b, type);
    b->n_keys++;
}

/* One string, or a list of words parted by '|', or numbers, as `kind` says: s, S, i, I. */
static void put_value(bytes *b, const char *key, char kind, const char *value)
{
    char words[300], *state = NULL;
    uint64_t n = 1;

    for (const char *c = value; *c; c++) n += *c == '|';
    put_key(b, key, kind == 's' ? 8 : kind == 'i' ? 5 : 9);
    if (kind == 'S' || kind == 'I') {
        put_u32(b, kind == 'S' ? 8 : 5);
        put_u64(b, n);
    }
    snprintf(words, sizeof words, "%s", value);
    for (char *word = strtok_r(words, "|", &state); word; word = strtok_r(NULL, "|", &state)) {
        if (kind == 's' || kind == 'S')
            put_string(b, word);
        else
            put_u32(b, (uint32_t)atoi(word));
    }
}

typedef struct gguf_row {
    const char *key;
    char kind;
    const char *value;
} gguf_row;

static const gguf_row good_gguf[] = {
    {"tokenizer.ggml.model", 's', "gpt2"},
    {"tokenizer.ggml.pre", 's', "gpt-2"},
    {"tokenizer.ggml.tokens", 'S', "a|b|ab|<s>|<u>"},
    {"tokenizer.ggml.token_type", 'I', "1|1|1|3|5"},
    {"tokenizer.ggml.merges", 'S', "a b"},
    {"tokenizer.ggml.bos_token_id", 'i', "3"},
};

/* The good file with one key changed (NULL value: left out). */
static const char *write_gguf(const gguf_row *changed)
{
    bytes body = {.n = 0}, file = {.n = 0};

    for (size_t i = 0; i < sizeof good_gguf / sizeof good_gguf[0]; i++) {
        const gguf_row *row = &good_gguf[i];
        if (changed && strcmp(changed->key, row->key) == 0) row = changed;
        if (row->value) put_value(&body, row->key, row->kind, row->value);
    }
    put(&file, "GGUF", 4);
    put_u32(&file, 3);
    put_u64(&file, 0);
    put_u64(&file, body.n_keys);
    put(&file, body.data, body.n);
    return fixture_write("small.gguf", file.data, file.n);
}

static const struct {
    gguf_row row;
    sae_status code;
    const char *message;
} wrong_gguf[] = {
    {{"tokenizer.ggml.model", 's', "llama"}, SAE_UNSUPPORTED, "its tokenizer is of type \"llama\" (SentencePiece)"},
    {{"tokenizer.ggml.model", 's', "bert"}, SAE_UNSUPPORTED, "of type \"bert\"; only byte-level BPE"},
    {{"tokenizer.ggml.model", 's', NULL}, SAE_FORMAT, "holds no tokenizer"},
    {{"tokenizer.ggml.model", 'i', "3"}, SAE_FORMAT, "tokenizer.ggml.model"},
    {{"tokenizer.ggml.pre", 's', "klingon"}, SAE_UNSUPPORTED, "pre-tokenizer \"klingon\" is not known"},
    {{"tokenizer.ggml.tokens", 'S', NULL}, SAE_FORMAT, "0 tokens, but 5 token types"},
    {{"tokenizer.ggml.tokens", 'I', "1|2|3|4|5"}, SAE_FORMAT, "tokenizer.ggml.tokens"},
    {{"tokenizer.ggml.tokens", 'S', "a|b|ab|ab|<u>"}, SAE_FORMAT, "tokens 2 and 3 have the same name \"ab\""},
    {{"tokenizer.ggml.tokens", 'S', "a|b|<s>"}, SAE_FORMAT, "3 tokens, but 5 token types"},
    {{"tokenizer.ggml.token_type", 'I', "1|1|1|3|9"}, SAE_FORMAT, "token 4 has type 9"},
    {{"tokenizer.ggml.merges", 'S', NULL}, SAE_FORMAT, "no merges"},
    {{"tokenizer.ggml.merges", 'S', "a c"}, SAE_FORMAT, "merge 0 uses \"c\", which is not a token"},
    {{"tokenizer.ggml.merges", 'S', "a b|a b"}, SAE_FORMAT, "repeats merge 0"},
    {{"tokenizer.ggml.bos_token_id", 'i', "5"}, SAE_FORMAT, "bos_token_id is 5; the vocabulary has ids 0 to 4"},
};

START_TEST(test_wrong_gguf)
{
    sae_tokenizer *tok = NULL;

    FAILS(sae_tokenizer_open(&tok, write_gguf(&wrong_gguf[_i].row), &err), wrong_gguf[_i].code, wrong_gguf[_i].message);
    FAILS(sae_tokenizer_open(&tok, scratch_path("small.gguf"), &err), wrong_gguf[_i].code, "small.gguf");
    ck_assert_ptr_null(tok);
    ck_assert_uint_eq(mem_in_use(), 0);
    scratch_remove();
}
END_TEST

START_TEST(test_small_gguf)
{
    sae_tokenizer *tok = open_tokenizer(write_gguf(NULL));

    expect_ids(tok, "ab<s><u>", 8, true, (int32_t[]){2, 3}, 2); /* "<u>" is unused, and its bytes are no tokens */
    expect_ids(tok, "ab<s>ba", 7, false, (int32_t[]){2, 1, 0}, 3);
    ck_assert_int_eq(sae_tokenizer_get_info(tok).separator, 3); /* BOS, for there is no <|endoftext|> */
    ck_assert(!sae_tokenizer_is_special(tok, 4));
    sae_tokenizer_free(tok);
    tok = open_tokenizer(write_gguf(&(gguf_row){"tokenizer.ggml.pre", 's', NULL}));
    ck_assert_str_eq(sae_tokenizer_get_info(tok).pre, "default");
    sae_tokenizer_free(tok);
    scratch_remove();
}
END_TEST

/* Damaged anywhere, a file is refused or read, but never read past. */
START_TEST(test_damaged_files)
{
    json_t *added = json_pack("[{s:i, s:s, s:b}]", "id", 300, "content", "<x>", "special", 1);
    const char *paths[] = {write_gguf(NULL), scratch_json("damaged.json", small_tokenizer(added, NULL, NULL))};
    const char *path = paths[_i];
    rng r = rng_seed(12, (uint64_t)_i);
    char *good, *bad;
    size_t size;
    int refused = 0;

    OK(file_read_all(path, 1 << 20, &good, &size, &err));
    bad = malloc(size);
    for (int round = 0; round < 150; round++) {
        sae_error error = {0};
        sae_tokenizer *tok = NULL;
        size_t n = round % 5 ? size : rng_below(&r, size);
        memcpy(bad, good, size);
        for (uint64_t k = 1 + rng_below(&r, 3); k > 0; k--) bad[rng_below(&r, size)] = (char)rng_below(&r, 256);
        if (sae_tokenizer_open(&tok, fixture_write(_i ? "bad.json" : "bad.gguf", bad, n), &error) == SAE_OK) {
            int32_t *ids;
            size_t n_ids;
            OK(sae_tokenizer_encode(tok, good, size, true, &ids, &n_ids, &err));
            free(ids);
        } else {
            ck_assert(error.message[0]);
            refused++;
        }
        sae_tokenizer_free(tok);
    }
    ck_assert_int_gt(refused, 30);
    free(bad);
    mem_free(good);
    ck_assert_uint_eq(mem_in_use(), 0);
    scratch_remove();
}
END_TEST

/* ---- Memory --------------------------------------------------------------------------------------------------------------------------- */

START_TEST(test_every_allocation_may_fail)
{
    const char *paths[2];
    int failures = 0;

    paths[0] = write_gguf(NULL);
    paths[1] = scratch_json(
        "tokenizer.json",
        small_tokenizer(json_pack("[{s:i, s:s, s:b}]", "id", 300, "content", "<x>", "special", 1), NULL, NULL));
    for (int file = 0; file < 2; file++)
        for (int64_t nth = 1;; nth++) {
            char long_word[400];
            sae_tokenizer *tok = NULL;
            sae_error error = {0};
            int32_t *ids = NULL;
            size_t n = 0;
            memset(long_word, 'a', sizeof long_word);
            mem_fail_nth(nth);
            sae_status status = sae_tokenizer_open(&tok, paths[file], &error);
            if (status == SAE_OK)
                status = sae_tokenizer_encode(tok, long_word, sizeof long_word, true, &ids, &n, &error);
            mem_fail_nth(0);
            ck_assert(status == SAE_OK || (status == SAE_NOMEM && error.message[0]));
            if (status != SAE_OK && tok) { /* a failed call leaves a tokenizer that works */
                OK(sae_tokenizer_encode(tok, long_word, sizeof long_word, true, &ids, &n, &err));
            }
            free(ids);
            sae_tokenizer_free(tok);
            ck_assert_uint_eq(mem_in_use(), 0);
            if (status == SAE_OK) break;
            failures++;
        }
    ck_assert_int_gt(failures, 20);
    scratch_remove();
}
END_TEST

#define COUNT(table) ((int)(sizeof(table) / sizeof(table)[0]))

int main(void)
{
    Suite *suite = suite_create("tokenizer files");
    TCase *wrong = tcase_create("wrong files");

    tcase_set_timeout(wrong, 60);
    tcase_add_loop_test(wrong, test_wrong_tokenizer_json, 0, COUNT(wrong_json));
    tcase_add_test(wrong, test_paths_that_are_no_tokenizer);
    tcase_add_loop_test(wrong, test_wrong_gguf, 0, COUNT(wrong_gguf));
    tcase_add_test(wrong, test_small_gguf);
    tcase_add_loop_test(wrong, test_damaged_files, 0, 2);
    tcase_add_test(wrong, test_every_allocation_may_fail);
    suite_add_tcase(suite, wrong);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
