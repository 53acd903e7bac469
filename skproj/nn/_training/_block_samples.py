"""Weighted samples that are read in blocks of rows, a window of them at a time."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import sparse

from skproj.blocks._duplicates import dense_rows
from skproj.blocks._row_blocks import read_ahead
from skproj.nn._training._measured_blocks import MeasuredBlocks
from skproj.nn._training._samples import Samples, order_of
from skproj.nn._training._tensors import to_tensor
from skproj.nn._training._units import Units

# Bytes of the samples that are shuffled together.
WINDOW_BYTES = 1 << 27

# Samples of less than so many bytes are read into memory.
MEMORY_BYTES = 1 << 27


@dataclass(frozen=True)
class BlockSamples:
    """Weighted samples that are read again in each epoch; otherwise as `Samples`.

    In place of a random order of all samples, consecutive samples are in memory
    together, in a window of `WINDOW_BYTES`, and are visited in random order. The
    windows of an epoch begin at random places. They are multiples of the rows that are
    gathered at once, and depend on the data and the random numbers, not on the blocks.

    `X` may hold more rows than are used; `rows`, the row of each sample, are sorted.
    """

    X: MeasuredBlocks
    y: torch.Tensor
    weight: torch.Tensor
    rows: torch.Tensor
    units: Units | None = None

    split = Samples.split
    n_features = Samples.n_features
    row_entries = Samples.row_entries

    def __len__(self):
        return len(self.rows)

    def batches(self, n_rows, generator=None):
        """Yield features, targets and weights of all samples, as `Samples` does."""
        for index, X in self.visit(n_rows, generator):
            yield X, self.y[index], self.weight[index]

    def visit(self, n_rows, generator=None, gather=None):
        """Read all samples in a pass, shuffled if there is a generator.

        Threads read the next block and window, and gather the next `n_rows` samples.
        Yields the indices of some samples, and their features, of which
        ``gather(window, rows)`` may return another form than a dense tensor. The last
        samples may be fewer.
        """
        sizes = self._window_sizes(n_rows, generator)
        # Before others draw from the generator: batches are gathered ahead of time.
        orders = [order_of(size, generator, self.y.device) for size in sizes]
        gather = gather or self._gather_dense
        return read_ahead(self._gathered(sizes, orders, n_rows, gather))

    def _gather_dense(self, window, rows):
        X = to_tensor(dense_rows(window, rows), self.y.device)
        return X if self.units is None else self.units.standardize(X)

    def _gathered(self, sizes, orders, n_rows, gather):
        """Yield what `visit` does, for windows of known sizes and orders."""
        start = 0
        windows = read_ahead(self._windows(sizes))
        for window, order in zip(windows, orders, strict=True):
            for index in order.split(n_rows):
                yield start + index, gather(window, index.cpu().numpy())
            start += len(order)

    def keep_columns(self, kept):
        """Return the same samples with some of the features only.

        They are read into memory if they are few enough.
        """
        units = None if self.units is None else self.units.of(kept)
        smaller = replace(self, X=self.X.keep_columns(kept), units=units)
        return smaller.in_memory() if smaller._n_bytes <= MEMORY_BYTES else smaller

    def in_memory(self):
        """Read the samples, and return them as `Samples`."""
        (X,) = self._windows([len(self)])
        units = self.units
        if not sparse.issparse(X):
            X = to_tensor(X, self.y.device)
            X, units = X if units is None else units.standardize(X), None
        everything = torch.arange(len(self), device=self.rows.device)
        return Samples(X, self.y, self.weight, everything, units)

    def first(self, n_rows):
        """Return the features of the first samples, and do not read the others."""
        window = next(self._windows([n_rows]))
        return self._gather_dense(window, slice(None))

    @property
    def window_rows(self):
        """Number of samples in `WINDOW_BYTES`, which may be more than there are."""
        return int(WINDOW_BYTES * len(self) / max(1.0, self._n_bytes))

    @property
    def _n_bytes(self):
        return self.X.n_bytes * len(self) / self.X.shape[0]

    def _window_sizes(self, n_rows, generator):
        """Return the number of samples of each window of an epoch."""
        n = len(self)
        n_steps = max(1, self.window_rows // n_rows)
        size = n_steps * n_rows
        if n <= size:
            return [n]
        first = size
        if generator is not None:
            device = generator.device
            draw = torch.randint(n_steps, (), generator=generator, device=device)
            first = n_rows * (1 + int(draw))
        ends = np.append(np.arange(first, n, size), n)
        return np.diff(ends, prepend=0).tolist()

    def _windows(self, sizes):
        """Read consecutive samples, so many at a time."""
        parts = self._parts()
        part = None
        for size in sizes:
            pieces, missing = [], size
            while missing:
                if part is None or not part.shape[0]:
                    part = next(parts)
                pieces.append(part[:missing])
                missing -= pieces[-1].shape[0]
                part = part[pieces[-1].shape[0] :]
            yield _put_together(pieces)
        # To its end, where the number of rows is checked.
        for _ in parts:
            pass

    def _parts(self):
        """Read the samples of each block."""
        rows = self.rows.cpu().numpy()
        for start, block in self.X:
            first, last = np.searchsorted(rows, [start, start + block.shape[0]])
            if last - first == block.shape[0]:
                yield block
            elif first < last:
                yield block[rows[first:last] - start]


def _put_together(pieces):
    """Return the rows of several matrices as one.

    The last pieces are let go of first, so that there are never two copies of all.
    """
    if any(sparse.issparse(piece) for piece in pieces):
        return _put_together_sparse([sparse.csr_array(piece) for piece in pieces])
    n_rows, n_columns = sum(map(len, pieces)), pieces[0].shape[1]
    window = np.empty((n_rows, n_columns), dtype=pieces[0].dtype)
    while pieces:
        piece = pieces.pop()
        window[n_rows - len(piece) : n_rows] = piece
        n_rows -= len(piece)
    return window


def _put_together_sparse(pieces):
    lengths = np.concatenate([np.diff(piece.indptr) for piece in pieces])
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    end, shape = indptr[-1], (len(lengths), pieces[0].shape[1])
    index_dtype = np.int32 if end < 2**31 else np.int64
    data = np.empty(end, dtype=pieces[0].dtype)
    indices = np.empty(end, dtype=index_dtype)
    while pieces:
        piece = pieces.pop()
        start = end - piece.nnz
        data[start:end], indices[start:end] = piece.data, piece.indices
        end = start
    return sparse.csr_array((data, indices, indptr.astype(index_dtype)), shape=shape)
