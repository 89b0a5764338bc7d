/*
 * saelens_verify.c - an export is compared with its original on rows before it stands.
 *
 * The rows are made from the dictionary itself, so that latents fire whatever the scale of its data: b_dec, plus what
 * lifts a few latents to about twice their thresholds, plus noise along the scaffold.
 */
#include "sae/saelens.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PROBE_ROWS = 64, PROBE_LATENTS = 8 };

static double norm_of(const float *x, int64_t n)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

static double longest_row(const float *rows, int64_t n, int64_t d)
{
    double longest = 0;

    for (int64_t i = 0; i < n; i++) longest = fmax(longest, norm_of(rows + i * d, d));
    return longest;
}

/* x += amount * direction / |direction|^2: raises the product of x and the direction by amount. */
static void lift(float *x, const float *direction, int64_t d, double amount)
{
    double norm = norm_of(direction, d);

    if (norm == 0) return;
    for (int64_t i = 0; i < d; i++) x[i] += (float)(amount / norm / norm * (double)direction[i]);
}

static void make_row(const sae_dict *dict, rng *r, float *x)
{
    const sae_dict_config *c = &dict->config;
    const sae_weights *w = &dict->weights;

    if (c->apply_b_dec_to_input) memcpy(x, w->b_dec, (size_t)c->d_in * sizeof *x);
    for (int l = 0; l < PROBE_LATENTS; l++) {
        int64_t j = (int64_t)rng_below(r, (uint64_t)c->d_sae);
        double limit = isfinite(w->threshold[j]) ? fmax((double)w->threshold[j], 0) : 0;
        lift(x, w->W_enc + j * c->d_in, c->d_in, (1 + rng_uniform(r)) * (limit + 0.1) - (double)w->b_enc[j]);
    }
    for (int64_t k = 0; k < c->rank; k++) lift(x, w->W_down + k * c->d_in, c->d_in, rng_normal(r));
}

/* Codes and reconstruction of the probe rows by one dictionary. */
typedef struct probe {
    int64_t row_start[PROBE_ROWS + 1];
    int32_t *latent;
    float *value, *h, *recon;
} probe;

static sae_status probe_run(const sae_dict *dict, const float *rows, bool with_scaffold, probe *out, sae_error *err)
{
    const sae_dict_config *c = &dict->config;
    sae_status status = SAE_OK;

    out->h = mem_alloc_array(PROBE_ROWS, (size_t)(c->rank + 1) * sizeof(float), "verifying an export", err);
    out->recon = mem_alloc_array(PROBE_ROWS, (size_t)dict_d_out(c) * sizeof(float), "verifying an export", err);
    if (!out->h || !out->recon) return SAE_NOMEM;
    SAE_TRY(sae_dict_encode(dict, rows, PROBE_ROWS, out->row_start, &out->latent, &out->value, out->h, err));
    SAE_TRY(sae_dict_decode(dict, PROBE_ROWS, out->row_start, out->latent, out->value, with_scaffold ? out->h : NULL,
                            rows, out->recon, err));
done:
    return status;
}

static void probe_free(probe *p)
{
    free(p->latent);
    free(p->value);
    mem_free(p->h);
    mem_free(p->recon);
}

static bool same_bits(const sae_dict *dict, const probe *a, const probe *b)
{
    const sae_dict_config *c = &dict->config;
    size_t n = (size_t)a->row_start[PROBE_ROWS];

    return memcmp(a->row_start, b->row_start, sizeof a->row_start) == 0 &&
           memcmp(a->latent, b->latent, n * sizeof *a->latent) == 0 &&
           memcmp(a->value, b->value, n * sizeof *a->value) == 0 &&
           memcmp(a->h, b->h, (size_t)(PROBE_ROWS * c->rank) * sizeof *a->h) == 0 &&
           memcmp(a->recon, b->recon, (size_t)(PROBE_ROWS * dict_d_out(c)) * sizeof *a->recon) == 0;
}

/* The value at which latent j of row i begins to be active. */
static double boundary(const sae_dict *dict, const probe *p, int64_t i, int64_t j)
{
    double limit = 0;

    if (dict->config.arch == SAE_STANDARD || dict->config.arch == SAE_GATED) return 0;
    if (dict->config.arch != SAE_TOPK) return fmax((double)dict->weights.threshold[j], 0);
    if (p->row_start[i + 1] - p->row_start[i] < dict->config.k) return 0;
    limit = INFINITY;
    for (int64_t e = p->row_start[i]; e < p->row_start[i + 1]; e++) limit = fmin(limit, (double)p->value[e]);
    return limit;
}

/* Codes of one row below d_sae: the largest difference of values. A latent that only one of them has counts by its
 * distance to the boundary, where rounding may decide, and clears *same_set. */
static double code_error(const sae_dict *dict, const probe *a, const probe *b, int64_t i, bool *same_set)
{
    int64_t ea = a->row_start[i], eb = b->row_start[i], d_sae = dict->config.d_sae;
    double worst = 0;

    *same_set = true;
    for (;;) {
        int64_t ja = ea < a->row_start[i + 1] ? a->latent[ea] : d_sae;
        int64_t jb = eb < b->row_start[i + 1] ? b->latent[eb] : d_sae;
        int64_t j = ja < jb ? ja : jb;
        if (j >= d_sae) return worst;
        if (ja == jb) {
            worst = fmax(worst, fabs((double)a->value[ea] - (double)b->value[eb]));
        } else {
            double value = ja < jb ? (double)a->value[ea] : (double)b->value[eb];
            /* Rounding may open a gate whatever its magnitude, but hardly two of a row. */
            bool at_gate = dict->config.arch == SAE_GATED && *same_set;
            if (!at_gate) worst = fmax(worst, fabs(value - boundary(dict, ja < jb ? b : a, i, j)));
            *same_set = false;
        }
        ea += ja == j;
        eb += jb == j;
    }
}

/* What rounding can do to a code of a row: a float32 dot product is exact to some 1e-6 of the product of the norms. */
static double code_bound(const sae_dict *dict, const float *row, double encoder_norm)
{
    int64_t d = dict->config.d_in;
    double centre = dict->config.d_out > 0 ? 0 : norm_of(dict->weights.b_dec, d), scale = 1;
    double bias = longest_row(dict->weights.b_enc, dict->config.d_sae, 1);

    for (int64_t j = 0; dict->config.arch == SAE_GATED && j < dict->config.d_sae; j++) {
        bias = fmax(bias, fabs((double)dict->weights.b_mag[j]));
        scale = fmax(scale, exp((double)dict->weights.r_mag[j]));
    }
    encoder_norm *= scale;
    return 3e-6 * ((norm_of(row, d) + centre) * encoder_norm + bias);
}

/* The same for an entry of its reconstruction: the codes' errors are independent, and the sum rounds. */
static double recon_bound(const sae_dict *dict, const probe *a, const float *row, int64_t i, double of_code,
                          double decoder_norm)
{
    int64_t d_in = dict->config.d_in, d = dict_d_out(&dict->config), active = a->row_start[i + 1] - a->row_start[i];
    double size = norm_of(a->recon + i * d, d) + norm_of(dict->weights.b_dec, d);

    if (dict->config.skip) size += norm_of(row, d_in) * norm_of(dict->weights.W_skip, d * d_in);
    for (int64_t e = a->row_start[i]; e < a->row_start[i + 1]; e++) size += fabs((double)a->value[e]) * decoder_norm;
    return of_code * decoder_norm * sqrt((double)active + 1) + 1e-6 * size;
}

static sae_status compare(const sae_dict *dict, const sae_dict *read, const probe *a, const probe *b, const float *rows,
                          sae_error *err)
{
    const sae_dict_config *c = &dict->config;
    int64_t d = c->d_in, d_out = dict_d_out(c);
    double encoder_norm =
        fmax(longest_row(dict->weights.W_enc, c->d_sae, d), longest_row(read->weights.W_enc, read->config.d_sae, d));
    double decoder_norm = longest_row(dict->weights.W_dec, c->d_sae, d_out);

    for (int64_t i = 0; i < PROBE_ROWS; i++) {
        bool same_set;
        double codes = code_error(dict, a, b, i, &same_set), recon = 0;
        double codes_allowed = code_bound(dict, rows + i * d, encoder_norm);
        double recon_allowed = recon_bound(dict, a, rows + i * d, i, codes_allowed, decoder_norm);
        if (!(codes <= codes_allowed))
            return SAE_FAIL(err, SAE_FORMAT, "the export's codes differ by %g on probe row %lld; rounding gives %g",
                            codes, (long long)i, codes_allowed);
        for (int64_t j = 0; j < d_out; j++)
            recon = fmax(recon, fabs((double)a->recon[i * d_out + j] - (double)b->recon[i * d_out + j]));
        if (same_set && !(recon <= recon_allowed))
            return SAE_FAIL(err, SAE_FORMAT,
                            "the export's reconstruction differs by %g on probe row %lld; rounding gives %g", recon,
                            (long long)i, recon_allowed);
    }
    return SAE_OK;
}

sae_status saelens_verify(const sae_dict *dict, const sae_dict *read, sae_scaffold_export mode, sae_error *err)
{
    int64_t d = dict->config.d_in;
    sae_status status = SAE_OK;
    probe a = {0}, b = {0};
    rng r = rng_seed(1, 0);
    float *rows = mem_alloc_array(PROBE_ROWS, (size_t)d * sizeof *rows, "verifying an export", err);

    if (!rows) return SAE_NOMEM;
    for (int64_t i = 0; i < PROBE_ROWS; i++) make_row(dict, &r, rows + i * d);
    SAE_TRY(probe_run(dict, rows, mode != SAE_SCAFFOLD_DROP, &a, err));
    SAE_TRY(probe_run(read, rows, true, &b, err));
    if (mode == SAE_SCAFFOLD_NATIVE || dict->config.rank == 0) {
        if (!same_bits(dict, &a, &b))
            SAE_RAISE(err, SAE_FORMAT, "what was read back encodes or decodes a probe row differently");
        goto done;
    }
    SAE_TRY(compare(dict, read, &a, &b, rows, err));
done:
    probe_free(&a);
    probe_free(&b);
    mem_free(rows);
    return status;
}
