"""Feature selection by projection onto a ball."""

from skproj.feature_selection._projection_selector import ProjectionFeatureSelector

__all__ = ["ProjectionFeatureSelector"]
