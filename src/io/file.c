/*
 * file.c - whole files for reading: mapped, read into memory, hashed, parsed as JSON; and paths.
 *
 * A map stays valid until it is closed. A file that another process shortens meanwhile kills the reader (SIGBUS), as
 * it does with any program that maps files: our own writers replace files by rename and never shorten one. Which file it was the
 * handler of that signal asks here, so open maps stand in a table.
 */
#include "io/io.h"
#include "io/system.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

static const size_t json_file_limit = (size_t)256 << 20; /* the largest tokenizer.json known is below 40 MB */

/* Only a regular file has a size and can be mapped. */
static sae_status open_regular(const char *path, int *fd, size_t *bytes, sae_error *err)
{
    struct stat info;
    int f = sys_open(path, O_RDONLY | O_NONBLOCK); /* O_NONBLOCK: a FIFO must not make us wait */

    if (f < 0) return SAE_FAIL(err, SAE_IO, "%s: cannot be opened: %s", path, strerror(errno));
    if (sys_fstat(f, &info) != 0) {
        int cause = errno;
        sys_close(f);
        return SAE_FAIL(err, SAE_IO, "%s: cannot be examined: %s", path, strerror(cause));
    }
    if (!S_ISREG(info.st_mode)) {
        sys_close(f);
        return SAE_FAIL(err, SAE_IO, "%s: is a %s, expected a regular file", path,
                        S_ISDIR(info.st_mode) ? "folder" : "device, pipe or socket");
    }
    *fd = f;
    *bytes = (size_t)info.st_size;
    return SAE_OK;
}

/* Maps beyond these are without a name in a message. A place is taken by its `data` and given free by it, last. */
enum { NAMED_MAPS = 256 };
static struct {
    _Atomic(const unsigned char *) data;
    _Atomic(size_t) bytes;
    _Atomic(const char *) path; /* the map's own; NULL: not yet, or no longer */
} named_maps[NAMED_MAPS];

static void remember_map(const file_map *map)
{
    for (int i = 0; i < NAMED_MAPS; i++) {
        const unsigned char *none = NULL;
        if (!atomic_compare_exchange_strong(&named_maps[i].data, &none, map->data)) continue;
        named_maps[i].bytes = map->bytes;
        named_maps[i].path = map->path;
        return;
    }
}

static void forget_map(const file_map *map)
{
    for (int i = 0; i < NAMED_MAPS; i++) {
        if (named_maps[i].data != map->data) continue;
        named_maps[i].path = NULL;
        named_maps[i].data = NULL;
        return;
    }
}

const char *file_map_path_at(const void *address)
{
    const unsigned char *at = address;

    for (int i = 0; i < NAMED_MAPS; i++) {
        const unsigned char *data = named_maps[i].data;
        if (data && named_maps[i].path && at >= data && at < data + named_maps[i].bytes) return named_maps[i].path;
    }
    return NULL;
}

sae_status file_map_open(file_map *out, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    file_map map = {0};
    int fd = -1;

    map.path = mem_strdup(path, err);
    if (!map.path) return SAE_NOMEM;
    SAE_TRY(open_regular(path, &fd, &map.bytes, err));
    map.data = (const unsigned char *)""; /* of an empty file: mmap refuses length 0 */
    if (map.bytes > 0) {
        void *data = sys_map(fd, map.bytes);
        if (!data) SAE_RAISE(err, SAE_IO, "%s: cannot be mapped: %s", path, strerror(errno));
        map.data = data;
        remember_map(&map);
    }
    *out = map;
    map.path = NULL;
done:
    if (fd >= 0) sys_close(fd);
    mem_free(map.path);
    return status;
}

void file_map_close(file_map *map)
{
    if (!map) return;
    if (map->bytes) {
        forget_map(map);
        munmap((void *)(uintptr_t)map->data, map->bytes);
    }
    mem_free(map->path);
    *map = (file_map){0};
}

sae_status file_remove(const char *path, sae_error *err)
{
    if (sys_remove(path) == 0 || errno == ENOENT) return SAE_OK;
    return SAE_FAIL(err, SAE_IO, "%s: cannot be removed: %s", path, strerror(errno));
}

bool file_exists(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0;
}

bool file_is_folder(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

char *path_join(const char *folder, const char *name, sae_error *err)
{
    size_t a = strlen(folder), b = strlen(name);
    bool slash = a > 0 && folder[a - 1] != '/';
    char *path = mem_alloc(a + slash + b + 1, "a path", err);

    if (!path) return NULL;
    memcpy(path, folder, a);
    if (slash) path[a] = '/';
    memcpy(path + a + slash, name, b);
    return path;
}

/* Reads to the end, whatever the file is (a pipe has no size to ask for). */
sae_status file_read_all(const char *path, size_t limit, char **text, size_t *bytes, sae_error *err)
{
    sae_status status = SAE_OK;
    size_t room = (size_t)64 << 10, used = 0;
    ssize_t got;
    int fd = sys_open(path, O_RDONLY);
    char *buffer = NULL;

    if (fd < 0) return SAE_FAIL(err, SAE_IO, "%s: cannot be opened: %s", path, strerror(errno));
    buffer = mem_alloc(room + 1, "a file's contents", err);
    if (!buffer) SAE_RAISE(err, SAE_NOMEM, "no memory");
    while ((got = sys_read(fd, buffer + used, room - used)) > 0) {
        used += (size_t)got;
        if (used > limit)
            SAE_RAISE(err, SAE_RANGE, "%s: longer than %zu bytes, the most that is read of such a file", path, limit);
        if (used == room) {
            char *larger = mem_grow(buffer, used, 2 * room + 1, "a file's contents", err);
            if (!larger) SAE_RAISE(err, SAE_NOMEM, "no memory");
            buffer = larger;
            room *= 2;
        }
    }
    if (got < 0) SAE_RAISE(err, SAE_IO, "%s: cannot be read: %s", path, strerror(errno));
    buffer[used] = '\0';
    *text = buffer;
    if (bytes) *bytes = used;
    buffer = NULL;
done:
    sys_close(fd);
    mem_free(buffer);
    return status;
}

sae_status file_hash(const char *path, uint64_t *hash, sae_error *err) { return file_hash_told(path, NULL, hash, err); }

sae_status file_hash_text(const char *path, const sae_progress *progress, char out[HASH_TEXT], sae_error *err)
{
    uint64_t hash = 0;
    sae_status status = file_hash_told(path, progress, &hash, err);

    snprintf(out, HASH_TEXT, "%016llx", (unsigned long long)hash);
    return status;
}

sae_status file_hash_told(const char *path, const sae_progress *progress, uint64_t *hash, sae_error *err)
{
    static const size_t part = (size_t)16 << 20;
    sae_status status = SAE_OK;
    file_map map = {0};
    XXH3_state_t *state = XXH3_createState();

    if (!state || XXH3_64bits_reset(state) != XXH_OK) SAE_RAISE(err, SAE_NOMEM, "no memory to hash %s", path);
    SAE_TRY(file_map_open(&map, path, err));
    for (size_t at = 0; at < map.bytes;) {
        size_t n = map.bytes - at < part ? map.bytes - at : part;
        XXH3_64bits_update(state, map.data + at, n);
        at += n;
        if (progress && progress->report &&
            progress->report(progress->user, "bytes hashed", (double)at, (double)map.bytes))
            SAE_RAISE(err, SAE_CANCELLED, "stopped on request while %s was read, to note what it holds", path);
    }
    *hash = XXH3_64bits_digest(state);
done:
    file_map_close(&map);
    XXH3_freeState(state);
    return status;
}

sae_status json_read_file(json_t **out, const char *path, sae_error *err)
{
    char *text = NULL;
    size_t bytes = 0;
    sae_status status = file_read_all(path, json_file_limit, &text, &bytes, err);

    if (status == SAE_OK) status = json_parse(out, text, bytes, path, err);
    mem_free(text);
    return status;
}
