"""Estimators that train networks with PyTorch."""

from skproj.nn._autoencoder import SparseSupervisedAutoencoder

__all__ = ["SparseSupervisedAutoencoder"]
