"""A matrix in blocks of rows as a linear operator with few passes."""

from copy import copy as shallow_copy

import numpy as np
from scipy import sparse
from sklearn.utils import assert_all_finite

from skproj.utils._moments import BlockMoments

# Columns that are kept in memory together take about this many bytes at first.
COLUMN_BYTES = 1 << 27


class BlockMatrix:
    """The products and columns of `RowBlocks`, each of them a pass unless it is known.

    It has what `StandardizedDesign` uses of an array. Known are the columns that were
    asked for last, and the product of the transpose that was.
    """

    def __init__(self, blocks):
        self.blocks = blocks
        self.shape, self.dtype = blocks.shape, blocks.dtype
        self._columns = np.zeros(0, dtype=np.intp)
        self._known = None  # these columns
        self._last = None  # residuals and their product with the transpose

    def scan(self, weights, residuals=None):
        """Return the mean and the deviation of the columns, in one pass.

        It checks the entries, counts them, and prepares the product of the transpose
        with `residuals`.
        """
        moments = BlockMoments()
        self._bytes = np.zeros(self.shape[1])

        def look(start, block):
            if sparse.issparse(block) and not block.has_canonical_format:
                block = block.copy()
                block.sum_duplicates()
            assert_all_finite(block, input_name="X")
            moments.add(block, weights[start : start + block.shape[0]])
            if sparse.issparse(block):
                counts = np.bincount(block.indices, minlength=self.shape[1])
                size = block.data.itemsize + block.indices.itemsize
            else:
                counts, size = block.shape[0], block.itemsize
            self._bytes += counts * size

        if residuals is not None:
            # As they will be asked for.
            residuals = residuals.astype(self.dtype)
            self._last = residuals, self._transposed_product(residuals, look)
        else:
            for start, block in self.blocks:
                look(start, block)
        return moments.mean_and_deviation()

    @property
    def fits(self):
        """Whether all columns may be in memory together."""
        return self._bytes.sum() <= COLUMN_BYTES

    @property
    def n_affordable(self):
        """Number of columns that may be in memory, if dense ones are likelier."""
        total = self._bytes.sum()
        typical = np.square(self._bytes / total).sum() * total if total else 1.0
        return int(max(COLUMN_BYTES // typical, 1))

    def astype(self, dtype, copy=True):
        """Use another dtype in the products."""
        if self.dtype == dtype:
            return self
        matrix = shallow_copy(self)
        matrix.dtype = np.dtype(dtype)
        matrix._columns, matrix._known = np.zeros(0, dtype=np.intp), None
        matrix._last = None
        return matrix

    def __matmul__(self, coef):
        nonzero = np.flatnonzero(coef.any(axis=1))
        if len(nonzero) == 0:
            return np.zeros((self.shape[0], coef.shape[1]), dtype=self.dtype)
        if self._knows(nonzero):
            return self._known @ coef[self._columns]
        products = np.empty((self.shape[0], coef.shape[1]), dtype=self.dtype)
        for start, block in self._blocks():
            products[start : start + block.shape[0]] = block @ coef
        return products

    @property
    def T(self):
        """The transpose, for products."""
        return _Transpose(self)

    def __getitem__(self, key):
        """Return columns in memory; the key is a pair of all rows and the columns."""
        columns = np.arange(self.shape[1])[key[1]]
        wanted = np.unique(columns)
        if not self._knows(wanted):
            self._read(wanted)
        if np.array_equal(columns, self._columns):
            return self._known
        return self._known[:, np.searchsorted(self._columns, columns)]

    @property
    def known_columns(self):
        """The sorted columns that are in memory."""
        return self._columns

    def _knows(self, columns):
        """Whether these sorted columns are in memory."""
        return self._known is not None and bool(
            np.isin(columns, self._columns, assume_unique=True).all()
        )

    def _read(self, wanted):
        """Read the columns that are missing, and forget those that are not wanted."""
        known = np.isin(self._columns, wanted, assume_unique=True)
        missing = np.setdiff1d(wanted, self._columns, assume_unique=True)
        new = self.blocks.take_columns(missing).astype(self.dtype, copy=False)
        if known.any():
            stack = sparse.hstack if sparse.issparse(new) else np.hstack
            new = stack([self._known[:, known], new])
            order = np.argsort(np.concatenate([self._columns[known], missing]))
            new = new.tocsr()[:, order] if sparse.issparse(new) else new[:, order]
        self._known, self._columns = new, wanted

    def _blocks(self):
        for start, block in self.blocks:
            yield start, block.astype(self.dtype, copy=False)

    def _transposed_product(self, residuals, look=None):
        total = np.zeros((self.shape[1], residuals.shape[1]))
        for start, block in self._blocks():
            if look is not None:
                look(start, block)
            rows = np.ascontiguousarray(
                residuals[start : start + block.shape[0]], dtype=self.dtype
            )
            total += block.T @ rows
        return total

    def transposed_product(self, residuals):
        """Return the product of the transpose with an array, in a pass."""
        if self._last is None or not np.array_equal(self._last[0], residuals):
            self._last = residuals, self._transposed_product(residuals)
        return self._last[1].copy()


class _Transpose:
    """The transpose of a `BlockMatrix`."""

    def __init__(self, matrix):
        self.matrix = matrix

    def __matmul__(self, residuals):
        return self.matrix.transposed_product(residuals)
