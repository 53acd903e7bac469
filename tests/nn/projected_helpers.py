"""Helpers of the tests of projected training."""

import pytest
import torch

import skproj.nn.functional as F
from skproj.projection import BALLS

each_ball = pytest.mark.parametrize("ball", BALLS.values(), ids=BALLS)


def project_by_hand(W, radius, *, dim):
    """A projection of the user's own."""
    return F.projection_l12_ball(W, radius, dim=dim)


def train(layer, optimizer, n_steps=1):
    """Make steps on random data, always the same."""
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(20, 6, generator=generator)
    for _ in range(n_steps):
        optimizer.zero_grad()
        layer(X).square().sum().backward()
        optimizer.step()


def norm(layer, name="l1inf", dim=0):
    return BALLS[name].norm(layer.weight.detach().numpy(), axis=dim)
