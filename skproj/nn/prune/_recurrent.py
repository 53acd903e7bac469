"""Recurrent layers: hidden units that stay zero, and those that are read.

A hidden unit starts at zero, and each step sets it to a mixture of its last state and
a candidate. Where the candidate is always zero, so is the unit, whatever the other
gates do.
"""

from dataclasses import dataclass

import numpy as np
from torch import nn

from skproj.nn.prune._units import Value, as_float64, even_out_groups, join

# Rows of the candidate among the gates, in the order of PyTorch.
CANDIDATES = {nn.LSTM: 2, nn.GRU: 2, nn.RNN: 0}


@dataclass
class Cell:
    """One layer of a recurrent network in one direction."""

    suffix: str
    inputs: Value
    outputs: np.ndarray
    reads: np.ndarray  # (outputs, inputs): is there a weight
    recalls: np.ndarray  # (outputs, outputs): is there a weight of the last state
    foldable: np.ndarray  # (inputs,): constants that a bias can stand for
    are_zero: np.ndarray  # (outputs,): units that stay zero

    def need(self, needed, roots):
        """Need the inputs and hidden units that needed units read."""
        rows = needed[roots[self.outputs]]
        columns = self.reads[rows].any(axis=0) & ~self.foldable
        needed[roots[self.inputs.units[columns]]] = True
        states = self.recalls[rows].any(axis=0) & ~self.are_zero
        needed[roots[self.outputs[states]]] = True


@dataclass
class Recurrent:
    """A recurrent layer: cells with as many units each."""

    module: nn.Module
    cells: list
    reads_model_input: bool

    @property
    def inputs(self):
        """Return the inputs of the first cells."""
        return self.cells[0].inputs

    @property
    def outputs(self):
        """Return the units of all cells."""
        return np.concatenate([cell.outputs for cell in self.cells])

    def need(self, needed, roots):
        """Need what the needed units of each cell read."""
        for cell in self.cells:
            cell.need(needed, roots)

    def even_out(self, needed, roots):
        """Need as many units in each cell as in the largest."""
        groups = [roots[cell.outputs] for cell in self.cells]
        if any(needed[group].any() for group in groups):
            even_out_groups(needed, groups)


def gates_of(module, name):
    """Return a weight or bias as a tensor (gates, units, ...)."""
    W = getattr(module, name)
    return W.reshape(-1, module.hidden_size, *W.shape[1:])


def _are_zero(module, suffix, inputs, foldable):
    """Find the units whose candidate is zero while they and others like them are."""
    gate = CANDIDATES[type(module)]
    W, W_state = (
        as_float64(gates_of(module, f"weight_{kind}{suffix}")[gate])
        for kind in ("ih", "hh")
    )
    moves = (W[:, ~foldable] != 0.0).any(axis=1)
    if module.bias:
        b, b_state = (
            as_float64(gates_of(module, f"bias_{kind}{suffix}")[gate])
            for kind in ("ih", "hh")
        )
        b = b + W @ np.where(foldable, inputs.constants, 0.0)
        if isinstance(module, nn.GRU):  # has a gate between the two
            moves |= (b != 0.0) | (b_state != 0.0)
        else:
            moves |= b + b_state != 0.0
    while True:
        more = moves | (W_state[:, moves] != 0.0).any(axis=1)
        if np.array_equal(more, moves):
            return ~moves
        moves = more


def _cell_of(module, suffix, inputs, outputs):
    foldable = inputs.known
    if not module.bias:
        foldable = foldable & (inputs.constants == 0.0)
    reads, recalls = (
        as_float64(gates_of(module, f"weight_{kind}{suffix}")).any(axis=0)
        for kind in ("ih", "hh")
    )
    are_zero = _are_zero(module, suffix, inputs, foldable)
    return Cell(suffix, inputs, outputs, reads, recalls, foldable, are_zero)


def recurrent_of(module, inputs, units, reads_model_input):
    """Return a layer, the value of its outputs, and those of the last states."""
    directions = ("", "_reverse")[: 1 + module.bidirectional]
    n_units = module.hidden_size
    cells, states = [], []
    for i in range(module.num_layers):
        layer = [
            _cell_of(module, f"_l{i}{direction}", inputs, units.new(n_units))
            for direction in directions
        ]
        cells += layer
        zeros = np.zeros(n_units)
        values = [Value(c.outputs, inputs.dim, c.are_zero, zeros) for c in layer]
        states += [Value(c.outputs, inputs.dim - 1, c.are_zero, zeros) for c in layer]
        inputs = join(values, inputs.dim)
    return Recurrent(module, cells, reads_model_input), inputs, states
