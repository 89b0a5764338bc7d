/*
 * table.h - rows that lie in mapped files: in shards one after the other, each row of one type.
 */
#ifndef SAE_ACTS_TABLE_H
#define SAE_ACTS_TABLE_H

#include "acts/acts.h"
#include "base/dtype.h"
#include "io/io.h"

typedef struct shard {
    const unsigned char *rows;               /* [n, d] of the table's type, at any address */
    const unsigned char *tokens, *positions; /* [n] int32 at any address; NULL: not known */
    int64_t first, n;                        /* number of its first row, and of rows */
    uint64_t hash;                           /* what its file must hash to */
    bool checked;                            /* nothing to check, or checked already */
    safetensors *file;                       /* owned; may be NULL */
} shard;

typedef struct table {
    char *path;
    int64_t d, n_rows, given;
    dtype type;
    size_t row_bytes;
    shard *shards; /* owned */
    int64_t n_shards;
    array_file array; /* owned; of an array */
    double median_norm;
    sae_acts_options options;
    permutation order;
    int64_t order_epoch; /* that `order` is for; -1: none yet */
    char describe[600];
} table;

/* A table with room for n_shards; the caller fills the rest and then hands it to table_finish. */
sae_status table_create(table **out, const char *path, int64_t n_shards, const sae_acts_options *options,
                        sae_error *err);
/* Checks type and sizes, numbers the shards' rows and wraps the table, which is freed on failure too. */
sae_status table_finish(sae_acts **out, table *t, sae_error *err);
void table_free(table *t);

#endif
