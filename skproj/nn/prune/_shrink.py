"""Removal of dead units from networks."""

import copy
import dataclasses
import inspect
import time
from typing import NamedTuple

import numpy as np
import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn.utils import parametrize, prune
from torch.utils.flop_counter import FlopCounterMode

from skproj.nn.prune._operations import BATCH_NORMS
from skproj.nn.prune._sparsity_report import as_text
from skproj.nn.prune._unit_graph import UnitGraph
from skproj.nn.prune._units import (
    RECURRENT_PARAMETERS,
    Lookup,
    Mixing,
    Recurrent,
    as_float64,
    blocks_of,
    gates_of,
)
from skproj.utils._docs import shared_docs

# Largest difference of outputs, relative to the largest; more for half precision.
TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-5}
LARGEST_TOLERANCE = 1e-2

N_TIMINGS = 5


class SelectInputs(nn.Module):
    """A layer that reads some of its inputs only."""

    def __init__(self, layer, index, dim):
        super().__init__()
        self.layer = layer
        self.dim = dim
        self.register_buffer("index", index)

    def forward(self, X):
        """Pass the selected inputs to the layer."""
        return self.layer(X.index_select(self.dim, self.index))

    def extra_repr(self):
        """Say how many inputs are read."""
        return f"{len(self.index)} inputs"


class _Cost(NamedTuple):
    """Cost of a model."""

    n_parameters: int
    flops: int
    milliseconds: float


@shared_docs()
class ShrinkReport:
    """Savings of `shrink`: `print` shows them as a table.

    Parameters
    ----------
    before, after : named tuple
        With `n_parameters`, `flops` and `milliseconds` of the two models.
    layers : dict of str to pair of tuple
        Shapes of the weights that have become smaller, before and after.

    Attributes
    ----------
    before, after : named tuple
        With `n_parameters`, `flops` and `milliseconds` of the two models. The last two
        are those of one forward pass with the example inputs: multiplications and
        additions as PyTorch counts them, which leaves out those of an LSTM on a CPU,
        and the shortest of a few times.
    layers : dict of str to pair of tuple
        Shapes of the weights that have become smaller, before and after.

    See Also
    --------
    shrink : Makes one.

    {bilevel_reference}

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from skproj.nn.prune import shrink
    >>> model = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2))
    >>> with torch.no_grad():
    ...     _ = model[0].weight[:4].fill_(0.0)
    >>> _, report = shrink(model, torch.ones(1, 8))
    >>> report.layers
    {'0': ((6, 8), (2, 8)), '2': ((2, 6), (2, 2))}
    >>> report.before.flops, report.after.flops
    (120, 40)
    """

    def __init__(self, before, after, layers):
        self.before = before
        self.after = after
        self.layers = layers

    def __str__(self):
        rows = [("", "before", "after", "ratio")]
        for title, a, b, form in (
            ("parameters", self.before.n_parameters, self.after.n_parameters, "d"),
            ("FLOPs", self.before.flops, self.after.flops, "d"),
            ("ms", self.before.milliseconds, self.after.milliseconds, ".3g"),
        ):
            ratio = f"{b / a:.3f}" if a else ""
            rows.append((title, f"{a:{form}}", f"{b:{form}}", ratio))
        for name, shapes in self.layers.items():
            before, after = (" x ".join(map(str, shape)) for shape in shapes)
            rows.append((name or "(model)", before, after, ""))
        return as_text(rows)

    def __repr__(self):
        return (
            f"<{type(self).__name__}: {self.before.n_parameters} -> "
            f"{self.after.n_parameters} parameters>"
        )


# ---------------------------------------------------------------------------
# Copies, and their outputs


def _pruning_hooks(module):
    return [
        hook
        for hook in module._forward_pre_hooks.values()
        if isinstance(hook, prune.BasePruningMethod)
    ]


def _end_parametrizations(module):
    """Leave plain tensors, as `remove_parametrizations` does.

    That function takes properties from the class, which copies have in common.
    """
    plain = {}
    for name, parametrizations in module.parametrizations.items():
        tensor = getattr(module, name).detach()
        trained = [W.requires_grad for W in parametrizations.parameters(recurse=False)]
        if trained:
            tensor = nn.Parameter(tensor, requires_grad=any(trained))
        plain[name] = tensor
    module.__class__ = parametrize.type_before_parametrizations(module)
    del module.parametrizations
    for name, tensor in plain.items():
        if isinstance(tensor, nn.Parameter):
            module.register_parameter(name, tensor)
        else:
            module.register_buffer(name, tensor)


def plain_copy(model):
    """Copy a model, with plain weights in the place of masked or parametrized ones."""
    # PyTorch does not copy what hooks have computed, and will compute again.
    memo = {
        id(tensor): tensor.detach().clone()
        for module in model.modules()
        for tensor in vars(module).values()
        if isinstance(tensor, torch.Tensor) and not tensor.is_leaf
    }
    plain = copy.deepcopy(model, memo)
    for module in list(plain.modules()):
        for hook in _pruning_hooks(module):
            prune.remove(module, hook._tensor_name)
        if parametrize.is_parametrized(module):
            _end_parametrizations(module)
    return plain


def _tensors(output):
    """List the tensors in nested lists, tuples, dictionaries and data classes."""
    if isinstance(output, torch.Tensor):
        return [output]
    if dataclasses.is_dataclass(output):
        output = vars(output)
    if isinstance(output, dict):
        output = output.values()
    elif not isinstance(output, list | tuple):
        return []
    return [tensor for part in output for tensor in _tensors(part)]


def _agree(output, expected):
    if output.shape != expected.shape or output.dtype != expected.dtype:
        return False
    if not expected.is_floating_point():
        return torch.equal(output, expected)
    tolerance = TOLERANCES.get(expected.dtype, LARGEST_TOLERANCE)
    finite = expected[expected.isfinite()]
    if finite.numel() > 0:
        tolerance *= max(1.0, finite.abs().max().item())
    return torch.allclose(output, expected, rtol=0.0, atol=tolerance, equal_nan=True)


def _is_same(outputs, expected):
    outputs, expected = _tensors(outputs), _tensors(expected)
    return len(outputs) == len(expected) and all(map(_agree, outputs, expected))


def _check_agreement(smaller, inputs, expected):
    try:
        is_same, error = _is_same(smaller(*inputs), expected), None
    except Exception as caught:
        is_same, error = False, caught
    if not is_same:
        raise RuntimeError(
            "The smaller model does not agree with model on example_inputs, so that it "
            "is not returned; model does something that shrink does not understand."
        ) from error


def _milliseconds(model, inputs):
    """Time a forward pass, the shortest of some after one to warm up."""
    on_cuda = any(X.is_cuda for X in inputs)
    times = []
    for _ in range(1 + N_TIMINGS):
        start = time.perf_counter()
        model(*inputs)
        if on_cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times[1:])


def _measure(model, inputs):
    counter = FlopCounterMode(display=False)
    with counter:
        model(*inputs)
    return _Cost(
        n_parameters=sum(W.numel() for W in model.parameters()),
        flops=counter.get_total_flops(),
        milliseconds=_milliseconds(model, inputs),
    )


# ---------------------------------------------------------------------------
# Removal of units


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
    W, blocks = module.weight, blocks_of(module).detach()
    masks = (torch.from_numpy(x).to(W.device) for x in (rows, columns))
    rows, columns = (mask.reshape(len(blocks), -1) for mask in masks)
    parts = zip(blocks, rows, columns, strict=True)
    kept = torch.stack([block[r][:, c] for block, r, c in parts if r.any()])
    if getattr(module, "transposed", False):
        kept = kept.transpose(1, 2)
    shape = (kept.shape[0] * kept.shape[1], kept.shape[2], *W.shape[2:])
    smaller = kept.reshape(shape).contiguous()
    module.weight = nn.Parameter(smaller, requires_grad=W.requires_grad)
    if len(blocks) > 1:
        module.groups = len(kept)


def _fold(module, amounts):
    """Add the contributions of removed inputs to the bias, which may be created."""
    if not amounts.any():
        return
    weight = module.weight
    if module.bias is None:
        zeros = weight.new_zeros(len(amounts))
        module.bias = nn.Parameter(zeros, requires_grad=weight.requires_grad)
    with torch.no_grad():
        bias = module.bias.double().cpu() + torch.from_numpy(amounts)
        module.bias.copy_(bias)


def _shrink_mixing(layer, needed):
    """Shrink a layer, and return the inputs that it reads of those it is given."""
    module = layer.module
    rows, columns = needed[layer.outputs], needed[layer.inputs.units]
    folded = layer.respond(np.where(columns, 0.0, layer.inputs.constants))
    _fold(module, np.where(rows, folded, 0.0))
    given = columns
    if layer.reads_model_input and getattr(module, "groups", 1) == 1:
        read = layer.used[rows].any(axis=0)
        read[0] |= not read.any()
        columns = columns & read
    _take_blocks(module, rows, columns)
    _take(module, "bias", rows)
    sizes = ("in_features", "out_features")
    if not isinstance(module, nn.Linear):
        sizes = ("in_channels", "out_channels")
    for name, kept in zip(sizes, (columns, rows), strict=True):
        setattr(module, name, int(np.count_nonzero(kept)))
    return columns[given]


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


def _shrink_recurrent(layer, needed):
    module = layer.module
    units, inputs = needed[layer.outputs], needed[layer.inputs.units]
    if module.bias:
        W, *_ = (as_float64(parameter) for parameter in gates_of(module))
        amounts = W[:, :, ~inputs] @ layer.inputs.constants[~inputs]
        with torch.no_grad():
            bias = module.bias_ih_l0
            bias.copy_(bias.double().cpu() + torch.from_numpy(amounts.ravel()))
    n_gates = len(module.weight_hh_l0) // module.hidden_size
    for name in RECURRENT_PARAMETERS if module.bias else RECURRENT_PARAMETERS[:2]:
        _take(module, name, np.tile(units, n_gates))
    _take(module, "weight_ih_l0", inputs, dim=1)
    _take(module, "weight_hh_l0", units, dim=1)
    module.input_size = int(np.count_nonzero(inputs))
    module.hidden_size = int(np.count_nonzero(units))
    module.flatten_parameters()


def _shrink_lookup(layer, needed):
    kept = needed[layer.outputs]
    _take(layer.module, "weight", kept, dim=1)
    layer.module.embedding_dim = int(np.count_nonzero(kept))


def _shape_of_weight(module):
    weight = module.weight_ih_l0 if isinstance(module, nn.RNNBase) else module.weight
    return () if weight is None else tuple(weight.shape)


def _shrink_in_place(model, graph):
    """Make the layers of a model smaller, and return their shapes."""
    needed = graph.needed_units()
    names = {}
    for name, module in model.named_modules(remove_duplicate=False):
        names.setdefault(module, []).append(name)
    shapes = {}
    for name, layer in graph.layers.items():
        module = layer.module
        before = _shape_of_weight(module)
        if isinstance(layer, Mixing):
            read = _shrink_mixing(layer, needed)
            if not read.all():
                index = torch.from_numpy(np.flatnonzero(read)).to(module.weight.device)
                selecting = SelectInputs(module, index, layer.inputs.dim)
                for path in names[module]:
                    model.set_submodule(path, selecting)
        elif isinstance(layer, Lookup):
            _shrink_lookup(layer, needed)
        elif isinstance(layer, Recurrent):
            _shrink_recurrent(layer, needed)
        else:
            _shrink_per_unit(layer, needed)
        after = _shape_of_weight(module)
        if after != before:
            shapes[name] = (before, after)
    return shapes


def trace(model, inputs, argument="model"):
    """Trace a model, called `argument` in errors, and note the shapes of its nodes."""
    try:
        parameters = inspect.signature(model.forward).parameters.values()
        # What is not given has its default, on which the forward pass may depend.
        defaults = {
            parameter.name: parameter.default
            for parameter in list(parameters)[len(inputs) :]
            if isinstance(parameter.default, bool | int | float | str | None)
        }
        traced = fx.symbolic_trace(model, concrete_args=defaults or None)
    except Exception as error:
        raise ValueError(
            f"{argument} must be one that torch.fx can trace, but: {error}"
        ) from error
    ShapeProp(traced).propagate(*inputs)
    return traced


def check_inputs(example_inputs):
    """Return example inputs as a tuple."""
    if isinstance(example_inputs, torch.Tensor):
        return (example_inputs,)
    if not isinstance(example_inputs, tuple) or not all(
        isinstance(X, torch.Tensor) for X in example_inputs
    ):
        raise TypeError(
            "example_inputs must be a tensor or a tuple of tensors, "
            f"got {type(example_inputs).__name__} instead."
        )
    return example_inputs


@shared_docs()
@torch.no_grad()
def shrink(model, example_inputs):
    r"""Copy a model without the neurons, filters and inputs that are dead.

    Sparse weights save time only where whole rows and columns of them are zero. A unit
    is removed if no output depends on it, or if its own weights are all zero: then its
    output is constant, and goes into the biases of the layers that read it,

    .. math::

        b \leftarrow b + w \, \sigma(b_\text{dead})

    Parameters
    ----------
    model : torch.nn.Module
        Trained model: plain, pruned or parametrized. It is not changed.
    example_inputs : torch.Tensor or tuple of torch.Tensor
        Arguments of the model, to learn the shapes, and to compare outputs.

    Returns
    -------
    smaller : torch.nn.Module
        A model of the same class, with smaller layers. Masks and parametrizations have
        become plain weights.
    report : ShrinkReport
        Parameters, FLOPs and milliseconds before and after, and the new shapes.

    Raises
    ------
    TypeError
        If `model` is not a module, if it returns no tensors, or if `example_inputs` are
        none.
    ValueError
        If `torch.fx` cannot trace the model, as with a forward pass that depends on
        numbers in its input.
    RuntimeError
        If the smaller model does not agree with `model` on `example_inputs`.

    See Also
    --------
    projection_structured : Makes whole outputs or inputs of a layer zero.
    sparsity_report : Counts zeros and dead units.

    Notes
    -----
    Linear layers, convolutions (also grouped, depthwise or transposed ones),
    batch normalisations, elementwise activations, dropout, pooling, flattening, sums,
    products, and concatenations are understood. Units that meet in a sum, as in a
    residual network, are removed together or not at all. Around everything else, and
    around layers that are used twice, have hooks, or have shared or complex weights,
    all units stay.

    The outputs are those of evaluation mode, up to rounding; the function compares
    them, to 1e-10 in float64 and 1e-5 in float32, of the largest output or of 1. What a
    forward pass does only in training mode, or with optional arguments that are not in
    `example_inputs`, is not looked at, and may not fit the smaller layers.

    A convolution pads with zeros after the activation, so that a constant other than
    zero is another number at the border: such units stay, as does one unit of a layer
    that is dead altogether. A transposed convolution does not make a constant of one
    either: only units that are zero go into its bias. Of a grouped convolution, whole
    groups are removed, and from each other group the same number of channels.

    Recurrent layers of one direction (`torch.nn.LSTM`, `GRU` and `RNN` without initial
    state, with one layer) lose units whose weights and biases are zero in all gates,
    and units that no needed unit and no later layer reads. The last state, as
    ``state[-1]``, or some of the steps can be read, but not some of the units. A layer
    normalisation mixes its units, so that they stay; so do those around
    `torch.nn.MultiheadAttention`.

    An embedding loses columns that are not read or constant. It keeps its rows, also
    those of zeros: the indices that the model is called with name them.

    Inputs of the model that a first layer does not read are skipped: a module that
    selects the others takes the place of that layer. The smaller layer is its `layer`,
    and `index` has the inputs that are read. The model is called as before.

    A forward pass that names sizes, as in ``x.view(-1, 512)``, is left alone at that
    point; ``x.flatten(1)`` is not.

    {bilevel_reference}

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from skproj.nn import prune
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(
    ...     nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 10)
    ... )
    >>> _ = prune.projection_structured(model[0], "weight", 1.0, "l12")
    >>> smaller, report = prune.shrink(model, torch.zeros(1, 1, 8, 8))
    >>> report.layers
    {'0': ((16, 1, 3, 3), (12, 1, 3, 3)), '3': ((10, 576), (10, 432))}
    """
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"model must be a torch.nn.Module, got {type(model).__name__} instead."
        )
    inputs = check_inputs(example_inputs)
    reference = plain_copy(model).eval()
    expected = reference(*inputs)
    if not _tensors(expected):
        raise TypeError(
            "model must return tensors, to compare them, "
            f"got {type(expected).__name__} instead."
        )
    smaller = copy.deepcopy(reference)
    layers = _shrink_in_place(smaller, UnitGraph(trace(smaller, inputs)))
    _check_agreement(smaller, inputs, expected)
    report = ShrinkReport(
        _measure(reference, inputs), _measure(smaller, inputs), layers
    )
    modes = {name: module.training for name, module in model.named_modules()}
    for name, module in smaller.named_modules():
        module.training = modes.get(name, model.training)
    return smaller, report
