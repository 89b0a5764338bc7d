/* cmd_sweep.c - `sae sweep`: every combination of the values listed is a dictionary; one stream of rows feeds all. */
#include "cli/sweep.h"
#include "io/io.h"
#include "sae/train.h"

#include <stdio.h>
#include <string.h>

enum { CHECKPOINTS = 10 }; /* of a group, when --checkpoint-every is not given */

static const option_row options[] = {
    OPTION_INPUT_ROWS,
    OPTION_DICT_ROWS,
    {"seed", OPTION_LIST, "N[,N]", "of the initial weights; several values train several at once", "0"},
    OPTION_RECIPE_ROWS,
    {"data-seed", OPTION_COUNT, "N", "of the order of the rows, which all dictionaries share", "0"},
    {"memory", OPTION_COUNT, "BYTES",
     "that training may take: 2G; what does not fit is trained in a later group (default: what is free)", NULL},
    {"log-every", OPTION_COUNT, "N", "steps between lines of log.jsonl (default: 200 lines a run)", NULL},
    {"checkpoint-every", OPTION_COUNT, "N", "steps between checkpoints (default: 10 a group)", NULL},
    OPTION_EXPORT_ROW,
    OPTION_PLAN_ROW,
    OPTION_OUT_ROW("FOLDER"),
    OPTION_FORCE_ROW,
    OPTION_JSON_ROW,
    OPTION_END_ROW,
};

/* ---- The folder --------------------------------------------------------------------------------------------------------- */

static bool is_of_a_sweep(const char *name)
{
    static const char *const names[] = {"groups", "results.json", "report.html", "sweep.json"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) return true;
    return false;
}

static bool is_result(const char *name) { return strcmp(name, "result.json") == 0; }

/* Whether a sweep made FOLDER/NAME: the last one or this one names it, or, of one before these, its own result does. */
static bool is_a_dictionary(const sweep *s, const json_t *record, const char *folder, const char *name)
{
    char *path = path_join(folder, "result.json", NULL);
    json_t *result = NULL;
    bool is = train_record_lists(record, name) || sweep_asks_for(s, name);

    if (!is && path && file_exists(path) && json_read_file(&result, path, NULL) == SAE_OK) {
        const char *own = json_string_value(json_object_get(result, "name"));
        is = own && strcmp(own, name) == 0;
    }
    json_decref(result);
    mem_free(path);
    return is;
}

/* Those of a group that has a checkpoint, which goes with it, into the set *lost. */
static sae_status note_members(const sweep *s, const char *groups, const char *number, json_t **lost, sae_error *err)
{
    sae_status status = SAE_OK;
    char *folder = path_join(groups, number, err), *path = folder ? path_join(folder, "group.json", err) : NULL;
    json_t *group = NULL, *dict;
    bool begun = false;
    size_t i;

    if (!path) SAE_TRY(SAE_NOMEM);
    SAE_TRY(train_folder_has_checkpoint(folder, &begun, err));
    if (begun) json_read_file(&group, path, NULL); /* a damaged one names none */
    json_array_foreach(json_object_get(group, "dictionaries"), i, dict)
    {
        const char *name = json_string_value(json_object_get(dict, "name"));
        if (name && !sweep_asks_for(s, name)) json_put(lost, name, json_true());
    }
done:
    json_decref(group);
    mem_free(path);
    mem_free(folder);
    return status;
}

/* The dictionaries that --force removes and this command does not name: keys of *lost, which the caller json_decref's. */
static sae_status list_lost(const sweep *s, const json_t *record, char **names, int n, json_t **lost, sae_error *err)
{
    sae_status status = SAE_OK;
    char **numbers = NULL, *path = NULL, *groups = path_join(s->folder, "groups", err);
    int n_groups = 0;

    *lost = json_object();
    if (!groups || !*lost) SAE_RAISE(err, SAE_NOMEM, "no memory for what is removed");
    for (int i = 0; i < n; i++) {
        mem_free(path);
        path = path_join(s->folder, names[i], err);
        if (!path) SAE_TRY(SAE_NOMEM);
        if (!sweep_asks_for(s, names[i]) && is_a_dictionary(s, record, path, names[i]))
            json_put(lost, names[i], json_true());
    }
    if (file_is_folder(groups)) SAE_TRY(folder_list(groups, &numbers, &n_groups, err));
    for (int i = 0; i < n_groups; i++) SAE_TRY(note_members(s, groups, numbers[i], lost, err));
    if (!*lost) SAE_RAISE(err, SAE_NOMEM, "no memory for what is removed");
done:
    folder_list_free(numbers, n_groups);
    mem_free(path);
    mem_free(groups);
    return status;
}

/* What a user may not have thought of when they gave --force. */
static sae_status warn_of_lost(const sweep *s, const json_t *record, char **names, int n, sae_error *err)
{
    json_t *lost = NULL, *value;
    const char *name, *first = NULL;
    int finished = 0, others = 0;
    sae_status status = list_lost(s, record, names, n, &lost, err);

    json_object_foreach(lost, name, value)
    {
        bool is = false, diverged = false;
        json_t *result = NULL;
        char *path = NULL;
        sweep_read_result(s, name, &is, &diverged, &result, &path, NULL); /* a damaged one is not finished */
        finished += is;
        others += !is;
        if (!is && !first) first = name;
        json_decref(result);
        mem_free(path);
    }
    if (status == SAE_OK && finished > 0)
        warn("--force removes %d finished dictionar%s of %s that this command does not name", finished,
             finished == 1 ? "y" : "ies", s->folder);
    if (status == SAE_OK && others > 0)
        warn("--force removes %d dictionar%s of %s that this command does not name and that %s not finished or whose "
             "export or result.json is damaged: %s%s",
             others, others == 1 ? "y" : "ies", s->folder, others == 1 ? "is" : "are", first,
             others > 1 ? ", ..." : "");
    json_decref(lost);
    return status;
}

/* --force: what an earlier sweep left, and nothing else. */
static sae_status clear_folder(const sweep *s, const char *record_path, char **names, int n, sae_error *err)
{
    sae_status status = SAE_OK;
    char *path = NULL;
    json_t *record = NULL;

    json_read_file(&record, record_path, NULL); /* a damaged one names none */
    SAE_TRY(warn_of_lost(s, record, names, n, err));
    for (int i = 0; i < n; i++) {
        mem_free(path);
        path = path_join(s->folder, names[i], err);
        if (!path) SAE_TRY(SAE_NOMEM);
        if (is_of_a_sweep(names[i])) { /* sweep.json stays until it is written over: without it none is ours */
            if (strcmp(names[i], "sweep.json") == 0) continue;
            SAE_TRY(file_is_folder(path) ? folder_remove(path, err) : file_remove(path, err));
        } else if (is_a_dictionary(s, record, path, names[i])) {
            SAE_TRY(train_folder_forget_export(path, err));
            SAE_TRY(folder_remove_ours(path, is_result, err)); /* last: it may be all that says whose this was */
        }
    }
done:
    json_decref(record);
    mem_free(path);
    return status;
}

/* Makes the groups as if nothing were there. */
static sae_status make_groups_anew(sweep *s, sae_error *err)
{
    const char *folder = s->folder;

    s->folder = NULL;
    sae_status status = sweep_make_groups(s, err);
    s->folder = folder;
    return status;
}

/* A folder without a sweep must not hold what would be written over. */
static sae_status check_free(const sweep *s, char **names, int n, sae_error *err)
{
    for (int i = 0; i < n; i++) {
        bool taken = is_of_a_sweep(names[i]) || strcmp(names[i], "run.json") == 0;
        if (taken || sweep_asks_for(s, names[i]))
            return SAE_FAIL(
                err, SAE_EXISTS,
                "%s holds %s but no sweep.json: it is not known to be a sweep's, and nothing in it is gone on with or "
                "removed, by --force neither; use another --out, or, if it is one whose sweep.json was "
                "lost, remove the folder yourself",
                s->folder, names[i]);
    }
    return SAE_OK;
}

/* A folder with this sweep in it is gone on with; with another sweep, or with anything that we would write over, refused. Makes the
 * groups; nothing is written or, with --force, cleared before they are known to be possible. With --plan nothing ever is. */
static sae_status begin_folder(sweep *s, sae_error *err)
{
    sae_status status = SAE_OK;
    bool plan = args_flag(s->a, "plan");
    char **names = NULL, *record = path_join(s->folder, "sweep.json", err);
    int n = 0;

    if (!record) SAE_TRY(SAE_NOMEM);
    if (!file_exists(s->folder)) SAE_TRY(sweep_make_groups(s, err)); /* what cannot be trained leaves no folder */
    if (!plan) SAE_TRY(folder_make(s->folder, err));
    if (!plan) /* before anything in it is touched: a sweep may be going on there */
        SAE_TRY(folder_lock(s->folder, &s->lock, err));
    if (file_is_folder(s->folder)) SAE_TRY(folder_list(s->folder, &names, &n, err));
    bool ours = file_exists(record);
    if (ours && args_flag(s->a, "force")) {
        SAE_TRY(make_groups_anew(s, err)); /* what cannot be trained clears nothing */
        SAE_TRY(sweep_check_foreign(s, true, err));
        if (plan) goto done;
        SAE_TRY(clear_folder(s, record, names, n, err));
        goto done;
    }
    SAE_TRY(ours ? train_folder_same_data(s->a, s->folder, "sweep.json", &s->in, err) : check_free(s, names, n, err));
    SAE_TRY(sweep_make_groups(s, err));
    SAE_TRY(sweep_check_foreign(s, false, err));
    if (ours) SAE_TRY(sweep_take_standing(s, names, n, err));
done:
    folder_list_free(names, n);
    mem_free(record);
    return status;
}

/* ---- A group ------------------------------------------------------------------------------------------------------------- */

/* Member i diverged, as *err says, which is cleared. The others need the text from its beginning: a pipe has given it already. */
static sae_status set_aside(sweep *s, const sweep_part *p, int i, int group, sae_error *err)
{
    const sae_error why = *err;

    *err = (sae_error){0};
    sae_status status = sweep_set_aside(s, p, i, why.message, err);
    if (status != SAE_OK || !train_text_is_piped(s->a) || !sweep_group_is_open(s, group)) return status;
    args_advise_again(s->a,
                      "With the same text through the pipe again, the same command goes on with the others:", NULL);
    return SAE_FAIL(err, SAE_STATE,
                    "%s diverged, and the others of its group go on with the text from its beginning, which standard "
                    "input gives only once",
                    p->dicts.names[i]);
}

/* To its end, or until one of its dictionaries diverges: that one is set aside, and the group is to be run again, from its last
 * checkpoint. */
static sae_status run_group(sweep *s, int group, int place, int of, sae_error *err)
{
    sae_status status = SAE_OK;
    sweep_part p = {0};
    sae_trainer *t = NULL;
    train_watch watch = {0};
    char *folder = sweep_group_folder(s, group, err), what[48];
    int64_t every = (s->recipes->steps + CHECKPOINTS - 1) / CHECKPOINTS;
    int diverged = -1;
    bool begun = false; /* there is a checkpoint */

    if (!folder) SAE_TRY(SAE_NOMEM);
    SAE_TRY(train_folder_has_checkpoint(folder, &begun, err));
    SAE_TRY(sweep_part_make(&p, s, s->group, group, err));
    if (!begun) SAE_TRY(sweep_group_begin(s, &p, group, err)); /* one that goes on has been compared */
    SAE_TRY(sae_trainer_create(&t, p.dicts.configs, p.dicts.n, p.recipe, err));
    SAE_TRY(train_watch_create(&watch, &p.dicts, err));
    if (s->in.acts) SAE_TRY(sae_acts_seek(s->in.acts, 0, err)); /* resuming goes on from there */
    training_options o = {.folder = folder,
                          .names = p.dicts.names,
                          .log_every = args_int(s->a, "log-every", 0),
                          .checkpoint_every = args_int(s->a, "checkpoint-every", every),
                          .resume = begun,
                          .fewer = true,
                          .diverged = &diverged,
                          .order = s->in.order.pool ? &s->in.order : NULL,
                          .d_target = s->in.d_target,
                          .rows_follow = true, /* that it is measured on */
                          .known_place = s->text_place,
                          .stepped = train_watch_step,
                          .notice = train_watch_notice,
                          .user = &watch};
    s->in.progress = progress_begin(&watch.line, s->a);
    snprintf(what, sizeof what, "group %d of %d, ", place, of);
    if (of > 1) watch.what = what;
    status = training_run(t, p.recipe, s->in.d_in, s->in.acts, &o, &s->in.progress, err);
    progress_end(&watch.line);
    if (status == SAE_NUMERIC && diverged >= 0) {
        status = set_aside(s, &p, diverged, group, err);
        goto done;
    }
    if (status == SAE_OK) status = sweep_finish_group(s, &p, group, t, err);
    if (status == SAE_STATE) train_advise_file(&s->in, s->a, NULL);
    if (status != SAE_OK && status != SAE_NUMERIC && status != SAE_STATE && status != SAE_FORMAT)
        args_advise_again(s->a, "The same command goes on from there:", NULL);
    SAE_TRY(status);
    train_watch_tell_deaths(&watch, s->a, p.recipe);
done:
    s->in.progress = (sae_progress){0};
    train_watch_free(&watch);
    sae_trainer_free(t);
    sweep_part_free(&p);
    mem_free(folder);
    return status;
}

/* What is free, but for what the rows will take and have not yet: the model's weights and, with --plan, the shuffle buffer. */
static size_t left_to_train(const train_input *in, bool plan)
{
    size_t available = memory_available(), rows = train_model_bytes(in);

    if (in->acts) rows += sae_acts_get_info(in->acts).pass_bytes;
    if (plan && in->acts) rows += sae_acts_get_info(in->acts).buffer_bytes;
    if (available == 0) return SIZE_MAX; /* not known */
    return available > rows ? available - rows : 1;
}

static sae_status run_sweep(args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    sweep s = {.a = a, .lock = -1};
    int open = 0, place = 0;

    if (args_flag(a, "plan"))
        s.folder = args_text(a, "out"); /* what stands there already counts */
    else
        SAE_TRY(args_require(a, "out", &s.folder, err));
    if (args_given(a, "data-seed") && args_given(a, "order"))
        SAE_TRY(args_fail(a, err, "--data-seed would do nothing: --order says which rows each step takes"));
    SAE_TRY(train_input_open(&s.in, a, (uint64_t)args_int(a, "data-seed", 0), err));
    SAE_TRY(train_dicts_make(&s.dicts, a, &s.in, err));
    SAE_TRY(train_export_option(a, &s.dicts, &s.how, err));
    s.n_asked = s.dicts.n;
    SAE_TRY(sweep_make_recipes(&s, err));
    s.finished = mem_alloc_array((size_t)s.dicts.n, sizeof *s.finished, "a sweep", err);
    s.diverged = mem_alloc_array((size_t)s.dicts.n, sizeof *s.diverged, "a sweep", err);
    s.group = mem_alloc_array((size_t)s.dicts.n, sizeof *s.group, "a sweep", err);
    if (!s.finished || !s.diverged || !s.group) SAE_TRY(SAE_NOMEM);
    s.budget = args_given(a, "memory") ? (size_t)args_int(a, "memory", 0) : left_to_train(&s.in, args_flag(a, "plan"));
    SAE_TRY(s.folder ? begin_folder(&s, err) : sweep_make_groups(&s, err)); /* --plan needs none */
    if (!args_flag(a, "plan")) /* not before: a command that is refused must not stand there */
        SAE_TRY(train_folder_write_run(a, s.folder, "sweep.json", &s.in, &s.dicts, sweep_recipes_json(&s), err));
    sweep_tell_groups(&s);
    if (args_flag(a, "plan")) {
        SAE_TRY(sweep_tell_plan(&s, err));
        goto done;
    }
    for (int g = 1; g <= s.n_groups; g++) open += sweep_group_is_open(&s, g);
    if (open > 0) train_tell_pipe(&s.in, a, s.recipes->steps * s.recipes->batch, sweep_measure_rows(&s));
    for (int g = 1; g <= s.n_groups; g++) {
        place += sweep_group_is_open(&s, g);
        while (sweep_group_is_open(&s, g)) SAE_TRY(run_group(&s, g, place, open, err));
    }
    SAE_TRY(sweep_report(&s, err));
done:
    json_decref(s.text_place);
    mem_free(s.recipes);
    mem_free(s.recipe_of);
    mem_free(s.finished);
    mem_free(s.diverged);
    mem_free(s.group);
    folder_unlock(s.lock);
    train_dicts_free(&s.dicts);
    train_input_close(&s.in);
    return status;
}

const command command_sweep = {
    .name = "sweep",
    .arguments = "",
    .summary = "train every combination of widths, ks, ranks and seeds on one stream of rows",
    .details =
        "Every combination of --arch, --width, --k, --rank, --variant and --seed is a dictionary, trained by the "
        "recipe's\n"
        "constants for its architecture and width. As many of one recipe as fit into the memory are trained together "
        "in\n"
        "one pass over the rows; the others follow in further groups. With a target they are transcoders. The plan is\n"
        "printed before anything is taken. The same command again, after Ctrl-C or a kill, goes on where it stopped\n"
        "and passes over what is finished; with more values, and the same recipe and steps, it adds to what is there.\n"
        "At the end each dictionary is measured on the same rows, which follow the trained ones: a table, "
        "results.json\n"
        "and report.html (L0 against FVU, dense latents against rank) of all that stand in OUT. The dictionaries stand "
        "in OUT/NAME/sae, NAME like w4608-k32-r4-s1.",
    .examples =
        "sae sweep --store rows/ --width 16384 --k 16,32 --rank 0,4,8,24 --seed 1,2,3 --rows 10M --out runs/sweep\n"
        "sae sweep --store rows/ --width 4096,16384 --k 32 --memory 4G --rows 10M --out runs/widths --json\n"
        "sae sweep --model smollm2 --site blocks.14.hook_resid_post --text books.jsonl.zst --width 4608 --k 32 "
        "--rank 0,6,12 --out runs/live\n"
        "sae sweep --store rows/ --arch batchtopk,topk,jumprelu,gated --width 16384 --k 32 --rows 10M --out "
        "runs/archs\n",
    .min_operands = 0,
    .max_operands = 0,
    .options = options,
    .run = run_sweep,
};
