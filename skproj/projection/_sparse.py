"""Sparse matrices seen as groups: only what is stored takes part.

No norm has anything from a zero, and no threshold of a ball is negative, so zeros that
are not stored stay what they are. The stored entries of a row (or a column) are
adjacent in CSR (or CSC): segments of one vector, of different lengths.
"""

from copy import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Segments:
    """Groups of different lengths, in place of an array (n_groups, group_size).

    data : float32 or float64 array of shape (n_entries,), contiguous.
    indptr : intp array of shape (n_groups + 1,).
        Group j is ``data[indptr[j]:indptr[j + 1]]``.
    """

    data: np.ndarray
    indptr: np.ndarray

    def __len__(self):
        return len(self.indptr) - 1

    def __getitem__(self, mask):
        """Copy the groups of a boolean array of shape (n_groups,)."""
        kept = self.lengths[mask]
        data = self.data[np.repeat(mask, self.lengths)]
        return Segments(data, np.concatenate([[0], np.cumsum(kept)], dtype=np.intp))

    @property
    def entries(self):
        """All entries as one row, as the kernels take them beside `indptr`."""
        return self.data[np.newaxis]

    @cached_property
    def lengths(self):
        return np.diff(self.indptr)

    @property
    def shape(self):
        """Shape of the smallest array that would hold all groups."""
        return len(self), int(self.lengths.max(initial=0))

    def scaled(self, exponents):
        """Copy all groups times ``2 ** exponents``, of shape (n_groups,) or (1,)."""
        if len(exponents) > 1:
            exponents = np.repeat(exponents, self.lengths)
        return Segments(np.ldexp(self.data, exponents), self.indptr)


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
    """View the entries of a `compressed_copy` as groups: Segments or an array."""
    data = compressed.data[: compressed.nnz]
    if len(axes) == 2:
        return data[np.newaxis]
    return Segments(data, compressed.indptr.astype(np.intp, copy=False))
