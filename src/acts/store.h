/*
 * store.h - the layout of a store of rows, and what its writer is made of:
 *
 *   meta.json                   width, type, number of rows; each shard's rows and XXH3; where the rows came from and how to
 *                               go on from their end
 *   shard-00000.safetensors     rows [n, d] BF16, F16, F32 or I8, scales [n] F32 (I8 only: a row is scale x its numbers),
 *                               tokens [n] I32, positions [n] I32
 *   shard-00001.safetensors     ...
 *
 * A store that is being written, PATH.partial, has progress.json instead of meta.json (store_progress.c), perhaps the shard
 * that is not full yet as tail.safetensors, and, when it is to be shuffled, its shards in the folder `staged`.
 *
 *   store_write.c      from a stream to shards; what is the same whatever happens on the way
 *   store_packed.c     the rows of a shard in memory, on their way from float32 to a file
 *   store_progress.c   what is finished, so that another process can go on
 *   store_append.c     stores that are appended to
 *   store_shuffle.c    shards in text order to shards in random order
 *   store_read.c       a store as a table; store_verify.c: all of its checksums
 */
#ifndef SAE_ACTS_STORE_H
#define SAE_ACTS_STORE_H

#include "acts/acts.h"
#include "base/dtype.h"
#include "io/io.h"

#define STORE_META_NAME       "meta.json"
#define STORE_PROGRESS_NAME   "progress.json"
#define STORE_TAIL_NAME       "tail.safetensors"
#define STORE_STAGED_NAME     "staged"
#define STORE_FORMAT          "sae activation store"
#define STORE_PROGRESS_FORMAT "sae activation store, unfinished"
#define STORE_VERSION         1
#define STORE_SHARD_NAME      "shard-%05lld.safetensors"
enum { STORE_MAX_SHARDS = 100000, STORE_MAX_PARTS = 1024, STORE_DTYPES = 4 };

/* By sae_store_dtype. */
static const dtype store_dtypes[STORE_DTYPES] = {DTYPE_BF16, DTYPE_F16, DTYPE_F32, DTYPE_I8};

/* ---- store_packed.c -------------------------------------------------------------------------------------------------------- */

/* What storing has cost the rows so far. */
typedef struct store_error_sums {
    double squared_error, squared_norm, worst; /* worst: the largest |error| / |row| of a row */
} store_error_sums;

/* Room for the rows of a shard, as they are stored. */
typedef struct packed_rows {
    dtype type;
    int64_t d, room;
    unsigned char *rows; /* [room, d] */
    float *scales;       /* [room]; I8 only */
    float *decoded;      /* [d] */
} packed_rows;

sae_status packed_create(packed_rows *p, dtype type, int64_t d, int64_t room, sae_error *err);
void packed_free(packed_rows *p);
/* Row `at` from float32 numbers; its error is added to `sums`. number: of the row, for messages. */
sae_status packed_put(packed_rows *p, int64_t at, const float *row, int64_t number, store_error_sums *sums,
                      sae_error *err);
/* The first n rows to a file, with their tokens and positions. */
sae_status packed_write(const packed_rows *p, int64_t n, const int32_t *tokens, const int32_t *positions,
                        const char *path, uint64_t *hash, sae_error *err);
/* A shard's file opened, of n rows as `p` has them. FORMAT when its checksum is not `hash`. */
sae_status packed_open(const packed_rows *p, safetensors **out, const char *path, int64_t n, uint64_t hash,
                       sae_error *err);
/* Such a shard into places 0 to n - 1. */
sae_status packed_load(packed_rows *p, const char *path, int64_t n, uint64_t hash, int32_t *tokens, int32_t *positions,
                       sae_error *err);

/* The 16 hexadecimal digits of member `key`. */
sae_status store_read_hash(const json_t *object, const char *key, uint64_t *hash, const char *path, sae_error *err);
json_t *store_hash_json(uint64_t hash);
sae_status store_check_format(const json_t *meta, const char *format, const char *path, sae_error *err);

/* ---- store_write.c ---------------------------------------------------------------------------------------------------------- */

/* One of the stores that are written side by side: columns [first, first + d) of the rows. */
typedef struct store_part {
    const char *name; /* NULL: the store is PATH itself; else PATH/NAME */
    int64_t first, d;
    char *folder; /* where its shards go now */
    packed_rows packed;
    store_error_sums sums;
    json_t *shards; /* as meta.json lists them */
} store_part;

typedef struct store_writer {
    folder_writer folder;
    sae_acts *acts;
    sae_store_options options;
    const sae_progress *progress;
    int64_t d, shard_rows, n_wanted;   /* n_wanted: -1: all there are */
    int64_t n_rows, n_shards, in_tail; /* rows taken, of them in the shard that is not full yet; full shards */
    int64_t rows_before;               /* of the store that is appended to */
    int64_t saved_rows;                /* that the next one can go on from */
    bool staged;                       /* shards of a store to be shuffled are being written */
    bool taking;                       /* rows are being taken from the stream */
    bool owned;                        /* what is in the unfinished folder is ours */
    bool done;                         /* nothing but putting it in place is left */
    double saved;                      /* when progress was last written */
    dtype type;
    float *chunk;
    int32_t *tokens, *positions; /* of the shard that is not full yet */
    store_part *parts;
    int n_parts;
    json_t *about;
    json_t *plan;        /* what another call must have in common to go on */
    json_t *next;        /* the place of the stream behind n_rows */
    json_t *finished;    /* progress.json's list of full shards */
    char go_on_with[80]; /* " with --OPTION ...": what the call must change to go on from what is kept; mostly empty */
} store_writer;

/* "FOLDER/shard-00007.safetensors"; mem_free. */
char *store_shard_path(const char *folder, int64_t number, sae_error *err);
/* Bytes of a row of all parts in a shard in memory, with its scales, token and position. */
size_t store_row_bytes(const store_writer *w);
sae_status store_report(const store_writer *w, const char *what, int64_t done, int64_t total, sae_error *err);
/* The folder of part p below `base`; mem_free. */
char *store_part_folder(const char *base, const store_part *p, sae_error *err);
/* The rows of the shard that is not full yet into a file of each part; *entry, the caller's, is what progress.json says of it. */
sae_status store_write_rows(const store_writer *w, const char *file, json_t **entry, sae_error *err);
/* Lists it as the next full shard. */
sae_status store_list_shard(store_writer *w, json_t *entry, sae_error *err);
sae_status store_make_folders(const store_writer *w, sae_error *err);
bool store_is_file(const char *name); /* of a store, finished or not */
/* What a part's meta.json says under "about": its own name is its site. */
json_t *store_part_about(const store_writer *w, const store_part *p);

/* ---- store_progress.c ------------------------------------------------------------------------------------------------------- */

/* Was this very call broken off when all but its last step, sae_store_settle, was done? Does that step, unless it is the caller's.
 * STATE: its rows are of another text than what the files hold now. */
sae_status store_progress_was_done(const store_writer *w, const char *path, bool *done, sae_error *err);
/* Then PATH.partial, which is open, is what was replaced, unless it is an unfinished store: removes it. */
sae_status store_progress_drop_replaced(const store_writer *w, sae_error *err);
/* Goes on where PATH.partial stands, or begins it (with the rows of PATH when these are appended to). */
sae_status store_progress_begin(store_writer *w, sae_error *err);
/* Notes a full shard, or, with_tail, also writes what is in the one that is not full. */
sae_status store_progress_save(store_writer *w, bool with_tail, sae_error *err);

/* Will the stream compare its text with the one read up to `next` (NULL: none was), by checksum (acts_recall)? */
bool store_text_is_compared(const store_writer *w, const json_t *next);
/* A description without what may differ between two calls that make the same rows: how a model is called whose checksum stands there,
 * and, with text_is_compared, how the files of the text are; their number must agree. NULL: no memory. */
json_t *store_bare_about(json_t *about, bool text_is_compared);
/* The first member in which two objects differ, for a message. */
const char *store_difference(const json_t *a, const json_t *b);

/* ---- store_append.c --------------------------------------------------------------------------------------------------------- */

/* Of a store that is appended to: its size of shards and rows. */
sae_status store_append_sizes(store_writer *w, sae_error *err);
/* Its shards under second names in PATH.partial, listed in `all` as finished. Its description stays the one that it was begun with. */
sae_status store_append_begin(store_writer *w, json_t *all, sae_error *err);

/* ---- store_shuffle.c -------------------------------------------------------------------------------------------------------- */

/* What options.memory leaves for the buffers when n_rows are shuffled: all but the shard that is made and the one that is read.
 * RANGE when that is too little. */
sae_status store_shuffle_buffers(const store_writer *w, int64_t n_rows, size_t *bytes, sae_error *err);
/* The staged shards in the order of the seed, as shards of the same size. */
sae_status store_shuffle(store_writer *w, sae_error *err);

#endif
