"""Units of tensors, and layers that read and make them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

# Parameters of a recurrent layer of one direction, the biases last.
RECURRENT_PARAMETERS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


@dataclass
class Value:
    """Units of a tensor along `dim`, some of them with known constants."""

    units: np.ndarray
    dim: int
    known: np.ndarray
    constants: np.ndarray

    def with_constants(self, known, constants):
        """Return the same units with other constants."""
        return Value(self.units, self.dim, known, np.where(known, constants, 0.0))


@dataclass
class Parts:
    """Values of the parts of a tuple; None for parts without units."""

    values: list


class Units:
    """Units by numbers, some of them tied together."""

    def __init__(self):
        self._parents = []

    def new(self, n):
        """Return the numbers of `n` more units."""
        first = len(self._parents)
        self._parents.extend(range(first, first + n))
        return np.arange(first, first + n)

    def find(self, unit):
        """Return the number that stands for all that are tied to a unit."""
        while self._parents[unit] != unit:
            self._parents[unit] = self._parents[self._parents[unit]]
            unit = self._parents[unit]
        return unit

    def tie(self, units, others):
        """Tie units together, one by one."""
        for a, b in zip(units, others, strict=True):
            self._parents[self.find(b)] = self.find(a)

    def roots(self):
        """Return the number that stands for each unit, as an array."""
        return np.array([self.find(unit) for unit in range(len(self._parents))], int)


@dataclass
class Mixing:
    """A layer whose outputs mix its inputs: Linear, or a convolution."""

    module: nn.Module
    inputs: Value
    outputs: np.ndarray
    used: np.ndarray  # (outputs, inputs): is there a weight
    foldable: np.ndarray  # (inputs,): constants that a bias can stand for
    reads_model_input: bool

    def respond(self, constants):
        """Return the outputs without bias for inputs that are constants, or zero.

        The sums of the weights are not kept, since they would need a lot of memory.
        """
        sums = blocks_of(self.module).detach().sum(dim=3, dtype=torch.float64)
        parts = np.split(constants, len(sums))
        return np.concatenate(
            [
                block.cpu().numpy() @ part
                for block, part in zip(sums, parts, strict=True)
            ]
        )

    def even_out(self, needed, roots):
        """Need as many units in each group as in the largest, or none at all."""
        n_groups = getattr(self.module, "groups", 1)
        if n_groups == 1:
            return
        sides = [
            roots[units].reshape(n_groups, -1)
            for units in (self.outputs, self.inputs.units)
        ]
        kept = np.any([needed[side].any(axis=1) for side in sides], axis=0)
        for side in sides:
            n_units = needed[side].sum(axis=1).max()
            for group in side[kept]:
                spare = group[~needed[group]]
                n_missing = max(n_units, 1) - (len(group) - len(spare))
                needed[spare[: max(n_missing, 0)]] = True


@dataclass
class Recurrent:
    """A recurrent layer of one direction, whose units read each other."""

    module: nn.Module
    inputs: Value
    outputs: np.ndarray
    used: np.ndarray  # (outputs, inputs): is there a weight in a gate
    used_hidden: np.ndarray  # (outputs, outputs): the same between units
    foldable: np.ndarray  # (inputs,): constants that a bias can stand for
    dead: np.ndarray  # (outputs,): is there no weight and no bias


@dataclass
class Lookup:
    """An embedding, which makes units from nothing but numbers of rows."""

    module: nn.Module
    outputs: np.ndarray


@dataclass
class PerUnit:
    """A layer with weights for each unit: BatchNorm, or a depthwise convolution."""

    module: nn.Module
    inputs: np.ndarray
    outputs: np.ndarray


def as_float64(W):
    """Return a tensor as an array in double precision."""
    return W.detach().to("cpu", torch.float64).numpy()


def blocks_of(module):
    """Return the weight as a tensor (groups, outputs, inputs, kernel)."""
    W, n_groups = module.weight, getattr(module, "groups", 1)
    W = W.reshape(n_groups, len(W) // n_groups, W.shape[1], -1)
    # Transposed convolutions have the inputs first.
    return W.transpose(1, 2) if getattr(module, "transposed", False) else W


def gates_of(module):
    """Return weights of inputs and units, with the gates in front, and the biases."""
    parameters = dict(module.named_parameters(recurse=False))
    size = module.hidden_size
    return [
        parameters[name].reshape(-1, size, *parameters[name].shape[1:])
        for name in RECURRENT_PARAMETERS
        if name in parameters
    ]


def bias_of(module):
    """Return the bias of a layer, or zero."""
    return 0.0 if module.bias is None else as_float64(module.bias)


def _is_padded_by_zeros(module):
    if module.padding_mode != "zeros" or module.padding == "valid":
        return False
    if module.padding == "same":
        return any(size > 1 for size in module.kernel_size)
    return any(module.padding)


def stay_constant(module, value):
    """Say which constants a convolution sees everywhere, also at borders."""
    if module.transposed or _is_padded_by_zeros(module):
        return value.known & (value.constants == 0.0)
    return value.known
