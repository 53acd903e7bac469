"""From a wanted number of groups to the radius that leaves it."""

from __future__ import annotations

import math
import numbers

import numpy as np

from skproj._kernels import _groups
from skproj._typing import ArrayLike, Axis, Integer, Number
from skproj.projection._arrays import array_function
from skproj.projection._engine import (
    group_norms,
    group_thresholds,
    project,
    safe_norms,
    threads_for,
)
from skproj.projection._layout import check_array, check_axis, groups_of
from skproj.projection._norms import KERNEL_NORMS
from skproj.projection._registry import BALLS, SPARSIFYING
from skproj.utils._choices import check_choice

EPS = np.finfo(np.float64).eps


def _check_count(n_groups, fraction, n_all, what):
    """Return how many of `n_all` groups are wanted."""
    if (n_groups is None) == (fraction is None):
        raise ValueError(
            "Exactly one of n_groups and fraction must be given, got "
            f"n_groups={n_groups!r} and fraction={fraction!r}."
        )
    if fraction is not None:
        if isinstance(fraction, bool) or not isinstance(fraction, numbers.Real):
            raise TypeError(f"fraction must be a real number, got {fraction!r}.")
        if not 0.0 <= fraction <= 1.0:
            raise ValueError(f"fraction must be between 0 and 1, got {fraction!r}.")
        return round(float(fraction) * n_all)
    if isinstance(n_groups, bool) or not isinstance(n_groups, numbers.Integral):
        raise TypeError(f"n_groups must be an integer, got {n_groups!r}.")
    if not 0 <= n_groups <= n_all:
        raise ValueError(
            f"n_groups must be between 0 and {n_all}, the number of {what} of X, "
            f"got {n_groups!r}."
        )
    return int(n_groups)


def _refuse_ties(strengths, smallest_kept, k, what):
    """Say which numbers of groups are possible beside the impossible `k`."""
    fewer = np.count_nonzero(strengths > smallest_kept)
    possible = str(fewer)
    if smallest_kept > 0.0:
        more = np.count_nonzero(strengths >= smallest_kept)
        possible += f" or {more}"
    raise ValueError(
        f"No radius leaves exactly {k} {what}, because of ties or zeros; the nearest "
        f"possible number is {possible}."
    )


def _level_between(low, high, uncertainty):
    """Return a threshold in [low, high) that rounding does not carry out of it."""
    return low if low == 0.0 else min(low + uncertainty, low + (high - low) / 2)


def _cut(strengths, k, what):
    """Return the largest strength that goes, and the smallest of the `k` that stay."""
    if k > len(strengths):  # more than the stored entries of a sparse matrix
        _refuse_ties(strengths, 0.0, k, what)
    padded = np.append(strengths, 0.0)  # so that also all groups have a next one
    place = len(strengths) - k
    largest_dead, smallest_kept = np.partition(padded, [place, place + 1])[
        place : place + 2
    ]
    if largest_dead == smallest_kept:
        _refuse_ties(strengths, smallest_kept, k, what)
    return largest_dead, smallest_kept


@array_function("arrays")
def radius_for_sparsity(
    X: ArrayLike,
    *,
    n_groups: Integer | None = None,
    fraction: Number | None = None,
    ball: str = "l1inf",
    axis: Axis = 0,
) -> float:
    r"""Compute the largest radius that leaves a given number of groups.

    .. math::

        \max \, \{ \text{radius} : \#\{j : p_j \ne 0\} = k \}, \qquad
        P = \operatorname{projection}(X, \text{radius})

    Radii have the unit of the norm, which says little; the number of groups (columns
    for ``axis=0``) that survive is what is usually known.

    Parameters
    ----------
    n_groups : int, default=None
        Number of groups that are to stay nonzero. Exactly one of `n_groups` and
        `fraction` must be given.
    fraction : float, default=None
        The same as a share of all groups, rounded to the nearest number.
    ball : str, default="l1inf"
        A key of `BALLS` whose projection makes zeros. For ``"l1"`` each entry is a
        group of its own.
    axis : int, tuple of int or None, default=0
        Axis along which the inner norm runs, as in ``np.linalg.norm(X, axis=0)``: with
        ``axis=0`` the groups of a matrix are its columns. Not used for ``"l1"``.

    Returns
    -------
    radius : float
        0 for no group, the norm of `X` for all groups that are not zero already.

    Raises
    ------
    ValueError
        If `X` contains NaN or infinity, if `ball` or `axis` does not fit, if no
        radius leaves this number of groups, because some of them are equally large,
        or if the radius is beyond the largest float.

    See Also
    --------
    projection_l1inf_ball : Uses such a radius.
    BALLS : The balls by name.

    Notes
    -----
    For the exact l1,inf ball, group j survives while its l1 norm is above the
    threshold theta [1]_, for the others while its norm is above tau. The largest
    radius belongs to the largest group that has to die: its norm is the threshold,
    from which the radius follows directly, up to a margin of a few roundings. A
    projection checks that it leaves exactly that many groups.

    {l1inf_reference}

    >>> X = np.array([[3.0, 1.0, 0.5], [-1.0, 1.0, 0.0]])
    >>> radius = radius_for_sparsity(X, n_groups=1)
    >>> round(radius, 6)
    1.0
    >>> projection_l1inf_ball(X, radius).any(axis=0)
    array([ True, False, False])
    """
    X = check_array(X, accept_sparse=True)
    check_choice("ball", ball, SPARSIFYING)
    ball = BALLS[ball]
    axes = check_axis(axis if ball.grouped else None, X.ndim)
    n_threads = threads_for(X, None, axes)
    what = "groups" if ball.grouped else "entries"
    n_entries = math.prod(X.shape)  # X.size is less if X is sparse
    if n_entries == 0:
        _check_count(n_groups, fraction, 0, what)
        return 0.0

    groups = groups_of(X, axes)
    k = _check_count(
        n_groups, fraction, groups.n_groups if ball.grouped else n_entries, what
    )
    groups, norms, exponent = safe_norms(
        groups, KERNEL_NORMS[ball.inner_norm], n_threads
    )
    # A group survives while its strength is above the threshold.
    by_other_norm = ball.threshold_norm not in (None, ball.inner_norm)
    if by_other_norm:
        strengths, _, _ = group_norms(
            groups, KERNEL_NORMS[ball.threshold_norm], n_threads
        )
    elif ball.grouped:
        strengths = norms
    else:
        strengths = np.abs(groups.entries[0]).astype(np.float64)
    if k == 0:
        return 0.0
    largest_dead, smallest_kept = _cut(strengths, k, what)
    if by_other_norm:  # each kept group loses theta in this norm, which is l1
        size = groups.shape[1]
        # Norms add up to the radius with this error, and move theta by 1 / size.
        error = EPS * np.sqrt(k) * (smallest_kept + norms.max() * size)
        theta = _level_between(largest_dead, smallest_kept, 32 * error)
        levels, offsets, _ = group_thresholds(
            groups, strengths, float(theta), n_threads
        )
        radius = np.sum(levels + offsets) if theta > 0.0 else norms.sum()
    else:
        error = EPS * np.sqrt(k) * strengths.max()
        tau = _level_between(largest_dead, smallest_kept, 8 * error)
        radius = np.sum(np.maximum(strengths - tau, 0.0))
    with np.errstate(over="ignore"):
        radius = float(np.ldexp(radius, exponent))
    if math.isinf(radius):
        raise ValueError(
            f"X is too large: the radius that leaves {k} {what} is beyond the largest "
            "float."
        )

    # A projection has to leave `k` groups; otherwise another radius near this one does.
    low, high = 0.0, min(2.0 * radius, np.finfo(np.float64).max)
    while True:
        P = project(X, radius, ball.solver, axes, None, None, False)
        if ball.grouped:
            norms, _, _ = group_norms(groups_of(P, axes), _groups.LINF, n_threads)
            n_left = np.count_nonzero(norms)
        else:
            n_left = np.count_nonzero(P) if isinstance(P, np.ndarray) else P.nnz
        if n_left == k:
            return radius
        low, high = (radius, high) if n_left < k else (low, radius)
        radius = low / 2 + high / 2
        if not low < radius < high:
            raise ValueError(
                f"No radius leaves exactly {k} {what}, because some of them are equal "
                "to rounding."
            )
