/*
 * logistic.c - the objective of logistic regression, and fitting and using one.
 */
#include "eval/logistic.h"
#include "kernels/linalg.h"

#include <math.h>
#include <string.h>

void logistic_free(logistic *m)
{
    mem_free(m->W);
    *m = (logistic){0};
}

/* ---- The objective --------------------------------------------------------------------------------------------------------- */

/* log(1 + e^z), without overflow. */
static double softplus(double z) { return (z > 0 ? z : 0) + log1p(exp(-fabs(z))); }

/* Loss of one row; its margins are replaced by C (probability - target). */
static double row_two(double C, double *z, int32_t y, double *curvature)
{
    double margin = z[0], p = 1 / (1 + exp(-margin));

    z[0] = C * (p - (double)y);
    *curvature = p * (1 - p);
    return softplus(y ? -margin : margin);
}

static double row_many(double C, double *z, int k, int32_t y, double *curvature)
{
    double most = z[0], sum = 0, own, squares = 0;

    for (int c = 1; c < k; c++) most = z[c] > most ? z[c] : most;
    own = z[y] - most;
    for (int c = 0; c < k; c++) sum += z[c] = exp(z[c] - most);
    for (int c = 0; c < k; c++) {
        double p = z[c] / sum;
        squares += p * p;
        z[c] = C * (p - (c == y));
    }
    *curvature = (1 - squares) / k;
    return log(sum) - own;
}

double logistic_value(const logistic_problem *q, const double *W, double *gradient)
{
    int k = q->n_outputs;
    double loss = 0, penalty = 0;

    linalg_product_nt(q->n, k, q->p1, q->x, W, q->margin);
    memcpy(q->residual, q->margin, (size_t)(q->n * k) * sizeof *q->residual);
    for (int64_t i = 0; i < q->n; i++)
        loss += k == 1 ? row_two(q->C, q->residual + i, q->y[i], &q->curvature[i])
                       : row_many(q->C, q->residual + i * k, k, q->y[i], &q->curvature[i]);
    for (int64_t o = 0; o < k; o++)
        for (int64_t j = 0; j < q->p1 - 1; j++) penalty += W[o * q->p1 + j] * W[o * q->p1 + j];
    if (gradient) {
        linalg_product_tn(k, q->p1, q->n, q->residual, q->x, gradient);
        for (int64_t o = 0; o < k; o++)
            for (int64_t j = 0; j < q->p1 - 1; j++) gradient[o * q->p1 + j] += W[o * q->p1 + j];
    }
    return penalty / 2 + q->C * loss;
}

double logistic_slope(const logistic_problem *q, const double *gradient)
{
    double worst = 0;

    for (int64_t o = 0; o < q->n_outputs; o++)
        for (int64_t j = 0; j < q->p1; j++) worst = fmax(worst, fabs(gradient[o * q->p1 + j]) / q->size[j]);
    return worst;
}

/* ---- Fitting ------------------------------------------------------------------------------------------------------------- */

static sae_status check_classes(const int32_t *y, int64_t n, int n_classes, sae_error *err)
{
    sae_status status = SAE_OK;
    int64_t *count = mem_alloc_array((size_t)n_classes, sizeof *count, "rows of classes", err);

    if (!count) return SAE_NOMEM;
    for (int64_t i = 0; i < n; i++) {
        if (y[i] < 0 || y[i] >= n_classes)
            SAE_RAISE(err, SAE_RANGE, "row %lld has class %d, there are %d", (long long)i, (int)y[i], n_classes);
        count[y[i]]++;
    }
    for (int c = 0; c < n_classes; c++)
        if (count[c] == 0) SAE_RAISE(err, SAE_RANGE, "class %d of %d has no row to learn from", c, n_classes);
done:
    mem_free(count);
    return status;
}

/* x with a column of ones, and the size of each column. */
static sae_status fill_rows(const logistic_problem *q, const float *x, double *rows, double *size, sae_error *err)
{
    int64_t p = q->p1 - 1;

    for (int64_t j = 0; j < p; j++) size[j] = 1;
    size[p] = 1 + q->C * (double)q->n;
    for (int64_t i = 0; i < q->n; i++) {
        for (int64_t j = 0; j < p; j++) {
            double value = (double)x[i * p + j];
            if (!isfinite(value))
                return SAE_FAIL(err, SAE_RANGE, "row %lld, column %lld of a regression is not finite", (long long)i,
                                (long long)j);
            rows[i * q->p1 + j] = value;
            size[j] += q->C * fabs(value);
        }
        rows[i * q->p1 + p] = 1;
    }
    return SAE_OK;
}

static sae_status solve(const logistic_problem *q, int64_t p, logistic *m, sae_error *err)
{
    sae_status status = SAE_OK;
    bool newton = q->n_outputs == 1 && p <= LOGISTIC_NEWTON_COLUMNS;

    SAE_TRY((newton ? logistic_newton : logistic_lbfgs)(q, m->W, &m->iterations, &m->gradient, err));
    if (!(m->gradient <= 1000 * q->tolerance))
        SAE_RAISE(
            err, SAE_NUMERIC,
            "a logistic regression on %lld rows of %lld columns stopped after %d iterations at a gradient of %.3g, "
            "the tolerance is %.3g: columns of very different size? allow more iterations",
            (long long)q->n, (long long)p, m->iterations, m->gradient, q->tolerance);
done:
    return status;
}

sae_status logistic_fit(logistic *out, const float *x, const int32_t *y, int64_t n, int64_t p, int n_classes,
                        const logistic_options *options, sae_error *err)
{
    sae_status status = SAE_OK;
    const logistic_options none = {0}, *o = options ? options : &none;
    int k = n_classes == 2 ? 1 : n_classes;
    size_t p1 = (size_t)p + 1, rows = (size_t)n;
    logistic m = {.n_classes = n_classes, .p = p, .n_outputs = k};
    logistic_problem q = {.n = n, .p1 = p + 1, .n_outputs = k, .y = y};
    double *copy = NULL, *size = NULL;

    q.C = o->C > 0 ? o->C : 1;
    q.tolerance = o->tolerance > 0 ? o->tolerance : 1e-8;
    q.max_iterations = o->max_iterations > 0 ? o->max_iterations : 2000;
    SAE_TRY(check_classes(y, n, n_classes, err));
    m.W = mem_alloc_array((size_t)k, p1 * sizeof *m.W, "weights of a regression", err);
    copy = mem_alloc_array(rows, p1 * sizeof *copy, "rows of a regression", err);
    size = mem_alloc_array(p1, sizeof *size, "columns of a regression", err);
    q.margin = mem_alloc_array(rows, (size_t)k * sizeof *q.margin, "margins", err);
    q.residual = mem_alloc_array(rows, (size_t)k * sizeof *q.residual, "residuals", err);
    q.curvature = mem_alloc_array(rows, sizeof *q.curvature, "curvatures", err);
    if (!m.W || !copy || !size || !q.margin || !q.residual || !q.curvature) SAE_TRY(SAE_NOMEM);
    if (o->start) memcpy(m.W, o->start, (size_t)k * p1 * sizeof *m.W);
    SAE_TRY(fill_rows(&q, x, copy, size, err));
    q.x = copy;
    q.size = size;
    SAE_TRY(solve(&q, p, &m, err));
    *out = m;
    m = (logistic){0};
done:
    mem_free(copy);
    mem_free(size);
    mem_free(q.margin);
    mem_free(q.residual);
    mem_free(q.curvature);
    logistic_free(&m);
    return status;
}

/* ---- Using ----------------------------------------------------------------------------------------------------------------- */

void logistic_margins(const logistic *m, const float *x, int64_t n, double *out)
{
    int64_t p = m->p;

    for (int64_t i = 0; i < n; i++) {
        for (int64_t o = 0; o < m->n_outputs; o++) {
            const double *w = m->W + o * (p + 1);
            double sum = w[p];
            for (int64_t j = 0; j < p; j++) sum += w[j] * (double)x[i * p + j];
            out[i * m->n_outputs + o] = sum;
        }
    }
}

void logistic_predict(const logistic *m, const float *x, int64_t n, int32_t *out)
{
    double margin[1024]; /* as many classes as labelled documents may have */

    for (int64_t i = 0; i < n; i++) {
        logistic_margins(m, x + i * m->p, 1, margin);
        out[i] = m->n_outputs == 1 && margin[0] > 0;
        for (int32_t c = 1; c < m->n_outputs; c++)
            if (margin[c] > margin[out[i]]) out[i] = c;
    }
}
