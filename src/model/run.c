/*
 * run.c - the one forward pass. It reads the description and knows no family by name.
 *
 * All rows of a batch go through a layer together, so each product is as large as it can be. Scratch is laid out by one
 * function, first to count, then to hand out, and is kept for the next run.
 */
#include "model/model.h"

#include "kernels/matmul.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Rows that go through the MLP together: fewer make the products slower, more only need more scratch (docs/performance.md). */
enum { MLP_ROWS = 1024 };

typedef struct pass {
    sae_model *m;
    const sae_run *run;
    const model_ops *ops;
    int64_t n;             /* rows: n_seq * n_ctx */
    int64_t stop;          /* site_order of the last site that matters; past all when the head is needed */
    float *resid, *normed; /* [n, d_model] */
    float *branch;         /* [n, d_model]: what attention or MLP adds */
    float *qkv;            /* [n, (n_head + 2 n_kv_head) d_head] */
    float *mixed;          /* [n, n_head d_head]: attention's output before W_O */
    float *mlp;            /* [MLP_ROWS, d_mlp or 2 d_mlp] */
    float *attention;      /* scratch of attention_run */
    int32_t *targets;      /* [n] */
    float *losses;         /* [n] */
    void *head;            /* scratch of head_run */
} pass;

static int64_t mlp_width(const description *d) { return d->mlp_gated ? 2 * d->d_mlp : d->d_mlp; }
static int64_t qkv_width(const description *d) { return (d->n_head + 2 * d->n_kv_head) * d->d_head; }

static void lay_out(pass *p, arena *a)
{
    const description *d = &p->m->d;
    size_t n = (size_t)p->n, row = n * sizeof(float);
    size_t chunk = n < MLP_ROWS ? n : MLP_ROWS;
    bool head = p->run->logits || p->run->nll;

    p->resid = arena_take(a, row * (size_t)d->d_model);
    p->normed = arena_take(a, row * (size_t)d->d_model);
    p->branch = arena_take(a, row * (size_t)d->d_model);
    p->qkv = arena_take(a, row * (size_t)qkv_width(d));
    p->mixed = arena_take(a, row * (size_t)(d->n_head * d->d_head));
    p->mlp = arena_take(a, chunk * (size_t)mlp_width(d) * sizeof(float));
    p->attention = arena_take(a, attention_scratch(p->run->n_ctx) * sizeof(float));
    p->targets = arena_take(a, n * sizeof *p->targets);
    p->losses = arena_take(a, row);
    p->head = arena_take(a, head ? head_scratch(p->m, p->n) : 0);
}

size_t run_scratch_bytes(const sae_model *m, int64_t n_seq, int64_t n_ctx)
{
    const sae_run run = {.n_seq = n_seq, .n_ctx = n_ctx};
    pass p = {.m = (sae_model *)(uintptr_t)m, .run = &run, .n = n_seq * n_ctx}; /* laid out, not run */
    arena count = {0};

    lay_out(&p, &count);
    return count.used;
}

/* ---- Checks -------------------------------------------------------------------------------------------------------------------- */

static sae_status check_site(const sae_model *m, sae_site site, const char *what, sae_error *err)
{
    if (site.layer < 0 || site.layer >= m->d.n_layer || (int)site.hook < 0 || site.hook > SAE_MLP_OUT)
        return SAE_FAIL(err, SAE_RANGE, "%s at layer %d: the model has layers 0 to %lld", what, site.layer,
                        (long long)m->d.n_layer - 1);
    return SAE_OK;
}

static sae_status check_ids(const sae_model *m, const sae_run *run, sae_error *err)
{
    for (int64_t i = 0; i < run->n_seq * run->n_ctx; i++)
        if (run->ids[i] < 0 || run->ids[i] >= m->d.n_vocab)
            return SAE_FAIL(err, SAE_RANGE, "token id %d (sequence %lld, position %lld): the model's ids are 0 to %lld",
                            run->ids[i], (long long)(i / run->n_ctx), (long long)(i % run->n_ctx),
                            (long long)m->d.n_vocab - 1);
    return SAE_OK;
}

static sae_status check_run(const sae_model *m, const sae_run *run, sae_error *err)
{
    sae_status status = SAE_OK;

    if (run->n_seq < 1 || run->n_ctx < 1)
        SAE_RAISE(err, SAE_RANGE, "a run of %lld sequences of %lld tokens: both must be at least 1",
                  (long long)run->n_seq, (long long)run->n_ctx);
    if (run->n_ctx > m->d.n_ctx)
        SAE_RAISE(err, SAE_RANGE,
                  "sequences of %lld tokens: the model's context is %lld (a smaller --ctx, or shorter sequences)",
                  (long long)run->n_ctx, (long long)m->d.n_ctx);
    if (run->n_seq > INT32_MAX / run->n_ctx)
        SAE_RAISE(err, SAE_RANGE, "%lld sequences of %lld tokens are too many for one run", (long long)run->n_seq,
                  (long long)run->n_ctx);
    if (!run->ids && (!run->from_rows || run->nll))
        SAE_RAISE(err, SAE_STATE, "a run needs token ids, unless it begins with rows and no loss is asked for");
    if (run->ids) SAE_TRY(check_ids(m, run, err));
    for (int i = 0; i < run->n_taps; i++) SAE_TRY(check_site(m, run->taps[i].site, "a tap", err));
    if (run->from_rows) {
        SAE_TRY(check_site(m, run->from, "a run that begins", err));
        if (run->from.hook != SAE_RESID_PRE && run->from.hook != SAE_RESID_POST)
            SAE_RAISE(err, SAE_RANGE, "a run can begin at a hook_resid_pre or hook_resid_post site only");
        for (int i = 0; i < run->n_taps; i++)
            if (site_order(run->taps[i].site) < site_order(run->from))
                SAE_RAISE(err, SAE_RANGE, "a tap at layer %d lies before layer %d, where the run begins",
                          run->taps[i].site.layer, run->from.layer);
    }
done:
    return status;
}

/* ---- Steps ---------------------------------------------------------------------------------------------------------------------- */

void norm_rows(const description *d, int64_t n, const float *x, const float *gain, const float *bias, float *out)
{
    const model_ops *ops = model_ops_get();
    int64_t width = d->d_model;
    float eps = (float)d->norm_eps;

#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) {
        if (d->norm == NORM_RMS)
            ops->rms_norm(width, x + i * width, gain, eps, out + i * width);
        else
            ops->layer_norm(width, x + i * width, gain, bias, eps, out + i * width);
    }
}

/* out[n, w.rows] = x[n, w.columns] w^T; row strides in elements. */
static void product(const matrix *w, const float *weights, int64_t n, const float *x, int64_t x_stride, float *out,
                    int64_t out_stride)
{
    if (w->in_out)
        matmul_nn(n, w->rows, w->columns, x, x_stride, weights, w->rows, 0, out, out_stride);
    else
        matmul_nt(n, w->rows, w->columns, x, x_stride, weights, w->columns, 0, out, out_stride);
}

static void embed(const pass *p)
{
    const sae_model *m = p->m;
    int64_t d = m->d.d_model;

#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < p->n; i++) {
        matrix_row(&m->embed, p->run->ids[i], p->resid + i * d);
        if (m->d.position != POSITION_LEARNED) continue;
        matrix_row(&m->position, i % p->run->n_ctx, p->normed + i * d); /* normed is free still */
        p->ops->add(d, p->normed + i * d, p->resid + i * d);
    }
}

/* Cosines and sines for positions up to n. Frequencies and angles are rounded to f32, as transformers has them: at long
 * contexts that rounding is larger than the rest of the error. */
static sae_status prepare_rotary(sae_model *m, int64_t n, sae_error *err)
{
    int64_t half = m->d.d_head / 2;

    if (m->d.position != POSITION_ROTARY || n <= m->rotary_n) return SAE_OK;
    float *cosine = mem_alloc_array((size_t)(n * half), sizeof *cosine, "rotary cosines", err);
    float *sine = mem_alloc_array((size_t)(n * half), sizeof *sine, "rotary sines", err);
    if (!cosine || !sine) {
        mem_free(cosine);
        mem_free(sine);
        return SAE_NOMEM;
    }
    for (int64_t i = 0; i < half; i++) {
        float frequency = (float)(1 / pow(m->d.rotary_theta, 2 * (double)i / (double)m->d.d_head));
        for (int64_t t = 0; t < n; t++) {
            float angle = (float)t * frequency;
            cosine[t * half + i] = (float)cos((double)angle);
            sine[t * half + i] = (float)sin((double)angle);
        }
    }
    mem_free(m->rotary_cos);
    mem_free(m->rotary_sin);
    m->rotary_cos = cosine;
    m->rotary_sin = sine;
    m->rotary_n = n;
    return SAE_OK;
}

/* Adds the bias to q, k and v and rotates q and k. */
static void finish_qkv(const pass *p, const layer_weights *l)
{
    const description *d = &p->m->d;
    int64_t half = d->d_head / 2, width = qkv_width(d);

    if (!l->qkv_bias && d->position != POSITION_ROTARY) return;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < p->n; i++) {
        float *row = p->qkv + i * width;
        if (l->qkv_bias) p->ops->add(width, l->qkv_bias, row);
        if (d->position != POSITION_ROTARY) continue;
        int64_t t = i % p->run->n_ctx;
        for (int64_t h = 0; h < d->n_head + d->n_kv_head; h++)
            p->ops->rotary(half, row + h * d->d_head, p->m->rotary_cos + t * half, p->m->rotary_sin + t * half);
    }
}

static void add_bias(const pass *p, int64_t n, int64_t width, const float *bias, float *rows)
{
    if (!bias) return;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) p->ops->add(width, bias, rows + i * width);
}

static void run_attention(const pass *p, const layer_weights *l, const layer_f32 *w)
{
    const description *d = &p->m->d;
    int64_t q = d->n_head * d->d_head, kv = d->n_kv_head * d->d_head, width = qkv_width(d);

    norm_rows(d, p->n, p->resid, l->attn_norm, l->attn_norm_bias, p->normed);
    product(&l->qkv, w->qkv, p->n, p->normed, d->d_model, p->qkv, width);
    finish_qkv(p, l);
    attention a = {.n_seq = p->run->n_seq,
                   .n_ctx = p->run->n_ctx,
                   .n_head = d->n_head,
                   .n_kv_head = d->n_kv_head,
                   .d_head = d->d_head,
                   .scale = (float)d->attention_scale,
                   .q = p->qkv,
                   .k = p->qkv + q,
                   .v = p->qkv + q + kv,
                   .stride = width,
                   .out = p->mixed};
    attention_run(&a, p->attention);
    product(&l->o, w->o, p->n, p->mixed, q, p->branch, d->d_model);
    add_bias(p, p->n, d->d_model, l->o_bias, p->branch);
}

/* The activation of rows [n, mlp_width], each left in the first d_mlp of its row. */
static void activate(const pass *p, const layer_weights *l, int64_t n)
{
    const description *d = &p->m->d;
    activation_fn *const functions[] = {
        [ACTIVATION_SILU] = p->ops->silu, [ACTIVATION_GELU] = p->ops->gelu, [ACTIVATION_GELU_TANH] = p->ops->gelu_tanh};
    activation_fn *fn = functions[d->activation];
    int64_t width = mlp_width(d);

#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) {
        float *row = p->mlp + i * width;
        if (l->up_bias) p->ops->add(width, l->up_bias, row);
        fn(d->d_mlp, row, d->mlp_gated ? row + d->d_mlp : NULL, row);
    }
}

static void run_mlp(const pass *p, const layer_weights *l, const layer_f32 *w)
{
    const description *d = &p->m->d;
    int64_t width = mlp_width(d);

    norm_rows(d, p->n, p->resid, l->mlp_norm, l->mlp_norm_bias, p->normed);
    for (int64_t row = 0; row < p->n; row += MLP_ROWS) {
        int64_t n = p->n - row < MLP_ROWS ? p->n - row : MLP_ROWS;
        product(&l->up, w->up, n, p->normed + row * d->d_model, d->d_model, p->mlp, width);
        activate(p, l, n);
        product(&l->down, w->down, n, p->mlp, width, p->branch + row * d->d_model, d->d_model);
    }
    add_bias(p, p->n, d->d_model, l->down_bias, p->branch);
}

static void add_branch(const pass *p)
{
    int64_t d = p->m->d.d_model;

#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < p->n; i++) p->ops->add(d, p->branch + i * d, p->resid + i * d);
}

/* ---- The pass ------------------------------------------------------------------------------------------------------------------- */

/* Taps of a site, in their order; those before the start have been checked away, except at the layer of the start. */
static sae_status run_taps(const pass *p, int64_t layer, sae_hook hook, float *rows, sae_error *err)
{
    sae_site site = {(int)layer, hook};
    sae_status status = SAE_OK;

    for (int i = 0; i < p->run->n_taps && status == SAE_OK; i++) {
        const sae_tap *tap = &p->run->taps[i];
        if (tap->site.layer == site.layer && tap->site.hook == hook)
            status = tap->fn(tap->user, rows, p->n, p->m->d.d_model, err);
    }
    return status;
}

/* One layer, from its hook_resid_pre on. *stopped: nothing behind is needed. */
static sae_status run_layer(const pass *p, int64_t i, bool *stopped, sae_error *err)
{
    sae_status status = SAE_OK;
    const layer_weights *l = &p->m->layers[i];
    layer_f32 w;

    *stopped = true;
    SAE_TRY(run_taps(p, i, SAE_RESID_PRE, p->resid, err));
    if (p->stop <= site_order((sae_site){(int)i, SAE_RESID_PRE})) return SAE_OK;
    SAE_TRY(weights_layer(p->m, i, &w, err));
    run_attention(p, l, &w);
    SAE_TRY(run_taps(p, i, SAE_ATTN_OUT, p->branch, err));
    if (p->stop == site_order((sae_site){(int)i, SAE_ATTN_OUT})) return SAE_OK;
    add_branch(p);
    run_mlp(p, l, &w);
    SAE_TRY(run_taps(p, i, SAE_MLP_OUT, p->branch, err));
    if (p->stop == site_order((sae_site){(int)i, SAE_MLP_OUT})) return SAE_OK;
    add_branch(p);
    SAE_TRY(run_taps(p, i, SAE_RESID_POST, p->resid, err));
    *stopped = p->stop == site_order((sae_site){(int)i, SAE_RESID_POST});
done:
    return status;
}

static sae_status run_layers(const pass *p, bool *stopped, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t first = 0;

    *stopped = false;
    if (p->run->from_rows) {
        memcpy(p->resid, p->run->from_rows, (size_t)(p->n * p->m->d.d_model) * sizeof(float));
        first = p->run->from.layer;
        if (p->run->from.hook == SAE_RESID_POST) {
            SAE_TRY(run_taps(p, first, SAE_RESID_POST, p->resid, err));
            *stopped = p->stop <= site_order(p->run->from);
            first++;
        }
    } else {
        embed(p);
    }
    for (int64_t i = first; i < p->m->d.n_layer && !*stopped; i++) SAE_TRY(run_layer(p, i, stopped, err));
done:
    return status;
}

/* The loss of row (s, i) is that of token i + 1; the last row of a sequence has none. */
static sae_status run_head(const pass *p, sae_error *err)
{
    const sae_run *run = p->run;
    sae_model *m = p->m;
    int64_t n_ctx = run->n_ctx;

    norm_rows(&m->d, p->n, p->resid, m->final_norm, m->final_norm_bias, p->normed);
    for (int64_t i = 0; run->nll && i < p->n; i++) p->targets[i] = i % n_ctx + 1 < n_ctx ? run->ids[i + 1] : -1;
    sae_status status = head_run(m, p->normed, p->n, run->logits, run->nll ? p->targets : NULL,
                                 run->nll ? p->losses : NULL, p->head, err);
    for (int64_t s = 0; status == SAE_OK && run->nll && s < run->n_seq; s++)
        memcpy(run->nll + s * (n_ctx - 1), p->losses + s * n_ctx, (size_t)(n_ctx - 1) * sizeof(float));
    return status;
}

sae_status sae_model_run(sae_model *model, const sae_run *run, sae_error *err)
{
    sae_status status = SAE_OK;
    pass p = {.m = model, .run = run, .ops = model_ops_get(), .stop = -1};
    arena count = {0}, fill = {0};
    bool stopped = false;

    SAE_TRY(check_run(model, run, err));
    p.n = run->n_seq * run->n_ctx;
    for (int i = 0; i < run->n_taps; i++)
        if (site_order(run->taps[i].site) > p.stop) p.stop = site_order(run->taps[i].site);
    if (run->logits || run->nll) p.stop = INT64_MAX;
    if (p.stop < 0) return SAE_OK; /* nothing is asked for */
    lay_out(&p, &count);
    SAE_TRY(scratch_reserve(model, count.used, err));
    fill.base = model->scratch;
    lay_out(&p, &fill);
    SAE_TRY(prepare_rotary(model, run->n_ctx, err));
    SAE_TRY(run_layers(&p, &stopped, err));
    if (run->logits || run->nll) SAE_TRY(run_head(&p, err));
done:
    return status;
}
