/*
 * arms.c - trains the dictionaries of a run: the same rows in the same order for all of them, as many in one trainer as fit into the
 * memory. A baseline and its partner begin with equal weights.
 *
 * What is in training stands in OUT/training/NAME, called after its first member: the log, checkpoints, and group.json with its
 * members, so that a run that was stopped goes on with the same ones whatever memory is free then.
 */
#include "lab/scaffold.h"
#include "lab/store_training.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *const arm_names[ARMS] = {"baseline", "scaffold"};

enum { TOGETHER_MAX = 32 };

typedef struct group {
    roster_entry *members[TOGETHER_MAX]; /* borrowed */
    sae_dict_config configs[TOGETHER_MAX];
    const char *names[TOGETHER_MAX];
    int n;
    char *folder; /* owned */
} group;

static void group_free(group *g) { mem_free(g->folder); }

static void group_add(group *g, roster_entry *r)
{
    g->members[g->n] = r;
    g->configs[g->n] = r->config;
    g->names[g->n++] = r->name;
}

static json_t *group_identity(const experiment *e, const group *g)
{
    json_t *members = json_object();

    for (int i = 0; i < g->n; i++) json_put(&members, g->names[i], roster_identity(e, g->members[i]));
    return members;
}

/* ---- Who is trained together --------------------------------------------------------------------------------------------- */

static roster_entry *entry_named(experiment *e, const char *name)
{
    for (int i = 0; i < e->roster.n; i++)
        if (strcmp(e->roster.entries[i].name, name) == 0) return &e->roster.entries[i];
    return NULL;
}

/* The members of a group that was begun, when they are all of this run as it is now; else none. */
static sae_status begun(experiment *e, group *g, const char *record, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_error ignored = {0};
    json_t *theirs = NULL, *ours = NULL, *value;
    const char *key;

    if (!file_exists(record) || json_read_file(&theirs, record, &ignored) != SAE_OK || !json_is_object(theirs))
        goto done;
    json_object_foreach(theirs, key, value)
    {
        roster_entry *r = entry_named(e, key);
        if (!r || g->n == TOGETHER_MAX) {
            g->n = 0;
            goto done;
        }
        group_add(g, r);
    }
    ours = group_identity(e, g);
    if (!ours) SAE_RAISE(err, SAE_NOMEM, "no memory for a group of dictionaries");
    if (!json_equal(ours, theirs)) g->n = 0;
done:
    json_decref(ours);
    json_decref(theirs);
    return status;
}

/* The first and those after it that are not trained, while they fit. */
static void gather(experiment *e, group *g, int first, roster_use last_use)
{
    size_t most = e->options.memory ? e->options.memory : memory_available() / 2;

    for (int i = first; i < e->roster.n && g->n < TOGETHER_MAX; i++) {
        roster_entry *r = &e->roster.entries[i];
        if (r->trained || r->use > last_use) continue;
        group_add(g, r);
        if (g->n > 1 && most > 0 && sae_trainer_plan(g->configs, g->n, &e->recipe).total > most) {
            g->n--;
            break;
        }
    }
}

static sae_status group_begin(experiment *e, group *g, int first, roster_use last_use, sae_error *err)
{
    sae_status status = SAE_OK;
    char name[96], *record = NULL, *old = NULL;
    json_t *about = NULL;

    snprintf(name, sizeof name, "training/%s", e->roster.entries[first].name);
    g->folder = experiment_path(e, name, err);
    record = g->folder ? path_join(g->folder, "group.json", err) : NULL;
    if (!record) SAE_TRY(SAE_NOMEM);
    SAE_TRY(begun(e, g, record, err));
    if (g->n > 0) goto done;
    gather(e, g, first, last_use);
    for (int i = 0; i < g->n; i++) { /* what they were trained in before tells nothing of them any more */
        snprintf(name, sizeof name, "training/%s", g->names[i]);
        mem_free(old);
        old = experiment_path(e, name, err);
        if (!old) SAE_TRY(SAE_NOMEM);
        SAE_TRY(folder_remove(old, err));
    }
    SAE_TRY(folder_make(g->folder, err));
    about = group_identity(e, g);
    if (!about) SAE_RAISE(err, SAE_NOMEM, "no memory for a group of dictionaries");
    SAE_TRY(json_write_file(about, record, true, err));
done:
    json_decref(about);
    mem_free(record);
    mem_free(old);
    return status;
}

/* ---- Training ------------------------------------------------------------------------------------------------------------- */

/* Saved, then read back wherever it is used: what is measured is what stands on disk. The first member, by whose name a stopped group is
 * found again, comes last. */
static sae_status export_all(experiment *e, const group *g, sae_trainer *trainer, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_dict *trained = NULL;

    for (int i = g->n; i-- > 0;) {
        SAE_TRY(sae_trainer_export(trainer, i, &trained, err));
        SAE_TRY(roster_save(e, g->members[i], trained, err));
        sae_dict_free(trained);
        trained = NULL;
    }
done:
    sae_dict_free(trained);
    return status;
}

static sae_status train(experiment *e, const group *g, const subspace *less, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_trainer *trainer = NULL;
    char *store = experiment_path(e, "acts", err);
    const store_training what = {.store = store,
                                 .order = e->options.seed,
                                 .configs = g->configs,
                                 .names = g->names,
                                 .n = g->n,
                                 .recipe = &e->recipe,
                                 .folder = g->folder,
                                 .less = less};

    if (!store) return SAE_NOMEM;
    SAE_TRY(store_train(&trainer, &what, e->progress, err));
    SAE_TRY(export_all(e, g, trainer, err));
    SAE_TRY(store_training_done(&what, err));
done:
    sae_trainer_free(trainer);
    mem_free(store);
    return status;
}

sae_status arms_train(experiment *e, roster_use first_use, roster_use last_use, const subspace *less, sae_error *err)
{
    sae_status status = SAE_OK;
    group g = {0};

    for (int i = 0; i < e->roster.n; i++) {
        const roster_entry *r = &e->roster.entries[i];
        if (r->trained || r->use < first_use || r->use > last_use) continue;
        g = (group){0};
        SAE_TRY(group_begin(e, &g, i, last_use, err));
        SAE_TRY(train(e, &g, less, err));
        group_free(&g);
        g = (group){0};
    }
done:
    group_free(&g);
    return status;
}
