"""Entries that differ in their last digits, and radii that are smaller still."""

from fractions import Fraction

import numpy as np
import pytest

from skproj.projection import projection_l1_ball, projection_simplex


def exact_threshold(values, radius):
    """Threshold of the simplex in rational numbers."""
    values = sorted(map(Fraction, values), reverse=True)
    total, threshold = Fraction(0), None
    for count, value in enumerate(values, start=1):
        total += value
        candidate = (total - Fraction(radius)) / count
        if candidate < value:
            threshold = candidate
    return threshold


@pytest.mark.parametrize("project", [projection_simplex, projection_l1_ball])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(5, 3), (114, 40), (3000, 18)])
def test_near_ties_and_tiny_radii(project, order, dtype, shape):
    """Newton's steps are rounded down: an entry just above the root must count."""
    rng = np.random.default_rng(0)
    eps = float(np.finfo(dtype).eps)
    X = np.asarray(1.0 + rng.integers(0, 3, size=shape) * eps, dtype=dtype, order=order)
    for share in (0.03, 0.6, 5.14, 17.0, 300.0):
        radius = share * eps
        # A few roundings of what is subtracted from an entry beyond 1.
        error = 4.0 * eps * max(eps, radius)
        P = project(X, radius, axis=0).astype(np.float64)
        np.testing.assert_allclose(P.sum(axis=0), radius, rtol=0, atol=len(X) * error)
        column = X[:, 0].tolist()
        threshold = exact_threshold(column, radius)
        expected = [float(max(Fraction(x) - threshold, 0)) for x in column]
        np.testing.assert_allclose(P[:, 0], expected, rtol=0, atol=error)
