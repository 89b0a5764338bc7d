/*
 * truth.h - rows of which the truth is known, and how much of it a dictionary has found.
 *
 * x = mean + z B + sum_j a_j t_j: sparse unit features t_j, each on by itself with a small probability and a in [1, 2], and a
 * dense part: orthonormal B, z ~ N(0, 16), of rank DENSE unless another one is planted.
 */
#ifndef TRUTH_H
#define TRUTH_H

#include "kernels/matmul.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DENSE = 4 };

typedef struct truth {
    int d, features, rank;
    double on;                     /* probability of a feature */
    float *feature, *dense, *mean; /* [features, d], [rank, d], [d] */
    rng r;
} truth;

static inline void unit(float *v, int d)
{
    double square = 0;

    for (int i = 0; i < d; i++) square += (double)v[i] * (double)v[i];
    for (int i = 0; i < d; i++) v[i] /= (float)sqrt(square);
}

static inline double dot(const float *v, const float *w, int d)
{
    double sum = 0;

    for (int i = 0; i < d; i++) sum += (double)v[i] * (double)w[i];
    return sum;
}

/* Gram and Schmidt, twice over: the second round takes away what rounding left. */
static inline void orthonormal(float *rows, int n, int d)
{
    for (int j = 0; j < n; j++)
        for (int round = 0; round < 2; round++) {
            for (int k = 0; k < j; k++) {
                double along = dot(rows + j * d, rows + k * d, d);
                for (int i = 0; i < d; i++) rows[j * d + i] -= (float)along * rows[k * d + i];
            }
            unit(rows + j * d, d);
        }
}

static inline float *random_rows(rng *r, int n, int d)
{
    float *rows = calloc((size_t)n * (size_t)d, sizeof *rows);

    for (int64_t i = 0; i < (int64_t)n * d; i++) rows[i] = (float)rng_normal(r);
    for (int j = 0; j < n; j++) unit(rows + (int64_t)j * d, d);
    return rows;
}

static inline truth truth_plant_rank(int d, int features, double on, int rank, uint64_t seed)
{
    truth t = {.d = d, .features = features, .rank = rank, .on = on, .r = rng_seed(seed, 1)};

    t.feature = random_rows(&t.r, features, d);
    t.dense = random_rows(&t.r, rank, d);
    orthonormal(t.dense, rank, d);
    t.mean = calloc((size_t)d, sizeof *t.mean);
    for (int i = 0; i < d; i++) t.mean[i] = 0.5f * (float)rng_normal(&t.r);
    return t;
}

static inline truth truth_plant(int d, int features, double on, uint64_t seed)
{
    return truth_plant_rank(d, features, on, DENSE, seed);
}

static inline void truth_free(truth *t)
{
    free(t->feature);
    free(t->dense);
    free(t->mean);
}

static inline void add(float *x, double a, const float *v, int d)
{
    for (int i = 0; i < d; i++) x[i] += (float)a * v[i];
}

static inline void truth_draw(truth *t, float *rows, int n)
{
    for (int b = 0; b < n; b++) {
        float *x = rows + (int64_t)b * t->d;
        memcpy(x, t->mean, (size_t)t->d * sizeof *x);
        for (int j = 0; j < t->rank; j++) add(x, 4.0 * rng_normal(&t->r), t->dense + j * t->d, t->d);
        /* from one feature that is on to the next: the gap is geometric */
        for (double j = -1;;) {
            j += 1 + floor(log(1 - rng_uniform(&t->r)) / log(1 - t->on));
            if (j >= t->features) break;
            add(x, 1.0 + rng_uniform(&t->r), t->feature + (int64_t)j * t->d, t->d);
        }
    }
}

/* Of the planted features' largest |cosine| with rows of norm 1 [n, d]: the mean, and the share above 0.9. */
static inline void truth_found(const truth *t, const float *rows, int n, double *mean, double *share)
{
    enum { AT_ONCE = 256 };
    float *product = malloc((size_t)AT_ONCE * (size_t)n * sizeof *product);

    *mean = *share = 0;
    for (int f = 0; f < t->features; f += AT_ONCE) {
        int m = t->features - f < AT_ONCE ? t->features - f : AT_ONCE;
        matmul_nt(m, n, t->d, t->feature + (int64_t)f * t->d, t->d, rows, t->d, 0, product, n);
        for (int i = 0; i < m; i++) {
            float best = 0;
            for (int64_t j = 0; j < n; j++) best = fmaxf(best, fabsf(product[(int64_t)i * n + j]));
            *mean += (double)best / t->features;
            *share += (best > 0.9f) / (double)t->features;
        }
    }
    free(product);
}

/* The share of the row space of W_up [rank, d] in the planted dense space: the mean squared cosine of the principal angles. */
static inline double truth_overlap(const truth *t, const float *W_up)
{
    float *basis = malloc((size_t)(t->rank * t->d) * sizeof *basis);
    double sum = 0;

    memcpy(basis, W_up, (size_t)(t->rank * t->d) * sizeof *basis);
    orthonormal(basis, t->rank, t->d);
    for (int j = 0; j < t->rank; j++)
        for (int k = 0; k < t->rank; k++) {
            double along = dot(basis + j * t->d, t->dense + k * t->d, t->d);
            sum += along * along / t->rank;
        }
    free(basis);
    return sum;
}

#endif
