/* cmd_bench_sweep.c - `sae bench sweep`: what a dictionary of a sweep costs beside one that is trained alone. */
#include "base/threads.h"
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>

static const option_row options[] = {
    OPTION_STORE_ROW,
    OPTION_WIDTH_ROW("16384"),
    OPTION_BATCH_ROW("4096"),
    OPTION_K_ROW("64"),
    {"dictionaries", OPTION_COUNT, "N", "in the sweep, of other seeds each", "8"},
    {"no-screen", OPTION_FLAG, NULL, "keep what the f32 product of all latents computed", NULL},
    {"warm", OPTION_COUNT, "N", "steps trained before measuring, so that cutoffs stand", "40"},
    {"pairs", OPTION_COUNT, "N", "measurements of both in turn", "10"},
    OPTION_JSON_ROW,
    OPTION_END_ROW,
};

enum { MOST = 64, STEPS = 2 }; /* in a turn: the second, which is timed, finds the caches as in a run by itself */

/* A trainer with its own place in the rows. */
typedef struct side {
    sae_trainer *trainer;
    sae_acts *acts;
    float *rows;
    int64_t batch;
    int n_dicts;
} side;

static void side_free(side *s)
{
    sae_trainer_free(s->trainer);
    sae_acts_free(s->acts);
    mem_free(s->rows);
}

static sae_status side_create(side *s, const sae_dict_config *like, int n_dicts, const sae_train_options *recipe,
                              const char *store, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_acts_options order = {.repeat = true};
    sae_dict_config configs[MOST];

    s->n_dicts = n_dicts;
    s->batch = recipe->batch;
    for (int i = 0; i < n_dicts; i++) {
        configs[i] = *like;
        configs[i].seed = (uint64_t)i + 1;
    }
    SAE_TRY(sae_acts_open_store(&s->acts, &store, 1, &order, err));
    s->rows = mem_alloc_array((size_t)recipe->batch, (size_t)like->d_in * sizeof(float), "the bench's rows", err);
    if (!s->rows) SAE_TRY(SAE_NOMEM);
    SAE_TRY(sae_trainer_create(&s->trainer, configs, n_dicts, recipe, err));
done:
    return status;
}

/* Seconds that a batch takes each dictionary, reading included. */
static sae_status side_step(side *s, double *seconds, sae_error *err)
{
    sae_status status = SAE_OK;
    double started = clock_seconds();
    int64_t got = 0;

    SAE_TRY(sae_acts_next(s->acts, s->batch, s->rows, NULL, NULL, &got, err));
    SAE_TRY(sae_trainer_step(s->trainer, s->rows, NULL, NULL, err));
    *seconds = (clock_seconds() - started) / s->n_dicts;
done:
    return status;
}

/* Both in turn: seconds a dictionary, alone and in the sweep, and the ratio, [pairs] each. */
static sae_status measure(side *alone, side *sweep, int64_t warm, int64_t pairs, double *times, sae_error *err)
{
    sae_status status = SAE_OK;
    double one = 0, many = 0;

    for (int64_t i = -warm; i < pairs; i++) {
        for (int n = 0; n < (i < 0 ? 1 : STEPS); n++) SAE_TRY(side_step(alone, &one, err));
        for (int n = 0; n < (i < 0 ? 1 : STEPS); n++) SAE_TRY(side_step(sweep, &many, err));
        if (i < 0) continue;
        times[i] = one;
        times[pairs + i] = many;
        times[2 * pairs + i] = many / one;
    }
done:
    return status;
}

static sae_status tell(const args *a, const sae_dict_config *like, const sae_train_options *recipe, int64_t n,
                       double *times, int64_t pairs, sae_error *err)
{
    double one = 1e3 * sort_quantile(times, pairs, 0.5), many = 1e3 * sort_quantile(times + pairs, pairs, 0.5);
    double q[3] = {0.25, 0.5, 0.75};

    for (int i = 0; i < 3; i++) q[i] = sort_quantile(times + 2 * pairs, pairs, q[i]);
    if (args_flag(a, "json")) {
        json_t *json = json_pack("{sI sI sI sI sI sb si ss sf sf sf sf sf}", "d_in", (json_int_t)like->d_in, "d_sae",
                                 (json_int_t)like->d_sae, "batch", (json_int_t)recipe->batch, "k", (json_int_t)like->k,
                                 "dictionaries", (json_int_t)n, "screen", (int)recipe->screen, "threads",
                                 omp_get_max_threads(), "isa", cpu_isa_name(cpu_isa_get()), "alone_ms", one,
                                 "in_sweep_ms", many, "ratio", q[1], "ratio_q1", q[0], "ratio_q3", q[2]);
        sae_status status = print_json(json, err);
        json_decref(json);
        return status;
    }
    printf("%s, %s, %d threads\n", cpu_name(), cpu_isa_name(cpu_isa_get()), omp_get_max_threads());
    printf("batchtopk, d_in %lld, d_sae %lld, batch %lld, k %lld%s\n", (long long)like->d_in, (long long)like->d_sae,
           (long long)recipe->batch, (long long)like->k, recipe->screen ? ", screened" : "");
    printf("alone            %8.1f ms a step, reading included\n", one);
    printf("one of %-9lld %8.1f ms\n", (long long)n, many);
    printf("ratio            %8.3f      quartiles %.3f to %.3f over %lld pairs\n", q[1], q[0], q[2], (long long)pairs);
    return SAE_OK;
}

static sae_status run_bench_sweep(args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    side alone = {0}, sweep = {0};
    sae_acts *acts = NULL;
    sae_acts_options order = {0};
    const char *store = args_text(a, "store");
    int64_t n = args_int(a, "dictionaries", 0), pairs = args_int(a, "pairs", 0), warm = args_int(a, "warm", 0);
    double *times = NULL;

    if (!store) SAE_TRY(args_fail(a, err, "give the rows: --store FOLDER, written by sae acts"));
    if (n < 1 || n > MOST) SAE_TRY(args_fail(a, err, "--dictionaries must be 1 to %d", (int)MOST));
    if (pairs < 1 || pairs > 1000 || warm > 100000)
        SAE_TRY(args_fail(a, err, "--pairs must be 1 to 1000, --warm at most 100,000"));
    SAE_TRY(sae_acts_open_store(&acts, &store, 1, &order, err));
    sae_dict_config like = {.arch = SAE_BATCHTOPK,
                            .d_in = sae_acts_get_info(acts).d,
                            .d_sae = args_int(a, "width", 0),
                            .k = args_int(a, "k", 0),
                            .apply_b_dec_to_input = true};
    sae_train_options recipe = sae_recipe_saebench(args_int(a, "batch", 0), warm + STEPS * pairs);
    recipe.auxk_alpha = 0.0; /* in so short a run latents would count as dead after a few steps */
    if (!args_flag(a, "no-screen")) sae_choose_exact_codes(&recipe, like.d_in);
    times = mem_alloc_array((size_t)pairs, 3 * sizeof *times, "timings", err);
    if (!times) SAE_TRY(SAE_NOMEM);
    SAE_TRY(args_checked(a, side_create(&alone, &like, 1, &recipe, store, err)));
    SAE_TRY(args_checked(a, side_create(&sweep, &like, (int)n, &recipe, store, err)));
    SAE_TRY(measure(&alone, &sweep, warm, pairs, times, err));
    SAE_TRY(tell(a, &like, &recipe, n, times, pairs, err));
done:
    sae_acts_free(acts);
    side_free(&alone);
    side_free(&sweep);
    mem_free(times);
    return status;
}

const command command_bench_sweep = {
    .name = "bench sweep",
    .arguments = "",
    .summary = "what a dictionary of a sweep costs beside one trained alone, on this machine",
    .details =
        "Trains one dictionary, and several of other seeds on one stream, by steps in turn, each reading its own\n"
        "rows from the store, and prints the median of their ratios. Nothing else should run meanwhile.",
    .examples = "sae bench sweep --store rows\nsae bench sweep --store rows --dictionaries 4 --width 4608 --json\n",
    .min_operands = 0,
    .max_operands = 0,
    .options = options,
    .run = run_bench_sweep,
};
