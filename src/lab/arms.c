/*
 * arms.c - trains the baseline and the scaffold arm side by side: the same rows in the same order, equal initial weights,
 * one trainer.
 */
#include "eval/training.h"
#include "lab/scaffold.h"

#include <stdio.h>
#include <string.h>

enum { CURVE_POINTS = 200 };

const char *const arm_names[ARMS] = {"baseline", "scaffold"};

static sae_dict_config arm_config(const experiment *e, int arm)
{
    const scaffold_options *o = &e->options;
    sae_dict_config c = {.arch = o->arch, .variant = SAE_P1, .d_in = e->d, .d_sae = o->width, .k = o->k};
    snprintf(c.name, sizeof c.name, "%s", arm_names[arm]);

    c.rank = arm == ARM_SCAFFOLD ? o->rank : 0;
    c.apply_b_dec_to_input = true;
    c.seed = o->seed;
    if (o->arch == SAE_MATRYOSHKA) matryoshka_default_groups(&c);
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

/* training_run's callback after each step. */
static void curves_add(void *user, int64_t rows, const sae_step_stats *stats, bool logged)
{
    curves *c = user;

    if (!logged || c->n > CURVE_POINTS) return;
    c->rows[c->n] = (double)rows;
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
    curves *c = mem_alloc(sizeof *c, "training curves", err);
    char *store = experiment_path(e, "acts", err);
    const char *const stores[] = {store};
    training_options run = {.folder = e->options.out, .names = arm_names, .stepped = curves_add, .user = c};

    if (!c || !store) SAE_TRY(SAE_NOMEM);
    SAE_TRY(sae_acts_open_store(&acts, stores, 1, &order, err));
    SAE_TRY(sae_trainer_create(&trainer, configs, ARMS, &e->recipe, err));
    SAE_TRY(training_run(trainer, &e->recipe, e->d, acts, &run, e->progress, err));
    sae_trainer_finish(trainer);
    for (int a = 0; a < ARMS; a++) SAE_TRY(arm_export(e, trainer, a, err));
    SAE_TRY(curves_report(e, c, err));
done:
    sae_trainer_free(trainer);
    sae_acts_free(acts);
    mem_free(store);
    mem_free(c);
    return status;
}
