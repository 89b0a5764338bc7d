/*
 * whole_lines.c - the lines of a plain file that '\n' ends, one after the other, in the memory of the longest of them. What follows the last
 * '\n' is none: a run that is going on, or was killed, may have written half of it.
 */
#include "io/io.h"
#include "io/system.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { FIRST_ROOM = 1 << 17 };
static const size_t longest = (size_t)64 << 20;

typedef struct reading {
    const char *path;
    int fd;
    char *text; /* read and not yet given: [begin, end) */
    size_t room, begin, end;
    bool ended; /* of the file */
} reading;

/* More text behind what there is. */
static sae_status fill(reading *r, sae_error *err)
{
    if (r->begin > 0) memmove(r->text, r->text + r->begin, r->end - r->begin);
    r->end -= r->begin;
    r->begin = 0;
    if (r->end == r->room) {
        if (r->room > longest)
            return SAE_FAIL(err, SAE_RANGE, "%s: has a line of over %zu bytes: it is no log; move it away", r->path,
                            longest);
        char *larger = mem_grow(r->text, r->end, 2 * r->room, "a line of a file", err);
        if (!larger) return SAE_NOMEM;
        r->text = larger;
        r->room *= 2;
    }
    ssize_t got = sys_read(r->fd, r->text + r->end, r->room - r->end);
    if (got < 0) return SAE_FAIL(err, SAE_IO, "%s: cannot be read: %s", r->path, strerror(errno));
    r->end += (size_t)got;
    r->ended = got == 0;
    return SAE_OK;
}

sae_status whole_lines_read(const char *path,
                            sae_status (*line)(void *user, const char *line, size_t bytes, bool *more, sae_error *err),
                            void *user, sae_error *err)
{
    sae_status status = SAE_OK;
    reading r = {.path = path, .fd = -1, .room = FIRST_ROOM, .text = mem_alloc(FIRST_ROOM, "a line of a file", err)};
    size_t searched = 0; /* of what there is: holds no '\n' */
    bool more = true;

    if (!r.text) SAE_TRY(SAE_NOMEM);
    r.fd = sys_open(path, O_RDONLY);
    if (r.fd < 0) SAE_RAISE(err, SAE_IO, "%s: cannot be opened: %s", path, strerror(errno));
    while (more && !r.ended) {
        const char *from = r.text + r.begin, *end = memchr(from + searched, '\n', r.end - r.begin - searched);
        if (!end) {
            searched = r.end - r.begin;
            SAE_TRY(fill(&r, err));
            continue;
        }
        SAE_TRY(line(user, from, (size_t)(end - from), &more, err));
        r.begin += (size_t)(end - from) + 1;
        searched = 0;
    }
done:
    if (r.fd >= 0) sys_close(r.fd);
    mem_free(r.text);
    return status;
}
