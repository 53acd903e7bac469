"""Samples that are there several times."""

import itertools

import numpy as np
from scipy import sparse
from sklearn.utils.sparsefuncs import min_max_axis

from skproj.blocks._row_blocks import RowBlocks

# Bound of the temporary arrays in which rows are compared.
MAX_COMPARISON_ENTRIES = 1 << 20


def dense_rows(X, rows):
    """Take some rows of an array or a CSR matrix as an array."""
    return X[rows].toarray() if sparse.issparse(X) else X[rows]


def merge_duplicates(X, labels, weight):
    """Find the distinct samples, in an order that depends on nothing but them.

    Training on the distinct samples with their weights added up makes a weight of 2
    the same as writing a sample twice, whatever the batches and the noise, and makes
    the result independent of the order of the rows. Rows in blocks are taken as they
    come: in another order, each epoch would read them from all over the file.

    Parameters
    ----------
    X : {ndarray, CSR matrix, RowBlocks} of shape (n_samples, n_features)
        C-contiguous if dense.
    labels : ndarray of int of shape (n_samples,)
    weight : ndarray of shape (n_samples,)

    Returns
    -------
    rows : ndarray of int of shape (n_distinct,)
        One row of X for each distinct sample of positive weight.
    weight : ndarray of shape (n_distinct,)
        Their weights.
    places : ndarray of int of shape (n_samples,)
        Which of them each sample is; -1 for weight zero.
    """
    rows = np.flatnonzero(weight > 0)
    if isinstance(X, RowBlocks):
        return rows, weight[rows], np.where(weight > 0, np.cumsum(weight > 0) - 1, -1)
    keys = _row_keys(X, rows)
    order = np.lexsort((labels[rows], keys))
    rows, keys = rows[order], keys[order]
    tied = (keys[1:] == keys[:-1]) & (labels[rows[1:]] == labels[rows[:-1]])
    repeats = _equal_neighbours(X, rows, tied)
    if not np.array_equal(repeats, tied):
        # Different samples with one key: only here their entries decide the order.
        ends = np.flatnonzero(np.r_[True, ~tied, True])
        for start, stop in itertools.pairwise(ends):
            if not repeats[start : stop - 1].all():
                run = rows[start:stop]
                rows[start:stop] = run[np.lexsort(dense_rows(X, run).T[::-1])]
        repeats = _equal_neighbours(X, rows, tied)
    is_new = np.r_[True, ~repeats]
    starts = np.flatnonzero(is_new)
    places = np.full(len(weight), -1)
    places[rows] = np.cumsum(is_new) - 1
    return rows[starts], np.add.reduceat(weight[rows], starts), places


def _equal_neighbours(X, rows, candidates):
    """Compare each row with the next one, where `candidates` is true."""
    equal = candidates.copy()
    places = np.flatnonzero(candidates)
    for block in _blocks(len(places), X.shape[1]):
        place = places[block]
        here, next_ones = (dense_rows(X, rows[place + shift]) for shift in (0, 1))
        equal[place] = (here == next_ones).all(axis=1)
    return equal


def _row_keys(X, rows):
    """Random combination of the scaled columns: changes as little as X does.

    Not by BLAS, where the rounding of a row may depend on its position.
    """
    if sparse.issparse(X):
        X = X[rows]
        X.sum_duplicates()  # and sort the entries: their order is that of the sums
        return X @ _random_factors(*min_max_axis(X, 0))
    blocks = [rows[block] for block in _blocks(len(rows), X.shape[1])]
    low, high = np.inf, -np.inf
    for block in blocks:
        dense = dense_rows(X, block)
        low = np.minimum(low, dense.min(axis=0))
        high = np.maximum(high, dense.max(axis=0))
    factors = _random_factors(low, high)
    low = np.where(factors > 0, low, 0.0)
    return np.concatenate(
        [((dense_rows(X, block) - low) * factors).sum(axis=1) for block in blocks]
    )


def _random_factors(low, high):
    """Return factors that scale columns with these smallest and largest entries."""
    with np.errstate(over="ignore"):
        span = high.astype(np.float64) - low
        factors = np.random.RandomState(0).uniform(1.0, 2.0, len(span))
        factors = np.divide(factors, span, out=np.zeros_like(span), where=span > 0)
    # A span beyond all floats, or below them, says nothing that could be scaled.
    factors[~np.isfinite(factors) | np.isinf(span)] = 0.0
    return factors


def _blocks(n_rows, n_columns):
    """Slices of rows that bound the memory of temporary arrays."""
    step = max(1, MAX_COMPARISON_ENTRIES // max(1, n_columns))
    return [slice(start, start + step) for start in range(0, n_rows, step)]
