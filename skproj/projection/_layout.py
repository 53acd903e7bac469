"""Checks of the arguments, and arrays seen as groups.

The kernels want a view of shape (n_groups, group_size) in which one of the two
strides is one entry, `Rows`. Everything that a user may pass is brought to that form
here, without a copy wherever the strides allow it.

Of a sparse matrix only what is stored takes part: no norm has anything from a zero,
and no threshold of a ball is negative, so zeros that are not stored stay what they
are. The stored entries of a row (or a column) are adjacent in CSR (or CSC): segments
of one vector, of different lengths.
"""

import math
import numbers
from copy import copy

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from scipy.sparse import issparse

FLOAT_DTYPES = (np.dtype(np.float64), np.dtype(np.float32))


class Rows:
    """Groups of one length.

    entries : array of shape (n_groups, group_size).
    """

    __slots__ = ("entries", "n_groups", "shape")
    indptr = None

    def __init__(self, entries):
        self.entries = entries
        self.shape = entries.shape
        self.n_groups = len(entries)

    def __getitem__(self, mask):
        """Copy the groups of a boolean array of shape (n_groups,)."""
        return Rows(self.entries[mask])

    def scaled(self, exponents):
        """Copy all groups times ``2 ** exponents``, of shape (n_groups,) or (1,)."""
        return Rows(np.ldexp(self.entries, exponents[:, np.newaxis]))


class Segments:
    """Groups of different lengths, as segments of a vector.

    data : float32 or float64 array of shape (n_entries,), contiguous; as `entries` it
        is one row.
    indptr : intp array of shape (n_groups + 1,).
        Group j is ``data[indptr[j]:indptr[j + 1]]``.
    """

    __slots__ = ("data", "entries", "indptr", "lengths", "n_groups")

    def __init__(self, data, indptr):
        self.data = data
        self.entries = data[np.newaxis]
        self.indptr = indptr
        self.lengths = np.diff(indptr)
        self.n_groups = len(self.lengths)

    def __getitem__(self, mask):
        """Copy the groups of a boolean array of shape (n_groups,)."""
        kept = self.lengths[mask]
        data = self.data[np.repeat(mask, self.lengths)]
        return Segments(data, np.concatenate([[0], np.cumsum(kept)], dtype=np.intp))

    @property
    def shape(self):
        return self.n_groups, int(self.lengths.max(initial=0))

    def scaled(self, exponents):
        """Copy all groups times ``2 ** exponents``, of shape (n_groups,) or (1,)."""
        if len(exponents) > 1:
            exponents = np.repeat(exponents, self.lengths)
        return Segments(np.ldexp(self.data, exponents), self.indptr)


def check_radius(radius, name="radius"):
    """Return `radius` as a non-negative float; infinity is allowed."""
    if type(radius) is float and radius >= 0.0:  # what most calls pass
        return radius
    if isinstance(radius, bool) or not isinstance(radius, (float, numbers.Real)):
        raise TypeError(f"{name} must be a real number, got {radius!r} instead.")
    try:
        radius = float(radius)
    except OverflowError:  # an integer beyond all floats
        radius = math.inf if radius > 0 else -math.inf
    if not radius >= 0.0:
        raise ValueError(f"{name} must be non-negative, got {radius!r} instead.")
    return radius


def _float_dtype(dtype):
    """Return float32 or float64, whichever holds `dtype`.

    Integers become float64; other types are refused rather than rounded.
    """
    if dtype.kind in "iu":
        return np.dtype(np.float64)
    if dtype.newbyteorder("=") not in FLOAT_DTYPES:
        raise TypeError(
            f"X must hold float32, float64 or integer numbers, got dtype {dtype} "
            "instead."
        )
    return dtype.newbyteorder("=")


def _check_compressed(X):
    """Refuse a matrix in CSR, CSC or BSR whose indices lead out of its arrays."""
    copy(X).check_format(full_check=True)  # a copy, because it replaces the arrays
    if np.any(np.diff(X.indptr) < 0):  # which SciPy does not see if the last one is 0
        raise ValueError("index pointer should not decrease")


def _as_compressed(X):
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


def check_array(X, *, accept_sparse=False):
    """Return `X` as a float32 or float64 array with at least one dimension.

    With `accept_sparse` a sparse matrix or array stays one, of these types as well: in
    CSC if it is, in CSR otherwise.
    """
    if type(X) is np.ndarray and X.dtype in FLOAT_DTYPES and X.ndim:
        return X
    if hasattr(X, "toarray"):
        if accept_sparse and issparse(X):
            if X.ndim != 2:
                raise ValueError(
                    "X must have two dimensions if it is sparse, "
                    f"got shape {X.shape} instead."
                )
            return _as_compressed(X).astype(_float_dtype(X.dtype), copy=False)
        raise TypeError(
            "X is a sparse matrix, which this function does not support; "
            "pass X.toarray() if it fits memory."
        )
    if np.ma.isMaskedArray(X):
        raise TypeError("X is a masked array, whose mask would be lost; fill it first.")
    X = np.asarray(X)
    X = X.astype(_float_dtype(X.dtype), copy=False)
    if X.ndim == 0:
        raise ValueError("X must have at least one dimension, got a scalar.")
    return X


def check_out(out, X):
    """Refuse an `out` that the result of projecting `X` cannot be written to."""
    if out is None:
        return
    if not isinstance(X, np.ndarray):
        raise TypeError(
            "out must be None for a sparse X: where the result is not zero is not "
            "known beforehand."
        )
    if not isinstance(out, np.ndarray) or np.ma.isMaskedArray(out):
        raise TypeError(f"out must be a NumPy array, got {type(out).__name__} instead.")
    if out.shape != X.shape:
        raise ValueError(f"out must have shape {X.shape}, got {out.shape} instead.")
    if out.dtype != X.dtype:
        raise TypeError(f"out must have dtype {X.dtype}, got {out.dtype} instead.")
    if not out.flags.writeable:
        raise ValueError("out must be writeable, got a read-only array.")


def check_axis(axis, ndim):
    """Return `axis` (int, tuple of int, or None for all) as a tuple of int >= 0.

    All of them come in order: a whole array is one vector, whatever they are called.
    """
    if axis is None:
        return tuple(range(ndim))
    if type(axis) is tuple and len(axis) == 1:
        axis = axis[0]
    if type(axis) is int and 0 <= axis < ndim:
        return (axis,)
    try:
        if isinstance(axis, bool):
            raise TypeError
        axes = normalize_axis_tuple(axis, ndim, argname="axis")
    except TypeError:
        raise TypeError(
            f"axis must be an integer, a tuple of integers or None, got {axis!r}."
        ) from None
    if not axes:
        raise ValueError("axis must name at least one dimension, got ().")
    return axes if len(axes) < ndim else tuple(range(ndim))


def groups_shape(shape, axes):
    """Shape of what remains of `shape` when `axes` are reduced."""
    return tuple(n for i, n in enumerate(shape) if i not in axes)


def entries_last(X, axes):
    """View `X` with the dimensions that groups run along moved to the end."""
    rest = tuple(i for i in range(X.ndim) if i not in axes)
    return X.transpose(rest + axes)


def as_groups(X, axes):
    """View `X` as (n_groups, group_size), or return None where that takes a copy."""
    flags = X.flags
    if X.ndim == 2 and len(axes) == 1:  # what most calls are
        groups = X.T if axes[0] == 0 else X
    elif len(axes) == X.ndim and flags.forc:  # one group, in any order
        groups = (X if flags.c_contiguous else X.T).reshape(1, -1)
    else:
        n_groups = math.prod(groups_shape(X.shape, axes))
        size = math.prod(X.shape[i] for i in axes)
        try:
            groups = entries_last(X, axes).reshape(n_groups, size, copy=False)
        except ValueError:
            return None
        flags = groups.flags
    if flags.aligned and flags.forc:
        return groups
    n_groups, size = groups.shape
    one = X.itemsize
    group_stride, entry_stride = groups.strides
    # The kernels count strides in entries: the fields of a packed record have others.
    if group_stride % one or entry_stride % one or not flags.aligned:
        return None
    if size <= 1 or entry_stride == one or n_groups <= 1 or group_stride == one:
        return groups
    return None


def groups_of(X, axes):
    """See `X` as groups, copied if its strides demand it.

    The groups of a sparse matrix are a copy of what it stores.
    """
    if not isinstance(X, np.ndarray):
        return groups_of_copy(X, axes)[1]
    groups = as_groups(X, axes)
    if groups is None:
        groups = as_groups(
            entries_last(X, axes).copy(order="C"),
            tuple(range(X.ndim - len(axes), X.ndim)),
        )
    return Rows(groups)


def groups_of_copy(X, axes):
    """Copy a sparse matrix, without duplicates; return it, and its entries as groups.

    It is in the format in which the entries of a group are adjacent.
    """
    format = X.format  # of one group, whose entries come in any order
    if len(axes) == 1:
        format = "csc" if axes == (0,) else "csr"
    matrix = X.asformat(format, copy=True)
    matrix.sum_duplicates()
    data = matrix.data[: matrix.nnz]
    if len(axes) == 2:
        return matrix, Rows(data[np.newaxis])
    return matrix, Segments(data, matrix.indptr.astype(np.intp, copy=False))


def same_view(a, b):
    """Whether two arrays of one shape and dtype are the same memory, entry by entry."""
    return a is b or (
        a.__array_interface__["data"][0] == b.__array_interface__["data"][0]
        and a.strides == b.strides
    )
