/*
 * sweep_foreign.c - what lies in a sweep's folder that no sweep put there and that would be lost, or in the way when all is trained. It
 * is looked for before anything is cleared or trained.
 *
 * Beside the dictionaries and in NAME/ anything may lie: only what a sweep replaces or removes as a whole is looked into.
 */
#include "cli/sweep.h"
#include "io/io.h"

#include <string.h>

static bool is_group_number(const char *name) { return *name && name[strspn(name, "0123456789")] == '\0'; }

static bool is_of_a_group(const char *name)
{
    static const char *const names[] = {"group.json", "log.jsonl", "time.jsonl", "checkpoints"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0 || is_leftover(name, names[i])) return true;
    return false;
}

/* OUT/groups, which --force removes. */
static sae_status check_groups(const char *folder, sae_error *err)
{
    sae_status status = SAE_OK;
    char **numbers = NULL, *groups = path_join(folder, "groups", err), *one = NULL;
    int n = 0;

    if (!groups) SAE_TRY(SAE_NOMEM);
    SAE_TRY(train_folder_check_contents(groups, is_group_number, err));
    if (file_exists(groups)) SAE_TRY(folder_list(groups, &numbers, &n, err));
    for (int i = 0; i < n; i++) {
        mem_free(one);
        one = path_join(groups, numbers[i], err);
        if (!one) SAE_TRY(SAE_NOMEM);
        SAE_TRY(train_folder_check_contents(one, is_of_a_group, err));
        SAE_TRY(train_folder_check_checkpoints(one, err));
    }
done:
    folder_list_free(numbers, n);
    mem_free(one);
    mem_free(groups);
    return status;
}

/* A file of OUT that is written at the end. */
static sae_status check_file(const char *folder, const char *name, sae_error *err)
{
    char *path = path_join(folder, name, err);
    sae_status status = path ? SAE_OK : SAE_NOMEM;

    if (path && file_is_folder(path))
        status = SAE_FAIL(err, SAE_EXISTS,
                          "%s is a folder, where a sweep writes a file: move it elsewhere, or use another --out", path);
    mem_free(path);
    return status;
}

sae_status sweep_check_foreign(const sweep *s, bool force, sae_error *err)
{
    sae_status status = SAE_OK;
    char *folder = NULL;

    if (force) SAE_TRY(check_groups(s->folder, err));
    SAE_TRY(check_file(s->folder, "results.json", err));
    SAE_TRY(check_file(s->folder, "report.html", err));
    for (int i = 0; i < s->n_asked; i++) {
        if (s->finished[i] && !force) continue;
        mem_free(folder);
        folder = path_join(s->folder, s->dicts.names[i], err);
        if (!folder) SAE_TRY(SAE_NOMEM);
        SAE_TRY(train_folder_check_export(folder, err));
        SAE_TRY(check_file(folder, "result.json", err));
    }
done:
    mem_free(folder);
    return status;
}
