/*
 * survey.c - the steps of a survey: rows of all sites in one pass, then site by site a trainer for all its dictionaries, measured
 * while it trains.
 */
#include "lab/survey.h"

#include "eval/core.h"
#include "eval/training.h"
#include "io/io.h"
#include "lab/inputs.h"
#include "lab/survey_report.h"

#include <stdio.h>
#include <string.h>

/* The state of a survey; owned here unless it says borrowed. */
typedef struct survey {
    survey_options options; /* with every default filled in; strings borrowed */
    const sae_progress *progress;
    sae_model *model;
    sae_tokenizer *tok;
    sae_site sites[SURVEY_SITES];
    char names[SURVEY_SITES][64];
    int64_t d, steps;
    int lock;           /* on OUT; -1: not yet */
    json_t *inputs;     /* all that decides the numbers */
    survey_cell *cells; /* [n_sites x dictionaries x stages], those of finished sites first */
    int n_cells;
} survey;

static int dictionaries(const survey *s) { return s->options.n_widths * s->options.n_ks; }

static void survey_free(survey *s)
{
    mem_free(s->cells);
    json_decref(s->inputs);
    folder_unlock(s->lock);
    sae_tokenizer_free(s->tok);
    sae_model_free(s->model);
}

/* ---- Options ------------------------------------------------------------------------------------------------------------ */

static int64_t or_default(int64_t value, int64_t otherwise) { return value ? value : otherwise; }

static sae_status fill_options(survey *s, sae_error *err)
{
    survey_options *o = &s->options;

    if (!o->model_name) o->model_name = o->model;
    o->ctx = or_default(o->ctx, 256);
    o->tokens = or_default(o->tokens, 262144);
    o->rows = or_default(o->rows, 1048576);
    o->held_out_tokens = or_default(o->held_out_tokens, 20480);
    o->max_norm = o->max_norm == 0 ? 10 : o->max_norm;
    o->batch = or_default(o->batch, 2048);
    o->stages = o->stages ? o->stages : 3;
    if (o->n_widths == 0) o->widths[o->n_widths++] = 8 * s->d;
    if (o->n_ks == 0) o->ks[o->n_ks++] = 32;
    s->steps = o->rows / o->batch;
    if (o->n_sites < 1 || o->n_sites > SURVEY_SITES)
        return SAE_FAIL(err, SAE_RANGE, "%d sites: a survey takes 1 to %d", o->n_sites, (int)SURVEY_SITES);
    if (o->stages < 1 || o->stages > SURVEY_STAGES || s->steps >> (o->stages - 1) < 10)
        return SAE_FAIL(err, SAE_RANGE,
                        "%d stages of %lld rows in batches of %lld: 1 to %d are measured, the first after ten steps or "
                        "more",
                        o->stages, (long long)o->rows, (long long)o->batch, (int)SURVEY_STAGES);
    for (int i = 0; i < o->n_ks; i++)
        for (int w = 0; w < o->n_widths; w++)
            if (o->ks[i] < 1 || o->ks[i] > o->widths[w])
                return SAE_FAIL(err, SAE_RANGE, "k %lld: must be 1 to the number of latents, %lld", (long long)o->ks[i],
                                (long long)o->widths[w]);
    return SAE_OK;
}

static json_t *counts_json(const int64_t *values, int n)
{
    json_t *list = json_array();

    for (int i = 0; i < n; i++) json_add(&list, json_integer((json_int_t)values[i]));
    return list;
}

static sae_status describe(survey *s, sae_error *err)
{
    const survey_options *o = &s->options;
    sae_status status = SAE_OK;
    json_t *sites = json_array(), *sizes = NULL;

    SAE_TRY(lab_inputs(&s->inputs, o->model, s->model, o->texts, o->n_texts, err));
    for (int i = 0; i < o->n_sites; i++) json_add(&sites, json_string(s->names[i]));
    sizes = json_pack("{sO so so si sI sI sI sI sI sI sf sI}", "sites", sites, "widths",
                      counts_json(o->widths, o->n_widths), "k", counts_json(o->ks, o->n_ks), "stages", o->stages,
                      "rows", (json_int_t)o->rows, "batch", (json_int_t)o->batch, "tokens", (json_int_t)o->tokens,
                      "held_out_tokens", (json_int_t)o->held_out_tokens, "ctx", (json_int_t)o->ctx, "separator",
                      (json_int_t)o->separator, "max_norm", o->max_norm, "seed", (json_int_t)(o->seed & INT64_MAX));
    if (!sizes || json_object_update(s->inputs, sizes) != 0)
        SAE_RAISE(err, SAE_NOMEM, "no memory to describe the survey");
done:
    json_decref(sizes);
    json_decref(sites);
    return status;
}

static sae_status text_open(const survey *s, sae_split split, sae_text **text, sae_error *err)
{
    sae_text_options how = sae_text_defaults();

    how.ctx = s->options.ctx;
    how.separator = s->options.separator;
    how.split = split;
    return sae_text_open(text, s->tok, s->options.texts, s->options.n_texts, &how, err);
}

/* ---- The folder ----------------------------------------------------------------------------------------------------------- */

/* A folder without our record: empty but for what a call leaves that was killed before it wrote that. */
static sae_status holds_nothing(const char *folder, sae_error *err)
{
    sae_status status = SAE_OK;
    char **names = NULL, **results = NULL, *parts = path_join(folder, "results", err);
    int n = 0, n_results = 0;

    if (!parts) return SAE_NOMEM;
    if (file_is_folder(folder)) SAE_TRY(folder_list(folder, &names, &n, err));
    if (file_is_folder(parts)) SAE_TRY(folder_list(parts, &results, &n_results, err));
    for (int i = 0; i < n; i++)
        if (!is_leftover(names[i], NULL) && !(strcmp(names[i], "results") == 0 && n_results == 0))
            SAE_RAISE(err, SAE_EXISTS, "%s holds %s and no survey: give another --out", folder, names[i]);
done:
    folder_list_free(names, n);
    folder_list_free(results, n_results);
    mem_free(parts);
    return status;
}

/* OUT/survey.json says what the parts in OUT belong to. */
static sae_status folder_begin(const survey *s, sae_error *err)
{
    sae_status status = SAE_OK;
    char *path = path_join(s->options.out, "survey.json", err), *parts = path_join(s->options.out, "results", err);
    sae_text *text = NULL;
    json_t *there = NULL;

    if (!path || !parts) SAE_TRY(SAE_NOMEM);
    SAE_TRY(text_open(s, SAE_SPLIT_TRAIN, &text, err)); /* a text that cannot be read leaves no folder behind */
    if (file_exists(path)) {
        SAE_TRY(json_read_file(&there, path, err));
        if (!json_equal(there, s->inputs))
            SAE_RAISE(err, SAE_STATE,
                      "%s holds a survey of other settings (survey.json has them): repeat those, or give another --out",
                      s->options.out);
        goto done;
    }
    SAE_TRY(holds_nothing(s->options.out, err));
    SAE_TRY(folder_make(parts, err));
    SAE_TRY(json_write_file(s->inputs, path, false, err));
done:
    json_decref(there);
    sae_text_free(text);
    mem_free(path);
    mem_free(parts);
    return status;
}

/* Rows of all sites, a store each, in one pass; kept, and gone on with when the pass was stopped. */
static sae_status rows_prepare(const survey *s, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *names[SURVEY_SITES];
    char *folder = path_join(s->options.out, "acts", err);
    sae_acts_options live = {.max_norm = s->options.max_norm, .in_order = true};
    sae_store_options how = {.parts = names, .resumable = true};
    sae_text *text = NULL;
    sae_acts *acts = NULL;

    if (!folder) return SAE_NOMEM;
    if (file_is_folder(folder)) goto done;
    for (int i = 0; i < s->options.n_sites; i++) names[i] = s->names[i];
    SAE_TRY(text_open(s, SAE_SPLIT_TRAIN, &text, err));
    SAE_TRY(sae_acts_open_live(&acts, s->model, text, s->sites, s->options.n_sites, &live, err));
    SAE_TRY(sae_store_write(folder, acts, s->options.tokens, &how, s->progress, err));
done:
    sae_acts_free(acts);
    sae_text_free(text);
    mem_free(folder);
    return status;
}

/* ---- A site's part -------------------------------------------------------------------------------------------------------- */

static sae_dict_config config_of(const survey *s, int site, int i)
{
    const survey_options *o = &s->options;
    sae_dict_config c = {.arch = SAE_BATCHTOPK,
                         .d_in = s->d,
                         .d_sae = o->widths[i / o->n_ks],
                         .k = o->ks[i % o->n_ks],
                         .seed = o->seed,
                         .apply_b_dec_to_input = true};

    snprintf(c.site, sizeof c.site, "%s", s->names[site]);
    return c;
}

static sae_status measure(survey *s, sae_trainer *t, int site, sample *held_out, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_dict *dict = NULL;
    core_arm arm = {0};

    for (int i = 0; i < dictionaries(s); i++) {
        SAE_TRY(sae_trainer_export(t, i, &dict, err));
        SAE_TRY(core_measure(&arm, held_out, dict, NULL, err));
        survey_cell *c = &s->cells[s->n_cells++];
        *c = (survey_cell){.site = site,
                           .width = sae_dict_get_config(dict)->d_sae,
                           .k = sae_dict_get_config(dict)->k,
                           .rows = sae_trainer_steps_done(t) * s->options.batch,
                           .l0 = core_l0(&arm),
                           .fvu = fit_fvu(&arm.full),
                           .mass = density_mass(&arm.density, 0.1),
                           .dead = density_dead(&arm.density)};
        for (int n = 0; n < DENSITY_THRESHOLDS; n++) c->dense[n] = density_dense(&arm.density, density_thresholds[n]);
        core_arm_free(&arm);
        sae_dict_free(dict);
        dict = NULL;
    }
done:
    core_arm_free(&arm);
    sae_dict_free(dict);
    return status;
}

/* Is the number of steps done one of rows, rows / 2, ...? */
static bool is_stage(const survey *s, int64_t steps)
{
    for (int i = 0; i < s->options.stages; i++)
        if (steps == s->steps >> i) return true;
    return false;
}

static sae_status train_and_measure(survey *s, int site, sae_trainer *t, sae_acts *acts, sample *held_out, float *rows,
                                    sae_error *err)
{
    sae_status status = SAE_OK;
    char what[128];

    snprintf(what, sizeof what, "rows trained, %s (%d of %d)", s->names[site], site + 1, s->options.n_sites);
    for (int64_t step = 1; step <= s->steps; step++) {
        int64_t got = 0;
        SAE_TRY(sae_acts_next(acts, s->options.batch, rows, NULL, NULL, &got, err));
        if (got < s->options.batch)
            SAE_RAISE(err, SAE_RANGE, "%s: the text gives %lld rows, fewer than a batch of %lld", s->names[site],
                      (long long)got, (long long)s->options.batch);
        SAE_TRY(sae_trainer_step(t, rows, NULL, NULL, err));
        if (is_stage(s, step)) SAE_TRY(measure(s, t, site, held_out, err));
        if (s->progress && s->progress->report(s->progress->user, what, (double)(step * s->options.batch),
                                               (double)(s->steps * s->options.batch)))
            SAE_RAISE(err, SAE_CANCELLED,
                      "stopped on request; the sites that were finished are kept in %s: the same command goes on",
                      s->options.out);
    }
done:
    return status;
}

static sae_status site_run(survey *s, int site, sae_error *err)
{
    sae_status status = SAE_OK;
    char name[96], *store = NULL;
    sae_dict_config configs[SURVEY_SIZES * SURVEY_SIZES];
    sae_train_options recipe = sae_recipe_saebench(s->options.batch, s->steps);
    sample_options want = {.tokens = s->options.held_out_tokens, .max_norm = s->options.max_norm};
    sae_acts_options order = {.seed = s->options.seed, .repeat = true, .max_norm = -1};
    sae_text *text = NULL;
    sample held_out = {0};
    sae_trainer *t = NULL;
    sae_acts *acts = NULL;
    float *rows = mem_alloc_array((size_t)s->options.batch, (size_t)s->d * sizeof *rows, "a batch of rows", err);

    snprintf(name, sizeof name, "acts/%s", s->names[site]);
    store = path_join(s->options.out, name, err);
    if (!rows || !store) SAE_TRY(SAE_NOMEM);
    sae_choose_exact_codes(&recipe, s->d);
    for (int i = 0; i < dictionaries(s); i++) configs[i] = config_of(s, site, i);
    const char *const stores[] = {store};
    SAE_TRY(sae_acts_open_store(&acts, stores, 1, &order, err));
    SAE_TRY(text_open(s, SAE_SPLIT_HELD_OUT, &text, err));
    SAE_TRY(sample_create(&held_out, s->model, text, s->sites[site], &want, s->progress, err));
    lab_tell_short(&s->options.notice, &held_out, want.tokens);
    s->options.notice.tell = NULL; /* it is the same text at every site */
    SAE_TRY(sae_trainer_create(&t, configs, dictionaries(s), &recipe, err));
    SAE_TRY(train_and_measure(s, site, t, acts, &held_out, rows, err));
done:
    sae_trainer_free(t);
    sae_acts_free(acts);
    sample_free(&held_out);
    sae_text_free(text);
    mem_free(store);
    mem_free(rows);
    return status;
}

/* OUT/results/SITE.json holds a finished site's cells. */
static sae_status site_finish(survey *s, int site, sae_error *err)
{
    sae_status status = SAE_OK;
    int before = s->n_cells, expected = dictionaries(s) * s->options.stages;
    char name[96], *path = NULL;
    json_t *cells = NULL;

    snprintf(name, sizeof name, "results/%s.json", s->names[site]);
    path = path_join(s->options.out, name, err);
    if (!path) return SAE_NOMEM;
    if (file_exists(path)) {
        SAE_TRY(json_read_file(&cells, path, err));
        SAE_TRY(survey_cells_read(s->cells + before, expected, site, cells, path, err));
        s->n_cells += expected;
        goto done;
    }
    SAE_TRY(site_run(s, site, err));
    cells = survey_cells_json(s->cells + before, expected);
    if (!cells) SAE_RAISE(err, SAE_NOMEM, "no memory for the counts");
    SAE_TRY(json_write_file(cells, path, true, err));
done:
    json_decref(cells);
    mem_free(path);
    return status;
}

/* ---- The whole ------------------------------------------------------------------------------------------------------------ */

int survey_headline(const survey_cell *cells, int n, int64_t rows)
{
    int best = -1;

    for (int i = 0; i < n; i++) {
        const survey_cell *c = &cells[i], *b = best < 0 ? NULL : &cells[best];
        if (c->rows != rows) continue;
        if (!b || c->dense[1] > b->dense[1] || (c->dense[1] == b->dense[1] && c->mass > b->mass)) best = i;
    }
    return best;
}

static sae_status open_inputs(survey *s, sae_error *err)
{
    sae_status status = SAE_OK;

    SAE_TRY(sae_model_open(&s->model, s->options.model, NULL, err));
    SAE_TRY(sae_tokenizer_open(&s->tok, s->options.model, err));
    s->d = sae_model_get_info(s->model)->d_model;
    SAE_TRY(fill_options(s, err));
    for (int i = 0; i < s->options.n_sites; i++) {
        SAE_TRY(sae_site_parse(&s->sites[i], s->options.sites[i], s->model, err));
        sae_site_name(s->sites[i], s->names[i], sizeof s->names[i]);
        for (int j = 0; j < i; j++)
            if (strcmp(s->names[i], s->names[j]) == 0) SAE_RAISE(err, SAE_RANGE, "%s is given twice", s->names[i]);
    }
    SAE_TRY(describe(s, err));
    s->cells = mem_alloc_array((size_t)(s->options.n_sites * dictionaries(s) * s->options.stages), sizeof *s->cells,
                               "counts", err);
    if (!s->cells) status = SAE_NOMEM;
done:
    return status;
}

sae_status survey_run(sae_result **result, const survey_options *options, const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    survey s = {.options = *options, .progress = progress, .lock = -1};
    sae_result *r = NULL;
    char *path = NULL, *page = NULL;

    SAE_TRY(open_inputs(&s, err));
    SAE_TRY(folder_begin(&s, err));
    SAE_TRY(folder_lock(s.options.out, &s.lock, err));
    SAE_TRY(rows_prepare(&s, err));
    for (int site = 0; site < s.options.n_sites; site++) SAE_TRY(site_finish(&s, site, err));
    SAE_TRY(survey_report(&r, &s.options, s.names, s.cells, s.n_cells, s.steps * s.options.batch, err));
    path = path_join(s.options.out, "results/survey.json", err);
    page = path_join(s.options.out, "report.html", err);
    if (!path || !page) SAE_TRY(SAE_NOMEM);
    SAE_TRY(sae_result_write(r, path, err));
    SAE_TRY(sae_report_write(page, "Where dense latents are", (const sae_result *const[]){r}, 1, true, err));
    *result = r;
    r = NULL;
done:
    sae_result_free(r);
    mem_free(path);
    mem_free(page);
    survey_free(&s);
    return status;
}
