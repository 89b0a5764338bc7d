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
    json_t *inputs;     /* all that decides the numbers of a dictionary */
    survey_cell *known; /* [n_known] of the site at hand, all that OUT has; room for all that are asked for */
    int n_known;
    survey_cell *cells; /* [n_sites x dictionaries x stages], those of finished sites first */
    int n_cells;
} survey;

enum { DICTIONARIES_MAX = SURVEY_SIZES * SURVEY_SIZES };
static int dictionaries(const survey *s) { return s->options.n_widths * s->options.n_ks; }

static void survey_free(survey *s)
{
    mem_free(s->known);
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

static sae_status describe(survey *s, sae_error *err)
{
    const survey_options *o = &s->options;
    sae_status status = SAE_OK;
    json_t *sizes = NULL;

    SAE_TRY(lab_inputs(&s->inputs, o->model, s->model, o->texts, o->n_texts, err));
    sizes = json_pack("{si sI sI sI sI sI sI sf sI}", "stages", o->stages, "rows", (json_int_t)o->rows, "batch",
                      (json_int_t)o->batch, "tokens", (json_int_t)o->tokens, "held_out_tokens",
                      (json_int_t)o->held_out_tokens, "ctx", (json_int_t)o->ctx, "separator", (json_int_t)o->separator,
                      "max_norm", o->max_norm, "seed", (json_int_t)(o->seed & INT64_MAX));
    if (!sizes || json_object_update(s->inputs, sizes) != 0)
        SAE_RAISE(err, SAE_NOMEM, "no memory to describe the survey");
done:
    json_decref(sizes);
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
        static const char *const grid[] = {"sites", "widths", "k"}; /* may grow; an older program put it here */
        sae_error why = {0};
        status = json_read_file(&there, path, &why);
        if (status != SAE_OK)
            SAE_RAISE(err, status, "%s: it has the settings of %s; if they are those of this command, remove the file",
                      why.message, s->options.out);
        for (int i = 0; i < 3; i++) json_object_del(there, grid[i]);
        if (!json_equal(there, s->inputs))
            SAE_RAISE(err, SAE_STATE,
                      "%s holds a survey of other settings (survey.json has them): repeat those, at any sites, widths "
                      "and k, or give another --out",
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

/* The store of a site's rows; NULL: the folder of all of them. */
static char *store_path(const survey *s, const char *site, sae_error *err)
{
    char name[96];

    snprintf(name, sizeof name, "acts%s%s", site ? "/" : "", site ? site : "");
    return path_join(s->options.out, name, err);
}

/* Rows of all sites, a store each, in one pass, or of site `only`; kept, and gone on with when the pass was stopped. */
static sae_status rows_write(const survey *s, int only, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *names[SURVEY_SITES];
    const bool all = only < 0;
    char *folder = store_path(s, all ? NULL : s->names[only], err);
    sae_acts_options live = {.max_norm = s->options.max_norm, .in_order = true};
    sae_store_options how = {.parts = all ? names : NULL, .resumable = true, .force = true};
    sae_text *text = NULL;
    sae_acts *acts = NULL;

    if (!folder) return SAE_NOMEM;
    if (file_is_folder(folder)) goto done;
    for (int i = 0; i < s->options.n_sites; i++) names[i] = s->names[i];
    SAE_TRY(text_open(s, SAE_SPLIT_TRAIN, &text, err));
    SAE_TRY(sae_acts_open_live(&acts, s->model, text, s->sites + (all ? 0 : only), all ? s->options.n_sites : 1, &live,
                               err));
    SAE_TRY(sae_store_write(folder, acts, s->options.tokens, &how, s->progress, err));
done:
    sae_acts_free(acts);
    sae_text_free(text);
    mem_free(folder);
    return status;
}

/* A site that joins a survey later has a pass of its own. */
static sae_status rows_prepare(const survey *s, sae_error *err)
{
    sae_status status = SAE_OK;

    for (int i = -1; i < s->options.n_sites && status == SAE_OK; i++) status = rows_write(s, i, err);
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

static const survey_cell *find(const survey *s, const sae_dict_config *c, int64_t rows)
{
    for (int i = 0; i < s->n_known; i++)
        if (s->known[i].width == c->d_sae && s->known[i].k == c->k && s->known[i].rows == rows) return &s->known[i];
    return NULL;
}

static sae_status measure(survey *s, sae_trainer *t, int n_dicts, int site, sample *held_out, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_dict *dict = NULL;
    core_arm arm = {0};

    for (int i = 0; i < n_dicts; i++) {
        SAE_TRY(sae_trainer_export(t, i, &dict, err));
        SAE_TRY(core_measure(&arm, held_out, dict, NULL, err));
        survey_cell *c = &s->known[s->n_known++];
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

static sae_status train_and_measure(survey *s, int site, sae_trainer *t, int n_dicts, sae_acts *acts, sample *held_out,
                                    float *rows, sae_error *err)
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
        if (is_stage(s, step)) SAE_TRY(measure(s, t, n_dicts, site, held_out, err));
        if (s->progress && s->progress->report(s->progress->user, what, (double)(step * s->options.batch),
                                               (double)(s->steps * s->options.batch)))
            SAE_RAISE(err, SAE_CANCELLED,
                      "stopped on request; the sites that were finished are kept in %s: the same command goes on",
                      s->options.out);
    }
done:
    return status;
}

static sae_status site_run(survey *s, int site, const sae_dict_config *configs, int n_dicts, sae_error *err)
{
    sae_status status = SAE_OK;
    char *store = store_path(s, s->names[site], err);
    sae_train_options recipe = sae_recipe_saebench(s->options.batch, s->steps);
    sample_options want = {.tokens = s->options.held_out_tokens, .max_norm = s->options.max_norm};
    sae_acts_options order = {.seed = s->options.seed, .repeat = true, .max_norm = -1};
    sae_text *text = NULL;
    sample held_out = {0};
    sae_trainer *t = NULL;
    sae_acts *acts = NULL;
    float *rows = mem_alloc_array((size_t)s->options.batch, (size_t)s->d * sizeof *rows, "a batch of rows", err);

    if (!rows || !store) SAE_TRY(SAE_NOMEM);
    sae_choose_exact_codes(&recipe, s->d);
    const char *const stores[] = {store};
    SAE_TRY(sae_acts_open_store(&acts, stores, 1, &order, err));
    SAE_TRY(text_open(s, SAE_SPLIT_HELD_OUT, &text, err));
    SAE_TRY(sample_create(&held_out, s->model, text, s->sites[site], &want, s->progress, err));
    lab_tell_short(&s->options.notice, &held_out, want.tokens);
    s->options.notice.tell = NULL; /* it is the same text at every site */
    SAE_TRY(sae_trainer_create(&t, configs, n_dicts, &recipe, err));
    SAE_TRY(train_and_measure(s, site, t, n_dicts, acts, &held_out, rows, err));
done:
    sae_trainer_free(t);
    sae_acts_free(acts);
    sample_free(&held_out);
    sae_text_free(text);
    mem_free(store);
    mem_free(rows);
    return status;
}

/* What OUT has of a site, with room for all that is asked for. */
static sae_status site_read(survey *s, int site, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *cells = NULL;

    mem_free(s->known);
    s->known = NULL;
    s->n_known = 0;
    if (file_exists(path)) {
        sae_error why = {0};
        status = json_read_file(&cells, path, &why);
        if (status != SAE_OK)
            SAE_RAISE(err, status, "%s: remove it, and the same command counts this site again", why.message);
    }
    s->known = mem_alloc_array(json_array_size(cells) + (size_t)(dictionaries(s) * s->options.stages), sizeof *s->known,
                               "counts", err);
    if (!s->known) SAE_TRY(SAE_NOMEM);
    SAE_TRY(survey_cells_read(s->known, &s->n_known, site, cells, path, err));
done:
    json_decref(cells);
    return status;
}

/* OUT/results/SITE.json holds a site's cells: what is asked for and not among them is trained and joins them. */
static sae_status site_finish(survey *s, int site, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_dict_config configs[DICTIONARIES_MAX], c;
    int n = 0;
    char name[96], *path = NULL;
    json_t *cells = NULL;

    snprintf(name, sizeof name, "results/%s.json", s->names[site]);
    path = path_join(s->options.out, name, err);
    if (!path) return SAE_NOMEM;
    SAE_TRY(site_read(s, site, path, err));
    for (int i = 0; i < dictionaries(s); i++) {
        c = config_of(s, site, i);
        if (!find(s, &c, s->steps * s->options.batch)) configs[n++] = c;
    }
    if (n > 0) {
        SAE_TRY(site_run(s, site, configs, n, err));
        cells = survey_cells_json(s->known, s->n_known);
        if (!cells) SAE_RAISE(err, SAE_NOMEM, "no memory for the counts");
        SAE_TRY(json_write_file(cells, path, true, err));
    }
    for (int i = 0; i < dictionaries(s) * s->options.stages; i++) {
        const int64_t rows = (s->steps >> (s->options.stages - 1 - i / dictionaries(s))) * s->options.batch;
        c = config_of(s, site, i % dictionaries(s));
        const survey_cell *cell = find(s, &c, rows);
        if (!cell)
            SAE_RAISE(err, SAE_FORMAT,
                      "%s has no counts of width %lld, k %lld after %lld rows: delete it to count again", path,
                      (long long)c.d_sae, (long long)c.k, (long long)rows);
        s->cells[s->n_cells++] = *cell;
    }
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
