/*
 * test_dict.c - a dictionary against a plain double reference on awkward sizes, and the laws that encode and decode obey.
 */
#include "expect.h"
#include "kernels/screen.h"
#include "sae/dict.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static sae_error err;

#define OK(expression)                                                                                                 \
    do {                                                                                                               \
        err = (sae_error){0};                                                                                          \
        sae_status got_ = (expression);                                                                                \
        ck_assert_msg(got_ == SAE_OK, "%s: %s", sae_status_name(got_), err.message);                                   \
    } while (0)
#define FAILS(code_, expression, words)                                                                                \
    do {                                                                                                               \
        err = (sae_error){0};                                                                                          \
        ck_assert_int_eq((expression), (code_));                                                                       \
        ck_assert_int_eq(err.code, (code_));                                                                           \
        ck_assert_msg(strstr(err.message, words) != NULL, "'%s' is not in: %s", words, err.message);                   \
    } while (0)

typedef struct shape {
    int64_t d_in, d_sae, rank, n;
    sae_arch arch;
    sae_variant variant;
    bool centre;
    int64_t k;
    int64_t d_out; /* > 0: a transcoder */
    bool skip;
    sae_scaffold_centre of_scaffold;
} shape;

static float *random_floats(rng *r, int64_t n, double scale)
{
    float *x = malloc((size_t)(n ? n : 1) * sizeof *x);

    for (int64_t i = 0; i < n; i++) x[i] = (float)(scale * rng_normal(r));
    return x;
}

static void fill(rng *r, float *x, int64_t n, double scale)
{
    for (int64_t i = 0; i < n; i++) x[i] = (float)(scale * rng_normal(r));
}

static sae_dict *make_dict(const shape *s, uint64_t seed)
{
    sae_dict_config c = {.arch = s->arch,
                         .variant = s->variant,
                         .d_in = s->d_in,
                         .d_sae = s->d_sae,
                         .rank = s->rank,
                         .k = s->k,
                         .apply_b_dec_to_input = s->centre,
                         .d_out = s->d_out,
                         .skip = s->skip,
                         .scaffold_centre = s->of_scaffold};
    int64_t out = s->d_out ? s->d_out : s->d_in;
    double scale = 1 / sqrt((double)s->d_in);
    sae_dict *dict = NULL;
    rng r = rng_seed(seed, 0);

    OK(sae_dict_create(&dict, &c, &err));
    sae_weights w = sae_dict_weights(dict);
    fill(&r, w.W_enc, s->d_sae * s->d_in, scale);
    fill(&r, w.W_dec, s->d_sae * out, scale);
    fill(&r, w.b_enc, s->d_sae, 0.3);
    fill(&r, w.b_dec, out, 0.5);
    fill(&r, w.threshold, s->d_sae, 0.5); /* negative ones too: they must act as 0 */
    if (s->rank) fill(&r, w.W_down, s->rank * s->d_in, scale);
    if (s->rank) fill(&r, w.W_up, s->rank * out, scale);
    if (s->rank && s->of_scaffold == SAE_CENTRE_OWN) fill(&r, w.b_down, s->rank, 1);
    if (s->skip) fill(&r, w.W_skip, out * s->d_in, scale);
    return dict;
}

/* ---- The reference: everything in double, one row at a time ---------------------------------------------------------- */

typedef struct reference {
    double *a;    /* [d_sae] pre-activations */
    double *h;    /* [rank] */
    double *f;    /* [d_sae] */
    double *x;    /* [d_out] reconstruction */
    double *size; /* [d_out] sum of the magnitudes of its terms: what rounding is measured against */
} reference;

static void reference_free(reference *q)
{
    free(q->a);
    free(q->h);
    free(q->f);
    free(q->x);
    free(q->size);
}

static void reference_select(const sae_dict_config *c, const sae_weights *w, reference *q)
{
    for (int64_t j = 0; j < c->d_sae; j++) {
        int64_t larger = 0;
        for (int64_t i = 0; i < c->d_sae && c->arch == SAE_TOPK; i++)
            larger += q->a[i] > q->a[j] || (q->a[i] == q->a[j] && i < j);
        bool keep = c->arch == SAE_TOPK ? larger < c->k : c->arch == SAE_STANDARD || q->a[j] > (double)w->threshold[j];
        q->f[j] = keep && q->a[j] > 0 ? q->a[j] : 0;
    }
}

static reference reference_row(sae_dict *dict, const float *row)
{
    const sae_dict_config *c = sae_dict_get_config(dict);
    sae_weights w = sae_dict_weights(dict);
    int64_t out = c->d_out ? c->d_out : c->d_in;
    reference q = {calloc((size_t)c->d_sae, sizeof(double)), calloc((size_t)c->rank + 1, sizeof(double)),
                   calloc((size_t)c->d_sae, sizeof(double)), calloc((size_t)out, sizeof(double)),
                   calloc((size_t)out, sizeof(double))};
    double *u = calloc((size_t)c->d_in, sizeof *u);

    for (int64_t i = 0; i < c->d_in; i++) u[i] = (double)row[i] - (c->apply_b_dec_to_input ? (double)w.b_dec[i] : 0);
    bool by_b_dec = !c->d_out && c->scaffold_centre == SAE_CENTRE_B_DEC;
    for (int64_t k = 0; k < c->rank; k++) {
        q.h[k] = w.b_down ? (double)w.b_down[k] : 0;
        for (int64_t i = 0; i < c->d_in; i++)
            q.h[k] += ((double)row[i] - (by_b_dec ? (double)w.b_dec[i] : 0)) * (double)w.W_down[k * c->d_in + i];
    }
    for (int64_t k = 0; k < c->rank; k++)
        for (int64_t i = 0; i < out; i++) {
            double s = q.h[k] * (double)w.W_up[k * out + i];
            q.x[i] += s;
            if (c->variant != SAE_P1) u[i] -= s;
        }
    for (int64_t j = 0; j < c->d_sae; j++) {
        q.a[j] = (double)w.b_enc[j];
        for (int64_t i = 0; i < c->d_in; i++) q.a[j] += u[i] * (double)w.W_enc[j * c->d_in + i];
    }
    reference_select(c, &w, &q);
    for (int64_t i = 0; i < out; i++) {
        q.x[i] += (double)w.b_dec[i];
        for (int64_t j = 0; c->skip && j < c->d_in; j++) q.x[i] += (double)row[j] * (double)w.W_skip[i * c->d_in + j];
        q.size[i] = 1 + fabs(q.x[i]);
        for (int64_t j = 0; j < c->d_sae; j++) {
            double term = q.f[j] * (double)w.W_dec[j * out + i];
            q.x[i] += term;
            q.size[i] += fabs(term);
        }
    }
    free(u);
    return q;
}

typedef struct coded {
    int64_t n, *row_start;
    int32_t *latent;
    float *value, *h, *recon;
} coded;

static coded encode(sae_dict *dict, const float *rows, int64_t n)
{
    const sae_dict_config *c = sae_dict_get_config(dict);
    coded z = {.n = n};

    z.row_start = malloc((size_t)(n + 1) * sizeof *z.row_start);
    z.h = malloc((size_t)(n * c->rank + 1) * sizeof *z.h);
    z.recon = malloc((size_t)(n * (c->d_out ? c->d_out : c->d_in) + 1) * sizeof *z.recon);
    OK(sae_dict_encode(dict, rows, n, z.row_start, &z.latent, &z.value, z.h, &err));
    OK(sae_dict_decode(dict, n, z.row_start, z.latent, z.value, c->rank ? z.h : NULL, rows, z.recon, &err));
    return z;
}

static void coded_free(coded *z)
{
    free(z->row_start);
    free(z->latent);
    free(z->value);
    free(z->h);
    free(z->recon);
}

/* How near a latent is to the boundary of being active: there rounding decides and the two may differ. */
static double margin(const sae_dict_config *c, const sae_weights *w, const reference *q, int64_t j)
{
    double limit = 0;

    if (c->arch == SAE_TOPK) {
        double smallest_kept = INFINITY;
        for (int64_t i = 0; i < c->d_sae; i++)
            if (q->f[i] > 0 && q->f[i] < smallest_kept) smallest_kept = q->f[i];
        return fmin(fabs(q->a[j]), fabs(q->a[j] - smallest_kept));
    }
    if (c->arch != SAE_STANDARD && w->threshold[j] > 0) limit = (double)w->threshold[j];
    return fabs(q->a[j] - limit);
}

/* Observed over all shapes, plain loops or oneDNN: codes 1.8e-6, h 9.0e-7, reconstruction (against the size of its
 * terms) 2.1e-7. */
static const double bound = 2e-5;

static void compare_row(sae_dict *dict, const coded *z, const reference *q, int64_t i)
{
    const sae_dict_config *c = sae_dict_get_config(dict);
    sae_weights w = sae_dict_weights(dict);
    int64_t e = z->row_start[i];
    bool same_set = true;

    for (int64_t j = 0; j < c->d_sae; j++) {
        bool given = e < z->row_start[i + 1] && z->latent[e] == j;
        if (given != (q->f[j] > 0)) {
            EXPECT(margin(c, &w, q, j) < bound, "row %lld latent %lld is %sactive, pre-activation %g", (long long)i,
                   (long long)j, given ? "" : "not ", q->a[j]);
            same_set = false;
        } else if (given) {
            EXPECT(fabs((double)z->value[e] - q->f[j]) <= bound, "row %lld latent %lld is %.9g, expected %.9g",
                   (long long)i, (long long)j, (double)z->value[e], q->f[j]);
        }
        e += given;
    }
    ck_assert_int_eq(e, z->row_start[i + 1]); /* so the latents ascend and none repeats */
    for (int64_t k = 0; k < c->rank; k++) ck_assert_double_eq_tol((double)z->h[i * c->rank + k], q->h[k], bound);
    int64_t out = c->d_out ? c->d_out : c->d_in;
    for (int64_t j = 0; j < out && same_set; j++)
        EXPECT(fabs((double)z->recon[i * out + j] - q->x[j]) <= bound * q->size[j],
               "row %lld: x^[%lld] is %.9g, expected %.9g", (long long)i, (long long)j, (double)z->recon[i * out + j],
               q->x[j]);
}

static const shape shapes[] = {
    {1, 1, 0, 1, SAE_STANDARD, SAE_P1, true, 0},
    {7, 13, 0, 5, SAE_JUMPRELU, SAE_P1, true, 0},
    {7, 13, 2, 5, SAE_BATCHTOPK, SAE_P1, true, 4},
    {7, 13, 2, 5, SAE_MATRYOSHKA, SAE_P2, true, 4},
    {33, 65, 3, 19, SAE_TOPK, SAE_P1, true, 5},
    {33, 65, 3, 19, SAE_TOPK, SAE_P2, false, 65},
    {33, 65, 33, 19, SAE_STANDARD, SAE_P2, true, 0},
    {16, 1000, 1, 3, SAE_JUMPRELU, SAE_P1, false, 0},
    {16, 1000, 1, 3, SAE_JUMPRELU, SAE_P2, false, 0},
    {100, 31, 0, 70, SAE_STANDARD, SAE_P1, false, 0},
    {31, 64, 4, 64, SAE_TOPK, SAE_P1, false, 1},
    {33, 65, 3, 19, SAE_BATCHTOPK, SAE_P3, true, 5},
    {33, 65, 0, 19, SAE_JUMPRELU, SAE_P1, false, 5, .d_out = 12},
    {12, 65, 3, 19, SAE_BATCHTOPK, SAE_P1, false, 5, .d_out = 33, .skip = true},
    {12, 65, 2, 19, SAE_TOPK, SAE_P1, false, 5, .d_out = 12, .skip = true},
    {33, 65, 0, 19, SAE_STANDARD, SAE_P1, false, 0, .d_out = 7, .skip = true},
    {33, 65, 3, 19, SAE_BATCHTOPK, SAE_P1, true, 5, .of_scaffold = SAE_CENTRE_NONE},
    {33, 65, 3, 19, SAE_JUMPRELU, SAE_P2, false, 5, .of_scaffold = SAE_CENTRE_NONE},
    {33, 65, 0, 19, SAE_JUMPRELU, SAE_P1, true, 5, .of_scaffold = SAE_CENTRE_NONE},
    {33, 65, 3, 19, SAE_JUMPRELU, SAE_P1, false, 5, .of_scaffold = SAE_CENTRE_OWN},
    {33, 65, 3, 19, SAE_TOPK, SAE_P2, true, 5, .of_scaffold = SAE_CENTRE_OWN},
    {12, 65, 2, 19, SAE_BATCHTOPK, SAE_P1, false, 5, .d_out = 12, .of_scaffold = SAE_CENTRE_OWN},
    {3, 2000000, 1, 5, SAE_JUMPRELU, SAE_P1, true, 0}, /* two rows to a tile: 5 rows are 3 tiles */
};

START_TEST(encode_and_decode_agree_with_double)
{
    const shape *s = &shapes[_i];
    sae_dict *dict = make_dict(s, 7 + (uint64_t)_i);
    rng r = rng_seed(99, (uint64_t)_i);
    float *rows = random_floats(&r, s->n * s->d_in, 1);
    coded z = encode(dict, rows, s->n);

    for (int64_t i = 0; i < s->n; i++) {
        reference q = reference_row(dict, rows + i * s->d_in);
        compare_row(dict, &z, &q, i);
        reference_free(&q);
    }
    coded_free(&z);
    free(rows);
    sae_dict_free(dict);
}
END_TEST

/* ---- Laws ------------------------------------------------------------------------------------------------------------ */

START_TEST(tiles_do_not_show)
{
    /* 16 MiB / (4 bytes x 4096) = 1024 rows to a tile: one less, one, one more, and the seam after two */
    static const int64_t counts[] = {1023, 1024, 1025, 2049};
    shape s = {6, 4096, 2, counts[_i], SAE_JUMPRELU, SAE_P2, true, 0};
    sae_dict *dict = make_dict(&s, 3);
    rng r = rng_seed(5, 0);
    float *rows = random_floats(&r, s.n * s.d_in, 1);
    coded z = encode(dict, rows, s.n);
    static const int64_t probe[] = {0, 1022, 1023, 1024, 2047, 2048};

    for (size_t p = 0; p < sizeof probe / sizeof *probe; p++) {
        int64_t i = probe[p];
        if (i >= s.n) continue;
        reference q = reference_row(dict, rows + i * s.d_in);
        compare_row(dict, &z, &q, i);
        reference_free(&q);
    }
    coded_free(&z);
    free(rows);
    sae_dict_free(dict);
}
END_TEST

/* Where one threshold serves all latents the screen finds them: exactly those whose dot product, summed in the fixed order, is over it, on
 * every instruction set and wherever a tile ends (4,096 rows). */
static const shape sifted[] = {{17, 1024, 0, 256, SAE_BATCHTOPK, SAE_P1, true, 8},
                               {64, 1100, 3, 300, SAE_MATRYOSHKA, SAE_P1, true, 8},
                               {33, 1027, 2, 4103, SAE_BATCHTOPK, SAE_P2, true, 8},
                               {96, 1056, 0, 511, SAE_JUMPRELU, SAE_P1, false, 0}};

static void set_threshold(sae_dict *dict, float to)
{
    for (int64_t j = 0; j < sae_dict_get_config(dict)->d_sae; j++) sae_dict_weights(dict).threshold[j] = to;
}

START_TEST(one_threshold_is_sifted)
{
    const shape *s = &sifted[_i];
    sae_dict *dict = make_dict(s, 31);
    const sae_weights w = sae_dict_weights(dict);
    rng r = rng_seed(41, (uint64_t)_i);
    float *rows = random_floats(&r, s->n * s->d_in, 1), *u = calloc((size_t)s->d_in, sizeof *u);
    const bool used = screen_ops_get() != &screen_ops_ref;
    sift *made = NULL;

    set_threshold(dict, 2);
    OK(sift_create(&made, dict, s->n, &err));
    ck_assert_int_eq(made != NULL, used);
    sift_free(made);
    coded z = encode(dict, rows, s->n);
    ck_assert_int_gt(z.row_start[s->n], s->n);
    for (int64_t i = 0; i < s->n; i += i + 1 < s->n && i > 40 ? (s->n - i) / 2 + 1 : 1) {
        if (s->variant != SAE_P1) {
            reference q = reference_row(dict, rows + i * s->d_in);
            compare_row(dict, &z, &q, i);
            reference_free(&q);
            continue;
        }
        int64_t at = z.row_start[i];
        for (int64_t k = 0; k < s->d_in; k++) u[k] = rows[i * s->d_in + k] - (s->centre ? w.b_dec[k] : 0);
        for (int64_t j = 0; used && j < s->d_sae; j++) {
            const float a = screen_ops_ref.fixed_dot(u, w.W_enc + j * s->d_in, s->d_in) + w.b_enc[j];
            if (!(a > 2)) continue;
            EXPECT(at < z.row_start[i + 1] && z.latent[at] == j && z.value[at] == a, "row %lld, latent %lld",
                   (long long)i, (long long)j);
            at++;
        }
        if (used) ck_assert_int_eq(at, z.row_start[i + 1]);
    }
    coded_free(&z);
    free(u);
    free(rows);
    sae_dict_free(dict);
}
END_TEST

/* Not where thresholds differ, are 0 or infinite, nor for few rows or latents, nor a family with other rules. */
START_TEST(what_is_not_sifted)
{
    const shape s = {17, 1024, 0, 256, SAE_BATCHTOPK, SAE_P1, true, 8};
    const shape few = {17, 512, 0, 256, SAE_BATCHTOPK, SAE_P1, true, 8};
    const shape other = {17, 1024, 0, 256, SAE_TOPK, SAE_P1, true, 8};
    const float thresholds[] = {2, 0, -1, INFINITY};
    const shape *shapes_of[] = {&s, &few, &other};
    sift *used;

    for (int k = 0; k < 3; k++)
        for (int t = 0; t < 4; t++)
            for (int64_t n = 255; n <= 256; n++) {
                sae_dict *dict = make_dict(shapes_of[k], 3);
                set_threshold(dict, thresholds[t]);
                OK(sift_create(&used, dict, n, &err));
                ck_assert_int_eq(used != NULL, k == 0 && t == 0 && n == 256 && screen_ops_get() != &screen_ops_ref);
                sift_free(used);
                sae_dict_weights(dict).threshold[500] = 3;
                OK(sift_create(&used, dict, n, &err));
                ck_assert_ptr_null(used);
                sae_dict_free(dict);
            }
}
END_TEST

START_TEST(sifting_without_memory)
{
    const shape s = {17, 1024, 0, 300, SAE_BATCHTOPK, SAE_P1, true, 8};
    sae_dict *dict = make_dict(&s, 3);
    rng r = rng_seed(43, 0);
    float *rows = random_floats(&r, s.n * s.d_in, 1), *value;
    int64_t *start = calloc((size_t)s.n + 1, sizeof *start), nth = 1;
    int32_t *latent;
    sae_status status = SAE_NOMEM;

    set_threshold(dict, 2);
    size_t before = mem_in_use();
    for (; status != SAE_OK; nth++) {
        mem_fail_nth(nth);
        status = sae_dict_encode(dict, rows, s.n, start, &latent, &value, NULL, &err);
        mem_fail_nth(0);
        ck_assert_uint_eq(mem_in_use(), before);
        if (status != SAE_OK) ck_assert_int_eq(status, SAE_NOMEM);
    }
    ck_assert_int_gt(nth, screen_ops_get() != &screen_ops_ref ? 6 : 1);
    free(latent);
    free(value);
    free(start);
    free(rows);
    sae_dict_free(dict);
}
END_TEST

START_TEST(permuting_latents_permutes_codes)
{
    shape s = {24, 50, 2, 17, _i ? SAE_TOPK : SAE_JUMPRELU, SAE_P1, true, 6};
    sae_dict *a = make_dict(&s, 1), *b = make_dict(&s, 2);
    sae_weights wa = sae_dict_weights(a), wb = sae_dict_weights(b);
    int64_t to[50];
    rng r = rng_seed(4, 4);
    float *rows = random_floats(&r, s.n * s.d_in, 1);

    for (int64_t j = 0; j < s.d_sae; j++) to[j] = j;
    rng_shuffle(&r, to, s.d_sae);
    for (int64_t j = 0; j < s.d_sae; j++) {
        memcpy(wb.W_enc + to[j] * s.d_in, wa.W_enc + j * s.d_in, (size_t)s.d_in * sizeof(float));
        memcpy(wb.W_dec + to[j] * s.d_in, wa.W_dec + j * s.d_in, (size_t)s.d_in * sizeof(float));
        wb.b_enc[to[j]] = wa.b_enc[j];
        wb.threshold[to[j]] = wa.threshold[j];
    }
    memcpy(wb.b_dec, wa.b_dec, (size_t)s.d_in * sizeof(float));
    memcpy(wb.W_down, wa.W_down, (size_t)(s.rank * s.d_in) * sizeof(float));
    memcpy(wb.W_up, wa.W_up, (size_t)(s.rank * s.d_in) * sizeof(float));
    coded x = encode(a, rows, s.n), y = encode(b, rows, s.n);
    ck_assert_int_gt(x.row_start[s.n], 0);
    for (int64_t i = 0; i < s.n; i++) {
        ck_assert_int_eq(x.row_start[i + 1], y.row_start[i + 1]);
        for (int64_t e = x.row_start[i]; e < x.row_start[i + 1]; e++) {
            bool found = false;
            for (int64_t g = y.row_start[i]; g < y.row_start[i + 1]; g++)
                found |= y.latent[g] == to[x.latent[e]] && fabsf(y.value[g] - x.value[e]) < 1e-5f; /* observed 0 */
            ck_assert(found);
        }
    }
    coded_free(&x);
    coded_free(&y);
    free(rows);
    sae_dict_free(a);
    sae_dict_free(b);
}
END_TEST

START_TEST(decode_is_linear)
{
    shape s = {20, 40, 3, 1, SAE_STANDARD, SAE_P1, true, 0};
    sae_dict *dict = make_dict(&s, 8);
    const float *b_dec = sae_dict_weights(dict).b_dec;
    int64_t start[2] = {0, 3};
    int32_t latent[3] = {0, 17, 39};
    float f[3] = {1.5f, 0.25f, 3}, g[3] = {-1, 2, 0.5f}, sum[3], hf[3] = {1, -2, 0.5f}, hg[3] = {0, 4, 1}, hs[3];
    float x[20], y[20], z[20], w[20];

    for (int i = 0; i < 3; i++) sum[i] = f[i] + 2 * g[i];
    for (int i = 0; i < 3; i++) hs[i] = hf[i] + 2 * hg[i];
    OK(sae_dict_decode(dict, 1, start, latent, f, hf, NULL, x, &err));
    OK(sae_dict_decode(dict, 1, start, latent, g, hg, NULL, y, &err));
    OK(sae_dict_decode(dict, 1, start, latent, sum, hs, NULL, z, &err));
    OK(sae_dict_decode(dict, 1, start, latent, sum, NULL, NULL, w, &err));
    double scaffold = 0;
    for (int j = 0; j < 20; j++) {
        float expected = (x[j] - b_dec[j]) + 2 * (y[j] - b_dec[j]) + b_dec[j];
        ck_assert_float_eq_tol(z[j], expected, 2e-6f); /* observed 3.6e-7 */
        scaffold += fabs((double)(z[j] - w[j]));
    }
    ck_assert_double_gt(scaffold, 0.1); /* without h the scaffold's part is missing */
    sae_dict_free(dict);
}
END_TEST

START_TEST(threshold_zero_is_relu)
{
    shape s = {12, 30, 0, 9, SAE_JUMPRELU, SAE_P1, true, 0};
    sae_dict *a = make_dict(&s, 1);
    s.arch = SAE_STANDARD;
    sae_dict *b = make_dict(&s, 1);
    rng r = rng_seed(6, 6);
    float *rows = random_floats(&r, s.n * s.d_in, 1);

    for (int64_t j = 0; j < s.d_sae; j++) sae_dict_weights(a).threshold[j] = j % 2 ? 0 : -1;
    coded x = encode(a, rows, s.n), y = encode(b, rows, s.n);
    ck_assert_mem_eq(x.row_start, y.row_start, (size_t)(s.n + 1) * sizeof(int64_t));
    ck_assert_mem_eq(x.latent, y.latent, (size_t)x.row_start[s.n] * sizeof(int32_t));
    ck_assert_mem_eq(x.value, y.value, (size_t)x.row_start[s.n] * sizeof(float));
    coded_free(&x);
    coded_free(&y);
    free(rows);
    sae_dict_free(a);
    sae_dict_free(b);
}
END_TEST

START_TEST(threshold_is_strict)
{
    sae_dict_config c = {.arch = SAE_JUMPRELU, .d_in = 1, .d_sae = 3};
    sae_dict *dict = NULL;
    float row = 2;

    OK(sae_dict_create(&dict, &c, &err));
    sae_weights w = sae_dict_weights(dict);
    for (int j = 0; j < 3; j++) w.W_enc[j] = 1;
    w.threshold[0] = 2;                /* equal: not active */
    w.threshold[1] = nextafterf(2, 0); /* active */
    w.threshold[2] = nextafterf(2, 3); /* not active */
    coded z = encode(dict, &row, 1);
    ck_assert_int_eq(z.row_start[1], 1);
    ck_assert_int_eq(z.latent[0], 1);
    ck_assert_float_eq(z.value[0], 2);
    coded_free(&z);
    sae_dict_free(dict);
}
END_TEST

START_TEST(equal_values_take_the_lower_latent)
{
    sae_dict_config c = {.arch = SAE_TOPK, .d_in = 1, .d_sae = 8, .k = 3};
    static const float weight[8] = {1, 2, 2, -5, 2, 3, 2, 0};
    sae_dict *dict = NULL;
    float row = 1;

    OK(sae_dict_create(&dict, &c, &err));
    memcpy(sae_dict_weights(dict).W_enc, weight, sizeof weight);
    coded z = encode(dict, &row, 1);
    ck_assert_int_eq(z.row_start[1], 3);
    ck_assert_int_eq(z.latent[0], 1);
    ck_assert_int_eq(z.latent[1], 2);
    ck_assert_int_eq(z.latent[2], 5);
    coded_free(&z);
    sae_dict_free(dict);
}
END_TEST

START_TEST(no_rows_give_no_codes)
{
    shape s = {5, 6, 2, 0, SAE_JUMPRELU, SAE_P2, true, 0};
    sae_dict *dict = make_dict(&s, 1);
    coded z = encode(dict, NULL, 0);

    ck_assert_int_eq(z.row_start[0], 0);
    ck_assert_ptr_nonnull(z.latent);
    coded_free(&z);
    sae_dict_free(dict);
}
END_TEST

/* ---- Refusals ---------------------------------------------------------------------------------------------------------- */

static const struct {
    sae_dict_config config;
    sae_status code;
    const char *words;
} bad_shapes[] = {
    {{.d_in = 0, .d_sae = 4}, SAE_RANGE, "d_in is 0"},
    {{.d_in = 4, .d_sae = 0}, SAE_RANGE, "d_sae is 0"},
    {{.d_in = 4, .d_sae = (int64_t)1 << 40}, SAE_RANGE, "d_sae is 1099511627776"},
    {{.d_in = (int64_t)1 << 40, .d_sae = 4}, SAE_RANGE, "d_in is 1099511627776"},
    {{.d_in = 4, .d_sae = 4, .rank = 5}, SAE_RANGE, "rank is 5"},
    {{.d_in = 4, .d_sae = 4, .rank = -1}, SAE_RANGE, "rank is -1"},
    {{.d_in = 4, .d_sae = 4, .k = 5}, SAE_RANGE, "k is 5"},
    {{.d_in = 4, .d_sae = 4, .arch = SAE_TOPK}, SAE_RANGE, "k is 0"},
    {{.d_in = 4, .d_sae = 4, .arch = (sae_arch)17}, SAE_RANGE, "architecture number 17"},
    {{.d_in = 4, .d_sae = 4, .variant = (sae_variant)3}, SAE_RANGE, "variant number 3"},
    {{.d_in = 4, .d_sae = 4, .d_out = -1}, SAE_RANGE, "d_out is -1"},
    {{.d_in = 4, .d_sae = 4, .d_out = 3, .rank = 4}, SAE_RANGE, "d_out = 3"},
    {{.d_in = 4, .d_sae = 4, .skip = true}, SAE_UNSUPPORTED, "skip"},
    {{.d_in = 4, .d_sae = 4, .d_out = 3, .apply_b_dec_to_input = true}, SAE_UNSUPPORTED, "b_dec"},
    {{.d_in = 4, .d_sae = 4, .d_out = 3, .rank = 1, .variant = SAE_P2}, SAE_UNSUPPORTED, "scaffold"},
    {{.d_in = 4, .d_sae = 4, .n_groups = 17}, SAE_RANGE, "17 Matryoshka groups"},
    {{.d_in = 4, .d_sae = 4, .n_groups = 2, .groups = {1, 2}}, SAE_SHAPE, "3 latents together"},
    {{.d_in = 4, .d_sae = 4, .n_groups = 2, .groups = {0, 4}}, SAE_RANGE, "group 0 has 0"},
};

START_TEST(bad_shapes_are_refused)
{
    sae_dict *dict = NULL;

    FAILS(bad_shapes[_i].code, sae_dict_create(&dict, &bad_shapes[_i].config, &err), bad_shapes[_i].words);
    ck_assert_ptr_null(dict);
}
END_TEST

START_TEST(bad_codes_are_refused)
{
    shape s = {5, 6, 0, 0, SAE_JUMPRELU, SAE_P1, true, 0};
    sae_dict *dict = make_dict(&s, 1);
    float recon[10], value[2] = {1, 1}, row[5] = {0, 1, NAN, 0, 0};
    int64_t start[3] = {0, 1, 2}, backwards[3] = {0, 2, 1}, got[2];
    int32_t beyond[2] = {0, 6}, below[2] = {-1, 0}, *latent = NULL;
    float *values = NULL;

    FAILS(SAE_RANGE, sae_dict_decode(dict, 2, start, beyond, value, NULL, NULL, recon, &err), "latent 6");
    FAILS(SAE_RANGE, sae_dict_decode(dict, 2, start, below, value, NULL, NULL, recon, &err), "latent -1");
    FAILS(SAE_RANGE, sae_dict_decode(dict, 2, backwards, below, value, NULL, NULL, recon, &err), "row 1");
    FAILS(SAE_NUMERIC, sae_dict_encode(dict, row, 1, got, &latent, &values, NULL, &err), "row 0");
    row[2] = INFINITY;
    FAILS(SAE_NUMERIC, sae_dict_encode(dict, row, 1, got, &latent, &values, NULL, &err), "row 0");
    ck_assert_ptr_null(latent);
    ck_assert_ptr_null(values);
    sae_dict_free(dict);
}
END_TEST

START_TEST(failed_allocations_leak_nothing)
{
    size_t before = mem_in_use();
    sae_dict_config c = {.arch = SAE_TOPK, .d_in = 4, .d_sae = 8, .k = 2, .rank = 1, .variant = SAE_P2};
    float rows[8] = {1, 2, 3, 4, 5, 6, 7, 8}, *value;
    int64_t start[3], nth = 1;
    int32_t *latent;

    for (;; nth++) {
        sae_dict *dict = NULL;
        err = (sae_error){0};
        mem_fail_nth(nth);
        sae_status status = sae_dict_create(&dict, &c, &err);
        if (status == SAE_OK) status = sae_dict_encode(dict, rows, 2, start, &latent, &value, NULL, &err);
        mem_fail_nth(0);
        if (status == SAE_OK) {
            free(latent);
            free(value);
        }
        sae_dict_free(dict);
        ck_assert_uint_eq(mem_in_use(), before);
        if (status == SAE_OK) break;
        ck_assert_int_eq(status, SAE_NOMEM);
    }
    ck_assert_int_eq(nth, 4); /* the dictionary, its weights, a tile */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dict");
    TCase *c = tcase_create("dict");
    SRunner *runner = srunner_create(suite);

    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, encode_and_decode_agree_with_double, 0, (int)(sizeof shapes / sizeof *shapes));
    tcase_add_loop_test(c, tiles_do_not_show, 0, 4);
    tcase_add_loop_test(c, one_threshold_is_sifted, 0, (int)(sizeof sifted / sizeof *sifted));
    tcase_add_test(c, what_is_not_sifted);
    tcase_add_test(c, sifting_without_memory);
    tcase_add_loop_test(c, permuting_latents_permutes_codes, 0, 2);
    tcase_add_test(c, decode_is_linear);
    tcase_add_test(c, threshold_zero_is_relu);
    tcase_add_test(c, threshold_is_strict);
    tcase_add_test(c, equal_values_take_the_lower_latent);
    tcase_add_test(c, no_rows_give_no_codes);
    tcase_add_loop_test(c, bad_shapes_are_refused, 0, (int)(sizeof bad_shapes / sizeof *bad_shapes));
    tcase_add_test(c, bad_codes_are_refused);
    tcase_add_test(c, failed_allocations_leak_nothing);
    suite_add_tcase(suite, c);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
