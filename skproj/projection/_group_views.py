"""Groups of entries as the kernels take them: of one length, or of several.

Both kinds have `entries` and `indptr`, which the kernels take together, `n_groups`, the
`shape` of the smallest array that holds all groups, and can be selected by a mask and
scaled.
"""

import numpy as np


class Rows:
    """Groups of one length.

    entries : array of shape (n_groups, group_size).
    """

    __slots__ = ("entries", "n_groups", "shape")
    indptr = None

    def __init__(self, entries):
        self.entries = entries
        self.shape = entries.shape
        self.n_groups = len(entries)

    def __getitem__(self, mask):
        """Copy the groups of a boolean array of shape (n_groups,)."""
        return Rows(self.entries[mask])

    def scaled(self, exponents):
        """Copy all groups times ``2 ** exponents``, of shape (n_groups,) or (1,)."""
        return Rows(np.ldexp(self.entries, exponents[:, np.newaxis]))


class Segments:
    """Groups of different lengths, as segments of a vector.

    data : float32 or float64 array of shape (n_entries,), contiguous; as `entries` it
        is one row.
    indptr : intp array of shape (n_groups + 1,).
        Group j is ``data[indptr[j]:indptr[j + 1]]``.
    """

    __slots__ = ("data", "entries", "indptr", "lengths", "n_groups")

    def __init__(self, data, indptr):
        self.data = data
        self.entries = data[np.newaxis]
        self.indptr = indptr
        self.lengths = np.diff(indptr)
        self.n_groups = len(self.lengths)

    def __getitem__(self, mask):
        """Copy the groups of a boolean array of shape (n_groups,)."""
        kept = self.lengths[mask]
        data = self.data[np.repeat(mask, self.lengths)]
        return Segments(data, np.concatenate([[0], np.cumsum(kept)], dtype=np.intp))

    @property
    def shape(self):
        return self.n_groups, int(self.lengths.max(initial=0))

    def scaled(self, exponents):
        """Copy all groups times ``2 ** exponents``, of shape (n_groups,) or (1,)."""
        if len(exponents) > 1:
            exponents = np.repeat(exponents, self.lengths)
        return Segments(np.ldexp(self.data, exponents), self.indptr)
