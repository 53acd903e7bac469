"""Adversarial matrices, radii and memory layouts, small and large, for the fuzzer."""

import functools
import math
from typing import NamedTuple

import numpy as np
from scipy import sparse


class Failed(Exception):
    """A result that cannot be accepted."""


def require(condition, message, number=0.0):
    if not condition:
        raise Failed(message, f"{number:.1e}")


# Inputs. Every table maps a name to a generator.


def _powers_of_ten(rng, shape):
    return 10.0 ** rng.uniform(-12, 12, size=shape)


def _one_huge_entry(rng, shape, info):
    C = rng.normal(size=shape)
    C.flat[rng.integers(C.size)] *= 1e12
    return C


# (rng, shape, finfo of the dtype) -> matrix whose groups are the columns
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


def _log_uniform(rng, stop):
    return int(stop ** rng.random())


# rng -> small shape; long ones reach the vectorised, blocked and parallel loops
SMALL_SHAPES = {
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
SMALL_SHAPE_SHARES = np.array([885, 40, 40, 20, 5, 2, 5, 2, 0.5, 0.5]) / 1000


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


def _view_of_larger(A, shape, key, order="C"):
    """Copy A into a part of an array that is NaN everywhere else."""
    larger = np.full(shape, np.nan, dtype=A.dtype, order=order)
    larger[key] = A
    return larger[key]


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
DTYPES = ("float32", "float64")
THREADS = (1, 2, None)
MODES = ("new", "out", "in place")
INPUTS_PER_CASE = len(MODES)
CASES_PER_PROBLEM = 4  # that are large


def pick(rng, names, shares=None):
    """Pick one of the names, all as often or by their shares, which add up to 1."""
    names = tuple(names)
    if shares is None:
        return names[rng.integers(len(names))]
    return names[np.searchsorted(np.cumsum(shares), rng.random())]


class Problem(NamedTuple):
    """Numbers, and a radius, except that this depends on the norm of the ball."""

    seed: int
    number: int
    kind: str
    exponent: int  # there are about 2 ** exponent entries; 0 if there are few
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
def make_problem(seed, number, small=False):
    """Problem of a number, without its data."""
    rng = np.random.default_rng((seed, number))
    if small:
        exponent, shape_kind = 0, pick(rng, SMALL_SHAPES, SMALL_SHAPE_SHARES)
        shape = SMALL_SHAPES[shape_kind](rng)
    else:
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
        pick(rng, DTYPES),
        pick(rng, RADII),
        rng.random(),
        int(rng.integers(shape[1])),
    )


def make_case(seed, index, small=False):
    """Case number `index` of a seed, without its data."""
    number = index if small else index // CASES_PER_PROBLEM
    problem = make_problem(seed, number, small)
    rng = np.random.default_rng((seed, index, 1))
    if problem.kind in BROADCASTABLE and rng.random() < 0.5:
        layout = "broadcast"
    else:
        layout = pick(rng, [*LAYOUTS, *DENSE_LAYOUTS])
    modes = MODES if layout in LAYOUTS else ("new",) * len(MODES)
    threads = [THREADS[i] for i in rng.permutation(len(THREADS))]
    return Case(
        problem,
        "float64" if problem.dtype == "float64" else pick(rng, DTYPES),
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
