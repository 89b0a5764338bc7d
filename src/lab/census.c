/*
 * census.c - the first numbers of every dictionary of a run, on the same held-out tokens: how sparse, how well it fits, how many
 * dense latents, what its reconstruction costs the model. Numbers are named NAME.l0 and so on: later parts read them.
 */
#include "lab/census.h"
#include "eval/antipodal.h"
#include "lab/scaffold.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

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

static sae_status losses_of(loss_table *out, sample *s, const edit *one, int64_t ce_tokens,
                            const sae_progress *progress, sae_error *err)
{
    return splice_measure(out, s, splice_sequences(s, ce_tokens), one, 1, progress, err);
}

sae_status census_clean(loss_table *out, sample *s, int64_t ce_tokens, const sae_progress *progress, sae_error *err)
{
    return losses_of(out, s, &(edit){.fn = NULL}, ce_tokens, progress, err);
}

sae_status census_measure(census_entry *out, sample *s, const sae_dict *dict, const loss_table *clean,
                          int64_t ce_tokens, uint64_t seed, const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    core_arm arm = {0};
    loss_table losses = {0};
    edit_recon recon = {.dict = dict, .scaffold = true};
    const edit reconstruct = {.fn = edit_reconstruct, .user = &recon};

    SAE_TRY(core_measure(&arm, s, dict, progress, err));
    SAE_TRY(losses_of(&losses, s, &reconstruct, ce_tokens, progress, err));
    SAE_TRY(bootstrap_ratio(&out->ce_ratio, losses.nll, clean->nll, losses.n_seq, seed, err));
    SAE_TRY(antipodality(&arm, out->threshold, &out->antipodal, err));
    out->l0 = core_l0(&arm);
    out->fvu = fit_fvu(&arm.full);
    out->fvu_sparse = fit_fvu(&arm.sparse);
    out->headline = (double)density_dense(&arm.density, out->threshold);
    out->mass = density_mass(&arm.density, out->threshold);
    out->dead = (double)density_dead(&arm.density);
    for (int i = 0; i < DENSITY_THRESHOLDS; i++)
        out->dense[i] = (double)density_dense(&arm.density, density_thresholds[i]);
done:
    loss_table_free(&losses);
    core_arm_free(&arm);
    return status;
}

static sae_status put(sae_result *r, const census_entry *n, const char *key, double value, sae_error *err)
{
    char name[300];

    snprintf(name, sizeof name, "%s.%s", n->name, key);
    return sae_result_silent(r, name, value, value, value, err);
}

static sae_status numbers(sae_result *r, const census_entry *n, sae_error *err)
{
    static const char *const dense[DENSITY_THRESHOLDS] = {"dense_0.05", "dense_0.1", "dense_0.2", "dense_0.3"};
    sae_status status = SAE_OK;
    char name[300];

    SAE_TRY(put(r, n, "l0", n->l0, err));
    SAE_TRY(put(r, n, "fvu", n->fvu, err));
    SAE_TRY(put(r, n, "fvu_sparse_only", n->fvu_sparse, err));
    SAE_TRY(put(r, n, "dense_mass", n->mass, err));
    SAE_TRY(put(r, n, "dead", n->dead, err));
    SAE_TRY(put(r, n, "antipodality", n->antipodal, err));
    for (int i = 0; i < DENSITY_THRESHOLDS; i++) SAE_TRY(put(r, n, dense[i], n->dense[i], err));
    snprintf(name, sizeof name, "dense_%g", n->threshold);
    SAE_TRY(put(r, n, name, n->headline, err)); /* mostly one of those */
    snprintf(name, sizeof name, "%s.ce_ratio", n->name);
    SAE_TRY(sae_result_silent(r, name, n->ce_ratio.value, n->ce_ratio.low, n->ce_ratio.high, err));
done:
    return status;
}

sae_status census_table(sae_result *r, sae_error *err)
{
    static const char *const columns[] = {"dictionary", "k",    "rank", "L0",   "FVU",       "CE / clean", "dense 5 %",
                                          "10 %",       "20 %", "30 %", "mass", "antipodal", "dead"};

    return sae_result_table(r, "dictionaries", "On the same held-out tokens", columns, 13, err);
}

sae_status census_row(sae_result *r, const census_entry *n, sae_error *err)
{
    const sae_cell cells[] = {{n->name, NAN},
                              {NULL, (double)n->config->k},
                              {NULL, (double)n->config->rank},
                              {NULL, n->l0},
                              {NULL, n->fvu},
                              {NULL, n->ce_ratio.value},
                              {NULL, n->dense[0]},
                              {NULL, n->dense[1]},
                              {NULL, n->dense[2]},
                              {NULL, n->dense[3]},
                              {NULL, n->mass},
                              {NULL, n->antipodal},
                              {NULL, n->dead}};
    sae_status status = sae_result_row(r, "dictionaries", cells, 13, err);

    return status == SAE_OK ? numbers(r, n, err) : status;
}

sae_status census_note(sae_result *r, double threshold, sae_error *err)
{
    char note[480];

    snprintf(
        note, sizeof note,
        "FVU and CE are of the whole reconstruction, the scaffold's part in it. Dense: latents firing on more than "
        "this share of tokens; mass: sum of the shares over %g %%, dense latents active per token; antipodal: mean "
        "over them of the largest cos(enc, enc') cos(dec, dec') of which both are negative: 1 for halves of a signed "
        "direction.",
        100 * threshold);
    return sae_result_note(r, note, err);
}

/* ---- The part of a run -------------------------------------------------------------------------------------------------------- */

sae_status census_of(experiment *e, const roster_entry *r, const loss_table *clean, census_entry *out, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_dict *dict = NULL;

    *out = (census_entry){.name = r->name, .config = &r->config, .threshold = e->options.dense_threshold};
    SAE_TRY(roster_load(e, r, &dict, err));
    SAE_TRY(census_measure(out, &e->held_out, dict, clean, e->options.ce_tokens, e->options.seed, e->progress, err));
done:
    sae_dict_free(dict);
    return status;
}

static sae_status census_run(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_result *r = NULL;
    loss_table clean = {0};
    census_entry n;

    SAE_TRY(experiment_sample(e, err));
    SAE_TRY(census_clean(&clean, &e->held_out, e->options.ce_tokens, e->progress, err));
    SAE_TRY(experiment_result(e, "census", "Every dictionary", &r, err));
    SAE_TRY(census_table(r, err));
    for (int i = 0; i < e->roster.n; i++) {
        if (e->roster.entries[i].use >= USE_DENSE) continue;
        SAE_TRY(census_of(e, &e->roster.entries[i], &clean, &n, err));
        SAE_TRY(census_row(r, &n, err));
    }
    SAE_TRY(census_note(r, e->options.dense_threshold, err));
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
