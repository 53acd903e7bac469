"""SparseSupervisedAutoencoder: kinds of data, and errors."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from autoencoder_helpers import SMALL, assert_same_model, quick, scheduled, state_of
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.sparse import coo_array, csc_array, csr_array, csr_matrix, random_array

from skproj import SparseMLPClassifier, SparseSupervisedAutoencoderCV


def test_read_only_fortran_and_strided_input_work(wide):
    """Layouts that scikit-learn and joblib hand out train to the same weights."""
    X, y = wide
    expected = state_of(quick().fit(X, y))
    frozen = X.copy()
    frozen.setflags(write=False)
    wide_rows = np.repeat(X, 2, axis=0)[::2]
    for layout in (frozen, np.asfortranarray(X), wide_rows):
        for a, b in zip(state_of(quick().fit(layout, y)), expected, strict=True):
            assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"eta": -1.0}, "eta"),
        ({"eta": 0.0}, "eta"),
        ({"eta": np.nan}, "eta"),
        ({"projection": "l7"}, "projection"),
        ({"projection": "l2"}, "'projection' parameter"),  # it has no zeros
        ({"activation": "sine"}, "activation"),
        ({"schedule": "triple"}, "schedule"),
        ({"hidden_layer_sizes": (0,)}, "hidden_layer_sizes"),
        ({"hidden_layer_sizes": (2.5,)}, "hidden_layer_sizes"),
        ({"hidden_layer_sizes": [True]}, "hidden_layer_sizes"),
        ({"max_epochs": 0}, "max_epochs"),
        ({"input_noise": -0.1}, "input_noise"),
        ({"keep_fraction": 1.0}, "keep_fraction"),
        ({"keep_fraction": 0.0}, "keep_fraction"),
        ({"n_features_to_select": 0}, "n_features_to_select"),
        ({"n_features_to_select": 2.5}, "n_features_to_select"),
        ({"batch_size": "all"}, "batch_size"),
        ({"reconstruction_weight": -1.0}, "reconstruction_weight"),
        ({"input_noise": [1.0]}, "input_noise"),
        ({"calibrate": "yes"}, "calibrate"),
        ({"n_threads": 0}, "n_threads"),
        ({"device": "abacus"}, "device"),
        ({"device": "meta"}, "device"),
    ],
)
def test_bad_parameters_are_named(wide, params, message):
    """One clear error, before any training."""
    X, y = wide
    model = quick(**params)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    assert not hasattr(model, "module_")


def test_bad_data_is_refused(wide):
    """NaN, one class, one class of positive weight, wrong lengths."""
    X, y = wide
    holes = X.copy()
    holes[3, 4] = np.nan
    with pytest.raises(ValueError, match=r"X contains NaN[\s\S]*imputer"):
        quick().fit(holes, y)
    with pytest.raises(ValueError, match="two classes"):
        quick().fit(X, np.zeros(len(X), dtype=int))
    with pytest.raises(ValueError, match="two classes"):
        quick().fit(X, y, sample_weight=(y == "ill").astype(float))
    with pytest.raises(ValueError, match=r"Negative values.*sample_weight"):
        quick().fit(X, y, sample_weight=-np.ones(len(X)))
    with pytest.raises(ValueError, match="inconsistent"):
        quick().fit(X, y[:-1])
    with pytest.raises(ValueError, match="features"):
        quick().fit(X, y).predict(X[:, 1:])


def test_unscaled_data_that_diverges_says_so(wide):
    """The advice is in the message: scale X, or take smaller steps."""
    X, y = wide
    model = quick(schedule="double", reconstruction_weight=1.0, standardize=False)
    with pytest.raises(ValueError, match=r"diverged.*StandardScaler.*learning_rate"):
        model.fit(X * 1e30, y)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize(
    "model", [SparseSupervisedAutoencoderCV(standardize=False), SparseMLPClassifier()]
)
def test_columns_that_are_too_large_are_named(model, make):
    """Those that the network does not have may be of any size."""
    X = np.random.default_rng(0).standard_normal((20, 9))
    X[:, 1:8] *= 1e200
    with pytest.raises(
        ValueError, match="columns 1, 2, 3, 4, 5 and 2 more of X exceed"
    ):
        model.fit(make(X), X[:, 0] > 0.0)
    frame = pd.DataFrame(X[:, :2], columns=["a", "b"])
    with pytest.raises(ValueError, match="column 'b' of X exceed"):
        model.fit(frame, X[:, 0] > 0.0)
    model = quick(never_keep=["b"], input_noise=0.0)
    assert_array_equal(model.fit(frame, X[:, 0] > 0.0).get_support(), [True, False])


def test_failed_fit_leaves_the_model_as_it_was(wide):
    """After an error the old model still predicts; an unfitted one stays unfitted."""
    X, y = wide
    model = quick().fit(X, y)
    expected = model.predict_proba(X)
    with pytest.raises(ValueError, match="diverged"):
        model.set_params(**scheduled({"learning_rate_init": 1e38})).fit(X[:, :5], y)
    assert model.n_features_in_ == X.shape[1]
    assert_array_equal(model.predict_proba(X), expected)
    fresh = quick()
    with pytest.raises(ValueError, match="two classes"):
        fresh.fit(X, np.zeros(len(X)))
    assert not [name for name in vars(fresh) if name.endswith("_")]


@pytest.mark.parametrize(
    "class_weight",
    [{"healthy": 0, "ill": 1}, {"healthy": -1, "ill": 1}, {"healthy": np.nan}],
)
def test_bad_class_weight_is_named(wide, class_weight):
    """Weights that would break the training are refused before it."""
    X, y = wide
    with pytest.raises(ValueError, match="class_weight must be positive"):
        quick(class_weight=class_weight).fit(X, y)


def test_huge_weights_are_only_relative(wide):
    """The scale of the weights does not matter, even where sums would overflow."""
    X, y = wide
    X = X.astype(np.float64)
    for a, b in zip(
        state_of(quick().fit(X, y, sample_weight=np.full(len(X), 1e308))),
        state_of(quick().fit(X, y)),
        strict=True,
    ):
        assert_allclose(a, b, rtol=1e-9)


def test_values_beyond_the_precision_of_the_model_are_refused(wide):
    """A float32 network cannot see what only float64 holds."""
    X, y = wide
    with pytest.raises(ValueError, match="beyond the range"):
        quick().fit(X, y).predict(X.astype(np.float64) * 1e300)


@pytest.mark.parametrize("layout", [csr_array, csc_array, coo_array, csr_matrix])
def test_sparse_input_gives_the_model_of_dense_input(wide, layout):
    """The batches are the same numbers, so every bit is the same."""
    X, y = wide
    X = np.where(np.abs(X) > 1.0, X, 0.0)
    params = {"eta": 2.0, "calibrate": True, **SMALL}
    dense = quick(**params).fit(X, y)
    assert dense.n_selected_features_ < 50
    thin = quick(**params).fit(layout(X), y)
    assert_same_model(thin, dense, X)
    assert thin.temperature_ == dense.temperature_
    assert_array_equal(thin.predict_proba(layout(X)), dense.predict_proba(X))
    assert_array_equal(thin.transform(layout(X)), dense.transform(X))


def test_sparse_input_stays_sparse():
    """Neither a fit nor a prediction with all the columns makes it dense at once."""
    rng = np.random.default_rng(0)
    X = random_array((4000, 10000), density=1e-3, dtype=np.float32, rng=rng)
    y = rng.integers(0, 2, 4000)
    params = {"hidden_layer_sizes": (2,), "max_epochs": 1, "keep_fraction": 0.05}
    model = quick(n_features_to_select=5, calibrate=True, **params)
    whole = quick(eta=np.inf, schedule="single", **params)
    tracemalloc.start()
    for estimator in (model, whole):
        estimator.fit(X, y).predict(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert model.n_selected_features_ == 5
    assert peak < 0.5 * 4 * np.prod(X.shape)
