"""Projections of PyTorch tensors, with gradients.

The functions have the names of those in `skproj.projection`, with `dim` for `axis`;
`projection_n_of_m` is for tensors only.
Those whose names end in an underscore write into their argument.
"""

from skproj.nn.functional._balls import (
    projection_bilevel_l1inf_ball,
    projection_bilevel_l1inf_ball_,
    projection_bilevel_l11_ball,
    projection_bilevel_l11_ball_,
    projection_bilevel_l12_ball,
    projection_bilevel_l12_ball_,
    projection_l1_ball,
    projection_l1_ball_,
    projection_l1inf_ball,
    projection_l1inf_ball_,
    projection_l2_ball,
    projection_l2_ball_,
    projection_l12_ball,
    projection_l12_ball_,
    projection_linf_ball,
    projection_linf_ball_,
    projection_multilevel,
    projection_multilevel_,
    projection_simplex,
    projection_simplex_,
    projection_weighted_l1_ball,
    projection_weighted_l1_ball_,
)
from skproj.nn.functional._hoyer import (
    hoyer_sparsity,
    projection_hoyer,
    projection_hoyer_,
)
from skproj.nn.functional._n_of_m import projection_n_of_m

__all__ = [
    "hoyer_sparsity",
    "projection_bilevel_l1inf_ball",
    "projection_bilevel_l1inf_ball_",
    "projection_bilevel_l11_ball",
    "projection_bilevel_l11_ball_",
    "projection_bilevel_l12_ball",
    "projection_bilevel_l12_ball_",
    "projection_hoyer",
    "projection_hoyer_",
    "projection_l1_ball",
    "projection_l1_ball_",
    "projection_l1inf_ball",
    "projection_l1inf_ball_",
    "projection_l2_ball",
    "projection_l2_ball_",
    "projection_l12_ball",
    "projection_l12_ball_",
    "projection_linf_ball",
    "projection_linf_ball_",
    "projection_multilevel",
    "projection_multilevel_",
    "projection_n_of_m",
    "projection_simplex",
    "projection_simplex_",
    "projection_weighted_l1_ball",
    "projection_weighted_l1_ball_",
]
