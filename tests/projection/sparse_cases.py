"""Sparse matrices for the tests of projections."""

import pytest
from scipy import sparse

from skproj import projection
from skproj.projection import BALLS

NORMS = [
    getattr(projection, name)
    for name in projection.__all__
    if name.startswith("norm_") and name != "norm_multilevel"
]
PROXES = [
    getattr(projection, name) for name in projection.__all__ if name.startswith("prox_")
]
FORMATS = ["csr", "csc", "coo", "bsr", "lil", "dok", "dia"]
KINDS = {"matrix": sparse.coo_matrix, "array": sparse.coo_array}
each_ball = pytest.mark.parametrize("ball", BALLS.values(), ids=BALLS)
each_format = pytest.mark.parametrize("format", FORMATS)
