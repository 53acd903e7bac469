"""Data of the tests of GroupSparseNMF."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def dense():
    """Data that no sparse factors describe well, so that constraints bind."""
    return np.random.default_rng(0).random((60, 40))
