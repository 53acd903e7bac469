"""StabilitySelector: its numbers, its bound and its path."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from selector_helpers import (
    WINE,
    FixedSelector,
    stability_by_definition,
)
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.feature_selection import SelectFromModel, SelectKBest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from skproj.feature_selection import ProjectionFeatureSelector, StabilitySelector


class PositiveMeans(FixedSelector):
    """Select the features whose mean in the training samples is positive."""

    def _get_support_mask(self):
        return np.asarray(self.fitted_with_[0]).mean(axis=0) > 0.0


# The data of some checks are noise, of which nothing is selected often.
SMALL = [
    StabilitySelector(n_pairs=2, threshold=0.25),
    StabilitySelector(SelectKBest(k=1), n_pairs=2, threshold=0.25),
]


# Those that `check_estimator` leaves out and scikit-learn runs for its own selectors.
FURTHER_CHECKS = [
    "check_dataframe_column_names_consistency",
    "check_get_feature_names_out_error",
    "check_global_output_transform_pandas",
    "check_inplace_ensure_writeable",
    "check_param_validation",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
]


@parametrize_with_checks(SMALL)
def test_selector_passes_check(estimator, check):
    """The contract of scikit-learn holds."""
    check(estimator)


@pytest.mark.filterwarnings("ignore:No feature is selected")
@pytest.mark.filterwarnings("ignore:No features were selected")
@parametrize_with_checks(
    [
        StabilitySelector(n_pairs=2, fdr=0.9),
    ]
)
def test_selector_with_decoys_passes_check(estimator, check):
    """So it does with decoys, which on noise are as good as the features."""
    check(estimator)


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.filterwarnings("ignore:X has feature names")
@pytest.mark.parametrize("name", FURTHER_CHECKS)
def test_selector_passes_further_check(name):
    """So do the checks that are not part of `check_estimator`."""
    check = getattr(estimator_checks, name)
    check("StabilitySelector", clone(SMALL[1]))


def test_attributes_of_a_selector_that_never_changes():
    """All follow by hand from the same two of eight features."""
    X = np.random.default_rng(0).standard_normal((20, 8))
    y = np.arange(20) % 2
    selector = StabilitySelector(FixedSelector(), n_pairs=3, random_state=0).fit(X, y)
    assert_array_equal(selector.selection_probabilities_, [1, 1, 0, 0, 0, 0, 0, 0])
    assert_array_equal(selector.feature_importances_, selector.selection_probabilities_)
    assert selector.supports_.shape == (6, 8)
    assert selector.mean_n_features_ == 2.0
    assert selector.threshold_ == 0.75
    assert selector.expected_false_selections_ == 2.0**2 / 8 / (2 * 0.75 - 1)
    assert_allclose(selector.stability_, 1.0)
    assert_allclose(selector.stability_interval_, [1.0, 1.0])
    assert_array_equal(selector.get_support(indices=True), [0, 1])
    assert_array_equal(selector.transform(X), X[:, :2])
    assert not hasattr(selector, "path_probabilities_")
    assert_array_equal(selector.baseline_selection_probabilities_.sum(), 2.0)


def test_probabilities_are_shares_of_the_halves():
    """They are counted over the selections, which differ from half to half."""
    X = np.random.default_rng(1).standard_normal((31, 12))
    selector = StabilitySelector(PositiveMeans(), n_pairs=40, random_state=0).fit(X)
    assert_array_equal(
        selector.selection_probabilities_, selector.supports_.mean(axis=0)
    )
    # Halves of a pair make up the whole: both are positive only if the whole is.
    means = X.mean(axis=0)
    clear = np.abs(means) > 0.1
    assert clear.sum() >= 6
    assert_array_equal(
        selector.selection_probabilities_[clear] > 0.5, means[clear] > 0.0
    )
    assert_array_equal(
        selector.get_support(), selector.selection_probabilities_ >= 0.75
    )
    assert_allclose(selector.stability_, stability_by_definition(selector.supports_)[0])


def test_informative_features_are_selected():
    """Three features make the target, and nothing else is kept."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 60))
    y = X[:, 3] - X[:, 30] + X[:, 50] + 0.5 * rng.standard_normal(120)
    selector = StabilitySelector(n_pairs=10, random_state=0).fit(X, y)
    assert_array_equal(selector.get_support(indices=True), [3, 30, 50])
    # The default selects so many that the bound is 1 for the threshold 0.9.
    assert selector.mean_n_features_ == int(np.sqrt(0.8 * 60))


def test_default_selects_as_the_bound_demands():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 50)), np.arange(60) % 2
    X[:, 0] += 3.0 * y
    selector = StabilitySelector(n_pairs=5, max_false_selections=0.3, random_state=0)
    selector.fit(X, y)
    assert selector.mean_n_features_ == int(np.sqrt(0.8 * 0.3 * 50))
    assert selector.expected_false_selections_ <= 0.3
    assert_array_equal(selector.get_support(indices=True), [0])


def test_threshold_follows_from_the_wanted_bound():
    """It is the smallest share of the halves with the bound."""
    X, y = np.random.default_rng(0).standard_normal((20, 8)), np.arange(20) % 2
    selector = StabilitySelector(
        FixedSelector(), n_pairs=5, max_false_selections=1.0, random_state=0
    ).fit(X, y)
    assert selector.threshold_ == 0.8  # 0.75, rounded up to tenths
    assert_allclose(selector.expected_false_selections_, 0.5 / 0.6)
    selector.set_params(max_false_selections=0.5).fit(X, y)
    assert selector.threshold_ == 1.0
    assert selector.expected_false_selections_ == 0.5


def test_bound_out_of_reach_is_said():
    """The threshold is then 1, and the bound what it is."""
    X, y = np.random.default_rng(0).standard_normal((20, 8)), np.arange(20) % 2
    selector = StabilitySelector(
        FixedSelector(4), n_pairs=2, max_false_selections=0.5, random_state=0
    )
    with pytest.warns(UserWarning, match="cannot be reached: threshold 1") as log:
        selector.fit(X, y)
    assert "selects 4 features on average and may select 2." in str(log[0].message)
    assert log[0].filename == __file__
    assert selector.threshold_ == 1.0
    assert selector.expected_false_selections_ == 2.0


def test_low_threshold_has_no_bound():
    X, y = np.random.default_rng(0).standard_normal((20, 8)), np.arange(20) % 2
    selector = StabilitySelector(FixedSelector(), n_pairs=2, threshold=0.5).fit(X, y)
    assert selector.expected_false_selections_ == np.inf


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{"threshold": 0.7}, {"max_false_selections": 0.3}], ids=str
)
@pytest.mark.filterwarnings("ignore:No feature is selected")
def test_bound_holds_on_noise(options):
    """On average over data without signal, no more is selected than the bound says."""
    n_repeats, n_false, bounds = 60, [], []
    for seed in range(n_repeats):
        rng = np.random.default_rng(seed)
        X, y = rng.standard_normal((40, 30)), np.arange(40) % 2
        selector = StabilitySelector(
            SelectKBest(k=3), n_pairs=8, random_state=seed, **options
        ).fit(X, y)
        n_false.append(selector.get_support().sum())
        bounds.append(selector.expected_false_selections_)
    assert np.ptp(bounds) == 0.0
    assert np.mean(n_false) <= bounds[0]
    # The bound is not met for want of selections: one at random would break it.
    assert selector.mean_n_features_ > bounds[0]


def test_path_selects_the_union():
    X, y = np.random.default_rng(0).standard_normal((20, 6)), np.arange(20) % 2
    selector = StabilitySelector(
        FixedSelector(), param_name="n_selected", param_values=[1, 4, 2], n_pairs=2
    ).fit(X, y)
    assert_array_equal(
        selector.path_probabilities_,
        [[1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0]],
    )
    assert_array_equal(selector.selection_probabilities_, [1, 1, 1, 1, 0, 0])
    assert selector.mean_n_features_ == 4.0
    selector.set_params(param_name=None, param_values=None).fit(X, y)
    assert not hasattr(selector, "path_probabilities_")


def test_path_of_radii():
    """The default estimator and a pipeline go through the same radii."""
    X, y = WINE
    options = {"param_values": [0.3, 1.0], "n_pairs": 3, "random_state": 0}
    default = StabilitySelector(param_name="eta", **options).fit(X, y)
    assert_array_equal(
        default.selection_probabilities_ >= default.path_probabilities_.max(axis=0),
        True,
    )
    assert default.path_probabilities_[0].sum() < default.path_probabilities_[1].sum()
    pipeline = make_pipeline(StandardScaler(), ProjectionFeatureSelector())
    piped = StabilitySelector(
        pipeline, param_name="projectionfeatureselector__eta", **options
    ).fit(X, y)
    assert_array_equal(piped.supports_, default.supports_)


@pytest.mark.parametrize(
    "base",
    [None, SelectFromModel(ExtraTreesClassifier(5)), SelectKBest(k=3)],
    ids=["default", "random", "univariate"],
)
def test_jobs_do_not_change_the_result(base):
    """Seeds are drawn in advance, also those of an estimator that draws."""
    X, y = WINE
    one, two, other = (
        StabilitySelector(base, n_pairs=4, n_jobs=n_jobs, random_state=seed).fit(X, y)
        for n_jobs, seed in ((1, 0), (2, 0), (1, 1))
    )
    assert_array_equal(one.supports_, two.supports_)
    assert_array_equal(
        one.baseline_selection_probabilities_, two.baseline_selection_probabilities_
    )
    assert one.stability_ == two.stability_
    assert not np.array_equal(one.supports_, other.supports_)
