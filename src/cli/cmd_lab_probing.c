/* cmd_lab_probing.c - `sae lab probing`: how well a few latents of a dictionary tell classes of documents apart. */
#include "cli/labelled_input.h"
#include "cli/result_output.h"
#include "eval/probing.h"

#include <string.h>

static const option_row options[] = {
    LABELLED_INPUT_ROWS("2000", "500"),
    FIVE_SUBJECTS_ROW,
    {"k", OPTION_LIST, "N[,N...]", "columns of a probe, ascending", "1,2,5"},
    {"binary", OPTION_FLAG, NULL, "only sets of two classes; others are passed over and counted", NULL},
    OPTION_OUT_ROW("FILE"),
    OPTION_FORCE_ROW,
    OPTION_JSON_ROW,
    OPTION_END_ROW,
};

static sae_status read_k(args *a, probing_options *o, sae_error *err)
{
    const char *const *items;
    int n = args_list(a, "k", &items);

    if (n < 1 || n > PROBING_MOST_K) return args_fail(a, err, "--k: 1 to %d numbers", PROBING_MOST_K);
    for (int i = 0; i < n; i++) {
        int64_t k;
        if (!count_parse(items[i], &k) || k < 1 || k > 1024 || (i > 0 && k <= o->k[i - 1]))
            return args_fail(a, err, "--k %s: whole numbers from 1 to 1024, each larger than the one before", items[i]);
        o->k[i] = (int)k;
    }
    o->n_k = n;
    return SAE_OK;
}

/* With --binary: the sets of two classes; the result tells how many were passed over. */
static sae_status choose_sets(args *a, labelled_input *in, sae_result *result, sae_error *err)
{
    sae_status status = SAE_OK;
    int passed_over = 0;

    if (!args_flag(a, "binary")) return SAE_OK;
    SAE_TRY(labelled_input_binary(in, &passed_over, err));
    say(a, "%d sets of two classes, %d others passed over", in->n_sets, passed_over);
    SAE_TRY(sae_result_setting(result, "sets passed over", (sae_cell){NULL, passed_over}, err));
done:
    return status;
}

/* Reads, measures and describes each set; the means of one are freed before the next. */
static sae_status measure_sets(probing *sets, const labelled_input *in, const probing_options *o, sae_result *result,
                               const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    labelled_set set = {0};

    for (int i = 0; i < in->n_sets; i++) {
        SAE_TRY(labelled_set_open(&set, in, i, progress, err));
        SAE_TRY(probing_measure(&sets[i], &set.pooled, &set.split, o, progress, err));
        SAE_TRY(labelled_set_describe(result, &set, err));
        labelled_set_close(&set);
    }
done:
    labelled_set_close(&set);
    return status;
}

static sae_status run(args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *const *operands;
    labelled_input in = {0};
    probing *sets = NULL;
    sae_result *result = NULL;
    probing_options o = {0};
    progress_line line = {0};
    sae_progress progress = progress_begin(&line, a);
    int n_dicts = args_operands(a, &operands), n_sets = 0;

    SAE_TRY(out_check(a, err));
    SAE_TRY(read_k(a, &o, err));
    SAE_TRY(labelled_input_open(&in, a, operands, n_dicts, NULL, err));
    SAE_TRY(labelled_input_five(&in, a, err));
    o.seed = in.seed;
    SAE_TRY(sae_result_create(&result, "sparse probing", err));
    SAE_TRY(labelled_input_describe(result, &in, err));
    SAE_TRY(choose_sets(a, &in, result, err));
    sets = mem_alloc_array((size_t)in.n_sets, sizeof *sets, "results of sets", err);
    if (!sets) SAE_TRY(SAE_NOMEM);
    n_sets = in.n_sets;
    SAE_TRY(measure_sets(sets, &in, &o, result, &progress, err));
    progress_end(&line);
    SAE_TRY(probing_report(result, sets, (const char *const *)in.paths, in.n_sets, (const char *const *)in.dicts.names,
                           &o, err));
    SAE_TRY(result_show(a, result, err));
done:
    progress_end(&line);
    for (int i = 0; i < n_sets; i++) probing_free(&sets[i]);
    mem_free(sets);
    sae_result_free(result);
    labelled_input_close(&in);
    return status;
}

const command command_lab_probing = {
    .name = "lab probing",
    .arguments = "DICT...",
    .summary = "sparse probing: classes of documents from a few latents",
    .details =
        "Each class of each labelled set against equally many documents of the others: k latents are chosen by\n"
        "the difference of their means, and a logistic regression on them is fitted to its optimum, on training\n"
        "documents alone; accuracy is on test documents, with its interval. Beside the latents: the same with\n"
        "the scaffold's codes to choose from, random latents, shuffled labels (chance), the best k neurons and\n"
        "principal components, and all of the residual stream. A folder of files is as many sets. What\n"
        "`sae scaffold` found is found again with its dictionaries, sets and seed, --five-subjects, --n-train 800\n"
        "and --n-test 200.",
    .examples = "sae lab probing runs/demo/dictionaries/batchtopk-baseline-s0 runs/demo/dictionaries/batchtopk-p1-s0 "
                "--model smollm2 --data data/labelled\n"
                "sae lab probing my_sae --data data/sae-probes --binary --n-train 500 --n-test 200\n",
    .min_operands = 1,
    .max_operands = -1,
    .options = options,
    .kept_as = "",
    .run = run,
};
