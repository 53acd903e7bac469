"""Smaller weights for the layers of a network, from the units that are needed."""

import numpy as np
import torch
from torch import nn

from skproj.nn.prune._operations import BATCH_NORMS
from skproj.nn.prune._units import Mixing, bias_of, blocks_of


def _take(module, name, kept, dim=0):
    """Keep some slices of a parameter or buffer, which can be None."""
    tensor = getattr(module, name)
    if tensor is None:
        return
    index = torch.from_numpy(np.flatnonzero(kept)).to(tensor.device)
    _replace(module, name, tensor.detach().index_select(dim, index))


def _take_blocks(module, rows, columns):
    """Keep outputs and inputs of the weight of a layer; groups may become empty."""
    if rows.all() and columns.all():
        return
    W, blocks = module.weight, blocks_of(module).detach()
    masks = (torch.from_numpy(x).to(W.device) for x in (rows, columns))
    rows, columns = (mask.reshape(len(blocks), -1) for mask in masks)
    parts = zip(blocks, rows, columns, strict=True)
    parts = [block[r][:, c] for block, r, c in parts if r.any()]
    kept = torch.stack(parts) if len(parts) > 1 else parts[0][None]
    if getattr(module, "transposed", False):
        kept = kept.transpose(1, 2)
    shape = (kept.shape[0] * kept.shape[1], kept.shape[2], *W.shape[2:])
    _replace(module, "weight", kept.reshape(shape))
    if len(blocks) > 1:
        module.groups = len(kept)


def _replace(module, name, smaller):
    """Give a layer another buffer, or parameter, as trainable as the old one."""
    old = getattr(module, name)
    if isinstance(old, nn.Parameter):
        smaller = nn.Parameter(smaller.contiguous(), requires_grad=old.requires_grad)
    setattr(module, name, smaller)


def _fold(module, amounts):
    """Add the contributions of removed inputs to the bias, which may be created."""
    if not amounts.any():
        return
    weight = module.weight
    old = module.bias
    is_trained = weight.requires_grad if old is None else old.requires_grad
    bias = torch.from_numpy(bias_of(module) + amounts).to(weight)
    module.bias = nn.Parameter(bias, requires_grad=is_trained)


def _shrink_mixing(layer, needed):
    module = layer.module
    rows, columns = needed[layer.outputs], needed[layer.inputs.units]
    folded = layer.respond(np.where(columns, 0.0, layer.inputs.constants))
    _fold(module, np.where(rows, folded, 0.0))
    _take_blocks(module, rows, columns)
    _take(module, "bias", rows)
    sizes = ("in_features", "out_features")
    if not isinstance(module, nn.Linear):
        sizes = ("in_channels", "out_channels")
    for name, kept in zip(sizes, (columns, rows), strict=True):
        setattr(module, name, int(np.count_nonzero(kept)))


def _shrink_per_unit(layer, needed):
    module = layer.module
    inputs, outputs = needed[layer.inputs], needed[layer.outputs]
    if isinstance(module, BATCH_NORMS):
        for name in ("weight", "bias", "running_mean", "running_var"):
            _take(module, name, outputs)
        module.num_features = int(np.count_nonzero(outputs))
        return
    _take(module, "weight", outputs)
    _take(module, "bias", outputs)
    module.out_channels = int(np.count_nonzero(outputs))
    module.in_channels = module.groups = int(np.count_nonzero(inputs))


def _shape(module):
    return tuple(getattr(getattr(module, "weight", None), "shape", ()))


def shrink_in_place(graph):
    """Make the layers of a model smaller, and return their shapes."""
    shapes, needed = {}, graph.needed_units()
    for name in list(graph.layers):
        layer = graph.layers.pop(name)  # with all that is known of it
        before = _shape(layer.module)
        shrink = _shrink_mixing if isinstance(layer, Mixing) else _shrink_per_unit
        shrink(layer, needed)
        if (after := _shape(layer.module)) != before:
            shapes[name] = (before, after)
    return shapes
