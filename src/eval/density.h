/*
 * density.h - how often each latent fires: p_i = share of the counted rows in which its code is above zero.
 */
#ifndef SAE_EVAL_DENSITY_H
#define SAE_EVAL_DENSITY_H

#include "eval/codes.h"

/* "Dense" means firing on more than this share of tokens; the second is the field's usual one (docs/method.md 6). */
enum { DENSITY_THRESHOLDS = 4, DENSITY_BINS = 24 };
extern const double density_thresholds[DENSITY_THRESHOLDS]; /* 0.05, 0.1, 0.2, 0.3 */
/* Histogram of log10 p from 1e-6 to 1 in bins of a quarter; smaller ones fall into the first bin. */
extern const double density_log10_low, density_bin_width;

typedef struct density {
    int64_t d_sae, n_rows, n_fired; /* n_fired: codes above zero in all */
    int64_t *fired;                 /* [d_sae] */
} density;

sae_status density_create(density *out, int64_t d_sae, sae_error *err);
void density_free(density *p);
void density_add(density *p, const codes *c);

double density_of(const density *p, int64_t latent);
int64_t density_dead(const density *p);                    /* never fired in these rows */
int64_t density_dense(const density *p, double threshold); /* p_i > threshold */
double density_mass(const density *p, double threshold);   /* sum of the p_i above it: dense latents active per token */
void density_histogram(const density *p, int64_t *counts); /* [DENSITY_BINS], without the dead ones */
/* The n latents that fire most, most first (ties: smaller index first). */
sae_status density_top(const density *p, int64_t n, int64_t *latents, sae_error *err);

#endif
