"""Models that a selection is compared with."""

import warnings

import numpy as np
from sklearn.base import clone
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.feature_selection import SelectKBest, f_classif, f_regression
from sklearn.pipeline import Pipeline

from skproj import SparseSupervisedAutoencoder, SparseSupervisedAutoencoderRegressor
from skproj.cli._search import first_steps, predictor
from skproj.cli._survival import risk_models
from skproj.cli._threshold import choose_threshold, put_threshold


def baselines(problem, support, X):
    """Return names, numbers of features and models to compare a selection with.

    Parameters
    ----------
    problem : Problem
    support : ndarray of bool of shape (n_features,)
        The features that are selected.
    X : {ndarray, CSR matrix, DataFrame} of shape (n_rows, n_columns)
    """
    classifies, options = problem.classifies, problem.options
    n_selected, n_features = np.count_nonzero(support), len(support)
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
    if classifies:
        models.append(("most frequent class", 0, [("predict", DummyClassifier())]))
    else:
        models.append(("mean of the target", 0, [("predict", DummyRegressor())]))
    return put_first_steps(models, problem, X)


def put_first_steps(models, problem, X):
    """Return models as pipelines that begin as that of the selection."""
    return [
        (name, int(number), Pipeline([*first_steps(X, problem.prepare), *steps]))
        for name, number, steps in models
    ]


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
