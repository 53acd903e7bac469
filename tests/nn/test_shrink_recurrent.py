"""Removal of units of recurrent layers."""

import numpy as np
import pytest
import torch
from shrink_helpers import assert_same, build, zero
from torch import nn
from torch.nn import functional as F

from skproj.nn import prune, sparsify_units
from skproj.nn.prune._units import gates_of

KINDS = (nn.LSTM, nn.GRU, nn.RNN)
each_kind = pytest.mark.parametrize("kind", KINDS)
DEAD = [0, 3, 4]


class Network(nn.Module):
    """A layer before and after a recurrent one, whose last output is read."""

    def __init__(self, kind=nn.LSTM, **options):
        super().__init__()
        self.before = nn.Linear(5, 6)
        self.recurrent = kind(6, 8, batch_first=True, **options)
        self.after = nn.Linear(8 * (1 + self.recurrent.bidirectional), 3)

    def forward(self, X):
        Z, _ = self.recurrent(torch.sigmoid(self.before(X)))
        return self.after(Z[:, -1])


def make(kind, **options):
    return build(lambda: Network(kind, **options))


def kill(layer, units):
    """Make all that leads to some units zero."""
    with torch.no_grad():
        for parameter in gates_of(layer):
            parameter[:, units] = 0.0


def forget(model, units):
    """Make all that reads some units zero."""
    zero(model.after.weight, slice(None), units)
    zero(model.recurrent.weight_hh_l0, slice(None), units)


@each_kind
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("end", [kill, forget])
def test_units_that_are_dead_or_not_read(kind, bias, end):
    model = make(kind, bias=bias)
    end(model.recurrent if end is kill else model, DEAD)
    smaller, report = prune.shrink(model, torch.ones(2, 4, 5).double())
    n_gates = len(model.recurrent.weight_hh_l0) // 8
    assert report.layers["recurrent"] == ((8 * n_gates, 6), (5 * n_gates, 6))
    assert smaller.recurrent.hidden_size == 5
    assert smaller.recurrent.weight_hh_l0.shape == (5 * n_gates, 5)
    assert smaller.after.in_features == 5
    assert_same(smaller, model, 3, 7, 5)
    # The layer can be used and trained as any other.
    loss = smaller(torch.randn(2, 4, 5).double()).sum()
    loss.backward()
    assert smaller.recurrent.weight_ih_l0.grad is not None
    assert len(smaller.recurrent._flat_weights) == 2 + 2 * bias


@each_kind
def test_units_that_only_units_without_effect_read(kind):
    """Of a chain 0 -> 1 -> 2, nothing reads the last one."""
    model = make(kind)
    W = gates_of(model.recurrent)[1]
    with torch.no_grad():
        W[:, :, :3] = 0.0
        W[:, 1, 0] = W[:, 2, 1] = W[:, 0, 0] = 0.5
    zero(model.after.weight, slice(None), [0, 1, 2])
    smaller, _ = prune.shrink(model, torch.ones(2, 4, 5).double())
    assert smaller.recurrent.hidden_size == 5
    assert_same(smaller, model, 3, 7, 5)
    with torch.no_grad():
        W[0, 7, 2] = 0.1
    smaller, _ = prune.shrink(model, torch.ones(2, 4, 5).double())
    assert smaller.recurrent.hidden_size == 8


@each_kind
@pytest.mark.parametrize("bias", [True, False])
def test_inputs(kind, bias):
    """One is not read; others are constants, for which a bias can stand."""
    model = make(kind, bias=bias)
    zero(model.recurrent.weight_ih_l0, slice(None), [1])
    zero(model.before.weight, [2, 5])
    smaller, _ = prune.shrink(model, torch.ones(2, 4, 5).double())
    assert smaller.recurrent.input_size == (3 if bias else 5)
    assert smaller.before.out_features == smaller.recurrent.input_size
    assert_same(smaller, model, 3, 7, 5)


@each_kind
def test_all_units_without_effect(kind):
    model = make(kind)
    kill(model.recurrent, slice(None))
    smaller, _ = prune.shrink(model, torch.ones(2, 4, 5).double())
    assert smaller.recurrent.hidden_size == 1
    assert_same(smaller, model, 3, 7, 5)


@each_kind
@pytest.mark.parametrize("seed", range(10))
def test_random_zeros(kind, seed):
    rng = np.random.default_rng(seed)
    model = make(kind)
    kill(model.recurrent, np.flatnonzero(rng.random(8) < 0.3))
    forget(model, np.flatnonzero(rng.random(8) < 0.3))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= torch.from_numpy(rng.random(parameter.shape) < 0.3)
    smaller, _ = prune.shrink(model, torch.ones(2, 4, 5).double())
    assert_same(smaller, model, 3, 7, 5)


class States(Network):
    """Reads the last state instead of the outputs."""

    def forward(self, X):
        _, state = self.recurrent(torch.sigmoid(self.before(X)))
        if isinstance(self.recurrent, nn.LSTM):
            hidden, cells = state
            return self.after(hidden[0] + cells[-1])
        return self.after(state[-1])


class Stacked(Network):
    """Reads all outputs, in another recurrent layer."""

    def __init__(self, kind):
        super().__init__(kind)
        self.second = kind(8, 8, batch_first=True)

    def forward(self, X):
        Z = self.recurrent(self.before(X))[0]
        return self.after(self.second(Z[:, 1:])[0]).mean(dim=1)


@each_kind
@pytest.mark.parametrize("network", [States, Stacked])
def test_other_readers(kind, network):
    model = build(lambda: network(kind))
    kill(model.recurrent, DEAD)
    smaller, _ = prune.shrink(model, torch.ones(2, 4, 5).double())
    assert smaller.recurrent.hidden_size == 5
    assert_same(smaller, model, 3, 7, 5)


class Given(Network):
    def forward(self, X):
        Z, _ = self.recurrent(self.before(X), torch.ones(1, 3, 8).double())
        return self.after(Z[:, -1])


class Units(Network):
    """Takes some units by their places."""

    def forward(self, X):
        Z, _ = self.recurrent(self.before(X))
        return self.after(Z[:, -1]) + Z[:, -1, :3]


class Returned(Network):
    def forward(self, X):
        return self.recurrent(self.before(X))


class Wrapped(Network):
    """Passes the tuple through another module, and adds it to itself."""

    def __init__(self, kind):
        super().__init__(kind)
        self.identity = nn.Identity()

    def forward(self, X):
        Z = self.identity(self.recurrent(self.before(X)))
        return self.after((Z + Z)[2])


@pytest.mark.parametrize("network", [Given, Units, Returned, Wrapped])
def test_units_that_stay(network):
    model = build(lambda: network(nn.GRU))
    kill(model.recurrent, DEAD)
    smaller, _ = prune.shrink(model, torch.ones(3, 4, 5).double())
    assert smaller.recurrent.hidden_size == 8


@pytest.mark.parametrize(
    "options", [{"num_layers": 2}, {"bidirectional": True}, {"proj_size": 4}]
)
def test_other_recurrent_layers_stay(options):
    model = build(lambda: Network(nn.LSTM, **options))
    if "proj_size" in options:
        model.after = nn.Linear(4, 3).double()
    smaller, report = prune.shrink(model, torch.ones(3, 4, 5).double())
    assert report.layers == {}
    assert_same(smaller, model, 3, 7, 5)


def test_unbatched_sequences_first():
    model = nn.Sequential(nn.Linear(5, 6), nn.ReLU()).double()
    layer = nn.GRU(6, 8).double()

    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.layer, self.last = model, layer, nn.Linear(8, 2).double()

        def forward(self, X):
            return self.last(self.layer(self.first(X))[0][-1])

    whole = Whole().eval()
    kill(layer, DEAD)
    for shape in ((4, 5), (4, 2, 5)):
        smaller, _ = prune.shrink(whole, torch.ones(shape).double())
        assert smaller.layer.hidden_size == 5
        assert_same(smaller, whole, 7, *shape[1:])


@each_kind
def test_training_until_units_can_be_removed(kind):
    torch.manual_seed(0)
    X = torch.randn(60, 4, 5)
    y = (X.sum((1, 2)) > 0).long()
    model = Network(kind)
    sparsify_units(
        model, F.cross_entropy, [(X, y)] * 3, target=0.8, example_inputs=X, n_epochs=8
    )
    smaller, _ = prune.shrink(model, X)
    n_gates = len(model.recurrent.weight_hh_l0) // 8
    sizes = smaller.recurrent.input_size, smaller.recurrent.hidden_size

    def work(n_inputs, n_units):
        read = n_inputs * 5 + n_units * n_gates * (n_inputs + n_units)
        return 4 * read + 3 * n_units

    assert work(*sizes) <= 0.2 * work(6, 8)
    assert sizes[0] < 6
    assert sizes[1] < 8
    assert_same(smaller, model, 3, 7, 5)
