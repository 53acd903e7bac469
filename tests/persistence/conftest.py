"""Data and models that several test modules use."""

import pytest
from persistence_helpers import CASES, X
from sklearn.base import clone

from skproj.nn._training import _network


@pytest.fixture(scope="module")
def fitted():
    """Return a function that fits a case once."""
    models = {}

    def fit(case):
        if case not in models:
            model, y = CASES[case]
            with pytest.MonkeyPatch.context() as patch:
                # Small networks get sparse layers as large ones do.
                patch.setattr(_network, "SPARSE_DENSITY", 0.9)
                models[case] = clone(model).fit(X.abs(), y)
        return models[case]

    return fit
