"""Compare the projections of large arrays with oracles, each ball in a child process.

    python tests/projection/fuzz_large.py --count 200000 --seed 0 --balls l1inf l1

The arrays have about 2^16, 2^18 or 2^20 entries, where the kernels begin to share out
work, to sample, and to solve for a part of the groups first, in every layout that NumPy
can make. The oracles see contiguous float64 data of the same numbers. A child that
crashes or hangs is a failure like a wrong result; the other cases continue in a new
child.

A case is an array in memory that is projected by one, two and all threads, into a new
array, another one, and itself; the count is that of these inputs. Case number i of a
seed is always the same, whatever the balls and the count, and a failure prints the
command that repeats it. The exit status is 1 if anything failed.
`test_fuzz_large.py` runs some cases of each ball.
"""

import argparse
import functools
import math
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import fuzz_hoyer
import fuzz_oracles as oracles
import fuzz_projections
import numpy as np
from fuzz_children import in_children
from fuzz_projections import (
    NORM_TOLERANCE,
    RADII,
    TARGETS,
    TOLERANCE,
    ZERO_MARGIN,
    Failed,
    Norm,
    Summary,
    as_tensor,
    column_norms,
    pick,
    require,
)
from scipy import sparse

from skproj.projection import (
    norm_l1,
    norm_l1inf,
    norm_l2,
    norm_l11,
    norm_l12,
    norm_linf,
    norm_linf1,
    norm_linf2,
    norm_multilevel,
    projection_hoyer,
    prox_l1,
    prox_l1inf,
    prox_l12,
    prox_linf1,
)

# The norm of a result may be above the radius by NORM_TOLERANCE if it is a sum of at
# most so many entries, as that of the smaller inputs is. The rounding errors of a sum
# grow with the root of the number of entries.
USUAL_SUM = 1 << 14

# It may be below by so much of the radius, and of the norm of those entries of the data
# that are left, whose lengths are rounded. Where there is a promise for tiny radii, so
# much of the largest entry for each that is left takes the place of the latter.
MISSING = {"float32": 1e-6, "float64": 1e-12}
MISSING_OF_LEFT = 1e-14
MISSING_OF_LARGEST = {"float32": 1e-13, "float64": 1e-30}

# The oracles see scaled data if an exponent of two is larger than that.
SAFE_EXPONENT = 300


# ---------------------------------------------------------------------------
# The projections and the proximity operators


@dataclass(frozen=True)
class Family:
    """A projection of large arrays, and how to know that its result is right.

    Parameters
    ----------
    call : callable
        ``call(X, radius, *, axis, out, n_threads)``, with `weights` if there are some,
        returns the result and the threshold or None.
    oracle : callable
        One of `fuzz_oracles.py`.
    norm : Norm
        What the radius is taken from.
    vanishing : callable
        What is zero where it is below the threshold of the oracle, as in `Target`.
    batched : bool
        Whether each group is projected by itself.
    whole : bool
        Whether all entries are one group.
    meets : bool
        Whether the norm of the result is the radius if that of the data is larger.
    meets_tiny : bool
        Whether the same holds where the radius is tiny against the entries.
    fills : bool
        Whether the norm of the result is the radius in any case.
    takes_sparse : bool
        Whether sparse matrices are accepted.
    weights : callable or None
        As in `Target`.
    """

    call: Callable
    oracle: Callable
    norm: Norm
    vanishing: Callable
    batched: bool = False
    whole: bool = False
    meets: bool = True
    meets_tiny: bool = False
    fills: bool = False
    takes_sparse: bool = True
    weights: Callable | None = None


# Of the projections that do not go level by level.
ORACLES = {"l1inf": oracles.onto_l1inf}


def _of_target(name):
    """Family for a projection of `TARGETS`."""
    target = TARGETS[name]
    *outer, inner = target.norm.orders
    batched = target.whole or outer == [np.inf]
    weighted = target.weights is fuzz_projections.weights_of_entries
    if name in ORACLES:
        oracle = ORACLES[name]
    elif target.fills:
        oracle = oracles.onto_simplex
    elif weighted:
        oracle = oracles.onto_weighted_l1
    elif batched:
        oracle = oracles.ONTO[inner]
    else:
        oracle = oracles.level_by_level(target.norm.orders)

    def call(X, radius, *, axis, **arguments):
        axis = None if target.whole else axis
        return target.projection(
            X, radius, axis=axis, return_threshold=True, **arguments
        )

    return Family(
        call,
        oracle,
        target.norm,
        target.vanishing,
        batched,
        target.whole,
        meets_tiny=batched and inner == 1 and not weighted,
        fills=target.fills,
        takes_sparse=not (target.fills or weighted or len(outer) == 2),
        weights=target.weights if weighted else None,
    )


def _prox(function, oracle, orders, vanishing, **options):
    """Family for a proximity operator, with the orders of the dual norm."""

    def call(X, radius, *, axis, **arguments):
        if function is not prox_l1:
            arguments["axis"] = axis
        return function(X, radius, **arguments), None

    return Family(call, oracle, Norm(orders), vanishing, meets=False, **options)


_inf = np.inf
FAMILIES = {name: _of_target(name) for name in TARGETS} | {
    "prox_l1": _prox(prox_l1, oracles.soft, (_inf,), np.abs, batched=True, whole=True),
    "prox_l12": _prox(
        prox_l12, oracles.shorten, (_inf, 2), column_norms(2), batched=True
    ),
    "prox_l1inf": _prox(
        prox_l1inf, oracles.clip_top, (_inf, 1), column_norms(1), batched=True
    ),
    "prox_linf1": _prox(prox_linf1, oracles.leave_l1inf, (1, _inf), np.abs),
}


def _of_all(function):
    return lambda X, *, axis, n_threads: function(X, n_threads=n_threads)


def _of_tensor(orders):
    def norm(X, *, axis, n_threads):
        axes = (2, 1, 0) if axis == 0 else (1, 0, 2)
        X = as_tensor(X, axis)
        return norm_multilevel(X, orders, axes=axes, n_threads=n_threads)

    return norm


# The norms with their orders, and those that are one number for each group.
NORMS = {
    "norm_l1": (_of_all(norm_l1), (1,)),
    "norm_l2": (_of_all(norm_l2), (2,)),
    "norm_linf": (_of_all(norm_linf), (_inf,)),
    "norm_l11": (norm_l11, (1, 1)),
    "norm_l12": (norm_l12, (1, 2)),
    "norm_l1inf": (norm_l1inf, (1, _inf)),
    "norm_linf1": (norm_linf1, (_inf, 1)),
    "norm_linf2": (norm_linf2, (_inf, 2)),
    "norm_multilevel_1_1_2": (_of_tensor((1, 1, 2)), (1, 1, 2)),
    "norm_multilevel_2_inf_1": (_of_tensor((2, _inf, 1)), (2, _inf, 1)),
}
NORMS_OF_EACH = {
    "norm_l1 of each": (norm_l1, 1),
    "norm_l2 of each": (norm_l2, 2),
    "norm_linf of each": (norm_linf, _inf),
}


# ---------------------------------------------------------------------------
# Inputs. Every table maps a name to a generator.

# (rng, shape, finfo of the dtype) -> matrix whose groups are the columns
KINDS = fuzz_projections.KINDS | {
    "identity": lambda rng, shape, info: np.eye(*shape),
    "ones": lambda rng, shape, info: np.ones(shape),
    "ninth powers": lambda rng, shape, info: rng.standard_normal(shape) ** 9,
    "constant columns": lambda rng, shape, info: np.repeat(
        rng.normal(size=(1, shape[1])), shape[0], axis=0
    ),
    "columns of any scale": lambda rng, shape, info: (
        rng.normal(size=shape)
        * 10.0 ** (rng.uniform(-0.9, 0.9, shape[1]) * math.log10(info.max))
    ),
    "near overflow": lambda rng, shape, info: (
        rng.uniform(-1.0, 1.0, size=shape) * float(info.max)
    ),
}
BROADCASTABLE = ("identical columns", "constant columns", "constant", "ones", "zeros")


def _with_groups_of(size, k, more):
    return int(size), int(2**k // size + more)


# (rng, exponent of 2, columns more) -> shape of the matrix
SHAPES = {
    "groups of one": lambda rng, k, more: (1, 2**k + more),
    "short groups": lambda rng, k, more: _with_groups_of(rng.integers(2, 63), k, more),
    "groups of about 64": lambda rng, k, more: _with_groups_of(
        rng.integers(63, 66), k, more
    ),
    "medium groups": lambda rng, k, more: _with_groups_of(
        64 * 16 ** rng.random(), k, more
    ),
    "square": lambda rng, k, more: (2 ** (k // 2), 2 ** (k // 2) + more),
    "long groups": lambda rng, k, more: (
        2**k // (n_groups := int(rng.integers(2, 24))) + more,
        n_groups,
    ),
    "one group": lambda rng, k, more: (2**k + more, 1),
}
EXPONENTS = {16: 0.5, 18: 0.4, 20: 0.1}  # with their shares
MORE = (-1, 0, 1, 192)


def _misaligned(A):
    """Copy A to an address that is no multiple of the size of an entry."""
    memory = np.full(A.nbytes + A.itemsize, 255, dtype=np.uint8)
    view = memory[1 : 1 + A.nbytes].view(A.dtype).reshape(A.shape)
    view[...] = A
    return view


def _with_margins(A, key, order="C"):
    """Copy A into a part of an array that is NaN everywhere else, margins included."""
    steps = [abs(part.step or 1) for part in key]
    shape = [n * step + 8 for n, step in zip(A.shape, steps, strict=True)]
    larger = np.full(shape, np.nan, dtype=A.dtype, order=order)
    view = larger[4:-4, 4:-4][key]
    view[...] = A
    return view


# matrix -> equal matrix in other memory
LAYOUTS = fuzz_projections.LAYOUTS | {
    "reversed rows": lambda A: _with_margins(A, np.s_[::-1, :]),
    "reversed columns": lambda A: _with_margins(A, np.s_[:, ::-1]),
    "reversed F": lambda A: _with_margins(A, np.s_[::-1, ::-1], order="F"),
    "strided rows": lambda A: _with_margins(A, np.s_[::2, :]),
    "strided columns": lambda A: _with_margins(A, np.s_[:, ::2]),
    "strided columns, backwards": lambda A: _with_margins(A, np.s_[:, ::-2]),
    "misaligned": _misaligned,
}


def _broadcast(A):
    """View equal to A whose memory is one row, column or entry; it is read-only."""
    for key in (np.s_[:1, :1], np.s_[:1], np.s_[:, :1]):
        view = np.broadcast_to(A[key].copy(), A.shape)
        if np.array_equal(view, A):
            return view
    raise ValueError("The rows and the columns of A differ.")


# Layouts that cannot be written to, and what is taken where they are not accepted.
READ_ONLY_LAYOUTS = {
    "broadcast": _broadcast,
    "CSR": sparse.csr_array,
    "CSC": sparse.csc_array,
}
DENSE_LAYOUTS = {"CSR": "C", "CSC": "F"}
ALL_LAYOUTS = LAYOUTS | READ_ONLY_LAYOUTS


# (norm, norm of one column, random number in [0, 1)) -> radius
LARGE_RADII = RADII | {
    "smallest number": lambda norm, of_one, u: math.ulp(0.0),
    "1e-300": lambda norm, of_one, u: 1e-300,
    "1e-14": lambda norm, of_one, u: 1e-14,
    "1e-17 of the norm": lambda norm, of_one, u: 1e-17 * norm,
    "1e-14 of the norm": lambda norm, of_one, u: 1e-14 * norm,
    "1e-6 of the norm": lambda norm, of_one, u: 1e-6 * norm,
    "10 % of the norm": lambda norm, of_one, u: 0.1 * norm,
    "half the norm": lambda norm, of_one, u: 0.5 * norm,
    "share of one column": lambda norm, of_one, u: u * of_one,
}

# Each case makes as many calls.
THREADS = (1, 2, None)
MODES = ("new", "out", "in place")
INPUTS_PER_CASE = len(MODES)
CASES_PER_PROBLEM = 4


class Problem(NamedTuple):
    """Numbers, and a radius, except that this depends on the norm of the ball."""

    seed: int
    number: int
    kind: str
    exponent: int  # there are about 2 ** exponent entries
    shape_kind: str
    shape: tuple  # (group size, number of groups)
    dtype: str  # that holds the numbers
    radius_kind: str
    share: float  # makes the radius
    chosen_group: int

    def __str__(self):
        size, n_groups = self.shape
        return (
            f"{self.kind}, {n_groups} groups of {size}, numbers in {self.dtype}, "
            f"radius: {self.radius_kind}"
        )


class Case(NamedTuple):
    """A problem as an array in memory, and the calls to make with it."""

    problem: Problem
    dtype: str
    axis: int
    layout: str
    out_layout: str
    calls: tuple  # of (mode, number of threads)

    def __str__(self):
        return f"{self.problem}; {self.dtype}, axis={self.axis}, {self.layout}"


@functools.lru_cache(maxsize=1)
def make_problem(seed, number):
    """Problem of a number, without its data."""
    rng = np.random.default_rng((seed, number))
    exponent = pick(rng, EXPONENTS, list(EXPONENTS.values()))
    shape_kind = pick(rng, SHAPES)
    shape = SHAPES[shape_kind](rng, exponent, pick(rng, MORE))
    return Problem(
        seed,
        number,
        pick(rng, KINDS),
        exponent,
        shape_kind,
        shape,
        pick(rng, TOLERANCE),
        pick(rng, LARGE_RADII),
        rng.random(),
        int(rng.integers(shape[1])),
    )


def make_case(seed, index):
    """Case number `index` of a seed, without its data."""
    problem = make_problem(seed, index // CASES_PER_PROBLEM)
    rng = np.random.default_rng((seed, index, 1))
    if problem.kind in BROADCASTABLE and rng.random() < 0.5:
        layout = "broadcast"
    else:
        layout = pick(rng, [*LAYOUTS, *DENSE_LAYOUTS])
    modes = MODES if layout in LAYOUTS else ("new",) * len(MODES)
    threads = [THREADS[i] for i in rng.permutation(len(THREADS))]
    return Case(
        problem,
        "float64" if problem.dtype == "float64" else pick(rng, TOLERANCE),
        int(rng.integers(2)),
        layout,
        pick(rng, LAYOUTS),
        tuple(zip(modes, threads, strict=True)),
    )


@functools.lru_cache(maxsize=1)
def make_groups(problem):
    """Numbers of a problem as float64; the groups are the rows."""
    rng = np.random.default_rng((problem.seed, problem.number, 2))
    C = KINDS[problem.kind](rng, problem.shape, np.finfo(problem.dtype))
    return np.ascontiguousarray(C.T, dtype=problem.dtype).astype(np.float64)


# ---------------------------------------------------------------------------
# What the oracle says of a problem


@dataclass(frozen=True)
class Solved:
    """A problem with the answer of the oracle; the groups are the rows.

    What the oracle sees is divided by powers of two where its sums would overflow or
    lose digits: by one for each group if the groups do not matter to each other.
    """

    radius: float
    groups: np.ndarray  # not scaled, as all that stands above the exponents
    low: np.ndarray  # entries or 0, whichever is less
    high: np.ndarray  # entries or 0, whichever is more
    weights: np.ndarray | None
    exponents: np.ndarray  # of the powers of two, one or one for each group
    radii: np.ndarray  # as many
    norms: np.ndarray  # of the data, as many
    left: np.ndarray  # of the data that are not dead, as many
    expected: np.ndarray
    thresholds: np.ndarray
    dead: np.ndarray  # entries that have to be zero
    largest: np.ndarray  # what errors are relative to, as many
    largest_threshold: float  # what errors of thresholds are relative to


def _radius(family, problem, weighted, exponent):
    """Radius of a problem, from its data divided by a power of two."""
    norm = family.norm.quick(weighted.T)
    of_one = np.linalg.norm(weighted[problem.chosen_group], family.norm.orders[-1])
    with np.errstate(over="ignore"):
        norm, of_one = np.ldexp((norm, of_one), exponent).tolist()
    radius = LARGE_RADII[problem.radius_kind](norm, of_one, problem.share)
    if family.fills:  # what is not finite is refused
        return min(radius, 10.0 * norm, float(np.finfo(problem.dtype).max) / 2.0)
    return radius


def _norms(family, rows):
    """Norm of each row by itself, or the norm of all, summed in pairs."""
    if family.batched:
        exponents = np.frexp(np.abs(rows).max(axis=1))[1]  # squares may be subnormal
        norms = np.linalg.norm(scaled(rows, exponents), family.norm.orders[-1], axis=1)
        return np.ldexp(norms, exponents)
    return np.reshape(family.norm.quick(rows.T), 1)


def scaled(rows, exponents):
    """Divide rows by powers of two; the rows themselves if the exponents are 0."""
    if not exponents.any():
        return rows
    with np.errstate(under="ignore"):
        return np.ldexp(rows, -exponents[:, np.newaxis])


@functools.lru_cache(maxsize=1)
def solve(name, problem):
    """Make the data of a problem and ask the oracle of a family."""
    family = FAMILIES[name]
    groups = make_groups(problem)
    weights = None if family.weights is None else family.weights(groups)
    _, exponent = np.frexp(np.abs(groups).max())
    weighted = np.ldexp(groups, -exponent)
    if weights is not None:
        weighted *= weights
    radius = _radius(family, problem, weighted, exponent)

    if family.whole:
        groups = groups.reshape(1, -1)
        weights = None if weights is None else weights.reshape(1, -1)
    largest = np.abs(groups).max(axis=1 if family.batched else None, keepdims=True)
    if family.fills:  # the result may be larger than the data
        largest = np.maximum(largest, radius)
    _, exponents = np.frexp(largest.ravel())
    if np.abs(exponents).max() < SAFE_EXPONENT:
        exponents[:] = 0
    rows = scaled(groups, exponents)
    largest = scaled(largest, exponents).ravel()
    with np.errstate(over="ignore", under="ignore"):
        radii = np.ldexp(radius, -exponents)
    expected, thresholds = family.oracle(
        rows,
        radii if family.batched else radii.item(),
        *(() if weights is None else (weights,)),
    )
    thresholds = np.reshape(thresholds, -1)

    if weights is None:
        vanishing = np.broadcast_to(family.vanishing(rows.T), rows.T.shape)
    else:
        vanishing = oracles.ratios(rows, weights).T
    over = 0 if family.batched else None
    tops = np.max(vanishing, axis=over, where=vanishing < np.inf, initial=0.0)
    limits = np.minimum(thresholds, np.finfo(np.float64).max)
    limits = limits - ZERO_MARGIN * tops - np.ldexp(math.ulp(0.0), -exponents)
    dead = np.ascontiguousarray((vanishing < limits).T)
    weighted = rows if weights is None else weights * rows
    norms = _norms(family, weighted)
    return Solved(
        radius,
        groups,
        np.minimum(groups, 0.0),
        np.maximum(groups, 0.0),
        weights,
        exponents,
        radii,
        norms,
        _norms(family, np.where(dead, 0.0, weighted)),
        expected,
        thresholds,
        dead,
        largest,
        max(norms.max(), tops.max()),
    )


# ---------------------------------------------------------------------------
# The check of one case


def lay_out(case, groups, *, takes_sparse=False):
    """Array of a case and an equal one in C order; the groups are rows of float64."""
    array = (groups.T if case.axis == 0 else groups).astype(case.dtype)
    layout = case.layout
    if not takes_sparse:
        layout = DENSE_LAYOUTS.get(layout, layout)
    return ALL_LAYOUTS[layout](array), array


def results(case, X, array, function, announce):
    """Make the calls of a case.

    Yields
    ------
    rows : ndarray of shape (n_groups, group_size)
        The result of the first call, as float64, so that the groups are rows. That of
        the other calls has the same bits.
    more : object
        What else the function returns.
    """
    first = None
    for mode, n_threads in case.calls:
        announce(f"n_threads={n_threads}, {mode}")
        out = None
        if mode == "in place":
            require(np.array_equal(X, array), "X has changed, although not in place")
            out = X
        elif mode == "out":
            out = LAYOUTS[case.out_layout](np.full_like(array, 7.0))
        if case.layout in LAYOUTS:
            X.flags.writeable = mode == "in place"
        P, more = function(X, out=out, n_threads=n_threads)
        require(P.dtype == X.dtype and P.shape == X.shape, "another dtype or shape")
        if out is not None:
            require(P is out, "out is not returned")
            require(nothing_beside(P), "written beside the result")
        elif sparse.issparse(P):
            P = P.toarray()
        else:
            require(not np.may_share_memory(P, X), "the result shares memory with X")
        if first is None:
            first = P
            rows = P.T if case.axis == 0 else P
            yield np.ascontiguousarray(rows, dtype=np.float64), more
        require(
            np.array_equal(P, first),
            "another number of threads or place of the result gives another result",
        )
    if case.layout in LAYOUTS:
        require(nothing_beside(X), "written beside X")
    else:
        now = X.toarray() if sparse.issparse(X) else X
        require(np.array_equal(now, array), "X has changed, although not in place")


def nothing_beside(view):
    """Whether the memory around a view is NaN, as it was."""
    base = view.base
    if base is None:
        return True
    if base.dtype == np.uint8:  # `_misaligned`
        return (base[:1] == 255).all() and (base[1 + view.nbytes :] == 255).all()
    return np.count_nonzero(np.isnan(base)) == base.size - view.size


def check_projection(name, case, announce):
    """Compare the results for a case with all that is known about them."""
    family = FAMILIES[name]
    announce("the oracle")
    solved = solve(name, case.problem)
    shape = case.problem.shape[::-1]
    X, array = lay_out(
        case, solved.groups.reshape(shape), takes_sparse=family.takes_sparse
    )
    arguments = {"axis": case.axis}
    if solved.weights is not None:
        weights = solved.weights.reshape(shape)
        weights = weights.T if case.axis == 0 else weights
        arguments["weights"] = LAYOUTS[case.out_layout](weights)
    function = functools.partial(family.call, radius=solved.radius, **arguments)
    for rows, thresholds in results(case, X, array, function, announce):
        _check_rows(family, case, solved, rows.reshape(solved.groups.shape))
        if thresholds is not None:
            _check_thresholds(case, solved, np.ravel(thresholds))


def _check_rows(family, case, solved, rows):
    """Check a result; its rows are the groups."""
    dtype = case.dtype
    if family.fills:
        require(np.isfinite(rows).all(), "the result is not finite")
        require((rows >= 0.0).all(), "an entry of the result is negative")
    else:
        require(  # false for NaN as well
            ((solved.low <= rows) & (rows <= solved.high)).all(),
            "an entry is not finite, has grown or has changed its sign",
        )
    rows = scaled(rows, solved.exponents)
    require(
        not np.logical_and(rows, solved.dead).any(),
        "something below the threshold is not exactly zero",
    )
    # Below the smallest normal number, entries are rounded absolutely, and so are they
    # and their radius when they are scaled.
    with np.errstate(over="ignore"):
        smallest = float(np.finfo(dtype).smallest_subnormal)
        rounding = np.ldexp(smallest, -solved.exponents) + 2.0 * math.ulp(0.0)
    errors = np.abs(rows - solved.expected)
    errors = errors.max(axis=1) if family.batched else np.reshape(errors.max(), 1)
    worst = np.argmax(errors - TOLERANCE[dtype] * solved.largest - rounding)
    require(
        errors[worst] <= TOLERANCE[dtype] * solved.largest[worst] + rounding[worst],
        "the result is not that of the oracle (error relative to the largest entry)",
        errors[worst] / max(solved.largest[worst], rounding[worst]),
    )
    if family.meets:
        _check_norms(family, case, solved, rows, rounding)


def _norm_tolerance(dtype, n_entries):
    return NORM_TOLERANCE[dtype] * math.sqrt(max(n_entries / USUAL_SUM, 1.0))


def _check_norms(family, case, solved, rows, rounding):
    """Check that norms are the radius if they were larger, or if they have to be."""
    dtype, radii = case.dtype, solved.radii
    if solved.weights is None:
        norms = _norms(family, rows)
        rounding = rounding * rows.shape[1]
    else:
        norms = _norms(family, solved.weights * rows)
        rounding = rounding * solved.weights.sum(axis=1)
    if not family.batched:
        rounding = rounding * len(rows)
    n_entries = rows.shape[1] if family.batched else rows.size
    goals = radii if family.fills else np.minimum(radii, solved.norms)
    above = norms - goals
    allowed = rounding + _norm_tolerance(dtype, n_entries) * goals
    worst = np.argmax(above - allowed)
    require(
        above[worst] <= allowed[worst],
        "the norm is above the radius (relative to the radius)",
        above[worst] / (goals[worst] or 1.0),
    )
    allowed = rounding + MISSING[dtype] * goals
    if family.meets_tiny:
        n_left = np.count_nonzero(~solved.dead, axis=1)
        allowed += MISSING_OF_LARGEST[dtype] * solved.largest * n_left
    else:
        allowed += MISSING_OF_LEFT * solved.left
    worst = np.argmax(-above - allowed)
    require(
        -above[worst] <= allowed[worst],
        "the norm is below the radius (relative to the radius)",
        -above[worst] / (goals[worst] or 1.0),
    )


def _check_thresholds(case, solved, thresholds):
    """Check what a projection says that its threshold is."""
    expected = solved.thresholds
    require(thresholds.shape == expected.shape, "thresholds of another shape")
    with np.errstate(over="ignore", under="ignore"):
        result = np.ldexp(thresholds, -solved.exponents)
        unscaled = np.ldexp(expected, solved.exponents)
    # What is above all numbers comes back as infinity.
    result = np.where(np.isinf(unscaled) & (unscaled == thresholds), expected, result)
    # Below the smallest normal number, what they sum is rounded absolutely.
    with np.errstate(over="ignore"):
        smallest = float(np.finfo(case.dtype).smallest_subnormal)
        rounding = np.ldexp(smallest, -solved.exponents) * solved.groups.shape[1]
    errors = np.abs(result - expected) - rounding
    require(
        errors.max() <= TOLERANCE[case.dtype] * solved.largest_threshold,
        "the threshold is not that of the oracle (relative to the largest possible)",
        errors.max() / (solved.largest_threshold or 1.0),
    )


def _norms_by_numpy(groups):
    """All norms of an array, by name, as arrays of one dimension."""
    tops = np.abs(groups).max(axis=1)
    exponents = np.frexp(tops.max(keepdims=True))[1]
    columns = scaled(groups, exponents).T
    norms = {
        key: np.ldexp(Norm(orders).quick(columns), exponents)
        for key, (_, orders) in NORMS.items()
    }
    exponents = np.frexp(tops)[1]
    rows = scaled(groups, exponents)
    for key, (_, order) in NORMS_OF_EACH.items():
        norms[key] = np.ldexp(np.linalg.norm(rows, order, axis=1), exponents)
    return norms


def check_norms(name, case, announce):
    """Compare the norms of an array with those of NumPy."""
    groups = make_groups(case.problem)
    X, _ = lay_out(case, groups)
    tolerance = _norm_tolerance("float64", groups.size)
    functions = NORMS | NORMS_OF_EACH
    with np.errstate(over="ignore", under="ignore"):
        all_expected = _norms_by_numpy(groups)
    for key, expected in all_expected.items():
        function, _ = functions[key]
        norms = []
        for _, n_threads in case.calls:
            announce(f"{key}, n_threads={n_threads}")
            norms.append(function(X, axis=case.axis, n_threads=n_threads))
            require(np.array_equal(norms[-1], norms[0]), f"threads change {key}")
        with np.errstate(invalid="ignore"):  # norms that are infinite
            errors = np.where(norms[0] == expected, 0.0, np.abs(norms[0] - expected))
        errors = errors - groups.size * math.ulp(0.0)
        relative = errors / np.where(expected > 0.0, expected, 1.0)
        require(
            relative.max() <= tolerance,
            f"{key} is not that of NumPy (relative error)",
            relative.max(),
        )


USUAL_SPARSITIES = (0.0, 0.1, 0.5, 0.9, 0.99, 1.0)


def _sparsities(rows):
    """Hoyer sparsity of each row."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    rows = np.divide(rows, largest, out=np.zeros(rows.shape), where=largest > 0.0)
    norms = np.linalg.norm(rows, axis=1)
    root = math.sqrt(rows.shape[1])
    ratios = np.abs(rows).sum(axis=1) / np.where(norms > 0.0, norms, 1.0)
    return (root - np.where(norms > 0.0, ratios, 1.0)) / (root - 1.0)


def _hoyer_of(groups, threshold):
    """Project the groups by the threshold that all of them share."""
    A = np.abs(groups)
    D = np.maximum(A - threshold, 0.0)
    vanished = np.flatnonzero(~D.any(axis=1))
    D[vanished, A[vanished].argmax(axis=1)] = 1.0
    D /= np.linalg.norm(D, axis=1, keepdims=True)
    return np.copysign(D * (D * A).sum(axis=1, keepdims=True), groups)


def check_hoyer(name, case, announce):
    """Check the level, the signs, the zeros, and what follows from the multiplier."""
    groups = make_groups(case.problem)
    size, _ = case.problem.shape
    number = 2 * len(USUAL_SPARSITIES) * case.problem.share
    if number < len(USUAL_SPARSITIES):
        sparsity = USUAL_SPARSITIES[int(number)]
    else:
        sparsity = 2.0 * case.problem.share - 1.0
    level_tolerance = fuzz_hoyer.LEVEL[np.dtype(case.dtype).char]
    X, array = lay_out(case, groups)
    function = functools.partial(
        projection_hoyer, sparsity=sparsity, axis=case.axis, return_multiplier=True
    )
    if np.abs(groups).max() > np.finfo(case.dtype).max / math.sqrt(size):
        return  # Entries become larger, and may be above all numbers.
    for rows, multiplier in results(case, X, array, function, announce):
        require(np.isfinite(rows).all(), "the result is not finite")
        require((np.sign(rows) * np.sign(groups) >= 0.0).all(), "a sign has changed")
        require(not rows[groups == 0.0].any(), "a zero became an entry")
        if size == 1:
            require(np.array_equal(rows, groups), "a vector of one entry has changed")
            continue
        if np.abs(groups).max() * level_tolerance < np.finfo(case.dtype).tiny:
            continue  # Numbers with few digits may not reach a level.
        before = _sparsities(groups).mean()
        wanted = max(sparsity, before)
        level = _sparsities(rows).mean()
        require(
            abs(level - wanted) <= level_tolerance,
            "the average sparsity is not as wanted (difference)",
            level - wanted,
        )
        require(multiplier >= 0.0, "a negative multiplier")
        if multiplier == 0.0:
            require(np.array_equal(rows, groups), "a sparse array has changed")
            continue
        exponents = np.frexp(np.abs(groups).max(keepdims=True).ravel())[1]
        groups = scaled(groups, exponents)
        threshold = np.ldexp(multiplier, -exponents) / (math.sqrt(size) - 1.0)
        expected = _hoyer_of(groups, threshold)
        if abs(_sparsities(expected).mean() - wanted) > level_tolerance:
            continue  # The level is reached at a jump, by some of the groups.
        # What is left above the threshold has lost digits.
        top = np.abs(groups).max(axis=1)
        lost = 1e-14 * top / np.maximum(top - threshold, 1e-14)
        errors = np.abs(scaled(rows, exponents) - expected).max(axis=1)
        worst = np.argmax(errors - lost)
        require(
            errors[worst] <= TOLERANCE[case.dtype] + lost[worst],
            "the result is not that of its multiplier (error relative to the largest)",
            errors[worst],
        )


CHECKS = dict.fromkeys(FAMILIES, check_projection) | {
    "hoyer": check_hoyer,
    "norms": check_norms,
}


# ---------------------------------------------------------------------------
# Many inputs


def roads(case):
    """What a case reaches: a layout and a shape of a size, a kind and a radius."""
    problem = case.problem
    of_one = problem.shape_kind == "groups of one"
    return {
        (case.layout, problem.exponent, of_one),
        (problem.shape_kind, problem.exponent),
        problem.kind,
        problem.radius_kind,
    }


def sample(seed, most, n_scanned=8000):
    """Indices of a few cases of which each reaches something that those before do not.

    Parameters
    ----------
    seed : int
    most : dict of int to int
        How many cases there may be for each exponent of the size.
    n_scanned : int
        Number of cases to choose from.
    """
    indices, reached, left = [], set(), Counter(most)
    for index in range(n_scanned):
        if not left.total():
            break
        case = make_case(seed, index)
        if left[case.problem.exponent] and not roads(case) <= reached:
            indices.append(index)
            reached |= roads(case)
            left[case.problem.exponent] -= 1
    return indices


def run_case(name, seed, index, announce):
    """Check case number `index` of a seed.

    Returns
    -------
    failure : tuple of str or None
        What has failed, and a number.
    """
    case = make_case(seed, index)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            CHECKS[name](name, case, announce)
        except Failed as failure:
            return failure.args
        except Exception as error:  # whatever it is, it is a finding
            return type(error).__name__, str(error)
    return None


def fuzz(name, seed, indices, *, limit=60.0, report=lambda text: None):
    """Check a ball on the cases of some indices, in child processes.

    Parameters
    ----------
    name : str
        A key of `CHECKS`.
    seed : int
    indices : iterable of int
    limit : float
        Seconds that a call may take.
    report : callable
        Called with a line about each failure.

    Returns
    -------
    summary : Summary
    """
    summary = Summary()
    work = functools.partial(run_case, name, seed)
    for index, failure in in_children(work, indices, limit):
        summary.tried += INPUTS_PER_CASE
        if failure is not None:
            options = f"--seed {seed} --start {index} --count 1 --balls {name}"
            reproduce = f"{options}  # {make_case(seed, index)}"
            summary.fail(*failure, reproduce)
            report(f"{name}: {failure[0]}: {failure[1]}; {reproduce}")
    return summary


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000, help="number of inputs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="index of the first case")
    parser.add_argument("--balls", nargs="+", choices=CHECKS, default=list(CHECKS))
    parser.add_argument(
        "--limit", type=float, default=60.0, help="seconds that a call may take"
    )
    parser.add_argument("--verbose", action="store_true", help="report all failures")
    arguments = parser.parse_args()
    report = functools.partial(print, flush=True)
    n_cases = math.ceil(arguments.count / len(arguments.balls) / INPUTS_PER_CASE)
    n_inputs = n_failures = 0
    for name in arguments.balls:
        began = time.monotonic()
        summary = fuzz(
            name,
            arguments.seed,
            range(arguments.start, arguments.start + n_cases),
            limit=arguments.limit,
            report=report if arguments.verbose else lambda text: None,
        )
        report(f"{name}: {summary}\n    {time.monotonic() - began:.0f} s")
        n_inputs += summary.tried
        n_failures += summary.failures.total()
    print(f"{n_inputs} inputs, {n_failures} failures")
    return int(n_failures > 0)


if __name__ == "__main__":
    sys.exit(main())
