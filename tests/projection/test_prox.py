"""Proximity operators: what they minimise, and their part of Moreau's identity."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from skproj import projection
from skproj.projection import (
    norm_l1,
    norm_l1inf,
    norm_l12,
    norm_linf1,
    norm_linf2,
    prox_l1,
    prox_l1inf,
    prox_l12,
    prox_linf1,
)

NORMS = {
    prox_l1: norm_l1,
    prox_l12: norm_l12,
    prox_l1inf: norm_l1inf,
    prox_linf1: norm_linf1,
}
DUAL_NORMS = {
    prox_l1: lambda X: np.abs(X).max(),
    prox_l12: norm_linf2,
    prox_l1inf: norm_linf1,
    prox_linf1: norm_l1inf,
}

each_prox = pytest.mark.parametrize("prox", NORMS)
each_grouped_prox = pytest.mark.parametrize("prox", [prox_l12, prox_l1inf, prox_linf1])


def test_every_operator_is_in_these_tests():
    public = {name for name in projection.__all__ if name.startswith("prox_")}
    for table in (NORMS, DUAL_NORMS):
        assert {prox.__name__ for prox in table} == public


@st.composite
def matrices(draw):
    """Matrices with columns of different sizes, some zero, with and without ties."""
    shape = draw(st.integers(1, 8)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if draw(st.booleans()):
        X = rng.integers(-3, 4, size=shape).astype(np.float64)
    else:
        X = rng.normal(size=shape) * rng.choice([0.0, 0.1, 1.0, 5.0], size=shape[1])
    X[0, 0] += 4.0  # not zero everywhere
    return X


alphas = st.floats(1e-3, 20.0)


@each_prox
@given(matrices(), alphas)
def test_prox_satisfies_the_optimality_condition(prox, X, alpha):
    """X - P is alpha times a subgradient of the norm at P."""
    P = prox(X, alpha)
    G = (X - P) / alpha
    assert DUAL_NORMS[prox](G) <= 1 + 1e-12
    scale = np.abs(X).sum()
    assert np.sum(G * P) == pytest.approx(NORMS[prox](P), rel=1e-11, abs=1e-13 * scale)


@each_prox
@given(matrices())
def test_prox_becomes_zero_where_alpha_is_the_dual_norm(prox, X):
    """And not before."""
    limit = DUAL_NORMS[prox](X)
    for alpha in (limit * (1 + 1e-12), 10 * limit, np.inf):
        np.testing.assert_array_equal(prox(X, alpha), 0.0)
    assert prox(X, 0.999 * limit).any()
    P = prox(X, 0.0)
    np.testing.assert_array_equal(P, X)
    assert not np.shares_memory(P, X)


@pytest.mark.parametrize("alpha", [0.2, 1.5])
@each_prox
def test_prox_equals_cvxpy(prox, alpha):
    """A general convex solver finds the same minimiser."""
    cp = pytest.importorskip("cvxpy")
    X = np.random.default_rng(7).normal(size=(4, 5))
    V = cp.Variable(X.shape)
    norm = {
        prox_l1: lambda: cp.sum(cp.abs(V)),
        prox_l12: lambda: cp.sum(cp.norm(V, 2, axis=0)),
        prox_l1inf: lambda: cp.sum(cp.max(cp.abs(V), axis=0)),
        prox_linf1: lambda: cp.max(cp.sum(cp.abs(V), axis=0)),
    }[prox]()
    problem = cp.Problem(cp.Minimize(cp.sum_squares(V - X) / 2 + alpha * norm))
    tight = dict.fromkeys(["tol_gap_abs", "tol_gap_rel", "tol_feas"], 1e-9)
    problem.solve(cp.CLARABEL, **tight)
    np.testing.assert_allclose(prox(X, alpha), V.value, atol=1e-5)


@given(matrices())
def test_prox_does_not_cancel(X):
    """Next to the alpha that makes zeros, what is left is right to its last digits."""
    length = np.linalg.norm(X[:, 0])
    alpha = np.nextafter(length, 0.0)
    P = prox_l12(X[:, :1], alpha)
    expected = X[:, :1] * ((length - alpha) / length)
    np.testing.assert_allclose(P, expected, rtol=1e-12, atol=1e-15 * length)
    x = np.array([1.0, 1.0 + 1e-15, -1.0])
    np.testing.assert_array_equal(prox_l1(x, 1.0), [0.0, x[1] - 1.0, 0.0])


# ---------------------------------------------------------------------------
# Axes, layouts, scales


@each_grouped_prox
def test_axis_names_the_groups(prox):
    """Rows, tuples of axes, and the whole array."""
    X = np.random.default_rng(0).normal(size=(3, 4, 5))
    for axis, columns in (
        (-1, X.reshape(12, 5).T),
        ((1, 2), X.reshape(3, 20).T),
        (0, X.reshape(3, 20)),
        (None, X.reshape(60, 1)),
    ):
        P = prox(X, 1.2, axis=axis)
        expected = prox(columns, 1.2)
        if axis not in (0, None):
            expected = expected.T
        np.testing.assert_allclose(P, expected.reshape(X.shape), atol=1e-14)


@each_prox
def test_input_of_other_types(prox):
    """Lists and integers become float64, and any real number is an alpha."""
    X = [[3, -1, 2], [0, 5, -2]]
    expected = prox(np.array(X, dtype=np.float64), 2.0)
    assert expected.dtype == np.float64
    for other in (X, np.array(X), np.array(X, dtype=np.int8)):
        np.testing.assert_array_equal(prox(other, np.float32(2.0)), expected)
    assert prox(np.empty((0, 3)), 1).shape == (0, 3)
    vector = prox(np.array([3.0, -1.0]), 0.5)
    assert vector.shape == (2,)


@pytest.mark.parametrize("prox", [prox_l12, prox_l1inf])
def test_groups_of_very_different_scale(prox):
    """Groups that do not interact are right whatever the others are."""
    x = np.array([[3.0], [-4.0], [0.0]])
    powers = np.array([-1070, -1000, -600, -300, 0, 300, 600, 1000])
    for some in (powers, powers[:5]):  # with and without sums that overflow
        X = x * np.ldexp(1.0, some)
        for power in (-1000, -600, 0, 300):
            P = prox(X, np.ldexp(1.0, power))
            for j, own in enumerate(some):
                alpha = np.ldexp(1.0, min(power - own, 1000))
                expected = np.ldexp(prox(x, alpha), own)
                np.testing.assert_allclose(P[:, j : j + 1], expected, rtol=1e-13)


# ---------------------------------------------------------------------------
# Refused input

GOOD = np.arange(12.0).reshape(3, 4) - 5.0

BAD_ARGUMENTS = {
    "alpha negative": ({"alpha": -1e-300}, ValueError, "alpha must be non-negative"),
    "alpha NaN": ({"alpha": np.nan}, ValueError, "alpha must be non-negative"),
    "alpha str": ({"alpha": "1"}, TypeError, "alpha must be a real number"),
    "X inf": ({"X": np.full((3, 4), np.inf)}, ValueError, "X contains NaN or infinity"),
    "X sparse": ({"X": sparse.csr_array(GOOD)}, TypeError, "out must be None for a sp"),
    "out shape": ({"out": np.full((4, 3), 7.0)}, ValueError, "out must have shape"),
}


@pytest.mark.parametrize("bad", BAD_ARGUMENTS)
@each_prox
def test_bad_argument_is_refused_before_writing(prox, bad):
    """One clear error that names the argument, and `out` is as it was."""
    change, error, message = BAD_ARGUMENTS[bad]
    arguments = {"X": GOOD, "alpha": 1.0, "out": np.full((3, 4), 7.0), **change}
    with pytest.raises(error, match=message):
        prox(**arguments)
    np.testing.assert_array_equal(arguments["out"], 7.0)


@each_grouped_prox
def test_bad_axis_is_refused(prox):
    """As by the projections."""
    with pytest.raises(ValueError, match="axis 2 is out of bounds"):
        prox(GOOD, 1.0, axis=2)
    with pytest.raises(TypeError, match="axis must be an integer"):
        prox(GOOD, 1.0, axis=0.5)
