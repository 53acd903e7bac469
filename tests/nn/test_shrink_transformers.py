"""Removal of hidden units inside PyTorch's transformers."""

import pytest
import torch
from shrink_helpers import assert_same, build, zero
from torch import nn
from torch.nn import functional as F

from skproj.nn import prune

SHAPE = (2, 5, 12)
X = torch.randn(SHAPE, dtype=torch.float64)


def make_encoder_layer(**options):
    return nn.TransformerEncoderLayer(12, 4, 10, **{"batch_first": True} | options)


class Calling(nn.Module):
    """A module between two linear layers."""

    def __init__(self, module):
        super().__init__()
        self.first, self.module, self.head = nn.Linear(12, 12), module, nn.Linear(12, 2)

    def forward(self, X):
        return self.head(self.module(self.first(X)))


class Decoding(Calling):
    def forward(self, X):
        Z = self.first(X)
        return self.head(self.module(Z, Z))


def kill(layer):
    """Units 1 and 3 are zero, 4 and 5 are not read."""
    zero(layer.linear1.weight, [1, 3])
    zero(layer.linear2.weight, slice(None), [4, 5])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"activation": F.gelu},
        {"activation": nn.SiLU()},
        {"norm_first": True},
        {"batch_first": False},
    ],
)
def test_encoder_layer(options):
    """It has fewer hidden units, and the norms keep all features."""
    model = build(lambda: Calling(make_encoder_layer(**options)))
    kill(model.module)
    smaller, report = prune.shrink(model, X)
    assert_same(smaller, model, *SHAPE)
    assert report.layers == {
        "module.linear1": ((10, 12), (6, 12)),
        "module.linear2": ((12, 10), (12, 6)),
    }
    assert report.after.flops < report.before.flops


def test_layer_without_biases():
    """Hidden units that are zero go, and no bias comes."""
    model = build(lambda: Calling(make_encoder_layer(bias=False)))
    zero(model.module.linear1.weight, [1, 3])
    smaller, _ = prune.shrink(model, X)
    assert_same(smaller, model, *SHAPE)
    assert smaller.module.linear1.out_features == 8
    assert smaller.module.linear2.bias is None


@pytest.mark.parametrize("activation", [lambda H: H.softmax(-1), nn.Softmax(-1)])
def test_activation_over_units(activation):
    model = build(lambda: Calling(make_encoder_layer(activation=activation)))
    kill(model.module)
    assert prune.shrink(model, X)[1].layers == {}


@pytest.mark.parametrize(
    "make",
    [
        lambda: Calling(
            nn.TransformerEncoder(make_encoder_layer(), 2, enable_nested_tensor=False)
        ),
        lambda: Decoding(nn.TransformerDecoderLayer(12, 4, 10, batch_first=True)),
        lambda: Decoding(nn.Transformer(12, 4, 1, 1, 10, batch_first=True)),
    ],
)
def test_layers_inside_of_others(make):
    model = build(make)
    layers = [x for x in model.modules() if hasattr(x, "linear1")]
    kill(layers[-1])
    smaller, report = prune.shrink(model, X)
    assert_same(smaller, model, *SHAPE)
    assert len(report.layers) == 2
    layers = [x for x in smaller.modules() if hasattr(x, "linear1")]
    assert [x.linear1.out_features for x in layers] == [10] * (len(layers) - 1) + [6]
