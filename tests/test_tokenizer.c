/*
 * test_tokenizer.c - the tokenizer against ids that Hugging Face's tokenizers and llama.cpp gave, against a plain second
 * implementation of BPE, and against laws.
 */
#include "text_fixture.h"

static const char smollm2[] = "data/tokenizers/smollm2-vocab.gguf";
static const char gpt2[] = "data/tokenizers/llama.cpp/ggml-vocab-gpt-2.gguf";

/* ---- Expectations ----------------------------------------------------------------------------------------------- */

/* The member `key` of a golden line are the ids of its text. */
static void expect_golden(const sae_tokenizer *tok, const json_t *line, const char *key, bool special)
{
    const json_t *text = json_object_get(line, "text"), *list = json_object_get(line, key);
    int32_t ids[600];

    ck_assert(json_is_array(list) && json_array_size(list) < 600);
    for (size_t i = 0; i < json_array_size(list); i++) ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
    expect_ids(tok, json_string_value(text), json_string_length(text), special, ids, json_array_size(list));
}

/* decode(encode(text)) is `expected`. */
static void expect_round_trip(const sae_tokenizer *tok, const char *text, size_t bytes, const char *expected,
                              size_t n_expected)
{
    int32_t *ids;
    size_t n, n_back;
    char *back;

    OK(sae_tokenizer_encode(tok, text, bytes, true, &ids, &n, &err));
    OK(sae_tokenizer_decode(tok, ids, n, &back, &n_back, &err));
    ck_assert_uint_eq(n_back, n_expected);
    ck_assert(memcmp(back, expected, n_back) == 0);
    ck_assert_int_eq(back[n_back], 0);
    free(back);
    free(ids);
}

/* ---- Golden ids ------------------------------------------------------------------------------------------------------------- */

START_TEST(test_smollm2_ids_are_those_of_transformers)
{
    sae_tokenizer *tok = open_tokenizer(smollm2);
    json_t *lines = read_lines("data/golden/smollm2/tokens.jsonl"), *line;
    size_t i;

    ck_assert_uint_eq(json_array_size(lines), 150);
    json_array_foreach(lines, i, line)
    {
        const json_t *text = json_object_get(line, "text");
        const char *bytes = json_string_value(text);
        expect_golden(tok, line, "ids", true);
        expect_round_trip(tok, bytes, json_string_length(text), bytes, json_string_length(text));
    }
    json_decref(lines);
    sae_tokenizer_free(tok);
}
END_TEST

START_TEST(test_smollm2_special_tokens_nul_and_digits)
{
    sae_tokenizer *tok = open_tokenizer(smollm2);
    json_t *lines = read_lines("data/golden/smollm2/tokens_extra.jsonl"), *line;
    size_t i, seen = 0;

    json_array_foreach(lines, i, line)
    {
        if (json_object_get(line, "ids_smollm")) expect_golden(tok, line, "ids_smollm", true), seen++;
        if (json_object_get(line, "ids_plain")) expect_golden(tok, line, "ids_plain", false), seen++;
        if (json_object_get(line, "ids")) expect_golden(tok, line, "ids", true), seen++;
    }
    ck_assert_uint_eq(seen, 18);
    json_decref(lines);
    sae_tokenizer_free(tok);
}
END_TEST

/* SmolLM2's vocabulary as a tokenizer.json. */
static const char *smollm2_as_json(const char *name, const char *pre_tokenizer)
{
    json_t *vocabulary = json_object(), *merges = json_array(), *added = json_array(), *pre = NULL;
    int64_t n, type;
    const char *text;
    size_t bytes;
    gguf *g;

    OK(gguf_open(&g, smollm2, &err));
    OK(gguf_array_count(g, "tokenizer.ggml.tokens", &n, &err));
    for (int64_t i = 0; i < n; i++) {
        OK(gguf_array_string(g, "tokenizer.ggml.tokens", i, &text, &bytes, &err));
        OK(gguf_array_int(g, "tokenizer.ggml.token_type", i, &type, &err));
        json_object_setn_new(vocabulary, text, bytes, json_integer(i));
        if (type == 3)
            json_array_append_new(added, json_pack("{s:I, s:s%, s:b, s:b}", "id", (json_int_t)i, "content", text, bytes,
                                                   "special", 1, "normalized", 0));
    }
    OK(gguf_array_count(g, "tokenizer.ggml.merges", &n, &err));
    for (int64_t i = 0; i < n; i++) {
        OK(gguf_array_string(g, "tokenizer.ggml.merges", i, &text, &bytes, &err));
        size_t left = (size_t)((const char *)memchr(text, ' ', bytes) - text);
        json_array_append_new(merges, i % 2 ? json_stringn(text, bytes)
                                            : json_pack("[s%, s%]", text, left, text + left + 1, bytes - left - 1));
    }
    gguf_close(g);
    OK(json_parse(&pre, pre_tokenizer, strlen(pre_tokenizer), "pre", &err));
    return scratch_json(name, json_pack("{s:o, s:n, s:o, s:{s:s, s:n, s:o, s:o}}", "added_tokens", added, "normalizer",
                                        "pre_tokenizer", pre, "model", "type", "BPE", "dropout", "vocab", vocabulary,
                                        "merges", merges));
}

START_TEST(test_the_same_vocabulary_as_tokenizer_json)
{
    sae_tokenizer *digits = open_tokenizer(smollm2_as_json(
        "digits.json",
        "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true},"
        "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true}]}"));
    sae_tokenizer *plain =
        open_tokenizer(smollm2_as_json("plain.json", "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}"));
    json_t *lines = read_lines("data/golden/smollm2/tokens.jsonl"), *line;
    size_t i, seen = 0;

    ck_assert_str_eq(sae_tokenizer_get_info(digits).pre, "smollm");
    ck_assert_str_eq(sae_tokenizer_get_info(plain).pre, "gpt-2");
    ck_assert_int_eq(sae_tokenizer_get_info(digits).separator, 0);
    json_array_foreach(lines, i, line) expect_golden(digits, line, "ids", true);
    json_decref(lines);
    lines = read_lines("data/golden/smollm2/tokens_extra.jsonl");
    json_array_foreach(lines, i, line)
    {
        if (json_object_get(line, "ids_smollm")) expect_golden(digits, line, "ids_smollm", true);
        if (json_object_get(line, "ids_bytelevel")) expect_golden(plain, line, "ids_bytelevel", true), seen++;
        if (json_object_get(line, "ids")) expect_golden(plain, line, "ids", true);
        if (json_object_get(line, "ids_plain")) expect_golden(plain, line, "ids_plain", false);
    }
    ck_assert_uint_eq(seen, 10);
    json_decref(lines);
    sae_tokenizer_free(plain);
    sae_tokenizer_free(digits);
    scratch_remove();
}
END_TEST

/* Calls fn for each of llama.cpp's test vectors: the texts are parted by a line, the ids stand one text a line. */
static int each_vector(void (*fn)(void *user, const char *text, size_t bytes, const int32_t *ids, size_t n), void *user)
{
    static const char part[] = "\n__ggml_vocab_test__\n";
    char *in, *out, *line, *at;
    size_t in_bytes, out_bytes;
    int count = 0;

    OK(file_read_all("data/tokenizers/llama.cpp/ggml-vocab-gpt-2.gguf.inp", 1 << 20, &in, &in_bytes, &err));
    OK(file_read_all("data/tokenizers/llama.cpp/ggml-vocab-gpt-2.gguf.out", 1 << 20, &out, &out_bytes, &err));
    at = in;
    line = out;
    for (;; count++) {
        char *end = memmem(at, (size_t)(in + in_bytes - at), part, sizeof part - 1);
        char *newline = strchr(line, '\n');
        int32_t ids[300];
        size_t n = 0;
        if (!end) break; /* the file ends on the line that parts */
        ck_assert_ptr_nonnull(newline);
        *newline = 0;
        for (char *number = strtok(line, " "); number; number = strtok(NULL, " ")) ids[n++] = (int32_t)atoi(number);
        fn(user, at, (size_t)(end - at), ids, n);
        at = end + sizeof part - 1;
        line = newline + 1;
    }
    mem_free(in);
    mem_free(out);
    return count;
}

static void check_vector(void *user, const char *text, size_t bytes, const int32_t *ids, size_t n)
{
    expect_ids(user, text, bytes, false, ids, n);
    expect_ids(user, text, bytes, true, ids, n);
    expect_round_trip(user, text, bytes, text, bytes);
}

START_TEST(test_gpt2_ids_are_those_of_llama_cpp)
{
    sae_tokenizer *tok = open_tokenizer(gpt2);

    ck_assert_int_eq(each_vector(check_vector, tok), 46);
    sae_tokenizer_free(tok);
}
END_TEST

START_TEST(test_gpt2_from_vocab_json_and_merges_txt)
{
    const char *const ways[] = {"", "vocab.json", "merges.txt"};
    json_t *lines = read_lines("data/golden/smollm2/tokens.jsonl"), *line;
    sae_tokenizer *reference = open_tokenizer(gpt2);
    size_t i;

    scratch_unpack("data/tokenizers/gpt2/vocab.json.zst", "vocab.json");
    scratch_unpack("data/tokenizers/gpt2/merges.txt.zst", "merges.txt");
    for (int way = 0; way < 3; way++) {
        sae_tokenizer *tok = open_tokenizer(scratch_path(ways[way]));
        sae_tokenizer_info info = sae_tokenizer_get_info(tok);
        ck_assert_int_eq(info.n_vocab, 50257);
        ck_assert_int_eq(info.separator, 50256);
        ck_assert_int_eq(info.bos, 50256);
        ck_assert_int_eq(info.eos, 50256);
        ck_assert_str_eq(info.pre, "gpt-2");
        each_vector(check_vector, tok);
        json_array_foreach(lines, i, line)
        {
            const json_t *text = json_object_get(line, "text");
            int32_t *ids;
            size_t n;
            OK(sae_tokenizer_encode(reference, json_string_value(text), json_string_length(text), true, &ids, &n,
                                    &err));
            expect_ids(tok, json_string_value(text), json_string_length(text), true, ids, n);
            free(ids);
        }
        sae_tokenizer_free(tok);
    }
    json_decref(lines);
    sae_tokenizer_free(reference);
    scratch_remove();
}
END_TEST

START_TEST(test_gpt_neox)
{
    sae_tokenizer *tok =
        open_tokenizer(scratch_unpack("data/tokenizers/gpt-neox/tokenizer.json.zst", "tokenizer.json"));
    sae_tokenizer_info info = sae_tokenizer_get_info(tok);
    json_t *lines = read_lines("data/golden/smollm2/tokens.jsonl"), *line;
    size_t i;

    ck_assert_int_eq(info.n_vocab, 50277);
    ck_assert_int_eq(info.separator, 0);
    ck_assert_int_eq(info.bos, -1);
    ck_assert(sae_tokenizer_is_special(tok, 1) && !sae_tokenizer_is_special(tok, 50276));
    expect_ids(tok, "Hello, I am", 11, true, (int32_t[]){12092, 13, 309, 717}, 4); /* Pythia's model card */
    /* 24 spaces are the longest added token; it is found with and without special tokens. */
    expect_ids(tok, "                          ", 26, false, (int32_t[]){50254, 50276}, 2);
    expect_ids(tok, "a<|endoftext|>", 14, true, (int32_t[]){66, 0}, 2);
    expect_round_trip(tok, "cafe\xcc\x81", 6, "caf\xc3\xa9", 5); /* NFC */
    json_array_foreach(lines, i, line)
    {
        const json_t *text = json_object_get(line, "text");
        const char *bytes = json_string_value(text);
        if (!strstr(bytes, "\xcc") && !strstr(bytes, "\xe1\x84")) /* combining marks and jamo are composed */
            expect_round_trip(tok, bytes, json_string_length(text), bytes, json_string_length(text));
    }
    json_decref(lines);
    sae_tokenizer_free(tok);
    scratch_remove();
}
END_TEST

START_TEST(test_info)
{
    sae_tokenizer *tok = open_tokenizer(smollm2);
    sae_tokenizer_info info = sae_tokenizer_get_info(tok);

    ck_assert_int_eq(info.n_vocab, 49152);
    ck_assert_int_eq(info.separator, 0); /* <|endoftext|>, not BOS, which is <|im_start|> */
    ck_assert_int_eq(info.bos, 1);
    ck_assert_int_eq(info.eos, 2);
    ck_assert_str_eq(info.pre, "smollm");
    for (int32_t id = -1; id < 20; id++) ck_assert_int_eq(sae_tokenizer_is_special(tok, id), id >= 0 && id < 17);
    ck_assert(!sae_tokenizer_is_special(tok, 49152));
    sae_tokenizer_free(tok);
    sae_tokenizer_free(NULL);
    ck_assert_uint_eq(mem_in_use(), 0);
}
END_TEST

/* ---- Laws --------------------------------------------------------------------------------------------------------------------- */

/* Random text: bytes of every kind, ASCII, valid UTF-8, runs of one character. */
static size_t random_text(rng *r, char *text, size_t room)
{
    size_t n = 0, want = rng_below(r, room - 8);

    while (n < want) {
        uint64_t kind = rng_below(r, 5), run = 1 + rng_below(r, 6);
        unsigned code = (unsigned)rng_below(r, 0xffff - 0x800) + 0x800;
        for (; run > 0 && n < want; run--) {
            if (kind == 0) {
                text[n++] = (char)rng_below(r, 256);
            } else if (kind == 1) {
                text[n++] = (char)(' ' + rng_below(r, 95));
            } else if (kind == 2) {
                text[n++] = "abcd "[rng_below(r, 5)];
            } else if (kind == 3) {
                text[n++] = (char)(0xc3);
                text[n++] = (char)(0x80 + rng_below(r, 64));
            } else { /* surrogates come by too: they are not valid */
                text[n++] = (char)(0xe0 | code >> 12);
                text[n++] = (char)(0x80 | (code >> 6 & 0x3f));
                text[n++] = (char)(0x80 | (code & 0x3f));
            }
        }
    }
    return n;
}

START_TEST(test_decoding_gives_back_any_bytes)
{
    /* SmolLM2's vocabulary lacks 21 bytes; they are left out. */
    static const unsigned char lacking[] = {0x04, 0x06, 0x13, 0x14, 0x16, 0x1d, 0xc0, 0xc1, 0xf1, 0xf2, 0xf5,
                                            0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff};
    sae_tokenizer *full = open_tokenizer(gpt2), *lean = open_tokenizer(smollm2);
    rng r = rng_seed(7, 0);
    char text[400], kept[400];

    for (int round = 0; round < 4000; round++) {
        size_t n = random_text(&r, text, sizeof text), n_kept = 0;
        for (size_t i = 0; i < n; i++)
            if (!memchr(lacking, (unsigned char)text[i], sizeof lacking)) kept[n_kept++] = text[i];
        expect_round_trip(full, text, n, text, n);
        expect_round_trip(lean, text, n, kept, n_kept);
    }
    sae_tokenizer_free(lean);
    sae_tokenizer_free(full);
}
END_TEST

/* BPE as its definition says it: look at all pairs, merge the leftmost of the smallest rank, begin again. */
static size_t naive_bpe(const bpe *b, const char *word, size_t size, int32_t *ids)
{
    size_t n = 0;

    for (size_t i = 0; i < size; i++)
        if (b->byte_id[(unsigned char)word[i]] >= 0) ids[n++] = b->byte_id[(unsigned char)word[i]];
    for (;;) {
        const bpe_merge *best = NULL;
        size_t place = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            uint64_t pair = (uint64_t)(uint32_t)ids[i] << 32 | (uint32_t)ids[i + 1];
            for (size_t k = 0; k <= b->mask; k++) /* the whole table: no hashing that could be wrong twice */
                if (b->merges[k].pair == pair && (!best || b->merges[k].rank < best->rank)) {
                    best = &b->merges[k];
                    place = i;
                }
        }
        if (!best) return n;
        ids[place] = best->id;
        memmove(ids + place + 1, ids + place + 2, (n - place - 2) * sizeof *ids);
        n--;
    }
}

START_TEST(test_merging_follows_the_definition)
{
    json_t *config = small_tokenizer(NULL, NULL, NULL), *model = json_object_get(config, "model");
    json_t *vocabulary = json_object_get(model, "vocab"), *merges = json_array();
    rng r = rng_seed(3, 0);

    /* 60 random merges over {a, b, c}: ranks in the order of making, results never seen before. */
    json_object_set_new(model, "merges", merges);
    for (int made = 0; made < 60;) {
        const char *parts[2] = {"a", "b"};
        char joined[64], merge[64];
        for (int side = 0; side < 2; side++) {
            size_t at = rng_below(&r, json_array_size(merges) + 3);
            parts[side] = at < 3 ? (const char *[]){"a", "b", "c"}[at]
                                 : json_string_value(json_array_get(json_array_get(merges, at - 3), 2));
        }
        if (strlen(parts[0]) + strlen(parts[1]) > 12) continue;
        snprintf(joined, sizeof joined, "%s%s", parts[0], parts[1]);
        if (made >= 3 && json_object_get(vocabulary, joined)) continue;
        (void)merge;
        if (!json_object_get(vocabulary, joined))
            json_object_set_new(vocabulary, joined, json_integer((json_int_t)json_object_size(vocabulary)));
        bool repeated = false;
        for (size_t k = 0; k < json_array_size(merges); k++)
            repeated |= strcmp(json_string_value(json_array_get(json_array_get(merges, k), 0)), parts[0]) == 0 &&
                        strcmp(json_string_value(json_array_get(json_array_get(merges, k), 1)), parts[1]) == 0;
        if (repeated) continue;
        json_array_append_new(merges, json_pack("[s, s, s]", parts[0], parts[1], joined));
        made++;
    }
    for (size_t k = 0; k < json_array_size(merges); k++) /* the third was only a note */
        json_array_remove(json_array_get(merges, k), 2);
    sae_tokenizer *tok = open_tokenizer(scratch_json("merges.json", config));

    for (int round = 0; round < 2000; round++) {
        char word[80];
        int32_t expected[80];
        size_t size = 1 + rng_below(&r, round % 2 ? 8 : sizeof word - 1); /* short ones come again: the cache */
        id_list list = {0};
        for (size_t i = 0; i < size; i++) word[i] = (char)('a' + rng_below(&r, 3));
        OK(bpe_encode(tok->bpe, word, size, &list, &err));
        size_t n = naive_bpe(tok->bpe, word, size, expected);
        ck_assert_uint_eq(list.n, n);
        ck_assert(memcmp(list.ids, expected, n * sizeof *expected) == 0);
        id_list_free(&list);
    }
    sae_tokenizer_free(tok);
    scratch_remove();
}
END_TEST

START_TEST(test_long_words_take_linear_work)
{
    const size_t size = (size_t)1 << 20;
    sae_tokenizer *tok = open_tokenizer(smollm2);
    char *word = malloc(size);
    int32_t *ids;
    size_t n;

    for (int kind = 0; kind < 3; kind++) {
        for (size_t i = 0; i < size; i++)
            word[i] = kind == 0 ? 'a' : kind == 1 ? ' ' : "abcdefghijklmnopqrstuvwxyz"[(i * i + i / 7) % 26];
        tok->bpe->work = 0;
        OK(sae_tokenizer_encode(tok, word, size, true, &ids, &n, &err));
        /* At most n - 1 pairs to begin with, 2 pushed for each merge, and all of them popped: under 6 a byte. Seen: 3.0,
         * 5.8, 1.8. */
        ck_assert_uint_lt(tok->bpe->work, 6 * size);
        ck_assert_uint_gt(tok->bpe->work, size / 2);
        free(ids);
        expect_round_trip(tok, word, size, word, size);
    }
    free(word);
    sae_tokenizer_free(tok);
}
END_TEST

START_TEST(test_a_word_without_end_is_refused)
{
    const size_t size = BPE_MAX_WORD + 1;
    sae_tokenizer *tok = open_tokenizer(smollm2);
    char *word = malloc(size);
    int32_t *ids;
    size_t n;

    memset(word, 'a', size);
    FAILS(sae_tokenizer_encode(tok, word, size, true, &ids, &n, &err), SAE_RANGE, "without a place to cut");
    free(word);
    sae_tokenizer_free(tok);
}
END_TEST

START_TEST(test_ids_outside_the_vocabulary_are_not_decoded)
{
    sae_tokenizer *tok = open_tokenizer(smollm2);
    size_t bytes;
    char *text;

    FAILS(sae_tokenizer_decode(tok, (int32_t[]){5, 49152}, 2, &text, &bytes, &err), SAE_RANGE, "token id 49152");
    FAILS(sae_tokenizer_decode(tok, (int32_t[]){-1}, 1, &text, &bytes, &err), SAE_RANGE, "token id -1");
    expect_round_trip(tok, "", 0, "", 0);
    sae_tokenizer_free(tok);
}
END_TEST

/* ---- Words ---------------------------------------------------------------------------------------------------------------------- */

static sae_status note_word(void *user, const char *word, size_t size, sae_error *err)
{
    char *out = user;
    (void)err;
    ck_assert_uint_gt(size, 0);
    snprintf(out + strlen(out), 400 - strlen(out), "%.*s|", (int)size, word);
    return SAE_OK;
}

static const struct {
    const char *pre, *text, *words;
} cuts[] = {
    {"gpt-2", "I'll go, they've 12 x2", "I|'ll| go|,| they|'ve| 12| x|2|"},
    {"gpt-2", "a  b \n\n c  ", "a| | b| \n\n| c|  |"},
    {"gpt-2", "caf\xc3\xa9 \xe4\xbd\xa0\xe5\xa5\xbd!", "caf\xc3\xa9| \xe4\xbd\xa0\xe5\xa5\xbd|!|"},
    {"gpt-2", "a\xc2\xa0 b", "a|\xc2\xa0| b|"}, /* a no-break space is a space, */
    {"gpt-2",
     "a\xe1\xa0\x8e"
     "b",
     "a|\xe1\xa0\x8e|b|"},                           /* a Mongolian vowel separator is none: */
    {"gpt-2", "  \xe1\xa0\x8e", " | \xe1\xa0\x8e|"}, /* else these were one word */
    {"smollm", "ab12 34", "ab|1|2| |3|4|"},
    {"smollm", "\n\n1. x", "\n\n|1|.| x|"},
    {"starcoder", "a1", "a|1|"},
    {"default", "a+b 1234 c", "a|+|b| |123|4| c|"},
    {"phi-2", "a 12", "a| 12|"},
};

START_TEST(test_words)
{
    char words[400] = "";
    pretokenizer p = {0};

    OK(pretokenizer_named(&p, cuts[_i].pre, strlen(cuts[_i].pre), "file", &err));
    OK(pretokenizer_split(&p, cuts[_i].text, strlen(cuts[_i].text), note_word, words, &err));
    ck_assert_str_eq(words, cuts[_i].words);
    pretokenizer_free(&p);
}
END_TEST

static const struct {
    const char *json, *text, *words;
} json_cuts[] = {
    {"{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":false},{\"type\":"
     "\"ByteLevel\","
     "\"add_prefix_space\":false}]}",
     "ab 12 3", "ab| |12| |3|"},
    {"{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\p{N}{1,3}|x*\"},"
     "\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":"
     "false}]}",
     "a1234xx\xc3\xa9", "a|123|4|xx|\xc3\xa9|"}, /* empty matches of x* cut nothing */
    {"{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"String\":\".\"},\"behavior\":"
     "\"Isolated\"},"
     "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]}",
     "a.b..", "a|.|b|.|.|"},
};

START_TEST(test_words_by_tokenizer_json)
{
    char words[400] = "";
    pretokenizer p = {0};
    json_t *config;

    OK(json_parse(&config, json_cuts[_i].json, strlen(json_cuts[_i].json), "pre", &err));
    OK(pretokenizer_from_json(&p, config, "file", &err));
    OK(pretokenizer_split(&p, json_cuts[_i].text, strlen(json_cuts[_i].text), note_word, words, &err));
    ck_assert_str_eq(words, json_cuts[_i].words);
    pretokenizer_free(&p);
    json_decref(config);
}
END_TEST

/* ---- Added tokens ---------------------------------------------------------------------------------------------------------------- */

/* Ids: bytes are themselves; 300 "<a>", 301 "<ab>", 302 "<l>" takes spaces on its left, 303 "<r>" on its right, 304 "cat"
 * only as a whole word, 305 "<n>" not special, 306 "at". */
static sae_tokenizer *added_tokenizer(void)
{
    static const struct {
        const char *content;
        int special, lstrip, rstrip, single_word;
    } rows[] = {{"<a>", 1, 0, 0, 0}, {"<ab>", 1, 0, 0, 0}, {"<l>", 1, 1, 0, 0}, {"<r>", 1, 0, 1, 0},
                {"cat", 1, 0, 0, 1}, {"<n>", 0, 0, 0, 0},  {"at", 1, 0, 0, 0}};
    json_t *added = json_array();

    for (int i = 0; i < 7; i++)
        json_array_append_new(added, json_pack("{s:i, s:s, s:b, s:b, s:b, s:b}", "id", 300 + i, "content",
                                               rows[i].content, "special", rows[i].special, "lstrip", rows[i].lstrip,
                                               "rstrip", rows[i].rstrip, "single_word", rows[i].single_word));
    return open_tokenizer(scratch_json("added.json", small_tokenizer(added, NULL, NULL)));
}

static const struct {
    const char *text;
    bool special;
    int32_t ids[12];
} added_cases[] = {
    {"<a>", true, {300}},
    {"<ab><a", true, {301, '<', 'a'}},
    {"<a", true, {'<', 'a'}},
    {"x<ab>y", true, {'x', 301, 'y'}},
    {"x<ab>y", false, {'x', '<', 256, '>', 'y'}},
    {"x<n>y", false, {'x', 305, 'y'}},
    {"x \t<l> y", true, {'x', 302, ' ', 'y'}},
    {"x \xc2\xa0<l>", true, {'x', 302}},
    {"x <r> \n y", true, {'x', ' ', 303, 'y'}},
    {"<r> <l>x", true, {303, 302, 'x'}},
    {"cat", true, {304}},
    {"(cat)", true, {'(', 304, ')'}},
    {"catx", true, {'c', 'a', 't', 'x'}}, /* passed over as a whole, as Hugging Face does */
    {"bat", true, {'b', 306}},
    {"\xc3\xa9"
     "cat",
     true,
     {0xc3, 0xa9, 'c', 'a', 't'}},
    {"\xff"
     "cat",
     true,
     {0xff, 304}},
    {"abc a", true, {257, 258}},
};

START_TEST(test_added_tokens)
{
    sae_tokenizer *tok = added_tokenizer();
    size_t n = 0;

    while (n < 12 && added_cases[_i].ids[n]) n++;
    expect_ids(tok, added_cases[_i].text, strlen(added_cases[_i].text), added_cases[_i].special, added_cases[_i].ids,
               n);
    sae_tokenizer_free(tok);
    scratch_remove();
}
END_TEST

START_TEST(test_the_longest_added_token_wins)
{
    /* Against trying every token: random sets over {x, y}, random texts. */
    rng r = rng_seed(11, 0);

    for (int round = 0; round < 300; round++) {
        json_t *added = json_array();
        char names[12][8];
        int n = 0;
        while (n < 12) {
            size_t size = 1 + rng_below(&r, 6);
            bool known = false;
            names[n][size] = 0;
            for (size_t i = 0; i < size; i++) names[n][i] = "xy"[rng_below(&r, 2)];
            for (int k = 0; k < n; k++) known |= strcmp(names[k], names[n]) == 0;
            if (known || size == 1) continue; /* one letter is in the vocabulary with another id */
            json_array_append_new(added,
                                  json_pack("{s:i, s:s, s:b}", "id", 300 + n, "content", names[n], "special", 1));
            n++;
        }
        sae_tokenizer *tok = open_tokenizer(scratch_json("longest.json", small_tokenizer(added, NULL, NULL)));
        char text[40];
        int32_t expected[40];
        size_t size = 1 + rng_below(&r, 39), n_ids = 0;
        for (size_t i = 0; i < size; i++) text[i] = "xxyyz"[rng_below(&r, 5)];
        for (size_t i = 0; i < size;) {
            int best = -1;
            for (int k = 0; k < n; k++)
                if (strlen(names[k]) <= size - i && memcmp(names[k], text + i, strlen(names[k])) == 0 &&
                    (best < 0 || strlen(names[k]) > strlen(names[best])))
                    best = k;
            expected[n_ids++] = best < 0 ? text[i] : 300 + best;
            i += best < 0 ? 1 : strlen(names[best]);
        }
        expect_ids(tok, text, size, true, expected, n_ids);
        sae_tokenizer_free(tok);
    }
    scratch_remove();
}
END_TEST

START_TEST(test_added_tokens_before_and_after_normalisation)
{
    json_t *added = json_pack("[{s:i, s:s, s:b}, {s:i, s:s, s:b}]", "id", 300, "content", "<\xc3\xa9>", "normalized", 1,
                              "id", 301, "content", "<\xc3\xb1>", "normalized", 0);
    json_t *nfc = json_pack("{s:s}", "type", "NFC");
    sae_tokenizer *tok = open_tokenizer(scratch_json("nfc.json", small_tokenizer(added, nfc, NULL)));

    expect_ids(tok, "<e\xcc\x81>", 5, true, (int32_t[]){300}, 1); /* found in what NFC made of the text, */
    expect_ids(tok, "<n\xcc\x83>", 5, true, (int32_t[]){'<', 0xc3, 0xb1, '>'}, 4); /* not found there */
    expect_ids(tok, "<\xc3\xb1><\xc3\xa9>", 8, true, (int32_t[]){301, 300}, 2);
    sae_tokenizer_free(tok);
    scratch_remove();
}
END_TEST

START_TEST(test_bos_and_eos_from_tokenizer_config)
{
    json_t *added = json_pack("[{s:i, s:s, s:b}, {s:i, s:s, s:b}]", "id", 300, "content", "<s>", "special", 1, "id",
                              301, "content", "</s>", "special", 1);
    sae_tokenizer *tok;

    json_t *config = small_tokenizer(added, NULL, NULL);
    json_object_set_new(json_object_get(json_object_get(config, "model"), "vocab"), "<|endoftext|>", json_integer(259));
    scratch_json("tokenizer.json", config); /* an <|endoftext|> that is not special is no separator */
    scratch_text("tokenizer_config.json", "{\"bos_token\": {\"content\": \"<s>\"}, \"eos_token\": \"</s>\"}");
    tok = open_tokenizer(scratch_folder());
    ck_assert_int_eq(sae_tokenizer_get_info(tok).bos, 300);
    ck_assert_int_eq(sae_tokenizer_get_info(tok).eos, 301);
    ck_assert_int_eq(sae_tokenizer_get_info(tok).separator, 300);
    ck_assert_int_eq(sae_tokenizer_get_info(tok).n_vocab, 302);
    sae_tokenizer_free(tok);
    scratch_remove();
}
END_TEST

#define COUNT(table) ((int)(sizeof(table) / sizeof(table)[0]))

int main(void)
{
    Suite *suite = suite_create("tokenizer");
    TCase *golden = tcase_create("golden"), *laws = tcase_create("laws");

    tcase_set_timeout(golden, 60);
    tcase_add_test(golden, test_smollm2_ids_are_those_of_transformers);
    tcase_add_test(golden, test_smollm2_special_tokens_nul_and_digits);
    tcase_add_test(golden, test_the_same_vocabulary_as_tokenizer_json);
    tcase_add_test(golden, test_gpt2_ids_are_those_of_llama_cpp);
    tcase_add_test(golden, test_gpt2_from_vocab_json_and_merges_txt);
    tcase_add_test(golden, test_gpt_neox);
    tcase_add_test(golden, test_info);
    suite_add_tcase(suite, golden);
    tcase_set_timeout(laws, 60);
    tcase_add_test(laws, test_decoding_gives_back_any_bytes);
    tcase_add_test(laws, test_merging_follows_the_definition);
    tcase_add_test(laws, test_long_words_take_linear_work);
    tcase_add_test(laws, test_a_word_without_end_is_refused);
    tcase_add_test(laws, test_ids_outside_the_vocabulary_are_not_decoded);
    tcase_add_loop_test(laws, test_words, 0, COUNT(cuts));
    tcase_add_loop_test(laws, test_words_by_tokenizer_json, 0, COUNT(json_cuts));
    tcase_add_loop_test(laws, test_added_tokens, 0, COUNT(added_cases));
    tcase_add_test(laws, test_the_longest_added_token_wins);
    tcase_add_test(laws, test_added_tokens_before_and_after_normalisation);
    tcase_add_test(laws, test_bos_and_eos_from_tokenizer_config);
    suite_add_tcase(suite, laws);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
