/* labelled_input.c - opens a model, its dictionaries and labelled sets; shows results. */
#include "cli/labelled_input.h"
#include "eval/core.h"
#include "lab/topics_sets.h"
#include "report/report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void labelled_input_close(labelled_input *in)
{
    dict_set_close(&in->dicts);
    labelled_paths_free(in->paths, in->n_sets);
    sae_tokenizer_free(in->tok);
    sae_model_free(in->model);
    *in = (labelled_input){0};
}

static sae_status open_model(labelled_input *in, args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *name = args_text(a, "model"), *own = in->dicts.n ? sae_dict_get_config(in->dicts.at[0])->model : "";
    char *path = NULL;

    if (!name && *own) name = own;
    if (!name) SAE_TRY(args_require(a, "model", &name, err));
    SAE_TRY(model_path(name, &path, err));
    SAE_TRY(sae_model_open(&in->model, path, NULL, err));
    for (int i = 0; i < in->dicts.n; i++) {
        status = core_check_width(in->dicts.at[i], in->model, err);
        if (status != SAE_OK) sae_error_prefix(err, "%s", in->dicts.paths[i]);
        SAE_TRY(status);
    }
    SAE_TRY(sae_tokenizer_open(&in->tok, path, err));
done:
    mem_free(path);
    return status;
}

static sae_status find_site(labelled_input *in, args *a, sae_error *err)
{
    const char *const *sites = NULL;
    const char *name = in->dicts.n ? sae_dict_get_config(in->dicts.at[0])->site : "";
    int n = args_given(a, "site") ? args_list(a, "site", &sites) : 0;

    if (n > 1) return args_fail(a, err, "--site: one site is read, %d are given", n);
    for (int i = 1; n == 0 && i < in->dicts.n; i++)
        if (strcmp(sae_dict_get_config(in->dicts.at[i])->site, name) != 0)
            return args_fail(a, err, "--site is needed: %s was trained on other rows than %s", in->dicts.paths[i],
                             in->dicts.paths[0]);
    if (n == 1) name = sites[0];
    if (!*name) return args_fail(a, err, "--site is needed: no dictionary says where its rows came from");
    return sae_site_parse(&in->site, name, in->model, err);
}

static sae_status add_paths(labelled_input *in, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    char **more = NULL, **all;
    int n = 0;

    if (!file_exists(path)) return SAE_FAIL(err, SAE_IO, "%s: no such file or folder", path);
    SAE_TRY(labelled_paths(path, &more, &n, err));
    all = mem_grow(in->paths, (size_t)in->n_sets * sizeof *all, (size_t)(in->n_sets + n) * sizeof *all,
                   "paths of labelled documents", err);
    if (!all) SAE_TRY(SAE_NOMEM);
    in->paths = all;
    memcpy(all + in->n_sets, more, (size_t)n * sizeof *all);
    in->n_sets += n;
    mem_free(more);
    return SAE_OK;
done:
    labelled_paths_free(more, n);
    return status;
}

static sae_status read_options(labelled_input *in, args *a, const char *data, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *const *paths = &data;
    int n = args_list(a, "data", &paths);

    if (n == 0 && !data)
        return args_fail(a, err, "--data is needed: labelled documents, .jsonl or .csv with a text and a label");
    for (int i = 0; i < (n ? n : 1); i++) SAE_TRY(add_paths(in, n ? paths[i] : data, err));
    for (int i = 0; i < in->n_sets; i++)
        for (int j = 0; j < i; j++)
            if (strcmp(in->paths[i], in->paths[j]) == 0)
                return args_fail(a, err, "--data: %s is given twice, and would count twice", in->paths[i]);
    in->labels = (labelled_options){args_text(a, "text-name"), args_text(a, "label-name"), args_text(a, "more-name")};
    in->seed = (uint64_t)args_int(a, "seed", 0);
    in->split = (split_options){.n_train = args_int(a, "n-train", 0), .n_test = args_int(a, "n-test", 0)};
    in->split.seed = in->seed;
    in->pooled = (pooled_options){.ctx = args_int(a, "ctx", 128)};
    SAE_TRY(args_max_norm(a, args_flag(a, "with-bos"), &in->pooled.max_norm, err));
    in->pooled.with_bos = args_flag(a, "with-bos");
    in->pooled.last = args_flag(a, "last-token");
    if (in->split.n_train < 2 || in->split.n_test < 2)
        return args_fail(a, err, "--n-train and --n-test: at least two documents of a class");
    if (!args_given(a, "ctx") && in->pooled.ctx > sae_model_get_info(in->model)->n_ctx) in->pooled.ctx = 0;
done:
    return status;
}

sae_status labelled_input_open(labelled_input *out, args *a, const char *const *dicts, int n_dicts, const char *data,
                               sae_error *err)
{
    sae_status status = SAE_OK;
    labelled_input in = {0};

    SAE_TRY(dict_set_open(&in.dicts, dicts, n_dicts, err));
    SAE_TRY(open_model(&in, a, err));
    SAE_TRY(find_site(&in, a, err));
    SAE_TRY(read_options(&in, a, data, err));
    *out = in;
    in = (labelled_input){0};
done:
    labelled_input_close(&in);
    return status;
}

sae_status labelled_input_binary(labelled_input *in, int *passed_over, sae_error *err)
{
    int kept = 0, all = in->n_sets;

    for (int i = 0; i < all; i++) {
        labelled l = {0};
        sae_error why = {0};
        sae_status status = labelled_read(&l, in->paths[i], &in->labels, &why);
        bool two = status == SAE_OK && l.n_classes == 2;
        labelled_free(&l);
        if (status != SAE_OK && status != SAE_RANGE) return SAE_FAIL(err, status, "%s", why.message);
        if (two) {
            char *path = in->paths[i];
            in->paths[i] = in->paths[kept];
            in->paths[kept++] = path;
        }
    }
    *passed_over = all - kept;
    if (kept == 0) return SAE_FAIL(err, SAE_RANGE, "--binary: none of %d sets has exactly two classes", all);
    for (int i = kept; i < all; i++) mem_free(in->paths[i]);
    in->n_sets = kept;
    return SAE_OK;
}

sae_status labelled_input_five(labelled_input *in, args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    bool found = false;

    if (!args_flag(a, "five-subjects")) return SAE_OK;
    for (int i = 0; i < in->n_sets && !found; i++) {
        labelled l = {0};
        status = labelled_read(&l, in->paths[i], &in->labels, err);
        found = status == SAE_OK && topics_are_mmlu(&l);
        labelled_free(&l);
        SAE_TRY(status);
    }
    if (!found)
        SAE_RAISE(err, SAE_RANGE, "--five-subjects: none of %d sets has MMLU's subjects for labels", in->n_sets);
    in->five_subjects = true;
done:
    return status;
}

/* ---- A set --------------------------------------------------------------------------------------------------------------- */

void labelled_set_close(labelled_set *s)
{
    pooled_free(&s->pooled);
    split_free(&s->split);
    labelled_free(&s->docs);
}

sae_status labelled_set_open(labelled_set *out, const labelled_input *in, int which, const sae_progress *progress,
                             sae_error *err)
{
    sae_status status = SAE_OK;
    labelled_set s = {0};
    split_options how = in->split;
    int64_t n_docs = 0, *docs = NULL;

    SAE_TRY(labelled_read(&s.docs, in->paths[which], &in->labels, err));
    if (in->five_subjects) topics_five_subjects(&s.docs, &how);
    SAE_TRY(split_create(&s.split, &s.docs, &how, err));
    SAE_TRY(split_documents(&(const split *){&s.split}, 1, &docs, &n_docs, err));
    SAE_TRY(pooled_create(&s.pooled, in->model, in->tok, in->site, &s.docs, docs, n_docs,
                          (const sae_dict *const *)in->dicts.at, in->dicts.n, &in->pooled, progress, err));
    *out = s;
    s = (labelled_set){0};
done:
    mem_free(docs);
    labelled_set_close(&s);
    return status;
}

/* ---- Results ------------------------------------------------------------------------------------------------------------- */

sae_status labelled_input_describe(sae_result *result, const labelled_input *in, sae_error *err)
{
    sae_status status = SAE_OK;
    char site[64];

    sae_site_name(in->site, site, sizeof site);
    SAE_TRY(sae_result_setting(result, "site", (sae_cell){site, NAN}, err));
    SAE_TRY(sae_result_setting(result, "ctx", (sae_cell){NULL, in->pooled.ctx ? (double)in->pooled.ctx : 128}, err));
    SAE_TRY(sae_result_setting(result, "pooling", (sae_cell){in->pooled.last ? "last token" : "mean over tokens", NAN},
                               err));
    SAE_TRY(sae_result_setting(result, "seed", (sae_cell){NULL, (double)in->seed}, err));
    SAE_TRY(sae_result_input(result, "model", sae_model_hash(in->model), err));
done:
    return status;
}

sae_status labelled_set_describe(sae_result *result, const labelled_set *s, sae_error *err)
{
    sae_status status = SAE_OK;
    char text[600];
    const pooled *p = &s->pooled;

    SAE_TRY(sae_result_input(result, s->docs.path, s->docs.hash, err));
    snprintf(
        text, sizeof text,
        "%s: %lld documents of %d classes, %lld of each to train on and %lld to test on; %lld tokens counted, %lld "
        "left out for a norm over the limit (median norm %.4g), %lld documents without a counted token (they "
        "stand as 0), %lld empty ones passed over.",
        s->docs.path, (long long)s->docs.n, s->split.n_classes, (long long)s->split.train.per_class,
        (long long)s->split.test.per_class, (long long)p->n_tokens, (long long)p->n_over_norm, p->median_norm,
        (long long)p->n_empty, (long long)s->docs.n_empty);
    SAE_TRY(sae_result_note(result, text, err));
done:
    return status;
}
