"""Training until heads of attention can be removed."""

import numpy as np
import pytest
import torch
from sparsify_unit_helpers import build, fit
from torch import nn
from torch.nn.utils import prune as torch_prune

from skproj.nn import prune
from skproj.nn._sparsify._unit_work import UnitWork


class Attending(nn.Module):
    """The rows of an image are tokens."""

    def __init__(self, **options):
        super().__init__()
        self.embedding = nn.Linear(8, 12)
        self.attention = nn.MultiheadAttention(12, 4, batch_first=True, **options)
        self.reads_images = "kdim" in options
        self.head = nn.Linear(12, 3)

    def forward(self, X):
        H = self.embedding(X[:, 0])
        keys = X[:, 0] if self.reads_images else H
        Z, _ = self.attention(H, keys, H, need_weights=False)
        return self.head((H + Z).mean(1))


class Encoder(nn.Module):
    """Two layers of a transformer."""

    def __init__(self, **options):
        super().__init__()
        self.embedding = nn.Linear(8, 12)
        options = {"batch_first": True, "dropout": 0.0} | options
        layer = nn.TransformerEncoderLayer(12, 4, 20, **options)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(12, 3)

    def forward(self, X):
        return self.head(self.encoder(self.embedding(X[:, 0])).mean(1))


class Decoder(nn.Module):
    """A layer that attends to itself and to its inputs."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Linear(8, 12)
        options = {"batch_first": True, "dropout": 0.0}
        self.decoder = nn.TransformerDecoderLayer(12, 4, 20, **options)
        self.head = nn.Linear(12, 3)

    def forward(self, X):
        H = self.embedding(X[:, 0])
        return self.head(self.decoder(H, H).mean(1))


ATTENTION = [
    Attending,
    lambda: Attending(bias=False),
    lambda: Attending(kdim=8),
    Encoder,
    lambda: Encoder(norm_first=True, activation="gelu"),
    Decoder,
]


@pytest.mark.parametrize("make", ATTENTION)
def test_heads(make):
    """They go together with the hidden units, and the work with both."""
    model, X = build(make), torch.zeros(2, 1, 8, 8)
    work = UnitWork(model, (X,), set(model.modules()))
    everything = work.count(np.ones(len(work.is_free), bool))
    fit(model, 0.4)
    smaller, savings = prune.shrink(model, X)
    assert savings.before.flops == 2 * everything
    assert 0.5 < savings.after.flops / savings.before.flops <= 0.6
    names = {name.rpartition(".")[2] for name in savings.layers}
    expected = {"q_proj", "k_proj", "v_proj", "out_proj"}
    is_alone = isinstance(model, Attending)
    assert names == (expected if is_alone else expected | {"linear1", "linear2"})
    X = torch.randn(5, 1, 8, 8)
    torch.testing.assert_close(smaller.eval()(X), model.eval()(X))


@pytest.mark.parametrize("make", ATTENTION)
def test_multiplications_of_heads_are_those_of_the_smaller_network(make):
    model, X = build(make), torch.zeros(3, 1, 8, 8)
    work = UnitWork(model, (X,), set(model.modules()))
    kept = np.ones(len(work.is_free), bool)
    for share in (0.9, 0.6, 0.0):
        kept = work.keep(share, kept)
        work.erase(torch.from_numpy(kept))
        _, report = prune.shrink(model, X)
        assert 2 * work.count(kept) == report.after.flops


def test_products_of_queries_and_keys_count():
    """Most of the work of long sequences, also of one without a batch."""

    class Rows(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 4)

        def forward(self, X):
            return self.attention(X, X, X, need_weights=False)[0]

    model = build(Rows)
    for X in (torch.zeros(100, 8), torch.zeros(100, 2, 8)):
        work = UnitWork(model, (X,), set(model.modules()))
        n_tokens = X.numel() // 8
        everything = n_tokens * (4 * 8 * 8 + 2 * 100 * 8)
        kept = np.ones(len(work.is_free), bool)
        assert work.count(kept) == everything
        work.erase(torch.from_numpy(work.keep(0.5, kept)))
        _, report = prune.shrink(model, X)
        assert report.before.flops == 2 * everything
        assert report.after.flops == everything
        model = build(Rows)


@pytest.mark.parametrize("name", ["self_attn", "linear1", "linear2"])
def test_layers_that_transformers_share_stay(name):
    """Others go instead."""
    layers = nn.Linear(3, 4000), nn.ReLU(), nn.Linear(4000, 3)
    model, X = build(lambda: nn.Sequential(Encoder(), *layers)), torch.zeros(2, 1, 8, 8)
    first, second = model[0].encoder.layers
    setattr(second, name, getattr(first, name))
    with torch.no_grad():
        first.linear1.weight[:4], first.linear1.bias[:4] = 0.0, -1.0
    fit(model, 0.2)
    smaller, report = prune.shrink(model, X)
    assert report.after.flops <= 0.8 * report.before.flops
    assert set(report.layers) == {"0.head", "1", "3"}
    X = torch.randn(5, 1, 8, 8)
    torch.testing.assert_close(smaller.eval()(X), model.eval()(X))


def test_the_heads_go_that_are_read_least():
    model = build(Attending)
    with torch.no_grad():
        for head, scale in enumerate([3.0, 0.1, 2.0, 0.2]):
            model.attention.out_proj.weight[:, 3 * head : 3 * head + 3] *= scale
    fit(model, 0.4, n_epochs=1)
    smaller, _ = prune.shrink(model, torch.zeros(2, 1, 8, 8))
    assert smaller.attention.heads.tolist() == [0, 2]


def test_heads_that_stay():
    """Frozen ones, those that `layers` does not name, and those of smaller layers."""
    model, X = build(Attending), torch.zeros(2, 1, 8, 8)
    model.attention.out_proj.weight.requires_grad_(False)
    with pytest.raises(ValueError, match=r"target must be at most 0\.0 for"):
        fit(model, 0.3)
    with pytest.raises(ValueError, match=r"target must be at most 0\.0 for"):
        fit(build(Attending), 0.3, layers=["embedding", "head"])
    model = build(Attending)
    fit(model, 0.3, n_epochs=1)
    smaller, report = prune.shrink(model, X)
    assert report.layers
    with pytest.raises(ValueError, match=r"target must be at most 0\.0 for"):
        fit(smaller, 0.3)
    model = build(Attending)
    torch_prune.l1_unstructured(model.attention, "in_proj_weight", 3)
    with pytest.raises(ValueError, match=r"in_proj_weight of a MultiheadAttention"):
        fit(model)
