"""Projections onto balls that make whole groups of numbers zero, and their norms."""

from skproj.projection._bilevel import (
    projection_bilevel_l1inf_ball,
    projection_bilevel_l11_ball,
    projection_bilevel_l12_ball,
)
from skproj.projection._l1 import projection_l1_ball, projection_simplex
from skproj.projection._l1inf import projection_l1inf_ball
from skproj.projection._l12 import projection_l12_ball
from skproj.projection._norms import norm_l1inf, norm_l11, norm_l12, norm_linf1
from skproj.projection._registry import BALLS, Ball

__all__ = [
    "BALLS",
    "Ball",
    "norm_l1inf",
    "norm_l11",
    "norm_l12",
    "norm_linf1",
    "projection_bilevel_l1inf_ball",
    "projection_bilevel_l11_ball",
    "projection_bilevel_l12_ball",
    "projection_l1_ball",
    "projection_l1inf_ball",
    "projection_l12_ball",
    "projection_simplex",
]
