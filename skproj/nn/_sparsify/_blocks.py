"""Weights of a network, in blocks with a number of nonzero weights each."""

import numbers
import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import hardshrink

from skproj.nn._training._l1_training import masks_of_largest
from skproj.nn.optim._removal import (
    BALL_OF_GROUPS,
    GROUP_NORMS,
    WeightGroups,
    check_not_distributed,
)
from skproj.nn.prune._layers import check_names, modules_in, named_weights
from skproj.nn.prune._weights import check_plain, pruned_or_plain, whole
from skproj.utils._choices import check_choice

# Distance of the scores that are compared first.
STRIDE = 256
# How evenly the layers keep their weights: 0 compares magnitudes of all layers, 1 gives
# layers of different size nearly the same number of weights.
LAYER_BALANCE = 0.75


def by_balance(magnitudes):
    """Return scores that can be compared among layers of different scale.

    The score of a weight is its square, divided by a power of the sum of the squares of
    the weights of its layer that are not smaller; see the notes of `Sparsifier`.
    """
    sums = magnitudes.double().square().cumsum(0)
    sums.clamp_(min=torch.finfo(sums.dtype).tiny)
    return lambda part: (
        magnitudes[part].double().square() / sums[part].pow(LAYER_BALANCE)
    )


def by_magnitude(magnitudes):
    """Return scores that compare the weights of all layers by their magnitudes."""
    return magnitudes.__getitem__


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
        return sum(int(whole(W).count_nonzero()) for W in self.weights)

    def thresholds(self, share, score=by_balance):
        """Return the magnitudes up to which weights are removed at a share of the way.

        There is one for each weight; -1 removes nothing. The weights with the smallest
        scores are removed, and those that equal them in magnitude. Of the magnitudes of
        a weight in descending order, `score` makes a function that returns the scores
        in a slice of them, which must not increase.
        """
        n_removed = round(share * (self.size - self.n_kept))
        if n_removed == 0:
            return [-1.0] * len(self.weights)
        ranked = [_rank(weight) for weight in self.weights]
        if not all(part[:1].isfinite().all() for part in ranked):
            # The training has diverged, which its loss is about to say.
            return [-1.0] * len(self.weights)
        counts = count_larger([score(part) for part in ranked], ranked, n_removed)
        return [
            float(magnitudes[count]) if count < len(magnitudes) else -1.0
            for magnitudes, count in zip(ranked, counts, strict=True)
        ]

    @staticmethod
    def keep(W, threshold):
        """Return a weight without the entries that are no larger."""
        return hardshrink(W, threshold)

    def masks(self, score=by_balance):
        """Return where the weights are that are kept in the end, of each weight."""
        scores = [score(_rank(weight))(slice(None)) for weight in self.weights]
        counts = [int(mask.sum()) for mask in masks_of_largest(scores, self.n_kept)]
        return [
            masks_of_largest([whole(weight).abs()], count)[0]
            for weight, count in zip(self.weights, counts, strict=True)
        ]


def count_larger(scores, ranked, n_removed):
    """Return how many scores of each part exceed the `n_removed` smallest of all.

    Every so many scores of each part tell between which places the others matter; only
    these are computed. The scores are functions from a slice to numbers that do not
    increase, of parts with the lengths of `ranked`; at least one is removed.
    """
    sizes = [len(part) for part in ranked]
    n_kept = sum(sizes) - n_removed
    coarse = [part(slice(None, None, STRIDE)) for part in scores]
    joined = torch.cat(coarse).sort(descending=True).values
    # At most `n_kept` scores are larger than the first of these two, and at least so
    # many are not smaller than the second one.
    high = joined[n_kept // STRIDE]
    last = -(-n_kept // STRIDE) + len(sizes)
    low = joined[last] if last < len(joined) else -1.0
    starts = [max((int((part > high).sum()) - 1) * STRIDE + 1, 0) for part in coarse]
    ends = [
        min(int((part >= low).sum()) * STRIDE, size)
        for part, size in zip(coarse, sizes, strict=True)
    ]
    windows = [
        part(slice(start, end))
        for part, start, end in zip(scores, starts, ends, strict=True)
    ]
    n_removed -= sum(sizes) - sum(ends)
    if n_removed == 0:
        return ends
    largest = torch.cat(windows).kthvalue(n_removed).values
    return [
        start + int((window > largest).sum())
        for start, window in zip(starts, windows, strict=True)
    ]


def _rank(weight):
    """Return the magnitudes of a weight in descending order, in float32 or float64."""
    magnitudes = whole(weight).abs().flatten()
    if magnitudes.dtype != torch.float64:
        magnitudes = magnitudes.float()
    if magnitudes.device.type != "cpu":
        return magnitudes.sort(descending=True).values
    # NumPy sorts several times as fast on a CPU.
    return torch.from_numpy(np.sort(magnitudes.numpy())[::-1].copy())


def split_network(module, target, layers, fits=None):
    """List the parts of a network that have a share, and their layers with weights.

    A part is a name, which is empty for a single `target`, a share, and a list of
    layers with the names of their weights. Of layers that share a weight the first one
    is there. `fits` says whether a layer can have zeros; None takes all.
    """
    if not isinstance(module, torch.nn.Module):
        raise TypeError(
            f"module must be a torch.nn.Module, got {type(module).__name__} instead."
        )
    if not isinstance(target, Mapping):
        names = [""] if layers is None else check_names(layers)
        requested = {"": (target, "layers", names)}
    elif layers is None:
        requested = {name: (value, "target", [name]) for name, value in target.items()}
    else:
        raise ValueError("layers must be None if target has names of layers.")
    if not requested:
        raise ValueError("target must not be empty.")
    weights = [
        weight for weight in named_weights(module) if fits is None or fits(weight[1])
    ]
    owners, parts = {}, []
    for name, (share, argument, names) in requested.items():
        pairs = {}
        for place, inside in modules_in(module, names, argument).items():
            found = [weight for weight in weights if weight[1] in inside]
            if not found:
                place = repr(place) if place else "the model"
                raise ValueError(f"{argument}: there is no weight to prune in {place}.")
            for path, layer, kind in found:
                key = id(_trained_weight(layer, kind, path))
                owner = owners.setdefault(key, name)
                if owner != name:
                    raise ValueError(
                        f"target has {owner!r} and {name!r}, which share a weight."
                    )
                pairs.setdefault(key, (layer, kind))
        parts.append((name, _check_share(share), list(pairs.values())))
    return parts


def _trained_weight(layer, kind, path):
    """Return a weight; refuse one that cannot be trained to zeros."""
    check_plain(layer, kind, path)
    weight, name = pruned_or_plain(layer, kind), type(layer).__name__
    if not weight.requires_grad:
        raise ValueError(
            f"module has a {name} whose weight needs no gradient: leave it out by "
            "layers, or set requires_grad."
        )
    if not weight.is_floating_point():
        raise TypeError(f"module must have real weights, got {weight.dtype}.")
    return weight


def _check_share(value):
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"target must be a number, got {value!r}.")
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"target must be between 0 and 1, got {value!r}.")
    return float(value)


def _make_block(name, pairs, share):
    """Return the block of some weights, of which a share is left."""
    weights = [pruned_or_plain(*pair) for pair in pairs]
    n_kept = round(share * sum(W.numel() for W in weights))
    return Block(name, [layer for layer, _ in pairs], weights, n_kept)


def targeted_weights(module, target, layers=None):
    """Return the blocks for the arguments `target` and `layers` of `sparsify`.

    A pattern is for linear layers whose rows consist of blocks of its length.
    """
    if not isinstance(target, str):
        return [
            _make_block(name, pairs, 1.0 - share)
            for name, share, pairs in split_network(module, target, layers)
        ]
    n, m = parse_pattern(target)

    def fits(layer):
        return isinstance(layer, torch.nn.Linear) and layer.in_features % m == 0

    if not any(fits(layer) for _, layer, _ in named_weights(module)):
        raise ValueError(
            f"target {target} needs a linear layer with a multiple of {m} inputs."
        )
    [(_, _, pairs)] = split_network(module, 0.0, layers, fits)
    return [_make_block("", pairs, n / m)]


def group_blocks(module, target, layers, groups):
    """Return a block for the groups of each weight, of its inputs or outputs."""
    balls = groups if isinstance(groups, Mapping) else None
    if balls is not None and layers is None and not isinstance(target, Mapping):
        layers = list(balls)
    if balls is None:
        check_choice("groups", groups, ("inputs", "units"))
    blocks = []
    for name, share, pairs in split_network(module, target, layers):
        for layer, kind in pairs:
            weight = pruned_or_plain(layer, kind)
            check_not_distributed(weight)
            by_rows = groups == "units"
            if getattr(layer, "transposed", False):
                by_rows = not by_rows
            if getattr(layer, "groups", 1) > 1:
                raise ValueError(
                    "groups needs layers without groups of their own, got a "
                    f"{type(layer).__name__} with {layer.groups}."
                )
            ball = BALL_OF_GROUPS
            if balls is not None:
                names = [n for n, x in module.named_modules() if x is layer]
                ball = next((balls[n] for n in (*names, name) if n in balls), ball)
                check_choice("groups", ball, GROUP_NORMS)
            dim = 0 if by_rows else 1
            dims = tuple(d for d in range(weight.ndim) if d != dim)
            n_kept = round((1.0 - share) * weight.shape[dim])
            blocks.append(WeightGroups(weight, dims, ball, n_kept))
    return blocks


def parse_pattern(target):
    """Return the numbers of a target such as "2:4"."""
    match = re.fullmatch(r"(\d+):(\d+)", target)
    n, m = (int(number) for number in match.groups()) if match else (0, 0)
    if not 0 < n <= m:
        raise ValueError(
            "target must be a share, a dict of shares, or a pattern such as '2:4', "
            f"got {target!r}."
        )
    return n, m


def all_weights(module):
    """Return all weights of a network as a list of one block, for counts."""
    pairs = {}
    for path, layer, kind in named_weights(module):
        check_plain(layer, kind, path)
        pairs.setdefault(id(pruned_or_plain(layer, kind)), (layer, kind))
    return [_make_block("", list(pairs.values()), 1.0)]
