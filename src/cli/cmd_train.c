/* cmd_train.c - `sae train`: one or more dictionaries on one stream of rows, live, from a store or from an array. */
#include "cli/train.h"
#include "io/io.h"
#include "sae/train.h"

#include <stdio.h>
#include <string.h>

static const option_row options[] = {
    OPTION_INPUT_ROWS,
    {"init", OPTION_TEXT, "FILE:PREFIX",
     "initial weights from tensors PREFIX + W_enc ... or encoder.weight ... (b_dec begins as --b-dec says)", NULL},
    OPTION_DICT_ROWS,
    OPTION_RECIPE_ROWS,
    OPTION_SEED_ROW("0"),
    {"log-every", OPTION_COUNT, "N", "steps between lines of log.jsonl (default: 200 lines a run)", NULL},
    {"checkpoint-every", OPTION_COUNT, "N", "steps between checkpoints (default: one at the end)", NULL},
    {"keep", OPTION_COUNT, "N", "newest checkpoints kept, with --checkpoint-every", "1"},
    {"resume", OPTION_FLAG, NULL,
     "go on from the newest checkpoint in --out; with --model all rows before it are computed once more", NULL},
    OPTION_EXPORT_ROW,
    OPTION_PLAN_ROW,
    {"json", OPTION_FLAG, NULL, "with --plan: as JSON", NULL},
    OPTION_OUT_ROW("FOLDER"),
    OPTION_FORCE_ROW,
    OPTION_END_ROW,
};

/* Everything of one call. */
typedef struct training {
    args *a;
    train_input in;
    train_dicts dicts;
    sae_train_options recipe;
    sae_trainer *trainer;
    train_watch watch;
} training;

/* ---- Telling ------------------------------------------------------------------------------------------------------------------ */

static void tell_plan(training *t)
{
    train_memory m = train_memory_of(&t->in, &t->dicts, &t->recipe, 0);
    char parts[TRAIN_MEMORY_ROOM];
    const sae_train_options *r = &t->recipe;
    json_t *json = recipe_json(r);
    char *text = json_to_text(json, JSON_COMPACT | JSON_REAL_PRECISION(6), NULL);

    say(t->a, "training  %d dictionar%s, %lld steps of %lld rows = %lld rows", t->dicts.n,
        t->dicts.n == 1 ? "y" : "ies", (long long)r->steps, (long long)r->batch, (long long)(r->steps * r->batch));
    say(t->a, "recipe    %s", text ? text : "");
    say(t->a, "memory    %s: %.0f MiB", train_memory_text(&m, parts, sizeof parts), (double)m.total / (1 << 20));
    train_tell_pipe(&t->in, t->a, r->steps * r->batch, 0);
    mem_free(text);
    json_decref(json);
}

/* ---- The command -------------------------------------------------------------------------------------------------------------- */

static sae_status set_initial_weights(training *t, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *init = args_text(t->a, "init");
    char *path = NULL;

    if (!init) return SAE_OK;
    if (t->recipe.unit_scale)
        return args_fail(
            t->a, err,
            "--init takes weights for rows as they are, and this recipe trains on rows divided by a scale: "
            "give --scale-input none, or the number that the weights are for");
    path = mem_strdup(init, err);
    if (!path) return SAE_NOMEM;
    char *colon = strrchr(path, ':');
    if (colon) *colon = '\0';
    for (int i = 0; i < t->dicts.n; i++)
        SAE_TRY(sae_trainer_read_weights(t->trainer, i, path, colon ? colon + 1 : "", err));
done:
    mem_free(path);
    return status;
}

/* One dictionary goes to OUT/sae, several to OUT/NAME/sae. */
static sae_status export_all(training *t, const char *folder, sae_scaffold_export how, sae_error *err)
{
    sae_status status = SAE_OK;
    char *path = NULL;

    for (int i = 0; i < t->dicts.n; i++) {
        mem_free(path);
        path = t->dicts.n == 1 ? mem_strdup(folder, err) : path_join(folder, t->dicts.names[i], err);
        if (!path) SAE_TRY(SAE_NOMEM);
        SAE_TRY(train_export(t->a, t->trainer, i, path, how, err));
    }
done:
    mem_free(path);
    return status;
}

static sae_status check_options(args *a, const char **folder, sae_error *err)
{
    sae_status status = SAE_OK;

    if (args_flag(a, "plan"))
        *folder = args_text(a, "out"); /* what stands there already counts */
    else
        SAE_TRY(args_require(a, "out", folder, err));
    if (args_flag(a, "resume") && args_flag(a, "force"))
        SAE_TRY(args_fail(a, err, "--resume goes on with a run, --force replaces it: give one of them"));
    if (args_flag(a, "json") && !args_flag(a, "plan")) SAE_TRY(args_fail(a, err, "--json goes with --plan"));
    if (args_given(a, "keep") && !args_given(a, "checkpoint-every"))
        SAE_TRY(args_fail(a, err,
                          "--keep would do nothing: there is one checkpoint, at the end: give --checkpoint-every, or "
                          "leave --keep away"));
    if (args_int(a, "keep", 1) < 1)
        SAE_TRY(args_fail(a, err, "--keep 0 would leave no checkpoint to go on from: give at least 1"));
done:
    return status;
}

/* How a run that was broken off goes on, where it would not fail again. */
static void advise(const training *t, const char *folder, sae_status why)
{
    bool begun = false; /* there is a checkpoint */

    if (why == SAE_STATE) train_advise_file(&t->in, t->a, "--resume");
    if (why == SAE_OK || why == SAE_STATE || why == SAE_NUMERIC || why == SAE_FORMAT) return;
    if (train_folder_has_checkpoint(folder, &begun, NULL) != SAE_OK) return;
    if (begun)
        args_advise_again(t->a, "To go on from the newest checkpoint:", "--resume");
    else if (why == SAE_CANCELLED)
        args_advise_again(t->a, "To begin it again in the same folder:", "--resume");
}

/* That --resume goes on with the same run. */
static sae_status check_resumed(training *t, const char *folder, sae_error *err)
{
    bool begun = false; /* there is a checkpoint */
    sae_status status = SAE_OK;

    SAE_TRY(train_folder_same_data(t->a, folder, "run.json", &t->in, err));
    SAE_TRY(train_folder_has_checkpoint(folder, &begun, err));
    if (!begun) SAE_TRY(train_folder_same_run(t->a, folder, &t->dicts, &t->recipe, err));
done:
    return status;
}

/* --plan: where the run would be refused the plan is (folder NULL: none is named); nothing is made. */
static sae_status tell_whole_plan(training *t, const char *folder, sae_error *err)
{
    sae_status status = SAE_OK;
    train_pace pace = {0};
    json_t *json = NULL;

    if (folder) SAE_TRY(train_folder_check(t->a, folder, &t->dicts, err));
    if (folder && args_flag(t->a, "resume")) SAE_TRY(check_resumed(t, folder, err));
    SAE_TRY(train_plan_measure(&pace, &t->in, &t->dicts, &t->recipe, err));
    SAE_TRY(train_plan_tell(&t->in, &t->dicts, &t->recipe, &pace, 0, args_flag(t->a, "json") ? &json : NULL, err));
    if (json) SAE_TRY(print_json(json, err));
done:
    json_decref(json);
    return status;
}

static sae_status run_train(args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    training t = {.a = a};
    const char *folder = NULL;
    sae_scaffold_export how = SAE_SCAFFOLD_NATIVE;
    int lock = -1;

    SAE_TRY(check_options(a, &folder, err));
    SAE_TRY(train_input_open(&t.in, a, (uint64_t)args_int(a, "seed", 0), err));
    SAE_TRY(train_dicts_make(&t.dicts, a, &t.in, err));
    SAE_TRY(train_export_option(a, &t.dicts, &how, err));
    SAE_TRY(train_recipe_make(&t.recipe, a, &t.in, &t.dicts, err));
    SAE_TRY(args_checked(a, trainer_check(t.dicts.configs, t.dicts.n, &t.recipe, err)));
    SAE_TRY(train_recipe_warn_family(a, &t.dicts, err));
    train_recipe_warn(a, &t.recipe);
    train_recipe_warn_target(&t.dicts, &t.recipe, NULL);
    if (args_flag(a, "plan")) {
        SAE_TRY(tell_whole_plan(&t, folder, err));
        goto done;
    }
    SAE_TRY(train_watch_create(&t.watch, &t.dicts, err));
    tell_plan(&t);
    SAE_TRY(args_checked(a, sae_trainer_create(&t.trainer, t.dicts.configs, t.dicts.n, &t.recipe, err)));
    SAE_TRY(set_initial_weights(&t, err));
    SAE_TRY(train_folder_begin(a, folder, &t.dicts, &lock, err));
    if (args_flag(a, "resume")) /* its record stays as it was */
        SAE_TRY(check_resumed(&t, folder, err));
    else
        SAE_TRY(train_folder_write_run(a, folder, "run.json", &t.in, &t.dicts, recipe_json(&t.recipe), err));
    training_options o = {.folder = folder,
                          .names = t.dicts.n > 1 ? t.dicts.names : NULL,
                          .log_every = args_int(a, "log-every", 0),
                          .checkpoint_every = args_int(a, "checkpoint-every", 0),
                          .keep_checkpoints = args_int(a, "keep", 1),
                          .resume = args_flag(a, "resume"),
                          .order = args_text(a, "order") ? &t.in.order : NULL,
                          .d_target = t.in.d_target,
                          .stepped = train_watch_step,
                          .notice = train_watch_notice,
                          .user = &t.watch};
    t.in.progress = progress_begin(&t.watch.line, a);
    status = training_run(t.trainer, &t.recipe, t.in.d_in, t.in.acts, &o, &t.in.progress, err);
    t.in.progress = (sae_progress){0};
    progress_end(&t.watch.line);
    advise(&t, folder, status);
    SAE_TRY(status);
    if (!t.watch.any)
        say(a, "complete  all %lld steps were done already%s", (long long)t.recipe.steps,
            t.in.of_pipe > 0 ? "; nothing of the text was read or compared" : "");
    sae_trainer_finish(t.trainer);
    SAE_TRY(export_all(&t, folder, how, err));
    train_watch_tell_deaths(&t.watch, a, &t.recipe);
    train_watch_table(&t.watch);
done:
    folder_unlock(lock);
    sae_trainer_free(t.trainer);
    train_watch_free(&t.watch);
    train_dicts_free(&t.dicts);
    train_input_close(&t.in);
    return status;
}

const command command_train = {
    .name = "train",
    .arguments = "",
    .summary = "train one or more dictionaries on one stream of rows",
    .details = "Rows come live from a model, from a store (sae acts) or from an array. Lists for --width, --k and\n"
               "--rank train every combination on the same stream. The default recipe is SAEBench's, its\n"
               "constants scaled to the run; all of it is printed and stands in run.json. The run's folder gets\n"
               "run.json, log.jsonl, checkpoints/ and the dictionary in SAELens's form in sae/.\n"
               "With a target (--target-site, --target-store or --target-array) it is a transcoder: it reads\n"
               "one site and writes another.",
    .examples = "sae train --model smollm2 --site blocks.14.hook_resid_post --text books.jsonl.zst --width 4608 --k 32 "
                "--out runs/a\n"
                "sae train --store rows/ --width 16384 --k 32,64 --rank 0,24 --rows 100M --out runs/pair\n"
                "sae train --model smollm2 --site blocks.14.hook_resid_pre --target-site blocks.14.hook_mlp_out --skip "
                "--text books.jsonl.zst --out runs/mlp14\n"
                "sae train --array x.npy --arch matryoshka --width 4096 --k 32 --steps 10000 --out runs/mine\n"
                "sae train --store rows/ --width 16384 --k 64 --out runs/long --checkpoint-every 1000 --resume\n"
                "sae train --store rows/ --width 65536 --k 64 --rows 100M --plan\n",
    .min_operands = 0,
    .max_operands = 0,
    .options = options,
    .run = run_train,
};
