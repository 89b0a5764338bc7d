/*
 * test_saelens.c - SAELens folders: what the real library wrote gives its own codes; what is written reads back, whatever
 * became of the scaffold; what cannot be read or written is refused and leaves nothing behind.
 */
#include "io/io.h"
#include "kernels/dequant.h"
#include "sae/saelens.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FORMATS "data/golden/sae/formats/"

static sae_error err;
static char scratch[64];

#define OK(expression)                                                                                                 \
    do {                                                                                                               \
        err = (sae_error){0};                                                                                          \
        sae_status got_ = (expression);                                                                                \
        ck_assert_msg(got_ == SAE_OK, "%s: %s", sae_status_name(got_), err.message);                                   \
    } while (0)
#define FAILS(code_, expression, words)                                                                                \
    do {                                                                                                               \
        err = (sae_error){0};                                                                                          \
        sae_status got_ = (expression);                                                                                \
        ck_assert_msg(got_ == (code_), "got %s: %s", sae_status_name(got_), err.message);                              \
        ck_assert_msg(strstr(err.message, words) != NULL, "'%s' is not in: %s", words, err.message);                   \
    } while (0)

static void scratch_make(void)
{
    strcpy(scratch, "/tmp/test_saelens_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(scratch));
}

static void scratch_remove(void) { folder_remove(scratch, NULL); }

/* "SCRATCH/name": one of a few static buffers. */
static const char *in_scratch(const char *name)
{
    static char buffers[4][200];
    static int next;
    char *b = buffers[next++ % 4];

    snprintf(b, sizeof buffers[0], "%s/%s", scratch, name);
    return b;
}

static void expect_scratch_files(int expected)
{
    char **names;
    int n;

    OK(folder_list(scratch, &names, &n, &err));
    ck_assert_msg(n == expected, "%d files in the folder, expected %d; the first is %s", n, expected,
                  n ? names[0] : "");
    folder_list_free(names, n);
}

/* ---- What SAELens wrote ------------------------------------------------------------------------------------------------- */

typedef struct golden {
    const char *name;
    sae_arch arch;
    int64_t k;
    int groups;
} golden;

static const golden goldens[] = {
    {"standard", SAE_STANDARD, 0, 0},
    {"topk", SAE_TOPK, 8, 0},
    {"gated", SAE_GATED, 0, 0},
    {"jumprelu", SAE_JUMPRELU, 0, 0},
    {"batchtopk_inference", SAE_BATCHTOPK, 8, 0},
    {"matryoshka_inference", SAE_MATRYOSHKA, 8, 3},
    {"transcoder", SAE_STANDARD, 0, 0},
    {"skip_transcoder", SAE_STANDARD, 0, 0},
    {"jumprelu_skip_transcoder", SAE_JUMPRELU, 0, 0},
};

typedef struct coded {
    int64_t n, row_start[65];
    int32_t *latent;
    float *value, h[64 * 8], recon[64 * 32];
} coded;

static void encode(const sae_dict *dict, const float *rows, int64_t n, bool with_scaffold, coded *z)
{
    ck_assert_int_le(n, 64);
    ck_assert_int_le(sae_dict_get_config(dict)->d_in, 32);
    z->n = n;
    OK(sae_dict_encode(dict, rows, n, z->row_start, &z->latent, &z->value, z->h, &err));
    OK(sae_dict_decode(dict, n, z->row_start, z->latent, z->value, with_scaffold ? z->h : NULL, rows, z->recon, &err));
}

static void coded_free(coded *z)
{
    free(z->latent);
    free(z->value);
}

static void compare_golden(const sae_dict *dict, const char *name)
{
    const sae_dict_config *c = sae_dict_get_config(dict);
    int64_t out = c->d_out ? c->d_out : c->d_in;
    safetensors *xs, *gs;
    char path[200];
    coded z;

    OK(safetensors_open(&xs, FORMATS "x.safetensors", &err));
    snprintf(path, sizeof path, FORMATS "saelens/%s/golden.safetensors", name);
    OK(safetensors_open(&gs, path, &err));
    const float *f = safetensors_find(gs, "f")->data, *recon = safetensors_find(gs, "recon")->data;
    encode(dict, safetensors_at(xs, 0)->data, 64, false, &z);
    for (int64_t i = 0; i < 64; i++) {
        float dense[96] = {0};
        for (int64_t e = z.row_start[i]; e < z.row_start[i + 1]; e++) dense[z.latent[e]] = z.value[e];
        /* observed on AVX2: codes equal to the bit, reconstructions 2.4e-6, of values up to 10 */
        for (int64_t j = 0; j < 96; j++) ck_assert_float_eq_tol(dense[j], f[i * 96 + j], 1e-5f);
        for (int64_t j = 0; j < out; j++) ck_assert_float_eq_tol(z.recon[i * out + j], recon[i * out + j], 2e-5f);
    }
    coded_free(&z);
    safetensors_close(xs);
    safetensors_close(gs);
}

START_TEST(codes_of_the_real_library)
{
    const golden *g = &goldens[_i];
    sae_dict *dict = NULL;
    char path[200];

    snprintf(path, sizeof path, FORMATS "saelens/%s", g->name);
    OK(sae_dict_load(&dict, path, &err));
    const sae_dict_config *c = sae_dict_get_config(dict);
    ck_assert_int_eq(c->arch, g->arch);
    ck_assert_int_eq(c->k, g->k);
    ck_assert_int_eq(c->n_groups, g->groups);
    ck_assert_int_eq(c->rank, 0);
    if (g->groups) ck_assert(c->groups[0] == 24 && c->groups[1] == 24 && c->groups[2] == 48);
    compare_golden(dict, g->name);
    OK(sae_dict_save(dict, in_scratch("again"), SAE_SCAFFOLD_LATENTS, false, &err));
    sae_dict_free(dict);
    OK(sae_dict_load(&dict, in_scratch("again"), &err));
    compare_golden(dict, g->name);
    sae_dict_free(dict);
}
END_TEST

static const struct {
    const char *name, *words;
} refused[] = {
    {"standard_layer_norm", "\"layer_norm\""},
    {"topk_rescale_const_norm", "\"constant_norm_rescale\""},
};

START_TEST(what_is_not_known_is_named)
{
    sae_dict *dict = NULL;
    char path[200];

    snprintf(path, sizeof path, FORMATS "saelens/%s", refused[_i].name);
    FAILS(SAE_UNSUPPORTED, sae_dict_load(&dict, path, &err), refused[_i].words);
    ck_assert_ptr_null(dict);
}
END_TEST

/* ---- Folders made for a test ---------------------------------------------------------------------------------------------- */

/* Copies the folder `from` of the goldens to SCRATCH/to, with its tensors converted and one member of cfg.json replaced. */
static void copy_folder(const char *from, const char *to, dtype type, const char *key, json_t *value)
{
    char path[300];
    json_t *cfg;
    safetensors *st;
    tensor t[8];
    void *data[8] = {0};

    OK(folder_make(in_scratch(to), &err));
    snprintf(path, sizeof path, FORMATS "saelens/%s/cfg.json", from);
    OK(json_read_file(&cfg, path, &err));
    if (key) json_object_set_new(cfg, key, value);
    snprintf(path, sizeof path, "%s/cfg.json", in_scratch(to));
    OK(json_write_file(cfg, path, false, &err));
    json_decref(cfg);
    snprintf(path, sizeof path, FORMATS "saelens/%s/sae_weights.safetensors", from);
    OK(safetensors_open(&st, path, &err));
    int n = safetensors_count(st);
    for (int i = 0; i < n; i++) {
        t[i] = *safetensors_at(st, i);
        int64_t count = tensor_count(&t[i]);
        data[i] = calloc((size_t)count, 8);
        if (type == DTYPE_BF16) f32_to_bf16(t[i].data, count, data[i]);
        if (type == DTYPE_F16) f32_to_f16(t[i].data, count, data[i]);
        if (type == DTYPE_F32 || type == DTYPE_I32) memcpy(data[i], t[i].data, (size_t)count * 4);
        for (int64_t e = 0; e < count && type == DTYPE_F64; e++) ((double *)data[i])[e] = ((const float *)t[i].data)[e];
        t[i].data = data[i];
        t[i].type = type;
    }
    snprintf(path, sizeof path, "%s/sae_weights.safetensors", in_scratch(to));
    OK(safetensors_write(path, t, n, NULL, false, NULL, &err));
    for (int i = 0; i < n; i++) free(data[i]);
    safetensors_close(st);
}

START_TEST(every_float_type)
{
    static const dtype types[] = {DTYPE_F64, DTYPE_F16, DTYPE_BF16};
    static const float bounds[] = {0, 0x1p-11f, 0x1p-8f}; /* relative; of the type's rounding */
    sae_dict *a, *b;

    copy_folder("jumprelu", "typed", types[_i], NULL, NULL);
    OK(sae_dict_load(&a, FORMATS "saelens/jumprelu", &err));
    OK(sae_dict_load(&b, in_scratch("typed"), &err));
    sae_weights x = sae_dict_weights(a), y = sae_dict_weights(b);
    for (int64_t i = 0; i < 96 * 32; i++)
        ck_assert_float_le(fabsf(x.W_enc[i] - y.W_enc[i]), bounds[_i] * fabsf(x.W_enc[i]) + bounds[_i] * 1e-4f);
    for (int64_t i = 0; i < 96; i++)
        ck_assert_float_le(fabsf(x.threshold[i] - y.threshold[i]),
                           bounds[_i] * fabsf(x.threshold[i]) + bounds[_i] * 1e-4f);
    sae_dict_free(a);
    sae_dict_free(b);
}
END_TEST

/* Selecting by value x decoder norm: SAELens's rule in double, on the golden rows. */
START_TEST(topk_rescaled_by_decoder_norms)
{
    sae_dict *plain, *dict;
    safetensors *xs;
    coded z;
    int64_t other_choices = 0;

    copy_folder("topk", "rescaled", DTYPE_F32, "rescale_acts_by_decoder_norm", json_true());
    OK(sae_dict_load(&plain, FORMATS "saelens/topk", &err));
    OK(sae_dict_load(&dict, in_scratch("rescaled"), &err));
    OK(safetensors_open(&xs, FORMATS "x.safetensors", &err));
    const float *x = safetensors_at(xs, 0)->data;
    sae_weights w = sae_dict_weights(plain);
    encode(dict, x, 64, false, &z);
    for (int64_t i = 0; i < 64; i++) {
        double a[96], norm[96], recon[32];
        for (int64_t j = 0; j < 96; j++) {
            a[j] = (double)w.b_enc[j];
            norm[j] = 0;
            for (int64_t d = 0; d < 32; d++) {
                a[j] += ((double)x[i * 32 + d] - (double)w.b_dec[d]) * (double)w.W_enc[j * 32 + d];
                norm[j] += (double)w.W_dec[j * 32 + d] * (double)w.W_dec[j * 32 + d];
            }
            norm[j] = sqrt(norm[j]);
        }
        for (int64_t d = 0; d < 32; d++) recon[d] = (double)w.b_dec[d];
        int64_t e = z.row_start[i];
        for (int64_t j = 0; j < 96; j++) {
            int larger = 0, larger_plain = 0;
            for (int64_t o = 0; o < 96; o++) larger += a[o] * norm[o] > a[j] * norm[j];
            for (int64_t o = 0; o < 96; o++) larger_plain += a[o] > a[j];
            other_choices += (larger < 8) != (larger_plain < 8);
            if (larger >= 8 || a[j] <= 0) continue;
            ck_assert_int_eq(z.latent[e], j);
            ck_assert_double_eq_tol((double)z.value[e++], a[j] * norm[j], 1e-5); /* observed 1.9e-6 */
            for (int64_t d = 0; d < 32; d++) recon[d] += a[j] * (double)w.W_dec[j * 32 + d];
        }
        ck_assert_int_eq(e, z.row_start[i + 1]);
        for (int64_t d = 0; d < 32; d++) ck_assert_double_eq_tol((double)z.recon[i * 32 + d], recon[d], 1e-5);
    }
    ck_assert_int_gt(other_choices, 0); /* so the rule matters on these rows */
    coded_free(&z);
    safetensors_close(xs);
    sae_dict_free(plain);
    sae_dict_free(dict);
}
END_TEST

/* ---- What we write ---------------------------------------------------------------------------------------------------------- */

typedef struct written {
    sae_arch arch;
    sae_variant variant;
    int64_t rank;
    bool centre;
    int64_t d_out; /* > 0: a transcoder */
    bool skip;
    sae_scaffold_centre of_scaffold;
} written;

static sae_dict *make(const written *t)
{
    sae_arch arch = t->arch;
    int64_t rank = t->rank, d_out = t->d_out;
    bool skip = t->skip;
    sae_dict_config c = {.arch = arch,
                         .variant = t->variant,
                         .d_in = 19,
                         .d_sae = 70,
                         .rank = rank,
                         .k = 7,
                         .apply_b_dec_to_input = t->centre,
                         .d_out = d_out,
                         .skip = skip,
                         .scaffold_centre = t->of_scaffold,
                         .scaffold_tie = t->of_scaffold ? SAE_TIE_ORTHONORMAL : SAE_TIE_NONE, /* it is noted, no more */
                         .site = "blocks.3.hook_resid_post",
                         .model = "tiny"};
    int64_t out = d_out ? d_out : c.d_in;
    sae_dict *dict = NULL;
    rng r = rng_seed(17, (uint64_t)rank);

    if (d_out) snprintf(c.target_site, sizeof c.target_site, "blocks.3.hook_mlp_out");

    if (arch == SAE_MATRYOSHKA) {
        c.n_groups = 3;
        c.groups[0] = 10, c.groups[1] = 20, c.groups[2] = 40;
    }
    OK(sae_dict_create(&dict, &c, &err));
    sae_weights w = sae_dict_weights(dict);
    for (int64_t i = 0; i < c.d_sae * c.d_in; i++) w.W_enc[i] = (float)(0.2 * rng_normal(&r));
    for (int64_t i = 0; i < c.d_sae * out; i++) w.W_dec[i] = (float)(0.2 * rng_normal(&r));
    for (int64_t i = 0; i < c.d_sae; i++) w.b_enc[i] = (float)(0.2 * rng_normal(&r));
    for (int64_t i = 0; i < out; i++) w.b_dec[i] = (float)(2 * rng_normal(&r));
    for (int64_t i = 0; arch == SAE_GATED && i < c.d_sae; i++) {
        w.b_mag[i] = (float)(0.3 * rng_normal(&r));
        w.r_mag[i] = (float)(0.3 * rng_normal(&r));
    }
    if (arch != SAE_TOPK && arch != SAE_STANDARD && arch != SAE_GATED)
        for (int64_t i = 0; i < c.d_sae; i++) w.threshold[i] = arch == SAE_JUMPRELU ? (float)rng_uniform(&r) : 0.4f;
    for (int64_t i = 0; i < rank * c.d_in; i++) w.W_down[i] = (float)(0.25 * rng_normal(&r));
    for (int64_t i = 0; i < rank * out; i++) w.W_up[i] = (float)(0.5 * rng_normal(&r));
    for (int64_t i = 0; skip && i < out * c.d_in; i++) w.W_skip[i] = (float)(0.3 * rng_normal(&r));
    for (int64_t i = 0; w.b_down && i < rank; i++) w.b_down[i] = (float)(2 * rng_normal(&r));
    return dict;
}

static sae_dict *make_dict(sae_arch arch, sae_variant variant, int64_t rank, bool centre)
{
    const written t = {arch, variant, rank, centre, 0, false};

    return make(&t);
}

static void make_rows(float *rows, int64_t n)
{
    rng r = rng_seed(23, 0);

    for (int64_t i = 0; i < n * 19; i++) rows[i] = (float)(2 * rng_normal(&r));
}

static const written all_written[] = {
    {SAE_BATCHTOPK, SAE_P1, 0, true, 0, false},
    {SAE_BATCHTOPK, SAE_P1, 3, true, 0, false},
    {SAE_BATCHTOPK, SAE_P2, 3, true, 0, false},
    {SAE_BATCHTOPK, SAE_P3, 3, true, 0, false},
    {SAE_MATRYOSHKA, SAE_P1, 2, true, 0, false},
    {SAE_MATRYOSHKA, SAE_P2, 2, false, 0, false},
    {SAE_JUMPRELU, SAE_P1, 4, false, 0, false},
    {SAE_JUMPRELU, SAE_P2, 4, false, 0, false},
    {SAE_STANDARD, SAE_P2, 1, true, 0, false},
    {SAE_TOPK, SAE_P1, 2, true, 0, false},
    {SAE_TOPK, SAE_P2, 2, false, 0, false},
    {SAE_BATCHTOPK, SAE_P1, 0, false, 13, false},
    {SAE_MATRYOSHKA, SAE_P1, 3, false, 13, true},
    {SAE_JUMPRELU, SAE_P1, 2, false, 13, true},
    {SAE_STANDARD, SAE_P1, 0, false, 19, false},
    {SAE_STANDARD, SAE_P1, 2, false, 5, true},
    {SAE_TOPK, SAE_P1, 2, false, 13, false},
    {SAE_TOPK, SAE_P1, 0, false, 13, true},
    {SAE_GATED, SAE_P1, 0, true, 0, false},
    {SAE_GATED, SAE_P1, 2, true, 0, false},
    {SAE_GATED, SAE_P2, 2, true, 0, false},
    {SAE_GATED, SAE_P2, 2, false, 0, false},
    {SAE_GATED, SAE_P1, 2, false, 13, true},
    {SAE_BATCHTOPK, SAE_P1, 3, true, 0, false, SAE_CENTRE_NONE},
    {SAE_BATCHTOPK, SAE_P2, 3, true, 0, false, SAE_CENTRE_NONE},
    {SAE_JUMPRELU, SAE_P2, 3, false, 0, false, SAE_CENTRE_NONE},
    {SAE_MATRYOSHKA, SAE_P1, 3, true, 0, false, SAE_CENTRE_OWN},
    {SAE_JUMPRELU, SAE_P1, 3, false, 0, false, SAE_CENTRE_OWN},
    {SAE_BATCHTOPK, SAE_P3, 3, true, 0, false, SAE_CENTRE_OWN},
    {SAE_JUMPRELU, SAE_P2, 3, false, 0, false, SAE_CENTRE_OWN},
    {SAE_GATED, SAE_P2, 2, true, 0, false, SAE_CENTRE_OWN},
    {SAE_TOPK, SAE_P2, 2, true, 0, false, SAE_CENTRE_OWN},
    {SAE_BATCHTOPK, SAE_P1, 2, false, 13, true, SAE_CENTRE_OWN},
};
enum { N_WRITTEN = sizeof all_written / sizeof *all_written };

START_TEST(native_reads_back_to_the_bit)
{
    const written *t = &all_written[_i];
    sae_dict *a = make(t), *b = NULL;
    size_t out = t->d_out ? (size_t)t->d_out : 19;

    OK(sae_dict_save(a, in_scratch("dict"), SAE_SCAFFOLD_NATIVE, false, &err));
    OK(sae_dict_load(&b, in_scratch("dict"), &err));
    const sae_dict_config *ca = sae_dict_get_config(a), *cb = sae_dict_get_config(b);
    ck_assert_int_eq(ca->arch, cb->arch);
    ck_assert_int_eq(ca->variant, cb->variant);
    ck_assert_int_eq(ca->k, cb->k);
    ck_assert_int_eq(ca->rank, cb->rank);
    ck_assert_int_eq(ca->scaffold_centre, cb->scaffold_centre);
    ck_assert_int_eq(ca->scaffold_tie, cb->scaffold_tie);
    ck_assert_int_eq(ca->n_groups, cb->n_groups);
    ck_assert_mem_eq(ca->groups, cb->groups, sizeof ca->groups);
    ck_assert_int_eq(ca->apply_b_dec_to_input, cb->apply_b_dec_to_input);
    ck_assert_str_eq(ca->site, cb->site);
    ck_assert_str_eq(ca->model, cb->model);
    ck_assert_str_eq(ca->target_site, cb->target_site);
    ck_assert_int_eq(ca->d_out, cb->d_out);
    ck_assert_int_eq(ca->skip, cb->skip);
    sae_weights x = sae_dict_weights(a), y = sae_dict_weights(b);
    ck_assert_mem_eq(x.W_enc, y.W_enc, 70 * 19 * 4);
    ck_assert_mem_eq(x.W_dec, y.W_dec, 70 * out * 4);
    if (t->skip) ck_assert_mem_eq(x.W_skip, y.W_skip, out * 19 * 4);
    ck_assert_mem_eq(x.b_enc, y.b_enc, 70 * 4);
    ck_assert_mem_eq(x.b_dec, y.b_dec, out * 4);
    ck_assert_mem_eq(x.threshold, y.threshold, 70 * 4);
    if (t->arch == SAE_GATED) ck_assert_mem_eq(x.b_mag, y.b_mag, 70 * 4);
    if (t->arch == SAE_GATED) ck_assert_mem_eq(x.r_mag, y.r_mag, 70 * 4);
    if (t->rank) ck_assert_mem_eq(x.W_down, y.W_down, (size_t)t->rank * 19 * 4);
    if (t->rank) ck_assert_mem_eq(x.W_up, y.W_up, (size_t)t->rank * out * 4);
    ck_assert_int_eq(x.b_down != NULL, t->of_scaffold == SAE_CENTRE_OWN);
    if (x.b_down) ck_assert_mem_eq(x.b_down, y.b_down, (size_t)t->rank * 4);
    sae_dict_free(a);
    sae_dict_free(b);
    expect_scratch_files(1);
}
END_TEST

/* Observed over all: codes 7.6e-6, reconstructions 1.1e-5, of values up to 30. */
static const double export_bound = 5e-5;

static void compare_export(const coded *a, const coded *b, bool to_latents, int64_t out)
{
    for (int64_t i = 0; i < a->n; i++) {
        int64_t eb = b->row_start[i];
        for (int64_t e = a->row_start[i]; e < a->row_start[i + 1]; e++, eb++) {
            ck_assert_int_lt(eb, b->row_start[i + 1]);
            ck_assert_int_eq(a->latent[e], b->latent[eb]);
            ck_assert_double_eq_tol((double)a->value[e], (double)b->value[eb], export_bound);
        }
        for (; to_latents && eb < b->row_start[i + 1]; eb++) ck_assert_int_ge(b->latent[eb], 70);
        ck_assert_int_eq(eb, b->row_start[i + 1]);
        for (int64_t j = 0; j < out; j++)
            ck_assert_double_eq_tol((double)a->recon[i * out + j], (double)b->recon[i * out + j], export_bound);
    }
}

START_TEST(scaffold_as_latents_or_dropped)
{
    const written *t = &all_written[_i];
    int64_t out = t->d_out ? t->d_out : 19;
    float rows[64 * 19];
    sae_dict *a = make(t), *b = NULL;
    coded whole, latents, sparse, dropped;

    make_rows(rows, 64);
    encode(a, rows, 64, true, &whole);
    if (t->arch == SAE_TOPK && t->rank) {
        FAILS(SAE_UNSUPPORTED, sae_dict_save(a, in_scratch("l"), SAE_SCAFFOLD_LATENTS, false, &err), "per-token top-k");
        expect_scratch_files(0);
    } else {
        OK(sae_dict_save(a, in_scratch("l"), SAE_SCAFFOLD_LATENTS, false, &err));
        OK(sae_dict_load(&b, in_scratch("l"), &err));
        ck_assert_int_eq(sae_dict_get_config(b)->rank, 0);
        ck_assert_int_eq(sae_dict_get_config(b)->d_sae, 70 + 2 * t->rank);
        encode(b, rows, 64, true, &latents);
        compare_export(&whole, &latents, true, out);
        for (int64_t j = 70; j < 70 + 2 * t->rank; j++) {
            double norm = 0;
            for (int64_t i = 0; i < out; i++) norm += pow((double)sae_dict_weights(b).W_dec[j * out + i], 2);
            ck_assert_double_eq_tol(norm, 1, 1e-6);
        }
        coded_free(&latents);
        sae_dict_free(b);
    }
    OK(sae_dict_save(a, in_scratch("d"), SAE_SCAFFOLD_DROP, false, &err));
    OK(sae_dict_load(&b, in_scratch("d"), &err));
    encode(a, rows, 64, false, &sparse);
    encode(b, rows, 64, true, &dropped);
    compare_export(&sparse, &dropped, false, out);
    coded_free(&whole);
    coded_free(&sparse);
    coded_free(&dropped);
    sae_dict_free(a);
    sae_dict_free(b);
}
END_TEST

START_TEST(untrained_scaffold_adds_nothing)
{
    sae_dict *a = make_dict(SAE_BATCHTOPK, SAE_P1, 2, true), *b = NULL;
    float rows[64 * 19];
    coded x, y;

    memset(sae_dict_weights(a).W_up, 0, 2 * 19 * sizeof(float)); /* as at step 0 */
    make_rows(rows, 64);
    OK(sae_dict_save(a, in_scratch("l"), SAE_SCAFFOLD_LATENTS, false, &err));
    OK(sae_dict_load(&b, in_scratch("l"), &err));
    encode(a, rows, 64, false, &x);
    encode(b, rows, 64, false, &y);
    compare_export(&x, &y, true, 19);
    coded_free(&x);
    coded_free(&y);
    sae_dict_free(a);
    sae_dict_free(b);
}
END_TEST

/* The check before an export stands can fail: every tensor, one entry changed by a hundredth. */
START_TEST(a_wrong_export_is_noticed)
{
    sae_dict *a = make_dict(SAE_BATCHTOPK, SAE_P2, 3, true), *b = NULL;

    for (int mode = SAE_SCAFFOLD_NATIVE; mode <= SAE_SCAFFOLD_DROP; mode++) {
        if (mode == SAE_SCAFFOLD_NATIVE)
            b = make_dict(SAE_BATCHTOPK, SAE_P2, 3, true);
        else
            OK(scaffold_export(a, (sae_scaffold_export)mode, &b, &err));
        sae_weights w = sae_dict_weights(b);
        int64_t last = sae_dict_get_config(b)->d_sae - 1;
        float *entries[] = {&w.b_enc[last],          &w.b_dec[4], &w.W_enc[last * 19 + 3],
                            &w.W_dec[last * 19 + 2], w.W_down,    w.W_up};
        OK(saelens_verify(a, b, (sae_scaffold_export)mode, &err));
        for (size_t e = 0; e < sizeof entries / sizeof *entries; e++) {
            if (!entries[e]) continue;
            float kept = *entries[e];
            *entries[e] += 0.01f;
            FAILS(SAE_FORMAT, saelens_verify(a, b, (sae_scaffold_export)mode, &err), "probe row");
            *entries[e] = kept;
        }
        sae_dict_free(b);
    }
    sae_dict_free(a);
}
END_TEST

START_TEST(nothing_is_overwritten)
{
    sae_dict *dict = make_dict(SAE_BATCHTOPK, SAE_P1, 1, true), *read = NULL;

    OK(sae_dict_save(dict, in_scratch("new/dict/"), SAE_SCAFFOLD_NATIVE, false, &err));
    FAILS(SAE_EXISTS, sae_dict_save(dict, in_scratch("new/dict"), SAE_SCAFFOLD_DROP, false, &err), "--force");
    OK(sae_dict_save(dict, in_scratch("new/dict"), SAE_SCAFFOLD_DROP, true, &err));
    OK(sae_dict_load(&read, in_scratch("new/dict"), &err));
    ck_assert_int_eq(sae_dict_get_config(read)->rank, 0);
    OK(file_write_text(in_scratch("new/dict/notes.txt"), "mine", 4, false, &err));
    FAILS(SAE_EXISTS, sae_dict_save(dict, in_scratch("new/dict"), SAE_SCAFFOLD_DROP, true, &err), "notes.txt");
    FAILS(SAE_EXISTS, sae_dict_save(dict, in_scratch("new/dict/notes.txt"), SAE_SCAFFOLD_DROP, true, &err),
          "no folder");
    ck_assert(file_exists(in_scratch("new/dict/notes.txt")));
    sae_dict_weights(dict).b_enc[3] = NAN;
    FAILS(SAE_NUMERIC, sae_dict_save(dict, in_scratch("nan"), SAE_SCAFFOLD_NATIVE, false, &err), "b_enc");
    expect_scratch_files(1);
    sae_dict_free(dict);
    sae_dict_free(read);
}
END_TEST

START_TEST(failed_allocations_leave_nothing)
{
    sae_dict *dict = make_dict(SAE_BATCHTOPK, SAE_P2, 2, true), *read = NULL;
    size_t before = mem_in_use();
    int64_t nth = 1;

    for (;; nth++) {
        err = (sae_error){0};
        mem_fail_nth(nth);
        sae_status status = sae_dict_save(dict, in_scratch("dict"), SAE_SCAFFOLD_LATENTS, false, &err);
        mem_fail_nth(0);
        ck_assert_uint_eq(mem_in_use(), before);
        if (status == SAE_OK) break;
        ck_assert_int_eq(status, SAE_NOMEM);
        ck_assert_int_eq(err.code, SAE_NOMEM);
        if (file_is_folder(in_scratch("dict"))) { /* only the parent's sync can fail behind the rename */
            OK(folder_remove(in_scratch("dict"), &err));
            continue;
        }
        expect_scratch_files(0);
    }
    ck_assert_int_gt(nth, 20);
    for (nth = 1;; nth++) {
        mem_fail_nth(nth);
        sae_status status = sae_dict_load(&read, in_scratch("dict"), NULL);
        mem_fail_nth(0);
        if (status == SAE_OK) break;
        ck_assert_int_eq(status, SAE_NOMEM);
        ck_assert_uint_eq(mem_in_use(), before);
    }
    ck_assert_int_gt(nth, 5);
    sae_dict_free(read);
    sae_dict_free(dict);
}
END_TEST

/* ---- Hostile folders ---------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *key, *value; /* of cfg.json */
    sae_status code;
    const char *words;
} bad_configs[] = {
    {"architecture", "null", SAE_FORMAT, "\"architecture\" is missing"},
    {"architecture", "\"batchtopk\"", SAE_UNSUPPORTED, "architecture \"batchtopk\""},
    {"architecture", "7", SAE_FORMAT, "\"architecture\" must be a string"},
    {"architecture", "\"standard\"", SAE_UNSUPPORTED, "\"threshold\""},
    {"d_in", "31", SAE_SHAPE, "cfg.json asks for"},
    {"d_in", "\"32\"", SAE_FORMAT, "\"d_in\""},
    {"d_in", "-32", SAE_FORMAT, "d_in is -32"},
    {"d_sae", "4611686018427387904", SAE_SHAPE, "4611686018427387904"},
    {"d_sae", "null", SAE_FORMAT, "d_sae is 0"},
    {"d_sae", "95", SAE_SHAPE, "[32, 96]"},
    {"normalize_activations", "\"covariance_whitening\"", SAE_UNSUPPORTED, "covariance_whitening"},
    {"reshape_activations", "\"hook_z\"", SAE_UNSUPPORTED, "hook_z"},
    {"metadata", "null", SAE_UNSUPPORTED, "unknown version"},
    {"metadata", "{\"sae_lens_version\": \"5.9.1\"}", SAE_UNSUPPORTED, "SAELens 5.9.1"},
    {"metadata", "{\"sae_lens_version\": \"6.0.0\", \"sae_rank\": 2}", SAE_SHAPE, "rank 0"},
    {"metadata", "{\"sae_lens_version\": \"6.0.0\", \"sae_variant\": \"P9\"}", SAE_UNSUPPORTED, "P9"},
    {"metadata", "{\"sae_lens_version\": \"6.0.0\", \"sae_scaffold_centre\": \"x\"}", SAE_UNSUPPORTED,
     "_centre\" is \"x\""},
    {"metadata", "{\"sae_lens_version\": \"6.0.0\", \"sae_scaffold_tie\": 1}", SAE_FORMAT, "\"sae_scaffold_tie\""},
    {"metadata",
     "{\"sae_lens_version\": \"6.0.0\", \"training_architecture\": \"matryoshka_batchtopk\", "
     "\"training_architecture_details\": {\"matryoshka_widths\": [24, 24]}}",
     SAE_FORMAT, "matryoshka_widths"},
    {"metadata",
     "{\"sae_lens_version\": \"6.0.0\", \"training_architecture\": \"matryoshka_batchtopk\", "
     "\"training_architecture_details\": {\"matryoshka_widths\": [24, 97]}}",
     SAE_FORMAT, "matryoshka_widths"},
};

START_TEST(bad_configs_are_refused)
{
    sae_dict *dict = NULL;
    json_t *value = json_loads(bad_configs[_i].value, JSON_DECODE_ANY, NULL);

    ck_assert_ptr_nonnull(value);
    copy_folder("jumprelu", "bad", DTYPE_F32, bad_configs[_i].key, value);
    FAILS(bad_configs[_i].code, sae_dict_load(&dict, in_scratch("bad"), &err), bad_configs[_i].words);
    ck_assert_ptr_null(dict);
}
END_TEST

START_TEST(bad_tensors_are_refused)
{
    const written whole = {SAE_BATCHTOPK, SAE_P1, 2, true, 0, false, SAE_CENTRE_OWN};
    sae_dict *dict = make(&whole), *read = NULL;
    char path[200];
    safetensors *st;
    tensor t[9], some[9];
    static const float lonely[1] = {1};

    OK(sae_dict_save(dict, in_scratch("good"), SAE_SCAFFOLD_NATIVE, false, &err));
    OK(sae_dict_save(dict, in_scratch("bad"), SAE_SCAFFOLD_NATIVE, false, &err));
    snprintf(path, sizeof path, "%s/sae_weights.safetensors", in_scratch("bad"));
    OK(safetensors_open(&st, in_scratch("good/sae_weights.safetensors"), &err));
    int n = safetensors_count(st);
    ck_assert_int_eq(n, 8);
    for (int i = 0; i < n; i++) t[i] = *safetensors_at(st, i);
    for (int i = 0; i < n; i++) { /* each tensor missing; the name is in the message */
        int m = 0;
        for (int j = 0; j < n; j++)
            if (j != i) some[m++] = t[j];
        OK(safetensors_write(path, some, m, NULL, true, NULL, &err));
        FAILS(SAE_FORMAT, sae_dict_load(&read, in_scratch("bad"), &err), t[i].name);
    }
    for (int i = 0; i < n; i++) { /* each of a type that holds no weights */
        memcpy(some, t, sizeof t);
        some[i].type = DTYPE_I32;
        OK(safetensors_write(path, some, n, NULL, true, NULL, &err));
        FAILS(SAE_UNSUPPORTED, sae_dict_load(&read, in_scratch("bad"), &err), t[i].name);
    }
    int m = 0; /* a bias of a scaffold that is not there */
    for (int i = 0; i < n; i++)
        if (strcmp(t[i].name, "W_down") != 0 && strcmp(t[i].name, "W_up") != 0) some[m++] = t[i];
    OK(safetensors_write(path, some, m, NULL, true, NULL, &err));
    FAILS(SAE_SHAPE, sae_dict_load(&read, in_scratch("bad"), &err), "rank 0");
    memcpy(some, t, sizeof t);
    some[n] = (tensor){.name = "log_threshold", .type = DTYPE_F32, .rank = 1, .shape = {1}, .data = lonely};
    OK(safetensors_write(path, some, n + 1, NULL, true, NULL, &err));
    FAILS(SAE_UNSUPPORTED, sae_dict_load(&read, in_scratch("bad"), &err), "log_threshold");
    safetensors_close(st);
    ck_assert_ptr_null(read);
    sae_dict_free(dict);
}
END_TEST

START_TEST(cut_files_are_refused)
{
    static const char *const files[] = {"cfg.json", "sae_weights.safetensors"};
    sae_dict *dict = make_dict(SAE_BATCHTOPK, SAE_P1, 2, true), *read = NULL;
    char path[200], *text;
    size_t bytes;

    OK(sae_dict_save(dict, in_scratch("dict"), SAE_SCAFFOLD_NATIVE, false, &err));
    snprintf(path, sizeof path, "%s/%s", in_scratch("dict"), files[_i]);
    OK(file_read_all(path, 1 << 20, &text, &bytes, &err));
    for (size_t length = 0; length + 2 < bytes; length += 1 + bytes / 50) { /* + 2: the newline at the end may go */
        OK(file_write_text(path, text, length, true, &err));
        err = (sae_error){0};
        ck_assert_int_ne(sae_dict_load(&read, in_scratch("dict"), &err), SAE_OK);
        ck_assert_ptr_nonnull(strstr(err.message, files[_i]));
        ck_assert_ptr_null(read);
    }
    FAILS(SAE_IO, sae_dict_load(&read, in_scratch("nowhere"), &err), "nowhere");
    FAILS(SAE_IO, sae_dict_load(&read, path, &err), "expected a folder");
    mem_free(text);
    sae_dict_free(dict);
}
END_TEST

START_TEST(undefined_weights_are_refused)
{
    sae_dict *dict = make_dict(SAE_JUMPRELU, SAE_P1, 0, true), *read = NULL;
    char path[200];
    safetensors *st;
    tensor t[8];
    float threshold[70] = {0}, b_dec[19] = {0};

    threshold[0] = INFINITY; /* a latent switched off: allowed */
    sae_dict_weights(dict).threshold[0] = INFINITY;
    OK(sae_dict_save(dict, in_scratch("dict"), SAE_SCAFFOLD_NATIVE, false, &err));
    OK(safetensors_open(&st, in_scratch("dict/sae_weights.safetensors"), &err));
    for (int i = 0; i < 5; i++) t[i] = *safetensors_at(st, i);
    snprintf(path, sizeof path, "%s/sae_weights.safetensors", in_scratch("dict"));
    threshold[1] = NAN;
    b_dec[2] = -INFINITY;
    for (int i = 0; i < 5; i++) {
        const void *kept = t[i].data;
        bool is_threshold = strcmp(t[i].name, "threshold") == 0;
        if (!is_threshold && strcmp(t[i].name, "b_dec") != 0) continue;
        t[i].data = is_threshold ? threshold : b_dec;
        OK(safetensors_write(path, t, 5, NULL, true, NULL, &err));
        FAILS(SAE_NUMERIC, sae_dict_load(&read, in_scratch("dict"), &err), t[i].name);
        t[i].data = kept;
    }
    safetensors_close(st);
    sae_dict_free(dict);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("saelens");
    TCase *c = tcase_create("saelens");
    SRunner *runner = srunner_create(suite);

    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, scratch_make, scratch_remove);
    tcase_add_loop_test(c, codes_of_the_real_library, 0, (int)(sizeof goldens / sizeof *goldens));
    tcase_add_loop_test(c, what_is_not_known_is_named, 0, (int)(sizeof refused / sizeof *refused));
    tcase_add_loop_test(c, every_float_type, 0, 3);
    tcase_add_test(c, topk_rescaled_by_decoder_norms);
    tcase_add_loop_test(c, native_reads_back_to_the_bit, 0, N_WRITTEN);
    tcase_add_loop_test(c, scaffold_as_latents_or_dropped, 1, N_WRITTEN);
    tcase_add_test(c, untrained_scaffold_adds_nothing);
    tcase_add_test(c, a_wrong_export_is_noticed);
    tcase_add_test(c, nothing_is_overwritten);
    tcase_add_test(c, failed_allocations_leave_nothing);
    tcase_add_loop_test(c, bad_configs_are_refused, 0, (int)(sizeof bad_configs / sizeof *bad_configs));
    tcase_add_test(c, bad_tensors_are_refused);
    tcase_add_loop_test(c, cut_files_are_refused, 0, 2);
    tcase_add_test(c, undefined_weights_are_refused);
    suite_add_tcase(suite, c);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
