"""Coordinates of the samples in a stage of the consensus schedule."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from skproj.nn._training import _coordinates
from skproj.nn._training._coordinates import StackedSamples, fit_coordinates
from skproj.nn._training._samples import Samples

SHAPES = [(12, 30), (40, 9), (10, 10)]


def samples_of(X, rows=None):
    """Return samples of an array, or of a CSR matrix."""
    rows = np.arange(X.shape[0]) if rows is None else rows
    return Samples(
        torch.from_numpy(X) if isinstance(X, np.ndarray) else X,
        y=torch.from_numpy(rows % 2),
        weight=torch.from_numpy(np.ones(len(rows), dtype=X.dtype)),
        rows=torch.from_numpy(rows),
    )


def random_problem(shape):
    """Return an array, some of its columns, and factors."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((shape[0], shape[1] + 5))
    columns = np.sort(rng.permutation(shape[1] + 5)[: shape[1]])
    return X, columns, rng.uniform(0.1, 2.0, shape[1] + 5)


def fitted(X, columns, prior, *, rotate=True, rows=None):
    rows = np.arange(X.shape[0]) if rows is None else rows
    return fit_coordinates(samples_of(X), rows, columns, prior, rotate=rotate)


@pytest.mark.parametrize("rotate", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_coordinates_keep_the_geometry_of_the_samples(shape, rotate):
    """Inner products are those of the scaled features, in an orthonormal basis."""
    X, columns, prior = random_problem(shape)
    coordinates = fitted(X, columns, prior, rotate=rotate)
    T = coordinates.of_samples(samples_of(X), torch.arange(len(X)))
    scaled = X[:, columns] * coordinates.factors.numpy()
    torch.testing.assert_close(T @ T.T, torch.from_numpy(scaled @ scaled.T))
    if rotate:
        assert coordinates.size == T.shape[1] == min(shape)
        basis = coordinates.basis
        torch.testing.assert_close(
            basis.T @ basis, torch.eye(coordinates.size, dtype=torch.float64)
        )
    else:
        assert coordinates.basis is None
        assert coordinates.size == shape[1]


@pytest.mark.parametrize("shape", SHAPES)
def test_factors_have_the_ratios_of_the_prior(shape):
    """Their scale makes the rows as long as the number of coordinates asks for."""
    X, columns, prior = random_problem(shape)
    factors = fitted(X, columns, prior).factors.numpy()
    np.testing.assert_allclose(factors / factors[0], prior[columns] / prior[columns[0]])
    assert np.mean(factors**2) == pytest.approx(min(shape) / shape[1])


@pytest.mark.parametrize("rotate", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_weights_of_coordinates_and_features_are_the_same_maps(shape, rotate):
    """Back and forth, for matrices and biases, and applied to samples."""
    X, columns, prior = random_problem(shape)
    coordinates = fitted(X, columns, prior, rotate=rotate)
    T = coordinates.of_samples(samples_of(X), torch.arange(len(X)))
    weight = torch.from_numpy(
        np.random.default_rng(1).standard_normal((3, coordinates.size))
    )
    of_features = coordinates.features_of_encoder(weight)
    assert of_features.shape == (3, shape[1])
    torch.testing.assert_close(coordinates.encoder_of_features(of_features), weight)
    kept = torch.from_numpy(X[:, columns])
    torch.testing.assert_close(kept @ of_features.T, T @ weight.T)


def test_new_samples_are_projected_onto_the_span():
    """Samples that did not span the coordinates lose what is orthogonal to it."""
    X, columns, prior = random_problem((12, 30))
    coordinates = fitted(X, columns, prior, rows=np.arange(8))
    assert coordinates.size == 8
    T = coordinates.of_samples(samples_of(X), torch.arange(12))
    features = T @ coordinates.basis.T / coordinates.factors
    kept = torch.from_numpy(X[:, columns])
    torch.testing.assert_close(features[:8], kept[:8])
    assert not torch.allclose(features[8:], kept[8:])
    again = features * coordinates.factors @ coordinates.basis
    torch.testing.assert_close(again, T)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_directions_of_rounding_errors_are_left_out(shape, dtype):
    """Rows that occur twice, and columns that do, span nothing new."""
    X, columns, prior = random_problem(shape)
    X = X.astype(dtype)
    assert fitted(np.r_[X, X], columns, prior).size == min(shape)
    prior, n = np.ones(3 * X.shape[1]), X.shape[1]
    twice = fitted(np.c_[X, X, X], np.arange(3 * n), prior)
    assert twice.size == min(X.shape)
    assert twice.basis.dtype == torch.from_numpy(X).dtype


@pytest.mark.parametrize("shape", SHAPES)
def test_columns_of_zeros_span_nothing(shape):
    """Some of them, all of them, or no columns at all."""
    X, columns, prior = random_problem(shape)
    X[:, columns[:4]] = 0.0
    some = fitted(X, columns, prior)
    assert some.size == min(shape[0], shape[1] - 4)
    assert some.basis[:4].abs().max() < 1e-12
    index = torch.arange(len(X))
    nothing = fitted(0.0 * X, columns, prior)
    assert nothing.size == 0
    assert nothing.of_samples(samples_of(X), index).shape == (len(X), 0)
    assert not nothing.features_of_encoder(torch.ones(3, 0).double()).any()
    none = np.arange(0)
    for layout in (X, csr_array(X)):
        without = fitted(layout, none, prior)
        assert without.size == 0
        assert without.of_samples(samples_of(layout), index).shape == (len(X), 0)
        assert without.features_of_encoder(torch.ones(3, 0).double()).shape == (3, 0)


def test_blocks_of_columns_change_rounding_only(monkeypatch):
    """Inner products are sums over blocks of columns."""
    X, columns, prior = random_problem((12, 30))
    index = torch.arange(12)
    whole = fitted(X, columns, prior).of_samples(samples_of(X), index)
    monkeypatch.setattr(_coordinates, "BLOCK_COLUMNS", 7)
    blocks = fitted(X, columns, prior).of_samples(samples_of(X), index)
    torch.testing.assert_close(whole @ whole.T, blocks @ blocks.T)


@pytest.mark.parametrize("rotate", [False, True])
@pytest.mark.parametrize("layout", [np.asarray, csr_array])
def test_groups_see_their_own_coordinates(monkeypatch, layout, rotate):
    """One below the other, filled up with zeros, at once or batch by batch."""
    X, _, prior = random_problem((12, 30))
    X = layout(np.where(np.abs(X) > 0.5, X, 0.0))
    samples = samples_of(X)
    coordinates = [
        fit_coordinates(samples, np.arange(12), columns, prior, rotate=rotate)
        for columns in (np.arange(20), np.array([3, 8]), np.arange(0))
    ]
    weight = torch.arange(36.0).reshape(3, 12).double()
    index = torch.tensor([5, 0, 11])
    results = []
    for limit in (1 << 24, 1):
        monkeypatch.setattr(_coordinates, "MAX_STACK_ENTRIES", limit)
        stacked = StackedSamples(samples, weight, coordinates, n_networks=2)
        results.append(stacked.batch(index))
    assert len(stacked) == 12
    assert stacked.width == coordinates[0].size == (12 if rotate else 20)
    for found in results:
        T, y, weights = found
        for group, part in enumerate(coordinates):
            own = part.of_samples(samples, index)
            torch.testing.assert_close(T[group, :, : part.size], own)
            assert not T[group, :, part.size :].any()
        assert y.shape == (6, 3)
        assert torch.equal(y[5], samples.y[index])
        assert torch.equal(weights[2:4], weight[[1, 1]][:, index])
    parts = list(stacked.split(results[0], 2))
    assert [part[0].shape[1] for part in parts] == [2, 1]
    assert torch.equal(torch.cat([part[2] for part in parts], dim=1), weights)
