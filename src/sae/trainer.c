/*
 * trainer.c - creating a trainer (all its memory), initial weights, the order of one step, export.
 *
 * The layout functions run twice: once to count (the plan), once to hand out memory. So the plan cannot drift from what is
 * taken.
 */
#include "sae/train.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

static bool wants_bf16(const sae_train_options *o) { return o->encoder_dtype == SAE_ENCODER_BF16; }
static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

enum { MOST_PANEL_BYTES = 64 << 20 };

/* ---- Layout ------------------------------------------------------------------------------------------------------------- */

static void describe_params(learner *l)
{
    int64_t d = l->config.d_in, F = l->config.d_sae, r = l->config.rank;
    const param p[N_PARAMS] = {
        [P_W_ENC] = {.name = "W_enc", .rows = F, .columns = d},
        [P_B_ENC] = {.name = "b_enc", .rows = 1, .columns = F},
        [P_W_DEC] = {.name = "W_dec", .rows = F, .columns = d},
        [P_B_DEC] = {.name = "b_dec", .rows = 1, .columns = d},
        [P_W_DOWN] = {.name = "W_down", .rows = r, .columns = d},
        [P_W_UP] = {.name = "W_up", .rows = r, .columns = d},
    };

    memcpy(l->p, p, sizeof p);
}

static void layout_learner(learner *l, arena *weights, arena *gradients, arena *moments)
{
    for (int i = 0; i < N_PARAMS; i++) {
        param *p = &l->p[i];
        size_t bytes = (size_t)p->rows * p->columns * sizeof(float);
        p->w = arena_take(weights, bytes);
        p->g = arena_take(gradients, bytes);
        p->m = arena_take(moments, bytes);
        p->v = arena_take(moments, bytes);
    }
    l->since_fired = arena_take(moments, (size_t)l->config.d_sae * sizeof *l->since_fired);
}

static void layout_lists(pair_lists *k, int64_t capacity, int64_t B, int64_t F, bool p2, arena *a)
{
    k->row_start = arena_take(a, (size_t)(B + 1) * sizeof *k->row_start);
    k->latent = arena_take(a, (size_t)capacity * sizeof *k->latent);
    k->value = arena_take(a, (size_t)capacity * sizeof *k->value);
    k->latent_start = arena_take(a, (size_t)(F + 1) * sizeof *k->latent_start);
    k->row = arena_take(a, (size_t)capacity * sizeof *k->row);
    k->weight = arena_take(a, (size_t)capacity * sizeof *k->weight);
    k->slope = arena_take(a, (size_t)capacity * sizeof *k->slope);
    k->d_value = p2 ? arena_take(a, (size_t)capacity * sizeof *k->d_value) : NULL;
    k->position = p2 ? arena_take(a, (size_t)capacity * sizeof *k->position) : NULL;
}

/* The largest of what the dictionaries need. */
typedef struct extent {
    int64_t d, F, r, G, K, aux_k;
    bool p2;
} extent;

static extent extent_of(const learner *learners, int n, const sae_train_options *o)
{
    extent e = {.d = learners[0].config.d_in};

    for (int i = 0; i < n; i++) {
        const sae_dict_config *c = &learners[i].config;
        e.F = larger(e.F, c->d_sae);
        e.r = larger(e.r, c->rank);
        e.G = larger(e.G, learners[i].n_groups);
        e.K = larger(e.K, c->k * o->batch);
        e.p2 = e.p2 || (c->rank > 0 && c->variant == SAE_P2);
    }
    if (o->auxk_alpha > 0.0) e.aux_k = smaller(o->auxk_k > 0 ? o->auxk_k : e.d / 2, e.F);
    return e;
}

static void layout_scratch(scratch *s, const extent *e, const sae_train_options *o, arena *a)
{
    int64_t B = o->batch, d = e->d, tile_rows, tile_latents, threads = s->n_threads;
    encoder_shape shape = {B, d, e->F, wants_bf16(o)};
    size_t row = (size_t)d * sizeof(float);

    encoder_tile_shape(&shape, &tile_rows, &tile_latents);
    s->x = arena_take(a, B * row);
    s->c = arena_take(a, B * row);
    s->u = e->p2 ? arena_take(a, B * row) : s->c;
    s->h = arena_take(a, (size_t)(B * e->r) * sizeof(float));
    s->d_h = arena_take(a, (size_t)(B * e->r) * sizeof(float));
    s->grad = arena_take(a, (size_t)(e->G * B) * row);
    s->aux_grad = e->p2 || e->aux_k > 0 ? arena_take(a, B * row) : NULL;
    s->tile = arena_take(a, (size_t)(tile_rows * tile_latents) * sizeof(float));
    s->hit_latent = arena_take(a, (size_t)(threads * (tile_latents + 16)) * sizeof *s->hit_latent);
    s->hit_value = arena_take(a, (size_t)(threads * (tile_latents + 16)) * sizeof *s->hit_value);
    s->histogram = arena_take(a, (size_t)threads * HISTOGRAM_BINS * sizeof *s->histogram);
    s->stretches = arena_take(a, (size_t)threads * sizeof *s->stretches);
    s->candidate_capacity = 2 * e->K + 4096 * (threads + 1);
    s->candidates = arena_take(a, (size_t)s->candidate_capacity * sizeof *s->candidates);
    s->counter = arena_take(a, (size_t)(larger(B, e->F) + 1) * sizeof *s->counter);
    layout_lists(&s->kept, s->candidate_capacity, B, e->F, e->p2, a);
    layout_lists(&s->aux, B * e->aux_k, B, e->F, e->p2, a);
    s->aux_room = 2 * (e->aux_k + e->aux_k / 4) + 16;
    s->aux_rows = arena_take(a, (size_t)B * sizeof *s->aux_rows);
    s->aux_keys = arena_take(a, e->aux_k > 0 ? (size_t)(B * s->aux_room) * sizeof *s->aux_keys : 0);
    s->aux_bias = arena_take(a, (size_t)e->F * sizeof *s->aux_bias);
    s->panel_rows = larger(B, e->F);
    size_t panel = (size_t)(s->panel_rows * PANEL) * sizeof(float);
    s->panel_threads = (int)larger(1, smaller(threads, (int64_t)(MOST_PANEL_BYTES / panel)));
    s->panels = arena_take(a, e->aux_k > 0 ? (size_t)s->panel_threads * panel : 0);
    s->partial = arena_take(a, (size_t)N_BLOCKS * (d + 1) * sizeof *s->partial);
    s->d_c = arena_take(a, (size_t)N_BLOCKS * d * sizeof *s->d_c);
    s->squares = arena_take(a, N_BLOCKS * sizeof *s->squares);
    s->column = arena_take(a, (size_t)d * sizeof *s->column);
    s->row_loss = arena_take(a, (size_t)(B * e->G) * sizeof *s->row_loss);
}

static void layout(sae_trainer *t, arena arenas[4])
{
    extent e = extent_of(t->learners, t->n_dicts, &t->options);

    for (int i = 0; i < t->n_dicts; i++) layout_learner(&t->learners[i], &arenas[0], &arenas[1], &arenas[2]);
    layout_scratch(&t->s, &e, &t->options, &arenas[3]);
}

/* ---- Checks ------------------------------------------------------------------------------------------------------------- */

static sae_status check_config(const sae_dict_config *c, const sae_dict_config *first, int i, int64_t batch,
                               sae_error *err)
{
    int64_t sum = 0;

    if (c->arch != SAE_BATCHTOPK && c->arch != SAE_MATRYOSHKA)
        return SAE_FAIL(err, SAE_UNSUPPORTED, "dictionary %d: only batchtopk and matryoshka can be trained", i);
    if (c->d_in != first->d_in)
        return SAE_FAIL(err, SAE_SHAPE,
                        "dictionary %d: d_in %lld differs from the first one's %lld, but one stream feeds both", i,
                        (long long)c->d_in, (long long)first->d_in);
    if (c->d_in < 1 || c->d_in > 1 << 20 || c->d_sae < 1 || c->d_sae > 1 << 26)
        return SAE_FAIL(err, SAE_RANGE, "dictionary %d: d_in %lld, d_sae %lld: must lie in [1, 2^20] and [1, 2^26]", i,
                        (long long)c->d_in, (long long)c->d_sae);
    if (c->k < 1 || c->k > c->d_sae)
        return SAE_FAIL(err, SAE_RANGE, "dictionary %d: k %lld must lie in [1, d_sae = %lld]", i, (long long)c->k,
                        (long long)c->d_sae);
    if (c->k * batch > 1 << 28)
        return SAE_FAIL(err, SAE_RANGE,
                        "dictionary %d: k x batch = %lld pairs a step is over 2^28: use a smaller batch", i,
                        (long long)(c->k * batch));
    if (c->rank < 0 || c->rank > c->d_in)
        return SAE_FAIL(err, SAE_RANGE, "dictionary %d: rank %lld must lie in [0, d_in = %lld]", i, (long long)c->rank,
                        (long long)c->d_in);
    if (c->n_groups < 0 || c->n_groups > SAE_MAX_GROUPS)
        return SAE_FAIL(err, SAE_RANGE, "dictionary %d: %d Matryoshka groups; at most %d", i, c->n_groups,
                        SAE_MAX_GROUPS);
    for (int g = 0; g < c->n_groups; g++) {
        if (c->groups[g] < 1 || c->groups[g] > c->d_sae)
            return SAE_FAIL(err, SAE_RANGE, "dictionary %d: Matryoshka group %d has %lld latents", i, g,
                            (long long)c->groups[g]);
        sum += c->groups[g];
    }
    if (c->arch == SAE_MATRYOSHKA ? c->n_groups < 1 || sum != c->d_sae : c->n_groups > 1)
        return SAE_FAIL(err, SAE_RANGE, "dictionary %d: Matryoshka groups sum to %lld, d_sae is %lld", i,
                        (long long)sum, (long long)c->d_sae);
    return SAE_OK;
}

static sae_status check_options(const sae_train_options *o, sae_error *err)
{
    if (o->batch < 1 || o->batch > 1 << 24)
        return SAE_FAIL(err, SAE_RANGE, "batch %lld must lie in [1, 2^24]", (long long)o->batch);
    if (o->steps < 1) return SAE_FAIL(err, SAE_RANGE, "steps %lld must be at least 1", (long long)o->steps);
    if (!(o->lr > 0.0) || !isfinite(o->lr)) return SAE_FAIL(err, SAE_RANGE, "lr %g must be positive", o->lr);
    if (!(o->threshold_beta >= 0.0 && o->threshold_beta < 1.0))
        return SAE_FAIL(err, SAE_RANGE, "threshold beta %g must lie in [0, 1)", o->threshold_beta);
    if (!(o->adam_beta1 >= 0.0 && o->adam_beta1 < 1.0 && o->adam_beta2 >= 0.0 && o->adam_beta2 < 1.0 &&
          o->adam_eps > 0.0))
        return SAE_FAIL(err, SAE_RANGE, "Adam's betas must lie in [0, 1), its eps above 0");
    if (!(o->auxk_alpha >= 0.0) || !(o->grad_clip >= 0.0) || o->warmup_steps < 0 || o->dead_tokens < 0 || o->auxk_k < 0)
        return SAE_FAIL(err, SAE_RANGE, "AuxK's weight, clipping, warm-up and dead tokens must not be negative");
    if (!o->unit_scale && (!(o->input_scale > 0.0) || !isfinite(o->input_scale)))
        return SAE_FAIL(err, SAE_RANGE, "input scale %g must be positive", o->input_scale);
    return SAE_OK;
}

static void set_config(learner *l, const sae_dict_config *config, const sae_train_options *o)
{
    l->config = *config;
    l->config.apply_b_dec_to_input = true;
    l->n_groups = config->n_groups > 1 ? config->n_groups : 1;
    l->group_end[0] = config->d_sae;
    for (int64_t g = 0, end = 0; g < config->n_groups; g++) l->group_end[g] = end += config->groups[g];
    l->threshold = -1.0;
    l->cutoff = -1.0f;
    l->input_scale = o->unit_scale ? 0.0 : o->input_scale;
    describe_params(l);
}

/* ---- Creation ----------------------------------------------------------------------------------------------------------- */

/* W_dec rows are random directions, W_enc their copy (tied at the start), W_down ~ N(0, 1/d), W_up = 0: at step 0 a scaffold
 * adds nothing. Rows have random streams of their own kind, so the rank does not change the dictionary. */
static void initial_weights(sae_trainer *t, learner *l)
{
    int64_t d = l->config.d_in, F = l->config.d_sae;
    rng dictionary = rng_seed(t->options.seed, 1), down = rng_seed(t->options.seed, 2);
    float *W_dec = l->p[P_W_DEC].w;

    for (int64_t i = 0; i < F * d; i++) W_dec[i] = (float)rng_normal(&dictionary);
    for (int64_t j = 0; j < F; j++) unit_rows(t->ops, W_dec, j, d);
    memcpy(l->p[P_W_ENC].w, W_dec, (size_t)(F * d) * sizeof(float));
    for (int64_t i = 0; i < l->config.rank * d; i++) l->p[P_W_DOWN].w[i] = (float)(rng_normal(&down) / sqrt((double)d));
}

sae_memory_plan sae_trainer_plan(const sae_dict_config *configs, int n_dicts, const sae_train_options *options)
{
    sae_memory_plan plan = {0};
    sae_error err = {0};
    sae_trainer t = {.options = *options, .n_dicts = n_dicts};
    arena arenas[4] = {{0}};
    int64_t tile_rows, tile_latents;
    size_t library = 0;

    if (n_dicts < 1 || check_options(options, &err)) return plan;
    for (int i = 0; i < n_dicts; i++)
        if (check_config(&configs[i], &configs[0], i, options->batch, &err)) return plan;
    t.learners = mem_alloc_array((size_t)n_dicts, sizeof *t.learners, "a plan", &err);
    if (!t.learners) return plan;
    for (int i = 0; i < n_dicts; i++) set_config(&t.learners[i], &configs[i], options);
    t.s.n_threads = omp_get_max_threads();
    layout(&t, arenas);
    for (int i = 0; i < n_dicts; i++) {
        encoder_shape shape = {options->batch, configs[i].d_in, configs[i].d_sae, wants_bf16(options)};
        bool shared = false;
        for (int j = 0; j < i; j++) shared = shared || configs[j].d_sae == configs[i].d_sae;
        if (!shared) arenas[3].used += encoder_bytes(&shape);
        encoder_tile_shape(&shape, &tile_rows, &tile_latents);
        if (!shape.bf16)
            library =
                (size_t)larger((int64_t)library, (int64_t)encoder_packing_bytes(tile_rows, tile_latents, shape.d_in));
    }
    mem_free(t.learners);
    plan = (sae_memory_plan){arenas[0].used, arenas[1].used, arenas[2].used, arenas[3].used, library, 0};
    plan.total = plan.weights + plan.gradients + plan.moments + plan.scratch + plan.library;
    return plan;
}

static sae_status take_memory(sae_trainer *t, sae_error *err)
{
    static const char *const names[4] = {"the weights", "the gradients", "the Adam moments", "the step's scratch"};
    arena arenas[4] = {{0}};

    layout(t, arenas);
    size_t wanted = arenas[0].used + arenas[1].used + arenas[2].used + arenas[3].used, free_now = memory_available();
    if (free_now > 0 && wanted > free_now)
        return SAE_FAIL(
            err, SAE_NOMEM,
            "training takes %zu MiB and %zu MiB are free: use a smaller width, batch or number of dictionaries",
            wanted >> 20, free_now >> 20);
    for (int i = 0; i < 4; i++) {
        t->memory[i] = mem_alloc(arenas[i].used, names[i], err);
        if (!t->memory[i]) return SAE_NOMEM;
        arenas[i] = (arena){t->memory[i], 0};
    }
    layout(t, arenas);
    return SAE_OK;
}

static sae_status make_encoders(sae_trainer *t, sae_error *err)
{
    sae_status status = SAE_OK;

    t->encoders = mem_alloc_array((size_t)t->n_dicts, sizeof(encoder *), "the encoder products", err);
    if (!t->encoders) return SAE_NOMEM;
    for (int i = 0; i < t->n_dicts; i++) {
        const sae_dict_config *c = &t->learners[i].config;
        encoder_shape shape = {t->options.batch, c->d_in, c->d_sae, wants_bf16(&t->options)};
        for (int j = 0; j < i && !t->encoders[i]; j++)
            if (t->learners[j].config.d_sae == c->d_sae) t->encoders[i] = t->encoders[j];
        if (!t->encoders[i]) SAE_TRY(encoder_create(&t->encoders[i], &shape, err));
    }
done:
    return status;
}

sae_status sae_trainer_create(sae_trainer **out, const sae_dict_config *configs, int n_dicts,
                              const sae_train_options *options, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_trainer *t = NULL;

    if (n_dicts < 1) SAE_RAISE(err, SAE_RANGE, "a trainer needs at least one dictionary");
    SAE_TRY(check_options(options, err));
    for (int i = 0; i < n_dicts; i++) SAE_TRY(check_config(&configs[i], &configs[0], i, options->batch, err));
    t = mem_alloc(sizeof *t, "a trainer", err);
    if (!t) SAE_TRY(SAE_NOMEM);
    t->options = *options;
    t->n_dicts = n_dicts;
    t->ops = sae_ops_get();
    t->s.n_threads = omp_get_max_threads();
    t->learners = mem_alloc_array((size_t)n_dicts, sizeof *t->learners, "the dictionaries", err);
    if (!t->learners) SAE_TRY(SAE_NOMEM);
    for (int i = 0; i < n_dicts; i++) set_config(&t->learners[i], &configs[i], options);
    SAE_TRY(take_memory(t, err));
    SAE_TRY(make_encoders(t, err));
    for (int i = 0; i < n_dicts; i++) initial_weights(t, &t->learners[i]);
    *out = t;
    t = NULL;
done:
    sae_trainer_free(t);
    return status;
}

void sae_trainer_free(sae_trainer *t)
{
    if (!t) return;
    for (int i = 0; t->encoders && i < t->n_dicts; i++) {
        bool shared = false;
        for (int j = 0; j < i; j++) shared = shared || t->encoders[j] == t->encoders[i];
        if (!shared) encoder_free(t->encoders[i]);
    }
    mem_free(t->encoders);
    for (int i = 0; i < 4; i++) mem_free(t->memory[i]);
    mem_free(t->learners);
    mem_free(t);
}

int64_t sae_trainer_steps_done(const sae_trainer *t) { return t->step; }
int sae_trainer_n_dicts(const sae_trainer *t) { return t->n_dicts; }

/* ---- A step ------------------------------------------------------------------------------------------------------------- */

/* The point with the smallest sum of distances to the rows (Weiszfeld's iteration, at most 100 rounds, to 1e-5), as
 * dictionary_learning starts b_dec. A row that coincides with the point gets no weight, where theirs would divide by 0. */
static void geometric_median(const float *x, int64_t n, int64_t d, double *partial, double *point, float *out)
{
    column_sums(x, n, d, 1.0 / (double)n, partial, point);
    for (int round = 0; round < 100; round++) {
        double total = 0, moved = 0;
#pragma omp parallel for schedule(static)
        for (int block = 0; block < N_BLOCKS; block++) {
            double *sum = partial + block * d, weights = 0;
            memset(sum, 0, (size_t)d * sizeof *sum);
            for (int64_t b = n * block / N_BLOCKS; b < n * (block + 1) / N_BLOCKS; b++) {
                double distance = 0;
                for (int64_t i = 0; i < d; i++) distance += (x[b * d + i] - point[i]) * (x[b * d + i] - point[i]);
                if (distance == 0.0) continue;
                double w = 1.0 / sqrt(distance);
                weights += w;
                for (int64_t i = 0; i < d; i++) sum[i] += w * (double)x[b * d + i];
            }
            partial[N_BLOCKS * d + block] = weights;
        }
        for (int block = 0; block < N_BLOCKS; block++) total += partial[N_BLOCKS * d + block];
        if (total == 0.0) break;
        for (int64_t i = 0; i < d; i++) {
            double next = 0;
            for (int block = 0; block < N_BLOCKS; block++) next += partial[block * d + i];
            next /= total;
            moved += (next - point[i]) * (next - point[i]);
            point[i] = next;
        }
        if (sqrt(moved) < 1e-5) break;
    }
    for (int64_t i = 0; i < d; i++) out[i] = (float)point[i];
}

static void scale_rows(sae_trainer *t, learner *l, const float *rows)
{
    scratch *s = &t->s;
    int64_t B = t->options.batch, d = l->config.d_in;

    if (l->input_scale <= 0.0) {
        double sum = 0;
        for (int64_t b = 0; b < B; b++) sum += t->ops->sum_squares(rows + b * d, d);
        l->input_scale = sum > 0.0 && isfinite(sum) ? sqrt(sum / (double)B) : 1.0;
    }
    float factor = (float)(1.0 / l->input_scale);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < B * d; i++) s->x[i] = rows[i] * factor;
}

static void update_threshold(sae_trainer *t, learner *l, const step_sums *sums)
{
    const sae_train_options *o = &t->options;

    if (t->step <= o->threshold_start_step || sums->smallest <= 0.0) return;
    if (l->threshold < 0.0)
        l->threshold = sums->smallest;
    else
        l->threshold = o->threshold_beta * l->threshold + (1.0 - o->threshold_beta) * sums->smallest;
}

static int64_t count_dense(const scratch *s, int64_t B, int64_t F)
{
    int64_t n = 0;

    for (int64_t j = 0; j < F; j++) n += 10 * (s->kept.latent_start[j + 1] - s->kept.latent_start[j]) > B;
    return n;
}

static sae_status step_one(sae_trainer *t, int i, const float *rows, sae_step_stats *stats, sae_error *err)
{
    sae_status status = SAE_OK;
    learner *l = &t->learners[i];
    encoder *e = t->encoders[i];
    scratch *s = &t->s;
    step_sums sums = {0};
    int64_t B = t->options.batch;

    /* Rows are scaled once for all: every dictionary measures the same scale on the same first rows. */
    if (i == 0) scale_rows(t, l, rows);
    l->input_scale = t->learners[0].input_scale;
    if (t->step == 0) geometric_median(s->x, B, l->config.d_in, s->partial, s->column, l->p[P_B_DEC].w);
    int64_t n_dead = auxk_mark(t, l);
    SAE_TRY(encode_rows(t, l, e, n_dead > 0, err));
    select_kept(t, l, &sums);
    forward_rows(t, l, &sums);
    update_threshold(t, l, &sums);
    SAE_TRY(auxk_rows(t, l, e, n_dead > 0, &sums, err));
    double loss = sums.l2_loss + t->options.auxk_alpha * sums.aux_loss;
    if (!isfinite(loss))
        SAE_RAISE(err, SAE_NUMERIC,
                  "step %lld, dictionary %d: the loss is %g (l2 %g, AuxK %g): look for rows that are not "
                  "finite, or lower the learning rate",
                  (long long)t->step, i, loss, sums.l2_loss, sums.aux_loss);
    double grad_norm = backward(t, l), lr = learning_rate(&t->options, t->step);
    update(t, l, grad_norm, lr);
    if (stats)
        *stats = (sae_step_stats){.step = t->step,
                                  .loss = loss,
                                  .l2_loss = sums.l2_loss,
                                  .auxk_loss = sums.aux_loss,
                                  .l0 = (double)sums.n_kept / (double)B,
                                  .fvu = sums.variance > 0.0 ? sums.residual / sums.variance : 0.0,
                                  .threshold = l->threshold,
                                  .grad_norm = grad_norm,
                                  .lr = lr,
                                  .min_active = sums.smallest,
                                  .dead = sums.dead,
                                  .dense = count_dense(s, B, l->config.d_sae)};
done:
    return status;
}

sae_status sae_trainer_step(sae_trainer *t, const float *rows, sae_step_stats *stats, sae_error *err)
{
    sae_status status = SAE_OK;

    mem_guard_begin("a training step");
    for (int i = 0; i < t->n_dicts; i++) SAE_TRY(step_one(t, i, rows, stats ? &stats[i] : NULL, err));
    t->step++;
done:
    mem_guard_end();
    return status;
}

/* ---- Export --------------------------------------------------------------------------------------------------------------- */

/* With x = scale x', a dictionary of x' becomes one of x when b_enc, b_dec and the threshold are multiplied by the scale: its
 * codes then carry the rows' units. W_down and W_up are linear and stay. */
sae_status sae_trainer_export(const sae_trainer *t, int i, sae_dict **out, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_dict *dict = NULL;

    if (i < 0 || i >= t->n_dicts) SAE_RAISE(err, SAE_RANGE, "there is no dictionary %d in this trainer", i);
    const learner *l = &t->learners[i];
    if (l->threshold < 0.0 && t->step > t->options.threshold_start_step + 1)
        SAE_RAISE(err, SAE_STATE,
                  "dictionary %d has no threshold: none of its latents fired after step %lld. Are the rows all alike?",
                  i, (long long)t->options.threshold_start_step);
    if (l->threshold < 0.0)
        SAE_RAISE(err, SAE_STATE,
                  "dictionary %d has no threshold yet: it is first set in the step after step %lld, and %lld steps "
                  "were done; "
                  "train longer, or lower --threshold-start-step",
                  i, (long long)t->options.threshold_start_step, (long long)t->step);
    SAE_TRY(sae_dict_create(&dict, &l->config, err));
    sae_weights w = sae_dict_weights(dict);
    float *to[N_PARAMS] = {w.W_enc, w.b_enc, w.W_dec, w.b_dec, w.W_down, w.W_up};
    float scale = (float)l->input_scale;
    for (int p = 0; p < N_PARAMS; p++) {
        int64_t n = l->p[p].rows * l->p[p].columns;
        if (n > 0) memcpy(to[p], l->p[p].w, (size_t)n * sizeof(float));
        if (p == P_B_ENC || p == P_B_DEC)
            for (int64_t k = 0; k < n; k++) to[p][k] *= scale;
    }
    for (int64_t j = 0; j < l->config.d_sae; j++) w.threshold[j] = (float)(l->threshold * l->input_scale);
    *out = dict;
    dict = NULL;
done:
    sae_dict_free(dict);
    return status;
}
