/*
 * pair.c - a baseline and its partner, alike but for the scaffold, and what is measured on both.
 */
#include "lab/scaffold.h"
#include "lab/structure.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

int64_t compared_rank(const experiment *e) { return scaffold_map_compared(&e->map); }

bool pair_is_first(const experiment *e)
{
    const sae_dict_config *c = &e->pair[ARM_SCAFFOLD]->config;

    return c->variant == e->options.variants[0] && c->seed == e->options.seed;
}

void pair_close(experiment *e)
{
    for (int a = 0; a < ARMS; a++) {
        core_arm_free(&e->arms[a]);
        sae_dict_free(e->dicts[a]);
        e->dicts[a] = NULL;
        e->pair[a] = NULL;
    }
    scaffold_map_free(&e->map);
    subspace_free(&e->all);
    subspace_free(&e->dense);
    subspace_free(&e->other);
    loss_table_free(&e->losses);
    e->pca = e->next = (subspace){0};
}

/* The scaffold of the next seed (of the last: of the first). NULL: there is one seed only, or the pair is of another variant. */
static const roster_entry *other_seed(const experiment *e, const roster_entry *scaffold)
{
    const scaffold_options *o = &e->options;
    uint64_t next = scaffold->config.seed + 1;

    if (o->seeds < 2 || scaffold->config.variant != o->variants[0]) return NULL;
    return roster_pair(e, scaffold->config.arch, USE_SCAFFOLD, next < o->seed + (uint64_t)o->seeds ? next : o->seed);
}

static sae_status other_open(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    const roster_entry *other = other_seed(e, e->pair[ARM_SCAFFOLD]);
    sae_dict *dict = NULL;

    if (!other) return SAE_OK;
    SAE_TRY(roster_load(e, other, &dict, err));
    SAE_TRY(subspace_of_rows(&e->other, sae_dict_weights(dict).W_up, other->config.rank, e->d, err));
done:
    sae_dict_free(dict);
    return status;
}

sae_status pair_open(experiment *e, const roster_entry *baseline, const roster_entry *scaffold, sae_error *err)
{
    sae_status status = SAE_OK;

    pair_close(e);
    e->pair[ARM_BASELINE] = baseline;
    e->pair[ARM_SCAFFOLD] = scaffold;
    for (int a = 0; a < ARMS; a++) SAE_TRY(roster_load(e, e->pair[a], &e->dicts[a], err));
    SAE_TRY(scaffold_map_create(&e->map, e->dicts[ARM_SCAFFOLD], e->rows.mean, e->rows.covariance, err));
    e->pca = row_components(&e->rows, compared_rank(e));
    e->next = e->pca;
    e->next.basis += e->pca.rank * e->d;
    if (e->next.rank > e->d - e->pca.rank) e->next.rank = e->d - e->pca.rank;
    SAE_TRY(other_open(e, err));
done:
    return status;
}

/* ---- The comparison --------------------------------------------------------------------------------------------------------- */

/* The share by which the scaffold changes a count, in words. */
static void change_text(char *text, size_t size, double base, double with)
{
    if (base > 0)
        snprintf(text, size, "%+.0f %%", 100 * (with / base - 1));
    else
        snprintf(text, size, "none to reduce");
}

static sae_status dense_table(const experiment *e, sae_result *r, sae_error *err)
{
    static const char *const columns[] = {"latents firing on more than", "baseline", "scaffold", "change"};
    sae_status status = SAE_OK;

    SAE_TRY(sae_result_table(r, "dense", "Dense latents, side by side", columns, 4, err));
    for (int i = 0; i < DENSITY_THRESHOLDS; i++) {
        double base = (double)density_dense(&e->arms[ARM_BASELINE].density, density_thresholds[i]);
        double with = (double)density_dense(&e->arms[ARM_SCAFFOLD].density, density_thresholds[i]);
        char share[32], change[32];
        snprintf(share, sizeof share, "%g %% of tokens", 100 * density_thresholds[i]);
        change_text(change, sizeof change, base, with);
        const sae_cell cells[] = {{share, NAN}, {NULL, base}, {NULL, with}, {change, NAN}};
        SAE_TRY(sae_result_row(r, "dense", cells, 4, err));
    }
done:
    return status;
}

static sae_status uniform_note(const experiment *e, sae_result *r, sae_error *err)
{
    char text[300];
    double uniform = log((double)sae_model_get_info(e->model)->n_vocab);

    snprintf(
        text, sizeof text,
        "Clean CE is %.3f nats, a uniform guess costs %.3f (%.2f x), the site set to zero %.3f, set to its mean %.3f. "
        "A ratio above that of the uniform guess means a model that is confidently wrong, not one that lacks "
        "information.",
        loss_mean(&e->losses, LOSS_CLEAN), uniform, uniform / loss_mean(&e->losses, LOSS_CLEAN),
        loss_mean(&e->losses, LOSS_ZERO), loss_mean(&e->losses, LOSS_MEAN));
    return sae_result_note(r, text, err);
}

static sae_status comparison_report(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_result *r = NULL;
    char title[128];

    snprintf(title, sizeof title, "%s against %s", e->pair[ARM_SCAFFOLD]->name, e->pair[ARM_BASELINE]->name);
    SAE_TRY(experiment_result(e, "comparison", title, &r, err));
    SAE_TRY(removal_side_by_side(e, r, err));
    SAE_TRY(difference_report(e, r, err));
    SAE_TRY(dense_table(e, r, err));
    SAE_TRY(uniform_note(e, r, err));
done:
    return status;
}

static sae_status structure_of_pair(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    const structure s = {.map = &e->map, .rows = &e->rows, .pca = e->pca, .seed = e->options.seed};
    sae_result *r = NULL;
    char title[128];

    snprintf(title, sizeof title, "What the scaffold of %s is", e->pair[ARM_SCAFFOLD]->name);
    SAE_TRY(experiment_result(e, "structure", title, &r, err));
    SAE_TRY(structure_report(&s, r, err));
done:
    return status;
}

/* ---- Its part ---------------------------------------------------------------------------------------------------------------- */

static sae_status pair_measure(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;

    SAE_TRY(experiment_sample(e, err));
    SAE_TRY(arms_measure(e, err));
    SAE_TRY(comparison_report(e, err));
    SAE_TRY(removal_report(e, err));
    SAE_TRY(structure_of_pair(e, err));
done:
    return status;
}

static json_t *pair_identity(const experiment *e, const roster_entry *baseline, const roster_entry *scaffold)
{
    const roster_entry *other = other_seed(e, scaffold);

    return json_pack("{so so so si}", "baseline", roster_identity(e, baseline), "scaffold",
                     roster_identity(e, scaffold), "other", other ? roster_identity(e, other) : json_null(), "draws",
                     e->options.draws);
}

sae_status pair_parts(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;

    for (int i = 0; i < e->roster.n; i++) {
        const roster_entry *r = &e->roster.entries[i], *baseline;
        if (r->use != USE_SCAFFOLD) continue;
        baseline = roster_pair(e, r->config.arch, USE_BASELINE, r->config.seed);
        SAE_TRY(pair_open(e, baseline, r, err));
        SAE_TRY(part_run(e, r->name, part_identity(e, pair_identity(e, baseline, r)), pair_measure, err));
    }
done:
    pair_close(e);
    return status;
}
