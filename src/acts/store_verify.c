/* store_verify.c - every byte of a store against its checksums, every row decoded. */
#include "acts/store.h"

#include <stdio.h>
#include <string.h>

static bool is_store(const char *folder)
{
    char *meta = path_join(folder, STORE_META_NAME, NULL);
    bool found = meta && file_exists(meta);

    mem_free(meta);
    return found;
}

/* Names become paths; what is no store is taken out of the list. */
static sae_status keep_stores(const char *path, char **names, int n, int *kept, sae_error *err)
{
    *kept = 0;
    for (int i = 0; i < n; i++) {
        char *folder = path_join(path, names[i], err);
        if (!folder) return SAE_NOMEM;
        mem_free(names[i]);
        names[i] = NULL;
        if (is_store(folder))
            names[(*kept)++] = folder;
        else
            mem_free(folder);
    }
    return SAE_OK;
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
    char **stores = NULL;
    int n_names = 0, n = 0;

    if (!is_store(path) && file_is_folder(path)) {
        SAE_TRY(folder_list(path, &stores, &n_names, err));
        SAE_TRY(keep_stores(path, stores, n_names, &n, err));
    }
    if (n == 0) SAE_TRY(read_all(&path, 1, n_rows, progress, err));
    for (int i = 0; i < n; i += AT_ONCE) /* side by side: their tokens are compared too */
        SAE_TRY(read_all((const char *const *)stores + i, n - i < AT_ONCE ? n - i : AT_ONCE, n_rows, progress, err));
done:
    folder_list_free(stores, n_names);
    return status;
}
