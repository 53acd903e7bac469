"""Batches that stay sparse, for the products of a wide first layer."""

import numpy as np
import torch

# Up to this share of nonzeros, sparse products are faster than dense ones.
MAX_DENSITY = 0.15


class SparseRows:
    """Features of some samples, in products ``A @ X`` and ``A @ X.mT`` of tensors.

    PyTorch leaves products with objects that it does not know to these. A sparse batch
    with the columns one after the other reads a wide matrix of weights once, in order.

    Parameters
    ----------
    matrix : CSR matrix of shape (n_samples, n_features)
    """

    def __init__(self, matrix):
        self.matrix = matrix
        self._by_column = matrix.tocsc()

    def split(self, size, dim=0):
        """Split into batches, like a tensor of shape (1, n_samples, n_features)."""
        n_samples = self.matrix.shape[0]
        if n_samples <= size:
            return iter([self])
        starts = range(0, n_samples, size)
        return (SparseRows(self.matrix[start : start + size]) for start in starts)

    @property
    def mT(self):
        """The transpose."""
        return _Transpose(self._by_column)

    def __rmatmul__(self, A):
        """Multiply a tensor of shape (1, n, n_samples)."""
        columns = np.ascontiguousarray(A.detach()[0].T.numpy())
        # Its memory has the order of that of weights of `column_major`.
        return torch.from_numpy(self._by_column.T @ columns).T.unsqueeze(0)


class _Transpose:
    def __init__(self, matrix):
        self._matrix = matrix

    def __rmatmul__(self, A):
        """Multiply a tensor of shape (1, n, n_features)."""
        product = torch.from_numpy(self._matrix @ A.detach()[0].T.numpy())
        return product.T.contiguous().unsqueeze(0)


def column_major(weight):
    """Return the same weights with the columns one after the other in memory."""
    return torch.nn.Parameter(weight.detach().mT.contiguous().mT)


def gather_sparse(window, rows, factors):
    """Return some rows of a CSR matrix, with columns multiplied by factors."""
    X = window[rows]
    X.data *= factors[X.indices]
    return SparseRows(X)
