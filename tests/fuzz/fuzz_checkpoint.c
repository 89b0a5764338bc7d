/*
 * fuzz_checkpoint.c - libFuzzer on the reader of checkpoints: any state.json with any tensors, their checksums made right, is
 * refused with a message or taken; what is taken trains on, or says why not (make fuzz).
 *
 * An input is the length of state.json in two bytes, then that, then dict_0.safetensors. The mutator begins from a checkpoint
 * that the trainer itself wrote.
 */
#include "io/io.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);
size_t LLVMFuzzerCustomMutator(unsigned char *data, size_t n, size_t room, unsigned int seed);
size_t LLVMFuzzerMutate(unsigned char *data, size_t n, size_t room);

enum { D = 4, WIDTH = 6, BATCH = 4, STEPS = 20, VALID_ROOM = 1 << 16 };

static char folder[64], state_path[160], dict_path[160];
static sae_trainer *trainer;
static float rows[BATCH * D];
static unsigned char valid[VALID_ROOM];
static size_t valid_bytes;

static void must(bool good)
{
    if (!good) abort();
}

static void remove_folder(void) { folder_remove(folder, NULL); }

/* A trainer that has done two steps, and its checkpoint as the first input. */
static void begin(void)
{
    sae_dict_config c = {.arch = SAE_BATCHTOPK, .d_in = D, .d_sae = WIDTH, .k = 2, .rank = 1, .variant = SAE_P2};
    sae_train_options o = sae_recipe_saebench(BATCH, STEPS);
    char *text = NULL;
    size_t n = 0;
    rng r = rng_seed(1, 1);

    strcpy(folder, "/dev/shm/sae-fuzz-XXXXXX");
    must(mkdtemp(folder) != NULL);
    atexit(remove_folder);
    o.dead_tokens = 2 * BATCH;
    for (int i = 0; i < BATCH * D; i++) rows[i] = (float)rng_normal(&r);
    must(sae_trainer_create(&trainer, &c, 1, &o, NULL) == SAE_OK);
    for (int i = 0; i < 2; i++) must(sae_trainer_step(trainer, rows, NULL, NULL, NULL) == SAE_OK);
    must(sae_trainer_save(trainer, folder, 2 * BATCH, NULL) == SAE_OK);
    snprintf(state_path, sizeof state_path, "%s/checkpoints/000000000002/state.json", folder);
    snprintf(dict_path, sizeof dict_path, "%s/checkpoints/000000000002/dict_0.safetensors", folder);
    must(file_read_all(state_path, VALID_ROOM / 2, &text, &n, NULL) == SAE_OK);
    valid[0] = (unsigned char)(n & 255);
    valid[1] = (unsigned char)(n >> 8);
    memcpy(valid + 2, text, n);
    valid_bytes = 2 + n;
    mem_free(text);
    must(file_read_all(dict_path, VALID_ROOM / 2, &text, &n, NULL) == SAE_OK);
    memcpy(valid + valid_bytes, text, n);
    valid_bytes += n;
    mem_free(text);
}

size_t LLVMFuzzerCustomMutator(unsigned char *data, size_t n, size_t room, unsigned int seed)
{
    if (!trainer) begin();
    if ((n < 8 || seed % 256 == 0) && valid_bytes <= room) {
        memcpy(data, valid, valid_bytes);
        n = valid_bytes;
    }
    return LLVMFuzzerMutate(data, n, room);
}

/* A plain file, at once: the writers sync and rename. */
static void put_file(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");

    must(f && fwrite(data, 1, n, f) == n && fclose(f) == 0);
}

static void set_text(json_t *object, const char *key, uint64_t hash)
{
    char text[17];

    snprintf(text, sizeof text, "%016" PRIx64, hash);
    if (json_is_object(object)) json_object_set_new(object, key, json_string(text));
}

/* Without right checksums nothing but the comparison of checksums would be tried. */
static void put_state(const char *text, size_t n, const void *tensors, size_t n_tensors)
{
    json_t *state = json_loadb(text, n, 0, NULL);

    if (!json_is_object(state)) {
        put_file(state_path, text, n);
        json_decref(state);
        return;
    }
    set_text(json_array_get(json_object_get(state, "dicts"), 0), "hash", XXH3_64bits(tensors, n_tensors));
    json_object_del(state, "checksum");
    char *sorted = json_dumps(state, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    must(sorted != NULL);
    set_text(state, "checksum", XXH3_64bits(sorted, strlen(sorted)));
    free(sorted);
    sorted = json_dumps(state, JSON_REAL_PRECISION(17));
    must(sorted != NULL);
    put_file(state_path, sorted, strlen(sorted));
    free(sorted);
    json_decref(state);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    sae_error err = {0};
    int64_t rows_given = -1;

    if (!trainer) begin();
    if (n < 2) return 0;
    size_t text = (size_t)data[0] + ((size_t)data[1] << 8), memory = mem_in_use();
    if (text > n - 2) text = n - 2;
    put_file(dict_path, data + 2 + text, n - 2 - text);
    put_state((const char *)data + 2, text, data + 2 + text, n - 2 - text);
    sae_status status = sae_trainer_resume(trainer, folder, &rows_given, &err);
    must(status == err.code && (status == SAE_OK || err.message[0]) && mem_in_use() == memory);
    if (status != SAE_OK) return 0;
    must(rows_given >= 0 && sae_trainer_steps_done(trainer) >= 0);
    for (int i = 0; i < 2; i++) {
        status = sae_trainer_step(trainer, rows, NULL, NULL, &err);
        must(status == err.code && (status == SAE_OK || err.message[0]));
        if (status != SAE_OK) break;
    }
    return 0;
}
