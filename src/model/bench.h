/* bench.h - how near a forward pass comes to the rate of its own matrix products on this machine. */
#ifndef SAE_MODEL_BENCH_H
#define SAE_MODEL_BENCH_H

#include "sae.h"

typedef struct model_bench {
    int64_t n_seq, n_ctx;
    int n_layers;          /* that a pass goes through */
    double pass_seconds;   /* median */
    double tokens_per_s;   /* by that median */
    double product_flops;  /* of one pass: two per weight of QKV, O, gate, up, down and row; attention not counted */
    double pass_gflops;    /* product_flops over the median time of a pass */
    double product_gflops; /* of the fastest of the pass's four product shapes, plain, median over the tries */
    double share;          /* median over the tries of (rate of the pass / product rate beside it) */
} model_bench;

/* Runs `tries` passes (0: 7) of n_seq x n_ctx made-up tokens up to `last`, each beside the four products of a layer alone, as often and on as
 * many rows. The first pass, which expands weights, is not counted. */
sae_status model_bench_run(model_bench *out, sae_model *model, sae_site last, int64_t n_seq, int64_t n_ctx, int tries,
                           sae_error *err);

#endif
