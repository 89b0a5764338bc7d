/* cmd_eval.c - `sae eval`: the core measures of a dictionary on held-out text. */
#include "cli/held_out.h"
#include "cli/result_output.h"

static const option_row options[] = {
    HELD_OUT_ROWS("20480"), {"ce-tokens", OPTION_COUNT, "N", "how many of them each loss is measured on", "8192"},
    OPTION_SEED_ROW("0"),   OPTION_OUT_ROW("FILE"),
    OPTION_FORCE_ROW,       OPTION_JSON_ROW,
    OPTION_END_ROW,
};

static sae_status run(args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *const *operands;
    held_out h = {0};
    sae_result *result = NULL;
    progress_line line = {0};
    sae_progress progress = progress_begin(&line, a);

    args_operands(a, &operands);
    SAE_TRY(out_check(a, err));
    SAE_TRY(held_out_open(&h, a, operands[0], err));
    h.options.ce_tokens = args_int(a, "ce-tokens", 0);
    h.options.seed = (uint64_t)args_int(a, "seed", 0);
    SAE_TRY(sae_eval_core(&result, h.dict, h.model, h.text, h.site, &h.options, &progress, err));
    progress_end(&line);
    SAE_TRY(result_show(a, result, err));
done:
    progress_end(&line);
    sae_result_free(result);
    held_out_close(&h);
    return status;
}

const command command_eval = {
    .name = "eval",
    .arguments = "DICT",
    .summary = "core measures of a dictionary on held-out text",
    .details = "L0, FVU and explained variance, cosine, dead and dense latents, and the model's loss with the\n"
               "reconstruction in place of the site's rows, against the clean model and zero ablation. Position 0,\n"
               "special tokens and rows of over --max-norm times the median norm are neither changed nor scored.\n"
               "DICT is a SAELens folder: cfg.json and sae_weights.safetensors.",
    .examples = "sae eval runs/demo/dictionaries/batchtopk-p1-s0 --model smollm2 --text books.jsonl.zst\n"
                "sae eval my_sae --model gpt2/ --site blocks.8.hook_resid_pre --text t.txt --split all --json\n",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .kept_as = "",
    .run = run,
};
