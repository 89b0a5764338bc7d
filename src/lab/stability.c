/*
 * stability.c - overlaps of what scaffolds write, by how their dictionaries are related.
 */
#include "lab/stability.h"
#include "lab/scaffold.h"

#include <math.h>
#include <stdio.h>

static const char *const relations[] = {"same kind, another seed", "another variant, same seed",
                                        "another architecture, same seed", "any two"};
static const char *const keys[] = {"seeds", "variants", "architectures", "pairs"};

sae_status write_space_of(write_space *out, const char *name, sae_dict *dict, sae_error *err)
{
    const sae_dict_config *c = sae_dict_get_config(dict);

    *out = (write_space){.name = name, .config = c};
    return subspace_of_rows(&out->space, sae_dict_weights(dict).W_up, c->rank, c->d_in, err);
}

static bool related(const sae_dict_config *a, const sae_dict_config *b, const overlap_group *g)
{
    bool arch = a->arch == b->arch, seed = a->seed == b->seed, variant = a->variant == b->variant;

    if (g->arch >= 0 && (int)a->arch != g->arch) return false;
    switch (g->how) {
    case OTHER_SEED: return arch && variant && !seed;
    case OTHER_VARIANT: return arch && !variant && seed;
    case OTHER_ARCH: return !arch && variant && seed;
    default: return true;
    }
}

/* The share of `a` inside `b`, and what it is by chance. */
static double overlap_of(const write_space *a, const write_space *b, double *chance)
{
    *chance = (double)b->space.rank / (double)b->space.d;
    return subspace_overlap(&a->space, &b->space);
}

typedef struct overlap_bars {
    char names[OVERLAP_GROUPS_MAX][96];
    double mean[OVERLAP_GROUPS_MAX], low[OVERLAP_GROUPS_MAX], high[OVERLAP_GROUPS_MAX], chance[OVERLAP_GROUPS_MAX];
    int n;
} overlap_bars;

static sae_status overlap_row(const write_space *s, int n_spaces, const overlap_group *g, overlap_bars *b,
                              sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;
    double sum = 0, low = INFINITY, high = -INFINITY, chances = 0, chance;
    const char *dot = g->arch < 0 ? "" : ".", *comma = g->arch < 0 ? "" : ", ";
    const char *arch = g->arch < 0 ? "" : arch_name((sae_arch)g->arch);
    char name[96], key[64];
    int n = 0;

    for (int i = 0; i < n_spaces; i++) {
        for (int j = 0; j < i; j++) {
            if (s[i].space.rank == 0 || s[j].space.rank == 0 || !related(s[i].config, s[j].config, g)) continue;
            double overlap = overlap_of(&s[i], &s[j], &chance);
            sum += overlap;
            low = fmin(low, overlap);
            high = fmax(high, overlap);
            chances += chance;
            n++;
        }
    }
    if (n == 0) return SAE_OK;
    snprintf(name, sizeof name, "%s%s%s", relations[g->how], comma, arch);
    snprintf(key, sizeof key, "%s%s%s", keys[g->how], dot, arch);
    const sae_cell cells[] = {{name, NAN}, {NULL, n}, {NULL, sum / n}, {NULL, low}, {NULL, high}, {NULL, chances / n}};
    SAE_TRY(sae_result_row(r, "overlaps", cells, 6, err));
    snprintf(b->names[b->n], sizeof b->names[b->n], "%s", name);
    b->mean[b->n] = sum / n;
    b->low[b->n] = low;
    b->high[b->n] = high;
    b->chance[b->n++] = chances / n;
    SAE_TRY(sae_result_silent(r, key, sum / n, low, high, err));
done:
    return status;
}

static sae_status overlap_plot(const overlap_bars *b, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *names[OVERLAP_GROUPS_MAX];

    if (b->n == 0) return SAE_OK;
    for (int i = 0; i < b->n; i++) names[i] = b->names[i];
    SAE_TRY(sae_result_plot(r, "overlaps", "Overlap of write spaces", NULL, "1 identical", SAE_PLOT_BAR, 0, err));
    SAE_TRY(sae_result_bars(r, "overlaps", "mean (whiskers: least, most)", names, b->mean, b->low, b->high, b->n, err));
    SAE_TRY(sae_result_bars(r, "overlaps", "by chance", names, b->chance, NULL, NULL, b->n, err));
    SAE_TRY(sae_result_control(r, "overlaps", "by chance", err));
done:
    return status;
}

static sae_status pca_table(const write_space *s, int n, const row_moments *rows, sae_result *r, sae_error *err)
{
    static const char *const columns[] = {"scaffold", "rank", "in PCA-r", "in PCA-4r", "by chance"};
    sae_status status = SAE_OK;

    SAE_TRY(sae_result_table(r, "pca", "Share of each scaffold in the top principal components", columns, 5, err));
    for (int i = 0; i < n; i++) {
        int64_t rank = s[i].space.rank, wide = 4 * rank < rows->d ? 4 * rank : rows->d;
        const subspace narrow = row_components(rows, rank), four = row_components(rows, wide);
        char name[128];
        if (rank == 0) continue;
        snprintf(name, sizeof name, "%s%s", s[i].name,
                 s[i].config && s[i].config->variant == SAE_P3 ? " (learns PCA: positive control)" : "");
        const sae_cell cells[] = {{name, NAN},
                                  {NULL, (double)rank},
                                  {NULL, subspace_overlap(&s[i].space, &narrow)},
                                  {NULL, subspace_overlap(&s[i].space, &four)},
                                  {NULL, (double)rank / (double)rows->d}};
        SAE_TRY(sae_result_row(r, "pca", cells, 5, err));
    }
done:
    return status;
}

sae_status stability_report(sae_result *r, const write_space *spaces, int n, const overlap_group *groups, int n_groups,
                            const row_moments *rows, sae_error *err)
{
    static const char *const columns[] = {"two scaffolds", "pairs", "overlap", "least", "most", "by chance"};
    sae_status status = SAE_OK;
    overlap_bars b = {0};

    if (n_groups > OVERLAP_GROUPS_MAX) SAE_RAISE(err, SAE_RANGE, "over %d groups of pairs", (int)OVERLAP_GROUPS_MAX);
    SAE_TRY(sae_result_table(r, "overlaps", "Overlap of write spaces: 1 identical", columns, 6, err));
    for (int g = 0; g < n_groups; g++) SAE_TRY(overlap_row(spaces, n, &groups[g], &b, r, err));
    SAE_TRY(overlap_plot(&b, r, err));
    if (rows) SAE_TRY(pca_table(spaces, n, rows, r, err));
done:
    return status;
}

sae_status stability_pairs(sae_result *r, const write_space *s, int n, sae_error *err)
{
    static const char *const columns[] = {"scaffold", "rank", "inside the one of", "overlap", "by chance"};
    sae_status status = SAE_OK;
    double chance;

    SAE_TRY(
        sae_result_table(r, "each", "Every two: the share of the first that lies inside the second", columns, 5, err));
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < i; j++) {
            double overlap = overlap_of(&s[i], &s[j], &chance);
            const sae_cell cells[] = {
                {s[i].name, NAN}, {NULL, (double)s[i].space.rank}, {s[j].name, NAN}, {NULL, overlap}, {NULL, chance}};
            SAE_TRY(sae_result_row(r, "each", cells, 5, err));
        }
    }
done:
    return status;
}

/* ---- The part of a run -------------------------------------------------------------------------------------------------------- */

enum { SPACES_MAX = 2 * (SEEDS_MAX + 2) };

/* Of the scaffold of every pair; the dictionaries themselves are not kept. */
static sae_status open_spaces(write_space *s, int *n, const experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_dict *dict = NULL;

    for (int i = 0; i < e->roster.n; i++) {
        const roster_entry *r = &e->roster.entries[i];
        if (r->use != USE_SCAFFOLD) continue;
        SAE_TRY(roster_load(e, r, &dict, err));
        SAE_TRY(write_space_of(&s[*n], r->name, dict, err));
        s[(*n)++].config = &r->config;
        sae_dict_free(dict);
        dict = NULL;
    }
done:
    sae_dict_free(dict);
    return status;
}

static sae_status stability(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_result *r = NULL;
    write_space s[SPACES_MAX] = {0};
    overlap_group groups[OVERLAP_GROUPS_MAX];
    int n = 0, n_groups = 0;

    SAE_TRY(open_spaces(s, &n, e, err));
    SAE_TRY(experiment_result(e, "stability", "Is it the same subspace each time?", &r, err));
    for (int a = 0; a < e->options.n_archs; a++)
        groups[n_groups++] = (overlap_group){OTHER_SEED, (int)e->options.archs[a]};
    groups[n_groups++] = (overlap_group){OTHER_VARIANT, -1};
    groups[n_groups++] = (overlap_group){OTHER_ARCH, -1};
    SAE_TRY(stability_report(r, s, n, groups, n_groups, &e->rows, err));
done:
    for (int i = 0; i < n; i++) subspace_free(&s[i].space);
    return status;
}

sae_status stability_parts(experiment *e, sae_error *err)
{
    int scaffolds = 0;

    for (int i = 0; i < e->roster.n; i++) scaffolds += e->roster.entries[i].use == USE_SCAFFOLD;
    return scaffolds > 1 ? part_derive(e, "stability", stability, err) : SAE_OK;
}
