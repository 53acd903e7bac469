"""Data in blocks that change while they are used."""

import numpy as np
import pytest
from blocks_helpers import N_FEATURES, leave_little_memory, make_block_data
from numpy.testing import assert_array_equal
from sklearn.base import clone

from skproj import ProjectionFeatureSelector, StabilitySelector
from skproj.blocks import RowBlocks


@pytest.fixture(autouse=True)
def few_columns_in_memory(monkeypatch):
    leave_little_memory(monkeypatch, 40_000)


@pytest.mark.parametrize("n_passes", [1, 2])
@pytest.mark.parametrize("is_columnar", [False, True])
def test_data_that_change_during_a_fit(n_passes, is_columnar):
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
def test_data_that_change_between_fits(estimator, part):
    X, y = make_block_data()
    data, read_again = X.copy(), set()

    def read(columns=None):
        read_again.update(() if columns is None else columns)
        yield data if columns is None else data[:, columns]

    rows = np.arange(len(y)) >= part
    whole = RowBlocks(read, X.shape, read_columns=read)
    blocks = whole.take_rows(rows) if part else whole
    first = clone(estimator).fit(blocks, y[rows])
    read_again.clear()
    again = clone(first).fit(blocks, y[rows])
    assert_array_equal(again.get_support(), first.get_support())
    unused = max(set(range(N_FEATURES)) - read_again)
    data[:, unused] = y == y[0]
    with pytest.raises(ValueError, match=f"in 1 of 300 columns, the first .* {unused}"):
        clone(first).fit(blocks, y[rows])
