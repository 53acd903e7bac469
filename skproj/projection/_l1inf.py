"""The l1,inf ball: exact projection, norms, and proximity operators."""

from __future__ import annotations

import numpy as np

from skproj._kernels import _groups, _l1inf
from skproj._typing import ArrayLike, Axis, Integer, Number, Out, Projected
from skproj.projection._arrays import array_function
from skproj.projection._engine import (
    INSIDE,
    Ball,
    GroupMap,
    Solver,
    group_thresholds,
    project,
    project_norms,
)
from skproj.projection._l1inf_estimate import estimate_theta
from skproj.projection._layout import check_radius
from skproj.projection._norms import mixed_norm
from skproj.projection._policy import FEW_ALIVE, SAMPLED_ENTRIES

# The part of an l1 norm that rounding may have taken.
ROUNDING = 1e-12


def solve_l1inf(groups, norms, radius, n_threads):
    """Solve for the clipping levels, from the l1 and the l_inf norms of the groups."""
    size = groups.shape[1]
    levels, tau = project_norms(norms[1], radius)
    if tau == 0.0:
        return INSIDE
    if radius == 0.0 or size == 1:  # then the levels are those of the maxima
        return GroupMap(_groups.CLIP, levels, norms[0].max() if radius == 0.0 else tau)
    # mu_j is at least max_j - theta: theta is at least tau.
    entries, indptr = groups.entries, groups.indptr
    if indptr is None and entries.size >= SAMPLED_ENTRIES:
        theta = _solve_large(entries, norms, radius, tau, levels, n_threads)
    else:
        theta = _l1inf.l1inf_levels(
            entries, norms, radius, tau, np.nan, levels, n_threads, indptr
        )
    return GroupMap(_groups.CLIP, levels, theta)


def _solve_large(groups, norms, radius, low, levels, n_threads):
    """Solve for the levels of a large matrix; return theta, which is at least `low`."""
    l1 = norms[0]
    # mu_j is at least (l1_j - theta) / size as well.
    low = max(low, project_norms(l1, radius * groups.shape[1])[1])
    alive = np.flatnonzero(l1 > low * (1.0 - ROUNDING))
    if 0 < len(alive) <= len(groups) * FEW_ALIVE:
        part = np.ascontiguousarray(groups[alive])
        of_part = np.empty(len(alive))
        theta = _l1inf.l1inf_levels(
            part, norms.take(alive, axis=1), radius, 0.0, low, of_part, n_threads
        )
        levels[:] = 0.0
        levels[alive] = of_part
        return theta
    guess = estimate_theta(groups, l1, radius, low)
    return _l1inf.l1inf_levels(groups, norms, radius, low, guess, levels, n_threads)


ONTO_L1INF = Solver(
    solve_l1inf, _groups.L1, and_largest=True, at_once=_l1inf.project_l1inf
)


@array_function("groups")
def projection_l1inf_ball(
    X: ArrayLike,
    radius: Number,
    *,
    axis: Axis = 0,
    out: Out = None,
    n_threads: Integer | None = None,
    return_threshold: bool = False,
) -> Projected:
    r"""Project an array onto the l1,inf ball, exactly.

    .. math::

        \operatorname*{argmin}_{P} \|P - X\|_F^2 \quad \text{subject to} \quad
        \sum_j \max_i |p_{ij}| \le \text{radius}

    Each group (column for ``axis=0``) is clipped at a level of its own, and groups
    whose l1 norm is below the threshold become zero. The outer norm is named first:
    l1 over the groups of l_inf inside a group.

    Returns
    -------
    threshold : float
        The theta >= 0 that every kept group loses in l1 norm; 0 if `X` is inside
        the ball, infinite beyond the largest float. Only if `return_threshold`.

    See Also
    --------
    projection_bilevel_l1inf_ball : Cheaper and usually sparser; not the nearest point.
    norm_l1inf : The norm of this ball.
    norm_linf1 : Its dual.

    Notes
    -----
    Newton's method for theta and the levels of all groups together; a group is looked
    at again only while its level moves past one of its entries. For large arrays a
    sample says where theta may be. A sample that misleads costs time, never exactness.
    Sums are carried in float64.

    References
    ----------
    .. [1] A. Quattoni, X. Carreras, M. Collins, T. Darrell, "An efficient projection
       for l1,inf regularization", ICML 2009, :doi:`10.1145/1553374.1553484`.
    .. [2] D. Chu, C. Zhang, S. Sun, Q. Tao, "Semismooth Newton algorithm for
       efficient projections onto l1,inf-norm ball", ICML 2020.
    .. [3] G. Perez, L. Condat, M. Barlaud, "Near-linear time projection onto the
       l1,inf ball; application to sparse autoencoders", :arxiv:`2307.09836`.

    >>> X = np.array([[3.0, 1.0, 0.5], [-1.0, 1.0, 0.0]])
    >>> norm_l1inf(X)
    4.5
    >>> P, theta = projection_l1inf_ball(X, 2.0, return_threshold=True)
    >>> P
    array([[ 1.66666667,  0.33333333,  0.        ],
           [-1.        ,  0.33333333,  0.        ]])
    >>> round(theta, 4)
    1.3333
    """
    return project(X, radius, ONTO_L1INF, axis, out, n_threads, return_threshold)


@array_function("norm of groups", ball="projection_l1inf_ball", dual="norm_linf1")
def norm_l1inf(
    X: ArrayLike, *, axis: Axis = 0, n_threads: Integer | None = None
) -> float:
    r"""Compute the l1,inf norm: the sum of the maxima of the groups.

    .. math::

        \|X\|_{1,\infty} = \sum_j \max_i |x_{ij}|

    >>> norm_l1inf([[3.0, 1.0], [-4.0, 0.0]])
    5.0
    """
    return mixed_norm(X, _groups.LINF, np.sum, axis, n_threads)


@array_function("norm of groups", dual="norm_l1inf")
def norm_linf1(
    X: ArrayLike, *, axis: Axis = 0, n_threads: Integer | None = None
) -> float:
    r"""Compute the linf,1 norm: the largest l1 norm of a group.

    .. math::

        \|X\|_{\infty,1} = \max_j \sum_i |x_{ij}|

    >>> norm_linf1([[3.0, 1.0], [-4.0, 0.0]])
    7.0
    """
    return mixed_norm(X, _groups.L1, np.max, axis, n_threads)


def _solve_prox_l1inf(groups, norms, alpha, n_threads):
    # What the l1 ball leaves out of a group is the group clipped at its threshold.
    levels, offsets, _ = group_thresholds(groups, norms, alpha, n_threads)
    return GroupMap(_groups.CLIP, levels + offsets, 0.0)


def _solve_prox_linf1(groups, norms, alpha, n_threads):
    # What clipping at a level leaves out is the soft threshold at this level.
    clipping = solve_l1inf(groups, norms, alpha, n_threads)
    if clipping.kind is None:
        return GroupMap(_groups.CLIP, np.zeros(groups.n_groups), 0.0)
    levels = clipping.levels
    return GroupMap(_groups.SOFT, levels, 0.0, np.zeros(len(levels)))


PROX_L1INF = Solver(_solve_prox_l1inf, _groups.L1, batched=True)
PROX_LINF1 = Solver(_solve_prox_linf1, _groups.L1, and_largest=True)


@array_function("prox", projection="projection_l1inf_ball", norm="norm_l1inf")
def prox_l1inf(
    X: ArrayLike,
    alpha: Number,
    *,
    axis: Axis = 0,
    out: Out = None,
    n_threads: Integer | None = None,
) -> Projected:
    r"""Apply the proximity operator of the l1,inf norm.

    .. math::

        \operatorname*{argmin}_{P} \tfrac12 \|P - X\|^2 + \alpha \sum_j \max_i |p_{ij}|

    Each group (column for ``axis=0``) is clipped where the part above adds up to alpha,
    and becomes zero if its l1 norm is at most alpha.

    Notes
    -----
    By Moreau's decomposition each group is what the projection onto the l1 ball of
    radius alpha leaves out of it [1]_; it is computed without that difference.

    {proximal_reference}

    >>> prox_l1inf(np.array([[3.0, 1.0, 0.5], [-4.0, 1.0, 0.0]]), 1.0)
    array([[ 3. ,  0.5,  0. ],
           [-3. ,  0.5,  0. ]])
    """
    alpha = check_radius(alpha, "alpha")
    return project(X, alpha, PROX_L1INF, axis, out, n_threads, False)


@array_function("prox", norm="norm_linf1")
def prox_linf1(
    X: ArrayLike,
    alpha: Number,
    *,
    axis: Axis = 0,
    out: Out = None,
    n_threads: Integer | None = None,
) -> Projected:
    r"""Apply the proximity operator of the linf,1 norm.

    .. math::

        \operatorname*{argmin}_{P} \tfrac12 \|P - X\|^2 + \alpha \max_j \sum_i |p_{ij}|

    The groups (columns for ``axis=0``) with the largest l1 norms are soft-thresholded
    down to a common l1 norm; the other groups stay as they are.

    Notes
    -----
    By Moreau's decomposition it is what the exact projection onto the l1,inf ball of
    radius alpha leaves out [1]_; it is computed without that difference.

    {l1inf_reference}

    See Also
    --------
    projection_l1inf_ball : What this operator takes away.

    >>> prox_linf1(np.array([[3.0, 1.0, 0.5], [-4.0, 1.0, 0.0]]), 1.0)
    array([[ 2. ,  1. ,  0.5],
           [-3. ,  1. ,  0. ]])
    """
    alpha = check_radius(alpha, "alpha")
    return project(X, alpha, PROX_LINF1, axis, out, n_threads, False)


L1INF = Ball(
    "l1inf",
    projection_l1inf_ball,
    ONTO_L1INF,
    norm_l1inf,
    dual_norm=norm_linf1,
    inner_norm=np.inf,
    exact=True,
    prox=prox_l1inf,
    threshold_norm=1,
)
