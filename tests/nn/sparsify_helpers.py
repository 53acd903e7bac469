"""Helpers of the tests of `sparsify`."""

import copy

import torch
from torch import nn
from torch.nn import functional as F

from skproj.nn import sparsify


class ShuffledBatches:
    """Batches in the order of PyTorch's global generator, as a DataLoader has them."""

    def __init__(self, X, y, batch_size=20):
        self.X, self.y, self.batch_size = X, y, batch_size

    def __len__(self):
        """Count the batches."""
        return -(-len(self.X) // self.batch_size)

    def __iter__(self):
        """Shuffle, and yield the batches."""
        for index in torch.randperm(len(self.X)).split(self.batch_size):
            yield self.X[index], self.y[index]


def make_problem(seed=0):
    """A network of two parts and three layers, and batches of three classes."""
    torch.manual_seed(seed)
    X = torch.randn(120, 12)
    y = (X[:, 0] > X[:, 1]).long() + (X[:, 2] > 0.5).long()
    model = nn.Sequential(
        nn.Sequential(nn.Linear(12, 20), nn.BatchNorm1d(20), nn.ReLU()),
        nn.Sequential(nn.Linear(20, 10), nn.Dropout(0.1), nn.ReLU(), nn.Linear(10, 3)),
    )
    return model, ShuffledBatches(X, y)


def run(model, loader, seed=0, **options):
    """Call `sparsify` on a copy, with the same random numbers each time."""
    model = copy.deepcopy(model)
    torch.manual_seed(seed)
    options = {"target": 0.8, "n_epochs": 6} | options
    return model, sparsify(model, F.cross_entropy, loader, **options)


def nonzero_of(*layers):
    return sum(int(layer.weight.count_nonzero()) for layer in layers)


def same_state(model, other):
    states = model.state_dict(), other.state_dict()
    return all(torch.equal(W, states[1][name]) for name, W in states[0].items())
