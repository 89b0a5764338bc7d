/*
 * fuzz_store.c - libFuzzer on the reader of stores: any meta.json over any shards, their checksums made right, is refused with
 * a message or read: all rows in order, shuffled, from any place, and by verification (make fuzz).
 *
 * An input is the length of meta.json in two bytes, then that, then the bytes of a shard, which stand in both shards' places.
 * The mutator begins from stores that the writer made, of each type.
 */
#include "acts/store.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);
size_t LLVMFuzzerCustomMutator(unsigned char *data, size_t n, size_t room, unsigned int seed);
size_t LLVMFuzzerMutate(unsigned char *data, size_t n, size_t room);

enum { D = 4, ROWS = 12, SHARD_ROWS = 6, SHARDS = 2, KINDS = 8, VALID_ROOM = 1 << 16, MOST_D = 1 << 12 };

static char folder[64], paths[SHARDS + 1][160]; /* of the shards, of meta.json */
static unsigned char valid[KINDS][VALID_ROOM];
static size_t valid_bytes[KINDS];
static float rows[ROWS * MOST_D];
static size_t shard_bytes; /* of the input now */
static bool begun;

static void must(bool good)
{
    if (!good) abort();
}

static void remove_folder(void) { folder_remove(folder, NULL); }

static size_t append_file(unsigned char *to, size_t at, const char *path)
{
    char *text = NULL;
    size_t n = 0;

    must(file_read_all(path, VALID_ROOM / 2, &text, &n, NULL) == SAE_OK);
    memcpy(to + at, text, n);
    mem_free(text);
    return at + n;
}

/* A store of each type, in order and shuffled, as first inputs. */
static void begin(void)
{
    float x[ROWS * D];
    char array[160];
    rng r = rng_seed(1, 1);
    const tensor t = {.name = "x", .rank = 2, .shape = {ROWS, D}, .data = x};

    begun = true;
    strcpy(folder, "/dev/shm/sae-fuzz-XXXXXX");
    must(mkdtemp(folder) != NULL);
    atexit(remove_folder);
    snprintf(array, sizeof array, "%s/x.npy", folder);
    snprintf(folder + strlen(folder), 8, "/s");
    for (int i = 0; i < ROWS * D; i++) x[i] = (float)rng_normal(&r);
    must(npy_write(array, &t, true, NULL) == SAE_OK);
    for (int s = 0; s < SHARDS; s++) snprintf(paths[s], sizeof paths[s], "%s/shard-%05d.safetensors", folder, s);
    snprintf(paths[SHARDS], sizeof paths[SHARDS], "%s/meta.json", folder);
    for (int k = 0; k < KINDS; k++) {
        sae_store_options o = {
            .dtype = (sae_store_dtype)(k / 2), .shuffle = k % 2, .shard_rows = SHARD_ROWS, .force = true};
        sae_acts *acts = NULL;
        must(sae_acts_open_array(&acts, array, NULL, NULL) == SAE_OK);
        must(sae_store_write(folder, acts, -1, &o, NULL, NULL) == SAE_OK);
        sae_acts_free(acts);
        size_t n = append_file(valid[k], 2, paths[SHARDS]);
        valid[k][0] = (unsigned char)((n - 2) & 255);
        valid[k][1] = (unsigned char)((n - 2) >> 8);
        valid_bytes[k] = append_file(valid[k], n, paths[0]);
    }
    folder[strlen(folder) - 2] = '\0'; /* what is removed at the end */
}

/* Another number in place of one of meta.json, the length before it made right. */
static size_t change_number(unsigned char *data, size_t n, size_t room, unsigned int seed)
{
    static const char *const numbers[] = {"0",  "1",   "2",  "5",          "7",
                                          "44", "100", "-1", "4294967296", "9223372036854775807"};
    const char *number = numbers[seed / 64 % 10];
    size_t text = (size_t)data[0] + ((size_t)data[1] << 8), length = strlen(number);
    size_t at = 2 + seed / 1024 % text, end;

    while (at < 2 + text && (data[at] < '0' || data[at] > '9')) at++;
    for (end = at; end < 2 + text && data[end] >= '0' && data[end] <= '9';) end++;
    if (at == end || n + length > room) return n;
    memmove(data + at + length, data + end, n - end);
    memcpy(data + at, number, length);
    text += length - (end - at);
    data[0] = (unsigned char)(text & 255);
    data[1] = (unsigned char)(text >> 8);
    return n + length - (end - at);
}

size_t LLVMFuzzerCustomMutator(unsigned char *data, size_t n, size_t room, unsigned int seed)
{
    if (!begun) begin();
    size_t kind = seed / 16 % KINDS;
    if ((n < 8 || seed % 16 == 0) && valid_bytes[kind] <= room) {
        memcpy(data, valid[kind], valid_bytes[kind]);
        n = valid_bytes[kind];
        if (seed / 128 % 2) return change_number(data, n, room, seed);
    }
    return LLVMFuzzerMutate(data, n, room);
}

/* A plain file, at once: the writers sync and rename. */
static void put_file(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");

    must(f && fwrite(data, 1, n, f) == n && fclose(f) == 0);
}

/* Without right checksums nothing but the comparison of checksums would be tried. */
static void put_meta(const char *text, size_t n, const void *shard, size_t n_shard)
{
    json_t *meta = json_loadb(text, n, 0, NULL), *entry;
    char hash[17], *made;
    size_t i;

    snprintf(hash, sizeof hash, "%016" PRIx64, XXH3_64bits(shard, n_shard));
    json_array_foreach(json_object_get(meta, "shards"), i, entry)
    {
        if (json_is_object(entry)) json_object_set_new(entry, "xxh3", json_string(hash));
    }
    made = json_is_object(meta) ? json_dumps(meta, JSON_REAL_PRECISION(17)) : NULL;
    put_file(paths[SHARDS], made ? made : text, made ? strlen(made) : n);
    free(made);
    json_decref(meta);
}

static void expect(sae_status status, const sae_error *err)
{
    must(status == err->code && (status == SAE_OK || err->message[0]));
}

static void read_all(const char *path, const sae_acts_options *options)
{
    sae_error err = {0};
    sae_acts *acts = NULL;
    int32_t tokens[ROWS], positions[ROWS];
    int64_t got = 0;

    sae_status status = sae_acts_open_store(&acts, &path, 1, options, &err);
    expect(status, &err);
    if (status != SAE_OK) return;
    sae_acts_info info = sae_acts_get_info(acts);
    must(info.d >= 1 && info.n_rows >= 1);
    /* A mapped file can be read beyond its end, up to its page's: so what is promised must be there. */
    must((double)info.n_rows * ((double)info.d + 8) <= (double)(SHARDS * shard_bytes));
    for (int i = 0; i < 6 && info.d <= MOST_D && status == SAE_OK; i++) {
        status = sae_acts_next(acts, ROWS, rows, tokens, positions, &got, &err);
        expect(status, &err);
        must(got >= 0 && got <= ROWS);
        if (status == SAE_OK && i == 2) status = sae_acts_seek(acts, info.n_rows - 1, &err);
    }
    sae_acts_free(acts);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    static const sae_acts_options in_order = {.in_order = true}, shuffled = {.seed = 5, .repeat = true};
    sae_error err = {0};
    char path[80];
    int64_t n_rows = 0;

    if (!begun) begin();
    if (n < 2) return 0;
    size_t text = (size_t)data[0] + ((size_t)data[1] << 8), memory = mem_in_use();
    if (text > n - 2) text = n - 2;
    shard_bytes = n - 2 - text;
    for (int s = 0; s < SHARDS; s++) put_file(paths[s], data + 2 + text, n - 2 - text);
    put_meta((const char *)data + 2, text, data + 2 + text, n - 2 - text);
    snprintf(path, sizeof path, "%s/s", folder);
    read_all(path, &in_order);
    read_all(path, &shuffled);
    expect(sae_store_verify(path, &n_rows, NULL, &err), &err);
    must(mem_in_use() == memory);
    return 0;
}
