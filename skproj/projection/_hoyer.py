"""Group sparse projection: vectors that share an average Hoyer sparsity."""

from __future__ import annotations

import math
import numbers
from typing import Literal

import numpy as np

from skproj._kernels import _hoyer
from skproj._typing import ArrayLike, Axis, Integer, Number, Out, Projected
from skproj.projection._arrays import array_function
from skproj.projection._engine import threads_for
from skproj.projection._hoyer_solver import HoyerOptions, project_vectors, sparsities
from skproj.projection._hoyer_vectors import Vectors, starts_of
from skproj.projection._layout import (
    as_groups,
    check_array,
    check_axis,
    check_out,
    entries_last,
    groups_shape,
    same_view,
)
from skproj.projection._weighted_l1 import check_weights
from skproj.utils._choices import check_choice

# ---------------------------------------------------------------------------
# Arguments


def check_sparsity(sparsity):
    """Return `sparsity` as a float between 0 and 1."""
    if isinstance(sparsity, bool) or not isinstance(sparsity, numbers.Real):
        raise TypeError(f"sparsity must be a real number, got {sparsity!r} instead.")
    if not 0.0 <= sparsity <= 1.0:
        raise ValueError(f"sparsity must be between 0 and 1, got {sparsity!r} instead.")
    return float(sparsity)


def _check_start(start):
    if start is None:
        return None
    if isinstance(start, bool) or not isinstance(start, numbers.Real):
        raise TypeError(f"start must be a real number or None, got {start!r} instead.")
    if not start >= 0.0:
        raise ValueError(f"start must be non-negative, got {start!r} instead.")
    return float(start)


def check_options(sparsity, weights, per_vector, scale, start):
    """Return what `projection_hoyer` is to do, if the arguments go together."""
    sparsity = check_sparsity(sparsity)
    check_choice("scale", scale, ("ls", "keep_l2"))
    if weights is not None and per_vector:
        raise ValueError("weights must be None if per_vector is true.")
    start = None if per_vector else _check_start(start)
    return HoyerOptions(sparsity, bool(per_vector), scale, start)


def _check_finite(X):
    if not np.isfinite(X).all():
        raise ValueError("X contains NaN or infinity.")


def _is_ragged(X):
    return isinstance(X, (list, tuple)) and any(isinstance(x, np.ndarray) for x in X)


def _relative(weights, starts, sizes):
    """Divide the weights of each vector by their largest; None if all are 1."""
    if len(weights) == 0 or (weights == 1.0).all():
        return None
    largest = np.maximum.reduceat(weights, starts)
    if not largest.all():
        raise ValueError("weights must not be all 0 in a vector.")
    return weights / np.repeat(largest, sizes)


def _copy_groups(groups, out, n_threads):
    """Copy a matrix of groups to another one, fast if one of them is transposed."""
    for source, target in ((groups, out.T), (groups.T, out)):
        if source.size and source.strides[1] == target.strides[1] == source.itemsize:
            _hoyer.transpose(source, target, n_threads)
            return
    np.copyto(out, groups)


def _as_vectors(X, axes):
    """View `X` as (n_vectors, size), in one order for all layouts, or return None."""
    if len(axes) == X.ndim > 1:
        return X.reshape(1, -1) if X.flags.c_contiguous else None
    return as_groups(X, axes)


def _vectors_of_array(X, axes, weights, n_threads):
    rows = groups = _as_vectors(X, axes)
    n_vectors = math.prod(groups_shape(X.shape, axes))
    size = math.prod(X.shape[i] for i in axes)
    if groups is None:
        rows = entries_last(X, axes).copy(order="C").reshape(n_vectors, size)
    elif not groups.flags.c_contiguous:
        rows = np.empty(groups.shape, dtype=X.dtype)
        _copy_groups(groups, rows, n_threads)
    sizes = np.full(n_vectors, size, dtype=np.intp)
    starts = starts_of(sizes)
    if weights is not None:
        weights = entries_last(check_weights(weights, X.shape), axes).reshape(-1)
        weights = _relative(weights, starts, sizes) if size else None
    is_copy = not np.may_share_memory(rows, X)
    return Vectors(rows.reshape(-1), starts, sizes, weights, is_copy)


def _vectors_of_list(arrays, weights):
    """Concatenate the arrays that have two entries or more."""
    if weights is not None:
        if not isinstance(weights, (list, tuple)) or len(weights) != len(arrays):
            raise ValueError(
                "weights must be a list with one array for each of the "
                f"{len(arrays)} arrays of X."
            )
        weights = [
            check_weights(w, x.shape).reshape(-1)
            for w, x in zip(weights, arrays, strict=True)
        ]
        weights = np.concatenate([w for w in weights if w.size > 1] or [[]])
    data = [x.reshape(-1) for x in arrays if x.size > 1]
    sizes = np.array([x.size for x in data], dtype=np.intp)
    starts = starts_of(sizes)
    weights = None if weights is None else _relative(weights, starts, sizes)
    return Vectors(np.concatenate(data or [[]]), starts, sizes, weights, True)


# ---------------------------------------------------------------------------
# Public functions


@array_function("vectors")
def hoyer_sparsity(
    X: ArrayLike, axis: Axis = 0, weights: ArrayLike | None = None
) -> Projected:
    r"""Compute the Hoyer sparsity of each vector of a group.

    .. math::

        \operatorname{sp}(x) = \frac{\sqrt{n} - \|x\|_1 / \|x\|_2}{\sqrt{n} - 1}

    It is 1 for a vector with one nonzero entry and 0 if all entries have the same
    magnitude, and does not depend on the length of the vector.

    Parameters
    ----------
    weights : array-like of the shape of `X`, or broadcastable to it, default=None
        Finite and non-negative, not all 0 in a vector; for a list of arrays a list.
        With weights :math:`\sqrt{n}` is replaced by :math:`\|w\|_2`, the l1 norm by
        :math:`\sum_i w_i |x_i|`, and the 1 by the smallest weight. None means 1.

    Returns
    -------
    sparsity : float64 array of the shape of `X` without `axis`, or float
        The sparsity of each vector, between 0 and 1. It is 1 for a vector of zeros, and
        NaN for one with less than two entries, which has none. For a list of arrays the
        shape is ``(n_arrays,)``.

    Raises
    ------
    ValueError
        If `X` contains NaN or infinity, or if `axis` or `weights` does not fit `X`.

    See Also
    --------
    projection_hoyer : Make a group of vectors as sparse as wanted.

    {hoyer_reference}

    >>> hoyer_sparsity(np.array([[3.0, 1.0], [0.0, -1.0]])).round(6)
    array([1., 0.])
    """
    if _is_ragged(X):
        arrays, vectors = _check_ragged(X, axis, weights)
        shape = (len(arrays),)
        has_sparsity = np.array([x.size > 1 for x in arrays])
        n_threads = threads_for(vectors.data, None)
    else:
        X = check_array(X)
        axes = check_axis(axis, X.ndim)
        n_threads = threads_for(X, None)
        vectors = _vectors_of_array(X, axes, weights, n_threads)
        shape = groups_shape(X.shape, axes)
        has_sparsity = np.full(shape, X.size > math.prod(shape))
    result = np.full(shape, np.nan)
    if has_sparsity.any():
        result[has_sparsity] = sparsities(vectors, n_threads)
    return result if shape else float(result)


def _check_ragged(X, axis, weights):
    """Return the arrays, and as vectors those of them that have two entries."""
    if axis != 0:
        raise ValueError(f"axis must be 0 for a list of arrays, got {axis!r} instead.")
    arrays = [check_array(x) for x in X]
    for x in arrays:
        if x.size == 1:
            _check_finite(x)
    return arrays, _vectors_of_list(arrays, weights)


@array_function("vectors")
def projection_hoyer(
    X: ArrayLike,
    sparsity: Number,
    *,
    axis: Axis = 0,
    weights: ArrayLike | None = None,
    per_vector: bool = False,
    scale: Literal["ls", "keep_l2"] = "ls",
    out: Out = None,
    n_threads: Integer | None = None,
    return_multiplier: bool = False,
    start: Number | None = None,
) -> Projected:
    r"""Give a group of vectors an average Hoyer sparsity.

    .. math::

        \max_{x} \sum_i x_i^T |c_i| \quad \text{subject to} \quad
        x_i \ge 0, \ \|x_i\|_2 = 1, \
        \frac{1}{r} \sum_i \operatorname{sp}(x_i) \ge \text{sparsity}

    Each vector :math:`c_i` becomes :math:`(x_i^T |c_i|) x_i` with its own signs. How
    the sparsity is shared out is left to the group: vectors that can do without their
    small entries, and short ones, get sparser than others. The level is not a fraction
    of zeros: at 0.9 about 98 of 100 normally distributed entries are zero.

    Parameters
    ----------
    sparsity : float
        The wanted average of `hoyer_sparsity`, between 0 and 1.
    weights : array-like of the shape of `X`, or broadcastable to it, default=None
        Finite and non-negative, not all 0 in a vector; for a list of arrays a list.
        Entries with large weights become zero first, and the sparsity is that of
        `hoyer_sparsity` with these weights. None means 1.
    per_vector : bool, default=False
        Whether each vector is given the sparsity by itself, and not the average.
    scale : {"ls", "keep_l2"}, default="ls"
        How long the vectors become: as near to those of `X` as their direction allows,
        or as long as they were.
    out : ndarray of the shape and dtype of `X`, default=None
        Where to write the result; `X` itself projects in place. Nothing is written if
        an argument is refused. For a list of arrays a list.
    return_multiplier : bool, default=False
        Whether to return the multiplier as well.
    start : float, default=None
        The multiplier of an earlier call with similar data, as a number, from which
        the search is shorter. Not used if there is nothing to search for.

    Returns
    -------
    P : ndarray of the shape and dtype of `X`, or list of arrays
        The projection. What is sparse enough already comes back as it is, so do empty
        arrays and vectors of one entry, which have no sparsity and do not count.
    multiplier : float, or ndarray of the shape of `X` without `axis`
        The mu >= 0 such that, for vectors of length n without weights, entries of
        magnitude at most ``mu / (sqrt(n) - 1)`` become zero, but for one of each
        vector; 0 if `X` comes back as it is, infinite beyond the largest float. An
        array if `per_vector`. Only if `return_multiplier`.

    Raises
    ------
    ValueError
        If `sparsity` is not between 0 and 1, if `X` contains NaN or infinity, if
        options do not go together, if `axis`, `weights` or `out` does not fit `X`, or
        if the result is beyond the largest number of its type: entries may grow.

    See Also
    --------
    hoyer_sparsity : The sparsity of each vector.
    projection_l1_ball : A budget for all entries.

    Notes
    -----
    The average is met to 1e-10, in float32 to 1e-7, also where entries are equal: the
    first vectors are then denser than others. A vector of zeros counts as 1. Signs
    never flip and zeros stay zero, which with weights may keep a high sparsity out of
    reach: the vectors are then as sparse as possible.

    Newton's method on the multiplier, with sums in float64 over the entries that are
    left, from a start that a sample points to: time linear in the number of entries.
    For one vector by itself the threshold has a closed form. Where the average jumps
    for lack of different entries, one vector is put in between. The problem is a
    surrogate of the nearest point; with weights it is solved exactly except at jumps
    between single entries. Vectors that are not contiguous are copied. Threads share
    out the vectors.

    {group_sparse_reference}
    .. [2] P. O. Hoyer, "Non-negative matrix factorization with sparseness
       constraints", J. Mach. Learn. Res. 5 (2004), :arxiv:`cs/0408058`.

    >>> X = np.array([[4.0, 3.0], [-2.0, 3.0], [1.0, -1.0]])
    >>> P = projection_hoyer(X, 0.6)
    >>> P.round(2)
    array([[ 4.23,  3.  ],
           [-0.82,  3.  ],
           [ 0.  ,  0.  ]])
    >>> hoyer_sparsity(P).round(3)
    array([0.766, 0.434])
    """
    options = check_options(sparsity, weights, per_vector, scale, start)
    project = _project_list if _is_ragged(X) else _project_array
    out, multiplier = project(X, options, axis, weights, out, n_threads)
    if not return_multiplier:
        return out
    return out, multiplier if np.ndim(multiplier) else float(multiplier)


def _project_array(X, options, axis, weights, out, n_threads):
    X = check_array(X)
    axes = check_axis(axis, X.ndim)
    check_out(out, X)
    n_threads = threads_for(X, n_threads)
    if out is not None and not same_view(X, out) and np.may_share_memory(X, out):
        X = X.copy()
    vectors = _vectors_of_array(X, axes, weights, n_threads)
    out = np.empty_like(X) if out is None else out
    shape = groups_shape(X.shape, axes)
    multipliers = np.zeros(shape if options.per_vector else ())
    if X.size == math.prod(shape):  # no vector has two entries
        _check_finite(X)
        np.copyto(out, X)
        return out, multipliers
    if X.size == 0:
        return out, multipliers
    target, rows = _as_vectors(out, axes), None
    if target is not None and target.flags.c_contiguous:
        rows = target.reshape(-1)
    result, multipliers.flat = project_vectors(vectors, options, rows, n_threads)
    if target is None:
        moved = entries_last(out, axes)
        moved[...] = result.reshape(moved.shape)
    elif rows is None:
        _copy_groups(result.reshape(target.shape), target, n_threads)
    return out, multipliers


def _project_list(X, options, axis, weights, outs, n_threads):
    arrays, vectors = _check_ragged(X, axis, weights)
    if outs is None:
        outs = [np.empty_like(x) for x in arrays]
    elif not isinstance(outs, (list, tuple)) or len(outs) != len(arrays):
        raise ValueError(
            f"out must be a list of {len(arrays)} arrays if X is one, got {outs!r}."
        )
    for number, (out, x) in enumerate(zip(outs, arrays, strict=True)):
        if out is None:
            raise TypeError(f"out[{number}] must be a NumPy array, got None instead.")
        check_out(out, x)
    n_threads = threads_for(vectors.data, n_threads)
    has_sparsity = np.array([x.size > 1 for x in arrays])
    multipliers = np.zeros(len(arrays))
    parts = iter(())
    if has_sparsity.any():
        result, multipliers[has_sparsity] = project_vectors(
            vectors, options, None, n_threads
        )
        parts = iter(np.split(result, vectors.starts[1:]))
    for out, x in zip(outs, arrays, strict=True):
        out[...] = next(parts).reshape(x.shape) if x.size > 1 else x
    return list(outs), multipliers if options.per_vector else multipliers.max()
