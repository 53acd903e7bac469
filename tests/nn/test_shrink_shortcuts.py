"""Removal of constant branches, which must leave the sizes of a sum as they are."""

import pytest
import torch
from shrink_helpers import build, zero
from torch import nn
from torch.nn import functional as F

from skproj.nn import prune


class Branched(nn.Module):
    """A branch of constants, to be added to something."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 4), nn.Linear(4, 6)

    def branch(self, X):
        return self.b(F.relu(self.a(X)))


class Query(Branched):
    def __init__(self):
        super().__init__()
        self.query = nn.Parameter(torch.randn(1, 6))

    def forward(self, X):
        return self.query + self.branch(X)


class TwoInputs(Branched):
    def forward(self, X, Y):
        return Y + self.branch(X)


class OfQuery(Query):
    def forward(self, X):
        return F.relu(X * 2.0 + self.query) + self.branch(X)


class FirstSample(Branched):
    def forward(self, X):
        return X[:1] + self.branch(X)


@pytest.mark.parametrize(
    ("kind", "shapes", "is_skipped"),
    [
        (Query, [(5, 6)], False),
        (TwoInputs, [(5, 6), (1, 6)], False),
        (FirstSample, [(5, 6)], False),
        (OfQuery, [(5, 6)], True),
    ],
)
def test_only_shortcuts_have_the_samples_of_a_branch(kind, shapes, is_skipped):
    """Anything else may have one where the branch has many."""
    model = build(kind)
    zero(model.b.weight, range(6))
    example = tuple(torch.ones(1, 6).double() for _ in shapes)
    smaller, _ = prune.shrink(model, example)
    inputs = [torch.randn(*shape).double() for shape in shapes]
    torch.testing.assert_close(smaller(*inputs), model(*inputs), rtol=0, atol=1e-12)
    assert (type(smaller.a) is prune.SkippedLayer) == is_skipped


class Images(nn.Module):
    """A branch of convolutions beside some shortcut."""

    def __init__(self, shortcut, stride, padding):
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, stride, padding)
        self.b, self.shortcut = nn.Conv2d(4, 3, 3, padding=1), shortcut

    def forward(self, X):
        return self.shortcut(X) + self.b(F.relu(self.a(X)))


@pytest.mark.parametrize(
    ("shortcut", "stride", "padding", "is_skipped"),
    [
        (nn.Identity(), 1, "same", True),
        (nn.Conv2d(3, 3, 1, 2), 2, 1, True),
        (nn.MaxPool2d(3, 2, 1), 2, 1, True),
        (nn.AdaptiveAvgPool2d(1), 1, 1, False),
        (nn.Conv2d(3, 3, 1, 2), 1, 1, False),
        (nn.AvgPool2d(1, 2), 3, 1, False),
    ],
)
def test_only_shortcuts_have_the_places_of_a_branch(
    shortcut, stride, padding, is_skipped
):
    """One place of the example can become many."""
    model = build(lambda: Images(shortcut, stride, padding))
    zero(model.b.weight, range(3))
    smaller, _ = prune.shrink(model, torch.ones(1, 3, 1, 1).double())
    for size in (1, 7) if is_skipped or stride == 1 else (1,):
        X = torch.randn(2, 3, size, size).double()
        if isinstance(shortcut, nn.Conv2d) and not is_skipped:
            X = X[:, :, :1, :1]
        torch.testing.assert_close(smaller(X), model(X), rtol=0, atol=1e-12)
    assert (type(smaller.a) is prune.SkippedLayer) == is_skipped


@pytest.mark.parametrize("is_training", [False, True])
def test_skipped_branches_with_operations_in_place(is_training):
    """They can be trained, and change nothing that others read."""
    model = build(lambda: Images(nn.Identity(), 1, 1))
    model.a = nn.Sequential(model.a, nn.ReLU(inplace=True))
    zero(model.b.weight, range(3))
    smaller, _ = prune.shrink(model, torch.ones(1, 3, 4, 4).double())
    assert type(smaller.a[0]) is prune.SkippedLayer
    X = torch.randn(2, 3, 4, 4).double().requires_grad_()
    smaller.train(is_training)(X.exp()).sum().backward()
    torch.testing.assert_close(X.grad, X.exp())
    assert smaller.b.bias.grad is not None


def test_constants_in_a_plain_tensor():
    """They are a part of the state, and move with the module."""
    layer = prune.ConstantOutput(torch.tensor([1.0, 2.0]))
    assert not list(layer.parameters())
    assert set(layer.state_dict()) == {"bias"}
    assert layer.double()(torch.zeros(3, 5)).dtype == torch.float64
    with pytest.raises(TypeError, match="bias must be a tensor, got list"):
        prune.ConstantOutput([1.0, 2.0])
