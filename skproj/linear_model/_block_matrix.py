"""A matrix in blocks of rows as a linear operator with few passes."""

import weakref
from copy import copy as shallow_copy
from typing import ClassVar

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import LinearOperator

from skproj.blocks._passes import ColumnReader, n_together, visit
from skproj.linear_model._block_visitors import Product, Scan


class BlockMatrix(LinearOperator):
    """The products and columns of `RowBlocks`, each of them a pass unless it is known.

    It has what `StandardizedDesign` uses of an array. Known are the columns that were
    asked for last, or that coefficients had, and the product of the transpose that was
    asked for. The matrices of some rows
    of the same blocks share the columns in memory, and the passes where they are used
    by functions that `run_together` calls.
    """

    def __init__(self, blocks):
        self.blocks, self.rows = blocks.whole, blocks.rows
        super().__init__(blocks.dtype, blocks.shape)
        self._store = _ColumnStore.of(self.blocks)
        self._last = None  # residuals and their product with the transpose

    def scan(self, weights, residuals=None):
        """Return the mean and the deviation of the columns, in one pass.

        It checks the entries, counts them, and prepares the product of the transpose
        with `residuals`.
        """
        scan = Scan(weights, self.rows, self.shape[1])
        visitors = [scan]
        if residuals is not None:
            # As they will be asked for.
            residuals = residuals.astype(self.dtype)
            visitors.append(Product(residuals, self.rows, self.shape[1]))
        visit(self.blocks, *visitors)
        if residuals is not None:
            self._last = residuals, visitors[1].result
        moments, self._bytes = scan.result
        return moments.mean_and_deviation()

    @property
    def fits(self):
        """Whether all columns may be in memory together."""
        return self._bytes.sum() <= self.blocks.column_bytes // n_together()

    @property
    def n_affordable(self):
        """Number of columns that may be in memory, if dense ones are likelier."""
        total = self._bytes.sum()
        typical = np.square(self._bytes / total).sum() * total if total else 1.0
        return int(max(self.blocks.column_bytes // n_together() // typical, 1))

    def astype(self, dtype, copy=True):
        """Use another dtype in the products."""
        if self.dtype == dtype:
            return self
        matrix = shallow_copy(self)
        matrix.dtype = np.dtype(dtype)
        matrix._last = None
        return matrix

    def _matmat(self, coef):
        nonzero = np.flatnonzero(coef.any(axis=1))
        if len(nonzero) == 0:
            return np.zeros((self.shape[0], coef.shape[1]), dtype=self.dtype)
        if not self._store.knows(nonzero):
            self._store.take(self, nonzero)
        columns = self._store.matrix.astype(self.dtype, copy=False)
        products = columns @ coef[self._store.columns]
        return products if self.rows is None else products[self.rows]

    def _rmatmat(self, residuals):
        if self._last is None or not np.array_equal(self._last[0], residuals):
            (product,) = self.transposed_products([residuals])
            self._last = residuals, product
        return self._last[1].copy()

    def __getitem__(self, key):
        """Return columns in memory; the key is a pair of all rows and the columns."""
        columns = np.arange(self.shape[1])[key[1]]
        return self._store.take(self, columns).astype(self.dtype, copy=False)

    @property
    def known_columns(self):
        """The sorted columns that are in memory for this matrix."""
        return self._store.wanted.get(self, np.zeros(0, dtype=np.intp))

    def transposed_products(self, arrays):
        """Return the products of the transpose with several arrays, in a pass."""
        products = [
            Product(residuals.astype(self.dtype, copy=False), self.rows, self.shape[1])
            for residuals in arrays
        ]
        visit(self.blocks, *products)
        return [product.result for product in products]


class _ColumnStore:
    """The columns of some blocks that are in memory, while a matrix uses them."""

    _stores: ClassVar = weakref.WeakValueDictionary()

    @classmethod
    def of(cls, blocks):
        """Return the only one of these blocks."""
        return cls._stores.get(id(blocks)) or cls(blocks)

    def __init__(self, blocks):
        self.blocks = blocks
        self.columns = np.zeros(0, dtype=np.intp)  # in any order
        self.matrix = np.zeros((blocks.shape[0], 0), dtype=blocks.dtype)
        self.wanted = weakref.WeakKeyDictionary()  # columns by matrix
        self._stores[id(blocks)] = self

    def knows(self, columns):
        """Whether these sorted columns are in memory."""
        return bool(np.isin(columns, self.columns, assume_unique=True).all())

    def take(self, owner, columns):
        """Return columns of the rows of a matrix, and forget its other columns."""
        self.wanted[owner] = np.unique(columns)
        if not self.knows(self.wanted[owner]):
            missing = np.setdiff1d(self.wanted[owner], self.columns, assume_unique=True)
            reader = ColumnReader(missing)
            visit(self.blocks, reader)
            self._add(reader.columns, reader.matrix)
        matrix = self.matrix if owner.rows is None else self.matrix[owner.rows]
        if np.array_equal(columns, self.columns):
            return matrix
        order = np.argsort(self.columns)
        places = np.searchsorted(self.columns, columns, sorter=order)
        return matrix[:, order[places]]

    def _add(self, columns, matrix):
        """Add columns, and forget those that no owner wants."""
        wanted = np.unique(np.concatenate(list(self.wanted.values())))
        new = np.isin(columns, wanted) & ~np.isin(columns, self.columns)
        if not new.any():
            return
        if not new.all():
            columns, matrix = columns[new], matrix[:, new]
        kept = np.isin(self.columns, wanted)
        if kept.any():
            stack = sparse.hstack if sparse.issparse(matrix) else np.hstack
            self.matrix = stack([self.matrix[:, kept], matrix])
            if sparse.issparse(matrix):
                self.matrix = self.matrix.tocsr()
            self.columns = np.concatenate([self.columns[kept], columns])
        else:
            self.columns, self.matrix = columns, matrix
