"""The l1,2 ball (group lasso)."""

from skproj._kernels import _groups
from skproj.projection._bilevel import SOLVE_BILEVEL
from skproj.projection._docs import alias, documented
from skproj.projection._engine import project


@documented
def projection_l12_ball(
    X, radius, *, axis=0, out=None, n_threads=None, return_threshold=False
):
    r"""Project an array onto the l1,2 ball (group lasso).

    .. math::

        \operatorname*{argmin}_{P} \|P - X\|_F^2 \quad \text{subject to} \quad
        \sum_j \|p_j\|_2 \le \text{radius}

    Groups (columns for ``axis=0``) with a small l2 norm become zero, the others keep
    their direction and are shortened. The outer norm is named first: what is l1,2
    here is l2,1 elsewhere.

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
        The tau >= 0 by which the l2 norm of each group is reduced; 0 if `X` is
        inside the ball, infinite beyond the largest float. Only if
        `return_threshold`.

    {raises}

    See Also
    --------
    projection_bilevel_l12_ball : Another name of this function.
    projection_l1inf_ball : Clips the groups instead of scaling them.

    Notes
    -----
    Two passes over the array and one l1 projection of the norms of the groups: here the
    bi-level projection is the exact one, and the function has a second name for it.
    Sums of squares are carried in float64 and scaled where they would overflow.

    References
    ----------
    {group_lasso_reference}

    Examples
    --------
    >>> import numpy as np
    >>> from skproj.projection import norm_l12, projection_l12_ball
    >>> X = np.array([[3.0, 0.6, 0.5], [-4.0, 0.8, 0.0]])
    >>> P = projection_l12_ball(X, 2.5)
    >>> P
    array([[ 1.5,  0. ,  0. ],
           [-2. ,  0. ,  0. ]])
    >>> norm_l12(X), norm_l12(P)
    (6.5, 2.5)
    """
    return project(
        X,
        radius,
        SOLVE_BILEVEL[_groups.L2],
        norm=_groups.L2,
        axis=axis,
        out=out,
        n_threads=n_threads,
        return_threshold=return_threshold,
    )


projection_bilevel_l12_ball = alias(projection_l12_ball, "projection_bilevel_l12_ball")
