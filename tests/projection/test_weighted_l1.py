"""The weighted l1 ball: right for all weights, scales and radii.

What it has in common with the other projections is tested in test_projection.py.
"""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skproj._kernels import _weighted
from skproj.projection import (
    _reference,
    projection_l1_ball,
    projection_weighted_l1_ball,
)

EXCESS = {"float32": 1e-6, "float64": 1e-14}


def exact_projection(x, radius, weights):
    """Absolute values of the projection and its tau, in rational numbers."""
    a, w = [Fraction(abs(v)) for v in x], [Fraction(v) for v in weights]
    left_side = right_side = tau = Fraction(0)
    weighted = [pair for pair in zip(a, w, strict=True) if pair[1] > 0]
    if sum(v * u for v, u in weighted) > Fraction(radius):
        for v, u in sorted(weighted, key=lambda pair: pair[0] / pair[1], reverse=True):
            left_side += v * u
            right_side += u * u
            tau = max(tau, (left_side - Fraction(radius)) / right_side)
    return [max(v - tau * u, Fraction(0)) for v, u in zip(a, w, strict=True)], tau


def exact_norm(x, weights):
    return sum(Fraction(abs(v)) * Fraction(u) for v, u in zip(x, weights, strict=True))


@st.composite
def problems(draw, decades=3):
    """Entries and weights with ties, zeros and different scales, and a radius."""
    size = draw(st.integers(1, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if draw(st.booleans()):
        x = rng.integers(-3, 4, size=size).astype(np.float64)
        w = rng.integers(0, 3, size=size).astype(np.float64)
    else:
        x = rng.normal(size=size) * 10.0 ** rng.uniform(-decades, decades, size=size)
        w = 10.0 ** rng.uniform(-decades, decades, size=size)
        w[rng.random(size) < 0.1] = 0.0
    share = 10.0 ** draw(st.floats(-12, 0.1))
    return x, share * np.sum(w * np.abs(x)), w


@settings(max_examples=300)
@given(problems())
def test_projection_equals_reference(problem):
    """The reference sorts all ratios."""
    x, radius, w = problem
    P = projection_weighted_l1_ball(x, radius, w)
    expected = _reference.weighted_l1(x, radius, w)
    np.testing.assert_allclose(P, expected, rtol=0, atol=1e-14 * np.abs(x).max())


@settings(max_examples=300)
@given(problems())
def test_projection_satisfies_kkt(problem):
    """One tau, zero where the ratio is below it, and the radius is used up."""
    x, radius, w = problem
    P, tau = projection_weighted_l1_ball(x, radius, w, return_threshold=True)
    norm = math.fsum(w * np.abs(P))
    assert norm <= radius * (1 + EXCESS["float64"])
    if np.sum(w * np.abs(x)) > radius * (1 + 1e-14):
        assert tau > 0.0
        assert norm == pytest.approx(radius, rel=1e-14)
    lost = np.abs(x) - np.abs(P)
    np.testing.assert_allclose(
        lost, np.minimum(tau * w, np.abs(x)), rtol=1e-12, atol=1e-14 * np.abs(x).max()
    )
    np.testing.assert_array_equal(P[w == 0.0], x[w == 0.0])
    assert np.all(P * x >= 0.0)


@settings(max_examples=300)
@given(
    st.integers(0, 2**32),
    st.integers(1, 12),
    st.floats(-20, -0.01) | st.just(0.1),
    st.floats(0, 300),
)
def test_projection_of_entries_and_weights_of_any_scale(seed, size, power, decades):
    """Each entry is right to its last digits where others are 1e600 times larger."""
    rng = np.random.default_rng(seed)
    x = rng.choice([-1.0, 1.0], size) * 10.0 ** rng.uniform(-300, 300, size)
    w = 10.0 ** rng.uniform(-decades, decades, size) * (rng.random(size) < 0.9)
    scaled = exact_norm(x, w) * Fraction(10.0**power)
    # Where the norm itself is out of the range of a float, so is the radius.
    radius = float(min(max(scaled, Fraction(1e-290)), Fraction(1e300)))
    P, tau = projection_weighted_l1_ball(x, radius, w, return_threshold=True)
    expected, exact_tau = exact_projection(x, radius, w)
    for before, after, right in zip(x, P, expected, strict=True):
        error = abs(Fraction(abs(after)) - right)
        assert error <= Fraction(1e-13) * Fraction(abs(before))
    if exact_tau > 0:
        assert exact_norm(P, w) <= Fraction(radius) * Fraction(1 + 1e-14)
        if 1e-290 < exact_tau < 1e300:
            assert tau == pytest.approx(float(exact_tau), rel=1e-12)
    else:
        np.testing.assert_array_equal(P, x)


@pytest.mark.parametrize("share", [1e-9, 0.3, 0.9])
@pytest.mark.parametrize("of_weights", [-990, -600, -333, -250, 0, 250, 600, 990])
@pytest.mark.parametrize("of_entries", [-990, -600, -333, 0, 333, 600, 990])
def test_projection_of_data_times_powers_of_two(of_entries, of_weights, share):
    """It is the projection of the data, times the power."""
    if not -990 < of_entries + of_weights < 990:
        of_weights = -of_entries  # the radius is a float
    rng = np.random.default_rng(13)
    x, w = rng.normal(size=600), rng.random(600) + 0.01
    radius = share * math.fsum(w * np.abs(x))
    expected, tau = projection_weighted_l1_ball(x, radius, w, return_threshold=True)
    P, scaled_tau = projection_weighted_l1_ball(
        np.ldexp(x, of_entries),
        math.ldexp(radius, of_entries + of_weights),
        np.ldexp(w, of_weights),
        return_threshold=True,
    )
    scaled_back = np.ldexp(P, -of_entries)
    np.testing.assert_allclose(scaled_back, expected, rtol=0, atol=1e-14)
    assert math.fsum(w * np.abs(scaled_back)) == pytest.approx(radius, rel=1e-14)
    if abs(of_entries - of_weights) < 990:
        scaled_tau = math.ldexp(scaled_tau, of_weights - of_entries)
        assert scaled_tau == pytest.approx(tau, rel=1e-13)


@pytest.mark.parametrize("radius", [5e-324, 1e-310, 1e-300, 1e-20, 1e300])
def test_projection_onto_any_radius(radius):
    """A radius far below the last digit of the entries is not exceeded either."""
    x = np.array([3.0, -3.0, 1e-5, 3.0, 2.0])
    w = np.array([1.0, 1.0, 2.0, 1.0, 0.5])
    P = projection_weighted_l1_ball(x, radius, w)
    expected = np.array([0.0, 0.0, 0.0, 0.0, 2 * radius])
    if radius == 1e300:
        expected = x
    np.testing.assert_allclose(P, expected, rtol=1e-14)


@pytest.mark.parametrize("share", [1e-12, 1e-6, 0.01, 0.5, 0.99])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_projection_of_many_entries_meets_the_radius(dtype, share):
    """Rounding does not add up, and float32 data are summed in float64."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=100_000).astype(dtype)
    w = rng.exponential(size=x.size)
    radius = share * math.fsum(w * np.abs(x))
    P = projection_weighted_l1_ball(x, radius, w)
    assert P.dtype == dtype
    norm = math.fsum(w * np.abs(P.astype(np.float64)))
    assert norm == pytest.approx(radius, rel=EXCESS[dtype])
    expected = _reference.weighted_l1(x.astype(np.float64), radius, w)
    np.testing.assert_allclose(P, expected, rtol=1e-6, atol=1e-12)


def test_projection_with_equal_weights_is_that_of_the_l1_ball():
    """The ball of weights w and radius r is the l1 ball of radius r / w."""
    X = np.random.default_rng(1).normal(size=(6, 7))
    for w in (1e-200, 0.5, 1.0, 3, 1e200):
        for axis in (None, 0, 1):
            P, tau = projection_weighted_l1_ball(
                X, 0.7 * w, w, axis=axis, return_threshold=True
            )
            expected, l1_tau = projection_l1_ball(
                X, 0.7, axis=axis, return_threshold=True
            )
            np.testing.assert_allclose(P, expected, atol=1e-14)
            np.testing.assert_allclose(tau * w, l1_tau, rtol=1e-13)


def test_projection_leaves_entries_without_weight_alone():
    """Also if nothing is left for the others, and if no entry has a weight."""
    x = np.array([3.0, -1e300, 2.0, -0.5])
    w = np.array([1.0, 0.0, 2.0, 0.0])
    P, tau = projection_weighted_l1_ball(x, 0.0, w, return_threshold=True)
    np.testing.assert_array_equal(P, [0.0, -1e300, 0.0, -0.5])
    assert tau == 3.0
    P, tau = projection_weighted_l1_ball(x, 0.0, 0.0, return_threshold=True)
    np.testing.assert_array_equal(P, x)
    assert tau == 0.0


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_projection_equals_cvxpy(share):
    """A general convex solver finds the same nearest point."""
    cp = pytest.importorskip("cvxpy")
    rng = np.random.default_rng(7)
    x, w = rng.normal(size=12), rng.uniform(0.1, 3.0, size=12)
    w[3] = 0.0
    radius = share * np.sum(w * np.abs(x))
    v = cp.Variable(12)
    problem = cp.Problem(cp.Minimize(cp.sum_squares(v - x)), [w @ cp.abs(v) <= radius])
    tight = dict.fromkeys(["tol_gap_abs", "tol_gap_rel", "tol_feas"], 1e-9)
    problem.solve(cp.CLARABEL, **tight)
    P = projection_weighted_l1_ball(x, radius, w)
    np.testing.assert_allclose(P, v.value, atol=1e-5)


LONG = 70_000  # entries of a vector that a sample is taken of
LONG_VECTORS = {
    "gaussian": lambda rng: (rng.normal(size=LONG), rng.random(LONG) + 0.01),
    "sorted": lambda rng: (np.sort(rng.normal(size=LONG)), np.ones(LONG)),
    "equal ratios": lambda rng: (x := rng.normal(size=LONG), np.abs(x)),
    "ties": lambda rng: (rng.integers(-3, 4, LONG), rng.integers(0, 3, LONG)),
    "nothing in the sample": lambda rng: (
        np.where(np.arange(LONG) == LONG - 1, 1e6, 1e-9),
        np.ones(LONG),
    ),
    "few entries": lambda rng: (
        rng.normal(size=LONG) * (rng.random(LONG) < 1e-3),
        rng.random(LONG),
    ),
    "many scales": lambda rng: (
        10.0 ** rng.uniform(-8, 8, LONG),
        10.0 ** rng.uniform(-4, 4, LONG) * (rng.random(LONG) < 0.9),
    ),
}


@pytest.mark.parametrize(
    ("share", "dtype"),
    [(1e-13, "float64"), (1e-6, "float32"), (0.1, "float32"), (0.99, "float64")],
)
@pytest.mark.parametrize("vector", LONG_VECTORS)
def test_projection_of_long_vectors(dtype, vector, share):
    """The radius is met, and the entries are those of the reference."""
    x, w = LONG_VECTORS[vector](np.random.default_rng(5))
    x, w = x.astype(dtype), w.astype(np.float64)
    lengths = np.abs(x, dtype=np.float64)
    radius = share * math.fsum(w * lengths)
    P, tau = projection_weighted_l1_ball(x, radius, w, return_threshold=True)
    norm = math.fsum(w * np.abs(P, dtype=np.float64))
    np.testing.assert_allclose(norm, radius, rtol=EXCESS[dtype])
    np.testing.assert_array_equal(P[w == 0.0], x[w == 0.0])
    assert np.all(P * x >= 0.0)
    lost, rounding = lengths - np.abs(P), float(np.finfo(dtype).eps)
    assert np.all(np.abs(lost - np.minimum(tau * w, lengths)) <= 2 * rounding * lengths)
    expected = _reference.weighted_l1(x.astype(np.float64), radius, w)
    assert np.all(np.abs(P - expected) <= (1e-9 + rounding) * lengths)


def _guesses(tau):
    """Pairs of numbers, most of which are no band around tau."""
    rng = np.random.default_rng(6)
    below, above = tau * (1 - 1e-9), tau * (1 + 1e-9)
    return [
        *[(0.0, 0.0), (math.nan, math.nan), (math.nan, tau), (tau, math.nan)],
        *[(math.inf, math.inf), (0.0, math.inf), (-math.inf, -1.0), (-1.0, math.inf)],
        *[(1e-300, 1e300), (1e300, 1e-300), (5e-324, 1.7e308), (1e-300, 1e-300)],
        *[(tau, tau), (below, above), (above, 2 * tau), (0.0, below), (above, below)],
        *[(0.0, tau * (1 + 1e-7)), (0.0, 1.5 * tau), (-tau, above)],
        *(10.0 ** rng.uniform(-3, 3, size=(5, 2)) * tau),
        *((1 + rng.normal(size=(5, 2)) * 1e-7) * tau),
    ]


@pytest.mark.parametrize("share", [1e-13, 1e-6, 0.5])
@pytest.mark.parametrize("size", [1, 5000, LONG])
@pytest.mark.parametrize(("dtype", "equal"), [("float32", True), ("float64", False)])
def test_result_does_not_depend_on_the_start(dtype, equal, size, share):
    """An estimate of the threshold may be any two numbers."""
    rng = np.random.default_rng(7)
    X = np.tile(rng.normal(size=size).astype(dtype), (2, 1))
    lengths = np.abs(X, dtype=np.float64)
    W = lengths if equal else np.tile(rng.random(size) + 1e-3, (2, 1))
    radius = share * math.fsum((W * lengths)[0])
    expected, taus = projection_weighted_l1_ball(
        X[0], radius, W[0], return_threshold=True
    )
    for guess in _guesses(taus):
        for rows in (1, 2):
            P, (found, offsets) = np.empty_like(X[:rows]), np.empty((2, rows))
            _weighted.project_weighted_l1(
                X[:rows], W[:rows], radius, P, found, offsets, 1, *guess
            )
            np.testing.assert_allclose(found, taus, rtol=2e-14)
            error = np.abs(P - expected.astype(np.float64))
            rounding = float(np.finfo(dtype).eps) * np.abs(expected)
            assert np.all(error <= 2 * rounding + 2e-14 * lengths[:rows])
            norms = np.sum(W[:rows] * np.abs(P, dtype=np.float64), axis=1)
            np.testing.assert_allclose(norms, radius, rtol=EXCESS[dtype])


def test_band_that_is_too_wide_for_its_room_changes_nothing():
    """Such a vector is solved for without the band."""
    rng = np.random.default_rng(11)
    X, W = rng.normal(size=(1, 1_400_000)), rng.random((1, 1_400_000)) + 0.01
    radius = 0.3 * math.fsum((W * np.abs(X))[0])
    expected, tau = projection_weighted_l1_ball(X, radius, W, return_threshold=True)
    P, (found, offsets) = np.empty_like(X), np.empty((2, 1))
    _weighted.project_weighted_l1(X, W, radius, P, found, offsets, 2, 0.0, 10.0 * tau)
    assert found == pytest.approx(tau, rel=1e-14)
    np.testing.assert_allclose(P, expected, rtol=0, atol=1e-14)


# Where another way is taken: a chunk of a sum, a tile of columns, a block of entries, a
# long vector, parts of many chunks, long vectors that threads share.
LIMITS = {
    "sum": (512, 3),
    "tile width": (9, 17),
    "tile": (8192, 33),
    "block": (16_384, 3),
    "block of columns": (2, 16_384),
    "long": (65_536, 2),
    "chunks": (64 * 4096, 1),
    "shared": (16 * 65_536, 2),
}


@pytest.mark.parametrize("more", [-1, 0])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("limit", LIMITS)
def test_limits_of_sizes(limit, axis, more):
    """The size from which another way is taken, and one less."""
    size, n_groups = LIMITS[limit]
    if limit in ("tile width", "block of columns"):
        n_groups += more
    else:
        size += more
    rng = np.random.default_rng(12)
    rows, weights = rng.normal(size=(n_groups, size)), rng.random((n_groups, size))
    radius = 0.2 * np.sum(weights * np.abs(rows)) / n_groups
    X, W = (np.ascontiguousarray(A if axis == 1 else A.T) for A in (rows, weights))
    one, three = (
        projection_weighted_l1_ball(X, radius, W, axis=axis, n_threads=n)
        for n in (1, 3)
    )
    np.testing.assert_array_equal(one, three)
    P = one if axis == 1 else one.T
    for j in {0, n_groups // 2, n_groups - 2, n_groups - 1} & set(range(n_groups)):
        expected = _reference.weighted_l1(rows[j], radius, weights[j])
        np.testing.assert_allclose(P[j], expected, rtol=0, atol=1e-12)
    norms = np.sum(weights * np.abs(P), axis=1)
    inside = np.sum(weights * np.abs(rows), axis=1) <= radius
    np.testing.assert_allclose(norms[~inside], radius, rtol=1e-13)
    np.testing.assert_array_equal(P[inside], rows[inside])
