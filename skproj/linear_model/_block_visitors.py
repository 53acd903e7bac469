"""Visitors of blocks for linear models; see `skproj.blocks._passes`."""

import operator
from copy import copy

import numpy as np
from scipy import sparse
from sklearn.utils import assert_all_finite

from skproj._kernels._columns import multiply_transposed
from skproj.utils._moments import BlockMoments, unit_factors


class _Visitor:
    """Visitor with a total of its own, which becomes its `result`."""

    reduces = True
    _join = staticmethod(operator.add)

    def take_rows(self, start, stop):
        """Return the visitor of some rows."""
        part = copy(self)
        part._all = part.total = None  # which are of all rows
        return part

    def combine(self, visitors):
        """Return a visitor for all of them."""
        self._all = visitors
        self.total = [visitor._start() for visitor in visitors]
        return self

    def finish(self):
        """Hand out the results."""
        for visitor, total in zip(self._all, self.total, strict=True):
            visitor.result = visitor._end(total)
        del self._all, self.total

    def _end(self, total):
        return total

    @classmethod
    def merge(cls, first, second):
        """Join the totals of two parts of the rows."""
        return [cls._join(*totals) for totals in zip(first, second, strict=True)]


class _RowVisitor(_Visitor):
    """Visitor of the rows of a mask, or of all if it is None, with values of theirs."""

    def __init__(self, values, mask, n_columns):
        self.values, self.n_columns = values, n_columns
        if mask is not None:  # the values of other rows are zero
            self.values = np.zeros((len(mask), *values.shape[1:]), dtype=values.dtype)
            self.values[mask] = values

    def take_rows(self, start, stop):
        """Return the visitor of some rows."""
        part = super().take_rows(start, stop)
        part.values = self.values[start:stop]
        return part

    def _weighted_part(self, start, block):
        """Return the rows of a block of positive weight, and these weights."""
        weights = self.values[start : start + block.shape[0]]
        inside = weights > 0.0
        return (block, weights) if inside.all() else (block[inside], weights[inside])


class Scan(_RowVisitor):
    """Visitor of the moments of the columns, for weighted rows; it checks all rows."""

    kind = "scan"

    def inputs(self):
        """Return what the result depends on."""
        return self.values

    def get_result(self):
        """Return the result as arrays."""
        moments, n_bytes = self.result
        return {"n_bytes": n_bytes, **moments.get_state()}

    def set_result(self, arrays):
        """Take the result of an earlier pass."""
        self.result = BlockMoments(), arrays.pop("n_bytes")
        self.result[0].set_state(arrays)

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

    def inputs(self):
        """Return what the result depends on."""
        return self.values

    def get_result(self):
        """Return the result as arrays."""
        return {"result": self.result}

    def set_result(self, arrays):
        """Take the result of an earlier pass."""
        self.result = arrays["result"]

    def add(self, start, block):
        """Add the product with a block."""
        rows = slice(start, start + block.shape[0])
        residuals = np.hstack([product.values[rows] for product in self._all])
        residuals = np.asfortranarray(residuals)
        block = block.astype(residuals.dtype, copy=False)
        added = multiply_transposed(block, residuals)
        ends = np.cumsum([total.shape[1] for total in self.total])
        parts = np.split(added, ends[:-1], axis=1)
        for total, part in zip(self.total, parts, strict=True):
            total += part

    def _start(self):
        return np.zeros((self.n_columns, self.values.shape[1]))


class Logits(_Visitor):
    """Visitor of the product with coefficients."""

    reduces = False
    _start = list
    _end = staticmethod(np.concatenate)

    def __init__(self, coef):
        self.coef = coef
        self.kind = "logits", coef.dtype

    def add(self, start, block):
        """Multiply a block."""
        block = block.astype(self.coef.dtype, copy=False)
        for logits, parts in zip(self._all, self.total, strict=True):
            parts.append(block @ logits.coef)


class Correlations(_RowVisitor):
    """Visitor of the correlations of some columns with all others."""

    def __init__(self, kept, weights, mask, n_columns):
        super().__init__(weights, mask, n_columns)
        self.kept = kept
        self.kind = "correlations", id(self)

    def add(self, start, block):
        """Add the products of a block."""
        part, weights = self._weighted_part(start, block)
        if len(weights) > 0:
            self.total[0].add(part, self.kept, weights)

    def _start(self):
        return _ColumnProducts(self.n_columns, len(self.kept))

    def _end(self, total):
        """Turn the products into correlations."""
        mean, deviation = total.moments.mean_and_deviation()
        varies = deviation > 0.0
        kept = varies[self.kept]
        rows, candidates = self.kept[kept], np.flatnonzero(varies)
        factors = total.factors[kept]
        offsets = factors * (mean[rows] - total.center[kept])
        covariances = total.products[np.ix_(candidates, kept)].T
        covariances -= np.outer(offsets, mean[candidates])
        scales = np.outer(factors * deviation[rows], deviation[candidates])
        return rows, candidates, covariances / scales

    @staticmethod
    def _join(first, second):
        return first.merge(second)


class _ColumnProducts:
    """Moments of all columns, and their products with some columns.

    These are seen from a center, and multiplied by factors that bring them near 1.
    """

    def __init__(self, n_columns, n_kept):
        self.moments = BlockMoments()
        self.products = np.zeros((n_columns, n_kept))
        self.center, self.factors = np.zeros(n_kept), np.ones(n_kept)

    def add(self, block, kept, weights):
        """Add weighted rows."""
        columns = block[:, kept]
        columns = columns.toarray() if sparse.issparse(columns) else columns
        if not self.moments.n_samples:
            self.factors = unit_factors(np.abs(columns).max(axis=0))
            # Near the mean, so that large products do not cancel out.
            self.center = (columns * self.factors).mean(axis=0) / self.factors
        self.moments.add(block, weights)
        columns = weights[:, np.newaxis] * (self.factors * (columns - self.center))
        self.products += multiply_transposed(block, columns)

    def merge(self, other):
        """Return that of the rows of both."""
        if not self.moments.n_samples:
            return other
        joint = copy(self)
        if other.moments.n_samples:
            sums = other.moments.weight * other.moments.mean
            shift = np.outer(sums, self.factors * (other.center - self.center))
            products = other.products * (self.factors / other.factors)
            joint.products = self.products + products + shift
            joint.moments = self.moments.merge(other.moments)
        return joint
