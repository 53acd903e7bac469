"""Removal of dead units around transposed and grouped convolutions."""

import numpy as np
import pytest
import torch
from shrink_helpers import assert_same, build, zero
from torch import nn

from skproj.nn import prune

seeds = pytest.mark.parametrize("seed", range(8))
CONVOLUTIONS = {
    1: (nn.Conv1d, nn.ConvTranspose1d, nn.BatchNorm1d),
    2: (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d),
    3: (nn.Conv3d, nn.ConvTranspose3d, nn.BatchNorm3d),
}


def make_decoder(n_dims):
    conv, transposed, norm = CONVOLUTIONS[n_dims]
    return nn.Sequential(
        conv(2, 6, 3, padding=1),
        nn.ReLU(),
        transposed(6, 5, 3, stride=2, padding=1, output_padding=1),
        norm(5),
        nn.Tanh(),
        transposed(5, 4, 2, dilation=2, bias=False),
        nn.ELU(),
        conv(4, 3, 1),
    )


def n_parameters(model):
    return sum(W.numel() for W in model.parameters())


@torch.no_grad()
def kill_at_random(model, seed):
    """Make slices of the first two dimensions and biases zero."""
    rng = np.random.default_rng(seed)
    for module in model.modules():
        for name, W in module.named_parameters(recurse=False):
            if W.ndim > 1:
                W[torch.from_numpy(rng.random(len(W)) < 0.3)] = 0.0
                W[:, torch.from_numpy(rng.random(W.shape[1]) < 0.3)] = 0.0
            elif name == "bias":
                W[torch.from_numpy(rng.random(len(W)) < 0.5)] = 0.0


@seeds
@pytest.mark.parametrize("n_dims", CONVOLUTIONS)
def test_transposed_at_random(n_dims, seed):
    """With strides, padding, dilation, norms, and without a bias."""
    model = build(lambda: make_decoder(n_dims), seed)
    kill_at_random(model, seed)
    shape = (2, 2, *[4] * n_dims)
    smaller, report = prune.shrink(model, torch.randn(shape, dtype=torch.float64))
    assert_same(smaller, model, *shape)
    assert report.after.n_parameters == n_parameters(smaller) < n_parameters(model)


def test_transposed_by_hand():
    """Outputs that are not read, inputs that are zero or not read."""
    model = build(lambda: make_decoder(2))
    zero(model[0].weight, 1)
    with torch.no_grad():
        model[0].bias[1] = -1.0
    zero(model[2].weight, 4)
    zero(model[5].weight, [0, 3])
    zero(model[7].weight, slice(None), 2)
    smaller, report = prune.shrink(model, torch.ones(1, 2, 4, 4).double())
    assert_same(smaller, model, 3, 2, 4, 4)
    assert report.layers == {
        "0": ((6, 2, 3, 3), (4, 2, 3, 3)),
        "2": ((6, 5, 3, 3), (4, 3, 3, 3)),
        "3": ((5,), (3,)),
        "5": ((5, 4, 2, 2), (3, 3, 2, 2)),
        "7": ((3, 4, 1, 1), (3, 3, 1, 1)),
    }
    assert (smaller[2].in_channels, smaller[2].out_channels) == (4, 3)


@pytest.mark.parametrize(("bias", "n_kept"), [(1.0, 6), (-1.0, 5)])
def test_constants_into_transposed(bias, n_kept):
    """A constant other than zero is none behind strides and borders."""
    model = build(lambda: make_decoder(2))
    zero(model[0].weight, 1)
    with torch.no_grad():
        model[0].bias[1] = bias
    smaller, _ = prune.shrink(model, torch.ones(1, 2, 4, 4).double())
    assert_same(smaller, model, 3, 2, 4, 4)
    assert smaller[0].out_channels == n_kept


# ---------------------------------------------------------------------------
# Groups


def make_grouped(kind=nn.Conv2d, padding=0, multiplier=2):
    return nn.Sequential(
        nn.Conv2d(2, 6, 1),
        nn.ReLU(),
        kind(6, 6 * multiplier, 3, groups=3, padding=padding),
        nn.BatchNorm2d(6 * multiplier),
        nn.ReLU(),
        nn.Conv2d(6 * multiplier, 3, 1),
    )


def make_depthwise(kind=nn.Conv2d):
    """With two filters for each channel."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 1), kind(4, 8, 3, groups=4), nn.Tanh(), nn.Conv2d(8, 3, 1)
    )


GROUPED = {
    "grouped": make_grouped,
    "padded": lambda: make_grouped(padding=1),
    "transposed": lambda: make_grouped(nn.ConvTranspose2d, multiplier=1),
    "depthwise": make_depthwise,
    "depthwise, transposed": lambda: make_depthwise(nn.ConvTranspose2d),
    "first": lambda: nn.Sequential(
        nn.ConvTranspose2d(2, 6, 3, groups=2), nn.Conv2d(6, 2, 1)
    ),
}


@seeds
@pytest.mark.parametrize("make", GROUPED.values(), ids=GROUPED)
def test_grouped_at_random(make, seed):
    """The outputs are the same."""
    model = build(make, seed)
    kill_at_random(model, seed)
    shape = (2, 2, 6, 6)
    smaller, report = prune.shrink(model, torch.randn(shape, dtype=torch.float64))
    assert_same(smaller, model, *shape)
    assert report.after.n_parameters == n_parameters(smaller) <= n_parameters(model)


@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
def test_equal_numbers_of_each_group(kind):
    """As many as the group that needs most of them has."""
    model = build(lambda: make_grouped(kind))
    zero(model[5].weight, slice(None), [0, 1, 5, 8, 9, 10])  # leaves 2, 3, 1 of 4
    smaller, report = prune.shrink(model, torch.ones(1, 2, 6, 6).double())
    assert_same(smaller, model, 2, 2, 6, 6)
    assert (smaller[2].groups, smaller[2].out_channels) == (3, 9)
    assert report.layers["3"] == ((12,), (9,))
    assert report.layers["5"] == ((3, 12, 1, 1), (3, 9, 1, 1))
    assert "0" not in report.layers


@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
def test_whole_groups(kind):
    """With all inputs of the group in the layer before."""
    model = build(lambda: make_grouped(kind))
    zero(model[5].weight, slice(None), slice(4, 8))
    smaller, report = prune.shrink(model, torch.ones(1, 2, 6, 6).double())
    assert_same(smaller, model, 2, 2, 6, 6)
    convolution = smaller[2]
    assert (convolution.groups, convolution.in_channels) == (2, 4)
    assert convolution.out_channels == 8
    assert report.layers["0"] == ((6, 2, 1, 1), (4, 2, 1, 1))
    assert report.after.n_parameters < report.before.n_parameters


def test_inputs_of_groups():
    """Removed if each group can do without as many."""
    model = build(make_grouped)
    weight = model[2].weight
    zero(weight, slice(0, 4), 0)
    zero(weight, slice(4, 8), 1)
    smaller, _ = prune.shrink(model, torch.ones(1, 2, 6, 6).double())
    assert smaller[2].in_channels == 6
    zero(weight, slice(8, 12), 0)
    smaller, _ = prune.shrink(model, torch.ones(1, 2, 6, 6).double())
    assert_same(smaller, model, 2, 2, 6, 6)
    assert smaller[2].in_channels == smaller[0].out_channels == 3
    assert smaller[2].weight.shape == (12, 1, 3, 3)


@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
def test_depthwise_channels(kind):
    """Both filters of a channel go with it."""
    model = build(lambda: make_depthwise(kind))
    zero(model[3].weight, slice(None), [2, 3, 4])
    smaller, _ = prune.shrink(model, torch.ones(1, 2, 6, 6).double())
    assert_same(smaller, model, 2, 2, 6, 6)
    assert (smaller[1].groups, smaller[1].out_channels) == (3, 6)
    assert smaller[0].out_channels == 3


# ---------------------------------------------------------------------------
# Lists and counts of weights


@pytest.mark.parametrize("n_dims", CONVOLUTIONS)
def test_transposed_convolutions_are_listed(n_dims):
    """In the order of the model, among the others."""
    model = make_decoder(n_dims)
    listed = prune.prunable_parameters(model)
    assert listed == [(model[i], "weight") for i in (0, 2, 5, 7)]


def test_dead_channels_of_transposed_convolutions_are_counted():
    """Inputs come first in the weight; each group has outputs of its own."""
    model = nn.Sequential(
        nn.ConvTranspose2d(4, 6, 2, groups=2), nn.ConvTranspose2d(6, 3, 1)
    )
    zero(model[0].weight, slice(0, 2), 1)
    zero(model[0].weight, 3)
    zero(model[1].weight, [0, 1, 4])
    zero(model[1].weight, slice(None), 2)
    report = prune.sparsity_report(model)
    assert [layer.shape for layer in report.layers] == [(4, 3, 2, 2), (6, 3, 1, 1)]
    assert [layer.n_dead_outputs for layer in report.layers] == [1, 1]
    assert [layer.n_dead_inputs for layer in report.layers] == [1, 3]
    assert [layer.n_zeros for layer in report.layers] == [8 + 12, 9 + 3]


@pytest.mark.parametrize("make", GROUPED.values(), ids=GROUPED)
def test_dead_groups(make):
    """Something of each layer stays, where all weights are zero."""
    model = build(make)
    for W in model.parameters():
        if W.ndim > 1:
            zero(W)
    smaller, report = prune.shrink(model, torch.ones(1, 2, 6, 6).double())
    assert_same(smaller, model, 2, 2, 6, 6)
    assert all(W.numel() > 0 for W in smaller.parameters())
    assert report.after.n_parameters < report.before.n_parameters


class Spoken(nn.Module):
    """Channels become the features of a linear layer."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv1d(5, 7, 3)
        self.head = nn.Linear(7, 2)

    def forward(self, X):
        H = torch.relu(self.first(X.transpose(1, 2)))
        return self.head(H.permute(0, 2, 1))


def test_channels_as_features():
    """Those that are constant behind the activation, or not read."""
    model = build(Spoken)
    zero(model.first.weight, [2, 3])
    with torch.no_grad():
        model.first.bias[2:4] = torch.tensor([1.0, -1.0])
    zero(model.head.weight, slice(None), 5)
    smaller, _ = prune.shrink(model, torch.randn(2, 6, 5, dtype=torch.float64))
    assert_same(smaller, model, 2, 6, 5)
    assert smaller.first.out_channels == smaller.head.in_features == 4
