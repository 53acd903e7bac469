"""Groups of vectors, and checks, for the tests of the group sparse projection."""

import numpy as np
import pytest

from skproj.projection import (
    hoyer_sparsity,
)

N_INPUTS = 210  # ten of each family
# PyTorch prepares for its forward mode by a function that it has deprecated itself.
by_script_of_torch = pytest.mark.filterwarnings(
    "ignore:.torch.jit.script:DeprecationWarning"
)


def average(P, **kwargs):
    return np.nanmean(hoyer_sparsity(P, **kwargs))


X = np.arange(1.0, 13.0).reshape(4, 3)
