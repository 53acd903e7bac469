"""Weights, groups, and features outside of the ball, in the linear models."""

import numpy as np
import pytest
from linear_helpers import (
    HUBER_EPSILON,
    LOSSES,
    make_data,
)
from numpy.testing import assert_allclose, assert_array_equal

from skproj.linear_model._ball_constrained import BallConstrainedProblem
from skproj.linear_model._constraint import CoefficientBall
from skproj.linear_model._feature_structure import make_structure
from skproj.linear_model._losses import make_loss
from skproj.linear_model._row_groups import RowGroups
from skproj.projection import BALLS

EQUAL = np.arange(12) % 4
UNEQUAL = [[0, 4, 5], [1, 2], [7, 8, 9, 10]]
OVERLAPPING = [[0, 1, 2], [2, 3, 4, 5], [0, 9]]
GROUPED = ["l12", "l1inf", "bilevel_l11", "bilevel_l12", "bilevel_l1inf"]


def make_problem(kind, X=None, standardize=True, fit_intercept=True, **structure):
    data, targets, loss = make_data(kind)
    options = {}
    if "l2_reg" in structure:
        options["l2_reg"] = structure.pop("l2_reg")
    return BallConstrainedProblem(
        data if X is None else X,
        targets,
        loss=loss,
        huber_epsilon=HUBER_EPSILON,
        standardize=standardize,
        fit_intercept=fit_intercept,
        structure=make_structure(data.shape[1], **structure),
        **options,
    )


@pytest.mark.parametrize("order", [1, 2, np.inf])
@pytest.mark.parametrize("sizes", [None, np.array([3, 1, 2]), np.zeros(0, int)])
def test_row_groups_agree_with_loops(sizes, order):
    """Norms, subsets and projections are those of each group taken by itself."""
    listed = np.ones(3, int) if sizes is None else sizes
    rng = np.random.default_rng(0)
    array = np.asfortranarray(rng.standard_normal((listed.sum(), 2)))
    groups = RowGroups(sizes)
    parts = np.split(np.arange(len(array)), np.cumsum(listed))[:-1]
    assert groups.count(len(array)) == len(parts)
    found = groups.norms(array, order)
    expected = [np.linalg.norm(array[part].ravel(), order) for part in parts]
    assert_allclose(found, expected)
    if len(parts) == 3:
        rows, part = groups.subset(np.array([0, 2]))
        assert_array_equal(rows, np.concatenate([parts[0], parts[2]]))
        assert_allclose(part.norms(array[rows], order), found[[0, 2]])


def test_norms_of_single_entries_are_not_squared():
    array = np.array([[1e-25], [-1e25]], dtype=np.float32)
    assert_array_equal(RowGroups().norms(array, 2), np.abs(array[:, 0]))


@pytest.mark.parametrize("name", GROUPED)
def test_projection_of_unequal_groups_is_that_of_padded_ones(name):
    """Zeros at the end of a group change nothing."""
    rng = np.random.default_rng(0)
    sizes = np.array([3, 1, 2, 4])
    array = rng.standard_normal((10, 2))
    padded = np.zeros((4, 8))
    inside = np.arange(8) < 2 * sizes[:, np.newaxis]
    padded[inside] = array.ravel()
    for eta in (0.0, 0.5, 2.0, 100.0):
        expected = BALLS[name].project(padded, eta, axis=1)
        constraint = CoefficientBall(name, eta, RowGroups(sizes))
        found = constraint.project(array)
        assert_allclose(found.ravel(), expected[inside], atol=1e-12)
        plain = CoefficientBall(name, eta)
        gradient = rng.standard_normal(padded.shape) * inside
        part = gradient[inside].reshape(10, 2)
        assert_allclose(constraint.dual_norm(part), plain.dual_norm(gradient))
        assert_allclose(constraint.scores(array), plain.scores(padded))
        assert_allclose(
            constraint.fixed_point_residual(found, part),
            plain.fixed_point_residual(expected, gradient),
        )


def loss_with_basis(kind, epsilon=HUBER_EPSILON):
    """Return a loss with an intercept of three columns, orthonormal for its weights."""
    _, targets, name = make_data(kind)
    rng = np.random.default_rng(0)
    weights = 0.2 + rng.random(len(targets))
    weights /= weights.sum()
    root = np.sqrt(weights)[:, np.newaxis]
    columns = np.column_stack([np.ones(len(weights)), rng.normal(size=(40, 2))])
    basis = np.linalg.qr(root * columns)[0] / root
    loss = make_loss(name, targets, weights, huber_epsilon=epsilon)
    return loss.with_basis(basis), rng


@pytest.mark.parametrize("kind", LOSSES)
def test_hessian_of_free_coefficients_is_the_derivative(kind):
    """The gradient of the coefficients of the basis changes as it says."""
    loss, rng = loss_with_basis(kind, epsilon=2.0)
    logits = rng.standard_normal((40, loss.n_outputs))
    if kind not in ("binary", "multinomial"):
        logits += make_data(kind)[1]
    step = rng.standard_normal((3, loss.n_outputs))
    step -= step.mean(axis=1, keepdims=True) if kind == "multinomial" else 0.0
    h = 1e-6
    ahead, behind = (
        loss.value_and_residuals(logits + sign * h * (loss.basis @ step))[1]
        for sign in (1, -1)
    )
    _, residuals = loss.value_and_residuals(logits)
    hessian = loss.second_derivative(loss.basis, logits, residuals)
    assert_allclose(hessian, hessian.T, atol=1e-12)
    expected = loss.basis.T @ (ahead - behind) / (2 * h)
    assert_allclose(hessian @ step.ravel(), expected.ravel(), atol=1e-6)


@pytest.mark.parametrize("offset", [0.0, 1e3, -1e6])
@pytest.mark.parametrize("kind", [*LOSSES, "nearly absolute errors"])
def test_free_coefficients_are_found_from_afar(kind, offset):
    """Newton's method ends at residuals orthogonal to the basis, from anywhere."""
    if kind in LOSSES:
        loss, rng = loss_with_basis(kind)
    else:
        loss, rng = loss_with_basis("huber", epsilon=0.02)
    products = rng.standard_normal((40, loss.n_outputs))
    start = np.full((3, loss.n_outputs), offset)
    intercept, value, residuals = loss.best_intercept(products, start)
    atol = 2e-10 * np.abs(residuals).sum()
    assert_allclose(loss.basis.T @ residuals, 0.0, atol=atol)
    at_end, _ = loss.value_and_residuals(products + loss.basis @ intercept)
    assert_allclose(value, at_end)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", LOSSES)
def test_collinear_forced_columns_share_their_weight(kind, dtype):
    """A copy of a column, and a constant one, change the logits of no model."""
    X, _, _ = make_data(kind)
    X = X.astype(dtype)
    X[:, 5] = X[:, 4]
    X[:, 6] = 3.0
    both = make_problem(kind, X, always_keep=[4, 5, 6])
    one = make_problem(kind, X, always_keep=[4], never_keep=[5, 6])
    found, expected = (p.solve(0.5, "l12", tol=1e-6) for p in (both, one))
    assert_allclose(found.objective, expected.objective, rtol=1e-5)
    coef, _ = both.original_units(found)
    assert_allclose(coef[4], coef[5], rtol=1e-4)
    assert_array_equal(coef[6], 0.0)
    wanted, _ = one.original_units(expected)
    assert_allclose(coef[4] + coef[5], wanted[4], rtol=1e-2, atol=1e-4)


def gradient_at_fit(problem, fit):
    products = problem.design.dot(fit.coef)
    _, value, residuals = problem.loss.best_intercept(products, fit.intercept)
    return problem.design.transposed_dot(residuals), value


@pytest.mark.parametrize("name", GROUPED)
@pytest.mark.parametrize("equal", [True, False])
def test_working_sets_of_groups_find_the_same_model(name, equal):
    """With many groups, the model is that of all of them at once."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 600))
    y = X[:, :4].sum(axis=1, keepdims=True) + rng.standard_normal((30, 1))
    labels = np.arange(600) // 3
    if not equal:
        labels[0] = 1
    problem = BallConstrainedProblem(
        X,
        y,
        loss="squared_error",
        structure=make_structure(600, feature_groups=labels),
    )
    fit = problem.solve(1.0, name, tol=1e-7, max_iter=5000)
    assert fit.converged
    constraint = problem.constraint(name, 1.0)
    gradient, value = gradient_at_fit(problem, fit)
    if constraint.kernel(fit.coef.shape).exact:
        residual = constraint.dual_norm(gradient) + np.vdot(fit.coef, gradient)
    else:
        residual = constraint.fixed_point_residual(fit.coef, gradient)
    assert_allclose(value, fit.objective)
    assert residual <= 1e-5
    assert 0 < np.count_nonzero(problem.models([fit]).supports) < 100


def test_structure_arranges_features():
    """Columns are in the order of the groups; what is not in the ball is left out."""
    structure = make_structure(
        6, feature_groups=[[5, 1], [3, 4]], always_keep=[4], never_keep=[0]
    )
    assert_array_equal(structure.columns, [1, 5, 2, 3])
    assert_array_equal(structure.sizes, [2, 1, 1])
    assert_allclose(structure.weights, [2**0.5, 2**0.5, 1.0, 1.0])
    assert_array_equal(structure.forced, [4])
    plain = make_structure(6, feature_groups=[[3], [1]])
    assert (plain.columns, plain.weights, plain.sizes) == (None, None, None)
    halves = make_structure(4, feature_groups=["a", "b", "a", "b"])
    assert_array_equal(halves.columns, [0, 2, 1, 3])
    assert_array_equal(halves.sizes, [2, 2])
    assert [halves.reachable(n) for n in (1, 2, 3, 4)] == [2, 2, 2, 4]


def test_structure_keeps_whole_groups():
    """As many of the best groups as have no more features, and one at least."""
    structure = make_structure(6, feature_groups=[[0, 1, 2], [2, 3]])
    scores = np.array([2.0, 3.0, 0.0, 1.0])  # of 012, 23, 4, 5
    kept = [structure.best_groups(scores, n) for n in (1, 3, 4, 5)]
    assert_array_equal(kept[0], [0.0, 3.0, 0.0, 0.0])
    assert_array_equal(kept[1], [0.0, 3.0, 0.0, 0.0])
    assert_array_equal(kept[2], [2.0, 3.0, 0.0, 0.0])
    assert_array_equal(kept[3], scores)
    assert_array_equal(structure.feature_scores(scores), [2, 2, 3, 3, 0, 1])


@pytest.mark.parametrize("seed", range(20))
def test_best_groups_are_those_of_the_definition(seed):
    """Groups one by one, some of them with features of better ones, while they fit."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 4, 6)
    structure = make_structure(
        10, feature_groups=[rng.choice(10, size, replace=False) for size in sizes]
    )
    scores = np.round(rng.exponential(2.0, structure.n_groups))
    for n_selected in range(1, 12):
        expected = np.zeros_like(scores)
        for group in np.argsort(-scores, kind="stable"):
            fuller = expected.copy()
            fuller[group] = scores[group]
            n_found = np.count_nonzero(structure.feature_scores(fuller))
            if n_found > n_selected and expected.any():
                break
            expected = fuller
            if n_found >= n_selected:
                break
        assert_array_equal(structure.best_groups(scores, n_selected), expected)
