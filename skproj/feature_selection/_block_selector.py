"""Feature selectors that read the features they have selected of data in blocks."""

from sklearn.feature_selection import SelectorMixin

from skproj.blocks._row_blocks import RowBlocks
from skproj.utils._validation import check_block_features, check_is_fitted


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
        check_block_features(self, X)
        return X.take_columns(self.get_support(indices=True))
