"""Selection for several targets or labels together."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from sklearn.linear_model import MultiTaskLasso
from sklearn.metrics import f1_score
from sklearn.utils import get_tags

from skproj.feature_selection import (
    ProjectionFeatureSelector,
    ProjectionFeatureSelectorCV,
    StabilitySelector,
    eta_path,
)
from skproj.linear_model._ball_constrained import Models
from skproj.linear_model._fold_scores import MultiLabelModel, score_labels

EXACT = {"projection": "l12", "standardize": False, "tol": 1e-13, "max_iter": 20_000}


def make_targets(n_targets=3):
    """Return data in which three features matter, each for other targets."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 12))
    coef = np.zeros((12, n_targets))
    coef[[1, 4, 7], [0, 1, 2]] = 1.0, -1.0, 0.7
    coef[1, 2] = 0.5
    return X, X @ coef + 0.5 * rng.standard_normal((80, n_targets)) + 2.0


def make_labels():
    X, y = make_targets()
    return X, (y > 2.0).astype(int)


@pytest.mark.parametrize("alpha", [0.3, 0.1, 0.02])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_model_is_the_multi_task_lasso(alpha, fit_intercept):
    """In the ball of the norm that a penalty leads to, the coefficients are equal."""
    X, y = make_targets()
    lasso = MultiTaskLasso(
        alpha=alpha, fit_intercept=fit_intercept, tol=1e-14, max_iter=100_000
    ).fit(X, y)
    norm = np.linalg.norm(lasso.coef_, axis=0).sum()
    selector = ProjectionFeatureSelector(
        eta=norm, fit_intercept=fit_intercept, **EXACT
    ).fit(X, y)
    assert_allclose(selector.coef_, lasso.coef_, atol=1e-6)
    assert_allclose(selector.intercept_, lasso.intercept_, atol=1e-6)
    assert_array_equal(selector.get_support(), np.any(lasso.coef_ != 0.0, axis=0))


def test_labels_without_constraint_are_separate_models():
    """Without a ball nothing joins the labels: each is a logistic regression."""
    X, y = make_labels()
    X = X[:, :4]
    y[::5] = 1 - y[::5]  # so that no label is separable
    fit = ProjectionFeatureSelector(eta=np.inf, **EXACT | {"tol": 1e-9}).fit(X, y)
    for label in range(3):
        signs = 1 - 2 * y[:, label]

        def loss(w, signs=signs):
            return np.logaddexp(0.0, signs * (X @ w[:4] + w[4])).mean()

        best = minimize(loss, np.zeros(5), method="BFGS", options={"gtol": 1e-9}).x
        assert_allclose(fit.coef_[label], best[:4], atol=1e-4)
        assert_allclose(fit.intercept_[label], best[4], atol=1e-4)


@pytest.mark.parametrize("dtype", [int, bool, float])
def test_labels_are_recognised(dtype):
    """Zeros and ones in several columns are labels, other numbers are targets."""
    X, y = make_labels()
    selector = ProjectionFeatureSelector(n_features_to_select=3)
    found = selector.fit(X, y.astype(dtype))
    assert found.coef_.shape == (3, 12)
    assert_array_equal(found.get_support(indices=True), [1, 4, 7])
    assert hasattr(selector.fit(X, y.astype(dtype)), "classes_")
    assert not hasattr(selector.fit(X, y * 2.0), "classes_")


@pytest.mark.parametrize("scoring", [None, "f1_macro", "roc_auc", "accuracy"])
def test_search_scores_labels(scoring):
    X, y = make_labels()
    options = {"keep_gain": 1.0, "cv": 3, "random_state": 0}
    search = ProjectionFeatureSelectorCV(6, scoring=scoring, **options)
    search.fit(X, y)
    assert search.get_support()[[1, 4, 7]].all()
    assert search.path_.coefs.shape == (6, 3, 12)
    assert search.cv_results_["mean_test_score"].max() == search.best_score_
    if scoring is None:
        assert -np.log(2.0) < search.best_score_ < 0.0
    else:
        assert 0.5 < search.best_score_ <= 1.0


def test_score_of_labels_is_their_mean_log_probability():
    """Of each row and model of a path, which lacks what is zero in all of them."""
    X, y = make_labels()
    coefs = np.full((2, 3, 3), 0.25)
    coefs[1, :, 2] = 0.0
    intercepts = np.array([[0.0, 1.0, -1.0], [2.0, 0.0, 0.5]])
    features = np.array([7, 0, 4])
    supports, classes = np.ones((2, 12), dtype=bool), np.arange(3)
    models = Models(12, features, coefs, intercepts, supports, classes)
    scores = score_labels(models, X, y, None)
    for coef, intercept, score in zip(coefs, intercepts, scores.T, strict=True):
        found = 1.0 / (1.0 + np.exp(-(X[:, features] @ coef + intercept)))
        found = np.log(np.where(y == 1, found, 1.0 - found)).mean(axis=1)
        assert_allclose(score, found)
    model = MultiLabelModel()
    model.coef_, model.intercept_ = models.dense()[0].T, intercepts[0]
    assert 0.0 < f1_score(y, model.predict(X), average="macro") < 1.0


def test_path_and_stability_take_labels():
    """Halves are not stratified by several labels."""
    X, y = make_labels()
    assert eta_path(X, y, etas=[0.5, 1.0]).coefs.shape == (2, 3, 12)
    base = ProjectionFeatureSelector(n_features_to_select=3)
    stable = StabilitySelector(base, n_pairs=5, random_state=0).fit(X, y)
    assert_array_equal(stable.get_support(indices=True), [1, 4, 7])
    assert stable.baseline_selection_probabilities_[[1, 4]].min() > 0.5


def test_class_weights_are_for_one_column():
    X, y = make_labels()
    selector = ProjectionFeatureSelector(class_weight="balanced")
    with pytest.raises(ValueError, match="one column of labels, got a y with 3 col"):
        selector.fit(X, y)


def test_tags_say_that_there_may_be_several_outputs():
    for estimator in (
        ProjectionFeatureSelector(),
        ProjectionFeatureSelectorCV(),
        StabilitySelector(),
    ):
        assert get_tags(estimator).target_tags.multi_output
