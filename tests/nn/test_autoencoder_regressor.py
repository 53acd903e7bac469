"""SparseSupervisedAutoencoderRegressor: targets of every shape and scale, streams."""

import pickle
import tracemalloc

import numpy as np
import pytest
from autoencoder_helpers import scheduled
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import make_regression
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skproj import SparseSupervisedAutoencoderRegressor


def regression(n_targets=1):
    """Four informative columns among 40; their numbers are returned as well."""
    X, y, coef = make_regression(
        n_samples=300,
        n_features=40,
        n_informative=4,
        n_targets=n_targets,
        noise=5.0,
        coef=True,
        random_state=0,
    )
    informative = np.flatnonzero(coef.reshape(40, -1).any(axis=1))
    return StandardScaler().fit_transform(X), y, informative


def quick(**params):
    quick_ones = {"hidden_layer_sizes": (20,), "max_epochs": 3, "random_state": 0}
    return SparseSupervisedAutoencoderRegressor(
        **scheduled({**quick_ones, "eta": 3.0, **params})
    )


@pytest.mark.parametrize("n_targets", [1, 3])
def test_informative_columns_are_found_and_predict(n_targets):
    """The true columns are selected and explain new samples."""
    X, y, informative = regression(n_targets)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    model = SparseSupervisedAutoencoderRegressor(
        n_features_to_select=4, random_state=0
    ).fit(X_train, y_train)
    assert_array_equal(model.get_support(indices=True), informative)
    assert model.score(X_test, y_test) > 0.9
    assert model.n_outputs_ == n_targets
    assert model.transform(X_test).shape == (len(X_test), n_targets)


def test_predictions_have_the_shape_of_the_targets():
    """One dimension, one column and several columns come back as they came."""
    X, y, _ = regression(3)
    flat, column, several = (quick().fit(X, t) for t in (y[:, 0], y[:, :1], y))
    assert flat.predict(X).shape == (300,)
    assert column.predict(X).shape == (300, 1)
    assert several.predict(X).shape == (300, 3)
    assert_array_equal(flat.predict(X), column.predict(X).ravel())
    assert flat.get_feature_names_out().shape == (1,)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_scale_and_shift_of_the_targets_pass_through(scale):
    """The network sees standardised targets, so only rounding may differ."""
    X, y, _ = regression()
    expected = quick().fit(X, y)
    model = quick().fit(X, scale * (y + 10.0))
    assert_array_equal(model.get_support(), expected.get_support())
    assert_allclose(
        model.predict(X) / scale - 10.0, expected.predict(X), rtol=1e-5, atol=1e-4
    )
    assert_allclose(model.target_mean_, scale * (np.mean(y) + 10.0))
    assert_allclose(model.target_scale_, scale * np.std(y))


def test_huber_loss_resists_outliers():
    """A few absurd targets spoil the squared error, not the Huber loss."""
    X, y, _ = regression()
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    spoilt = y_train.copy()
    spoilt[::15] += 3000.0
    params = {"n_features_to_select": 8, "max_epochs": 20}
    squared, huber = (
        np.median(
            np.abs(
                quick(loss=loss, **params).fit(X_train, spoilt).predict(X_test) - y_test
            )
        )
        for loss in ("squared_error", "huber")
    )
    assert huber < 0.6 * squared


@pytest.mark.parametrize("schedule", ["consensus", "double"])
def test_constant_target_is_predicted(schedule):
    """Nothing to learn and nothing to divide by."""
    X, _, _ = regression()
    for value in (0.0, 0.1, -1e9):
        model = quick(max_epochs=20, schedule=schedule).fit(X, np.full(len(X), value))
        assert_allclose(model.target_mean_, value)
        assert np.abs(model.predict(X) - value).max() < 0.2
    both = (
        quick(max_epochs=20, schedule=schedule)
        .fit(X, np.c_[X[:, 0], np.full(len(X), 7.0)])
        .predict(X)
    )
    assert r2_score(X[:, 0], both[:, 0]) > 0.3


def test_integer_weights_equal_repeated_samples_in_any_order():
    """Also with several targets, small batches and held-back samples."""
    X, y, _ = regression(2)
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 3, len(X))
    weighted = quick(schedule="double").fit(X, y, sample_weight=weights)
    rows = rng.permutation(np.repeat(np.arange(len(X)), weights))
    repeated = quick(schedule="double").fit(X[rows], y[rows])
    assert_allclose(weighted.target_mean_, repeated.target_mean_)
    assert_array_equal(weighted.get_support(), repeated.get_support())
    assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-6, atol=1e-6)
    plain = quick(schedule="double").fit(X, y)
    assert not np.allclose(weighted.predict(X), plain.predict(X), rtol=1e-3)


def test_equal_samples_with_different_targets_stay_apart():
    """They are merged only where the targets are equal, too."""
    X, y, _ = regression()
    doubled, targets = np.r_[X, X], np.r_[y, y + 50.0]
    model = quick(eta=np.inf, max_epochs=30).fit(doubled, targets)
    assert_allclose(model.target_mean_, y.mean() + 25.0)
    assert np.mean(model.predict(X) - y) == pytest.approx(25.0, abs=5.0)


def test_partial_fit_learns_from_a_stream():
    """Parts of the data, a falling radius, no growing memory, in the first units."""
    X, y, informative = regression()
    X = X.astype(np.float32)
    model = quick(input_noise=0.3)
    parts = np.array_split(np.random.default_rng(0).permutation(len(X)), 6)
    peaks, etas = [], np.geomspace(3.0, 0.3, 20)
    for eta in etas:
        model.set_params(eta=eta)
        if eta in (3.0, etas[-1]):
            tracemalloc.start()
        for rows in parts:
            model.partial_fit(X[rows], y[rows])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert np.sum(model.get_support()[informative]) >= 3
    assert model.n_selected_features_ < 20
    assert model.score(X, y) > 0.8
    assert_allclose(model.target_mean_, y[parts[0]].mean())
    assert model.predict(X).dtype == np.float32
    assert peaks[-1] < peaks[0] + X.nbytes


@pytest.mark.parametrize(("schedule", "eta"), [("consensus", np.inf), ("double", 3.0)])
def test_partial_fit_continues_and_refuses(schedule, eta):
    """After a fit, after a pickle, without samples of weight zero; bad targets."""
    X, y, _ = regression(2)
    model = quick(max_epochs=20, schedule=schedule).fit(X, y).set_params(eta=eta)
    mean, score = model.target_mean_, model.score(X, y)
    model.set_params(**scheduled({"learning_rate_init": 1e-6}))
    model.partial_fit(X[:9], y[:9] + 100.0)
    assert_array_equal(model.target_mean_, mean)
    assert model.score(X, y) == pytest.approx(score, abs=0.1)
    model.set_params(schedule=schedule)
    copied = pickle.loads(pickle.dumps(model))
    absent = np.arange(len(X)) % 2
    model.partial_fit(X, y, sample_weight=absent)
    copied.partial_fit(X[1::2], y[1::2])
    assert_array_equal(model.predict(X), copied.predict(X))
    with pytest.raises(ValueError, match="y has 1 targets, but 2 were expected"):
        model.partial_fit(X, y[:, 0])
    with pytest.raises(ValueError, match="40 features"):
        model.partial_fit(X[:, 1:], y)
    assert_array_equal(model.predict(X), copied.predict(X))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"loss": "l7"}, "loss"),
        ({"n_features_to_select": True}, "n_features_to_select must .* got True"),
    ],
)
def test_bad_parameters_are_named(params, message):
    """Before any training."""
    X, y, _ = regression()
    model = quick(**params)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    assert not hasattr(model, "module_")


def test_bad_targets_are_refused():
    """Text and NaN are no targets."""
    X, y, _ = regression()
    with pytest.raises(ValueError, match="could not convert string"):
        quick().fit(X, np.where(y > 0, "high", "low"))
    with pytest.raises(ValueError, match="y contains NaN"):
        quick().fit(X, np.where(y > 0, np.nan, y))


def test_targets_at_the_ends_of_the_floats():
    """Squares of targets may overflow and underflow, targets themselves may not."""
    X, y, _ = regression()
    expected = quick().fit(X, y).predict(X)
    for scale in (1e200, 1e-200):
        assert_allclose(quick().fit(X, y * scale).predict(X) / scale, expected)
    with pytest.raises(ValueError, match="y is too large for the precision of X"):
        quick().fit(X.astype(np.float32), y * 1e100)
