/* cmd_lab_dense.c - `sae lab dense`: how many latents are dense, and what they are. */
#include "cli/lab_input.h"
#include "cli/result_output.h"
#include "lab/dense.h"

static const option_row options[] = {
    LAB_INPUT_ROWS("20480"),
    {"threshold", OPTION_REAL, "X", "a latent is dense when it fires on more than this share of tokens", "0.1"},
    OPTION_SEED_ROW("0"),
    OPTION_OUT_ROW("FILE"),
    OPTION_FORCE_ROW,
    OPTION_JSON_ROW,
    OPTION_END_ROW,
};

static sae_status run(args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    dense_options o = {.threshold = args_real(a, "threshold", 0.1), .seed = (uint64_t)args_int(a, "seed", 0)};
    lab_input in = {0};
    sae_result *result = NULL;
    progress_line line = {0};
    sae_progress progress = progress_begin(&line, a);

    if (!(o.threshold > 0 && o.threshold < 1)) SAE_TRY(args_fail(a, err, "--threshold must lie between 0 and 1"));
    SAE_TRY(out_check(a, err));
    SAE_TRY(lab_input_open(&in, a, true, &progress, err));
    SAE_TRY(dense_run(&result, &in.sample, in.h.dict, in.h.tok, &o, &progress, err));
    progress_end(&line);
    SAE_TRY(result_show(a, result, err));
done:
    progress_end(&line);
    sae_result_free(result);
    lab_input_close(&in);
    return status;
}

const command command_lab_dense = {
    .name = "lab dense",
    .arguments = "",
    .summary = "count dense latents and sort them into classes",
    .details =
        "Latents that fire on more than 5, 10, 20 and 30 % of tokens, and for each over --threshold: whether another\n"
        "latent reads and writes the opposite (antipodality), and its class by the tests of \"Dense SAE Latents Are\n"
        "Features, Not Bugs\": position, first principal component, null space of the unembedding, alphabet,\n"
        "meaningful word. As many random latents that are not dense are tested beside them.",
    .examples =
        "sae lab dense --dict runs/demo/dictionaries/batchtopk-baseline-s0 --model smollm2 --text books.jsonl.zst\n"
        "sae lab dense --dict my_sae --model gpt2/ --ids tokens.npy --threshold 0.2 --json\n",
    .min_operands = 0,
    .max_operands = 0,
    .options = options,
    .kept_as = "",
    .run = run,
};
