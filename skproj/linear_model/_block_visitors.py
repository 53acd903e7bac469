"""Visitors of blocks for linear models; see `skproj.blocks._passes`."""

import operator
from copy import copy

import numpy as np
from scipy import sparse
from sklearn.utils import assert_all_finite

from skproj._kernels._columns import multiply_transposed
from skproj.utils._moments import BlockMoments


class _RowVisitor:
    """Visitor of the rows of a mask, or of all if it is None, with values of theirs.

    It has a total of its own, which becomes its `result`.
    """

    reduces = True
    _join = staticmethod(operator.add)

    def __init__(self, values, mask, n_columns):
        self.values, self.mask, self.n_columns = values, mask, n_columns

    def take_rows(self, start, stop):
        """Return the visitor of some rows."""
        part = copy(self)
        part._all = part.total = None  # which are of all rows
        part.values, part.mask = self._values_of(start, stop), None
        return part

    def combine(self, visitors):
        """Return a visitor for all of them."""
        self._all = visitors
        self.total = [visitor._start() for visitor in visitors]
        return self

    def finish(self):
        """Hand out the results."""
        for visitor, total in zip(self._all, self.total, strict=True):
            visitor.result = total
        del self._all, self.total

    @classmethod
    def merge(cls, first, second):
        """Join the totals of two parts of the rows."""
        return [cls._join(*totals) for totals in zip(first, second, strict=True)]

    def _values_of(self, start, stop):
        """Return the values of some rows, zero outside of the mask."""
        if self.mask is None:
            return self.values[start:stop]
        inside = self.mask[start:stop]
        values = np.zeros((len(inside), *self.values.shape[1:]), self.values.dtype)
        first = np.count_nonzero(self.mask[:start])
        values[inside] = self.values[first : first + np.count_nonzero(inside)]
        return values

    def _weighted_part(self, start, block):
        """Return the rows of a block of positive weight, and these weights."""
        weights = self._values_of(start, start + block.shape[0])
        inside = weights > 0.0
        return (block, weights) if inside.all() else (block[inside], weights[inside])


class Scan(_RowVisitor):
    """Visitor of the moments of the columns, for weighted rows; it checks all rows."""

    kind = "scan"

    def add(self, start, block):
        """Add a block to the moments."""
        if sparse.issparse(block) and not block.has_canonical_format:
            block = block.copy()
            block.sum_duplicates()
        assert_all_finite(block, input_name="X")
        for scan, (moments, n_bytes) in zip(self._all, self.total, strict=True):
            part, weights = scan._weighted_part(start, block)
            if len(weights) == 0:
                continue
            moments.add(part, weights)
            if sparse.issparse(part):
                counts = np.bincount(part.indices, minlength=self.n_columns)
                n_bytes += counts * (part.data.itemsize + part.indices.itemsize)
            else:
                n_bytes += part.shape[0] * part.itemsize

    def _start(self):
        return BlockMoments(), np.zeros(self.n_columns)

    @staticmethod
    def _join(first, second):
        return first[0].merge(second[0]), first[1] + second[1]


class Product(_RowVisitor):
    """Visitor of the product of the transpose with an array of some rows."""

    @property
    def kind(self):
        """Those of the same type become one wider product."""
        return "product", self.values.dtype

    def add(self, start, block):
        """Add the product with a block."""
        rows = start, start + block.shape[0]
        residuals = np.hstack([product._values_of(*rows) for product in self._all])
        residuals = np.asfortranarray(residuals)
        block = block.astype(residuals.dtype, copy=False)
        added = multiply_transposed(block, residuals)
        ends = np.cumsum([total.shape[1] for total in self.total])
        parts = np.split(added, ends[:-1], axis=1)
        for total, part in zip(self.total, parts, strict=True):
            total += part

    def _start(self):
        return np.zeros((self.n_columns, self.values.shape[1]))


class Correlations(_RowVisitor):
    """Visitor of the products of all columns with some of them, standardised.

    The last row of the result has the sums of the latter, zero but for rounding.
    """

    def __init__(self, kept, mean, deviation, weights, mask):
        super().__init__(weights, mask, len(mean))
        self.kept, self.mean, self.deviation = kept, mean[kept], deviation[kept]
        self.kind = "correlations", id(self)

    def add(self, start, block):
        """Add the products of a block, in double precision."""
        part, weights = self._weighted_part(start, block)
        columns = part[:, self.kept]
        if sparse.issparse(part):
            columns = columns.toarray()
        else:
            part = part.astype(np.float64, copy=False)
        columns = (columns.astype(np.float64) - self.mean) / self.deviation
        columns *= weights[:, np.newaxis]
        self.total[0][:-1] += multiply_transposed(part, columns)
        self.total[0][-1] += columns.sum(axis=0)

    def _start(self):
        return np.zeros((self.n_columns + 1, len(self.kept)))
