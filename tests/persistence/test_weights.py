"""Weights of networks in files."""

import copy
import json
import pickle

import pytest
import safetensors.torch
import torch
from persistence_helpers import little_memory
from torch.nn.utils import prune as torch_prune

from skproj import SparseMLPClassifier
from skproj.nn import prune
from skproj.persistence import export_weights, load_weights

# ---------------------------------------------------------------------------
# Weights


def network(dtype=torch.float32):
    return torch.nn.Sequential(
        torch.nn.Linear(40, 30), torch.nn.BatchNorm1d(30), torch.nn.Linear(30, 5)
    ).to(dtype)


def assert_same_weights(one, two):
    one, two = one.state_dict(), two.state_dict()
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert tensor.dtype == two[name].dtype
        assert torch.equal(tensor, two[name]), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_weights_come_back_in_their_precision(dtype, path):
    model = network(dtype)
    export_weights(model, path)
    other = network(dtype)
    assert load_weights(other, path) is other
    assert_same_weights(other, model)
    assert safetensors.torch.load_file(path).keys() == model.state_dict().keys()


def prune_network(model):
    torch_prune.global_unstructured(
        prune.prunable_parameters(model), torch_prune.L1Unstructured, amount=0.9
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("is_pruned_before", [False, True])
def test_pruned_weights_stay_pruned_while_training_goes_on(
    dtype, is_pruned_before, path
):
    model = network()
    prune_network(model)
    model.to(dtype)
    export_weights(model, path)
    other = network()
    if is_pruned_before:
        torch_prune.random_unstructured(other[0], "weight", 0.2)
    load_weights(other.to(dtype), path)
    visible = model[0].weight_orig * model[0].weight_mask
    assert torch.equal(other[0].weight, visible)
    assert torch.equal(other[0].weight_mask, model[0].weight_mask)

    zeros = other[0].weight == 0
    assert zeros.float().mean() > 0.8
    optimizer = torch.optim.SGD(other.parameters(), lr=0.1)
    other(torch.randn(8, 40, dtype=dtype)).square().sum().backward()
    optimizer.step()
    torch_prune.remove(other[0], "weight")
    assert not torch.equal(other[0].weight, visible)
    assert (other[0].weight[zeros] == 0).all()


def test_pruned_weights_are_small(path):
    layer = torch.nn.Linear(300, 200)
    torch_prune.l1_unstructured(layer, "weight", 0.9)
    size = len(safetensors.torch.save(layer.state_dict()))
    export_weights(layer, path)
    assert path.stat().st_size < size / 12


def test_shared_and_pruned_modules(path):
    """A layer used twice, and a weight that two layers share, are no obstacle."""

    def build():
        layer, tied = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
        tied.weight = layer.weight
        return torch.nn.Sequential(layer, layer, tied)

    model, other = build(), build()
    torch_prune.l1_unstructured(model[0], "weight", 0.5)
    export_weights(model, path)
    load_weights(other, path)
    assert_same_weights(other[0], model[0])
    assert torch.equal(other[0].weight, model[0].weight)


@pytest.mark.parametrize("case", ["autoencoder of a number", "mlp"])
def test_weights_of_an_estimator_say_what_they_are(case, fitted, path):
    model = fitted(case)
    export_weights(model, path)
    with safetensors.safe_open(path, framework="pt") as file:
        described = json.loads(file.metadata()["skproj"])
    assert described["estimator"] == type(model).__name__
    assert described["params"]["random_state"] == 0
    assert described["version"] == 1
    if case == "mlp":
        assert "features" not in described
    else:
        assert described["features"] == model.get_support(indices=True).tolist()
    assert_same_weights(load_weights(copy.deepcopy(model).module_, path), model.module_)


def test_weights_that_do_not_suit_change_nothing(path):
    model = network()
    torch_prune.l1_unstructured(model[0], "weight", 0.5)
    export_weights(model, path)
    for other, reason in (
        (
            torch.nn.Sequential(torch.nn.Linear(40, 30)),
            r"is missing in the network|and miss",
        ),
        (network(torch.float64), r"float32.*float64"),
        (torch.nn.Sequential(torch.nn.Linear(7, 30), *network()[1:]), r"40.*7"),
    ):
        before = copy.deepcopy(other)
        with pytest.raises(
            ValueError, match=rf"net.safetensors does not suit.*({reason})"
        ):
            load_weights(other, path)
        assert_same_weights(other, before)


def test_plain_files_of_safetensors_are_read(path):
    model, other = network(), network()
    safetensors.torch.save_file(model.state_dict(), path)
    assert_same_weights(load_weights(other, path), model)


def test_masks_of_numbers_are_read(path):
    """In a file that is no more than a `state_dict`."""
    model, other = network(), network()
    for net in (model, other):
        prune_network(net)
    state = model.state_dict()
    masks = {name: W.float() for name, W in state.items() if name.endswith("_mask")}
    safetensors.torch.save_file(state | masks, path)
    assert_same_weights(load_weights(other, path), model)


def test_files_without_weights_are_refused(path, fitted):
    layer = torch.nn.Linear(3, 2)
    with pytest.raises(FileNotFoundError, match=r"net.safetensors"):
        load_weights(layer, path)
    for content in (b"", b"nonsense" * 20, pickle.dumps(layer.state_dict())):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"net.safetensors cannot be loaded"):
            load_weights(layer, path)
    for metadata, reason in (
        ({"version": 2, "pruned": {}}, "newer version of skproj .*version 2, 1 is "),
        ({"version": 1, "pruned": {"weight": [3, 2]}}, "cannot be loaded"),
    ):
        safetensors.torch.save_file(
            layer.state_dict(), path, {"skproj": json.dumps(metadata)}
        )
        with pytest.raises(ValueError, match=rf"net.safetensors .*{reason}"):
            load_weights(layer, path)
    with pytest.raises(ValueError, match="model must be a network"):
        export_weights(fitted("selector"), path)
    with pytest.raises(ValueError, match=r"model must be a torch.nn.Module"):
        load_weights(fitted("autoencoder"), path)
    with pytest.raises(ValueError, match="not fitted"):
        export_weights(SparseMLPClassifier(), path)


def pruned_file(path, shape, values, bits):
    """Write a file of a layer of three inputs and two outputs."""
    tensors = {
        "weight_orig": torch.ones(values),
        "weight_mask": torch.tensor([bits], dtype=torch.uint8),
        "bias": torch.zeros(2),
    }
    metadata = {"version": 1, "pruned": {"weight": shape}}
    safetensors.torch.save_file(tensors, path, {"skproj": json.dumps(metadata)})


def test_a_pruned_weight_is_not_made_larger_than_the_network(path):
    """A file of 300 bytes can name any shape."""
    pruned_file(path, [2**13, 2**13], values=1, bits=0b1000_0000)
    layer = torch.nn.Linear(3, 2)
    with little_memory(), pytest.raises(ValueError, match=r"not suit.*8192, 8192"):
        load_weights(layer, path)


def test_weights_that_do_not_suit_their_mask_are_refused(path):
    layer = torch.nn.Linear(3, 2)
    pruned_file(path, [2, 3], values=2, bits=0b1010_0000)
    assert load_weights(layer, path).weight.tolist() == [[1, 0, 1], [0, 0, 0]]
    for values, bits in ((1, 0b1010_0000), (3, 0b1010_0000)):
        pruned_file(path, [2, 3], values, bits)
        with pytest.raises(ValueError, match="the mask of weight does not suit"):
            load_weights(torch.nn.Linear(3, 2), path)


@pytest.mark.parametrize("number", [0.5, float("nan")])
def test_masks_with_other_numbers(number, path):
    """No bits can stand for them."""
    layer = torch.nn.Linear(4, 3)
    torch_prune.custom_from_mask(layer, "weight", torch.full((3, 4), number))
    with pytest.raises(ValueError, match="mask of weight has other numbers than 0"):
        export_weights(layer, path)
    safetensors.torch.save_file(layer.state_dict(), path)
    model = torch_prune.l1_unstructured(torch.nn.Linear(4, 3), "weight", 0.5)
    model.weight_mask = model.weight_mask.bool()
    model.weight = model.weight.detach()  # which can be copied
    before = copy.deepcopy(model)
    with pytest.raises(ValueError, match="weight_mask has other numbers than 0"):
        load_weights(model, path)
    assert_same_weights(model, before)
    other = torch_prune.identity(torch.nn.Linear(4, 3), "weight")
    assert load_weights(other, path).weight_mask.dtype == torch.float32
    assert torch.equal(other.weight_mask.isnan(), layer.weight_mask.isnan())
