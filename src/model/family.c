/*
 * family.c - the table of families. A family is a row: how the words of config.json and of GGUF metadata become a
 * description, and which names its checkpoints give to the slots. A new family is a new row, never a new forward pass.
 */
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Words that several families share ------------------------------------------------------------------------------------- */

typedef struct activation_word {
    const char *word;
    activation_kind kind;
} activation_word;

static const activation_word activation_words[] = {
    {"silu", ACTIVATION_SILU},           {"swish", ACTIVATION_SILU},
    {"gelu", ACTIVATION_GELU},           {"gelu_new", ACTIVATION_GELU_TANH},
    {"gelu_fast", ACTIVATION_GELU_TANH}, {"gelu_pytorch_tanh", ACTIVATION_GELU_TANH},
};

static sae_status get_activation(const json_t *config, const char *key, const char *otherwise, activation_kind *out,
                                 const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *word = NULL;

    SAE_TRY(json_get_string(config, key, otherwise, &word, path, err));
    for (size_t i = 0; i < sizeof activation_words / sizeof *activation_words; i++)
        if (strcmp(word, activation_words[i].word) == 0) {
            *out = activation_words[i].kind;
            return SAE_OK;
        }
    SAE_RAISE(err, SAE_UNSUPPORTED, "%s: \"%s\": \"%s\" is not an activation known here (silu, gelu, gelu_new)", path,
              key, word);
done:
    return status;
}

/* A size that must be given. */
static sae_status need_int(const json_t *config, const char *key, int64_t *out, const char *path, sae_error *err)
{
    if (!json_object_get(config, key)) return SAE_FAIL(err, SAE_FORMAT, "%s: \"%s\" is missing", path, key);
    return json_get_int(config, key, -1, out, path, err);
}

static sae_status check_scaling_word(const char *type, const char *where, sae_error *err)
{
    if (!type || strcmp(type, "default") == 0 || strcmp(type, "none") == 0) return SAE_OK;
    return SAE_FAIL(err, SAE_UNSUPPORTED,
                    "%s: rotary scaling of type \"%s\" is not done here; only unscaled positions are", where, type);
}

/* Rotary positions: version 5 of transformers keeps all in "rope_parameters", version 4 has "rope_theta" beside an object
 * or null "rope_scaling" whose type stands under "rope_type" or, older, "type". */
static sae_status get_rotary(description *d, const json_t *config, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    static const char *const places[] = {"rope_parameters", "rope_scaling"};
    const char *type = NULL;

    d->position = POSITION_ROTARY;
    SAE_TRY(json_get_double(config, "rope_theta", 10000, &d->rotary_theta, path, err));
    for (int i = 0; i < 2; i++) {
        const json_t *object = json_object_get(config, places[i]);
        if (!object || json_is_null(object)) continue;
        if (!json_is_object(object)) SAE_RAISE(err, SAE_FORMAT, "%s: \"%s\" must be an object", path, places[i]);
        SAE_TRY(json_get_double(object, "rope_theta", d->rotary_theta, &d->rotary_theta, path, err));
        SAE_TRY(json_get_string(object, "type", NULL, &type, path, err));
        SAE_TRY(json_get_string(object, "rope_type", type, &type, path, err));
        SAE_TRY(check_scaling_word(type, path, err));
    }
done:
    return status;
}

/* "llama" + ".block_count" */
static const char *gguf_key(const char *family, const char *rest, char *buffer, size_t size)
{
    snprintf(buffer, size, "%s.%s", family, rest);
    return buffer;
}

static sae_status gguf_sizes(description *d, const char *family, const gguf *g, sae_error *err)
{
    sae_status status = SAE_OK;
    char key[128];
    const char *text = NULL;
    size_t bytes = 0;

#define KEY(rest) gguf_key(family, rest, key, sizeof key)
    SAE_TRY(gguf_int(g, KEY("block_count"), &d->n_layer, err));
    SAE_TRY(gguf_int(g, KEY("embedding_length"), &d->d_model, err));
    SAE_TRY(gguf_int(g, KEY("attention.head_count"), &d->n_head, err));
    SAE_TRY(gguf_int_or(g, KEY("attention.head_count_kv"), d->n_head, &d->n_kv_head, err));
    SAE_TRY(gguf_int_or(g, KEY("attention.key_length"), d->n_head > 0 ? d->d_model / d->n_head : 0, &d->d_head, err));
    SAE_TRY(gguf_int(g, KEY("feed_forward_length"), &d->d_mlp, err));
    SAE_TRY(gguf_int(g, KEY("context_length"), &d->n_ctx, err));
    SAE_TRY(gguf_string_or_null(g, KEY("rope.scaling.type"), &text, &bytes, err));
    if (text) {
        snprintf(key, sizeof key, "%.*s", (int)(bytes < 64 ? bytes : 64), text);
        SAE_TRY(check_scaling_word(key, gguf_path(g), err));
    }
    if (gguf_find(g, "rope_freqs.weight"))
        SAE_TRY(check_scaling_word("llama3 (tensor rope_freqs.weight)", gguf_path(g), err));
    /* The number of tokens is the embedding's: metadata may lack it. GGUF's own order was turned round by the reader. */
    const tensor *embed = gguf_find(g, "token_embd.weight");
    if (!embed) SAE_RAISE(err, SAE_FORMAT, "%s: tensor token_embd.weight is missing", gguf_path(g));
    d->n_vocab = embed->rank > 0 ? embed->shape[0] : 0;
    d->tied = gguf_find(g, "output.weight") == NULL;
    d->attention_bias = d->mlp_bias = IF_PRESENT;
done:
    return status;
#undef KEY
}

/* ---- llama ---------------------------------------------------------------------------------------------------------------------- */

static sae_status llama_config(description *d, const json_t *config, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    bool attention_bias = false, mlp_bias = false;

    SAE_TRY(need_int(config, "num_hidden_layers", &d->n_layer, path, err));
    SAE_TRY(need_int(config, "hidden_size", &d->d_model, path, err));
    SAE_TRY(need_int(config, "num_attention_heads", &d->n_head, path, err));
    SAE_TRY(json_get_int(config, "num_key_value_heads", d->n_head, &d->n_kv_head, path, err));
    SAE_TRY(json_get_int(config, "head_dim", d->n_head > 0 ? d->d_model / d->n_head : 0, &d->d_head, path, err));
    SAE_TRY(need_int(config, "intermediate_size", &d->d_mlp, path, err));
    SAE_TRY(need_int(config, "vocab_size", &d->n_vocab, path, err));
    SAE_TRY(json_get_int(config, "max_position_embeddings", 2048, &d->n_ctx, path, err));
    SAE_TRY(json_get_double(config, "rms_norm_eps", 1e-6, &d->norm_eps, path, err));
    SAE_TRY(get_rotary(d, config, path, err));
    SAE_TRY(get_activation(config, "hidden_act", "silu", &d->activation, path, err));
    SAE_TRY(json_get_bool(config, "attention_bias", false, &attention_bias, path, err));
    SAE_TRY(json_get_bool(config, "mlp_bias", false, &mlp_bias, path, err));
    SAE_TRY(json_get_bool(config, "tie_word_embeddings", false, &d->tied, path, err));
    d->norm = NORM_RMS;
    d->mlp_gated = true;
    d->attention_bias = attention_bias ? REQUIRED : ABSENT;
    d->mlp_bias = mlp_bias ? REQUIRED : ABSENT;
    d->attention_scale = 1 / sqrt((double)d->d_head);
done:
    return status;
}

/* llama.cpp stores the rows of q and k of this family in pairs, for its interleaved rotation. */
static sae_status llama_gguf(description *d, const gguf *g, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t rotated = 0;

    SAE_TRY(gguf_sizes(d, "llama", g, err));
    SAE_TRY(gguf_float_or(g, "llama.attention.layer_norm_rms_epsilon", 1e-5, &d->norm_eps, err));
    SAE_TRY(gguf_float_or(g, "llama.rope.freq_base", 10000, &d->rotary_theta, err));
    SAE_TRY(gguf_int_or(g, "llama.rope.dimension_count", d->d_head, &rotated, err));
    if (rotated != d->d_head)
        SAE_RAISE(err, SAE_UNSUPPORTED,
                  "%s: llama.rope.dimension_count %lld: only rotation of whole heads (%lld) is done", gguf_path(g),
                  (long long)rotated, (long long)d->d_head);
    SAE_TRY(gguf_int_or(g, "llama.expert_count", 0, &rotated, err));
    if (rotated != 0)
        SAE_RAISE(err, SAE_UNSUPPORTED, "%s: a mixture of %lld experts is not done here", gguf_path(g),
                  (long long)rotated);
    d->position = POSITION_ROTARY;
    d->norm = NORM_RMS;
    d->mlp_gated = true;
    d->activation = ACTIVATION_SILU;
    d->interleaved_rows = true;
    d->attention_scale = 1 / sqrt((double)d->d_head);
done:
    return status;
}

static const slot_name llama_names[] = {
    {SLOT_EMBED, "embed_tokens.weight", "token_embd.weight"},
    {SLOT_FINAL_NORM, "norm.weight", "output_norm.weight"},
    {SLOT_UNEMBED, "/lm_head.weight", "output.weight"},
    {SLOT_ATTN_NORM, "layers.%d.input_layernorm.weight", "blk.%d.attn_norm.weight"},
    {SLOT_Q, "layers.%d.self_attn.q_proj.weight", "blk.%d.attn_q.weight"},
    {SLOT_K, "layers.%d.self_attn.k_proj.weight", "blk.%d.attn_k.weight"},
    {SLOT_V, "layers.%d.self_attn.v_proj.weight", "blk.%d.attn_v.weight"},
    {SLOT_Q_BIAS, "layers.%d.self_attn.q_proj.bias", "blk.%d.attn_q.bias"},
    {SLOT_K_BIAS, "layers.%d.self_attn.k_proj.bias", "blk.%d.attn_k.bias"},
    {SLOT_V_BIAS, "layers.%d.self_attn.v_proj.bias", "blk.%d.attn_v.bias"},
    {SLOT_O, "layers.%d.self_attn.o_proj.weight", "blk.%d.attn_output.weight"},
    {SLOT_O_BIAS, "layers.%d.self_attn.o_proj.bias", "blk.%d.attn_output.bias"},
    {SLOT_MLP_NORM, "layers.%d.post_attention_layernorm.weight", "blk.%d.ffn_norm.weight"},
    {SLOT_GATE, "layers.%d.mlp.gate_proj.weight", "blk.%d.ffn_gate.weight"},
    {SLOT_GATE_BIAS, "layers.%d.mlp.gate_proj.bias", "blk.%d.ffn_gate.bias"},
    {SLOT_UP, "layers.%d.mlp.up_proj.weight", "blk.%d.ffn_up.weight"},
    {SLOT_UP_BIAS, "layers.%d.mlp.up_proj.bias", "blk.%d.ffn_up.bias"},
    {SLOT_DOWN, "layers.%d.mlp.down_proj.weight", "blk.%d.ffn_down.weight"},
    {SLOT_DOWN_BIAS, "layers.%d.mlp.down_proj.bias", "blk.%d.ffn_down.bias"},
    {SLOT_COUNT, NULL, NULL},
};

/* ---- gpt2 ----------------------------------------------------------------------------------------------------------------------- */

static sae_status gpt2_config(description *d, const json_t *config, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    bool scale = true, by_layer = false;

    SAE_TRY(need_int(config, "n_layer", &d->n_layer, path, err));
    SAE_TRY(need_int(config, "n_embd", &d->d_model, path, err));
    SAE_TRY(need_int(config, "n_head", &d->n_head, path, err));
    SAE_TRY(need_int(config, "vocab_size", &d->n_vocab, path, err));
    SAE_TRY(json_get_int(config, "n_ctx", 1024, &d->n_ctx, path, err));
    SAE_TRY(json_get_int(config, "n_positions", d->n_ctx, &d->n_ctx, path, err));
    d->n_kv_head = d->n_head;
    d->d_head = d->n_head > 0 ? d->d_model / d->n_head : 0;
    SAE_TRY(json_get_int(config, "n_inner", -1, &d->d_mlp, path, err));
    if (d->d_mlp == -1 && d->d_model > 0 && d->d_model < INT32_MAX) d->d_mlp = 4 * d->d_model;
    SAE_TRY(json_get_double(config, "layer_norm_epsilon", 1e-5, &d->norm_eps, path, err));
    SAE_TRY(get_activation(config, "activation_function", "gelu_new", &d->activation, path, err));
    SAE_TRY(json_get_bool(config, "tie_word_embeddings", true, &d->tied, path, err));
    SAE_TRY(json_get_bool(config, "scale_attn_weights", true, &scale, path, err));
    SAE_TRY(json_get_bool(config, "scale_attn_by_inverse_layer_idx", false, &by_layer, path, err));
    if (by_layer) SAE_RAISE(err, SAE_UNSUPPORTED, "%s: \"scale_attn_by_inverse_layer_idx\" is not done here", path);
    d->norm = NORM_LAYER;
    d->position = POSITION_LEARNED;
    d->attention_bias = d->mlp_bias = REQUIRED;
    d->attention_scale = scale ? 1 / sqrt((double)d->d_head) : 1;
    d->linear_in_out = true; /* transformers' Conv1D */
done:
    return status;
}

static sae_status gpt2_gguf(description *d, const gguf *g, sae_error *err)
{
    sae_status status = SAE_OK;

    SAE_TRY(gguf_sizes(d, "gpt2", g, err));
    SAE_TRY(gguf_float_or(g, "gpt2.attention.layer_norm_epsilon", 1e-5, &d->norm_eps, err));
    d->norm = NORM_LAYER;
    d->position = POSITION_LEARNED;
    d->activation = ACTIVATION_GELU_TANH;
    d->attention_bias = d->mlp_bias = REQUIRED;
    d->attention_scale = 1 / sqrt((double)d->d_head);
done:
    return status;
}

static const slot_name gpt2_names[] = {
    {SLOT_EMBED, "wte.weight", "token_embd.weight"},
    {SLOT_POSITION, "wpe.weight", "position_embd.weight"},
    {SLOT_FINAL_NORM, "ln_f.weight", "output_norm.weight"},
    {SLOT_FINAL_NORM_BIAS, "ln_f.bias", "output_norm.bias"},
    {SLOT_UNEMBED, "/lm_head.weight", "output.weight"},
    {SLOT_ATTN_NORM, "h.%d.ln_1.weight", "blk.%d.attn_norm.weight"},
    {SLOT_ATTN_NORM_BIAS, "h.%d.ln_1.bias", "blk.%d.attn_norm.bias"},
    {SLOT_QKV, "h.%d.attn.c_attn.weight", "blk.%d.attn_qkv.weight"},
    {SLOT_QKV_BIAS, "h.%d.attn.c_attn.bias", "blk.%d.attn_qkv.bias"},
    {SLOT_O, "h.%d.attn.c_proj.weight", "blk.%d.attn_output.weight"},
    {SLOT_O_BIAS, "h.%d.attn.c_proj.bias", "blk.%d.attn_output.bias"},
    {SLOT_MLP_NORM, "h.%d.ln_2.weight", "blk.%d.ffn_norm.weight"},
    {SLOT_MLP_NORM_BIAS, "h.%d.ln_2.bias", "blk.%d.ffn_norm.bias"},
    {SLOT_UP, "h.%d.mlp.c_fc.weight", "blk.%d.ffn_up.weight"},
    {SLOT_UP_BIAS, "h.%d.mlp.c_fc.bias", "blk.%d.ffn_up.bias"},
    {SLOT_DOWN, "h.%d.mlp.c_proj.weight", "blk.%d.ffn_down.weight"},
    {SLOT_DOWN_BIAS, "h.%d.mlp.c_proj.bias", "blk.%d.ffn_down.bias"},
    {SLOT_COUNT, NULL, NULL},
};

/* ---- The table ------------------------------------------------------------------------------------------------------------------- */

static const family_row families[] = {
    {"llama", "model.", llama_names, llama_config, llama_gguf},
    {"gpt2", "transformer.", gpt2_names, gpt2_config, gpt2_gguf},
};
enum { N_FAMILY = sizeof families / sizeof *families };

static sae_status find_family(const family_row **out, const char *name, const char *path, sae_error *err)
{
    char known[256] = "";

    for (int i = 0; i < N_FAMILY; i++) {
        if (strcmp(families[i].name, name) == 0) {
            *out = &families[i];
            return SAE_OK;
        }
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", families[i].name);
    }
    return SAE_FAIL(err, SAE_UNSUPPORTED, "%s: architecture \"%s\" is not known here; known are: %s", path, name,
                    known);
}

/* What any pass needs, whatever file it came from. The limits only keep products of sizes inside 64 bits: that tensors of
 * these shapes exist is checked when they are bound. */
static sae_status check_sizes(const description *d, const char *path, sae_error *err)
{
    const struct {
        const char *what;
        int64_t value, most;
    } sizes[] = {
        {"number of layers", d->n_layer, 10000},         {"model width", d->d_model, 1 << 20},
        {"number of heads", d->n_head, 1 << 16},         {"number of key-value heads", d->n_kv_head, 1 << 16},
        {"size of a head", d->d_head, 1 << 14},          {"width of the MLP", d->d_mlp, 1 << 24},
        {"size of the vocabulary", d->n_vocab, 1 << 24}, {"context length", d->n_ctx, 1 << 28},
    };

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].value < 1 || sizes[i].value > sizes[i].most)
            return SAE_FAIL(err, SAE_FORMAT, "%s: %s is %lld; it must be 1 to %lld", path, sizes[i].what,
                            (long long)sizes[i].value, (long long)sizes[i].most);
    if (d->n_head % d->n_kv_head != 0)
        return SAE_FAIL(err, SAE_FORMAT, "%s: %lld heads cannot share %lld key-value heads evenly", path,
                        (long long)d->n_head, (long long)d->n_kv_head);
    if (d->position == POSITION_ROTARY && d->d_head % 2 != 0)
        return SAE_FAIL(err, SAE_FORMAT, "%s: heads of %lld cannot be rotated in pairs", path, (long long)d->d_head);
    if (!(d->norm_eps >= 0 && d->norm_eps < 1))
        return SAE_FAIL(err, SAE_FORMAT, "%s: epsilon of the norms is %g; it must be 0 to 1", path, d->norm_eps);
    if (d->position == POSITION_ROTARY && !(d->rotary_theta > 0 && isfinite(d->rotary_theta)))
        return SAE_FAIL(err, SAE_FORMAT, "%s: base of the rotary positions is %g; it must be positive", path,
                        d->rotary_theta);
    return SAE_OK;
}

/* Or whether the size of a head was worked out as width / heads. */
static bool head_size_given(const source *s, const family_row *f)
{
    char key[128];

    if (!s->g) return json_is_number(json_object_get(s->config, "head_dim"));
    return gguf_has(s->g, gguf_key(f->name, "attention.key_length", key, sizeof key));
}

sae_status family_describe(const family_row **out, description *d, const source *s, sae_error *err)
{
    sae_status status = SAE_OK;
    char name[64], path[512];
    const char *text = NULL;
    size_t bytes = 0;

    *d = (description){0};
    if (s->g) {
        snprintf(path, sizeof path, "%s", s->path);
        SAE_TRY(gguf_string_or_null(s->g, "general.architecture", &text, &bytes, err));
        if (!text) SAE_RAISE(err, SAE_FORMAT, "%s: metadata general.architecture is missing: not a model", path);
        snprintf(name, sizeof name, "%.*s", (int)(bytes < sizeof name ? bytes : sizeof name - 1), text);
        SAE_TRY(find_family(out, name, path, err));
        SAE_TRY((*out)->from_gguf(d, s->g, err));
    } else {
        snprintf(path, sizeof path, "%s/config.json", s->path);
        SAE_TRY(json_get_string(s->config, "model_type", NULL, &text, path, err));
        if (!text) SAE_RAISE(err, SAE_FORMAT, "%s: \"model_type\" is missing: not a model's configuration", path);
        SAE_TRY(find_family(out, text, path, err));
        SAE_TRY((*out)->from_config(d, s->config, path, err));
    }
    SAE_TRY(check_sizes(d, path, err));
    if (!head_size_given(s, *out) && d->d_head * d->n_head != d->d_model)
        SAE_RAISE(err, SAE_FORMAT, "%s: width %lld is not divisible by %lld heads", path, (long long)d->d_model,
                  (long long)d->n_head);
done:
    return status;
}

const tensor *family_find(const family_row *f, const source *s, slot which, int64_t layer, char *name, size_t size)
{
    char bare[128] = "";

    name[0] = '\0';
    for (const slot_name *row = f->names; row->slot != SLOT_COUNT; row++) {
        if (row->slot != which) continue;
        const char *form = s->g ? row->gguf : row->hf;
        const char *mark = strstr(form, "%d");
        if (mark)
            snprintf(bare, sizeof bare, "%.*s%lld%s", (int)(mark - form), form, (long long)layer, mark + 2);
        else
            snprintf(bare, sizeof bare, "%s", form);
    }
    if (!bare[0]) return NULL;
    bool no_prefix = s->g || bare[0] == '/';
    snprintf(name, size, "%s%s", no_prefix ? "" : f->prefix, bare[0] == '/' ? bare + 1 : bare);
    const tensor *t = source_find(s, name);
    if (!t && !no_prefix) t = source_find(s, bare);
    return t;
}
