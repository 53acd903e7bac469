"""Memory of the smaller networks, and of the copies on the way to them."""

import contextlib
import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils import prune as torch_prune

from skproj.nn import BallConstraint, prune
from skproj.nn.prune._shrink import plain_copy


def make_plain():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5, bias=False), nn.Linear(5, 2)
    )
    with torch.no_grad():
        model[0].weight[:3] = 0.0  # with constants, which go into a new bias
        model[0].bias[:3] = 1.0
    return model


def make_masked():
    model = make_plain()
    prune.single_shot(model, 0.3)
    return model


def make_parametrized():
    model = make_plain()
    parametrize.register_parametrization(model[2], "weight", BallConstraint("l1", 9.0))
    return model


def make_recurrent():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.layer = nn.Linear(3, 6), nn.LSTM(6, 4)

        def forward(self, X):
            return self.layer(self.embedding(X))[0]

    torch.manual_seed(0)
    model = Last()
    with torch.no_grad():
        model.embedding.weight[:2] = 0.0
        model.layer.weight_ih_l0[:, 5] = 0.0
    return model


MODELS = {
    "plain": (make_plain, (4, 6)),
    "masked": (make_masked, (4, 6)),
    "parametrized": (make_parametrized, (4, 6)),
    "recurrent": (make_recurrent, (4, 2, 3)),
}


def storages(model):
    return {W.untyped_storage().data_ptr() for W in model.state_dict().values()}


@pytest.mark.parametrize("name", MODELS)
def test_smaller_network_has_its_own_memory(name):
    """A change of it changes nothing in the original, nor did its making."""
    make, shape = MODELS[name]
    model, X = make(), torch.ones(shape)
    state = copy.deepcopy(model.state_dict())
    smaller, report = prune.shrink(model, X)
    assert report.layers
    assert not storages(model) & storages(smaller)
    with torch.no_grad():
        for W in smaller.parameters():
            W.fill_(9.0)
    assert all(torch.equal(W, state[key]) for key, W in model.state_dict().items())


@pytest.mark.parametrize("is_masked", [False, True])
def test_weights_are_not_copied_first(is_masked):
    """The copy with plain weights takes no memory but for products of masks."""
    model = make_plain()
    if is_masked:
        torch_prune.l1_unstructured(model[2], "weight", 4)
    plain = plain_copy(model)
    own = storages(plain) - storages(model)
    assert len(own) == is_masked
    assert all(W.requires_grad for W in plain.parameters())
    assert not {id(W) for W in plain.parameters()} & {id(W) for W in model.parameters()}


class Counting(nn.Module):
    """Changes its parameters, a buffer and rows of an embedding when it is called."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 4, max_norm=0.1)
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("n_calls", torch.zeros(()))
        self.layer = nn.Linear(4, 3)

    def forward(self, X):
        self.n_calls += 1
        with torch.no_grad():
            self.scale.clamp_(max=0.5)
        return self.layer(self.embedding(X) * self.scale)


def test_forward_pass_that_changes_its_module():
    """It does so in a copy."""
    torch.manual_seed(0)
    model = Counting()
    before = copy.deepcopy(model.state_dict())
    prune.shrink(model, torch.tensor([[0, 1, 2]]))
    assert all(torch.equal(W, before[key]) for key, W in model.state_dict().items())


class Halving(nn.Module):
    """Changes the weights of a layer in several ways before it calls the layer."""

    def __init__(self, way):
        super().__init__()
        self.layer, self.way = nn.Linear(4, 3), way
        if way == "hook":
            self.layer.register_forward_pre_hook(halve)

    def forward(self, X):
        if self.way == "weight":
            with torch.no_grad():
                self.layer.weight.div_(2.0)
        if self.way == "parameters":
            for W in self.parameters():
                W.data.div_(2.0)
        return self.layer(X)


def halve(module, args):
    with torch.no_grad():
        module.weight.div_(2.0)


@pytest.mark.parametrize("way", ["hook", "weight", "parameters"])
def test_forward_pass_that_changes_a_layer(way):
    """The network as it was given does not change, whether it can be shrunk or not."""
    torch.manual_seed(0)
    model = Halving(way)
    before = copy.deepcopy(model.state_dict())
    with contextlib.suppress(RuntimeError):  # no two passes agree
        prune.shrink(model, torch.ones(1, 4))
    assert all(torch.equal(W, before[key]) for key, W in model.state_dict().items())
    layer_of_pytorch = nn.Linear(4, 3)
    layer_of_pytorch.register_forward_pre_hook(halve)
    before = layer_of_pytorch.weight.detach().clone()
    with contextlib.suppress(RuntimeError):
        prune.shrink(layer_of_pytorch, torch.ones(1, 4))
    assert torch.equal(layer_of_pytorch.weight, before)
