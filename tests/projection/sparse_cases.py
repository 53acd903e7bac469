"""Sparse matrices for the tests of projections."""

import pytest
from scipy import sparse

from skproj.projection import (
    BALLS,
    norm_l1,
    norm_l1inf,
    norm_l2,
    norm_l11,
    norm_l12,
    norm_linf,
    norm_linf1,
    norm_linf2,
    prox_l1,
    prox_l1inf,
    prox_l12,
    prox_linf1,
)

NORMS = [
    norm_l1,
    norm_l2,
    norm_linf,
    norm_l11,
    norm_l12,
    norm_l1inf,
    norm_linf1,
    norm_linf2,
]
PROXES = [prox_l1, prox_l12, prox_l1inf, prox_linf1]
FORMATS = ["csr", "csc", "coo", "bsr", "lil", "dok", "dia"]
KINDS = {"matrix": sparse.coo_matrix, "array": sparse.coo_array}
each_ball = pytest.mark.parametrize("ball", BALLS.values(), ids=BALLS)
each_format = pytest.mark.parametrize("format", FORMATS)
