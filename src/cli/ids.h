/* ids.h - token ids that the user gives in a file. */
#ifndef SAE_CLI_IDS_H
#define SAE_CLI_IDS_H

#include "eval/sample.h"

/* Ids [n_seq, n_ctx] from an array of uint16, uint32, int32 or int64 in X.npy or X.safetensors[:name]; rank 1 is one sequence. Caller
 * frees with token_ids_free. */
typedef struct token_ids {
    int32_t *ids;
    int64_t n_seq, n_ctx;
} token_ids;
sae_status token_ids_read(token_ids *out, const char *path, sae_error *err);
void token_ids_free(token_ids *t);
/* A mask of such ids, an array of bool or uint8 of their shape: 0 where a row is left out, else 1. `mask` [n_seq * n_ctx], the
 * caller's. */
sae_status token_mask_read(uint8_t *mask, const token_ids *ids, const char *path, sae_error *err);

/* Sequences of n_ctx tokens that go through a model together: about 2,048 rows, at least one sequence. */
int64_t sequences_at_once(int64_t n_ctx);

/* Which ids are special: those that a tokenizer calls so (NULL: none), and those of a list [n]. */
typedef struct special_ids {
    const sae_tokenizer *tok;
    const int32_t *ids;
    int n;
} special_ids;
/* A sample of the ids of a file as they stand; masked are position 0 and special ids. Caller frees with sample_free. */
sae_status ids_sample(sample *out, sae_model *model, const char *path, const special_ids *special, sae_site site,
                      const sample_options *want, sae_error *err);

#endif
