"""Masks of numbers, as those of PyTorch, and as ours once were."""

import copy
import pickle

import pytest
import torch
from prune_helpers import zeros_of
from torch import nn
from torch.nn.utils import prune as torch_prune

from skproj.nn import prune


def test_states_with_masks_of_numbers(mlp):
    """They go into masks of bool, and the other way round."""
    other, of_pytorch = copy.deepcopy(mlp), copy.deepcopy(mlp)
    prune.single_shot(mlp, 0.6)
    for model in (other, of_pytorch):
        for i in (0, 2):
            nn.init.normal_(model[i].weight)
    prune.single_shot(other, 0.3)
    for i in (0, 2):
        torch_prune.identity(of_pytorch[i], "weight")
    state = mlp.state_dict()
    old = {k: W.float() if k.endswith("_mask") else W for k, W in state.items()}
    X = torch.ones(3, 12)
    for model, given in ((other, old), (of_pytorch, state)):
        model.load_state_dict(given)
        assert torch.equal(model(X), mlp(X))
    assert other[0].weight_mask.dtype == torch.bool
    assert of_pytorch[0].weight_mask.dtype == torch.float32


@pytest.mark.parametrize("clone", [lambda x: pickle.loads(pickle.dumps(x)), copy.copy])
def test_modules_with_masks_of_numbers(clone, mlp):
    """They work as before, and can be pruned further."""
    layer = prune.hoyer_unstructured(mlp[0], "weight", 0.5)
    expected = layer(torch.ones(1, 12))
    layer.weight_mask = layer.weight_mask.float()
    layer = clone(layer)
    assert torch.equal(layer(torch.ones(1, 12)), expected)
    n_zeros = zeros_of(layer)
    prune.hoyer_unstructured(layer, "weight", 0.8)
    assert zeros_of(layer) > n_zeros


def test_masks_with_other_numbers(mlp):
    """A mask of PyTorch can have parts of one, also on top of one of ours."""
    layer = prune.hoyer_unstructured(mlp[0], "weight", 0.5)
    before = layer.weight.detach().clone()
    halves = torch.full_like(before, 0.5)
    torch_prune.custom_from_mask(layer, "weight", halves)
    assert torch.equal(layer.weight, 0.5 * before)
    report = prune.sparsity_report(layer)
    assert report.n_zeros == int((before == 0).sum())


@pytest.mark.filterwarnings("ignore:.torch.jit.trace:DeprecationWarning")
def test_layers_with_masks_can_be_traced(mlp):
    """By `torch.jit`, which does not know views of another dtype."""
    prune.single_shot(mlp, 0.6)
    traced = torch.jit.trace(mlp, torch.ones(1, 12))
    X = torch.randn(3, 12)
    torch.testing.assert_close(traced(X), mlp(X))
