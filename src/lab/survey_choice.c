/*
 * survey_choice.c - a finished `sae lab survey` before a run: site, width and k that were not given are those at which plain
 * dictionaries have most dense latents (ties: the larger sum of their densities) among those of what was given, so they are chosen before
 * any scaffold is trained.
 */
#include "lab/inputs.h"
#include "lab/scaffold.h"

#include <stdio.h>
#include <string.h>

/* A row of the survey's table; strings borrowed from it. */
typedef struct counted {
    const char *site;
    int64_t width, k;
    double rows, dense, mass;
} counted;

static double number_at(const json_t *row, int column)
{
    const json_t *cell = column < 0 ? NULL : json_array_get(row, (size_t)column);

    return json_number_value(json_is_object(cell) ? json_object_get(cell, "value") : cell);
}

static int column_named(const json_t *columns, const char *name)
{
    for (size_t i = 0; i < json_array_size(columns); i++) {
        const char *title = json_string_value(json_array_get(columns, i));
        if (title && strcmp(title, name) == 0) return (int)i;
    }
    return -1;
}

/* A count that can be one, else 0. */
static int64_t count_at(const json_t *row, int column)
{
    double value = number_at(row, column);

    return value >= 1 && value < 1e12 ? (int64_t)value : 0;
}

/* dense: the column of the counts that decide. */
static counted row_at(const json_t *table, const char *dense, size_t i)
{
    const json_t *columns = json_object_get(table, "columns"), *row = json_array_get(json_object_get(table, "rows"), i);
    int site = column_named(columns, "site");

    return (counted){.site = site < 0 ? NULL : json_string_value(json_array_get(row, (size_t)site)),
                     .width = count_at(row, column_named(columns, "width")),
                     .k = count_at(row, column_named(columns, "k")),
                     .rows = number_at(row, column_named(columns, "rows seen")),
                     .dense = number_at(row, column_named(columns, dense)),
                     .mass = number_at(row, column_named(columns, "mass"))};
}

/* Of those at `site` (NULL: any), of `width` and `k` (0: any), that saw most rows; no site: there is none. */
static counted best_of(const json_t *table, const char *dense, const char *site, int64_t width, int64_t k)
{
    counted best = {0};

    for (size_t i = 0; i < json_array_size(json_object_get(table, "rows")); i++) {
        const counted c = row_at(table, dense, i);
        if (!c.site || (site && strcmp(c.site, site) != 0)) continue;
        if ((width && c.width != width) || (k && c.k != k) || c.rows < best.rows) continue;
        if (best.site && c.rows == best.rows &&
            (c.dense < best.dense || (c.dense == best.dense && c.mass <= best.mass)))
            continue;
        best = c;
    }
    return best;
}

/* The column of latents over the run's threshold: the survey has those of density_thresholds. */
static sae_status find_column(const scaffold_options *o, const json_t *table, char out[24], sae_error *err)
{
    const double threshold = o->dense_threshold > 0 ? o->dense_threshold : density_thresholds[1];

    snprintf(out, 24, "%g %%", 100 * threshold);
    if (column_named(json_object_get(table, "columns"), out) >= 0) return SAE_OK;
    return SAE_FAIL(err, SAE_RANGE,
                    "%s has no counts of latents over %s of tokens: with --survey, --dense-threshold is 0.05, 0.1, 0.2 "
                    "or 0.3",
                    o->survey, out);
}

/* The survey's result, which is checked so, and its file as it stands, whose table of counts is read. */
static sae_status survey_read(const scaffold_options *o, sae_result **found, json_t **file, sae_error *err)
{
    sae_status status = SAE_OK;
    char *path = path_join(o->survey, "results/survey.json", err);

    if (!path) SAE_TRY(SAE_NOMEM);
    SAE_TRY(sae_result_read(found, path, err));
    SAE_TRY(json_read_file(file, path, err));
done:
    mem_free(path);
    return status;
}

/* It counts for nothing on another model. Its text may be another one, as long as it is text. */
static sae_status same_model(const scaffold_options *o, const sae_model *model, sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *theirs = NULL, *ours = NULL;
    char *path = path_join(o->survey, "survey.json", err);

    if (!path) SAE_TRY(SAE_NOMEM);
    SAE_TRY(json_read_file(&theirs, path, err));
    SAE_TRY(lab_inputs(&ours, o->model, model, NULL, 0, err));
    if (!json_equal(json_object_get(theirs, "model"), json_object_get(ours, "model")))
        SAE_RAISE(err, SAE_STATE, "%s is a survey of another model: make one of %s (sae lab survey)", o->survey,
                  o->model_name ? o->model_name : o->model);
done:
    json_decref(theirs);
    json_decref(ours);
    mem_free(path);
    return status;
}

static const json_t *counts_of(const json_t *file)
{
    return json_object_get(json_object_get(file, "tables"), "counts");
}

/* The best of what was asked for. Where both sizes are given and were not surveyed together, the site alone is left to decide, and is that of
 * the best of all sizes; survey_note says so. */
static sae_status choose(counted *out, const scaffold_options *o, const json_t *table, const char *dense,
                         sae_error *err)
{
    const counted at_site = best_of(table, dense, o->site, 0, 0);

    *out = best_of(table, dense, o->site, o->width, o->k);
    if (!at_site.site)
        return o->site ? SAE_FAIL(err, SAE_RANGE, "%s has nothing of %s: survey that site too, or leave --survey out",
                                  o->survey, o->site)
                       : SAE_FAIL(err, SAE_FORMAT, "%s/results/survey.json counts nothing", o->survey);
    if (!out->site && (!o->width || !o->k))
        return SAE_FAIL(err, SAE_RANGE,
                        "%s has nothing of %s with this %s, so it cannot decide the %s: give both --width and --k, or "
                        "one that was surveyed",
                        o->survey, o->site ? o->site : "any site", o->width ? "width" : "k", o->width ? "k" : "width");
    if (!out->site) *out = at_site;
    return SAE_OK;
}

sae_status survey_choose(scaffold_options *o, const sae_model *model, char site_name[64], sae_error *err)
{
    sae_status status = SAE_OK;
    sae_result *found = NULL;
    json_t *file = NULL;
    sae_site site = {0};
    char dense[24];
    counted chosen;

    if (!o->survey) return SAE_OK;
    SAE_TRY(survey_read(o, &found, &file, err));
    SAE_TRY(same_model(o, model, err));
    SAE_TRY(find_column(o, counts_of(file), dense, err));
    if (o->site) {
        SAE_TRY(sae_site_parse(&site, o->site, model, err));
        sae_site_name(site, site_name, 64);
        o->site = site_name;
    }
    SAE_TRY(choose(&chosen, o, counts_of(file), dense, err));
    if (!o->site) snprintf(site_name, 64, "%s", chosen.site);
    o->site = site_name;
    o->width = o->width ? o->width : chosen.width;
    o->k = o->k ? o->k : chosen.k;
done:
    sae_result_free(found);
    json_decref(file);
    return status;
}

/* The setting of a run beside what the survey has: at its site, of its sizes, and of all. */
static sae_status add_note(sae_result *r, const scaffold_options *o, const json_t *table, const char *dense,
                           sae_error *err)
{
    const counted here = best_of(table, dense, o->site, 0, 0), alike = best_of(table, dense, NULL, o->width, o->k),
                  all = best_of(table, dense, NULL, 0, 0);
    const bool chosen = o->width == here.width && o->k == here.k;
    char text[800], sizes[200] = "";

    if (!alike.site)
        snprintf(sizes, sizeof sizes, " The survey has none with %lld latents and k %lld, at any site.",
                 (long long)o->width, (long long)o->k);
    else if (!chosen)
        snprintf(sizes, sizeof sizes, " With these most, %.0f, at %s.", alike.dense, alike.site);
    snprintf(text, sizeof text,
             "Plain dictionaries, before any scaffold was trained. At %s most latents over %s, %.0f, with %lld "
             "latents and k %lld; of all sites %.0f, at %s with %lld and %lld. This run: %lld latents, k %lld, %s.%s",
             o->site, dense, here.dense, (long long)here.width, (long long)here.k, all.dense, all.site,
             (long long)all.width, (long long)all.k, (long long)o->width, (long long)o->k,
             chosen ? "the survey's choice at this site" : "another setting", sizes);
    return sae_result_note(r, text, err);
}

sae_status survey_note(sae_result *r, const scaffold_options *o, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_result *found = NULL;
    json_t *file = NULL;
    char dense[24];

    SAE_TRY(survey_read(o, &found, &file, err));
    SAE_TRY(find_column(o, counts_of(file), dense, err));
    SAE_TRY(add_note(r, o, counts_of(file), dense, err));
done:
    json_decref(file);
    sae_result_free(found);
    return status;
}

static sae_status show(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_result *found = NULL;
    json_t *file = NULL;

    SAE_TRY(survey_read(&e->options, &found, &file, err));
    SAE_TRY(survey_note(found, &e->options, err));
    status = experiment_adopt(e, "survey", NULL, found, err); /* which owns it from here on */
    found = NULL;
done:
    json_decref(file);
    sae_result_free(found);
    return status;
}

sae_status survey_parts(experiment *e, sae_error *err)
{
    return e->options.survey ? part_derive(e, "survey", show, err) : SAE_OK;
}
