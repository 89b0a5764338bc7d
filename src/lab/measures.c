/*
 * measures.c - both arms on the same held-out tokens: core measures, densities side by side, and one table of losses
 * that every later step reads from.
 */
#include "lab/scaffold.h"

#include <math.h>
#include <stdio.h>

static const loss_name fixed_losses[LOSS_RANDOM] = {
    [LOSS_CLEAN] = {"nothing", "clean"},
    [LOSS_ZERO] = {"the site", "zero ablation"},
    [LOSS_MEAN] = {"the site", "mean ablation"},
    [LOSS_BASELINE] = {"baseline SAE", "reconstruction"},
    [LOSS_SCAFFOLD] = {"scaffold SAE", "reconstruction"},
    [LOSS_R4] = {"scaffold", "R4 dropped from the reconstruction"},
    [LOSS_R1] = {"scaffold", "R1 map subtracted"},
    [LOSS_R2] = {"scaffold", "R2 uncentred"},
    [LOSS_R3] = {"scaffold", "R3 centred"},
    [LOSS_PCA_R2] = {"PCA", "R2 uncentred"},
    [LOSS_PCA_R3] = {"PCA", "R3 centred"},
};

loss_name loss_name_of(int which)
{
    if (which < LOSS_RANDOM) return fixed_losses[which];
    return (loss_name){"random subspace", (which - LOSS_RANDOM) % 2 ? "R3 centred" : "R2 uncentred"};
}

int loss_count(const experiment *e) { return LOSS_RANDOM + 2 * e->options.draws; }

/* The operands of all edits; they live as long as the measurement. */
typedef struct operands {
    edit_recon baseline, scaffold, dropped;
    edit_space r2, r3, pca_r2, pca_r3, random[2 * LOSS_DRAWS_MAX];
    subspace draws[LOSS_DRAWS_MAX];
    edit edits[LOSS_RANDOM + 2 * LOSS_DRAWS_MAX];
} operands;

static sae_status draw_subspaces(operands *o, experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    rng random = rng_seed(e->options.seed, 77); /* a stream of its own: more draws leave the first ones as they were */

    for (int i = 0; i < e->options.draws; i++) {
        SAE_TRY(subspace_random(&o->draws[i], e->d, compared_rank(e), &random, err));
        o->random[2 * i] = (edit_space){&o->draws[i], NULL};
        o->random[2 * i + 1] = (edit_space){&o->draws[i], e->mean};
        o->edits[LOSS_RANDOM + 2 * i] = (edit){"random", edit_remove, &o->random[2 * i]};
        o->edits[LOSS_RANDOM + 2 * i + 1] = (edit){"random", edit_remove, &o->random[2 * i + 1]};
    }
done:
    return status;
}

static void fill_edits(operands *o, const experiment *e)
{
    o->baseline = (edit_recon){e->dicts[ARM_BASELINE], true};
    o->scaffold = (edit_recon){e->dicts[ARM_SCAFFOLD], true};
    o->dropped = (edit_recon){e->dicts[ARM_SCAFFOLD], false};
    o->r2 = (edit_space){&e->map.write_space, NULL};
    o->r3 = (edit_space){&e->map.write_space, e->mean};
    o->pca_r2 = (edit_space){&e->pca, NULL};
    o->pca_r3 = (edit_space){&e->pca, e->mean};
    o->edits[LOSS_CLEAN] = (edit){"clean", NULL, NULL};
    o->edits[LOSS_ZERO] = (edit){"zero", edit_zero, NULL};
    o->edits[LOSS_MEAN] = (edit){"mean", edit_mean, e->mean};
    o->edits[LOSS_BASELINE] = (edit){"baseline", edit_reconstruct, &o->baseline};
    o->edits[LOSS_SCAFFOLD] = (edit){"scaffold", edit_reconstruct, &o->scaffold};
    o->edits[LOSS_R4] = (edit){"R4", edit_reconstruct, &o->dropped};
    o->edits[LOSS_R1] = (edit){"R1", edit_map, e->dicts[ARM_SCAFFOLD]};
    o->edits[LOSS_R2] = (edit){"R2", edit_remove, &o->r2};
    o->edits[LOSS_R3] = (edit){"R3", edit_remove, &o->r3};
    o->edits[LOSS_PCA_R2] = (edit){"pca.R2", edit_remove, &o->pca_r2};
    o->edits[LOSS_PCA_R3] = (edit){"pca.R3", edit_remove, &o->pca_r3};
}

static sae_status measure_losses(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    operands *o = mem_alloc(sizeof *o, "edits", err);

    if (!o) return SAE_NOMEM;
    fill_edits(o, e);
    SAE_TRY(draw_subspaces(o, e, err));
    SAE_TRY(splice_measure(&e->losses, &e->held_out, splice_sequences(&e->held_out, e->options.ce_tokens), o->edits,
                           loss_count(e), e->progress, err));
done:
    for (int i = 0; i < LOSS_DRAWS_MAX; i++) subspace_free(&o->draws[i]);
    mem_free(o);
    return status;
}

static sae_status report_arm(experiment *e, int arm, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_result *r = NULL;
    core_losses where = {.table = &e->losses, .clean = LOSS_CLEAN, .zero = LOSS_ZERO, .sparse = -1};

    where.recon = arm == ARM_BASELINE ? LOSS_BASELINE : LOSS_SCAFFOLD;
    if (arm == ARM_SCAFFOLD) where.sparse = LOSS_R4;
    where.n_vocab = sae_model_get_info(e->model)->n_vocab;
    where.seed = e->options.seed;
    SAE_TRY(experiment_result(e, arm_names[arm],
                              arm == ARM_BASELINE ? "The baseline" : "The dictionary with the scaffold", &r, err));
    SAE_TRY(core_describe(r, &e->held_out, err));
    SAE_TRY(core_report(r, &e->arms[arm], &e->held_out, &where, err));
done:
    return status;
}

static sae_status report_density(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_result *r = NULL;
    double counts[ARMS][DENSITY_THRESHOLDS];
    char names[DENSITY_THRESHOLDS][24];
    const char *categories[DENSITY_THRESHOLDS];
    const density *densities[ARMS] = {&e->arms[ARM_BASELINE].density, &e->arms[ARM_SCAFFOLD].density};

    SAE_TRY(experiment_result(e, "density", "Dense latents", &r, err));
    for (int i = 0; i < DENSITY_THRESHOLDS; i++) {
        snprintf(names[i], sizeof names[i], "%g %%", 100 * density_thresholds[i]);
        categories[i] = names[i];
        for (int a = 0; a < ARMS; a++) counts[a][i] = (double)density_dense(&e->arms[a].density, density_thresholds[i]);
    }
    SAE_TRY(sae_result_plot(r, "counts", "Dense latents", "firing on more than this share of tokens", "latents",
                            SAE_PLOT_BAR, 0, err));
    for (int a = 0; a < ARMS; a++)
        SAE_TRY(sae_result_bars(r, "counts", arm_names[a], categories, counts[a], NULL, NULL, DENSITY_THRESHOLDS, err));
    SAE_TRY(core_density_plot(r, arm_names, densities, ARMS, err));
done:
    return status;
}

sae_status arms_measure(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;

    for (int a = 0; a < ARMS; a++) SAE_TRY(core_measure(&e->arms[a], &e->held_out, e->dicts[a], e->progress, err));
    SAE_TRY(measure_losses(e, err));
    SAE_TRY(report_density(e, err));
    for (int a = 0; a < ARMS; a++) SAE_TRY(report_arm(e, a, err));
done:
    return status;
}
