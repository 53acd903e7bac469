"""Feed random and adversarial inputs to the projections and compare with oracles.

    python tests/projection/fuzz_projections.py --count 100000 --seed 0 --balls l1inf l1

Input number i of a seed is always the same, whatever the balls and the count, and a
failure prints the command that repeats it. The exit status is 1 if anything failed.
`test_fuzz.py` runs a few hundred inputs for each ball.
"""

import argparse
import math
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

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
from skproj.projection._engine import PARALLEL_MIN_SIZE

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
        """Compute the norm as NumPy does, whose sums along axes are in pairs."""
        if len(self.orders) == 1:
            return np.linalg.norm(C.reshape(1, -1, order="A"), self.orders[0], axis=1)[
                0
            ]
        tensor = as_tensor(C, 0) if len(self.orders) == 3 else C
        for order in reversed(self.orders):
            tensor = np.linalg.norm(tensor, order, axis=0)
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


# ---------------------------------------------------------------------------
# Inputs. Every table maps a name to a generator.


def _powers_of_ten(rng, shape):
    return 10.0 ** rng.uniform(-12, 12, size=shape)


def _one_huge_entry(rng, shape, info):
    C = rng.normal(size=shape)
    C.flat[rng.integers(C.size)] *= 1e12
    return C


# (rng, shape, finfo of the dtype) -> matrix
KINDS = {
    "gaussian": lambda rng, shape, info: rng.normal(size=shape),
    "uniform": lambda rng, shape, info: rng.uniform(-1, 1, size=shape),
    "negative": lambda rng, shape, info: -rng.random(size=shape),
    "integers": lambda rng, shape, info: rng.integers(-3, 4, size=shape),
    "constant": lambda rng, shape, info: np.full(shape, rng.normal()),
    "zeros": lambda rng, shape, info: np.zeros(shape),
    "near ties": lambda rng, shape, info: (
        rng.choice([-1, 1], size=shape)
        * (1 + info.eps * rng.integers(-2, 3, size=shape))
    ),
    "one huge entry": _one_huge_entry,
    "zero columns": lambda rng, shape, info: (
        rng.normal(size=shape) * rng.integers(0, 2, size=shape[1])
    ),
    "sorted": lambda rng, shape, info: np.sort(rng.normal(size=shape), axis=0)[
        :: rng.choice([-1, 1])
    ],
    "scales of entries": lambda rng, shape, info: (
        rng.normal(size=shape) * _powers_of_ten(rng, shape)
    ),
    "scales of columns": lambda rng, shape, info: (
        rng.normal(size=shape) * _powers_of_ten(rng, shape[1])
    ),
    "tiny": lambda rng, shape, info: (
        rng.normal(size=shape) * (1e-300 if info.bits == 64 else 1e-36)
    ),
    "huge": lambda rng, shape, info: (
        rng.normal(size=shape) * (1e300 if info.bits == 64 else 1e30)
    ),
    "largest": lambda rng, shape, info: (
        rng.uniform(-1, 1, size=shape) * float(info.max)
    ),
    "smallest normal": lambda rng, shape, info: (
        rng.normal(size=shape) * float(info.smallest_normal)
    ),
    "subnormal": lambda rng, shape, info: (
        rng.integers(-50, 51, size=shape) * float(info.smallest_subnormal)
    ),
    "heavy tails": lambda rng, shape, info: rng.standard_cauchy(size=shape),
    "identical columns": lambda rng, shape, info: np.repeat(
        rng.normal(size=(shape[0], 1)), shape[1], axis=1
    ),
    "sparse": lambda rng, shape, info: (
        rng.normal(size=shape) * (rng.random(size=shape) < 0.1)
    ),
}


def _log_uniform(rng, stop):
    return int(stop ** rng.random())


# rng -> shape; long ones reach the vectorised, blocked and parallel loops
SHAPES = {
    "small": lambda rng: (_log_uniform(rng, 41), _log_uniform(rng, 41)),
    "single row": lambda rng: (1, _log_uniform(rng, 41)),
    "single column": lambda rng: (_log_uniform(rng, 41), 1),
    "single entry": lambda rng: (1, 1),
    "tall": lambda rng: (3000, 3),
    "wide": lambda rng: (3, 3000),
    "vector": lambda rng: (_log_uniform(rng, 20001), 1),
    "flat vector": lambda rng: (1, _log_uniform(rng, 20001)),
    "parallel, tall": lambda rng: (3000, 23),
    "parallel, wide": lambda rng: (23, 3000),
}
SHAPE_SHARES = np.array([885, 40, 40, 20, 5, 2, 5, 2, 0.5, 0.5]) / 1000


def _view_of_larger(A, shape, key, order="C"):
    """Copy A into a part of an array that is NaN everywhere else."""
    larger = np.full(shape, np.nan, dtype=A.dtype, order=order)
    larger[key] = A
    return larger[key]


# matrix -> equal matrix in other memory
LAYOUTS = {
    "C": lambda A: A.copy(order="C"),
    "F": lambda A: A.copy(order="F"),
    "strided": lambda A: _view_of_larger(
        A, (2 * A.shape[0], 3 * A.shape[1]), np.s_[::2, ::3]
    ),
    "reversed": lambda A: _view_of_larger(A, A.shape, np.s_[::-1, ::-1]),
    "padded C": lambda A: _view_of_larger(
        A, (A.shape[0], A.shape[1] + 3), np.s_[:, 1:-2]
    ),
    "padded F": lambda A: _view_of_larger(
        A, (A.shape[0] + 3, A.shape[1]), np.s_[2:-1], order="F"
    ),
}

MODES = ("new", "out", "in place")


# (norm, norm of one column, random number in [0, 1)) -> radius
RADII = {
    "zero": lambda norm, of_one, u: 0.0,
    "tiny": lambda norm, of_one, u: 1e-12 * norm,
    "share": lambda norm, of_one, u: u * norm,
    "small share": lambda norm, of_one, u: 10 ** (-10 * u) * norm,
    "norm": lambda norm, of_one, u: norm,
    "norm of one column": lambda norm, of_one, u: of_one,
    "just below the norm": lambda norm, of_one, u: math.nextafter(norm, 0.0),
    "above the norm": lambda norm, of_one, u: (1 + u) * norm,
    "infinite": lambda norm, of_one, u: math.inf,
}
RADIUS_SHARES = np.array([2, 4, 8, 6, 4, 5, 4, 2, 1]) / 36


class Case(NamedTuple):
    """One input, except for the radius, which depends on the norm of the ball."""

    seed: int
    index: int
    kind: str
    columns: np.ndarray  # C order, read-only; the groups are the columns
    axis: int
    layout: str
    mode: str
    out_layout: str
    radius_kind: str
    number: float  # makes the radius
    chosen_column: int

    def __str__(self):
        n_rows, n_columns = self.columns.shape
        return (
            f"{self.kind}, {n_rows} x {n_columns} {self.columns.dtype}, "
            f"axis={self.axis}, {self.layout}, {self.mode}"
            f"{', ' + self.out_layout if self.mode == 'out' else ''}, "
            f"radius: {self.radius_kind}"
        )


def pick(rng, names, shares=None):
    """Pick one of the names, all as often or by their shares, which add up to 1."""
    names = tuple(names)
    if shares is None:
        return names[rng.integers(len(names))]
    return names[np.searchsorted(np.cumsum(shares), rng.random())]


def make_case(seed, index):
    """Input number `index` of a seed."""
    rng = np.random.default_rng((seed, index))
    kind = pick(rng, KINDS)
    shape = SHAPES[pick(rng, SHAPES, SHAPE_SHARES)](rng)
    dtype = pick(rng, ("float32", "float64"))
    columns = np.ascontiguousarray(KINDS[kind](rng, shape, np.finfo(dtype)), dtype)
    columns.flags.writeable = False
    return Case(
        seed,
        index,
        kind,
        columns,
        axis=int(rng.integers(2)),
        layout=pick(rng, LAYOUTS),
        mode=pick(rng, MODES),
        out_layout=pick(rng, LAYOUTS),
        radius_kind=pick(rng, RADII, RADIUS_SHARES),
        number=rng.random(),
        chosen_column=int(rng.integers(shape[1])),
    )


# ---------------------------------------------------------------------------
# The check of one input


class Failed(Exception):
    """A result that cannot be accepted."""


def require(condition, message, number=0.0):
    if not condition:
        raise Failed(message, f"{number:.1e}")


class Outcome(NamedTuple):
    """What was measured on a result that was accepted."""

    error: float  # distance from the oracle, relative to the largest entry
    excess: float  # of the norm over the radius, relative to the radius
    too_large: bool  # whether that excess is more than is allowed
    same_bits: bool  # as the result for the columns in C order


def check(target, case):
    """Project one input and compare with all that is known about the result."""
    columns = case.columns
    dtype = columns.dtype.name

    # The oracles see the problem times a power of two: no sum of theirs overflows.
    exact = columns.astype(np.float64)
    _, exponent = math.frexp(np.abs(exact).max())
    exact = np.ldexp(exact, -exponent)
    weights = target.weights(exact)
    weighted = exact * weights
    norm = target.norm(weighted)
    radius = _radius(target, case, norm, weighted, exponent)
    scaled_radius = math.ldexp(radius, -exponent)

    P, threshold = _project(target, case, radius)
    inside = scaled_radius >= norm * (1 + ZERO_MARGIN)
    _require_promises(target, columns, P, threshold, inside)

    threshold = np.minimum(threshold, np.finfo(np.float64).max)  # infinite above it
    # Below the smallest normal number, thresholds and entries are rounded absolutely.
    margin = ZERO_MARGIN * np.abs(threshold) + np.finfo(np.float64).smallest_subnormal
    dead = target.vanishing(exact) < np.ldexp(threshold - margin, -exponent)
    result = np.ldexp(P.astype(np.float64), -exponent)
    require(
        not result[np.broadcast_to(dead, result.shape)].any(),
        "something below the threshold is not exactly zero",
    )
    rounding = math.ldexp(float(np.finfo(dtype).smallest_subnormal), -exponent)
    largest = np.abs(exact).max()
    scale = max(largest, scaled_radius) if target.fills else largest
    error = _error(target, case, exact, scaled_radius, result)
    require(
        error <= TOLERANCE[dtype] * scale + rounding,
        "the result is not that of the oracle (error relative to the largest entry)",
        error / scale if scale else error,
    )
    excess = target.norm(result * weights) - scaled_radius
    excess -= rounding * np.sum(weights, where=result != 0.0)

    axis = None if target.whole else 0
    plain = target.projection(columns, radius, axis=axis, n_threads=1)
    if columns.size >= PARALLEL_MIN_SIZE:
        threaded = target.projection(columns, radius, axis=axis, n_threads=2)
        require(np.array_equal(plain, threaded), "two threads give another result")
    return Outcome(
        max(error - rounding, 0.0) / scale if scale else 0.0,
        max(excess, 0.0) / scaled_radius if 0.0 < scaled_radius < math.inf else 0.0,
        excess > NORM_TOLERANCE[dtype] * scaled_radius,
        np.array_equal(P, plain),
    )


def _require_promises(target, columns, P, threshold, inside):
    """What holds exactly, without an oracle."""
    require(np.isfinite(P).all(), "the result is not finite")
    if target.fills:
        require((P >= 0.0).all(), "an entry of the result is negative")
        return
    require(np.min(threshold) >= 0.0, "negative threshold", np.min(threshold))
    growth = np.abs(P) - np.abs(columns)
    require((growth <= 0.0).all(), "an entry has grown", growth.max())
    require((P * np.sign(columns) >= 0.0).all(), "a sign has changed")
    if inside:
        require(np.array_equal(P, columns), "the inside of the ball has changed")


def _radius(target, case, norm, weighted, exponent):
    """Radius of a case, for the columns as they are before scaling."""
    of_one = target.norm(weighted[:, [case.chosen_column]])
    radius = RADII[case.radius_kind](norm, of_one, case.number)
    if target.fills and radius == math.inf:  # refused; far outside is as good
        radius = 10.0 * norm
    with np.errstate(over="ignore", under="ignore"):
        radius = float(np.ldexp(radius, exponent))
    if target.fills:
        radius = min(radius, float(np.finfo(case.columns.dtype).max))
    return radius


def _project(target, case, radius):
    """Call the projection as the case says; the result as columns, and threshold."""
    columns, axis = case.columns, case.axis
    array = columns if axis == 0 else columns.T
    X = LAYOUTS[case.layout](array)
    out = {
        "new": lambda: None,
        "out": lambda: LAYOUTS[case.out_layout](np.full_like(array, 7.0)),
        "in place": lambda: X,
    }[case.mode]()
    P, threshold = target.projection(
        X,
        radius,
        axis=None if target.whole else axis,
        out=out,
        n_threads=1,
        return_threshold=True,
    )
    require(P.dtype == X.dtype and P.shape == X.shape, "another dtype or shape")
    if case.mode == "new":
        require(not np.shares_memory(P, X), "the result shares memory with X")
    else:
        require(P is out, "out is not returned")
    if case.mode != "in place":
        require(np.array_equal(X, array), "X has changed, although not in place")
    for used in (X, P):
        if used.base is not None:
            beside = np.count_nonzero(np.isnan(used.base))
            require(beside == used.base.size - used.size, "written beside the array")
    return (P if axis == 0 else P.T), threshold


def _error(target, case, C, radius, result):
    """Bound of the distance of the result from the truth, by one or two oracles."""
    oracles = [target.oracle]
    if (
        target.slow_oracle
        and case.index % SLOW_ORACLE_EVERY == 0
        and C.size <= SLOW_ORACLE_MAX_SIZE
    ):
        oracles.append(target.slow_oracle)
    bounds = []
    for oracle in oracles:
        expected, uncertainty = oracle(C, radius)
        bounds.append(float(np.abs(result - expected).max()) + uncertainty)
    return max(bounds)


# ---------------------------------------------------------------------------
# Many inputs


@dataclass
class Summary:
    """What many inputs have shown about one projection."""

    tried: int = 0
    error: Counter = field(default_factory=Counter)  # worst, by dtype
    excess: Counter = field(default_factory=Counter)  # worst, by dtype
    too_large: Counter = field(default_factory=Counter)  # inputs, by dtype
    other_bits: Counter = field(default_factory=Counter)  # inputs, by layout
    failures: Counter = field(default_factory=Counter)  # inputs, by message
    first: dict = field(default_factory=dict)  # how to repeat the first of them

    def fail(self, message, number, reproduce):
        self.failures[message] += 1
        self.first.setdefault(message, f"{number}; {reproduce}")

    def add(self, case, outcome):
        dtype = case.columns.dtype.name
        self.error[dtype] = max(self.error[dtype], outcome.error)
        self.excess[dtype] = max(self.excess[dtype], outcome.excess)
        self.too_large[dtype] += outcome.too_large
        if not outcome.same_bits:
            self.other_bits[f"{case.layout}, axis {case.axis}"] += 1

    def __str__(self):
        lines = [f"{self.tried} inputs, {self.failures.total()} failures"]
        for dtype in sorted(self.error):
            lines.append(
                f"{dtype}: relative error {self.error[dtype]:.1e}, norm above the "
                f"radius by {self.excess[dtype]:.1e} of it "
                f"({self.too_large[dtype]} times more than "
                f"{NORM_TOLERANCE[dtype]:.0e})"
            )
        if self.other_bits:
            counts = ", ".join(f"{n} {key}" for key, n in self.other_bits.most_common())
            lines.append(f"bits other than those of the C layout: {counts}")
        for message, count in self.failures.most_common():
            lines.append(f"FAILED {count} times: {message}")
            lines.append(f"    first: {self.first[message]}")
        return "\n    ".join(lines)


def fuzz(names, seed, indices, *, strict_norm=False, progress=lambda n_done: None):
    """Check the projections of some names on the inputs of some indices.

    Returns
    -------
    summaries : dict of str to Summary
    """
    summaries = {name: Summary() for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n_done, index in enumerate(indices):
            progress(n_done)
            case = make_case(seed, index)
            for name, summary in summaries.items():
                summary.tried += 1
                reproduce = (
                    f"--seed {seed} --start {index} --count 1 --balls {name}  # {case}"
                )
                try:
                    outcome = check(TARGETS[name], case)
                    summary.add(case, outcome)
                    require(
                        not (strict_norm and outcome.too_large),
                        "the norm is above the radius (relative to the radius)",
                        outcome.excess,
                    )
                except Failed as failure:
                    summary.fail(*failure.args, reproduce)
                except Exception as error:  # whatever it is, it is a finding
                    summary.fail(type(error).__name__, error, reproduce)
    return summaries


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=1000, help="number of inputs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="index of the first input")
    parser.add_argument("--balls", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument(
        "--strict-norm",
        action="store_true",
        help="fail where the norm of a result is above the radius by more than "
        + ", ".join(f"{most:.0e} ({dtype})" for dtype, most in NORM_TOLERANCE.items()),
    )
    arguments = parser.parse_args()
    began = time.monotonic()

    def progress(n_done):
        if n_done and n_done % 10_000 == 0:
            seconds = time.monotonic() - began
            print(f"{n_done} inputs, {seconds:.0f} s", flush=True)

    summaries = fuzz(
        arguments.balls,
        arguments.seed,
        range(arguments.start, arguments.start + arguments.count),
        strict_norm=arguments.strict_norm,
        progress=progress,
    )
    for name, summary in summaries.items():
        print(f"{name}: {summary}")
    return int(any(summary.failures for summary in summaries.values()))


if __name__ == "__main__":
    sys.exit(main())
