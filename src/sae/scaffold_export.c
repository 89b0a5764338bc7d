/*
 * scaffold_export.c - a dictionary with a scaffold as one without, for systems that know no such part.
 *
 * The scaffold's codes h = c W_down are signed; a latent is not. So h becomes relu(h) and relu(-h): 2r latents with
 * threshold 0, exact in a dictionary that encodes by thresholds. Their decoder rows are given unit norm like all others,
 * the norm going to the encoder row. The encoder of P2 and P3 sees c - s, which is W_enc' = (I - W_down W_up) W_enc on c.
 */
#include "sae/saelens.h"

#include <math.h>
#include <string.h>

double float_dot(const float *a, const float *b, int64_t n)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

/* h_k less its product of W_down with what the encoder sees, x or x - b_dec: the scaffold may see the other of the two. */
static double code_bias(const sae_dict *dict, int64_t k)
{
    const sae_dict_config *c = &dict->config;
    const sae_weights *w = &dict->weights;
    double own = w->b_down ? (double)w->b_down[k] : 0;

    if (dict_scaffold_is_centred(c) == c->apply_b_dec_to_input) return own;
    double along = float_dot(w->W_down + k * c->d_in, w->b_dec, c->d_in);
    return c->apply_b_dec_to_input ? own + along : own - along;
}

/* Encoder row j and its bias, as they act on c (or on x when b_dec is not subtracted). along is [rank], work space. */
static void copy_encoder_row(const sae_dict *dict, int64_t j, double *along, float *out, float *bias)
{
    const sae_dict_config *c = &dict->config;
    const sae_weights *w = &dict->weights;
    int64_t rank = dict_sees_residual(c) ? c->rank : 0, d = c->d_in;
    double shift = 0;

    for (int64_t k = 0; k < rank; k++) {
        along[k] = float_dot(w->W_up + k * d, w->W_enc + j * d, d);
        shift -= along[k] * code_bias(dict, k);
    }
    for (int64_t i = 0; i < d; i++) {
        double entry = (double)w->W_enc[j * d + i];
        for (int64_t k = 0; k < rank; k++) entry -= along[k] * (double)w->W_down[k * d + i];
        out[i] = (float)entry;
    }
    *bias = (float)((double)w->b_enc[j] + shift);
}

static sae_status copy_encoder(const sae_dict *dict, sae_weights *to, sae_error *err)
{
    int64_t d_in = dict->config.d_in, rank = dict->config.rank;
    double *along =
        mem_alloc_array((size_t)dict->config.d_sae, (size_t)(rank + 1) * sizeof *along, "exporting a scaffold", err);

    if (!along) return SAE_NOMEM;
#pragma omp parallel for
    for (int64_t j = 0; j < dict->config.d_sae; j++)
        copy_encoder_row(dict, j, along + j * rank, to->W_enc + j * d_in, to->b_enc + j);
    mem_free(along);
    return SAE_OK;
}

/* Latents at and at + 1: relu(h_k) and relu(-h_k). */
static void write_pair(const sae_dict *dict, int64_t k, int64_t at, sae_weights *to)
{
    const sae_dict_config *c = &dict->config;
    int64_t d = c->d_in, d_out = dict_d_out(c);
    const float *down = dict->weights.W_down + k * d, *up = dict->weights.W_up + k * d_out;
    double norm = sqrt(float_dot(up, up, d_out));
    double shift = code_bias(dict, k);

    if (norm == 0) norm = 1; /* an untrained direction: it adds nothing, whatever its code */
    for (int sign = 1; sign >= -1; sign -= 2, at++) {
        for (int64_t i = 0; i < d; i++) to->W_enc[at * d + i] = (float)(sign * norm * (double)down[i]);
        for (int64_t i = 0; i < d_out; i++) to->W_dec[at * d_out + i] = (float)(sign * (double)up[i] / norm);
        to->b_enc[at] = (float)(sign * norm * shift);
        if (to->b_mag) to->b_mag[at] = to->b_enc[at]; /* r_mag 0: gate and magnitude are one */
    }
}

sae_status scaffold_export(const sae_dict *dict, sae_scaffold_export mode, sae_dict **out, sae_error *err)
{
    const sae_dict_config *c = &dict->config;
    sae_dict_config config = *c;
    sae_status status = SAE_OK;
    sae_dict *to = NULL;

    if (mode == SAE_SCAFFOLD_LATENTS && c->arch == SAE_TOPK)
        SAE_RAISE(err, SAE_UNSUPPORTED,
                  "a per-token top-k dictionary cannot carry its scaffold as latents: they would compete for the k "
                  "places; save it with its scaffold native or dropped");
    config.rank = 0;
    config.variant = SAE_P1;
    config.scaffold_centre = SAE_CENTRE_B_DEC;
    if (mode == SAE_SCAFFOLD_LATENTS) {
        config.d_sae += 2 * c->rank;
        config.n_groups = 0; /* the scaffold is part of every nested prefix: groups cannot say that */
    }
    SAE_TRY(sae_dict_create(&to, &config, err));
    SAE_TRY(copy_encoder(dict, &to->weights, err));
    memcpy(to->weights.W_dec, dict->weights.W_dec, (size_t)(c->d_sae * dict_d_out(c)) * sizeof(float));
    memcpy(to->weights.b_dec, dict->weights.b_dec, (size_t)dict_d_out(c) * sizeof(float));
    if (c->skip) memcpy(to->weights.W_skip, dict->weights.W_skip, (size_t)(c->d_out * c->d_in) * sizeof(float));
    memcpy(to->weights.threshold, dict->weights.threshold, (size_t)c->d_sae * sizeof(float));
    for (int64_t j = 0; c->arch == SAE_GATED && j < c->d_sae;
         j++) { /* what P2 moved in the gate's bias moves the magnitude's */
        double shift = (double)to->weights.b_enc[j] - (double)dict->weights.b_enc[j];
        to->weights.r_mag[j] = dict->weights.r_mag[j];
        to->weights.b_mag[j] = (float)((double)dict->weights.b_mag[j] + exp((double)dict->weights.r_mag[j]) * shift);
    }
    for (int64_t k = 0; k < c->rank && mode == SAE_SCAFFOLD_LATENTS; k++)
        write_pair(dict, k, c->d_sae + 2 * k, &to->weights);
    *out = to;
    to = NULL;
done:
    sae_dict_free(to);
    return status;
}
