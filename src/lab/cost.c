/*
 * cost.c - what a run took: seconds of every part and the largest memory. OUT/cost.json adds up all calls on the folder, whether they ended
 * or were stopped, so that a run that was made in several calls tells what it took in all.
 */
#include "lab/scaffold.h"
#include "base/threads.h"

#include <math.h>
#include <stdio.h>

static const char peak_key[] = "peak_memory_bytes";

/* What earlier calls left; an empty object where there is nothing that can be read. NULL: no memory. */
static json_t *earlier_calls(const char *path)
{
    sae_error ignored = {0};
    json_t *all = NULL;

    if (file_exists(path) && json_read_file(&all, path, &ignored) == SAE_OK && json_is_object(all)) return all;
    json_decref(all);
    return json_object();
}

/* Of this call, too, until now. */
static double peak_memory(const experiment *e) { return fmax(e->peak_memory, (double)memory_peak_rss()); }

static void remember(experiment *e, const char *name, double seconds, bool kept)
{
    stage_cost *c = &e->costs[e->n_costs];

    if (e->n_costs == COSTS_MAX) return; /* the report then lacks a line */
    *c = (stage_cost){.seconds = seconds, .kept = kept};
    snprintf(c->name, sizeof c->name, "%s", name);
    e->n_costs++;
}

sae_status experiment_spent(experiment *e, const char *what, double seconds, bool kept, sae_error *err)
{
    sae_status status = SAE_OK;
    char *path = experiment_path(e, "cost.json", err);
    json_t *all = NULL;

    if (!path) return SAE_NOMEM;
    all = earlier_calls(path);
    const json_t *before = json_object_get(all, what);
    if (json_is_number(before)) seconds = json_number_value(before) + (kept ? 0 : seconds);
    e->peak_memory = fmax(peak_memory(e), json_number_value(json_object_get(all, peak_key)));
    json_put(&all, what, json_real(seconds));
    json_put(&all, peak_key, json_integer((json_int_t)e->peak_memory));
    if (!all) SAE_RAISE(err, SAE_NOMEM, "no memory for the cost of a run");
    if (!kept) SAE_TRY(json_write_file(all, path, true, err));
    remember(e, what, seconds, kept);
done:
    json_decref(all);
    mem_free(path);
    return status;
}

json_t *cost_json(const experiment *e)
{
    json_t *cost = json_object(), *parts = json_object();

    for (int i = 0; i < e->n_costs; i++)
        json_put(
            &parts, e->costs[i].name,
            json_pack("{sf sb}", "seconds", round(e->costs[i].seconds * 100) / 100, "kept", (int)e->costs[i].kept));
    json_put(&cost, "parts", parts);
    json_put(&cost, peak_key, json_integer((json_int_t)peak_memory(e)));
    json_put(&cost, "rows_reused", json_boolean(e->store_reused));
    return cost;
}

sae_status cost_result(const experiment *e, sae_result **out, sae_error *err)
{
    static const char *const columns[] = {"part", "seconds, in all calls", "in this call"};
    sae_status status = SAE_OK;
    double total = 0;

    SAE_TRY(sae_result_create(out, "What it cost", err));
    SAE_TRY(sae_result_setting(*out, "processor", (sae_cell){cpu_name(), NAN}, err));
    SAE_TRY(sae_result_setting(*out, "instructions", (sae_cell){cpu_isa_name(cpu_isa_get()), NAN}, err));
    SAE_TRY(sae_result_setting(*out, "threads", (sae_cell){NULL, omp_get_max_threads()}, err));
    SAE_TRY(sae_result_setting(*out, "peak memory, MiB", (sae_cell){NULL, round(peak_memory(e) / (1 << 20))}, err));
    SAE_TRY(sae_result_table(*out, "parts", "Time by part", columns, 3, err));
    for (int i = 0; i < e->n_costs; i++) {
        const sae_cell cells[] = {{e->costs[i].name, NAN},
                                  {NULL, round(e->costs[i].seconds * 10) / 10},
                                  {e->costs[i].kept ? "kept from an earlier one" : "measured", NAN}};
        SAE_TRY(sae_result_row(*out, "parts", cells, 3, err));
        total += e->costs[i].seconds;
    }
    const sae_cell sum[] = {{"in all", NAN}, {NULL, round(total)}, {"-", NAN}};
    SAE_TRY(sae_result_row(*out, "parts", sum, 3, err));
done:
    return status;
}
