/* json_lines.c - files of one JSON value a line, as logs are. */
#include "io/io.h"

#include <stdio.h>
#include <string.h>

sae_status json_lines_read(const char *path,
                           sae_status (*line)(void *user, const json_t *value, const char *name, sae_error *err),
                           void *user, sae_error *err)
{
    sae_status status = SAE_OK;
    char *text = NULL;
    json_t *value = NULL;
    size_t bytes = 0;
    long long number = 1;

    SAE_TRY(file_read_all(path, (size_t)1 << 32, &text, &bytes, err));
    for (char *at = text, *end; (end = memchr(at, '\n', bytes - (size_t)(at - text))); at = end + 1, number++) {
        char name[600];
        snprintf(name, sizeof name, "%.500s, line %lld", path, number);
        SAE_TRY(json_parse(&value, at, (size_t)(end - at), name, err));
        SAE_TRY(line(user, value, name, err));
        json_decref(value);
        value = NULL;
    }
done:
    json_decref(value);
    mem_free(text);
    return status;
}
