/* rows_option.c - opens the rows of --store or --array. */
#include "cli/rows_option.h"
#include "acts/store.h"
#include "io/io.h"

#include <stdio.h>
#include <string.h>

sae_status rows_option_open(sae_acts **out, args *a, int64_t d, const char *reader, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *store = args_text(a, "store"), *array = args_text(a, "array");
    const sae_acts_options how = {.in_order = true, .max_norm = -1};
    sae_acts *acts = NULL;

    if (store && array) SAE_TRY(args_fail(a, err, "--store and --array: rows come from one of them"));
    if (store) SAE_TRY(sae_acts_open_store(&acts, &store, 1, &how, err));
    if (array) SAE_TRY(sae_acts_open_array(&acts, array, &how, err));
    if (acts && sae_acts_get_info(acts).d != d)
        SAE_RAISE(err, SAE_SHAPE, "%s holds rows of width %lld, %s reads rows of width %lld: give rows of its site",
                  store ? store : array, (long long)sae_acts_get_info(acts).d, reader, (long long)d);
    *out = acts;
    acts = NULL;
done:
    sae_acts_free(acts);
    return status;
}

sae_status store_about(const char *store, const char *key, char *out, size_t room, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *text = "";
    json_t *meta = NULL;
    char *path = path_join(store, STORE_META_NAME, err);

    if (!path) SAE_TRY(SAE_NOMEM);
    SAE_TRY(json_read_file(&meta, path, err));
    SAE_TRY(json_get_string(json_object_get(meta, "about"), key, "", &text, path, err));
    snprintf(out, room, "%s", text);
done:
    json_decref(meta);
    mem_free(path);
    return status;
}

sae_status rows_option_check_site(const char *store, const sae_dict *dict, const char *path, sae_error *err)
{
    const char *trained = sae_dict_get_config(dict)->site;
    char site[128];
    sae_status status = store_about(store, "site", site, sizeof site, err);

    if (status == SAE_OK && *trained && *site && strcmp(trained, site) != 0)
        return SAE_FAIL(err, SAE_STATE, "%s holds rows of %s, %s was trained on rows of %s: give rows of its site",
                        store, site, path, trained);
    return status;
}
