/*
 * record.c - what a run leaves beside its results: the page, and run.json with all that is needed to repeat it. Times stand
 * in run.json's "cost" and in parts/, so the results of two equal runs are equal files.
 */
#include "eval/training.h"
#include "base/threads.h"
#include "kernels/matmul.h"
#include "lab/scaffold.h"
#include "sae/scaffold_fields.h"

#include <stdio.h>
#include <string.h>

static json_t *counts(const int64_t *values, int n)
{
    json_t *list = json_array();

    for (int i = 0; i < n; i++) json_add(&list, json_integer((json_int_t)values[i]));
    return list;
}

static json_t *names(const char *const *values, int n)
{
    json_t *list = json_array();

    for (int i = 0; i < n; i++) json_add(&list, json_text(values[i]));
    return list;
}

/* What others follow from comes before them: of two runs the first difference is what the user asked for otherwise. */
json_t *options_json(const experiment *e)
{
    const scaffold_options *o = &e->options;
    const char *archs[ARCHS_MAX], *variants[VARIANTS_MAX], *labels[TOPICS_LABELS];

    for (int i = 0; i < o->n_archs; i++) archs[i] = arch_name(o->archs[i]);
    for (int i = 0; i < o->n_variants; i++) variants[i] = variant_names[o->variants[i]];
    for (int i = 0; i < o->n_labels; i++) labels[i] = topics_labels_names[o->labels[i]];
    json_t *all = json_pack(
        "{ss ss so ss so si sI sI sI sI sI sb sf so sI sI sI sI so so so sb sI so so sI so sI sI si si ss sI sb}",
        "budget", budget_names[o->budget], "model", o->model_name, "survey",
        o->survey ? json_text(o->survey) : json_null(), "site", e->site_name, "text", names(o->texts, o->n_texts),
        "separator", (int)o->separator, "ctx", (json_int_t)o->ctx, "tokens", (json_int_t)o->tokens, "rows",
        (json_int_t)o->rows, "held_out_tokens", (json_int_t)o->held_out_tokens, "ce_tokens", (json_int_t)o->ce_tokens,
        "with_bos", (int)o->with_bos, "max_norm", o->max_norm, "arch", names(archs, o->n_archs), "width",
        (json_int_t)o->width, "k", (json_int_t)o->k, "rank", (json_int_t)o->rank, "seeds", (json_int_t)o->seeds,
        "variants", names(variants, o->n_variants), "ks", counts(o->ks, o->n_ks), "ranks", counts(o->ranks, o->n_ranks),
        "retrain", (int)(o->retrain > 0), "batch", (json_int_t)o->batch, "lr", json_real(e->recipe.lr), "topics",
        o->topics ? json_text(o->topics) : json_null(), "questions", (json_int_t)o->questions, "labelled",
        names(o->labelled, o->n_labelled), "points", (json_int_t)(o->points > 0 ? o->points : 0), "seed",
        (json_int_t)(o->seed & INT64_MAX), "draws", o->draws, "cards", o->cards, "scaffold_start",
        scaffold_start_names[o->scaffold.scaffold_start], "scaffold_steps", (json_int_t)o->scaffold.scaffold_steps,
        "scaffold_last", (int)o->scaffold.scaffold_last);
    if (o->rank_knee) json_put(&all, "rank", json_string("knee"));
    json_put(&all, "dense_threshold", json_real(o->dense_threshold));
    json_put(&all, "last_token", json_boolean(o->last_token));
    json_put(&all, "labels", names(labels, o->n_labels));
    if (o->matched > 0) json_put(&all, "match", json_string("trained"));
    json_put(&all, "ablate", json_string(arm_names[o->ablate]));
    scaffold_choices_put(&all, &o->scaffold);
    return all;
}

static json_t *machine_json(void)
{
    return json_pack("{ss ss ss si}", "processor", cpu_name(), "isa", cpu_isa_name(cpu_isa_get()), "products",
                     matmul_library(), "threads", omp_get_max_threads());
}

sae_status record_write(const experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    char *path = experiment_path(e, "run.json", err);
    json_t *run = json_pack("{ss ss so so so sO sI sI so}", "command", "scaffold", "version", sae_version(), "options",
                            options_json(e), "recipe", recipe_json(&e->recipe), "machine", machine_json(), "inputs",
                            e->inputs, "distinct_rows", (json_int_t)e->rows.n, "dropped_rows",
                            (json_int_t)e->dropped_rows, "cost", cost_json(e));

    if (!path) {
        status = SAE_NOMEM;
        goto done;
    }
    if (!run) SAE_RAISE(err, SAE_NOMEM, "no memory for run.json");
    SAE_TRY(json_write_file(run, path, true, err)); /* folder_begin has asked already */
done:
    json_decref(run);
    mem_free(path);
    return status;
}

/* ---- The page ------------------------------------------------------------------------------------------------------------- */

/* Of pairs but the first only the comparison is shown, of the other architecture's first what the scaffold is and does too; their other
 * results are files. */
static bool on_page(const experiment *e, const part_result *p)
{
    if (strcmp(p->part, "ranks-removal") == 0 || strcmp(p->part, "summary") == 0) return false;
    for (int i = 0; i < e->roster.n; i++) {
        const roster_entry *r = &e->roster.entries[i];
        if (strcmp(p->part, r->name) != 0) continue;
        bool first = r->config.variant == e->options.variants[0] && r->config.seed == e->options.seed;
        if (strcmp(p->file, "comparison") == 0 || (first && r->config.arch == e->options.archs[0])) return true;
        return first && (strcmp(p->file, "removal") == 0 || strcmp(p->file, "structure") == 0);
    }
    return true;
}

/* The summary is made last and read first; then the first pair's comparison, the parts over many dictionaries, and what is left. */
static int page_order(const experiment *e, const part_result *p)
{
    static const char *const early[] = {"survey", "matching", "matched", "ranks", "stability", "retrain", "census"};
    const char *first = e->roster.entries[1].name;

    if (strcmp(p->part, first) == 0 && strcmp(p->file, "comparison") == 0) return 0;
    if (strcmp(p->part, first) == 0 && strcmp(p->file, "removal") == 0) return 1;
    if (strcmp(p->part, "figures") == 0) return 2;
    for (int i = 0; i < (int)(sizeof early / sizeof *early); i++)
        if (strcmp(p->part, early[i]) == 0) return 3 + i;
    if (strcmp(p->part, "cards") == 0) return 22;
    if (strcmp(p->part, "training") == 0) return 21;
    for (int i = 2; i < e->roster.n; i++) /* other pairs */
        if (strcmp(p->part, e->roster.entries[i].name) == 0) return 20;
    return 10;
}

sae_status results_write(const experiment *e, sae_error *err)
{
    enum { PLACES = 24 };
    sae_status status = SAE_OK;
    const sae_result *order[RESULTS_MAX + 1];
    sae_result *cost = NULL;
    char *path = experiment_path(e, "report.html", err);
    int n = 0;

    if (!path) return SAE_NOMEM;
    order[n++] = experiment_find(e, "summary", "summary");
    for (int place = 0; place < PLACES; place++)
        for (int i = 0; i < e->n_results; i++)
            if (on_page(e, &e->results[i]) && page_order(e, &e->results[i]) == place) order[n++] = e->results[i].result;
    SAE_TRY(cost_result(e, &cost, err));
    order[n++] = cost;
    SAE_TRY(sae_report_write(path, "A scaffold beside a sparse autoencoder", order, n, true, err));
done:
    sae_result_free(cost);
    mem_free(path);
    return status;
}
