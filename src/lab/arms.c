/*
 * arms.c - trains the baseline and the scaffold arm side by side: the same rows in the same order, equal initial weights,
 * one trainer.
 */
#include "lab/scaffold.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CURVE_POINTS = 200 };

const char *const arm_names[ARMS] = {"baseline", "scaffold"};

/* Nested prefixes in the proportions of SAEBench's Matryoshka dictionaries: 1/32, 1/16, 1/8, 1/4, the rest. */
static void matryoshka_groups(sae_dict_config *c)
{
    int64_t left = c->d_sae;

    c->n_groups = 5;
    for (int g = 0; g < 4; g++) {
        c->groups[g] = c->d_sae >> (5 - g);
        left -= c->groups[g];
    }
    c->groups[4] = left;
}

static sae_dict_config arm_config(const experiment *e, int arm)
{
    const scaffold_options *o = &e->options;
    sae_dict_config c = {.arch = o->arch, .variant = SAE_P1, .d_in = e->d, .d_sae = o->width, .k = o->k};

    c.rank = arm == ARM_SCAFFOLD ? o->rank : 0;
    c.apply_b_dec_to_input = true;
    if (o->arch == SAE_MATRYOSHKA) matryoshka_groups(&c);
    snprintf(c.site, sizeof c.site, "%s", e->site_name);
    snprintf(c.model, sizeof c.model, "%s", o->model_name);
    return c;
}

/* Curves of both arms, thinned to CURVE_POINTS, and the log. */
typedef struct curves {
    double rows[CURVE_POINTS + 1], fvu[ARMS][CURVE_POINTS + 1], dense[ARMS][CURVE_POINTS + 1];
    double dead[ARMS][CURVE_POINTS + 1];
    int n;
} curves;

static void curves_add(curves *c, double rows, const sae_step_stats stats[ARMS])
{
    if (c->n > CURVE_POINTS) return;
    c->rows[c->n] = rows;
    for (int a = 0; a < ARMS; a++) {
        c->fvu[a][c->n] = stats[a].fvu;
        c->dense[a][c->n] = (double)stats[a].dense;
        c->dead[a][c->n] = (double)stats[a].dead;
    }
    c->n++;
}

static sae_status curve(sae_result *r, const char *plot, const char *title, const char *y_label, const curves *c,
                        const double y[ARMS][CURVE_POINTS + 1], sae_error *err)
{
    sae_status status = SAE_OK;

    SAE_TRY(sae_result_plot(r, plot, title, "rows", y_label, SAE_PLOT_LINE, 0, err));
    for (int a = 0; a < ARMS; a++) SAE_TRY(sae_result_series(r, plot, arm_names[a], c->rows, y[a], c->n, err));
done:
    return status;
}

static sae_status curves_report(experiment *e, const curves *c, sae_error *err)
{
    const struct {
        const char *key, *label;
        double value;
    } numbers[] = {{"rows_per_arm", "training rows per arm", (double)(e->recipe.steps * e->recipe.batch)},
                   {"distinct_rows", "distinct rows (tokens)", (double)e->store_rows},
                   {"dropped_rows", "rows dropped for their norm", (double)e->dropped_rows},
                   {"steps", "steps", (double)e->recipe.steps},
                   {"lr", "learning rate", e->recipe.lr}};
    sae_status status = SAE_OK;
    sae_result *r = NULL;

    SAE_TRY(experiment_result(e, "training", "Training", &r, err));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        SAE_TRY(sae_result_number(r, numbers[i].key, numbers[i].value, err));
        SAE_TRY(sae_result_label(r, numbers[i].key, numbers[i].label, NULL, err));
    }
    SAE_TRY(curve(r, "fvu", "Unexplained variance of the batch", "FVU", c, c->fvu, err));
    SAE_TRY(curve(r, "dense", "Latents in over 10 % of the batch", "latents", c, c->dense, err));
    SAE_TRY(curve(r, "dead", "Dead latents", "latents", c, c->dead, err));
done:
    return status;
}

static sae_status log_step(file_writer *log, int64_t rows, const sae_step_stats stats[ARMS], sae_error *err)
{
    sae_status status = SAE_OK;

    for (int a = 0; a < ARMS; a++) {
        const sae_step_stats *s = &stats[a];
        json_t *line = json_pack(
            "{ss sI sI so so so so so so so sI sI}", "dict", arm_names[a], "step", (json_int_t)s->step, "rows",
            (json_int_t)rows, "loss", json_number_or_null(s->loss), "l2_loss", json_number_or_null(s->l2_loss),
            "auxk_loss", json_number_or_null(s->auxk_loss), "l0", json_number_or_null(s->l0), "fvu",
            json_number_or_null(s->fvu), "threshold", json_number_or_null(s->threshold), "grad_norm",
            json_number_or_null(s->grad_norm), "dead", (json_int_t)s->dead, "dense", (json_int_t)s->dense);
        char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
        status = text ? file_writer_put(log, text, strlen(text), err)
                      : SAE_FAIL(err, SAE_NOMEM, "no memory for a line of the log");
        if (status == SAE_OK) status = file_writer_put(log, "\n", 1, err);
        free(text);
        json_decref(line);
        if (status != SAE_OK) break;
    }
    return status;
}

static sae_status train_steps(experiment *e, sae_trainer *trainer, sae_acts *acts, file_writer *log, curves *c,
                              sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t batch = e->recipe.batch, steps = e->recipe.steps, every = (steps + CURVE_POINTS - 1) / CURVE_POINTS,
            got = 0;
    sae_step_stats stats[ARMS] = {0};
    float *rows = mem_alloc_array((size_t)batch, (size_t)e->d * sizeof *rows, "a batch of rows", err);

    if (!rows) return SAE_NOMEM;
    for (int64_t step = 0; step < steps; step++) {
        SAE_TRY(sae_acts_next(acts, batch, rows, NULL, NULL, &got, err));
        if (got < batch)
            SAE_RAISE(err, SAE_STATE, "the store ended after %lld rows of step %lld", (long long)got, (long long)step);
        SAE_TRY(sae_trainer_step(trainer, rows, stats, err));
        if (step % every == 0 || step == steps - 1) {
            curves_add(c, (double)((step + 1) * batch), stats);
            SAE_TRY(log_step(log, (step + 1) * batch, stats, err));
        }
        if (e->progress && e->progress->report(e->progress->user, "rows trained", (double)((step + 1) * batch),
                                               (double)(steps * batch)))
            SAE_RAISE(err, SAE_CANCELLED, "stopped on request");
    }
done:
    mem_free(rows);
    return status;
}

/* OUT/ARM/sae in SAELens's form, then read back: what is measured is what stands on disk. */
static sae_status arm_export(experiment *e, sae_trainer *trainer, int arm, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_dict *trained = NULL;
    char name[64];
    char *folder, *path = NULL;

    folder = experiment_path(e, arm_names[arm], err);
    snprintf(name, sizeof name, "%s/sae", arm_names[arm]);
    path = experiment_path(e, name, err);
    if (!folder || !path) {
        status = SAE_NOMEM;
        goto done;
    }
    SAE_TRY(sae_trainer_export(trainer, arm, &trained, err));
    SAE_TRY(folder_make(folder, err));
    SAE_TRY(sae_dict_save(trained, path, SAE_SCAFFOLD_NATIVE, e->overwrite, err));
    SAE_TRY(sae_dict_load(&e->dicts[arm], path, err));
done:
    sae_dict_free(trained);
    mem_free(path);
    mem_free(folder);
    return status;
}

sae_status arms_train(experiment *e, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_dict_config configs[ARMS] = {arm_config(e, ARM_BASELINE), arm_config(e, ARM_SCAFFOLD)};
    sae_acts_options order = {.seed = e->options.seed, .repeat = true, .max_norm = -1};
    sae_trainer *trainer = NULL;
    sae_acts *acts = NULL;
    file_writer log = {0};
    curves *c = mem_alloc(sizeof *c, "training curves", err);
    char *store = experiment_path(e, "acts", err), *log_path = experiment_path(e, "log.jsonl", err);

    if (!c || !store || !log_path) {
        status = SAE_NOMEM;
        goto done;
    }
    SAE_TRY(sae_acts_open_store(&acts, store, &order, err));
    SAE_TRY(sae_trainer_create(&trainer, configs, ARMS, &e->recipe, err));
    SAE_TRY(file_writer_open(&log, log_path, e->overwrite, err));
    SAE_TRY(train_steps(e, trainer, acts, &log, c, err));
    SAE_TRY(file_writer_commit(&log, NULL, err));
    for (int a = 0; a < ARMS; a++) SAE_TRY(arm_export(e, trainer, a, err));
    SAE_TRY(curves_report(e, c, err));
done:
    file_writer_abort(&log);
    sae_trainer_free(trainer);
    sae_acts_free(acts);
    mem_free(store);
    mem_free(log_path);
    mem_free(c);
    return status;
}
