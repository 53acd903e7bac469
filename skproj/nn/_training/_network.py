"""Multilayer perceptrons with explicit gradients.

For networks of the size that suits a table of numbers, the bookkeeping of autograd
takes longer than the arithmetic.
"""

import copy
import itertools

import numpy as np
import torch
from scipy.sparse import csr_array

from skproj.nn._training._tensors import draw_

ACTIVATIONS = {
    "silu": torch.nn.SiLU,
    "relu": torch.nn.ReLU,
    "gelu": torch.nn.GELU,
    "tanh": torch.nn.Tanh,
    "logistic": torch.nn.Sigmoid,
    "identity": torch.nn.Identity,
}


def make_mlp(sizes, activation, *, dtype, generator):
    """Build a multilayer perceptron on the CPU whose weights come from `generator`.

    Weights and biases are uniform on ``(-1 / sqrt(fan_in), 1 / sqrt(fan_in))``, the
    default of `torch.nn.Linear`. The sizes are the widths of all layers, input and
    output included. The activation, a key of `ACTIVATIONS`, is applied after every
    layer but the last. The generator is one of the CPU, so that initial weights do not
    depend on the device.
    """
    layers = []
    for n_in, n_out in itertools.pairwise(sizes):
        # skip_init: the constructor would draw from the global generator.
        layer = torch.nn.utils.skip_init(torch.nn.Linear, n_in, n_out, dtype=dtype)
        bound = 1.0 / np.sqrt(n_in)
        for parameter in (layer.weight, layer.bias):
            draw_(parameter, "uniform_", -bound, bound, generator=generator)
        layers += [layer, ACTIVATIONS[activation]()]
    return torch.nn.Sequential(*layers[:-1])


def mlp_from_layers(layers, activation):
    """Build a perceptron with copies of the weights and biases of some layers."""
    modules = []
    for weight, bias in layers:
        modules += [linear_layer(weight, bias), ACTIVATIONS[activation]()]
    return torch.nn.Sequential(*modules[:-1])


def linear_layer(weight, bias):
    """Return a layer with copies of given weights and biases."""
    # PyTorch warns where a layer is made without any input or output, and draws random
    # weights on any device but this one.
    layer = torch.nn.Linear(1, 1, device="meta")
    layer.out_features, layer.in_features = weight.shape
    layer.weight = torch.nn.Parameter(weight.detach().clone())
    layer.bias = torch.nn.Parameter(bias.detach().clone())
    return layer


def weights_of(module):
    """List the matrices of weights of a network, from the input to the output."""
    return [parameter for parameter in module.parameters() if parameter.ndim == 2]


# Below this share of nonzeros, a product with a sparse matrix is faster than a dense
# one, whatever the size of both.
SPARSE_DENSITY = 0.03


class SparseLinear(torch.nn.Module):
    """A linear layer with few nonzero weights, for prediction on the CPU.

    The weights are a CSR matrix of shape (n_outputs, n_inputs).
    """

    def __init__(self, matrix, bias):
        super().__init__()
        self.matrix = matrix
        self.register_buffer("bias", bias.unsqueeze(1).clone())

    def forward(self, X):
        """Apply the layer; samples are columns while it does."""
        product = torch.from_numpy(self.matrix @ X.cpu().numpy().T)
        return product.to(X.device).add_(self.bias).T


@torch.no_grad()
def compress(layers):
    """Copy a network of `make_mlp` without the units that are dead.

    Units and inputs that nothing depends on are left out, and constant units become a
    part of the biases. On the CPU, layers that are sparse all the same multiply as
    sparse matrices. Returns the network and the indices of the inputs that it takes.
    """
    linear, activations = layers[::2], layers[1::2]
    weights = [layer.weight.detach() for layer in linear]
    biases = [layer.bias.detach() for layer in linear]
    for i, activation in enumerate(activations):
        alive = weights[i].any(dim=1)
        constants = activation(biases[i][~alive])
        biases[i + 1] = biases[i + 1] + weights[i + 1][:, ~alive] @ constants
        weights[i], biases[i] = weights[i][alive], biases[i][alive]
        weights[i + 1] = weights[i + 1][:, alive]
    for i in reversed(range(len(linear))):
        alive = weights[i].any(dim=0)
        weights[i] = weights[i][:, alive]
        if i > 0:
            weights[i - 1], biases[i - 1] = weights[i - 1][alive], biases[i - 1][alive]
    smaller = []
    for weight, bias, activation in itertools.zip_longest(weights, biases, activations):
        smaller.append(_smallest_layer(weight, bias))
        if activation is not None:
            smaller.append(copy.deepcopy(activation))
    return torch.nn.Sequential(*smaller), np.flatnonzero(alive.cpu().numpy())


def _smallest_layer(weight, bias):
    """Return a linear layer in the form that is fastest."""
    is_sparse = weight.count_nonzero() <= SPARSE_DENSITY * weight.numel()
    if is_sparse and (weight.device.type == "cpu" or not weight.numel()):
        return SparseLinear(csr_array(weight.cpu().numpy()), bias)
    return linear_layer(weight, bias)


class Autoencoder(torch.nn.Module):
    """Encoder from the features to the latent code, decoder back to the features."""

    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, X):
        """Return the latent code and the reconstruction."""
        latent = self.encoder(X)
        return latent, self.decoder(latent)

    def keep_features(self, kept):
        """Remove all features but some from the input and the output."""
        first, last = self.encoder[0], self.decoder[-1]
        kept = torch.from_numpy(kept).to(first.weight.device)
        first.weight = torch.nn.Parameter(first.weight.detach()[:, kept])
        first.in_features = len(kept)
        last.weight = torch.nn.Parameter(last.weight.detach()[kept])
        last.bias = torch.nn.Parameter(last.bias.detach()[kept])
        last.out_features = len(kept)

    def put_features(self, small, places):
        """Take the weights of a network with less features; the other columns are 0.

        `places` says where its features are among those of this network.
        """
        weights = small.state_dict()
        first, last = "encoder.0.weight", f"decoder.{len(self.decoder) - 1}"
        places = torch.from_numpy(places)
        for name, rows in ((f"{last}.weight", places), (f"{last}.bias", places)):
            full = torch.zeros_like(self.get_parameter(name))
            weights[name] = full.index_copy(0, rows, weights[name].cpu())
        full = torch.zeros_like(self.get_parameter(first))
        weights[first] = full.index_copy(1, places, weights[first].cpu())
        self.load_state_dict(weights)


def first_layer(module):
    """Return the weights that are projected, detached, in shared memory."""
    return module.encoder[0].weight.detach()
