"""Norms of slices, and what all norms have in common."""

from __future__ import annotations

import functools

import numpy as np

from skproj._kernels import _groups
from skproj._typing import ArrayLike, Axis, Integer, Projected
from skproj.projection._arrays import array_function
from skproj.projection._engine import (
    SAFE_RANGE,
    group_norms,
    safe_norms,
    threads_for,
)
from skproj.projection._layout import (
    check_array,
    check_axis,
    groups_of,
    groups_shape,
)

# The norm inside a group, by its order.
KERNEL_NORMS = {1: _groups.L1, 2: _groups.L2, np.inf: _groups.LINF}


def rescale_unsafe_norms(groups, norm, norms, n_threads):
    """Compute again, in place, the norms whose sums left the range of a float.

    Each such group is divided by a power of two of its own first.
    """
    low, high = SAFE_RANGE
    smallest, extreme = _groups.smallest_and_largest(norms)
    if low <= smallest and extreme < high:  # false for NaN
        return
    unsafe = ~((low <= norms) & (norms < high))
    if norm != _groups.L2:  # which alone is 0 where squares are
        unsafe &= norms != 0.0
        if not unsafe.any():
            return
    largest, _, extreme = group_norms(groups, _groups.LINF, n_threads)
    if not np.isfinite(extreme):
        raise ValueError("X contains NaN or infinity.")
    unsafe &= largest > 0.0
    if unsafe.any():
        _, exponents = np.frexp(largest[unsafe])
        with np.errstate(over="ignore", under="ignore"):
            scaled = groups[unsafe].scaled(-exponents)
            rescaled, _, _ = group_norms(scaled, norm, n_threads)
            norms[unsafe] = np.ldexp(rescaled, exponents)


def _checked(X, axis, n_threads):
    """Check the arguments of a norm.

    Returns the groups of `X` (None if there are no entries), the shape of what remains
    when `axis` is reduced, and the number of threads.
    """
    X = check_array(X, accept_sparse=True)
    axes = check_axis(axis, X.ndim)
    n_threads = threads_for(X, n_threads, axes)
    groups = groups_of(X, axes) if X.size > 0 else None
    return groups, groups_shape(X.shape, axes), n_threads


def norm_of_slices(X, norm, axis, n_threads):
    """Norm of the whole array, or of each slice along `axis`."""
    groups, shape, n_threads = _checked(X, axis, n_threads)
    if groups is None:
        norms = np.zeros(shape)
    else:
        norms, _, _ = group_norms(groups, norm, n_threads)
        rescale_unsafe_norms(groups, norm, norms, n_threads)
    return norms.reshape(shape) if shape else float(norms.item())


def mixed_norm(X, inner, outer, axis, n_threads):
    """Norm `outer`, a function of a vector, of the `inner` norms of the groups."""
    groups, _, n_threads = _checked(X, axis, n_threads)
    if groups is None:
        return 0.0
    _, norms, exponent = safe_norms(groups, inner, n_threads)
    norm = outer(norms)
    if exponent:
        with np.errstate(over="ignore"):
            norm = np.ldexp(norm, exponent)
    return float(norm)


@array_function("norm of slices", ball="projection_l1_ball", dual="norm_linf")
def norm_l1(
    X: ArrayLike, *, axis: Axis = None, n_threads: Integer | None = None
) -> Projected:
    r"""Compute the l1 norm: the sum of the absolute values.

    .. math::

        \|x\|_1 = \sum_i |x_i|

    >>> norm_l1([[3.0, 1.0], [-4.0, 0.0]], axis=0)
    array([7., 1.])
    """
    return norm_of_slices(X, _groups.L1, axis, n_threads)


@array_function("norm of slices", ball="projection_l2_ball")
def norm_l2(
    X: ArrayLike, *, axis: Axis = None, n_threads: Integer | None = None
) -> Projected:
    r"""Compute the l2 norm: the length of a vector.

    .. math::

        \|x\|_2 = \Big(\sum_i x_i^2\Big)^{1/2}

    See Also
    --------
    norm_l12 : The sum of the norms of the slices.

    >>> X = [[3.0, 0.0], [-4.0, 12.0]]
    >>> norm_l2(X)
    13.0
    >>> norm_l2(X, axis=0)
    array([ 5., 12.])
    """
    return norm_of_slices(X, _groups.L2, axis, n_threads)


@array_function("norm of slices", ball="projection_linf_ball", dual="norm_l1")
def norm_linf(
    X: ArrayLike, *, axis: Axis = None, n_threads: Integer | None = None
) -> Projected:
    r"""Compute the linf norm: the largest absolute value.

    .. math::

        \|x\|_\infty = \max_i |x_i|

    >>> norm_linf([[3.0, 1.0], [-4.0, 0.0]], axis=0)
    array([4., 1.])
    """
    return norm_of_slices(X, _groups.LINF, axis, n_threads)


@functools.wraps(norm_l2, assigned=("__doc__",))
def l2_of_all(X, *, axis=0, n_threads=None):
    return norm_l2(X, n_threads=n_threads)


@functools.wraps(norm_linf, assigned=("__doc__",))
def linf_of_all(X, *, axis=0, n_threads=None):
    return norm_linf(X, n_threads=n_threads)
