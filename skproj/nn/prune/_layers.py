"""Layers of a model whose weights can be pruned."""

import numbers
from collections.abc import Iterable, Mapping

from torch import nn

from skproj.nn.prune._weights import (
    LAYERS,
    check_plain,
    is_masked,
    pruned_or_plain,
)
from skproj.utils._docs import shared_docs


@shared_docs()
def prunable_parameters(model, *, exclude=()):
    """List the weights of a model that a mask can prune.

    Parameters
    ----------
    model : torch.nn.Module
        Any model. The weights of linear layers, of convolutions, also transposed ones,
        of recurrent layers and of attention are listed; biases and the parameters of
        other layers are not, nor is `out_proj.weight` of
        `torch.nn.MultiheadAttention`, on which a mask has no effect.
    exclude : iterable of str, default=()
        Names of modules, as in `model.named_modules`, to leave out with all that is in
        them; the first and the last layer are candidates.

    Returns
    -------
    parameters : list of pair (torch.nn.Module, str)
        Argument of `torch.nn.utils.prune.global_unstructured`.

    Raises
    ------
    TypeError
        If `model` is not a module, or `exclude` not an iterable.
    ValueError
        If `exclude` has something else than names of modules, or if a weight is
        computed from others, as by `torch.nn.utils.parametrizations.weight_norm`.

    See Also
    --------
    sparsity_report : Counts the zeros.
    skproj.nn.Sparsifier : Makes zeros while a network is trained.

    {gradual_reference}

    Examples
    --------
    >>> from torch import nn
    >>> from skproj.nn import prune
    >>> model = nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.Linear(6, 2))
    >>> prune.prunable_parameters(model, exclude=["2"])
    [(Linear(in_features=8, out_features=6, bias=True), 'weight')]
    """
    weights = named_weights(model, exclude)
    # Attention reads this weight without calling the layer: no hook makes it anew.
    uncalled = {
        module.out_proj
        for module in model.modules()
        if isinstance(module, nn.MultiheadAttention)
    }
    parameters = []
    for path, layer, kind in weights:
        if layer in uncalled:
            continue
        if not is_masked(layer, kind):
            check_plain(layer, kind, path)
        parameters.append((layer, kind))
    return parameters


def named_weights(model, exclude=()):
    """List names, layers and attributes of all weights that can have zeros.

    The name is that of the layer, with the attribute if this is not "weight".
    """
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"model must be a torch.nn.Module, got {type(model).__name__} instead."
        )
    if isinstance(exclude, str) or not isinstance(exclude, Iterable):
        raise TypeError(f"exclude must be an iterable of names, got {exclude!r}.")
    modules = dict(model.named_modules())
    excluded = set()
    for name in exclude:
        if not isinstance(name, str) or name not in modules:
            raise ValueError(f"exclude must have names of modules, got {name!r}.")
        excluded.update(modules[name].modules())
    return [
        (name if kind == "weight" else f"{name}.{kind}".lstrip("."), module, kind)
        for name, module in modules.items()
        if module not in excluded
        for kind in _weights_of(module)
    ]


def _weights_of(module):
    """List the attributes of a layer that are weights, also where they are masked."""
    if isinstance(module, LAYERS):
        return ["weight"]
    if isinstance(module, nn.RNNBase):
        return [name for name in module._flat_weights_names if name[0] == "w"]
    if isinstance(module, nn.RNNCellBase):
        return ["weight_ih", "weight_hh"]
    if isinstance(module, nn.MultiheadAttention):
        if module._qkv_same_embed_dim:
            return ["in_proj_weight"]
        return ["q_proj_weight", "k_proj_weight", "v_proj_weight"]
    return []


def split_weights(model, weights, target, layers):
    """List the parts of a model that have a value, and the weights in them.

    Parameters
    ----------
    model : torch.nn.Module
    weights : list of pair (torch.nn.Module, str)
        Those that can be in a part.
    target : float or dict of str to float
        From 0 to 1: one number, or those of named modules.
    layers : iterable of str or None
        Names of modules for a single number; None takes all.

    Returns
    -------
    parts : list of tuple (str, float, list of pair (torch.nn.Module, str))
        Names, which are empty for a single number, numbers, and weights.
    """
    if not isinstance(target, Mapping):
        names = [""] if layers is None else check_names(layers)
        requested = {"": (target, "layers", names)}
    elif layers is None:
        requested = {name: (value, "target", [name]) for name, value in target.items()}
    else:
        raise ValueError("layers must be None if target has names of layers.")
    if not requested:
        raise ValueError("target must not be empty.")
    owners, parts = {}, []
    paths = {layer: path for path, layer in model.named_modules()}
    for name, (value, source, names) in requested.items():
        pairs = list(dict.fromkeys(_weights_in(model, weights, names, source)))
        for pair in pairs:
            check_plain(*pair, paths[pair[0]])
            owner = owners.setdefault(id(pruned_or_plain(*pair)), name)
            if owner != name:
                raise ValueError(
                    f"target has {owner!r} and {name!r}, which share a weight."
                )
        parts.append((name, _check_share(value), pairs))
    return parts


def _weights_in(model, weights, names, argument):
    """List the weights of named modules and all modules in them."""
    pairs = []
    for name, inside in modules_in(model, names, argument).items():
        found = [pair for pair in weights if pair[0] in inside]
        if not found:
            place = repr(name) if name else "the model"
            raise ValueError(f"{argument}: there is no weight to prune in {place}.")
        pairs += found
    return pairs


def modules_in(model, names, argument):
    """Return the set of the modules in each named part of a model, by its name."""
    modules = dict(model.named_modules())
    for name in names:
        if not isinstance(name, str) or name not in modules:
            raise ValueError(f"{argument} must have names of modules, got {name!r}.")
    return {name: set(modules[name].modules()) for name in names}


def check_names(layers):
    """Return names of layers as a list."""
    if isinstance(layers, str) or not isinstance(layers, Iterable):
        raise TypeError(f"layers must be an iterable of names, got {layers!r}.")
    names = list(layers)
    if not names:
        raise ValueError("layers must have the name of a module, got none.")
    return names


def _check_share(value):
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"target must be a number, got {value!r}.")
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"target must be between 0 and 1, got {value!r}.")
    return float(value)
