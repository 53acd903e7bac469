"""The exact projection onto the l1,inf ball."""

import numpy as np

from skproj._kernels import _groups, _l1inf
from skproj.projection._docs import documented
from skproj.projection._engine import (
    INSIDE,
    Solution,
    entries_of,
    project,
    share_out,
)
from skproj.projection._l1inf_estimate import estimate_theta
from skproj.projection._policy import FEW_ALIVE, SAMPLED_ENTRIES

# The part of an l1 norm that rounding may have taken.
ROUNDING = 1e-12


def solve_l1inf(groups, norms, radius, n_threads):
    """Solve for the clipping levels, from the l1 and the l_inf norms of the groups."""
    size = groups.shape[1]
    levels, tau = share_out(norms[1], radius)
    if tau == 0.0:
        return INSIDE
    if radius == 0.0 or size == 1:  # then the levels are those of the maxima
        return Solution(_groups.CLIP, levels, norms[0].max() if radius == 0.0 else tau)
    # mu_j is at least max_j - theta: theta is at least tau.
    entries, indptr = entries_of(groups)
    if indptr is None and groups.size >= SAMPLED_ENTRIES:
        theta = _solve_large(groups, norms, radius, tau, levels, n_threads)
    else:
        theta = _l1inf.l1inf_levels(
            entries, norms, radius, tau, np.nan, levels, n_threads, indptr
        )
    return Solution(_groups.CLIP, levels, theta)


def _solve_large(groups, norms, radius, low, levels, n_threads):
    """Solve for the levels of a large matrix; return theta, which is at least `low`."""
    l1 = norms[0]
    # mu_j is at least (l1_j - theta) / size as well.
    low = max(low, share_out(l1, radius * groups.shape[1])[1])
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


@documented
def projection_l1inf_ball(
    X, radius, *, axis=0, out=None, n_threads=None, return_threshold=False
):
    r"""Project an array onto the l1,inf ball, exactly.

    .. math::

        \operatorname*{argmin}_{P} \|P - X\|_F^2 \quad \text{subject to} \quad
        \sum_j \max_i |p_{ij}| \le \text{radius}

    Each group (column for ``axis=0``) is clipped at a level of its own, and groups
    whose l1 norm is below the threshold become zero. The outer norm is named first:
    l1 over the groups of l_inf inside a group.

    Parameters
    ----------
    {X_of_groups}
    {ball_radius}
    {axis_of_groups}
    {out}
    {n_threads}
    {return_threshold}

    Returns
    -------
    {P_of_projection}
    threshold : float
        The theta >= 0 that every kept group loses in l1 norm; 0 if `X` is inside
        the ball, infinite beyond the largest float. Only if `return_threshold`.

    {raises}

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

    Examples
    --------
    >>> import numpy as np
    >>> from skproj.projection import norm_l1inf, projection_l1inf_ball
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
    return project(
        X,
        radius,
        solve_l1inf,
        norm=_groups.L1,
        and_largest=True,
        axis=axis,
        out=out,
        n_threads=n_threads,
        return_threshold=return_threshold,
    )
