"""Scores of predicted survival."""

from skproj.metrics._survival import (
    concordance_index_censored,
    concordance_index_ipcw,
    integrated_brier_score,
)

__all__ = [
    "concordance_index_censored",
    "concordance_index_ipcw",
    "integrated_brier_score",
]
