/*
 * training_report.c - the curves of the first pair, from the log that training left.
 */
#include "lab/scaffold.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { POINTS = 256 };

/* Of both arms. */
typedef struct curves {
    double rows[ARMS][POINTS], fvu[ARMS][POINTS], dense[ARMS][POINTS], dead[ARMS][POINTS];
    int n[ARMS];
} curves;

static sae_status add_line(curves *c, const roster_entry *const pair[ARMS], const json_t *line, const char *path,
                           sae_error *err)
{
    sae_status status = SAE_OK;
    const char *dict = NULL;

    SAE_TRY(json_get_string(line, "dict", "", &dict, path, err));
    for (int a = 0; a < ARMS; a++) {
        int n = c->n[a];
        if (strcmp(dict, pair[a]->name) != 0 || n == POINTS) continue;
        SAE_TRY(json_get_double(line, "rows", NAN, &c->rows[a][n], path, err));
        SAE_TRY(json_get_double(line, "fvu", NAN, &c->fvu[a][n], path, err));
        SAE_TRY(json_get_double(line, "dense", NAN, &c->dense[a][n], path, err));
        SAE_TRY(json_get_double(line, "dead", NAN, &c->dead[a][n], path, err));
        c->n[a]++;
    }
done:
    return status;
}

static sae_status read_log(curves *c, const roster_entry *const pair[ARMS], const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    char *text = NULL;
    json_t *line = NULL;
    size_t bytes = 0;

    SAE_TRY(file_read_all(path, (size_t)1 << 30, &text, &bytes, err));
    for (char *at = text, *end; (end = memchr(at, '\n', bytes - (size_t)(at - text))); at = end + 1) {
        SAE_TRY(json_parse(&line, at, (size_t)(end - at), path, err));
        SAE_TRY(add_line(c, pair, line, path, err));
        json_decref(line);
        line = NULL;
    }
done:
    json_decref(line);
    mem_free(text);
    return status;
}

static sae_status curve(sae_result *r, const char *plot, const char *title, const char *y_label, const curves *c,
                        double (*y)[POINTS], sae_error *err)
{
    sae_status status = SAE_OK;

    SAE_TRY(sae_result_plot(r, plot, title, "rows", y_label, SAE_PLOT_LINE, 0, err));
    for (int a = 0; a < ARMS; a++) SAE_TRY(sae_result_series(r, plot, arm_names[a], c->rows[a], y[a], c->n[a], err));
done:
    return status;
}

static sae_status numbers(const experiment *e, sae_result *r, sae_error *err)
{
    const struct {
        const char *key, *label;
        double value;
    } numbers[] = {{"dictionaries", "dictionaries", (double)e->roster.n},
                   {"rows_per_arm", "training rows of each", (double)(e->recipe.steps * e->recipe.batch)},
                   {"distinct_rows", "distinct rows (tokens)", (double)e->store_rows},
                   {"dropped_rows", "rows dropped for their norm", (double)e->dropped_rows},
                   {"steps", "steps", (double)e->recipe.steps},
                   {"lr", "learning rate", e->recipe.lr}};
    sae_status status = SAE_OK;

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        SAE_TRY(sae_result_number(r, numbers[i].key, numbers[i].value, err));
        SAE_TRY(sae_result_label(r, numbers[i].key, numbers[i].label, NULL, err));
    }
done:
    return status;
}

sae_status training_report(experiment *e, sae_error *err)
{
    const roster_entry *pair[ARMS] = {&e->roster.entries[0], &e->roster.entries[1]};
    sae_status status = SAE_OK;
    sae_result *r = NULL;
    curves *c = mem_alloc(sizeof *c, "training curves", err);
    char name[128], *path = NULL;

    if (!c) return SAE_NOMEM;
    for (int a = 0; a < ARMS; a++) { /* the partner has a log of its own where memory was too small for both */
        snprintf(name, sizeof name, "training/%s/log.jsonl", pair[a]->name);
        mem_free(path);
        path = experiment_path(e, name, err);
        if (!path) SAE_TRY(SAE_NOMEM);
        if (file_exists(path)) SAE_TRY(read_log(c, pair, path, err));
    }
    SAE_TRY(experiment_result(e, "training", "Training", &r, err));
    SAE_TRY(numbers(e, r, err));
    SAE_TRY(curve(r, "fvu", "Unexplained variance of the batch", "FVU", c, c->fvu, err));
    SAE_TRY(curve(r, "dense", "Latents in over 10 % of the batch", "latents", c, c->dense, err));
    SAE_TRY(curve(r, "dead", "Dead latents", "latents", c, c->dead, err));
done:
    mem_free(path);
    mem_free(c);
    return status;
}
