"""Sparse matrices seen as groups: only what is stored takes part.

No norm has anything from a zero, and no threshold of a ball is negative, so zeros that
are not stored stay what they are. The stored entries of a row (or a column) are
adjacent in CSR (or CSC): segments of one vector, of different lengths.
"""

from copy import copy

import numpy as np

from skproj.projection._group_views import Rows, Segments


def _check_compressed(X):
    """Refuse a matrix in CSR, CSC or BSR whose indices lead out of its arrays."""
    copy(X).check_format(full_check=True)  # a copy, because it replaces the arrays
    if np.any(np.diff(X.indptr) < 0):  # which SciPy does not see if the last one is 0
        raise ValueError("index pointer should not decrease")


def as_compressed(X):
    """Return a sparse matrix in CSC if it is, in CSR otherwise.

    It is checked first: SciPy and the kernels follow indices wherever they lead.
    """
    try:
        if X.format == "coo":
            X = type(X)((X.data, X.coords), shape=X.shape)
        elif X.format == "dia":
            X = type(X)((X.data, X.offsets), shape=X.shape)
        elif X.format == "lil":
            lengths = list(map(len, X.rows))
            if len(lengths) != X.shape[0] or lengths != list(map(len, X.data)):
                raise ValueError("rows and data should have the same lengths")
        elif X.format == "bsr":
            _check_compressed(X)
        if X.format not in ("csr", "csc"):
            X = X.tocsr()
        _check_compressed(X)
    except ValueError as error:
        raise ValueError(f"X is a malformed sparse matrix: {error}.") from None
    return X


def compressed_copy(X, axes):
    """Copy `X`, without duplicates, to the format in which groups are adjacent."""
    if len(axes) == 2:  # one group, in any order
        format = X.format
    else:
        format = "csc" if axes == (0,) else "csr"
    copy = X.asformat(format, copy=True)
    copy.sum_duplicates()
    return copy


def stored_groups(compressed, axes):
    """View the entries of a `compressed_copy` as groups."""
    data = compressed.data[: compressed.nnz]
    if len(axes) == 2:
        return Rows(data[np.newaxis])
    return Segments(data, compressed.indptr.astype(np.intp, copy=False))
