/*
 * writer.c - files for writing: a temporary beside the place, filled, synced and renamed.
 *
 * Invariant: until commit succeeds the path holds what it held before; after an abort or a failure no temporary is left.
 */
#include "io/io.h"
#include "io/system.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

enum { BUFFER_BYTES = 1 << 16 };

static sae_status exists_fail(const char *path, sae_error *err)
{
    return SAE_FAIL(err, SAE_EXISTS, "%s: exists already; choose another name, or use --force to replace it", path);
}

static sae_status write_fail(const file_writer *w, sae_error *err)
{
    return SAE_FAIL(err, SAE_IO, "%s: cannot be written: %s", w->path, strerror(errno));
}

/* A rename would replace a device such as /dev/null by a file: refused even with force. */
static sae_status check_place(const char *path, bool force, sae_error *err)
{
    struct stat info;

    if (!*path) return SAE_FAIL(err, SAE_IO, "the name of the file to write is empty");
    if (lstat(path, &info) != 0) return SAE_OK;
    if (S_ISDIR(info.st_mode)) return SAE_FAIL(err, SAE_IO, "%s: is a folder, expected the name of a file", path);
    if (!S_ISREG(info.st_mode) && !S_ISLNK(info.st_mode))
        return SAE_FAIL(err, SAE_IO, "%s: is a device, pipe or socket, which cannot be replaced by a file", path);
    return force ? SAE_OK : exists_fail(path, err);
}

static void release(file_writer *w)
{
    if (w->is_open) sys_close(w->fd);
    if (w->temporary) sys_remove(w->temporary);
    XXH3_freeState(w->hash);
    mem_free(w->buffer);
    mem_free(w->temporary);
    mem_free(w->path);
    *w = (file_writer){0};
}

sae_status file_writer_open(file_writer *out, const char *path, bool force, sae_error *err)
{
    sae_status status = SAE_OK;
    size_t room = strlen(path) + 32;
    file_writer w = {.force = force};
    char *temporary = NULL;

    SAE_TRY(check_place(path, force, err));
    w.path = mem_strdup(path, err);
    w.buffer = mem_alloc(BUFFER_BYTES, "a file's buffer", err);
    temporary = mem_alloc(room, "a path", err);
    w.hash = XXH3_createState();
    if (!w.path || !w.buffer || !temporary || !w.hash) SAE_RAISE(err, SAE_NOMEM, "no memory");
    XXH3_64bits_reset(w.hash);
    snprintf(temporary, room, "%s.tmp.%ld", path, (long)getpid());
    SAE_TRY(leftovers_remove(path, err));
    w.fd = sys_open(temporary, O_WRONLY | O_CREAT | O_EXCL);
    if (w.fd < 0) SAE_RAISE(err, SAE_IO, "%s: cannot be written: %s", path, strerror(errno));
    w.is_open = true;
    w.temporary = temporary;
    temporary = NULL;
    *out = w;
    w = (file_writer){0};
done:
    mem_free(temporary);
    release(&w);
    return status;
}

static sae_status flush(file_writer *w, sae_error *err)
{
    size_t bytes = w->used;

    w->used = 0;
    return sys_write_all(w->fd, w->buffer, bytes) == 0 ? SAE_OK : write_fail(w, err);
}

sae_status file_writer_put(file_writer *w, const void *data, size_t bytes, sae_error *err)
{
    if (!w->is_open) return SAE_FAIL(err, SAE_STATE, "a file that is closed already cannot be written to");
    if (bytes == 0) return SAE_OK;
    if (bytes > BUFFER_BYTES - w->used) {
        sae_status status = flush(w, err);
        if (status != SAE_OK) return status;
    }
    if (bytes > BUFFER_BYTES) {
        if (sys_write_all(w->fd, data, bytes) != 0) return write_fail(w, err);
    } else {
        memcpy(w->buffer + w->used, data, bytes);
        w->used += bytes;
    }
    XXH3_64bits_update(w->hash, data, bytes);
    w->bytes += bytes;
    return SAE_OK;
}

/* Without force a file that appeared since the writer was opened is kept: the kernel decides, so nothing can slip in. */
static sae_status rename_into_place(const file_writer *w, sae_error *err)
{
    if (!w->force) {
        if (sys_rename_flags(w->temporary, w->path, RENAME_NOREPLACE) == 0) return SAE_OK;
        if (errno == EEXIST) return exists_fail(w->path, err);
        if (errno != EINVAL && errno != ENOSYS) /* these: the file system does not know the flag */
            return SAE_FAIL(err, SAE_IO, "%s: cannot be put in place: %s", w->path, strerror(errno));
    }
    if (sys_rename(w->temporary, w->path) != 0)
        return SAE_FAIL(err, SAE_IO, "%s: cannot be put in place: %s", w->path, strerror(errno));
    return SAE_OK;
}

/* Fills the disk, syncs, closes: after this only the name is missing. */
static sae_status finish(file_writer *w, sae_error *err)
{
    sae_status status = flush(w, err);

    if (status != SAE_OK) return status;
    if (sys_sync(w->fd) != 0) return write_fail(w, err);
    w->is_open = false;
    return sys_close(w->fd) == 0 ? SAE_OK : write_fail(w, err);
}

sae_status file_writer_commit(file_writer *w, uint64_t *hash, sae_error *err)
{
    sae_status status = SAE_OK;

    if (!w->is_open) return SAE_FAIL(err, SAE_STATE, "a file that is closed already cannot be committed");
    SAE_TRY(finish(w, err));
    bool replaces = file_exists(w->path);
    SAE_TRY(rename_into_place(w, err));
    mem_free(w->temporary); /* it bears its own name now */
    w->temporary = NULL;
    if (hash) *hash = XXH3_64bits_digest(w->hash);
    status = folder_sync_parent(w->path, err);
    if (status != SAE_OK && !replaces) sys_remove(w->path); /* as before, so that it can be tried again */
done:
    release(w);
    return status;
}

void file_writer_abort(file_writer *w)
{
    if (w) release(w);
}

sae_status file_write_text(const char *path, const char *text, size_t bytes, bool force, sae_error *err)
{
    sae_status status = SAE_OK;
    file_writer w = {0};

    SAE_TRY(file_writer_open(&w, path, force, err));
    SAE_TRY(file_writer_put(&w, text, bytes, err));
    SAE_TRY(file_writer_commit(&w, NULL, err));
done:
    file_writer_abort(&w);
    return status;
}

sae_status json_write_file(const json_t *value, const char *path, bool force, sae_error *err)
{
    sae_status status = SAE_OK;
    file_writer w = {0};
    char *text = json_to_text(value, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17), NULL);

    if (!text) SAE_RAISE(err, SAE_NOMEM, "%s: the value cannot be written as JSON", path);
    SAE_TRY(file_writer_open(&w, path, force, err));
    SAE_TRY(file_writer_put(&w, text, strlen(text), err));
    SAE_TRY(file_writer_put(&w, "\n", 1, err));
    SAE_TRY(file_writer_commit(&w, NULL, err));
done:
    file_writer_abort(&w);
    mem_free(text);
    return status;
}

static sae_status copy_file(const char *from, const char *to, sae_error *err)
{
    sae_status status = SAE_OK;
    file_map map = {0};
    file_writer w = {0};

    SAE_TRY(file_map_open(&map, from, err));
    SAE_TRY(file_writer_open(&w, to, false, err));
    SAE_TRY(file_writer_put(&w, map.data, map.bytes, err));
    SAE_TRY(file_writer_commit(&w, NULL, err));
done:
    file_writer_abort(&w);
    file_map_close(&map);
    return status;
}

sae_status file_link(const char *from, const char *to, sae_error *err)
{
    return sys_link(from, to) == 0 ? SAE_OK : copy_file(from, to, err);
}
