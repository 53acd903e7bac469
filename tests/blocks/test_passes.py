"""Passes that functions share."""

import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn import config_context, get_config

from skproj.blocks import RowBlocks
from skproj.blocks._passes import ColumnReader, n_together, run_together, visit

X = np.arange(60.0).reshape(12, 5)


def make_blocks(read_columns=None):
    return RowBlocks(lambda: iter(np.split(X, 4)), X.shape, read_columns=read_columns)


def read(blocks, *columns):
    """Read columns one after the other, each in a pass."""
    found = []
    for column in columns:
        reader = ColumnReader(np.atleast_1d(column))
        visit(blocks, reader)
        found.append(reader.matrix[:, np.searchsorted(reader.columns, column)])
    return found


def test_functions_share_passes():
    """As many as the one that needs the most, whatever the others need."""
    blocks = make_blocks()
    wanted = [[0], [1, 2, 0], [3, 3], []]
    results = run_together([lambda w=w: read(blocks, *w) for w in wanted])
    assert blocks.n_passes == 3
    for columns, found in zip(wanted, results, strict=True):
        for column, values in zip(columns, found, strict=True):
            assert_array_equal(values, X[:, column])


def test_columnar_sources_read_the_columns_of_all():
    asked = []

    def read_columns(columns):
        asked.append(columns.tolist())
        return iter([X[:, columns]])

    blocks = make_blocks(read_columns)
    run_together([lambda: read(blocks, 4, 1), lambda: read(blocks, 2)])
    assert asked == [[2, 4], [1]]


def test_sources_are_not_mixed_up():
    first, second = make_blocks(), RowBlocks(lambda: iter([2.0 * X]), X.shape)
    one, two = run_together([lambda: read(first, 1), lambda: read(second, 1)])
    assert_array_equal(2.0 * one[0], two[0])
    assert (first.n_passes, second.n_passes) == (1, 1)


def test_one_function_at_a_time_computes():
    """In the order that they are given, turn by turn."""
    blocks, log = make_blocks(), []

    def call(name):
        for turn in range(3):
            log.append((turn, name))
            read(blocks, 0)

    run_together([lambda name=name: call(name) for name in "abc"])
    assert log == [(turn, name) for turn in range(3) for name in "abc"]


@pytest.mark.parametrize("turn", [0, 1])
def test_an_error_ends_the_others(turn):
    blocks, ended = make_blocks(), []
    n_threads = threading.active_count()

    def fail():
        read(blocks, *range(turn))
        raise ValueError("the third value is wrong")

    def go_on():
        try:
            read(blocks, *[0] * 10)
        finally:
            ended.append(True)

    with pytest.raises(ValueError, match="the third value is wrong"):
        run_together([go_on, fail, go_on])
    # The one after the error has not begun if the error came at once.
    assert len(ended) == 1 + turn
    assert blocks.n_passes == turn
    assert threading.active_count() == n_threads


def test_error_of_the_source_ends_all():
    def broken():
        yield X[:5]
        raise OSError("the disk is gone")

    blocks = RowBlocks(broken, X.shape)
    n_threads = threading.active_count()
    with pytest.raises(OSError, match="the disk is gone"):
        run_together([lambda: read(blocks, 0), lambda: read(blocks, 1)])
    assert threading.active_count() == n_threads


def test_functions_see_the_settings_of_the_caller():
    def look():
        return get_config()["assume_finite"], np.geterr()["over"], n_together()

    with config_context(assume_finite=True), np.errstate(over="raise"):
        assert run_together([look, look]) == [(True, "raise", 2)] * 2
    assert n_together() == 1
    assert run_together([]) == []
