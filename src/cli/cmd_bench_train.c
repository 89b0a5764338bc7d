/* cmd_bench_train.c - `sae bench train`: a training step as a multiple of its encoder product, and the memory it takes. */
#include "cli/train.h"
#include "base/threads.h"
#include "kernels/matmul.h"
#include "sae/bench.h"

#include <stdio.h>

static const option_row options[] = {
    OPTION_STORE_ROW,
    OPTION_ARRAY_ROW,
    {"d-in", OPTION_COUNT, "N", "width of a row, of Gaussian ones", "768"},
    {"width", OPTION_COUNT, "N", "latents in the dictionary (d_sae)", "16384"},
    OPTION_BATCH_ROW("4096"),
    OPTION_K_ROW("64"),
    OPTION_RANK_ROW("0"),
    {"arch", OPTION_TEXT, "NAME",
     "batchtopk, matryoshka, topk, jumprelu, standard or gated; the last three with thresholds or biases that give an "
     "L0 of --k",
     "batchtopk"},
    {"at-start", OPTION_FLAG, NULL, "jumprelu, standard, gated: as they start, with thousands of latents active", NULL},
    {"encoder-dtype", OPTION_TEXT, "TYPE", "of the encoder product: f32, or bf16 (needs AVX-512-BF16)", "f32"},
    {"exact-codes", OPTION_FLAG, NULL, "codes are dot products summed in one fixed order", NULL},
    {"screen", OPTION_FLAG, NULL,
     "find what is kept by an 8-bit product with a proven bound: the bytes of --exact-codes, sooner", NULL},
    {"warm", OPTION_COUNT, "N", "steps trained before measuring, so that the dictionary is no longer random", "3"},
    {"dead", OPTION_REAL, "SHARE", "share of latents that are dead, with AuxK at work", "0"},
    {"grad-clip", OPTION_REAL, "X", "largest norm of a step's gradient; 0: no clipping", "1"},
    {"pairs", OPTION_COUNT, "N", "measurements of step and product in turn", "10"},
    OPTION_JSON_ROW,
    OPTION_END_ROW,
};

/* Rows of the user's instead of Gaussian ones: at most 16 batches, kept in memory. Caller frees *rows with mem_free. */
static sae_status read_rows(args *a, trainer_bench_options *o, float **rows, sae_error *err)
{
    sae_status status = SAE_OK;
    const char *store = args_text(a, "store"), *array = args_text(a, "array");
    sae_acts_options order = {.repeat = true};
    sae_acts *acts = NULL;
    int64_t B = o->recipe.batch, got = 0;

    if (store && array) SAE_TRY(args_fail(a, err, "rows come from one of --store and --array"));
    if (!store && !array) goto done;
    if (args_given(a, "d-in"))
        SAE_TRY(args_fail(a, err, "--d-in is for Gaussian rows; these have a width of their own"));
    if (store)
        SAE_TRY(sae_acts_open_store(&acts, &store, 1, &order, err));
    else
        SAE_TRY(sae_acts_open_array(&acts, array, &order, err));
    sae_acts_info info = sae_acts_get_info(acts);
    o->config.d_in = info.d;
    o->n_batches = info.n_rows / B < 1 ? 1 : info.n_rows / B > 16 ? 16 : info.n_rows / B;
    *rows = mem_alloc_array((size_t)(o->n_batches * B), (size_t)info.d * sizeof(float), "the bench's rows", err);
    if (!*rows) SAE_TRY(SAE_NOMEM);
    SAE_TRY(sae_acts_next(acts, o->n_batches * B, *rows, NULL, NULL, &got, err));
    o->rows = *rows;
done:
    sae_acts_free(acts);
    return status;
}

static sae_status read_options(args *a, trainer_bench_options *o, sae_error *err)
{
    static const char *const names[] = {"batchtopk", "matryoshka", "topk", "jumprelu", "standard", "gated", NULL};
    static const sae_arch archs[] = {SAE_BATCHTOPK, SAE_MATRYOSHKA, SAE_TOPK, SAE_JUMPRELU, SAE_STANDARD, SAE_GATED};
    static const char *const dtypes[] = {"f32", "bf16", NULL};
    sae_status status = SAE_OK;
    int arch = 0, type = 0;

    SAE_TRY(args_choice(a, "arch", names, &arch, err));
    SAE_TRY(args_choice(a, "encoder-dtype", dtypes, &type, err));
    o->config = (sae_dict_config){.arch = archs[arch],
                                  .d_in = args_int(a, "d-in", 0),
                                  .d_sae = args_int(a, "width", 0),
                                  .k = args_int(a, "k", 0),
                                  .rank = args_int(a, "rank", 0),
                                  .l1_coefficient = arch > 2 ? 0.1 : 0.0,
                                  .apply_b_dec_to_input = true};
    if (arch == 1) matryoshka_default_groups(&o->config);
    o->recipe = sae_recipe_saebench(args_int(a, "batch", 0), 1000000);
    o->recipe.encoder_dtype = type ? SAE_ENCODER_BF16 : SAE_ENCODER_F32;
    o->recipe.grad_clip = args_real(a, "grad-clip", 1.0);
    o->recipe.exact_codes = args_flag(a, "exact-codes");
    o->recipe.screen = args_flag(a, "screen");
    o->warm_steps = args_int(a, "warm", 0);
    if (o->warm_steps > 3) { /* a short run's rate, reached soon */
        o->recipe.lr = 1e-3;
        o->recipe.warmup_steps = o->warm_steps / 20;
    }
    o->at_start = args_flag(a, "at-start");
    if (o->at_start && archs[arch] == SAE_JUMPRELU) o->recipe.first_threshold = 0.001;
    o->dead = args_real(a, "dead", 0.0);
    if (args_int(a, "pairs", 10) > 1000) SAE_TRY(args_fail(a, err, "--pairs: at most 1000"));
    o->pairs = (int)args_int(a, "pairs", 10);
    if (o->dead < 0.0 || o->dead > 0.9) SAE_TRY(args_fail(a, err, "--dead must lie between 0 and 0.9"));
done:
    return status;
}

static sae_status check_effects(args *a, const trainer_bench_options *o, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_arch arch = o->config.arch;
    bool penalised = arch == SAE_JUMPRELU || arch == SAE_STANDARD || arch == SAE_GATED;

    SAE_TRY(train_check_option(a, "screen", &o->config, &o->recipe, err));
    SAE_TRY(train_check_option(a, "exact-codes", &o->config, &o->recipe, err));
    if (o->recipe.screen && args_flag(a, "exact-codes"))
        SAE_TRY(train_refuse_option(a, "exact-codes", "codes found by --screen are exact: give one of them", err));
    if (o->at_start && !penalised)
        SAE_TRY(train_refuse_option(
            a, "at-start", "only jumprelu, standard and gated begin with most latents active: give such an --arch",
            err));
    if (o->dead > 0.0 && penalised)
        SAE_TRY(train_refuse_option(
            a, "dead",
            "only batchtopk, matryoshka and topk have an AuxK, which works on dead latents: give such an --arch", err));
done:
    return status;
}

static sae_status run_bench_train(args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    trainer_bench_options o = {0};
    trainer_bench_result r;
    float *rows = NULL;
    const double mib = 1.0 / (1 << 20);

    SAE_TRY(read_options(a, &o, err));
    SAE_TRY(check_effects(a, &o, err));
    size_t before = memory_peak_rss();
    SAE_TRY(read_rows(a, &o, &rows, err));
    SAE_TRY(args_checked(a, trainer_bench(&r, &o, err)));
    size_t planned = before + r.plan.total + r.rows_bytes, peak = memory_peak_rss();
    const char *type = o.recipe.encoder_dtype == SAE_ENCODER_BF16 ? "bf16" : "f32";
    if (args_flag(a, "json")) {
        json_t *json = json_pack(
            "{sI sI sI sI sI sf ss ss ss si sf sf sf sf sf sf sf sf sI sI sI sI sI sI sb sf ss sf}", "d_in",
            (json_int_t)o.config.d_in, "d_sae", (json_int_t)o.config.d_sae, "batch", (json_int_t)o.recipe.batch, "k",
            (json_int_t)o.config.k, "rank", (json_int_t)o.config.rank, "grad_clip", o.recipe.grad_clip, "dtype", type,
            "isa", cpu_isa_name(cpu_isa_get()), "product", r.product, "threads", omp_get_max_threads(), "encoder_ms",
            r.encoder_ms, "step_ms", r.step_ms, "ratio", r.ratio, "ratio_q1", r.ratio_low, "ratio_q3", r.ratio_high,
            "tokens_per_s", r.tokens_per_s, "gflops", r.gflops, "peak_gflops", r.peak_gflops, "dead",
            (json_int_t)r.dead, "weights_bytes", (json_int_t)r.plan.weights, "gradients_bytes",
            (json_int_t)r.plan.gradients, "moments_bytes", (json_int_t)r.plan.moments, "planned_bytes",
            (json_int_t)planned, "peak_bytes", (json_int_t)peak, "screen", (int)o.recipe.screen, "survivors_per_row",
            r.survivors, "arch", args_text(a, "arch"), "l0", r.l0);
        status = print_json(json, err);
        json_decref(json);
        goto done;
    }
    printf("%s, %s, %d threads, %s\n", cpu_name(), cpu_isa_name(cpu_isa_get()), omp_get_max_threads(),
           matmul_library());
    printf("%s, d_in %lld, d_sae %lld, batch %lld, k %lld, L0 %.1f, rank %lld, encoder %s, dead latents %lld\n",
           args_text(a, "arch"), (long long)o.config.d_in, (long long)o.config.d_sae, (long long)o.recipe.batch,
           (long long)o.config.k, r.l0, (long long)o.config.rank, type, (long long)r.dead);
    printf("encoder product  %8.1f ms   %.0f of %.0f GFLOP/s (%s)\n", r.encoder_ms, r.gflops, r.peak_gflops, r.product);
    printf("whole step       %8.1f ms   %.0f rows/s\n", r.step_ms, r.tokens_per_s);
    printf("ratio            %8.3f      quartiles %.3f to %.3f over %d pairs\n", r.ratio, r.ratio_low, r.ratio_high,
           o.pairs);
    if (o.recipe.screen)
        printf("screen           %8.1f pairs a row computed for %lld kept\n", r.survivors, (long long)o.config.k);
    printf("memory           %8.0f MiB  peak; planned %.0f (weights %.0f, gradients %.0f, moments %.0f, scratch %.0f, "
           "oneDNN %.0f, "
           "bench %.0f, "
           "program %.0f)\n",
           (double)peak * mib, (double)planned * mib, (double)r.plan.weights * mib, (double)r.plan.gradients * mib,
           (double)r.plan.moments * mib, (double)r.plan.scratch * mib, (double)r.plan.library * mib,
           (double)r.rows_bytes * mib, (double)before * mib);
done:
    mem_free(rows);
    return status;
}

const command command_bench_train = {
    .name = "bench train",
    .arguments = "",
    .summary = "speed of a training step beside its encoder product, on this machine",
    .details =
        "Times whole steps of the default recipe and bare encoder products in turn and prints the median of\n"
        "their ratios. The product is the library's fastest of several forms. peak is a loop of\n"
        "multiply-adds in registers. Rows are Gaussian, or a store's or array's. Nothing else should run meanwhile.",
    .examples = "sae bench train\nSAE_ISA=avx2 sae bench train --json\nsae bench train --encoder-dtype bf16\nsae bench "
                "train --dead 0.3\nsae bench train --screen --store rows/ --warm 200\n",
    .min_operands = 0,
    .max_operands = 0,
    .options = options,
    .run = run_bench_train,
};
