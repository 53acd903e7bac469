"""StabilitySelector: its numbers, its bound, and how it fits in."""

import pickle
import re

import numpy as np
import pandas as pd
import pytest
import sklearn
from joblib import parallel_config, register_parallel_backend
from joblib.parallel import ThreadingBackend
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.callback import ProgressBar
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_wine,
    make_classification,
)
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.feature_selection import (
    SelectFromModel,
    SelectKBest,
    SelectorMixin,
    VarianceThreshold,
    f_classif,
    f_regression,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from skproj.feature_selection import ProjectionFeatureSelector, StabilitySelector
from skproj.feature_selection._half_selections import draw_halves, univariate_scores
from skproj.feature_selection._stability_selector import stability_index

CANCER = load_breast_cancer(return_X_y=True)
WINE = load_wine(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)


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


class PositiveMeans(FixedSelector):
    """Select the features whose mean in the training samples is positive."""

    def _get_support_mask(self):
        return np.asarray(self.fitted_with_[0]).mean(axis=0) > 0.0


# ---------------------------------------------------------------- scikit-learn's checks

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


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.filterwarnings("ignore:X has feature names")
@pytest.mark.parametrize("name", FURTHER_CHECKS)
def test_selector_passes_further_check(name):
    """So do the checks that are not part of `check_estimator`."""
    check = getattr(estimator_checks, name)
    check("StabilitySelector", clone(SMALL[1]))


# --------------------------------------------------------------------- stability index


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


@pytest.mark.parametrize("shape", [(2, 3), (10, 7), (100, 30)])
def test_stability_index_is_that_of_the_paper(shape):
    rng = np.random.default_rng(0)
    for share in (0.1, 0.5, 0.9):
        selections = rng.random(shape) < share * rng.uniform(0.2, 1.1, shape[1])
        if not 0 < selections.mean() < 1:
            selections[0, 0] = not selections[0, 0]
        stability, interval = stability_index(selections)
        expected, expected_interval = stability_by_definition(selections)
        assert_allclose(stability, expected)
        assert_allclose(interval, expected_interval)


def test_stability_index_of_small_cases():
    """Equal selections have 1; two that exclude each other -1, as small as it gets."""
    equal = np.array([[True, False, False]] * 4)
    assert_allclose(stability_index(equal)[0], 1.0)
    assert_allclose(stability_index(equal)[1], [1.0, 1.0])
    assert_allclose(stability_index(np.array([[True, False], [False, True]]))[0], -1.0)


@pytest.mark.parametrize("value", [True, False])
def test_stability_index_needs_a_choice(value):
    """If everything is selected, or nothing, chance would agree as well."""
    stability, interval = stability_index(np.full((4, 3), value))
    assert np.isnan(stability)
    assert np.isnan(interval).all()


def test_stability_interval_covers_the_population():
    """About 95 % of the intervals of independent selections hold the true index."""
    rng = np.random.default_rng(0)
    chances = rng.beta(0.3, 0.7, 40)
    share = chances.mean()
    true = 1.0 - (chances * (1.0 - chances)).mean() / (share * (1.0 - share))
    covered = []
    for _ in range(400):
        low, high = stability_index(rng.random((60, 40)) < chances)[1]
        covered.append(low <= true <= high)
    assert 0.91 <= np.mean(covered) <= 0.98


# ------------------------------------------------------------------------------- halves


@pytest.mark.parametrize("sizes", [[20], [2, 11], [2, 3, 4, 5], [7, 7, 7], [2, 2]])
def test_halves_are_disjoint_equal_and_stratified(sizes):
    strata = np.repeat(np.arange(len(sizes)), np.sort(sizes))
    for seed in range(20):
        first, second = draw_halves(strata, np.random.RandomState(seed))
        assert len(first) == len(second) == len(strata) // 2
        assert len(np.union1d(first, second)) == 2 * len(first)
        counts = [
            np.bincount(strata[rows], minlength=len(sizes)) for rows in (first, second)
        ]
        assert np.min(counts) >= 1
        assert np.abs(counts[0] - counts[1]).max() <= 1


def test_every_sample_is_in_half_of_the_halves():
    """Of an odd number of samples one is left out, another one each time."""
    halves = [
        draw_halves(np.zeros(9, dtype=int), np.random.RandomState(s))
        for s in range(500)
    ]
    counts = np.bincount(np.ravel(halves), minlength=9)
    assert_allclose(counts / 500.0, 8.0 / 9.0, atol=0.06)


def test_no_half_loses_a_class():
    """Two samples of a rare class go to different halves."""
    X = np.random.default_rng(0).standard_normal((40, 4))
    y = np.array(["a"] * 25 + ["b"] * 13 + ["rare"] * 2)

    class ThreeClasses(FixedSelector):
        def fit(self, X, y):
            assert_array_equal(np.unique(y), ["a", "b", "rare"])
            return super().fit(X, y)

    StabilitySelector(ThreeClasses(), n_pairs=20, random_state=0).fit(X, y)
    with pytest.raises(AssertionError):
        StabilitySelector(
            ThreeClasses(), n_pairs=20, stratify=False, random_state=0
        ).fit(X, y)


# ------------------------------------------------------------------------------ numbers


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


# --------------------------------------------------------------------------------- path


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


# ----------------------------------------------------------------------- what it takes


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


def test_pipeline_of_selectors_and_transformers():
    """The support is that of the features that go in."""
    X, y = WINE
    X = np.column_stack([np.zeros(len(X)), X])
    pipeline = make_pipeline(
        VarianceThreshold(),
        FunctionTransformer(np.log1p, feature_names_out="one-to-one"),
        StandardScaler(),
        SelectKBest(k=4),
    )
    piped = StabilitySelector(pipeline, n_pairs=3, random_state=0).fit(X, y)
    plain = StabilitySelector(SelectKBest(k=4), n_pairs=3, random_state=0)
    plain.fit(np.log1p(X[:, 1:]), y)
    assert_array_equal(piped.supports_[:, 1:], plain.supports_)
    assert not piped.supports_[:, 0].any()
    columns = [f"column {i}" for i in range(X.shape[1])]
    frame = StabilitySelector(pipeline, n_pairs=3, random_state=0)
    frame.fit(pd.DataFrame(X, columns=columns), y)
    assert_array_equal(frame.supports_, piped.supports_)


@pytest.mark.parametrize(
    "base",
    [
        GaussianNB(),
        make_pipeline(StandardScaler(), GaussianNB()),
        make_pipeline(PCA(5), SelectKBest(k=3)),
        make_pipeline(FunctionTransformer(np.log1p), SelectKBest(k=3)),
    ],
    ids=["classifier", "ends in classifier", "mixes features", "loses names"],
)
def test_what_selects_no_features_is_refused(base):
    with pytest.raises(ValueError, match=r"^estimator must have get_support once"):
        StabilitySelector(base, n_pairs=1).fit(*WINE)


def test_frames_reach_the_estimator():
    X, y = load_wine(return_X_y=True, as_frame=True)

    class NeedsNames(FixedSelector):
        def fit(self, X, y):
            assert list(X.columns[:2]) == ["alcohol", "malic_acid"]
            return super().fit(X, y)

    selector = StabilitySelector(NeedsNames(), n_pairs=2).fit(X, y)
    assert_array_equal(selector.get_feature_names_out(), ["alcohol", "malic_acid"])
    selector.set_output(transform="pandas")
    assert list(selector.transform(X).columns) == ["alcohol", "malic_acid"]


@pytest.mark.parametrize("make", [sparse.csr_array, sparse.csc_matrix])
def test_sparse_data_give_the_same(make):
    X, y = CANCER
    X = np.where(X > np.median(X, axis=0), X, 0.0)
    dense = StabilitySelector(n_pairs=2, random_state=0).fit(X, y)
    sparser = StabilitySelector(n_pairs=2, random_state=0).fit(make(X), y)
    assert_array_equal(dense.supports_, sparser.supports_)
    assert_array_equal(
        dense.baseline_selection_probabilities_,
        sparser.baseline_selection_probabilities_,
    )
    assert sparse.issparse(sparser.transform(make(X)))


def test_each_half_gets_its_part_of_the_parameters():
    """Weights follow their samples, other parameters stay as they are."""
    X = np.arange(48.0).reshape(24, 2)
    y = np.arange(24) % 2

    class LooksAtWeights(FixedSelector):
        def fit(self, X, y, sample_weight, flag):
            assert_array_equal(sample_weight, X[:, 0] + 1.0)
            assert flag == "on"
            return super().fit(X, y)

    selector = StabilitySelector(LooksAtWeights(), n_pairs=2)
    selector.fit(X, y, sample_weight=X[:, 0] + 1.0, flag="on")
    with pytest.raises(TypeError, match="sample_weight"):
        selector.fit(X, y)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array, pd.DataFrame])
def test_sample_of_weight_zero_counts_as_absent(make):
    """It is in no half, whatever its class, and whatever goes with it."""
    X, y = WINE[0].copy(), WINE[1].copy()
    weights = np.random.default_rng(0).integers(0, 3, len(y)).astype(float)
    kept = weights > 0
    X[~kept], y[~kept] = 1e6, 7
    weights[np.flatnonzero(~kept)[1:]] = 0.0
    with_zeros = StabilitySelector(n_pairs=3, random_state=0)
    with_zeros.fit(make(X), y, sample_weight=list(weights))
    without = StabilitySelector(n_pairs=3, random_state=0)
    without.fit(make(X[kept]), y[kept], sample_weight=weights[kept])
    assert_array_equal(with_zeros.supports_, without.supports_)
    assert_array_equal(
        with_zeros.baseline_selection_probabilities_,
        without.baseline_selection_probabilities_,
    )


def test_one_weight_for_all_samples_changes_nothing():
    plain = StabilitySelector(n_pairs=2, random_state=0).fit(*WINE)
    same = clone(plain).fit(*WINE, sample_weight=2.0)
    assert_array_equal(same.supports_, plain.supports_)
    assert same.baseline_stability_ == plain.baseline_stability_


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            np.arange(20) < 3,
            "sample_weight must have at least 4 nonzero .* got 3",
        ),
        (np.r_[1.0, np.zeros(10), np.ones(9)], "class 0 has only 1 sample"),
        (np.ones(19), r"sample_weight.shape == \(19,\), expected \(20,\)"),
        (-np.ones(20), "Negative values"),
        (np.full(20, np.nan), "sample_weight contains NaN"),
    ],
)
def test_bad_weights_are_refused(weights, message):
    X = np.random.default_rng(0).standard_normal((20, 4))
    y = (np.arange(20) > 9).astype(int)
    with pytest.raises(ValueError, match=message):
        StabilitySelector(n_pairs=1).fit(X, y, sample_weight=weights)


def test_sample_weights_are_routed():
    """To the default estimator without more ado, to others if they request them."""
    X, y = CANCER
    weights = np.random.default_rng(0).uniform(0.0, 1.0, len(y))
    plain = StabilitySelector(n_pairs=2, random_state=0).fit(X, y)
    weighted = StabilitySelector(n_pairs=2, random_state=0)
    weighted.fit(X, y, sample_weight=weights)
    assert not np.array_equal(plain.supports_, weighted.supports_)
    with sklearn.config_context(enable_metadata_routing=True):
        routed = StabilitySelector(n_pairs=2, random_state=0)
        routed.fit(X, y, sample_weight=weights)
        asking = ProjectionFeatureSelector(n_features_to_select=4)
        asking.set_fit_request(sample_weight=True)
        StabilitySelector(asking, n_pairs=1).fit(X, y, sample_weight=weights)
        with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError):
            StabilitySelector(ProjectionFeatureSelector(), n_pairs=1).fit(
                X, y, sample_weight=weights
            )
    assert_array_equal(routed.supports_, weighted.supports_)


def test_without_target():
    """A selector that needs none has no baseline either."""
    X, y = CANCER
    selector = StabilitySelector(VarianceThreshold(0.01), n_pairs=3, random_state=0)
    selector.fit(X, y)
    assert hasattr(selector, "baseline_stability_")
    selector.fit(X)
    assert not [name for name in vars(selector) if name.startswith("baseline")]
    assert 0 < selector.get_support().sum() < X.shape[1]


def test_missing_values_if_the_estimator_takes_them():
    X, y = CANCER
    X = X.copy()
    X[::7, 0] = np.nan
    with pytest.raises(ValueError, match="Input X contains NaN"):
        StabilitySelector(n_pairs=1).fit(X, y)
    base = SelectFromModel(ExtraTreesClassifier(20), max_features=5)
    selector = StabilitySelector(base, n_pairs=3, random_state=0).fit(X, y)
    assert np.isfinite(selector.baseline_selection_probabilities_).all()
    assert selector.transform(X).shape[1] == selector.get_support().sum() > 0


# ----------------------------------------------------------------------------- baseline


def test_univariate_scores_rank_as_the_f_test():
    """They are the share of the variance behind the F statistic."""
    X, y = WINE
    n, k = len(y), 3
    F, _ = f_classif(X, y)
    scores = univariate_scores(X, y, y, None)
    assert_allclose(scores / (1.0 - scores) * (n - k) / (k - 1), F)
    assert_allclose(univariate_scores(X, y.astype(str), None, None), scores)
    assert_allclose(univariate_scores(sparse.csr_array(X), y, y, None), scores)
    X, y = DIABETES
    F, _ = f_regression(X, y)
    scores = univariate_scores(X, y, None, None)
    assert_allclose(scores / (1.0 - scores) * (len(y) - 2), F)
    both = univariate_scores(X, np.column_stack([y, X[:, 0]]), None, None)
    assert_allclose(both - scores, univariate_scores(X, X[:, 0], None, None))


@pytest.mark.parametrize(("X", "y"), [WINE, DIABETES], ids=["labels", "numbers"])
def test_univariate_scores_weigh_samples(X, y):
    """A weight counts like repetitions; constant features have no score."""
    weights = np.random.default_rng(0).integers(0, 4, len(y))
    X = np.column_stack([X, np.full(len(X), 0.1)])
    rows = np.repeat(np.arange(len(y)), weights)
    classes = y if y.dtype.kind == "i" else None
    repeated = univariate_scores(
        X[rows], y[rows], None if classes is None else y[rows], None
    )
    assert_allclose(univariate_scores(X, y, classes, weights), repeated)
    assert repeated[-1] == 0.0


def test_baseline_keeps_as_many_features():
    X, y = CANCER
    selector = StabilitySelector(SelectKBest(k=5), n_pairs=5, random_state=0).fit(X, y)
    assert_array_equal(
        selector.baseline_selection_probabilities_, selector.selection_probabilities_
    )
    assert selector.baseline_stability_ == selector.stability_
    assert_array_equal(
        selector.baseline_stability_interval_, selector.stability_interval_
    )


@pytest.mark.parametrize("dtype", [bool, int, np.float32])
def test_univariate_scores_take_all_kinds_of_numbers(dtype):
    """Sparse or not, and nullable integers with missing values."""
    X, y = np.round(WINE[0]).astype(dtype), WINE[1]
    expected = univariate_scores(X.astype(float), y, y, None)
    assert_allclose(univariate_scores(X, y, y, None), expected)
    assert_allclose(univariate_scores(sparse.csr_array(X), y, y, None), expected)


def test_univariate_scores_take_nullable_integers():
    frame = pd.DataFrame(np.round(WINE[0]).astype(int)).astype("Int64")
    frame.iloc[::5, 0] = pd.NA
    filled = frame.astype(float).fillna(frame.astype(float).mean())
    y = WINE[1]
    expected = univariate_scores(filled, y, y, None)
    assert_allclose(univariate_scores(frame, y, y, None), expected)


# ----------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_pairs": 0}, r"The 'n_pairs' parameter"),
        ({"threshold": 1.1}, r"The 'threshold' parameter"),
        ({"threshold": 0.0}, r"The 'threshold' parameter"),
        ({"max_false_selections": 0.0}, r"The 'max_false_selections' parameter"),
        ({"stratify": "yes"}, r"The 'stratify' parameter"),
        ({"estimator": "selector"}, r"The 'estimator' parameter"),
        (
            {"threshold": 0.9, "max_false_selections": 1.0},
            r"threshold and max_false_selections cannot be combined",
        ),
        ({"param_name": "eta"}, r"param_name and param_values belong together"),
        ({"param_values": [1.0]}, r"param_name and param_values belong together"),
        (
            {"param_name": "eta", "param_values": []},
            r"param_values must hold at least one value",
        ),
        ({"param_name": "zeta", "param_values": [1.0]}, r"Invalid parameter 'zeta'"),
    ],
)
def test_bad_parameters_are_refused(options, message):
    """In a sentence that names them, and without losing an earlier fit."""
    selector = StabilitySelector(FixedSelector(), n_pairs=1).fit(*WINE)
    before = selector.selection_probabilities_
    if "estimator" not in options and "zeta" not in options.values():
        selector.set_params(estimator=None)
    with pytest.raises(ValueError, match=message):
        selector.set_params(**options).fit(*WINE)
    assert selector.selection_probabilities_ is before


@pytest.mark.parametrize(
    ("y", "options", "message"),
    [
        (np.r_[2, np.arange(19) % 2], {}, r"class 2 has only 1 sample; if y does not"),
        (np.zeros((20, 2)), {"stratify": True}, r"needs a y of one column, got 2"),
        (np.zeros(19), {}, r"inconsistent numbers of samples: \[20, 19\]"),
        (np.r_[np.nan, np.zeros(19)], {}, r"Input y contains NaN"),
    ],
)
def test_bad_targets_are_refused(y, options, message):
    X = np.random.default_rng(0).standard_normal((20, 4))
    with pytest.raises(ValueError, match=message):
        StabilitySelector(FixedSelector(), n_pairs=1, **options).fit(X, y)


def test_counts_are_no_labels_if_one_says_so():
    """Integers that are no classes need no two samples each."""
    X = np.random.default_rng(0).standard_normal((30, 4))
    y = (10.0 * X[:, 1]).round().astype(int)
    base = ProjectionFeatureSelector(loss="squared_error", n_features_to_select=1)
    selector = StabilitySelector(base, n_pairs=3, stratify=False).fit(X, y)
    assert_array_equal(selector.get_support(indices=True), [1])
    assert_array_equal(selector.baseline_selection_probabilities_, [0, 1, 0, 0])


def test_nothing_selected_is_said_once():
    """A half that selects nothing is no reason to warn, a result with nothing is."""
    X = np.random.default_rng(0).standard_normal((20, 3))
    X[:, 1:] = 1.0
    y = np.arange(20) % 2
    base = ProjectionFeatureSelector(n_features_to_select=2)
    StabilitySelector(base, n_pairs=2).fit(X, y)
    with pytest.warns(UserWarning, match="largest selection probability is 0") as log:
        selector = StabilitySelector(n_pairs=2).fit(np.ones((20, 3)), y)
    assert len(log) == 1
    assert log[0].filename == __file__
    assert np.isnan(selector.stability_)
    assert np.isnan(selector.stability_interval_).all()
    assert selector.expected_false_selections_ == 0.0


# ----------------------------------------------------------------------- how it fits in


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


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_callbacks_see_the_pairs(n_jobs, capsys):
    """Wherever the work is done, callbacks run here."""
    log = TaskLog()
    selector = StabilitySelector(SelectKBest(k=2), n_pairs=3, n_jobs=n_jobs)
    selector.set_callbacks(log, ProgressBar()).fit(*WINE)
    assert log.names == ["pair"] * 3 + ["fit"]
    assert re.search(r"StabilitySelector - fit\s.*100%", capsys.readouterr().out)


def test_grid_search_over_the_threshold():
    """In a pipeline, a clone and a copy select the same."""
    X, y = WINE
    selector = StabilitySelector(SelectKBest(k=4), n_pairs=3, random_state=0)
    pipeline = make_pipeline(selector, StandardScaler(), LogisticRegression())
    search = GridSearchCV(
        pipeline, {"stabilityselector__threshold": [0.5, 1.0]}, cv=2
    ).fit(X, y)
    assert search.score(X, y) > 0.9
    fitted = search.best_estimator_[0]
    again = clone(fitted).fit(X, y)
    assert_array_equal(again.supports_, fitted.supports_)
    copy = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(copy.transform(X), fitted.transform(X))


def test_backend_without_generators():
    """Some backends of joblib, as that of Ray, give all results at once."""

    class AllAtOnce(ThreadingBackend):
        supports_return_generator = False

    register_parallel_backend("all-at-once", AllAtOnce)
    X, y = make_classification(n_samples=60, n_features=8, random_state=0)
    selector = StabilitySelector(n_pairs=3, threshold=0.6, random_state=0)
    expected = clone(selector).fit(X, y).selection_probabilities_
    with parallel_config(backend="all-at-once", n_jobs=2):
        found = selector.fit(X, y).selection_probabilities_
    assert_array_equal(found, expected)
