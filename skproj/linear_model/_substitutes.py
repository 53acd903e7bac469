"""Features that are strongly correlated with those of a selection."""

import numpy as np
from scipy import sparse

from skproj.blocks import RowBlocks
from skproj.blocks._passes import visit
from skproj.linear_model._block_matrix import BlockMatrix
from skproj.linear_model._block_visitors import Correlations
from skproj.utils._moments import mean_and_deviation, normalized_weights

# Features count as substitutes from this absolute correlation on; of more than this
# number, the closest ones are kept.
MIN_CORRELATION = 0.8
MAX_SUBSTITUTES = 100
# Entries of the largest temporary array.
MAX_BLOCK_ENTRIES = 1 << 22
MAX_BLOCK_ROWS = 256


def find_substitutes(X, kept, *, names=None, sample_weight=None):
    """Find the features that are strongly correlated with some features.

    Returns a dict: for each of the features `kept` a list of tuples of a feature, by
    its name if there are names, and its correlation, the closest first; empty for
    constant features. `X`, an array, a sparse matrix or `RowBlocks`, is read in parts.
    """
    weights = normalized_weights(sample_weight, X.shape[0])
    found = {int(i): [] for i in kept}
    for rows, candidates, values in _correlate(X, np.asarray(kept, dtype=int), weights):
        close = np.abs(values) >= MIN_CORRELATION
        close &= rows[:, np.newaxis] != candidates
        for row in np.flatnonzero(close.any(axis=1)):
            places = np.flatnonzero(close[row])
            clipped = np.clip(values[row, places], -1.0, 1.0)
            pairs = zip(candidates[places].tolist(), clipped.tolist(), strict=True)
            closest = [*found[rows[row]], *pairs]
            closest.sort(key=lambda pair: -abs(pair[1]))
            found[int(rows[row])] = closest[:MAX_SUBSTITUTES]
    if names is None:
        return found
    return {
        str(names[i]): [(str(names[j]), value) for j, value in pairs]
        for i, pairs in found.items()
    }


def _correlate(X, kept, weights):
    """Yield some of the features `kept`, others, and the correlations, in parts.

    None of them is constant; the correlations have a row for each of the former.
    """
    if isinstance(X, RowBlocks):
        yield from _correlate_blocks(X, kept, weights)
        return
    columns = X
    if sparse.issparse(X):
        columns = X.tocsc()
        if not columns.has_canonical_format:
            columns = columns.copy()
            columns.sum_duplicates()
    mean, deviation = mean_and_deviation(columns, weights)
    kept, others = kept[deviation[kept] > 0.0], np.flatnonzero(deviation > 0.0)
    width = MAX_BLOCK_ENTRIES // max(X.shape[0], MAX_BLOCK_ROWS) + 1

    def standardize(features):
        block = columns[:, features]
        block = block.toarray() if sparse.issparse(block) else block
        return (block.astype(np.float64) - mean[features]) / deviation[features]

    for first in range(0, len(kept), MAX_BLOCK_ROWS):
        rows = kept[first : first + MAX_BLOCK_ROWS]
        weighted = weights[:, np.newaxis] * standardize(rows)
        for start in range(0, len(others), width):
            candidates = others[start : start + width]
            yield rows, candidates, weighted.T @ standardize(candidates)


def _correlate_blocks(blocks, kept, weights):
    """Do that in one pass for the moments, and in as few as memory allows."""
    mean, deviation = BlockMatrix(blocks).scan(weights)
    kept, others = kept[deviation[kept] > 0.0], np.flatnonzero(deviation > 0.0)
    size = max(blocks.column_bytes // (8 * blocks.shape[1]), 1)
    for first in range(0, len(kept), size):
        rows = kept[first : first + size]
        visitor = Correlations(rows, mean, deviation, weights, blocks.rows)
        visit(blocks.whole, visitor)
        products, sums = visitor.result[others], visitor.result[-1]
        products -= np.outer(mean[others], sums)
        yield rows, others, (products / deviation[others, np.newaxis]).T
