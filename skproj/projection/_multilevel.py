"""Multi-level projections of tensors: from the outer norm inwards, level by level."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skproj._typing import ArrayLike, Axes, Integer, Number, Out, Projected
from skproj.projection._arrays import array_function
from skproj.projection._bilevel import BILEVEL, project_each_group
from skproj.projection._engine import INSIDE, Solver, project
from skproj.projection._l1 import ONTO_L1
from skproj.projection._l2_linf import ONTO_L2, ONTO_LINF
from skproj.projection._layout import check_array, check_axis, groups_shape
from skproj.projection._norms import (
    KERNEL_NORMS,
    mixed_norm,
    norm_of_slices,
    rescale_unsafe_norms,
)

SOLVERS = {1: ONTO_L1, 2: ONTO_L2, np.inf: ONTO_LINF}


def _check_levels(norms, axes, ndim):
    """Return the norms as a tuple, and a list with a tuple of axes for each of them."""
    try:
        norms = tuple(norms)
        known = len(norms) > 0 and KERNEL_NORMS.keys() >= set(norms)
        known = known and not any(isinstance(order, bool) for order in norms)
    except TypeError:  # not a sequence, or of something that is no number
        known = False
    if not known:
        raise ValueError(
            f"norms must be a non-empty sequence of 1, 2 and inf, got {norms!r}."
        )
    each = "a sequence with one axis, or tuple of axes"
    return norms, check_axes_of_levels(axes, len(norms), ndim, check_axis, "axes", each)


def check_axes_of_levels(axes, n_levels, ndim, check, name, each):
    """Return a list with the axes of each level; `check` is for those of one of them.

    `name` and `each` say what `axes` are called, and what they must be.
    """
    if axes is None:
        if n_levels != ndim:
            raise ValueError(
                f"norms must have one entry for each of the {ndim} dimensions of X "
                f"if {name} is None, got {n_levels}."
            )
        return [(i,) for i in reversed(range(ndim))]
    if not isinstance(axes, tuple | list) or len(axes) != n_levels:
        raise ValueError(
            f"{name} must be {each}, for each of the {n_levels} norms, got {axes!r}."
        )
    levels = [check(() if axis is None else axis, ndim) for axis in axes]
    if sorted(i for level in levels for i in level) != list(range(ndim)):
        raise ValueError(
            f"{name} must name each of the {ndim} dimensions of X once, got {axes!r}."
        )
    return levels


def _without(axes, removed):
    """Axes of an array from which the dimensions `removed` have been reduced away."""
    return [tuple(i - sum(j < i for j in removed) for i in level) for level in axes]


@array_function("levels")
def projection_multilevel(
    X: ArrayLike,
    radius: Number,
    norms: Sequence[Number] = (1, np.inf, np.inf),
    *,
    axes: Axes = None,
    out: Out = None,
    n_threads: Integer | None = None,
    return_threshold: bool = False,
) -> Projected:
    r"""Project a tensor onto the ball of a norm of norms, level by level.

    .. math::

        V = \big(\|x_j\|_q\big)_j, \qquad
        U = \operatorname{multilevel}(V, \text{radius}), \qquad
        p_j = \operatorname*{argmin}_{\|p\|_q \le u_j} \|p - x_j\|_2^2

    The fibres of the innermost level are replaced by their norms, the smaller tensor
    is projected in the same way, and each fibre then onto the ball of what it was
    given. With an outer l1 norm whole slices become zero: filters or channels of a
    convolution, which can be removed from the network.

    Returns
    -------
    threshold : float
        That of the outermost level: with an outer l1 norm the tau >= 0 such that
        slices whose norm is at most tau become zero, otherwise what the norm loses,
        ``max(norm - radius, 0)``. Infinite beyond the largest float. Only if
        `return_threshold`.

    Raises
    ------
    ValueError
        If `radius` is negative or NaN, if `X` contains NaN or infinity, or if
        `norms`, `axes` or `out` does not fit `X`.

    See Also
    --------
    projection_bilevel_l1inf_ball : The same for ``norms=(1, inf)`` and a matrix.
    norm_multilevel : The norm of this ball.

    Notes
    -----
    Time linear in the number of entries; what is allocated besides the result is of
    the size of the first aggregated tensor. The result is in the ball but is in
    general not its nearest point [1]_; it is for ``norms=(1, 2)``, the group lasso.

    {multilevel_reference}

    Examples
    --------
    Half of the filters of a convolution, weights of shape (filters, channels, height,
    width), become zero:

    >>> W = np.arange(16.0).reshape(4, 1, 2, 2)
    >>> P = projection_multilevel(W, 4.0, (1, np.inf), axes=(0, (1, 2, 3)))
    >>> P.max(axis=(1, 2, 3))
    array([0., 0., 0., 4.])
    >>> norm_multilevel(P, (1, np.inf), axes=(0, (1, 2, 3)))
    4.0
    """
    X = check_array(X)
    norms, axes = _check_levels(norms, axes, X.ndim)
    return _project_levels(X, radius, norms, axes, out, n_threads, return_threshold)


def _project_levels(X, radius, norms, axes, out, n_threads, return_threshold):
    """Project an array onto the ball of levels that have been checked."""
    if len(norms) == 1:
        solver = SOLVERS[norms[0]]
        return project(X, radius, solver, None, out, n_threads, return_threshold)
    kernel_norm = KERNEL_NORMS[norms[-1]]

    def solve(groups, lengths, radius, n_threads):
        rescale_unsafe_norms(groups, kernel_norm, lengths, n_threads)
        budgets, threshold = _project_levels(
            lengths.reshape(groups_shape(X.shape, axes[-1])),
            radius,
            norms[:-1],
            _without(axes[:-1], axes[-1]),
            None,
            n_threads,
            True,
        )
        if threshold == 0.0:
            return INSIDE
        return project_each_group(
            kernel_norm, groups, lengths, budgets.reshape(-1), threshold, n_threads
        )

    is_bilevel = norms[:-1] == (1,)
    solver = BILEVEL[kernel_norm] if is_bilevel else Solver(solve, kernel_norm)
    return project(X, radius, solver, axes[-1], out, n_threads, return_threshold)


@array_function("norm of levels", ball="projection_multilevel")
def norm_multilevel(
    X: ArrayLike,
    norms: Sequence[Number] = (1, np.inf, np.inf),
    *,
    axes: Axes = None,
    n_threads: Integer | None = None,
) -> float:
    r"""Compute a norm of norms of a tensor.

    .. math::

        \|X\| = \big\| \big( \|x_j\|_q \big)_j \big\|

    The fibres of the innermost level are replaced by their norms, and so on outwards.

    Raises
    ------
    ValueError
        If `X` contains NaN or infinity, or if `norms` or `axes` does not fit `X`.

    >>> X = np.array([[[3.0, 1.0], [-4.0, 0.0]], [[0.0, 2.0], [0.0, 0.0]]])
    >>> norm_multilevel(X, (1, 2, np.inf))
    7.0
    """
    X = check_array(X)
    norms, axes = _check_levels(norms, axes, X.ndim)
    if len(norms) == 1 or X.size == 0:
        return norm_of_slices(X, KERNEL_NORMS[norms[0]], None, n_threads)
    *outer_axes, inner_axes = axes

    def norm_of(lengths):
        return norm_multilevel(
            lengths.reshape(groups_shape(X.shape, inner_axes)),
            norms[:-1],
            axes=_without(outer_axes, inner_axes),
            n_threads=n_threads,
        )

    return mixed_norm(X, KERNEL_NORMS[norms[-1]], norm_of, inner_axes, n_threads)
