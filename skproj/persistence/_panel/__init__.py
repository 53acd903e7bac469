"""A fitted pipeline as a panel: few columns, and a model that needs only NumPy."""

from skproj.persistence._panel._export import (
    describe_panel,
    export_panel,
    feature_rows,
    panel_source,
)

__all__ = ["describe_panel", "export_panel", "feature_rows", "panel_source"]
