"""Residual branches, those whose outputs are constants, and normalisations."""

import itertools
from typing import NamedTuple

import numpy as np
import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from skproj.nn.prune._operations import (
    ARITHMETIC,
    AVERAGE_POOLS,
    BATCH_NORMS,
    CONVOLUTIONS,
    DROPOUTS,
    ELEMENTWISE,
    ELEMENTWISE_NAMES,
    KNOWN_MODULES,
    MAX_POOLS,
)
from skproj.nn.prune._replacements import (
    ConstantOutput,
    SkippedLayer,
    WritableOutput,
)
from skproj.nn.prune._units import Mixing, PerUnit, Value

# Sizes of a tensor for which a branch is compared with its shortcut.
MOST_SIZES = 128


def names_of(model):
    """Return all names of each module of a model, by module."""
    names = {}
    for name, module in model.named_modules(remove_duplicate=False):
        names.setdefault(module, []).append(name)
    return names


def replace_modules(model, new, names):
    """Put modules in the places of others, under all of their `names`."""
    for module, replacement in new.items():
        for name in names[module]:
            model.set_submodule(name, replacement)


def _name_of(node):
    """Return the name of a function or method, or None."""
    if node.op == "call_function" and node.target.__module__ in KNOWN_MODULES:
        return node.target.__name__
    return node.target if node.op == "call_method" else None


def _is_elementwise(node, graph):
    if node.op == "call_module":
        return type(graph.modules[node.target]) in ELEMENTWISE + DROPOUTS
    return _name_of(node) in (*ELEMENTWISE_NAMES, "dropout")


def _layer_of(node, graph):
    """Return the layer of a node that reads units one by one or mixes them, or None."""
    layer = graph.layers.get(node.target) if node.op == "call_module" else None
    return layer if isinstance(layer, Mixing | PerUnit) else None


# ---------------------------------------------------------------------------
# Branches that can be removed


class Branch(NamedTuple):
    """Layers beside a shortcut, by their names in the order of the calls."""

    inner: list
    last: str
    norm: str | None  # behind the last


def find_branches(graph):
    """List the branches of at least two layers that are added to shorter ones."""
    branches = []
    for node in graph.nodes:
        if ARITHMETIC.get(_name_of(node)) is not ARITHMETIC["add"]:
            continue
        sources = [source for source in node.args if isinstance(source, fx.Node)]
        found = [_branch_before(source, graph) for source in sources]
        found = [branch for branch in found if branch is not None]
        if len(sources) == 2 and len(found) == 1:  # else nothing may be left to add
            branches += found
    return branches


def _branch_before(node, graph):
    mixing, norm = [], None
    while len(node.users) == 1 and len(node.all_input_nodes) == 1:
        layer = _layer_of(node, graph)
        if isinstance(layer, Mixing):
            mixing.insert(0, node.target)
        elif layer is None and not _is_elementwise(node, graph):
            break
        elif layer is not None and not mixing:
            norm = node.target
        (node,) = node.all_input_nodes
    return Branch(mixing[:-1], mixing[-1], norm) if len(mixing) > 1 else None


# ---------------------------------------------------------------------------
# Branches that are constant


def _sizes_after(node, graph, sizes):
    """Return the sizes of a tensor that a node makes of one with some sizes, or None.

    The rows are the dimensions, the columns are cases. None is for nodes that may
    change sizes in other ways.
    """
    if _is_elementwise(node, graph) or _name_of(node) in ARITHMETIC:
        return sizes
    if node.op != "call_module":
        return None
    module = graph.modules[node.target]
    kind = type(module)
    if kind in BATCH_NORMS:
        return sizes
    if kind is nn.Linear:
        units = np.full_like(sizes[-1:], module.out_features)
        return np.concatenate([sizes[:-1], units])
    is_convolution = kind in CONVOLUTIONS and not module.transposed
    is_pool = kind in MAX_POOLS + AVERAGE_POOLS and not module.ceil_mode
    if not (is_convolution or is_pool):
        return None
    if module.padding == "same":
        return sizes
    options = (
        module.kernel_size,
        0 if module.padding == "valid" else module.padding,
        module.stride,
        getattr(module, "dilation", 1),
    )
    kernel, padding, stride, dilation = (
        np.broadcast_to(option, len(sizes) - 2)[:, None] for option in options
    )
    last = (sizes[2:] + 2 * padding - dilation * (kernel - 1) - 1) // stride
    return np.concatenate([sizes[:2], last + 1])


def _find_sources(node, graph, most_inputs):
    """Return nodes that a node depends on, each with the nodes behind it in order."""
    found, waiting = {}, [(node, [])]
    while waiting:
        source, behind = waiting.pop()
        if source in found:
            continue
        found[source] = behind
        inputs = source.all_input_nodes
        module = graph.modules[source.target] if source.op == "call_module" else None
        is_fixed = module is not None and graph.is_fixed(module)
        n_inputs = most_inputs if _name_of(source) in ARITHMETIC else 1
        if not is_fixed and len(inputs) <= n_inputs:
            waiting += [(x, [source, *behind]) for x in inputs]
    return found


def _is_shortcut(other, node, graph):
    """Whether a tensor has the sizes of a node for all sizes of what both depend on.

    It may be larger, by what is added to it: a sum with the node is as large.
    """
    n_dims = len(graph.shape_of(node))
    cases = np.tile(np.arange(1, 1 + MOST_SIZES), (n_dims, 1))
    shortcuts = _find_sources(other, graph, most_inputs=2)
    for source, branch in _find_sources(node, graph, most_inputs=1).items():
        value = graph.values[source]
        if source is node or source not in shortcuts:
            continue
        if value is not None and value.known.all():  # its samples may go as well
            continue
        if len(graph.shape_of(source)) != n_dims:
            continue
        sides = []
        for nodes in (branch, shortcuts[source]):
            sizes = cases
            for step in nodes:
                sizes = None if sizes is None else _sizes_after(step, graph, sizes)
            sides.append(sizes)
        if any(sizes is None for sizes in sides):
            continue
        sides = [np.delete(sizes, graph.values[node].dim, axis=0) for sizes in sides]
        if np.array_equal(*sides):
            return True
    return False


def _can_be_repeated(node, user, graph):
    """Whether one place of one sample is as good as a tensor, for who reads it."""
    if _name_of(user) not in ARITHMETIC or len(user.all_input_nodes) != 2:
        return False
    value = graph.values[node]
    if graph.values[user] is None or value.dim == 0:
        return False
    (other,) = (source for source in user.all_input_nodes if source is not node)
    known = getattr(graph.values[other], "known", np.False_)
    if graph.shape_of(other) != graph.shape_of(node) or known.all():
        return False
    return _is_shortcut(other, node, graph)


def _find_constants(graph):
    """Return the nodes of layers whose outputs are constants, in order.

    A sum reads them, or elementwise operations between that and the layer.
    """
    constants = []
    for node in graph.nodes:
        value, end = graph.values[node], node
        if _layer_of(node, graph) is None or not isinstance(value, Value):
            continue
        while len(end.users) == 1:
            (user,) = end.users
            if not _is_elementwise(user, graph) or graph.writes(user):
                break
            end = user
        last = graph.values[end]
        if last is None or not (value.known.all() and last.known.all()):
            continue
        if end.users and all(_can_be_repeated(end, x, graph) for x in end.users):
            constants.append(node)
    return constants


def _find_unread(constants, graph):
    """Return the nodes of layers that only constants depend on, in order."""
    unread = []
    for node in reversed(graph.nodes):
        is_known = _layer_of(node, graph) is not None or _is_elementwise(node, graph)
        if is_known and node.users and node not in constants:
            if all(user in unread or user in constants for user in node.users):
                unread.append(node)
    return [node for node in unread[::-1] if _layer_of(node, graph) is not None]


def _follows_a_layer(node, unread, graph):
    """Whether what a layer is given comes from a layer that is skipped itself."""
    (source,) = node.all_input_nodes
    while source not in unread:
        if len(source.all_input_nodes) != 1 or not _is_elementwise(source, graph):
            return False
        (source,) = source.all_input_nodes
    return True


def _constant_output(kind, node, graph):
    """Return a module with the constants of a layer, without a place for samples."""
    module, value = graph.modules[node.target], graph.values[node]
    like = next(itertools.chain(module.parameters(), module.buffers()))
    shape = [1] * (len(graph.shape_of(node)) - 1)
    shape[value.dim - 1] = -1
    bias = torch.from_numpy(value.constants).to(like).reshape(shape)
    return kind(nn.Parameter(bias, requires_grad=like.requires_grad))


def _may_be_written(node, graph):
    """Whether the only reader of a node may write to it."""
    first, *others = node.users
    is_operator = getattr(first.target, "__module__", None) == "_operator"
    may_write = is_operator or graph.writes(first)
    return not others and may_write and first.args[0] is node


def _runs(model, inputs):
    try:
        model(*inputs)
    except Exception:
        return False
    return True


def skip_constant_branches(model, inputs, graph):
    """Compute no layers whose outputs are constants, or that only such layers read.

    `ConstantOutput` or `SkippedLayer` takes their places, and behind this
    `torch.nn.Identity`. Where the model then fails, as it does where it writes to the
    constants, it is tried with `WritableOutput`, and else computed as before. Returns
    pairs of the names and the layers.
    """
    names, places = names_of(model), {}

    def replace(constants):
        new = dict.fromkeys(places) | {x.target: y for x, y in constants.items()}
        unread = _find_unread(constants, graph)
        for node in unread:
            is_empty = _follows_a_layer(node, unread, graph)
            new[node.target] = nn.Identity() if is_empty else SkippedLayer()
        for name, module in new.items():
            places.setdefault(name, graph.modules[name])
            replace_modules(model, {places[name]: module or places[name]}, names)

    accepted = {}
    for node in _find_constants(graph):
        kinds = [ConstantOutput]
        kinds += [WritableOutput] if _may_be_written(node, graph) else []
        for kind in kinds:
            found = accepted | {node: _constant_output(kind, node, graph)}
            replace(found)
            if _runs(model, inputs):
                accepted = found
                break
        else:
            replace(accepted)
    gone = _find_unread(accepted, graph) + [*accepted]
    for node in gone:
        del graph.layers[node.target]
    for node, module in accepted.items():
        units = graph.values[node].units
        graph.layers[node.target] = PerUnit(module, units, units)
    return [(node.target, places[node.target]) for node in gone]


# ---------------------------------------------------------------------------
# Normalisations


def fuse_norms(model, graph):
    """Make normalisations a part of the layers in front of them."""
    names = names_of(model)
    for node in graph.nodes:
        if node.op != "call_module" or len(node.all_input_nodes) != 1:
            continue
        norm, (source,) = graph.modules[node.target], node.all_input_nodes
        if type(norm) not in BATCH_NORMS or norm.running_mean is None:
            continue
        if source.op != "call_module" or len(source.users) != 1:
            continue
        layer = graph.modules[source.target]
        if node.kwargs or source.kwargs or graph.is_fixed(norm):
            continue
        if graph.is_fixed(layer):
            continue
        n_dims = len(graph.shape_of(node))
        if type(layer) in CONVOLUTIONS:
            if layer.transposed and layer.groups > 1:  # which PyTorch does not fuse
                continue
            if n_dims != layer.weight.ndim:  # without samples, other channels
                continue
            fused = fuse_conv_bn_eval(layer, norm, transpose=layer.transposed)
        elif type(layer) is nn.Linear and n_dims == 2:
            fused = fuse_linear_bn_eval(layer, norm)
        else:
            continue
        if layer.bias is None:
            fused.bias.requires_grad_(layer.weight.requires_grad)
        replace_modules(model, {layer: fused, norm: nn.Identity()}, names)
