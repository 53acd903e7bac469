"""Sparse tables of cells with a known answer."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.stats import chisquare, logser
from sklearn.feature_selection import f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from skproj.datasets import _cells


def make_model(n_vars=600, *, density=0.05, n_types=10, n_markers=5, seed=0):
    return _cells.CellModel(
        n_vars, density=density, n_types=n_types, n_markers=n_markers, seed=seed
    )


def draw(model, n_obs):
    """Draw rows, and join their blocks."""
    blocks = list(model.blocks(n_obs))
    return SimpleNamespace(
        X=sparse.vstack([block.X for block in blocks], "csr"),
        type=np.concatenate([block.type for block in blocks]),
        batch=np.concatenate([block.batch for block in blocks]),
    )


def assert_same(first, second):
    assert first.shape == second.shape
    assert_array_equal(first.indptr, second.indptr)
    assert_array_equal(first.indices, second.indices)
    assert_array_equal(first.data, second.data)


def test_first_rows_of_a_larger_table_are_the_same():
    model = make_model()
    large = draw(model, 2 * model.part_rows + 77)
    for n_obs in (50, model.part_rows, model.part_rows + 1):
        small = draw(make_model(), n_obs)
        assert_same(small.X, large.X[:n_obs])
        assert_array_equal(small.type, large.type[:n_obs])
        assert_array_equal(small.batch, large.batch[:n_obs])
    starts = [block.start for block in model.blocks(2 * model.part_rows + 77)]
    assert starts == [0, model.part_rows, 2 * model.part_rows]


def test_parts_of_the_rows_differ():
    model = make_model()
    first, second = list(model.blocks(2 * model.part_rows))
    assert first.X.nnz != second.X.nnz or np.any(first.X.indices != second.X.indices)


@pytest.mark.parametrize("density", [0.001, 0.05, 0.3, 0.9])
def test_density_is_as_expected(density):
    X = draw(make_model(1000, density=density), 3000).X
    assert X.nnz / (3000 * 1000) == pytest.approx(density, rel=0.03)


def test_layout_is_canonical_csr_of_positive_numbers():
    X = draw(make_model(), 300).X
    assert sparse.issparse(X)
    assert X.format == "csr"
    assert X.dtype == np.float32
    assert X.indices.dtype == X.indptr.dtype == np.int32
    X.has_sorted_indices = X.has_canonical_format = False
    copy = X.copy()
    copy.sum_duplicates()
    assert_same(copy, X)
    assert X.data.min() > 0.0
    assert np.isfinite(X.data).all()


def test_counts_of_a_cell_are_normalised_to_the_same_sum():
    model = make_model(density=0.2)
    sums = np.expm1(draw(model, 500).X.astype(np.float64)).sum(axis=1)
    assert_allclose(np.asarray(sums).ravel(), model.gene_mean.sum(), rtol=1e-5)


def test_each_gene_is_as_frequent_as_its_mean_and_type_say(monkeypatch):
    """The share of cells with a gene is that of negative binomial counts."""
    monkeypatch.setattr(_cells, "BATCH_STRENGTH", 0.0)
    model = make_model(100, n_types=2, n_markers=20, density=0.2)
    cells = draw(model, 60_000)
    spread = _cells.SPREAD_OF_LIBRARIES
    sizes = np.random.default_rng(0).lognormal(-0.5 * spread**2, spread, 4000)
    phi = _cells.DISPERSION
    for k in range(2):
        factor = np.where(model.marker_of == k, model.fold_change, 1.0)
        shape = sizes[:, np.newaxis] * factor / phi
        expected = 1.0 - np.mean((1.0 + phi * model.gene_mean) ** -shape, axis=0)
        X = cells.X[cells.type == k]
        found = X.getnnz(axis=0) / X.shape[0]
        error = np.sqrt(expected * (1.0 - expected) / X.shape[0])
        assert np.all(np.abs(found - expected) < 4.5 * error + 0.015 * expected)


@pytest.mark.parametrize("mean", [1e-6, 0.3, 5.0, 300.0])
def test_sizes_of_draws_have_the_logarithmic_distribution(mean):
    model = make_model(50)
    shift = _cells.DISPERSION * mean
    model._log_rest = np.full(50, -np.log1p(shift), dtype=np.float32)
    sizes = model._draw_sizes(
        np.zeros(200_000, dtype=np.int32), np.random.default_rng(0)
    )
    p = shift / (1.0 + shift)
    edges = np.arange(1, 6)
    expected = np.append(logser.pmf(edges, p), logser.sf(5, p)) * sizes.size
    found = np.append([np.sum(sizes == n) for n in edges], np.sum(sizes > 5))
    used = expected > 5.0
    assert np.all(found[expected < 1e-3] == 0)
    if used.sum() > 1:
        scale = found[used].sum() / expected[used].sum()
        assert chisquare(found[used], scale * expected[used]).pvalue > 1e-3


@pytest.mark.parametrize("n", [1, 2, 1000])
def test_alias_tables_have_the_probabilities(n):
    probabilities = np.random.default_rng(0).lognormal(0.0, 3.0, n)
    probabilities /= probabilities.sum()
    share, alias = _cells._alias_table(probabilities)
    kept = share / 2.0**32
    found = kept + np.bincount(alias, weights=1.0 - kept, minlength=n)
    assert_allclose(found / n, probabilities, atol=1e-9)


def test_markers_are_found_together_and_none_is_enough():
    model = make_model(2000, n_markers=20)
    cells, is_marker = draw(model, 3000), model.marker_of >= 0
    assert_array_equal(np.bincount(model.marker_of[is_marker]), [20] * 10)
    assert np.all(model.fold_change[is_marker] > 1.0)
    assert np.all(model.fold_change[~is_marker] == 1.0)
    kept = cells.X.getnnz(axis=0) > 0
    F = np.zeros(2000)
    F[kept] = f_classif(cells.X[:, kept], cells.type)[0]
    top = np.argsort(-F)[:200]
    assert is_marker[top].mean() > 0.7
    X, y = cells.X[:, top], cells.type
    train, test = slice(None, 2000), slice(2000, None)
    together = LogisticRegression(C=0.1, max_iter=500).fit(X[train], y[train])
    assert together.score(X[test], y[test]) > 0.6
    for j in range(10):
        one = DecisionTreeClassifier(max_depth=3).fit(X[train, [j]], y[train])
        assert one.score(X[test, [j]], y[test]) < 0.3


def test_memory_does_not_grow_with_the_number_of_rows():
    model = make_model()

    def peak(n_blocks):
        tracemalloc.start()
        for _ in model.blocks(n_blocks * model.part_rows):
            pass
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(1)
    assert peak(12) < 1.3 * peak(3)


def test_seed_fixes_the_result():
    first, second, other = (make_model(300, seed=seed) for seed in (3, 3, 4))
    assert_same(draw(first, 60).X, draw(second, 60).X)
    assert_array_equal(first.marker_of, second.marker_of)
    assert draw(other, 60).X.nnz != draw(first, 60).X.nnz


def test_one_gene_and_one_cell():
    model = make_model(1, n_types=2, n_markers=0, density=0.5)
    assert draw(model, 1).X.shape == (1, 1)


def test_more_markers_than_genes_are_refused():
    with pytest.raises(ValueError, match=r"n_types \* n_markers .* n_vars=49, got 50"):
        make_model(49)
