/*
 * folder_writer.c - a folder that appears as a whole: written beside its place, then put there by one rename.
 *
 * Invariant: until commit succeeds the path holds what it held before; an existing folder is replaced only when all that is
 * in it is of the kind that is being written, so that --force on a wrong path destroys nothing of the user's.
 */
#include "io/io.h"
#include "io/system.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static sae_status check_contents(const char *path, bool force, bool (*ours)(const char *name), sae_error *err)
{
    sae_status status = SAE_OK;
    char **names = NULL;
    int n = 0;

    SAE_TRY(folder_list(path, &names, &n, err));
    if (n && !force)
        SAE_RAISE(err, SAE_EXISTS, "%s: exists already; choose another name, or use --force to replace it", path);
    for (int i = 0; i < n; i++)
        if (!ours(names[i]))
            SAE_RAISE(err, SAE_EXISTS, "%s: holds \"%s\", which is not of the kind that would be written; not replaced",
                      path, names[i]);
done:
    folder_list_free(names, n);
    return status;
}

static sae_status check_place(const folder_writer *w, sae_error *err)
{
    struct stat info;

    if (lstat(w->path, &info) != 0) return SAE_OK;
    if (!S_ISDIR(info.st_mode))
        return SAE_FAIL(err, SAE_EXISTS, "%s: exists and is no folder; choose another name", w->path);
    return check_contents(w->path, w->force, w->ours, err);
}

static sae_status make_parent(char *path, sae_error *err)
{
    char *slash = strrchr(path, '/');

    if (!slash || slash == path) return SAE_OK;
    *slash = '\0';
    sae_status status = folder_make(path, err);
    *slash = '/';
    return status;
}

static sae_status open_writer(folder_writer *out, const char *path, bool force, bool (*ours)(const char *name),
                              bool kept, sae_error *err)
{
    sae_status status = SAE_OK;
    folder_writer w = {.force = force, .ours = ours, .kept = kept, .lock = -1};
    size_t length = strlen(path);

    while (length > 1 && path[length - 1] == '/') length--; /* "out/" would put the temporary into itself */
    if (length == 0) SAE_RAISE(err, SAE_IO, "the name of the folder to write is empty");
    w.path = mem_alloc(length + 1, "a path", err);
    w.temporary = mem_alloc(length + 32, "a path", err);
    if (!w.path || !w.temporary) {
        status = SAE_NOMEM;
        goto done;
    }
    memcpy(w.path, path, length);
    if (kept)
        snprintf(w.temporary, length + 32, "%s.partial", w.path);
    else
        snprintf(w.temporary, length + 32, "%s.tmp.%ld", w.path, (long)getpid());
    SAE_TRY(check_place(&w, err));
    SAE_TRY(make_parent(w.path, err));
    SAE_TRY(leftovers_remove(w.path, err));
    if (sys_make_folder(w.temporary) != 0 && !(kept && errno == EEXIST))
        SAE_RAISE(err, SAE_IO, "%s: cannot be written: %s", w.path, strerror(errno));
    if (kept) SAE_TRY(folder_lock(w.temporary, &w.lock, err));
    *out = w;
    w = (folder_writer){0};
done:
    mem_free(w.path);
    mem_free(w.temporary);
    return status;
}

sae_status folder_writer_open(folder_writer *out, const char *path, bool force, bool (*ours)(const char *name),
                              sae_error *err)
{
    return open_writer(out, path, force, ours, false, err);
}

sae_status folder_writer_open_kept(folder_writer *out, const char *path, bool force, bool (*ours)(const char *name),
                                   sae_error *err)
{
    return open_writer(out, path, force, ours, true, err);
}

/* Where the file system cannot exchange names: the old folder goes aside, the new one in its place. */
static sae_status swap_by_two(const folder_writer *w, const char *aside, sae_error *err)
{
    if (sys_rename(w->path, aside) != 0)
        return SAE_FAIL(err, SAE_IO, "%s: cannot be replaced: %s", w->path, strerror(errno));
    if (sys_rename(w->temporary, w->path) == 0) {
        sys_rename(aside, w->temporary); /* the old one, to be removed; a failure leaves it aside, where it is found */
        return SAE_OK;
    }
    int cause = errno;
    if (sys_rename(aside, w->path) != 0)
        return SAE_FAIL(err, SAE_IO, "%s: cannot be put in place: %s; what was there is now %s", w->path,
                        strerror(cause), aside);
    return SAE_FAIL(err, SAE_IO, "%s: cannot be put in place: %s", w->path, strerror(cause));
}

/* Exchanges the names of the new folder and the old one. */
static sae_status exchange(const folder_writer *w, sae_error *err)
{
    sae_status status = SAE_OK;
    size_t room = strlen(w->path) + 40;
    char *aside;

    if (sys_rename_flags(w->temporary, w->path, RENAME_EXCHANGE) == 0) return SAE_OK;
    if (errno != EINVAL && errno != ENOSYS)
        return SAE_FAIL(err, SAE_IO, "%s: cannot be replaced: %s", w->path, strerror(errno));
    aside = mem_alloc(room, "a path", err);
    if (!aside) return SAE_NOMEM;
    snprintf(aside, room, "%s.tmp.%ld.old", w->path, (long)getpid()); /* leftovers_remove knows it by this name */
    status = swap_by_two(w, aside, err);
    mem_free(aside);
    return status;
}

/* The new folder under its name, durably; or everything as it was. */
static sae_status put_in_place(const folder_writer *w, sae_error *err)
{
    sae_status status = SAE_OK;
    bool exists = file_is_folder(w->path);

    if (exists)
        SAE_TRY(exchange(w, err));
    else if (sys_rename(w->temporary, w->path) != 0)
        SAE_RAISE(err, SAE_IO, "%s: cannot be put in place: %s", w->path, strerror(errno));
    status = folder_sync_parent(w->path, err);
    if (status != SAE_OK && exists) exchange(w, NULL);
    if (status != SAE_OK && !exists) sys_rename(w->path, w->temporary);
done:
    return status;
}

sae_status folder_writer_commit(folder_writer *w, sae_error *err)
{
    sae_status status = SAE_OK;

    if (!w->temporary) return SAE_FAIL(err, SAE_STATE, "a folder that is closed already cannot be committed");
    SAE_TRY(folder_sync(w->temporary, err));
    SAE_TRY(check_place(w, err)); /* again: hours may have passed */
    SAE_TRY(put_in_place(w, err));
    status = folder_remove(w->temporary, err); /* what stood there before */
    if (status != SAE_OK) sae_error_prefix(err, "%s: is written; what it replaces is left", w->path);
done:
    folder_writer_abort(w);
    return status;
}

void folder_writer_abort(folder_writer *w)
{
    if (w->temporary && !w->kept) folder_remove(w->temporary, NULL);
    if (w->kept) folder_unlock(w->lock);
    mem_free(w->temporary);
    mem_free(w->path);
    *w = (folder_writer){0};
}
