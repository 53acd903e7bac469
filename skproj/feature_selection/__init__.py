"""Feature selection by projection onto a ball."""

from skproj.feature_selection._projection_selector import ProjectionFeatureSelector
from skproj.feature_selection._projection_selector_cv import (
    ProjectionFeatureSelectorCV,
)
from skproj.feature_selection._radius_path import eta_path
from skproj.feature_selection._stability_selector import StabilitySelector

__all__ = [
    "ProjectionFeatureSelector",
    "ProjectionFeatureSelectorCV",
    "StabilitySelector",
    "eta_path",
]
