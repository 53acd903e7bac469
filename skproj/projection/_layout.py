"""Checks of the arguments, and arrays seen as groups.

The kernels want a view of shape (n_groups, group_size) in which one of the two
strides is one entry. Everything that a user may pass is brought to that form here,
without a copy wherever the strides allow it.
"""

import math
import numbers

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from scipy.sparse import issparse

from skproj.projection._group_views import Rows
from skproj.projection._sparse import as_compressed, compressed_copy, stored_groups

FLOAT_DTYPES = (np.dtype(np.float64), np.dtype(np.float32))


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
            return as_compressed(X).astype(_float_dtype(X.dtype), copy=False)
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
        return stored_groups(compressed_copy(X, axes), axes)
    groups = as_groups(X, axes)
    if groups is None:
        groups = as_groups(
            entries_last(X, axes).copy(order="C"),
            tuple(range(X.ndim - len(axes), X.ndim)),
        )
    return Rows(groups)


def same_view(a, b):
    """Whether two arrays of one shape and dtype are the same memory, entry by entry."""
    return a is b or (
        a.__array_interface__["data"][0] == b.__array_interface__["data"][0]
        and a.strides == b.strides
    )
