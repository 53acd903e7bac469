"""Removal of columns and rows of embeddings."""

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


ROWS_OF_ZEROS = [0, 3, 4, 5, 8]


def test_rows_of_zeros():
    """One is left, which is not trained."""
    model = build(Text)
    zero(model.words.weight, ROWS_OF_ZEROS)
    smaller, report = prune.shrink(model, INDICES)
    assert_same_text(smaller, model)
    assert report.layers == {"words": ((9, 6), (5, 6))}
    words = smaller.words
    assert isinstance(words, prune.SelectRows)
    assert (words.layer.num_embeddings, words.layer.embedding_dim) == (5, 6)
    smaller(INDICES).sum().backward()
    assert not words.layer.weight.grad[0].any()
    assert words.layer.weight.grad[1:].any()
    with pytest.raises(IndexError):
        smaller(INDICES + 1)


def test_rows_that_are_zero_in_the_columns_that_are_read():
    model = build(Text)
    zero(model.words.weight, ROWS_OF_ZEROS, slice(1, None))
    zero(model.hidden.weight, slice(None), 0)
    smaller, report = prune.shrink(model, INDICES)
    assert_same_text(smaller, model)
    assert report.layers["words"] == ((9, 6), (5, 5))


def test_all_rows_of_zeros():
    model = build(Text)
    zero(model.words.weight)
    smaller, report = prune.shrink(model, INDICES)
    assert_same_text(smaller, model)
    assert report.layers["words"] == ((9, 6), (1, 6))


@pytest.mark.parametrize("n_zeros", [1, 2, 3])
def test_rows_of_zeros_stay_where_the_index_needs_as_much(n_zeros):
    """It has 36 bytes, a row has 24."""
    model = build(lambda: nn.Sequential(nn.Embedding(9, 6))).float()
    zero(model[0].weight, list(range(n_zeros)))
    smaller, report = prune.shrink(model, INDICES)
    assert torch.equal(smaller(INDICES), model(INDICES))
    assert bool(report.layers) == (24 * (n_zeros - 1) > 36)


@pytest.mark.parametrize("number", [0.0, 1.0])
def test_rows_stay_if_another_one_is_not_trained(number):
    model = build(Text)
    zero(model.words.weight, ROWS_OF_ZEROS)
    zero(model.words.weight, 0)
    with torch.no_grad():
        model.words.weight[0, 2] = number
    smaller, report = prune.shrink(model, INDICES)
    assert_same_text(smaller, model)
    assert bool(report.layers) == (number == 0.0)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 1, 4)])
def test_rows_of_zeros_with_indices_of_any_shape(dtype, shape):
    model = build(lambda: nn.Sequential(nn.Embedding(9, 6, scale_grad_by_freq=True)))
    zero(model[0].weight, ROWS_OF_ZEROS)
    smaller, _ = prune.shrink(model, INDICES)
    X = torch.randint(9, shape, dtype=dtype)
    assert torch.equal(smaller(X), model(X))
    assert smaller[0].layer.scale_grad_by_freq


def test_network_without_rows_of_zeros_shrinks_again(tmp_path):
    """After it was written and read."""
    model = build(Text)
    zero(model.words.weight, ROWS_OF_ZEROS)
    smaller, _ = prune.shrink(model, INDICES)
    torch.save(smaller, tmp_path / "smaller.pt")
    smaller = torch.load(tmp_path / "smaller.pt", weights_only=False)
    zero(smaller.hidden.weight, slice(None), [1, 4])
    again, report = prune.shrink(smaller, INDICES)
    assert_same_text(again, smaller)
    assert report.layers["words.layer"] == ((5, 6), (5, 4))
    assert again.words.embedding_dim == 4


@pytest.mark.parametrize(
    "read",
    [
        lambda words, X: words(X) * words.embedding_dim**0.5,
        lambda words, X: words(X) * (X != words.padding_idx)[..., None],
        lambda words, X: words(X.clamp(0, words.num_embeddings - 1)),
    ],
)
def test_models_that_ask_for_what_an_embedding_has(read):
    """They are told what the original one has."""

    class Asking(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.head = nn.Embedding(9, 6, padding_idx=1), nn.Linear(6, 2)

        def forward(self, X):
            return self.head(read(self.words, X)).mean(1)

    model = build(Asking)
    zero(model.words.weight, [*ROWS_OF_ZEROS, 1])
    smaller, report = prune.shrink(model, INDICES)
    assert_same_text(smaller, model)
    assert report.layers["words"] == ((9, 6), (4, 6))


def test_rows_that_a_projection_makes_zero():
    model = build(lambda: nn.Sequential(nn.Embedding(50, 6), nn.Linear(6, 2)))
    prune.projection_structured(model[0], "weight", 5.0, "l12")
    smaller, report = prune.shrink(model, INDICES)
    assert torch.equal(smaller(INDICES), model(INDICES))
    assert report.layers["0"][1][0] < 50


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
