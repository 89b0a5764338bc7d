/*
 * variants.c - P1, P2 and P3 side by side: how a scaffold is wired decides what it becomes, so the claims' first page shows all that
 * were trained, of the first seed.
 */
#include "lab/scaffold.h"
#include "sae/scaffold_fields.h"

#include <math.h>
#include <stdio.h>

static double number_of(const experiment *e, const char *part, const char *file, const char *key)
{
    const sae_result *r = experiment_find(e, part, file);

    return r ? sae_result_get(r, key, NAN) : NAN;
}

static void text_of(const experiment *e, const char *part, const char *key, char out[INTERVAL_TEXT])
{
    interval v;

    if (experiment_found(e, part, "removal", key, &v))
        interval_text(out, &v);
    else
        snprintf(out, INTERVAL_TEXT, "-");
}

static sae_status row(const experiment *e, const roster_entry *of, sae_result *r, sae_error *err)
{
    static const char *const keys[] = {"scaffold.R2", "scaffold.R3", "pca.R3"};
    const roster_entry *baseline = roster_pair(e, of->config.arch, USE_BASELINE, of->config.seed);
    const double before = experiment_number(e, baseline, e->dense_key), with = experiment_number(e, of, e->dense_key);
    char name[96], dense[64], overlap[64], removed[3][INTERVAL_TEXT];

    snprintf(name, sizeof name, "%s, %s", arch_name(of->config.arch), variant_labels[of->config.variant]);
    snprintf(dense, sizeof dense, "%.0f to %.0f", before, with);
    snprintf(overlap, sizeof overlap, "%.3f (%.3f)", number_of(e, of->name, "structure", "overlap_pca_r"),
             number_of(e, of->name, "structure", "overlap_chance_r"));
    for (int i = 0; i < 3; i++) text_of(e, of->name, keys[i], removed[i]);
    const sae_cell cells[] = {{name, NAN},
                              {dense, with},
                              {NULL, experiment_number(e, baseline, "fvu")},
                              {NULL, experiment_number(e, of, "fvu")},
                              {overlap, number_of(e, of->name, "structure", "overlap_pca_r")},
                              {NULL, number_of(e, of->name, "structure", "projector_distance")},
                              {removed[0], number_of(e, of->name, "removal", keys[0])},
                              {removed[1], number_of(e, of->name, "removal", keys[1])},
                              {removed[2], number_of(e, of->name, "removal", keys[2])}};
    return sae_result_row(r, "variants", cells, 9, err);
}

sae_status variants_report(const experiment *e, sae_result *r, sae_error *err)
{
    static const char *const columns[] = {"scaffold",   "dense latents",        "FVU, baseline",
                                          "FVU",        "in PCA-r (by chance)", "distance from a projector",
                                          "removed R2", "removed R3",           "PCA removed R3"};
    sae_status status = SAE_OK;

    if (e->options.n_variants < 2) return SAE_OK;
    SAE_TRY(sae_result_table(r, "variants", "How the scaffold is wired: the first seed of each", columns, 9, err));
    for (int i = 0; i < e->roster.n; i++) {
        const roster_entry *of = &e->roster.entries[i];
        if (of->use == USE_SCAFFOLD && of->config.seed == e->options.seed) SAE_TRY(row(e, of, r, err));
    }
    SAE_TRY(sae_result_note(
        r,
        "P1: the sparse part sees the row, both learn together. P2: it sees what the scaffold leaves, and the "
        "scaffold learns from both. P3: the scaffold learns from its own reconstruction alone, as PCA would; its "
        "distance from a projector, 0 for PCA, says how far it has come in these steps.",
        err));
done:
    return status;
}
