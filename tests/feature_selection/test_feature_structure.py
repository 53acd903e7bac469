"""Selectors that are told which features cost more, belong together, or must be in."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from selector_helpers import CANCER, WINE
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skproj.feature_selection import (
    ProjectionFeatureSelector,
    ProjectionFeatureSelectorCV,
    StabilitySelector,
    eta_path,
)

X, y = CANCER
FRAME, _ = load_breast_cancer(return_X_y=True, as_frame=True)
LABELS = np.arange(30) % 10  # mean, error and worst value of each property
UNEQUAL = {"size": [0, 2, 3], "shape": [4, 5, 6, 7, 8], "few": [10, 12]}
STRUCTURE = {
    "feature_weights": np.linspace(0.5, 2.0, 30),
    "always_keep": [1, 29],
    "never_keep": [20, 22],
    "feature_groups": LABELS,
}

# The tables of the checks have one feature or more.
CHECKED = [
    ProjectionFeatureSelector(eta=1.0, never_keep=[0], projection="bilevel_l11"),
    ProjectionFeatureSelectorCV(etas=3, cv=2, always_keep=[0]),
]


# The targets of some checks are noise.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:No feature")
@parametrize_with_checks(CHECKED)
def test_estimator_passes_check(estimator, check):
    """The contract of scikit-learn holds with these parameters too."""
    check(estimator)


def named(indices):
    return FRAME.columns[np.asarray(indices)].tolist()


def masked(indices):
    return np.isin(np.arange(30), indices)


@pytest.mark.parametrize("form", [named, masked, np.array])
def test_features_by_index_name_and_mask(form):
    """All say the same."""
    data = FRAME if form is named else X
    structure = {
        "always_keep": form([1, 29]),
        "never_keep": form([20, 22]),
        "feature_groups": [form([0, 3]), form([5, 6, 7])],
    }
    selector = ProjectionFeatureSelector(projection="l12", **structure).fit(data, y)
    plain = structure | {"always_keep": [1, 29], "never_keep": [20, 22]}
    plain["feature_groups"] = {"a": [0, 3], "b": [5, 6, 7]}
    expected = ProjectionFeatureSelector(projection="l12", **plain).fit(X, y)
    assert_allclose(selector.scores_, expected.scores_, rtol=1e-9)
    assert_allclose(selector.coef_, expected.coef_, rtol=1e-9)
    support = selector.get_support()
    assert support[[1, 29]].all()
    assert not support[[20, 22]].any()
    assert support[0] == support[3]
    assert support[5] == support[6] == support[7]
    assert_array_equal(selector.coef_[:, ~support], 0.0)


@pytest.mark.parametrize("projection", ["l1", "l12", "l1inf", "bilevel_l11"])
def test_groups_of_one_are_no_groups(projection):
    """The result is the same to the last bit."""
    options = {"projection": projection, "n_features_to_select": 4}
    expected = ProjectionFeatureSelector(**options).fit(*WINE)
    labels = [f"group {i}" for i in range(13)]
    for groups in (labels, [[4], [2]], {}):
        found = ProjectionFeatureSelector(**options, feature_groups=groups).fit(*WINE)
        assert_array_equal(found.coef_, expected.coef_)
        assert found.eta_ == expected.eta_
        assert found.duality_gap_ == expected.duality_gap_


def test_small_weights_are_preferred():
    """A feature that costs less is selected before those that it resembles."""
    weights = np.ones(30)
    weights[13] = 0.3
    options = {"n_features_to_select": 1}
    selector = ProjectionFeatureSelector(**options, feature_weights=weights).fit(X, y)
    assert selector.get_support(indices=True).tolist() == [13]
    assert 13 not in ProjectionFeatureSelector(**options).fit(X, y).get_support(True)
    assert_allclose(selector.scores_.sum(), selector.eta_)
    weights[13] = np.inf
    infinite = ProjectionFeatureSelector(feature_weights=weights, eta=9.0).fit(X, y)
    never = ProjectionFeatureSelector(never_keep=[13], eta=9.0).fit(X, y)
    assert_array_equal(infinite.coef_, never.coef_)
    assert infinite.scores_[13] == 0.0


@pytest.mark.parametrize("standardize", [True, False])
def test_forced_features_do_not_count(standardize):
    """They come on top of `n_features_to_select`, even if they are constant."""
    data = StandardScaler().fit_transform(X)
    data[:, 4] = 1.0
    selector = ProjectionFeatureSelector(
        n_features_to_select=3, always_keep=[1, 4], standardize=standardize
    ).fit(data, y)
    support = selector.get_support()
    assert support[[1, 4]].all()
    assert np.count_nonzero(support) == 5
    assert selector.coef_[0, 4] == 0.0
    assert selector.transform(data).shape == (569, 5)
    again = clone(selector).set_params(n_features_to_select=None, eta=selector.eta_)
    assert_allclose(again.fit(data, y).coef_, selector.coef_)


@pytest.mark.parametrize(
    ("groups", "n_wanted", "sizes"),
    [
        (LABELS, 7, {6}),
        (LABELS, 6, {6}),
        (LABELS, 1, {3}),
        (UNEQUAL, 5, {3, 4, 5}),
        ([[0, 1, 2], [2, 3, 20, 22]], 4, {1, 2, 3, 4}),
    ],
)
def test_number_of_features_is_met_by_whole_groups(groups, n_wanted, sizes):
    """Not more than wanted, and no warning of what whole groups cannot do."""
    selector = ProjectionFeatureSelector(
        n_features_to_select=n_wanted, feature_groups=groups, projection="l12"
    ).fit(X, y)
    support = selector.get_support()
    assert np.count_nonzero(support) in sizes
    if groups is LABELS:
        assert_array_equal(support.reshape(3, 10).all(0), support.reshape(3, 10).any(0))
        assert_array_equal(selector.scores_[:10], selector.scores_[10:20])
    elif groups is UNEQUAL:
        for group in groups.values():
            assert len(np.unique(selector.scores_[group])) == 1


@pytest.mark.parametrize("projection", ["l12", "l1inf", "bilevel_l11", "bilevel_l1inf"])
def test_path_and_cross_validation_know_the_structure(projection):
    """Supports of the path, of the folds and of the last fit are of whole groups."""
    options = {"projection": projection, "tol": 1e-3, **STRUCTURE}
    path = eta_path(X, y, n_etas=4, **options)
    assert np.all(path.n_selected >= 2)
    selector = ProjectionFeatureSelectorCV(4, cv=3, random_state=0, **options)
    selector.fit(X, y)
    assert_allclose(selector.path_.etas, path.etas)
    assert_array_equal(selector.path_.coefs, path.coefs)
    assert_array_equal(selector.path_.n_selected, path.n_selected)
    frequency = selector.selection_frequency_
    assert_array_equal(frequency[[1, 29]], 1.0)
    assert_array_equal(frequency[[20, 22]], 0.0)
    assert_array_equal(frequency[:10][[3, 4]], frequency[10:20][[3, 4]])
    alone = ProjectionFeatureSelector(eta=selector.eta_, **options).fit(X, y)
    assert_array_equal(alone.coef_, selector.coef_)
    assert_array_equal(alone.scores_, selector.scores_)


def test_series_are_read_by_the_names_of_features():
    """In the order of the costs, say, instead of that of the columns."""
    costs = pd.Series(STRUCTURE["feature_weights"], index=FRAME.columns)
    labels = pd.Series(LABELS, index=FRAME.columns)
    is_kept = pd.Series(masked([1, 29]), index=FRAME.columns)
    names = np.random.default_rng(0).permutation(FRAME.columns)
    structure = {
        "feature_weights": costs[names],
        "feature_groups": labels[names],
        "always_keep": is_kept[names],
        "never_keep": is_kept[names].shift(-1, fill_value=False),
    }
    plain = {
        name: value.loc[FRAME.columns].to_numpy() for name, value in structure.items()
    }
    plain["never_keep"] = np.flatnonzero(plain["never_keep"])
    options = {"projection": "l12", "eta": 3.0}
    selector = ProjectionFeatureSelector(**options, **structure).fit(FRAME, y)
    expected = ProjectionFeatureSelector(**options, **plain).fit(FRAME, y)
    assert_array_equal(selector.coef_, expected.coef_)
    with pytest.raises(ValueError, match="feature_weights as a Series must have"):
        selector.fit(X, y)
    with pytest.raises(ValueError, match=r"feature_weights.*got one without 'mean ra"):
        selector.set_params(feature_weights=costs[1:]).fit(FRAME, y)


def test_parameters_go_through_searches_and_stability():
    """Clones, pipelines, grids and half samples know the names of the features."""
    names = FRAME.columns
    model = make_pipeline(
        StandardScaler().set_output(transform="pandas"),
        ProjectionFeatureSelector(),
        LogisticRegression(),
    )
    grid = {
        "projectionfeatureselector__always_keep": [None, [names[3]]],
        "projectionfeatureselector__feature_groups": [None, LABELS],
    }
    search = GridSearchCV(model, grid, cv=2).fit(FRAME, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    selector = ProjectionFeatureSelector(
        n_features_to_select=3, always_keep=[names[3]], never_keep=[names[20]]
    )
    stability = StabilitySelector(selector, n_pairs=3, random_state=0).fit(FRAME, y)
    assert stability.selection_probabilities_[3] == 1.0
    assert stability.selection_probabilities_[20] == 0.0


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"feature_weights": np.ones(3)},
            r"feature_weights must be an array of 30",
        ),
        ({"feature_weights": np.zeros(30)}, r"for a weight of zero use always_keep"),
        ({"feature_weights": [None] * 30}, r"30 positive numbers"),
        ({"feature_weights": [np.nan] * 30}, r"30 positive numbers"),
        ({"always_keep": [30]}, r"always_keep must have indices from 0 to 29, got 30"),
        ({"never_keep": [-1]}, r"never_keep must have indices from 0 to 29, got -1"),
        ({"never_keep": [0.5]}, r"never_keep must have indices or names of features"),
        ({"never_keep": [True]}, r"or be a boolean mask of all 30, got \[True\]"),
        ({"never_keep": {1}}, r"never_keep must have indices or names"),
        ({"always_keep": ["mean radus"]}, r"got 'mean radus'; did you mean 'mean rad"),
        ({"always_keep": ["??"]}, r"must have names of features of X, got '\?\?'\.$"),
        ({"always_keep": [3], "never_keep": [3, 4]}, r"got 'mean area' in both"),
        ({"feature_groups": [1, 2]}, r"a label, .* each of the 30 features.* \[1, 2\]"),
        ({"feature_groups": [0.5] * 30}, r"a label, a str or an int"),
        ({"feature_groups": [[1], []]}, r"must not have a group without features"),
        ({"feature_groups": [[1], [30]]}, r"feature_groups must have indices from 0"),
        ({"feature_groups": LABELS, "projection": "l1"}, r"got projection='l1'"),
        ({"feature_groups": LABELS, "projection": np.clip}, r"needs one of the proj"),
    ],
)
@pytest.mark.parametrize(
    "kind", [ProjectionFeatureSelector, ProjectionFeatureSelectorCV]
)
def test_bad_structure_is_refused(kind, parameters, message):
    """The error names the parameter and what it may be."""
    with pytest.raises(ValueError, match=message):
        kind(**parameters).fit(FRAME, y)


def test_names_need_named_features():
    """An array has none."""
    with pytest.raises(ValueError, match=r"because X has no names of features, got 'a"):
        ProjectionFeatureSelector(always_keep=["a"]).fit(X, y)
    frame = pd.DataFrame(X[:, :3], columns=["a", "b", "c"])
    selector = ProjectionFeatureSelector(always_keep=["a"]).fit(frame, y)
    assert "a" in selector.get_feature_names_out()


def test_more_forced_features_than_samples_are_refused():
    """They would fit anything."""
    with pytest.raises(ValueError, match=r"fewer features than there are samples, 20"):
        ProjectionFeatureSelector(always_keep=range(20)).fit(X[:20], y[:20])


@pytest.mark.parametrize("name", STRUCTURE)
def test_estimators_have_no_structure(name):
    """The parameters are those of the linear model."""
    selector = ProjectionFeatureSelector(
        RandomForestClassifier(), **{name: STRUCTURE[name]}
    )
    with pytest.raises(ValueError, match=rf"{name} is for the linear model"):
        selector.fit(X, y)


def test_all_features_may_be_outside_of_the_ball():
    """The model is that of the forced ones, or constant."""
    data = StandardScaler().fit_transform(X[:, :2])
    forced = ProjectionFeatureSelector(always_keep=[0, 1]).fit(data, y)
    model = LogisticRegression(C=np.inf, tol=1e-8).fit(data, y)
    assert_allclose(forced.coef_, model.coef_, rtol=1e-4)
    with pytest.warns(UserWarning, match="No feature is selected"):
        ProjectionFeatureSelector(never_keep=[0, 1]).fit(data, y)


@pytest.mark.parametrize("target", ["numbers", "classes", "survival"])
def test_features_that_follow_a_confounder_are_not_selected_beside_it(target):
    """Those that add to the confounder are."""
    rng = np.random.default_rng(0)
    age, *genes = rng.standard_normal((13, 300))
    proxies = age + 0.3 * rng.standard_normal((3, 300))
    data = np.column_stack([age, *proxies, *genes])
    risk = 2.0 * age + genes[0] - genes[1]
    y = risk + rng.standard_normal(300)
    if target == "classes":
        y = y > 0.0
    elif target == "survival":
        y = np.array(
            [(True, time) for time in rng.exponential(np.exp(-risk))],
            dtype=[("event", bool), ("time", float)],
        )
    selector = ProjectionFeatureSelector(n_features_to_select=2)
    unadjusted = clone(selector).set_params(never_keep=[0]).fit(data, y)
    assert unadjusted.get_support()[1:4].any()
    adjusted = selector.set_params(always_keep=[0]).fit(data, y)
    assert_array_equal(adjusted.get_support(indices=True), [0, 4, 5])
