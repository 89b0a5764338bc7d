/* bench.h - how long a training step takes beside the one product that it cannot do without. */
#ifndef SAE_SAE_BENCH_H
#define SAE_SAE_BENCH_H

#include "base/base.h"

typedef struct trainer_bench_options {
    sae_dict_config config;
    sae_train_options recipe;
    double dead;   /* share of latents that are dead, with AuxK at work */
    bool at_start; /* of a penalised family: as it starts, with thousands of latents active; else at an L0 of k */
    int pairs;     /* interleaved measurements of step and product */
    /* [n_batches, batch, d_in], borrowed, taken in turn; NULL: one batch of Gaussian rows. */
    const float *rows;
    int64_t n_batches;
    int64_t warm_steps; /* trained before, so that selection is that of a run under way; at least 3 */
} trainer_bench_options;

typedef struct trainer_bench_result {
    double encoder_ms, step_ms, ratio; /* medians; ratio: the median of step / product pair by pair */
    double ratio_low, ratio_high;      /* quartiles */
    double gflops, peak_gflops;        /* of the product; of a loop of multiply-adds */
    double tokens_per_s;
    const char *product; /* which form of the product was fastest; static */
    double l0;           /* of the last step */
    int64_t dead;        /* latents that the last step counted as dead */
    double survivors;    /* with a screen: pairs per row that it let through, median; 0: a step did without */
    sae_memory_plan plan;
    size_t rows_bytes; /* of the bench's own rows, beside the plan */
} trainer_bench_result;

/* The product is measured in several forms before (whole, and in tiles) and the fastest is taken. */
sae_status trainer_bench(trainer_bench_result *out, const trainer_bench_options *options, sae_error *err);

#endif
