"""Problems of the tests of the linear models."""

import numpy as np

LOSSES = ["binary", "multinomial", "squared_error", "huber"]
HUBER_EPSILON = 0.4


def make_data(kind, n_samples=40, n_features=12, seed=0):
    """Return X, targets and the public name of the loss."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_samples, n_features)) * np.arange(1, n_features + 1)
    X += rng.standard_normal(n_features)
    signal = X[:, :3] / X[:, :3].std(axis=0) + rng.standard_normal((n_samples, 3))
    if kind == "binary":
        return X, (signal[:, 0] > 0.2).astype(int), "log_loss"
    if kind == "multinomial":
        return X, signal.argmax(axis=1), "log_loss"
    return X, 5.0 * signal[:, :2] + 30.0, kind


def gradient_at(problem, coef):
    products = problem.design.dot(coef)
    start = np.zeros(coef.shape[1])
    _, value, residuals = problem.loss.best_intercept(products, start)
    return problem.design.transposed_dot(residuals), value
