"""The radius that leaves a wanted number of groups."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skproj.projection import BALLS, radius_for_sparsity
from skproj.projection._registry import SPARSIFYING

each_ball = pytest.mark.parametrize("ball", [BALLS[name] for name in SPARSIFYING])
GROUPED = [name for name in SPARSIFYING if BALLS[name].grouped]


@st.composite
def matrices(draw):
    """Matrices without ties, with columns of very different sizes, some zero."""
    shape = draw(st.integers(1, 12)), draw(st.integers(1, 20))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    decades = draw(st.sampled_from([0.0, 1.0, 4.0]))
    X = rng.normal(size=shape) * 10.0 ** rng.uniform(-decades, decades, size=shape[1])
    if draw(st.booleans()):
        X[:, rng.random(shape[1]) < 0.2] = 0.0
    X[0, 0] += 4.0  # not zero everywhere
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    return np.asarray(X, dtype=dtype, order=draw(st.sampled_from("CF")))


def count(ball, P, axis=0):
    """Number of groups (entries for l1) that are not zero."""
    return np.count_nonzero(P.any(axis=axis) if ball.grouped else P)


@each_ball
@given(X=matrices(), share=st.floats(0.0, 1.0))
def test_exactly_so_many_groups_survive(ball, X, share):
    """And with a radius a little larger there are more."""
    n_nonzero = count(ball, X)
    k = round(share * n_nonzero)
    radius = radius_for_sparsity(X, n_groups=k, ball=ball.name)
    assert isinstance(radius, float)
    assert count(ball, ball.project(X, radius)) == k
    if 0 < k < n_nonzero:
        larger = radius + 1e-4 * ball.norm(X)
        assert count(ball, ball.project(X, larger)) >= k
        assert count(ball, ball.project(X, radius * (1 + 1e-6))) > k


@each_ball
def test_every_number_of_groups_of_a_large_matrix(ball):
    """From one to all, where sums have many terms."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 400)) * rng.exponential(size=400)
    n_groups = X.shape[1] if ball.grouped else X.size
    before = 0.0
    for k in (1, 2, 3, n_groups // 100, n_groups // 2, n_groups - 1, n_groups):
        radius = radius_for_sparsity(X, n_groups=k, ball=ball.name)
        assert radius > before
        assert count(ball, ball.project(X, radius)) == k
        if k < n_groups:
            assert count(ball, ball.project(X, radius * (1 + 1e-8))) == k + 1
        before = radius


LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "strided": lambda X: np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3],
    "reversed": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
}


@pytest.mark.parametrize(
    ("shape", "layout", "dtype"),
    [
        ((30, 50), "reversed", np.float32),
        ((100, 200), "strided", np.float64),
        ((300, 1000), "C", np.float32),
        ((1200, 300), "F", np.float64),
    ],
)
@each_ball
def test_layout_and_type(ball, dtype, layout, shape):
    """However sums are rounded, also where two groups are nearly as large."""
    rng = np.random.default_rng(shape)
    X = rng.normal(size=shape).astype(dtype)
    strengths = np.abs(X, dtype=np.float64)
    if ball.grouped:
        order = 1 if ball.name == "l1inf" else ball.inner_norm
        strengths = np.linalg.norm(strengths, order, axis=0)
    strengths = np.sort(strengths, axis=None)[::-1]
    gaps = strengths[:-1] - strengths[1:]
    nearest = 1 + np.flatnonzero(gaps == np.min(gaps, where=gaps > 0.0, initial=np.inf))
    X = LAYOUTS[layout](X)
    for k in (1, *nearest[:1], *rng.integers(2, shape[1], 2), shape[1] - 1, shape[1]):
        radius = radius_for_sparsity(X, n_groups=int(k), ball=ball.name)
        assert count(ball, ball.project(X, radius)) == k


@pytest.mark.parametrize("exponent", [0, -20, -1068])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@each_ball
def test_groups_that_rounding_hardly_tells_apart(ball, dtype, exponent):
    """Where no radius leaves so many, it is refused."""
    exponent = max(exponent, np.finfo(dtype).minexp - np.finfo(dtype).nmant + 6)
    for seed in range(30):
        rng = np.random.default_rng(seed)
        X = 1 + np.finfo(dtype).eps * rng.integers(-2, 3, size=rng.integers(2, 12, 2))
        with np.errstate(under="ignore"):
            X = np.ldexp(X.astype(dtype), exponent)
        for k in range(1, 1 + (X.shape[1] if ball.grouped else X.size)):
            refusal = ""
            try:
                radius = radius_for_sparsity(X, n_groups=k, ball=ball.name)
            except ValueError as error:
                refusal = str(error)
            if refusal:
                assert f"No radius leaves exactly {k}" in refusal
            else:
                assert count(ball, ball.project(X, radius)) == k


@each_ball
@given(X=matrices())
def test_no_group_and_all_groups(ball, X):
    """Radius 0, and the norm itself, where nothing has to change."""
    assert radius_for_sparsity(X, n_groups=0, ball=ball.name) == 0.0
    radius = radius_for_sparsity(X, n_groups=count(ball, X), ball=ball.name)
    assert radius == pytest.approx(ball.norm(X), rel=1e-14)


@each_ball
def test_fraction_is_rounded_to_the_nearest_count(ball):
    """A share of all groups."""
    X = np.random.default_rng(1).normal(size=(3, 11))
    n_groups = 11 if ball.grouped else 33
    for fraction in (0, 0.04, 0.3, np.float32(0.5), 0.94, 0.96, 1):
        radius = radius_for_sparsity(X, fraction=fraction, ball=ball.name)
        expected = round(float(fraction) * n_groups)
        assert count(ball, ball.project(X, radius)) == expected
        assert radius == radius_for_sparsity(X, n_groups=expected, ball=ball.name)


def test_default_ball_is_the_exact_l1inf():
    """By hand: the smaller column has an l1 norm of 2, which the larger one loses."""
    X = np.array([[5.0, 1.0], [4.0, -1.0], [0.0, 0.0]])
    # 5 - mu + 4 - mu = 2 gives mu = 3.5.
    assert radius_for_sparsity(X, n_groups=1) == pytest.approx(3.5)
    assert radius_for_sparsity(X, n_groups=1, ball="bilevel_l1inf") == pytest.approx(4)
    assert radius_for_sparsity(X, n_groups=1, ball="bilevel_l11") == pytest.approx(7)
    assert radius_for_sparsity(X, n_groups=1, ball="l1") == pytest.approx(1)


@pytest.mark.parametrize("name", GROUPED)
def test_axis_names_the_groups(name):
    """Rows, and the filters of a convolution."""
    ball = BALLS[name]
    X = np.random.default_rng(2).normal(size=(8, 3, 4))
    for axis, n_groups in ((1, 32), (-1, 24), ((1, 2), 8), ((0, 2), 3)):
        k = n_groups // 3
        radius = radius_for_sparsity(X, n_groups=k, ball=name, axis=axis)
        assert count(ball, ball.project(X, radius, axis=axis), axis) == k


@pytest.mark.parametrize("exponent", [-1030, -1000, 900, 1000])
@each_ball
def test_extreme_scale(ball, exponent):
    """Radii scale with the data; nothing overflows or vanishes."""
    X = np.ldexp(np.random.default_rng(3).normal(size=(6, 7)), exponent)
    for k in (1, 4, 7):
        radius = radius_for_sparsity(X, n_groups=k, ball=ball.name)
        assert count(ball, ball.project(X, radius)) == k


@each_ball
def test_ties_are_refused_with_the_possible_numbers(ball):
    """Equal groups die together."""
    X = np.diag([5.0, 3.0, 3.0, 3.0, 1.0, 0.0])
    for k in (1, 4, 5):
        radius = radius_for_sparsity(X, n_groups=k, ball=ball.name)
        assert count(ball, ball.project(X, radius)) == k
    for k in (2, 3):
        with pytest.raises(ValueError, match=f"exactly {k} .* number is 1 or 4"):
            radius_for_sparsity(X, n_groups=k, ball=ball.name)
    with pytest.raises(ValueError, match=r"exactly 6 .* number is 5\."):
        radius_for_sparsity(X, n_groups=6, ball=ball.name)
    with pytest.raises(ValueError, match=r"exactly 1 .* number is 0\."):
        radius_for_sparsity(np.zeros((2, 2)), n_groups=1, ball=ball.name)


@each_ball
def test_radius_beyond_the_largest_float_is_refused(ball):
    """That of a part of the groups may be a float all the same."""
    X = np.diag([1.7e308, 1.5e308, 1.4e308])
    assert radius_for_sparsity(X, n_groups=2, ball=ball.name) == pytest.approx(4e307)
    with pytest.raises(ValueError, match="X is too large: the radius that leaves 3"):
        radius_for_sparsity(X, n_groups=3, ball=ball.name)


def test_empty_array():
    """It has no groups."""
    assert radius_for_sparsity(np.empty((0, 3)), n_groups=0) == 0.0
    assert radius_for_sparsity(np.empty((0, 3)), fraction=0.5) == 0.0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_groups": None}, ValueError, "Exactly one of n_groups and fraction"),
        ({"fraction": 0.5}, ValueError, "Exactly one of n_groups and fraction"),
        ({"n_groups": -1}, ValueError, "n_groups must be between 0 and 4"),
        ({"n_groups": 5}, ValueError, "n_groups must be between 0 and 4"),
        ({"n_groups": 1.0}, TypeError, "n_groups must be an integer"),
        ({"n_groups": True}, TypeError, "n_groups must be an integer"),
        ({"n_groups": None, "fraction": 1.1}, ValueError, "fraction must be between"),
        ({"n_groups": None, "fraction": np.nan}, ValueError, "fraction must be betw"),
        ({"n_groups": None, "fraction": "1"}, TypeError, "fraction must be a real"),
        ({"ball": "l2"}, ValueError, "ball must be one of .*'l1inf'"),
        ({"ball": "L1"}, ValueError, "ball must be one of"),
        ({"ball": None}, ValueError, "ball must be one of"),
        ({"axis": 2}, ValueError, "axis 2 is out of bounds"),
        ({"X": np.full((2, 2), np.nan)}, ValueError, "X contains NaN"),
        ({"X": np.full((2, 2), np.nan), "n_groups": 0}, ValueError, "X contains NaN"),
    ],
)
def test_bad_argument_is_refused(arguments, error, message):
    """One clear error that names it."""
    with pytest.raises(error, match=message):
        radius_for_sparsity(**{"X": np.ones((3, 4)), "n_groups": 2, **arguments})
