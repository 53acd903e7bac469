"""Arguments of the group sparse projection: arrays of all kinds, and refusals."""

import math

import numpy as np
import pytest
from hoyer_cases import X, average

from skproj.projection import (
    hoyer_sparsity,
    projection_hoyer,
)

LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "reversed": lambda X: np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
    "strided": lambda X: np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3],
    "wide": lambda X: np.hstack([X, X])[:, : X.shape[1]],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("axis", [0, 1, None])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layouts(rng, layout, axis, dtype):
    X = rng.standard_normal((37, 21)).astype(dtype)
    for options in ({}, {"per_vector": True}, {"weights": rng.random((37, 21)) + 0.1}):
        if axis is None and "per_vector" in options:
            continue
        expected = projection_hoyer(X, 0.7, axis=axis, **options)
        Y = LAYOUTS[layout](X)
        Y.setflags(write=False)
        P = projection_hoyer(Y, 0.7, axis=axis, **options)
        np.testing.assert_allclose(P, expected, rtol=1e-4 if dtype == "f" else 1e-9)
        assert P.dtype == dtype
        out = LAYOUTS[layout](np.zeros_like(X))
        assert projection_hoyer(X, 0.7, axis=axis, out=out, **options) is out
        np.testing.assert_array_equal(out, expected)
        Z = LAYOUTS[layout](X).copy(order="K")
        projection_hoyer(Z, 0.7, axis=axis, out=Z, **options)
        np.testing.assert_array_equal(Z, P)


@pytest.mark.parametrize("axis", [0, (1, 2), (0, 2), (2, 0), None, -1])
def test_tensors(rng, axis):
    X = rng.standard_normal((4, 5, 6))
    P = projection_hoyer(X, 0.6, axis=axis)
    assert abs(average(P, axis=axis) - 0.6) < 1e-11
    assert P.shape == X.shape


def test_overlapping_out(rng):
    memory = rng.standard_normal(41)
    expected = projection_hoyer(memory[:-1], 0.6)
    projection_hoyer(memory[:-1], 0.6, out=memory[1:])
    np.testing.assert_array_equal(memory[1:], expected)


def test_integers_become_float64():
    P = projection_hoyer(np.arange(12).reshape(4, 3), 0.6)
    assert P.dtype == np.float64
    assert abs(average(P) - 0.6) < 1e-12


def test_nothing_to_do(rng):
    """Sparse enough, without entries, or with one: everything comes back as it is."""
    X = rng.standard_normal((10, 3))
    for Y in (X, X[:1], X[:0], X[:, :0], np.empty(0), np.ones(1)):
        P, multiplier = projection_hoyer(Y, 0.01, return_multiplier=True)
        np.testing.assert_array_equal(P, Y)
        assert not np.shares_memory(P, Y)
        assert multiplier == 0.0
    assert projection_hoyer([], 0.5).shape == (0,)
    [p] = projection_hoyer([np.ones(1)], 0.9)
    assert p == 1.0


def test_out_for_lists(rng):
    vectors = [rng.standard_normal(5), rng.standard_normal((2, 4))]
    expected = projection_hoyer(vectors, 0.6)
    P = projection_hoyer(vectors, 0.6, out=vectors)
    for p, q, x in zip(P, expected, vectors, strict=True):
        assert p is x
        np.testing.assert_array_equal(p, q)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"sparsity": 1.5}, ValueError, "sparsity must be between 0 and 1, got 1.5"),
        ({"sparsity": math.nan}, ValueError, "sparsity must be between 0 and 1"),
        ({"sparsity": "0.5"}, TypeError, "sparsity must be a real number"),
        ({"sparsity": True}, TypeError, "sparsity must be a real number"),
        ({"scale": "l2"}, ValueError, "scale must be one of 'ls', 'keep_l2'"),
        ({"weights": X, "per_vector": True}, ValueError, "weights must be None"),
        ({"weights": -X}, ValueError, "weights must be finite and non-negative"),
        ({"weights": 0.0 * X}, ValueError, "weights must not be all 0 in a vector"),
        ({"weights": np.ones(4)}, ValueError, "weights must have shape"),
        ({"start": -1.0}, ValueError, "start must be non-negative"),
        ({"start": "0"}, TypeError, "start must be a real number or None"),
        ({"axis": 2}, ValueError, "axis"),
        ({"out": np.empty(3)}, ValueError, "out must have shape"),
        ({"n_threads": 0}, ValueError, "n_threads must not be 0"),
        ({"X": X * math.inf}, ValueError, "X contains NaN or infinity"),
        ({"X": np.array([math.nan])}, ValueError, "X contains NaN or infinity"),
        ({"X": X > 0.0}, TypeError, "X must hold float32"),
        ({"X": [X[0], X[1] * math.nan]}, ValueError, "X contains NaN or infinity"),
        ({"X": [X[0], np.array([math.inf])]}, ValueError, "X contains NaN or infinity"),
        ({"X": [X[0]], "axis": 1}, ValueError, "axis must be 0 for a list of arrays"),
        ({"X": [X[0]], "weights": X[0]}, ValueError, "weights must be a list"),
        ({"X": [X[0]], "out": X[0]}, ValueError, "out must be a list of 1 arrays"),
        ({"X": [X[0]], "out": [None]}, TypeError, r"out\[0\] must be a NumPy array"),
    ],
)
def test_refusals(arguments, error, message):
    arguments = {"X": X.copy(), "sparsity": 0.5} | arguments
    with np.errstate(invalid="ignore"), pytest.raises(error, match=message):
        projection_hoyer(**arguments)


def test_refusals_write_nothing():
    out = np.full((4, 3), 5.0)
    Y = X.copy()
    Y[2, 1] = math.nan
    with pytest.raises(ValueError, match="X contains NaN"):
        projection_hoyer(Y, 0.5, out=out)
    assert (out == 5.0).all()


def test_sparsity_refuses():
    with pytest.raises(ValueError, match="X contains NaN or infinity"):
        hoyer_sparsity(np.array([1.0, math.inf]))
    with pytest.raises(ValueError, match="axis must be 0 for a list"):
        hoyer_sparsity([X[0]], axis=None)
