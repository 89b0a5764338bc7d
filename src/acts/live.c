/*
 * live.c - rows as a model computes them from text, through a shuffle buffer.
 *
 * A forward pass over a few sequences fills the window: rows that the text's mask counts and whose norm is not over the
 * limit at any of the sites. A site's limit is max_norm times the median of the first MEDIAN_ROWS rows (which wait in the
 * window until it is known) and never changes again. From the window rows go to the caller in order, or into the buffer: it is filled, half of it is
 * served in random order, it is filled again.
 *
 * All of it follows from text, model and seed; so a seek begins again and computes what lies before the wanted row. To
 * resume a long run cheaply, write a store.
 */
#include "acts/acts.h"
#include "model/model.h"
#include "text/corpus.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MEDIAN_ROWS = 4096 };

/* Rows with their token and position. */
typedef struct rows_block {
    float *rows; /* [room, d] */
    int32_t *tokens, *positions;
    int64_t room;
} rows_block;

/* A site and its columns of a row. */
typedef struct site_columns {
    struct live *live;
    sae_site site;
    int64_t first; /* column; there are d_site */
    double median, limit;
} site_columns;

typedef struct live {
    sae_model *model;
    sae_text *text;
    site_columns *sites;
    sae_tap *taps;
    sae_acts_part *parts;
    int n_sites;
    sae_acts_options options;
    int64_t d_site, d, ctx, first_sequence; /* d = n_sites d_site */

    int32_t *ids; /* [batch_seqs, ctx] */
    uint8_t *mask;
    int64_t n_seq; /* of the pass that is running */

    rows_block window;         /* [from, to) wait to be served or buffered */
    int64_t from, to, arrived; /* arrived: behind the rows of the pass that is running */
    bool ended;                /* the text */

    rows_block buffer; /* shuffled streams only */
    int32_t *order;    /* [room]: the first `filled` are slots that hold rows, in the order of serving from the end */
    int64_t filled;
    rng shuffle;

    bool limited; /* the sites' limits are known, or there are none */
    struct {      /* of the window: from here it can be made again */
        int64_t sequence, dropped;
        uint64_t text_hash;
        bool limited;
    } begin;
    int64_t dropped, given;
    bool seeking;
    char describe[900];
} live;

/* ---- Memory ------------------------------------------------------------------------------------------------------------------ */

static sae_status block_create(rows_block *b, int64_t room, int64_t d, const char *what, sae_error *err)
{
    size_t bytes = 0;

    if (mul_overflows((size_t)room, (size_t)d * sizeof *b->rows, &bytes))
        return SAE_FAIL(err, SAE_NOMEM, "no memory for %s of %lld rows", what, (long long)room);
    b->room = room;
    b->rows = mem_alloc(bytes, what, err);
    if (!b->rows) return SAE_NOMEM; /* before gigabytes are taken for the rest */
    b->tokens = mem_alloc_array((size_t)room, sizeof *b->tokens, what, err);
    b->positions = mem_alloc_array((size_t)room, sizeof *b->positions, what, err);
    return b->tokens && b->positions ? SAE_OK : SAE_NOMEM;
}

static void block_free(rows_block *b)
{
    mem_free(b->rows);
    mem_free(b->tokens);
    mem_free(b->positions);
}

static void block_copy(rows_block *to, int64_t i, const rows_block *from, int64_t j, int64_t d)
{
    memcpy(to->rows + i * d, from->rows + j * d, (size_t)d * sizeof *to->rows);
    to->tokens[i] = from->tokens[j];
    to->positions[i] = from->positions[j];
}

static size_t buffer_bytes(const live *l)
{
    return l->options.in_order ? 0
                               : (size_t)l->options.buffer_rows *
                                     ((size_t)l->d * sizeof(float) + 2 * sizeof(int32_t) + sizeof *l->order);
}

static int64_t window_rows(const live *l)
{
    /* while the median is not known yet a pass may add to MEDIAN_ROWS - 1 rows */
    return l->options.batch_seqs * l->ctx + (l->options.max_norm > 0 ? MEDIAN_ROWS : 0);
}

static size_t pass_bytes(const live *l)
{
    return (size_t)window_rows(l) * ((size_t)l->d * sizeof(float) + 2 * sizeof(int32_t)) +
           run_scratch_bytes(l->model, l->options.batch_seqs, l->ctx);
}

static void live_free(void *self)
{
    live *l = self;

    block_free(&l->window);
    block_free(&l->buffer);
    mem_free(l->order);
    mem_free(l->ids);
    mem_free(l->mask);
    mem_free(l->sites);
    mem_free(l->taps);
    mem_free(l->parts);
    mem_free(l);
}

/* ---- From the model to the window ------------------------------------------------------------------------------------------------ */

static double row_norm(const float *row, int64_t d)
{
    double sum = 0;

#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < d; j++) sum += (double)row[j] * (double)row[j];
    return sqrt(sum);
}

static double site_norm(const live *l, int64_t i, const site_columns *c)
{
    return row_norm(l->window.rows + i * l->d + c->first, l->d_site);
}

static bool over_limit(const live *l, int64_t i)
{
    for (int s = 0; s < l->n_sites; s++)
        if (l->sites[s].limit < INFINITY && site_norm(l, i, &l->sites[s]) > l->sites[s].limit) return true;
    return false;
}

/* Takes row i of the window out when it is over a limit; else leaves it at place `to`. */
static int64_t keep_row(live *l, int64_t i, int64_t to)
{
    if (over_limit(l, i)) {
        l->dropped++;
        return to;
    }
    if (i != to) block_copy(&l->window, to, &l->window, i, l->d);
    return to + 1;
}

/* The tap of one site: masked rows are left out, its columns of the others go behind the end of the window. */
static sae_status take_rows(void *user, float *rows, int64_t n_rows, int64_t d, sae_error *err)
{
    site_columns *c = user;
    live *l = c->live;
    int64_t to = l->to;

    if (n_rows != l->n_seq * l->ctx || d != l->d_site)
        return SAE_FAIL(err, SAE_SHAPE, "the model gave [%lld, %lld] rows for %lld sequences of %lld tokens",
                        (long long)n_rows, (long long)d, (long long)l->n_seq, (long long)l->ctx);
    for (int64_t i = 0; i < n_rows; i++) {
        if (i % l->ctx < l->options.drop_positions || !(l->mask[i] || l->options.keep_special)) continue;
        memcpy(l->window.rows + to * l->d + c->first, rows + i * d, (size_t)d * sizeof *rows);
        l->window.tokens[to] = l->ids[i];
        l->window.positions[to] = (int32_t)(i % l->ctx);
        if (!isfinite(site_norm(l, to, c)))
            return SAE_FAIL(err, SAE_NUMERIC, "the model's row at position %lld, token %d, is infinite or undefined",
                            (long long)(i % l->ctx), l->ids[i]);
        to++;
    }
    l->arrived = to;
    return SAE_OK;
}

/* Between passes: how far the first filling of the buffer is; later ones, and seeks, are a part of what shows its own progress. */
static sae_status tell(const live *l, sae_error *err)
{
    const sae_progress *p = l->options.progress;
    int64_t had = l->filled + l->to - l->from; /* the first ones wait in the window for the limits of norms */
    int stop;

    if (!p || !p->report) return SAE_OK;
    if (had > l->buffer.room) had = l->buffer.room;
    if (!l->seeking && l->given == 0 && l->buffer.room > 0)
        stop = p->report(p->user, "rows for the shuffle buffer", (double)had, (double)l->buffer.room);
    else
        stop = p->report(p->user, NULL, 0, 0);
    return stop ? SAE_FAIL(err, SAE_CANCELLED, "stopped on request") : SAE_OK;
}

/* A text from a pipe may end before the rows that were asked for. How many it gave is known here alone. */
static sae_status next_sequences(live *l, sae_error *err)
{
    sae_error cause = {0};
    sae_status status = sae_text_next(l->text, l->options.batch_seqs, l->ids, l->mask, &l->n_seq, &cause);
    int64_t came = l->given + l->filled + l->to - l->from;
    char wait[128] = "";

    if (status == SAE_OK) return SAE_OK;
    if (!text_is_used_up(l->text)) return SAE_FAIL(err, status, "%s", cause.message);
    if (!l->limited)
        snprintf(wait, sizeof wait, "; the first %d are waited for, to know which norm is too large", MEDIAN_ROWS);
    else if (!l->options.in_order)
        snprintf(wait, sizeof wait, "; the shuffle buffer, of %lld rows, is filled up before it gives more",
                 (long long)l->options.buffer_rows);
    return SAE_FAIL(
        err, SAE_STATE,
        "the text from standard input has ended, and cannot be read a second time: %lld rows came of it and "
        "%lld of them were taken%s",
        (long long)came, (long long)l->given, wait);
}

/* One forward pass over the next sequences. Its rows are filtered once the limits are known. */
static sae_status run_batch(live *l, sae_error *err)
{
    sae_status status = SAE_OK;

    SAE_TRY(tell(l, err));
    SAE_TRY(next_sequences(l, err));
    l->ended = l->n_seq < l->options.batch_seqs;
    if (l->n_seq == 0) goto done;
    sae_run run = {.ids = l->ids, .n_seq = l->n_seq, .n_ctx = l->ctx, .taps = l->taps, .n_taps = l->n_sites};
    SAE_TRY(sae_model_run(l->model, &run, err));
    if (l->limited)
        for (int64_t i = l->to; i < l->arrived; i++) l->to = keep_row(l, i, l->to);
    else
        l->to = l->arrived;
done:
    return status;
}

static void fix_limit(const live *l, site_columns *c, double *norms, int64_t n)
{
    for (int64_t i = 0; i < n; i++) norms[i] = site_norm(l, i, c);
    if (n) qsort(norms, (size_t)n, sizeof *norms, compare_doubles);
    c->median = n ? (norms[(n - 1) / 2] + norms[n / 2]) / 2 : 0;
    c->limit = c->median > 0 ? l->options.max_norm * c->median : INFINITY;
}

/* The median norms of the first rows fix the limits, which are then applied to all in the window. */
static sae_status fix_limits(live *l, sae_error *err)
{
    int64_t n = l->to < MEDIAN_ROWS ? l->to : MEDIAN_ROWS, kept = 0;
    double *norms = mem_alloc_array((size_t)n + 1, sizeof *norms, "norms of rows", err);

    if (!norms) return SAE_NOMEM;
    for (int s = 0; s < l->n_sites; s++) fix_limit(l, &l->sites[s], norms, n);
    mem_free(norms);
    l->limited = true;
    for (int64_t i = 0; i < l->to; i++) kept = keep_row(l, i, kept);
    l->to = kept;
    return SAE_OK;
}

/* A text of special tokens only, read again and again, would never give a row. */
static sae_status no_rows_for(const live *l, int64_t n_batches, sae_error *err)
{
    enum { PATIENCE = 100 };

    if (n_batches < PATIENCE) return SAE_OK;
    return SAE_FAIL(
        err, SAE_STATE,
        "%d batches of %lld sequences in a row gave no row that counts: the text seems to hold only special tokens",
        PATIENCE, (long long)l->options.batch_seqs);
}

/* Puts rows into an empty window; it stays empty only at the end of the text. */
static sae_status refill_window(live *l, sae_error *err)
{
    sae_status status = SAE_OK;

    l->from = l->to = 0;
    l->begin.sequence = sae_text_tell(l->text);
    l->begin.text_hash = sae_text_hash(l->text);
    l->begin.dropped = l->dropped;
    l->begin.limited = l->limited;
    for (int64_t n = 0, before = 0; !l->limited && !l->ended && l->to < MEDIAN_ROWS; n++) {
        if (l->to > before) n = 0;
        before = l->to;
        SAE_TRY(no_rows_for(l, n, err));
        SAE_TRY(run_batch(l, err));
    }
    if (!l->limited) SAE_TRY(fix_limits(l, err));
    for (int64_t n = 0; l->to == 0 && !l->ended; n++) {
        SAE_TRY(no_rows_for(l, n, err));
        SAE_TRY(run_batch(l, err));
    }
done:
    return status;
}

/* ---- From the window to the caller ---------------------------------------------------------------------------------------------- */

/* Fills the free slots of the buffer and draws a new order of all that is in it. */
static sae_status refill_buffer(live *l, sae_error *err)
{
    sae_status status = SAE_OK;

    while (l->filled < l->buffer.room) {
        if (l->from == l->to) SAE_TRY(refill_window(l, err));
        if (l->from == l->to) break;
        block_copy(&l->buffer, l->order[l->filled++], &l->window, l->from++, l->d);
    }
    for (int64_t i = l->filled - 1; i > 0; i--) {
        int64_t j = (int64_t)rng_below(&l->shuffle, (uint64_t)i + 1);
        int32_t swapped = l->order[i];
        l->order[i] = l->order[j];
        l->order[j] = swapped;
    }
done:
    return status;
}

/* The block and place of the next row; *block is NULL at the end. */
static sae_status next_row(live *l, const rows_block **block, int64_t *place, sae_error *err)
{
    sae_status status = SAE_OK;

    *block = NULL;
    if (l->options.in_order) {
        if (l->from == l->to) SAE_TRY(refill_window(l, err));
        if (l->from == l->to) goto done;
        *block = &l->window;
        *place = l->from++;
    } else {
        if (l->filled <= l->buffer.room / 2 && !(l->ended && l->from == l->to)) SAE_TRY(refill_buffer(l, err));
        if (l->filled == 0) goto done;
        *block = &l->buffer;
        *place = l->order[--l->filled];
    }
    l->given++;
done:
    return status;
}

static sae_status live_next(void *self, int64_t n, float *rows, int32_t *tokens, int32_t *positions, int64_t *n_got,
                            sae_error *err)
{
    sae_status status = SAE_OK;
    live *l = self;
    int64_t got = 0, place = 0;

    if (l->options.plan_only) return acts_is_plan(err);
    for (; got < n; got++) {
        const rows_block *b = NULL;
        SAE_TRY(next_row(l, &b, &place, err));
        if (!b) break;
        memcpy(rows + got * l->d, b->rows + place * l->d, (size_t)l->d * sizeof *rows);
        if (tokens) tokens[got] = b->tokens[place];
        if (positions) positions[got] = b->positions[place];
    }
    *n_got = got;
done:
    return status;
}

static void reset(live *l)
{
    l->from = l->to = l->filled = l->given = l->dropped = 0;
    l->ended = l->begin.limited = false;
    l->limited = l->options.max_norm < 0;
    for (int s = 0; s < l->n_sites; s++) {
        l->sites[s].median = 0;
        l->sites[s].limit = INFINITY;
    }
    l->shuffle = rng_seed(l->options.seed, 0);
    for (int64_t i = 0; i < l->buffer.room; i++) l->order[i] = (int32_t)i;
}

static sae_status live_seek(void *self, int64_t row, sae_error *err)
{
    sae_status status = SAE_OK;
    live *l = self;

    if (l->options.plan_only) return acts_is_plan(err);
    l->seeking = true;
    if (row < l->given) {
        SAE_TRY(sae_text_seek(l->text, l->first_sequence, err));
        reset(l);
    }
    while (l->given < row) {
        const rows_block *b = NULL;
        int64_t place = 0;
        SAE_TRY(next_row(l, &b, &place, err));
        if (!b)
            SAE_RAISE(err, SAE_RANGE, "row %lld lies behind the end of the text, which gives %lld rows", (long long)row,
                      (long long)l->given);
    }
done:
    l->seeking = false;
    return status;
}

/* Where the window began and how far it is served. The rows that fix the limits are computed again, from the beginning. */
static void live_mark(const void *self, json_t **mark)
{
    const live *l = self;
    char hash[32];

    bool cheaper = l->options.in_order && l->begin.limited; /* a buffer is filled again from the beginning */
    snprintf(hash, sizeof hash, "%016" PRIx64, cheaper ? l->begin.text_hash : sae_text_hash(l->text));
    json_put(mark, "text_xxh3", json_string(hash));
    if (!cheaper) return;
    json_t *medians = json_array();
    for (int s = 0; s < l->n_sites; s++) json_add(&medians, json_number_or_null(l->sites[s].median));
    json_put(mark, "sequence", json_integer(l->begin.sequence));
    json_put(mark, "skip", json_integer(l->from));
    json_put(mark, "dropped", json_integer(l->begin.dropped));
    json_put(mark, "medians", medians);
}

static sae_status recall_limits(live *l, const json_t *mark, const char *name, sae_error *err)
{
    const json_t *medians = json_object_get(mark, "medians");

    if (json_array_size(medians) != (size_t)l->n_sites)
        return SAE_FAIL(err, SAE_FORMAT, "%s: \"medians\" must hold %d numbers", name, l->n_sites);
    for (int s = 0; s < l->n_sites; s++) {
        double median = json_number_value(json_array_get(medians, (size_t)s));
        if (!(median >= 0) || !isfinite(median))
            return SAE_FAIL(err, SAE_FORMAT, "%s: \"medians\" must hold numbers from 0", name);
        l->sites[s].median = median;
        l->sites[s].limit = median > 0 && l->options.max_norm > 0 ? l->options.max_norm * median : INFINITY;
    }
    l->limited = true;
    return SAE_OK;
}

static sae_status check_text(const live *l, const char *hash, const char *name, sae_error *err)
{
    char found[32];

    snprintf(found, sizeof found, "%016" PRIx64, sae_text_hash(l->text));
    if (strcmp(found, hash) != 0)
        return SAE_FAIL(
            err, SAE_STATE,
            "%s: the text up to sequence %lld is not the one that was read before (checksum %s, then %.16s): "
            "have its files changed?",
            name, (long long)sae_text_tell(l->text), found, hash);
    return SAE_OK;
}

static sae_status live_recall(void *self, int64_t row, const json_t *mark, const char *name, sae_error *err)
{
    sae_status status = SAE_OK;
    live *l = self;
    int64_t sequence = 0, skip = 0, dropped = 0;
    const char *hash = NULL;

    SAE_TRY(json_get_string(mark, "text_xxh3", "", &hash, name, err));
    if (!json_object_get(mark, "sequence")) {
        SAE_TRY(live_seek(l, row, err));
        SAE_TRY(check_text(l, hash, name, err));
        goto done;
    }
    SAE_TRY(json_get_int(mark, "sequence", -1, &sequence, name, err));
    SAE_TRY(json_get_int(mark, "skip", -1, &skip, name, err));
    SAE_TRY(json_get_int(mark, "dropped", -1, &dropped, name, err));
    if (sequence < 0 || skip < 0 || skip > row || dropped < 0 || !l->options.in_order)
        SAE_RAISE(err, SAE_FORMAT, "%s: the place to go on from is not one of this stream", name);
    reset(l);
    SAE_TRY(recall_limits(l, mark, name, err));
    SAE_TRY(sae_text_seek(l->text, sequence, err));
    SAE_TRY(check_text(l, hash, name, err));
    l->dropped = dropped;
    l->given = row - skip;
    status = live_seek(l, row, err);
done:
    if (status != SAE_OK && sae_text_seek(l->text, l->first_sequence, NULL) == SAE_OK) reset(l);
    return status;
}

static sae_acts_info live_info(const void *self)
{
    const live *l = self;

    for (int s = 0; s < l->n_sites; s++) l->parts[s] = (sae_acts_part){l->d_site, l->sites[s].median};
    return (sae_acts_info){.d = l->d,
                           .n_rows = -1,
                           .dropped = l->dropped,
                           .median_norm = l->sites[0].median,
                           .buffer_bytes = buffer_bytes(l),
                           .pass_bytes = pass_bytes(l),
                           .parts = l->parts,
                           .n_parts = l->n_sites,
                           .describe = l->describe};
}

static const acts_kind live_kind = {live_next, live_seek, live_info, live_free, live_mark, live_recall, NULL};

/* ---- Opening --------------------------------------------------------------------------------------------------------------------- */

static void describe(live *l)
{
    const sae_model_info *info = sae_model_get_info(l->model);
    char site[64], sites[400] = "", order[96] = "in order";

    for (int s = 0; s < l->n_sites; s++) {
        size_t used = strlen(sites);
        sae_site_name(l->sites[s].site, site, sizeof site);
        snprintf(sites + used, sizeof sites - used, "%s%s", s ? " + " : "", site);
    }
    if (!l->options.in_order)
        snprintf(order, sizeof order, "shuffled in a buffer of %lld rows (%.1f MB)", (long long)l->options.buffer_rows,
                 (double)buffer_bytes(l) / 1e6);
    snprintf(l->describe, sizeof l->describe, "%s of %.300s, sequences of %lld tokens, %s", sites, info->path,
             (long long)l->ctx, order);
}

static sae_status allocate(live *l, sae_error *err)
{
    int64_t batch = l->options.batch_seqs * l->ctx;
    sae_status status = SAE_OK;

    l->ids = mem_alloc_array((size_t)batch, sizeof *l->ids, "token ids", err);
    l->mask = mem_alloc_array((size_t)batch, sizeof *l->mask, "a mask", err);
    if (!l->ids || !l->mask) return SAE_NOMEM;
    SAE_TRY(block_create(&l->window, window_rows(l), l->d, "rows of a forward pass", err));
    if (l->options.in_order || l->options.plan_only) goto done;
    SAE_TRY(block_create(&l->buffer, l->options.buffer_rows, l->d, "the shuffle buffer", err));
    l->order = mem_alloc_array((size_t)l->options.buffer_rows, sizeof *l->order, "the shuffle buffer", err);
    if (!l->order) status = SAE_NOMEM;
done:
    return status;
}

static sae_status check_fit(const live *l, sae_error *err)
{
    const sae_model_info *info = sae_model_get_info(l->model);

    for (int s = 0; s < l->n_sites; s++)
        if (l->sites[s].site.layer < 0 || l->sites[s].site.layer >= info->n_layer)
            return SAE_FAIL(err, SAE_RANGE, "the site is at layer %d; the model has layers 0 to %lld",
                            l->sites[s].site.layer, (long long)info->n_layer - 1);
    if (l->ctx > info->n_ctx)
        return SAE_FAIL(err, SAE_RANGE, "sequences of %lld tokens; the model's context is %lld: choose a smaller --ctx",
                        (long long)l->ctx, (long long)info->n_ctx);
    return SAE_OK;
}

static sae_status take_sites(live *l, const sae_site *sites, int n_sites, sae_error *err)
{
    enum { MAX_SITES = 1024 };

    if (n_sites < 1 || n_sites > MAX_SITES)
        return SAE_FAIL(err, SAE_RANGE, "rows of %d sites; expected 1 to %d", n_sites, MAX_SITES);
    l->n_sites = n_sites;
    l->sites = mem_alloc_array((size_t)n_sites, sizeof *l->sites, "the sites", err);
    l->taps = mem_alloc_array((size_t)n_sites, sizeof *l->taps, "the sites", err);
    l->parts = mem_alloc_array((size_t)n_sites, sizeof *l->parts, "the sites", err);
    if (!l->sites || !l->taps || !l->parts) return SAE_NOMEM;
    l->d_site = sae_model_get_info(l->model)->d_model;
    l->d = n_sites * l->d_site;
    for (int s = 0; s < n_sites; s++) {
        l->sites[s] = (site_columns){.live = l, .site = sites[s], .first = s * l->d_site};
        l->taps[s] = (sae_tap){.site = sites[s], .fn = take_rows, .user = &l->sites[s]};
    }
    return SAE_OK;
}

sae_status sae_acts_open_live(sae_acts **out, sae_model *model, sae_text *text, const sae_site *sites, int n_sites,
                              const sae_acts_options *options, sae_error *err)
{
    sae_status status = SAE_OK;
    live *l = mem_alloc(sizeof *l, "a stream of rows", err);

    if (!l) return SAE_NOMEM;
    l->model = model;
    l->text = text;
    l->ctx = sae_text_ctx(text);
    l->first_sequence = sae_text_tell(text);
    SAE_TRY(acts_options_fill(&l->options, options, err));
    SAE_TRY(take_sites(l, sites, n_sites, err));
    SAE_TRY(check_fit(l, err));
    SAE_TRY(allocate(l, err));
    describe(l);
    reset(l);
    status = acts_wrap(out, &live_kind, l, err);
    l = NULL;
done:
    if (l) live_free(l);
    return status;
}
