/*
 * encoder.h - the one large product of a training step, u[n, d_in] W_enc[d_sae, d_in]^T, in tiles that never become a whole
 * n x d_sae matrix.
 *
 * float32: oneDNN's sgemm on the weights as they lie. bfloat16: both factors are rounded once per step and laid out for
 * oneDNN's matmul; sums are float32. The scalar instruction set uses plain loops for both. With `screen` it owns an 8-bit
 * screen of the same shape (screen.h), which the caller loads and asks where it can do without the product.
 */
#ifndef SAE_ENCODER_H
#define SAE_ENCODER_H

#include "kernels/screen.h"

typedef struct encoder encoder;

typedef struct encoder_shape {
    int64_t n_rows, d_in, d_sae; /* n_rows of every step */
    bool bf16, screen;
    int n_threads; /* of the screen's caller */
} encoder_shape;

/* Bytes that encoder_create takes for its own scratch (the bf16 and 8-bit copies). */
size_t encoder_bytes(const encoder_shape *shape);
/* Bytes that oneDNN's float32 products of rows x latents leave taken (an estimate): its code, and what malloc keeps of the packed
 * pieces that each product takes and gives back. */
size_t encoder_packing_bytes(int64_t rows, int64_t latents, int64_t d_in, int n_threads);
/* SAE_MISSING when bf16 is asked for on a processor without AVX-512-BF16. Caller frees with encoder_free. */
sae_status encoder_create(encoder **out, const encoder_shape *shape, sae_error *err);
void encoder_free(encoder *e);
screen *encoder_screen(const encoder *e); /* NULL without */

/* How a step cuts its rows and latents: tiles begin at multiples of these; the last of a row or column may be smaller. */
void encoder_tile_shape(const encoder_shape *shape, int64_t *tile_rows, int64_t *tile_latents);

/* Once per step, before the tiles: W_enc [d_sae, d_in] and u [n_rows, d_in] are borrowed until the next call. */
sae_status encoder_load(encoder *e, const float *W_enc, const float *u, sae_error *err);
/* The tile that begins at row0 and latent0 (multiples of the tile shape): out[i, j] = u[row0 + i] . W_enc[latent0 + j],
 * leading dimension `tile_latents`; the number of rows and latents in it are returned. Runs on all threads. */
sae_status encoder_tile(encoder *e, int64_t row0, int64_t latent0, float *out, int64_t *n_rows, int64_t *n_latents,
                        sae_error *err);

#endif
