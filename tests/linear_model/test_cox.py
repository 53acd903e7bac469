"""The partial likelihood of the Cox model, and models in a ball with it."""

import numpy as np
import pytest
from cox_helpers import deviance_by_definition, make_times
from linear_helpers import curvature_bound
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import logsumexp

from skproj._kernels._cox import Cox
from skproj.linear_model._ball_constrained import BallConstrainedProblem
from skproj.linear_model._losses import TIES

N_TIMES = [None, 7, 1]


def make_loss(ties, n_times=None, seed=0, n_samples=30):
    _, y = make_times(n_times=n_times, seed=seed, n_samples=n_samples)
    weights = np.random.default_rng(seed).uniform(0.1, 3.0, len(y))
    weights /= weights.sum()
    return Cox(y, weights, ties), y, weights


@pytest.mark.parametrize("n_times", N_TIMES)
@pytest.mark.parametrize("ties", TIES.values())
def test_value_is_that_of_the_definition(ties, n_times):
    """Half the deviance, with weights, ties and censored samples."""
    loss, y, weights = make_loss(ties, n_times)
    logits = np.random.default_rng(1).standard_normal(len(y))
    value, _ = loss.value_and_residuals(logits[:, np.newaxis])
    assert_allclose(value, deviance_by_definition(y, weights, logits, ties), rtol=1e-12)
    shifted, _ = loss.value_and_residuals(logits[:, np.newaxis] + 100.0)
    assert_allclose(shifted, value, rtol=1e-12)


@pytest.mark.parametrize("n_times", N_TIMES)
@pytest.mark.parametrize("ties", TIES.values())
def test_residuals_are_the_derivative(ties, n_times):
    """They agree with differences, and the curvature bound holds at any distance."""
    loss, y, _ = make_loss(ties, n_times)
    rng = np.random.default_rng(1)
    logits = rng.standard_normal((len(y), 1))
    value, residuals = loss.value_and_residuals(logits)
    assert_allclose(residuals.sum(), 0.0, atol=1e-14)
    h = 1e-6
    for i in range(len(y)):
        step = np.zeros_like(logits)
        step[i] = h
        ahead, behind = (
            loss.value_and_residuals(logits + sign * step)[0] for sign in (1, -1)
        )
        assert_allclose((ahead - behind) / (2 * h), residuals[i, 0], atol=1e-9)
    for length in (1e-2, 1.0, 10.0, 1e3):
        direction = length * rng.standard_normal(logits.shape)
        far, _ = loss.value_and_residuals(logits + direction)
        missed = far - value - np.vdot(residuals, direction)
        assert -1e-12 <= missed <= curvature_bound(loss, direction)


STRATA = {
    "two": np.arange(30) % 2,
    "labels, one without events": np.array(["c", "a", "b"] * 10),
    "a sample each": np.arange(30),
    "none": np.zeros(30),
}


def make_strata(name, n_times):
    """Return survival times that are tied across the strata, the weights and strata."""
    _, y, weights = make_loss("breslow", n_times)
    strata = STRATA[name]
    if strata.dtype.kind == "U":
        y["event"][strata == "b"] = False
    return y, weights, strata


@pytest.mark.parametrize("strata", STRATA)
@pytest.mark.parametrize("n_times", N_TIMES)
@pytest.mark.parametrize("ties", TIES.values())
def test_partial_likelihoods_of_strata_add_up(ties, n_times, strata):
    """Values, residuals and bounds are those of each stratum by itself."""
    y, weights, strata = make_strata(strata, n_times)
    loss = Cox(y, weights, ties, strata=strata)
    rng = np.random.default_rng(1)
    logits, change = rng.standard_normal((2, len(y), 1))
    value, residuals = loss.value_and_residuals(logits)
    found_bound, expected, bound = curvature_bound(loss, change), 0.0, 0.0
    for label in np.unique(strata):
        rows = strata == label
        part = Cox(y[rows], weights[rows], ties)
        expected += weights[rows].sum() * deviance_by_definition(
            y[rows], weights[rows], logits[rows, 0], ties
        )
        bound += curvature_bound(part, change[rows])
        _, part_residuals = part.value_and_residuals(logits[rows])
        assert_allclose(residuals[rows], part_residuals, atol=1e-15)
        assert_allclose(residuals[rows].sum(), 0.0, atol=1e-14)
    assert_allclose(value, expected, rtol=1e-12, atol=1e-15)
    assert_allclose(found_bound, bound, rtol=1e-12)


@pytest.mark.parametrize("strata", STRATA)
@pytest.mark.parametrize("n_times", N_TIMES)
@pytest.mark.parametrize("ties", TIES.values())
def test_hessian_of_strata_is_the_derivative(ties, n_times, strata):
    """It agrees with differences, of many columns and with an offset."""
    y, weights, strata = make_strata(strata, n_times)
    rng = np.random.default_rng(1)
    offset, columns = rng.standard_normal(30), rng.standard_normal((30, 9))
    loss = Cox(y, weights, ties, offset, strata)
    logits, step = rng.standard_normal((30, 1)), rng.standard_normal((9, 1))
    _, residuals = loss.value_and_residuals(logits)
    hessian = loss.second_derivative(columns, logits, residuals)
    assert_array_equal(hessian, hessian.T)
    ahead, behind = (
        columns.T @ loss.value_and_residuals(logits + h * columns @ step)[1]
        for h in (1e-6, -1e-6)
    )
    assert_allclose(hessian @ step, (ahead - behind) / 2e-6, atol=1e-8)


@pytest.mark.parametrize("ties", TIES.values())
def test_hessian_of_many_samples(ties):
    """It is the same in parts, and with each column by itself."""
    _, y = make_times(700, n_times=40)
    rng = np.random.default_rng(1)
    weights, logits = rng.random(700), rng.standard_normal((700, 1))
    loss, columns = Cox(y, weights, ties), rng.standard_normal((700, 400))
    _, residuals = loss.value_and_residuals(logits)
    hessian = loss.second_derivative(columns, logits, residuals)
    for i in (0, 399):
        alone = loss.second_derivative(columns[:, [i]], logits, residuals)
        assert_allclose(hessian[i, i], alone[0, 0], rtol=1e-10)
    pair = loss.second_derivative(columns[:, [3, 250]], logits, residuals)
    assert_allclose(hessian[3, 250], pair[0, 1], rtol=1e-8, atol=1e-10)
    assert np.linalg.eigvalsh(hessian).min() > -1e-10


@pytest.mark.parametrize("spread", [400.0, 1e3, 1e5])
@pytest.mark.parametrize("increasing", [True, False])
@pytest.mark.parametrize("ties", TIES.values())
def test_sums_are_right_over_any_range(ties, increasing, spread):
    """Compared with logarithms of sums; masses grow or shrink with those at risk."""
    _, y = make_times(n_times=7)
    y["event"][::3] = True
    rng, weights = np.random.default_rng(1), np.full(30, 1.0 / 30.0)
    logits = np.empty(30)
    logits[np.argsort(-y["time"])] = np.sort(spread * rng.random(30))
    logits = logits if increasing else -logits
    value, residuals = Cox(y, weights, ties).value_and_residuals(logits[:, np.newaxis])
    expected, hazards = 0.0, np.full(30, -np.inf)
    for t in np.unique(y["time"][y["event"]]):
        at_risk, tied = y["time"] >= t, y["event"] & (y["time"] == t)
        total, of_tie = logsumexp(logits[at_risk]), logsumexp(logits[tied])
        n_tied = tied.sum()
        for place in range(n_tied):
            share = place / n_tied if ties == "efron" else 0.0
            term = total + np.log1p(-share * np.exp(of_tie - total))
            expected += (term - np.log(n_tied * (1.0 - share))) / 30.0
            seen = np.where(tied, np.log1p(-share), 0.0) - term
            hazards[at_risk] = np.logaddexp(hazards, seen)[at_risk]
        expected -= logits[tied].sum() / 30.0
    assert_allclose(value, expected, rtol=1e-12, atol=1e-13)
    expected_residuals = (np.exp(logits + hazards) - y["event"]) / 30.0
    assert_allclose(residuals[:, 0], expected_residuals, atol=1e-11)


@pytest.mark.parametrize("ties", TIES.values())
def test_curvature_bound_is_reached(ties):
    """Two samples of equal hazard have the largest variance."""
    y = make_times(2)[1]
    y["event"], y["time"] = [True, False], [1.0, 2.0]
    loss = Cox(y, np.full(2, 0.5), ties)
    change = np.array([[1e-3], [-1e-3]])
    values = [loss.value_and_residuals(s * change)[0] for s in (-1.0, 0.0, 1.0)]
    second_order = 0.5 * (values[0] - 2.0 * values[1] + values[2])
    assert_allclose(second_order, curvature_bound(loss, change), rtol=1e-5)


@pytest.mark.parametrize("ties", TIES.values())
def test_value_is_least_where_events_have_all_the_hazard(ties):
    """The deviance of a perfect order is zero, and never negative."""
    _, y, weights = make_loss(ties)
    weights = np.full(len(y), 1.0 / len(y))
    logits = -60.0 * np.argsort(np.argsort(y["time"]))[:, np.newaxis]
    logits[~y["event"]] = -1e4
    value, residuals = Cox(y, weights, ties).value_and_residuals(logits)
    assert 0.0 <= value < 1e-12
    assert_allclose(residuals, 0.0, atol=1e-12)


@pytest.mark.parametrize("layout", [sparse.csr_array, sparse.csc_array, np.float32])
def test_solve_is_the_same_in_other_layouts(layout):
    """Working sets, sparse matrices and single precision."""
    X, y = make_times(40, 300, n_times=15)
    expected = BallConstrainedProblem(X, y, loss="cox").solve(1.0, "l1", tol=1e-7)
    fit = BallConstrainedProblem(layout(X), y, loss="cox").solve(1.0, "l1", tol=1e-7)
    assert fit.converged
    assert_allclose(fit.objective, expected.objective, atol=1e-6)


def test_intercept_centres_the_logarithm_of_the_hazard():
    """The Cox model has none; what centring the features leaves is minus the mean."""
    X, y = make_times()
    problem = BallConstrainedProblem(X, y, loss="cox")
    coef, intercept = problem.original_units(problem.solve(1.0, "l1"))
    assert_allclose(intercept, -(X @ coef).mean(axis=0))
    raw = BallConstrainedProblem(X, y, loss="cox", fit_intercept=False)
    fit = raw.solve(1.0, "l1", tol=1e-8)
    assert_array_equal(raw.original_units(fit)[1], 0.0)
    centred = problem.solve(1.0, "l1", tol=1e-8)
    assert_allclose(fit.objective, centred.objective, atol=1e-7)
