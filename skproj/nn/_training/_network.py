"""Multilayer perceptrons with explicit gradients.

For networks of the size that suits a table of numbers, the bookkeeping of autograd
takes longer than the arithmetic.
"""

import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array

ACTIVATIONS = {
    "silu": torch.nn.SiLU,
    "relu": torch.nn.ReLU,
    "gelu": torch.nn.GELU,
    "tanh": torch.nn.Tanh,
    "logistic": torch.nn.Sigmoid,
    "identity": torch.nn.Identity,
}

# From the gradient of an activation's output, and its input and output, to the gradient
# of its input.
_ATEN = torch.ops.aten
DERIVATIVES = {
    torch.nn.SiLU: lambda gradient, z, a: _ATEN.silu_backward(gradient, z),
    torch.nn.ReLU: lambda gradient, z, a: _ATEN.threshold_backward(gradient, a, 0),
    torch.nn.GELU: lambda gradient, z, a: _ATEN.gelu_backward(gradient, z),
    torch.nn.Tanh: lambda gradient, z, a: _ATEN.tanh_backward(gradient, a),
    torch.nn.Sigmoid: lambda gradient, z, a: _ATEN.sigmoid_backward(gradient, a),
    torch.nn.Identity: lambda gradient, z, a: gradient,
}


def make_mlp(sizes, activation, *, dtype, generator):
    """Build a multilayer perceptron whose weights come from `generator`.

    Weights and biases are uniform on ``(-1 / sqrt(fan_in), 1 / sqrt(fan_in))``, the
    default of `torch.nn.Linear`.

    Parameters
    ----------
    sizes : sequence of int
        Widths of all layers, input and output included.
    activation : str
        A key of `ACTIVATIONS`, applied after every layer but the last.
    dtype : torch.dtype
    generator : torch.Generator
        On the CPU, so that initial weights do not depend on the device.

    Returns
    -------
    module : torch.nn.Sequential
        On the CPU.
    """
    layers = []
    for n_in, n_out in itertools.pairwise(sizes):
        # skip_init: the constructor would draw from the global generator.
        layer = torch.nn.utils.skip_init(torch.nn.Linear, n_in, n_out, dtype=dtype)
        bound = 1.0 / np.sqrt(n_in)
        for parameter in (layer.weight, layer.bias):
            torch.nn.init.uniform_(parameter, -bound, bound, generator=generator)
        layers += [layer, ACTIVATIONS[activation]()]
    return torch.nn.Sequential(*layers[:-1])


def weights_of(module):
    """List the matrices of weights of a network, from the input to the output."""
    return [parameter for parameter in module.parameters() if parameter.ndim == 2]


# Below this share of nonzeros, a product with a sparse matrix is faster than a dense
# one, whatever the size of both.
SPARSE_DENSITY = 0.03


class SparseLinear(torch.nn.Module):
    """A linear layer with few nonzero weights, for prediction on the CPU.

    Parameters
    ----------
    matrix : csr_array of shape (n_outputs, n_inputs)
        The weights.
    bias : tensor of shape (n_outputs,)
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
    sparse matrices.

    Parameters
    ----------
    layers : torch.nn.Sequential

    Returns
    -------
    smaller : torch.nn.Sequential
    inputs : ndarray of int of shape (n_kept,)
        The inputs that it takes.
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
    n_out, n_in = weight.shape
    layer = torch.nn.utils.skip_init(torch.nn.Linear, n_in, n_out, dtype=weight.dtype)
    layer.weight = torch.nn.Parameter(weight.clone())
    layer.bias = torch.nn.Parameter(bias.clone())
    return layer


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
        """Remove all features but some from the input and the output.

        Parameters
        ----------
        kept : ndarray of int
        """
        first, last = self.encoder[0], self.decoder[-1]
        kept = torch.from_numpy(kept).to(first.weight.device)
        first.weight = torch.nn.Parameter(first.weight.detach()[:, kept])
        first.in_features = len(kept)
        last.weight = torch.nn.Parameter(last.weight.detach()[kept])
        last.bias = torch.nn.Parameter(last.bias.detach()[kept])
        last.out_features = len(kept)

    def put_features(self, small, places):
        """Take the weights of a network with less features; the other columns are 0.

        Parameters
        ----------
        small : Autoencoder
        places : ndarray of int
            Where its features are among those of this network.
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


def forward(layers, X):
    """Apply the layers of `make_mlp`.

    Parameters
    ----------
    layers : torch.nn.Sequential
    X : tensor of shape (n_samples, n_inputs)

    Returns
    -------
    output : tensor of shape (n_samples, n_outputs)
    inputs : list of tensor
        What each layer was given, for `backward`.
    """
    inputs = []
    for layer in layers:
        inputs.append(X)
        X = layer(X)
    return X, inputs


def backward(layers, output, inputs, gradient, *, of_input):
    """Set the gradients of the parameters of the layers.

    Parameters
    ----------
    layers : torch.nn.Sequential
    output, inputs : tensor, list of tensor
        Of `forward`.
    gradient : tensor of shape (n_samples, n_outputs)
        Of the objective, with respect to the output.
    of_input : bool
        Whether the gradient of the input is needed.

    Returns
    -------
    gradient : tensor of shape (n_samples, n_inputs) or None
    """
    for layer, X in zip(reversed(layers), reversed(inputs), strict=True):
        if not isinstance(layer, torch.nn.Linear):
            gradient = DERIVATIVES[type(layer)](gradient, X, output)
        else:
            layer.weight.grad = gradient.T @ X
            layer.bias.grad = gradient.sum(dim=0)
            if layer is layers[0] and not of_input:
                return None
            gradient = gradient @ layer.weight
        output = X
    return gradient


# Losses of each sample, and their gradients with respect to the output.


def cross_entropy(output, labels):
    """Cross-entropy of the softmax of logits."""
    log_probabilities = torch.log_softmax(output, dim=1)
    labels = labels.unsqueeze(1)
    losses = -log_probabilities.gather(1, labels).squeeze(1)
    gradient = log_probabilities.exp_()
    minus_one = gradient.new_full((1, 1), -1.0).expand(labels.shape)
    return losses, gradient.scatter_add_(1, labels, minus_one)


def logistic(output, labels):
    """Cross-entropy of the logit of label 1 against label 0."""
    logits = output.squeeze(1)
    losses = torch.nn.functional.softplus(logits) - labels * logits
    return losses, (torch.sigmoid(logits) - labels).unsqueeze(1)


def squared_error(output, target):
    """Squared error, summed over the outputs."""
    errors = output - target
    return errors.square().sum(dim=1), errors.mul_(2.0)


def huber(output, target):
    """Half the squared error, linear beyond 1, summed over the outputs."""
    errors = output - target
    gradient = errors.clamp(-1.0, 1.0)
    return (gradient * (errors - 0.5 * gradient)).sum(dim=1), gradient


REGRESSION_LOSSES = {"squared_error": squared_error, "huber": huber}


@dataclass(frozen=True)
class PredictionObjective:
    """Loss of a network that predicts, and does nothing else.

    Attributes
    ----------
    loss : callable
        ``loss(output, target)`` returns the loss of each sample, and the gradient with
        respect to the output.
    """

    loss: Callable

    def losses(self, module, X, y):
        """Return the loss of each sample."""
        losses, _ = self.loss(module(X), y)
        return losses

    def backward(self, module, X_seen, X, y, weight):
        """Set the gradients of the weighted mean of the losses, as `Objective` does."""
        output, inputs = forward(module, X_seen)
        losses, gradient = self.loss(output, y)
        gradient = gradient * (weight.unsqueeze(1) / len(weight))
        backward(module, output, inputs, gradient, of_input=False)
        return losses * weight


@dataclass(frozen=True)
class Objective:
    """Loss of an autoencoder: of the prediction by its code, and of the reconstruction.

    Attributes
    ----------
    prediction, reconstruction : callable
        ``loss(output, target)`` returns the loss of each sample, and the gradient with
        respect to the output.
    reconstruction_weight : float
        The loss of the reconstruction is averaged over the features and multiplied
        with this. With 0 the decoder is left alone.
    """

    prediction: Callable
    reconstruction: Callable
    reconstruction_weight: float

    def losses(self, module, X, y):
        """Return the loss of each sample, without noise."""
        latent = module.encoder(X)
        losses, _ = self.prediction(latent, y)
        if self._reconstructs(X):
            more, _ = self.reconstruction(module.decoder(latent), X)
            losses = losses + self.reconstruction_weight / X.shape[1] * more
        return losses

    def backward(self, module, X_seen, X, y, weight):
        """Set the gradients of the weighted mean of the losses.

        Parameters
        ----------
        module : Autoencoder
        X_seen, X : tensor of shape (n_samples, n_features)
            With noise for the encoder, without for the reconstruction.
        y : tensor
        weight : tensor of shape (n_samples,)

        Returns
        -------
        losses : tensor of shape (n_samples,)
            With the weights.
        """
        scale = weight.unsqueeze(1) / len(weight)
        latent, inputs = forward(module.encoder, X_seen)
        losses, gradient = self.prediction(latent, y)
        gradient = gradient * scale
        if self._reconstructs(X):
            share = self.reconstruction_weight / X.shape[1]
            output, decoder_inputs = forward(module.decoder, latent)
            more, more_gradient = self.reconstruction(output, X)
            losses = losses + share * more
            gradient = gradient + backward(
                module.decoder,
                output,
                decoder_inputs,
                more_gradient * (share * scale),
                of_input=True,
            )
        backward(module.encoder, latent, inputs, gradient, of_input=False)
        return losses * weight

    def _reconstructs(self, X):
        return self.reconstruction_weight > 0 and X.shape[1] > 0


def first_layer(module):
    """Return the weights that are projected, detached, in shared memory."""
    return module.encoder[0].weight.detach()
