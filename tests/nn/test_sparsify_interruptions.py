"""Early ends, checkpoints and refusals of `sparsify`."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from sparsify_helpers import make_problem, nonzero_of, run, same_state
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune as torch_prune
from torch.utils.data import DataLoader, TensorDataset

from skproj.nn import sparsify
from skproj.nn._sparsify import _loop


@pytest.mark.parametrize("last_epoch", [1, 3, 5])
def test_end_by_callback(last_epoch):
    """There are as many zeros as wanted even then."""
    model, loader = make_problem()
    sparse, report = run(model, loader, callback=lambda row: row["epoch"] == last_epoch)
    assert report.after.n_zeros == 376
    assert len(report.history["epoch"]) == last_epoch
    assert not same_state(sparse, model)


def test_end_by_callback_with_a_checkpoint(tmp_path):
    """What was ended stays ended, with the same result."""
    model, loader = make_problem()
    options = {"checkpoint": tmp_path / "state.pt"}
    sparse, report = run(model, loader, callback=lambda row: True, **options)
    again, other = run(model, loader, **options)
    assert same_state(again, sparse)
    assert other.history["epoch"].tolist() == report.history["epoch"].tolist() == [1]


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


def interrupt_at(epoch):
    def callback(row):
        if row["epoch"] == epoch:
            raise KeyboardInterrupt

    return callback


@pytest.mark.parametrize("target", [0.8, {"0": 0.7, "1.0": 0.9}])
@pytest.mark.parametrize("epoch", [2, 5, 6])
def test_resumed_training_is_the_same(target, epoch, tmp_path):
    """Whatever the network, and the random numbers, were in the meantime."""
    model, loader = make_problem()
    options = {"target": target}
    expected, full = run(model, loader, **options)
    file = tmp_path / "state.pt"
    with pytest.raises(KeyboardInterrupt):
        run(model, loader, **options, checkpoint=file, callback=interrupt_at(epoch))
    other, _ = make_problem(seed=5)
    rows = []
    resumed, report = run(
        other, loader, seed=7, **options, checkpoint=str(file), callback=rows.append
    )
    assert same_state(resumed, expected)
    for name, column in full.history.items():
        np.testing.assert_array_equal(report.history[name], column)
    assert len(rows) < len(full.history["epoch"])
    assert str(report.before) == str(full.before)
    # Once more it is read from the file.
    rows.clear()
    again, _ = run(other, loader, **options, checkpoint=file, callback=rows.append)
    assert same_state(again, expected)
    assert not rows
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]


def test_resumed_training_with_a_generator_of_the_loader(tmp_path):
    model, batches = make_problem()
    data = TensorDataset(batches.X, batches.y)

    def call(seed, **options):
        generator = torch.Generator().manual_seed(seed)
        loader = DataLoader(data, batch_size=20, shuffle=True, generator=generator)
        return run(model, loader, **options)[0]

    expected = call(0)
    file = tmp_path / "state.pt"
    with pytest.raises(KeyboardInterrupt):
        call(0, checkpoint=file, callback=interrupt_at(3))
    assert same_state(call(1, checkpoint=file), expected)


def test_checkpoint_of_another_call(tmp_path):
    model, loader = make_problem()
    file = tmp_path / "state.pt"
    run(model, loader, checkpoint=file)
    before = file.read_bytes()
    for options in ({"target": 0.5}, {"n_epochs": 3}):
        with pytest.raises(ValueError, match=f"other values of {next(iter(options))}"):
            run(model, loader, checkpoint=file, **options)
    other = nn.Sequential(nn.Linear(12, 20), nn.Linear(20, 10), nn.Linear(10, 3))
    with pytest.raises(ValueError, match="other values of module"):
        run(other, loader, checkpoint=file)
    assert file.read_bytes() == before
    with pytest.raises(FileNotFoundError, match="checkpoint: there is no folder"):
        run(model, loader, checkpoint=tmp_path / "missing" / "state.pt")


def test_checkpoint_after_another_change(tmp_path, monkeypatch):
    """Of the loss, the optimizer, the type of the weights, and the version."""
    model, loader = make_problem()
    file, call = tmp_path / "state.pt", {"target": 0.8, "n_epochs": 6}
    make = partial(torch.optim.SGD, lr=0.1)
    sparsify(model, F.cross_entropy, loader, optimizer=make, checkpoint=file, **call)
    before = file.read_bytes()
    call |= {"checkpoint": file, "optimizer": make}
    doubled = copy.deepcopy(model).double()
    double_loader = type(loader)(loader.X.double(), loader.y)
    for network, loss, batches, options, name in (
        (model, F.multi_margin_loss, loader, {}, "loss or step"),
        (model, F.cross_entropy, loader, {"optimizer": None}, "optimizer"),
        (
            model,
            F.cross_entropy,
            loader,
            {"optimizer": partial(torch.optim.SGD, lr=0.2)},
            "optimizer",
        ),
        (
            model,
            F.cross_entropy,
            loader,
            {"optimizer": partial(torch.optim.RMSprop, lr=0.1)},
            "optimizer",
        ),
        (doubled, F.cross_entropy, double_loader, {}, "module"),
    ):
        with pytest.raises(ValueError, match=f"with other values of {name}: take"):
            sparsify(network, loss, batches, **call | options)
    monkeypatch.setattr(_loop, "__version__", "0.0")
    with pytest.raises(ValueError, match="other values of the version of skproj"):
        sparsify(model, F.cross_entropy, loader, **call)
    assert file.read_bytes() == before


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


@pytest.mark.parametrize("name", ["folder", "text", "other"])
def test_unsuitable_file_for_a_checkpoint(name, tmp_path):
    model, loader = make_problem()
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("hello")
    torch.save({"weight": torch.ones(3)}, tmp_path / "other")
    message = {
        "folder": "checkpoint must be a file, got the folder",
        "text": "checkpoint .*text cannot be read",
        "other": "checkpoint .*other is another kind of file",
    }
    with pytest.raises(ValueError, match=message[name]):
        run(model, loader, checkpoint=tmp_path / name)
    file = tmp_path / "without suffix"
    expected, _ = run(model, loader, checkpoint=file)
    assert same_state(run(model, loader, checkpoint=file)[0], expected)


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
    "checkpoint": ({"checkpoint": 3}, TypeError, "checkpoint must be a path or None"),
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
