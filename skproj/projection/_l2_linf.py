"""The l2 and the l_inf ball, which make nothing zero."""

import numpy as np

from skproj._kernels import _groups
from skproj.projection._engine import INSIDE, Solution, project
from skproj.projection._norms import mend_norms


def solve_l2(groups, norms, radius, n_threads):
    mend_norms(groups, _groups.L2, norms, n_threads)
    factors = np.minimum(norms, radius)
    lost = norms - factors
    if _groups.smallest_and_largest(lost)[1] == 0.0:
        return INSIDE
    _groups.scale_factors(norms, factors)
    return Solution(_groups.SCALE, factors, lost)


def solve_linf(groups, norms, radius, n_threads):
    levels = np.minimum(norms, radius)
    lost = norms - levels
    if _groups.smallest_and_largest(lost)[1] == 0.0:
        return INSIDE
    return Solution(_groups.CLIP, levels, lost)


def projection_l2_ball(
    X, radius, *, axis=None, out=None, n_threads=None, return_threshold=False
):
    r"""Project an array, or each slice of it, onto the l2 ball.

    .. math::

        \operatorname*{argmin}_{p} \|p - x\|_2^2 \quad \text{subject to} \quad
        \|p\|_2 \le \text{radius}

    A vector outside the ball keeps its direction and is shortened. Entries become
    smaller, but none becomes zero.

    Parameters
    ----------
    X : array-like of any shape, or sparse matrix
        Input of dtype float32 or float64; integers are converted to float64.
    radius : float
        Radius of the ball; 0 gives zeros, infinity gives `X`.
    axis : int, tuple of int or None, default=None
        None projects the whole array as one vector; otherwise each slice along
        `axis` is projected by itself onto the ball.
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
    threshold : float, or ndarray of the shape of `X` without `axis`
        What the norm loses: ``max(norm - radius, 0)``, infinite beyond the largest
        float. Only if `return_threshold`.

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
    projection_l12_ball : One radius for the sum of the norms of the slices.
    norm_l2 : The norm of this ball.

    Notes
    -----
    Two passes over the array. Sums of squares are carried in float64 and scaled
    where they would overflow or underflow.

    References
    ----------
    .. [1] N. Parikh, S. Boyd, "Proximal algorithms", Foundations and Trends in
       Optimization 1 (2014), :doi:`10.1561/2400000003`.

    Examples
    --------
    >>> import numpy as np
    >>> from skproj.projection import projection_l2_ball
    >>> x = np.array([3.0, -4.0])
    >>> p, threshold = projection_l2_ball(x, 2.5, return_threshold=True)
    >>> p
    array([ 1.5, -2. ])
    >>> threshold
    2.5
    """
    return project(
        X,
        radius,
        solve_l2,
        norm=_groups.L2,
        axis=axis,
        out=out,
        n_threads=n_threads,
        return_threshold=return_threshold,
        batched=True,
    )


def projection_linf_ball(
    X, radius, *, axis=None, out=None, n_threads=None, return_threshold=False
):
    r"""Project an array, or each slice of it, onto the l_inf ball.

    .. math::

        \operatorname*{argmin}_{p} \|p - x\|_2^2 \quad \text{subject to} \quad
        \max_i |p_i| \le \text{radius}

    Entries are clipped to the interval from ``-radius`` to ``radius``. No entry
    becomes zero.

    Parameters
    ----------
    X : array-like of any shape, or sparse matrix
        Input of dtype float32 or float64; integers are converted to float64.
    radius : float
        Radius of the ball; 0 gives zeros, infinity gives `X`.
    axis : int, tuple of int or None, default=None
        None projects the whole array as one vector; otherwise each slice along
        `axis` is projected by itself onto the ball.
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
    threshold : float, or ndarray of the shape of `X` without `axis`
        What the norm loses: ``max(norm - radius, 0)``. Only if `return_threshold`.

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
    projection_l1inf_ball : One radius for the sum of the maxima of the slices.
    norm_linf : The norm of this ball.

    Notes
    -----
    Two passes over the array; without a threshold, ``np.clip`` does the same.

    References
    ----------
    .. [1] N. Parikh, S. Boyd, "Proximal algorithms", Foundations and Trends in
       Optimization 1 (2014), :doi:`10.1561/2400000003`.

    Examples
    --------
    >>> import numpy as np
    >>> from skproj.projection import projection_linf_ball
    >>> x = np.array([3.0, -4.0, 1.0])
    >>> p, threshold = projection_linf_ball(x, 2.0, return_threshold=True)
    >>> p
    array([ 2., -2.,  1.])
    >>> threshold
    2.0
    """
    return project(
        X,
        radius,
        solve_linf,
        norm=_groups.LINF,
        axis=axis,
        out=out,
        n_threads=n_threads,
        return_threshold=return_threshold,
        batched=True,
    )
