"""The radii that a number of them stands for, and the path over them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_breast_cancer, load_diabetes

from skproj.linear_model._eta_path import make_etas, solve_path
from skproj.linear_model._targets import make_problem

OPTIONS = {"projection": "l12", "max_iter": 1000, "n_threads": 1}


def make_cancer(**options):
    X, y = load_breast_cancer(return_X_y=True)
    return make_problem(X, y, loss="log_loss", **options)


def test_slope_is_the_derivative_of_the_minimum():
    """What a larger radius gains, by differences of accurate fits."""
    problem = make_cancer(l2_reg=0.01)
    low, middle, high = (
        problem.solve(eta, "l12", tol=1e-10, max_iter=20000)
        for eta in (0.999, 1.0, 1.001)
    )
    expected = (low.objective - high.objective) / 0.002
    assert_allclose(problem.slope(middle, "l12"), expected, rtol=1e-4)


def test_radii_end_where_the_slope_is_small():
    """The slope there is 0.4 % of that at zero, but for the interpolation."""
    problem = make_cancer()
    etas = make_etas(30, problem, tol=1e-4, **OPTIONS)
    fit = problem.solve(etas[-1], "l12", tol=1e-6, max_iter=20000)
    share = problem.slope(fit, "l12") / problem.slope(None, "l12")
    assert 0.002 < share < 0.008


def test_path_on_few_correlated_features_needs_few_iterations():
    """No model of the default path takes hundreds of gradients."""
    problem = make_cancer()
    etas = make_etas(30, problem, tol=1e-4, **OPTIONS)
    fits = list(solve_path(problem, etas, tol=1e-4, **OPTIONS))
    assert all(fit.converged for fit in fits)
    assert sum(fit.n_iter for fit in fits) < 900


@pytest.mark.parametrize("etas", [[0.5, 0.5, 1.0], [0.5, 1.0, np.inf], [1.0], [1, 2]])
def test_path_takes_any_radii(etas):
    """Equal and infinite radii have no straight continuation."""
    X, y = load_diabetes(return_X_y=True)
    problem = make_problem(X, y, loss="squared_error")
    options = {**OPTIONS, "tol": 1e-8, "max_iter": 50000}
    for eta, fit in zip(
        etas, solve_path(problem, np.array(etas), **options), strict=True
    ):
        alone = problem.solve(eta, **options)
        assert_allclose(fit.objective, alone.objective, atol=1e-7)
