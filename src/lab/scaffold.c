/*
 * scaffold.c - the parts of a run in their order, and the folder that they leave.
 */
#include "lab/scaffold.h"

#include "eval/training.h"

#include <stdio.h>
#include <string.h>

char *experiment_path(const experiment *e, const char *name, sae_error *err)
{
    return path_join(e->options.out, name, err);
}

static void experiment_free(experiment *e)
{
    for (int i = 0; i < e->n_results; i++) sae_result_free(e->results[i].result);
    pair_close(e);
    sample_free(&e->held_out);
    loss_log_close(e->known);
    row_moments_free(&e->rows);
    documents_forget(e);
    json_decref(e->inputs);
    sae_tokenizer_free(e->tok);
    sae_model_free(e->model);
    folder_unlock(e->lock);
    mem_free(e);
}

/* ---- Opening -------------------------------------------------------------------------------------------------------------- */

/* A folder without our record may hold nothing. */
static sae_status only_ours(const char *folder, sae_error *err)
{
    sae_status status = SAE_OK;
    char **names = NULL;
    int n = 0;

    if (!file_is_folder(folder)) return SAE_OK;
    SAE_TRY(folder_list(folder, &names, &n, err));
    for (int i = 0; i < n; i++)
        if (!is_leftover(names[i], NULL))
            SAE_RAISE(err, SAE_EXISTS, "%s holds %s and is of no run of this command: give another --out", folder,
                      names[i]);
done:
    folder_list_free(names, n);
    return status;
}

/* The page and record of other settings, which are written again at the end: a stopped run must not look like a finished one. */
static sae_status drop_page(const experiment *e, sae_error *err)
{
    static const char *const names[] = {"report.html", "run.json"};
    sae_status status = SAE_OK;
    char *path = NULL;

    for (int i = 0; i < 2; i++) {
        mem_free(path);
        path = experiment_path(e, names[i], err);
        if (!path) SAE_TRY(SAE_NOMEM);
        SAE_TRY(file_remove(path, err));
    }
done:
    mem_free(path);
    return status;
}

/* OUT/scaffold.json says what the dictionaries and parts in OUT belong to. Of other settings everything is kept that does not
 * depend on what differs, but only when that is asked for. */
static sae_status folder_begin(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_error ignored = {0};
    char *record = experiment_path(e, "scaffold.json", err);
    json_t *ours = options_json(e), *theirs = NULL;
    const char *key = NULL; /* in which settings differ */

    if (!record || !ours) SAE_RAISE(err, SAE_NOMEM, "no memory to describe the run");
    if (!file_exists(record)) {
        SAE_TRY(only_ours(e->options.out, err));
    } else {
        key = json_read_file(&theirs, record, &ignored) == SAE_OK ? json_any_difference(ours, theirs) : "scaffold.json";
        if (key && !e->options.force)
            SAE_RAISE(err, SAE_EXISTS,
                      "%s holds a run of other settings (%s): give another --out, or --force to go on with these: what "
                      "does not depend on them is kept",
                      e->options.out, key);
    }
    SAE_TRY(folder_make(e->options.out, err));
    SAE_TRY(folder_lock(e->options.out, &e->lock, err));
    if (key) SAE_TRY(drop_page(e, err));
    SAE_TRY(json_write_file(ours, record, true, err));
done:
    json_decref(ours);
    json_decref(theirs);
    mem_free(record);
    return status;
}

/* Before anything is written: a text that cannot be opened leaves no folder behind. */
static sae_status texts_exist(const experiment *e, sae_error *err)
{
    sae_text *text = NULL;
    sae_status status = experiment_text(e, SAE_SPLIT_TRAIN, &text, err);

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
    e->options = *options;
    SAE_TRY(survey_choose(&e->options, e->model, e->survey_site, err));
    SAE_TRY(site_open(e, e->options.site, err));
    e->d = sae_model_get_info(e->model)->d_model;
    SAE_TRY(budget_fill(&e->options, e->d, err));
    snprintf(e->dense_key, sizeof e->dense_key, "dense_%g", e->options.dense_threshold);
    e->recipe = sae_recipe_saebench(e->options.batch, e->options.rows / e->options.batch);
    if (e->options.lr > 0) e->recipe.lr = e->options.lr;
    sae_choose_exact_codes(&e->recipe, e->d);
    SAE_TRY(roster_check(e, err));
    SAE_TRY(texts_exist(e, err));
    SAE_TRY(scaffold_topics_check(e, err));
    SAE_TRY(documents_check(e, err));
    SAE_TRY(rows_describe(e, err));
    SAE_TRY(folder_begin(e, err));
done:
    return status;
}

/* ---- The steps --------------------------------------------------------------------------------------------------------------- */

/* Rows and dictionaries keep themselves. What a stopped call spent on them counts too. */
static sae_status train_all(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK, counted;
    double began = clock_seconds();
    bool kept = true;

    SAE_TRY(roster_make(e, err));
    for (int i = 0; i < e->roster.n; i++)
        kept = kept && (e->roster.entries[i].trained || e->roster.entries[i].use > USE_RANK);
    status = arms_train(e, USE_BASELINE, USE_RANK, NULL, err);
    counted = experiment_spent(e, "training", clock_seconds() - began, kept, status == SAE_OK ? err : NULL);
    if (status == SAE_OK) status = counted;
    SAE_TRY(status);
    SAE_TRY(part_derive(e, "training", training_report, err));
done:
    return status;
}

static sae_status rows_all(experiment *e, sae_error *err)
{
    double began = clock_seconds();
    sae_status status = rows_prepare(e, err);
    sae_status counted =
        experiment_spent(e, "rows", clock_seconds() - began, e->store_reused, status == SAE_OK ? err : NULL);

    return status == SAE_OK ? counted : status;
}

static sae_status figures_parts(experiment *e, sae_error *err)
{
    return part_derive(e, "figures", figures_report, err);
}
static sae_status summary_parts(experiment *e, sae_error *err)
{
    return part_derive(e, "summary", summary_report, err);
}

/* ---- No scaffold ----------------------------------------------------------------------------------------------------------- */

static void ranks_text(const scaffold_options *o, char *out, size_t size)
{
    size_t used = 0;

    *out = '\0';
    for (int i = 0; i < o->n_ranks && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%lld", i ? "," : "", (long long)o->ranks[i]);
}

static sae_status nothing_found(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_result *r = NULL;
    char ranks[128], text[600];

    ranks_text(&e->options, ranks, sizeof ranks);
    snprintf(
        text, sizeof text,
        "No scaffold was compared. None of the ranks %s is worth its directions at %s: the knee of held-out FVU over "
        "them, by which --rank knee takes the rank, is at 0 (docs/method.md 12).",
        ranks, e->site_name);
    SAE_TRY(experiment_result(e, "summary", "What was found", &r, err));
    SAE_TRY(sae_result_note(r, text, err));
done:
    return status;
}

/* The page of a run that ends with the knee at 0. */
static sae_status nothing_report(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;

    SAE_TRY(survey_parts(e, err));
    SAE_TRY(part_derive(e, "summary", nothing_found, err));
    SAE_TRY(results_write(e, err));
done:
    return status;
}

/* Where no rank is worth its directions the page says so. The ranks that were tried belong to what is asked next: their dictionaries are
 * then the rank sweep of that run. */
static sae_status rank_choose(experiment *e, sae_error *err)
{
    sae_error why = {0}, failed = {0};
    char ranks[128];
    sae_status status = ranks_choose(e, &why);
    const sae_result *knee = experiment_find(e, "knee", "knee");

    if (status == SAE_STATE && knee && sae_result_get(knee, "knee", 1) == 0) {
        ranks_text(&e->options, ranks, sizeof ranks);
        const size_t used = strlen(why.message);
        snprintf(why.message + used, sizeof why.message - used,
                 ", and used with --ranks %s; %s/report.html has what was found", ranks, e->options.out);
        const sae_status written = nothing_report(e, &failed);
        if (written != SAE_OK) {
            status = written;
            why = failed;
        }
    }
    if (status != SAE_OK && err) *err = why;
    return status;
}

/* ---- All of them ----------------------------------------------------------------------------------------------------------- */

static sae_status run_all(experiment *e, sae_error *err)
{
    static sae_status (*const steps[])(experiment *, sae_error *) = {
        rows_all,     rank_choose,   train_all,       pair_parts,     features_parts,
        census_parts, matched_parts, documents_parts, matching_parts, stability_parts,
        ranks_parts,  retrain_parts, survey_parts,    figures_parts,  summary_parts};
    sae_status status = SAE_OK;

    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) SAE_TRY(steps[i](e, err));
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
    e->lock = -1;
    SAE_TRY(open_inputs(e, options, err));
    SAE_TRY(run_all(e, err));
    SAE_TRY(parts_forget(e, err));
    SAE_TRY(roster_forget(e, err));
    SAE_TRY(results_write(e, err));
    SAE_TRY(record_write(e, err));
    *summary = e->results[--e->n_results].result;
done:
    experiment_free(e);
    return status;
}
