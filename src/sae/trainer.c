/*
 * trainer.c - creating a trainer and its initial weights.
 */
#include "sae/train.h"
#include "base/threads.h"
#include "kernels/matmul.h"

#include <float.h>
#include <math.h>
#include <string.h>

void learner_init(learner *l, const sae_dict_config *config, const sae_train_options *o)
{
    l->config = *config;
    l->family = family_of(config->arch);
    l->d_out = config->d_out > 0 ? config->d_out : config->d_in;
    bool literal = config->arch == SAE_JUMPRELU && o->l0_rule == SAE_L0_QUADRATIC;
    l->config.apply_b_dec_to_input = config->d_out == 0 && !literal;
    l->n_groups = config->n_groups > 1 ? config->n_groups : 1;
    l->group_end[0] = config->d_sae;
    for (int64_t g = 0, end = 0; g < config->n_groups; g++) l->group_end[g] = end += config->groups[g];
    l->threshold = -1.0;
    l->k = config->k;
    l->last_pairs = -1;
    l->cutoff = -1.0f;
    l->input_scale = l->target_scale = o->unit_scale ? 0.0 : o->input_scale;
    describe_params(l);
}

static void random_directions(const sae_ops *ops, const param *p, double norm, rng *r)
{
    for (int64_t i = 0; i < p->rows * p->columns; i++) p->w[i] = (float)rng_normal(r);
    for (int64_t j = 0; j < p->rows; j++) unit_rows(ops, p->w, j, p->columns, FLT_EPSILON);
    if (norm == 1.0) return;
    for (int64_t i = 0; i < p->rows * p->columns; i++) p->w[i] *= (float)norm;
}

/* Of one direction's pre-activations [F], the k largest that are positive, decoded: the squared length. keys [F] */
static double rebuilt_squares(const sae_trainer *t, const learner *l, const float *scores, uint64_t *keys, float *row)
{
    int64_t F = l->config.d_sae,
            k = l->config.k > 0 && l->config.k < F ? l->config.k : F; /* a penalty may aim higher */
    uint32_t bits;

    for (int64_t j = 0; j < F; j++) {
        float value = scores[j] > 0.0f ? scores[j] : 0.0f;
        memcpy(&bits, &value, sizeof bits);
        keys[j] = (uint64_t)bits << 32 | (uint32_t)~j;
    }
    largest_keys_first(keys, F, k);
    memset(row, 0, (size_t)l->d_out * sizeof *row);
    for (int64_t n = 0; n < k; n++) {
        int64_t j = (uint32_t)~keys[n];
        const float *w = l->p[P_W_DEC].w + j * l->d_out;
        for (int64_t i = 0; i < l->d_out && scores[j] > 0.0f; i++) row[i] += scores[j] * w[i];
    }
    return t->ops->sum_squares(row, l->d_out);
}

/* The mean length of what is rebuilt of 256 random directions (openai); b_dec, which they are about, and biases of 0 fall out. Scratch of
 * a step serves: AT_ONCE <= PANEL / 4 rows of latents, and their keys, are in the panel. */
static double rebuilt_length(sae_trainer *t, const learner *l)
{
    enum { DIRECTIONS = 256, AT_ONCE = 8 };
    int64_t d = l->config.d_in, F = l->config.d_sae, at_once = t->options.batch < AT_ONCE ? t->options.batch : AT_ONCE;
    rng r = rng_seed(l->config.seed, 5);
    float *scores = t->s.panel;
    uint64_t *keys = (uint64_t *)(void *)(scores + AT_ONCE * F);
    double sum = 0;

    for (int64_t from = 0; from < DIRECTIONS; from += at_once) {
        int64_t n = DIRECTIONS - from < at_once ? DIRECTIONS - from : at_once;
        for (int64_t i = 0; i < n * d; i++) t->s.x[i] = (float)rng_normal(&r);
        for (int64_t b = 0; b < n; b++) unit_rows(t->ops, t->s.x, b, d, 0.0);
        matmul_nt(n, F, d, t->s.x, d, l->p[P_W_ENC].w, d, 0.0f, scores, F);
        for (int64_t b = 0; b < n; b++) sum += sqrt(rebuilt_squares(t, l, scores + b * F, keys, t->s.grad));
    }
    return sum / DIRECTIONS;
}

static void scale_encoder(sae_trainer *t, learner *l)
{
    double norm = t->options.encoder_norm, factor = norm / t->options.decoder_norm;

    if (norm == 0.0 || norm == SAE_ENCODER_UNIFORM) return;
    if (norm == SAE_ENCODER_REBUILDS) {
        double length = rebuilt_length(t, l);
        factor = length > 0.0 ? 1.0 / length : 1.0;
    }
    for (int64_t i = 0; i < l->config.d_sae * l->config.d_in; i++) l->p[P_W_ENC].w[i] *= (float)factor;
}

/* torch's Linear as sparsify begins: W_enc uniform, W_dec its directions; a transcoder's is 0, so that it begins as b_dec. */
static void uniform_weights(sae_trainer *t, learner *l, rng *r)
{
    const param *enc = &l->p[P_W_ENC], *dec = &l->p[P_W_DEC];
    int64_t d = l->config.d_in, n = l->config.d_sae * d;
    double bound = 1.0 / sqrt((double)d);

    for (int64_t i = 0; i < n; i++) enc->w[i] = (float)(bound * (2.0 * rng_uniform(r) - 1.0));
    if (l->config.d_out > 0) return;
    memcpy(dec->w, enc->w, (size_t)n * sizeof(float));
    for (int64_t j = 0; j < dec->rows; j++) unit_rows(t->ops, dec->w, j, d, FLT_EPSILON);
    for (int64_t i = 0; i < n; i++) dec->w[i] *= (float)t->options.decoder_norm;
}

/* W_dec rows are random directions, W_enc their copy (tied at the start). A transcoder reads and writes different spaces: its W_enc has
 * directions of its own. */
static void tied_weights(sae_trainer *t, learner *l, rng *dictionary)
{
    rng encoder_rows = rng_seed(l->config.seed, 3);

    random_directions(t->ops, &l->p[P_W_DEC], t->options.decoder_norm, dictionary);
    if (l->config.d_out > 0)
        random_directions(t->ops, &l->p[P_W_ENC], t->options.decoder_norm, &encoder_rows);
    else
        memcpy(l->p[P_W_ENC].w, l->p[P_W_DEC].w, (size_t)(l->config.d_sae * l->config.d_in) * sizeof(float));
}

/* W_down ~ N(0, 1/d), W_up = W_skip = 0: at step 0 a scaffold adds nothing. One that begins at random has W_up ~ N(0, 1/d_out). Rows have
 * random streams of their own kind, so the rank does not change the dictionary. */
static void initial_weights(sae_trainer *t, learner *l)
{
    int64_t d = l->config.d_in, F = l->config.d_sae;
    rng dictionary = rng_seed(l->config.seed, 1), down = rng_seed(l->config.seed, 2), up = rng_seed(l->config.seed, 4);
    const param *W_up = &l->p[P_W_UP];

    if (t->options.encoder_norm == SAE_ENCODER_UNIFORM)
        uniform_weights(t, l, &dictionary);
    else
        tied_weights(t, l, &dictionary);
    for (int64_t j = 0; j < l->p[P_THRESHOLD].rows * F; j++) l->p[P_THRESHOLD].w[j] = (float)t->options.first_threshold;
    scale_encoder(t, l);
    for (int64_t i = 0; i < l->config.rank * d; i++) l->p[P_W_DOWN].w[i] = (float)(rng_normal(&down) / sqrt((double)d));
    if (l->config.scaffold_start != SAE_START_RANDOM) return;
    for (int64_t i = 0; i < W_up->rows * W_up->columns; i++)
        W_up->w[i] = (float)(rng_normal(&up) / sqrt((double)W_up->columns));
}

static sae_status make_encoders(sae_trainer *t, sae_error *err)
{
    sae_status status = SAE_OK;

    t->encoders = mem_alloc_array((size_t)t->n_dicts, sizeof(encoder *), "the encoder products", err);
    if (!t->encoders) return SAE_NOMEM;
    for (int i = 0; i < t->n_dicts; i++) {
        encoder_shape shape = encoder_shape_of(t, i);
        for (int j = 0; j < i && !t->encoders[i]; j++)
            if (t->learners[j].config.d_sae == shape.d_sae) t->encoders[i] = t->encoders[j];
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

    SAE_TRY(trainer_check(configs, n_dicts, options, err));
    t = mem_alloc(sizeof *t, "a trainer", err);
    if (!t) SAE_TRY(SAE_NOMEM);
    t->options = *options;
    t->n_dicts = n_dicts;
    t->ops = sae_ops_get();
    t->dots = screen_ops_get();
    t->s.n_threads = omp_get_max_threads();
    t->learners = mem_alloc_array((size_t)n_dicts, sizeof *t->learners, "the dictionaries", err);
    if (!t->learners) SAE_TRY(SAE_NOMEM);
    for (int i = 0; i < n_dicts; i++) learner_init(&t->learners[i], &configs[i], options);
    SAE_TRY(trainer_take_memory(t, err));
    SAE_TRY(make_encoders(t, err));
    for (int i = 0; i < n_dicts; i++) initial_weights(t, &t->learners[i]);
    *out = t;
    t = NULL;
done:
    sae_trainer_free(t);
    return status;
}

/* Sign-SGD's averages need what it keeps in the moments: they become the weights. */
static void settle_averages(sae_trainer *t)
{
    if (t->finished || !t->memory[2]) return;
    for (int i = 0; i < t->n_dicts; i++) {
        learner *l = &t->learners[i];
        for (int p = 0; p < N_PARAMS; p++)
            if (is_averaged(t, l, p)) averaged_weights(&t->options, &l->p[p], l->p[p].w);
    }
}

void sae_trainer_finish(sae_trainer *t)
{
    settle_averages(t);
    for (int i = 0; t->encoders && i < t->n_dicts; i++) {
        bool shared = false;
        for (int j = 0; j < i; j++) shared = shared || t->encoders[j] == t->encoders[i];
        if (!shared) encoder_free(t->encoders[i]);
    }
    mem_free(t->encoders);
    t->encoders = NULL;
    for (int i = 1; i < 4; i++) { /* all but the weights */
        mem_free(t->memory[i]);
        t->memory[i] = NULL;
    }
    t->finished = true;
}

void sae_trainer_free(sae_trainer *t)
{
    if (!t) return;
    sae_trainer_finish(t);
    json_decref(t->place);
    mem_free(t->memory[0]);
    mem_free(t->learners);
    mem_free(t);
}

int64_t sae_trainer_steps_done(const sae_trainer *t) { return t->step; }
int sae_trainer_n_dicts(const sae_trainer *t) { return t->n_dicts; }
