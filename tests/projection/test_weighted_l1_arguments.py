"""Slices, weights and out of the projection onto the weighted l1 ball."""

import numpy as np
import pytest
from scipy import sparse

from skproj.projection import (
    _reference,
    projection_weighted_l1_ball,
)

LONG = 70_000  # entries of a vector that a sample is taken of


@pytest.mark.parametrize("shape", [(4, 5, 6), (1, 5, 6), (6,), (4, 1, 1), ()])
@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 1), (2, 0)])
def test_projection_of_slices(axis, shape):
    """Each slice has its own threshold and its part of the broadcast weights."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(4, 5, 6))
    weights = rng.uniform(0.0, 2.0, size=shape)
    X.flags.writeable = False
    weights.flags.writeable = False
    P, tau = projection_weighted_l1_ball(
        X, 0.8, weights, axis=axis, return_threshold=True
    )
    W = np.broadcast_to(weights, X.shape)
    axes = range(3) if axis is None else np.atleast_1d(axis)
    last = range(-len(axes), 0)
    rows, weight_rows, results = (
        np.moveaxis(A, axes, last).reshape(np.size(tau), -1) for A in (X, W, P)
    )
    assert np.shape(tau) == X.sum(axis).shape
    for x, w, p, t in zip(rows, weight_rows, results, np.ravel(tau), strict=True):
        np.testing.assert_allclose(
            p, _reference.weighted_l1(x, 0.8, w), rtol=0, atol=1e-14
        )
        alone, single = projection_weighted_l1_ball(x, 0.8, w, return_threshold=True)
        np.testing.assert_array_equal(p, alone)
        assert t == single


@pytest.mark.parametrize("shape", [(3, 900), (300, 150), (20_000, 3), (LONG, 2)])
def test_columns_are_projected_like_rows(shape):
    """Also those that are left to another method, side by side with the others."""
    rng = np.random.default_rng(9)
    X, W = rng.normal(size=shape), rng.uniform(size=shape)
    X[:, 1::7] *= 1e-120
    X[:, 2::7] *= 1e120
    W[:, 3::7] *= 1e-90
    for radius in (1e-14, 0.8):
        expected, taus = projection_weighted_l1_ball(
            np.ascontiguousarray(X.T), radius, W.T, axis=1, return_threshold=True
        )
        P = X.copy()
        _, found = projection_weighted_l1_ball(
            P, radius, W, axis=0, out=P, return_threshold=True
        )
        np.testing.assert_array_equal(P, expected.T)
        np.testing.assert_array_equal(found, taus)
        norms = np.sum(W * np.abs(P), axis=0)
        outside = np.sum(W * np.abs(X), axis=0) > radius
        np.testing.assert_allclose(norms[outside], radius, rtol=1e-13)
        np.testing.assert_array_equal(P[:, ~outside], X[:, ~outside])


def test_out_may_hold_the_weights():
    """They are read before they are overwritten, also if they are broadcast."""
    rng = np.random.default_rng(4)
    X, memory = rng.normal(size=(5, 6)), rng.uniform(size=(5, 6))
    for axis in (None, 0, 1):
        for weights in (lambda A: A, lambda A: A[0], lambda A: A[::-1]):
            out = memory.copy()
            expected = projection_weighted_l1_ball(X, 0.5, weights(memory), axis=axis)
            projection_weighted_l1_ball(X, 0.5, weights(out), axis=axis, out=out)
            np.testing.assert_array_equal(out, expected)


def test_empty_array_comes_back_empty():
    """With thresholds of the right shape."""
    P, tau = projection_weighted_l1_ball(
        np.empty((0, 3)), 1.0, [1.0, 2.0, 3.0], axis=0, return_threshold=True
    )
    assert P.shape == (0, 3)
    np.testing.assert_array_equal(tau, np.zeros(3))


def _weights_with(value):
    return [1.0, 1.0, 1.0, value]


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (_weights_with(-1e-300), ValueError, "weights must be finite and non-neg"),
        (_weights_with(np.nan), ValueError, "weights must be finite"),
        (_weights_with(np.inf), ValueError, "weights must be finite"),
        (np.ones(3), ValueError, r"weights must have shape \(3, 4\) or be broad"),
        (np.ones((2, 3, 4)), ValueError, "weights must have shape"),
        (np.ones(4, dtype=bool), TypeError, "weights must hold real numbers"),
        (np.ones(4, dtype=complex), TypeError, "weights must hold real numbers"),
        (["1", "2", "3", "4"], TypeError, "weights must hold real numbers"),
        (None, TypeError, "weights must hold real numbers"),
        (sparse.csr_array(np.eye(4)), TypeError, "weights must hold real numbers"),
    ],
)
def test_bad_weights_are_refused_before_writing(weights, error, message):
    """One clear error that names them."""
    out = np.full((3, 4), 7.0)
    with pytest.raises(error, match=message):
        projection_weighted_l1_ball(np.ones((3, 4)), 1.0, weights, out=out)
    np.testing.assert_array_equal(out, 7.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
@pytest.mark.parametrize("axis", [None, 0, 1, (1, 0)], ids=str)
@pytest.mark.parametrize("place", [0, LONG // 2 + 3, LONG - 1])
def test_bad_numbers_are_seen_wherever_they_are(place, axis, value):
    """Before anything is written."""
    rng = np.random.default_rng(10)
    X, W = rng.normal(size=LONG), rng.uniform(size=LONG)
    W[place] = value
    P, shape = X.copy(), (LONG // 70, 70)
    with pytest.raises(ValueError, match="weights must be finite"):
        projection_weighted_l1_ball(
            P.reshape(shape), 1.0, W.reshape(shape), axis=axis, out=P.reshape(shape)
        )
    np.testing.assert_array_equal(P, X)
    if value != -1.0:
        with pytest.raises(ValueError, match="X contains NaN or infinity"):
            projection_weighted_l1_ball(W.reshape(shape), 1.0, 1.0, axis=axis)


def test_negative_zero_is_a_weight_of_zero():
    """It is not a negative number."""
    P = projection_weighted_l1_ball(np.array([3.0, 2.0]), 1.0, [1.0, -0.0])
    np.testing.assert_array_equal(P, [1.0, 2.0])


@pytest.mark.parametrize("seed", range(4))
def test_subnormal_radius_ends_the_search(seed):
    """A step that is too small to change an entry is the last."""
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=200_000), np.abs(rng.normal(size=200_000))
    for radius in (1e-320, 5e-324):
        P = projection_weighted_l1_ball(x, radius, w)
        assert np.abs(P).max() <= 1e-300


def test_masks_are_refused():
    """They would be lost."""
    weights = np.ma.masked_array([1.0, 2.0], mask=[0, 1])
    with pytest.raises(TypeError, match="weights is a masked array"):
        projection_weighted_l1_ball(np.ones(2), 1.0, weights)
    with pytest.raises(TypeError, match="out must be a NumPy array"):
        projection_weighted_l1_ball(
            np.ones(2), 1.0, 1.0, out=np.ma.masked_array([0.0, 0.0], mask=[0, 1])
        )


@pytest.mark.parametrize("weights", [-1.0, np.nan, np.inf])
def test_bad_weights_of_an_empty_array_are_refused(weights):
    with pytest.raises(ValueError, match="weights must be finite"):
        projection_weighted_l1_ball(np.empty((0, 3)), 1.0, weights)
