"""Estimators that train networks with PyTorch, and projections for networks."""

from skproj.nn import functional, prune
from skproj.nn._autoencoder import (
    SparseSupervisedAutoencoder,
    SparseSupervisedAutoencoderRegressor,
)
from skproj.nn._autoencoder_cv import SparseSupervisedAutoencoderCV
from skproj.nn._projected import BallConstraint, register_projection

__all__ = [
    "BallConstraint",
    "SparseSupervisedAutoencoder",
    "SparseSupervisedAutoencoderCV",
    "SparseSupervisedAutoencoderRegressor",
    "functional",
    "prune",
    "register_projection",
]
