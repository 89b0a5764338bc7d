/*
 * outliers.c - dimensions of the site whose values are large on most tokens, by two definitions, and how much of the scaffold
 * and of PCA lies along them. Masked rows and rows over the norm limit are not among those looked at: what a few tokens do
 * (massive activations) is another matter.
 */
#include "lab/scaffold.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const double QUANTILE = 0.999; /* O1: mean |x_j| above this quantile over the dimensions */
static const double DEVIATIONS = 3;   /* O2: more than so many standard deviations above their mean */

typedef struct outliers {
    double limit, mean, deviation; /* of the magnitudes: O1's limit, mean and standard deviation over the dimensions */
    int64_t *order;                /* [d] dimensions, largest magnitude first */
} outliers;

static int descending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x < y) - (x > y);
}

/* A value and its dimension, sorted together: doubles first, so that `descending` compares them. */
typedef struct ranked {
    double value;
    int64_t dimension;
} ranked;

/* Between two sorted values a quantile is taken linearly, as NumPy does. */
static double quantile_of(const ranked *sorted, int64_t d, double q)
{
    double at = (1 - q) * (double)(d - 1); /* from the largest */
    int64_t low = (int64_t)floor(at), high = low + 1 < d ? low + 1 : low;

    return sorted[low].value + (at - (double)low) * (sorted[high].value - sorted[low].value);
}

static sae_status find(outliers *o, const double *magnitude, int64_t d, sae_error *err)
{
    sae_status status = SAE_OK;
    ranked *sorted = mem_alloc_array((size_t)d, sizeof *sorted, "magnitudes", err);

    o->order = mem_alloc_array((size_t)d, sizeof *o->order, "dimensions", err);
    if (!sorted || !o->order) {
        status = SAE_NOMEM;
        goto done;
    }
    for (int64_t j = 0; j < d; j++) {
        sorted[j] = (ranked){magnitude[j], j};
        o->mean += magnitude[j] / (double)d;
    }
    for (int64_t j = 0; j < d; j++) o->deviation += pow(magnitude[j] - o->mean, 2) / (double)d;
    o->deviation = sqrt(o->deviation);
    qsort(sorted, (size_t)d, sizeof *sorted, descending);
    for (int64_t j = 0; j < d; j++) o->order[j] = sorted[j].dimension;
    o->limit = quantile_of(sorted, d, QUANTILE);
done:
    mem_free(sorted);
    return status;
}

static double z_of(const outliers *o, double magnitude)
{
    return o->deviation > 0 ? (magnitude - o->mean) / o->deviation : 0;
}

static bool is_outlier(const outliers *o, double magnitude, int definition)
{
    return definition == 1 ? magnitude > o->limit : z_of(o, magnitude) > DEVIATIONS;
}

/* P_jj: the share of dimension j's axis that lies in the subspace. */
static double diagonal(const subspace *s, int64_t j)
{
    double sum = 0;

    for (int64_t k = 0; k < s->rank; k++) sum += s->basis[k * s->d + j] * s->basis[k * s->d + j];
    return sum;
}

static double per_rank(double sum, const subspace *s) { return s->rank ? sum / (double)s->rank : 0; }

/* One row for each outlier dimension, the largest first; O2 may have many. */
static sae_status dimensions(const experiment *e, const outliers *o, sae_result *r, sae_error *err)
{
    enum { SHOWN = 12, COLUMNS = 7 };
    static const char *const columns[COLUMNS] = {
        "dimension", "mean |x|", "z over dimensions", "by", "inside scaffold P_jj", "inside PCA P_jj", "by chance"};
    sae_status status = SAE_OK;

    SAE_TRY(sae_result_table(r, "outlier_dimensions", "Outlier dimensions, largest first", columns, COLUMNS, err));
    for (int64_t i = 0; i < e->d && i < SHOWN; i++) {
        int64_t j = o->order[i];
        double size = e->magnitude[j];
        bool o1 = is_outlier(o, size, 1), o2 = is_outlier(o, size, 2);
        if (!o1 && !o2) break;
        const sae_cell cells[COLUMNS] = {{NULL, (double)j},
                                         {NULL, size},
                                         {NULL, z_of(o, size)},
                                         {o1 && o2 ? "O1, O2"
                                          : o1     ? "O1"
                                                   : "O2",
                                          NAN},
                                         {NULL, diagonal(&e->map.write_space, j)},
                                         {NULL, diagonal(&e->pca, j)},
                                         {NULL, (double)e->map.write_space.rank / (double)e->d}};
        SAE_TRY(sae_result_row(r, "outlier_dimensions", cells, COLUMNS, err));
    }
done:
    return status;
}

/* What all of them hold together of each projector: sum of P_jj over r, at most their number over r; and how much of an outlier's
 * axis lies inside, the mean P_jj, at most 1. */
static sae_status shares(const experiment *e, const outliers *o, sae_result *r, sae_error *err)
{
    enum { COLUMNS = 8 };
    static const char *const columns[COLUMNS] = {"outlier dimensions", "how many",  "share of the scaffold",
                                                 "share of PCA",       "by chance", "each inside the scaffold",
                                                 "each inside PCA",    "by chance"};
    static const char *const names[] = {"O1: mean |x| over the 99.9th percentile", "O2: mean |x| over 3 deviations"};
    sae_status status = SAE_OK;

    SAE_TRY(
        sae_result_table(r, "outlier_shares", "Share of the projectors on outlier dimensions", columns, COLUMNS, err));
    for (int definition = 1; definition <= 2; definition++) {
        double scaffold = 0, pca = 0, n = 0;
        char key[48];
        for (int64_t j = 0; j < e->d; j++) {
            if (!is_outlier(o, e->magnitude[j], definition)) continue;
            n++;
            scaffold += diagonal(&e->map.write_space, j);
            pca += diagonal(&e->pca, j);
        }
        const sae_cell cells[] = {{names[definition - 1], NAN},
                                  {NULL, n},
                                  {NULL, per_rank(scaffold, &e->map.write_space)},
                                  {NULL, per_rank(pca, &e->pca)},
                                  {NULL, n / (double)e->d},
                                  {NULL, n > 0 ? scaffold / n : 0},
                                  {NULL, n > 0 ? pca / n : 0},
                                  {NULL, (double)e->map.write_space.rank / (double)e->d}};
        SAE_TRY(sae_result_row(r, "outlier_shares", cells, COLUMNS, err));
        snprintf(key, sizeof key, "outlier_count_O%d", definition);
        SAE_TRY(sae_result_silent(r, key, n, n, n, err));
        snprintf(key, sizeof key, "outlier_inside_O%d", definition);
        SAE_TRY(sae_result_silent(r, key, cells[5].number, cells[5].number, cells[5].number, err));
        snprintf(key, sizeof key, "outlier_share_O%d", definition);
        SAE_TRY(sae_result_number(r, key, cells[2].number, err));
        SAE_TRY(
            sae_result_label(r, key, key, "sum over outlier dimensions of P_jj / r; by chance their number / d", err));
    }
done:
    return status;
}

sae_status outliers_report(const experiment *e, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;
    outliers o = {0};

    SAE_TRY(find(&o, e->magnitude, e->d, err));
    SAE_TRY(shares(e, &o, r, err));
    SAE_TRY(dimensions(e, &o, r, err));
done:
    mem_free(o.order);
    return status;
}
