"""Helpers of the tests of the sparse perceptrons."""

from numpy.testing import assert_array_equal

from skproj import SparseMLPClassifier


def quick(cls=SparseMLPClassifier, **params):
    settings = {
        "hidden_layer_sizes": (20,),
        "target_sparsity": 0.7,
        "max_epochs": 30,
        "random_state": 0,
    }
    return cls(**{**settings, **params})


def assert_same_network(one, other):
    for name in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(one, name), getattr(other, name), strict=True):
            assert_array_equal(a, b)
