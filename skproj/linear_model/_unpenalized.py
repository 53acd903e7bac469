"""Columns of a linear model that are outside of the ball, as the intercept is."""

import numpy as np


class UnpenalizedColumns:
    """The intercept and columns of the design whose coefficients are not constrained.

    basis : ndarray of shape (n_samples, rank)
        Columns that span them, orthonormal for the weights of the samples. There are
        fewer than columns if these are collinear; the coefficients are the shortest
        that give the same logits.
    """

    def __init__(self, design, weights, fit_intercept):
        self.design = design
        self.fit_intercept = fit_intercept
        columns = design.toarray()
        _, values, directions = np.linalg.svd(
            np.sqrt(weights)[:, np.newaxis] * columns, full_matrices=False
        )
        rtol = max(columns.shape) * np.finfo(design.X.dtype).eps
        rank = np.count_nonzero(values > rtol * values[0])
        self._combination = directions[:rank].T / values[:rank]
        self.basis = columns @ self._combination
        if fit_intercept:
            self.basis = np.column_stack([np.ones(len(weights)), self.basis])

    def standardized_coef(self, intercept):
        """Return the coefficients of the columns for those of the basis."""
        return self._combination @ intercept[int(self.fit_intercept) :]

    def original_units(self, intercept):
        """Return the coefficients in the units of X, and the intercept."""
        constant = np.zeros(intercept.shape[1])
        if self.fit_intercept:
            constant = intercept[0]
        return self.design.original_units(self.standardized_coef(intercept), constant)
