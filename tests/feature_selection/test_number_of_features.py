"""ProjectionFeatureSelector: search for a number of features."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from selector_helpers import CANCER, WINE
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from skproj import ProjectionFeatureSelector
from skproj.feature_selection._radius_search import Trial, search_radius


@pytest.mark.parametrize("projection", ["l1", "l12", "l1inf", "bilevel_l1inf"])
@pytest.mark.parametrize("k", [1, 2, 3, 5, 8, 12, 13])
def test_selector_selects_exactly_k(k, projection):
    """Every number from one to all is met."""
    X, y = WINE
    selector = ProjectionFeatureSelector(
        n_features_to_select=k, projection=projection, max_iter=5000
    ).fit(X, y)
    assert selector.get_support().sum() == k
    assert np.count_nonzero(selector.coef_.any(axis=0)) == k


@pytest.mark.parametrize("k", [1, 2, 3, 7, 15, 25])
def test_selector_selects_exactly_k_of_two_classes(k):
    """The same with one output."""
    X, y = CANCER
    selector = ProjectionFeatureSelector(n_features_to_select=k)
    assert selector.fit(X, y).get_support().sum() == k


def test_selector_selects_a_fraction():
    """A float is a share of the features, rounded down, at least one."""
    X, y = WINE
    for share, k in ((0.25, 3), (0.01, 1), (1.0, 13)):
        selector = ProjectionFeatureSelector(n_features_to_select=share).fit(X, y)
        assert selector.get_support().sum() == k


def test_selector_with_k_equals_the_radius_it_reports():
    """`eta_` gives the same selection when passed as `eta`."""
    X, y = WINE
    searched = ProjectionFeatureSelector(n_features_to_select=4, tol=1e-6).fit(X, y)
    direct = ProjectionFeatureSelector(eta=searched.eta_, tol=1e-6).fit(X, y)
    assert_array_equal(direct.get_support(), searched.get_support())
    assert_allclose(direct.scores_, searched.scores_, atol=1e-3)


def test_selector_breaks_ties_by_keeping_k():
    """Equal columns enter together; the surplus is dropped, from the model as well."""
    X, y = WINE
    X = np.column_stack([X, X])
    selector = ProjectionFeatureSelector(n_features_to_select=3).fit(X, y)
    support = selector.get_support()
    assert support.sum() == 3
    assert_array_equal(selector.coef_.any(axis=0), support)


def test_selector_with_ties_at_every_radius_keeps_a_useful_model():
    """Two equal columns tie however small the radius is; the largest such is taken."""
    X, y = WINE
    X = np.column_stack([X, X])
    selector = ProjectionFeatureSelector(n_features_to_select=1).fit(X, y)
    assert selector.get_support().sum() == 1
    assert selector.eta_ > 1e-2
    tied = ProjectionFeatureSelector(eta=selector.eta_).fit(X, y).get_support()
    assert tied[selector.get_support(indices=True)].all()


@pytest.mark.parametrize("projection", ["l1", "l1inf", "bilevel_l1inf"])
@pytest.mark.parametrize("seed", range(4))
def test_selector_with_k_is_the_fit_with_the_radius_it_reports(seed, projection):
    """At the default tolerance, to the bit."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((60, 30))
    y = (X[:, :3] + rng.standard_normal((60, 3))).argmax(axis=1)
    for k in (3, 10, 20):
        selector = ProjectionFeatureSelector(
            n_features_to_select=k, projection=projection
        ).fit(X, y)
        assert selector.get_support().sum() == k
        direct = ProjectionFeatureSelector(eta=selector.eta_, projection=projection)
        assert_array_equal(direct.fit(X, y).scores_, selector.scores_)


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1e3, 1e9])
def test_selector_with_k_finds_the_radius_in_any_units(scale):
    """Raw data in other units need other radii, and give the same features."""
    X, y = WINE
    X = StandardScaler().fit_transform(X)
    selector = ProjectionFeatureSelector(n_features_to_select=5, standardize=False)
    expected = clone(selector).fit(X, y)
    selector.fit(scale * X, y)
    assert_array_equal(selector.get_support(), expected.get_support())
    assert_allclose(selector.eta_ * scale, expected.eta_, rtol=0.3)


@pytest.mark.parametrize("as_frame", [False, True])
@pytest.mark.parametrize("dtype", ["Int64", "UInt8", "boolean"])
def test_selector_takes_nullable_integers_for_labels(dtype, as_frame):
    """More classes than floats could have are still labels."""
    X = np.random.default_rng(0).standard_normal((90, 4))
    y = pd.Series(np.arange(90) % (2 if dtype == "boolean" else 30), dtype=dtype)
    selector = ProjectionFeatureSelector(eta=1.0)
    if as_frame:
        with pytest.warns(DataConversionWarning, match="1d array was expected"):
            selector.fit(X, y.to_frame())
    else:
        selector.fit(X, y)
    assert_array_equal(selector.classes_, np.unique(np.asarray(y, dtype=int)))
    assert selector.classes_.dtype.kind in "iub"
    y[3] = pd.NA
    with pytest.raises(ValueError, match="NaN"):
        ProjectionFeatureSelector().fit(X, y)


def test_selector_keeps_fewer_than_k_with_a_warning():
    """Constant columns are never selected, whatever the radius."""
    X, y = WINE
    X = X.copy()
    X[:, 3:] = 1.0
    selector = ProjectionFeatureSelector(n_features_to_select=5)
    with pytest.warns(UserWarning, match=r"Only 3 features.*n_features_to_select=5"):
        selector.fit(X, y)
    assert_array_equal(selector.get_support(indices=True), [0, 1, 2])


def test_search_radius_returns_the_smallest_radius_with_more():
    """If k is jumped over, the trial just above the jump is returned."""

    def attempt(eta, nearest):
        scores = np.zeros(10)
        scores[: 2 if eta < 3.7 else 6] = 1.0
        return Trial(eta, scores, None, True)

    trial, n_trials = search_radius(attempt, 4, start=1.0)
    assert trial.n_selected == 6
    assert 3.7 <= trial.eta <= 3.7 * 1.002
    assert n_trials < 25


def test_search_radius_returns_the_largest_radius_with_the_fewest():
    """If every radius keeps too many, the model is not made useless."""

    def attempt(eta, nearest):
        scores = np.zeros(10)
        scores[: 2 if eta < 0.5 else 6] = 1.0
        return Trial(eta, scores, None, True)

    trial, n_trials = search_radius(attempt, 1, start=1.0)
    assert trial.n_selected == 2
    assert trial.eta > 0.05
    assert n_trials < 20


def test_search_radius_needs_few_trials_for_a_power_law():
    """The law through two trials leads to the radius."""

    def attempt(eta, nearest):
        scores = np.zeros(10_000)
        scores[: int(3.0 * eta**0.7)] = 1.0
        return Trial(eta, scores, None, True)

    for k in (1, 20, 500):
        trial, n_trials = search_radius(attempt, k, start=1.0)
        assert trial.n_selected == k
        assert n_trials < 10


def test_search_radius_bears_a_number_that_hardly_grows():
    """The power law through 5000 and 5001 features asks for a radius of e^3500."""

    def attempt(eta, nearest):
        scores = np.zeros(20_000)
        scores[: 5000 if eta < 2.0 else 5001 if eta < 100.0 else 10_000] = 1.0
        return Trial(eta, scores, None, True)

    trial, _ = search_radius(attempt, 10_000, start=1.0)
    assert trial.n_selected == 10_000


def test_search_radius_gives_up_at_extreme_radii():
    """A number that is never reached, or always exceeded, ends the search."""
    always = Trial(1.0, np.ones(3), None, True)
    for k in (2, 5):
        trial, n_trials = search_radius(
            lambda eta, nearest: always._replace(eta=eta), k, start=1.0
        )
        assert trial.n_selected == 3
        assert n_trials < 15


@pytest.mark.parametrize("number", [12, np.int64(12)])
@pytest.mark.parametrize("estimator", [None, LogisticRegression()])
def test_of_more_features_than_there_are_all_are_selected(estimator, number):
    """With a warning, as scikit-learn's SelectKBest does."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 10))
    y = (X[:, 0] + rng.standard_normal(60) > 0.0).astype(int)
    selector = ProjectionFeatureSelector(estimator, n_features_to_select=number)
    message = "n_features_to_select=12 exceeds .* choose from, 10: all of them are"
    with pytest.warns(UserWarning, match=message) as log:
        selector.fit(X, y)
    assert [warning.filename for warning in log] == [__file__]
    assert selector.get_support().all()


def test_features_that_are_never_kept_are_none_to_choose_from():
    X, y = CANCER
    selector = ProjectionFeatureSelector(
        n_features_to_select=9, never_keep=[1, 2], max_iter=10, tol=0.1
    )
    with pytest.warns(UserWarning, match="features to choose from, 8: all of them"):
        selector.fit(X[:, :10], y)
    assert not selector.get_support()[[1, 2]].any()
