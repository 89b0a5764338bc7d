/*
 * model.h - a transformer as data, shared by the files of this folder.
 *
 *   source.c    where tensors come from: a GGUF file, or safetensors with their config.json
 *   family.c    the table of families: how a checkpoint's words become a description and its names become slots
 *   weights.c   tensors bound to slots, and expanded to f32 matrices when a product needs them
 *   model.c     open, free, info
 *   site.c      names of sites
 *   run.c       the one forward pass
 *   head.c      final norm, unembedding, logits and losses over the vocabulary in tiles
 */
#ifndef SAE_MODEL_MODEL_H
#define SAE_MODEL_MODEL_H

#include "base/base.h"
#include "base/dtype.h"
#include "io/io.h"
#include "kernels/model_ops.h"

/* ---- Description: all that the forward pass knows of a family --------------------------------------------------------- */

typedef enum norm_kind { NORM_RMS, NORM_LAYER } norm_kind;
typedef enum position_kind { POSITION_ROTARY, POSITION_LEARNED } position_kind;
typedef enum activation_kind { ACTIVATION_SILU, ACTIVATION_GELU, ACTIVATION_GELU_TANH } activation_kind;
/* Biases: a checkpoint's config may rule them out or promise them; GGUF says it by holding them. */
typedef enum presence { ABSENT, REQUIRED, IF_PRESENT } presence;

typedef struct description {
    int64_t n_layer, d_model, n_head, n_kv_head, d_head, d_mlp, n_vocab, n_ctx;
    norm_kind norm;
    double norm_eps;
    position_kind position;
    double rotary_theta;
    double attention_scale;
    bool mlp_gated;
    activation_kind activation;
    presence attention_bias, mlp_bias;
    bool tied;             /* the unembedding is the embedding */
    bool interleaved_rows; /* rows of q and k stand in pairs (2 i, 2 i + 1) where the pass wants (i, i + d_head / 2) */
    bool linear_in_out;    /* linear weights stand [in, out] */
} description;

/* ---- Source: the checkpoint's files ----------------------------------------------------------------------------------- */

typedef struct source {
    char *path; /* the GGUF file, or the folder */
    gguf *g;    /* either this, */
    json_t *config;
    safetensors **files; /* or these */
    int n_files;
    json_t *index; /* name -> number of the file in `files` */
} source;

sae_status source_open(source *out, const char *path, sae_error *err);
void source_close(source *s);
const tensor *source_find(const source *s, const char *name); /* NULL when absent */
size_t source_bytes(const source *s);
sae_status source_hash(const source *s, uint64_t *hash, sae_error *err);

/* ---- Families ----------------------------------------------------------------------------------------------------------- */

typedef enum slot {
    SLOT_EMBED,    /* [n_vocab, d_model] */
    SLOT_POSITION, /* [n_ctx, d_model] */
    SLOT_FINAL_NORM,
    SLOT_FINAL_NORM_BIAS,
    SLOT_UNEMBED, /* [n_vocab, d_model] */
    SLOT_FIRST_OF_LAYER,
    SLOT_ATTN_NORM = SLOT_FIRST_OF_LAYER,
    SLOT_ATTN_NORM_BIAS,
    SLOT_QKV, /* either this, or the next three */
    SLOT_Q,
    SLOT_K,
    SLOT_V,
    SLOT_QKV_BIAS,
    SLOT_Q_BIAS,
    SLOT_K_BIAS,
    SLOT_V_BIAS,
    SLOT_O,
    SLOT_O_BIAS,
    SLOT_MLP_NORM,
    SLOT_MLP_NORM_BIAS,
    SLOT_GATE,
    SLOT_UP,
    SLOT_GATE_BIAS,
    SLOT_UP_BIAS,
    SLOT_DOWN,
    SLOT_DOWN_BIAS,
    SLOT_COUNT
} slot;

/* The checkpoint's name of a slot; %d stands for the layer; a name that begins with / never takes the prefix. */
typedef struct slot_name {
    slot slot;
    const char *hf, *gguf;
} slot_name;

typedef struct family_row {
    const char *name;   /* model_type in config.json and general.architecture in GGUF */
    const char *prefix; /* before the HF names, unless the checkpoint leaves it out */
    const slot_name *names;
    sae_status (*from_config)(description *d, const json_t *config, const char *path, sae_error *err);
    sae_status (*from_gguf)(description *d, const gguf *g, sae_error *err);
} family_row;

/* Finds the family of a checkpoint and describes it; sizes are checked to be possible. */
sae_status family_describe(const family_row **out, description *d, const source *s, sae_error *err);
/* The checkpoint's tensor for a slot; NULL when the family has no such slot or the file no such tensor. `name` (size >= 256)
 * becomes the name that was looked for, "" when there is no such slot. */
const tensor *family_find(const family_row *f, const source *s, slot which, int64_t layer, char *name, size_t size);

/* ---- Weights ------------------------------------------------------------------------------------------------------------ */

/* A run of rows of a matrix as the checkpoint holds them. */
typedef struct matrix_part {
    tensor t;
    int64_t rows;
    int64_t interleaved_heads; /* 0, or over how many heads the rows stand in pairs */
} matrix_part;

/* A matrix of the pass: the parts below each other. */
typedef struct matrix {
    matrix_part parts[3];
    int n_parts;
    int64_t rows, columns; /* out, in */
    bool in_out;           /* stored [columns, rows] */
} matrix;

/* Vectors are f32, in model->vectors; NULL when the family has none. */
typedef struct layer_weights {
    matrix qkv, o, up, down; /* up: gate above up when gated */
    float *attn_norm, *attn_norm_bias, *qkv_bias, *o_bias, *mlp_norm, *mlp_norm_bias, *up_bias, *down_bias;
    float *expanded; /* all four matrices in f32, once they were needed and all are kept; mem_alloc'ed */
} layer_weights;

/* The f32 matrices of one layer, inside one block. */
typedef struct layer_f32 {
    float *qkv, *o, *up, *down;
} layer_f32;

struct sae_model {
    source source;
    const family_row *family;
    description d;
    sae_model_info info;
    char *name;
    char file_type[32];

    matrix embed, position, unembed; /* unembed is embed when tied */
    float *final_norm, *final_norm_bias;
    layer_weights *layers;
    float *vectors; /* all vectors; one block */

    bool expand_all;
    float *unembed_f32;  /* kept when expand_all, once it was needed */
    float *layer_block;  /* one layer's matrices, when not expand_all */
    int64_t block_layer; /* which one stands there; -1: none */

    void *scratch; /* of a run, planned by run.c; kept between runs */
    size_t scratch_bytes;
    float *rotary_cos, *rotary_sin; /* [rotary_n, d_head / 2] */
    int64_t rotary_n;

    uint64_t hash;
    bool hash_known;
};

/* Finds and checks every tensor of the description, fills layers and vectors, counts parameters. */
sae_status weights_bind(sae_model *m, sae_error *err);
void weights_free(sae_model *m);
size_t weights_layer_bytes(const sae_model *m); /* of a layer's four matrices in f32 */
/* What passes through the first n_layer layers keep of them, from the first one on. */
size_t weights_pass_bytes(const sae_model *m, int64_t n_layer);
/* The layer's matrices in f32: borrowed until the next call (or until free when all are kept). */
sae_status weights_layer(sae_model *m, int64_t index, layer_f32 *out, sae_error *err);
/* Rows [first, first + n), as they are stored, one after the other into `out`, over all threads. */
void matrix_rows(const matrix *w, int64_t first, int64_t n, float *out);
/* One row, on this thread. */
void matrix_row(const matrix *w, int64_t row, float *out);

/* ---- Parts of the pass ---------------------------------------------------------------------------------------------------- */

/* out = norm(x) row by row, over all threads; out may be x. */
void norm_rows(const description *d, int64_t n, const float *x, const float *gain, const float *bias, float *out);

/* Log-probability work over the vocabulary in tiles (head.c). `rows` [n, d_model] are normed already. logits [n, n_vocab] or NULL;
 * targets [n] (-1: no loss for this row) with losses [n], or both NULL. scratch has head_scratch() bytes. */
size_t head_scratch(const sae_model *m, int64_t n);
sae_status head_run(sae_model *m, const float *rows, int64_t n, float *logits, const int32_t *targets, float *losses,
                    void *scratch, sae_error *err);

/* W_U W_U^T [d_model, d_model] of the unembedding [d_model, n_vocab] with the final norm's gain folded in, as sae_model_unembed
 * applies it: its eigenvectors are the left singular vectors of what turns directions into logits. The caller's gram. */
sae_status model_unembed_gram(sae_model *m, double *gram, sae_error *err);

/* What a pass over n_seq sequences of n_ctx tokens takes, without logits and losses. (run.c) */
size_t run_scratch_bytes(const sae_model *m, int64_t n_seq, int64_t n_ctx);
/* Makes model->scratch hold at least `bytes`. */
sae_status scratch_reserve(sae_model *m, size_t bytes, sae_error *err);

/* What sae_site_name calls the site of an alias ("resid_post.14"), of whatever model; a name that is none stays. */
void site_full_name(const char *name, char *buffer, size_t size);
/* The place of a site in the pass: increasing with time. */
static inline int64_t site_order(sae_site site)
{
    static const int order[] = {[SAE_RESID_PRE] = 0, [SAE_ATTN_OUT] = 1, [SAE_MLP_OUT] = 2, [SAE_RESID_POST] = 3};
    return (int64_t)site.layer * 4 + order[site.hook];
}

#endif
