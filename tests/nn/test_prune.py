"""Masks that stay, in the vocabulary of torch.nn.utils.prune, and what is zero."""

import copy
import io
import pickle
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils import prune as torch_prune

from skproj.nn import BallConstraint, prune
from skproj.nn.prune._weight_groups import GROUPINGS, Vectors
from skproj.projection import BALLS, hoyer_sparsity, projection_hoyer

GROUPED = [name for name, ball in BALLS.items() if ball.grouped]

each_grouping = pytest.mark.parametrize("grouping", GROUPINGS)


@pytest.fixture
def mlp():
    """Two layers of different scale."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 10), nn.Tanh(), nn.Linear(10, 8))


@pytest.fixture
def cnn():
    """Convolutions of several kinds, the second depthwise, the third depthwise 1x1."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 8, 3),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.Conv2d(8, 8, 1, groups=8),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 6, 1),
        nn.Flatten(),
        nn.Linear(24, 6),
    )


def zeros_of(*layers):
    return sum(int((layer.weight == 0).sum()) for layer in layers)


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


def train(model, optimizer, n_steps=5):
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(20, 12, generator=generator)
    for _ in range(n_steps):
        optimizer.zero_grad()
        (model(X) - 1.0).square().sum().backward()
        optimizer.step()


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
    assert torch.equal(layer.weight_mask, torch.from_numpy(P != 0).float())
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
    """Computed in double precision; the mask has the type of the weight."""
    layer = mlp.to(dtype)[0]
    prune.hoyer_unstructured(layer, "weight", 0.7)
    P = projection_hoyer(layer.weight_orig.detach().double().numpy(), 0.7, axis=1)
    np.testing.assert_array_equal(layer.weight_mask.double() != 0, P != 0)
    assert layer.weight.dtype == layer.weight_mask.dtype == dtype
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
    assert torch.equal(mlp[0].weight_mask, scores)


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
        assert not torch.equal(layer.weight_orig * (1 - mask), layer.weight)
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
    """It reads a weight without a call of the layer: no mask would stay on that."""
    torch.manual_seed(0)
    model = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True)
    prune.single_shot(model, 0.5)
    pruned = [
        name for name, module in model.named_modules() if torch_prune.is_pruned(module)
    ]
    assert pruned == ["", "linear1", "linear2"]
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    X = torch.randn(3, 4, 8)
    for _ in range(3):
        optimizer.zero_grad()
        model(X).square().sum().backward()
        optimizer.step()
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(X), model.train()(X))
    assert len(prune.sparsity_report(model).layers) == 3


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
    assert torch.equal(mlp[0].weight_orig.grad, mlp[0].weight_mask)


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


# ---------------------------------------------------------------------------
# Several layers


def project_by_hand(arrays, sparsity, grouping, norm=1.0):
    """The projections of the documentation, without the code that is tested."""
    if grouping == "layer/filters":
        return [projection_hoyer(W, sparsity, axis=1) for W in arrays]
    if grouping == "layer/inputs":
        return [projection_hoyer(W, sparsity, axis=0) for W in arrays]
    if grouping == "model/filters":
        rows = [row for W in arrays for row in W]
    else:
        rows = [W.ravel() for W in arrays]
    projected = np.concatenate(projection_hoyer(rows, sparsity))
    ends = np.cumsum([W.size for W in arrays])[:-1]
    return [
        P.reshape(W.shape)
        for P, W in zip(np.split(projected, ends), arrays, strict=True)
    ]


@each_grouping
def test_groupings(grouping, mlp):
    """Each is the projection that its name says."""
    arrays = [layer.weight.detach().numpy().copy() for layer in (mlp[0], mlp[2])]
    prune.global_hoyer(prune.prunable_parameters(mlp), 0.6, grouping)
    for layer, P in zip(
        (mlp[0], mlp[2]), project_by_hand(arrays, 0.6, grouping), strict=True
    ):
        np.testing.assert_array_equal(layer.weight_mask != 0, P != 0)


@each_grouping
def test_normalized_vectors(grouping, mlp):
    """The scale of a vector does not matter then."""
    kind = grouping.partition("/")[2]
    other = copy.deepcopy(mlp)
    with torch.no_grad():
        for layer in (other[0], other[2]):
            W = layer.weight
            scale = torch.arange(1.0, W.shape[0] + 1)[:, None]
            if kind == "inputs":
                scale = torch.arange(1.0, W.shape[1] + 1)
            elif kind == "layers":
                scale = 7.0 if layer is other[0] else 0.5
            W.mul_(scale)
    for model in (mlp, other):
        parameters = prune.prunable_parameters(model)
        prune.global_hoyer(parameters, 0.6, grouping, normalize=True)
    assert torch.equal(mlp[0].weight_mask, other[0].weight_mask)
    assert torch.equal(mlp[2].weight_mask, other[2].weight_mask)
    assert zeros_of(mlp[0], mlp[2]) > 0


@each_grouping
@pytest.mark.parametrize("share", [0.3, 0.75])
def test_fraction_of_zeros_of_all_layers(grouping, share, mlp):
    """To the weight, and with one Hoyer level for all groups of a layer grouping."""
    arrays = [layer.weight.detach().numpy().copy() for layer in (mlp[0], mlp[2])]
    parameters = prune.prunable_parameters(mlp)
    prune.global_hoyer(parameters, share, grouping, target="zeros")
    assert zeros_of(mlp[0], mlp[2]) == round(share * 200)
    levels = np.linspace(0, 1, 2001)
    masks = [mlp[i].weight_mask.numpy() for i in (0, 2)]
    if grouping.startswith("layer"):
        masks_at = [
            [P != 0 for P in project_by_hand(arrays, level, grouping)]
            for level in levels
        ]
        assert any(
            all(np.array_equal(a, b) for a, b in zip(masks, candidates, strict=True))
            for candidates in masks_at
        )


def test_mask_is_by_magnitude_inside_a_layer(mlp):
    """But each filter keeps its largest weight."""
    W = mlp[0].weight.detach().numpy().copy()
    W[3] *= 1e-3
    with torch.no_grad():
        mlp[0].weight[3] *= 1e-3
    prune.hoyer_unstructured(mlp[0], "weight", 0.6, target="zeros")
    mask = mlp[0].weight_mask.numpy() != 0
    assert mask[3].sum() == 1
    assert mask[3, np.abs(W[3]).argmax()]
    others = np.delete(np.arange(10), 3)
    kept, pruned = np.abs(W[others])[mask[others]], np.abs(W[others])[~mask[others]]
    assert kept.min() > pruned.max()


@each_grouping
@pytest.mark.filterwarnings("ignore:parameter 2 .* keeps 1 of 8 weights")
def test_convolutions(grouping, cnn):
    """Weights of a depthwise 1x1 convolution have no sparsity, and stay."""
    parameters = prune.prunable_parameters(cnn)
    assert [layer for layer, _ in parameters] == [cnn[i] for i in (0, 1, 2, 4, 6)]
    prune.global_hoyer(parameters, 0.6, grouping)
    assert all(zeros_of(layer) > 0 for layer in (cnn[0], cnn[1], cnn[4], cnn[6]))
    if grouping != "model/layers":
        assert zeros_of(cnn[2]) == 0
    cnn(torch.ones(2, 2, 6, 6))


def test_inputs_of_grouped_convolution():
    """An input is read by the filters of its group only."""
    layer = nn.Conv2d(6, 4, (2, 1), groups=2)
    W = np.arange(4 * 3 * 2.0).reshape(4, 3, 2, 1)
    vectors = Vectors(layer, W.shape, "inputs")
    rows = vectors.cut(W)
    assert rows.shape == (6, 4)
    np.testing.assert_array_equal(rows[0], W[:2, 0].ravel())
    np.testing.assert_array_equal(rows[5], W[2:, 2].ravel())
    np.testing.assert_array_equal(vectors.join(rows), W)
    for kind, shape in (("filters", (4, 6)), ("layers", (1, 24))):
        vectors = Vectors(layer, W.shape, kind)
        assert vectors.cut(W).shape == shape
        np.testing.assert_array_equal(vectors.join(vectors.cut(W)), W)


def test_filters_of_transposed_convolution():
    """Its weight has the inputs first."""
    layer = nn.ConvTranspose2d(4, 6, 2, groups=2)
    prune.global_hoyer([(layer, "weight")], 1.0)
    by_group = layer.weight.reshape(2, 2, 3, 2, 2)
    assert torch.equal((by_group != 0).sum(dim=(1, 3, 4)), torch.ones(2, 3))
    vectors = Vectors(layer, (4, 3, 2, 2), "inputs")
    W = layer.weight.detach().numpy()
    np.testing.assert_array_equal(vectors.cut(W), W.reshape(4, 12))


@each_grouping
def test_shared_weight_is_pruned_once(grouping):
    """And masked in both places."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8), nn.Linear(8, 8))
    model[2].weight = model[0].weight
    alone = copy.deepcopy(nn.Sequential(model[0], model[3]))
    prune.single_shot(model, 0.5, grouping=grouping)
    prune.single_shot(alone, 0.5, grouping=grouping)
    assert torch.equal(model[0].weight_mask, alone[0].weight_mask)
    assert torch.equal(model[3].weight_mask, alone[1].weight_mask)
    assert torch.equal(model[0].weight_mask, model[2].weight_mask)
    assert model[0].weight_orig is model[2].weight_orig
    assert len(prune.sparsity_report(model).layers) == 2


def test_repetitions_in_parameters(mlp):
    """They are not pruned twice."""
    pair = (mlp[0], "weight")
    prune.global_hoyer([pair, pair], 0.5, target="zeros")
    assert zeros_of(mlp[0]) == 60


@each_grouping
def test_pruning_again(grouping, mlp):
    """What is zero stays zero and counts, and a lower sparsity changes nothing."""
    prune.single_shot(mlp, 0.4, grouping=grouping, target="zeros")
    first = [mlp[i].weight_mask.clone() for i in (0, 2)]
    prune.single_shot(mlp, 0.3, grouping=grouping, target="zeros")
    assert all(torch.equal(mlp[i].weight_mask, first[i // 2]) for i in (0, 2))
    prune.single_shot(mlp, 0.7, grouping=grouping, target="zeros")
    assert zeros_of(mlp[0], mlp[2]) == 140
    assert mlp[0].weight_mask.dtype == first[0].dtype == torch.float32
    assert all((mlp[i].weight_mask <= first[i // 2]).all() for i in (0, 2))


@each_grouping
def test_sparsity_0_and_1(grouping, mlp):
    """Nothing goes, and one weight of a vector stays."""
    prune.single_shot(mlp, 0.0, grouping=grouping)
    assert zeros_of(mlp[0], mlp[2]) == 0
    n_vectors = {"filters": 18, "inputs": 22, "layers": 2}[grouping.partition("/")[2]]
    if grouping == "model/layers":
        with pytest.warns(UserWarning, match="layer '[02]' keeps 1 of"):
            prune.single_shot(mlp, 1.0, grouping=grouping)
    else:
        prune.single_shot(mlp, 1.0, grouping=grouping)
    assert zeros_of(mlp[0], mlp[2]) == 200 - n_vectors


def test_exclude(mlp):
    """By name, with everything inside."""
    model = nn.Sequential(mlp, nn.Linear(8, 2))
    assert len(prune.prunable_parameters(model, exclude=["1", "0.0"])) == 1
    assert prune.single_shot(model, 0.5, exclude=["0"]) is model
    assert not torch_prune.is_pruned(mlp)
    assert torch_prune.is_pruned(model[1])
    with pytest.raises(ValueError, match=r"exclude must have names of .*'2'"):
        prune.prunable_parameters(model, exclude=["2"])
    with pytest.raises(ValueError, match=r"exclude must have names of .*\['0'\]"):
        prune.prunable_parameters(model, exclude=[["0"]])
    for exclude in ("0", None):
        with pytest.raises(TypeError, match="exclude must be an iterable of names"):
            prune.single_shot(model, 0.5, exclude=exclude)
    with pytest.raises(ValueError, match="model must have a linear or convolutional"):
        prune.single_shot(nn.ReLU(), 0.5)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"parameters": []}, ValueError, "parameters must be .* got none"),
        ({"parameters": 3}, TypeError, "parameters must be an iterable .* got int"),
        ({"parameters": [3]}, TypeError, "parameters must be .* got one of int"),
        ({"parameters": [("weight", 3)]}, TypeError, "module must be a torch.nn.Mod"),
        ({"sparsity": -0.1}, ValueError, "sparsity must be between 0 and 1"),
        ({"grouping": "filters"}, ValueError, "grouping must be one of 'layer/filt"),
        ({"target": "count"}, ValueError, "target must be one of 'hoyer', 'zeros'"),
    ],
)
def test_refusal_of_several(change, error, message, mlp):
    """With nothing pruned."""
    arguments = {"parameters": prune.prunable_parameters(mlp), "sparsity": 0.5}
    with pytest.raises(error, match=message):
        prune.global_hoyer(**(arguments | change))
    assert not torch_prune.is_pruned(mlp)


def test_starved_layers(mlp):
    """A small layer of small weights is cut harder in a group of layers."""
    with torch.no_grad():
        mlp[2].weight.mul_(1e-3)
    with pytest.warns(UserWarning, match=r"parameter 1 \(Linear\) keeps 1 of 80 weig"):
        prune.global_hoyer(prune.prunable_parameters(mlp), 0.6, "model/layers")


def test_parametrized_weight_is_refused(mlp):
    """It is not a parameter that could be masked."""
    parametrize.register_parametrization(mlp[0], "weight", BallConstraint("l1", 1.0))
    with pytest.raises(ValueError, match="name must be that of a parameter"):
        prune.single_shot(mlp, 0.5)
    assert not torch_prune.is_pruned(mlp)


@pytest.mark.parametrize("norm", [nn.utils.weight_norm, nn.utils.spectral_norm])
@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
def test_weight_that_a_hook_computes(norm, mlp):
    """It is reported, and refused before another one is masked."""
    with torch.no_grad():
        mlp[2].weight[:, :3] = 0.0
    norm(mlp[2])
    assert prune.sparsity_report(mlp).layers[1].n_dead_inputs == 3
    with pytest.raises(ValueError, match="name must be that of a parameter"):
        prune.single_shot(mlp, 0.5)
    assert not torch_prune.is_pruned(mlp[0])


def test_complex_weight_is_refused():
    """Its imaginary part would not be seen."""
    layer = nn.Linear(3, 2, dtype=torch.complex64)
    with pytest.raises(TypeError, match=r"name must be .* floating-point .*complex64"):
        prune.hoyer_unstructured(layer, "weight", 0.5)


# ---------------------------------------------------------------------------
# Induced pruning


@each_grouping
def test_projection_after_steps(grouping, mlp):
    """The weights are those of the projection, in their values too."""
    arrays = [layer.weight.detach().numpy().copy() for layer in (mlp[0], mlp[2])]
    optimizer = torch.optim.SGD(mlp.parameters(), lr=0.0)
    parameters = prune.prunable_parameters(mlp)
    with prune.induced_pruning(
        optimizer, parameters, 0.6, grouping=grouping, every=2
    ) as handle:
        train(mlp, optimizer, 1)
        np.testing.assert_array_equal(mlp[0].weight.detach(), arrays[0])
        train(mlp, optimizer, 1)
    expected = project_by_hand(arrays, 0.6, grouping)
    for i in (0, 2):
        np.testing.assert_allclose(mlp[i].weight.detach(), expected[i // 2], rtol=1e-6)
        assert mlp[i].weight.requires_grad
    assert handle.n_steps == 2
    train(mlp, optimizer, 2)
    assert handle.n_steps == 2
    assert not torch_prune.is_pruned(mlp)


def test_induced_with_schedule(mlp):
    """The function gets the number of steps, and says the sparsity after them."""
    optimizer = torch.optim.SGD(mlp.parameters(), lr=0.01, momentum=0.9)
    steps = []

    def schedule(step):
        steps.append(step)
        return step / 10

    handle = prune.induced_pruning(
        optimizer, prune.prunable_parameters(mlp), schedule, every=3
    )
    for _ in range(9):
        train(mlp, optimizer, 1)
        level = np.mean(hoyer_sparsity(mlp[0].weight.detach().numpy(), axis=1))
        if handle.n_steps % 3 == 0:
            assert level >= handle.n_steps / 10 - 1e-6
    assert steps == [3, 6, 9]
    handle.load_state_dict({"n_steps": 100})
    train(mlp, optimizer, 1)
    handle.remove()
    assert handle.state_dict() == {"n_steps": 101}


def test_induced_with_bad_schedule(mlp):
    """The step fails, with the argument named, and nothing is projected."""
    optimizer = torch.optim.SGD(mlp.parameters(), lr=0.0)
    prune.induced_pruning(
        optimizer, prune.prunable_parameters(mlp), lambda step: float(step + 1)
    )
    before = copy.deepcopy(mlp.state_dict())
    with pytest.raises(ValueError, match=r"sparsity must be between 0 and 1, got 2"):
        train(mlp, optimizer)
    assert all(torch.equal(W, before[name]) for name, W in mlp.state_dict().items())


def test_induced_under_masks(mlp):
    """Pruned weights do not count, and the projection reaches the originals."""
    prune.single_shot(mlp, 0.5, target="zeros")
    optimizer = torch.optim.SGD(mlp.parameters(), lr=0.0)
    parameters = prune.prunable_parameters(mlp)
    prune.induced_pruning(optimizer, parameters, 0.8, target="zeros")
    train(mlp, optimizer, 1)
    assert int((mlp[0].weight_orig == 0).sum() + (mlp[2].weight_orig == 0).sum()) == 160


def test_induced_with_shared_weight():
    """It is projected once."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 12), nn.Linear(12, 12))
    model[1].weight = model[0].weight
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    parameters = prune.prunable_parameters(model)
    prune.induced_pruning(optimizer, parameters, 0.75, target="zeros")
    train(model, optimizer, 1)
    assert zeros_of(model[0]) == 108


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"optimizer": 3}, TypeError, "optimizer must be a torch.optim.Optimizer"),
        ({"parameters": []}, ValueError, "parameters must be .* got none"),
        ({"parameters": [(nn.Linear(2, 2), "weight")]}, ValueError, "does not hold"),
        ({"sparsity": 2.0}, ValueError, "sparsity must be between"),
        ({"grouping": "all"}, ValueError, "grouping must be one of"),
        ({"target": "all"}, ValueError, "target must be one of"),
        ({"every": 0}, ValueError, "every must be at least 1"),
        ({"every": 0.5}, TypeError, "every must be an integer"),
    ],
)
def test_induced_refusal(change, error, message, mlp):
    """At the registration, which then leaves no hook behind."""
    optimizer = torch.optim.SGD(mlp.parameters(), lr=0.0)
    arguments = {
        "optimizer": optimizer,
        "parameters": prune.prunable_parameters(mlp),
        "sparsity": 0.5,
    }
    with pytest.raises(error, match=message):
        prune.induced_pruning(**(arguments | change))
    assert not optimizer._optimizer_step_post_hooks


def test_schedules():
    """Values by hand."""
    linear = prune.sparsity_schedule(0.9, 10, initial=0.4, begin=5, shape="linear")
    assert [linear(step) for step in (0, 4, 5, 10, 15, 99)] == pytest.approx(
        [0.0, 0.0, 0.4, 0.65, 0.9, 0.9]
    )
    cubic = prune.sparsity_schedule(0.8, 4)
    assert [cubic(step) for step in (0, 1, 2, 4)] == pytest.approx(
        [0.0, 0.8 * 37 / 64, 0.7, 0.8]
    )


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((1.1, 5), {}, ValueError, "sparsity must be between"),
        ((0.5, 0), {}, ValueError, "n_steps must be at least 1"),
        ((0.5, 2.0), {}, TypeError, "n_steps must be an integer"),
        ((0.5, 5), {"begin": -1}, ValueError, "begin must be at least 0"),
        ((0.5, 5), {"initial": "0"}, TypeError, "sparsity must be a real number"),
        ((0.5, 5), {"shape": "square"}, ValueError, "shape must be one of"),
    ],
)
def test_schedule_refusal(arguments, options, error, message):
    """When it is made."""
    with pytest.raises(error, match=message):
        prune.sparsity_schedule(*arguments, **options)


# ---------------------------------------------------------------------------
# Report


def test_report_by_hand():
    """Numbers counted by hand, with a dead input of a group and biases that are not."""
    model = nn.Sequential(
        nn.Conv2d(4, 2, 1, groups=2, bias=False), nn.Flatten(), nn.Linear(2, 3)
    )
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[3.0, 4.0], [0.0, 5.0]])[..., None, None])
        model[2].weight.copy_(torch.tensor([[1.0, 1.0], [0.0, 0.0], [0.0, 2.0]]))
    report = prune.sparsity_report(model)
    conv, linear = report.layers
    assert conv._asdict() == {
        "name": "0",
        "shape": (2, 2, 1, 1),
        "n_parameters": 4,
        "n_zeros": 1,
        "fraction_zeros": 0.25,
        # 7 / 5 of (3, 4), and a vector with one weight
        "hoyer": pytest.approx(((2**0.5 - 1.4) / (2**0.5 - 1) + 1.0) / 2),
        "n_dead_outputs": 0,
        "n_dead_inputs": 1,
    }
    # Equal weights, no weight (which is called sparse), and one weight.
    assert linear.hoyer == pytest.approx((0.0 + 1.0 + 1.0) / 3)
    assert (linear.n_zeros, linear.n_dead_outputs, linear.n_dead_inputs) == (3, 1, 0)
    assert (report.n_weights, report.n_parameters, report.n_zeros) == (10, 13, 4)
    assert report.fraction_zeros == 0.4
    assert (report.n_dead_outputs, report.n_dead_inputs) == (1, 1)
    assert "4 of 10 weights in 2 layers" in repr(report)
    assert str(report).splitlines()[1].split() == (
        "0 2 x 2 x 1 x 1 4 1 0.250".split() + [f"{conv.hoyer:.3f}", "0", "1"]
    )


def test_report_as_frame(mlp):
    """A row for each layer."""
    report = prune.sparsity_report(prune.single_shot(mlp, 0.6, exclude=["2"]))
    frame = report.to_frame()
    assert list(frame.index) == ["0", "2"]
    assert frame.loc["0", "n_zeros"] == zeros_of(mlp[0]) > 0
    assert frame.loc["2", "n_zeros"] == 0
    assert frame["n_parameters"].sum() == 200


def test_report_does_not_need_pandas(monkeypatch, mlp):
    """Before the frame is asked for."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    report = prune.sparsity_report(mlp)
    assert "all layers" in str(report)
    with pytest.raises(ImportError):
        report.to_frame()


def test_report_of_weights_as_they_are(mlp):
    """Of masks that were changed since the last forward pass, and parametrizations."""
    prune.hoyer_unstructured(mlp[0], "weight", 0.5)
    mlp[0].weight_mask.zero_()
    constraint = BallConstraint("l1", 0.0)
    parametrize.register_parametrization(mlp[2], "weight", constraint)
    report = prune.sparsity_report(mlp)
    assert [layer.n_zeros for layer in report.layers] == [120, 80]
    assert [layer.name for layer in report.layers] == ["0", "2"]


def test_report_without_layers():
    """There is nothing to count."""
    report = prune.sparsity_report(nn.BatchNorm1d(3))
    assert report.layers == []
    assert (report.n_weights, report.n_parameters) == (0, 6)
    assert np.isnan(report.fraction_zeros)
    assert "nan" in str(report)


def test_report_of_single_weights():
    """Vectors of one weight have no level."""
    report = prune.sparsity_report(nn.Conv2d(3, 3, 1, groups=3))
    assert np.isnan(report.layers[0].hoyer)
    assert report.layers[0].n_dead_inputs == 0


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors:UserWarning")
def test_report_of_empty_layers():
    """Without inputs every output is dead."""
    report = prune.sparsity_report(nn.Sequential(nn.Linear(0, 4), nn.Linear(4, 0)))
    assert (report.n_dead_outputs, report.n_dead_inputs) == (4, 4)
    assert np.isnan(report.layers[0].fraction_zeros)
