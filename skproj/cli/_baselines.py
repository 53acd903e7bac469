"""Models that a selection is compared with."""

import warnings

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.feature_selection import SelectKBest, f_classif, f_regression
from sklearn.pipeline import Pipeline

from skproj import SparseSupervisedAutoencoder, SparseSupervisedAutoencoderRegressor
from skproj.cli._search import MACHINES, first_steps, last_steps, predictor
from skproj.cli._survival import risk_models
from skproj.cli._threshold import choose_threshold, put_threshold
from skproj.feature_selection._block_selector import BlockSelectorMixin
from skproj.feature_selection._half_selections import univariate_scores


def baselines(problem, support, X):
    """Return names, numbers of features and models to compare a selection with.

    Parameters
    ----------
    problem : Problem
    support : ndarray of bool of shape (n_features,)
        The features that are selected.
    X : {ndarray, CSR matrix, DataFrame, RowBlocks} of shape (n_rows, n_columns)
    """
    classifies, options = problem.classifies, problem.options
    n_selected, n_features = np.count_nonzero(support), len(support)
    dummy = ("most frequent class", 0, [("predict", DummyClassifier())])
    if not classifies:
        dummy = ("mean of the target", 0, [("predict", DummyRegressor())])
    if problem.in_blocks:
        machines = last_steps(problem.task, options.class_weight)
        f_test = [("select", AssociatedFeatures(n_selected, classifies)), *machines]
        name = f"F test, as many, {MACHINES[problem.task]}"
        return put_first_steps([(name, n_selected, f_test), dummy], problem, X)
    if problem.task == "survival":
        return put_first_steps(risk_models(n_selected, n_features), problem, X)
    machine = ("predict", predictor(problem.task, options.class_weight))
    f_test = SelectKBest(f_classif if classifies else f_regression, k=n_selected)
    models = [("no selection, SVM", n_features, [machine])]
    if problem.method == "autoencoder":
        parameters = {"eta": np.inf, "random_state": options.seed}
        if classifies:
            dense = SparseSupervisedAutoencoder(
                class_weight=options.class_weight, **parameters
            )
        else:
            dense = SparseSupervisedAutoencoderRegressor(**parameters)
        models.append(("no selection, autoencoder", n_features, [("dense", dense)]))
    models.append(("F test, as many, SVM", n_selected, [("select", f_test), machine]))
    return put_first_steps([*models, dummy], problem, X)


def put_first_steps(models, problem, X):
    """Return models as pipelines that begin as that of the selection."""
    return [
        (name, int(number), Pipeline([*first_steps(X, problem.prepare), *steps]))
        for name, number, steps in models
    ]


class AssociatedFeatures(BlockSelectorMixin, BaseEstimator):
    """Selector of the `k` features of blocks with the largest F statistics."""

    def __init__(self, k, classifies):
        self.k = k
        self.classifies = classifies

    def fit(self, X, y):
        """Find the features, in a pass."""
        scores = univariate_scores(X, y, y if self.classifies else None, None)
        self.n_features_in_ = X.shape[1]
        self._support = np.zeros(X.shape[1], dtype=bool)
        self._support[np.argsort(-scores, kind="stable")[: self.k]] = True
        return self

    def _get_support_mask(self):
        return self._support


def fit_baseline(model, X, y, splits, options):
    """Fit a model to compare with, and choose its threshold if that is asked for."""
    with warnings.catch_warnings():
        # The F test warns of constant features.
        warnings.filterwarnings("ignore", "(?s)Features .* are constant")
        warnings.filterwarnings("ignore", "invalid value encountered in divide")
        model.fit(X, y)
        if options.threshold is None or isinstance(model[-1], DummyClassifier):
            return model
        threshold = choose_threshold(model, clone(model), X, y, splits, options)
    return put_threshold(model, threshold, X, y)
