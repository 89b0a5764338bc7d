/* store_packed.c - the rows of a shard: packed from float32 with the error measured, written to a file, read back as they lie. */
#include "acts/store.h"

#include "kernels/dequant.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

sae_status packed_create(packed_rows *p, dtype type, int64_t d, int64_t room, sae_error *err)
{
    size_t n = (size_t)room, element = (size_t)dtype_table[type].block_bytes;

    *p = (packed_rows){.type = type, .d = d, .room = room};
    p->rows = mem_alloc_array(n * element, (size_t)d, "a shard of a store", err);
    p->decoded = mem_alloc_array((size_t)d, sizeof *p->decoded, "a row", err);
    if (type == DTYPE_I8) p->scales = mem_alloc_array(n, sizeof *p->scales, "a shard of a store", err);
    return p->rows && p->decoded && (p->scales || type != DTYPE_I8) ? SAE_OK : SAE_NOMEM;
}

void packed_free(packed_rows *p)
{
    mem_free(p->rows);
    mem_free(p->scales);
    mem_free(p->decoded);
    *p = (packed_rows){0};
}

/* ---- From float32 --------------------------------------------------------------------------------------------------------- */

static double norm_squared(const float *x, int64_t d)
{
    double sum = 0;

#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < d; j++) sum += (double)x[j] * (double)x[j];
    return sum;
}

static double distance_squared(const float *x, const float *y, int64_t d)
{
    double sum = 0;

#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < d; j++) sum += ((double)x[j] - (double)y[j]) * ((double)x[j] - (double)y[j]);
    return sum;
}

static void measure(store_error_sums *sums, const float *row, const float *decoded, int64_t d)
{
    double error = decoded ? distance_squared(row, decoded, d) : 0, norm = norm_squared(row, d);

    sums->squared_error += error;
    sums->squared_norm += norm;
    if (norm > 0 && error > sums->worst * sums->worst * norm) sums->worst = sqrt(error / norm);
}

static bool all_below(const float *x, int64_t d, float limit)
{
    bool below = true;

    for (int64_t j = 0; j < d; j++) below &= fabsf(x[j]) < limit;
    return below;
}

sae_status packed_put(packed_rows *p, int64_t at, const float *row, int64_t number, store_error_sums *sums,
                      sae_error *err)
{
    const float limit = p->type == DTYPE_F16 ? 65520.0f : INFINITY; /* from there on f16 rounds to infinity */
    unsigned char *to = p->rows + (size_t)(at * p->d) * (size_t)dtype_table[p->type].block_bytes;

    if (!all_below(row, p->d, limit))
        return SAE_FAIL(err, SAE_RANGE,
                        "row %lld holds a number that is infinite, undefined or too large for %s: choose another type "
                        "(bf16 has the "
                        "range of f32)",
                        (long long)number, dtype_table[p->type].name);
    if (p->type == DTYPE_I8) {
        p->scales[at] = f32_to_i8(row, p->d, to);
        i8_to_f32(to, p->scales[at], p->d, p->decoded);
    } else if (p->type == DTYPE_F32) {
        memcpy(to, row, (size_t)p->d * sizeof *row);
    } else {
        (p->type == DTYPE_F16 ? f32_to_f16 : f32_to_bf16)(row, p->d, to);
        dequant_f32(p->type, to, p->d, p->decoded);
    }
    measure(sums, row, p->type == DTYPE_F32 ? NULL : p->decoded, p->d);
    if (!isfinite(sums->squared_error))
        return SAE_FAIL(err, SAE_RANGE, "row %lld holds a number that is too large for %s: choose f32",
                        (long long)number, dtype_table[p->type].name);
    return SAE_OK;
}

/* ---- Files ---------------------------------------------------------------------------------------------------------------- */

sae_status packed_write(const packed_rows *p, int64_t n, const int32_t *tokens, const int32_t *positions,
                        const char *path, uint64_t *hash, sae_error *err)
{
    const tensor t[] = {
        {.name = "rows", .type = p->type, .rank = 2, .shape = {n, p->d}, .data = p->rows},
        {.name = "tokens", .type = DTYPE_I32, .rank = 1, .shape = {n}, .data = tokens},
        {.name = "positions", .type = DTYPE_I32, .rank = 1, .shape = {n}, .data = positions},
        {.name = "scales", .type = DTYPE_F32, .rank = 1, .shape = {n}, .data = p->scales},
    };

    return safetensors_write(path, t, p->type == DTYPE_I8 ? 4 : 3, NULL, true, hash, err);
}

static sae_status expect(const safetensors *st, const char *name, dtype type, int64_t n, int64_t d, sae_error *err)
{
    const tensor *t = safetensors_find(st, name);

    if (t && t->type == type && t->rank == (d ? 2 : 1) && t->shape[0] == n && (!d || t->shape[1] == d)) return SAE_OK;
    return SAE_FAIL(err, SAE_FORMAT, "%s: expected a tensor \"%s\" of %lld rows of type %s", safetensors_path(st), name,
                    (long long)n, dtype_table[type].name);
}

sae_status packed_open(const packed_rows *p, safetensors **out, const char *path, int64_t n, uint64_t hash,
                       sae_error *err)
{
    sae_status status = SAE_OK;
    safetensors *st = NULL;

    SAE_TRY(safetensors_open(&st, path, err));
    SAE_TRY(expect(st, "rows", p->type, n, p->d, err));
    SAE_TRY(expect(st, "tokens", DTYPE_I32, n, 0, err));
    SAE_TRY(expect(st, "positions", DTYPE_I32, n, 0, err));
    if (p->type == DTYPE_I8) SAE_TRY(expect(st, "scales", DTYPE_F32, n, 0, err));
    if (safetensors_hash(st) != hash)
        SAE_RAISE(err, SAE_FORMAT, "%s: its checksum is %016" PRIx64 ", and %016" PRIx64 " when it was written", path,
                  safetensors_hash(st), hash);
    *out = st;
    st = NULL;
done:
    safetensors_close(st);
    return status;
}

static void take(void *to, const safetensors *st, const char *name)
{
    const tensor *t = safetensors_find(st, name);

    memcpy(to, t->data, t->bytes);
}

sae_status packed_load(packed_rows *p, const char *path, int64_t n, uint64_t hash, int32_t *tokens, int32_t *positions,
                       sae_error *err)
{
    sae_status status = SAE_OK;
    safetensors *st = NULL;

    if (n < 0 || n > p->room)
        SAE_RAISE(err, SAE_FORMAT, "%s: holds %lld rows; a shard has %lld", path, (long long)n, (long long)p->room);
    SAE_TRY(packed_open(p, &st, path, n, hash, err));
    take(p->rows, st, "rows");
    take(tokens, st, "tokens");
    take(positions, st, "positions");
    if (p->scales) take(p->scales, st, "scales");
done:
    safetensors_close(st);
    return status;
}

/* ---- meta.json and progress.json ------------------------------------------------------------------------------------------- */

json_t *store_hash_json(uint64_t hash)
{
    char text[32];

    snprintf(text, sizeof text, "%016" PRIx64, hash);
    return json_string(text);
}

sae_status store_read_hash(const json_t *object, const char *key, uint64_t *hash, const char *path, sae_error *err)
{
    const char *text = NULL;
    int used = 0;
    unsigned long long value = 0;

    sae_status status = json_get_string(object, key, "", &text, path, err);
    if (status != SAE_OK) return status;
    if (sscanf(text, "%16llx%n", &value, &used) != 1 || used != 16 || text[16])
        return SAE_FAIL(err, SAE_FORMAT, "%s: \"%s\" must be 16 hexadecimal digits", path, key);
    *hash = value;
    return SAE_OK;
}

sae_status store_check_format(const json_t *meta, const char *format, const char *path, sae_error *err)
{
    const char *found = NULL;
    int64_t version = 0;
    sae_status status = SAE_OK;

    if (!json_is_object(meta)) SAE_RAISE(err, SAE_FORMAT, "%s: expected a JSON object", path);
    SAE_TRY(json_get_string(meta, "format", "", &found, path, err));
    SAE_TRY(json_get_int(meta, "version", 0, &version, path, err));
    if (strcmp(found, format) != 0)
        SAE_RAISE(err, SAE_FORMAT, "%s: \"format\" is \"%.60s\"; expected \"%s\"", path, found, format);
    if (version != STORE_VERSION)
        SAE_RAISE(err, SAE_UNSUPPORTED, "%s: version %lld of the format; this program reads %d", path,
                  (long long)version, STORE_VERSION);
done:
    return status;
}
