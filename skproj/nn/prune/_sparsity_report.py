"""Report of the zeros in the layers of a network."""

import math
from typing import NamedTuple

import numpy as np

from skproj.nn.prune._layers import named_weights
from skproj.nn.prune._weights import as_array, cut, is_masked, pruned_or_plain
from skproj.projection import hoyer_sparsity
from skproj.utils._docs import shared_docs


def as_text(rows):
    """Write rows of strings as columns; the first is flush left, others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0])]
        cells += [
            cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


class _LayerSparsity(NamedTuple):
    """A row of the report."""

    name: str
    shape: tuple
    n_parameters: int
    n_zeros: int
    fraction_zeros: float
    hoyer: float
    n_dead_outputs: int
    n_dead_inputs: int


@shared_docs()
class SparsityReport:
    """Result of `sparsity_report`: `print` shows it as a table.

    Parameters
    ----------
    layers : list of named tuple
        With `name`, `shape`, `n_parameters`, `n_zeros`, `fraction_zeros`, `hoyer`,
        `n_dead_outputs` and `n_dead_inputs` of each weight, in the order of the model.
    n_parameters : int
        Number of all parameters of the model, also of biases and normalisations.

    Attributes
    ----------
    n_weights : int
        Number of weights in `layers`.
    n_zeros : int
        How many of them are zero.
    fraction_zeros : float
        The same as a share; NaN without weights.
    n_dead_outputs : int
        Number of outputs (neurons, filters) all of whose weights are zero.
    n_dead_inputs : int
        Number of inputs (neurons, channels) all of whose weights are zero.

    See Also
    --------
    sparsity_report : Makes one.

    {hoyer_reference}

    Examples
    --------
    >>> from torch import nn
    >>> from skproj.nn.prune import sparsity_report
    >>> report = sparsity_report(nn.Linear(4, 3))
    >>> report.n_weights, report.n_parameters
    (12, 15)
    """

    def __init__(self, layers, n_parameters):
        self.layers = layers
        self.n_parameters = n_parameters
        self.n_weights = sum(layer.n_parameters for layer in layers)
        self.n_zeros = sum(layer.n_zeros for layer in layers)
        self.fraction_zeros = (
            self.n_zeros / self.n_weights if self.n_weights else math.nan
        )
        self.n_dead_outputs = sum(layer.n_dead_outputs for layer in layers)
        self.n_dead_inputs = sum(layer.n_dead_inputs for layer in layers)

    def __str__(self):
        titles = "layer, shape, parameters, zeros, fraction, Hoyer, dead outputs, "
        rows = [(titles + "dead inputs").split(", ")]
        for layer in self.layers:
            name, shape, *counts, fraction, hoyer, outputs, inputs = layer
            shape = " x ".join(map(str, shape))
            shares = f"{fraction:.3f}", f"{hoyer:.3f}"
            rows.append((name or "(model)", shape, *counts, *shares, outputs, inputs))
        total = self.n_weights, self.n_zeros, f"{self.fraction_zeros:.3f}", ""
        dead = self.n_dead_outputs, self.n_dead_inputs
        rows.append(("all layers", "", *total, *dead))
        return as_text([list(map(str, row)) for row in rows])

    def __repr__(self):
        return (
            f"<{type(self).__name__}: {self.n_zeros} of {self.n_weights} weights "
            f"in {len(self.layers)} layers are zero>"
        )


def _find_weight(module, kind):
    """Return the parameter that layers with the same weight share, and the weight."""
    if is_masked(module, kind):  # also before the next forward pass
        source, mask = pruned_or_plain(module, kind), getattr(module, f"{kind}_mask")
        return source, source.detach() * mask.to(source.dtype)
    if kind in module._parameters:
        source = pruned_or_plain(module, kind)
        return source, source.detach()
    weight = getattr(module, kind)  # that a parametrization or a hook computes
    return (module, kind), weight


def _describe(name, module, W):
    W = as_array(W)
    filters, inputs = cut(module, W, "outputs"), cut(module, W, "inputs")
    n_zeros = W.size - int(np.count_nonzero(W))
    has_levels = W.size > 0 and filters.shape[1] > 1
    return _LayerSparsity(
        name=name,
        shape=W.shape,
        n_parameters=W.size,
        n_zeros=n_zeros,
        fraction_zeros=n_zeros / W.size if W.size else math.nan,
        hoyer=float(hoyer_sparsity(filters, axis=1).mean()) if has_levels else math.nan,
        n_dead_outputs=int(np.count_nonzero(~filters.any(axis=1))),
        n_dead_inputs=int(np.count_nonzero(~inputs.any(axis=1))),
    )


@shared_docs()
def sparsity_report(model):
    """Count the zeros in the weights of each layer of a model.

    Parameters
    ----------
    model : torch.nn.Module
        Any model: pruned, parametrized or plain. A weight that several layers share is
        listed and counted once.

    Returns
    -------
    report : SparsityReport
        ``print(report)`` shows a table, and the numbers are its attributes;
        ``pandas.DataFrame(report.layers)`` is a table of pandas.

    Raises
    ------
    TypeError
        If `model` is not a module.

    See Also
    --------
    shrink : Removes dead units.

    Notes
    -----
    The Hoyer sparsity [1]_ of a layer is the average over its filters; it is NaN if
    they have one weight each. A dead output has no weights other than zero, a dead
    input neither; biases are not looked at.

    {hoyer_reference}

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from skproj.nn.prune import sparsity_report
    >>> model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    >>> with torch.no_grad():
    ...     _ = model[0].weight.copy_(torch.tensor([[3.0, 0.0, 4.0], [0.0, 0.0, 0.0]]))
    ...     _ = model[2].weight.fill_(1.0)
    >>> print(sparsity_report(model))
    layer       shape  parameters  zeros  fraction  Hoyer  dead outputs  dead inputs
    0           2 x 3           6      4     0.667  0.727             1            1
    2           1 x 2           2      0     0.000  0.000             0            0
    all layers                  8      4     0.500                    1            1
    """
    weights = {}
    for name, module, kind in named_weights(model):
        source, W = _find_weight(module, kind)
        weights.setdefault(source, (name, module, W))
    layers = [_describe(*layer) for layer in weights.values()]
    return SparsityReport(layers, sum(W.numel() for W in model.parameters()))
