"""A matrix in blocks of rows as a linear operator with few passes."""

import weakref
from copy import copy as shallow_copy
from typing import ClassVar

import numpy as np
from scipy import sparse
from sklearn.utils import assert_all_finite

from skproj.blocks._passes import ColumnReader, n_together, visit
from skproj.utils._moments import BlockMoments

# Columns that are kept in memory together take about this many bytes at first.
COLUMN_BYTES = 1 << 27


class BlockMatrix:
    """The products and columns of `RowBlocks`, each of them a pass unless it is known.

    It has what `StandardizedDesign` uses of an array. Known are the columns that were
    asked for last, and the product of the transpose that was. The matrices of some rows
    of the same blocks share the columns in memory, and the passes where they are used
    by functions that `run_together` calls.
    """

    def __init__(self, blocks):
        self.blocks, self.rows = blocks.whole, blocks.rows
        self.shape, self.dtype = blocks.shape, blocks.dtype
        self._store = _ColumnStore.of(self.blocks)
        self._last = None  # residuals and their product with the transpose

    def scan(self, weights, residuals=None):
        """Return the mean and the deviation of the columns, in one pass.

        It checks the entries, counts them, and prepares the product of the transpose
        with `residuals`.
        """
        scan = _Scan(weights, self.rows, self.shape[1])
        visitors = [scan]
        if residuals is not None:
            # As they will be asked for.
            residuals = residuals.astype(self.dtype)
            visitors.append(_Product(residuals, self.rows, self.shape[1]))
        visit(self.blocks, *visitors)
        if residuals is not None:
            self._last = residuals, visitors[1].result
        self._bytes = scan.n_bytes
        return scan.moments.mean_and_deviation()

    @property
    def fits(self):
        """Whether all columns may be in memory together."""
        return self._bytes.sum() <= COLUMN_BYTES // n_together()

    @property
    def n_affordable(self):
        """Number of columns that may be in memory, if dense ones are likelier."""
        total = self._bytes.sum()
        typical = np.square(self._bytes / total).sum() * total if total else 1.0
        return int(max(COLUMN_BYTES // n_together() // typical, 1))

    def astype(self, dtype, copy=True):
        """Use another dtype in the products."""
        if self.dtype == dtype:
            return self
        matrix = shallow_copy(self)
        matrix.dtype = np.dtype(dtype)
        matrix._last = None
        return matrix

    def __matmul__(self, coef):
        nonzero = np.flatnonzero(coef.any(axis=1))
        if len(nonzero) == 0:
            return np.zeros((self.shape[0], coef.shape[1]), dtype=self.dtype)
        if self._store.knows(nonzero):
            columns = self._store.matrix.astype(self.dtype, copy=False)
            products = columns @ coef[self._store.columns]
            return products if self.rows is None else products[self.rows]
        logits = _Logits(coef, self.blocks.shape[0])
        visit(self.blocks, logits)
        return logits.result if self.rows is None else logits.result[self.rows]

    @property
    def T(self):
        """The transpose, for products."""
        return _Transpose(self)

    def __getitem__(self, key):
        """Return columns in memory; the key is a pair of all rows and the columns."""
        columns = np.arange(self.shape[1])[key[1]]
        matrix = self._store.take(self, columns)
        if self.rows is not None:
            matrix = matrix[self.rows]
        return matrix.astype(self.dtype, copy=False)

    @property
    def known_columns(self):
        """The sorted columns that are in memory for this matrix."""
        return self._store.wanted.get(self, np.zeros(0, dtype=np.intp))

    def transposed_product(self, residuals):
        """Return the product of the transpose with an array, in a pass."""
        if self._last is None or not np.array_equal(self._last[0], residuals):
            product = _Product(residuals.astype(self.dtype), self.rows, self.shape[1])
            visit(self.blocks, product)
            self._last = residuals, product.result
        return self._last[1].copy()


class _Transpose:
    """The transpose of a `BlockMatrix`."""

    def __init__(self, matrix):
        self.matrix = matrix

    def __matmul__(self, residuals):
        return self.matrix.transposed_product(residuals)


class _ColumnStore:
    """The columns of some blocks that are in memory, while a matrix uses them."""

    _stores: ClassVar = weakref.WeakValueDictionary()

    @classmethod
    def of(cls, blocks):
        """Return the only one of these blocks."""
        return cls._stores.get(id(blocks)) or cls(blocks)

    def __init__(self, blocks):
        self.blocks = blocks
        self.columns = np.zeros(0, dtype=np.intp)  # sorted
        self.matrix = None
        self.wanted = weakref.WeakKeyDictionary()  # columns by matrix
        self._stores[id(blocks)] = self

    def knows(self, columns):
        """Whether these sorted columns are in memory."""
        return bool(np.isin(columns, self.columns, assume_unique=True).all())

    def take(self, owner, columns):
        """Return columns, for which others of this owner are no longer needed."""
        self.wanted[owner] = np.unique(columns)
        if not self.knows(self.wanted[owner]):
            missing = np.setdiff1d(self.wanted[owner], self.columns, assume_unique=True)
            reader = ColumnReader(missing)
            visit(self.blocks, reader)
            self._add(reader.columns, reader.matrix)
        if np.array_equal(columns, self.columns):
            return self.matrix
        return self.matrix[:, np.searchsorted(self.columns, columns)]

    def _add(self, columns, matrix):
        """Add columns, and forget those that no owner wants."""
        wanted = np.unique(np.concatenate(list(self.wanted.values())))
        new = np.isin(columns, wanted) & ~np.isin(columns, self.columns)
        if not new.any():
            return
        kept = np.isin(self.columns, wanted)
        if not new.all():
            columns, matrix = columns[new], matrix[:, new]
        if kept.any():
            stack = sparse.hstack if sparse.issparse(matrix) else np.hstack
            matrix = stack([self.matrix[:, kept], matrix])
            columns = np.concatenate([self.columns[kept], columns])
            order = np.argsort(columns)
            columns = columns[order]
            matrix = matrix.tocsr() if sparse.issparse(matrix) else matrix
            matrix = matrix[:, order]
        self.columns, self.matrix = columns, matrix


class _Scan:
    """Visitor of the moments of the columns, for weighted rows; it checks all rows."""

    kind = "scan"

    def __init__(self, weights, rows, n_columns):
        self.weights = weights
        self.rows = _Rows(rows)
        self.moments = BlockMoments()
        self.n_bytes = np.zeros(n_columns)

    def combine(self, scans):
        """Return a visitor for all of them."""
        self._scans = scans
        return self

    def add(self, start, block):
        """Add a block to the moments."""
        if sparse.issparse(block) and not block.has_canonical_format:
            block = block.copy()
            block.sum_duplicates()
        assert_all_finite(block, input_name="X")
        for scan in self._scans:
            inside, own = scan.rows.of_block(start, block.shape[0])
            if own.stop > own.start:
                part = block if inside.all() else block[inside]
                scan.add_rows(part, scan.weights[own])

    def add_rows(self, block, weights):
        """Add the rows that are its own."""
        self.moments.add(block, weights)
        if sparse.issparse(block):
            counts = np.bincount(block.indices, minlength=len(self.n_bytes))
            size = block.data.itemsize + block.indices.itemsize
        else:
            counts, size = block.shape[0], block.itemsize
        self.n_bytes += counts * size

    def finish(self):
        """Forget the others."""
        del self._scans


class _Product:
    """Visitor of the product of the transpose with an array of some rows."""

    def __init__(self, residuals, rows, n_columns):
        self.residuals = residuals
        self.rows = _Rows(rows)
        self.n_columns = n_columns
        self.kind = "product", residuals.dtype

    def combine(self, products):
        """Return a visitor for all of them, with one wider product."""
        self._products = products
        widths = [product.residuals.shape[1] for product in products]
        self._ends = np.cumsum([0, *widths])
        self._total = np.zeros((self.n_columns, self._ends[-1]))
        return self

    def add(self, start, block):
        """Add the product with a block."""
        dtype = self.residuals.dtype
        residuals = np.zeros((block.shape[0], self._ends[-1]), dtype=dtype)
        for product, first, last in self._parts():
            inside, own = product.rows.of_block(start, block.shape[0])
            residuals[inside, first:last] = product.residuals[own]
        self._total += block.astype(dtype, copy=False).T @ residuals

    def finish(self):
        """Hand out the parts of the product."""
        for product, first, last in self._parts():
            product.result = self._total[:, first:last].copy()
        del self._products, self._total

    def _parts(self):
        return zip(self._products, self._ends[:-1], self._ends[1:], strict=True)


class _Logits:
    """Visitor of the product with coefficients."""

    def __init__(self, coef, n_rows):
        self.coef = coef
        self.kind = "logits", coef.dtype
        self.result = np.empty((n_rows, coef.shape[1]), dtype=coef.dtype)

    def combine(self, others):
        """Return a visitor for all of them."""
        self._all = others
        return self

    def add(self, start, block):
        """Multiply a block."""
        block = block.astype(self.coef.dtype, copy=False)
        for logits in self._all:
            logits.result[start : start + block.shape[0]] = block @ logits.coef

    def finish(self):
        """Forget the others."""
        del self._all


class _Rows:
    """Rows of a mask, or all, block by block."""

    def __init__(self, mask):
        self.mask = mask
        if mask is not None:
            self.places = np.append(0, np.cumsum(mask))

    def of_block(self, start, n_rows):
        """Return which rows of a block are among them, and where they are there."""
        stop = start + n_rows
        if self.mask is None:
            return np.ones(n_rows, dtype=bool), slice(start, stop)
        return self.mask[start:stop], slice(self.places[start], self.places[stop])
