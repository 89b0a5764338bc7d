/*
 * cards.c - features as cards of a result: contexts as token pieces, promoted and suppressed tokens by the logit lens.
 */
#include "eval/features.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LENS_TOKENS = 10 };

/* A token's text as one line: a line break, which would end a list entry, becomes its sign. malloc'ed. */
static sae_status piece_of(const sae_tokenizer *tok, int32_t id, char **piece, sae_error *err)
{
    sae_status status = SAE_OK;
    char *text = NULL, *line, *end;
    size_t bytes = 0;

    SAE_TRY(sae_tokenizer_decode(tok, &id, 1, &text, &bytes, err));
    line = malloc(3 * bytes + 1);
    if (!line) SAE_RAISE(err, SAE_NOMEM, "no memory for the text of a token");
    end = line;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == '\n') {
            memcpy(end, "\xe2\x86\xb5", 3); /* U+21B5 */
            end += 3;
        } else if (text[i] != '\0') {
            *end++ = text[i];
        }
    }
    *end = '\0';
    *piece = line;
done:
    free(text);
    return status;
}

/* Indices of the LENS_TOKENS largest of sign * logits, largest first. */
static int strongest_tokens(const float *logits, int64_t n_vocab, float sign, int32_t *ids)
{
    int n = 0;

    for (int64_t v = 0; v < n_vocab; v++) {
        int at = n;
        while (at > 0 && sign * logits[ids[at - 1]] < sign * logits[v]) at--;
        if (at >= LENS_TOKENS) continue;
        if (n < LENS_TOKENS) n++;
        memmove(ids + at + 1, ids + at, (size_t)(n - at - 1) * sizeof *ids);
        ids[at] = (int32_t)v;
    }
    return n;
}

/* "a\nb\nc": malloc'ed. */
static sae_status token_list(const sae_tokenizer *tok, const int32_t *ids, int n, char **list, sae_error *err)
{
    sae_status status = SAE_OK;
    char *pieces[LENS_TOKENS] = {0}, *text = NULL;
    size_t bytes = 1;

    for (int i = 0; i < n; i++) {
        SAE_TRY(piece_of(tok, ids[i], &pieces[i], err));
        bytes += strlen(pieces[i]) + 1;
    }
    text = calloc(1, bytes);
    if (!text) SAE_RAISE(err, SAE_NOMEM, "no memory for a list of tokens");
    for (int i = 0; i < n; i++) {
        if (i) strcat(text, "\n");
        strcat(text, pieces[i]);
    }
    *list = text;
done:
    for (int i = 0; i < n; i++) free(pieces[i]);
    return status;
}

static sae_status logit_lens(sae_model *model, const sae_tokenizer *tok, const float *direction, char **promoted,
                             char **suppressed, sae_error *err)
{
    sae_status status = SAE_OK;
    int32_t ids[LENS_TOKENS + 1];
    int64_t n_vocab = sae_model_get_info(model)->n_vocab;
    float *logits = mem_alloc_array((size_t)n_vocab, sizeof *logits, "logits of a direction", err);

    if (!logits) return SAE_NOMEM;
    /* a model may have more rows than its tokenizer has tokens */
    if (sae_tokenizer_get_info(tok).n_vocab < n_vocab) n_vocab = sae_tokenizer_get_info(tok).n_vocab;
    SAE_TRY(sae_model_unembed(model, direction, 1, false, logits, err));
    SAE_TRY(token_list(tok, ids, strongest_tokens(logits, n_vocab, 1.0F, ids), promoted, err));
    SAE_TRY(token_list(tok, ids, strongest_tokens(logits, n_vocab, -1.0F, ids), suppressed, err));
done:
    mem_free(logits);
    return status;
}

static sae_status add_context(sae_result *result, const char *id, const feature_context *c, const sae_tokenizer *tok,
                              sae_error *err)
{
    sae_status status = SAE_OK;
    char *pieces[CONTEXT_TOKENS] = {0};
    double strengths[CONTEXT_TOKENS];

    for (int64_t i = 0; i < c->n; i++) {
        SAE_TRY(piece_of(tok, c->ids[i], &pieces[i], err));
        strengths[i] = (double)c->strength[i];
    }
    SAE_TRY(sae_result_context(result, id, (const char *const *)pieces, strengths, c->n, c->at, err));
done:
    for (int64_t i = 0; i < c->n; i++) free(pieces[i]);
    return status;
}

void feature_facts(const feature *f, char *text, size_t size)
{
    if (f->n_active == 0)
        snprintf(text, size, "never active on %lld tokens", (long long)f->n_rows);
    else
        snprintf(text, size, "active on %.3g %% of tokens, there %.3g on average and %.3g at most",
                 100 * (double)f->n_active / (double)f->n_rows, f->sum / (double)f->n_active, f->max);
}

sae_status feature_histogram(sae_result *result, const char *label, const feature *f, sae_error *err)
{
    sae_status status = SAE_OK;
    double x[FEATURE_BINS], y[FEATURE_BINS];

    for (int i = 0; i < FEATURE_BINS; i++) {
        x[i] = feature_bin_low + (double)i / 2;
        y[i] = f->n_rows ? (double)f->histogram[i] / (double)f->n_rows : 0;
    }
    SAE_TRY(sae_result_plot(result, "strength", "How strongly they fire", "log2 of the strength", "share of tokens",
                            SAE_PLOT_STEP, 0, err));
    SAE_TRY(sae_result_series(result, "strength", label, x, y, FEATURE_BINS, err));
done:
    return status;
}

sae_status card_add(sae_result *result, const card *c, const feature *f, sae_model *model, const sae_tokenizer *tok,
                    sae_error *err)
{
    sae_status status = SAE_OK;
    char *promoted = NULL, *suppressed = NULL;

    if (c->direction) SAE_TRY(logit_lens(model, tok, c->direction, &promoted, &suppressed, err));
    SAE_TRY(sae_result_card(result, c->group, c->id, c->title, c->facts, promoted, suppressed, err));
    for (int i = 0; i < f->n_contexts; i++) SAE_TRY(add_context(result, c->id, &f->contexts[i], tok, err));
done:
    free(promoted);
    free(suppressed);
    return status;
}
