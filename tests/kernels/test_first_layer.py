"""Products of a first layer with sparse samples, against dense products."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skproj._kernels._first_layer import (
    LANES,
    apply_first_layer,
    differentiate_first_layer,
)

N_SAMPLES, N_FEATURES = 37, 50
TOLERANCES = {"float32": 1e-5, "float64": 1e-13}


def make_entries(dtype):
    """Return samples, dense and column by column, with an empty column and row."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N_SAMPLES, N_FEATURES)).astype(dtype)
    X[rng.random(X.shape) < 0.8] = 0.0
    X[:, 7] = X[5] = 0.0
    by_column = sparse.csc_array(X)
    return X, (by_column.data, by_column.indices, by_column.indptr)


def test_gradient_leaves_the_rows_of_other_columns_alone():
    """Groups with fewer columns have weights that are not used."""
    _, entries = make_entries("float32")
    columns, factors = np.array([3, 4], dtype=np.int32), np.ones(2, np.float32)
    gradient = np.full((5, 6), -1.0, np.float32)
    outputs = np.ones((N_SAMPLES, LANES), np.float32)
    differentiate_first_layer(*entries, columns, factors, gradient, outputs)
    assert_array_equal(gradient[2:], -1.0)
    assert not (gradient[:2] == -1.0).any()


# Around the sums that are in registers together, and beyond the largest.
N_UNITS = [n + d for n in (LANES, 2 * LANES, 4 * LANES, 8 * LANES) for d in (-1, 0, 1)]
GUARD = 4


def between_guards(shape, dtype):
    """Return an array with room around it, and a function that says it is unchanged."""
    size = int(np.prod(shape))
    room = np.full(size + 2 * GUARD, 7.0, dtype)

    def untouched():
        return (room[:GUARD] == 7.0).all() and (room[GUARD + size :] == 7.0).all()

    return room[GUARD : GUARD + size].reshape(shape), untouched


@pytest.mark.parametrize("density", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (3, 200), (200, 3)])
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_every_size(dtype, shape, density):
    """Of samples, columns and units, with columns in any order and repeated."""
    rng = np.random.default_rng(0)
    n_samples, n_features = shape
    X = rng.standard_normal(shape).astype(dtype)
    X[rng.random(shape) > density] = 0.0
    X[0, 0] = 1.0  # kernels need an entry
    by_column = sparse.csc_array(X)
    entries = by_column.data, by_column.indices, by_column.indptr
    for n_units, n_columns in itertools.product((1, *N_UNITS), (1, n_features + 2)):
        columns = rng.integers(n_features, size=n_columns).astype(np.int32)
        factors = rng.standard_normal(n_columns).astype(dtype)
        factors[-1] = 0.0
        seen = X[:, columns].astype(np.float64) * factors
        pitch = LANES * (-(-n_units // LANES) + rng.integers(2))
        tolerance = {"rtol": 0.0, "atol": 50 * TOLERANCES[dtype]}

        weight, _ = between_guards((n_columns, n_units), dtype)
        weight[:] = rng.standard_normal(weight.shape)
        weight[n_columns // 2] = 0.0
        outputs, untouched = between_guards((n_samples, pitch), dtype)
        outputs[:] = 1.0
        apply_first_layer(*entries, columns, factors, weight, outputs)
        assert_allclose(outputs[:, :n_units], 1.0 + seen @ weight, **tolerance)
        assert_array_equal(outputs[:, n_units:], 1.0)
        assert untouched()

        outputs[:] = rng.standard_normal(outputs.shape)
        weight, untouched = between_guards(weight.shape, dtype)
        differentiate_first_layer(*entries, columns, factors, weight, outputs)
        assert_allclose(weight, seen.T @ outputs[:, :n_units], **tolerance)
        assert untouched()
