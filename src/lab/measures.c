/*
 * measures.c - both arms on the same held-out tokens: core measures, densities side by side, and one table of losses
 * that every later step reads from.
 */
#include "lab/scaffold.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const loss_name fixed_losses[LOSS_R2] = {
    [LOSS_CLEAN] = {"nothing", "clean", "clean"},
    [LOSS_ZERO] = {"the site", "zero ablation", "zero"},
    [LOSS_MEAN] = {"the site", "mean ablation", "mean"},
    [LOSS_BASELINE] = {"baseline SAE", "reconstruction", "baseline.reconstruction"},
    [LOSS_SCAFFOLD] = {"scaffold SAE", "reconstruction", "scaffold.reconstruction"},
    [LOSS_R4] = {"scaffold", "R4 dropped from the reconstruction", "scaffold.R4"},
    [LOSS_R1] = {"scaffold", "R1 map subtracted", "scaffold.R1"},
};
/* Ways of removing a subspace, as they follow each other. */
static const struct {
    const char *operator, * key, *what_rows, *key_rows;
} ways[REMOVAL_WAYS] = {
    [OP_R2] = {"R2 uncentred", "R2", "", ""},
    [OP_R3] = {"R3 centred", "R3", "", ""},
    [OP_R5] = {"R5 from another row", "R5", "", ""},
    [OP_R6] = {"R6 norm kept", "R6", "", ""},
    [WITH_POSITION_0 + OP_R2] = {"R2 uncentred", "R2", ", position 0 too", "_position_0"},
    [WITH_POSITION_0 + OP_R3] = {"R3 centred", "R3", ", position 0 too", "_position_0"},
    [EVERY_ROW + OP_R2] = {"R2 uncentred", "R2", ", masked rows too", "_every"},
    [EVERY_ROW + OP_R3] = {"R3 centred", "R3", ", masked rows too", "_every"},
    [POSITION_0_R6] = {"R6 norm kept", "R6", ", position 0 too", "_position_0"},
};
/* Subspaces, as they follow each other from LOSS_R2 on; random ones behind them. */
static const struct {
    const char *what, *key;
} spaces[] = {
    {"scaffold", "scaffold"},
    {"PCA", "pca"},
    {"PCA, the next r", "pca_next"},
    {"PCA of all rows", "pca_all"},
    {"r densest of the baseline", "dense_latents"},
    {"another seed's scaffold", "other_scaffold"},
    {"random, equal share 1", "equal_share1"},
    {"random, equal share 2", "equal_share2"},
    {"random, equal share 3", "equal_share3"},
    {"random, equal share 4", "equal_share4"},
    {"random, equal share 5", "equal_share5"},
};
enum { SPACES = sizeof spaces / sizeof *spaces };
_Static_assert(LOSS_R2 + SPACES * REMOVAL_WAYS == LOSS_RANDOM, "a name for each subspace");

loss_name loss_name_of(int which)
{
    if (which < LOSS_R2) return fixed_losses[which];
    const int space = (which - LOSS_R2) / REMOVAL_WAYS, way = (which - LOSS_R2) % REMOVAL_WAYS;
    const bool random = space >= SPACES;
    loss_name n = {.operator= ways[way].operator};
    char draw[16] = "";

    if (random) snprintf(draw, sizeof draw, "%d", space - SPACES + 1);
    snprintf(n.what, sizeof n.what, "%s%s%s", random ? "random subspace " : spaces[space].what, draw,
             ways[way].what_rows);
    snprintf(n.key, sizeof n.key, "%s%s%s.%s", random ? "random" : spaces[space].key, draw, ways[way].key_rows,
             ways[way].key);
    return n;
}

loss_view experiment_losses(const experiment *e)
{
    return (loss_view){&e->losses, LOSS_CLEAN, LOSS_SCAFFOLD, sae_model_get_info(e->model)->n_vocab, e->options.seed};
}

int64_t loss_masked_rows(const experiment *e)
{
    const sample *s = &e->held_out;
    const int64_t n_rows = splice_sequences(s, e->options.ce_tokens) * s->ctx;
    int64_t masked = 0;

    for (int64_t i = 0; i < n_rows; i++) masked += !s->counted[i];
    return masked;
}

int loss_count(const experiment *e) { return LOSS_RANDOM + REMOVAL_WAYS * e->options.draws; }

/* Of a way that changes masked rows. All sequences begin alike, so position 0 is masked in all or in none. What knows no dictionary was
 * measured for the first pair, and is not measured again (eval/loss_log.h). */
static bool masked_measured(const experiment *e, int first, int way)
{
    const bool position_0 = way < EVERY_ROW || way == POSITION_0_R6, share = first >= LOSS_SHARE && first < LOSS_RANDOM;

    if (position_0 ? e->held_out.counted[0] : loss_masked_rows(e) == 0) return false;
    if (share && (first - LOSS_SHARE) / REMOVAL_WAYS >= share_draws(&e->options)) return false;
    if (share) return pair_is_first(e) && !e->held_out.counted[0] && compared_rank(e) > 0 && compared_rank(e) < e->d;
    if (position_0 && e->pair[ARM_SCAFFOLD]->config.seed != e->options.seed) return false;
    return first == LOSS_R2 || first == LOSS_PCA || first >= LOSS_RANDOM ||
           (first == LOSS_ALL && e->all.rank > 0 && way != POSITION_0_R6);
}

bool loss_measured(const experiment *e, int which)
{
    if (which < LOSS_R2) return true;
    const int way = (which - LOSS_R2) % REMOVAL_WAYS, first = which - way;

    if (way >= OPERATORS) return masked_measured(e, first, way);
    if (first == LOSS_ALL) return e->all.rank > 0 && way <= OP_R3;
    if (which < LOSS_DENSE || which >= LOSS_RANDOM) return true;
    if (which >= LOSS_SHARE)
        return false; /* of rows that hold nothing of position 0's they are as random as the others */
    if (!pair_is_first(e)) return false; /* what they cost there says little more, and they are half of a pair's time */
    return which < LOSS_OTHER || e->other.rank > 0;
}

loss_draws losses_of_random(const experiment *e, int way)
{
    loss_draws draws = {LOSS_RANDOM + way, REMOVAL_WAYS, 0};

    while (draws.n < e->options.draws && loss_measured(e, draws.first + draws.n * REMOVAL_WAYS)) draws.n++;
    return draws;
}

loss_draws losses_of_share(const experiment *e, int way)
{
    return (loss_draws){LOSS_SHARE + way, REMOVAL_WAYS,
                        loss_measured(e, LOSS_SHARE + way) ? share_draws(&e->options) : 0};
}

/* The operands of all edits; they live as long as the measurement. */
typedef struct operands {
    edit_recon baseline, scaffold, dropped;
    edit_space plain[SPACES + LOSS_DRAWS_MAX], centred[SPACES + LOSS_DRAWS_MAX];
    edit_resampling resampled[SPACES + LOSS_DRAWS_MAX];
    subspace draws[LOSS_DRAWS_MAX], share[SHARE_DRAWS];
    edit edits[LOSS_MOST];
} operands;

/* All removals of a subspace; `at`: its number from the scaffold's on. */
static void fill_removals(operands *o, const experiment *e, int at, const subspace *space)
{
    edit *edits = &o->edits[LOSS_R2 + REMOVAL_WAYS * at];

    o->plain[at] = (edit_space){space, NULL};
    o->centred[at] = (edit_space){space, e->rows.mean};
    o->resampled[at] = (edit_resampling){space, e->options.seed};
    edits[OP_R2] = (edit){.fn = edit_remove, .user = &o->plain[at]};
    edits[OP_R3] = (edit){.fn = edit_remove, .user = &o->centred[at]};
    edits[OP_R5] = (edit){.fn = edit_resample, .user = &o->resampled[at]};
    edits[OP_R6] = (edit){.fn = edit_remove_keep_norm, .user = &o->plain[at]};
    for (int op = OP_R2; op <= OP_R3; op++) {
        edits[WITH_POSITION_0 + op] = edits[EVERY_ROW + op] = edits[op];
        edits[WITH_POSITION_0 + op].rows = EDIT_WITH_POSITION_0;
        edits[EVERY_ROW + op].rows = EDIT_EVERY_ROW;
    }
    edits[POSITION_0_R6] = edits[OP_R6];
    edits[POSITION_0_R6].rows = EDIT_WITH_POSITION_0;
}

sae_status random_subspaces(const experiment *e, subspace draws[], sae_error *err)
{
    sae_status status = SAE_OK;
    rng random = rng_seed(e->options.seed, 77); /* a stream of its own: more draws leave the first ones as they were */

    for (int i = 0; i < e->options.draws; i++)
        SAE_TRY(subspace_random(&draws[i], e->d, compared_rank(e), &random, err));
done:
    return status;
}

static void fill_edits(operands *o, const experiment *e)
{
    o->baseline = (edit_recon){e->dicts[ARM_BASELINE], true};
    o->scaffold = (edit_recon){e->dicts[ARM_SCAFFOLD], true};
    o->dropped = (edit_recon){e->dicts[ARM_SCAFFOLD], false};
    o->edits[LOSS_CLEAN] = (edit){.fn = NULL};
    o->edits[LOSS_ZERO] = (edit){.fn = edit_zero};
    o->edits[LOSS_MEAN] = (edit){.fn = edit_mean, .user = e->rows.mean};
    o->edits[LOSS_BASELINE] = (edit){.fn = edit_reconstruct, .user = &o->baseline};
    o->edits[LOSS_SCAFFOLD] = (edit){.fn = edit_reconstruct, .user = &o->scaffold};
    o->edits[LOSS_R4] = (edit){.fn = edit_reconstruct, .user = &o->dropped};
    o->edits[LOSS_R1] = (edit){.fn = edit_map, .user = e->dicts[ARM_SCAFFOLD]};
    const subspace *all[SPACES] = {&e->map.write_space, &e->pca, &e->next, &e->all, &e->dense, &e->other};
    for (int i = 0; i < SHARE_DRAWS; i++) all[SPACES - SHARE_DRAWS + i] = &o->share[i];
    for (int i = 0; i < SPACES; i++) fill_removals(o, e, i, all[i]);
}

/* The span of the decoder rows of the baseline's densest latents, as many as the scaffold has directions; of them only those
 * that fire at all. */
static sae_status densest_span(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    const density *p = &e->arms[ARM_BASELINE].density;
    const float *W_dec = sae_dict_weights(e->dicts[ARM_BASELINE]).W_dec;
    int64_t n = compared_rank(e) < p->d_sae ? compared_rank(e) : p->d_sae, fire = 0;
    int64_t *latents = mem_alloc_array((size_t)n, sizeof *latents, "densest latents", err);
    double *rows = mem_alloc_array((size_t)n, (size_t)e->d * sizeof *rows, "their decoder rows", err);

    if (!latents || !rows) {
        status = SAE_NOMEM;
        goto done;
    }
    SAE_TRY(density_top(p, n, latents, err));
    while (fire < n && p->fired[latents[fire]] > 0) fire++;
    for (int64_t i = 0; i < fire; i++)
        for (int64_t j = 0; j < e->d; j++) rows[i * e->d + j] = (double)W_dec[latents[i] * e->d + j];
    SAE_TRY(subspace_of_directions(&e->dense, rows, fire, e->d, err));
done:
    mem_free(latents);
    mem_free(rows);
    return status;
}

/* What is not measured for this pair is as the clean model, whose loss is known. */
static sae_status measure_losses(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    operands *o = mem_alloc(sizeof *o, "edits", err);

    if (!o) return SAE_NOMEM;
    fill_edits(o, e);
    SAE_TRY(random_subspaces(e, o->draws, err));
    if (losses_of_share(e, EVERY_ROW).n > 0) SAE_TRY(equal_share_subspaces(e, o->share, err));
    for (int i = 0; i < e->options.draws; i++) fill_removals(o, e, SPACES + i, &o->draws[i]);
    for (int i = 0; i < loss_count(e); i++)
        if (!loss_measured(e, i)) o->edits[i] = o->edits[LOSS_CLEAN];
    loss_table_free(&e->losses);
    SAE_TRY(splice_measure(&e->losses, &e->held_out, splice_sequences(&e->held_out, e->options.ce_tokens), o->edits,
                           loss_count(e), e->progress, err));
done:
    for (int i = 0; i < LOSS_DRAWS_MAX; i++) subspace_free(&o->draws[i]);
    for (int i = 0; i < SHARE_DRAWS; i++) subspace_free(&o->share[i]);
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
    SAE_TRY(densest_span(e, err));
    if (pair_is_first(e) && loss_masked_rows(e) > 0)
        SAE_TRY(components_of_every_row(&e->all, &e->held_out, compared_rank(e), err));
    SAE_TRY(measure_losses(e, err));
    SAE_TRY(report_density(e, err));
    for (int a = 0; a < ARMS; a++) SAE_TRY(report_arm(e, a, err));
done:
    return status;
}
