"""Units of tensors, and layers that read and make them."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import nn


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


def join(values, dim):
    """Concatenate values along the dimension of their units."""
    return Value(
        np.concatenate([value.units for value in values]),
        dim,
        np.concatenate([value.known for value in values]),
        np.concatenate([value.constants for value in values]),
    )


class Units:
    """Units by numbers, some of them tied together."""

    def __init__(self):
        self._n = 0
        self._ties = [np.empty((2, 0), int)]

    def new(self, n):
        """Return the numbers of `n` more units."""
        self._n += n
        return np.arange(self._n - n, self._n)

    def tie(self, units, others):
        """Tie units together, one by one."""
        self._ties.append((units, others))

    def roots(self):
        """Return a number from 0 for each unit, which those tied to it have as well."""
        units, others = np.hstack(self._ties)
        ties = (np.ones(len(units)), (units, others))
        _, roots = connected_components(coo_array(ties, shape=(self._n, self._n)))
        return roots


def even_out_groups(needed, groups):
    """Need as many units in each group as in the largest, and at least one."""
    n_units = max((needed[group].sum() for group in groups), default=0)
    for group in groups:
        spare = group[~needed[group]]
        n_missing = max(n_units, 1) - (len(group) - len(spare))
        needed[spare[: max(n_missing, 0)]] = True


@dataclass
class Mixing:
    """A layer whose outputs mix its inputs: Linear, or a convolution."""

    module: nn.Module
    inputs: Value
    outputs: np.ndarray
    bits: np.ndarray  # (outputs, inputs / 8): is there a weight
    foldable: np.ndarray  # (inputs,): constants that a bias can stand for

    def respond(self, constants):
        """Return the outputs without bias for inputs that are constants, or zero.

        The sums of the weights are not kept, since they would need a lot of memory.
        """
        blocks = blocks_of(self.module).detach()
        outputs = []
        for block, part in zip(blocks, np.split(constants, len(blocks)), strict=True):
            (index,) = np.nonzero(part)
            sums = block[:, torch.from_numpy(index)].sum(dim=2, dtype=torch.float64)
            outputs.append(sums.cpu().numpy() @ part[index])
        return np.concatenate(outputs)

    def reads(self, rows):
        """Return for each input whether some of the outputs has a weight for it."""
        bits = np.bitwise_or.reduce(self.bits[rows], axis=0)
        return np.unpackbits(bits, count=len(self.inputs.units)).astype(bool)

    def need(self, needed, roots):
        """Need the inputs that needed outputs read."""
        columns = self.reads(needed[roots[self.outputs]]) & ~self.foldable
        needed[roots[self.inputs.units[columns]]] = True

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
            even_out_groups(needed, side[kept])


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
