"""Mixed norms of arrays."""

import numpy as np

from skproj._kernels import _groups
from skproj.projection._engine import safe_norms, threads_for
from skproj.projection._layout import check_array, check_axis, groups_of


def _mixed_norm(X, inner, outer, axis, n_threads):
    """Norm `outer` (a NumPy reduction) of the `inner` norms of the groups."""
    X = check_array(X)
    axes = check_axis(axis, X.ndim)
    n_threads = threads_for(X, n_threads)
    if X.size == 0:
        return 0.0
    _, norms, exponent = safe_norms(groups_of(X, axes), inner, n_threads)
    with np.errstate(over="ignore"):
        return float(np.ldexp(outer(norms), exponent))


def norm_l11(X, *, axis=0, n_threads=None):
    r"""Compute the l1,1 norm: the sum of the absolute values.

    .. math::

        \|X\|_{1,1} = \sum_j \sum_i |x_{ij}|

    Parameters
    ----------
    X : array-like of any shape, usually (n_rows, n_columns)
        Input of dtype float32 or float64; integers are converted to float64.
    axis : int, tuple of int or None, default=0
        What the inner norm runs along, as in ``np.linalg.norm(X, axis=0)``: with
        ``axis=0`` the groups of a matrix are its columns. None makes the whole
        array one group.
    n_threads : int, default=None
        Number of OpenMP threads. None takes what OpenMP would use, negative values
        count from the number of CPUs (-1 is all).

    Returns
    -------
    norm : float
        The norm, summed in float64; 0 for an empty array.

    Raises
    ------
    TypeError
        If `X` is sparse or not of a real floating or integer type.
    ValueError
        If `X` contains NaN or infinity, or if `axis` does not fit `X`.

    See Also
    --------
    projection_bilevel_l11_ball : Projection onto the ball of this norm.
    projection_l1_ball : The nearest point of the same ball.

    Examples
    --------
    >>> from skproj.projection import norm_l11
    >>> norm_l11([[3.0, 1.0], [-4.0, 0.0]])
    8.0
    """
    return _mixed_norm(X, _groups.L1, np.sum, axis, n_threads)


def norm_l12(X, *, axis=0, n_threads=None):
    r"""Compute the l1,2 norm: the sum of the l2 norms of the groups.

    .. math::

        \|X\|_{1,2} = \sum_j \Big(\sum_i x_{ij}^2\Big)^{1/2}

    Parameters
    ----------
    X : array-like of any shape, usually (n_rows, n_columns)
        Input of dtype float32 or float64; integers are converted to float64.
    axis : int, tuple of int or None, default=0
        What the inner norm runs along, as in ``np.linalg.norm(X, axis=0)``: with
        ``axis=0`` the groups of a matrix are its columns. None makes the whole
        array one group.
    n_threads : int, default=None
        Number of OpenMP threads. None takes what OpenMP would use, negative values
        count from the number of CPUs (-1 is all).

    Returns
    -------
    norm : float
        The norm, summed in float64; 0 for an empty array.

    Raises
    ------
    TypeError
        If `X` is sparse or not of a real floating or integer type.
    ValueError
        If `X` contains NaN or infinity, or if `axis` does not fit `X`.

    See Also
    --------
    projection_l12_ball : Projection onto the ball of this norm.

    Examples
    --------
    >>> from skproj.projection import norm_l12
    >>> norm_l12([[3.0, 1.0], [-4.0, 0.0]])
    6.0
    """
    return _mixed_norm(X, _groups.L2, np.sum, axis, n_threads)


def norm_l1inf(X, *, axis=0, n_threads=None):
    r"""Compute the l1,inf norm: the sum of the maxima of the groups.

    .. math::

        \|X\|_{1,\infty} = \sum_j \max_i |x_{ij}|

    Parameters
    ----------
    X : array-like of any shape, usually (n_rows, n_columns)
        Input of dtype float32 or float64; integers are converted to float64.
    axis : int, tuple of int or None, default=0
        What the inner norm runs along, as in ``np.linalg.norm(X, axis=0)``: with
        ``axis=0`` the groups of a matrix are its columns. None makes the whole
        array one group.
    n_threads : int, default=None
        Number of OpenMP threads. None takes what OpenMP would use, negative values
        count from the number of CPUs (-1 is all).

    Returns
    -------
    norm : float
        The norm, summed in float64; 0 for an empty array.

    Raises
    ------
    TypeError
        If `X` is sparse or not of a real floating or integer type.
    ValueError
        If `X` contains NaN or infinity, or if `axis` does not fit `X`.

    See Also
    --------
    projection_l1inf_ball : Projection onto the ball of this norm.
    norm_linf1 : The dual norm.

    Examples
    --------
    >>> from skproj.projection import norm_l1inf
    >>> norm_l1inf([[3.0, 1.0], [-4.0, 0.0]])
    5.0
    """
    return _mixed_norm(X, _groups.LINF, np.sum, axis, n_threads)


def norm_linf1(X, *, axis=0, n_threads=None):
    r"""Compute the linf,1 norm: the largest l1 norm of a group.

    .. math::

        \|X\|_{\infty,1} = \max_j \sum_i |x_{ij}|

    Parameters
    ----------
    X : array-like of any shape, usually (n_rows, n_columns)
        Input of dtype float32 or float64; integers are converted to float64.
    axis : int, tuple of int or None, default=0
        What the inner norm runs along, as in ``np.linalg.norm(X, axis=0)``: with
        ``axis=0`` the groups of a matrix are its columns. None makes the whole
        array one group.
    n_threads : int, default=None
        Number of OpenMP threads. None takes what OpenMP would use, negative values
        count from the number of CPUs (-1 is all).

    Returns
    -------
    norm : float
        The norm, summed in float64; 0 for an empty array.

    Raises
    ------
    TypeError
        If `X` is sparse or not of a real floating or integer type.
    ValueError
        If `X` contains NaN or infinity, or if `axis` does not fit `X`.

    See Also
    --------
    norm_l1inf : The dual norm.

    Examples
    --------
    >>> from skproj.projection import norm_linf1
    >>> norm_linf1([[3.0, 1.0], [-4.0, 0.0]])
    7.0
    """
    return _mixed_norm(X, _groups.L1, np.max, axis, n_threads)
