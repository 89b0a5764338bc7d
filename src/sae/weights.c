/*
 * weights.c - initial weights of a trainer from a safetensors file, in SAELens's names (W_enc [d_in, d_sae], W_dec
 * [d_sae, d_out], b_enc, b_dec, threshold, b_gate, b_mag, r_mag, W_down [d_in, r], W_up [r, d_out], W_skip [d_out, d_in]) or
 * dictionary_learning's (encoder.weight [d_sae, d_in], encoder.bias, decoder.weight [d_in, d_sae], b_dec or bias or decoder_bias, gate_bias,
 * mag_bias), each with a prefix.
 */
#include "sae/train.h"

#include "io/io.h"
#include "kernels/dequant.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* How a tensor's two names store our [rows, columns]. */
typedef struct name_row {
    int param;
    const char *name;
    bool transposed;
} name_row;

static const name_row names[] = {
    {P_W_ENC, "W_enc", true},         {P_W_ENC, "encoder.weight", false}, {P_B_ENC, "b_enc", false},
    {P_B_ENC, "encoder.bias", false}, {P_B_ENC, "b_gate", false},         {P_B_ENC, "gate_bias", false},
    {P_W_DEC, "W_dec", false},        {P_W_DEC, "decoder.weight", true},  {P_B_DEC, "b_dec", false},
    {P_B_DEC, "bias", false},         {P_B_DEC, "decoder_bias", false},   {P_W_DOWN, "W_down", true},
    {P_W_UP, "W_up", false},          {P_THRESHOLD, "threshold", false},  {P_B_MAG, "b_mag", false},
    {P_B_MAG, "mag_bias", false},     {P_R_MAG, "r_mag", false},          {P_W_SKIP, "W_skip", false},
    {P_B_DOWN, "b_down", false},
};

static bool shape_fits(const tensor *t, const param *p, bool transposed)
{
    if (p->rows == 1 && t->rank == 1) return t->shape[0] == p->columns;
    return t->rank == 2 && t->shape[0] == (transposed ? p->columns : p->rows) &&
           t->shape[1] == (transposed ? p->rows : p->columns);
}

static sae_status copy_tensor(const param *p, const tensor *t, bool transposed, sae_error *err)
{
    int64_t n = p->rows * p->columns;
    float *values;

    if (!transposed) {
        dequant_f32(t->type, t->data, n, p->w);
        return SAE_OK;
    }
    values = mem_alloc((size_t)n * sizeof *values, "initial weights", err);
    if (!values) return SAE_NOMEM;
    dequant_f32(t->type, t->data, n, values);
    for (int64_t i = 0; i < p->rows; i++)
        for (int64_t j = 0; j < p->columns; j++) p->w[i * p->columns + j] = values[j * p->rows + i];
    mem_free(values);
    return SAE_OK;
}

/* A latent with an entry that is not finite may never be chosen: the loss stays finite, and the run is lost at its end. */
static sae_status check_finite(const param *p, const tensor *t, bool transposed, const char *path, const char *name,
                               sae_error *err)
{
    for (int64_t i = 0; i < p->rows * p->columns; i++) {
        int64_t row = i / p->columns, column = i % p->columns;
        char at[64];
        if (isfinite(p->w[i])) continue;
        if (t->rank == 1)
            snprintf(at, sizeof at, "[%lld]", (long long)i);
        else
            snprintf(at, sizeof at, "[%lld, %lld]", (long long)(transposed ? column : row),
                     (long long)(transposed ? row : column));
        return SAE_FAIL(err, SAE_NUMERIC, "%s: tensor %s is %g at %s as float32: give initial weights that are finite",
                        path, name, (double)p->w[i], at);
    }
    return SAE_OK;
}

bool was_read(const learner *l, int p) { return l->weights_read >> p & 1; }

sae_status sae_trainer_read_weights(sae_trainer *t, int i, const char *path, const char *prefix, sae_error *err)
{
    sae_status status = SAE_OK;
    safetensors *file = NULL;
    bool seen[N_PARAMS] = {false};
    char name[256], shape[64];

    if (i < 0 || i >= t->n_dicts) SAE_RAISE(err, SAE_RANGE, "there is no dictionary %d in this trainer", i);
    if (t->step > 0) SAE_RAISE(err, SAE_STATE, "initial weights can be set only before the first step");
    SAE_TRY(safetensors_open(&file, path, err));
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        const param *p = &t->learners[i].p[names[n].param];
        snprintf(name, sizeof name, "%s%s", prefix, names[n].name);
        const tensor *found = safetensors_find(file, name);
        if (!found || p->rows == 0) continue;
        if (!shape_fits(found, p, names[n].transposed))
            SAE_RAISE(err, SAE_SHAPE, "%s: tensor %s is %s; this dictionary needs [%lld, %lld]", path, name,
                      tensor_shape_text(found, shape, sizeof shape),
                      (long long)(names[n].transposed ? p->columns : p->rows),
                      (long long)(names[n].transposed ? p->rows : p->columns));
        SAE_TRY(copy_tensor(p, found, names[n].transposed, err));
        SAE_TRY(check_finite(p, found, names[n].transposed, path, name, err));
        seen[names[n].param] = true;
        t->learners[i].weights_read |= 1u << names[n].param;
    }
    if (!seen[P_W_ENC] || !seen[P_W_DEC])
        SAE_RAISE(err, SAE_FORMAT,
                  "%s: no encoder and decoder weights named %sW_enc and %sW_dec, or %sencoder.weight and "
                  "%sdecoder.weight",
                  path, prefix, prefix, prefix, prefix);
done:
    safetensors_close(file);
    return status;
}
