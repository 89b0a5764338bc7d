/*
 * tpp_effects.c - what each latent, and each code of a scaffold, does to a probe, and margins and pooled rows without some of
 * them.
 */
#include "eval/tpp.h"

#include <string.h>

/* W_dec's row, or W_up's behind them, over its norm: pooled codes are in those units. */
static const float *decoder_row(const sae_dict *dict, int64_t d_sae, int64_t at, int64_t d)
{
    const sae_weights w = sae_dict_weights((sae_dict *)(uintptr_t)dict); /* nothing is written through it */

    return at < d_sae ? w.W_dec + at * d : w.W_up + (at - d_sae) * d;
}

void tpp_along(const pooled *p, int dict, const sae_dict *weights, const double *w, double *along)
{
    const pooled_codes *c = &p->codes[dict];

    for (int64_t at = 0; at < c->d_sae + c->rank; at++) {
        const float *row = decoder_row(weights, c->d_sae, at, p->d);
        double product = 0;
        for (int64_t j = 0; j < p->d; j++) product += w[j] * (double)row[j];
        along[at] = c->norm[at] > 0 ? product / (double)c->norm[at] : 0;
    }
}

/* A document's pooled code of a scaffold, with its sign. */
static double signed_code(const pooled_codes *c, int64_t row, int64_t code)
{
    const float *halves = c->scaffold + row * 2 * c->rank; /* relu(h) of all, then relu(-h) of all */

    return (double)halves[code] - (double)halves[c->rank + code];
}

/* Codes have signs, so what they are more or less of in the class counts alike. */
static void codes_effects(const pooled *p, int dict, const task *train, const double *along, double *effect)
{
    const pooled_codes *c = &p->codes[dict];
    const int64_t half = train->n / 2;

    for (int64_t k = 0; k < c->rank; k++) {
        double difference = 0;
        for (int64_t i = 0; i < train->n; i++) {
            const double h = signed_code(c, pooled_find(p, train->doc[i]), k);
            difference += i < half ? h / (double)half : -h / (double)(train->n - half);
        }
        effect[k] = difference * along[k];
    }
}

sae_status tpp_effects(const pooled *p, int dict, const task *train, const double *along, double *effect,
                       int64_t *density, sae_error *err)
{
    sae_status status = SAE_OK;
    const pooled_codes *c = &p->codes[dict];
    int64_t half = train->n / 2; /* positives come first, as tasks are made */
    double *others = mem_alloc_array((size_t)c->d_sae, sizeof *others, "means of latents", err);
    int64_t *active = mem_alloc_array(2 * (size_t)c->d_sae, sizeof *active, "active latents", err);

    if (!others || !active) SAE_TRY(SAE_NOMEM);
    pooled_means(p, dict, train->doc, half, effect, active);
    pooled_means(p, dict, train->doc + half, train->n - half, others, active + c->d_sae);
    for (int64_t i = 0; i < c->d_sae; i++) {
        const double difference = effect[i] - others[i];
        effect[i] = difference > 0 ? difference * along[i] : 0;
        if (density) density[i] = active[i] + active[c->d_sae + i];
    }
    codes_effects(p, dict, train, along + c->d_sae, effect + c->d_sae);
done:
    mem_free(others);
    mem_free(active);
    return status;
}

static void take_off(float *row, float code, const float *direction, int64_t d)
{
    for (int64_t j = 0; j < d; j++) row[j] -= code * direction[j];
}

sae_status tpp_ablate(const pooled *p, int dict, const sae_dict *weights, const int64_t *docs, int64_t n,
                      const int64_t *which, int64_t k, float *rows, sae_error *err)
{
    const pooled_codes *c = &p->codes[dict];
    uint8_t *gone = mem_alloc_array((size_t)(c->d_sae + c->rank), 1, "ablated latents", err);

    if (!gone) return SAE_NOMEM;
    for (int64_t i = 0; i < k; i++) gone[which[i]] = 1;
#pragma omp parallel for
    for (int64_t i = 0; i < n; i++) {
        int64_t at = pooled_find(p, docs[i]);
        for (int64_t e = c->row_start[at]; e < c->row_start[at + 1]; e++) {
            int64_t latent = c->latent[e];
            if (!gone[latent] || c->norm[latent] == 0) continue;
            take_off(rows + i * p->d, c->value[e] / c->norm[latent], decoder_row(weights, c->d_sae, latent, p->d),
                     p->d);
        }
        for (int64_t h = 0; h < c->rank; h++) {
            const int64_t code = c->d_sae + h;
            if (!gone[code] || c->norm[code] == 0) continue;
            take_off(rows + i * p->d, (float)signed_code(c, at, h) / c->norm[code],
                     decoder_row(weights, c->d_sae, code, p->d), p->d);
        }
    }
    mem_free(gone);
    return SAE_OK;
}

sae_status tpp_margins_off(const pooled *p, int dict, const double *along, int n_probes, const int64_t *docs, int64_t n,
                           const int64_t *which, int64_t k, double *off, sae_error *err)
{
    const pooled_codes *c = &p->codes[dict];
    const int64_t width = c->d_sae + c->rank;
    uint8_t *gone = mem_alloc_array((size_t)width, 1, "ablated latents", err);

    if (!gone) return SAE_NOMEM;
    for (int64_t i = 0; i < k; i++) gone[which[i]] = 1;
    memset(off, 0, (size_t)n_probes * (size_t)n * sizeof *off);
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = pooled_find(p, docs[i]);
        for (int64_t e = c->row_start[at]; e < c->row_start[at + 1]; e++) {
            const int64_t latent = c->latent[e];
            for (int j = 0; gone[latent] && j < n_probes; j++)
                off[j * n + i] += (double)c->value[e] * along[j * width + latent];
        }
        for (int64_t h = 0; h < c->rank; h++)
            for (int j = 0; gone[c->d_sae + h] && j < n_probes; j++)
                off[j * n + i] += signed_code(c, at, h) * along[j * width + c->d_sae + h];
    }
    mem_free(gone);
    return SAE_OK;
}
