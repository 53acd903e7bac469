"""Groups of consecutive rows of an array of coefficients."""

import functools

import numpy as np
from scipy import sparse


class RowGroups:
    """Groups of consecutive rows, of these `sizes`, or of one row each if it is None.

    The arrays have the shape (n_rows, n_outputs); what belongs to a group is all the
    entries of its rows. Groups of several rows are seen as a compressed matrix in which
    each entry has a column of its own.
    """

    def __init__(self, sizes=None):
        self.sizes = sizes
        self.single = sizes is None
        if not self.single:
            self.starts = np.cumsum(sizes) - sizes

    def count(self, n_rows):
        """Return the number of groups."""
        return n_rows if self.single else len(self.sizes)

    def as_matrix(self, array):
        """Return a matrix, dense or compressed, of a row per group."""
        if self.single:
            return array
        indptr = array.shape[1] * np.append(self.starts, array.shape[0])
        return sparse.csr_array(
            (array.ravel(), np.arange(array.size), indptr),
            shape=(len(self.sizes), array.size),
        )

    def as_array(self, matrix, shape):
        """Undo `as_matrix` for a matrix that may have fewer entries."""
        if self.single:
            return matrix
        array = np.zeros(shape)
        array.reshape(-1)[matrix.indices] = matrix.data
        return array

    def norms(self, array, order):
        """Return the norm of each group, of order 1, 2 or infinity."""
        if self.single and array.shape[1] == 1:
            return np.abs(array[:, 0])
        if order == 2:
            squares = np.einsum("ij,ij->i", array, array)
            return np.sqrt(self._reduce(np.add, squares))
        if order == 1:
            return self._reduce(np.add, np.abs(array) @ np.ones(array.shape[1]))
        largest = functools.reduce(np.maximum, np.abs(array).T)  # by rows it is slow
        return self._reduce(np.maximum, largest)

    def nonzero(self, array):
        """Return which groups have an entry that is not zero."""
        rows = functools.reduce(np.logical_or, array.T != 0.0)
        return self._reduce(np.logical_or, rows)

    def whole(self, mask):
        """Return the groups of which a mask has all rows."""
        return self._reduce(np.logical_and, mask)

    def repeat(self, values):
        """Return the value of its group for each row."""
        return values if self.single else np.repeat(values, self.sizes, axis=-1)

    def subset(self, groups):
        """Return the rows of some groups, and these groups among them."""
        if self.single:
            return groups, self
        part = RowGroups(self.sizes[groups])
        rows = part.repeat(self.starts[groups] - part.starts)
        return rows + np.arange(len(rows)), part

    def _reduce(self, function, values):
        return values if self.single else function.reduceat(values, self.starts)
