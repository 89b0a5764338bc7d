/* test_lab.c - the comparison: the scaffold's map, and the whole command on a tiny model. */
#include "lab/scaffold.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- The scaffold's map ------------------------------------------------------------------------------------------------- */

enum { D = 20, R = 4 };

typedef struct map_bed {
    sae_dict *dict;
    sae_weights w;
    double mean[D], covariance[D * D];
} map_bed;

static void map_bed_open(map_bed *b)
{
    sae_dict_config config = {
        .arch = SAE_BATCHTOPK, .d_in = D, .d_sae = D, .k = 2, .rank = R, .apply_b_dec_to_input = true};
    rng r = rng_seed(81, 0);

    ck_assert_int_eq(sae_dict_create(&b->dict, &config, NULL), SAE_OK);
    b->w = sae_dict_weights(b->dict);
    for (int i = 0; i < R * D; i++) {
        b->w.W_down[i] = (float)rng_normal(&r);
        b->w.W_up[i] = (float)rng_normal(&r);
    }
    memset(b->covariance, 0, sizeof b->covariance);
    for (int j = 0; j < D; j++) {
        b->w.b_dec[j] = (float)rng_normal(&r);
        b->mean[j] = rng_normal(&r);
        b->covariance[j * D + j] = 1 + rng_uniform(&r);
    }
}

static double map_entry(const sae_weights *w, int i, int j)
{
    double sum = 0;

    for (int k = 0; k < R; k++) sum += (double)w->W_down[k * D + i] * (double)w->W_up[k * D + j];
    return sum;
}

/* The directions give the map back, are orthonormal, and come in the order of their spread. */
START_TEST(test_map_directions)
{
    map_bed b;
    scaffold_map m;
    double worst = 0, square = 0, trace = 0;

    map_bed_open(&b);
    ck_assert_int_eq(scaffold_map_create(&m, b.dict, b.mean, b.covariance, NULL), SAE_OK);
    ck_assert_int_eq(m.rank, R);
    for (int i = 0; i < D; i++) {
        for (int j = 0; j < D; j++) {
            double sum = 0, entry = map_entry(&b.w, i, j);
            for (int k = 0; k < R; k++) sum += m.singular[k] * m.read[k * D + i] * m.write[k * D + j];
            worst = fmax(worst, fabs(sum - entry));
            square += entry * entry;
            trace += i == j ? entry : 0;
        }
    }
    ck_assert_double_lt(worst, 1e-10); /* observed 3e-14 */
    ck_assert_double_eq_tol(m.square, square, 1e-9);
    ck_assert_double_eq_tol(m.trace, trace, 1e-9);
    for (int k = 0; k < R; k++) {
        double mean = 0, variance = 0, norm = 0;
        for (int j = 0; j < D; j++) {
            mean += m.read[k * D + j] * (b.mean[j] - (double)b.w.b_dec[j]);
            variance += m.read[k * D + j] * m.read[k * D + j] * b.covariance[j * D + j];
            norm += m.write[k * D + j] * m.write[k * D + j];
        }
        ck_assert_double_eq_tol(m.mean[k], m.singular[k] * mean, 1e-9);
        ck_assert_double_eq_tol(m.spread[k], m.singular[k] * sqrt(variance), 1e-9);
        ck_assert_double_eq_tol(norm, 1, 1e-10);
        if (k) ck_assert(m.spread[k - 1] >= m.spread[k]);
    }
    scaffold_map_free(&m);
    sae_dict_free(b.dict);
}
END_TEST

/* Another factorisation of the same map, W_down G and G^-1 W_up: nothing that is reported may change. */
START_TEST(test_map_gauge)
{
    static const double G[R] = {2, -0.5, 3, 1};
    map_bed b;
    scaffold_map before, after;

    map_bed_open(&b);
    ck_assert_int_eq(scaffold_map_create(&before, b.dict, b.mean, b.covariance, NULL), SAE_OK);
    for (int k = 0; k < R; k++) { /* scaled, then the second added to the first: G is triangular */
        for (int j = 0; j < D; j++) {
            b.w.W_down[k * D + j] *= (float)G[k];
            b.w.W_up[k * D + j] /= (float)G[k];
        }
    }
    for (int j = 0; j < D; j++) {
        b.w.W_down[j] += b.w.W_down[D + j];
        b.w.W_up[D + j] -= b.w.W_up[j];
    }
    ck_assert_int_eq(scaffold_map_create(&after, b.dict, b.mean, b.covariance, NULL), SAE_OK);
    ck_assert_double_eq_tol(before.trace, after.trace, 1e-4);
    ck_assert_double_eq_tol(before.square, after.square, 1e-3);
    ck_assert_double_eq_tol(subspace_overlap(&before.write_space, &after.write_space), 1, 1e-9);
    ck_assert_double_eq_tol(subspace_overlap(&before.read_space, &after.read_space), 1, 1e-9);
    for (int k = 0; k < R; k++) {
        ck_assert_double_eq_tol(before.singular[k] / after.singular[k], 1, 1e-5);
        ck_assert_double_eq_tol(before.spread[k] / after.spread[k], 1, 1e-5);
    }
    scaffold_map_free(&before);
    scaffold_map_free(&after);
    sae_dict_free(b.dict);
}
END_TEST

/* An orthonormal W_down = W_up is a projector: singular values 1, |A - P| = 0. W_up = 0 is no scaffold at all. */
START_TEST(test_map_projector_and_zero)
{
    map_bed b;
    scaffold_map m;
    rng r = rng_seed(82, 0);
    subspace space;

    map_bed_open(&b);
    ck_assert_int_eq(subspace_random(&space, D, R, &r, NULL), SAE_OK);
    for (int i = 0; i < R * D; i++) b.w.W_down[i] = b.w.W_up[i] = (float)space.basis[i];
    ck_assert_int_eq(scaffold_map_create(&m, b.dict, b.mean, b.covariance, NULL), SAE_OK);
    for (int k = 0; k < R; k++) ck_assert_double_eq_tol(m.singular[k], 1, 1e-6);
    ck_assert_double_eq_tol(m.square - 2 * m.trace + R, 0, 1e-6);
    ck_assert_double_eq_tol(subspace_overlap(&m.write_space, &space), 1, 1e-9);
    scaffold_map_free(&m);
    memset(b.w.W_up, 0, R * D * sizeof *b.w.W_up);
    ck_assert_int_eq(scaffold_map_create(&m, b.dict, b.mean, b.covariance, NULL), SAE_OK);
    ck_assert_int_eq(m.rank, 0);
    ck_assert_int_eq(m.write_space.rank, 0);
    scaffold_map_free(&m);
    subspace_free(&space);
    sae_dict_free(b.dict);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lab");
    TCase *tcase = tcase_create("map");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, test_map_directions);
    tcase_add_test(tcase, test_map_gauge);
    tcase_add_test(tcase, test_map_projector_and_zero);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
