/*
 * system.h - the one place where io meets the operating system. Each function is the call of that name, with its errno; but
 * a call that a signal interrupts is made again, and a read or write goes on until all is done. A test can have the nth call
 * fail.
 */
#ifndef SAE_IO_SYSTEM_H
#define SAE_IO_SYSTEM_H

#include "base/base.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/types.h>

int sys_open(const char *path, int flags); /* a new file gets mode 0666 */
int sys_close(int fd);
int sys_fstat(int fd, struct stat *info);
ssize_t sys_read(int fd, void *buffer, size_t bytes); /* may be fewer: a pipe; 0: the end */
/* All of them, but for the end of the file. */
ssize_t sys_pread_all(int fd, void *buffer, size_t bytes, int64_t offset);
int sys_write_all(int fd, const void *data, size_t bytes); /* 0: all of them are written */
int sys_pwrite_all(int fd, const void *data, size_t bytes, int64_t offset);
int sys_truncate(int fd, int64_t bytes);
int sys_sync(int fd);
void *sys_map(int fd, size_t bytes); /* read-only; NULL on failure */
int sys_link(const char *from, const char *to);
int sys_rename(const char *from, const char *to);
int sys_rename_flags(const char *from, const char *to, unsigned int flags); /* renameat2 */
int sys_make_folder(const char *path);
int sys_remove(const char *path); /* a file, a link or an empty folder */
DIR *sys_open_folder(const char *path);

/* For tests. The nth call from now (1: the next) fails with this errno, or is cut short, or kills the process; 0 switches
 * this off. EINTR comes back once, as from a signal. SAE_FAIL_IO=N:ENOSPC (EIO, EINTR, SHORT, KILL, ...; N+: this and all
 * that write after it) asks for the same from outside. SAE_NO_EXCHANGE: names cannot be exchanged, as on
 * some file systems. */
enum { IO_SHORT = -1, IO_KILL = -2 };
void io_fail_nth(int64_t nth, int error);
int64_t io_calls(void); /* made so far */
bool io_failed(void);   /* since io_fail_nth: was there a call to fail? */

#endif
