"""Large adversarial matrices, radii and memory layouts."""

import functools
import math
from typing import NamedTuple

import fuzz_inputs
import numpy as np
from fuzz_inputs import RADII, pick
from fuzz_targets import (
    TOLERANCE,
)
from scipy import sparse

# ---------------------------------------------------------------------------
# Inputs. Every table maps a name to a generator.

# (rng, shape, finfo of the dtype) -> matrix whose groups are the columns
KINDS = fuzz_inputs.KINDS | {
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
LAYOUTS = fuzz_inputs.LAYOUTS | {
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
