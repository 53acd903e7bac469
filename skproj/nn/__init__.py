"""Estimators that train networks with PyTorch, and projections for networks."""

from skproj.nn import functional
from skproj.nn._autoencoder import SparseSupervisedAutoencoder
from skproj.nn._projected import BallConstraint, register_projection

__all__ = [
    "BallConstraint",
    "SparseSupervisedAutoencoder",
    "functional",
    "register_projection",
]
