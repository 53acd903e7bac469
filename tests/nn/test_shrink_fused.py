"""Normalisations that become a part of the layers in front of them."""

import pytest
import torch
from shrink_helpers import assert_same, build, zero
from torch import nn

from skproj.nn import prune, sparsify_units


class Convolution(nn.Module):
    """A convolution and a normalisation, called in several ways."""

    def __init__(self, way="positions"):
        super().__init__()
        self.way = way
        self.conv = nn.Conv1d(3, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm1d(4)
        self.last = nn.Linear(4, 2)
        if way == "two names":
            self.another_conv, self.another_norm = self.conv, self.norm

    def forward(self, X):
        if self.way == "conv":
            return self.last(self.norm(self.conv(input=X)))
        if self.way == "norm":
            return self.last(self.norm(input=self.conv(X)))
        if self.way == "last":
            return self.last(input=self.norm(self.conv(X)))
        return self.last(self.norm(self.conv(X)))


@pytest.mark.parametrize("way", ["positions", "two names", "last", "conv", "norm"])
def test_calls_by_keywords_and_by_two_names(way):
    """What is called by keywords stays; a layer has the same place by each name."""
    model = build(lambda: Convolution(way))
    nn.init.normal_(model.norm.running_mean)
    nn.init.uniform_(model.norm.running_var, 0.5, 2.0)
    smaller, _ = prune.shrink(model, torch.ones(2, 3, 4).double(), fuse=True)
    assert_same(smaller, model, 5, 3, 4)
    assert isinstance(smaller.norm, nn.Identity) == (way not in ("conv", "norm"))
    if way == "two names":
        assert smaller.another_norm is smaller.norm
        assert smaller.another_conv is smaller.conv
    assert all(W.requires_grad for W in smaller.parameters())


@pytest.mark.parametrize("is_trained", [False, True])
def test_new_biases_are_trained_like_weights(is_trained):
    model = build(Convolution)
    model.conv.weight.requires_grad_(is_trained)
    smaller, _ = prune.shrink(model, torch.ones(2, 3, 4).double(), fuse=True)
    assert smaller.conv.bias.requires_grad == is_trained


def test_inputs_without_a_batch():
    """There the normalisation takes places for channels."""
    model = build(Convolution)
    nn.init.normal_(model.norm.running_mean)
    smaller, _ = prune.shrink(model, torch.ones(3, 4).double(), fuse=True)
    assert_same(smaller, model, 3, 4)
    assert isinstance(smaller.norm, nn.BatchNorm1d)


class Twice(nn.Module):
    """A branch by two names."""

    def __init__(self):
        super().__init__()
        self.branch = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 4))
        self.first, self.last = self.branch[0], self.branch[2]

    def forward(self, X):
        return X + self.branch(X)


def test_skipped_branches_by_two_names():
    """Nothing is left of them."""
    model = build(Twice)
    zero(model.last.weight, range(4))
    smaller, report = prune.shrink(model, torch.ones(2, 4).double())
    assert_same(smaller, model, 5, 4)
    assert type(smaller.first) is type(smaller.branch[0]) is prune.SkippedLayer
    assert smaller.last is smaller.branch[2]
    assert report.after.n_parameters == 4


def test_recurrent_layer_that_is_called_by_a_keyword():
    """Its inputs are found while training as well."""

    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.cells, self.head = nn.GRU(3, 6, batch_first=True), nn.Linear(6, 1)

        def forward(self, X):
            return self.head(self.cells(input=X)[0])

    torch.manual_seed(0)
    model, X = Last(), torch.randn(8, 5, 3)
    loader = [(X, torch.randn(8, 5, 1))]
    options = {"target": 0.4, "example_inputs": X, "n_epochs": 4}
    sparsify_units(model, nn.functional.mse_loss, loader, **options)
    smaller, _ = prune.shrink(model, X)
    assert smaller.cells.hidden_size < 6
