/*
 * bench.c - reading a store against copying memory. Both by processor time of the one thread that does it, in turn, so that
 * what else the machine does counts little.
 */
#include "acts/bench.h"

#include "acts/acts.h"
#include "acts/store.h"
#include "io/io.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_PASSES = 101 };

static double thread_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- Rows to measure on -------------------------------------------------------------------------------------------------- */

typedef struct random_rows {
    int64_t d, n, given;
    rng r;
} random_rows;

static sae_status random_next(void *self, int64_t n, float *rows, int32_t *tokens, int32_t *positions, int64_t *n_got,
                              sae_error *err)
{
    random_rows *g = self;

    (void)err;
    if (n > g->n - g->given) n = g->n - g->given;
    for (int64_t i = 0; i < n * g->d; i++) rows[i] = (float)(rng_uniform(&g->r) + rng_uniform(&g->r) - 1.0);
    for (int64_t i = 0; i < n; i++) {
        if (tokens) tokens[i] = 0;
        if (positions) positions[i] = 0;
    }
    g->given += n;
    *n_got = n;
    return SAE_OK;
}

static sae_status random_seek(void *self, int64_t row, sae_error *err)
{
    (void)self;
    return SAE_FAIL(err, SAE_UNSUPPORTED, "these rows cannot be gone to (row %lld)", (long long)row);
}

static sae_acts_info random_info(const void *self)
{
    const random_rows *g = self;

    return (sae_acts_info){.d = g->d, .n_rows = g->n, .describe = "random numbers"};
}

sae_status store_bench_make(const char *path, int64_t rows, int64_t d, sae_store_dtype type, sae_error *err)
{
    static const acts_kind kind = {.next = random_next, .seek = random_seek, .info = random_info, .free = mem_free};
    sae_status status = SAE_OK;
    sae_store_options o = {.dtype = type};
    sae_acts *acts = NULL;
    random_rows *g = mem_alloc(sizeof *g, "rows to measure on", err);

    if (!g) return SAE_NOMEM;
    *g = (random_rows){.d = d, .n = rows, .r = rng_seed(1, 0)};
    SAE_TRY(acts_wrap(&acts, &kind, g, err));
    SAE_TRY(sae_store_write(path, acts, rows, &o, NULL, err));
done:
    sae_acts_free(acts);
    return status;
}

/* ---- Measuring ------------------------------------------------------------------------------------------------------------ */

/* All rows once, in batches; seconds of this thread. */
static sae_status read_all(sae_acts *acts, int64_t batch, float *rows, double *seconds, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t got = batch;
    double begin = thread_seconds();

    SAE_TRY(sae_acts_seek(acts, 0, err));
    while (got == batch) SAE_TRY(sae_acts_next(acts, batch, rows, NULL, NULL, &got, err));
    *seconds = thread_seconds() - begin;
done:
    return status;
}

static double copy_all(const float *from, size_t from_bytes, float *to, size_t batch_bytes, size_t total)
{
    double begin = thread_seconds();
    size_t done = 0, at = 0;

    while (done < total) {
        size_t n = total - done < batch_bytes ? total - done : batch_bytes;
        if (at + n > from_bytes) at = 0;
        memcpy(to, (const char *)from + at, n);
        __asm__ volatile("" : : "r"(to) : "memory"); /* the copies are all made */
        at += n;
        done += n;
    }
    return thread_seconds() - begin;
}

/* Bytes of a row in the file over those of its float32 numbers. The store was opened before: it is one. */
static sae_status stored_share(const char *folder, int64_t d, double *share, sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *meta = NULL;
    char *path = path_join(folder, STORE_META_NAME, err);

    if (!path) return SAE_NOMEM;
    SAE_TRY(json_read_file(&meta, path, err));
    const char *name = json_string_value(json_object_get(meta, "dtype"));
    for (int i = 0; i < STORE_DTYPES; i++) {
        const dtype_row *row = &dtype_table[store_dtypes[i]];
        double scale = store_dtypes[i] == DTYPE_I8 ? 4.0 / (double)d : 0;
        if (name && strcmp(name, row->name) == 0) *share = ((double)row->block_bytes + scale) / sizeof(float);
    }
done:
    json_decref(meta);
    mem_free(path);
    return status;
}

sae_status store_bench(store_bench_result *out, const store_bench_options *o, sae_error *err)
{
    enum { COPY_BATCHES = 16 };
    sae_status status = SAE_OK;
    sae_acts *acts[STORE_BENCH_ORDERS] = {0};
    float *rows = NULL, *source = NULL;
    double seconds[STORE_BENCH_ORDERS + 1][MAX_PASSES], first = 0;
    int passes = o->passes < 1 ? 1 : o->passes > MAX_PASSES ? MAX_PASSES : o->passes;

    for (int k = 0; k < STORE_BENCH_ORDERS; k++) {
        sae_acts_options options = {.in_order = k == 0};
        SAE_TRY(sae_acts_open_store(&acts[k], &o->path, 1, &options, err));
    }
    sae_acts_info info = sae_acts_get_info(acts[0]);
    size_t batch_bytes = (size_t)o->batch * (size_t)info.d * sizeof *rows;
    rows = mem_alloc_array((size_t)o->batch, (size_t)info.d * sizeof *rows, "a batch of rows", err);
    source = mem_alloc_array(COPY_BATCHES, batch_bytes, "rows to copy", err);
    if (!rows || !source) SAE_TRY(SAE_NOMEM);
    out->rows = info.n_rows;
    out->d = info.d;
    out->decoded_bytes = (size_t)info.n_rows * (size_t)info.d * sizeof *rows;
    strncpy(out->describe, info.describe, sizeof out->describe - 1);
    SAE_TRY(stored_share(o->path, info.d, &out->stored_share, err));
    double begin = clock_seconds();
    SAE_TRY(read_all(acts[0], o->batch, rows, &first, err));
    out->first_wall = (double)out->decoded_bytes / (clock_seconds() - begin);
    out->first = (double)out->decoded_bytes / first;
    SAE_TRY(read_all(acts[1], o->batch, rows, &first, err)); /* it checks the sums again */
    for (int p = 0; p < passes; p++) {
        for (int k = 0; k < STORE_BENCH_ORDERS; k++) SAE_TRY(read_all(acts[k], o->batch, rows, &seconds[k][p], err));
        seconds[STORE_BENCH_ORDERS][p] =
            copy_all(source, COPY_BATCHES * batch_bytes, rows, batch_bytes, out->decoded_bytes);
    }
    for (int k = 0; k < STORE_BENCH_ORDERS; k++)
        out->decoded[k] = (double)out->decoded_bytes / sort_quantile(seconds[k], passes, 0.5);
    out->copied = (double)out->decoded_bytes / sort_quantile(seconds[STORE_BENCH_ORDERS], passes, 0.5);
done:
    for (int k = 0; k < STORE_BENCH_ORDERS; k++) sae_acts_free(acts[k]);
    mem_free(source);
    mem_free(rows);
    return status;
}
