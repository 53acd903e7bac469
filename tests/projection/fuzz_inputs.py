"""Adversarial matrices, radii and memory layouts, for the fuzzers."""

import math
from typing import NamedTuple

import numpy as np

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
