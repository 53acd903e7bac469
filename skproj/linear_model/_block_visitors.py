"""What passes over blocks are for in a linear model; see `skproj.blocks._passes`."""

import numpy as np
from scipy import sparse
from sklearn.utils import assert_all_finite

from skproj.utils._moments import BlockMoments


class Scan:
    """Visitor of the moments of the columns, for weighted rows; it checks all rows."""

    kind = "scan"

    def __init__(self, weights, rows, n_columns):
        self.weights = weights
        self.rows = _Rows(rows)
        self.moments = BlockMoments()
        self.n_bytes = np.zeros(n_columns)

    def inputs(self):
        """Return what the result depends on."""
        return self.weights, self.rows.mask

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


class Product:
    """Visitor of the product of the transpose with an array of some rows."""

    def __init__(self, residuals, rows, n_columns):
        self.residuals = residuals
        self.rows = _Rows(rows)
        self.n_columns = n_columns
        self.kind = "product", residuals.dtype

    def inputs(self):
        """Return what the result depends on."""
        return self.residuals, self.rows.mask

    def get_result(self):
        """Return the result as arrays."""
        return {"result": self.result}

    def set_result(self, arrays):
        """Take the result of an earlier pass."""
        self.result = arrays["result"]

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


class Logits:
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


class Correlations:
    """Visitor of the correlations of some columns with all others."""

    def __init__(self, kept, weights, blocks):
        self.kept, self.weights = kept, weights
        self.rows = _Rows(blocks.rows)
        self.moments = BlockMoments()
        self.products = np.zeros((blocks.shape[1], len(kept)))
        self.center = None
        self.kind = "correlations", id(self)

    def combine(self, visitors):
        """Return itself, because each is a kind of its own."""
        return self

    def add(self, start, block):
        """Add the products of a block."""
        inside, own = self.rows.of_block(start, block.shape[0])
        if own.stop == own.start:
            return
        block = block if inside.all() else block[inside]
        weights = self.weights[own]
        self.moments.add(block, weights)
        columns = block[:, self.kept]
        columns = columns.toarray() if sparse.issparse(columns) else columns
        if self.center is None:
            # Near the mean, so that large products do not cancel out.
            self.center = columns.mean(axis=0, dtype=np.float64)
        columns = weights[:, np.newaxis] * (columns - self.center)
        self.products += block.T @ columns.astype(block.dtype, copy=False)

    def finish(self):
        """Turn the products into correlations."""
        mean, deviation = self.moments.mean_and_deviation()
        varies = deviation > 0.0
        kept = varies[self.kept]
        rows, candidates = self.kept[kept], np.flatnonzero(varies)
        offsets = mean[rows] - self.center[kept]
        covariances = self.products[np.ix_(candidates, kept)].T
        covariances -= np.outer(offsets, mean[candidates])
        scales = np.outer(deviation[rows], deviation[candidates])
        self.result = rows, candidates, covariances / scales


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
