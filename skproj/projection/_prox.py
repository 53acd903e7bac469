"""Proximity operators of the norms, each a projection onto a ball of the dual norm."""

import numpy as np

from skproj._kernels import _groups
from skproj.projection._docs import documented
from skproj.projection._engine import Solution, group_thresholds, project
from skproj.projection._l1inf import solve_l1inf
from skproj.projection._layout import check_radius
from skproj.projection._norms import mend_norms


def _check_alpha(alpha):
    """Return `alpha` as a non-negative float; infinity is allowed."""
    try:
        return check_radius(alpha)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("radius", "alpha", 1)) from None


def _prox(
    X, alpha, solve, *, norm, axis, out, n_threads, and_largest=False, separable=True
):
    """Apply the map that `solve` finds; groups that are separable do not interact."""
    return project(
        X,
        _check_alpha(alpha),
        solve,
        norm=norm,
        axis=axis,
        out=out,
        n_threads=n_threads,
        return_threshold=False,
        and_largest=and_largest,
        batched=separable,
    )


def _solve_prox_l1(groups, norms, alpha, n_threads):
    return Solution(_groups.SOFT, np.full(len(norms), alpha), 0.0)


def _solve_prox_l12(groups, norms, alpha, n_threads):
    mend_norms(groups, _groups.L2, norms, n_threads)
    factors = np.maximum(norms - alpha, 0.0)
    _groups.scale_factors(norms, factors)
    return Solution(_groups.SCALE, factors, 0.0)


def _solve_prox_l1inf(groups, norms, alpha, n_threads):
    # What the l1 ball leaves out of a group is the group clipped at its threshold.
    levels, offsets, _ = group_thresholds(groups, norms, alpha, n_threads)
    return Solution(_groups.CLIP, levels + offsets, 0.0)


def _solve_prox_linf1(groups, norms, alpha, n_threads):
    # What clipping at a level leaves out is the soft threshold at this level.
    solution = solve_l1inf(groups, norms, alpha, n_threads)
    if solution.kind is None:
        return Solution(_groups.CLIP, np.zeros(len(groups)), 0.0)
    return Solution(_groups.SOFT, solution.levels, 0.0)


@documented
def prox_l1(X, alpha, *, out=None, n_threads=None):
    r"""Apply the proximity operator of the l1 norm.

    .. math::

        \operatorname*{argmin}_{P} \tfrac12 \|P - X\|^2 + \alpha \|P\|_1

    The soft threshold: entries of at most alpha become zero, the others lose alpha.

    Parameters
    ----------
    {X_of_slices}
    {alpha}
    {out}
    {n_threads}

    Returns
    -------
    {P_of_prox}

    Raises
    ------
    TypeError
        If `X` is not of a real floating or integer type, or if an argument has the
        wrong type.
    ValueError
        If `alpha` is negative or NaN, if `X` contains NaN or infinity, or if
        `out` does not fit `X`.

    See Also
    --------
    projection_l1_ball : Chooses the level so that a given norm is left.
    prox_l12 : The same for groups.

    Notes
    -----
    Two passes over the array, the first of which looks for NaN and infinity. Entry by
    entry it is ``sign(X) * max(abs(X) - alpha, 0)`` [1]_.

    References
    ----------
    {proximal_reference}

    Examples
    --------
    >>> import numpy as np
    >>> from skproj.projection import prox_l1
    >>> prox_l1(np.array([3.0, -1.5, 0.5]), 1.0)
    array([ 2. , -0.5,  0. ])
    """
    return _prox(
        X,
        alpha,
        _solve_prox_l1,
        norm=_groups.LINF,
        axis=-1,
        out=out,
        n_threads=n_threads,
    )


@documented
def prox_l12(X, alpha, *, axis=0, out=None, n_threads=None):
    r"""Apply the proximity operator of the l1,2 norm.

    .. math::

        \operatorname*{argmin}_{P} \tfrac12 \|P - X\|^2 + \alpha \sum_j \|p_j\|_2

    Groups (columns for ``axis=0``) whose l2 norm is at most alpha become zero, the
    others lose alpha in norm and keep their direction.

    Parameters
    ----------
    {X_of_groups}
    {alpha}
    {axis_of_groups}
    {out}
    {n_threads}

    Returns
    -------
    {P_of_prox}

    {raises_of_prox}

    See Also
    --------
    projection_l12_ball : Chooses the level so that a given norm is left.
    norm_l12 : The norm.

    Notes
    -----
    Two passes over the array. Sums of squares are carried in float64 and scaled
    where they would overflow or underflow.

    References
    ----------
    {group_lasso_reference}

    Examples
    --------
    >>> import numpy as np
    >>> from skproj.projection import prox_l12
    >>> X = np.array([[3.0, 1.0, 0.5], [-4.0, 1.0, 0.0]])
    >>> prox_l12(X, 2.5)
    array([[ 1.5,  0. ,  0. ],
           [-2. ,  0. ,  0. ]])
    """
    return _prox(
        X,
        alpha,
        _solve_prox_l12,
        norm=_groups.L2,
        axis=axis,
        out=out,
        n_threads=n_threads,
    )


@documented
def prox_l1inf(X, alpha, *, axis=0, out=None, n_threads=None):
    r"""Apply the proximity operator of the l1,inf norm.

    .. math::

        \operatorname*{argmin}_{P} \tfrac12 \|P - X\|^2 + \alpha \sum_j \max_i |p_{ij}|

    Each group (column for ``axis=0``) is clipped where the part above adds up to alpha,
    and becomes zero if its l1 norm is at most alpha.

    Parameters
    ----------
    {X_of_groups}
    {alpha}
    {axis_of_groups}
    {out}
    {n_threads}

    Returns
    -------
    {P_of_prox}

    {raises_of_prox}

    See Also
    --------
    projection_l1inf_ball : Chooses the level so that a given norm is left.
    norm_l1inf : The norm.

    Notes
    -----
    By Moreau's decomposition each group is what the projection onto the l1 ball of
    radius alpha leaves out of it [1]_; it is computed without that difference.

    References
    ----------
    {proximal_reference}

    Examples
    --------
    >>> import numpy as np
    >>> from skproj.projection import prox_l1inf
    >>> X = np.array([[3.0, 1.0, 0.5], [-4.0, 1.0, 0.0]])
    >>> prox_l1inf(X, 1.0)
    array([[ 3. ,  0.5,  0. ],
           [-3. ,  0.5,  0. ]])
    """
    return _prox(
        X,
        alpha,
        _solve_prox_l1inf,
        norm=_groups.L1,
        axis=axis,
        out=out,
        n_threads=n_threads,
    )


@documented
def prox_linf1(X, alpha, *, axis=0, out=None, n_threads=None):
    r"""Apply the proximity operator of the linf,1 norm.

    .. math::

        \operatorname*{argmin}_{P} \tfrac12 \|P - X\|^2 + \alpha \max_j \sum_i |p_{ij}|

    The groups (columns for ``axis=0``) with the largest l1 norms are soft-thresholded
    down to a common l1 norm; the other groups stay as they are.

    Parameters
    ----------
    {X_of_groups}
    {alpha}
    {axis_of_groups}
    {out}
    {n_threads}

    Returns
    -------
    {P_of_prox}

    {raises_of_prox}

    See Also
    --------
    projection_l1inf_ball : What this operator takes away.
    norm_linf1 : The norm.

    Notes
    -----
    By Moreau's decomposition it is what the exact projection onto the l1,inf ball of
    radius alpha leaves out [1]_; it is computed without that difference.

    References
    ----------
    {l1inf_reference}

    Examples
    --------
    >>> import numpy as np
    >>> from skproj.projection import prox_linf1
    >>> X = np.array([[3.0, 1.0, 0.5], [-4.0, 1.0, 0.0]])
    >>> prox_linf1(X, 1.0)
    array([[ 2. ,  1. ,  0.5],
           [-3. ,  1. ,  0. ]])
    """
    return _prox(
        X,
        alpha,
        _solve_prox_linf1,
        norm=_groups.L1,
        and_largest=True,
        axis=axis,
        out=out,
        n_threads=n_threads,
        separable=False,
    )
