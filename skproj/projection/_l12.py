"""The l1,2 ball (group lasso)."""

from skproj._kernels import _groups
from skproj.projection._bilevel import SOLVE_BILEVEL
from skproj.projection._engine import project


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
        The tau >= 0 by which the l2 norm of each group is reduced; 0 if `X` is
        inside the ball, infinite beyond the largest float. Only if
        `return_threshold`.

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
    projection_bilevel_l12_ball : Another name of this function.
    projection_l1inf_ball : Clips the groups instead of scaling them.

    Notes
    -----
    Two passes over the array and one l1 projection of the norms of the groups.
    Sums of squares are carried in float64 and scaled where they would overflow.

    References
    ----------
    .. [1] M. Yuan, Y. Lin, "Model selection and estimation in regression with
       grouped variables", J. R. Stat. Soc. B 68 (2006),
       :doi:`10.1111/j.1467-9868.2005.00532.x`.

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
