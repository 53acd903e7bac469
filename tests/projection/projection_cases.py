"""Balls, matrices and comparisons for the tests of projections."""

import numpy as np
import pytest
from hypothesis import strategies as st

from skproj.projection import (
    BALLS,
    projection_l1_ball,
    projection_simplex,
    projection_weighted_l1_ball,
)


def weighted_l1(X, radius, **options):
    """Project onto a weighted l1 ball with the arguments of the other balls."""
    return projection_weighted_l1_ball(X, radius, 2.0, **options)


FUNCTIONS = [
    *(ball.projection for ball in BALLS.values()),
    projection_simplex,
    weighted_l1,
]
each_ball = pytest.mark.parametrize("ball", BALLS.values(), ids=BALLS)
each_function = pytest.mark.parametrize("function", FUNCTIONS)


@st.composite
def matrices(draw, min_rows=1):
    """Matrices with columns of different sizes, some zero, with and without ties."""
    shape = draw(st.integers(min_rows, 8)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if draw(st.booleans()):
        X = rng.integers(-3, 4, size=shape).astype(np.float64)
    else:
        X = rng.normal(size=shape) * rng.choice([0.0, 0.1, 1.0, 5.0], size=shape[1])
    X[0, 0] += 4.0  # not zero everywhere
    return X


def onto_vector_ball(x, radius, order):
    """Project from outside the l1, l2 or l_inf ball, all entries together."""
    if order == 1:
        return projection_l1_ball(x, radius)
    if order == 2:
        return x * radius / np.linalg.norm(x)
    return np.clip(x, -radius, radius)


def assert_equal_to_rounding(actual, expected, scale):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12 * scale)
