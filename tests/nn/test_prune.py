"""Masks of one layer: values, PyTorch, copies, training."""

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from prune_helpers import train, zeros_of
from torch import nn
from torch.nn.utils import prune as torch_prune

from skproj.nn import prune
from skproj.projection import BALLS, projection_hoyer

GROUPED = [name for name, ball in BALLS.items() if ball.grouped]


def state_of(module):
    """All that pruning changes."""
    return (
        {name: W.clone() for name, W in module.state_dict().items()},
        list(module.named_parameters()),
        list(module._forward_pre_hooks.values()),
    )


def assert_unchanged(module, state):
    tensors, parameters, hooks = state
    assert list(module.state_dict()) == list(tensors)
    assert all(torch.equal(W, tensors[name]) for name, W in module.state_dict().items())
    assert [name for name, _ in module.named_parameters()] == [x for x, _ in parameters]
    assert all(
        W is before
        for W, (_, before) in zip(module.parameters(), parameters, strict=True)
    )
    assert list(module._forward_pre_hooks.values()) == hooks


# ---------------------------------------------------------------------------
# One layer


def test_mask_is_where_the_projection_is_not_zero(mlp):
    """And the other weights keep their values."""
    layer = mlp[0]
    W = layer.weight.detach().clone()
    bias = layer.bias
    assert prune.hoyer_unstructured(layer, "weight", 0.7) is layer
    P = projection_hoyer(W.numpy(), 0.7, axis=1)
    assert 0 < zeros_of(layer) == np.count_nonzero(P == 0)
    assert torch.equal(layer.weight_mask, torch.from_numpy(P != 0))
    assert torch.equal(layer.weight_orig, W)
    assert torch.equal(layer.weight, W * layer.weight_mask)
    assert layer.bias is bias


def test_filters_of_a_convolution(cnn):
    """A filter is all that makes one output."""
    W = cnn[0].weight.detach().numpy()
    prune.hoyer_unstructured(cnn[0], "weight", 0.5)
    P = projection_hoyer(W.reshape(8, -1), 0.5, axis=1)
    np.testing.assert_array_equal(cnn[0].weight_mask.reshape(8, -1) == 1, P != 0)


def test_fraction_of_zeros(mlp):
    """Of this layer, to the weight."""
    prune.hoyer_unstructured(mlp[0], "weight", 0.75, target="zeros")
    assert zeros_of(mlp[0]) == 90
    assert mlp[0].weight.any(dim=1).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_other_precisions(dtype, mlp):
    """Computed in double precision; the mask is of bool."""
    layer = mlp.to(dtype)[0]
    prune.hoyer_unstructured(layer, "weight", 0.7)
    P = projection_hoyer(layer.weight_orig.detach().double().numpy(), 0.7, axis=1)
    np.testing.assert_array_equal(layer.weight_mask.double() != 0, P != 0)
    assert (layer.weight.dtype, layer.weight_mask.dtype) == (dtype, torch.bool)
    mlp(torch.ones(3, 12, dtype=dtype))


@pytest.mark.parametrize("projection", GROUPED)
@pytest.mark.parametrize("dim", [0, 1, -2])
def test_slices_that_a_ball_removes(projection, dim, cnn):
    """Whole, and only those; the others lose nothing, even where the ball has zeros."""
    layer = cnn[0]
    W = layer.weight.detach().clone()
    axes = tuple(d for d in range(4) if d != dim % 4)
    radius = 0.4 * BALLS[projection].norm(W.numpy(), axis=axes)
    prune.projection_structured(layer, "weight", radius, projection, dim)
    P = BALLS[projection].project(W.numpy(), radius, axis=axes)
    kept = torch.from_numpy(P != 0).sum(dim=axes, keepdim=True) > 0
    assert torch.equal(layer.weight, W * kept)


def test_structured_with_radius_0(mlp):
    """Nothing is left, and nothing more can be pruned."""
    for _ in range(2):
        prune.projection_structured(mlp[0], "weight", 0.0)
        assert zeros_of(mlp[0]) == 120


@pytest.mark.parametrize(
    ("function", "arguments", "error", "message"),
    [
        ("hoyer_unstructured", ("weight", 1.5), ValueError, "sparsity must be between"),
        ("hoyer_unstructured", ("weight", np.nan), ValueError, "sparsity must be betw"),
        ("hoyer_unstructured", ("weight", "1"), TypeError, "sparsity must be a real"),
        ("hoyer_unstructured", ("weight", True), TypeError, "sparsity must be a real"),
        ("hoyer_unstructured", ("height", 0.5), ValueError, "name must be .*'height'"),
        ("hoyer_unstructured", ("bias", 0.5), ValueError, r"at least 2 .* \(10,\)"),
        ("hoyer_unstructured", (3, 0.5), TypeError, "name must be a string"),
        ("projection_structured", ("weight", -1.0), ValueError, "radius must be non"),
        ("projection_structured", ("weight", 1, "l1"), ValueError, "projection must"),
        ("projection_structured", ("weight", 1, "l12", 2), ValueError, "dim must be"),
        ("projection_structured", ("weight", 1, "l12", (0, 1)), TypeError, "dim must"),
    ],
)
@pytest.mark.parametrize("pruned_before", [False, True])
def test_refusal(function, arguments, error, message, pruned_before, mlp):
    """Before anything is changed, also what was pruned before."""
    layer = mlp[0]
    if pruned_before:
        torch_prune.l1_unstructured(layer, "weight", 0.5)
    state = state_of(layer)
    with pytest.raises(error, match=message):
        getattr(prune, function)(layer, *arguments)
    assert_unchanged(layer, state)


@pytest.mark.parametrize("pruned_before", [False, True])
def test_nan_is_refused(pruned_before, mlp):
    """PyTorch would forget the old mask, and reorder the parameters."""
    layer = mlp[0]
    if pruned_before:
        prune.hoyer_unstructured(layer, "weight", 0.5)
    with torch.no_grad():
        layer._parameters["weight_orig" if pruned_before else "weight"].fill_(torch.nan)
    names = [name for name, _ in layer.named_parameters()]
    hooks = list(layer._forward_pre_hooks.values())
    layer(torch.ones(1, 12))
    for function in (prune.hoyer_unstructured, prune.projection_structured):
        with pytest.raises(ValueError, match="NaN"):
            function(layer, "weight", 0.5)
    with pytest.raises(ValueError, match="NaN"):
        prune.single_shot(mlp, 0.5)
    assert [name for name, _ in layer.named_parameters()] == names
    assert list(layer._forward_pre_hooks.values()) == hooks
    assert not torch_prune.is_pruned(mlp[2])


def test_what_is_not_a_module_is_refused():
    """With the name of its type."""
    with pytest.raises(TypeError, match=r"module must be a torch\.nn\.Module, got"):
        prune.hoyer_unstructured(torch.ones(2, 2), "weight", 0.5)
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module, got list"):
        prune.single_shot([], 0.5)


@pytest.mark.parametrize("device", ["meta", "lazy"])
def test_weights_without_numbers_are_refused(device):
    """Those of the meta device, and of layers that have not seen data."""
    layer = nn.LazyLinear(3) if device == "lazy" else nn.Linear(3, 3, device="meta")
    model = nn.Sequential(nn.Linear(3, 3), layer)
    for function in (
        prune.sparsity_report,
        lambda model: prune.single_shot(model, 0.5),
    ):
        with pytest.raises(ValueError, match=r"weight of \w+ must have numbers"):
            function(model)
    assert not torch_prune.is_pruned(model)


# ---------------------------------------------------------------------------
# Together with PyTorch


def test_removal_by_pytorch(mlp):
    """The zeros remain, and the weight is a parameter again."""
    layer = prune.hoyer_unstructured(mlp[0], "weight", 0.7)
    n_zeros = zeros_of(layer)
    assert torch_prune.is_pruned(mlp)
    assert "weight" not in dict(layer.named_parameters())
    train(mlp, torch.optim.SGD(mlp.parameters(), lr=0.01, momentum=0.9))
    torch_prune.remove(layer, "weight")
    assert not torch_prune.is_pruned(mlp)
    assert type(layer.weight) is nn.Parameter
    assert {name for name, _ in layer.named_parameters()} == {"weight", "bias"}
    assert not list(layer.buffers())
    assert zeros_of(layer) == n_zeros


@pytest.mark.parametrize("ours_first", [True, False])
def test_combined_with_methods_of_pytorch(ours_first, mlp):
    """Each prunes what the other has left, and the module can still be copied."""
    layer = mlp[0]
    steps = [
        lambda: prune.hoyer_unstructured(layer, "weight", 0.5, target="zeros"),
        lambda: torch_prune.l1_unstructured(layer, "weight", 30),
    ]
    for step in steps if ours_first else reversed(steps):
        before = layer.weight.detach().clone()
        step()
        assert not (layer.weight[before == 0]).any()
    assert zeros_of(layer) == (60 + 30 if ours_first else 60)
    layer(torch.ones(1, 12))
    assert torch.equal(copy.deepcopy(layer).weight, layer.weight)
    torch_prune.remove(layer, "weight")
    assert not torch_prune.is_pruned(layer)


def test_classes_in_a_container_of_pytorch(mlp):
    """They work on what is left."""
    layer = mlp[0]
    torch_prune.ln_structured(layer, "weight", 3, n=2, dim=1)
    prune.ProjectionStructured.apply(layer, "weight", 0.2, "l12", 1)
    kept = int(layer.weight.any(dim=0).sum())
    assert 0 < kept < 9
    prune.HoyerUnstructured.apply(layer, "weight", 1.0)
    assert torch.equal((layer.weight != 0).sum(dim=1), torch.ones(10))


def test_classes_with_scores(mlp):
    """Those decide, instead of the weights."""
    scores = torch.eye(10, 12)
    prune.HoyerUnstructured.apply(mlp[0], "weight", 1.0, importance_scores=scores)
    assert torch.equal(mlp[0].weight_mask, scores.bool())
    with pytest.raises(ValueError, match=r"importance_scores must have .* \(8, 10\)"):
        prune.HoyerUnstructured.apply(mlp[2], "weight", 1.0, importance_scores=scores)


@pytest.mark.parametrize(
    "method", [prune.HoyerUnstructured(0.5), prune.ProjectionStructured(0.5)]
)
def test_classes_refuse_what_has_no_filters(method):
    """Also without a layer."""
    with pytest.raises(ValueError, match=r"t must have at least 2 .* shape \(4,\)"):
        method.prune(torch.ones(4))
    with pytest.raises(TypeError, match=r"t must hold real numbers, got .*complex64"):
        method.prune(torch.ones(4, 4, dtype=torch.complex64))


def test_dim_of_numpy(mlp):
    """An integer of NumPy is an integer."""
    W = mlp[0].weight
    expected = prune.ProjectionStructured(0.2, "l12", 1).prune(W)
    assert not expected.any(dim=0).all()
    method = prune.ProjectionStructured(0.2, "l12", np.int64(1))
    assert torch.equal(method.prune(W), expected)


# ---------------------------------------------------------------------------
# Masks that stay

OPTIMIZERS = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, weight_decay=0.1),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
}


each_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)


@each_optimizer
def test_pruned_weights_stay_zero(make, mlp):
    """Although momentum of the time before pulls at them."""
    optimizer = make(mlp.parameters())
    train(mlp, optimizer)
    prune.single_shot(mlp, 0.8, target="zeros")
    masks = [layer.weight_mask.clone() for layer in (mlp[0], mlp[2])]
    before = mlp[0].weight.detach().clone()
    train(mlp, optimizer)
    mlp(torch.ones(1, 12))
    for layer, mask in zip((mlp[0], mlp[2]), masks, strict=True):
        assert not layer.weight[mask == 0].any()
        assert layer.weight[mask == 1].all()
        # Nothing is lost but the gradient: the original moves on by itself.
        assert layer.weight_orig[~mask].any()
    assert not torch.equal(mlp[0].weight, before)
    for layer, mask in zip((mlp[0], mlp[2]), masks, strict=True):
        torch_prune.remove(layer, "weight")
        assert torch.equal(layer.weight != 0, mask == 1)


def test_parameters_stay_the_same_tensors(mlp):
    """So that optimizers of before hold them, however often a layer is pruned."""
    weight = mlp[0].weight
    for sparsity in (0.3, 0.6):
        prune.single_shot(mlp, sparsity)
        assert mlp[0].weight_orig is weight
    torch_prune.remove(mlp[0], "weight")
    assert mlp[0].weight is weight


def test_attention_trains_on():
    """It reads one weight without a call of the layer: no mask would stay on that."""
    torch.manual_seed(0)
    model = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True)
    model.double()
    prune.single_shot(model, 0.5)
    pruned = [
        name for name, module in model.named_modules() if torch_prune.is_pruned(module)
    ]
    assert pruned == ["", "self_attn", "linear1", "linear2"]
    assert not torch_prune.is_pruned(model.self_attn.out_proj)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    X = torch.randn(3, 4, 8, dtype=torch.float64)
    for _ in range(3):
        optimizer.zero_grad()
        model(X).square().sum().backward()
        optimizer.step()
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(X), model.train()(X))
    assert len(prune.sparsity_report(model).layers) == 4


LAYERS_OF_SEQUENCES = {
    "LSTM": (lambda: nn.LSTM(8, 6, num_layers=2), 4),
    "GRU": (lambda: nn.GRU(8, 6, bidirectional=True), 4),
    "RNN": (lambda: nn.RNN(8, 6), 2),
    "LSTMCell": (lambda: nn.LSTMCell(8, 6), 2),
    "attention": (lambda: Attention(8, 2), 1),
    "attention of other sizes": (lambda: Attention(8, 2, kdim=5, vdim=4), 3),
    "transposed": (lambda: nn.ConvTranspose1d(8, 6, 3), 1),
    "transposed groups": (lambda: nn.ConvTranspose1d(8, 6, 3, groups=2), 1),
}


class Attention(nn.MultiheadAttention):
    """Attention of a sequence to itself, or to its first columns."""

    def forward(self, X):
        """Attend."""
        n_keys, n_values = self.kdim or 8, self.vdim or 8
        return super().forward(X, X[..., :n_keys], X[..., :n_values])


@pytest.mark.parametrize("name", LAYERS_OF_SEQUENCES)
def test_masks_of_other_layers(name):
    """The masks hold while training, and the report names the weights."""
    make, n_weights = LAYERS_OF_SEQUENCES[name]
    torch.manual_seed(0)
    layer = make()
    weights = prune.prunable_parameters(layer)
    assert len(weights) == n_weights
    assert all(getattr(layer, kind).ndim > 1 for _, kind in weights)
    prune.single_shot(layer, 0.75, target="zeros")
    plain = make()
    optimizer = torch.optim.SGD(layer.parameters(), 0.1, momentum=0.9)
    X = torch.randn(8, 8)
    for _ in range(3):
        optimizer.zero_grad()
        sum(out.square().sum() for out in flatten(layer(X))).backward()
        optimizer.step()
    report = prune.sparsity_report(layer)
    masked = [row for row in report.layers if row.n_zeros]
    assert len(masked) == n_weights
    total = sum(row.n_parameters for row in masked)
    assert abs(sum(row.n_zeros for row in masked) - 0.75 * total) <= 12
    expected = flatten(layer(X))
    for _, kind in weights:
        torch_prune.remove(layer, kind)
        assert (getattr(layer, kind) == 0).any()
    plain.load_state_dict(layer.state_dict())
    for out, other in zip(flatten(plain(X)), expected, strict=True):
        torch.testing.assert_close(out, other)


def flatten(output):
    if isinstance(output, torch.Tensor):
        return [output]
    return [tensor for part in output for tensor in flatten(part)]


@each_optimizer
def test_training_goes_on_as_with_pytorch(make, mlp):
    """The same weights, bit for bit, as under a mask of PyTorch itself."""
    other = copy.deepcopy(mlp)
    prune.single_shot(mlp, 0.8, target="zeros")
    for i in (0, 2):
        torch_prune.custom_from_mask(other[i], "weight", mlp[i].weight_mask)
    for model in (mlp, other):
        train(model, make(model.parameters()))
        model(torch.ones(1, 12))
    assert torch.equal(mlp[0].weight, other[0].weight)
    assert torch.equal(mlp[2].weight, other[2].weight)


def through_pickle(model):
    return pickle.loads(pickle.dumps(model))


def through_file(model):
    saved = io.BytesIO()
    torch.save(model, saved)
    saved.seek(0)
    return torch.load(saved, weights_only=False)


@pytest.mark.parametrize("clone", [copy.deepcopy, through_pickle, through_file])
@pytest.mark.parametrize("times", [1, 2])
def test_copies_train_on(clone, times, mlp):
    """By themselves, and just as the original would."""
    for _ in range(times):
        prune.single_shot(mlp, 0.6)
    train(mlp, torch.optim.SGD(mlp.parameters(), lr=0.01))
    copied = clone(mlp)
    assert torch_prune.is_pruned(copied)
    before = mlp[0].weight_orig.detach().clone()
    n_zeros = zeros_of(mlp[0], mlp[2])
    train(copied, torch.optim.SGD(copied.parameters(), lr=0.01))
    assert torch.equal(mlp[0].weight_orig, before)
    train(mlp, torch.optim.SGD(mlp.parameters(), lr=0.01))
    assert torch.equal(copied(torch.ones(1, 12)), mlp(torch.ones(1, 12)))
    for model in (mlp, copied):
        assert zeros_of(model[0], model[2]) == n_zeros
        torch_prune.remove(model[0], "weight")
    assert torch.equal(mlp[0].weight, copied[0].weight)
    copy.deepcopy(clone(copied))


def test_state_dict_of_pruned_model(mlp):
    """Originals and masks go into another pruned model."""
    prune.single_shot(mlp, 0.6)
    torch.manual_seed(1)
    other = copy.deepcopy(mlp)
    for W in other.parameters():
        nn.init.normal_(W)
    for layer in (other[0], other[2]):
        layer.weight_mask.fill_(1.0)
    other.load_state_dict(mlp.state_dict())
    X = torch.randn(3, 12)
    assert torch.equal(other(X), mlp(X))
    assert torch.equal(other[0].weight, mlp[0].weight)


def test_gradients_flow_through_the_weight(mlp):
    """A penalty on the effective weight reaches the original."""
    prune.hoyer_unstructured(mlp[0], "weight", 0.7)
    mlp(torch.ones(1, 12))
    mlp[0].weight.sum().backward()
    assert torch.equal(mlp[0].weight_orig.grad, mlp[0].weight_mask.float())


def test_pruned_model_can_be_compiled(mlp):
    """Hooks and all."""
    prune.single_shot(mlp, 0.6)
    X = torch.randn(3, 12)
    compiled = torch.compile(mlp, backend="eager")
    torch.testing.assert_close(compiled(X), mlp(X))


@pytest.mark.filterwarnings("ignore:The tensor attributes .* were assigned during")
def test_pruned_model_can_be_exported(mlp):
    """As one that PyTorch has pruned."""
    prune.single_shot(mlp, 0.6)
    X = torch.randn(3, 12)
    exported = torch.export.export(mlp, (X,)).module()
    torch.testing.assert_close(exported(X), mlp(X))
