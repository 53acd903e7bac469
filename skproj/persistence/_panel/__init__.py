"""A fitted pipeline as a panel: few columns, and a model that needs only NumPy."""

from skproj.persistence._panel._export import (
    describe_panel,
    export_panel,
    feature_rows,
    needed_features,
    panel_source,
)
from skproj.persistence._panel._features import NotTraceable, places_of

__all__ = [
    "NotTraceable",
    "describe_panel",
    "export_panel",
    "feature_rows",
    "needed_features",
    "panel_source",
    "places_of",
]
