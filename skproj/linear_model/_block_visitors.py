"""Visitors of blocks for linear models; see `skproj.blocks._passes`."""

from copy import copy

import numpy as np
from scipy import sparse
from sklearn.utils import assert_all_finite

from skproj.linear_model._sparse_products import has_kernel, multiply_transposed
from skproj.utils._moments import BlockMoments, unit_factors


class _RowVisitor:
    """Visitor of the rows of a mask, or of all if it is None, with values of theirs."""

    reduces = True

    def __init__(self, values, mask, n_columns):
        self.values, self.mask, self.n_columns = values, mask, n_columns
        if mask is not None:
            self._places = np.append(0, np.cumsum(mask))

    def of_block(self, start, n_rows):
        """Return which rows of a block are its own, and where their values are."""
        stop = start + n_rows
        if self.mask is None:
            return np.ones(n_rows, dtype=bool), slice(start, stop)
        return self.mask[start:stop], slice(self._places[start], self._places[stop])

    def own_part(self, start, block):
        """Return its own rows of a block, and their values."""
        inside, own = self.of_block(start, block.shape[0])
        return block if inside.all() else block[inside], self.values[own]

    def take_rows(self, start, stop):
        """Return the visitor of some rows."""
        inside, own = self.of_block(start, stop - start)
        mask = None if self.mask is None else inside
        return self._like(self.values[own], mask, self.n_columns)

    def _like(self, *parts):
        return type(self)(*parts)


class Scan(_RowVisitor):
    """Visitor of the moments of the columns, for weighted rows; it checks all rows."""

    kind = "scan"

    def __init__(self, weights, mask, n_columns):
        super().__init__(weights, mask, n_columns)
        self.moments = BlockMoments()
        self.n_bytes = np.zeros(n_columns)

    def inputs(self):
        """Return what the result depends on."""
        return self.values, self.mask

    def get_result(self):
        """Return the result as arrays."""
        return {"n_bytes": self.n_bytes, **self.moments.get_state()}

    def set_result(self, arrays):
        """Take the result of an earlier pass."""
        self.n_bytes = arrays.pop("n_bytes")
        self.moments.set_state(arrays)

    def combine(self, scans):
        """Return a visitor for all of them."""
        self._scans = scans
        self.total = [(scan.moments, scan.n_bytes) for scan in scans]
        return self

    def add(self, start, block):
        """Add a block to the moments."""
        if sparse.issparse(block) and not block.has_canonical_format:
            block = block.copy()
            block.sum_duplicates()
        assert_all_finite(block, input_name="X")
        for scan in self._scans:
            part, weights = scan.own_part(start, block)
            if len(weights) == 0:
                continue
            scan.moments.add(part, weights)
            if sparse.issparse(part):
                counts = np.bincount(part.indices, minlength=self.n_columns)
                size = part.data.itemsize + part.indices.itemsize
            else:
                counts, size = part.shape[0], part.itemsize
            scan.n_bytes += counts * size

    def finish(self):
        """Hand out the moments."""
        for scan, (moments, n_bytes) in zip(self._scans, self.total, strict=True):
            scan.moments, scan.n_bytes = moments, n_bytes
        del self._scans, self.total

    @staticmethod
    def merge(first, second):
        """Join the totals of two parts of the rows."""
        return [
            (moments.merge(more_moments), n_bytes + more_bytes)
            for (moments, n_bytes), (more_moments, more_bytes) in zip(
                first, second, strict=True
            )
        ]


class Product(_RowVisitor):
    """Visitor of the product of the transpose with an array of some rows."""

    @property
    def kind(self):
        """Those of the same type become one wider product."""
        return "product", self.values.dtype

    def inputs(self):
        """Return what the result depends on."""
        return self.values, self.mask

    def get_result(self):
        """Return the result as arrays."""
        return {"result": self.result}

    def set_result(self, arrays):
        """Take the result of an earlier pass."""
        self.result = arrays["result"]

    def combine(self, products):
        """Return a visitor for all of them, with one wider product."""
        self._products = products
        widths = [product.values.shape[1] for product in products]
        self._ends = np.cumsum([0, *widths])
        self.total = np.zeros((self.n_columns, self._ends[-1]))
        return self

    def add(self, start, block):
        """Add the product with a block."""
        dtype = self.values.dtype
        residuals = np.zeros((block.shape[0], self._ends[-1]), dtype=dtype, order="F")
        for product, first, last in self._parts():
            inside, own = product.of_block(start, block.shape[0])
            residuals[inside, first:last] = product.values[own]
        block = block.astype(dtype, copy=False)
        if has_kernel(block, residuals.shape[1]):
            self.total += multiply_transposed(block, residuals)
        else:
            self.total += block.T @ residuals

    def finish(self):
        """Hand out the parts of the product."""
        for product, first, last in self._parts():
            product.result = self.total[:, first:last].copy()
        del self._products, self.total

    @staticmethod
    def merge(first, second):
        """Join the totals of two parts of the rows."""
        return first + second

    def _parts(self):
        return zip(self._products, self._ends[:-1], self._ends[1:], strict=True)


class Logits:
    """Visitor of the product with coefficients."""

    reduces = False

    def __init__(self, coef):
        self.coef = coef
        self.kind = "logits", coef.dtype

    def take_rows(self, start, stop):
        """Return the visitor of some rows."""
        return Logits(self.coef)

    def combine(self, others):
        """Return a visitor for all of them."""
        self._all = others
        self.total = [[] for _ in others]
        return self

    def add(self, start, block):
        """Multiply a block."""
        block = block.astype(self.coef.dtype, copy=False)
        for logits, parts in zip(self._all, self.total, strict=True):
            parts.append(block @ logits.coef)

    def finish(self):
        """Join the blocks."""
        for logits, parts in zip(self._all, self.total, strict=True):
            logits.result = np.concatenate(parts)
            parts.clear()
        del self._all, self.total

    @staticmethod
    def merge(first, second):
        """Join the totals of two parts of the rows."""
        return [parts + more for parts, more in zip(first, second, strict=True)]


class Correlations(_RowVisitor):
    """Visitor of the correlations of some columns with all others."""

    def __init__(self, kept, weights, mask, n_columns):
        super().__init__(weights, mask, n_columns)
        self.kept = kept
        self.kind = "correlations", id(self)

    def _like(self, *parts):
        return Correlations(self.kept, *parts)

    def combine(self, visitors):
        """Return itself, because each is a kind of its own."""
        self.total = _ColumnProducts(self.n_columns, len(self.kept))
        return self

    def add(self, start, block):
        """Add the products of a block."""
        part, weights = self.own_part(start, block)
        if len(weights) > 0:
            self.total.add(part, self.kept, weights)

    def finish(self):
        """Turn the products into correlations."""
        mean, deviation = self.total.moments.mean_and_deviation()
        varies = deviation > 0.0
        kept = varies[self.kept]
        rows, candidates = self.kept[kept], np.flatnonzero(varies)
        factors = self.total.factors[kept]
        offsets = factors * (mean[rows] - self.total.center[kept])
        covariances = self.total.products[np.ix_(candidates, kept)].T
        covariances -= np.outer(offsets, mean[candidates])
        scales = np.outer(factors * deviation[rows], deviation[candidates])
        self.result = rows, candidates, covariances / scales
        del self.total

    @staticmethod
    def merge(first, second):
        """Join the totals of two parts of the rows."""
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
        self.products += block.T @ columns

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
