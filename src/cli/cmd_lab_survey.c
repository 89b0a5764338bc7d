/* cmd_lab_survey.c - `sae lab survey`: where dense latents are, over sites, widths, k and rows seen. */
#include "cli/cli.h"
#include "lab/survey.h"
#include "report/report.h"

#include <stdio.h>

static const option_row options[] = {
    OPTION_MODEL_ROW,
    OPTION_TEXT_ROW(NULL),
    OPTION_SITE_ROW(NULL),
    OPTION_OUT_ROW("FOLDER"),
    {"width", OPTION_LIST, "N[,N]", "latents in a dictionary (default: 8 x d_model)", NULL},
    {"k", OPTION_LIST, "N[,N]", "latents kept per row, on average over a batch", "32"},
    {"stages", OPTION_COUNT, "N", "measured at --rows, half of them, a quarter, ...: so many times", "3"},
    OPTION_TOKENS_ROW("262144"),
    {"rows", OPTION_COUNT, "N", "training rows per dictionary: several epochs over the tokens", "1048576"},
    OPTION_BATCH_ROW("2048"),
    OPTION_SEED_ROW("0"),
    {"held-out-tokens", OPTION_COUNT, "N", "held-out tokens for densities and fits", "20480"},
    OPTION_CTX_ROW("256"),
    OPTION_SEPARATOR_ROW,
    OPTION_MAX_NORM_ROW,
    OPTION_JSON_ROW,
    OPTION_END_ROW,
};

/* The whole numbers of a list. */
static sae_status read_list(args *a, const char *name, int64_t *values, int *n, sae_error *err)
{
    const char *const *items;

    *n = args_list(a, name, &items);
    if (*n > SURVEY_SIZES) return args_fail(a, err, "--%s: at most %d values", name, (int)SURVEY_SIZES);
    for (int i = 0; i < *n; i++)
        if (!count_parse(items[i], &values[i]) || values[i] < 1)
            return args_fail(a, err, "--%s: '%s' is not a number of at least 1", name, items[i]);
    return SAE_OK;
}

static sae_status read_options(args *a, survey_options *o, char **path, sae_error *err)
{
    static const char *const positive[] = {"stages", "tokens", "rows", "batch", "ctx", "held-out-tokens", NULL};
    sae_status status = SAE_OK;
    const char *name;

    SAE_TRY(args_require(a, "model", &name, err));
    SAE_TRY(args_require(a, "out", &o->out, err));
    o->n_texts = args_list(a, "text", &o->texts);
    o->n_sites = args_list(a, "site", &o->sites);
    if (o->n_texts == 0)
        SAE_TRY(args_fail(a, err, "--text is needed: .txt or .jsonl files, of which a part is held out"));
    if (o->n_sites == 0) SAE_TRY(args_fail(a, err, "--site is needed: resid_post.7,resid_post.14"));
    for (int i = 0; positive[i]; i++)
        if (args_int(a, positive[i], 1) < 1) SAE_TRY(args_fail(a, err, "--%s must be at least 1", positive[i]));
    if (args_int(a, "stages", 1) > SURVEY_STAGES)
        SAE_TRY(args_fail(a, err, "--stages: at most %d", (int)SURVEY_STAGES));
    SAE_TRY(read_list(a, "width", o->widths, &o->n_widths, err));
    SAE_TRY(read_list(a, "k", o->ks, &o->n_ks, err));
    o->stages = (int)args_int(a, "stages", 0);
    o->tokens = args_int(a, "tokens", 0);
    o->rows = args_int(a, "rows", 0);
    o->batch = args_int(a, "batch", 0);
    o->seed = (uint64_t)args_int(a, "seed", 0);
    o->held_out_tokens = args_int(a, "held-out-tokens", 0);
    o->ctx = args_int(a, "ctx", 0);
    SAE_TRY(args_max_norm(a, false, &o->max_norm, err));
    o->separator = args_given(a, "separator") ? (int32_t)args_int(a, "separator", -1) : -1;
    SAE_TRY(model_path(name, path, err));
    o->model = *path;
    o->model_name = name;
done:
    return status;
}

static sae_status run(args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    survey_options o = {0};
    char *path = NULL;
    sae_result *result = NULL;
    progress_line line = {0};
    sae_progress progress = progress_begin(&line, a);

    SAE_TRY(read_options(a, &o, &path, err));
    o.notice = (lab_notice){progress_warn, &line};
    SAE_TRY(args_checked(a, survey_run(&result, &o, &progress, err)));
    progress_end(&line);
    if (args_flag(a, "json")) {
        SAE_TRY(print_json(result_json(result), err));
        goto done;
    }
    SAE_TRY(report_print(stdout, result, err));
    printf("\nWith its curves: %s/report.html\n", o.out);
done:
    progress_end(&line);
    sae_result_free(result);
    mem_free(path);
    return status;
}

const command command_lab_survey = {
    .name = "lab survey",
    .arguments = "",
    .summary = "count dense latents of plain dictionaries over sites, widths, k and rows seen",
    .details =
        "Rows of all sites come from one pass of the model and are kept in OUT/acts. At each site all\n"
        "dictionaries are trained on one stream and measured on held-out text while they train. The setting with\n"
        "most to absorb is named; no scaffold is trained, so it is chosen blind to what one does. Stopped, the\n"
        "same command goes on behind the last finished site. With other sites, widths or k it makes what OUT lacks\n"
        "of them; the report is of what is asked for, and what else OUT has is kept.",
    .examples = "sae lab survey --model smollm2 --site resid_post.7,resid_post.14,resid_post.21 --text books.jsonl.zst "
                "--k 16,32,64 --out runs/survey\n",
    .min_operands = 0,
    .max_operands = 0,
    .options = options,
    .run = run,
};
