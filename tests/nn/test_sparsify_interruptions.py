"""Early ends, errors and refusals of `sparsify`."""

import copy

import pytest
import torch
from sparsify_helpers import make_problem, nonzero_of, run, same_state
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune as torch_prune

from skproj.nn import sparsify


@pytest.mark.parametrize("last_epoch", [1, 3, 5])
def test_end_by_callback(last_epoch):
    """There are as many zeros as wanted even then."""
    model, loader = make_problem()
    sparse, report = run(model, loader, callback=lambda row: row["epoch"] == last_epoch)
    assert report.after.n_zeros == 376
    assert len(report.history["epoch"]) == last_epoch
    assert not same_state(sparse, model)


def test_buffers_that_are_not_saved_are_restored():
    model, loader = make_problem()
    layer = model[0][1]
    layer.register_buffer("n_calls", torch.zeros(()), persistent=False)

    def count(layer, inputs):
        layer.n_calls.add_(1)

    layer.register_forward_pre_hook(count)

    def fail(row):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sparsify(model, F.cross_entropy, loader, target=0.8, callback=fail)
    assert layer.n_calls == 0


@pytest.mark.parametrize("error", ["interrupt", "nan"])
def test_nothing_is_changed_by_an_error(error):
    model, loader = make_problem()
    sparse = copy.deepcopy(model).eval()
    sparse[0].train()
    n_calls = 0

    def loss(output, target):
        nonlocal n_calls
        n_calls += 1
        if n_calls == 23:
            if error == "interrupt":
                raise KeyboardInterrupt
            output = output * float("nan")
        return F.cross_entropy(output, target)

    with pytest.raises((KeyboardInterrupt, ValueError), match=r"loss is nan|^$"):
        sparsify(sparse, loss, loader, target=0.8, n_epochs=6)
    assert n_calls == 23
    assert same_state(sparse, model)
    assert sparse[0].training
    assert not sparse[1].training
    assert all(W.grad is None for W in sparse.parameters())


class WrongLength(list):
    """Says that it has a batch."""

    def __len__(self):
        """Return 1."""
        return 1


def test_loader_of_another_length():
    """More batches than it says are used as well."""
    model, loader = make_problem()
    batches = list(loader)
    _, report = run(model, WrongLength(batches))
    assert report.after.n_zeros == 376
    with pytest.raises(ValueError, match="loader must yield a batch, got none in epo"):
        run(model, WrongLength())


def test_gradients_are_switched_on():
    model, loader = make_problem()
    expected, _ = run(model, loader)
    with torch.no_grad():
        assert same_state(run(model, loader)[0], expected)


REFUSALS = {
    "module": ({"module": 3}, TypeError, "module must be a torch.nn.Module"),
    "no_weights": ({"module": nn.ReLU()}, ValueError, "no weight to prune in the mod"),
    "loss": ({"loss": None}, TypeError, "loss must be callable unless step"),
    "step": ({"step": 3}, TypeError, "step must be callable or None, got 3"),
    "generator": ({"loader": iter([])}, TypeError, "loader must be .* with a length"),
    "no_batch": ({"loader": []}, ValueError, "loader must have a batch, got none"),
    "batches": ({"loader": [3]}, ValueError, r"pairs \(inputs, target\) unless step"),
    "target": ({"target": 1.5}, ValueError, "target must be between 0 and 1, got 1.5"),
    "negative": ({"target": -0.1}, ValueError, "target must be between 0 and 1"),
    "nan": ({"target": float("nan")}, ValueError, "target must be between 0 and 1"),
    "text": ({"target": "much"}, ValueError, "target must be a share, .* got 'much'"),
    "digits": ({"target": "0.5"}, ValueError, "target must be a share, .* got '0.5'"),
    "bool": ({"target": True}, TypeError, "target must be a number, got True"),
    "empty": ({"target": {}}, ValueError, "target must not be empty"),
    "unknown": ({"target": {"9": 0.5}}, ValueError, "names of modules, got '9'"),
    "overlap": ({"target": {"1": 0.5, "1.0": 0.5}}, ValueError, "share a weight"),
    "both": ({"target": {"1": 0.5}, "layers": ["1"]}, ValueError, "layers must be Non"),
    "layers": ({"layers": "1"}, TypeError, "layers must be an iterable of names"),
    "no_layers": ({"layers": []}, ValueError, "layers must have the name of a module"),
    "not_a_name": ({"layers": [3]}, ValueError, "names of modules, got 3"),
    "no_weight": ({"layers": ["1.1"]}, ValueError, "no weight to prune in '1.1'"),
    "n_epochs": ({"n_epochs": 0}, ValueError, "n_epochs == 0, must be >= 1"),
    "optimizer": ({"optimizer": "sgd"}, TypeError, "optimizer must make an optimizer"),
    "LBFGS": (
        {"optimizer": torch.optim.LBFGS},
        ValueError,
        "optimizer must make one step from one gradient",
    ),
    "made": ({"optimizer": list}, TypeError, "optimizer must make an optimizer"),
    "vector": (
        {"loss": lambda output, target: output[:, 0]},
        TypeError,
        r"must return a tensor of one number, got \(20,\)",
    ),
    "number": ({"loss": lambda *_: 1.0}, TypeError, "of one number, got 1.0"),
    "constant": (
        {"loss": lambda output, target: output.detach().mean()},
        ValueError,
        "must return a tensor with a gradient",
    ),
    "callback": ({"callback": 3}, TypeError, "callback must be callable or None"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name):
    changes, kind, message = REFUSALS[name]
    model, loader = make_problem()
    options = {"module": model, "loss": F.cross_entropy, "loader": loader}
    before = copy.deepcopy(model)
    with pytest.raises(kind, match=message):
        sparsify(**(options | {"target": 0.8} | changes))
    assert same_state(model, before)


def test_refusal_of_masked_frozen_and_meta_weights():
    model, loader = make_problem()
    options = {"target": 0.8, "n_epochs": 1}
    model[0][0].weight.requires_grad_(False)
    with pytest.raises(ValueError, match="weight needs no gradient: leave it out"):
        sparsify(model, F.cross_entropy, loader, **options)
    sparsify(model, F.cross_entropy, loader, layers=["1"], **options)
    assert nonzero_of(model[0][0]) == 240
    torch_prune.l1_unstructured(model[1][0], "weight", 3)
    with pytest.raises(
        ValueError, match=r"weight of a Linear '1\.0' is .* [a-z.]*prune\.remove"
    ):
        sparsify(model, F.cross_entropy, loader, layers=["1"], **options)
    model = nn.Linear(12, 3, device="meta")
    with pytest.raises(ValueError, match="must have numbers"):
        sparsify(model, F.cross_entropy, loader, **options)
