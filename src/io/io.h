/*
 * io.h - files. The only folder that opens them. Every file is hostile until checked; messages name the file, the
 * tensor or member, what was found and what was expected.
 */
#ifndef SAE_IO_H
#define SAE_IO_H

#include "base/base.h"
#include "base/dtype.h"

/* ---- Plain files (file.c) ------------------------------------------------------------------------------------------- */

/* A file mapped read-only. */
typedef struct file_map {
    const unsigned char *data;
    size_t bytes;
    char *path; /* owned */
} file_map;
sae_status file_map_open(file_map *out, const char *path, sae_error *err);
void file_map_close(file_map *map);
/* The path of the open map that holds the address, for the handler of SIGBUS; NULL: none does. Borrowed. */
const char *file_map_path_at(const void *address);

bool file_exists(const char *path);
sae_status file_remove(const char *path, sae_error *err); /* absent is fine */
bool file_is_folder(const char *path);
/* "a/b" into a new string: caller frees with mem_free. */
char *path_join(const char *folder, const char *name, sae_error *err);
sae_status folder_make(const char *path, sae_error *err);    /* with its parents; an existing folder is fine */
sae_status folder_remove(const char *path, sae_error *err);  /* with all in it; absent is fine */
sae_status folder_discard(const char *path, sae_error *err); /* the same, but its name is gone at once */
/* The files in it that `ours` accepts, and the folder when nothing else is left; absent, or a link to one, is left as it is. */
sae_status folder_remove_ours(const char *path, bool (*ours)(const char *name), sae_error *err);
/* STATE when another process has it locked. It goes with the process, or with folder_unlock (-1: nothing is locked). */
sae_status folder_lock(const char *path, int *lock, sae_error *err);
void folder_unlock(int lock);
sae_status folder_sync(const char *path, sae_error *err); /* fsync of a folder: a rename in it is durable */
/* Of the folder that `path` lies in; the text is changed meanwhile, and put back. */
sae_status folder_sync_parent(char *path, sae_error *err);
/* Removes what writers of `path` that were killed left beside it: PATH.tmp.PID of a process that is no more. What cannot be
 * listed or removed stays, and does no harm; PATH.tmp.PID.old is put back where PATH is absent, and IO says that it cannot be. */
sae_status leftovers_remove(const char *path, sae_error *err);
/* Is the name that of something half written, BASE.tmp.PID (base NULL: whatever base)? */
bool is_leftover(const char *name, const char *base);
/* Every line of a plain file that '\n' ends, which stands behind its `bytes`; borrowed until the function returns, and read in blocks, so
 * that a file of any size takes the memory of its longest line (whole_lines.c; over 64 MiB: RANGE). *more = false: no further one. */
sae_status whole_lines_read(const char *path,
                            sae_status (*line)(void *user, const char *line, size_t bytes, bool *more, sae_error *err),
                            void *user, sae_error *err);
/* Every whole line of a file of JSON lines (the last one of a run that goes on may be half written), each with "PATH, line N" for
 * messages. */
sae_status json_lines_read(const char *path,
                           sae_status (*line)(void *user, const json_t *value, const char *name, sae_error *err),
                           void *user, sae_error *err);
/* Names in a folder, sorted; caller frees each and the list with folder_list_free. */
sae_status folder_list(const char *path, char ***names, int *n, sae_error *err);
void folder_list_free(char **names, int n);

/* A file written beside its place ("PATH.tmp.PID") and renamed at commit, after fsync. Abort (or a failed commit) leaves
 * nothing behind and the old file untouched; only when the folder's own fsync fails, after the rename, a file replaced with
 * force is the new one already. */
typedef struct file_writer {
    bool is_open;
    int fd;
    unsigned char *buffer; /* not written yet: [0, used) */
    size_t used;
    char *path, *temporary;
    uint64_t bytes;
    void *hash; /* XXH3 state over all bytes written */
    bool force;
} file_writer;
sae_status file_writer_open(file_writer *out, const char *path, bool force, sae_error *err); /* EXISTS unless force */
sae_status file_writer_put(file_writer *w, const void *data, size_t bytes, sae_error *err);
sae_status file_writer_commit(file_writer *w, uint64_t *hash, sae_error *err); /* hash may be NULL */
void file_writer_abort(file_writer *w);                                        /* after commit: nothing */

/* A folder written beside its place ("PATH.tmp.PID": write files into `temporary`) and put there as a whole at commit. An
 * existing folder that is not empty is replaced only with force, and only when `ours` accepts every name in it. Killed at
 * any moment, the path holds the old folder or the new one (on file systems that can exchange two names; elsewhere the old
 * one may be left as PATH.tmp.PID.old, between two renames). */
typedef struct folder_writer {
    char *path, *temporary;
    bool force;
    bool kept; /* opened by folder_writer_open_kept */
    int lock;
    bool (*ours)(const char *name);
} folder_writer;
sae_status folder_writer_open(folder_writer *out, const char *path, bool force, bool (*ours)(const char *name),
                              sae_error *err);
/* The same in "PATH.partial", which is taken up when it is there, and stays when the work is broken off: abort, and a failed
 * commit, leave it. STATE: another process is at work in it. */
sae_status folder_writer_open_kept(folder_writer *out, const char *path, bool force, bool (*ours)(const char *name),
                                   sae_error *err);
sae_status folder_writer_commit(folder_writer *w, sae_error *err);
void folder_writer_abort(folder_writer *w); /* after commit: nothing */

/* A second name for a file, or a copy of it where the file system has no such thing. */
sae_status file_link(const char *from, const char *to, sae_error *err);

/* A file without a name, in a folder: gone with the process (scratch.c). */
typedef struct scratch_file {
    bool is_open;
    int fd;
    char *folder; /* owned; for messages */
} scratch_file;
sae_status scratch_open(scratch_file *out, const char *folder, sae_error *err);
sae_status scratch_write(scratch_file *f, int64_t offset, const void *data, size_t bytes, sae_error *err);
sae_status scratch_read(scratch_file *f, int64_t offset, void *data, size_t bytes, sae_error *err);
void scratch_discard(scratch_file *f, int64_t offset,
                     size_t bytes); /* gives the room on the disk back, if it can be done */
void scratch_close(scratch_file *f);

sae_status file_read_all(const char *path, size_t limit, char **text, size_t *bytes,
                         sae_error *err); /* NUL added; mem_free */
sae_status file_write_text(const char *path, const char *text, size_t bytes, bool force, sae_error *err);
sae_status file_hash(const char *path, uint64_t *hash, sae_error *err); /* XXH3-64 of the contents */
/* The same of a large file, which takes its time: "bytes hashed" are reported (progress NULL: nobody listens). */
sae_status file_hash_told(const char *path, const sae_progress *progress, uint64_t *hash, sae_error *err);
/* And as records hold it: 16 hexadecimal digits. */
enum { HASH_TEXT = 17 };
sae_status file_hash_text(const char *path, const sae_progress *progress, char out[HASH_TEXT], sae_error *err);
sae_status json_read_file(json_t **out, const char *path, sae_error *err);
sae_status json_write_file(const json_t *value, const char *path, bool force,
                           sae_error *err); /* indented, newline at the end */

/* A file that grows line by line and can be watched meanwhile (line_log.c). What is there is kept as far as `stands` says yes of
 * its lines (NULL: emptied). STATE: another process has it open. */
typedef struct line_log line_log;
sae_status line_log_open(line_log **out, const char *path, bool (*stands)(void *user, const char *line, size_t bytes),
                         void *user, sae_error *err);
sae_status line_log_put(line_log *log, const char *line,
                        sae_error *err);                 /* a newline is added; seen by readers at once */
sae_status line_log_sync(line_log *log, sae_error *err); /* fsync: survives a power failure */
void line_log_close(line_log *log);

/* ---- safetensors (safetensors.c) --------------------------------------------------------------------------------------- */

typedef struct safetensors safetensors;
/* Maps one file and checks all of it: offsets without holes or overlap, sizes, names unique, no trailing bytes. */
sae_status safetensors_open(safetensors **out, const char *path, sae_error *err);
void safetensors_close(safetensors *st);
int safetensors_count(const safetensors *st);
const tensor *safetensors_at(const safetensors *st, int i);              /* borrowed */
const tensor *safetensors_find(const safetensors *st, const char *name); /* NULL when absent */
const char *safetensors_path(const safetensors *st);
const json_t *safetensors_metadata(const safetensors *st); /* the "__metadata__" object or NULL */

uint64_t safetensors_hash(const safetensors *st); /* XXH3-64 of the whole file, as it was mapped */

/* Writes tensors (only name, type, rank, shape, data are read) in the format's canonical order. metadata: flat
 * string-to-string object or NULL. hash may be NULL. */
sae_status safetensors_write(const char *path, const tensor *tensors, int n, const json_t *metadata, bool force,
                             uint64_t *hash, sae_error *err);

/* ---- GGUF (gguf.c), versions 2 and 3 ---------------------------------------------------------------------------------- */

typedef struct gguf gguf;
sae_status gguf_open(gguf **out, const char *path, sae_error *err);
void gguf_close(gguf *g);
bool gguf_is(const char *path); /* a regular file that begins with the magic */
const char *gguf_path(const gguf *g);
int gguf_version(const gguf *g);
int64_t gguf_tensor_count(const gguf *g);
const tensor *gguf_at(const gguf *g, int64_t i);
const tensor *gguf_find(const gguf *g, const char *name);

/* Metadata. Missing keys: *_or gives the default; the others fail with FORMAT naming the key. Integer getters accept
 * every integer width and bool; float getters accept f32 and f64. Strings may hold NUL: length is given. */
bool gguf_has(const gguf *g, const char *key);
sae_status gguf_int(const gguf *g, const char *key, int64_t *out, sae_error *err);
sae_status gguf_int_or(const gguf *g, const char *key, int64_t otherwise, int64_t *out, sae_error *err);
sae_status gguf_float_or(const gguf *g, const char *key, double otherwise, double *out, sae_error *err);
/* Borrowed, not NUL-terminated. NULL with length 0 when absent. */
sae_status gguf_string_or_null(const gguf *g, const char *key, const char **text, size_t *bytes, sae_error *err);
/* Arrays: *n elements; absent: n = 0. Element access by index; strings are borrowed, not NUL-terminated. */
sae_status gguf_array_count(const gguf *g, const char *key, int64_t *n, sae_error *err);
sae_status gguf_array_string(const gguf *g, const char *key, int64_t i, const char **text, size_t *bytes,
                             sae_error *err);
sae_status gguf_array_int(const gguf *g, const char *key, int64_t i, int64_t *out, sae_error *err);
/* Calls for every metadata key: for `sae info`. `value` is a short text of the value. */
void gguf_each_key(const gguf *g, void (*fn)(void *user, const char *key, const char *type, const char *value),
                   void *user);

/* ---- NumPy arrays (npy.c) -------------------------------------------------------------------------------------------- */

/* A .npy file mapped. A matrix that lies column by column (numpy saves a transposed one so) is turned into a copy; with more
 * dimensions than two over 1 that order is refused. Object arrays are refused. */
typedef struct npy {
    file_map map;
    void *turned; /* the copy of a matrix, else NULL */
    tensor t;
} npy;
sae_status npy_open(npy *out, const char *path, sae_error *err);
void npy_close(npy *a);
sae_status npy_write(const char *path, const tensor *t, bool force, sae_error *err);

/* "X.npy" or "X.safetensors[:name]" as one tensor; with no name the file must hold just one. Close with array_close. */
typedef struct array_file {
    npy a;
    safetensors *st;
    tensor t; /* borrowed until close */
} array_file;
sae_status array_open(array_file *out, const char *path, sae_error *err);
void array_close(array_file *a);

/* ---- Streams of bytes and lines (stream.c): plain, .zst, .gz, "-" ------------------------------------------------------ */

typedef struct stream stream;
sae_status stream_open(stream **out, const char *path, sae_error *err);
void stream_close(stream *s);
/* Up to `bytes` bytes; *got = 0 at the end. */
sae_status stream_read(stream *s, void *buffer, size_t bytes, size_t *got, sae_error *err);
/* The next line without its newline, NUL-terminated; borrowed until the next call. *line = NULL at the end. A line
 * longer than 64 MiB is an error. */
sae_status stream_line(stream *s, const char **line, size_t *bytes, sae_error *err);
int64_t stream_line_number(const stream *s);
const char *stream_path(const stream *s);

#endif
