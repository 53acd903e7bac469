"""Layers of a model whose weights can be pruned."""

from collections.abc import Iterable

from torch import nn

from skproj.nn.prune._weight_groups import LAYERS
from skproj.utils._docs import shared_docs


@shared_docs()
def prunable_parameters(model, *, exclude=()):
    """List the weights of the linear and convolutional layers of a model.

    Parameters
    ----------
    model : torch.nn.Module
        Any model. Convolutions can be transposed or have groups. Biases and the
        parameters of other layers are not listed, nor are
        weights that `torch.nn.MultiheadAttention` reads without calling a layer.
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
    return [(layer, "weight") for _, layer in named_prunable_layers(model, exclude)]


def named_prunable_layers(model, exclude):
    """List names and modules of the layers on which a mask works."""
    layers = named_layers(model, exclude)
    # Attention reads this weight without calling the layer: no hook makes it anew.
    uncalled = {
        module.out_proj
        for module in model.modules()
        if isinstance(module, nn.MultiheadAttention)
    }
    return [(name, layer) for name, layer in layers if layer not in uncalled]


def named_layers(model, exclude=()):
    """List names and modules of the linear and convolutional layers."""
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
        (name, module)
        for name, module in modules.items()
        if isinstance(module, LAYERS) and module not in excluded
    ]
