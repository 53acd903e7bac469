"""Weights with and without masks of PyTorch: the report, and copies without masks."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune as torch_prune

from skproj.nn import Sparsifier, prune, sparsify, sparsify_units


class Attention(nn.MultiheadAttention):
    """Attention of a sequence to itself, or to its first columns."""

    def forward(self, X):
        """Attend."""
        n_keys, n_values = self.kdim or 8, self.vdim or 8
        return super().forward(X, X[..., :n_keys], X[..., :n_values])


LAYERS = {
    "LSTM": (lambda: nn.LSTM(8, 6, num_layers=2), 4),
    "GRU": (lambda: nn.GRU(8, 6, bidirectional=True), 4),
    "RNN": (lambda: nn.RNN(8, 6), 2),
    "LSTMCell": (lambda: nn.LSTMCell(8, 6), 2),
    "attention": (lambda: Attention(8, 2), 1),
    "attention of other sizes": (lambda: Attention(8, 2, kdim=5, vdim=4), 3),
    "transposed": (lambda: nn.ConvTranspose1d(8, 6, 3), 1),
    "transposed groups": (lambda: nn.ConvTranspose1d(8, 6, 3, groups=2), 1),
}


def flatten(output):
    if isinstance(output, torch.Tensor):
        return [output]
    return [tensor for part in output for tensor in flatten(part)]


@pytest.mark.parametrize("name", LAYERS)
def test_masks_of_layers(name):
    """The masks hold while training, and the report names the weights."""
    make, n_weights = LAYERS[name]
    torch.manual_seed(0)
    layer = make()
    weights = prune.prunable_parameters(layer)
    assert len(weights) == n_weights
    assert all(getattr(layer, kind).ndim > 1 for _, kind in weights)
    torch_prune.global_unstructured(weights, torch_prune.L1Unstructured, amount=0.75)
    optimizer = torch.optim.SGD(layer.parameters(), 0.1, momentum=0.9)
    X = torch.randn(8, 8)
    for _ in range(3):
        optimizer.zero_grad()
        sum(out.square().sum() for out in flatten(layer(X))).backward()
        optimizer.step()
    report = prune.sparsity_report(layer)
    total = sum(getattr(layer, kind).numel() for _, kind in weights)
    assert sum(row.n_zeros for row in report.layers) == round(0.75 * total)
    layer(X)
    masked = [row for row in report.layers if row.n_zeros]
    for row, (_, kind) in zip(masked, weights, strict=True):
        W = getattr(layer, kind).detach().numpy()
        assert row.n_zeros == np.count_nonzero(W == 0)


def test_report_before_the_next_forward_pass():
    layer = torch_prune.l1_unstructured(nn.Linear(6, 4), "weight", 10)
    with torch.no_grad():
        layer.weight_orig.fill_(1.0)
    (row,) = prune.sparsity_report(layer).layers
    assert row.n_zeros == 10


def test_excluded_layers_are_not_listed():
    model = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 3)))
    assert prune.prunable_parameters(model, exclude=["1"]) == [(model[0], "weight")]
    with pytest.raises(ValueError, match="exclude must have names of modules, got 'x'"):
        prune.prunable_parameters(model, exclude=["x"])
    with pytest.raises(TypeError, match="exclude must be an iterable of names"):
        prune.prunable_parameters(model, exclude="1")


def test_what_is_not_a_module_is_refused():
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module, got list"):
        prune.sparsity_report([])


@pytest.mark.parametrize("device", ["meta", "lazy"])
def test_weights_without_numbers_are_refused(device):
    layer = nn.LazyLinear(3) if device == "lazy" else nn.Linear(3, 3, device="meta")
    with pytest.raises(ValueError, match=r"weight of \w+ must have numbers"):
        prune.sparsity_report(nn.Sequential(nn.Linear(3, 3), layer))


def test_models_that_hooks_have_computed_are_shrunk():
    """PyTorch itself does not copy a weight that a mask has made."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.LSTM(4, 3))
    torch_prune.l1_unstructured(model[0], "weight_ih_l0", 5)
    model[0](torch.ones(2, 4))
    with pytest.raises(RuntimeError, match="deepcopy"):
        copy.deepcopy(model)
    smaller, _ = prune.shrink(model, torch.ones(2, 1, 4))
    assert not torch_prune.is_pruned(smaller)
    assert int((smaller[0].weight_ih_l0 == 0).sum()) == 5


@pytest.mark.parametrize(
    ("norm", "way"),
    [
        (nn.utils.weight_norm, "remove_weight_norm"),
        (nn.utils.spectral_norm, "remove_spectral_norm"),
        (nn.utils.parametrizations.weight_norm, "remove_parametrizations"),
        (nn.utils.parametrizations.spectral_norm, "remove_parametrizations"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
def test_layers_with_computed_weights_are_named(norm, way):
    """By all that need weights of their own; the error says what to call."""
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(norm(nn.Linear(4, 4))))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batches = [(torch.ones(2, 4), torch.tensor([0, 1]))]
    message = f"weight of a .*Linear '1.0' is computed from others: call .*{way} first"
    with pytest.raises(ValueError, match=message):
        Sparsifier(model, optimizer, n_steps=9)
    with pytest.raises(ValueError, match=message):
        Sparsifier(model, optimizer, n_steps=9, groups="inputs")
    with pytest.raises(ValueError, match=message):
        sparsify(model, nn.functional.cross_entropy, batches, target=0.5)
    with pytest.raises(ValueError, match=message):
        sparsify_units(
            model,
            nn.functional.cross_entropy,
            batches,
            target=0.5,
            example_inputs=batches[0][0],
        )
    with pytest.raises(ValueError, match=message):
        prune.prunable_parameters(model)
    assert len(prune.prunable_parameters(model, exclude=["1"])) == 1
    assert len(prune.sparsity_report(model).layers) == 2
    Sparsifier(model, optimizer, n_steps=9, layers=["0"])
