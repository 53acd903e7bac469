"""Temperatures of logits."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import softmax

from skproj.utils._calibration import fit_temperature


def make_logits(n_samples, temperature=1.0):
    """Return logits, and labels that are drawn at a temperature."""
    rng = np.random.default_rng(0)
    logits = 3.0 * rng.standard_normal((n_samples, 3))
    labels = [rng.choice(3, p=p) for p in softmax(logits / temperature, axis=1)]
    return logits, np.array(labels)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_of_the_labels_is_found(temperature):
    logits, labels = make_logits(20_000, temperature)
    found = fit_temperature(logits, labels, np.ones(len(labels)), len(labels))
    assert_allclose(found, temperature, rtol=0.1)


@pytest.mark.parametrize("n_samples", [30, 100, 1000])
def test_certainty_grows_with_the_samples(n_samples):
    """Of samples that are all right, one at most is in doubt."""
    logits = np.tile([4.0, -4.0], (n_samples, 1))
    labels, weight = np.zeros(n_samples, int), np.ones(n_samples)
    temperature = fit_temperature(logits, labels, weight, n_samples)
    doubt = softmax(logits[0] / temperature)[1]
    assert_allclose(doubt, 1.0 / max(100, n_samples), rtol=1e-2)


def test_weight_equals_repetition():
    logits, labels = make_logits(300)
    repeats = np.random.default_rng(1).integers(0, 4, len(labels))
    weighted = fit_temperature(logits, labels, repeats.astype(float), 300)
    repeated = np.repeat(logits, repeats, axis=0), np.repeat(labels, repeats)
    assert_allclose(weighted, fit_temperature(*repeated, np.ones(repeats.sum()), 300))


def test_class_that_is_not_known_has_no_part():
    logits, labels = make_logits(200)
    labels = np.minimum(labels, 1)
    unknown = logits.copy()
    unknown[:, 2] = -np.inf
    found = fit_temperature(unknown, labels, np.ones(200), 200)
    assert np.isfinite(found)
    assert 0.05 < found < 20.0
