"""Columns of C-ordered arrays, which kernels copy in tiles and solve as rows."""

import numpy as np
import pytest

from skproj.projection import (
    BALLS,
    projection_l1_ball,
    projection_simplex,
)

# Beside tiles and blocks of a transpose, and where samples and kept entries begin.
SHAPES = [(2, 9), (7, 33), (8, 8), (9, 65), (100, 700), (1023, 70), (2048, 40)]
SHAPES += [(2049, 65), (5000, 33), (70_000, 3), (300, 300)]
EPS = {"float64": 1e-12, "float32": 2e-6}


def l1(X, radius, **options):
    """Project each group onto the l1 ball of its share of the radius."""
    share = radius / X.shape[1 - options["axis"]]
    return projection_l1_ball(X, share, **options)


def simplex(X, radius, **options):
    """Project each group onto the simplex of its share of the radius."""
    share = radius / X.shape[1 - options["axis"]]
    return projection_simplex(X, share, **options)


PROJECTIONS = {
    "l1inf": BALLS["l1inf"].projection,
    "bilevel_l11": BALLS["bilevel_l11"].projection,
    "prox_l1inf": lambda X, radius, **options: BALLS["l1inf"].prox(
        X, radius / X.shape[1 - options["axis"]], **options
    ),
    "l1": l1,
    "simplex": simplex,
}
each_projection = pytest.mark.parametrize("name", PROJECTIONS)
each_dtype = pytest.mark.parametrize("dtype", EPS)


def draw(shape, dtype, seed=0):
    """Draw columns of many sizes: runs of columns vanish for a small radius."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal(shape, dtype=dtype)
    return X * rng.choice([0.01, 0.1, 1.0, 3.0], size=shape[1]).astype(dtype)


def assert_as_rows(name, X, radius):
    """Compare with the same groups as rows, which are not copied."""
    project = PROJECTIONS[name]
    found = project(X, radius, axis=0, n_threads=1)
    expected = project(np.ascontiguousarray(X.T), radius, axis=1, n_threads=1).T
    scale = np.abs(X).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=EPS[X.dtype.name] * scale)
    return found


@pytest.mark.parametrize("share", [1e-3, 0.1, 0.9])
@each_dtype
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@each_projection
def test_columns_are_projected_like_rows(name, shape, dtype, share):
    X = draw(shape, dtype)
    assert_as_rows(name, X, share * float(np.abs(X).max(axis=0).sum()))


@each_dtype
@each_projection
def test_columns_that_vanish_between_others_are_not_needed(name, dtype):
    # Runs of 0 to 200 columns without anything to do, also at the ends.
    X = draw((600, 500), dtype)
    X[:, np.r_[0:40, 60:61, 63:97, 98:300, 470:500]] *= 1e-6
    assert_as_rows(name, X, 0.05 * float(np.abs(X).max(axis=0).sum()))


@each_projection
@pytest.mark.parametrize(
    "view",
    [
        lambda X: X[::-1],
        lambda X: X[:, ::-1],
        lambda X: X[::3, 5:-3],
        lambda X: X[:, ::2],
        lambda X: np.asfortranarray(X),
        lambda X: np.broadcast_to(X[:1], X.shape),
    ],
    ids=["reversed", "columns reversed", "rows left out", "columns left out", "F", "0"],
)
def test_views_give_what_their_copies_give(name, view):
    X = draw((900, 130), "float64")
    X.flags.writeable = False
    X = view(X)
    radius = 0.1 * float(np.abs(X).max(axis=0).sum())
    found = assert_as_rows(name, X, radius)
    expected = PROJECTIONS[name](X.copy(order="C"), radius, axis=0, n_threads=1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(X).max())


@each_dtype
@each_projection
def test_no_column_is_left_out_wherever_a_view_begins(name, dtype):
    """Tiles begin where cache lines do: the first is shorter, and there is one more."""
    wider = draw((2500, 128 + 16), dtype)
    for start in (0, 1, 4, 7, 8, 15):  # places in a cache line
        X = wider[:, start : start + 128]
        assert_as_rows(name, X, 0.1 * float(np.abs(X).max(axis=0).sum()))


@each_projection
def test_bad_entries_of_columns_are_refused(name):
    for bad in (np.nan, np.inf):
        X = draw((3000, 40), "float64")
        X[2999, 39] = bad
        with pytest.raises(ValueError, match="NaN or infinity"):
            PROJECTIONS[name](X, 1.0, axis=0)
    assert PROJECTIONS[name](np.empty((0, 4)), 1.0, axis=0).shape == (0, 4)
