/* cmd_scaffold.c - `sae scaffold`: trains a plain dictionary and one with a dense scaffold on the same rows, compares them,
 * writes the run's folder with its report, and says what was found. */
#include "cli/cli.h"
#include "lab/scaffold.h"
#include "report/report.h"

#include <stdio.h>

static const option_row options[] = {
    OPTION_MODEL_ROW,
    OPTION_TEXT_ROW(NULL),
    {"site", OPTION_LIST, "SITE", "where rows are read (default: blocks.L.hook_resid_post at the middle)", NULL},
    OPTION_OUT_ROW("FOLDER"),
    OPTION_TOKENS_ROW("262144"),
    {"rows", OPTION_COUNT, "N", "training rows per arm: several epochs over the tokens", "1048576"},
    OPTION_ARCH_ROW("batchtopk"),
    {"width", OPTION_COUNT, "N", "latents in each dictionary (default: 8 x d_model)", NULL},
    OPTION_K_ROW("32"),
    {"rank", OPTION_COUNT, "R", "rank of the scaffold (default: max(2, d_model / 96), rounded)", NULL},
    OPTION_BATCH_ROW("2048"),
    OPTION_LR_ROW(NULL),
    OPTION_SEED_ROW("0"),
    {"held-out-tokens", OPTION_COUNT, "N", "held-out tokens for densities and fits", "20480"},
    {"ce-tokens", OPTION_COUNT, "N", "held-out tokens for each loss", "8192"},
    {"draws", OPTION_COUNT, "N", "random subspaces to compare with", "3"},
    {"topics", OPTION_TEXT, "PATH",
     "labelled documents whose topics are told after the removal, as data/mmlu (default: left out)", NULL},
    {"questions", OPTION_COUNT, "N", "of these documents", "1000"},
    {"cards", OPTION_COUNT, "N", "densest latents of each arm to show", "10"},
    OPTION_CTX_ROW("256"),
    OPTION_SEPARATOR_ROW,
    OPTION_MAX_NORM_ROW,
    OPTION_FORCE_ROW,
    OPTION_JSON_ROW,
    OPTION_END_ROW,
};

/* A count whose default is written in words in the table: 0 when it was not given. */
static int64_t given_count(const args *a, const char *name) { return args_given(a, name) ? args_int(a, name, 0) : 0; }

static sae_status read_sizes(args *a, scaffold_options *o, sae_error *err)
{
    static const char *const archs[] = {"batchtopk", "matryoshka", NULL};
    static const char *const positive[] = {"width", "k",     "rank",  "batch",     "tokens", "rows",
                                           "ctx",   "draws", "cards", "questions", NULL};
    int arch = 0;
    sae_status status = args_choice(a, "arch", archs, &arch, err);

    if (status != SAE_OK) return status;
    for (int i = 0; positive[i]; i++)
        if (args_given(a, positive[i]) && args_int(a, positive[i], 0) < 1)
            return args_fail(a, err, "--%s must be at least 1", positive[i]);
    o->arch = arch == 0 ? SAE_BATCHTOPK : SAE_MATRYOSHKA;
    o->width = given_count(a, "width");
    o->rank = given_count(a, "rank");
    o->k = args_int(a, "k", 0);
    o->batch = args_int(a, "batch", 0);
    o->lr = args_given(a, "lr") ? args_real(a, "lr", 0) : 0;
    o->seed = (uint64_t)args_int(a, "seed", 0);
    o->tokens = args_int(a, "tokens", 0);
    o->rows = args_int(a, "rows", 0);
    o->held_out_tokens = args_int(a, "held-out-tokens", 0);
    o->ce_tokens = args_int(a, "ce-tokens", 0);
    if (args_int(a, "draws", 0) > 10000 || args_int(a, "cards", 0) > 10000)
        return args_fail(a, err, "--draws and --cards: at most 10000");
    o->draws = (int)args_int(a, "draws", 0);
    o->cards = (int)args_int(a, "cards", 0);
    if (args_given(a, "questions") && !args_given(a, "topics")) return args_fail(a, err, "--questions is for --topics");
    o->topics = args_text(a, "topics");
    o->questions = args_int(a, "questions", 0);
    o->ctx = args_int(a, "ctx", 0);
    o->max_norm = args_real(a, "max-norm", 0);
    o->separator = args_given(a, "separator") ? (int32_t)args_int(a, "separator", -1) : -1;
    o->force = args_flag(a, "force");
    return SAE_OK;
}

static sae_status read_options(args *a, scaffold_options *o, char **path, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *name;
    const char *const *sites;

    SAE_TRY(args_require(a, "model", &name, err));
    SAE_TRY(args_require(a, "out", &o->out, err));
    o->n_texts = args_list(a, "text", &o->texts);
    if (o->n_texts == 0) {
        status = args_fail(a, err, "--text is needed: .txt or .jsonl files, of which a part is held out");
        goto done;
    }
    if (args_given(a, "site")) {
        if (args_list(a, "site", &sites) != 1) {
            status = args_fail(a, err, "--site: the comparison is made at one site");
            goto done;
        }
        o->site = sites[0];
    }
    SAE_TRY(read_sizes(a, o, err));
    SAE_TRY(model_path(name, path, err));
    o->model = *path;
    o->model_name = name;
done:
    return status;
}

static sae_status run(args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    scaffold_options o = {0};
    char *path = NULL;
    sae_result *summary = NULL;
    progress_line line = {0};
    sae_progress progress = progress_begin(&line, a);

    SAE_TRY(read_options(a, &o, &path, err));
    SAE_TRY(scaffold_run(&summary, &o, &progress, err));
    progress_end(&line);
    if (args_flag(a, "json")) {
        SAE_TRY(print_json(result_json(summary), err));
        goto done;
    }
    SAE_TRY(report_print(stdout, summary, err));
    printf("\nThe whole of it: %s/report.html\n", o.out);
done:
    progress_end(&line);
    sae_result_free(summary);
    mem_free(path);
    return status;
}

const command command_scaffold = {
    .name = "scaffold",
    .arguments = "",
    .summary = "train a dictionary with and without a dense scaffold, and compare",
    .details = "Both arms see the same rows in the same order and start from the same weights. Measured on held-out\n"
               "text: dense latents side by side; the loss after removing the scaffold (R1 to R6), the top principal\n"
               "components and random subspaces, uncentred and centred; overlap with the principal components;\n"
               "contexts and promoted tokens of the densest latents and of each direction of the scaffold.\n"
               "Rows of the site are kept in OUT/acts and used again by the next run with the same inputs.",
    .examples = "sae scaffold --model smollm2 --site blocks.14.hook_resid_post --text books.jsonl.zst --out runs/demo\n"
                "sae scaffold --model smollm2 --text books.jsonl.zst --rank 12 --arch matryoshka --out runs/m12\n",
    .min_operands = 0,
    .max_operands = 0,
    .options = options,
    .run = run,
};
