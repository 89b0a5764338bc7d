/*
 * bench.c - times passes and, in the same run and in turns with them, the products that they are made of.
 *
 * The machine's speed drifts; so each pass is compared with the products measured beside it, and the median of these
 * comparisons is the result.
 */
#include "model/bench.h"

#include "kernels/matmul.h"
#include "model/model.h"

#include <stdlib.h>

enum { MAX_TRIES = 1000 };

static sae_status look(void *user, float *rows, int64_t n_rows, int64_t d_model, sae_error *err)
{
    (void)user, (void)rows, (void)n_rows, (void)d_model, (void)err;
    return SAE_OK;
}

static double flops_of(const matrix *w, int64_t n) { return 2.0 * (double)n * (double)w->rows * (double)w->columns; }

/* GFLOP/s of the fastest of the layer's four products on n rows, each timed `repeats` times: as often as a pass makes it, so
 * that on a busy machine both are averages over about the same time. x and y have room for any of them. */
static double product_rate(sae_model *m, const layer_f32 *f, int64_t n, int repeats, const float *x, float *y)
{
    const layer_weights *l = &m->layers[0];
    const matrix *shapes[] = {&l->qkv, &l->o, &l->up, &l->down};
    const float *weights[] = {f->qkv, f->o, f->up, f->down};
    double seconds[4] = {0}, best = 0;

    for (int i = 0; i < 4 * repeats; i++) {
        const matrix *w = shapes[i % 4];
        double begin = clock_seconds();
        if (w->in_out)
            matmul_nn(n, w->rows, w->columns, x, w->columns, weights[i % 4], w->rows, 0, y, w->rows);
        else
            matmul_nt(n, w->rows, w->columns, x, w->columns, weights[i % 4], w->columns, 0, y, w->rows);
        seconds[i % 4] += clock_seconds() - begin;
    }
    for (int i = 0; i < 4; i++) {
        double rate = repeats * flops_of(shapes[i], n) / seconds[i] * 1e-9;
        if (rate > best) best = rate;
    }
    return best;
}

static int64_t widest(const layer_weights *l)
{
    const matrix *all[] = {&l->qkv, &l->o, &l->up, &l->down};
    int64_t most = 0;

    for (int i = 0; i < 4; i++) {
        if (all[i]->rows > most) most = all[i]->rows;
        if (all[i]->columns > most) most = all[i]->columns;
    }
    return most;
}

static void made_up(const sae_model *m, int64_t n, int32_t *ids, int64_t n_x, float *x)
{
    rng r = rng_seed(1, 0);

    for (int64_t i = 0; i < n; i++) ids[i] = (int32_t)rng_below(&r, (uint64_t)m->d.n_vocab);
    for (int64_t i = 0; i < n_x; i++) x[i] = (float)rng_uniform(&r) - 0.5F;
}

sae_status model_bench_run(model_bench *out, sae_model *model, sae_site last, int64_t n_seq, int64_t n_ctx, int tries,
                           sae_error *err)
{
    sae_status status = SAE_OK;
    double seconds[MAX_TRIES], rates[MAX_TRIES], shares[MAX_TRIES];
    int32_t *ids = NULL;
    float *x = NULL, *y = NULL;
    layer_f32 f;
    model_bench b = {.n_seq = n_seq, .n_ctx = n_ctx, .n_layers = last.layer + 1};
    sae_tap tap = {last, look, NULL};
    sae_run run = {.n_seq = n_seq, .n_ctx = n_ctx, .taps = &tap, .n_taps = 1};

    if (tries == 0) tries = 7;
    if (tries < 1 || tries > MAX_TRIES || n_seq < 1 || n_ctx < 1 || n_seq > 4096 || n_ctx > model->d.n_ctx)
        SAE_RAISE(err, SAE_RANGE,
                  "a bench of %d tries of %lld x %lld tokens: tries 1 to %d, sequences 1 to 4096, tokens up "
                  "to the model's context of %lld",
                  tries, (long long)n_seq, (long long)n_ctx, MAX_TRIES, (long long)model->d.n_ctx);
    int64_t n = n_seq * n_ctx, width = widest(&model->layers[0]);
    ids = mem_alloc_array((size_t)n, sizeof *ids, "token ids", err);
    x = mem_alloc_array((size_t)(n * width), sizeof *x, "the bench's rows", err);
    y = mem_alloc_array((size_t)(n * width), sizeof *y, "the bench's rows", err);
    if (!ids || !x || !y) {
        status = SAE_NOMEM;
        goto done;
    }
    made_up(model, n, ids, n * width, x);
    run.ids = ids;
    SAE_TRY(sae_model_run(model, &run, err));
    for (int i = 0; i < b.n_layers; i++) {
        const layer_weights *l = &model->layers[i];
        b.product_flops += flops_of(&l->qkv, n) + flops_of(&l->o, n) + flops_of(&l->up, n) + flops_of(&l->down, n);
    }
    for (int i = 0; i < tries; i++) {
        SAE_TRY(weights_layer(model, 0, &f, err));
        rates[i] = product_rate(model, &f, n, b.n_layers, x, y);
        double begin = clock_seconds();
        SAE_TRY(sae_model_run(model, &run, err));
        seconds[i] = clock_seconds() - begin;
        shares[i] = b.product_flops / seconds[i] * 1e-9 / rates[i];
    }
    b.pass_seconds = sort_quantile(seconds, tries, 0.5);
    b.tokens_per_s = (double)n / b.pass_seconds;
    b.pass_gflops = b.product_flops / b.pass_seconds * 1e-9;
    b.product_gflops = sort_quantile(rates, tries, 0.5);
    b.share = sort_quantile(shares, tries, 0.5);
    *out = b;
done:
    mem_free(ids);
    mem_free(x);
    mem_free(y);
    return status;
}
