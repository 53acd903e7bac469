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


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array, sparse.csc_array])
@pytest.mark.parametrize(
    ("dtype", "exponents"),
    [(np.float64, [-1010, -600, 600, 1010]), (np.float32, [-145, -120, 60, 120])],
)
def test_powers_of_two_scale_the_moments_exactly(make, dtype, exponents):
    """Whatever the squares of the entries are."""
    rng = np.random.default_rng(0)
    X = rng.integers(-8, 9, (50, 4)).astype(dtype)
    weights = rng.integers(1, 5, 50) / 128
    weights[-1] += 1.0 - weights.sum()
    scaled = make(np.ldexp(X, exponents))
    found = mean_and_deviation(scaled, weights)
    for value, expected in zip(
        found, mean_and_deviation(make(X), weights), strict=True
    ):
        assert_array_equal(value, np.ldexp(expected, exponents))
    moments = BlockMoments()
    scaled = sparse.csr_array(scaled) if sparse.issparse(scaled) else scaled
    for start in range(0, 50, 7):
        moments.add(scaled[start : start + 7], weights[start : start + 7])
    for value, expected in zip(moments.mean_and_deviation(), found, strict=True):
        assert_allclose(value, expected, rtol=1e-13)


def test_largest_numbers_have_moments():
    largest = np.finfo(float).max
    X = np.array([[largest, 5e-324], [-largest, 0.0]])
    mean, deviation = mean_and_deviation(X, np.full(2, 0.5))
    assert_array_equal(mean[0], 0.0)
    assert_array_equal(deviation[0], largest)
    moments = BlockMoments()
    for row in X:
        moments.add(0.9 * row[np.newaxis], np.full(1, 0.5))
    mean, deviation = moments.mean_and_deviation()
    assert_array_equal(mean[0], 0.0)
    assert_allclose(deviation[0], 0.9 * largest)
