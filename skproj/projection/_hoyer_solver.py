"""Group sparse projections of vectors of arrays: directions, and how they are written.

The algorithm is in `_hoyer_group.py`; the same for tensors is in
`skproj.nn.functional._hoyer_solver`.
"""

from typing import NamedTuple

import numpy as np

from skproj._kernels import _hoyer
from skproj.projection._hoyer_group import (
    SMALLEST_EXPONENT,
    TOLERANCE_INSIDE,
    Group,
    solve,
)
from skproj.projection._hoyer_search import JUMP_MARGIN, start_from_sample
from skproj.projection._hoyer_vectors import (
    Collected,
    Directions,
    Measured,
    Norms,
    norms_of,
)


class _Solution(NamedTuple):
    """Arguments of the writing kernels, and products of vectors and directions.

    The first six are arrays of shape (n_vectors,). With weights, `marks` are the
    entries that are left of spent vectors and -1 for others; without, how many equal
    entries are left. `mixed` has the number of a weighted vector and its direction,
    which is between two that have been measured; None if there is none.
    """

    levels: np.ndarray
    offsets: np.ndarray
    means: np.ndarray
    lengths: np.ndarray
    inner: np.ndarray
    marks: np.ndarray
    mixed: tuple | None = None


def _rates(vectors):
    """Cost of a mean, per vector, and the mean if the entries are as the weights."""
    if vectors.weights is None:
        full, smallest = np.sqrt(vectors.sizes), 1.0
    else:
        full = np.sqrt(np.add.reduceat(vectors.weights**2, vectors.starts))
        smallest = np.minimum.reduceat(vectors.weights, vectors.starts)
    return 1.0 / (full - smallest), full


class _ArrayGroup(Group):
    """Vectors of arrays, which the kernels measure and write."""

    def __init__(self, vectors, norms, units, n_threads):
        self.vectors, self.norms = vectors, norms
        self.n_threads = n_threads
        self.rates, self.full = _rates(vectors)
        self.largest = norms.largest
        self.units = units
        self.inside = TOLERANCE_INSIDE[vectors.data.dtype.char]

    def means(self):
        sums, lengths = self.norms.sums, self.norms.lengths
        if self.vectors.weights is None:
            return np.divide(sums, lengths, out=np.ones_like(sums), where=sums > 0.0)
        vectors = Measured(self.vectors, self.n_threads)
        return vectors.measure(np.zeros_like(sums)).means

    def smallest_means(self):
        """Return 1 for each vector, or the smallest weight of its nonzero entries."""
        data, starts, sizes, weights, _ = self.vectors
        if weights is None:
            return np.ones(len(sizes))
        smallest = np.minimum.reduceat(np.where(data == 0.0, np.inf, weights), starts)
        of_zeros = np.minimum.reduceat(weights, starts)
        return np.where(np.isfinite(smallest), smallest, of_zeros)

    def measured(self):
        kind = Collected if self.vectors.weights is None else Measured
        return kind(self.vectors, self.n_threads)

    def start_from_sample(self, problem, sparsity):
        return start_from_sample(self.vectors, problem, sparsity, self.n_threads)

    def solution(self, directions):
        vectors, largest = self.vectors, self.largest
        thresholds, means, lengths, _, marks = directions
        spent = lengths == 0.0
        inner = lengths + thresholds * means
        if vectors.weights is None:
            inner[spent] = largest[spent]
            levels = np.where(spent, largest, thresholds)
            marks = spent.astype(np.intp)
        else:
            inner[spent] = np.abs(vectors.data[vectors.starts[spent] + marks[spent]])
            levels = thresholds
        zeros = np.zeros_like(levels)
        return _Solution(levels, zeros, means.copy(), lengths.copy(), inner, marks)

    def single_entries(self, means):
        zeros = np.zeros_like(means)
        data, starts, sizes, weights, _ = self.vectors
        if weights is None:
            return self.solution(Directions(self.largest, means, zeros, zeros, zeros))
        candidates = np.where(weights == np.repeat(means, sizes), np.abs(data), -1.0)
        largest = np.maximum.reduceat(candidates, starts)
        places = np.flatnonzero(candidates == np.repeat(largest, sizes))
        marks = places[np.searchsorted(places, starts)] - starts
        return self.solution(Directions(zeros, means, zeros, zeros, marks))

    def joined(self, is_dense, dense, sparse):
        pairs = zip(dense, sparse, strict=True)
        return self.solution(Directions(*(np.where(is_dense, d, s) for d, s in pairs)))

    def with_mean(self, solution, i, mean, dense, sparse):
        vectors = self.vectors
        if vectors.weights is not None:
            mixed, solution.inner[i] = _mixture(vectors, i, dense, sparse, mean)
            return solution._replace(mixed=(i, mixed))
        one = vectors._replace(
            starts=vectors.starts[i : i + 1], sizes=vectors.sizes[i : i + 1]
        )
        one_norms = Norms(*(norm[i : i + 1] for norm in self.norms))
        exact = _exact(one, one_norms, np.array([mean]), self.n_threads)
        for values, value in zip(solution[:6], exact[:6], strict=True):
            values[i] = value[0]
        return solution

    def solve_each(self, sparsity):
        rates, full, largest = self.rates, self.full, self.largest
        done = rates * self.means() <= rates * full - sparsity + self.inside
        wanted = np.where(done, np.inf, full - sparsity / rates)
        solution = _exact(self.vectors, self.norms, wanted, self.n_threads)
        thresholds = largest + np.where(solution.marks > 0, 0.0, solution.offsets)
        solution = solution._replace(levels=largest.copy())
        self._leave_alone(solution, done)
        return np.where(done, 0.0, thresholds / rates), solution

    def _leave_alone(self, solution, chosen):
        """Make some vectors of a solution come out as they are."""
        lengths = np.where(self.norms.lengths > 0.0, self.norms.lengths, 1.0)
        alone = 0.0, 0.0, 0.0, lengths, lengths, 0
        for values, value in zip(solution[:6], alone, strict=True):
            np.copyto(values, value, where=chosen)


def _exact(vectors, norms, means, n_threads):
    """Solve for given means, each vector on its own; infinite ones are left out."""
    n_vectors = len(vectors.sizes)
    offsets, lengths, inner = np.ones((3, n_vectors))
    n_tied = np.zeros(n_vectors, dtype=np.intp)
    where = vectors.data, vectors.starts, vectors.sizes
    _hoyer.solve_vectors(
        *where, norms.largest, means, offsets, lengths, inner, n_tied, n_threads
    )
    tied = n_tied > 0
    inner[tied] = norms.largest[tied] * means[tied]
    return _Solution(norms.largest, offsets, means.copy(), lengths, inner, n_tied)


def _mixture(vectors, i, dense, sparse, mean):
    """Mix two directions of a weighted vector.

    Returns the direction that has the mean, with signs, and the product with it.
    """
    part = slice(vectors.starts[i], vectors.starts[i] + vectors.sizes[i])
    a, w = np.abs(vectors.data[part]).astype(np.float64), vectors.weights[part]

    def direction(of, factor):
        if of.lengths[i] > 0.0:
            y = np.maximum(a - of.thresholds[i] * factor * w, 0.0)
            return y / (np.linalg.norm(y) or 1.0)
        return (np.arange(len(a)) == of.marks[i]).astype(np.float64)

    # The kernels may round differences otherwise: what is left must not vanish here.
    x, y = direction(sparse, 1.0), direction(dense, 1.0 - JUMP_MARGIN)
    # (x + share * y) / norm has the mean: a quadratic equation for the share.
    square = (w @ y) ** 2 - mean**2
    half = (w @ x) * (w @ y) - mean**2 * (x @ y)
    rest = (w @ x) ** 2 - mean**2
    share = (np.sqrt(max(half**2 - square * rest, 0.0)) - half) / square
    mixed = x + share * y
    mixed /= np.linalg.norm(mixed)
    signed = mixed * np.sign(vectors.data[part]) + 0.0  # which makes -0 a 0
    return signed, mixed @ a


def _write(vectors, norms, solution, scale, out, n_threads):
    """Write the vectors of a solution to `out`, which has the shape of the data."""
    data, starts, sizes, weights, _ = vectors
    levels, offsets, means, lengths, inner, marks, mixed = solution
    new_lengths = norms.lengths if scale == "keep_l2" else inner
    factors = new_lengths / np.where(lengths > 0.0, lengths, 1.0)
    if weights is not None:
        _hoyer.write_weighted_directions(
            data, weights, starts, sizes, levels, factors, marks, out, n_threads
        )
        if mixed is not None:
            i, direction = mixed
            part = slice(starts[i], starts[i] + sizes[i])
            out[part] = new_lengths[i] * direction
        return
    others = offsets  # of no meaning where no entries are equal
    if marks.any():
        # Of n equal entries the first is larger, for the mean to be right.
        n = np.maximum(marks, 1)
        spread = np.sqrt(np.maximum((n - 1) * (n - means**2), 0.0))
        first = np.where(n > 1, (means + spread) / n, 1.0)
        factors = np.where(marks > 0, new_lengths * first, factors)
        others = new_lengths * (means - spread / np.maximum(n - 1, 1)) / n
    _hoyer.write_directions(
        data,
        starts,
        sizes,
        levels,
        offsets,
        factors,
        marks,
        others,
        out,
        n_threads,
    )


class HoyerOptions(NamedTuple):
    """Checked arguments of `projection_hoyer`."""

    sparsity: float
    per_vector: bool
    scale: str
    start: float | None


def project_vectors(vectors, options, out, n_threads):
    """Project the vectors; also return the multiplier.

    The result is written to `out`, which has the shape of the data, if it is not None.
    The data may be overwritten if they are a copy.
    """
    vectors, norms, exponents = norms_of(vectors, n_threads)
    top, units = 0, 1.0
    if exponents is not None:
        top = exponents.max()
        units = np.exp2(np.maximum(exponents - top, SMALLEST_EXPONENT))
    sparsity, per_vector, scale, start = options
    start = None if start is None else np.ldexp(start, -top)
    group = _ArrayGroup(vectors, norms, units, n_threads)
    mu, solution = solve(group, sparsity, per_vector, start)
    if per_vector and exponents is not None:
        top = exponents
    dtype = vectors.data.dtype
    with np.errstate(over="ignore"):
        lengths = np.ldexp(norms.lengths, 0 if exponents is None else exponents)
        # Entries may grow, up to the length of their vector.
        may_overflow = lengths.max() > np.finfo(dtype).max
        result = None if may_overflow else out
        if result is None:
            result = vectors.data if vectors.is_copy else np.empty_like(vectors.data)
        if solution is not None:
            _write(vectors, norms, solution, scale, result, n_threads)
        elif result is not vectors.data:
            np.copyto(result, vectors.data)
        if exponents is not None:
            np.ldexp(result, np.repeat(exponents, vectors.sizes), out=result)
        if may_overflow and not np.isfinite(result).all():
            raise ValueError(
                f"X is too large: its projection has entries above the largest {dtype}."
            )
        if out is not None and out is not result:
            np.copyto(out, result)
        return result, np.ldexp(mu, top)


def sparsities(vectors, n_threads):
    """Hoyer sparsity of each vector."""
    vectors, norms, _ = norms_of(vectors, n_threads)
    group = _ArrayGroup(vectors, norms, 1.0, n_threads)
    return np.clip(group.rates * (group.full - group.means()), 0.0, 1.0)
