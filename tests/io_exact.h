/*
 * io_exact.h - makes a read one byte behind a mapped file visible: mappings of files become copies on the heap, which
 * address sanitizer guards to the byte (a real mapping is readable to the end of its page).
 *
 * Include in one file of a test program: the mmap and munmap here replace the C library's for the whole program.
 */
#ifndef SAE_IO_EXACT_H
#define SAE_IO_EXACT_H

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MAX_COPIES = 64 };
static void *copies[MAX_COPIES];

static void *copy_of_file(size_t length, int fd)
{
    for (int i = 0; i < MAX_COPIES; i++) {
        if (copies[i]) continue;
        void *copy = malloc(length);
        if (!copy || pread(fd, copy, length, 0) != (ssize_t)length) abort();
        return copies[i] = copy;
    }
    abort();
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    if (fd >= 0 && protection == PROT_READ && flags == MAP_PRIVATE && offset == 0) return copy_of_file(length, fd);
    return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
}

int munmap(void *address, size_t length)
{
    for (int i = 0; i < MAX_COPIES; i++) {
        if (!address || copies[i] != address) continue;
        free(address);
        copies[i] = NULL;
        return 0;
    }
    return (int)syscall(SYS_munmap, address, length);
}

#endif
