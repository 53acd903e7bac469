"""Smaller networks that compute the same."""

import copy
import dataclasses
import operator

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from torch.nn.utils import prune as torch_prune

from skproj.nn import BallConstraint, prune
from skproj.nn.prune._shrink import SelectInputs

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


def make_mlp():
    return nn.Sequential(
        nn.Linear(6, 9),
        nn.BatchNorm1d(9),
        nn.ELU(),
        nn.Dropout(),
        nn.Linear(9, 7),
        nn.Softplus(),
        nn.Linear(7, 5, bias=False),
        nn.PReLU(),
        nn.Linear(5, 3, bias=False),
    )


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


def build(make, seed=0):
    torch.manual_seed(seed)
    return make().double().eval()


def zero(tensor, *indices):
    with torch.no_grad():
        tensor[indices] = 0.0


def flat(output):
    """All numbers of nested outputs."""
    if isinstance(output, torch.Tensor):
        return output.detach().ravel()
    parts = output.values() if isinstance(output, dict) else output
    return torch.cat([flat(part) for part in parts if not isinstance(part, int)])


def assert_same(smaller, model, *shape):
    """On other inputs than those of the shrinking."""
    X = torch.randn(shape, dtype=next(model.parameters()).dtype)
    tolerance = 1e-10 if X.dtype == torch.float64 else 1e-5
    torch.testing.assert_close(
        flat(smaller.eval()(X)), flat(model.eval()(X)), rtol=tolerance, atol=tolerance
    )


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


def test_batch_norm_without_scale():
    """Whatever comes in, a constant goes out."""
    model = build(
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    )
    zero(model[1].weight, slice(1, 3))
    smaller, _ = prune.shrink(model, torch.ones(1, 1, 8, 8, dtype=torch.float64))
    assert_same(smaller, model, 2, 1, 8, 8)
    assert smaller[0].out_channels == smaller[1].num_features == 2
    assert smaller[1].running_mean.shape == (2,)


def test_batch_norm_without_parameters():
    """Statistics only; and without those it is left alone."""
    for norm, n_kept in (
        (nn.BatchNorm2d(4, affine=False), 3),
        (nn.BatchNorm2d(4, track_running_stats=False), 4),
    ):
        model = build(
            lambda norm=norm: nn.Sequential(
                nn.Conv2d(1, 4, 3), norm, nn.Conv2d(4, 2, 1)
            )
        )
        zero(model[2].weight, slice(None), 1)
        smaller, _ = prune.shrink(model, torch.ones(2, 1, 8, 8, dtype=torch.float64))
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


def test_inputs_of_the_model():
    """The interface stays, and what is not read is not computed with."""
    model = build(lambda: nn.Sequential(nn.Linear(100, 4), nn.ReLU(), nn.Linear(4, 2)))
    zero(model[0].weight, slice(None), slice(3, 100))
    smaller, report = prune.shrink(model, torch.ones(1, 100, dtype=torch.float64))
    assert_same(smaller, model, 7, 100)
    assert type(smaller[0]) is SelectInputs
    assert smaller[0].layer.in_features == 3
    assert smaller[0].index.tolist() == [0, 1, 2]
    assert "3 inputs" in repr(smaller[0])
    assert report.layers["0"] == ((4, 100), (4, 3))
    twice, report = prune.shrink(smaller, torch.ones(1, 100, dtype=torch.float64))
    assert_same(twice, model, 7, 100)
    assert report.layers == {}


def test_channels_of_the_input():
    """Also of a convolution."""
    model = build(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()))
    zero(model[0].weight, slice(None), 1)
    smaller, _ = prune.shrink(model, torch.ones(1, 3, 4, 4, dtype=torch.float64))
    assert_same(smaller, model, 2, 3, 4, 4)
    assert smaller[0].index.tolist() == [0, 2]


# ---------------------------------------------------------------------------
# What is left alone


class Custom(nn.Module):
    """Two layers and an operation between them."""

    def __init__(self, between):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.last = nn.Linear(4, 2)
        self.extra = nn.Parameter(torch.ones(4))
        self.between = between

    def forward(self, X):
        return self.last(self.between(self.first(X), self))


def in_place_on_shared(H, model):
    before = H
    F.relu_(H)
    return before * 1.0


BETWEEN = {
    "sort": lambda H, model: H.sort(dim=1).values,
    "softmax": lambda H, model: H.softmax(dim=1),
    "norm": lambda H, model: H / H.norm(dim=1, keepdim=True),
    "a parameter": lambda H, model: H * model.extra,
    "another layer's weight": lambda H, model: H + model.last.weight[0],
    "sizes": lambda H, model: H.view(-1, 4),
    "size of a dimension": lambda H, model: H.view(H.size(0), H.size(1)),
    "random": lambda H, model: F.dropout(H, 0.0),
    "in place on a value with other readers": in_place_on_shared,
    "transposed": lambda H, model: H.t().t(),
    "stacked": lambda H, model: torch.stack([H, H]).sum(0),
    "batch concatenated": lambda H, model: torch.cat([H, H], dim=0),
    "broadcast": lambda H, model: H + H.mean(dim=1, keepdim=True),
    "concatenated parts": lambda H, model: torch.cat(H.chunk(2, dim=1), dim=1),
    "concatenated by name": lambda H, model: torch.cat(tensors=[H], dim=1),
}


@pytest.mark.parametrize("between", BETWEEN.values(), ids=BETWEEN)
def test_not_understood(between):
    """The constant unit stays, and the outputs are right."""
    model = build(lambda: Custom(between))
    zero(model.first.weight, 1)
    smaller, _ = prune.shrink(model, torch.randn(5, 3, dtype=torch.float64))
    assert_same(smaller, model, 5, 3)
    assert smaller.first.out_features == 4


@pytest.mark.parametrize(
    "pool",
    [nn.MaxPool1d(3, 1, 1), nn.AvgPool1d(3, 1, 1), nn.AdaptiveMaxPool1d(4)],
    ids=str,
)
def test_pools_over_units(pool):
    """Which PyTorch takes for the positions in an input without a batch."""
    model = build(lambda: nn.Sequential(nn.Linear(3, 4), pool, nn.Linear(4, 2)))
    zero(model[0].weight, [1, 2, 3])
    smaller, report = prune.shrink(model, torch.randn(5, 3, dtype=torch.float64))
    assert_same(smaller, model, 5, 3)
    assert report.layers == {}


@pytest.mark.parametrize(
    "between",
    [
        lambda H, model: H.relu(),
        lambda H, model: F.leaky_relu(H, 0.1),
        lambda H, model: torch.clamp(H, min=0.1),
        lambda H, model: H.add_(1.0),
        lambda H, model: operator.iadd(H, H),
        lambda H, model: F.dropout(H, training=model.training),
        lambda H, model: H.reshape(H.shape[0], -1),
        lambda H, model: H.flatten(1),
    ],
)
def test_understood(between):
    """In each way to write it."""
    model = build(lambda: Custom(between))
    zero(model.first.weight, 1)
    smaller, _ = prune.shrink(model, torch.randn(5, 3, dtype=torch.float64))
    assert_same(smaller, model, 5, 3)
    assert smaller.first.out_features == 3


def test_memory_format():
    """It changes no number."""
    last = torch.channels_last
    model = build(lambda: Custom(lambda H, model: H.contiguous(memory_format=last)))
    model.first, model.last = nn.Conv2d(3, 4, 1).double(), nn.Conv2d(4, 2, 1).double()
    zero(model.first.weight, 1)
    smaller, _ = prune.shrink(model, torch.randn(2, 3, 4, 4, dtype=torch.float64))
    assert_same(smaller, model, 2, 3, 4, 4)
    assert smaller.first.out_channels == 3


def test_layers_used_twice():
    """Layers and norms stay; activations can be used as often as wanted."""

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
            self.relu = nn.ReLU()

        def forward(self, X):
            H = self.relu(self.b(self.relu(self.a(X))))
            return self.c(self.relu(self.b(H)))

    model = build(Twice)
    for layer in (model.a, model.b, model.c):
        zero(layer.weight, slice(None), 1)
        zero(layer.weight, 2)
    smaller, report = prune.shrink(model, torch.ones(2, 4, dtype=torch.float64))
    assert_same(smaller, model, 5, 4)
    assert set(report.layers) == {"a"}  # an input of the model


def test_shared_weights():
    """Both layers stay as they are."""
    model = build(lambda: nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)))
    model[2].weight = model[0].weight
    zero(model[0].weight, slice(None), 1)
    zero(model[0].weight, 2)
    smaller, report = prune.shrink(model, torch.ones(2, 4, dtype=torch.float64))
    assert_same(smaller, model, 5, 4)
    assert report.layers == {}
    assert smaller[2].weight is smaller[0].weight


@pytest.mark.parametrize("norm", [nn.utils.weight_norm, nn.utils.spectral_norm])
@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
def test_weights_that_hooks_compute(norm):
    """They are copied, and stay as they are."""
    model = build(lambda: nn.Sequential(*(nn.Linear(4, 4) for _ in range(3))))
    zero(model[1].weight, 2)
    norm(model[0])
    model(torch.randn(2, 4, dtype=torch.float64))
    smaller, report = prune.shrink(model, torch.randn(2, 4, dtype=torch.float64))
    assert_same(smaller, model, 5, 4)
    assert set(report.layers) == {"1", "2"}


def test_layer_by_two_names():
    """What skips inputs takes the place of the layer in both containers."""

    class Listed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(4, 2)])
            self.path = nn.Sequential(self.layers[0], nn.ReLU())

        def forward(self, X):
            return self.path(X)

    model = build(Listed)
    zero(model.path[0].weight, slice(None), 1)
    smaller, _ = prune.shrink(model, torch.randn(2, 4, dtype=torch.float64))
    assert_same(smaller, model, 5, 4)
    assert smaller.layers[0] is smaller.path[0]
    assert smaller.path[0].layer.in_features == 3


def test_hooks():
    """What they do cannot be known."""
    model = build(lambda: nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)))
    zero(model[0].weight, 2)
    model[1].register_forward_hook(lambda module, args, output: output.flip(1))
    smaller, report = prune.shrink(model, torch.randn(2, 4, dtype=torch.float64))
    assert_same(smaller, model, 5, 4)
    assert report.layers == {}


def test_grouped_convolution_is_left_alone():
    """Its groups would become unequal."""
    model = build(
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 1, groups=2), nn.Conv2d(4, 2, 1)
        )
    )
    for i in (1, 2):
        zero(model[i].weight, slice(None), 1)
    smaller, report = prune.shrink(model, torch.ones(1, 1, 5, 5, dtype=torch.float64))
    assert_same(smaller, model, 2, 1, 5, 5)
    assert report.layers == {}


def test_layer_by_itself():
    """Its inputs and outputs are those of the model."""
    layer = build(lambda: nn.Linear(4, 3))
    zero(layer.weight, 1)
    smaller, report = prune.shrink(layer, torch.ones(1, 4, dtype=torch.float64))
    assert_same(smaller, layer, 2, 4)
    assert report.layers == {}


# ---------------------------------------------------------------------------
# Pruned models, modes and refusals


def kill_by_ours(layer):
    prune.projection_structured(layer, "weight", 1.0, "l12")


def kill_by_pytorch(layer):
    torch_prune.ln_structured(layer, "weight", 0.5, n=2, dim=0)


def kill_by_both(layer):
    kill_by_ours(layer)
    kill_by_pytorch(layer)


def kill_by_parametrization(layer):
    constraint = BallConstraint("l12", 1.0, dim=1)
    parametrize.register_parametrization(layer, "weight", constraint)


@pytest.mark.parametrize(
    "kill", [kill_by_ours, kill_by_pytorch, kill_by_both, kill_by_parametrization]
)
def test_pruned_models(kill):
    """Their masks have become plain weights, and the model is left as it was."""
    model = build(lambda: nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2)))
    kill(model[0])
    model(torch.ones(1, 6, dtype=torch.float64))
    names = [name for name, _ in model.named_parameters()]
    smaller, _ = prune.shrink(model, torch.ones(1, 6, dtype=torch.float64))
    assert_same(smaller, model, 5, 6)
    n_kept = int(model[0].weight.any(dim=1).sum())
    assert smaller[0].out_features == n_kept < 16
    assert type(smaller[0]) is nn.Linear
    assert type(smaller[0].weight) is nn.Parameter
    assert not torch_prune.is_pruned(smaller)
    assert [name for name, _ in model.named_parameters()] == names


def test_smaller_models_train():
    """In the modes, and with the frozen parameters, of the model."""
    model = build(make_mlp).train()
    model[1].eval()
    model[4].weight.requires_grad_(False)
    zero(model[0].weight, [0, 3])
    smaller, _ = prune.shrink(model, torch.ones(2, 6, dtype=torch.float64))
    assert smaller.training
    assert not smaller[1].training
    assert smaller[3].training
    assert model.training
    assert not smaller[4].weight.requires_grad
    optimizer = torch.optim.SGD(
        [W for W in smaller.parameters() if W.requires_grad], 0.1
    )
    before = smaller[0].weight.detach().clone()
    smaller(torch.ones(4, 6, dtype=torch.float64)).sum().backward()
    optimizer.step()
    assert not torch.equal(smaller[0].weight, before)
    assert smaller[0].weight.shape == (7, 6)


def test_several_inputs():
    """As a tuple."""

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(3, 4), nn.Linear(2, 4), nn.Linear(4, 2)

        def forward(self, X, Y):
            return self.c(torch.relu(self.a(X) + self.b(Y)))

    model = build(Two)
    zero(model.c.weight, slice(None), 1)
    inputs = torch.ones(5, 3).double(), torch.ones(5, 2).double()
    smaller, report = prune.shrink(model, inputs)
    torch.testing.assert_close(smaller(*inputs), model(*inputs))
    assert set(report.layers) == {"a", "b", "c"}


def test_optional_inputs():
    """Those that are not given have their defaults."""

    class Optional(Custom):
        def forward(self, X, scale=None, sizes=(2, 3), *, rectify=True, **others):
            H = self.first(X)
            if scale is not None:
                H = H * scale
            if rectify:
                H = F.relu(H)
            return self.last(H) * sizes[1]

    model = build(lambda: Optional(None))
    zero(model.first.weight, 1)
    for scale in ((), (torch.full((5, 4), 2.0, dtype=torch.float64),)):
        X = torch.randn(5, 3, dtype=torch.float64)
        smaller, _ = prune.shrink(model, (X, *scale))
        torch.testing.assert_close(smaller(X, *scale), model(X, *scale))
        assert smaller.first.out_features == (4 if scale else 3)


def test_report_as_text():
    """A line for each number and each layer."""
    model = build(lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)))
    zero(model[0].weight, [0, 1])
    _, report = prune.shrink(model, torch.ones(1, 3, dtype=torch.float64))
    lines = [line.split() for line in str(report).splitlines()]
    assert lines[0] == ["before", "after", "ratio"]
    assert lines[1] == ["parameters", "26", "14", "0.538"]
    assert lines[2] == ["FLOPs", "40", "20", "0.500"]
    assert lines[3][0] == "ms"
    assert min(report.before.milliseconds, report.after.milliseconds) > 0.0
    assert lines[4:] == [
        ["0", *"4 x 3".split(), *"2 x 3".split()],
        ["2", *"2 x 4".split(), *"2 x 2".split()],
    ]
    assert "26 -> 14 parameters" in repr(report)


class DataDependent(nn.Module):
    def forward(self, X):
        return X if X.sum() > 0 else -X


def test_refusal_of_what_cannot_be_traced():
    """With the reason of PyTorch."""
    with pytest.raises(ValueError, match=r"model must be one that torch\.fx can trace"):
        prune.shrink(DataDependent(), torch.ones(2))


@pytest.mark.parametrize(
    ("model", "inputs", "message"),
    [
        (3, torch.ones(2), r"model must be a torch\.nn\.Module, got int"),
        (nn.ReLU(), [torch.ones(2)], "example_inputs must be a tensor or a tuple"),
        (nn.ReLU(), (1.0,), "example_inputs must be a tensor or a tuple"),
    ],
)
def test_refusal(model, inputs, message):
    with pytest.raises(TypeError, match=message):
        prune.shrink(model, inputs)


@dataclasses.dataclass
class Output:
    tensor: torch.Tensor


class Hidden(Custom):
    """Reads a layer behind the back of tracing."""

    def __init__(self, wrap):
        super().__init__(None)
        self.wrap = wrap

    def forward(self, X):
        H = self.last(self.first(X))
        return self.wrap(H * self.first.out_features)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda H: H,
        lambda H: {"parts": [(H, 1)]},
        lambda H: torch.cat([H, torch.full_like(H, -torch.inf)]),
        Output,
    ],
)
def test_disagreement_is_refused(wrap):
    """Wherever in the outputs it is."""
    model = build(lambda: Hidden(wrap))
    zero(model.first.weight, 1)
    with pytest.raises(RuntimeError, match="does not agree with model on example_inpu"):
        prune.shrink(model, torch.ones(1, 3, dtype=torch.float64))


def test_error_of_the_smaller_model_is_refused():
    """As a disagreement, with the error as its cause."""

    class Counting(Custom):
        def forward(self, X):
            return self.last(self.first(X)) * self.first.in_features

    model = build(lambda: Counting(None))
    zero(model.first.weight, slice(None), 1)
    with pytest.raises(RuntimeError, match="does not agree with model") as info:
        prune.shrink(model, torch.ones(1, 3, dtype=torch.float64))
    assert isinstance(info.value.__cause__, AttributeError)


def test_outputs_without_tensors_are_refused():
    """There is nothing to compare."""

    class Silent(nn.Module):
        def forward(self, X):
            return None

    with pytest.raises(TypeError, match=r"model must return tensors, .* got NoneType"):
        prune.shrink(Silent(), torch.ones(1, 3))
