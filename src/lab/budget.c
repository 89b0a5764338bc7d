/*
 * budget.c - what a run does when it is not told: three budgets, each a column of numbers.
 */
#include "lab/scaffold.h"

#include <math.h>

const char *const budget_names[] = {"quick", "standard", "full", NULL};

/*
 * full: method.md 2.8 and 2.13, which the paper's own setting (Gemma-2-2B, layer 12) is thought to be.
 *
 * scaffold_lr: P1 from W_up = 0 in the 512 steps of quick and standard, on planted rows, where the truth is known (64 dimensions, rank 4, six
 * runs each; docs/planted.md): at the common rate no scaffold overlapped with the dense part by 0.9 over chance, at three times
 * that rate four did, at 10 and 30 all. The least that passes is taken. full is the paper's setting, of which no other rate is known.
 */
static const struct {
    int64_t tokens, rows, held_out_tokens, ce_tokens, seeds, questions, points, k, width;
    int draws, variants;
    double scaffold_lr;
    bool grids;   /* k and rank grids, ablate and retrain */
    bool matched; /* trained at equal L0, L0 + r and FVU, not taken from between the grid of k */
} budgets[] = {
    [BUDGET_QUICK] = {262144, 1048576, 20480, 5120, 1, 1000, -1, 32, 0, 3, 1, 10, false, false},
    [BUDGET_STANDARD] = {524288, 1048576, 20480, 10240, 3, 4000, 8, 32, 0, 5, 3, 10, true, false},
    [BUDGET_FULL] = {500000000, 500000000, 2000000, 100000, 3, 14042, 12, 100, 16384, 10, 3, 1, true, true},
};
enum { RANK_GRID = 10 };
static const int64_t short_ranks[RANK_GRID] = {2, 4, 6, 8, 16, 24, 48},
                     full_ranks[RANK_GRID] = {1, 2, 4, 8, 16, 24, 32, 48, 64, 128}; /* method.md, E9; 0: no more */

double budget_scaffold_lr(scaffold_budget budget) { return budgets[budget].scaffold_lr; }

static int64_t or_default(int64_t value, int64_t otherwise) { return value ? value : otherwise; }

void budget_set_archs(scaffold_options *o)
{
    if (o->n_archs > 0) return;
    o->archs[o->n_archs++] = SAE_BATCHTOPK;
    if (o->budget != BUDGET_QUICK) o->archs[o->n_archs++] = SAE_MATRYOSHKA;
}

static void fill_sizes(scaffold_options *o, int64_t d)
{
    const int b = o->budget;

    if (!o->model_name) o->model_name = o->model ? o->model : ""; /* a plan may be of a shape alone */
    budget_set_archs(o);
    o->ctx = or_default(o->ctx, b == BUDGET_FULL ? 1024 : 256);
    o->tokens = or_default(o->tokens, budgets[b].tokens);
    o->rows = or_default(o->rows, budgets[b].rows);
    o->held_out_tokens = or_default(o->held_out_tokens, budgets[b].held_out_tokens);
    o->ce_tokens = or_default(o->ce_tokens, budgets[b].ce_tokens);
    o->max_norm = o->max_norm != 0 ? o->max_norm : o->with_bos ? -1 : 10;
    o->width = or_default(or_default(o->width, budgets[b].width), 8 * d);
    o->k = or_default(o->k, budgets[b].k);
    o->rank = or_default(o->rank, (int64_t)fmax(2, round((double)d / 96)));
    o->seeds = or_default(o->seeds, budgets[b].seeds);
    for (int v = 0; o->n_variants == 0 && v < budgets[b].variants; v++) o->variants[v] = (sae_variant)v;
    if (o->n_variants == 0) o->n_variants = budgets[b].variants;
    if (o->scaffold.scaffold_lr == 0 && !(o->scaffold.scaffold_frozen && o->scaffold.scaffold_steps == 0))
        o->scaffold.scaffold_lr = budget_scaffold_lr(o->budget);
    o->batch = or_default(o->batch, 2048);
    o->draws = o->draws ? o->draws : budgets[b].draws;
    o->cards = o->cards ? o->cards : 10;
    o->dense_threshold = o->dense_threshold == 0 ? density_thresholds[1] : o->dense_threshold;
    o->questions = or_default(o->questions, budgets[b].questions);
    if (o->n_labels == 0) /* 57 subjects take minutes */
        for (int i = 0; i < (b == BUDGET_QUICK ? TOPICS_SUBJECTS : TOPICS_LABELS); i++)
            o->labels[o->n_labels++] = (topics_labels)i;
    o->points = or_default(o->points, budgets[b].points);
}

static void leave_out(int64_t *values, int *n, int64_t value)
{
    int kept = 0;

    for (int i = 0; i < *n; i++)
        if (values[i] != value) values[kept++] = values[i];
    if (*n > 0) *n = kept;
}

void budget_set_rank(scaffold_options *o, int64_t rank)
{
    o->rank = rank;
    leave_out(o->ranks, &o->n_ranks, rank);
}

/* The grids leave out what the pairs have already. */
static void fill_grids(scaffold_options *o, int64_t d)
{
    const bool grids = budgets[o->budget].grids;
    const int64_t *rank_grid = o->budget == BUDGET_FULL ? full_ranks : short_ranks;

    if (o->n_ks == 0 && grids) {
        /* The last one has an L0 + r near the pairs' L0, which need not be taken from between others then. */
        const bool whole = o->budget == BUDGET_FULL && !o->rank_knee;
        const int64_t grid[] = {o->k / 2, o->k * 3 / 2, whole ? o->k - o->rank : 0};
        for (int i = 0; i < 3; i++) {
            leave_out(o->ks, &o->n_ks, grid[i]);
            if (grid[i] >= 1 && grid[i] <= o->width) o->ks[o->n_ks++] = grid[i];
        }
    }
    if (o->n_ranks == 0 && (grids || o->rank_knee))
        for (int i = 0; i < RANK_GRID && rank_grid[i] > 0 && rank_grid[i] < d; i++)
            o->ranks[o->n_ranks++] = rank_grid[i];
    if (!o->rank_knee) budget_set_rank(o, o->rank);
    leave_out(o->ks, &o->n_ks, o->k);
    if (o->n_ks < 0) o->n_ks = 0;
    if (o->n_ranks < 0) o->n_ranks = 0;
    if (o->matched == 0) o->matched = budgets[o->budget].matched ? 1 : -1;
    if (o->retrain == 0) o->retrain = grids ? 1 : -1;
}

static sae_status check(const scaffold_options *o, int64_t d, sae_error *err)
{
    for (int i = 0; i < o->n_archs; i++)
        if (o->archs[i] != SAE_BATCHTOPK && o->archs[i] != SAE_MATRYOSHKA)
            return SAE_FAIL(err, SAE_UNSUPPORTED, "the comparison trains batchtopk or matryoshka dictionaries");
    if (o->rank < 1 || o->rank >= d)
        return SAE_FAIL(err, SAE_RANGE, "rank %lld: the scaffold's rank must be 1 to %lld, below the width of a row",
                        (long long)o->rank, (long long)d - 1);
    for (int i = -1; i < o->n_ks; i++) {
        int64_t k = i < 0 ? o->k : o->ks[i];
        if (k < 1 || k > o->width)
            return SAE_FAIL(err, SAE_RANGE, "k %lld: must be 1 to the number of latents, %lld", (long long)k,
                            (long long)o->width);
    }
    if (o->batch < 1 || o->rows < o->batch)
        return SAE_FAIL(err, SAE_RANGE, "%lld training rows are not one batch of %lld", (long long)o->rows,
                        (long long)o->batch);
    if (o->rank_knee && o->n_ranks == 0)
        return SAE_FAIL(err, SAE_RANGE, "no ranks to find the knee of: give some with --ranks");
    for (int i = 0; i < o->n_ranks; i++)
        if (o->ranks[i] < 1 || o->ranks[i] >= d)
            return SAE_FAIL(err, SAE_RANGE,
                            "rank %lld: the ranks of a sweep must be 1 to %lld, below the width of a row",
                            (long long)o->ranks[i], (long long)d - 1);
    if (o->seeds < 1 || o->seeds > SEEDS_MAX)
        return SAE_FAIL(err, SAE_RANGE, "%lld seeds: 1 to %d", (long long)o->seeds, SEEDS_MAX);
    if (o->draws < 1 || o->draws > LOSS_DRAWS_MAX)
        return SAE_FAIL(err, SAE_RANGE, "%d random subspaces: 1 to %d can be drawn", o->draws, (int)LOSS_DRAWS_MAX);
    if (o->cards < 1 || o->cards > 64 || o->cards > o->width)
        return SAE_FAIL(err, SAE_RANGE, "%d cards per arm: 1 to 64, and no more than latents", o->cards);
    if (!(o->dense_threshold > 0 && o->dense_threshold < 1))
        return SAE_FAIL(err, SAE_RANGE, "a latent cannot be dense over a share of %g: it must lie between 0 and 1",
                        o->dense_threshold);
    if (o->points == 1 || o->points > 32)
        return SAE_FAIL(err, SAE_RANGE, "%lld sizes of sets of aligned features: 2 to 32, or 0", (long long)o->points);
    return SAE_OK;
}

sae_status budget_fill(scaffold_options *o, int64_t d, sae_error *err)
{
    fill_sizes(o, d);
    fill_grids(o, d);
    return check(o, d, err);
}
