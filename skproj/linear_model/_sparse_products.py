"""Products of CSR matrices with several outputs at once."""

import numpy as np
from scipy import sparse

from skproj._kernels import _sparse as kernels

# With fewer outputs, or with fewer entries in a column, SciPy is as fast or faster: the
# kernels read and write rows of `N_LANES` numbers for each column.
MIN_OUTPUTS = {"float32": 2, "float64": 6}
MIN_ENTRIES_PER_COLUMN = 100


def has_kernel(X, n_outputs):
    """Whether the products of a matrix are computed here."""
    return (
        sparse.issparse(X)
        and X.format == "csr"
        and X.nnz >= MIN_ENTRIES_PER_COLUMN * max(X.shape[1], 1)
        and X.indices.dtype == X.indptr.dtype == np.int32
        and X.dtype.isnative
        and all(a.flags.c_contiguous for a in (X.data, X.indices, X.indptr))
        and n_outputs >= MIN_OUTPUTS.get(X.dtype.name, np.inf)
    )


def multiply(X, coef, shift):
    """Return the product of X with coefficients, less the shift of each output.

    It is computed in the dtype of X, and is of float64 in Fortran order.
    """
    n_outputs = coef.shape[1]
    out = np.empty((n_outputs, X.shape[0]))
    for part in _parts(n_outputs):
        matrix = np.zeros((X.shape[1], kernels.N_LANES), dtype=X.dtype)
        matrix[:, : part.stop - part.start] = coef[:, part]
        kernels.multiply(X.data, X.indices, X.indptr, matrix, shift[part], out[part])
    return out.T


def multiply_transposed(X, residuals):
    """Return the product of the transpose of X with an array of a few columns.

    It is computed in the dtype of X, and is of float64.
    """
    n_outputs = residuals.shape[1]
    rows = np.asarray(residuals, dtype=np.float64, order="F").T
    products = np.empty((X.shape[1], n_outputs))
    for part in _parts(n_outputs):
        out = np.zeros((X.shape[1], kernels.N_LANES), dtype=X.dtype)
        kernels.add_transposed(X.data, X.indices, X.indptr, rows[part], out)
        products[:, part] = out[:, : part.stop - part.start]
    return products


def _parts(n_outputs):
    """Yield the outputs that the kernels take together."""
    for start in range(0, n_outputs, kernels.N_LANES):
        yield slice(start, min(start + kernels.N_LANES, n_outputs))
