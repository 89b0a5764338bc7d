/*
 * layout.c - all memory of a trainer, as one layout.
 *
 * The layout functions run twice: once to count (the plan), once to hand out memory. So the plan cannot drift from what is
 * taken.
 */
#include "sae/train.h"
#include "base/threads.h"

#include <string.h>

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

void describe_params(learner *l)
{
    int64_t d = l->config.d_in, d_out = l->d_out, F = l->config.d_sae, r = l->config.rank;
    bool gated = l->config.arch == SAE_GATED;
    const param p[N_PARAMS] = {
        [P_W_ENC] = {.name = "W_enc", .rows = F, .columns = d},
        [P_B_ENC] = {.name = "b_enc", .rows = 1, .columns = F},
        [P_W_DEC] = {.name = "W_dec", .rows = F, .columns = d_out},
        [P_B_DEC] = {.name = "b_dec", .rows = 1, .columns = d_out},
        [P_W_DOWN] = {.name = "W_down", .rows = r, .columns = d},
        [P_W_UP] = {.name = "W_up", .rows = r, .columns = d_out},
        [P_THRESHOLD] = {.name = "threshold", .rows = l->config.arch == SAE_JUMPRELU, .columns = F},
        [P_B_MAG] = {.name = "b_mag", .rows = gated, .columns = F},
        [P_R_MAG] = {.name = "r_mag", .rows = gated, .columns = F},
        [P_W_SKIP] = {.name = "W_skip", .rows = l->config.skip ? d_out : 0, .columns = d},
        [P_B_DOWN] = {.name = "b_down", .rows = r > 0 && l->config.scaffold_centre == SAE_CENTRE_OWN, .columns = r},
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

/* `later` is where the lists by latent, and what the backward pass fills, are taken from. */
static void layout_lists(pair_lists *k, int64_t capacity, int64_t B, int64_t F, bool residual, bool position, arena *a,
                         arena *later)
{
    k->row_start = arena_take(a, (size_t)(B + 1) * sizeof *k->row_start);
    k->latent = arena_take(a, (size_t)capacity * sizeof *k->latent);
    k->value = arena_take(a, (size_t)capacity * sizeof *k->value);
    k->latent_start = arena_take(a, (size_t)(F + 1) * sizeof *k->latent_start);
    k->row = arena_take(later, (size_t)capacity * sizeof *k->row);
    k->weight = arena_take(later, (size_t)capacity * sizeof *k->weight);
    k->slope = arena_take(later, (size_t)capacity * sizeof *k->slope);
    k->d_value = residual ? arena_take(later, (size_t)capacity * sizeof *k->d_value) : NULL;
    k->position = position ? arena_take(later, (size_t)capacity * sizeof *k->position) : NULL;
}

/* Keys take at least so many bytes. */
static void layout_best(best_rows *r, int64_t keep, int64_t B, size_t least, arena *a)
{
    size_t keys = (size_t)(B * best_room(keep)) * sizeof *r->keys;

    r->rows = keep > 0 ? arena_take(a, (size_t)B * sizeof *r->rows) : NULL;
    r->keys = keep > 0 ? arena_take(a, keys > least ? keys : least) : NULL;
}

/* AuxK's largest of each row, and its lists. The keys have been listed by row when the lists by latent are made, which therefore
 * take their place. */
static void layout_aux(scratch *s, const extent *e, int64_t B, arena *a)
{
    arena by_row = {0}, by_latent = {0}; /* only to count */

    layout_lists(&s->aux, B * e->aux_k, B, e->F, e->residual, e->residual, &by_row, &by_latent);
    layout_best(&s->best_dead, e->aux_k + e->aux_k / 4, B, by_latent.used, a);
    arena keys = {(unsigned char *)s->best_dead.keys, 0};
    layout_lists(&s->aux, B * e->aux_k, B, e->F, e->residual, e->residual, a, &keys);
}

static extent extent_of(const sae_trainer *t)
{
    const sae_train_options *o = &t->options;
    extent e = {.d = t->learners[0].config.d_in, .d_out = 1};
    bool with_auxk = false;

    for (int i = 0; i < t->n_dicts; i++) {
        const sae_dict_config *c = &t->learners[i].config;
        e.F = larger(e.F, c->d_sae);
        e.r = larger(e.r, c->rank);
        e.G = larger(e.G, t->learners[i].n_groups);
        int64_t k = largest_k(o, c);
        bool penalised = t->learners[i].family->rule != NULL;
        if (c->arch == SAE_TOPK) e.top_k = larger(e.top_k, k);
        if (c->arch != SAE_TOPK) e.pairs = larger(e.pairs, penalised ? penalised_most_pairs(c, o) : 2 * k * o->batch);
        e.penalised = e.penalised || penalised;
        e.keeps_k = e.keeps_k || !penalised;
        with_auxk = with_auxk || (!penalised && o->auxk_alpha > 0.0);
        e.uncentred = e.uncentred || (c->d_out == 0 && !c->apply_b_dec_to_input);
        e.d_out = larger(e.d_out, t->learners[i].d_out);
        e.residual = e.residual || sees_residual(&t->learners[i]);
        e.transcoder = e.transcoder || c->d_out > 0;
        int64_t tile_rows, tile_latents;
        encoder_shape shape = encoder_shape_of(t, i);
        encoder_tile_shape(&shape, &tile_rows, &tile_latents);
        e.tile_rows = larger(e.tile_rows, tile_rows);
        e.tile_latents = larger(e.tile_latents, tile_latents);
    }
    if (with_auxk) e.aux_k = smaller(o->auxk_k > 0 ? o->auxk_k : e.d / 2, e.F);
    return e;
}

int64_t aux_few_room(const scratch *s, int64_t d_sae)
{
    return s->exact ? smaller(larger(16, d_sae / 64), smaller(d_sae, s->tile_latents)) : 0;
}

static void layout_scratch(scratch *s, const extent *e, const sae_train_options *o, arena *a)
{
    int64_t B = o->batch, d = e->d, widest = larger(d, e->d_out), threads = s->n_threads;
    size_t row = (size_t)d * sizeof(float), row_out = (size_t)e->d_out * sizeof(float);

    s->x = arena_take(a, B * row);
    s->y = e->transcoder ? arena_take(a, B * row_out) : NULL;
    s->c = arena_take(a, B * row);
    s->u = e->residual || e->uncentred ? arena_take(a, B * row) : s->c;
    s->h = arena_take(a, (size_t)(B * e->r) * sizeof(float));
    s->d_h = arena_take(a, (size_t)(B * e->r) * sizeof(float));
    s->grad = arena_take(a, (size_t)(e->G * B) * row_out);
    s->aux_grad = e->residual || e->aux_k > 0 ? arena_take(a, B * row_out) : NULL;
    /* A panel and a tile are packed and used up in turn, never one within the other: they share a place. */
    s->tile = arena_take(a, (size_t)larger(e->tile_rows * e->tile_latents, larger(B, e->F) * PANEL) * sizeof(float));
    s->panel = s->tile;
    s->hit_latent = arena_take(a, (size_t)(threads * (e->tile_latents + 16)) * sizeof *s->hit_latent);
    s->hit_value = arena_take(a, (size_t)(threads * (e->tile_latents + 16)) * sizeof *s->hit_value);
    s->histogram = arena_take(a, (size_t)threads * HISTOGRAM_BINS * sizeof *s->histogram);
    s->stretches = arena_take(a, (size_t)threads * sizeof *s->stretches);
    s->tile_rows = e->tile_rows;
    s->tile_latents = e->tile_latents;
    s->exact = o->exact_codes || o->screen;
    s->row_margin = s->exact ? arena_take(a, (size_t)B * sizeof *s->row_margin) : NULL;
    s->survivors = o->screen ? arena_take(a, (size_t)threads * sizeof *s->survivors) : NULL;
    s->candidate_capacity = e->pairs + 4096 * (threads + 1);
    s->candidates = arena_take(a, (size_t)s->candidate_capacity * sizeof *s->candidates);
    s->counter = arena_take(a, (size_t)larger(B, threads * e->F) * sizeof *s->counter);
    layout_lists(&s->kept, larger(s->candidate_capacity, B * e->top_k), B, e->F, e->residual,
                 e->residual || e->penalised, a, a);
    layout_aux(s, e, B, a);
    s->kept.n_threads = s->aux.n_threads = s->n_threads;
    layout_best(&s->top, e->top_k, B, 0, a);
    s->norm =
        e->keeps_k && o->selection_rule == SAE_SELECT_TIMES_NORM ? arena_take(a, (size_t)e->F * sizeof *s->norm) : NULL;
    s->row_keys = o->resample_every > 0 ? arena_take(a, (size_t)B * sizeof *s->row_keys) : NULL;
    s->aux_bias = arena_take(a, (size_t)e->F * sizeof *s->aux_bias);
    int64_t few = e->aux_k > 0 ? aux_few_room(s, e->F) : 0;
    s->few_latent = arena_take(a, (size_t)few * sizeof *s->few_latent);
    s->few_W = arena_take(a, (size_t)few * row);
    s->few_bias = arena_take(a, (size_t)few * sizeof *s->few_bias);
    s->partial = arena_take(a, (size_t)N_BLOCKS * (widest + 1) * sizeof *s->partial);
    s->d_c = arena_take(a, (size_t)N_BLOCKS * d * sizeof *s->d_c);
    s->squares = arena_take(a, N_BLOCKS * sizeof *s->squares);
    s->column = arena_take(a, (size_t)widest * sizeof *s->column);
    s->row_loss = arena_take(a, (size_t)(B * e->G) * sizeof *s->row_loss);
}

encoder_shape encoder_shape_of(const sae_trainer *t, int i)
{
    const sae_train_options *o = &t->options;
    const sae_dict_config *c = &t->learners[i].config;
    encoder_shape shape = {.n_rows = o->batch,
                           .d_in = c->d_in,
                           .d_sae = c->d_sae,
                           .bf16 = o->encoder_dtype == SAE_ENCODER_BF16,
                           .n_threads = t->s.n_threads};

    for (int j = 0; j < t->n_dicts; j++)
        if (t->learners[j].config.d_sae == c->d_sae && t->learners[j].family->one_threshold) shape.screen = o->screen;
    return shape;
}

void trainer_layout(sae_trainer *t, arena arenas[4])
{
    extent e = extent_of(t);

    /* A dictionary's gradients are used up before the next one's are made: all have the same place. */
    for (int i = 0; i < t->n_dicts; i++) {
        arena gradients = {arenas[1].base, 0};
        layout_learner(&t->learners[i], &arenas[0], &gradients, &arenas[2]);
        arenas[1].used = (size_t)larger((int64_t)arenas[1].used, (int64_t)gradients.used);
    }
    layout_scratch(&t->s, &e, &t->options, &arenas[3]);
    for (int i = 0; i < t->n_dicts; i++)
        if (t->learners[i].family->layout) t->learners[i].family->layout(t, &t->learners[i], &e, &arenas[3]);
}

sae_memory_plan sae_trainer_plan(const sae_dict_config *configs, int n_dicts, const sae_train_options *options)
{
    sae_memory_plan plan = {0};
    sae_error err = {0};
    sae_trainer t = {.options = *options, .n_dicts = n_dicts};
    arena arenas[4] = {{0}};
    int64_t tile_rows, tile_latents;
    size_t library = 0, encoders = 0;

    if (trainer_check(configs, n_dicts, options, &err)) return plan;
    t.learners = mem_alloc_array((size_t)n_dicts, sizeof *t.learners, "a plan", &err);
    if (!t.learners) return plan;
    for (int i = 0; i < n_dicts; i++) learner_init(&t.learners[i], &configs[i], options);
    t.s.n_threads = omp_get_max_threads();
    trainer_layout(&t, arenas);
    for (int i = 0; i < n_dicts; i++) {
        if (configs[i].rank > 0 && configs[i].scaffold_start == SAE_START_PCA) /* given back before the first product */
            library = (size_t)larger((int64_t)library, (int64_t)scaffold_pca_bytes(configs[i].d_in));
        bool shared = false; /* those of one width have one encoder */
        for (int j = i - 1; j >= 0 && !shared; j--) shared = configs[j].d_sae == configs[i].d_sae;
        if (shared) continue;
        encoder_shape shape = encoder_shape_of(&t, i);
        encoders += encoder_bytes(&shape);
        encoder_tile_shape(&shape, &tile_rows, &tile_latents);
        if (!shape.bf16)
            library = (size_t)larger(
                (int64_t)library, (int64_t)encoder_packing_bytes(tile_rows, tile_latents, shape.d_in, t.s.n_threads));
    }
    mem_free(t.learners);
    plan = (sae_memory_plan){.weights = mem_resident(arenas[0].used),
                             .gradients = mem_resident(arenas[1].used),
                             .moments = mem_resident(arenas[2].used),
                             .scratch = mem_resident(arenas[3].used) + encoders,
                             .library = library};
    plan.total = plan.weights + plan.gradients + plan.moments + plan.scratch + plan.library;
    return plan;
}

sae_status trainer_take_memory(sae_trainer *t, sae_error *err)
{
    static const char *const names[4] = {"the weights", "the gradients", "the Adam moments", "the step's scratch"};
    arena arenas[4] = {{0}};

    trainer_layout(t, arenas);
    size_t wanted = arenas[0].used + arenas[1].used + arenas[2].used + arenas[3].used, free_now = memory_left();
    if (free_now > 0 && wanted > free_now)
        return SAE_FAIL(
            err, SAE_NOMEM,
            "training takes %zu MiB and %zu MiB are free: use a smaller width, batch or number of dictionaries (which "
            "sae sweep trains in several groups: --memory)",
            wanted >> 20, free_now >> 20);
    for (int i = 0; i < 4; i++) {
        t->memory[i] = mem_alloc(arenas[i].used, names[i], err);
        if (!t->memory[i]) return SAE_NOMEM;
        arenas[i] = (arena){t->memory[i], 0};
    }
    trainer_layout(t, arenas);
    return SAE_OK;
}
