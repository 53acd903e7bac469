"""What is known to be true of each projection, and what its arguments may be."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

import skproj.projection
from skproj.projection import (
    BALLS,
    projection_bilevel_l1inf_ball,
    projection_bilevel_l11_ball,
    projection_bilevel_l12_ball,
    projection_l1_ball,
    projection_l1inf_ball,
    projection_l2_ball,
    projection_l12_ball,
    projection_linf_ball,
    projection_simplex,
    projection_weighted_l1_ball,
)


def weighted_l1(X, radius, **options):
    """Project onto a weighted l1 ball with the arguments of the other balls."""
    return projection_weighted_l1_ball(X, radius, 2.0, **options)


EXACT = {name: ball for name, ball in BALLS.items() if ball.exact}
BATCHED = [
    projection_simplex,
    projection_l1_ball,
    weighted_l1,
    projection_l2_ball,
    projection_linf_ball,
]
FUNCTIONS = [
    *(ball.projection for ball in BALLS.values()),
    projection_simplex,
    weighted_l1,
]

each_ball = pytest.mark.parametrize("ball", BALLS.values(), ids=BALLS)
each_exact_ball = pytest.mark.parametrize("ball", EXACT.values(), ids=EXACT)
each_function = pytest.mark.parametrize("function", FUNCTIONS)


@st.composite
def matrices(draw, min_rows=1):
    """Matrices with columns of different sizes, some zero, with and without ties."""
    shape = draw(st.integers(min_rows, 8)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if draw(st.booleans()):
        X = rng.integers(-3, 4, size=shape).astype(np.float64)
    else:
        X = rng.normal(size=shape) * rng.choice([0.0, 0.1, 1.0, 5.0], size=shape[1])
    X[0, 0] += 4.0  # not zero everywhere
    return X


shares = st.floats(0.01, 0.99)  # radius as a part of the norm: outside the ball


def onto_vector_ball(x, radius, order):
    """Project from outside the l1, l2 or l_inf ball, all entries together."""
    if order == 1:
        return projection_l1_ball(x, radius)
    if order == 2:
        return x * radius / np.linalg.norm(x)
    return np.clip(x, -radius, radius)


def slices(X, axis):
    """Return the slices of X along `axis`, as the rows of a matrix."""
    axes = range(X.ndim) if axis is None else np.atleast_1d(axis)
    moved = np.moveaxis(X, axes, range(-len(axes), 0))
    return moved.reshape(X.sum(axis).size, -1)


def group_norms(X, ball):
    return np.linalg.norm(X, ord=ball.inner_norm, axis=0)


def assert_equal_to_rounding(actual, expected, scale):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12 * scale)


# ---------------------------------------------------------------------------
# Properties of every ball of the registry


@each_ball
def test_registry_row(ball):
    """The key, the name of the function and the public names agree."""
    assert BALLS[ball.name] is ball
    assert ball.projection.__name__ == f"projection_{ball.name}_ball"
    assert ball.projection.__name__ in skproj.projection.__all__


@each_ball
@given(matrices(), shares)
def test_projection_lands_on_the_sphere(ball, X, share):
    """From outside, the norm of the result is the radius."""
    radius = share * ball.norm(X)
    assert ball.norm(ball.project(X, radius)) == pytest.approx(radius, rel=1e-12)


@each_ball
@given(matrices(), st.sampled_from([1.0 + 1e-12, 3.0, np.inf]))
def test_projection_keeps_what_is_inside(ball, X, share):
    """Inside the ball nothing changes, and the result is a copy."""
    P = ball.project(X, share * ball.norm(X))
    np.testing.assert_array_equal(P, X)
    assert not np.shares_memory(P, X)


@each_ball
@given(matrices())
def test_projection_onto_radius_zero_is_zero(ball, X):
    """A ball of one point."""
    np.testing.assert_array_equal(ball.project(X, 0.0), np.zeros_like(X))


@each_ball
@given(matrices(), shares)
def test_projection_is_idempotent(ball, X, share):
    """What has been projected stays where it is."""
    radius = share * ball.norm(X)
    P = ball.project(X, radius)
    assert_equal_to_rounding(ball.project(P, radius), P, ball.norm(X))


@each_ball
@given(matrices(), shares)
def test_projection_keeps_signs_and_shrinks(ball, X, share):
    """No entry changes its sign or grows, and no norm of a group grows."""
    P = ball.project(X, share * ball.norm(X))
    assert np.all(P * X >= 0.0)
    assert np.all(np.abs(P) <= np.abs(X))
    assert np.all(group_norms(P, ball) <= group_norms(X, ball) * (1 + 1e-15))


@each_ball
@given(matrices(min_rows=2), shares)
def test_projection_keeps_order_in_a_group(ball, X, share):
    """The larger of two entries of a column stays the larger one."""
    P = ball.project(X, share * ball.norm(X))
    order = np.argsort(np.abs(X), axis=0)
    assert np.all(np.diff(np.take_along_axis(np.abs(P), order, axis=0), axis=0) >= 0)


@each_ball
@given(matrices(), shares, st.floats(1e-3, 1e3))
def test_projection_scales(ball, X, share, t):
    """P(t X, t radius) = t P(X, radius)."""
    radius = share * ball.norm(X)
    expected = t * ball.project(X, radius)
    assert_equal_to_rounding(
        ball.project(t * X, t * radius), expected, t * ball.norm(X)
    )


@each_ball
@given(matrices(), shares, st.randoms(use_true_random=False))
def test_projection_is_equivariant(ball, X, share, random):
    """Columns, rows and signs may be exchanged before or after."""
    radius = share * ball.norm(X)
    rows, columns = list(range(X.shape[0])), list(range(X.shape[1]))
    random.shuffle(rows)
    random.shuffle(columns)
    P = ball.project(X, radius)
    moved = ball.project(-X[rows][:, columns], radius)
    assert_equal_to_rounding(moved, -P[rows][:, columns], ball.norm(X))


@each_ball
@given(matrices(), shares)
def test_projection_is_equivariant_to_entries_of_one_group(ball, X, share):
    """Where an entry stands in its column does not matter."""
    radius = share * ball.norm(X)
    P, moved = ball.project(X, radius), X.copy()
    moved[:, 0] = moved[::-1, 0]
    P[:, 0] = P[::-1, 0]
    assert_equal_to_rounding(ball.project(moved, radius), P, ball.norm(X))


@each_ball
@given(matrices(), shares)
def test_projection_splits_the_norm(ball, X, share):
    """norm(X - P) + norm(P) = norm(X): identities 18, 19, 24 and 27 of the papers."""
    P = ball.project(X, share * ball.norm(X))
    assert ball.norm(X - P) + ball.norm(P) == pytest.approx(ball.norm(X), rel=1e-12)


@each_ball
@given(matrices(), shares)
def test_projection_of_one_row_is_that_of_the_outer_ball(ball, X, share):
    """Groups of one entry leave only the outer norm, which is l1 if there are zeros."""
    row = X[:1]
    order = 1 if ball.sparsifying else ball.inner_norm
    radius = share * np.linalg.norm(row[0], order)
    expected = onto_vector_ball(row, radius, order)
    assert_equal_to_rounding(ball.project(row, radius), expected, np.abs(row).max())


@each_ball
@given(matrices(), shares)
def test_projection_of_one_column_is_that_of_the_inner_ball(ball, X, share):
    """A single group leaves only the inner norm."""
    column = X[:, :1]
    radius = share * ball.norm(column)
    expected = onto_vector_ball(column, radius, ball.inner_norm)
    assert_equal_to_rounding(ball.project(column, radius), expected, ball.norm(column))


@each_ball
def test_sparsifying_ball_makes_zeros_and_the_others_none(ball):
    """What the registry says about each of them."""
    X = np.random.default_rng(0).normal(size=(6, 8))
    P = ball.project(X, 0.1 * ball.norm(X))
    assert np.any(P == 0.0) == ball.sparsifying


@each_ball
def test_projection_leaves_input_alone(ball):
    """Without `out` the input is not written to."""
    X = np.random.default_rng(0).normal(size=(6, 5))
    before = X.copy()
    ball.project(X, 1.0)
    np.testing.assert_array_equal(X, before)


# ---------------------------------------------------------------------------
# Exact and bi-level


@each_exact_ball
@given(matrices(), shares)
def test_exact_projection_is_the_nearest_point(ball, X, share):
    """<X - P, P> = radius * dual_norm(X - P), which makes P optimal."""
    radius = share * ball.norm(X)
    P = ball.project(X, radius)
    gain = np.sum((X - P) * P)
    assert gain == pytest.approx(radius * ball.dual_norm(X - P), rel=1e-9)


@each_exact_ball
@given(matrices(), st.integers(0, 2**32), shares)
def test_exact_projection_is_non_expansive(ball, X, seed, share):
    """Two projections are at most as far apart as their inputs."""
    step = np.random.default_rng(seed).normal(size=X.shape)
    radius = share * ball.norm(X)
    before = np.linalg.norm(step)
    after = np.linalg.norm(ball.project(X + step, radius) - ball.project(X, radius))
    assert after <= before * (1 + 1e-12)


@pytest.mark.parametrize("name", ["l11", "l1inf"])
@given(matrices(), shares)
def test_bilevel_projection_is_further_than_the_exact_one(name, X, share):
    """Both are in one ball, and only one of them is the nearest point."""
    bilevel = BALLS[f"bilevel_{name}"]
    exact = BALLS["l1" if name == "l11" else name]
    radius = share * exact.norm(X)
    near = np.linalg.norm(X - exact.project(X, radius))
    far = np.linalg.norm(X - bilevel.project(X, radius))
    assert far >= near * (1 - 1e-12)


@given(matrices(), shares)
def test_bilevel_l12_is_exact(X, share):
    """One operator under two names."""
    radius = share * BALLS["l12"].norm(X)
    np.testing.assert_array_equal(
        projection_bilevel_l12_ball(X, radius), projection_l12_ball(X, radius)
    )


@pytest.mark.parametrize("name", ["l12", "bilevel_l11", "bilevel_l12", "bilevel_l1inf"])
@given(matrices(), shares)
def test_bilevel_projection_projects_the_norms(name, X, share):
    """The norms of the groups end where the l1 ball sends them; tau kills the others.

    For the l1 ball of the norms: 0 <= u_j <= v_j, and one threshold for all.
    """
    ball = BALLS[name]
    radius = share * ball.norm(X)
    P, tau = ball.projection(X, radius, return_threshold=True)
    before, after = group_norms(X, ball), group_norms(P, ball)
    assert_equal_to_rounding(after, np.maximum(before - tau, 0.0), ball.norm(X))
    assert_equal_to_rounding(after, projection_l1_ball(before, radius), ball.norm(X))
    np.testing.assert_array_equal(P[:, before <= tau], 0.0)


@given(matrices(), shares)
def test_projection_l1inf_ball_satisfies_kkt(X, share):
    """One theta: kept columns lose it in l1 norm, the others have no more than it."""
    radius = share * BALLS["l1inf"].norm(X)
    P, theta = projection_l1inf_ball(X, radius, return_threshold=True)
    levels = np.abs(P).max(axis=0)
    lost = np.abs(X - P).sum(axis=0)
    kept = levels > 0.0
    scale = np.abs(X).sum()
    assert theta > 0.0
    assert_equal_to_rounding(P, np.clip(X, -levels, levels), scale)
    assert_equal_to_rounding(lost[kept], theta, scale)
    assert np.all(np.abs(X).sum(axis=0)[~kept] <= theta + 1e-12 * scale)
    assert_equal_to_rounding(levels.sum(), radius, scale)


def test_projection_l1inf_ball_satisfies_kkt_on_a_large_matrix():
    """The same where Newton's method needs many steps and many columns die."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 1500)) * rng.exponential(size=1500)
    for share in (0.001, 0.05, 0.3, 0.9):
        for Y in (X, np.asfortranarray(X)):
            radius = share * np.abs(X).max(axis=0).sum()
            P, theta = projection_l1inf_ball(Y, radius, return_threshold=True)
            levels = np.abs(P).max(axis=0)
            lost = np.abs(X - P).sum(axis=0)
            np.testing.assert_allclose(lost[levels > 0.0], theta, rtol=1e-11)
            assert np.all(lost[levels == 0.0] <= theta)
            assert levels.sum() == pytest.approx(radius, rel=1e-12)


# ---------------------------------------------------------------------------
# An outside solver


def _cvxpy_norm(cp, name, V):
    return {
        "l1": lambda: cp.sum(cp.abs(V)),
        "l12": lambda: cp.sum(cp.norm(V, 2, axis=0)),
        "l1inf": lambda: cp.sum(cp.max(cp.abs(V), axis=0)),
        "l2": lambda: cp.norm(V, "fro"),
        "linf": lambda: cp.max(cp.abs(V)),
    }[name]()


def _solve(cp, X, constraints):
    V = cp.Variable(X.shape)
    problem = cp.Problem(cp.Minimize(cp.sum_squares(V - X)), constraints(V))
    tight = dict.fromkeys(["tol_gap_abs", "tol_gap_rel", "tol_feas"], 1e-9)
    problem.solve(cp.CLARABEL, **tight)
    return V.value


@pytest.mark.parametrize("share", [0.05, 0.5])
@pytest.mark.parametrize("name", ["l1", "l12", "l1inf", "l2", "linf"])
def test_exact_projection_equals_cvxpy(name, share):
    """A general convex solver finds the same nearest point."""
    cp = pytest.importorskip("cvxpy")
    X = np.random.default_rng(7).normal(size=(6, 7))
    radius = share * BALLS[name].norm(X)
    expected = _solve(cp, X, lambda V: [_cvxpy_norm(cp, name, V) <= radius])
    np.testing.assert_allclose(BALLS[name].project(X, radius), expected, atol=1e-5)


@pytest.mark.parametrize("radius", [0.3, 4.0])
def test_projection_simplex_equals_cvxpy(radius):
    """The same for the simplex, from both sides of it."""
    cp = pytest.importorskip("cvxpy")
    x = np.random.default_rng(8).normal(size=9)
    expected = _solve(cp, x, lambda v: [v >= 0, cp.sum(v) == radius])
    np.testing.assert_allclose(projection_simplex(x, radius), expected, atol=1e-5)


# ---------------------------------------------------------------------------
# Simplex and thresholds


@given(matrices(), st.sampled_from([0.0, 1e-3, 1.0, 50.0]))
def test_projection_simplex_is_on_the_simplex(X, radius):
    """No entry is negative and the sum is the radius, from inside and outside."""
    P = projection_simplex(X, radius)
    assert np.all(P >= 0.0)
    assert P.sum() == pytest.approx(radius, rel=1e-12, abs=1e-12)
    assert_equal_to_rounding(projection_simplex(P, radius), P, radius + 1.0)


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


@pytest.mark.parametrize("function", [projection_l1_ball, projection_simplex])
@pytest.mark.parametrize("scale", [1e-200, 1e160, 1e280])
def test_long_vector_of_extreme_scale(function, scale):
    """The squares of what a sample of it says overflow or vanish."""
    x = np.random.default_rng(9).normal(size=70_000)
    for share in (0.5, 1e-4):
        radius = share * np.abs(x).sum()
        P = function(x * scale, radius * scale)
        np.testing.assert_allclose(P / scale, function(x, radius), atol=1e-14)


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


@pytest.mark.parametrize("function", [projection_l2_ball, projection_linf_ball])
def test_projection_of_slices_of_very_different_scale(function):
    """No slice is taken for zero, or for infinite, because of another one."""
    x = np.array([[3.0, -4.0, 1.0, 0.0]])
    scales = 10.0 ** np.array(
        [[-320.0, -300.0, -200.0, -20.0, 0.0, 100.0, 155.0, 306.0]]
    )
    for columns in (scales, scales[:, :5], scales[:, 1:4]):
        X = x.T * columns
        for radius in (1e-210, 1e-30, 2.0, 1e200):
            P, lost = function(X, radius, axis=0, return_threshold=True)
            for before, after, loss in zip(X.T, P.T, lost, strict=True):
                expected, single = function(before, radius, return_threshold=True)
                tiny = 1e-290 * np.abs(before).max()
                np.testing.assert_allclose(after, expected, rtol=1e-13, atol=tiny)
                assert loss == pytest.approx(single, rel=1e-13)
                if single == 0.0:
                    np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize(
    ("exponent", "dtype"),
    [(996, "f8"), (-500, "f8"), (-997, "f8"), (-1040, "f8"), (120, "f4"), (-120, "f4")],
)
@pytest.mark.parametrize("share", [0.5, 1e-6])
@pytest.mark.parametrize("name", ["l2", "linf"])
def test_projection_without_zeros_of_extreme_scale(name, share, exponent, dtype):
    """Neither a square nor a difference overflows or vanishes."""
    X = np.random.default_rng(5).integers(-9, 10, size=(5, 6)).astype(dtype)
    ball = BALLS[name]
    radius = share * ball.norm(X)
    P = ball.project(np.ldexp(X, exponent), np.ldexp(radius, exponent))
    expected = np.ldexp(ball.project(X, radius), exponent)
    last_digit = np.finfo(dtype).smallest_subnormal
    np.testing.assert_allclose(P, expected, rtol=1e-6, atol=2 * last_digit)


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


# ---------------------------------------------------------------------------
# Accepted input


@each_function
def test_input_of_other_types(function):
    """Lists and integers become float64; float32 stays float32."""
    X = [[3, -1, 2], [0, 5, -2]]
    expected = function(np.array(X, dtype=np.float64), 2.0)
    assert expected.dtype == np.float64
    for other in (X, np.array(X), np.array(X, dtype=np.int8)):
        P = function(other, np.float32(2.0))
        assert P.dtype == np.float64
        np.testing.assert_array_equal(P, expected)
    single = function(np.array(X, dtype=np.float32), 2)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, rtol=1e-6)


# ---------------------------------------------------------------------------
# out


def _fields(shape, dtype):
    return np.zeros(shape, dtype=[("value", dtype), ("tag", "i2")])


OUTS = {
    "C": np.empty_like,
    "Fortran": lambda X: np.empty_like(X, order="F"),
    "strided": lambda X: np.empty((12, 15), dtype=X.dtype)[::2, ::3],
    "backwards": lambda X: np.empty_like(X)[::-1, ::-1],
    "packed record": lambda X: _fields(X.shape, X.dtype)["value"],
    "unaligned": lambda X: (
        np.empty(X.nbytes + 1, dtype=np.uint8)[1:].view(X.dtype).reshape(X.shape)
    ),
}


@pytest.mark.parametrize("axis", [0, 1, None])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("layout", OUTS)
@each_function
def test_out_of_any_layout(function, layout, order, axis):
    """The result is written to `out`, whose memory order need not be that of X."""
    X = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32, order=order)
    before = X.copy()
    for radius in (0.0, 2.0, 1e9):  # a point, outside, inside
        out = OUTS[layout](X)
        out[...] = np.float32(7.0)
        expected = function(X, radius, axis=axis)
        assert function(X, radius, axis=axis, out=out) is out
        np.testing.assert_allclose(out, expected, rtol=1e-6)
        np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("axis", [0, 1, None])
@pytest.mark.parametrize("layout", OUTS)
@each_function
def test_out_in_place(function, layout, axis):
    """X may be `out`, in every layout."""
    X = np.random.default_rng(1).normal(size=(6, 5))
    place = OUTS[layout](X)
    place[...] = X
    assert function(place, 2.0, axis=axis, out=place) is place
    np.testing.assert_allclose(place, function(X, 2.0, axis=axis), rtol=1e-12)


@pytest.mark.parametrize(
    "view",
    [
        lambda X: X[::-1],
        lambda X: X[:, ::-1],
        lambda X: X.T,
        lambda X: np.lib.stride_tricks.as_strided(X.base[1:], X.shape, X.strides),
    ],
    ids=["rows reversed", "columns reversed", "transposed", "shifted by one entry"],
)
@pytest.mark.parametrize("axis", [0, 1])
@each_function
def test_out_that_overlaps(function, axis, view):
    """Memory of X that `out` covers in another order is read before it is written."""
    for radius in (2.0, 1e9):  # outside, inside
        memory = np.random.default_rng(2).normal(size=26)
        X = memory[:25].reshape(5, 5)
        expected = function(X.copy(), radius, axis=axis)
        out = view(X)
        function(X, radius, axis=axis, out=out)
        np.testing.assert_allclose(out, expected, rtol=1e-12)


@each_function
def test_out_leaves_memory_between_its_entries_alone(function):
    """Nothing is written beside the entries of a strided array or of a record."""
    X = np.random.default_rng(3).normal(size=(6, 5))
    wide = np.full((12, 15), 7.0)
    records = _fields(X.shape, X.dtype)
    records["tag"] = 7
    for axis in (0, 1, None):
        function(X, 2.0, axis=axis, out=wide[::2, ::3])
        function(X, 2.0, axis=axis, out=records["value"])
        assert np.count_nonzero(wide == 7.0) == wide.size - X.size
        np.testing.assert_array_equal(records["tag"], 7)


# ---------------------------------------------------------------------------
# Refused input

GOOD = np.arange(12.0).reshape(3, 4) - 5.0


def _with(value):
    X = GOOD.copy()
    X[2, 3] = value
    return X


def _locked():
    out = np.full(GOOD.shape, 7.0)
    out.flags.writeable = False
    return out


BAD_ARGUMENTS = {
    "radius negative": ({"radius": -1e-300}, ValueError, "radius must be non-neg"),
    "radius NaN": ({"radius": np.nan}, ValueError, "radius must be non-neg"),
    "radius huge": ({"radius": -(10**400)}, ValueError, "radius must be non-neg"),
    "radius minus inf": ({"radius": -np.inf}, ValueError, "radius must be non-neg"),
    "radius bool": ({"radius": True}, TypeError, "radius must be a real"),
    "radius NumPy bool": ({"radius": np.True_}, TypeError, "radius must be a real"),
    "radius str": ({"radius": "1"}, TypeError, "radius must be a real"),
    "radius None": ({"radius": None}, TypeError, "radius must be a real"),
    "radius complex": ({"radius": 1j}, TypeError, "radius must be a real"),
    "radius array": ({"radius": np.ones(2)}, TypeError, "radius must be a real"),
    "X NaN": ({"X": _with(np.nan)}, ValueError, "X contains NaN"),
    "X inf": ({"X": _with(np.inf)}, ValueError, "X contains NaN or inf"),
    "X float16": ({"X": GOOD.astype(np.float16)}, TypeError, "X must hold"),
    "X complex": ({"X": GOOD.astype(complex)}, TypeError, "X must hold"),
    "X object": ({"X": GOOD.astype(object)}, TypeError, "X must hold"),
    "X bool": ({"X": GOOD > 0}, TypeError, "X must hold"),
    "X str": ({"X": GOOD.astype(str)}, TypeError, "X must hold"),
    "X sparse matrix": ({"X": sparse.csr_matrix(GOOD)}, TypeError, "for a sp|is a sp"),
    "X sparse array": ({"X": sparse.coo_array(GOOD)}, TypeError, "for a sp|is a sp"),
    "X masked": ({"X": np.ma.masked_less(GOOD, 0)}, TypeError, "X is a masked array"),
    "X scalar": ({"X": 3.0}, ValueError, "X must have at least one"),
    "axis too large": ({"axis": 2}, ValueError, "axis 2 is out of bounds"),
    "axis too small": ({"axis": -3}, ValueError, "axis -3 is out of bounds"),
    "axis in tuple": ({"axis": (0, 5)}, ValueError, "axis 5 is out of bounds"),
    "axis repeated": ({"axis": (0, -2)}, ValueError, "repeated axis"),
    "axis empty": ({"axis": ()}, ValueError, "axis must name"),
    "axis float": ({"axis": 0.5}, TypeError, "axis must be an integer"),
    "axis str": ({"axis": "0"}, TypeError, "axis must be an integer"),
    "out list": ({"out": [[7.0] * 4] * 3}, TypeError, "out must be a NumPy"),
    "out shape": ({"out": np.full((4, 3), 7.0)}, ValueError, "out must have shape"),
    "out ndim": ({"out": np.full(12, 7.0)}, ValueError, "out must have shape"),
    "out dtype": (
        {"out": np.full((3, 4), 7.0, dtype=np.float32)},
        TypeError,
        "out must have dtype float64",
    ),
    "out read-only": ({"out": _locked()}, ValueError, "out must be writeable"),
    "n_threads zero": ({"n_threads": 0}, ValueError, "n_threads must not be 0"),
    "n_threads float": ({"n_threads": 1.5}, TypeError, "n_threads must be an int"),
    "n_threads bool": ({"n_threads": True}, TypeError, "n_threads must be an int"),
    "n_threads str": ({"n_threads": "2"}, TypeError, "n_threads must be an int"),
}


@pytest.mark.parametrize("bad", BAD_ARGUMENTS)
@each_function
def test_bad_argument_is_refused_before_writing(function, bad):
    """One clear error that names the argument, and `out` is as it was."""
    change, error, message = BAD_ARGUMENTS[bad]
    arguments = {"X": GOOD, "radius": 1.0, "out": np.full((3, 4), 7.0), **change}
    with pytest.raises(error, match=message):
        function(**arguments)
    np.testing.assert_array_equal(arguments["out"], 7.0)


@each_ball
def test_minus_infinity_is_refused(ball):
    """Only a simplex has a nearest point."""
    with pytest.raises(ValueError, match="X contains NaN or inf"):
        ball.project(_with(-np.inf), 1.0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@each_function
def test_bad_entry_is_refused_in_place(function, value):
    """An array that is to be projected in place keeps its good entries."""
    X = _with(value)
    with pytest.raises(ValueError, match="X contains NaN"):
        function(X, 0.0, out=X)
    np.testing.assert_array_equal(X, _with(value))


@pytest.mark.parametrize(
    ("radius", "dtype"), [(np.inf, np.float64), (1e39, np.float32)]
)
def test_projection_simplex_refuses_radius_that_is_not_finite(radius, dtype):
    """Entries cannot add up to a number that their type does not hold."""
    out = np.full(3, 7.0, dtype=dtype)
    with pytest.raises(ValueError, match="radius must be finite"):
        projection_simplex(np.ones(3, dtype=dtype), radius, out=out)
    np.testing.assert_array_equal(out, 7.0)


@each_ball
def test_axis_of_tensors(ball):
    """Negative and tuple axes name the same groups as a matrix of them."""
    X = np.random.default_rng(4).normal(size=(3, 4, 5))
    for axis, columns in (
        (-1, X.reshape(12, 5).T),
        (2, X.reshape(12, 5).T),
        ((1, 2), X.reshape(3, 20).T),
        ((-1, -2), X.reshape(3, 20).T),
        (0, X.reshape(3, 20)),
        (None, X.reshape(60, 1)),
    ):
        radius = 0.4 * ball.norm(columns)
        assert ball.norm(X, axis=axis) == pytest.approx(ball.norm(columns), rel=1e-14)
        P = ball.project(X, radius, axis=axis)
        expected = ball.project(columns, radius)
        if columns.shape[0] != 3:
            expected = expected.T
        np.testing.assert_allclose(P, expected.reshape(X.shape), atol=1e-14)


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


@pytest.mark.parametrize("size", [65_535, 65_536, 131_072])
def test_projection_of_large_float32_entries_of_long_vectors(size):
    """The radius is beyond float32, and no entry is."""
    x = np.random.default_rng(1).normal(size=size).astype(np.float32)
    for scale in (2.0**100, 2.0**119, 2.0**123):
        large = x * np.float32(scale)
        for share in (0.01, 0.3, 0.9):
            radius = share * float(np.abs(x).sum(dtype=np.float64))
            expected = projection_l1_ball(x, radius) * np.float32(scale)
            P = projection_l1_ball(large, radius * scale)
            np.testing.assert_allclose(P, expected, rtol=1e-5, atol=1e-6 * scale)


def test_zeros_of_groups_that_vanish_have_no_sign():
    """Whether they are written one by one or as a run, by any number of threads."""
    Z = np.full((1000, 200), -0.0)
    Z[0] = 1e-3
    Z[0, :100] = 1.0
    for n_threads in (1, 2, 7):
        P = projection_l1inf_ball(Z, 10.0, n_threads=n_threads)
        assert not P[:, 100:].any()
        assert not np.signbit(P[:, 100:]).any()
