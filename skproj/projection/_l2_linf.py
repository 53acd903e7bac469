"""The l2 and the l_inf ball, which make nothing zero."""

from __future__ import annotations

from functools import partial

import numpy as np

from skproj._kernels import _groups
from skproj._typing import ArrayLike, Axis, Integer, Number, Out, Projected
from skproj.projection._arrays import array_function
from skproj.projection._bilevel import project_each_group
from skproj.projection._engine import INSIDE, Ball, Solver, project
from skproj.projection._l1 import norm_l11
from skproj.projection._norms import l2_of_all, linf_of_all, rescale_unsafe_norms


def _solve(groups, norms, radius, n_threads, *, norm):
    if norm == _groups.L2:
        rescale_unsafe_norms(groups, norm, norms, n_threads)
    budgets = np.minimum(norms, radius)
    lost = norms - budgets
    if _groups.smallest_and_largest(lost)[1] == 0.0:
        return INSIDE
    return project_each_group(norm, groups, norms, budgets, lost, n_threads)


ONTO_L2 = Solver(partial(_solve, norm=_groups.L2), _groups.L2, batched=True)
ONTO_LINF = Solver(partial(_solve, norm=_groups.LINF), _groups.LINF, batched=True)


@array_function("slices")
def projection_l2_ball(
    X: ArrayLike,
    radius: Number,
    *,
    axis: Axis = None,
    out: Out = None,
    n_threads: Integer | None = None,
    return_threshold: bool = False,
) -> Projected:
    r"""Project an array, or each slice of it, onto the l2 ball.

    .. math::

        \operatorname*{argmin}_{p} \|p - x\|_2^2 \quad \text{subject to} \quad
        \|p\|_2 \le \text{radius}

    A vector outside the ball keeps its direction and is shortened. Entries become
    smaller, but none becomes zero.

    Returns
    -------
    threshold : float, or ndarray of the shape of `X` without `axis`
        Decrease of the norm, ``max(norm - radius, 0)``, infinite beyond the largest
        float. Only if `return_threshold`.

    See Also
    --------
    projection_l12_ball : One radius for the sum of the norms of the slices.
    norm_l2 : The norm of this ball.

    Notes
    -----
    Two passes over the array. Sums of squares are carried in float64 and scaled
    where they would overflow or underflow.

    {proximal_reference}

    >>> x = np.array([3.0, -4.0])
    >>> p, threshold = projection_l2_ball(x, 2.5, return_threshold=True)
    >>> p
    array([ 1.5, -2. ])
    >>> threshold
    2.5
    """
    return project(X, radius, ONTO_L2, axis, out, n_threads, return_threshold)


@array_function("slices")
def projection_linf_ball(
    X: ArrayLike,
    radius: Number,
    *,
    axis: Axis = None,
    out: Out = None,
    n_threads: Integer | None = None,
    return_threshold: bool = False,
) -> Projected:
    r"""Project an array, or each slice of it, onto the l_inf ball.

    .. math::

        \operatorname*{argmin}_{p} \|p - x\|_2^2 \quad \text{subject to} \quad
        \max_i |p_i| \le \text{radius}

    Entries are clipped to the interval from ``-radius`` to ``radius``. No entry
    becomes zero.

    Returns
    -------
    threshold : float, or ndarray of the shape of `X` without `axis`
        Decrease of the norm, ``max(norm - radius, 0)``. Only if `return_threshold`.

    See Also
    --------
    projection_l1inf_ball : One radius for the sum of the maxima of the slices.
    norm_linf : The norm of this ball.

    Notes
    -----
    Two passes over the array; without a threshold, ``np.clip`` does the same.

    {proximal_reference}

    >>> projection_linf_ball(np.array([3.0, -4.0, 1.0]), 2.0)
    array([ 2., -2.,  1.])
    """
    return project(X, radius, ONTO_LINF, axis, out, n_threads, return_threshold)


L2 = Ball(
    "l2",
    projection_l2_ball,
    ONTO_L2,
    l2_of_all,
    dual_norm=l2_of_all,
    inner_norm=2,
    exact=True,
    grouped=False,
    sparsifying=False,
)
LINF = Ball(
    "linf",
    projection_linf_ball,
    ONTO_LINF,
    linf_of_all,
    dual_norm=norm_l11,
    inner_norm=np.inf,
    exact=True,
    grouped=False,
    sparsifying=False,
)
