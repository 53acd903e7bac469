"""Removal of whole branches while training."""

import itertools

import numpy as np
import pytest
import torch
from sparsify_helpers import ShuffledBatches, same_state
from torch import nn
from torch.nn import functional as F

from skproj.nn import prune, sparsify_units
from skproj.nn._sparsify._unit_work import UnitWork


class Block(nn.Module):
    """Layers in a row beside a shortcut, which may have a layer as well."""

    def __init__(self, sizes, shortcut=None):
        super().__init__()
        layers = []
        for n_inputs, n_outputs in itertools.pairwise(sizes):
            conv = nn.Conv2d(n_inputs, n_outputs, 3, padding=1, bias=False)
            layers += [conv, nn.BatchNorm2d(n_outputs), nn.ReLU()]
        self.branch = nn.Sequential(*layers[:-1])
        self.shortcut = shortcut or nn.Identity()

    def forward(self, X):
        H = self.branch(X)
        H += self.shortcut(X)  # as in torchvision
        return F.relu(H, inplace=True)


def make_network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        Block([8, 8, 8]),
        Block([8, 4, 4, 8]),
        Block([8, 8, 12], nn.Conv2d(8, 12, 1)),
        Block([12, 12, 12]),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 3),
    )


def make_batches():
    torch.manual_seed(0)
    X = torch.randn(60, 1, 6, 6)
    y = (X[:, 0, :3].mean((1, 2)) > 0).long() + (X[:, 0, 3:].mean((1, 2)) > 0).long()
    return ShuffledBatches(X, y)


def fit(model, branches, **options):
    torch.manual_seed(1)
    options = {"n_epochs": 6, "example_inputs": torch.zeros(1, 1, 6, 6)} | options
    options = {"target": 0.6} | options
    return sparsify_units(
        model, F.cross_entropy, make_batches(), branches=branches, **options
    )


def is_gone(block):
    return isinstance(block.branch[-1], prune.ConstantOutput)


@pytest.mark.parametrize(("branches", "n_gone"), [(0.0, 0), (0.3, 1), (0.5, 2), (1, 4)])
def test_share_of_the_branches(branches, n_gone):
    """With the smallest scales, which differ; the rest works, and training went on."""
    model = make_network()
    with torch.no_grad():
        for i, scale in ((2, 3.0), (3, 0.1), (4, 2.0), (5, 0.2)):
            model[i].branch[-1].weight.fill_(scale)
    fit(model, branches)
    X = torch.randn(4, 1, 6, 6)
    smaller, report = prune.shrink(model, X)
    gone = [i for i in (2, 3, 4, 5) if is_gone(smaller[i])]
    assert gone == sorted([3, 5, 4, 2][:n_gone])
    assert report.after.flops <= 0.4 * report.before.flops
    torch.testing.assert_close(smaller.eval()(X), model.eval()(X))
    others = [x for i in range(2, 6) if i not in gone for x in smaller[i].modules()]
    assert not [x for x in others if isinstance(x, prune.SkippedLayer)]


def test_all_units_of_a_branch_go():
    """Those of a branch of three layers as well."""
    work = UnitWork(make_network(), (torch.zeros(1, 1, 6, 6),), set(make_network()))
    assert work.n_branches == 0  # nobody may change them
    model = make_network()
    work = UnitWork(model, (torch.zeros(1, 1, 6, 6),), set(model.modules()))
    assert work.n_branches == 4
    everything = np.ones(len(work.is_free), bool)
    counts = [
        np.count_nonzero(~work.keep_branches(n, everything)) for n in (4, 3, 2, 1, 0)
    ]
    assert counts[0] == 0
    assert sorted(np.diff(counts)) == [8, 8, 8, 12]
    kept = work.keep_branches(1, everything)
    np.testing.assert_array_equal(work.keep_branches(1, kept), kept)
    assert work.count(work.keep_branches(0, everything)) < 0.1 * work.count(everything)


def test_branches_without_a_shortcut_stay():
    """A sum of two would have nothing left."""

    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = (
                nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 4))
                for _ in range(2)
            )

        def forward(self, X):
            return self.left(X) + self.right(X)

    model = Sum()
    X = torch.randn(40, 5)
    sparsify_units(
        model,
        F.mse_loss,
        [(X, torch.randn(40, 4))],
        target=0.5,
        branches=1.0,
        example_inputs=X,
        n_epochs=4,
    )
    assert all(branch[2].weight.any() for branch in (model.left, model.right))


def test_interruption(tmp_path):
    """It changes nothing; another share needs another file."""
    model, other = make_network(), make_network()
    fit(model, 0.5)
    path = tmp_path / "state.pt"
    with pytest.raises(KeyboardInterrupt):
        fit(other, 0.5, checkpoint=path, callback=interrupt)
    with pytest.raises(ValueError, match="other values of branches"):
        fit(other, 0.0, checkpoint=path)
    fit(other, 0.5, checkpoint=path)
    assert same_state(model, other)


def interrupt(row):
    if row["epoch"] == 2:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("branches", "error"),
    [
        (-0.1, ValueError),
        (1.1, ValueError),
        (float("nan"), ValueError),
        ("all", TypeError),
        (True, TypeError),
        (np.True_, TypeError),
    ],
)
def test_refusals(branches, error):
    with pytest.raises(error, match="branches"):
        fit(make_network(), branches)
