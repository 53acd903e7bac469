"""Training until neurons and channels can be removed."""

import copy

import numpy as np
import pytest
import torch
from sparsify_helpers import same_state
from sparsify_networks import NETWORKS, convolutions, grouped, perceptron, residual
from sparsify_unit_helpers import build, count_flops, fit
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from torch.nn.utils import prune as torch_prune

from skproj.nn import prune
from skproj.nn._sparsify._unit_work import UnitWork
from skproj.nn.functional import projection_l1_ball

# ---------------------------------------------------------------------------
# Work


@pytest.mark.parametrize("make", NETWORKS)
@pytest.mark.parametrize("target", [0.5, 0.8])
def test_shrink_saves_the_work(make, target):
    model, X = build(make), torch.zeros(2, 1, 8, 8)
    report = fit(model, target)
    smaller, savings = prune.shrink(model, X)
    share = savings.after.flops / savings.before.flops
    assert share <= 1.0 - target
    # A network of so few units cannot be much nearer.
    assert share > 0.6 * (1.0 - target)
    assert report.history["epoch"].tolist() == [*range(1, 9)]
    assert report.after.n_zeros > report.before.n_zeros == 0
    X = torch.randn(5, 1, 8, 8)
    np.testing.assert_allclose(
        smaller.eval()(X).detach(), model.eval()(X).detach(), atol=1e-5
    )


@pytest.mark.parametrize("make", [*NETWORKS, grouped])
def test_multiplications_are_those_of_the_smaller_network(make):
    """Counted by PyTorch, before and after any choice of units."""
    model, X = build(make), torch.zeros(3, 1, 8, 8)
    work = UnitWork(model, (X,), set(model.modules()))
    assert 2 * work.count(np.ones(len(work.is_free), bool)) == count_flops(model, X)
    kept = np.ones(len(work.is_free), bool)
    for share in (0.9, 0.4, 0.0):
        kept = work.keep(share, kept)
        work.erase(torch.from_numpy(kept))
        smaller, _ = prune.shrink(model, X)
        assert 2 * work.count(kept) == count_flops(smaller, X)


def test_units_next_to_groups_stay():
    model = build(grouped)
    with pytest.raises(ValueError, match=r"target must be at most 0\.\d+ for"):
        fit(model, 0.8)
    fit(model, 0.4)
    _, report = prune.shrink(model, torch.zeros(1, 1, 8, 8))
    assert set(report.layers) == {"4", "6"}


class Names(nn.Module):
    """Layers with the names of other nodes of the graph."""

    def __init__(self):
        super().__init__()
        self.X, self.mean = nn.Linear(64, 20), nn.Linear(20, 30)
        self.output = nn.Linear(30, 3)

    def forward(self, X):
        Z = F.relu(self.X(X.flatten(1)))
        return self.output(F.relu(self.mean(Z)) - X.mean((1, 2, 3), keepdim=True)[0, 0])


class Shared(nn.Module):
    """A layer that is called twice stays, as does what it reads."""

    def __init__(self):
        super().__init__()
        self.first, self.shared = nn.Linear(64, 64), nn.Linear(64, 64)
        self.second, self.last = nn.Linear(64, 64), nn.Linear(64, 3)

    def forward(self, X):
        Z = F.relu(self.shared(F.relu(self.shared(F.relu(self.first(X.flatten(1)))))))
        return self.last(F.relu(self.second(Z)))


@pytest.mark.parametrize(("make", "target"), [(Names, 0.5), (Shared, 0.15)])
def test_all_work_counts(make, target):
    model, X = build(make), torch.zeros(2, 1, 8, 8)
    work = UnitWork(model, (X,), set(model.modules()))
    assert 2 * work.count(np.ones(len(work.is_free), bool)) == count_flops(model, X)
    fit(model, target)
    _, savings = prune.shrink(model, X)
    assert savings.after.flops <= (1.0 - target) * savings.before.flops
    if make is Shared:
        with pytest.raises(ValueError, match=r"target must be at most 0\.\d+ for"):
            fit(model, 0.5)


class Renamed(nn.Module):
    """Layers with two names, of which PyTorch's counter knows one."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(64, 40), nn.Linear(40, 40)
        self.last = nn.Linear(40, 3)
        self.all = nn.Sequential(self.first, nn.ReLU(), self.second, nn.ReLU())

    def forward(self, X):
        return self.last(self.all(X.flatten(1)))


def test_layers_with_two_names():
    model, X = build(Renamed), torch.zeros(2, 1, 8, 8)
    fit(model, 0.9)
    _, savings = prune.shrink(model, X)
    assert 0.07 < savings.after.flops / savings.before.flops <= 0.1


class Crossed(nn.Module):
    """A sum of a concatenation and a layer: the units of three layers are tied."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(64, 4), nn.Linear(64, 4)
        self.both, self.last = nn.Linear(64, 8), nn.Linear(8, 3)

    def forward(self, X):
        X = X.flatten(1)
        Z = torch.cat([self.left(X), self.right(X)], dim=1) + self.both(X)
        return self.last(F.relu(Z))


def test_each_of_tied_layers_keeps_a_unit():
    model, X = build(Crossed), torch.zeros(2, 1, 8, 8)
    with torch.no_grad():
        model.last.weight[:, :4] *= 1e-3
    with pytest.raises(ValueError, match=r"target must be at most 0\.75 for"):
        fit(model, 0.8)
    fit(model, 0.75)
    smaller, _ = prune.shrink(model, X)
    assert (smaller.left.out_features, smaller.right.out_features) == (1, 1)


@pytest.mark.parametrize(("n_units", "target"), [(10, 0.8), (20, 0.9), (100, 0.9)])
def test_targets_that_are_met_exactly(n_units, target):
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, n_units), nn.ReLU(), nn.Linear(n_units, 3)
    )
    fit(model, target)
    smaller, _ = prune.shrink(model, torch.zeros(1, 1, 8, 8))
    assert smaller[1].out_features == round((1.0 - target) * n_units)


def test_frozen_layers_are_not_changed():
    model = build(perceptron)
    model[1].requires_grad_(False)
    before = copy.deepcopy(model[1])
    fit(model, 0.2)
    assert same_state(model[1], before)
    smaller, _ = prune.shrink(model, torch.zeros(1, 1, 8, 8))
    assert smaller[1].out_features == 40
    assert smaller[4].out_features < 30
    with pytest.raises(ValueError, match=r"target must be at most 0\.0 for"):
        fit(model.requires_grad_(False))


def test_tied_channels_are_one_unit():
    model, X = build(residual), torch.zeros(1, 1, 8, 8)
    work = UnitWork(model, (X,), set(model.modules()))
    # Image, stream and branch of each stage, three outputs.
    assert len(work.is_free) == 1 + 16 + 16 + 24 + 24 + 3
    assert np.count_nonzero(work.is_free) == 80


def test_layers_lose_the_same_share():
    model = build(residual)
    fit(model, 0.75)
    smaller, _ = prune.shrink(model, torch.zeros(1, 1, 8, 8))
    for width in (smaller[0].out_channels / 16, smaller[2].first.out_channels / 24):
        assert width == pytest.approx(0.5, abs=0.05)


def test_the_units_go_that_are_read_least():
    model = build(perceptron)
    with torch.no_grad():
        model[4].weight[:, ::2] *= 0.01
        model[6].weight[:, 1::2] *= 0.01
    fit(model, 0.7, optimizer=lambda W: torch.optim.SGD(W, lr=1e-6))
    assert not model[4].weight[:, ::2].any()
    kept = model[6].weight.any(dim=0)
    assert not kept[1::2].any()
    removed = ~model[4].weight.any(dim=0)
    for parameter in (model[1].weight, model[1].bias, model[2].weight, model[2].bias):
        assert not parameter[removed].any()
        assert parameter[~removed].all()


def test_one_unit_stays_in_each_layer():
    model = build(perceptron)
    fit(model, 0.97)
    smaller, _ = prune.shrink(model, torch.zeros(1, 1, 8, 8))
    assert (smaller[1].out_features, smaller[4].out_features) == (1, 1)


def test_layers_choose_whose_units_go():
    model = build(convolutions)
    fit(model, 0.4, layers=["4"])
    smaller, report = prune.shrink(model, torch.zeros(1, 1, 8, 8))
    assert set(report.layers) == {"4", "7"}
    assert smaller[0].out_channels == 12


def test_a_target_of_zero_removes_nothing():
    model = build(convolutions)
    report = fit(model, 0.0)
    assert report.after.n_zeros == 0


# ---------------------------------------------------------------------------
# Training


def test_removed_units_are_not_read_in_training():
    model, counts = build(convolutions), []

    def note(row):
        counts.append(int(model[9].weight.any(dim=0).sum()))
        assert row["n_nonzero"] == sum(
            int(layer.weight.count_nonzero())
            for layer in model
            if hasattr(layer, "weight") and layer.weight.ndim > 1
        )

    fit(model, 0.8, callback=note)
    assert counts == sorted(counts, reverse=True)
    assert counts[0] < 16
    # The ramp ends after half of the training.
    assert counts[4] == counts[-1]


def test_an_ended_training_has_the_target():
    model = build(convolutions)
    fit(model, 0.8, callback=lambda row: True)
    _, savings = prune.shrink(model, torch.zeros(1, 1, 8, 8))
    assert savings.after.flops <= 0.2 * savings.before.flops


class Sequences(nn.Module):
    """The rows of an image are the steps of a sequence."""

    def __init__(self):
        super().__init__()
        self.before = nn.Linear(8, 6)
        self.recurrent = nn.GRU(6, 8, batch_first=True)
        self.after = nn.Linear(8, 3)

    def forward(self, X):
        Z, _ = self.recurrent(F.relu(self.before(X[:, 0])))
        return self.after(Z[:, -1])


def test_an_error_names_the_layers_around_which_units_stay():
    model, X = build(Sequences), torch.randn(5, 1, 8, 8)
    message = r"target must be at most 0\.0 for .* units stay around recurrent \("
    with pytest.raises(ValueError, match=message):
        fit(model, 0.5)
    fit(model, 0.0)
    assert prune.shrink(model, X)[1].layers == {}


class Encoder(nn.Module):
    """The rows of an image are the tokens of a transformer."""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 32, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)

    def forward(self, X):
        return self.head(self.encoder(X[:, 0]).mean(1))


def test_hidden_units_of_transformers():
    model, X = build(Encoder), torch.randn(5, 1, 8, 8)
    fit(model, 0.5)
    smaller, savings = prune.shrink(model, X)
    assert savings.after.flops <= 0.5 * savings.before.flops
    sizes = {layer.linear1.out_features for layer in smaller.encoder.layers}
    assert max(sizes) < 16
    torch.testing.assert_close(smaller.eval()(X), model.eval()(X))


# ---------------------------------------------------------------------------
# Bad input


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (ValueError, "target must be less than 1, got 1.0", {"target": 1.0}),
        (ValueError, "target == -0.1, must be >= 0", {"target": -0.1}),
        (TypeError, "target must be an instance of float", {"target": "much"}),
        (ValueError, r"target must be at most 0\.\d+ for this", {"target": 0.9999}),
        (TypeError, "example_inputs must be a tensor", {"example_inputs": [1.0]}),
        (
            ValueError,
            "example_inputs must be arguments of module, but: ",
            {"example_inputs": torch.zeros(2, 3, 8, 8)},
        ),
        (TypeError, "layers must be an iterable of names", {"layers": "4"}),
        (ValueError, "layers must have names of modules, got 'x'", {"layers": ["x"]}),
        (ValueError, "target must be at most 0.0 for", {"layers": ["9"]}),
        (TypeError, "optimizer must make an optimizer", {"optimizer": "adam"}),
        (TypeError, "step must be callable", {"step": 3}),
        (ValueError, "n_epochs == 0", {"n_epochs": 0}),
    ],
)
def test_errors_change_nothing(error, message, options):
    model = build(convolutions)
    with pytest.raises(error, match=message):
        fit(model, **options)
    assert same_state(model, build(convolutions))


def test_refusal_of_networks():
    with pytest.raises(TypeError, match="module must be a torch"):
        fit(None)
    model = build(convolutions)
    torch_prune.l1_unstructured(model[4], "weight", 3)
    with pytest.raises(ValueError, match=r"weight of a Conv2d .*prune\.remove first"):
        fit(model)
    model = build(convolutions)
    parametrize.register_parametrization(model[4], "bias", Ball())
    with pytest.raises(ValueError, match=r"bias of a .*remove_parametrizations"):
        fit(model)
    with pytest.warns(FutureWarning, match="weight_norm"):
        layer = nn.utils.weight_norm(nn.Linear(64, 9))
    with pytest.raises(ValueError, match=r"plain parameters, but weight of a Linear"):
        fit(nn.Sequential(nn.Flatten(), layer, nn.Linear(9, 3)))
    with pytest.raises(ValueError, match=r"module must be one that torch\.fx can"):
        fit(Undecided())


class Ball(nn.Module):
    def forward(self, X):
        return projection_l1_ball(X, 1.0)


class Undecided(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 3)

    def forward(self, X):
        return self.layer(X.flatten(1)) if X.sum() > 0 else self.layer(-X.flatten(1))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_device():
    model, X = build(residual).cuda(), torch.zeros(2, 1, 8, 8, device="cuda")
    fit(model, example_inputs=X)
    smaller, savings = prune.shrink(model, X)
    assert savings.after.flops <= 0.3 * savings.before.flops
    assert smaller[0].weight.is_cuda
