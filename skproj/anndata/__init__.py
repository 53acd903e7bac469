"""Genes that tell groups of cells apart, for AnnData objects."""

from skproj.anndata._results import plot_selected, selected_df
from skproj.anndata._select import select_features

__all__ = ["plot_selected", "select_features", "selected_df"]
