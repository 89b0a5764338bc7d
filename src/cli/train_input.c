/* train_input.c - the rows that a run trains on: live from a model, from a store, from an array or in a given order. */
#include "cli/rows_option.h"
#include "cli/train.h"
#include "io/io.h"
#include "model/model.h"
#include "text/corpus.h"

#include <stdio.h>
#include <string.h>

static sae_status open_live(train_input *in, args *a, const sae_acts_options *acts, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *model = NULL, *const *sites = NULL, *const *texts = NULL;
    sae_text_options text = sae_text_defaults();
    sae_site both[2];
    int n_texts = args_list(a, "text", &texts), n_sites = args_list(a, "site", &sites);

    SAE_TRY(args_require(a, "model", &model, err));
    if (n_sites != 1) SAE_TRY(args_fail(a, err, "a live run needs one --site, for example blocks.14.hook_resid_post"));
    if (n_texts < 1) SAE_TRY(args_fail(a, err, "a live run needs --text FILE (.txt or .jsonl, also .zst or .gz)"));
    SAE_TRY(model_path(model, &in->model_path, err));
    SAE_TRY(sae_model_open(&in->model, in->model_path, NULL, err));
    SAE_TRY(sae_site_parse(&in->site, sites[0], in->model, err));
    sae_site_name(in->site, in->site_name, sizeof in->site_name);
    if (args_text(a, "target-site")) {
        SAE_TRY(sae_site_parse(&in->target_site, args_text(a, "target-site"), in->model, err));
        sae_site_name(in->target_site, in->target_name, sizeof in->target_name);
    }
    SAE_TRY(sae_tokenizer_open(&in->tok, in->model_path, err));
    text.ctx = args_int(a, "ctx", 256);
    text.separator = (int32_t)args_int(a, "separator", -1);
    text.split = SAE_SPLIT_TRAIN;
    text.repeat = true;
    SAE_TRY(sae_text_open(&in->text, in->tok, texts, n_texts, &text, err));
    for (int i = 0; i < n_texts; i++)
        if (strcmp(texts[i], "-") == 0) in->of_pipe = i + 1;
    both[0] = in->site;
    both[1] = in->target_site;
    SAE_TRY(sae_acts_open_live(&in->acts, in->model, in->text, both, args_text(a, "target-site") ? 2 : 1, acts, err));
done:
    return status;
}

/* Which model and site a store's rows come from: for the dictionary's own record. */
static sae_status store_origin(train_input *in, const char *store, bool targets, sae_error *err)
{
    char *site = targets ? in->target_name : in->site_name;
    sae_status status = store_about(store, "site", site, sizeof in->site_name, err);

    return status == SAE_OK ? store_about(store, "model", in->model_name, sizeof in->model_name, err) : status;
}

/* A store has its site: --site can only say the same, by whichever of its names. */
static sae_status check_store_site(const train_input *in, args *a, const char *store, sae_error *err)
{
    const char *const *sites = NULL;
    int n = args_list(a, "site", &sites);
    char asked[128], held[128];

    site_full_name(in->site_name, held, sizeof held);
    for (int i = 0; i < n; i++) {
        site_full_name(sites[i], asked, sizeof asked);
        if (n == 1 && strcmp(asked, held) == 0) break;
        return args_fail(a, err, "--site %s%s, but the rows of %s are of %s%s: leave --site away", sites[i],
                         n > 1 ? ", ..." : "", store, *held ? held : "a site that it does not name",
                         n > 1 ? " alone" : "");
    }
    return SAE_OK;
}

sae_status train_input_open(train_input *in, args *a, uint64_t seed, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *store = args_text(a, "store"), *array = args_text(a, "array"), *order = args_text(a, "order");
    const char *stores[2] = {store, args_text(a, "target-store")}, *arrays[2] = {array, args_text(a, "target-array")};
    sae_acts_options o = {.buffer_rows = args_int(a, "buffer", 0),
                          .max_norm = args_real(a, "max-norm", 10.0),
                          .seed = seed,
                          .repeat = true,
                          .progress = &in->progress,
                          .plan_only = args_flag(a, "plan")};

    in->seed = seed;
    SAE_TRY(train_batch(a, &o.read_ahead, err));
    if (o.read_ahead > INT32_MAX) SAE_TRY(args_fail(a, err, "--batch must be from 1 to %d", INT32_MAX));
    if ((store != NULL) + (array != NULL) + args_given(a, "model") != 1)
        SAE_TRY(args_fail(a, err, "rows come from one of --model (with --site and --text), --store or --array"));
    SAE_TRY(train_check_row_effects(a, err));
    if (o.max_norm == 0)
        SAE_TRY(
            args_fail(a, err, "--max-norm 0 would leave no row: give at least 1, or a negative number to keep all"));
    if (order && !array) SAE_TRY(args_fail(a, err, "--order goes with --array"));
    if ((stores[1] && !store) || (arrays[1] && !array) || (args_text(a, "target-site") && !args_given(a, "model")))
        SAE_TRY(args_fail(a, err,
                          "targets come from where the rows come from: --target-site goes with --model, "
                          "--target-store with --store, --target-array with --array"));
    if (order) {
        SAE_TRY(row_order_open(&in->order, array, arrays[1], order, err));
        in->d_target = in->order.d_target;
        in->d_in = in->order.d - in->d_target;
        goto done;
    }
    if (store) {
        SAE_TRY(sae_acts_open_store(&in->acts, stores, stores[1] ? 2 : 1, &o, err));
        SAE_TRY(store_origin(in, store, false, err));
        if (stores[1]) SAE_TRY(store_origin(in, stores[1], true, err));
        SAE_TRY(check_store_site(in, a, store, err));
    } else if (array) {
        SAE_TRY(sae_acts_open_arrays(&in->acts, arrays, arrays[1] ? 2 : 1, &o, err));
    } else
        SAE_TRY(open_live(in, a, &o, err));
    sae_acts_info info = sae_acts_get_info(in->acts);
    in->d_in = info.parts[0].d;
    in->d_target = info.n_parts > 1 ? info.parts[1].d : 0;
    say(a, "rows      %s", info.describe);
done:
    return status;
}

bool train_text_is_piped(args *a)
{
    const char *const *texts = NULL;
    int n = args_list(a, "text", &texts);

    for (int i = 0; i < n; i++)
        if (strcmp(texts[i], "-") == 0) return true;
    return false;
}

void train_tell_pipe(const train_input *in, args *a, int64_t to_train, int64_t to_measure)
{
    int64_t buffer = args_int(a, "buffer", 0);
    char measured[64] = "";

    if (!in->text || !train_text_is_piped(a)) return;
    if (to_measure > 0) snprintf(measured, sizeof measured, "%lld to measure on, ", (long long)to_measure);
    say(a,
        "pipe      it can be read once, so the text must give %lld rows: %lld to train on, %sup to %lld in the buffer",
        (long long)(to_train + to_measure + buffer), (long long)to_train, measured, (long long)buffer);
}

void train_advise_file(const train_input *in, args *a, const char *extra)
{
    if (in->text && text_is_used_up(in->text))
        args_advise_file(
            a,
            "The same text in a file, given in place of -, goes on from there; it is compared as far as it "
            "was read, and where it ends it begins again, so that a longer one with the same beginning is "
            "better:",
            extra);
}

void train_input_close(train_input *in)
{
    row_order_close(&in->order);
    sae_acts_free(in->acts);
    sae_text_free(in->text);
    sae_tokenizer_free(in->tok);
    sae_model_free(in->model);
    mem_free(in->model_path);
    *in = (train_input){0};
}

/* What makes a model's rows beside its weights: how text becomes tokens, and its configuration. A GGUF file has all in one. */
static sae_status model_files_json(const train_input *in, json_t **out, sae_error *err)
{
    static const char *const names[] = {"config.json", "tokenizer.json", "tokenizer_config.json", "vocab.json",
                                        "merges.txt"};
    sae_status status = SAE_OK;
    json_t *files = json_object();
    char *path = NULL, text[HASH_TEXT];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        mem_free(path);
        path = path_join(in->model_path, names[i], err);
        if (!path) SAE_TRY(SAE_NOMEM);
        if (!file_exists(path)) continue;
        SAE_TRY(file_hash_text(path, NULL, text, err));
        json_put(&files, names[i], json_string(text));
    }
    *out = files;
    files = NULL;
done:
    json_decref(files);
    mem_free(path);
    return status;
}

sae_status train_input_json(const train_input *in, args *a, json_t **out, sae_error *err)
{
    static const char *const names[] = {"store", "target-store", "array", "target-array", "order"};
    sae_status status = SAE_OK;
    json_t *data =
        json_pack("{ss sI sI sI sf sI}", "site", in->site_name, "seed", (json_int_t)(in->seed & INT64_MAX), "ctx",
                  (json_int_t)args_int(a, "ctx", 256), "separator", (json_int_t)args_int(a, "separator", -1),
                  "max_norm", args_real(a, "max-norm", 10.0), "buffer", (json_int_t)args_int(a, "buffer", 0));
    const char *const *texts = NULL;
    int n_texts = args_list(a, "text", &texts);
    char *path = NULL, text[24], whole[600];
    uint64_t hash;
    progress_line line = {0};
    sae_progress progress = progress_begin(&line, a); /* an array is all the rows: many GB */

    if (!data) SAE_RAISE(err, SAE_NOMEM, "no memory for run.json");
    for (int i = 0; i < 5; i++) {
        const char *name = args_text(a, names[i]);
        if (!name) continue;
        mem_free(path);
        path = i < 2 ? path_join(name, "meta.json", err) : mem_strdup(name, err);
        if (!path) SAE_TRY(SAE_NOMEM);
        const char *part = "";
        if (i > 1 && !file_exists(path) && strrchr(path, ':')) { /* X.safetensors:name */
            part = strrchr(name, ':');
            *strrchr(path, ':') = '\0';
        }
        SAE_TRY(file_hash_told(path, &progress, &hash, err));
        snprintf(whole, sizeof whole, "%016llx%s", (unsigned long long)hash, part);
        json_put(&data, names[i], json_text(whole));
    }
    if (in->d_target > 0) json_put(&data, "target_site", json_string(in->target_name));
    if (in->model) {
        snprintf(text, sizeof text, "%016llx", (unsigned long long)sae_model_hash(in->model));
        json_put(&data, "model", json_string(text));
        json_t *files = NULL;
        SAE_TRY(model_files_json(in, &files, err));
        json_put(&data, "model_files", files);
    }
    for (int i = 0; i < n_texts; i++) {
        hash = 0; /* what came through a pipe has none: it is compared by what was read of it */
        if (i + 1 != in->of_pipe && strcmp(texts[i], "-") != 0)
            SAE_TRY(file_hash_told(texts[i], &progress, &hash, err));
        snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
        char key[32];
        snprintf(key, sizeof key, "text %d", i);
        json_put(&data, key, json_string(text));
    }
    if (!data) SAE_RAISE(err, SAE_NOMEM, "no memory for run.json");
    *out = data;
    data = NULL;
done:
    progress_end(&line);
    json_decref(data);
    mem_free(path);
    return status;
}
