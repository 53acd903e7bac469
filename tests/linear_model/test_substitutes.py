"""Features that are correlated with those of a selection."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skproj.blocks import open_blocks
from skproj.linear_model import _substitutes
from skproj.linear_model._substitutes import find_substitutes


def make_modules(n_samples=80, dtype=np.float64):
    """Return data with modules of correlated columns, far from zero."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((n_samples, 4))
    X = np.repeat(centres, 5, axis=1) + 0.4 * rng.standard_normal((n_samples, 20))
    X[:, 3] *= -1.0
    X[:, 19] = 7.0
    return (X * rng.uniform(0.1, 10.0, 20) + 5.0).astype(dtype)


def by_definition(X, kept, weights=None):
    correlations = np.cov(X.T, aweights=weights)
    scale = np.sqrt(np.diag(correlations))
    scale[X.std(axis=0) == 0.0] = np.inf
    correlations = correlations / np.outer(scale, scale)
    expected = {}
    for i in kept:
        others = [j for j in range(X.shape[1]) if j != i]
        pairs = [(j, correlations[i, j]) for j in others]
        pairs = [pair for pair in pairs if abs(pair[1]) >= 0.8]
        expected[i] = sorted(pairs, key=lambda pair: -abs(pair[1]))
    return expected


def assert_same(found, expected, rtol=1e-10):
    assert found.keys() == expected.keys()
    for i, pairs in found.items():
        assert [j for j, _ in pairs] == [j for j, _ in expected[i]]
        values = [[value for _, value in x] for x in (pairs, expected[i])]
        assert_allclose(*values, rtol=rtol)


def in_blocks(X):
    return open_blocks(X, block_size=33)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("block", [1, 300, 1 << 22])
@pytest.mark.parametrize(
    "container", [np.asarray, sparse.csr_array, sparse.csc_matrix, in_blocks]
)
def test_substitutes_are_the_correlated_features(
    container, block, weighted, monkeypatch
):
    """In blocks of any size, for sparse data and with weights; constants have none."""
    monkeypatch.setattr(_substitutes, "MAX_BLOCK_ENTRIES", block)
    monkeypatch.setattr(_substitutes, "MAX_BLOCK_ROWS", 3)
    X = make_modules()
    kept = [0, 3, 7, 12, 13, 19]
    weights = np.random.default_rng(1).uniform(0.0, 2.0, 80) if weighted else None
    if weighted:
        weights[::7] = 0.0
    found = find_substitutes(container(X), kept, sample_weight=weights)
    expected = by_definition(X, kept, weights)
    assert_same(found, expected)
    assert found[19] == []
    signs = {np.sign(value) for _, value in found[0]}
    assert signs == {1.0, -1.0}


@pytest.mark.parametrize("container", [np.asarray, in_blocks])
def test_substitutes_of_single_precision_far_from_zero(container):
    """Products in single precision would be off by a percent."""
    X = (make_modules() + 1e4).astype(np.float32)
    expected = by_definition(X.astype(np.float64), [0, 12])
    assert expected[0]
    assert_same(find_substitutes(container(X), [0, 12]), expected, rtol=1e-8)


def test_substitutes_of_many_copies_are_the_closest():
    """The list has an end, and equal features a correlation of at most one."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 1)) + 1e-3 * np.arange(200) * rng.standard_normal(
        (50, 200)
    )
    ((feature, pairs),) = find_substitutes(X, [0]).items()
    assert feature == 0
    assert len(pairs) == _substitutes.MAX_SUBSTITUTES
    values = [value for _, value in pairs]
    assert values == sorted(values, reverse=True)
    assert values[0] <= 1.0
    assert_allclose(values, [value for _, value in by_definition(X, [0])[0][:100]])


def test_substitutes_have_names():
    X = make_modules()
    names = np.array([f"gene {i}" for i in range(20)], dtype=object)
    found = find_substitutes(X, [0], names=names)
    assert list(found) == ["gene 0"]
    assert [name for name, _ in found["gene 0"]] == [
        f"gene {i}" for i, _ in find_substitutes(X, [0])[0]
    ]


def test_entries_that_are_stored_twice_count_once():
    dense = np.array([[1.0, 2.0], [3.0, 1.0], [2.0, 1.4]])
    parts = np.array([0.5, 0.5, 2.0, 3.0, 1.0, 2.0, 1.4])
    indices, indptr = [0, 0, 1, 0, 1, 0, 1], [0, 3, 5, 7]
    twice = sparse.csr_array((parts, indices, indptr), shape=(3, 2))
    assert_array_equal(twice.toarray(), dense)
    for X in (twice, twice.tocsc()):
        found, expected = (find_substitutes(A, [0]) for A in (X, dense))
        assert [j for j, _ in found[0]] == [j for j, _ in expected[0]] == [1]
        assert_allclose(found[0][0][1], expected[0][0][1])
        assert X.nnz == 7
