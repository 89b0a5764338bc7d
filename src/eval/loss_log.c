/*
 * loss_log.c - a file of JSON lines, {"rows": KEY, "nll": [..]}, and the same in memory.
 */
#include "eval/loss_log.h"

#include "io/io.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

typedef struct known {
    loss_key key;
    int64_t n_seq;
    double *nll; /* [n_seq] */
} known;

struct loss_log {
    line_log *file;
    uint64_t of; /* hash of what else losses depend on */
    known *all;
    int64_t n, room;
};

void loss_log_close(loss_log *log)
{
    if (!log) return;
    line_log_close(log->file);
    for (int64_t i = 0; i < log->n; i++) mem_free(log->all[i].nll);
    mem_free(log->all);
    mem_free(log);
}

static sae_status keep(loss_log *log, loss_key key, const double *nll, int64_t n_seq, sae_error *err)
{
    known *k;

    if (log->n == log->room) {
        int64_t room = log->room ? 2 * log->room : 256;
        known *grown = mem_grow(log->all, (size_t)log->n * sizeof *grown, (size_t)room * sizeof *grown, "losses", err);
        if (!grown) return SAE_NOMEM;
        log->all = grown;
        log->room = room;
    }
    k = &log->all[log->n];
    *k = (known){key, n_seq, mem_alloc_array((size_t)n_seq, sizeof *nll, "losses", err)};
    if (!k->nll) return SAE_NOMEM;
    memcpy(k->nll, nll, (size_t)n_seq * sizeof *nll);
    log->n++;
    return SAE_OK;
}

/* ---- The file -------------------------------------------------------------------------------------------------------------- */

static bool key_of_text(const char *text, loss_key *key)
{
    char rest;

    return text && strlen(text) == 32 &&
           sscanf(text, "%16" SCNx64 "%16" SCNx64 "%c", &key->high, &key->low, &rest) == 2;
}

static sae_status keep_line(loss_log *log, const json_t *line, bool *good, sae_error *err)
{
    sae_status status = SAE_OK;
    const json_t *list = json_object_get(line, "nll");
    size_t n = json_array_size(list);
    double *nll = NULL;
    loss_key key;

    *good = false;
    if (n == 0 || !key_of_text(json_string_value(json_object_get(line, "rows")), &key)) return SAE_OK;
    nll = mem_alloc_array(n, sizeof *nll, "losses", err);
    if (!nll) return SAE_NOMEM;
    for (size_t i = 0; i < n; i++) {
        if (!json_is_number(json_array_get(list, i))) goto done;
        nll[i] = json_number_value(json_array_get(list, i));
    }
    SAE_TRY(keep(log, key, nll, (int64_t)n, err));
    *good = true;
done:
    mem_free(nll);
    return status;
}

typedef struct reading {
    loss_log *log;
    sae_status status;
    sae_error *err;
} reading;

static bool stands(void *user, const char *line, size_t bytes)
{
    reading *r = user;
    sae_error ignored = {0};
    json_t *value = NULL;
    bool good = false;

    if (r->status == SAE_OK && json_parse(&value, line, bytes, "a loss", &ignored) == SAE_OK)
        r->status = keep_line(r->log, value, &good, r->err);
    json_decref(value);
    return good;
}

sae_status loss_log_open(loss_log **out, const char *path, const char *of, sae_error *err)
{
    sae_status status = SAE_OK;
    loss_log *log = mem_alloc(sizeof *log, "losses", err);
    reading r = {log, SAE_OK, err};

    if (!log) return SAE_NOMEM;
    log->of = XXH3_64bits(of, strlen(of));
    SAE_TRY(line_log_open(&log->file, path, stands, &r, err));
    SAE_TRY(r.status);
    *out = log;
    log = NULL;
done:
    loss_log_close(log);
    return status;
}

/* ---- Use -------------------------------------------------------------------------------------------------------------------- */

loss_key loss_log_key(const loss_log *log, const float *rows, int64_t n, int64_t d, const int32_t *ids,
                      const uint8_t *mask, const uint8_t *counted)
{
    const int64_t shape[2] = {n, d};
    XXH3_state_t state;
    XXH128_hash_t hash;

    XXH3_INITSTATE(&state);
    XXH3_128bits_reset_withSeed(&state, log->of);
    XXH3_128bits_update(&state, shape, sizeof shape);
    XXH3_128bits_update(&state, ids, (size_t)n * sizeof *ids);
    XXH3_128bits_update(&state, mask, (size_t)n);
    XXH3_128bits_update(&state, counted, (size_t)n);
    XXH3_128bits_update(&state, rows, (size_t)(n * d) * sizeof *rows);
    hash = XXH3_128bits_digest(&state);
    return (loss_key){hash.low64, hash.high64};
}

const double *loss_log_find(const loss_log *log, loss_key key, int64_t n_seq)
{
    for (int64_t i = 0; i < log->n; i++) {
        const known *k = &log->all[i];
        if (k->key.low == key.low && k->key.high == key.high && k->n_seq == n_seq) return k->nll;
    }
    return NULL;
}

sae_status loss_log_add(loss_log *log, loss_key key, const double *nll, int64_t n_seq, sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *list = json_array(), *line = NULL;
    char text[40], *written = NULL;

    for (int64_t i = 0; i < n_seq; i++) {
        if (!isfinite(nll[i])) goto done; /* JSON cannot say it: measured anew when it is asked for again */
        json_add(&list, json_real(nll[i]));
    }
    snprintf(text, sizeof text, "%016" PRIx64 "%016" PRIx64, key.high, key.low);
    line = json_pack("{ss sO}", "rows", text, "nll", list);
    written = json_to_text(line, JSON_COMPACT, err);
    if (!written) SAE_TRY(SAE_NOMEM);
    SAE_TRY(line_log_put(log->file, written, err));
    SAE_TRY(keep(log, key, nll, n_seq, err));
done:
    json_decref(line);
    json_decref(list);
    mem_free(written);
    return status;
}
