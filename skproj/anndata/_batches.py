"""Correction of the expression for the batch of the cells."""

import numpy as np
from scipy import sparse

from skproj.anndata._groups import read_complete_column
from skproj.anndata._matrix import means_of_groups


class BatchCorrection:
    """Subtraction of the mean of a gene in a batch.

    It does not look at the labels, so that a fold learns nothing about the cells that
    it holds back. `batch_key` is a column of `adata.obs`; None leaves the expression as
    it is.
    """

    def __init__(self, adata, batch_key):
        self.key = batch_key
        if batch_key is not None:
            batches = read_complete_column(adata.obs, batch_key, "batch_key")
            self.batches = np.unique(batches, return_inverse=True)[1]

    def check_groups(self, cells, codes):
        """Refuse batches of one group each: the correction would remove the groups."""
        if self.key is None:
            return
        batches = self.batches[cells]
        pairs = np.unique(np.column_stack([batches, codes]), axis=0)
        if len(pairs) == len(np.unique(batches)):
            raise ValueError(
                f"batch_key={self.key!r} has cells of only one group in each batch, "
                "so batches and groups cannot be told apart: use batch_key=None."
            )

    def fit_correct(self, X, cells):
        """Return the corrected expression of some cells, and keep the means."""
        if self.key is None:
            return X
        self.means = means_of_groups(X, self.batches[cells], self.batches.max() + 1)
        return _subtract(X, self.batches[cells], self.means)

    def correct(self, X, genes):
        """Return the corrected expression of all cells, for some genes.

        Batches that `fit_correct` has not seen are corrected by their own means.
        """
        if self.key is None:
            return X
        means = self.means[:, genes]
        own = means_of_groups(X, self.batches, len(means))
        means = np.where(np.isnan(means), own, means)
        return _subtract(X, self.batches, means)


def _subtract(X, batches, means):
    """Return a dense copy of X without the means of the batches."""
    X = X.toarray() if sparse.issparse(X) else np.array(X)
    # The error of a mean in double precision. A gene that is constant in each batch
    # would otherwise keep it, and be divided by it.
    rounding = len(X) * np.finfo(np.float64).eps
    for batch in np.unique(batches):
        rows = batches == batch
        part = X[rows] - means[batch]
        part[np.abs(part) <= rounding * np.abs(means[batch])] = 0.0
        X[rows] = part
    return X
