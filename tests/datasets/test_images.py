"""Images of parts and spectra of mixtures."""

import numpy as np
import pytest

from skproj.datasets import make_hyperspectral, make_part_images
from skproj.projection import hoyer_sparsity


def rank(X):
    return np.linalg.matrix_rank(X)


def test_images_are_sums_of_their_parts():
    X, parts = make_part_images(100, 12, shape=(15, 20), noise=0.0, random_state=0)
    assert X.shape == (100, 300)
    assert rank(X) == rank(np.vstack([X, parts])) == 12
    np.testing.assert_allclose(parts.max(axis=1), 1.0)
    assert (X >= 0.0).all()


def test_parts_are_connected_spots():
    """Rows and columns with pixels of a part follow one another; most have none."""
    _, parts = make_part_images(1, 30, random_state=0)
    assert hoyer_sparsity(parts, axis=1).min() > 0.5
    for part in parts.reshape(30, 19, 19):
        for axis in (0, 1):
            used = np.flatnonzero(part.any(axis=axis))
            assert np.ptp(used) + 1 == len(used) <= 9


def test_spectra_are_mixtures():
    X, endmembers, abundances = make_hyperspectral(300, 200, 4, noise=0, random_state=0)
    np.testing.assert_allclose(abundances.sum(axis=1), 1.0)
    np.testing.assert_allclose(X, abundances @ endmembers, atol=1e-15)
    assert rank(X) == 4
    # Most pixels consist of one or two materials.
    assert (np.sort(abundances, axis=1)[:, -2:].sum(axis=1) > 0.8).mean() > 0.8
    # And their spectra are smooth.
    assert np.abs(np.diff(endmembers, axis=1)).max() < 0.15


@pytest.mark.parametrize("make", [make_part_images, make_hyperspectral])
def test_noise_and_seed(make):
    clean = make(100, noise=0.0, random_state=0)[0]
    noisy = make(100, noise=0.1, random_state=0)[0]
    error = np.linalg.norm(noisy - clean) / np.linalg.norm(clean)
    # Less than the noise, of which negative sums are cut off.
    assert 0.05 < error < 0.1
    assert (noisy >= 0.0).all()
    np.testing.assert_array_equal(make(100, noise=0.1, random_state=0)[0], noisy)
    assert not np.array_equal(make(100, noise=0.1, random_state=1)[0], noisy)


@pytest.mark.parametrize(
    ("make", "arguments", "name"),
    [
        (make_part_images, {"n_samples": 0}, "n_samples"),
        (make_part_images, {"n_parts": 0}, "n_parts"),
        (make_part_images, {"shape": (19, 0)}, "width"),
        (make_part_images, {"noise": -1.0}, "noise"),
        (make_hyperspectral, {"n_samples": 0}, "n_samples"),
        (make_hyperspectral, {"n_bands": 0}, "n_bands"),
        (make_hyperspectral, {"n_endmembers": 0}, "n_endmembers"),
        (make_hyperspectral, {"noise": -0.1}, "noise"),
    ],
)
def test_bad_numbers_are_refused(make, arguments, name):
    with pytest.raises(ValueError, match=name):
        make(**arguments)
