#!/usr/bin/env python3
"""Makes data/golden/logistic/golden.safetensors: optima that scikit-learn's LogisticRegression finds, for test_logistic.

  PYTHONPATH=FOLDER python3 tests/peers/make_logistic.py OUT.safetensors     needs numpy, scikit-learn, safetensors

Random problems of the kinds that probing meets: few columns, more columns than rows (separable), sparse columns of
very different size, several classes. scikit-learn is asked for far more than its default: tol 1e-13, 100,000 iterations.
"""
import sys

import numpy
import safetensors.numpy
import sklearn
from sklearn.linear_model import LogisticRegression


def problem(random, n, p, classes, kind):
    x = random.standard_normal((n, p))
    if kind == "sparse":
        x = numpy.maximum(x - 1, 0) * 10 ** random.uniform(-3, 2, p)
    if kind == "far":
        x = 30 * x + 100
    w = random.standard_normal((p, classes)) / numpy.maximum(numpy.abs(x).mean(0), 1e-9)[:, None]
    score = x @ w + 2 * random.gumbel(size=(n, classes))
    y = score.argmax(1)
    y[:classes] = range(classes)
    return x.astype(numpy.float32), y.astype(numpy.int32)


def main():
    random = numpy.random.default_rng(5)
    tensors = {}
    kinds = [("few", 120, 3, 2, "plain", 1), ("separable", 40, 70, 2, "plain", 1), ("sparse", 200, 20, 2, "sparse", 1),
             ("far", 150, 6, 2, "far", 1), ("weak", 90, 8, 2, "plain", 0.01), ("four", 160, 7, 4, "plain", 1),
             ("many", 60, 80, 5, "plain", 1), ("sparse3", 150, 12, 3, "sparse", 10)]
    for name, n, p, classes, kind, c in kinds:
        x, y = problem(random, n, p, classes, kind)
        fit = LogisticRegression(C=c, tol=1e-13, max_iter=100000, solver="newton-cg").fit(x.astype(numpy.float64), y)
        w, b = fit.coef_, fit.intercept_
        print(f"{name}: {fit.n_iter_} iterations, accuracy {fit.score(x, y):.3f}, largest weight {abs(w).max():.3g}")
        tensors |= {f"{name}.x": x, f"{name}.y": y, f"{name}.w": w, f"{name}.b": b,
                    f"{name}.C": numpy.array([c], dtype=numpy.float64)}
    safetensors.numpy.save_file({k: numpy.ascontiguousarray(v) for k, v in tensors.items()}, sys.argv[1],
                                {"made_by": f"scikit-learn {sklearn.__version__}"})


if __name__ == "__main__":
    main()
