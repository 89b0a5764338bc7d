/*
 * pooled_read.c - rows, columns and means of some of the documents of a pooled set.
 */
#include "eval/pooled.h"

#include <string.h>

int64_t pooled_find(const pooled *p, int64_t doc)
{
    int64_t low = 0, high = p->n;

    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (p->doc[middle] <= doc)
            low = middle;
        else
            high = middle;
    }
    return low;
}

void pooled_rows(const pooled *p, const int64_t *docs, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++)
        memcpy(out + i * p->d, p->rows + pooled_find(p, docs[i]) * p->d, (size_t)p->d * sizeof *out);
}

/* The place of a latent among a document's, or -1. */
static int64_t find_latent(const pooled_codes *c, int64_t row, int64_t latent)
{
    int64_t low = c->row_start[row], high = c->row_start[row + 1];

    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (c->latent[middle] == latent) return middle;
        if (c->latent[middle] < latent)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

void pooled_columns(const pooled *p, int dict, const int64_t *docs, int64_t n, const int64_t *latents, int64_t k,
                    float *out)
{
    const pooled_codes *c = &p->codes[dict];

    for (int64_t i = 0; i < n; i++) {
        int64_t row = pooled_find(p, docs[i]);
        for (int64_t j = 0; j < k; j++) {
            int64_t at = find_latent(c, row, latents[j]);
            out[i * k + j] = at < 0 ? 0 : c->value[at];
        }
    }
}

void pooled_means(const pooled *p, int dict, const int64_t *docs, int64_t n, double *mean, int64_t *active)
{
    const pooled_codes *c = &p->codes[dict];

    memset(mean, 0, (size_t)c->d_sae * sizeof *mean);
    if (active) memset(active, 0, (size_t)c->d_sae * sizeof *active);
    for (int64_t i = 0; i < n; i++) {
        int64_t row = pooled_find(p, docs[i]);
        for (int64_t e = c->row_start[row]; e < c->row_start[row + 1]; e++) {
            mean[c->latent[e]] += (double)c->value[e];
            if (active) active[c->latent[e]]++;
        }
    }
    for (int64_t j = 0; j < c->d_sae; j++) mean[j] /= (double)n;
}
