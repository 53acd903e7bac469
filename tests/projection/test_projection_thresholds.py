"""The simplex, slices and thresholds."""

from fractions import Fraction

import numpy as np
import pytest
from projection_cases import (
    assert_equal_to_rounding,
    each_ball,
    each_function,
    onto_vector_ball,
    weighted_l1,
)

from skproj.projection import (
    projection_bilevel_l1inf_ball,
    projection_bilevel_l11_ball,
    projection_bilevel_l12_ball,
    projection_l1_ball,
    projection_l1inf_ball,
    projection_l2_ball,
    projection_l12_ball,
    projection_linf_ball,
    projection_simplex,
)

BATCHED = [
    projection_simplex,
    projection_l1_ball,
    weighted_l1,
    projection_l2_ball,
    projection_linf_ball,
]


def slices(X, axis):
    """Return the slices of X along `axis`, as the rows of a matrix."""
    axes = range(X.ndim) if axis is None else np.atleast_1d(axis)
    moved = np.moveaxis(X, axes, range(-len(axes), 0))
    return moved.reshape(X.sum(axis).size, -1)


def exact_simplex(x, radius):
    """Project a vector in rational numbers."""
    x, radius = [Fraction(float(v)) for v in x], Fraction(radius)
    total = Fraction(0)
    for n, v in enumerate(sorted(x, reverse=True), 1):
        total += v
        if n == 1 or v > (total - radius) / n:
            tau = (total - radius) / n
    return [max(v - tau, Fraction(0)) for v in x]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_projection_simplex_of_any_scale(dtype):
    """Thresholds beyond all numbers of the type, and radii of any size."""
    info = np.finfo(dtype)
    for seed in range(200):
        rng = np.random.default_rng(seed)
        scales = rng.choice(
            [1.0, info.max, info.max / 64, info.smallest_normal], (5, 1)
        )
        X = rng.uniform(-1, rng.integers(2), size=(5, 4)) * scales
        X = np.asarray(X, dtype, order="CF"[seed % 2])
        radius = float(rng.choice([1e-30, 1.0, info.max / 3, info.max]))
        P, tau = projection_simplex(X, radius, axis=1, return_threshold=True)
        assert not np.isnan(tau).any()
        for x, p in zip(X, P, strict=True):
            largest = Fraction(max(float(np.abs(x).max()), radius))
            for actual, expected in zip(p, exact_simplex(x, radius), strict=True):
                error = abs(Fraction(float(actual)) - expected)
                assert error <= 2 * Fraction(float(info.eps)) * largest
            total = sum(Fraction(float(v)) for v in p)
            assert abs(total / Fraction(radius) - 1) <= 8 * info.eps


def test_projection_simplex_by_hand():
    """Entries and radii near the largest numbers of the type."""
    assert projection_simplex([-1.797e308], 1.0) == [1.0]
    P = projection_simplex(np.array([-1e38, -2e38], dtype=np.float32), 3e38)
    np.testing.assert_allclose(P, [2e38, 1e38], rtol=1e-6)


@pytest.mark.parametrize(("seed", "share"), [(70, 1.0), (1101, 1.0), (2430, 1 / 64)])
def test_projection_simplex_has_no_entry_above_the_radius(seed, share):
    """Sums of large entries are rounded up: some would be infinite."""
    largest = float(np.finfo(np.float32).max)
    X = (np.random.default_rng(seed).uniform(-1, 1, (5, 4)) * largest).astype("f4")
    assert projection_simplex(X, share * largest, axis=1).max() <= share * largest


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(4, 5), (3, 40), (40, 30), (2, 70_000)])
def test_projection_simplex_of_minus_infinity(shape, dtype):
    """Such entries become zero, and the others what they would be without them."""
    rng = np.random.default_rng(8)
    for share in (0.2, 0.9, 1.0):
        X = rng.normal(size=shape).astype(dtype)
        is_dead = rng.random(shape) < share
        is_dead[:, 0] = False
        X[is_dead] = -np.inf
        for Y in (X, np.asfortranarray(X)):
            P, tau = projection_simplex(Y, 2.0, axis=1, return_threshold=True)
            assert np.isfinite(tau).all()
            assert not P[is_dead].any()
            for x, p, dead in zip(X, P, is_dead, strict=True):
                expected = projection_simplex(x[~dead], 2.0)
                np.testing.assert_allclose(p[~dead], expected, atol=1e-6)


def test_projection_simplex_of_nothing_but_minus_infinity_is_refused():
    """There is no nearest point."""
    X = np.array([[-np.inf, 1.0], [-np.inf, -np.inf]])
    np.testing.assert_array_equal(projection_simplex(X, 1.0), [[0.0, 1.0], [0.0, 0.0]])
    out = np.full_like(X, 7.0)
    with pytest.raises(ValueError, match="X must have a finite entry in each slice"):
        projection_simplex(X, 1.0, axis=1, out=out)
    np.testing.assert_array_equal(out, 7.0)


@pytest.mark.parametrize(
    ("axis", "shape"),
    [(None, ()), (0, (5, 6)), (-1, (4, 5)), ((0, 2), (5,)), ((0, 1, 2), ())],
)
def test_threshold_of_batched_projection(axis, shape):
    """One threshold for each group, of the shape that a reduction would leave."""
    X = np.random.default_rng(0).normal(size=(4, 5, 6))
    axes = axis if axis is not None else (0, 1, 2)
    for function, radius in ((projection_l1_ball, 0.5), (projection_simplex, 90.0)):
        P, tau = function(X, radius, axis=axis, return_threshold=True)
        assert np.shape(tau) == shape
        assert isinstance(tau, float if shape == () else np.ndarray)
        taus = np.expand_dims(tau, axes) if shape else tau
        if function is projection_simplex:
            assert np.all(np.asarray(tau) < 0.0)
            expected = np.maximum(X - taus, 0.0)
        else:
            expected = np.sign(X) * np.maximum(np.abs(X) - taus, 0.0)
        assert_equal_to_rounding(P, expected, 10.0)
        np.testing.assert_allclose(np.abs(P).sum(axis=axis), radius, rtol=1e-12)


@pytest.mark.parametrize(
    ("function", "order"), [(projection_l2_ball, 2), (projection_linf_ball, np.inf)]
)
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (0, 1, 2)])
def test_projection_of_slices_shortens_each_of_them(function, order, axis):
    """Slices inside the ball stay, the others end on it; the threshold is the loss."""
    X = np.random.default_rng(0).normal(size=(4, 5, 6))
    norms = np.linalg.norm(slices(X, axis), order, axis=1)
    radius = 0.9 * np.median(norms)
    P, lost = function(X, radius, axis=axis, return_threshold=True)
    assert_equal_to_rounding(np.ravel(lost), np.maximum(norms - radius, 0.0), 10.0)
    shape = X.sum(axis).shape
    assert np.shape(lost) == shape
    assert isinstance(lost, np.ndarray if shape else float)
    for before, after, norm in zip(
        slices(X, axis), slices(P, axis), norms, strict=True
    ):
        outside = norm > radius
        expected = onto_vector_ball(before, radius, order) if outside else before
        np.testing.assert_allclose(after, expected, rtol=1e-14)


@each_ball
@pytest.mark.parametrize("radius", [1e3, np.inf])
def test_threshold_inside_the_ball_is_zero(ball, radius):
    """Nothing is lost there."""
    P, tau = ball.projection(np.ones((3, 4)), radius, return_threshold=True)
    np.testing.assert_array_equal(P, 1.0)
    assert isinstance(tau, float)
    assert tau == 0.0


@each_function
def test_threshold_of_empty_array(function):
    """It has the shape that it would have for any other array."""
    P, tau = function(np.empty((0, 3)), 1.0, axis=0, return_threshold=True)
    assert P.shape == (0, 3)
    batched = function in BATCHED
    np.testing.assert_array_equal(tau, np.zeros(3) if batched else 0.0)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (projection_bilevel_l11_ball, 7.0),
        (projection_bilevel_l12_ball, 5.0),
        (projection_bilevel_l1inf_ball, 4.0),
        (projection_l12_ball, 5.0),
        (projection_l1inf_ball, 7.0),
    ],
)
def test_threshold_of_radius_zero_kills_every_group(function, expected):
    """It is the norm of the largest group; the l1 norm for the exact l1,inf ball."""
    X = np.array([[3.0, 1.0], [-4.0, 0.0]])
    assert function(X, 0.0, return_threshold=True)[1] == expected


@pytest.mark.parametrize(
    ("radius", "dtype"), [(np.inf, np.float64), (1e39, np.float32)]
)
def test_projection_simplex_refuses_radius_that_is_not_finite(radius, dtype):
    """Entries cannot add up to a number that their type does not hold."""
    out = np.full(3, 7.0, dtype=dtype)
    with pytest.raises(ValueError, match="radius must be finite"):
        projection_simplex(np.ones(3, dtype=dtype), radius, out=out)
    np.testing.assert_array_equal(out, 7.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(20, 15), (20, 16), (5000, 40)])
def test_projection_simplex_of_columns_with_a_mask(shape, dtype):
    """Entries far below all others do not matter, however far."""
    X = np.random.default_rng(0).normal(size=shape).astype(dtype)
    for masked in (-1e9, -1e14, -1e15, -1e16, -1e25, float(np.finfo(dtype).min)):
        X[3] = masked
        for radius in (1.0, 20.0, 60.0):
            P = projection_simplex(X, radius, axis=0)
            assert not P[3].any()
            expected = projection_simplex(np.delete(X, 3, axis=0), radius, axis=0)
            rtol = 1e-12 if dtype == np.float64 else 1e-5
            np.testing.assert_allclose(np.delete(P, 3, axis=0), expected, rtol, rtol)


def test_zeros_of_groups_that_vanish_have_no_sign():
    """Whether they are written one by one or as a run, by any number of threads."""
    Z = np.full((1000, 200), -0.0)
    Z[0] = 1e-3
    Z[0, :100] = 1.0
    for n_threads in (1, 2, 7):
        P = projection_l1inf_ball(Z, 10.0, n_threads=n_threads)
        assert not P[:, 100:].any()
        assert not np.signbit(P[:, 100:]).any()
