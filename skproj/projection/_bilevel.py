"""Bi-level projections: a budget for the groups, then one for each group."""

from functools import partial

from skproj._kernels import _groups
from skproj.projection._engine import (
    INSIDE,
    Solution,
    group_thresholds,
    project,
    share_out,
)


def project_each_group(norm, groups, norms, budgets, threshold, n_threads):
    """Solve for each group on the ball of its budget, which is at most its norm.

    The budgets are used up: they may become the levels.
    """
    if norm == _groups.LINF:
        return Solution(_groups.CLIP, budgets, threshold)
    if norm == _groups.L2:
        _groups.scale_factors(norms, budgets)
        return Solution(_groups.SCALE, budgets, threshold)
    levels, offsets, _ = group_thresholds(groups, norms, budgets, n_threads)
    return Solution(_groups.SOFT, levels, threshold, offsets)


def _solve(groups, norms, radius, n_threads, *, norm):
    """Share the radius out among the groups, then solve for each of them."""
    budgets, tau = share_out(norms, radius)
    if tau == 0.0:
        return INSIDE
    return project_each_group(norm, groups, norms, budgets, tau, n_threads)


# By the norm inside a group. For the l1,2 ball it is the exact projection.
SOLVE_BILEVEL = {
    norm: partial(_solve, norm=norm) for norm in (_groups.L1, _groups.L2, _groups.LINF)
}


def projection_bilevel_l11_ball(
    X, radius, *, axis=0, out=None, n_threads=None, return_threshold=False
):
    r"""Project an array onto the l1,1 ball in two levels.

    .. math::

        p_j = \operatorname*{argmin}_{\|p\|_1 \le u_j} \|p - x_j\|_2^2,
        \qquad u = \operatorname*{argmin}_{\|u\|_1 \le \text{radius}}
        \sum_j (u_j - \|x_j\|_1)^2

    The l1 norms of the groups are projected onto the l1 ball, then each group onto
    the l1 ball of what it was given: zero groups, and zeros inside the kept ones.

    Parameters
    ----------
    X : array-like or sparse matrix, usually of shape (n_rows, n_columns)
        Input of dtype float32 or float64; integers are converted to float64.
    radius : float
        Radius of the ball; 0 gives zeros, infinity gives `X`.
    axis : int, tuple of int or None, default=0
        What the inner norm runs along, as in ``np.linalg.norm(X, axis=0)``: with
        ``axis=0`` the groups of a matrix are its columns. None makes the whole
        array one group.
    out : ndarray of the shape and dtype of `X`, default=None
        Where to write the result; `X` itself projects in place. Nothing is
        written if an argument is refused. It must be None if `X` is sparse.
    n_threads : int, default=None
        Number of OpenMP threads. None takes those of OpenMP if the array is large, and
        one otherwise; negative values count from the number of CPUs (-1 is all). The
        result does not depend on it.
    return_threshold : bool, default=False
        Whether to return the threshold as well.

    Returns
    -------
    P : ndarray or sparse matrix of the shape and dtype of `X`
        The projection. Empty arrays come back empty. It is sparse if `X` is, in CSC if
        `X` is and in CSR otherwise, and stores no zeros.
    threshold : float
        The tau >= 0 of the outer level: groups whose norm is at most tau become
        zero. It is 0 if `X` is inside the ball, infinite beyond the largest float.
        Only if `return_threshold`.

    Raises
    ------
    TypeError
        If `X` is not of a real floating or integer type, or if an argument has the
        wrong type.
    ValueError
        If `radius` is negative or NaN, if `X` contains NaN or infinity, or if
        `axis` or `out` does not fit `X`.

    See Also
    --------
    projection_l1_ball : The nearest point of the same ball.
    projection_bilevel_l1inf_ball : Keeps the kept groups dense.

    Notes
    -----
    Time linear in the number of entries. The result is in the ball but is not its
    nearest point; for dense input it usually has more zero groups. It loses exactly
    what it must in the norm of the ball: ``norm(X - P) + norm(P) == norm(X)`` [1]_.

    References
    ----------
    .. [1] M. Barlaud, G. Perez, J.-P. Marmorat, "A new linear time bi-level l1,inf
       projection; application to the sparsification of auto-encoders neural
       networks", :arxiv:`2407.16293`.

    Examples
    --------
    >>> import numpy as np
    >>> from skproj.projection import norm_l11, projection_bilevel_l11_ball
    >>> X = np.array([[3.0, 1.0, 0.5], [-1.0, 1.0, 0.0]])
    >>> norm_l11(X)
    6.5
    >>> P = projection_bilevel_l11_ball(X, 2.0)
    >>> P
    array([[2., 0., 0.],
           [0., 0., 0.]])
    >>> norm_l11(P)
    2.0
    """
    return project(
        X,
        radius,
        SOLVE_BILEVEL[_groups.L1],
        norm=_groups.L1,
        axis=axis,
        out=out,
        n_threads=n_threads,
        return_threshold=return_threshold,
    )


def projection_bilevel_l12_ball(
    X, radius, *, axis=0, out=None, n_threads=None, return_threshold=False
):
    r"""Project an array onto the l1,2 ball in two levels.

    .. math::

        p_j = \operatorname*{argmin}_{\|p\|_2 \le u_j} \|p - x_j\|_2^2,
        \qquad u = \operatorname*{argmin}_{\|u\|_1 \le \text{radius}}
        \sum_j (u_j - \|x_j\|_2)^2

    The l2 norms of the groups are projected onto the l1 ball, then each group is
    shortened to what it was given. This is the exact projection as well:
    `projection_l12_ball` is the same operator under the name of its ball.

    Parameters
    ----------
    X : array-like or sparse matrix, usually of shape (n_rows, n_columns)
        Input of dtype float32 or float64; integers are converted to float64.
    radius : float
        Radius of the ball; 0 gives zeros, infinity gives `X`.
    axis : int, tuple of int or None, default=0
        What the inner norm runs along, as in ``np.linalg.norm(X, axis=0)``: with
        ``axis=0`` the groups of a matrix are its columns. None makes the whole
        array one group.
    out : ndarray of the shape and dtype of `X`, default=None
        Where to write the result; `X` itself projects in place. Nothing is
        written if an argument is refused. It must be None if `X` is sparse.
    n_threads : int, default=None
        Number of OpenMP threads. None takes those of OpenMP if the array is large, and
        one otherwise; negative values count from the number of CPUs (-1 is all). The
        result does not depend on it.
    return_threshold : bool, default=False
        Whether to return the threshold as well.

    Returns
    -------
    P : ndarray or sparse matrix of the shape and dtype of `X`
        The projection. Empty arrays come back empty. It is sparse if `X` is, in CSC if
        `X` is and in CSR otherwise, and stores no zeros.
    threshold : float
        The tau >= 0 of the outer level: groups whose norm is at most tau become
        zero. It is 0 if `X` is inside the ball, infinite beyond the largest float.
        Only if `return_threshold`.

    Raises
    ------
    TypeError
        If `X` is not of a real floating or integer type, or if an argument has the
        wrong type.
    ValueError
        If `radius` is negative or NaN, if `X` contains NaN or infinity, or if
        `axis` or `out` does not fit `X`.

    See Also
    --------
    projection_l12_ball : The same operator.
    projection_bilevel_l1inf_ball : Clips the groups instead of scaling them.

    Notes
    -----
    Time linear in the number of entries. ``norm(X - P) + norm(P) == norm(X)`` holds
    in the l1,2 norm [1]_.

    References
    ----------
    .. [1] M. Barlaud, G. Perez, J.-P. Marmorat, "A new linear time bi-level l1,inf
       projection; application to the sparsification of auto-encoders neural
       networks", :arxiv:`2407.16293`.

    Examples
    --------
    >>> import numpy as np
    >>> from skproj.projection import norm_l12, projection_bilevel_l12_ball
    >>> X = np.array([[3.0, 0.6, 0.5], [-4.0, 0.8, 0.0]])
    >>> P = projection_bilevel_l12_ball(X, 2.5)
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


def projection_bilevel_l1inf_ball(
    X, radius, *, axis=0, out=None, n_threads=None, return_threshold=False
):
    r"""Project an array onto the l1,inf ball in two levels.

    .. math::

        p_j = \operatorname*{argmin}_{\|p\|_\infty \le u_j} \|p - x_j\|_2^2,
        \qquad u = \operatorname*{argmin}_{\|u\|_1 \le \text{radius}}
        \sum_j (u_j - \|x_j\|_\infty)^2

    The maxima of the groups are projected onto the l1 ball, then each group is
    clipped at what it was given. Groups whose maximum is small become zero.

    Parameters
    ----------
    X : array-like or sparse matrix, usually of shape (n_rows, n_columns)
        Input of dtype float32 or float64; integers are converted to float64.
    radius : float
        Radius of the ball; 0 gives zeros, infinity gives `X`.
    axis : int, tuple of int or None, default=0
        What the inner norm runs along, as in ``np.linalg.norm(X, axis=0)``: with
        ``axis=0`` the groups of a matrix are its columns. None makes the whole
        array one group.
    out : ndarray of the shape and dtype of `X`, default=None
        Where to write the result; `X` itself projects in place. Nothing is
        written if an argument is refused. It must be None if `X` is sparse.
    n_threads : int, default=None
        Number of OpenMP threads. None takes those of OpenMP if the array is large, and
        one otherwise; negative values count from the number of CPUs (-1 is all). The
        result does not depend on it.
    return_threshold : bool, default=False
        Whether to return the threshold as well.

    Returns
    -------
    P : ndarray or sparse matrix of the shape and dtype of `X`
        The projection. Empty arrays come back empty. It is sparse if `X` is, in CSC if
        `X` is and in CSR otherwise, and stores no zeros.
    threshold : float
        The tau >= 0 of the outer level: groups whose norm is at most tau become
        zero. It is 0 if `X` is inside the ball. Only if `return_threshold`.

    Raises
    ------
    TypeError
        If `X` is not of a real floating or integer type, or if an argument has the
        wrong type.
    ValueError
        If `radius` is negative or NaN, if `X` contains NaN or infinity, or if
        `axis` or `out` does not fit `X`.

    See Also
    --------
    projection_l1inf_ball : The nearest point of the same ball.
    projection_bilevel_l12_ball : Scales the groups instead of clipping them.

    Notes
    -----
    Time linear in the number of entries. The result is in the ball but is not its
    nearest point; for dense input it usually has more zero groups. It loses exactly
    what it must in the norm of the ball: ``norm(X - P) + norm(P) == norm(X)`` [1]_.

    References
    ----------
    .. [1] M. Barlaud, G. Perez, J.-P. Marmorat, "A new linear time bi-level l1,inf
       projection; application to the sparsification of auto-encoders neural
       networks", :arxiv:`2407.16293`.

    Examples
    --------
    >>> import numpy as np
    >>> from skproj.projection import norm_l1inf, projection_bilevel_l1inf_ball
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
    return project(
        X,
        radius,
        SOLVE_BILEVEL[_groups.LINF],
        norm=_groups.LINF,
        axis=axis,
        out=out,
        n_threads=n_threads,
        return_threshold=return_threshold,
    )
