"""Weighted moments of the columns of a matrix."""

from copy import copy

import numpy as np
from scipy import sparse
from sklearn.utils.sparsefuncs import (
    inplace_column_scale,
    mean_variance_axis,
    min_max_axis,
)

# Moments read the columns in blocks of about this many entries.
MAX_BLOCK_ENTRIES = 1 << 18

# Sums of squares of entries from one over this size to this size are normal numbers.
SAFE_SIZE = 2.0**400


def normalized_weights(sample_weight, n_samples):
    """Return weights of the samples, all equal for None, that add up to 1."""
    weights = np.ones(n_samples) if sample_weight is None else sample_weight
    weights = weights / weights.max()  # huge ones would overflow
    return weights / weights.sum()


def mean_and_deviation(X, weights):
    """Weighted mean and standard deviation of the columns, in float64.

    The weights add up to 1. The deviation is exactly zero where it is lost in the
    rounding of the mean.
    """
    return _checked(*_moments(X, weights), X.shape[0], X.dtype)


class BlockMoments:
    """The same moments of a matrix that comes in blocks of rows."""

    def __init__(self):
        self.n_samples, self.weight = 0, 0.0
        self.mean = self.deviation = 0.0

    def add(self, X, weights):
        """Add a block; the weights of all blocks add up to 1."""
        added = weights.sum()
        self._merge(X.shape[0], added, *_moments(X, weights / added), X.dtype)

    def merge(self, other):
        """Return the moments of the blocks of both."""
        if not self.n_samples:
            return other
        joint = copy(self)
        if other.n_samples:
            joint._merge(
                other.n_samples, other.weight, other.mean, other.deviation, other.dtype
            )
        return joint

    def _merge(self, n_samples, weight, mean, deviation, dtype):
        if not self.n_samples:
            self.mean, self.deviation = mean, deviation
        # Deviations from a common mean, without large squares that cancel out.
        share = weight / (self.weight + weight)
        own, added = np.sqrt(1.0 - share), np.sqrt(share)
        between = own * added * mean - own * added * self.mean  # finite
        within = np.hypot(own * self.deviation, added * deviation)
        self.deviation = np.hypot(within, between)
        self.mean = (1.0 - share) * self.mean + share * mean
        self.n_samples += n_samples
        self.weight += weight
        self.dtype = dtype

    def mean_and_deviation(self):
        return _checked(self.mean, self.deviation, self.n_samples, self.dtype)


def unit_factors(sizes):
    """Return the powers of two that bring numbers of these sizes near 1."""
    _, exponents = np.frexp(np.asarray(sizes, dtype=np.float64))
    return np.ldexp(1.0, -np.maximum(exponents, -1000))  # larger ones would be infinite


def _checked(mean, deviation, n_samples, dtype):
    """Return the mean and the deviation, zero where it is lost in rounding."""
    rounding = max(10.0 * np.finfo(dtype).eps, n_samples * np.finfo(np.float64).eps)
    return mean, np.where(deviation <= rounding * np.abs(mean), 0.0, deviation)


def _moments(X, weights):
    """Return the mean and the deviation of the columns.

    Where squares overflow or are zero, a power of two brings the columns near 1.
    """
    n_samples, n_features = X.shape
    if sparse.issparse(X):
        X, factors = X.astype(np.float64, copy=False), 1.0
        sizes = np.abs(X.data)
        if np.any((sizes > SAFE_SIZE) | ((sizes < 1.0 / SAFE_SIZE) & (sizes > 0.0))):
            factors = unit_factors(np.abs(min_max_axis(X, axis=0)).max(axis=0))
            X = X.copy()
            inplace_column_scale(X, factors)
        mean, variance = mean_variance_axis(X, axis=0, weights=weights)
        return mean / factors, np.sqrt(np.maximum(variance, 0.0)) / factors
    mean, deviation = np.empty(n_features), np.empty(n_features)
    width = max(8, MAX_BLOCK_ENTRIES // n_samples)
    for start in range(0, n_features, width):
        part, block = X[:, start : start + width], slice(start, start + width)
        mean[block], deviation[block] = _moments_of_part(part, weights)
        size = deviation[block]
        unsafe = np.flatnonzero(~((size > 1.0 / SAFE_SIZE) & (size < SAFE_SIZE)))
        if len(unsafe):  # or constant
            part = part[:, unsafe]
            factors = unit_factors(np.maximum(part.max(axis=0), -part.min(axis=0)))
            found = np.divide(_moments_of_part(part * factors, weights), factors)
            mean[start + unsafe], deviation[start + unsafe] = found
    return mean, deviation


@np.errstate(over="ignore", invalid="ignore")
def _moments_of_part(part, weights):
    """Return the mean and the deviation of columns of an array."""
    # Seen from the first row, constant columns are exactly zero.
    shift = part[0].astype(np.float64)
    deviations = part - shift
    shifted_mean = weights @ deviations
    deviations -= shifted_mean
    variance = weights @ np.square(deviations, out=deviations)
    return shift + shifted_mean, np.sqrt(variance)
