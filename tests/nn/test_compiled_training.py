"""Training with `torch.compile` and with mixed precision."""

import copy
from functools import partial

import pytest
import torch
from torch import nn

from skproj.nn import (
    ProximalAdam,
    ProximalSGD,
    Sparsifier,
    register_projection,
    sparsify,
)
from skproj.nn.functional import projection_l1inf_ball


def make_problem():
    torch.manual_seed(0)
    X = torch.randn(64, 12)
    y = (X[:, 0] > X[:, 1]).long()
    model = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 2))
    return model, X, y


def with_projection(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    register_projection(optimizer, model[0].weight, "l1", 3.0)
    return optimizer


def with_l1(model):
    return ProximalSGD(model.parameters(), lr=0.1, l1=0.01)


def with_l12(model):
    groups = [
        {"params": [W for W in model.parameters() if W.ndim > 1], "penalty": "l12"},
        {"params": [W for W in model.parameters() if W.ndim == 1], "l1": 0.0},
    ]
    return ProximalAdam(groups, lr=0.01, l1=0.2)


each_optimizer = pytest.mark.parametrize(
    "make_optimizer", [with_projection, with_l1, with_l12]
)


def train(model, loss_of, optimizer, X, y):
    for _ in range(10):
        optimizer.zero_grad()
        loss_of(X, y).backward()
        optimizer.step()


@each_optimizer
def test_compiled_step(make_optimizer):
    """Loss and gradient are compiled; the weights are those without."""
    model, X, y = make_problem()
    other = copy.deepcopy(model)
    train(
        model,
        lambda X, y: nn.functional.cross_entropy(model(X), y),
        make_optimizer(model),
        X,
        y,
    )
    compiled = torch.compile(
        lambda X, y: nn.functional.cross_entropy(other(X), y),
        backend="aot_eager",
        fullgraph=True,
    )
    train(other, compiled, make_optimizer(other), X, y)
    for W, V in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(V, W, rtol=1e-4, atol=1e-6)
        assert torch.equal(V == 0, W == 0)
    assert (model[0].weight == 0).any()


# Of PyTorch itself, which instantiates the autograd function that it traces.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_compiled_step_with_a_projection_inside():
    """A projection of a weight in the forward pass is part of one graph."""
    model, X, y = make_problem()

    def loss_of(X, y):
        W = projection_l1inf_ball(model[0].weight, 2.0)
        hidden = nn.functional.linear(X, W, model[0].bias).relu()
        return nn.functional.cross_entropy(model[2](hidden), y)

    expected = torch.autograd.grad(loss_of(X, y), list(model.parameters()))
    compiled = torch.compile(loss_of, backend="aot_eager", fullgraph=True)
    found = torch.autograd.grad(compiled(X, y), list(model.parameters()))
    for gradient, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other, gradient)


@each_optimizer
def test_mixed_precision(make_optimizer):
    """The forward pass is in bfloat16; weights and zeros stay in float32."""
    model, X, y = make_problem()

    def loss_of(X, y):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return nn.functional.cross_entropy(model(X), y)

    train(model, loss_of, make_optimizer(model), X, y)
    assert model[0].weight.dtype == torch.float32
    assert (model[0].weight == 0).any()
    assert all(W.isfinite().all() for W in model.parameters())


def sparsify_loop(module, X, y, step):
    """Train to three quarters of zeros, in the loop of skproj."""
    options = {"target": 0.75, "n_epochs": 20, "step": step}
    return sparsify(module, None, [(X, y)], **options).after


def sparsifier_loop(module, X, y, step, **options):
    """Train to three quarters of zeros, in a loop of one's own."""
    optimizer = torch.optim.Adam(module.parameters(), lr=3e-3)
    sparsifier = Sparsifier(module, optimizer, target=0.75, n_steps=20, **options)
    for _ in range(20):
        optimizer.zero_grad()
        step(module, (X, y)).backward()
        optimizer.step()
    return sparsifier.finalize()


@pytest.mark.parametrize(
    "to_zeros",
    [
        pytest.param(sparsify_loop, id="sparsify"),
        pytest.param(sparsifier_loop, id="balanced"),
        pytest.param(partial(sparsifier_loop, score="hoyer"), id="hoyer"),
        pytest.param(partial(sparsifier_loop, score="hoyer", every=3), id="every"),
    ],
)
@pytest.mark.parametrize("mode", ["compiled", "mixed", "bfloat16"])
def test_sparsify(to_zeros, mode):
    """Exact numbers of zeros, for compiled modules and in half precision."""
    model, X, y = make_problem()
    if mode == "bfloat16":
        model, X = model.bfloat16(), X.bfloat16()
    module = model
    if mode == "compiled":
        module = torch.compile(model, backend="aot_eager")

    def step(module, batch):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mode == "mixed"):
            return nn.functional.cross_entropy(module(batch[0]), batch[1])

    report = to_zeros(module, X, y, step)
    assert report.n_zeros == 168
    assert int((model[0].weight == 0).sum() + (model[2].weight == 0).sum()) == 168
