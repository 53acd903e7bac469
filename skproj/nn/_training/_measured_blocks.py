"""Blocks whose entries were checked and counted in a first pass."""

import numpy as np
from scipy import sparse
from sklearn.utils import assert_all_finite

from skproj.blocks._row_blocks import RowBlocks

# Of the index of an entry of a sparse matrix.
INDEX_BYTES = 4


class MeasuredBlocks(RowBlocks):
    """Some columns of `RowBlocks`, with the memory that each of them takes.

    The `columns` are sorted and without repetition, `counts` are the numbers of entries
    of each that are stored; zeros are not if the blocks are sparse.
    """

    def __init__(self, blocks, columns, counts, is_sparse):
        names = blocks.feature_names
        super().__init__(
            blocks._make_blocks,
            (blocks.shape[0], len(columns)),
            blocks.dtype,
            None if names is None else names[columns],
        )
        self._blocks, self._columns = blocks, columns
        self._counts, self.is_sparse = counts, is_sparse

    @property
    def n_bytes(self):
        """Bytes of the entries that are stored."""
        entry_bytes = self.dtype.itemsize + (INDEX_BYTES if self.is_sparse else 0)
        return int(self._counts.sum()) * entry_bytes

    @property
    def density(self):
        """Share of the entries that are stored."""
        return self._counts.sum() / max(1, self.shape[0] * self.shape[1])

    def __iter__(self):
        """Yield the first row of each block, and the block."""
        return self.iterate_columns(np.arange(self.shape[1]))

    def iterate_columns(self, columns):
        """Iterate over the blocks of some columns, as `RowBlocks` does."""
        self.n_passes += 1
        columns = self._columns[columns]
        if len(columns) == self._blocks.shape[1]:
            return iter(self._blocks)
        return self._blocks.iterate_columns(columns)

    def keep_columns(self, columns):
        """Keep some columns, without reading them."""
        return MeasuredBlocks(
            self._blocks, self._columns[columns], self._counts[columns], self.is_sparse
        )


def measure(blocks):
    """Read `RowBlocks` in a first pass, and return them as `MeasuredBlocks`.

    A ValueError is raised if an entry is infinite or NaN.
    """
    n_columns = blocks.shape[1]
    counts = np.zeros(n_columns, dtype=np.int64)
    is_sparse = False
    for _, block in blocks:
        assert_all_finite(block, input_name="X")
        if sparse.issparse(block):
            counts += np.bincount(block.indices, minlength=n_columns)
            is_sparse = True
        else:
            counts += block.shape[0]
    return MeasuredBlocks(blocks, np.arange(n_columns), counts, is_sparse)
