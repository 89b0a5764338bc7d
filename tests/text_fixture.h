/* text_fixture.h - what the tests of the tokenizer and of text share: expectations, scratch files, small tokenizers. */
#ifndef SAE_TESTS_TEXT_FIXTURE_H
#define SAE_TESTS_TEXT_FIXTURE_H

#include "text/tokenizer.h"
#include "io/io.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OK(expression)                                                                                                 \
    do {                                                                                                               \
        sae_error err = {0};                                                                                           \
        sae_status status_ = (expression);                                                                             \
        ck_assert_msg(status_ == SAE_OK, "%s: %s", sae_status_name(status_), err.message);                             \
    } while (0)

/* The call fails with this code, and its message holds this text. */
#define FAILS(expression, expected, text)                                                                              \
    do {                                                                                                               \
        sae_error err = {0};                                                                                           \
        sae_status status_ = (expression);                                                                             \
        ck_assert_msg(status_ == (expected) && strstr(err.message, (text)), "got %s \"%s\", expected %s with \"%s\"",  \
                      sae_status_name(status_), err.message, sae_status_name(expected), (text));                       \
    } while (0)

/* A folder of this process; made at the first call, removed by scratch_remove. */
static inline const char *scratch_folder(void)
{
    static char folder[64];
    snprintf(folder, sizeof folder, ".scratch/text-%ld", (long)getpid());
    OK(folder_make(folder, &err));
    return folder;
}

static inline void scratch_remove(void) { OK(folder_remove(scratch_folder(), &err)); }

/* The path of a scratch file; one of eight buffers in turn. */
static inline const char *scratch_path(const char *name)
{
    static char paths[8][160];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", scratch_folder(), name);
    return path;
}

static inline const char *fixture_write(const char *name, const void *data, size_t bytes)
{
    const char *path = scratch_path(name);
    OK(file_write_text(path, data, bytes, true, &err));
    return path;
}

static inline const char *scratch_text(const char *name, const char *text)
{
    return fixture_write(name, text, strlen(text));
}

static inline const char *scratch_json(const char *name, json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT);
    const char *path = scratch_text(name, text);
    free(text);
    json_decref(value);
    return path;
}

/* Unpacks a .zst or .gz file into a scratch file. */
static inline const char *scratch_unpack(const char *packed, const char *name)
{
    const size_t room = (size_t)8 << 20;
    char *text = malloc(room);
    size_t bytes = 0, got = 1;
    stream *s;

    OK(stream_open(&s, packed, &err));
    for (; got > 0; bytes += got) {
        OK(stream_read(s, text + bytes, room - bytes, &got, &err));
        ck_assert_uint_lt(bytes + got, room);
    }
    stream_close(s);
    const char *path = fixture_write(name, text, bytes);
    free(text);
    return path;
}

/* Lines of a .jsonl file as a JSON array. */
static inline json_t *read_lines(const char *path)
{
    json_t *lines = json_array(), *value;
    const char *line;
    size_t bytes;
    stream *s;

    OK(stream_open(&s, path, &err));
    for (;;) {
        OK(stream_line(s, &line, &bytes, &err));
        if (!line) break;
        OK(json_parse(&value, line, bytes, path, &err));
        json_array_append_new(lines, value);
    }
    stream_close(s);
    return lines;
}

/* A tokenizer.json with the 256 bytes as ids 0 .. 255, "ab" 256, "abc" 257, " a" 258, and the given members. */
static inline json_t *small_tokenizer(json_t *added, json_t *normalizer, json_t *pre_tokenizer)
{
    static const char *const pieces[] = {"ab", "abc", "\xc4\xa0\x61"};
    json_t *vocabulary = json_object();
    int code = 0x100;

    for (int b = 0; b < 256; b++) {
        bool shown = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        int c = shown ? b : code++;
        char name[3] = {(char)c, 0, 0};
        if (c >= 0x80) {
            name[0] = (char)(0xc0 | c >> 6);
            name[1] = (char)(0x80 | (c & 0x3f));
        }
        json_object_set_new(vocabulary, name, json_integer(b));
    }
    for (int i = 0; i < 3; i++) json_object_set_new(vocabulary, pieces[i], json_integer(256 + i));
    return json_pack("{s:o, s:o, s:o, s:{s:s, s:o, s:[s, [s, s], s]}}", "added_tokens", added ? added : json_array(),
                     "normalizer", normalizer ? normalizer : json_null(), "pre_tokenizer",
                     pre_tokenizer ? pre_tokenizer
                                   : json_pack("{s:s, s:b}", "type", "ByteLevel", "add_prefix_space", 0),
                     "model", "type", "BPE", "vocab", vocabulary, "merges", "a b", "ab", "c", "\xc4\xa0 a");
}

/* ---- Tokenizers ------------------------------------------------------------------------------------------------ */

static inline sae_tokenizer *open_tokenizer(const char *path)
{
    sae_tokenizer *tok = NULL;
    OK(sae_tokenizer_open(&tok, path, &err));
    return tok;
}

static inline void show_ids(char *out, size_t size, const int32_t *ids, size_t n)
{
    size_t used = 0;
    out[0] = 0;
    for (size_t i = 0; i < n && used + 16 < size; i++) used += (size_t)snprintf(out + used, size - used, "%d ", ids[i]);
}

static inline void expect_ids(const sae_tokenizer *tok, const char *text, size_t bytes, bool special,
                              const int32_t *expected, size_t n)
{
    char got[2000], wanted[2000];
    int32_t *ids;
    size_t n_ids;

    OK(sae_tokenizer_encode(tok, text, bytes, special, &ids, &n_ids, &err));
    show_ids(got, sizeof got, ids, n_ids);
    show_ids(wanted, sizeof wanted, expected, n);
    ck_assert_msg(n_ids == n && memcmp(ids, expected, n * sizeof *ids) == 0, "\"%.*s\": got %s, expected %s",
                  (int)bytes, text, got, wanted);
    free(ids);
}

#endif
