"""Weighted moments of the columns of a matrix."""

from copy import copy

import numpy as np
from scipy import sparse
from sklearn.utils.sparsefuncs import mean_variance_axis

# Moments read the columns in blocks of about this many entries.
MAX_BLOCK_ENTRIES = 1 << 18


def mean_and_deviation(X, weights):
    """Weighted mean and standard deviation of the columns, in float64.

    The weights add up to 1. The deviation is exactly zero where it is lost in the
    rounding of the mean.
    """
    mean, variance = _moments(X, weights)
    return _checked(mean, variance, X.shape[0], X.dtype)


class BlockMoments:
    """The same moments of a matrix that comes in blocks of rows."""

    def __init__(self):
        self.n_samples, self.weight = 0, 0.0
        self.mean = self.variance = 0.0

    def add(self, X, weights):
        """Add a block; the weights of all blocks add up to 1."""
        added = weights.sum()
        mean, variance = _moments(X, weights / added)
        self._merge(X.shape[0], added, mean, variance, X.dtype)

    def merge(self, other):
        """Return the moments of the blocks of both."""
        if not self.n_samples:
            return other
        joint = copy(self)
        if other.n_samples:
            joint._merge(
                other.n_samples, other.weight, other.mean, other.variance, other.dtype
            )
        return joint

    @np.errstate(over="ignore", invalid="ignore")
    def _merge(self, n_samples, weight, mean, variance, dtype):
        if not self.n_samples:
            self.mean, self.variance = mean, variance
        # Deviations from a common mean, without large squares that cancel out.
        share = weight / (self.weight + weight)
        step = mean - self.mean
        self.mean = self.mean + share * step
        self.variance = (
            (1.0 - share) * self.variance
            + share * variance
            + share * (1.0 - share) * np.square(step)
        )
        self.n_samples += n_samples
        self.weight += weight
        self.dtype = dtype

    def get_state(self):
        """Return what has been added as a dict of arrays."""
        return {
            "n_samples": self.n_samples,
            "weight": self.weight,
            "mean": self.mean,
            "variance": self.variance,
            "dtype": np.zeros(0, dtype=self.dtype),
        }

    def set_state(self, state):
        """Take what another has added."""
        self.n_samples, self.weight = int(state["n_samples"]), float(state["weight"])
        self.mean, self.variance = state["mean"], state["variance"]
        self.dtype = state["dtype"].dtype

    def mean_and_deviation(self):
        """Return the moments of all blocks."""
        return _checked(self.mean, self.variance, self.n_samples, self.dtype)


def _checked(mean, variance, n_samples, dtype):
    """Return the mean and the deviation, zero where it is lost in rounding."""
    if not np.isfinite(variance).all():
        raise ValueError("The variance of a column overflows; rescale the data.")
    deviation = np.sqrt(np.maximum(variance, 0.0))
    rounding = max(10.0 * np.finfo(dtype).eps, n_samples * np.finfo(np.float64).eps)
    deviation[deviation <= rounding * np.abs(mean)] = 0.0
    return mean, deviation


@np.errstate(over="ignore", invalid="ignore")
def _moments(X, weights):
    """Return the mean and the variance of the columns."""
    if sparse.issparse(X):
        X = X.astype(np.float64, copy=False)
        return mean_variance_axis(X, axis=0, weights=weights)
    n_samples, n_features = X.shape
    mean, variance = np.empty(n_features), np.empty(n_features)
    width = max(8, MAX_BLOCK_ENTRIES // n_samples)
    for start in range(0, n_features, width):
        block = slice(start, start + width)
        # Seen from the first row, constant columns are exactly zero.
        shift = X[0, block].astype(np.float64)
        deviations = X[:, block] - shift
        shifted_mean = weights @ deviations
        deviations -= shifted_mean
        mean[block] = shift + shifted_mean
        variance[block] = weights @ np.square(deviations, out=deviations)
    return mean, variance
