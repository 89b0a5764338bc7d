/* line_log.c - a log that grows line by line, cut back when a run goes on from an earlier point. */
#include "io/io.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct line_log {
    FILE *file;
    char *path;
};

/* How many bytes of the file are whole lines that stand; 0 when there is no file. */
static sae_status standing_bytes(const char *path, bool (*stands)(void *user, const char *line, size_t bytes),
                                 void *user, size_t *bytes, sae_error *err)
{
    char *text = NULL;
    size_t n = 0, start = 0;

    *bytes = 0;
    if (!stands || !file_exists(path)) return SAE_OK;
    sae_status status = file_read_all(path, (size_t)1 << 32, &text, &n, err);
    if (status != SAE_OK) return status;
    for (char *end; start < n && (end = memchr(text + start, '\n', n - start)); start = (size_t)(end - text) + 1) {
        if (!stands(user, text + start, (size_t)(end - text) - start)) break;
        *bytes = (size_t)(end - text) + 1;
    }
    mem_free(text);
    return SAE_OK;
}

sae_status line_log_open(line_log **out, const char *path, bool (*stands)(void *user, const char *line, size_t bytes),
                         void *user, sae_error *err)
{
    sae_status status = SAE_OK;
    line_log *log = mem_alloc(sizeof *log, "a log", err);
    size_t keep = 0;

    if (!log) return SAE_NOMEM;
    log->path = mem_strdup(path, err);
    if (!log->path) SAE_TRY(SAE_NOMEM);
    SAE_TRY(standing_bytes(path, stands, user, &keep, err));
    log->file = fopen(path, stands ? "ae" : "we");
    if (!log->file || (stands && ftruncate(fileno(log->file), (off_t)keep) != 0))
        SAE_RAISE(err, SAE_IO, "%s: cannot be written: %s", path, strerror(errno));
    *out = log;
    log = NULL;
done:
    line_log_close(log);
    return status;
}

sae_status line_log_put(line_log *log, const char *line, sae_error *err)
{
    if (fputs(line, log->file) < 0 || fputc('\n', log->file) < 0 || fflush(log->file) != 0)
        return SAE_FAIL(err, SAE_IO, "%s: cannot be written: %s", log->path, strerror(errno));
    return SAE_OK;
}

void line_log_close(line_log *log)
{
    if (!log) return;
    if (log->file) fclose(log->file);
    mem_free(log->path);
    mem_free(log);
}
