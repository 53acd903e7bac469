"""Projections with their slow oracles and promises, for the fuzzers."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skproj.projection import (
    _reference,
    projection_bilevel_l1inf_ball,
    projection_bilevel_l11_ball,
    projection_bilevel_l12_ball,
    projection_l1_ball,
    projection_l1inf_ball,
    projection_l2_ball,
    projection_l12_ball,
    projection_linf_ball,
    projection_multilevel,
    projection_simplex,
    projection_weighted_l1_ball,
)

# Largest distance from the oracle, relative to the largest entry. The projections are
# Lipschitz in the data and in the radius, ties included, so that the rounding of a sum
# of n entries moves no entry by more than about n * eps, here and in the oracles.
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}

# Largest relative excess of the norm of the result over the radius.
NORM_TOLERANCE = {"float32": 1e-6, "float64": 1e-14}

# Groups (or entries) below the threshold by this much have to be exactly zero. Closer
# to it, the order of a summation decides.
ZERO_MARGIN = 1e-12

# The slow oracle of a ball that has a fast one as well: every so many inputs.
SLOW_ORACLE_EVERY = 20
SLOW_ORACLE_MAX_SIZE = 64


# ---------------------------------------------------------------------------
# Oracles: functions of float64 columns and the radius that return what the result
# should be, and a bound of how far that may be from the truth.


def by_reference(function):
    """Oracle from a slow version in `_reference`."""
    return lambda C, radius: (function(C, radius), 0.0)


def each_column(function):
    """Make a function of a vector work on the columns of a matrix."""
    return lambda C, radius: np.stack([function(x, radius) for x in C.T], axis=1)


def l1inf_levels(C, radius):
    """Levels of the columns and theta that the optimality conditions prove.

    The excess ``sum_i max(|c_i| - mu, 0)`` of a column is the largest of
    ``S_k - k mu`` over the sums S_k of its k largest entries, so it equals theta for
    ``mu = max_k (S_k - theta) / k``. Clipping there is the projection for the radius
    ``sum_j mu_j``, whatever theta is.

    Returns
    -------
    levels : ndarray of shape (n_columns,)
    theta : float
        0 inside the ball.
    surplus : float
        Sum of the levels less the radius; 0 inside the ball.
    """
    sums = np.cumsum(-np.sort(-np.abs(C), axis=0), axis=0)
    counts = np.arange(1, len(C) + 1)[:, np.newaxis]
    columns = np.arange(C.shape[1])  # that have a level above zero
    theta = 0.0
    for _ in range(100):  # Newton's method; the sum of the levels is convex in theta
        candidates = (sums - theta) / counts
        highest = candidates.max(axis=0)
        surplus = math.fsum(highest) - radius
        if surplus <= 1e-15 * radius:
            break
        before = theta
        theta += surplus / np.sum(1.0 / (1 + candidates.argmax(axis=0)))
        if theta == before:
            break
        alive = sums[-1] > theta
        if not alive.all():
            sums, columns = sums[:, alive], columns[alive]
    levels = np.zeros(C.shape[1])
    levels[columns] = highest
    inside = theta == 0.0 and surplus < 0.0
    return levels, theta, 0.0 if inside else surplus


def certified_l1inf(C, radius):
    """Oracle of the l1,inf ball that proves its result by the optimality conditions.

    All levels grow with the radius: no entry is further from the projection for
    `radius` than this is from the sum of the levels.
    """
    levels, _, surplus = l1inf_levels(C, radius)
    return np.clip(C, -levels, levels), abs(surplus)


# ---------------------------------------------------------------------------
# Norms of a matrix whose groups are columns, with a rounding error of a few units

EXACT_NORMS = {  # of a vector, as a list of numbers
    1: lambda x: math.fsum(map(abs, x)),
    2: lambda x: math.hypot(*x),
    np.inf: lambda x: max(map(abs, x)),
}


def as_tensor(X, axis):
    """Split the dimension of a matrix that tells the groups into two."""
    n_groups = X.shape[1 - axis]
    inner = next(k for k in (4, 3, 2, 1) if n_groups % k == 0)
    split = (n_groups // inner, inner)
    return X.reshape(
        (len(X), *split) if axis == 0 else (*split, X.shape[1]), copy=False
    )


@dataclass(frozen=True)
class Norm:
    """Norm of norms of a matrix whose groups are columns.

    Parameters
    ----------
    orders : tuple of {1, 2, inf}
        The outermost norm first. One takes all entries as one vector, two are those
        over and of the columns, three those of the tensor that `as_tensor` makes.
    """

    orders: tuple

    def __call__(self, C):
        """Compute the norm exactly, but for the rounding of each sum."""
        if len(self.orders) == 1:
            return EXACT_NORMS[self.orders[0]](C.ravel().tolist())
        *outer, inner = self.orders
        norms = [EXACT_NORMS[inner](column) for column in C.T.tolist()]
        if len(outer) == 2:
            tensor = np.reshape(norms, as_tensor(C, 0).shape[1:])
            norms = [EXACT_NORMS[outer[1]](column) for column in tensor.T.tolist()]
        return EXACT_NORMS[outer[0]](norms)

    def quick(self, C):
        """Compute the norm with sums in pairs, as NumPy does for entries in a row."""
        if len(self.orders) == 1:
            return np.linalg.norm(C.reshape(1, -1, order="A"), self.orders[0], axis=1)[
                0
            ]
        tensor = as_tensor(C, 0) if len(self.orders) == 3 else C
        for order in reversed(self.orders):
            rows = np.ascontiguousarray(np.moveaxis(tensor, 0, -1))
            tensor = np.linalg.norm(rows, order, axis=-1)
        return tensor


# ---------------------------------------------------------------------------
# The projections


@dataclass(frozen=True)
class Target:
    """A projection, and how to know that its result is right.

    Parameters
    ----------
    projection : callable
        ``projection(X, radius, *, axis, out, n_threads, return_threshold)``.
    oracle : callable
        ``oracle(C, radius) -> (expected, uncertainty)`` on float64 columns.
    norm : callable
        ``norm(C)``, which is at most the radius in the result.
    vanishing : callable
        What is zero in the result where it is below the threshold: one number for
        each column, or for each entry.
    weights : callable
        ``weights(C)``, by which the norm multiplies the entries of the result.
    whole : bool
        Whether all entries are one group, so that the axis is None.
    fills : bool
        Whether the norm of the result is the radius even if that means growing.
    slow_oracle : callable or None
        A second opinion, for a part of the inputs.
    """

    projection: Callable
    oracle: Callable
    norm: Callable
    vanishing: Callable
    weights: Callable = np.ones_like
    whole: bool = False
    fills: bool = False
    slow_oracle: Callable | None = None


def column_norms(order):
    return lambda C: np.linalg.norm(C, ord=order, axis=0)


def nothing(C):
    """Say that no entry of the result need be zero."""
    return np.inf


def weights_of_entries(X):
    """Weights between 1e-3 and 1e2, some zero, that depend on each entry alone.

    They are a function of the mantissa: powers of two and layouts do not change them.
    """
    mantissas, _ = np.frexp(np.abs(X, dtype=np.float64))
    digits = np.floor(mantissas * 9973) % 7
    return np.where(digits > 0.0, 10.0 ** (digits - 4), 0.0)


def _weighted_l1(X, radius, *, weights=None, **arguments):
    weights = weights_of_entries(X) if weights is None else weights
    return projection_weighted_l1_ball(X, radius, weights, **arguments)


def _weighted_oracle(x, radius):
    return _reference.weighted_l1(x, radius, weights_of_entries(x))


def _weighted_ratios(C):
    weights = weights_of_entries(C)
    ratios = np.full(C.shape, np.inf)
    return np.divide(np.abs(C), weights, out=ratios, where=weights > 0.0)


def multilevel(norms):
    """Target for three norms; the columns of a matrix are the fibres of a tensor."""
    outer, middle, inner = norms

    def projection(X, radius, *, axis, out=None, return_threshold=False, **arguments):
        P, threshold = projection_multilevel(
            as_tensor(X, axis),
            radius,
            norms,
            axes=(2, 1, 0) if axis == 0 else (1, 0, 2),
            out=None if out is None else as_tensor(out, axis),
            return_threshold=True,
            **arguments,
        )
        P = P.reshape(X.shape) if out is None else out
        return (P, threshold) if return_threshold else P

    def oracle(C, radius):
        return _reference.multilevel(as_tensor(C, 0), radius, norms).reshape(C.shape)

    def slice_norms(C):
        fibres = np.linalg.norm(as_tensor(C, 0), inner, axis=0)
        slices = np.linalg.norm(fibres, middle, axis=0)
        return np.broadcast_to(slices, fibres.shape).ravel()

    return Target(
        projection,
        by_reference(oracle),
        Norm(norms),
        slice_norms if outer == 1 else nothing,
    )


def _columnwise(projection, function, order, vanishing, **options):
    """Target for the projection of each column by itself."""
    oracle = by_reference(each_column(function))
    return Target(projection, oracle, Norm((np.inf, order)), vanishing, **options)


def _vectorwise(projection, function, order, vanishing, **options):
    """Target for the projection of all entries as one vector."""
    oracle = by_reference(function)
    return Target(projection, oracle, Norm((order,)), vanishing, whole=True, **options)


def _grouped(projection, function, order, vanishing):
    """Target for a ball whose outer norm is l1."""
    return Target(projection, by_reference(function), Norm((1, order)), vanishing)


_ref, _inf = _reference, np.inf
_l1 = projection_l1_ball, _ref.l1, 1, np.abs
_l2 = projection_l2_ball, _ref.l2, 2, nothing
_linf = projection_linf_ball, _ref.linf, _inf, nothing
_simplex = projection_simplex, _ref.simplex, 1, np.positive
_weighted = _weighted_l1, _weighted_oracle, 1, _weighted_ratios

TARGETS = {
    "l1": _vectorwise(*_l1),
    "l1_columns": _columnwise(*_l1),
    "l2": _vectorwise(*_l2),
    "l2_columns": _columnwise(*_l2),
    "linf": _vectorwise(*_linf),
    "linf_columns": _columnwise(*_linf),
    "simplex": _vectorwise(*_simplex, fills=True),
    "simplex_columns": _columnwise(*_simplex, fills=True),
    "weighted_l1": _vectorwise(*_weighted, weights=weights_of_entries),
    "weighted_l1_columns": _columnwise(*_weighted, weights=weights_of_entries),
    "l12": _grouped(projection_l12_ball, _ref.l12, 2, column_norms(2)),
    "l1inf": Target(
        projection_l1inf_ball,
        certified_l1inf,
        Norm((1, _inf)),
        column_norms(1),
        slow_oracle=by_reference(_ref.l1inf),
    ),
    "bilevel_l11": _grouped(
        projection_bilevel_l11_ball, _ref.bilevel_l11, 1, column_norms(1)
    ),
    "bilevel_l12": _grouped(projection_bilevel_l12_ball, _ref.l12, 2, column_norms(2)),
    "bilevel_l1inf": _grouped(
        projection_bilevel_l1inf_ball, _ref.bilevel_l1inf, _inf, column_norms(_inf)
    ),
    "multilevel_1_inf_inf": multilevel((1, _inf, _inf)),
    "multilevel_1_1_1": multilevel((1, 1, 1)),
    "multilevel_1_2_2": multilevel((1, 2, 2)),
    "multilevel_2_inf_1": multilevel((2, _inf, 1)),
}
