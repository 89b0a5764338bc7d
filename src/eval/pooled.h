/*
 * pooled.h - documents as one vector each: the mean of a site's rows over the document's counted tokens, and the mean of
 * a dictionary's codes over the same tokens.
 *
 * A token is counted when it is not the separator at position 0, is no special token (unless these are wanted), and its row's norm is
 * at most max_norm times the median. Means are linear: the pooled row after an edit x - sum_i f_i d_i of every counted token is
 * the pooled row minus sum_i (pooled f_i) d_i, so that experiments need no second pass.
 */
#ifndef SAE_EVAL_POOLED_H
#define SAE_EVAL_POOLED_H

#include "eval/codes.h"
#include "eval/subspace.h"
#include "text/labelled.h"

typedef struct pooled_options {
    int64_t ctx;          /* tokens of a document that are read, the separator before it counted; 0: 128 */
    int64_t batch_tokens; /* of a forward pass; 0: 2,048 */
    double max_norm;      /* 0: 10; negative: no row is left out for its norm */
    bool with_bos;        /* the separator at position 0 and special tokens count too */
    bool last;            /* the last counted token alone instead of the mean over all */
    moments *tokens;      /* takes every counted row, for principal components of tokens; NULL: none */
} pooled_options;

/* Mean codes of one dictionary, sparse, document by document: latents ascending. They are in the units of decoder rows of norm 1
 * (a code times the norm of its row), so that dictionaries whose rows have other norms compare. */
typedef struct pooled_codes {
    int64_t d_sae, rank;
    float *norm;        /* [d_sae + rank] of the rows of W_dec, then of W_up */
    int64_t *row_start; /* [n + 1] */
    int32_t *latent;    /* [row_start[n]] */
    float *value;
    float *scaffold; /* [n, 2 rank]: means of relu(h) and relu(-h); NULL at rank 0 */
    size_t room;     /* of latent and value */
} pooled_codes;

typedef struct pooled {
    int64_t n, d;
    int64_t *doc;     /* [n] ascending: the documents' numbers in the labelled set */
    float *rows;      /* [n, d]; 0 for a document without a counted token */
    int32_t *counted; /* [n] tokens */
    int n_dicts;
    pooled_codes *codes; /* [n_dicts] */
    double median_norm;
    int64_t n_tokens, n_over_norm, n_empty; /* counted; left out for their norm; documents without a counted token */
} pooled;

/* One pass of the model over the documents `docs` [n] (any order, repeats allowed: each is computed once), the codes of every dictionary
 * from the same rows. SHAPE when a dictionary does not read rows of the model's width. Caller frees with pooled_free. */
sae_status pooled_create(pooled *out, sae_model *model, const sae_tokenizer *tok, sae_site site, const labelled *l,
                         const int64_t *docs, int64_t n, const sae_dict *const *dicts, int n_dicts,
                         const pooled_options *options, const sae_progress *progress, sae_error *err);
void pooled_free(pooled *p);

/* Where document number `doc` stands; it must be one of those computed. */
int64_t pooled_find(const pooled *p, int64_t doc);
/* Rows of n documents, one after the other: out [n, d]. */
void pooled_rows(const pooled *p, const int64_t *docs, int64_t n, float *out);
/* Columns `latents` [k] of a dictionary's pooled codes: out [n, k]. */
void pooled_columns(const pooled *p, int dict, const int64_t *docs, int64_t n, const int64_t *latents, int64_t k,
                    float *out);
/* Means over n documents of each latent: mean [d_sae]; active (may be NULL) [d_sae]: in how many it is above zero. */
void pooled_means(const pooled *p, int dict, const int64_t *docs, int64_t n, double *mean, int64_t *active);

#endif
