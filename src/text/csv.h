/* csv.h - records of comma-separated values, RFC 4180. */
#ifndef SAE_TEXT_CSV_H
#define SAE_TEXT_CSV_H

#include "io/io.h"

/* A record of a file is at most so many bytes and fields: a quote that is never closed must not eat the whole file first. */
enum { CSV_RECORD_BYTES = 16 << 20, CSV_FIELDS = 1024 };

typedef struct csv_record {
    char *bytes;       /* the fields one after the other, a NUL behind each */
    size_t *start;     /* [n + 1] of each field in bytes; field i is start[i + 1] - start[i] - 1 long */
    int n;             /* fields; 0: the end of the file */
    int64_t line;      /* that the record begins on, from 1 */
    size_t used, room; /* of bytes */
} csv_record;

/* The next record that is not an empty line, into `record`, whose memory is used again. Fields may be in quotes, with "" for a
 * quote and commas and line ends inside; a quote elsewhere in a field is a character like any other. Lines end in LF or CRLF;
 * a byte order mark at the start of the file is skipped. FORMAT names the file and line. Free with csv_record_free. */
sae_status csv_next(stream *file, csv_record *record, sae_error *err);
void csv_record_free(csv_record *record);
static inline size_t csv_field_bytes(const csv_record *r, int i) { return r->start[i + 1] - r->start[i] - 1; }

#endif
