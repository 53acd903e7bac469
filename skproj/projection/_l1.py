"""The l1 ball and the simplex."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy.sparse import issparse

from skproj._kernels import _groups
from skproj._typing import ArrayLike, Axis, Integer, Number, Out, Projected
from skproj.projection._arrays import array_function
from skproj.projection._engine import (
    INSIDE,
    Ball,
    GroupMap,
    Solver,
    group_norms,
    group_thresholds,
    project,
)
from skproj.projection._layout import FLOAT_DTYPES, check_array, check_radius
from skproj.projection._norms import linf_of_all, mixed_norm

# The largest number of each type of entries.
LARGEST = {dtype: float(np.finfo(dtype).max) for dtype in FLOAT_DTYPES}


def _solve(groups, norms, radius, n_threads, *, signed):
    """Solve for a threshold per group; norms are l1, or l_inf if signed."""
    kind = _groups.SUBTRACT_AND_CLAMP if signed else _groups.SOFT
    levels, offsets, n_outside = group_thresholds(
        groups, norms, radius, n_threads, signed=signed
    )
    if n_outside == 0:
        return INSIDE
    thresholds = None
    is_empty = radius == 0.0
    if is_empty if isinstance(radius, float) else is_empty.any():
        # Nothing is left of a group without a budget: its threshold is its largest.
        tops = (
            groups.entries.max(axis=1)
            if signed
            else group_norms(groups, _groups.LINF, n_threads)[0]
        )
        thresholds = np.where(is_empty, tops, levels + offsets)
    return GroupMap(kind, levels, thresholds, offsets)


ONTO_L1 = Solver(partial(_solve, signed=False), _groups.L1, batched=True)
ONTO_SIMPLEX = Solver(
    partial(_solve, signed=True), _groups.LINF, batched=True, fill=True
)


@array_function("dense slices", "threshold search")
def projection_simplex(
    X: ArrayLike,
    radius: Number = 1.0,
    *,
    axis: Axis = None,
    out: Out = None,
    n_threads: Integer | None = None,
    return_threshold: bool = False,
) -> Projected:
    r"""Project an array, or each slice of it, onto the simplex.

    .. math::

        \operatorname*{argmin}_{p} \|p - x\|_2^2 \quad \text{subject to} \quad
        p \ge 0, \ \sum_i p_i = \text{radius}

    Entries below a threshold become zero, and the threshold is subtracted from others.

    Parameters
    ----------
    X : array-like of any shape
        Input of dtype float32 or float64; integers are converted to float64. Entries
        of minus infinity become zero.
    radius : float, default=1.0
        Sum of the result, or of each slice of it; finite and non-negative.

    Returns
    -------
    threshold : float, or ndarray of the shape of `X` without `axis`
        The tau, of any sign, with ``P = max(X - tau, 0)``; minus infinity below all
        floats. Only if `return_threshold`.

    Raises
    ------
    ValueError
        If `radius` is negative, NaN or infinite, if `X` contains NaN or infinity, or
        a slice of minus infinity only, or if `axis` or `out` does not fit `X`.

    See Also
    --------
    projection_l1_ball : The same set without the sign constraint, filled.

    >>> projection_simplex(np.array([0.5, 1.0, -2.0]))
    array([0.25, 0.75, 0.  ])
    """
    if issparse(X):
        raise TypeError(
            "X is a sparse matrix, whose projection onto the simplex is not sparse; "
            "pass X.toarray() if it fits memory."
        )
    X = check_array(X)
    if check_radius(radius) > LARGEST[X.dtype]:
        raise ValueError(f"radius must be finite in {X.dtype}, got {radius!r} instead.")
    return project(X, radius, ONTO_SIMPLEX, axis, out, n_threads, return_threshold)


@array_function("slices", "threshold search")
def projection_l1_ball(
    X: ArrayLike,
    radius: Number,
    *,
    axis: Axis = None,
    out: Out = None,
    n_threads: Integer | None = None,
    return_threshold: bool = False,
) -> Projected:
    r"""Project an array, or each slice of it, onto the l1 ball.

    .. math::

        \operatorname*{argmin}_{p} \|p - x\|_2^2 \quad \text{subject to} \quad
        \sum_i |p_i| \le \text{radius}

    The result is a soft threshold of `X`: single entries become zero, wherever
    they are. Use a ball with groups to make whole columns zero.

    Returns
    -------
    threshold : float, or ndarray of the shape of `X` without `axis`
        The tau >= 0 with ``P = sign(X) * max(abs(X) - tau, 0)``; 0 if `X` is
        inside the ball. Only if `return_threshold`.

    See Also
    --------
    projection_simplex : Non-negative entries with a given sum.
    projection_bilevel_l11_ball : A budget for columns, then for their entries.

    >>> x = np.array([3.0, -1.0, 0.5])
    >>> p, threshold = projection_l1_ball(x, 2.0, return_threshold=True)
    >>> p
    array([2., 0., 0.])
    >>> threshold
    1.0
    """
    return project(X, radius, ONTO_L1, axis, out, n_threads, return_threshold)


@array_function("norm of groups", ball="projection_bilevel_l11_ball", dual="norm_linf")
def norm_l11(
    X: ArrayLike, *, axis: Axis = 0, n_threads: Integer | None = None
) -> float:
    r"""Compute the l1,1 norm: the sum of the absolute values.

    .. math::

        \|X\|_{1,1} = \sum_j \sum_i |x_{ij}|

    See Also
    --------
    projection_l1_ball : The nearest point of the same ball.

    >>> norm_l11([[3.0, 1.0], [-4.0, 0.0]])
    8.0
    """
    return mixed_norm(X, _groups.L1, np.sum, axis, n_threads)


def _solve_prox_l1(groups, norms, alpha, n_threads):
    levels = np.full(len(norms), alpha)
    return GroupMap(_groups.SOFT, levels, 0.0, np.zeros(len(norms)))


PROX_L1 = Solver(_solve_prox_l1, _groups.LINF, batched=True)


@array_function("prox", "any shape", projection="projection_l1_ball")
def prox_l1(
    X: ArrayLike,
    alpha: Number,
    *,
    out: Out = None,
    n_threads: Integer | None = None,
) -> Projected:
    r"""Apply the proximity operator of the l1 norm.

    .. math::

        \operatorname*{argmin}_{P} \tfrac12 \|P - X\|^2 + \alpha \|P\|_1

    The soft threshold: entries of at most alpha become zero, the others lose alpha.

    Raises
    ------
    ValueError
        If `alpha` is negative or NaN, if `X` contains NaN or infinity, or if
        `out` does not fit `X`.

    Notes
    -----
    Two passes over the array, the first of which looks for NaN and infinity. Entry by
    entry it is ``sign(X) * max(abs(X) - alpha, 0)`` [1]_.

    {proximal_reference}

    See Also
    --------
    prox_l12 : The same for groups.

    >>> prox_l1(np.array([3.0, -1.5, 0.5]), 1.0)
    array([ 2. , -0.5,  0. ])
    """
    alpha = check_radius(alpha, "alpha")
    return project(X, alpha, PROX_L1, -1, out, n_threads, False)


L1 = Ball(
    "l1",
    projection_l1_ball,
    ONTO_L1,
    norm_l11,
    dual_norm=linf_of_all,
    inner_norm=1,
    exact=True,
    grouped=False,
    prox=prox_l1,
)
