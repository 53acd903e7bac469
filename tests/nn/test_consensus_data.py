"""The consensus schedule: kinds of data, and hardly any data."""

import warnings

import numpy as np
import pytest
from autoencoder_helpers import scheduled
from consensus_helpers import FEW, MANY, SMALL, assert_alike, planted, quick
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array

from skproj import SparseSupervisedAutoencoderRegressor


@pytest.mark.parametrize("n_samples", [FEW, MANY])
def test_decoder_rebuilds_correlated_features(n_samples):
    """From as many latent numbers as there are factors behind the features."""
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((n_samples, 3))
    X = factors @ rng.standard_normal((3, 12))
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    y = factors.argmax(axis=1)
    params = {"input_noise": 0.1, "max_epochs": 20}
    model = quick(n_features_to_select=8, hidden_layer_sizes=(32,), **params)
    model.fit(X, y)
    support, rebuilt = model.get_support(), model.reconstruct(X)
    assert rebuilt.shape == X.shape
    assert not rebuilt[:, ~support].any()
    errors = np.mean((rebuilt - X)[:, support] ** 2, axis=0)
    assert errors.mean() < 0.2
    assert_allclose(model.reconstruction_error_[support], errors)
    assert np.isnan(model.reconstruction_error_[~support]).all()
    assert_allclose(model.inverse_transform(model.transform(X)), rebuilt)
    compact = model.compact()
    assert_allclose(compact.reconstruct(X[:, support]), rebuilt[:, support])


@pytest.mark.parametrize("n_features", [30, 100])
@pytest.mark.parametrize("n_samples", [FEW, MANY])
def test_sparse_rows_in_any_order_and_weights(n_samples, n_features):
    """Storage and order do not matter, and weights are repetition."""
    X, y = planted(n_samples, n_features)
    X = np.where(np.abs(X) > 0.3, X, 0.0)
    rng = np.random.default_rng(0)
    params = {"n_features_to_select": 5, "class_weight": "balanced"}
    expected = quick(**params).fit(X, y)
    close = {"rtol": 1e-6, "atol": 1e-9}
    assert_alike(quick(**params).fit(csr_array(X), y), expected, X, **close)
    order = rng.permutation(n_samples)
    assert_alike(quick(**params).fit(X[order], y[order]), expected, X, **close)
    weight = rng.integers(1, 4, n_samples)
    weight[::9] = 0
    rows = rng.permutation(np.repeat(np.arange(n_samples), weight))
    # Samples without weight do not count where 400 of them would.
    weighted = quick(**params).fit(X, y, sample_weight=weight)
    repeated = quick(**params).fit(X[rows], y[rows])
    assert_alike(weighted, repeated, X, **close)
    assert not np.allclose(weighted.predict_proba(X), expected.predict_proba(X))


def lonely_class(X, y):
    return X, np.where(np.arange(len(y)) == 7, "rare", y)


def some_constant(X, y):
    X = X.copy()
    X[:, 3:] = 0.0
    return X, y


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lonely_class, 3),
        (some_constant, 2),
        (lambda X, y: (X[:, :1], y), 1),
        (lambda X, y: (X[:2, :5], y[:2]), 2),
        (lambda X, y: (X[:3], y[:3]), 2),
        (lambda X, y: (np.c_[X, X], y), 6),
        (lambda X, y: (1e-8 * X, y), 3),
    ],
    ids=["lonely", "constant", "feature", "two", "three", "twins", "tiny"],
)
@pytest.mark.parametrize("n_samples", [FEW, MANY])
def test_hardly_any_data(n_samples, change, wanted):
    """One sample of a class, one feature, two samples, features that say nothing."""
    X, y = change(*planted(n_samples))
    model = quick(n_features_to_select=wanted).fit(X, y)
    assert model.n_selected_features_ == wanted
    assert np.isfinite(model.predict_proba(X)).all()
    assert_array_equal(model.classes_, np.unique(y))
    if change is some_constant:
        assert np.all(model.get_support(indices=True) < 3)


@pytest.mark.parametrize("value", [0.0, 3.0])
@pytest.mark.parametrize("n_samples", [FEW, MANY])
def test_features_that_are_all_constant(n_samples, value):
    """A warning at most; the prediction is one and the same."""
    _, y = planted(n_samples)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Only 0 features|No feature")
        model = quick(n_features_to_select=3).fit(np.full((n_samples, 9), value), y)
    assert model.n_selected_features_ in (0, 3)
    assert len(np.unique(model.predict(np.full((5, 9), value)))) == 1


@pytest.mark.parametrize("n_samples", [FEW, MANY])
def test_targets_of_a_regression(n_samples):
    """Several of them, and constant ones."""
    X, _ = planted(n_samples, 100)
    rng = np.random.default_rng(0)
    y = np.c_[X[:, 4] + X[:, 9], X[:, 4], np.full(n_samples, 7.0)]
    y[:, :2] += 0.1 * rng.standard_normal((n_samples, 2))
    params = scheduled({"n_features_to_select": 2, **SMALL})
    model = SparseSupervisedAutoencoderRegressor(**params).fit(X, y)
    assert_array_equal(model.get_support(indices=True), [4, 9])
    errors = np.mean((model.predict(X) - y) ** 2, axis=0)
    assert np.all(errors[:2] < 0.4 * y[:, :2].var(axis=0))
    assert errors[2] < 0.04


@pytest.mark.parametrize("column", [lambda x: 1e6 * x, lambda x: 1e4 + x])
def test_one_column_without_scale_does_not_hide_the_others(column):
    """Beside its variance, those of the others are no rounding errors."""
    X, y = planted(FEW)
    X = np.c_[X, column(X[:, 5])]
    assert quick(n_features_to_select=4).fit(X, y).score(X, y) > 0.9


@pytest.mark.parametrize("weight", [None, [1.0, 0.0, 0.0, 0.0], [1.0] + 3 * [1e-300]])
def test_one_sample_is_left(weight):
    """Equal ones are merged, those without weight left out; no part has any then."""
    X = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    X = np.ones_like(X) if weight is None else X
    model = SparseSupervisedAutoencoderRegressor((3,), eta=np.inf, random_state=0)
    with pytest.warns(UserWarning, match="The features are constant"):
        model.fit(X, np.full(4, 2.0), sample_weight=weight)
    assert_allclose(model.predict(X), 2.0, atol=0.5)
