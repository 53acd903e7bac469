"""The radii that a number of them stands for, and the path over them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.linear_model import lars_path
from sklearn.preprocessing import scale

from skproj.linear_model._eta_path import make_etas, solve_path
from skproj.linear_model._feature_structure import make_structure
from skproj.linear_model._targets import make_problem
from skproj.projection import projection_l1_ball

SQUARED = {"loss": "squared_error"}
OPTIONS = {"projection": "l12", "max_iter": 1000}


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


def lasso_path(X, y):
    """Return the l1 norms at the knots of the lasso path, and the numbers of features.

    By least angle regression, for standardised features and targets; the numbers are
    those between a knot and the next one.
    """
    X, y = (scale(values) for values in (X, y))
    _, _, coefs = lars_path(X, y, method="lasso")
    middles = (coefs[:, 1:] + coefs[:, :-1]) / 2.0
    return np.abs(coefs).sum(axis=0), np.count_nonzero(middles, axis=0)


@pytest.mark.parametrize("effect", [0.02, 0.0], ids=["weak", "noise"])
def test_grid_has_models_of_each_small_number(effect):
    """From the null model and the second knot of the lasso path to its end."""
    rng = np.random.default_rng(0)
    X, noise = rng.normal(size=(20_000, 20)), rng.normal(size=20_000)
    y = effect * X[:, :4].sum(axis=1) + noise
    problem = make_problem(X, y, **SQUARED)
    etas = make_etas(30, problem, "l12")
    knots, numbers = lasso_path(X, y)
    assert etas[0] == 0.0
    assert 0.8 * knots[1] < etas[1] < knots[1]
    assert 0.9 * knots[-1] < etas[-1] < 1.05 * knots[-1]
    inside = etas[(etas > 0.0) & (etas < knots[-1])]
    numbers = numbers[np.searchsorted(knots, inside) - 1]
    assert {1, 2, 3, 4} <= {*numbers}
    for number in (1, 4):
        eta = inside[numbers == number][0]
        fit = problem.solve(eta, "l12", tol=1e-9, max_iter=10_000)
        found = np.flatnonzero(fit.coef)
        assert len(found) == number
        if effect:
            assert found.max() < 4


@pytest.mark.parametrize("projection", ["l12", "l1inf", "l1", "bilevel_l1inf"])
@pytest.mark.parametrize("data", [load_diabetes, load_wine, load_breast_cancer])
def test_second_group_enters_just_beyond_the_first_radius(data, projection):
    """By accurate fits on both sides of where it may be."""
    X, y = data(return_X_y=True)
    loss = "squared_error" if data is load_diabetes else "log_loss"
    problem = make_problem(X, y, loss=loss)
    null, first, *_ = make_etas(8, problem, projection)
    assert null == 0.0
    for eta, n_groups in ((first, 1), (1.3 * first, 2)):
        fit = problem.solve(eta, projection, tol=1e-10, max_iter=20_000)
        assert np.count_nonzero(fit.coef.any(axis=1)) == n_groups


def test_first_radius_where_the_loss_is_linear_at_zero():
    """Small radii do not show how slopes fall there; rounding must not guess that."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 5))
    y = 1e4 * (X[:, 0] + 0.5 * X[:, 1] + 0.01 * rng.normal(size=100))
    problem = make_problem(X, y, loss="huber", standardize=False)
    eta = make_etas(2, problem, **OPTIONS)[1]
    for factor, n_features in ((1.0, 1), (1.3, 2)):
        fit = problem.solve(factor * eta, "l12", tol=1e-7, max_iter=10_000)
        assert np.count_nonzero(fit.coef) == n_features
    problem = make_problem(X, 10.0 * y, loss="huber", standardize=False)
    assert np.isfinite(make_etas(5, problem, **OPTIONS)).all()


def test_first_radius_of_groups_forced_features_survival_and_sparse_data():
    """One group beside what is always in the model."""
    X, y = load_diabetes(return_X_y=True)
    times = np.zeros(len(y), dtype=[("event", bool), ("time", float)])
    times["event"], times["time"] = np.arange(len(y)) % 3 > 0, 400.0 - y
    pairs = make_structure(10, feature_groups=[0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
    forced = make_structure(10, always_keep=[2], never_keep=[8])
    for options in (
        {"structure": pairs},
        {"structure": forced},
        {"y": times, "loss": "cox"},
        {"X": sparse.csr_array(np.where(X > 0.0, X, 0.0))},
        {"y": np.column_stack([y, y**2, X[:, 0]])},
    ):
        problem = make_problem(**{"X": X, "y": y, **SQUARED, **options})
        eta = make_etas(2, problem, "l12")[1]
        groups = problem.constraint("l12").groups
        for factor, n_groups in ((1.0, 1), (1.3, 2)):
            fit = problem.solve(factor * eta, "l12", tol=1e-10, max_iter=20_000)
            assert np.count_nonzero(groups.nonzero(fit.coef)) == n_groups


def test_tied_features_enter_together():
    """Then the first radius is that of those without copies."""
    X, y = load_diabetes(return_X_y=True)
    once, twice = (
        make_etas(6, make_problem(data, y, **SQUARED), "l12")
        for data in (X, np.hstack([X, X]))
    )
    assert_allclose(twice, once, rtol=0.01)


def test_grid_without_a_second_feature_and_without_any():
    """The radii span a factor of four at least, of the whole model or of nothing."""
    X, y = load_diabetes(return_X_y=True)
    problem = make_problem(X[:, [2]], y, **SQUARED)
    etas = make_etas(5, problem, "l12")
    end = lasso_path(X[:, [2]], y)[0][-1]
    assert_allclose(etas[[1, -1]], [end / 4.0, end], rtol=1e-3)
    etas = make_etas(5, make_problem(np.ones_like(X), y, **SQUARED), "l12")
    assert len(np.unique(etas)) == 5


def test_short_grids():
    """One radius keeps a feature; the next numbers add none, then all."""
    problem = make_cancer()
    grids = [make_etas(n, problem, "l12") for n in (1, 2, 3, 30)]
    null, one, *_, largest = grids[-1]
    for grid, expected in zip(
        grids[:3], ([one], [null, one], [null, one, largest]), strict=True
    ):
        assert_allclose(grid, expected)


@pytest.mark.parametrize("projection", ["l1inf", "bilevel_l1inf", projection_l1_ball])
def test_radius_of_zero_is_the_null_model(projection):
    """Without a projection, and whatever the start."""
    problem = make_cancer()
    start = problem.solve(1.0, "l1inf")
    fit = problem.solve(0.0, projection, start=start)
    assert not fit.coef.any()
    assert fit.converged
    assert fit.gap == 0.0
    share = load_breast_cancer().target.mean()
    entropy = -share * np.log(share) - (1.0 - share) * np.log(1.0 - share)
    assert_allclose(fit.objective, entropy)


def test_radii_end_where_the_slope_is_small():
    """The slope there is 0.4 % of that at zero, but for the interpolation."""
    problem = make_cancer()
    etas = make_etas(30, problem, **OPTIONS)
    fit = problem.solve(etas[-1], "l12", tol=1e-6, max_iter=20000)
    share = problem.slope(fit, "l12") / problem.slope(None, "l12")
    assert 0.002 < share < 0.008


def test_path_on_few_correlated_features_needs_few_iterations():
    """No model of the default path takes hundreds of gradients."""
    problem = make_cancer()
    etas = make_etas(30, problem, **OPTIONS)
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
