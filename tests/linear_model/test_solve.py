"""Ball-constrained linear models against another solver and their own bounds."""

import numpy as np
import pytest
from linear_helpers import (
    BILEVEL,
    EXACT,
    LOSSES,
    gradient_at,
    make_data,
    make_problem,
    standardized,
)
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.linear_model import LogisticRegression

import skproj.linear_model._ball_constrained as ball_constrained
from skproj.linear_model._ball_constrained import BallConstrainedProblem
from skproj.linear_model._constraint import CoefficientBall


def test_solve_from_its_own_result_takes_one_iteration():
    """A warm start is recognised as converged."""
    problem = make_problem("multinomial")
    fit = problem.solve(1.0, tol=1e-6)
    assert fit.n_iter > 1
    assert problem.solve(1.0, start=fit, tol=2e-6).n_iter == 1


@pytest.mark.parametrize("kind", ["binary", "multinomial"])
def test_solve_without_constraint_is_logistic_regression(kind):
    """An infinite radius gives the unpenalised maximum likelihood."""
    X, targets, loss = make_data(kind, n_samples=200)
    problem = BallConstrainedProblem(X, targets, loss=loss)
    fit = problem.solve(np.inf, tol=1e-9, max_iter=10000)
    assert fit.converged
    coef, intercept = problem.original_units(fit)
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10000).fit(X, targets)
    assert_allclose(coef.T, model.coef_, atol=1e-5)
    assert_allclose(intercept, model.intercept_, atol=1e-5)
    assert fit.gap == fit.objective


def test_solve_sparse_with_duplicates_equals_dense():
    """Entries that are stored in several parts count as their sum."""
    X, targets, loss = make_data("binary")
    rows, columns = np.nonzero(X)
    halves = sparse.coo_array(
        (
            np.repeat(X[rows, columns] / 2.0, 2),
            (np.repeat(rows, 2), np.repeat(columns, 2)),
        ),
        shape=X.shape,
    )
    doubled = sparse.csr_array(X.shape)
    doubled.data = halves.data
    doubled.indices = halves.coords[1].astype(np.int32)
    doubled.indptr = np.searchsorted(halves.coords[0], np.arange(len(X) + 1))
    doubled.indptr = doubled.indptr.astype(np.int32)
    assert not doubled.has_canonical_format
    n_stored = doubled.nnz
    fits = [
        BallConstrainedProblem(data, targets, loss=loss).solve(1.0)
        for data in (X, doubled)
    ]
    assert_allclose(fits[1].coef, fits[0].coef, atol=1e-12)
    assert doubled.nnz == n_stored


@pytest.mark.parametrize("projection", EXACT)
def test_solve_float32_ends_at_an_unreachable_tolerance(projection):
    """Rounding errors of the products do not trap the search for a step."""
    X, targets, loss = make_data("multinomial")
    problem = BallConstrainedProblem(X.astype(np.float32), targets, loss=loss)
    fit = problem.solve(1.0, projection, tol=0.0, max_iter=300)
    assert fit.n_iter <= 300
    assert fit.gap < 1e-5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("projection", ["l1", "l1inf", "bilevel_l12", "bilevel_l1inf"])
def test_curvature_is_that_of_the_loss_at_most(projection, dtype):
    """Rounding errors do not shrink with the step, and are no curvature."""
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((60, 80)) + 1e-4 / np.finfo(dtype).eps).astype(dtype)
    problem = BallConstrainedProblem(X, rng.integers(0, 4, 60), loss="log_loss")
    scaled = standardized(X.astype(np.float64) - X[0], np.ones(len(X)))
    largest = 0.5 * np.linalg.norm(scaled, ord=2) ** 2 / len(X)
    part = problem.objective.part(CoefficientBall(projection, 60.0))
    part.solve(np.zeros((80, 4)), np.zeros(4), 60.0, 200, -1.0)
    assert 0.0 < part.largest_curvature < 2.0 * largest


@pytest.mark.parametrize("l2_reg", [0.0, 0.2])
@pytest.mark.parametrize("projection", [*EXACT, *BILEVEL])
def test_solve_in_working_sets_equals_solving_the_whole(
    projection, l2_reg, monkeypatch
):
    """A few features give the result for all of them, with its certificate."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 300))
    targets = X[:, :3].argmax(axis=1)
    problem = BallConstrainedProblem(X, targets, loss="log_loss", l2_reg=l2_reg)
    fits = []
    for size in (10, 1000):
        monkeypatch.setattr(ball_constrained, "FIRST_WORKING_SET_SIZE", size)
        fits.append(problem.solve(1.0, projection, tol=1e-7, max_iter=5000))
    part, whole = fits
    assert part.converged
    assert_allclose(part.objective, whole.objective, atol=1e-6)
    assert_allclose(part.gap, whole.gap, atol=1e-3)
    assert_array_equal(part.coef.any(axis=1), whole.coef.any(axis=1))


def test_solve_in_working_sets_certifies_all_features(monkeypatch):
    """When the iterations run out the gap is still one of the whole problem."""
    monkeypatch.setattr(ball_constrained, "FIRST_WORKING_SET_SIZE", 10)
    X = np.random.default_rng(0).standard_normal((60, 300))
    problem = BallConstrainedProblem(X, (X[:, 0] > 0).astype(int), loss="log_loss")
    best = problem.solve(5.0, tol=1e-9, max_iter=20000)
    for max_iter in (1, 3, 10, 30):
        fit = problem.solve(5.0, max_iter=max_iter)
        assert fit.n_iter <= max_iter
        assert fit.objective - best.objective <= fit.gap + 1e-9


@pytest.mark.parametrize("projection", BILEVEL)
def test_solve_bilevel_is_a_fixed_point_for_every_step(projection):
    """Gradient step and bi-level projection leave the result where it is."""
    problem = make_problem("multinomial")
    fit = problem.solve(0.8, projection, tol=1e-9, max_iter=20000)
    assert fit.converged
    logits = problem.design.dot(fit.coef) + fit.intercept
    _, residuals = problem.loss.value_and_residuals(logits)
    gradient = problem.design.transposed_dot(residuals)
    constraint = CoefficientBall(projection, 0.8)
    for curvature in (0.3, 1.0, 10.0):
        moved = constraint.project(fit.coef - gradient / curvature)
        assert_allclose(moved, fit.coef, atol=1e-6)


@pytest.mark.parametrize("projection", BILEVEL)
def test_fixed_point_residual_is_zero_at_a_fixed_point_only(projection):
    """It is not negative in the ball, and vanishes where the map moves nothing."""
    problem = make_problem("multinomial")
    constraint = CoefficientBall(projection, 0.8)
    fit = problem.solve(0.8, projection, tol=1e-9, max_iter=20000)
    gradient, _ = gradient_at(problem, fit.coef)
    assert 0.0 <= constraint.fixed_point_residual(fit.coef, gradient) + 1e-15 < 1e-7
    rng = np.random.default_rng(0)
    for scale in (1e-3, 0.1, 10.0):
        coef = fit.coef + scale * rng.standard_normal(fit.coef.shape)
        for point in (constraint.project(coef), coef):
            gradient, _ = gradient_at(problem, point)
            moved = constraint.project(point - gradient)
            fixed_point_residual = constraint.fixed_point_residual(point, gradient)
            assert fixed_point_residual > 1e-3 * np.abs(moved - point).max()


@pytest.mark.parametrize("projection", ["l12", "bilevel_l12"])
def test_fixed_point_residual_of_an_exact_ball_is_the_duality_gap(projection):
    """Where the inner norm is its own dual the two measures are one."""
    problem = make_problem("multinomial")
    constraint = CoefficientBall(projection, 0.8)
    coef = constraint.project(np.random.default_rng(0).standard_normal((12, 3)))
    gradient, _ = gradient_at(problem, coef)
    gap = np.vdot(gradient, coef) + 0.8 * constraint.dual_norm(gradient)
    assert_allclose(constraint.fixed_point_residual(coef, gradient), gap, rtol=1e-12)


@pytest.mark.parametrize("projection", [*EXACT, *BILEVEL])
@pytest.mark.parametrize("kind", LOSSES)
def test_solve_needs_few_iterations(kind, projection):
    """No problem of twelve features takes hundreds of gradients."""
    fit = make_problem(kind).solve(1.0, projection)
    assert fit.converged
    assert fit.n_iter < 80


@pytest.mark.parametrize("projection", BILEVEL)
def test_solve_bilevel_with_one_output_is_exact(projection):
    """With groups of one entry there is only the l1 ball."""
    problem = make_problem("binary")
    fit, expected = problem.solve(0.8, projection), problem.solve(0.8, "l1")
    assert fit.converged
    assert fit.gap <= 1e-4
    assert_allclose(fit.coef, expected.coef, atol=1e-12)


def test_solve_refuses_what_a_callable_breaks():
    """A projection that returns NaN is named."""
    problem = make_problem("multinomial")
    with pytest.raises(ValueError, match=r"projection returned NaN"):
        problem.solve(1.0, lambda W, radius, axis: W * np.nan)


@pytest.mark.parametrize("order", ["C", "F"])
def test_solve_leaves_the_data_alone(order):
    """X is used in place, may be read-only, and is not written to."""
    X, targets, loss = make_data("multinomial")
    X = np.asarray(X, order=order)
    before = X.copy()
    X.setflags(write=False)
    problem = BallConstrainedProblem(X, targets, loss=loss)
    problem.solve(1.0)
    assert problem.design.X is X
    assert_array_equal(X, before)


def test_solve_accepts_strided_data():
    """Columns with gaps between them give what a copy gives."""
    X, targets, loss = make_data("multinomial")
    wide = np.repeat(X, 2, axis=1)
    fits = [
        BallConstrainedProblem(data, targets, loss=loss).solve(1.0)
        for data in (X, wide[:, ::2])
    ]
    assert_allclose(fits[0].coef, fits[1].coef, atol=1e-12)


def test_solve_with_constant_features_selects_none_of_them():
    """Constant columns stay at zero, also where their mean is not exact."""
    X, targets, loss = make_data("binary")
    X[:, 4], X[:, 7] = 0.1, 1e9
    X[0, 7] += 1e-7
    for data in (X, sparse.csr_array(X)):
        fit = BallConstrainedProblem(data, targets, loss=loss).solve(np.inf)
        assert_array_equal(fit.coef[[4, 7]], 0.0)


def test_solve_of_constant_data_is_the_intercept():
    """Without any variation the model is the mean."""
    targets = np.array([[1.0], [2.0], [6.0]])
    problem = BallConstrainedProblem(np.ones((3, 2)), targets, loss="squared_error")
    for projection in ("l1inf", "bilevel_l1inf"):
        fit = problem.solve(1.0, projection)
        assert fit.converged
        coef, intercept = problem.original_units(fit)
        assert_array_equal(coef, 0.0)
        assert_allclose(intercept, 3.0)


def test_solve_keeps_a_warm_start_larger_than_the_first_working_set():
    """All nonzero features of the start are in the first working set."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 1000))
    targets = (X[:, :8] @ rng.standard_normal((8, 4))).argmax(axis=1)
    problem = BallConstrainedProblem(X, targets, loss="log_loss")
    cold = problem.solve(20.0, "l12", tol=1e-4)
    assert np.count_nonzero(cold.coef.any(axis=1)) > 100
    warm = problem.solve(20.0, "l12", start=cold, tol=2e-4)
    assert warm.n_iter <= 2 < cold.n_iter
