"""Compiled products of CSR matrices, against SciPy."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from skproj.linear_model import _sparse_products
from skproj.linear_model._design import StandardizedDesign

TOLERANCES = {"float32": 2e-6, "float64": 1e-14}


def make_matrix(n_rows, dtype, n_columns=23):
    """Return a matrix with rows of all lengths, of which the first is empty."""
    rng = np.random.default_rng(n_rows)
    X = rng.standard_normal((n_rows, n_columns))
    X[rng.random(X.shape) > np.arange(n_rows)[:, np.newaxis] / n_rows] = 0.0
    X[-1] = 1.0
    return sparse.csr_array(X.astype(dtype))


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("n_outputs", [1, 6, 16, 17, 40])
@pytest.mark.parametrize("n_rows", [1, 63, 64, 65, 200])
def test_products_are_those_of_scipy(n_rows, n_outputs, dtype):
    X = make_matrix(n_rows, dtype)
    rng = np.random.default_rng(0)
    coef, shift = rng.standard_normal((23, n_outputs)), rng.standard_normal(n_outputs)
    residuals = rng.standard_normal((n_rows, n_outputs))
    exact = X.astype(np.float64)
    found = _sparse_products.multiply(X, coef, shift)
    assert found.dtype == np.float64
    assert found.flags.f_contiguous
    size = abs(exact) @ abs(coef) + abs(shift)
    tolerance = TOLERANCES[dtype]
    assert_allclose((found - (exact @ coef - shift)) / size, 0.0, atol=tolerance)
    for array in (residuals, np.asfortranarray(residuals), residuals.astype("float32")):
        found = _sparse_products.multiply_transposed(X, array)
        size = np.maximum(abs(exact).T @ abs(array), 1e-300)
        assert found.dtype == np.float64
        assert_allclose((found - exact.T @ array) / size, 0.0, atol=tolerance)


@pytest.mark.parametrize(
    ("X", "n_outputs", "expected"),
    [
        (make_matrix(400, "float32"), 2, True),
        (make_matrix(400, "float32"), 1, False),
        (make_matrix(400, "float64"), 6, True),
        (make_matrix(400, "float64"), 5, False),
        (make_matrix(400, "float32").tocsc(), 9, False),
        (make_matrix(400, "float32").toarray(), 9, False),
        (make_matrix(100, "float32"), 9, False),  # few entries in a column
        (sparse.csr_array((9, 3), dtype="float32"), 9, False),
    ],
)
def test_other_matrices_are_left_to_scipy(X, n_outputs, expected):
    assert _sparse_products.has_kernel(X, n_outputs) == expected
    if sparse.issparse(X) and X.nnz:
        X.indices = X.indices.astype(np.int64)
        assert not _sparse_products.has_kernel(X, n_outputs)


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_design_multiplies_as_a_dense_matrix_does(dtype, monkeypatch):
    X = make_matrix(400, dtype)
    X.data.flags.writeable = False
    weights = np.full(400, 1.0 / 400)
    rng = np.random.default_rng(0)
    coef, residuals = rng.standard_normal((23, 7)), rng.standard_normal((400, 7))
    used = []
    for name in ("multiply", "multiply_transposed"):
        function = getattr(_sparse_products, name)
        monkeypatch.setattr(
            f"skproj.linear_model._design.{name}",
            lambda *arguments, f=function: used.append(f) or f(*arguments),
        )
    results = []
    for data in (X, X.toarray()):
        design = StandardizedDesign.from_data(data, weights, center=True, scale=True)
        results.append((design.dot(coef), design.transposed_dot(residuals)))
    assert len(used) == 2
    for one, other in zip(*results, strict=True):
        assert_allclose(one, other, atol=50 * TOLERANCES[dtype] * np.abs(other).max())


@pytest.mark.parametrize("part", ["data", "indices", "indptr"])
def test_strided_arrays_are_left_to_scipy(part):
    X = make_matrix(400, "float64")
    assert _sparse_products.has_kernel(X, 9)
    setattr(X, part, np.repeat(getattr(X, part), 2)[::2])
    assert not _sparse_products.has_kernel(X, 9)
    design = StandardizedDesign(X, np.zeros(23), np.ones(23))
    coef = np.random.default_rng(0).standard_normal((23, 9))
    assert_allclose(design.dot(coef), X.toarray() @ coef, atol=1e-12)
