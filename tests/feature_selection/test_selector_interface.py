"""ProjectionFeatureSelector: conventions of scikit-learn and errors."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from selector_helpers import CANCER, WINE
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.preprocessing import StandardScaler

from skproj import ProjectionFeatureSelector


def test_selector_forgets_earlier_fits():
    """A fit of another kind leaves no attribute behind."""
    X, y = WINE
    selector = ProjectionFeatureSelector().fit(X, y)
    assert not hasattr(selector.fit(X, X[:, 0]), "classes_")
    selector.set_params(estimator=LinearRegression()).fit(X, X[:, 0])
    assert not hasattr(selector, "coef_")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eta": 1.0, "n_features_to_select": 2}, r"eta and n_features_to_select"),
        ({"n_features_to_select": True}, r"must be a number of features, got True"),
        ({"n_features_to_select": 0}, r"The 'n_features_to_select' parameter"),
        ({"n_features_to_select": 1.5}, r"The 'n_features_to_select' parameter"),
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
        (
            np.eye(178)[:, :2] * 2,
            "log_loss",
            r"needs 0 and 1 in a y of several columns",
        ),
        (np.eye(178)[:, :2] + 2 * WINE[1][:, None], "log_loss", r"needs class labels"),
        (np.eye(178)[:, :2] > 2, "auto", r"each label, got one kind only in column 0"),
        (np.repeat(["a", "b"], 89), "huber", r"could not convert string"),
        (np.zeros(3), "auto", r"inconsistent numbers of samples"),
        (None, "auto", r"requires y to be passed"),
    ],
    ids=[
        "one class",
        "floats",
        "NaN",
        "twos",
        "classes",
        "constant label",
        "strings",
        "short",
        "none",
    ],
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


def test_class_weights_are_relative():
    """Class weights near the largest float do not overflow."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 12))
    y = (X[:, 0] > 0).astype(int)
    expected = ProjectionFeatureSelector().fit(X, y).coef_
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
