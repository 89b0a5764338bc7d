/* json_lines.c - files of one JSON value a line, as logs are. */
#include "io/io.h"

#include <stdio.h>

typedef struct reading {
    const char *path;
    long long number; /* of the line */
    sae_status (*line)(void *user, const json_t *value, const char *name, sae_error *err);
    void *user;
} reading;

static sae_status one_line(void *user, const char *line, size_t bytes, bool *more, sae_error *err)
{
    sae_status status = SAE_OK;
    reading *r = user;
    json_t *value = NULL;
    char name[600];

    (void)more;
    snprintf(name, sizeof name, "%.500s, line %lld", r->path, ++r->number);
    SAE_TRY(json_parse(&value, line, bytes, name, err));
    SAE_TRY(r->line(r->user, value, name, err));
done:
    json_decref(value);
    return status;
}

sae_status json_lines_read(const char *path,
                           sae_status (*line)(void *user, const json_t *value, const char *name, sae_error *err),
                           void *user, sae_error *err)
{
    reading r = {.path = path, .line = line, .user = user};

    return whole_lines_read(path, one_line, &r, err);
}
