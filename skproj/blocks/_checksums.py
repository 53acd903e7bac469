"""Checksums of columns, which tell whether a matrix that is read again has changed."""

from copy import copy

import numpy as np
from scipy import sparse

from skproj._kernels._columns import add_words


class Checksums:
    """`column_checksums` of the columns that some pass over the rows has read."""

    def __init__(self, n_columns, dtype):
        self.of_columns = np.zeros((n_columns, dtype.itemsize // 4 + 1), np.uint64)
        self.is_read = np.zeros(n_columns, dtype=bool)

    def update(self, columns, found, names=None):
        """Raise an error if columns have changed since a pass that found otherwise."""
        differs = (self.of_columns[columns] != found)[:, :-1].any(axis=1)
        changed = columns[self.is_read[columns] & differs]
        if len(changed):
            first = int(changed[0]) if names is None else names[changed[0]]
            raise ValueError(
                f"X in blocks has changed since an earlier pass, in {len(changed)} of "
                f"{len(self.is_read)} columns, the first of them {first!r}: open it "
                "again for a new fit, and leave it as it is until the fit ends."
            )
        self.of_columns[columns], self.is_read[columns] = found, True

    @staticmethod
    def merge(first, second):
        """Return those of the rows of both, in which the same columns were read."""
        joint = copy(first)
        joint.of_columns = first.of_columns + second.of_columns
        return joint


def column_checksums(block, first_row):
    """Return checksums of the columns of some rows; those of all rows are their sum.

    The rows are an array, contiguous in either order, or a CSR matrix. The 32-bit words
    of the entries are multiplied by a random number of their row, modulo 2**64. Entries
    that changed, or rows in another order, stay unnoticed with a probability of at most
    2**-32. The last checksum is the number of dense rows: the others do not depend on
    whether zeros are stored.
    """
    n_rows, n_columns = block.shape
    n_words = block.dtype.itemsize // 4
    checksums = np.zeros((n_columns, n_words + 1), dtype=np.uint64)
    weights = _scramble(np.arange(first_row, first_row + n_rows, dtype=np.uint64))
    if sparse.issparse(block):
        add_words(block, weights, checksums)
        return checksums
    by_rows = block.flags.c_contiguous
    words = (block if by_rows else block.T).view(np.uint32)
    for k in range(n_words):
        axes = "i,ij->j" if by_rows else "i,ji->j"
        checksums[:, k] = np.einsum(axes, weights, words[:, k::n_words])
    checksums[:, -1] = n_rows
    return checksums


def _scramble(numbers):
    """Return odd numbers that look random, by the mixer of MurmurHash3."""
    mixed = numbers + np.uint64(1)
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        mixed ^= mixed >> np.uint64(33)
        mixed *= np.uint64(factor)
    return (mixed ^ (mixed >> np.uint64(33))) | np.uint64(1)
