"""Batches that stay sparse, for the products of a wide first layer."""

import numpy as np
import torch

from skproj._kernels._first_layer import (
    LANES,
    apply_first_layer,
    differentiate_first_layer,
)

# Up to this share of nonzeros, sparse products are faster than dense ones.
MAX_DENSITY = 0.15


def multiplies_sparse(blocks):
    """Tell whether products with batches of measured blocks are faster if sparse."""
    return blocks.density <= MAX_DENSITY


class SparseRows:
    """Features of some samples, in products ``A @ X.mT`` and ``A @ X`` of tensors.

    PyTorch leaves products with objects that it does not know to these.

    The parts are for each group of networks the columns that it sees and their factors,
    of the dtype of the CSR matrix, and None or what is subtracted from the products
    with these, of shape (width,). The width is the number of weights of a unit. Of
    groups with fewer columns the last ones are not used.
    """

    # Scale and generator of `HiddenNoise`.
    noise = None

    def __init__(self, matrix, parts, width):
        self.matrix, self.parts, self.width = matrix, parts, width
        by_column = matrix.tocsc()
        places = (by_column.indices, by_column.indptr)
        places = (array.astype(np.int32, copy=False) for array in places)
        self._entries = by_column.data, *places

    @property
    def shape(self):
        """Numbers of groups, of samples and of features of a group."""
        return len(self.parts), self.matrix.shape[0], self.width

    def split(self, size, dim=1):
        """Split into batches, like a tensor of this shape."""
        starts = range(0, self.matrix.shape[0], size)
        if len(starts) == 1:
            yield self
            return
        for start in starts:
            rows = self.matrix[start : start + size]
            batch = SparseRows(rows, self.parts, self.width)
            batch.noise = self.noise
            yield batch

    @property
    def mT(self):
        """The transpose."""
        return _TransposedRows(self)

    def __rmatmul__(self, A):
        """Multiply a tensor of shape (n_groups, n, n_samples).

        The memory of the product has the order of that of weights of `column_major`.
        """
        n_groups, n, n_samples = A.shape
        outputs = np.zeros((n_groups, n_samples, _pitch(n)), self.matrix.dtype)
        outputs[:, :, :n] = A.detach().mT.numpy()
        product = np.zeros((n_groups, self.width, n), self.matrix.dtype)
        self._run(differentiate_first_layer, product, outputs)
        for (*_, shift), weight, output in zip(
            self.parts, product, outputs, strict=True
        ):
            if shift is not None:
                weight -= np.outer(shift, output[:, :n].sum(axis=0))
        return torch.from_numpy(product).mT

    def _run(self, kernel, weights, outputs):
        if not self.matrix.nnz:
            return
        for (columns, factors, _), weight, output in zip(
            self.parts, weights, outputs, strict=True
        ):
            if len(columns):
                kernel(*self._entries, columns, factors, weight, output)


class _TransposedRows:
    def __init__(self, rows):
        self._rows = rows

    def __rmatmul__(self, A):
        """Multiply a tensor of shape (n_groups, n, n_features)."""
        n_groups, n, _ = A.shape
        n_samples = self._rows.matrix.shape[0]
        outputs = np.zeros((n_groups, n_samples, _pitch(n)), self._rows.matrix.dtype)
        weights = np.ascontiguousarray(A.detach().mT.numpy())
        self._rows._run(apply_first_layer, weights, outputs)
        for (*_, shift), weight, output in zip(
            self._rows.parts, weights, outputs, strict=True
        ):
            if shift is not None:
                output[:, :n] -= shift @ weight
        return torch.from_numpy(outputs[:, :, :n]).mT.contiguous()


def _pitch(n_units):
    """Return the room for the units of a sample."""
    return -(-n_units // LANES) * LANES


def column_major(weight):
    """Return the same weights with the columns one after the other in memory."""
    return torch.nn.Parameter(weight.detach().mT.contiguous().mT)
