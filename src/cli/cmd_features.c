/* cmd_features.c - `sae features`: what latents do: their strongest contexts, how often and how strongly they fire, the
 * tokens that they promote. */
#include "cli/held_out.h"
#include "report/report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const option_row options[] = {
    HELD_OUT_ROWS("20480"),
    {"id", OPTION_LIST, "N[,N...]", "latents, counted from 0", NULL},
    {"contexts", OPTION_COUNT, "N", "strongest contexts shown for each, at most 16", "8"},
    OPTION_JSON_ROW,
    OPTION_END_ROW,
};

static sae_status parse_ids(args *a, int64_t **latents, int *n, sae_error *err)
{
    const char *const *items;

    *n = args_list(a, "id", &items);
    if (*n == 0) return args_fail(a, err, "--id is needed: which latents to show, such as --id 12,3071");
    *latents = mem_alloc_array((size_t)*n, sizeof **latents, "latents to show", err);
    if (!*latents) return SAE_NOMEM;
    for (int i = 0; i < *n; i++) {
        char *end;
        errno = 0;
        (*latents)[i] = strtoll(items[i], &end, 10);
        if (errno || *end || end == items[i] || (*latents)[i] < 0)
            return args_fail(a, err, "--id %s: a latent is a number from 0", items[i]);
    }
    return SAE_OK;
}

static sae_status run(args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *const *operands;
    int64_t *latents = NULL;
    int n = 0;
    held_out h = {0};
    sae_result *result = NULL;
    progress_line line = {0};
    sae_progress progress = progress_begin(&line, a);

    args_operands(a, &operands);
    SAE_TRY(parse_ids(a, &latents, &n, err));
    SAE_TRY(held_out_open(&h, a, operands[0], err));
    if (args_int(a, "contexts", 0) > 10000) SAE_TRY(args_fail(a, err, "--contexts: at most 10000"));
    h.options.contexts = (int)args_int(a, "contexts", 0);
    SAE_TRY(sae_eval_features(&result, h.dict, h.model, h.tok, h.text, h.site, latents, n, &h.options, &progress, err));
    progress_end(&line);
    if (args_flag(a, "json"))
        SAE_TRY(print_json(result_json(result), err));
    else
        SAE_TRY(report_print(stdout, result, err));
done:
    progress_end(&line);
    sae_result_free(result);
    held_out_close(&h);
    mem_free(latents);
    return status;
}

const command command_features = {
    .name = "features",
    .arguments = "DICT",
    .summary = "what latents do: contexts, densities, promoted tokens",
    .details = "For each latent: how often and how strongly it fires on held-out text, the contexts where it is\n"
               "strongest (each from another sequence), and the tokens whose logits its decoder row raises and\n"
               "lowers most (the row times the unembedding: the logit lens).",
    .examples = "sae features runs/demo/dictionaries/batchtopk-baseline-s0 --id 12,3071 --model smollm2 --text "
                "books.jsonl.zst\n",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .run = run,
};
