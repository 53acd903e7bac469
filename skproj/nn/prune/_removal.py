"""Smaller weights for the layers of a network, from the units that are needed."""

import numpy as np
import torch
from torch import nn

from skproj.nn.prune._attention import ATTENTION, Heads
from skproj.nn.prune._branches import (
    names_of,
    replace_modules,
    skip_constant_branches,
)
from skproj.nn.prune._operations import BATCH_NORMS, RECURRENT
from skproj.nn.prune._recurrent import gates_of
from skproj.nn.prune._replacements import ConstantOutput, SelectInputs, SelectRows
from skproj.nn.prune._smaller_attention import (
    PROJECTIONS,
    SmallerAttention,
    input_projections,
)
from skproj.nn.prune._units import (
    Lookup,
    Mixing,
    PerUnit,
    as_float64,
    bias_of,
    blocks_of,
)


def _take(module, name, kept, dim=0):
    """Keep some slices of a parameter or buffer, which can be None."""
    tensor = getattr(module, name)
    if tensor is None:
        return
    index = torch.from_numpy(np.flatnonzero(kept)).to(tensor.device)
    smaller = tensor.detach().index_select(dim, index)
    if isinstance(tensor, nn.Parameter):
        smaller = nn.Parameter(smaller, requires_grad=tensor.requires_grad)
    setattr(module, name, smaller)


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
    """Give a layer another parameter, as trainable as the old one."""
    trained = getattr(module, name).requires_grad
    setattr(module, name, nn.Parameter(smaller.contiguous(), requires_grad=trained))


def _fold(module, amounts):
    """Add the contributions of removed inputs to the bias, which may be created."""
    if not amounts.any():
        return
    weight = module.weight
    old = module.bias
    is_trained = weight.requires_grad if old is None else old.requires_grad
    bias = torch.from_numpy(bias_of(module) + amounts).to(weight)
    module.bias = nn.Parameter(bias, requires_grad=is_trained)


def _read_of_model_input(layer, read, columns):
    """Of needed inputs, return those that are read, at least one of them."""
    if not layer.reads_model_input:
        return columns
    read[0] |= not read.any()
    return columns & read


def _shrink_mixing(layer, needed):
    """Shrink a layer, and return the inputs that it reads of those it is given."""
    module = layer.module
    rows, columns = needed[layer.outputs], needed[layer.inputs.units]
    folded = layer.respond(np.where(columns, 0.0, layer.inputs.constants))
    _fold(module, np.where(rows, folded, 0.0))
    given = columns
    if getattr(module, "groups", 1) == 1:
        columns = _read_of_model_input(layer, layer.reads(rows), columns)
    _take_blocks(module, rows, columns)
    _take(module, "bias", rows)
    sizes = ("in_features", "out_features")
    if not isinstance(module, nn.Linear):
        sizes = ("in_channels", "out_channels")
    for name, kept in zip(sizes, (columns, rows), strict=True):
        setattr(module, name, int(np.count_nonzero(kept)))
    return columns[given]


def _shrink_cell(module, cell, rows, columns):
    """Keep hidden units and inputs of the weights of a cell."""
    removed = ~columns
    amounts = cell.inputs.constants[removed]
    if module.bias and amounts.any():
        gates = as_float64(gates_of(module, f"weight_ih{cell.suffix}"))
        name = f"bias_ih{cell.suffix}"
        b = getattr(module, name).detach()
        more = torch.from_numpy((gates[:, :, removed] @ amounts).ravel())
        _replace(module, name, b + more.to(b))
    indices = (torch.from_numpy(np.flatnonzero(kept)) for kept in (rows, columns))
    rows, columns = (index.to(module.weight_ih_l0.device) for index in indices)
    for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        name = kind + cell.suffix
        if kind.startswith("weight") or module.bias:
            W = gates_of(module, name).detach()[:, rows]
            if kind.startswith("weight"):
                W = W[:, :, columns if kind == "weight_ih" else rows]
            _replace(module, name, W.flatten(0, 1))


def _shrink_recurrent(layer, needed):
    """Shrink a layer, and return the inputs that it reads of those it is given."""
    module = layer.module
    n_units = int(np.count_nonzero(needed[layer.cells[0].outputs]))
    first = [cell for cell in layer.cells if cell.inputs is layer.inputs]
    given = needed[layer.inputs.units]
    used = np.concatenate([cell.reads[needed[cell.outputs]] for cell in first])
    read = _read_of_model_input(layer, used.any(axis=0), given)
    for cell in layer.cells:
        columns = read if cell.inputs is layer.inputs else needed[cell.inputs.units]
        _shrink_cell(module, cell, needed[cell.outputs], columns)
    module.input_size = int(np.count_nonzero(read))
    module.hidden_size = n_units
    module.flatten_parameters()
    return read[given]


def _shrink_per_unit(layer, needed):
    module = layer.module
    inputs, outputs = needed[layer.inputs], needed[layer.outputs]
    if isinstance(module, ConstantOutput):
        _take(module, "bias", outputs, dim=int(np.argmax(module.bias.shape)))
        return
    if isinstance(module, BATCH_NORMS):
        for name in ("weight", "bias", "running_mean", "running_var"):
            _take(module, name, outputs)
        module.num_features = int(np.count_nonzero(outputs))
        return
    _take(module, "weight", outputs)
    _take(module, "bias", outputs)
    module.out_channels = int(np.count_nonzero(outputs))
    module.in_channels = module.groups = int(np.count_nonzero(inputs))


def _shrink_lookup(layer, needed):
    """Shrink an embedding, and return the module that takes its place."""
    module, kept = layer.module, needed[layer.outputs]
    _take(module, "weight", kept, dim=1)
    module.embedding_dim = int(np.count_nonzero(kept))
    W = module.weight.detach()
    is_zero = ~W.any(dim=1)
    saved = (int(is_zero.sum()) - 1) * W[0].nbytes
    index = torch.where(is_zero, 0, (~is_zero).cumsum(0)).int()
    padding = module.padding_idx
    if saved <= index.nbytes or not (padding is None or is_zero[padding]):
        return module
    _replace(module, "weight", torch.cat([W.new_zeros(1, W.shape[1]), W[~is_zero]]))
    module.num_embeddings = len(module.weight)
    module.padding_idx = 0  # without a gradient: the row of zeros
    return SelectRows(module, index, padding)


def _shrink_attention(layer):
    """Return a module with the heads that are kept."""
    heads = torch.from_numpy(np.flatnonzero(layer.kept))
    smaller = SmallerAttention(
        layer.module, heads.to(layer.module.out_proj.weight.device)
    )
    _fold(smaller.out_proj, layer.amounts)
    return smaller.train(layer.module.training)


def _shapes(module):
    """Return the shapes of the weights of a layer, by name."""
    if isinstance(module, ATTENTION):
        shapes = {
            f".{name}": (weight.shape[:2].numel(), weight.shape[2])
            for name, (weight, _) in zip(
                PROJECTIONS, input_projections(module), strict=True
            )
        }
        return shapes | {".out_proj": tuple(module.out_proj.weight.shape)}
    if isinstance(module, RECURRENT):
        return {
            f".{name}": tuple(weight.shape)
            for name, weight in module.named_parameters()
            if name.startswith("weight")
        }
    return {"": tuple(getattr(getattr(module, "weight", None), "shape", ()))}


def _shrink_layer(layer, needed):
    """Make a layer smaller, and return the module that takes its place."""
    module = layer.module
    if isinstance(layer, Heads):
        return module if layer.kept.all() else _shrink_attention(layer)
    if isinstance(layer, Lookup):
        return _shrink_lookup(layer, needed)
    if isinstance(layer, PerUnit):
        _shrink_per_unit(layer, needed)
        return module
    shrink = _shrink_mixing if isinstance(layer, Mixing) else _shrink_recurrent
    read = shrink(layer, needed)
    if read.all():
        return module
    index = torch.from_numpy(np.flatnonzero(read))
    index = index.to(next(module.parameters()).device)
    return SelectInputs(module, index, layer.inputs.dim)


def shrink_in_place(model, inputs, graph):
    """Make the layers of a model smaller, and return their shapes."""
    shapes = {}
    for name, module in skip_constant_branches(model, inputs, graph):
        if before := _shapes(module)[""]:
            shapes[name] = (before, ())
    needed = graph.needed_units()
    names = names_of(model)
    for name in list(graph.layers):
        layer = graph.layers.pop(name)  # with all that is known of it
        module = layer.module
        before = _shapes(module)
        smaller = _shrink_layer(layer, needed)
        if smaller is not module:
            replace_modules(model, {module: smaller}, names)
        is_around = isinstance(smaller, SelectInputs | SelectRows)
        after = _shapes(smaller.layer if is_around else smaller)
        for weight, shape in after.items():
            if shape != before[weight]:
                shapes[name + weight] = (before[weight], shape)
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoder):
            # Smaller attention does not read the tensors without padding.
            is_smaller = any(isinstance(x, SmallerAttention) for x in module.modules())
            module.use_nested_tensor = module.use_nested_tensor and not is_smaller
    return shapes
