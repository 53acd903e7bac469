"""Networks side by side: gradients, means, numbers of networks."""

import itertools
import logging

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy as reference_cross_entropy

from skproj.nn import SparseSupervisedAutoencoder
from skproj.nn._training._compiled import (
    CompiledObjective,
    compiled,
    reason_against_compiled,
)
from skproj.nn._training._network import ACTIVATIONS, Autoencoder, mlp_from_layers
from skproj.nn._training._objectives import Objective, cross_entropy, huber
from skproj.nn._training._stack import (
    N_NETWORKS,
    NetworkStack,
    SplitNetworks,
    StackedLinear,
    merge_layers,
    n_networks_for,
)

N_GROUPS, N_SAMPLES, N_FEATURES, N_CLASSES = 2, 7, 5, 3
LAYERS = [(), (8,), (8, 4)]


def make_stack(hidden, activation="silu", *, n_groups=N_GROUPS):
    """Return a stack whose networks all differ."""
    stack = NetworkStack(
        n_groups,
        n_networks_for(hidden),
        (N_FEATURES, *hidden, N_CLASSES),
        activation,
        dtype=torch.float64,
        generator=torch.Generator().manual_seed(0),
    )
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=noise).double())
    return stack


def batch(stack, n_groups=N_GROUPS):
    """Return noisy features, features, labels and weights, as a trainer has them."""
    generator = torch.Generator().manual_seed(2)
    X = torch.randn((n_groups, N_SAMPLES, N_FEATURES), generator=generator).double()
    X_seen = X + 0.1 * torch.randn(X.shape[-2:], generator=generator).double()
    y = torch.randint(N_CLASSES, (N_SAMPLES,), generator=generator)
    weight = torch.rand((n_groups, N_SAMPLES), generator=generator).double()
    weight[:, 0] = 0.0
    n_stacked = n_groups * stack.n_networks
    weight = weight.repeat_interleave(stack.n_networks, dim=0)
    return X_seen, X, y.expand(n_stacked, N_SAMPLES), weight


def network_alone(stack, group, i):
    """Return the layers of the encoder of one network."""
    first = stack.encoder[0]
    split = (stack.n_networks, -1)
    layers = [
        (
            first.weight[group].unflatten(0, split)[i],
            first.bias[group].unflatten(0, split)[i],
        )
    ]
    place = group * stack.n_networks + i
    for layer in stack.encoder[1:]:
        if isinstance(layer, StackedLinear):
            layers.append((layer.weight[place], layer.bias[place]))
    return layers


def gradients_alone(stack, group, i):
    """Return the gradients of one network, in the order of its layers."""
    first, split = stack.encoder[0], (stack.n_networks, -1)
    place = group * stack.n_networks + i
    gradients = [
        (
            first.weight.grad[group].unflatten(0, split)[i],
            first.bias.grad[group].unflatten(0, split)[i],
        )
    ]
    for layer in stack.encoder[1:]:
        if isinstance(layer, StackedLinear):
            gradients.append((layer.weight.grad[place], layer.bias.grad[place]))
    return gradients


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"activation": "gelu"}, "the activation GELU"),
        ({"hidden_layer_sizes": (10, 10)}, "2 hidden layers, not one"),
        ({"loss": "focal"}, "another loss than the cross-entropy"),
        ({}, None),
    ],
)
def test_a_note_says_which_option_keeps_steps_from_being_compiled(
    settings, reason, caplog
):
    X = np.random.default_rng(0).normal(size=(30, 5))
    settings = {"eta": 3.0, "max_epochs": 1, "random_state": 0, **settings}
    model = SparseSupervisedAutoencoder(**{"hidden_layer_sizes": 10, **settings})
    with caplog.at_level(logging.DEBUG, logger="skproj"):
        model.fit(X, X[:, 0] > 0)
    told = {record.getMessage() for record in caplog.records}
    note = f"The training steps are not compiled, because of {reason}."
    assert told == (set() if reason is None else {note})


def test_neither_a_trained_decoder_nor_another_device_has_compiled_steps():
    objectives = [Objective(cross_entropy, huber, w) for w in (0.0, 0.1)]
    devices = map(torch.device, ("cuda", "cpu"))
    reasons = [
        reason_against_compiled(objective, [torch.nn.SiLU], device)
        for objective, device in zip(objectives, devices, strict=True)
    ]
    assert reasons == ["the device cuda", "a decoder that is trained with the encoder"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", LAYERS)
def test_gradients_equal_autograd(hidden, activation):
    """For every activation, compiled or not."""
    stack = make_stack(hidden, activation)
    objective = compiled(Objective(cross_entropy, huber, 0.0), stack)
    has_compiled_step = hidden == (8,) and activation not in ("gelu", "identity")
    assert isinstance(objective, CompiledObjective) == has_compiled_step
    X_seen, X, y, weight = batch(stack)
    latent = stack.encoder(X_seen)
    losses = reference_cross_entropy(latent.mT, y, reduction="none")
    parameters = list(stack.parameters())
    expected = torch.autograd.grad((losses * weight).mean(dim=-1).sum(), parameters)
    with torch.no_grad():
        found = objective.backward(stack, X_seen, X, y, weight)
        without_noise = objective.losses(stack, X_seen, y)
    torch.testing.assert_close(found, (losses * weight).detach())
    torch.testing.assert_close(without_noise, losses.detach())
    for parameter, gradient in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("activation", ["silu", "tanh"])
@pytest.mark.parametrize("hidden", LAYERS)
def test_gradients_are_those_of_each_network_alone(hidden, activation):
    """Networks side by side do not touch each other."""
    stack = make_stack(hidden, activation)
    objective = Objective(cross_entropy, huber, 0.0)
    X_seen, X, y, weight = batch(stack)
    with torch.no_grad():
        losses = objective.backward(stack, X_seen, X, y, weight)
    for group in range(N_GROUPS):
        for i in range(stack.n_networks):
            encoder = mlp_from_layers(network_alone(stack, group, i), activation)
            alone = Autoencoder(encoder, torch.nn.Sequential())
            place = group * stack.n_networks + i
            with torch.no_grad():
                own = objective.backward(
                    alone, X_seen[group], X[group], y[place], weight[place]
                )
            torch.testing.assert_close(losses[place], own)
            expected = [parameter.grad for parameter in alone.parameters()]
            found = itertools.chain(*gradients_alone(stack, group, i))
            for a, b in zip(found, expected, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("hidden", LAYERS)
def test_merged_network_is_the_mean_of_a_group(hidden):
    """Of the latent codes."""
    stack = make_stack(hidden)
    X = batch(stack)[1]
    n = stack.n_networks
    with torch.no_grad():
        latent = stack.encoder(X).unflatten(0, (N_GROUPS, n)).mean(dim=1)
        for group in range(N_GROUPS):
            encoder = mlp_from_layers(stack.merged(group), "silu")
            widths = [layer.out_features for layer in encoder[::2]]
            assert widths == [*hidden, N_CLASSES]
            torch.testing.assert_close(encoder(X[group]), latent[group])


def test_merged_layers_of_one_network_are_its_own():
    """A mean of one."""
    layers = [
        (torch.rand(1, 3, 2), torch.rand(1, 3)),
        (torch.rand(1, 4, 3), torch.rand(1, 4)),
        (torch.rand(1, 1, 4), torch.rand(1, 1)),
    ]
    for (weight, bias), (merged_weight, merged_bias) in zip(
        layers, merge_layers(layers), strict=True
    ):
        torch.testing.assert_close(merged_weight, weight[0])
        torch.testing.assert_close(merged_bias, bias[0])


@pytest.mark.parametrize(
    "hidden", [(1,), (2,), (7,), (9,), (100,), (8, 4), (8, 6), (8, 5), (6, 9)]
)
def test_hidden_units_are_shared_out_evenly(hidden):
    """To as many networks as divide all widths, up to a bound."""
    even = [
        n for n in range(1, N_NETWORKS + 1) if all(width % n == 0 for width in hidden)
    ]
    assert n_networks_for(hidden) == max(even)
    assert n_networks_for(()) == 1


def test_groups_start_alike_and_networks_do_not():
    """Groups differ in their samples only."""
    stack = NetworkStack(
        3,
        2,
        (5, 4, 2),
        "relu",
        dtype=torch.float32,
        generator=torch.Generator().manual_seed(0),
    )
    for layer in (stack.encoder[0], stack.encoder[3]):
        per_group = layer.weight.unflatten(0, (3, -1))
        assert torch.equal(per_group[0], per_group[1])
        assert torch.equal(per_group[0], per_group[2])
    first, second = stack.encoder[0].weight[0].unflatten(0, (2, -1))
    assert not torch.equal(first, second)
    assert stack.encoder[0].weight.abs().max() <= 5**-0.5


def test_split_networks_gradient_undoes_forward():
    """A permutation of the numbers, whose gradient is its inverse."""
    Z = torch.arange(24.0).reshape(2, 3, 4)
    layer = SplitNetworks(2)
    assert layer(Z).shape == (4, 3, 2)
    assert torch.equal(layer(Z)[1], Z[0, :, 2:])
    assert torch.equal(layer.gradient(layer(Z)), Z)
