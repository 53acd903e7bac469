"""Removal of columns of embeddings."""

import pytest
import torch
from shrink_helpers import build, zero
from torch import nn

from skproj.nn import prune

INDICES = torch.arange(12).reshape(2, 6) % 9


class Text(nn.Module):
    """Two embeddings that are added, and two layers."""

    def __init__(self, **options):
        super().__init__()
        self.words = nn.Embedding(9, 6, padding_idx=0, **options)
        self.kinds = nn.Embedding(9, 6)
        self.hidden = nn.Linear(6, 5)
        self.head = nn.Linear(5, 2)

    def forward(self, X):
        H = self.hidden(self.words(X) + self.kinds(X))
        return self.head(torch.relu(H)).mean(1)


def assert_same_text(smaller, model):
    X = torch.randint(9, (4, 7))
    torch.testing.assert_close(smaller(X), model(X), rtol=1e-10, atol=1e-10)


def test_columns_that_are_not_read():
    """Go from both embeddings."""
    model = build(Text)
    zero(model.hidden.weight, slice(None), [1, 4])
    smaller, report = prune.shrink(model, INDICES)
    assert_same_text(smaller, model)
    assert report.layers == {
        "words": ((9, 6), (9, 4)),
        "kinds": ((9, 6), (9, 4)),
        "hidden": ((5, 6), (5, 4)),
    }
    assert smaller.words.embedding_dim == 4
    assert report.before.n_parameters - report.after.n_parameters == 18 + 18 + 10


@pytest.mark.parametrize("number", [0.0, 2.0])
def test_constant_columns(number):
    """Go into the bias if both are constant, with a sum other than zero too."""
    model = build(Text)
    with torch.no_grad():
        model.words.weight[:, 2:4] = number
        model.kinds.weight[:, 3:5] = 1.0
    smaller, report = prune.shrink(model, INDICES)
    assert_same_text(smaller, model)
    assert report.layers["words"] == ((9, 6), (9, 5))
    assert report.layers["hidden"] == ((5, 6), (5, 5))


def test_rows_stay():
    """Indices name them, also those of zeros."""
    model = build(Text)
    zero(model.words.weight, [0, 3, 8])
    zero(model.kinds.weight, [0, 3, 8])
    smaller, report = prune.shrink(model, INDICES)
    assert_same_text(smaller, model)
    assert report.layers == {}


def test_one_column_stays():
    """Of an embedding that nobody reads."""
    model = build(Text)
    zero(model.hidden.weight)
    smaller, _ = prune.shrink(model, INDICES)
    assert_same_text(smaller, model)
    assert smaller.words.weight.shape == smaller.kinds.weight.shape == (9, 1)


def test_embeddings_with_a_largest_norm_stay():
    """The norm is that of all columns."""
    model = build(lambda: Text(max_norm=1.0))
    zero(model.hidden.weight, slice(None), 1)
    smaller, report = prune.shrink(model, INDICES)
    assert_same_text(smaller, model)
    assert report.layers == {}


def test_shared_weight_stays():
    """With the layer that shares it."""

    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.head = nn.Embedding(9, 6), nn.Linear(6, 9)
            self.head.weight = self.words.weight

        def forward(self, X):
            return self.head(self.words(X))

    model = build(Tied)
    zero(model.words.weight, slice(None), 1)
    smaller, report = prune.shrink(model, INDICES)
    assert_same_text(smaller, model)
    assert report.layers == {}
    assert smaller.head.weight is smaller.words.weight
