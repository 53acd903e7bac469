"""Autoencoders on data in blocks of rows, against the fit in memory."""

import numpy as np
import pytest
from autoencoder_helpers import SCHEDULES, assert_same_model, quick
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skproj import SparseSupervisedAutoencoderRegressor
from skproj.blocks import open_blocks
from skproj.nn import _block_input
from skproj.nn._training import _block_samples
from skproj.nn._training._samples import merge_duplicates

N_SAMPLES, N_FEATURES = 500, 24


@pytest.fixture
def nothing_in_memory(monkeypatch):
    """Let no data be few enough to be read into memory, but one window hold them."""
    monkeypatch.setattr(_block_input, "MEMORY_BYTES", 0)
    monkeypatch.setattr(_block_samples, "MEMORY_BYTES", 0)


@pytest.fixture
def small_windows(nothing_in_memory, monkeypatch):
    """Let a window hold a few batches."""
    monkeypatch.setattr(_block_samples, "WINDOW_BYTES", 15_000)


def make_data(is_sparse=False, dtype=np.float32, kind="classes", never=()):
    """Return distinct samples, in the order in which a fit in memory takes them.

    It depends on all features but those that the model never keeps.
    """
    rng = np.random.default_rng(5)
    X = rng.standard_normal((N_SAMPLES, N_FEATURES)).astype(dtype)
    if is_sparse:
        X[rng.random(X.shape) < 0.7] = 0.0
    signal = X[:, :3] @ rng.standard_normal((3, 3))
    labels = signal.argmax(axis=1)
    values = signal[:, 0] if kind == "values" else labels
    _, codes = np.unique(values, return_inverse=True)
    used = np.delete(X, never, axis=1)
    rows, _, _ = merge_duplicates(used, codes, np.ones(N_SAMPLES))
    assert len(rows) == N_SAMPLES
    y = values[rows] if kind == "values" else np.array(["a", "b", "c"])[labels[rows]]
    return (sparse.csr_array(X[rows]) if is_sparse else X[rows]), y


@pytest.mark.usefixtures("nothing_in_memory")
@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "csr"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_one_window_trains_as_in_memory(schedule, is_sparse):
    """With the same order of the samples, the network is the same to the bit."""
    X, y = make_data(is_sparse)
    options = {"schedule": schedule, "eta": 4.0, "batch_size": 32}
    memory = quick(**options).fit(X, y)
    blocks = quick(**options).fit(open_blocks(X, block_size=70), y)
    assert_same_model(memory, blocks, X)
    assert_array_equal(memory.classes_, blocks.classes_)
    assert memory.n_iter_ == blocks.n_iter_


@pytest.mark.usefixtures("nothing_in_memory")
@pytest.mark.parametrize(
    "options",
    [
        {"reconstruction_weight": 0.5},
        {"class_weight": "balanced"},
        {"always_keep": [7], "never_keep": [0, 20]},
        {"feature_groups": np.arange(N_FEATURES) // 4},
        {"n_features_to_select": 5},
        {"input_noise": 0.0},
        {"hidden_layer_sizes": (8, 4)},
    ],
    ids="-".join,
)
@pytest.mark.parametrize("schedule", ["consensus", "progressive"])
def test_blocks_know_the_parameters(schedule, options):
    X, y = make_data(never=options.get("never_keep", []))
    weights = np.random.default_rng(1).integers(1, 4, N_SAMPLES)
    options = {"schedule": schedule, "eta": 4.0} | options
    memory = quick(**options).fit(X, y, weights)
    blocks = quick(**options).fit(open_blocks(X, block_size=70), y, weights)
    assert_same_model(memory, blocks, X)


@pytest.mark.usefixtures("nothing_in_memory")
@pytest.mark.parametrize("loss", ["squared_error", "huber"])
def test_regression_in_one_window(loss):
    X, y = make_data(kind="values")
    options = {"loss": loss, "max_epochs": 4, "random_state": 0, "eta": 3.0}
    memory = SparseSupervisedAutoencoderRegressor(**options).fit(X, y)
    blocks = open_blocks(X, block_size=70)
    model = SparseSupervisedAutoencoderRegressor(**options).fit(blocks, y)
    assert_array_equal(model.encoder_weights_, memory.encoder_weights_)
    assert_allclose(model.predict(blocks), memory.predict(X), rtol=1e-4, atol=1e-6)
    assert_allclose(model.score(blocks, y), memory.score(X, y), rtol=1e-6)


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "csr"])
@pytest.mark.parametrize("schedule", ["consensus", "progressive"])
@pytest.mark.parametrize(
    "options", [{}, {"calibrate": True}, {"early_stopping": True}], ids="-".join
)
def test_the_block_size_changes_nothing(schedule, is_sparse, options):
    """The windows in which samples are shuffled do not depend on the blocks."""
    X, y = make_data(is_sparse)
    models = [
        quick(schedule=schedule, n_features_to_select=8, batch_size=16, **options).fit(
            open_blocks(X, block_size=size), y
        )
        for size in (1, 7, 170, N_SAMPLES)
    ]
    for model in models[1:]:
        assert_same_model(models[0], model, X)
        assert model.temperature_ == models[0].temperature_
    assert models[0].score(X, y) > 0.6
    assert models[0].n_selected_features_ == 8
