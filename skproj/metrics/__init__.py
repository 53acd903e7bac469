"""Survival times: scores of predictions, and estimates of the probability."""

from skproj.metrics._survival import (
    concordance_index_censored,
    concordance_index_ipcw,
    integrated_brier_score,
    kaplan_meier_estimator,
)

__all__ = [
    "concordance_index_censored",
    "concordance_index_ipcw",
    "integrated_brier_score",
    "kaplan_meier_estimator",
]
