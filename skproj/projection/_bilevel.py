"""Bi-level projections: a budget for the groups, then one for each group."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from skproj._kernels import _groups
from skproj._typing import ArrayLike, Axis, Integer, Number, Out, Projected
from skproj.projection._arrays import array_function
from skproj.projection._engine import (
    INSIDE,
    GroupMap,
    Solver,
    group_thresholds,
    project,
    project_norms,
)
from skproj.projection._l1 import L1
from skproj.projection._l1inf import L1INF


def project_each_group(norm, groups, norms, budgets, threshold, n_threads):
    """Solve for each group on the ball of its budget, which is at most its norm.

    The budgets are used up: they may become the levels.
    """
    if norm == _groups.LINF:
        return GroupMap(_groups.CLIP, budgets, threshold)
    if norm == _groups.L2:
        _groups.scale_factors(norms, budgets)
        return GroupMap(_groups.SCALE, budgets, threshold)
    levels, offsets, _ = group_thresholds(groups, norms, budgets, n_threads)
    return GroupMap(_groups.SOFT, levels, threshold, offsets)


def _solve(groups, norms, radius, n_threads, *, norm):
    """Share the radius out among the groups, then solve for each of them."""
    budgets, tau = project_norms(norms, radius)
    if tau == 0.0:
        return INSIDE
    return project_each_group(norm, groups, norms, budgets, tau, n_threads)


# By the norm inside a group. For the l1,2 ball it is the exact projection.
BILEVEL = {
    norm: Solver(partial(_solve, norm=norm), norm)
    for norm in (_groups.L1, _groups.L2, _groups.LINF)
}


@array_function("bilevel")
def projection_bilevel_l11_ball(
    X: ArrayLike,
    radius: Number,
    *,
    axis: Axis = 0,
    out: Out = None,
    n_threads: Integer | None = None,
    return_threshold: bool = False,
) -> Projected:
    r"""Project an array onto the l1,1 ball in two levels.

    .. math::

        p_j = \operatorname*{argmin}_{\|p\|_1 \le u_j} \|p - x_j\|_2^2,
        \qquad u = \operatorname*{argmin}_{\|u\|_1 \le \text{radius}}
        \sum_j (u_j - \|x_j\|_1)^2

    The l1 norms of the groups are projected onto the l1 ball, then each group onto
    the l1 ball of what it was given: zero groups, and zeros inside the kept ones.

    See Also
    --------
    projection_l1_ball : The nearest point of the same ball.
    projection_bilevel_l1inf_ball : Keeps the kept groups dense.

    >>> X = np.array([[3.0, 1.0, 0.5], [-1.0, 1.0, 0.0]])
    >>> P = projection_bilevel_l11_ball(X, 2.0)
    >>> P
    array([[2., 0., 0.],
           [0., 0., 0.]])
    >>> norm_l11(P)
    2.0
    """
    solver = BILEVEL[_groups.L1]
    return project(X, radius, solver, axis, out, n_threads, return_threshold)


@array_function("bilevel")
def projection_bilevel_l1inf_ball(
    X: ArrayLike,
    radius: Number,
    *,
    axis: Axis = 0,
    out: Out = None,
    n_threads: Integer | None = None,
    return_threshold: bool = False,
) -> Projected:
    r"""Project an array onto the l1,inf ball in two levels.

    .. math::

        p_j = \operatorname*{argmin}_{\|p\|_\infty \le u_j} \|p - x_j\|_2^2,
        \qquad u = \operatorname*{argmin}_{\|u\|_1 \le \text{radius}}
        \sum_j (u_j - \|x_j\|_\infty)^2

    The maxima of the groups are projected onto the l1 ball, then each group is
    clipped at what it was given. Groups whose maximum is small become zero.

    See Also
    --------
    projection_l1inf_ball : The nearest point of the same ball.
    projection_l12_ball : Scales the groups instead of clipping them.

    >>> X = np.array([[3.0, 1.0, 0.5], [-1.0, 1.0, 0.0]])
    >>> norm_l1inf(X)
    4.5
    >>> P = projection_bilevel_l1inf_ball(X, 2.0)
    >>> P
    array([[ 2.,  0.,  0.],
           [-1.,  0.,  0.]])
    >>> norm_l1inf(P)
    2.0
    """
    solver = BILEVEL[_groups.LINF]
    return project(X, radius, solver, axis, out, n_threads, return_threshold)


BILEVEL_L11 = replace(
    L1,
    name="bilevel_l11",
    projection=projection_bilevel_l11_ball,
    solver=BILEVEL[_groups.L1],
    exact=False,
    grouped=True,
)
BILEVEL_L1INF = replace(
    L1INF,
    name="bilevel_l1inf",
    projection=projection_bilevel_l1inf_ball,
    solver=BILEVEL[_groups.LINF],
    exact=False,
    threshold_norm=None,
)
