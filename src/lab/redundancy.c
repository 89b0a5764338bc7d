/*
 * redundancy.c - chooses the sets, and measures every loss on the same tokens.
 */
#include "lab/redundancy_run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

int64_t redundancy_marked(int64_t d_sae)
{
    int64_t n = (int64_t)llround(787.0 / 16384.0 * (double)d_sae);

    return n < 1 ? 1 : n;
}

static void redundancy_free(redundancy *r)
{
    for (int i = 0; i < r->n_points; i++)
        for (int k = 0; k < SETS_MAX; k++) mem_free(r->points[i].sets[k]);
    subspace_free(&r->aligned.space);
    latent_moments_free(&r->moments);
    mem_free(r->squares);
    mem_free(r->energy);
    mem_free(r->order);
    loss_table_free(&r->losses);
}

/* ---- The energy of s ------------------------------------------------------------------------------------------------------ */

/* Sum over rows of |s|^2: of a basis, |(x - b_dec) P|^2. */
static double energy_inside(const subspace *space, const float *b_dec, const float *rows, int64_t n)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < space->rank; k++) {
            double code = 0;
            for (int64_t j = 0; j < space->d; j++)
                code += space->basis[k * space->d + j] * ((double)rows[i * space->d + j] - (double)b_dec[j]);
            sum += code * code;
        }
    return sum;
}

static sae_status energy_written(const sae_dict *scaffold, const float *rows, int64_t n, int64_t d, double *sum,
                                 sae_error *err)
{
    sae_status status = SAE_OK;
    float *left = mem_alloc_array((size_t)n, (size_t)d * sizeof *left, "rows without s", err);

    if (!left) return SAE_NOMEM;
    SAE_TRY(edit_map(scaffold, rows, n, d, left, err)); /* x - s */
    for (int64_t i = 0; i < n * d; i++) {
        double s = (double)rows[i] - (double)left[i];
        *sum += s * s;
    }
done:
    mem_free(left);
    return status;
}

static sae_status measure_wanted(redundancy *r, sae_error *err)
{
    sae_status status = SAE_OK;
    sample *s = r->s;
    const float *rows = NULL, *b_dec = sae_dict_weights((sae_dict *)(uintptr_t)r->dict).b_dec;
    float *kept = mem_alloc_array((size_t)(s->batch_seqs * s->ctx), (size_t)s->d * sizeof *kept, "counted rows", err);
    double sum = 0;

    if (!kept) return SAE_NOMEM;
    for (int64_t first = 0; first < s->n_seq; first += s->batch_seqs) {
        int64_t n = sample_batch(s, first, s->n_seq), n_kept;
        SAE_TRY(sample_rows(s, first, n, &rows, err));
        n_kept = sample_gather(s, first, n, rows, kept, NULL);
        if (r->options.scaffold)
            SAE_TRY(energy_written(r->options.scaffold, kept, n_kept, s->d, &sum, err));
        else
            sum += energy_inside(&r->aligned.space, b_dec, kept, n_kept);
    }
    r->wanted = sum / (double)s->n_counted;
done:
    mem_free(kept);
    return status;
}

/* ---- Orders and sets -------------------------------------------------------------------------------------------------------- */

static sae_status find_order(redundancy *r, sae_error *err)
{
    sae_status status = SAE_OK;
    size_t n = (size_t)r->d_sae;

    r->squares = mem_alloc_array(n, sizeof *r->squares, "alignments", err);
    r->energy = mem_alloc_array(n, sizeof *r->energy, "energies", err);
    r->order = mem_alloc_array(n, sizeof *r->order, "latents in order", err);
    if (!r->squares || !r->energy || !r->order) return SAE_NOMEM;
    alignment_squares(&r->aligned, r->dict, r->squares);
    alignment_energy(&r->aligned, r->dict, &r->moments, r->energy);
    SAE_TRY(measure_wanted(r, err));
    SAE_TRY(alignment_order(ALIGN_MATCH, &r->aligned, r->dict, &r->moments, r->order, err));
    r->n_match = alignment_match(r->order, r->energy, r->d_sae, r->wanted);
    SAE_TRY(alignment_order(r->options.rule, &r->aligned, r->dict, &r->moments, r->order, err));
done:
    return status;
}

/* Keeps the points in the order of their sizes; of equal sizes one, with the name that either has. */
static void add_size(redundancy *r, int64_t n, const char *what)
{
    int at = r->n_points;

    if (n < 1 || n > r->d_sae) return;
    for (int i = 0; i < r->n_points; i++) {
        if (r->points[i].n != n) continue;
        if (what) r->points[i].what = what;
        return;
    }
    while (at > 0 && r->points[at - 1].n > n) at--;
    memmove(r->points + at + 1, r->points + at, (size_t)(r->n_points - at) * sizeof *r->points);
    r->points[at] = (point){.n = n, .what = what};
    r->n_points++;
}

static void choose_sizes(redundancy *r)
{
    int64_t n = r->options.points;

    for (int64_t i = 0; n > 1 && i < n; i++)
        add_size(r, (int64_t)llround(pow((double)r->d_sae, (double)i / (double)(n - 1))), NULL);
    if (n > 1) add_size(r, r->d_sae, "every latent");
    if (r->options.rule == ALIGN_MATCH) add_size(r, r->n_match, "energy of s");
    add_size(r, redundancy_marked(r->d_sae), "787 of 16,384"); /* last: its name stands */
}

static void take_set(const redundancy *r, const point *p, uint8_t *taken)
{
    for (int64_t k = 0; k < p->n && !p->dense; k++) taken[r->order[k]] = 1;
    for (int64_t i = 0; i < r->d_sae && p->dense; i++)
        taken[i] = density_of(&r->moments.density, i) > r->options.dense_threshold;
}

static sae_status choose_sets(redundancy *r, point *p, rng *random, sae_error *err)
{
    sae_status status = SAE_OK;

    p->draws = p->n == r->d_sae ? 0 : p->what ? r->options.draws : 1; /* what has a name is what verdicts are about */
    for (int k = 0; k < 1 + 2 * p->draws; k++) {
        p->sets[k] = mem_alloc_array((size_t)r->d_sae, 1, "a set of latents", err);
        if (!p->sets[k]) return SAE_NOMEM;
    }
    take_set(r, p, p->sets[0]);
    for (int k = 1; k <= p->draws; k++) {
        SAE_TRY(control_matched(p->sets[0], r->moments.density.fired, r->d_sae, random, p->sets[k], err));
        SAE_TRY(control_random(p->sets[0], r->d_sae, random, p->sets[p->draws + k], err));
    }
done:
    return status;
}

static sae_status choose_points(redundancy *r, sae_error *err)
{
    sae_status status = SAE_OK;
    rng random = rng_seed(r->options.seed, 78);
    int64_t n_dense = density_dense(&r->moments.density, r->options.dense_threshold);

    choose_sizes(r);
    snprintf(r->dense_name, sizeof r->dense_name, "all with p > %g", r->options.dense_threshold);
    if (n_dense > 0 && r->options.points > 1)
        r->points[r->n_points++] = (point){.n = n_dense, .what = r->dense_name, .dense = true};
    for (int i = 0; i < r->n_points; i++) SAE_TRY(choose_sets(r, &r->points[i], &random, err));
done:
    return status;
}

/* ---- Losses ------------------------------------------------------------------------------------------------------------------ */

typedef struct operands {
    ablation_cache cache;
    edit_space r2, r3;
    edit_recon recon;
    uint8_t *nothing;
    ablation error, ablations[POINTS_MAX * (SETS_MAX + 1)];
    edit edits[LOSSES_FIXED + POINTS_MAX * (SETS_MAX + 1)];
    int n;
} operands;

static void add_ablation(operands *o, const uint8_t *taken, const subspace *error_space)
{
    ablation *a = &o->ablations[o->n - LOSSES_FIXED];

    *a = (ablation){&o->cache, taken, error_space};
    o->edits[o->n++] = (edit){.fn = edit_ablate, .user = a};
}

static void fill_edits(operands *o, redundancy *r)
{
    const subspace *space = &r->aligned.space;

    o->cache.dict = r->dict;
    o->r2 = (edit_space){space, NULL};
    o->r3 = (edit_space){space, r->options.mean ? r->options.mean : r->moments.mean};
    o->recon = (edit_recon){r->dict, true};
    o->error = (ablation){&o->cache, o->nothing, space};
    o->edits[LOSS_OF_CLEAN] = (edit){.fn = NULL};
    o->edits[LOSS_OF_ZERO] = (edit){.fn = edit_zero};
    o->edits[LOSS_OF_R2] = (edit){.fn = edit_remove, .user = &o->r2};
    o->edits[LOSS_OF_R3] = (edit){.fn = edit_remove, .user = &o->r3};
    o->edits[LOSS_OF_RECON] = (edit){.fn = edit_reconstruct, .user = &o->recon};
    o->edits[LOSS_OF_ERROR] = (edit){.fn = edit_ablate, .user = &o->error};
    o->n = LOSSES_FIXED;
    for (int i = 0; i < r->n_points; i++) {
        point *p = &r->points[i];
        p->first = o->n;
        add_ablation(o, p->sets[0], NULL);
        add_ablation(o, p->sets[0], space);
        for (int k = 1; k < 1 + 2 * p->draws; k++) add_ablation(o, p->sets[k], NULL);
    }
}

static sae_status measure_losses(redundancy *r, const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    operands *o = mem_alloc(sizeof *o, "edits", err);

    if (!o) return SAE_NOMEM;
    o->nothing = mem_alloc_array((size_t)r->d_sae, 1, "the empty set", err);
    if (!o->nothing) {
        status = SAE_NOMEM;
        goto done;
    }
    fill_edits(o, r);
    SAE_TRY(
        splice_measure(&r->losses, r->s, splice_sequences(r->s, r->options.ce_tokens), o->edits, o->n, progress, err));
done:
    ablation_cache_free(&o->cache);
    mem_free(o->nothing);
    mem_free(o);
    return status;
}

/* ---- All of it ------------------------------------------------------------------------------------------------------------------ */

static sae_status check(const redundancy *r, int64_t n_directions, sae_error *err)
{
    const redundancy_options *o = &r->options;
    int64_t d_in = sae_dict_get_config(r->dict)->d_in;

    if (d_in != r->s->d)
        return SAE_FAIL(err, SAE_SHAPE, "the dictionary reads rows of width %lld, the site has width %lld",
                        (long long)d_in, (long long)r->s->d);
    if (n_directions < 1)
        return SAE_FAIL(err, SAE_RANGE,
                        "no direction is given to be aligned with: a basis needs a row, a scaffold a rank");
    if (o->points < 1 || o->points > POINTS_MAX - 4)
        return SAE_FAIL(err, SAE_RANGE, "%lld sizes of A: 1 to %d are possible", (long long)o->points, POINTS_MAX - 4);
    if (o->draws < 1 || o->draws > DRAWS_MAX)
        return SAE_FAIL(err, SAE_RANGE, "%d matched and random sets: 1 to %d are possible", o->draws, DRAWS_MAX);
    return SAE_OK;
}

sae_status redundancy_run(sae_result **out, sample *s, const sae_dict *dict, const float *directions,
                          int64_t n_directions, const redundancy_options *options, const sae_progress *progress,
                          sae_error *err)
{
    sae_status status = SAE_OK;
    redundancy *r = mem_alloc(sizeof *r, "the experiment", err);

    if (!r) return SAE_NOMEM;
    *r = (redundancy){.options = *options, .dict = dict, .s = s, .d_sae = sae_dict_get_config(dict)->d_sae};
    if (r->options.points == 0) r->options.points = 8;
    if (r->options.draws == 0) r->options.draws = 5;
    if (r->options.ce_tokens == 0) r->options.ce_tokens = 4096;
    if (r->options.dense_threshold == 0) r->options.dense_threshold = density_thresholds[1];
    r->aligned.directions = directions;
    r->aligned.n = n_directions;
    SAE_TRY(check(r, n_directions, err));
    SAE_TRY(subspace_of_rows(&r->aligned.space, directions, n_directions, s->d, err));
    if (r->aligned.space.rank == 0)
        SAE_RAISE(err, SAE_RANGE, "the subspace to be aligned with is empty: every direction is 0");
    SAE_TRY(latent_moments_measure(&r->moments, s, dict, progress, err));
    SAE_TRY(find_order(r, err));
    SAE_TRY(choose_points(r, err));
    SAE_TRY(measure_losses(r, progress, err));
    SAE_TRY(redundancy_report(out, r, err));
done:
    redundancy_free(r);
    mem_free(r);
    return status;
}
