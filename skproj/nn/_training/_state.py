"""Networks, optimizers and generators as arrays, numbers and names, and back.

The way back is exact to the bit. A saved estimator holds nothing else: it can be read
without running code of the file, and on a machine without the device of the training.
"""

from dataclasses import dataclass

import torch
from scipy.sparse import csr_array

from skproj.nn._training._network import (
    ACTIVATIONS,
    Autoencoder,
    SparseLinear,
    linear_layer,
)
from skproj.nn._training._optimizers import SGD, SOLVERS, Adam
from skproj.nn._training._tensors import resolve_device

ACTIVATION_NAMES = {layer: name for name, layer in ACTIVATIONS.items()}


@dataclass
class PartialFitState:
    """Network of all features and optimizer, from one `partial_fit` to the next."""

    module: torch.nn.Module
    generator: torch.Generator
    settings: tuple  # of the layers; they cannot change
    optimizer: Adam | SGD | None = None  # None before the first part
    # Whether a part is being learned, or could not be learned to its end.
    is_learning: bool = False

    def to_arrays(self):
        """Return all that is needed to go on elsewhere."""
        optimizer = self.optimizer
        return {
            "module": network_to_arrays(self.module),
            "generator": self.generator.get_state().numpy(),
            "device": str(self.generator.device),
            "settings": self.settings,
            "optimizer": None if optimizer is None else optimizer_to_arrays(optimizer),
            "is_learning": self.is_learning,
        }

    @classmethod
    def from_arrays(cls, state):
        """Undo `to_arrays`; None where the device is missing."""
        try:
            device = resolve_device(state["device"])
        except ValueError:
            return None
        module = network_from_arrays(state["module"]).to(device)
        generator = torch.Generator(device)
        generator.set_state(torch.from_numpy(state["generator"].copy()))
        optimizer = state["optimizer"]
        if optimizer is not None:
            optimizer = optimizer_from_arrays(optimizer, module.parameters(), device)
        return cls(
            module=module,
            generator=generator,
            settings=state["settings"],
            optimizer=optimizer,
            is_learning=state["is_learning"],
        )


def to_arrays(value):
    """Replace the tensors in lists and tuples by arrays that share their memory."""
    if isinstance(value, list | tuple):
        return type(value)(to_arrays(item) for item in value)
    return value.detach().cpu().numpy() if torch.is_tensor(value) else value


def to_tensors(value, device="cpu"):
    """Undo `to_arrays`, in memory of its own."""
    if isinstance(value, list | tuple):
        return type(value)(to_tensors(item, device) for item in value)
    # A copy in the order of the memory: products are rounded as before.
    return value if value is None else torch.from_numpy(value.copy("K")).to(device)


def network_to_arrays(module):
    """Describe a perceptron of `make_mlp` or `compress`, or an autoencoder.

    For an autoencoder it is a dict of two descriptions; for a perceptron a list with a
    dict of weights (or nonzero weights, their places and the shape) and biases for each
    linear layer, and a name for each activation.
    """
    if isinstance(module, Autoencoder):
        return {name: network_to_arrays(part) for name, part in module.named_children()}
    return [_layer_to_arrays(layer) for layer in module]


def _layer_to_arrays(layer):
    if type(layer) in ACTIVATION_NAMES:
        return ACTIVATION_NAMES[type(layer)]
    if isinstance(layer, SparseLinear):
        matrix = layer.matrix
        return {
            "nonzero": (matrix.data, matrix.indices, matrix.indptr),
            "shape": matrix.shape,
            "bias": to_arrays(layer.bias.squeeze(1)),
        }
    return {"weight": to_arrays(layer.weight), "bias": to_arrays(layer.bias)}


def network_from_arrays(description):
    """Undo `network_to_arrays`; the network is on the CPU."""
    if isinstance(description, dict):
        return Autoencoder(
            network_from_arrays(description["encoder"]),
            network_from_arrays(description["decoder"]),
        )
    return torch.nn.Sequential(*map(_layer_from_arrays, description))


def _layer_from_arrays(layer):
    if isinstance(layer, str):
        return ACTIVATIONS[layer]()
    bias = to_tensors(layer["bias"])
    if "nonzero" in layer:
        matrix = csr_array(tuple(layer["nonzero"]), shape=layer["shape"], copy=True)
        # Products with a matrix whose indices are wrong would read foreign memory.
        matrix.check_format(full_check=True)
        return SparseLinear(matrix, bias)
    return linear_layer(to_tensors(layer["weight"]), bias)


def optimizer_to_arrays(optimizer):
    """Describe the memory of an optimizer; the rest is set before a step."""
    names = {solver: name for name, solver in SOLVERS.items()}
    name = optimizer.memory
    return {
        "solver": names[type(optimizer)],
        name: to_arrays(getattr(optimizer, name)),
    }


def optimizer_from_arrays(description, parameters, device):
    """Undo `optimizer_to_arrays`, with a learning rate that is still to be set."""
    optimizer = SOLVERS[description["solver"]](parameters, 0.0, 0.0)
    memory = to_tensors(description[optimizer.memory], device)
    for parameter, tensors in zip(optimizer.parameters, memory or (), strict=False):
        _check_memory(parameter, tensors)
    setattr(optimizer, optimizer.memory, memory)
    return optimizer


def _check_memory(parameter, tensors):
    """Refuse a memory that a step would read beyond its end."""
    for tensor in tensors[:2] if isinstance(tensors, tuple) else [tensors]:
        if tensor is not None and tensor.shape != parameter.shape:
            raise ValueError("the memory of the solver does not suit the weights.")
