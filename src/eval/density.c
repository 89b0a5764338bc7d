/*
 * density.c - firing counts and what is read from them.
 */
#include "eval/density.h"

#include <math.h>
#include <string.h>

const double density_thresholds[DENSITY_THRESHOLDS] = {0.05, 0.1, 0.2, 0.3};
const double density_log10_low = -6, density_bin_width = 0.25;

sae_status density_create(density *out, int64_t d_sae, sae_error *err)
{
    int64_t *fired = mem_alloc_array((size_t)d_sae, sizeof *fired, "firing counts", err);

    if (!fired) return SAE_NOMEM;
    *out = (density){.d_sae = d_sae, .fired = fired};
    return SAE_OK;
}

void density_free(density *p)
{
    mem_free(p->fired);
    *p = (density){0};
}

void density_add(density *p, const codes *c)
{
    for (int64_t i = 0; i < c->row_start[c->n]; i++) {
        if (!(c->value[i] > 0.0F)) continue;
        p->fired[c->latent[i]]++;
        p->n_fired++;
    }
    p->n_rows += c->n;
}

double density_of(const density *p, int64_t latent)
{
    return p->n_rows ? (double)p->fired[latent] / (double)p->n_rows : 0;
}

int64_t density_dead(const density *p)
{
    int64_t n = 0;

    for (int64_t i = 0; i < p->d_sae; i++) n += p->fired[i] == 0;
    return n;
}

int64_t density_dense(const density *p, double threshold)
{
    int64_t n = 0;

    for (int64_t i = 0; i < p->d_sae; i++) n += density_of(p, i) > threshold;
    return n;
}

double density_mass(const density *p, double threshold)
{
    double mass = 0;

    for (int64_t i = 0; i < p->d_sae; i++)
        if (density_of(p, i) > threshold) mass += density_of(p, i);
    return mass;
}

void density_histogram(const density *p, int64_t *counts)
{
    memset(counts, 0, DENSITY_BINS * sizeof *counts);
    for (int64_t i = 0; i < p->d_sae; i++) {
        double at;
        if (p->fired[i] == 0) continue;
        at = floor((log10(density_of(p, i)) - density_log10_low) / density_bin_width);
        counts[(int)fmin(fmax(at, 0), DENSITY_BINS - 1)]++;
    }
}

sae_status density_top(const density *p, int64_t n, int64_t *latents, sae_error *err)
{
    uint8_t *taken = mem_alloc((size_t)p->d_sae, "latents already chosen", err);

    if (!taken) return SAE_NOMEM;
    for (int64_t k = 0; k < n && k < p->d_sae; k++) {
        int64_t best = -1;
        for (int64_t i = 0; i < p->d_sae; i++)
            if (!taken[i] && (best < 0 || p->fired[i] > p->fired[best])) best = i;
        taken[best] = 1;
        latents[k] = best;
    }
    mem_free(taken);
    return SAE_OK;
}
