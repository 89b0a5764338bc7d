/*
 * stream.c - bytes and lines from plain, zstd and gzip files and from standard input.
 *
 * What a stream is shows in its first bytes, not in its name; a name that promises compression must keep the promise.
 * A compressed stream that stops in the middle is an error, never a short text.
 */
#include "io/bytes.h"
#include "io/io.h"
#include "io/system.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

enum { CHUNK = 1 << 17, FIRST_LINE = 1 << 16 };
static const size_t line_limit = (size_t)64 << 20;

typedef enum packing { PLAIN, ZSTD, GZIP } packing;

struct stream {
    char *path;
    int fd;
    bool fd_owned;
    packing kind;
    ZSTD_DStream *zstd;
    z_stream gzip;
    bool gzip_ready, in_member; /* in_member: inside a zstd frame or a gzip member */
    unsigned char *in;          /* bytes as they lie in the file */
    size_t in_at, in_end;
    bool in_done;
    char *line; /* unpacked text not yet given: [line_at, line_end) */
    size_t line_room, line_at, line_end;
    int64_t line_number;
};

/* ---- Input ---------------------------------------------------------------------------------------------------------------- */

static sae_status fill(stream *s, sae_error *err)
{
    if (s->in_done) return SAE_OK;
    memmove(s->in, s->in + s->in_at, s->in_end - s->in_at);
    s->in_end -= s->in_at;
    s->in_at = 0;
    ssize_t got = sys_read(s->fd, s->in + s->in_end, CHUNK - s->in_end);
    if (got < 0) return SAE_FAIL(err, SAE_IO, "%s: cannot be read: %s", s->path, strerror(errno));
    s->in_end += (size_t)got;
    s->in_done = got == 0;
    return SAE_OK;
}

static sae_status truncated(const stream *s, sae_error *err)
{
    return SAE_FAIL(err, SAE_FORMAT,
                    "%s: the compressed data stops in the middle: the file is truncated; fetch it again", s->path);
}

static sae_status read_plain(stream *s, void *buffer, size_t bytes, size_t *got)
{
    size_t n = s->in_end - s->in_at;

    if (n > bytes) n = bytes;
    memcpy(buffer, s->in + s->in_at, n);
    s->in_at += n;
    *got = n;
    return SAE_OK;
}

static sae_status read_zstd(stream *s, void *buffer, size_t bytes, size_t *got, sae_error *err)
{
    ZSTD_inBuffer in = {s->in, s->in_end, s->in_at};
    ZSTD_outBuffer out = {buffer, bytes, 0};
    size_t rest = ZSTD_decompressStream(s->zstd, &out, &in);

    if (ZSTD_isError(rest))
        return SAE_FAIL(err, SAE_FORMAT, "%s: damaged zstd data: %s", s->path, ZSTD_getErrorName(rest));
    s->in_member = rest != 0;
    s->in_at = in.pos;
    *got = out.pos;
    return SAE_OK;
}

/* gzip files may be several members in a row, and may end on zeros (tapes, block devices). */
static sae_status next_member(stream *s, sae_error *err)
{
    while (s->in_at < s->in_end && s->in[s->in_at] == 0) s->in_at++;
    if (s->in_at == s->in_end) return SAE_OK;
    if (s->in[s->in_at] != 0x1f)
        return SAE_FAIL(err, SAE_FORMAT, "%s: what follows the gzip data is not gzip data", s->path);
    inflateReset(&s->gzip);
    s->in_member = true;
    return SAE_OK;
}

static sae_status read_gzip(stream *s, void *buffer, size_t bytes, size_t *got, sae_error *err)
{
    *got = 0;
    if (!s->in_member) {
        sae_status status = next_member(s, err);
        if (status != SAE_OK || !s->in_member) return status;
    }
    unsigned int room = bytes < CHUNK ? (unsigned int)bytes : CHUNK;
    s->gzip.next_in = s->in + s->in_at;
    s->gzip.avail_in = (unsigned int)(s->in_end - s->in_at);
    s->gzip.next_out = buffer;
    s->gzip.avail_out = room;
    int code = inflate(&s->gzip, Z_NO_FLUSH);
    if (code == Z_MEM_ERROR) return SAE_FAIL(err, SAE_NOMEM, "%s: no memory to unpack it", s->path);
    if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
        return SAE_FAIL(err, SAE_FORMAT, "%s: damaged gzip data: %s", s->path,
                        s->gzip.msg ? s->gzip.msg : "no reason given");
    s->in_member = code != Z_STREAM_END;
    s->in_at = s->in_end - s->gzip.avail_in;
    *got = room - s->gzip.avail_out;
    return SAE_OK;
}

/* Unpacks until there is something to give or the end; bytes > 0. */
static sae_status unpack(stream *s, void *buffer, size_t bytes, size_t *got, sae_error *err)
{
    sae_status status = SAE_OK;

    *got = 0;
    for (;;) {
        size_t at = s->in_at;
        bool was_inside = s->in_member;
        if (s->in_at == s->in_end) SAE_TRY(fill(s, err));
        bool at_end = s->in_at == s->in_end && s->in_done;
        if (at_end && !s->in_member) return SAE_OK;
        if (s->kind == PLAIN) SAE_TRY(read_plain(s, buffer, bytes, got));
        if (s->kind == ZSTD) SAE_TRY(read_zstd(s, buffer, bytes, got, err));
        if (s->kind == GZIP) SAE_TRY(read_gzip(s, buffer, bytes, got, err));
        if (*got) return SAE_OK;
        if (at_end && s->in_at == at && was_inside == s->in_member) return truncated(s, err);
    }
done:
    return status;
}

/* ---- Open and close --------------------------------------------------------------------------------------------------------- */

static bool named(const char *path, const char *end)
{
    size_t a = strlen(path), b = strlen(end);

    return a >= b && strcmp(path + a - b, end) == 0;
}

static bool begins(const stream *s, const char *magic, size_t bytes)
{
    return s->in_end >= bytes && memcmp(s->in, magic, bytes) == 0;
}

static sae_status find_kind(stream *s, sae_error *err)
{
    bool zstd = begins(s, "\x28\xb5\x2f\xfd", 4) || (s->in_end >= 4 && (load_u32(s->in) & 0xfffffff0) == 0x184d2a50);
    bool gzip = begins(s, "\x1f\x8b", 2);
    const char *other = begins(s, "\xfd\x37zXZ", 5)  ? "an xz file"
                        : begins(s, "BZh", 3)        ? "a bzip2 file"
                        : begins(s, "PK\x03\x04", 4) ? "a zip file"
                        : begins(s, "PAR1", 4)       ? "a parquet file"
                        : begins(s, "ARROW1", 6)     ? "an Arrow file"
                                                     : NULL;

    if (other)
        return SAE_FAIL(err, SAE_UNSUPPORTED,
                        "%s: is %s, which is not read; give plain text or JSON lines, or these packed by zstd or gzip",
                        s->path, other);
    if (named(s->path, ".zst") && !zstd)
        return SAE_FAIL(err, SAE_FORMAT, "%s: is named .zst but does not begin as zstd data: truncated or misnamed",
                        s->path);
    if (named(s->path, ".gz") && !gzip)
        return SAE_FAIL(err, SAE_FORMAT, "%s: is named .gz but does not begin as gzip data: truncated or misnamed",
                        s->path);
    s->kind = zstd ? ZSTD : gzip ? GZIP : PLAIN;
    s->in_member = s->kind != PLAIN;
    return SAE_OK;
}

static sae_status start_unpacking(stream *s, sae_error *err)
{
    if (s->kind == ZSTD && !(s->zstd = ZSTD_createDStream()))
        return SAE_FAIL(err, SAE_NOMEM, "%s: no memory to unpack it", s->path);
    if (s->kind == GZIP) {
        if (inflateInit2(&s->gzip, 15 + 16) != Z_OK) /* 16: gzip framing */
            return SAE_FAIL(err, SAE_NOMEM, "%s: no memory to unpack it", s->path);
        s->gzip_ready = true;
    }
    return SAE_OK;
}

static sae_status open_input(stream *s, const char *path, sae_error *err)
{
    struct stat info;

    if (strcmp(path, "-") == 0) {
        s->fd = STDIN_FILENO;
        return SAE_OK;
    }
    s->fd = sys_open(path, O_RDONLY);
    if (s->fd < 0) return SAE_FAIL(err, SAE_IO, "%s: cannot be opened: %s", path, strerror(errno));
    s->fd_owned = true;
    if (sys_fstat(s->fd, &info) == 0 && S_ISDIR(info.st_mode))
        return SAE_FAIL(err, SAE_IO, "%s: is a folder, expected a file", path);
    return SAE_OK;
}

sae_status stream_open(stream **out, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    stream *s = mem_alloc(sizeof *s, "a stream", err);

    if (!s) return SAE_NOMEM;
    s->path = mem_strdup(strcmp(path, "-") == 0 ? "standard input" : path, err);
    s->in = mem_alloc(CHUNK, "a stream's input", err);
    if (!s->path || !s->in) SAE_RAISE(err, SAE_NOMEM, "no memory");
    SAE_TRY(open_input(s, path, err));
    while (s->in_end < 8 && !s->in_done) SAE_TRY(fill(s, err)); /* a pipe may give its first bytes one by one */
    SAE_TRY(find_kind(s, err));
    SAE_TRY(start_unpacking(s, err));
    *out = s;
    s = NULL;
done:
    stream_close(s);
    return status;
}

void stream_close(stream *s)
{
    if (!s) return;
    if (s->fd_owned) sys_close(s->fd);
    if (s->gzip_ready) inflateEnd(&s->gzip);
    ZSTD_freeDStream(s->zstd);
    mem_free(s->in);
    mem_free(s->line);
    mem_free(s->path);
    mem_free(s);
}

/* ---- Bytes and lines --------------------------------------------------------------------------------------------------------- */

sae_status stream_read(stream *s, void *buffer, size_t bytes, size_t *got, sae_error *err)
{
    size_t held = s->line_end - s->line_at;

    *got = 0;
    if (bytes == 0) return SAE_OK;
    if (held == 0) return unpack(s, buffer, bytes, got, err);
    *got = held < bytes ? held : bytes;
    memcpy(buffer, s->line + s->line_at, *got);
    s->line_at += *got;
    return SAE_OK;
}

static sae_status too_long(const stream *s, sae_error *err)
{
    return SAE_FAIL(err, SAE_FORMAT, "%s: line %lld is longer than %zu bytes", s->path, (long long)s->line_number + 1,
                    line_limit);
}

/* Makes room behind line_end for at least one byte and the NUL. */
static sae_status make_room(stream *s, sae_error *err)
{
    if (s->line_at > 0) {
        memmove(s->line, s->line + s->line_at, s->line_end - s->line_at);
        s->line_end -= s->line_at;
        s->line_at = 0;
    }
    if (s->line_end > line_limit) return too_long(s, err);
    if (s->line_end + 1 < s->line_room) return SAE_OK;
    size_t room = s->line_room ? 2 * s->line_room : FIRST_LINE;
    char *larger = mem_grow(s->line, s->line_end, room, "a line", err);
    if (!larger) return SAE_NOMEM;
    s->line = larger;
    s->line_room = room;
    return SAE_OK;
}

sae_status stream_line(stream *s, const char **line, size_t *bytes, sae_error *err)
{
    sae_status status = SAE_OK;
    size_t searched = 0, got = 0;
    char *end = NULL;

    for (;;) {
        size_t held = s->line_end - s->line_at;
        if (held > searched) end = memchr(s->line + s->line_at + searched, '\n', held - searched);
        if (end) break;
        searched = held;
        SAE_TRY(make_room(s, err));
        SAE_TRY(unpack(s, s->line + s->line_end, s->line_room - 1 - s->line_end, &got, err));
        if (got == 0) break;
        s->line_end += got;
    }
    if (!end && s->line_at == s->line_end) {
        *line = NULL;
        *bytes = 0;
        return SAE_OK;
    }
    char *start = s->line + s->line_at;
    *bytes = end ? (size_t)(end - start) : s->line_end - s->line_at;
    if (*bytes > line_limit) return too_long(s, err);
    start[*bytes] = '\0'; /* over the newline, or behind the last byte: room was kept for it */
    *line = start;
    s->line_at += *bytes + (end != NULL);
    s->line_number++;
done:
    return status;
}

int64_t stream_line_number(const stream *s) { return s->line_number; }
const char *stream_path(const stream *s) { return s->path; }
