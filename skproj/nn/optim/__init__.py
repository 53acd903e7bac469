"""Optimisers and hooks that keep a network sparse in a training loop of your own."""

from skproj.nn.optim._optimizers import ProximalAdam, ProximalSGD
from skproj.nn.optim._projected import register_projection

__all__ = ["ProximalAdam", "ProximalSGD", "register_projection"]
