"""The weighted l1 ball."""

from __future__ import annotations

import math

import numpy as np

from skproj._kernels import _weighted
from skproj._typing import ArrayLike, Axis, Integer, Number, Out, Projected
from skproj.projection._arrays import array_function
from skproj.projection._engine import threads_for
from skproj.projection._layout import (
    check_array,
    check_axis,
    check_out,
    check_radius,
    entries_last,
    groups_shape,
    same_view,
)

BAD_WEIGHTS = "weights must be finite and non-negative."


def check_weights(weights, shape, *, values=True):
    """Return `weights` as a float64 array broadcast to `shape`.

    Whether they are finite and non-negative is seen if `values`.
    """
    if np.ma.isMaskedArray(weights):
        raise TypeError(
            "weights is a masked array, whose mask would be lost; fill it first."
        )
    weights = np.asarray(weights)
    if weights.dtype.kind not in "iuf":
        raise TypeError(
            f"weights must hold real numbers, got dtype {weights.dtype} instead."
        )
    if weights.dtype != np.float64:
        with np.errstate(over="ignore"):
            weights = weights.astype(np.float64)
    if values and not (np.isfinite(weights).all() and (weights >= 0.0).all()):
        raise ValueError(BAD_WEIGHTS)
    if weights.shape == shape:
        return weights
    try:
        return np.broadcast_to(weights, shape)
    except ValueError:
        raise ValueError(
            f"weights must have shape {shape} or be broadcastable to it, "
            f"got shape {weights.shape} instead."
        ) from None


def _rows(A, axes):
    """See `A` as (n_groups, group_size) of any strides, copied if there are none."""
    return entries_last(A, axes).reshape(-1, math.prod(A.shape[i] for i in axes))


def _adjacent(rows, dim):
    """Copy `rows` unless what follows along dimension `dim` is adjacent in memory."""
    strides, one = rows.strides, rows.itemsize
    if strides[dim] == one and strides[1 - dim] % one == 0 and rows.flags.aligned:
        return rows
    return np.array(rows, order="FC"[dim])


@array_function("dense slices", "threshold search")
def projection_weighted_l1_ball(
    X: ArrayLike,
    radius: Number,
    weights: ArrayLike | Number,
    *,
    axis: Axis = None,
    out: Out = None,
    n_threads: Integer | None = None,
    return_threshold: bool = False,
) -> Projected:
    r"""Project an array, or each slice of it, onto a weighted l1 ball.

    .. math::

        \operatorname*{argmin}_{p} \|p - x\|_2^2 \quad \text{subject to} \quad
        \sum_i w_i |p_i| \le \text{radius}

    The result is a soft threshold with one level per entry, proportional to its
    weight: entries with large weights become zero first. With the inverse of a first
    estimate as weights it is the constraint of the adaptive lasso.

    Parameters
    ----------
    radius : float
        Radius of the ball; 0 gives zeros where the weight is not zero, infinity
        gives `X`.
    weights : array-like of the shape of `X`, or broadcastable to it
        Finite and non-negative, used as float64. Broadcast by the rules of NumPy:
        one number holds for all entries, a vector for the last dimension. An entry
        whose weight is zero is left alone.

    Returns
    -------
    threshold : float, or ndarray of the shape of `X` without `axis`
        The tau >= 0 with ``P = sign(X) * max(abs(X) - tau * weights, 0)``; 0 if `X`
        is inside the ball. Only if `return_threshold`.

    Raises
    ------
    ValueError
        If `radius` is negative or NaN, if `X` contains NaN or infinity, if a weight
        is negative or not finite, or if `weights`, `axis` or `out` does not fit `X`.

    See Also
    --------
    projection_l1_ball : All weights are 1.

    {weighted_reference}
    .. [2] H. Zou, "The adaptive lasso and its oracle properties", J. Am. Stat. Assoc.
       101 (2006), :doi:`10.1198/016214506000000735`.

    >>> x = np.array([3.0, -1.0, 0.5])
    >>> w = np.array([1.0, 2.0, 0.0])
    >>> p, threshold = projection_weighted_l1_ball(x, 2.0, w, return_threshold=True)
    >>> p
    array([2. , 0. , 0.5])
    >>> round(threshold, 6)
    1.0
    """
    X = check_array(X)
    radius = check_radius(radius)
    # The kernel sees their values.
    weights = check_weights(weights, X.shape, values=X.size == 0)
    axes = check_axis(axis, X.ndim)
    check_out(out, X)
    n_threads = threads_for(X, n_threads, axes)
    if out is None:
        out = np.empty_like(X)
    else:
        if not same_view(X, out) and np.may_share_memory(X, out):
            X = X.copy()
        if np.may_share_memory(weights, out):
            weights = weights.copy()
    if X.size == 0:
        thresholds = np.zeros(groups_shape(X.shape, axes))
    else:
        rows = _rows(X, axes)
        dim = 0 if rows.strides[0] == X.itemsize != rows.strides[1] else 1
        target = _adjacent(_rows(out, axes), dim)
        thresholds, offsets = np.empty((2, len(rows)))
        finite, valid = _weighted.project_weighted_l1(
            _adjacent(rows, dim),
            _adjacent(_rows(weights, axes), dim),
            radius,
            target,
            thresholds,
            offsets,
            n_threads,
        )
        if not valid:
            raise ValueError(BAD_WEIGHTS)
        if not finite:
            raise ValueError("X contains NaN or infinity.")
        if not np.may_share_memory(target, out):
            moved = entries_last(out, axes)
            moved[...] = target.reshape(moved.shape)
    if not return_threshold:
        return out
    thresholds = thresholds.reshape(groups_shape(X.shape, axes))
    return out, thresholds if thresholds.shape else float(thresholds)
