/* cmd_bench_model.c - `sae bench model`: speed of the forward pass as a share of its own products' speed. */
#include "cli/cli.h"
#include "kernels/matmul.h"
#include "model/bench.h"

#include <stdio.h>

static sae_status print_result(const args *a, const sae_model_info *info, const char *site, const model_bench *b,
                               sae_error *err)
{
    const char *isa = cpu_isa_name(cpu_isa_get());

    if (args_flag(a, "json")) {
        json_t *o = json_pack("{s:o, s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:s, s:s}", "model", json_text(info->name),
                              "site", site, "sequences", (json_int_t)b->n_seq, "ctx", (json_int_t)b->n_ctx, "pass_ms",
                              json_number_or_null(b->pass_seconds * 1e3), "tokens_per_s",
                              json_number_or_null(b->tokens_per_s), "gflops", json_number_or_null(b->pass_gflops),
                              "product_gflops", json_number_or_null(b->product_gflops), "share",
                              json_number_or_null(b->share), "isa", isa, "library", matmul_library());
        sae_status status = print_json(o, err);
        json_decref(o);
        return status;
    }
    printf("pass           %.1f ms for %lld x %lld tokens through %d layers of %s: %.0f tokens/s\n",
           b->pass_seconds * 1e3, (long long)b->n_seq, (long long)b->n_ctx, b->n_layers, info->name, b->tokens_per_s);
    printf("products       %.1f GFLOP/s over the whole pass, attention not counted\n", b->pass_gflops);
    printf("alone          %.1f GFLOP/s by the fastest of the same products (%s)\n", b->product_gflops,
           matmul_library());
    printf("share          %.1f %%, median of passes measured beside their products\n", b->share * 100);
    return SAE_OK;
}

static sae_status run(args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_model *model = NULL;
    char *path = NULL, name[64];
    const char *const *operands, *const *sites;
    model_bench bench = {0};
    sae_site site;

    args_operands(a, &operands);
    int n_sites = args_list(a, "site", &sites);
    if (n_sites > 1) SAE_TRY(args_fail(a, err, "--site: one site, where the pass ends"));
    if (args_int(a, "tries", 7) < 1 || args_int(a, "tries", 7) > 1000) SAE_TRY(args_fail(a, err, "--tries: 1 to 1000"));
    SAE_TRY(model_path(operands[0], &path, err));
    SAE_TRY(sae_model_open(&model, path, &(sae_model_options){.expand = args_flag(a, "by-layer") ? 2 : 0}, err));
    const sae_model_info *info = sae_model_get_info(model);
    site = (sae_site){(int)(info->n_layer < 15 ? info->n_layer - 1 : 14), SAE_RESID_POST};
    if (n_sites) SAE_TRY(sae_site_parse(&site, sites[0], model, err));
    SAE_TRY(model_bench_run(&bench, model, site, args_int(a, "sequences", 8), args_int(a, "ctx", 256),
                            (int)args_int(a, "tries", 7), err));
    sae_site_name(site, name, sizeof name);
    SAE_TRY(print_result(a, info, name, &bench, err));
done:
    sae_model_free(model);
    mem_free(path);
    return status;
}

static const option_row options[] = {
    {"site", OPTION_LIST, "SITE", "where the pass ends (default: the end of block 14, or of the last)", NULL},
    {"sequences", OPTION_COUNT, "N", "sequences in a batch", "8"},
    OPTION_CTX_ROW("256"),
    {"tries", OPTION_COUNT, "N", "passes; medians are printed", "7"},
    {"by-layer", OPTION_FLAG, NULL, "expand weights a layer at a time, as with little memory", NULL},
    OPTION_JSON_ROW,
    OPTION_END_ROW,
};

const command command_bench_model = {
    .name = "bench model",
    .arguments = "MODEL",
    .summary = "speed of the forward pass as a share of its products' speed",
    .details = "Each pass is timed beside the four products of a layer (QKV, O, gate and up, down) on as many rows;\n"
               "the share compares their floating-point rates, so a busy machine matters little.",
    .examples = "sae bench model smollm2\n",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .run = run,
};
