/* line_log.c - a log that grows line by line, cut back when a run goes on from an earlier point. */
#include "io/io.h"
#include "io/system.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

struct line_log {
    int fd;
    int64_t bytes; /* of whole lines */
    char *path;
};

static sae_status write_fail(const line_log *log, sae_error *err)
{
    return SAE_FAIL(err, SAE_IO, "%s: cannot be written: %s", log->path, strerror(errno));
}

typedef struct standing {
    bool (*stands)(void *user, const char *line, size_t bytes);
    void *user;
    int64_t bytes; /* of the lines that stand */
} standing;

static sae_status look_at(void *user, const char *line, size_t bytes, bool *more, sae_error *err)
{
    standing *s = user;

    (void)err;
    *more = s->stands(s->user, line, bytes);
    if (*more) s->bytes += (int64_t)bytes + 1;
    return SAE_OK;
}

sae_status line_log_open(line_log **out, const char *path, bool (*stands)(void *user, const char *line, size_t bytes),
                         void *user, sae_error *err)
{
    sae_status status = SAE_OK;
    line_log *log = mem_alloc(sizeof *log, "a log", err);
    standing keep = {stands, user, 0};

    if (!log) return SAE_NOMEM;
    log->fd = -1;
    log->path = mem_strdup(path, err);
    if (!log->path) SAE_TRY(SAE_NOMEM);
    if (stands && file_exists(path)) SAE_TRY(whole_lines_read(path, look_at, &keep, err));
    log->fd = sys_open(path, O_WRONLY | O_CREAT | O_APPEND);
    if (log->fd >= 0 && flock(log->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        SAE_RAISE(err, SAE_STATE, "%s: another process is writing there", path);
    if (log->fd < 0 || (sys_truncate(log->fd, keep.bytes) != 0 && errno != EINVAL)) /* EINVAL: a device */
        SAE_TRY(write_fail(log, err));
    log->bytes = keep.bytes;
    *out = log;
    log = NULL;
done:
    line_log_close(log);
    return status;
}

sae_status line_log_put(line_log *log, const char *line, sae_error *err)
{
    sae_status status = SAE_OK;
    size_t length = strlen(line);
    char *text = mem_alloc(length + 1, "a line of a log", err);

    if (!text) return SAE_NOMEM;
    memcpy(text, line, length);
    text[length] = '\n'; /* in one call: a reader sees whole lines */
    if (sys_write_all(log->fd, text, length + 1) == 0) {
        log->bytes += (int64_t)length + 1;
    } else {
        status = write_fail(log, err);
        sys_truncate(log->fd, log->bytes); /* a part of the line may be there */
    }
    mem_free(text);
    return status;
}

sae_status line_log_sync(line_log *log, sae_error *err)
{
    if (sys_sync(log->fd) == 0 || errno == EINVAL) return SAE_OK; /* EINVAL: a device, such as /dev/null */
    return write_fail(log, err);
}

void line_log_close(line_log *log)
{
    if (!log) return;
    if (log->fd >= 0) sys_close(log->fd);
    mem_free(log->path);
    mem_free(log);
}
