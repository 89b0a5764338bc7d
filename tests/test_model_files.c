/*
 * test_model_files.c - checkpoints as they come: the same model in other forms gives the same numbers; wrong, hostile and
 * unknown ones give a message that names the thing; failed allocations give back all they took.
 */
#include "io_check.h"
#include "sae.h"

#include <math.h>

#define GPT2  "data/golden/models/gpt2"
#define LLAMA "data/golden/models/llama_gqa_tied"
#define SHARD "data/golden/models/llama_bf16_sharded"

/* ---- A checkpoint in memory, to be changed and written ---------------------------------------------------------------------------- */

enum { MAX_TENSORS = 64 };

typedef struct checkpoint {
    json_t *config;
    safetensors *st;
    tensor tensors[MAX_TENSORS];
    char names[MAX_TENSORS][64];
    float *owned[MAX_TENSORS];
    int n;
} checkpoint;

static checkpoint *load(const char *folder)
{
    checkpoint *c = calloc(1, sizeof *c);
    char path[256];

    ck_assert_ptr_nonnull(c);
    snprintf(path, sizeof path, "%s/config.json", folder);
    OK(json_read_file(&c->config, path, &err));
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    OK(safetensors_open(&c->st, path, &err));
    c->n = safetensors_count(c->st);
    ck_assert_int_le(c->n, MAX_TENSORS);
    for (int i = 0; i < c->n; i++) {
        c->tensors[i] = *safetensors_at(c->st, i);
        snprintf(c->names[i], sizeof c->names[i], "%s", c->tensors[i].name);
        c->tensors[i].name = c->names[i];
    }
    return c;
}

static void unload(checkpoint *c)
{
    for (int i = 0; i < c->n; i++) free(c->owned[i]);
    json_decref(c->config);
    safetensors_close(c->st);
    free(c);
}

static int find(const checkpoint *c, const char *name)
{
    for (int i = 0; i < c->n; i++)
        if (strcmp(c->names[i], name) == 0) return i;
    ck_abort_msg("no tensor %s", name);
    return -1;
}

/* The folder scratch/model. */
static const char *write_folder(const checkpoint *c)
{
    static char folder[128];
    char path[192];

    snprintf(folder, sizeof folder, "%s/model", scratch);
    OK(folder_make(folder, &err));
    snprintf(path, sizeof path, "%s/config.json", folder);
    OK(json_write_file(c->config, path, true, &err));
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    OK(safetensors_write(path, c->tensors, c->n, NULL, true, NULL, &err));
    return folder;
}

/* ---- Running ------------------------------------------------------------------------------------------------------------------------ */

enum { N_SEQ = 2, N_CTX = 30 };

/* Logits of made-up ids, malloc'ed. */
static float *logits_of(const char *path, int64_t *n)
{
    sae_model *m = NULL;
    int32_t ids[N_SEQ * N_CTX];

    OK(sae_model_open(&m, path, NULL, &err));
    int64_t vocab = sae_model_get_info(m)->n_vocab;
    for (int i = 0; i < N_SEQ * N_CTX; i++) ids[i] = (int32_t)((i * 37 + 11) % vocab);
    *n = N_SEQ * N_CTX * vocab;
    float *logits = calloc((size_t)*n, sizeof *logits);
    ck_assert_ptr_nonnull(logits);
    OK(sae_model_run(m, &(sae_run){.ids = ids, .n_seq = N_SEQ, .n_ctx = N_CTX, .logits = logits}, &err));
    sae_model_free(m);
    return logits;
}

/* Largest difference of the logits of two checkpoints, over the largest logit. */
static double difference(const char *a, const char *b)
{
    int64_t n = 0, m = 0;
    float *x = logits_of(a, &n), *y = logits_of(b, &m);
    double worst = 0, largest = 0;

    ck_assert_int_eq(n, m);
    for (int64_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs((double)x[i] - (double)y[i]));
        largest = fmax(largest, fabs((double)y[i]));
    }
    free(x), free(y);
    return worst / largest;
}

/* Opens what must not open. */
static void refused(const char *path, sae_status expected, const char *word)
{
    sae_model *m = NULL;

    FAILS(expected, word, sae_model_open(&m, path, NULL, &err));
    ck_assert_ptr_null(m);
}

/* ---- GGUF made from the safetensors -------------------------------------------------------------------------------------------------- */

static void key_text(bytes *b, const char *key, const char *value)
{
    gguf_text(b, key);
    put_u32(b, 8);
    gguf_text(b, value);
}

static void key_f32(bytes *b, const char *key, float value)
{
    gguf_text(b, key);
    put_u32(b, 6);
    put(b, &value, sizeof value);
}

typedef struct rename_row {
    const char *hf, *gguf;
} rename_row;

static const rename_row llama_rows[] = {
    {"model.embed_tokens.weight", "token_embd.weight"},  {"model.norm.weight", "output_norm.weight"},
    {".input_layernorm.weight", ".attn_norm.weight"},    {".self_attn.q_proj.weight", ".attn_q.weight"},
    {".self_attn.k_proj.weight", ".attn_k.weight"},      {".self_attn.v_proj.weight", ".attn_v.weight"},
    {".self_attn.o_proj.weight", ".attn_output.weight"}, {".post_attention_layernorm.weight", ".ffn_norm.weight"},
    {".mlp.gate_proj.weight", ".ffn_gate.weight"},       {".mlp.up_proj.weight", ".ffn_up.weight"},
    {".mlp.down_proj.weight", ".ffn_down.weight"},       {NULL, NULL},
};

static const rename_row gpt2_rows[] = {
    {"transformer.wte.weight", "token_embd.weight"},
    {"transformer.wpe.weight", "position_embd.weight"},
    {"transformer.ln_f.weight", "output_norm.weight"},
    {"transformer.ln_f.bias", "output_norm.bias"},
    {".ln_1.weight", ".attn_norm.weight"},
    {".ln_1.bias", ".attn_norm.bias"},
    {".attn.c_attn.weight", ".attn_qkv.weight"},
    {".attn.c_attn.bias", ".attn_qkv.bias"},
    {".attn.c_proj.weight", ".attn_output.weight"},
    {".attn.c_proj.bias", ".attn_output.bias"},
    {".ln_2.weight", ".ffn_norm.weight"},
    {".ln_2.bias", ".ffn_norm.bias"},
    {".mlp.c_fc.weight", ".ffn_up.weight"},
    {".mlp.c_fc.bias", ".ffn_up.bias"},
    {".mlp.c_proj.weight", ".ffn_down.weight"},
    {".mlp.c_proj.bias", ".ffn_down.bias"},
    {NULL, NULL},
};

/* The name in GGUF; layers are the first number in the old one. */
static void gguf_name(const rename_row *rows, const char *hf, char *out, size_t size)
{
    for (const rename_row *r = rows; r->hf; r++) {
        size_t n = strlen(hf), m = strlen(r->hf);
        if (n < m || strcmp(hf + n - m, r->hf) != 0) continue;
        if (r->gguf[0] == '.')
            snprintf(out, size, "blk.%d%s", atoi(hf + strcspn(hf, "0123456789")), r->gguf);
        else
            snprintf(out, size, "%s", r->gguf);
        return;
    }
    ck_abort_msg("no GGUF name for %s", hf);
}

/* Rows (h, j, i), j in halves, become rows (h, i, j): llama.cpp's order for rotation in pairs. */
static float *interleaved(const tensor *t, int64_t heads)
{
    int64_t width = t->shape[1], d_head = t->shape[0] / heads, half = d_head / 2;
    float *out = malloc(t->bytes);

    ck_assert_ptr_nonnull(out);
    for (int64_t h = 0; h < heads; h++)
        for (int64_t j = 0; j < 2; j++)
            for (int64_t i = 0; i < half; i++)
                memcpy(out + (h * d_head + 2 * i + j) * width,
                       (const float *)t->data + (h * d_head + j * half + i) * width, (size_t)width * sizeof *out);
    return out;
}

static float *transposed(const tensor *t)
{
    float *out = malloc(t->bytes);

    ck_assert_ptr_nonnull(out);
    for (int64_t i = 0; i < t->shape[0]; i++)
        for (int64_t j = 0; j < t->shape[1]; j++)
            out[j * t->shape[0] + i] = ((const float *)t->data)[i * t->shape[1] + j];
    return out;
}

static void replace_data(checkpoint *c, int i, float *data)
{
    free(c->owned[i]);
    c->owned[i] = data;
    c->tensors[i].data = data;
}

/* Turns the tensors into GGUF's order and names. */
static void convert(checkpoint *c, bool llama)
{
    for (int i = 0; i < c->n; i++) {
        tensor *t = &c->tensors[i];
        char name[64];
        if (llama && strstr(c->names[i], "q_proj")) replace_data(c, i, interleaved(t, 4));
        if (llama && strstr(c->names[i], "k_proj")) replace_data(c, i, interleaved(t, 2));
        if (!llama && t->rank == 2 && strstr(c->names[i], ".c_")) {
            replace_data(c, i, transposed(t));
            int64_t rows = t->shape[0];
            t->shape[0] = t->shape[1];
            t->shape[1] = rows;
        }
        gguf_name(llama ? llama_rows : gpt2_rows, c->names[i], name, sizeof name);
        snprintf(c->names[i], sizeof c->names[i], "%s", name);
    }
}

static void put_tensors(bytes *b, const checkpoint *c)
{
    uint64_t offset = 0;

    for (int i = 0; i < c->n; i++) {
        const tensor *t = &c->tensors[i];
        gguf_text(b, t->name);
        put_u32(b, (uint32_t)t->rank);
        for (int k = t->rank - 1; k >= 0; k--) put_u64(b, (uint64_t)t->shape[k]);
        put_u32(b, 0); /* F32 */
        put_u64(b, offset);
        offset += (t->bytes + 31) / 32 * 32;
    }
    for (int i = 0; i < c->n; i++) {
        pad_to(b, 32);
        put(b, c->tensors[i].data, c->tensors[i].bytes);
    }
    pad_to(b, 32);
}

static bytes llama_gguf_bytes(void)
{
    checkpoint *c = load(LLAMA);
    bytes b = {0};

    convert(c, true);
    gguf_begin(&b, 3, (uint64_t)c->n, 9);
    key_text(&b, "general.architecture", "llama");
    gguf_key_u32(&b, "llama.block_count", 3);
    gguf_key_u32(&b, "llama.context_length", 64);
    gguf_key_u32(&b, "llama.embedding_length", 32);
    gguf_key_u32(&b, "llama.feed_forward_length", 56);
    gguf_key_u32(&b, "llama.attention.head_count", 4);
    gguf_key_u32(&b, "llama.attention.head_count_kv", 2);
    key_f32(&b, "llama.attention.layer_norm_rms_epsilon", 0.001F);
    key_f32(&b, "llama.rope.freq_base", 10000);
    put_tensors(&b, c);
    unload(c);
    return b;
}

START_TEST(test_gguf_llama_equals_its_safetensors)
{
    bytes b = llama_gguf_bytes();

    write_bytes(in_scratch("only.gguf"), b.data, b.n);
    /* The same f32 matrices, but for an epsilon that was rounded to f32. */
    ck_assert(difference(in_scratch("only.gguf"), LLAMA) < 1e-6);
    ck_assert(difference(scratch, LLAMA) < 1e-6); /* the folder that holds just this file */
    write_bytes(in_scratch("other.gguf"), b.data, b.n);
    refused(scratch, SAE_FORMAT, "2 GGUF files");
    bytes_free(&b);
}
END_TEST

START_TEST(test_gguf_gpt2_equals_its_safetensors)
{
    checkpoint *c = load(GPT2);
    bytes b = {0};

    convert(c, false);
    gguf_begin(&b, 3, (uint64_t)c->n, 7);
    key_text(&b, "general.architecture", "gpt2");
    gguf_key_u32(&b, "gpt2.block_count", 3);
    gguf_key_u32(&b, "gpt2.context_length", 48);
    gguf_key_u32(&b, "gpt2.embedding_length", 64);
    gguf_key_u32(&b, "gpt2.feed_forward_length", 256);
    gguf_key_u32(&b, "gpt2.attention.head_count", 4);
    key_f32(&b, "gpt2.attention.layer_norm_epsilon", 1e-5F);
    put_tensors(&b, c);
    write_bytes(in_scratch("gpt2.gguf"), b.data, b.n);
    double e = difference(in_scratch("gpt2.gguf"), GPT2);
    ck_assert_msg(e < 5e-6, "error %g", e); /* observed 0, though the products run over transposed weights */
    unload(c);
    bytes_free(&b);
}
END_TEST

/* ---- The same model in other words ------------------------------------------------------------------------------------------------------ */

START_TEST(test_names_without_their_prefix)
{
    static const char *const folders[] = {GPT2, LLAMA}, *const prefixes[] = {"transformer.", "model."};

    for (int f = 0; f < 2; f++) {
        checkpoint *c = load(folders[f]);
        for (int i = 0; i < c->n; i++) {
            size_t n = strlen(prefixes[f]);
            ck_assert(strncmp(c->names[i], prefixes[f], n) == 0);
            memmove(c->names[i], c->names[i] + n, strlen(c->names[i] + n) + 1);
        }
        ck_assert(difference(write_folder(c), folders[f]) == 0);
        unload(c);
    }
}
END_TEST

/* A llama with zero biases is the llama without; other biases tell. */
START_TEST(test_attention_biases)
{
    checkpoint *c = load(LLAMA);
    static const char *const names[] = {"q_proj", "k_proj", "v_proj", "o_proj"};
    static const int64_t sizes[] = {32, 16, 16, 32};

    json_object_set_new(c->config, "attention_bias", json_true());
    refused(write_folder(c), SAE_FORMAT, "model.layers.0.self_attn.q_proj.bias");
    for (int l = 0; l < 3; l++)
        for (int k = 0; k < 4; k++) {
            snprintf(c->names[c->n], sizeof c->names[0], "model.layers.%d.self_attn.%s.bias", l, names[k]);
            c->owned[c->n] = calloc((size_t)sizes[k], sizeof(float));
            c->tensors[c->n] = (tensor){c->names[c->n], DTYPE_F32, 1, {sizes[k]}, c->owned[c->n], (size_t)sizes[k] * 4};
            c->n++;
        }
    ck_assert(difference(write_folder(c), LLAMA) == 0);
    for (int k = 0; k < 4; k++) {
        float *bias = c->owned[c->n - 4 + k];
        bias[3] = 1;
        double e = difference(write_folder(c), LLAMA);
        ck_assert_msg(e > 1e-3, "%s: %g", names[k], e);
        bias[3] = 0;
    }
    unload(c);
}
END_TEST

/* Rows beyond a chunk of the MLP and of the head, a vocabulary beyond a tile. */
START_TEST(test_chunks_and_tiles)
{
    enum { D = 16, VOCAB = 9001, CTX = 350, SEQ = 4, ROWS = CTX * SEQ };
    checkpoint *c = load(GPT2);
    rng r = rng_seed(1, 2);
    sae_model *m = NULL;
    static int32_t ids[ROWS];
    static float nll[ROWS], alone[ROWS];
    double worst = 0, apart = 0;

    json_object_set_new(c->config, "n_embd", json_integer(D));
    json_object_set_new(c->config, "n_positions", json_integer(CTX));
    json_object_set_new(c->config, "vocab_size", json_integer(VOCAB));
    for (int i = 0; i < c->n; i++) { /* every 64 becomes 16, then the two tables */
        tensor *t = &c->tensors[i];
        for (int k = 0; k < t->rank; k++) t->shape[k] = t->shape[k] * D / 64;
        if (strstr(t->name, "wte")) t->shape[0] = VOCAB;
        if (strstr(t->name, "wpe")) t->shape[0] = CTX;
        t->bytes = (size_t)tensor_count(t) * sizeof(float);
        float *data = malloc(t->bytes);
        ck_assert_ptr_nonnull(data);
        for (int64_t j = 0; j < tensor_count(t); j++) data[j] = (float)(0.4 * rng_normal(&r));
        replace_data(c, i, data);
    }
    OK(sae_model_open(&m, write_folder(c), NULL, &err));
    for (int i = 0; i < ROWS; i++) ids[i] = (int32_t)rng_below(&r, VOCAB);
    float *logits = malloc((size_t)ROWS * VOCAB * sizeof *logits);
    ck_assert_ptr_nonnull(logits);
    OK(sae_model_run(m, &(sae_run){.ids = ids, .n_seq = SEQ, .n_ctx = CTX, .nll = nll, .logits = logits}, &err));
    OK(sae_model_run(m, &(sae_run){.ids = ids + 3 * CTX, .n_seq = 1, .n_ctx = CTX, .nll = alone}, &err));
    for (int s = 0; s < SEQ; s++)
        for (int t = 0; t + 1 < CTX; t++) {
            const float *x = logits + (size_t)(s * CTX + t) * VOCAB;
            double sum = 0;
            for (int v = 0; v < VOCAB; v++) sum += exp((double)x[v]);
            double loss = log(sum) - (double)x[ids[s * CTX + t + 1]];
            worst = fmax(worst, fabs(loss - (double)nll[s * (CTX - 1) + t]));
            if (s == 3) apart = fmax(apart, fabs((double)alone[t] - (double)nll[s * (CTX - 1) + t]));
        }
    ck_assert_msg(worst < 5e-6, "error %g", worst); /* observed 5e-7 */
    ck_assert_msg(apart < 1e-4, "error %g", apart); /* observed 0; products of another height may be split otherwise */
    free(logits);
    sae_model_free(m);
    unload(c);
}
END_TEST

/* ---- Wrong ------------------------------------------------------------------------------------------------------------------------------- */

START_TEST(test_configs_that_cannot_be)
{
    static const struct {
        const char *folder, *key, *value;
        sae_status expected;
        const char *word;
    } cases[] = {
        {LLAMA, "model_type", "\"mamba\"", SAE_UNSUPPORTED, "known are: llama, gpt2"},
        {LLAMA, "model_type", "null", SAE_FORMAT, "model_type"},
        {LLAMA, "model_type", "7", SAE_FORMAT, "model_type"},
        {LLAMA, "hidden_size", "null", SAE_FORMAT, "width"},
        {LLAMA, "hidden_size", "-32", SAE_FORMAT, "width"},
        {LLAMA, "hidden_size", "1e300", SAE_FORMAT, "hidden_size"},
        {LLAMA, "hidden_size", "9223372036854775807", SAE_FORMAT, "width"},
        {LLAMA, "hidden_size", "33", SAE_SHAPE, "expected [128, 33]"},
        {LLAMA, "num_attention_heads", "0", SAE_FORMAT, "number of heads"},
        {LLAMA, "num_attention_heads", "-9223372036854775808", SAE_FORMAT, "number of heads"},
        {LLAMA, "num_attention_heads", "5", SAE_FORMAT, "share"},
        {LLAMA, "num_key_value_heads", "3", SAE_FORMAT, "share"},
        {LLAMA, "num_key_value_heads", "0", SAE_FORMAT, "key-value"},
        {LLAMA, "head_dim", "7", SAE_FORMAT, "pairs"},
        {LLAMA, "head_dim", "-8", SAE_FORMAT, "size of a head"},
        {LLAMA, "num_hidden_layers", "4", SAE_FORMAT, "model.layers.3."},
        {LLAMA, "num_hidden_layers", "2000000000", SAE_FORMAT, "number of layers"},
        {LLAMA, "vocab_size", "127", SAE_SHAPE, "model.embed_tokens.weight"},
        {LLAMA, "vocab_size", "\"128\"", SAE_FORMAT, "vocab_size"},
        {LLAMA, "intermediate_size", "57", SAE_SHAPE, "expected [57, 32]"},
        {LLAMA, "max_position_embeddings", "0", SAE_FORMAT, "context"},
        {LLAMA, "rms_norm_eps", "-1", SAE_FORMAT, "epsilon"},
        {LLAMA, "hidden_act", "\"relu6\"", SAE_UNSUPPORTED, "relu6"},
        {LLAMA, "rope_parameters", "{\"rope_type\": \"yarn\", \"rope_theta\": 1e4}", SAE_UNSUPPORTED, "yarn"},
        {LLAMA, "rope_parameters", "[]", SAE_FORMAT, "rope_parameters"},
        {LLAMA, "rope_parameters", "{\"rope_theta\": 0}", SAE_FORMAT, "rotary"},
        {LLAMA, "rope_scaling", "{\"type\": \"linear\", \"factor\": 2}", SAE_UNSUPPORTED, "linear"},
        {LLAMA, "mlp_bias", "true", SAE_FORMAT, "gate_proj.bias"},
        {GPT2, "n_head", "3", SAE_FORMAT, "divisible"},
        {GPT2, "n_positions", "49", SAE_SHAPE, "wpe.weight"},
        {GPT2, "n_inner", "255", SAE_SHAPE, "c_fc.weight"},
        {GPT2, "scale_attn_by_inverse_layer_idx", "true", SAE_UNSUPPORTED, "inverse_layer"},
        {GPT2, "activation_function", "\"tanh\"", SAE_UNSUPPORTED, "tanh"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        checkpoint *c = load(cases[i].folder);
        json_t *value = json_loads(cases[i].value, JSON_DECODE_ANY, NULL);
        ck_assert_msg(value || strstr(cases[i].value, "1e300"), "%s", cases[i].value);
        if (!value) value = json_real(1e300);
        json_object_set_new(c->config, cases[i].key, value);
        refused(write_folder(c), cases[i].expected, cases[i].word);
        unload(c);
    }
}
END_TEST

START_TEST(test_tensors_that_do_not_fit)
{
    checkpoint *c = load(LLAMA);
    int q = find(c, "model.layers.1.self_attn.q_proj.weight"), norm = find(c, "model.norm.weight");

    strcpy(c->names[q], "model.layers.1.self_attn.query.weight");
    refused(write_folder(c), SAE_FORMAT, "tensor model.layers.1.self_attn.q_proj.weight [32, 32] is missing");
    strcpy(c->names[q], "model.layers.1.self_attn.q_proj.weight");
    c->tensors[q].shape[0] = 16, c->tensors[q].shape[1] = 64;
    refused(write_folder(c), SAE_SHAPE, "q_proj.weight has shape [16, 64], expected [32, 32]");
    c->tensors[q].shape[0] = 32, c->tensors[q].shape[1] = 32;
    c->tensors[q].type = DTYPE_I32;
    refused(write_folder(c), SAE_UNSUPPORTED, "I32");
    c->tensors[q].type = DTYPE_F32;
    c->tensors[norm].rank = 2, c->tensors[norm].shape[0] = 1, c->tensors[norm].shape[1] = 32;
    refused(write_folder(c), SAE_SHAPE, "model.norm.weight has shape [1, 32], expected [32]");
    c->tensors[norm].rank = 1, c->tensors[norm].shape[0] = 32;
    ck_assert(difference(write_folder(c), LLAMA) == 0); /* all put right again */
    unload(c);
}
END_TEST

START_TEST(test_folders_that_are_no_models)
{
    refused(scratch, SAE_FORMAT, "neither config.json nor a .gguf");
    refused("/no/such/place", SAE_IO, "no such file");
    write_bytes(in_scratch("notes.txt"), "hello", 5);
    refused(in_scratch("notes.txt"), SAE_FORMAT, "not a GGUF file");
    write_bytes(in_scratch("config.json"), "{\"model_type\": \"llama\"}", 23);
    refused(scratch, SAE_FORMAT, "neither model.safetensors");
    write_bytes(in_scratch("config.json"), "{\"model_type\": ", 15);
    refused(scratch, SAE_FORMAT, "config.json");
    write_bytes(in_scratch("config.json"), "[]", 2);
    refused(scratch, SAE_FORMAT, "object");
}
END_TEST

/* A copy of the sharded model whose index is the given text. */
static void try_index(json_t *index, sae_status expected, const char *word)
{
    OK(json_write_file(index, in_scratch("model.safetensors.index.json"), true, &err));
    refused(scratch, expected, word);
    json_decref(index);
}

START_TEST(test_shards)
{
    char **names = NULL, from[512];
    int n = 0;
    json_t *index = NULL;

    OK(folder_list(SHARD, &names, &n, &err));
    for (int i = 0; i < n; i++) {
        char *text = NULL;
        size_t size = 0;
        snprintf(from, sizeof from, "%s/%s", SHARD, names[i]);
        OK(file_read_all(from, 1 << 20, &text, &size, &err));
        write_bytes(in_scratch(names[i]), text, size);
        mem_free(text);
    }
    folder_list_free(names, n);
    ck_assert(difference(scratch, SHARD) == 0);
    OK(json_read_file(&index, SHARD "/model.safetensors.index.json", &err));

    json_t *wrong = json_deep_copy(index), *map = json_object_get(wrong, "weight_map");
    json_object_set_new(map, "lm_head.weight", json_string("model-00001-of-00007.safetensors"));
    try_index(wrong, SAE_FORMAT, "lm_head.weight");
    wrong = json_deep_copy(index), map = json_object_get(wrong, "weight_map");
    json_object_set_new(map, "lm_head.weight", json_string("model-00008-of-00007.safetensors"));
    try_index(wrong, SAE_IO, "model-00008-of-00007.safetensors");
    wrong = json_deep_copy(index), map = json_object_get(wrong, "weight_map");
    json_object_set_new(map, "lm_head.weight", json_string("../../etc/passwd"));
    try_index(wrong, SAE_FORMAT, "outside the folder");
    wrong = json_deep_copy(index), map = json_object_get(wrong, "weight_map");
    json_object_set_new(map, "lm_head.weight", json_integer(3));
    try_index(wrong, SAE_FORMAT, "must be a string");
    wrong = json_deep_copy(index), map = json_object_get(wrong, "weight_map");
    json_object_del(map, "model.norm.weight");
    try_index(wrong, SAE_FORMAT, "model.norm.weight");
    wrong = json_deep_copy(index);
    json_object_set_new(wrong, "weight_map", json_array());
    try_index(wrong, SAE_FORMAT, "weight_map");
    json_decref(index);
}
END_TEST

START_TEST(test_gguf_that_cannot_be)
{
    bytes b = llama_gguf_bytes(), other = {0};
    const struct {
        const char *from, *to;
        sae_status expected;
        const char *word;
    } cases[] = {
        {"llama.block_count", "llama.block_counx", SAE_FORMAT, "llama.block_count"},
        {"token_embd.weight", "token_embd.weighx", SAE_FORMAT, "token_embd.weight"},
        {"blk.2.ffn_up.weight", "blk.2.ffn_ux.weight", SAE_FORMAT, "blk.2.ffn_up.weight"},
        {"general.architecture", "general.architectura", SAE_FORMAT, "general.architecture"},
        {"blk.0.attn_q.weight", "rope_freqs.weightxx", SAE_FORMAT, "blk.0.attn_q.weight"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = strlen(cases[i].from);
        put(&other, b.data, b.n);
        unsigned char *at = memmem(other.data, other.n, cases[i].from, n);
        ck_assert_ptr_nonnull(at);
        memcpy(at, cases[i].to, n);
        refused(memory_file(&other), cases[i].expected, cases[i].word);
        bytes_free(&other);
    }
    bytes_free(&b);
}
END_TEST

/* Opens and, when that works, runs; only the status may tell. */
static void try_bytes(const bytes *b)
{
    sae_model *m = NULL;
    const int32_t ids[4] = {1, 2, 3, 4};
    float nll[3];

    if (sae_model_open(&m, memory_file(b), NULL, NULL) != SAE_OK) return;
    sae_model_run(m, &(sae_run){.ids = ids, .n_seq = 1, .n_ctx = 4, .nll = nll}, NULL);
    sae_model_free(m);
}

/* Cut short, or with a byte of its header changed: no crash. */
START_TEST(test_damaged_gguf)
{
    bytes b = llama_gguf_bytes();
    rng r = rng_seed(9, 9);
    const size_t header = 2600; /* keys and the table of tensors */

    for (int i = 0; i < 200; i++) {
        bytes cut = {b.data, (size_t)rng_below(&r, i % 2 ? b.n : header)};
        try_bytes(&cut);
    }
    for (int i = 0; i < 1500; i++) {
        size_t at = (size_t)rng_below(&r, header);
        unsigned char before = b.data[at];
        b.data[at] = (unsigned char)rng_next(&r);
        try_bytes(&b);
        b.data[at] = before;
    }
    bytes_free(&b);
}
END_TEST

/* ---- Failed allocations ------------------------------------------------------------------------------------------------------------------- */

static sae_status open_and_run(const char *path, int expand)
{
    sae_status status = SAE_OK;
    sae_error err = {0};
    sae_model *m = NULL;
    const int32_t ids[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    float nll[6], logits[200];

    SAE_TRY(sae_model_open(&m, path, &(sae_model_options){.expand = expand}, &err));
    SAE_TRY(sae_model_run(m, &(sae_run){.ids = ids, .n_seq = 2, .n_ctx = 4, .nll = nll}, &err));
    SAE_TRY(sae_model_unembed(m, (float[64]){1}, 1, true, logits, &err));
done:
    sae_model_free(m);
    if (status != SAE_OK) ck_assert_msg(err.code == status, "%s without a message", sae_status_name(status));
    return status;
}

START_TEST(test_no_memory)
{
    static const char *const paths[] = {GPT2, LLAMA, SHARD};
    sae_status status;

    for (int i = 0; i < 6; i++) {
        int64_t nth = 0;
        do {
            mem_fail_nth(++nth);
            status = open_and_run(paths[i % 3], 1 + i / 3);
            mem_fail_nth(0);
            ck_assert_msg(status == SAE_OK || status == SAE_NOMEM, "%s", sae_status_name(status));
            ck_assert_uint_eq(mem_in_use(), 0);
        } while (status != SAE_OK);
        ck_assert_int_gt(nth, 10);
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_gguf_llama_equals_its_safetensors,
        test_gguf_gpt2_equals_its_safetensors,
        test_names_without_their_prefix,
        test_attention_biases,
        test_chunks_and_tiles,
        test_configs_that_cannot_be,
        test_tensors_that_do_not_fit,
        test_folders_that_are_no_models,
        test_shards,
        test_gguf_that_cannot_be,
        test_damaged_gguf,
        test_no_memory,
    };

    return run_tests("checkpoints", tests, sizeof tests / sizeof *tests);
}
