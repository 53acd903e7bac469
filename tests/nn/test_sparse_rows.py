"""Batches that stay sparse, against dense ones."""

import numpy as np
import pytest
import torch
from autoencoder_helpers import quick
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skproj.blocks import open_blocks
from skproj.nn import _base_autoencoder
from skproj.nn._training import _block_samples, _coordinates, _sparse_rows
from skproj.nn._training._measured_blocks import measure
from skproj.nn._training._noise import NoiseSource
from skproj.nn._training._optimizers import Adam
from skproj.nn._training._sparse_rows import SparseRows, column_major

N_SAMPLES, N_FEATURES = 500, 40


def make_matrix():
    """Return a CSR matrix with few nonzeros, and classes that it tells apart."""
    rng = np.random.default_rng(0)
    options = {"density": 0.1, "format": "csr", "dtype": np.float32, "rng": rng}
    X = sparse.random_array((N_SAMPLES, N_FEATURES), **options)
    signal = X[:, :6].toarray() @ rng.standard_normal((6, 3))
    return X, signal.argmax(axis=1)


def make_rows(X, centred=False):
    """Return sparse rows that two groups see, the second one fewer columns of."""
    factors = np.linspace(1.0, 2.0, N_FEATURES, dtype=np.float32)
    columns = [np.arange(N_FEATURES, dtype=np.int32), np.array([1, 5, 30], np.int32)]
    shift = np.zeros(N_FEATURES, dtype=np.float32)
    shift[:3] = 0.5, -2.0, 0.1
    shifts = (None, shift) if centred else (None, None)
    parts = [
        (part, factors[: len(part)], subtracted)
        for part, subtracted in zip(columns, shifts, strict=True)
    ]
    dense = torch.zeros((2, *X.shape))
    for (part, scale, subtracted), seen in zip(parts, dense, strict=True):
        seen[:, : len(part)] = torch.from_numpy(X.toarray()[:, part] * scale)
        if subtracted is not None:
            seen -= torch.from_numpy(subtracted)
    return SparseRows(X, parts, N_FEATURES), dense


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
def test_products_are_those_of_the_dense_batch(index_dtype, centred):
    X, _ = make_matrix()
    X.indices, X.indptr = X.indices.astype(index_dtype), X.indptr.astype(index_dtype)
    rows, dense = make_rows(X, centred)
    assert rows.shape == dense.shape
    generator = torch.Generator().manual_seed(0)
    W = torch.randn(2, 7, N_FEATURES, generator=generator)
    Z = torch.randn(2, 7, N_SAMPLES, generator=generator)
    for weight in (W, column_major(W)):
        product = weight @ rows.mT
        torch.testing.assert_close(product, W @ dense.mT)
        assert product.is_contiguous()
    gradient = Z @ rows
    torch.testing.assert_close(gradient, Z @ dense)
    assert gradient.stride() == column_major(W).stride()


@pytest.mark.parametrize("kept", [slice(0, 0), slice(2, 2)])
def test_rows_without_entries(kept):
    X, _ = make_matrix()
    X.data[:] = 0.0
    X.eliminate_zeros()
    columns = np.arange(N_FEATURES, dtype=np.int32)[kept]
    rows = SparseRows(X, [(columns, columns, None)], 4)
    assert not (torch.ones(1, 3, 4) @ rows.mT).any()
    assert not (torch.ones(1, 3, N_SAMPLES) @ rows).any()


def test_batches_of_rows_keep_the_noise():
    X, _ = make_matrix()
    rows, dense = make_rows(X)
    generator = torch.Generator()
    source = NoiseSource()
    source.add_(rows, 0.5, generator)
    parts = list(rows.split(200))
    assert [part.shape[1] for part in parts] == [200, 200, 100]
    assert all(part.noise == (source, 0.5, generator) for part in parts)
    W = torch.ones(2, 3, N_FEATURES)
    products = [W @ part.mT for part in parts]
    torch.testing.assert_close(torch.cat(products, dim=2), W @ dense.mT)
    (whole,) = rows.split(N_SAMPLES)
    assert whole is rows


def test_adam_does_not_depend_on_the_order_of_the_memory():
    generator = torch.Generator().manual_seed(0)
    W, *gradients = torch.randn(4, 1, 5, 9, generator=generator)
    results = []
    for order in (torch.nn.Parameter, column_major):
        weight, bias = order(W.clone()), torch.nn.Parameter(torch.ones(3))
        optimizer = Adam([weight, bias], 0.1, 0.01)
        for gradient in gradients:
            weight.grad, bias.grad = order(gradient).detach(), torch.ones(3)
            optimizer.step()
        results.append([weight.detach(), bias.detach()])
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=0)
    assert not torch.equal(results[0][0], W)


@pytest.fixture
def few_in_memory(monkeypatch):
    """Let a window hold some batches, and read no blocks into memory."""
    monkeypatch.setattr(_base_autoencoder, "MEMORY_BYTES", 0)
    monkeypatch.setattr(_block_samples, "MEMORY_BYTES", 0)
    monkeypatch.setattr(_block_samples, "WINDOW_BYTES", 8_000)


@pytest.mark.usefixtures("few_in_memory")
@pytest.mark.parametrize(("batch_size", "calibrate"), [(32, False), ("auto", True)])
def test_sparse_batches_train_the_network_of_dense_ones(
    batch_size, calibrate, monkeypatch
):
    """Without noise; the block size changes nothing at all."""
    X, y = make_matrix()
    seen = []

    class CountedRows(SparseRows):
        def __init__(self, *args):
            seen.append(args)
            super().__init__(*args)

    monkeypatch.setattr(_coordinates, "SparseRows", CountedRows)
    options = {"input_noise": 0.0, "n_features_to_select": 8, "batch_size": batch_size}
    options["calibrate"] = calibrate
    models = [
        quick(**options).fit(open_blocks(X, block_size=size), y) for size in (60, 90)
    ]
    assert seen
    assert_array_equal(models[0].encoder_weights_, models[1].encoder_weights_)
    seen.clear()
    monkeypatch.setattr(_sparse_rows, "MAX_DENSITY", 0.0)
    dense = quick(**options).fit(open_blocks(X, block_size=60), y)
    assert not seen
    assert_array_equal(models[0].get_support(), dense.get_support())
    assert_allclose(models[0].encoder_weights_, dense.encoder_weights_, atol=1e-4)
    assert_allclose(models[0].predict_proba(X), dense.predict_proba(X), atol=1e-4)
    assert dense.score(X, y) > 0.8


@pytest.mark.usefixtures("few_in_memory")
@pytest.mark.parametrize(
    "options",
    [
        {"hidden_layer_sizes": (10, 5)},
        {"activation": "gelu"},
        {"activation": "identity"},
    ],
    ids="-".join,
)
def test_batches_become_dense_where_more_than_products_needs_them(options, monkeypatch):
    X, y = make_matrix()

    def fail(*args, **kwargs):
        raise AssertionError("a batch stayed sparse")

    monkeypatch.setattr(_coordinates, "SparseRows", fail)
    quick(max_epochs=1, **options).fit(open_blocks(X), y)


@pytest.mark.parametrize(
    ("n_samples", "options", "expected"),
    [
        (500, {}, 83),
        (12_000, {}, 128),
        (60_000, {}, 600),
        (1_000_000, {}, 2048),
        (60_000, {"batch_size": 32}, 32),
        (60_000, {"schedule": "single"}, 128),
        (60_000, {"hidden_layer_sizes": (10, 5)}, 128),
        (60_000, {"hidden_layer_sizes": ()}, 128),
        (60_000, {"activation": "gelu"}, 128),
        (60_000, {"activation": "identity"}, 128),
        (60_000, {"activation": "relu"}, 600),
        (60_000, {"device": "cuda"}, 128),
    ],
)
def test_batches_that_stay_sparse_are_larger_for_many_samples(
    n_samples, options, expected, monkeypatch
):
    """No device is needed to tell whether there are sparse batches on it."""
    monkeypatch.setattr(_base_autoencoder, "resolve_device", torch.device)
    X, _ = make_matrix()
    model = quick(**{"device": "cpu"} | options)
    assert model._batch_size(measure(open_blocks(X)), n_samples) == expected
    assert model._batch_size(X, n_samples) == min(expected, 128)
    full = open_blocks(np.ones((3, 4)))
    assert model._batch_size(measure(full), n_samples) == min(expected, 128)
