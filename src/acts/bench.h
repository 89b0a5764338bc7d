/* bench.h - how fast a store is read, beside what copying the same bytes takes. */
#ifndef SAE_ACTS_BENCH_H
#define SAE_ACTS_BENCH_H

#include "base/base.h"

enum { STORE_BENCH_ORDERS = 2 }; /* in order, shuffled */

typedef struct store_bench_options {
    const char *path; /* a store */
    int64_t batch;    /* rows asked for at a time */
    int passes;       /* of each kind, in turn */
} store_bench_options;

/* Rates in bytes per second of processor time of the calling thread, medians over passes. Decoded: rows as float32. */
typedef struct store_bench_result {
    int64_t rows, d;
    size_t decoded_bytes; /* of all rows */
    double first;         /* decoded, first pass: with checksums, and with the disk where the file is not cached */
    double first_wall;    /* the same by the clock */
    double decoded[STORE_BENCH_ORDERS]; /* from the page cache */
    double copied;                      /* memcpy of decoded rows to the same place */
    double stored_share;                /* bytes of a stored row over those of a decoded one */
    char describe[600];
} store_bench_result;

/* Call it with one OpenMP thread: what others do is not counted. */
sae_status store_bench(store_bench_result *out, const store_bench_options *options, sae_error *err);
/* A store of random rows to measure on. */
sae_status store_bench_make(const char *path, int64_t rows, int64_t d, sae_store_dtype type, sae_error *err);

#endif
