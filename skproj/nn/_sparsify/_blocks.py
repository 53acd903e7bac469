"""Weights of a network, in blocks with a number of nonzero weights each."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import torch

from skproj.nn._training._l1_training import masks_of_largest
from skproj.nn.prune._layers import prunable_parameters
from skproj.nn.prune._weight_groups import is_masked, pruned_or_plain


class Block(NamedTuple):
    """Weights that share a target.

    Attributes
    ----------
    name : str
        The layer or part of the network; empty for the whole of it.
    layers : list of torch.nn.Module
        One for each of the weights.
    weights : list of torch.nn.Parameter
    n_kept : int
        How many of them shall not be zero in the end.
    """

    name: str
    layers: list
    weights: list
    n_kept: int

    @property
    def size(self):
        """Number of the weights."""
        return sum(W.numel() for W in self.weights)

    def count_nonzero(self):
        """Count the weights that are not zero."""
        return sum(int(W.count_nonzero()) for W in self.weights)

    def thresholds(self, share, score):
        """Return the magnitudes up to which weights are removed at a share of the way.

        Parameters
        ----------
        share : float
        score : callable
            Returns scores for the magnitudes of a weight in descending order; they must
            not increase. The weights with the smallest scores are removed, and those
            that equal them in magnitude.

        Returns
        -------
        thresholds : list of float
            One for each weight; -1 removes nothing.
        """
        n_removed = round(share * (self.size - self.n_kept))
        if n_removed == 0:
            return [-1.0] * len(self.weights)
        ranked = [_rank(weight) for weight in self.weights]
        scores = [score(magnitudes) for magnitudes in ranked]
        largest = torch.cat(scores).kthvalue(n_removed).values
        counts = [int((part > largest).sum()) for part in scores]
        return [
            float(magnitudes[count]) if count < len(magnitudes) else -1.0
            for magnitudes, count in zip(ranked, counts, strict=True)
        ]

    def masks(self, score):
        """Return where the weights are that are kept in the end, of each weight."""
        scores = [score(_rank(weight)) for weight in self.weights]
        counts = [int(mask.sum()) for mask in masks_of_largest(scores, self.n_kept)]
        return [
            masks_of_largest([weight.detach().abs()], count)[0]
            for weight, count in zip(self.weights, counts, strict=True)
        ]


def _rank(weight):
    """Return the magnitudes of a weight in descending order, in double precision."""
    magnitudes = weight.detach().abs().flatten()
    if magnitudes.is_cuda or magnitudes.dtype == torch.bfloat16:
        return magnitudes.sort(descending=True).values.double()
    # NumPy sorts several times as fast on a CPU.
    return torch.from_numpy(np.sort(magnitudes.numpy())[::-1].astype(np.float64))


def make_blocks(module, target, layers=None):
    """Return the blocks for the arguments `target` and `layers` of `sparsify`."""
    blocks = []
    for name, share, pairs in split_weights(module, target, layers, "target"):
        if share > 1.0:
            raise ValueError(f"target must be between 0 and 1, got {share!r}.")
        weights = [pruned_or_plain(*pair) for pair in pairs]
        size = sum(W.numel() for W in weights)
        n_kept = round((1.0 - share) * size)
        blocks.append(Block(name, [layer for layer, _ in pairs], weights, n_kept))
    return blocks


def split_weights(module, values, layers, argument):
    """List the parts of a network that have a value, and the weights in them.

    Parameters
    ----------
    module : torch.nn.Module
    values : float or dict of str to float
        Not negative: one number, or those of named modules.
    layers : iterable of str or None
        Names of modules for a single value; None takes all.
    argument : str
        Name of `values` in errors.

    Returns
    -------
    parts : list of tuple (str, float, list of pair (torch.nn.Module, str))
        Names, which are empty for a single value, values, and weights without
        repetitions.
    """
    parameters = prunable_parameters(module)
    if not isinstance(values, Mapping):
        names = [""] if layers is None else _check_names(layers)
        requested = {"": (values, "layers", names)}
    elif layers is None:
        requested = {name: (value, argument, [name]) for name, value in values.items()}
    else:
        raise ValueError(f"layers must be None if {argument} has names of layers.")
    if not requested:
        raise ValueError(f"{argument} must not be empty.")
    owners, parts = {}, []
    for name, (value, source, names) in requested.items():
        pairs = []
        for pair in _weights_in(module, parameters, names, source):
            owner = owners.setdefault(id(_check_weight(*pair)), name)
            if owner != name:
                raise ValueError(
                    f"{argument} has {owner!r} and {name!r}, which share a weight."
                )
            pairs.append(pair)
        unique = {id(pruned_or_plain(*pair)): pair for pair in reversed(pairs)}
        pairs = list(reversed(unique.values()))
        parts.append((name, _check_value(value, argument), pairs))
    return parts


def _weights_in(module, parameters, names, argument):
    """List the weights of named modules and all modules in them."""
    modules = dict(module.named_modules())
    pairs = []
    for name in names:
        if not isinstance(name, str) or name not in modules:
            raise ValueError(f"{argument} must have names of modules, got {name!r}.")
        inside = set(modules[name].modules())
        found = [pair for pair in parameters if pair[0] in inside]
        if not found:
            place = repr(name) if name else "the module"
            raise ValueError(f"{argument}: there is no weight to prune in {place}.")
        pairs += found
    return pairs


def _check_names(layers):
    if isinstance(layers, str) or not isinstance(layers, Iterable):
        raise TypeError(f"layers must be an iterable of names, got {layers!r}.")
    names = list(layers)
    if not names:
        raise ValueError("layers must have the name of a module, got none.")
    return names


def _check_value(value, argument):
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{argument} must be a number, got {value!r}.") from None
    if not number >= 0.0:
        raise ValueError(f"{argument} must not be negative, got {value!r}.")
    return number


def _check_weight(layer, name):
    """Return a weight that can be trained to zeros, or refuse it."""
    kind = type(layer).__name__
    if is_masked(layer, name):
        raise ValueError(
            f"module must have plain weights, but a {kind} is masked: call "
            "torch.nn.utils.prune.remove first."
        )
    weight = pruned_or_plain(layer, name)
    if not weight.requires_grad:
        raise ValueError(
            f"module has a {kind} whose weight needs no gradient: leave it out by "
            "layers, or set requires_grad."
        )
    if not weight.is_floating_point():
        raise TypeError(f"module must have real weights, got {weight.dtype}.")
    return weight
