"""Helpers of the tests of the consensus schedule."""

import numpy as np
from autoencoder_helpers import scheduled
from numpy.testing import assert_allclose, assert_array_equal

from skproj import SparseSupervisedAutoencoder
from skproj.nn._training._consensus import FEW_SAMPLES, FEW_SAMPLES_PER_FEATURE

FEW, MANY = 60, FEW_SAMPLES + 10
WIDE = int(MANY / FEW_SAMPLES_PER_FEATURE) + 1  # features of which MANY are few samples
SMALL = {"hidden_layer_sizes": (16,), "max_epochs": 4, "random_state": 0}
SMALL |= {"learning_rate_init": 0.03}


def planted(n_samples, n_features=30, seed=0):
    """Return two classes; the first three features tell them apart."""
    rng = np.random.default_rng(seed)
    y = np.arange(n_samples) % 2
    X = rng.standard_normal((n_samples, n_features))
    X[:, :3] += 2.0 * y[:, np.newaxis]
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    return X, np.array(["healthy", "ill"])[y]


def quick(**params):
    """Return a small model that takes few and large steps."""
    return SparseSupervisedAutoencoder(**scheduled({**SMALL, **params}))


def assert_alike(one, other, X, **tolerance):
    """Selection and predictions agree."""
    assert_array_equal(one.get_support(), other.get_support())
    assert_allclose(one.predict_proba(X), other.predict_proba(X), **tolerance)
    assert_allclose(one.feature_importances_, other.feature_importances_, **tolerance)
