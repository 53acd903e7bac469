"""Removal of channels that additions tie together, in a residual network."""

import pickle

import pytest
import torch
from shrink_helpers import assert_same, build, zero
from torch import nn
from torch.nn import functional as F

from skproj.nn import prune

DEAD = [0, 2, 3, 7]


class Block(nn.Module):
    def __init__(self, n_channels):
        super().__init__()
        self.first = nn.Conv2d(n_channels, n_channels, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(n_channels)
        self.second = nn.Conv2d(n_channels, n_channels, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(n_channels)

    def forward(self, X):
        H = F.relu(self.first_norm(self.first(X)))
        return F.relu(X + self.second_norm(self.second(H)))


class ResNet(nn.Module):
    """A stage of three blocks."""

    def __init__(self, n_channels=8):
        super().__init__()
        self.stem = nn.Conv2d(3, n_channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(n_channels)
        self.blocks = nn.Sequential(*(Block(n_channels) for _ in range(3)))
        self.head = nn.Linear(n_channels, 4)

    def forward(self, X):
        H = self.blocks(F.relu(self.norm(self.stem(X))))
        return self.head(H.mean((2, 3)))


def kill_writers(model):
    """Make the channels of the stream zero in all layers but the last that write."""
    zero(model.stem.weight, DEAD)
    for block in model.blocks[:2]:
        zero(block.second.weight, DEAD)


def test_tied_channels_go_together():
    """From all layers that write or read the stream, and their norms."""
    model = build(ResNet)
    kill_writers(model)
    zero(model.blocks[2].second.weight, DEAD)
    smaller, report = prune.shrink(model, torch.ones(1, 3, 6, 6).double())
    assert_same(smaller, model, 5, 3, 6, 6)
    assert report.layers["stem"] == ((8, 3, 3, 3), (4, 3, 3, 3))
    assert report.layers["head"] == ((4, 8), (4, 4))
    for i in range(3):
        assert report.layers[f"blocks.{i}.first"] == ((8, 8, 3, 3), (8, 4, 3, 3))
        assert report.layers[f"blocks.{i}.second"] == ((8, 8, 3, 3), (4, 8, 3, 3))
        assert report.layers[f"blocks.{i}.second_norm"] == ((8,), (4,))
    halves = 3 * 8 * 9 + 2 * 8 + 4 * 8 + 3 * (2 * 8 * 8 * 9 + 2 * 8)
    removed = report.before.n_parameters - report.after.n_parameters
    assert removed == halves // 2


def test_tied_channels_stay_together():
    """One layer that still writes them is enough."""
    model = build(ResNet)
    kill_writers(model)
    smaller, report = prune.shrink(model, torch.ones(1, 3, 6, 6).double())
    assert_same(smaller, model, 5, 3, 6, 6)
    assert "blocks.2.second" not in report.layers
    assert "stem" not in report.layers


def test_channels_inside_a_block_go_alone():
    """No addition ties them to others."""
    model = build(ResNet)
    zero(model.blocks[1].first.weight, DEAD)
    smaller, report = prune.shrink(model, torch.ones(1, 3, 6, 6).double())
    assert_same(smaller, model, 5, 3, 6, 6)
    assert set(report.layers) == {
        "blocks.1.first",
        "blocks.1.first_norm",
        "blocks.1.second",
    }


def kill_branch(model, i):
    """Make all outputs of a branch constant, other numbers than zero."""
    zero(model.blocks[i].second.weight, range(8))
    with torch.no_grad():
        model.blocks[i].second_norm.bias.normal_()


@pytest.mark.parametrize("fuse", [False, True])
@pytest.mark.parametrize("dead", [[], DEAD])
def test_branches_of_constants_are_not_computed(fuse, dead):
    """Only their constants are added, of the channels that are left."""
    model = build(ResNet)
    kill_branch(model, 1)
    kill_writers(model)
    zero(model.blocks[2].second.weight, dead)
    for i in (0, 2):
        zero(model.blocks[i].second_norm.bias, dead)
    zero(model.blocks[1].second_norm.bias, dead)
    smaller, report = prune.shrink(model, torch.ones(1, 3, 6, 6).double(), fuse=fuse)
    assert_same(smaller, model, 5, 3, 6, 6)
    block = smaller.blocks[1]
    assert type(block.first) is prune.SkippedLayer
    for name in ("first", "first_norm", "second"):
        assert not any(W.numel() for W in getattr(block, name).parameters())
        assert report.layers[f"blocks.1.{name}"][1] == ()
    assert block.second_norm.bias.shape == (8 - len(dead), 1, 1)
    assert block.second_norm.bias.requires_grad
    convolutions = [x for x in smaller.modules() if isinstance(x, nn.Conv2d)]
    assert len(convolutions) == 5


def test_constants_that_are_not_added_are_computed():
    """They would have another shape."""

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, X):
            return torch.cat([self.left(X), self.right(X)], dim=1)

    model = build(Two)
    zero(model.left.weight, range(3))
    smaller, _ = prune.shrink(model, torch.ones(2, 4).double())
    assert_same(smaller, model, 5, 4)
    assert type(smaller.left) is not prune.ConstantOutput


def add_in_place(H, X):
    H += X
    return H


def add_with_the_method(H, X):
    return H.add_(X)


def subtract_in_place(H, X):
    H -= X
    return H


def multiply_in_place(H, X):
    H *= X
    return H


def add_to_the_shortcut(H, X):
    X += H
    return X


class InPlace(Block):
    """As networks of torchvision are written."""

    def __init__(self, n_channels, combine):
        super().__init__(n_channels)
        self.combine = combine

    def forward(self, X):
        H = F.relu(self.first_norm(self.first(X)), inplace=True)
        H = self.second_norm(self.second(H))
        return F.relu(self.combine(H, X), inplace=True)


@pytest.mark.parametrize(
    "combine",
    [add_in_place, add_with_the_method, subtract_in_place, multiply_in_place],
)
def test_constants_that_are_changed_in_place(combine):
    """The branch is gone, and the shortcut is left alone."""
    model = build(ResNet)
    model.blocks[1] = InPlace(8, combine).double().eval()
    kill_branch(model, 1)
    smaller, _ = prune.shrink(model, torch.ones(1, 3, 6, 6).double(), fuse=True)
    assert_same(smaller, model, 5, 3, 6, 6)
    block = smaller.blocks[1]
    assert type(block.first) is prune.SkippedLayer
    assert type(block.second_norm) is prune.WritableOutput
    before = block.second_norm.bias.clone()
    smaller(torch.randn(4, 3, 6, 6).double()).sum().backward()
    assert torch.equal(block.second_norm.bias, before)
    assert block.second_norm.bias.grad is not None
    assert_same(torch.fx.symbolic_trace(smaller), model, 5, 3, 6, 6)
    assert_same(pickle.loads(pickle.dumps(smaller)), model, 5, 3, 6, 6)
    again, _ = prune.shrink(smaller, torch.ones(1, 3, 6, 6).double())
    assert_same(again, model, 5, 3, 6, 6)


def add_twice(H, X):
    K = H
    K += X
    return H + K


@pytest.mark.parametrize(
    ("combine", "kind"),
    [
        (add_to_the_shortcut, prune.ConstantOutput),
        (lambda H, X: H + X, prune.ConstantOutput),
        (lambda H, X: X - H, prune.ConstantOutput),
        (lambda H, X: (H + X) * (X + H), prune.ConstantOutput),
        (lambda H, X: (H + X) * H.add(X), prune.ConstantOutput),
        (lambda H, X: torch.add(H, X) - H * X, prune.ConstantOutput),
        (add_twice, nn.BatchNorm2d),
        (lambda H, X: H.add_(X) + H, nn.BatchNorm2d),
        (lambda H, X: torch.add(H, X, alpha=2), nn.BatchNorm2d),
    ],
)
def test_constants_that_stay_tensors(combine, kind):
    """Nothing writes to them, or somebody sees what is written."""
    model = build(ResNet)
    model.blocks[1] = InPlace(8, combine).double().eval()
    kill_branch(model, 1)
    zero(model.blocks[1].second_norm.bias)
    smaller, _ = prune.shrink(model, torch.zeros(1, 3, 6, 6).double())
    assert_same(smaller, model, 5, 3, 6, 6)
    assert type(smaller.blocks[1].second_norm) is kind


def write_to_it(H, X):
    H.add_(X)
    return H


def write_to_a_view(H, X):
    H.flatten(1).add_(X.flatten(1))
    return H


def write_to_a_part(H, X):
    H.narrow(1, 0, 4).add_(X[:, :4])
    return H


@pytest.mark.parametrize("combine", [write_to_it, write_to_a_view, write_to_a_part])
def test_what_is_written_to_is_not_constant(combine):
    """For who reads it later; zeros hide that."""

    class Written(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = (nn.Linear(n, n) for n in (8, 8, 8))

        def forward(self, X):
            return self.c(F.relu(self.b(F.relu(combine(self.a(X), X)))))

    model = build(Written)
    zero(model.a.weight, range(8))
    smaller, _ = prune.shrink(model, torch.zeros(2, 8).double())
    assert_same(smaller, model, 5, 8)


@pytest.mark.parametrize("after", [nn.Dropout(), nn.Tanh(), nn.ReLU(inplace=True)])
def test_branches_that_end_with_an_activation(after):
    """Or with dropout, as in transformers; not with one that writes."""

    class Branch(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(6, 9), nn.Linear(9, 6)
            self.after = after

        def forward(self, X):
            return X + self.after(self.second(F.relu(self.first(X))))

    model = build(lambda: nn.Sequential(nn.Linear(6, 6), Branch(), nn.Linear(6, 2)))
    zero(model[1].second.weight, range(6))
    smaller, _ = prune.shrink(model, torch.ones(2, 6).double())
    bias = smaller[1].second.bias.clone()
    assert_same(smaller, model, 5, 6)
    assert torch.equal(smaller[1].second.bias, bias)
    is_skipped = type(smaller[1].first) is prune.SkippedLayer
    assert is_skipped == (not getattr(after, "inplace", False))


def test_blocks_that_ask_for_what_a_skipped_layer_has():
    """They are computed, and others are not."""

    class Asking(Block):
        def forward(self, X):
            H = F.relu(self.first_norm(self.first(X)))
            H = self.second_norm(self.second(H))
            is_same = self.second.out_channels == self.first.in_channels
            return F.relu(H + X if is_same else H)

    model = build(ResNet)
    model.blocks[1] = Asking(8).double().eval()
    for i in range(3):
        kill_branch(model, i)
    smaller, _ = prune.shrink(model, torch.ones(1, 3, 6, 6).double())
    assert_same(smaller, model, 5, 3, 6, 6)
    kinds = [type(block.second) for block in smaller.blocks]
    assert kinds == [nn.Identity, nn.Conv2d, nn.Identity]


def test_constants_can_be_compiled():
    """As tensors."""
    model = build(ResNet)
    kill_branch(model, 1)
    smaller, _ = prune.shrink(model, torch.ones(1, 3, 6, 6).double())
    assert type(smaller.blocks[1].second_norm) is prune.ConstantOutput
    compiled = torch.compile(smaller, backend="eager", fullgraph=True)
    assert_same(compiled, model, 5, 3, 6, 6)


@pytest.mark.parametrize("groups", [1, 2])
def test_norms_are_fused(groups):
    """With the layers in front of them, and only where that is the same."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3, bias=False)
            self.up = nn.ConvTranspose2d(4, 6, 2, groups=groups)
            self.linear, self.norm = nn.Linear(6, 5), nn.BatchNorm1d(5)
            self.norm1, self.norm2 = nn.BatchNorm2d(4), nn.BatchNorm2d(6, affine=False)
            self.rows, self.norm3 = nn.Linear(3, 3), nn.BatchNorm1d(5)
            self.read_twice, self.norm4 = nn.Linear(5, 5), nn.BatchNorm1d(5)

        def forward(self, X):
            H = F.relu(self.norm1(self.conv(X)))
            H = self.norm2(self.up(H)).mean((2, 3))
            H = F.relu(self.norm(self.linear(H)))
            Z = self.read_twice(H)
            H = (self.norm4(Z) + Z).unsqueeze(2) * torch.ones(3, dtype=H.dtype)
            return self.norm3(self.rows(H))

    model = build(Net)
    torch.manual_seed(0)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2.0)
    smaller, _ = prune.shrink(model, torch.ones(2, 1, 6, 6).double(), fuse=True)
    assert_same(smaller, model, 5, 1, 6, 6)
    left = [
        n
        for n in ("norm", "norm1", "norm2", "norm3", "norm4")
        if not isinstance(getattr(smaller, n), nn.Identity)
    ]
    assert left == ["norm2"] * (groups > 1) + ["norm3", "norm4"]
    assert isinstance(model.norm, nn.BatchNorm1d)


class Selecting(nn.Module):
    """Has all that `shrink` puts in the place of layers."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.attention = nn.MultiheadAttention(8, 4, batch_first=True)
        self.branch = nn.Sequential(nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 8))

    def forward(self, X):
        H = self.first(X)
        H = H + self.branch(H)
        return self.attention(H, H, H, need_weights=False)[0]


@pytest.mark.parametrize("weights_only", [False, True])
def test_modules_of_smaller_networks_can_be_saved(weights_only, tmp_path):
    """By their public names, which a careful reader allows."""
    model = build(Selecting)
    zero(model.first.weight[:, 1:3], range(8))
    zero(model.attention.out_proj.weight[:, :4], range(8))
    zero(model.branch[2].weight, range(8))
    smaller, _ = prune.shrink(model, torch.ones(1, 3, 4).double())
    ours = [
        prune.ConstantOutput,
        prune.SelectInputs,
        prune.SkippedLayer,
        prune.SmallerAttention,
    ]
    assert {type(x) for x in smaller.modules()} >= set(ours)
    if weights_only:
        torch.save(smaller.first, tmp_path / "first.pt")
        allowed = [prune.SelectInputs, nn.Linear]
        with torch.serialization.safe_globals(allowed):
            first = torch.load(tmp_path / "first.pt", weights_only=True)
        assert torch.equal(first.index, smaller.first.index)
        return
    torch.save(smaller, tmp_path / "smaller.pt")
    loaded = torch.load(tmp_path / "smaller.pt", weights_only=False)
    X = torch.randn(2, 5, 4).double()
    assert torch.equal(loaded(X), smaller(X))
    copied = pickle.loads(pickle.dumps(smaller))
    assert torch.equal(copied(X), smaller(X))
