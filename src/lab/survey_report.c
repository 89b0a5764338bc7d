/* survey_report.c - what a survey counted: a row for each dictionary at each stage, curves over rows seen, and the headline. */
#include "lab/survey_report.h"

#include "io/io.h"
#include "sae/train.h"

#include <math.h>
#include <stdio.h>

/* ---- JSON ----------------------------------------------------------------------------------------------------------------- */

json_t *survey_cells_json(const survey_cell *cells, int n)
{
    json_t *all = json_array();

    for (int i = 0; i < n; i++) {
        const survey_cell *c = &cells[i];
        json_t *dense = json_array();
        for (int t = 0; t < DENSITY_THRESHOLDS; t++) json_add(&dense, json_integer((json_int_t)c->dense[t]));
        json_add(&all, json_pack("{si sI sI sI sI sf so sf so}", "training_revision", TRAINING_REVISION, "width",
                                 (json_int_t)c->width, "k", (json_int_t)c->k, "rows", (json_int_t)c->rows, "dead",
                                 (json_int_t)c->dead, "l0", c->l0, "fvu", json_number_or_null(c->fvu), "mass", c->mass,
                                 "dense", dense));
    }
    return all;
}

static sae_status cell_read(survey_cell *c, const json_t *from, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    const json_t *dense = json_object_get(from, "dense");

    SAE_TRY(json_get_int(from, "width", 0, &c->width, path, err));
    SAE_TRY(json_get_int(from, "k", 0, &c->k, path, err));
    SAE_TRY(json_get_int(from, "rows", 0, &c->rows, path, err));
    SAE_TRY(json_get_int(from, "dead", 0, &c->dead, path, err));
    c->l0 = json_number_value(json_object_get(from, "l0"));
    c->fvu = json_is_number(json_object_get(from, "fvu")) ? json_number_value(json_object_get(from, "fvu")) : NAN;
    c->mass = json_number_value(json_object_get(from, "mass"));
    if (json_array_size(dense) != DENSITY_THRESHOLDS)
        SAE_RAISE(err, SAE_FORMAT, "%s: \"dense\" holds %zu counts, expected %d: delete the file to count again", path,
                  json_array_size(dense), (int)DENSITY_THRESHOLDS);
    for (int t = 0; t < DENSITY_THRESHOLDS; t++)
        c->dense[t] = (int64_t)json_integer_value(json_array_get(dense, (size_t)t));
done:
    return status;
}

sae_status survey_cells_read(survey_cell *cells, int *n, int site, const json_t *from, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;

    *n = 0;
    for (size_t i = 0; i < json_array_size(from); i++) {
        const json_t *cell = json_array_get(from, i);
        int64_t revision;
        SAE_TRY(json_get_int(cell, "training_revision", 0, &revision, path, err));
        if (revision != TRAINING_REVISION) continue;
        cells[*n] = (survey_cell){.site = site};
        SAE_TRY(cell_read(&cells[(*n)++], cell, path, err));
    }
done:
    return status;
}

/* ---- For people ----------------------------------------------------------------------------------------------------------- */

static sae_status table(sae_result *r, char (*names)[64], const survey_cell *cells, int n, sae_error *err)
{
    static const char *const columns[] = {"site", "width", "k",    "k / width", "rows seen", "L0",  "FVU",
                                          "5 %",  "10 %",  "20 %", "30 %",      "mass",      "dead"};
    sae_status status = SAE_OK;

    SAE_TRY(sae_result_table(r, "counts", "Latents firing on more than 5, 10, 20, 30 % of held-out tokens", columns, 13,
                             err));
    for (int i = 0; i < n; i++) {
        const survey_cell *c = &cells[i];
        char share[32];
        snprintf(share, sizeof share, "%.2f %%", 100 * (double)c->k / (double)c->width);
        const sae_cell row[] = {{names[c->site], NAN},
                                {NULL, (double)c->width},
                                {NULL, (double)c->k},
                                {share, (double)c->k / (double)c->width},
                                {NULL, (double)c->rows},
                                {NULL, c->l0},
                                {NULL, c->fvu},
                                {NULL, (double)c->dense[0]},
                                {NULL, (double)c->dense[1]},
                                {NULL, (double)c->dense[2]},
                                {NULL, (double)c->dense[3]},
                                {NULL, c->mass},
                                {NULL, (double)c->dead}};
        SAE_TRY(sae_result_row(r, "counts", row, 13, err));
    }
done:
    return status;
}

/* A plot for each site: latents over 10 % against rows seen, a curve for each dictionary. */
static sae_status curves(sae_result *r, const survey_options *o, char (*names)[64], const survey_cell *cells, int n,
                         sae_error *err)
{
    sae_status status = SAE_OK;
    int dicts = o->n_widths * o->n_ks, per_site = dicts * o->stages;

    for (int site = 0; (site + 1) * per_site <= n; site++) {
        SAE_TRY(sae_result_plot(r, names[site], names[site], "rows seen", "latents over 10 %", SAE_PLOT_LINE,
                                SAE_PLOT_LOG_X, err));
        for (int i = 0; i < dicts; i++) {
            double x[SURVEY_STAGES], y[SURVEY_STAGES];
            char label[64];
            const survey_cell *c = &cells[site * per_site + i];
            snprintf(label, sizeof label, "width %lld, k %lld", (long long)c->width, (long long)c->k);
            for (int stage = 0; stage < o->stages; stage++) {
                x[stage] = (double)c[stage * dicts].rows;
                y[stage] = (double)c[stage * dicts].dense[1];
            }
            SAE_TRY(sae_result_series(r, names[site], label, x, y, o->stages, err));
        }
    }
done:
    return status;
}

static sae_status headline(sae_result *r, char (*names)[64], const survey_cell *cells, int n, int64_t rows,
                           sae_error *err)
{
    sae_status status = SAE_OK;
    int best = survey_headline(cells, n, rows);
    char text[256];

    if (best < 0) return SAE_OK;
    const survey_cell *c = &cells[best];
    snprintf(text, sizeof text, "%s, width %lld, k %lld: %lld latents over 10 %%, %.1f of them active on a token",
             names[c->site], (long long)c->width, (long long)c->k, (long long)c->dense[1], c->mass);
    SAE_TRY(sae_result_text(r, "headline", text, err));
    SAE_TRY(sae_result_label(r, "headline", "the setting with most to absorb",
                             "most latents over 10 % at the last stage; ties: the larger sum of their densities", err));
    SAE_TRY(sae_result_number(r, "headline_dense", (double)c->dense[1], err));
    SAE_TRY(sae_result_label(r, "headline_dense", "its latents over 10 %", NULL, err));
done:
    return status;
}

sae_status survey_report(sae_result **out, const survey_options *o, char (*names)[64], const survey_cell *cells, int n,
                         int64_t rows, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_result *r = NULL;
    const struct {
        const char *key;
        double value;
    } settings[] = {{"training rows", (double)rows},
                    {"distinct rows", (double)o->tokens},
                    {"held-out tokens", (double)o->held_out_tokens},
                    {"batch", (double)o->batch},
                    {"seed", (double)o->seed}};

    SAE_TRY(sae_result_create(&r, "Where dense latents are", err));
    SAE_TRY(sae_result_setting(r, "model", (sae_cell){o->model_name, NAN}, err));
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        SAE_TRY(sae_result_setting(r, settings[i].key, (sae_cell){NULL, settings[i].value}, err));
    SAE_TRY(sae_result_note(r,
                            "Plain BatchTopK dictionaries, no scaffold. Counts are of held-out text without special "
                            "tokens; mass is the sum of the densities over 10 %: how many such latents are active on a "
                            "token. One seed: settings whose counts differ by a few are not told apart.",
                            err));
    SAE_TRY(headline(r, names, cells, n, rows, err));
    SAE_TRY(sae_result_section(r, "While training", err));
    SAE_TRY(curves(r, o, names, cells, n, err));
    SAE_TRY(sae_result_section(r, "Every dictionary", err));
    SAE_TRY(table(r, names, cells, n, err));
    *out = r;
    r = NULL;
done:
    sae_result_free(r);
    return status;
}
