"""Vectors of a group sparse projection, their norms, and sums above thresholds."""

from typing import NamedTuple

import numpy as np

from skproj._kernels import _hoyer

# Squares of entries between these numbers, and of differences of neighbours, neither
# overflow nor lose digits.
SMALLEST_SAFE, LARGEST_SAFE = 1e-130, 1e140


class Vectors(NamedTuple):
    """Vectors one after the other: ``data[starts[i]:starts[i] + sizes[i]]``.

    data : float32 or float64 array of shape (n_entries,).
    weights : float64 array of the same shape, at most 1; None if all of them are 1.
    is_copy : whether `data` may be overwritten, because it is not memory of the user.
    """

    data: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray
    weights: np.ndarray | None
    is_copy: bool


def starts_of(sizes):
    """Return the positions at which vectors of these sizes begin."""
    return np.cumsum(sizes) - sizes


class Norms(NamedTuple):
    """Norms of all vectors, as float64 arrays of shape (n_vectors,)."""

    largest: np.ndarray
    sums: np.ndarray
    lengths: np.ndarray


def norms_of(vectors, n_threads):
    """Compute the norms; also scale vectors whose squares are out of range.

    Returns the vectors, their norms, and the exponents of the powers of two that they
    have been divided by; None if there are none.
    """
    norms = Norms(*np.empty((3, len(vectors.sizes))))
    where = vectors.data, vectors.starts, vectors.sizes
    _hoyer.vector_norms(*where, *norms, n_threads)
    largest = norms.largest
    if not np.isfinite(largest).all():
        raise ValueError("X contains NaN or infinity.")
    if (
        vectors.data.dtype == np.float32
        or not (
            ((largest < SMALLEST_SAFE) & (largest > 0.0)) | (largest > LARGEST_SAFE)
        ).any()
    ):
        return vectors, norms, None
    _, exponents = np.frexp(largest)
    exponents -= 1  # 2 to the power of the largest exponent would be infinite
    exponents[largest == 0.0] = exponents[largest > 0.0].max()
    data = np.ldexp(vectors.data, np.repeat(-exponents, vectors.sizes))
    scaled, norms, _ = norms_of(vectors._replace(data=data, is_copy=True), n_threads)
    return scaled, norms, exponents


class Directions(NamedTuple):
    """Measurements of the kernels at thresholds, arrays of shape (n_vectors,).

    `marks` are the numbers of entries above the thresholds; for weighted vectors the
    entries that are left of spent ones and -1 for others.
    """

    thresholds: np.ndarray
    means: np.ndarray
    lengths: np.ndarray
    slopes: np.ndarray
    marks: np.ndarray


class Measured:
    """Vectors that are measured at several thresholds."""

    def __init__(self, vectors, n_threads):
        self.vectors = vectors
        self.n_threads = n_threads

    def measure(self, thresholds):
        """Measure the directions at thresholds of shape (n_vectors,)."""
        directions = Directions(
            thresholds,
            *np.empty((3, len(thresholds))),
            np.empty(len(thresholds), dtype=np.intp),
        )
        self._measure(directions)
        return directions

    def _measure(self, directions):
        data, starts, sizes, weights, _ = self.vectors
        _hoyer.measure_weighted_directions(
            data, weights, starts, sizes, *directions, self.n_threads
        )

    def forget_below(self, directions):
        """Note that no threshold will be below those of some directions again."""


class Collected(Measured):
    """Vectors without weights, whose entries below all thresholds are dropped."""

    def __init__(self, vectors, n_threads):
        super().__init__(vectors, n_threads)
        n_vectors = len(vectors.sizes)
        self.starts = vectors.starts + _hoyer.SLACK * np.arange(n_vectors)
        n_entries = len(vectors.data) + _hoyer.SLACK * n_vectors
        self.kept = np.empty(n_entries, dtype=vectors.data.dtype)
        self.sizes = np.empty(n_vectors, dtype=np.intp)
        self.is_whole = True

    def _measure(self, directions):
        if self.is_whole:
            data, starts, sizes, _, _ = self.vectors
            self._collect(data, starts, sizes, directions.thresholds)
        _hoyer.measure_directions(
            self.kept, self.starts, self.sizes, *directions, self.n_threads
        )

    def _collect(self, data, starts, sizes, thresholds):
        _hoyer.collect_entries(
            data,
            starts,
            sizes,
            thresholds,
            self.kept,
            self.starts,
            self.sizes,
            self.n_threads,
        )

    def forget_below(self, directions):
        """Keep what is above the thresholds of the directions measured last."""
        if self.is_whole:
            self.is_whole = False
        elif 4 * directions.marks.sum() < 3 * self.sizes.sum():
            self._collect(self.kept, self.starts, self.sizes, directions.thresholds)
