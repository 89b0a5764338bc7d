/* bench.h - how long a training step takes beside the one product that it cannot do without. */
#ifndef SAE_SAE_BENCH_H
#define SAE_SAE_BENCH_H

#include "base/base.h"

typedef struct trainer_bench_options {
    sae_dict_config config;
    sae_train_options recipe;
    double dead; /* share of latents that are dead, with AuxK at work */
    int pairs;   /* interleaved measurements of step and product */
} trainer_bench_options;

typedef struct trainer_bench_result {
    double encoder_ms, step_ms, ratio; /* medians; ratio: the median of step / product pair by pair */
    double ratio_low, ratio_high;      /* quartiles */
    double gflops, peak_gflops;        /* of the product; of a loop of multiply-adds */
    double tokens_per_s;
    const char *product; /* which form of the product was fastest; static */
    int64_t dead;        /* latents that the last step counted as dead */
    sae_memory_plan plan;
    size_t rows_bytes; /* of the bench's own rows, beside the plan */
} trainer_bench_result;

/* Gaussian rows. The product is measured in several forms before (whole, and in tiles) and the fastest is taken. */
sae_status trainer_bench(trainer_bench_result *out, const trainer_bench_options *options, sae_error *err);

#endif
