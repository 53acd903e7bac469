"""Projections onto norm balls, proximity operators of norms, and the norms.

Most of the balls make single numbers or whole groups of them zero.
"""

from skproj.projection._bilevel import (
    projection_bilevel_l1inf_ball,
    projection_bilevel_l11_ball,
)
from skproj.projection._engine import Ball
from skproj.projection._hoyer import hoyer_sparsity, projection_hoyer
from skproj.projection._l1 import (
    norm_l11,
    projection_l1_ball,
    projection_simplex,
    prox_l1,
)
from skproj.projection._l1inf import (
    norm_l1inf,
    norm_linf1,
    projection_l1inf_ball,
    prox_l1inf,
    prox_linf1,
)
from skproj.projection._l2_linf import projection_l2_ball, projection_linf_ball
from skproj.projection._l12 import (
    norm_l12,
    norm_linf2,
    projection_bilevel_l12_ball,
    projection_l12_ball,
    prox_l12,
)
from skproj.projection._multilevel import norm_multilevel, projection_multilevel
from skproj.projection._norms import norm_l1, norm_l2, norm_linf
from skproj.projection._radius import radius_for_sparsity
from skproj.projection._registry import BALLS
from skproj.projection._weighted_l1 import projection_weighted_l1_ball

__all__ = [
    "BALLS",
    "Ball",
    "hoyer_sparsity",
    "norm_l1",
    "norm_l1inf",
    "norm_l2",
    "norm_l11",
    "norm_l12",
    "norm_linf",
    "norm_linf1",
    "norm_linf2",
    "norm_multilevel",
    "projection_bilevel_l1inf_ball",
    "projection_bilevel_l11_ball",
    "projection_bilevel_l12_ball",
    "projection_hoyer",
    "projection_l1_ball",
    "projection_l1inf_ball",
    "projection_l2_ball",
    "projection_l12_ball",
    "projection_linf_ball",
    "projection_multilevel",
    "projection_simplex",
    "projection_weighted_l1_ball",
    "prox_l1",
    "prox_l1inf",
    "prox_l12",
    "prox_linf1",
    "radius_for_sparsity",
]
