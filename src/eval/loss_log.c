/*
 * loss_log.c - a file of JSON lines, {"rows": KEY, "nll": [..]}, and the same in memory. A line that cannot be read costs itself alone: it
 * is passed over, and stays.
 */
#include "eval/loss_log.h"

#include "io/io.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
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

static const char before_key[] = "{\"rows\":\"", before_nll[] = "\",\"nll\":[", behind[] = "]}";
enum { KEY_DIGITS = 32 };

static bool key_of_text(const char *digits, loss_key *key)
{
    char text[KEY_DIGITS + 1] = "", rest;

    memcpy(text, digits, KEY_DIGITS);
    return strlen(text) == KEY_DIGITS &&
           sscanf(text, "%16" SCNx64 "%16" SCNx64 "%c", &key->high, &key->low, &rest) == 2;
}

/* The numbers up to `end`, commas between them; 0 when it is not that. */
static int64_t read_numbers(const char *at, const char *end, double *out)
{
    int64_t n = 0;

    for (char *next; at < end; at = next + 1) {
        out[n] = strtod(at, &next);
        if (next == at || !isfinite(out[n++]) || next > end || (next < end && *next != ',')) return 0;
    }
    return at == end + 1 ? n : 0; /* the last one ends where all do */
}

/* A line as loss_log_add writes it, '\n' behind; any other is passed over. Not with a JSON parser: jansson's calls what it has no memory for
 * a syntax error. */
static sae_status keep_line(loss_log *log, const char *line, size_t bytes, sae_error *err)
{
    sae_status status = SAE_OK;
    const size_t key_at = sizeof before_key - 1, nll_at = key_at + KEY_DIGITS + sizeof before_nll - 1;
    double *nll = NULL;
    loss_key key;

    if (bytes < nll_at + sizeof behind || memcmp(line, before_key, key_at) != 0 ||
        memcmp(line + key_at + KEY_DIGITS, before_nll, sizeof before_nll - 1) != 0 ||
        memcmp(line + bytes - 2, behind, 2) != 0 || !key_of_text(line + key_at, &key))
        return SAE_OK;
    nll = mem_alloc_array(bytes, sizeof *nll, "losses", err); /* a number is a byte or more */
    if (!nll) return SAE_NOMEM;
    const int64_t n = read_numbers(line + nll_at, line + bytes - 2, nll);
    if (n > 0) SAE_TRY(keep(log, key, nll, n, err));
done:
    mem_free(nll);
    return status;
}

typedef struct reading {
    loss_log *log;
    sae_status status;
    sae_error *err;
} reading;

/* Every whole line stands: what follows a damaged one is not lost with it. */
static bool read_line(void *user, const char *line, size_t bytes)
{
    reading *r = user;

    if (r->status == SAE_OK) r->status = keep_line(r->log, line, bytes, r->err);
    return true;
}

sae_status loss_log_open(loss_log **out, const char *path, const char *of, sae_error *err)
{
    sae_status status = SAE_OK;
    loss_log *log = mem_alloc(sizeof *log, "losses", err);
    reading r = {log, SAE_OK, err};

    if (!log) return SAE_NOMEM;
    log->of = XXH3_64bits(of, strlen(of));
    SAE_TRY(line_log_open(&log->file, path, read_line, &r, err));
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
