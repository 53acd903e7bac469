"""An estimate may only save time: whatever it says, the result is the same."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skproj._kernels import _groups, _l1inf, _thresholds
from skproj.projection import (
    _l1inf as l1inf_module,
)
from skproj.projection import (
    _reference,
    norm_l1inf,
    projection_l1_ball,
    projection_l1inf_ball,
    projection_simplex,
)
from skproj.projection._l1inf_estimate import estimate_theta
from skproj.projection._policy import FEW_ALIVE, SAMPLED_ENTRIES

WRONG = [0.0, -0.0, -1.0, math.nan, math.inf, -math.inf, 1e-300, 5e-324, 1e300, 3.7]

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def exact_levels(groups, radius, guess=math.nan, low=0.0, indptr=None):
    """Call the exact method by itself, with what it needs to know of the groups."""
    n_groups = len(groups) if indptr is None else len(indptr) - 1
    norms, levels = np.empty((2, n_groups)), np.empty(n_groups)
    _groups.group_norms(groups, _groups.L1, norms, 1, indptr)
    theta = _l1inf.l1inf_levels(groups, norms, radius, low, guess, levels, 1, indptr)
    return levels, theta


def assert_optimal(groups, radius, levels, theta):
    """The excess of each group over its level is theta, or its l1 norm is not more."""
    magnitudes = np.abs(groups.astype(np.float64))
    excess = np.maximum(magnitudes - levels[:, np.newaxis], 0.0).sum(axis=1)
    assert math.fsum(levels) == pytest.approx(radius, rel=1e-14)
    rounding = 1e-13 * magnitudes.max()
    np.testing.assert_allclose(excess[levels > 0.0], theta, rtol=1e-11, atol=rounding)
    assert np.all(excess[levels == 0.0] <= theta * (1.0 + 1e-12) + rounding)


@given(st.integers(0, 2**32), st.sampled_from([np.float32, np.float64]))
def test_exact_method_is_right_by_itself(seed, dtype):
    """Rows and columns, few and many, short and long."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.choice([1, 2, 7, 15, 16, 17, 40, 90], size=2))
    X = (rng.normal(size=shape) ** rng.choice([1, 5])).astype(dtype)
    radius = float(norm_l1inf(X) * rng.uniform(1e-6, 0.999))
    expected = _reference.l1inf(X.astype(np.float64), radius)
    for groups in (X.T, np.ascontiguousarray(X.T)):
        levels, theta = exact_levels(groups, radius)
        P = np.clip(X, -levels, levels)
        np.testing.assert_allclose(P, expected, rtol=0, atol=1e-6 * np.abs(X).max())
        assert_optimal(groups, radius, levels, theta)


@each_dtype
@pytest.mark.parametrize(
    "shape", [(60, 40), (700, 300), (4100, 40)], ids=["cached", "large", "tall"]
)
def test_guess_of_theta_changes_nothing(shape, dtype):
    """Wrong guesses lead to the levels that there are without one."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=shape).astype(dtype)
    indptr = np.arange(0, X.size + 1, shape[0], dtype=np.intp)
    as_rows = np.ascontiguousarray(X.T)
    for share in (1e-9, 0.2, 0.97):
        radius = share * norm_l1inf(X)
        levels, theta = exact_levels(X.T, radius)
        assert_optimal(X.T, radius, levels, theta)
        for wrong in [*WRONG, *rng.exponential(scale=theta, size=5), theta]:
            for groups, segments in (
                (X.T, None),
                (as_rows, None),
                (as_rows.reshape(1, -1), indptr),
            ):
                found, theta_found = exact_levels(
                    groups, radius, wrong, indptr=segments
                )
                atol = 1e-13 * levels.max()
                np.testing.assert_allclose(found, levels, rtol=1e-10, atol=atol)
                assert theta_found == pytest.approx(theta, rel=1e-11)


@pytest.mark.parametrize("axis", [0, 1])
def test_estimate_from_a_sample_changes_nothing(monkeypatch, axis):
    """The projection is the same with any other estimate, and close to a good one."""
    X = np.random.default_rng(4).normal(size=(500, 600))
    assert X.size >= SAMPLED_ENTRIES
    for share in (1e-12, 0.01, 0.5):
        radius = share * norm_l1inf(X, axis=axis)
        expected, theta = projection_l1inf_ball(
            X, radius, axis=axis, return_threshold=True
        )
        l1 = np.abs(X).sum(axis=axis)
        groups = X.T if axis == 0 else X
        good = estimate_theta(groups, l1, radius, 0.0)
        assert good == pytest.approx(theta, rel=0.2)
        for wrong in WRONG:
            monkeypatch.setattr(
                l1inf_module, "estimate_theta", lambda *_, wrong=wrong: wrong
            )
            P = projection_l1inf_ball(X, radius, axis=axis)
            np.testing.assert_allclose(P, expected, rtol=1e-10, atol=1e-15)
        monkeypatch.undo()


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("n", [1, 40, 63, 64])
def test_sample_of_a_matrix_of_which_nothing_is_left(n, axis):
    """A radius below the rounding of the norms is still met."""
    size = SAMPLED_ENTRIES // n + 1
    X = np.ones((n, size) if axis == 1 else (size, n))
    for radius in (5e-324, 1e-300, 1e-14):
        P = projection_l1inf_ball(X, radius, axis=axis)
        assert 0.0 <= norm_l1inf(P, axis=axis) <= radius * (1.0 + 1e-14)
    np.testing.assert_allclose(P, 1e-14 / n, rtol=1e-10)


@pytest.mark.parametrize(
    ("function", "dtype"),
    [(projection_l1_ball, np.float64), (projection_simplex, np.float32)],
)
def test_band_of_a_long_vector_changes_nothing(function, dtype):
    """Bands that are wrong, empty or turned round lead to the same threshold."""
    x = np.random.default_rng(5).normal(size=(1, 70_000)).astype(dtype)
    signed = function is projection_simplex
    norms = np.abs(x).max(axis=1) if signed else np.abs(x).sum(axis=1)
    norms = norms.astype(np.float64)
    for radius in (1e-3, 1.0, 2e4):
        _, expected = function(x, radius, return_threshold=True)
        for band in product([*WRONG, expected, expected - 0.01], repeat=2):
            levels, offsets = np.empty((2, 1))
            _thresholds.group_thresholds(
                x, norms, np.array([radius]), signed, levels, offsets, 2, guess=band
            )
            tau = levels[0] + offsets[0]
            assert tau == pytest.approx(
                expected, rel=1e-7 if dtype is np.float32 else 1e-12
            )


@each_dtype
@pytest.mark.parametrize("axis", [0, 1])
def test_groups_that_vanish_may_be_left_out(axis, dtype):
    """As many as there may be, one more and one less of them are left."""
    rng = np.random.default_rng(7)
    n_groups, size = 320, 900
    n_few = int(FEW_ALIVE * n_groups)
    for n_large in (1, n_few - 1, n_few, n_few + 1):
        X = rng.uniform(0.5, 1.0, size=(size, n_groups)).astype(dtype)
        X[:, rng.permutation(n_groups)[:n_large]] *= 100.0
        if axis == 1:
            X = np.ascontiguousarray(X.T)
        assert X.size >= SAMPLED_ENTRIES
        groups = X.T if axis == 0 else X
        for radius in (1e-9, 1e-3, 1.0, 90.0):
            P, theta = projection_l1inf_ball(
                X, radius, axis=axis, return_threshold=True
            )
            levels, expected_theta = exact_levels(groups, radius)
            expected = np.clip(groups, 0.0, levels[:, np.newaxis].astype(dtype))
            rtol = 1e-10 if dtype is np.float64 else 1e-6
            found = P.T if axis == 0 else P
            np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-20)
            assert theta == pytest.approx(expected_theta, rel=1e-11)
            assert_optimal(groups, radius, levels, theta)


def sampled_entries(n, size):
    """Which entries of a vector of n the kernels take for a sample of this size."""
    runs = np.arange(size // 8) * (n - 8) // (size // 8)
    return (runs[:, np.newaxis] + np.arange(8)).ravel()


@pytest.mark.parametrize(
    ("signed", "dtype"),
    [(False, np.float32), (True, np.float64)],
    ids=["l1", "simplex"],
)
@pytest.mark.parametrize("n", [2047, 2048, 8192, 40_000])
def test_samples_of_groups_change_nothing(n, signed, dtype):
    """Rows and columns of which samples see only the smallest, or the largest."""
    function = projection_simplex if signed else projection_l1_ball
    reference = _reference.simplex if signed else _reference.l1
    rng = np.random.default_rng(6)
    for misled_by in (0.0, -np.inf, 50.0):
        if not signed and misled_by == -np.inf:
            continue
        X = rng.normal(size=(n, 20)).astype(dtype)
        X[:: n // 512] = misled_by
        X[sampled_entries(n, 512), :5] = misled_by
        assert np.isfinite(X).any(axis=0).all()
        for radius in (1e-3, 1.0, 300.0):
            P, tau = function(X, radius, axis=0, return_threshold=True)
            of_rows, tau_of_rows = function(
                np.ascontiguousarray(X.T), radius, axis=1, return_threshold=True
            )
            finite = np.where(np.isneginf(X), -1e30, X).astype(np.float64)
            expected = np.stack([reference(x, radius) for x in finite.T], axis=1)
            atol = 1e-12 if dtype is np.float64 else 4e-6
            np.testing.assert_allclose(P, expected, rtol=0, atol=atol)
            np.testing.assert_allclose(of_rows.T, expected, rtol=0, atol=atol)
            np.testing.assert_allclose(tau, tau_of_rows, rtol=1e-9, atol=1e-9)
