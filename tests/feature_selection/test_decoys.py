"""Decoys: moments, marginal distributions, categories."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import block_diag
from scipy.optimize import minimize
from sklearn.covariance import ledoit_wolf_shrinkage

from skproj.feature_selection import _decoys
from skproj.feature_selection._decoys import (
    DecoyModel,
    DenseDraw,
    LowRankDraw,
    find_categories,
    least_reconstructable,
    normal_scores,
    shrinkage_of,
)

PAIR = np.array([[1.0, 1.0], [1.0, 1.0]])
COVARIANCES = {
    "neighbours": 0.7 ** np.abs(np.subtract.outer(np.arange(6), np.arange(6))),
    "blocks": block_diag(*[np.full((3, 3), 0.8) + 0.2 * np.eye(3)] * 2),
    "equal columns": block_diag(PAIR, np.eye(4)),
}


def draw_normal(name, n_samples, random_state):
    root = np.linalg.cholesky(COVARIANCES[name] + 1e-12 * np.eye(6))
    return random_state.standard_normal((n_samples, 6)) @ root.T


@pytest.mark.parametrize("max_dense", [1500, 0], ids=["dense", "low rank"])
@pytest.mark.parametrize("name", COVARIANCES)
def test_gaussian_decoys_have_the_moments_of_features(name, max_dense, monkeypatch):
    """A feature and its decoy can be exchanged, as far as covariances tell."""
    monkeypatch.setattr(_decoys, "MAX_DENSE_FEATURES", max_dense)
    random_state = np.random.RandomState(0)
    X = 3.0 * draw_normal(name, 20_000, random_state) + np.arange(6)
    decoys = DecoyModel(X).draw(random_state)
    assert_allclose(decoys.mean(axis=0), np.arange(6), atol=0.1)
    together = np.corrcoef(X, decoys, rowvar=False)
    own, cross, between = together[:6, :6], together[:6, 6:], together[6:, 6:]
    assert_allclose(between, own, atol=0.07)
    others = ~np.eye(6, dtype=bool)
    assert_allclose(cross[others], own[others], atol=0.06)
    # Only equal columns have a decoy that is almost a copy.
    if name != "equal columns":
        assert np.diag(cross).max() < 0.9


@pytest.mark.parametrize("shape", [(30, 8), (8, 30)], ids=str)
def test_draws_have_the_conditional_moments(shape):
    """Both draws are x - S Sigma^-1 x, plus noise of covariance 2 S - S Sigma^-1 S."""
    rng = np.random.default_rng(0)
    Z = rng.standard_normal(shape) * np.linspace(1.0, 2.0, shape[1])
    Sigma = 0.6 / len(Z) * Z.T @ Z + 0.4 * np.eye(shape[1])
    inverse = np.linalg.inv(Sigma)
    least = np.linalg.eigvalsh(Sigma)[0]
    choices = {
        DenseDraw: np.diag(least_reconstructable(Sigma)),
        LowRankDraw: least * np.eye(shape[1]),
    }
    for draw, S in choices.items():
        model = draw(Z, 0.4)
        noise = np.zeros(shape)
        mean = model.draw(noise)
        assert_allclose(mean, Z - Z @ inverse @ S, atol=1e-10)
        # The noise is a linear function: the one of unit vectors is its matrix.
        rows = []
        for unit in np.eye(shape[1]):
            noise[0] = unit
            rows.append((model.draw(noise) - mean)[0])
        rows = np.array(rows)
        assert_allclose(rows.T @ rows, 2.0 * S - S @ inverse @ S, atol=1e-10)


@pytest.mark.parametrize("name", COVARIANCES)
def test_s_is_least_reconstructable(name):
    """Another solver finds no smaller trace of the inverse covariance."""
    Sigma = 0.99 * COVARIANCES[name] + 0.01 * np.eye(6)

    def trace(s):
        S = np.diag(s)
        together = np.block([[Sigma, Sigma - S], [Sigma - S, Sigma]])
        if np.linalg.eigvalsh(together)[0] <= 1e-12:
            return 1e12
        return np.trace(np.linalg.inv(together))

    s = least_reconstructable(Sigma)
    start = np.linalg.eigvalsh(Sigma)[0] * np.ones(6)
    best = minimize(
        lambda logs: np.log(trace(np.exp(logs))),
        np.log(start),
        method="Nelder-Mead",
        options={"maxiter": 4000, "xatol": 1e-6, "fatol": 1e-9},
    )
    assert trace(s) <= 1.001 * np.exp(best.fun)
    assert trace(s) <= trace(start)


def test_decoys_have_the_entries_of_their_columns():
    """Also of ties and of heavy tails; constant columns are their own decoys."""
    random_state = np.random.RandomState(0)
    X = random_state.standard_normal((40, 5))
    X[:, 1] = np.round(X[:, 1])
    X[:, 2] = 7.0
    X[:, 3] = np.exp(5.0 * X[:, 3])
    decoys = DecoyModel(X).draw(random_state)
    assert_array_equal(np.sort(decoys, axis=0), np.sort(X, axis=0))
    assert not np.array_equal(decoys[:, 1], X[:, 1])
    constant = X[:, [2, 2]]
    assert_array_equal(DecoyModel(constant).draw(random_state), constant)


def test_equal_columns_of_two_values_have_decoys():
    """Their covariance is singular, and the shrinkage of Ledoit and Wolf is zero."""
    X = np.repeat(np.tile([[1.0], [-1.0]], (10, 1)), 3, axis=1)
    decoys = DecoyModel(X).draw(np.random.RandomState(0))
    assert_array_equal(decoys.sum(axis=0), np.zeros(3))


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_correlations_of_binary_columns_are_kept(share):
    """But for a part: the order of a Gaussian decoy tells less than the decoy."""
    random_state = np.random.RandomState(0)
    Z = draw_normal("neighbours", 20_000, random_state)
    X = (Z < np.quantile(Z, share)).astype(float)
    decoys = DecoyModel(X).draw(random_state)
    together = np.corrcoef(X, decoys, rowvar=False)
    own, cross = together[:6, :6], together[:6, 6:]
    neighbours = np.eye(6, k=1, dtype=bool)
    assert_allclose(cross[neighbours] / own[neighbours], 0.93, atol=0.1)
    assert np.diag(cross).max() < 0.6


def make_categories(n_samples, seed):
    """Return normal columns, and the columns of three levels cut from one of them."""
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((n_samples, 4))
    Z[:, 1:] = 0.6 * Z[:, :1] + 0.8 * Z[:, 1:]
    level = np.searchsorted([-1.0, 0.3], Z[:, 1])
    return np.column_stack([Z[:, 0], np.eye(3)[level], Z[:, 2:]])


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_decoys_of_categories_are_categories(scale):
    """They have one level in each row, about as often as the columns, and relations."""
    X = make_categories(3000, 0)
    X[:, 1:4] = scale * X[:, 1:4] - 0.5
    assert [list(c) for c in find_categories(X)] == [[1, 2, 3]]
    decoys = DecoyModel(X).draw(np.random.RandomState(0))
    marks = (decoys[:, 1:4] + 0.5) / scale
    assert_array_equal(marks.sum(axis=1), np.ones(3000))
    assert_array_equal(np.unique(marks), [0.0, 1.0])
    assert_allclose(decoys[:, 1:4].mean(axis=0), X[:, 1:4].mean(axis=0), atol=0.02)
    own = np.corrcoef(X, rowvar=False)[1:4, [0, 4, 5]]
    cross = np.corrcoef(decoys[:, 1:4], X[:, [0, 4, 5]], rowvar=False)[:3, 3:]
    strong = np.abs(own) > 0.2
    assert_allclose(cross[strong] / own[strong], 0.9, atol=0.2)
    level = X[:, 1:4].argmax(axis=1)
    assert 0.2 < np.mean(marks.argmax(axis=1) != level) < 0.8


def test_categories_are_found_among_other_columns():
    """Binary columns beside them, constant ones and single levels are not levels."""
    levels = np.eye(3)[np.arange(12) % 3]
    flags = np.array([0.0] * 11 + [1.0])
    X = np.column_stack([flags, levels, np.ones(12), levels[:, :2], flags, levels])
    assert [list(c) for c in find_categories(X)] == [[1, 2, 3], [8, 9, 10]]
    assert find_categories(np.column_stack([flags, np.arange(12.0)])) == []


def test_normal_scores_of_ties():
    """Without ties all columns have the same scores."""
    rng = np.random.default_rng(0)
    X = rng.exponential(size=(50, 3)) ** 3
    X[:, 2] = X[:, 2] > np.median(X[:, 2])
    scores = normal_scores(X)
    assert_allclose(np.sort(scores[:, 0]), np.sort(scores[:, 1]))
    assert_allclose(np.unique(scores[:, 2]), [-1.0, 1.0])


@pytest.mark.parametrize("shape", [(40, 9), (9, 40)], ids=str)
def test_shrinkage_is_that_of_ledoit_and_wolf(shape):
    Z = normal_scores(np.random.default_rng(0).standard_normal(shape).cumsum(axis=1))
    assert_allclose(shrinkage_of(Z), ledoit_wolf_shrinkage(Z, assume_centered=True))
    assert shrinkage_of(normal_scores(np.arange(9.0)[:, np.newaxis])) == 1.0
