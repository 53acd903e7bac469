"""Fitted estimators and weights of networks as files that are safe to read."""

from skproj.persistence._estimators import dump, load
from skproj.persistence._panel import export_panel
from skproj.persistence._weights import export_weights, load_weights

__all__ = ["dump", "export_panel", "export_weights", "load", "load_weights"]
