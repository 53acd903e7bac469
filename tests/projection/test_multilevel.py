"""Multi-level projections and norms of tensors."""

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from skproj.projection import (
    _reference,
    norm_l1,
    norm_l1inf,
    norm_l12,
    norm_linf1,
    norm_linf2,
    norm_multilevel,
    projection_bilevel_l1inf_ball,
    projection_bilevel_l11_ball,
    projection_l1_ball,
    projection_l2_ball,
    projection_l12_ball,
    projection_linf_ball,
    projection_multilevel,
)

INF = np.inf
ORDERS = (1, 2, INF)


@st.composite
def tensors(draw, ndim):
    """Small tensors with ties, or with slices of different sizes, some zero."""
    shape = draw(st.lists(st.integers(1, 5), min_size=ndim, max_size=ndim))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if draw(st.booleans()):
        X = rng.integers(-3, 4, size=shape).astype(np.float64)
    else:
        X = rng.normal(size=shape) * rng.choice([0.0, 0.1, 1.0, 5.0], size=shape[1:])
    X[(0,) * ndim] += 4.0  # not zero everywhere
    return X


shares = st.floats(0.01, 0.99)


def naive_norm(X, norms):
    X = np.abs(X)
    for order in reversed(norms):
        X = np.linalg.norm(X, order, axis=0)
    return X


# ---------------------------------------------------------------------------
# Properties for every choice of norms


@pytest.mark.parametrize("inner", ORDERS)
@given(data=st.data(), share=shares)
def test_norm_and_projection_equal_the_definition(inner, data, share):
    """The reference loops over the fibres, and the result is on the sphere."""
    norms = (*data.draw(st.lists(st.sampled_from(ORDERS), max_size=2)), inner)
    X = data.draw(tensors(len(norms)))
    expected_norm, norm = naive_norm(X, norms), norm_multilevel(X, norms)
    assert norm == pytest.approx(expected_norm, rel=1e-14)
    assert isinstance(norm, float)

    P, threshold = projection_multilevel(X, share * norm, norms, return_threshold=True)
    expected = _reference.multilevel(X, share * norm, norms)
    np.testing.assert_allclose(P, expected, rtol=0, atol=1e-13 * norm)
    assert naive_norm(P, norms) == pytest.approx(share * norm, rel=1e-12)
    assert np.all(P * X >= 0.0)
    again = projection_multilevel(P, share * norm, norms)
    np.testing.assert_allclose(again, P, rtol=0, atol=1e-13 * norm)

    assert isinstance(threshold, float)
    if norms[0] != 1:
        assert threshold == pytest.approx((1 - share) * norm, rel=1e-12)
        return
    for before, after in zip(np.moveaxis(X, -1, 0), np.moveaxis(P, -1, 0), strict=True):
        before, after = (naive_norm(V, norms[1:]) for V in (before, after))
        expected = max(before - threshold, 0.0)
        assert after == pytest.approx(expected, rel=1e-12, abs=1e-13 * norm)


@given(data=st.data(), depth=st.integers(1, 3))
def test_projection_keeps_what_is_inside(data, depth):
    """Radius infinity gives a copy, radius 0 gives zeros."""
    norms = tuple(data.draw(st.sampled_from(ORDERS)) for _ in range(depth))
    X = data.draw(tensors(depth))
    for radius in (naive_norm(X, norms) * (1 + 1e-12), INF):
        same, threshold = projection_multilevel(X, radius, norms, return_threshold=True)
        np.testing.assert_array_equal(same, X)
        assert not np.shares_memory(same, X)
        assert threshold == 0.0
    np.testing.assert_array_equal(projection_multilevel(X, 0, norms), 0.0)


# ---------------------------------------------------------------------------
# Names that some of them have already


@given(tensors(2), shares)
def test_two_levels_are_the_bilevel_projections(X, share):
    """Of a matrix whose groups are its columns, and of its rows by other axes."""
    for inner, norm, function in (
        (1, norm_l1, projection_bilevel_l11_ball),
        (2, norm_l12, projection_l12_ball),
        (INF, norm_l1inf, projection_bilevel_l1inf_ball),
    ):
        radius = share * norm(X)
        P = projection_multilevel(X, radius, (1, inner))
        np.testing.assert_array_equal(P, function(X, radius, axis=0))
        rows = projection_multilevel(X.T, radius, (1, inner), axes=(0, 1))
        np.testing.assert_array_equal(rows, P.T)


def test_single_level_is_a_projection_of_the_whole_array():
    """Along all axes together."""
    X = np.random.default_rng(1).normal(size=(3, 4))
    for order, function in (
        (1, projection_l1_ball),
        (2, projection_l2_ball),
        (INF, projection_linf_ball),
    ):
        P = projection_multilevel(X, 0.4, (order,), axes=((0, 1),))
        np.testing.assert_array_equal(P, function(X, 0.4))


def test_norms_that_have_a_name():
    """Two levels of a tensor with a tuple of axes."""
    X = np.random.default_rng(2).normal(size=(3, 4, 5))
    for norms, norm in (
        ((1, 2), norm_l12),
        ((1, INF), norm_l1inf),
        ((INF, 1), norm_linf1),
        ((INF, 2), norm_linf2),
    ):
        for inner, outer in (((0, 2), 1), (0, (1, 2)), (-1, (0, -2))):
            actual = norm_multilevel(X, norms, axes=(outer, inner))
            assert actual == pytest.approx(norm(X, axis=inner), rel=1e-14)


# ---------------------------------------------------------------------------
# Axes and scales


@pytest.mark.parametrize("axes", list(itertools.permutations(range(-3, 0))), ids=str)
@pytest.mark.parametrize("norms", [(1, INF, INF), (1, 2, 1), (INF, 1, 2)], ids=str)
def test_axes_are_transposed_back(axes, norms):
    """The default is (2, 1, 0): other axes name the same levels of another array."""
    X = np.random.default_rng(3).normal(size=(3, 4, 5))
    moved = X.transpose(axes[::-1])
    radius = 0.4 * naive_norm(moved, norms)
    assert norm_multilevel(X, norms, axes=axes) == pytest.approx(radius / 0.4)
    P = projection_multilevel(X, radius, norms, axes=axes)
    expected = _reference.multilevel(moved, radius, norms)
    np.testing.assert_allclose(P.transpose(axes[::-1]), expected, atol=1e-14)


def test_slices_of_very_different_scale():
    """An outer maximum leaves small slices alone and bounds large ones."""
    x = np.array([[3.0], [-4.0]])
    scales = np.ldexp(1.0, [-1070, -800, -600, 0, 400])
    P = projection_multilevel(x * scales, 5.0, (INF, 2))
    np.testing.assert_array_equal(P[:, :4], x * scales[:4])
    np.testing.assert_allclose(P[:, 4:], x)
    P = projection_multilevel(x * scales[:4], np.ldexp(5.0, -700), (INF, 2))
    np.testing.assert_allclose(P, x * np.ldexp(1.0, [-1070, -800, -700, -700]))


@pytest.mark.parametrize("norms", [(1, INF, INF), (1, 2, 2), (1, 1, 1)], ids=str)
def test_nothing_of_the_size_of_the_input_is_allocated(norms):
    """In place, only aggregated tensors and a few numbers per fibre."""
    X = np.random.default_rng(7).normal(size=(50, 40, 100))
    tracemalloc.start()
    projection_multilevel(X, 1.0, norms, out=X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < X.nbytes / 4


@pytest.mark.parametrize("shape", [(0, 3, 2), (3, 0, 2), (3, 2, 0)])
def test_empty_array_comes_back_empty(shape):
    """Its norm is zero."""
    P, threshold = projection_multilevel(np.empty(shape), 1.0, return_threshold=True)
    assert P.shape == shape
    assert threshold == 0.0
    assert norm_multilevel(np.empty(shape)) == 0.0


# ---------------------------------------------------------------------------
# Refused input

GOOD = np.ones((2, 3, 4))
BAD_LEVELS = {
    "norms empty": ({"norms": ()}, ValueError, "norms must be a non-empty seq"),
    "norms 3": ({"norms": (1, 3, INF)}, ValueError, "norms must be a non-empty seq"),
    "norms str": ({"norms": ("1", 2, 2)}, ValueError, "norms must be a non-empty seq"),
    "norms one": ({"norms": 1}, ValueError, "norms must be a non-empty sequence"),
    "norms list": ({"norms": ([1], 2, 2)}, ValueError, "norms must be a non-empty"),
    "norms short": ({"norms": (1, INF)}, ValueError, "norms must have one entry for"),
    "axes short": ({"axes": (0, (1, 2))}, ValueError, "axes must be a sequence with"),
    "axes int": ({"axes": 0}, ValueError, "axes must be a sequence with one axis"),
    "axes missing": ({"axes": (0, 1, 1)}, ValueError, "axes must name each of the 3"),
    "axes twice": ({"axes": (0, (1, 2), -1)}, ValueError, "axes must name each of"),
    "axes empty": ({"axes": (0, (1, 2), ())}, ValueError, "axis must name at least"),
    "axes None": ({"axes": (0, (1, 2), None)}, ValueError, "axis must name at least"),
    "axes large": ({"axes": (0, 1, 3)}, ValueError, "axis 3 is out of bounds"),
    "axes float": ({"axes": (0, 1, 0.5)}, TypeError, "axis must be an integer"),
    "X NaN": ({"X": GOOD * np.nan}, ValueError, "X contains NaN"),
    "X bool": ({"X": GOOD > 0}, TypeError, "X must hold"),
    "X scalar": ({"X": 1.0}, ValueError, "X must have at least one"),
    "X sparse": ({"X": sparse.csr_array(np.eye(2))}, TypeError, "X is a sparse"),
    "n_threads": ({"n_threads": 0}, ValueError, "n_threads must not be 0"),
}
BAD_PROJECTION = {
    **BAD_LEVELS,
    "radius": ({"radius": -1.0}, ValueError, "radius must be non-negative"),
    "radius None": ({"radius": None}, TypeError, "radius must be a real"),
    "out shape": ({"out": np.full((4, 3, 2), 7.0)}, ValueError, "out must have shape"),
    "out list": ({"out": [7.0]}, TypeError, "out must be a NumPy array"),
}


@pytest.mark.parametrize("bad", BAD_LEVELS)
def test_norm_refuses_bad_argument(bad):
    """One clear error that names it."""
    change, error, message = BAD_LEVELS[bad]
    with pytest.raises(error, match=message):
        norm_multilevel(**{"X": GOOD, **change})


@pytest.mark.parametrize("bad", BAD_PROJECTION)
def test_projection_refuses_bad_argument_before_writing(bad):
    """One clear error that names it, and `out` is as it was."""
    change, error, message = BAD_PROJECTION[bad]
    arguments = {"X": GOOD, "radius": 1.0, "out": np.full((2, 3, 4), 7.0), **change}
    with pytest.raises(error, match=message):
        projection_multilevel(**arguments)
    np.testing.assert_array_equal(arguments["out"], 7.0)
