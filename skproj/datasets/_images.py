"""Nonnegative data that are sums of known parts: images and spectra."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state, check_scalar

from skproj._typing import Integer, Number, RandomState
from skproj.utils._docs import shared_docs

# Radii of the parts of an image, in shares of its longer side.
PART_RADII = 0.08, 0.22

# Widths of the peaks of a spectrum, in shares of all bands, and their number.
PEAK_WIDTHS = 0.03, 0.2
N_PEAKS = 6

DOCS = {
    "seed_and_returns": """
    random_state : int, RandomState instance or None, default=None
        Seed of all random numbers.

    Returns
    -------
    """,
    "errors_and_see_also": """
    Raises
    ------
    ValueError
        If a number is out of its range.

    See Also
    --------
    """,
}


def _check_positive(**numbers):
    for name, value in numbers.items():
        check_scalar(value, name, (int, np.integer), min_val=1)


def _add_noise(X, noise, random_state):
    """Add noise whose norm is a share of that of X, and cut off what is negative."""
    check_scalar(noise, "noise", (int, float, np.floating), min_val=0.0)
    error = random_state.normal(size=X.shape)
    scale = noise * np.linalg.norm(X) / np.linalg.norm(error)
    return np.maximum(X + scale * error, 0.0)


@shared_docs(**DOCS)
def make_part_images(
    n_samples: Integer = 2429,
    n_parts: Integer = 49,
    *,
    shape: tuple[int, int] = (19, 19),
    noise: Number = 0.05,
    random_state: RandomState = None,
) -> Any:
    """Draw images that are sums of localised parts.

    They stand in for aligned photographs of faces, whose parts (eyes, mouth, shadows)
    are at the same places in all images. The default size is that of the CBCL faces,
    with which sparse factorisations are compared; the data are synthetic.

    Parameters
    ----------
    n_samples : int, default=2429
        Number of images.
    n_parts : int, default=49
        Number of parts. Each is an elliptic spot, which fades towards its border.
    shape : tuple of two ints, default=(19, 19)
        Height and width of the images.
    noise : float, default=0.05
        Norm of the normal noise, relative to that of the images without noise. Negative
        pixels become 0.
    {seed_and_returns}
    X : ndarray of shape (n_samples, height * width)
        The images, one in each row. Of its parts an image has about two thirds, with
        gamma-distributed coefficients.
    parts : ndarray of shape (n_parts, height * width)
        The parts, with largest entry 1.

    {errors_and_see_also}
    make_hyperspectral : Spectra of mixed materials.

    Examples
    --------
    >>> from skproj.datasets import make_part_images
    >>> X, parts = make_part_images(200, 10, random_state=0)
    >>> X.shape, parts.shape
    ((200, 361), (10, 361))
    >>> bool((parts == 0.0).mean() > 0.7)
    True
    """
    height, width = shape
    _check_positive(n_samples=n_samples, n_parts=n_parts, height=height, width=width)
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


@shared_docs(**DOCS)
def make_hyperspectral(
    n_samples: Integer = 2500,
    n_bands: Integer = 200,
    n_endmembers: Integer = 5,
    *,
    noise: Number = 0.02,
    random_state: RandomState = None,
) -> Any:
    """Draw spectra of pixels that are mixtures of few materials.

    The linear mixing model of hyperspectral images: the spectrum of a pixel is the mean
    of the spectra of the materials in it, the endmembers, weighted by their abundances.

    Parameters
    ----------
    n_samples : int, default=2500
        Number of pixels.
    n_bands : int, default=200
        Number of bands of a spectrum.
    n_endmembers : int, default=5
        Number of materials.
    noise : float, default=0.02
        Norm of the normal noise, relative to that of the spectra without noise.
        Negative entries become 0.
    {seed_and_returns}
    X : ndarray of shape (n_samples, n_bands)
        Spectra of the pixels.
    endmembers : ndarray of shape (n_endmembers, n_bands)
        Spectra of the materials, sums of peaks, with largest entry 1.
    abundances : ndarray of shape (n_samples, n_endmembers)
        Shares of the materials in each pixel, which sum to 1. They have a Dirichlet
        distribution in which most pixels have one or two materials.

    {errors_and_see_also}
    make_part_images : Images of localised parts.

    Examples
    --------
    >>> from skproj.datasets import make_hyperspectral
    >>> X, endmembers, abundances = make_hyperspectral(100, random_state=0)
    >>> X.shape, endmembers.shape
    ((100, 200), (5, 200))
    >>> bool(abs(abundances.sum(axis=1) - 1.0).max() < 1e-12)
    True
    """
    _check_positive(n_samples=n_samples, n_bands=n_bands, n_endmembers=n_endmembers)
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
