"""The mixed norms: their values, their duals, and their range."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skproj import projection
from skproj.projection import (
    BALLS,
    norm_l1,
    norm_l1inf,
    norm_l2,
    norm_l11,
    norm_l12,
    norm_linf,
    norm_linf1,
    norm_linf2,
)

# Inner order and outer reduction of each norm, in the words of NumPy.
DEFINITIONS = {
    norm_l11: (1, np.sum),
    norm_l12: (2, np.sum),
    norm_l1inf: (np.inf, np.sum),
    norm_linf1: (1, np.max),
    norm_linf2: (2, np.max),
}
# Order of the norms of all entries, or of each slice.
VECTOR_NORMS = {norm_l1: 1, norm_l2: 2, norm_linf: np.inf}

each_vector_norm = pytest.mark.parametrize("norm", VECTOR_NORMS)
any_norm = pytest.mark.parametrize("norm", [*DEFINITIONS, *VECTOR_NORMS])
each_norm = pytest.mark.parametrize("norm", DEFINITIONS)
each_ball = pytest.mark.parametrize("ball", BALLS.values(), ids=BALLS)


def test_every_norm_is_in_these_tests():
    """The norm of norms has tests of its own."""
    names = {norm.__name__ for norm in [*DEFINITIONS, *VECTOR_NORMS]}
    public = {name for name in projection.__all__ if name.startswith("norm_")}
    assert names | {"norm_multilevel"} == public


@st.composite
def matrices(draw):
    shape = draw(st.integers(1, 8)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    X = rng.normal(size=shape) * rng.choice([0.0, 0.1, 1.0, 5.0], size=shape[1])
    X[0, 0] += 4.0  # not zero everywhere
    return X


@pytest.mark.parametrize("axis", [0, 1, 2, -3, (0, 1), (0, 2), (-1, -2), None])
@each_norm
def test_norm_of_tensor(norm, axis):
    """Tuples of axes make groups of several dimensions."""
    X = np.random.default_rng(1).normal(size=(3, 4, 5))
    inner, outer = DEFINITIONS[norm]
    power = {1: np.abs(X).sum(axis), np.inf: np.abs(X).max(axis)}
    groups = power.get(inner, np.sqrt((X**2).sum(axis)))
    assert norm(X, axis=axis) == pytest.approx(outer(groups), rel=1e-13)
    assert isinstance(norm(X, axis=axis), float)
    assert norm(X) == norm(X, axis=0)


@any_norm
def test_norm_of_other_layouts(norm):
    """Views that are not contiguous, read-only or not native have the same norm."""
    X = np.random.default_rng(2).normal(size=(6, 8))
    records = np.zeros(X.shape, dtype=[("value", "f8"), ("tag", "S5")])
    records["value"] = X
    for axis in (0, 1, None):
        expected = norm(X, axis=axis)
        for other in (
            X[::-1, ::-1].copy()[::-1, ::-1],
            np.repeat(X, 3, axis=1)[:, ::3],
            np.repeat(X, 3, axis=0)[::3],
            records["value"],
            X.astype(X.dtype.newbyteorder("S")),
            X.tolist(),
        ):
            assert norm(other, axis=axis) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "axis", [None, 0, 1, 2, -3, (0, 1), (0, 2), (-1, -2), (0, 1, 2)]
)
@each_vector_norm
def test_vector_norm_equals_definition(norm, axis, dtype):
    """A float for the whole array, and an array with a norm for each slice."""
    X = np.random.default_rng(1).normal(size=(3, 4, 5)).astype(dtype)
    A = np.abs(X.astype(np.float64))
    expected = {1: A.sum(axis), 2: np.sqrt((A**2).sum(axis)), np.inf: A.max(axis)}[
        VECTOR_NORMS[norm]
    ]
    for layout in (X, np.asfortranarray(X)):
        actual = norm(layout, axis=axis)
        np.testing.assert_allclose(actual, expected, rtol=1e-14)
        assert np.shape(actual) == expected.shape
        assert isinstance(actual, np.ndarray if expected.shape else float)
    assert norm(X) == norm(X, axis=None)


@each_vector_norm
def test_norms_of_slices_of_very_different_scale(norm):
    """Each of them is right, whatever the others are."""
    x = np.array([[3.0], [-4.0], [0.0]])
    powers = np.array([-1074, -1000, -600, -500, 0, 500, 600, 1000, 1020])
    scales = np.append(np.ldexp(1.0, powers), 0.0)
    X = x * scales
    expected = norm(x) * scales
    for Y in (X, np.asfortranarray(X)):
        np.testing.assert_allclose(norm(Y, axis=0), expected, rtol=1e-14)
    assert (
        norm(np.full((2, 2), 1.7e308), axis=0)[0]
        == {norm_l1: np.inf, norm_l2: np.inf, norm_linf: 1.7e308}[norm]
    )
    with pytest.raises(ValueError, match="X contains NaN or infinity"):
        norm(np.array([[1.0, 1e-200], [1.0, np.inf]]), axis=0)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
@any_norm
def test_norm_of_empty_array_is_zero(norm, shape):
    """An empty sum, and the maximum of no group."""
    assert norm(np.empty(shape)) == 0.0


def test_norm_too_large_for_a_float_is_infinite():
    """Like the sum of the same numbers, and without a warning."""
    assert norm_l11([1.7e308, -1.7e308]) == np.inf
    assert norm_l1inf([1.7e308, -1.7e308]) == 1.7e308


@each_ball
@given(matrices(), st.integers(0, 2**32))
def test_dual_norm_bounds_inner_product(ball, X, seed):
    """|<X, G>| <= norm(X) dual_norm(G)."""
    G = np.random.default_rng(seed).normal(size=X.shape)
    bound = ball.norm(X) * ball.dual_norm(G)
    assert abs(np.sum(X * G)) <= bound * (1 + 1e-14)


@each_ball
@given(matrices())
def test_dual_norm_is_attained(ball, X):
    """No smaller number would do: some G of dual norm 1 has <X, G> = norm(X)."""
    if not ball.grouped:
        X = X.reshape(-1, 1)
    if ball.inner_norm == 1:
        G = np.sign(X)
    elif ball.inner_norm == 2:
        length = np.linalg.norm(X, axis=0)
        G = X / np.where(length > 0.0, length, 1.0)
    else:
        top = np.arange(X.shape[0])[:, np.newaxis] == np.abs(X).argmax(axis=0)
        G = np.where(top, np.sign(X), 0.0)
    assert ball.dual_norm(G) == pytest.approx(1.0, rel=1e-14)
    assert np.sum(X * G) == pytest.approx(ball.norm(X), rel=1e-13)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"X": [[1.0, np.nan]]}, ValueError, "X contains NaN"),
        ({"X": [[1.0, -np.inf]]}, ValueError, "X contains NaN or infinity"),
        ({"X": np.ones((2, 2), dtype=complex)}, TypeError, "X must hold"),
        ({"X": np.ones((2, 2), dtype=np.float16)}, TypeError, "X must hold"),
        ({"X": [[True, False]]}, TypeError, "X must hold"),
        ({"X": 1.0}, ValueError, "X must have at least one"),
        ({"axis": 2}, ValueError, "axis 2 is out of bounds"),
        ({"axis": "0"}, TypeError, "axis must be an integer"),
        ({"n_threads": 0}, ValueError, "n_threads must not be 0"),
        ({"n_threads": 0.5}, TypeError, "n_threads must be an integer"),
    ],
)
@any_norm
def test_norm_refuses_bad_argument(norm, arguments, error, message):
    """One clear error that names the argument."""
    with pytest.raises(error, match=message):
        norm(**{"X": np.ones((2, 2)), **arguments})


@pytest.mark.parametrize("shape", [(2**19, 2), (11397, 23), (4000, 700)])
@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e-3])
def test_equal_entries_of_long_columns_are_summed_exactly(value, shape):
    """All their roundings go the same way, so that those of a plain sum add up."""
    X = np.full(shape, value)
    n = shape[0]
    np.testing.assert_allclose(norm_l1(X, axis=0), math.fsum([value] * n), rtol=5e-15)
    np.testing.assert_allclose(norm_l2(X, axis=0), value * math.sqrt(n), rtol=5e-15)
