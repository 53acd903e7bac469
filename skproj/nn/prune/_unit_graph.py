"""Analysis of a network: needed units, and units with a constant output.

A unit is a neuron or a channel. Operations that work on each unit by itself carry it
on; additions tie the units of their arguments together, so that they stay or go
together. Units of other operations are pinned: they stay.
"""

import copy
import itertools
import operator

import numpy as np
import torch
from scipy.linalg import block_diag
from torch import nn

from skproj.nn.prune._operations import (
    ADAPTIVE_POOLS,
    ARITHMETIC,
    AVERAGE_POOL_NAMES,
    AVERAGE_POOLS,
    BATCH_NORMS,
    CONVOLUTIONS,
    DROPOUTS,
    ELEMENTWISE,
    ELEMENTWISE_NAMES,
    KNOWN_MODULES,
    MAX_POOLS,
    POOL_NAMES,
    TRANSFORMER_LAYERS,
    TRANSFORMERS,
    shared_places,
    writes,
)
from skproj.nn.prune._shapes import averaged, dim_of, flattened, permuted, taken
from skproj.nn.prune._units import (
    Mixing,
    PerUnit,
    Units,
    Value,
    as_float64,
    bias_of,
    blocks_of,
    join,
    stay_constant,
)

# Value of a node that has no units, and leaves those that it reads as they are.
NO_UNITS = object()


def _has_state(module):
    tensors = itertools.chain(
        module.parameters(recurse=False), module.buffers(recurse=False)
    )
    return any(True for _ in tensors)


def _with_options(node):
    """Return the operation of a node as a function of a tensor."""

    def function(tensor):
        call = node.target
        if node.op == "call_method":
            return getattr(tensor, call)(*node.args[1:], **node.kwargs)
        return call(tensor, *node.args[1:], **node.kwargs)

    return function


class UnitGraph:
    """Analysis of a traced model whose nodes have shapes.

    The model is in evaluation mode and has gone through
    `torch.fx.passes.shape_prop.ShapeProp`. `layers` has those that can be made smaller,
    as `Mixing` or `PerUnit`, by name; `pinned` is a list of arrays of units
    that stay, and `unknown` has the names of operations for which they do; `values` has
    the `Value` of each node, or None; `modules` are all of the model by name.
    """

    def __init__(self, traced):
        self.units = Units()
        self.layers = {}
        self.modules = dict(traced.named_modules(remove_duplicate=False))
        self._fixed_modules = self._find_fixed_modules(traced.graph)
        self.pinned = []
        self.unknown = []
        self.values = {}
        for node in traced.graph.nodes:
            overwritten = self._overwritten(node)
            self._forget_constants(overwritten)
            value = None if overwritten else self._visit(node)
            if value is None:
                arguments = node.all_input_nodes
                if node.op != "output" and any(map(self.values.get, arguments)):
                    name = getattr(node.target, "__name__", node.target)
                    self.unknown.append(f"{name} ({node.name})")
                for argument in arguments:
                    self._pin(argument)
            self.values[node] = None if value is NO_UNITS else value

    def needed_units(self):
        """Return for each unit whether an output of the model depends on it.

        In each layer at least one unit is needed: nothing becomes empty.
        """
        roots = self.units.roots()
        readers = [x for x in self.layers.values() if isinstance(x, Mixing)]
        needed = np.zeros(len(roots), dtype=bool)
        for units in self.pinned:
            needed[roots[units]] = True
        n_needed = -1
        while np.count_nonzero(needed) > n_needed:
            n_needed = np.count_nonzero(needed)
            for layer in readers:
                layer.need(needed, roots)
        # Nobody reads what follows, so that it does not need its inputs.
        while True:
            n_needed = np.count_nonzero(needed)
            for layer in readers:
                layer.even_out(needed, roots)
            if np.count_nonzero(needed) > n_needed:
                continue
            empty = [x for x in readers if not needed[roots[x.outputs]].any()]
            if not empty:
                return needed[roots]
            needed[roots[empty[-1].outputs[0]]] = True

    def is_fixed(self, module):
        """Whether a module has to stay as it is."""
        return id(module) in self._fixed_modules

    def _find_fixed_modules(self, graph):
        """Find modules that stay.

        They have hooks, shared or complex weights, or are called several times.
        """
        modules = {id(module): module for module in self.modules.values()}
        calls = dict.fromkeys(modules, 0)
        owners = {}
        fixed = set()
        for node in graph.nodes:
            if node.op == "call_module":
                inside = self.modules[node.target].named_modules(remove_duplicate=False)
                for _, module in inside:
                    calls[id(module)] += 1
            elif node.op == "get_attr":
                fixed.add(id(self.modules[node.target.rpartition(".")[0]]))
        for key, module in modules.items():
            hooked = module._forward_hooks or module._forward_pre_hooks
            if hooked or (calls[key] > 1 and _has_state(module)):
                fixed.add(key)
            for parameter in module.parameters(recurse=False):
                if parameter.is_complex():
                    fixed.add(key)
                owners.setdefault(id(parameter), set()).add(key)
        shared = (keys for keys in owners.values() if len(keys) > 1)
        return fixed.union(*shared)

    # -----------------------------------------------------------------------
    # Values

    def _pin(self, node):
        """Keep all units of a node, which need not have any."""
        if self.values[node] is not None:
            self.pinned.append(self.values[node].units)

    def _read(self, node, dim):
        """Return the units of a node along `dim`; unknown ones are pinned."""
        value = self.values[node]
        if value is not None and value.dim == dim:
            return value
        self._pin(node)
        return self._pinned_units(node.meta["tensor_meta"].shape[dim], dim)

    def _pinned_units(self, n, dim):
        units = self.units.new(n)
        self.pinned.append(units)
        return Value(units, dim, np.zeros(n, dtype=bool), np.zeros(n))

    def _overwritten(self, node):
        """Return the nodes whose memory a node changes while others read it, too."""
        is_call = node.op.startswith("call_") and node.args
        if not is_call or not isinstance(node.args[0], torch.fx.Node):
            return []
        if node.op == "call_module" and type(self.modules[node.target]) in DROPOUTS:
            return []  # nothing is dropped in evaluation mode
        if not writes(node, self.modules):
            return []
        return shared_places(node.args[0], self.modules)

    def _forget_constants(self, nodes):
        """Know nothing of the units of some nodes any more."""
        for node in nodes:
            if (value := self.values.get(node)) is not None:
                nothing = np.zeros_like(value.known)
                self.values[node] = value.with_constants(nothing, value.constants)

    @staticmethod
    def shape_of(node):
        """Shape of the tensor of a node; empty for everything else."""
        meta = node.meta.get("tensor_meta") if isinstance(node, torch.fx.Node) else None
        return tuple(getattr(meta, "shape", ()))

    # -----------------------------------------------------------------------
    # Nodes. A visit returns None for an operation that it does not understand.

    def _visit(self, node):
        if node.op == "call_module":
            return self._visit_module(node)
        if node.op == "call_function" and node.target.__module__ in KNOWN_MODULES:
            return self._visit_function(node, node.target.__name__)
        if node.op == "call_method":
            return self._visit_function(node, node.target)
        return None

    def _visit_module(self, node):
        module = self.modules[node.target]
        kind = type(module)
        if kind in TRANSFORMERS:
            return self._visit_transformer(node, module)
        if len(node.args) != 1 or node.kwargs or self.is_fixed(module):
            return None
        (source,) = node.args
        shape = self.shape_of(source)
        if kind is nn.Linear:
            return self._visit_mixing(node, module, len(shape) - 1)
        if kind in CONVOLUTIONS:
            if len(shape) != module.weight.ndim:
                return None
            if module.groups == module.in_channels > 1 and not module.transposed:
                return self._visit_depthwise(node, module)
            return self._visit_mixing(node, module, 1)

        value = self.values[source]
        if value is None:
            return None
        if isinstance(module, BATCH_NORMS):
            return self._visit_batch_norm(node, module, value)
        if kind in DROPOUTS:
            return value
        if kind in ELEMENTWISE or (kind is nn.PReLU and module.num_parameters == 1):
            return self._map_constants(value, copy.deepcopy(module).cpu().double())
        if kind is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1):
            return flattened(value, shape, self.shape_of(node))
        if kind in MAX_POOLS + ADAPTIVE_POOLS:
            return self._pool(node, kind.__name__, value, shape)
        if kind in AVERAGE_POOLS:
            return self._average_pool(node, module, value, shape)
        return None

    def _visit_function(self, node, name):
        if name in ("getattr", "size"):
            return NO_UNITS if self._is_batch_size(node, name) else None
        first = node.args[0] if node.args else None
        if name in ("cat", "concat"):
            return self._concatenate(node)
        if name in ARITHMETIC and len(node.args) == 2 and not node.kwargs:
            return self._combine(node, ARITHMETIC[name])

        if not isinstance(first, torch.fx.Node):
            return None
        value = self.values[first]
        if value is None:
            return None
        shape, options = self.shape_of(first), node.args[1:]
        if name in ("view", "reshape"):
            return self._view(node, value, shape, options)
        if len(node.all_input_nodes) > 1:
            return None
        if name == "contiguous":
            return value
        if name in ("transpose", "permute") and not node.kwargs:
            return permuted(value, len(shape), name, options)
        if name == "getitem":
            return taken(value, len(shape), node.args[1])
        if name in ELEMENTWISE_NAMES:
            return self._map_constants(value, _with_options(node))
        if name == "dropout":
            training = options[1] if len(options) > 1 else node.kwargs.get("training")
            return value if training is False else None
        if name == "flatten":
            bounds = dict(zip(("start_dim", "end_dim"), options, strict=False))
            bounds = {"end_dim": -1} | bounds | node.kwargs
            if bounds == {"start_dim": 1, "end_dim": -1}:
                return flattened(value, shape, self.shape_of(node))
            return None
        if name in POOL_NAMES:
            return self._pool(node, name, value, shape)
        if name in AVERAGE_POOL_NAMES and len(options) <= 2 and not node.kwargs:
            return self._pool(node, name, value, shape)
        if name == "mean":
            keepdim = options[1] if len(options) > 1 else node.kwargs.get("keepdim")
            return averaged(value, len(shape), dim_of(node, None), keepdim)
        return None

    @staticmethod
    def _is_batch_size(node, name):
        """Whether all that is read of a shape is the first number."""
        if name == "size" and node.args[1:] == (0,):
            return True
        is_shape = node.args[1:] == (() if name == "size" else ("shape",))
        return is_shape and all(
            user.target is operator.getitem and user.args[1] == 0 for user in node.users
        )

    def _visit_mixing(self, node, module, dim):
        return self._mix(node.target, module, self._read(node.args[0], dim))

    def _mix(self, name, module, inputs):
        used = (blocks_of(module).detach() != 0).any(dim=3).cpu().numpy()
        used = used[0] if len(used) == 1 else block_diag(*used).astype(bool)
        is_linear = type(module) is nn.Linear
        foldable = inputs.known if is_linear else stay_constant(module, inputs)
        outputs = self.units.new(len(used))
        layer = Mixing(module, inputs, outputs, np.packbits(used, axis=1), foldable)
        self.layers[name] = layer
        value = Value(outputs, inputs.dim, foldable[:0], inputs.constants[:0])
        return value.with_constants(
            ~(used & ~foldable).any(axis=1),
            layer.respond(np.where(foldable, inputs.constants, 0.0)) + bias_of(module),
        )

    def _visit_transformer(self, node, module):
        """Find the hidden units that are needed; the others stay."""
        for path, layer in module.named_modules(prefix=node.target):
            is_layer = type(layer) in TRANSFORMER_LAYERS
            if is_layer and not any(map(self.is_fixed, (module, *layer.modules()))):
                if type(layer.linear1) is type(layer.linear2) is nn.Linear:
                    self._visit_feed_forward(path, layer)

    def _visit_feed_forward(self, path, layer):
        """Find the units between the two linear layers of a layer."""
        activation = layer.activation
        if isinstance(activation, nn.Module):
            is_elementwise = type(activation) in ELEMENTWISE
            activation = copy.deepcopy(activation).cpu().double()
        else:
            is_elementwise = (
                getattr(activation, "__module__", None) in KNOWN_MODULES
                and activation.__name__ in ELEMENTWISE_NAMES
            )
        if is_elementwise:
            inputs = self._pinned_units(layer.linear1.in_features, 0)
            hidden = self._mix(f"{path}.linear1", layer.linear1, inputs)
            hidden = self._map_constants(hidden, activation)
            outputs = self._mix(f"{path}.linear2", layer.linear2, hidden)
            self.pinned.append(outputs.units)

    def _visit_depthwise(self, node, module):
        inputs = self._read(node.args[0], 1)
        n = module.out_channels // module.in_channels
        outputs = Value(
            inputs.units.repeat(n),
            1,
            stay_constant(module, inputs).repeat(n),
            inputs.constants.repeat(n),
        )
        W = as_float64(module.weight).reshape(module.out_channels, -1)
        self.layers[node.target] = PerUnit(module, inputs.units, outputs.units)
        return outputs.with_constants(
            outputs.known | ~W.any(axis=1),
            W.sum(axis=1) * outputs.constants + bias_of(module),
        )

    def _visit_batch_norm(self, node, module, value):
        """Run the layer, which may have an activation, on constants of each unit."""
        if value.dim != 1 or module.running_mean is None:
            return None
        self.layers[node.target] = PerUnit(module, value.units, value.units)
        double = copy.deepcopy(module).cpu().double()
        inputs = np.stack([value.constants, value.constants + 1.0])
        shape = (2, -1) + (1,) * (len(self.shape_of(node)) - 2)
        outputs = double(torch.from_numpy(inputs).reshape(shape)).detach()
        constants, others = outputs.numpy().reshape(2, -1)
        scale = 1.0 if module.weight is None else as_float64(module.weight)
        is_constant = (scale == 0.0) & (constants == others)
        return value.with_constants(value.known | is_constant, constants)

    def _map_constants(self, value, function):
        with torch.no_grad():
            constants = function(torch.from_numpy(value.constants.copy()))
        return value.with_constants(value.known, constants.numpy())

    def _view(self, node, value, shape, sizes):
        """Take it for `flatten` where the number of features is left to PyTorch."""
        if len(sizes) == 1 and isinstance(sizes[0], tuple | list):
            sizes = tuple(sizes[0])
        if value.dim != 1 or len(sizes) != 2 or sizes[0] == -1 or sizes[1] != -1:
            return None
        return flattened(value, shape, self.shape_of(node))

    def _pool(self, node, name, value, shape):
        """Take the mean or maximum of windows, in which a constant is itself.

        With a dimension less than `name` says, PyTorch takes the batch for channels.
        """
        n_dims = 2 + int(name[-2])
        same = value.dim == 1 and len(self.shape_of(node)) == len(shape) == n_dims
        return value if same else None

    def _average_pool(self, node, module, value, shape):
        if getattr(module, "divisor_override", None) is not None:
            return None
        if module.count_include_pad and np.any(module.padding):
            known = value.known & (value.constants == 0.0)
            value = value.with_constants(known, value.constants)
        return self._pool(node, type(module).__name__, value, shape)

    def _concatenate(self, node):
        tensors = node.args[0] if node.args else None
        if not isinstance(tensors, list | tuple):
            return None
        dim = dim_of(node, 0) % len(self.shape_of(node))
        values = [self.values[tensor] for tensor in tensors]
        if not any(value is not None and value.dim == dim for value in values):
            return None
        return join([self._read(tensor, dim) for tensor in tensors], dim)

    def _combine(self, node, function):
        """Add, subtract or multiply two tensors, or a tensor and a number."""
        left, right = node.args
        tensors = [x for x in (left, right) if isinstance(x, torch.fx.Node)]
        values = [self.values[x] for x in tensors if self.values[x] is not None]
        if not values:
            return None
        if len(tensors) == 1:
            number = right if tensors[0] is left else left
            if not isinstance(number, int | float):
                return None
            (value,) = values
            arguments = (
                (value.constants, number)
                if tensors[0] is left
                else (number, value.constants)
            )
            return value.with_constants(value.known, function(*arguments))
        dim = values[0].dim
        shapes = [self.shape_of(x) for x in tensors]
        if len(shapes[0]) != len(shapes[1]) or shapes[0][dim] != shapes[1][dim]:
            return None
        a, b = (self._read(x, dim) for x in tensors)
        self.units.tie(a.units, b.units)
        known = a.known & b.known
        if function is np.multiply:
            known |= (a.known & (a.constants == 0.0)) | (b.known & (b.constants == 0.0))
        return a.with_constants(known, function(a.constants, b.constants))
