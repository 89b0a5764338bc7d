/*
 * csv.c - a state machine over lines: a record goes on with the next line while a quote is open.
 */
#include "text/csv.h"

#include <string.h>

typedef enum csv_state {
    FIELD_START,
    PLAIN_FIELD,
    QUOTED_FIELD,
    QUOTE_SEEN /* in a quoted field: its end, or the first half of a doubled quote */
} csv_state;

void csv_record_free(csv_record *record)
{
    mem_free(record->bytes);
    mem_free(record->start);
    *record = (csv_record){0};
}

/* Room for `more` further bytes. */
static sae_status reserve(csv_record *r, size_t more, const char *path, sae_error *err)
{
    size_t room = r->room ? r->room : 4096;
    char *bytes;

    if (more > CSV_RECORD_BYTES || r->used > CSV_RECORD_BYTES - more)
        return SAE_FAIL(err, SAE_FORMAT,
                        "%s, line %lld: the record that begins here is over %d MiB: is a quote never closed?", path,
                        (long long)r->line, CSV_RECORD_BYTES >> 20);
    if (r->used + more <= r->room) return SAE_OK;
    while (room < r->used + more) room *= 2;
    bytes = mem_grow(r->bytes, r->used, room, "a record", err);
    if (!bytes) return SAE_NOMEM;
    r->bytes = bytes;
    r->room = room;
    return SAE_OK;
}

static sae_status end_field(csv_record *r, const char *path, sae_error *err)
{
    if (r->n == CSV_FIELDS)
        return SAE_FAIL(err, SAE_FORMAT, "%s, line %lld: more than %d fields", path, (long long)r->line, CSV_FIELDS);
    r->bytes[r->used++] = '\0';
    r->start[++r->n] = r->used;
    return SAE_OK;
}

/* Adds the characters of one line; *state tells at its end whether a quote is open. */
static sae_status add_line(csv_record *r, const char *line, size_t bytes, csv_state *state, const char *path,
                           sae_error *err)
{
    sae_status status = SAE_OK;

    SAE_TRY(reserve(r, bytes + 2, path, err)); /* at most all of it, a line end and a NUL */
    for (size_t i = 0; i < bytes; i++) {
        char c = line[i];
        if (c == '\r' && i + 1 == bytes && *state != QUOTED_FIELD) break; /* of CRLF */
        if (*state == QUOTED_FIELD && c == '"') {
            *state = QUOTE_SEEN;
        } else if (*state == QUOTED_FIELD) {
            r->bytes[r->used++] = c;
        } else if (c == ',') {
            SAE_TRY(end_field(r, path, err));
            *state = FIELD_START;
        } else if (*state == FIELD_START && c == '"') {
            *state = QUOTED_FIELD;
        } else if (*state == QUOTE_SEEN && c == '"') {
            r->bytes[r->used++] = c;
            *state = QUOTED_FIELD;
        } else if (*state == QUOTE_SEEN) {
            SAE_RAISE(err, SAE_FORMAT,
                      "%s, line %lld: a character stands behind the closing quote of field %d: a quote inside a quoted "
                      "field is written twice",
                      path, (long long)r->line, r->n + 1);
        } else {
            r->bytes[r->used++] = c;
            *state = PLAIN_FIELD;
        }
    }
done:
    return status;
}

static sae_status begin(csv_record *r, sae_error *err)
{
    r->n = 0;
    r->used = 0;
    if (!r->start) r->start = mem_alloc_array(CSV_FIELDS + 1, sizeof *r->start, "fields of a record", err);
    return r->start ? SAE_OK : SAE_NOMEM;
}

sae_status csv_next(stream *file, csv_record *r, sae_error *err)
{
    sae_status status = SAE_OK;
    csv_state state = FIELD_START;
    const char *line, *path = stream_path(file);
    size_t bytes;

    SAE_TRY(begin(r, err));
    for (;;) {
        SAE_TRY(stream_line(file, &line, &bytes, err));
        if (!line && state == QUOTED_FIELD)
            SAE_RAISE(err, SAE_FORMAT, "%s, line %lld: a quote that is opened in this record is never closed", path,
                      (long long)r->line);
        if (!line) goto done; /* the end of the file */
        if (state != QUOTED_FIELD) {
            r->line = stream_line_number(file);
            if (r->line == 1 && bytes >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) line += 3, bytes -= 3;
        }
        SAE_TRY(add_line(r, line, bytes, &state, path, err));
        if (state == QUOTED_FIELD) {
            r->bytes[r->used++] = '\n';
            continue;
        }
        if (r->n > 0 || state != FIELD_START) break; /* else an empty line */
    }
    SAE_TRY(end_field(r, path, err));
done:
    return status;
}
