"""Fits on data in blocks that go on from a checkpoint, and data that change."""

import numpy as np
import pytest
from blocks_helpers import N_FEATURES, leave_little_memory, make_block_data
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone

from skproj import (
    ProjectionFeatureSelector,
    ProjectionFeatureSelectorCV,
    StabilitySelector,
)
from skproj.blocks import RowBlocks, _pass_cache, open_blocks


@pytest.fixture(autouse=True)
def few_columns_in_memory(monkeypatch):
    leave_little_memory(monkeypatch, 40_000)


def make_search(**options):
    return ProjectionFeatureSelectorCV(
        cv=3, random_state=0, tol=1e-7, max_iter=5000, **options
    )


class Interruption(Exception):
    """Ends a fit in the middle of a pass."""


def break_at(X, n_passes, **options):
    """Return blocks that break in a pass."""
    begun = []

    def make_blocks():
        begun.append(True)
        yield X[:80]
        if len(begun) > n_passes:
            raise Interruption
        yield X[80:]

    return RowBlocks(make_blocks, X.shape, **options)


@pytest.mark.parametrize("n_passes", [0, 1, 7, 12])
@pytest.mark.parametrize(
    "estimator",
    [
        make_search(etas=6),
        StabilitySelector(ProjectionFeatureSelector(eta=0.5), n_pairs=9),
    ],
    ids=["search", "stability"],
)
def test_interrupted_fits_go_on_from_their_last_pass(estimator, n_passes, tmp_path):
    """With the same result bit by bit, and no more passes than without interruption
    but for the columns in memory.
    """
    X, y = make_block_data("classes", True)
    estimator.set_params(random_state=0)
    whole = break_at(X, 10**6)
    expected = estimator.fit(whole, y).__dict__
    with pytest.raises(Interruption):
        estimator.fit(break_at(X, n_passes, checkpoint=tmp_path), y)
    rest = break_at(X, 10**6, checkpoint=tmp_path)
    found = estimator.fit(rest, y).__dict__
    for name in ("coef_", "scores_", "cv_results_", "supports_", "eta_"):
        np.testing.assert_equal(found.get(name), expected.get(name))
    n_kept = len(list(tmp_path.iterdir()))
    again = break_at(X, 10**6, checkpoint=tmp_path)
    estimator.fit(again, y)
    # A pass knows the data, columns are read again, and correlations computed.
    assert again.n_passes <= rest.n_passes <= whole.n_passes + 1
    assert again.n_passes < 0.7 * whole.n_passes
    assert len(list(tmp_path.iterdir())) == n_kept


def change(X, y, what):
    """Return data, targets and options of `fit` of which one has changed."""
    names, weights = np.array([f"gene{j}" for j in range(N_FEATURES)], dtype=object), 1
    X = X.copy()
    if what == "later rows":
        X[100:] = 2.0 * X[-1:99:-1]
    elif what == "one entry":
        X[140, 11] += 0.5
    elif what == "order of the rows":
        X[100:] = X[-1:99:-1]
    elif what == "targets":
        y = np.roll(y, 1)
    elif what == "weights":
        weights = np.arange(len(y)) % 3
    elif what == "names":
        names = names[::-1]
    elif what == "dtype":
        X = X.astype(np.float32)
    elif what == "sparse":
        X = sparse.csr_array(X)
    return X, y, names, np.broadcast_to(weights, len(y))


def blocks_of(X, names, block_size=40, **options):
    """Return blocks of an array in memory."""
    starts = range(0, X.shape[0], block_size)
    return RowBlocks(
        lambda: (X[start : start + block_size] for start in starts),
        X.shape,
        X.dtype,
        feature_names=names,
        **options,
    )


@pytest.mark.parametrize(
    "what",
    [
        "later rows",
        "one entry",
        "order of the rows",
        "targets",
        "weights",
        "names",
        "dtype",
        "sparse",
        "blocks",
        "nothing",
    ],
)
def test_results_of_other_data_are_not_used(what, tmp_path):
    """The fit that is begun again is that of its own data alone."""
    X, y = make_block_data()
    selector = ProjectionFeatureSelector(eta=0.5)
    X_before, y_before, names, weights = change(X, y, None)
    selector.fit(
        blocks_of(X_before, names, checkpoint=tmp_path),
        y_before,
        sample_weight=weights,
    )
    size = 50 if what == "blocks" else 40
    X, y, names, weights = change(X, y, what)
    expected = clone(selector).fit(blocks_of(X, names, size), y, sample_weight=weights)
    resumed = blocks_of(X, names, size, checkpoint=tmp_path)
    selector.fit(resumed, y, sample_weight=weights)
    if what == "blocks":
        assert_allclose(selector.coef_, expected.coef_, atol=1e-6)
    else:
        assert_array_equal(selector.coef_, expected.coef_)
        assert_array_equal(selector.scores_, expected.scores_)
    assert_array_equal(selector.feature_names_in_, names)


@pytest.mark.filterwarnings("ignore:No feature is selected")  # of most rows swapped
def test_resumed_search_of_changed_rows(tmp_path):
    """An interruption between the passes, and other rows after the first block."""
    X, y = make_block_data()
    other = X.copy()
    other[80:] = 1.5 * X[-1:79:-1]
    search = make_search(etas=6)
    with pytest.raises(Interruption):
        search.fit(break_at(X, 3, checkpoint=tmp_path), y)
    assert list(tmp_path.iterdir())
    search.fit(break_at(other, 10**6, checkpoint=tmp_path), y)
    expected = clone(search).fit(break_at(other, 10**6), y)
    assert_array_equal(search.coef_, expected.coef_)
    np.testing.assert_equal(search.cv_results_, expected.cv_results_)


def test_results_of_another_version_are_not_used(tmp_path, monkeypatch):
    X, y = make_block_data()
    selector = ProjectionFeatureSelector(eta=0.5)
    selector.fit(open_blocks(X, checkpoint=tmp_path), y)
    n_files = len(list(tmp_path.iterdir()))
    selector.fit(open_blocks(X, checkpoint=tmp_path), y)
    assert len(list(tmp_path.iterdir())) == n_files
    monkeypatch.setattr(_pass_cache, "__version__", "0.0")
    selector.fit(open_blocks(X, checkpoint=tmp_path), y)
    assert len(list(tmp_path.iterdir())) == 2 * n_files


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04half", None])
def test_damaged_results_are_computed_again(damage, tmp_path):
    X, y = make_block_data()
    selector = ProjectionFeatureSelector(eta=0.5)
    expected = selector.fit(open_blocks(X, checkpoint=tmp_path), y).coef_
    for file in tmp_path.iterdir():
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    found = selector.fit(open_blocks(X, checkpoint=tmp_path), y).coef_
    assert_array_equal(found, expected)


@pytest.mark.parametrize("n_passes", [1, 2])
@pytest.mark.parametrize("is_columnar", [False, True])
@pytest.mark.parametrize("has_checkpoint", [False, True])
def test_data_that_change_during_a_fit(n_passes, is_columnar, has_checkpoint, tmp_path):
    X, y = make_block_data()
    data, begun = X.copy(), []

    def read(columns=slice(None)):
        begun.append(columns)
        if len(begun) > n_passes:
            data[140, 11] = 99.0
        yield data[:80, columns]
        yield data[80:, columns]

    blocks = RowBlocks(
        read,
        X.shape,
        feature_names=[f"gene{j}" for j in range(N_FEATURES)],
        read_columns=read if is_columnar else None,
        checkpoint=tmp_path if has_checkpoint else None,
    )
    with pytest.raises(
        ValueError,
        match="X in blocks has changed since an earlier pass, in 1 of 300 columns, the "
        "first of them 'gene11'",
    ):
        ProjectionFeatureSelector(eta=0.5).fit(blocks, y)


@pytest.mark.parametrize("part", [False, True])
@pytest.mark.parametrize(
    "estimator",
    [
        ProjectionFeatureSelector(eta=0.2),
        StabilitySelector(
            ProjectionFeatureSelector(eta=0.2), n_pairs=1, random_state=0
        ),
    ],
    ids=lambda e: type(e).__name__,
)
def test_data_that_change_between_fits(estimator, part, tmp_path):
    """Results are kept, and the columns that changed would not be read again."""
    X, y = make_block_data()
    data, read_again = X.copy(), set()

    def read(columns=None):
        read_again.update(() if columns is None else columns)
        yield data if columns is None else data[:, columns]

    rows = np.arange(len(y)) >= part
    whole = RowBlocks(read, X.shape, read_columns=read, checkpoint=tmp_path / "passes")
    blocks = whole.take_rows(rows) if part else whole
    first = clone(estimator).fit(blocks, y[rows])
    read_again.clear()
    again = clone(first).fit(blocks, y[rows])
    assert_array_equal(again.get_support(), first.get_support())
    unused = max(set(range(N_FEATURES)) - read_again)
    data[:, unused] = y == y[0]
    with pytest.raises(ValueError, match=f"in 1 of 300 columns, the first .* {unused}"):
        clone(first).fit(blocks, y[rows])


def test_checkpoint_must_be_a_folder(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(ValueError, match="checkpoint must be a folder, got the file"):
        open_blocks(np.zeros((3, 2)), checkpoint=path)
    with pytest.raises(FileNotFoundError, match="checkpoint: there is no folder"):
        open_blocks(np.zeros((3, 2)), checkpoint=tmp_path / "missing" / "passes")
