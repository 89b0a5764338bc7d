/*
 * dense_tests.c - the tests of the classes, on given latents. Codes are gathered for as many latents at a time as fit.
 */
#include "eval/association.h"
#include "eval/codes.h"
#include "lab/dense.h"

#include <math.h>
#include <string.h>

enum { LENS_TOKENS = 100, LENS_AT_ONCE = 16 };
static const size_t codes_bytes = (size_t)256 << 20;

const char *const dense_class_names[DENSE_CLASSES] = {"position", "first principal component", "null space",
                                                      "alphabet", "meaningful word",           "unclassified"};

/* ---- From numbers to classes --------------------------------------------------------------------------------------------------- */

void dense_classify(latent_facts *f)
{
    double rho = 0;

    for (int i = 0; i < READING_STARTS; i++) rho = fmax(rho, fabs(f->rho[i])); /* fmax passes NaN over */
    f->passes[DENSE_POSITION] = rho > 0.4;
    f->passes[DENSE_PCA] = fabs(f->pca) > 0.75;
    f->passes[DENSE_NULL] = f->null_share > 0.2;
    f->passes[DENSE_ALPHABET] = f->alphabet >= 0.9;
    f->passes[DENSE_WORD] = f->auc > 0.75;
    f->class = DENSE_NO_CLASS;
    for (int c = DENSE_NO_CLASS - 1; c >= 0; c--)
        if (f->passes[c]) f->class = (dense_class)c;
}

/* ---- Decoder rows ---------------------------------------------------------------------------------------------------------------- */

double alphabet_share(const float *logits, const int32_t *initials, int64_t n_vocab, float sign, int top,
                      int32_t *letter)
{
    int32_t ids[LENS_TOKENS + 1];
    int n = 0, most = 0;

    *letter = 0;
    if (n_vocab <= top || top > LENS_TOKENS) return NAN;
    for (int64_t v = 0; v < n_vocab; v++) {
        int at = n;
        if (n == top && !(sign * logits[v] > sign * logits[ids[n - 1]])) continue;
        while (at > 0 && sign * logits[ids[at - 1]] < sign * logits[v]) at--;
        if (n < top) n++;
        memmove(ids + at + 1, ids + at, (size_t)(n - at - 1) * sizeof *ids);
        ids[at] = (int32_t)v;
    }
    for (int i = 0; i < n; i++) {
        int same = 0;
        for (int k = 0; k < n; k++) same += initials[ids[k]] == initials[ids[i]];
        if (initials[ids[i]] == 0 || same <= most) continue;
        most = same;
        *letter = initials[ids[i]];
    }
    return (double)most / top;
}

static void alphabet_of(latent_facts *f, const dense_frame *frame, const float *logits)
{
    int32_t up, down;
    double promoted = alphabet_share(logits, frame->initials, frame->n_vocab, 1.0F, LENS_TOKENS, &up);
    double suppressed = alphabet_share(logits, frame->initials, frame->n_vocab, -1.0F, LENS_TOKENS, &down);

    f->alphabet = suppressed > promoted ? suppressed : promoted;
    f->letter = suppressed > promoted ? down : up;
}

static sae_status lens(latent_facts *facts, int64_t n, const dense_frame *frame, sae_model *model, const float *W_dec,
                       sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t n_logits = sae_model_get_info(model)->n_vocab;
    float *rows = mem_alloc_array(LENS_AT_ONCE, (size_t)frame->d * sizeof *rows, "decoder rows", err);
    float *logits = mem_alloc_array(LENS_AT_ONCE, (size_t)n_logits * sizeof *logits, "logits of directions", err);

    if (!rows || !logits) {
        status = SAE_NOMEM;
        goto done;
    }
    for (int64_t first = 0; first < n; first += LENS_AT_ONCE) {
        int64_t some = n - first < LENS_AT_ONCE ? n - first : LENS_AT_ONCE;
        for (int64_t i = 0; i < some; i++)
            memcpy(rows + i * frame->d, W_dec + facts[first + i].latent * frame->d, (size_t)frame->d * sizeof *rows);
        SAE_TRY(sae_model_unembed(model, rows, some, false, logits, err));
        for (int64_t i = 0; i < some; i++) alphabet_of(&facts[first + i], frame, logits + i * n_logits);
    }
done:
    mem_free(rows);
    mem_free(logits);
    return status;
}

static sae_status directions(latent_facts *facts, int64_t n, const dense_frame *frame, const float *W_dec,
                             sae_error *err)
{
    double *v = mem_alloc_array((size_t)frame->d, sizeof *v, "a decoder row", err);

    if (!v) return SAE_NOMEM;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < frame->d; j++) v[j] = (double)W_dec[facts[i].latent * frame->d + j];
        facts[i].pca = sqrt(subspace_share(&frame->first, v));
        facts[i].null_share = subspace_share(&frame->null, v);
    }
    mem_free(v);
    return SAE_OK;
}

/* ---- Codes over the text ------------------------------------------------------------------------------------------------------------ */

/* Counted tokens of the sample, in order: their codes by latent, and what the text says of them. */
typedef struct gathered {
    int64_t n, some;               /* tokens, latents */
    float *code;                   /* [some, n] */
    int32_t *place;                /* [d_sae] which of the latents, or -1 */
    uint8_t *content;              /* [n] */
    double *since[READING_STARTS]; /* [n] ranks */
    double *ranks;                 /* [n] of a latent's codes */
    uint8_t *fires;                /* [n] */
} gathered;

static void gathered_free(gathered *g)
{
    mem_free(g->code);
    mem_free(g->place);
    mem_free(g->content);
    for (int i = 0; i < READING_STARTS; i++) mem_free(g->since[i]);
    mem_free(g->ranks);
    mem_free(g->fires);
}

static sae_status gathered_create(gathered *g, const dense_frame *frame, const sample *s, int64_t most, int64_t d_sae,
                                  sae_error *err)
{
    sae_status status = SAE_NOMEM;
    size_t n = (size_t)s->n_counted;
    float *value = mem_alloc_array(n, sizeof *value, "distances", err);

    g->n = s->n_counted;
    g->code = mem_alloc_array((size_t)most, n * sizeof *g->code, "codes of latents", err);
    g->place = mem_alloc_array((size_t)d_sae, sizeof *g->place, "places of latents", err);
    g->content = mem_alloc(n, "which tokens are content words", err);
    g->ranks = mem_alloc_array(n, sizeof *g->ranks, "ranks", err);
    g->fires = mem_alloc(n, "where a latent fires", err);
    if (!value || !g->code || !g->place || !g->content || !g->ranks || !g->fires) goto done;
    for (int i = 0; i < READING_STARTS; i++) {
        int64_t k = 0;
        status = SAE_NOMEM;
        g->since[i] = mem_alloc_array(n, sizeof(double), "ranks of distances", err);
        if (!g->since[i]) goto done;
        for (int64_t t = 0; t < s->n_seq * s->ctx; t++)
            if (s->counted[t]) value[k++] = (float)frame->reading.since[i][t];
        SAE_TRY(ranks_of(value, g->n, g->since[i], err));
    }
    for (int64_t t = 0, k = 0; t < s->n_seq * s->ctx; t++)
        if (s->counted[t]) g->content[k++] = frame->reading.word[t] == TOKEN_CONTENT_WORD;
    status = SAE_OK;
done:
    mem_free(value);
    return status;
}

static sae_status gather_codes(gathered *g, const latent_facts *facts, sample *s, const sae_dict *dict,
                               const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    const float *rows = NULL;
    codes c = {0};
    int64_t at = 0;
    float *kept = mem_alloc_array((size_t)(s->batch_seqs * s->ctx), (size_t)s->d * sizeof *kept, "counted rows", err);

    if (!kept) return SAE_NOMEM;
    memset(g->code, 0, (size_t)(g->some * g->n) * sizeof *g->code);
    for (int64_t i = 0; i < sae_dict_get_config(dict)->d_sae; i++) g->place[i] = -1;
    for (int64_t i = 0; i < g->some; i++) g->place[facts[i].latent] = (int32_t)i;
    for (int64_t first = 0; first < s->n_seq; first += s->batch_seqs) {
        int64_t n = sample_batch(s, first, s->n_seq), n_kept;
        SAE_TRY(sample_rows(s, first, n, &rows, err));
        n_kept = sample_gather(s, first, n, rows, kept, NULL);
        SAE_TRY(codes_encode(&c, dict, kept, n_kept, err));
        for (int64_t i = 0; i < n_kept; i++)
            for (int64_t p = c.row_start[i]; p < c.row_start[i + 1]; p++)
                if (g->place[c.latent[p]] >= 0) g->code[g->place[c.latent[p]] * g->n + at + i] = c.value[p];
        codes_free(&c);
        at += n_kept;
        if (progress && progress->report(progress->user, "sequences encoded", (double)(first + n), (double)s->n_seq))
            SAE_RAISE(err, SAE_CANCELLED, "stopped on request");
    }
done:
    codes_free(&c);
    mem_free(kept);
    return status;
}

static sae_status associate(gathered *g, latent_facts *facts, sae_error *err)
{
    sae_status status = SAE_OK;

    for (int64_t i = 0; i < g->some; i++) {
        const float *code = g->code + i * g->n;
        SAE_TRY(ranks_of(code, g->n, g->ranks, err));
        for (int k = 0; k < READING_STARTS; k++) facts[i].rho[k] = correlation(g->ranks, g->since[k], g->n);
        for (int64_t t = 0; t < g->n; t++) g->fires[t] = code[t] > 0;
        facts[i].auc = auc_of_flag(g->content, g->fires, g->n);
    }
done:
    return status;
}

/* ---- All of it ---------------------------------------------------------------------------------------------------------------------- */

static sae_status antipodes(latent_facts *facts, int64_t n, const sae_dict *dict, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t *latents = mem_alloc_array((size_t)n, sizeof *latents, "latents", err);
    antipode *found = mem_alloc_array((size_t)n, sizeof *found, "antipodes", err);

    if (!latents || !found) {
        status = SAE_NOMEM;
        goto done;
    }
    for (int64_t i = 0; i < n; i++) latents[i] = facts[i].latent;
    SAE_TRY(antipodal_scores(dict, latents, n, found, err));
    for (int64_t i = 0; i < n; i++) facts[i].antipode = found[i];
done:
    mem_free(latents);
    mem_free(found);
    return status;
}

int64_t dense_at_once(int64_t n_rows)
{
    const int64_t most = (int64_t)(codes_bytes / sizeof(float)) / (n_rows + 1);

    return most < 1 ? 1 : most;
}

sae_status dense_measure(latent_facts *facts, int64_t n, const dense_frame *frame, sample *s, const sae_dict *dict,
                         const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    gathered g = {0};
    /* sae_dict_weights gives writable pointers; nothing is written through them here */
    const float *W_dec = sae_dict_weights((sae_dict *)(uintptr_t)dict).W_dec;
    int64_t most = dense_at_once(s->n_counted);

    if (n == 0) return SAE_OK;
    most = most > n ? n : most;
    SAE_TRY(antipodes(facts, n, dict, err));
    SAE_TRY(directions(facts, n, frame, W_dec, err));
    SAE_TRY(lens(facts, n, frame, s->model, W_dec, err));
    SAE_TRY(gathered_create(&g, frame, s, most, sae_dict_get_config(dict)->d_sae, err));
    for (int64_t first = 0; first < n; first += most) {
        g.some = n - first < most ? n - first : most;
        SAE_TRY(gather_codes(&g, facts + first, s, dict, progress, err));
        SAE_TRY(associate(&g, facts + first, err));
    }
    for (int64_t i = 0; i < n; i++) dense_classify(&facts[i]);
done:
    gathered_free(&g);
    return status;
}
