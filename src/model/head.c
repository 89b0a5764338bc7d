/*
 * head.c - from rows of the residual stream to logits and losses. The vocabulary is taken in tiles of tokens and the rows in
 * tiles too, so that scratch stays bounded; a running log-sum-exp joins the tiles. Both ways of holding weights make the
 * same products in the same order: the same bits.
 */
#include "model/model.h"

#include "kernels/matmul.h"

#include <math.h>

enum { VOCAB_TILE = 4096, ROW_TILE = 512 };

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

typedef struct head_plan {
    double *max, *sum; /* [n], running */
    float *target;     /* [n], logit of the target */
    float *weights;    /* [VOCAB_TILE, d_model], when the unembedding is not kept in f32 */
    float *logits;     /* [ROW_TILE, VOCAB_TILE] */
} head_plan;

static head_plan lay_out(const sae_model *m, int64_t n, arena *a)
{
    head_plan p;
    size_t rows = (size_t)n, tile = (size_t)smaller(VOCAB_TILE, m->d.n_vocab);

    p.max = arena_take(a, rows * sizeof *p.max);
    p.sum = arena_take(a, rows * sizeof *p.sum);
    p.target = arena_take(a, rows * sizeof *p.target);
    p.weights = arena_take(a, m->expand_all ? 0 : tile * (size_t)m->d.d_model * sizeof *p.weights);
    p.logits = arena_take(a, (size_t)smaller(ROW_TILE, n) * tile * sizeof *p.logits);
    return p;
}

size_t head_scratch(const sae_model *m, int64_t n)
{
    arena count = {0};

    lay_out(m, n, &count);
    return count.used;
}

/* The unembedding in f32 is kept from the first use on when all weights are. */
static sae_status keep_unembed(sae_model *m, sae_error *err)
{
    if (!m->expand_all || m->unembed_f32) return SAE_OK;
    m->unembed_f32 =
        mem_alloc_array((size_t)m->d.n_vocab * (size_t)m->d.d_model, sizeof(float), "the unembedding in f32", err);
    if (!m->unembed_f32) return SAE_NOMEM;
    matrix_rows(&m->unembed, 0, m->d.n_vocab, m->unembed_f32);
    return SAE_OK;
}

/* Takes a tile of logits [n, width] (row stride ld) of tokens from `first` on into the running sums. */
static void take_tile(const head_plan *p, const int32_t *targets, int64_t row, int64_t n, const float *logits,
                      int64_t ld, int64_t first, int64_t width)
{
    const model_ops *ops = model_ops_get();

#pragma omp parallel for schedule(static)
    for (int64_t i = row; i < row + n; i++) {
        const float *x = logits + (i - row) * ld;
        if (targets[i] < 0) continue;
        ops->log_sum_exp(width, x, &p->max[i], &p->sum[i]);
        if (targets[i] >= first && targets[i] < first + width) p->target[i] = x[targets[i] - first];
    }
}

sae_status head_run(sae_model *m, const float *rows, int64_t n, float *logits, const int32_t *targets, float *losses,
                    void *scratch, sae_error *err)
{
    int64_t d = m->d.d_model, vocab = m->d.n_vocab;
    arena fill = {.base = scratch};
    head_plan p = lay_out(m, n, &fill);
    sae_status status = keep_unembed(m, err);

    if (status != SAE_OK) return status;
    for (int64_t i = 0; i < n; i++) p.max[i] = -INFINITY, p.sum[i] = 0;
    for (int64_t v = 0; v < vocab; v += VOCAB_TILE) {
        int64_t width = smaller(VOCAB_TILE, vocab - v);
        const float *weights = m->unembed_f32 ? m->unembed_f32 + v * d : p.weights;
        if (!m->unembed_f32) matrix_rows(&m->unembed, v, width, p.weights);
        for (int64_t r = 0; r < n; r += ROW_TILE) {
            int64_t height = smaller(ROW_TILE, n - r), ld = logits ? vocab : width;
            float *tile = logits ? logits + r * vocab + v : p.logits;
            matmul_nt(height, width, d, rows + r * d, d, weights, d, 0, tile, ld);
            if (losses) take_tile(&p, targets, r, height, tile, ld, v, width);
        }
    }
    for (int64_t i = 0; losses && i < n; i++)
        losses[i] = targets[i] < 0 ? 0 : (float)(p.max[i] + log(p.sum[i]) - (double)p.target[i]);
    return SAE_OK;
}

sae_status sae_model_unembed(sae_model *model, const float *rows, int64_t n, bool apply_norm, float *logits,
                             sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t d = model->d.d_model;
    arena count = {0}, fill = {0};

    if (n < 0 || n > INT32_MAX) SAE_RAISE(err, SAE_RANGE, "%lld rows to unembed", (long long)n);
    if (n == 0) return SAE_OK;
    arena_take(&count, (size_t)(n * d) * sizeof(float));
    arena_take(&count, head_scratch(model, n));
    SAE_TRY(scratch_reserve(model, count.used, err));
    fill.base = model->scratch;
    float *normed = arena_take(&fill, (size_t)(n * d) * sizeof(float));
    void *scratch = arena_take(&fill, 0);
    if (apply_norm) {
        norm_rows(&model->d, n, rows, model->final_norm, model->final_norm_bias, normed);
    } else {
        for (int64_t i = 0; i < n * d; i++) normed[i] = rows[i] * model->final_norm[i % d];
    }
    SAE_TRY(head_run(model, normed, n, logits, NULL, NULL, scratch, err));
done:
    return status;
}

sae_status model_unembed_gram(sae_model *model, double *gram, sae_error *err)
{
    enum { GRAM_TILE = 256 }; /* tokens multiplied in float32 before they are added in double */
    int64_t d = model->d.d_model;
    float *weights = mem_alloc_array(GRAM_TILE, (size_t)d * sizeof *weights, "rows of the unembedding", err);
    float *product = mem_alloc_array((size_t)d, (size_t)d * sizeof *product, "products of the unembedding", err);

    if (!weights || !product) {
        mem_free(weights);
        mem_free(product);
        return SAE_NOMEM;
    }
    for (int64_t i = 0; i < d * d; i++) gram[i] = 0;
    for (int64_t v = 0; v < model->d.n_vocab; v += GRAM_TILE) {
        int64_t width = smaller(GRAM_TILE, model->d.n_vocab - v);
        matrix_rows(&model->unembed, v, width, weights);
        for (int64_t i = 0; i < width * d; i++) weights[i] *= model->final_norm[i % d];
        matmul_tn(d, d, width, weights, d, weights, d, 0, product, d);
        for (int64_t i = 0; i < d * d; i++) gram[i] += (double)product[i];
    }
    mem_free(weights);
    mem_free(product);
    return SAE_OK;
}
