"""Callbacks of a fit, for `set_callbacks` of estimators."""

from skproj.callback._progress import CompactProgressBar

__all__ = ["CompactProgressBar"]
