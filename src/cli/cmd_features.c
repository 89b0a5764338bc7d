/* cmd_features.c - `sae features`: what latents do: their strongest contexts, how often and how strongly they fire, the
 * tokens that they promote. */
#include "cli/held_out.h"
#include "eval/core.h"
#include "eval/features.h"
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

static sae_status parse_ids(args *a, feature_target **targets, int *n, sae_error *err)
{
    const char *const *items;

    *n = args_list(a, "id", &items);
    if (*n == 0) return args_fail(a, err, "--id is needed: which latents to show, such as --id 12,3071");
    *targets = mem_alloc_array((size_t)*n, sizeof **targets, "latents to show", err);
    if (!*targets) return SAE_NOMEM;
    for (int i = 0; i < *n; i++) {
        char *end;
        errno = 0;
        (*targets)[i].latent = strtoll(items[i], &end, 10);
        if (errno || *end || end == items[i] || (*targets)[i].latent < 0)
            return args_fail(a, err, "--id %s: a latent is a number from 0", items[i]);
    }
    return SAE_OK;
}

static sae_status add_latent(sae_result *result, held_out *h, int64_t latent, const feature *f, sae_error *err)
{
    sae_status status = SAE_OK;
    char id[32], title[48], facts[160];

    snprintf(id, sizeof id, "%lld", (long long)latent);
    snprintf(title, sizeof title, "latent %lld", (long long)latent);
    feature_facts(f, facts, sizeof facts);
    card c = {"Latents", id, title, facts, sae_dict_weights(h->dict).W_dec + latent * h->rows.d};
    SAE_TRY(card_add(result, &c, f, h->model, h->tok, err));
    SAE_TRY(feature_histogram(result, title, f, err));
done:
    return status;
}

static sae_status show(args *a, held_out *h, const feature_target *targets, int n, const sae_progress *progress,
                       sae_result *result, sae_error *err)
{
    sae_status status = SAE_OK;
    feature *features = mem_alloc_array((size_t)n, sizeof *features, "features", err);
    int64_t contexts = args_int(a, "contexts", 8);

    if (!features) return SAE_NOMEM;
    SAE_TRY(features_scan(features, &h->rows, h->dict, targets, n,
                          contexts < CONTEXTS_MAX ? (int)contexts : (int)CONTEXTS_MAX, progress, err));
    SAE_TRY(core_describe(result, &h->rows, err));
    for (int i = 0; i < n; i++) SAE_TRY(add_latent(result, h, targets[i].latent, &features[i], err));
done:
    mem_free(features);
    return status;
}

static sae_status run(args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *const *operands;
    feature_target *targets = NULL;
    int n = 0;
    held_out h = {0};
    sae_result *result = NULL;
    progress_line line = {0};
    sae_progress progress = progress_begin(&line, a);

    args_operands(a, &operands);
    SAE_TRY(parse_ids(a, &targets, &n, err));
    SAE_TRY(held_out_open(&h, a, operands[0], &progress, err));
    SAE_TRY(sae_result_create(&result, "features", err));
    SAE_TRY(show(a, &h, targets, n, &progress, result, err));
    progress_end(&line);
    if (args_flag(a, "json"))
        print_json(result_json(result));
    else
        SAE_TRY(report_print(stdout, result, err));
done:
    progress_end(&line);
    sae_result_free(result);
    held_out_close(&h);
    mem_free(targets);
    return status;
}

const command command_features = {
    .name = "features",
    .arguments = "DICT",
    .summary = "what latents do: contexts, densities, promoted tokens",
    .details = "For each latent: how often and how strongly it fires on held-out text, the contexts where it is\n"
               "strongest (each from another sequence), and the tokens whose logits its decoder row raises and\n"
               "lowers most (the row times the unembedding: the logit lens).",
    .examples = "sae features runs/demo/baseline/sae --id 12,3071 --model smollm2 --text books.jsonl.zst\n",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .run = run,
};
