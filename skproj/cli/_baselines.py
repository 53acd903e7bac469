"""Models that a selection is compared with."""

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from skproj.cli._search import dense_network, first_steps, last_steps, linear_model
from skproj.cli._survival import score_concordance
from skproj.cli._threshold import choose_threshold, put_threshold
from skproj.feature_selection._block_selector import BlockSelectorMixin
from skproj.feature_selection._half_selections import univariate_scores
from skproj.linear_model import CoxRidge

# Prior variances of the log hazard in the Cox model of all features.
RISK_VARIANCES = (0.01, 0.1, 1.0, 10.0)


def baselines(problem, support):
    """Return names, numbers of features and models to compare a selection with.

    `support` is the mask of the features that are selected.
    """
    classifies = problem.classifies
    n_selected, n_features = int(np.count_nonzero(support)), len(support)
    strongest = ("select", StrongestFeatures(n_selected, classifies))
    machine, models = last_steps(problem), []
    if problem.task == "survival":
        alphas = {"alpha": [n_features / variance for variance in RISK_VARIANCES]}
        model = GridSearchCV(CoxRidge(), alphas, scoring=score_concordance)
        zero = FunctionTransformer(lambda X: np.zeros((X.shape[0], 1)))
        zero.set_params(accept_sparse=True)
        nothing = [("select", zero), ("predict", CoxRidge())]
        nothing, test = ("no features, Kaplan-Meier", nothing), "score test"
    else:
        model, test = linear_model(problem), "F test"
        nothing = ("mean of the target", [("predict", DummyRegressor())])
        if classifies:
            nothing = ("most frequent class", [("predict", DummyClassifier())])
    if not problem.in_blocks:
        name = f"no selection, {problem.linear_machine}"
        models.append((name, n_features, [("predict", model)]))
    if problem.method != "selector" and problem.task != "survival":
        dense = ("dense", dense_network(problem))
        models.append(("no selection, network", n_features, [dense]))
    name = f"{test}, as many, {problem.machine}"
    models.append((name, n_selected, [strongest, *machine]))
    models.append((nothing[0], 0, nothing[1]))
    first = first_steps(problem)
    return [(name, n, Pipeline([*first, *steps])) for name, n, steps in models]


class StrongestFeatures(BlockSelectorMixin, BaseEstimator):
    """Selector of the `k` features that, each by itself, explain the target best."""

    def __init__(self, k, classifies):
        self.k = k
        self.classifies = classifies

    def fit(self, X, y):
        self.n_features_in_ = X.shape[1]
        self.scores_ = univariate_scores(X, y, y if self.classifies else None, None)
        return self

    def _get_support_mask(self):
        mask = np.zeros(self.n_features_in_, dtype=bool)
        mask[np.argsort(-self.scores_, kind="stable")[: self.k]] = True
        return mask


def fit_baseline(model, run):
    """Fit a model to compare with, and choose its threshold if that is asked for."""
    model.fit(run.X, run.y)
    needs_none = isinstance(model[-1], DummyClassifier)
    if run.problem.options.threshold is None or needs_none:
        return model
    threshold = choose_threshold(model, clone(model), run)
    return put_threshold(model, threshold, run)
