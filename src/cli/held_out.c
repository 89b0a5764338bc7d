/* held_out.c - opens a dictionary with its model and the text that it is looked at on. */
#include "cli/held_out.h"
#include "eval/core.h"

#include <string.h>

void held_out_close(held_out *h)
{
    sae_text_free(h->text);
    sae_tokenizer_free(h->tok);
    sae_model_free(h->model);
    sae_dict_free(h->dict);
    mem_free(h->model_path);
    *h = (held_out){0};
}

static sae_status open_model(held_out *h, args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    const sae_dict_config *config = sae_dict_get_config(h->dict);
    const char *name = args_text(a, "model") ? args_text(a, "model") : config->model;
    char *path = NULL;

    if (!*name) SAE_TRY(args_require(a, "model", &name, err));
    SAE_TRY(model_path(name, &path, err));
    SAE_TRY(sae_model_open(&h->model, path, NULL, err));
    SAE_TRY(core_check_width(h->dict, h->model, err));
    h->model_path = path;
    path = NULL;
done:
    mem_free(path);
    return status;
}

static sae_status find_site(held_out *h, args *a, sae_error *err)
{
    const char *const *sites = NULL;
    const char *name = sae_dict_get_config(h->dict)->site;
    int n = args_given(a, "site") ? args_list(a, "site", &sites) : 0;

    if (n > 1) return args_fail(a, err, "--site: a dictionary reads one site, %d are given", n);
    if (n == 1) name = sites[0];
    if (!*name) return args_fail(a, err, "--site is needed: the dictionary does not say where its rows came from");
    return sae_site_parse(&h->site, name, h->model, err);
}

static sae_status open_text(held_out *h, args *a, sae_error *err)
{
    static const char *const splits[] = {"held-out", "all", NULL};
    sae_text_options how = sae_text_defaults();
    const char *const *paths;
    int split = 0, n = args_list(a, "text", &paths);
    sae_status status = args_choice(a, "split", splits, &split, err);

    if (status != SAE_OK) return status;
    if (n == 0) return args_fail(a, err, "--text is needed: a .txt or .jsonl file to measure on");
    how.ctx = args_int(a, "ctx", 256);
    if (args_given(a, "separator")) how.separator = (int32_t)args_int(a, "separator", -1);
    how.split = split == 0 ? SAE_SPLIT_HELD_OUT : SAE_SPLIT_ALL;
    h->options.tokens = args_int(a, "tokens", 0);
    status = args_max_norm(a, false, &h->options.max_norm, err);
    if (status != SAE_OK) return status;
    return sae_text_open(&h->text, h->tok, paths, n, &how, err);
}

sae_status held_out_open_site(held_out *out, args *a, const char *dict_path, sae_error *err)
{
    sae_status status = SAE_OK;
    held_out h = {0};

    SAE_TRY(sae_dict_load(&h.dict, dict_path, err));
    SAE_TRY(open_model(&h, a, err));
    SAE_TRY(find_site(&h, a, err));
    *out = h;
    h = (held_out){0};
done:
    held_out_close(&h);
    return status;
}

sae_status held_out_open(held_out *out, args *a, const char *dict_path, sae_error *err)
{
    sae_status status = SAE_OK;
    held_out h = {0};

    SAE_TRY(held_out_open_site(&h, a, dict_path, err));
    SAE_TRY(sae_tokenizer_open(&h.tok, h.model_path, err));
    SAE_TRY(open_text(&h, a, err));
    *out = h;
    h = (held_out){0};
done:
    held_out_close(&h);
    return status;
}
