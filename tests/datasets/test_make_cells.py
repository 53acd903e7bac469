"""Sparse tables of cells with a known answer."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.stats import chisquare, logser
from sklearn.feature_selection import f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from skproj.datasets import _cells_model, make_cells
from skproj.datasets._cells import make_cell_model

OPTIONS = {
    "density": 0.05,
    "n_types": 10,
    "n_markers": 30,
    "effect_size": 1.2,
    "n_batches": 4,
    "batch_strength": 0.2,
}


def make_model(n_vars=600, random_state=0, **options):
    options = {**OPTIONS, "n_markers": 5, **options}
    return make_cell_model(1, n_vars, random_state=random_state, **options)


def assert_same(first, second):
    assert first.shape == second.shape
    assert_array_equal(first.indptr, second.indptr)
    assert_array_equal(first.indices, second.indices)
    assert_array_equal(first.data, second.data)


def test_rows_do_not_depend_on_the_blocks():
    model = make_model()
    n_obs = 2 * model.part_rows + 77
    whole = next(model.blocks(n_obs, n_obs))
    for block_size in (None, 100, model.part_rows - 1, model.part_rows, 900, 10**6):
        blocks = list(model.blocks(n_obs, block_size))
        assert [block.start for block in blocks] == list(
            range(0, n_obs, block_size or model.part_rows)
        )
        assert_same(sparse.vstack([b.X for b in blocks], "csr"), whole.X)
        assert_array_equal(np.concatenate([b.type for b in blocks]), whole.type)
        assert_array_equal(np.concatenate([b.batch for b in blocks]), whole.batch)
    cells = make_cells(n_obs, 600, n_markers=5, random_state=0)
    assert_same(cells.data, whole.X)
    assert_array_equal(cells.target, whole.type)


def test_first_rows_of_a_larger_table_are_the_same():
    small = make_cells(50, 300, random_state=1)
    large = make_cells(1500, 300, random_state=1)
    assert_same(small.data, large.data[:50])
    assert_array_equal(small.batch, large.batch[:50])


def test_parts_of_the_rows_differ():
    model = make_model()
    first, second = list(model.blocks(2 * model.part_rows))
    assert first.X.nnz != second.X.nnz or np.any(first.X.indices != second.X.indices)


@pytest.mark.parametrize("density", [0.001, 0.05, 0.3, 0.9])
@pytest.mark.parametrize("n_batches", [1, 5])
def test_density_is_as_expected(density, n_batches):
    X = make_cells(
        3000, 1000, density=density, n_batches=n_batches, random_state=0
    ).data
    assert X.nnz / (3000 * 1000) == pytest.approx(density, rel=0.03)


def test_layout_is_canonical_csr_of_positive_numbers():
    cells = make_cells(300, 400, random_state=0)
    X = cells.data
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
    cells = make_cells(500, 400, density=0.2, random_state=0)
    sums = np.expm1(cells.data.astype(np.float64)).sum(axis=1)
    assert_allclose(np.asarray(sums).ravel(), cells.gene_mean.sum(), rtol=1e-5)


def test_each_gene_is_as_frequent_as_its_mean_and_type_say():
    """The share of cells with a gene is that of negative binomial counts."""
    model = make_model(100, n_types=2, n_markers=20, n_batches=1, density=0.2)
    n_obs = 60_000
    cells = next(model.blocks(n_obs, n_obs))
    spread = _cells_model.SPREAD_OF_LIBRARIES
    sizes = np.random.default_rng(0).lognormal(-0.5 * spread**2, spread, 4000)
    phi = _cells_model.DISPERSION
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
    shift = _cells_model.DISPERSION * mean
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
    share, alias = _cells_model._alias_table(probabilities)
    kept = share / 2.0**32
    found = kept + np.bincount(alias, weights=1.0 - kept, minlength=n)
    assert_allclose(found / n, probabilities, atol=1e-9)


def test_markers_are_found_together_and_none_is_enough():
    cells = make_cells(3000, 2000, n_markers=20, random_state=0)
    assert_array_equal(np.bincount(cells.marker_of[cells.support]), [20] * 10)
    assert np.all(cells.fold_change[cells.support] > 1.0)
    assert np.all(cells.fold_change[~cells.support] == 1.0)
    kept = cells.data.getnnz(axis=0) > 0
    F = np.zeros(2000)
    F[kept] = f_classif(cells.data[:, kept], cells.target)[0]
    top = np.argsort(-F)[:200]
    assert cells.support[top].mean() > 0.7
    X, y = cells.data[:, top], cells.target
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
    first, second = (make_cells(60, 300, random_state=3) for _ in range(2))
    assert_same(first.data, second.data)
    assert_array_equal(first.marker_of, second.marker_of)
    other = make_cells(60, 300, random_state=4)
    assert other.data.nnz != first.data.nnz
    X, y = make_cells(60, 300, return_X_y=True, random_state=3)
    assert_same(X, first.data)
    assert_array_equal(y, first.target)


def test_one_gene_and_one_cell():
    cells = make_cells(1, 1, n_types=2, n_markers=0, density=0.5, random_state=0)
    assert cells.data.shape == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_obs": 0}, ValueError, "n_obs"),
        ({"n_vars": 1.5}, TypeError, "n_vars"),
        ({"density": 0.0}, ValueError, "density"),
        ({"density": 0.95}, ValueError, "density"),
        ({"density": float("nan")}, ValueError, "density"),
        ({"n_types": 1}, ValueError, "n_types"),
        ({"n_vars": 299}, ValueError, r"n_types \* n_markers .* n_vars=299, got 300"),
        ({"effect_size": -1.0}, ValueError, "effect_size"),
        ({"batch_strength": 3.0}, ValueError, "batch_strength"),
        ({"return_X_y": 1}, TypeError, "return_X_y"),
    ],
)
def test_unsuitable_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        make_cells(**arguments)
