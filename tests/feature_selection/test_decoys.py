"""Decoys, and the rates of false discoveries that they estimate."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.linalg import block_diag
from scipy.optimize import minimize

from skproj.feature_selection import _decoys
from skproj.feature_selection._decoys import (
    ColumnsWithDecoys,
    gaussian_decoys,
    least_reconstructable,
    permuted_decoys,
    smallest_rates,
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
    decoys = gaussian_decoys(X, random_state)
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
        _decoys._draw_dense: np.diag(least_reconstructable(Sigma)),
        _decoys._draw_low_rank: least * np.eye(shape[1]),
    }
    for draw, S in choices.items():
        noise = np.zeros(shape)
        mean = draw(Z, 0.4, noise)
        assert_allclose(mean, Z - Z @ inverse @ S, atol=1e-10)
        # The noise is a linear function: the one of unit vectors is its matrix.
        rows = []
        for unit in np.eye(shape[1]):
            noise[0] = unit
            rows.append((draw(Z, 0.4, noise) - mean)[0])
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


def test_constant_columns_are_their_own_decoys():
    random_state = np.random.RandomState(0)
    X = random_state.standard_normal((30, 4)).astype(np.float32)
    X[:, 2] = 7.0
    decoys = gaussian_decoys(X, random_state)
    assert decoys.dtype == np.float32
    assert_array_equal(decoys[:, 2], X[:, 2])
    assert not np.any(decoys[:, [0, 1, 3]] == X[:, [0, 1, 3]])
    assert_array_equal(gaussian_decoys(X[:, [2, 2]], random_state), X[:, [2, 2]])


def test_equal_columns_of_two_values_have_decoys():
    """Their covariance is singular, and the shrinkage of Ledoit and Wolf is zero."""
    X = np.repeat(np.tile([[1.0], [-1.0]], (10, 1)), 3, axis=1)
    decoys = gaussian_decoys(X, np.random.RandomState(0))
    assert np.isfinite(decoys).all()
    assert_allclose(decoys, X, atol=0.5)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array, sparse.csr_matrix])
def test_permuted_decoys_keep_the_entries_of_each_column(make):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 5)) * (rng.random((200, 5)) < [0.0, 0.1, 0.5, 0.9, 1])
    decoys = permuted_decoys(make(X), np.random.RandomState(0))
    assert sparse.issparse(decoys) == (make is not np.asarray)
    if sparse.issparse(decoys):
        assert decoys.format == "csr"
        assert decoys.nnz == np.count_nonzero(X)
        decoys = decoys.toarray()
    assert_array_equal(np.sort(decoys, axis=0), np.sort(X, axis=0))
    # Each has an order of its own, without a relation to that of the features.
    correlations = np.corrcoef(X[:, 1:], decoys[:, 1:], rowvar=False)
    assert np.abs(correlations - np.eye(8)).max() < 0.3


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_features_are_found_among_decoys(make):
    """The order of the columns is random, and is known."""
    X = np.random.default_rng(0).standard_normal((20, 6))
    columns = ColumnsWithDecoys(make(X), "permuted", np.random.RandomState(0), False)
    both = columns.X.toarray() if sparse.issparse(columns.X) else columns.X
    own, decoys = columns.split(both)
    assert_array_equal(own, X)
    assert_array_equal(np.sort(decoys, axis=0), np.sort(X, axis=0))
    assert not np.array_equal(both[:, :6], X)
    empty = np.zeros((3, 0), dtype=bool)
    assert columns.split(empty)[0].shape == (3, 0)


def test_rates_of_an_example():
    """One decoy is preferred, by as much as the third feature."""
    margins = np.array([5.0, 3.0, 2.0, -2.0, 0.0, 1.0])
    # From 1 on, four are kept: (1 + 1) / 4.
    assert_allclose(smallest_rates(margins), [0.5, 0.5, 0.5, np.inf, np.inf, 0.5])
    assert_allclose(smallest_rates(margins[:3]), np.full(3, 1.0 / 3.0))


@pytest.mark.parametrize("seed", range(20))
def test_rates_follow_the_definition(seed):
    """A feature is kept at a rate if the threshold for that rate is not above it."""
    rng = np.random.default_rng(seed)
    margins = rng.integers(-4, 9, size=rng.integers(1, 40)).astype(float)
    rates = smallest_rates(margins)
    for fdr in (0.05, 0.1, 0.3, 0.5, 0.9):
        passing = [
            t
            for t in np.abs(margins[margins != 0])
            if (1 + np.sum(margins <= -t)) / max(1, np.sum(margins >= t)) <= fdr
        ]
        kept = margins >= min(passing, default=np.inf)
        assert_array_equal(rates <= fdr, kept)
