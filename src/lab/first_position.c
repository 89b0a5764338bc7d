/*
 * first_position.c - the row of the token that begins sequences, where attention sinks are: what of it lies in the subspaces that are
 * removed, and random subspaces that hold as much of it as the scaffold does (docs/method.md 7).
 */
#include "lab/scaffold.h"

#include <math.h>
#include <stdio.h>

static sae_status first_row(experiment *e, double *row, double *norm, sae_error *err)
{
    sae_status status = SAE_OK;
    const float *rows = NULL;
    double square = 0;

    SAE_TRY(sample_rows(&e->held_out, 0, 1, &rows, err)); /* all sequences begin alike, so their first rows are equal */
    for (int64_t j = 0; j < e->d; j++) {
        row[j] = (double)rows[j];
        square += row[j] * row[j];
    }
    *norm = sqrt(square);
done:
    return status;
}

int share_draws(const scaffold_options *o) { return o->draws < SHARE_DRAWS ? o->draws : SHARE_DRAWS; }

sae_status equal_share_subspaces(experiment *e, subspace draws[SHARE_DRAWS], sae_error *err)
{
    sae_status status = SAE_OK;
    const int64_t rank = compared_rank(e);
    rng random = rng_seed(e->options.seed, 78);
    double norm, *row = NULL;

    row = mem_alloc_array((size_t)e->d, sizeof *row, "the first row", err);
    if (!row) return SAE_NOMEM;
    SAE_TRY(first_row(e, row, &norm, err));
    if (!(norm > 0)) goto done;
    const double share = fmin(subspace_share(&e->map.write_space, row), 1);
    for (int i = 0; i < share_draws(&e->options); i++)
        SAE_TRY(subspace_random_of_share(&draws[i], row, share, e->d, rank, &random, err));
done:
    mem_free(row);
    return status;
}

/* The mean over the random subspaces of the share of a row, and of what remains of norm 1. */
static sae_status random_share(const experiment *e, const double *row, double *share, double *left, sae_error *err)
{
    sae_status status = SAE_OK;
    subspace draws[LOSS_DRAWS_MAX] = {0};

    *share = *left = 0;
    SAE_TRY(random_subspaces(e, draws, err));
    for (int i = 0; i < e->options.draws; i++) {
        const double one = subspace_share(&draws[i], row);
        *share += one / e->options.draws;
        *left += sqrt(fmax(0, 1 - one)) / e->options.draws;
    }
done:
    for (int i = 0; i < LOSS_DRAWS_MAX; i++) subspace_free(&draws[i]);
    return status;
}

/* left: what remains of the row, in median norms. */
static sae_status first_position_row(const experiment *e, sae_result *r, const char *name, const char *key,
                                     double share, double left, sae_error *err)
{
    sae_status status = SAE_OK;
    const sae_cell cells[] = {
        {name, NAN}, {NULL, share}, {NULL, (double)compared_rank(e) / (double)e->d}, {NULL, left}};
    char full[64];

    SAE_TRY(sae_result_row(r, "first_position", cells, 4, err));
    snprintf(full, sizeof full, "first_position.%s", key);
    SAE_TRY(sae_result_silent(r, full, share, share, share, err));
    snprintf(full, sizeof full, "first_position_left.%s", key);
    SAE_TRY(sae_result_silent(r, full, left, left, left, err));
done:
    return status;
}

sae_status first_position_report(experiment *e, sae_result *r, sae_error *err)
{
    static const char *const columns[] = {"share of the first position's row inside", "|P x|^2 / |x|^2", "by chance",
                                          "|x - x P| in median norms"};
    sae_status status = SAE_OK;
    double norm = 0, share, left, *row = mem_alloc_array((size_t)e->d, sizeof *row, "the first row", err);
    const struct {
        const char *name, *key;
        const subspace *space;
    } spaces[] = {{"scaffold", "scaffold", &e->map.write_space},
                  {"PCA", "pca", &e->pca},
                  {"PCA of all rows", "pca_all", &e->all}};
    char text[400];

    if (!row) return SAE_NOMEM;
    SAE_TRY(first_row(e, row, &norm, err));
    const double long_as = norm / e->held_out.median_norm;
    SAE_TRY(sae_result_table(r, "first_position", "The row of the token that begins sequences", columns, 4, err));
    for (int i = 0; i < 3; i++) {
        if (i == 2 && e->all.rank == 0) continue;
        share = subspace_share(spaces[i].space, row);
        left = long_as * sqrt(fmax(0, 1 - share));
        SAE_TRY(first_position_row(e, r, spaces[i].name, spaces[i].key, share, left, err));
    }
    SAE_TRY(random_share(e, row, &share, &left, err));
    SAE_TRY(first_position_row(e, r, "random subspaces, mean", "random", share, long_as * left, err));
    snprintf(text, sizeof text, "That row has norm %.4g, %.3g times the median row's. %s", norm, long_as,
             e->held_out.counted[0]
                 ? "It is counted: dictionaries and components were fitted to it and every removal above changes it, "
                   "which may be most of what they cost: compare with a run without --with-bos."
                 : "It is masked: no dictionary or component was fitted to it (but for PCA of all rows) and no removal "
                   "above changes it, so it has no part in these differences.");
    SAE_TRY(sae_result_note(r, text, err));
done:
    mem_free(row);
    return status;
}
