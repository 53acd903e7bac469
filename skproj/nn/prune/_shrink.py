"""Removal of dead units from networks."""

import copy
import dataclasses
import inspect
import math
import time
from typing import NamedTuple

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn.utils import parametrize, prune
from torch.utils.flop_counter import FlopCounterMode

from skproj.nn.prune._operations import BATCH_NORMS
from skproj.nn.prune._removal import shrink_in_place
from skproj.nn.prune._sparsity_report import as_text
from skproj.nn.prune._unit_graph import UnitGraph
from skproj.utils._docs import shared_docs

# Largest difference of outputs, relative to the largest; more for half precision.
TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-5}
LARGEST_TOLERANCE = 1e-2

N_TIMINGS = 5


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
        With `n_parameters`, `flops` and `milliseconds` of the two models. The last two
        are those of one forward pass with the example inputs: multiplications and
        additions of the linear and convolutional layers, also those of attention, and
        the shortest of a few times. Recurrent layers are not counted where PyTorch
        computes them in one operation.
    layers : dict of str to pair of tuple
        Shapes of the weights that have become smaller, before and after; empty where
        the layer is gone.

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
    """Copy a model for evaluation; masked or parametrized weights become plain ones."""
    # PyTorch does not copy what hooks have computed, and compute again.
    memo = {
        id(held): held.detach().clone()
        for module in model.modules()
        for values in vars(module).values()
        for held in (values if isinstance(values, list) else [values])
        if isinstance(held, torch.Tensor) and not held.is_leaf
    }
    plain = copy.deepcopy(model, memo)
    for module in list(plain.modules()):
        for hook in list(module._forward_pre_hooks.values()):
            if isinstance(hook, prune.BasePruningMethod):
                prune.remove(module, hook._tensor_name)
        if parametrize.is_parametrized(module):
            _end_parametrizations(module)
        if isinstance(module, nn.RNNBase):
            # It has a list of its weights as well, which learns of them like this.
            for name, parameter in list(module.named_parameters(recurse=False)):
                setattr(module, name, parameter)
    return plain.eval()


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


def _check_agreement(smaller, inputs, expected):
    expected, error = _tensors(expected), None
    try:
        outputs = _tensors(smaller(*inputs))
        is_same = len(outputs) == len(expected) and all(map(_agree, outputs, expected))
    except Exception as caught:
        is_same, error = False, caught
    if not is_same:
        raise RuntimeError(
            "The smaller model does not agree with model on example_inputs, so that it "
            "is not returned; model does something that shrink does not understand."
        ) from error


def milliseconds(models, inputs, n_passes=N_TIMINGS):
    """Time forward passes of models in turn, after one of each to warm up.

    Returns a list of times for each model.
    """
    on_cuda = any(X.is_cuda for X in inputs)
    times = [[] for _ in models]
    for _ in range(1 + n_passes):
        for model, own in zip(models, times, strict=True):
            start = time.perf_counter()
            model(*inputs)
            if on_cuda:
                torch.cuda.synchronize()
            own.append(1e3 * (time.perf_counter() - start))
    return [own[1:] for own in times]


def _count_attention(query, key, value, *args, **kwargs):
    """Count operations from shapes (..., places, features)."""
    n_products = math.prod(query[:-1]) * key[-2]
    return 2 * n_products * (query[-1] + value[-1])


def count_flops(model, inputs):
    """Count operations, also those of attention, which PyTorch else does in one.

    Returns the counter.
    """
    # That of CPUs is missing in PyTorch's own list.
    attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    counter = FlopCounterMode(
        display=False, custom_mapping={attention: _count_attention}
    )
    is_enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with counter:
            model(*inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(is_enabled)
    return counter


def _measure(model, inputs):
    return _Cost(
        n_parameters=sum(W.numel() for W in model.parameters()),
        flops=count_flops(model, inputs).get_total_flops(),
        milliseconds=min(*milliseconds([model], inputs)),
    )


class _Tracer(fx.Tracer):
    """Does not look into normalisations that are not PyTorch's own."""

    def is_leaf_module(self, m, module_qualified_name):
        is_leaf = super().is_leaf_module(m, module_qualified_name)
        return is_leaf or isinstance(m, BATCH_NORMS)


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
        graph = _Tracer().trace(model, concrete_args=defaults or None)
    except Exception as error:
        raise ValueError(
            f"{argument} must be one that torch.fx can trace, but: {error}"
        ) from error
    traced = fx.GraphModule(model, graph)
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
    r"""Copy a model without the neurons and filters that are dead.

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
    skproj.nn.sparsify_units : Trains until units can be removed.
    sparsity_report : Counts zeros and dead units.

    Notes
    -----
    Linear layers, convolutions (also grouped, depthwise or transposed ones),
    batch normalisations (also with an activation inside, as those of timm), elementwise
    activations, dropout, pooling, flattening, means, indexing, transposing, sums,
    products, and concatenations are understood.
    Units that meet in a sum, as in a residual network, are removed together or not at
    all. Around everything else, and around layers that are used twice, have hooks, or
    have shared or complex weights, all units stay: for instance around recurrent
    layers, embeddings, attention, and `torch.nn.LayerNorm`, whose outputs depend on all
    of its inputs, also on zeros. The inputs of the model stay as well.

    The outputs are those of evaluation mode, up to rounding; the function compares
    them, to 1e-10 in float64 and 1e-5 in float32, of the largest output or of 1. What a
    forward pass does only in training mode, or with optional arguments that are not in
    `example_inputs`, is not looked at, and may not fit the smaller layers.

    A convolution pads with zeros after the activation, so that a constant other than
    zero is another number at the border: such units stay, as does one unit of a layer
    that is dead altogether. A transposed convolution does not make a constant of one
    either: only units that are zero go into its bias. Of a grouped convolution, whole
    groups are removed, and from each other group the same number of channels.

    Inside `torch.nn.TransformerEncoderLayer`, `torch.nn.TransformerDecoderLayer` and
    what is made of them, the units between the two linear layers are removed.

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
    >>> with torch.no_grad():
    ...     _ = model[0].weight[:4].fill_(0.0)
    >>> smaller, report = prune.shrink(model, torch.zeros(1, 1, 8, 8))
    >>> report.layers
    {'0': ((16, 1, 3, 3), (12, 1, 3, 3)), '3': ((10, 576), (10, 432))}
    """
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"model must be a torch.nn.Module, got {type(model).__name__} instead."
        )
    inputs = check_inputs(example_inputs)
    smaller = plain_copy(model)
    expected, traced = smaller(*inputs), trace(smaller, inputs)
    if not _tensors(expected):
        raise TypeError(
            "model must return tensors, to compare them, "
            f"got {type(expected).__name__} instead."
        )
    graph = UnitGraph(traced)
    before = _measure(smaller, inputs)
    layers = shrink_in_place(graph)
    _check_agreement(smaller, inputs, expected)
    report = ShrinkReport(before, _measure(smaller, inputs), layers)
    modes = {name: module.training for name, module in model.named_modules()}
    for name, module in smaller.named_modules():
        module.training = modes.get(name, model.training)
    return smaller, report
