/* folder.c - folders: made, listed, synced, removed. */
#include "io/io.h"
#include "io/system.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static sae_status make_one(char *path, sae_error *err)
{
    if (file_is_folder(path)) return SAE_OK;
    if (sys_make_folder(path) == 0) {
        sae_status status = folder_sync_parent(path, err);
        if (status != SAE_OK) sys_remove(path);
        return status;
    }
    int cause = errno;
    if (cause == EEXIST && file_is_folder(path)) return SAE_OK;
    return SAE_FAIL(err, SAE_IO, "%s: the folder cannot be made: %s", path, strerror(cause));
}

sae_status folder_make(const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    char *part = mem_strdup(path, err);

    if (!part) return SAE_NOMEM;
    for (char *slash = strchr(part + (part[0] == '/'), '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        SAE_TRY(make_one(part, err));
        *slash = '/';
    }
    SAE_TRY(make_one(part, err));
done:
    mem_free(part);
    return status;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info, (void)kind, (void)where;
    return sys_remove(path);
}

sae_status folder_remove(const char *path, sae_error *err)
{
    struct stat info;

    if (lstat(path, &info) != 0 && errno == ENOENT) return SAE_OK;
    /* Links are removed, not followed; what is mounted below is left alone. */
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0)
        return SAE_FAIL(err, SAE_IO, "%s: the folder cannot be removed: %s", path, strerror(errno));
    return SAE_OK;
}

sae_status folder_discard(const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    size_t room = strlen(path) + 32;
    char *temporary = mem_alloc(room, "a path", err);

    if (!temporary) return SAE_NOMEM;
    snprintf(temporary, room, "%s.tmp.%ld", path,
             (long)getpid()); /* removed by the next one that comes by, if not by us */
    if (sys_rename(path, temporary) != 0)
        status = SAE_FAIL(err, SAE_IO, "%s: the folder cannot be removed: %s", path, strerror(errno));
    else
        status = folder_remove(temporary, err);
    mem_free(temporary);
    return status;
}

sae_status folder_sync(const char *path, sae_error *err)
{
    int fd = sys_open(path, O_RDONLY | O_DIRECTORY);

    if (fd < 0 && errno == EACCES && file_is_folder(path)) return SAE_OK; /* may be written to, but not opened */
    if (fd < 0) return SAE_FAIL(err, SAE_IO, "%s: the folder cannot be opened: %s", path, strerror(errno));
    int cause = sys_sync(fd) == 0 ? 0 : errno;
    sys_close(fd);
    if (cause && cause != EINVAL) /* EINVAL: this file system has no such thing, and needs none */
        return SAE_FAIL(err, SAE_IO, "%s: the folder cannot be synced: %s", path, strerror(cause));
    return SAE_OK;
}

sae_status folder_sync_parent(char *path, sae_error *err)
{
    char *slash = strrchr(path, '/');

    if (!slash) return folder_sync(".", err);
    if (slash == path) return folder_sync("/", err);
    *slash = '\0';
    sae_status status = folder_sync(path, err);
    *slash = '/';
    return status;
}

void folder_list_free(char **names, int n)
{
    for (int i = 0; names && i < n; i++) mem_free(names[i]);
    mem_free(names);
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

sae_status folder_list(const char *path, char ***names, int *n, sae_error *err)
{
    sae_status status = SAE_OK;
    char **list = NULL;
    int used = 0, room = 0;
    struct dirent *entry;
    DIR *folder = sys_open_folder(path);

    if (!folder) return SAE_FAIL(err, SAE_IO, "%s: the folder cannot be opened: %s", path, strerror(errno));
    for (errno = 0; (entry = readdir(folder)); errno = 0) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (used == room) {
            int more = room ? 2 * room : 16;
            char **larger = mem_grow(list, (size_t)room * sizeof *list, (size_t)more * sizeof *list, "a folder", err);
            if (!larger) SAE_RAISE(err, SAE_NOMEM, "no memory");
            list = larger;
            room = more;
        }
        list[used] = mem_strdup(entry->d_name, err);
        if (!list[used]) SAE_RAISE(err, SAE_NOMEM, "no memory");
        used++;
    }
    if (errno) SAE_RAISE(err, SAE_IO, "%s: the folder cannot be read: %s", path, strerror(errno));
    if (used) qsort(list, (size_t)used, sizeof *list, by_text);
    *names = list;
    *n = used;
    list = NULL;
done:
    closedir(folder);
    folder_list_free(list, used);
    return status;
}

sae_status folder_remove_ours(const char *path, bool (*ours)(const char *name), sae_error *err)
{
    sae_status status = SAE_OK;
    struct stat info;
    char **names = NULL, *file = NULL;
    int n = 0, left = 0;

    if (lstat(path, &info) != 0 || !S_ISDIR(info.st_mode)) return SAE_OK;
    SAE_TRY(folder_list(path, &names, &n, err));
    for (int i = 0; i < n; i++) {
        mem_free(file);
        file = path_join(path, names[i], err);
        if (!file) SAE_TRY(SAE_NOMEM);
        bool goes = ours(names[i]) && !file_is_folder(file);
        if (goes) SAE_TRY(file_remove(file, err));
        left += !goes;
    }
    if (left == 0) SAE_TRY(file_remove(path, err));
done:
    mem_free(file);
    folder_list_free(names, n);
    return status;
}

sae_status folder_lock(const char *path, int *lock, sae_error *err)
{
    int fd = sys_open(path, O_RDONLY | O_DIRECTORY);

    if (fd < 0) return SAE_FAIL(err, SAE_IO, "%s: cannot be opened: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        sys_close(fd);
        return SAE_FAIL(err, SAE_STATE, "%s: another process is writing there", path);
    }
    *lock = fd;
    return SAE_OK;
}

void folder_unlock(int lock)
{
    if (lock >= 0) sys_close(lock);
}
