"""Removal of dead units from networks."""

import copy
import dataclasses
import inspect
import itertools
import math
import time
from typing import NamedTuple

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn.utils import parametrize, prune
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from skproj.nn.prune._branches import fuse_norms
from skproj.nn.prune._removal import shrink_in_place
from skproj.nn.prune._smaller_attention import SmallerAttention
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
        With `n_parameters`, `flops` and `milliseconds` of the two models.
    layers : dict of str to pair of tuple
        Shapes of the weights that have become smaller, before and after; empty where
        the layer is gone.

    Attributes
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


class _Written(BaseException):
    """An operation is about to change a tensor; no error that models could catch."""


class _ReadOnly(TorchDispatchMode):
    """Refuses operations that would change the memory of a module."""

    def __init__(self, module):
        super().__init__()
        tensors = itertools.chain(module.parameters(), module.buffers())
        self._places = {_place_of(tensor) for tensor in tensors}
        self._places -= {0, None}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        for i, argument in enumerate(func._schema.arguments):
            if argument.alias_info is not None and argument.alias_info.is_write:
                given = args[i] if i < len(args) else kwargs.get(argument.name)
                if any(_place_of(tensor) in self._places for tensor in _tensors(given)):
                    raise _Written
        return func(*args, **kwargs)


def _place_of(tensor):
    """Return where the numbers of a tensor are in memory, if there are any."""
    has_memory = tensor.layout is torch.strided and not tensor.is_meta
    return tensor.untyped_storage().data_ptr() if has_memory else None


def _only_reads(module):
    """Whether the forward pass of a module leaves its parameters as they are."""
    is_known = type(module).__module__.startswith("torch.nn.modules.")
    return is_known and getattr(module, "max_norm", None) is None


def _memo_of_shared(model, is_shared):
    """Return the `memo` with which `copy.deepcopy` does not copy large tensors.

    If not `is_shared`, it has only copies of those that PyTorch does not copy.
    """
    memo, changing = {}, set()
    for module in model.modules():
        only_reads = is_shared and _only_reads(module)
        for hook in _pruning_hooks(module) if is_shared else []:
            mask = getattr(module, f"{hook._tensor_name}_mask")
            memo[id(mask)] = mask
        for held in vars(module).values():
            for tensor in held if isinstance(held, list) else [held]:
                # PyTorch does not copy what hooks have computed, and compute again.
                if isinstance(tensor, torch.Tensor) and not tensor.is_leaf:
                    shared = tensor.detach()
                    memo[id(tensor)] = shared if only_reads else shared.clone()
        for W in module.parameters(recurse=False):
            if not only_reads:
                changing.add(id(W))
            elif type(W) is nn.Parameter:
                memo[id(W)] = nn.Parameter(W.detach(), W.requires_grad)
    return {key: tensor for key, tensor in memo.items() if key not in changing}


def plain_copy(model, is_shared=True):
    """Copy a model, with plain weights in the place of masked or parametrized ones.

    If `is_shared`, the copy shares the memory of the weights of PyTorch's layers, which
    must not be changed until `_end_sharing`.
    """
    plain = copy.deepcopy(model, _memo_of_shared(model, is_shared))
    for module in list(plain.modules()):
        for hook in _pruning_hooks(module):
            prune.remove(module, hook._tensor_name)
        if parametrize.is_parametrized(module):
            _end_parametrizations(module)
        if isinstance(module, nn.RNNBase):
            # It has a list of its weights as well, which learns of them like this.
            for name, parameter in list(module.named_parameters(recurse=False)):
                setattr(module, name, parameter)
    return plain


def run_copy(model, run):
    """Return a `plain_copy` for evaluation, and what `run` returns for it.

    It shares no memory if `run` would change what is shared, as hooks can do, or the
    forward pass of the module around a layer.
    """
    plain = plain_copy(model).eval()
    try:
        with _ReadOnly(model):
            return plain, run(plain)
    except _Written:
        plain = plain_copy(model, is_shared=False).eval()
        return plain, run(plain)


def _end_sharing(plain, model):
    """Give a copy its own memory."""
    shared = {W.untyped_storage().data_ptr() for W in model.parameters()}
    for W in plain.parameters():
        if W.untyped_storage().data_ptr() in shared:
            W.data = W.detach().clone()


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
        milliseconds=_milliseconds(model, inputs),
    )


class _Tracer(fx.Tracer):
    """Does not look into the attention that `shrink` has made, as into PyTorch's."""

    def is_leaf_module(self, m, module_qualified_name):
        is_leaf = super().is_leaf_module(m, module_qualified_name)
        return is_leaf or isinstance(m, SmallerAttention)


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
def shrink(model, example_inputs, *, fuse=False):
    r"""Copy a model without the neurons, filters, heads and inputs that are dead.

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
    fuse : bool, default=False
        Whether batch normalisations become a part of the convolutions and linear layers
        in front of them, and `torch.nn.Identity` takes their places. That saves calls;
        the result is for evaluation only.

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
    Linear layers, convolutions (also grouped, depthwise or transposed ones), recurrent
    layers, attention, batch normalisations, elementwise activations, dropout, pooling,
    flattening, means, indexing, transposing, sums, products, and concatenations are
    understood.
    Units that meet in a sum, as in a residual network, are removed together or not at
    all. A branch beside a shortcut whose outputs are all constant is no longer
    computed: `ConstantOutput` takes the place of its last layer, or `WritableOutput` if
    the sum is ``H += X`` or ``H = H.add_(X)``, and `SkippedLayer` and
    `torch.nn.Identity` those of the others. A shortcut starts at what the branch reads,
    and makes the same sizes of all inputs.
    Around everything else, and around layers that are used twice, have hooks, or have
    shared or complex weights, all units stay. So they do around `torch.nn.LayerNorm`,
    whose outputs depend on all of its inputs, also on zeros.

    The outputs are those of evaluation mode, up to rounding; the function compares
    them, to 1e-10 in float64 and 1e-5 in float32, of the largest output or of 1. What a
    forward pass does only in training mode, or with optional arguments that are not in
    `example_inputs`, is not looked at, and may not fit the smaller layers.

    A convolution pads with zeros after the activation, so that a constant other than
    zero is another number at the border: such units stay, as does one unit of a layer
    that is dead altogether. A transposed convolution does not make a constant of one
    either: only units that are zero go into its bias. Of a grouped convolution, whole
    groups are removed, and from each other group the same number of channels.

    An embedding loses columns that are not read or constant. Of its rows of zeros, one
    stays for all of their indices, if that saves memory: `SelectRows` takes its place,
    with an index of four bytes for each row, which is no parameter. That row of zeros
    is not trained. All rows stay if the one of `padding_idx`, which is not trained
    either, has other numbers.

    A hidden unit of `torch.nn.LSTM`, `torch.nn.GRU` or `torch.nn.RNN` is removed if it
    is always zero, or if neither another layer nor a unit that is needed reads it. It
    is always zero if its rows of both weights and its entries of both biases are, or
    only the part of them that makes the candidate (the third of four in an LSTM, of
    three in a GRU). All layers and directions of a module keep the same number of
    units. They stay if the module is given an initial state, also one of zeros, or has
    `proj_size`. `torch.fx` cannot trace packed sequences.

    A head of `torch.nn.MultiheadAttention` is removed if `out_proj` has only zeros for
    it, or if its values are constant, with rows of zeros in `v_proj_weight` or that
    part of `in_proj_weight`. With a mask, which can leave a position without any
    weight, their biases must be zero as well, unless it is marked as causal.
    `SmallerAttention` takes the place of the layer, with `q_proj`, `k_proj`, `v_proj`,
    `out_proj` and fewer heads than PyTorch's can have. It is called in the same way,
    but returns None for the attention weights. Heads stay if the model reads those
    weights, or calls the layer with ``need_weights=True``, as they do with
    `add_bias_kv` or `add_zero_attn`. The inputs and outputs of attention stay.

    Inside `torch.nn.TransformerEncoderLayer`, `torch.nn.TransformerDecoderLayer` and
    what is made of them, heads and the units between the two linear layers are removed.
    An encoder layer with fewer heads no longer uses the fused kernel of PyTorch for
    inference. An encoder that works on nested tensors, with a padding mask, keeps its
    heads. A position whose keys are all masked may have another output.

    Inputs of the model that a first layer does not read are skipped: `SelectInputs`
    takes the place of that layer. The smaller layer is its `layer`, and `index` has the
    inputs that are read. The model is called as before.

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
    smaller, (expected, traced) = run_copy(
        model, lambda plain: (plain(*inputs), trace(plain, inputs))
    )
    if not _tensors(expected):
        raise TypeError(
            "model must return tensors, to compare them, "
            f"got {type(expected).__name__} instead."
        )
    graph = UnitGraph(traced)
    before = _measure(smaller, inputs)
    layers = shrink_in_place(smaller, inputs, graph)
    if fuse:
        fuse_norms(smaller, UnitGraph(trace(smaller, inputs)))
    _check_agreement(smaller, inputs, expected)
    report = ShrinkReport(before, _measure(smaller, inputs), layers)
    _end_sharing(smaller, model)
    modes = {name: module.training for name, module in model.named_modules()}
    for name, module in smaller.named_modules():
        module.training = modes.get(name, model.training)
    return smaller, report
