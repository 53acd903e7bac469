"""Feature selectors that read the features they have selected of data in blocks."""

import numpy as np
from scipy import sparse
from sklearn.feature_selection import SelectorMixin

from skproj.blocks._row_blocks import RowBlocks
from skproj.utils._validation import check_is_fitted, validate_data
from skproj.utils._wording import first_difference


class BlockSelectorMixin(SelectorMixin):
    """Mixin of feature selectors whose `transform` takes `RowBlocks` as well."""

    def transform(self, X):
        """Keep the selected features.

        Parameters
        ----------
        X : {array-like, sparse matrix, RowBlocks} of shape (n_samples, n_features)
            The samples. Of :class:`~skproj.blocks.RowBlocks` the features are read.

        Returns
        -------
        X_selected : {ndarray, sparse matrix} of shape (n_samples, n_selected_features)
            The selected features.

        Raises
        ------
        ValueError
            If `X` does not have the features of `fit`.
        """
        if not isinstance(X, RowBlocks):
            return super().transform(X)
        check_is_fitted(self)
        names = getattr(self, "feature_names_in_", None)
        if names is None or X.feature_names is None:
            validate_data(self, stand_in(X), accept_sparse=True, reset=False)
        elif not np.array_equal(names, X.feature_names):
            raise ValueError(
                "X in blocks must have the features of fit, in the same order: "
                f"{first_difference(X.feature_names, names)}."
            )
        return X.take_columns(self.get_support(indices=True))


def stand_in(blocks):
    """Return a matrix without entries for checks; those are checked when read first."""
    return sparse.csr_array(blocks.shape, dtype=blocks.dtype)
