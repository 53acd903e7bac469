"""The exact projection onto the l1,inf ball."""

import numpy as np

from skproj._kernels import _groups, _l1inf, _l1inf_sample
from skproj.projection._engine import INSIDE, Solution, project, share_out
from skproj.projection._sparse import Segments

# Entries of the groups that are solved for on their own: a few megabytes.
FEW_ENTRIES = 1 << 20
# From so many entries on an estimate from samples pays, if the groups are not short.
SAMPLED_ENTRIES = 1 << 18
SHORT_GROUP = 64


def _theta_of_few(groups, norms, radius, start, picked, levels, n_threads):
    """Solve for the levels of the picked groups as if there were no others.

    The theta it returns is at most that of all groups, and the same if the l1 norms of
    the others are not above it; it is `start`, and no level is written, if the picked
    groups alone are inside the ball.
    """
    l1, largest = np.take(norms, picked, axis=1)
    if largest.sum() <= radius:
        return start
    if groups.strides[1] == groups.itemsize:
        few = groups[picked]
    else:
        few = np.empty((len(picked), groups.shape[1]), dtype=groups.dtype)
        _l1inf_sample.pick_groups(groups, picked, few)
    some_levels = np.empty(len(picked))
    theta = _l1inf.l1inf_levels(
        few,
        l1,
        largest,
        radius,
        _l1inf_sample.no_estimate(start),
        some_levels,
        n_threads,
    )
    levels[:] = 0.0
    levels[picked] = some_levels
    return theta


def _levels_of_segments(groups, l1, radius, theta, n_threads):
    """Solve for the levels and theta by Newton's method, from left of the root."""
    levels, offsets = np.empty((2, len(groups)))
    counts, before = np.zeros((2, len(groups)), dtype=np.intp)
    while True:
        thetas = np.full(len(groups), theta)
        groups.thresholds(l1, thetas, levels, offsets, n_threads, counts=counts)
        levels += offsets
        alive = np.flatnonzero(counts)
        if len(alive) == 0:
            return levels, theta
        slopes = 1.0 / counts[alive]
        step = (levels.sum() - radius) / slopes.sum()
        if not theta + step > theta or np.array_equal(counts, before):
            break
        theta += step
        before[:] = counts
    # The levels are linear between here and the root.
    levels[alive] = np.maximum(levels[alive] - step * slopes, 0.0)
    total = levels.sum()
    if total > radius:
        levels *= radius / total
    return levels, theta + step


def solve_l1inf(groups, norms, radius, n_threads):
    """Solve for the clipping levels, from the l1 and the l_inf norms of the groups."""
    l1, largest = norms
    size = groups.shape[1]
    levels, tau = share_out(largest, radius)
    if tau == 0.0:
        return INSIDE
    if radius == 0.0:
        return Solution(_groups.CLIP, levels, l1.max())
    # mu_j is at least max_j - theta and at least (l1_j - theta) / size; the theta
    # that makes either bound add up to the radius is left of the root.
    _, theta = share_out(l1, radius * size)
    theta = max(theta, tau)
    if isinstance(groups, Segments):
        levels, theta = _levels_of_segments(groups, l1, radius, theta, n_threads)
        return Solution(_groups.CLIP, levels, theta)
    estimate = _l1inf_sample.no_estimate(theta)
    if groups.size > FEW_ENTRIES:
        # With a small radius only the groups with the largest l1 norms are left: solve
        # for these, then for all groups that have not turned out to be zero.
        few = max(FEW_ENTRIES // 8 // size, 1)
        if few < len(l1):
            picked = np.sort(np.argpartition(l1, -few)[-few:])
            few_theta = _theta_of_few(
                groups, norms, radius, theta, picked, levels, n_threads
            )
            theta = max(theta, few_theta)
        alive = np.flatnonzero(l1 > theta)
        if len(alive) * size <= FEW_ENTRIES and largest[alive].sum() > radius:
            theta = _theta_of_few(
                groups, norms, radius, theta, alive, levels, n_threads
            )
            return Solution(_groups.CLIP, levels, theta)
    if groups.size > (FEW_ENTRIES if size < SHORT_GROUP else SAMPLED_ENTRIES):
        estimate = _l1inf_sample.estimate_theta(groups, l1, radius, theta)
    theta = _l1inf.l1inf_levels(
        groups, l1, largest, radius, estimate, levels, n_threads
    )
    return Solution(_groups.CLIP, levels, theta)


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
        Number of OpenMP threads. None takes what OpenMP would use, negative values
        count from the number of CPUs (-1 is all). The result does not depend on it.
    return_threshold : bool, default=False
        Whether to return the threshold as well.

    Returns
    -------
    P : ndarray or sparse matrix of the shape and dtype of `X`
        The projection. Empty arrays come back empty. It is sparse if `X` is, in CSC if
        `X` is and in CSR otherwise, and stores no zeros.
    threshold : float
        The theta >= 0 that every kept group loses in l1 norm; 0 if `X` is inside
        the ball. Only if `return_threshold`.

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
    projection_bilevel_l1inf_ball : Cheaper and usually sparser; not the nearest point.
    norm_l1inf : The norm of this ball.
    norm_linf1 : Its dual.

    Notes
    -----
    Newton's method for theta around Newton's method for the level of each group. Of
    large arrays a sample tells where theta and the levels are; one pass collects the
    few entries near the levels, on which the search ends. A sample that misleads costs
    time, never exactness. Sums are carried in float64.

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
