"""Checksums of columns notice what has changed, and nothing else."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from skproj.blocks._checksums import column_checksums

N_ROWS, N_COLUMNS = 60, 9


def make_matrix(dtype):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 4, (N_ROWS, N_COLUMNS)).astype(dtype)
    X[:, ::2] += rng.standard_normal((N_ROWS, 5)).astype(dtype) * (X[:, ::2] > 0.0)
    return X


def changed_columns(X, other):
    differ = column_checksums(X, 0) != column_checksums(other, 0)
    return np.flatnonzero(differ[:, :-1].any(axis=1)).tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", [np.array, np.asfortranarray, sparse.csr_array])
def test_blocks_add_up_to_the_matrix(form, dtype):
    X = make_matrix(dtype)
    whole = column_checksums(X, 0)
    for ends in ([60], [1, 60], [7, 20, 41, 60]):
        starts = [0, *ends[:-1]]
        total = sum(
            column_checksums(form(X[start:stop]), start)
            for start, stop in zip(starts, ends, strict=True)
        )
        assert_array_equal(total[:, :-1], whole[:, :-1])
    assert_array_equal(whole[:, -1], N_ROWS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_change_is_noticed(dtype):
    X = make_matrix(dtype)
    rng = np.random.default_rng(1)
    for _ in range(200):
        other = X.copy()
        row, column = rng.integers(N_ROWS), rng.integers(N_COLUMNS)
        other[row, column] = np.nextafter(X[row, column], dtype(9))
        assert changed_columns(X, other) == [column]
        first, second = rng.choice(N_ROWS, 2, replace=False)
        other = X.copy()
        other[[first, second]] = X[[second, first]]
        expected = np.flatnonzero(X[first] != X[second]).tolist()
        assert changed_columns(X, other) == expected
    assert changed_columns(X, X[:, ::-1].copy()) != []
    assert changed_columns(X, np.roll(X, 1, axis=0)) == list(range(N_COLUMNS))
