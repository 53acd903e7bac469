"""The simplex and the l1 ball."""

from functools import partial

import numpy as np
from scipy.sparse import issparse

from skproj._kernels import _groups
from skproj.projection._docs import documented
from skproj.projection._engine import (
    INSIDE,
    Solution,
    group_norms,
    group_thresholds,
    project,
)
from skproj.projection._layout import FLOAT_DTYPES, check_array, check_radius

# The largest number of each type of entries.
LARGEST = {dtype: float(np.finfo(dtype).max) for dtype in FLOAT_DTYPES}


def _solve(groups, norms, radius, n_threads, *, signed):
    """Solve for a threshold per group; norms are l1, or l_inf if signed."""
    kind = _groups.SUBTRACT_AND_CLAMP if signed else _groups.SOFT
    levels, offsets, n_outside = group_thresholds(
        groups, norms, radius, n_threads, signed=signed
    )
    if n_outside == 0:
        return INSIDE
    thresholds = None
    is_empty = radius == 0.0
    if is_empty if isinstance(radius, float) else is_empty.any():
        # Nothing is left of a group without a budget: its threshold is its largest.
        tops = (
            groups.max(axis=1)
            if signed
            else group_norms(groups, _groups.LINF, n_threads)[0]
        )
        thresholds = np.where(is_empty, tops, levels + offsets)
    return Solution(kind, levels, thresholds, offsets)


_solve_l1 = partial(_solve, signed=False)
_solve_simplex = partial(_solve, signed=True)


@documented
def projection_simplex(
    X, radius=1.0, *, axis=None, out=None, n_threads=None, return_threshold=False
):
    r"""Project an array, or each slice of it, onto the simplex.

    .. math::

        \operatorname*{argmin}_{p} \|p - x\|_2^2 \quad \text{subject to} \quad
        p \ge 0, \ \sum_i p_i = \text{radius}

    Parameters
    ----------
    X : array-like of any shape
        Input of dtype float32 or float64; integers are converted to float64. Entries
        of minus infinity become zero.
    radius : float, default=1.0
        Sum of the result, finite and non-negative.
    axis : int, tuple of int or None, default=None
        None projects the whole array as one vector; otherwise each slice along
        `axis` is projected by itself and sums to `radius`.
    {dense_out}
    {n_threads}
    {return_threshold}

    Returns
    -------
    {dense_P}
    threshold : float, or ndarray of the shape of `X` without `axis`
        The tau, of any sign, with ``P = max(X - tau, 0)``; minus infinity below all
        floats. Only if `return_threshold`.

    Raises
    ------
    TypeError
        If `X` is sparse or not of a real floating or integer type, or if an
        argument has the wrong type.
    ValueError
        If `radius` is negative, NaN or infinite, if `X` contains NaN or infinity, or
        a slice of minus infinity only, or if `axis` or `out` does not fit `X`.

    See Also
    --------
    projection_l1_ball : The same set without the sign constraint, filled.

    Notes
    -----
    {threshold_search}

    References
    ----------
    {simplex_reference}

    Examples
    --------
    >>> import numpy as np
    >>> from skproj.projection import projection_simplex
    >>> projection_simplex(np.array([0.5, 1.0, -2.0]))
    array([0.25, 0.75, 0.  ])
    """
    if issparse(X):
        raise TypeError(
            "X is a sparse matrix, whose projection onto the simplex is not sparse; "
            "pass X.toarray() if it fits memory."
        )
    X = check_array(X)
    if check_radius(radius) > LARGEST[X.dtype]:
        raise ValueError(f"radius must be finite in {X.dtype}, got {radius!r} instead.")
    return project(
        X,
        radius,
        _solve_simplex,
        norm=_groups.LINF,
        axis=axis,
        out=out,
        n_threads=n_threads,
        return_threshold=return_threshold,
        batched=True,
        fill=True,
    )


@documented
def projection_l1_ball(
    X, radius, *, axis=None, out=None, n_threads=None, return_threshold=False
):
    r"""Project an array, or each slice of it, onto the l1 ball.

    .. math::

        \operatorname*{argmin}_{p} \|p - x\|_2^2 \quad \text{subject to} \quad
        \sum_i |p_i| \le \text{radius}

    The result is a soft threshold of `X`: single entries become zero, wherever
    they are. Use a ball with groups to make whole columns zero.

    Parameters
    ----------
    {X_of_slices}
    {ball_radius}
    {axis_of_slices}
    {out}
    {n_threads}
    {return_threshold}

    Returns
    -------
    {P_of_projection}
    threshold : float, or ndarray of the shape of `X` without `axis`
        The tau >= 0 with ``P = sign(X) * max(abs(X) - tau, 0)``; 0 if `X` is
        inside the ball. Only if `return_threshold`.

    {raises}

    See Also
    --------
    projection_simplex : Non-negative entries with a given sum.
    projection_bilevel_l11_ball : A budget for columns, then for their entries.

    Notes
    -----
    {threshold_search}

    References
    ----------
    {simplex_reference}

    Examples
    --------
    >>> import numpy as np
    >>> from skproj.projection import projection_l1_ball
    >>> x = np.array([3.0, -1.0, 0.5])
    >>> p, threshold = projection_l1_ball(x, 2.0, return_threshold=True)
    >>> p
    array([2., 0., 0.])
    >>> threshold
    1.0
    """
    return project(
        X,
        radius,
        _solve_l1,
        norm=_groups.L1,
        axis=axis,
        out=out,
        n_threads=n_threads,
        return_threshold=return_threshold,
        batched=True,
    )
