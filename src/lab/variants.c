/*
 * variants.c - P1, P2 and P3 side by side: how a scaffold is wired decides what it becomes, so the claims' first page shows all that
 * were trained, of the first seed; N4 and N5 of those that are not the first of the list.
 */
#include "lab/claims.h"
#include "sae/scaffold_fields.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Which rows a removal changes. */
static const struct {
    const char *suffix, *name;
} choices[] = {{"", "scored rows"}, {"_position_0", "position 0 too"}, {"_every", "all masked rows too"}};
enum { CHOICES = sizeof choices / sizeof *choices };
static const char *const operators[2] = {"R2", "R3"};

/* A scaffold's CE over the clean one, PCA's, the one over the other, and over random subspaces'. */
typedef struct beside_pca {
    interval scaffold, pca, over, over_random;
} beside_pca;

static bool beside_pca_of(const experiment *e, const char *part, int choice, int op, beside_pca *out)
{
    const struct {
        const char *what;
        interval *to;
    } wanted[] = {{"scaffold", &out->scaffold},
                  {"pca", &out->pca},
                  {"scaffold_over_pca", &out->over},
                  {"scaffold_over_random", &out->over_random}};
    char key[64];

    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        snprintf(key, sizeof key, "%s%s.%s", wanted[i].what, choices[choice].suffix, operators[op]);
        if (!experiment_found(e, part, "removal", key, wanted[i].to)) return false;
    }
    return true;
}

/* ---- N4, N5 of the other variants --------------------------------------------------------------------------------------- */

/* The order of scaffold and PCA may turn with the rows that are changed, so that one row of the table has all choices of them. */
static sae_status removal_row(const experiment *e, const roster_entry *of, int op, sae_result *r, sae_error *err)
{
    claim c = {.number = "N4, N5", .paper = "7.5 x, PCA 2.8 x"};
    const interval one_seed = {NAN, NAN, NAN};
    char name[128];
    beside_pca v;

    for (int i = 0; i < CHOICES; i++) {
        if (!beside_pca_of(e, of->name, i, op, &v)) continue;
        const char *between = *c.here ? "; " : "";
        claim_add(c.more, sizeof c.more, "%s%s: %.3f x for the scaffold, %.3f x for PCA (of one another %.3f x)",
                  between, choices[i].name, v.scaffold.value, v.pca.value, v.over.value);
        if (isfinite(v.over.low))
            claim_add(c.range, sizeof c.range, "%s[%.3f, %.3f]", *c.range ? "; " : "", v.over.low, v.over.high);
        const interval of_pca[2] = {v.over, one_seed}, over_random[2] = {v.over_random, one_seed};
        claim_add(c.says, sizeof c.says, "%s%s: %s", between, choices[i].name, verdict_beside_pca(of_pca, over_random));
        claim_add(c.here, sizeof c.here, "%s%s %.3f", *c.here ? "; " : "of PCA's: ", choices[i].name, v.over.value);
    }
    if (!*c.here) return SAE_OK; /* not measured in this run */
    claim_add(c.says, sizeof c.says, " (one seed's scaffold)");
    snprintf(name, sizeof name, "CE after removal, %s, %s, %s", op ? "centred (R3)" : "uncentred (R2)",
             arch_name(of->config.arch), variant_labels[of->config.variant]);
    c.name = name;
    return claim_row(r, &c, err);
}

sae_status claims_of_variants(const experiment *e, int arch, sae_result *r, sae_error *err)
{
    sae_status status = SAE_OK;

    for (int v = 1; v < e->options.n_variants; v++) {
        const roster_entry *of =
            roster_find(e, e->options.archs[arch], USE_SCAFFOLD, e->options.variants[v], e->options.seed);
        for (int op = 0; of && op < 2; op++) SAE_TRY(removal_row(e, of, op, r, err));
    }
done:
    return status;
}

/* ---- Tables ------------------------------------------------------------------------------------------------------------- */

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

/* "3.221 x, PCA 2.605 x: 1.236 [1.219, 1.254]" */
static sae_status removed_row(const experiment *e, const roster_entry *of, int op, sae_result *r, sae_error *err)
{
    char name[96], text[CHOICES][160], over[INTERVAL_TEXT];
    sae_cell cells[2 + CHOICES] = {{name, NAN}, {operators[op], NAN}};
    beside_pca v;

    snprintf(name, sizeof name, "%s, %s", arch_name(of->config.arch), variant_labels[of->config.variant]);
    for (int i = 0; i < CHOICES; i++) {
        cells[2 + i] = (sae_cell){"-", NAN};
        if (!beside_pca_of(e, of->name, i, op, &v)) continue;
        interval_text(over, &v.over);
        snprintf(text[i], sizeof text[i], "%.3f x, PCA %.3f x: %s", v.scaffold.value, v.pca.value, over);
        cells[2 + i] = (sae_cell){text[i], v.over.value};
    }
    return sae_result_row(r, "variants_removed", cells, 2 + CHOICES, err);
}

/* The first seed's scaffolds, all that were trained. */
static bool shown(const experiment *e, const roster_entry *of)
{
    return of->use == USE_SCAFFOLD && of->config.seed == e->options.seed;
}

static sae_status removed_table(const experiment *e, sae_result *r, sae_error *err)
{
    static const char *const columns[2 + CHOICES] = {"scaffold", "removed by", "scored rows changed", "position 0 too",
                                                     "all masked rows too"};
    sae_status status = SAE_OK;

    SAE_TRY(sae_result_table(r, "variants_removed",
                             "How the scaffold is wired: CE after removal, PCA's, and the one over the other", columns,
                             2 + CHOICES, err));
    for (int op = 0; op < 2; op++)
        for (int i = 0; i < e->roster.n; i++)
            if (shown(e, &e->roster.entries[i])) SAE_TRY(removed_row(e, &e->roster.entries[i], op, r, err));
done:
    return status;
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
        if (shown(e, of)) SAE_TRY(row(e, of, r, err));
    }
    SAE_TRY(removed_table(e, r, err));
    SAE_TRY(sae_result_note(
        r,
        "P1: the sparse part sees the row, both learn together. P2: it sees what the scaffold leaves, and the "
        "scaffold learns from both. P3: the scaffold learns from its own reconstruction alone, as PCA would; its "
        "distance from a projector, 0 for PCA, says how far it has come in these steps.",
        err));
done:
    return status;
}
