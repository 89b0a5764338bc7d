/*
 * ablate.c - latents out of rows. Sums are doubles: with no latent in A a row is what it was, bit for bit.
 */
#include "eval/ablate.h"

#include <string.h>

void ablation_cache_free(ablation_cache *c)
{
    codes_free(&c->codes);
    mem_free(c->rows);
    mem_free(c->recon);
    *c = (ablation_cache){.dict = c->dict};
}

static sae_status make_room(ablation_cache *c, int64_t n, int64_t d, sae_error *err)
{
    size_t row = (size_t)d * sizeof(float);

    if (n <= c->room) return SAE_OK;
    ablation_cache_free(c);
    c->rows = mem_alloc_array((size_t)n, row, "rows that were encoded", err);
    c->recon = mem_alloc_array((size_t)n, row, "their reconstructions", err);
    if (!c->rows || !c->recon) return SAE_NOMEM;
    c->room = n;
    return SAE_OK;
}

static sae_status encode_once(ablation_cache *c, const float *rows, int64_t n, int64_t d, sae_error *err)
{
    sae_status status = SAE_OK;
    size_t bytes = (size_t)(n * d) * sizeof *rows;

    if (c->n == n && memcmp(c->rows, rows, bytes) == 0) return SAE_OK;
    c->n = 0;
    codes_free(&c->codes);
    SAE_TRY(make_room(c, n, d, err));
    memcpy(c->rows, rows, bytes);
    SAE_TRY(codes_encode(&c->codes, c->dict, c->rows, n, err));
    SAE_TRY(codes_decode(&c->codes, c->dict, true, c->recon, err));
    c->n = n;
done:
    return status;
}

/* What goes out of row i, [d]: the part of the error inside the space, and the latents. */
static void taken_part(const ablation *a, const float *W_dec, int64_t i, int64_t d, double *part)
{
    const codes *c = &a->cache->codes;
    const subspace *space = a->error_space;

    memset(part, 0, (size_t)d * sizeof *part);
    for (int64_t k = 0; space && k < space->rank; k++) {
        const double *u = space->basis + k * d;
        double code = 0;
        for (int64_t j = 0; j < d; j++)
            code += u[j] * ((double)a->cache->rows[i * d + j] - (double)a->cache->recon[i * d + j]);
        for (int64_t j = 0; j < d; j++) part[j] += code * u[j];
    }
    for (int64_t p = c->row_start[i]; p < c->row_start[i + 1]; p++) {
        const float *direction = W_dec + c->latent[p] * d;
        if (!a->taken[c->latent[p]]) continue;
        for (int64_t j = 0; j < d; j++) part[j] += (double)c->value[p] * (double)direction[j];
    }
}

sae_status edit_ablate(const void *user, const float *rows, int64_t n, int64_t d, float *out, sae_error *err)
{
    const ablation *a = user;
    /* sae_dict_weights gives writable pointers; nothing is written through them here */
    const float *W_dec = sae_dict_weights((sae_dict *)(uintptr_t)a->cache->dict).W_dec;
    double *parts = NULL;
    sae_status status = encode_once(a->cache, rows, n, d, err);

    if (status != SAE_OK) return status;
    parts = mem_alloc_array((size_t)n, (size_t)d * sizeof *parts, "what is taken out of rows", err);
    if (!parts) return SAE_NOMEM;
#pragma omp parallel for
    for (int64_t i = 0; i < n; i++) {
        double *part = parts + i * d;
        taken_part(a, W_dec, i, d, part);
        for (int64_t j = 0; j < d; j++) out[i * d + j] = (float)((double)rows[i * d + j] - part[j]);
    }
    mem_free(parts);
    return SAE_OK;
}
