/* store_verify.c - every byte of a store against its checksums, every row decoded. */
#include "acts/store.h"

#include <stdio.h>
#include <string.h>

/* The folders of the stores that a folder holds, sorted; it may be a store itself. */
static sae_status list_stores(const char *path, char ***names, int *n, sae_error *err)
{
    sae_status status = SAE_OK;
    char **found = NULL;
    int n_found = 0, kept = 0;

    SAE_TRY(folder_list(path, &found, &n_found, err));
    for (int i = 0; i < n_found; i++) {
        char *folder = path_join(path, found[i], err), *meta = folder ? path_join(folder, STORE_META_NAME, err) : NULL;
        bool is_store = meta && file_exists(meta);
        if (!meta) status = SAE_NOMEM;
        mem_free(meta);
        if (is_store) {
            mem_free(found[kept]);
            found[kept++] = folder;
            if (kept - 1 != i) found[i] = NULL;
        } else {
            mem_free(folder);
        }
        SAE_TRY(status);
    }
    for (int i = kept; i < n_found; i++) mem_free(found[i]);
    *names = found;
    *n = kept;
    found = NULL;
done:
    folder_list_free(found, n_found);
    return status;
}

static sae_status read_all(const char *const *paths, int n_paths, int64_t *n_rows, const sae_progress *progress,
                           sae_error *err)
{
    enum { BATCH = 1024 };
    sae_status status = SAE_OK;
    sae_acts_options in_order = {.in_order = true};
    sae_acts *acts = NULL;
    float *rows = NULL;
    int32_t tokens[BATCH];
    int64_t got = BATCH, done = 0;

    SAE_TRY(sae_acts_open_store(&acts, paths, n_paths, &in_order, err));
    sae_acts_info info = sae_acts_get_info(acts);
    rows = mem_alloc_array(BATCH, (size_t)info.d * sizeof *rows, "rows of a store", err);
    if (!rows) SAE_TRY(SAE_NOMEM);
    while (got == BATCH) {
        SAE_TRY(sae_acts_next(acts, BATCH, rows, tokens, NULL, &got, err));
        done += got;
        if (progress && progress->report && progress->report(progress->user, "rows", (double)done, (double)info.n_rows))
            SAE_RAISE(err, SAE_CANCELLED, "stopped on request");
    }
    *n_rows = done;
done:
    mem_free(rows);
    sae_acts_free(acts);
    return status;
}

sae_status sae_store_verify(const char *path, int64_t *n_rows, const sae_progress *progress, sae_error *err)
{
    enum { AT_ONCE = 64 };
    sae_status status = SAE_OK;
    char *meta = path_join(path, STORE_META_NAME, err), **stores = NULL;
    int n = 0;

    if (!meta) return SAE_NOMEM;
    if (!file_exists(meta) && file_is_folder(path)) SAE_TRY(list_stores(path, &stores, &n, err));
    if (n == 0) SAE_TRY(read_all(&path, 1, n_rows, progress, err));
    for (int i = 0; i < n; i += AT_ONCE) /* side by side: their tokens are compared too */
        SAE_TRY(read_all((const char *const *)stores + i, n - i < AT_ONCE ? n - i : AT_ONCE, n_rows, progress, err));
done:
    folder_list_free(stores, n);
    mem_free(meta);
    return status;
}
