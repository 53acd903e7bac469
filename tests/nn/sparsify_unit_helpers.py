"""Trainings of small networks until units can be removed."""

import copy

import torch
from sparsify_helpers import ShuffledBatches
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from skproj.nn import sparsify_units


def make_batches():
    torch.manual_seed(0)
    X = torch.randn(80, 1, 8, 8)
    y = (X[:, 0, :4].mean((1, 2)) > 0).long() + (X[:, 0, 4:].mean((1, 2)) > 0).long()
    return ShuffledBatches(X, y)


def fit(model, target=0.7, **options):
    loader = options.pop("loader", None) or make_batches()
    torch.manual_seed(1)
    options = {"n_epochs": 8, "example_inputs": torch.zeros(2, 1, 8, 8)} | options
    return sparsify_units(model, F.cross_entropy, loader, target=target, **options)


def build(make):
    torch.manual_seed(0)
    return make()


def count_flops(model, X):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        copy.deepcopy(model).eval()(X)
    return counter.get_total_flops()
