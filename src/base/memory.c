/* memory.c - the one allocator: counts, aligns, zeroes, can be forbidden (guard) and made to fail (tests). */
#include "base/base.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* Stands before each block; one cache line, so that the block stays aligned. */
typedef struct header {
    size_t bytes;
    unsigned char pad[64 - sizeof(size_t)];
} header;
_Static_assert(sizeof(header) == 64, "a block must start on a cache line");

enum { HUGE_PAGE = 2 << 20, HUGE_FROM = 16 << 20, LOOK_FROM = 64 << 20 };

static _Atomic size_t in_use;
static _Atomic int64_t fail_countdown;
static atomic_bool failed;
static const char *_Atomic guard_phase;

bool mul_overflows(size_t a, size_t b, size_t *product) { return __builtin_mul_overflow(a, b, product); }

size_t mem_resident(size_t bytes)
{
    size_t padded = sizeof(header) + ((bytes + 63) & ~(size_t)63);

    return padded < HUGE_FROM ? bytes : (padded + HUGE_PAGE - 1) & ~(size_t)(HUGE_PAGE - 1);
}

void *mem_alloc(size_t bytes, const char *what, sae_error *err)
{
    const char *phase = atomic_load(&guard_phase);
    size_t padded;
    header *block;

    if (phase) {
        SAE_FAIL(err, SAE_STATE, "allocation of %zu bytes for %s during %s, which must not allocate", bytes, what,
                 phase);
        return NULL;
    }
    if (atomic_load(&fail_countdown) > 0 && atomic_fetch_sub(&fail_countdown, 1) == 1) {
        atomic_store(&failed, true);
        SAE_FAIL(err, SAE_NOMEM, "no memory for %s (%zu bytes; failure asked for by a test)", what, bytes);
        return NULL;
    }
    if (bytes > SIZE_MAX - 128) {
        SAE_FAIL(err, SAE_NOMEM, "no memory for %s: %zu bytes is more than an address can hold", what, bytes);
        return NULL;
    }
    padded = sizeof(header) + ((bytes + 63) & ~(size_t)63);
    if (padded >= HUGE_FROM) padded = mem_resident(bytes);
    /* The system would promise more than there is, and end the process when it is used. */
    size_t free_now = padded >= LOOK_FROM ? memory_left() : 0;
    if (free_now > 0 && padded > free_now) {
        SAE_FAIL(err, SAE_NOMEM, "no memory for %s: %zu MiB are wanted, %zu MiB are free", what, padded >> 20,
                 free_now >> 20);
        return NULL;
    }
    block = aligned_alloc(padded >= HUGE_FROM ? HUGE_PAGE : 64, padded);
    if (!block) {
        SAE_FAIL(err, SAE_NOMEM, "no memory for %s (%zu bytes); %zu bytes are in use", what, bytes, mem_in_use());
        return NULL;
    }
    /* Rows gathered from all over a large matrix miss the address cache with small pages. A refusal costs only speed. */
    if (padded >= HUGE_FROM) (void)madvise(block, padded, MADV_HUGEPAGE);
    memset(block, 0, padded);
    block->bytes = bytes;
    atomic_fetch_add(&in_use, bytes);
    return block + 1;
}

void *mem_alloc_array(size_t count, size_t size, const char *what, sae_error *err)
{
    size_t bytes;

    if (mul_overflows(count, size, &bytes)) {
        SAE_FAIL(err, SAE_NOMEM, "no memory for %s: %zu x %zu bytes is more than an address can hold", what, count,
                 size);
        return NULL;
    }
    return mem_alloc(bytes, what, err);
}

void *mem_grow(void *old, size_t old_bytes, size_t new_bytes, const char *what, sae_error *err)
{
    void *block = mem_alloc(new_bytes, what, err);

    if (!block) return NULL;
    if (old) memcpy(block, old, old_bytes < new_bytes ? old_bytes : new_bytes);
    mem_free(old);
    return block;
}

void mem_free(void *block)
{
    if (!block) return;
    header *h = (header *)block - 1;
    atomic_fetch_sub(&in_use, h->bytes);
    free(h);
}

char *mem_strdup(const char *text, sae_error *err)
{
    size_t bytes = strlen(text) + 1;
    char *copy = mem_alloc(bytes, "a string", err);

    if (copy) memcpy(copy, text, bytes);
    return copy;
}

size_t mem_in_use(void) { return atomic_load(&in_use); }
void mem_guard_begin(const char *phase) { atomic_store(&guard_phase, phase); }
void mem_guard_end(void) { atomic_store(&guard_phase, NULL); }

void mem_fail_nth(int64_t nth)
{
    if (nth > 0) atomic_store(&failed, false);
    atomic_store(&fail_countdown, nth);
}

bool mem_failed(void) { return atomic_load(&failed); }

size_t memory_peak_rss(void)
{
    struct rusage usage;

    return getrusage(RUSAGE_SELF, &usage) == 0 ? (size_t)usage.ru_maxrss * 1024 : 0;
}

/* The number in a file; SIZE_MAX where there is none ("max", too). */
static size_t number_in(const char *folder, const char *name, const char *format)
{
    char path[256], line[256];
    size_t number = SIZE_MAX;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "re"); /* in /proc or /sys */

    if (!f) return SIZE_MAX;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, format, &number) == 1) break;
    fclose(f);
    return number;
}

size_t memory_left_in_group(const char *folder)
{
    bool second = number_in(folder, "memory.current", "%zu") != SIZE_MAX;
    size_t most = number_in(folder, second ? "memory.max" : "memory.limit_in_bytes", "%zu");
    size_t used = number_in(folder, second ? "memory.current" : "memory.usage_in_bytes", "%zu");
    size_t cached = number_in(folder, "memory.stat", second ? "inactive_file %zu" : "total_inactive_file %zu");

    if (most == SIZE_MAX || used == SIZE_MAX) return SIZE_MAX;
    if (cached != SIZE_MAX) used -= cached < used ? cached : used; /* files that are given up when memory is wanted */
    return used < most ? most - used : 0;
}

/* What `ulimit -v` leaves of the address space; SIZE_MAX without such a limit. */
static size_t left_of_address_space(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return SIZE_MAX;
    size_t used = number_in("/proc/self", "status", "VmSize: %zu kB");
    if (used == SIZE_MAX) return SIZE_MAX;
    return used < limit.rlim_cur / 1024 ? (size_t)limit.rlim_cur - used * 1024 : 0;
}

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

size_t memory_left(void)
{
    size_t system = number_in("/proc", "meminfo", "MemAvailable: %zu kB");
    size_t group = memory_left_in_group("/sys/fs/cgroup"), first = memory_left_in_group("/sys/fs/cgroup/memory");

    if (system == SIZE_MAX) return 0;
    size_t left = smaller(smaller(system * 1024, smaller(group, first)), left_of_address_space());
    return left > 0 ? left : 1;
}

/* Threads that begin later take address space too, most of it never used: glibc's malloc 64 MiB for one that allocates, and its stack. */
size_t memory_available(void)
{
    static const size_t for_threads = (size_t)128 << 20;
    size_t left = memory_left(), space = left_of_address_space();

    if (left == 0 || space == SIZE_MAX) return left;
    return space > for_threads ? smaller(left, space - for_threads) : 1;
}

void *arena_take(arena *a, size_t bytes)
{
    void *block = a->base ? a->base + a->used : NULL;

    a->used += (bytes + 63) & ~(size_t)63;
    return block;
}
