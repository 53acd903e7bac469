"""Products of CSR matrices with several columns, against dense products."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skproj._kernels._sparse import N_LANES, add_transposed, multiply

TOLERANCES = {"float32": 1e-5, "float64": 1e-13}
# Entries are taken four at a time, and rows 64.
N_ROWS = [1, 2, 63, 64, 65, 127, 128, 129, 200]
N_COLUMNS = [1, 2, 3, 4, 5, 9, 100]
GUARD = 4


def make_matrix(n_rows, n_columns, dtype):
    """Return a matrix with rows of all lengths; the last one is full."""
    rng = np.random.default_rng(n_rows)
    X = rng.standard_normal((n_rows, n_columns)).astype(dtype)
    n_entries = np.arange(n_rows) % (n_columns + 1)
    X[np.arange(n_columns) >= n_entries[:, np.newaxis]] = 0.0
    X[-1] = 1.0
    return X, sparse.csr_array(X)


@pytest.mark.parametrize("n_columns", N_COLUMNS)
@pytest.mark.parametrize("n_rows", N_ROWS)
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_every_size(dtype, n_rows, n_columns):
    """Of rows, columns and outputs; what is beside the outputs does not change."""
    X, by_row = make_matrix(n_rows, n_columns, dtype)
    entries = by_row.data, by_row.indices, by_row.indptr
    rng = np.random.default_rng(0)
    tolerance = {"rtol": 0.0, "atol": 50 * TOLERANCES[dtype]}
    for width in (1, 2, N_LANES - 1, N_LANES):
        matrix = np.zeros((n_columns, N_LANES), dtype)
        matrix[:, :width] = rng.standard_normal((n_columns, width))
        shift = rng.standard_normal(width)
        room = np.full(width * n_rows + 2 * GUARD, 7.0)
        out = room[GUARD:-GUARD].reshape(width, n_rows)
        multiply(*entries, matrix, shift, out)
        exact = X.astype(np.float64)
        assert_allclose(out.T, exact @ matrix[:, :width] - shift, **tolerance)
        assert_array_equal(np.append(room[:GUARD], room[-GUARD:]), 7.0)

        x = rng.standard_normal((width, n_rows))
        x[:, 0] = 0.0
        room = np.full(n_columns * N_LANES + 2 * GUARD, 7.0, dtype)
        out = room[GUARD:-GUARD].reshape(n_columns, N_LANES)
        out[:] = 1.0
        add_transposed(*entries, x, out)
        assert_allclose(out[:, :width], 1.0 + (x @ exact).T, **tolerance)
        assert_array_equal(out[:, width:], 1.0)
        assert_array_equal(np.append(room[:GUARD], room[-GUARD:]), 7.0)
