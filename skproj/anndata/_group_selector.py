"""A selector of genes for each group, where each group has a number of its own."""

import numpy as np
from sklearn.base import BaseEstimator, clone


class GroupSelector(BaseEstimator):
    """Linear selectors that tell each group from the others, or from a reference.

    A clone of `selector` is fitted for each group but the `reference`, a label, which
    gets no genes of its own; None compares each group with all other samples. The
    `coef_` of the reference are zero, and its `eta_` is NaN; `scores_` are the largest
    that a selector gives, and `of_group_` says which features each of them selects.
    """

    def __init__(self, selector, reference=None):
        self.selector = selector
        self.reference = reference

    def fit(self, X, y):
        """Fit the selectors to samples of at least two groups."""
        self.classes_ = np.unique(y)
        if self.reference is not None and self.reference not in self.classes_:
            raise ValueError(
                "The reference has no cells outside of one of the folds: use another "
                "reference, or donor_key=None."
            )
        shape = len(self.classes_), X.shape[1]
        self.coef_ = np.zeros(shape, dtype=X.dtype)
        self.intercept_ = np.zeros(shape[0], dtype=X.dtype)
        self.eta_ = np.full(shape[0], np.nan)
        scores = np.zeros(shape)
        for place, label in enumerate(self.classes_):
            if label == self.reference:
                continue
            inside = y == label
            if self.reference is None:
                fitted = clone(self.selector).fit(X, inside)
            else:
                rows = inside | (y == self.reference)
                fitted = clone(self.selector).fit(X[rows], inside[rows])
            self.coef_[place] = fitted.coef_[0]
            self.intercept_[place] = fitted.intercept_[0]
            self.eta_[place] = fitted.eta_
            scores[place] = fitted.scores_
        self.of_group_ = scores > 0.0
        self.scores_ = scores.max(axis=0)
        return self

    def get_support(self, indices=False):
        """Return which features are selected for any group, or their indices."""
        support = self.of_group_.any(axis=0)
        return np.flatnonzero(support) if indices else support
