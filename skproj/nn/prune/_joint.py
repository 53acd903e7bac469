"""Masks of several layers, computed together."""

import math
import warnings
from typing import NamedTuple

import numpy as np
import torch

from skproj.nn.prune._docs import DOCS
from skproj.nn.prune._layers import named_prunable_weights, split_weights
from skproj.nn.prune._masks import _GivenMask
from skproj.nn.prune._weight_groups import (
    GROUPINGS,
    TARGETS,
    WeightVectors,
    as_array,
    check_parameters,
    effective_weight,
    group_by_parameter,
    project_jointly,
    pruned_or_plain,
    refresh_masked,
)
from skproj.projection._hoyer import check_sparsity
from skproj.utils._choices import check_choice
from skproj.utils._docs import shared_docs

# A layer that keeps a smaller share of its weights gives a warning.
MIN_KEPT_SHARE = 0.01


class _Kept(NamedTuple):
    """Where the weights are that a layer keeps, as bits, and how many they are."""

    places: list  # pairs of module and name, which share the weight
    shape: tuple
    bits: np.ndarray
    n_kept: int
    n_outputs: int

    def mask(self):
        """Return a tensor of bool."""
        kept = np.unpackbits(self.bits, count=math.prod(self.shape))
        return torch.from_numpy(kept.view(bool).reshape(self.shape))


def _find_kept(parameters, sparsity, grouping, target, normalize):
    """Project weights together, and yield the `_Kept` of each."""
    layers = group_by_parameter(check_parameters(parameters))
    weights = [(first[0], as_array(effective_weight(*first))) for first, *_ in layers]
    projected = project_jointly(
        weights, check_sparsity(sparsity), grouping, target, normalize
    )
    for places, P in zip(layers, projected, strict=True):
        kept = P != 0
        n_outputs = len(WeightVectors(places[0][0], P.shape, "filters").cut(kept))
        n_kept = np.count_nonzero(kept)
        yield _Kept(places, P.shape, np.packbits(kept), n_kept, n_outputs)


def _prune_jointly(parts, names, grouping, target, normalize, permanent):
    """Prune the weights of each part, a pair of sparsity and parameters, together."""
    check_choice("grouping", grouping, GROUPINGS)
    check_choice("target", target, TARGETS)
    # All of them before the first is changed: there may be an error.
    found = [
        kept
        for sparsity, parameters in parts
        for kept in _find_kept(parameters, sparsity, grouping, target, normalize)
    ]
    for kept in found:
        parameter = pruned_or_plain(*kept.places[0])
        mask = kept.mask().to(parameter.device)
        if permanent:
            parameter.detach().mul_(mask)
            for module, name in kept.places:
                refresh_masked(module, name)
            continue
        for module, name in kept.places:
            _GivenMask.apply(module, name, importance_scores=mask)
    for kept in found:
        size = math.prod(kept.shape)
        if kept.n_kept < max(MIN_KEPT_SHARE * size, kept.n_outputs):
            warnings.warn(
                f"{names[kept.places[0]]} keeps {kept.n_kept} of {size} weights, for "
                f"{kept.n_outputs} outputs; prune less, exclude it, or take another "
                "grouping.",
                UserWarning,
                stacklevel=3,
            )


@shared_docs(**DOCS)
def global_hoyer(
    parameters,
    sparsity,
    grouping="layer/filters",
    target="hoyer",
    normalize=False,
    *,
    permanent=False,
):
    r"""Prune several layers together to a Hoyer sparsity.

    The vectors of `grouping` are brought to an average Hoyer sparsity by the group
    sparse projection [1]_, and the weights that become zero are masked. The others
    keep their values.

    Parameters
    ----------
    parameters : iterable of pair (torch.nn.Module, str)
        Layers and the names of their weights, as in
        `torch.nn.utils.prune.global_unstructured`; `prunable_parameters` lists those
        of a model. A weight that several of them share is pruned once, for all.
    sparsity : float
        Between 0, which prunes nothing, and 1, which leaves one weight in a vector.
    {grouping}
    {joint_target}
    {normalize}
    {permanent}

    {raises}
        If `sparsity`, `grouping` or `target` is out of range, if there is no such
        weight, or if one contains NaN or infinity. Then nothing is changed.

    Warns
    -----
    {joint_warning}

    See Also
    --------
    single_shot : All layers of a model.
    hoyer_unstructured : One layer.
    induced_pruning : Projects while training.

    Notes
    -----
    {hoyer_sparsity}

    Inside a group of vectors of equal length the mask is that of the largest weights,
    except that each vector keeps its largest one. The projection decides how
    many weights each layer keeps. Vectors of different length in one group have
    different thresholds, and the short ones are cut harder: with ``"model/layers"``,
    small layers starve.

    Vectors of a single weight, as in a depthwise 1x1 convolution, have no sparsity and
    are left alone. ``target="zeros"`` is met as closely as equal weights and the last
    weight of each vector allow. `hoyer_unstructured` says how masks work.

    {group_sparse_reference}

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from skproj.nn import prune
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 8))
    >>> layers = [(model[0], "weight"), (model[2], "weight")]
    >>> prune.global_hoyer(layers, 0.9, target="zeros")
    >>> sum(int((layer.weight == 0).sum()) for layer, _ in layers), 0.9 * 2304
    (2074, 2073.6)
    """
    parameters = check_parameters(parameters)
    names = {
        pair: f"parameter {i} ({type(pair[0]).__name__})"
        for i, pair in enumerate(parameters)
    }
    parts = [(sparsity, parameters)]
    _prune_jointly(parts, names, grouping, target, normalize, permanent)


@shared_docs(**DOCS)
def single_shot(
    model,
    sparsity,
    *,
    grouping="layer/filters",
    target="hoyer",
    normalize=False,
    exclude=(),
    permanent=False,
):
    r"""Prune a trained model in one go, to be finetuned after that.

    All weights of `prunable_parameters` are projected together, and those that become
    zero are masked [1]_. The others keep their values. Biases and normalisations are
    left alone.

    Parameters
    ----------
    model : torch.nn.Module
        Trained model, which is changed in place.
    sparsity : float or dict of str to float
        Between 0, which prunes nothing, and 1, which leaves one weight in a vector. A
        dict has one for each of some layers or parts of the model, by their names as in
        `model.named_modules`; others are left alone.
    {grouping}
    {joint_target}
    {normalize}
    exclude : iterable of str, default=()
        Names of modules to leave alone, as in `model.named_modules`.
    {permanent}

    Returns
    -------
    model : torch.nn.Module
        The same model.

    {raises}
        If `sparsity`, `grouping`, `target` or `exclude` is out of range, if no layer is
        left, or if a weight contains NaN or infinity. Then nothing is changed.

    Warns
    -----
    {joint_warning}

    See Also
    --------
    induced_pruning : Projects while training, which is better at high sparsity.
    sparsity_report : Zeros of each layer.
    torch.nn.utils.prune.global_unstructured : By magnitude, with
        `prunable_parameters`; try it first.

    Notes
    -----
    Train the pruned model on as usual: the masks stay. In the end,
    `torch.nn.utils.prune.remove` makes the zeros permanent, and `shrink` removes
    dead units.

    {group_sparse_reference}

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from skproj.nn import prune
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 8))
    >>> _ = prune.single_shot(model, 0.75, target="zeros", exclude=["2"])
    >>> print(prune.sparsity_report(model))
    layer         shape  parameters  zeros  fraction  Hoyer  dead outputs  dead inputs
    0           32 x 64        2048   1536     0.750  0.577             0            0
    2            8 x 32         256      0     0.000  0.176             0            0
    all layers                 2304   1536     0.667                    0            0
    """
    weights = named_prunable_weights(model, exclude)
    if not weights:
        raise ValueError("model must have a layer with weights to prune, got none.")
    names = {(layer, kind): f"layer {name!r}" for name, layer, kind in weights}
    parts = split_weights(model, list(names), sparsity, None, "sparsity")
    parts = [(value, pairs) for _, value, pairs in parts]
    _prune_jointly(parts, names, grouping, target, normalize, permanent)
    return model
