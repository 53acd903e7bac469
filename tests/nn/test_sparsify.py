"""Training of any network to a share of zeros."""

import copy

import numpy as np
import pytest
import torch
from sparsify_helpers import make_problem, nonzero_of, run, same_state
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from skproj.nn import sparsify
from skproj.nn._sparsify._blocks import by_balance, by_magnitude, targeted_weights
from skproj.nn.prune import prunable_parameters

# ---------------------------------------------------------------------------
# Numbers of weights


@pytest.mark.parametrize("target", [0.0, 0.37, 0.9, 1.0])
def test_exact_share(target):
    model, loader = make_problem()
    sparse, report = run(model, loader, target=target)
    layers = [layer for layer, _ in prunable_parameters(sparse)]
    assert nonzero_of(*layers) == round((1 - target) * 470)
    assert report.after.n_zeros == 470 - nonzero_of(*layers)
    assert report.before.n_zeros == 0
    assert f"{report.after.n_zeros} of 470 weights are zero, 0 before" in repr(report)
    assert str(report.after) in str(report)
    biases = [sparse[0][0].bias, sparse[1][0].bias, sparse[0][1].weight]
    assert all(bias.all() for bias in biases)


def test_share_of_some_layers():
    model, loader = make_problem()
    layers = ["0", "1.3", "0.0"]  # one of them twice
    sparse, _ = run(model, loader, layers=layers)
    assert nonzero_of(sparse[0][0], sparse[1][3]) == 54
    assert nonzero_of(sparse[1][0]) == 200


def test_shared_weight_is_counted_once():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6))
    model[2].weight = model[0].weight
    X = torch.randn(20, 6)
    report = sparsify(model, F.mse_loss, [(X, X)], target=0.5, n_epochs=5)
    assert report.after.n_zeros == nonzero_of(model[0]) == 18
    assert model[2].weight is model[0].weight


def test_convolutions():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=2))
    X = torch.randn(10, 1, 8, 8)
    loader = [(X, torch.randn(10, 4, 4, 4))]
    sparsify(model, F.mse_loss, loader, target=0.7, n_epochs=6)
    assert nonzero_of(model[0], model[2]) == round(0.3 * 108)


@pytest.mark.parametrize("score", [by_magnitude, by_balance])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_thresholds_and_masks(score, dtype):
    """They keep the weights with the largest scores, found here by brute force."""
    model, _ = make_problem()
    with torch.no_grad():
        model[0][0].weight.mul_(5.0)
        model[0][0].weight[:2] = 0.0
    (block,) = targeted_weights(model.to(dtype), 0.9)
    weights = [weight.detach() for weight in block.weights]
    scores = [scores_of(weight, score) for weight in weights]
    for share in (0.0, 0.2, 0.5, 1.0):
        n_kept = 470 - round(share * 423)
        least = torch.cat(scores).sort(descending=True).values[n_kept - 1]
        least *= 1 - 1e-6  # scores are in float32, sums in another order
        for weight, own, threshold in zip(
            weights, scores, block.thresholds(share, score), strict=True
        ):
            kept = weight.abs().flatten() > threshold
            # Equal magnitudes are removed together.
            assert (own[kept] >= least).all()
            missing = (own >= least * (1 + 2e-6)) & ~kept
            assert int(missing.sum()) <= (0 if dtype != torch.bfloat16 else 12)
    masks = torch.cat([mask.flatten() for mask in block.masks(score)])
    assert int(masks.sum()) == 47
    joined = torch.cat(scores)
    assert joined[masks].min() >= joined[~masks].max() * (1 - 1e-6)


def scores_of(weight, score):
    """Scores in the order of the weight, equal ones of equal magnitudes."""
    magnitudes = weight.abs().flatten().double()
    if score is by_magnitude:
        return magnitudes
    order = magnitudes.sort(descending=True, stable=True).indices
    scores = torch.empty_like(magnitudes)
    for rank, i in enumerate(order):
        above = magnitudes[order[: rank + 1]].square().sum()
        scores[i] = magnitudes[i].square() / max(above, 1e-300) ** 0.75
    return scores


# ---------------------------------------------------------------------------
# Training


def accuracy(model, X, y):
    with torch.no_grad():
        return float((model.eval()(X).argmax(dim=1) == y).float().mean())


def test_accuracy_on_digits(digits):
    """A tenth of the weights is enough."""
    X, X_test, y, y_test = map(torch.from_numpy, digits)
    torch.manual_seed(0)
    dense = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)
    optimizer = torch.optim.Adam(dense.parameters(), lr=3e-3)
    for _ in range(10):
        for inputs, target in loader:
            optimizer.zero_grad()
            F.cross_entropy(dense(inputs), target).backward()
            optimizer.step()
    sparse, _ = run(dense, loader, target=0.9, n_epochs=20)
    assert accuracy(sparse, X_test, y_test) >= accuracy(dense, X_test, y_test) - 0.01


def test_history_counts_the_weights_that_a_callback_sees():
    model, loader = make_problem()

    def check(row):
        layers = [layer for layer, _ in prunable_parameters(sparse)]
        assert nonzero_of(*layers) == row["n_nonzero"]

    sparse = copy.deepcopy(model)
    options = {"target": 0.9, "n_epochs": 20, "callback": check}
    report = sparsify(sparse, F.cross_entropy, loader, **options)
    assert report.history["n_nonzero"][0] > report.history["n_nonzero"][-1] == 47
    assert report.history["epoch"].tolist() == list(range(1, 21))


def test_optimizer_of_the_user():
    model, loader = make_problem()
    rates = []

    def make(parameters):
        optimizer = torch.optim.SGD(parameters, lr=0.05, momentum=0.9)
        optimizer.register_step_pre_hook(
            lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"])
        )
        return optimizer

    sparse, report = run(model, loader, optimizer=make)
    n_steps = 6 * len(loader)
    expected = 0.05 * (1 + np.cos(np.pi * np.arange(n_steps) / n_steps)) / 2
    np.testing.assert_allclose(rates, expected)
    assert report.after.n_zeros == 376
    assert not same_state(model, sparse)


def test_step_and_batches_of_any_form():
    model, loader = make_problem()
    expected, _ = run(model, loader)

    class Dicts(type(loader)):
        def __iter__(self):
            for X, y in super().__iter__():
                yield {"rows": [X], "labels": y}

    def step(module, batch):
        return F.cross_entropy(module(batch["rows"][0]), batch["labels"])

    sparse = copy.deepcopy(model)
    torch.manual_seed(0)
    sparsify(
        sparse,
        None,
        Dicts(loader.X, loader.y),
        target=0.8,
        n_epochs=6,
        step=step,
    )
    assert same_state(sparse, expected)


def test_state_after_training():
    """Modes are kept, running means are trained, gradients and masks are gone."""
    model, loader = make_problem()
    model[1].eval()
    model[0][0].bias.requires_grad_(False)
    sparse, _ = run(model, loader)
    assert sparse[0].training
    assert not sparse[1].training
    assert not torch.equal(sparse[0][1].running_mean, model[0][1].running_mean)
    assert torch.equal(sparse[0][0].bias, model[0][0].bias)
    assert all(W.grad is None for W in sparse.parameters())
    assert sparse.state_dict().keys() == model.state_dict().keys()


def test_verbose(capsys):
    model, loader = make_problem()
    run(model, loader, n_epochs=2, verbose=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("Epoch 1 of 2, loss ")
    assert lines[-1].endswith(f"{94} nonzero weights")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_device():
    model, loader = make_problem()
    sparse, report = run(model.cuda(), loader)
    assert report.after.n_zeros == 376
    assert sparse[0][0].weight.is_cuda
