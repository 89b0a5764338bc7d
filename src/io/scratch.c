/*
 * scratch.c - a file without a name, for what does not fit into memory: it is gone with the process, however that ends.
 */
#include "io/io.h"
#include "io/system.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

sae_status scratch_open(scratch_file *out, const char *folder, sae_error *err)
{
    size_t room = strlen(folder) + 64;
    char *path = mem_alloc(room, "a path", err), *kept = mem_strdup(folder, err);
    sae_status status = SAE_OK;
    int fd;

    if (!path || !kept) SAE_TRY(SAE_NOMEM);
    snprintf(path, room, "%s/scratch.tmp.%ld", folder, (long)getpid());
    sys_remove(path);
    fd = sys_open(path, O_RDWR | O_CREAT | O_EXCL);
    if (fd < 0) SAE_RAISE(err, SAE_IO, "%s: no scratch file can be made: %s", folder, strerror(errno));
    if (sys_remove(path) != 0) {
        int cause = errno;
        sys_close(fd);
        SAE_RAISE(err, SAE_IO, "%s: cannot be removed: %s", path, strerror(cause));
    }
    *out = (scratch_file){.fd = fd, .is_open = true, .folder = kept};
    kept = NULL;
done:
    mem_free(kept);
    mem_free(path);
    return status;
}

sae_status scratch_write(scratch_file *f, int64_t offset, const void *data, size_t bytes, sae_error *err)
{
    if (sys_pwrite_all(f->fd, data, bytes, offset) == 0) return SAE_OK;
    return SAE_FAIL(err, SAE_IO, "%s: a scratch file there cannot be written: %s", f->folder, strerror(errno));
}

sae_status scratch_read(scratch_file *f, int64_t offset, void *data, size_t bytes, sae_error *err)
{
    ssize_t got = sys_pread_all(f->fd, data, bytes, offset);

    if (got >= 0 && (size_t)got == bytes) return SAE_OK;
    return SAE_FAIL(err, SAE_IO, "%s: a scratch file there cannot be read: %s", f->folder,
                    got < 0 ? strerror(errno) : "it is too short");
}

void scratch_discard(scratch_file *f, int64_t offset, size_t bytes)
{
    (void)!fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes);
}

void scratch_close(scratch_file *f)
{
    if (f->is_open) sys_close(f->fd);
    mem_free(f->folder);
    *f = (scratch_file){0};
}
