/*
 * edits.c - the replacements that experiments put in place of rows.
 */
#include "eval/codes.h"
#include "eval/splice.h"

#include <string.h>

sae_status edit_zero(const void *user, const float *rows, int64_t n, int64_t d, float *out, sae_error *err)
{
    (void)user, (void)rows, (void)err;
    memset(out, 0, (size_t)(n * d) * sizeof *out);
    return SAE_OK;
}

sae_status edit_mean(const void *user, const float *rows, int64_t n, int64_t d, float *out, sae_error *err)
{
    const double *mean = user;

    (void)rows, (void)err;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j++) out[i * d + j] = (float)mean[j];
    return SAE_OK;
}

sae_status edit_remove(const void *user, const float *rows, int64_t n, int64_t d, float *out, sae_error *err)
{
    const edit_space *how = user;

    (void)d;
    return subspace_remove(how->space, how->mean, rows, n, out, err);
}

sae_status edit_map(const void *user, const float *rows, int64_t n, int64_t d, float *out, sae_error *err)
{
    /* sae_dict_weights gives writable pointers; nothing is written through them here */
    const sae_weights w = sae_dict_weights((sae_dict *)(uintptr_t)user);
    int64_t rank = sae_dict_get_config(user)->rank;
    double *code_of_row =
        mem_alloc_array((size_t)n, (size_t)(rank ? rank : 1) * sizeof(double), "the scaffold's codes", err);

    if (!code_of_row) return SAE_NOMEM;
#pragma omp parallel for
    for (int64_t i = 0; i < n; i++) {
        const float *x = rows + i * d;
        double *code = code_of_row + i * rank;
        for (int64_t k = 0; k < rank; k++)
            for (int64_t j = 0; j < d; j++)
                code[k] += (double)w.W_down[k * d + j] * ((double)x[j] - (double)w.b_dec[j]);
        for (int64_t j = 0; j < d; j++) {
            double emitted = 0;
            for (int64_t k = 0; k < rank; k++) emitted += code[k] * (double)w.W_up[k * d + j];
            out[i * d + j] = (float)((double)x[j] - emitted);
        }
    }
    mem_free(code_of_row);
    return SAE_OK;
}

sae_status edit_reconstruct(const void *user, const float *rows, int64_t n, int64_t d, float *out, sae_error *err)
{
    const edit_recon *how = user;
    sae_status status = SAE_OK;
    codes c = {0};

    (void)d;
    SAE_TRY(codes_encode(&c, how->dict, rows, n, err));
    SAE_TRY(codes_decode(&c, how->dict, how->scaffold, out, err));
done:
    codes_free(&c);
    return status;
}
