/*
 * dense_frame.c - what latents are compared with: the text, the first principal component, the directions that hardly reach the
 * logits, the initials of tokens.
 */
#include "lab/dense.h"
#include "model/model.h"

#include <stdlib.h>
#include <utf8proc.h>

enum { NULL_VECTORS = 10 };

void dense_frame_free(dense_frame *f)
{
    subspace_free(&f->first);
    subspace_free(&f->null);
    mem_free(f->initials);
    reading_free(&f->reading);
    *f = (dense_frame){0};
}

static sae_status find_component(dense_frame *f, sample *s, const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    moments m = {0};
    const float *rows = NULL;
    float *kept = mem_alloc_array((size_t)(s->batch_seqs * s->ctx), (size_t)s->d * sizeof *kept, "counted rows", err);
    double *covariance = mem_alloc_array((size_t)s->d, (size_t)s->d * sizeof *covariance, "a covariance", err);

    if (!kept || !covariance) {
        status = SAE_NOMEM;
        goto done;
    }
    SAE_TRY(moments_create(&m, s->d, err));
    for (int64_t first = 0; first < s->n_seq; first += s->batch_seqs) {
        int64_t n = sample_batch(s, first, s->n_seq);
        SAE_TRY(sample_rows(s, first, n, &rows, err));
        moments_add(&m, kept, sample_gather(s, first, n, rows, kept, NULL));
        if (progress && progress->report(progress->user, "sequences read", (double)(first + n), (double)s->n_seq))
            SAE_RAISE(err, SAE_CANCELLED, "stopped on request");
    }
    SAE_TRY(moments_finish(&m, NULL, covariance, err));
    SAE_TRY(subspace_pca(&f->first, covariance, s->d, 0, 1, NULL, err));
done:
    moments_free(&m);
    mem_free(covariance);
    mem_free(kept);
    return status;
}

static sae_status find_null_space(dense_frame *f, sae_model *model, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t n = f->d < 2 * NULL_VECTORS ? f->d / 2 : NULL_VECTORS;
    double *gram = mem_alloc_array((size_t)f->d, (size_t)f->d * sizeof *gram, "products of the unembedding", err);

    if (!gram) return SAE_NOMEM;
    SAE_TRY(model_unembed_gram(model, gram, err));
    SAE_TRY(subspace_pca(&f->null, gram, f->d, f->d - n, n, NULL, err));
done:
    mem_free(gram);
    return status;
}

/* The first letter behind spaces, in lower case; 0 when something else comes first. */
static int32_t initial_of(const char *text, size_t bytes)
{
    const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text, *end = at + bytes;
    utf8proc_int32_t c;

    while (at < end && (*at == ' ' || (*at >= '\t' && *at <= '\r'))) at++;
    if (at == end || utf8proc_iterate(at, end - at, &c) <= 0) return 0;
    return utf8proc_category(c) >= UTF8PROC_CATEGORY_LU && utf8proc_category(c) <= UTF8PROC_CATEGORY_LO
               ? utf8proc_tolower(c)
               : 0;
}

static sae_status find_initials(dense_frame *f, const sae_tokenizer *tok, sae_error *err)
{
    sae_status status = SAE_OK;
    char *text = NULL;
    size_t bytes = 0;

    f->initials = mem_alloc_array((size_t)f->n_vocab, sizeof *f->initials, "initials of tokens", err);
    if (!f->initials) return SAE_NOMEM;
    for (int32_t id = 0; id < f->n_vocab; id++) {
        if (sae_tokenizer_is_special(tok, id)) continue;
        SAE_TRY(sae_tokenizer_decode(tok, &id, 1, &text, &bytes, err));
        f->initials[id] = initial_of(text, bytes);
        free(text);
        text = NULL;
    }
done:
    free(text);
    return status;
}

sae_status dense_frame_create(dense_frame *out, sample *s, const sae_tokenizer *tok, const sae_progress *progress,
                              sae_error *err)
{
    sae_status status = SAE_OK;
    dense_frame f = {.d = s->d, .n_vocab = sae_model_get_info(s->model)->n_vocab};

    if (sae_tokenizer_get_info(tok).n_vocab < f.n_vocab) f.n_vocab = sae_tokenizer_get_info(tok).n_vocab;
    SAE_TRY(reading_create(&f.reading, s->ids, s->n_seq, s->ctx, tok, err));
    SAE_TRY(find_component(&f, s, progress, err));
    SAE_TRY(find_null_space(&f, s->model, err));
    SAE_TRY(find_initials(&f, tok, err));
    *out = f;
    f = (dense_frame){0};
done:
    dense_frame_free(&f);
    return status;
}
