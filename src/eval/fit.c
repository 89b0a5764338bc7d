/*
 * fit.c - sums over rows and their reconstructions.
 */
#include "eval/fit.h"

#include <math.h>

sae_status fit_create(fit *out, int64_t d, sae_error *err)
{
    double *sum = mem_alloc_array((size_t)d, sizeof *sum, "a sum of rows", err);

    if (!sum) return SAE_NOMEM;
    *out = (fit){.d = d, .sum = sum};
    return SAE_OK;
}

void fit_free(fit *f)
{
    mem_free(f->sum);
    *f = (fit){0};
}

static void add_row(fit *f, const float *x, const float *recon)
{
    double xx = 0, rr = 0, xr = 0, error = 0;

    for (int64_t j = 0; j < f->d; j++) {
        double a = (double)x[j], b = (double)recon[j];
        f->sum[j] += a;
        xx += a * a;
        rr += b * b;
        xr += a * b;
        error += (a - b) * (a - b);
    }
    f->square += xx;
    f->error += error;
    f->cosine += xx > 0 && rr > 0 ? xr / sqrt(xx * rr) : 0;
}

void fit_add(fit *f, const float *rows, const float *recon, int64_t n)
{
    for (int64_t i = 0; i < n; i++) add_row(f, rows + i * f->d, recon + i * f->d);
    f->n += n;
}

/* Of n equal rows so much of the sum of their squares may be left: sums of doubles. */
static const double ROUNDING = 1e-12;

double fit_fvu(const fit *f)
{
    double mean_square = 0;

    for (int64_t j = 0; j < f->d; j++) mean_square += f->sum[j] / (double)f->n * (f->sum[j] / (double)f->n);
    double variance = f->square - (double)f->n * mean_square;
    return variance > ROUNDING * f->square ? f->error / variance : (double)NAN;
}

double fit_cosine(const fit *f) { return f->cosine / (double)f->n; }
