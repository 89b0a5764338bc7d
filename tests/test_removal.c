/*
 * test_removal.c - taking any subspace out of a model: what must hold whatever the subspace is, on a tiny random model; bases from
 * files. Numbers from elsewhere stand in test_lab_removal.sh. EVERY_THREAD.
 */
#include "io/io.h"
#include "io_check.h"
#include "expect.h"
#include "lab/basis.h"
#include "lab/row_moments.h"
#include "lab/subspace_removal.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SEQS = 12, CTX = 24, SPECIAL = 5, D = 32 };
static const sae_site site = {1, SAE_RESID_POST};

typedef struct bed {
    sae_model *model;
    sample sample;
    row_statistics stats;
} bed;

static void bed_open(bed *b, double max_norm)
{
    int32_t ids[SEQS * CTX];
    uint8_t mask[SEQS * CTX];
    rng r = rng_seed(71, 0);

    *b = (bed){0};
    ck_assert_int_eq(sae_model_open(&b->model, "data/golden/models/llama_gqa_tied", NULL, NULL), SAE_OK);
    for (int i = 0; i < SEQS * CTX; i++) {
        ids[i] = i % CTX == 0 ? 0 : (int32_t)rng_below(&r, 128);
        if (i % CTX == 9) ids[i] = SPECIAL;
        mask[i] = i % CTX != 0 && ids[i] != SPECIAL;
    }
    sample_options how = {.max_norm = max_norm, .batch_seqs = 5};
    ck_assert_int_eq(sample_of_ids(&b->sample, b->model, ids, mask, SEQS, CTX, site, &how, NULL), SAE_OK);
    ck_assert_int_eq(row_statistics_measure(&b->stats, &b->sample, false, NULL), SAE_OK);
}

static void bed_close(bed *b)
{
    row_statistics_free(&b->stats);
    sample_free(&b->sample);
    sae_model_free(b->model);
    ck_assert_uint_eq(mem_in_use(), 0);
}

static subspace_removal measure_rows(bed *b, const subspace *space, const row_statistics *stats, int draws,
                                     edit_rows rows)
{
    subspace_removal r;
    sae_error err = {0};

    ck_assert_msg(subspace_removal_measure(&r, &b->sample, stats, space, &(subspace_removal_options){draws, 3, rows},
                                           NULL, &err) == SAE_OK,
                  "%s", err.message);
    return r;
}

static subspace_removal measure(bed *b, const subspace *space, const row_statistics *stats, int draws)
{
    return measure_rows(b, space, stats, draws, EDIT_COUNTED);
}

static double ce(const subspace_removal *r, int which) { return loss_mean(&r->losses, which); }

static void random_directions(double *rows, int n, uint64_t seed)
{
    rng r = rng_seed(seed, 0);

    for (int i = 0; i < n * D; i++) rows[i] = rng_normal(&r);
}

static subspace span(const double *rows, int n)
{
    subspace s;

    ck_assert_int_eq(subspace_of_directions(&s, rows, n, D, NULL), SAE_OK);
    return s;
}

/* ---- Laws ------------------------------------------------------------------------------------------------------------------ */

/* A subspace of rank 0 removed by any operator leaves every sum as it is, bit for bit; so do PCA and random ones of that rank. */
START_TEST(test_rank_0_changes_nothing)
{
    bed b;
    subspace none = {.d = D};

    bed_open(&b, 10);
    subspace_removal r = measure(&b, &none, &b.stats, 2);
    for (int i = REMOVAL_R2; i < subspace_removal_passes(&r); i++)
        ck_assert_mem_eq(r.losses.nll, r.losses.nll + i * SEQS, SEQS * sizeof(double));
    ck_assert_double_gt(fabs(ce(&r, REMOVAL_ZERO) - ce(&r, REMOVAL_CLEAN)), 0.01); /* and zero ablation does not */
    subspace_removal_free(&r);
    bed_close(&b);
}
END_TEST

static bool same_losses(const subspace_removal *a, const subspace_removal *b, int which)
{
    return memcmp(a->losses.nll + which * SEQS, b->losses.nll + which * SEQS, SEQS * sizeof(double)) == 0;
}

/* Whichever rows are changed, the same predictions are scored and the clean model is what it is. Rank 0 changes nothing in masked rows
 * either; a subspace does, position 0's row and the others each for itself. */
START_TEST(test_masked_rows_too)
{
    bed b;
    double directions[3 * D];
    subspace none = {.d = D};
    subspace_removal of_none[3], of_any[3];

    bed_open(&b, 1.1);
    ck_assert_int_gt(b.sample.n_over_norm, 0);
    random_directions(directions, 3, 88);
    subspace any = span(directions, 3);
    for (int i = 0; i < 3; i++) {
        of_none[i] = measure_rows(&b, &none, &b.stats, 2, (edit_rows)i);
        of_any[i] = measure_rows(&b, &any, &b.stats, 2, (edit_rows)i);
        for (int k = REMOVAL_R2; k < subspace_removal_passes(&of_none[i]); k++)
            ck_assert_mem_eq(of_none[i].losses.nll, of_none[i].losses.nll + k * SEQS, SEQS * sizeof(double));
        ck_assert_int_eq(of_any[i].losses.n_scored, of_any[0].losses.n_scored);
        ck_assert(same_losses(&of_any[i], &of_any[0], REMOVAL_CLEAN));
        for (int k = REMOVAL_ZERO; i > 0 && k < subspace_removal_passes(&of_any[i]); k++)
            ck_assert_msg(!same_losses(&of_any[i], &of_any[i - 1], k), "edit %d, choice %d", k, i);
    }
    for (int i = 0; i < 3; i++) {
        sae_result *result = NULL;
        const int64_t changed[] = {b.sample.n_counted, b.sample.n_counted + SEQS, SEQS * CTX};
        ck_assert_int_eq(subspace_removal_report(&result, &of_any[i], &b.sample, &b.stats, &any, 1, NULL), SAE_OK);
        ck_assert_double_eq(sae_result_get(result, "rows_changed", NAN), (double)changed[i]);
        sae_result_free(result);
        subspace_removal_free(&of_none[i]);
        subspace_removal_free(&of_any[i]);
    }
    subspace_free(&any);
    bed_close(&b);
}
END_TEST

/* Where no row is masked it is the same which are changed, bit for bit. */
START_TEST(test_no_masked_rows)
{
    bed b;
    double directions[3 * D];
    subspace_removal of[3];
    sample all;
    sample_options how = {.max_norm = -1, .batch_seqs = 5, .with_bos = true};

    bed_open(&b, 10);
    random_directions(directions, 3, 89);
    subspace any = span(directions, 3);
    ck_assert_int_eq(sample_of_ids(&all, b.model, b.sample.ids, b.sample.mask, SEQS, CTX, site, &how, NULL), SAE_OK);
    sample_free(&b.sample);
    b.sample = all;
    for (int i = 0; i < 3; i++) of[i] = measure_rows(&b, &any, &b.stats, 1, (edit_rows)i);
    for (int k = 0; k < subspace_removal_passes(&of[0]); k++)
        ck_assert(same_losses(&of[1], &of[0], k) && same_losses(&of[2], &of[0], k));
    for (int i = 0; i < 3; i++) subspace_removal_free(&of[i]);
    subspace_free(&any);
    bed_close(&b);
}
END_TEST

/* R3 with the mean 0 is R2. With a subspace orthogonal to the mean the two agree, though the mean is not 0; and with any other
 * they do not. */
START_TEST(test_centring)
{
    bed b;
    double rows[3 * D];

    bed_open(&b, 10);
    random_directions(rows, 3, 81);
    subspace any = span(rows, 3);
    subspace_removal r = measure(&b, &any, &b.stats, 1);
    ck_assert_double_gt(fabs(ce(&r, REMOVAL_R2) - ce(&r, REMOVAL_R3)), 1e-3);
    double *mean = b.stats.mean, zero[D] = {0};
    b.stats.mean = zero;
    subspace_removal about_zero = measure(&b, &any, &b.stats, 1);
    b.stats.mean = mean;
    ck_assert_mem_eq(about_zero.losses.nll + REMOVAL_R2 * SEQS, about_zero.losses.nll + REMOVAL_R3 * SEQS,
                     SEQS * sizeof(double));
    double norm = 0;
    for (int j = 0; j < D; j++) norm += mean[j] * mean[j];
    for (int i = 0; i < 3; i++) {
        double along = 0;
        for (int j = 0; j < D; j++) along += rows[i * D + j] * mean[j];
        for (int j = 0; j < D; j++) rows[i * D + j] -= along / norm * mean[j];
    }
    subspace beside = span(rows, 3);
    subspace_removal orthogonal = measure(&b, &beside, &b.stats, 1);
    EXPECT_WITHIN(fabs(ce(&orthogonal, REMOVAL_R2) - ce(&orthogonal, REMOVAL_R3)), 1e-6,
                  "R2 and R3 differ"); /* observed 0 */
    ck_assert_double_gt(fabs(ce(&orthogonal, REMOVAL_R2) - ce(&orthogonal, REMOVAL_CLEAN)), 1e-3);
    subspace_removal_free(&orthogonal);
    subspace_removal_free(&about_zero);
    subspace_removal_free(&r);
    subspace_free(&beside);
    subspace_free(&any);
    bed_close(&b);
}
END_TEST

/* U and U G span the same: the projector and every loss agree to rounding, G far from orthogonal and its columns of sizes from
 * 1e-4 to 1e8 all the same. */
START_TEST(test_any_basis_of_it)
{
    bed b;
    double rows[4 * D], mixed[4 * D] = {0};
    rng g = rng_seed(83, 1);

    bed_open(&b, 10);
    random_directions(rows, 4, 82);
    for (int i = 0; i < 4; i++) {
        double size = pow(10, 4 * i - 4);
        for (int k = 0; k < 4; k++) {
            double weight = size * (rng_normal(&g) + (i == k ? 2 : 0));
            for (int j = 0; j < D; j++) mixed[i * D + j] += weight * rows[k * D + j];
        }
    }
    subspace one = span(rows, 4), other = span(mixed, 4);
    ck_assert_int_eq(other.rank, 4);
    ck_assert_double_eq_tol(subspace_overlap(&one, &other), 1, 1e-12);
    subspace_removal a = measure(&b, &one, &b.stats, 1), c = measure(&b, &other, &b.stats, 1);
    for (int i = 0; i < REMOVAL_RANDOM + 1; i++)
        EXPECT_WITHIN(fabs(ce(&a, i) - ce(&c, i)), 1e-6, "edit %d", i); /* observed 0 */
    subspace_removal_free(&a);
    subspace_removal_free(&c);
    subspace_free(&one);
    subspace_free(&other);
    bed_close(&b);
}
END_TEST

/* The principal components given as a basis are what is called PCA; the first random subspace given as a basis is the random one;
 * the mean of the draws is theirs. */
START_TEST(test_comparators)
{
    bed b;
    subspace pca, drawn;
    rng r = rng_seed(3, 77); /* as the measurement seeds it */

    bed_open(&b, 10);
    ck_assert_int_eq(subspace_pca(&pca, b.stats.covariance, D, 0, 3, NULL, NULL), SAE_OK);
    subspace_removal a = measure(&b, &pca, &b.stats, 3);
    for (int i = 0; i < 2; i++) ck_assert_double_eq_tol(ce(&a, REMOVAL_R2 + i), ce(&a, REMOVAL_PCA_R2 + i), 1e-12);
    ck_assert_double_eq_tol(ce(&a, REMOVAL_R6), ce(&a, REMOVAL_PCA_R6), 1e-12);
    double sum = 0;
    for (int i = 0; i < 3; i++) sum += ce(&a, REMOVAL_RANDOM + i);
    ck_assert_double_eq_tol(ce(&a, subspace_removal_random(&a, false)), sum / 3, 1e-12);
    interval part;
    const int four[] = {REMOVAL_R2, REMOVAL_ZERO, REMOVAL_RANDOM, REMOVAL_MEAN};
    ck_assert_int_eq(loss_contrast(&part, &a.losses, four, 1, NULL), SAE_OK);
    sum = ce(&a, four[0]) - ce(&a, four[1]) - (ce(&a, four[2]) - ce(&a, four[3]));
    ck_assert_double_eq_tol(part.value, sum, 1e-12);
    ck_assert(part.low < part.value && part.value < part.high);
    ck_assert_int_eq(subspace_random(&drawn, D, 3, &r, NULL), SAE_OK);
    subspace_removal c = measure(&b, &drawn, &b.stats, 3);
    ck_assert_double_eq_tol(ce(&c, REMOVAL_R2), ce(&c, REMOVAL_RANDOM), 1e-12);
    ck_assert_double_eq(ce(&a, REMOVAL_RANDOM + 1), ce(&c, REMOVAL_RANDOM + 1));
    ck_assert_double_eq_tol(ce(&c, REMOVAL_R3), ce(&c, REMOVAL_RANDOM + 3), 1e-12); /* R3 of the first of three draws */
    ck_assert_double_gt(fabs(ce(&c, REMOVAL_R3) - ce(&c, REMOVAL_R2)), 1e-4);
    sum = 0;
    for (int i = 0; i < 3; i++) sum += ce(&c, REMOVAL_RANDOM + 3 + i);
    ck_assert_double_eq_tol(ce(&c, subspace_removal_random(&c, true)), sum / 3, 1e-12);
    ck_assert_int_eq(c.losses.n_edits, subspace_removal_passes(&c) + 2);
    subspace_removal_free(&a);
    subspace_removal_free(&c);
    subspace_free(&pca);
    subspace_free(&drawn);
    bed_close(&b);
}
END_TEST

/* A random subspace cannot be told from the random ones it is compared with: of 20, its place among 19 draws falls into the
 * lowest or highest 4 of 20 about 8 times. PCA's place is at one end. */
START_TEST(test_random_is_random)
{
    enum { TRIES = 20, DRAWS = 19 };
    bed b;
    int low = 0, high = 0;
    double rows[2 * D];

    bed_open(&b, 10);
    for (int i = 0; i < TRIES; i++) {
        subspace_removal r;
        int below = 0;
        random_directions(rows, 2, 900 + (uint64_t)i);
        subspace s = span(rows, 2);
        ck_assert_int_eq(subspace_removal_measure(&r, &b.sample, &b.stats, &s,
                                                  &(subspace_removal_options){DRAWS, 50 + (uint64_t)i, EDIT_COUNTED},
                                                  NULL, NULL),
                         SAE_OK);
        for (int k = 0; k < DRAWS; k++) below += ce(&r, REMOVAL_RANDOM + k) < ce(&r, REMOVAL_R2);
        low += below < 4;
        high += below > DRAWS - 4;
        subspace_removal_free(&r);
        subspace_free(&s);
    }
    /* binomial(20, 0.2): more than 9 with probability 0.003 */
    ck_assert_msg(low <= 9 && high <= 9, "%d of %d among the lowest fifth, %d among the highest", low, TRIES, high);
    bed_close(&b);
}
END_TEST

/* The number that says so: a random subspace is told from five others about once in twenty; PCA's is. */
START_TEST(test_over_random)
{
    enum { TRIES = 30, DRAWS = 5 };
    bed b;
    double rows[2 * D];
    interval over;
    int told = 0;

    bed_open(&b, 10);
    for (int i = 0; i < TRIES; i++) {
        subspace_removal r;
        random_directions(rows, 2, 700 + (uint64_t)i);
        subspace s = span(rows, 2);
        ck_assert_int_eq(subspace_removal_measure(&r, &b.sample, &b.stats, &s,
                                                  &(subspace_removal_options){DRAWS, 40 + (uint64_t)i, EDIT_COUNTED},
                                                  NULL, NULL),
                         SAE_OK);
        ck_assert_int_eq(
            loss_ratio_beside(&over, &r.losses, REMOVAL_R2, (loss_draws){REMOVAL_RANDOM, 1, DRAWS}, 1, NULL), SAE_OK);
        told += over.low > 1 || over.high < 1;
        subspace_removal_free(&r);
        subspace_free(&s);
    }
    if (getenv("SAE_OBSERVED")) printf("# %d of %d told from random\n", told, TRIES);
    ck_assert_int_le(told, 5); /* binomial(30, 0.05): more with probability 0.003; observed 0 */
    bed_close(&b);
}
END_TEST

/* ---- Edits -------------------------------------------------------------------------------------------------------------------- */

START_TEST(test_norm_kept)
{
    enum { N = 40 };
    float rows[N * D], out[N * D], plain[N * D];
    double directions[3 * D];
    rng r = rng_seed(84, 0);

    random_directions(directions, 3, 85);
    subspace s = span(directions, 3);
    for (int i = 0; i < N * D; i++) rows[i] = (float)(rng_normal(&r) * pow(10, i / D % 7 - 3));
    for (int j = 0; j < D; j++) rows[j] = (float)(100 * s.basis[j]); /* the first row lies inside */
    edit_space how = {&s, NULL};
    ck_assert_int_eq(edit_remove_keep_norm(&how, rows, N, D, out, NULL), SAE_OK);
    ck_assert_int_eq(edit_remove(&how, rows, N, D, plain, NULL), SAE_OK);
    for (int j = 0; j < D; j++) ck_assert_float_eq(out[j], 0);
    for (int i = 1; i < N; i++) {
        double before = 0, after = 0, left = 0, along = 0;
        for (int j = 0; j < D; j++) {
            double x = (double)rows[i * D + j], y = (double)out[i * D + j], z = (double)plain[i * D + j];
            before += x * x;
            after += y * y;
            left += z * z;
            along += y * z;
        }
        EXPECT_WITHIN(fabs(after / before - 1), 1e-6, "row %d", i);             /* observed 3.2e-8 */
        EXPECT_WITHIN(fabs(along / sqrt(after * left) - 1), 1e-6, "row %d", i); /* the direction of R2 */
        ck_assert_double_lt(left, before);
    }
    subspace_free(&s);
    ck_assert_uint_eq(mem_in_use(), 0);
}
END_TEST

/* Outside the subspace a row is its own, inside it is another's, each once; one row alone stays. */
START_TEST(test_resampled)
{
    enum { N = 9 };
    float rows[N * D], out[N * D];
    double directions[2 * D];
    bool taken[N] = {false};
    rng r = rng_seed(86, 0);

    random_directions(directions, 2, 87);
    subspace s = span(directions, 2);
    for (int i = 0; i < N * D; i++) rows[i] = (float)rng_normal(&r);
    edit_resampling how = {&s, 4};
    ck_assert_int_eq(edit_resample(&how, rows, N, D, out, NULL), SAE_OK);
    for (int i = 0; i < N; i++) {
        double outside = 0, code = 0;
        int from = -1;
        for (int j = 0; j < D; j++) code += s.basis[j] * (double)out[i * D + j];
        for (int k = 0; k < N; k++) {
            double other = 0;
            for (int j = 0; j < D; j++) other += s.basis[j] * (double)rows[k * D + j];
            if (fabs(other - code) < 1e-5) from = k;
        }
        ck_assert_int_ge(from, 0);
        ck_assert_int_ne(from, i);
        ck_assert(!taken[from]);
        taken[from] = true;
        for (int j = 0; j < D; j++) { /* the difference lies in the subspace */
            double gap = (double)out[i * D + j] - (double)rows[i * D + j];
            for (int k = 0; k < 2; k++) {
                double inside = 0;
                for (int o = 0; o < D; o++)
                    inside += s.basis[k * D + o] * ((double)out[i * D + o] - (double)rows[i * D + o]);
                gap -= inside * s.basis[k * D + j];
            }
            outside = fmax(outside, fabs(gap));
        }
        EXPECT_WITHIN(outside, 1e-6, "row %d", i); /* observed 2.1e-7 */
    }
    ck_assert_int_eq(edit_resample(&how, rows, 1, D, out, NULL), SAE_OK);
    for (int j = 0; j < D; j++) ck_assert_float_eq_tol(out[j], rows[j], 1e-6F);
    subspace_free(&s);
    ck_assert_uint_eq(mem_in_use(), 0);
}
END_TEST

/* ---- Where the numbers come from -------------------------------------------------------------------------------------------------- */

/* Mean and covariance are of every unmasked row, those over the limit too; the limit of one sample can be another's. */
START_TEST(test_statistics)
{
    bed b;
    double mean[D] = {0};
    int64_t n = 0;

    bed_open(&b, 1.1);
    ck_assert_int_gt(b.sample.n_over_norm, 0);
    ck_assert_int_eq(b.stats.n, b.sample.n_counted + b.sample.n_over_norm);
    for (int i = 0; i < SEQS * CTX; i++) {
        if (!b.sample.mask[i]) continue;
        n++;
        for (int j = 0; j < D; j++) mean[j] += (double)b.sample.cache[i * D + j];
    }
    for (int j = 0; j < D; j++) ck_assert_double_eq_tol(b.stats.mean[j], mean[j] / (double)n, 1e-9);
    ck_assert_int_eq(b.stats.n_over_norm, b.sample.n_over_norm);
    row_statistics counted;
    ck_assert_int_eq(row_statistics_measure(&counted, &b.sample, true, NULL), SAE_OK);
    ck_assert_int_eq(counted.n, b.sample.n_counted);
    ck_assert_int_eq(counted.n_over_norm, 0);
    ck_assert_double_ne(counted.mean[0], b.stats.mean[0]);
    row_statistics_free(&counted);
    sample other;
    sample_options how = {.max_norm = 1.1, .median_norm = 2 * b.stats.median_norm};
    ck_assert_int_eq(sample_of_ids(&other, b.model, b.sample.ids, b.sample.mask, SEQS, CTX, site, &how, NULL), SAE_OK);
    ck_assert_int_eq(other.n_over_norm, 0);
    ck_assert_double_eq(other.median_norm, 2 * b.stats.median_norm);
    sample_free(&other);
    bed_close(&b);
}
END_TEST

/* PCA of all rows has to hold position 0's row once that is long, which PCA of the counted ones does not see; where no row is masked the
 * two are the same. */
START_TEST(test_components_of_every_row)
{
    enum { RANK = 3 };
    bed b;
    row_moments counted;
    subspace every, counted_pca;
    double row[D];
    sample all;
    sample_options how = {.max_norm = -1, .batch_seqs = 5, .with_bos = true};

    bed_open(&b, 10);
    for (int i = 0; i < SEQS; i++)
        for (int j = 0; j < D; j++) b.sample.cache[i * CTX * D + j] *= 100.0F;
    for (int j = 0; j < D; j++) row[j] = (double)b.sample.cache[j];
    ck_assert_int_eq(row_moments_of_sample(&counted, &b.sample, NULL), SAE_OK);
    ck_assert_int_eq(components_of_every_row(&every, &b.sample, RANK, NULL), SAE_OK);
    ck_assert_int_eq(every.rank, RANK);
    counted_pca = row_components(&counted, RANK);
    ck_assert_double_gt(subspace_share(&every, row), 0.9999);
    ck_assert_double_lt(subspace_share(&counted_pca, row), 0.9);
    subspace_free(&every);
    row_moments_free(&counted);
    ck_assert_int_eq(sample_of_ids(&all, b.model, b.sample.ids, b.sample.mask, SEQS, CTX, site, &how, NULL), SAE_OK);
    ck_assert_int_eq(row_moments_of_sample(&counted, &all, NULL), SAE_OK);
    ck_assert_int_eq(components_of_every_row(&every, &all, RANK, NULL), SAE_OK);
    counted_pca = row_components(&counted, RANK);
    ck_assert_double_eq_tol(subspace_overlap(&every, &counted_pca), 1, 1e-9);
    subspace_free(&every);
    row_moments_free(&counted);
    sample_free(&all);
    bed_close(&b);
}
END_TEST

/* ---- Bases from files --------------------------------------------------------------------------------------------------------------- */

static const char *write_basis(const char *name, const tensor *t)
{
    sae_error err = {0};
    const char *path = in_scratch(name);

    ck_assert_msg(npy_write(path, t, true, &err) == SAE_OK, "%s", err.message);
    return path;
}

START_TEST(test_basis_of_a_file)
{
    double columns[D * 4], rows[2 * D];
    basis_file b;

    random_directions(rows, 2, 88);
    for (int j = 0; j < D; j++) { /* two directions, their sum, and nothing; of very different sizes */
        columns[j * 4] = 1e9 * rows[j];
        columns[j * 4 + 1] = 0;
        columns[j * 4 + 2] = 1e-9 * rows[D + j];
        columns[j * 4 + 3] = rows[j] + rows[D + j];
    }
    tensor t = {.name = "U", .type = DTYPE_F64, .rank = 2, .shape = {D, 4}, .data = columns, .bytes = sizeof columns};
    ck_assert_int_eq(basis_file_read(&b, write_basis("u.npy", &t), D, NULL), SAE_OK);
    ck_assert_int_eq(b.columns, 4);
    ck_assert_int_eq(b.space.rank, 2);
    subspace wanted = span(rows, 2);
    ck_assert_double_eq_tol(subspace_overlap(&wanted, &b.space), 1, 1e-12);
    subspace_free(&wanted);
    basis_file_free(&b);
    t = (tensor){.name = "u", .type = DTYPE_F64, .rank = 1, .shape = {D}, .data = rows, .bytes = D * sizeof *rows};
    ck_assert_int_eq(basis_file_read(&b, write_basis("u.npy", &t), D, NULL), SAE_OK); /* one column */
    ck_assert_int_eq(b.space.rank, 1);
    basis_file_free(&b);
    ck_assert_uint_eq(mem_in_use(), 0);
}
END_TEST

static const struct {
    int rank;
    int64_t shape[3];
    double first; /* the first number; all others are `rest` */
    double rest;
    sae_status code;
    const char *says;
} bad_bases[] = {
    {2, {D, 2}, NAN, 1, SAE_NUMERIC, "row 0, column 0"},
    {2, {D, 2}, INFINITY, 1, SAE_NUMERIC, "not finite"},
    {2, {D, 2}, 0, 0, SAE_RANGE, "every column"},
    {2, {2, D}, 1, 1, SAE_SHAPE, "transpose"},
    {2, {D + 1, 2}, 1, 1, SAE_SHAPE, "[33, 2]"},
    {1, {D + 1}, 1, 1, SAE_SHAPE, "[33]"},
    {3, {D, 2, 1}, 1, 1, SAE_SHAPE, "one direction a column"},
    {2, {D, 0}, 1, 1, SAE_SHAPE, "no column"},
};

START_TEST(test_bad_bases)
{
    double values[2 * D + 2];
    sae_error err = {0};
    basis_file b = {0};
    tensor t = {.name = "U", .type = DTYPE_F64, .rank = bad_bases[_i].rank, .data = values};

    for (int i = 0; i < 2 * D + 2; i++) values[i] = i ? bad_bases[_i].rest : bad_bases[_i].first;
    memcpy(t.shape, bad_bases[_i].shape, sizeof bad_bases[_i].shape);
    t.bytes = (size_t)tensor_count(&t) * sizeof *values;
    ck_assert_int_eq(basis_file_read(&b, write_basis("u.npy", &t), D, &err), bad_bases[_i].code);
    ck_assert_msg(strstr(err.message, bad_bases[_i].says) && strstr(err.message, "u.npy"), "%s", err.message);
    ck_assert_uint_eq(mem_in_use(), 0);
}
END_TEST

/* ---- Memory ---------------------------------------------------------------------------------------------------------------------- */

/* Every allocation fails once: the call says so and gives everything back. */
START_TEST(test_allocation_failures)
{
    bed b;
    double rows[2 * D];
    sae_status status = SAE_NOMEM;
    int failures = 0;

    bed_open(&b, 10);
    random_directions(rows, 2, 89);
    subspace s = span(rows, 2);
    subspace_removal warm = measure(&b, &s, &b.stats, 1); /* fills caches made once */
    subspace_removal_free(&warm);
    size_t before = mem_in_use();
    for (int64_t nth = 1; status != SAE_OK && nth < 5000; nth += 1 + nth / 8) {
        sae_error err = {0};
        subspace_removal r = {0};
        row_statistics stats = {0};
        sae_result *result = NULL;
        mem_fail_nth(nth);
        status = row_statistics_measure(&stats, &b.sample, false, &err);
        if (status == SAE_OK)
            status = subspace_removal_measure(&r, &b.sample, &stats, &s,
                                              &(subspace_removal_options){2, 1, EDIT_COUNTED}, NULL, &err);
        if (status == SAE_OK) status = subspace_removal_report(&result, &r, &b.sample, &stats, &s, 1, &err);
        mem_fail_nth(0);
        ck_assert_msg(status == SAE_OK || (status == SAE_NOMEM && err.message[0]), "allocation %lld: %s: %s",
                      (long long)nth, sae_status_name(status), err.message);
        failures += status != SAE_OK;
        sae_result_free(result);
        subspace_removal_free(&r);
        row_statistics_free(&stats);
        ck_assert_uint_eq(mem_in_use(), before);
    }
    ck_assert_int_eq(status, SAE_OK);
    ck_assert_int_gt(failures, 10);
    subspace_free(&s);
    bed_close(&b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("removal");
    TCase *laws = tcase_create("laws"), *files = tcase_create("files");
    SRunner *runner;
    int failed;

    tcase_set_timeout(laws, 120);
    tcase_add_test(laws, test_rank_0_changes_nothing);
    tcase_add_test(laws, test_masked_rows_too);
    tcase_add_test(laws, test_no_masked_rows);
    tcase_add_test(laws, test_centring);
    tcase_add_test(laws, test_any_basis_of_it);
    tcase_add_test(laws, test_comparators);
    tcase_add_test(laws, test_random_is_random);
    tcase_add_test(laws, test_over_random);
    tcase_add_test(laws, test_norm_kept);
    tcase_add_test(laws, test_resampled);
    tcase_add_test(laws, test_statistics);
    tcase_add_test(laws, test_components_of_every_row);
    tcase_add_test(laws, test_allocation_failures);
    suite_add_tcase(suite, laws);
    tcase_add_checked_fixture(files, setup, teardown);
    tcase_set_timeout(files, 60);
    tcase_add_test(files, test_basis_of_a_file);
    tcase_add_loop_test(files, test_bad_bases, 0, (int)(sizeof bad_bases / sizeof *bad_bases));
    suite_add_tcase(suite, files);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
