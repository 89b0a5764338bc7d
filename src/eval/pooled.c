/*
 * pooled.c - tokenises documents, runs the model on them sorted by length, and averages rows and codes per document.
 *
 * A document's own tokens do not see the padding behind them (attention is causal), which is never counted.
 */
#include "eval/pooled.h"
#include "eval/core.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MEDIAN_DOCUMENTS = 64 };

static void codes_of_dict_free(pooled_codes *c)
{
    mem_free(c->norm);
    mem_free(c->row_start);
    mem_free(c->latent);
    mem_free(c->value);
    mem_free(c->scaffold);
}

void pooled_free(pooled *p)
{
    for (int k = 0; p->codes && k < p->n_dicts; k++) codes_of_dict_free(&p->codes[k]);
    mem_free(p->codes);
    mem_free(p->doc);
    mem_free(p->rows);
    mem_free(p->counted);
    *p = (pooled){0};
}

/* ---- Tokens of all documents --------------------------------------------------------------------------------------------- */

/* What one document's mean codes are kept in until all documents are done: they come in the order of their lengths. */
typedef struct piece {
    int32_t *latent;
    float *value;
    int64_t n;
} piece;

static void piece_free(piece *p)
{
    mem_free(p->latent);
    mem_free(p->value);
    *p = (piece){0};
}

typedef struct pass {
    pooled *p;
    sae_model *model;
    const sae_tokenizer *tok;
    sae_site site;
    const sae_dict *const *dicts;
    pooled_options options;
    int32_t *ids;    /* [n, ctx] with the separator first */
    int32_t *length; /* [n] */
    int64_t *order;  /* [n] shortest first */
    float *rows;     /* [batch_tokens or ctx, d] */
    float *kept;     /* the same, counted ones only */
    piece *pieces;   /* [n_dicts, n] */
    double *sums;    /* [largest d_sae] zero between documents */
    int32_t *touched;
    double limit; /* of a row's norm */
} pass;

static sae_status tokenise(pass *w, const labelled *l, sae_error *err)
{
    sae_status status = SAE_OK;
    int32_t *ids = NULL;
    size_t n = 0;
    int64_t ctx = w->options.ctx;
    int32_t separator = sae_tokenizer_get_info(w->tok).separator;

    if (separator < 0)
        SAE_RAISE(err, SAE_UNSUPPORTED, "the tokenizer has no token that begins a sequence: documents need one");
    for (int64_t i = 0; i < w->p->n; i++) {
        int64_t doc = w->p->doc[i];
        SAE_TRY(sae_tokenizer_encode(w->tok, l->bytes + l->start[doc], l->start[doc + 1] - l->start[doc], true, &ids,
                                     &n, err));
        if ((int64_t)n > ctx - 1) n = (size_t)(ctx - 1);
        w->ids[i * ctx] = separator;
        if (n) memcpy(w->ids + i * ctx + 1, ids, n * sizeof *ids);
        w->length[i] = (int32_t)n + 1;
        free(ids);
        ids = NULL;
    }
done:
    free(ids);
    return status;
}

typedef struct length_of {
    int32_t length;
    int64_t doc;
} length_of;

static int compare_lengths(const void *a, const void *b)
{
    const length_of *x = a, *y = b;

    if (x->length != y->length) return x->length < y->length ? -1 : 1;
    return (x->doc > y->doc) - (x->doc < y->doc);
}

static sae_status sort_by_length(pass *w, sae_error *err)
{
    length_of *all = mem_alloc_array((size_t)w->p->n, sizeof *all, "lengths of documents", err);

    if (!all) return SAE_NOMEM;
    for (int64_t i = 0; i < w->p->n; i++) all[i] = (length_of){w->length[i], i};
    qsort(all, (size_t)w->p->n, sizeof *all, compare_lengths);
    for (int64_t i = 0; i < w->p->n; i++) w->order[i] = all[i].doc;
    mem_free(all);
    return SAE_OK;
}

/* ---- Rows of a batch ----------------------------------------------------------------------------------------------------- */

static sae_status copy_rows(void *user, float *rows, int64_t n_rows, int64_t d_model, sae_error *err)
{
    (void)err;
    memcpy(user, rows, (size_t)(n_rows * d_model) * sizeof *rows);
    return SAE_OK;
}

/* The rows of documents docs[0 .. n), padded to `width` tokens, into w->rows [n, width, d]. */
static sae_status run_batch(pass *w, const int64_t *docs, int64_t n, int64_t width, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_tap tap = {.site = w->site, .fn = copy_rows, .user = w->rows};
    int32_t *ids = mem_alloc_array((size_t)(n * width), sizeof *ids, "a batch of documents", err);

    if (!ids) return SAE_NOMEM;
    for (int64_t i = 0; i < n; i++) {
        const int32_t *from = w->ids + docs[i] * w->options.ctx;
        for (int64_t t = 0; t < width; t++) ids[i * width + t] = t < w->length[docs[i]] ? from[t] : from[0];
    }
    sae_run run = {.ids = ids, .n_seq = n, .n_ctx = width, .taps = &tap, .n_taps = 1};
    SAE_TRY(sae_model_run(w->model, &run, err));
done:
    mem_free(ids);
    return status;
}

static double row_norm(const float *row, int64_t d)
{
    double sum = 0;

    for (int64_t j = 0; j < d; j++) sum += (double)row[j] * (double)row[j];
    return sqrt(sum);
}

static bool unmasked(const pass *w, int64_t doc, int64_t t)
{
    return w->options.with_bos || (t > 0 && !sae_tokenizer_is_special(w->tok, w->ids[doc * w->options.ctx + t]));
}

/* The median norm of the unmasked rows of MEDIAN_DOCUMENTS documents, evenly spread over the lengths. */
static sae_status find_median(pass *w, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t n = w->p->n < MEDIAN_DOCUMENTS ? w->p->n : MEDIAN_DOCUMENTS, n_norms = 0;
    double *norms = mem_alloc_array((size_t)(n * w->options.ctx), sizeof *norms, "norms of rows", err);

    if (!norms) return SAE_NOMEM;
    for (int64_t i = 0; i < n; i++) {
        int64_t doc = w->order[(w->p->n - 1) * i / (n > 1 ? n - 1 : 1)];
        SAE_TRY(run_batch(w, &doc, 1, w->length[doc], err));
        for (int64_t t = 0; t < w->length[doc]; t++)
            if (unmasked(w, doc, t)) norms[n_norms++] = row_norm(w->rows + t * w->p->d, w->p->d);
    }
    if (n_norms == 0) SAE_RAISE(err, SAE_RANGE, "no token of the documents counts: all are special tokens");
    for (int64_t i = 0; i < n_norms; i++)
        if (!isfinite(norms[i])) SAE_RAISE(err, SAE_NUMERIC, "a row of the model on the documents is not finite");
    qsort(norms, (size_t)n_norms, sizeof *norms, compare_doubles);
    w->p->median_norm = (norms[(n_norms - 1) / 2] + norms[n_norms / 2]) / 2;
    w->limit = w->options.max_norm < 0 ? INFINITY : w->options.max_norm * w->p->median_norm;
done:
    mem_free(norms);
    return status;
}

/* ---- Means of one document ------------------------------------------------------------------------------------------------- */

/* Copies the counted rows of one document, rows [length, d], together; returns how many. */
static sae_status gather(pass *w, int64_t doc, const float *rows, float *kept, int64_t *n_kept, sae_error *err)
{
    int64_t d = w->p->d, n = 0;

    for (int64_t t = 0; t < w->length[doc]; t++) {
        double norm = unmasked(w, doc, t) ? row_norm(rows + t * d, d) : 0;
        if (!unmasked(w, doc, t)) continue;
        if (!isfinite(norm)) return SAE_FAIL(err, SAE_NUMERIC, "a row of the model on the documents is not finite");
        if (norm > w->limit) {
            w->p->n_over_norm++;
            continue;
        }
        if (w->options.last) n = 0; /* the next one takes its place */
        memcpy(kept + n * d, rows + t * d, (size_t)d * sizeof *kept);
        n++;
    }
    *n_kept = n;
    return SAE_OK;
}

static void mean_rows(const float *kept, int64_t n, int64_t d, float *out)
{
    for (int64_t j = 0; j < d; j++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++) sum += (double)kept[i * d + j];
        out[j] = n ? (float)(sum / (double)n) : 0;
    }
}

static int compare_latents(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

    return (x > y) - (x < y);
}

/* Mean codes of rows first to first + n - 1 of c: into a piece of the document's own. */
static sae_status mean_codes(pass *w, const codes *c, const float *norm, int64_t first, int64_t n, piece *out,
                             sae_error *err)
{
    int64_t n_touched = 0;

    for (int64_t e = c->row_start[first]; e < c->row_start[first + n]; e++) {
        if (!(c->value[e] > 0)) continue;
        if (w->sums[c->latent[e]] == 0) w->touched[n_touched++] = c->latent[e];
        w->sums[c->latent[e]] += (double)c->value[e];
    }
    qsort(w->touched, (size_t)n_touched, sizeof *w->touched, compare_latents);
    if (n_touched == 0) return SAE_OK;
    out->latent = mem_alloc_array((size_t)n_touched, sizeof *out->latent, "mean codes", err);
    out->value = mem_alloc_array((size_t)n_touched, sizeof *out->value, "mean codes", err);
    for (int64_t i = 0; i < n_touched; i++) {
        int32_t latent = w->touched[i];
        if (out->latent && out->value) {
            out->latent[i] = latent;
            out->value[i] = (float)(w->sums[latent] / (double)n * (double)norm[latent]);
        }
        w->sums[latent] = 0;
    }
    out->n = n_touched;
    return out->latent && out->value ? SAE_OK : SAE_NOMEM;
}

static void mean_scaffold(const codes *c, const float *norm, int64_t first, int64_t n, int64_t rank, float *out)
{
    for (int64_t k = 0; k < rank; k++) {
        double plus = 0, minus = 0;
        for (int64_t i = first; i < first + n; i++) {
            double h = (double)c->h[i * rank + k] * (double)norm[k];
            plus += h > 0 ? h : 0;
            minus += h < 0 ? -h : 0;
        }
        out[k] = n ? (float)(plus / (double)n) : 0;
        out[rank + k] = n ? (float)(minus / (double)n) : 0;
    }
}

/* ---- The pass ------------------------------------------------------------------------------------------------------------ */

/* Mean codes of the documents of a batch by dictionary k; kept rows of document i are kept_start[i] .. kept_start[i + 1]. */
static sae_status encode_batch(pass *w, int k, const int64_t *docs, int64_t n, const int64_t *kept_start,
                               sae_error *err)
{
    sae_status status = SAE_OK;
    codes c = {0};
    pooled_codes *out = &w->p->codes[k];

    SAE_TRY(codes_encode(&c, w->dicts[k], w->kept, kept_start[n], err));
    for (int64_t i = 0; i < n; i++) {
        int64_t rows = kept_start[i + 1] - kept_start[i];
        SAE_TRY(mean_codes(w, &c, out->norm, kept_start[i], rows, &w->pieces[k * w->p->n + docs[i]], err));
        if (out->rank)
            mean_scaffold(&c, out->norm + out->d_sae, kept_start[i], rows, out->rank,
                          out->scaffold + docs[i] * 2 * out->rank);
    }
done:
    codes_free(&c);
    return status;
}

static sae_status do_batch(pass *w, const int64_t *docs, int64_t n, int64_t width, int64_t *kept_start, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t d = w->p->d, rows = 0;

    SAE_TRY(run_batch(w, docs, n, width, err));
    kept_start[0] = 0;
    for (int64_t i = 0; i < n; i++) {
        float *kept = w->kept + kept_start[i] * d;
        SAE_TRY(gather(w, docs[i], w->rows + i * width * d, kept, &rows, err));
        kept_start[i + 1] = kept_start[i] + rows;
        w->p->counted[docs[i]] = (int32_t)rows;
        w->p->n_tokens += rows;
        w->p->n_empty += rows == 0;
        mean_rows(kept, rows, d, w->p->rows + docs[i] * d);
    }
    if (w->options.tokens) moments_add(w->options.tokens, w->kept, kept_start[n]);
    for (int k = 0; kept_start[n] > 0 && k < w->p->n_dicts; k++) SAE_TRY(encode_batch(w, k, docs, n, kept_start, err));
done:
    return status;
}

static sae_status run_all(pass *w, const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t n_docs = w->p->n, batch, most = w->options.batch_tokens;
    int64_t *kept_start = mem_alloc_array((size_t)most + 2, sizeof *kept_start, "rows of documents", err);

    if (!kept_start) return SAE_NOMEM;
    for (int64_t first = 0; first < n_docs; first += batch) {
        batch = 1;
        while (first + batch < n_docs && (batch + 1) * w->length[w->order[first + batch]] <= most) batch++;
        SAE_TRY(do_batch(w, w->order + first, batch, w->length[w->order[first + batch - 1]], kept_start, err));
        if (progress && progress->report(progress->user, "documents", (double)(first + batch), (double)n_docs))
            SAE_RAISE(err, SAE_CANCELLED, "stopped on request");
    }
done:
    mem_free(kept_start);
    return status;
}

/* The pieces one after the other, in the order of the documents; each is freed when it is copied. */
static sae_status join_pieces(pass *w, int k, sae_error *err)
{
    pooled_codes *c = &w->p->codes[k];
    int64_t total = 0, n = w->p->n;

    for (int64_t i = 0; i < n; i++) total += w->pieces[k * n + i].n;
    c->row_start = mem_alloc_array((size_t)n + 1, sizeof *c->row_start, "mean codes", err);
    c->latent = mem_alloc_array((size_t)total + 1, sizeof *c->latent, "mean codes", err);
    c->value = mem_alloc_array((size_t)total + 1, sizeof *c->value, "mean codes", err);
    if (!c->row_start || !c->latent || !c->value) return SAE_NOMEM;
    for (int64_t i = 0; i < n; i++) {
        piece *from = &w->pieces[k * n + i];
        int64_t at = c->row_start[i];
        if (from->n) memcpy(c->latent + at, from->latent, (size_t)from->n * sizeof *c->latent);
        if (from->n) memcpy(c->value + at, from->value, (size_t)from->n * sizeof *c->value);
        c->row_start[i + 1] = at + from->n;
        piece_free(from);
    }
    return SAE_OK;
}

/* ---- Memory ----------------------------------------------------------------------------------------------------------------- */

static void pass_free(pass *w)
{
    int64_t n = w->pieces ? w->p->n * w->p->n_dicts : 0;

    for (int64_t i = 0; i < n; i++) piece_free(&w->pieces[i]);
    mem_free(w->pieces);
    mem_free(w->ids);
    mem_free(w->length);
    mem_free(w->order);
    mem_free(w->rows);
    mem_free(w->kept);
    mem_free(w->sums);
    mem_free(w->touched);
}

/* Norms of the rows of W_dec and W_up. */
static sae_status take_norms(pooled_codes *c, const sae_dict *dict, int64_t d, sae_error *err)
{
    const sae_weights weights = sae_dict_weights((sae_dict *)(uintptr_t)dict); /* nothing is written through it */

    c->norm = mem_alloc_array((size_t)(c->d_sae + c->rank), sizeof *c->norm, "norms of decoder rows", err);
    if (!c->norm) return SAE_NOMEM;
    for (int64_t i = 0; i < c->d_sae; i++) c->norm[i] = (float)row_norm(weights.W_dec + i * d, d);
    for (int64_t i = 0; i < c->rank; i++) c->norm[c->d_sae + i] = (float)row_norm(weights.W_up + i * d, d);
    return SAE_OK;
}

static sae_status take_dicts(pass *w, sae_error *err)
{
    sae_status status = SAE_OK;
    size_t widest = 1;
    pooled *p = w->p;

    p->codes = mem_alloc_array((size_t)p->n_dicts + 1, sizeof *p->codes, "mean codes", err);
    if (!p->codes) return SAE_NOMEM;
    for (int k = 0; k < p->n_dicts; k++) {
        const sae_dict_config *config = sae_dict_get_config(w->dicts[k]);
        pooled_codes *c = &p->codes[k];
        SAE_TRY(core_check_width(w->dicts[k], w->model, err));
        *c = (pooled_codes){.d_sae = config->d_sae, .rank = config->rank};
        SAE_TRY(take_norms(c, w->dicts[k], p->d, err));
        if ((size_t)c->d_sae > widest) widest = (size_t)c->d_sae;
        if (!c->rank) continue;
        c->scaffold = mem_alloc_array((size_t)p->n, (size_t)(2 * c->rank) * sizeof(float), "mean scaffold codes", err);
        if (!c->scaffold) SAE_TRY(SAE_NOMEM);
    }
    w->pieces = mem_alloc_array((size_t)p->n * (size_t)p->n_dicts + 1, sizeof *w->pieces, "mean codes", err);
    w->sums = mem_alloc_array(widest, sizeof *w->sums, "sums of codes", err);
    w->touched = mem_alloc_array(widest, sizeof *w->touched, "latents of a document", err);
    if (!w->pieces || !w->sums || !w->touched) status = SAE_NOMEM;
done:
    return status;
}

static sae_status take_memory(pass *w, sae_error *err)
{
    pooled *p = w->p;
    size_t n = (size_t)p->n, ctx = (size_t)w->options.ctx, d = (size_t)p->d;
    size_t most = (size_t)(w->options.batch_tokens > w->options.ctx ? w->options.batch_tokens : w->options.ctx);

    w->ids = mem_alloc_array(n, ctx * sizeof *w->ids, "tokens of documents", err);
    w->length = mem_alloc_array(n, sizeof *w->length, "lengths of documents", err);
    w->order = mem_alloc_array(n, sizeof *w->order, "the order of documents", err);
    w->rows = mem_alloc_array(most, d * sizeof *w->rows, "rows of documents", err);
    w->kept = mem_alloc_array(most, d * sizeof *w->kept, "counted rows of documents", err);
    p->rows = mem_alloc_array(n, d * sizeof *p->rows, "mean rows", err);
    p->counted = mem_alloc_array(n, sizeof *p->counted, "counted tokens", err);
    if (!w->ids || !w->length || !w->order || !w->rows || !w->kept || !p->rows || !p->counted) return SAE_NOMEM;
    return take_dicts(w, err);
}

static int compare_docs(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static sae_status take_docs(pooled *p, const int64_t *docs, int64_t n, sae_error *err)
{
    if (n < 1) return SAE_FAIL(err, SAE_RANGE, "no documents to pool");
    p->doc = mem_alloc_array((size_t)n, sizeof *p->doc, "documents", err);
    if (!p->doc) return SAE_NOMEM;
    memcpy(p->doc, docs, (size_t)n * sizeof *docs);
    qsort(p->doc, (size_t)n, sizeof *p->doc, compare_docs);
    for (int64_t i = 0; i < n; i++)
        if (i == 0 || p->doc[i] != p->doc[p->n - 1]) p->doc[p->n++] = p->doc[i];
    return SAE_OK;
}

sae_status pooled_create(pooled *out, sae_model *model, const sae_tokenizer *tok, sae_site site, const labelled *l,
                         const int64_t *docs, int64_t n, const sae_dict *const *dicts, int n_dicts,
                         const pooled_options *options, const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    pooled p = {.d = sae_model_get_info(model)->d_model, .n_dicts = n_dicts};
    pass w = {.p = &p, .model = model, .tok = tok, .site = site, .dicts = dicts, .options = *options};
    int64_t longest = sae_model_get_info(model)->n_ctx;

    if (!w.options.ctx) w.options.ctx = longest < 128 ? longest : 128;
    if (!w.options.batch_tokens) w.options.batch_tokens = 2048;
    if (w.options.max_norm == 0) w.options.max_norm = 10;
    if (w.options.ctx < 2 || w.options.ctx > longest)
        SAE_RAISE(err, SAE_RANGE, "%lld tokens per document: 2 to %lld, the model's context, can be read",
                  (long long)w.options.ctx, (long long)longest);
    SAE_TRY(take_docs(&p, docs, n, err));
    SAE_TRY(take_memory(&w, err));
    SAE_TRY(tokenise(&w, l, err));
    SAE_TRY(sort_by_length(&w, err));
    SAE_TRY(find_median(&w, err));
    SAE_TRY(run_all(&w, progress, err));
    for (int k = 0; k < n_dicts; k++) SAE_TRY(join_pieces(&w, k, err));
    pass_free(&w);
    *out = p;
    return SAE_OK;
done:
    pass_free(&w);
    pooled_free(&p);
    return status;
}
