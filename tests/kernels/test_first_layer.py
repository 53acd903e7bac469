"""Products of a first layer with sparse samples, against dense products."""

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


# Sums of 16, 32, 48 and 64 units are in registers together.
@pytest.mark.parametrize("n_units", [1, 15, 16, 17, 33, 49, 64, 65, 100, 130])
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_products_are_dense_products(dtype, n_units):
    rng = np.random.default_rng(n_units)
    X, entries = make_entries(dtype)
    columns = np.delete(np.arange(N_FEATURES, dtype=np.int32), [0, 20])
    factors = rng.uniform(0.5, 2.0, len(columns)).astype(dtype)
    seen = X[:, columns] * factors
    pitch = -(-n_units // LANES) * LANES
    tolerance = {"rtol": 0.0, "atol": 10 * TOLERANCES[dtype]}

    weight = rng.standard_normal((len(columns), n_units)).astype(dtype)
    outputs = rng.standard_normal((N_SAMPLES, pitch)).astype(dtype)
    before = outputs.copy()
    apply_first_layer(*entries, columns, factors, weight, outputs)
    assert_allclose(
        outputs[:, :n_units], before[:, :n_units] + seen @ weight, **tolerance
    )
    assert_array_equal(outputs[:, n_units:], before[:, n_units:])

    gradient = np.full_like(weight, np.nan)
    differentiate_first_layer(*entries, columns, factors, gradient, outputs)
    assert_allclose(gradient, seen.T @ outputs[:, :n_units], **tolerance)


def test_gradient_leaves_the_rows_of_other_columns_alone():
    """Groups with fewer columns have weights that are not used."""
    _, entries = make_entries("float32")
    columns, factors = np.array([3, 4], dtype=np.int32), np.ones(2, np.float32)
    gradient = np.full((5, 6), -1.0, np.float32)
    outputs = np.ones((N_SAMPLES, LANES), np.float32)
    differentiate_first_layer(*entries, columns, factors, gradient, outputs)
    assert_array_equal(gradient[2:], -1.0)
    assert not (gradient[:2] == -1.0).any()
