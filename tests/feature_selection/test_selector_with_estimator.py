"""ProjectionFeatureSelector: weights of a given estimator."""

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from selector_helpers import WINE, make_weights
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skproj import ProjectionFeatureSelector
from skproj.projection import projection_l1_ball, projection_l1inf_ball


def test_selector_projects_the_weights_of_an_estimator():
    """The projection of coef_ decides, and its norms are the scores."""
    X, y = WINE
    X = StandardScaler().fit_transform(X)
    model = LogisticRegression()
    selector = ProjectionFeatureSelector(model, eta=1.5).fit(X, y)
    coef = model.fit(X, y).coef_
    projected = projection_l1inf_ball(coef, 1.5, axis=0)
    assert_array_equal(selector.get_support(), projected.any(axis=0))
    assert_allclose(selector.scores_, np.abs(projected).max(axis=0))
    assert_allclose(selector.estimator_.coef_, coef)
    assert selector.eta_ == 1.5
    assert selector.n_iter_ == 1
    assert not hasattr(selector, "coef_")


def test_selector_halves_the_norm_of_the_weights_by_default():
    """Without a radius the weights of an estimator lose half their norm."""
    X, y = WINE
    forest = RandomForestClassifier(20, random_state=0)
    selector = ProjectionFeatureSelector(forest).fit(X, y)
    assert_allclose(selector.eta_, 0.5)
    assert 0 < selector.get_support().sum() < X.shape[1]


@pytest.mark.parametrize("projection", ["l1", "l12", "l1inf", "bilevel_l11"])
@pytest.mark.parametrize("k", [1, 4, 12, 13])
def test_selector_selects_exactly_k_of_an_estimator(k, projection):
    """The radius is searched on the projection alone; the estimator is fitted once."""
    X, y = WINE
    X = StandardScaler().fit_transform(X)
    selector = ProjectionFeatureSelector(
        LogisticRegression(), n_features_to_select=k, projection=projection
    ).fit(X, y)
    assert selector.get_support().sum() == k
    assert selector.n_iter_ >= 1


@pytest.mark.parametrize(
    ("estimator", "getter"),
    [
        (SGDClassifier(random_state=0), "auto"),
        (SGDClassifier(random_state=0), "coef_"),
        (RandomForestClassifier(10, random_state=0), "auto"),
        (
            RandomForestClassifier(10, random_state=0),
            lambda forest: forest.estimators_[0].feature_importances_,
        ),
        (make_pipeline(StandardScaler(), LogisticRegression()), "steps.1.1.coef_"),
        (make_pipeline(StandardScaler(), LogisticRegression()), lambda p: p[-1].coef_),
    ],
    ids=["SGD", "SGD coef_", "forest", "first tree", "nested", "callable"],
)
def test_selector_gets_weights_from_anywhere(estimator, getter):
    """Attributes, nested attributes and functions are understood."""
    if isinstance(getter, str) and "." in getter:
        estimator = TransformedTargetRegressor(LinearRegression())
        getter = "regressor_.coef_"
    X, y = WINE
    selector = ProjectionFeatureSelector(
        estimator, importance_getter=getter, n_features_to_select=3
    ).fit(X, y)
    assert selector.get_support().sum() == 3


def test_selector_gets_sparse_weights():
    """A sparsified coef_ counts like a dense one."""
    X, y = WINE
    X = StandardScaler().fit_transform(X)
    model = SGDClassifier(random_state=0).fit(X, y)
    dense = ProjectionFeatureSelector(model, prefit=True, eta=5.0).fit(X, y)
    thin = ProjectionFeatureSelector(model.sparsify(), prefit=True, eta=5.0).fit(X, y)
    assert_allclose(thin.scores_, dense.scores_)


def test_selector_takes_a_fitted_estimator():
    """prefit=True uses it as it is, and needs no y."""
    X, y = WINE
    X = StandardScaler().fit_transform(X)
    model = LogisticRegression().fit(X, y)
    selector = ProjectionFeatureSelector(model, prefit=True, eta=1.0).fit(X)
    assert selector.estimator_ is model
    assert_array_equal(
        selector.get_support(), projection_l1inf_ball(model.coef_, 1.0).any(axis=0)
    )


def test_selector_takes_a_callable_with_an_estimator():
    """The callable sees weights of shape (n_features, n_outputs), groups in rows."""
    X, y = WINE
    shapes = []

    def project(W, radius, axis):
        shapes.append((W.shape, axis))
        return projection_l1_ball(W, radius, axis=None)

    X = StandardScaler().fit_transform(X)
    options = {"estimator": LogisticRegression(), "n_features_to_select": 4}
    selector = ProjectionFeatureSelector(projection=project, **options).fit(X, y)
    assert set(shapes) == {((13, 3), 1)}
    assert selector.get_support().sum() == 4


def test_selector_passes_nan_to_an_estimator_that_takes_it():
    """With an estimator its own rules about the data hold, and its tags."""
    X, y = WINE
    X = X.copy()
    X[::10, 0] = np.nan
    forest = RandomForestClassifier(10, random_state=0)
    selector = ProjectionFeatureSelector(forest, n_features_to_select=3).fit(X, y)
    assert selector.transform(X).shape == (len(y), 3)
    with pytest.raises(ValueError, match=r"contains NaN"):
        ProjectionFeatureSelector(LogisticRegression()).fit(X, y)


def test_selector_delegates_names():
    """Names and number of the features are those of the data of the estimator."""
    X, y = load_wine(return_X_y=True, as_frame=True)
    selector = ProjectionFeatureSelector(
        RandomForestClassifier(10, random_state=0), n_features_to_select=2
    ).fit(X, y)
    assert selector.n_features_in_ == 13
    assert_array_equal(selector.feature_names_in_, X.columns)
    assert set(selector.get_feature_names_out()) < set(X.columns)


def make_search(selector=None, **fit_options):
    selector = ProjectionFeatureSelector() if selector is None else selector
    pipeline = Pipeline(
        [
            ("scale", StandardScaler()),
            ("select", selector),
            ("classify", LogisticRegression()),
        ]
    )
    grid = {"select__eta": [0.1, 1.0, 4.0]}
    return GridSearchCV(pipeline, grid, cv=3, error_score="raise", **fit_options)


def test_selector_works_in_a_parallel_search():
    """A search over eta in processes gives what a serial one gives."""
    X, y = WINE
    serial = make_search().fit(X, y)
    parallel = make_search(n_jobs=2).fit(X, y)
    assert_array_equal(
        serial.cv_results_["mean_test_score"], parallel.cv_results_["mean_test_score"]
    )
    assert serial.best_score_ > 0.95


@pytest.mark.parametrize(
    "selector",
    [ProjectionFeatureSelector(), ProjectionFeatureSelector(LogisticRegression())],
    ids=["linear model", "estimator"],
)
def test_selector_routes_sample_weight(selector):
    """Weights go through a search and a pipeline to whoever asks for them."""
    X, y = WINE
    weight = make_weights(len(y)) + 0.5
    with sklearn.config_context(enable_metadata_routing=True):
        selector = clone(selector)
        target = selector if selector.estimator is None else selector.estimator
        target.set_fit_request(sample_weight=True)
        search = make_search(selector)
        search.estimator["scale"].set_fit_request(sample_weight=True)
        search.estimator["classify"].set_fit_request(sample_weight=True)
        search.estimator["classify"].set_score_request(sample_weight=True)
        search.fit(X, y, sample_weight=weight)
    scaled = StandardScaler().fit(X, sample_weight=weight).transform(X)
    eta = search.best_params_["select__eta"]
    expected = clone(selector).set_params(eta=eta)
    expected.fit(scaled, y, sample_weight=weight)
    found = search.best_estimator_["select"]
    assert_allclose(found.scores_, expected.scores_, atol=1e-6)
    unweighted = clone(selector).set_params(eta=eta).fit(scaled, y)
    assert np.abs(found.scores_ - unweighted.scores_).max() > 1e-3


class Silent(LogisticRegression):
    """Return nothing from `fit`, which scikit-learn's own selectors allow."""

    def fit(self, X, y):
        """Fit."""
        super().fit(X, y)


def test_selector_takes_an_estimator_whose_fit_returns_nothing():
    X, y = WINE
    X = StandardScaler().fit_transform(X)
    expected = ProjectionFeatureSelector(LogisticRegression()).fit(X, y)
    selector = ProjectionFeatureSelector(Silent()).fit(X, y)
    assert_array_equal(selector.get_support(), expected.get_support())


class Recorder(LogisticRegression):
    """Remember the parameters of `fit`."""

    def fit(self, X, y, sample_weight=None, note=None):
        """Fit and remember."""
        self.weight_, self.note_ = sample_weight, note
        return super().fit(X, y, sample_weight=sample_weight)


def test_selector_passes_fit_parameters_to_the_estimator():
    """With and without routing the parameters arrive, or are refused."""
    X, y = WINE
    X = StandardScaler().fit_transform(X)
    weight = make_weights(len(y)) + 1.0
    selector = ProjectionFeatureSelector(Recorder())
    selector.fit(X, y, sample_weight=weight, note="n")
    assert selector.estimator_.weight_ is weight
    assert selector.estimator_.note_ == "n"
    with sklearn.config_context(enable_metadata_routing=True):
        recorder = Recorder().set_fit_request(sample_weight=True, note=True)
        selector = ProjectionFeatureSelector(recorder)
        selector.fit(X, y, sample_weight=weight, note="m")
        assert selector.estimator_.weight_ is weight
        assert selector.estimator_.note_ == "m"
        selector = ProjectionFeatureSelector(Recorder())
        with pytest.raises(
            sklearn.exceptions.UnsetMetadataPassedError, match=r"sample_weight"
        ):
            selector.fit(X, y, sample_weight=weight)
