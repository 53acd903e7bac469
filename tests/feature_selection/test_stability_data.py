"""StabilitySelector: base estimators, data, weights, baseline and errors."""

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
from selector_helpers import WINE, FixedSelector, TaskLog
from sklearn.base import clone
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
    VarianceThreshold,
    f_classif,
    f_regression,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skproj.feature_selection import ProjectionFeatureSelector, StabilitySelector
from skproj.feature_selection._half_selections import univariate_scores

CANCER = load_breast_cancer(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)


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

    selector = StabilitySelector(LooksAtWeights(), n_pairs=2, random_state=0)
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
    frame = pd.DataFrame(X.astype(int)).astype("Int64")
    frame.iloc[::5, 0] = pd.NA
    filled = frame.astype(float).fillna(frame.astype(float).mean())
    expected = univariate_scores(filled, y, y, None)
    assert_allclose(univariate_scores(frame, y, y, None), expected)


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
    selector = StabilitySelector(base, n_pairs=3, stratify=False, random_state=0).fit(
        X, y
    )
    assert_array_equal(selector.get_support(indices=True), [1])
    assert_array_equal(selector.baseline_selection_probabilities_, [0, 1, 0, 0])


def test_nothing_selected_is_said_once():
    """A half that selects nothing is no reason to warn, a result with nothing is."""
    X = np.random.default_rng(0).standard_normal((20, 3))
    X[:, 1:] = 1.0
    y = np.arange(20) % 2
    base = ProjectionFeatureSelector(n_features_to_select=2)
    StabilitySelector(base, n_pairs=2, random_state=0).fit(X, y)
    with pytest.warns(UserWarning, match="largest selection probability is 0") as log:
        selector = StabilitySelector(n_pairs=2, random_state=0).fit(np.ones((20, 3)), y)
    assert len(log) == 1
    assert log[0].filename == __file__
    assert np.isnan(selector.stability_)
    assert np.isnan(selector.stability_interval_).all()
    assert selector.expected_false_selections_ == 0.0


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_callbacks_see_the_pairs(n_jobs, capsys):
    """Wherever the work is done, callbacks run here."""
    log = TaskLog()
    selector = StabilitySelector(
        SelectKBest(k=2), n_pairs=3, n_jobs=n_jobs, random_state=0
    )
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
