/*
 * encoder.c - the tiled encoder product: sgemm for float32, prepared oneDNN matmuls for bfloat16.
 *
 * bfloat16: the weights are reordered once per step into the layout that oneDNN's matmul prefers, a block of latents at a
 * time; primitives exist for the full tile and for the smaller last rows and last latents, all made at creation.
 */
#include "kernels/encoder.h"

#include "kernels/matmul.h"

#include <oneapi/dnnl/dnnl.h>

/* Measured (docs/performance.md): with fewer rows oneDNN's sgemm packs the weights too often. Its bfloat16 matmul is as fast at
 * any height, and so its tile is small. Nothing else may decide: the last bits of a product depend on the tile's shape. */
enum { TILE_ROWS = 2048, TILE_ROWS_BF16 = 1024, TILE_LATENTS = 2048 };

/* One matmul of the shape [rows, d_in] x [d_in, latents]. */
typedef struct product {
    dnnl_primitive_t primitive;
    dnnl_memory_desc_t rows, weights, out;
} product;

struct encoder {
    encoder_shape shape;
    int64_t tile_rows, tile_latents;
    const float *W_enc, *u; /* borrowed */
    screen *screen;         /* or NULL */
    /* bfloat16 only: */
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    product products[2][2]; /* [last rows][last latents] */
    dnnl_primitive_t reorder_u, reorder_w[2];
    dnnl_memory_desc_t u_f32, u_bf16, w_f32[2];
    size_t packed_bytes; /* of one full block of latents */
    void *u_copy, *w_copy, *scratch;
    size_t scratch_bytes;
};

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t blocks(int64_t n, int64_t block) { return (n + block - 1) / block; }

void encoder_tile_shape(const encoder_shape *shape, int64_t *tile_rows, int64_t *tile_latents)
{
    *tile_rows = smaller(shape->n_rows, shape->bf16 ? TILE_ROWS_BF16 : TILE_ROWS);
    *tile_latents = smaller(shape->d_sae, TILE_LATENTS);
}

static screen_shape screen_of(const encoder_shape *shape)
{
    return (screen_shape){shape->n_rows, shape->d_in, shape->d_sae, shape->n_threads};
}

/* Counted: a product holds 2 (AVX2) or 4 MiB (AVX-512) at once, whatever its size. But glibc's aligned allocation leaves the cut-off
 * ends of earlier pieces in the thread's cache, so that they never join again (with glibc.malloc.tcache_count=0: 6 and 8 MiB in all), until
 * some 50 products later the caches are full. Then, of d_in 768 on one thread and on two, AVX2 10 and 39 MiB, AVX-512 17 and 29. */
size_t encoder_packing_bytes(int64_t rows, int64_t latents, int64_t d_in, int n_threads)
{
    enum { CODE = 4, KEPT_AVX2 = 17, KEPT_AVX512 = 13 }; /* MiB, the latter of each thread */
    int64_t kept = (int64_t)n_threads * (cpu_isa_get() >= ISA_AVX512 ? KEPT_AVX512 : KEPT_AVX2) << 20;
    int64_t factors = (rows + latents) * d_in * (int64_t)sizeof(float);

    if (cpu_isa_get() == ISA_SCALAR) return 0; /* plain loops */
    return (size_t)(((int64_t)CODE << 20) + smaller(kept, 8 * factors));
}

static bool describe(dnnl_memory_desc_t *md, int64_t rows, int64_t columns, dnnl_data_type_t type, int64_t row_stride,
                     int64_t column_stride)
{
    dnnl_dims_t dims = {rows, columns}, strides = {row_stride, column_stride};

    return dnnl_memory_desc_init_by_strides(md, 2, dims, type, strides) == dnnl_success;
}

/* `weights_any` lets oneDNN choose the layout; else p->weights is given. */
static bool make_product(encoder *e, product *p, int64_t rows, int64_t latents, bool weights_any)
{
    int64_t d = e->shape.d_in;
    dnnl_dims_t weight_dims = {d, latents};
    dnnl_matmul_desc_t matmul;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t chosen = NULL;
    bool good = describe(&p->rows, rows, d, dnnl_bf16, d, 1) &&
                describe(&p->out, rows, latents, dnnl_f32, e->tile_latents, 1) &&
                (!weights_any || dnnl_memory_desc_init_by_tag(&p->weights, 2, weight_dims, dnnl_bf16,
                                                              dnnl_format_tag_any) == dnnl_success) &&
                dnnl_matmul_desc_init(&matmul, &p->rows, &p->weights, NULL, &p->out) == dnnl_success &&
                dnnl_primitive_attr_create(&attributes) == dnnl_success &&
                dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user) == dnnl_success &&
                dnnl_primitive_desc_create(&chosen, &matmul, attributes, e->engine, NULL) == dnnl_success &&
                dnnl_primitive_create(&p->primitive, chosen) == dnnl_success;

    if (good) {
        p->weights = *dnnl_primitive_desc_query_md(chosen, dnnl_query_weights_md, 0);
        size_t bytes = dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(chosen, dnnl_query_scratchpad_md, 0));
        if (bytes > e->scratch_bytes) e->scratch_bytes = bytes;
    }
    if (chosen) dnnl_primitive_desc_destroy(chosen);
    if (attributes) dnnl_primitive_attr_destroy(attributes);
    return good;
}

static bool make_reorder(encoder *e, dnnl_primitive_t *out, const dnnl_memory_desc_t *from,
                         const dnnl_memory_desc_t *to)
{
    dnnl_primitive_desc_t chosen = NULL;
    bool good = dnnl_reorder_primitive_desc_create(&chosen, from, e->engine, to, e->engine, NULL) == dnnl_success &&
                dnnl_primitive_create(out, chosen) == dnnl_success;

    if (chosen) dnnl_primitive_desc_destroy(chosen);
    return good;
}

static bool prepare_bf16(encoder *e)
{
    int64_t d = e->shape.d_in, n = e->shape.n_rows, m = e->shape.d_sae;
    int64_t last_rows = n - (blocks(n, e->tile_rows) - 1) * e->tile_rows;
    int64_t last_latents = m - (blocks(m, e->tile_latents) - 1) * e->tile_latents;

    if (dnnl_engine_create(&e->engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&e->stream, e->engine, dnnl_stream_default_flags) != dnnl_success)
        return false;
    for (int l = 0; l < 2; l++) {
        int64_t latents = l ? last_latents : e->tile_latents;
        if (!make_product(e, &e->products[0][l], e->tile_rows, latents, true)) return false;
        e->products[1][l].weights = e->products[0][l].weights; /* one packed copy serves both */
        if (!make_product(e, &e->products[1][l], last_rows, latents, false)) return false;
        if (!describe(&e->w_f32[l], d, latents, dnnl_f32, 1, d) ||
            !make_reorder(e, &e->reorder_w[l], &e->w_f32[l], &e->products[0][l].weights))
            return false;
    }
    e->packed_bytes = dnnl_memory_desc_get_size(&e->products[0][0].weights);
    return describe(&e->u_f32, n, d, dnnl_f32, d, 1) && describe(&e->u_bf16, n, d, dnnl_bf16, d, 1) &&
           make_reorder(e, &e->reorder_u, &e->u_f32, &e->u_bf16);
}

/* Gives back what prepare_bf16 made, all of it or a part. */
static void release_bf16(encoder *e)
{
    for (int r = 0; r < 2; r++)
        for (int l = 0; l < 2; l++)
            if (e->products[r][l].primitive) dnnl_primitive_destroy(e->products[r][l].primitive);
    for (int l = 0; l < 2; l++)
        if (e->reorder_w[l]) dnnl_primitive_destroy(e->reorder_w[l]);
    if (e->reorder_u) dnnl_primitive_destroy(e->reorder_u);
    if (e->stream) dnnl_stream_destroy(e->stream);
    if (e->engine) dnnl_engine_destroy(e->engine);
}

/* Where there is no such product, the copies alone: encoder_create refuses. */
static size_t bf16_bytes(const encoder_shape *shape)
{
    encoder e = {.shape = *shape};
    size_t rows = (size_t)(shape->n_rows * shape->d_in) * 2, weights;

    encoder_tile_shape(shape, &e.tile_rows, &e.tile_latents);
    weights = (size_t)(blocks(shape->d_sae, e.tile_latents) * e.tile_latents * shape->d_in) * 2;
    if (cpu_isa_get() == ISA_AVX512_BF16) {
        matmul_setup();
        if (prepare_bf16(&e)) weights = (size_t)blocks(shape->d_sae, e.tile_latents) * e.packed_bytes;
        release_bf16(&e);
    }
    return rows + weights + e.scratch_bytes;
}

size_t encoder_bytes(const encoder_shape *shape)
{
    screen_shape screened = screen_of(shape);

    return (shape->screen ? screen_bytes(&screened) : 0) + (shape->bf16 ? bf16_bytes(shape) : 0);
}

sae_status encoder_create(encoder **out, const encoder_shape *shape, sae_error *err)
{
    sae_status status = SAE_OK;
    encoder *e = mem_alloc(sizeof *e, "the encoder product", err);

    if (!e) return SAE_NOMEM;
    e->shape = *shape;
    encoder_tile_shape(shape, &e->tile_rows, &e->tile_latents);
    if (shape->bf16) {
        if (cpu_isa_get() != ISA_AVX512_BF16)
            SAE_RAISE(err, SAE_MISSING,
                      "the bf16 encoder product needs a processor with AVX-512-BF16 (this one has %s): "
                      "use --encoder-dtype f32",
                      cpu_isa_name(cpu_isa_get()));
        matmul_setup();
        if (!prepare_bf16(e))
            SAE_RAISE(err, SAE_UNSUPPORTED, "oneDNN has no bf16 product for d_in %lld, d_sae %lld",
                      (long long)shape->d_in, (long long)shape->d_sae);
        e->u_copy = mem_alloc((size_t)shape->n_rows * shape->d_in * 2, "bf16 rows", err);
        e->w_copy = mem_alloc_array(blocks(shape->d_sae, e->tile_latents), e->packed_bytes, "bf16 weights", err);
        e->scratch = mem_alloc(e->scratch_bytes + 64, "oneDNN's scratch", err);
        if (!e->u_copy || !e->w_copy || !e->scratch) SAE_TRY(SAE_NOMEM);
    }
    if (shape->screen) {
        screen_shape screened = screen_of(shape);
        SAE_TRY(screen_create(&e->screen, &screened, screen_ops_get(), err));
    }
    *out = e;
    e = NULL;
done:
    encoder_free(e);
    return status;
}

void encoder_free(encoder *e)
{
    if (!e) return;
    release_bf16(e);
    screen_free(e->screen);
    mem_free(e->u_copy);
    mem_free(e->w_copy);
    mem_free(e->scratch);
    mem_free(e);
}

screen *encoder_screen(const encoder *e) { return e->screen; }

/* Wraps the buffers as oneDNN memories and runs; n <= 4 arguments. */
static bool execute(encoder *e, dnnl_primitive_t primitive, const int *names, const dnnl_memory_desc_t *const *mds,
                    void *const *data, int n)
{
    dnnl_exec_arg_t arguments[4];
    int made = 0;
    bool good = true;

    for (; made < n; made++) {
        arguments[made].arg = names[made];
        if (dnnl_memory_create(&arguments[made].memory, mds[made], e->engine, data[made]) != dnnl_success) break;
    }
    good = made == n && dnnl_primitive_execute(primitive, e->stream, n, arguments) == dnnl_success &&
           dnnl_stream_wait(e->stream) == dnnl_success;
    while (made > 0) dnnl_memory_destroy(arguments[--made].memory);
    return good;
}

static bool reorder(encoder *e, dnnl_primitive_t primitive, const dnnl_memory_desc_t *from, const void *source,
                    const dnnl_memory_desc_t *to, void *target)
{
    const int names[2] = {DNNL_ARG_FROM, DNNL_ARG_TO};
    const dnnl_memory_desc_t *mds[2] = {from, to};
    void *data[2] = {(void *)(uintptr_t)source, target}; /* oneDNN's interface has no const */

    return execute(e, primitive, names, mds, data, 2);
}

static unsigned char *packed(const encoder *e, int64_t block)
{
    return (unsigned char *)e->w_copy + (size_t)block * e->packed_bytes;
}

sae_status encoder_load(encoder *e, const float *W_enc, const float *u, sae_error *err)
{
    int64_t n_blocks = blocks(e->shape.d_sae, e->tile_latents);

    e->W_enc = W_enc;
    e->u = u;
    if (!e->shape.bf16) return SAE_OK;
    bool good = reorder(e, e->reorder_u, &e->u_f32, u, &e->u_bf16, e->u_copy);
    for (int64_t b = 0; b < n_blocks && good; b++) {
        int last = b == n_blocks - 1;
        good = reorder(e, e->reorder_w[last], &e->w_f32[last], W_enc + b * e->tile_latents * e->shape.d_in,
                       &e->products[0][last].weights, packed(e, b));
    }
    return good ? SAE_OK : SAE_FAIL(err, SAE_NOMEM, "oneDNN could not convert the encoder's factors to bf16");
}

sae_status encoder_tile(encoder *e, int64_t row0, int64_t latent0, float *out, int64_t *n_rows, int64_t *n_latents,
                        sae_error *err)
{
    int64_t d = e->shape.d_in;
    int64_t rows = smaller(e->tile_rows, e->shape.n_rows - row0);
    int64_t latents = smaller(e->tile_latents, e->shape.d_sae - latent0);

    if (!e->shape.bf16) {
        matmul_nt(rows, latents, d, e->u + row0 * d, d, e->W_enc + latent0 * d, d, 0.0f, out, e->tile_latents);
    } else {
        int last_row = row0 + rows == e->shape.n_rows, last_latent = latent0 + latents == e->shape.d_sae;
        const product *p = &e->products[last_row][last_latent];
        const int names[4] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_SCRATCHPAD};
        dnnl_dims_t dims = {(dnnl_dim_t)(e->scratch_bytes + 64)};
        dnnl_memory_desc_t scratch;
        const dnnl_memory_desc_t *mds[4] = {&p->rows, &p->weights, &p->out, &scratch};
        void *data[4] = {(uint16_t *)e->u_copy + row0 * d, packed(e, latent0 / e->tile_latents), out, e->scratch};
        if (dnnl_memory_desc_init_by_tag(&scratch, 1, dims, dnnl_u8, dnnl_a) != dnnl_success ||
            !execute(e, p->primitive, names, mds, data, 4))
            return SAE_FAIL(err, SAE_NOMEM, "oneDNN's bf16 encoder product failed");
    }
    *n_rows = rows;
    *n_latents = latents;
    return SAE_OK;
}
