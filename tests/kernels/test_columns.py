"""Products of sparse rows with several outputs."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from skproj._kernels._columns import multiply_transposed
from skproj.linear_model._ball_constrained import BallConstrainedProblem

N_OUTPUTS = [1, 2, 8, 9, 16, 17, 40]  # around the numbers that are side by side


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_outputs", N_OUTPUTS)
@pytest.mark.parametrize("part", [None, "data", "indices", "indptr"])
def test_product_of_the_transpose_is_the_dense_one(part, n_outputs, dtype):
    """Of arrays of any stride as well."""
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((65, 23)) * (rng.random((65, 23)) < 0.5)
    X = sparse.csr_array(dense.astype(dtype))
    residuals = rng.standard_normal((65, n_outputs))
    if part is not None:
        setattr(X, part, np.repeat(getattr(X, part), 2)[::2])
    expected = X.toarray().astype(np.float64).T @ residuals
    assert_allclose(multiply_transposed(X, residuals), expected, atol=1e-12)


@pytest.mark.parametrize("n_outputs", N_OUTPUTS)
@pytest.mark.parametrize("projection", ["l1", "l12"])
def test_model_of_sparse_rows_is_that_of_dense_columns(projection, n_outputs):
    rng = np.random.default_rng(n_outputs)
    dense = rng.standard_normal((65, 30)) * (rng.random((65, 30)) < 0.4)
    targets = dense[:, :3] @ rng.standard_normal((3, n_outputs))
    targets += 0.1 * rng.standard_normal(targets.shape)
    fits = []
    for X in (dense, sparse.csr_array(dense), sparse.csc_array(dense)):
        problem = BallConstrainedProblem(X, targets, loss="squared_error")
        fits.append(problem.solve(2.0, projection, tol=1e-10, max_iter=20_000))
    for fit in fits[1:]:
        assert fit.converged
        assert_allclose(fit.coef, fits[0].coef, atol=1e-7)
