/*
 * edits.c - the replacements that experiments put in place of rows.
 */
#include "eval/codes.h"
#include "eval/splice.h"

#include <math.h>
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

/* Gives each row of `out` the norm of the row it came from. */
static void rescale(const float *rows, int64_t n, int64_t d, float *out)
{
    const double inside = 1e-6; /* of |x|: what is left is the rounding of a row that lies in the subspace */

#pragma omp parallel for
    for (int64_t i = 0; i < n; i++) {
        double before = 0, after = 0;
        for (int64_t j = 0; j < d; j++) {
            before += (double)rows[i * d + j] * (double)rows[i * d + j];
            after += (double)out[i * d + j] * (double)out[i * d + j];
        }
        double scale = after > inside * inside * before ? sqrt(before / after) : 0;
        for (int64_t j = 0; j < d; j++) out[i * d + j] = (float)(scale * (double)out[i * d + j]);
    }
}

sae_status edit_remove_keep_norm(const void *user, const float *rows, int64_t n, int64_t d, float *out, sae_error *err)
{
    const edit_space *how = user;
    sae_status status = subspace_remove(how->space, NULL, rows, n, out, err);

    if (status == SAE_OK) rescale(rows, n, d, out);
    return status;
}

/* Sattolo's shuffle: a permutation that is one cycle, so that no row is given its own part. */
static void one_cycle(int64_t *from, int64_t n, uint64_t seed)
{
    rng r = rng_seed(seed, 5);

    for (int64_t i = 0; i < n; i++) from[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)rng_below(&r, (uint64_t)i), kept = from[i];
        from[i] = from[j];
        from[j] = kept;
    }
}

sae_status edit_resample(const void *user, const float *rows, int64_t n, int64_t d, float *out, sae_error *err)
{
    const edit_resampling *how = user;
    sae_status status = SAE_OK;
    float *rest = mem_alloc_array((size_t)n, (size_t)d * sizeof *rest, "rows without a subspace", err);
    int64_t *from = mem_alloc_array((size_t)n, sizeof *from, "a permutation of rows", err);

    if (!rest || !from) {
        status = SAE_NOMEM;
        goto done;
    }
    one_cycle(from, n, how->seed);
    SAE_TRY(subspace_remove(how->space, NULL, rows, n, rest, err));
    for (int64_t i = 0; i < n; i++) {
        const float *x = rows + from[i] * d, *x_rest = rest + from[i] * d;
        for (int64_t j = 0; j < d; j++)
            out[i * d + j] = (float)((double)rest[i * d + j] + ((double)x[j] - (double)x_rest[j]));
    }
done:
    mem_free(from);
    mem_free(rest);
    return status;
}

sae_status edit_map(const void *user, const float *rows, int64_t n, int64_t d, float *out, sae_error *err)
{
    /* sae_dict_weights gives writable pointers; nothing is written through them here */
    const sae_weights w = sae_dict_weights((sae_dict *)(uintptr_t)user);
    const sae_dict_config *c = sae_dict_get_config(user);
    bool centred = c->scaffold_centre == SAE_CENTRE_B_DEC;
    int64_t rank = c->rank;
    double *code_of_row =
        mem_alloc_array((size_t)n, (size_t)(rank ? rank : 1) * sizeof(double), "the scaffold's codes", err);

    if (!code_of_row) return SAE_NOMEM;
#pragma omp parallel for
    for (int64_t i = 0; i < n; i++) {
        const float *x = rows + i * d;
        double *code = code_of_row + i * rank;
        for (int64_t k = 0; k < rank; k++) {
            for (int64_t j = 0; j < d; j++)
                code[k] += (double)w.W_down[k * d + j] * ((double)x[j] - (centred ? (double)w.b_dec[j] : 0));
            if (w.b_down) code[k] += (double)w.b_down[k];
        }
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
