"""The weighted l1 ball."""

import math

import numpy as np

from skproj._kernels import _weighted
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
from skproj.projection._norms import norm_linf

# Entries below the first number are multiplied by the second, a power of two.
SUBNORMAL, SCALE = 1e-280, 2.0**700


def _check_weights(weights, shape):
    """Return `weights` as a float64 array broadcast to `shape`."""
    weights = np.asarray(weights)
    if weights.dtype.kind not in "iuf":
        raise TypeError(
            f"weights must hold real numbers, got dtype {weights.dtype} instead."
        )
    with np.errstate(over="ignore"):
        weights = weights.astype(np.float64, copy=False)
    if not (np.isfinite(weights).all() and (weights >= 0.0).all()):
        raise ValueError("weights must be finite and non-negative.")
    try:
        return np.broadcast_to(weights, shape)
    except ValueError:
        raise ValueError(
            f"weights must have shape {shape} or be broadcastable to it, "
            f"got shape {weights.shape} instead."
        ) from None


def _rows(A, axes):
    """See `A` as (n_groups, group_size) of any strides, copied if there are none."""
    if not A.flags.aligned:
        A = A.copy()
    size = math.prod(A.shape[i] for i in axes)
    return entries_last(A, axes).reshape(-1, size)


def _project_subnormal(X, radius, weights, axis, out, n_threads, return_threshold):
    """Project entries so small that they have few digits: larger ones, scaled back."""
    P, thresholds = projection_weighted_l1_ball(
        X.astype(np.float64) * SCALE,
        radius * SCALE,
        weights,
        axis=axis,
        n_threads=n_threads,
        return_threshold=True,
    )
    out = np.empty_like(X) if out is None else out
    with np.errstate(under="ignore"):
        out[...] = P / SCALE
        thresholds = thresholds / SCALE
    return (out, thresholds) if return_threshold else out


def projection_weighted_l1_ball(
    X, radius, weights, *, axis=None, out=None, n_threads=None, return_threshold=False
):
    r"""Project an array, or each slice of it, onto a weighted l1 ball.

    .. math::

        \operatorname*{argmin}_{p} \|p - x\|_2^2 \quad \text{subject to} \quad
        \sum_i w_i |p_i| \le \text{radius}

    The result is a soft threshold with one level per entry, proportional to its
    weight: entries with large weights become zero first. With the inverse of a first
    estimate as weights it is the constraint of the adaptive lasso.

    Parameters
    ----------
    X : array-like of any shape
        Input of dtype float32 or float64; integers are converted to float64.
    radius : float
        Radius of the ball; 0 gives zeros where the weight is not zero, infinity
        gives `X`.
    weights : array-like of the shape of `X`, or broadcastable to it
        Finite and non-negative, used as float64. Broadcast by the rules of NumPy:
        one number holds for all entries, a vector for the last dimension. An entry
        whose weight is zero is left alone.
    axis : int, tuple of int or None, default=None
        None projects the whole array as one vector; otherwise each slice along
        `axis` is projected by itself onto the ball of its weights.
    out : ndarray of the shape and dtype of `X`, default=None
        Where to write the result; `X` itself projects in place. Nothing is
        written if an argument is refused.
    n_threads : int, default=None
        Number of OpenMP threads. None takes what OpenMP would use, negative values
        count from the number of CPUs (-1 is all). The result does not depend on it.
        Threads share out slices: a single vector takes one.
    return_threshold : bool, default=False
        Whether to return the threshold as well.

    Returns
    -------
    P : ndarray of the shape and dtype of `X`
        The projection. Empty arrays come back empty.
    threshold : float, or ndarray of the shape of `X` without `axis`
        The tau >= 0 with ``P = sign(X) * max(abs(X) - tau * weights, 0)``; 0 if `X`
        is inside the ball. Only if `return_threshold`.

    Raises
    ------
    TypeError
        If `X` is sparse or not of a real floating or integer type, or if an
        argument has the wrong type.
    ValueError
        If `radius` is negative or NaN, if `X` contains NaN or infinity, if a weight
        is negative or not finite, or if `weights`, `axis` or `out` does not fit `X`.

    See Also
    --------
    projection_l1_ball : All weights are 1.

    Notes
    -----
    Newton's method on the threshold, which drops entries as it goes: expected time
    linear in the number of entries. Sums are carried in float64, over the lengths
    ``abs(X) - tau * weights`` themselves, so that also a tiny radius is met to
    rounding.

    References
    ----------
    .. [1] G. Perez, S. Ament, C. Gomes, M. Barlaud, "Efficient projection algorithms
       onto the weighted l1 ball", Artificial Intelligence 306 (2022),
       :arxiv:`2009.02980`.
    .. [2] H. Zou, "The adaptive lasso and its oracle properties", J. Am. Stat. Assoc.
       101 (2006), :doi:`10.1198/016214506000000735`.

    Examples
    --------
    >>> import numpy as np
    >>> from skproj.projection import projection_weighted_l1_ball
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
    weights = _check_weights(weights, X.shape)
    axes = check_axis(axis, X.ndim)
    check_out(out, X)
    n_threads = threads_for(X, n_threads)
    largest = norm_linf(X, n_threads=n_threads)  # refuses NaN and infinity
    if 0.0 < largest < SUBNORMAL:
        return _project_subnormal(
            X, radius, weights, axis, out, n_threads, return_threshold
        )

    if out is None:
        out = np.empty_like(X)
    elif not same_view(X, out) and np.may_share_memory(X, out):
        X = X.copy()
    if np.may_share_memory(weights, out):
        weights = weights.copy()
    thresholds = np.zeros(groups_shape(X.shape, axes))
    if X.size > 0:
        target = _rows(out, axes)
        _weighted.project_weighted_l1(
            _rows(X, axes),
            _rows(weights, axes),
            radius,
            target,
            thresholds.reshape(-1),
            n_threads,
        )
        if not np.may_share_memory(target, out):
            moved = entries_last(out, axes)
            moved[...] = target.reshape(moved.shape)
    if not return_threshold:
        return out
    return out, thresholds if thresholds.shape else float(thresholds)
