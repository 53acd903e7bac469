"""Removal of dead units: operations left alone, pruned models, errors."""

import dataclasses
import operator

import pytest
import torch
from shrink_helpers import assert_same, build, make_mlp, zero
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from torch.nn.utils import prune as torch_prune

from skproj.nn import prune
from skproj.nn.functional import projection_l12_ball

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


def in_place_on_view(H, model):
    F.relu_(H[2:])
    return H * 1.0


def in_place_on_same(H, model):
    G = F.dropout(H, training=False)
    G.add_(1.0)
    return H * 1.0


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
    "in place on a part of it": in_place_on_view,
    "in place on a view of it": lambda H, model: in_place_on_view(H.flatten(1), model),
    "in place on itself": in_place_on_same,
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
        lambda H, model: F.softshrink(H, 0.1),
        lambda H, model: torch.clamp(H, min=0.1),
        lambda H, model: H.add_(1.0),
        lambda H, model: operator.iadd(H, H),
        lambda H, model: F.dropout(H, training=model.training),
        lambda H, model: H.reshape(H.shape[0], -1),
        lambda H, model: H.flatten(1),
        lambda H, model: H.transpose(0, -1).transpose(1, 0),
        lambda H, model: torch.permute(H[:, None].permute(2, 1, 0), (2, 1, 0))[:, 0],
        lambda H, model: H[None, 1:, ...][0, :2],
        lambda H, model: H[:, None].mean((0, 1), keepdim=True)[0],
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
    assert report.layers == {}


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
    """It becomes smaller in both containers."""

    class Listed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(4, 3)])
            self.path = nn.Sequential(self.layers[0], nn.ReLU(), nn.Linear(3, 2))

        def forward(self, X):
            return self.path(X)

    model = build(Listed)
    zero(model.path[0].weight, 1)
    smaller, _ = prune.shrink(model, torch.randn(2, 4, dtype=torch.float64))
    assert_same(smaller, model, 5, 4)
    assert smaller.layers[0] is smaller.path[0]
    assert smaller.path[0].out_features == 2


def test_hooks():
    """What they do cannot be known."""
    model = build(lambda: nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)))
    zero(model[0].weight, 2)
    model[1].register_forward_hook(lambda module, args, output: output.flip(1))
    smaller, report = prune.shrink(model, torch.randn(2, 4, dtype=torch.float64))
    assert_same(smaller, model, 5, 4)
    assert report.layers == {}


def test_grouped_convolution_is_left_alone():
    """Where its groups would become unequal."""
    model = build(
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 1, groups=2), nn.Conv2d(4, 2, 1)
        )
    )
    zero(model[1].weight, [0, 1], 1)
    zero(model[2].weight, slice(None), 1)
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


def kill_by_pytorch(layer):
    torch_prune.ln_structured(layer, "weight", 0.5, n=2, dim=0)


def kill_twice(layer):
    kill_by_pytorch(layer)
    torch_prune.l1_unstructured(layer, "weight", 0.2)


class Rows(nn.Module):
    def forward(self, W):
        return projection_l12_ball(W, 1.0, dim=1)


def kill_by_parametrization(layer):
    parametrize.register_parametrization(layer, "weight", Rows())


@pytest.mark.parametrize("kill", [kill_by_pytorch, kill_twice, kill_by_parametrization])
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


class Packing(nn.Module):
    def __init__(self):
        super().__init__()
        self.recurrent = nn.LSTM(4, 6)

    def forward(self, X):
        X = nn.utils.rnn.pack_padded_sequence(X, torch.tensor([5, 3]))
        return self.recurrent(X)[1]


@pytest.mark.parametrize("make", [DataDependent, Packing])
def test_refusal_of_what_cannot_be_traced(make):
    """With the reason of PyTorch."""
    with pytest.raises(ValueError, match=r"model must be one that torch\.fx can trace"):
        prune.shrink(make(), torch.ones(5, 2, 4))


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
            H = self.first(X)
            return self.last(H) * torch.ones(self.first.out_features)[3]

    model = build(lambda: Counting(None))
    zero(model.first.weight, 1)
    with pytest.raises(RuntimeError, match="does not agree with model") as info:
        prune.shrink(model, torch.ones(1, 3, dtype=torch.float64))
    assert isinstance(info.value.__cause__, IndexError)


def test_outputs_without_tensors_are_refused():
    """There is nothing to compare."""

    class Silent(nn.Module):
        def forward(self, X):
            return None

    with pytest.raises(TypeError, match=r"model must return tensors, .* got NoneType"):
        prune.shrink(Silent(), torch.ones(1, 3))
