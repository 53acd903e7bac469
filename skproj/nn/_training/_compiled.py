"""Training steps of networks side by side whose smaller half is compiled.

Such networks are small: calls of tensor operations take longer than the arithmetic.
"""

import logging
from dataclasses import dataclass, field

import torch

from skproj._kernels._networks import ACTIVATIONS, differentiate
from skproj.nn._training._network import ACTIVATIONS as MODULES
from skproj.nn._training._noise import HiddenNoise
from skproj.nn._training._objectives import Objective, cross_entropy
from skproj.nn._training._sparse_rows import SparseRows
from skproj.nn._training._tensors import device_of

LOGGER = logging.getLogger("skproj")

_CODES = {MODULES[name]: code for name, code in ACTIVATIONS.items()}


def reason_against_compiled(objective, activations, device):
    """Return why there is no compiled step, or None.

    The `activations` are the types of those of the encoder. Only a compiled step can
    multiply sparse batches.
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
    """Return the objective of stacked networks, with a compiled step if there is one.

    A debug note of the logger "skproj" says why there is none.
    """
    activations = [type(layer) for layer in stack.encoder[2::2]]
    reason = reason_against_compiled(objective, activations, device_of(stack))
    if reason is None:
        return CompiledObjective(*vars(objective).values())
    LOGGER.debug("The training steps are not compiled, because of %s.", reason)
    return objective


class _Buffers:
    """Parameters of stacked networks and room for gradients, as arrays and as tensors.

    To make the arrays takes longer than a step with few samples.
    """

    def __init__(self, module):
        first, _, activation, last = module.encoder
        self.module, self.first = module, first.weight
        n_networks, _, n_units = last.weight.shape
        self.split = n_networks, n_units, -1
        self.code = _CODES[type(activation)]
        self.parameters = first.bias, last.weight, last.bias
        self.gradients = [torch.empty_like(p) for p in self.parameters]
        values = [parameter.detach().numpy() for parameter in self.parameters]
        gradients = [gradient.numpy() for gradient in self.gradients]
        for arrays in values, gradients:
            arrays[0] = arrays[0].reshape(n_networks, n_units)  # a view
        self.arrays, self.gradient_arrays = values, gradients


@dataclass(frozen=True)
class CompiledObjective(Objective):
    """Cross-entropy of stacked networks with one hidden layer, on a CPU.

    What lies between the two products with the samples is compiled.
    """

    buffers: list = field(default_factory=list, compare=False)

    def backward(self, module, X_seen, X, y, weight):
        """Set the gradients of mean(w l(z)); see `Objective`."""
        buffers = self._buffers(module)
        losses = torch.empty_like(weight)
        Z = buffers.first @ X_seen.mT  # samples are the last axis
        noises = _hidden_noises(X_seen, buffers.first.detach(), buffers.split[1])
        for group, noise in enumerate(noises):
            noise.add_(Z[group])
        differentiate(
            buffers.code,
            Z.view(buffers.split).numpy(),
            *buffers.arrays,
            y[0].numpy(),
            weight.contiguous().numpy(),
            losses.numpy(),
            *buffers.gradient_arrays,
        )
        gradient = Z @ X_seen  # Z is its gradient by now
        for group, noise in enumerate(noises):
            noise.add_gradient_(gradient[group], Z[group])
        buffers.first.grad = gradient
        for parameter, gradient in zip(
            buffers.parameters, buffers.gradients, strict=True
        ):
            parameter.grad = gradient
        return losses

    def _buffers(self, module):
        """Return the arrays of a module; they are made anew for another one."""
        if not self.buffers or self.buffers[0].module is not module:
            self.buffers[:] = [_Buffers(module)]
        return self.buffers[0]


def _hidden_noises(X, weight, n_units):
    """Return the noise of each group of networks, where its samples are sparse."""
    if not (isinstance(X, SparseRows) and X.noise):
        return []
    return [HiddenNoise(W, n_units, *X.noise) for W in weight]
