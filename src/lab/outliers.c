/*
 * outliers.c - dimensions of the site whose values are large on most tokens, by four definitions, and how much of the scaffold
 * and of PCA lies along them. Masked rows and rows over the norm limit are not among those looked at: what a few tokens do
 * (massive activations) is another matter.
 */
#include "lab/structure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double QUANTILE = 0.999; /* O1: mean |x_j| above this quantile over the dimensions */
static const double DEVIATIONS = 3;   /* O2: more than so many standard deviations above their mean; O4: in a row */
static const double LARGE = 6;        /* O3: |x_j| at least this .. */
static const double SHARE = 0.06;     /* .. on at least this share of the rows */
static const double MAJORITY = 0.5;   /* O4: extreme on more than this share of the rows */

enum { DEFINITIONS = 4 };

typedef struct outliers {
    double limit, mean, deviation; /* of the magnitudes: O1's limit, mean and standard deviation over the dimensions */
    int64_t *order;                /* [d] dimensions, largest magnitude first */
} outliers;

/* ---- Rows ---------------------------------------------------------------------------------------------------------------- */

void outliers_count(const float *rows, int64_t n, int64_t d, double *magnitude, double *large, double *extreme)
{
    for (int64_t i = 0; i < n; i++) {
        const float *row = rows + i * d;
        double sum = 0, square = 0;
        for (int64_t j = 0; j < d; j++) {
            sum += fabs((double)row[j]);
            square += (double)row[j] * (double)row[j];
        }
        const double mean = sum / (double)d, deviation = sqrt(fmax(0, square / (double)d - mean * mean));
        for (int64_t j = 0; j < d; j++) {
            const double size = fabs((double)row[j]);
            magnitude[j] += size;
            large[j] += size >= LARGE;
            extreme[j] += size > mean + DEVIATIONS * deviation;
        }
    }
}

/* ---- Definitions ----------------------------------------------------------------------------------------------------------- */

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

static bool is_outlier(const structure *s, const outliers *o, int64_t j, int definition)
{
    switch (definition) {
    case 1: return s->rows->magnitude[j] > o->limit;
    case 2: return z_of(o, s->rows->magnitude[j]) > DEVIATIONS;
    case 3: return s->rows->large[j] >= SHARE;
    default: return s->rows->extreme[j] > MAJORITY;
    }
}

/* P_jj: the share of dimension j's axis that lies in the subspace. */
static double diagonal(const subspace *s, int64_t j)
{
    double sum = 0;

    for (int64_t k = 0; k < s->rank; k++) sum += s->basis[k * s->d + j] * s->basis[k * s->d + j];
    return sum;
}

static double per_rank(double sum, const subspace *s) { return s->rank ? sum / (double)s->rank : 0; }

/* "O1, O4": the definitions that dimension j meets; empty: none. */
static void kinds_of(const structure *s, const outliers *o, int64_t j, char out[24])
{
    *out = 0;
    for (int k = 1; k <= DEFINITIONS; k++)
        if (is_outlier(s, o, j, k)) snprintf(out + strlen(out), 24 - strlen(out), "%sO%d", *out ? ", " : "", k);
}

/* One row for each outlier dimension, the largest first; of some kinds there may be many. */
static sae_status dimensions(const structure *s, const outliers *o, sae_result *r, sae_error *err)
{
    enum { SHOWN = 12, COLUMNS = 9 };
    static const char *const columns[COLUMNS] = {"dimension",
                                                 "mean |x|",
                                                 "z over dimensions",
                                                 "rows with |x| >= 6",
                                                 "rows on which it is extreme",
                                                 "by",
                                                 "inside scaffold P_jj",
                                                 "inside PCA P_jj",
                                                 "by chance"};
    sae_status status = SAE_OK;
    int shown = 0;

    SAE_TRY(sae_result_table(r, "outlier_dimensions", "Outlier dimensions, largest first", columns, COLUMNS, err));
    for (int64_t i = 0; i < s->rows->d && shown < SHOWN; i++) {
        int64_t j = o->order[i];
        char kinds[24];
        kinds_of(s, o, j, kinds);
        if (!*kinds) continue;
        const sae_cell cells[COLUMNS] = {{NULL, (double)j},
                                         {NULL, s->rows->magnitude[j]},
                                         {NULL, z_of(o, s->rows->magnitude[j])},
                                         {NULL, s->rows->large[j]},
                                         {NULL, s->rows->extreme[j]},
                                         {kinds, NAN},
                                         {NULL, diagonal(&s->map->write_space, j)},
                                         {NULL, diagonal(&s->pca, j)},
                                         {NULL, (double)s->map->write_space.rank / (double)s->rows->d}};
        SAE_TRY(sae_result_row(r, "outlier_dimensions", cells, COLUMNS, err));
        shown++;
    }
done:
    return status;
}

/* What all of them hold together of each projector: sum of P_jj over r, at most their number over r; and how much of an outlier's
 * axis lies inside, the mean P_jj, at most 1. */
static sae_status shares(const structure *s, const outliers *o, sae_result *r, sae_error *err)
{
    enum { COLUMNS = 8 };
    static const char *const columns[COLUMNS] = {"outlier dimensions", "how many",  "share of the scaffold",
                                                 "share of PCA",       "by chance", "each inside the scaffold",
                                                 "each inside PCA",    "by chance"};
    static const char *const names[DEFINITIONS] = {
        "O1: mean |x| over the 99.9th percentile", "O2: mean |x| over 3 deviations",
        "O3: |x| >= 6 on 6 % of rows (here, as they are)", "O4: over 3 deviations of its row on most rows"};
    sae_status status = SAE_OK;

    SAE_TRY(
        sae_result_table(r, "outlier_shares", "Share of the projectors on outlier dimensions", columns, COLUMNS, err));
    for (int definition = 1; definition <= DEFINITIONS; definition++) {
        double scaffold = 0, pca = 0, n = 0;
        char key[48];
        for (int64_t j = 0; j < s->rows->d; j++) {
            if (!is_outlier(s, o, j, definition)) continue;
            n++;
            scaffold += diagonal(&s->map->write_space, j);
            pca += diagonal(&s->pca, j);
        }
        const sae_cell cells[] = {{names[definition - 1], NAN},
                                  {NULL, n},
                                  {NULL, per_rank(scaffold, &s->map->write_space)},
                                  {NULL, per_rank(pca, &s->pca)},
                                  {NULL, n / (double)s->rows->d},
                                  {NULL, n > 0 ? scaffold / n : 0},
                                  {NULL, n > 0 ? pca / n : 0},
                                  {NULL, (double)s->map->write_space.rank / (double)s->rows->d}};
        SAE_TRY(sae_result_row(r, "outlier_shares", cells, COLUMNS, err));
        snprintf(key, sizeof key, "outlier_count_O%d", definition);
        SAE_TRY(sae_result_silent(r, key, n, n, n, err));
        snprintf(key, sizeof key, "outlier_inside_O%d", definition);
        SAE_TRY(sae_result_silent(r, key, cells[5].number, cells[5].number, cells[5].number, err));
        snprintf(key, sizeof key, "outlier_inside_pca_O%d", definition);
        SAE_TRY(sae_result_silent(r, key, cells[6].number, cells[6].number, cells[6].number, err));
        snprintf(key, sizeof key, "outlier_share_O%d", definition);
        SAE_TRY(sae_result_number(r, key, cells[2].number, err));
        SAE_TRY(
            sae_result_label(r, key, key, "sum over outlier dimensions of P_jj / r; by chance their number / d", err));
    }
done:
    return status;
}

sae_status outliers_report(const structure *s, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;
    outliers o = {0};

    SAE_TRY(find(&o, s->rows->magnitude, s->rows->d, err));
    SAE_TRY(shares(s, &o, r, err));
    SAE_TRY(dimensions(s, &o, r, err));
    SAE_TRY(sae_result_note(
        r,
        "O3 is that of LLM.int8() at one site: that a dimension be so in a quarter of the layers is not asked. It "
        "knows "
        "no scale: where rows are long, many dimensions pass. O4: |x_j| over the mean of its row's |x| by more than "
        "three standard deviations of them, on more than half of the rows.",
        err));
done:
    mem_free(o.order);
    return status;
}
