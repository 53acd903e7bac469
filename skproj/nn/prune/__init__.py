"""Zeros and dead units of networks, and their removal.

The functions read the masks of `torch.nn.utils.prune`.
"""

from skproj.nn.prune._layers import prunable_parameters
from skproj.nn.prune._shrink import ShrinkReport, shrink
from skproj.nn.prune._sparsity_report import SparsityReport, sparsity_report

__all__ = [
    "ShrinkReport",
    "SparsityReport",
    "prunable_parameters",
    "shrink",
    "sparsity_report",
]
