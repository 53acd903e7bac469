"""Layers of a model whose weights can be pruned."""

from collections.abc import Iterable

from torch import nn

from skproj.nn.prune._weights import LAYERS, check_plain, is_masked
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
