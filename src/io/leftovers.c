/*
 * leftovers.c - what a killed process had begun to write: PATH.tmp.PID beside PATH. It is removed by the next one that
 * writes to PATH, when no process has that number any more.
 */
#include "io/io.h"
#include "io/system.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What stands behind "BASE.tmp." (base NULL: behind the last ".tmp."); NULL when the name is not of that form. */
static const char *behind(const char *name, const char *base)
{
    const char *at = NULL;

    if (!base) {
        for (const char *found = name; (found = strstr(found + 1, ".tmp."));) at = found;
        return at ? at + strlen(".tmp.") : NULL;
    }
    size_t length = strlen(base);
    return strncmp(name, base, length) == 0 && strncmp(name + length, ".tmp.", 5) == 0 ? name + length + 5 : NULL;
}

/* The process that left it, 0 when it is no leftover; *old: it is what stood in the place, put aside. */
static int64_t process_of(const char *name, const char *base, bool *old)
{
    const char *at = behind(name, base);
    char *end = NULL;

    if (!at || *at < '1' || *at > '9') return 0;
    int64_t number = strtoll(at, &end, 10);
    *old = strcmp(end, ".old") == 0;
    return (*old || *end == '\0') && number < INT32_MAX ? number : 0;
}

bool is_leftover(const char *name, const char *base)
{
    bool old;

    return process_of(name, base, &old) > 0;
}

/* Nobody has this number; or we have it, and begin anew. */
static bool is_gone(int64_t process)
{
    return process == (int64_t)getpid() || (kill((pid_t)process, 0) != 0 && errno == ESRCH);
}

/* What was put aside goes back to its place when nothing came there. Where it cannot, it is all that is left of the old data: it
 * stays, and so does the place, since what is written there would have it removed by the next one. */
static sae_status remove_one(const char *folder, const char *name, bool old, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_error ignored = {0};
    char *leftover = path_join(folder, name, err);

    if (!leftover) return SAE_NOMEM;
    if (!old || file_exists(path))
        folder_remove(leftover, &ignored);
    else if (sys_rename(leftover, path) != 0 && errno != ENOENT) /* ENOENT: another process was here */
        status =
            SAE_FAIL(err, SAE_IO,
                     "%s: a process that was killed put what stood there aside, and it cannot be put back: %s; mend "
                     "that, or rename %s yourself",
                     path, strerror(errno), leftover);
    mem_free(leftover);
    return status;
}

sae_status leftovers_remove(const char *path, sae_error *err)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    sae_status status = SAE_OK;
    sae_error listing = {0};
    char *folder = mem_strdup(slash ? path : "./", err), **names = NULL;
    int n = 0;

    if (!folder) return SAE_NOMEM;
    if (slash) folder[slash - path + 1] = '\0'; /* "a/", and "/" of "/x" */
    folder_list(folder, &names, &n, &listing);
    if (listing.code == SAE_NOMEM) SAE_RAISE(err, SAE_NOMEM, "%s", listing.message);
    for (int i = 0; i < n; i++) {
        bool old;
        int64_t process = process_of(names[i], base, &old);
        if (process > 0 && is_gone(process)) SAE_TRY(remove_one(folder, names[i], old, path, err));
    }
done:
    folder_list_free(names, n);
    mem_free(folder);
    return status;
}
