/*
 * test_text.c - documents and packing by laws: every token of every document once and in order, every sequence begins with
 * the separator, the splits part the documents, and seeking gives what reading on would have given.
 */
#include "text/corpus.h"
#include "text_fixture.h"

#include <fcntl.h>
#include <zlib.h>
#include <zstd.h>

static const char smollm2[] = "data/tokenizers/smollm2-vocab.gguf";
enum { ROOM = 1 << 16 }; /* tokens of the longest stream that a test reads */

static sae_text *open_text(const sae_tokenizer *tok, const char *path, const sae_text_options *options)
{
    sae_text *text = NULL;
    OK(sae_text_open(&text, tok, &path, 1, options, &err));
    return text;
}

/* ---- Texts --------------------------------------------------------------------------------------------------------------------- */

/* `n` documents of random words, some empty, some with special tokens, some twice, as JSON lines. */
static json_t *random_documents(uint64_t seed, int n)
{
    static const char *const words[] = {"the ", "lighthouse ", "keeper, ", "wrote 1815 ", "\n\n",       "h\xc3\xa9las ",
                                        "of ",  "waves ",      "and ",     "<|im_end|>",  "unheard-of "};
    json_t *documents = json_array();
    rng r = rng_seed(seed, 0);

    for (int i = 0; i < n; i++) {
        char text[2000] = "";
        uint64_t count = rng_below(&r, 8) ? rng_below(&r, 60) : 0;
        if (i > 5 && rng_below(&r, 10) == 0) { /* one that came before */
            json_array_append(documents, json_array_get(documents, rng_below(&r, (uint64_t)i)));
            continue;
        }
        for (uint64_t k = 0; k < count; k++) strcat(text, words[rng_below(&r, sizeof words / sizeof words[0])]);
        json_array_append_new(documents, json_string(text));
    }
    return documents;
}

static const char *write_documents(const char *name, const json_t *documents)
{
    size_t room = (size_t)4 << 20, n = 0, i;
    char *text = malloc(room);
    json_t *document;

    json_array_foreach(documents, i, document)
    {
        json_t *line = json_pack("{s:i, s:O}", "number", (int)i, "text", document);
        n += json_dumpb(line, text + n, room - n, JSON_COMPACT);
        text[n++] = '\n';
        ck_assert_uint_lt(n, room);
        json_decref(line);
    }
    const char *path = fixture_write(name, text, n);
    free(text);
    return path;
}

/* ---- Streams ------------------------------------------------------------------------------------------------------------------- */

typedef struct token_stream {
    int32_t ids[ROOM];
    uint8_t mask[ROOM];
    size_t n;
} token_stream;

/* What the documents must give: their tokens, a separator behind each that has any. */
static void expected_stream(token_stream *s, const sae_tokenizer *tok, const json_t *documents, int32_t separator)
{
    const json_t *document;
    size_t i;

    s->n = 0;
    json_array_foreach(documents, i, document)
    {
        int32_t *ids;
        size_t n;
        OK(sae_tokenizer_encode(tok, json_string_value(document), json_string_length(document), true, &ids, &n, &err));
        ck_assert_uint_lt(s->n + n, ROOM - 1);
        for (size_t k = 0; k < n; k++) {
            s->ids[s->n] = ids[k];
            s->mask[s->n++] = ids[k] > 16; /* SmolLM2's special tokens are 0 .. 16 */
        }
        if (n > 0) s->ids[s->n] = separator, s->mask[s->n++] = 0;
        free(ids);
    }
}

/* All that the text still gives, its sequences' first places left out; checks those. */
static void read_stream(token_stream *s, sae_text *text, int64_t ctx, int64_t batch, int32_t separator)
{
    int32_t *ids = malloc((size_t)(ctx * batch) * sizeof *ids);
    uint8_t *mask = malloc((size_t)(ctx * batch));
    int64_t got = batch, before;

    s->n = 0;
    while (got == batch) {
        before = sae_text_tell(text);
        OK(sae_text_next(text, batch, ids, mask, &got, &err));
        ck_assert_int_eq(sae_text_tell(text), before + got);
        for (int64_t i = 0; i < got; i++) {
            ck_assert_int_eq(ids[i * ctx], separator);
            ck_assert_int_eq(mask[i * ctx], 0);
            ck_assert_uint_lt(s->n + (size_t)ctx, ROOM);
            memcpy(s->ids + s->n, ids + i * ctx + 1, (size_t)(ctx - 1) * sizeof *ids);
            memcpy(s->mask + s->n, mask + i * ctx + 1, (size_t)(ctx - 1));
            s->n += (size_t)(ctx - 1);
        }
    }
    free(ids);
    free(mask);
}

static void expect_same(const token_stream *got, const token_stream *expected, size_t n)
{
    ck_assert_uint_eq(got->n, n);
    for (size_t i = 0; i < n; i++) {
        ck_assert_msg(got->ids[i] == expected->ids[i], "token %zu is %d, expected %d", i, got->ids[i],
                      expected->ids[i]);
        ck_assert_msg(got->mask[i] == expected->mask[i], "mask %zu is %d, expected %d", i, got->mask[i],
                      expected->mask[i]);
    }
}

/* ---- Packing ------------------------------------------------------------------------------------------------------------------- */

static const struct {
    int64_t ctx, batch;
    int32_t separator;
} packings[] = {{2, 1, -1}, {3, 7, -1}, {64, 1, -1}, {64, 8, -1}, {256, 3, 198}, {1000, 2, 2}};

START_TEST(test_packing_keeps_every_token_in_order)
{
    static token_stream got, expected;
    sae_tokenizer *tok = open_tokenizer(smollm2);
    json_t *documents = random_documents(1, 150);
    int64_t ctx = packings[_i].ctx;
    int32_t separator = packings[_i].separator < 0 ? 0 : packings[_i].separator;
    sae_text_options options = {.ctx = ctx, .separator = packings[_i].separator};
    sae_text *text = open_text(tok, write_documents("packing.jsonl", documents), &options);

    expected_stream(&expected, tok, documents, separator);
    read_stream(&got, text, ctx, packings[_i].batch, separator);
    expect_same(&got, &expected, expected.n / (size_t)(ctx - 1) * (size_t)(ctx - 1));
    ck_assert_uint_gt(expected.n, 3000);
    sae_text_free(text);
    json_decref(documents);
    sae_tokenizer_free(tok);
    ck_assert_uint_eq(mem_in_use(), 0);
    scratch_remove();
}
END_TEST

START_TEST(test_several_files_and_repeat)
{
    static token_stream got, expected;
    sae_tokenizer *tok = open_tokenizer(smollm2);
    json_t *first = random_documents(2, 9), *second = random_documents(3, 8), *all = json_array();
    const char *paths[] = {write_documents("one.jsonl", first), write_documents("two.jsonl", second)};
    sae_text_options options = sae_text_defaults();
    int32_t ids[50];
    uint8_t mask[50];
    sae_text *text;
    int64_t n;

    json_array_extend(all, first);
    json_array_extend(all, second);
    expected_stream(&expected, tok, all, 0);
    options.ctx = 50;
    OK(sae_text_open(&text, tok, paths, 2, &options, &err));
    read_stream(&got, text, 50, 4, 0);
    expect_same(&got, &expected, expected.n / 49 * 49);
    sae_text_free(text);

    options.repeat = true; /* the stream goes round without losing a token */
    OK(sae_text_open(&text, tok, paths, 2, &options, &err));
    for (size_t i = 0; i < 5 * expected.n / 49; i++) {
        OK(sae_text_next(text, 1, ids, mask, &n, &err));
        ck_assert_int_eq(n, 1);
        for (size_t k = 1; k < 50; k++) ck_assert_int_eq(ids[k], expected.ids[(i * 49 + k - 1) % expected.n]);
    }
    sae_text_free(text);
    json_decref(first);
    json_decref(second);
    json_decref(all);
    sae_tokenizer_free(tok);
    scratch_remove();
}
END_TEST

START_TEST(test_defaults)
{
    sae_tokenizer *tok = open_tokenizer(smollm2);
    json_t *documents = random_documents(4, 30);
    const char *path = write_documents("defaults.jsonl", documents);
    sae_text *text = open_text(tok, path, NULL);
    int32_t ids[256];
    uint8_t mask[256];
    int64_t n;

    OK(sae_text_next(text, 1, ids, mask, &n, &err));
    ck_assert_int_eq(n, 1);
    ck_assert_int_eq(ids[0], 0);
    sae_text_free(text);
    sae_text_free(NULL);
    text = open_text(tok, scratch_text("empty.txt", "\n \n"), NULL);
    OK(sae_text_next(text, 1, ids, mask, &n, &err));
    ck_assert_int_eq(n, 0);
    sae_text_free(text);
    json_decref(documents);
    sae_tokenizer_free(tok);
    scratch_remove();
}
END_TEST

/* ---- Splits -------------------------------------------------------------------------------------------------------------------- */

/* How often the stream holds each document, which is known by its only token. */
static void count_documents(int *counts, const sae_tokenizer *tok, const char *path, sae_split split, double held_out)
{
    static token_stream got;
    sae_text_options options = {.ctx = 2, .separator = -1, .split = split, .held_out = held_out};
    sae_text *text = open_text(tok, path, &options);

    read_stream(&got, text, 2, 16, 0);
    memset(counts, 0, 2000 * sizeof *counts);
    for (size_t i = 0; i < got.n; i += 2) {
        ck_assert(got.ids[i] >= 1000 && got.ids[i] < 3000);
        ck_assert_int_eq(got.ids[i + 1], 0);
        counts[got.ids[i] - 1000]++;
    }
    sae_text_free(text);
}

START_TEST(test_splits_part_the_documents)
{
    static int all[2000], train[2000], held[2000], fewer[2000];
    sae_tokenizer *tok = open_tokenizer(smollm2);
    json_t *documents = json_array();
    int n_held = 0, n_fewer = 0, n = 0;
    const char *path;

    /* Documents of one token each, every third one twice. */
    for (int32_t id = 1000; id < 3000; id++) {
        int32_t *ids;
        size_t n_ids, bytes;
        char *text;
        OK(sae_tokenizer_decode(tok, &id, 1, &text, &bytes, &err));
        OK(sae_tokenizer_encode(tok, text, bytes, true, &ids, &n_ids, &err));
        json_t *document = n_ids == 1 ? json_stringn(text, bytes) : NULL; /* NULL: not UTF-8, or cut otherwise */
        for (int i = 0; document && i < (id % 3 ? 1 : 2); i++) json_array_append(documents, document);
        n += document != NULL;
        json_decref(document);
        free(text);
        free(ids);
    }
    ck_assert_int_gt(n, 1700);
    path = write_documents("splits.jsonl", documents);
    count_documents(all, tok, path, SAE_SPLIT_ALL, 0);
    count_documents(train, tok, path, SAE_SPLIT_TRAIN, 0.2);
    count_documents(held, tok, path, SAE_SPLIT_HELD_OUT, 0.2);
    count_documents(fewer, tok, path, SAE_SPLIT_HELD_OUT, 0);
    for (int i = 0; i < 2000; i++) {
        ck_assert_int_eq(train[i] + held[i], all[i]);
        ck_assert(train[i] == 0 || held[i] == 0);
        ck_assert(fewer[i] == 0 || held[i] == all[i]); /* a smaller share is a part of a larger one */
        n_held += held[i] > 0;
        n_fewer += fewer[i] > 0;
    }
    /* Binomial: standard deviations are 0.009 and 0.005. */
    ck_assert_double_eq_tol((double)n_held / n, 0.2, 0.04);
    ck_assert_double_eq_tol((double)n_fewer / n, 0.05, 0.02);
    json_decref(documents);
    sae_tokenizer_free(tok);
    scratch_remove();
}
END_TEST

/* ---- Places -------------------------------------------------------------------------------------------------------------------- */

START_TEST(test_seeking_is_reading_on)
{
    enum { CTX = 40, MOST = 400 };
    static int32_t ids[MOST][CTX];
    static uint8_t mask[MOST][CTX];
    sae_tokenizer *tok = open_tokenizer(smollm2);
    json_t *documents = random_documents(5, 60);
    const char *path = write_documents("seek.jsonl", documents);
    rng r = rng_seed(6, 0);

    for (int repeat = 0; repeat < 2; repeat++) {
        sae_text_options options = {
            .ctx = CTX, .separator = -1, .split = SAE_SPLIT_TRAIN, .held_out = 0.3, .repeat = repeat};
        sae_text *whole = open_text(tok, path, &options), *jumping;
        int32_t got_ids[CTX];
        uint8_t got_mask[CTX];
        int64_t n, total, got;
        OK(sae_text_next(whole, MOST, ids[0], mask[0], &n, &err));
        ck_assert(repeat ? n == MOST : n > 10 && n < MOST);
        total = n;
        uint64_t hash_at[MOST + 1];
        double passes_at[MOST + 1];
        sae_text *straight = open_text(tok, path, &options);
        for (int64_t i = 0; i <= total; i++) {
            hash_at[i] = sae_text_hash(straight);
            passes_at[i] = sae_text_passes(straight);
            OK(sae_text_next(straight, 1, got_ids, got_mask, &got, &err));
        }
        sae_text_free(straight);
        ck_assert(passes_at[10] == 0 && (repeat ? passes_at[total] > 1 : passes_at[total] == 0));
        for (int fresh = 0; fresh < 2; fresh++) { /* one text for all jumps, or a new one for each */
            jumping = open_text(tok, path, &options);
            for (int jump = 0; jump < 60; jump++) {
                int64_t to = (int64_t)rng_below(&r, (uint64_t)total);
                if (fresh) {
                    sae_text_free(jumping);
                    jumping = open_text(tok, path, &options);
                }
                OK(sae_text_seek(jumping, to, &err));
                ck_assert_int_eq(sae_text_tell(jumping), to);
                ck_assert_uint_eq(sae_text_hash(jumping), hash_at[to]); /* whatever was read before */
                ck_assert_double_eq(sae_text_passes(jumping), passes_at[to]);
                for (int64_t i = to; i < total && i < to + 3; i++) {
                    OK(sae_text_next(jumping, 1, got_ids, got_mask, &got, &err));
                    ck_assert_int_eq(got, 1);
                    ck_assert(memcmp(got_ids, ids[i], sizeof got_ids) == 0);
                    ck_assert(memcmp(got_mask, mask[i], sizeof got_mask) == 0);
                }
            }
            OK(sae_text_seek(jumping, total, &err));
            if (!repeat) OK(sae_text_next(jumping, 1, got_ids, got_mask, &got, &err));
            if (!repeat) ck_assert_int_eq(got, 0);
            ck_assert_uint_eq(sae_text_hash(jumping), sae_text_hash(whole));
            if (repeat) /* far ahead costs two readings at most */
                OK(sae_text_seek(jumping, INT64_MAX / CTX, &err));
            else
                FAILS(sae_text_seek(jumping, total + 1, &err), SAE_RANGE,
                      "lies behind the end of the text, which holds");
            FAILS(sae_text_seek(jumping, -1, &err), SAE_RANGE, "sequence number -1");
            sae_text_free(jumping);
        }
        sae_text_free(whole);
    }
    json_decref(documents);
    sae_tokenizer_free(tok);
    scratch_remove();
}
END_TEST

START_TEST(test_hash_tells_texts_and_options_apart)
{
    sae_tokenizer *tok = open_tokenizer(smollm2);
    json_t *documents = random_documents(7, 60);
    const char *paths[2];
    sae_text_options options[] = {sae_text_defaults(), sae_text_defaults(), sae_text_defaults(),
                                  sae_text_defaults(), sae_text_defaults(), sae_text_defaults()};
    uint64_t hashes[8];
    int n_hashes = 0;
    int32_t ids[256];
    uint8_t mask[256];
    int64_t n = 1;

    paths[0] = write_documents("a.jsonl", documents);
    json_array_set_new(documents, 40, json_string("changed"));
    paths[1] = write_documents("b.jsonl", documents);
    options[1].ctx = 255;
    options[2].separator = 2;
    options[3].split = SAE_SPLIT_TRAIN;
    options[4].split = SAE_SPLIT_TRAIN;
    options[4].held_out = 0.1;
    for (int file = 0; file < 2; file++)
        for (int i = 0; i < (file ? 1 : 6); i++) {
            sae_text *text = open_text(tok, paths[file], &options[i]);
            for (n = 1; n > 0;) OK(sae_text_next(text, 1, ids, mask, &n, &err));
            hashes[n_hashes++] = sae_text_hash(text);
            sae_text_free(text);
        }
    ck_assert_uint_eq(hashes[0], hashes[5]);
    for (int i = 0; i < n_hashes; i++)
        for (int k = 0; k < i; k++) ck_assert(hashes[i] != hashes[k] || (i == 5 && k == 0));
    json_decref(documents);
    sae_tokenizer_free(tok);
    scratch_remove();
}
END_TEST

/* ---- Files --------------------------------------------------------------------------------------------------------------------- */

/* All documents of files, each followed by a form feed. */
static char *read_documents(const char *const *paths, int n_paths)
{
    size_t room = (size_t)8 << 20, n = 0, bytes;
    char *all = malloc(room);
    const char *text;
    corpus *c;

    OK(corpus_open(&c, paths, n_paths, &err));
    for (;;) {
        OK(corpus_next(c, &text, &bytes, &err));
        if (!text) break;
        ck_assert_uint_gt(bytes, 0);
        ck_assert_uint_lt(n + bytes + 2, room);
        memcpy(all + n, text, bytes);
        n += bytes;
        all[n++] = '\f';
    }
    all[n] = 0;
    corpus_free(c);
    return all;
}

static void expect_documents(const char *path, const char *expected)
{
    char *got = read_documents(&path, 1);
    ck_assert_str_eq(got, expected);
    free(got);
}

static const char *write_gzip(const char *name, const char *text)
{
    const char *path = scratch_path(name);
    gzFile file = gzopen(path, "wb");
    ck_assert_int_eq(gzwrite(file, text, (unsigned)strlen(text)), (int)strlen(text));
    gzclose(file);
    return path;
}

static const char *write_zstd(const char *name, const char *text, size_t bytes)
{
    size_t room = ZSTD_compressBound(bytes);
    char *packed = malloc(room);
    size_t n = ZSTD_compress(packed, room, text, bytes, 1);
    ck_assert(!ZSTD_isError(n));
    const char *path = fixture_write(name, packed, n);
    free(packed);
    return path;
}

/* Puts a file in the place of standard input. */
static void be_stdin(const char *path)
{
    int fd = open(path, O_RDONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(dup2(fd, 0), 0);
    close(fd);
}

/* Sequences that are there already come as they stand, from any place, once or again and again; another mask is another text. */
START_TEST(test_sequences_that_are_given)
{
    enum { N = 5, CTX = 4 };
    int32_t given[N * CTX], ids[2 * N * CTX];
    uint8_t mask[N * CTX], got_mask[2 * N * CTX];
    sae_text *text = NULL, *other = NULL;
    int64_t got = 0;

    for (int i = 0; i < N * CTX; i++) given[i] = 100 + i, mask[i] = i % 3 != 0;
    for (int repeat = 0; repeat < 2; repeat++) {
        OK(sae_text_open_ids(&text, given, mask, N, CTX, repeat, &err));
        ck_assert_int_eq(sae_text_ctx(text), CTX);
        for (int64_t from = 0; from <= N; from++) {
            OK(sae_text_seek(text, from, &err));
            OK(sae_text_next(text, N, ids, got_mask, &got, &err));
            ck_assert_int_eq(got, repeat ? N : N - from);
            ck_assert_int_eq(sae_text_tell(text), from + got);
            ck_assert_double_eq(sae_text_passes(text), from + got > N ? (double)(from + got) / N : 0);
            for (int64_t i = 0; i < got * CTX; i++) {
                int64_t at = (from * CTX + i) % (N * CTX);
                ck_assert(ids[i] == given[at] && got_mask[i] == mask[at]);
            }
        }
        if (repeat)
            OK(sae_text_seek(text, 1000 * N + 2, &err));
        else
            FAILS(sae_text_seek(text, N + 1, &err), SAE_RANGE, "behind the end");
        FAILS(sae_text_seek(text, -1, &err), SAE_RANGE, "sequence number -1");
        uint64_t hash = sae_text_hash(text);
        sae_text_free(text);
        mask[7] ^= 1;
        OK(sae_text_open_ids(&other, given, mask, N, CTX, repeat, &err));
        ck_assert_uint_ne(sae_text_hash(other), hash);
        sae_text_free(other);
        mask[7] ^= 1;
    }
    FAILS(sae_text_open_ids(&text, given, mask, 0, CTX, false, &err), SAE_SHAPE, "0 sequences");
    FAILS(sae_text_open_ids(&text, given, mask, N, 1, false, &err), SAE_SHAPE, "of 1 tokens");
    ck_assert_uint_eq(mem_in_use(), 0);
}
END_TEST

START_TEST(test_files_of_every_kind)
{
    static const char lines[] = "{\"text\": \"one\\n\\ntwo\", \"meta\": {\"text\": 3}}\n\n  {\"text\": \"\"}\r\n"
                                "{\"text\": \"a\\u0001\\u00e9\"}";
    static const char documents[] = "one\n\ntwo\fa\001\xc3\xa9\f";
    static const char prose[] = "\n one\n\ntwo {\n   \n\n", prose_documents[] = " one\n\ntwo {\f";

    expect_documents(scratch_text("a.jsonl", lines), documents);
    expect_documents(write_gzip("a.jsonl.gz", lines), documents);
    expect_documents(write_zstd("a.jsonl.zst", lines, sizeof lines - 1), documents);
    expect_documents(scratch_text("a.txt", prose), prose_documents);
    expect_documents(write_gzip("a.txt.gz", prose), prose_documents);
    expect_documents(write_zstd("a.txt.zst", prose, sizeof prose - 1), prose_documents);
    be_stdin(scratch_path("a.jsonl"));
    expect_documents("-", documents);
    be_stdin(scratch_path("a.txt"));
    expect_documents("-", prose_documents);
    scratch_remove();
}
END_TEST

START_TEST(test_a_long_txt_is_cut_at_blank_lines)
{
    size_t room = (size_t)2 << 20, n = 0, n_documents = 0;
    char *text = malloc(room), *plain = malloc(room), *documents, *p;
    rng r = rng_seed(9, 0);
    size_t n_plain = 0;
    const char *path;

    /* Paragraphs of lines; then a stretch without a blank line. */
    while (n < room / 2) {
        int length = (int)rng_below(&r, 120);
        bool dense = n > room / 4;
        if (length == 0 && dense) continue;
        for (int i = 0; i < length; i++) plain[n_plain++] = text[n++] = (char)('a' + rng_below(&r, 26));
        text[n++] = '\n';
        if (!dense && rng_below(&r, 10) == 0) text[n++] = '\n';
    }
    plain[n_plain] = 0;
    path = fixture_write("long.txt", text, n);
    documents = read_documents(&path, 1);
    for (char *at = documents, *end; *at; at = end + 1, n_documents++) {
        size_t size;
        end = strchr(at, '\f');
        size = (size_t)(end - at);
        ck_assert(at[0] != '\n' && end[-1] != '\n'); /* blank lines between documents are dropped */
        ck_assert_uint_lt(size, CORPUS_DOCUMENT_MOST + 121);
        if (end[1]) ck_assert_uint_ge(size, CORPUS_DOCUMENT_BYTES);
        p = memmem(at, size, "\n\n", 2); /* and none but the last could have ended it earlier */
        while (p && p - at < CORPUS_DOCUMENT_BYTES) p = memmem(p + 1, size - (size_t)(p + 1 - at), "\n\n", 2);
        ck_assert_ptr_null(p);
    }
    ck_assert_uint_gt(n_documents, 200);
    for (p = documents, n = 0; *p; p++) /* every letter is there, in order */
        if (*p != '\n' && *p != '\f') ck_assert_int_eq(*p, plain[n++]);
    ck_assert_uint_eq(n, n_plain);
    free(text);
    free(plain);
    free(documents);
    scratch_remove();
}
END_TEST

/* ---- Wrong input --------------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name, *content;
    sae_status code;
    const char *message;
} wrong_files[] = {
    {"a.jsonl", "{\"text\": \"x\"}\n{\"text\": 3}\n", SAE_FORMAT, "a.jsonl, line 2: expected an object with a string"},
    {"a.jsonl", "{\"text\": \"x\"}\n\n{\"txt\": \"x\"}\n", SAE_FORMAT, "a.jsonl, line 3: expected an object"},
    {"a.jsonl", "[1]\n", SAE_FORMAT, "a.jsonl, line 1: expected an object"},
    {"a.jsonl", "{\"text\": \"x\n", SAE_FORMAT, "a.jsonl, line 1: not valid JSON"},
    {"a.jsonl", "{\"text\": \"\xff\"}\n", SAE_FORMAT, "a.jsonl, line 1: not valid JSON"},
    {"a.jsonl.gz", "{\"text\": \"x\"}\n\x1f", SAE_FORMAT, "a.jsonl.gz"},
    {"a.csv", "x", SAE_UNSUPPORTED, "a.csv: not a file of text by its name; expected .txt or .jsonl"},
    {"a.zst", "x", SAE_UNSUPPORTED, "a.zst: not a file of text by its name"},
    {"a.txt", NULL, SAE_IO, "a.txt: no such file"},
};

START_TEST(test_wrong_files)
{
    const char *path = wrong_files[_i].content ? scratch_text(wrong_files[_i].name, wrong_files[_i].content)
                                               : scratch_path(wrong_files[_i].name);
    sae_tokenizer *tok = open_tokenizer(smollm2);
    sae_error error = {0};
    sae_text *text = NULL;
    int32_t ids[256];
    uint8_t mask[256];
    int64_t n = -5;
    sae_status status = sae_text_open(&text, tok, &path, 1, NULL, &error);

    if (status == SAE_OK) {
        status = sae_text_next(text, 1, ids, mask, &n, &error);
        ck_assert_int_eq(n, -5);
        FAILS(sae_text_next(text, 1, ids, mask, &n, &err), SAE_STATE, "open it again");
    }
    ck_assert_msg(status == wrong_files[_i].code && strstr(error.message, wrong_files[_i].message), "got %s \"%s\"",
                  sae_status_name(status), error.message);
    sae_text_free(text);
    sae_tokenizer_free(tok);
    ck_assert_uint_eq(mem_in_use(), 0);
    scratch_remove();
}
END_TEST

static const struct {
    sae_text_options options;
    const char *message;
} wrong_options[] = {
    {{.ctx = 1, .separator = -1}, "sequences of 1 tokens; expected 2"},
    {{.ctx = -3, .separator = -1}, "sequences of -3 tokens"},
    {{.separator = -1, .held_out = 1}, "the held-out share is 1"},
    {{.separator = -1, .held_out = -0.1}, "the held-out share is -0.1"},
    {{.separator = 49152}, "separator 49152 is not in the vocabulary; ids are 0 to 49151"},
    {{.separator = -2}, "separator -2"},
    {{.separator = -1, .split = (sae_split)7}, "split 7"},
};

START_TEST(test_wrong_options)
{
    const char *path = scratch_text("a.txt", "x");
    sae_tokenizer *tok = open_tokenizer(smollm2);
    sae_text *text = NULL;

    FAILS(sae_text_open(&text, tok, &path, 1, &wrong_options[_i].options, &err), SAE_RANGE, wrong_options[_i].message);
    ck_assert_ptr_null(text);
    sae_tokenizer_free(tok);
    ck_assert_uint_eq(mem_in_use(), 0);
    scratch_remove();
}
END_TEST

START_TEST(test_what_cannot_be_done)
{
    const char *const two[] = {"-", "-"}, *path = scratch_text("a.txt", "\n\n");
    sae_text_options repeat = {.separator = -1, .repeat = true, .ctx = 4};
    sae_tokenizer *tok = open_tokenizer(smollm2), *small = NULL;
    sae_text *text = NULL;
    int32_t ids[400];
    uint8_t mask[400];
    int64_t n;

    FAILS(sae_text_open(&text, tok, two, 2, NULL, &err), SAE_RANGE, "only once");
    FAILS(sae_text_open(&text, tok, two, 0, NULL, &err), SAE_RANGE, "no file of text was given");
    OK(sae_tokenizer_open(&small, scratch_json("tokenizer.json", small_tokenizer(NULL, NULL, NULL)), &err));
    FAILS(sae_text_open(&text, small, &path, 1, NULL, &err), SAE_RANGE, "give a separator's id");

    text = open_text(tok, path, &repeat); /* would go round for ever */
    FAILS(sae_text_next(text, 1, ids, mask, &n, &err), SAE_FORMAT, "the files hold no text");
    sae_text_free(text);
    repeat.split = SAE_SPLIT_HELD_OUT;
    repeat.held_out = 1e-12;
    text = open_text(tok, scratch_text("b.txt", "words"), &repeat);
    FAILS(sae_text_next(text, 1, ids, mask, &n, &err), SAE_FORMAT, "that falls into this split");
    sae_text_free(text);

    repeat.split = SAE_SPLIT_ALL;
    be_stdin(scratch_text("c.txt", "one two three four five six"));
    text = open_text(tok, "-", &repeat);
    OK(sae_text_next(text, 1, ids, mask, &n, &err));
    FAILS(sae_text_next(text, 5, ids, mask, &n, &err), SAE_STATE, "standard input cannot be read a second time");
    sae_text_free(text);
    sae_tokenizer_free(small);
    sae_tokenizer_free(tok);
    scratch_remove();
}
END_TEST

START_TEST(test_a_line_without_end_is_refused)
{
    size_t size = ((size_t)64 << 20) + 2;
    char *line = malloc(size);
    sae_tokenizer *tok = open_tokenizer(smollm2);
    int32_t ids[256];
    uint8_t mask[256];
    sae_text *text;
    int64_t n;

    memset(line, 'a', size);
    text = open_text(tok, write_zstd("line.txt.zst", line, size), NULL); /* a bomb of a few kB */
    FAILS(sae_text_next(text, 1, ids, mask, &n, &err), SAE_FORMAT, "line 1 is longer than");
    sae_text_free(text);
    free(line);
    sae_tokenizer_free(tok);
    ck_assert_uint_eq(mem_in_use(), 0);
    scratch_remove();
}
END_TEST

START_TEST(test_every_allocation_may_fail)
{
    sae_tokenizer *tok = open_tokenizer(smollm2);
    json_t *documents = random_documents(8, 40);
    const char *paths[] = {write_documents("memory.jsonl", documents), scratch_text("memory.txt", "some words\n")};
    sae_text_options options = {.ctx = 8, .separator = -1, .repeat = true};
    size_t before = 0;
    int failures = 0;

    for (int64_t nth = 0;; nth++) { /* first without failures: the tokenizer takes its scratch */
        static int32_t ids[300 * 8];
        static uint8_t mask[300 * 8];
        sae_error error = {0};
        sae_text *text = NULL;
        int64_t n;
        mem_fail_nth(nth);
        sae_status status = sae_text_open(&text, tok, paths, 2, &options, &error);
        if (status == SAE_OK) status = sae_text_next(text, 300, ids, mask, &n, &error);
        mem_fail_nth(0);
        ck_assert(status == SAE_OK || (status == SAE_NOMEM && error.message[0]));
        sae_text_free(text);
        if (nth == 0) before = mem_in_use();
        ck_assert_uint_eq(mem_in_use(), before);
        if (nth > 0 && status == SAE_OK) break;
        failures += nth > 0;
    }
    ck_assert_int_gt(failures, 8);
    json_decref(documents);
    sae_tokenizer_free(tok);
    ck_assert_uint_eq(mem_in_use(), 0);
    scratch_remove();
}
END_TEST

#define COUNT(table) ((int)(sizeof(table) / sizeof(table)[0]))

int main(void)
{
    Suite *suite = suite_create("text");
    TCase *laws = tcase_create("laws"), *wrong = tcase_create("wrong input");

    tcase_set_timeout(laws, 60);
    tcase_add_loop_test(laws, test_packing_keeps_every_token_in_order, 0, COUNT(packings));
    tcase_add_test(laws, test_several_files_and_repeat);
    tcase_add_test(laws, test_defaults);
    tcase_add_test(laws, test_splits_part_the_documents);
    tcase_add_test(laws, test_seeking_is_reading_on);
    tcase_add_test(laws, test_hash_tells_texts_and_options_apart);
    tcase_add_test(laws, test_sequences_that_are_given);
    tcase_add_test(laws, test_files_of_every_kind);
    tcase_add_test(laws, test_a_long_txt_is_cut_at_blank_lines);
    suite_add_tcase(suite, laws);
    tcase_set_timeout(wrong, 60);
    tcase_add_loop_test(wrong, test_wrong_files, 0, COUNT(wrong_files));
    tcase_add_loop_test(wrong, test_wrong_options, 0, COUNT(wrong_options));
    tcase_add_test(wrong, test_what_cannot_be_done);
    tcase_add_test(wrong, test_a_line_without_end_is_refused);
    tcase_add_test(wrong, test_every_allocation_may_fail);
    suite_add_tcase(suite, wrong);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
