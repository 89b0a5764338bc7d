/*
 * weights.c - a checkpoint's tensors bound to the slots of a description, and expanded to f32 when a product needs them.
 *
 * Matrices stay mapped in the file's own type. q, k and v become one matrix, gate and up another, so that a layer has four
 * products. Vectors (norms, biases) are small and are expanded when the model is opened.
 */
#include "model/model.h"

#include "kernels/dequant.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* ---- Finding and checking ---------------------------------------------------------------------------------------------------- */

static bool float_like(dtype type)
{
    switch (type) {
    case DTYPE_F32:
    case DTYPE_F16:
    case DTYPE_BF16:
    case DTYPE_F64:
    case DTYPE_Q8_0:
    case DTYPE_Q4_0:
    case DTYPE_Q4_1: return true;
    default: return false;
    }
}

/* A tensor that must have the given shape (rank 1 when columns is 0); *out is NULL when it is absent and may be. */
static sae_status find_tensor(const sae_model *m, slot which, int64_t index, int64_t rows, int64_t columns,
                              presence wanted, const tensor **out, sae_error *err)
{
    char name[256], found[128], expected[128];
    const tensor *t = wanted == ABSENT ? NULL : family_find(m->family, &m->source, which, index, name, sizeof name);
    tensor shape = {.rank = columns ? 2 : 1, .shape = {rows, columns}};

    *out = NULL;
    if (wanted == ABSENT || (wanted == IF_PRESENT && !t)) return SAE_OK;
    tensor_shape_text(&shape, expected, sizeof expected);
    if (!t)
        return SAE_FAIL(err, SAE_FORMAT, "%s: tensor %s %s is missing: a %s model needs it", m->source.path, name,
                        expected, m->family->name);
    bool fits = t->rank == shape.rank && t->shape[0] == rows && (!columns || t->shape[1] == columns);
    if (!fits)
        return SAE_FAIL(err, SAE_SHAPE, "%s: tensor %s has shape %s, expected %s from the model's configuration",
                        m->source.path, name, tensor_shape_text(t, found, sizeof found), expected);
    if (!float_like(t->type))
        return SAE_FAIL(err, SAE_UNSUPPORTED, "%s: tensor %s has type %s, which is no type for weights", m->source.path,
                        name, dtype_table[t->type].name);
    int64_t width = columns ? columns : rows;
    if (width % dtype_table[t->type].block_elems != 0)
        return SAE_FAIL(err, SAE_SHAPE, "%s: tensor %s: rows of %lld are no whole number of %s blocks", m->source.path,
                        name, (long long)width, dtype_table[t->type].name);
    *out = t;
    return SAE_OK;
}

/* ---- Matrices ---------------------------------------------------------------------------------------------------------------- */

/* Puts the tensor of a slot below what the matrix holds. `interleaved_heads`: see matrix_part. */
static sae_status append_part(sae_model *m, matrix *w, slot which, int64_t index, int64_t rows, int64_t columns,
                              int64_t interleaved_heads, bool in_out, sae_error *err)
{
    const tensor *t = NULL;
    sae_status status =
        find_tensor(m, which, index, in_out ? columns : rows, in_out ? rows : columns, REQUIRED, &t, err);

    if (status != SAE_OK) return status;
    assert(w->n_parts < 3 && !(in_out && w->n_parts > 0));
    w->parts[w->n_parts++] = (matrix_part){*t, in_out ? columns : rows, interleaved_heads};
    w->rows += rows;
    w->columns = columns;
    w->in_out = in_out;
    m->info.n_params += rows * columns;
    return SAE_OK;
}

static bool has_slot(const family_row *f, slot which)
{
    for (const slot_name *row = f->names; row->slot != SLOT_COUNT; row++)
        if (row->slot == which) return true;
    return false;
}

static sae_status bind_matrices(sae_model *m, layer_weights *l, int64_t i, sae_error *err)
{
    sae_status status = SAE_OK;
    const description *d = &m->d;
    int64_t q = d->n_head * d->d_head, kv = d->n_kv_head * d->d_head;
    bool in_out = d->linear_in_out;
    int64_t q_pairs = d->interleaved_rows ? d->n_head : 0, k_pairs = d->interleaved_rows ? d->n_kv_head : 0;

    if (has_slot(m->family, SLOT_QKV)) {
        SAE_TRY(append_part(m, &l->qkv, SLOT_QKV, i, q + 2 * kv, d->d_model, 0, in_out, err));
    } else {
        SAE_TRY(append_part(m, &l->qkv, SLOT_Q, i, q, d->d_model, q_pairs, in_out, err));
        SAE_TRY(append_part(m, &l->qkv, SLOT_K, i, kv, d->d_model, k_pairs, in_out, err));
        SAE_TRY(append_part(m, &l->qkv, SLOT_V, i, kv, d->d_model, 0, in_out, err));
    }
    SAE_TRY(append_part(m, &l->o, SLOT_O, i, d->d_model, q, 0, in_out, err));
    if (d->mlp_gated) SAE_TRY(append_part(m, &l->up, SLOT_GATE, i, d->d_mlp, d->d_model, 0, in_out, err));
    SAE_TRY(append_part(m, &l->up, SLOT_UP, i, d->d_mlp, d->d_model, 0, in_out, err));
    SAE_TRY(append_part(m, &l->down, SLOT_DOWN, i, d->d_model, d->d_mlp, 0, in_out, err));
done:
    return status;
}

/* Where the pass's row stands in the part's file order: row j of a head's first half is the file's 2 j, of its second
 * half the file's 2 j + 1. */
static int64_t file_row(const matrix_part *part, int64_t row)
{
    if (!part->interleaved_heads) return row;
    int64_t d_head = part->rows / part->interleaved_heads, half = d_head / 2;
    int64_t head = row / d_head, place = row % d_head;
    return head * d_head + 2 * (place % half) + place / half;
}

void matrix_row(const matrix *w, int64_t row, float *out)
{
    const matrix_part *part = w->parts;
    int64_t width = w->in_out ? w->rows : w->columns;

    while (row >= part->rows) row -= part++->rows;
    dtype type = part->t.type;
    size_t stride = (size_t)(width / dtype_table[type].block_elems) * (size_t)dtype_table[type].block_bytes;
    dequant_f32(type, (const unsigned char *)part->t.data + (size_t)file_row(part, row) * stride, width, out);
}

void matrix_rows(const matrix *w, int64_t first, int64_t n, float *out)
{
    int64_t width = w->in_out ? w->rows : w->columns;

#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) matrix_row(w, first + i, out + i * width);
}

static void matrix_expand(const matrix *w, float *out) { matrix_rows(w, 0, w->in_out ? w->columns : w->rows, out); }

/* ---- Vectors ------------------------------------------------------------------------------------------------------------------ */

/* Expands one vector into out [n]; without `fill` only checks and counts it. */
static sae_status read_vector(sae_model *m, slot which, int64_t index, int64_t n, int64_t interleaved_heads, bool fill,
                              float *out, sae_error *err)
{
    const tensor *t = NULL;
    sae_status status = find_tensor(m, which, index, n, 0, REQUIRED, &t, err);

    if (status != SAE_OK) return status;
    if (!fill) {
        m->info.n_params += n;
        return SAE_OK;
    }
    dequant_f32(t->type, t->data, n, out);
    if (interleaved_heads) { /* as the rows of its matrix */
        float *copy = mem_alloc_array((size_t)n, sizeof *copy, "a bias", err);
        if (!copy) return SAE_NOMEM;
        memcpy(copy, out, (size_t)n * sizeof *copy);
        matrix_part part = {.rows = n, .interleaved_heads = interleaved_heads};
        for (int64_t i = 0; i < n; i++) out[i] = copy[file_row(&part, i)];
        mem_free(copy);
    }
    return SAE_OK;
}

/* Up to three slots that become one vector. It is there when `wanted` says so, or when the file holds any of them. */
typedef struct vector_piece {
    slot slot;
    int64_t n, interleaved_heads;
} vector_piece;

static sae_status bind_vector(sae_model *m, arena *a, int64_t index, presence wanted, const vector_piece *pieces,
                              int n_pieces, float **out, sae_error *err)
{
    sae_status status = SAE_OK;
    char name[256];
    int64_t total = 0, at = 0;

    for (int i = 0; i < n_pieces; i++) {
        if (wanted == IF_PRESENT && family_find(m->family, &m->source, pieces[i].slot, index, name, sizeof name))
            wanted = REQUIRED;
        total += pieces[i].n;
    }
    if (wanted != REQUIRED) return SAE_OK;
    float *vector = arena_take(a, (size_t)total * sizeof *vector);
    for (int i = 0; i < n_pieces; i++) {
        SAE_TRY(read_vector(m, pieces[i].slot, index, pieces[i].n, pieces[i].interleaved_heads, a->base != NULL,
                            vector ? vector + at : NULL, err));
        at += pieces[i].n;
    }
    *out = vector;
done:
    return status;
}

static sae_status bind_one(sae_model *m, arena *a, int64_t index, presence wanted, slot which, int64_t n, float **out,
                           sae_error *err)
{
    return bind_vector(m, a, index, wanted, &(vector_piece){which, n, 0}, 1, out, err);
}

static sae_status bind_layer_vectors(sae_model *m, arena *a, int64_t i, sae_error *err)
{
    sae_status status = SAE_OK;
    const description *d = &m->d;
    layer_weights *l = &m->layers[i];
    int64_t q = d->n_head * d->d_head, kv = d->n_kv_head * d->d_head;
    presence norm_bias = d->norm == NORM_LAYER ? REQUIRED : ABSENT;
    int64_t q_pairs = d->interleaved_rows ? d->n_head : 0, k_pairs = d->interleaved_rows ? d->n_kv_head : 0;
    const vector_piece qkv = {SLOT_QKV_BIAS, q + 2 * kv, 0};
    const vector_piece q_k_v[] = {{SLOT_Q_BIAS, q, q_pairs}, {SLOT_K_BIAS, kv, k_pairs}, {SLOT_V_BIAS, kv, 0}};
    const vector_piece gate_up[] = {{SLOT_GATE_BIAS, d->d_mlp, 0}, {SLOT_UP_BIAS, d->d_mlp, 0}};
    bool fused = has_slot(m->family, SLOT_QKV);

    SAE_TRY(bind_one(m, a, i, REQUIRED, SLOT_ATTN_NORM, d->d_model, &l->attn_norm, err));
    SAE_TRY(bind_one(m, a, i, norm_bias, SLOT_ATTN_NORM_BIAS, d->d_model, &l->attn_norm_bias, err));
    SAE_TRY(bind_vector(m, a, i, d->attention_bias, fused ? &qkv : q_k_v, fused ? 1 : 3, &l->qkv_bias, err));
    SAE_TRY(bind_one(m, a, i, d->attention_bias, SLOT_O_BIAS, d->d_model, &l->o_bias, err));
    SAE_TRY(bind_one(m, a, i, REQUIRED, SLOT_MLP_NORM, d->d_model, &l->mlp_norm, err));
    SAE_TRY(bind_one(m, a, i, norm_bias, SLOT_MLP_NORM_BIAS, d->d_model, &l->mlp_norm_bias, err));
    SAE_TRY(bind_vector(m, a, i, d->mlp_bias, d->mlp_gated ? gate_up : gate_up + 1, d->mlp_gated ? 2 : 1, &l->up_bias,
                        err));
    SAE_TRY(bind_one(m, a, i, d->mlp_bias, SLOT_DOWN_BIAS, d->d_model, &l->down_bias, err));
done:
    return status;
}

static sae_status bind_vectors(sae_model *m, arena *a, sae_error *err)
{
    sae_status status = SAE_OK;
    presence norm_bias = m->d.norm == NORM_LAYER ? REQUIRED : ABSENT;

    for (int64_t i = 0; i < m->d.n_layer; i++) SAE_TRY(bind_layer_vectors(m, a, i, err));
    SAE_TRY(bind_one(m, a, 0, REQUIRED, SLOT_FINAL_NORM, m->d.d_model, &m->final_norm, err));
    SAE_TRY(bind_one(m, a, 0, norm_bias, SLOT_FINAL_NORM_BIAS, m->d.d_model, &m->final_norm_bias, err));
done:
    return status;
}

/* ---- All of a model ------------------------------------------------------------------------------------------------------------- */

static sae_status bind_unembed(sae_model *m, sae_error *err)
{
    char name[256];
    const description *d = &m->d;

    /* A head that is not in the file is the embedding, whatever the configuration says. */
    if (d->tied || !family_find(m->family, &m->source, SLOT_UNEMBED, 0, name, sizeof name)) {
        m->d.tied = true;
        m->unembed = m->embed;
        return SAE_OK;
    }
    return append_part(m, &m->unembed, SLOT_UNEMBED, 0, d->n_vocab, d->d_model, 0, false, err);
}

sae_status weights_bind(sae_model *m, sae_error *err)
{
    sae_status status = SAE_OK;
    const description *d = &m->d;
    arena count = {0}, fill = {0};
    char name[256];

    SAE_TRY(append_part(m, &m->embed, SLOT_EMBED, 0, d->n_vocab, d->d_model, 0, false, err));
    if (d->position == POSITION_LEARNED)
        SAE_TRY(append_part(m, &m->position, SLOT_POSITION, 0, d->n_ctx, d->d_model, 0, false, err));
    SAE_TRY(bind_unembed(m, err));
    m->layers = mem_alloc_array((size_t)d->n_layer, sizeof *m->layers, "the layers' table", err);
    if (!m->layers) return SAE_NOMEM;
    for (int64_t i = 0; i < d->n_layer; i++) SAE_TRY(bind_matrices(m, &m->layers[i], i, err));
    SAE_TRY(bind_vectors(m, &count, err));
    m->vectors = mem_alloc(count.used, "norms and biases", err);
    if (!m->vectors) return SAE_NOMEM;
    fill.base = (unsigned char *)m->vectors;
    SAE_TRY(bind_vectors(m, &fill, err));
    if (family_find(m->family, &m->source, SLOT_DOWN, d->n_layer, name, sizeof name))
        SAE_RAISE(err, SAE_SHAPE,
                  "%s: holds %s, but its configuration has only %lld layers: one of them is of another model",
                  m->source.path, name, (long long)d->n_layer);
done:
    return status;
}

void weights_free(sae_model *m)
{
    for (int64_t i = 0; m->layers && i < m->d.n_layer; i++) mem_free(m->layers[i].expanded);
    mem_free(m->layers);
    mem_free(m->vectors);
    mem_free(m->unembed_f32);
    mem_free(m->layer_block);
}

/* ---- Expansion ------------------------------------------------------------------------------------------------------------------ */

static layer_f32 lay_out(const layer_weights *l, arena *a)
{
    layer_f32 out = {0};

    out.qkv = arena_take(a, (size_t)(l->qkv.rows * l->qkv.columns) * sizeof(float));
    out.o = arena_take(a, (size_t)(l->o.rows * l->o.columns) * sizeof(float));
    out.up = arena_take(a, (size_t)(l->up.rows * l->up.columns) * sizeof(float));
    out.down = arena_take(a, (size_t)(l->down.rows * l->down.columns) * sizeof(float));
    return out;
}

size_t weights_layer_bytes(const sae_model *m)
{
    arena count = {0};

    lay_out(&m->layers[0], &count); /* all layers have the same shape */
    return count.used;
}

size_t weights_pass_bytes(const sae_model *m, int64_t n_layer)
{
    return (size_t)(m->expand_all ? n_layer : 1) * weights_layer_bytes(m);
}

sae_status weights_layer(sae_model *m, int64_t index, layer_f32 *out, sae_error *err)
{
    layer_weights *l = &m->layers[index];
    float **block = m->expand_all ? &l->expanded : &m->layer_block;
    bool there = *block && (m->expand_all || m->block_layer == index);

    if (!*block) *block = mem_alloc(weights_layer_bytes(m), "a layer's weights in f32", err);
    if (!*block) return SAE_NOMEM;
    arena fill = {.base = (unsigned char *)*block};
    *out = lay_out(l, &fill);
    if (there) return SAE_OK;
    matrix_expand(&l->qkv, out->qkv);
    matrix_expand(&l->o, out->o);
    matrix_expand(&l->up, out->up);
    matrix_expand(&l->down, out->down);
    m->block_layer = index;
    return SAE_OK;
}
