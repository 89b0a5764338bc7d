/*
 * training_report.c - the curves of the first pair, from the log that training left.
 */
#include "lab/scaffold.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { POINTS = 256 };
const double training_moments[TRAINING_MOMENTS] = {0.1, 0.5, 1};

/* Of both arms. */
typedef struct curves {
    double rows[ARMS][POINTS], fvu[ARMS][POINTS], dense[ARMS][POINTS], dead[ARMS][POINTS];
    int n[ARMS];
} curves;

/* The curves of one arm, for json_lines_read. */
typedef struct arm_curves {
    curves *c;
    int arm;
    const char *name;
} arm_curves;

static sae_status add_line(void *user, const json_t *line, const char *path, sae_error *err)
{
    const arm_curves *to = user;
    curves *c = to->c;
    const int a = to->arm, n = c->n[a];
    sae_status status = SAE_OK;
    const char *dict = NULL;

    SAE_TRY(json_get_string(line, "dict", "", &dict, path, err));
    if (strcmp(dict, to->name) != 0 || n == POINTS) goto done;
    SAE_TRY(json_get_double(line, "rows", NAN, &c->rows[a][n], path, err));
    SAE_TRY(json_get_double(line, "fvu", NAN, &c->fvu[a][n], path, err));
    SAE_TRY(json_get_double(line, "dense", NAN, &c->dense[a][n], path, err));
    SAE_TRY(json_get_double(line, "dead", NAN, &c->dead[a][n], path, err));
    c->n[a]++;
done:
    return status;
}

/* Of the log of those trained together, called after the first: the partner has one of its own where it was trained apart. */
static sae_status read_curves(const experiment *e, int arm, curves *c, sae_error *err)
{
    sae_status status = SAE_OK;
    arm_curves to = {c, arm, e->roster.entries[arm].name};
    char *path = NULL;

    for (int a = arm; a >= ARM_BASELINE; a--) {
        char name[128];
        snprintf(name, sizeof name, "training/%s/log.jsonl", e->roster.entries[a].name);
        mem_free(path);
        path = experiment_path(e, name, err);
        if (!path) SAE_TRY(SAE_NOMEM);
        if (!file_exists(path)) continue;
        SAE_TRY(json_lines_read(path, add_line, &to, err));
        break;
    }
done:
    mem_free(path);
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
                   {"distinct_rows", "distinct rows (tokens)", (double)e->rows.n},
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

/* Of the batches logged within a twentieth of the run about `at` of its rows; NaN: none. */
static double dense_near(const curves *c, int arm, double at, double rows)
{
    double sum = 0;
    int n = 0;

    for (int i = 0; i < c->n[arm]; i++) {
        if (fabs(c->rows[arm][i] / rows - at) > 0.05) continue;
        sum += c->dense[arm][i];
        n++;
    }
    return n ? sum / n : NAN;
}

/* A count that is compared at one moment of a training says little of others where both curves still move. */
static sae_status fewer_while_training(const experiment *e, sae_result *r, const curves *c, sae_error *err)
{
    sae_status status = SAE_OK;
    const double rows = (double)(e->recipe.steps * e->recipe.batch);
    double base[TRAINING_MOMENTS], with[TRAINING_MOMENTS];
    char note[400], key[48];

    for (int i = 0; i < TRAINING_MOMENTS; i++) {
        base[i] = dense_near(c, ARM_BASELINE, training_moments[i], rows);
        with[i] = dense_near(c, ARM_SCAFFOLD, training_moments[i], rows);
        const double fewer = 100 * (1 - with[i] / base[i]);
        if (!(base[i] > 0) || !isfinite(fewer)) return SAE_OK; /* too short a log, or nothing to compare */
        snprintf(key, sizeof key, "dense_fewer.%g", training_moments[i]);
        SAE_TRY(sae_result_silent(r, key, fewer, NAN, NAN, err));
    }
    snprintf(note, sizeof note,
             "Dense latents of the batches, without and with the scaffold: %.0f and %.0f at a tenth of the rows, %.0f "
             "and %.0f at a half, %.0f and %.0f at the end.",
             base[0], with[0], base[1], with[1], base[2], with[2]);
    SAE_TRY(sae_result_note(r, note, err));
done:
    return status;
}

sae_status training_report(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_result *r = NULL;
    curves *c = mem_alloc(sizeof *c, "training curves", err);

    if (!c) return SAE_NOMEM;
    for (int a = 0; a < ARMS; a++) SAE_TRY(read_curves(e, a, c, err));
    SAE_TRY(experiment_result(e, "training", "Training", &r, err));
    SAE_TRY(numbers(e, r, err));
    SAE_TRY(fewer_while_training(e, r, c, err));
    SAE_TRY(curve(r, "fvu", "Unexplained variance of the batch", "FVU", c, c->fvu, err));
    SAE_TRY(curve(r, "dense", "Latents in over 10 % of the batch", "latents", c, c->dense, err));
    SAE_TRY(curve(r, "dead", "Dead latents", "latents", c, c->dead, err));
done:
    mem_free(c);
    return status;
}
