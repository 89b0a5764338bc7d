/*
 * record.c - what a run leaves: results as JSON, the page, and run.json with all that is needed to repeat it. Times stand
 * in run.json's "cost" only, so the results of two equal runs are equal files.
 */
#include "eval/training.h"
#include "base/threads.h"
#include "kernels/matmul.h"
#include "lab/scaffold.h"

#include <math.h>
#include <stdio.h>

static json_t *options_json(const experiment *e)
{
    const scaffold_options *o = &e->options;
    json_t *texts = json_array();

    for (int i = 0; i < o->n_texts; i++) json_add(&texts, json_text(o->texts[i]));
    return json_pack("{so ss so sI sI sI sI sI sI sf ss sI sI sI sI sI si si so sI}", "model", json_text(o->model_name),
                     "site", e->site_name, "text", texts, "separator", (json_int_t)o->separator, "ctx",
                     (json_int_t)o->ctx, "tokens", (json_int_t)o->tokens, "rows", (json_int_t)o->rows,
                     "held_out_tokens", (json_int_t)o->held_out_tokens, "ce_tokens", (json_int_t)o->ce_tokens,
                     "max_norm", o->max_norm, "arch", o->arch == SAE_MATRYOSHKA ? "matryoshka" : "batchtopk", "width",
                     (json_int_t)o->width, "k", (json_int_t)o->k, "rank", (json_int_t)o->rank, "batch",
                     (json_int_t)o->batch, "seed", (json_int_t)o->seed, "draws", o->draws, "cards", o->cards, "topics",
                     o->topics ? json_text(o->topics) : json_null(), "questions", (json_int_t)o->questions);
}

static json_t *cost_json(const experiment *e)
{
    json_t *cost = json_object();

    for (int i = 0; i < e->n_costs; i++)
        json_put(&cost, e->costs[i].name, json_real(round(e->costs[i].seconds * 100) / 100));
    json_put(&cost, "peak_memory_bytes", json_integer((json_int_t)memory_peak_rss()));
    json_put(&cost, "rows_reused", json_boolean(e->store_reused));
    return cost;
}

sae_status record_write(const experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    char *path = experiment_path(e, "run.json", err);
    json_t *machine = json_pack("{ss ss ss si}", "processor", cpu_name(), "isa", cpu_isa_name(cpu_isa_get()),
                                "products", matmul_library(), "threads", omp_get_max_threads());
    json_t *run = json_pack("{ss ss so so so sO sI sI so}", "command", "scaffold", "version", sae_version(), "options",
                            options_json(e), "recipe", recipe_json(&e->recipe), "machine", machine, "inputs", e->inputs,
                            "distinct_rows", (json_int_t)e->store_rows, "dropped_rows", (json_int_t)e->dropped_rows,
                            "cost", cost_json(e));

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

sae_status results_write(const experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    const sae_result *order[RESULTS_MAX];
    char *path = NULL;
    int n = e->n_results;

    order[0] = e->results[n - 1]; /* the summary was made last and is read first */
    for (int i = 0; i + 1 < n; i++) order[i + 1] = e->results[i];
    for (int i = 0; i < n; i++) {
        char name[96];
        snprintf(name, sizeof name, "results/%s.json", e->result_files[i]);
        mem_free(path);
        path = experiment_path(e, name, err);
        if (!path) {
            status = SAE_NOMEM;
            goto done;
        }
        SAE_TRY(sae_result_write(e->results[i], path, err));
    }
    mem_free(path);
    path = experiment_path(e, "report.html", err);
    if (!path) {
        status = SAE_NOMEM;
        goto done;
    }
    SAE_TRY(sae_report_write(path, "A scaffold beside a sparse autoencoder", order, n, true, err));
done:
    mem_free(path);
    return status;
}
