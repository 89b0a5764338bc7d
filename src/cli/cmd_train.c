/* cmd_train.c - `sae train`: one or more dictionaries on one stream of rows, live, from a store or from an array. */
#include "cli/cli.h"
#include "eval/training.h"
#include "io/io.h"
#include "kernels/matmul.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const option_row options[] = {
    OPTION_MODEL_ROW,
    OPTION_TEXT_ROW(NULL),
    OPTION_SITE_ROW(NULL),
    OPTION_STORE_ROW,
    OPTION_ARRAY_ROW,
    {"order", OPTION_TEXT, "FILE",
     "with --array: which rows each step takes, [steps, batch] integers in .npy or .safetensors[:name]", NULL},
    {"init", OPTION_TEXT, "FILE:PREFIX", "initial weights from tensors PREFIX + W_enc ... or encoder.weight ...", NULL},
    {"arch", OPTION_TEXT, "NAME", "batchtopk or matryoshka", "batchtopk"},
    {"width", OPTION_LIST, "N[,N]", "latents in the dictionary (d_sae); several values train several at once", "16384"},
    {"k", OPTION_LIST, "N[,N]", "latents kept per row, on average over a batch (L0)", "64"},
    {"rank", OPTION_LIST, "R[,R]", "rank of the dense scaffold; 0: none", "0"},
    {"variant", OPTION_TEXT, "NAME", "p1: the encoder sees x - b_dec; p2: it sees what the scaffold left", "p1"},
    {"groups", OPTION_LIST, "X,X,...",
     "Matryoshka: shares of the width, summing to 1 (default: 1/32, 1/16, 1/8, 1/4, the rest)", NULL},
    {"recipe", OPTION_TEXT, "NAME", "saebench (constants scaled to the run) or dictionary_learning (its literal ones)",
     "saebench"},
    OPTION_BATCH_ROW("2048"),
    {"steps", OPTION_COUNT, "N", "training steps (default: --rows / --batch)", NULL},
    {"rows", OPTION_COUNT, "N", "training rows in all", "1M"},
    OPTION_LR_ROW(NULL),
    {"warmup-steps", OPTION_COUNT, "N", "steps of linear warm-up from 0", NULL},
    {"decay-start", OPTION_COUNT, "N", "step from which the learning rate falls linearly to 0", NULL},
    {"threshold-beta", OPTION_REAL, "X", "decay of the average that becomes the threshold", NULL},
    {"threshold-start-step", OPTION_COUNT, "N", "the threshold is averaged in steps after this one", NULL},
    {"dead-tokens", OPTION_COUNT, "N", "rows without firing after which a latent is dead", NULL},
    {"auxk-alpha", OPTION_REAL, "X", "weight of AuxK; 0 switches it off", NULL},
    {"auxk-k", OPTION_COUNT, "N", "dead latents that AuxK uses per row (default: d_in / 2)", NULL},
    {"grad-clip", OPTION_REAL, "X", "largest norm of a step's gradient; 0: no clipping", NULL},
    {"scale-input", OPTION_TEXT, "HOW", "unit: so that E|x|^2 = 1 while training; none; or a number to divide by",
     NULL},
    {"encoder-dtype", OPTION_TEXT, "TYPE", "of the encoder product: f32, or bf16 (needs AVX-512-BF16)", "f32"},
    OPTION_SEED_ROW("0"),
    OPTION_CTX_ROW("256"),
    OPTION_SEPARATOR_ROW,
    OPTION_MAX_NORM_ROW,
    {"buffer", OPTION_COUNT, "N", "rows in the shuffle buffer of a live run", "262144"},
    {"log-every", OPTION_COUNT, "N", "steps between lines of log.jsonl (default: 200 lines a run)", NULL},
    {"checkpoint-every", OPTION_COUNT, "N", "steps between checkpoints (default: one at the end)", NULL},
    {"keep", OPTION_COUNT, "N", "newest checkpoints kept", "1"},
    {"resume", OPTION_FLAG, NULL, "go on from the newest checkpoint in --out", NULL},
    {"scaffold", OPTION_TEXT, "HOW", "export the scaffold as native tensors, as 2r extra latents, or drop it",
     "native"},
    OPTION_OUT_ROW("FOLDER"),
    OPTION_FORCE_ROW,
    OPTION_END_ROW,
};

/* Everything of one call. Owned but where noted. */
typedef struct training {
    args *a;
    sae_step_stats *last; /* [n_dicts] of the newest logged step */
    char *model_path;
    sae_model *model;
    sae_tokenizer *tok;
    sae_text *text;
    sae_acts *acts;
    row_order order;
    sae_site site;
    char site_name[128], model_name[256];
    int64_t d_in;
    int n_dicts;
    sae_dict_config *configs;
    char (*names)[64];
    const char **name_list;
    sae_train_options recipe;
    sae_trainer *trainer;
    progress_line line;
} training;

/* ---- Where rows come from --------------------------------------------------------------------------------------------------- */

static sae_status open_live(training *t, const sae_acts_options *acts, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *model = NULL, *const *sites = NULL, *const *texts = NULL;
    sae_text_options text = sae_text_defaults();
    int n_texts = args_list(t->a, "text", &texts), n_sites = args_list(t->a, "site", &sites);

    SAE_TRY(args_require(t->a, "model", &model, err));
    if (n_sites != 1)
        SAE_TRY(args_fail(t->a, err, "a live run needs one --site, for example blocks.14.hook_resid_post"));
    if (n_texts < 1) SAE_TRY(args_fail(t->a, err, "a live run needs --text FILE (.txt or .jsonl, also .zst or .gz)"));
    SAE_TRY(model_path(model, &t->model_path, err));
    SAE_TRY(sae_model_open(&t->model, t->model_path, NULL, err));
    SAE_TRY(sae_site_parse(&t->site, sites[0], t->model, err));
    sae_site_name(t->site, t->site_name, sizeof t->site_name);
    SAE_TRY(sae_tokenizer_open(&t->tok, t->model_path, err));
    text.ctx = args_int(t->a, "ctx", 256);
    text.separator = (int32_t)args_int(t->a, "separator", -1);
    text.split = SAE_SPLIT_TRAIN;
    text.repeat = true;
    SAE_TRY(sae_text_open(&t->text, t->tok, texts, n_texts, &text, err));
    SAE_TRY(sae_acts_open_live(&t->acts, t->model, t->text, t->site, acts, err));
done:
    return status;
}

/* Which model and site a store's rows come from, as `sae acts` noted it: for the dictionary's own record. */
static sae_status store_origin(training *t, const char *store, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *site = NULL, *model = NULL;
    json_t *meta = NULL;
    char *path = path_join(store, "meta.json", err);

    if (!path) SAE_TRY(SAE_NOMEM);
    SAE_TRY(json_read_file(&meta, path, err));
    SAE_TRY(json_get_string(json_object_get(meta, "about"), "site", "", &site, path, err));
    SAE_TRY(json_get_string(json_object_get(meta, "about"), "model", "", &model, path, err));
    snprintf(t->site_name, sizeof t->site_name, "%s", site);
    snprintf(t->model_name, sizeof t->model_name, "%s", model);
done:
    json_decref(meta);
    mem_free(path);
    return status;
}

static sae_status open_rows(training *t, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *store = args_text(t->a, "store"), *array = args_text(t->a, "array"), *order = args_text(t->a, "order");
    sae_acts_options o = {.buffer_rows = args_int(t->a, "buffer", 0),
                          .max_norm = args_real(t->a, "max-norm", 10.0),
                          .seed = (uint64_t)args_int(t->a, "seed", 0),
                          .repeat = true};

    if ((store != NULL) + (array != NULL) + args_given(t->a, "model") != 1)
        SAE_TRY(args_fail(t->a, err, "rows come from one of --model (with --site and --text), --store or --array"));
    if (order && !array) SAE_TRY(args_fail(t->a, err, "--order goes with --array"));
    if (order) {
        SAE_TRY(row_order_open(&t->order, array, order, err));
        t->d_in = t->order.d;
        goto done;
    }
    if (store) {
        SAE_TRY(sae_acts_open_store(&t->acts, store, &o, err));
        SAE_TRY(store_origin(t, store, err));
    } else if (array) {
        o.max_norm = args_given(t->a, "max-norm") ? o.max_norm : -1.0; /* someone's own rows are taken as they are */
        SAE_TRY(sae_acts_open_array(&t->acts, array, &o, err));
    } else
        SAE_TRY(open_live(t, &o, err));
    t->d_in = sae_acts_get_info(t->acts).d;
    say(t->a, "rows      %s", sae_acts_get_info(t->acts).describe);
done:
    return status;
}

/* ---- What is trained ---------------------------------------------------------------------------------------------------------- */

/* A list of counts: "0,6,24". Caller frees *values with mem_free. */
static sae_status counts(training *t, const char *name, int64_t **values, int *n, sae_error *err)
{
    const char *const *items = NULL;

    *n = args_list(t->a, name, &items);
    *values = mem_alloc_array((size_t)*n + 1, sizeof **values, "a list of numbers", err);
    if (!*values) return SAE_NOMEM;
    for (int i = 0; i < *n; i++) {
        char *end = NULL;
        (*values)[i] = strtoll(items[i], &end, 10);
        if (end == items[i] || *end || (*values)[i] < 0)
            return args_fail(t->a, err, "--%s %s: not a whole number", name, items[i]);
        for (int j = 0; j < i; j++)
            if ((*values)[j] == (*values)[i]) return args_fail(t->a, err, "--%s names %s twice", name, items[i]);
    }
    return SAE_OK;
}

static sae_status groups(training *t, sae_dict_config *c, sae_error *err)
{
    const char *const *items = NULL;
    int n = args_list(t->a, "groups", &items);
    int64_t left = c->d_sae;

    if (n == 0) {
        matryoshka_default_groups(c);
        return SAE_OK;
    }
    if (n > SAE_MAX_GROUPS) return args_fail(t->a, err, "--groups: at most %d", SAE_MAX_GROUPS);
    double sum = 0;
    for (int i = 0; i < n; i++) {
        char *end = NULL;
        double share = strtod(items[i], &end);
        if (end == items[i] || *end || !(share > 0.0 && share <= 1.0))
            return args_fail(t->a, err, "--groups %s: not a share between 0 and 1", items[i]);
        sum += share;
        c->groups[i] = i == n - 1 ? left : (int64_t)(share * (double)c->d_sae);
        left -= c->groups[i];
    }
    if (sum < 0.999 || sum > 1.001) return args_fail(t->a, err, "--groups sum to %g instead of 1", sum);
    c->n_groups = n;
    return SAE_OK;
}

static sae_status dictionaries(training *t, sae_error *err)
{
    static const char *const archs[] = {"batchtopk", "matryoshka", NULL}, *const variants[] = {"p1", "p2", NULL};
    sae_status status = SAE_OK;
    int64_t *widths = NULL, *ks = NULL, *ranks = NULL;
    int n_widths = 0, n_ks = 0, n_ranks = 0, arch = 0, variant = 0, n = 0;

    SAE_TRY(args_choice(t->a, "arch", archs, &arch, err));
    SAE_TRY(args_choice(t->a, "variant", variants, &variant, err));
    SAE_TRY(counts(t, "width", &widths, &n_widths, err));
    SAE_TRY(counts(t, "k", &ks, &n_ks, err));
    SAE_TRY(counts(t, "rank", &ranks, &n_ranks, err));
    t->n_dicts = n_widths * n_ks * n_ranks;
    t->configs = mem_alloc_array((size_t)t->n_dicts + 1, sizeof *t->configs, "the dictionaries", err);
    t->names = mem_alloc_array((size_t)t->n_dicts + 1, sizeof *t->names, "their names", err);
    t->last = mem_alloc_array((size_t)t->n_dicts + 1, sizeof *t->last, "statistics of a step", err);
    t->name_list = mem_alloc_array((size_t)t->n_dicts + 1, sizeof *t->name_list, "their names", err);
    if (!t->configs || !t->names || !t->name_list || !t->last) SAE_TRY(SAE_NOMEM);
    if (!arch && args_given(t->a, "groups")) warn("--groups is for --arch matryoshka: ignored");
    for (int w = 0; w < n_widths; w++)
        for (int k = 0; k < n_ks; k++)
            for (int r = 0; r < n_ranks; r++, n++) {
                sae_dict_config *c = &t->configs[n];
                *c = (sae_dict_config){.arch = arch ? SAE_MATRYOSHKA : SAE_BATCHTOPK,
                                       .variant = variant ? SAE_P2 : SAE_P1,
                                       .d_in = t->d_in,
                                       .d_sae = widths[w],
                                       .k = ks[k],
                                       .rank = ranks[r],
                                       .apply_b_dec_to_input = true};
                snprintf(c->site, sizeof c->site, "%s", t->site_name);
                snprintf(c->model, sizeof c->model, "%s",
                         args_text(t->a, "model") ? args_text(t->a, "model") : t->model_name);
                if (arch) SAE_TRY(groups(t, c, err));
                snprintf(t->names[n], sizeof t->names[n], "width%lld-k%lld-rank%lld", (long long)widths[w],
                         (long long)ks[k], (long long)ranks[r]);
                t->name_list[n] = t->names[n];
            }
done:
    mem_free(widths);
    mem_free(ks);
    mem_free(ranks);
    return status;
}

static sae_status scale_option(training *t, sae_error *err)
{
    const char *how = args_text(t->a, "scale-input");
    char *end = NULL;

    if (!how) return SAE_OK;
    t->recipe.unit_scale = strcmp(how, "unit") == 0;
    t->recipe.input_scale = 1.0;
    if (t->recipe.unit_scale || strcmp(how, "none") == 0) return SAE_OK;
    t->recipe.input_scale = strtod(how, &end);
    if (end == how || *end) return args_fail(t->a, err, "--scale-input %s: use unit, none or a number", how);
    return SAE_OK;
}

static sae_status recipe(training *t, sae_error *err)
{
    static const char *const recipes[] = {"saebench", "dictionary_learning", NULL}, *const dtypes[] = {"f32", "bf16",
                                                                                                       NULL};
    sae_status status = SAE_OK;
    sae_train_options *r = &t->recipe;
    int which = 0, type = 0;
    int64_t batch = args_int(t->a, "batch", 2048), steps = args_int(t->a, "steps", 0);
    const row_order *order = t->order.pool ? &t->order : NULL;

    if (order && !args_given(t->a, "batch")) batch = order->batch;
    if (batch < 1) SAE_TRY(args_fail(t->a, err, "--batch must be at least 1"));
    if (order && !args_given(t->a, "steps"))
        steps = order->n_steps;
    else if (!args_given(t->a, "steps"))
        steps = (args_int(t->a, "rows", 0) + batch - 1) / batch;
    if (order && (batch != order->batch || steps > order->n_steps))
        SAE_TRY(args_fail(t->a, err, "the order holds %lld steps of %lld rows; asked for are %lld of %lld",
                          (long long)order->n_steps, (long long)order->batch, (long long)steps, (long long)batch));
    SAE_TRY(args_choice(t->a, "recipe", recipes, &which, err));
    SAE_TRY(args_choice(t->a, "encoder-dtype", dtypes, &type, err));
    for (int i = 1; i < t->n_dicts && which && !args_given(t->a, "lr"); i++)
        if (t->configs[i].d_sae != t->configs[0].d_sae)
            SAE_TRY(args_fail(t->a, err,
                              "dictionary_learning's learning rate depends on the width: give --lr, or one --width"));
    *r = which ? sae_recipe_dictionary_learning(batch, steps, t->configs[0].d_sae) : sae_recipe_saebench(batch, steps);
    r->lr = args_real(t->a, "lr", r->lr);
    r->warmup_steps = args_int(t->a, "warmup-steps", r->warmup_steps);
    r->decay_start = args_int(t->a, "decay-start", r->decay_start);
    r->threshold_beta = args_real(t->a, "threshold-beta", r->threshold_beta);
    r->threshold_start_step = args_int(t->a, "threshold-start-step", r->threshold_start_step);
    r->dead_tokens = args_int(t->a, "dead-tokens", r->dead_tokens);
    r->auxk_alpha = args_real(t->a, "auxk-alpha", r->auxk_alpha);
    r->auxk_k = args_int(t->a, "auxk-k", r->auxk_k);
    r->grad_clip = args_real(t->a, "grad-clip", r->grad_clip);
    r->seed = (uint64_t)args_int(t->a, "seed", 0);
    r->encoder_dtype = type ? SAE_ENCODER_BF16 : SAE_ENCODER_F32;
    SAE_TRY(scale_option(t, err));
done:
    return status;
}

/* ---- Telling ------------------------------------------------------------------------------------------------------------------ */

static void tell_plan(training *t)
{
    sae_memory_plan plan = sae_trainer_plan(t->configs, t->n_dicts, &t->recipe);
    const sae_train_options *r = &t->recipe;
    double mib = 1.0 / (1 << 20);
    json_t *json = recipe_json(r);
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;

    say(t->a, "training  %d dictionar%s, %lld steps of %lld rows = %lld rows", t->n_dicts,
        t->n_dicts == 1 ? "y" : "ies", (long long)r->steps, (long long)r->batch, (long long)(r->steps * r->batch));
    say(t->a, "recipe    %s", text ? text : "");
    say(t->a, "memory    weights %.0f MiB, gradients %.0f, Adam moments %.0f, scratch %.0f, oneDNN %.0f: %.0f MiB",
        (double)plan.weights * mib, (double)plan.gradients * mib, (double)plan.moments * mib,
        (double)plan.scratch * mib, (double)plan.library * mib, (double)plan.total * mib);
    free(text);
    json_decref(json);
}

static void logged(void *user, int64_t rows, const sae_step_stats *s)
{
    training *t = user;

    (void)rows;
    memcpy(t->last, s, (size_t)t->n_dicts * sizeof *s);
    progress_note(&t->line, "loss %.4g, L0 %.1f, FVU %.4f, dead %lld, dense %lld", s[0].loss, s[0].l0, s[0].fvu,
                  (long long)s[0].dead, (long long)s[0].dense);
}

/* What the rows are computed from; a run is continued only with the same. Caller json_decref's. */
static sae_status data_json(training *t, json_t **out, sae_error *err)
{
    static const char *const names[] = {"store", "array", "order"};
    sae_status status = SAE_OK;
    json_t *data =
        json_pack("{ss sI sI sI sf sI}", "site", t->site_name, "seed", (json_int_t)args_int(t->a, "seed", 0), "ctx",
                  (json_int_t)args_int(t->a, "ctx", 256), "separator", (json_int_t)args_int(t->a, "separator", -1),
                  "max_norm", args_real(t->a, "max-norm", 10.0), "buffer", (json_int_t)args_int(t->a, "buffer", 0));
    const char *const *texts = NULL;
    int n_texts = args_list(t->a, "text", &texts);
    char *path = NULL, text[24];
    uint64_t hash;

    if (!data) SAE_RAISE(err, SAE_NOMEM, "no memory for run.json");
    for (int i = 0; i < 3; i++) {
        const char *name = args_text(t->a, names[i]);
        if (!name) continue;
        mem_free(path);
        path = i == 0 ? path_join(name, "meta.json", err) : mem_strdup(name, err);
        if (!path) SAE_TRY(SAE_NOMEM);
        if (i > 0 && !file_exists(path) && strrchr(path, ':')) *strrchr(path, ':') = '\0'; /* X.safetensors:name */
        SAE_TRY(file_hash(path, &hash, err));
        snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
        json_object_set_new(data, names[i], json_string(text));
    }
    if (t->model) {
        snprintf(text, sizeof text, "%016llx", (unsigned long long)sae_model_hash(t->model));
        json_object_set_new(data, "model", json_string(text));
    }
    for (int i = 0; i < n_texts; i++) {
        SAE_TRY(file_exists(texts[i]) ? file_hash(texts[i], &hash, err) : SAE_OK); /* "-" has none */
        snprintf(text, sizeof text, "%016llx", (unsigned long long)(file_exists(texts[i]) ? hash : 0));
        char key[32];
        snprintf(key, sizeof key, "text %d", i);
        json_object_set_new(data, key, json_string(text));
    }
    *out = data;
    data = NULL;
done:
    json_decref(data);
    mem_free(path);
    return status;
}

/* A resumed run must see the rows of the one it goes on from. */
static sae_status same_data(training *t, const char *folder, sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *ours = NULL, *run = NULL, *value;
    char *path = path_join(folder, "run.json", err);
    const char *key;

    if (!path) SAE_TRY(SAE_NOMEM);
    SAE_TRY(json_read_file(&run, path, err));
    SAE_TRY(data_json(t, &ours, err));
    json_object_foreach(ours, key, value)
    {
        if (!json_equal(value, json_object_get(json_object_get(run, "data"), key)))
            SAE_RAISE(err, SAE_STATE,
                      "%s: the run was begun on other rows (%s differs): resume with the data it was started with",
                      path, key);
    }
done:
    json_decref(run);
    json_decref(ours);
    mem_free(path);
    return status;
}

static sae_status write_run(training *t, const char *folder, sae_error *err)
{
    sae_status status = SAE_OK;
    char *path = path_join(folder, "run.json", err);
    json_t *dicts = json_array(), *data = NULL, *run = NULL;

    if (!path || !dicts) SAE_RAISE(err, SAE_NOMEM, "no memory for run.json");
    SAE_TRY(data_json(t, &data, err));
    for (int i = 0; i < t->n_dicts; i++) {
        const sae_dict_config *c = &t->configs[i];
        json_array_append_new(dicts, json_pack("{ss ss sI sI sI sI ss ss}", "name", t->names[i], "arch",
                                               c->arch == SAE_MATRYOSHKA ? "matryoshka" : "batchtopk", "d_in",
                                               (json_int_t)c->d_in, "d_sae", (json_int_t)c->d_sae, "k",
                                               (json_int_t)c->k, "rank", (json_int_t)c->rank, "variant",
                                               c->variant == SAE_P2 ? "p2" : "p1", "site", c->site));
    }
    run = json_pack("{ss ss so so so so s{ss ss ss si}}", "command", "train", "version", sae_version(), "arguments",
                    args_json(t->a), "recipe", recipe_json(&t->recipe), "dictionaries", dicts, "data", data, "machine",
                    "processor", cpu_name(), "isa", cpu_isa_name(cpu_isa_get()), "products", matmul_library(),
                    "threads", omp_get_max_threads());
    dicts = data = NULL; /* taken by run, or freed with it */
    if (!run) SAE_RAISE(err, SAE_NOMEM, "no memory for run.json");
    SAE_TRY(json_write_file(run, path, true, err));
done:
    json_decref(dicts);
    json_decref(data);
    json_decref(run);
    mem_free(path);
    return status;
}

/* One dictionary goes to OUT/sae, several to OUT/NAME/sae. */
static sae_status export_one(training *t, int i, const char *folder, sae_scaffold_export how, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_dict *dict = NULL;
    char name[96];
    char *path = NULL;

    snprintf(name, sizeof name, t->n_dicts == 1 ? "sae" : "%s/sae", t->names[i]);
    path = path_join(folder, name, err);
    if (!path) SAE_TRY(SAE_NOMEM);
    SAE_TRY(sae_trainer_export(t->trainer, i, &dict, err));
    SAE_TRY(sae_dict_save(dict, path, how, true, err));
    say(t->a, "written   %s", path);
done:
    sae_dict_free(dict);
    mem_free(path);
    return status;
}

/* The last batch of each dictionary, to standard output. A run that was complete already has none. */
static void tell_result(const training *t)
{
    if (t->last[0].loss == 0.0) return;
    printf("%-28s %10s %8s %8s %10s %6s %6s\n", "dictionary, last batch", "loss", "L0", "FVU", "threshold", "dead",
           "dense");
    for (int i = 0; i < t->n_dicts; i++) {
        const sae_step_stats *s = &t->last[i];
        printf("%-28s %10.4g %8.2f %8.4f %10.4g %6lld %6lld\n", t->names[i], s->loss, s->l0, s->fvu, s->threshold,
               (long long)s->dead, (long long)s->dense);
    }
}

/* ---- The command -------------------------------------------------------------------------------------------------------------- */

static sae_status set_initial_weights(training *t, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *init = args_text(t->a, "init");
    char *path = NULL;

    if (!init) return SAE_OK;
    path = mem_strdup(init, err);
    if (!path) return SAE_NOMEM;
    char *colon = strrchr(path, ':');
    if (colon) *colon = '\0';
    for (int i = 0; i < t->n_dicts; i++)
        SAE_TRY(sae_trainer_read_weights(t->trainer, i, path, colon ? colon + 1 : "", err));
done:
    mem_free(path);
    return status;
}

/* What a run leaves behind, or file_writer and folder_writer while they write it. */
static bool is_of_a_run(const training *t, const char *name)
{
    static const char *const names[] = {"run.json", "log.jsonl", "checkpoints", "sae", "results", "report.html"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(name, names[i], strlen(names[i])) == 0) return true;
    for (int i = 0; i < t->n_dicts; i++)
        if (strcmp(name, t->names[i]) == 0) return true;
    return false;
}

/* A folder with a run in it is continued (--resume) or written over (--force); what is nobody's run is left alone. */
static sae_status begin_folder(training *t, const char *folder, sae_error *err)
{
    sae_status status = SAE_OK;
    char **names = NULL, *checkpoints = path_join(folder, "checkpoints", err),
         *run = path_join(folder, "run.json", err);
    int n = 0;

    if (!checkpoints || !run) SAE_TRY(SAE_NOMEM);
    if (args_flag(t->a, "resume")) goto done;
    if (file_exists(folder)) SAE_TRY(folder_list(folder, &names, &n, err));
    for (int i = 0; i < n; i++) {
        if (!is_of_a_run(t, names[i])) continue; /* other things are left alone */
        if (!args_flag(t->a, "force"))
            SAE_RAISE(err, SAE_EXISTS,
                      "%s holds %s: use --resume to continue a run, --force to replace it, or another --out", folder,
                      names[i]);
        if (!file_exists(run))
            SAE_RAISE(err, SAE_EXISTS, "%s holds %s but no run.json: --force replaces only runs; use another --out",
                      folder, names[i]);
    }
    SAE_TRY(folder_make(folder, err));
    SAE_TRY(folder_remove(checkpoints, err));
done:
    folder_list_free(names, n);
    mem_free(checkpoints);
    mem_free(run);
    return status;
}

static sae_status run_train(args *a, sae_error *err)
{
    static const char *const exports[] = {"native", "latents", "drop", NULL};
    sae_status status = SAE_OK;
    training t = {.a = a};
    const char *folder = NULL;
    int how = 0;

    SAE_TRY(args_require(a, "out", &folder, err));
    SAE_TRY(args_choice(a, "scaffold", exports, &how, err));
    SAE_TRY(open_rows(&t, err));
    SAE_TRY(dictionaries(&t, err));
    SAE_TRY(recipe(&t, err));
    tell_plan(&t);
    SAE_TRY(sae_trainer_create(&t.trainer, t.configs, t.n_dicts, &t.recipe, err));
    SAE_TRY(set_initial_weights(&t, err));
    SAE_TRY(begin_folder(&t, folder, err));
    if (args_flag(a, "resume"))
        SAE_TRY(same_data(&t, folder, err)); /* its record stays as it was */
    else
        SAE_TRY(write_run(&t, folder, err));
    training_options o = {.folder = folder,
                          .names = t.n_dicts > 1 ? t.name_list : NULL,
                          .log_every = args_int(a, "log-every", 0),
                          .checkpoint_every = args_int(a, "checkpoint-every", 0),
                          .keep_checkpoints = args_int(a, "keep", 1),
                          .resume = args_flag(a, "resume"),
                          .order = args_text(a, "order") ? &t.order : NULL,
                          .logged = logged,
                          .user = &t};
    sae_progress progress = progress_begin(&t.line, a);
    status = training_run(t.trainer, &t.recipe, t.d_in, t.acts, &o, &progress, err);
    progress_end(&t.line);
    SAE_TRY(status);
    for (int i = 0; i < t.n_dicts; i++) SAE_TRY(export_one(&t, i, folder, (sae_scaffold_export)how, err));
    tell_result(&t);
done:
    sae_trainer_free(t.trainer);
    mem_free(t.configs);
    mem_free(t.names);
    mem_free(t.name_list);
    mem_free(t.last);
    row_order_close(&t.order);
    sae_acts_free(t.acts);
    sae_text_free(t.text);
    sae_tokenizer_free(t.tok);
    sae_model_free(t.model);
    mem_free(t.model_path);
    return status;
}

const command command_train = {
    .name = "train",
    .arguments = "",
    .summary = "train one or more dictionaries on one stream of rows",
    .details = "Rows come live from a model, from a store (sae acts) or from an array. Lists for --width, --k and\n"
               "--rank train every combination on the same stream. The default recipe is SAEBench's, its\n"
               "constants scaled to the run; all of it is printed and stands in run.json. The run's folder gets\n"
               "run.json, log.jsonl, checkpoints/ and the dictionary in SAELens's form in sae/.",
    .examples = "sae train --model smollm2 --site blocks.14.hook_resid_post --text books.jsonl.zst --width 4608 --k 32 "
                "--out runs/a\n"
                "sae train --store rows/ --width 16384 --k 32,64 --rank 0,24 --rows 100M --out runs/pair\n"
                "sae train --array x.npy --arch matryoshka --width 4096 --k 32 --steps 10000 --out runs/mine\n"
                "sae train --store rows/ --width 16384 --k 64 --out runs/long --checkpoint-every 1000 --resume\n",
    .min_operands = 0,
    .max_operands = 0,
    .options = options,
    .run = run_train,
};
