/*
 * sample.h - the held-out text that every measurement of a run looks at: its tokens, and the rows of one site.
 *
 * A row is *counted* when its token is unmasked (not position 0, no special token, unless these are wanted) and its norm is at most
 * max_norm times the median norm of the unmasked rows. Rows that are not counted are neither scored nor changed by anything.
 */
#ifndef SAE_EVAL_SAMPLE_H
#define SAE_EVAL_SAMPLE_H

#include "base/base.h"
#include "eval/loss_log.h"

enum { SAMPLE_CACHE_MIB = 512 };

typedef struct sample_options {
    int64_t tokens;     /* unmasked tokens wanted; whole sequences are taken */
    int64_t batch_seqs; /* sequences per forward pass; 0: 8 */
    double max_norm;    /* 0: 10; negative: count every unmasked row */
    bool with_bos;      /* no token is masked: position 0 and special tokens too */
    double median_norm; /* that max_norm multiplies; 0: of these rows */
    size_t cache_bytes; /* rows are kept when they fit, else computed again at each use; 0: SAMPLE_CACHE_MIB */
} sample_options;

typedef struct sample {
    sae_model *model; /* borrowed */
    sae_site site;
    int64_t ctx, d, n_seq, batch_seqs;
    int32_t *ids;       /* [n_seq, ctx] */
    uint8_t *mask;      /* [n_seq, ctx] as the text gave it; with_bos: 1 */
    uint8_t *counted;   /* [n_seq, ctx] */
    float *cache;       /* [n_seq * ctx, d] or NULL */
    float *batch;       /* [batch_seqs * ctx, d], when there is no cache */
    double median_norm; /* of the unmasked rows, or as the options gave it */
    int64_t n_counted, n_masked, n_over_norm;
    int64_t n_documents; /* of which the text's sequences hold a part; 0: not known, of given tokens */
    loss_log *known;     /* borrowed: losses on this sample that need not be measured again; NULL: none are kept */
} sample;

/* Reads sequences from the text until enough tokens are unmasked or the text ends,
 * and runs the model on them up to `site`. Fails with RANGE when the text holds no two sequences. */
sae_status sample_create(sample *out, sae_model *model, sae_text *text, sae_site site, const sample_options *options,
                         const sae_progress *progress, sae_error *err);
/* The same on given tokens and mask [n_seq, ctx], which are copied; options->tokens is not read. */
sae_status sample_of_ids(sample *out, sae_model *model, const int32_t *ids, const uint8_t *mask, int64_t n_seq,
                         int64_t ctx, sae_site site, const sample_options *options, sae_error *err);
void sample_free(sample *s);

/* Rows [n * ctx, d] of sequences first to first + n - 1, n <= batch_seqs: borrowed until the next call. */
sae_status sample_rows(sample *s, int64_t first, int64_t n, const float **rows, sae_error *err);
int64_t sample_batch(const sample *s, int64_t first, int64_t end); /* sequences in the batch that begins at first */

/* Is the prediction made at position t of sequence `seq` scored? The row must be counted, the next token unmasked. */
bool sample_scored(const sample *s, int64_t seq, int64_t t);

/* Copies the counted rows of a batch together: kept [<= n * ctx, d], index (may be NULL) takes each one's place in the
 * batch. Returns their number. */
int64_t sample_gather(const sample *s, int64_t first, int64_t n, const float *rows, float *kept, int64_t *index);

#endif
