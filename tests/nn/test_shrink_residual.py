"""Removal of channels that additions tie together, in a residual network."""

import torch
from shrink_helpers import assert_same, build, zero
from torch import nn
from torch.nn import functional as F

from skproj.nn import prune

DEAD = [0, 2, 3, 7]


class Block(nn.Module):
    def __init__(self, n_channels):
        super().__init__()
        self.first = nn.Conv2d(n_channels, n_channels, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(n_channels)
        self.second = nn.Conv2d(n_channels, n_channels, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(n_channels)

    def forward(self, X):
        H = F.relu(self.first_norm(self.first(X)))
        return F.relu(X + self.second_norm(self.second(H)))


class ResNet(nn.Module):
    """A stage of three blocks."""

    def __init__(self, n_channels=8):
        super().__init__()
        self.stem = nn.Conv2d(3, n_channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(n_channels)
        self.blocks = nn.Sequential(*(Block(n_channels) for _ in range(3)))
        self.head = nn.Linear(n_channels, 4)

    def forward(self, X):
        H = self.blocks(F.relu(self.norm(self.stem(X))))
        return self.head(H.mean((2, 3)))


def kill_writers(model):
    """Make the channels of the stream zero in all layers but the last that write."""
    zero(model.stem.weight, DEAD)
    for block in model.blocks[:2]:
        zero(block.second.weight, DEAD)


def test_tied_channels_go_together():
    """From all layers that write or read the stream, and their norms."""
    model = build(ResNet)
    kill_writers(model)
    zero(model.blocks[2].second.weight, DEAD)
    smaller, report = prune.shrink(model, torch.ones(1, 3, 6, 6).double())
    assert_same(smaller, model, 5, 3, 6, 6)
    assert report.layers["stem"] == ((8, 3, 3, 3), (4, 3, 3, 3))
    assert report.layers["head"] == ((4, 8), (4, 4))
    for i in range(3):
        assert report.layers[f"blocks.{i}.first"] == ((8, 8, 3, 3), (8, 4, 3, 3))
        assert report.layers[f"blocks.{i}.second"] == ((8, 8, 3, 3), (4, 8, 3, 3))
        assert report.layers[f"blocks.{i}.second_norm"] == ((8,), (4,))
    halves = 3 * 8 * 9 + 2 * 8 + 4 * 8 + 3 * (2 * 8 * 8 * 9 + 2 * 8)
    removed = report.before.n_parameters - report.after.n_parameters
    assert removed == halves // 2


def test_tied_channels_stay_together():
    """One layer that still writes them is enough."""
    model = build(ResNet)
    kill_writers(model)
    smaller, report = prune.shrink(model, torch.ones(1, 3, 6, 6).double())
    assert_same(smaller, model, 5, 3, 6, 6)
    assert "blocks.2.second" not in report.layers
    assert "stem" not in report.layers


def test_channels_inside_a_block_go_alone():
    """No addition ties them to others."""
    model = build(ResNet)
    zero(model.blocks[1].first.weight, DEAD)
    smaller, report = prune.shrink(model, torch.ones(1, 3, 6, 6).double())
    assert_same(smaller, model, 5, 3, 6, 6)
    assert set(report.layers) == {
        "blocks.1.first",
        "blocks.1.first_norm",
        "blocks.1.second",
    }
