"""Pruning while training, and the sparsity report."""

import copy
import sys

import numpy as np
import pytest
import torch
from prune_helpers import each_grouping, project_by_hand, train, zeros_of
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils import prune as torch_prune

from skproj.nn import BallConstraint, prune
from skproj.projection import hoyer_sparsity

# ---------------------------------------------------------------------------
# Induced pruning


@each_grouping
def test_projection_after_steps(grouping, mlp):
    """The weights are those of the projection, in their values too."""
    arrays = [layer.weight.detach().numpy().copy() for layer in (mlp[0], mlp[2])]
    optimizer = torch.optim.SGD(mlp.parameters(), lr=0.0)
    parameters = prune.prunable_parameters(mlp)
    with prune.induced_pruning(
        optimizer, parameters, 0.6, grouping=grouping, every=2
    ) as handle:
        train(mlp, optimizer, 1)
        np.testing.assert_array_equal(mlp[0].weight.detach(), arrays[0])
        train(mlp, optimizer, 1)
    expected = project_by_hand(arrays, 0.6, grouping)
    for i in (0, 2):
        np.testing.assert_allclose(mlp[i].weight.detach(), expected[i // 2], rtol=1e-6)
        assert mlp[i].weight.requires_grad
    assert handle.n_steps == 2
    train(mlp, optimizer, 2)
    assert handle.n_steps == 2
    assert not torch_prune.is_pruned(mlp)


def test_induced_with_schedule(mlp):
    """The function gets the number of steps, and says the sparsity after them."""
    optimizer = torch.optim.SGD(mlp.parameters(), lr=0.01, momentum=0.9)
    steps = []

    def schedule(step):
        steps.append(step)
        return step / 10

    handle = prune.induced_pruning(
        optimizer, prune.prunable_parameters(mlp), schedule, every=3
    )
    for _ in range(9):
        train(mlp, optimizer, 1)
        level = np.mean(hoyer_sparsity(mlp[0].weight.detach().numpy(), axis=1))
        if handle.n_steps % 3 == 0:
            assert level >= handle.n_steps / 10 - 1e-6
    assert steps == [3, 6, 9]
    handle.load_state_dict({"n_steps": 100})
    train(mlp, optimizer, 1)
    handle.remove()
    assert handle.state_dict() == {"n_steps": 101}


def test_induced_with_bad_schedule(mlp):
    """The step fails, with the argument named, and nothing is projected."""
    optimizer = torch.optim.SGD(mlp.parameters(), lr=0.0)
    prune.induced_pruning(
        optimizer, prune.prunable_parameters(mlp), lambda step: float(step + 1)
    )
    before = copy.deepcopy(mlp.state_dict())
    with pytest.raises(ValueError, match=r"sparsity must be between 0 and 1, got 2"):
        train(mlp, optimizer)
    assert all(torch.equal(W, before[name]) for name, W in mlp.state_dict().items())


def test_induced_under_masks(mlp):
    """Pruned weights do not count, and the projection reaches the originals."""
    prune.single_shot(mlp, 0.5, target="zeros")
    optimizer = torch.optim.SGD(mlp.parameters(), lr=0.0)
    parameters = prune.prunable_parameters(mlp)
    prune.induced_pruning(optimizer, parameters, 0.8, target="zeros")
    train(mlp, optimizer, 1)
    assert int((mlp[0].weight_orig == 0).sum() + (mlp[2].weight_orig == 0).sum()) == 160


def test_induced_with_shared_weight():
    """It is projected once."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 12), nn.Linear(12, 12))
    model[1].weight = model[0].weight
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    parameters = prune.prunable_parameters(model)
    prune.induced_pruning(optimizer, parameters, 0.75, target="zeros")
    train(model, optimizer, 1)
    assert zeros_of(model[0]) == 108


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"optimizer": 3}, TypeError, "optimizer must be a torch.optim.Optimizer"),
        ({"parameters": []}, ValueError, "parameters must be .* got none"),
        ({"parameters": [(nn.Linear(2, 2), "weight")]}, ValueError, "does not hold"),
        ({"sparsity": 2.0}, ValueError, "sparsity must be between"),
        ({"grouping": "all"}, ValueError, "grouping must be one of"),
        ({"target": "all"}, ValueError, "target must be one of"),
        ({"every": 0}, ValueError, "every must be at least 1"),
        ({"every": 0.5}, TypeError, "every must be an integer"),
    ],
)
def test_induced_refusal(change, error, message, mlp):
    """At the registration, which then leaves no hook behind."""
    optimizer = torch.optim.SGD(mlp.parameters(), lr=0.0)
    arguments = {
        "optimizer": optimizer,
        "parameters": prune.prunable_parameters(mlp),
        "sparsity": 0.5,
    }
    with pytest.raises(error, match=message):
        prune.induced_pruning(**(arguments | change))
    assert not optimizer._optimizer_step_post_hooks


def test_schedules():
    """Values by hand."""
    linear = prune.sparsity_schedule(0.9, 10, initial=0.4, begin=5, shape="linear")
    assert [linear(step) for step in (0, 4, 5, 10, 15, 99)] == pytest.approx(
        [0.0, 0.0, 0.4, 0.65, 0.9, 0.9]
    )
    cubic = prune.sparsity_schedule(0.8, 4)
    assert [cubic(step) for step in (0, 1, 2, 4)] == pytest.approx(
        [0.0, 0.8 * 37 / 64, 0.7, 0.8]
    )


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((1.1, 5), {}, ValueError, "sparsity must be between"),
        ((0.5, 0), {}, ValueError, "n_steps must be at least 1"),
        ((0.5, 2.0), {}, TypeError, "n_steps must be an integer"),
        ((0.5, 5), {"begin": -1}, ValueError, "begin must be at least 0"),
        ((0.5, 5), {"initial": "0"}, TypeError, "sparsity must be a real number"),
        ((0.5, 5), {"shape": "square"}, ValueError, "shape must be one of"),
    ],
)
def test_schedule_refusal(arguments, options, error, message):
    """When it is made."""
    with pytest.raises(error, match=message):
        prune.sparsity_schedule(*arguments, **options)


# ---------------------------------------------------------------------------
# Report


def test_report_by_hand():
    """Numbers counted by hand, with a dead input of a group and biases that are not."""
    model = nn.Sequential(
        nn.Conv2d(4, 2, 1, groups=2, bias=False), nn.Flatten(), nn.Linear(2, 3)
    )
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[3.0, 4.0], [0.0, 5.0]])[..., None, None])
        model[2].weight.copy_(torch.tensor([[1.0, 1.0], [0.0, 0.0], [0.0, 2.0]]))
    report = prune.sparsity_report(model)
    conv, linear = report.layers
    assert conv._asdict() == {
        "name": "0",
        "shape": (2, 2, 1, 1),
        "n_parameters": 4,
        "n_zeros": 1,
        "fraction_zeros": 0.25,
        # 7 / 5 of (3, 4), and a vector with one weight
        "hoyer": pytest.approx(((2**0.5 - 1.4) / (2**0.5 - 1) + 1.0) / 2),
        "n_dead_outputs": 0,
        "n_dead_inputs": 1,
    }
    # Equal weights, no weight (which is called sparse), and one weight.
    assert linear.hoyer == pytest.approx((0.0 + 1.0 + 1.0) / 3)
    assert (linear.n_zeros, linear.n_dead_outputs, linear.n_dead_inputs) == (3, 1, 0)
    assert (report.n_weights, report.n_parameters, report.n_zeros) == (10, 13, 4)
    assert report.fraction_zeros == 0.4
    assert (report.n_dead_outputs, report.n_dead_inputs) == (1, 1)
    assert "4 of 10 weights in 2 layers" in repr(report)
    assert str(report).splitlines()[1].split() == (
        "0 2 x 2 x 1 x 1 4 1 0.250".split() + [f"{conv.hoyer:.3f}", "0", "1"]
    )


def test_report_as_frame(mlp):
    """A row for each layer."""
    report = prune.sparsity_report(prune.single_shot(mlp, 0.6, exclude=["2"]))
    frame = report.to_frame()
    assert list(frame.index) == ["0", "2"]
    assert frame.loc["0", "n_zeros"] == zeros_of(mlp[0]) > 0
    assert frame.loc["2", "n_zeros"] == 0
    assert frame["n_parameters"].sum() == 200


def test_report_does_not_need_pandas(monkeypatch, mlp):
    """Before the frame is asked for."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    report = prune.sparsity_report(mlp)
    assert "all layers" in str(report)
    with pytest.raises(ImportError):
        report.to_frame()


def test_report_of_weights_as_they_are(mlp):
    """Of masks that were changed since the last forward pass, and parametrizations."""
    prune.hoyer_unstructured(mlp[0], "weight", 0.5)
    mlp[0].weight_mask.zero_()
    constraint = BallConstraint("l1", 0.0)
    parametrize.register_parametrization(mlp[2], "weight", constraint)
    report = prune.sparsity_report(mlp)
    assert [layer.n_zeros for layer in report.layers] == [120, 80]
    assert [layer.name for layer in report.layers] == ["0", "2"]


def test_report_without_layers():
    """There is nothing to count."""
    report = prune.sparsity_report(nn.BatchNorm1d(3))
    assert report.layers == []
    assert (report.n_weights, report.n_parameters) == (0, 6)
    assert np.isnan(report.fraction_zeros)
    assert "nan" in str(report)


def test_report_of_single_weights():
    """Vectors of one weight have no level."""
    report = prune.sparsity_report(nn.Conv2d(3, 3, 1, groups=3))
    assert np.isnan(report.layers[0].hoyer)
    assert report.layers[0].n_dead_inputs == 0


def test_report_of_complex_weights():
    """By their absolute values: an imaginary part is not zero."""
    layer = nn.Linear(2, 1, dtype=torch.complex64)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3j, 4.0]]))
    report = prune.sparsity_report(layer)
    assert report.n_zeros == report.n_dead_inputs == 0
    assert report.layers[0].hoyer == pytest.approx((2**0.5 - 1.4) / (2**0.5 - 1.0))


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors:UserWarning")
def test_report_of_empty_layers():
    """Without inputs every output is dead."""
    report = prune.sparsity_report(nn.Sequential(nn.Linear(0, 4), nn.Linear(4, 0)))
    assert (report.n_dead_outputs, report.n_dead_inputs) == (4, 4)
    assert np.isnan(report.layers[0].fraction_zeros)
