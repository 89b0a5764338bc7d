/*
 * census.c - the first numbers of every dictionary of a run, on the same held-out tokens: how sparse, how well it fits, how many
 * dense latents, what its reconstruction costs the model. Numbers are named NAME.l0 and so on: later parts read them.
 */
#include "eval/antipodal.h"
#include "lab/scaffold.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct entry {
    const roster_entry *of;
    double l0, fvu, fvu_sparse, dense[DENSITY_THRESHOLDS], mass, dead, antipodal;
    double headline; /* latents over the run's threshold, as mass and antipodal are of them */
    interval ce_ratio;
} entry;

/* Mean antipodality of dense latents; NaN when there is none. */
static sae_status antipodality(const core_arm *arm, double threshold, double *mean, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t n = density_dense(&arm->density, threshold);
    int64_t *latents = mem_alloc_array((size_t)n + 1, sizeof *latents, "dense latents", err);
    antipode *scores = mem_alloc_array((size_t)n + 1, sizeof *scores, "antipodality", err);

    *mean = NAN;
    if (!latents || !scores) SAE_TRY(SAE_NOMEM);
    if (n == 0) goto done;
    SAE_TRY(density_top(&arm->density, n, latents, err));
    SAE_TRY(antipodal_scores(arm->dict, latents, n, scores, err));
    *mean = 0;
    for (int64_t i = 0; i < n; i++) *mean += scores[i].score / (double)n;
done:
    mem_free(latents);
    mem_free(scores);
    return status;
}

/* The clean model's loss once, for all dictionaries. */
static sae_status losses_of(experiment *e, const edit *one, loss_table *out, sae_error *err)
{
    return splice_measure(out, &e->held_out, splice_sequences(&e->held_out, e->options.ce_tokens), one, 1, e->progress,
                          err);
}

static sae_status measure(experiment *e, const roster_entry *r, const loss_table *clean, entry *out, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_dict *dict = NULL;
    core_arm arm = {0};
    loss_table losses = {0};
    edit_recon recon = {.scaffold = true};
    const edit reconstruct = {"reconstruction", edit_reconstruct, &recon};

    *out = (entry){.of = r};
    SAE_TRY(roster_load(e, r, &dict, err));
    recon.dict = dict;
    SAE_TRY(core_measure(&arm, &e->held_out, dict, e->progress, err));
    SAE_TRY(losses_of(e, &reconstruct, &losses, err));
    SAE_TRY(bootstrap_ratio(&out->ce_ratio, losses.nll, clean->nll, losses.n_seq, e->options.seed, err));
    SAE_TRY(antipodality(&arm, e->options.dense_threshold, &out->antipodal, err));
    out->l0 = core_l0(&arm);
    out->fvu = fit_fvu(&arm.full);
    out->fvu_sparse = fit_fvu(&arm.sparse);
    out->headline = (double)density_dense(&arm.density, e->options.dense_threshold);
    out->mass = density_mass(&arm.density, e->options.dense_threshold);
    out->dead = (double)density_dead(&arm.density);
    for (int i = 0; i < DENSITY_THRESHOLDS; i++)
        out->dense[i] = (double)density_dense(&arm.density, density_thresholds[i]);
done:
    loss_table_free(&losses);
    core_arm_free(&arm);
    sae_dict_free(dict);
    return status;
}

static sae_status put(sae_result *r, const entry *n, const char *key, double value, sae_error *err)
{
    char name[128];

    snprintf(name, sizeof name, "%s.%s", n->of->name, key);
    return sae_result_silent(r, name, value, value, value, err);
}

static sae_status numbers(const experiment *e, sae_result *r, const entry *n, sae_error *err)
{
    static const char *const dense[DENSITY_THRESHOLDS] = {"dense_0.05", "dense_0.1", "dense_0.2", "dense_0.3"};
    sae_status status = SAE_OK;
    char name[128];

    SAE_TRY(put(r, n, "l0", n->l0, err));
    SAE_TRY(put(r, n, "fvu", n->fvu, err));
    SAE_TRY(put(r, n, "fvu_sparse_only", n->fvu_sparse, err));
    SAE_TRY(put(r, n, "dense_mass", n->mass, err));
    SAE_TRY(put(r, n, "dead", n->dead, err));
    SAE_TRY(put(r, n, "antipodality", n->antipodal, err));
    for (int i = 0; i < DENSITY_THRESHOLDS; i++) SAE_TRY(put(r, n, dense[i], n->dense[i], err));
    SAE_TRY(put(r, n, e->dense_key, n->headline, err)); /* mostly one of those */
    snprintf(name, sizeof name, "%s.ce_ratio", n->of->name);
    SAE_TRY(sae_result_silent(r, name, n->ce_ratio.value, n->ce_ratio.low, n->ce_ratio.high, err));
done:
    return status;
}

static sae_status row(sae_result *r, const entry *n, sae_error *err)
{
    const sae_dict_config *c = &n->of->config;
    const sae_cell cells[] = {{n->of->name, NAN},  {NULL, (double)c->k}, {NULL, (double)c->rank},
                              {NULL, n->l0},       {NULL, n->fvu},       {NULL, n->ce_ratio.value},
                              {NULL, n->dense[0]}, {NULL, n->dense[1]},  {NULL, n->dense[2]},
                              {NULL, n->dense[3]}, {NULL, n->mass},      {NULL, n->antipodal},
                              {NULL, n->dead}};

    return sae_result_row(r, "dictionaries", cells, 13, err);
}

static sae_status census_run(experiment *e, sae_error *err)
{
    static const char *const columns[] = {"dictionary", "k",    "rank", "L0",   "FVU",       "CE / clean", "dense 5 %",
                                          "10 %",       "20 %", "30 %", "mass", "antipodal", "dead"};
    sae_status status = SAE_OK;
    sae_result *r = NULL;
    loss_table clean = {0};
    entry n;
    char note[480];

    SAE_TRY(experiment_sample(e, err));
    SAE_TRY(losses_of(e, &(edit){"clean", NULL, NULL}, &clean, err));
    SAE_TRY(experiment_result(e, "census", "Every dictionary", &r, err));
    SAE_TRY(sae_result_table(r, "dictionaries", "On the same held-out tokens", columns, 13, err));
    for (int i = 0; i < e->roster.n; i++) {
        if (e->roster.entries[i].use >= USE_DENSE) continue;
        SAE_TRY(measure(e, &e->roster.entries[i], &clean, &n, err));
        SAE_TRY(row(r, &n, err));
        SAE_TRY(numbers(e, r, &n, err));
    }
    snprintf(
        note, sizeof note,
        "FVU and CE are of the whole reconstruction, the scaffold's part in it. Dense: latents firing on more than "
        "this share of tokens; mass: sum of the shares over %g %%, dense latents active per token; antipodal: mean "
        "over them of the largest cos(enc, enc') cos(dec, dec') of which both are negative: 1 for halves of a signed "
        "direction.",
        100 * e->options.dense_threshold);
    SAE_TRY(sae_result_note(r, note, err));
done:
    loss_table_free(&clean);
    return status;
}

sae_status census_parts(experiment *e, sae_error *err)
{
    json_t *all = json_object();

    for (int i = 0; i < e->roster.n; i++)
        if (e->roster.entries[i].use < USE_DENSE)
            json_put(&all, e->roster.entries[i].name, roster_identity(e, &e->roster.entries[i]));
    json_put(&all, "dense_threshold", json_real(e->options.dense_threshold));
    return part_run(e, "census", part_identity(e, all), census_run, err);
}
