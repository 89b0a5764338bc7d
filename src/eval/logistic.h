/*
 * logistic.h - L2-regularised logistic regression, to the exact optimum.
 *
 * The objective is that of scikit-learn's LogisticRegression: |W|^2 / 2 + C sum_i loss_i, the intercepts not penalised; loss is
 * -log p of the row's class, p the logistic function (two classes, one row of W) or the softmax (more classes, a row each).
 * It is strictly convex but for a shift of all intercepts, which starting from 0 fixes: one optimum, reached by
 * Newton's method (two classes, at most LOGISTIC_NEWTON_COLUMNS columns) or by L-BFGS with the objective's curvature as its first matrix.
 * Nothing is drawn at random.
 */
#ifndef SAE_EVAL_LOGISTIC_H
#define SAE_EVAL_LOGISTIC_H

#include "base/base.h"

enum { LOGISTIC_NEWTON_COLUMNS = 1024 };

typedef struct logistic_options {
    double C;           /* 0: 1 */
    double tolerance;   /* 0: 1e-8; see below */
    int max_iterations; /* 0: 2,000 */
    const double
        *start; /* [n_outputs, p + 1] the W of another fit of as many classes and columns, to begin at; NULL: zeros */
} logistic_options;

typedef struct logistic {
    int n_classes;
    int64_t p;      /* columns */
    int n_outputs;  /* 1 for two classes, else n_classes */
    double *W;      /* [n_outputs, p + 1]; the last of a row is the intercept */
    int iterations; /* of the fit */
    double gradient;
} logistic;

/* Fits rows x [n, p] with classes y [n] in 0 .. n_classes - 1. The optimum is reached when for every weight w_j
 * |gradient_j| <= tolerance (1 + C sum_i |x_ij|); the largest ratio is left in `gradient`. Fails with NUMERIC when the iterations end at over 1000
 * times the tolerance, with RANGE when a row is not finite or a class has no row. Caller frees with logistic_free. */
sae_status logistic_fit(logistic *out, const float *x, const int32_t *y, int64_t n, int64_t p, int n_classes,
                        const logistic_options *options, sae_error *err);
void logistic_free(logistic *m);

/* W x + b of n rows: out [n, n_outputs]. With two classes class 1 is the one above 0. */
void logistic_margins(const logistic *m, const float *x, int64_t n, double *out);
/* The most probable class of each row; ties: the smaller one. */
void logistic_predict(const logistic *m, const float *x, int64_t n, int32_t *out);

/* ---- Inside: the problem that both methods solve (logistic.c, logistic_solve.c) ---------------------------------------------- */

typedef struct logistic_problem {
    int64_t n, p1; /* rows; columns with the one of ones */
    int n_outputs;
    double C, tolerance;
    int max_iterations;
    const double *x;    /* [n, p1] */
    const int32_t *y;   /* [n] */
    const double *size; /* [p1] 1 + C sum |x_ij| */
    double *margin;     /* [n, n_outputs] scratch */
    double *residual;   /* [n, n_outputs] C (probability - target) after logistic_value */
    double *curvature;  /* [n] sum over outputs of p (1 - p) / n_outputs, after logistic_value */
} logistic_problem;

/* The objective at W [n_outputs, p1] and its gradient (NULL: the objective alone). */
double logistic_value(const logistic_problem *q, const double *W, double *gradient);
/* max over j of |gradient_j| / size_j. */
double logistic_slope(const logistic_problem *q, const double *gradient);
/* From W, which is where they end; *iterations, *slope tell how. */
sae_status logistic_newton(const logistic_problem *q, double *W, int *iterations, double *slope, sae_error *err);
sae_status logistic_lbfgs(const logistic_problem *q, double *W, int *iterations, double *slope, sae_error *err);

#endif
