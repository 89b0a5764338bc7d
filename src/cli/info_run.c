/* info_run.c - what `sae info` says of the folder of a run or a sweep, and of a checkpoint. The whole record with --json. */
#include "cli/info.h"
#include "cli/train.h"
#include "io/io.h"

#include <stdio.h>
#include <string.h>

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static long long number_of(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static json_t *read_below(const char *folder, const char *name)
{
    char *path = path_join(folder, name, NULL);
    json_t *value = NULL;

    if (path && json_read_file(&value, path, NULL) != SAE_OK) value = NULL;
    mem_free(path);
    return value;
}

/* The arguments as they were typed, up to the width of a line of text. */
static void show_command(const json_t *about)
{
    char line[400] = "";
    size_t i, used = 0;
    json_t *word;

    json_array_foreach(json_object_get(about, "arguments"), i, word)
    {
        if (used < sizeof line)
            used += (size_t)snprintf(line + used, sizeof line - used, "%s%s", i ? " " : "",
                                     json_string_value(word) ? json_string_value(word) : "?");
    }
    if (used >= sizeof line) memcpy(line + sizeof line - 4, "...", 4);
    if (used) info_show(NULL, "", "command", "%s", line);
}

/* Names and sizes; of many the first ones. */
static void show_dictionaries(const json_t *list)
{
    enum { SHOWN = 12 };
    size_t i, n = json_array_size(list);
    json_t *d;

    if (n) info_show(NULL, "", "dictionaries", "%zu", n);
    json_array_foreach(list, i, d)
    {
        if (i == SHOWN) {
            printf("              and %zu more\n", n - SHOWN);
            return;
        }
        printf("              %s: %s, d_in %lld, d_sae %lld, k %lld, rank %lld\n", text_of(d, "name"),
               text_of(d, "arch"), number_of(d, "d_in"), number_of(d, "d_sae"), number_of(d, "k"),
               number_of(d, "rank"));
    }
}

/* The step of the newest checkpoint: folders are named by their steps, all of the same length. 0: there is none; -1: no place for them. */
static long long newest_checkpoint(const char *path)
{
    char **names = NULL, *folder = path_join(path, "checkpoints", NULL);
    long long step = -1;
    int n = 0;

    if (folder && file_is_folder(folder) && folder_list(folder, &names, &n, NULL) == SAE_OK) {
        while (n > 0 && strspn(names[n - 1], "0123456789") != strlen(names[n - 1])) n--;
        step = 0;
        if (n > 0) sscanf(names[n - 1], "%lld", &step);
    }
    folder_list_free(names, n);
    mem_free(folder);
    return step;
}

static void show_checkpoint(long long step, long long steps)
{
    if (step > 0)
        info_show(NULL, "", "checkpoint", "of step %lld of %lld%s", step, steps,
                  step >= steps ? ": the run is complete" : "; --resume goes on from there");
    else if (step == 0)
        info_show(NULL, "", "checkpoint", "none yet");
}

static sae_status note_step(void *user, const json_t *line, const char *name, sae_error *err)
{
    (void)name;
    (void)err;
    *(long long *)user = number_of(line, "step");
    return SAE_OK;
}

/* Whether it is sure that the run did not come to its last step, of which every log has a line. `sae train` exports only behind it, and with
 * --force leaves the export of the run before until then: so what stands in sae/ is that one's. Checkpoints may have been removed since. */
static bool was_broken_off(const char *path, long long checkpoint, long long steps)
{
    char *log = path_join(path, "log.jsonl", NULL);
    long long last = -1;
    bool known =
        checkpoint < steps && log && file_exists(log) && json_lines_read(log, note_step, &last, NULL) == SAE_OK;

    mem_free(log);
    return known && last < steps - 1;
}

static void show_pages(const char *path, bool broken_off)
{
    static const char *const pages[] = {"report.html", "results.json", "sae", "results"};

    for (int i = 0; i < 4; i++)
        if (info_holds(path, pages[i]))
            info_show(NULL, "", "holds", "%s/%s%s", path, pages[i],
                      broken_off && strcmp(pages[i], "sae") == 0
                          ? ": an earlier run's; this one has not come to its last step"
                          : "");
}

static int count_finished(const char *path, const json_t *dictionaries)
{
    int n = 0;
    size_t i;
    json_t *d;

    json_array_foreach(dictionaries, i, d)
    {
        char *folder = path_join(path, text_of(d, "name"), NULL),
             *file = folder ? path_join(folder, "result.json", NULL) : NULL;
        n += file && file_exists(file);
        mem_free(file);
        mem_free(folder);
    }
    return n;
}

sae_status info_run(const char *path, const char *record, bool as_json, sae_error *err)
{
    sae_status status = SAE_OK;
    bool sweep = strcmp(record, "sweep.json") == 0;
    char *file = path_join(path, record, err);
    json_t *about = NULL;

    if (!file) return SAE_NOMEM;
    SAE_TRY(json_read_file(&about, file, err));
    if (as_json) {
        status = print_json(about, err);
        goto done;
    }
    const json_t *recipe = json_object_get(about, "recipe"), *dictionaries = json_object_get(about, "dictionaries");
    if (json_is_array(recipe))
        recipe = json_object_get(json_array_get(recipe, 0), "constants"); /* of a sweep: several */
    info_show(NULL, "", "kind", sweep ? "sweep" : "run of sae %s", text_of(about, "command"));
    show_command(about);
    show_dictionaries(dictionaries);
    const long long steps = number_of(recipe, "steps"), checkpoint = sweep ? -1 : newest_checkpoint(path);
    info_show(NULL, "", "training", "%lld steps of %lld rows", steps, number_of(recipe, "batch"));
    if (sweep)
        info_show(NULL, "", "finished", "%d of %zu", count_finished(path, dictionaries), json_array_size(dictionaries));
    show_checkpoint(checkpoint, steps);
    show_pages(path, !sweep && info_holds(path, "sae") && was_broken_off(path, checkpoint, steps));
    info_show(NULL, "", "all of it", "sae info %s --json", path);
done:
    json_decref(about);
    mem_free(file);
    return status;
}

sae_status info_checkpoint(const char *path, json_t **json, sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *state = read_below(path, "state.json");
    const json_t *dicts = json_object_get(state, "dicts"), *options = json_object_get(state, "options"),
                 *machine = json_object_get(state, "machine");
    size_t i;
    json_t *entry;

    if (!json_is_array(dicts) || !json_is_object(options))
        SAE_RAISE(err, SAE_FORMAT, "%s: its state.json is not one of a checkpoint that `sae train` wrote", path);
    info_show(json, "kind", "kind", "checkpoint of a training run");
    info_show(json, "step", "step", "%lld", number_of(state, "step"));
    info_show(json, "steps", "of steps", "%lld", number_of(options, "steps"));
    info_show(json, "rows", "rows given", "%lld", number_of(state, "rows_given"));
    info_show(json, "n_dictionaries", "dictionaries", "%zu", json_array_size(dicts));
    json_array_foreach(dicts, i, entry)
    {
        const json_t *c = json_object_get(entry, "config");
        int64_t arch = json_integer_value(json_object_get(c, "arch"));
        if (json || i > 11) break;
        printf("              %s: %s, d_in %lld, d_sae %lld, k %lld, rank %lld\n", text_of(entry, "file"),
               arch >= 0 && arch <= SAE_GATED ? train_arch_name((sae_arch)arch) : "?", number_of(c, "d_in"),
               number_of(c, "d_sae"), number_of(c, "k"), number_of(c, "rank"));
    }
    info_show(json, "threads", "made with", "%lld thread%s, %s, %s", number_of(machine, "threads"),
              number_of(machine, "threads") == 1 ? "" : "s", text_of(machine, "isa"), text_of(machine, "products"));
    if (!json)
        info_show(NULL, "", "use", "--resume of the run that it lies in; what was trained is exported at its end");
done:
    json_decref(state);
    return status;
}
