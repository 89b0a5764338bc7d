/*
 * logistic_solve.c - Newton's method and L-BFGS on the objective of logistic.c.
 */
#include "eval/logistic.h"
#include "kernels/linalg.h"

#include <math.h>
#include <string.h>

enum { MEMORY = 12, SHRINKS = 60 };

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* A search along `step` from W, whose objective is *value: halved until the objective falls by a share of what the slope
 * promises, but for rounding. What is accepted is left in W, its objective and gradient beside. False: no step helps, W is as it
 * was. */
static bool search(const logistic_problem *q, int64_t n, double *W, const double *step, double descent, double *trial,
                   double *value, double *gradient)
{
    double length = 1, rounding = 1e-14 * fabs(*value);

    for (int i = 0; i < SHRINKS; i++, length /= 2) {
        for (int64_t j = 0; j < n; j++) trial[j] = W[j] + length * step[j];
        double reached = logistic_value(q, trial, gradient);
        if (!(reached <= *value + 1e-4 * length * descent + rounding)) continue;
        memcpy(W, trial, (size_t)n * sizeof *W);
        *value = reached;
        return true;
    }
    *value = logistic_value(q, W, gradient);
    return false;
}

/* The curvature C X^T diag(weight) X + 1 (0 for the intercept, made positive by a share of its size), factored. */
static sae_status factor(const logistic_problem *q, const double *weight, double *scaled, double *H, sae_error *err)
{
    int64_t p1 = q->p1;

    for (int64_t i = 0; i < q->n; i++) {
        /* Saturated rows: a floor keeps the matrix positive definite. It changes steps, not where they end. */
        double root = sqrt(q->C * fmax(weight[i], 1e-10));
        for (int64_t j = 0; j < p1; j++) scaled[i * p1 + j] = root * q->x[i * p1 + j];
    }
    linalg_gram(q->n, p1, scaled, H);
    for (int64_t j = 0; j < p1 - 1; j++) H[j * p1 + j] += 1;
    H[p1 * p1 - 1] *= 1 + 1e-12;
    return linalg_cholesky(p1, H, err);
}

/* ---- Newton ---------------------------------------------------------------------------------------------------------------- */

sae_status logistic_newton(const logistic_problem *q, double *W, int *iterations, double *slope, sae_error *err)
{
    sae_status status = SAE_OK;
    size_t p1 = (size_t)q->p1;
    double *scaled = mem_alloc_array((size_t)q->n, p1 * sizeof *scaled, "rows of a Hessian", err);
    double *H = mem_alloc_array(p1, p1 * sizeof *H, "a Hessian", err);
    double *vectors = mem_alloc_array(3 * p1, sizeof *vectors, "a Newton step", err);

    if (!scaled || !H || !vectors) {
        status = SAE_NOMEM;
        goto done;
    }
    double *gradient = vectors, *step = vectors + p1, *trial = vectors + 2 * p1;
    double value = logistic_value(q, W, gradient);
    *slope = logistic_slope(q, gradient);
    for (*iterations = 0; *slope > q->tolerance && *iterations < q->max_iterations; ++*iterations) {
        SAE_TRY(factor(q, q->curvature, scaled, H, err));
        for (size_t j = 0; j < p1; j++) step[j] = -gradient[j];
        linalg_cholesky_solve(q->p1, H, 1, step);
        if (!search(q, q->p1, W, step, dot(gradient, step, q->p1), trial, &value, gradient)) break;
        *slope = logistic_slope(q, gradient);
    }
done:
    mem_free(scaled);
    mem_free(H);
    mem_free(vectors);
    return status;
}

/* ---- L-BFGS ---------------------------------------------------------------------------------------------------------------- */

typedef struct history {
    int64_t n;
    int count, next;                     /* pairs held; where the next one goes */
    double *step[MEMORY], *turn[MEMORY]; /* s and y, [n] each */
    double inverse[MEMORY];              /* 1 / s'y */
} history;

static void remember(history *h, const double *before, const double *after, const double *old, const double *gradient)
{
    double *s = h->step[h->next], *y = h->turn[h->next], product;

    for (int64_t j = 0; j < h->n; j++) {
        s[j] = after[j] - before[j];
        y[j] = gradient[j] - old[j];
    }
    product = dot(s, y, h->n);
    if (!(product > 0)) return; /* rounding: the objective is convex */
    h->inverse[h->next] = 1 / product;
    h->next = (h->next + 1) % MEMORY;
    if (h->count < MEMORY) h->count++;
}

/* step = -H gradient by the two loops, H's first matrix the inverse of the factored curvature, the same for each output. */
static void direction(const history *h, const logistic_problem *q, const double *factored, const double *gradient,
                      double *step)
{
    double share[MEMORY];

    for (int64_t j = 0; j < h->n; j++) step[j] = -gradient[j];
    for (int i = 1; i <= h->count; i++) {
        int at = (h->next - i + MEMORY) % MEMORY;
        share[at] = h->inverse[at] * dot(h->step[at], step, h->n);
        for (int64_t j = 0; j < h->n; j++) step[j] -= share[at] * h->turn[at][j];
    }
    linalg_cholesky_solve(q->p1, factored, q->n_outputs, step);
    for (int i = h->count; i >= 1; i--) {
        int at = (h->next - i + MEMORY) % MEMORY;
        double back = h->inverse[at] * dot(h->turn[at], step, h->n);
        for (int64_t j = 0; j < h->n; j++) step[j] += (share[at] - back) * h->step[at][j];
    }
}

typedef struct lbfgs {
    history past;
    double *block, *scaled, *factored;
    double *gradient, *step, *trial, *before, *old;
    double curvature; /* mean over rows when `factored` was made */
} lbfgs;

static sae_status lbfgs_memory(lbfgs *b, const logistic_problem *q, sae_error *err)
{
    size_t n = (size_t)q->n_outputs * (size_t)q->p1, p1 = (size_t)q->p1;

    b->block = mem_alloc_array(2 * MEMORY + 5, n * sizeof *b->block, "steps of L-BFGS", err);
    b->scaled = mem_alloc_array((size_t)q->n, p1 * sizeof *b->scaled, "rows of a curvature", err);
    b->factored = mem_alloc_array(p1, p1 * sizeof *b->factored, "a curvature", err);
    if (!b->block || !b->scaled || !b->factored) return SAE_NOMEM;
    b->past.n = (int64_t)n;
    for (size_t i = 0; i < MEMORY; i++) {
        b->past.step[i] = b->block + 2 * i * n;
        b->past.turn[i] = b->block + (2 * i + 1) * n;
    }
    double *rest = b->block + 2 * MEMORY * n;
    b->gradient = rest, b->step = rest + n, b->trial = rest + 2 * n, b->before = rest + 3 * n, b->old = rest + 4 * n;
    return SAE_OK;
}

/* The first matrix follows the curvature at W; what was remembered belongs to the one before. */
static sae_status refactor(lbfgs *b, const logistic_problem *q, sae_error *err)
{
    double sum = 0;

    for (int64_t i = 0; i < q->n; i++) sum += q->curvature[i];
    if (b->curvature > 0 && sum > 0.5 * b->curvature && sum < 2 * b->curvature) return SAE_OK;
    b->curvature = sum;
    b->past.count = 0;
    return factor(q, q->curvature, b->scaled, b->factored, err);
}

sae_status logistic_lbfgs(const logistic_problem *q, double *W, int *iterations, double *slope, sae_error *err)
{
    sae_status status = SAE_OK;
    lbfgs b = {0};
    int64_t n = q->n_outputs * q->p1;

    SAE_TRY(lbfgs_memory(&b, q, err));
    double value = logistic_value(q, W, b.gradient);
    *slope = logistic_slope(q, b.gradient);
    for (*iterations = 0; *slope > q->tolerance && *iterations < q->max_iterations; ++*iterations) {
        SAE_TRY(refactor(&b, q, err));
        direction(&b.past, q, b.factored, b.gradient, b.step);
        memcpy(b.before, W, (size_t)n * sizeof *W);
        memcpy(b.old, b.gradient, (size_t)n * sizeof *W);
        double descent = dot(b.gradient, b.step, n);
        if (!search(q, n, W, b.step, descent, b.trial, &value, b.gradient)) break;
        remember(&b.past, b.before, W, b.old, b.gradient);
        *slope = logistic_slope(q, b.gradient);
    }
done:
    mem_free(b.block);
    mem_free(b.scaled);
    mem_free(b.factored);
    return status;
}
