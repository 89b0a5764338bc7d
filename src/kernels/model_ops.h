/*
 * model_ops.h - what a transformer does beside its large products: norms, rotation, softmax, activations, losses.
 *
 * Each op works on one row and on one thread; callers share rows out. No op allocates. The reference (kernels/ref)
 * computes in double and is the oracle; a faster op may differ from it by rounding only.
 */
#ifndef SAE_MODEL_OPS_H
#define SAE_MODEL_OPS_H

#include "base/base.h"

/* out[n] = f(x[n]) * up[n], or f(x[n]) when up is NULL; out may be x or up. */
typedef void activation_fn(int64_t n, const float *x, const float *up, float *out);

typedef struct model_ops {
    /* out[d] = gain x / sqrt(mean(x^2) + eps); out may be x. */
    void (*rms_norm)(int64_t d, const float *x, const float *gain, float eps, float *out);
    /* out[d] = gain (x - mean) / sqrt(variance + eps) + bias; bias may be NULL, out may be x. */
    void (*layer_norm)(int64_t d, const float *x, const float *gain, const float *bias, float eps, float *out);
    /* Rotates the pairs (x[i], x[i + half]) by the angles whose cosine and sine [half] are given. */
    void (*rotary)(int64_t half, float *x, const float *cosine, const float *sine);
    /* x[0 .. valid) = softmax(scale x); x[valid .. n) = 0. valid >= 1. */
    void (*softmax)(int64_t valid, int64_t n, float scale, float *x);
    activation_fn *silu;      /* x / (1 + e^-x) */
    activation_fn *gelu;      /* x Phi(x), by erf */
    activation_fn *gelu_tanh; /* its approximation by tanh ("gelu_new") */
    /* x[n] += y[n] */
    void (*add)(int64_t n, const float *y, float *x);
    /* Takes x[n] into a running log-sum-exp: *max is the largest so far, *sum the sum of e^(x - *max). Begin with
     * -INFINITY and 0; the result is *max + log(*sum). */
    void (*log_sum_exp)(int64_t n, const float *x, double *max, double *sum);
} model_ops;

extern const model_ops model_ops_ref; /* complete */
/* NULL: nothing faster; all NULL where the compiler does not target the instruction set. */
extern const model_ops model_ops_avx2, model_ops_avx512;

/* The best of each op for cpu_isa_get(). */
const model_ops *model_ops_get(void);

/* Causal attention: out[s, t, h] = softmax_{u <= t}(scale q[s, t, h] . k[s, u, g]) v[s, u, g] with g = h n_kv_head / n_head.
 * q, k and v begin at head 0 of row 0; a row (s, t) follows after `stride` floats, a head after d_head. */
typedef struct attention {
    int64_t n_seq, n_ctx, n_head, n_kv_head, d_head;
    float scale;
    const float *q, *k, *v;
    int64_t stride;
    float *out; /* [n_seq * n_ctx, n_head * d_head] */
} attention;

/* Floats of scratch that attention_run needs. */
size_t attention_scratch(int64_t n_ctx);
/* In blocks of queries over all threads, by matmul.h and the softmax of model_ops_get(). */
void attention_run(const attention *a, float *scratch);
/* The oracle: one query after the other, in double. */
void attention_ref(const attention *a);

#endif
