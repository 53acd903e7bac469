"""Coordinates in which networks side by side see their features.

Few samples span few directions: in an orthonormal basis of these, a training step
costs as much as there are samples, not features.
"""

from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import torch
from scipy import sparse

from skproj.nn._training._block_samples import BlockSamples
from skproj.nn._training._samples import order_of, prediction_rows
from skproj.nn._training._sparse_rows import SparseRows, column_major, multiplies_sparse
from skproj.nn._training._tensors import to_tensor

# Directions with less than this share of the largest variance are left out: they are
# rounding errors.
SMALLEST_VARIANCE = 1e-12

# Columns that are multiplied at once.
BLOCK_COLUMNS = 4096

# Features themselves, without a basis, are gathered once for a stage if these are at
# most so many entries, else batch by batch.
MAX_STACK_ENTRIES = 1 << 24


@dataclass(frozen=True)
class Coordinates:
    """Coordinates ``(X[:, columns] * factors) @ basis`` of some of the features.

    Attributes
    ----------
    columns : ndarray of int of shape (n_kept,)
    factors : tensor of shape (n_kept,)
    basis : tensor of shape (n_kept, n_coordinates) or None
        With orthonormal columns; None for the features themselves.
    """

    columns: np.ndarray
    factors: torch.Tensor
    basis: torch.Tensor | None

    @property
    def size(self):
        """Number of coordinates."""
        return len(self.columns) if self.basis is None else self.basis.shape[1]

    def of_samples(self, samples, index):
        """Transform some samples, of which only these columns become dense."""
        return self.of_columns(dense_columns(samples, index, self.columns))

    def of_columns(self, X):
        """Transform these columns of some samples, a copy that may be overwritten."""
        T = X.mul_(self.factors)
        return T if self.basis is None else T @ self.basis

    def features_of_encoder(self, weight):
        """Turn weights of the coordinates into weights of the features.

        Their shapes are (n_hidden, n_coordinates) and (n_hidden, n_kept).
        """
        if self.basis is not None:
            weight = weight @ self.basis.T
        return weight * self.factors

    def encoder_of_features(self, weight):
        """Undo `features_of_encoder`, as far as the coordinates go."""
        weight = weight / self.factors
        return weight if self.basis is None else weight @ self.basis


def fit_coordinates(samples, rows, columns, prior, *, rotate):
    """Return coordinates in which samples have a length near sqrt(n_coordinates).

    The given rows of the samples span them. Of the prior, factors of all the features,
    only the ratios count. `rotate` takes the principal directions of the samples.
    """
    device, dtype = samples.weight.device, samples.weight.dtype
    factors = prior[columns]
    mean_square = float(np.mean(factors**2)) if len(factors) else 1.0
    n_kept = max(1, len(columns))
    shrink = np.sqrt(min(len(rows), n_kept) / n_kept)
    factors = to_tensor(factors * (shrink / np.sqrt(mean_square)), device).to(dtype)
    if not rotate or len(columns) == 0:
        return Coordinates(columns, factors, None)
    X = dense_columns(samples, torch.from_numpy(rows).to(device), columns) * factors
    return Coordinates(columns, factors, principal_directions(X))


def dense_columns(samples, index, columns):
    """Return some columns of some samples as a tensor."""
    rows = samples.rows[index]
    if not sparse.issparse(samples.X):
        columns = torch.from_numpy(columns).to(rows.device)
        # `index_select` takes a third of the time of an index in brackets.
        return samples.X.index_select(0, rows).index_select(1, columns)
    X = samples.X[rows.cpu().numpy()]
    if len(columns) < X.shape[1]:
        X = X[:, columns]
    X = to_tensor(X.toarray(), rows.device)
    return X if samples.units is None else samples.units.of(columns).standardize(X)


def principal_directions(X):
    """Return an orthonormal basis of the rows, of shape (n_columns, n_directions)."""
    n_rows, n_columns = X.shape
    is_wide = n_columns > n_rows
    blocks = X.split(BLOCK_COLUMNS, dim=1) if is_wide else [X.T]
    gram = sum(block @ block.T for block in map(torch.Tensor.double, blocks))
    if not torch.isfinite(gram).all():
        raise ValueError(
            "X is too large: products of its entries are infinite. Scale X to unit "
            "variance, for example with StandardScaler in a Pipeline."
        )
    variances, directions = torch.linalg.eigh(gram)
    kept = variances > SMALLEST_VARIANCE * variances[-1]
    directions = directions[:, kept]
    # Rounding of the data must not turn a direction round.
    largest = directions.abs().argmax(dim=0, keepdim=True)
    directions = directions * directions.gather(0, largest).sign()
    if is_wide:
        directions = directions / variances[kept].sqrt()
        directions = torch.cat([block.double().T @ directions for block in blocks])
    return directions.to(X.dtype)


class StackedSamples:
    """Samples as the groups of networks side by side see them.

    The samples have all features; in blocks they are without a basis. Their weights, of
    shape (n_groups, n_samples), have the mean 1; a sample with weight 0 is not one of
    the group. Each group has coordinates of its own.
    """

    def __init__(self, samples, weight, coordinates, n_networks):
        self.weight = weight.repeat_interleave(n_networks, dim=0)
        self.coordinates = coordinates
        if isinstance(samples, BlockSamples):
            columns = reduce(np.union1d, [part.columns for part in coordinates])
            samples = samples.keep_columns(columns)
            coordinates = [
                replace(part, columns=np.searchsorted(columns, part.columns))
                for part in coordinates
            ]
        self.samples, self._coordinates = samples, coordinates
        self.rows = samples.rows
        self.width = max(part.size for part in coordinates)
        self._X = self._gather = None
        if isinstance(samples, BlockSamples):
            return
        rotated = any(part.basis is not None for part in coordinates)
        if rotated or len(samples) * self.row_entries <= MAX_STACK_ENTRIES:
            everything = torch.arange(len(samples), device=self.rows.device)
            n_columns = max(len(part.columns) for part in coordinates)
            blocks = everything.split(prediction_rows(n_columns))
            self._X = torch.cat([self._stack(block) for block in blocks], dim=1)

    def __len__(self):
        return len(self.samples)

    @property
    def row_entries(self):
        """Number of entries of a sample in all groups."""
        return max(1, self.width * len(self.coordinates))

    def stay_sparse(self, layer):
        """Do not make batches of sparse blocks dense, if the products are faster.

        The layer is the only thing that multiplies them; its weights are rearranged.
        """
        in_blocks = isinstance(self.samples, BlockSamples)
        if in_blocks and multiplies_sparse(self.samples.X):
            self._gather = self._gather_sparse
            layer.weight = column_major(layer.weight)

    def _gather_sparse(self, window, rows):
        parts = []
        for part in self._coordinates:
            factors, shift = part.factors.numpy(), None
            if self.samples.units is not None:
                mean, scale = self.samples.units.of(part.columns)
                factors = factors / scale
                shift = np.pad(mean * factors, (0, self.width - len(mean)))
            parts.append((part.columns.astype(np.int32), factors, shift))
        return SparseRows(window[rows], parts, self.width)

    def batches(self, n_rows, generator=None):
        """Yield coordinates, targets and weights of all samples, some at a time.

        The parameters are those of `Samples.batches`.
        """
        if isinstance(self.samples, BlockSamples):
            for index, X in self.samples.visit(n_rows, generator, self._gather):
                if self._gather is None:
                    X = self._stack_columns(X)
                yield self._beside(X, index)
        else:
            order = order_of(len(self), generator, self.weight.device)
            yield from map(self.batch, order.split(n_rows))

    def batch(self, index):
        """Return coordinates, targets and weights of some samples."""
        in_memory = self._X is not None
        X = self._X.index_select(1, index) if in_memory else self._stack(index)
        return self._beside(X, index)

    def _beside(self, X, index):
        """Return features with the targets and weights of their samples."""
        y = self.samples.y[index]
        weight = self.weight.index_select(1, index)
        return X, y.expand(len(self.weight), *y.shape), weight

    def split(self, parts, batch_size):
        """Split what `batch` returned, after the features with noise, into batches."""
        return zip(*(part.split(batch_size, dim=1) for part in parts), strict=True)

    def _stack(self, index):
        return self._side_by_side(
            [part.of_samples(self.samples, index) for part in self._coordinates]
        )

    def _stack_columns(self, X):
        """Stack the groups' coordinates of samples with the columns of all of them."""
        if len(self._coordinates) == 1:  # without a copy
            return self._side_by_side([self._coordinates[0].of_columns(X)])
        return self._side_by_side(
            [part.of_columns(X[:, part.columns]) for part in self._coordinates]
        )

    def _side_by_side(self, parts):
        """Stack coordinates of the groups, with zeros up to the width."""
        return torch.stack(
            [torch.nn.functional.pad(T, (0, self.width - T.shape[1])) for T in parts]
        )
