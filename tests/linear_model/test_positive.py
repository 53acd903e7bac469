"""Linear models whose coefficients must not be negative."""

import numpy as np
import pytest
from linear_helpers import (
    BILEVEL,
    EXACT,
    LOSSES,
    make_data,
    make_problem,
    optimum,
    standardized,
)
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import lsq_linear, nnls

from skproj.linear_model._ball_constrained import BallConstrainedProblem
from skproj.linear_model._feature_structure import make_structure
from skproj.projection import BALLS


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("projection", EXACT)
def test_objective_is_the_minimum_of_a_convex_solver(kind, projection):
    X, targets, loss = make_data(kind)
    weights = np.random.default_rng(1).uniform(0.2, 3.0, len(X))
    problem = make_problem(kind, sample_weight=weights, positive=True)
    if loss != "log_loss":
        targets = standardized(targets, weights)
    data = kind, standardized(X, weights), targets, weights, projection
    for eta in (0.3, 2.0):
        expected = optimum(*data, eta, positive=True)
        fit = problem.solve(eta, projection, tol=1e-8, max_iter=5000)
        assert fit.converged
        assert fit.gap <= 1e-8 * max(fit.objective, 1.0)
        assert fit.coef.min() == 0.0
        assert_allclose(fit.objective, expected, atol=2e-7)
        assert BALLS[projection].norm(fit.coef, axis=1) <= eta * (1.0 + 1e-12)
        for max_iter in (1, 2, 5):
            early = problem.solve(eta, projection, max_iter=max_iter)
            assert early.objective - expected <= early.gap + 1e-7


@pytest.mark.parametrize("kind", ["multinomial", "squared_error"])
@pytest.mark.parametrize("projection", BILEVEL)
def test_bilevel_model_is_a_fixed_point(kind, projection):
    problem = make_problem(kind, positive=True, l2_reg=0.1)
    fit = problem.solve(0.5, projection, tol=1e-10)
    assert fit.converged
    assert fit.coef.min() == 0.0
    products = problem.design.dot(fit.coef)
    _, _, residuals = problem.loss.best_intercept(products, fit.intercept)
    gradient = problem.design.transposed_dot(residuals) + 0.1 * fit.coef
    constraint = problem.constraint(projection, 0.5)
    for length in (0.1, 1.0):
        step = constraint.project(fit.coef - length * gradient)
        assert_allclose(step, fit.coef, atol=1e-5)


def test_without_a_ball_it_is_nonnegative_least_squares():
    X, targets, _ = make_data("squared_error")
    options = {"loss": "squared_error", "fit_intercept": False, "standardize": False}
    problem = BallConstrainedProblem(X, targets, **options, positive=True)
    found = problem.solve(np.inf, tol=1e-9, max_iter=20000).coef
    for column, target in zip(found.T, targets.T, strict=True):
        assert_allclose(column, nnls(X, target)[0], atol=1e-6)


def test_forced_features_may_have_negative_coefficients():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 6))
    target = X @ [-1.0, 1.0, -1.0, 0.0, 2.0, 0.5] + rng.standard_normal(50)
    problem = BallConstrainedProblem(
        X,
        target[:, np.newaxis],
        loss="squared_error",
        positive=True,
        structure=make_structure(6, always_keep=[0]),
    )
    fit = problem.solve(np.inf, tol=1e-10, max_iter=10000)
    coef, _ = problem.original_units(fit)
    centred = X - X.mean(axis=0)
    bounds = [-np.inf, *np.zeros(5)], np.inf
    expected = lsq_linear(centred, target - target.mean(), bounds, tol=1e-14).x
    assert_allclose(coef[:, 0], expected, atol=1e-6)
    assert coef[0, 0] < 0.0
    assert coef[2, 0] == 0.0


def test_no_feature_is_selected_where_all_effects_are_negative():
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(30, 4))
    problem = BallConstrainedProblem(
        X, -X.sum(axis=1, keepdims=True), loss="squared_error", positive=True
    )
    for eta in (0.1, 10.0, np.inf):
        fit = problem.solve(eta, "l1", tol=1e-10)
        assert fit.converged
        assert_array_equal(fit.coef, 0.0)
        assert fit.objective == problem.null_objective
