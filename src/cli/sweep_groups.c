/*
 * sweep_groups.c - which dictionaries are trained together: as many of one recipe as fit into the memory, each group one pass over
 * the rows.
 *
 * A group with a checkpoint keeps its members, whatever memory is free now: the checkpoint holds all of them.
 */
#include "cli/sweep.h"
#include "io/io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *sweep_group_folder(const sweep *s, int group, sae_error *err)
{
    char name[32];

    snprintf(name, sizeof name, "groups/%03d", group);
    return path_join(s->folder, name, err);
}

/* ---- What is there already --------------------------------------------------------------------------------------------- */

/* What there is of a group that was begun. */
typedef struct begun_group {
    int number;
    const char *path;    /* of group.json */
    const json_t *group; /* what it holds */
    bool checkpoint;     /* of its members together */
    bool finished;       /* some member is */
    bool wanted;         /* this command names a member that is not finished */
    const char *other;   /* a member that is not finished and that this command does not name; NULL: there is none */
} begun_group;

static sae_status look_at_members(const sweep *s, begun_group *g, sae_error *err)
{
    size_t i;
    json_t *dict;

    json_array_foreach(json_object_get(g->group, "dictionaries"), i, dict)
    {
        const char *name = json_string_value(json_object_get(dict, "name"));
        bool finished = false;
        if (!name)
            return SAE_FAIL(
                err, SAE_STATE,
                "%s: does not say all of its dictionaries: an older version of this program wrote it; go on "
                "with that version, or use another --out",
                g->path);
        sae_status status = sweep_is_finished(s, name, &finished, err);
        if (status != SAE_OK) return status;
        if (finished)
            g->finished = true;
        else if (sweep_index_of(s, name) >= 0)
            g->wanted = true;
        else
            g->other = name;
    }
    return SAE_OK;
}

/* The members that this command names go on together from the group's checkpoint, which has them in their order. */
static sae_status take_members(sweep *s, const begun_group *g, sae_error *err)
{
    int before = -1;
    size_t i;
    json_t *dict;

    if (g->other)
        return SAE_FAIL(err, SAE_STATE,
                        "%s: %s was begun together with what is asked for, is not finished, and this command does not "
                        "name it: name it too (that file lists the whole group), give the group up by removing the "
                        "folder of that file (its dictionaries begin anew), or use another --out",
                        g->path, g->other);
    json_array_foreach(json_object_get(g->group, "dictionaries"), i, dict)
    {
        int at = sweep_index_of(s, json_string_value(json_object_get(dict, "name")));
        if (at < 0) continue; /* finished, and not asked for */
        if (at < before)
            return SAE_FAIL(err, SAE_STATE,
                            "%s: the group was begun with its dictionaries in another order, which its checkpoint has: "
                            "list the values so that they come in the order of that file",
                            g->path);
        before = at;
        sae_status status = sweep_same_dict(s, at, dict, json_object_get(g->group, "recipe"), g->path, err);
        if (status != SAE_OK) return status;
        if (!s->diverged[at]) s->group[at] = g->number;
    }
    return SAE_OK;
}

/* A group binds by its checkpoint: without one its dictionaries begin anew in any group. One that is finished but for its checkpoint
 * was killed just then. */
static sae_status take_group(sweep *s, begun_group *g, const char *folder, sae_error *err)
{
    sae_status status = SAE_OK;

    SAE_TRY(look_at_members(s, g, err));
    if ((g->checkpoint || g->finished) && g->number > s->n_groups) s->n_groups = g->number;
    if (g->checkpoint && g->wanted) SAE_TRY(take_members(s, g, err));
    if (g->checkpoint && g->finished && !g->wanted && !g->other && !args_flag(s->a, "plan"))
        SAE_TRY(train_folder_forget_checkpoints(folder, err));
done:
    return status;
}

/* The most dictionaries that a checkpoint in the group's folder holds; 0: none can be read, which going on from it tells. */
static sae_status most_in_checkpoints(const char *folder, size_t *most, sae_error *err)
{
    sae_status status = SAE_OK;
    char **names = NULL, *parent = path_join(folder, "checkpoints", err), *one = NULL, *path = NULL;
    int n = 0;

    *most = 0;
    if (!parent) SAE_TRY(SAE_NOMEM);
    SAE_TRY(folder_list(parent, &names, &n, err));
    for (int i = 0; i < n; i++) {
        json_t *state = NULL;
        mem_free(one);
        mem_free(path);
        one = path_join(parent, names[i], err);
        path = one ? path_join(one, "state.json", err) : NULL;
        if (!path) SAE_TRY(SAE_NOMEM);
        if (json_read_file(&state, path, NULL) != SAE_OK) continue;
        size_t held = json_array_size(json_object_get(state, "dicts"));
        if (held > *most) *most = held;
        json_decref(state);
    }
done:
    folder_list_free(names, n);
    mem_free(path);
    mem_free(one);
    mem_free(parent);
    return status;
}

/* Whether group.json lists its dictionaries; a checkpoint holds all of them, or fewer where some diverged. FORMAT: it does not. */
static sae_status check_list(const begun_group *g, const char *folder, const json_t *group, sae_error *err)
{
    const size_t listed = json_array_size(json_object_get(group, "dictionaries"));
    size_t held = 0;

    if (listed == 0) return SAE_FAIL(err, SAE_FORMAT, "%s: lists no dictionaries", g->path);
    sae_status status = g->checkpoint ? most_in_checkpoints(folder, &held, err) : SAE_OK;
    if (status != SAE_OK || held <= listed) return status;
    return SAE_FAIL(err, SAE_FORMAT, "%s: lists %zu of the %zu dictionaries in a checkpoint beside it", g->path, listed,
                    held);
}

/* Without a checkpoint nothing depends on a damaged file. It counts as that of a finished group, whose number is taken. */
static sae_status read_group(begun_group *g, const char *folder, json_t **group, sae_error *err)
{
    sae_error unread = {0};
    sae_status status = json_read_file(group, g->path, &unread);

    if (status == SAE_OK) status = check_list(g, folder, *group, &unread);
    if (status == SAE_OK) return SAE_OK;
    if (status != SAE_FORMAT) return SAE_FAIL(err, status, "%s", unread.message);
    if (g->checkpoint)
        return SAE_FAIL(err, SAE_FORMAT,
                        "%s: it is damaged, and it alone says which dictionaries go on from the checkpoint beside it: "
                        "remove the folder of that file (they begin anew), or use another --out",
                        unread.message);
    warn("%s: it is damaged and passed over, since nothing of that group is to be gone on with", unread.message);
    g->finished = true;
    return SAE_OK;
}

static sae_status read_groups(sweep *s, sae_error *err)
{
    sae_status status = SAE_OK;
    char **names = NULL, *folder = path_join(s->folder, "groups", err), *one = NULL, *path = NULL;
    json_t *group = NULL;
    int n = 0;

    if (!folder) SAE_TRY(SAE_NOMEM);
    if (!file_is_folder(folder)) goto done;
    SAE_TRY(folder_list(folder, &names, &n, err));
    for (int i = 0; i < n; i++) {
        char *end = NULL;
        long number = strtol(names[i], &end, 10);
        if (*end || number < 1 || number > MOST_DICTS) continue;
        mem_free(one);
        mem_free(path);
        one = path_join(folder, names[i], err);
        path = one ? path_join(one, "group.json", err) : NULL;
        if (!path) SAE_TRY(SAE_NOMEM);
        if (!file_exists(path)) continue;
        json_decref(group);
        group = NULL;
        begun_group g = {.number = (int)number, .path = path};
        SAE_TRY(train_folder_has_checkpoint(one, &g.checkpoint, err));
        SAE_TRY(read_group(&g, one, &group, err));
        g.group = group;
        SAE_TRY(take_group(s, &g, one, err));
    }
done:
    json_decref(group);
    folder_list_free(names, n);
    mem_free(path);
    mem_free(one);
    mem_free(folder);
    return status;
}

/* ---- What fits ------------------------------------------------------------------------------------------------------------ */

bool sweep_group_is_open(const sweep *s, int group)
{
    for (int i = 0; i < s->dicts.n; i++)
        if (s->group[i] == group && !s->finished[i]) return true;
    return false;
}

sae_status sweep_part_make(sweep_part *out, const sweep *s, const int *of, int number, sae_error *err)
{
    int n = 0;

    for (int i = 0; i < s->dicts.n; i++) n += of[i] == number;
    *out = (sweep_part){.dicts = {.n = n}};
    out->dicts.configs = mem_alloc_array((size_t)n + 1, sizeof *out->dicts.configs, "a group", err);
    out->dicts.names = mem_alloc_array((size_t)n + 1, sizeof *out->dicts.names, "a group", err);
    out->index = mem_alloc_array((size_t)n + 1, sizeof *out->index, "a group", err);
    if (!out->dicts.configs || !out->dicts.names || !out->index) return SAE_NOMEM;
    for (int i = 0, at = 0; i < s->dicts.n; i++) {
        if (of[i] != number) continue;
        out->recipe = &s->recipes[s->recipe_of[i]];
        out->dicts.configs[at] = s->dicts.configs[i];
        out->dicts.names[at] = s->dicts.names[i];
        out->index[at++] = i;
    }
    return SAE_OK;
}

void sweep_part_free(sweep_part *p)
{
    train_dicts_free(&p->dicts);
    mem_free(p->index);
    *p = (sweep_part){0};
}

size_t sweep_part_measure_bytes(const sweep *s, const sweep_part *p)
{
    size_t most = 0;

    for (int i = 0; i < p->dicts.n; i++) {
        size_t one = sweep_measure_bytes(s, &p->dicts.configs[i]);
        if (one > most) most = one;
    }
    return most;
}

/* What those of one group take: the trainer, the batch beside it, and measuring at the end. */
static size_t part_bytes(const sweep *s, const sweep_part *p, sae_memory_plan *plan)
{
    *plan = sae_trainer_plan(p->dicts.configs, p->dicts.n, p->recipe);
    return plan->total + sweep_part_measure_bytes(s, p) +
           (size_t)(p->recipe->batch * (s->in.d_in + 2 * s->in.d_target)) * sizeof(float);
}

static sae_status group_bytes(const sweep *s, int group, sae_memory_plan *plan, size_t *bytes, sae_error *err)
{
    sweep_part p = {0};
    sae_status status = sweep_part_make(&p, s, s->group, group, err);

    if (status == SAE_OK) *bytes = part_bytes(s, &p, plan);
    sweep_part_free(&p);
    return status;
}

/* A dictionary that waits for a group. */
typedef struct waiting {
    int64_t width;
    int index;         /* in the sweep */
    size_t alone, own; /* what a group of it takes; of that, what it adds to any group: weights and moments */
} waiting;

/* Wide ones first: those of one width share their encoder product's memory, and small ones fill what is left. */
static int by_width(const void *a, const void *b)
{
    const waiting *x = a, *y = b;

    if (x->width != y->width) return x->width < y->width ? 1 : -1;
    return x->index - y->index;
}

/* Those that are to be trained and have no group yet: list [*n], room for all. NOMEM: one does not fit by itself. */
static sae_status list_waiting(const sweep *s, waiting *list, int *n, sae_error *err)
{
    *n = 0;
    for (int i = 0; i < s->dicts.n; i++)
        if (!s->finished[i] && s->group[i] == 0)
            list[(*n)++] = (waiting){.width = s->dicts.configs[i].d_sae, .index = i};
    qsort(list, (size_t)*n, sizeof *list, by_width);
    for (int k = 0; k < *n; k++) {
        int i = list[k].index;
        sae_memory_plan plan;
        sweep_part one = {.dicts = {.n = 1, .configs = &s->dicts.configs[i]}, .recipe = &s->recipes[s->recipe_of[i]]};
        list[k].alone = part_bytes(s, &one, &plan);
        list[k].own = plan.weights + plan.moments;
        if (list[k].alone <= s->budget) continue;
        return SAE_FAIL(
            err, SAE_NOMEM,
            "%s alone takes %zu MiB and %zu MiB may be used: use a smaller width or batch, or more --memory",
            s->dicts.names[i], list[k].alone >> 20, s->budget >> 20);
    }
    return SAE_OK;
}

/* Puts up to `most` of list [from, n) into the group that do not share too much with what it refused: *end is behind the last. */
static int join(sweep *s, int group, const waiting *list, int n, int from, int most, int recipe, size_t bytes,
                size_t refused, int *end)
{
    enum {
        ROUNDING = 4 << 20
    }; /* a block is whole huge pages: one of its own takes that more than as a part of another */
    int joined = 0;

    for (*end = from; *end < n && joined < most; ++*end) {
        const waiting *w = &list[*end];
        if (s->group[w->index] != 0 || s->recipe_of[w->index] != recipe || w->alone == refused) continue;
        if (bytes + w->own > s->budget + ROUNDING) continue;
        s->group[w->index] = group;
        joined++;
    }
    return joined;
}

/* Into a new group all that it has room for, in the order of the list. What it takes is computed for twice as many more each time, and
 * for half of them where they are too many: a group's plan looks at all of its members. */
static sae_status fill_group(sweep *s, int group, const waiting *list, int n, int recipe, sae_error *err)
{
    sae_memory_plan plan;
    size_t bytes = 0, now = 0,
           refused = 0; /* refused: the last one that found no room, alone; one like it finds none either */
    int most = 1, end = 0;

    for (int from = 0; from < n;) {
        int joined = join(s, group, list, n, from, most, recipe, bytes, refused, &end);
        if (joined == 0) break;
        sae_status status = group_bytes(s, group, &plan, &now, err);
        if (status != SAE_OK) return status;
        if (now <= s->budget) {
            bytes = now;
            from = end;
            most *= 2;
            continue;
        }
        for (int k = from; k < end; k++)
            if (s->group[list[k].index] == group) s->group[list[k].index] = 0;
        most = joined / 2;
        if (joined > 1) continue;
        refused = list[end - 1].alone;
        from = end;
        most = 1;
    }
    return SAE_OK;
}

/* A pipe gives its text once, so it can feed one group: STATE before anything is trained, or cleared, in vain. */
static sae_status check_passes(const sweep *s, sae_error *err)
{
    int open = 0, recipes = 0;
    char memory[96];

    for (int g = 1; g <= s->n_groups; g++) open += sweep_group_is_open(s, g);
    if (open < 2 || !train_text_is_piped(s->a)) return SAE_OK;
    for (int k = 0; k < s->n_recipes; k++) {
        bool used = false;
        for (int i = 0; i < s->dicts.n; i++) used = used || (!s->finished[i] && s->recipe_of[i] == k);
        recipes += used;
    }
    snprintf(memory, sizeof memory, "name fewer dictionaries at a time, or give more --memory (now %zu MiB)",
             s->budget >> 20);
    return SAE_FAIL(
        err, SAE_STATE,
        "these dictionaries are %d groups, each one pass over the text, and standard input can be read only once: save "
        "the text to a .txt or .jsonl file and give that, or %s",
        open, recipes == open ? "name the dictionaries of one recipe at a time (of one --arch and --width)" : memory);
}

sae_status sweep_make_groups(sweep *s, sae_error *err)
{
    sae_status status = SAE_OK;
    waiting *list = NULL;
    int n = 0;

    if (s->folder) { /* --plan needs none */
        SAE_TRY(sweep_find_finished(s, err));
        SAE_TRY(read_groups(s, err));
    }
    list = mem_alloc_array((size_t)s->dicts.n, sizeof *list, "the groups", err);
    if (!list) SAE_TRY(SAE_NOMEM);
    SAE_TRY(list_waiting(s, list, &n, err));
    for (int k = 0; k < n; k++) {
        if (s->group[list[k].index] != 0) continue;
        SAE_TRY(fill_group(s, ++s->n_groups, list + k, n - k, s->recipe_of[list[k].index], err));
    }
    SAE_TRY(check_passes(s, err));
done:
    mem_free(list);
    return status;
}

/* ---- Telling and beginning ----------------------------------------------------------------------------------------------- */

static void tell_group(const sweep *s, int group)
{
    sweep_part p = {0};
    char parts[TRAIN_MEMORY_ROOM];

    if (sweep_part_make(&p, s, s->group, group, NULL) == SAE_OK) {
        train_memory m = train_memory_of(&s->in, &p.dicts, p.recipe, sweep_part_measure_bytes(s, &p));
        say(s->a, "group %-3d %d dictionar%s: %s: %.0f MiB", group, p.dicts.n, p.dicts.n == 1 ? "y" : "ies",
            train_memory_text(&m, parts, sizeof parts), (double)m.total / (1 << 20));
    }
    sweep_part_free(&p);
}

void sweep_tell_groups(const sweep *s)
{
    int finished = 0, open = 0;

    for (int i = 0; i < s->dicts.n; i++) finished += s->finished[i];
    for (int g = 1; g <= s->n_groups; g++) open += sweep_group_is_open(s, g);
    say(s->a,
        "sweep     %d dictionaries, %d of them finished before; %d group%s to train, each one pass over %lld rows",
        s->dicts.n, finished, open, open == 1 ? "" : "s", (long long)(s->recipes->steps * s->recipes->batch));
    say(s->a, "memory    %.0f MiB may be used%s", (double)s->budget / (1 << 20),
        s->in.model  ? ", beside the model and the rows' buffer"
        : s->in.acts ? ", beside the rows read ahead"
                     : "");
    for (int g = 1; g <= s->n_groups && !args_flag(s->a, "plan"); g++)
        if (sweep_group_is_open(s, g)) tell_group(s, g);
}

sae_status sweep_group_begin(const sweep *s, const sweep_part *p, int group, sae_error *err)
{
    sae_status status = SAE_OK;
    char *folder = sweep_group_folder(s, group, err), *path = folder ? path_join(folder, "group.json", err) : NULL;
    json_t *dicts = json_array(), *about = NULL;

    if (!path || !dicts) SAE_RAISE(err, SAE_NOMEM, "no memory for a group");
    for (int i = 0; i < p->dicts.n; i++) json_add(&dicts, sweep_dict_json(s, p->index[i]));
    about = json_pack("{sOso}", "dictionaries", dicts, "recipe", recipe_json(p->recipe));
    if (!about) SAE_RAISE(err, SAE_NOMEM, "no memory for a group");
    SAE_TRY(folder_make(folder, err));
    SAE_TRY(json_write_file(about, path, true, err));
done:
    json_decref(about);
    json_decref(dicts);
    mem_free(path);
    mem_free(folder);
    return status;
}
