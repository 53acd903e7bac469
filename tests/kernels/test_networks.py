"""The compiled step of networks side by side, against automatic differentiation."""

import itertools

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skproj._kernels._networks import ACTIVATIONS, differentiate
from skproj.nn._training._network import ACTIVATIONS as MODULES

TOLERANCES = {"float32": 3e-6, "float64": 1e-14}
# Loops take 16 samples at a time, in blocks.
N_SAMPLES = [1, 15, 16, 17, 125]


def make_networks(n_samples, n_units=7, n_classes=3, n_networks=4, dtype="float64"):
    rng = np.random.default_rng(n_samples)
    shapes = {
        "z": (n_networks, n_units, n_samples),
        "hidden_bias": (n_networks, n_units),
        "weight": (n_networks, n_classes, n_units),
        "bias": (n_networks, n_classes),
    }
    arrays = {
        name: 2.0 * rng.standard_normal(shape).astype(dtype)
        for name, shape in shapes.items()
    }
    arrays["labels"] = rng.integers(n_classes, size=n_samples)
    weights = rng.uniform(0.0, 2.0, (n_networks, n_samples)).astype(dtype)
    weights[0, 0] = 0.0
    return {**arrays, "sample_weight": weights}


def run(activation, arrays):
    """Return the losses and the gradients, by name."""
    arrays = {name: array.copy() for name, array in arrays.items()}
    names = ["hidden_bias", "weight", "bias"]
    gradients = {name: np.full_like(arrays[name], np.nan) for name in names}
    losses = np.full_like(arrays["sample_weight"], np.nan)
    differentiate(
        ACTIVATIONS[activation], *arrays.values(), losses, *gradients.values()
    )
    return {"z": arrays["z"], "losses": losses, **gradients}


def expected(activation, arrays):
    """Return the same by automatic differentiation."""
    tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    labels, sample_weight = tensors.pop("labels"), tensors.pop("sample_weight")
    for tensor in tensors.values():
        tensor.requires_grad_()
    hidden = tensors["z"] + tensors["hidden_bias"].unsqueeze(2)
    outputs = tensors["weight"] @ MODULES[activation]()(hidden)
    outputs = outputs + tensors["bias"].unsqueeze(2)
    losses = sample_weight * torch.nn.functional.cross_entropy(
        outputs, labels.expand(len(outputs), -1), reduction="none"
    )
    (losses.sum() / len(labels)).backward()
    gradients = {name: tensor.grad.numpy() for name, tensor in tensors.items()}
    return {"losses": losses.detach().numpy(), **gradients}


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("n_samples", N_SAMPLES)
def test_equals_automatic_differentiation(n_samples, activation, dtype):
    for n_units, n_classes in itertools.product((1, 20), (2, 11)):
        arrays = make_networks(n_samples, n_units, n_classes, dtype=dtype)
        found, wanted = run(activation, arrays), expected(activation, arrays)
        for name, value in wanted.items():
            size = np.abs(value).max()
            assert_allclose(
                found[name] / size, value / size, atol=TOLERANCES[dtype], err_msg=name
            )


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_saturated_units_and_outputs(activation, dtype):
    arrays = make_networks(40, dtype=dtype)
    largest = 300.0 if dtype == "float32" else 3000.0
    z = np.linspace(-largest, largest, arrays["z"].size, dtype=dtype)
    arrays["z"] = z.reshape(arrays["z"].shape)
    found, wanted = run(activation, arrays), expected(activation, arrays)
    # The relative error of a probability is the absolute one of its logit.
    tolerance = 10.0 * largest * np.finfo(dtype).eps
    for name, value in wanted.items():
        assert np.isfinite(found[name]).all()
        assert_allclose(found[name], value, atol=tolerance * np.abs(value).max())


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("invalid", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["z", "hidden_bias", "weight", "bias"])
def test_what_is_not_finite_shows_in_the_loss(name, invalid, activation):
    """A training that has diverged is found by its loss."""
    arrays = make_networks(20)
    arrays[name][1].flat[0] = invalid
    is_bounded = activation in ("tanh", "logistic") and invalid == np.inf
    if is_bounded and name in ("z", "hidden_bias"):
        assert np.isfinite(run(activation, arrays)["losses"]).all()
        return
    losses = run(activation, arrays)["losses"]
    assert not np.isfinite(losses[1]).all()
    assert np.isfinite(losses[[0, 2, 3]]).all()


def test_networks_do_not_depend_on_each_other():
    arrays = make_networks(30)
    together = run("silu", arrays)
    for j in range(4):
        alone = {
            name: array if name == "labels" else array[j : j + 1]
            for name, array in arrays.items()
        }
        for name, value in run("silu", alone).items():
            assert_array_equal(value[0], together[name][j])
