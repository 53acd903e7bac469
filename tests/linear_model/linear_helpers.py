"""Problems of the tests of the linear models."""

import cvxpy as cp
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


def optimum(
    kind,
    X,
    targets,
    weights,
    projection,
    eta,
    fit_intercept=True,
    l2_reg=0.0,
    positive=False,
):
    """Solve with cvxpy: X and the targets are used as they are."""
    n_outputs = {"binary": 1, "multinomial": 3}.get(kind, 2)
    W = cp.Variable((X.shape[1], n_outputs))
    b = cp.Variable((1, n_outputs))
    logits = X @ W + np.ones((len(X), 1)) @ b
    if kind == "binary":
        losses = cp.logistic(cp.multiply(1.0 - 2.0 * targets, logits[:, 0]))
    elif kind == "multinomial":
        chosen = cp.multiply(np.eye(3)[targets], logits)
        losses = cp.log_sum_exp(logits, axis=1) - cp.sum(chosen, axis=1)
    elif kind == "squared_error":
        losses = 0.5 * cp.sum(cp.square(logits - targets), axis=1)
    else:
        losses = 0.5 * cp.sum(cp.huber(logits - targets, HUBER_EPSILON), axis=1)
    norms = {
        "l1": lambda: cp.sum(cp.abs(W)),
        "l12": lambda: cp.sum(cp.norm(W, 2, axis=1)),
        "l1inf": lambda: cp.sum(cp.max(cp.abs(W), axis=1)),
    }
    constraints = [norms[projection]() <= eta]
    if not fit_intercept:
        constraints.append(b == 0)
    if positive:
        constraints.append(W >= 0)
    objective = weights @ losses / np.sum(weights)
    objective += 0.5 * l2_reg * cp.sum_squares(W)
    problem = cp.Problem(cp.Minimize(objective), constraints)
    return problem.solve(solver="CLARABEL", tol_gap_abs=1e-9, tol_gap_rel=1e-9)


def standardized(X, weights):
    mean = np.average(X, axis=0, weights=weights)
    return (X - mean) / np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weights))
