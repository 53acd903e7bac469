"""ProjectionFeatureSelector: the linear model."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from selector_helpers import CANCER, WINE, make_weights
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, RidgeClassifier
from sklearn.preprocessing import StandardScaler

from skproj import ProjectionFeatureSelector, ProjectionFeatureSelectorCV
from skproj.datasets import add_probes
from skproj.projection import projection_l1inf_ball
from skproj.projection._registry import SPARSIFYING

DIABETES = load_diabetes(return_X_y=True)


def make_multi_target():
    X, y = DIABETES
    return X, np.column_stack([y, X[:, 0] * 3.0 + y])


@pytest.mark.parametrize(
    ("data", "n_outputs"),
    [(CANCER, 1), (WINE, 3), (DIABETES, 1), (make_multi_target(), 2)],
    ids=["binary", "multiclass", "regression", "multi-target"],
)
def test_selector_attributes_have_documented_shapes(data, n_outputs):
    """The attributes agree with each other and with the data."""
    X, y = data
    selector = ProjectionFeatureSelector(eta=1.0).fit(X, y)
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
    X, _, is_probe = add_probes(X[::3], 200, random_state=0)
    selector = ProjectionFeatureSelector(n_features_to_select=15, projection=projection)
    support = selector.fit(X, y[::3]).get_support()
    assert support.sum() == 15
    assert not (support & is_probe).any()


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
        (np.repeat(np.arange(30), 3), True),
        (np.repeat(["a", "b"], 30), True),
        (np.arange(120).reshape(60, 2), False),
    ],
    ids=["few floats", "many floats", "fractions", "integers", "strings", "columns"],
)
def test_selector_chooses_the_loss(y, is_labels):
    """loss="auto" follows the documented rule."""
    X = np.random.default_rng(0).standard_normal((len(y), 4))
    selector = ProjectionFeatureSelector(eta=1.0).fit(X, y)
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
    double = ProjectionFeatureSelector(eta=1.0, projection=projection).fit(X, y)
    single = ProjectionFeatureSelector(eta=1.0, projection=projection)
    single.fit(X.astype(np.float32), y)
    assert single.coef_.dtype == single.intercept_.dtype == np.float32
    assert single.transform(X.astype(np.float32)).dtype == np.float32
    assert_array_equal(single.get_support(), double.get_support())
    assert_allclose(single.coef_, double.coef_, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("exponent", [-126, -70, 70, 110])
def test_selector_bears_all_that_float32_holds(exponent, container):
    """Numbers like 1e-38 and 1e33 give what they give in float64."""
    X, y = WINE
    X = (StandardScaler().fit_transform(X) * 2.0**exponent).astype(np.float32)
    for options in ({"projection": "l1inf"}, {"projection": "bilevel_l1inf", "eta": 1}):
        selector = ProjectionFeatureSelector(**options)
        expected = selector.fit(container(X.astype(np.float64)), y).scores_
        selector.fit(container(X), y)
        assert selector.coef_.dtype == np.float32
        assert_allclose(selector.scores_, expected, rtol=1e-6)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize(
    "model",
    [
        ProjectionFeatureSelector(),
        ProjectionFeatureSelector(n_features_to_select=3, projection="bilevel_l1inf"),
        ProjectionFeatureSelectorCV([0.2, 0.4], cv=2),
    ],
)
def test_coefficients_beyond_float32_are_in_float64(model, container):
    """Those of data of 1e-40 are 1e40, and the data are neither NaN nor infinite."""
    original, y = WINE
    X = (StandardScaler().fit_transform(original) * 1e-40).astype(np.float32)
    found = clone(model).fit(container(X), y)
    expected = clone(model).fit(container(X.astype(np.float64) * 1e40), y)
    assert found.coef_.dtype == np.float64
    assert_allclose(found.coef_ * 1e-40, expected.coef_, rtol=1e-5, atol=1e-6)
    assert_array_equal(found.get_support(), expected.get_support())
    # A column that is not needed does no harm.
    X = np.c_[np.random.default_rng(0).permutation(X[:, 0]), original]
    single = clone(model).fit(container(X.astype(np.float32)), y)
    assert single.coef_.dtype == np.float32
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
    model = RidgeClassifier().fit(X, y)
    one, two = (
        ProjectionFeatureSelector(
            model, projection=projection, eta=0.2, prefit=True, n_threads=n
        ).fit(X, y)
        for n in (1, 2)
    )
    assert 0 < one.get_support().sum() < 9000
    assert_array_equal(one.scores_, two.scores_)


def test_selector_takes_a_callable_projection():
    """The function of a ball is as good as its name, but has no certificate."""
    X, y = WINE
    params = {"eta": 1.0, "tol": 1e-6}
    named = ProjectionFeatureSelector(**params).fit(X, y)
    called = ProjectionFeatureSelector(projection=projection_l1inf_ball, **params)
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
    selector = ProjectionFeatureSelector(eta=2.0, projection="bilevel_l1inf")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        selector.fit(X, y)
    assert selector.duality_gap_ > 10 * selector.tol
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        selector.set_params(max_iter=2).fit(X, y)
