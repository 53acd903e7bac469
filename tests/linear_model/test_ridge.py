"""The ridge penalty of ball-constrained models."""

import numpy as np
import pytest
from linear_helpers import (
    BILEVEL,
    EXACT,
    make_data,
    standardized,
)
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.linear_model import LogisticRegression, Ridge

import skproj.linear_model._ball_constrained as ball_constrained
from skproj.linear_model._ball_constrained import BallConstrainedProblem


@pytest.mark.parametrize("kind", ["binary", "multinomial"])
def test_ridge_without_constraint_is_that_of_scikit_learn(kind):
    """An infinite radius gives the penalised logistic regression."""
    X, targets, loss = make_data(kind, n_samples=200)
    scaled = standardized(X, np.ones(len(X)))
    problem = BallConstrainedProblem(X, targets, loss=loss, l2_reg=0.1)
    fit = problem.solve(np.inf, tol=1e-9, max_iter=10000)
    model = LogisticRegression(C=1.0 / (0.1 * len(X)), tol=1e-10, max_iter=10000)
    model.fit(scaled, targets)
    assert_allclose(fit.coef.T, model.coef_, atol=1e-5)


def test_ridge_regression_is_that_of_scikit_learn():
    """The sum of squares has half the weight of the penalty of Ridge."""
    X, targets, loss = make_data("squared_error")
    problem = BallConstrainedProblem(X, targets, loss=loss, l2_reg=0.5)
    weights = np.ones(len(X))
    model = Ridge(alpha=0.5 * len(X)).fit(
        standardized(X, weights), standardized(targets, weights)
    )
    fit = problem.solve(np.inf, tol=1e-10, max_iter=10000)
    assert_allclose(fit.coef.T, model.coef_, atol=1e-7)


@pytest.mark.parametrize("projection", [*EXACT, *BILEVEL])
def test_ridge_in_working_sets_equals_solving_the_whole(projection, monkeypatch):
    """The gap of a few features is that of all features."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 300))
    targets = X[:, :3].argmax(axis=1)
    problem = BallConstrainedProblem(X, targets, loss="log_loss", l2_reg=0.2)
    fits = []
    for size in (10, 1000):
        monkeypatch.setattr(ball_constrained, "FIRST_WORKING_SET_SIZE", size)
        fits.append(problem.solve(1.0, projection, tol=1e-7, max_iter=5000))
    assert fits[0].converged
    assert_allclose(fits[0].objective, fits[1].objective, atol=1e-6)
    assert_allclose(fits[0].gap, fits[1].gap, atol=1e-3)
    assert_array_equal(fits[0].coef.any(axis=1), fits[1].coef.any(axis=1))


def test_ridge_shares_the_weight_of_equal_features():
    """Copies of a feature get the same coefficient, where the l1 ball alone may not."""
    X, targets, loss = make_data("binary")
    X[:, 5] = X[:, 0]
    problem = BallConstrainedProblem(X, targets, loss=loss, l2_reg=0.1)
    coef = problem.solve(1.0, "l1", tol=1e-10, max_iter=20000).coef
    assert coef[0] != 0.0
    assert_allclose(coef[5], coef[0], rtol=1e-4)


def test_ridge_of_sparse_data_is_that_of_dense():
    """Sparse matrices give the same model, and so does another start."""
    X, targets, loss = make_data("multinomial")
    X[np.random.default_rng(0).random(X.shape) < 0.6] = 0.0
    dense, thin = (
        BallConstrainedProblem(data, targets, loss=loss, l2_reg=0.1)
        for data in (X, sparse.csr_array(X))
    )
    expected = dense.solve(0.8, tol=1e-8, max_iter=5000)
    start = dense.with_l2_reg(0.0).solve(0.8)
    for fit in (
        thin.solve(0.8, tol=1e-8, max_iter=5000),
        dense.solve(0.8, start=start, tol=1e-8, max_iter=5000),
    ):
        assert_allclose(fit.coef, expected.coef, atol=1e-5)
