/*
 * test_stream.c - plain, zstd and gzip streams: the same lines and bytes from each, and no shortened text.
 */
#include "io_check.h"

static void assert_stream_lines(const char *path, const bytes *text)
{
    stream *s;
    const char *line;
    size_t n, at = 0;
    int64_t number = 0;

    OK(stream_open(&s, path, &err));
    for (;;) {
        OK(stream_line(s, &line, &n, &err));
        if (!line) break;
        ck_assert_int_eq(stream_line_number(s), ++number);
        ck_assert_uint_le(at + n, text->n);
        ck_assert_mem_eq(line, text->data + at, n);
        ck_assert_int_eq(line[n], '\0');
        at += n;
        if (at < text->n) ck_assert_int_eq(text->data[at++], '\n');
    }
    ck_assert_uint_eq(at, text->n);
    OK(stream_line(s, &line, &n, &err)); /* the end stays the end */
    ck_assert_ptr_null(line);
    stream_close(s);
}

/* Odd sizes, and a line in between. */
static void assert_stream_bytes(const char *path, const bytes *text)
{
    static unsigned char buffer[70001];
    stream *s;
    const char *line;
    size_t n, at = 0;

    OK(stream_open(&s, path, &err));
    OK(stream_line(s, &line, &n, &err));
    at = n + 1;
    for (size_t room = 1;; room = room * 3 % sizeof buffer + 1) {
        OK(stream_read(s, buffer, room, &n, &err));
        if (n == 0) break;
        ck_assert_uint_le(at + n, text->n);
        ck_assert_mem_eq(buffer, text->data + at, n);
        at += n;
    }
    ck_assert_uint_eq(at, text->n);
    stream_close(s);
}

START_TEST(test_streams_of_every_kind)
{
    bytes text = long_text(), zst = {0}, gz = {0}, part;
    size_t half = text.n / 2;
    const char *names[] = {"x.txt", "x.zst", "x.gz", "unnamed zst", "unnamed gz"};

    /* two frames or members, with a skippable frame before and zeros behind */
    put(&zst, "\x50\x2a\x4d\x18\x03\x00\x00\x00xyz", 11);
    for (int i = 0; i < 2; i++) {
        part = zstd_frame(text.data + (i ? half : 0), i ? text.n - half : half);
        put(&zst, part.data, part.n);
        bytes_free(&part);
        part = gzip_member(text.data + (i ? half : 0), i ? text.n - half : half);
        put(&gz, part.data, part.n);
        bytes_free(&part);
    }
    put(&gz, NULL, 512);
    const bytes *contents[] = {&text, &zst, &gz, &zst, &gz};
    for (int i = 0; i < 5; i++) {
        write_bytes(in_scratch(names[i]), contents[i]->data, contents[i]->n);
        assert_stream_lines(in_scratch(names[i]), &text);
        assert_stream_bytes(in_scratch(names[i]), &text);
        ck_assert_ptr_nonnull(freopen(in_scratch(names[i]), "r", stdin));
        assert_stream_lines("-", &text);
    }
    bytes_free(&text);
    bytes_free(&zst);
    bytes_free(&gz);
}
END_TEST

START_TEST(test_short_streams)
{
    static const struct {
        const char *text;
        int lines;
    } cases[] = {{"", 0}, {"\n", 1}, {"a", 1}, {"a\n", 1}, {"\n\n", 2}, {"a\nb", 2}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *line;
        size_t n;
        stream *s;
        write_bytes(in_scratch("x"), cases[i].text, strlen(cases[i].text));
        OK(stream_open(&s, in_scratch("x"), &err));
        ck_assert_str_eq(stream_path(s), in_scratch("x"));
        do OK(stream_line(s, &line, &n, &err));
        while (line);
        ck_assert_int_eq(stream_line_number(s), cases[i].lines);
        stream_close(s);
    }
}
END_TEST

/* Every prefix of a compressed file is an error that names the file, and never a shorter text. */
START_TEST(test_truncated_streams)
{
    const char text[] = "one line\nand another line\n";
    bytes whole[2] = {zstd_frame(text, sizeof text - 1), gzip_member(text, sizeof text - 1)};

    for (int k = 0; k < 2; k++) {
        const char *path = in_scratch(k ? "x.gz" : "x.zst");
        for (size_t n = 0; n < whole[k].n; n++) {
            write_bytes(path, whole[k].data, n);
            FAILS(SAE_FORMAT, path, use_stream(path, &err));
        }
        write_bytes(path, whole[k].data, whole[k].n);
        OK(use_stream(path, &err));
        put(&whole[k], "garbage", 7);
        write_bytes(path, whole[k].data, whole[k].n);
        FAILS(SAE_FORMAT, path, use_stream(path, &err));
        bytes_free(&whole[k]);
    }
}
END_TEST

START_TEST(test_streams_that_are_refused)
{
    stream *s;

    write_bytes(in_scratch("x.xz"), "\xfd\x37zXZ\0\0\0", 8);
    FAILS(SAE_UNSUPPORTED, "xz", stream_open(&s, in_scratch("x.xz"), &err));
    write_bytes(in_scratch("x.parquet"), "PAR1....", 8);
    FAILS(SAE_UNSUPPORTED, "parquet", stream_open(&s, in_scratch("x.parquet"), &err));
    write_bytes(in_scratch("x.gz"), "plain text", 10);
    FAILS(SAE_FORMAT, "misnamed", stream_open(&s, in_scratch("x.gz"), &err));
    FAILS(SAE_IO, "folder", stream_open(&s, scratch, &err));
    FAILS(SAE_IO, "No such file", stream_open(&s, in_scratch("no"), &err));
}
END_TEST

START_TEST(test_line_limit)
{
    const size_t limit = (size_t)64 << 20;
    bytes text = {0};

    put(&text, NULL, limit);
    memset(text.data, 'x', text.n);
    put_text(&text, "\n");
    write_bytes(in_scratch("x"), text.data, text.n);
    OK(use_stream(in_scratch("x"), &err));
    put_text(&text, "y");
    text.data[limit] = 'x';
    put_text(&text, "\n");
    write_bytes(in_scratch("x"), text.data, text.n);
    FAILS(SAE_FORMAT, "line 1 is longer", use_stream(in_scratch("x"), &err));
    bytes_free(&text);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_streams_of_every_kind,    test_short_streams, test_truncated_streams,
        test_streams_that_are_refused, test_line_limit,
    };
    return run_tests("stream", tests, sizeof tests / sizeof *tests);
}
