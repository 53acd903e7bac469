"""Features that are standardised in the fit, and the number of features by default."""

import numpy as np
import pytest
from autoencoder_helpers import quick
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import StandardScaler

from skproj import (
    SparseSupervisedAutoencoder,
    SparseSupervisedAutoencoderCV,
    SparseSupervisedAutoencoderRegressor,
)
from skproj.blocks import open_blocks
from skproj.datasets import make_survival
from skproj.linear_model import _default_radius
from skproj.nn import _base_autoencoder
from skproj.nn._training import _block_samples

WINE, CANCER = load_wine(return_X_y=True), load_breast_cancer(return_X_y=True)
SMALL = {"max_epochs": 5, "random_state": 0}


@pytest.mark.parametrize("schedule", ["consensus", "double", "single"])
def test_fit_of_raw_features_is_that_of_scaled_ones(schedule):
    """All that is fitted is in the units of the table."""
    X, y = WINE
    scaler = StandardScaler().fit(X)
    Z = scaler.transform(X)
    raw = quick(eta=2.0, schedule=schedule).fit(X, y)
    scaled = quick(eta=2.0, schedule=schedule, standardize=False).fit(Z, y)
    assert_array_equal(raw.get_support(), scaled.get_support())
    assert_allclose(raw.feature_importances_, scaled.feature_importances_, rtol=1e-4)
    code = scaled.transform(Z)
    assert_allclose(raw.transform(X), code, rtol=1e-3, atol=1e-3)
    kept = raw.get_support()
    expected = scaler.inverse_transform(scaled.reconstruct(Z))[:, kept]
    for rebuilt in (raw.reconstruct(X), raw.inverse_transform(raw.transform(X))):
        assert np.abs((rebuilt[:, kept] - expected) / scaler.scale_[kept]).max() < 1e-2
    errors = raw.reconstruction_error_ / raw.feature_scale_**2
    assert_allclose(errors, scaled.reconstruction_error_, rtol=1e-2)
    weights = raw.encoder_weights_ * raw.feature_scale_
    assert_allclose(weights, scaled.encoder_weights_, rtol=1e-3, atol=1e-4)
    assert_allclose(raw.feature_mean_, X.mean(axis=0), rtol=1e-5)
    assert_allclose(raw.feature_scale_, X.std(axis=0), rtol=1e-6)
    assert scaled.feature_mean_ is scaled.feature_scale_ is None


def test_units_of_the_features_do_not_matter():
    """Also where entries are huge, tiny, or all the same, and for the search."""
    X, y = WINE
    units = 10.0 ** np.linspace(-90, 90, X.shape[1])
    others = np.column_stack([X * units, np.full(len(X), 7.0)])
    for model in (quick(eta=2.0), SparseSupervisedAutoencoderCV(cv=2, **SMALL)):
        expected = model.fit(X, y).score(X, y)
        assert model.fit(others, y).score(others, y) == pytest.approx(expected, abs=0.1)
        assert np.isfinite(model.reconstruct(others)).all()
    assert expected > 0.9


@pytest.mark.parametrize("schedule", ["consensus", "double"])
def test_sparse_data_and_blocks_give_the_fit_of_dense_data(monkeypatch, schedule):
    """They are centred when they become dense."""
    for module in (_base_autoencoder, _block_samples):
        monkeypatch.setattr(module, "MEMORY_BYTES", 0)
    rng = np.random.default_rng(0)
    X = rng.uniform(1.0, 2.0, (600, 20)) * (rng.random((600, 20)) < 0.1)
    X *= 10.0 ** np.linspace(-3, 3, 20)
    y = (X[:, 0] + X[:, 1] > 0).astype(int)
    model = quick(n_features_to_select=2, schedule=schedule, max_epochs=10)
    S = sparse.csr_array(X)
    for data in (X, S, open_blocks(S), open_blocks(X)):
        model.fit(data, y)
        assert_array_equal(model.get_support(indices=True), [0, 1])
        assert_allclose(model.feature_mean_, X.mean(axis=0), rtol=1e-5)
        assert_allclose(model.feature_scale_, X.std(axis=0), rtol=1e-5)
        assert model.score(X, y) > 0.95


def test_weights_of_samples_are_those_of_the_moments():
    X, y = WINE
    weight = np.random.default_rng(0).integers(0, 3, len(X))
    weighted = quick().fit(X, y, sample_weight=weight)
    repeated = quick().fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    assert_array_equal(weighted.feature_scale_, repeated.feature_scale_)
    assert_array_equal(weighted.transform(X), repeated.transform(X))


def test_partial_fit_keeps_the_first_units():
    """It goes on from the fitted network, which takes features as they are."""
    X, y = CANCER
    model = quick(eta=np.inf, max_epochs=20).fit(X, y)
    before, scale = model.transform(X), model.feature_scale_
    first_score = model.score(X, y)
    for part in np.array_split(np.arange(len(X)), 4):
        model.partial_fit(X[part], y[part])
    assert_array_equal(model.feature_scale_, scale)
    assert np.corrcoef(model.transform(X)[:, 0], before[:, 0])[0, 1] > 0.9
    assert model.score(X, y) > first_score - 0.05
    with pytest.raises(ValueError, match="standardize"):
        model.set_params(standardize=False).partial_fit(X, y)


@pytest.mark.parametrize(
    "model",
    [
        quick(n_features_to_select=5),
        SparseSupervisedAutoencoderCV(etas=[0.5], cv=2, **SMALL),
    ],
)
def test_compact_models_have_the_units_of_their_features(model):
    X, y = WINE
    compact, kept = model.fit(X, y).compact(), model.get_support()
    assert kept.sum() < X.shape[1]
    assert_array_equal(compact.feature_scale_, model.feature_scale_[kept])
    assert_array_equal(compact.transform(X[:, kept]), model.transform(X))


@pytest.mark.parametrize(
    ("model", "data", "least", "most"),
    [
        pytest.param(
            SparseSupervisedAutoencoder(random_state=0), WINE, 0.95, 11, id="wine"
        ),
        pytest.param(
            SparseSupervisedAutoencoder(random_state=0),
            CANCER,
            0.94,
            15,
            id="breast cancer",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            SparseSupervisedAutoencoderRegressor(random_state=0),
            load_diabetes(return_X_y=True),
            0.4,
            8,
            id="diabetes",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_defaults_select_and_predict(model, data, least, most):
    """Of tables as they come."""
    assert cross_val_score(model, *data).mean() > least
    assert 1 < model.fit(*data).n_selected_features_ <= most


@pytest.mark.slow
def test_default_finds_what_matters_and_no_more():
    """Of a regression on several targets, of survival times, and with groups."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 30))
    Y = X[:, :4] @ rng.standard_normal((4, 2))
    model = SparseSupervisedAutoencoderRegressor(**SMALL)
    assert_array_equal(model.fit(X, Y).get_support(indices=True), np.arange(4))
    model.set_params(always_keep=[29])
    assert_array_equal(model.fit(X, Y).get_support(indices=True), [0, 1, 2, 3, 29])
    model.set_params(always_keep=None, feature_groups=np.arange(30) // 2)
    assert_array_equal(model.fit(X, Y).get_support(indices=True), np.arange(4))
    data = make_survival(n_samples=400, n_features=30, n_informative=3, random_state=0)
    cox = SparseSupervisedAutoencoderRegressor(loss="cox", **SMALL)
    assert 2 <= cox.fit(data.data, data.target).n_selected_features_ <= 12


def test_noise_leaves_one_feature_and_a_warning():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((200, 20)), rng.integers(0, 2, 200)
    model = SparseSupervisedAutoencoder(**SMALL)
    with pytest.warns(UserWarning, match="No feature is known to matter") as log:
        model.fit(X, y)
    assert log[0].filename == __file__
    assert model.n_selected_features_ == 1
    X = np.column_stack([X, y])  # the first part says how many, the fit before goes on
    model = SparseSupervisedAutoencoder(**SMALL).partial_fit(X, y, classes=[0, 1])
    n_selected = model.n_selected_features_
    assert model.get_support()[20]
    assert n_selected <= 2
    assert model.partial_fit(X[:9], y[:9]).n_selected_features_ == n_selected


def test_squares_beyond_float32_are_errors_all_the_same():
    X, y = WINE
    X = (1e19 * X).astype(np.float32)
    model = quick(n_features_to_select=5).fit(X, y)
    errors = model.reconstruction_error_ / model.feature_scale_.astype(float) ** 2
    assert np.nanmax(errors) < 1.0


def test_a_failure_of_the_linear_model_is_named(monkeypatch):
    def refuse(*args, **kwargs):
        raise ValueError("the numbers are strange")

    monkeypatch.setattr(_default_radius, "make_problem", refuse)
    X = np.random.default_rng(0).normal(size=(30, 4))
    model = SparseSupervisedAutoencoder(max_epochs=1, random_state=0)
    message = "No linear model could choose .* n_features_to_select .* are strange"
    with pytest.warns(UserWarning, match=message):
        model.fit(X, X[:, 0] > 0)
    assert model.n_selected_features_ == 1
