"""Weighted samples on the training device."""

import itertools
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import sparse

from skproj.blocks import RowBlocks
from skproj.nn._training._tensors import to_tensor
from skproj.nn._training._units import Units

# Bounds of the memory of dense rows and hidden layers where there are no batches.
MAX_PREDICTION_ROWS = 8192
MAX_PREDICTION_ENTRIES = 1 << 22

# Bound of the temporary arrays in which rows are compared.
MAX_COMPARISON_ENTRIES = 1 << 20


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

        Parameters
        ----------
        n_rows : int
            The last samples may be fewer.
        generator : torch.Generator, default=None
            Draws a random order of the samples; None for the given one.
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
        """Return the same samples with some of the features only.

        Parameters
        ----------
        kept : ndarray of int of shape (n_kept,)
        """
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
        """Return the same samples with some of the features only.

        Parameters
        ----------
        kept : ndarray of int of shape (n_kept,)
            Positions among the present columns.
        """
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


def dense_rows(X, rows):
    """Take some rows of an array or a CSR matrix as an array."""
    return X[rows].toarray() if sparse.issparse(X) else X[rows]


def prediction_rows(n_columns):
    """Return how many rows to take at once where there are no batches."""
    return max(1, min(MAX_PREDICTION_ROWS, MAX_PREDICTION_ENTRIES // max(1, n_columns)))


def merge_duplicates(X, labels, weight):
    """Find the distinct samples, in an order that depends on nothing but them.

    Training on the distinct samples with their weights added up makes a weight of 2
    the same as writing a sample twice, whatever the batches and the noise, and makes
    the result independent of the order of the rows. Rows in blocks are taken as they
    come: in another order, each epoch would read them from all over the file.

    Parameters
    ----------
    X : {ndarray, CSR matrix, RowBlocks} of shape (n_samples, n_features)
        C-contiguous if dense.
    labels : ndarray of int of shape (n_samples,)
    weight : ndarray of shape (n_samples,)

    Returns
    -------
    rows : ndarray of int of shape (n_distinct,)
        One row of X for each distinct sample of positive weight.
    weight : ndarray of shape (n_distinct,)
        Their weights.
    places : ndarray of int of shape (n_samples,)
        Which of them each sample is; -1 for weight zero.
    """
    rows = np.flatnonzero(weight > 0)
    if isinstance(X, RowBlocks):
        return rows, weight[rows], np.where(weight > 0, np.cumsum(weight > 0) - 1, -1)
    keys = _row_keys(X, rows)
    order = np.lexsort((labels[rows], keys))
    rows, keys = rows[order], keys[order]
    tied = (keys[1:] == keys[:-1]) & (labels[rows[1:]] == labels[rows[:-1]])
    repeats = _equal_neighbours(X, rows, tied)
    if not np.array_equal(repeats, tied):
        # Different samples with one key: only here their entries decide the order.
        ends = np.flatnonzero(np.r_[True, ~tied, True])
        for start, stop in itertools.pairwise(ends):
            if not repeats[start : stop - 1].all():
                run = rows[start:stop]
                rows[start:stop] = run[np.lexsort(dense_rows(X, run).T[::-1])]
        repeats = _equal_neighbours(X, rows, tied)
    is_new = np.r_[True, ~repeats]
    starts = np.flatnonzero(is_new)
    places = np.full(len(weight), -1)
    places[rows] = np.cumsum(is_new) - 1
    return rows[starts], np.add.reduceat(weight[rows], starts), places


def _equal_neighbours(X, rows, candidates):
    """Compare each row with the next one, where `candidates` is true."""
    equal = candidates.copy()
    places = np.flatnonzero(candidates)
    for block in _blocks(len(places), X.shape[1]):
        place = places[block]
        here, next_ones = (dense_rows(X, rows[place + shift]) for shift in (0, 1))
        equal[place] = (here == next_ones).all(axis=1)
    return equal


def _row_keys(X, rows):
    """Random combination of the scaled columns: changes as little as X does.

    Not by BLAS, where the rounding of a row may depend on its position.
    """
    blocks = [rows[block] for block in _blocks(len(rows), X.shape[1])]
    low, high = np.inf, -np.inf
    for block in blocks:
        dense = dense_rows(X, block)
        low = np.minimum(low, dense.min(axis=0))
        high = np.maximum(high, dense.max(axis=0))
    with np.errstate(over="ignore"):
        span = high.astype(np.float64) - low
        factors = np.random.RandomState(0).uniform(1.0, 2.0, X.shape[1])
        factors = np.divide(factors, span, out=np.zeros_like(span), where=span > 0)
    # A span beyond all floats, or below them, says nothing that could be scaled.
    factors[~np.isfinite(factors) | np.isinf(span)] = 0.0
    low = np.where(factors > 0, low, 0.0)
    return np.concatenate(
        [((dense_rows(X, block) - low) * factors).sum(axis=1) for block in blocks]
    )


def _blocks(n_rows, n_columns):
    """Slices of rows that bound the memory of temporary arrays."""
    step = max(1, MAX_COMPARISON_ENTRIES // max(1, n_columns))
    return [slice(start, start + step) for start in range(0, n_rows, step)]
