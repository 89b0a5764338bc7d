/*
 * structure.c - what subspace the scaffold is: how much of it lies in the top principal components, how much variance it
 * holds, whether its map is a projector. Chance stands beside every overlap.
 */
#include "lab/structure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sae_status overlaps(const structure *s, sae_result *r, sae_error *err)
{
    static const char *const columns[] = {"principal components", "share of the scaffold inside", "by chance"};
    sae_status status = SAE_OK;
    const subspace *U = &s->map->write_space;

    SAE_TRY(sae_result_table(r, "overlap", "Scaffold and principal components", columns, 3, err));
    for (int64_t q = s->pca.rank; q <= s->rows->d && q <= 8 * s->pca.rank; q *= 2) {
        char label[32];
        const subspace top = row_components(s->rows, q);
        double overlap = subspace_overlap(U, &top), chance = (double)q / (double)s->rows->d;
        snprintf(label, sizeof label, "top %lld", (long long)q);
        const sae_cell cells[] = {{label, (double)q}, {NULL, overlap}, {NULL, chance}};
        SAE_TRY(sae_result_row(r, "overlap", cells, 3, err));
    }
done:
    return status;
}

static sae_status angles_of(const subspace *U, const subspace *pca, const char *label, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t n = U->rank < pca->rank ? U->rank : pca->rank;
    double *cosines = mem_alloc_array((size_t)n + 1, sizeof *cosines, "principal angles", err);
    double *number = mem_alloc_array((size_t)n + 1, sizeof *number, "principal angles", err);

    if (!cosines || !number) {
        status = SAE_NOMEM;
        goto done;
    }
    SAE_TRY(subspace_cosines(U, pca, cosines, err));
    for (int64_t i = 0; i < n; i++) {
        number[i] = (double)i + 1;
        cosines[i] = acos(fmin(1, cosines[i])) * 180 / acos(-1.0);
    }
    SAE_TRY(sae_result_series(r, "angles", label, number, cosines, n, err));
done:
    mem_free(cosines);
    mem_free(number);
    return status;
}

/* Beside them those of one random subspace of the same rank. */
static sae_status angles(const structure *s, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;
    rng random = rng_seed(s->seed, 78);
    subspace chance = {0};

    SAE_TRY(sae_result_plot(r, "angles", "Principal angles with the top PCA subspace", "angle", "degrees",
                            SAE_PLOT_LINE, 0, err));
    SAE_TRY(angles_of(&s->map->write_space, &s->pca, "scaffold", r, err));
    SAE_TRY(subspace_random(&chance, s->rows->d, s->pca.rank, &random, err));
    SAE_TRY(angles_of(&chance, &s->pca, "a random subspace", r, err));
    SAE_TRY(sae_result_control(r, "angles", "a random subspace", err));
done:
    subspace_free(&chance);
    return status;
}

static double sum_of(const double *values, int64_t n)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++) sum += values[i];
    return sum;
}

/* How the scaffold's energy is spread over single principal components. */
static sae_status energies(const structure *s, sae_result *r, sae_error *err)
{
    enum { SHOWN = 100 };
    sae_status status = SAE_OK;
    double x[SHOWN], y[SHOWN];
    int64_t n = s->rows->d < SHOWN ? s->rows->d : SHOWN;

    for (int64_t i = 0; i < n; i++) {
        x[i] = (double)i + 1;
        y[i] = subspace_share(&s->map->write_space, s->rows->components.basis + i * s->rows->d);
    }
    SAE_TRY(sae_result_plot(r, "energy", "Share of each principal component inside the scaffold", "principal component",
                            "share", SAE_PLOT_LINE, 0, err));
    SAE_TRY(sae_result_series(r, "energy", "scaffold", x, y, n, err));
    SAE_TRY(sae_result_line(r, "energy", "chance", false, (double)s->map->write_space.rank / (double)s->rows->d, err));
done:
    return status;
}

static sae_status fact(sae_result *r, const char *key, const char *name, double value, const char *meaning,
                       sae_error *err)
{
    sae_status status = sae_result_number(r, key, value, err);

    return status == SAE_OK ? sae_result_label(r, key, name, meaning, err) : status;
}

/* A share of something inside a space of this rank: what it is, and what a random space would hold. */
static sae_status share(sae_result *r, const char *key, const char *name, double value, const char *meaning,
                        int64_t rank, int64_t d, sae_error *err)
{
    char remark[160];

    snprintf(remark, sizeof remark, "%s; by chance %.4f", meaning, (double)rank / (double)d);
    return fact(r, key, name, value, remark, err);
}

static sae_status facts(const structure *s, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;
    const subspace *U = &s->map->write_space;
    double total = sum_of(s->rows->spectrum, s->rows->d), rank = (double)U->rank;
    double best = sum_of(s->rows->spectrum, U->rank), held = subspace_variance(U, s->rows->covariance);

    SAE_TRY(fact(r, "rank", "rank", rank, "directions that the scaffold writes", err));
    SAE_TRY(fact(r, "overlap_pca_r", "overlap with PCA", subspace_overlap(U, &s->pca),
                 "share of the scaffold inside the top r principal components: 1 identical", err));
    SAE_TRY(fact(r, "overlap_chance_r", "overlap by chance", (double)s->pca.rank / (double)s->rows->d, "r / d", err));
    SAE_TRY(fact(r, "variance_share", "variance inside", held / total, "tr(P cov) / tr(cov)", err));
    SAE_TRY(fact(r, "variance_of_best", "of what PCA holds", held / best, "tr(P cov) over that of as many components",
                 err));
    SAE_TRY(fact(r, "variance_chance", "variance by chance", rank / (double)s->rows->d,
                 "inside a random subspace: rank / d", err));
    SAE_TRY(share(r, "mean_share", "of the mean row, scaffold", subspace_share(U, s->rows->mean),
                  "|P mean|^2 / |mean|^2", U->rank, s->rows->d, err));
    SAE_TRY(share(r, "mean_share_pca", "of the mean row, PCA", subspace_share(&s->pca, s->rows->mean),
                  "the same for the top components", s->pca.rank, s->rows->d, err));
    SAE_TRY(share(r, "read_write_overlap", "read and write space", subspace_overlap(U, &s->map->read_space),
                  "share of the write space that is also read", s->map->read_space.rank, s->rows->d, err));
    /* |A - P|^2 = |A|^2 - 2 tr(A P) + r, and A P = A since P projects on the row space of A */
    SAE_TRY(fact(r, "projector_distance", "distance from a projector",
                 sqrt(fmax(0, s->map->square - 2 * s->map->trace + rank)) / sqrt(fmax(rank, 1)),
                 "|W_down W_up - P| / sqrt(r): 0 for a projector", err));
done:
    return status;
}

static int compare_down(const void *a, const void *b) { return compare_doubles(b, a); }

/* Of a projector all are 1. The singular values beside them, which are 1 of an orthogonal one alone: an oblique map has larger ones. */
static sae_status eigenvalues(const structure *s, sae_result *r, sae_error *err)
{
    static const char *const columns[] = {"number", "eigenvalue, real part", "imaginary part", "singular value"};
    sae_status status = SAE_OK;
    const scaffold_map *m = s->map;
    double *singular = mem_alloc_array((size_t)m->width + 1, sizeof *singular, "singular values", err);

    if (!singular) return SAE_NOMEM;
    memcpy(singular, m->singular, (size_t)m->rank * sizeof *singular);
    qsort(singular, (size_t)m->rank, sizeof *singular, compare_down);
    SAE_TRY(sae_result_table(r, "eigenvalues", "Eigenvalues of W_down W_up: all 1 for a projector", columns, 4, err));
    for (int64_t i = 0; i < m->width; i++) {
        const sae_cell cells[] = {{NULL, (double)i + 1}, {NULL, m->real[i]}, {NULL, m->imag[i]}, {NULL, singular[i]}};
        SAE_TRY(sae_result_row(r, "eigenvalues", cells, 4, err));
    }
    SAE_TRY(fact(r, "eigenvalue_most", "largest eigenvalue", m->real[0], "of W_down W_up, real part: 1 for a projector",
                 err));
    SAE_TRY(fact(r, "eigenvalue_least", "least of its r eigenvalues", m->real[m->width - 1], "the same", err));
done:
    mem_free(singular);
    return status;
}

static sae_status directions(const structure *s, sae_result *r, sae_error *err)
{
    static const char *const columns[] = {"direction", "singular value", "spread of its code", "mean of its code"};
    sae_status status = SAE_OK;
    const scaffold_map *m = s->map;

    SAE_TRY(sae_result_table(r, "directions", "Directions of the scaffold", columns, 4, err));
    for (int64_t i = 0; i < m->rank; i++) {
        const sae_cell cells[] = {
            {NULL, (double)i + 1}, {NULL, m->singular[i]}, {NULL, m->spread[i]}, {NULL, m->mean[i]}};
        SAE_TRY(sae_result_row(r, "directions", cells, 4, err));
    }
done:
    return status;
}

sae_status structure_report(const structure *s, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;

    SAE_TRY(facts(s, r, err));
    SAE_TRY(overlaps(s, r, err));
    SAE_TRY(angles(s, r, err));
    SAE_TRY(energies(s, r, err));
    SAE_TRY(eigenvalues(s, r, err));
    SAE_TRY(directions(s, r, err));
    SAE_TRY(outliers_report(s, r, err));
done:
    return status;
}
