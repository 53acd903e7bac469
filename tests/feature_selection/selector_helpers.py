"""Data and helpers of the tests of the feature selectors."""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.feature_selection import SelectorMixin

CANCER = load_breast_cancer(return_X_y=True)
WINE = load_wine(return_X_y=True)


class FixedSelector(SelectorMixin, BaseEstimator):
    """Select the first features, whatever the data; remember what `fit` was given."""

    def __init__(self, n_selected=2):
        self.n_selected = n_selected

    def fit(self, X, y=None, **params):
        """Look at the number of features."""
        self.n_features_in_ = X.shape[1]
        self.fitted_with_ = (X, y, params)
        return self

    def _get_support_mask(self):
        return np.arange(self.n_features_in_) < self.n_selected


class TaskLog:
    """A callback that writes down the names of the tasks that end."""

    def __init__(self):
        self.names = []

    def setup(self, estimator, context):
        """Need nothing."""

    def teardown(self, estimator, context):
        """Leave nothing."""

    def on_fit_task_begin(self, estimator, context):
        """Wait for the end."""

    def on_fit_task_end(self, estimator, context):
        """Write down the name."""
        self.names.append(context.task_name)


def stability_by_definition(selections):
    """Return the index and its interval, as they are written in the paper."""
    M, d = selections.shape
    Z = selections.astype(float)
    p = [sum(Z[i, f] for i in range(M)) / M for f in range(d)]
    k = [sum(Z[i, f] for f in range(d)) for i in range(M)]
    k_bar = sum(k) / M
    chance = k_bar / d * (1 - k_bar / d)
    phi = 1 - sum(M / (M - 1) * q * (1 - q) for q in p) / d / chance
    phis = [
        (
            sum(Z[i, f] * p[f] for f in range(d)) / d
            - k[i] * k_bar / d**2
            + phi / 2 * (2 * k[i] * k_bar / d**2 - k[i] / d - k_bar / d + 1)
        )
        / chance
        for i in range(M)
    ]
    mean = sum(phis) / M
    variance = 4 / M**2 * sum((value - mean) ** 2 for value in phis)
    reach = 1.959963984540054 * variance**0.5
    return phi, [phi - reach, phi + reach]


def make_weights(n_samples, seed=0):
    return np.random.default_rng(seed).integers(0, 4, n_samples).astype(float)
