"""Structured sparsity by projection, compatible with scikit-learn."""

import importlib
from typing import TYPE_CHECKING, Any

from skproj._version import __version__

if TYPE_CHECKING:  # for type checkers, which do not see what is resolved on first use
    from skproj.decomposition import GroupSparseNMF as GroupSparseNMF
    from skproj.feature_selection import (
        ProjectionFeatureSelector as ProjectionFeatureSelector,
    )
    from skproj.feature_selection import (
        ProjectionFeatureSelectorCV as ProjectionFeatureSelectorCV,
    )
    from skproj.feature_selection import (
        StabilitySelector as StabilitySelector,
    )
    from skproj.nn import (
        SparseMLPClassifier as SparseMLPClassifier,
    )
    from skproj.nn import (
        SparseMLPRegressor as SparseMLPRegressor,
    )
    from skproj.nn import (
        SparseSupervisedAutoencoder as SparseSupervisedAutoencoder,
    )
    from skproj.nn import (
        SparseSupervisedAutoencoderCV as SparseSupervisedAutoencoderCV,
    )
    from skproj.nn import (
        SparseSupervisedAutoencoderRegressor as SparseSupervisedAutoencoderRegressor,
    )
    from skproj.utils._versions import show_versions as show_versions

# Resolved on first use: PyTorch alone takes seconds to import.
_LAZY = {
    "GroupSparseNMF": "skproj.decomposition",
    "ProjectionFeatureSelector": "skproj.feature_selection",
    "ProjectionFeatureSelectorCV": "skproj.feature_selection",
    "SparseMLPClassifier": "skproj.nn",
    "SparseMLPRegressor": "skproj.nn",
    "SparseSupervisedAutoencoder": "skproj.nn",
    "SparseSupervisedAutoencoderCV": "skproj.nn",
    "SparseSupervisedAutoencoderRegressor": "skproj.nn",
    "StabilitySelector": "skproj.feature_selection",
    "show_versions": "skproj.utils._versions",
}
_SUBPACKAGES = (
    "anndata",
    "blocks",
    "callback",
    "datasets",
    "decomposition",
    "feature_selection",
    "inspection",
    "linear_model",
    "metrics",
    "nn",
    "persistence",
    "projection",
)

__all__ = ["__version__", *_LAZY, *_SUBPACKAGES]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in _SUBPACKAGES:
        return importlib.import_module(f"skproj.{name}")
    raise AttributeError(f"module 'skproj' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
