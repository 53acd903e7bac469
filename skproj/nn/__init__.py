"""Estimators that train networks with PyTorch, and projections for networks."""

from skproj.nn import functional, prune
from skproj.nn._autoencoder import (
    SparseSupervisedAutoencoder,
    SparseSupervisedAutoencoderRegressor,
)
from skproj.nn._autoencoder_cv import SparseSupervisedAutoencoderCV
from skproj.nn._mlp import SparseMLPClassifier, SparseMLPRegressor
from skproj.nn._schedule import SparsificationSchedule
from skproj.nn._sparsify._report import SparsifyReport
from skproj.nn._sparsify._sparsifier import Sparsifier
from skproj.nn._sparsify._sparsify import sparsify
from skproj.nn._sparsify._sparsify_units import sparsify_units
from skproj.nn._training._l1_search import find_l1_weight
from skproj.nn.optim import ProximalAdam, ProximalSGD, register_projection

__all__ = [
    "ProximalAdam",
    "ProximalSGD",
    "SparseMLPClassifier",
    "SparseMLPRegressor",
    "SparseSupervisedAutoencoder",
    "SparseSupervisedAutoencoderCV",
    "SparseSupervisedAutoencoderRegressor",
    "SparsificationSchedule",
    "Sparsifier",
    "SparsifyReport",
    "find_l1_weight",
    "functional",
    "prune",
    "register_projection",
    "sparsify",
    "sparsify_units",
]
