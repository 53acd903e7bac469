"""Nonnegative data that are sums of known parts: images and spectra."""

import numpy as np
from sklearn.utils import check_random_state

# Radii of the parts of an image, in shares of its longer side.
PART_RADII = 0.08, 0.22

# Widths of the peaks of a spectrum, in shares of all bands, and their number.
PEAK_WIDTHS = 0.03, 0.2
N_PEAKS = 6


def make_part_images(
    n_samples=2429, n_parts=49, *, shape=(19, 19), noise=0.05, random_state=None
):
    """Draw images that are sums of localised parts, and return them and the parts.

    They stand in for aligned photographs of faces, whose parts (eyes, mouth, shadows)
    are at the same places in all images; the default size is that of the CBCL faces. A
    part is an elliptic spot that fades towards its border. An image has about two
    thirds of the parts, with gamma-distributed coefficients. `noise` is the norm of the
    normal noise, relative to that of the images; negative pixels become 0.
    """
    random_state = check_random_state(random_state)
    rows, columns = np.indices(shape).reshape(2, 1, -1)
    # Centres are pixels, so that no part is empty.
    centres = random_state.randint(rows.size, size=n_parts)
    radii = max(shape) * random_state.uniform(*PART_RADII, size=(2, n_parts, 1))
    distances = sum(
        ((x - x[0, centres][:, np.newaxis]) / radius) ** 2
        for x, radius in zip((rows, columns), radii, strict=True)
    )
    parts = np.maximum(1.0 - distances, 0.0)
    size = n_samples, n_parts
    coefficients = random_state.gamma(2.0, size=size) * (
        random_state.rand(*size) < 2 / 3
    )
    return _add_noise(coefficients @ parts, noise, random_state), parts


def make_hyperspectral(
    n_samples=2500, n_bands=200, n_endmembers=5, *, noise=0.02, random_state=None
):
    """Draw spectra of mixtures, and return them, the endmembers and the abundances.

    The linear mixing model of hyperspectral images: the spectrum of a pixel is the mean
    of the spectra of the materials in it, the endmembers, weighted by their abundances,
    whose Dirichlet distribution gives most pixels one or two materials. An endmember is
    a sum of peaks, with largest entry 1. `noise` as in `make_part_images`.
    """
    random_state = check_random_state(random_state)
    bands = np.linspace(0.0, 1.0, n_bands)
    size = n_endmembers, N_PEAKS, 1
    centres = random_state.uniform(size=size)
    widths = random_state.uniform(*PEAK_WIDTHS, size=size)
    heights = random_state.uniform(0.2, 1.0, size=size)
    peaks = heights * np.exp(-0.5 * ((bands - centres) / widths) ** 2)
    endmembers = peaks.sum(axis=1)
    endmembers /= endmembers.max(axis=1, keepdims=True)
    abundances = random_state.dirichlet(np.full(n_endmembers, 0.3), size=n_samples)
    X = _add_noise(abundances @ endmembers, noise, random_state)
    return X, endmembers, abundances


def _add_noise(X, noise, random_state):
    """Add noise whose norm is a share of that of X, and cut off what is negative."""
    error = random_state.normal(size=X.shape)
    scale = noise * np.linalg.norm(X) / np.linalg.norm(error)
    return np.maximum(X + scale * error, 0.0)
