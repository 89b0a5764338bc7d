/* cmd_plot.c - `sae plot`: the training curves of any number of runs on one page, also while they go on. */
#include "cli/cli.h"
#include "io/io.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct measure {
    const char *key, *title, *y_label;
    int flags;
} measures[] = {
    {"loss", "Loss", "loss", SAE_PLOT_LOG_Y},
    {"fvu", "Unexplained variance of the batch", "FVU", 0},
    {"l0", "Active latents per row", "L0", 0},
    {"dead", "Dead latents", "latents", 0},
    {"dense", "Latents in over 10 % of the batch", "latents", 0},
    {"lr", "Learning rate", "learning rate", 0},
};
enum { N_MEASURES = sizeof measures / sizeof *measures };

/* One dictionary of one run. */
typedef struct curve {
    int run;     /* its place among the operands */
    char *dict;  /* owned; NULL: the run has one, without a name */
    char *label; /* owned: of the run, and the dictionary's */
    int64_t n, room;
    double *values; /* [N_MEASURES + 1][room]: rows trained, then the measures */
} curve;

typedef struct curves {
    curve *items;
    int n;
} curves;

static void curves_free(curves *c)
{
    for (int i = 0; i < c->n; i++) {
        mem_free(c->items[i].dict);
        mem_free(c->items[i].label);
        mem_free(c->items[i].values);
    }
    mem_free(c->items);
    *c = (curves){0};
}

/* ---- Reading ----------------------------------------------------------------------------------------------------------------- */

/* json_lines_read's callback is of one run: the number of its operand, and what it is called. */
typedef struct reading_of {
    curves *all;
    int number;
    const char *run;
} reading_of;

/* The curve of a run's dictionary; by what they are and not by the label, which two may share. NULL: no memory. */
static curve *curve_of(const reading_of *r, const char *dict, sae_error *err)
{
    curves *all = r->all;
    size_t room = strlen(r->run) + (dict ? strlen(dict) : 0) + 3;

    for (int i = 0; i < all->n; i++) {
        const curve *c = &all->items[i];
        if (c->run == r->number && (dict && c->dict ? strcmp(c->dict, dict) == 0 : !dict && !c->dict))
            return &all->items[i];
    }
    curve *grown =
        mem_grow(all->items, (size_t)all->n * sizeof *grown, (size_t)(all->n + 1) * sizeof *grown, "the curves", err);
    if (!grown) return NULL;
    all->items = grown;
    curve *c = &grown[all->n];
    *c = (curve){.run = r->number, .label = mem_alloc(room, "a label", err)};
    if (dict) c->dict = mem_strdup(dict, err);
    all->n++;
    if (!c->label || (dict && !c->dict)) return NULL;
    snprintf(c->label, room, dict && *r->run ? "%s, %s" : "%s%s", r->run, dict ? dict : "");
    return c;
}

static sae_status curve_reserve(curve *c, sae_error *err)
{
    int64_t room = c->room ? 2 * c->room : 256;
    double *grown;

    if (c->n < c->room) return SAE_OK;
    grown = mem_alloc_array((size_t)room, (N_MEASURES + 1) * sizeof *grown, "a curve", err);
    if (!grown) return SAE_NOMEM;
    for (int m = 0; m <= N_MEASURES && c->values; m++)
        memcpy(grown + m * room, c->values + m * c->room, (size_t)c->n * sizeof *grown);
    mem_free(c->values);
    c->values = grown;
    c->room = room;
    return SAE_OK;
}

/* json_lines_read's callback; user: a reading_of. */
static sae_status take_line(void *user, const json_t *line, const char *path, sae_error *err)
{
    static const char *const needed[] = {"rows", "loss"};
    sae_status status = SAE_OK;
    const char *dict = NULL;
    double value = 0;

    for (int i = 0; i < 2; i++)
        if (!json_object_get(line, needed[i]))
            SAE_RAISE(err, SAE_FORMAT, "%s: says no \"%s\": expected the log.jsonl of a run (sae train, sweep)", path,
                      needed[i]);
    SAE_TRY(json_get_string(line, "dict", NULL, &dict, path, err));
    curve *c = curve_of(user, dict, err);
    if (!c) SAE_TRY(SAE_NOMEM);
    SAE_TRY(curve_reserve(c, err));
    SAE_TRY(json_get_double(line, "rows", NAN, &value, path, err));
    if (c->n > 0 && value < c->values[c->n - 1]) c->n = 0; /* begun anew in a later group of a sweep */
    c->values[c->n] = value;
    for (int m = 0; m < N_MEASURES; m++) {
        SAE_TRY(json_get_double(line, measures[m].key, NAN, &value, path, err));
        c->values[(m + 1) * c->room + c->n] = value;
    }
    c->n++;
done:
    return status;
}

static sae_status read_log(reading_of *r, const char *path, sae_error *err)
{
    return json_lines_read(path, take_line, r, err);
}

/* The logs of a sweep: one of each group. */
static sae_status read_groups(reading_of *r, const char *folder, sae_error *err)
{
    sae_status status = SAE_OK;
    char **names = NULL, *path = NULL;
    int n = 0;

    SAE_TRY(folder_list(folder, &names, &n, err));
    for (int i = 0; i < n; i++) {
        char name[300];
        snprintf(name, sizeof name, "%.250s/log.jsonl", names[i]);
        mem_free(path);
        path = path_join(folder, name, err);
        if (!path) SAE_TRY(SAE_NOMEM);
        if (file_exists(path)) SAE_TRY(read_log(r, path, err));
    }
done:
    folder_list_free(names, n);
    mem_free(path);
    return status;
}

/* The record of a run that has not logged a step yet. */
static bool just_begun(const char *folder)
{
    static const char *const records[] = {"run.json", "sweep.json"};
    bool found = false;

    for (int i = 0; i < 2 && !found; i++) {
        char *path = path_join(folder, records[i], NULL);
        found = path && file_exists(path);
        mem_free(path);
    }
    return found;
}

/* No new curve: the run has no whole line yet. */
static sae_status read_run(reading_of *r, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    char *log = path_join(path, "log.jsonl", err), *groups = path_join(path, "groups", err);

    if (!log || !groups) SAE_TRY(SAE_NOMEM);
    if (!file_is_folder(path))
        SAE_TRY(read_log(r, path, err));
    else if (file_exists(log))
        SAE_TRY(read_log(r, log, err));
    else if (file_is_folder(groups))
        SAE_TRY(read_groups(r, groups, err));
    else if (!just_begun(path))
        SAE_RAISE(err, SAE_IO, "%s: holds no log.jsonl: expected the folder of a run (sae train, sweep, scaffold)",
                  path);
done:
    mem_free(groups);
    mem_free(log);
    return status;
}

/* ---- Names --------------------------------------------------------------------------------------------------------------------- */

enum { RUN_NAME = 300 }; /* the last part of a path has 255 bytes at most */

/* The last part of a path, without slashes behind it, and of a/log.jsonl the folder's; caller's buffer. */
static void base_name(const char *path, char *out, size_t size)
{
    static const char log[] = "/log.jsonl";
    size_t end = strlen(path), begin;

    if (end > sizeof log - 1 && strcmp(path + end - (sizeof log - 1), log) == 0) end -= sizeof log - 1;
    while (end > 1 && path[end - 1] == '/') end--;
    for (begin = end; begin > 0 && path[begin - 1] != '/'; begin--) continue;
    snprintf(out, size, "%.*s", (int)(end - begin), path + begin);
}

/* The last part when no other run has it, else the path, of a long one its end. */
static void run_name(const char *const *paths, int n, int i, char *out, size_t size)
{
    char other[RUN_NAME];

    base_name(paths[i], out, size);
    for (int j = 0; j < n; j++) {
        base_name(paths[j], other, sizeof other);
        if (j == i || strcmp(out, other) != 0) continue;
        size_t length = strlen(paths[i]);
        snprintf(out, size, "%s%s", length < size ? "" : "...", paths[i] + (length < size ? 0 : length - size + 4));
        return;
    }
}

static bool named_before(const char *const *paths, int i)
{
    for (int j = 0; j < i; j++)
        if (strcmp(paths[i], paths[j]) == 0) return true;
    return false;
}

/* ---- The page ------------------------------------------------------------------------------------------------------------------- */

static sae_status make_result(sae_result **out, const curves *all, int n_runs, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_result *r = NULL;
    char note[160];

    SAE_TRY(sae_result_create(&r, "training", err));
    SAE_TRY(sae_result_section(r, "Training curves", err));
    snprintf(note, sizeof note, "%d run%s, %d dictionar%s. Each point is one batch; x counts the rows trained on.",
             n_runs, n_runs == 1 ? "" : "s", all->n, all->n == 1 ? "y" : "ies");
    SAE_TRY(sae_result_note(r, note, err));
    for (int m = 0; m < N_MEASURES; m++) {
        SAE_TRY(sae_result_plot(r, measures[m].key, measures[m].title, "rows", measures[m].y_label, SAE_PLOT_LINE,
                                measures[m].flags, err));
        for (int i = 0; i < all->n; i++) {
            const curve *c = &all->items[i];
            SAE_TRY(sae_result_series(r, measures[m].key, *c->label ? c->label : "run", c->values,
                                      c->values + (m + 1) * c->room, c->n, err));
        }
    }
    *out = r;
    r = NULL;
done:
    sae_result_free(r);
    return status;
}

static sae_status run_plot(args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *const *runs = NULL, *out = NULL, *title = args_text(a, "title");
    int n = args_operands(a, &runs), n_shown = 0;
    curves all = {0};
    sae_result *r = NULL;
    char name[RUN_NAME];

    SAE_TRY(args_require(a, "out", &out, err));
    for (int i = 0; i < n; i++) {
        int before = all.n;
        if (named_before(runs, i)) continue;
        run_name(runs, n, i, name, sizeof name);
        SAE_TRY(read_run(&(reading_of){&all, i, name}, runs[i], err));
        if (all.n > before)
            n_shown++;
        else
            say(a, "skipped   %s: its log has no whole line yet", runs[i]);
    }
    if (all.n == 0)
        SAE_RAISE(err, SAE_FORMAT, "nothing to plot: no log of %s has a whole line yet: wait for the first logged step",
                  n == 1 ? runs[0] : "these runs");
    SAE_TRY(make_result(&r, &all, n_shown, err));
    const sae_result *list[] = {r};
    SAE_TRY(sae_report_write(out, title, list, 1, args_flag(a, "force"), err));
    say(a, "written   %s: %d curve%s of %d run%s", out, all.n, all.n == 1 ? "" : "s", n_shown, n_shown == 1 ? "" : "s");
done:
    sae_result_free(r);
    curves_free(&all);
    return status;
}

static const option_row options[] = {
    OPTION_OUT_ROW("FILE"),
    {"title", OPTION_TEXT, "TEXT", "of the page", "Training runs"},
    OPTION_FORCE_ROW,
    OPTION_END_ROW,
};

const command command_plot = {
    .name = "plot",
    .arguments = "RUN...",
    .summary = "training curves of any number of runs on one page",
    .details =
        "Loss, FVU, L0, dead and dense latents and the learning rate over the rows trained on, in one HTML file\n"
        "that needs nothing else. RUN is the folder of a run (sae train, sweep, scaffold) or a log.jsonl; a run\n"
        "that still goes on is shown as far as it is, one without a logged step is passed over.",
    .examples =
        "sae plot runs/a runs/sweep --out curves.html\nsae plot runs/* --out all.html --title 'All of May' --force\n",
    .min_operands = 1,
    .max_operands = -1,
    .options = options,
    .run = run_plot,
};
