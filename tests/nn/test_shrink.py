"""Removal of dead units: outputs, and units removed by hand."""

import copy

import numpy as np
import pytest
import torch
from shrink_helpers import assert_same, build, make_mlp, zero
from torch import nn
from torch.nn import functional as F

from skproj.nn import prune

seeds = pytest.mark.parametrize("seed", range(8))


class Block(nn.Module):
    """Two convolutions beside a short cut, as in residual networks."""

    def __init__(self, n_inputs, n_outputs, stride=1):
        super().__init__()
        self.first = nn.Conv2d(n_inputs, n_outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(n_outputs)
        self.second = nn.Conv2d(n_outputs, n_outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(n_outputs)
        self.short_cut = nn.Identity()
        if n_inputs != n_outputs:
            self.short_cut = nn.Sequential(
                nn.Conv2d(n_inputs, n_outputs, 1, stride, bias=False),
                nn.BatchNorm2d(n_outputs),
            )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, X):
        H = self.relu(self.first_norm(self.first(X)))
        H = self.second_norm(self.second(H))
        H += self.short_cut(X)
        return self.relu(H)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3, padding=1)
        self.blocks = nn.Sequential(Block(6, 6), Block(6, 8, 2), Block(8, 8))
        self.head = nn.Linear(8, 4)

    def forward(self, X):
        H = self.blocks(F.relu(self.stem(X)))
        H = F.adaptive_avg_pool2d(H, 1)
        return self.head(H.view(H.size(0), -1))


class Concatenating(nn.Module):
    """With a depthwise convolution of two filters for each channel."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(2, 5, 3, padding=1)
        self.b = nn.Conv2d(7, 4, 3, padding=1, padding_mode="reflect")
        self.depthwise = nn.Conv2d(11, 22, 3, groups=11, padding=1)
        self.norm = nn.BatchNorm2d(22)
        self.mix = nn.Conv2d(22, 6, 1)
        self.head = nn.Linear(6 * 16, 3)

    def forward(self, X):
        H = torch.cat([X, F.gelu(self.a(X))], 1)
        H = torch.cat([H, torch.sigmoid(self.b(H))], dim=1)
        H = F.avg_pool2d(self.norm(self.depthwise(H)), 2)
        return self.head(F.silu(self.mix(H)).flatten(1))


class Gated(nn.Module):
    """Channels are multiplied by numbers from all of them."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3)
        self.squeeze = nn.Conv2d(8, 3, 1)
        self.expand = nn.Conv2d(3, 8, 1)
        self.out = nn.Conv2d(8, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 2)

    def forward(self, X):
        H = self.conv(X)
        gate = F.adaptive_avg_pool2d(H, 1)
        gate = torch.sigmoid(self.expand(torch.tanh(self.squeeze(gate))))
        return self.head(F.relu(self.norm(self.out(H * gate))).mean(dim=(2, 3)))


class Nested(nn.Module):
    """Sums with and without numbers, a norm that is not understood, two outputs."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(5, 6)
        self.a = nn.Linear(6, 6)
        self.b = nn.Linear(6, 6)
        self.norm = nn.LayerNorm(6)
        self.last = nn.Linear(6, 6)
        self.head = nn.Linear(6, 2)

    def forward(self, X):
        H = self.first(X)
        H = H + self.b(F.relu(self.a(F.relu(H)))) - H * 2
        G = self.norm(self.last(F.relu(1 - H)))
        return {"head": self.head(G), "others": [1 - torch.tanh(G), 3]}


def make_conv1d():
    return nn.Sequential(
        nn.Conv1d(2, 6, 3, padding="same", padding_mode="circular"),
        nn.BatchNorm1d(6),
        nn.LeakyReLU(),
        nn.AvgPool1d(3, padding=1),
        nn.Conv1d(6, 6, 2),
        nn.Hardswish(),
        nn.MaxPool1d(2),
        nn.Flatten(),
        nn.Linear(6, 4),
    )


MODELS = {
    "mlp": (make_mlp, (4, 6)),
    "conv1d": (make_conv1d, (2, 2, 9)),
    "residual": (Residual, (2, 1, 8, 8)),
    "concatenating": (Concatenating, (2, 2, 8, 8)),
    "gated": (Gated, (2, 1, 8, 8)),
    "nested": (Nested, (4, 5)),
    "nested, three dimensions": (Nested, (4, 3, 5)),
}


each_model = pytest.mark.parametrize(("make", "shape"), MODELS.values(), ids=MODELS)


@torch.no_grad()
def kill_at_random(model, seed):
    """Make rows, columns, weights, biases and scales zero, each with some chance."""
    rng = np.random.default_rng(seed)

    def some_of(n, *chances):
        return torch.from_numpy(rng.random(n) < rng.choice(chances))

    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
            W = module.weight
            W[some_of(W.shape[0], 0.0, 0.3, 0.8, 1.0)] = 0.0
            W[:, some_of(W.shape[1], 0.0, 0.3, 0.8)] = 0.0
            W[some_of(W.shape, 0.0, 0.5)] = 0.0
            if module.bias is not None:
                module.bias[some_of(len(W), 0.0, 0.5)] = 0.0
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            n = module.num_features
            for tensor in (module.running_mean, module.weight, module.bias):
                tensor.normal_()
            module.running_var.uniform_(0.5, 2.0)
            module.weight[some_of(n, 0.2)] = 0.0
            module.bias[some_of(n, 0.5)] = 0.0


def n_parameters(model):
    return sum(W.numel() for W in model.parameters())


# ---------------------------------------------------------------------------
# The same outputs


@seeds
@each_model
def test_random_patterns(make, shape, seed):
    """Of zeros in everything."""
    model = build(make, seed)
    kill_at_random(model, seed)
    before = copy.deepcopy(model.state_dict())
    smaller, report = prune.shrink(model, torch.randn(shape, dtype=torch.float64))
    assert_same(smaller, model, *shape)
    assert type(smaller) is type(model)
    assert all(torch.equal(W, before[name]) for name, W in model.state_dict().items())
    assert report.before.n_parameters == n_parameters(model)
    assert report.after.n_parameters == n_parameters(smaller)
    assert report.after.n_parameters <= report.before.n_parameters


@each_model
def test_dense_models_stay(make, shape):
    """There is nothing to remove."""
    model = build(make)
    smaller, report = prune.shrink(model, torch.randn(shape, dtype=torch.float64))
    assert report.layers == {}
    assert report.after[:2] == report.before[:2]
    assert [W.shape for W in smaller.parameters()] == [
        W.shape for W in model.parameters()
    ]
    assert not {id(W) for W in smaller.parameters()} & {
        id(W) for W in model.parameters()
    }


@each_model
def test_dead_everything(make, shape):
    """One unit of each layer is left at least, and the outputs are constant."""
    model = build(make)
    with torch.no_grad():
        for W in model.parameters():
            if W.ndim > 1:
                W.zero_()
    smaller, report = prune.shrink(model, torch.randn(shape, dtype=torch.float64))
    assert_same(smaller, model, *shape)
    assert report.after.n_parameters < report.before.n_parameters
    assert all(W.numel() > 0 for W in smaller.parameters())


@seeds
def test_float32(seed):
    """To 1e-5."""
    torch.manual_seed(seed)
    model = Residual().eval()
    kill_at_random(model, seed)
    smaller, _ = prune.shrink(model, torch.randn(2, 1, 8, 8))
    assert_same(smaller, model, 3, 1, 8, 8)
    assert smaller.stem.weight.dtype == torch.float32


# ---------------------------------------------------------------------------
# What is removed, by hand


def test_neurons():
    """Without outputs, without inputs, and those that only such ones read."""
    model = build(
        lambda: nn.Sequential(
            nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 4), nn.Sigmoid(), nn.Linear(4, 2)
        )
    )
    zero(model[0].weight, 0)  # a constant
    zero(model[2].weight, slice(None), 1)  # not read
    zero(model[4].weight, slice(None), 2)  # not read either,
    zero(model[2].weight, [0, 1, 3], 3)  # the only one that reads neuron 3 before
    smaller, report = prune.shrink(model, torch.ones(1, 3, dtype=torch.float64))
    assert_same(smaller, model, 7, 3)
    assert report.layers == {
        "0": ((5, 3), (2, 3)),
        "2": ((4, 5), (3, 2)),
        "4": ((2, 4), (2, 3)),
    }
    constant = torch.relu(model[0].bias[0])
    expected = model[2].bias + model[2].weight[:, 0] * constant
    torch.testing.assert_close(smaller[2].bias, expected[[0, 1, 3]])
    assert (smaller[0].out_features, smaller[2].in_features) == (2, 2)
    assert report.before.n_parameters == 20 + 24 + 10
    assert report.after.n_parameters == 8 + 9 + 8
    assert report.before.flops == 2 * (15 + 20 + 8)
    assert report.after.flops == 2 * (6 + 6 + 6)


def test_constants_of_constants():
    """A neuron that reads only constants is one itself; a missing bias is made."""
    model = build(
        lambda: nn.Sequential(
            nn.Linear(3, 2),
            nn.Tanh(),
            nn.Linear(2, 3),
            nn.Tanh(),
            nn.Linear(3, 2, bias=False),
        )
    )
    zero(model[0].weight, 0)
    zero(model[2].weight, 0, 1)
    smaller, report = prune.shrink(model, torch.ones(1, 3, dtype=torch.float64))
    assert_same(smaller, model, 7, 3)
    assert report.layers["2"] == ((3, 2), (2, 1))
    assert smaller[4].bias is not None
    assert smaller[4].bias.requires_grad


@pytest.mark.parametrize(
    ("padding", "bias", "n_kept"),
    [(0, 1.0, 3), (1, 1.0, 4), (1, 0.0, 3), (1, -1.0, 3), ("same", 1.0, 4)],
)
def test_constants_at_borders(padding, bias, n_kept):
    """A constant channel is no constant where the next convolution pads with zeros."""
    model = build(
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=padding)
        )
    )
    zero(model[0].weight, 1)
    with torch.no_grad():
        model[0].bias[1] = bias
    smaller, _ = prune.shrink(model, torch.ones(1, 1, 8, 8, dtype=torch.float64))
    assert_same(smaller, model, 2, 1, 8, 8)
    assert smaller[0].out_channels == n_kept


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_constants_at_other_borders(mode):
    """Those modes pad a constant with itself."""
    model = build(
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 3, padding=1, padding_mode=mode)
        )
    )
    zero(model[0].weight, 1)
    smaller, _ = prune.shrink(model, torch.ones(1, 1, 8, 8, dtype=torch.float64))
    assert_same(smaller, model, 2, 1, 8, 8)
    assert smaller[0].out_channels == 3


@pytest.mark.parametrize(
    ("pool", "n_kept"),
    [
        (nn.MaxPool2d(3, padding=1), 3),
        (nn.AvgPool2d(3), 3),
        (nn.AvgPool2d(3, padding=1), 4),
        (nn.AvgPool2d(3, padding=1, count_include_pad=False), 3),
        (nn.AvgPool2d(3, divisor_override=2), 4),
        (nn.AdaptiveMaxPool2d(2), 3),
        (nn.LPPool2d(2, 3), 4),
        (nn.Upsample(scale_factor=2), 4),
    ],
    ids=str,
)
def test_constants_through_pools(pool, n_kept):
    """Where zeros are averaged in, or the pool is not understood, the channel stays."""
    model = build(lambda: nn.Sequential(nn.Conv2d(1, 4, 3), pool, nn.Conv2d(4, 2, 1)))
    zero(model[0].weight, 1)
    smaller, _ = prune.shrink(model, torch.ones(1, 1, 8, 8, dtype=torch.float64))
    assert_same(smaller, model, 2, 1, 8, 8)
    assert smaller[0].out_channels == n_kept


@pytest.mark.parametrize(("bias", "n_kept"), [(1.0, 8), (0.0, 7)])
def test_constant_times_something(bias, n_kept):
    """It is constant only if it is zero."""
    model = build(Gated)
    zero(model.conv.weight, 1)
    with torch.no_grad():
        model.conv.bias[1] = bias
    smaller, _ = prune.shrink(model, torch.randn(1, 1, 8, 8, dtype=torch.float64))
    assert_same(smaller, model, 2, 1, 8, 8)
    assert smaller.conv.out_channels == smaller.expand.out_channels == n_kept


def test_sums_tie_channels():
    """A channel of the stream goes only if nobody reads it and all can drop it."""
    model = build(Residual)
    block = model.blocks[0]
    readers = (block.first, model.blocks[1].first, model.blocks[1].short_cut[0])
    for conv in readers:
        zero(conv.weight, slice(None), [0, 4])
    zero(readers[1].weight, slice(None), 5)
    smaller, report = prune.shrink(model, torch.ones(1, 1, 8, 8, dtype=torch.float64))
    assert_same(smaller, model, 2, 1, 8, 8)
    assert report.layers["stem"] == ((6, 1, 3, 3), (4, 1, 3, 3))
    assert report.layers["blocks.0.second"] == ((6, 6, 3, 3), (4, 6, 3, 3))
    assert report.layers["blocks.1.short_cut.0"] == ((8, 6, 1, 1), (8, 4, 1, 1))
    assert report.layers["blocks.0.second_norm"] == ((6,), (4,))


def test_channels_in_concatenation_and_depthwise():
    """Each keeps its place."""
    model = build(Concatenating)
    zero(model.mix.weight, slice(None), [6, 7])  # both filters of channel 3: from a
    zero(model.b.weight, slice(None), 3)
    zero(model.mix.weight, slice(None), [20])  # one of two of channel 10: stays
    smaller, report = prune.shrink(model, torch.ones(1, 2, 8, 8, dtype=torch.float64))
    assert_same(smaller, model, 2, 2, 8, 8)
    assert smaller.a.out_channels == 4
    assert smaller.b.in_channels == 6
    assert (smaller.depthwise.groups, smaller.depthwise.out_channels) == (10, 20)
    assert report.layers["mix"] == ((6, 22, 1, 1), (6, 20, 1, 1))


def test_flattened_channels():
    """A channel is as many features as it has pixels."""
    model = build(
        lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(48, 2))
    )
    zero(model[2].weight, slice(None), slice(16, 32))
    zero(model[2].weight, slice(None), slice(32, 47))
    smaller, report = prune.shrink(model, torch.ones(1, 1, 6, 6, dtype=torch.float64))
    assert_same(smaller, model, 2, 1, 6, 6)
    assert report.layers["2"] == ((2, 48), (2, 32))


def test_inputs_of_the_model_stay():
    model = build(lambda: nn.Sequential(nn.Linear(100, 4), nn.ReLU(), nn.Linear(4, 2)))
    zero(model[0].weight, slice(None), slice(3, 100))
    smaller, report = prune.shrink(model, torch.ones(1, 100, dtype=torch.float64))
    assert_same(smaller, model, 7, 100)
    assert report.layers == {}


class NumpyNames(nn.Module):
    """Names axes as NumPy does."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv1d(2, 4, 3)
        self.left, self.right = nn.Linear(4, 3), nn.Linear(4, 3)
        self.head = nn.Linear(6, 2)

    def forward(self, X):
        H = self.convolution(X).relu().mean(axis=-1)
        return self.head(torch.cat([self.left(H), self.right(H)], axis=1))


class MeanOfAll(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, X):
        return self.layer(X).mean(dim=None)


def test_axis_is_dim():
    """PyTorch takes both."""
    model = build(NumpyNames)
    zero(model.convolution.weight, 1)
    zero(model.right.weight, 0)
    smaller, _ = prune.shrink(model, torch.randn(3, 2, 5).double())
    assert_same(smaller, model, 3, 2, 5)
    assert smaller.convolution.out_channels == 3
    assert smaller.head.in_features == 5
    assert prune.shrink(build(MeanOfAll), torch.randn(3, 4).double())[1].layers == {}


def test_complex_layers_stay():
    """Imaginary parts are neither lost nor taken for zeros."""
    model = nn.Sequential(
        nn.Linear(4, 6, dtype=torch.complex64), nn.Linear(6, 2, dtype=torch.complex64)
    )
    zero(model[0].weight, slice(3))
    with torch.no_grad():
        model[0].weight[3] = 1j
    X = torch.randn(3, 4, dtype=torch.complex64)
    smaller, report = prune.shrink(model, X)
    assert report.layers == {}
    assert torch.equal(smaller(X), model(X))
