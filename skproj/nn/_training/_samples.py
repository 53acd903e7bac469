"""Weighted samples on the training device."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import sparse

from skproj.blocks._duplicates import dense_rows
from skproj.nn._training._tensors import to_tensor
from skproj.nn._training._units import Units

# Bounds of the memory of dense rows and hidden layers where there are no batches.
MAX_PREDICTION_ROWS = 8192
MAX_PREDICTION_ENTRIES = 1 << 22


@dataclass(frozen=True)
class Samples:
    """Weighted samples; the dense ones are on the training device.

    Attributes
    ----------
    X : tensor or CSR matrix of shape (n_rows, n_features)
        May hold more rows than are used. Sparse rows become dense batch by batch.
    y : tensor of shape (n_samples,) or (n_samples, n_targets)
    weight : tensor of shape (n_samples,)
        The weights have mean 1, so that losses are weighted means.
    rows : tensor of int of shape (n_samples,)
        The row of X that each sample is in.
    units : Units or None
        By which sparse rows are standardised when they become dense; dense ones are.
    """

    X: torch.Tensor
    y: torch.Tensor
    weight: torch.Tensor
    rows: torch.Tensor
    units: Units | None = None

    def __len__(self):
        return len(self.rows)

    @property
    def n_features(self):
        """Number of features."""
        return self.X.shape[1]

    @property
    def row_entries(self):
        """Number of entries of a sample."""
        return max(1, self.n_features)

    def batches(self, n_rows, generator=None):
        """Yield features, targets and weights of all samples, some at a time.

        The last ones may be fewer than `n_rows`. A generator draws a random order.
        """
        order = order_of(len(self), generator, self.weight.device)
        return map(self.batch, order.split(n_rows))

    def split(self, parts, batch_size):
        """Split what `batch` returned, after the features with noise, into batches."""
        return zip(*(part.split(batch_size) for part in parts), strict=True)

    def batch(self, index):
        """Return features, targets and weights of some samples."""
        rows = self.rows[index]
        if sparse.issparse(self.X):
            X = to_tensor(dense_rows(self.X, rows.cpu().numpy()), self.y.device)
            X = X if self.units is None else self.units.standardize(X)
        else:
            X = self.X[rows]
        return X, self.y[index], self.weight[index]

    def keep_columns(self, kept):
        """Return the same samples with some of the features only."""
        everything = torch.arange(len(self), device=self.rows.device)
        if not sparse.issparse(self.X):
            columns = torch.from_numpy(kept).to(self.X.device)
            X = self.X[self.rows.unsqueeze(1), columns]
            return replace(self, X=X, rows=everything)
        X = self.X[self.rows.cpu().numpy()][:, kept]
        units = None if self.units is None else self.units.of(kept)
        # Once the dense columns take no more memory, they are faster.
        if X.shape[0] * X.shape[1] <= 2 * self.X.nnz:
            X = to_tensor(X.toarray(), self.y.device)
            X, units = X if units is None else units.standardize(X), None
        return replace(self, X=X, rows=everything, units=units)

    def in_memory(self):
        """Return these samples, which are in memory."""
        return self


@dataclass(frozen=True)
class TrainingData:
    """Samples of a fit, with the features that are still in training.

    Attributes
    ----------
    train : Samples or BlockSamples
    validation : Samples or BlockSamples or None
    columns : ndarray of int of shape (n_kept,)
        The features of X that the samples still have.
    units : Units or None
        Of all the features of X: the samples are standardised by them.
    """

    train: object
    validation: object
    columns: np.ndarray
    units: Units | None = None

    def keep_columns(self, kept):
        """Return the same samples with some of the present columns only."""
        smaller = self._of_parts(lambda part: part.keep_columns(kept))
        return replace(smaller, columns=self.columns[kept])

    def in_memory(self):
        """Return the same samples, read into memory if they are in blocks."""
        return self._of_parts(lambda part: part.in_memory())

    def _of_parts(self, function):
        validation = None if self.validation is None else function(self.validation)
        return replace(self, train=function(self.train), validation=validation)


def order_of(n, generator, device):
    """Return the indices of samples, shuffled if there is a generator."""
    if generator is None:
        return torch.arange(n, device=device)
    return torch.randperm(n, generator=generator, device=device)


def prediction_rows(n_columns):
    """Return how many rows to take at once where there are no batches."""
    return max(1, min(MAX_PREDICTION_ROWS, MAX_PREDICTION_ENTRIES // max(1, n_columns)))
