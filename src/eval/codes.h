/*
 * codes.h - the sparse codes of some rows, held together.
 */
#ifndef SAE_EVAL_CODES_H
#define SAE_EVAL_CODES_H

#include "base/base.h"

typedef struct codes {
    int64_t n;          /* rows */
    const float *rows;  /* [n, d_in] that were encoded, borrowed */
    int64_t *row_start; /* [n + 1] */
    int32_t *latent;    /* [row_start[n]] */
    float *value;
    float *h; /* [n, rank] or NULL when the dictionary has no scaffold */
} codes;

/* Encodes rows [n, d_in], borrowed until codes_free. Caller frees with codes_free. */
sae_status codes_encode(codes *out, const sae_dict *dict, const float *rows, int64_t n, sae_error *err);
/* Reconstruction [n, d_in] (a transcoder's output [n, d_out], its skip path with it), with or without the scaffold's part. */
sae_status codes_decode(const codes *c, const sae_dict *dict, bool scaffold, float *recon, sae_error *err);
void codes_free(codes *c);

#endif
