"""A number of groups left by hooks: `register_projection` and `Sparsifier`."""

import copy
import math

import numpy as np
import pytest
import torch
from sparsify_helpers import make_problem
from torch import nn
from torch.nn import functional as F

from skproj.nn import Sparsifier, register_projection
from skproj.nn.optim._removal import GROUP_NORMS, WeightGroups
from skproj.projection import BALLS, radius_for_sparsity

N_STEPS = 60
OPTIMIZERS = {
    "Adam": lambda W: torch.optim.Adam(W, lr=0.01),
    "AdamW": lambda W: torch.optim.AdamW(W, lr=0.01),
    "SGD": lambda W: torch.optim.SGD(W, lr=0.1),
}


def train(model, optimizer, n_steps=N_STEPS, after_step=None):
    torch.manual_seed(0)
    X = torch.randn(20 * n_steps, 12)
    y = (X[:, 0] > X[:, 1]).long() + (X[:, 2] > 0.5).long()
    for rows in torch.arange(len(X)).split(20):
        optimizer.zero_grad()
        F.cross_entropy(model(X[rows]), y[rows]).backward()
        optimizer.step()
        if after_step is not None:
            after_step()


@pytest.mark.parametrize("ball", GROUP_NORMS)
@pytest.mark.parametrize("dims", [(0,), (1, 2), (0, 2)])
@pytest.mark.parametrize("n_groups", [0, 1, 3])
def test_groups_are_those_of_the_projection(ball, dims, n_groups):
    """With the radius that leaves as many."""
    W = torch.from_numpy(np.random.default_rng(0).normal(size=(6, 5, 4)))
    block = WeightGroups(nn.Parameter(W), dims, ball, n_groups)
    radius = radius_for_sparsity(W.numpy(), n_groups=n_groups, ball=ball, axis=dims)
    P = BALLS[ball].project(W.numpy(), radius, axis=dims)
    kept = np.broadcast_to(P.any(axis=dims, keepdims=True), P.shape)
    (mask,) = block.masks()
    np.testing.assert_array_equal(mask, kept)
    (threshold,) = block.thresholds(1.0)
    assert torch.equal(block.keep(W, threshold), W * mask)
    assert block.size == W.numel() // math.prod(W.shape[d] for d in dims)


def test_every_grouped_ball_has_a_norm():
    names = {x for x, ball in BALLS.items() if ball.grouped and ball.sparsifying}
    assert GROUP_NORMS.keys() == names


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_informative_inputs_are_left(name):
    model, _ = make_problem()
    W = model[0][0].weight
    optimizer = OPTIMIZERS[name](model.parameters())
    counts = []
    with register_projection(optimizer, W, n_groups=3, n_steps=300) as handle:
        train(model, optimizer, 300, lambda: counts.append(int(W.any(dim=0).sum())))
    assert W.detach().any(dim=0).nonzero().flatten().tolist() == [0, 1, 2]
    assert counts[0] > 10
    assert max(counts[185:]) < 6  # the ramp ends after 60 % of the steps
    assert set(counts[240:]) == {3}  # and groups return until 80 %
    assert handle.sparsity() == 0.75
    before = W.detach().clone()
    train(model, optimizer, 1)
    assert torch.count_nonzero(W.detach().any(dim=0)) > 3  # the hooks are gone
    assert not torch.equal(W, before)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_inputs_are_not_kept_for_their_noise(name):
    """Of 100 with little data; steps of Adam have a length whatever the gradient is."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(1500, 100))
    weights = rng.choice([-1.0, 1.0], 8) * rng.uniform(0.7, 1.3, 8)
    y = np.tanh(1.5 * X[:, :8]) @ weights + 0.5 * rng.normal(size=1500) > 0.0
    X, y = torch.from_numpy(X).float(), torch.from_numpy(y).long()
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 2))
    optimizer = OPTIMIZERS[name](model.parameters())
    options = {"layers": ["0"], "groups": "inputs", "n_steps": 20 * 24}
    with Sparsifier(model, optimizer, 0.9, **options):
        for _ in range(20):
            for rows in torch.randperm(1500).split(64):
                optimizer.zero_grad()
                F.cross_entropy(model(X[rows]), y[rows]).backward()
                optimizer.step()
    kept = model[0].weight.detach().any(dim=0)
    assert kept[:8].all()
    assert kept.sum() == 10


def test_sparsifier_of_inputs_is_the_projection():
    model, _ = make_problem()
    other = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.manual_seed(1)
    with register_projection(
        optimizer, model[0][0].weight, n_groups=3, n_steps=N_STEPS
    ):
        train(model, optimizer)
    optimizer = torch.optim.SGD(other.parameters(), lr=0.1)
    options = {"layers": ["0.0"], "groups": "inputs", "n_steps": N_STEPS}
    with Sparsifier(other, optimizer, 0.75, **options) as sparsifier:
        train(other, optimizer)
    assert sparsifier.sparsity() == 0.75
    assert list(sparsifier.masks) == ["0.0.weight"]
    for W, V in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(W, V)


def test_units_and_balls_of_layers():
    model, _ = make_problem()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    target = {"0.0": 0.5, "1.3": 2 / 3}
    with Sparsifier(model, optimizer, target, groups="units", n_steps=N_STEPS):
        train(model, optimizer)
    assert model[0][0].weight.any(dim=1).sum() == 10
    assert model[1][3].weight.any(dim=1).sum() == 1
    assert model[1][0].weight.all()

    model, _ = make_problem()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    balls = {"0.0": "l12", "1.0": "l1inf"}
    sparsifier = Sparsifier(model, optimizer, 0.5, groups=balls, n_steps=N_STEPS)
    assert [block.ball for block in sparsifier.blocks] == ["l12", "l1inf"]
    train(model, optimizer, N_STEPS // 2)
    sparsifier.finalize()
    assert model[0][0].weight.any(dim=0).sum() == 6
    assert model[1][0].weight.any(dim=0).sum() == 10


def test_filters_of_convolutions():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ConvTranspose2d(8, 6, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    Sparsifier(model, optimizer, 0.5, groups="units", n_steps=9).finalize()
    assert model[0].weight.sum((1, 2, 3)).count_nonzero() == 4
    assert model[1].weight.sum((0, 2, 3)).count_nonzero() == 3


def test_state_goes_on():
    model, _ = make_problem()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    options = {"n_groups": 3, "n_steps": N_STEPS}
    W = model[0][0].weight
    handle = register_projection(optimizer, W, **options)
    train(model, optimizer, 20)
    other = copy.deepcopy(model)
    second = torch.optim.SGD(other.parameters(), lr=0.1)
    resumed = register_projection(second, other[0][0].weight, **options)
    resumed.load_state_dict(copy.deepcopy(handle.state_dict()))
    for network, hooked in ((model, optimizer), (other, second)):
        train(network, hooked, 40)
    assert torch.equal(W, other[0][0].weight)
    assert W.any(dim=0).sum() == 3


def test_warning_without_effect():
    """A radius that is too large, at the end of a hundred projections."""
    model, _ = make_problem()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    register_projection(optimizer, model[0][0].weight, radius=1e3)
    train(model, optimizer, 99)
    with pytest.warns(UserWarning, match=r"Parameter 0 .* no zeros after 100 proj"):
        train(model, optimizer, 1)
    train(model, optimizer, 100)  # once is enough
    register_projection(optimizer, model[0][0].weight, "linf", 1e3)  # makes no zeros
    register_projection(optimizer, model[0][0].weight, "l12", 0.1)
    train(model, optimizer, 100)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ValueError, "Exactly one of radius and n_groups must be given"),
        ({"radius": 1.0, "n_groups": 3}, ValueError, "Exactly one of radius and n_g"),
        ({"n_groups": 13}, ValueError, "n_groups must be at most 12, .* got 13"),
        ({"n_groups": -1}, ValueError, "n_groups == -1, must be >= 0"),
        ({"n_groups": 1.5}, TypeError, "n_groups must be an instance of int"),
        ({"n_groups": 3, "n_steps": None}, TypeError, "n_steps must be an instance"),
        ({"n_groups": 3, "projection": "l1"}, ValueError, "projection must be one of"),
    ],
)
def test_refusals(options, error, message):
    model, _ = make_problem()
    optimizer = torch.optim.Adam(model.parameters())
    with pytest.raises(error, match=message):
        register_projection(optimizer, model[0][0].weight, **{"n_steps": 9} | options)
    assert not optimizer._optimizer_step_post_hooks


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": "rows"}, "groups must be one of 'inputs', 'units', got 'rows'"),
        ({"groups": {"0.0": "l1"}}, "groups must be one of"),
        ({"groups": "units", "target": "2:4"}, "groups must be None for a pattern"),
        ({"groups": "units", "score": "hoyer"}, "groups must be None for a pattern"),
        ({"groups": "units", "target": 1.5}, "target must be between 0 and 1"),
    ],
)
def test_refusals_of_the_sparsifier(options, message):
    model, _ = make_problem()
    optimizer = torch.optim.Adam(model.parameters())
    with pytest.raises(ValueError, match=message):
        Sparsifier(model, optimizer, n_steps=9, **options)
    grouped = nn.Conv2d(4, 4, 3, groups=2)
    optimizer = torch.optim.Adam(grouped.parameters())
    with pytest.raises(ValueError, match=r"layers without groups of their own, .* 2"):
        Sparsifier(grouped, optimizer, n_steps=9, groups="units")
