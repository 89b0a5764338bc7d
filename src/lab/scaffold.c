/*
 * scaffold.c - the steps of the comparison in their order, and the folder that they leave.
 */
#include "lab/scaffold.h"

#include <math.h>
#include <string.h>

char *experiment_path(const experiment *e, const char *name, sae_error *err)
{
    return path_join(e->options.out, name, err);
}

sae_status experiment_result(experiment *e, const char *file, const char *title, sae_result **result, sae_error *err)
{
    sae_status status = sae_result_create(&e->results[e->n_results], title, err);

    if (status != SAE_OK) return status;
    e->result_files[e->n_results] = file;
    *result = e->results[e->n_results++];
    return SAE_OK;
}

subspace experiment_components(const experiment *e, int64_t n)
{
    return (subspace){.d = e->d, .rank = n, .basis = e->components.basis};
}

static void experiment_free(experiment *e)
{
    for (int i = 0; i < e->n_results; i++) sae_result_free(e->results[i]);
    for (int a = 0; a < ARMS; a++) {
        core_arm_free(&e->arms[a]);
        sae_dict_free(e->dicts[a]);
    }
    loss_table_free(&e->losses);
    mem_free(e->topics);
    subspace_free(&e->components);
    subspace_free(&e->dense);
    scaffold_map_free(&e->map);
    sample_free(&e->held_out);
    mem_free(e->mean);
    mem_free(e->covariance);
    mem_free(e->spectrum);
    mem_free(e->magnitude);
    json_decref(e->inputs);
    sae_tokenizer_free(e->tok);
    sae_model_free(e->model);
    mem_free(e);
}

/* ---- Options ------------------------------------------------------------------------------------------------------------ */

static int64_t or_default(int64_t value, int64_t otherwise) { return value ? value : otherwise; }

static sae_status check_options(const scaffold_options *o, int64_t d, sae_error *err)
{
    if (o->arch != SAE_BATCHTOPK && o->arch != SAE_MATRYOSHKA)
        return SAE_FAIL(err, SAE_UNSUPPORTED, "the comparison trains batchtopk or matryoshka dictionaries");
    if (o->rank < 1 || o->rank >= d)
        return SAE_FAIL(err, SAE_RANGE, "rank %lld: the scaffold's rank must be 1 to %lld, below the width of a row",
                        (long long)o->rank, (long long)d - 1);
    if (o->k < 1 || o->k > o->width)
        return SAE_FAIL(err, SAE_RANGE, "k %lld: must be 1 to the number of latents, %lld", (long long)o->k,
                        (long long)o->width);
    if (o->batch < 1 || o->rows < o->batch)
        return SAE_FAIL(err, SAE_RANGE, "%lld training rows are not one batch of %lld", (long long)o->rows,
                        (long long)o->batch);
    if (o->draws < 1 || o->draws > LOSS_DRAWS_MAX)
        return SAE_FAIL(err, SAE_RANGE, "%d random subspaces: 1 to %d can be drawn", o->draws, (int)LOSS_DRAWS_MAX);
    if (o->cards < 1 || o->cards > 64 || o->cards > o->width)
        return SAE_FAIL(err, SAE_RANGE, "%d cards per arm: 1 to 64, and no more than latents", o->cards);
    return SAE_OK;
}

static sae_status fill_options(experiment *e, const scaffold_options *given, sae_error *err)
{
    scaffold_options o = *given;

    if (!o.model_name) o.model_name = o.model;
    o.ctx = or_default(o.ctx, 256);
    o.tokens = or_default(o.tokens, 262144);
    o.rows = or_default(o.rows, 1048576);
    o.held_out_tokens = or_default(o.held_out_tokens, 20480);
    o.ce_tokens = or_default(o.ce_tokens, 8192);
    o.max_norm = o.max_norm == 0 ? 10 : o.max_norm;
    o.width = or_default(o.width, 8 * e->d);
    o.k = or_default(o.k, 32);
    o.rank = or_default(o.rank, (int64_t)fmax(2, round((double)e->d / 96)));
    o.batch = or_default(o.batch, 2048);
    o.draws = o.draws ? o.draws : 3;
    o.cards = o.cards ? o.cards : 10;
    o.questions = or_default(o.questions, 1000);
    e->options = o;
    e->recipe = sae_recipe_saebench(o.batch, o.rows / (o.batch > 0 ? o.batch : 1));
    if (o.lr > 0) e->recipe.lr = o.lr;
    sae_choose_exact_codes(&e->recipe, e->d);
    return check_options(&o, e->d, err);
}

/* ---- Opening -------------------------------------------------------------------------------------------------------------- */

/* A folder without run.json may hold what an unfinished run left, and nothing else. */
static sae_status only_ours(const char *folder, sae_error *err)
{
    static const char *const ours[] = {"acts",     "results",  "log.jsonl",   "time.jsonl", "checkpoints",
                                       "baseline", "scaffold", "report.html", "run.json"};
    sae_status status = SAE_OK;
    char **names = NULL;
    int n = 0;

    if (!file_is_folder(folder)) return SAE_OK;
    SAE_TRY(folder_list(folder, &names, &n, err));
    for (int i = 0; i < n; i++) {
        bool known = false;
        for (size_t k = 0; k < sizeof ours / sizeof *ours; k++)
            known = known || strncmp(names[i], ours[k], strlen(ours[k])) == 0;
        if (!known)
            SAE_RAISE(err, SAE_EXISTS, "%s holds %s, which no run of this command leaves: give another --out", folder,
                      names[i]);
    }
done:
    folder_list_free(names, n);
    return status;
}

/* A finished run is not written over. An unfinished one has no run.json: its rows are used, the rest is made anew. */
static sae_status folder_begin(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    char *run = experiment_path(e, "run.json", err), *results = experiment_path(e, "results", err);
    char *rows = experiment_path(e, "acts.json", err);

    if (!run || !results || !rows) {
        status = SAE_NOMEM;
        goto done;
    }
    if (file_exists(run) && !e->options.force)
        SAE_RAISE(err, SAE_EXISTS, "%s holds a finished run: give another --out, or --force to write over it",
                  e->options.out);
    if (!file_exists(run)) SAE_TRY(only_ours(e->options.out, err));
    e->overwrite = e->options.force || file_exists(rows);
    SAE_TRY(folder_make(results, err));
done:
    mem_free(run);
    mem_free(results);
    mem_free(rows);
    return status;
}

/* Before anything is written: a text that cannot be opened leaves no folder behind. */
static sae_status texts_exist(const experiment *e, sae_error *err)
{
    sae_text *text = NULL;
    sae_text_options how = sae_text_defaults();

    how.ctx = e->options.ctx;
    how.separator = e->options.separator;
    sae_status status = sae_text_open(&text, e->tok, e->options.texts, e->options.n_texts, &how, err);
    sae_text_free(text);
    return status;
}

static sae_status site_open(experiment *e, const char *name, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_site middle = {.layer = (int)(sae_model_get_info(e->model)->n_layer / 2), .hook = SAE_RESID_POST};

    if (name) SAE_TRY(sae_site_parse(&middle, name, e->model, err));
    e->site = middle;
    sae_site_name(e->site, e->site_name, sizeof e->site_name);
done:
    return status;
}

static sae_status open_inputs(experiment *e, const scaffold_options *options, sae_error *err)
{
    sae_status status = SAE_OK;

    SAE_TRY(sae_model_open(&e->model, options->model, NULL, err));
    SAE_TRY(sae_tokenizer_open(&e->tok, options->model, err));
    SAE_TRY(site_open(e, options->site, err));
    e->d = sae_model_get_info(e->model)->d_model;
    SAE_TRY(fill_options(e, options, err));
    SAE_TRY(texts_exist(e, err));
    SAE_TRY(scaffold_topics_check(e, err));
    SAE_TRY(folder_begin(e, err));
done:
    return status;
}

static sae_status held_out_open(experiment *e, sae_error *err)
{
    const scaffold_options *o = &e->options;
    sae_status status = SAE_OK;
    sae_text *text = NULL;
    sae_text_options how = sae_text_defaults();
    sample_options want = {.tokens = o->held_out_tokens, .max_norm = o->max_norm};

    how.ctx = o->ctx;
    how.separator = o->separator;
    how.split = SAE_SPLIT_HELD_OUT;
    SAE_TRY(sae_text_open(&text, e->tok, o->texts, o->n_texts, &how, err));
    SAE_TRY(sample_create(&e->held_out, e->model, text, e->site, &want, e->progress, err));
done:
    sae_text_free(text);
    return status;
}

/* Comparators have as many directions as the scaffold really writes to, which may be fewer than its rank. */
int64_t compared_rank(const experiment *e) { return e->map.rank > 0 ? e->map.rank : e->options.rank; }

static sae_status subspaces_find(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;

    SAE_TRY(scaffold_map_create(&e->map, e->dicts[ARM_SCAFFOLD], e->mean, e->covariance, err));
    SAE_TRY(subspace_pca(&e->components, e->covariance, e->d, 0, e->d, e->spectrum, err));
    e->pca = experiment_components(e, compared_rank(e));
    e->next = e->pca;
    e->next.basis += e->pca.rank * e->d;
    if (e->next.rank > e->d - e->pca.rank) e->next.rank = e->d - e->pca.rank;
done:
    return status;
}

/* ---- The steps --------------------------------------------------------------------------------------------------------------- */

typedef struct stage {
    const char *name;
    sae_status (*run)(experiment *e, sae_error *err);
} stage;

static sae_status run_stages(experiment *e, sae_error *err)
{
    static const stage stages[] = {{"training rows", rows_prepare},  {"training", arms_train},
                                   {"held-out rows", held_out_open}, {"subspaces", subspaces_find},
                                   {"measures", arms_measure},       {"removal", removal_report},
                                   {"structure", structure_report},  {"topics", scaffold_topics},
                                   {"cards", showcase_report},       {"summary", summary_report}};
    sae_status status = SAE_OK;

    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
        double began = clock_seconds();
        SAE_TRY(stages[i].run(e, err));
        e->costs[e->n_costs++] = (stage_cost){stages[i].name, clock_seconds() - began};
    }
done:
    return status;
}

sae_status scaffold_run(sae_result **summary, const scaffold_options *options, const sae_progress *progress,
                        sae_error *err)
{
    sae_status status = SAE_OK;
    experiment *e = mem_alloc(sizeof *e, "an experiment", err);

    if (!e) return SAE_NOMEM;
    e->progress = progress;
    SAE_TRY(open_inputs(e, options, err));
    SAE_TRY(run_stages(e, err));
    SAE_TRY(results_write(e, err));
    SAE_TRY(record_write(e, err));
    *summary = e->results[--e->n_results];
done:
    experiment_free(e);
    return status;
}
