/* test_eval.c - the laws of subspaces, moments, densities, fits and intervals, on data whose answer is known. */
#include "eval/bootstrap.h"
#include "eval/density.h"
#include "eval/each.h"
#include "eval/fit.h"
#include "eval/splice.h"
#include "eval/subspace.h"
#include "expect.h"
#include "kernels/linalg.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static float *normal_rows(int64_t n, int64_t d, uint64_t seed)
{
    rng r = rng_seed(seed, 1);
    float *rows = mem_alloc_array((size_t)(n * d), sizeof *rows, "rows", NULL);

    ck_assert_ptr_nonnull(rows);
    for (int64_t i = 0; i < n * d; i++) rows[i] = (float)rng_normal(&r);
    return rows;
}

/* ---- Moments ------------------------------------------------------------------------------------------------------- */

/* Rows far from the origin with one large dimension: mean and covariance against the textbook sums in double. */
START_TEST(test_moments)
{
    enum { N = 1500, D = 13 };
    float *rows = normal_rows(N, D, 3);
    double mean[D] = {0}, expected[D * D] = {0}, got_mean[D], got[D * D], worst = 0;
    moments m;

    for (int i = 0; i < N; i++)
        for (int j = 0; j < D; j++) rows[i * D + j] = rows[i * D + j] * (j == 4 ? 30.0F : 1.0F) + 100.0F * (float)j;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < D; j++) mean[j] += (double)rows[i * D + j] / N;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < D; j++)
            for (int k = 0; k < D; k++)
                expected[j * D + k] += ((double)rows[i * D + j] - mean[j]) * ((double)rows[i * D + k] - mean[k]) / N;

    ck_assert_int_eq(moments_create(&m, D, NULL), SAE_OK);
    ck_assert_int_eq(moments_finish(&m, got_mean, got, NULL), SAE_STATE);
    for (int i = 0; i < N; i += 700) moments_add(&m, rows + i * D, i + 700 < N ? 700 : N - i); /* uneven chunks */
    ck_assert_int_eq(moments_finish(&m, got_mean, got, NULL), SAE_OK);
    for (int j = 0; j < D; j++) ck_assert_double_eq_tol(got_mean[j], mean[j], 1e-9); /* observed 2e-12 */
    for (int j = 0; j < D * D; j++) {
        double scale = sqrt(expected[j / D * D + j / D] * expected[j % D * D + j % D]);
        worst = fmax(worst, fabs(got[j] - expected[j]) / scale);
    }
    ck_assert_double_lt(worst, 1e-6); /* observed 2.1e-7: the products are float32 */
    moments_free(&m);
    mem_free(rows);
}
END_TEST

/* ---- Subspaces ------------------------------------------------------------------------------------------------------- */

/* A covariance with known eigenvectors (those of a random rotation) and eigenvalues. */
START_TEST(test_pca)
{
    enum { D = 24, R = 5 };
    double *A = mem_alloc_array(D * D, sizeof *A, "a covariance", NULL), values[D], error = 0;
    rng r = rng_seed(8, 0);
    subspace truth, top, second;

    ck_assert_int_eq(subspace_random(&truth, D, D, &r, NULL), SAE_OK);
    for (int i = 0; i < D; i++)
        for (int j = 0; j < D; j++)
            for (int k = 0; k < D; k++)
                A[i * D + j] += (double)(D - k) * truth.basis[k * D + i] * truth.basis[k * D + j];
    ck_assert_int_eq(subspace_pca(&top, A, D, 0, R, values, NULL), SAE_OK);
    ck_assert_int_eq(subspace_pca(&second, A, D, R, R, NULL, NULL), SAE_OK);
    for (int k = 0; k < D; k++) error = fmax(error, fabs(values[k] - (double)(D - k)));
    ck_assert_double_lt(error, 1e-12 * D); /* observed 5.7e-14 */
    for (int k = 0; k < R; k++) {
        double cosine = 0;
        for (int j = 0; j < D; j++) cosine += top.basis[k * D + j] * truth.basis[k * D + j];
        ck_assert_double_gt(fabs(cosine), 1 - 1e-12);
    }
    ck_assert_double_lt(subspace_overlap(&top, &second), 1e-12);
    ck_assert_double_eq_tol(subspace_variance(&top, A), 24 + 23 + 22 + 21 + 20, 1e-9);
    ck_assert_int_eq(subspace_pca(&second, A, D, D - 2, 3, NULL, NULL), SAE_RANGE);
    subspace_free(&truth);
    subspace_free(&top);
    subspace_free(&second);
    mem_free(A);
}
END_TEST

START_TEST(test_overlap_with_itself)
{
    rng r = rng_seed(9, 0);
    float *rows = normal_rows(6, 64, 5);
    double cosines[6];
    subspace a, mixed;

    memcpy(rows + 5 * 64, rows, 64 * sizeof *rows); /* a repeated row adds no direction */
    ck_assert_int_eq(subspace_of_rows(&a, rows, 6, 64, NULL), SAE_OK);
    ck_assert_int_eq(a.rank, 5);
    for (int i = 0; i < 5; i++) /* another basis of the same space */
        for (int j = 0; j < 64; j++) rows[i * 64 + j] += 0.5F * rows[(i + 1) % 5 * 64 + j];
    ck_assert_int_eq(subspace_of_rows(&mixed, rows, 5, 64, NULL), SAE_OK);
    ck_assert_double_eq_tol(subspace_overlap(&a, &a), 1, 1e-12);
    ck_assert_double_eq_tol(subspace_overlap(&a, &mixed), 1, 1e-9); /* rows are float32 */
    ck_assert_int_eq(subspace_cosines(&a, &mixed, cosines, NULL), SAE_OK);
    ck_assert_double_eq_tol(cosines[4], 1, 1e-9);
    subspace_free(&mixed);
    memset(rows, 0, 64 * sizeof *rows);
    ck_assert_int_eq(subspace_of_rows(&mixed, rows, 1, 64, NULL), SAE_OK);
    ck_assert_int_eq(mixed.rank, 0);
    ck_assert_double_eq(subspace_overlap(&mixed, &a), 0);
    subspace_free(&mixed);
    ck_assert_int_eq(subspace_random(&mixed, 64, 0, &r, NULL), SAE_OK);
    ck_assert_int_eq(mixed.rank, 0);
    subspace_free(&a);
    mem_free(rows);
}
END_TEST

/* Null test: two unrelated subspaces overlap by q / d, no more and no less. The variance of |P_q u|^2 for a random unit
 * vector u is 2 q (d - q) / (d^2 (d + 2)); r of them are averaged, slightly negatively correlated. */
START_TEST(test_overlap_by_chance)
{
    enum { D = 96, R = 6, Q = 12, DRAWS = 200 };
    rng r = rng_seed(10, 0);
    double mean = 0, sigma = sqrt(2.0 * Q * (D - Q) / ((double)D * D * (D + 2)) / (R * DRAWS));

    for (int i = 0; i < DRAWS; i++) {
        subspace a, b;
        ck_assert_int_eq(subspace_random(&a, D, R, &r, NULL), SAE_OK);
        ck_assert_int_eq(subspace_random(&b, D, Q, &r, NULL), SAE_OK);
        mean += subspace_overlap(&a, &b) / DRAWS;
        subspace_free(&a);
        subspace_free(&b);
    }
    ck_assert_double_lt(fabs(mean - (double)Q / D), 5 * sigma); /* observed 0.67 sigma; sigma is 1.4e-3 */
}
END_TEST

/* Orthonormal, holds just what was asked of the row, and what is asked of nothing else: another row's share is by chance. */
START_TEST(test_random_of_share)
{
    enum { D = 96, R = 6, DRAWS = 200 };
    static const double shares[] = {0, 0.01, 0.5, 0.71, 1};
    rng r = rng_seed(11, 0);
    double row[D], other[D];

    for (int j = 0; j < D; j++) row[j] = 100 * rng_normal(&r), other[j] = rng_normal(&r);
    double along = 0, square = 0;
    for (int j = 0; j < D; j++) along += other[j] * row[j], square += row[j] * row[j];
    for (int j = 0; j < D; j++) other[j] -= along / square * row[j];
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        const double chance = (R - shares[i]) / (D - 1); /* what is left of R dimensions, over the rest */
        double mean = 0, worst = 0;
        for (int n = 0; n < DRAWS; n++) {
            subspace s;
            ck_assert_int_eq(subspace_random_of_share(&s, row, shares[i], D, R, &r, NULL), SAE_OK);
            ck_assert_int_eq(s.rank, R);
            for (int a = 0; a < R; a++)
                for (int b = 0; b <= a; b++) {
                    double dot = 0;
                    for (int j = 0; j < D; j++) dot += s.basis[a * D + j] * s.basis[b * D + j];
                    worst = fmax(worst, fabs(dot - (a == b)));
                }
            worst = fmax(worst, fabs(subspace_share(&s, row) - shares[i]));
            mean += subspace_share(&s, other) / DRAWS;
            subspace_free(&s);
        }
        if (getenv("SAE_OBSERVED"))
            printf("# share %g: worst %.3g, other row %.4f for %.4f\n", shares[i], worst, mean, chance);
        ck_assert_double_lt(worst, 1e-12);
        ck_assert_double_lt(fabs(mean - chance), 5 * sqrt(2.0 * R * (D - R) / ((double)D * D * (D + 2)) / DRAWS));
    }
}
END_TEST

/* ---- Removal operators ------------------------------------------------------------------------------------------------ */

static sae_dict *scaffold_dict(int64_t d, int64_t rank)
{
    sae_dict_config config = {
        .arch = SAE_BATCHTOPK, .d_in = d, .d_sae = 2 * d, .k = 4, .rank = rank, .apply_b_dec_to_input = true};
    sae_dict *dict = NULL;

    ck_assert_int_eq(sae_dict_create(&dict, &config, NULL), SAE_OK);
    return dict;
}

static double worst_difference(const float *a, const float *b, int64_t n)
{
    double worst = 0;

    for (int64_t i = 0; i < n; i++) worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
    return worst;
}

/* T7: when W_down W_up is an orthonormal projector P, R1 is x - (x - b_dec) P, R2 is x - x P and R3 is x - (x - mean) P:
 * they differ by b_dec P and mean P and nothing else. */
START_TEST(test_operators_agree_on_a_projector)
{
    enum { N = 50, D = 32, R = 3 };
    float *rows = normal_rows(N, D, 21), *r1 = normal_rows(N, D, 1), *r2 = normal_rows(N, D, 1),
          *r3 = normal_rows(N, D, 1);
    double mean[D], *shift = mem_alloc_array(D, sizeof(double), "a shift", NULL);
    rng r = rng_seed(22, 0);
    sae_dict *dict = scaffold_dict(D, R);
    sae_weights w = sae_dict_weights(dict);
    subspace space;

    ck_assert_int_eq(subspace_random(&space, D, R, &r, NULL), SAE_OK);
    for (int i = 0; i < R * D; i++) w.W_down[i] = w.W_up[i] = (float)space.basis[i];
    for (int j = 0; j < D; j++) {
        w.b_dec[j] = (float)rng_normal(&r);
        mean[j] = rng_normal(&r);
    }
    edit_space uncentred = {&space, NULL}, centred = {&space, mean};
    ck_assert_int_eq(edit_map(dict, rows, N, D, r1, NULL), SAE_OK);
    ck_assert_int_eq(edit_remove(&uncentred, rows, N, D, r2, NULL), SAE_OK);
    ck_assert_int_eq(edit_remove(&centred, rows, N, D, r3, NULL), SAE_OK);
    for (int i = 0; i < N; i++) {
        for (int k = 0; k < R; k++) {
            double b = 0, m = 0;
            for (int j = 0; j < D; j++) {
                b += (double)w.b_dec[j] * space.basis[k * D + j];
                m += mean[j] * space.basis[k * D + j];
            }
            for (int j = 0; j < D; j++) {
                r1[i * D + j] -= (float)(b * space.basis[k * D + j]);
                r3[i * D + j] -= (float)(m * space.basis[k * D + j]);
            }
        }
    }
    ck_assert_double_gt(worst_difference(rows, r2, N * D), 0.1); /* something was removed */
    ck_assert_double_lt(worst_difference(r1, r2, N * D), 2e-6);  /* observed 4.8e-7 */
    ck_assert_double_lt(worst_difference(r3, r2, N * D), 2e-6);  /* observed 2.4e-7 */
    mem_free(shift);
    subspace_free(&space);
    sae_dict_free(dict);
    mem_free(rows), mem_free(r1), mem_free(r2), mem_free(r3);
}
END_TEST

/* R1 takes out what the dictionary writes from its own codes, whatever its scaffold is centred by. */
START_TEST(test_map_is_what_the_scaffold_writes)
{
    enum { N = 50, D = 32, R = 3 };
    sae_dict_config config = {.arch = SAE_BATCHTOPK,
                              .d_in = D,
                              .d_sae = 2 * D,
                              .k = 4,
                              .rank = R,
                              .apply_b_dec_to_input = true,
                              .scaffold_centre = (sae_scaffold_centre)_i};
    float *rows = normal_rows(N, D, 21), *left = normal_rows(N, D, 1), h[N * R];
    int64_t row_start[N + 1];
    int32_t *latent = NULL;
    float *value = NULL;
    sae_dict *dict = NULL;
    rng r = rng_seed(23, 0);

    ck_assert_int_eq(sae_dict_create(&dict, &config, NULL), SAE_OK);
    sae_weights w = sae_dict_weights(dict);
    for (int i = 0; i < R * D; i++) w.W_down[i] = (float)rng_normal(&r) / 8, w.W_up[i] = (float)rng_normal(&r) / 8;
    for (int i = 0; i < D; i++) w.b_dec[i] = (float)rng_normal(&r);
    for (int i = 0; w.b_down && i < R; i++) w.b_down[i] = (float)rng_normal(&r);
    ck_assert_int_eq(sae_dict_encode(dict, rows, N, row_start, &latent, &value, h, NULL), SAE_OK);
    ck_assert_int_eq(edit_map(dict, rows, N, D, left, NULL), SAE_OK);
    ck_assert_double_gt(worst_difference(rows, left, N * D), 0.1); /* something was removed */
    for (int i = 0; i < N; i++)
        for (int k = 0; k < R; k++)
            for (int j = 0; j < D; j++) left[i * D + j] += h[i * R + k] * w.W_up[k * D + j];
    ck_assert_double_lt(worst_difference(rows, left, N * D), 2e-6); /* observed 2.4e-7 */
    free(latent);
    free(value);
    sae_dict_free(dict);
    mem_free(rows), mem_free(left);
}
END_TEST

START_TEST(test_remove_nothing_and_everything)
{
    enum { N = 20, D = 16 };
    float *rows = normal_rows(N, D, 31), *out = normal_rows(N, D, 1), *replaced = normal_rows(N, D, 2);
    double mean[D];
    rng r = rng_seed(32, 0);
    subspace none = {.d = D}, all;

    for (int j = 0; j < D; j++) mean[j] = rng_normal(&r);
    ck_assert_int_eq(subspace_remove(&none, mean, rows, N, out, NULL), SAE_OK);
    ck_assert_mem_eq(rows, out, N * D * sizeof *rows);
    ck_assert_int_eq(subspace_random(&all, D, D, &r, NULL), SAE_OK);
    ck_assert_int_eq(subspace_remove(&all, mean, rows, N, out, NULL), SAE_OK);
    ck_assert_int_eq(edit_mean(mean, rows, N, D, replaced, NULL), SAE_OK);
    ck_assert_double_lt(worst_difference(out, replaced, N * D), 1e-6); /* observed 0 */
    ck_assert_int_eq(subspace_remove(&all, NULL, rows, N, out, NULL), SAE_OK);
    for (int i = 0; i < N * D; i++) ck_assert_double_lt(fabs((double)out[i]), 1e-6);
    subspace_free(&all);
    mem_free(rows), mem_free(out), mem_free(replaced);
}
END_TEST

/* ---- Density and fit -------------------------------------------------------------------------------------------------- */

START_TEST(test_density)
{
    /* rows of a 5-latent dictionary: {0, 2}, {0}, {0, 2, 3}, {}; latent 4 never fires, a code of exactly 0 is not firing */
    int64_t row_start[] = {0, 2, 3, 7, 7}, histogram[DENSITY_BINS], total = 0, top[2];
    int32_t latent[] = {0, 2, 0, 0, 1, 2, 3};
    float value[] = {1, 2, 3, 1, 0, 1, 5};
    codes c = {.n = 4, .row_start = row_start, .latent = latent, .value = value};
    density p;

    ck_assert_int_eq(density_create(&p, 5, NULL), SAE_OK);
    density_add(&p, &c);
    density_add(&p, &c); /* twice the same rows: the same densities */
    ck_assert_double_eq(density_of(&p, 0), 0.75);
    ck_assert_double_eq(density_of(&p, 1), 0);
    ck_assert_double_eq(density_of(&p, 2), 0.5);
    ck_assert_double_eq(density_of(&p, 3), 0.25);
    ck_assert_int_eq(density_dead(&p), 2);
    ck_assert_int_eq(density_dense(&p, 0.25), 2); /* more than, not at least */
    ck_assert_double_eq(density_mass(&p, 0.3), 1.25);
    ck_assert_int_eq(p.n_fired, 12);
    density_histogram(&p, histogram);
    for (int i = 0; i < DENSITY_BINS; i++) total += histogram[i];
    ck_assert_int_eq(total, 3);
    ck_assert_int_eq(histogram[DENSITY_BINS - 1], 1); /* 10^-0.25 = 0.56 < 0.75 */
    ck_assert_int_eq(histogram[DENSITY_BINS - 2], 1); /* 0.32 < 0.5 */
    ck_assert_int_eq(density_top(&p, 2, top, NULL), SAE_OK);
    ck_assert_int_eq(top[0], 0);
    ck_assert_int_eq(top[1], 2);
    density_free(&p);
}
END_TEST

/* Counts of a real encoding against a brute-force walk over every row and latent. */
START_TEST(test_density_brute_force)
{
    enum { N = 300, D = 16, F = 32 };
    float *rows = normal_rows(N, D, 41);
    sae_dict *dict = scaffold_dict(D, 0);
    sae_weights w = sae_dict_weights(dict);
    float *weights = normal_rows(F, D, 42);
    codes c;
    density p;

    memcpy(w.W_enc, weights, F * D * sizeof *weights);
    for (int f = 0; f < F; f++) {
        w.b_enc[f] = 0.1F * (float)(f % 7) - 0.3F;
        w.threshold[f] = 4.0F;
    }
    ck_assert_int_eq(codes_encode(&c, dict, rows, N, NULL), SAE_OK);
    ck_assert_int_eq(density_create(&p, F, NULL), SAE_OK);
    density_add(&p, &c);
    for (int f = 0; f < F; f++) {
        int fired = 0, near = 0; /* near: too close to the threshold for float32 to tell */
        for (int i = 0; i < N; i++) {
            double a = (double)w.b_enc[f];
            for (int j = 0; j < D; j++) a += (double)rows[i * D + j] * (double)weights[f * D + j];
            fired += a > 4.0;
            near += fabs(a - 4.0) < 1e-4;
        }
        ck_assert_int_le(llabs((long long)p.fired[f] - fired), near);
        ck_assert_int_gt(fired, 0);
    }
    density_free(&p);
    codes_free(&c);
    sae_dict_free(dict);
    mem_free(weights);
    mem_free(rows);
}
END_TEST

START_TEST(test_fit)
{
    enum { N = 200, D = 10 };
    float *rows = normal_rows(N, D, 51), *recon = normal_rows(N, D, 52);
    double mean[D] = {0};
    fit f;

    for (int i = 0; i < N * D; i++) rows[i] += 3.0F;
    for (int i = 0; i < N * D; i++) mean[i % D] += (double)rows[i] / N;
    for (int i = 0; i < N * D; i++) recon[i] = (float)mean[i % D];
    ck_assert_int_eq(fit_create(&f, D, NULL), SAE_OK);
    fit_add(&f, rows, recon, N / 2);
    fit_add(&f, rows + N / 2 * D, recon + N / 2 * D, N / 2);
    ck_assert_double_eq_tol(fit_fvu(&f), 1, 1e-10); /* the mean predicts nothing of the variance; observed 5e-15 */
    fit_free(&f);
    ck_assert_int_eq(fit_create(&f, D, NULL), SAE_OK);
    fit_add(&f, rows, rows, N);
    ck_assert_double_eq(fit_fvu(&f), 0);
    ck_assert_double_eq_tol(fit_cosine(&f), 1, 1e-12);
    fit_free(&f);
    ck_assert_int_eq(fit_create(&f, D, NULL), SAE_OK);
    for (int i = 0; i < 7; i++) fit_add(&f, rows, recon, 1); /* all alike */
    ck_assert(isnan(fit_fvu(&f)));
    fit_free(&f);
    for (int i = 0; i < N * D; i++) recon[i] = (float)mean[i % D] + 2.0F * (rows[i] - (float)mean[i % D]);
    ck_assert_int_eq(fit_create(&f, D, NULL), SAE_OK);
    fit_add(&f, rows, recon, N);
    ck_assert_double_eq_tol(fit_fvu(&f), 1, 1e-5); /* twice the deviation: an error of just the deviation */
    ck_assert_double_lt(fit_cosine(&f), 1 - 1e-3);
    fit_free(&f);
    mem_free(rows);
    mem_free(recon);
}
END_TEST

/* ---- Bootstrap ----------------------------------------------------------------------------------------------------------- */

/* A target that is one more draw is told from n draws about once in twenty, with much text and with little, whatever n; told from their
 * mean taken as exact it would be nearly always, with much text. */
START_TEST(test_beside_draws)
{
    enum { TRIALS = 400, N = 40, MOST = 20 };
    static const struct {
        int draws;
        double noise; /* of a sequence, beside draws that differ by 1 */
    } cases[] = {{2, 0.1}, {3, 0.1}, {5, 0.1}, {20, 0.1}, {3, 5}, {5, 5}};
    rng r = rng_seed(62, 0);
    double ones[N], difference[N], effects[MOST];
    interval sampled, beside;

    for (int i = 0; i < N; i++) ones[i] = 1;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const int n = cases[c].draws;
        int told = 0, exact = 0;
        for (int trial = 0; trial < TRIALS; trial++) {
            double mean = 0;
            for (int k = 0; k < n; k++) effects[k] = rng_normal(&r);
            for (int k = 0; k < n; k++) mean += effects[k] / n;
            const double target = rng_normal(&r) - mean;
            for (int i = 0; i < N; i++) difference[i] = target + cases[c].noise * rng_normal(&r);
            ck_assert_int_eq(bootstrap_ratio(&sampled, difference, ones, N, (uint64_t)trial, NULL), SAE_OK);
            beside = interval_beside_draws(sampled, effects, n);
            ck_assert(beside.low <= sampled.low && beside.high >= sampled.high && beside.value == sampled.value);
            told += beside.low > 0 || beside.high < 0;
            exact += sampled.low > 0 || sampled.high < 0;
        }
        if (getenv("SAE_OBSERVED")) printf("# %d draws, noise %g: told %d, %d\n", n, cases[c].noise, told, exact);
        /* binomial(400, 0.05): 4 sigma is 17; with two sources of error each known by itself somewhat more or less */
        EXPECT_WITHIN(fabs(told - 20.0), 18, "%d draws, noise %g", n, cases[c].noise); /* observed 9 to 22 */
        if (cases[c].noise < 1) ck_assert_int_gt(exact, 360);
    }
    beside = interval_beside_draws((interval){1, 0.9, 1.1}, effects, 1);
    ck_assert(beside.value == 1 && isnan(beside.low) && isnan(beside.high));
    ck_assert(isnan(interval_of_draws((interval){1, 0.9, 1.1}, effects, 1).low));
    beside = interval_of_draws((interval){2, 1, 2.5}, (double[]){1, 2, 3}, 3);
    ck_assert_double_eq_tol(beside.low, 2 - hypot(1, 4.3027 / sqrt(3)), 1e-4);
    ck_assert_double_eq_tol(beside.high, 2 + hypot(0.5, 4.3027 / sqrt(3)), 1e-4);
    beside = interval_of_mean((double[]){1, 2, 3}, 3);
    ck_assert_double_eq(beside.value, 2);
    ck_assert_double_eq_tol(beside.high, 2 + 4.3027 / sqrt(3), 1e-4);
    double many[17] = {0};
    many[0] = 17; /* mean 1, standard deviation sqrt(17); 16 degrees of freedom: 2.1199 */
    beside = interval_of_mean(many, 17);
    ck_assert_double_eq_tol(beside.high, 1 + 2.1199, 1e-3);
    ck_assert(isnan(interval_of_mean(many, 1).low));
}
END_TEST

/* Of three pairs the true ratio is left out 1 time in 20, though part and whole move together and against each other. */
START_TEST(test_ratio_covers)
{
    enum { TRIALS = 2000, N = 3 };
    static const double slopes[] = {1, 0, -1};
    rng r = rng_seed(62, 0);

    for (int c = 0; c < 3; c++) {
        int missed = 0;
        for (int t = 0; t < TRIALS; t++) {
            double part[N], whole[N];
            for (int i = 0; i < N; i++) {
                const double moved = rng_normal(&r);
                whole[i] = 50 + moved;
                part[i] = 15 + slopes[c] * moved + rng_normal(&r);
            }
            const interval v = interval_of_ratio(part, whole, N);
            missed += !(v.low <= 0.3 && v.high >= 0.3);
        }
        EXPECT_WITHIN(fabs(missed - 100.0), 40, "slope %g", slopes[c]); /* binomial(2000, 0.05): 4 sigma is 39 */
    }
}
END_TEST

/* The interval must hold the true ratio in about 95 of 100 samples. */
START_TEST(test_bootstrap_covers)
{
    enum { TRIALS = 200, N = 60 };
    rng r = rng_seed(61, 0);
    double above[N], below[N];
    int covered = 0;
    interval a, b;

    for (int trial = 0; trial < TRIALS; trial++) {
        for (int i = 0; i < N; i++) {
            below[i] = 10 + rng_normal(&r);
            above[i] = 2.5 * below[i] + rng_normal(&r);
        }
        ck_assert_int_eq(bootstrap_ratio(&a, above, below, N, (uint64_t)trial, NULL), SAE_OK);
        ck_assert(a.low <= a.value && a.value <= a.high);
        covered += a.low <= 2.5 && 2.5 <= a.high;
    }
    /* binomial with p = 0.95 (a little less for 60 sequences): 5 sigma is 15.4 */
    ck_assert_int_ge(covered, 172); /* observed 195 */
    ck_assert_int_lt(covered, TRIALS);
    ck_assert_int_eq(bootstrap_ratio(&a, above, below, N, 7, NULL), SAE_OK);
    ck_assert_int_eq(bootstrap_ratio(&b, above, below, N, 7, NULL), SAE_OK);
    ck_assert_mem_eq(&a, &b, sizeof a);
    ck_assert_int_eq(bootstrap_ratio(&a, below, below, N, 7, NULL), SAE_OK); /* paired: no width at all */
    ck_assert(a.low == 1 && a.high == 1 && a.value == 1);
    ck_assert_int_eq(bootstrap_ratio(&a, above, below, 1, 7, NULL),
                     SAE_OK); /* of one sequence nothing is known of others */
    ck_assert(a.value == above[0] / below[0] && isnan(a.low) && isnan(a.high));
}
END_TEST

/* ---- Items ----------------------------------------------------------------------------------------------------------- */

typedef struct items {
    int seen[200], fails_at, stops_after, reports;
} items;

static sae_status see(void *user, int i, sae_error *e)
{
    items *w = user;

    w->seen[i]++;
    return i == w->fails_at ? SAE_FAIL(e, SAE_NUMERIC, "item %d", i) : SAE_OK;
}

static int report_items(void *user, const char *what, double done, double total)
{
    items *w = user;

    ck_assert_str_eq(what, "items");
    ck_assert(done == ++w->reports && total == 200);
    return w->reports == w->stops_after;
}

/* Each once; a failure and a stop end it and are told. */
START_TEST(test_each_item)
{
    items all = {.fails_at = -1}, failing = {.fails_at = 0}, stopped = {.fails_at = -1, .stops_after = 3};
    sae_progress progress = {report_items, &all};
    sae_error e = {0};

    ck_assert_int_eq(each_item(200, see, &all, &progress, "items", &e), SAE_OK);
    for (int i = 0; i < 200; i++) ck_assert_int_eq(all.seen[i], 1);
    ck_assert_int_eq(all.reports, 200);
    ck_assert_int_eq(each_item(0, see, &all, NULL, NULL, &e), SAE_OK);
    ck_assert_int_eq(each_item(200, see, &failing, NULL, NULL, &e), SAE_NUMERIC);
    ck_assert_str_eq(e.message, "item 0");
    progress.user = &stopped;
    ck_assert_int_eq(each_item(200, see, &stopped, &progress, "items", &e), SAE_CANCELLED);
    ck_assert_int_eq(stopped.reports, 3);
    ck_assert_int_eq(stopped.seen[199], 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("eval");
    TCase *tcase = tcase_create("laws");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, test_moments);
    tcase_add_test(tcase, test_each_item);
    tcase_add_test(tcase, test_pca);
    tcase_add_test(tcase, test_overlap_with_itself);
    tcase_add_test(tcase, test_overlap_by_chance);
    tcase_add_test(tcase, test_random_of_share);
    tcase_add_test(tcase, test_operators_agree_on_a_projector);
    tcase_add_loop_test(tcase, test_map_is_what_the_scaffold_writes, 0, SAE_CENTRE_OWN + 1);
    tcase_add_test(tcase, test_remove_nothing_and_everything);
    tcase_add_test(tcase, test_density);
    tcase_add_test(tcase, test_density_brute_force);
    tcase_add_test(tcase, test_fit);
    tcase_add_test(tcase, test_ratio_covers);
    tcase_add_test(tcase, test_bootstrap_covers);
    tcase_add_test(tcase, test_beside_draws);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
