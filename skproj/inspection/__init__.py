"""Plots of what a projection kept, as display objects that hold the numbers."""

from skproj.inspection._eta_path_display import EtaPathDisplay
from skproj.inspection._latent import LatentDisplay
from skproj.inspection._sparsity import SparsityDisplay
from skproj.inspection._support import SupportDisplay
from skproj.inspection._survival_curves import SurvivalCurvesDisplay
from skproj.inspection._weights import WeightsDisplay

__all__ = [
    "EtaPathDisplay",
    "LatentDisplay",
    "SparsityDisplay",
    "SupportDisplay",
    "SurvivalCurvesDisplay",
    "WeightsDisplay",
]
