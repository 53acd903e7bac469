"""Layers of a model whose weights can be pruned."""

from collections.abc import Iterable

from torch import nn

from skproj.nn.prune._weight_groups import LAYERS
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
        Argument of `global_hoyer` and `torch.nn.utils.prune.global_unstructured`.

    Raises
    ------
    TypeError
        If `model` is not a module, or `exclude` not an iterable.
    ValueError
        If `exclude` has something else than names of modules.

    See Also
    --------
    single_shot : Prunes all of them.

    {group_sparse_reference}

    Examples
    --------
    >>> from torch import nn
    >>> from skproj.nn import prune
    >>> model = nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.Linear(6, 2))
    >>> prune.prunable_parameters(model, exclude=["2"])
    [(Linear(in_features=8, out_features=6, bias=True), 'weight')]
    """
    return [(layer, kind) for _, layer, kind in named_prunable_weights(model, exclude)]


def named_prunable_weights(model, exclude):
    """List names, layers and attributes of the weights on which a mask works."""
    weights = named_weights(model, exclude)
    # Attention reads this weight without calling the layer: no hook makes it anew.
    uncalled = {
        module.out_proj
        for module in model.modules()
        if isinstance(module, nn.MultiheadAttention)
    }
    return [weight for weight in weights if weight[1] not in uncalled]


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
