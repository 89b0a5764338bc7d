/* recipe.c - the constants of training, by the name of whose they are. */
#include "sae/recipe_fields.h"
#include "sae/train.h"

#include <math.h>
#include <string.h>

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

sae_train_options sae_recipe_dictionary_learning(int64_t batch, int64_t steps, int64_t d_sae)
{
    return (sae_train_options){.batch = batch,
                               .steps = steps,
                               .lr = 2e-4 / sqrt((double)d_sae / 16384.0),
                               .warmup_steps = 1000,
                               .decay_start = steps,
                               .threshold_beta = 0.999,
                               .threshold_start_step = 1000,
                               .dead_tokens = 10000000,
                               .auxk_alpha = 1.0 / 32.0,
                               .decoder_norm = 1.0,
                               .l0_rate = 1.0,
                               .bandwidth = 0.001,
                               .adam_beta1 = 0.9,
                               .adam_beta2 = 0.999,
                               .adam_eps = 1e-8,
                               .grad_clip = 1.0,
                               .input_scale = 1.0};
}

sae_train_options sae_recipe_saebench(int64_t batch, int64_t steps)
{
    sae_train_options o = sae_recipe_dictionary_learning(batch, steps, 16384);
    double T = (double)(steps > 0 ? steps : 1), rows = T * (double)batch;

    o.lr = rows < 1e7 ? 1e-3 : 3e-4;
    o.warmup_steps = smaller(1000, steps / 20);
    o.decay_start = steps - steps / 5;
    o.threshold_start_step = smaller(1000, steps / 10);
    o.threshold_beta = 1.0 - fmin(1.0, fmax(0.001, 10.0 / T));
    o.dead_tokens = smaller(10000000, steps * batch / 5);
    o.unit_scale = true;
    return o;
}

/* dictionary_learning's trainers of families with a penalty or thresholds differ from those that keep k. */
static void set_penalised(sae_train_options *o, sae_arch arch, double lr)
{
    o->lr = lr;
    o->auxk_alpha = 0.0;
    o->b_dec_start = SAE_B_DEC_ZERO;
    if (arch == SAE_STANDARD) o->decoder_norm = 0.1;
    if (arch != SAE_STANDARD) o->adam_beta1 = 0.0;
    if (arch == SAE_JUMPRELU) return;
    o->decoder_rule = SAE_DECODER_CONSTRAINED;
    o->grad_clip = 0.0;
}

static sae_train_options dictionary_learning(sae_arch arch, int64_t batch, int64_t steps, int64_t d_sae)
{
    sae_train_options o = sae_recipe_dictionary_learning(batch, steps, d_sae);

    if (keeps_k(arch)) return o;
    set_penalised(&o, arch, arch == SAE_JUMPRELU ? 7e-5 : arch == SAE_GATED ? 5e-5 : 1e-3);
    o.sparsity_warmup_steps = 2000;
    o.l0_rule = SAE_L0_QUADRATIC;
    o.first_threshold = 0.001;
    return o;
}

static sae_train_options saebench(sae_arch arch, int64_t batch, int64_t steps)
{
    sae_train_options o = sae_recipe_saebench(batch, steps);

    if (arch == SAE_STANDARD || arch == SAE_GATED) o.sparsity_warmup_steps = smaller(5000, steps / 20);
    return o;
}

static sae_train_options saelens(sae_arch arch, int64_t batch, int64_t steps)
{
    sae_train_options o = sae_recipe_dictionary_learning(batch, steps, 1 << 14);

    o.lr = 3e-4;
    o.warmup_steps = 0;
    o.warmup_rule = SAE_WARMUP_FROM_ONE;
    o.threshold_rule = SAE_THRESHOLD_FROM_ZERO;
    o.threshold_beta = 0.99;
    if (keeps_k(arch)) o.selection_rule = SAE_SELECT_TIMES_NORM;
    o.dead_tokens = 1000 * batch;
    o.dead_rule = SAE_DEAD_BEFORE_BATCH;
    o.auxk_alpha = keeps_k(arch) ? 1.0 : 0.0;
    o.auxk_rule = SAE_AUXK_PLAIN;
    o.b_dec_start = SAE_B_DEC_ZERO;
    o.decoder_norm = 0.1;
    o.decoder_rule = SAE_DECODER_FREE;
    o.level_rule = SAE_LEVELS_SUM;
    o.l1_rule = SAE_L1_NORMS;
    o.l0_rule = SAE_L0_LINEAR;
    o.bandwidth = 0.05;
    o.first_threshold = 0.01;
    o.gate_rule = SAE_GATE_TRAINS_DECODER;
    return o;
}

/* Dead after more than 10 M rows, counted in whole steps. */
static sae_train_options openai(sae_arch arch, int64_t batch, int64_t steps)
{
    sae_train_options o = sae_recipe_dictionary_learning(batch, steps, 1 << 14);

    o.lr = 1e-4;
    o.warmup_steps = 0;
    o.dead_tokens = (10000000 / (batch > 0 ? batch : 1) + 1) * batch;
    o.dead_rule = SAE_DEAD_WITH_FIRING;
    o.auxk_k = 256;
    if (keeps_k(arch)) o.encoder_norm = SAE_ENCODER_REBUILDS;
    o.auxk_rule = SAE_AUXK_BIAS;
    o.decoder_rule = SAE_DECODER_BEFORE;
    o.loss_rule = SAE_LOSS_FIRST;
    o.adam_eps = 6.25e-10;
    o.grad_clip = 0.0;
    return o;
}

static sae_train_options sparsify(int64_t batch, int64_t steps, int64_t d_sae)
{
    sae_train_options o = sae_recipe_dictionary_learning(batch, steps, d_sae);

    o.lr = 5e-3 / sqrt((double)d_sae / 16384.0);
    o.warmup_steps = 0;
    o.optimiser_rule = SAE_OPTIMISER_SIGNUM;
    o.adam_beta1 = 0.95;
    o.dead_rule = SAE_DEAD_BEFORE_BATCH;
    o.auxk_alpha = 0.0;
    o.auxk_rule = SAE_AUXK_VARIANCE;
    o.b_dec_start = SAE_B_DEC_MEAN;
    o.encoder_norm = SAE_ENCODER_UNIFORM; /* torch's Linear */
    o.k_anneal_rule = SAE_K_ANNEAL_NOW;
    o.loss_rule = SAE_LOSS_FVU;
    o.grad_clip = 0.0;
    return o;
}

sae_train_options sae_recipe(sae_recipe_name name, sae_arch arch, int64_t batch, int64_t steps, int64_t d_sae)
{
    switch (name) {
    case SAE_RECIPE_SAEBENCH: return saebench(arch, batch, steps);
    case SAE_RECIPE_SAELENS: return saelens(arch, batch, steps);
    case SAE_RECIPE_DICTIONARY_LEARNING: return dictionary_learning(arch, batch, steps, d_sae);
    case SAE_RECIPE_OPENAI: return openai(arch, batch, steps);
    case SAE_RECIPE_SPARSIFY: return sparsify(batch, steps, d_sae);
    }
    return saebench(arch, batch, steps);
}

double recipe_l1_coefficient(sae_recipe_name name, sae_arch arch)
{
    if (keeps_k(arch)) return 0.0;
    return name == SAE_RECIPE_SAELENS || arch == SAE_JUMPRELU ? 1.0 : 0.1;
}

bool recipe_knows_family(sae_recipe_name name, sae_arch arch)
{
    return arch == SAE_TOPK || (name != SAE_RECIPE_OPENAI && name != SAE_RECIPE_SPARSIFY);
}

/* sparsify: 32 sequences of 2,048 tokens. dictionary_learning's trainers take any; SAEBench's dictionaries were trained by it. */
int64_t recipe_batch(sae_recipe_name name)
{
    switch (name) {
    case SAE_RECIPE_SAELENS: return 4096;
    case SAE_RECIPE_OPENAI: return 131072;
    case SAE_RECIPE_SPARSIFY: return 32 * 2048;
    case SAE_RECIPE_SAEBENCH:
    case SAE_RECIPE_DICTIONARY_LEARNING: return 2048;
    }
    return 2048;
}

int recipe_choice_find(const char *names, const char *name)
{
    size_t length = strlen(name);

    for (int i = 0;; i++) {
        const char *end = strchrnul(names, '|');
        if ((size_t)(end - names) == length && memcmp(names, name, length) == 0) return i;
        if (!*end) return -1;
        names = end + 1;
    }
}

static json_t *choice_json(const char *names, int value)
{
    for (; value > 0; value--) names = strchrnul(names, '|') + 1;
    return json_stringn(names, (size_t)(strchrnul(names, '|') - names));
}

/* Constants that came after the first records were written, with what trained until then. */
static const struct {
    const char *key, *until_then;
} came_later[] = {{"k_anneal_rule", "next"}};

static const char *until_then(const char *key)
{
    for (size_t i = 0; i < sizeof came_later / sizeof *came_later; i++)
        if (strcmp(key, came_later[i].key) == 0) return came_later[i].until_then;
    return NULL;
}

const char *recipe_difference(const json_t *ours, const json_t *theirs)
{
    const char *key = json_first_difference(theirs, ours), *name;
    json_t *value;

    if (key) return key;
    json_object_foreach((json_t *)(uintptr_t)ours, name, value)
    {
        const char *before = until_then(name), *now = json_string_value(value);
        if (!json_object_get(theirs, name) && !(before && now && strcmp(before, now) == 0)) return name;
    }
    return NULL;
}

const char *recipe_difference_hint(const char *key)
{
#define HINT(field, type, option, argument, help)                                                                      \
    if (strcmp(key, #field) == 0)                                                                                      \
        return " (--" option "; if the options are those of then, a version of this program whose recipe had another " \
               "one began it: give that one)";
    RECIPE_FIELDS(HINT)
    /* run.json writes as before there was "random-both"; a checkpoint has "scaffold_pca" */
    if (strcmp(key, "scaffold_start") == 0 || strcmp(key, "scaffold_pca") == 0)
        return " (--scaffold-start; what that calls zero is \"random\" in records)";
    return strcmp(key, "exact_codes") == 0 ? " (--no-screen without --exact-codes, or not)" : "";
}

void recipe_fields_put(json_t **object, const sae_train_options *o)
{
#define JSON_OF_COUNT(names, x)                  json_integer((json_int_t)(x))
#define JSON_OF_REAL(names, x)                   json_number_or_null(x)
#define JSON_OF_CHOICE(names, x)                 choice_json(names, (int)(x))
#define PUT(field, type, option, argument, help) json_put(object, #field, JSON_OF_##type(argument, o->field));
    RECIPE_FIELDS(PUT)
}

static sae_status choice_from(const json_t *object, const char *key, const char *names, int *value, const char *file,
                              sae_error *err)
{
    const char *name = NULL, *before = until_then(key);
    sae_status status = json_get_string(object, key, before ? before : "", &name, file, err);

    if (status != SAE_OK) return status;
    *value = recipe_choice_find(names, name);
    if (*value < 0)
        return SAE_FAIL(err, SAE_FORMAT, "%s: \"%s\" is \"%s\"; expected one of %s", file, key, name, names);
    return SAE_OK;
}

sae_status recipe_fields_take(sae_train_options *o, const json_t *object, const char *file, sae_error *err)
{
    sae_status status = SAE_OK;
    int choice = 0;

#define FROM_COUNT(field, names) SAE_TRY(json_get_int(object, #field, o->field, &o->field, file, err));
#define FROM_REAL(field, names)  SAE_TRY(json_get_double(object, #field, o->field, &o->field, file, err));
#define FROM_CHOICE(field, names)                                                                                      \
    SAE_TRY(choice_from(object, #field, names, &choice, file, err));                                                   \
    o->field = choice;
#define TAKE(field, type, option, argument, help)                                                                      \
    if (!json_object_get(object, #field) && !until_then(#field))                                                       \
        SAE_RAISE(err, SAE_FORMAT, "%s: the recipe lacks \"%s\": another version of this program wrote it", file,      \
                  #field);                                                                                             \
    FROM_##type(field, argument)
    RECIPE_FIELDS(TAKE)
done:
    return status;
}

/* Linear warm-up, constant, linear decay to 0. Where the first step has lr 0, its moments still update. */
double learning_rate(const sae_train_options *o, int64_t step)
{
    int64_t since = o->resample_every > 0 ? step % o->resample_every : step; /* a resampling begins a new warm-up */
    int64_t done = since + (o->warmup_rule == SAE_WARMUP_FROM_ONE);

    if (done < o->warmup_steps) return o->lr * (double)done / (double)o->warmup_steps;
    if (step >= o->decay_start && o->decay_start < o->steps)
        return o->lr * (double)(o->steps - step) / (double)(o->steps - o->decay_start);
    return o->lr;
}

int64_t largest_k(const sae_train_options *o, const sae_dict_config *c)
{
    int64_t first = annealed_k(o, c, 0), second = annealed_k(o, c, 1);

    return first > second ? first : second;
}

/* dictionary_learning's rule sets the k of the next step, from that of step 0 on: step 0 has the final k, step 1 the largest. sparsify's
 * sets its own, with a tie between two whole numbers to the even one. */
int64_t annealed_k(const sae_train_options *o, const sae_dict_config *c, int64_t step)
{
    bool now = o->k_anneal_rule == SAE_K_ANNEAL_NOW;
    int64_t S = o->k_anneal_steps, start = o->k_anneal_start > 0 ? o->k_anneal_start : c->d_in * (now ? 10 : 1);
    int64_t from = smaller(start, c->d_sae), done = now ? step : step - 1;

    if (S == 0 || done < 0 || done >= S || from <= c->k || !keeps_k(c->arch)) return c->k;
    double ratio = (double)done / (double)S, k = (double)from * (1 - ratio) + (double)c->k * ratio;
    return now ? (int64_t)rint(k) : (int64_t)k;
}

double sparsity_factor(const sae_train_options *o, int64_t step)
{
    return step < o->sparsity_warmup_steps ? (double)step / (double)o->sparsity_warmup_steps : 1.0;
}
