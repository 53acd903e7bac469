"""ProjectionFeatureSelector: what it selects, what it refuses, and how it fits in."""

import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_wine,
    make_classification,
)
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import (
    ConvergenceWarning,
    DataConversionWarning,
    NotFittedError,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skproj import ProjectionFeatureSelector, ProjectionFeatureSelectorCV
from skproj.datasets import add_probes
from skproj.feature_selection import eta_path
from skproj.feature_selection._radius_search import Trial, search_radius
from skproj.projection import projection_l1_ball, projection_l1inf_ball
from skproj.projection._registry import SPARSIFYING

CANCER = load_breast_cancer(return_X_y=True)
WINE = load_wine(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)


def make_multi_target():
    X, y = DIABETES
    return X, np.column_stack([y, X[:, 0] * 3.0 + y])


def make_weights(n_samples, seed=0):
    return np.random.default_rng(seed).integers(0, 4, n_samples).astype(float)


# ------------------------------------------------------------------ what it selects


@pytest.mark.parametrize(
    ("data", "n_outputs"),
    [(CANCER, 1), (WINE, 3), (DIABETES, 1), (make_multi_target(), 2)],
    ids=["binary", "multiclass", "regression", "multi-target"],
)
def test_selector_attributes_have_documented_shapes(data, n_outputs):
    """The attributes agree with each other and with the data."""
    X, y = data
    selector = ProjectionFeatureSelector().fit(X, y)
    assert selector.coef_.shape == (n_outputs, X.shape[1])
    assert selector.intercept_.shape == (n_outputs,)
    assert selector.scores_.shape == (X.shape[1],)
    assert selector.n_features_in_ == X.shape[1]
    assert selector.eta_ == 1.0
    assert selector.n_iter_ >= 1
    assert 0.0 <= selector.duality_gap_ <= 2e-4
    support = selector.get_support()
    assert 0 < support.sum() < X.shape[1]
    assert_array_equal(support, selector.coef_.any(axis=0))
    assert_array_equal(support, selector.scores_ > 0.0)
    assert_allclose(selector.scores_.sum(), selector.eta_)
    assert_array_equal(selector.transform(X), X[:, support])


@pytest.mark.parametrize("projection", ["l2", "linf"])
def test_selector_refuses_balls_without_zeros(projection):
    """They would select every feature."""
    with pytest.raises(ValueError, match="'projection' parameter of Projection"):
        ProjectionFeatureSelector(projection=projection).fit(*CANCER)


@pytest.mark.parametrize("projection", SPARSIFYING)
def test_selector_drops_probes_of_digits(projection):
    """All of few kept columns are pixels, where chance would keep mostly probes."""
    X, y = load_digits(return_X_y=True)
    X, _, is_probe = add_probes(X[::3], 400, random_state=0)
    selector = ProjectionFeatureSelector(n_features_to_select=15, projection=projection)
    support = selector.fit(X, y[::3]).get_support()
    assert support.sum() == 15
    assert not (support & is_probe).any()


def test_selector_finds_the_informative_features_of_a_regression():
    """Three features among 200 make the target, and are the selected ones."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100, 200))
    y = 1000.0 * (X[:, 3] - X[:, 30] + X[:, 100]) + rng.standard_normal(100)
    for loss in ("squared_error", "huber"):
        selector = ProjectionFeatureSelector(loss=loss).fit(X, y)
        assert set(np.argsort(selector.scores_)[-3:]) == {3, 30, 100}


def test_selector_huber_is_robust():
    """A few gross errors distract the squared error, not the Huber loss."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100, 50))
    y = X[:, 0] + X[:, 1] + 0.1 * rng.standard_normal(100)
    y[:5] = 200.0
    options = {"n_features_to_select": 2, "huber_epsilon": 0.01}
    squared = ProjectionFeatureSelector(loss="squared_error", **options).fit(X, y)
    huber = ProjectionFeatureSelector(loss="huber", **options).fit(X, y)
    assert_array_equal(huber.get_support(indices=True), [0, 1])
    assert set(squared.get_support(indices=True)) != {0, 1}


def test_selector_smaller_eta_is_sparser():
    """The number of features grows with the radius."""
    X, y = CANCER
    n_selected = [
        ProjectionFeatureSelector(eta=eta).fit(X, y).get_support().sum()
        for eta in (0.01, 1.0, 5.0, 20.0)
    ]
    assert n_selected == sorted(n_selected)
    assert n_selected[0] == 1


def test_selector_coef_predicts_in_original_units():
    """Without a constraint the model is scikit-learn's, on raw data."""
    X, y = DIABETES
    X = X * np.arange(1, 11) + 5.0
    selector = ProjectionFeatureSelector(eta=np.inf, tol=1e-10, max_iter=10000)
    selector.fit(X, y)
    model = LinearRegression().fit(X, y)
    assert_allclose(selector.coef_[0], model.coef_, rtol=1e-6)
    assert_allclose(selector.intercept_[0], model.intercept_, rtol=1e-6)
    assert selector.eta_ == np.inf

    X, y = CANCER
    selector = ProjectionFeatureSelector(eta=5.0).fit(X, y)
    decision = X @ selector.coef_[0] + selector.intercept_[0]
    assert np.mean((decision > 0) == y) > 0.95


def test_selector_does_not_depend_on_units():
    """Affine changes of features and target change nothing but the coefficients."""
    X, y = DIABETES
    factors = np.geomspace(1e-3, 1e3, 10)
    plain = ProjectionFeatureSelector().fit(X, y)
    other = ProjectionFeatureSelector().fit(X * factors + 1.0, 7.0 * y - 3.0)
    assert_allclose(other.scores_, plain.scores_, atol=1e-8)
    assert_allclose(other.coef_ * factors, 7.0 * plain.coef_, rtol=1e-5, atol=1e-5)


def test_selector_without_standardize_depends_on_units():
    """Then a feature in small units needs a large coefficient, and is dropped."""
    X, y = CANCER
    X = StandardScaler().fit_transform(X)
    best = ProjectionFeatureSelector(n_features_to_select=1).fit(X, y)
    X[:, best.get_support()] *= 1e-3
    raw = ProjectionFeatureSelector(standardize=False).fit(X, y)
    assert not (raw.get_support() & best.get_support()).any()


def test_selector_without_intercept_has_none():
    """The intercept is zero then."""
    X, y = WINE
    selector = ProjectionFeatureSelector(fit_intercept=False).fit(X, y)
    assert_array_equal(selector.intercept_, 0.0)


def test_selector_takes_any_labels():
    """Strings and booleans are labels; the order of the classes is theirs."""
    X, y = WINE
    names = np.array(["c", "a", "b"])
    number, string = (
        ProjectionFeatureSelector().fit(X, labels) for labels in (y, names[y])
    )
    assert_array_equal(string.classes_, ["a", "b", "c"])
    assert_allclose(string.coef_, number.coef_[[1, 2, 0]], atol=1e-6)
    boolean = ProjectionFeatureSelector().fit(X, y == 1)
    assert_array_equal(boolean.classes_, [False, True])


@pytest.mark.parametrize(
    ("y", "is_labels"),
    [
        (np.repeat([0.0, 1.0, 2.0], 20), True),
        (np.arange(60.0), False),
        (np.repeat([0.5, 1.0, 2.0], 20), False),
        (np.repeat(np.arange(30), 2), True),
        (np.repeat(["a", "b"], 30), True),
        (np.arange(120).reshape(60, 2), False),
    ],
    ids=["few floats", "many floats", "fractions", "integers", "strings", "columns"],
)
def test_selector_chooses_the_loss(y, is_labels):
    """loss="auto" follows the documented rule."""
    X = np.random.default_rng(0).standard_normal((60, 4))
    selector = ProjectionFeatureSelector().fit(X, y)
    assert hasattr(selector, "classes_") == is_labels


def test_selector_class_weight_is_sample_weight():
    """A dict and "balanced" multiply the weights of the samples."""
    X, y = WINE
    weight = make_weights(len(y)) + 1.0
    class_weight = {0: 1.0, 1: 2.0, 2: 0.5}
    by_class = ProjectionFeatureSelector(class_weight=class_weight)
    by_class.fit(X, y, sample_weight=weight)
    by_sample = ProjectionFeatureSelector()
    by_sample.fit(X, y, sample_weight=weight * np.array([1.0, 2.0, 0.5])[y])
    assert_allclose(by_class.coef_, by_sample.coef_, rtol=1e-10)

    balanced = ProjectionFeatureSelector(class_weight="balanced").fit(X, y)
    counts = np.bincount(y)
    by_sample = ProjectionFeatureSelector().fit(X, y, sample_weight=1.0 / counts[y])
    assert_allclose(balanced.coef_, by_sample.coef_, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array, sparse.csc_matrix])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("data", [CANCER, WINE], ids=["binary", "multiclass"])
def test_selector_weights_are_repetitions(data, class_weight, container):
    """Weights count samples, and a weight of zero is an absent sample."""
    X, y = data
    if container is not np.asarray:
        X = np.where(X > np.median(X, axis=0), X, 0.0)
    # One class has no weight at all, and so is absent as well.
    y = np.where(np.arange(len(y)) % 7 == 0, 9, y)
    weight = make_weights(len(y)) * (y != 9)
    selector = ProjectionFeatureSelector(eta=2.0, class_weight=class_weight)
    weighted = clone(selector).fit(container(X), y, sample_weight=weight)
    repeats = weight.astype(int)
    repeated = selector.fit(
        container(np.repeat(X, repeats, axis=0)), np.repeat(y, repeats)
    )
    assert_array_equal(weighted.classes_, repeated.classes_)
    for name in ("coef_", "intercept_", "scores_"):
        assert_allclose(
            getattr(weighted, name), getattr(repeated, name), rtol=1e-7, atol=1e-9
        )


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("offset", "eta"), [(100.0, 60.0), (1000.0, 30.0)])
def test_selector_fits_more_features_than_samples(offset, eta, dtype):
    """Where the loss is nearly zero, and steps are as small as rounding errors."""
    X, y = make_classification(150, 200, n_informative=10, random_state=2)
    X += offset
    y = y * 3 + np.random.default_rng(1).integers(0, 2, 150)
    selector = ProjectionFeatureSelector(
        eta=eta, projection="bilevel_l11", max_iter=300
    ).fit(X.astype(dtype), y)
    logits = X @ selector.coef_.T + selector.intercept_
    assert np.mean(selector.classes_[logits.argmax(axis=1)] == y) > 0.95


@pytest.mark.parametrize("projection", ["l1inf", "bilevel_l1inf"])
def test_selector_keeps_the_dtype(projection):
    """float32 stays float32 and selects what float64 selects."""
    X, y = WINE
    double = ProjectionFeatureSelector(projection=projection).fit(X, y)
    single = ProjectionFeatureSelector(projection=projection)
    single.fit(X.astype(np.float32), y)
    assert single.coef_.dtype == single.intercept_.dtype == np.float32
    assert single.transform(X.astype(np.float32)).dtype == np.float32
    assert_array_equal(single.get_support(), double.get_support())
    assert_allclose(single.coef_, double.coef_, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("projection", ["l1inf", "bilevel_l1inf"])
@pytest.mark.parametrize("exponent", [-126, -70, 70, 110])
def test_selector_bears_all_that_float32_holds(exponent, projection, container):
    """Numbers like 1e-38 and 1e33 give what they give in float64."""
    X, y = WINE
    X = (StandardScaler().fit_transform(X) * 2.0**exponent).astype(np.float32)
    double = ProjectionFeatureSelector(projection=projection)
    double.fit(container(X.astype(np.float64)), y)
    single = ProjectionFeatureSelector(projection=projection).fit(container(X), y)
    assert single.coef_.dtype == np.float32
    assert_allclose(single.scores_, double.scores_, rtol=1e-6)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize(
    "model",
    [
        ProjectionFeatureSelector(),
        ProjectionFeatureSelector(n_features_to_select=3, projection="bilevel_l1inf"),
        ProjectionFeatureSelectorCV([0.2, 0.4], cv=2),
    ],
)
def test_selector_says_that_coefficients_overflow(model, container):
    """Those of data of 1e-40 are 1e40, and the data are neither NaN nor infinite."""
    original, y = WINE
    X = (StandardScaler().fit_transform(original) * 1e-40).astype(np.float32)
    with pytest.raises(ValueError, match=r"coefficients overflow float32.*rescale X"):
        clone(model).fit(container(X), y)
    with pytest.raises(ValueError, match=r"coefficients overflow float32.*rescale X"):
        eta_path(container(X), y)
    double = clone(model).fit(container(X.astype(np.float64)), y)
    assert 0 < double.get_support().sum() < 13
    # A column that is not needed does no harm.
    X = np.c_[np.random.default_rng(0).permutation(X[:, 0]), original]
    single = clone(model).fit(container(X.astype(np.float32)), y)
    assert single.get_support().any()
    assert not single.get_support()[0]


@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csc_array])
def test_selector_sparse_equals_dense(container):
    """Sparse data give the same model, and sparse selected columns."""
    X, y = WINE
    X = np.where(X > np.median(X, axis=0), X, 0.0)
    dense = ProjectionFeatureSelector().fit(X, y)
    thin = ProjectionFeatureSelector().fit(container(X), y)
    assert_allclose(thin.coef_, dense.coef_, rtol=1e-6, atol=1e-9)
    selected = thin.transform(container(X))
    assert sparse.issparse(selected)
    assert_array_equal(selected.toarray(), dense.transform(X))


@pytest.mark.parametrize("projection", ["l1inf", "bilevel_l1inf"])
def test_selector_does_not_depend_on_threads(projection):
    """One and two threads give the same bits."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 9000))
    y = X[:, :8].argmax(axis=1)
    one, two = (
        ProjectionFeatureSelector(projection=projection, eta=20.0, n_threads=n).fit(
            X, y
        )
        for n in (1, 2)
    )
    assert_array_equal(one.coef_, two.coef_)


def test_selector_takes_a_callable_projection():
    """The function of a ball is as good as its name, but has no certificate."""
    X, y = WINE
    named = ProjectionFeatureSelector(tol=1e-6).fit(X, y)
    called = ProjectionFeatureSelector(projection=projection_l1inf_ball, tol=1e-6)
    called.fit(X, y)
    assert_array_equal(called.get_support(), named.get_support())
    assert_allclose(called.coef_, named.coef_, rtol=1e-2, atol=1e-3)
    assert called.duality_gap_ > 0.1


def test_selector_leaves_the_global_generator_alone():
    """Nothing is random."""
    X, y = WINE
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    ProjectionFeatureSelector(n_features_to_select=3).fit(X, y)
    assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_selector_warns_if_not_converged():
    """The warning says what the gap is and what helps."""
    X, y = CANCER
    with pytest.warns(ConvergenceWarning, match=r"max_iter=3.*gap is.*Increase") as log:
        ProjectionFeatureSelector(eta=20.0, max_iter=3).fit(X, y)
    assert log[0].filename == __file__


def test_selector_warns_for_a_bilevel_projection_only_before_its_fixed_point():
    """The fixed point has a duality gap, which is not a failure; no fixed point is."""
    X, y = (array[:300] for array in load_digits(return_X_y=True))
    selector = ProjectionFeatureSelector(projection="bilevel_l1inf")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        selector.fit(X, y)
    assert selector.duality_gap_ > 10 * selector.tol
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        selector.set_params(max_iter=2).fit(X, y)


# ------------------------------------------------------------- n_features_to_select


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
    selector = ProjectionFeatureSelector()
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


# ---------------------------------------------------------------------- estimators


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
    model = LogisticRegression(max_iter=5000).fit(X, y)
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


# ----------------------------------------------------------------- scikit-learn


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


def test_selector_can_be_cloned_and_saved(tmp_path):
    """Clones keep the parameters; pickle and joblib keep the fit."""
    X, y = WINE
    selector = ProjectionFeatureSelector(eta=2.0, projection="bilevel_l12").fit(X, y)
    assert clone(selector).get_params() == selector.get_params()
    joblib.dump(selector, tmp_path / "selector.joblib")
    for loaded in (
        pickle.loads(pickle.dumps(selector)),
        joblib.load(tmp_path / "selector.joblib"),
    ):
        assert_array_equal(loaded.transform(X), selector.transform(X))


def test_selector_outputs_frames():
    """set_output and the names of the columns work together."""
    X, y = load_wine(return_X_y=True, as_frame=True)
    selector = ProjectionFeatureSelector(n_features_to_select=3)
    frame = selector.set_output(transform="pandas").fit_transform(X, y)
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == list(selector.get_feature_names_out())
    restored = selector.inverse_transform(frame.to_numpy())
    assert restored.shape == X.shape


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_selector_fits_a_read_only_memmap(dtype, tmp_path):
    """Data on disk are read, not written."""
    X, y = WINE
    joblib.dump(np.asfortranarray(X, dtype=dtype), tmp_path / "X")
    mapped = joblib.load(tmp_path / "X", mmap_mode="r")
    selector = ProjectionFeatureSelector().fit(mapped, y)
    expected = ProjectionFeatureSelector().fit(X.astype(dtype), y)
    assert_array_equal(selector.get_support(), expected.get_support())


def test_selector_forgets_earlier_fits():
    """A fit of another kind leaves no attribute behind."""
    X, y = WINE
    selector = ProjectionFeatureSelector().fit(X, y)
    assert not hasattr(selector.fit(X, X[:, 0]), "classes_")
    selector.set_params(estimator=LinearRegression()).fit(X, X[:, 0])
    assert not hasattr(selector, "coef_")


# ------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eta": 1.0, "n_features_to_select": 2}, r"eta and n_features_to_select"),
        ({"n_features_to_select": 14}, r"n_features_to_select=14 must not exceed .*13"),
        ({"n_features_to_select": 0}, r"The 'n_features_to_select' parameter"),
        ({"n_features_to_select": 1.5}, r"The 'n_features_to_select' parameter"),
        ({"eta": 0.0}, r"The 'eta' parameter"),
        ({"eta": -1.0}, r"The 'eta' parameter"),
        ({"eta": np.nan}, r"The 'eta' parameter"),
        ({"projection": "l2inf"}, r"The 'projection' parameter"),
        ({"loss": "hinge"}, r"The 'loss' parameter"),
        ({"n_threads": 0}, r"The 'n_threads' parameter"),
        ({"prefit": True}, r"prefit=True needs a fitted estimator"),
        ({"loss": "huber", "class_weight": "balanced"}, r"class_weight is for classi"),
        ({"class_weight": {0: 0.0}}, r"class_weight must be positive"),
        ({"estimator": "forest"}, r"The 'estimator' parameter"),
    ],
)
def test_selector_refuses_bad_parameters(options, message):
    """The message names the parameter."""
    X, y = WINE
    with pytest.raises((ValueError, TypeError), match=message):
        ProjectionFeatureSelector(**options).fit(X, y)


@pytest.mark.parametrize("estimator", [None, LogisticRegression()])
def test_selector_refuses_eta_with_k_before_any_work(estimator):
    """Not even the data are looked at."""
    selector = ProjectionFeatureSelector(estimator, eta=1.0, n_features_to_select=2)
    with pytest.raises(ValueError, match=r"eta=1.0 and n_features_to_select=2"):
        selector.fit("not data", None)


@pytest.mark.parametrize(
    ("y", "loss", "message"),
    [
        (np.zeros(178, dtype=int), "auto", r"one class only"),
        (np.linspace(0, 1, 178), "log_loss", r"continuous.*needs class labels"),
        (np.where(np.arange(178), 1.0, np.nan), "auto", r"Input y contains NaN"),
        (np.eye(178)[:, :2].astype(int), "log_loss", r"multilabel.*needs class labels"),
        (np.repeat(["a", "b"], 89), "huber", r"could not convert string"),
        (np.zeros(3), "auto", r"inconsistent numbers of samples"),
        (None, "auto", r"requires y to be passed"),
    ],
    ids=["one class", "floats", "NaN", "indicator", "strings", "short", "none"],
)
def test_selector_refuses_bad_targets(y, loss, message):
    """The message says what is wrong with y."""
    with pytest.raises(ValueError, match=message):
        ProjectionFeatureSelector(loss=loss).fit(WINE[0], y)


def test_selector_refuses_sparse_targets():
    """A sparse y is not taken for anything."""
    X, y = WINE
    with pytest.raises(TypeError, match=r"y must be dense"):
        ProjectionFeatureSelector().fit(X, sparse.csr_array(np.eye(3)[y]))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_selector_refuses_bad_data(container, bad):
    """NaN and infinity are found in dense and sparse data."""
    X, y = WINE
    X = X.copy()
    X[3, 2] = bad
    with pytest.raises(ValueError, match=r"Input X contains (NaN|infinity)"):
        ProjectionFeatureSelector().fit(container(X), y)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(3), r"sample_weight.shape"),
        (np.full(178, -1.0), r"Negative values"),
        (np.zeros(178), r"must contain at least one non-zero"),
        (np.full(178, np.nan), r"Input sample_weight contains NaN"),
        ((WINE[1] == 1).astype(float), r"one class only"),
    ],
    ids=["short", "negative", "zero", "NaN", "one class left"],
)
def test_selector_refuses_bad_weights(weight, message):
    """The message is about the weights, or what they leave."""
    X, y = WINE
    with pytest.raises(ValueError, match=message):
        ProjectionFeatureSelector().fit(X, y, sample_weight=weight)


def test_selector_refuses_parameters_for_no_estimator():
    """Nobody would take them."""
    X, y = WINE
    with pytest.raises(TypeError, match=r"unexpected arguments \['note'\]"):
        ProjectionFeatureSelector().fit(X, y, note="n")


def test_selector_refuses_an_unfitted_estimator():
    """prefit=True means what it says."""
    X, y = WINE
    selector = ProjectionFeatureSelector(LogisticRegression(), prefit=True)
    with pytest.raises(NotFittedError, match=r"prefit=True needs a fitted estimator"):
        selector.fit(X, y)


class Fixed(BaseEstimator):
    """Have the weights that it is given."""

    def __init__(self, weights=None):
        self.weights = weights

    def fit(self, X, y):
        """Take them for fitted."""
        self.coef_ = self.weights
        return self


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(12), r"n_features=13, got shape \(1, 12\)"),
        (np.ones((2, 2, 13)), r"got shape \(2, 2, 13\)"),
        (np.full(13, np.nan), r"contain NaN"),
    ],
)
def test_selector_refuses_bad_weights_of_an_estimator(weights, message):
    """Weights must fit the data and be finite."""
    with pytest.raises(ValueError, match=message):
        ProjectionFeatureSelector(Fixed(weights)).fit(*WINE)


@pytest.mark.parametrize("k", [None, 1, 0.5])
@pytest.mark.parametrize("kind", [np.asarray, pd.Series, list])
def test_selector_refuses_a_column_without_a_table(kind, k):
    """Also after a fit that knows the number of features."""
    selector = ProjectionFeatureSelector(LogisticRegression(), n_features_to_select=k)
    X, y = CANCER
    for estimator in (selector, clone(selector).fit(X[:, :1], y)):
        with pytest.raises(ValueError, match=r"X must have rows and columns: "):
            estimator.fit(kind(X[:, 0]), y)


def test_selector_refuses_an_estimator_without_weights():
    """The message says how to help."""
    with pytest.raises(ValueError, match=r"importance_getter"):
        ProjectionFeatureSelector(StandardScaler()).fit(*WINE)


@pytest.mark.parametrize("k", [None, 2])
@pytest.mark.parametrize("estimator", [None, Fixed(np.zeros(13))])
def test_selector_warns_if_nothing_is_selected(estimator, k):
    """Constant features, or an estimator without any weight, leave nothing."""
    X, y = np.ones_like(WINE[0]), WINE[1]
    selector = ProjectionFeatureSelector(estimator, n_features_to_select=k)
    with pytest.warns(UserWarning, match=r"No feature is selected") as log:
        selector.fit(X, y)
    assert log[0].filename == __file__
    assert not selector.get_support().any()


def test_selector_transform_needs_fit():
    """An unfitted selector says so."""
    with pytest.raises(NotFittedError):
        ProjectionFeatureSelector().transform(WINE[0])


def test_selector_keeps_its_state_when_a_later_fit_fails():
    """After an error the old selection still works; an unfitted one stays unfitted."""
    X, y = load_wine(return_X_y=True)
    selector = ProjectionFeatureSelector(n_features_to_select=2).fit(X, y)
    expected = selector.transform(X)
    with pytest.raises(ValueError, match="one class"):
        selector.fit(X[:, :3], np.zeros(len(X), dtype=int))
    assert selector.n_features_in_ == 13
    np.testing.assert_array_equal(selector.transform(X), expected)
    fresh = ProjectionFeatureSelector(loss="log_loss")
    with pytest.raises(ValueError, match="label"):
        fresh.fit(X, X[:, 0] + 0.5)
    assert not [name for name in vars(fresh) if name.endswith("_")]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_selector_never_keeps_constant_columns_of_sparse_data(dtype):
    """Whatever the rounding of the weighted moments, constant is constant."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 12))
    X = np.hstack([X, np.tile([0.1, 1e8 / 3, 7.3], (80, 1))]).astype(dtype)
    y = X[:, 0] + rng.standard_normal(80)
    for seed in range(10):
        weights = np.random.default_rng(seed).random(80)
        for container in (sparse.csr_array, sparse.csc_array):
            selector = ProjectionFeatureSelector(eta=1e3, max_iter=20)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                selector.fit(container(X), y, sample_weight=weights)
            assert not selector.get_support()[12:].any()


def test_selector_gives_the_same_for_sparse_float32_of_any_scale():
    """Moments are computed in float64, so small numbers are not constant."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 10))
    y = (X[:, 0] > 0).astype(int)
    expected = ProjectionFeatureSelector(eta=2.0).fit(X, y).get_support()
    for scale in (1e-25, 1e22):
        scaled = sparse.csr_matrix((X * scale).astype(np.float32))
        selector = ProjectionFeatureSelector(eta=2.0).fit(scaled, y)
        assert_array_equal(selector.get_support(), expected)


def test_selector_takes_weights_as_relative():
    """Sample and class weights near the largest float do not overflow."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 12))
    y = (X[:, 0] > 0).astype(int)
    expected = ProjectionFeatureSelector().fit(X, y).coef_
    huge = ProjectionFeatureSelector().fit(X, y, sample_weight=np.full(80, 1e307))
    assert_allclose(huge.coef_, expected, rtol=1e-9)
    huge = ProjectionFeatureSelector(class_weight={0: 1e308, 1: 1e308}).fit(X, y)
    assert_allclose(huge.coef_, expected, rtol=1e-9)


def test_selector_refuses_what_a_fitted_estimator_cannot_use():
    """Nothing is ignored in silence: weights, other names, weights that overflow."""
    frame, y = load_breast_cancer(return_X_y=True, as_frame=True)
    frame = (frame - frame.mean()) / frame.std()
    fitted = LogisticRegression().fit(frame, y)
    selector = ProjectionFeatureSelector(fitted, prefit=True)
    with pytest.raises(ValueError, match=r"prefit=True.*sample_weight"):
        selector.fit(frame, y, sample_weight=np.ones(len(y)))
    with pytest.raises(ValueError, match="feature names"):
        selector.fit(frame.iloc[:, ::-1], y)
    selector.set_params(
        importance_getter=lambda estimator: np.full(30, 1e308), n_features_to_select=3
    )
    with pytest.raises(ValueError, match="overflows"):
        selector.fit(frame, y)


@pytest.mark.parametrize(("fraction", "expected"), [(0.29, 29), (0.58, 58), (0.001, 1)])
def test_selector_rounds_a_fraction_of_the_features(fraction, expected):
    """0.29 of 100 is 29, although 0.29 * 100 is less in floating point."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((150, 100))
    y = X @ rng.standard_normal(100) + rng.standard_normal(150)
    selector = ProjectionFeatureSelector(n_features_to_select=fraction).fit(X, y)
    assert selector.get_support().sum() == expected
