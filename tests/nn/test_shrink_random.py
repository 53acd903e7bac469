"""Removal of dead units: networks of many kinds of layers, with zeros at random."""

import itertools

import pytest
import torch
from shrink_helpers import build
from torch import nn

from skproj.nn import prune

SIZE = 6
READINGS = {
    "last step": lambda H, state: H[:, -1],
    "mean": lambda H, state: H.mean(1),
    "state": lambda H, state: state[-1],
    "flat": lambda H, state: H.flatten(1),
}


class Mixture(nn.Module):
    """Recurrent layers, attention and a sum; grouped convolutions beside them."""

    def __init__(self, kind, groups, reading, **options):
        super().__init__()
        self.first = nn.Linear(5, SIZE)
        self.recurrent = kind(SIZE, SIZE, batch_first=True, **options)
        n_features = SIZE * (1 + self.recurrent.bidirectional)
        self.mix = nn.Linear(n_features, SIZE)
        self.second = kind(SIZE, SIZE, batch_first=True)
        self.attention = nn.MultiheadAttention(SIZE, 3, batch_first=True)
        self.head = nn.Linear(SIZE * (SIZE if reading == "flat" else 1), 2)
        self.convolution = nn.Conv1d(4, SIZE, 3, padding=1)
        self.grouped = nn.Conv1d(SIZE, SIZE, 1, groups=groups)
        self.norm = nn.BatchNorm1d(SIZE)
        self.reading = READINGS[reading]
        self.is_lstm = kind is nn.LSTM

    def forward(self, X, images):
        H = torch.sigmoid(self.first(X))
        H = H + torch.relu(self.mix(self.recurrent(H)[0]))
        H, state = self.second(H)
        if self.is_lstm:
            state, _ = state
        H = H + self.attention(H, H, H)[0]
        C = torch.tanh(self.convolution(images))
        C = self.norm(self.grouped(C)).mean(2)
        return torch.cat([self.head(self.reading(H, state)), C], 1)


def kill_at_random(model):
    """Make rows, columns, biases, and all that belongs to a hidden unit zero."""
    for W in model.parameters():
        share = float(torch.rand(()))
        if W.ndim == 1:
            W[torch.rand(W.shape) < share] = 0.0
        elif torch.rand(()) < 0.7:
            W[torch.rand(W.shape[0]) < share / 2] = 0.0
            W[:, torch.rand(W.shape[1]) < share] = 0.0
    for layer in (model.recurrent, model.second):
        dead = torch.rand(SIZE) < 0.3
        for W in layer.parameters():
            W.view(-1, SIZE, *W.shape[1:])[:, dead] = 0.0


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_random_zeros(kind, reading):
    """The outputs are the same, and a second call finds nothing more."""
    n_removed = 0
    options = itertools.product((2, 6), (1, 2), (False, True))
    for seed, (groups, num_layers, bidirectional) in enumerate(options):
        model = build(
            lambda groups=groups, n=num_layers, b=bidirectional: Mixture(
                kind, groups, reading, num_layers=n, bidirectional=b
            ),
            seed,
        )
        with torch.no_grad():
            kill_at_random(model)
        inputs, others = (
            (torch.randn(n, SIZE, 5).double(), torch.randn(n, 4, 7).double())
            for n in (2, 3)
        )
        smaller, report = prune.shrink(model, inputs)
        torch.testing.assert_close(
            smaller(*others), model(*others), rtol=1e-10, atol=1e-10
        )
        n_removed += report.before.n_parameters - report.after.n_parameters
        assert prune.shrink(smaller, inputs)[1].layers == {}
    assert n_removed > 1000
