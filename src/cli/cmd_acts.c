/* cmd_acts.c - `sae acts`: the activation rows of a site, computed once and kept in a store. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const dtypes[] = /* by sae_store_dtype */
    {"bf16", "f16", "f32", "int8", NULL};
static const char *const splits[] = {"all", "train", "held-out", NULL};

/* What a run needs, opened. */
typedef struct job {
    char *model_path;
    sae_tokenizer *tok;
    sae_model *model;
    sae_text *text;
    sae_acts *acts;
    sae_site site;
    char site_name[64];
    sae_text_options text_options;
    int dtype, split;
} job;

static void job_free(job *j)
{
    sae_acts_free(j->acts);
    sae_text_free(j->text);
    sae_model_free(j->model);
    sae_tokenizer_free(j->tok);
    mem_free(j->model_path);
}

static sae_status open_text(job *j, args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *const *paths;
    int n = args_list(a, "text", &paths);

    if (n == 0) SAE_TRY(args_fail(a, err, "no text: give at least one --text FILE"));
    SAE_TRY(args_choice(a, "split", splits, &j->split, err));
    j->text_options = sae_text_defaults();
    j->text_options.ctx = args_int(a, "ctx", 0);
    j->text_options.separator = (int32_t)args_int(a, "separator", -1);
    j->text_options.split = (sae_split)j->split;
    SAE_TRY(sae_tokenizer_open(&j->tok, j->model_path, err));
    if (j->text_options.separator < 0) j->text_options.separator = sae_tokenizer_get_info(j->tok).separator;
    SAE_TRY(sae_text_open(&j->text, j->tok, paths, n, &j->text_options, err));
done:
    return status;
}

static sae_status open_all(job *j, args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *const *operands, *const *sites;
    int n_sites = args_list(a, "site", &sites);

    if (n_sites != 1) SAE_TRY(args_fail(a, err, "a store holds the rows of one site: give one --site"));
    SAE_TRY(args_choice(a, "dtype", dtypes, &j->dtype, err));
    args_operands(a, &operands);
    SAE_TRY(model_path(operands[0], &j->model_path, err));
    SAE_TRY(open_text(j, a, err));
    SAE_TRY(sae_model_open(&j->model, j->model_path, NULL, err));
    SAE_TRY(sae_site_parse(&j->site, sites[0], j->model, err));
    sae_site_name(j->site, j->site_name, sizeof j->site_name);
    sae_acts_options options = {.in_order = true, .max_norm = args_real(a, "max-norm", 0)};
    SAE_TRY(sae_acts_open_live(&j->acts, j->model, j->text, &j->site, 1, &options, err));
done:
    return status;
}

/* What the rows were computed from, for whoever finds the store later. */
static char *about_text(const job *j, const args *a)
{
    const char *const *paths;
    int n = args_list(a, "text", &paths);
    char hash[32];
    json_t *about = json_object(), *list = json_array();

    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)sae_model_hash(j->model));
    for (int i = 0; i < n; i++) json_array_append_new(list, json_string(paths[i]));
    json_object_set_new(about, "model", json_string(j->model_path));
    json_object_set_new(about, "model_xxh3", json_string(hash));
    json_object_set_new(about, "site", json_string(j->site_name));
    json_object_set_new(about, "text", list);
    json_object_set_new(about, "split", json_string(splits[j->split]));
    json_object_set_new(about, "ctx", json_integer(sae_text_ctx(j->text)));
    json_object_set_new(about, "separator", json_integer(j->text_options.separator));
    json_object_set_new(about, "max_norm", json_real(args_real(a, "max-norm", 0)));
    json_object_set_new(about, "command", args_json(a));
    json_object_set_new(about, "sae_version", json_string(sae_version()));
    char *text = json_dumps(about, 0);
    json_decref(about);
    return text;
}

static void print_result(const args *a, const job *j, const char *out, int64_t n_rows)
{
    sae_acts_info info = sae_acts_get_info(j->acts);
    static const double element[] = {2, 2, 4, 1};
    double bytes = (double)n_rows * ((double)info.d * element[j->dtype] + (j->dtype == SAE_STORE_INT8 ? 12 : 8));

    if (args_flag(a, "json")) {
        json_t *result = json_pack("{s:s, s:s, s:I, s:I, s:s, s:I, s:f}", "store", out, "site", j->site_name, "rows",
                                   (json_int_t)n_rows, "d", (json_int_t)info.d, "dtype", dtypes[j->dtype], "dropped",
                                   (json_int_t)info.dropped, "median_norm", info.median_norm);
        print_json(result);
        json_decref(result);
        return;
    }
    printf("%s: %lld rows of %s, width %lld, %s, %.1f MB\n", out, (long long)n_rows, j->site_name, (long long)info.d,
           dtypes[j->dtype], bytes / 1e6);
    if (info.median_norm > 0)
        printf("dropped %lld rows over %g times the median norm %.4g\n", (long long)info.dropped,
               args_real(a, "max-norm", 0), info.median_norm);
}

static sae_status count_rows(const char *out, int64_t *n_rows, sae_error *err)
{
    sae_acts *stored = NULL;
    sae_status status = sae_acts_open_store(&stored, &out, 1, NULL, err);

    if (status == SAE_OK) *n_rows = sae_acts_get_info(stored).n_rows;
    sae_acts_free(stored);
    return status;
}

static sae_status run(args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    job j = {0};
    progress_line line = {0};
    const char *out = NULL;
    char *about = NULL;
    int64_t wanted = args_int(a, "tokens", -1), n_rows = 0;

    SAE_TRY(args_require(a, "out", &out, err));
    if (wanted == 0) SAE_TRY(args_fail(a, err, "--tokens is 0: a store holds at least one row"));
    SAE_TRY(open_all(&j, a, err));
    say(a, "%s", sae_acts_get_info(j.acts).describe);
    about = about_text(&j, a);
    sae_store_options options = {.dtype = (sae_store_dtype)j.dtype,
                                 .shard_rows = args_int(a, "shard-rows", 0),
                                 .force = args_flag(a, "force"),
                                 .about = about};
    sae_progress progress = progress_begin(&line, a);
    status = sae_store_write(out, j.acts, wanted, &options, &progress, err);
    progress_end(&line);
    if (status != SAE_OK) goto done;
    SAE_TRY(count_rows(out, &n_rows, err));
    if (n_rows < wanted) warn("the text ended after %lld of %lld rows", (long long)n_rows, (long long)wanted);
    print_result(a, &j, out, n_rows);
done:
    free(about);
    job_free(&j);
    return status;
}

static const option_row options[] = {
    OPTION_SITE_ROW(NULL),
    OPTION_TEXT_ROW(NULL),
    OPTION_TOKENS_ROW(NULL),
    OPTION_OUT_ROW("FOLDER"),
    {"dtype", OPTION_TEXT, "TYPE", "of the stored rows: bf16, f16, f32, or int8 with a scale per row", "bf16"},
    {"split", OPTION_TEXT, "NAME", "which documents: train, held-out (5 % of them) or all", "train"},
    OPTION_CTX_ROW("256"),
    OPTION_SEPARATOR_ROW,
    OPTION_MAX_NORM_ROW,
    {"shard-rows", OPTION_COUNT, "N", "rows per file (default: 262144, or fewer to stay below 256 MiB)", NULL},
    OPTION_FORCE_ROW,
    OPTION_JSON_ROW,
    OPTION_END_ROW,
};

const command command_acts = {
    .name = "acts",
    .arguments = "MODEL",
    .summary = "compute the activation rows of a site once and keep them in a store",
    .details = "Rows are stored in the order of the text, with token ids and positions; who reads the store shuffles\n"
               "it. Special tokens and the first position of each sequence are left out. Without --tokens the\n"
               "whole text is taken. The store appears when it is complete, or not at all.",
    .examples = "sae acts smollm2 --site blocks.14.hook_resid_post --text books.jsonl.zst --tokens 1M --out store\n"
                "sae acts smollm2 --site resid_post.7 --text notes.txt --dtype f32 --out notes7\n",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .run = run,
};
