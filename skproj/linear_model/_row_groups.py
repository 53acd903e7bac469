"""Groups of consecutive rows of an array of coefficients."""

import functools

import numpy as np
from scipy import sparse


class RowGroups:
    """Groups of consecutive rows: all of the size `sizes`, or of these sizes.

    The arrays have the shape (n_rows, n_outputs); what belongs to a group is all the
    entries of its rows. Equal groups are seen as a matrix without a copy, others as a
    compressed matrix in which each entry has a column of its own.
    """

    def __init__(self, sizes=1):
        self.sizes = sizes
        self.equal = np.ndim(sizes) == 0
        self.largest = sizes if self.equal else int(sizes.max(initial=1))
        if not self.equal:
            self.starts = np.cumsum(sizes) - sizes

    def count(self, n_rows):
        """Return the number of groups."""
        return n_rows // self.sizes if self.equal else len(self.sizes)

    def repeat_sizes(self, n_rows):
        """Return the size of each group."""
        return np.broadcast_to(self.sizes, self.count(n_rows))

    def as_rows(self, array):
        """View an array with equal groups as one of a row per group."""
        return array.reshape(-1, self.sizes * array.shape[1])

    def as_matrix(self, array):
        """Return a matrix, dense or compressed, of a row per group."""
        if self.equal:
            return self.as_rows(array)
        indptr = array.shape[1] * np.append(self.starts, array.shape[0])
        return sparse.csr_array(
            (array.ravel(), np.arange(array.size), indptr),
            shape=(len(self.sizes), array.size),
        )

    def as_array(self, matrix, shape):
        """Undo `as_matrix` for a matrix that may have fewer entries."""
        if self.equal:
            return matrix.reshape(shape)
        array = np.zeros(shape)
        array.reshape(-1)[matrix.indices] = matrix.data
        return array

    def norms(self, array, order):
        """Return the norm of each group, of order 1, 2 or infinity."""
        if self.equal:
            rows = self.as_rows(array)
            if rows.shape[1] == 1:
                return np.abs(rows[:, 0])
            if order == 2:
                return np.sqrt(np.einsum("ij,ij->i", rows, rows))
            rows = np.abs(rows)
            if order == 1:
                return rows @ np.ones(rows.shape[1])
            return functools.reduce(np.maximum, rows.T)  # reductions of rows are slow
        starts = array.shape[1] * self.starts
        entries = np.abs(array).ravel()
        if order == np.inf:
            return np.maximum.reduceat(entries, starts)
        if order == 1:
            return np.add.reduceat(entries, starts)
        return np.sqrt(np.add.reduceat(np.square(entries), starts))

    def nonzero(self, array):
        """Return which groups have an entry that is not zero."""
        if self.equal:
            return functools.reduce(np.logical_or, self.as_rows(array).T != 0.0)
        return self.norms(array, np.inf) > 0.0

    def repeat(self, values):
        """Return the value of its group for each row."""
        return np.repeat(values, self.sizes)

    def subset(self, groups):
        """Return the rows of some groups, and these groups among them."""
        if self.equal:
            rows = self.sizes * groups[:, np.newaxis] + np.arange(self.sizes)
            return rows.ravel(), self
        sizes = self.sizes[groups]
        part = RowGroups(sizes)
        rows = np.repeat(self.starts[groups] - part.starts, sizes)
        return rows + np.arange(len(rows)), part
