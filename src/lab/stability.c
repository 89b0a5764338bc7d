/*
 * stability.c - are the scaffolds of several seeds the same subspace, and that of another architecture? (docs/method.md, E8) Beside it
 * chance, and how far each lies in the top principal components, which no seed changes.
 */
#include "lab/scaffold.h"

#include <math.h>
#include <stdio.h>

enum { SPACES_MAX = 2 * (SEEDS_MAX + 2) };

typedef struct spaces {
    const roster_entry *of[SPACES_MAX]; /* borrowed */
    subspace at[SPACES_MAX];
    int n;
} spaces;

/* What the scaffold of every pair writes. */
static sae_status open_spaces(spaces *s, const experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_dict *dict = NULL;

    for (int i = 0; i < e->roster.n; i++) {
        const roster_entry *r = &e->roster.entries[i];
        if (r->use != USE_SCAFFOLD) continue;
        SAE_TRY(roster_load(e, r, &dict, err));
        SAE_TRY(subspace_of_rows(&s->at[s->n], sae_dict_weights(dict).W_up, r->config.rank, e->d, err));
        s->of[s->n++] = r;
        sae_dict_free(dict);
        dict = NULL;
    }
done:
    sae_dict_free(dict);
    return status;
}

typedef enum relation { OTHER_SEED, OTHER_VARIANT, OTHER_ARCH, RELATIONS } relation;
static const char *const relations[RELATIONS] = {"same kind, another seed", "another variant, same seed",
                                                 "another architecture, same seed"};
static const char *const keys[RELATIONS] = {"seeds", "variants", "architectures"};

static bool related(const roster_entry *a, const roster_entry *b, relation how)
{
    bool arch = a->config.arch == b->config.arch, seed = a->config.seed == b->config.seed;
    bool variant = a->config.variant == b->config.variant;

    switch (how) {
    case OTHER_SEED: return arch && variant && !seed;
    case OTHER_VARIANT: return arch && !variant && seed;
    default: return !arch && variant && seed;
    }
}

enum { ROWS_MAX = ARCHS_MAX + RELATIONS };
typedef struct overlap_bars {
    char names[ROWS_MAX][96];
    double mean[ROWS_MAX], low[ROWS_MAX], high[ROWS_MAX], chance[ROWS_MAX];
    int n;
} overlap_bars;

/* Of one architecture, or (-1) of all. */
static sae_status overlap_row(const spaces *s, const experiment *e, relation how, int arch, overlap_bars *b,
                              sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;
    double sum = 0, low = INFINITY, high = -INFINITY, chance = 0;
    char name[96], key[64];
    int n = 0;

    for (int i = 0; i < s->n; i++) {
        for (int j = 0; j < i; j++) {
            if (!related(s->of[i], s->of[j], how) || s->at[i].rank == 0 || s->at[j].rank == 0) continue;
            if (arch >= 0 && (int)s->of[i]->config.arch != arch) continue;
            double overlap = subspace_overlap(&s->at[i], &s->at[j]);
            sum += overlap;
            low = fmin(low, overlap);
            high = fmax(high, overlap);
            chance += (double)s->at[j].rank / (double)e->d;
            n++;
        }
    }
    if (n == 0) return SAE_OK;
    snprintf(name, sizeof name, "%s%s%s", relations[how], arch < 0 ? "" : ", ",
             arch < 0 ? "" : arch_name((sae_arch)arch));
    snprintf(key, sizeof key, "%s%s%s", keys[how], arch < 0 ? "" : ".", arch < 0 ? "" : arch_name((sae_arch)arch));
    const sae_cell cells[] = {{name, NAN}, {NULL, n}, {NULL, sum / n}, {NULL, low}, {NULL, high}, {NULL, chance / n}};
    SAE_TRY(sae_result_row(r, "overlaps", cells, 6, err));
    snprintf(b->names[b->n], sizeof b->names[b->n], "%s", name);
    b->mean[b->n] = sum / n;
    b->low[b->n] = low;
    b->high[b->n] = high;
    b->chance[b->n++] = chance / n;
    SAE_TRY(sae_result_silent(r, key, sum / n, low, high, err));
done:
    return status;
}

static sae_status overlap_plot(const overlap_bars *b, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *names[ROWS_MAX];

    if (b->n == 0) return SAE_OK;
    for (int i = 0; i < b->n; i++) names[i] = b->names[i];
    SAE_TRY(sae_result_plot(r, "overlaps", "Overlap of write spaces", NULL, "1 identical", SAE_PLOT_BAR, 0, err));
    SAE_TRY(sae_result_bars(r, "overlaps", "mean (whiskers: least, most)", names, b->mean, b->low, b->high, b->n, err));
    SAE_TRY(sae_result_bars(r, "overlaps", "by chance", names, b->chance, NULL, NULL, b->n, err));
done:
    return status;
}

static sae_status pca_table(const spaces *s, const experiment *e, sae_result *r, sae_error *err)
{
    static const char *const columns[] = {"scaffold", "rank", "in PCA-r", "in PCA-4r", "by chance"};
    sae_status status = SAE_OK;

    SAE_TRY(sae_result_table(r, "pca", "Share of each scaffold in the top principal components", columns, 5, err));
    for (int i = 0; i < s->n; i++) {
        int64_t rank = s->at[i].rank, wide = 4 * rank < e->d ? 4 * rank : e->d;
        const subspace narrow = experiment_components(e, rank), four = experiment_components(e, wide);
        if (rank == 0) continue;
        const sae_cell cells[] = {{s->of[i]->name, NAN},
                                  {NULL, (double)rank},
                                  {NULL, subspace_overlap(&s->at[i], &narrow)},
                                  {NULL, subspace_overlap(&s->at[i], &four)},
                                  {NULL, (double)rank / (double)e->d}};
        SAE_TRY(sae_result_row(r, "pca", cells, 5, err));
    }
done:
    return status;
}

static sae_status stability(experiment *e, sae_error *err)
{
    static const char *const columns[] = {"two scaffolds", "pairs", "overlap", "least", "most", "by chance"};
    sae_status status = SAE_OK;
    sae_result *r = NULL;
    spaces s = {0};
    overlap_bars b = {0};

    SAE_TRY(open_spaces(&s, e, err));
    SAE_TRY(experiment_result(e, "stability", "Is it the same subspace each time?", &r, err));
    SAE_TRY(sae_result_table(r, "overlaps", "Overlap of write spaces: 1 identical", columns, 6, err));
    for (int a = 0; a < e->options.n_archs; a++)
        SAE_TRY(overlap_row(&s, e, OTHER_SEED, (int)e->options.archs[a], &b, r, err));
    SAE_TRY(overlap_row(&s, e, OTHER_VARIANT, -1, &b, r, err));
    SAE_TRY(overlap_row(&s, e, OTHER_ARCH, -1, &b, r, err));
    SAE_TRY(overlap_plot(&b, r, err));
    SAE_TRY(pca_table(&s, e, r, err));
done:
    for (int i = 0; i < s.n; i++) subspace_free(&s.at[i]);
    return status;
}

sae_status stability_parts(experiment *e, sae_error *err)
{
    int scaffolds = 0;

    for (int i = 0; i < e->roster.n; i++) scaffolds += e->roster.entries[i].use == USE_SCAFFOLD;
    return scaffolds > 1 ? part_derive(e, "stability", stability, err) : SAE_OK;
}
