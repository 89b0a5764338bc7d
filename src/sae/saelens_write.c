/*
 * saelens_write.c - writes SAELens v6 folders that SAELens loads unedited.
 *
 * A dictionary that encodes by thresholds becomes a "jumprelu" one. A folder with the scaffold in tensors of its own is for
 * our reader: SAELens refuses it (unknown tensors), which is better than codes with half of the reconstruction missing.
 * Invariant: a folder stands only after it was read back and compared with the dictionary in memory.
 */
#include "sae/saelens.h"
#include "sae/scaffold_fields.h"

#include "io/io.h"

#include <string.h>

/* The version of SAELens whose file layout this is. */
#define SAELENS_LAYOUT_VERSION "6.18.0"

static const char *const trained_names[] = {"batchtopk", "matryoshka_batchtopk", "jumprelu", "topk", "standard",
                                            "gated"};

static json_t *training_details(const sae_dict_config *c)
{
    json_t *details = json_object();
    int64_t prefix = 0;

    if (c->k) json_put(&details, "k", json_integer(c->k));
    if (c->n_groups) {
        json_t *widths = json_array();
        for (int g = 0; g < c->n_groups; g++) json_add(&widths, json_integer(prefix += c->groups[g]));
        json_put(&details, "matryoshka_widths", widths);
    }
    return details;
}

/* `c` describes what is written, `of` the dictionary that it was made from. */
static json_t *make_metadata(const sae_dict_config *c, const sae_dict_config *of, sae_scaffold_export mode)
{
    static const char *const kept[] = {"native", "latents", "dropped"};
    json_t *m = json_object();

    json_put(&m, "sae_lens_version", json_string(SAELENS_LAYOUT_VERSION));
    json_put(&m, "model_name", json_text(of->model));
    json_put(&m, "hook_name", json_text(of->site));
    if (of->d_out > 0) json_put(&m, "hook_name_out", json_text(of->target_site));
    json_put(&m, "training_architecture", json_string(trained_names[c->arch]));
    json_put(&m, "training_architecture_details", training_details(c));
    json_put(&m, "written_by", json_string("libsae " SAE_VERSION));
    json_put(&m, "sae_rank", json_integer(c->rank));
    json_put(&m, "sae_variant", json_string(variant_labels[c->variant]));
    if (c->rank && c->scaffold_centre != SAE_CENTRE_B_DEC)
        json_put(&m, "sae_scaffold_centre", json_string(scaffold_centre_names[c->scaffold_centre]));
    if (c->rank && c->scaffold_tie != SAE_TIE_NONE)
        json_put(&m, "sae_scaffold_tie", json_string(scaffold_tie_names[c->scaffold_tie]));
    if (of->last_step_threshold) json_put(&m, "sae_threshold_from", json_string(SAELENS_LAST_STEP));
    if (of->rank) {
        json_put(&m, "sae_trained_rank", json_integer(of->rank));
        json_put(&m, "sae_scaffold", json_string(kept[mode]));
    }
    if (of->rank && mode == SAE_SCAFFOLD_LATENTS) { /* relu(h_k) and relu(-h_k), k ascending */
        json_put(&m, "sae_scaffold_first_latent", json_integer(of->d_sae));
        json_put(&m, "sae_scaffold_latents", json_integer(2 * of->rank));
    }
    return m;
}

static sae_status write_config(const char *path, const sae_dict_config *c, const sae_dict_config *of,
                               sae_scaffold_export mode, sae_error *err)
{
    json_t *cfg = json_object();

    json_put(&cfg, "architecture", json_string(saelens_kind_of(c)->name));
    json_put(&cfg, "d_in", json_integer(c->d_in));
    if (c->d_out > 0) json_put(&cfg, "d_out", json_integer(c->d_out));
    json_put(&cfg, "d_sae", json_integer(c->d_sae));
    json_put(&cfg, "dtype", json_string("float32"));
    json_put(&cfg, "device", json_string("cpu"));
    json_put(&cfg, "apply_b_dec_to_input", json_boolean(c->apply_b_dec_to_input));
    json_put(&cfg, "normalize_activations", json_string("none"));
    json_put(&cfg, "reshape_activations", json_string("none"));
    if (c->arch == SAE_TOPK) {
        json_put(&cfg, "k", json_integer(c->k));
        json_put(&cfg, "rescale_acts_by_decoder_norm", json_false());
    }
    json_put(&cfg, "metadata", make_metadata(c, of, mode));
    sae_status status = json_write_file(cfg, path, false, err);
    json_decref(cfg);
    return status;
}

/* out[columns, rows] = in[rows, columns] transposed. */
static void transpose(const float *in, int64_t rows, int64_t columns, float *out)
{
    enum { SIDE = 32 };

#pragma omp parallel for
    for (int64_t r = 0; r < rows; r += SIDE)
        for (int64_t c = 0; c < columns; c += SIDE)
            for (int64_t i = r; i < rows && i < r + SIDE; i++)
                for (int64_t j = c; j < columns && j < c + SIDE; j++) out[j * rows + i] = in[i * columns + j];
}

static tensor matrix(const char *name, int64_t rows, int64_t columns, const float *data)
{
    return (tensor){.name = name, .type = DTYPE_F32, .rank = 2, .shape = {rows, columns}, .data = data};
}

static tensor vector(const char *name, int64_t n, const float *data)
{
    return (tensor){.name = name, .type = DTYPE_F32, .rank = 1, .shape = {n}, .data = data};
}

static sae_status write_weights(const char *path, const sae_dict *dict, sae_error *err)
{
    const sae_dict_config *c = &dict->config;
    const sae_weights *w = &dict->weights;
    sae_status status = SAE_OK;
    tensor t[11];
    int64_t d_out = dict_d_out(c);
    int n = 0;
    float *down = NULL, *enc = mem_alloc_array((size_t)(c->d_in * c->d_sae), sizeof *enc, "writing W_enc", err);

    if (c->rank) down = mem_alloc_array((size_t)(c->d_in * c->rank), sizeof *down, "writing W_down", err);
    if (!enc || (c->rank && !down)) {
        status = SAE_NOMEM;
        goto done;
    }
    transpose(w->W_enc, c->d_sae, c->d_in, enc);
    t[n++] = matrix("W_enc", c->d_in, c->d_sae, enc);
    t[n++] = vector(c->arch == SAE_GATED ? "b_gate" : "b_enc", c->d_sae, w->b_enc);
    t[n++] = matrix("W_dec", c->d_sae, d_out, w->W_dec);
    t[n++] = vector("b_dec", d_out, w->b_dec);
    if (c->skip) t[n++] = matrix("W_skip", d_out, c->d_in, w->W_skip);
    if (saelens_kind_of(c)->arch == SAE_JUMPRELU) t[n++] = vector("threshold", c->d_sae, w->threshold);
    if (c->arch == SAE_GATED) {
        t[n++] = vector("b_mag", c->d_sae, w->b_mag);
        t[n++] = vector("r_mag", c->d_sae, w->r_mag);
    }
    if (c->rank) {
        transpose(w->W_down, c->rank, c->d_in, down);
        t[n++] = matrix("W_down", c->d_in, c->rank, down);
        t[n++] = matrix("W_up", c->rank, d_out, w->W_up);
        if (w->b_down) t[n++] = vector("b_down", c->rank, w->b_down);
    }
    SAE_TRY(safetensors_write(path, t, n, NULL, false, NULL, err));
done:
    mem_free(enc);
    mem_free(down);
    return status;
}

static sae_status write_files(const char *folder, const sae_dict *dict, const sae_dict_config *of,
                              sae_scaffold_export mode, sae_error *err)
{
    sae_status status = SAE_OK;
    char *cfg_path = path_join(folder, SAELENS_CONFIG_NAME, err);
    char *weights_path = path_join(folder, SAELENS_WEIGHTS_NAME, err);

    if (!cfg_path || !weights_path) {
        status = SAE_NOMEM;
        goto done;
    }
    SAE_TRY(write_config(cfg_path, &dict->config, of, mode, err));
    SAE_TRY(write_weights(weights_path, dict, err));
done:
    mem_free(cfg_path);
    mem_free(weights_path);
    return status;
}

bool saelens_is_file(const char *name)
{
    return strcmp(name, SAELENS_CONFIG_NAME) == 0 || strcmp(name, SAELENS_WEIGHTS_NAME) == 0;
}

sae_status sae_dict_save(const sae_dict *dict, const char *path, sae_scaffold_export scaffold, bool force,
                         sae_error *err)
{
    bool as_it_is = scaffold == SAE_SCAFFOLD_NATIVE || dict->config.rank == 0;
    sae_status status = SAE_OK;
    sae_dict *exported = NULL, *read = NULL;
    folder_writer folder = {0};

    if ((int)scaffold < SAE_SCAFFOLD_NATIVE || scaffold > SAE_SCAFFOLD_DROP)
        SAE_RAISE(err, SAE_RANGE, "scaffold export number %d is unknown", (int)scaffold);
    if (!saelens_kind_of(&dict->config))
        SAE_RAISE(err, SAE_UNSUPPORTED, "dictionaries of this architecture cannot be saved");
    SAE_TRY(dict_check_finite(dict, "the dictionary to be saved", err));
    if (!as_it_is) SAE_TRY(scaffold_export(dict, scaffold, &exported, err));
    SAE_TRY(folder_writer_open(&folder, path, force, saelens_is_file, err));
    SAE_TRY(write_files(folder.temporary, exported ? exported : dict, &dict->config, scaffold, err));
    SAE_TRY(sae_dict_load(&read, folder.temporary, err));
    status = saelens_verify(dict, read, scaffold, err);
    if (status != SAE_OK) {
        sae_error_prefix(err, "%s: not written", path);
        goto done;
    }
    SAE_TRY(folder_writer_commit(&folder, err));
done:
    folder_writer_abort(&folder);
    sae_dict_free(exported);
    sae_dict_free(read);
    return status;
}
