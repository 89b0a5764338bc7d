/*
 * antipodal.c - cosines of some latents with all, a tile of latents at a time.
 */
#include "eval/antipodal.h"
#include "kernels/matmul.h"

#include <math.h>
#include <string.h>

enum { TILE = 2048 };

typedef struct cosines {
    int64_t n, d;
    float *rows;    /* [n, d] of the latents asked for, of unit length */
    float *tile;    /* [TILE, d] */
    float *product; /* [n, TILE] */
} cosines;

static void cosines_free(cosines *c)
{
    mem_free(c->rows);
    mem_free(c->tile);
    mem_free(c->product);
}

/* A row of zeros stays one: its cosines are 0, never negative. */
static void unit_row(const float *from, int64_t d, float *to)
{
    double square = 0;

    for (int64_t j = 0; j < d; j++) square += (double)from[j] * (double)from[j];
    for (int64_t j = 0; j < d; j++) to[j] = square > 0 ? (float)((double)from[j] / sqrt(square)) : 0;
}

static sae_status cosines_create(cosines *c, const float *weights, const int64_t *latents, int64_t n, int64_t d,
                                 sae_error *err)
{
    *c = (cosines){.n = n, .d = d};
    c->rows = mem_alloc_array((size_t)n, (size_t)d * sizeof(float), "latents of unit length", err);
    c->tile = mem_alloc_array(TILE, (size_t)d * sizeof(float), "latents of unit length", err);
    c->product = mem_alloc_array((size_t)n, TILE * sizeof(float), "cosines of latents", err);
    if (!c->rows || !c->tile || !c->product) return SAE_NOMEM;
    for (int64_t i = 0; i < n; i++) unit_row(weights + latents[i] * d, d, c->rows + i * d);
    return SAE_OK;
}

static void cosines_with(cosines *c, const float *weights, int64_t width)
{
    for (int64_t j = 0; j < width; j++) unit_row(weights + j * c->d, c->d, c->tile + j * c->d);
    matmul_nt(c->n, width, c->d, c->rows, c->d, c->tile, c->d, 0, c->product, TILE);
}

sae_status antipodal_scores(const sae_dict *dict, const int64_t *latents, int64_t n, antipode *out, sae_error *err)
{
    sae_status status = SAE_OK;
    /* sae_dict_weights gives writable pointers; nothing is written through them here */
    const sae_weights w = sae_dict_weights((sae_dict *)(uintptr_t)dict);
    const sae_dict_config *config = sae_dict_get_config(dict);
    int64_t d_out = config->d_out > 0 ? config->d_out : config->d_in;
    cosines enc = {0}, dec = {0};

    if (n == 0) return SAE_OK;
    for (int64_t i = 0; i < n; i++) out[i] = (antipode){.partner = -1};
    SAE_TRY(cosines_create(&enc, w.W_enc, latents, n, config->d_in, err));
    SAE_TRY(cosines_create(&dec, w.W_dec, latents, n, d_out, err));
    for (int64_t first = 0; first < config->d_sae; first += TILE) {
        int64_t width = config->d_sae - first < TILE ? config->d_sae - first : TILE;
        cosines_with(&enc, w.W_enc + first * config->d_in, width);
        cosines_with(&dec, w.W_dec + first * d_out, width);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < width; j++) {
                double e = (double)enc.product[i * TILE + j], o = (double)dec.product[i * TILE + j];
                if (e < 0 && o < 0 && e * o > out[i].score && first + j != latents[i])
                    out[i] = (antipode){.score = e * o, .partner = first + j};
            }
    }
done:
    cosines_free(&enc);
    cosines_free(&dec);
    return status;
}
