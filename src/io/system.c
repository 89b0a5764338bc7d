/*
 * system.c - system calls, begun again when interrupted, gone on with when cut short, and failing when a test asks for it.
 *
 * When no test does, this costs two relaxed atomic operations a call.
 */
#include "io/system.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- Failures asked for ------------------------------------------------------------------------------------------------- */

static _Atomic int64_t calls, fail_at; /* fail_at: the number of the call; 0: none */
static _Atomic int fail_with;
static atomic_bool fail_on, failed, asked;

static int error_number(const char *name)
{
    static const struct {
        const char *name;
        int number;
    } errors[] = {{"ENOSPC", ENOSPC}, {"EIO", EIO},       {"EINTR", EINTR},    {"EACCES", EACCES}, {"ENOMEM", ENOMEM},
                  {"EMFILE", EMFILE}, {"EDQUOT", EDQUOT}, {"SHORT", IO_SHORT}, {"KILL", IO_KILL}};

    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (strcmp(errors[i].name, name) == 0) return errors[i].number;
    return EINVAL; /* a misspelt one fails too: a test that fails nothing would pass */
}

static void ask_environment(void)
{
    const char *text = getenv("SAE_FAIL_IO");
    char *end = NULL;

    if (atomic_exchange(&asked, true) || !text) return;
    int64_t nth = strtoll(text, &end, 10);
    bool on = *end == '+';
    end += on;
    int error = error_number(*end == ':' ? end + 1 : end);
    io_fail_nth(nth, error);
    atomic_store(&fail_on, on && error > 0 && error != EINTR);
}

void io_fail_nth(int64_t nth, int error)
{
    atomic_store(&asked, true);
    atomic_store(&failed, false);
    atomic_store(&fail_on, false);
    atomic_store(&fail_with, error);
    atomic_store(&fail_at, nth > 0 ? atomic_load(&calls) + nth : 0);
}

int64_t io_calls(void) { return atomic_load(&calls); }
bool io_failed(void) { return atomic_load(&failed); }

/* What is to happen to the call that is about to be made: 0 (go ahead), an errno, IO_SHORT or IO_KILL. */
static int fault(bool writes)
{
    if (!atomic_load_explicit(&asked, memory_order_relaxed)) ask_environment();
    int64_t n = atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed) + 1;
    int64_t at = atomic_load_explicit(&fail_at, memory_order_relaxed);
    if (at == 0 || n < at || (n > at && !(writes && atomic_load(&fail_on)))) return 0;
    atomic_store(&failed, true);
    return atomic_load(&fail_with);
}

/* The same for calls that cannot be cut short: true when the call must fail, with errno set. */
static bool fails(bool writes)
{
    int what = fault(writes);

    if (what == IO_KILL) raise(SIGKILL);
    if (what > 0) errno = what;
    return what > 0;
}

/* ---- Calls --------------------------------------------------------------------------------------------------------------- */

/* result = call, or -1 when a test wants it; again as long as a signal interrupts it. */
#define CALL(result, writes, call)                                                                                     \
    do result = fails(writes) ? -1 : (call);                                                                           \
    while (result < 0 && errno == EINTR)

int sys_open(const char *path, int flags)
{
    int fd;

    CALL(fd, (flags & O_CREAT) != 0, open(path, flags | O_CLOEXEC, 0666));
    return fd;
}

/* The descriptor is gone whatever close says, so it is not called again. */
int sys_close(int fd)
{
    bool failing = fails(false);
    int error = errno, result = close(fd);

    if (failing) errno = error;
    return (failing || result != 0) && errno != EINTR ? -1 : 0;
}

int sys_fstat(int fd, struct stat *info)
{
    int result;

    CALL(result, false, fstat(fd, info));
    return result;
}

/* How many of `bytes` bytes the call may move; -1: it fails. Killed in the middle of a write, half of it is on disk. */
static ssize_t allowed(int what, size_t bytes)
{
    size_t half = bytes > 1 ? bytes / 2 : bytes;

    if (what > 0) {
        errno = what;
        return -1;
    }
    return (ssize_t)(what < 0 ? half : bytes);
}

ssize_t sys_read(int fd, void *buffer, size_t bytes)
{
    ssize_t got;

    do {
        int what = fault(false);
        if (what == IO_KILL) raise(SIGKILL);
        got = allowed(what, bytes);
        if (got >= 0) got = read(fd, buffer, (size_t)got);
    } while (got < 0 && errno == EINTR);
    return got;
}

ssize_t sys_pread_all(int fd, void *buffer, size_t bytes, int64_t offset)
{
    size_t done = 0;

    while (done < bytes) {
        int what = fault(false);
        if (what == IO_KILL) raise(SIGKILL);
        ssize_t got = allowed(what, bytes - done);
        if (got >= 0) got = pread(fd, (char *)buffer + done, (size_t)got, (off_t)offset + (off_t)done);
        if (got == 0) break;
        if (got < 0 && errno != EINTR) return -1;
        done += got > 0 ? (size_t)got : 0;
    }
    return (ssize_t)done;
}

int sys_write_all(int fd, const void *data, size_t bytes)
{
    size_t done = 0;

    while (done < bytes) {
        int what = fault(true);
        ssize_t put = allowed(what, bytes - done);
        if (put >= 0) put = write(fd, (const char *)data + done, (size_t)put);
        if (what == IO_KILL) raise(SIGKILL);
        if (put < 0 && errno != EINTR) return -1;
        done += put > 0 ? (size_t)put : 0;
    }
    return 0;
}

int sys_pwrite_all(int fd, const void *data, size_t bytes, int64_t offset)
{
    size_t done = 0;

    while (done < bytes) {
        int what = fault(true);
        ssize_t put = allowed(what, bytes - done);
        if (put >= 0) put = pwrite(fd, (const char *)data + done, (size_t)put, (off_t)offset + (off_t)done);
        if (what == IO_KILL) raise(SIGKILL);
        if (put < 0 && errno != EINTR) return -1;
        done += put > 0 ? (size_t)put : 0;
    }
    return 0;
}

int sys_truncate(int fd, int64_t bytes)
{
    int result;

    CALL(result, true, ftruncate(fd, (off_t)bytes));
    return result;
}

int sys_sync(int fd)
{
    int result;

    CALL(result, true, fsync(fd));
    return result;
}

void *sys_map(int fd, size_t bytes)
{
    while (fails(false))
        if (errno != EINTR) return NULL;
    void *data = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    return data == MAP_FAILED ? NULL : data;
}

int sys_link(const char *from, const char *to)
{
    int result;

    CALL(result, true, link(from, to));
    return result;
}

int sys_rename(const char *from, const char *to)
{
    int result;

    CALL(result, true, rename(from, to));
    return result;
}

int sys_rename_flags(const char *from, const char *to, unsigned int flags)
{
    int result;

    if (flags & RENAME_EXCHANGE && getenv("SAE_NO_EXCHANGE")) {
        errno = EINVAL;
        return -1;
    }
    CALL(result, true, renameat2(AT_FDCWD, from, AT_FDCWD, to, flags));
    return result;
}

int sys_make_folder(const char *path)
{
    int result;

    CALL(result, true, mkdir(path, 0777));
    return result;
}

int sys_remove(const char *path)
{
    int result;

    CALL(result, false, remove(path));
    return result;
}

DIR *sys_open_folder(const char *path)
{
    while (fails(false))
        if (errno != EINTR) return NULL;
    return opendir(path);
}
