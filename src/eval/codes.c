/*
 * codes.c - encode and decode with the memory in one place.
 */
#include "eval/codes.h"

#include <stdlib.h>

void codes_free(codes *c)
{
    mem_free(c->row_start);
    mem_free(c->h);
    free(c->latent); /* the public interface gives malloc'ed blocks */
    free(c->value);
    *c = (codes){0};
}

sae_status codes_encode(codes *out, const sae_dict *dict, const float *rows, int64_t n, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t rank = sae_dict_get_config(dict)->rank;
    codes c = {.n = n, .rows = rows};

    c.row_start = mem_alloc_array((size_t)n + 1, sizeof *c.row_start, "codes of rows", err);
    if (rank) c.h = mem_alloc_array((size_t)n, (size_t)rank * sizeof(float), "codes of the scaffold", err);
    if (!c.row_start || (rank && !c.h)) {
        status = SAE_NOMEM;
        goto done;
    }
    SAE_TRY(sae_dict_encode(dict, rows, n, c.row_start, &c.latent, &c.value, c.h, err));
    *out = c;
    c = (codes){0};
done:
    codes_free(&c);
    return status;
}

sae_status codes_decode(const codes *c, const sae_dict *dict, bool scaffold, float *recon, sae_error *err)
{
    return sae_dict_decode(dict, c->n, c->row_start, c->latent, c->value, scaffold ? c->h : NULL, c->rows, recon, err);
}
