"""A design matrix whose columns are centred and scaled in the arithmetic only."""

import numpy as np
from scipy import sparse

from skproj._kernels._columns import multiply_transposed
from skproj.blocks import RowBlocks
from skproj.linear_model._block_matrix import BlockMatrix
from skproj.utils._moments import mean_and_deviation
from skproj.utils._wording import name_columns

# Deviations below have no inverse; products with the transpose are squared twice.
TINY = np.finfo(np.float64).tiny
MAX_SIZE = 1e75
MIN_SIZE = MAX_SIZE**-2


class StandardizedDesign:
    """The matrix ``(X - mean) * inverse_scale`` as a linear operator.

    `X`, an array or a CSR or CSC matrix, is neither copied nor densified, unless its
    dtype is too narrow for products. These are computed in its dtype, those of the
    transpose of CSR matrices and everything else in float64. A column whose
    `inverse_scale` is zero is removed.

    With `sources`, column k of the operator is made of column ``sources[k]`` of X.
    """

    def __init__(self, X, mean, inverse_scale, sources=None):
        self.X = X
        self.mean = mean
        self.inverse_scale = inverse_scale
        self.sources = sources

    @classmethod
    def from_data(
        cls, X, weights, residuals=None, *, center, scale, largest=1.0, names=None
    ):
        """Standardise X by its weighted moments; the weights add up to 1.

        `largest` is the size of what the transpose is multiplied with, or zero.

        Constant columns are removed if `center`, because they would be zero up to
        rounding; otherwise their scale is 1. The pass over blocks that finds the
        moments also prepares the product of the transpose with `residuals`. The
        columns have `names` in messages.
        """
        smallest = np.sqrt(np.finfo(X.dtype).tiny)
        too_narrow = largest > 1.0 / smallest or 0.0 < largest < smallest
        if isinstance(X, RowBlocks):
            X = BlockMatrix(X).astype(np.float64 if too_narrow else X.dtype)
            mean, deviation = X.scan(weights, residuals)
        else:
            if sparse.issparse(X):
                if not X.has_canonical_format:
                    X = X.copy()
                    X.sum_duplicates()
            elif not (X.flags.c_contiguous or X.flags.f_contiguous):
                X = np.ascontiguousarray(X)  # BLAS would copy it in every product
            mean, deviation = mean_and_deviation(X, weights)
        # Products with what is nearly as small or large as a dtype allows need another.
        spread, sizes = deviation[deviation > 0.0], np.maximum(np.abs(mean), deviation)
        too_narrow |= np.any(spread < smallest) or np.any(sizes > 1.0 / smallest)
        if too_narrow:
            X = X.astype(np.float64, copy=False)
        inverse_scale = np.ones_like(deviation)
        if scale:
            np.divide(1.0, deviation, out=inverse_scale, where=deviation >= TINY)
            below = (deviation > 0.0) & (deviation < TINY)
            _refuse(below, names, f"deviate by less than {TINY:.2g}; multiply them.")
        if center:
            inverse_scale[deviation == 0.0] = 0.0
        sizes *= inverse_scale
        advice = "divide them" if scale else "use standardize=True"
        _refuse(sizes > MAX_SIZE, names, f"exceed {MAX_SIZE:g}; {advice}.")
        below = (sizes > 0.0) & (sizes.max(initial=0.0) < MIN_SIZE)
        advice = "multiply them" if scale else "use standardize=True"
        _refuse(below, names, f"are below {MIN_SIZE:g} in size; {advice}.")
        return cls(X, mean if center else np.zeros_like(mean), inverse_scale)

    @property
    def n_features(self):
        return len(self.inverse_scale)

    def dot(self, coef):
        """Multiply with an array of shape (n_features, n_outputs)."""
        coef = coef * self.inverse_scale[:, np.newaxis]
        shift = self.mean @ coef
        coef = self._of_sources(coef)
        products = self.X @ coef.astype(self.X.dtype, copy=False)
        products = np.asarray(products, dtype=np.float64, order="F")
        products -= shift
        return products

    def transposed_dot(self, residuals):
        """Multiply the transpose with an array of shape (n_samples, n_outputs)."""
        return self._standardized(multiply_transposed(self.X, residuals), residuals)

    def transposed_dots(self, arrays):
        """Do that with several arrays, in one pass over data in blocks."""
        products = self.X.transposed_products(arrays)
        pairs = zip(products, arrays, strict=True)
        return [self._standardized(product, array) for product, array in pairs]

    def _standardized(self, products, residuals):
        """Turn the product of the transpose of X into that of the operator."""
        products = products.astype(np.float64, copy=False)
        if self.sources is not None:
            products = products[self.sources]
        products -= np.outer(self.mean, residuals.sum(axis=0, dtype=np.float64))
        products *= self.inverse_scale[:, np.newaxis]
        return products

    def columns(self, indices):
        """Keep some columns, in a copy of them."""
        sources = indices if self.sources is None else self.sources[indices]
        return StandardizedDesign(
            self.X[:, sources], self.mean[indices], self.inverse_scale[indices]
        )

    def rearranged(self, structure):
        """Take the weighted columns of a `FeatureStructure`, without a copy of X."""
        mean, inverse_scale, sources = self.mean, self.inverse_scale, structure.columns
        if sources is not None:
            mean, inverse_scale = mean[sources], inverse_scale[sources]
        if structure.weights is not None:
            inverse_scale = inverse_scale / structure.weights
        return StandardizedDesign(self.X, mean, inverse_scale, sources)

    def toarray(self):
        """Return the columns as a dense array of float64."""
        X = self.X.toarray() if sparse.issparse(self.X) else self.X
        return (X.astype(np.float64, copy=False) - self.mean) * self.inverse_scale

    def original_units(self, coefs, intercepts, columns):
        """Turn models of some of the columns into models of the columns of X.

        The coefficients have the shape (n_models, n_columns, n_outputs). Return the
        columns of X, and their coefficients and the intercepts.
        """
        coefs = coefs * self.inverse_scale[columns, np.newaxis]
        intercepts = intercepts - self.mean[columns] @ coefs
        if self.sources is None:
            return columns, coefs, intercepts
        sources, places = np.unique(self.sources[columns], return_inverse=True)
        totals = np.zeros((len(coefs), len(sources), coefs.shape[2]))
        np.add.at(totals, (slice(None), places), coefs)
        return sources, totals, intercepts

    def _of_sources(self, coef):
        """Add up the coefficients of each column of X."""
        if self.sources is None:
            return coef
        total = np.zeros((self.X.shape[1], coef.shape[1]))
        np.add.at(total, self.sources, coef)
        return total


def _refuse(columns, names, reason):
    """Raise an error if there are columns that cannot be computed with."""
    if columns.any():
        raise ValueError(f"The entries of {name_columns(columns, names)} of X {reason}")


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
        rank = np.count_nonzero(values > max(rtol * values[0], TINY))
        self._combination = directions[:rank].T / values[:rank]
        self.basis = columns @ self._combination
        if fit_intercept:
            self.basis = np.column_stack([np.ones(len(weights)), self.basis])

    def standardized_coef(self, intercept):
        """Return the coefficients of the columns for those of the basis."""
        return self._combination @ intercept[..., int(self.fit_intercept) :, :]

    def original_units(self, intercepts):
        """Return the coefficients in the units of X, and the intercepts, of models."""
        constants = intercepts[:, : int(self.fit_intercept)].sum(axis=1)
        columns = np.arange(self.design.n_features)
        coefs = self.standardized_coef(intercepts)
        return self.design.original_units(coefs, constants, columns)[1:]
