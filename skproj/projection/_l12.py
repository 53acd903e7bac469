"""The l1,2 ball (group lasso): projection, norms and proximity operator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from skproj._kernels import _groups
from skproj._typing import ArrayLike, Axis, Integer, Number, Out, Projected
from skproj.projection._arrays import array_function
from skproj.projection._bilevel import BILEVEL, project_each_group
from skproj.projection._docs import alias
from skproj.projection._engine import Ball, Solver, project
from skproj.projection._layout import check_radius
from skproj.projection._norms import mixed_norm, rescale_unsafe_norms

ONTO_L12 = BILEVEL[_groups.L2]


@array_function("groups")
def projection_l12_ball(
    X: ArrayLike,
    radius: Number,
    *,
    axis: Axis = 0,
    out: Out = None,
    n_threads: Integer | None = None,
    return_threshold: bool = False,
) -> Projected:
    r"""Project an array onto the l1,2 ball (group lasso).

    .. math::

        \operatorname*{argmin}_{P} \|P - X\|_F^2 \quad \text{subject to} \quad
        \sum_j \|p_j\|_2 \le \text{radius}

    Groups (columns for ``axis=0``) with a small l2 norm become zero, the others keep
    their direction and are shortened. The outer norm is named first: what is l1,2
    here is l2,1 elsewhere.

    Returns
    -------
    threshold : float
        The tau >= 0 by which the l2 norm of each group is reduced; 0 if `X` is
        inside the ball, infinite beyond the largest float. Only if
        `return_threshold`.

    See Also
    --------
    projection_l1inf_ball : Clips the groups instead of scaling them.

    Notes
    -----
    Two passes over the array and one l1 projection of the norms of the groups: here the
    bi-level projection is the exact one, and `projection_bilevel_l12_ball` another name
    of this function. Sums of squares are carried in float64 and scaled where they would
    overflow.

    {group_lasso_reference}

    >>> X = np.array([[3.0, 0.6, 0.5], [-4.0, 0.8, 0.0]])
    >>> P = projection_l12_ball(X, 2.5)
    >>> P
    array([[ 1.5,  0. ,  0. ],
           [-2. ,  0. ,  0. ]])
    >>> norm_l12(X), norm_l12(P)
    (6.5, 2.5)
    """
    return project(X, radius, ONTO_L12, axis, out, n_threads, return_threshold)


projection_bilevel_l12_ball = alias(projection_l12_ball, "projection_bilevel_l12_ball")


@array_function("norm of groups", ball="projection_l12_ball", dual="norm_linf2")
def norm_l12(
    X: ArrayLike, *, axis: Axis = 0, n_threads: Integer | None = None
) -> float:
    r"""Compute the l1,2 norm: the sum of the l2 norms of the groups.

    .. math::

        \|X\|_{1,2} = \sum_j \Big(\sum_i x_{ij}^2\Big)^{1/2}

    >>> norm_l12([[3.0, 1.0], [-4.0, 0.0]])
    6.0
    """
    return mixed_norm(X, _groups.L2, np.sum, axis, n_threads)


@array_function("norm of groups", dual="norm_l12")
def norm_linf2(
    X: ArrayLike, *, axis: Axis = 0, n_threads: Integer | None = None
) -> float:
    r"""Compute the linf,2 norm: the largest l2 norm of a group.

    .. math::

        \|X\|_{\infty,2} = \max_j \Big(\sum_i x_{ij}^2\Big)^{1/2}

    >>> norm_linf2([[3.0, 1.0], [-4.0, 0.0]])
    5.0
    """
    return mixed_norm(X, _groups.L2, np.max, axis, n_threads)


def _solve_prox_l12(groups, norms, alpha, n_threads):
    rescale_unsafe_norms(groups, _groups.L2, norms, n_threads)
    lengths = np.maximum(norms - alpha, 0.0)
    return project_each_group(_groups.L2, groups, norms, lengths, 0.0, n_threads)


PROX_L12 = Solver(_solve_prox_l12, _groups.L2, batched=True)


@array_function("prox", projection="projection_l12_ball", norm="norm_l12")
def prox_l12(
    X: ArrayLike,
    alpha: Number,
    *,
    axis: Axis = 0,
    out: Out = None,
    n_threads: Integer | None = None,
) -> Projected:
    r"""Apply the proximity operator of the l1,2 norm.

    .. math::

        \operatorname*{argmin}_{P} \tfrac12 \|P - X\|^2 + \alpha \sum_j \|p_j\|_2

    Groups (columns for ``axis=0``) whose l2 norm is at most alpha become zero, the
    others lose alpha in norm and keep their direction.

    Notes
    -----
    Two passes over the array. Sums of squares are carried in float64 and scaled
    where they would overflow or underflow.

    {group_lasso_reference}

    >>> prox_l12(np.array([[3.0, 1.0, 0.5], [-4.0, 1.0, 0.0]]), 2.5)
    array([[ 1.5,  0. ,  0. ],
           [-2. ,  0. ,  0. ]])
    """
    alpha = check_radius(alpha, "alpha")
    return project(X, alpha, PROX_L12, axis, out, n_threads, False)


L12 = Ball(
    "l12",
    projection_l12_ball,
    ONTO_L12,
    norm_l12,
    dual_norm=norm_linf2,
    inner_norm=2,
    exact=True,
    prox=prox_l12,
)
BILEVEL_L12 = replace(L12, name="bilevel_l12", projection=projection_bilevel_l12_ball)
