"""Units of a network, and the multiplications that they take."""

from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from skproj.nn.prune._shrink import count_flops, plain_copy, trace
from skproj.nn.prune._unit_graph import UnitGraph
from skproj.nn.prune._units import Mixing
from skproj.nn.prune._weights import check_plain

TINY = np.finfo(float).tiny

# A share of the work is met up to this.
ROUNDING = 1e-9


class _Slices(NamedTuple):
    """A parameter with a slice along `dim` for each of some units."""

    parameter: nn.Parameter
    dim: int
    units: np.ndarray

    def erase(self, kept):
        """Set the slices of removed units to zero."""
        shape = [1] * self.parameter.ndim
        shape[self.dim] = -1
        mask = kept[torch.from_numpy(self.units)].to(self.parameter.device)
        self.parameter.detach().mul_(mask.reshape(shape))


class _Products(NamedTuple):
    """Number of multiplications for each pair of an input and an output.

    `inputs` is None if each output has one input of its own.
    """

    inputs: np.ndarray | None
    outputs: np.ndarray
    size: float

    def count(self, kept):
        """Count the multiplications if only some units are kept."""
        n_inputs = 1 if self.inputs is None else np.count_nonzero(kept[self.inputs])
        return self.size * n_inputs * np.count_nonzero(kept[self.outputs])


def _count(plain, inputs):
    """Count the operations of a module, which may not take the inputs."""
    try:
        return count_flops(plain, inputs)
    except Exception as error:
        raise ValueError(
            f"example_inputs must be arguments of module, but: {error}"
        ) from error


class UnitWork:
    """Units of a network that can be removed, and the multiplications that they take.

    A unit is a neuron or a channel. Those that are tied together, as by the sums of a
    residual network, are one unit.

    Parameters
    ----------
    module : torch.nn.Module
    inputs : tuple of torch.Tensor
        Arguments of the module.
    makers : set of torch.nn.Module
        Layers whose units may be removed.
    round_to : int, default=1
        The number of units that a layer keeps is a multiple of it, or all of them.

    Attributes
    ----------
    is_free : ndarray of bool of shape (n_units,)
        Whether a unit can be removed.
    unknown : list of str
        Operations that are not understood, so that the units around them stay.
    """

    def __init__(self, module, inputs, makers, round_to=1):
        self._round_to = round_to
        plain = plain_copy(module)
        counter = _count(plain, inputs)
        graph = UnitGraph(trace(plain, inputs, "module"))
        unit_of = graph.units.roots()
        modules = dict(module.named_modules(remove_duplicate=False))
        self._columns, self._rows, self._products, self._made = [], [], [], []
        works = _works_of(graph.layers, plain, counter)
        self._other_work = counter.get_total_flops() / 2 - sum(works.values())
        self.unknown = graph.unknown
        stay = [unit_of[units] for units in graph.pinned]
        for name, layer in graph.layers.items():
            live = modules[name]
            for parameter in ("weight", "bias"):
                check_plain(live, parameter, name)
            outputs, inputs = unit_of[layer.outputs], unit_of[_inputs_of(layer)]
            if not _is_trained(live):
                stay += [outputs, inputs]
            if isinstance(layer, Mixing):
                stay += self._add_mixing(live, inputs, outputs, works[name])
                self._made.append(outputs)
                stay += [] if live in makers else [outputs]
            else:
                self._add_per_unit(live, outputs, works[name])
        self.is_free = np.zeros(unit_of.max(initial=-1) + 1, bool)
        for units in self._made:
            self.is_free[units] = True
        for units in stay:
            self.is_free[units] = False

    def _add_mixing(self, layer, inputs, outputs, work):
        """Note the work and the weights of a layer; return units that stay."""
        size = work / (len(inputs) * len(outputs))
        self._products.append(_Products(inputs, outputs, size))
        if getattr(layer, "groups", 1) > 1:  # which would have to lose the same number
            return [inputs, outputs]
        transposed = getattr(layer, "transposed", False)
        self._columns.append(_Slices(layer.weight, 0 if transposed else 1, inputs))
        self._rows.append(_Slices(layer.weight, 1 if transposed else 0, outputs))
        if layer.bias is not None:
            self._rows.append(_Slices(layer.bias, 0, outputs))
        return []

    def _add_per_unit(self, layer, outputs, work):
        """Note the work and the parameters of a normalisation or depthwise layer."""
        for parameter in layer.parameters(recurse=False):
            rows = np.tile(outputs, len(parameter) // len(outputs))
            self._rows.append(_Slices(parameter, 0, rows))
        self._products.append(_Products(None, outputs, work / len(outputs)))

    def count(self, kept):
        """Count the multiplications if only some units are kept."""
        return self._other_work + sum(work.count(kept) for work in self._products)

    def keep(self, share, kept):
        """Choose units such that no more than a share of the multiplications is left.

        All layers lose the same share of their units, as nearly as possible: those that
        are read with the smallest weights. Each layer keeps one. `kept` says which
        units have not been removed before, and the result which are left: all that have
        to be, if the share is out of reach.
        """
        ranks, layers = self._ranks()
        order = np.lexsort((layers, ranks))[: np.count_nonzero(np.isfinite(ranks))]
        most = (1.0 + ROUNDING) * share * self.count(np.ones_like(kept))
        # Where units end that can only be removed together.
        changes = (np.diff(ranks[order]) != 0) | (np.diff(layers[order]) != 0)
        ends = np.concatenate([[0], np.flatnonzero(changes) + 1, [len(order)]])
        # The smallest number of units whose removal is enough.
        fewest, enough = 0, len(ends) - 1
        while fewest < enough:
            middle = (fewest + enough) // 2
            if self.count(self._without(order[: ends[middle]], kept)) <= most:
                enough = middle
            else:
                fewest = middle + 1
        return self._without(order[: ends[enough]], kept)

    def largest_share(self):
        """Return the share of the multiplications of all units that can be removed."""
        everything = np.ones(len(self.is_free), bool)
        total = self.count(everything)
        least = self.count(self.keep(0.0, everything))
        return 1.0 - least / total if total > 0 else 0.0

    @staticmethod
    def _without(removed, kept):
        kept = kept.copy()
        kept[removed] = False
        return kept

    def _ranks(self):
        """Return ranks, by which units are removed, and numbers of their layers.

        The rank of a unit is the share of the units of its layer that are less
        important, and the same for those that have to go together. It is infinite for
        units that stay.
        """
        importance, size = self._importance(), self._round_to
        ranks = np.full(len(importance), np.inf)
        layers = np.zeros(len(importance), int)
        staying = []
        for number, outputs in enumerate(self._made):
            units = np.unique(outputs)
            n_fixed = np.count_nonzero(~self.is_free[units])
            free = units[self.is_free[units]]
            # From the most important one, after those that stay anyway.
            order = free[np.argsort(importance[free], kind="stable")[::-1]]
            places = n_fixed + np.arange(len(order))
            ends = np.minimum(places // size * size + size, len(units))
            ranks[order] = (len(units) - ends + 0.5) / max(len(units), 1)
            layers[order] = number
            if n_fixed == 0:
                staying.append(order[:size])
        # Not in the same loop: a unit can be in several of these arrays.
        for units in staying:
            ranks[units] = np.inf
        return ranks, layers

    def _importance(self):
        """Sum the squares of the weights with which each unit is read.

        They are relative to those of all units that a layer reads.
        """
        importance = np.zeros(len(self.is_free))
        for weight, dim, units in self._columns:
            others = [other for other in range(weight.ndim) if other != dim]
            squares = (
                weight.detach().float().square().sum(others).cpu().double().numpy()
            )
            np.add.at(importance, units, squares / max(squares.sum(), TINY))
        return importance

    def stop_reading(self, kept):
        """Set the weights to zero that read removed units; `kept` is a tensor."""
        for slices in self._columns:
            slices.erase(kept)

    def erase(self, kept):
        """Set all weights of removed units to zero; `kept` is a tensor."""
        for slices in self._columns + self._rows:
            slices.erase(kept)


def _is_trained(layer):
    return all(parameter.requires_grad for parameter in layer.parameters())


def _inputs_of(layer):
    """Return the units that a layer reads."""
    return layer.inputs.units if isinstance(layer, Mixing) else layer.inputs


def _works_of(layers, model, counter):
    """Count the multiplications of named layers, from a counter of the operations."""
    names = {}
    for name, module in model.named_modules(remove_duplicate=False):
        names.setdefault(module, []).append(name)
    counts = counter.get_flop_counts()
    works = {}
    for layer in layers:
        # The counter knows one of the names, not always the first.
        known = [
            counts.get(f"{type(model).__name__}.{name}", {})
            for name in names[model.get_submodule(layer)]
        ]
        works[layer] = sum(sum(part.values()) for part in known) / 2
    return works
