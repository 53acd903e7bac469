"""Linear models whose coefficients must not be negative."""

import numpy as np
import pytest
from linear_helpers import (
    BILEVEL,
    make_problem,
)
from numpy.testing import assert_allclose, assert_array_equal

from skproj.linear_model._ball_constrained import BallConstrainedProblem


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
