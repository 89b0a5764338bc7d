/*
 * table.h - rows that lie in mapped files. A table has parts side by side (an array, or one or more stores); a part has shards
 * one after the other, each row of one type.
 */
#ifndef SAE_ACTS_TABLE_H
#define SAE_ACTS_TABLE_H

#include "acts/acts.h"
#include "base/dtype.h"
#include "io/io.h"

typedef struct shard {
    const unsigned char *rows;               /* [n, d] of the part's type, at any address */
    const unsigned char *scales;             /* [n] float32 at any address; I8 only */
    const unsigned char *tokens, *positions; /* [n] int32 at any address; NULL: not known */
    int64_t first, n;                        /* number of its first row, and of rows */
    uint64_t hash;                           /* what its file must hash to */
    bool checked;                            /* nothing to check, or checked already */
    safetensors *file;                       /* owned; may be NULL */
} shard;

/* The columns [first, first + d) of every row. */
typedef struct table_part {
    char *path; /* owned */
    int64_t first, d, n_rows;
    dtype type;
    size_t row_bytes;
    shard *shards; /* owned */
    int64_t n_shards;
    double median_norm;
    bool is_shuffled; /* its rows lie in random order */
    json_t *meta;     /* owned; of a store */
    array_file array; /* owned; of an array */
} table_part;

/* The order of the blocks in one epoch. */
typedef struct epoch_order {
    permutation of_blocks;
    int64_t epoch; /* -1: none yet */
} epoch_order;

typedef struct table {
    table_part *parts;
    sae_acts_part *public_parts;
    int n_parts;
    int64_t d, n_rows, given;
    sae_acts_options options;
    int64_t block_rows; /* that stay together */
    epoch_order order;  /* of what is served */
    char describe[900];
} table;

/* A table of n_parts empty parts, which the caller fills and then hands to table_finish. */
sae_status table_create(table **out, int n_parts, const sae_acts_options *options, sae_error *err);
/* Room for n_shards shards, and the name that messages use. */
sae_status table_part_create(table_part *part, const char *path, int64_t n_shards, sae_error *err);
/* Checks types and sizes, numbers shards and columns and wraps the table, which is freed on failure too. */
sae_status table_finish(sae_acts **out, table *t, sae_error *err);
void table_free(table *t);

/* The shard of a part that holds a row. */
shard *table_shard(const table_part *part, int64_t row);

#endif
