/*
 * bench.c - times whole steps and bare encoder products in turn, so that the machine's moods hit both.
 *
 * The product is the library's own fastest: sgemm on all rows at once (4,096 latents at a time, which bounds the memory of the
 * result and is as fast as one call for all: docs/performance.md) or in tiles of several shapes, with the weights as they lie or transposed; for bf16 the prepared matmul, without
 * the conversion of its factors.
 */
#include "sae/bench.h"

#include "kernels/matmul.h"
#include "kernels/peak.h"
#include "sae/train.h"

#include <math.h>
#include <stdlib.h>

/* A way to compute the whole product: tiles of rows x latents (0: all rows). */
typedef struct form {
    const char *name;
    int64_t rows, latents;
    bool transposed; /* the weights as [d_in, d_sae] */
} form;

static const form forms[] = {
    {"all rows, 4096 latents at a time, W [d_sae, d_in]", 0, 4096, false},
    {"all rows, 4096 latents at a time, W [d_in, d_sae]", 0, 4096, true},
    {"tiles of 1024 x 2048, W [d_sae, d_in]", 1024, 2048, false},
    {"tiles of 1024 x 2048, W [d_in, d_sae]", 1024, 2048, true},
    {"tiles of 2048 x 2048, W [d_sae, d_in]", 2048, 2048, false},
    {"tiles of 2048 x 2048, W [d_in, d_sae]", 2048, 2048, true},
};
enum { N_FORMS = sizeof forms / sizeof *forms, TRIES = 3 };

typedef struct bench {
    const trainer_bench_options *o;
    int64_t B, d, F, result_count;
    const float *rows; /* [n_batches, B, d] */
    int64_t n_batches;
    float *own_rows, *result; /* own_rows: where none are given */
    const float *W; /* the trainer's W_enc, borrowed; the transposed forms read it as if it lay the other way */
    encoder *bf16;  /* the trainer's, borrowed; NULL for f32 */
    int form;       /* the fastest; -1: the bf16 encoder's */
} bench;

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t tile_rows_of(const form *f, int64_t B) { return f->rows ? smaller(f->rows, B) : B; }

static int64_t tile_latents_of(const form *f, int64_t F) { return f->latents ? smaller(f->latents, F) : F; }

/* Entries of the largest tile. */
static int64_t largest_tile(int64_t B, int64_t F)
{
    int64_t most = 0;

    for (int i = 0; i < N_FORMS; i++) {
        int64_t entries = tile_rows_of(&forms[i], B) * tile_latents_of(&forms[i], F);
        if (entries > most) most = entries;
    }
    return most;
}

static sae_status run_form(bench *n, int which, double *seconds, sae_error *err)
{
    double started = clock_seconds();
    sae_status status = SAE_OK;

    if (which < 0) {
        encoder_shape shape = {.n_rows = n->B, .d_in = n->d, .d_sae = n->F, .bf16 = true};
        int64_t tile_rows, tile_latents, got_rows, got_latents;
        encoder_tile_shape(&shape, &tile_rows, &tile_latents);
        for (int64_t b = 0; b < n->B; b += tile_rows)
            for (int64_t j = 0; j < n->F; j += tile_latents)
                SAE_TRY(encoder_tile(n->bf16, b, j, n->result, &got_rows, &got_latents, err));
    } else {
        const form *f = &forms[which];
        int64_t rows = tile_rows_of(f, n->B), latents = tile_latents_of(f, n->F);
        for (int64_t j = 0; j < n->F; j += latents)
            for (int64_t b = 0; b < n->B; b += rows) {
                int64_t h = smaller(rows, n->B - b), w = smaller(latents, n->F - j);
                if (f->transposed)
                    matmul_nn(h, w, n->d, n->rows + b * n->d, n->d, n->W + j * n->d, w, 0.0f, n->result, w);
                else
                    matmul_nt(h, w, n->d, n->rows + b * n->d, n->d, n->W + j * n->d, n->d, 0.0f, n->result, w);
            }
    }
done:
    *seconds = clock_seconds() - started;
    return status;
}

/* The fastest form, each tried several times in turn; for bf16 there is one. */
static sae_status choose_form(bench *n, sae_error *err)
{
    sae_status status = SAE_OK;
    double best[N_FORMS], seconds;

    n->form = -1;
    if (n->bf16) return encoder_load(n->bf16, n->W, n->rows, err);
    for (int attempt = 0; attempt < TRIES + 1; attempt++)
        for (int i = 0; i < N_FORMS; i++) {
            SAE_TRY(run_form(n, i, &seconds, err));
            if (attempt <= 1 || seconds < best[i]) best[i] = seconds; /* the first try only warms up */
        }
    n->form = 0;
    for (int i = 1; i < N_FORMS; i++)
        if (best[i] < best[n->form]) n->form = i;
done:
    return status;
}

/* A share of the latents made too weak to be kept and long silent: AuxK has to work on them in every step. */
static void make_dead(sae_trainer *t, double share)
{
    learner *l = &t->learners[0];
    int64_t d = l->config.d_in, dead = (int64_t)(share * (double)l->config.d_sae);

    for (int64_t n = 0; n < dead; n++) {
        int64_t j = n * l->config.d_sae / dead;
        for (int64_t i = 0; i < d; i++) l->p[P_W_ENC].w[j * d + i] *= 0.2f;
        l->since_fired[j] = (int64_t)1 << 40;
    }
}

/* standard and gated: biases that leave k latents a row active on the rows of the step just done. jumprelu finds its thresholds itself. */
static sae_status make_sparse(sae_trainer *t, sae_error *err)
{
    sae_status status = SAE_OK;
    learner *l = &t->learners[0];
    step_sums sums = {0};

    SAE_TRY(encode_rows(t, l, t->encoders[0], false, err));
    select_kept(t, l, &sums);
    for (int64_t j = 0; j < l->config.d_sae; j++) l->p[P_B_ENC].w[j] -= (float)sums.smallest;
done:
    return status;
}

static sae_status measure(bench *n, sae_trainer *t, trainer_bench_result *out, sae_error *err)
{
    sae_status status = SAE_OK;
    int pairs = n->o->pairs;
    double *times = mem_alloc_array((size_t)pairs * 4, sizeof *times, "timings", err), *products, *ratios, *survivors;
    int64_t warm = n->o->warm_steps > 3 ? n->o->warm_steps : 3; /* the cutoff settles */
    sae_step_stats stats = {0};
    sae_arch arch = n->o->config.arch;
    bool sparse = !n->o->at_start && (arch == SAE_STANDARD || arch == SAE_GATED);

    if (!times) return SAE_NOMEM;
    products = times + pairs;
    ratios = products + pairs;
    survivors = ratios + pairs;
    for (int64_t i = -warm; i < pairs; i++) {
        int64_t batch = (i + warm) % n->n_batches;
        double started = clock_seconds(), step, product;
        SAE_TRY(sae_trainer_step(t, n->rows + batch * n->B * n->d, NULL, &stats, err));
        step = clock_seconds() - started;
        if (i == -warm && sparse) SAE_TRY(make_sparse(t, err));
        if (i < -3) continue;
        SAE_TRY(run_form(n, n->form, &product, err));
        if (i < 0) continue;
        times[i] = step;
        products[i] = product;
        ratios[i] = step / product;
        survivors[i] = (double)t->s.n_survivors / (double)n->B;
    }
    out->survivors = sort_quantile(survivors, pairs, 0.5);
    out->l0 = stats.l0;
    out->dead = stats.dead;
    out->ratio = sort_quantile(ratios, pairs, 0.5);
    out->ratio_low = sort_quantile(ratios, pairs, 0.25);
    out->ratio_high = sort_quantile(ratios, pairs, 0.75);
    out->step_ms = 1e3 * sort_quantile(times, pairs, 0.5);
    out->encoder_ms = 1e3 * sort_quantile(products, pairs, 0.5);
done:
    mem_free(times);
    return status;
}

static sae_status take_memory(bench *n, sae_error *err)
{
    rng r = rng_seed(1, 1);

    n->rows = n->o->rows;
    n->n_batches = n->o->rows ? n->o->n_batches : 1;
    n->result = mem_alloc_array((size_t)n->result_count, sizeof(float), "the bench's product", err);
    if (!n->result) return SAE_NOMEM;
    if (n->rows) return SAE_OK;
    n->own_rows = mem_alloc_array((size_t)n->B, (size_t)n->d * sizeof(float), "the bench's rows", err);
    if (!n->own_rows) return SAE_NOMEM;
    for (int64_t i = 0; i < n->B * n->d; i++) n->own_rows[i] = (float)rng_normal(&r);
    n->rows = n->own_rows;
    return SAE_OK;
}

sae_status trainer_bench(trainer_bench_result *out, const trainer_bench_options *options, sae_error *err)
{
    sae_status status = SAE_OK;
    const sae_dict_config *c = &options->config;
    bench n = {.o = options, .B = options->recipe.batch, .d = c->d_in, .F = c->d_sae};
    encoder_shape shape = {
        .n_rows = n.B, .d_in = n.d, .d_sae = n.F, .bf16 = options->recipe.encoder_dtype == SAE_ENCODER_BF16};
    trainer_bench_result result = {0};
    sae_trainer *t = NULL;
    int64_t tile_rows, tile_latents;

    if (options->pairs < 1) SAE_RAISE(err, SAE_RANGE, "a bench needs at least one pair of measurements");
    SAE_TRY(sae_trainer_create(&t, c, 1, &options->recipe, err));
    n.W = t->learners[0].p[P_W_ENC].w;
    if (shape.bf16) n.bf16 = t->encoders[0];
    encoder_tile_shape(&shape, &tile_rows, &tile_latents);
    n.result_count = shape.bf16 ? tile_rows * tile_latents : largest_tile(n.B, n.F);
    if (take_memory(&n, err)) SAE_TRY(SAE_NOMEM);
    make_dead(t, options->dead);
    SAE_TRY(choose_form(&n, err));
    SAE_TRY(measure(&n, t, &result, err));
    result.product = n.form < 0 ? "prepared bf16 matmul" : forms[n.form].name;
    result.gflops = 2.0 * (double)n.B * (double)n.d * (double)n.F / result.encoder_ms * 1e-6;
    result.peak_gflops = peak_flops() * 1e-9;
    result.tokens_per_s = 1e3 * (double)n.B / result.step_ms;
    result.plan = sae_trainer_plan(c, 1, &options->recipe);
    result.rows_bytes = (size_t)(n.n_batches * n.B * n.d + n.result_count) * sizeof(float);
    *out = result;
done:
    sae_trainer_free(t);
    mem_free(n.own_rows);
    mem_free(n.result);
    return status;
}
