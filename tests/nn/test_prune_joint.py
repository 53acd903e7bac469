"""Masks of several layers together."""

import copy

import numpy as np
import pytest
import torch
from prune_helpers import each_grouping, project_by_hand, zeros_of
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils import prune as torch_prune

from skproj.nn import BallConstraint, prune
from skproj.nn.prune._weight_groups import WeightVectors


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
    vectors = WeightVectors(layer, W.shape, "inputs")
    rows = vectors.cut(W)
    assert rows.shape == (6, 4)
    np.testing.assert_array_equal(rows[0], W[:2, 0].ravel())
    np.testing.assert_array_equal(rows[5], W[2:, 2].ravel())
    np.testing.assert_array_equal(vectors.join(rows), W)
    for kind, shape in (("filters", (4, 6)), ("layers", (1, 24))):
        vectors = WeightVectors(layer, W.shape, kind)
        assert vectors.cut(W).shape == shape
        np.testing.assert_array_equal(vectors.join(vectors.cut(W)), W)


def test_filters_of_transposed_convolution():
    """Its weight has the inputs first."""
    layer = nn.ConvTranspose2d(4, 6, 2, groups=2)
    prune.global_hoyer([(layer, "weight")], 1.0)
    by_group = layer.weight.reshape(2, 2, 3, 2, 2)
    assert torch.equal((by_group != 0).sum(dim=(1, 3, 4)), torch.ones(2, 3))
    vectors = WeightVectors(layer, (4, 3, 2, 2), "inputs")
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
    assert mlp[0].weight_mask.dtype == first[0].dtype == torch.bool
    assert all((mlp[i].weight_mask <= first[i // 2]).all() for i in (0, 2))


@each_grouping
@pytest.mark.parametrize("is_masked", [False, True])
def test_zeros_without_masks(grouping, is_masked, mlp):
    """They are those of the masks, in the same parameters."""
    if is_masked:
        prune.single_shot(mlp, 0.2, target="zeros")
    masked, weight = copy.deepcopy(mlp), mlp[0]._parameters.get("weight")
    options = {"grouping": grouping, "target": "zeros"}
    prune.single_shot(masked, 0.7, **options)
    assert prune.single_shot(mlp, 0.7, **options, permanent=True) is mlp
    assert torch_prune.is_pruned(mlp) == is_masked
    assert is_masked or mlp[0].weight is weight
    mlp(torch.ones(1, 12))
    for i in (0, 2):
        assert torch.equal(mlp[i].weight, masked[i].weight)
    prune.global_hoyer([(mlp[0], "weight")], 1.0, permanent=True)
    mlp(torch.ones(1, 12))
    assert torch.equal((mlp[0].weight != 0).sum(dim=1), torch.ones(10))


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
    with pytest.raises(ValueError, match="model must have a layer with weights"):
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


def test_starved_transposed_convolution():
    """Its outputs are in the second dimension of the weight."""
    layer = nn.ConvTranspose2d(8, 3, 1)
    with pytest.warns(UserWarning, match="keeps 1 of 24 weights, for 3 outputs"):
        prune.global_hoyer([(layer, "weight")], 1.0, "model/layers")


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


def test_sparsity_of_each_part(mlp):
    """A dict is the same as a call for each of the parts."""
    model = nn.Sequential(mlp, nn.Linear(8, 9))
    expected = copy.deepcopy(model)
    for part, sparsity in ((mlp, 0.6), (model[1], 0.8)):
        prune.single_shot(part, sparsity)
    assert prune.single_shot(expected, {"1": 0.8, "0": 0.6}) is expected
    for layer, other in zip(
        prune.prunable_parameters(model),
        prune.prunable_parameters(expected),
        strict=True,
    ):
        assert torch.equal(layer[0].weight, other[0].weight)
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    prune.single_shot(model, {"1": 0.8})
    assert not torch_prune.is_pruned(model[0])
    for sparsity, message in (
        ({"2": 0.5}, "sparsity must have names of modules, got '2'"),
        ({"": 0.5, "0": 0.5}, "which share a weight"),
        ({}, "sparsity must not be empty"),
        ({"0": 1.5}, "sparsity must be between 0 and 1"),
        ({"0": 0.5, "1": float("nan")}, "sparsity must not be negative"),
    ):
        with pytest.raises(ValueError, match=message):
            prune.single_shot(model, sparsity)
    assert not torch_prune.is_pruned(model[0])


def test_masks_of_a_shared_weight_that_differ():
    """What one of the layers hides stays hidden there."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    model[2].weight = model[0].weight
    hidden = [torch.rand(8, 8) < 0.5 for _ in range(2)]
    for i, mask in zip((0, 2), hidden, strict=True):
        torch_prune.custom_from_mask(model[i], "weight", ~mask)
    prune.single_shot(model, 0.3)
    for i, mask in zip((0, 2), hidden, strict=True):
        assert not model[i].weight[mask].any()
        assert not model[i].weight_mask[mask].any()
    assert model[0].weight_mask is not model[2].weight_mask


def test_permanent_zeros_below_a_mask():
    """They are seen at once, and not only after a forward pass."""
    torch.manual_seed(0)
    layer = prune.hoyer_unstructured(nn.Linear(8, 8), "weight", 0.3)
    before = zeros_of(layer)
    prune.single_shot(layer, 0.8, permanent=True)
    after = zeros_of(layer)
    assert after > before
    layer(torch.ones(1, 8)).sum().backward()
    assert zeros_of(layer) == after
    assert layer.weight_orig.grad is not None
