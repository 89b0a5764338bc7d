/*
 * sae_ops.h - the vector operations of a training step, as a table chosen at run time.
 *
 * The reference table is plain C, always built, and the oracle of the tests. All vectors are float32 of n elements, any
 * alignment; no operation allocates or starts threads. Fast tables may sum in another order and fuse multiply-add:
 * results agree with the reference to rounding (bounds stand in tests/test_kernels_sae.c).
 */
#ifndef SAE_SAE_OPS_H
#define SAE_SAE_OPS_H

#include "base/base.h"

/* Constants of one Adam step (Kingma and Ba 2015; torch's order of operations):
 *   m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;  w -= step_size m / (sqrt(v) / sqrt_bias2 + eps) */
typedef struct adam_constants {
    float beta1, beta2, eps;
    float rest1, rest2;   /* 1 - beta1, 1 - beta2, rounded from double: 1.0f - 0.999f is off by 1e-5 of itself */
    float step_size;      /* lr / (1 - beta1^t) */
    float inverse_bias;   /* 1 / sqrt(1 - beta2^t) */
    float gradient_scale; /* the clipping factor */
} adam_constants;

/* One step of schedule-free sign-SGD (Defazio et al. 2024): w is where the gradient is taken, z what the steps move, x their average.
 *   x = w + to_average (z - w);  z -= lr sign(g);  x += share (z - x);  w = x + to_z (z - x) */
typedef struct signum_constants {
    float to_average; /* 1 - 1 / momentum */
    float lr;
    float share; /* 1 / (steps done + 1) */
    float to_z;  /* 1 - momentum */
} signum_constants;

/* Columns of a panel: what `gather` keeps in registers while it runs through a list. */
enum { PANEL = 32 };

typedef struct sae_ops {
    const char *isa;
    /* sum a_i b_i */
    float (*dot)(const float *a, const float *b, int64_t n);
    /* out[j] = sum_i w_i x[j]_i for four vectors */
    void (*dot4)(const float *w, const float *const x[4], int64_t n, float out[4]);
    /* y += a x */
    void (*axpy)(float *y, float a, const float *x, int64_t n);
    /* y += sum_j a[j] x[j] for four vectors */
    void (*axpy4)(float *y, const float a[4], const float *const x[4], int64_t n);
    /* out[PANEL] += sum_i coefficient[i] panel[index[i]] over n rows of PANEL floats */
    void (*gather)(float *out, const float *panel, const int32_t *index, const float *coefficient, int64_t n);
    /* The same, and dots[i] += sum_k w[k] panel[index[i]][k], w [PANEL]. */
    void (*gather_dot)(float *out, const float *panel, const int32_t *index, const float *coefficient, int64_t n,
                       const float *w, float *dots);
    /* sum x_i^2, accumulated in double (blocks of at most 256 in float) */
    double (*sum_squares)(const float *x, int64_t n);
    /* Indices (first + i) and values p_i + bias_i of all i with p_i + bias_i > cutoff, in ascending order; both outputs
     * have room for n + 16 entries. Returns how many. */
    int64_t (*scan_above)(const float *p, const float *bias, int64_t n, float cutoff, int32_t first, int32_t *index,
                          float *value);
    /* The same of (p_i + bias_i) scale_i. */
    int64_t (*scan_scaled)(const float *p, const float *bias, const float *scale, int64_t n, float cutoff,
                           int32_t first, int32_t *index, float *value);
    /* The same with a cutoff of its own for each: p_i + bias_i > limit_i. */
    int64_t (*scan_limits)(const float *p, const float *bias, const float *limit, int64_t n, int32_t first,
                           int32_t *index, float *value);
    /* One Adam step of n weights in place; g NULL stands for a zero gradient. */
    void (*adam)(float *w, float *m, float *v, const float *g, int64_t n, const adam_constants *c);
    /* One step of sign-SGD of n weights in place; g NULL stands for a zero gradient. */
    void (*signum)(float *w, float *z, const float *g, int64_t n, const signum_constants *c);
} sae_ops;

extern const sae_ops sae_ops_ref;
/* The table for an instruction set: the reference for ISA_SCALAR and where no faster one was built. */
const sae_ops *sae_ops_for(cpu_isa isa);
const sae_ops *sae_ops_get(void); /* for cpu_isa_get() */

#endif
