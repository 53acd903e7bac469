"""Training steps of networks side by side whose smaller half is compiled.

Such networks are small: calls of tensor operations take longer than the arithmetic.
"""

import logging
from dataclasses import dataclass

import torch

from skproj._kernels._networks import ACTIVATIONS, differentiate
from skproj.nn._training._network import ACTIVATIONS as MODULES
from skproj.nn._training._noise import HiddenNoise
from skproj.nn._training._objectives import AutoencoderObjective, cross_entropy
from skproj.nn._training._sparse_rows import SparseRows
from skproj.nn._training._tensors import device_of

LOGGER = logging.getLogger("skproj")

_CODES = {MODULES[name]: code for name, code in ACTIVATIONS.items()}


def reason_against_compiled(objective, activations, device):
    """Return why there is no compiled step, or None.

    Only a compiled step can multiply sparse batches.

    Parameters
    ----------
    objective : AutoencoderObjective
    activations : list of type
        Of the hidden layers of the encoder.
    device : torch.device

    Returns
    -------
    reason : str or None
    """
    if len(activations) != 1:
        return f"{len(activations)} hidden layers, not one"
    if activations[0] not in _CODES:
        return f"the activation {activations[0].__name__}"
    if device.type != "cpu":
        return f"the device {device}"
    if objective.prediction is not cross_entropy:
        return "another loss than the cross-entropy"
    if objective.reconstruction_weight != 0.0:
        return "a decoder that is trained with the encoder"
    return None


def compiled(objective, stack):
    """Return the objective, with a compiled step if there is one.

    A debug note of the logger "skproj" says why there is none.

    Parameters
    ----------
    objective : AutoencoderObjective
    stack : NetworkStack

    Returns
    -------
    objective : AutoencoderObjective
    """
    activations = [type(layer) for layer in stack.encoder[2::2]]
    reason = reason_against_compiled(objective, activations, device_of(stack))
    if reason is None:
        return CompiledObjective(*vars(objective).values())
    LOGGER.debug("The training steps are not compiled, because of %s.", reason)
    return objective


@dataclass(frozen=True)
class CompiledObjective(AutoencoderObjective):
    """Cross-entropy of stacked networks with one hidden layer, on a CPU.

    What lies between the two products with the samples is compiled.
    """

    def backward(self, module, X_seen, X, y, weight):
        """Set the gradients of mean(w l(z)); see `AutoencoderObjective`."""
        first, _, activation, last = module.encoder
        parameters = first.bias, last.weight, last.bias
        gradients = [torch.empty_like(parameter) for parameter in parameters]
        losses = torch.empty_like(weight)
        Z = first.weight @ X_seen.mT  # samples are the last axis
        n_networks, _, n_units = last.weight.shape
        split = n_networks, n_units, -1
        noises = _hidden_noises(X_seen, first.weight.detach(), n_units)
        for units, noise in zip(Z, noises, strict=False):
            noise.add_(units)
        differentiate(
            _CODES[type(activation)],
            Z.view(split).numpy(),
            first.bias.detach().view(n_networks, n_units).numpy(),
            last.weight.detach().numpy(),
            last.bias.detach().numpy(),
            y[0].numpy(),
            weight.contiguous().numpy(),
            losses.numpy(),
            gradients[0].view(n_networks, n_units).numpy(),
            gradients[1].numpy(),
            gradients[2].numpy(),
        )
        gradient = Z @ X_seen  # Z is its gradient by now
        for rows, units, noise in zip(gradient, Z, noises, strict=False):
            noise.add_gradient_(rows, units)
        first.weight.grad = gradient
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        return losses


def _hidden_noises(X, weight, n_units):
    """Return the noise of each group of networks, where its samples are sparse."""
    if not (isinstance(X, SparseRows) and X.noise):
        return []
    return [HiddenNoise(W, n_units, *X.noise) for W in weight]
