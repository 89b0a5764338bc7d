/*
 * test_redundancy.c - ablating aligned latents: edits whose outcome is known, orders and controls on made-up dictionaries, and
 * on a tiny model the null (a random subspace) beside a subspace that matters.
 */
#include "expect.h"
#include "lab/redundancy.h"
#include "report/report.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SEQS = 12, CTX = 24, D = 32, WIDTH = 96 };
static const char model_folder[] = "data/golden/models/llama_gqa_tied"; /* d 32, 3 layers, 128 tokens */
static const sae_site site = {1, SAE_RESID_POST};

typedef struct bed {
    sae_model *model;
    sample s;
    sae_dict *dict;
    sae_weights w;
} bed;

/* A dictionary with random weights in which about a sixth of the latents fire at each row. */
static sae_dict *random_dict(int64_t rank, uint64_t seed)
{
    sae_dict_config config = {
        .arch = SAE_BATCHTOPK, .d_in = D, .d_sae = WIDTH, .k = 8, .rank = rank, .apply_b_dec_to_input = true};
    sae_dict *dict = NULL;
    rng r = rng_seed(seed, 0);

    ck_assert_int_eq(sae_dict_create(&dict, &config, NULL), SAE_OK);
    sae_weights w = sae_dict_weights(dict);
    for (int i = 0; i < WIDTH * D; i++) {
        w.W_enc[i] = (float)(rng_normal(&r) / sqrt(D));
        w.W_dec[i] = (float)(rng_normal(&r) / sqrt(D));
    }
    for (int i = 0; i < WIDTH; i++) w.threshold[i] = 1.0F;
    for (int j = 0; j < D; j++) w.b_dec[j] = 0.1F * (float)rng_normal(&r);
    for (int i = 0; i < rank * D; i++) {
        w.W_down[i] = (float)(rng_normal(&r) / sqrt(D));
        w.W_up[i] = (float)(rng_normal(&r) / sqrt(D));
    }
    return dict;
}

static void bed_open(bed *b, int64_t rank)
{
    rng r = rng_seed(71, 0);
    int32_t ids[SEQS * CTX];
    uint8_t mask[SEQS * CTX];

    ck_assert_int_eq(sae_model_open(&b->model, model_folder, NULL, NULL), SAE_OK);
    for (int i = 0; i < SEQS * CTX; i++) {
        ids[i] = i % CTX == 0 ? 0 : (int32_t)rng_below(&r, 128);
        mask[i] = i % CTX != 0 && i % CTX != 9;
    }
    ck_assert_int_eq(
        sample_of_ids(&b->s, b->model, ids, mask, SEQS, CTX, site, &(sample_options){.batch_seqs = 5}, NULL), SAE_OK);
    b->dict = random_dict(rank, 5);
    b->w = sae_dict_weights(b->dict);
}

static void bed_close(bed *b)
{
    sae_dict_free(b->dict);
    sample_free(&b->s);
    sae_model_free(b->model);
}

/* ---- The edit ---------------------------------------------------------------------------------------------------------------- */

/* A empty is the clean model bit for bit, although it is encoded; A whole is error + b_dec + scaffold, computed another way:
 * x less what the codes alone decode to, without b_dec. */
static sae_status rest_directly(const void *user, const float *rows, int64_t n, int64_t d, float *out, sae_error *err)
{
    const sae_dict *dict = user;
    const float *b_dec = sae_dict_weights((sae_dict *)(uintptr_t)dict).b_dec;
    edit_recon sparse = {dict, false};
    sae_status status = edit_reconstruct(&sparse, rows, n, d, out, err);

    for (int64_t i = 0; i < n * d; i++) out[i] = rows[i] - (out[i] - b_dec[i % d]);
    return status;
}

START_TEST(test_nothing_and_everything)
{
    bed b;
    uint8_t none[WIDTH] = {0}, all[WIDTH];
    loss_table t;

    bed_open(&b, 3);
    memset(all, 1, sizeof all);
    ablation_cache cache = {.dict = b.dict};
    ablation empty = {&cache, none, NULL}, whole = {&cache, all, NULL};
    edit edits[] = {{.fn = NULL},
                    {.fn = edit_ablate, .user = &empty},
                    {.fn = edit_ablate, .user = &whole},
                    {.fn = rest_directly, .user = b.dict},
                    {.fn = edit_ablate, .user = &empty}};
    ck_assert_int_eq(splice_measure(&t, &b.s, SEQS, edits, 5, NULL, NULL), SAE_OK);
    ck_assert_mem_eq(t.nll, t.nll + SEQS, SEQS * sizeof *t.nll);
    ck_assert_mem_eq(t.nll, t.nll + 4 * SEQS, SEQS * sizeof *t.nll);
    ck_assert_double_eq_tol(loss_mean(&t, 2), loss_mean(&t, 3), 1e-6);    /* observed 2.1e-8 */
    ck_assert_double_gt(fabs(loss_mean(&t, 2) - loss_mean(&t, 0)), 0.01); /* and that is something: observed 0.40 */
    if (getenv("SAE_OBSERVED"))
        printf("# all and directly %.3g apart, all and clean %.3g\n", fabs(loss_mean(&t, 2) - loss_mean(&t, 3)),
               fabs(loss_mean(&t, 2) - loss_mean(&t, 0)));
    loss_table_free(&t);
    ablation_cache_free(&cache);
    bed_close(&b);
}
END_TEST

/* The codes are of the rows at hand: other rows of equal number are encoded anew; the error loses what it has inside P and
 * nothing else, so that an ablation of everything leaves b_dec and s inside P. */
START_TEST(test_error_projected)
{
    enum { N = 7 };
    bed b;
    uint8_t all[WIDTH];
    float rows[2][N * D], out[N * D], recon[N * D], sparse[N * D];
    rng r = rng_seed(3, 0);
    subspace space;
    double worst_inside = 0, worst_outside = 0;

    bed_open(&b, 3);
    memset(all, 1, sizeof all);
    ck_assert_int_eq(subspace_random(&space, D, 4, &r, NULL), SAE_OK);
    ablation_cache cache = {.dict = b.dict};
    ablation a = {&cache, all, &space};
    for (int batch = 0; batch < 2; batch++) {
        for (int i = 0; i < N * D; i++) rows[batch][i] = (float)rng_normal(&r);
        ck_assert_int_eq(edit_ablate(&a, rows[batch], N, D, out, NULL), SAE_OK);
        edit_recon full = {b.dict, true}, codes_only = {b.dict, false};
        ck_assert_int_eq(edit_reconstruct(&full, rows[batch], N, D, recon, NULL), SAE_OK);
        ck_assert_int_eq(edit_reconstruct(&codes_only, rows[batch], N, D, sparse, NULL), SAE_OK);
        for (int i = 0; i < N; i++) {
            double left[D], kept[D];
            for (int j = 0; j < D; j++) { /* out - (b_dec + s) is what stays of the error */
                int at = i * D + j;
                left[j] = (double)out[at] - (double)b.w.b_dec[j] - ((double)recon[at] - (double)sparse[at]);
                kept[j] = (double)rows[batch][at] - (double)recon[at] - left[j]; /* what went of it */
            }
            worst_inside = fmax(worst_inside, subspace_share(&space, left));
            worst_outside = fmax(worst_outside, 1 - subspace_share(&space, kept));
        }
    }
    ck_assert_double_lt(worst_inside, 1e-10);  /* observed 2.6e-15 */
    ck_assert_double_lt(worst_outside, 1e-10); /* observed 1.9e-13 */
    if (getenv("SAE_OBSERVED")) printf("# inside %.3g, outside %.3g\n", worst_inside, worst_outside);
    subspace_free(&space);
    ablation_cache_free(&cache);
    bed_close(&b);
}
END_TEST

/* ---- Orders ------------------------------------------------------------------------------------------------------------------ */

/* Five decoder rows in 4 dimensions, the subspace the first two axes. */
static sae_dict *made_dict(void)
{
    static const float rows[5][4] = {{3, 0, 0, 4},             /* |d P| 0.6, all of it along axis 0 */
                                     {0, 0, 1, 0},             /* 0 */
                                     {0.5F, 0.5F, 0.5F, 0.5F}, /* 0.71, 0.5 along either */
                                     {0, 2, 0, 0},             /* 1, along axis 1 */
                                     {0, -0.9F, 0, 0.43589F}}; /* 0.9, along axis 1 */
    sae_dict_config config = {.arch = SAE_BATCHTOPK, .d_in = 4, .d_sae = 5, .k = 1};
    sae_dict *dict = NULL;

    ck_assert_int_eq(sae_dict_create(&dict, &config, NULL), SAE_OK);
    memcpy(sae_dict_weights(dict).W_dec, rows, sizeof rows);
    return dict;
}

START_TEST(test_orders)
{
    static const float axes[8] = {0, 7, 0, 0, 0.5F, 0, 0, 0}; /* directions need no unit length: axis 1, then axis 0 */
    static const int64_t expected[ALIGN_RULES][5] = {
        {3, 4, 2, 0, 1},  /* 1, 0.81, 0.5, 0.36, 0 */
        {3, 0, 4, 2, 1},  /* axis 1: 3, 4, then 2 and 1 (ties and zeros go to the first direction); axis 0: latent 0 */
        {3, 4, 0, 2, 1},  /* 1, 0.9, 0.6, 0.5, 0 */
        {0, 3, 2, 4, 1}}; /* energies 9 x 1, 4 x 1, 0.5 x 4, 0.81 x 1, 0 */
    double square[5] = {1, 5, 4, 1, 1}, squares[5], energy[5];
    latent_moments m = {.square = square};
    aligned_space u = {.directions = axes, .n = 2};
    sae_dict *dict = made_dict();
    int64_t order[5];

    ck_assert_int_eq(subspace_of_rows(&u.space, axes, 2, 4, NULL), SAE_OK);
    for (int rule = 0; rule < ALIGN_RULES; rule++) {
        ck_assert_int_eq(alignment_order((alignment_rule)rule, &u, dict, &m, order, NULL), SAE_OK);
        for (int i = 0; i < 5; i++)
            ck_assert_msg(order[i] == expected[rule][i], "%s: place %d is latent %lld", alignment_names[rule], i,
                          (long long)order[i]);
    }
    alignment_squares(&u, dict, squares);
    ck_assert_double_eq_tol(squares[0], 0.36, 1e-6);
    ck_assert_double_eq_tol(squares[2], 0.5, 1e-6);
    alignment_energy(&u, dict, &m, energy);
    ck_assert_int_eq(alignment_match(order, energy, 5, 9.5), 2); /* 9, then 13 */
    ck_assert_int_eq(alignment_match(order, energy, 5, 9), 1);
    ck_assert_int_eq(alignment_match(order, energy, 5, 15.9), -1); /* all: 15.81 */
    ck_assert_int_eq(alignment_match(order, energy, 5, 0), 0);
    ck_assert_int_eq(redundancy_marked(16384), 787);
    ck_assert_int_eq(redundancy_marked(2048), 98);
    ck_assert_int_eq(redundancy_marked(4), 1);
    subspace_free(&u.space);
    sae_dict_free(dict);
}
END_TEST

/* ---- Controls ----------------------------------------------------------------------------------------------------------------- */

static int count_common(const uint8_t *a, const uint8_t *b, int n)
{
    int common = 0;

    for (int i = 0; i < n; i++) common += a[i] && b[i];
    return common;
}

START_TEST(test_controls)
{
    enum { N = 400, DRAWS = 300 };
    int64_t fired[N];
    uint8_t taken[N] = {0}, control[N];
    int chosen[N] = {0};
    rng r = rng_seed(4, 0);
    double chi = 0, wanted = 0, got = 0;

    for (int i = 0; i < N; i++) fired[i] = i % 200;
    for (int i = 0; i < 60; i++) taken[3 * i] = 1;
    for (int k = 0; k < DRAWS; k++) {
        ck_assert_int_eq(control_random(taken, N, &r, control, NULL), SAE_OK);
        ck_assert_int_eq(count_common(control, control, N), 60);
        for (int i = 0; i < N; i++) chosen[i] += control[i];
    }
    for (int i = 0; i < N; i++) {
        double expected = DRAWS * 60.0 / N;
        chi += (chosen[i] - expected) * (chosen[i] - expected) / (expected * (1 - 60.0 / N));
    }
    ck_assert_double_lt(fabs(chi - 399) / sqrt(2 * 399),
                        4); /* every latent equally often, of A or not: observed -0.90 sigma */
    if (getenv("SAE_OBSERVED")) printf("# %.2f sigma\n", (chi - 399) / sqrt(2 * 399));
    /* The density of A, whichever share of the latents that has: the densest 300 are matched by themselves in part. */
    for (int which = 0; which < 2; which++) {
        if (which)
            for (int i = 0; i < N; i++) taken[i] = fired[i] >= 50;
        ck_assert_int_eq(control_matched(taken, fired, N, &r, control, NULL), SAE_OK);
        ck_assert_int_eq(count_common(control, control, N), count_common(taken, taken, N));
        wanted = got = 0;
        for (int i = 0; i < N; i++) {
            wanted += taken[i] ? (double)fired[i] : 0;
            got += control[i] ? (double)fired[i] : 0;
        }
        ck_assert_double_lt(fabs(got / wanted - 1), 0.02); /* observed 0.0023 */
        if (getenv("SAE_OBSERVED")) printf("# counts matched within %.2g\n", fabs(got / wanted - 1));
    }
}
END_TEST

/* Where all latents of a density are in A there is nothing to compare with but themselves: a set of all dense ones is its own control. */
START_TEST(test_dense_by_themselves)
{
    enum { N = 100 };
    int64_t fired[N];
    uint8_t taken[N] = {0}, control[N];
    rng r = rng_seed(5, 0);

    for (int i = 0; i < N; i++) fired[i] = i < 10 ? 500 + i : i;
    for (int i = 0; i < 10; i++) taken[i] = 1;
    ck_assert_int_eq(control_matched(taken, fired, N, &r, control, NULL), SAE_OK);
    ck_assert_mem_eq(control, taken, N);
}
END_TEST

/* Stretches of like density, found here once more: each holds as many of the control as of A, and over many draws each of its latents is as
 * often in the control as any other. */
START_TEST(test_matched_stretches)
{
    enum { N = 60, DRAWS = 400 };
    int64_t fired[N], order[N];
    uint8_t taken[N], control[N];
    int chosen[N] = {0}, longest = 0, alone = 0;
    rng r = rng_seed(6, 0);

    for (int i = 0; i < N; i++) {
        fired[i] = (int64_t)pow(10, 1 + 3 * rng_uniform(&r)) * 64 + i; /* no ties */
        taken[i] = rng_below(&r, 3) == 0;
        order[i] = i;
    }
    for (int i = 0; i < N; i++) /* densest first */
        for (int j = i + 1; j < N; j++)
            if (fired[order[j]] > fired[order[i]]) {
                int64_t swap = order[i];
                order[i] = order[j];
                order[j] = swap;
            }
    for (int k = 0; k < DRAWS; k++) {
        ck_assert_int_eq(control_matched(taken, fired, N, &r, control, NULL), SAE_OK);
        for (int i = 0; i < N; i++) chosen[i] += control[i];
        for (int from = 0, to; from < N; from = to) {
            int difference = 0;
            for (to = from; to < N && to < from + 8 && (double)fired[order[to]] >= 0.8 * (double)fired[order[from]];
                 to++)
                difference += control[order[to]] - taken[order[to]];
            ck_assert_int_eq(difference, 0);
            longest = to - from > longest ? to - from : longest;
            alone += to - from == 1;
        }
    }
    for (int from = 0, to; from < N; from = to) {
        int of_a = 0;
        for (to = from; to < N && to < from + 8 && (double)fired[order[to]] >= 0.8 * (double)fired[order[from]]; to++)
            of_a += taken[order[to]];
        const double share = of_a / (double)(to - from), sigma = sqrt(DRAWS * share * (1 - share));
        for (int i = from; i < to; i++)
            EXPECT_WITHIN(fabs(chosen[order[i]] - DRAWS * share), 4.5 * sigma, "latent %d", (int)order[i]);
    }
    ck_assert_int_ge(longest, 5); /* long ones and short ones are both here: observed 6 and 4 */
    ck_assert_int_ge(alone, DRAWS);
    if (getenv("SAE_OBSERVED")) printf("# longest %d, alone %d\n", longest, alone / DRAWS);
}
END_TEST

/* Sets whose cost is the sum of their latents': what a latent of a density costs is told from nothing about once in twenty although the set
 * is of dense ones, and what alignment adds is told nearly always. */
START_TEST(test_matched_power)
{
    enum { N = 600, TRIALS = 100, DRAWS = 5 };
    int64_t fired[N];
    rng r = rng_seed(15, 0);
    int told[2] = {0};

    for (int trial = 0; trial < TRIALS; trial++) {
        uint8_t taken[N] = {0}, control[N];
        double cost[N], own[2] = {0}, controls[2][DRAWS] = {{0}};
        for (int i = 0; i < N; i++) {
            fired[i] = (int64_t)pow(10, 2 + 3 * rng_uniform(&r));
            cost[i] = sqrt((double)fired[i]) * (1 + 0.5 * rng_normal(&r));
            taken[i] = rng_uniform(&r) < 0.05 + 0.2 * (double)(fired[i] > 10000); /* dense ones more often */
        }
        for (int k = -1; k < DRAWS; k++) {
            if (k >= 0) ck_assert_int_eq(control_matched(taken, fired, N, &r, control, NULL), SAE_OK);
            for (int i = 0; i < N; i++)
                for (int added = 0; added < 2; added++) {
                    const double c = cost[i] + (added && taken[i] ? sqrt((double)fired[i]) : 0);
                    if (k < 0)
                        own[added] += taken[i] ? c : 0;
                    else
                        controls[added][k] += control[i] ? c : 0;
                }
        }
        for (int added = 0; added < 2; added++) {
            const double mean = interval_of_mean(controls[added], DRAWS).value, effect = own[added] - mean;
            const interval v = interval_beside_draws((interval){effect, effect, effect}, controls[added], DRAWS);
            told[added] += v.low > 0 || v.high < 0;
        }
    }
    if (getenv("SAE_OBSERVED")) printf("# matched: told %d of %d, planted %d\n", told[0], TRIALS, told[1]);
    ck_assert_int_le(told[0], 11); /* binomial(100, 0.05): more with probability 0.004; observed 6 */
    ck_assert_int_ge(told[1], 80); /* observed 100 */
}
END_TEST

/* ---- The null, and what is not null ----------------------------------------------------------------------------------------- */

enum { BASES = 24, RANDOMS = 40, TAKEN = 10 };

/* Losses under ablation of the first TAKEN latents by `rule` of BASES subspaces, and of RANDOMS random sets; the standard score
 * of the rank sum (Mann and Whitney). */
static double rank_score(const loss_table *t)
{
    double u = 0;

    for (int i = 0; i < BASES; i++)
        for (int k = 0; k < RANDOMS; k++) {
            double a = loss_mean(t, i), b = loss_mean(t, BASES + k);
            u += a > b ? 1 : a == b ? 0.5 : 0;
        }
    return (u - BASES * RANDOMS / 2.0) / sqrt(BASES * RANDOMS * (BASES + RANDOMS + 1) / 12.0);
}

static double score_of(bed *b, alignment_rule rule, bool planted, uint64_t seed)
{
    static uint8_t sets[BASES + RANDOMS][WIDTH];
    ablation_cache cache = {.dict = b->dict};
    ablation ablations[BASES + RANDOMS];
    edit edits[BASES + RANDOMS];
    rng r = rng_seed(seed, 1);
    latent_moments m;
    loss_table t;
    int64_t order[WIDTH];

    memset(sets, 0, sizeof sets);
    ck_assert_int_eq(latent_moments_measure(&m, &b->s, b->dict, NULL, NULL), SAE_OK);
    for (int i = 0; i < BASES; i++) {
        float directions[3 * D];
        aligned_space u = {.directions = directions, .n = 3};
        for (int j = 0; j < 3 * D; j++) directions[j] = (float)rng_normal(&r);
        if (planted) memcpy(directions, b->w.W_dec, sizeof(float) * D);
        ck_assert_int_eq(subspace_of_rows(&u.space, directions, planted ? 1 : 3, D, NULL), SAE_OK);
        if (planted) u.n = 1;
        ck_assert_int_eq(alignment_order(rule, &u, b->dict, &m, order, NULL), SAE_OK);
        for (int k = 0; k < TAKEN; k++) sets[i][order[k]] = 1;
        subspace_free(&u.space);
    }
    for (int k = 0; k < RANDOMS; k++) {
        for (int chosen = 0; chosen < TAKEN;) {
            uint64_t i = rng_below(&r, WIDTH);
            chosen += !sets[BASES + k][i];
            sets[BASES + k][i] = 1;
        }
    }
    for (int i = 0; i < BASES + RANDOMS; i++) {
        ablations[i] = (ablation){&cache, sets[i], NULL};
        edits[i] = (edit){.fn = edit_ablate, .user = &ablations[i]};
    }
    ck_assert_int_eq(splice_measure(&t, &b->s, SEQS, edits, BASES + RANDOMS, NULL, NULL), SAE_OK);
    double score = rank_score(&t);
    loss_table_free(&t);
    latent_moments_free(&m);
    ablation_cache_free(&cache);
    return score;
}

/* Latents aligned with a random subspace do what random latents do. (Not by "match": it takes those that write most into the
 * subspace, dense ones, whatever the subspace is.) The same score tells ten latents that write
 * strongly along one direction, for better or worse: the model is a random one. */
START_TEST(test_null)
{
    static const alignment_rule rules[] = {ALIGN_ENERGY, ALIGN_UNION, ALIGN_BEST};
    bed b;

    bed_open(&b, 0);
    for (int i = 0; i < 3; i++) {
        double score = score_of(&b, rules[i], false, 11);
        if (getenv("SAE_OBSERVED")) printf("# %s: %.2f sigma\n", alignment_names[rules[i]], score);
        ck_assert_msg(fabs(score) < 4, "%s: %.2f sigma", alignment_names[rules[i]], score); /* observed 0.79 to 1.04 */
    }
    for (int i = 0; i < TAKEN; i++)
        for (int j = 0; j < D; j++) b.w.W_dec[i * D + j] = 2.0F * b.w.W_dec[j];
    double score = score_of(&b, ALIGN_ENERGY, true, 11);
    if (getenv("SAE_OBSERVED")) printf("# planted: %.2f sigma\n", score);
    ck_assert_double_gt(fabs(score), 5); /* observed -6.66 */
    bed_close(&b);
}
END_TEST

/* The number that the verdict goes by: with a random subspace what its latents cost is told from features of equal density, or from random
 * ones, about once in twenty; five latents that write along one direction are told from random ones (from ones of equal density: test_matched_power). */
START_TEST(test_null_of_the_verdict)
{
    enum { TRIES = 60 };
    bed b;
    sae_result *result = NULL;
    float directions[3 * D];
    rng r = rng_seed(19, 0);
    int told[2] = {0};
    redundancy_options o = {.points = 1, .ce_tokens = 1000};

    bed_open(&b, 0);
    for (int i = 0; i < TRIES; i++) {
        static const char *const keys[2] = {"over_matched.5", "over_random.5"};
        double over[3];
        for (int j = 0; j < 3 * D; j++) directions[j] = (float)rng_normal(&r);
        o.seed = (uint64_t)i;
        ck_assert_int_eq(redundancy_run(&result, &b.s, b.dict, directions, 3, &o, NULL, NULL), SAE_OK);
        for (int k = 0; k < 2; k++) {
            ck_assert(sae_result_get_interval(result, keys[k], over));
            told[k] += over[1] > 0 || over[2] < 0;
        }
        sae_result_free(result);
    }
    /* binomial(60, 0.05): more than 8 with probability 0.003 */
    if (getenv("SAE_OBSERVED")) printf("# told %d and %d of %d\n", told[0], told[1], TRIES);
    ck_assert_int_le(told[0], 8); /* observed 3 */
    ck_assert_int_le(told[1], 8); /* observed 1 */
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < D; j++) b.w.W_dec[i * D + j] = 8.0F * b.w.W_dec[j];
    int planted = 0;
    for (o.seed = 0; o.seed < 20; o.seed++) {
        double over[3];
        ck_assert_int_eq(redundancy_run(&result, &b.s, b.dict, b.w.W_dec, 1, &o, NULL, NULL), SAE_OK);
        ck_assert(sae_result_get_interval(result, "over_random.5", over));
        planted += over[1] > 0 || over[2] < 0;
        sae_result_free(result);
    }
    if (getenv("SAE_OBSERVED")) printf("# planted: told %d of 20\n", planted);
    ck_assert_int_ge(planted, 9); /* observed 16; by chance 1 */
    bed_close(&b);
}
END_TEST

/* ---- The report ----------------------------------------------------------------------------------------------------------------- */

/* Ablation less removal, in nats: the difference of the two losses, and surer than the two by themselves. */
static void check_beside(const sae_result *r)
{
    static const char *const keys[3][3] = {{"aligned_less_r2.5", "aligned.5", "ratio_r2"},
                                           {"aligned_less_r3.5", "aligned.5", "ratio_r3"},
                                           {"error_less_r2.5", "error.5", "ratio_r2"}};
    const double clean = sae_result_get(r, "ce_clean", NAN);

    for (int i = 0; i < 3; i++) {
        double less[3], ablated[3], removed[3];
        ck_assert(sae_result_get_interval(r, keys[i][0], less));
        ck_assert(sae_result_get_interval(r, keys[i][1], ablated));
        ck_assert(sae_result_get_interval(r, keys[i][2], removed));
        ck_assert_double_eq_tol(less[0], clean * (ablated[0] - removed[0]), 1e-9);
        ck_assert(less[1] < less[0] && less[0] < less[2]);
        ck_assert_double_lt(less[2] - less[1], clean * (ablated[2] - ablated[1] + removed[2] - removed[1]));
    }
    ck_assert(isfinite(sae_result_get(r, "aligned_less_r2.dense", NAN)));
}

START_TEST(test_report)
{
    bed b;
    sae_result *one = NULL, *two = NULL;
    sae_dict *scaffold = random_dict(3, 9);
    const float *W_up = sae_dict_weights(scaffold).W_up;
    redundancy_options o = {.scaffold = scaffold, .ce_tokens = 200, .seed = 2};

    bed_open(&b, 0);
    for (int rule = 0; rule < ALIGN_RULES; rule++) {
        o.rule = (alignment_rule)rule;
        ck_assert_int_eq(redundancy_run(&one, &b.s, b.dict, W_up, 3, &o, NULL, NULL), SAE_OK);
        ck_assert_int_eq((int)sae_result_get(one, "n_marked", 0), 5);
        ck_assert_double_gt(sae_result_get(one, "aligned.5", NAN), 0);
        for (int k = 1; k <= 5; k++) {
            char key[2][24];
            snprintf(key[0], sizeof key[0], "random%d.5", k);
            snprintf(key[1], sizeof key[1], "matched%d.5", k);
            for (int i = 0; i < 2; i++) ck_assert_double_gt(sae_result_get(one, key[i], NAN), 0);
        }
        ck_assert(isnan(sae_result_get(one, "random2.1", NAN))); /* one draw on the grid, and no interval */
        double over[3];
        ck_assert(sae_result_get_interval(one, "over_matched.1", over) && isnan(over[1]));
        ck_assert(sae_result_get_interval(one, "over_matched.5", over) && over[1] < over[0] && over[0] < over[2]);
        ck_assert(isnan(sae_result_get(one, "matched.96", NAN))); /* every latent has no control */
        check_beside(one);
        ck_assert_double_gt(sae_result_get(one, "aligned.dense", NAN), 0);
        ck_assert_double_eq_tol(
            sae_result_get(one, "aligned_over_reconstruction.5", NAN),
            sae_result_get(one, "aligned.5", NAN) / sae_result_get(one, "ratio_reconstruction", NAN), 1e-12);
        ck_assert(sae_result_get(one, "error.96", NAN) != sae_result_get(one, "aligned.96", NAN));
        ck_assert_int_eq(redundancy_run(&two, &b.s, b.dict, W_up, 3, &o, NULL, NULL), SAE_OK);
        ck_assert(json_equal(result_json(one), result_json(two))); /* same seed, same numbers */
        sae_result_free(one);
        sae_result_free(two);
    }
    o.dense_threshold = 0.999; /* no latent fires so often */
    ck_assert_int_eq(redundancy_run(&one, &b.s, b.dict, W_up, 3, &o, NULL, NULL), SAE_OK);
    ck_assert(isnan(sae_result_get(one, "aligned.dense", NAN)));
    sae_result_free(one);
    o.dense_threshold = 1e-9; /* every latent that fires: as all of them */
    ck_assert_int_eq(redundancy_run(&one, &b.s, b.dict, W_up, 3, &o, NULL, NULL), SAE_OK);
    ck_assert_double_eq(sae_result_get(one, "aligned.dense", NAN), sae_result_get(one, "aligned.96", NAN));
    sae_result_free(one);
    o.dense_threshold = 0;
    o.scaffold = NULL; /* a basis */
    ck_assert_int_eq(redundancy_run(&one, &b.s, b.dict, W_up, 3, &o, NULL, NULL), SAE_OK);
    sae_result_free(one);
    ck_assert_int_eq(redundancy_run(&one, &b.s, b.dict, W_up, 0, &o, NULL, NULL), SAE_RANGE);
    o.draws = 99;
    ck_assert_int_eq(redundancy_run(&one, &b.s, b.dict, W_up, 3, &o, NULL, NULL), SAE_RANGE);
    float zeros[D] = {0};
    o.draws = 1;
    ck_assert_int_eq(redundancy_run(&one, &b.s, b.dict, zeros, 1, &o, NULL, NULL), SAE_RANGE);
    sae_dict_free(scaffold);
    bed_close(&b);
    ck_assert_uint_eq(mem_in_use(), 0);
}
END_TEST

/* Every allocation fails once: NOMEM, and nothing is kept. */
START_TEST(test_no_memory)
{
    bed b;
    sae_result *result = NULL;
    sae_status status = SAE_NOMEM;
    float direction[D] = {1};
    redundancy_options o = {.points = 2, .draws = 1, .ce_tokens = 40};
    int failures = 0;

    bed_open(&b, 0);
    ck_assert_int_eq(redundancy_run(&result, &b.s, b.dict, direction, 1, &o, NULL, NULL), SAE_OK);
    sae_result_free(result); /* what the model keeps from its first run on is not the experiment's */
    size_t before = mem_in_use();
    for (int64_t nth = 1; status != SAE_OK; nth += 1 + nth / 16) {
        mem_fail_nth(nth);
        status = redundancy_run(&result, &b.s, b.dict, direction, 1, &o, NULL, NULL);
        mem_fail_nth(0);
        if (status == SAE_OK) break;
        failures++;
        ck_assert_int_eq(status, SAE_NOMEM);
        ck_assert_uint_eq(mem_in_use(), before);
    }
    ck_assert_int_gt(failures, 20);
    sae_result_free(result);
    bed_close(&b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redundancy");
    TCase *tc = tcase_create("redundancy");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, test_nothing_and_everything);
    tcase_add_test(tc, test_error_projected);
    tcase_add_test(tc, test_orders);
    tcase_add_test(tc, test_controls);
    tcase_add_test(tc, test_dense_by_themselves);
    tcase_add_test(tc, test_matched_stretches);
    tcase_add_test(tc, test_matched_power);
    tcase_add_test(tc, test_null);
    tcase_add_test(tc, test_null_of_the_verdict);
    tcase_add_test(tc, test_report);
    tcase_add_test(tc, test_no_memory);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
