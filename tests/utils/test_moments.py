"""Moments of the columns of a matrix, as a whole and in blocks of rows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skproj.utils._moments import BlockMoments, mean_and_deviation


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array], ids=["dense", "csr"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 7, 90])
def test_blocks_have_the_moments_of_the_whole(make, dtype, size):
    """Offsets do not cancel out; constant columns have no deviation at all."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((90, 6)) + [0, 1, 1e4, 0, 0, 0]
    X[:, 3], X[:, 4] = 0.1, 1e9 / 3
    X[rng.random(90) < 0.9, 5] = 0.0
    X = make(X.astype(dtype))
    weights = rng.uniform(0.1, 5.0, 90)
    weights /= weights.sum()
    moments = BlockMoments()
    for start in range(0, 90, size):
        rows = slice(start, start + size)
        moments.add(X[rows], weights[rows])
    mean, deviation = moments.mean_and_deviation()
    expected_mean, expected_deviation = mean_and_deviation(X, weights)
    assert_allclose(mean, expected_mean, rtol=1e-12, atol=1e-12)
    assert_allclose(deviation, expected_deviation, rtol=1e-8)
    assert_array_equal(deviation == 0.0, [False, False, False, True, True, False])


def test_overflow_is_refused_in_blocks():
    moments = BlockMoments()
    for value in (-1e300, 1e300):
        moments.add(np.full((2, 1), value), np.full(2, 0.25))
    with pytest.raises(ValueError, match="variance of a column overflows"):
        moments.mean_and_deviation()
