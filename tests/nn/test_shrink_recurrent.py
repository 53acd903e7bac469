"""Removal of hidden units of recurrent layers."""

import copy
import itertools

import pytest
import torch
from shrink_helpers import assert_same, build, zero
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils import prune as torch_prune

from skproj.nn import BallConstraint, prune

KINDS = (nn.LSTM, nn.GRU, nn.RNN)
N_GATES = {nn.LSTM: 4, nn.GRU: 3, nn.RNN: 1}
N_INPUTS, N_HIDDEN, N_UNITS, N_OUTPUTS = 5, 7, 6, 2
X = torch.randn(3, 4, N_INPUTS, dtype=torch.float64)

kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def read_all(output):
    return output[0]


def read_end(output):
    return output[0][:, -1]


READINGS = {
    "all steps": read_all,
    "the last step": read_end,
    "the mean": lambda output: output[0].mean(1),
    "the last state": lambda output: output[1][-1],
    "the squeezed state": lambda output: output[1].squeeze(0),
    "a part of the state": lambda output: output[1][0, :2],
    "flattened steps": lambda output: output[0].flatten(1),
    "both": lambda output: output[0][..., -1, :] + output[1][0],
}
# These give all units to something that is not understood.
PINNING_READINGS = {
    "sorted": lambda output: output[0].sort(dim=2).values,
    "the stacked states": lambda output: output[1].transpose(0, 1).flatten(1),
    "part of the units": lambda output: output[0][:, :, :N_UNITS],
    "a named state": lambda output: output[1].sum(0),
    "reversed steps": lambda output: output[0].flip(1),
}


class Recurrent(nn.Module):
    """A layer, a recurrent one, and a layer that reads it."""

    def __init__(
        self, kind, reading=read_all, *, n_features=None, first=True, **options
    ):
        super().__init__()
        self.is_lstm = kind is nn.LSTM
        self.first = nn.Linear(N_INPUTS, N_HIDDEN) if first else nn.Identity()
        n_inputs = N_HIDDEN if first else N_INPUTS
        options = {"batch_first": True} | options
        self.recurrent = kind(n_inputs, N_UNITS, **options)
        n_features = n_features or N_UNITS * (1 + self.recurrent.bidirectional)
        self.head = nn.Linear(n_features, N_OUTPUTS)
        self.reading = reading

    def forward(self, X):
        output, state = self.recurrent(torch.relu(self.first(X)))
        if self.is_lstm:
            state, _ = state
        return self.head(self.reading((output, state)))


def gates(module, name):
    """A view of a weight or bias, by gate and unit."""
    W = getattr(module, name).detach()
    return W.reshape(-1, module.hidden_size, *W.shape[1:])


def kill(module, units, suffix="_l0"):
    """Make all rows and biases of hidden units zero."""
    for name, _ in list(module.named_parameters()):
        if name.endswith(suffix):
            gates(module, name)[:, units] = 0.0


def forget(module, units, others, suffix="_l0"):
    """Hide the states of units from others."""
    W = gates(module, f"weight_hh{suffix}")
    for unit in units:
        W[:, others, unit] = 0.0


def n_parameters(kind, n_inputs, n_units, n_hidden=N_HIDDEN, first=True):
    """Number of all parameters of `Recurrent`, from the formulas."""
    n = N_GATES[kind] * n_units * (n_inputs + n_units + 2)
    n += (n_units + 1) * N_OUTPUTS
    return n + (N_INPUTS + 1) * n_hidden if first else n


@kinds
@pytest.mark.parametrize("reading", READINGS.values(), ids=READINGS)
def test_units_of_zeros(kind, reading):
    """Stay zero, and go with their rows and columns."""
    n_features = None
    if reading is READINGS["flattened steps"]:
        n_features = 4 * N_UNITS
    model = build(lambda: Recurrent(kind, reading, n_features=n_features))
    kill(model.recurrent, [1, 4])
    smaller, report = prune.shrink(model, X)
    assert_same(smaller, model, 3, 4, N_INPUTS)
    assert smaller.recurrent.hidden_size == 4
    n = N_GATES[kind]
    assert report.layers["recurrent.weight_ih_l0"] == ((n * 6, 7), (n * 4, 7))
    assert report.layers["recurrent.weight_hh_l0"] == ((n * 6, 6), (n * 4, 4))
    if n_features is None:
        assert report.before.n_parameters == n_parameters(kind, N_HIDDEN, N_UNITS)
        assert report.after.n_parameters == n_parameters(kind, N_HIDDEN, 4)


@kinds
@pytest.mark.parametrize("reading", PINNING_READINGS.values(), ids=PINNING_READINGS)
def test_units_that_something_else_reads(kind, reading):
    """Stay."""
    model = build(lambda: Recurrent(kind, reading))
    kill(model.recurrent, [1, 4])
    smaller, report = prune.shrink(model, X)
    assert_same(smaller, model, 3, 4, N_INPUTS)
    assert report.layers == {}


@kinds
def test_candidates_of_zeros(kind):
    """Are enough: what the other gates do with zeros does not matter."""
    model = build(lambda: Recurrent(kind))
    candidate = {nn.LSTM: 2, nn.GRU: 2, nn.RNN: 0}[kind]
    for name, _ in list(model.recurrent.named_parameters()):
        gates(model.recurrent, name)[candidate, [1, 4]] = 0.0
    smaller, _ = prune.shrink(model, X)
    assert_same(smaller, model, 3, 4, N_INPUTS)
    assert smaller.recurrent.hidden_size == 4


@kinds
@pytest.mark.parametrize("name", ["bias_ih_l0", "bias_hh_l0", "weight_hh_l0"])
def test_units_that_move(kind, name):
    """By a bias, or by another unit: they are not zero."""
    model = build(lambda: Recurrent(kind))
    kill(model.recurrent, 1)
    gates(model.recurrent, name)[:, 1] = 0.3
    smaller, report = prune.shrink(model, X)
    assert_same(smaller, model, 3, 4, N_INPUTS)
    assert report.layers == {}


@kinds
def test_units_that_read_units_of_zeros(kind):
    """Are zero with them, also in a circle."""
    model = build(lambda: Recurrent(kind))
    kill(model.recurrent, [1, 3, 4])
    W = gates(model.recurrent, "weight_hh_l0")
    W[:, 1, 3] = W[:, 3, 4] = W[:, 4, 1] = W[:, 4, 4] = 1.0
    smaller, _ = prune.shrink(model, X)
    assert_same(smaller, model, 3, 4, N_INPUTS)
    assert smaller.recurrent.hidden_size == 3
    W[:, 4, 0] = 1.0  # a unit that moves starts the circle
    smaller, _ = prune.shrink(model, X)
    assert_same(smaller, model, 3, 4, N_INPUTS)
    assert smaller.recurrent.hidden_size == 6


@kinds
def test_units_that_are_not_read(kind):
    """By a later layer, or by other units that are read."""
    model = build(lambda: Recurrent(kind))
    zero(model.head.weight, slice(None), [0, 2, 5])
    forget(model.recurrent, [0, 2], [1, 3, 4, 5])  # but 5 is read by the others
    smaller, report = prune.shrink(model, X)
    assert_same(smaller, model, 3, 4, N_INPUTS)
    assert smaller.recurrent.hidden_size == 4
    assert report.after.n_parameters == n_parameters(kind, N_HIDDEN, 4)


@kinds
def test_inputs_that_are_not_read(kind):
    """By units that are read: the layer before loses them."""
    model = build(lambda: Recurrent(kind))
    kill(model.recurrent, [3])
    zero(model.head.weight, slice(None), [0])
    forget(model.recurrent, [0], [1, 2, 4, 5])
    gates(model.recurrent, "weight_ih_l0")[:, [1, 2, 4, 5], 2:4] = 0.0
    smaller, report = prune.shrink(model, X)
    assert_same(smaller, model, 3, 4, N_INPUTS)
    assert smaller.first.out_features == smaller.recurrent.input_size == 5
    assert report.after.n_parameters == n_parameters(kind, 5, 4, n_hidden=5)


@kinds
@pytest.mark.parametrize("bias", [True, False])
def test_constant_inputs(kind, bias):
    """Go into the bias, where there is one."""
    model = build(lambda: Recurrent(kind, bias=bias))
    zero(model.first.weight, [0, 1])
    with torch.no_grad():
        model.first.bias[:2] = torch.tensor([2.0, -1.0])  # 2 and, after relu, 0
    smaller, _ = prune.shrink(model, X)
    assert_same(smaller, model, 3, 4, N_INPUTS)
    assert smaller.recurrent.input_size == (5 if bias else 6)
    assert (model.recurrent.bias_ih_l0 if bias else smaller.first.bias) is not None


@kinds
def test_inputs_of_the_model(kind):
    """Are selected where the layer does not read all of them."""

    class Direct(Recurrent):
        def forward(self, X):
            return self.head(self.recurrent(X)[0])

    model = build(lambda: Direct(kind, first=False))
    gates(model.recurrent, "weight_ih_l0")[:, :, [0, 3]] = 0.0
    smaller, _ = prune.shrink(model, X)
    assert_same(smaller, model, 3, 4, N_INPUTS)
    assert smaller.recurrent.layer.input_size == 3
    assert smaller.recurrent.index.tolist() == [1, 2, 4]


@kinds
def test_cells_keep_as_many_units(kind):
    """In all layers and directions, of which each may keep others."""
    model = build(lambda: Recurrent(kind, num_layers=2, bidirectional=True))
    module = model.recurrent
    for suffix, units in {
        "_l0": [0, 1, 2],
        "_l0_reverse": [3, 4],
        "_l1": [5, 0],
        "_l1_reverse": [1, 2, 3, 4],
    }.items():
        kill(module, units, suffix)
    smaller, report = prune.shrink(model, X)
    assert_same(smaller, model, 3, 4, N_INPUTS)
    assert smaller.recurrent.hidden_size == 4
    assert smaller.head.in_features == 8
    n = N_GATES[kind]
    assert report.layers["recurrent.weight_ih_l1"] == ((n * 6, 12), (n * 4, 8))


@kinds
def test_units_that_fill_up_a_cell(kind):
    """Need nothing, because nobody reads them."""
    model = build(lambda: Recurrent(kind, bidirectional=True))
    kill(model.recurrent, [1, 4])
    zero(model.head.weight, slice(None), [6, 7, 8])
    forget(model.recurrent, [0, 1, 2], [3, 4, 5], "_l0_reverse")
    smaller, _ = prune.shrink(model, X)
    assert_same(smaller, model, 3, 4, N_INPUTS)
    assert smaller.recurrent.hidden_size == 4
    assert smaller.head.in_features == 8


@kinds
def test_states_of_directions(kind):
    """Each is read by its place."""
    model = build(
        lambda: Recurrent(
            kind,
            lambda output: torch.cat([output[1][0], output[1][1]], 1),
            bidirectional=True,
        )
    )
    kill(model.recurrent, [1, 2])
    kill(model.recurrent, [4, 5], "_l0_reverse")
    smaller, _ = prune.shrink(model, X)
    assert_same(smaller, model, 3, 4, N_INPUTS)
    assert smaller.recurrent.hidden_size == 4
    assert smaller.head.in_features == 8


@kinds
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_samples_without_a_batch(kind, nonlinearity):
    """Two dimensions, and steps before samples."""
    options = {"nonlinearity": nonlinearity} if kind is nn.RNN else {}
    model = build(lambda: Recurrent(kind, batch_first=False, **options))
    kill(model.recurrent, [1, 4])
    for shape in ((4, N_INPUTS), (4, 3, N_INPUTS)):
        smaller, _ = prune.shrink(model, torch.randn(shape).double())
        assert_same(smaller, model, *shape)
        assert smaller.recurrent.hidden_size == 4


@kinds
def test_one_unit_stays(kind):
    """Of a layer that nobody reads, and of one that is all zero."""
    model = build(lambda: Recurrent(kind))
    zero(model.head.weight)
    smaller, _ = prune.shrink(model, X)
    assert_same(smaller, model, 3, 4, N_INPUTS)
    assert smaller.recurrent.hidden_size == 1
    model = build(lambda: Recurrent(kind, num_layers=2))
    kill(model.recurrent, slice(None), "_l0")
    kill(model.recurrent, slice(None), "_l1")
    smaller, _ = prune.shrink(model, X)
    assert_same(smaller, model, 3, 4, N_INPUTS)
    assert (smaller.recurrent.hidden_size, smaller.recurrent.input_size) == (1, 1)


@kinds
def test_given_states(kind):
    """Are as wide as the layer, which stays."""

    class Given(Recurrent):
        def forward(self, X, state):
            states = (state, state) if self.is_lstm else state
            return self.head(self.recurrent(X, states)[0])

    model = build(lambda: Given(kind, first=False))
    kill(model.recurrent, [1, 4])
    inputs = X, torch.randn(1, 3, N_UNITS, dtype=torch.float64)
    smaller, report = prune.shrink(model, inputs)
    assert report.layers == {}
    assert torch.equal(smaller(*inputs), model(*inputs))


@kinds
def test_states_that_are_not_given(kind):
    """By two ways to call the layer."""

    class Optional(Recurrent):
        def forward(self, X, state=None):
            H, _ = self.recurrent(X, state)
            return self.head(self.second(input=H, hx=state)[0])

    model = build(lambda: Optional(kind, first=False))
    model.second = build(lambda: kind(N_UNITS, N_UNITS, batch_first=True))
    kill(model.recurrent, [1, 4])
    kill(model.second, [1, 2])
    smaller, _ = prune.shrink(model, X)
    assert_same(smaller, model, 3, 4, N_INPUTS)
    assert smaller.recurrent.hidden_size == smaller.second.hidden_size == 4


@kinds
def test_shared_layers(kind):
    """Stay: a layer that is called twice, and one whose weight another has as well."""

    class Shared(Recurrent):
        def forward(self, X):
            H, _ = self.recurrent(self.first(X))
            H, _ = self.recurrent(self.second(H))
            return self.head(self.third(H)[0])

    model = build(lambda: Shared(kind))
    model.second = build(lambda: nn.Linear(N_UNITS, N_HIDDEN))
    model.third = build(lambda: kind(N_UNITS, N_UNITS))
    model.third.weight_hh_l0 = model.recurrent.weight_hh_l0
    kill(model.recurrent, [1, 4])
    kill(model.third, [1, 4])
    smaller, report = prune.shrink(model, X)
    assert_same(smaller, model, 3, 4, N_INPUTS)
    assert report.layers == {}


def test_projected_states():
    """Mix the units, which stay."""
    model = build(lambda: Recurrent(nn.LSTM, proj_size=4, n_features=4))
    for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
        zero(getattr(model.recurrent, name), slice(None, None, 6))
    smaller, report = prune.shrink(model, X)
    assert_same(smaller, model, 3, 4, N_INPUTS)
    assert report.layers == {}


@kinds
def test_sums_tie_hidden_units(kind):
    """As in a residual network."""

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(N_INPUTS, 6)
            self.recurrent = kind(6, 6)
            self.head = nn.Linear(6, 2)

        def forward(self, X):
            H = self.first(X)
            return self.head(H + self.recurrent(H)[0])

    model = build(Residual)
    kill(model.recurrent, [0, 1])
    zero(model.first.weight, [0, 2])
    zero(model.first.bias, [0, 2])
    smaller, _ = prune.shrink(model, X)
    assert_same(smaller, model, 3, 4, N_INPUTS)
    assert smaller.first.out_features == smaller.recurrent.hidden_size == 5


def kill_at_random(model, generator):
    """Make rows, columns and single weights zero."""

    def some(share=0.4):
        return torch.rand(N_UNITS, generator=generator) < share

    module = model.recurrent
    for name, _ in list(module.named_parameters()):
        if name.startswith("weight_hh"):
            suffix = name.removeprefix("weight_hh")
            kill(module, some(), suffix)
            W, unread = gates(module, name), some()
            W[:, :, unread] = 0.0
            W[torch.rand(W.shape, generator=generator) < 0.3] = 0.0
        elif name.startswith("weight_ih"):
            W = gates(module, name)
            W[:, :, torch.rand(W.shape[2], generator=generator) < 0.3] = 0.0
    n_features = model.head.in_features
    unread = torch.rand(n_features, generator=generator) < 0.5
    zero(model.head.weight, slice(None), unread)
    dead = torch.rand(N_HIDDEN, generator=generator) < 0.3
    zero(model.first.weight, dead)


@kinds
@pytest.mark.parametrize("seed", range(6))
def test_random_zeros(kind, seed):
    """The outputs are the same, and a second call finds nothing more."""
    generator = torch.Generator().manual_seed(seed)
    n_removed = 0
    for options in itertools.product((1, 2), (False, True), (False, True)):
        names = ("num_layers", "bidirectional", "bias")
        options = dict(zip(names, options, strict=True))
        model = build(lambda o=options: Recurrent(kind, **o), seed)
        kill_at_random(model, generator)
        before = copy.deepcopy(model.state_dict())
        smaller, report = prune.shrink(model, X)
        assert_same(smaller, model, 3, 4, N_INPUTS)
        n_removed += report.before.n_parameters - report.after.n_parameters
        for name, W in model.state_dict().items():
            assert torch.equal(W, before[name])
        assert prune.shrink(smaller, X)[1].layers == {}
    assert n_removed > 0


@kinds
def test_masked_weights(kind):
    """The smaller layer trains its own weights, not those of the mask."""
    model = build(lambda: Recurrent(kind))
    for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
        mask = torch.ones_like(getattr(model.recurrent, name))
        mask.reshape(-1, N_UNITS, *mask.shape[1:])[:, [1, 4]] = 0.0
        torch_prune.custom_from_mask(model.recurrent, name, mask)
    smaller, _ = prune.shrink(model, X)
    assert_same(smaller, model, 3, 4, N_INPUTS)
    assert smaller.recurrent.hidden_size == 4
    assert not torch_prune.is_pruned(smaller)
    smaller(X).pow(2).sum().backward()
    assert smaller.recurrent.weight_hh_l0.grad.any()


def mask(module):
    torch_prune.random_unstructured(module, "weight_hh_l0", 0.3)


def parametrize_by_ball(module):
    constraint = BallConstraint("l12", 1.0, dim=1)
    parametrize.register_parametrization(module, "weight_hh_l0", constraint)


@kinds
@pytest.mark.parametrize("change", [mask, parametrize_by_ball])
def test_computed_weights(kind, change):
    """Become plain weights, which the layer uses."""
    model = build(lambda: Recurrent(kind))
    change(model.recurrent)
    model(X)
    smaller, report = prune.shrink(model, X)
    assert report.layers == {}
    assert_same(smaller, model, 3, 4, N_INPUTS)
    assert type(smaller.recurrent) is kind
    before = smaller(X).detach()
    with torch.no_grad():
        smaller.recurrent.weight_hh_l0.add_(0.5)
    assert not torch.equal(smaller(X), before)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@kinds
def test_device(kind, recwarn):
    """The smaller weights are one piece of memory there, as cuDNN wants them."""
    model = build(lambda: Recurrent(kind, num_layers=2)).cuda()
    kill(model.recurrent, [1, 4], "_l0")
    kill(model.recurrent, [2, 3], "_l1")
    smaller, _ = prune.shrink(model, X.cuda())
    torch.testing.assert_close(smaller(X.cuda()), model(X.cuda()))
    assert smaller.recurrent.hidden_size == 4
    assert not [warning for warning in recwarn if "contiguous" in str(warning.message)]
