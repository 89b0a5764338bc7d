/* test_structure.c - where a scaffold lies: its map and that map's spaces, and outlier dimensions. */
#include "lab/structure.h"
#include "report/report.h"

#include "text_fixture.h"

#include <math.h>

/* ---- The scaffold's map ------------------------------------------------------------------------------------------------- */

enum { D = 20, R = 4 };

typedef struct map_bed {
    sae_dict *dict;
    sae_weights w;
    double mean[D], covariance[D * D];
} map_bed;

static void map_bed_open(map_bed *b, sae_scaffold_centre centre)
{
    sae_dict_config config = {.arch = SAE_BATCHTOPK,
                              .d_in = D,
                              .d_sae = D,
                              .k = 2,
                              .rank = R,
                              .apply_b_dec_to_input = true,
                              .scaffold_centre = centre};
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
    for (int i = 0; b->w.b_down && i < R; i++) b->w.b_down[i] = (float)rng_normal(&r);
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
    sae_scaffold_centre centre = (sae_scaffold_centre)_i;
    map_bed b;
    scaffold_map m;
    double worst = 0, square = 0, trace = 0, s[D] = {0};

    map_bed_open(&b, centre);
    for (int i = 0; i < R; i++) {
        double h = b.w.b_down ? (double)b.w.b_down[i] : 0;
        for (int j = 0; j < D; j++)
            h += (b.mean[j] - (centre == SAE_CENTRE_B_DEC ? (double)b.w.b_dec[j] : 0)) * (double)b.w.W_down[i * D + j];
        for (int j = 0; j < D; j++) s[j] += h * (double)b.w.W_up[i * D + j];
    }
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
    for (int k = 0; k < R; k++) trace -= m.real[k];
    ck_assert_double_eq_tol(trace, 0, 1e-9); /* all that are not 0 */
    for (int k = 0; k < R; k++) {
        double mean = 0, variance = 0, norm = 0;
        for (int j = 0; j < D; j++) {
            mean += s[j] * m.write[k * D + j]; /* of what the scaffold writes for the mean row */
            variance += m.read[k * D + j] * m.read[k * D + j] * b.covariance[j * D + j];
            norm += m.write[k * D + j] * m.write[k * D + j];
        }
        ck_assert_double_eq_tol(m.mean[k], mean, 1e-9);
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

    map_bed_open(&b, SAE_CENTRE_B_DEC);
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
        ck_assert_double_eq_tol(before.real[k], after.real[k], 1e-4);
        ck_assert_double_eq_tol(before.imag[k], after.imag[k], 1e-4);
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

    map_bed_open(&b, SAE_CENTRE_B_DEC);
    ck_assert_int_eq(subspace_random(&space, D, R, &r, NULL), SAE_OK);
    for (int i = 0; i < R * D; i++) b.w.W_down[i] = b.w.W_up[i] = (float)space.basis[i];
    ck_assert_int_eq(scaffold_map_create(&m, b.dict, b.mean, b.covariance, NULL), SAE_OK);
    for (int k = 0; k < R; k++) {
        ck_assert_double_eq_tol(m.singular[k], 1, 1e-6);
        ck_assert_double_eq_tol(m.real[k], 1, 1e-6);
        ck_assert_double_eq_tol(m.imag[k], 0, 1e-6);
    }
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

/* ---- Outlier dimensions ------------------------------------------------------------------------------------------------ */

/* Two planted outlier dimensions; the scaffold writes to one of them and, at 45 degrees, to the other. */
START_TEST(test_outliers)
{
    enum { WIDE = 64 };
    double magnitude[WIDE], large[WIDE] = {0}, extreme[WIDE] = {0}, basis[2 * WIDE] = {0};
    sae_result *r = NULL;
    row_moments rows_of_site = {.d = WIDE, .magnitude = magnitude, .large = large, .extreme = extreme};
    scaffold_map map = {.d = WIDE, .write_space = {WIDE, 2, basis}};
    const structure s = {.map = &map, .rows = &rows_of_site, .pca = {WIDE, 1, basis + WIDE}};

    for (int j = 0; j < WIDE; j++) magnitude[j] = 1 + 0.01 * (j % 7);
    magnitude[5] = 50; /* over both limits */
    magnitude[9] = 30; /* 4 deviations; the 99.9th percentile of 64 lies between the two */
    large[9] = 0.06;   /* O3 at its limit, O4 over and at its own */
    extreme[5] = 0.51;
    extreme[9] = 0.5;
    basis[5] = 1;
    basis[WIDE + 9] = basis[WIDE + 20] = sqrt(0.5);
    OK(sae_result_create(&r, "structure", &err));
    OK(outliers_report(&s, r, &err));
    ck_assert_double_eq_tol(sae_result_get(r, "outlier_share_O1", NAN), 1.0 / 2, 1e-12);
    ck_assert_double_eq_tol(sae_result_get(r, "outlier_share_O2", NAN), 1.5 / 2, 1e-12);
    ck_assert_double_eq_tol(sae_result_get(r, "outlier_share_O3", NAN), 0.5 / 2, 1e-12);
    ck_assert_double_eq_tol(sae_result_get(r, "outlier_share_O4", NAN), 1.0 / 2, 1e-12);
    const json_t *tables = json_object_get(result_json(r), "tables");
    const json_t *rows = json_object_get(json_object_get(tables, "outlier_dimensions"), "rows");
    ck_assert_uint_eq(json_array_size(rows), 2);
    ck_assert_double_eq(json_number_value(json_array_get(json_array_get(rows, 0), 0)), 5);
    ck_assert_double_eq(json_number_value(json_array_get(json_array_get(rows, 1), 0)), 9);
    ck_assert_double_eq_tol(json_number_value(json_array_get(json_array_get(rows, 1), 6)), 0.5, 1e-12);
    ck_assert_double_eq_tol(json_number_value(json_array_get(json_array_get(rows, 1), 7)), 0.5, 1e-12);
    ck_assert_str_eq(json_string_value(json_array_get(json_array_get(rows, 0), 5)), "O1, O2, O4");
    ck_assert_str_eq(json_string_value(json_array_get(json_array_get(rows, 1), 5)), "O2, O3");
    const json_t *shares = json_object_get(json_object_get(tables, "outlier_shares"), "rows");
    ck_assert_double_eq(json_number_value(json_array_get(json_array_get(shares, 0), 1)), 1);
    ck_assert_double_eq_tol(json_number_value(json_array_get(json_array_get(shares, 1), 3)), 0.5, 1e-12);
    ck_assert_double_eq_tol(json_number_value(json_array_get(json_array_get(shares, 1), 4)), 2.0 / WIDE, 1e-12);
    sae_result_free(r);
    ck_assert_uint_eq(mem_in_use(), 0);
}
END_TEST

/* Rows of independent values have no dimension that is extreme on most of them; one that is planted on 60 % of the rows is told, one
 * that is huge on a few is not, and one that is long has its own row for a measure. */
START_TEST(test_outlier_rows)
{
    enum { ROWS = 1000, WIDE = 50 };
    static float rows[ROWS * WIDE];
    double magnitude[WIDE] = {0}, large[WIDE] = {0}, extreme[WIDE] = {0}, null = 0, sum = 0;
    rng r = rng_seed(83, 0);

    for (int i = 0; i < ROWS * WIDE; i++) rows[i] = (float)rng_normal(&r);
    outliers_count(rows, ROWS, WIDE, magnitude, large, extreme);
    for (int j = 0; j < WIDE; j++) {
        null = fmax(null, extreme[j] / ROWS);
        sum += extreme[j] / ROWS / WIDE;
        ck_assert_double_eq(large[j], 0);                          /* 6 standard deviations */
        ck_assert_double_eq_tol(magnitude[j] / ROWS, 0.798, 0.08); /* mean of |normal|, 4 of its errors */
    }
    if (getenv("SAE_OBSERVED")) printf("# extreme by chance: most %.4g, mean %.4g\n", null, sum);
    ck_assert_double_lt(null, 0.03);             /* most of 50 */
    ck_assert_double_eq_tol(sum, 0.0093, 0.003); /* P(|z| > 0.798 + 3 x 0.603) of a normal z */
    memset(large, 0, sizeof large);
    memset(extreme, 0, sizeof extreme);
    for (int i = 0; i < ROWS; i++) {
        const float scale = i % 2 ? 100 : 1; /* O4 knows no scale */
        for (int j = 0; j < WIDE; j++) rows[i * WIDE + j] *= scale;
        if (i % 10 < 6) rows[i * WIDE + 7] = -20 * scale;
        if (i % 20 == 0) rows[i * WIDE + 8] = 1000 * scale;
    }
    outliers_count(rows, ROWS, WIDE, magnitude, large, extreme);
    for (int j = 0; j < WIDE; j++) ck_assert_int_eq(extreme[j] > ROWS / 2, j == 7);
    ck_assert_double_eq_tol(large[7], 0.79 * ROWS,
                            30); /* planted on 0.6; else in the long half, where 0.95 are over 6 */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("structure");
    TCase *map = tcase_create("map"), *outliers = tcase_create("outliers");
    SRunner *runner;
    int failed;

    tcase_set_timeout(map, 60);
    tcase_add_loop_test(map, test_map_directions, 0, SAE_CENTRE_OWN + 1);
    tcase_add_test(map, test_map_gauge);
    tcase_add_test(map, test_map_projector_and_zero);
    suite_add_tcase(suite, map);
    tcase_add_test(outliers, test_outliers);
    tcase_add_test(outliers, test_outlier_rows);
    suite_add_tcase(suite, outliers);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
