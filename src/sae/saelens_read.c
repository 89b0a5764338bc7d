/*
 * saelens_read.c - reads SAELens v6 folders: cfg.json and sae_weights.safetensors, in any float type.
 *
 * Invariant: nothing is allocated by the sizes in cfg.json before the tensors of the file were found to have them. What
 * would change the meaning of a dictionary and is not understood is refused by name, never skipped.
 */
#include "sae/saelens.h"
#include "sae/scaffold_fields.h"

#include "io/io.h"
#include "kernels/dequant.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What cfg.json says. */
typedef struct folder_config {
    sae_dict_config dict;
    bool rescale; /* top-k selects by pre-activation x decoder norm */
    int64_t rank; /* as metadata.sae_rank states it; -1: not stated */
} folder_config;

/* ---- cfg.json --------------------------------------------------------------------------------------------------------- */

/* Keys were moved in version 6; older files mean other things by the same names. */
static sae_status check_version(const json_t *cfg, const json_t *metadata, const char *name, sae_error *err)
{
    const char *version = NULL;

    sae_status status = json_get_string(cfg, "sae_lens_version", NULL, &version, name, err);
    if (status == SAE_OK && !version) status = json_get_string(metadata, "sae_lens_version", NULL, &version, name, err);
    if (status != SAE_OK) return status;
    if (version && atoi(version) >= 6) return SAE_OK;
    return SAE_FAIL(err, SAE_UNSUPPORTED,
                    "%s: written by SAELens %s; version 6 or later is expected: load it with such a SAELens and save "
                    "it again",
                    name, version ? version : "of an unknown version");
}

static sae_status check_choice(const json_t *cfg, const char *key, const char *const *accepted, const char *name,
                               sae_error *err)
{
    const char *value = NULL;

    sae_status status = json_get_string(cfg, key, accepted[0], &value, name, err);
    if (status != SAE_OK) return status;
    for (int i = 0; accepted[i]; i++)
        if (strcmp(value, accepted[i]) == 0) return SAE_OK;
    return SAE_FAIL(err, SAE_UNSUPPORTED, "%s: \"%s\" is \"%s\"; only \"%s\" can be read", name, key, value,
                    accepted[0]);
}

static sae_status read_arch(const json_t *cfg, const json_t *metadata, folder_config *out, const char *name,
                            sae_error *err)
{
    sae_status status = SAE_OK;
    const char *arch = NULL, *trained = NULL;

    SAE_TRY(json_get_string(cfg, "architecture", NULL, &arch, name, err));
    SAE_TRY(json_get_string(metadata, "training_architecture", "", &trained, name, err));
    if (!arch) SAE_RAISE(err, SAE_FORMAT, "%s: \"architecture\" is missing", name);
    const saelens_kind *kind = saelens_kind_named(arch);
    if (!kind)
        SAE_RAISE(err, SAE_UNSUPPORTED,
                  "%s: architecture \"%s\"; standard, topk, jumprelu and gated can be read, and their transcoders",
                  name, arch);
    out->dict.arch = kind->arch;
    out->dict.skip = kind->skip;
    if (kind->arch == SAE_TOPK) {
        SAE_TRY(json_get_int(cfg, "k", 0, &out->dict.k, name, err));
        SAE_TRY(json_get_bool(cfg, "rescale_acts_by_decoder_norm", false, &out->rescale, name, err));
    } else if (kind->arch == SAE_JUMPRELU) {
        bool matryoshka = strcmp(trained, "matryoshka_batchtopk") == 0;
        out->dict.arch = matryoshka ? SAE_MATRYOSHKA : strcmp(trained, "batchtopk") == 0 ? SAE_BATCHTOPK : SAE_JUMPRELU;
    }
    SAE_TRY(json_get_bool(cfg, "apply_b_dec_to_input", !kind->transcoder, &out->dict.apply_b_dec_to_input, name, err));
    if (kind->transcoder) SAE_TRY(json_get_int(cfg, "d_out", 0, &out->dict.d_out, name, err));
    if (kind->transcoder && out->dict.d_out < 1)
        SAE_RAISE(err, SAE_FORMAT, "%s: \"d_out\" is %lld; a transcoder's is at least 1", name,
                  (long long)out->dict.d_out);
done:
    return status;
}

/* metadata.training_architecture_details: k, and matryoshka_widths, the sizes of the nested prefixes. */
static sae_status read_training_details(const json_t *metadata, sae_dict_config *out, const char *name, sae_error *err)
{
    const json_t *details = json_object_get(metadata, "training_architecture_details");
    const json_t *widths = json_object_get(details, "matryoshka_widths");
    size_t n = json_array_size(widths);
    int64_t before = 0;

    if (out->arch != SAE_TOPK) {
        double k = 0;
        sae_status status = json_get_double(details, "k", 0, &k, name, err); /* SAELens writes 8.0 */
        if (status != SAE_OK) return status;
        out->k = k >= 0.5 && k <= (double)out->d_sae ? llround(k) : 0;
    }
    if (out->arch != SAE_MATRYOSHKA || n == 0) return SAE_OK;
    if (n > SAE_MAX_GROUPS)
        return SAE_FAIL(err, SAE_UNSUPPORTED, "%s: %zu Matryoshka widths; at most %d can be read", name, n,
                        SAE_MAX_GROUPS);
    for (size_t g = 0; g < n; g++) {
        const json_t *width = json_array_get(widths, g);
        if (!json_is_integer(width) || json_integer_value(width) <= before || json_integer_value(width) > out->d_sae)
            return SAE_FAIL(err, SAE_FORMAT,
                            "%s: \"matryoshka_widths\" must be whole numbers that ascend to d_sae = %lld", name,
                            (long long)out->d_sae);
        out->groups[g] = json_integer_value(width) - before;
        before = json_integer_value(width);
    }
    /* Latents behind the last prefix (an exported scaffold) belong to no group: then there are no groups to speak of. */
    out->n_groups = before == out->d_sae ? (int)n : 0;
    return SAE_OK;
}

/* A name of one of `names`, by its place; the first when it is absent. */
static sae_status read_choice(const json_t *metadata, const char *key, const char *const *names, int *index,
                              const char *name, sae_error *err)
{
    const char *text = NULL;
    sae_status status = json_get_string(metadata, key, names[0], &text, name, err);

    if (status != SAE_OK) return status;
    for (*index = 0; names[*index]; (*index)++)
        if (strcmp(names[*index], text) == 0) return SAE_OK;
    return SAE_FAIL(err, SAE_UNSUPPORTED, "%s: \"%s\" is \"%s\", which is not known", name, key, text);
}

static sae_status read_scaffold(const json_t *metadata, sae_dict_config *out, const char *name, sae_error *err)
{
    int centre = 0, tie = 0;
    sae_status status = read_choice(metadata, "sae_scaffold_centre", scaffold_centre_names, &centre, name, err);

    if (status == SAE_OK) status = read_choice(metadata, "sae_scaffold_tie", scaffold_tie_names, &tie, name, err);
    out->scaffold_centre = (sae_scaffold_centre)centre;
    out->scaffold_tie = (sae_scaffold_tie)tie;
    return status;
}

static sae_status read_origin(const json_t *metadata, folder_config *out, const char *name, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *site = NULL, *target = NULL, *model = NULL, *variant = NULL, *threshold = NULL;

    SAE_TRY(json_get_string(metadata, "hook_name", "", &site, name, err));
    SAE_TRY(json_get_string(metadata, "hook_name_out", "", &target, name, err));
    SAE_TRY(json_get_string(metadata, "model_name", "", &model, name, err));
    SAE_TRY(json_get_string(metadata, "sae_variant", "P1", &variant, name, err));
    SAE_TRY(json_get_string(metadata, "sae_threshold_from", "", &threshold, name, err));
    out->dict.last_step_threshold = strcmp(threshold, SAELENS_LAST_STEP) == 0;
    SAE_TRY(json_get_int(metadata, "sae_rank", -1, &out->rank, name, err));
    snprintf(out->dict.site, sizeof out->dict.site, "%s", site);
    if (out->dict.d_out > 0) snprintf(out->dict.target_site, sizeof out->dict.target_site, "%s", target);
    snprintf(out->dict.model, sizeof out->dict.model, "%s", model);
    if (strcmp(variant, "P1") != 0 && strcmp(variant, "P2") != 0 && strcmp(variant, "P3") != 0)
        SAE_RAISE(err, SAE_UNSUPPORTED, "%s: scaffold variant \"%s\"; P1, P2 and P3 can be read", name, variant);
    out->dict.variant = (sae_variant)(variant[1] - '1');
    SAE_TRY(read_scaffold(metadata, &out->dict, name, err));
done:
    return status;
}

static sae_status read_config(const char *path, folder_config *out, sae_error *err)
{
    static const char *const norms[] = {"none", "expected_average_only_in",
                                        NULL}; /* the second acts in training only */
    static const char *const shapes[] = {"none", NULL};
    sae_status status = SAE_OK;
    json_t *cfg = NULL;
    const json_t *metadata;

    *out = (folder_config){.rank = -1};
    SAE_TRY(json_read_file(&cfg, path, err));
    if (!json_is_object(cfg)) SAE_RAISE(err, SAE_FORMAT, "%s: expected a JSON object", path);
    metadata = json_object_get(cfg, "metadata");
    SAE_TRY(check_version(cfg, metadata, path, err));
    SAE_TRY(check_choice(cfg, "normalize_activations", norms, path, err));
    SAE_TRY(check_choice(cfg, "reshape_activations", shapes, path, err));
    SAE_TRY(json_get_int(cfg, "d_in", 0, &out->dict.d_in, path, err));
    SAE_TRY(json_get_int(cfg, "d_sae", 0, &out->dict.d_sae, path, err));
    SAE_TRY(read_arch(cfg, metadata, out, path, err));
    SAE_TRY(read_training_details(metadata, &out->dict, path, err));
    SAE_TRY(read_origin(metadata, out, path, err));
done:
    json_decref(cfg);
    return status;
}

/* ---- Tensors ------------------------------------------------------------------------------------------------------------ */

static const char *const tensor_names[] = {"W_enc", "b_enc",  "W_dec",  "b_dec", "threshold", "W_down",
                                           "W_up",  "W_skip", "b_gate", "b_mag", "r_mag",     "b_down"};

static bool has_thresholds(sae_arch arch) { return arch != SAE_TOPK && arch != SAE_STANDARD && arch != SAE_GATED; }

static sae_status check_names(const safetensors *st, const folder_config *c, sae_error *err)
{
    for (int i = 0; i < safetensors_count(st); i++) {
        const char *name = safetensors_at(st, i)->name;
        bool known = false;
        for (size_t t = 0; t < sizeof tensor_names / sizeof *tensor_names; t++)
            known |= strcmp(name, tensor_names[t]) == 0;
        if (strcmp(name, "W_skip") == 0) known = c->dict.skip;
        if (strcmp(name, "b_down") == 0) known = c->dict.scaffold_centre == SAE_CENTRE_OWN;
        if (strcmp(name, "threshold") == 0) known = has_thresholds(c->dict.arch);
        if (strcmp(name, "b_enc") == 0) known = c->dict.arch != SAE_GATED;
        if (strcmp(name, "b_gate") == 0 || strcmp(name, "b_mag") == 0 || strcmp(name, "r_mag") == 0)
            known = c->dict.arch == SAE_GATED;
        if (!known)
            return SAE_FAIL(err, SAE_UNSUPPORTED, "%s: tensor \"%s\" has no meaning in this architecture",
                            safetensors_path(st), name);
    }
    return SAE_OK;
}

/* The tensor, found to be floats of shape [rows, columns], or [columns] when rows is 0. */
static sae_status find(const safetensors *st, const char *name, int64_t rows, int64_t columns, const tensor **out,
                       sae_error *err)
{
    const tensor *t = safetensors_find(st, name);
    char found[160];

    if (!t) return SAE_FAIL(err, SAE_FORMAT, "%s: tensor \"%s\" is missing", safetensors_path(st), name);
    if (t->type != DTYPE_F32 && t->type != DTYPE_F16 && t->type != DTYPE_BF16 && t->type != DTYPE_F64)
        return SAE_FAIL(err, SAE_UNSUPPORTED, "%s: tensor \"%s\" has type %s; F32, F16, BF16 and F64 can be read",
                        safetensors_path(st), name, dtype_table[t->type].name);
    bool fits =
        rows ? t->rank == 2 && t->shape[0] == rows && t->shape[1] == columns : t->rank == 1 && t->shape[0] == columns;
    if (!fits) {
        tensor_shape_text(t, found, sizeof found);
        if (rows)
            return SAE_FAIL(err, SAE_SHAPE, "%s: tensor \"%s\" has shape %s; cfg.json asks for [%lld, %lld]",
                            safetensors_path(st), name, found, (long long)rows, (long long)columns);
        return SAE_FAIL(err, SAE_SHAPE, "%s: tensor \"%s\" has shape %s; cfg.json asks for [%lld]",
                        safetensors_path(st), name, found, (long long)columns);
    }
    *out = t;
    return SAE_OK;
}

typedef struct folder_tensors {
    const tensor *W_enc, *b_enc, *W_dec, *b_dec;
    const tensor *threshold, *W_down, *W_up, *W_skip, *b_mag, *r_mag, *b_down; /* these may be NULL */
} folder_tensors;

static sae_status find_scaffold(const safetensors *st, folder_config *c, folder_tensors *out, sae_error *err)
{
    const tensor *down = safetensors_find(st, "W_down"), *up = safetensors_find(st, "W_up");
    sae_status status = SAE_OK;

    if (!down != !up)
        SAE_RAISE(err, SAE_FORMAT, "%s: tensor \"%s\" is missing; a scaffold has W_down and W_up", safetensors_path(st),
                  down ? "W_up" : "W_down");
    c->dict.rank = down && down->rank == 2 ? down->shape[1] : 0;
    if (c->rank >= 0 && c->rank != c->dict.rank)
        SAE_RAISE(err, SAE_SHAPE, "%s: the scaffold has rank %lld; cfg.json says %lld", safetensors_path(st),
                  (long long)c->dict.rank, (long long)c->rank);
    if (!down && safetensors_find(st, "b_down"))
        SAE_RAISE(err, SAE_FORMAT, "%s: tensor \"W_down\" is missing, which b_down belongs to", safetensors_path(st));
    if (!down) goto done;
    if (c->dict.rank < 1 || c->dict.rank > c->dict.d_in)
        SAE_RAISE(err, SAE_SHAPE, "%s: tensor \"W_down\" must be [%lld, rank], rank from 1 to %lld",
                  safetensors_path(st), (long long)c->dict.d_in, (long long)c->dict.d_in);
    SAE_TRY(find(st, "W_down", c->dict.d_in, c->dict.rank, &out->W_down, err));
    SAE_TRY(find(st, "W_up", c->dict.rank, dict_d_out(&c->dict), &out->W_up, err));
    if (dict_has_b_down(&c->dict)) SAE_TRY(find(st, "b_down", 0, c->dict.rank, &out->b_down, err));
done:
    return status;
}

static sae_status find_all(const safetensors *st, folder_config *c, folder_tensors *out, sae_error *err)
{
    int64_t d_in = c->dict.d_in, d_out = dict_d_out(&c->dict), d_sae = c->dict.d_sae;
    sae_status status = SAE_OK;

    if (d_in < 1 || d_sae < 1)
        SAE_RAISE(err, SAE_FORMAT, "cfg.json: d_in is %lld and d_sae is %lld; expected at least 1", (long long)d_in,
                  (long long)d_sae);
    SAE_TRY(check_names(st, c, err));
    SAE_TRY(find(st, "W_enc", d_in, d_sae, &out->W_enc, err));
    SAE_TRY(find(st, c->dict.arch == SAE_GATED ? "b_gate" : "b_enc", 0, d_sae, &out->b_enc, err));
    SAE_TRY(find(st, "W_dec", d_sae, d_out, &out->W_dec, err));
    SAE_TRY(find(st, "b_dec", 0, d_out, &out->b_dec, err));
    if (c->dict.skip) SAE_TRY(find(st, "W_skip", d_out, d_in, &out->W_skip, err));
    if (has_thresholds(c->dict.arch)) SAE_TRY(find(st, "threshold", 0, d_sae, &out->threshold, err));
    if (c->dict.arch == SAE_GATED) {
        SAE_TRY(find(st, "b_mag", 0, d_sae, &out->b_mag, err));
        SAE_TRY(find(st, "r_mag", 0, d_sae, &out->r_mag, err));
    }
    SAE_TRY(find_scaffold(st, c, out, err));
done:
    return status;
}

static void expand(const tensor *t, float *out)
{
    if (t) dequant_f32(t->type, t->data, tensor_count(t), out);
}

/* out[columns, rows] = t[rows, columns] transposed, a strip of rows at a time. */
static sae_status expand_transposed(const tensor *t, float *out, sae_error *err)
{
    enum { STRIP = 64 };
    int64_t rows = t->shape[0], columns = t->shape[1];
    size_t row_bytes = (size_t)columns * (size_t)dtype_table[t->type].block_bytes;
    float *strip = mem_alloc_array((size_t)columns, STRIP * sizeof *strip, "transposing a tensor", err);

    if (!strip) return SAE_NOMEM;
    for (int64_t first = 0; first < rows; first += STRIP) {
        int64_t n = rows - first < STRIP ? rows - first : STRIP;
        dequant_f32(t->type, (const unsigned char *)t->data + (size_t)first * row_bytes, n * columns, strip);
#pragma omp parallel for
        for (int64_t c = 0; c < columns; c++)
            for (int64_t r = 0; r < n; r++) out[c * rows + first + r] = strip[r * columns + c];
    }
    mem_free(strip);
    return SAE_OK;
}

/* Selecting by pre-activation x decoder norm, and decoding value / norm, is plain top-k of a dictionary whose decoder
 * rows have norm 1 and whose encoder rows took the norms. Codes and reconstruction stay what SAELens gives. */
static void fold_decoder_norms(const sae_weights *w, const sae_dict_config *c)
{
    int64_t d_out = dict_d_out(c);

    for (int64_t j = 0; j < c->d_sae; j++) {
        double sum = 0;
        for (int64_t i = 0; i < d_out; i++) sum += (double)w->W_dec[j * d_out + i] * (double)w->W_dec[j * d_out + i];
        float norm = (float)sqrt(sum);
        w->b_enc[j] *= norm;
        for (int64_t i = 0; i < c->d_in; i++) w->W_enc[j * c->d_in + i] *= norm;
        for (int64_t i = 0; i < d_out && norm > 0; i++) w->W_dec[j * d_out + i] /= norm;
    }
}

static bool all_finite(const float *x, int64_t n)
{
    float poison = 0; /* becomes NaN when one entry is not finite */

#pragma omp simd reduction(+ : poison)
    for (int64_t i = 0; i < n; i++) poison += x[i] * 0;
    return poison == 0;
}

sae_status dict_check_finite(const sae_dict *dict, const char *name, sae_error *err)
{
    const sae_dict_config *c = &dict->config;
    const sae_weights *w = &dict->weights;
    int64_t d_out = dict_d_out(c);
    const struct {
        const char *what;
        const float *x;
        int64_t n;
    } all[] = {{"W_enc", w->W_enc, c->d_sae * c->d_in},        {"b_enc", w->b_enc, c->d_sae},
               {"W_dec", w->W_dec, c->d_sae * d_out},          {"b_dec", w->b_dec, d_out},
               {"W_down", w->W_down, c->rank * c->d_in},       {"W_up", w->W_up, c->rank * d_out},
               {"b_down", w->b_down, w->b_down ? c->rank : 0}, {"W_skip", w->W_skip, c->skip ? d_out * c->d_in : 0},
               {"b_mag", w->b_mag, w->b_mag ? c->d_sae : 0},   {"r_mag", w->r_mag, w->r_mag ? c->d_sae : 0}};

    for (size_t t = 0; t < sizeof all / sizeof *all; t++)
        if (!all_finite(all[t].x, all[t].n))
            return SAE_FAIL(err, SAE_NUMERIC, "%s: %s holds infinite or undefined numbers", name, all[t].what);
    for (int64_t j = 0; j < c->d_sae; j++)
        if (isnan(w->threshold[j]))
            return SAE_FAIL(err, SAE_NUMERIC, "%s: threshold %lld is undefined", name, (long long)j);
    return SAE_OK;
}

static sae_status read_weights(const safetensors *st, folder_config *c, sae_dict **out, sae_error *err)
{
    sae_status status = SAE_OK;
    folder_tensors t = {0};
    sae_dict *dict = NULL;

    SAE_TRY(find_all(st, c, &t, err));
    SAE_TRY(sae_dict_create(&dict, &c->dict, err));
    SAE_TRY(expand_transposed(t.W_enc, dict->weights.W_enc, err));
    if (t.W_down) SAE_TRY(expand_transposed(t.W_down, dict->weights.W_down, err));
    expand(t.W_up, dict->weights.W_up);
    expand(t.b_down, dict->weights.b_down);
    expand(t.b_enc, dict->weights.b_enc);
    expand(t.W_dec, dict->weights.W_dec);
    expand(t.b_dec, dict->weights.b_dec);
    expand(t.W_skip, dict->weights.W_skip);
    expand(t.threshold, dict->weights.threshold);
    expand(t.b_mag, dict->weights.b_mag);
    expand(t.r_mag, dict->weights.r_mag);
    SAE_TRY(dict_check_finite(dict, safetensors_path(st), err));
    if (c->rescale) fold_decoder_norms(&dict->weights, &c->dict);
    *out = dict;
    dict = NULL;
done:
    sae_dict_free(dict);
    return status;
}

/* Its weights are read when `out` is not NULL. */
static sae_status open_folder(sae_dict **out, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    char *cfg_path = NULL, *weights_path = NULL;
    safetensors *st = NULL;
    folder_config config;
    folder_tensors found = {0};

    if (!file_is_folder(path))
        SAE_RAISE(err, SAE_IO, "%s: expected a folder with %s and %s", path, SAELENS_CONFIG_NAME, SAELENS_WEIGHTS_NAME);
    cfg_path = path_join(path, SAELENS_CONFIG_NAME, err);
    weights_path = path_join(path, SAELENS_WEIGHTS_NAME, err);
    if (!cfg_path || !weights_path) SAE_TRY(SAE_NOMEM);
    SAE_TRY(read_config(cfg_path, &config, err));
    SAE_TRY(safetensors_open(&st, weights_path, err));
    SAE_TRY(out ? read_weights(st, &config, out, err) : find_all(st, &config, &found, err));
done:
    safetensors_close(st);
    mem_free(cfg_path);
    mem_free(weights_path);
    return status;
}

sae_status sae_dict_load(sae_dict **out, const char *path, sae_error *err) { return open_folder(out, path, err); }
sae_status saelens_check(const char *path, sae_error *err) { return open_folder(NULL, path, err); }
