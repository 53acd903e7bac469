"""From the arguments of a public function to the kernels and back.

Every projection here has the same shape: norms of the groups, then a few numbers
per group (its level), then one map over the array that uses them. A `Ball` has a
`Solver`, which turns norms into levels.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from skproj._kernels import _groups, _thresholds
from skproj.projection._layout import (
    Rows,
    as_groups,
    check_array,
    check_axis,
    check_out,
    check_radius,
    entries_last,
    groups_of,
    groups_of_copy,
    groups_shape,
    same_view,
)
from skproj.projection._policy import (
    AT_ONCE,
    DEFAULT_PARALLEL_MIN_SIZE,
    DEFAULT_PARALLEL_MIN_SIZE_OF_COLUMNS,
    PARALLEL_MIN_SIZE,
)
from skproj.projection._threads import effective_n_threads

# Sums of squares of this magnitude neither overflow nor lose digits.
SAFE_RANGE = 2.0**-450, 2.0**450
# The kernels take levels off float32 entries in that type.
SAFE_FLOAT32 = 2.0**120


@dataclass(slots=True)
class GroupMap:
    """Map of the kernels that projects each group, and its numbers.

    kind : which map of the kernels to apply; None if the array is inside the ball.
    levels : float64 array of shape (n_groups,), the argument of the map per group.
    threshold : float, or float64 array of shape (n_groups,); ``levels + offsets`` if
        None.
    offsets : float64 array of shape (n_groups,), to be added to the levels of a soft
        threshold; None for the other maps.
    """

    kind: int | None
    levels: np.ndarray | None
    threshold: object
    offsets: np.ndarray | None = None


INSIDE = GroupMap(None, None, 0.0)


def threads_for(X, n_threads, axes=()):
    """Number of OpenMP threads for an array: as asked for, or 1 if it is small.

    By default it depends on whether the groups along `axes`, if there are any, are
    columns in memory.
    """
    if n_threads is None:
        size = X.size
        if size < DEFAULT_PARALLEL_MIN_SIZE or (
            size < DEFAULT_PARALLEL_MIN_SIZE_OF_COLUMNS
            and isinstance(X, np.ndarray)
            and 0 < len(axes) < X.ndim
            and all(X.strides[axis] != X.itemsize for axis in axes)
        ):
            return 1
    n_threads = effective_n_threads(n_threads)  # refuses bad values for any size
    return 1 if X.size < PARALLEL_MIN_SIZE else n_threads


def shrink_groups(groups, group_map, out, n_threads):
    """Apply a map to each group, with the result in entries like those of `groups`."""
    _groups.map_groups(
        groups.entries,
        group_map.kind,
        group_map.levels,
        out,
        n_threads,
        group_map.offsets,
        groups.indptr,
    )


def group_norms(groups, norm, n_threads, *, and_largest=False):
    """Compute the norm of each group as float64; also the smallest and largest of them.

    With `and_largest` the norms have the shape (2, n_groups), with the l_inf norms in
    the second row. NaN and infinity in a group show up as the largest norm.
    """
    norms = np.empty((2 if and_largest else 1, groups.n_groups))
    smallest, largest = _groups.group_norms(
        groups.entries, norm, norms, n_threads, groups.indptr
    )
    return norms if and_largest else norms[0], smallest, largest


def group_thresholds(groups, norms, radii, n_threads, *, signed=False):
    """Threshold of each group for the l1 ball, or the simplex if `signed`, of its
    radius.

    The norms are the l1 norms of the groups, or the l_inf norms if `signed`; there is
    one radius, or one for each group. Returns `levels` and `offsets`, whose sums are
    the thresholds, 0 inside the l1 ball and infinite for one of radius 0, and how many
    groups are not inside their l1 ball.
    """
    levels, offsets = np.empty(groups.n_groups), np.empty(groups.n_groups)
    radius = 0.0
    if isinstance(radii, float):
        radius, radii = radii, None
    n_outside = _thresholds.group_thresholds(
        groups.entries,
        norms,
        radii,
        signed,
        levels,
        offsets,
        n_threads,
        groups.indptr,
        radius=radius,
    )
    return levels, offsets, n_outside


def project_norms(norms, radius):
    """Project the norms of groups onto the l1 ball; also return the threshold."""
    budgets = np.empty(len(norms))
    threshold = _thresholds.project_norms(norms, radius, budgets)
    return budgets, threshold


def _largest_of_finite(groups, n_threads):
    """Return the l_inf norms of groups without their entries of minus infinity."""
    is_left_out = np.isneginf(groups.entries)
    if is_left_out.all(axis=1).any():
        raise ValueError(
            "X must have a finite entry in each slice, got one of minus infinity only."
        )
    finite = Rows(np.where(is_left_out, 0.0, groups.entries))
    return group_norms(finite, _groups.LINF, n_threads)


def safe_norms(
    groups, norm, n_threads, *, and_largest=False, fill_to=None, batched=False
):
    """Norms of the groups, and the power of two that made them computable.

    With `and_largest`, the l_inf norms come as well, as a second row. `fill_to` is what
    the entries of the result will add up to, whatever those of the groups, some of
    which may be minus infinity then; the norm has to be LINF. If `batched`, each group
    has a power of two of its own.

    Returns the groups, or a copy divided by ``2 ** exponent`` where sums would overflow
    or underflow, their norms, and the exponent, which is 0 in all but extreme cases and
    as small as may be: a radius that is divided as well should keep its digits.
    """
    norms, smallest, extreme = group_norms(
        groups, norm, n_threads, and_largest=and_largest
    )
    at_least = 0.0
    if fill_to is not None:
        if extreme == np.inf:
            norms, smallest, extreme = _largest_of_finite(groups, n_threads)
        at_least = fill_to
        extreme = max(extreme, at_least)
    low, high = SAFE_RANGE
    if extreme >= SAFE_FLOAT32 and norm != _groups.L2:
        if groups.entries.dtype == np.float32:
            high = SAFE_FLOAT32
    tiny = batched and smallest < low and np.any((norms > 0.0) & (norms < low))
    if low < extreme < high and not tiny:  # false for NaN
        return groups, norms, 0
    is_largest = norm == _groups.LINF
    largest = norms
    if not is_largest:
        largest, _, extreme = group_norms(groups, _groups.LINF, n_threads)
    if not math.isfinite(extreme):
        raise ValueError("X contains NaN or infinity.")
    if not batched:
        largest = largest.max(keepdims=True)
    _, exponents = np.frexp(np.maximum(largest, at_least))
    exponents -= np.clip(exponents, *np.frexp((low, high))[1])
    if not exponents.any():
        return groups, norms, 0
    with np.errstate(under="ignore"):
        groups = groups.scaled(-exponents)
        if is_largest:
            norms = np.ldexp(norms, -exponents)
        else:
            norms, _, _ = group_norms(groups, norm, n_threads, and_largest=and_largest)
    return groups, norms, exponents if batched else int(exponents[0])


class Solver(NamedTuple):
    """A way to turn norms of groups into a map that projects the groups.

    solve : ``solve(groups, norms, radius, n_threads) -> GroupMap``.
    norm : the norm of each group that `solve` wants, by the name of the kernels.
    and_largest : whether `solve` wants the l_inf norms as well: norms of shape
        (2, n_groups).
    batched : whether each group is projected on its own, so that the threshold is an
        array (and the radius that `solve` sees, if groups are scaled).
    fill : whether the result may be larger than X, because it adds up to the radius.
    at_once : kernel that does all of it for a small array, or None:
        ``at_once(entries, radius, low, high, out) -> threshold``.
    """

    solve: Callable
    norm: int
    and_largest: bool = False
    batched: bool = False
    fill: bool = False
    at_once: Callable | None = None


@dataclass(frozen=True)
class Ball:
    """A ball that a matrix can be projected onto.

    The registry `BALLS` holds one for each name. The estimators accept those that
    make zeros.

    Parameters
    ----------
    name : str
        Name of the ball in the estimators.
    projection : callable
        ``projection(X, radius, *, axis, out, n_threads, return_threshold)``.
    solver : Solver
        How skproj finds the projection: from norms of the groups to a map.
    norm : callable
        The norm that is at most the radius, ``norm(X, *, axis)``.
    dual_norm : callable
        Its dual, ``dual_norm(X, *, axis)``.
    inner_norm : {1, 2, inf}
        Order of the norm inside a group.
    exact : bool
        Whether the projection is the nearest point of the ball.
    grouped : bool, default=True
        Whether groups matter. If not, `project` ignores its `axis`, and one threshold
        holds for all entries, as in the l1 ball.
    sparsifying : bool, default=True
        Whether projecting makes entries or groups zero.
    prox : callable or None, default=None
        Proximity operator of the norm, ``prox(X, alpha)``; it takes the `axis` of the
        groups, if there are any. None if skproj has none.
    threshold_norm : {1, 2, inf} or None, default=None
        Order of the norm of a group that decides whether it becomes zero; None if that
        is `inner_norm`.

    Examples
    --------
    >>> from skproj.projection import BALLS
    >>> ball = BALLS["l1inf"]
    >>> W = [[3.0, 1.0, 0.5], [-1.0, 1.0, 0.0]]
    >>> ball.norm(W), ball.norm(ball.project(W, 2.0))
    (4.5, 2.0)
    """

    name: str
    projection: Callable
    solver: Solver
    norm: Callable
    dual_norm: Callable
    inner_norm: float
    exact: bool
    grouped: bool = True
    sparsifying: bool = True
    prox: Callable | None = None
    threshold_norm: float | None = None

    def project(self, X, radius, *, axis=0, out=None, n_threads=None):
        """Project an array whose groups run along `axis`.

        Parameters
        ----------
        X : array-like or sparse matrix
            Input of dtype float32 or float64; integers are converted to float64.
        radius : float
            Radius of the ball.
        axis : int or tuple of int, default=0
            Axis along which the groups run. A ball without groups takes all entries
            together, whatever the axis.
        out : ndarray of the shape and dtype of `X`, default=None
            Where to write the result; may be `X` itself. It must be None if `X` is
            sparse.
        n_threads : int, default=None
            Number of OpenMP threads, as in the functions.

        Returns
        -------
        P : ndarray or sparse matrix of the shape and dtype of `X`
            The projection, sparse if `X` is: in CSC if `X` is, otherwise in CSR.
        """
        if not self.grouped:
            axis = None
        if type(X) is not np.ndarray:  # it may be an array of another library
            options = {"axis": axis, "out": out, "n_threads": n_threads}
            return self.projection(X, radius, **options)
        return project(X, radius, self.solver, axis, out, n_threads, False)


def project(X, radius, solver, axis, out, n_threads, return_threshold):
    """Check the arguments, let a `Solver` find the map, then write the result."""
    X = check_array(X, accept_sparse=True)
    radius = check_radius(radius)
    axes = check_axis(axis, X.ndim)
    if out is not None:
        check_out(out, X)
    n_threads = threads_for(X, n_threads, axes)

    stored, groups = None, None
    if type(X) is not np.ndarray:
        stored, groups = groups_of_copy(X, axes)
    elif X.size > 0:
        if out is not None and np.may_share_memory(X, out) and not same_view(X, out):
            X = X.copy()
        if solver.at_once is not None and X.size <= AT_ONCE and radius > 0.0:
            result = _project_at_once(X, radius, solver.at_once, axes, out)
            if result is not None:
                return result if return_threshold else result[0]
        groups = groups_of(X, axes)

    group_map, scaled = INSIDE, groups
    if X.size > 0:
        scaled, norms, exponent = safe_norms(
            groups,
            solver.norm,
            n_threads,
            and_largest=solver.and_largest,
            fill_to=radius if solver.fill else None,
            batched=solver.batched,
        )
        if scaled is groups:
            group_map = solver.solve(groups, norms, radius, n_threads)
        else:
            with np.errstate(over="ignore", under="ignore"):
                scaled_radius = _scaled_down(radius, exponent)
                group_map = solver.solve(scaled, norms, scaled_radius, n_threads)
                group_map = _scale_back(group_map, exponent, X.dtype)

    if stored is not None:
        P = _write_stored(stored, groups, group_map, n_threads).asformat(X.format)
    else:
        P = np.empty_like(X) if out is None else out
        _write(X, groups, axes, group_map, P, n_threads)
        if solver.fill and scaled is not groups:  # a sum of large entries is rounded up
            np.minimum(P, radius, out=P)
    if not return_threshold:
        return P
    shape = groups_shape(X.shape, axes) if solver.batched else ()
    return P, _thresholds_of(group_map, shape)


def _thresholds_of(group_map, shape):
    """Return the thresholds of a map as a number, or as an array of a shape."""
    threshold = group_map.threshold
    if threshold is None:
        threshold = group_map.levels + group_map.offsets
    thresholds = np.empty(shape)
    thresholds.flat = threshold
    return thresholds if shape else float(thresholds)


def _project_at_once(X, radius, at_once, axes, out):
    """Project a small array with one call of a kernel.

    Returns the result and the threshold, or None where it takes more than that: the
    strides differ, or the sums are beyond what can be computed without scaling.
    """
    if out is None:
        out = np.empty_like(X)
    if X.strides != out.strides:
        return None
    groups, target = as_groups(X, axes), as_groups(out, axes)
    if groups is None or target is None or groups.shape[1] == 1:
        return None
    threshold = at_once(groups, radius, SAFE_RANGE[0], SAFE_FLOAT32, target)
    if threshold != threshold:
        return None
    if threshold == 0.0 and out is not X:
        np.copyto(out, X)
    return out, threshold


def _scaled_down(radius, exponent):
    """Divide the radius by ``2 ** exponent``, rounded down should it be subnormal."""
    scaled = np.ldexp(radius, -exponent)
    return np.where(
        np.ldexp(scaled, exponent) > radius, np.nextafter(scaled, 0.0), scaled
    )[()]


def _scale_back(group_map, exponent, dtype):
    """Undo the scaling of the data by ``2 ** -exponent`` in what was solved for."""
    kind, offsets = group_map.kind, group_map.offsets
    levels, threshold = group_map.levels, group_map.threshold
    if threshold is None:
        threshold = levels + offsets
    if kind == _groups.SUBTRACT_AND_CLAMP:
        # The offset takes what a level has below all numbers of the type.
        smallest = np.ldexp(float(np.finfo(dtype).min), -exponent)
        offsets = offsets + np.minimum(levels - smallest, 0.0)
        levels = np.maximum(levels, smallest)
    if kind not in (None, _groups.SCALE):
        levels = np.ldexp(levels, exponent)
    if offsets is not None:
        offsets = np.ldexp(offsets, exponent)
    return GroupMap(kind, levels, np.ldexp(threshold, exponent), offsets)


def _write_stored(matrix, groups, group_map, n_threads):
    """Apply the map to a sparse matrix whose entries are viewed as groups."""
    if group_map.kind is not None:
        shrink_groups(groups, group_map, groups.entries, n_threads)
    matrix.eliminate_zeros()
    return matrix


def _write(X, groups, axes, group_map, out, n_threads):
    """Apply the map to X and leave the result in `out`."""
    if group_map.kind is None:
        if not same_view(X, out):
            np.copyto(out, X)
        return
    target = as_groups(out, axes)
    if target is None:
        result = entries_last(X, axes).copy(order="C")
        groups = Rows(result.reshape(groups.n_groups, -1))
        shrink_groups(groups, group_map, groups.entries, n_threads)
        entries_last(out, axes)[...] = result
        return
    meet = X.strides == out.strides and X.flags.aligned
    if not meet and groups.n_groups > 1:  # the entries of one may come in any order
        one = X.itemsize
        meet = (groups.entries.strides[1] == one) == (target.strides[1] == one)
    if not meet:
        np.copyto(out, X)
        groups = Rows(target)
    shrink_groups(groups, group_map, target, n_threads)
