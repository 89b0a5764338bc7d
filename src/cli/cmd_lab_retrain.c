/* cmd_lab_retrain.c - `sae lab retrain`: do dense latents come back without the directions that they had? */
#include "acts/store.h"
#include "cli/lab_input.h"
#include "cli/result_output.h"
#include "cli/rows_option.h"
#include "cli/training_record.h"
#include "eval/core.h"
#include "eval/training.h"
#include "io/io.h"
#include "lab/retrain.h"
#include "lab/store_training.h"
#include "sae/train.h"

#include <math.h>
#include <stdio.h>

static const option_row options[] = {
    LAB_INPUT_ROWS("20480"),
    {"store", OPTION_TEXT, "FOLDER", "the rows that it was trained on", NULL},
    {"record", OPTION_TEXT, "FILE", "how it was trained (default: DICT.json, else DICT/../run.json)", NULL},
    OPTION_DENSE_THRESHOLD_ROW("a latent is dense when it fires on more than this share of tokens"),
    {"seed", OPTION_COUNT, "N", "of the choice of other latents", "0"},
    OPTION_OUT_ROW("FOLDER"),
    OPTION_FORCE_ROW,
    OPTION_JSON_ROW,
    OPTION_END_ROW,
};

static const char *const folders[] = {"less-dense", "less-others"}; /* by retrain_arm */

typedef struct job {
    const char *dict_path, *store, *out;
    uint64_t seed;
    double threshold;
    int lock; /* on out */
    lab_input in;
    training_record record;
    sae_dict_config config; /* the baseline's, with the seed that it began with */
    const sae_progress *progress;
} job;

/* ---- What is asked --------------------------------------------------------------------------------------------------------------- */

/* The baseline as it can be trained again. */
static sae_status set_config(job *j, sae_error *err)
{
    const sae_dict_config *c = sae_dict_get_config(j->in.h.dict);

    if (c->rank > 0) return SAE_FAIL(err, SAE_STATE, "%s has a scaffold: give a baseline, of rank 0", j->dict_path);
    if (c->arch != SAE_BATCHTOPK && c->arch != SAE_MATRYOSHKA && c->arch != SAE_TOPK)
        return SAE_FAIL(err, SAE_UNSUPPORTED, "%s: only batchtopk, matryoshka and topk dictionaries are trained anew",
                        j->dict_path);
    if (c->k < 1) return SAE_FAIL(err, SAE_STATE, "%s does not say the k that it was trained with", j->dict_path);
    j->config = *c;
    j->config.seed = j->record.seed;
    j->config.last_step_threshold = false;
    return SAE_OK;
}

static json_t *hash_of(const char *folder, const char *name, sae_error *err)
{
    char text[HASH_TEXT], *path = path_join(folder, name, err);
    bool read = path && file_hash_text(path, NULL, text, err) == SAE_OK;

    mem_free(path);
    return read ? json_string(text) : NULL;
}

/* All that the two dictionaries depend on: what the folder holds is gone on with when it is the same. */
static sae_status identity(const job *j, json_t **out, sae_error *err)
{
    sae_status status = SAE_OK;
    const sample *s = &j->in.sample;
    json_t *dict = hash_of(j->dict_path, "sae_weights.safetensors", err), *store = NULL;

    if (dict) store = hash_of(j->store, STORE_META_NAME, err);
    if (!store) {
        json_decref(dict);
        return err && err->code ? err->code : SAE_NOMEM;
    }
    *out = json_pack("{si ss so so so sI sI sI sI sf sf}", "training_revision", TRAINING_REVISION, "version",
                     sae_version(), "dictionary", dict, "store", store, "recipe", recipe_json(&j->record.recipe),
                     "seed", (json_int_t)(j->record.seed & INT64_MAX), "order",
                     (json_int_t)(j->record.order & INT64_MAX), "others", (json_int_t)(j->seed & INT64_MAX), "tokens",
                     (json_int_t)s->n_counted, "median_norm", s->median_norm, "dense_threshold", j->threshold);
    if (!*out) SAE_RAISE(err, SAE_NOMEM, "no memory to describe the training");
done:
    return status;
}

/* OUT/retrain.json says what stands in OUT/less-dense and OUT/less-others. */
static sae_status folder_begin(job *j, bool force, sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *ours = NULL, *theirs = NULL;
    char *record = path_join(j->out, "retrain.json", err), *path = NULL;

    if (!record) return SAE_NOMEM;
    SAE_TRY(identity(j, &ours, err));
    SAE_TRY(folder_make(j->out, err));
    SAE_TRY(folder_lock(j->out, &j->lock, err));
    if (file_exists(record)) SAE_TRY(json_read_file(&theirs, record, err));
    bool same = theirs && json_equal(ours, theirs);
    for (int i = 0; i < 2 && !same; i++) {
        mem_free(path);
        path = path_join(j->out, folders[i], err);
        if (!path) SAE_TRY(SAE_NOMEM);
        if (!file_exists(path)) continue;
        if (!theirs) SAE_RAISE(err, SAE_EXISTS, "%s is of no run of this command: give another --out", path);
        if (!force)
            SAE_RAISE(err, SAE_EXISTS, "%s was trained otherwise: give another --out, or --force to train it anew",
                      path);
        SAE_TRY(folder_remove(path, err));
    }
    if (!same) SAE_TRY(json_write_file(ours, record, true, err));
done:
    json_decref(ours);
    json_decref(theirs);
    mem_free(record);
    mem_free(path);
    return status;
}

static sae_status job_open(job *j, args *a, sae_error *err)
{
    sae_status status = SAE_OK;

    SAE_TRY(args_require(a, "dict", &j->dict_path, err));
    SAE_TRY(args_require(a, "store", &j->store, err));
    SAE_TRY(args_require(a, "out", &j->out, err));
    j->seed = (uint64_t)args_int(a, "seed", 0);
    SAE_TRY(args_dense_threshold(a, &j->threshold, err));
    SAE_TRY(out_folder_check(a, "retrain.json", err));
    SAE_TRY(lab_input_open(&j->in, a, false, j->progress, err));
    SAE_TRY(training_record_read(&j->record, j->in.h.dict, j->dict_path, args_text(a, "record"), err));
    SAE_TRY(set_config(j, err));
    SAE_TRY(rows_option_check_site(j->store, j->in.h.dict, j->dict_path, err));
    SAE_TRY(folder_begin(j, args_flag(a, "force"), err));
done:
    return status;
}

/* ---- Training -------------------------------------------------------------------------------------------------------------------- */

static sae_status train(const job *j, const char *name, const char *folder, const char *to, const subspace *less,
                        sae_error *err)
{
    sae_status status = SAE_OK;
    sae_trainer *trainer = NULL;
    sae_dict *dict = NULL;
    const store_training what = {.store = j->store,
                                 .order = j->record.order,
                                 .configs = &j->config,
                                 .names = &name,
                                 .n = 1,
                                 .recipe = &j->record.recipe,
                                 .folder = folder,
                                 .less = less};

    SAE_TRY(folder_make(folder, err));
    SAE_TRY(store_train(&trainer, &what, j->progress, err));
    SAE_TRY(sae_trainer_export(trainer, 0, &dict, err));
    SAE_TRY(sae_dict_save(dict, to, SAE_SCAFFOLD_NATIVE, true, err));
    SAE_TRY(store_training_done(&what, err));
done:
    sae_dict_free(dict);
    sae_trainer_free(trainer);
    return status;
}

/* What was finished by an earlier call is read. */
static sae_status train_arm(void *user, retrain_arm arm, const subspace *less, sae_dict **out, sae_error *err)
{
    sae_status status = SAE_OK;
    const job *j = user;
    char *folder = path_join(j->out, folders[arm], err), *to = folder ? path_join(folder, "sae", err) : NULL;

    if (!to) SAE_TRY(SAE_NOMEM);
    if (!file_is_folder(to)) SAE_TRY(train(j, folders[arm], folder, to, less, err));
    SAE_TRY(sae_dict_load(out, to, err));
done:
    mem_free(to);
    mem_free(folder);
    return status;
}

static sae_status run(args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    progress_line line = {0};
    sae_progress progress = progress_begin(&line, a);
    job j = {.progress = &progress, .lock = -1};
    sae_result *result = NULL;

    SAE_TRY(job_open(&j, a, err));
    SAE_TRY(sae_result_create(&result, "Dense latents removed, and trained anew", err));
    SAE_TRY(core_describe(result, &j.in.sample, err));
    SAE_TRY(sae_result_setting(result, "dictionary", (sae_cell){j.dict_path, NAN}, err));
    SAE_TRY(sae_result_setting(result, "store", (sae_cell){j.store, NAN}, err));
    status = retrain_report(result, j.in.h.dict, &j.in.sample, j.threshold, j.seed, train_arm, &j, &progress, err);
    progress_end(&line);
    if (status == SAE_CANCELLED) args_advise_again(a, "To go on from the newest checkpoint:", NULL);
    SAE_TRY(status);
    SAE_TRY(result_folder(a, "retrain", "Dense latents removed, and trained anew", result, err));
done:
    progress_end(&line);
    sae_result_free(result);
    folder_unlock(j.lock);
    lab_input_close(&j.in);
    return status;
}

const command command_lab_retrain = {
    .name = "lab retrain",
    .arguments = "",
    .summary = "train anew on rows without a baseline's dense latents, and count again",
    .details =
        "The span of the decoder rows of the baseline's dense latents is taken out of the rows of --store, and a\n"
        "dictionary is trained on what is left by the recipe, seed and order of the baseline; the control loses the\n"
        "span of as many latents that fire, but are not dense. Counted on the held-out tokens. OUT gets\n"
        "both dictionaries (less-dense/sae, less-others/sae), their logs, results/retrain.json and report.html; the\n"
        "same command goes on where it was stopped.",
    .examples = "sae lab retrain --dict runs/demo/dictionaries/batchtopk-baseline-s0 --store runs/demo/acts --model "
                "smollm2 --text books.jsonl.zst --out runs/retrain\n"
                "sae lab retrain --dict runs/long/sae --store rows/ --model gpt2/ --ids tokens.npy --out runs/anew\n",
    .min_operands = 0,
    .max_operands = 0,
    .options = options,
    .kept_as = "retrain",
    .run = run,
};
