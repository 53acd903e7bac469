"""Proximity operators of the norms, each a projection onto a ball of the dual norm."""

import numpy as np

from skproj._kernels import _groups
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


def prox_l1(X, alpha, *, out=None, n_threads=None):
    r"""Apply the proximity operator of the l1 norm.

    .. math::

        \operatorname*{argmin}_{P} \tfrac12 \|P - X\|^2 + \alpha \|P\|_1

    The soft threshold: entries of at most alpha become zero, the others lose alpha.

    Parameters
    ----------
    X : array-like of any shape, or sparse matrix
        Input of dtype float32 or float64; integers are converted to float64.
    alpha : float
        Non-negative factor of the norm, a step size times a penalty; 0 gives `X`,
        infinity gives zeros.
    out : ndarray of the shape and dtype of `X`, default=None
        Where to write the result; may be `X` itself. Nothing is written if an
        argument is refused. It must be None if `X` is sparse.
    n_threads : int, default=None
        Number of OpenMP threads. None takes those of OpenMP if the array is large, and
        one otherwise; negative values count from the number of CPUs (-1 is all). The
        result does not depend on it.

    Returns
    -------
    P : ndarray or sparse matrix of the shape and dtype of `X`
        The minimiser. Empty arrays come back empty. It is sparse if `X` is, in CSC if
        `X` is and in CSR otherwise, and stores no zeros.

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
    .. [1] N. Parikh, S. Boyd, "Proximal algorithms", Foundations and Trends in
       Optimization 1 (2014), :doi:`10.1561/2400000003`.

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


def prox_l12(X, alpha, *, axis=0, out=None, n_threads=None):
    r"""Apply the proximity operator of the l1,2 norm.

    .. math::

        \operatorname*{argmin}_{P} \tfrac12 \|P - X\|^2 + \alpha \sum_j \|p_j\|_2

    Groups (columns for ``axis=0``) whose l2 norm is at most alpha become zero, the
    others lose alpha in norm and keep their direction.

    Parameters
    ----------
    X : array-like or sparse matrix, usually of shape (n_rows, n_columns)
        Input of dtype float32 or float64; integers are converted to float64.
    alpha : float
        Non-negative factor of the norm, a step size times a penalty; 0 gives `X`,
        infinity gives zeros.
    axis : int, tuple of int or None, default=0
        What the inner norm runs along, as in ``np.linalg.norm(X, axis=0)``: with
        ``axis=0`` the groups of a matrix are its columns. None makes the whole
        array one group.
    out : ndarray of the shape and dtype of `X`, default=None
        Where to write the result; may be `X` itself. Nothing is written if an
        argument is refused. It must be None if `X` is sparse.
    n_threads : int, default=None
        Number of OpenMP threads. None takes those of OpenMP if the array is large, and
        one otherwise; negative values count from the number of CPUs (-1 is all). The
        result does not depend on it.

    Returns
    -------
    P : ndarray or sparse matrix of the shape and dtype of `X`
        The minimiser. Empty arrays come back empty. It is sparse if `X` is, in CSC if
        `X` is and in CSR otherwise, and stores no zeros.

    Raises
    ------
    TypeError
        If `X` is not of a real floating or integer type, or if an argument has the
        wrong type.
    ValueError
        If `alpha` is negative or NaN, if `X` contains NaN or infinity, or if
        `axis` or `out` does not fit `X`.

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
    .. [1] M. Yuan, Y. Lin, "Model selection and estimation in regression with
       grouped variables", J. R. Stat. Soc. B 68 (2006),
       :doi:`10.1111/j.1467-9868.2005.00532.x`.

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


def prox_l1inf(X, alpha, *, axis=0, out=None, n_threads=None):
    r"""Apply the proximity operator of the l1,inf norm.

    .. math::

        \operatorname*{argmin}_{P} \tfrac12 \|P - X\|^2 + \alpha \sum_j \max_i |p_{ij}|

    Each group (column for ``axis=0``) is clipped where the part above adds up to alpha,
    and becomes zero if its l1 norm is at most alpha.

    Parameters
    ----------
    X : array-like or sparse matrix, usually of shape (n_rows, n_columns)
        Input of dtype float32 or float64; integers are converted to float64.
    alpha : float
        Non-negative factor of the norm, a step size times a penalty; 0 gives `X`,
        infinity gives zeros.
    axis : int, tuple of int or None, default=0
        What the inner norm runs along, as in ``np.linalg.norm(X, axis=0)``: with
        ``axis=0`` the groups of a matrix are its columns. None makes the whole
        array one group.
    out : ndarray of the shape and dtype of `X`, default=None
        Where to write the result; may be `X` itself. Nothing is written if an
        argument is refused. It must be None if `X` is sparse.
    n_threads : int, default=None
        Number of OpenMP threads. None takes those of OpenMP if the array is large, and
        one otherwise; negative values count from the number of CPUs (-1 is all). The
        result does not depend on it.

    Returns
    -------
    P : ndarray or sparse matrix of the shape and dtype of `X`
        The minimiser. Empty arrays come back empty. It is sparse if `X` is, in CSC if
        `X` is and in CSR otherwise, and stores no zeros.

    Raises
    ------
    TypeError
        If `X` is not of a real floating or integer type, or if an argument has the
        wrong type.
    ValueError
        If `alpha` is negative or NaN, if `X` contains NaN or infinity, or if
        `axis` or `out` does not fit `X`.

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
    .. [1] N. Parikh, S. Boyd, "Proximal algorithms", Foundations and Trends in
       Optimization 1 (2014), :doi:`10.1561/2400000003`.

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


def prox_linf1(X, alpha, *, axis=0, out=None, n_threads=None):
    r"""Apply the proximity operator of the linf,1 norm.

    .. math::

        \operatorname*{argmin}_{P} \tfrac12 \|P - X\|^2 + \alpha \max_j \sum_i |p_{ij}|

    The groups (columns for ``axis=0``) with the largest l1 norms are soft-thresholded
    down to a common l1 norm; the other groups stay as they are.

    Parameters
    ----------
    X : array-like or sparse matrix, usually of shape (n_rows, n_columns)
        Input of dtype float32 or float64; integers are converted to float64.
    alpha : float
        Non-negative factor of the norm, a step size times a penalty; 0 gives `X`,
        infinity gives zeros.
    axis : int, tuple of int or None, default=0
        What the inner norm runs along, as in ``np.linalg.norm(X, axis=0)``: with
        ``axis=0`` the groups of a matrix are its columns. None makes the whole
        array one group.
    out : ndarray of the shape and dtype of `X`, default=None
        Where to write the result; may be `X` itself. Nothing is written if an
        argument is refused. It must be None if `X` is sparse.
    n_threads : int, default=None
        Number of OpenMP threads. None takes those of OpenMP if the array is large, and
        one otherwise; negative values count from the number of CPUs (-1 is all). The
        result does not depend on it.

    Returns
    -------
    P : ndarray or sparse matrix of the shape and dtype of `X`
        The minimiser. Empty arrays come back empty. It is sparse if `X` is, in CSC if
        `X` is and in CSR otherwise, and stores no zeros.

    Raises
    ------
    TypeError
        If `X` is not of a real floating or integer type, or if an argument has the
        wrong type.
    ValueError
        If `alpha` is negative or NaN, if `X` contains NaN or infinity, or if
        `axis` or `out` does not fit `X`.

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
    .. [1] G. Perez, L. Condat, M. Barlaud, "Near-linear time projection onto the
       l1,inf ball; application to sparse autoencoders", :arxiv:`2307.09836`.

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
