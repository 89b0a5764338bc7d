/* cmd_lab_tpp.c - `sae lab tpp`: does ablating the latents of one class hurt the probe of that class alone? */
#include "cli/labelled_input.h"
#include "cli/result_output.h"
#include "eval/tpp.h"

static const option_row options[] = {
    LABELLED_INPUT_ROWS("2000", "500"),
    FIVE_SUBJECTS_ROW,
    {"n", OPTION_LIST, "N[,N...]", "latents ablated, ascending", "2,5,10,20,50,100,500"},
    OPTION_OUT_ROW("FILE"),
    OPTION_FORCE_ROW,
    OPTION_JSON_ROW,
    OPTION_END_ROW,
};

static sae_status read_n(args *a, tpp_options *o, sae_error *err)
{
    const char *const *items;
    int n = args_list(a, "n", &items);

    if (n < 1 || n > TPP_MOST_N) return args_fail(a, err, "--n: 1 to %d numbers", TPP_MOST_N);
    for (int i = 0; i < n; i++)
        if (!count_parse(items[i], &o->n[i]) || o->n[i] < 1 || (i > 0 && o->n[i] <= o->n[i - 1]))
            return args_fail(a, err, "--n %s: whole numbers from 1, each larger than the one before", items[i]);
    o->n_n = n;
    return SAE_OK;
}

/* scores [n_dicts, n_sets]: the means of a set are made once, for all dictionaries. */
static sae_status measure_sets(tpp *scores, const labelled_input *in, const tpp_options *o, sae_result *result,
                               const sae_progress *progress, sae_error *err)
{
    sae_status status = SAE_OK;
    labelled_set set = {0};

    for (int i = 0; i < in->n_sets; i++) {
        SAE_TRY(labelled_set_open(&set, in, i, progress, err));
        SAE_TRY(tpp_measure(&scores[i], in->n_sets, &set.pooled, in->dicts.at, &set.split, o, progress, err));
        SAE_TRY(labelled_set_describe(result, &set, err));
        labelled_set_close(&set);
    }
done:
    if (status != SAE_OK && set.docs.path) sae_error_prefix(err, "%s", set.docs.path);
    labelled_set_close(&set);
    return status;
}

static sae_status run(args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *const *operands;
    labelled_input in = {0};
    tpp *scores = NULL;
    sae_result *result = NULL;
    tpp_options o = {0};
    progress_line line = {0};
    sae_progress progress = progress_begin(&line, a);
    int n_dicts = args_operands(a, &operands);

    SAE_TRY(out_check(a, err));
    SAE_TRY(read_n(a, &o, err));
    SAE_TRY(labelled_input_open(&in, a, operands, n_dicts, NULL, err));
    SAE_TRY(labelled_input_five(&in, a, err));
    o.seed = in.seed;
    scores = mem_alloc_array((size_t)in.n_sets * (size_t)in.dicts.n, sizeof *scores, "results of sets", err);
    if (!scores) SAE_TRY(SAE_NOMEM);
    SAE_TRY(sae_result_create(&result, "targeted probe perturbation", err));
    SAE_TRY(labelled_input_describe(result, &in, err));
    SAE_TRY(measure_sets(scores, &in, &o, result, &progress, err));
    progress_end(&line);
    SAE_TRY(tpp_report(result, scores, (const char *const *)in.paths, in.n_sets, (const char *const *)in.dicts.names,
                       NULL, in.dicts.n, &o, err));
    SAE_TRY(result_show(a, result, err));
done:
    progress_end(&line);
    for (int i = 0; scores && i < in.n_sets * in.dicts.n; i++) tpp_free(&scores[i]);
    mem_free(scores);
    sae_result_free(result);
    labelled_input_close(&in);
    return status;
}

const command command_lab_tpp = {
    .name = "lab tpp",
    .arguments = "DICT...",
    .summary = "targeted probe perturbation: ablate one class's latents, see which probes fall",
    .details =
        "For each class of a labelled set (three or more) a fixed probe on the mean rows of documents. The n\n"
        "latents with the largest effect on the class are ablated: TPP is the fall of its own probe's accuracy\n"
        "less the mean fall of the others', at each n and in the mean over all of them. Beside it, random latents\n"
        "of equal density, probes and effects of shuffled labels, and the scaffold's codes to ablate too, which\n"
        "tells whether classes are told there. Intervals are over test documents.\n"
        "What `sae scaffold` found is found again with its dictionaries, sets and seed, --five-subjects,\n"
        "--n-train 800 and --n-test 200.",
    .examples = "sae lab tpp runs/demo/dictionaries/batchtopk-baseline-s0 runs/demo/dictionaries/batchtopk-p1-s0 "
                "--model smollm2 --data "
                "data/labelled/europarl.jsonl.zst\n"
                "sae lab tpp my_sae --model smollm2 --data data/mmlu --label-name category --n 2,10,50\n",
    .min_operands = 1,
    .max_operands = -1,
    .options = options,
    .kept_as = "",
    .run = run,
};
