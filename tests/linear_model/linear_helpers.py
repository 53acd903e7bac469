"""Problems of the tests of the linear models."""

import numpy as np

from skproj.linear_model._ball_constrained import BallConstrainedProblem

LOSSES = ["binary", "multinomial", "squared_error", "huber"]
HUBER_EPSILON = 0.4
EXACT = ["l1", "l12", "l1inf"]
BILEVEL = ["bilevel_l11", "bilevel_l1inf"]


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


def curvature_bound(loss, change):
    """Return the bound of what the first-order term of a change from zero misses."""
    return loss.linear_term_and_bound(change, np.zeros_like(change), change)[1]


def make_problem(kind, **options):
    X, targets, loss = make_data(kind)
    return BallConstrainedProblem(
        X, targets, loss=loss, huber_epsilon=HUBER_EPSILON, **options
    )


def standardized(X, weights):
    mean = np.average(X, axis=0, weights=weights)
    return (X - mean) / np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weights))
